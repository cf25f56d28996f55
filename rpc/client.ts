/**
 * Tributary for viem: the chain's definition, and typed actions for every native operation and every `tributary_` read.
 * Runs in browsers. A native transaction is built from its fields, numbered and priced from the node, signed as EIP-712 typed data by any viem
 * account or wallet, and sent as its wire form.
 *
 *     const chain = defineTributaryChain({ id: 7001, rpcUrl: 'http://127.0.0.1:8545' })
 *     const client = createWalletClient({ chain, account, transport: http() }).extend(tributaryActions())
 *     const hash = await client.createDatanet({ name: 'poems', licence: 3 })
 *
 * Spec: docs/spec/rpc.md#client; docs/spec/transactions.md
 */
import {
  type AbiParameter,
  type Account,
  type Address,
  BaseError,
  type Client,
  defineChain,
  type Hex,
  parseSignature,
  zeroAddress,
  zeroHash,
} from 'viem'
import { parseAccount } from 'viem/accounts'
import { getChainId, signTypedData, writeContract } from 'viem/actions'
import type { FieldsOf } from '../execution/fields.ts'
import type { LedgerProof } from '../execution/ledger/proof.ts'
import * as tables from '../execution/ledger/tables.ts'
import { VERDICT } from '../execution/native/datanetReview.ts'
import { CONTRIBUTOR_ROLE } from '../execution/native/datanetUpload.ts'
import { type creditsDoorAbi, type datanetsDoorAbi, ledgerDoorAbi, type modelsDoorAbi } from '../execution/native/doorAbi.ts'
import type { FieldValues } from '../execution/native/nativeType.ts'
import { TRANSFER_KIND } from '../execution/native/transfer.ts'
import { WORKER_ACTION } from '../execution/native/workerRegister.ts'
import { type InferenceReceipt, type InferenceRequest, RECEIPT_MEMBERS, REQUEST_MEMBERS } from '../execution/receipt.ts'
import { DOMAIN_NAME, DOMAIN_VERSION } from '../execution/typedData.ts'
import { readForks } from '../genesis/forks.ts'
import { BPS, type ChainParams, DOOR, MULTICALL3, VERIFIER } from '../genesis/params.ts'
import { failureText } from './failureText.ts'
import type { L1Contracts } from './l1Actions.ts'
import { listActions } from './listActions.ts'
import { fieldsFromJson, fieldsToJson, quantity } from './quantity.ts'
import { formatters, nativeTypedData, nativeTypeNamed, nonceKey, serializeNative, serializeTransaction, typesOf } from './viemChain.ts'

/** A node refused. `code` names the rule, `facts` are what it looked at; the message is for people. */
export class TributaryError extends Error {
  override readonly name = 'TributaryError'
  readonly code: string
  readonly facts: Readonly<Record<string, unknown>>
  /** The same transaction may succeed later. */
  readonly retryable: boolean

  constructor(code: string, facts: Readonly<Record<string, unknown>>, options: { readonly cause: unknown }) {
    super(failureText(code), options)
    this.code = code
    this.facts = facts
    this.retryable = code === 'poolFull' || code === 'rateExceeded' || code === 'tooManyCalls'
  }
}

/** What a failure code of a receipt, or of a `TributaryError`, means, for people. */
export function explainFailure(code: string): string {
  return failureText(code)
}

/** viem's definition of a Tributary network. */
export function defineTributaryChain({
  id,
  rpcUrl,
  wsUrl,
  name = 'Tributary',
  explorerUrl,
}: {
  readonly id: number
  readonly rpcUrl: string
  readonly wsUrl?: string | undefined
  readonly name?: string | undefined
  readonly explorerUrl?: string | undefined
}) {
  return defineChain({
    id,
    name,
    nativeCurrency: { name: 'OPEN', symbol: 'OPEN', decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl], ...(wsUrl === undefined ? {} : { webSocket: [wsUrl] }) } },
    ...(explorerUrl === undefined ? {} : { blockExplorers: { default: { name, url: explorerUrl } } }),
    contracts: { multicall3: { address: MULTICALL3 } },
    formatters,
    serializers: { transaction: serializeTransaction as NonNullable<Parameters<typeof defineChain>[0]['serializers']>['transaction'] },
    transactionReplacement: { getKey: nonceKey },
  })
}

