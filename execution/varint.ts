/**
 * Integers in as few bytes as they need, each in one form only. Spec: docs/spec/batch.md#rows, docs/spec/batch.md#tail
 *   varint   unsigned LEB128: seven bits a byte, the lowest first, the highest bit says that another byte follows
 *   amount   scale and length (uint4 each) ‖ the integer: it counts 1000^scale wei, and is no multiple of 1,000; 0 is one zero byte
 */
import { assert } from './assert.ts'
import { type Cursor, malformed, takeBigUint, takeUint } from './fields.ts'

const SAFE_BITS = 53

/** Length of the varint of an integer from 0 up to 2^64 − 1; a number is a safe one. */
export function varintBytes(value: number | bigint): number {
  if (typeof value === 'bigint' && value > Number.MAX_SAFE_INTEGER) return Math.ceil(value.toString(2).length / 7)
  const number = Number(value)
  if (number < 0x80) return 1
  return Math.ceil(bitsOf(number) / 7)
}

/** How many bits a safe integer from 0 up has; 0 for 0. */
export function bitsOf(value: number): number {
  return value <= 0xffffffff ? 32 - Math.clz32(value) : 64 - Math.clz32(Math.floor(value / 2 ** 32))
}

/** Writes the varint at `at`; answers where the next value goes. */
export function writeVarint(value: number | bigint, out: Uint8Array, at: number): number {
  assert(value >= 0, 'a varint is not negative')
  let next = at
  let rest = value
  for (; typeof rest === 'bigint' && rest > Number.MAX_SAFE_INTEGER; rest >>= 7n) out[next++] = Number(rest & 0x7fn) | 0x80 // ends: rest shrinks
  let low = Number(rest)
  for (; low >= 0x80; low = Math.floor(low / 0x80)) out[next++] = (low % 0x80) | 0x80 // ends: low shrinks
  out[next++] = low
  return next
}

/** The varint of a safe integer from 0 up. */
export function encodeVarint(value: number): Uint8Array {
  assert(Number.isSafeInteger(value), 'a varint is a safe integer')
  const out = new Uint8Array(varintBytes(value))
  writeVarint(value, out, 0)
  return out
}

/** Reads a varint of at most so many bits (53 at most) and moves on; throws `Malformed`. Call through `attempt`. */
export function takeVarint(cursor: Cursor, bits = SAFE_BITS): number {
  let value = 0
  for (let i = 0, unit = 1; i < 8; i++, unit *= 0x80) {
    const byte = takeUint(cursor, 1)
    value += (byte & 0x7f) * unit
    if (byte < 0x80) return value < 2 ** bits && (byte !== 0 || i === 0) ? value : malformed()
  }
  return malformed()
}

/** The same of at most 64 bits. */
export function takeBigVarint(cursor: Cursor, bits = 64): bigint {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = takeUint(cursor, 1)
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return value < 1n << BigInt(bits) && (byte !== 0 || shift === 0n) ? value : malformed()
  }
  return malformed()
}

const BILLION = 1_000_000_000n
const THOUSAND = 1_000n
/** Widest amount: a uint96, which has at most 28 digits behind the first. */
const AMOUNT_LIMIT = 1n << 96n
const AMOUNT_BYTES_MAX = 12
const SCALE_MAX = 9

/** Length of the form of an amount. */
export function amountBytes(wei: bigint): number {
  return 1 + bytesOf(unscale(wei).units)
}

/** Writes the amount at `at`; answers where the next value goes. */
export function writeAmount(wei: bigint, out: Uint8Array, at: number): number {
  assert(wei >= 0n && wei < AMOUNT_LIMIT, 'an amount fits 96 bits')
  const { units, scale } = unscale(wei)
  const length = bytesOf(units)
  out[at] = (scale << 4) | length
  for (let i = length, rest = units; i > 0; i--, rest >>= 8n) out[at + i] = Number(rest & 0xffn)
  return at + 1 + length
}

/** Reads an amount and moves on; throws `Malformed`. Call through `attempt`. */
export function takeAmount(cursor: Cursor): bigint {
  const head = takeUint(cursor, 1)
  const [scale, length] = [head >> 4, head & 15]
  if (head === 0) return 0n
  if (length === 0 || length > AMOUNT_BYTES_MAX || scale > SCALE_MAX || cursor.bytes[cursor.at] === 0) malformed()
  const units = takeBigUint(cursor, length)
  const wei = units * THOUSAND ** BigInt(scale)
  return units % THOUSAND === 0n || wei >= AMOUNT_LIMIT ? malformed() : wei
}

/** Gwei first, which most are whole multiples of: fewer divisions. */
function unscale(wei: bigint): { units: bigint; scale: number } {
  let units = wei
  let scale = 0
  for (; units >= BILLION && units % BILLION === 0n; units /= BILLION) scale += 3 // ends: units shrink
  for (; units >= THOUSAND && units % THOUSAND === 0n; units /= THOUSAND) scale++
  return { units, scale }
}

function bytesOf(units: bigint): number {
  if (units <= Number.MAX_SAFE_INTEGER) return Math.ceil(bitsOf(Number(units)) / 8)
  let bytes = 6
  for (let rest = units >> 48n; rest > 0n; rest >>= 8n) bytes++ // ends: rest shrinks
  return bytes
}
