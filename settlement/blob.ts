/**
 * Payload ↔ blobs: 31 payload bytes in each of the 4,096 field elements of a blob, so that every element is below the field's modulus
 * whatever the payload, and one KZG opening shows 31 bytes of it. Spec: docs/spec/batch.md#blobs. Source of the blob: EIP-4844.
 */
import { assert } from '../execution/assert.ts'

const ELEMENTS_PER_BLOB = 4_096
const ELEMENT_BYTES = 32

/** Payload bytes in one field element. */
export const ELEMENT_PAYLOAD_BYTES = 31

/** Bytes of a blob, and of payload in it. */
export const BLOB_BYTES = ELEMENTS_PER_BLOB * ELEMENT_BYTES
export const BLOB_PAYLOAD_BYTES = ELEMENTS_PER_BLOB * ELEMENT_PAYLOAD_BYTES

/** Blobs of one batch at most: what one L1 transaction may carry. Source: EIP-7594. */
export const BLOBS_MAX = 6

/** Largest payload that fits a batch in blobs, in bytes. */
export const BATCH_PAYLOAD_BYTES_MAX = BLOBS_MAX * BLOB_PAYLOAD_BYTES

/** Blobs that a payload of so many bytes needs. */
export function blobCount(payloadBytes: number): number {
  return Math.ceil(payloadBytes / BLOB_PAYLOAD_BYTES)
}

/** The blobs that carry the payload: as few as hold it. The payload has 1 to `BATCH_PAYLOAD_BYTES_MAX` bytes. */
export function encodeBlobs(payload: Uint8Array): Uint8Array[] {
  assert(payload.length > 0 && payload.length <= BATCH_PAYLOAD_BYTES_MAX, 'payload does not fit the blobs of one batch')
  return Array.from({ length: blobCount(payload.length) }, (_, index) => {
    const blob = new Uint8Array(BLOB_BYTES)
    const first = index * BLOB_PAYLOAD_BYTES
    const last = Math.min(first + BLOB_PAYLOAD_BYTES, payload.length)
    for (let at = first, out = 1; at < last; at += ELEMENT_PAYLOAD_BYTES, out += ELEMENT_BYTES) {
      blob.set(payload.subarray(at, Math.min(at + ELEMENT_PAYLOAD_BYTES, last)), out)
    }
    return blob
  })
}

/** A payload, or why the blobs carry none of that length. */
export type DecodedBlobs =
  | { readonly ok: true; readonly payload: Uint8Array }
  | { readonly ok: false; readonly code: 'badBlobCount' | 'badBlobLength' | 'badElement' | 'badPadding' }

/** The payload of `payloadBytes` bytes in the blobs. Accepts only what `encodeBlobs` makes: one payload has one form. */
export function decodeBlobs(blobs: readonly Uint8Array[], payloadBytes: number): DecodedBlobs {
  if (payloadBytes < 1 || blobs.length > BLOBS_MAX || blobs.length !== blobCount(payloadBytes)) return { ok: false, code: 'badBlobCount' }
  const room = new Uint8Array(blobs.length * BLOB_PAYLOAD_BYTES)
  let out = 0
  for (const blob of blobs) {
    if (blob.length !== BLOB_BYTES) return { ok: false, code: 'badBlobLength' }
    for (let at = 0; at < BLOB_BYTES; at += ELEMENT_BYTES, out += ELEMENT_PAYLOAD_BYTES) {
      if (blob[at] !== 0) return { ok: false, code: 'badElement' }
      room.set(blob.subarray(at + 1, at + ELEMENT_BYTES), out)
    }
  }
  if (room.subarray(payloadBytes).some((byte) => byte !== 0)) return { ok: false, code: 'badPadding' }
  return { ok: true, payload: room.slice(0, payloadBytes) }
}
