/**
 * What is wrong with the structure of a posted payload, and which elements show it on L1 (contracts/fraud/FraudVerifier.sol). It reads what `decodeBatch`
 * refuses without reasons: as strictly, and to the first thing that is wrong. Spec: docs/spec/fraud.md#structure
 */
import { attempt, takeBigUint, takeUint } from '../execution/fields.ts'
import { ROW_ELEMENT_BYTES, ROW_KIND, type Row, takeRow } from '../execution/native/row.ts'
import { BATCH_BLOCKS_MAX } from './batch.ts'
import type { BatchHeader } from './inbox.ts'
import { GROUP_ROWS } from './lane.ts'
import type { ElementRange } from './openings.ts'

const HEAD_ELEMENTS = 5
const HEAD_BYTES = HEAD_ELEMENTS * ROW_ELEMENT_BYTES
const BITMAP_AT = 43
const SIGNATURE_BYTES = 96
const BITMAP_BYTES_MAX = 16
const GROUP_BYTES = 40
const BLOCK_ELEMENTS = 2

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
    ranges.push(entryRange(head, group))
    const entry = entryAt(payload, head, group)
    let element = entry.firstElement
    let block = entry.contextElement
    for (let i = 0; i <= row && element < head.laneElements; i++) {
      ranges.push(laneRange(element, 1))
      if (i < row && payload[laneAt(element)] === ROW_KIND.block) block = element
      element += Math.max(1, elementsAt(payload, element))
    }
    ranges.push(laneRange(block + BLOCK_ELEMENTS, 1))
  }
  return ranges.map((range) => clip(range, payload.length))
}

/** The elements that `proveRows` and `proveGroup` need of a group, whatever is wrong with it; for `proveGroup` also the entry before. */
export function rangesOfGroup(payload: Uint8Array, head: PayloadHead, group: number): ElementRange[] {
  const entry = entryAt(payload, head, group)
  const isLast = group + 1 === head.groupCount
  const ranges = [entryRange(head, group), laneRange(entry.contextElement, BLOCK_ELEMENTS)]
  if (group > 0) ranges.push(entryRange(head, group - 1))
  let element = entry.firstElement
  const rows = isLast ? head.rowCount - group * GROUP_ROWS : GROUP_ROWS
  for (let i = 0; i < rows && element < head.laneElements; i++) {
    const elements = Math.max(1, elementsAt(payload, element))
    ranges.push(laneRange(element, Math.min(elements, head.laneElements - element)))
    element += elements
  }
  if (!isLast) {
    const next = entryAt(payload, head, group + 1)
    ranges.push(entryRange(head, group + 1), laneRange(next.firstElement, 1))
  }
  return ranges.map((range) => clip(range, payload.length))
}

/** What L1 reads of a payload's head. */
export type PayloadHead = ReturnType<typeof readHead>

/** The head of a payload of 43 bytes or more, whatever it says. */
export function readHead(payload: Uint8Array) {
  const cursor = { bytes: payload, at: 0, end: payload.length }
  return {
    version: takeUint(cursor, 1),
    batchIndex: takeBigUint(cursor, 8),
    firstBlock: takeBigUint(cursor, 8),
    blockCount: takeUint(cursor, 4),
    laneElements: takeUint(cursor, 4),
    rowCount: takeUint(cursor, 4),
    groupCount: takeUint(cursor, 4),
    tailBytes: takeUint(cursor, 4),
    commitRound: takeUint(cursor, 4),
    bitmapBytes: takeUint(cursor, 2),
  }
}

function isHeadWrong(head: PayloadHead, payloadBytes: number, { header }: PostedAs): boolean {
  const { version, firstBlock, blockCount, laneElements, rowCount, groupCount, tailBytes, bitmapBytes } = head
  if (version !== 1 || bitmapBytes === 0 || bitmapBytes > BITMAP_BYTES_MAX) return true
  if (firstBlock !== header.firstBlock) return true
  if (blockCount === 0 || blockCount > BATCH_BLOCKS_MAX || BigInt(blockCount) !== header.lastBlock - header.firstBlock + 1n) return true
  if (groupCount !== Math.ceil(rowCount / GROUP_ROWS) || laneElements < rowCount) return true
  return (rowCount === 0 && laneElements !== 0) || tailAt(head) + tailBytes !== payloadBytes
}

function findPadding(payload: Uint8Array, head: PayloadHead): number | undefined {
  const gaps = [
    [BITMAP_AT + head.bitmapBytes + SIGNATURE_BYTES, HEAD_BYTES],
    [groupsAt(head) + head.groupCount * GROUP_BYTES, tailAt(head)],
  ] as const
  for (const [from, to] of gaps) {
    const place = payload.subarray(from, to).findIndex((byte) => byte !== 0)
    if (place !== -1) return from + place
  }
  return undefined
}

