/**
 * What a node keeps on disk: three level databases, binary keys and values, every kind of key in the table below. Blocks with what belongs to them, and
 * pages of the ledger's tree, are never changed and come in the order of their numbers: each has a database of its own, whose files therefore never
 * overlap and are not merged. What changes, or has keys without order, is in the third, with the head. All that a block brings is synced in the first
 * two, and then in one batch in the third: a process killed at any instant finds either the whole block or nothing of it, since what the first two have
 * beyond the head is written again with the block that becomes it.
 * Why: docs/decisions/024-a-database-for-what-comes-in-order.md
 */
import { join } from 'node:path'
import { Level } from 'level'
import { concatBytes, type Hex } from 'viem'
import type { BlockResult } from '../execution/applyBlock.ts'
import { assert } from '../execution/assert.ts'
import { type Block, decodeBlock, encodeBlock, hashHeader } from '../execution/block.ts'
import { type GenesisBlock, VOID_ROOTS } from '../execution/genesisBlock.ts'
import { fromHex, toHex, writeHex } from '../execution/hex.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { accounts, getCounters } from '../execution/ledger/tables.ts'
import { isPageKey } from '../execution/ledger/tree.ts'
import type { EvmOperation } from '../execution/precompile.ts'
import type { StateReader, StateRoots, StateWrites } from '../execution/state.ts'
import { encodeStoredReceipts } from '../execution/storedReceipts.ts'
import type { LogSegments } from './logIndex.ts'
import { createLogSegments } from './logSegments.ts'
import { openSegments, type Segments } from './segments.ts'
import { decodeOperations, encodeOperations } from './storedOperations.ts'

/** Where pages and blocks are, below what changes. */
const FOLDER = { pages: 'pages', blocks: 'blocks' } as const

/** First byte of every key → what stands there. Numbers are never used again for something else. */
const KEY = {
  /** address → account RLP */
  account: 0x01,
  /** address ‖ keccak256(slot) → value without leading zeros */
  slot: 0x02,
  /** code hash → code */
  code: 0x03,
  /** node hash → trie node */
  trieNode: 0x04,
  /** table ‖ id → record */
  ledgerRecord: 0x05,
  /** key of the tree's own making → root or past record of the ledger (execution/ledger/tree.ts); pages are in their own database, under its key alone */
  ledgerEntry: 0x06,
  /** number u64 → block hash */
  blockHash: 0x10,
  /** block hash → number u64 */
  blockNumber: 0x11,
  /** transaction hash → number u64 ‖ index u32 */
  transaction: 0x13,
  /** number u64 → state root ‖ ledger root */
  roots: 0x16,
  /** last block u64 of a segment of the log index → its first, u64; what it holds is in the blocks' database (node/segments.ts) */
  logSegment: 0x17,
  /** index u32 of a ledger account → its address */
  accountIndex: 0x18,
  /** last block u64 of a segment of the address index → its first, u64 */
  addressSegment: 0x19,
  /** name → a single value */
  meta: 0x40,
} as const

/** What comes after a block's number, u64, in a key of the blocks' database → what stands there. */
const PART = {
  /** block hash → block RLP, of a block of the chain or one that is proposed */
  block: 0x00,
  /** receipts (execution/storedReceipts.ts) */
  receipts: 0x01,
  /** commit certificate of a block that has a successor; that of the head is META.commit */
  commit: 0x02,
  /** door operations of EVM origin */
  operations: 0x03,
  /** hash u64 of a value of logs → its blocks in the segment that ends with this one */
  logs: 0x04,
  /** kind ‖ address → what the segment of the address index that ends with this block has of it (node/addressIndex.ts) */
  addresses: 0x05,
} as const

/**
 * Memory of the databases: what was read, and twice the buffer of what was written. What does not fit is in the system's memory for files. Large
 * files keep their number below what is held open. What comes in order is mostly hashes and signatures, which do not compress.
 */
const CHANGING = { cacheSize: 16 << 20, writeBufferSize: 8 << 20, maxFileSize: 8 << 20 }
const IN_ORDER = { cacheSize: 4 << 20, writeBufferSize: 4 << 20, maxFileSize: 8 << 20, compression: false }

