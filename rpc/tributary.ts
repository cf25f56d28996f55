/**
 * The `tributary_` namespace: the ledger's records with their proofs, where the chain stands, and what native transactions cost.
 * A record is its id and its fields by name, in the form of rpc/quantity.ts; one that is not there is null. Spec: docs/spec/rpc.md#tributary
 */
import { bytesToHex, hexToBytes } from 'viem'
import { assert } from '../execution/assert.ts'
import { nativeFeeOf, totalWei } from '../execution/laneRules.ts'
import { getEarned } from '../execution/ledger/earnings.ts'
import { maturityBy } from '../execution/ledger/maturity.ts'
import * as tables from '../execution/ledger/tables.ts'
import { decodeNative, encodeNative, NATIVE_TYPES, nativeGas } from '../execution/native/native.ts'
import type { FieldValues, NativeType } from '../execution/native/nativeType.ts'
import { splitSignature } from '../execution/recover.ts'
import { forksToJson } from '../genesis/forks.ts'
import { type ChainParams, LIMIT } from '../genesis/params.ts'
import type { Chain, StateAt } from './chain.ts'
import { nextFees, paramsAfter } from './fees.ts'
import type { RpcLimits } from './limits.ts'
import { listMethods } from './listMethods.ts'
import { heightOf, type MethodTable, method, stateAt } from './method.ts'
import * as params from './params.ts'
import { BadValue, factsToJson, fieldsFromJson, fieldsToJson, type Json, quantity } from './quantity.ts'
import { accountOf, readRecord, recordsToJson, recordToJson } from './records.ts'
import { rejectionError } from './rpcError.ts'

/** Every `tributary_` method, under these limits. */
export function tributaryMethods(limits: RpcLimits): MethodTable {
  return {
    ...recordMethods(limits),
    ...listMethods(limits),
    ...accountMethods(),
    ...proofMethods(),
    ...statusMethods(),
    ...nativeMethods(),
  }
}

/** A table with the types of its ids and records forgotten. */
type AnyTable = Pick<tables.Table<never, object>, 'number' | 'name' | 'id' | 'record' | 'decode'> & {
  encodeId(id: FieldValues): Uint8Array
}

/** Everything that can be asked for by name: the tables, and the system's single records under their own names. */
const TABLES: ReadonlyMap<string, AnyTable> = new Map(
  [
    ...Object.values(tables.TABLES),
    tables.supplyTable,
    tables.countersTable,
    tables.l1Table,
    tables.evmExitsTable,
    tables.paramsTable,
    tables.validatorsTable,
  ].map((table) => [table.name, table as unknown as AnyTable]),
)

/** Ids of the system's single records in their table. */
const SYSTEM_ITEMS: Readonly<Record<string, number>> = { supply: 1, counters: 2, l1: 3, evmExits: 4, params: 1, validators: 1 }

