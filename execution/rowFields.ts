/**
 * Fields as they stand in a row on L1: as few bytes as they need, one form for one value.
 *   uint8, uint256, address, bytesN   at their width
 *   uint96                            an amount (execution/varint.ts)
 *   other integers                    a varint
 *   string, bytes, arrays             a varint, how many, and the bytes or items
 * Types whose fields say something twice have a form of their own; what it leaves out is what no valid transaction has otherwise.
 * Spec: docs/spec/batch.md#rows
 */
import type { AbiParameter, Hex } from 'viem'
import { assert } from './assert.ts'
import { type Cursor, decodeUtf8, encodeUtf8, malformed, take, takeBigUint, takeUint, utf8Length } from './fields.ts'
import { fromHex, hexBytes, toHex, writeHex } from './hex.ts'
import { keccak256 } from './keccak.ts'
import { isLowS, type Signature } from './recover.ts'
import { amountBytes, takeAmount, takeBigVarint, takeVarint, varintBytes, writeAmount, writeVarint } from './varint.ts'

/** The row form of a value. */
export type RowCoder<T = unknown> = {
  /** Length of the form; of a value that no valid transaction has it is any number. */
  bytes(value: T): number
  /** Writes the form at `at`; answers where the next one goes. Asserts that the value has one. */
  write(value: T, out: Uint8Array, at: number): number
  /** Reads a value and moves on; throws `Malformed`. Call through `attempt`. */
  read(cursor: Cursor): T
}

/** What a list of parameters describes, as viem's values have it. */
type Values = Readonly<Record<string, unknown>>

/** The row form of a list of parameters, one behind another. `special` gives members a form of their own, by name. */
export function compileRow(parameters: readonly AbiParameter[], special: Readonly<Record<string, RowCoder>> = {}): RowCoder<Values> {
  const members = parameters.map((parameter) => {
    const name = parameter.name ?? ''
    return { name, coder: special[name] ?? coderOf(parameter) }
  })
  return {
    bytes(value) {
      let sum = 0
      for (const { name, coder } of members) sum += coder.bytes(value[name])
      return sum
    },
    write(value, out, at) {
      let next = at
      for (const { name, coder } of members) next = coder.write(value[name], out, next)
      return next
    },
    read(cursor) {
      const value: Record<string, unknown> = {}
      for (const { name, coder } of members) value[name] = coder.read(cursor)
      return value
    },
  }
}

/** Bytes of a length before them. */
export const bytesRow: RowCoder<Hex> = {
  bytes: (value) => varintBytes(hexBytes(value)) + hexBytes(value),
  write: (value, out, at) => writeHex(value, out, writeVarint(hexBytes(value), out, at)),
  read: (cursor) => toHex(take(cursor, takeVarint(cursor, LENGTH_BITS))),
}

/** Lists and bytes are no longer than in any other form of a transaction. */
const LENGTH_BITS = 16

const stringRow: RowCoder<string> = {
  bytes: (value) => varintBytes(utf8Length(value)) + utf8Length(value),
  write(value, out, at) {
    const bytes = encodeUtf8(value)
    const from = writeVarint(bytes.length, out, at)
    out.set(bytes, from)
    return from + bytes.length
  },
  read: (cursor) => decodeUtf8(take(cursor, takeVarint(cursor, LENGTH_BITS))),
}

/** An amount of wei. */
export const amountRow: RowCoder<bigint> = { bytes: amountBytes, write: writeAmount, read: takeAmount }

/** A varint of so many bits, a number where those are at most 48. */
export function uintRow(bits: number): RowCoder<number | bigint> {
  return {
    bytes: varintBytes,
    write(value, out, at) {
      assert(value < 2 ** bits, 'an integer fits its field')
      return writeVarint(value, out, at)
    },
    read: (cursor) => (bits <= 48 ? takeVarint(cursor, bits) : takeBigVarint(cursor, bits)),
  }
}

/** Bytes whose number the type says. */
export function fixedRow(length: number): RowCoder<Hex> {
  return {
    bytes: () => length,
    write(value, out, at) {
      const end = writeHex(value, out, at)
      assert(end === at + length, 'hex is as long as its field')
      return end
    },
    read: (cursor) => toHex(take(cursor, length)),
  }
}