type RecordOf<T> = T extends tables.Table<infer Id, infer R> ? Id & R : never

/** Records of the ledger with their ids. Amounts in wei, times in seconds. docs/spec/ledger.md#tables */
export type Datanet = RecordOf<typeof tables.datanets>
export type Upload = RecordOf<typeof tables.uploads>
export type Review = RecordOf<typeof tables.reviews>
export type Model = RecordOf<typeof tables.models>
export type Worker = RecordOf<typeof tables.workers>
export type Credit = RecordOf<typeof tables.credits>
export type Draw = RecordOf<typeof tables.draws>
export type Withdrawal = RecordOf<typeof tables.withdrawals>
export type LedgerAccount = RecordOf<typeof tables.accounts>

/** What an account earned in an epoch, and from when on it may be claimed. */
export type Earnings = { readonly epoch: number; readonly amount: bigint; readonly claimableAtSec: number }

/** Which block's state is read; left out: the latest. */
export type AtBlock = {
  readonly blockNumber?: bigint | undefined
  readonly blockTag?: 'latest' | 'safe' | 'finalized' | 'earliest' | undefined
}

/** Which records of a list, and how many (the node gives 100 at most). */
export type Page = { readonly from?: number | undefined; readonly limit?: number | undefined }

/** A proof with what it is to be held against. docs/spec/ledger.md#proof */
export type RecordProof = LedgerProof & {
  readonly table: string
  readonly tableNumber: number
  /** Packed form of the id. */
  readonly id: Hex
  readonly blockNumber: bigint
  readonly ledgerRoot: Hex
}

/** Where the chain and its settlement stand. */
export type SyncStatus = {
  readonly heads: { readonly latest: bigint; readonly safe: bigint; readonly finalized: bigint }
  readonly highestBlock: bigint
  readonly l1Head: { readonly number: bigint; readonly hash: Hex } | undefined
  /** Where L1 can be asked, if the operator lets clients know. */
  readonly l1Url: string | undefined
  readonly l1Origin: { readonly number: bigint; readonly hash: Hex }
  readonly batches: { readonly posted: number; readonly postedBytes: number; readonly nextBlock: bigint }
  readonly checkpoints: number
  readonly validators: number
  readonly peers: number
}

/** How a native transaction is sent, where the defaults will not do. */
export type SendOptions = {
  /** Default: the client's account. */
  readonly account?: Account | Address | undefined
  /** Default: the next one, with what waits in the pool counted. */
  readonly nonce?: bigint | undefined
  /** Most that the ledger balance pays, in wei. Default: twice the fee at the latest base fee. */
  readonly maxFee?: bigint | undefined
}

/** Fields of a door's function by name. */
type FieldsOfDoor<A extends readonly unknown[], Name extends string> =
  Extract<A[number], { readonly type: 'function'; readonly name: Name }> extends {
    readonly inputs: infer P extends readonly AbiParameter[]
  }
    ? FieldsOf<P>
    : never
type Optional<T, K extends keyof T> = Omit<T, K> & { readonly [Q in K]?: T[Q] | undefined }

export type UploadFields = Optional<FieldsOfDoor<typeof datanetsDoorAbi, 'upload'>, 'contributors'>
export type ModelFields = Optional<
  FieldsOfDoor<typeof modelsDoorAbi, 'register'>,
  | 'adapterHash'
  | 'tokenizerHash'
  | 'trainingConfigHash'
  | 'runtimeProfileHash'
  | 'priceBase'
  | 'pricePrompt'
  | 'priceOutput'
  | 'minStake'
  | 'maxTier'