/** Names of single values of the store's own. */
const META = {
  format: 'format',
  genesis: 'genesis',
  /** number u64 */
  head: 'head',
  /** number u64 ‖ commit certificate, of the head: it moves to its part with the next block, so that it takes no wait for the disk of its own */
  commit: 'commit',
} as const

/** Version of everything above. A store of another version is refused. */
const FORMAT_VERSION = 6

/** The disk holds something that this program did not write, or wrote in another version. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly retryable = false
}

/** A block as committed. */
export type StoredBlock = { readonly block: Block; readonly hash: Hex; readonly ledgerRoot: Hex }

/** What came of a block beside its state. */
export type BlockOutcome = Pick<BlockResult, 'receipts' | 'operations'>

export type Store = {
  readonly reader: StateReader
  /** Number of the last committed block; undefined in an empty store. */
  head(): bigint | undefined
  block(number: bigint): StoredBlock | undefined
  /** RLP of a block. */
  blockBytes(number: bigint): Uint8Array | undefined
  /** RLP of a block by its hash, proposed ones included. */
  bytesOf(hash: Hex): Uint8Array | undefined
  blockNumber(hash: Hex): bigint | undefined
  roots(number: bigint): StateRoots
  receipts(number: bigint): Uint8Array | undefined
  operations(number: bigint): readonly { readonly txIndex: number; readonly operation: EvmOperation }[]
  commit(number: bigint): Uint8Array | undefined
  /** The ledger account that got this index, which its record says. */
  accountAt(index: number): Hex | undefined
  /** Which blocks have which logs, as far as somebody found it out. */
  readonly logSegments: LogSegments
  /** Which transactions touch which addresses, likewise. */
  readonly addressSegments: Segments
  transaction(hash: Hex): { readonly blockNumber: bigint; readonly index: number } | undefined
  /** The genesis file's text, or undefined in an empty store. */
  genesis(): string | undefined
  writeGenesis(text: string, genesis: GenesisBlock): Promise<void>
  /** The block, all it changed and its certificate, on disk when this resolves: whole, or not at all. */
  writeBlock(result: BlockResult, commit: Uint8Array): Promise<void>
  /** From here on blocks can be taken back, in place of what was marked before. For whoever derives: what consensus made final stays. */
  mark(): void
  /** Takes back the blocks written since the mark. Whatever was opened on the store has to be opened anew. */
  takeBack(): Promise<void>
  /**
   * Keeps a proposed block's bytes, synced, until a block is written; with `outcome` what came of it, too, which is then not written again if this block
   * is decided.
   */
  writeProposed(block: Block, outcome?: BlockOutcome): Promise<void>
  proposed(hash: Hex): Block | undefined
  meta(name: string): Uint8Array | undefined
  writeMeta(name: string, value: Uint8Array | undefined): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the store in a directory, making it if there is none. Throws StoreError if it is another program's or version's, or in use. `durable` false: writes
 * are as whole, but the last ones may be lost with the machine; for stores that are made again anyway.
 */
export async function openStore(directory: string, { durable = true }: { readonly durable?: boolean } = {}): Promise<Store> {
  const { db, pages, blocks } = await openDatabases(directory)
  const close = async () => {
    await closeAll([db, pages, blocks])
  }
  const get = (kind: number, ...parts: readonly Uint8Array[]): Uint8Array | undefined => db.getSync(lentKey(kind, parts))
  const getMeta = (name: string) => get(KEY.meta, new TextEncoder().encode(name))
  const reader: StateReader = {
    account: (address) => get(KEY.account, address),
    slot: (address, hashedSlot) => get(KEY.slot, address, hashedSlot),
    code: (hash) => get(KEY.code, hash),
    trieNode: (hash) => get(KEY.trieNode, hash),
    ledgerRecord: (table, id) => get(KEY.ledgerRecord, tableByte(table), id),
    ledgerEntry: (key) => (isPageKey(key) ? pages.getSync(key) : get(KEY.ledgerEntry, key)),
  }
  const headBytes = getMeta(META.head)
  let head = headBytes && BigInt(toHex(headBytes))
  let marked: Marked | undefined
  let highestAccount = accountsOf(reader)
  /** The head as it was written, which is asked for after every block. */
  let latest: StoredBlock | undefined
  /** Hashes and numbers of proposed blocks that were not decided yet: few, since each block that is written ends them. */
  const proposals = new Map<Hex, bigint>()
  let outcomeOf: Hex | undefined // the proposed block whose outcome stands behind its number
  for await (const key of blocks.keys({ gt: u64((head ?? 0n) + 1n) })) {
    if (key[8] === PART.block) proposals.set(toHex(key.subarray(9)), BigInt(toHex(key.subarray(0, 8))))
  }

  function rootsOf(number: bigint): StateRoots | undefined {
    const bytes = get(KEY.roots, u64(number))
    return bytes && { evmRoot: toHex(bytes.subarray(0, 32)), ledgerRoot: toHex(bytes.subarray(32)) }
  }

  function numberOf(hash: Hex): bigint | undefined {
    const bytes = get(KEY.blockNumber, fromHex(hash))
    return bytes && BigInt(toHex(bytes))
  }

  function blockAt(number: bigint): StoredBlock | undefined {
    if (number === latest?.block.header.number) return latest
    const hash = get(KEY.blockHash, u64(number))
    if (!hash) return undefined
    const bytes = blocks.getSync(blockKey(number, hash))
    const block = bytes && decodeBlock(bytes)
    const roots = rootsOf(number)
    assert(block && roots, `stored block ${number} is damaged`)
    return { block, hash: toHex(hash), ledgerRoot: roots.ledgerRoot }
  }

  function commitOf(number: bigint): Uint8Array | undefined {
    return commitIn(number, getMeta(META.commit), () => partOf(number, PART.commit))
  }

  /** Forgets what was proposed up to the head. What of it stays on disk, if the process ends before, is asked for by nobody. */
  async function endProposals(decided: Hex): Promise<void> {
    const over = [...proposals].filter(([, height]) => head !== undefined && height <= head)
    for (const [hash] of over) proposals.delete(hash)
    const undecided = over.filter(([hash]) => hash !== decided)
    if (undecided.length > 0) await blocks.batch(undecided.map(([hash, height]) => ({ type: 'del', key: blockKey(height, fromHex(hash)) })))
  }

  /** What belongs to a block of the chain: there may be some of a block that never became one. */
  function partOf(number: bigint, part: number): Uint8Array | undefined {
    return get(KEY.blockHash, u64(number)) && blocks.getSync(partKey(number, part))
  }

  const segments = await openIndexes({ places: db, values: blocks }, durable)

  return {
    reader,
    ...segments,
    head: () => head,
    block: blockAt,
    blockBytes(number) {
      const hash = get(KEY.blockHash, u64(number))
      return hash && blocks.getSync(blockKey(number, hash))
    },
    bytesOf(hash) {
      const number = proposals.get(hash) ?? numberOf(hash)
      return number === undefined ? undefined : blocks.getSync(blockKey(number, fromHex(hash)))
    },
    blockNumber: numberOf,
    roots: (number) => rootsOf(number) ?? VOID_ROOTS,
    receipts: (number) => partOf(number, PART.receipts),
    operations: (number) => operationsIn(partOf(number, PART.operations)),
    commit: commitOf,
    transaction(hash) {
      const bytes = get(KEY.transaction, fromHex(hash))
      if (!bytes) return undefined
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      return { blockNumber: view.getBigUint64(0), index: view.getUint32(8) }
    },
    accountAt(index) {
      const address = index > 0 && index <= highestAccount ? get(KEY.accountIndex, u32(index)) : undefined
      return address && toHex(address)
    },
    genesis: () => textOf(getMeta(META.genesis)),
    async writeGenesis(text, { block, hash, roots, writes }) {
      assert(head === undefined, 'the store has a chain already')
      await Promise.all([
        writePages(pages, writes, durable),
        blocks
          .batch()
          .put(blockKey(0n, fromHex(hash)), encodeBlock(block))
          .put(partKey(0n, PART.receipts), encodeStoredReceipts([]))
          .write({ sync: durable }),
      ])
      const batch = db.batch()
      batchState(batch, writes)
      batchAccounts(batch, writes, 0)
      batchPlace(batch, { block, hash, roots })
      batch.put(metaKey(META.genesis), new TextEncoder().encode(text))
      batch.put(metaKey(META.format), Uint8Array.of(FORMAT_VERSION))
      await batch.write({ sync: durable })
      highestAccount = accountsOf(reader)
      head = 0n
    },
    async writeBlock({ block, hash, transactions, receipts, roots, writes, operations }, commit) {
      const { number } = block.header
      assert(head !== undefined && number === head + 1n, `block ${number} does not follow ${head}`)
      const parts = blocks.batch()
      if (!proposals.has(hash)) parts.put(blockKey(number, fromHex(hash)), encodeBlock(block))
      if (outcomeOf !== hash) putOutcome(parts, number, { receipts, operations }, commitOf(number - 1n))
      const inOrder = Promise.all([writePages(pages, writes, durable), writeIfAny(parts, durable)])
      const written = db.batch()
      const batch = marked ? remembering(written, marked.entries, db) : written
      batchState(batch, writes)
      const highest = batchAccounts(batch, writes, highestAccount)
      batchPlace(batch, { block, hash, roots })
      batch.put(metaKey(META.commit), Buffer.concat([u64(number), commit]))
      for (let index = 0; index < transactions.length; index++) putPlace(batch, transactions[index]?.hash ?? '0x', { number, index })
      await inOrder
      await written.write({ sync: durable })
      highestAccount = highest
      head = number
      await endProposals(hash)
      latest = { block, hash, ledgerRoot: roots.ledgerRoot }
    },
    mark() {
      marked = { head, entries: [] }
    },
    async takeBack() {
      assert(marked, 'nothing is marked')
      const batch = db.batch()
      for (const { key, value } of marked.entries.reverse()) {
        if (value) batch.put(key, value)
        else batch.del(key)
      }
      await batch.write({ sync: durable })
      head = marked.head
      highestAccount = accountsOf(reader)
      latest = undefined
      marked = { head, entries: [] }
    },
    async writeProposed(block, outcome) {
      const hash = hashHeader(block.header)
      const parts = blocks.batch().put(blockKey(block.header.number, fromHex(hash)), encodeBlock(block))
      if (outcome) putOutcome(parts, block.header.number, outcome, commitOf(block.header.number - 1n))
      await parts.write({ sync: durable })
      if (outcome) outcomeOf = hash
      proposals.set(hash, block.header.number)
    },
    proposed(hash) {
      const number = proposals.get(hash)
      const bytes = number === undefined ? undefined : blocks.getSync(blockKey(number, fromHex(hash)))
      return bytes && decodeBlock(bytes)
    },
    meta: getMeta,
    writeMeta: (name, value) => (value ? db.put(metaKey(name), value, { sync: durable }) : db.del(metaKey(name), { sync: durable })),
    close,
  }
}

/** The segments of both indexes. */
async function openIndexes(
  databases: { readonly places: Database; readonly values: Database },
  durable: boolean,
): Promise<Pick<Store, 'logSegments' | 'addressSegments'>> {
  const logs = await openSegments(databases, { place: KEY.logSegment, values: PART.logs }, durable)
  const addressSegments = await openSegments(databases, { place: KEY.addressSegment, values: PART.addresses }, durable)
  return { logSegments: createLogSegments(logs), addressSegments }
}

type Database = Level<Uint8Array, Uint8Array>
type Databases = { readonly db: Database; readonly pages: Database; readonly blocks: Database }

/** Opens what changes first: who has that has the store. Throws StoreError. */
async function openDatabases(directory: string): Promise<Databases> {
  const create = (folder: string, options: typeof CHANGING): Database =>
    new Level(folder, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      ...options,
      multithreading: true, // threads of this process may read it too (node/batchWorker.ts)
    })
  const db = create(directory, CHANGING)
  const pages = create(join(directory, FOLDER.pages), IN_ORDER)
  const blocks = create(join(directory, FOLDER.blocks), IN_ORDER)
  const open: Database[] = []
  try {
    for (const one of [db, pages, blocks]) {
      await one.open()
      open.push(one)
    }
  } catch (error) {
    await closeAll(open)
    throw new StoreError(`the store in ${directory} cannot be opened (is another node using it?)`, { cause: error })
  }
  const version = db.getSync(metaKey(META.format))
  if (version !== undefined && version[0] !== FORMAT_VERSION) {
    await closeAll(open)
    throw new StoreError(`the store in ${directory} has format ${version[0]}, this program knows ${FORMAT_VERSION}`)
  }
  return { db, pages, blocks }
}

