/**
 * Which of the batches on L1 the chain goes on from: the first valid one that follows the last, as docs/spec/batch.md#derivation has it. A node that has the
 * blocks need not execute a batch: it is valid if it says what these blocks are. What L1 has made final and was judged is kept over a restart.
 */
import { bytesToHex, concatHex, type Hex, hexToBytes } from 'viem'
import { verifyCommit } from '../consensus/certificate.ts'
import { type DerivationHead, isNext, nextHead } from '../settlement/derive.ts'
import { batchAccumulator } from '../settlement/inbox.ts'
import type { L1 } from '../settlement/l1.ts'
import { L1Error } from '../settlement/l1Error.ts'
import type { L1Batch } from '../settlement/l1Logs.ts'
import { type BatchThread, BatchThreadError } from './batchThread.ts'
import { l1InfoAfter } from './blocks.ts'
import type { ChainState } from './chainState.ts'
import type { EpochSets } from './epochs.ts'
import type { L1Follower } from './l1Follower.ts'
import { errorFacts, type Log } from './log.ts'
import { type Store, StoreError } from './store.ts'

/** Batches of our own that are known for what they are without being read. */
const OWN_MAX = 64
/** Where the kept part stands in the store, and the hashes of our own batches. */
const META = 'safe'
const OWN_META = 'posted'
const HASH_BYTES = 32

/** On L1 stands a batch under a quorum's certificate of another block than ours: a third of the validators signed both, at least. */
export class ForkError extends L1Error {}

export type SafeChain = {
  /** Behind which batch the next one has to come. */
  head(): DerivationHead
  /** The last valid batch of canonical L1 blocks, and of those in finalized ones. */
  status(): { readonly lastBatch: L1Batch | undefined; readonly lastFinalBatch: L1Batch | undefined }
  /** Valid batches that are not final on L1, and the last one that is: of each L1 block the last, in order, once all of its batches are judged. */
  lastOfBlocks(): readonly L1Batch[]
  /** Batches that the inbox held when L1 was last read; undefined while one of them is not judged. */
  judgedCount(): bigint | undefined
  /**
   * A batch of our own is on its way: its payload was made of our blocks, for just this header. Anybody may post the payload under another one. On disk when
   * this resolves.
   */
  posting(batch: Pick<L1Batch, 'header' | 'dataHash'>): Promise<void>
  /** Whether the batch at the head is our own. */
  isOwn(): boolean
  /** L1 was read. */
  update(): void
  stop(): Promise<void>
}

export type SafeChainOptions = {
  readonly chain: ChainState
  readonly genesisAccumulator: Hex
  readonly l1: Pick<L1, 'batchPayload'>
  readonly follower: Pick<L1Follower, 'batches' | 'firstKept' | 'isCanonical'> & { status(): { readonly finalizedNumber: bigint } }
  readonly batchThread: Pick<BatchThread, 'judge'>
  readonly sets: EpochSets
  readonly log: Log
  onChange(): void
  onFatal(error: unknown): void
}

/** The judged part that L1 has made final. */
type Base = { readonly head: DerivationHead; readonly batch: L1Batch | undefined; readonly count: bigint }
type Verdict = { readonly ok: true } | { readonly ok: false; readonly code: string }
type Walked = {
  readonly head: DerivationHead
  readonly last: L1Batch | undefined
  readonly lastFinal: L1Batch | undefined
  readonly open: L1Batch | undefined
  readonly valid: readonly L1Batch[]
}

