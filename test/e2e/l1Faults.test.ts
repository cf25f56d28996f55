/**
 * An L1 that fails, is slow, limits the rate and goes back: the node is not restarted, nothing is posted twice and nothing is lost, and what L1 holds in the
 * end is the live chain. An L1 that goes back behind what final blocks rest on stops the chain, aloud.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Hex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyFromL1 } from '../../node/verify.ts'
import { batchInboxAbi, checkpointManagerAbi, portalAbi } from '../../settlement/abi.ts'
import { type ProxyAnswer, type RpcProxy, type RpcRequest, rpcError, startRpcProxy } from '../fakes/rpcProxy.ts'
import { createRandom } from '../sim/random.ts'
import { type Devnet, startDevnet } from './devnet.ts'
import { type L2Client, l2Client, type RuledL1, startL1, until } from './stage.ts'

/** What the faults follow from: given by L1_FAULTS_SEED, to see a failure again. */
const SEED = Number(process.env.L1_FAULTS_SEED ?? Date.now() % 2 ** 32)
const random = createRandom(SEED)
const SLOW_MS = 1_500
/** Of requests that go wrong, while faults are on. */
const FAULTY = 0.25
const WAIT_MAX_MS = 120_000

let l1: RuledL1
let gate: RpcProxy
let devnet: Devnet
let l2: L2Client
let isFaulty = false
/** Faults that were shown, by kind. */
const shown = new Map<string, number>()

beforeAll(async () => {
  process.stderr.write(`l1Faults.test.ts: L1_FAULTS_SEED=${SEED}\n`)
  l1 = await startL1()
  gate = await startRpcProxy(l1.url, { onRpc: fault })
  devnet = await startDevnet(['--l1', gate.url, '--da', 'calldata', '--batch-sec', '1'])
  l2 = l2Client(devnet.ready().rpc, 0)
  await l1.mineEvery(1)
})

afterAll(async () => {
  await devnet?.close()
  await gate?.stop()
  await l1?.stop()
})

