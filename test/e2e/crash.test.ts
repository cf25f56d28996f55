/**
 * kill -9 at any moment, under load, with an L1 that lives on: no block that anybody saw is lost or changed, no batch is missing or doubled on L1, and
 * the chain that L1 holds is the chain that the node has. And what a data folder must be for a node to start on it.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeGuard } from '../../consensus/guard.ts'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { decodeGenesis, encodeGenesis } from '../../genesis/genesis.ts'
import { SYSTEM_SENDER } from '../../genesis/params.ts'
import { verifyFromL1 } from '../../node/verify.ts'
import { batchInboxAbi } from '../../settlement/abi.ts'
import { parseTx } from '../../settlement/l1Tx.ts'
import { type RpcProxy, rpcError, startRpcProxy } from '../fakes/rpcProxy.ts'
import { createRandom } from '../sim/random.ts'
import { type Devnet, runCommand, startDevnet } from './devnet.ts'
import { ask, devnetAccount, type L2Client, l2Client, type RuledL1, startL1, until } from './stage.ts'

/** What the random moments follow from: given by CRASH_SEED, to see a failure again. */
const SEED = Number(process.env.CRASH_SEED ?? Date.now() % 2 ** 32)
const random = createRandom(SEED)
/** How often it is killed at each kind of random moment: as often as CRASH_TURNS says. */
const TURNS = Array.from({ length: Number(process.env.CRASH_TURNS ?? 1) }, (_, i) => i + 1)
const STRANGER: Hex = '0x00000000000000000000000000000000000c4a54'
const BLOCK_MS = DEVNET_PARAMS.maxBlockIntervalMs
/** Between two transactions of a lane. */
const LOAD_PAUSE_MS = 30
/** Longest that a start that is meant to fail may take. */
const FAILED_START_MAX_MS = 60_000

type SeenBlock = { readonly hash: Hex; readonly stateRoot: Hex; readonly transactions: readonly Hex[] }

/** Every block that the node has shown to anybody, in all its lives. */
const seen = new Map<bigint, SeenBlock>()
const folder = mkdtempSync(join(tmpdir(), 'tributary-crash-'))
const configFile = join(folder, 'config.json')
let l1: RuledL1
/** L1 as the node sees it. */
let gate: RpcProxy
/** Called with each batch on its way to L1, and whether it was on its way before; true: it is lost there. */
let onBatch: (isAgain: boolean) => boolean = () => false
/** Numbers of transactions that carry batches, each kind's account apart. A number is used again only for the same blocks. */
const sentBefore = new Set<string>()
let devnet: Devnet

beforeAll(async () => {
  process.stderr.write(`crash.test.ts: CRASH_SEED=${SEED}\n`)
  postIn('calldata')
  l1 = await startL1()
  let inbox: Hex | undefined
  gate = await startRpcProxy(l1.url, {
    onRpc(request) {
      if (inbox === undefined || request.method !== 'eth_sendRawTransaction') return undefined
      const tx = parseTx(request.params[0] as Hex)
      if (tx.to.toLowerCase() !== inbox) return undefined
      const key = `${tx.sidecar ? 'blob' : 'calldata'} ${tx.nonce}`
      const isAgain = sentBefore.has(key)
      sentBefore.add(key)
      return onBatch(isAgain) ? rpcError(request, -32_005, 'lost') : undefined
    },
  })
  devnet = await startDevnet(['--l1', gate.url, '--batch-sec', '1', '--config', configFile])
  inbox = devnet.ready().contracts.inbox
  await l1.mineEvery(1)
})