/** Nothing is asked until L1 was read. Throws StoreError if what was kept is damaged. */
export function createSafeChain(options: SafeChainOptions): SafeChain {
  const { chain, l1, follower, batchThread, sets, log } = options
  let base = readBase(chain.store.meta(META)) ?? {
    head: { accumulator: options.genesisAccumulator, nextIndex: 0n, lastBlock: 0n },
    batch: undefined,
    count: 0n,
  }
  /** Batches of canonical blocks behind `base`, in order. */
  let batches: readonly L1Batch[] = []
  /** By accumulator, which says everything about a batch. */
  const verdicts = new Map<Hex, Verdict>()
  const own = readOwn(chain.store.meta(OWN_META))
  let walked = walk()
  let running: Promise<void> | undefined
  let stopped = false

  function walk(): Walked {
    const finalized = follower.status().finalizedNumber
    let { head } = base
    let last = base.batch
    let lastFinal = base.batch
    const valid = base.batch ? [base.batch] : []
    for (const batch of batches) {
      if (!isNext(head, batch)) continue
      const verdict = verdicts.get(batch.accumulator)
      if (!verdict) return { head, last, lastFinal, open: batch, valid }
      if (!verdict.ok) continue
      head = nextHead(batch)
      last = batch
      valid.push(batch)
      if (batch.l1Block.number <= finalized) lastFinal = batch
    }
    return { head, last, lastFinal, open: undefined, valid }
  }

  /** Undefined: the blocks are not here yet, or L1 moves. */
  async function judge(batch: L1Batch, { nextIndex }: DerivationHead): Promise<Verdict | undefined> {
    const { lastBlock, lastBlockHash } = batch.header
    if (chain.head().header.number < lastBlock) return undefined
    // L1 has seen a quorum's precommits of it, and we have another quorum's of ours.
    if (chain.store.block(lastBlock)?.hash !== lastBlockHash)
      throw new ForkError(`batch ${batch.index} has a certificate of block ${lastBlock} ${lastBlockHash}, which is not ours`, {
        kind: 'stop',
      })
    const { number, hash } = l1InfoAfter(chain.store, lastBlock)
    if (follower.isCanonical({ number, hash }) === false) return { ok: false, code: 'originNotCanonical' }
    if (own.includes(ownHash(batch))) return { ok: true }
    const carried = await l1.batchPayload(batch)
    if (!carried.ok) return carried
    const judged = await batchThread.judge({ header: batch.header, nextIndex, payload: carried.payload })
    if (!judged.ok) return judged
    const set = sets.setAt(Number(lastBlock))
    const commit = { ...judged.commit, height: Number(lastBlock), blockHash: lastBlockHash }
    return set && verifyCommit(set, commit, chain.genesis.params.chainId).ok ? { ok: true } : { ok: false, code: 'badCommit' }
  }

  async function judgeOpen(): Promise<void> {
    // Ends: each pass judges one of the batches that are known.
    while (walked.open && !stopped) {
      const { open, head } = walked
      const verdict = await judge(open, head)
      if (!verdict) return
      verdicts.set(open.accumulator, verdict)
      if (!verdict.ok)
        log.warn('a batch on L1 is invalid and passed over', { index: open.index, code: verdict.code, l1Block: open.l1Block.number })
      walked = walk()
      options.onChange()
    }
    await settle()
  }

  /** Keeps what is final and judged. */
  async function settle(): Promise<void> {
    const finalized = follower.status().finalizedNumber
    const until = walked.open ? batches.indexOf(walked.open) : batches.length
    const over = batches.slice(0, until).filter(({ l1Block }) => l1Block.number <= finalized)
    const last = over.at(-1)
    if (!last) return
    const { lastFinal } = walked
    base = { head: lastFinal ? nextHead(lastFinal) : base.head, batch: lastFinal, count: last.index + 1n }
    batches = batches.slice(over.length)
    for (const { accumulator } of over) verdicts.delete(accumulator)
    walked = walk()
    await chain.store.writeMeta(META, writeBase(base))
  }

  function run(): void {
    if (running || stopped) return
    running = judgeOpen()
      .catch((error: unknown) => {
        if (stopped) return
        const passes = (error instanceof L1Error || error instanceof BatchThreadError) && error.retryable
        if (!passes && !(error instanceof L1Error && error.kind === 'reset')) return options.onFatal(error)
        log.warn('a batch cannot be judged yet', errorFacts(error))
      })
      .finally(() => {
        running = undefined
      })
  }

  const forget = chain.onBlock(() => {
    if (walked.open) run()
  })

  return {
    head: () => walked.head,
    status: () => ({ lastBatch: walked.last, lastFinalBatch: walked.lastFinal }),
    lastOfBlocks: () =>
      walked.valid.filter(({ l1Block }, i) => {
        const next = walked.valid[i + 1] ?? walked.open
        return next === undefined || next.l1Block.number > l1Block.number
      }),
    judgedCount: () => (walked.open ? undefined : (batches.at(-1)?.index ?? base.count - 1n) + 1n),
    async posting(batch) {
      own.push(ownHash(batch))
      if (own.length > OWN_MAX) own.shift()
      await chain.store.writeMeta(OWN_META, hexToBytes(concatHex(own)))
    },
    isOwn: () => walked.last !== undefined && own.includes(ownHash(walked.last)),
    update() {
      const from = follower.firstKept()
      if (from === undefined) return
      const kept = batches.filter(({ l1Block }) => l1Block.number < from)
      batches = [...kept, ...follower.batches().filter(({ index }) => index >= base.count)]
      walked = walk()
      options.onChange()
      run()
    },
    async stop() {
      stopped = true
      forget()
      await running
    },
  }
}

/** Batches that were judged, for good, and are kept in this store: those with lower indexes. Throws StoreError if what was kept is damaged. */
export function settledBatches(store: Pick<Store, 'meta'>): bigint {
  return readBase(store.meta(META))?.count ?? 0n
}

/** Of a batch wherever it stands: its header names the one that it follows, and so its place, which the payload says too. */
function ownHash({ header, dataHash }: Pick<L1Batch, 'header' | 'dataHash'>): Hex {
  return batchAccumulator({ index: 0n, header, dataHash })
}

// ---- what is kept

function readOwn(bytes: Uint8Array = new Uint8Array()): Hex[] {
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, i) => bytesToHex(bytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)))
}

function writeBase(base: Base): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(base, (_, value) => (typeof value === 'bigint' ? `${value}n` : value)))
}

function readBase(bytes: Uint8Array | undefined): Base | undefined {
  if (!bytes) return undefined
  try {
    const read = JSON.parse(new TextDecoder().decode(bytes), (_, value) =>
      typeof value === 'string' && /^\d{1,20}n$/.test(value) ? BigInt(value.slice(0, -1)) : value,
    )
    if (typeof read.count === 'bigint' && typeof read.head.nextIndex === 'bigint') return read as Base
  } catch {
    // not JSON, or without a head: damaged as well
  }
  throw new StoreError('what is kept of the batches on L1 is damaged')
}
