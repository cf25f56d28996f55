/**
 * Columns: Ethereum transactions taken apart by field, so that what is alike stands together and compresses. Lossless for every transaction
 * whose outer list is canonical RLP with its type's count of items; what is in an item is not looked at.
 *
 * Wire: types(column) ‖ for each type 0, 1, 2, 4 that occurs, for each field of its list in order: items(column)
 *       column = length(varint) ‖ bytes; types: one byte a transaction, 0 for legacy; items: the RLP-encoded items, one after another.
 * Spec: docs/spec/batch.md#tail
 */
import { concatBytes } from 'viem'
import { assert } from '../execution/assert.ts'
import { attempt, type Cursor, malformed, take, takeRlpList, takeRlpString, takeUint } from '../execution/fields.ts'
import { encodeVarint, takeVarint } from '../execution/varint.ts'

/** Items in the list of a signed transaction, by type. Source: Yellow Paper (legacy), EIP-2930, EIP-1559, EIP-7702. */
const FIELD_COUNT = new Map([
  [0, 9],
  [1, 11],
  [2, 12],
  [4, 13],
])

/**
 * Most transactions in one set of columns. Each has 64 bytes of signature that do not compress, so that six blobs hold fewer; the bound is for
 * who decodes what was made to look like more.
 */
export const COLUMN_TXS_MAX = 16_384

/** The columns of the transactions, in their order: `COLUMN_TXS_MAX` at most. Asserts that each has them: every transaction that a block can hold does. */
export function encodeEvmColumns(transactions: readonly Uint8Array[]): Uint8Array {
  assert(transactions.length <= COLUMN_TXS_MAX, 'too many transactions for one set of columns')
  const types = Uint8Array.from(transactions, typeOf)
  const parts = [encodeColumn([types])]
  for (const [type, fieldCount] of FIELD_COUNT) {
    const rows = transactions.filter((_, i) => types[i] === type).map((raw) => splitItems(raw, type))
    if (rows.length === 0) continue
    for (let field = 0; field < fieldCount; field++) parts.push(encodeColumn(rows.map((items) => items[field] ?? new Uint8Array())))
  }
  return concatBytes(parts)
}

/** Reads columns and moves on; throws `Malformed`. Call through `attempt`. What is read is written again in the same bytes. */
export function takeEvmColumns(cursor: Cursor): Uint8Array[] {
  const types = take(cursor, takeVarint(cursor))
  if (types.length > COLUMN_TXS_MAX || types.some((type) => !FIELD_COUNT.has(type))) malformed()
  const byType = new Map<number, Uint8Array[]>()
  for (const [type, fieldCount] of FIELD_COUNT) {
    const count = types.reduce((sum, one) => (one === type ? sum + 1 : sum), 0)
    if (count > 0) byType.set(type, takeTransactions(cursor, { type, fieldCount, count }))
  }
  const next = new Map<number, number>()
  return Array.from(types, (type) => {
    const at = next.get(type) ?? 0
    next.set(type, at + 1)
    return byType.get(type)?.[at] ?? malformed()
  })
}

/** The transactions that the columns are, or undefined. */
export function decodeEvmColumns(bytes: Uint8Array): Uint8Array[] | undefined {
  return attempt(() => {
    const cursor = { bytes, at: 0, end: bytes.length }
    const transactions = takeEvmColumns(cursor)
    if (cursor.at !== cursor.end) malformed()
    return transactions
  })
}

function takeTransactions(
  cursor: Cursor,
  { type, fieldCount, count }: { readonly type: number; readonly fieldCount: number; readonly count: number },
): Uint8Array[] {
  const columns = Array.from({ length: fieldCount }, () => takeColumn(cursor, count))
  return Array.from({ length: count }, (_, n) =>
    joinItems(
      type,
      columns.map((items) => items[n] ?? malformed()),
    ),
  )
}

function takeColumn(cursor: Cursor, count: number): Uint8Array[] {
  const bytes = take(cursor, takeVarint(cursor))
  const column = { bytes, at: 0, end: bytes.length }
  const items = Array.from({ length: count }, () => takeItem(column))
  if (column.at !== column.end) malformed()
  return items
}

function encodeColumn(items: readonly Uint8Array[]): Uint8Array {
  const bytes = concatBytes(items)
  return concatBytes([encodeVarint(bytes.length), bytes])
}

function typeOf(raw: Uint8Array): number {
  const first = raw[0] ?? 0
  return first >= 0xc0 ? 0 : first
}

/** The items of a transaction's list, each as it is encoded there. */
function splitItems(raw: Uint8Array, type: number): Uint8Array[] {
  const items = attempt(() => {
    const outer = { bytes: raw, at: type === 0 ? 0 : 1, end: raw.length }
    const list = takeRlpList(outer)
    if (outer.at !== outer.end) malformed()
    const found: Uint8Array[] = []
    while (list.at < list.end) found.push(takeItem(list)) // ends: every item is at least one byte long
    return found
  })
  assert(items && items.length === FIELD_COUNT.get(type), 'a transaction has no columns')
  return items
}

/** The RLP item at the cursor with its prefix. Throws `Malformed`. */
function takeItem(cursor: Cursor): Uint8Array {
  const from = cursor.at
  const first = takeUint(cursor, 1)
  cursor.at = from
  if (first >= 0xc0) takeRlpList(cursor)
  else takeRlpString(cursor)
  return cursor.bytes.subarray(from, cursor.at)
}

function joinItems(type: number, items: readonly Uint8Array[]): Uint8Array {
  const payloadBytes = items.reduce((sum, item) => sum + item.length, 0)
  const prefix = type === 0 ? [] : [type]
  return concatBytes([Uint8Array.of(...prefix, ...listHead(payloadBytes)), ...items])
}

/** What stands before the payload of an RLP list. Source: Yellow Paper, appendix B. */
function listHead(payloadBytes: number): number[] {
  if (payloadBytes <= 55) return [0xc0 + payloadBytes]
  const length: number[] = []
  for (let rest = payloadBytes; rest > 0; rest = Math.floor(rest / 0x100)) length.unshift(rest % 0x100) // ends: rest shrinks
  return [0xf7 + length.length, ...length]
}
