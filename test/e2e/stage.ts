/**
 * A devnet on an L1 that the test rules: the devnet is a process of its own and knows that L1 by its URL alone, so it can be killed while the L1 goes
 * on, and tests count L1 blocks instead of seconds. The L1's clock is two minutes slow: its first blocks, which come as fast as the contracts are
 * deployed, and those that tests ask for, are still in the past then.
 */
import { createClient, type Hex, http, publicActions, walletActions } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { assert } from '../../execution/assert.ts'
import { DEVNET_KEYS, DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { startAnvil } from '../../node/anvil.ts'
import { defineTributaryChain, tributaryActions } from '../../rpc/client.ts'
import { type StageClient, stageClient } from '../fakes/l1Stage.ts'
import { type Devnet, startDevnet } from './devnet.ts'

const L1_CLOCK_SLOW_SEC = 120
/** An L1 block is final when so many came after it, times two. */
const L1_SLOTS_IN_AN_EPOCH = 4
const POLL_MS = 100
/** Longest wait for what has to happen, unless a test says otherwise: on a machine that is busy with more than one. */
const WAIT_MAX_MS = 60_000
/** Longest that an answer may take: a node that has just begun, on a machine that is busy, is not quick. */
const ANSWER_MAX_MS = 60_000

export type RuledL1 = {
  readonly url: string
  /** The account that deployed the contracts and holds the OPEN. */
  readonly client: StageClient
  /** From now on a block comes every so many seconds; 0: only when `mine` asks for it. */
  mineEvery(seconds: number): Promise<void>
  mine(blocks: number): Promise<void>
  stop(): Promise<void>
}

/** Starts an L1 that has a block for every transaction, until `mineEvery` is called. */
export async function startL1(): Promise<RuledL1> {
  const anvil = await startAnvil({ slotsInAnEpoch: L1_SLOTS_IN_AN_EPOCH })
  const client = stageClient(anvil.url, devnetAccount(0))
  await client.request({ method: 'evm_setTime', params: [Math.floor(Date.now() / 1_000) - L1_CLOCK_SLOW_SEC] } as never)
  return {
    url: anvil.url,
    client,
    async mineEvery(seconds) {
      await client.setAutomine(false)
      await client.setIntervalMining({ interval: seconds })
    },
    mine: (blocks) => client.mine({ blocks }),
    stop: () => anvil.stop(),
  }
}

export type Stage = {
  readonly l1: RuledL1
  readonly devnet: Devnet
  /** Ends both. Throws, with the end of its log, if the devnet did not live until now or did not end in order. */
  close(): Promise<void>
}

/** Starts an L1 with a block every second, and a devnet on it. Batches are posted in call data after a second unless `args` say otherwise. */
export async function startStage(args: readonly string[] = []): Promise<Stage> {
  assert(process.versions.node.startsWith('24.'), 'tests run under the Node that npm brings')
  const l1 = await startL1()
  try {
    const devnet = await startDevnet(['--l1', l1.url, '--da', 'calldata', '--batch-sec', '1', ...args])
    await l1.mineEvery(1)
    const close = async () => {
      const code = await devnet.stop()
      const { stderr } = devnet.output()
      await devnet.close()
      await l1.stop()
      assert(code === 0, `the devnet ended with code ${code}:\n${stderr.slice(-8_000)}`)
    }
    return { l1, devnet, close }
  } catch (error) {
    await l1.stop()
    throw error
  }
}

/** One of the accounts that have OPEN on both sides of L2, and ether on L1: 0 to 7. */
export function devnetAccount(index: number) {
  const key = DEVNET_KEYS[index]
  assert(key, `there are ${DEVNET_KEYS.length} accounts`)
  return privateKeyToAccount(key)
}

/** A client of L2 with everything that viem and we have, for one of the accounts. */
export function l2Client(rpcUrl: string, account: number) {
  const chain = defineTributaryChain({ id: DEVNET_PARAMS.chainId, rpcUrl })
  return createClient({
    account: devnetAccount(account),
    chain,
    transport: http(rpcUrl, { retryCount: 0, timeout: ANSWER_MAX_MS }),
    pollingInterval: POLL_MS,
    cacheTime: 0,
  })
    .extend(publicActions)
    .extend(walletActions)
    .extend(tributaryActions())
}

export type L2Client = ReturnType<typeof l2Client>

/** Asks until there is an answer. Throws when it takes longer than it may. */
export async function until<T>(what: string, probe: () => Promise<T | undefined> | T | undefined, waitMaxMs = WAIT_MAX_MS): Promise<T> {
  const endMs = Date.now() + waitMaxMs
  for (;;) {
    const answer = await probe()
    if (answer !== undefined) return answer
    if (Date.now() > endMs) throw new Error(`${what} did not happen within ${waitMaxMs / 1_000} s`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Who has nothing and gets something. */
export const STRANGER = '0x00000000000000000000000000000000000c0de7'
/** Transactions that a load sends at once, and how long it waits for the last of them. */
const LOAD_TXS = 10
const LOAD_WAIT_MAX_MS = 120_000

export type Load = {
  /** Ends it when what was sent last is in a block; answers the hashes of all. */
  stop(): Promise<readonly Hex[]>
}

/** Transfers, one row after another, until it is stopped. */
export function startLoad(rpc: string, account = 6): Load {
  const client = l2Client(rpc, account)
  const sent: Hex[] = []
  let stopped = false
  const run = async () => {
    for (let nonce = 0; !stopped; nonce += LOAD_TXS) {
      const row = Array.from({ length: LOAD_TXS }, (_, i) =>
        client.sendTransaction({ to: STRANGER, value: 0n, nonce: nonce + i, gas: 21_000n }),
      )
      sent.push(...(await Promise.all(row)))
      const last = sent.at(-1)
      if (last) await client.waitForTransactionReceipt({ hash: last, timeout: LOAD_WAIT_MAX_MS })
    }
    return sent
  }
  const running = run()
  return {
    stop() {
      stopped = true
      return running
    },
  }
}

/** Number of a node's latest block. */
export async function heightOf(rpc: string): Promise<number> {
  return Number((await ask(rpc, 'eth_blockNumber')).result)
}

/** An answer to a JSON-RPC call as it stands on the wire. */
export type Answer = {
  readonly id: unknown
  readonly result?: unknown
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
}

/** Asks a JSON-RPC server one thing, without a library in between. */
export async function ask(url: string, method: string, params: readonly unknown[] = []): Promise<Answer> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  return (await response.json()) as Answer
}

/** Hex in lower case, as this chain writes it. */
export function lower(hex: string): Hex {
  return hex.toLowerCase() as Hex
}
