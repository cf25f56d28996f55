/** Unsigned LEB128, in the one form that is as short as can be, up to 2^53 − 1. Spec: docs/spec/batch.md#tail */
import { assert } from '../execution/assert.ts'
import { type Cursor, malformed, takeUint } from '../execution/fields.ts'

/** Longest varint: 53 bits, seven to a byte. */
const VARINT_BYTES_MAX = 8

/** The varint of a safe integer that is not negative. */
export function encodeVarint(value: number): Uint8Array {
  assert(Number.isSafeInteger(value) && value >= 0, 'a varint is a safe integer from 0 up')
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80) // ends: rest shrinks
  return Uint8Array.of(...bytes, rest)
}

/** Reads a varint and moves on; throws `Malformed`. Call through `attempt`. */
export function takeVarint(cursor: Cursor): number {
  let value = 0
  for (let i = 0, unit = 1; i < VARINT_BYTES_MAX; i++, unit *= 0x80) {
    const byte = takeUint(cursor, 1)
    value += (byte & 0x7f) * unit
    if (byte < 0x80) return Number.isSafeInteger(value) && (byte !== 0 || i === 0) ? value : malformed()
  }
  return malformed()
}
