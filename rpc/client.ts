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
import { type Account, type Client, defineChain, type Hex, keccak256, parseSignature, zeroAddress, zeroHash } from 'viem'
import { parseAccount } from 'viem/accounts'
import { signTypedData } from 'viem/actions'
import type { FieldsOf } from '../execution/fields.ts'
import type { LedgerProof } from '../execution/ledger/proof.ts'
import * as tables from '../execution/ledger/tables.ts'
import { WORKER_ACTION } from '../execution/native/workerRegister.ts'
import { VERDICT } from '../execution/native/datanetReview.ts'
import { CONTRIBUTOR_ROLE } from '../execution/native/datanetUpload.ts'
import type { creditsDoorAbi, datanetsDoorAbi, modelsDoorAbi } from '../execution/native/doorAbi.ts'
import { nativeGas } from '../execution/native/native.ts'
import type { FieldValues } from '../execution/native/nativeType.ts'
import { TRANSFER_KIND } from '../execution/native/transfer.ts'
import { type InferenceReceipt, type InferenceRequest, RECEIPT_MEMBERS, REQUEST_MEMBERS } from '../execution/receipt.ts'
import { DOMAIN_NAME, DOMAIN_VERSION } from '../execution/typedData.ts'
import { BPS, type ChainParams, MULTICALL3, VERIFIER } from '../genesis/params.ts'
import { failureText } from './failureText.ts'
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
export function defineTributaryChain({ id, rpcUrl, wsUrl, name = 'Tributary', explorerUrl }: {
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