>
export type CreditFields = FieldsOfDoor<typeof creditsDoorAbi, 'credit'>
/** Fields of a dispute, as its door names them. */
export type DisputeFields = FieldsOfDoor<typeof creditsDoorAbi, 'dispute'>

/**
 * Actions for `client.extend(...)`. `node` answers reads and takes transactions where the client itself cannot, such as a browser wallet
 * that only signs. Actions throw `TributaryError` when the chain refuses.
 */
export function tributaryActions({ node }: { readonly node?: Client | undefined } = {}) {
  return (client: Client) => ({ ...readActions(node ?? client), ...writeActions(client, node ?? client), ...signActions(client) })
}

function readActions(node: Client) {
  return {
    getDatanet: async ({ datanetId, ...at }: { readonly datanetId: number } & AtBlock): Promise<Datanet | undefined> =>
      toRecord(tables.datanets, await ask(node, 'tributary_getDatanet', [datanetId, blockOf(at)])),
    /** Ids count from 1. */
    getDatanets: async ({ from, limit, ...at }: Page & AtBlock = {}): Promise<Datanet[]> =>
      toRecords(tables.datanets, await ask(node, 'tributary_getDatanets', [from, limit, blockOf(at)])),
    getUpload: async ({
      datanetId,
      uploadIndex,
      ...at
    }: { readonly datanetId: number; readonly uploadIndex: number } & AtBlock): Promise<Upload | undefined> =>
      toRecord(tables.uploads, await ask(node, 'tributary_getUpload', [datanetId, uploadIndex, blockOf(at)])),
    /** Indexes count from 0. */
    getUploads: async ({ datanetId, from, limit, ...at }: { readonly datanetId: number } & Page & AtBlock): Promise<Upload[]> =>
      toRecords(tables.uploads, await ask(node, 'tributary_getUploads', [datanetId, from, limit, blockOf(at)])),
    getReview: async ({
      datanetId,
      uploadIndex,
      ...at
    }: { readonly datanetId: number; readonly uploadIndex: number } & AtBlock): Promise<Review | undefined> =>
      toRecord(tables.reviews, await ask(node, 'tributary_getReview', [datanetId, uploadIndex, blockOf(at)])),
    getModel: async ({ modelId, ...at }: { readonly modelId: Hex } & AtBlock): Promise<Model | undefined> =>
      toRecord(tables.models, await ask(node, 'tributary_getModel', [modelId, blockOf(at)])),
    getWorker: async ({ worker, ...at }: { readonly worker: Address } & AtBlock): Promise<Worker | undefined> =>
      toRecord(tables.workers, await ask(node, 'tributary_getWorker', [worker, blockOf(at)])),
    getCredit: async ({
      worker,
      creditIndex,
      ...at
    }: { readonly worker: Address; readonly creditIndex: number } & AtBlock): Promise<Credit | undefined> =>
      toRecord(tables.credits, await ask(node, 'tributary_getCredit', [worker, creditIndex, blockOf(at)])),
    /** Indexes count from 0. */
    getCredits: async ({ worker, from, limit, ...at }: { readonly worker: Address } & Page & AtBlock): Promise<Credit[]> =>
      toRecords(tables.credits, await ask(node, 'tributary_getCredits', [worker, from, limit, blockOf(at)])),
    getWithdrawal: async ({ withdrawalIndex, ...at }: { readonly withdrawalIndex: bigint } & AtBlock): Promise<Withdrawal | undefined> =>
      toRecord(tables.withdrawals, await ask(node, 'tributary_getWithdrawal', [quantity(withdrawalIndex), blockOf(at)])),
    ...accountReads(node),
    ...listActions((method, params) => ask(node, method, params)),
    ...statusReads(node),
  }
}