async function closeAll(databases: readonly Database[]): Promise<void> {
  for (const one of databases) await one.close()
}

/** What stood under the keys that blocks have overwritten since. */
type Marked = {
  readonly head: bigint | undefined
  readonly entries: { readonly key: Uint8Array; readonly value: Uint8Array | undefined }[]
}

/** Kinds that are named by their content: they do no harm where nobody asks for them. */
const IS_CONTENT: ReadonlySet<number> = new Set([KEY.code, KEY.trieNode])

/** A batch that remembers what it overwrites. */
function remembering(batch: Batch, entries: Marked['entries'], db: Database): Batch {
  const remember = (key: Uint8Array) => {
    if (!IS_CONTENT.has(key[0] ?? 0)) entries.push({ key: Uint8Array.from(key), value: db.getSync(key) })
  }
  return {
    put(key, value) {
      remember(key)
      batch.put(key, value)
    },
    del(key) {
      remember(key)
      batch.del(key)
    },
  }
}

/** What is written of a block beside its bytes, and the certificate of the one before it, which has a successor now. */
function putOutcome(parts: Batch, number: bigint, { receipts, operations }: BlockOutcome, commitBefore: Uint8Array | undefined): void {
  parts.put(partKey(number, PART.receipts), encodeStoredReceipts(receipts))
  putOrDelete(parts, partKey(number, PART.operations), operations.length > 0 ? encodeOperations(operations) : undefined)
  putOrDelete(parts, partKey(number - 1n, PART.commit), commitBefore)
}

