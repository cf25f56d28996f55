/**
 * Posts batches to L1, and a checkpoint after each. What is next is read from the inbox contract, which takes each block once and in order, so a
 * restart, or a second poster, makes neither gaps nor doubles; what is in flight is on disk before it is sent (settlement/txManager.ts).
 */
import type { Hex } from 'viem'
import { decodeMessage } from '../consensus/message.ts'
import { assert } from '../execution/assert.ts'
import { timestampMs } from '../execution/block.ts'
import { type BatchCommit, type BatchParent, encodeBatch, toBatchBlocks } from '../settlement/batch.ts'
import { BATCH_PAYLOAD_BYTES_MAX, encodeBlobs } from '../settlement/blob.ts'
import { encodeSubmit } from '../settlement/checkpoint.ts'
import { type BatchHeader, encodePostBatch } from '../settlement/inbox.ts'
import { createSidecar, type Kzg } from '../settlement/kzg.ts'
import type { InboxState, L1 } from '../settlement/l1.ts'
import { L1Error } from '../settlement/l1Error.ts'
import type { L1Signer } from '../settlement/l1Tx.ts'
import { createLaneRun, encodeLane, groupsOf, type LaneBlock, laneRows, lookupsOf } from '../settlement/lane.ts'
import { type BlockSize, choosePost, measureBlock, shrinkPost } from '../settlement/post.ts'
import { createTxManager, type TxManager, type TxOutcome, type TxRequest } from '../settlement/txManager.ts'
import { type Blocks, type DecodedBlock, l1InfoAfter } from './blocks.ts'
import { brotli } from './brotli.ts'
import type { ChainState } from './chainState.ts'
import type { L1Follower } from './l1Follower.ts'
import { errorFacts, type Facts, type Log } from './log.ts'
import { createPendingTxStore } from './pendingTxStore.ts'

/** The poster looks for work this often, and whenever it is woken. */
const POLL_MS = 500
/** Full blobs that are worth a transaction before the time is up. */
const BLOBS_WORTH = 3
/** A batch in call data stays well below the pools' limit for one transaction, 128 KiB. */
const CALLDATA_PAYLOAD_MAX = 120_000
/** Blocks looked at for one batch. */
const BLOCKS_PER_BATCH = 512
const GWEI = 10n ** 9n

export type PosterOptions = {
  readonly chain: ChainState
  readonly blocks: Blocks
  readonly l1: L1
  readonly kzg: Kzg
  readonly follower: L1Follower
  readonly log: Log
  readonly poster: L1Signer | undefined
  readonly submitter: L1Signer | undefined
  readonly da: 'blob' | 'calldata'
  readonly batchSec: number
  readonly validatorSetHash: Hex
  onFatal(error: unknown): void
}

export type Poster = { stop(): Promise<void> }

