/**
 * `tributary_list…` and what belongs to it: models, workers, credits and disputes in the order in which they came, who contributed to a datanet, what an
 * account earned, whose entries a credit has, of what a model is made, and who validates. Pages: rpc/listings.ts. Spec: docs/spec/rpc.md#lists
 */
import { concatHex, type Hex } from 'viem'
import { epochOf } from '../execution/epoch.ts'
import { getEarned } from '../execution/ledger/earnings.ts'
import { maturityBy } from '../execution/ledger/maturity.ts'
import * as tables from '../execution/ledger/tables.ts'
import { hashOfSet, setOfEpoch } from '../execution/ledger/validators.ts'
import { attributionCredit, findRetired } from '../execution/native/attributionCredit.ts'
import { UPLOAD_STATUS } from '../execution/native/datanetUpload.ts'
import type { Chain, StateAt } from './chain.ts'
import { paramsAfter } from './fees.ts'
import type { RpcLimits } from './limits.ts'
import { cursorOf, type Found, LISTINGS, type Listing, pageOf, placeToJson } from './listings.ts'
import { heightOf, latestBlock, type MethodTable, method, stateAt } from './method.ts'
import * as params from './params.ts'
import { factsToJson, type Json, quantity } from './quantity.ts'
import { accountOf, readRecord, recordToJson } from './records.ts'
import { notFound } from './rpcError.ts'

/** Uploads that one page of contributors sums up, and epochs that one page of earnings looks at. */
const UPLOADS_A_PAGE = 1_024
const EPOCHS_A_PAGE = 4_096
/** Accounts that may be asked for by index at once. */
const ACCOUNTS_MAX = 1_024

/** The methods, under these limits. */
export function listMethods(limits: RpcLimits): MethodTable {
  return { ...eventLists(limits), ...contributionMethods(), ...modelMethods(), ...epochMethods(limits) }
}

function eventLists(limits: RpcLimits): MethodTable {
  const cursor = params.optional(params.cursor('cursor'))
  const limit = params.optional(params.count('limit', limits.records))
  const maybeAddress = (name: string) => params.optional(params.address(name))
  const page = (
    chain: Chain,
    list: Listing,
    at: { cursor: Hex | undefined; limit: number | undefined },
    itemOf: (found: Found) => Json | undefined,
  ) => pageOf(chain, list, { cursor: at.cursor === undefined ? undefined : cursorOf(at.cursor), limit: at.limit ?? limits.records }, itemOf)
  return {
    tributary_listModels: method(
      'Models, of an owner or all of them, as they were registered.',
      [cursor, limit, maybeAddress('owner')],
      ({ chain }, from, most, owner) => {
        const state = latestState(chain)
        return page(chain, LISTINGS.models(owner), { cursor: from, limit: most }, (found) => {
          const [, modelId = '0x'] = found.log.topics
          return { ...placeToJson(found), ...membersOf(recordToJson(state, tables.models, { modelId })) }
        })
      },
    ),
    tributary_listWorkers: method('Workers, as they registered first.', [cursor, limit], ({ chain }, from, most) => {
      const state = latestState(chain)
      return page(chain, LISTINGS.workers(), { cursor: from, limit: most }, (found) => {
        const { worker } = found.args
        if (!isFirstOf(chain, worker as Hex, found)) return undefined
        return { ...placeToJson(found), ...membersOf(recordToJson(state, tables.workers, { worker: worker as Hex })) }
      })
    }),
    tributary_listCredits: method(
      'Credits, of a worker, for a model or all of them, as they came.',
      [cursor, limit, maybeAddress('worker'), params.optional(params.hash('modelId'))],
      ({ chain }, from, most, worker, modelId) =>
        page(chain, LISTINGS.credits(worker, modelId), { cursor: from, limit: most }, (found) => ({
          ...placeToJson(found),
          ...found.args,
        })),
    ),
    tributary_listDisputes: method(
      'Disputes, against a worker, by a challenger or all of them, as they came, with what became of each.',
      [cursor, limit, maybeAddress('worker'), maybeAddress('challenger')],
      ({ chain }, from, most, worker, challenger) =>
        page(chain, LISTINGS.disputes(worker, challenger), { cursor: from, limit: most }, (found) => ({
          ...placeToJson(found),
          ...found.args,
        })),
    ),
  }
}

function contributionMethods(): MethodTable {
  return {
    tributary_getContributors: method(
      'Who contributed to a datanet: accounts over up to 1,024 of its uploads, with the records of each that were accepted, in units of a 10,000th.',
      [params.count('datanetId'), params.optional(params.count('from')), params.block('block')],
      ({ chain }, datanetId, from = 0, ref) => {
        const state = stateAt(chain, ref)
        const { uploads = 0 } = readRecord(state, tables.datanets, { datanetId }) ?? {}
        const end = Math.min(uploads, from + UPLOADS_A_PAGE)
        const sums = new Map<number, { uploads: number; recordsBps: bigint }>()
        for (let uploadIndex = from; uploadIndex < end; uploadIndex++)
          addUpload(sums, readRecord(state, tables.uploads, { datanetId, uploadIndex }))
        const items = [...sums].map(([index, sum]) => ({ account: chain.accountAt(index) ?? null, index, ...factsToJson(sum) }))
        return { items, next: end < uploads ? end : null }
      },
    ),
    tributary_getAccounts: method(
      'Addresses of ledger accounts by their indices, which is how records and credits name them; null where none was given out.',
      [params.list(params.count('index'), 'indices', ACCOUNTS_MAX)],
      ({ chain }, indices) => indices.map((index) => chain.accountAt(index) ?? null),
    ),
    tributary_getCreditEntries: method(
      'Whom a credit paid, and from whom it drew: as its transaction says it.',
      [params.address('worker'), params.count('creditIndex')],
      ({ chain }, worker, creditIndex) => {
        let place: Found | undefined
        pageOf(chain, LISTINGS.credits(worker, undefined, creditIndex), { cursor: undefined, limit: 1 }, (found) => {
          place = found
          return null
        })
        const tx = place && chain.transaction(place.place.transactionHash)?.tx
        if (!place || tx?.kind !== 'native' || tx.native.type !== attributionCredit)
          throw notFound('unknown credit', { code: 'unknownCredit', worker, creditIndex })
        const { draws, accounts, amountsGwei } = tx.native.fields as CreditFields
        return {
          ...placeToJson(place),
          draws: draws.map((draw) => factsToJson(draw)),
          entries: accounts.map((index, i) => ({
            account: chain.accountAt(index) ?? null,
            index,
            amount: quantity(BigInt(amountsGwei[i] ?? 0) * GWEI),
          })),
        }
      },
    ),
  }
}

