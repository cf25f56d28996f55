/**
 * Follows L1: which blocks are canonical, which deposits they queued, which batches they hold. After a restart it is made anew from L1, from a place that an
 * earlier run kept (node/l1Place.ts) or, without one, from the origin of the genesis file.
 */
import { bytesToHex, type Hex } from 'viem'
import { ORIGIN_STEP_MAX } from '../execution/applyBlock.ts'
import type { OriginStep } from '../execution/buildBlock.ts'
import { countedGas, encodeDeposit, l1InfoDeposit } from '../execution/deposit.ts'
import type { L1Info } from '../execution/ledger/tables.ts'
import { DEPOSIT_GAS_PER_BLOCK_MAX } from '../genesis/params.ts'
import { toL1Info } from '../settlement/derive.ts'
import type { L1, L1Block } from '../settlement/l1.ts'
import { L1Error } from '../settlement/l1Error.ts'
import type { L1Batch, L1Checkpoint, L1Deposit, L1Ref } from '../settlement/l1Logs.ts'
import type { L1Place } from './l1Place.ts'
import type { Log } from './log.ts'
import { errorFacts } from './log.ts'

/** L1 blocks read in one tick at most. */
const BLOCKS_PER_TICK = 64n
/** Blocks without a batch that are kept before L1 is asked if they are final. */
const BLOCKS_KEPT_MAX = 64
/** Blocks after which the place is kept again. */
const KEEP_BLOCKS = 64n
/** After a new head the next one is waited for as long as these many polls at most. */
const PAUSE_POLLS_MAX = 4

type Seen = {
  readonly block: L1Block
  readonly deposits: readonly L1Deposit[]
  readonly batches: readonly L1Batch[]
  readonly checkpoints: readonly L1Checkpoint[]
}

export type L1Status = {
  readonly head: L1Block | undefined
  /** Batches of canonical L1 blocks, the latest of them, and of those in finalized ones. */
  readonly lastBatch: L1Batch | undefined
  readonly lastFinalBatch: L1Batch | undefined
  readonly finalizedNumber: bigint
  /** What canonical L1 blocks hold in all; of the checkpoints those that stand. */
  readonly batches: number
  readonly postedBytes: number
  readonly checkpoints: number
  /** Last L2 block that has a checkpoint; 0: none. */
  readonly checkpointed: bigint
  /** Who submitted that one; undefined: nobody, or a later one fell. */
  readonly lastSubmitter: Hex | undefined
  /** Time of the L1 block that took it; 0 likewise. */
  readonly checkpointedAtSec: bigint
  /** The follower has caught up with L1 once. */
  readonly synced: boolean
}

export type L1Follower = {
  status(): L1Status
  /**
   * The origin that a block on top of `current` may take at this time: the latest L1 block that is `lagBlocks` behind L1's head, not later than the
   * block, and whose deposits fit. Undefined: stay.
   */
  nextOrigin(current: L1Info, limits: { readonly timestampMs: number; readonly lagBlocks: number }): OriginStep | undefined
  /** Whether L1 has this origin after `current`, with exactly these deposits; undefined while that is not known. */
  judge(current: L1Info, step: OriginStep): boolean | undefined
  /** Whether an origin is still what L1 says; undefined while that is not known. */
  isCanonical(origin: L1Ref): boolean | undefined
  /** The origin of our chain stands here: what is before it is kept no longer than until L1 makes it final. */
  passed(originNumber: bigint): void
  /** Batches of the canonical L1 blocks that are kept, in order, and the first of these blocks; undefined while there is none. */
  batches(): readonly L1Batch[]
  firstKept(): bigint | undefined
  /** A canonical L1 block; undefined if it is not known, or no longer kept. */
  block(number: bigint): L1Block | undefined
  /** Reads L1 once; called by the timer, and by tests. Throws nothing that passes. */
  tick(): Promise<void>
  stop(): Promise<void>
}

export type L1FollowerOptions = {
  readonly l1: L1
  /** First L1 block to read, whose hash is known. */
  readonly from: L1Ref
  /** Where an earlier run stood. */
  readonly place: L1Place | undefined
  /** Takes, now and then, where this one stands. */
  keep(place: L1Place): Promise<void>
  readonly pollMs: number
  readonly log: Log
  onChange(status: L1Status): void
  /** Something that does not pass by waiting. */
  onFatal(error: unknown): void
}