afterAll(async () => {
  await devnet?.close()
  await gate?.stop()
  await l1?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('killed between two blocks', async () => {
  await surviveKill(async () => {
    await nextBlock()
    await sleep(BLOCK_MS / 3)
  })
})

test.each(TURNS)('killed while a block is made and written, %i', async () => {
  await surviveKill(async () => {
    await nextBlock()
    await sleep(BLOCK_MS * (0.9 + 0.2 * random()))
  })
})

test.each(TURNS)('killed at any moment, %i', async () => {
  await surviveKill(() => sleep(2 * BLOCK_MS * random()))
})

test('killed when a batch is sent: it is included while nobody runs', async () => {
  const { lastBlock } = await surviveKill(batchHeld, mineHeld)
  await l1.mineEvery(1)
  await until('the batch after it', async () => ((await posted()).lastBlock > lastBlock ? true : undefined))
})

test('killed when a batch was lost on its way to L1: it is sent again', async () => {
  const { batches } = await posted()
  await surviveKill(() => batchSent({ lost: true }))
  await until('two more batches', async () => ((await posted()).batches >= batches + 2 ? true : undefined))
})

test('killed when a batch in blobs is sent: it still waits when the node is back, and is not sent under another number', async () => {
  postIn('blob')
  expect(await devnet.stop()).toBe(0)
  await devnet.start()
  let batches = 0
  await surviveKill(async () => {
    await batchHeld()
    batches = (await posted()).batches
  })
  await mineHeld()
  expect((await posted()).batches).toBe(batches + 1)
  await l1.mineEvery(1)
  await until('two more batches', async () => ((await posted()).batches >= batches + 3 ? true : undefined))
})

test('after all of it L1 holds every block once, and no block of the live node differs', async () => {
  const head = await client().getBlockNumber()
  await until('everything so far on L1', async () => ((await posted()).lastBlock >= head ? true : undefined))
  const result = await verifyFromL1({
    l1Url: l1.url,
    beaconUrls: [l1.url],
    inbox: undefined,
    rpcUrl: devnet.ready().rpc,
    onProgress: () => {},
  })
  expect(result).toMatchObject({ ok: true })
  expect(result.summary.blocks).toBeGreaterThanOrEqual(head)
  expect(BigInt(result.summary.compared)).toBe(result.summary.blocks + 1n)
  // A block has one L1 info deposit at most: the rest is the load's.
  expect(result.summary.transactions).toBeGreaterThan(Number(result.summary.blocks))
})

test('a node that is asked to end does so in order; it starts on a folder that is its own and whole, and on no other', async () => {
  await expectRefusal(devnet.ready().dataDir, /is another node using it\?/)
  expect((await ask(devnet.ready().rpc, 'eth_blockNumber')).result).toBeDefined()

  postIn('calldata')
  expect(await devnet.stop()).toBe(0)
  const next = Number([...seen.keys()].reduce((a, b) => (a > b ? a : b))) + 1_000
  const cases: readonly (readonly [RegExp, (file: (name: string) => string) => void])[] = [
    [/another genesis file/, (file) => changeGenesis(file('genesis.json'))],
    [/of no validator of this network/, (file) => writeFileSync(file('validator.key'), `0x${'17'.repeat(32)}\n`)],
    [/the guard file is damaged/, (file) => writeFileSync(file('consensus/guard'), 'signed a lot')],
    [/write-ahead log is damaged \(corruptFrame/, (file) => spoilFirst(file('consensus/wal'), 12)],
    [/signed at height \d+ and the write-ahead log of that height is lost/, (file) => forgetLog(file('consensus'), next)],
    [/cannot be opened/, (file) => writeFileSync(file('chain/CURRENT'), 'MANIFEST-999999\n')],
  ]
  await Promise.all(
    cases.map(async ([message, damage], i) => {
      const copy = join(folder, `copy-${i}`)
      cpSync(devnet.ready().dataDir, copy, { recursive: true })
      damage((name) => join(copy, name))
      await expectRefusal(copy, message)
    }),
  )
  await devnet.start()
  await expectAllKept()
})

test('a devnet that was killed finds the L1 that it had started, and leaves no process behind when it is asked to end', async () => {
  const own = await startDevnet(['--da', 'calldata'])
  try {
    const { l1: url, dataDir, rpc } = own.ready()
    const before = await until('a first block', async () => {
      const answer = await ask(rpc, 'eth_getBlockByNumber', ['0x1', false])
      return answer.result === null ? undefined : answer
    })
    await own.kill()
    expect(await own.start()).toMatchObject({ l1: url })
    expect(await ask(own.ready().rpc, 'eth_getBlockByNumber', ['0x1', false])).toEqual(before)
    const { pid } = JSON.parse(readFileSync(join(dataDir, 'l1.json'), 'utf8')) as { pid: number }
    expect(isRunning(pid)).toBe(true)
    expect(await own.stop()).toBe(0)
    await until('the end of the L1', () => (isRunning(pid) ? undefined : true), 5_000)
  } finally {
    await own.close()
  }
})

/**
 * Sends transactions and writes down every block until `moment` comes, kills the node, does what is to be done meanwhile, and starts it again. Then all
 * that was ever seen must be there, and more must come.
 */
async function surviveKill(
  moment: () => Promise<unknown>,
  meanwhile?: () => Promise<unknown>,
): Promise<Awaited<ReturnType<typeof posted>>> {
  const stop = await beginLoad()
  await moment()
  await devnet.kill()
  await stop()
  onBatch = () => false
  await meanwhile?.()
  await devnet.start()
  await expectAllKept()
  return posted()
}

/** Everything seen is as it was, and the chain grows. */
async function expectAllKept(): Promise<void> {
  const node = client()
  const head = await node.getBlockNumber()
  const known = [...seen.keys()]
  expect(head).toBeGreaterThanOrEqual(known.reduce((a, b) => (a > b ? a : b), 0n))
  const blocks = await Promise.all(known.map((number) => readBlock(node, number)))
  expect(blocks).toEqual([...seen.values()])
  const transactions = known
    .slice(-3)
    .flatMap((number) => (seen.get(number)?.transactions ?? []).slice(-3).map((hash) => ({ number, hash })))
  const receipts = await Promise.all(transactions.map(({ hash }) => node.getTransactionReceipt({ hash })))
  expect(receipts.map(({ blockNumber }) => blockNumber)).toEqual(transactions.map(({ number }) => number))
  const found = new Set([...(await indexedOf(STRANGER)), ...(await indexedOf(SYSTEM_SENDER))])
  expect([...seen.values()].flatMap((block) => block.transactions).filter((hash) => !found.has(hash))).toEqual([])
  await until('a new block', async () => ((await node.getBlockNumber()) > head ? true : undefined))
  await posted()
}

/** Every transaction that the index of addresses, which is made behind the blocks, has of the address: page by page from genesis on. */
async function indexedOf(address: Hex): Promise<readonly Hex[]> {
  const found: Hex[] = []
  for (let above = 0; ; ) {
    const { result } = await ask(devnet.ready().rpc, 'ots_searchTransactionsAfter', [address, above, 100])
    const { txs, firstPage } = result as { txs: { hash: Hex; blockNumber: Hex }[]; firstPage: boolean }
    found.push(...txs.map(({ hash }) => hash))
    if (firstPage) return found
    above = Number(txs[0]?.blockNumber)
  }
}

/** Sends transactions of both lanes, and watches the blocks. Answers what ends it. */
async function beginLoad(): Promise<() => Promise<void>> {
  let ended = false
  const node = client()
  // What fails because the node was killed ends the loop; anything else is a defect.
  const whileAlive = async (work: () => Promise<void>) => {
    while (!ended) {
      try {
        await work()
      } catch (error) {
        await sleep(200)
        if (!ended) throw error
      }
    }
  }
  const evm = devnetAccount(1)
  let evmNonce = await node.getTransactionCount({ address: evm.address, blockTag: 'pending' })
  let ledgerNonce = await node.getLedgerNonce({ account: devnetAccount(2).address, blockTag: 'pending' })
  const native = l2Client(devnet.ready().rpc, 2)
  let next = await node.getBlockNumber()
  const loops = [
    whileAlive(async () => {
      const fees = { type: 'eip1559', maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n } as const
      const tx = { ...fees, chainId: DEVNET_PARAMS.chainId, to: STRANGER, value: 1n, gas: 21_000n, nonce: evmNonce++ }
      await unlessKept(node.sendRawTransaction({ serializedTransaction: await evm.signTransaction(tx) }))
      await sleep(LOAD_PAUSE_MS)
    }),
    whileAlive(async () => {
      await unlessKept(native.transfer({ to: STRANGER, amount: 1n, nonce: ledgerNonce++, maxFee: 10n ** 18n }))
      await sleep(LOAD_PAUSE_MS)
    }),
    whileAlive(async () => {
      const head = await node.getBlockNumber()
      for (; next <= head; next++) seen.set(next, await readBlock(node, next))
      await sleep(20)
    }),
  ]
  return async () => {
    ended = true
    await Promise.all(loops)
  }
}

/** Sends; a transaction of this nonce that was waiting when the node was killed waits again, or is in a block by now, and is the same one. */
async function unlessKept(sent: Promise<Hex>): Promise<void> {
  await sent.catch((error: unknown) => {
    if (!/already known|already waiting|nonce too low|was already sent/.test(String(error))) throw error
  })
}

async function readBlock(node: L2Client, blockNumber: bigint): Promise<SeenBlock> {
  const { hash, stateRoot, transactions } = await node.getBlock({ blockNumber })
  return { hash, stateRoot, transactions: transactions as unknown as readonly Hex[] }
}

/** What the inbox holds. Its batches must be numbered, and their blocks must follow one another, without gaps and doubles. */
async function posted(): Promise<{ readonly batches: number; readonly lastBlock: bigint }> {
  const { inbox } = devnet.ready().contracts
  const events = await l1.client.getContractEvents({ address: inbox, abi: batchInboxAbi, eventName: 'BatchPosted', fromBlock: 0n })
  let lastBlock = 0n
  for (const [index, { args }] of events.entries()) {
    expect([args.index, args.header?.firstBlock]).toEqual([BigInt(index), lastBlock + 1n])
    lastBlock = args.header?.lastBlock ?? 0n
  }
  return { batches: events.length, lastBlock }
}

/** The moment at which the node sends a new batch; the node has no answer yet. If it is lost, then it is until the node is killed. */
function batchSent({ lost = false } = {}): Promise<void> {
  let begun = false
  return new Promise((resolve) => {
    onBatch = (isAgain) => {
      // One that was on its way before may be in a block already.
      begun ||= !isAgain
      if (begun) resolve()
      return lost && begun
    }
  })
}

/** The same moment, on an L1 that includes what the node sent before and no batch: its blocks are asked for from now on. */
async function batchHeld(): Promise<void> {
  await l1.mineEvery(0)
  let sent = false
  const moment = batchSent().then(() => {
    sent = true
  })
  await until('a batch on its way', async () => {
    const { pending } = await l1.client.getTxpoolStatus()
    // A batch is sent only when nothing else of the node is in the pool any more.
    if (pending > 0 && !sent) await l1.mine(1)
    return sent || undefined
  })
  await moment
}

/** Includes the held batch, once L1 has taken it in: for its first blobs it loads the trusted setup, which takes seconds. */
async function mineHeld(): Promise<void> {
  await until('the batch in the pool of L1', async () => ((await l1.client.getTxpoolStatus()).pending > 0 ? true : undefined))
  await l1.mine(1)
}

async function nextBlock(): Promise<void> {
  const node = client()
  const head = await node.getBlockNumber()
  await until('the next block', async () => ((await node.getBlockNumber()) > head ? true : undefined))
}

function postIn(da: 'blob' | 'calldata'): void {
  writeFileSync(configFile, JSON.stringify({ da }))
}

async function expectRefusal(dataDir: string, message: RegExp): Promise<void> {
  const args = ['devnet', '--json', '--rpc-port', '0', '--data-dir', dataDir, '--l1', l1.url, '--da', 'calldata']
  const { code, stdout, stderr } = await runCommand(args, FAILED_START_MAX_MS)
  expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(message)
}

function changeGenesis(path: string): void {
  const genesis = decodeGenesis(readFileSync(path, 'utf8'))
  writeFileSync(path, encodeGenesis({ ...genesis, timestampMs: genesis.timestampMs + 1 }))
}

/** Flips a bit of the first frame and puts whole ones behind it, without which it could be a write that was cut off. */
function spoilFirst(path: string, at: number): void {
  const whole = readFileSync(path)
  const spoiled = Uint8Array.from(whole)
  spoiled[at] = (spoiled[at] ?? 0) ^ 1
  writeFileSync(path, Buffer.concat([spoiled, whole]))
}

/** As if the key had signed at this height, and the log of it had not survived. */
function forgetLog(consensus: string, height: number): void {
  const guard = { chainId: DEVNET_PARAMS.chainId, height, round: 0, kind: 'prevote', digest: `0x${'5e'.repeat(32)}` } as const
  writeFileSync(join(consensus, 'guard'), encodeGuard(guard))
  truncateSync(join(consensus, 'wal'))
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false // the only reason for a process of our own user: there is none
  }
  // One that ended and whose parent, killed before it, could not take note is none either.
  const stat = `/proc/${pid}/stat`
  return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, 'utf8'))
}

function client(): L2Client {
  return l2Client(devnet.ready().rpc, 0)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
