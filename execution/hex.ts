/**
 * Hex to bytes and back on the hot path, by tables of two letters at a time: two to eight times as fast as viem's, and the text comes out flat, so
 * that it is a cheap Map key. Node's Buffer copies text to bytes and back in one piece; without it (in a browser) a loop does.
 */
import type { Hex } from 'viem'
import { assert } from './assert.ts'

const LETTERS = '0123456789abcdef'
const ZERO = 0x30
const X = 0x78

/** Bytes that are written at once; longer ones go in pieces. */
const PIECE_BYTES = 2_048

/** Text being read or written, `0x` first, and the same memory as pairs of letters. */
const text = new Uint8Array(2 + 2 * PIECE_BYTES)
const pairs = new Uint16Array(text.buffer)

/** The two letters of each byte, as they stand in `pairs`. */
const lettersOf = new Uint16Array(256)
/** The byte of each two letters, in either case; -1 for what is no hex. */
const byteOf = new Int16Array(65_536).fill(-1)
fillTables()

type NodeBuffer = { latin1Slice(from: number, to: number): string } & {
  readonly [K in 'latin1Write' | 'utf8Write']: (text: string, at: number, length: number) => number
}

/** The same memory once more, where there is Node's Buffer. The methods are what its documented `toString` and `write` come down to. */
const buffer = typeof Buffer === 'undefined' ? undefined : (Buffer.from(text.buffer) as unknown as NodeBuffer)

/** The bytes in lowercase hex; with `from` and `to`, those of them from one to before the other. */
export function toHex(bytes: Uint8Array, from = 0, to: number = bytes.length): Hex {
  if (to - from > PIECE_BYTES) return `${toHex(bytes, from, from + PIECE_BYTES)}${toHex(bytes, from + PIECE_BYTES, to).slice(2)}` as Hex
  text[0] = ZERO
  text[1] = X
  let end = 1
  for (let i = from; i < to; i++) pairs[end++] = lettersOf[bytes[i] ?? 0] ?? 0
  return readText(2 * end) as Hex
}

/** The bytes that the hex says. Asserts that it is hex of whole bytes, in either case. */
export function fromHex(hex: string): Uint8Array {
  const out = new Uint8Array(hexBytes(hex))
  writeHex(hex, out, 0)
  return out
}

/** The bytes that the hex says, in either case; undefined: it is none of whole bytes with 0x before it. For what others wrote. */
export function parseHex(text: string): Uint8Array | undefined {
  const isMarked = text.charCodeAt(0) === ZERO && (text.charCodeAt(1) | 0x20) === X
  if (!isMarked || text.length % 2 !== 0) return undefined
  const out = new Uint8Array(hexBytes(text))
  return readHex(text, out, { at: 0, isOurs: false }) ? out : undefined
}

/** How many bytes the hex says. */
export function hexBytes(hex: string): number {
  return Math.max(0, (hex.length - 2) >> 1)
}

/** Writes the bytes that the hex says at `at`; answers where the next ones go. Asserts as `fromHex` does, and that they fit. */
export function writeHex(hex: string, out: Uint8Array, at: number): number {
  const end = at + hexBytes(hex)
  assert(hex.length % 2 === 0 && hex.length >= 2 && end <= out.length, 'hex of whole bytes, where there is room for it')
  assert(readHex(hex, out, { at, isOurs: true }), 'what should be hex is none')
  return end
}

/** Writes the bytes that the hex says, which fit; false if it is none. */
function readHex(hex: string, out: Uint8Array, { at, isOurs }: { readonly at: number; readonly isOurs: boolean }): boolean {
  let next = at
  let isHex = true
  for (let from = 0; from < hex.length; from += text.length) {
    const piece = hex.length <= text.length ? hex : hex.slice(from, from + text.length)
    isHex &&= writeText(piece, isOurs)
    let signs = 0
    for (let i = from === 0 ? 1 : 0; i < piece.length >> 1; i++) {
      const byte = byteOf[pairs[i] ?? 0] ?? -1
      signs |= byte
      out[next++] = byte
    }
    isHex &&= signs >= 0
  }
  return isHex
}

/** The first letters of `text`, as a string. */
function readText(length: number): string {
  if (buffer) return buffer.latin1Slice(0, length)
  let read = ''
  for (let i = 0; i < length; i += 2) read += String.fromCharCode(text[i] ?? 0, text[i + 1] ?? 0)
  return read
}

/**
 * Puts a string that is no longer than it into `text`. Of one that is not ours, letters beyond ASCII come out as bytes that are no letters of hex, or there
 * is no room for all of them, which is false; of one of ours, that is faster, the lower byte of each letter.
 */
function writeText(piece: string, isOurs: boolean): boolean {
  if (buffer) return (isOurs ? buffer.latin1Write(piece, 0, piece.length) : buffer.utf8Write(piece, 0, piece.length)) === piece.length
  for (let i = 0; i < piece.length; i++) text[i] = Math.min(0xff, piece.charCodeAt(i))
  return true
}

function fillTables(): void {
  const forms = [LETTERS, LETTERS.toUpperCase()].map((letters) => new TextEncoder().encode(letters))
  const [lower] = forms
  for (let byte = 0; byte < 256; byte++) {
    for (const high of forms) for (const low of forms) byteOf[pairOf(high[byte >> 4], low[byte & 15])] = byte
    lettersOf[byte] = pairOf(lower?.[byte >> 4], lower?.[byte & 15])
  }
}

function pairOf(high = 0, low = 0): number {
  text[0] = high
  text[1] = low
  return pairs[0] ?? 0
}