function accountReads(node: Client) {
  return {
    getLedgerAccount: async ({ account, ...at }: { readonly account: Address } & AtBlock): Promise<LedgerAccount> =>
      toRecord(tables.accounts, await ask(node, 'tributary_getLedgerAccount', [account, blockOf(at)])) as LedgerAccount,
    getLedgerNonce: async ({
      account,
      blockTag = 'latest',
    }: {
      readonly account: Address
      readonly blockTag?: 'latest' | 'pending' | undefined
    }): Promise<bigint> => BigInt(await ask<Hex>(node, 'tributary_getLedgerNonce', [account, blockTag])),
    getEarnings: async ({
      account,
      epochs,
      ...at
    }: { readonly account: Address; readonly epochs: readonly number[] } & AtBlock): Promise<Earnings[]> => {
      const answers = await ask<(Omit<Earnings, 'amount'> & { readonly amount: Hex })[]>(node, 'tributary_getEarnings', [
        account,
        epochs,
        blockOf(at),
      ])
      return answers.map((one) => ({ ...one, amount: BigInt(one.amount) }))
    },
    getDraw: async ({ client, worker, ...at }: { readonly client: Address; readonly worker: Address } & AtBlock): Promise<Draw> =>
      toRecord(tables.draws, await ask(node, 'tributary_getDraw', [client, worker, blockOf(at)])) as Draw,
    getLedgerProof: async ({
      table,
      id,
      ...at
    }: { readonly table: string; readonly id?: FieldValues | undefined } & AtBlock): Promise<RecordProof> => {
      const found = tables.TABLES[table as keyof typeof tables.TABLES]
      const wanted = id && found ? fieldsToJson(found.id, id) : undefined
      const proof = await ask<Omit<RecordProof, 'blockNumber'> & { readonly blockNumber: Hex; readonly value: unknown }>(
        node,
        'tributary_getLedgerProof',
        [table, wanted, blockOf(at)],
      )
      const { value: _value, ...rest } = proof
      return { ...rest, blockNumber: BigInt(proof.blockNumber), record: proof.record ?? undefined, other: proof.other ?? undefined }
    },
  }
}

function statusReads(node: Client) {
  return {
    getSupply: async (at: AtBlock = {}): Promise<tables.Supply> =>
      toFields(tables.supplyTable, await ask(node, 'tributary_getSupply', [blockOf(at)])),
    getCounters: async (at: AtBlock = {}): Promise<tables.Counters> =>
      toFields(tables.countersTable, await ask(node, 'tributary_getCounters', [blockOf(at)])),
    getL1Info: async (at: AtBlock = {}): Promise<tables.L1Info> =>
      toFields(tables.l1Table, await ask(node, 'tributary_getL1Info', [blockOf(at)])),
    getChainParams: async (): Promise<ChainParams & { readonly genesisHash: Hex }> => {
      type Answer = Record<string, number | Hex> & { genesisHash: Hex; forks: Readonly<Record<string, number>> & Hex }
      const { genesisHash, forks, ...params } = await ask<Answer>(node, 'tributary_params', [])
      const numbers = Object.entries(params).map(([name, value]) => [name, typeof value === 'string' ? BigInt(value) : value])
      const read = readForks(forks)
      if (!read.ok) throw new TributaryError('unknownFork', { fork: read.name }, { cause: undefined })
      return { ...(Object.fromEntries(numbers) as ChainParams), forks: read.forks, genesisHash }
    },
    getL1Contracts: (): Promise<L1Contracts> => ask(node, 'tributary_l1Contracts', []),
    getSyncStatus: async (): Promise<SyncStatus> => toSyncStatus(await ask(node, 'tributary_syncStatus', [])),
    /** Gas and fee of an operation in the next block, in wei: gas at the base fee, and its bytes on L1; `maxFee` is twice the fee. */
    estimateFee: async ({ nativeType, native }: { readonly nativeType: string; readonly native: FieldValues }) => {
      const fields = fieldsToJson(nativeTypeNamed(nativeType).fields.parameters, native)
      const answer = await ask<Record<'gas' | 'baseFeePerGas' | 'l1Fee' | 'fee' | 'maxFee', Hex>>(node, 'tributary_estimateFee', [
        { type: nativeType, fields },
      ])
      return {
        gas: BigInt(answer.gas),
        baseFeePerGas: BigInt(answer.baseFeePerGas),
        l1Fee: BigInt(answer.l1Fee),
        fee: BigInt(answer.fee),
        maxFee: BigInt(answer.maxFee),
      }
    },
  }
}

