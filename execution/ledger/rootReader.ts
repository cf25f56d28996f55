/**
 * The ledger as it stood after any committed block. Records are kept once: the latest of each by table and id, and what it took the place of by the hash
 * of its content, which the block's tree names. Spec: docs/spec/ledger.md#history
 */
import { bytesToHex } from 'viem'
import { assert } from '../assert.ts'
import { sha256 } from '../sha256.ts'
import type { RecordReader } from './ledger.ts'
import { createLedgerProof, type LedgerProof } from './proof.ts'
import { createLedgerTree, type LedgerTree, pastKey, type TreeReader, treeKey } from './tree.ts'

/** What a store knows of the ledger: the latest records, and the entries that the tree had stored. */
export type LedgerSource = { readonly ledgerRecord: RecordReader; readonly ledgerEntry: TreeReader }

/** Reads records as of the tree's root, which the source has or had. */
export function readThrough(tree: Pick<LedgerTree, 'valueHash'>, source: LedgerSource): RecordReader {
  return (table, id) => {
    const valueHash = tree.valueHash(treeKey(table, id))
    if (!valueHash) return undefined
    // The latest first: a block that is written in between puts what it replaces where the second look finds it.
    const latest = source.ledgerRecord(table, id)
    if (latest && sameBytes(sha256(latest), valueHash)) return latest
    const past = source.ledgerEntry(pastKey(valueHash))
    if (!past) assert(false, `record ${bytesToHex(id)} of table ${table} is missing`)
    return past
  }
}

/** Reads records as of a root. */
export function createRootReader(root: Uint8Array, source: LedgerSource): RecordReader {
  return readThrough(createLedgerTree(root, source.ledgerEntry), source)
}

/** The proof of a record, or of its absence, at a root. */
export function proveRecord(root: Uint8Array, source: LedgerSource, { table, id }: { table: number; id: Uint8Array }): LedgerProof {
  const tree = createLedgerTree(root, source.ledgerEntry)
  return createLedgerProof(tree, treeKey(table, id), readThrough(tree, source)(table, id))
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
