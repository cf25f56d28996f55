/**
 * The state that a block changes: EVM accounts and storage (a StateManagerInterface over flat records and batched tries), the ledger,
 * and the native lane's operations of EVM origin, all under one journal, so that whatever a frame did is undone with it.
 *
 * Reads are synchronous look-ups of flat records (or, at an older root, of the tries). A block's changes leave in one piece through `seal`.
 * The stock manager writes each slot on its own and re-hashes paths on every put; docs/decisions/007-own-state-manager.md has the figures.
 */
import type { AccountFields, StateManagerInterface } from '@ethereumjs/common'
import { RLP } from '@ethereumjs/rlp'
import { Account, type Address, createAccountFromRLP, KECCAK256_NULL, KECCAK256_RLP } from '@ethereumjs/util'
import type { Hex } from 'viem'
import { DOOR } from '../genesis/params.ts'
import { assert } from './assert.ts'
import { fromHex, toHex } from './hex.ts'
import type { StorageAccess } from './interpreter.ts'
import { keccak256 } from './keccak.ts'
import { createLedger, type JournaledLedger, type LedgerChange } from './ledger/ledger.ts'
import { createRootReader } from './ledger/rootReader.ts'
import { createLedgerTree, type TreeEntry } from './ledger/tree.ts'
import { createTrie, type Trie } from './mpt.ts'
import type { EvmOperation } from './precompile.ts'

/** Where committed state is read from. Slots are keyed by keccak256 of the slot number; values are without leading zeros. */
export type StateReader = {
  account(address: Uint8Array): Uint8Array | undefined
  slot(address: Uint8Array, hashedSlot: Uint8Array): Uint8Array | undefined
  code(hash: Uint8Array): Uint8Array | undefined
  trieNode(hash: Uint8Array): Uint8Array | undefined
  ledgerRecord(table: number, id: Uint8Array): Uint8Array | undefined
  /** Something that the ledger's tree had stored. */
  ledgerEntry(key: Uint8Array): Uint8Array | undefined
}

/** Everything that a block wrote, for one atomic batch. `value` undefined: delete. */
export type StateWrites = {
  readonly accounts: readonly { readonly address: Uint8Array; readonly value: Uint8Array | undefined }[]
  readonly slots: readonly { readonly address: Uint8Array; readonly hashedSlot: Uint8Array; readonly value: Uint8Array | undefined }[]
  readonly codes: readonly { readonly hash: Uint8Array; readonly code: Uint8Array }[]
  readonly trieNodes: readonly NewNode[]
  readonly ledgerRecords: readonly LedgerChange[]
  readonly ledgerEntries: readonly TreeEntry[]
}

/** A trie node in its stored form. */
export type NewNode = { readonly hash: Uint8Array; readonly bytes: Uint8Array }

export type StateRoots = { readonly evmRoot: Hex; readonly ledgerRoot: Hex }

/** State with a journal. `manager` is what @ethereumjs/vm takes. */
export type State = {
  readonly manager: StateManagerInterface
  /** The same storage without promises. */
  readonly storage: StorageAccess
  readonly ledger: JournaledLedger
  checkpoint(): void
  commit(): void
  revert(): void
  /** An account as it is now, or an empty one. The copy is the caller's. */
  account(address: Hex): Account
  putAccount(address: Hex, account: Account): void
  putCode(address: Hex, code: Uint8Array): void
  /** Code of an account, empty if it has none. */
  code(address: Hex): Uint8Array
  putSlot(address: Hex, slot: Hex, value: Uint8Array): void
  slot(address: Hex, slot: Hex): Uint8Array
  recordOperation(operation: EvmOperation): void
  /** The operations of EVM origin that wait to be taken, in order. */
  operations(): readonly EvmOperation[]
  /** The operations of EVM origin since the last call, in order. Not inside a checkpoint. */
  takeOperations(): EvmOperation[]
  /** Commits the ledger's root to its slot, computes both roots and hands over what was written. Not inside a checkpoint. */
  seal(): { readonly roots: StateRoots; readonly writes: StateWrites }
  /** Forgets what was not committed and stands at these roots. */
  reset(roots: StateRoots): void
  roots(): StateRoots
}

/** Slot 0: where the LEDGER account keeps the ledger's root. */
const LEDGER_ROOT_SLOT: Hex = `0x${'00'.repeat(32)}`
/** Accounts, slots or trie nodes kept in memory between blocks before they are let go of. */
const CACHED_ENTRIES_MAX = 400_000
const EMPTY_BYTES = new Uint8Array()