function writeActions(client: Client, node: Client) {
  const send = (nativeType: string, native: FieldValues, options: SendOptions) =>
    sendNative({ client, node }, { nativeType, native, ...options })
  return {
    /**
     * Moves value. `kind`: to a ledger account (default), to the EVM side, to a prepaid balance, to L1; or asks for one's own prepaid balance back,
     * and takes it.
     */
    transfer: ({
      kind = 'ledger',
      to = zeroAddress,
      amount = 0n,
      ...options
    }: {
      readonly kind?: keyof typeof TRANSFER_KIND | undefined
      readonly to?: Address | undefined
      readonly amount?: bigint | undefined
    } & SendOptions): Promise<Hex> => send('Transfer', { kind: TRANSFER_KIND[kind], to, amount }, options),
    /**
     * Takes value out to L1, of the ledger balance (default) or of the EVM side; `to` is the sender unless said otherwise. What follows on L1 is in
     * rpc/settlementActions.ts.
     */
    withdraw: ({
      amount,
      to,
      from = 'ledger',
      ...options
    }: {
      readonly amount: bigint
      readonly to?: Address | undefined
      readonly from?: 'ledger' | 'evm' | undefined
    } & SendOptions): Promise<Hex> => {
      const account = accountOf(client, options)
      const native = { kind: TRANSFER_KIND.l1, to: to ?? account.address, amount }
      if (from === 'ledger') return send('Transfer', native, options)
      const call = { address: DOOR.ledger, abi: ledgerDoorAbi, functionName: 'transfer', value: amount } as const
      const nonce = options.nonce === undefined ? {} : { nonce: Number(options.nonce) }
      return writeContract(client, { ...call, ...nonce, args: [native.kind, native.to, amount], account, chain: client.chain })
    },
    /** `curator` is the sender, anyone may upload, and uploads need no bond, unless said otherwise. */
    createDatanet: ({
      name,
      licence,
      schemaHash = zeroHash,
      curator,
      joinPolicy = 0,
      uploadBond = 0n,
      ...options
    }: {
      readonly name: string
      readonly licence: number
      readonly schemaHash?: Hex | undefined
      readonly curator?: Address | undefined
      readonly joinPolicy?: number | undefined
      readonly uploadBond?: bigint | undefined
    } & SendOptions): Promise<Hex> =>
      send(
        'DatanetCreate',
        { name, schemaHash, licence, curator: curator ?? accountOf(client, options).address, joinPolicy, uploadBond },
        options,
      ),
    /** All of the upload is the sender's, who collected it, unless contributors are named. */
    uploadToDatanet: ({
      datanetId,
      contentRoot,
      contentId,
      recordCount,
      byteCount,
      contributors,
      ...options
    }: UploadFields & SendOptions): Promise<Hex> => {
      const shares = contributors ?? [{ account: accountOf(client, options).address, shareBps: BPS, role: CONTRIBUTOR_ROLE.collected }]
      return send('DatanetUpload', { datanetId, contentRoot, contentId, recordCount, byteCount, contributors: shares }, options)
    },
    /** Accepts with a quality in basis points, rejects or retires with a reason from 1 up, or withdraws one's own that nobody reviewed. */
    reviewUpload: ({
      datanetId,
      uploadIndex,
      verdict,
      qualityBps = 0,
      reason = 0,
      ...options
    }: {
      readonly datanetId: number
      readonly uploadIndex: number
      readonly verdict: keyof typeof VERDICT
      readonly qualityBps?: number | undefined
      readonly reason?: number | undefined
    } & SendOptions): Promise<Hex> =>
      send('DatanetReview', { datanetId, uploadIndex, verdict: VERDICT[verdict], qualityBps, reason }, options),
    registerModel: ({ account, nonce, maxFee, ...fields }: ModelFields & SendOptions): Promise<Hex> =>
      send('ModelRegister', { ...MODEL_DEFAULTS, ...definedOf(fields) }, { account, nonce, maxFee }),
    /** Registers or updates a worker (default), unbonds stake, or takes unbonded stake out. */
    registerWorker: ({
      action = 'register',
      hotKey = zeroAddress,
      runtimeProfileHash = zeroHash,
      stake = 0n,
      endpoint = '',
      ...options
    }: {
      readonly action?: keyof typeof WORKER_ACTION | undefined
      readonly hotKey?: Address | undefined
      readonly runtimeProfileHash?: Hex | undefined
      readonly stake?: bigint | undefined
      readonly endpoint?: string | undefined
    } & SendOptions): Promise<Hex> =>
      send('WorkerRegister', { action: WORKER_ACTION[action], hotKey, runtimeProfileHash, stake, endpoint }, options),
    creditAttribution: ({ account, nonce, maxFee, ...fields }: CreditFields & SendOptions): Promise<Hex> =>
      send('AttributionCredit', fields, { account, nonce, maxFee }),
    disputeCredit: ({ account, nonce, maxFee, ...fields }: DisputeFields & SendOptions): Promise<Hex> =>
      send('CreditDispute', fields, { account, nonce, maxFee }),
    claimEarnings: ({ epochs, ...options }: { readonly epochs: readonly number[] } & SendOptions): Promise<Hex> =>
      send('Claim', { epochs }, options),
    /** Sends any native type by its name and fields. */
    sendNativeTransaction: ({
      nativeType,
      native,
      ...options
    }: { readonly nativeType: string; readonly native: FieldValues } & SendOptions): Promise<Hex> => send(nativeType, native, options),
  }
}