const GWEI = 1_000_000_000n

type CreditFields = {
  readonly draws: readonly Readonly<Record<string, unknown>>[]
  readonly accounts: readonly number[]
  readonly amountsGwei: readonly number[]
}

type UploadRecord = NonNullable<ReturnType<typeof tables.uploads.get>>

function addUpload(sums: Map<number, { uploads: number; recordsBps: bigint }>, upload: UploadRecord | undefined): void {
  if (upload?.status !== UPLOAD_STATUS.accepted) return
  for (const { account, shareBps } of upload.contributors) {
    const sum = sums.get(account) ?? { uploads: 0, recordsBps: 0n }
    sums.set(account, { uploads: sum.uploads + 1, recordsBps: sum.recordsBps + BigInt(upload.recordCount * shareBps) })
  }
}

function modelMethods(): MethodTable {
  return {
    tributary_getLineage: method(
      'A model with what it was made of: its datanets as they were at its registration, beside what they are now. `suspendedBy`: the datanet that retired some of it.',
      [params.hash('modelId'), params.block('block')],
      ({ chain }, modelId, ref) => {
        const state = stateAt(chain, ref)
        const model = readRecord(state, tables.models, { modelId })
        if (!model) return null
        return {
          model: recordToJson(state, tables.models, { modelId }),
          datanets: model.datanets.map((snapshot) => ({
            ...factsToJson(snapshot),
            datanet: recordToJson(state, tables.datanets, { datanetId: snapshot.datanetId }),
          })),
          suspendedBy: findRetired({ get: state.ledgerRecord }, model) ?? null,
        }
      },
    ),
  }
}

function epochMethods(limits: RpcLimits): MethodTable {
  return {
    tributary_listEarnings: method(
      'Epochs from one on in which an account earned what it has not claimed. `next`: where the list goes on; null at the end.',
      [
        params.address('account'),
        params.optional(params.count('from')),
        params.optional(params.count('limit', limits.records)),
        params.block('block'),
      ],
      ({ chain }, account, from = 0, limit = limits.records, ref) => {
        const state = stateAt(chain, ref)
        const ledger = { get: state.ledgerRecord }
        const ruling = paramsAfter(chain, heightOf(chain, ref))
        const { index } = accountOf(state, account)
        const last = Math.floor(Number(latestBlock(chain).block.header.timestamp) / ruling.epochSec)
        const first = Math.max(from, Math.floor(chain.genesisSec / ruling.epochSec))
        const items: Json[] = []
        const end = index === 0 ? last : Math.min(last, first + EPOCHS_A_PAGE - 1)
        for (let epoch = first; index !== 0 && epoch <= end; epoch++) {
          const amount = getEarned(ledger, { account: index, epoch })
          if (amount === 0n) continue
          if (items.length === limit) return { items, next: epoch }
          const atSec = readRecord(state, tables.maturities, { epoch })?.atSec ?? maturityBy(epoch, ruling)
          items.push({ epoch, amount: quantity(amount), claimableAtSec: Number(atSec) })
        }
        return { items, next: end < last ? end + 1 : null }
      },
    ),
    tributary_getValidators: method(
      'The validators of an epoch, in their order, as the ledger has them: the latest one’s, unless one is named. Of a network without epochs: the genesis file’s.',
      [params.optional(params.count('epoch')), params.block('block')],
      ({ chain }, epoch, ref) => {
        const height = heightOf(chain, ref)
        const wanted = epoch ?? epochOf(height, chain.params)
        const members = setOfEpoch({ get: stateAt(chain, ref).ledgerRecord }, wanted) ?? chain.genesisValidators
        return {
          epoch: wanted,
          setHash: hashOfSet(wanted, members),
          validators: members.map(({ validator, feeRecipient, weight, key0, key1, key2 }) => ({
            validator,
            feeRecipient,
            weight: quantity(weight),
            blsPublicKey: concatHex([key0, key1, key2]),
          })),
        }
      },
    ),
  }
}

function latestState(chain: Chain): StateAt {
  return chain.stateAt(chain.heads().latest)
}

function membersOf(json: Json): Readonly<Record<string, Json>> {
  return json as Readonly<Record<string, Json>>
}

/** Whether a worker had not registered before this: it says so again whenever it changes something. */
function isFirstOf(chain: Chain, worker: Hex, found: Found): boolean {
  let first: Found | undefined
  pageOf(chain, LISTINGS.workers(worker), { cursor: undefined, limit: 1 }, (one) => {
    first = one
    return null
  })
  return first?.place.transactionHash === found.place.transactionHash && first.place.logIndex === found.place.logIndex
}
