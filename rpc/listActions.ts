/** viem actions for the lists of the `tributary_` namespace, and for what belongs to them. Runs in browsers. Spec: docs/spec/rpc.md#lists */
import type { Address, Hex } from 'viem'
import * as tables from '../execution/ledger/tables.ts'
import { fieldsFromJson } from './quantity.ts'

/** Asks a node. */
export type Ask = <T>(method: string, params: readonly unknown[]) => Promise<T>

/** Which page of a list. `cursor`: as the last page said it; left out: the first. The node gives 100 items at most. */
export type ListPage = { readonly cursor?: Hex | undefined; readonly limit?: number | undefined }

/** A page. With its cursor the list goes on; undefined: it ends there, for now. A page may be empty and have a cursor. */
export type Listed<T> = { readonly items: readonly T[]; readonly cursor: Hex | undefined }

/** Where it was written. */
export type Written = { readonly blockNumber: bigint; readonly blockHash: Hex; readonly transactionHash: Hex; readonly logIndex: number }

type RecordOf<T> = T extends tables.Table<infer Id, infer R> ? Id & R : never

/** A credit as its event tells it. Amounts in wei. */
export type ListedCredit = Written & {
  readonly worker: Address
  readonly modelId: Hex
  readonly creditIndex: number
  readonly firstSeq: bigint
  readonly count: number
  readonly fee: bigint
  readonly toContributors: bigint
  readonly receiptsRoot: Hex
}

/** A dispute as its event tells it. Amounts in wei; `reason`: a code in ASCII. */
export type ListedDispute = Written & {
  readonly worker: Address
  readonly creditIndex: number
  readonly challenger: Address
  readonly kind: number
  readonly upheld: number
  readonly reason: Hex
  readonly slashed: bigint
  readonly reward: bigint
}

/** An account's part in a datanet: accepted uploads that it shares in, and its records in them, in 10,000ths. */
export type Contributor = { readonly account: Address; readonly index: number; readonly uploads: number; readonly recordsBps: bigint }

/** Whom a credit paid, and how much, in wei. */
export type CreditEntry = { readonly account: Address; readonly index: number; readonly amount: bigint }

/** A validator of an epoch: its key is uncompressed, x ‖ y. */
export type ListedValidator = {
  readonly validator: Address
  readonly feeRecipient: Address
  readonly weight: bigint
  readonly blsPublicKey: Hex
}