type Batch = { put(key: Uint8Array, value: Uint8Array): unknown; del(key: Uint8Array): unknown }

function batchState(batch: Batch, writes: StateWrites): void {
  for (const { address, value } of writes.accounts) putOrDelete(batch, lentKey(KEY.account, [address]), value)
  for (const { address, hashedSlot, value } of writes.slots) putOrDelete(batch, lentKey(KEY.slot, [address, hashedSlot]), value)
  for (const { hash, code } of writes.codes) batch.put(lentKey(KEY.code, [hash]), code)
  for (const { hash, bytes } of writes.trieNodes) batch.put(lentKey(KEY.trieNode, [hash]), bytes)
  // A function for each of many: this one runs once a block, and a loop in it would stay interpreted, with an object for every step.
  writes.ledgerRecords.forEach(({ table, id, record }) => {
    putOrDelete(batch, lentKey(KEY.ledgerRecord, [tableByte(table), id]), record)
  })
  writes.ledgerEntries.forEach(({ key, bytes }) => {
    if (!isPageKey(key)) batch.put(lentKey(KEY.ledgerEntry, [key]), bytes)
  })
}

/** Accounts that were given an index above the highest one known, by that. Answers the highest one. */
function batchAccounts(batch: Batch, writes: StateWrites, known: number): number {
  let highest = known
  for (const { table, id, record } of writes.ledgerRecords) {
    if (table !== accounts.number || !record) continue
    // The index stands first in the record.
    const index = new DataView(record.buffer, record.byteOffset, 4).getUint32(0)
    if (index <= known) continue
    batch.put(keyOf(KEY.accountIndex, u32(index)), Uint8Array.from(id))
    if (index > highest) highest = index
  }
  return highest
}

