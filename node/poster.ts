/**
 * Posts batches to L1, a checkpoint after each, and evidence against validators. What is next follows from the batches on L1 (node/safeChain.ts), and a batch
 * names how many of them it knows, so a restart, or a second poster, makes neither gaps nor doubles; what is in flight is on disk before it is sent
 * (settlement/txManager.ts).
 */
import { concatBytes, type Hex, hexToBytes } from 'viem'
import { uncompressedSignature } from '../consensus/bls.ts'
import { decodeMessage } from '../consensus/message.ts'
import { encodeSet, indexOfKey } from '../consensus/validatorSet.ts'
import { assert } from '../execution/assert.ts'
import { encodeHeader } from '../execution/block.ts'
import { BATCH_PAYLOAD_BYTES_MAX } from '../settlement/blob.ts'
import type { DerivationHead } from '../settlement/derive.ts'
import { ANY_COUNT, type BatchHeader, blobDataHash, callDataHash, encodePostBatch, type Posting } from '../settlement/inbox.ts'
import type { BlobArchive, L1 } from '../settlement/l1.ts'
import { L1Error } from '../settlement/l1Error.ts'
import type { L1Ref } from '../settlement/l1Logs.ts'
import type { L1Signer } from '../settlement/l1Tx.ts'
import { type BlockSize, CALLDATA_PAYLOAD_MAX, chooseDa, choosePost, type Da, takeoverMs } from '../settlement/post.ts'
import { encodeRotate, toL1Commit } from '../settlement/registry.ts'
import { createTxManager, type TxClock, type TxManager, type TxOutcome, type TxRequest } from '../settlement/txManager.ts'
import { createAccuser } from './accuser.ts'
import { type BatchThread, BatchThreadError } from './batchThread.ts'
import type { BlockRange } from './batchWork.ts'
import type { ChainState } from './chainState.ts'
import { type Checkpointer, createCheckpointer } from './checkpointer.ts'
import type { Cosigner } from './cosigner.ts'
import type { EpochSets } from './epochs.ts'
import type { EvidenceStore } from './evidenceStore.ts'
import type { L1Follower, L1Status } from './l1Follower.ts'
import { errorFacts, type Facts, type Log } from './log.ts'
import { createPendingTxStore } from './pendingTxStore.ts'
import type { SafeChain } from './safeChain.ts'

/** The poster looks for work this often, and whenever it is woken. */
const POLL_MS = 500
/** Full blobs that are worth a transaction before the time is up. */
const BLOBS_WORTH = 3
/** Age of an L1 block that a batch may name, in blocks: L1 remembers hashes of 8,191 (EIP-2935), and the batch is on its way for some. */
const ORIGIN_AGE_MAX = 8_000n
/** Blocks looked at for one batch. */
const BLOCKS_PER_BATCH = 512n
/** Blocks that are measured at once. */
const BLOCKS_AT_ONCE = 64n
/** Blocks whose senders are kept: 2 MiB where they are full. */
const SENDERS_BLOCKS_MAX = 512
/** Threads that died one after another before it is taken for a defect. */
const THREADS_LOST_MAX = 3
const GWEI = 10n ** 9n
/** How transactions are sent. */
const SENDING = {
  maxFeeLimitWei: 500n * GWEI,
  maxBlobFeeLimitWei: 500n * GWEI,
  confirmations: 1n,
  pollMs: 250,
  resubmitMs: 30_000,
  waitMs: 20_000,
} as const

export type PosterOptions = {
  readonly chain: ChainState
  readonly l1: L1
  readonly batchThread: BatchThread
  readonly follower: L1Follower
  readonly safeChain: SafeChain
  readonly cosigner: Pick<Cosigner, 'certified'>
  /** Keeps the blobs that are posted. */
  readonly archive: BlobArchive
  readonly log: Log
  readonly poster: L1Signer | undefined
  readonly submitter: L1Signer | undefined
  /** Of the validator that this node is, if it is one. */
  readonly publicKey: Hex | undefined
  /** `auto`: by price. */
  readonly da: Da | 'auto'
  readonly batchSec: number
  /** Seconds between two checkpoints at least. */
  readonly checkpointIntervalSec: bigint
  readonly sets: EpochSets
  /** Evidence against validators, which the submitter's account brings. */
  readonly evidence: EvidenceStore
  onFatal(error: unknown): void
}

