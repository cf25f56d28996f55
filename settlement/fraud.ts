/**
 * What is wrong with the structure of a posted payload, and which elements show it on L1 (contracts/fraud/FraudVerifier.sol). It reads what `decodeBatch`
 * refuses without reasons: as strictly, and to the first thing that is wrong. Spec: docs/spec/fraud.md#structure
 */
import { bytesToHex, type Hex } from 'viem'
import { attempt, take, takeBigUint, takeUint } from '../execution/fields.ts'
import { BLOCK_ROW_BYTES_MAX, ROW_KIND, type Row, takeRow } from '../execution/native/row.ts'
import { GROUP } from '../genesis/params.ts'
import { BATCH_BLOCKS_MAX, GROUP_ENTRY_BYTES, HEAD_BYTES } from './batch.ts'
import { ELEMENT_PAYLOAD_BYTES } from './blob.ts'
import type { BatchHeader } from './inbox.ts'
import { isGroup } from './lane.ts'
import type { ElementRange } from './openings.ts'

const BITMAP_AT = 61
/** Round and signature, behind the bitmap. */
const COMMIT_BYTES = 100
const BITMAP_BYTES_MAX = 16
const ROOT_IN_ENTRY = 6

/** A row by its place: the n-th (from 0) of a group. */
export type RowPlace = { readonly group: number; readonly row: number }

/** What a proof shows, by the function of the verifier that takes it. */
export type StructureFault =
  | { readonly kind: 'head' }
  | { readonly kind: 'index' }
  | { readonly kind: 'padding'; readonly place: number }
  | { readonly kind: 'rows'; readonly group: number }
  | { readonly kind: 'order'; readonly places: readonly RowPlace[] }

/** The batch that the payload was posted as. `place`: the index of the one that it follows, and one more. */
export type PostedAs = {
  readonly place: bigint
  readonly header: Pick<BatchHeader, 'firstBlock' | 'lastBlock' | 'l1OriginNumber'>
  readonly chainId: number
}

/** The first thing that is wrong with the payload, up to its tail, or undefined. */
export function findStructureFault(payload: Uint8Array, posted: PostedAs): StructureFault | undefined {
  const head = payload.length < HEAD_BYTES ? undefined : readHead(payload)
  if (!head || isHeadWrong(head, payload.length, posted)) return { kind: 'head' }
  if (head.batchIndex !== posted.place) return { kind: 'index' }
  const place = findPadding(payload, head)
  if (place !== undefined) return { kind: 'padding', place }
  return findRows(payload, head, posted)
}

/** The elements that the fault is shown by. The head is whole enough to be read. */
export function rangesOfFault(payload: Uint8Array, fault: StructureFault): ElementRange[] {
  const ranges: ElementRange[] = [{ first: 0, end: 2 }]
  if (fault.kind === 'head' || fault.kind === 'index') return ranges
  if (fault.kind === 'padding') return [...ranges, bytesRange(fault.place, 1)]
  const head = readHead(payload)
  if (fault.kind === 'rows') return [...ranges, ...rangesOfGroup(payload, head, fault.group)]
  for (const { group, row } of fault.places) {
    ranges.push(entryRange(head, group), entryRange(head, group + 1), groupRange(payload, head, group))
    const { from, end, contextByte } = boundsOf(payload, head, group)
    // The block row that rules the row, and the head of the row behind it.
    const rows = readRows(payload, { from, end, chainId: 0 }, row)
    const block = rows.findLast(({ row: { kind } }) => kind === 'block')?.at ?? contextByte
    ranges.push(laneRange(block, BLOCK_ROW_BYTES_MAX + 1))
  }
  return ranges.map((range) => clip(range, payload.length))
}

/** The elements that `proveRows` and `proveGroup` need of a group, whatever is wrong with it; for `proveGroup` also the entry before. */
export function rangesOfGroup(payload: Uint8Array, head: PayloadHead, group: number): ElementRange[] {
  const { end, contextByte } = boundsOf(payload, head, group)
  const ranges = [entryRange(head, group), laneRange(contextByte, BLOCK_ROW_BYTES_MAX), groupRange(payload, head, group)]
  if (group > 0) ranges.push(entryRange(head, group - 1))
  if (group + 1 < head.groupCount) ranges.push(entryRange(head, group + 1), laneRange(end, 1))
  return ranges.map((range) => clip(range, payload.length))
}

/** The elements that show the ledger root after a payload: its head, and the entry of its last group. Its head is not wrong. */
export function rangesOfLastRoot(payload: Uint8Array): ElementRange[] {
  const head = readHead(payload)
  const ranges: ElementRange[] = [{ first: 0, end: 2 }]
  if (head.groupCount > 0) ranges.push(entryRange(head, head.groupCount - 1))
  return ranges
}

