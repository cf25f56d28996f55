/**
 * Segments of the log index on disk. Where a segment ends is a key among what changes; its postings stand by its last block among what comes in order:
 * last u64 ‖ 0x04 ‖ hash u64 → blocks, each as varint of what it is above the one before, the first above the segment's first.
 */
import type { Level } from 'level'
import { concatBytes } from 'viem'
import type { LogSegments, SegmentPlace } from './logIndex.ts'

type Database = Level<Uint8Array, Uint8Array>

/** The segments in these databases, under keys of these kinds. `durable`: a segment that is said to be there is on disk. */
export async function openLogSegments(
  databases: { readonly places: Database; readonly postings: Database },
  kinds: { readonly place: number; readonly postings: number },
  durable: boolean,
): Promise<LogSegments> {
  const { places, postings } = databases
  const listed: SegmentPlace[] = []
  for await (const [key, value] of places.iterator({ gte: Uint8Array.of(kinds.place), lt: Uint8Array.of(kinds.place + 1) }))
    listed.push({ first: numberIn(value, 0), last: numberIn(key, 1) })
  const keyOf = (last: bigint, hash: number): Uint8Array => concatBytes([u64(last), Uint8Array.of(kinds.postings), u64(BigInt(hash))])
  return {
    list: () => listed,
    blocks({ first, last }, hash) {
      const bytes = postings.getSync(keyOf(last, hash))
      return bytes ? decode(bytes, first) : []
    },
    async write({ first, last, postings: lists }) {
      const batch = postings.batch()
      for (const { hash, blocks } of lists) batch.put(keyOf(last, hash), encode(blocks, first))
      await batch.write({ sync: durable })
      await places.put(concatBytes([Uint8Array.of(kinds.place), u64(last)]), u64(first), { sync: durable })
      listed.push({ first, last })
    },
  }
}

function encode(blocks: readonly bigint[], first: bigint): Uint8Array {
  const bytes: number[] = []
  let before = first
  for (const number of blocks) {
    let rest = Number(number - before)
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
    bytes.push(rest)
    before = number
  }
  return Uint8Array.from(bytes)
}

function decode(bytes: Uint8Array, first: bigint): bigint[] {
  const blocks: bigint[] = []
  let before = first
  let [value, scale] = [0, 1]
  for (const byte of bytes) {
    value += (byte & 0x7f) * scale
    scale *= 128
    if (byte > 0x7f) continue
    before += BigInt(value)
    blocks.push(before)
    ;[value, scale] = [0, 1]
  }
  return blocks
}

function u64(value: bigint): Uint8Array {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

function numberIn(bytes: Uint8Array, at: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at)
}
