/**
 * keccak256 for the hot path: a module of our own for what fits into its memory (execution/keccakWasm.ts), hash-wasm's for what is longer. At 64 bytes
 * some fifteen times as fast as in JavaScript and twice as fast as hash-wasm's.
 * The digest is a fresh array with byteOffset 0, which @ethereumjs/vm's Bloom relies on.
 */
import { createKeccak } from 'hash-wasm'
import { BLOCK_BYTES, BLOCKS_MAX, INPUT_AT, keccakModule } from './keccakWasm.ts'
import { startWasm } from './wasm.ts'

const hasher = await createKeccak(256)
const { memory, run: hashBlocks } = startWasm(keccakModule(), 'k')

/** keccak256 of the bytes: 32 bytes that nobody else holds. */
export function keccak256(bytes: Uint8Array): Uint8Array {
  if (!hashInMemory(bytes)) return hasher.init().update(bytes).digest('binary')
  return memory.slice(0, 32)
}

/** Writes keccak256 of the bytes `from` up to `to` at `at`, among them or not. */
export function keccak256Into(bytes: Uint8Array, from: number, to: number, at: number): void {
  writeKeccak256(bytes.subarray(from, to), bytes, at)
}

/** Writes keccak256 of the bytes into an array that is there, at `at`. */
export function writeKeccak256(bytes: Uint8Array, out: Uint8Array, at: number): void {
  const hash = hashInMemory(bytes) ? memory : hasher.init().update(bytes).digest('binary')
  for (let i = 0; i < 32; i++) out[at + i] = hash[i] ?? 0
}

/** Leaves the hash in the first 32 bytes of the memory. False: the bytes do not fit into it. */
function hashInMemory(bytes: Uint8Array): boolean {
  const blocks = Math.floor(bytes.length / BLOCK_BYTES) + 1
  if (blocks > BLOCKS_MAX) return false
  const from = INPUT_AT + bytes.length
  const last = INPUT_AT + blocks * BLOCK_BYTES - 1
  memory.set(bytes, INPUT_AT)
  // Padding: a bit behind the input and one at the end of the block, which may be in one byte.
  memory.fill(0, from, last + 1)
  memory[from] = 0x01
  memory[last] = (memory[last] ?? 0) | 0x80
  hashBlocks(blocks)
  return true
}