/** Starts following at once. */
export function createL1Follower(options: L1FollowerOptions): L1Follower {
  const { l1, log } = options
  /** Canonical blocks in order, without gaps. */
  let chain: Seen[] = []
  let head: L1Block | undefined
  /** The block up to which everything was read, when the last reading ended. */
  let readTo: Hex | undefined
  /** The last look found another head than the one before. */
  let isNew = false
  let finalizedNumber = 0n
  let lastFinalBatch: L1Batch | undefined
  let synced = false
  /** Origin of our last block: nothing before it is needed again once it is final. */
  let originNumber = options.from.number
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined

  /** Of the blocks that are not kept any more. */
  const behind: L1Totals = { ...NO_TOTALS }
  let keptNumber = 0n

  const status = (): L1Status => ({
    head,
    lastBatch: lastBatch() ?? lastFinalBatch,
    lastFinalBatch,
    finalizedNumber,
    synced,
    ...chain.reduce(addTotals, behind),
  })

  function lastBatch(): L1Batch | undefined {
    for (let i = chain.length - 1; i >= 0; i--) {
      const batch = chain[i]?.batches.at(-1)
      if (batch) return batch
    }
    return undefined
  }

  async function start(): Promise<void> {
    const { place } = options
    const kept = place && (await l1.canonicalBlock(place.block).catch(asGone))
    if (place && !kept) log.warn('L1 is read from its beginning: the block up to which it was read is gone', { number: place.block.number })
    if (place && kept) {
      Object.assign(behind, place.totals)
      keptNumber = kept.number
    }
    chain = [{ block: kept ?? (await l1.canonicalBlock(options.from)), deposits: [], batches: [], checkpoints: [] }]
  }

  /** Reads the blocks after the last known one, up to the head, at most so many. */
  async function advance(): Promise<boolean> {
    const last = chain.at(-1)
    if (!last || !head || head.number <= last.block.number) return false
    const first = last.block.number + 1n
    const end = head.number < first + BLOCKS_PER_TICK - 1n ? head.number : first + BLOCKS_PER_TICK - 1n
    const blocks: L1Block[] = []
    for (let number = first; number <= end; number++) {
      const block = number === head.number ? head : await l1.blockByNumber(number)
      if (!block) break
      if (block.parentHash !== (blocks.at(-1) ?? last.block).hash) {
        stepBack()
        return true
      }
      blocks.push(block)
    }
    const to = blocks.at(-1)
    if (!to) return false
    const { deposits, batches, checkpoints } = await l1.events(first, to)
    const of = <T extends { readonly l1Block: L1Ref }>(items: readonly T[], block: L1Block) =>
      items.filter((item) => item.l1Block.hash === block.hash)
    chain.push(
      ...blocks.map((block) => ({
        block,
        deposits: of(deposits, block),
        batches: of(batches, block),
        checkpoints: of(checkpoints, block),
      })),
    )
    return to.number < head.number
  }

  /** The last known block is not L1's any more. Going back one at a time ends at the finalized block or at the start. */
  function stepBack(): void {
    const dropped = chain.pop()
    log.warn('L1 reorg', { number: dropped?.block.number, hash: dropped?.block.hash })
    if (chain.length === 0) throw new L1Error('L1 reorganised behind the first block we know', { kind: 'stop' })
  }

  async function readFinalized(): Promise<void> {
    // Asked where it may matter: a batch may have become final, or there is something to let go.
    const isBatchOpen = chain.some(({ block, batches }) => batches.length > 0 && block.number > finalizedNumber)
    const finalized = isBatchOpen || chain.length > BLOCKS_KEPT_MAX ? await finalBlock() : undefined
    if (finalized && finalized.number > finalizedNumber) finalizedNumber = finalized.number
    // Every time: L1 may have made blocks final before we had read them.
    for (const { block, batches } of chain) if (block.number <= finalizedNumber) lastFinalBatch = batches.at(-1) ?? lastFinalBatch
  }

  /** Forgets what is final and before our origin; whoever wants more of it was told. */
  async function forget(): Promise<void> {
    const kept = chain.findIndex(({ block }) => block.number >= finalizedNumber || block.number >= originNumber)
    if (kept <= 0) return
    const gone = chain.splice(0, kept)
    Object.assign(behind, gone.reduce(addTotals, behind))
    const last = gone.at(-1)?.block
    if (!last || last.number < keptNumber + KEEP_BLOCKS) return
    keptNumber = last.number
    await options.keep({ block: { number: last.number, hash: last.hash }, totals: { ...behind } })
  }

  /** Undefined on an L1 that is younger than its finality. */
  function finalBlock(): Promise<L1Block | undefined> {
    return l1.blockByTag('finalized').catch((error: unknown) => {
      if (error instanceof L1Error && error.kind === 'retry') return undefined
      throw error
    })
  }

  async function read(): Promise<void> {
    if (chain.length === 0) await start()
    head = await l1.blockByTag('latest')
    isNew = readTo !== head.hash
    if (!isNew) return // what is final moves with the head
    // Ends: each pass reads further or steps back, and a head that runs away is for the next tick.
    for (let pass = 0; pass < 256 && (await advance()); pass++);
    const last = chain.at(-1)
    if (last && head.number === last.block.number && head.hash !== last.block.hash) stepBack()
    await readFinalized()
    synced ||= last !== undefined && last.block.number >= head.number
    readTo = chain.at(-1)?.block.hash
    options.onChange(status())
    await forget()
  }

  async function tick(): Promise<void> {
    try {
      await read()
    } catch (error) {
      if (!(error instanceof L1Error)) return options.onFatal(error)
      if (error.kind === 'stop') return options.onFatal(error)
      if (error.kind === 'reset' && chain.length > 1) stepBack()
      log.warn('L1 could not be read', errorFacts(error))
    }
  }

  /** Until the next look: where the head is new, until its successor is nearly due; where it is late, a poll. */
  function pauseMs(): number {
    const [before, last] = chain.slice(-2)
    if (!isNew || !before || !last || last.block.hash !== head?.hash) return options.pollMs
    const intervalMs = Number(last.block.timestampSec - before.block.timestampSec) * 1_000
    return Math.min(Math.max(options.pollMs, intervalMs - options.pollMs), PAUSE_POLLS_MAX * options.pollMs)
  }

  function schedule(): void {
    if (stopped) return
    timer = setTimeout(() => {
      running = tick().finally(schedule)
    }, pauseMs())
  }

  running = tick().finally(schedule)

  return {
    status,
    nextOrigin(current, { timestampMs, lagBlocks }) {
      originNumber = current.number
      if (!head) return undefined
      const at = chain.findLastIndex(({ block }) => block.number === current.number) // near the end, as a rule
      if (at === -1 || chain[at]?.block.hash !== current.hash) return undefined
      const steps: Seen[] = []
      let gas = 0n
      for (const seen of chain.slice(at + 1, at + 1 + Number(ORIGIN_STEP_MAX))) {
        if (seen.block.number + BigInt(lagBlocks) > head.number || Number(seen.block.timestampSec) * 1000 > timestampMs) break
        gas += seen.deposits.reduce((sum, { deposit }) => sum + countedGas(deposit), 0n)
        if (gas > DEPOSIT_GAS_PER_BLOCK_MAX) break
        steps.push(seen)
      }
      const last = steps.at(-1)
      if (!last) return undefined
      const deposits = steps.flatMap((seen) => seen.deposits)
      return {
        info: toL1Info(last.block, current.depositCursor + BigInt(deposits.length)),
        deposits: deposits.map(({ deposit }) => deposit),
      }
    },
    judge(current, { info, deposits }) {
      const at = chain.findIndex(({ block }) => block.number === current.number)
      const to = chain.findIndex(({ block }) => block.number === info.number)
      const last = chain[to]
      if (at === -1 || !last) return undefined
      const queued = chain.slice(at + 1, to + 1).flatMap((seen) => seen.deposits)
      const told = [l1InfoDeposit(info), ...deposits].map((deposit) => bytesToHex(encodeDeposit(deposit)))
      const due = [
        l1InfoDeposit(toL1Info(last.block, current.depositCursor + BigInt(queued.length))),
        ...queued.map(({ deposit }) => deposit),
      ].map((deposit) => bytesToHex(encodeDeposit(deposit)))
      return told.length === due.length && told.every((one, i) => one === due[i])
    },
    isCanonical(origin) {
      const seen = chain.findLast(({ block }) => block.number === origin.number)
      return seen && seen.block.hash === origin.hash
    },
    passed(number) {
      originNumber = number
    },
    batches: () => chain.flatMap(({ batches }) => batches),
    firstKept: () => chain[0]?.block.number,
    block: (number) => chain.find(({ block }) => block.number === number)?.block,
    tick,
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}

/** L1 has another block there. */
function asGone(error: unknown): undefined {
  if (!(error instanceof L1Error) || error.kind !== 'reset') throw error
}

/** What L1 blocks hold in all. */
export type L1Totals = Pick<L1Status, 'batches' | 'postedBytes' | 'checkpoints' | 'checkpointed' | 'checkpointedAtSec' | 'lastSubmitter'>

const NO_TOTALS: L1Totals = {
  batches: 0,
  postedBytes: 0,
  checkpoints: 0,
  checkpointed: 0n,
  checkpointedAtSec: 0n,
  lastSubmitter: undefined,
}

function addTotals(totals: L1Totals, { block, batches, checkpoints }: Seen): L1Totals {
  if (batches.length === 0 && checkpoints.length === 0) return totals
  return {
    ...checkpoints.reduce((sum, event) => addCheckpoint(sum, event, block.timestampSec), totals),
    batches: totals.batches + batches.length,
    postedBytes: totals.postedBytes + batches.reduce((sum, { header }) => sum + header.payloadBytes, 0),
  }
}

function addCheckpoint(totals: L1Totals, event: L1Checkpoint, atSec: bigint): L1Totals {
  const checkpoints = Number(event.id)
  if (event.kind === 'fallen')
    return { ...totals, checkpoints, checkpointed: event.lastBlock, checkpointedAtSec: 0n, lastSubmitter: undefined }
  const { checkpoint, submitter } = event
  return { ...totals, checkpoints: checkpoints + 1, checkpointed: checkpoint.lastBlock, checkpointedAtSec: atSec, lastSubmitter: submitter }
}
