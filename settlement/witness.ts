/**
 * Witnesses of groups: the part of the ledger that a group's rows touch, by which L1 executes them again without the rest.
 * Wire: count u16 ‖ (key 32 ‖ length u16 ‖ record)…, keys ascending, length 0 for none ‖ the partial tree, from the root, left before right: the
 * hash of a place that no touched key leads to, else a tag: 0 empty, 1 leaf of a touched key, 2 leaf of another key (key 32 ‖ sha256 of its record),
 * 3 inner node.
 * Spec: docs/spec/fraud.md#partial-trees; on L1: contracts/fraud/LedgerUpdate.sol, contracts/fraud/LedgerRecords.sol
 */
import { concatBytes, type Hex, hexToBytes, numberToBytes } from 'viem'
import { assert } from '../execution/assert.ts'
import { toHex } from '../execution/hex.ts'
import type { RecordReader } from '../execution/ledger/ledger.ts'
import { type LedgerSource, readThrough } from '../execution/ledger/rootReader.ts'
import { bitOf, createLedgerTree, type LedgerTree, treeKey } from '../execution/ledger/tree.ts'
import { createLaneRun, type ExecutedGroup, type LaneRejection, type LaneRow, type LaneStart } from './lane.ts'

/** A record by its place. */
export type RecordPlace = { readonly table: number; readonly id: Uint8Array }

/** What became of a group, and what L1 needs to see the same. */
export type WitnessedGroup = {
  readonly result: ExecutedGroup | LaneRejection
  readonly witness: Uint8Array
  /** Records that the rows touch. */
  readonly records: number
}

const TAG = { empty: 0, leaf: 1, other: 2, inner: 3 } as const

/** Records that L1 looks at whatever the rows are: supply, counters, L1 info, parameters. */
const ALWAYS: readonly RecordPlace[] = [
  { table: 0x00, id: Uint8Array.of(1) },
  { table: 0x00, id: Uint8Array.of(2) },
  { table: 0x00, id: Uint8Array.of(3) },
  { table: 0x0c, id: Uint8Array.of(1) },
]

/** Executes a group's rows on the ledger at their root, and makes the witness of it. Where a row is refused the witness is of what was touched up to there. */
export function witnessGroup(start: Omit<LaneStart, 'onTouch'>, rows: readonly LaneRow[]): WitnessedGroup {
  const touched = new Map<string, RecordPlace>()
  const onTouch = (table: number, id: Uint8Array) => touched.set(`${table}${toHex(id)}`, { table, id: id.slice() })
  for (const { table, id } of ALWAYS) onTouch(table, id)
  const result = createLaneRun({ ...start, onTouch }).applyGroup(rows)
  return { result, witness: witnessOf(start, [...touched.values()]), records: touched.size }
}

/** The witness of these records, each of them once, at a root that the source has. At most 65,535 of at most 65,535 bytes each. */
export function witnessOf(
  { root, source }: { readonly root: Hex; readonly source: LedgerSource },
  places: readonly RecordPlace[],
): Uint8Array {
  const tree = createLedgerTree(hexToBytes(root), source.ledgerEntry)
  const read = readThrough(tree, source)
  const touched = places.map((place) => touch(tree, read, place)).toSorted((a, b) => compare(a.key, b.key))
  assert(touched.length <= 0xffff, 'a witness has too many records')
  const parts: Uint8Array[] = [numberToBytes(touched.length, { size: 2 })]
  for (const { key, record } of touched) parts.push(key, numberToBytes(record.length, { size: 2 }), record)
  if (touched.length === 0) parts.push(tree.root())
  else pushPlace(parts, touched, 0)
  return concatBytes(parts)
}

type Touched = {
  readonly key: Uint8Array
  /** Empty: there is none. */
  readonly record: Uint8Array
  readonly path: ReturnType<LedgerTree['path']>
}

function touch(tree: LedgerTree, read: RecordReader, { table, id }: RecordPlace): Touched {
  const key = treeKey(table, id)
  const record = read(table, id)
  assert(record === undefined || record.length > 0, 'no record is empty')
  return { key, record: record ?? new Uint8Array(), path: tree.path(key) }
}

/** Writes the place at this depth to which all of the touched keys, one or more, lead. Ends: a path has its length. */
function pushPlace(parts: Uint8Array[], touched: readonly Touched[], depth: number): void {
  const [first] = touched
  assert(first, 'a touched place has a key')
  const { leaf, siblings } = first.path
  if (siblings.length > depth) {
    const left = touched.filter(({ key }) => !bitOf(key, depth))
    const right = touched.slice(left.length)
    const aside = siblings[siblings.length - 1 - depth]
    assert(aside, 'a path has a sibling for each of its levels')
    parts.push(Uint8Array.of(TAG.inner))
    if (left.length > 0) pushPlace(parts, left, depth + 1)
    else parts.push(aside)
    if (right.length > 0) pushPlace(parts, right, depth + 1)
    else parts.push(aside)
    return
  }
  if (!leaf) parts.push(Uint8Array.of(TAG.empty))
  else if (touched.some(({ key }) => compare(key, leaf.key) === 0)) parts.push(Uint8Array.of(TAG.leaf))
  else parts.push(Uint8Array.of(TAG.other), leaf.key, leaf.valueHash)
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < 32; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
