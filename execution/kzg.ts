/**
 * KZG by a native library with Ethereum's trusted setup, which takes seconds to load: one in a process, loaded at the first use.
 * The EVM's point evaluation (0x0a) needs one verification and nothing else. Source: EIP-4844, c-kzg-4844.
 */

import nodeEthKzg from '@crate-crypto/node-eth-kzg'
import type { CustomCrypto } from '@ethereumjs/common'
import { type Hex, hexToBytes } from 'viem'
import { AssertionError } from './assert.ts'

type Library = NonNullable<CustomCrypto['kzg']>

let loaded: { readonly context: nodeEthKzg.DasContextJs; readonly prover: boolean } | undefined

/** The library with its trusted setup; for a `prover` with tables that halve the time of cell proofs. */
export function kzgContext({ prover = false }: { readonly prover?: boolean } = {}): nodeEthKzg.DasContextJs {
  if (!loaded || (prover && !loaded.prover)) loaded = { context: nodeEthKzg.DasContextJs.create({ usePrecomp: prover }), prover }
  return loaded.context
}

const bytes = (hex: string): Uint8Array => hexToBytes(hex as Hex)
const notHere = (): never => {
  throw new AssertionError('the EVM makes no blobs')
}

/** What @ethereumjs asks of a KZG library. `verifyProof` throws for what is no point or no field element, as c-kzg does. */
export const KZG: Library = {
  verifyProof: (commitment, z, y, proof) => kzgContext().verifyKzgProof(bytes(commitment), bytes(z), bytes(y), bytes(proof)),
  blobToKzgCommitment: notHere,
  computeBlobProof: notHere,
  verifyBlobProofBatch: notHere,
  computeCells: notHere,
  computeCellsAndProofs: notHere,
  recoverCellsAndProofs: notHere,
  verifyCellKzgProofBatch: notHere,
}
