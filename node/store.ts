/**
 * What a node keeps on disk: one level database, binary keys and values, every kind of key in the table below. All that a block changes goes
 * in one synced batch, so that a process killed at any instant finds either the whole block or nothing of it.
 */
import { Level } from 'level'
import { bytesToHex, concatBytes, type Hex, hexToBytes, numberToBytes } from 'viem'
import type { BlockResult } from '../execution/applyBlock.ts'
import { assert } from '../execution/assert.ts'
import { type Block, decodeBlock, encodeBlock, hashHeader } from '../execution/block.ts'
import { type GenesisBlock, VOID_ROOTS } from '../execution/genesisBlock.ts'
import type { EvmOperation } from '../execution/precompile.ts'
import type { StateReader, StateRoots, StateWrites } from '../execution/state.ts'
import { encodeStoredReceipts } from '../execution/storedReceipts.ts'
import { decodeOperations, encodeOperations } from './storedOperations.ts'

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
  /** key of the tree's own making → page, root or past record of the ledger (execution/ledger/tree.ts) */
  ledgerEntry: 0x06,
  /** number u64 → block RLP */
  block: 0x10,
  /** block hash → number u64 */
  blockNumber: 0x11,
  /** number u64 → receipts (execution/storedReceipts.ts) */
  receipts: 0x12,
  /** transaction hash → number u64 ‖ index u32 */
  transaction: 0x13,
  /** number u64 → commit certificate */
  commit: 0x14,
  /** number u64 → door operations of EVM origin */
  operations: 0x15,
  /** number u64 → ledger root */
  ledgerRoot: 0x16,
  /** block hash → RLP of a block that is proposed and not decided */
  proposed: 0x30,
  /** name → a single value */
  meta: 0x40,
} as const

/** Roots of blocks kept in memory. */
const KNOWN_ROOTS_MAX = 1_024

/** Version of everything above. A store of another version is refused. */
const FORMAT_VERSION = 2

/** The disk holds something that this program did not write, or wrote in another version. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly retryable = false
}

/** A block as committed. */
export type StoredBlock = { readonly block: Block; readonly hash: Hex; readonly ledgerRoot: Hex }

