/**
 * KZG over blobs: commitments, versioned hashes and the cell proofs that an L1 demands since EIP-7594.
 * Source: EIP-4844 (`kzg_to_versioned_hash`), EIP-7594 (`compute_cells_and_kzg_proofs`).
 */
import { bytesToHex, type Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { kzgContext } from '../execution/kzg.ts'
import { sha256 } from '../execution/sha256.ts'

/** Cell proofs of one blob. Source: EIP-7594, CELLS_PER_EXT_BLOB. */
export const CELL_PROOFS_PER_BLOB = 128

/** Both answers are functions of the blob. Both throw for a blob with an element that is not below the field's modulus. */
export type Kzg = {
  /** 48 bytes. About 80 ms. */
  commit(blob: Uint8Array): Promise<Uint8Array>
  /** 128 proofs of 48 bytes. About 250 ms. */
  cellProofs(blob: Uint8Array): Promise<Uint8Array[]>
  /** The value at `z` of the blob's polynomial, 32 bytes, and its proof, 48. About 90 ms. Throws for a `z` that is not below the field's modulus, too. */
  prove(blob: Uint8Array, z: Uint8Array): Promise<{ readonly y: Uint8Array; readonly proof: Uint8Array }>
}

/** What goes with a transaction to the pool and not into the block. `proofs` has 128 proofs for each blob, blob after blob. */
export type Sidecar = {
  readonly blobs: readonly Uint8Array[]
  readonly commitments: readonly Uint8Array[]
  readonly proofs: readonly Uint8Array[]
  readonly versionedHashes: readonly Hex[]
}

/**
 * Loads the trusted setup, which takes seconds: at the first use, or at once, with tables that halve the time of cell proofs, for a `prover`. Once a
 * process. The work itself runs on threads of the library.
 */
export function createKzg({ prover = false }: { readonly prover?: boolean } = {}): Kzg {
  const context = () => kzgContext({ prover })
  if (prover) context()
  return {
    commit: (blob) => context().asyncBlobToKzgCommitment(blob),
    cellProofs: async (blob) => (await context().asyncComputeCellsAndKzgProofs(blob)).proofs,
    prove: async (blob, z) => {
      const [proof, y] = await context().asyncComputeKzgProof(blob, z)
      assert(proof && y, 'a KZG proof comes with its value')
      return { y, proof }
    },
  }
}

/** The hash by which L1 knows the blob of this commitment: 0x01 ‖ the last 31 bytes of its sha256. */
export function versionedHash(commitment: Uint8Array): Hex {
  const hash = sha256(commitment)
  hash[0] = 0x01
  return bytesToHex(hash)
}

/** The blobs with everything that a pool checks them by. */
export async function createSidecar(kzg: Kzg, blobs: readonly Uint8Array[]): Promise<Sidecar> {
  const commitments: Uint8Array[] = []
  const proofs: Uint8Array[] = []
  for (const blob of blobs) {
    commitments.push(await kzg.commit(blob))
    proofs.push(...(await kzg.cellProofs(blob)))
  }
  return { blobs, commitments, proofs, versionedHashes: commitments.map(versionedHash) }
}