function accountsOf(reader: StateReader): number {
  return getCounters(createLedger(reader.ledgerRecord)).accounts
}

function operationsIn(bytes: Uint8Array | undefined): ReturnType<Store['operations']> {
  return bytes ? decodeOperations(bytes) : []
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes && new TextDecoder().decode(bytes)
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

function putOrDelete(batch: Batch, key: Uint8Array, value: Uint8Array | undefined): void {
  if (value) batch.put(key, lentCopy(value))
  else batch.del(key)
}

/** Where a transaction stands. */
function putPlace(batch: Batch, hash: Hex, { number, index }: { readonly number: bigint; readonly index: number }): void {
  const [key, value] = [lentKeys[33], lentValues[12]]
  assert(key && value, 'there is no such length')
  key[0] = KEY.transaction
  writeHex(hash, key, 1)
  value.writeBigUInt64BE(number)
  value.writeUInt32BE(index, 8)
  batch.put(key, value)
}

/** Which block stands at a number, the way back, its roots; and that it is the head. */
function batchPlace(batch: Batch, { block, hash, roots }: Pick<BlockResult, 'block' | 'hash' | 'roots'>): void {
  const number = u64(block.header.number)
  batch.put(keyOf(KEY.blockHash, number), fromHex(hash))
  batch.put(keyOf(KEY.blockNumber, fromHex(hash)), number)
  batch.put(keyOf(KEY.roots, number), concatBytes([fromHex(roots.evmRoot), fromHex(roots.ledgerRoot)]))
  batch.put(metaKey(META.head), number)
}

function blockKey(number: bigint, hash: Uint8Array): Uint8Array {
  return Buffer.concat([partKey(number, PART.block), hash])
}

function partKey(number: bigint, part: number): Uint8Array {
  const key = Buffer.allocUnsafe(9)
  key.writeBigUInt64BE(number)
  key[8] = part
  return key
}

function metaKey(name: string): Uint8Array {
  return keyOf(KEY.meta, new TextEncoder().encode(name))
}

/** A key of its own, for what may be read later than now; in memory of which `lentKeys` says why. */
function keyOf(kind: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return writeKey(Buffer.allocUnsafe(keyBytes(parts)), kind, parts)
}

/**
 * Memory for keys and for values up to a length, with an array for each of the lengths: one serves all reads and batches, since native code has read or
 * copied it when they return. Of a small array of its own it would first have to make a copy, which costs more than the rest.
 */
const LENT_BYTES = 128
const lentKeys = lengthsOf(Buffer.alloc(LENT_BYTES))
const lentValues = lengthsOf(Buffer.alloc(LENT_BYTES))

function lengthsOf(memory: Buffer): readonly Buffer[] {
  return Array.from({ length: memory.length + 1 }, (_, length) => memory.subarray(0, length))
}

/** A key that is good until the next one. */
function lentKey(kind: number, parts: readonly Uint8Array[]): Uint8Array {
  const length = keyBytes(parts)
  return writeKey(lentKeys[length] ?? Buffer.allocUnsafe(length), kind, parts)
}

/** The bytes of a value where native code reads them as they are, until the next value; long ones are there already. */
function lentCopy(bytes: Uint8Array): Uint8Array {
  const copy = lentValues[bytes.length]
  if (!copy) return bytes
  for (let i = 0; i < bytes.length; i++) copy[i] = bytes[i] ?? 0
  return copy
}

function keyBytes(parts: readonly Uint8Array[]): number {
  let length = 1
  for (const part of parts) length += part.length
  return length
}

function writeKey(key: Uint8Array, kind: number, parts: readonly Uint8Array[]): Uint8Array {
  key[0] = kind
  let at = 1
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) key[at + i] = part[i] ?? 0
    at += part.length
  }
  return key
}

