/**
 * The ledger as rules see it: records by table and id, with changes that can be undone and are taken out once a block.
 * Reads are synchronous, so that a native rule is one function without a wait in it.
 *
 * A record that was looked at is remembered in the form in which it was asked for. What a table holds is decoded once, and packed once a block, however
 * often rules get and put it; whoever gets a record may not write into it.
 */
import { assert } from '../assert.ts'
import { fromHex, toHex } from '../hex.ts'
import { type TreeChange, treeKey } from './tree.ts'

/** Reads the record as of the last committed block, or undefined. */
export type RecordReader = (table: number, id: Uint8Array) => Uint8Array | undefined

/** One changed record of a block; `record` undefined: deleted. */
export type LedgerChange = { readonly table: number; readonly id: Uint8Array; readonly record: Uint8Array | undefined }

/** A change with what the tree wants to know of it: its key, and the committed record that this one follows. */
export type TakenChange = LedgerChange & TreeChange

/** How a table's ids and records are written. Two ids are one if their packed forms are. */
export type RecordForm<Id, Record> = {
  readonly number: number
  /** Lowercase hex of the packed id, `0x` first; for an id that is not in its usual form it may be something else that no other id has. */
  name(id: Id): string
  packId(id: Id): Uint8Array
  pack(record: Record): Uint8Array
  /** Asserts: nobody else writes there. */
  unpack(bytes: Uint8Array, id: Id): Record
}

/** What those have who only read; who reads often remembers what was decoded. */
export type LedgerReader = Pick<Ledger, 'get'> & Partial<Pick<Ledger, 'getDecoded'>>

/** What a native rule may do with the ledger. */
export type Ledger = {
  get(table: number, id: Uint8Array): Uint8Array | undefined
  /** Writes a record, or deletes it (undefined). */
  set(table: number, id: Uint8Array, record: Uint8Array | undefined): void
  /** Reads a record in its decoded form. */
  getDecoded<Id, Record>(form: RecordForm<Id, Record>, id: Id): Record | undefined
  /** Writes a record in its decoded form, or deletes it (undefined). */
  setDecoded<Id, Record>(form: RecordForm<Id, Record>, id: Id, record: Record | undefined): void
  /**
   * A record in its decoded form for the caller to change in place, which costs less than a copy of it; `takeBack` undoes that change, whatever changed since
   * then being undone before. Undefined, and nothing is changed: there is no such record.
   */
  amend<Id, Record>(form: RecordForm<Id, Record>, id: Id, takeBack: (record: Record) => void): Record | undefined
}

/** A ledger with checkpoints, as the block loop holds it. */
export type JournaledLedger = Ledger & {
  checkpoint(): void
  commit(): void
  revert(): void
  /**
   * The changes since the last call, in the order of first change. The reader has to know them before the next call is over: by then a ledger may have
   * let go of them.
   */
  takeChanges(): TakenChange[]
  /** Forgets every change that was not taken, and what was read. */
  discard(): void
}

/** Records remembered between blocks: those of the last blocks, and as many from before. Some 15 MiB, twice that if all are earnings. */
export const CACHED_RECORDS_MAX = 16_384

/** A record and the forms that it is known in. It is absent if it has none. */
type Entry = {
  readonly table: number
  readonly name: string
  /** The packed id of a record that is not there yet, until it is taken: kept for all of them it would be as much as the records. */
  id: Uint8Array | undefined
  bytes: Uint8Array | undefined
  decoded: unknown
  pack: ((record: never) => Uint8Array) | undefined
  /** The committed record. UNREAD: nobody asked for it yet, and if it is not dirty its forms are not known either. */
  committed: Uint8Array | undefined | typeof UNREAD
  treeKey: Uint8Array | undefined
  isDirty: boolean
  /** Whether it stands among the dirty ones: it may since have been undone. */
  isListed: boolean
}

/** What an entry was before a change, or (`takeBack`) what makes its decoded record what it was. */
type Undo = { -readonly [K in 'bytes' | 'decoded' | 'pack' | 'isDirty']: Entry[K] } & { entry: Entry; takeBack: TakeBack | undefined }
type TakeBack = (record: never) => void

const UNREAD = Symbol('unread')

