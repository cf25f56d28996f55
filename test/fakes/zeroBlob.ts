/** Blobs of zeros: commitment and proofs are the point at infinity, so that nothing has to be computed and every pool takes them. */
import { BLOB_BYTES } from '../../settlement/blob.ts'
import { CELL_PROOFS_PER_BLOB, type Sidecar, versionedHash } from '../../settlement/kzg.ts'

/** The compressed point at infinity of G1. */
const INFINITY = Uint8Array.from({ length: 48 }, (_, i) => (i === 0 ? 0xc0 : 0))

/** So many blobs of zeros; they carry a payload of zeros. */
export function zeroSidecar(count: number): Sidecar {
  return {
    blobs: Array.from({ length: count }, () => new Uint8Array(BLOB_BYTES)),
    commitments: Array(count).fill(INFINITY),
    proofs: Array(count * CELL_PROOFS_PER_BLOB).fill(INFINITY),
    versionedHashes: Array(count).fill(versionedHash(INFINITY)),
  }
}