function signActions(client: Client) {
  return {
    /** The client's signature of an inference request: its payment voucher. docs/spec/receipts.md */
    signInferenceRequest: ({
      request,
      account,
    }: {
      readonly request: InferenceRequest
      readonly account?: Account | Address | undefined
    }): Promise<Hex> => signMembers(client, { primaryType: 'InferenceRequest', members: REQUEST_MEMBERS, message: request, account }),
    /** The worker's signature of an inference receipt, by its hot key. docs/spec/receipts.md */
    signInferenceReceipt: ({
      receipt,
      account,
    }: {
      readonly receipt: InferenceReceipt
      readonly account?: Account | Address | undefined
    }): Promise<Hex> => signMembers(client, { primaryType: 'InferenceReceipt', members: RECEIPT_MEMBERS, message: receipt, account }),
  }
}

const MODEL_DEFAULTS = {
  adapterHash: zeroHash,
  tokenizerHash: zeroHash,
  trainingConfigHash: zeroHash,
  runtimeProfileHash: zeroHash,
  priceBase: 0n,
  pricePrompt: 0n,
  priceOutput: 0n,
  minStake: 0n,
  maxTier: 0,
} as const

type Ends = { readonly client: Client; readonly node: Client }

async function sendNative(
  ends: Ends,
  { nativeType, native, ...options }: { readonly nativeType: string; readonly native: FieldValues } & SendOptions,
): Promise<Hex> {
  return ask<Hex>(ends.node, 'eth_sendRawTransaction', [await signNative(ends, { nativeType, native, ...options })])
}

/** Builds, checks, numbers, prices and signs; answers the wire form. */
async function signNative(
  { client, node }: Ends,
  { nativeType, native, ...options }: { readonly nativeType: string; readonly native: FieldValues } & SendOptions,
): Promise<Hex> {
  const account = accountOf(client, options)
  const type = nativeTypeNamed(nativeType)
  const { parameters } = type.fields
  const fields = fieldsFromJson(parameters, fieldsToJson(parameters, native), '') // every member in its range, hex in lower case
  const chainId = await chainIdOf(client, node)
  const refused = type.check(fields, chainId)
  if (refused) throw new TributaryError(refused.code, refused, { cause: undefined })
  const nonce = options.nonce ?? BigInt(await ask<Hex>(node, 'tributary_getLedgerNonce', [account.address, 'pending']))
  const estimate = () =>
    ask<{ readonly maxFee: Hex }>(node, 'tributary_estimateFee', [{ type: nativeType, fields: fieldsToJson(parameters, fields) }])
  const maxFee = options.maxFee ?? BigInt((await estimate()).maxFee)
  const transaction = { type: 'native', nativeType, chainId, nonce, maxFee, native: fields } as const
  const signature = await signTypedData(client, { account, ...nativeTypedData(transaction) })
  return serializeNative(transaction, parseSignature(signature))
}