/** Starts posting; without accounts it does nothing. */
export function createPoster(options: PosterOptions): Poster {
  const { chain, blocks, l1, follower, log, da } = options
  const { chainId } = chain.genesis.l1
  const manager = (name: string, kind: 'ordinary' | 'blob', signer: L1Signer | undefined): TxManager | undefined =>
    signer &&
    createTxManager(
      { l1: l1.transactions, store: createPendingTxStore(chain.store, name), clock: { nowMs: Date.now, sleep } },
      {
        kind,
        chainId,
        signer,
        maxFeeLimitWei: 500n * GWEI,
        maxBlobFeeLimitWei: 500n * GWEI,
        confirmations: 1n,
        pollMs: 250,
        resubmitMs: 30_000,
        waitMs: 20_000,
      },
    )
  const batches = manager('batch', da === 'blob' ? 'blob' : 'ordinary', options.poster)
  const checkpoints = manager('checkpoint', 'ordinary', options.submitter)
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  /** Ends a pause early. */
  let endPause: () => void = () => {}
  let postedAtMs = Date.now()
  let tailRatio = 1
  const measured = new Map<Hex, BlockSize>()
  const limits = {
    intervalMs: options.batchSec * 1_000,
    blobsWorth: BLOBS_WORTH,
    payloadBytesMax: payloadBytesMax(options),
  }

  /** Throws when the poster is stopped meanwhile, which ends whatever waits for L1; what was sent is on disk. */
  async function sleep(ms: number): Promise<void> {
    if (!stopped) {
      await new Promise<void>((resolve) => {
        timer = setTimeout(resolve, ms)
        endPause = resolve
      })
    }
    if (stopped) throw new L1Error('the poster is stopping', { kind: 'retry' })
  }

  async function postNext(sender: TxManager): Promise<void> {
    const inbox = await l1.inboxState()
    const due = plan(inbox)
    if (due === 0) return
    const made = await makeBatch(options, inbox, due)
    if (!made || stopped) return
    const { header, payload } = made
    tailRatio = made.tailRatio
    const outcome = await sender.send(await toRequest(options, header, payload))
    report(log, 'batch', outcome, {
      index: inbox.batchCount,
      firstBlock: header.firstBlock,
      lastBlock: header.lastBlock,
      bytes: payload.length,
    })
    if (outcome.ok) postedAtMs = Date.now()
  }

  /** How many blocks to post now. */
  function plan(inbox: InboxState): number {
    const sizes: BlockSize[] = []
    const headBlock = chain.head().header.number
    for (let number = inbox.lastBlock + 1n; number <= headBlock && sizes.length < BLOCKS_PER_BATCH; number++) {
      const read = blocks.read(number)
      assert(read, `block ${number} is missing`)
      sizes.push(measured.get(read.hash) ?? remember(read))
    }
    const decision = choosePost({ sizes, sinceMs: postedAtMs, nowMs: Date.now(), tailRatio }, limits)
    return decision.kind === 'post' ? decision.count : 0
  }

  function remember({ hash, block, transactions, operations }: DecodedBlock): BlockSize {
    if (measured.size >= 2 * BLOCKS_PER_BATCH) measured.clear()
    const size = measureBlock({ header: block.header, transactions, operations })
    measured.set(hash, size)
    return size
  }

  /** A checkpoint for the latest batch that is ours and has none. */
  async function submitNext(sender: TxManager): Promise<void> {
    const { lastBatch, checkpointed } = follower.status()
    if (!lastBatch || lastBatch.header.lastBlock <= checkpointed) return
    const { lastBlock, lastBlockHash } = lastBatch.header
    const stored = chain.store.block(lastBlock)
    if (stored?.hash !== lastBlockHash) return
    const checkpoint = {
      lastBlock,
      blockHash: stored.hash,
      evmRoot: stored.block.header.stateRoot,
      ledgerRoot: stored.ledgerRoot,
      batchIndex: lastBatch.index,
      batchAccumulator: lastBatch.accumulator,
      depositCursor: l1InfoAfter(chain.store, lastBlock).depositCursor,
      nextValidatorSetHash: options.validatorSetHash,
    }
    const outcome = await sender.send({ to: chain.genesis.l1.checkpointManager, data: encodeSubmit(checkpoint) })
    report(log, 'checkpoint', outcome, { lastBlock })
  }

  async function turn(): Promise<void> {
    if (!follower.status().synced) return
    for (const [name, sender, work] of [
      ['batch', batches, postNext],
      ['checkpoint', checkpoints, submitNext],
    ] as const) {
      if (!sender || stopped) continue
      const left = await sender.resume()
      if (left) report(log, `${name} of before`, left, {})
      if (left && !left.ok && left.code === 'pending') continue
      await work(sender)
    }
  }

  async function run(): Promise<void> {
    while (!stopped) {
      try {
        await turn()
      } catch (error) {
        if (!(error instanceof L1Error) || error.kind === 'stop') {
          options.onFatal(error)
          return
        }
        if (!stopped) log.warn('posting waits for L1', errorFacts(error))
      }
      await sleep(POLL_MS).catch(() => {}) // stopped: the loop sees it
    }
  }

  const running = batches || checkpoints ? run() : Promise.resolve()

  return {
    async stop() {
      stopped = true
      clearTimeout(timer)
      endPause()
      await running
    },
  }
}

/** What a batch may not exceed. A single block may, in call data: whether a pool takes it is for L1 to say. */
function payloadBytesMax({ da }: Pick<PosterOptions, 'da'>, blockCount = 0): number {
  return da === 'blob' || blockCount === 1 ? BATCH_PAYLOAD_BYTES_MAX : CALLDATA_PAYLOAD_MAX
}

type MadeBatch = { readonly header: BatchHeader; readonly payload: Uint8Array; readonly tailRatio: number }