/** The ledger root after a payload, as it posts it: after its last group, or before it where it has none. Its head is not wrong. */
export function rootAfter(payload: Uint8Array): Hex {
  const { groupCount, ledgerRootBefore } = readHead(payload)
  return groupCount === 0 ? ledgerRootBefore : postedRoot(payload, groupCount - 1)
}

/** The ledger root that a payload posts after a group. Its head is not wrong. */
export function postedRoot(payload: Uint8Array, group: number): Hex {
  const at = groupsAt(readHead(payload)) + group * GROUP_ENTRY_BYTES + ROOT_IN_ENTRY
  return bytesToHex(payload.subarray(at, at + 32))
}

/** The bytes of a payload's rows. Its head is not wrong. */
export function laneOf(payload: Uint8Array): Uint8Array {
  return payload.subarray(HEAD_BYTES, groupsAt(readHead(payload)))
}

/** Where its groups begin in them. */
export function firstsOf(payload: Uint8Array): number[] {
  const head = readHead(payload)
  return Array.from({ length: head.groupCount }, (_, group) => entryAt(payload, head, group).firstByte)
}

/** What L1 reads of a payload's head. */
export type PayloadHead = ReturnType<typeof readHead>

/** The head of a payload of 61 bytes or more, whatever it says. */
export function readHead(payload: Uint8Array) {
  const cursor = { bytes: payload, at: 0, end: payload.length }
  return {
    version: takeUint(cursor, 1),
    batchIndex: takeBigUint(cursor, 8),
    firstBlock: takeBigUint(cursor, 8),
    blockCount: takeUint(cursor, 2),
    laneBytes: takeUint(cursor, 3),
    groupCount: takeUint(cursor, 2),
    tailBytes: takeUint(cursor, 3),
    ledgerRootBefore: bytesToHex(take(cursor, 32)),
    bitmapBytes: takeUint(cursor, 2),
  }
}

function isHeadWrong(head: PayloadHead, payloadBytes: number, { header }: PostedAs): boolean {
  const { version, firstBlock, blockCount, laneBytes, groupCount, tailBytes, bitmapBytes } = head
  if (version !== 1 || bitmapBytes === 0 || bitmapBytes > BITMAP_BYTES_MAX) return true
  if (firstBlock !== header.firstBlock) return true
  if (blockCount === 0 || blockCount > BATCH_BLOCKS_MAX || BigInt(blockCount) !== header.lastBlock - header.firstBlock + 1n) return true
  if (groupCount > laneBytes || (groupCount === 0 && laneBytes !== 0)) return true
  return tailAt(head) + tailBytes !== payloadBytes
}

function findPadding(payload: Uint8Array, head: PayloadHead): number | undefined {
  const from = BITMAP_AT + head.bitmapBytes + COMMIT_BYTES
  const place = payload.subarray(from, HEAD_BYTES).findIndex((byte) => byte !== 0)
  return place === -1 ? undefined : from + place
}

/** What the rows up to here leave for those behind them. The rows that are to blame stand with it. */
type Walk = {
  block: { readonly number: bigint; readonly timestampMs: number; readonly at: number } | undefined
  isBehindBlock: boolean
  /** Why no deposit, no report may come: the rows that are to blame, none where it is the want of an L1 info. */
  noDeposit: readonly RowPlace[] | undefined
  noReport: readonly RowPlace[] | undefined
}

function findRows(payload: Uint8Array, head: PayloadHead, posted: PostedAs): StructureFault | undefined {
  const walk: Walk = { block: undefined, isBehindBlock: false, noDeposit: undefined, noReport: undefined }
  for (let group = 0; group < head.groupCount; group++) {
    const fault: StructureFault = { kind: 'rows', group }
    const { from, end, contextByte, isLast } = boundsOf(payload, head, group)
    // The group before ended here, and it ruled what rules the first row of this one.
    if (group === 0 && (from !== 0 || contextByte !== 0)) return fault
    if (from >= end || end - from > GROUP.bytes || end > head.laneBytes) return fault
    const rows = readRows(payload, { from, end, chainId: posted.chainId }, GROUP.rows)
    for (const [row, read] of rows.entries()) {
      const blame = step(walk, read, { place: { group, row }, posted })
      if (blame === 'neighbours') return fault
      if (blame) return { kind: 'order', places: blame }
    }
    if (rows.at(-1)?.end !== end || !isGroup(rows)) return fault
    if (isLast) return walk.isBehindBlock ? fault : undefined
    const next = entryAt(payload, head, group + 1)
    const context = payload[HEAD_BYTES + end] === ROW_KIND.block ? end : walk.block?.at
    if (next.contextByte !== context) return fault
  }
  return undefined
}