function recordMethods(limits: RpcLimits): MethodTable {
  const block = params.block('block')
  const from = params.optional(params.count('from'))
  const limit = params.optional(params.count('limit', limits.records))
  const datanetId = params.count('datanetId')
  const uploadIndex = params.count('uploadIndex')
  const worker = params.address('worker')
  return {
    tributary_getDatanet: method('A datanet, or null.', [datanetId, block], ({ chain }, id, ref) =>
      recordToJson(stateAt(chain, ref), tables.datanets, { datanetId: id }),
    ),
    tributary_getDatanets: method('Datanets from an id on (ids count from 1).', [from, limit, block], ({ chain }, first, most, ref) => {
      const state = stateAt(chain, ref)
      const { datanets } = counters(state)
      return recordsToJson({ from: Math.max(1, first ?? 1), to: datanets, limit: most ?? limits.records }, (id) =>
        recordToJson(state, tables.datanets, { datanetId: id }),
      )
    }),
    tributary_getUpload: method('An upload, or null.', [datanetId, uploadIndex, block], ({ chain }, id, index, ref) =>
      recordToJson(stateAt(chain, ref), tables.uploads, { datanetId: id, uploadIndex: index }),
    ),
    tributary_getUploads: method(
      'Uploads of a datanet from an index on.',
      [datanetId, from, limit, block],
      ({ chain }, id, first, most, ref) => {
        const state = stateAt(chain, ref)
        const uploads = readRecord(state, tables.datanets, { datanetId: id })?.uploads ?? 0
        return recordsToJson({ from: first ?? 0, to: uploads - 1, limit: most ?? limits.records }, (index) =>
          recordToJson(state, tables.uploads, { datanetId: id, uploadIndex: index }),
        )
      },
    ),
    tributary_getReview: method('The latest review of an upload, or null.', [datanetId, uploadIndex, block], ({ chain }, id, index, ref) =>
      recordToJson(stateAt(chain, ref), tables.reviews, { datanetId: id, uploadIndex: index }),
    ),
    tributary_getModel: method('A model, or null.', [params.hash('modelId'), block], ({ chain }, modelId, ref) =>
      recordToJson(stateAt(chain, ref), tables.models, { modelId }),
    ),
    tributary_getWorker: method('A worker, or null.', [worker, block], ({ chain }, address, ref) =>
      recordToJson(stateAt(chain, ref), tables.workers, { worker: address }),
    ),
    tributary_getCredit: method(
      'A credit of a worker, or null.',
      [worker, params.count('creditIndex'), block],
      ({ chain }, address, creditIndex, ref) => recordToJson(stateAt(chain, ref), tables.credits, { worker: address, creditIndex }),
    ),
    tributary_getCredits: method(
      'Credits of a worker from an index on.',
      [worker, from, limit, block],
      ({ chain }, address, first, most, ref) => {
        const state = stateAt(chain, ref)
        const credits = readRecord(state, tables.workers, { worker: address })?.credits ?? 0
        return recordsToJson({ from: first ?? 0, to: credits - 1, limit: most ?? limits.records }, (creditIndex) =>
          recordToJson(state, tables.credits, { worker: address, creditIndex }),
        )
      },
    ),
    tributary_getWithdrawal: method(
      'A withdrawal to L1, or null.',
      [params.uint('withdrawalIndex', 64), block],
      ({ chain }, withdrawalIndex, ref) => recordToJson(stateAt(chain, ref), tables.withdrawals, { withdrawalIndex }),
    ),
  }
}

function accountMethods(): MethodTable {
  const account = params.address('account')
  const block = params.block('block')
  const epochs = params.list(params.count('epoch'), 'epochs', LIMIT.epochsPerClaim)
  return {
    tributary_getLedgerAccount: method(
      'A ledger account; one that was never used has index 0.',
      [account, block],
      ({ chain }, address, ref) => ({
        account: address,
        ...fieldsToJson(tables.accounts.record, accountOf(stateAt(chain, ref), address)),
      }),
    ),
    tributary_getLedgerNonce: method(
      'Next nonce of a ledger account; `pending` counts what waits in the pool.',
      [account, block],
      ({ chain }, address, ref) => {
        if (ref?.kind === 'tag' && ref.tag === 'pending') return quantity(chain.pendingLedgerNonce(address))
        return quantity(accountOf(stateAt(chain, ref), address).nonce)
      },
    ),
    tributary_getEarnings: method(
      'What an account earned in each of these epochs, and when it may be claimed.',
      [account, epochs, block],
      ({ chain }, address, wanted, ref) => {
        const state = stateAt(chain, ref)
        const { index } = accountOf(state, address)
        const ruling = paramsAfter(chain, heightOf(chain, ref))
        return wanted.map((epoch) => {
          const amount = index === 0 ? 0n : getEarned({ get: state.ledgerRecord }, { account: index, epoch })
          const fixed = readRecord(state, tables.maturities, { epoch })?.atSec
          return { epoch, amount: quantity(amount), claimableAtSec: Number(fixed ?? maturityBy(epoch, ruling)) }
        })
      },
    ),
    tributary_getDraw: method(
      'What a worker has drawn from a client so far.',
      [params.address('client'), params.address('worker'), block],
      ({ chain }, client, worker, ref) => {
        const drawn = readRecord(stateAt(chain, ref), tables.draws, { client, worker })?.drawn ?? 0n
        return { client, worker, drawn: quantity(drawn) }
      },
    ),
  }
}

