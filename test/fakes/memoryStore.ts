/** Committed state in memory: the port that node/store.ts answers from disk. */
import { bytesToHex } from 'viem'
import type { StateReader, StateWrites } from '../../execution/state.ts'

export type MemoryStore = {
  readonly reader: StateReader
  write(writes: StateWrites): void
  /** RLP of every EVM account, by address. */
  readonly accounts: ReadonlyMap<string, Uint8Array>
  readonly records: ReadonlyMap<string, { readonly table: number; readonly id: Uint8Array; readonly record: Uint8Array }>
}

export function createMemoryStore(): MemoryStore {
  const accounts = new Map<string, Uint8Array>()
  const slots = new Map<string, Uint8Array>()
  const codes = new Map<string, Uint8Array>()
  const nodes = new Map<string, Uint8Array>()
  const entries = new Map<string, Uint8Array>()
  const records = new Map<string, { table: number; id: Uint8Array; record: Uint8Array }>()
  const slotKey = (address: Uint8Array, hashedSlot: Uint8Array) => bytesToHex(address) + bytesToHex(hashedSlot)
  function put<V>(map: Map<string, V>, key: string, value: V | undefined): void {
    if (value === undefined) map.delete(key)
    else map.set(key, value)
  }
  return {
    accounts,
    records,
    reader: {
      account: (address) => accounts.get(bytesToHex(address)),
      slot: (address, hashedSlot) => slots.get(slotKey(address, hashedSlot)),
      code: (hash) => codes.get(bytesToHex(hash)),
      trieNode: (hash) => nodes.get(bytesToHex(hash)),
      ledgerRecord: (table, id) => records.get(`${table}:${bytesToHex(id)}`)?.record,
      ledgerEntry: (key) => entries.get(bytesToHex(key)),
    },
    write(writes) {
      for (const { address, value } of writes.accounts) put(accounts, bytesToHex(address), value)
      for (const { address, hashedSlot, value } of writes.slots) put(slots, slotKey(address, hashedSlot), value)
      for (const { hash, code } of writes.codes) codes.set(bytesToHex(hash), code)
      for (const { hash, bytes } of writes.trieNodes) nodes.set(bytesToHex(hash), bytes)
      for (const { key, bytes } of writes.ledgerEntries) entries.set(bytesToHex(key), bytes)
      for (const { table, id, record } of writes.ledgerRecords) put(records, `${table}:${bytesToHex(id)}`, record && { table, id, record })
    },
  }
}
