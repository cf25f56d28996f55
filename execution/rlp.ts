/**
 * RLP, written from its end: how long it is in all, then the bytes, each once into the one array, and every list's head when what is in it has been
 * written, so that nothing is measured twice. The library joins arrays at every level, which takes three times as long for a receipt.
 * Reading is execution/fields.ts's and the library's.
 * Source: Ethereum Yellow Paper, appendix B.
 */
import type { Hex } from 'viem'
import { assert } from './assert.ts'
import { fromHex, hexBytes, writeHex } from './hex.ts'

/** A string of bytes, as such or in hex, an integer, or a list of such things. */
export type RlpItem = Uint8Array | Hex | bigint | readonly RlpItem[]

/** The encoding of an item; with a type, behind that byte. */
export function encodeRlp(item: RlpItem, type?: number): Uint8Array {
  const from = type === undefined ? 0 : 1
  const out = new Uint8Array(from + rlpBytes(item))
  if (type !== undefined) out[0] = type
  const start = writeBefore(out, out.length, item)
  assert(start === from, 'an item is as long as it was measured')
  return out
}

/** What is encoded to be hashed or copied at once. */
const passing = new Uint8Array(16_384)

/** As `encodeRlp`, in memory that the next one is written over. */
export function encodePassingRlp(item: RlpItem, type?: number): Uint8Array {
  const from = type === undefined ? 0 : 1
  const length = from + rlpBytes(item)
  if (length > passing.length) return encodeRlp(item, type)
  if (type !== undefined) passing[0] = type
  writeBefore(passing, length, item)
  return passing.subarray(0, length)
}

/** What is written item by item, the last one first. */
export type RlpWriter = {
  /** Writes the item before all that is there. */
  put(item: RlpItem): void
  /** How many bytes are there. */
  written(): number
  /** Makes a list of what was written since there were so many bytes. */
  putHead(writtenBefore: number): void
  bytes(): Uint8Array
}

/** A writer that has room for so many bytes, and makes more: for what is too much to be put together as lists of lists first. */
export function createRlpWriter(room: number): RlpWriter {
  let out = new Uint8Array(room)
  let at = room

  function makeRoom(length: number): void {
    if (at >= length) return
    const larger = new Uint8Array(2 * out.length + length)
    larger.set(out, larger.length - out.length)
    at += larger.length - out.length
    out = larger
  }

  return {
    put(item) {
      makeRoom(rlpBytes(item))
      at = writeBefore(out, at, item)
    },
    written: () => out.length - at,
    putHead(writtenBefore) {
      const length = out.length - at - writtenBefore
      makeRoom(headLength(length))
      at = writeHeadBefore(out, at, 0xc0, length)
    },
    bytes: () => out.subarray(at),
  }
}

/** Length of an item's encoding. */
export function rlpBytes(item: RlpItem): number {
  if (typeof item === 'string') return isHexItself(item) ? 1 : headLength(hexBytes(item)) + hexBytes(item)
  if (typeof item === 'bigint') return isUintItself(item) ? 1 : 1 + uintLength(item)
  if (item instanceof Uint8Array) return isItself(item) ? 1 : headLength(item.length) + item.length
  let length = 0
  for (let i = 0; i < item.length; i++) length += rlpBytes(item[i] ?? EMPTY)
  return headLength(length) + length
}

/** What is there in place of an item that cannot be missing. */
const EMPTY = new Uint8Array()

/** A single byte below 0x80 stands for itself. */
function isItself(bytes: Uint8Array): boolean {
  return bytes.length === 1 && (bytes[0] ?? 0) < 0x80
}

function isHexItself(hex: Hex): boolean {
  return hex.length === 4 && hex.charCodeAt(2) < 0x38 // the letter 8
}

function isUintItself(value: bigint): boolean {
  return value > 0n && value < 0x80n
}

/** Bytes of an integer without leading zeros: none for 0. */
function uintLength(value: bigint): number {
  assert(value >= 0n, 'only integers from 0 on have an encoding')
  if (value > Number.MAX_SAFE_INTEGER) return (value.toString(16).length + 1) >> 1
  let length = 0
  for (let rest = Number(value); rest >= 1; rest /= 0x100) length++
  return length
}

function headLength(length: number): number {
  assert(length < 2 ** 32, 'nothing is that long')
  return length < 56 ? 1 : length < 0x100 ? 2 : length < 0x10000 ? 3 : length < 0x1000000 ? 4 : 5
}

/** Writes the item so that it ends at `end`; answers where it begins. */
function writeBefore(out: Uint8Array, end: number, item: RlpItem): number {
  if (typeof item === 'string') {
    const from = end - hexBytes(item)
    writeHex(item, out, from)
    return isHexItself(item) ? from : writeHeadBefore(out, from, 0x80, end - from)
  }
  if (typeof item === 'bigint') {
    const from = writeUintBefore(out, end, item)
    return isUintItself(item) ? from : writeHeadBefore(out, from, 0x80, end - from)
  }
  if (item instanceof Uint8Array) {
    const from = end - item.length
    out.set(item, from)
    return isItself(item) ? from : writeHeadBefore(out, from, 0x80, item.length)
  }
  let from = end
  for (let i = item.length - 1; i >= 0; i--) from = writeBefore(out, from, item[i] ?? EMPTY)
  return writeHeadBefore(out, from, 0xc0, end - from)
}

function writeUintBefore(out: Uint8Array, end: number, value: bigint): number {
  if (value > Number.MAX_SAFE_INTEGER) {
    const digits = value.toString(16)
    const bytes = fromHex(`0x${digits.length % 2 === 0 ? '' : '0'}${digits}`)
    out.set(bytes, end - bytes.length)
    return end - bytes.length
  }
  let from = end
  for (let rest = Number(value); rest >= 1; rest = Math.floor(rest / 0x100)) out[--from] = rest % 0x100
  return from
}

/** Writes the head of a string (`offset` 0x80) or list (0xc0) of this length before it; answers where the head begins. */
function writeHeadBefore(out: Uint8Array, end: number, offset: number, length: number): number {
  const from = end - headLength(length)
  out[from] = end - from === 1 ? offset + length : offset + 54 + end - from
  for (let at = end - 1, rest = length; at > from; at--, rest = Math.floor(rest / 0x100)) out[at] = rest % 0x100
  return from
}