/** What the rows up to here leave for those behind them. The rows that are to blame stand with it. */
type Walk = {
  block: { readonly number: bigint; readonly timestampMs: number; readonly element: number } | undefined
  isBehindBlock: boolean
  /** Why no deposit, no report may come: the rows that are to blame, none where it is the want of an L1 info. */
  noDeposit: readonly RowPlace[] | undefined
  noReport: readonly RowPlace[] | undefined
}

function findRows(payload: Uint8Array, head: PayloadHead, posted: PostedAs): StructureFault | undefined {
  const walk: Walk = { block: undefined, isBehindBlock: false, noDeposit: undefined, noReport: undefined }
  let element = 0
  for (let group = 0; group < head.groupCount; group++) {
    const fault: StructureFault = { kind: 'rows', group }
    const entry = entryAt(payload, head, group)
    const isLast = group + 1 === head.groupCount
    // The group before ended here, and it ruled what rules the first row of this one.
    if (group === 0 && (entry.firstElement !== 0 || entry.contextElement !== 0)) return fault
    const rows = isLast ? head.rowCount - group * GROUP_ROWS : GROUP_ROWS
    for (let row = 0; row < rows; row++) {
      const read = rowAt(payload, head, element, posted.chainId)
      if (!read) return fault
      const blame = step(walk, read, { place: { group, row }, element, posted })
      if (blame === 'neighbours') return fault
      if (blame) return { kind: 'order', places: blame }
      element += read.elements
    }
    if (isLast) return element !== head.laneElements || walk.isBehindBlock ? fault : undefined
    const next = entryAt(payload, head, group + 1)
    if (element >= head.laneElements || next.firstElement !== element) return fault
    const context = payload[laneAt(element)] === ROW_KIND.block ? element : walk.block?.element
    if (next.contextElement !== context) return fault
  }
  return undefined
}

type ReadRow = { readonly row: Row; readonly elements: number }
type StepPlace = { readonly place: RowPlace; readonly element: number; readonly posted: PostedAs }

/** Whom to blame if the row may not stand here: its neighbours, or the rows that forbid it and itself. */
function step(walk: Walk, { row }: ReadRow, { place, element, posted }: StepPlace): 'neighbours' | readonly RowPlace[] | undefined {
  const { isBehindBlock, block } = walk
  walk.isBehindBlock = row.kind === 'block'
  if (row.kind === 'block') {
    const { firstBlock, lastBlock } = posted.header
    if (isBehindBlock || row.number < firstBlock || row.number > lastBlock) return 'neighbours'
    if (block && row.number <= block.number) return 'neighbours'
    if (block && BigInt(row.timestampMs) < BigInt(block.timestampMs) + (row.number - block.number)) return 'neighbours'
    walk.block = { number: row.number, timestampMs: row.timestampMs, element }
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

function rowAt(payload: Uint8Array, head: PayloadHead, element: number, chainId: number): ReadRow | undefined {
  if (element >= head.laneElements) return undefined
  return attempt(() => {
    const cursor = { bytes: payload, at: laneAt(element), end: groupsAt(head) }
    const row = takeRow(cursor, chainId)
    return { row, elements: (cursor.at - laneAt(element)) / ROW_ELEMENT_BYTES }
  })
}

function entryAt(payload: Uint8Array, head: PayloadHead, group: number): { firstElement: number; contextElement: number } {
  const cursor = { bytes: payload, at: groupsAt(head) + group * GROUP_BYTES, end: payload.length }
  return { firstElement: takeUint(cursor, 4), contextElement: takeUint(cursor, 4) }
}

function elementsAt(payload: Uint8Array, element: number): number {
  const at = laneAt(element)
  return ((payload[at + 1] ?? 0) << 8) | (payload[at + 2] ?? 0)
}

function laneAt(element: number): number {
  return (HEAD_ELEMENTS + element) * ROW_ELEMENT_BYTES
}

function groupsAt({ laneElements }: PayloadHead): number {
  return laneAt(laneElements)
}

function tailAt(head: PayloadHead): number {
  return groupsAt(head) + Math.ceil((head.groupCount * GROUP_BYTES) / ROW_ELEMENT_BYTES) * ROW_ELEMENT_BYTES
}

function entryRange(head: PayloadHead, group: number): ElementRange {
  return bytesRange(groupsAt(head) + group * GROUP_BYTES, GROUP_BYTES)
}

function laneRange(element: number, elements: number): ElementRange {
  return { first: HEAD_ELEMENTS + element, end: HEAD_ELEMENTS + element + elements }
}

function bytesRange(from: number, length: number): ElementRange {
  return { first: Math.floor(from / ROW_ELEMENT_BYTES), end: Math.ceil((from + length) / ROW_ELEMENT_BYTES) }
}

/** Nothing behind the payload's last blob can be opened. */
function clip({ first, end }: ElementRange, payloadBytes: number): ElementRange {
  const last = Math.ceil(payloadBytes / ROW_ELEMENT_BYTES)
  return { first: Math.min(first, last), end: Math.min(end, last) }
}
