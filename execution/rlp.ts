/**
 * RLP, written in two passes: how long, then the bytes, each once into the one array. The library joins arrays at every level, which takes three
 * times as long for a receipt. Reading is execution/fields.ts's and the library's.
 * Source: Ethereum Yellow Paper, appendix B.
 */
import type { Hex } from 'viem'
import { assert } from './assert.ts'
import { hexBytes, writeHex } from './hex.ts'

/** A string of bytes, as such or in hex, or a list of such things. */
export type RlpItem = Uint8Array | Hex | readonly RlpItem[]

/** The encoding of an item. */
export function encodeRlp(item: RlpItem): Uint8Array {
  const out = new Uint8Array(lengthOf(item))
  write(out, 0, item)
  return out
}

function lengthOf(item: RlpItem): number {
  if (typeof item === 'string') return isHexItself(item) ? 1 : headLength(hexBytes(item)) + hexBytes(item)
  if (item instanceof Uint8Array) return isItself(item) ? 1 : headLength(item.length) + item.length
  const length = payloadLength(item)
  return headLength(length) + length
}

function payloadLength(list: readonly RlpItem[]): number {
  let length = 0
  for (const item of list) length += lengthOf(item)
  return length
}

/** A single byte below 0x80 stands for itself. */
function isItself(bytes: Uint8Array): boolean {
  return bytes.length === 1 && (bytes[0] ?? 0) < 0x80
}

function isHexItself(hex: Hex): boolean {
  return hex.length === 4 && hex.charCodeAt(2) < 0x38 // the letter 8
}

function headLength(length: number): number {
  assert(length < 2 ** 32, 'nothing is that long')
  return length < 56 ? 1 : length < 0x100 ? 2 : length < 0x10000 ? 3 : length < 0x1000000 ? 4 : 5
}

/** Writes the item at `at`; answers where the next one goes. */
function write(out: Uint8Array, at: number, item: RlpItem): number {
  if (typeof item === 'string') {
    return writeHex(item, out, isHexItself(item) ? at : writeHead(out, at, { offset: 0x80, length: hexBytes(item) }))
  }
  if (item instanceof Uint8Array) {
    const from = isItself(item) ? at : writeHead(out, at, { offset: 0x80, length: item.length })
    out.set(item, from)
    return from + item.length
  }
  let next = writeHead(out, at, { offset: 0xc0, length: payloadLength(item) })
  for (const one of item) next = write(out, next, one)
  return next
}

function writeHead(out: Uint8Array, at: number, { offset, length }: { readonly offset: number; readonly length: number }): number {
  const head = headLength(length)
  out[at] = head === 1 ? offset + length : offset + 54 + head
  for (let i = head - 1, rest = length; i > 0; i--, rest = Math.floor(rest / 0x100)) out[at + i] = rest % 0x100
  return at + head
}
