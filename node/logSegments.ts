/** Segments of the log index on disk (node/segments.ts): hash u64 of a value → the blocks in which it occurs. */
import type { LogSegments } from './logIndex.ts'
import { decodeAscending, encodeAscending, type Segments } from './segments.ts'

/** The log index's segments among these. */
export function createLogSegments(segments: Segments): LogSegments {
  return {
    list: segments.list,
    blocks(segment, hash) {
      const bytes = segments.get(segment, keyOf(hash))
      return bytes ? decodeAscending(bytes, Number(segment.first)).map(BigInt) : []
    },
    write({ first, last, postings }) {
      const entries = function* () {
        for (const { hash, blocks } of postings) yield [keyOf(hash), encodeAscending(blocks.map(Number), Number(first))] as const
      }
      return segments.write({ first, last }, entries())
    },
  }
}

function keyOf(hash: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(BigInt(hash))
  return bytes
}
