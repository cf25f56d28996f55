/**
 * When to post, and how much: blobs are paid for whole, L1 is slow, and no block may wait for ever. Policy only; nobody else depends on it.
 * A guess says how many blocks fit, encoding says whether they do, and what does not fit shrinks until it does.
 */
import { attachmentsOf, rowBytes } from '../execution/native/row.ts'
import { BATCH_BLOCKS_MAX, type BatchTooLarge, GROUP_ENTRY_BYTES, HEAD_BYTES, TAIL_BYTES_MAX } from './batch.ts'
import { BATCH_PAYLOAD_BYTES_MAX, BLOB_PAYLOAD_BYTES } from './blob.ts'
import { COLUMN_TXS_MAX } from './evmColumns.ts'
import { CALL_DATA_BYTES_MAX } from './inbox.ts'
import { groupsOf, type LaneBlock, laneRows } from './lane.ts'

/** What a block adds to a batch, in bytes: rows as they are, the tail's part before compression. */
export type BlockSize = {
  readonly laneBytes: number
  /** Groups that the block's rows make by themselves; blocks that stand together make no more. */
  readonly groupCount: number
  readonly plainTailBytes: number
  /** Ethereum transactions. */
  readonly evmCount: number
}

export type PostLimits = {
  /** Longest time that a block waits while there is room, in milliseconds. */
  readonly intervalMs: number
  /** Blobs that are worth a transaction of their own: with so many full, nothing waits longer. 1 to 6. */
  readonly blobsWorth: number
  /** Largest payload, in bytes: that of 6 blobs, or less where batches go into call data. */
  readonly payloadBytesMax: number
}

/** The blocks that wait, oldest first, and since when the oldest could have been posted. */
export type Waiting = {
  readonly sizes: readonly BlockSize[]
  readonly sinceMs: number
  readonly nowMs: number
  /** What tails shrink to, from the last batch (`EncodedBatch.tailRatio`); 1 before there was one. */
  readonly tailRatio: number
}

/** `count`: so many of the oldest. `untilMs`: when to ask again even if no block comes; undefined: nothing waits. */
export type PostDecision =
  | { readonly kind: 'post'; readonly count: number }
  | { readonly kind: 'wait'; readonly untilMs: number | undefined }

/** A blob counts as full from this part on: to wait for the rest would cost more time than it saves. */
const FULL = 0.95

/** Head, with the longest bitmap; and what columns, coinbases and padding add whatever the blocks. */
const FRAME_BYTES = HEAD_BYTES + 512
/** A row of the block table at most, but for its bits. */
const TABLE_ROW_BYTES = 16

/** The size of an executed block. */
export function measureBlock(block: LaneBlock): BlockSize {
  const rows = laneRows([block])
  const laneBytes = rows.reduce((sum, { row }) => sum + rowBytes(row), 0)
  const evm = block.transactions.filter(({ kind }) => kind === 'ethereum')
  const bits = Math.ceil(block.transactions.length / 8)
  const attached = rows.reduce((sum, { row }) => attachmentsOf(row).reduce((bytes, { length }) => bytes + length, sum), 0)
  const plainTailBytes = evm.reduce((sum, { raw }) => sum + raw.length, TABLE_ROW_BYTES + bits + attached)
  return { laneBytes, groupCount: groupsOf(rows).length, plainTailBytes, evmCount: evm.length }
}

/** Whether to post now, and how many blocks: all that fit when the time is up, whole blobs when there are enough of them. */
export function choosePost(waiting: Waiting, limits: PostLimits): PostDecision {
  const { sizes, sinceMs, nowMs } = waiting
  if (sizes.length === 0) return { kind: 'wait', untilMs: undefined }
  const dueMs = sinceMs + limits.intervalMs
  const payloadBytesMax = Math.min(limits.payloadBytesMax, BATCH_PAYLOAD_BYTES_MAX)
  const fit = countFitting(waiting, payloadBytesMax)
  if (nowMs >= dueMs) return { kind: 'post', count: fit.count }
  // More than fits is full, whatever it is full of.
  if (fit.count < sizes.length) return { kind: 'post', count: fit.count }
  const blobs = Math.floor(fit.payloadBytes / (FULL * BLOB_PAYLOAD_BYTES))
  const isFull = blobs >= limits.blobsWorth || fit.payloadBytes >= FULL * payloadBytesMax
  if (!isFull) return { kind: 'wait', untilMs: dueMs }
  return { kind: 'post', count: countFitting(waiting, Math.min(blobs * BLOB_PAYLOAD_BYTES || payloadBytesMax, payloadBytesMax)).count }
}

/** Who asks whether it may post. */
export type Turn = {
  /** The last batch is its own. */
  readonly isOwn: boolean
  /** Index that the next batch has at least. */
  readonly nextIndex: bigint
  /** Its place in the set of validators, which has so many; undefined: it is none. */
  readonly place: number | undefined
  readonly size: number
}

