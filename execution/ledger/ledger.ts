/**
 * The ledger as rules see it: records by table and id, with changes that can be undone and are taken out once a block.
 * Reads are synchronous, so that a native rule is one function without a wait in it.
 */
import { assert } from '../assert.ts'
import { type TreeChange, treeKey } from './tree.ts'

/** Reads the record as of the last committed block, or undefined. */
export type RecordReader = (table: number, id: Uint8Array) => Uint8Array | undefined

/** One changed record of a block; `record` undefined: deleted. */
export type LedgerChange = { readonly table: number; readonly id: Uint8Array; readonly record: Uint8Array | undefined }

/** What a native rule may do with the ledger. */
export type Ledger = {
  get(table: number, id: Uint8Array): Uint8Array | undefined
  /** Writes a record, or deletes it (undefined). */
  set(table: number, id: Uint8Array, record: Uint8Array | undefined): void
}

/** A ledger with checkpoints, as the block loop holds it. */
export type JournaledLedger = Ledger & {
  checkpoint(): void
  commit(): void
  revert(): void
  /**
   * The changes since the last call, in the order of first change. The reader has to know them before the next read: a ledger that has
   * remembered too many records lets go of all of them here.
   */
  takeChanges(): LedgerChange[]
  /** Forgets every change that was not taken, and what was read. */
  discard(): void
}

/** Records remembered between blocks before the memory is let go of. */
const CACHED_RECORDS_MAX = 200_000

type Entry = { readonly table: number; readonly id: Uint8Array; record: Uint8Array | undefined; dirty: boolean }

/** A ledger over committed records. */
export function createLedger(read: RecordReader): JournaledLedger {
  const entries = new Map<string, Entry>()
  const undo: { entry: Entry; record: Uint8Array | undefined; dirty: boolean }[] = []
  const marks: number[] = []
  let dirty: Entry[] = []

  function entryOf(table: number, id: Uint8Array): Entry {
    const key = keyOf(table, id)
    const known = entries.get(key)
    if (known) return known
    const entry = { table, id, record: read(table, id), dirty: false }
    entries.set(key, entry)
    return entry
  }

  return {
    get: (table, id) => entryOf(table, id).record,
    set(table, id, record) {
      const entry = entryOf(table, id)
      if (marks.length > 0) undo.push({ entry, record: entry.record, dirty: entry.dirty })
      entry.record = record
      if (!entry.dirty) dirty.push(entry)
      entry.dirty = true
    },
    checkpoint() {
      marks.push(undo.length)
    },
    commit() {
      assert(marks.pop() !== undefined, 'commit without checkpoint')
      if (marks.length === 0) undo.length = 0
    },
    revert() {
      const mark = marks.pop()
      assert(mark !== undefined, 'revert without checkpoint')
      while (undo.length > mark) {
        const last = undo.pop()
        if (!last) break
        last.entry.record = last.record
        last.entry.dirty = last.dirty
      }
    },
    takeChanges() {
      assert(marks.length === 0, 'changes taken inside a checkpoint')
      // An entry stands here twice, or no longer dirty, when its change was undone.
      const changes = [...new Set(dirty)].filter((entry) => entry.dirty).map(({ table, id, record }) => ({ table, id, record }))
      for (const entry of dirty) entry.dirty = false
      dirty = []
      if (entries.size > CACHED_RECORDS_MAX) entries.clear()
      return changes
    },
    discard() {
      entries.clear()
      undo.length = 0
      marks.length = 0
      dirty = []
    },
  }
}

/** Table and id as a Map key, one character a byte. A loop: spreading the bytes into one call takes five times as long. */
function keyOf(table: number, id: Uint8Array): string {
  let key = String.fromCharCode(table)
  for (let i = 0; i < id.length; i++) key += String.fromCharCode(id[i] ?? 0)
  return key
}

/** The changes as the tree takes them. */
export function toTreeChanges(changes: readonly LedgerChange[]): TreeChange[] {
  return changes.map(({ table, id, record }) => ({ key: treeKey(table, id), record }))
}