export type Poster = { stop(): Promise<void> }

/** Starts posting; without accounts it does nothing. */
export function createPoster(options: PosterOptions): Poster {
  const { chain, l1, batchThread, follower, safeChain, sets, log, da } = options
  const { batches, checkpoints } = createManagers(options, { nowMs: Date.now, sleep })
  let lastDa: Da | undefined
  const { accuseNext } = createAccuser({ store: options.evidence, registry: chain.genesis.l1.validatorRegistry, log, nowMs: Date.now })
  const checkpointer = openCheckpointer(options)
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  /** Ends a pause early. */
  let endPause: () => void = () => {}
  /** Behind which batch we stand, and since when. */
  let headIndex: bigint | undefined
  let movedAtMs = Date.now()
  let tailRatio = 1
  let threadsLost = 0
  /** Of blocks that are not on L1, as far as they were looked at. */
  const measured = new Map<bigint, BlockSize>()
  /** Senders of their transactions, which the thread need not recover then: 20 bytes each. */
  const senders = new Map<bigint, Uint8Array>()
  const forgetBlocks = chain.onBlock(({ block, transactions }) => {
    if (senders.size < SENDERS_BLOCKS_MAX)
      senders.set(block.header.number, concatBytes(transactions.map(({ sender }) => hexToBytes(sender))))
  })
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

  async function postNext(): Promise<void> {
    const count = safeChain.judgedCount()
    const inbox = await l1.inboxState()
    // Whatever was posted has to be judged before it is known what follows.
    if (inbox.batchCount !== count) return
    const head = safeChain.head()
    if (!isOurTurn(head)) return
    const due = await plan(head, sets.areMany ? BigInt((await l1.newestEpoch()) + 1) * BigInt(chain.genesis.params.epochBlocks) : undefined)
    if (due === 0) return
    const made = await makeBatch(head, due)
    if (!made || stopped) return
    const { header, payload, certificate } = made
    // Who posts what nobody can follow, to be the first each time, stops nobody: behind an invalid batch ours stands whatever comes before it.
    const isContested = inbox.accumulator !== head.accumulator
    const posting = { certificate, next: head.nextIndex, count: isContested ? ANY_COUNT : count }
    const kind = chooseDa(payload, await l1.transactions.fees(), { asked: da, last: lastDa })
    const outcome = await batches[kind]?.send(await toRequest(options, { kind, header, payload, posting }))
    if (!outcome) return
    if (outcome.ok) lastDa = kind
    report(log, 'batch', outcome, {
      index: head.nextIndex,
      da: kind,
      firstBlock: header.firstBlock,
      lastBlock: header.lastBlock,
      bytes: payload.length,
    })
  }

  function isOurTurn({ nextIndex }: DerivationHead): boolean {
    if (headIndex !== nextIndex) [headIndex, movedAtMs] = [nextIndex, Date.now()]
    const set = sets.next()
    const place = options.publicKey && indexOfKey(set, options.publicKey)
    const waitMs = takeoverMs({ isOwn: safeChain.isOwn(), nextIndex, place, size: set.validators.length })
    return waitMs === 0 || Date.now() >= movedAtMs + limits.intervalMs + waitMs
  }

  /** How many blocks to post now; none beyond `lastKnown`, whose validators L1 does not know yet. */
  async function plan({ lastBlock }: DerivationHead, lastKnown: bigint | undefined): Promise<number> {
    for (const number of measured.keys()) if (number <= lastBlock) measured.delete(number)
    for (const number of senders.keys()) if (number <= lastBlock) senders.delete(number)
    const latest = chain.head().header.number
    const head = lastKnown !== undefined && lastKnown < latest ? lastKnown : latest
    const end = head < lastBlock + BLOCKS_PER_BATCH ? head : lastBlock + BLOCKS_PER_BATCH
    let next = lastBlock + 1n
    while (measured.has(next)) next++
    for (; next <= end && !stopped; next += BLOCKS_AT_ONCE) {
      const to = end < next + BLOCKS_AT_ONCE - 1n ? end : next + BLOCKS_AT_ONCE - 1n
      for (const [i, size] of (await batchThread.measure(rangeOf(next, to))).entries()) measured.set(next + BigInt(i), size)
    }
    const sizes: BlockSize[] = []
    for (let number = lastBlock + 1n; number <= end; number++) {
      const size = measured.get(number)
      if (size) sizes.push(size)
    }
    const decision = choosePost({ sizes, sinceMs: movedAtMs, nowMs: Date.now(), tailRatio }, limits)
    return decision.kind === 'post' ? decision.count : 0
  }

  function rangeOf(firstBlock: bigint, lastBlock: bigint): BlockRange {
    const own = Array.from({ length: Number(lastBlock - firstBlock) + 1 }, (_, i) => senders.get(firstBlock + BigInt(i)))
    return { firstBlock, lastBlock, senders: own }
  }

  /** The batch of the next `count` blocks, or of fewer if so many do not fit into one. Undefined: L1 moves under it just now. */
  async function makeBatch({ accumulator, nextIndex, lastBlock: last }: DerivationHead, count: number): Promise<Made | undefined> {
    const firstBlock = last + 1n
    const made = await batchThread.make({
      ...rangeOf(firstBlock, last + BigInt(count)),
      index: nextIndex,
      payloadBytesMax: payloadBytesMax(options),
      singleBytesMax: payloadBytesMax(options, 1),
    })
    const { payload, certificate, lastBlock, lastBlockHash, originNumber, originHash } = made
    tailRatio = made.tailRatio
    const pin = pinOf({ number: originNumber, hash: originHash }, follower)
    if (!pin) return undefined
    const origin = { l1OriginNumber: pin.number, l1OriginHash: pin.hash }
    const place = { prevAccumulator: accumulator, firstBlock, lastBlock, lastBlockHash }
    return { header: { ...place, ...origin, payloadBytes: payload.length }, payload, certificate }
  }

  /** The next epoch on L1, once the last block of the newest one there is final here. */
  async function rotateNext(sender: TxManager): Promise<void> {
    const { params, l1: addresses } = chain.genesis
    if (!sets.areMany) return
    const epoch = await l1.newestEpoch()
    const number = BigInt(epoch + 1) * BigInt(params.epochBlocks)
    const [stored, message] = [chain.store.block(number), chain.store.commit(number)]
    const [set, next] = [sets.setAt(Number(number)), sets.setAt(Number(number) + 1)]
    const decoded = message && decodeMessage(message)
    if (!stored || !set || !next || !decoded?.ok || decoded.value.kind !== 'commit') return
    const commit = toL1Commit(decoded.value, uncompressedSignature)
    assert(commit, 'a final block has a signature')
    const [before, after] = [encodeSet(set), encodeSet(next)]
    const entries = Buffer.compare(before, after) === 0 ? new Uint8Array() : after
    const outcome = await sender.send({
      to: addresses.validatorRegistry,
      data: encodeRotate(commit, encodeHeader(stored.block.header), entries),
    })
    report(log, 'epoch', outcome, { epoch: epoch + 1, lastBlock: number })
  }

  async function turn(): Promise<void> {
    if (!follower.status().synced) return
    if (batches.blob && batches.calldata && (await isFree('batch', batches.blob)) && (await isFree('batch', batches.calldata)))
      await postNext()
    for (const [name, work] of [
      ['evidence', accuseNext],
      ['checkpoint', async (sender: TxManager) => checkpointer?.submitNext(sender)],
      ['epoch', rotateNext],
    ] as const)
      if (checkpoints && (await isFree(name, checkpoints))) await work(checkpoints)
  }

  /** Takes up what an earlier turn or run left in flight; false while it is. */
  async function isFree(name: string, sender: TxManager): Promise<boolean> {
    if (stopped) return false
    const left = await sender.resume()
    if (left) report(log, `${name} of before`, left, {})
    return !left || left.ok || left.code !== 'pending'
  }

  async function run(): Promise<void> {
    while (!stopped) {
      try {
        await turn()
        threadsLost = 0
      } catch (error) {
        if (error instanceof BatchThreadError && error.retryable && ++threadsLost < THREADS_LOST_MAX && !stopped) {
          log.warn('posting goes on with another thread', errorFacts(error))
          continue
        }
        if (stopped) return
        if (!(error instanceof L1Error) || error.kind === 'stop') {
          options.onFatal(error)
          return
        }
        if (!stopped) log.warn('posting waits for L1', errorFacts(error))
      }
      await sleep(POLL_MS).catch(() => {}) // stopped: the loop sees it
    }
  }

  const running = options.poster || options.submitter ? run() : Promise.resolve()

  return {
    async stop() {
      stopped = true
      forgetBlocks()
      clearTimeout(timer)
      endPause()
      await batchThread.close()
      await running
    },
  }
}

