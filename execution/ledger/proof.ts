/**
 * Proofs of a record, or of its absence, against a ledger root. Verification needs nothing but the proof and the root.
 * Spec: docs/spec/ledger.md#proof
 */
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { assert } from '../assert.ts'
import { sha256 } from '../sha256.ts'
import { bitOf, EMPTY, innerHash, type LedgerTree, leafHash } from './tree.ts'

export type LedgerProof = {
  readonly key: Hex
  /** The record in its packed form; undefined when there is none. */
  readonly record: Hex | undefined
  /** For an absent record: the leaf of another key that stands in its place, if any. */
  readonly other: { readonly key: Hex; readonly valueHash: Hex } | undefined
  /** From the leaf's level up to the root. */
  readonly siblings: readonly Hex[]
}

/** The proof for a key at the tree's committed root; `record` is what stands there at that root. */
export function createLedgerProof(tree: LedgerTree, key: Uint8Array, record: Uint8Array | undefined): LedgerProof {
  const { leaf, siblings } = tree.path(key)
  const hexKey = bytesToHex(key)
  const other = leaf && bytesToHex(leaf.key) !== hexKey ? leaf : undefined
  const valueHash = leaf && !other ? bytesToHex(leaf.valueHash) : undefined
  assert(valueHash === (record && bytesToHex(sha256(record))), 'the record is not the one of this root')
  return {
    key: hexKey,
    record: record && bytesToHex(record),
    other: other && { key: bytesToHex(other.key), valueHash: bytesToHex(other.valueHash) },
    siblings: siblings.map((sibling) => bytesToHex(sibling)),
  }
}

/** Whether the proof shows, against the root, that its key has its record (or none). Any malformed proof is just false. */
export function verifyLedgerProof(root: Hex, proof: LedgerProof): boolean {
  if (!isWellFormed(proof)) return false
  const key = hexToBytes(proof.key)
  const depth = proof.siblings.length
  let hash: Uint8Array = EMPTY
  if (proof.record !== undefined) hash = leafHash(key, sha256(hexToBytes(proof.record)))
  if (proof.other !== undefined) {
    const other = hexToBytes(proof.other.key)
    for (let i = 0; i < depth; i++) if (bitOf(other, i) !== bitOf(key, i)) return false
    hash = leafHash(other, hexToBytes(proof.other.valueHash))
  }
  for (const [i, sibling] of proof.siblings.entries()) {
    const other = hexToBytes(sibling)
    hash = bitOf(key, depth - 1 - i) ? innerHash(other, hash) : innerHash(hash, other)
  }
  return bytesToHex(hash) === root
}

/** Lowercase hex only: a key in other letters would not be equal to itself, and a present record could be shown as absent. */
const HASH = /^0x[0-9a-f]{64}$/
const BYTES = /^0x([0-9a-f]{2})*$/

function isWellFormed({ key, record, other, siblings }: LedgerProof): boolean {
  if (siblings.length > 255 || ![key, ...siblings].every((hash) => HASH.test(hash))) return false
  if (record !== undefined) return other === undefined && BYTES.test(record)
  return other === undefined || (HASH.test(other.key) && HASH.test(other.valueHash) && other.key !== key)
}