function proofMethods(): MethodTable {
  const table = params.text('table', 32)
  const id = params.optional(params.anything('id'))
  const block = params.block('block')
  return {
    tributary_getRecord: method(
      'A record of any table, or null. The id is an object of its fields.',
      [table, id, block],
      ({ chain }, name, wanted, ref) => {
        const { found, fields } = locate(name, wanted)
        return recordToJson(stateAt(chain, ref), found, fields)
      },
    ),
    tributary_getLedgerProof: method(
      'A record with its proof against the ledger root, or the proof that it is not there.',
      [table, id, block],
      ({ chain }, name, wanted, ref) => {
        const { found, fields } = locate(name, wanted)
        const state = stateAt(chain, ref)
        const packed = found.encodeId(fields)
        const { key, record, other, siblings } = state.ledgerProof(found.number, packed)
        return {
          table: found.name,
          tableNumber: found.number,
          id: bytesToHex(packed),
          blockNumber: quantity(heightOf(chain, ref)),
          ledgerRoot: state.ledgerRoot(),
          key,
          record: record ?? null,
          value: record === undefined ? null : fieldsToJson(found.record, found.decode(hexToBytes(record))),
          other: other ?? null,
          siblings,
        }
      },
    ),
    tributary_getSupply: method('Where all value is.', [block], ({ chain }, ref) => systemToJson(stateAt(chain, ref), 'supply')),
    tributary_getCounters: method(
      'How many accounts, datanets, models, workers, withdrawals and credits there are.',
      [block],
      ({ chain }, ref) => systemToJson(stateAt(chain, ref), 'counters'),
    ),
    tributary_getL1Info: method('What the chain last heard of L1.', [block], ({ chain }, ref) => systemToJson(stateAt(chain, ref), 'l1')),
  }
}

function statusMethods(): MethodTable {
  return {
    tributary_params: method('The parameters that rule the next block, and the genesis hash.', [], ({ chain }) => ({
      ...paramsToJson(paramsAfter(chain, chain.heads().latest)),
      genesisHash: chain.genesisHash,
    })),
    tributary_l1Contracts: method("Where the network's contracts are on L1.", [], ({ chain }) => chain.l1),
    tributary_syncStatus: method('Heads, L1 origin, batches and checkpoints.', [], ({ chain }) => {
      const { heads, highestBlock, l1Head, l1Url, l1Origin, batches, checkpoints, validators, peers } = chain.syncStatus()
      return {
        heads: factsToJson(heads),
        highestBlock: quantity(highestBlock ?? heads.latest),
        l1Head: l1Head ? factsToJson(l1Head) : null,
        l1Url: l1Url ?? null,
        l1Origin: factsToJson(l1Origin),
        batches: factsToJson(batches),
        checkpoints,
        validators,
        peers: peers ?? 0,
      }
    }),
  }
}

/** Forks by name, with the first second of each. */
function paramsToJson({ forks, ...params }: ChainParams): Record<string, Json> {
  return { ...factsToJson(params), forks: forksToJson(forks) }
}