const byteRow: RowCoder<number> = {
  bytes: () => 1,
  write(value, out, at) {
    out[at] = value
    return at + 1
  },
  read: (cursor) => takeUint(cursor, 1),
}

const wordRow: RowCoder<bigint> = {
  bytes: () => 32,
  write(value, out, at) {
    for (let i = 31, rest = value; i >= 0; i--, rest >>= 8n) out[at + i] = Number(rest & 0xffn)
    return at + 32
  },
  read: (cursor) => takeBigUint(cursor, 32),
}

/** A signature in 64 bytes: s is below half the order, and its first bit free for the y parity. Source: EIP-2098 */
export const signatureRow: RowCoder<Signature> = {
  bytes: () => 64,
  write({ r, s, yParity }, out, at) {
    assert(isLowS(s), 's of a signature is in the lower half of the order')
    out.set(r, at)
    out.set(s, at + 32)
    out[at + 32] = (s[0] ?? 0) | (yParity << 7)
    return at + 64
  },
  read(cursor) {
    const [r, s] = [take(cursor, 32).slice(), take(cursor, 32).slice()]
    const yParity = (s[0] ?? 0) & 0x80 ? 1 : 0
    s[0] = (s[0] ?? 0) & 0x7f
    return isLowS(s) ? { yParity, r, s } : malformed()
  },
}

/** Bytes that stand in the tail of the batch, behind the lane, by their length and hash. Spec: docs/spec/batch.md#attachments */
export type Attachment = { readonly bytes: number; readonly hash: Hex }

/** Length of bytes that are there, or stand elsewhere. */
export function attachmentBytes(value: Hex | Attachment): number {
  return typeof value === 'string' ? hexBytes(value) : value.bytes
}

/** What was read of bytes that stand elsewhere is where they are, until `attach` puts them there. */
export const attachedRow: RowCoder<Hex | Attachment> = {
  bytes: (value) => varintBytes(attachmentBytes(value)) + 32,
  write(value, out, at) {
    const { bytes, hash } = typeof value === 'string' ? { bytes: hexBytes(value), hash: toHex(keccak256(fromHex(value))) } : value
    return writeHex(hash, out, writeVarint(bytes, out, at))
  },
  read: (cursor) => ({ bytes: takeVarint(cursor, LENGTH_BITS), hash: toHex(take(cursor, 32)) }),
}

/** Reads the bytes of an attachment and moves on; throws `Malformed` where they are others. */
export function takeAttachment(cursor: Cursor, { bytes, hash }: Attachment): Hex {
  const value = take(cursor, bytes)
  return toHex(keccak256(value)) === hash ? toHex(value) : malformed()
}

/** The list of items that have this form. */
export function listRow<T>(item: RowCoder<T>): RowCoder<readonly T[]> {
  return {
    bytes(list) {
      let sum = varintBytes(list.length)
      for (const one of list) sum += item.bytes(one)
      return sum
    },
    write(list, out, at) {
      let next = writeVarint(list.length, out, at)
      for (const one of list) next = item.write(one, out, next)
      return next
    },
    read(cursor) {
      const count = takeVarint(cursor, LENGTH_BITS)
      const list: T[] = []
      for (let i = 0; i < count; i++) list.push(item.read(cursor)) // ends: every item has a byte or more, and the cursor an end
      return list
    },
  }
}

function coderOf(parameter: AbiParameter): RowCoder {
  const { type } = parameter
  if (type.endsWith('[]')) return listRow(coderOf({ ...parameter, type: type.slice(0, -2) })) as RowCoder
  if ('components' in parameter) return compileRow(parameter.components) as RowCoder
  if (type === 'string') return stringRow as RowCoder
  if (type === 'bytes') return bytesRow as RowCoder
  if (type === 'address') return fixedRow(20) as RowCoder
  if (type.startsWith('bytes')) return fixedRow(Number(type.slice('bytes'.length))) as RowCoder
  if (type === 'uint8') return byteRow as RowCoder
  if (type === 'uint96') return amountRow as RowCoder
  if (type === 'uint256') return wordRow as RowCoder
  return uintRow(Number(type.slice('uint'.length))) as RowCoder
}
