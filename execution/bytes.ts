/**
 * Bytes of messages put together, for consensus and p2p. Not viem's, which would bring five hundred modules into the network's process (node/p2pProcess.ts),
 * half of all that it loads, and a third of a second of processor time to each start of a node.
 */
import { assert } from './assert.ts'

/** The parts, one after another. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** An unsigned integer as `length` big-endian bytes. */
export function uintBytes(value: number | bigint, length: number): Uint8Array {
  const out = new Uint8Array(length)
  assert((typeof value === 'bigint' || Number.isSafeInteger(value)) && value >= 0, 'not an unsigned integer')
  let rest = BigInt(value)
  for (let i = length - 1; i >= 0; i--) {
    out[i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  assert(rest === 0n, 'integer does not fit its field')
  return out
}