/** The actions, over what asks the node. */
export function listActions(ask: Ask) {
  type Answer = { readonly items: readonly Json[]; readonly cursor: Hex | null }
  const page = async <T>(
    method: string,
    { cursor, limit }: ListPage,
    of: readonly unknown[],
    read: (json: Json) => T,
  ): Promise<Listed<T>> => {
    const answer = await ask<Answer>(method, [cursor ?? null, limit ?? null, ...of])
    return { items: answer.items.map(read), cursor: answer.cursor ?? undefined }
  }
  return {
    /** Models as they were registered. */
    listModels: ({ owner, ...at }: ListPage & { readonly owner?: Address | undefined } = {}) =>
      page('tributary_listModels', at, [owner ?? null], (json) => ({ ...writtenOf(json), ...recordOf(tables.models, json) })),
    /** Workers as they registered first. */
    listWorkers: (at: ListPage = {}) =>
      page('tributary_listWorkers', at, [], (json) => ({ ...writtenOf(json), ...recordOf(tables.workers, json) })),
    listCredits: ({
      worker,
      modelId,
      ...at
    }: ListPage & { readonly worker?: Address | undefined; readonly modelId?: Hex | undefined } = {}) =>
      page('tributary_listCredits', at, [worker ?? null, modelId ?? null], toCredit),
    listDisputes: ({
      worker,
      challenger,
      ...at
    }: ListPage & { readonly worker?: Address | undefined; readonly challenger?: Address | undefined } = {}) =>
      page('tributary_listDisputes', at, [worker ?? null, challenger ?? null], toDispute),
    /** Sums over up to 1,024 uploads from `from` on; `next`: where the rest begins. */
    getContributors: async ({ datanetId, from = 0 }: { readonly datanetId: number; readonly from?: number | undefined }) => {
      const { items, next } = await ask<{ items: (Omit<Contributor, 'recordsBps'> & { recordsBps: Hex })[]; next: number | null }>(
        'tributary_getContributors',
        [datanetId, from],
      )
      const read = ({ recordsBps, ...item }: (typeof items)[number]): Contributor => ({ ...item, recordsBps: BigInt(recordsBps) })
      return { items: items.map(read), next: next ?? undefined }
    },
    /** Addresses of ledger accounts by index; undefined where none was given out. */
    getAccountsByIndex: async ({ indices }: { readonly indices: readonly number[] }): Promise<(Address | undefined)[]> =>
      (await ask<(Address | null)[]>('tributary_getAccounts', [indices])).map((account) => account ?? undefined),
    getCreditEntries: async ({ worker, creditIndex }: { readonly worker: Address; readonly creditIndex: number }) => {
      const json = await ask<Json>('tributary_getCreditEntries', [worker, creditIndex])
      const entries = json['entries'] as readonly (Omit<CreditEntry, 'amount'> & { readonly amount: Hex })[]
      return { ...writtenOf(json), entries: entries.map((entry): CreditEntry => ({ ...entry, amount: BigInt(entry.amount) })) }
    },
    /** Epochs in which an account earned what it has not claimed. */
    listEarnings: async ({ account, from, limit }: { readonly account: Address; readonly from?: number; readonly limit?: number }) => {
      type Item = { readonly epoch: number; readonly amount: Hex; readonly claimableAtSec: number }
      const { items, next } = await ask<{ items: Item[]; next: number | null }>('tributary_listEarnings', [
        account,
        from ?? null,
        limit ?? null,
      ])
      return { items: items.map((item) => ({ ...item, amount: BigInt(item.amount) })), next: next ?? undefined }
    },
    getValidators: async ({ epoch }: { readonly epoch?: number | undefined } = {}) => {
      type Answer = { epoch: number; setHash: Hex; validators: (Omit<ListedValidator, 'weight'> & { weight: Hex })[] }
      const { validators, ...rest } = await ask<Answer>('tributary_getValidators', [epoch ?? null])
      return { ...rest, validators: validators.map((one): ListedValidator => ({ ...one, weight: BigInt(one.weight) })) }
    },
  }
}

type Json = Readonly<Record<string, unknown>>

function writtenOf(json: Json): Written {
  const { blockNumber, blockHash, transactionHash, logIndex } = json as Record<string, Hex>
  return {
    blockNumber: BigInt(blockNumber ?? 0),
    blockHash: blockHash ?? '0x',
    transactionHash: transactionHash ?? '0x',
    logIndex: Number(logIndex),
  }
}

function recordOf<Id, R>(table: tables.Table<Id, R>, json: Json): RecordOf<tables.Table<Id, R>> {
  return { ...fieldsFromJson(table.id, json, ''), ...fieldsFromJson(table.record, json, '') } as RecordOf<tables.Table<Id, R>>
}

function toCredit(json: Json): ListedCredit {
  const { firstSeq, fee, toContributors } = json as Record<string, Hex>
  const amounts = { firstSeq: BigInt(firstSeq ?? 0), fee: BigInt(fee ?? 0), toContributors: BigInt(toContributors ?? 0) }
  return { ...(json as unknown as ListedCredit), ...writtenOf(json), ...amounts }
}

function toDispute(json: Json): ListedDispute {
  const { slashed, reward } = json as Record<string, Hex>
  return { ...(json as unknown as ListedDispute), ...writtenOf(json), slashed: BigInt(slashed ?? 0), reward: BigInt(reward ?? 0) }
}
