/**
 * `tributary verify`: rebuilds every block from what L1 holds, by the same execution as a validator's, and compares what there is to compare: each
 * batch's rows, ledger roots, certificate and last hash, each checkpoint, and, if asked, each block of a live node. Invalid batches are dropped, with the
 * reason; a checkpoint or a block that is not what follows is a difference, and ends it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPublicClient, type Hex, http } from 'viem'
import { verifyCommit } from '../consensus/certificate.ts'
import { judgeEvidence } from '../consensus/evidence.ts'
import { assert } from '../execution/assert.ts'
import { timestampMs } from '../execution/block.ts'
import { type Built, buildBlock } from '../execution/buildBlock.ts'
import { transactionHash } from '../execution/native/native.ts'
import { decodeGenesis, type Genesis } from '../genesis/genesis.ts'
import {
  checkBatchHeader,
  checkBuilt,
  checkCommit,
  checkExecuted,
  type DerivationHead,
  decodeBatchBlocks,
  isNext,
  type L1View,
  nextHead,
  toBlockRequests,
  toBuildRequest,
} from '../settlement/derive.ts'
import { createKzg } from '../settlement/kzg.ts'
import { createL1, findGenesis, type L1, type L1Block } from '../settlement/l1.ts'
import { type L1Batch, type L1Ref, type L1Submitted, standingCheckpoints } from '../settlement/l1Logs.ts'
import { l1InfoAfter } from './blocks.ts'
import { brotli } from './brotli.ts'
import { type ChainState, openChainState } from './chainState.ts'
import { type ConfigOf, UsageError } from './config.ts'
import { createEpochSets, type EpochSets } from './epochs.ts'
import { createLog } from './log.ts'
import { beaconOption, inboxOption } from './operatorNode.ts'
import { createRecoverPool } from './recoverPool.ts'
import { openStore, type StoredBlock } from './store.ts'

/** What is wrong, and where: `got` is theirs, `want` what follows from L1. */
type Fault = {
  readonly code: string
  readonly block?: bigint
  readonly txIndex?: number
  readonly field?: string
  readonly got?: unknown
  readonly want?: unknown
  readonly facts?: Readonly<Record<string, unknown>>
}

/** Something that is not as L1, or the live node, says. */
export type VerifyDifference = Fault & { readonly where: 'checkpoint' | 'node' }

/** An invalid batch, and what is wrong with it: nothing of it was taken. */
export type DroppedBatch = Fault & { readonly index: bigint }

export type VerifySummary = {
  readonly blocks: bigint
  readonly transactions: number
  /** Batches that blocks were taken from. */
  readonly batches: number
  /** The first 64 of those that were dropped, and how many there were. */
  readonly dropped: readonly DroppedBatch[]
  readonly droppedCount: number
  /** Batches that follow no batch that blocks were taken from, or one whose blocks were there already. */
  readonly passedOver: number
  readonly payloadBytes: number
  readonly checkpoints: number
  /** Blocks compared with the live node. */
  readonly compared: number
  readonly head: { readonly number: bigint; readonly hash: Hex; readonly stateRoot: Hex; readonly ledgerRoot: Hex }
}

export type VerifyResult = ({ readonly ok: true } | { readonly ok: false; readonly difference: VerifyDifference }) & {
  readonly summary: VerifySummary
}

export type VerifyOptions = {
  readonly l1Url: string
  readonly beaconUrls: readonly string[]
  readonly inbox: Hex | undefined
  /** A node whose blocks are compared, too. */
  readonly rpcUrl: string | undefined
  onProgress(progress: { readonly block: bigint; readonly batch: number; readonly batches: number }): void
}

/** Everything that a walk over the batches has in hand. */
type Walk = {
  chain: ChainState
  sets: EpochSets
  head: DerivationHead
  readonly genesis: Genesis
  readonly l1: L1
  readonly live: ReturnType<typeof createLive> | undefined
  readonly dropped: DroppedBatch[]
  readonly counts: {
    transactions: number
    batches: number
    droppedCount: number
    passedOver: number
    payloadBytes: number
    compared: number
    checkpoints: number
  }
  /** Opens the chain on what the store holds. */
  open(): Promise<ChainState>
}

/** Dropped batches that are told. */
const DROPPED_MAX = 64