/**
 * The L1 block that a batch whose last block has this origin names: the origin, or a younger one if L1 remembers it no more. Undefined: L1 moves, or is not
 * read up to the origin yet. Spec: docs/spec/batch.md#on-l1
 */
export function pinOf(
  origin: L1Ref,
  follower: Pick<L1Follower, 'block' | 'firstKept'> & { status(): Pick<L1Status, 'head'> },
): L1Ref | undefined {
  const seen = follower.block(origin.number)
  if (seen) return seen.hash === origin.hash ? origin : undefined
  const first = follower.firstKept()
  const { head } = follower.status()
  // What is not kept any more is final; what is not known yet is waited for.
  if (first === undefined || head === undefined || origin.number >= first) return undefined
  return head.number - origin.number < ORIGIN_AGE_MAX ? origin : follower.block(first)
}

type Managers = { readonly batches: Readonly<Record<Da, TxManager | undefined>>; readonly checkpoints: TxManager | undefined }

/** Those of batches are of one account, one after another: what is in flight of either kind is waited for before the next is made. */
function createManagers({ chain, l1, poster, submitter }: PosterOptions, clock: TxClock): Managers {
  const { chainId } = chain.genesis.l1
  const create = (name: string, kind: 'ordinary' | 'blob', signer: L1Signer | undefined) =>
    signer &&
    createTxManager({ l1: l1.transactions, store: createPendingTxStore(chain.store, name), clock }, { ...SENDING, kind, chainId, signer })
  return {
    batches: { blob: create('batch', 'blob', poster), calldata: create('batch data', 'ordinary', poster) },
    checkpoints: create('checkpoint', 'ordinary', submitter),
  }
}