/** Table numbers as they stand in keys. */
const TABLE_BYTES = Array.from({ length: 256 }, (_, table) => Uint8Array.of(table))

function tableByte(table: number): Uint8Array {
  const byte = TABLE_BYTES[table]
  assert(byte, 'there is no such table')
  return byte
}

function u64(value: bigint): Uint8Array {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

/** A certificate, out of what is kept of the head if it is the head's. */
function commitIn(number: bigint, ofHead: Uint8Array | undefined, ofPart: () => Uint8Array | undefined): Uint8Array | undefined {
  if (!ofHead || readU64(ofHead) !== number) return ofPart()
  return ofHead.length > 8 ? ofHead.subarray(8) : undefined
}

function readU64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
}

/** The pages of a block, as they came: by ascending number. */
async function writePages(pages: Database, { ledgerEntries }: StateWrites, sync: boolean): Promise<void> {
  const batch = pages.batch()
  ledgerEntries.forEach(({ key, bytes }) => {
    if (isPageKey(key)) batch.put(key, bytes)
  })
  await writeIfAny(batch, sync)
}

/** A batch of nothing is no wait for the disk. */
async function writeIfAny(batch: ReturnType<Database['batch']>, sync: boolean): Promise<void> {
  if (batch.length > 0) await batch.write({ sync })
  else await batch.close()
}
