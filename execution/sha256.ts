/**
 * sha256: one digest at a time through a module of our own (execution/sha256Wasm.ts) as far as its memory reaches, and hash-wasm's beyond; whole levels of
 * a tree at once through hashtree (0.05 µs a node).
 */
import hashtree from '@chainsafe/hashtree'
import { createSHA256 } from 'hash-wasm'
import { BLOCK_BYTES, BLOCKS_MAX, INPUT_AT, sha256Module } from './sha256Wasm.ts'
import { startWasm } from './wasm.ts'

const hasher = await createSHA256()
const { memory, run: hashBlocks } = startWasm(sha256Module(), 's')

/** sha256 of the bytes: 32 bytes that nobody else holds. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return hashInMemory(bytes) ? memory.slice(0, 32) : hasher.init().update(bytes).digest('binary')
}

/** Writes sha256 of the bytes at `at`. */
export function sha256Into(bytes: Uint8Array, out: Uint8Array, at: number): void {
  const hash = hashInMemory(bytes) ? memory : hasher.init().update(bytes).digest('binary')
  for (let i = 0; i < 32; i++) out[at + i] = hash[i] ?? 0
}

/** sha256 of each 64-byte block of `pairs`, one after another in `out` (32 bytes a block). */
export function sha256Pairs(pairs: Uint8Array, out: Uint8Array): void {
  hashtree.hashInto(pairs, out)
}

/** Leaves the hash in the first 32 bytes of the memory. False: the bytes do not fit into it. */
function hashInMemory(bytes: Uint8Array): boolean {
  const { length } = bytes
  const blocks = ((length + 8) >>> 6) + 1
  if (blocks > BLOCKS_MAX) return false
  const end = INPUT_AT + blocks * BLOCK_BYTES
  memory.set(bytes, INPUT_AT)
  // Padding: a bit behind the input, zeros, and the input's length in bits at the end of the block.
  memory.fill(0, INPUT_AT + length, end)
  memory[INPUT_AT + length] = 0x80
  memory[end - 3] = length >>> 13
  memory[end - 2] = length >>> 5
  memory[end - 1] = length << 3
  hashBlocks(blocks)
  return true
}
