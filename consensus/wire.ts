/**
 * Reading and writing the fixed-width, big-endian fields that messages, certificates, evidence and the log are made of.
 * A decoder either returns the whole value or says where and why the bytes are not one; it never reads past the end, and one value
 * has one encoding. Spec: docs/spec/consensus.md#messages
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { fromHex, toHex } from '../execution/hex.ts'

/** Highest round: validRound + 1 has to fit a u32 as well. */
export const ROUND_MAX = 2 ** 32 - 2

/** Bytes of a BLS signature in its compressed form. */
export const SIGNATURE_BYTES = 96

/** Why bytes from outside were refused. */
export type WireCode =
  | 'truncated'
  | 'trailingBytes'
  | 'oversize'
  | 'unknownType'
  | 'numberRange'
  | 'roundRange'
  | 'validRoundRange'
  | 'nilBlock'
  | 'nilValidRound'
  | 'bitmapSize'
  | 'entryCount'
  | 'entryOrder'
  | 'flagRange'

/** The verdict of a decoder; `at` is the offset where it gave up. */
export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly code: WireCode; readonly at: number }

/** A read position in somebody else's bytes. */
export type Reader = { readonly bytes: Uint8Array; at: number }

/** Ends a decoder; only `decodeExactly` sees it. */
class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: WireCode
  constructor(code: WireCode) {
    super(code)
    this.code = code
  }
}

/** Runs a decoder over bytes that it must use up exactly, at most `bytesMax` of them. */
export function decodeExactly<T>(bytes: Uint8Array, bytesMax: number, read: (reader: Reader) => T): Decoded<T> {
  if (bytes.length > bytesMax) return { ok: false, code: 'oversize', at: bytesMax }
  const reader: Reader = { bytes, at: 0 }
  try {
    const value = read(reader)
    return reader.at === bytes.length ? { ok: true, value } : { ok: false, code: 'trailingBytes', at: reader.at }
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, code: error.code, at: reader.at }
    throw error
  }
}

/** Ends the decoder that runs. */
export function refuse(code: WireCode): never {
  throw new Refusal(code)
}

/** The next `length` bytes, copied, so that no decoded value keeps a whole packet alive. */
export function readBytes(reader: Reader, length: number): Uint8Array {
  if (reader.at + length > reader.bytes.length) refuse('truncated')
  reader.at += length
  return reader.bytes.slice(reader.at - length, reader.at)
}

/** The next `length` bytes as lowercase hex. */
export function readHex(reader: Reader, length: number): Hex {
  return toHex(readBytes(reader, length))
}

/** An integer of `length` bytes (at most 8). Beyond 2^53 − 1 is refused: no height, chain id or time gets there. */
export function readUint(reader: Reader, length: number): number {
  let value = 0
  for (const byte of readBytes(reader, length)) value = value * 256 + byte
  if (value > Number.MAX_SAFE_INTEGER) refuse('numberRange')
  return value
}

/** A round, u32. */
export function readRound(reader: Reader): number {
  const round = readUint(reader, 4)
  return round <= ROUND_MAX ? round : refuse('roundRange')
}

/** A valid round, sent as validRound + 1 in a u32: −1 or a round before `round`. */
export function readValidRound(reader: Reader, round: number): number {
  const validRound = readUint(reader, 4) - 1
  return validRound < round ? validRound : refuse('validRoundRange')
}

/** Hex as exactly `length` bytes. */
export function fixedBytes(hex: Hex, length: number): Uint8Array {
  const bytes = fromHex(hex)
  assert(bytes.length === length, 'hex does not fit its field')
  return bytes
}