/** A slot that was looked at. They are kept by account and hash of the slot, so that an account's are found without going through all. */
type Slot = { readonly address: Uint8Array; readonly hashedSlot: Uint8Array; value: Uint8Array }

/** State at committed roots. */
export function createState(reader: StateReader, start: StateRoots): State {
  const ledger = createLedger(reader.ledgerRecord)
  const ledgerTree = createLedgerTree(fromHex(start.ledgerRoot), reader.ledgerEntry)
  let roots = start
  let trie = createTrie({ root: fromHex(start.evmRoot), readNode: reader.trieNode })
  let storageTries = new Map<string, Trie>()
  const accounts = new Map<string, Account | undefined>()
  const slots = new Map<string, Map<string, Slot>>()
  const originals = createOriginals()
  const dirtyAccounts = new Set<string>()
  const dirtySlots = new Map<string, Set<Slot>>()
  const wiped = new Set<string>() // in this block: nothing below is theirs any more
  const undo = createUndoLog()
  const operations = createOperationLog(undo)
  const codes = createCodes(reader)
  const hashed = createHasher()
  const journal = joinJournals([undo, ledger])

  function readAccount(key: string): Account | undefined {
    if (accounts.has(key)) return accounts.get(key)
    const bytes = reader.account(fromKey(key))
    const account = bytes && createAccountFromRLP(bytes)
    accounts.set(key, account)
    return account
  }

  function writeAccount(key: string, account: Account | undefined): void {
    const before = readAccount(key)
    const wasDirty = dirtyAccounts.has(key)
    accounts.set(key, account && copyAccount(account))
    dirtyAccounts.add(key)
    undo.push(() => {
      accounts.set(key, before)
      if (!wasDirty) dirtyAccounts.delete(key)
    })
  }

  function slotOf(addressKey: string, slot: Uint8Array): Slot {
    const hashedSlot = hashed(toKey(slot))
    const own = childOf(slots, addressKey)
    const key = toKey(hashedSlot)
    const known = own.get(key)
    if (known) return known
    const address = fromKey(addressKey)
    const value = wiped.has(addressKey) || !hasStorage(addressKey) ? EMPTY_BYTES : (reader.slot(address, hashedSlot) ?? EMPTY_BYTES)
    const entry = { address, hashedSlot, value }
    own.set(key, entry)
    return entry
  }

  /** Nothing of an account without storage is below, whatever flat records say. */
  function hasStorage(addressKey: string): boolean {
    const account = readAccount(addressKey)
    return account !== undefined && !sameBytes(account.storageRoot, KECCAK256_RLP)
  }

  function writeSlot(addressKey: string, slot: Uint8Array, value: Uint8Array): void {
    const entry = slotOf(addressKey, slot)
    originals.of(entry)
    setSlot(addressKey, entry, stripZeros(value))
  }

  function setSlot(addressKey: string, entry: Slot, value: Uint8Array): void {
    const before = entry.value
    const dirty = dirtySlots.get(addressKey) ?? new Set()
    dirtySlots.set(addressKey, dirty)
    const wasDirty = dirty.has(entry)
    entry.value = value
    dirty.add(entry)
    undo.push(() => {
      entry.value = before
      if (!wasDirty) dirty.delete(entry)
    })
  }

  /**
   * Empties an account's storage. Ordinarily there is none: contracts are made where no storage is, and die in the transaction that made them.
   * The EVM asks for it often: at every creation, and after every call of an address where nothing is, such as a precompile's.
   */
  function wipeStorage(addressKey: string): void {
    for (const entry of slots.get(addressKey)?.values() ?? []) if (entry.value.length > 0) setSlot(addressKey, entry, EMPTY_BYTES)
    if (!hasStorage(addressKey) || wiped.has(addressKey)) return
    const own = childOf(slots, addressKey)
    storageTrie(addressKey).forEach((nibbles) => {
      const hashedSlot = fromNibbles(nibbles)
      const key = toKey(hashedSlot)
      if (own.has(key)) return
      const entry = { address: fromKey(addressKey), hashedSlot, value: Uint8Array.of(1) }
      own.set(key, entry)
      setSlot(addressKey, entry, EMPTY_BYTES)
    })
    wiped.add(addressKey)
    undo.push(() => wiped.delete(addressKey))
  }

  function storageTrie(addressKey: string): Trie {
    const known = storageTries.get(addressKey)
    if (known) return known
    const made = createTrie({ root: readAccount(addressKey)?.storageRoot ?? KECCAK256_RLP, readNode: reader.trieNode })
    storageTries.set(addressKey, made)
    return made
  }

  function writeCode(addressKey: string, code: Uint8Array): void {
    writeAccount(addressKey, withFields(readAccount(addressKey), { codeHash: codes.write(code) }))
  }

  function sealStorage(onNode: (node: NewNode) => void): { address: Uint8Array; hashedSlot: Uint8Array; value: Uint8Array | undefined }[] {
    const written = []
    for (const [addressKey, entries] of dirtySlots) {
      if (entries.size === 0) continue
      const account = readAccount(addressKey)
      const storage = storageTrie(addressKey)
      for (const { address, hashedSlot, value } of entries) {
        if (value.length > 0) storage.put(hashedSlot, RLP.encode(value))
        else storage.delete(hashedSlot)
        written.push({ address, hashedSlot, value: value.length > 0 ? value : undefined })
      }
      if (account === undefined) storageTries.delete(addressKey)
      else {
        account.storageRoot = storage.root((hash, bytes) => onNode({ hash, bytes }))
        dirtyAccounts.add(addressKey)
      }
    }
    dirtySlots.clear()
    wiped.clear()
    return written
  }

  function sealAccounts(): { address: Uint8Array; value: Uint8Array | undefined }[] {
    const written = [...dirtyAccounts].map((key) => {
      const value = accounts.get(key)?.serialize()
      if (value) trie.put(hashed(key), value)
      else trie.delete(hashed(key))
      return { address: fromKey(key), value }
    })
    dirtyAccounts.clear()
    return written
  }

  function forgetIfLarge(): void {
    if (accounts.size > CACHED_ENTRIES_MAX) accounts.clear()
    const slotCount = [...slots.values()].reduce((sum, own) => sum + own.size, 0)
    if (slotCount > CACHED_ENTRIES_MAX) slots.clear()
    codes.forgetIfLarge()
    const loaded = [...storageTries.values()].reduce((sum, one) => sum + one.loadedNodes(), trie.loadedNodes())
    if (loaded <= CACHED_ENTRIES_MAX && storageTries.size <= 65_536) return
    trie = createTrie({ root: fromHex(roots.evmRoot), readNode: reader.trieNode })
    storageTries = new Map()
  }

  function seal(): ReturnType<State['seal']> {
    assert(undo.depth() === 0, 'sealed inside a checkpoint')
    const ledgerRecords = ledger.takeChanges()
    const ledgerEntries: TreeEntry[] = []
    const ledgerRoot = ledgerTree.commit(ledgerRecords, (entry) => ledgerEntries.push(entry))
    if (ledgerRecords.length > 0) writeSlot(hexKey(DOOR.ledger), fromHex(LEDGER_ROOT_SLOT), ledgerRoot)
    const trieNodes: NewNode[] = []
    const writtenSlots = sealStorage((node) => trieNodes.push(node))
    const writtenAccounts = sealAccounts()
    const evmRoot = trie.root((hash, bytes) => trieNodes.push({ hash, bytes }))
    roots = { evmRoot: toHex(evmRoot), ledgerRoot: toHex(ledgerRoot) }
    const writes = {
      accounts: writtenAccounts,
      slots: writtenSlots,
      codes: codes.takeNew(),
      trieNodes,
      ledgerRecords,
      ledgerEntries,
    }
    originals.clear()
    forgetIfLarge()
    return { roots, writes }
  }

  function reset(to: StateRoots): void {
    for (const map of [accounts, slots, originals, dirtySlots]) map.clear()
    for (const set of [dirtyAccounts, wiped]) set.clear()
    undo.clear()
    operations.takeOperations()
    codes.takeNew()
    ledger.discard()
    ledgerTree.reset(fromHex(to.ledgerRoot))
    trie = createTrie({ root: fromHex(to.evmRoot), readNode: reader.trieNode })
    storageTries = new Map()
    roots = to
  }

  function createManager(): StateManagerInterface {
    const keyOf = (address: Address) => toKey(address.bytes)
    const manager: StateManagerInterface = {
      getAccount: async (address) => {
        const account = readAccount(keyOf(address))
        return account && copyAccount(account)
      },
      putAccount: async (address, account) => writeAccount(keyOf(address), account),
      deleteAccount: async (address) => {
        wipeStorage(keyOf(address))
        writeAccount(keyOf(address), undefined)
      },
      modifyAccountFields: async (address, fields) => writeAccount(keyOf(address), withFields(readAccount(keyOf(address)), fields)),
      putCode: async (address, code) => writeCode(keyOf(address), code),
      getCode: async (address) => codes.read(readAccount(keyOf(address))?.codeHash ?? KECCAK256_NULL),
      getCodeSize: async (address) => codes.read(readAccount(keyOf(address))?.codeHash ?? KECCAK256_NULL).length,
      getStorage: async (address, slot) => slotOf(keyOf(address), slot).value,
      putStorage: async (address, slot, value) => writeSlot(keyOf(address), slot, value),
      clearStorage: async (address) => wipeStorage(keyOf(address)),
      checkpoint: async () => journal.checkpoint(),
      commit: async () => journal.commit(),
      revert: async () => journal.revert(),
      // runTx asks for a root only for receipts before Byzantium; ours are made when a block is sealed.
      getStateRoot: async () => fromHex(roots.evmRoot),
      setStateRoot: async () => assert(false, 'roots are set through reset'),
      hasStateRoot: async (root) => reader.trieNode(root) !== undefined,
      originalStorageCache: {
        get: async (address, slot) => originals.of(slotOf(keyOf(address), slot)),
        clear: () => originals.clear(),
      },
      clearCaches: () => {},
      shallowCopy: () => manager,
    }
    return manager
  }

  return {
    ledger,
    manager: createManager(),
    storage: createStorageAccess({ readAccount, slotOf, writeSlot, originalOf: originals.of }),
    ...journal,
    ...operations,
    account: (address) => copyAccount(readAccount(hexKey(address)) ?? new Account()),
    putAccount: (address, account) => writeAccount(hexKey(address), account),
    putCode: (address, code) => writeCode(hexKey(address), code),
    code: (address) => codes.read(readAccount(hexKey(address))?.codeHash ?? KECCAK256_NULL),
    putSlot: (address, slot, value) => writeSlot(hexKey(address), fromHex(slot), value),
    slot: (address, slot) => slotOf(hexKey(address), fromHex(slot)).value,
    seal,
    reset,
    roots: () => roots,
  }
}

