/**
 * A ledger in memory whose records can be looked at, and the sums that must hold over them. The ledger itself is the real one.
 * Spec: docs/spec/ledger.md#value
 */
import type { AbiParameter, Hex } from 'viem'
import { compileFields } from '../../execution/fields.ts'
import { createLedger, type JournaledLedger, type TakenChange } from '../../execution/ledger/ledger.ts'
import {
  accounts,
  countersTable,
  earnings,
  evmExitsTable,
  getAccount,
  getSupply,
  l1Table,
  putAccount,
  putSupply,
  supplyTable,
  TABLES,
  uploads,
  workers,
} from '../../execution/ledger/tables.ts'
import { UPLOAD_STATUS } from '../../execution/native/datanetUpload.ts'
import { FIRST_FORK } from '../../genesis/forks.ts'
import type { ChainParams } from '../../genesis/params.ts'

/** Parameters of a network for tests: round numbers, times short. */
export const TEST_PARAMS: ChainParams = {
  chainId: 7_777,
  blockGasLimit: 60_000_000n,
  blockBytesMax: 500_000,
  initialBaseFeeWei: 1_000_000_000n,
  minBaseFeeWei: 1_000_000n,
  l1BaseFeeScalar: 0n,
  l1BlobBaseFeeScalar: 0n,
  minBlockIntervalMs: 250,
  maxBlockIntervalMs: 2_000,
  epochSec: 3_600,
  vestingSec: 7_200,
  prepaidDelaySec: 600,
  unbondingSec: 10_800,
  reviewDelaySec: 3_000,
  workerStakeMinWei: 1_000n,
  protocolBps: 500,
  disputeBondWei: 100n,
  slashEquivocationBps: 10_000,
  slashBadLeafBps: 1_000,
  slashWrongSumBps: 1_000,
  slashAttributionBps: 500,
  challengerBps: 5_000,
  evmExitWeiPerHour: 10n ** 24n,
  originLagBlocks: 0,
  epochBlocks: 0,
  forks: FIRST_FORK,
}

export type LedgerRecord = { readonly table: number; readonly id: Uint8Array; readonly record: Uint8Array }

export type MemoryLedger = JournaledLedger & {
  /** Every record, changes that were not taken included. Only outside of a checkpoint. */
  records(): LedgerRecord[]
}

/** An empty ledger in memory. */
export function createMemoryLedger(): MemoryLedger {
  const committed = new Map<string, LedgerRecord>()
  const ledger = createLedger((table, id) => committed.get(keyOf(table, id))?.record)

  function takeChanges(): TakenChange[] {
    const changes = ledger.takeChanges()
    for (const { table, id, record } of changes) {
      if (record) committed.set(keyOf(table, id), { table, id, record })
      else committed.delete(keyOf(table, id))
    }
    return changes
  }

  return {
    ...ledger,
    takeChanges,
    records() {
      takeChanges()
      return [...committed.values()]
    },
  }
}

function keyOf(table: number, id: Uint8Array): string {
  return `${table}:${id.join()}`
}

/** Gives an account value that counts as deposited, as genesis does. */
export function deposit(
  ledger: JournaledLedger,
  account: Hex,
  { balance = 0n, prepaid = 0n }: { balance?: bigint; prepaid?: bigint },
): void {
  const supply = getSupply(ledger)
  const known = getAccount(ledger, account)
  putSupply(ledger, { ...supply, deposited: supply.deposited + balance + prepaid })
  putAccount(ledger, account, { ...known, balance: known.balance + balance, prepaid: known.prepaid + prepaid })
}

/** Puts value on the EVM's side, which counts as deposited. */
export function depositToEvm(ledger: JournaledLedger, amountWei: bigint): void {
  const supply = getSupply(ledger)
  putSupply(ledger, { ...supply, deposited: supply.deposited + amountWei, evmSupply: supply.evmSupply + amountWei })
}

/**
 * Where all value is, added up: balances, prepaid balances, stakes, unbonding stakes, bonds of pending uploads, earnings, evmSupply, withdrawn.
 * It has to be the supply's `deposited` after every block. In wei.
 */
export function ledgerValueWei(records: Iterable<LedgerRecord>): bigint {
  let sum = 0n
  for (const { table, id, record } of records) sum += recordValueWei(table, id, record)
  return sum
}

function recordValueWei(table: number, id: Uint8Array, record: Uint8Array): bigint {
  if (table === accounts.number) {
    const { balance, prepaid } = accounts.decode(record)
    return balance + prepaid
  }
  if (table === workers.number) {
    const { stake, unbonding } = workers.decode(record)
    return stake + unbonding
  }
  if (table === uploads.number) {
    const { status, bond } = uploads.decode(record)
    return status === UPLOAD_STATUS.pending ? bond : 0n
  }
  if (table === earnings.number) return earnings.decode(record).amounts.reduce((sum, amount) => sum + amount, 0n)
  if (table === supplyTable.number && id[0] === SYSTEM_ITEM.supply) {
    const { evmSupply, withdrawn } = supplyTable.decode(record)
    return evmSupply + withdrawn
  }
  return 0n
}

const SYSTEM_ITEM = { supply: 1, counters: 2, l1: 3, evmExits: 4 }
const SYSTEM_TABLES = {
  [SYSTEM_ITEM.supply]: supplyTable,
  [SYSTEM_ITEM.counters]: countersTable,
  [SYSTEM_ITEM.l1]: l1Table,
  [SYSTEM_ITEM.evmExits]: evmExitsTable,
}

/** Changes as a person reads them: `{ 'uploads 1/0': { … } }`; undefined: deleted. */
export function readChanges(
  changes: readonly { table: number; id: Uint8Array; record: Uint8Array | undefined }[],
): Record<string, unknown> {
  return Object.fromEntries(changes.map(({ table, id, record }) => [nameOf(table, id), record && tableOf(table, id)?.decode(record)]))
}

function nameOf(table: number, id: Uint8Array): string {
  const known = tableOf(table, id)
  if (table === 0 || !known) return known?.name ?? `table ${table}`
  const parameters: readonly AbiParameter[] = known.id
  return `${known.name} ${Object.values(compileFields(parameters).unpack(id) ?? {}).join('/')}`
}

function tableOf(table: number, id: Uint8Array) {
  return table === 0 ? SYSTEM_TABLES[id[0] ?? 0] : Object.values(TABLES).find(({ number }) => number === table)
}
