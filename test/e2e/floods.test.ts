/**
 * A validator under floods of gossip and of calls, as a process with its network's process: what both have in memory stays below a bound, whoever floods
 * is cut off, and blocks go on. The same against the network alone, with every kind of garbage: test/p2p/garbage.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { type Hex, hexToBytes } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { attackAlone } from '../p2p/garbage/attacker.ts'
import { repeating } from '../p2p/garbage/attacks.ts'
import { ask, heightOf, type Stage, startStage, until } from './stage.ts'

/** Most memory of the validator, and of its network's process. */
const NODE_RSS_MAX_MIB = 768
const NETWORK_RSS_MAX_MIB = 640
const SAMPLE_MS = 100
/** Attackers at a time, each with another name, and for how long each goes on if nobody cuts it off. */
const ATTACKERS = 2
const ATTACK_MAX_MS = 60_000
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

test('memory stays bounded, whoever floods is cut off and not let in again, and blocks go on', async () => {
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
    const lives = await Promise.all(
      Array.from({ length: ATTACKERS }, () =>
        attackAlone(p2p, repeating(hexToBytes(tx), hash), { endMs: () => Infinity, lifeMs: ATTACK_MAX_MS }),
      ),
    )
    expect(lives).toEqual(Array.from({ length: ATTACKERS }, () => ({ isLetIn: true, isCutOff: true, isRefused: true })))

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