async function signMembers(
  client: Client,
  {
    primaryType,
    members,
    message,
    account,
  }: { primaryType: string; members: string; message: object; account: Account | Address | undefined },
): Promise<Hex> {
  const chainId = await chainIdOf(client, client)
  return signTypedData(client, {
    account: accountOf(client, { account }),
    domain: { name: DOMAIN_NAME, version: DOMAIN_VERSION, chainId, verifyingContract: VERIFIER.receipt },
    types: typesOf(`${primaryType}(${members.replaceAll(', ', ',')})`),
    primaryType,
    message: message as Record<string, unknown>,
  })
}

function accountOf(client: Client, { account = client.account }: { readonly account?: Account | Address | undefined }): Account {
  if (!account) throw new Error('an account is needed: give the client one, or name one in the call')
  return parseAccount(account)
}

async function chainIdOf(client: Client, node: Client): Promise<number> {
  return client.chain?.id ?? node.chain?.id ?? getChainId(node)
}

/** Asks the node; its refusals become `TributaryError`s. */
async function ask<T>(node: Client, method: string, params: readonly unknown[]): Promise<T> {
  try {
    return (await node.request({ method, params } as never)) as T
  } catch (error) {
    throw toTributaryError(error)
  }
}

function toTributaryError(error: unknown): unknown {
  if (!(error instanceof BaseError)) return error
  const refusal = error.walk((one) => typeof (one as { data?: { code?: unknown } }).data?.code === 'string') as {
    data?: { code: string }
  } | null
  if (!refusal?.data) return error
  const { code, ...facts } = refusal.data
  return new TributaryError(code, facts, { cause: error })
}

function blockOf({ blockNumber, blockTag }: AtBlock): string {
  return blockNumber === undefined ? (blockTag ?? 'latest') : quantity(blockNumber)
}

function toRecord<Id, R>(table: tables.Table<Id, R>, json: unknown): (Id & R) | undefined {
  if (json === null) return undefined
  return { ...fieldsFromJson(table.id, json, ''), ...fieldsFromJson(table.record, json, '') } as Id & R
}

function toRecords<Id, R>(table: tables.Table<Id, R>, json: unknown): (Id & R)[] {
  return (json as unknown[]).flatMap((one) => toRecord(table, one) ?? [])
}

function toFields<Id, R>(table: tables.Table<Id, R>, json: unknown): R {
  return fieldsFromJson(table.record, json, '') as R
}

type Hexed<T> = { readonly [K in keyof T]: T[K] extends bigint ? Hex : T[K] extends object | undefined ? Hexed<T[K]> | null : T[K] }

function toSyncStatus(json: Hexed<SyncStatus>): SyncStatus {
  const { heads, l1Head, l1Origin, batches } = json
  if (!heads || !l1Origin || !batches) throw new Error('the node’s answer to tributary_syncStatus has no heads')
  return {
    ...json,
    heads: { latest: BigInt(heads.latest), safe: BigInt(heads.safe), finalized: BigInt(heads.finalized) },
    highestBlock: BigInt(json.highestBlock),
    l1Head: l1Head ? { number: BigInt(l1Head.number), hash: l1Head.hash } : undefined,
    l1Url: json.l1Url ?? undefined,
    l1Origin: { number: BigInt(l1Origin.number), hash: l1Origin.hash },
    batches: { ...batches, nextBlock: BigInt(batches.nextBlock) },
  }
}

function definedOf<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>
}