/** Longest that a batch takes from its time until others have judged it: some L1 blocks. */
const TAKEOVER_MS = 60_000

/**
 * How long after the time for a batch this poster still waits, in milliseconds. Whoever posted the last batch goes on; if it does not, the validators follow in
 * the order of their places, beginning with one that the number of batches gives, and then anyone else. The first batch is nobody's turn.
 */
export function takeoverMs({ isOwn, nextIndex, place, size }: Turn): number {
  if (isOwn || nextIndex === 0n) return 0
  const rank = place === undefined ? size : (place + size - Number(nextIndex % BigInt(size))) % size
  return (rank + 1) * TAKEOVER_MS
}

/** Where a payload goes: into blobs, or into the call data of its transaction. */
export type Da = 'blob' | 'calldata'

/** Largest payload in call data, in bytes: well below the pools' limit for one transaction, 128 KiB. The inbox takes more (`CALL_DATA_BYTES_MAX`). */
export const CALLDATA_PAYLOAD_MAX = 120_000

/** Fees of L1's next block, in wei per gas and per blob gas. */
export type DaPrices = { readonly baseFeeWei: bigint; readonly tipWei: bigint; readonly blobBaseFeeWei: bigint }

/** Gas that posting takes whatever carries the payload: a transaction's own, the certificate's check, the inbox's slots. Measured: docs/benchmarks.md#l1. */
const POST_GAS = 262_000n
/** Of a transaction's POST_GAS that it pays before anything is executed. */
const TX_GAS = 21_000n
const BLOB_GAS = 131_072n
/** The other kind is taken where it costs no more than this part, in percent: prices move, and pools do not like accounts that change. */
const SWITCH_PERCENT = 80n

/** What a payload costs in each kind, in wei. Sources: EIP-2028 and EIP-7623 (a floor of 10 gas a token, a byte that is not zero being four), EIP-4844. */
export function daCostsWei(payload: Uint8Array, { baseFeeWei, tipWei, blobBaseFeeWei }: DaPrices): Readonly<Record<Da, bigint>> {
  let zeros = 0
  for (const byte of payload) if (byte === 0) zeros++
  const tokens = BigInt(zeros + 4 * (payload.length - zeros))
  const [standard, floor] = [POST_GAS + 4n * tokens, TX_GAS + 10n * tokens]
  const blobs = BigInt(Math.ceil(payload.length / BLOB_PAYLOAD_BYTES))
  return {
    blob: POST_GAS * (baseFeeWei + tipWei) + blobs * BLOB_GAS * blobBaseFeeWei,
    calldata: (standard > floor ? standard : floor) * (baseFeeWei + tipWei),
  }
}

/**
 * The kind for a payload: what is asked for, or by its price, which counts where the last one was of the other kind only if that is worth the change. What is
 * too long for call data goes into blobs.
 */
export function chooseDa(
  payload: Uint8Array,
  prices: DaPrices,
  { asked, last }: { readonly asked: Da | 'auto'; readonly last: Da | undefined },
): Da {
  if (asked !== 'auto') return payload.length > CALL_DATA_BYTES_MAX ? 'blob' : asked
  if (payload.length > CALLDATA_PAYLOAD_MAX) return 'blob'
  const costs = daCostsWei(payload, prices)
  if (last === undefined) return costs.calldata < costs.blob ? 'calldata' : 'blob'
  const other = last === 'blob' ? 'calldata' : 'blob'
  return costs[other] * 100n <= costs[last] * SWITCH_PERCENT ? other : last
}

/** How many blocks to try after `count` of them did not fit: always fewer; undefined: there is one block, and no batch can hold it. */
export function shrinkPost(count: number, { got, max }: BatchTooLarge): number | undefined {
  if (count <= 1) return undefined
  // A little less than in proportion, for sizes differ from block to block.
  return Math.max(1, Math.min(count - 1, Math.floor((count * max * FULL) / got)))
}

/** The longest row of blocks, at least one, whose payload is guessed to be no larger. */
function countFitting({ sizes, tailRatio }: Waiting, payloadBytesMax: number): { count: number; payloadBytes: number } {
  const sum = { laneBytes: 0, groupCount: 0, plainTailBytes: 0, evmCount: 0 }
  let payloadBytes = 0
  for (const [count, size] of sizes.entries()) {
    sum.laneBytes += size.laneBytes
    sum.groupCount += size.groupCount
    sum.plainTailBytes += size.plainTailBytes
    sum.evmCount += size.evmCount
    const guess = FRAME_BYTES + sum.laneBytes + sum.groupCount * GROUP_ENTRY_BYTES + Math.ceil(sum.plainTailBytes * tailRatio)
    const isOver = guess > payloadBytesMax || sum.plainTailBytes > TAIL_BYTES_MAX || sum.evmCount > COLUMN_TXS_MAX
    if (count > 0 && (isOver || count >= BATCH_BLOCKS_MAX)) return { count, payloadBytes }
    payloadBytes = guess
  }
  return { count: sizes.length, payloadBytes }
}