/** What slots held when the transaction began: as they are when one is first asked for. */
function createOriginals() {
  const values = new Map<Slot, Uint8Array>()
  return {
    of(entry: Slot): Uint8Array {
      const known = values.get(entry)
      if (known !== undefined) return known
      values.set(entry, entry.value)
      return entry.value
    },
    clear: () => values.clear(),
  }
}

type StorageParts = {
  readAccount(key: string): Account | undefined
  slotOf(addressKey: string, slot: Uint8Array): Slot
  originalOf(entry: Slot): Uint8Array
  writeSlot(addressKey: string, slot: Uint8Array, value: Uint8Array): void
}

function createStorageAccess({ readAccount, slotOf, originalOf, writeSlot }: StorageParts): StorageAccess {
  return {
    slot: (address, slot) => slotOf(toKey(address), slot).value,
    originalSlot: (address, slot) => originalOf(slotOf(toKey(address), slot)),
    putSlot: (address, slot, value) => writeSlot(toKey(address), slot, value),
    account(address) {
      const account = readAccount(toKey(address))
      return account && copyAccount(account)
    },
  }
}

/** The map under a key, made now if there was none. */
function childOf<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const child = maps.get(key) ?? new Map<string, V>()
  maps.set(key, child)
  return child
}

type Journal = { checkpoint(): void; commit(): void; revert(): void }

