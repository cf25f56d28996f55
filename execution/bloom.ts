/**
 * Blooms of logs: three bits of 2,048 for each address and topic, from its keccak256. What was seen lately is remembered, for the same doors,
 * events and senders come again and again. Source: Ethereum Yellow Paper, section 4.3.1.
 */
import type { Hex } from 'viem'
import { fromHex } from './hex.ts'
import { keccak256 } from './keccak.ts'
import type { Log } from './native/nativeType.ts'

/** Bytes of a bloom. */
export const BLOOM_BYTES = 256

/** Addresses and topics remembered before all of them are let go of: some blocks', 1 MiB. */
const REMEMBERED_MAX = 8_192

/** The three bits of an address or topic in one number, eleven bits each. */
const remembered = new Map<Hex, number>()

/** Bloom of logs. */
export function bloomOf(logs: readonly Log[]): Uint8Array {
  const bloom = new Uint8Array(BLOOM_BYTES)
  addToBloom(bloom, logs)
  return bloom
}

/** Sets the bits of logs in a bloom, beside those that are set. */
export function addToBloom(bloom: Uint8Array, logs: readonly Log[]): void {
  for (const { address, topics } of logs) {
    add(bloom, address)
    for (const topic of topics) add(bloom, topic)
  }
}

/** Whether logs with this bloom may have this address or topic; false: none has. */
export function mayHave(bloom: Uint8Array, item: Hex): boolean {
  const bits = bitsOf(item)
  return isSet(bloom, bits % 2_048) && isSet(bloom, Math.floor(bits / 2_048) % 2_048) && isSet(bloom, Math.floor(bits / 4_194_304))
}

function add(bloom: Uint8Array, item: Hex): void {
  const bits = bitsOf(item)
  setBit(bloom, bits % 2_048)
  setBit(bloom, Math.floor(bits / 2_048) % 2_048)
  setBit(bloom, Math.floor(bits / 4_194_304))
}

function isSet(bloom: Uint8Array, bit: number): boolean {
  return (((bloom[BLOOM_BYTES - 1 - (bit >> 3)] ?? 0) >> (bit & 7)) & 1) === 1
}

/** Bit 0 is the lowest of the last byte. */
function setBit(bloom: Uint8Array, bit: number): void {
  const at = BLOOM_BYTES - 1 - (bit >> 3)
  bloom[at] = (bloom[at] ?? 0) | (1 << (bit & 7))
}

function bitsOf(item: Hex): number {
  const known = remembered.get(item)
  if (known !== undefined) return known
  const hash = keccak256(fromHex(item))
  const bit = (at: number) => (((hash[at] ?? 0) << 8) | (hash[at + 1] ?? 0)) & 2_047
  const bits = bit(0) + bit(2) * 2_048 + bit(4) * 4_194_304
  if (remembered.size >= REMEMBERED_MAX) remembered.clear()
  remembered.set(item, bits)
  return bits
}