/** A row and its place in the lane. */
type ReadRow = { readonly row: Row; readonly at: number; readonly end: number }
type StepPlace = { readonly place: RowPlace; readonly posted: PostedAs }

/** The rows from one place of the lane up to the other: so many at most, and none from the first malformed one on. */
function readRows(payload: Uint8Array, { from, end, chainId }: { from: number; end: number; chainId: number }, most: number): ReadRow[] {
  const cursor = { bytes: payload, at: HEAD_BYTES + from, end: HEAD_BYTES + end }
  const rows: ReadRow[] = []
  while (cursor.at < cursor.end && rows.length < most) {
    const at = cursor.at - HEAD_BYTES
    const row = attempt(() => takeRow(cursor, chainId)) // ends: every row has a byte or more
    if (!row) break
    rows.push({ row, at, end: cursor.at - HEAD_BYTES })
  }
  return rows
}

/** Whom to blame if the row may not stand here: its neighbours, or the rows that forbid it and itself. */
function step(walk: Walk, { row, at }: ReadRow, { place, posted }: StepPlace): 'neighbours' | readonly RowPlace[] | undefined {
  const { isBehindBlock, block } = walk
  walk.isBehindBlock = row.kind === 'block'
  if (row.kind === 'block') {
    const { firstBlock, lastBlock } = posted.header
    if (isBehindBlock || row.number < firstBlock || row.number > lastBlock) return 'neighbours'
    if (block && row.number <= block.number) return 'neighbours'
    if (block && BigInt(row.timestampMs) < BigInt(block.timestampMs) + (row.number - block.number)) return 'neighbours'
    walk.block = { number: row.number, timestampMs: row.timestampMs, at }
    walk.noDeposit = []
    walk.noReport = undefined
    return undefined
  }
  if (!block) return 'neighbours'
  if (row.kind === 'l1Info') {
    if (!isBehindBlock || row.number > posted.header.l1OriginNumber) return 'neighbours'
    walk.noDeposit = undefined
    return undefined
  }
  const forbidden = row.kind === 'deposit' ? walk.noDeposit : row.kind === 'report' ? walk.noReport : undefined
  if (forbidden) return [...forbidden, place]
  if (row.kind === 'operation' && walk.noDeposit) walk.noReport ??= [...walk.noDeposit, place]
  if (row.kind === 'native') walk.noReport ??= [place]
  if (row.kind === 'native' || row.kind === 'report') walk.noDeposit = walk.noDeposit?.length ? walk.noDeposit : [place]
  return undefined
}

/** Where a group stands in the lane by its entry and the next one. */
function boundsOf(payload: Uint8Array, head: PayloadHead, group: number) {
  const { firstByte: from, contextByte } = entryAt(payload, head, group)
  const isLast = group + 1 === head.groupCount
  return { from, contextByte, isLast, end: isLast ? head.laneBytes : entryAt(payload, head, group + 1).firstByte }
}

function entryAt(payload: Uint8Array, head: PayloadHead, group: number): { firstByte: number; contextByte: number } {
  const cursor = { bytes: payload, at: groupsAt(head) + group * GROUP_ENTRY_BYTES, end: payload.length }
  return { firstByte: takeUint(cursor, 3), contextByte: takeUint(cursor, 3) }
}

function groupsAt({ laneBytes }: PayloadHead): number {
  return HEAD_BYTES + laneBytes
}

function tailAt(head: PayloadHead): number {
  return groupsAt(head) + head.groupCount * GROUP_ENTRY_BYTES
}

/** Of a group that is not there, nothing. */
function entryRange(head: PayloadHead, group: number): ElementRange {
  return bytesRange(groupsAt(head) + group * GROUP_ENTRY_BYTES, group < head.groupCount ? GROUP_ENTRY_BYTES : 0)
}

/** A group that is too long is not looked at. */
function groupRange(payload: Uint8Array, head: PayloadHead, group: number): ElementRange {
  const { from, end } = boundsOf(payload, head, group)
  return laneRange(from, end > from && end - from <= GROUP.bytes ? end - from : 0)
}

function laneRange(from: number, length: number): ElementRange {
  return bytesRange(HEAD_BYTES + from, length)
}

function bytesRange(from: number, length: number): ElementRange {
  if (length === 0) return { first: 0, end: 0 }
  return { first: Math.floor(from / ELEMENT_PAYLOAD_BYTES), end: Math.ceil((from + length) / ELEMENT_PAYLOAD_BYTES) }
}

/** Nothing behind the payload's last blob can be opened. */
function clip({ first, end }: ElementRange, payloadBytes: number): ElementRange {
  const last = Math.ceil(payloadBytes / ELEMENT_PAYLOAD_BYTES)
  return { first: Math.min(first, last), end: Math.min(end, last) }
}
