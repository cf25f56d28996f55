/**
 * Segments of an index on disk: each is of consecutive blocks, and has a value for each key that occurs in them. What comes later stands behind what is
 * there, and nothing is merged. Where a segment ends is a key among what changes; its values stand by its last block among what comes in order:
 * last u64 ‖ kind ‖ key → value. A segment is there when its end is: what was written of one that was interrupted is asked for by nobody.
 */
import type { Level } from 'level'
import { concatBytes } from 'viem'
import { varintBytes, writeVarint } from '../execution/varint.ts'

/** Blocks from `first` up to and with `last`. */
export type SegmentPlace = { readonly first: bigint; readonly last: bigint }

/** The segments of one index. */
export type Segments = {
  /** Those that are there, in order; the list grows. */
  list(): readonly SegmentPlace[]
  get(segment: SegmentPlace, key: Uint8Array): Uint8Array | undefined
  /** Writes a segment, in pieces between which other work goes on; it is there when this resolves. Each key once. */
  write(segment: SegmentPlace, entries: Iterable<readonly [key: Uint8Array, value: Uint8Array]>): Promise<void>
}

type Database = Level<Uint8Array, Uint8Array>

/** Entries that are handed to the database at once: a few milliseconds of the thread. */
const PIECE_ENTRIES = 1_024

/** The segments in these databases, under keys of these kinds. `durable`: a segment that is said to be there is on disk. */
export async function openSegments(
  databases: { readonly places: Database; readonly values: Database },
  kinds: { readonly place: number; readonly values: number },
  durable: boolean,
): Promise<Segments> {
  const { places, values } = databases
  const listed: SegmentPlace[] = []
  for await (const [key, value] of places.iterator({ gte: Uint8Array.of(kinds.place), lt: Uint8Array.of(kinds.place + 1) }))
    listed.push({ first: numberIn(value, 0), last: numberIn(key, 1) })
  const keyOf = (last: bigint, key: Uint8Array): Uint8Array => concatBytes([u64(last), Uint8Array.of(kinds.values), key])
  return {
    list: () => listed,
    get: ({ last }, key) => values.getSync(keyOf(last, key)),
    async write({ first, last }, entries) {
      let batch = values.batch()
      for (const [key, value] of entries) {
        batch.put(keyOf(last, key), value)
        if (batch.length < PIECE_ENTRIES) continue
        await batch.write({ sync: durable })
        batch = values.batch()
      }
      await batch.write({ sync: durable })
      await places.put(concatBytes([Uint8Array.of(kinds.place), u64(last)]), u64(first), { sync: durable })
      listed.push({ first, last })
    },
  }
}

/** Numbers that do not descend, each as varint of what it is above the one before, the first above `base`. */
export function encodeAscending(numbers: readonly number[], base: number): Uint8Array {
  let length = 0
  let before = base
  for (const number of numbers) {
    length += varintBytes(number - before)
    before = number
  }
  const out = Buffer.allocUnsafe(length)
  let at = 0
  before = base
  for (const number of numbers) {
    at = writeVarint(number - before, out, at)
    before = number
  }
  return out
}

/** What `encodeAscending` wrote. */
export function decodeAscending(bytes: Uint8Array, base: number): number[] {
  const numbers: number[] = []
  let before = base
  let [value, scale] = [0, 1]
  for (const byte of bytes) {
    value += (byte & 0x7f) * scale
    scale *= 128
    if (byte > 0x7f) continue
    before += value
    numbers.push(before)
    ;[value, scale] = [0, 1]
  }
  return numbers
}

function u64(value: bigint): Uint8Array {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

function numberIn(bytes: Uint8Array, at: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at)
}