/** What undoes each change since the outermost checkpoint. */
type UndoLog = Journal & { push(back: () => void): void; depth(): number; clear(): void }

function createUndoLog(): UndoLog {
  const backs: (() => void)[] = []
  const marks: number[] = []
  return {
    push(back) {
      if (marks.length > 0) backs.push(back)
    },
    checkpoint() {
      marks.push(backs.length)
    },
    commit() {
      assert(marks.pop() !== undefined, 'commit without checkpoint')
      if (marks.length === 0) backs.length = 0
    },
    revert() {
      const mark = marks.pop()
      assert(mark !== undefined, 'revert without checkpoint')
      while (backs.length > mark) backs.pop()?.()
    },
    depth: () => marks.length,
    clear() {
      backs.length = 0
      marks.length = 0
    },
  }
}

/** Several journals that always move together. */
function joinJournals(journals: readonly Journal[]): Journal {
  return {
    checkpoint() {
      for (const journal of journals) journal.checkpoint()
    },
    commit() {
      for (const journal of journals) journal.commit()
    },
    revert() {
      for (const journal of journals) journal.revert()
    },
  }
}

/** The operations of EVM origin that nobody has taken yet. */
function createOperationLog(undo: UndoLog) {
  let operations: EvmOperation[] = []
  return {
    recordOperation(operation: EvmOperation): void {
      operations.push(operation)
      undo.push(() => operations.pop())
    },
    operations: (): readonly EvmOperation[] => operations,
    takeOperations(): EvmOperation[] {
      assert(undo.depth() === 0, 'operations taken inside a checkpoint')
      const taken = operations
      operations = []
      return taken
    },
  }
}