function nativeMethods(): MethodTable {
  return {
    tributary_estimateFee: method(
      'Gas and fee of a native transaction, from its bytes or from `{ type, fields }`. `maxFee` is twice the fee, so that it holds if prices rise.',
      [params.anything('transaction')],
      ({ chain }, json) => {
        const { type, fields } = typeof json === 'string' ? nativeFromBytes(json) : nativeFromJson(json)
        const refused = type.check(fields, chain.params.chainId)
        if (refused) throw rejectionError(refused)
        const gas = nativeGas({ type, fields })
        const fees = nextFees(chain)
        const parts = nativeFeeOf({ native: { type, fields }, gas }, fees)
        const fee = totalWei(parts)
        return {
          gas: quantity(gas),
          baseFeePerGas: quantity(fees.baseFeePerGas),
          l1Fee: quantity(parts.data?.feeWei ?? 0n),
          fee: quantity(fee),
          maxFee: quantity(2n * fee),
        }
      },
    ),
    tributary_sendTypedTransaction: method(
      'Takes a native transaction as `{ type, nonce, maxFee, fields, signature }`, signed as typed data; answers its hash.',
      [params.anything('transaction')],
      async ({ chain }, json) => {
        const answer = await chain.submit(signedFromJson(chain, json))
        if (!answer.ok) throw rejectionError(answer)
        return answer.hash
      },
    ),
  }
}

function nativeFromBytes(json: string): { readonly type: NativeType; readonly fields: FieldValues } {
  const native = decodeNative(hexToBytes(params.data('transaction').decode(json, 'transaction')))
  if (!native) throw new BadValue('transaction', 'not the bytes of a native transaction')
  return native
}

function nativeFromJson(json: unknown): { readonly type: NativeType; readonly fields: FieldValues } {
  const { type: name, fields } = membersOf(json, 'transaction')
  const type = NATIVE_TYPES.find((one) => one.name === name || quantity(one.byte) === name)
  if (!type) throw new BadValue('transaction.type', `expected one of ${NATIVE_TYPES.map((one) => one.name).join(', ')}`)
  return { type, fields: fieldsFromJson(type.fields.parameters, fields, 'transaction.fields') }
}

function signedFromJson(chain: Chain, json: unknown): Uint8Array {
  const { type, fields } = nativeFromJson(json)
  const { nonce, maxFee, signature } = membersOf(json, 'transaction')
  const split = splitSignature(hexToBytes(params.data('signature').decode(signature, 'transaction.signature')))
  if (!split) throw new BadValue('transaction.signature', 'expected 65 bytes r, s, v')
  return encodeNative({
    type,
    chainId: chain.params.chainId,
    nonce: params.uint('nonce', 64).decode(nonce, 'transaction.nonce'),
    maxFeeWei: params.uint('maxFee', 96).decode(maxFee, 'transaction.maxFee'),
    fields,
    signature: split,
  })
}

function membersOf(json: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new BadValue(path, 'expected an object')
  return json as Readonly<Record<string, unknown>>
}

/** A table by its name, and an id in it: an object of the id's fields; the system's single records need none. */
function locate(name: string, id: unknown): { readonly found: AnyTable; readonly fields: FieldValues } {
  const found = TABLES.get(name)
  if (!found) throw new BadValue('table', `expected one of ${[...TABLES.keys()].join(', ')}`)
  const item = SYSTEM_ITEMS[name]
  return { found, fields: item === undefined ? fieldsFromJson(found.id, id, 'id') : { item } }
}

function systemToJson(state: StateAt, name: 'supply' | 'counters' | 'l1'): Json {
  const table = TABLES.get(name)
  assert(table, 'the system has its records')
  const bytes = state.ledgerRecord(table.number, table.encodeId({ item: SYSTEM_ITEMS[name] }))
  return bytes ? fieldsToJson(table.record, table.decode(bytes)) : null
}

function counters(state: StateAt): tables.Counters {
  return (
    readRecord(state, tables.countersTable, { item: 2 }) ?? {
      accounts: 0,
      datanets: 0,
      models: 0,
      workers: 0,
      withdrawals: 0n,
      credits: 0n,
    }
  )
}