/** Rebuilds and compares. Throws `L1Error` where L1 cannot be read; a difference is a result. */
export async function verifyFromL1(options: VerifyOptions): Promise<VerifyResult> {
  const { l1Url, beaconUrls, inbox, rpcUrl, onProgress } = options
  const published = await findGenesis({ rpcUrl: l1Url }, inbox ? { inbox } : {})
  const genesis = decodeGenesis(new TextDecoder().decode(published.genesis))
  const { portal, checkpointManager, validatorRegistry, chainId, origin } = genesis.l1
  const l1 = createL1({
    rpcUrl: l1Url,
    beaconUrls,
    chainId,
    addresses: { portal, inbox: published.inbox, checkpointManager, validatorRegistry },
    kzg: createKzg(),
  })
  await l1.check()
  const directory = mkdtempSync(join(tmpdir(), 'tributary-verify-'))
  const store = await openStore(directory, { durable: false })
  const log = createLog({ level: 'error', json: false, write: (line) => process.stderr.write(line) })
  const recoverPool = createRecoverPool({ log })
  try {
    const mempool = { txsMax: 0, bytesMax: 0, txsPerSenderMax: 0, nonceGapMax: 0, replacementPercent: 0 }
    const open = () => openChainState({ store, genesis, mempool, log, recover: recoverPool.recover })
    const chain = await open()
    const to = await l1.blockByTag('latest')
    const batches = await l1.batches(origin.number, to)
    const checkpoints = standingCheckpoints(await l1.checkpoints(origin.number, to))
    const walk: Walk = {
      chain,
      genesis,
      l1,
      sets: createEpochSets(chain),
      head: { accumulator: published.hash, nextIndex: 0n, lastBlock: 0n },
      live: rpcUrl === undefined ? undefined : createLive(rpcUrl),
      dropped: [],
      counts: { transactions: 0, batches: 0, droppedCount: 0, passedOver: 0, payloadBytes: 0, compared: 0, checkpoints: 0 },
      open,
    }
    let difference = await compareLive(walk, 0n, 0n)
    for (const [index, batch] of batches.entries()) {
      if (difference) break
      const isTaken = await takeBatch(walk, batch)
      difference = compareCheckpoints(walk, checkpoints, { batch, isTaken })
      if (isTaken) difference ??= await compareLive(walk, batch.header.firstBlock, batch.header.lastBlock)
      onProgress({ block: walk.chain.head().header.number, batch: index + 1, batches: batches.length })
    }
    const summary = summarise(walk)
    return difference ? { ok: false, difference, summary } : { ok: true, summary }
  } finally {
    await recoverPool.close()
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Goes over a batch if it follows the head and is valid. What an invalid one had written is taken back. */
async function takeBatch(walk: Walk, posted: L1Batch): Promise<boolean> {
  const { counts, dropped } = walk
  if (!isNext(walk.head, posted)) {
    counts.passedOver++
    return false
  }
  const { store } = walk.chain
  store.mark()
  const parent = walk.chain.head().hash
  const applied = await applyBatch(walk, posted)
  if (applied.ok) {
    counts.batches++
    counts.transactions += applied.transactions
    counts.payloadBytes += posted.header.payloadBytes
    walk.head = nextHead(posted)
    return true
  }
  counts.droppedCount++
  if (dropped.length < DROPPED_MAX) dropped.push({ index: posted.index, ...toPlace(applied) })
  await store.takeBack()
  walk.chain = await walk.open()
  walk.sets = createEpochSets(walk.chain)
  assert(walk.chain.head().hash === parent, 'what an invalid batch wrote was not taken back')
  return false
}

type Applied = { readonly ok: true; readonly transactions: number } | Refused
type Refused = { readonly ok: false; readonly code: string; readonly [fact: string]: unknown }

/** Derives, executes and compares one batch. The blocks stay in the store. */
async function applyBatch({ chain, genesis, l1, sets, head }: Walk, posted: L1Batch): Promise<Applied> {
  const { params } = genesis
  const { store, executor } = chain
  const misplaced = checkBatchHeader(head, posted)
  if (misplaced) return misplaced
  const carried = await l1.batchPayload(posted)
  if (!carried.ok) return carried
  const { payload } = carried
  const parent = chain.head().header
  const before = l1InfoAfter(store, parent.number)
  const decoded = decodeBatchBlocks(posted, payload, {
    nextIndex: head.nextIndex,
    parent: { timestampMs: timestampMs(parent), originNumber: before.number },
    chainId: params.chainId,
    decompress: brotli.decompress,
  })
  if (!decoded.ok) return decoded
  const view = await viewL1(l1, decoded.origins, before.number)
  const requests = toBlockRequests(decoded, { header: posted.header, origin: before, l1: view })
  if (!requests.ok) return requests
  const lastSet = () => sets.setAt(Number(posted.header.lastBlock))
  const checkSigned = () =>
    checkCommit(decoded.batch, posted.header, ({ height, blockHash, round, bitmap, signature }) => {
      const set = lastSet()
      assert(set, 'the validators of a block whose parent is known are not')
      return verifyCommit(set, { height: Number(height), round, blockHash, bitmap, signature }, params.chainId).ok
    })
  // A batch that goes over the end of an epoch says itself who made its last block final.
  const isSetKnown = lastSet() !== undefined
  const unsigned = isSetKnown ? checkSigned() : undefined
  if (unsigned) return unsigned
  const root = store.roots(parent.number).ledgerRoot
  const results: Built[] = []
  for (const derived of requests.blocks) {
    const { common } = executor.vm
    const asked = await toBuildRequest(derived, results.at(-1)?.block.header ?? parent, { common, recover: executor.recover })
    if (!asked.ok) return asked
    const built = await buildBlock(executor, asked.request)
    const left = checkBuilt(derived, built)
    if (left) return left
    await chain.adopt(built)
    results.push(built)
  }
  const unsignedLast = isSetKnown ? undefined : checkSigned()
  if (unsignedLast) return unsignedLast
  const wrong = checkExecuted(decoded.batch, results, {
    lastBlockHash: posted.header.lastBlockHash,
    ledger: { root, source: store.reader, params, judgeEvidence },
  })
  return wrong ?? { ok: true, transactions: results.reduce((sum, { transactions }) => sum + transactions.length, 0) }
}

/** The L1 blocks that a batch names, and the deposits up to the last of them. */
async function viewL1(l1: L1, origins: readonly bigint[], after: bigint): Promise<L1View> {
  const blocks = new Map<bigint, L1Block>()
  for (const number of origins) {
    const block = await l1.blockByNumber(number)
    if (block) blocks.set(number, block)
  }
  const last = [...blocks.values()].reduce<L1Ref | undefined>(
    (latest, block) => (latest && latest.number > block.number ? latest : block),
    undefined,
  )
  const deposits = last ? await l1.deposits(after + 1n, last) : []
  return {
    block: (number) => blocks.get(number),
    deposits: (first, to) => deposits.filter(({ l1Block }) => l1Block.number >= first && l1Block.number <= to),
  }
}

function compareCheckpoints(
  { chain, counts }: Walk,
  checkpoints: readonly L1Submitted[],
  { batch: { index, accumulator }, isTaken }: { readonly batch: L1Batch; readonly isTaken: boolean },
): VerifyDifference | undefined {
  for (const { id, checkpoint } of checkpoints) {
    if (checkpoint.batchIndex !== index) continue
    // A checkpoint may be bound to nothing but what blocks follow from.
    if (!isTaken)
      return { where: 'checkpoint', code: 'batchNotTaken', block: checkpoint.lastBlock, field: 'batchIndex', got: index, facts: { id } }
    const stored = chain.store.block(checkpoint.lastBlock)
    const want = {
      blockHash: stored?.hash,
      evmRoot: stored?.block.header.stateRoot,
      ledgerRoot: stored?.ledgerRoot,
      batchAccumulator: accumulator,
      depositCursor: l1InfoAfter(chain.store, checkpoint.lastBlock).depositCursor,
    }
    for (const [field, value] of Object.entries(want)) {
      const got = checkpoint[field as keyof typeof want]
      if (got !== value)
        return { where: 'checkpoint', code: 'checkpointMismatch', block: checkpoint.lastBlock, field, got, want: value, facts: { id } }
    }
    counts.checkpoints++
  }
  return undefined
}

/** A live node's blocks, as it says. */
function createLive(rpcUrl: string) {
  const client = createPublicClient({ transport: http(rpcUrl, { batch: { batchSize: 50 }, retryCount: 2 }) })
  return (numbers: readonly bigint[]) => Promise.all(numbers.map((blockNumber) => client.getBlock({ blockNumber }).catch(() => undefined)))
}

async function compareLive({ chain, live, counts }: Walk, first: bigint, last: bigint): Promise<VerifyDifference | undefined> {
  if (!live) return undefined
  for (let from = first; from <= last; from += 50n) {
    const numbers = Array.from({ length: Number(last - from + 1n < 50n ? last - from + 1n : 50n) }, (_, i) => from + BigInt(i))
    for (const [i, theirs] of (await live(numbers)).entries()) {
      const number = numbers[i] ?? from
      const ours = chain.store.block(number)
      if (!theirs || !ours) return { where: 'node', code: 'blockMissing', block: number }
      const differing = differingField(ours, theirs)
      if (differing) return { where: 'node', code: 'blockMismatch', block: number, ...differing }
      counts.compared++
    }
  }
  return undefined
}

type Differing = { readonly txIndex?: number; readonly field: string; readonly got: unknown; readonly want: unknown }

/** The first field of a block that the node has otherwise, and the first transaction, if that is where it begins. */
function differingField({ block, hash }: StoredBlock, theirs: object): Differing | undefined {
  const want: Readonly<Record<string, unknown>> = { ...block.header, hash }
  const got = theirs as Readonly<Record<string, unknown>>
  const ours = block.transactions.map((raw) => transactionHash(raw))
  const txs = got.transactions as readonly Hex[]
  const txIndex = Array.from({ length: Math.max(ours.length, txs.length) }, (_, i) => i).find((i) => ours[i] !== txs[i])
  const place = txIndex === undefined ? {} : { txIndex }
  const field = Object.keys(want).find((name) => String(got[name]).toLowerCase() !== String(want[name]).toLowerCase())
  if (field !== undefined) return { ...place, field, got: got[field], want: want[field] }
  return txIndex === undefined ? undefined : { txIndex, field: 'transactions', got: txs[txIndex], want: ours[txIndex] }
}

function toPlace({ ok: _, code, block, txIndex, got, want, ...facts }: Refused): Omit<DroppedBatch, 'index'> {
  const first = (facts.differences as readonly DroppedBatch[] | undefined)?.[0]
  const place = first ?? { block, txIndex, got, want }
  return {
    code,
    ...(typeof place.block === 'bigint' && { block: place.block }),
    ...(typeof place.txIndex === 'number' && { txIndex: place.txIndex }),
    ...(first?.field !== undefined && { field: first.field }),
    got: place.got,
    want: place.want,
    facts,
  }
}

function summarise({ chain, counts, dropped }: Walk): VerifySummary {
  const { header, hash } = chain.head()
  const { ledgerRoot } = chain.store.roots(header.number)
  return { blocks: header.number, ...counts, dropped, head: { number: header.number, hash, stateRoot: header.stateRoot, ledgerRoot } }
}

/** The command. Exit code 0: all as L1 says; 3: a difference. */
export async function runVerify(config: ConfigOf<'verify'>, print: (text: string) => void): Promise<number> {
  const { l1, rpc, beacon, inbox, json } = config
  if (l1 === undefined) throw new UsageError('--l1 URL is required')
  const live = !json && process.stdout.isTTY === true
  const result = await verifyFromL1({
    l1Url: l1,
    beaconUrls: beaconOption(beacon, l1),
    inbox: inboxOption(inbox),
    rpcUrl: rpc,
    onProgress: ({ block, batch, batches }) => {
      if (json) print(`${JSON.stringify({ progress: { block: Number(block), batch, batches } })}\n`)
      else print(`${live ? '\r\u001b[2K' : ''}block ${block} · batch ${batch} of ${batches}${live ? '' : '\n'}`)
    },
  })
  if (live) print('\n')
  print(json ? `${JSON.stringify(result, plain)}\n` : verifyText(result))
  return result.ok ? 0 : 3
}

/** A result for people. */
export function verifyText({ summary, ...result }: VerifyResult): string {
  const { blocks, transactions, batches, payloadBytes, checkpoints, compared, head, dropped, droppedCount, passedOver } = summary
  const lines = [
    `${blocks} blocks with ${transactions} transactions rebuilt from ${batches} batches (${payloadBytes.toLocaleString('en')} bytes)`,
    `${checkpoints} checkpoints compared${compared > 0 ? `, ${compared} blocks compared with the node` : ''}`,
    ...(droppedCount + passedOver > 0 ? [`${droppedCount} invalid batches dropped, ${passedOver} passed over`] : []),
    ...dropped.map((one) => `  dropped ${JSON.stringify(one, plain)}`),
    `head ${head.number} ${head.hash}`,
    `EVM root ${head.stateRoot}, ledger root ${head.ledgerRoot}`,
  ]
  if (result.ok) return `${lines.join('\n')}\nEverything is as L1 says.\n`
  return `${lines.join('\n')}\nDIFFERENCE ${JSON.stringify(result.difference, plain)}\n`
}

function plain(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