/** Contract code by its hash. New code stays to be taken even if what made it is undone: it harms nobody, and nothing names it. */
function createCodes(reader: Pick<StateReader, 'code'>) {
  const known = new Map<string, Uint8Array>()
  const fresh = new Map<string, Uint8Array>()
  return {
    read(codeHash: Uint8Array): Uint8Array {
      if (sameBytes(codeHash, KECCAK256_NULL)) return EMPTY_BYTES
      const key = toKey(codeHash)
      const code = known.get(key) ?? reader.code(codeHash)
      assert(code, `code ${toHex(codeHash)} is missing`)
      known.set(key, code)
      return code
    },
    /** Keeps the code and returns its hash. */
    write(code: Uint8Array): Uint8Array {
      if (code.length === 0) return KECCAK256_NULL
      const codeHash = keccak256(code)
      known.set(toKey(codeHash), code)
      fresh.set(toKey(codeHash), code)
      return codeHash
    },
    takeNew(): { hash: Uint8Array; code: Uint8Array }[] {
      const taken = [...fresh].map(([key, code]) => ({ hash: fromKey(key), code }))
      fresh.clear()
      return taken
    },
    forgetIfLarge(): void {
      if (known.size > 4_096) known.clear()
    },
  }
}

/** keccak256 of keys, remembered. */
function createHasher(): (key: string) => Uint8Array {
  const hashes = new Map<string, Uint8Array>()
  return (key) => {
    const known = hashes.get(key)
    if (known) return known
    if (hashes.size > CACHED_ENTRIES_MAX) hashes.clear()
    const hash = keccak256(fromKey(key))
    hashes.set(key, hash)
    return hash
  }
}

/** Reads any committed block's state through its tries: slower than flat records, and never torn by a later block. */
export function readerAtRoots(
  nodes: Pick<StateReader, 'trieNode' | 'ledgerEntry' | 'ledgerRecord' | 'code'>,
  { evmRoot, ledgerRoot }: StateRoots,
): StateReader {
  const trie = createTrie({ root: fromHex(evmRoot), readNode: nodes.trieNode })
  const storageTries = new Map<string, Trie>()
  const account = (address: Uint8Array) => trie.get(keccak256(address))
  return {
    trieNode: nodes.trieNode,
    ledgerEntry: nodes.ledgerEntry,
    code: nodes.code,
    account,
    slot(address, hashedSlot) {
      const key = toKey(address)
      let storage = storageTries.get(key)
      if (!storage) {
        const bytes = account(address)
        if (!bytes) return undefined
        storage = createTrie({ root: createAccountFromRLP(bytes).storageRoot, readNode: nodes.trieNode })
        storageTries.set(key, storage)
      }
      const value = storage.get(hashedSlot)
      return value && (RLP.decode(value) as Uint8Array)
    },
    ledgerRecord: createRootReader(fromHex(ledgerRoot), nodes),
  }
}

function withFields(account: Account | undefined, fields: AccountFields): Account {
  const copy = copyAccount(account ?? new Account())
  if (fields.nonce !== undefined) copy.nonce = fields.nonce
  if (fields.balance !== undefined) copy.balance = fields.balance
  if (fields.storageRoot !== undefined) copy.storageRoot = fields.storageRoot
  if (fields.codeHash !== undefined) copy.codeHash = fields.codeHash
  return copy
}

function copyAccount(account: Account): Account {
  return new Account(account.nonce, account.balance, account.storageRoot, account.codeHash)
}

/** Bytes as a Map key: one character a byte. */
function toKey(bytes: Uint8Array): string {
  let key = ''
  for (let i = 0; i < bytes.length; i++) key += String.fromCharCode(bytes[i] ?? 0)
  return key
}

function fromKey(key: string): Uint8Array {
  const bytes = new Uint8Array(key.length)
  for (let i = 0; i < key.length; i++) bytes[i] = key.charCodeAt(i)
  return bytes
}

function hexKey(hex: Hex): string {
  return toKey(fromHex(hex))
}

function fromNibbles(nibbles: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: nibbles.length / 2 }, (_, i) => ((nibbles[2 * i] ?? 0) << 4) | (nibbles[2 * i + 1] ?? 0))
}

function stripZeros(value: Uint8Array): Uint8Array {
  let at = 0
  while (at < value.length && value[at] === 0) at++
  return value.slice(at)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
