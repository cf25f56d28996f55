/** sha256: one digest at a time through hash-wasm, whole levels of a tree at once through hashtree (0.05 µs a node). */
import hashtree from '@chainsafe/hashtree'
import { createSHA256 } from 'hash-wasm'

const hasher = await createSHA256()

/** sha256 of the bytes: 32 bytes that nobody else holds. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return hasher.init().update(bytes).digest('binary')
}

/** sha256 of each 64-byte block of `pairs`, one after another in `out` (32 bytes a block). */
export function sha256Pairs(pairs: Uint8Array, out: Uint8Array): void {
  hashtree.hashInto(pairs, out)
}
