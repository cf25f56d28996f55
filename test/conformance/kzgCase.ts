/** `kzg`: the library that our EVM and our poster use, by the methods of c-kzg-4844. */
import { bytesToHex } from 'viem'
import { kzgContext } from '../../execution/kzg.ts'
import { type Answer, bytesOf, type KzgCase } from './cases.ts'

type Input = KzgCase['input']
type Method = (input: Input) => unknown

const METHODS: Readonly<Record<string, Method>> = {
  blob_to_kzg_commitment: (input) => kzgContext().blobToKzgCommitment(bytes(input.blob)),
  compute_kzg_proof: (input) => kzgContext().computeKzgProof(bytes(input.blob), bytes(input.z)),
  compute_blob_kzg_proof: (input) => kzgContext().computeBlobKzgProof(bytes(input.blob), bytes(input.commitment)),
  verify_kzg_proof: (input) => kzgContext().verifyKzgProof(bytes(input.commitment), bytes(input.z), bytes(input.y), bytes(input.proof)),
  verify_blob_kzg_proof: (input) => kzgContext().verifyBlobKzgProof(bytes(input.blob), bytes(input.commitment), bytes(input.proof)),
  verify_blob_kzg_proof_batch: (input) =>
    kzgContext().verifyBlobKzgProofBatch(list(input.blobs), list(input.commitments), list(input.proofs)),
  compute_cells: (input) => kzgContext().computeCells(bytes(input.blob)),
  compute_cells_and_kzg_proofs: (input) => cellsAndProofs(kzgContext().computeCellsAndKzgProofs(bytes(input.blob))),
  recover_cells_and_kzg_proofs: (input) =>
    cellsAndProofs(kzgContext().recoverCellsAndKzgProofs(numbers(input.cell_indices), list(input.cells))),
  verify_cell_kzg_proof_batch: (input) =>
    kzgContext().verifyCellKzgProofBatch(list(input.commitments), numbers(input.cell_indices), list(input.cells), list(input.proofs)),
}

/** What the method gives; `rejected`, and null for an output, where its input is none. */
export function answerKzg({ method, input }: KzgCase): Answer {
  const run = METHODS[method]
  if (!run) return { unsupported: `method ${method}` }
  kzgContext() // The trusted setup's own errors are ours.
  try {
    return { output: toJson(run(input)) }
  } catch (error) {
    return { rejected: error instanceof Error ? error.message.slice(0, 200) : String(error), output: null }
  }
}

function cellsAndProofs({ cells, proofs }: { readonly cells: readonly Uint8Array[]; readonly proofs: readonly Uint8Array[] }) {
  return [cells, proofs]
}

function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return bytesToHex(value)
  return Array.isArray(value) ? value.map(toJson) : value
}

function bytes(value: unknown): Uint8Array {
  if (typeof value !== 'string') throw new Error('not bytes')
  return bytesOf(value)
}

function list(value: unknown): Uint8Array[] {
  if (!Array.isArray(value)) throw new Error('not a list')
  return value.map(bytes)
}

function numbers(value: unknown): number[] {
  if (!Array.isArray(value)) throw new Error('not a list')
  return value.map(Number)
}
