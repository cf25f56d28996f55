/**
 * A validator under floods of gossip and of calls, as a process with its network's process: what both have in memory stays below a bound, and blocks go
 * on. Who is cut off for what, and every kind of garbage against the network alone: test/p2p/garbage.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { type Hex, hexToBytes } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { openNetwork } from '../../p2p/network.ts'
import { silentLog } from '../p2p/peer.ts'
import { ask, heightOf, type Stage, startStage, until } from './stage.ts'

/** Most memory of the validator, and of its network's process. */
const NODE_RSS_MAX_MIB = 768
const NETWORK_RSS_MAX_MIB = 640
const SAMPLE_MS = 100
/** Attackers, one after another, each with another name; what each sends at most, and for how long. */
const ATTACKERS = 2
const ATTACK_BYTES_MAX = 256 << 20
const ATTACK_MAX_MS = 60_000
const SENT_A_TURN = 32
const CALLS = 200
const BLOCKS = 5
const WAIT_MAX_MS = 120_000

let stage: Stage

beforeAll(async () => {
  stage = await startStage(['--validators', '2'])
})

afterAll(() => stage?.close())

/** A transaction of 20,000 bytes whose sender has nothing. */
async function poorTransaction(): Promise<Hex> {
  const account = privateKeyToAccount(`0x${'5e'.repeat(32)}`)
  const fees = { gas: 6_000_000n, maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }
  return account.signTransaction({
    chainId: DEVNET_PARAMS.chainId,
    nonce: 0,
    to: account.address,
    data: `0x${'ff'.repeat(20_000)}`,
    ...fees,
  })
}

/** Sends a transaction again and again until it is cut off, or has sent all. */
async function flood(address: string, genesisHash: Hex, { seed, raw }: { readonly seed: number; readonly raw: Uint8Array }): Promise<void> {
  const network = await openNetwork(
    { checkTransactions: async () => 'ignore', checkBlock: async () => 'ignore', readBlock: () => undefined, onPeer() {} },
    { seed: new Uint8Array(32).fill(seed), genesisHash, listen: { host: '127.0.0.1', port: 0 }, bootstrap: [address], log: silentLog },
  )
  try {
    await until('the attacker is connected', () => (network.metrics().gossip.meshTransactions > 0 ? true : undefined), WAIT_MAX_MS)
    const endMs = Date.now() + ATTACK_MAX_MS
    while (network.peers() > 0 && network.metrics().gossip.bytesOut < ATTACK_BYTES_MAX && Date.now() < endMs) {
      for (let i = 0; i < SENT_A_TURN && network.sendTransaction(raw); i++);
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  } finally {
    await network.close()
  }
}

test('under floods memory stays bounded, and blocks go on', async () => {
  const [{ pid = 0, p2p = '', rpc = '' } = {}] = stage.devnet.ready().validators
  const { hash } = (await ask(rpc, 'eth_getBlockByNumber', ['0x0', false])).result as { readonly hash: Hex }
  const most = { node: 0, network: 0 }
  const sampling = setInterval(() => {
    most.node = Math.max(most.node, rssMib(pid))
    for (const child of childrenOf(pid)) most.network = Math.max(most.network, rssMib(child))
  }, SAMPLE_MS)
  try {
    const tx = await poorTransaction()
    const before = await heightOf(rpc)
    for (let seed = 1; seed <= ATTACKERS; seed++) await flood(p2p, hash, { seed, raw: hexToBytes(tx) })
    for (let i = 0; i < CALLS; i += 10)
      await Promise.all(Array.from({ length: 10 }, () => ask(rpc, 'eth_sendRawTransaction', [tx]).catch(() => undefined)))
    await until('blocks during the floods', async () => ((await heightOf(rpc)) >= before + BLOCKS ? true : undefined), WAIT_MAX_MS)
  } finally {
    clearInterval(sampling)
  }
  expect(Math.min(most.node, most.network)).toBeGreaterThan(0)
  expect(most.node).toBeLessThan(NODE_RSS_MAX_MIB)
  expect(most.network).toBeLessThan(NETWORK_RSS_MAX_MIB)
})

/** Resident memory; 0 if the process is gone. Source: proc(5). */
function rssMib(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) >> 10
  } catch {
    return 0 // it has ended
  }
}

function childrenOf(pid: number): readonly number[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`)
    return tasks.flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number))
  } catch {
    return [] // one of its threads has ended meanwhile
  }
}