function openCheckpointer(options: PosterOptions): Checkpointer | undefined {
  const { chain, follower, safeChain, cosigner, sets, log, publicKey, submitter, checkpointIntervalSec } = options
  return (
    submitter &&
    createCheckpointer({
      chain,
      follower,
      safeChain,
      cosigner,
      sets,
      account: submitter.address,
      publicKey,
      intervalSec: checkpointIntervalSec,
      report: (outcome, facts) => report(log, 'checkpoint', outcome, facts),
      nowMs: Date.now,
    })
  )
}

/** What a batch may not exceed. A single block may, in call data: whether a pool takes it is for L1 to say. */
function payloadBytesMax({ da }: Pick<PosterOptions, 'da'>, blockCount = 0): number {
  return da !== 'calldata' || blockCount === 1 ? BATCH_PAYLOAD_BYTES_MAX : CALLDATA_PAYLOAD_MAX
}

type Made = { readonly header: BatchHeader; readonly payload: Uint8Array; readonly certificate: Posting['certificate'] }
type Post = { readonly kind: Da; readonly header: BatchHeader; readonly payload: Uint8Array; readonly posting: Posting }

async function toRequest(options: PosterOptions, { kind, header, payload, posting }: Post): Promise<TxRequest> {
  const { chain, batchThread, safeChain, archive } = options
  const to = chain.genesis.l1.inbox
  if (kind === 'calldata') {
    await safeChain.posting({ header, dataHash: callDataHash(payload) })
    return { to, data: encodePostBatch(header, { ...posting, payload }) }
  }
  const sidecar = await batchThread.sidecar(payload)
  await archive.keep(sidecar.versionedHashes, sidecar.blobs)
  await safeChain.posting({ header, dataHash: blobDataHash(sidecar.versionedHashes) })
  return { to, data: encodePostBatch(header, posting), sidecar }
}

function report(log: Log, what: string, outcome: TxOutcome, facts: Facts): void {
  if (outcome.ok) log.info(`${what} is on L1`, { ...facts, l1Block: outcome.l1Block.number, tx: outcome.hash })
  else log.warn(`${what} is not on L1`, { ...facts, ...outcome })
}