export type Store = {
  readonly reader: StateReader
  /** Number of the last committed block; undefined in an empty store. */
  head(): bigint | undefined
  block(number: bigint): StoredBlock | undefined
  /** RLP of a block. */
  blockBytes(number: bigint): Uint8Array | undefined
  blockNumber(hash: Hex): bigint | undefined
  roots(number: bigint): StateRoots
  receipts(number: bigint): Uint8Array | undefined
  operations(number: bigint): readonly { readonly txIndex: number; readonly operation: EvmOperation }[]
  commit(number: bigint): Uint8Array | undefined
  transaction(hash: Hex): { readonly blockNumber: bigint; readonly index: number } | undefined
  /** The genesis file's text, or undefined in an empty store. */
  genesis(): string | undefined
  writeGenesis(text: string, genesis: GenesisBlock): Promise<void>
  /** The block, all it changed and its certificate, in one synced batch. */
  writeBlock(result: BlockResult, commit: Uint8Array): Promise<void>
  /** Keeps a proposed block's bytes, synced, until a block is written. */
  writeProposed(block: Block): Promise<void>
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
  const db = new Level<Uint8Array, Uint8Array>(directory, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    cacheSize: 64 << 20,
    writeBufferSize: 16 << 20,
  })
  try {
    await db.open()
  } catch (error) {
    throw new StoreError(`the store in ${directory} cannot be opened (is another node using it?)`, { cause: error })
  }
  const get = (key: Uint8Array): Uint8Array | undefined => db.getSync(key)
  const metaKey = (name: string) => concatBytes([Uint8Array.of(KEY.meta), new TextEncoder().encode(name)])
  const version = get(metaKey('format'))
  if (version !== undefined && version[0] !== FORMAT_VERSION) {
    await db.close()
    throw new StoreError(`the store in ${directory} has format ${version[0]}, this program knows ${FORMAT_VERSION}`)
  }
  const reader: StateReader = {
    account: (address) => get(keyOf(KEY.account, address)),
    slot: (address, hashedSlot) => get(keyOf(KEY.slot, address, hashedSlot)),
    code: (hash) => get(keyOf(KEY.code, hash)),
    trieNode: (hash) => get(keyOf(KEY.trieNode, hash)),
    ledgerRecord: (table, id) => get(keyOf(KEY.ledgerRecord, Uint8Array.of(table), id)),
    ledgerEntry: (key) => get(keyOf(KEY.ledgerEntry, key)),
  }
  const readHead = () => {
    const bytes = get(metaKey('head'))
    return bytes && BigInt(bytesToHex(bytes))
  }
  let head = readHead()
  /** Roots of blocks that were asked for. They never change, and the block is long. */
  const knownRoots = new Map<bigint, StateRoots>()

  function blockAt(number: bigint): StoredBlock | undefined {
    const bytes = get(keyOf(KEY.block, u64(number)))
    if (!bytes) return undefined
    const block = decodeBlock(bytes)
    const ledgerRoot = get(keyOf(KEY.ledgerRoot, u64(number)))
    assert(block && ledgerRoot, `stored block ${number} is damaged`)
    return { block, hash: hashHeader(block.header), ledgerRoot: bytesToHex(ledgerRoot) }
  }

  return {
    reader,
    head: () => head,
    block: blockAt,
    blockBytes: (number) => get(keyOf(KEY.block, u64(number))),
    blockNumber(hash) {
      const bytes = get(keyOf(KEY.blockNumber, hexToBytes(hash)))
      return bytes && BigInt(bytesToHex(bytes))
    },
    roots(number) {
      const known = knownRoots.get(number)
      if (known) return known
      const stored = blockAt(number)
      if (!stored) return VOID_ROOTS
      const roots = { evmRoot: stored.block.header.stateRoot, ledgerRoot: stored.ledgerRoot }
      if (knownRoots.size >= KNOWN_ROOTS_MAX) knownRoots.clear()
      knownRoots.set(number, roots)
      return roots
    },
    receipts: (number) => get(keyOf(KEY.receipts, u64(number))),
    operations(number) {
      const bytes = get(keyOf(KEY.operations, u64(number)))
      return bytes ? decodeOperations(bytes) : []
    },
    commit: (number) => get(keyOf(KEY.commit, u64(number))),
    transaction(hash) {
      const bytes = get(keyOf(KEY.transaction, hexToBytes(hash)))
      if (!bytes) return undefined
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      return { blockNumber: view.getBigUint64(0), index: view.getUint32(8) }
    },
    genesis() {
      const bytes = get(metaKey('genesis'))
      return bytes && new TextDecoder().decode(bytes)
    },
    async writeGenesis(text, { block, hash, roots, writes }) {
      assert(head === undefined, 'the store has a chain already')
      const batch = db.batch()
      batchState(batch, writes)
      batch.put(keyOf(KEY.block, u64(0n)), encodeBlock(block))
      batch.put(keyOf(KEY.blockNumber, hexToBytes(hash)), u64(0n))
      batch.put(keyOf(KEY.receipts, u64(0n)), encodeStoredReceipts([]))
      batch.put(keyOf(KEY.ledgerRoot, u64(0n)), hexToBytes(roots.ledgerRoot))
      batch.put(metaKey('genesis'), new TextEncoder().encode(text))
      batch.put(metaKey('format'), Uint8Array.of(FORMAT_VERSION))
      batch.put(metaKey('head'), u64(0n))
      await batch.write({ sync: durable })
      head = 0n
    },
    async writeBlock({ block, hash, transactions, receipts, roots, writes, operations }, commit) {
      const { number } = block.header
      assert(head !== undefined && number === head + 1n, `block ${number} does not follow ${head}`)
      const batch = db.batch()
      batchState(batch, writes)
      batch.put(keyOf(KEY.block, u64(number)), encodeBlock(block))
      batch.put(keyOf(KEY.blockNumber, hexToBytes(hash)), u64(number))
      batch.put(keyOf(KEY.receipts, u64(number)), encodeStoredReceipts(receipts))
      batch.put(keyOf(KEY.ledgerRoot, u64(number)), hexToBytes(roots.ledgerRoot))
      if (commit.length > 0) batch.put(keyOf(KEY.commit, u64(number)), commit)
      if (operations.length > 0) batch.put(keyOf(KEY.operations, u64(number)), encodeOperations(operations))
      for (const [index, tx] of transactions.entries()) {
        batch.put(keyOf(KEY.transaction, hexToBytes(tx.hash)), concatBytes([u64(number), numberToBytes(index, { size: 4 })]))
      }
      for await (const key of db.keys({ gte: Uint8Array.of(KEY.proposed), lt: Uint8Array.of(KEY.proposed + 1) })) batch.del(key)
      batch.put(metaKey('head'), u64(number))
      await batch.write({ sync: durable })
      head = number
    },
    writeProposed: (block) => db.put(keyOf(KEY.proposed, hexToBytes(hashHeader(block.header))), encodeBlock(block), { sync: durable }),
    proposed(hash) {
      const bytes = get(keyOf(KEY.proposed, hexToBytes(hash)))
      return bytes && decodeBlock(bytes)
    },
    meta: (name) => get(metaKey(name)),
    writeMeta: (name, value) => (value ? db.put(metaKey(name), value, { sync: durable }) : db.del(metaKey(name), { sync: durable })),
    close: () => db.close(),
  }
}

type Batch = { put(key: Uint8Array, value: Uint8Array): unknown; del(key: Uint8Array): unknown }

function batchState(batch: Batch, writes: StateWrites): void {
  for (const { address, value } of writes.accounts) putOrDelete(batch, keyOf(KEY.account, address), value)
  for (const { address, hashedSlot, value } of writes.slots) putOrDelete(batch, keyOf(KEY.slot, address, hashedSlot), value)
  for (const { hash, code } of writes.codes) batch.put(keyOf(KEY.code, hash), code)
  for (const { hash, bytes } of writes.trieNodes) batch.put(keyOf(KEY.trieNode, hash), bytes)
  for (const { table, id, record } of writes.ledgerRecords) putOrDelete(batch, keyOf(KEY.ledgerRecord, Uint8Array.of(table), id), record)
  for (const { key, bytes } of writes.ledgerEntries) batch.put(keyOf(KEY.ledgerEntry, key), bytes)
}

function putOrDelete(batch: Batch, key: Uint8Array, value: Uint8Array | undefined): void {
  if (value) batch.put(key, value)
  else batch.del(key)
}

function keyOf(kind: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 1
  for (const part of parts) length += part.length
  const key = new Uint8Array(length)
  key[0] = kind
  let at = 1
  for (const part of parts) {
    key.set(part, at)
    at += part.length
  }
  return key
}

function u64(value: bigint): Uint8Array {
  return numberToBytes(value, { size: 8 })
}