/** A ledger over committed records. */
export function createLedger(read: RecordReader): JournaledLedger {
  const entries = createEntries()
  // What entries were, oldest first; those from `undoCount` on are left of earlier checkpoints and are written over.
  const undo: Undo[] = []
  let undoCount = 0
  const marks: number[] = []
  let dirty: Entry[] = []

  function load(entry: Entry): Entry {
    if (entry.committed !== UNREAD || entry.isDirty) return entry
    entry.committed = read(entry.table, entry.id ?? fromHex(entry.name))
    entry.bytes = entry.committed
    if (entry.committed) entry.id = undefined
    return entry
  }

  function change(entry: Entry, bytes: Uint8Array | undefined, decoded: unknown, pack: Entry['pack']): void {
    if (marks.length > 0) remember(entry)
    entry.bytes = bytes
    entry.decoded = decoded
    entry.pack = pack
    list(entry)
  }

  function list(entry: Entry): void {
    entry.isDirty = true
    if (!entry.isListed) dirty.push(entry)
    entry.isListed = true
  }

  /** The entry with its record decoded. */
  function decode<Id, Record>(form: RecordForm<Id, Record>, id: Id): Entry {
    const entry = load(entries.findId(form, id))
    if (entry.decoded === undefined && entry.bytes !== undefined) entry.decoded = form.unpack(entry.bytes, id)
    return entry
  }

  function remember(entry: Entry, takeBack?: TakeBack): void {
    const { bytes, decoded, pack, isDirty } = entry
    const known = undo[undoCount]
    if (known) {
      known.entry = entry
      known.bytes = bytes
      known.decoded = decoded
      known.pack = pack
      known.isDirty = isDirty
      known.takeBack = takeBack
    } else undo.push({ entry, bytes, decoded, pack, isDirty, takeBack })
    undoCount++
  }

  function undoTo(mark: number): void {
    while (undoCount > mark) {
      const known = undo[--undoCount]
      assert(known, 'what was counted is there')
      undoChange(known)
    }
  }

  function take(entry: Entry): TakenChange {
    const { table } = entry
    const id = entry.id ?? fromHex(entry.name)
    entry.id = undefined
    const record = packed(entry)
    const known = entry.committed
    entry.bytes = record
    entry.committed = record
    entry.treeKey ??= treeKey(table, id)
    return { table, id, record, key: entry.treeKey, before: known === UNREAD ? () => read(table, id) : known }
  }

  return {
    get: (table, id) => packed(load(entries.find(table, toHex(id)))),
    set: (table, id, record) => change(entries.find(table, toHex(id)), record, undefined, undefined),
    getDecoded: <Id, Record>(form: RecordForm<Id, Record>, id: Id) => decode(form, id).decoded as Record | undefined,
    setDecoded(form, id, record) {
      change(entries.findId(form, id), undefined, record, form.pack)
    },
    amend<Id, Record>(form: RecordForm<Id, Record>, id: Id, takeBack: (record: Record) => void): Record | undefined {
      const entry = decode(form, id)
      if (entry.decoded === undefined) return undefined
      if (!entry.isDirty || !entry.pack) change(entry, undefined, entry.decoded, form.pack)
      entry.bytes = undefined // of the record as it was
      if (marks.length > 0) remember(entry, takeBack as TakeBack)
      return entry.decoded as Record
    },
    checkpoint() {
      marks.push(undoCount)
    },
    commit() {
      assert(marks.pop() !== undefined, 'commit without checkpoint')
      if (marks.length === 0) undoCount = 0
    },
    revert() {
      const mark = marks.pop()
      assert(mark !== undefined, 'revert without checkpoint')
      undoTo(mark)
    },
    takeChanges() {
      assert(marks.length === 0, 'changes taken inside a checkpoint')
      const changes: TakenChange[] = []
      // A function for each: this runs once a block, and a loop in it would stay interpreted, with an object for every step.
      dirty.forEach((entry) => {
        if (entry.isDirty) changes.push(take(entry))
        entry.isDirty = false
        entry.isListed = false
      })
      dirty = []
      entries.age()
      return changes
    },
    discard() {
      entries.clear()
      undo.length = 0
      undoCount = 0
      marks.length = 0
      dirty = []
    },
  }
}

/** Bytes that were packed since are of what is undone. */
function undoChange({ entry, bytes, decoded, pack, isDirty, takeBack }: Undo): void {
  if (takeBack) {
    takeBack(entry.decoded as never)
    entry.bytes = undefined
    return
  }
  entry.bytes = bytes
  entry.decoded = decoded
  entry.pack = pack
  entry.isDirty = isDirty
}

/** Entries by table and name: a young generation, and one that goes when the young has grown old. What is asked for is young again. */
function createEntries() {
  let young: Map<string, Entry>[] = []
  let old: Map<string, Entry>[] = []
  let count = 0
  /** What was asked for last, by table: who puts a record has mostly just got it, and comparing names is cheaper than hashing one. */
  let recent: Entry[] = []

  function known(table: number, name: string): Entry | undefined {
    const last = recent[table]
    if (last?.name === name) return last
    const found = young[table]?.get(name) ?? renew(old[table]?.get(name))
    if (found) recent[table] = found
    return found
  }

  function renew(aged: Entry | undefined): Entry | undefined {
    return aged && add(aged)
  }

  function add(entry: Entry): Entry {
    const own = young[entry.table] ?? new Map<string, Entry>()
    young[entry.table] = own
    own.set(entry.name, entry)
    count++
    return entry
  }

  function create(table: number, name: string, id: Uint8Array | undefined): Entry {
    return add({
      table,
      name,
      id,
      bytes: undefined,
      decoded: undefined,
      pack: undefined,
      committed: UNREAD,
      treeKey: undefined,
      isDirty: false,
      isListed: false,
    })
  }

  return {
    find: (table: number, name: string): Entry => known(table, name) ?? create(table, name, undefined),
    /** The entry of an id, whatever form it comes in: only names that are hex of a packed id get in. */
    findId<Id, Record>(form: RecordForm<Id, Record>, id: Id): Entry {
      const table = form.number
      const name = form.name(id)
      const found = known(table, name)
      if (found) return found
      const packedId = form.packId(id)
      const packedName = toHex(packedId)
      return (name === packedName ? undefined : known(table, packedName)) ?? create(table, packedName, packedId)
    },
    /** Lets the old go if the young are many. Nothing may be dirty. */
    age(): void {
      if (count < CACHED_RECORDS_MAX / 2) return
      old = young
      young = []
      recent = []
      count = 0
    },
    clear(): void {
      young = []
      old = []
      recent = []
      count = 0
    },
  }
}

function packed(entry: Entry): Uint8Array | undefined {
  if (entry.bytes === undefined && entry.decoded !== undefined) entry.bytes = entry.pack?.(entry.decoded as never)
  return entry.bytes
}
