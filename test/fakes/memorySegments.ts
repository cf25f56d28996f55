/** Segments of an index in memory. */
import type { SegmentPlace, Segments } from '../../node/segments.ts'

export function segmentsInMemory(): Segments {
  const places: SegmentPlace[] = []
  const values = new Map<string, Uint8Array>()
  const keyOf = ({ last }: SegmentPlace, key: Uint8Array) => `${last} ${Buffer.from(key).toString('hex')}`
  return {
    list: () => places,
    get: (segment, key) => values.get(keyOf(segment, key)),
    async write(segment, entries) {
      for (const [key, value] of entries) values.set(keyOf(segment, key), value)
      places.push(segment)
    },
  }
}
