import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BATCH_PAYLOAD_BYTES_MAX, BLOB_BYTES, BLOB_PAYLOAD_BYTES, blobCount, decodeBlobs, encodeBlobs } from '../../settlement/blob.ts'

/** Bytes that differ from place to place, so that a byte in the wrong place shows. */
function sample(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 131 + (i >> 8) + 1) & 0xff)
}

test('a payload comes out of its blobs as it went in', () => {
  const lengths = [1, 30, 31, 32, BLOB_PAYLOAD_BYTES - 1, BLOB_PAYLOAD_BYTES, BLOB_PAYLOAD_BYTES + 1, BATCH_PAYLOAD_BYTES_MAX]
  for (const length of lengths) {
    const payload = sample(length)
    const blobs = encodeBlobs(payload)
    expect(blobs.map((blob) => blob.length)).toEqual(Array(blobCount(length)).fill(BLOB_BYTES))
    const decoded = decodeBlobs(blobs, length)
    expect(decoded.ok && Buffer.compare(decoded.payload, payload)).toBe(0)
  }
})

test('element i of the payload is element i mod 4,096 of blob i / 4,096, behind a zero byte', () => {
  const payload = sample(2 * BLOB_PAYLOAD_BYTES)
  const blobs = encodeBlobs(payload)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8_191 }), (i) => {
      const element = blobs[i >> 12]?.subarray(32 * (i & 4_095), 32 * (i & 4_095) + 32)
      expect(element?.[0]).toBe(0)
      expect(element?.subarray(1)).toEqual(payload.subarray(31 * i, 31 * i + 31))
    }),
  )
})

test('what is too long or empty is not encoded', () => {
  expect(() => encodeBlobs(new Uint8Array())).toThrow('does not fit')
  expect(() => encodeBlobs(new Uint8Array(BATCH_PAYLOAD_BYTES_MAX + 1))).toThrow('does not fit')
})

test('one payload has one form: other blobs are refused', () => {
  const [blob = new Uint8Array(), ...rest] = encodeBlobs(sample(40))
  expect(rest).toEqual([])
  const changed = (at: number) => Uint8Array.from(blob, (byte, i) => (i === at ? 1 : byte))
  expect(decodeBlobs([], 40)).toEqual({ ok: false, code: 'badBlobCount' })
  expect(decodeBlobs([blob, blob], 40)).toEqual({ ok: false, code: 'badBlobCount' })
  expect(decodeBlobs([], 0)).toEqual({ ok: false, code: 'badBlobCount' })
  expect(decodeBlobs(Array(7).fill(blob), 7 * BLOB_PAYLOAD_BYTES)).toEqual({ ok: false, code: 'badBlobCount' })
  expect(decodeBlobs([blob.subarray(1)], 40)).toEqual({ ok: false, code: 'badBlobLength' })
  expect(decodeBlobs([changed(32)], 40)).toEqual({ ok: false, code: 'badElement' })
  expect(decodeBlobs([changed(33 + 9)], 40)).toEqual({ ok: false, code: 'badPadding' })
  expect(decodeBlobs([changed(BLOB_BYTES - 1)], 40)).toEqual({ ok: false, code: 'badPadding' })
})