async function fault(request: RpcRequest): Promise<ProxyAnswer | undefined> {
  if (!isFaulty || random() > FAULTY) return undefined
  const kinds = ['tooMany', 'down', 'limited', 'garbled', 'slow', 'lostOnItsWayBack'] as const
  const kind = kinds[Math.floor(random() * kinds.length)] ?? 'down'
  shown.set(kind, (shown.get(kind) ?? 0) + 1)
  switch (kind) {
    case 'tooMany':
      return { status: 429, body: { error: 'too many requests' } }
    case 'down':
      return { status: 503, body: undefined }
    case 'limited':
      return rpcError(request, -32_005, 'limit exceeded')
    case 'garbled':
      return { status: 200, body: 'not what was asked for' }
    case 'slow':
      await sleep(SLOW_MS)
      return undefined
    case 'lostOnItsWayBack': {
      // It was done all the same.
      const body = JSON.stringify({ jsonrpc: '2.0', ...request })
      await fetch(l1.url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      return { status: 502, body: undefined }
    }
  }
}

test('while a quarter of what is asked of L1 goes wrong, blocks are made and posted, each once', async () => {
  isFaulty = true
  const before = await posted()
  await until('four more batches', async () => ((await posted()).batches >= before.batches + 4 ? true : undefined), WAIT_MAX_MS)
  isFaulty = false
  expect([...shown.keys()].length).toBeGreaterThan(3)
  await expectRebuilt()
})

test('batches that L1 gives up are taken from the safe head and posted again, and nothing is there twice', async () => {
  await l1.mineEvery(0)
  const { lastBlock } = await posted()
  // A batch in the last block of L1, and then that block is another one, without it.
  const gone = await until('a batch', async () => {
    await l1.mine(1)
    await sleep(300)
    const now = await posted()
    return now.lastBlock > lastBlock ? now : undefined
  })
  await until('the safe head', async () => ((await safe()) === gone.lastBlock ? true : undefined))
  const [depth] = [(await l1.client.getBlockNumber()) - gone.l1Block + 1n]
  expect(depth).toBe(1n)
  await reorg(1)
  expect((await posted()).lastBlock).toBeLessThan(gone.lastBlock)
  await l1.mineEvery(1)
  await until('the safe head beyond it again', async () => ((await safe()) > gone.lastBlock ? true : undefined), WAIT_MAX_MS)
  await expectRebuilt()
})

test('a checkpoint that L1 gives up is submitted again, and none is there twice', async () => {
  await l1.mineEvery(0)
  const before = await checkpoints()
  const gone = await until('a checkpoint in the last block of L1', async () => {
    await l1.mine(1)
    await sleep(300)
    const now = await checkpoints()
    const isLast = now.at(-1)?.l1Block === (await l1.client.getBlockNumber())
    return isLast && now.length > before.length ? now : undefined
  })
  await until('the node’s word of it', async () => ((await l2.getSyncStatus()).checkpoints === gone.length ? true : undefined))
  await reorg(1)
  expect(await checkpoints()).toHaveLength(gone.length - 1)
  await l1.mineEvery(1)
  const last = gone.at(-1)?.lastBlock ?? 0n
  await until('it or a later one', async () => (((await checkpoints()).at(-1)?.lastBlock ?? 0n) >= last ? true : undefined), WAIT_MAX_MS)
  const { summary } = await expectRebuilt()
  expect(summary.checkpoints).toBeGreaterThanOrEqual(gone.length)
})

test('a deposit that L1 gives up before it is an origin never was; when it comes again it is executed once', async () => {
  const { portal } = devnet.ready().contracts
  const forced = { address: portal, abi: portalAbi, functionName: 'forceTransaction' } as const
  const to: Hex = '0x00000000000000000000000000000000000d0009'
  const queue = async () => {
    await l1.client.writeContract({ ...forced, args: [to, 0n, 50_000n, '0x'] })
    await l1.mine(1)
  }
  await l1.mineEvery(0)
  await queue()
  await reorg(1)
  await queue()
  await l1.mineEvery(1)
  const height = await l2.getBlockNumber()
  await until('blocks with later origins', async () => ((await safe()) > height + 3n ? true : undefined), WAIT_MAX_MS)
  const logs = await l1.client.getContractEvents({ address: portal, abi: portalAbi, eventName: 'DepositQueued', fromBlock: 0n })
  expect(logs).toHaveLength(1)
  const { summary } = await expectRebuilt()
  expect(summary.blocks).toBeGreaterThan(height)
})

test('after a restart L1 is read on from where it was final, not from its beginning', async () => {
  const { number: first } = await l2.getL1Info({ blockNumber: 0n })
  // So many blocks that a place is kept behind them; they are in the past still, and final when eight more stand on them.
  await l1.mine(80)
  const tip = await l1.client.getBlockNumber()
  await until('an origin behind them', async () => ((await l2.getL1Info()).number >= tip ? true : undefined), WAIT_MAX_MS)
  const height = await l2.getBlockNumber()
  await until('a final head behind that', async () => ((await l2.getSyncStatus()).heads.finalized > height ? true : undefined), WAIT_MAX_MS)
  await devnet.stop()
  const before = gate.requests.length
  await devnet.start()
  l2 = l2Client(devnet.ready().rpc, 0)
  const again = await l2.getBlockNumber()
  await until('a safe head that moves', async () => ((await safe()) > again ? true : undefined), WAIT_MAX_MS)
  const read = gate.requests.slice(before).flatMap(({ method, params }) => {
    const [number] = params ?? []
    return method === 'eth_getBlockByNumber' && typeof number === 'string' && number.startsWith('0x') ? [BigInt(number)] : []
  })
  const least = read.reduce((low, number) => (number < low ? number : low))
  expect(least).toBeGreaterThanOrEqual(first + 64n)
  await expectRebuilt()
})

test('when L1 gives up an origin that final blocks rest on, no block is made, and the log says why', async () => {
  await l1.mineEvery(0)
  const id = await l1.client.snapshot()
  const origin = await l1.client.getBlockNumber()
  const height = await l2.getBlockNumber()
  for (let i = 0; i < 6; i++) {
    await l1.mine(1)
    await sleep(600)
  }
  await until('blocks that rest on it', async () => ((await l2.getBlockNumber()) > height + 2n ? true : undefined))
  await l1.client.revert({ id })
  await l1.client.mine({ blocks: 8, interval: 1 })
  expect(await l1.client.getBlockNumber()).toBeGreaterThan(origin)
  const said = 'L1 has given up the origin of our head'
  await until('the word of it', () => (devnet.output().stderr.includes(said) ? true : undefined))
  const stopped = await l2.getBlockNumber()
  await sleep(4_000)
  expect(await l2.getBlockNumber()).toBe(stopped)
  expect((await l2.getBlock({ blockNumber: stopped })).number).toBe(stopped)
})

/** What L1 holds is the live chain, as far as it is posted. */
async function expectRebuilt() {
  const head = await l2.getBlockNumber()
  await until('everything so far on L1', async () => ((await posted()).lastBlock >= head ? true : undefined), WAIT_MAX_MS)
  const options = { l1Url: l1.url, beaconUrls: [l1.url], inbox: undefined, rpcUrl: devnet.ready().rpc }
  const result = await verifyFromL1({ ...options, onProgress() {} })
  expect(result).toMatchObject({ ok: true, summary: { droppedCount: 0, passedOver: 0 } })
  expect(result.summary.blocks).toBeGreaterThanOrEqual(head)
  return result
}

async function safe(): Promise<bigint> {
  return (await l2.getSyncStatus()).heads.safe
}

/** What the inbox holds: batches behind one another, without gaps and doubles. */
async function posted(): Promise<{ readonly batches: number; readonly lastBlock: bigint; readonly l1Block: bigint }> {
  const { inbox } = devnet.ready().contracts
  const events = await l1.client.getContractEvents({ address: inbox, abi: batchInboxAbi, eventName: 'BatchPosted', fromBlock: 0n })
  let lastBlock = 0n
  for (const [index, { args }] of events.entries()) {
    expect([args.index, args.header?.firstBlock]).toEqual([BigInt(index), lastBlock + 1n])
    lastBlock = args.header?.lastBlock ?? 0n
  }
  return { batches: events.length, lastBlock, l1Block: events.at(-1)?.blockNumber ?? 0n }
}

/** The checkpoints that stand: one after another, each later than the one before. */
async function checkpoints(): Promise<readonly { readonly lastBlock: bigint; readonly l1Block: bigint }[]> {
  const { checkpointManager } = devnet.ready().contracts
  const manager = { address: checkpointManager, abi: checkpointManagerAbi } as const
  const events = await l1.client.getContractEvents({ ...manager, eventName: 'CheckpointSubmitted', fromBlock: 0n })
  for (const [id, { args }] of events.entries()) {
    expect(args.id).toBe(BigInt(id))
    expect(args.lastBlock).toBeGreaterThan(events[id - 1]?.args.lastBlock ?? 0n)
  }
  return events.map(({ args, blockNumber }) => ({ lastBlock: args.lastBlock ?? 0n, l1Block: blockNumber }))
}

/** Exchanges the last blocks of L1; their transactions are gone. */
async function reorg(depth: number): Promise<void> {
  await l1.client.request({ method: 'anvil_reorg', params: [depth, []] } as never)
}
