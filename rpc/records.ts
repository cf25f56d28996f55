/** Records of the ledger as the `tributary_` methods answer them: an id's fields and the record's own; what is not there is null. */
import type { Hex } from 'viem'
import * as tables from '../execution/ledger/tables.ts'
import type { StateAt } from './chain.ts'
import { fieldsToJson, type Json } from './quantity.ts'

/** A record by its id. */
export function readRecord<Id, R>(
  state: StateAt,
  table: Pick<tables.Table<Id, R>, 'number' | 'encodeId' | 'decode'>,
  id: Id,
): R | undefined {
  const bytes = state.ledgerRecord(table.number, table.encodeId(id))
  return bytes && table.decode(bytes)
}

type Described<Id, R> = Pick<tables.Table<Id, R>, 'number' | 'encodeId' | 'decode' | 'id' | 'record'>

/** A record as JSON. */
export function recordToJson<Id extends object, R extends object>(state: StateAt, table: Described<Id, R>, id: Id): Json {
  const record = readRecord(state, table, id)
  return record ? { ...fieldsToJson(table.id, id), ...fieldsToJson(table.record, record) } : null
}

/** Records from one number up to and with another, as many as are wanted; the numbers have no gaps. */
export function recordsToJson(
  { from, to, limit }: { readonly from: number; readonly to: number; readonly limit: number },
  read: (n: number) => Json,
): Json[] {
  const length = Math.max(0, Math.min(limit, to - from + 1))
  return Array.from({ length }, (_, i) => read(from + i)).filter((json) => json !== null)
}

/** An account, or what one looks like that was never used. */
export function accountOf(state: StateAt, account: Hex): tables.Account {
  return readRecord(state, tables.accounts, { account }) ?? { index: 0, balance: 0n, prepaid: 0n, unlockAt: 0n, nonce: 0n }
}