/** The batch of the next `count` blocks, or of fewer if so many do not fit into one. Undefined: L1 moves under it just now. */
async function makeBatch(options: PosterOptions, inbox: InboxState, count: number): Promise<MadeBatch | undefined> {
  const { chain, blocks, follower } = options
  const firstBlock = inbox.lastBlock + 1n
  const lastBlock = inbox.lastBlock + BigInt(count)
  const { lane, parent } = collect(options, firstBlock, lastBlock)
  const batchBlocks = toBatchBlocks(lane, parent)
  const last = blocks.read(lastBlock)
  const origin = follower.block(batchBlocks.at(-1)?.originNumber ?? parent.originNumber)
  if (!last || origin?.hash !== last.block.header.parentBeaconBlockRoot) return undefined
  const batch = {
    index: inbox.batchCount,
    firstBlock,
    commit: commitOf(chain, lastBlock),
    blocks: batchBlocks,
    lane: encodeLane(laneRows(lane)),
    ledgerRoots: await ledgerRoots(chain, firstBlock, lane),
  }
  const encoded = encodeBatch(batch, { parent, compress: brotli.compress, payloadBytesMax: payloadBytesMax(options, count) })
  if (!encoded.ok) {
    const fewer = shrinkPost(count, encoded)
    assert(fewer !== undefined, `block ${firstBlock} does not fit into a batch: ${encoded.code}`)
    return makeBatch(options, inbox, fewer)
  }
  const { payload, tailRatio } = encoded
  const header: BatchHeader = {
    prevAccumulator: inbox.accumulator,
    firstBlock,
    lastBlock,
    lastBlockHash: last.hash,
    l1OriginNumber: origin.number,
    l1OriginHash: origin.hash,
    payloadBytes: payload.length,
  }
  return { header, payload, tailRatio }
}

function collect({ chain, blocks }: PosterOptions, firstBlock: bigint, lastBlock: bigint): { lane: LaneBlock[]; parent: BatchParent } {
  const before = blocks.read(firstBlock - 1n)
  assert(before, 'a batch has a parent')
  const parent = { timestampMs: timestampMs(before.block.header), originNumber: l1InfoAfter(chain.store, firstBlock - 1n).number }
  const lane = Array.from({ length: Number(lastBlock - firstBlock) + 1 }, (_, i): LaneBlock => {
    const read = blocks.read(firstBlock + BigInt(i))
    assert(read, `block ${firstBlock + BigInt(i)} is missing`)
    return { header: read.block.header, transactions: read.transactions, operations: read.operations }
  })
  return { lane, parent }
}

/** The ledger root after every sixteen rows. Blocks go on being made in between the groups. */
async function ledgerRoots(chain: ChainState, firstBlock: bigint, lane: readonly LaneBlock[]): Promise<Hex[]> {
  const { store, genesis } = chain
  const root = store.roots(firstBlock - 1n).ledgerRoot
  const run = createLaneRun({ root, source: store.reader, params: genesis.params, lookups: lookupsOf(lane) })
  const roots: Hex[] = []
  for (const group of groupsOf(laneRows(lane))) {
    const result = run.applyGroup(group)
    assert(result.ok, 'the lane of our own blocks does not run')
    roots.push(result.ledgerRoot)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const last = lane.at(-1)?.header.number ?? firstBlock - 1n
  assert((roots.at(-1) ?? root) === store.roots(last).ledgerRoot, 'the lane leads to another ledger root than the blocks')
  return roots
}

function commitOf(chain: ChainState, number: bigint): BatchCommit {
  const decoded = decodeMessage(chain.store.commit(number) ?? new Uint8Array())
  assert(decoded.ok && decoded.value.kind === 'commit', `the certificate of block ${number} is damaged`)
  const { round, bitmap, signature } = decoded.value
  return { round, bitmap, signature }
}

async function toRequest({ chain, kzg, da }: PosterOptions, header: BatchHeader, payload: Uint8Array): Promise<TxRequest> {
  const to = chain.genesis.l1.inbox
  if (da === 'calldata') return { to, data: encodePostBatch(header, payload) }
  return { to, data: encodePostBatch(header), sidecar: await createSidecar(kzg, encodeBlobs(payload)) }
}

function report(log: Log, what: string, outcome: TxOutcome, facts: Facts): void {
  if (outcome.ok) log.info(`${what} is on L1`, { ...facts, l1Block: outcome.l1Block.number, tx: outcome.hash })
  else log.warn(`${what} is not on L1`, { ...facts, ...outcome })
}
