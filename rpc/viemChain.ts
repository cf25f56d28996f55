/**
 * What viem must know of this chain: how native transactions, deposits and reports are written and read, and which nonces count together.
 * Runs in browsers. Spec: docs/spec/rpc.md#client; docs/spec/transactions.md#native-wire-form
 */
import {
  type Address,
  type Block,
  type BlockTag,
  concatHex,
  defineBlock,
  defineTransaction,
  defineTransactionReceipt,
  type Hex,
  hashDomain,
  hashStruct,
  hexToBytes,
  type RpcBlock,
  type RpcTransaction,
  type RpcTransactionReceipt,
  type Signature,
  type TransactionReceipt,
  toHex,
  type Transaction as ViemTransaction,
} from 'viem'
import { type OpStackDepositTransaction, serializeTransaction as serializeOpStack } from 'viem/op-stack'
import { assert } from '../execution/assert.ts'
import { encodeNative, NATIVE_TYPES } from '../execution/native/native.ts'
import type { FieldValues, NativeType } from '../execution/native/nativeType.ts'
import { DOMAIN_NAME, DOMAIN_VERSION } from '../execution/typedData.ts'
import { TX_TYPE } from '../genesis/params.ts'
import { fieldsFromJson } from './quantity.ts'

/** A native transaction as viem reads it from a node. */
export type NativeTransaction = Omit<ViemTransaction, 'type'> & {
  readonly type: 'native'
  /** Name of the native type, such as `DatanetUpload`. */
  readonly nativeType: string
  /** Its fields by name. */
  readonly native: FieldValues
  /** What its sender's ledger balance pays at most, in wei. */
  readonly maxFee: bigint
}

/** A report of evidence against a validator as viem reads it: a call of `report(bytes evidence)` that nobody signed. */
export type EvidenceReportTransaction = Omit<ViemTransaction, 'type'> & { readonly type: 'evidenceReport' }

/** A transaction of any kind as viem reads it. */
export type TributaryTransaction = ViemTransaction | OpStackDepositTransaction | NativeTransaction | EvidenceReportTransaction

/** A receipt; `failureCode` names the rule that a native transaction broke. */
export type TributaryReceipt = TransactionReceipt & {
  readonly failureCode?: string | undefined
  /** What its bytes cost, and from what that follows, by the names of the OP Stack's receipts; deposits have none. */
  readonly l1Fee?: bigint | undefined
  readonly l1GasUsed?: bigint | undefined
  readonly l1GasPrice?: bigint | undefined
  readonly l1BlobBaseFee?: bigint | undefined
  readonly l1BaseFeeScalar?: bigint | undefined
  readonly l1BlobBaseFeeScalar?: bigint | undefined
}

const DATA_FEE_MEMBERS = ['l1Fee', 'l1GasUsed', 'l1GasPrice', 'l1BlobBaseFee', 'l1BaseFeeScalar', 'l1BlobBaseFeeScalar'] as const

const EVIDENCE_REPORT = toHex(TX_TYPE.evidenceReport)

type RpcDataFee = { readonly [N in (typeof DATA_FEE_MEMBERS)[number]]?: Hex }

/** A block as viem reads it. */
export type TributaryBlock = Block<bigint, boolean, BlockTag, TributaryTransaction>

/** A native transaction to be written. */
export type TransactionSerializableNative = {
  readonly type: 'native'
  readonly nativeType: string
  readonly chainId: number
  readonly nonce: bigint | number
  readonly maxFee: bigint
  readonly native: FieldValues
}

type RpcNative = { readonly nativeType: string; readonly native: Readonly<Record<string, unknown>>; readonly maxFee: Hex }
type RpcDeposit = { readonly sourceHash: Hex; readonly mint: Hex; readonly isSystemTx: boolean }
type RpcAny = RpcTransaction & Partial<RpcNative & RpcDeposit>

/** Native type by its name. */
export function nativeTypeNamed(name: string): NativeType {
  const type = NATIVE_TYPES.find((one) => one.name === name)
  assert(type, `there is no native type ${name}`)
  return type
}

/** EIP-712 typed data that the sender of a native transaction signs, as `eth_signTypedData_v4` takes it. */
export function nativeTypedData({ nativeType, chainId, nonce, maxFee, native }: Omit<TransactionSerializableNative, 'type'>) {
  const type = nativeTypeNamed(nativeType)
  return {
    domain: { name: DOMAIN_NAME, version: DOMAIN_VERSION, chainId, verifyingContract: type.door as Address },
    types: typesOf(type.fields.encodeType(type.name, 'uint64 nonce,uint96 maxFee')),
    primaryType: type.name,
    message: { nonce: BigInt(nonce), maxFee, ...native },
  }
}

/** EIP-712 `types` from an `encodeType` string: `A(uint8 x,B y)B(uint8 z)`. */
export function typesOf(encodeType: string): Record<string, { name: string; type: string }[]> {
  const structs = [...encodeType.matchAll(/(\w+)\(([^)]*)\)/g)]
  return Object.fromEntries(
    structs.map(([, name = '', members = '']) => [
      name,
      members.split(',').map((member) => {
        const [type = '', memberName = ''] = member.split(' ')
        return { type, name: memberName }
      }),
    ]),
  )
}

/** Bytes of a transaction of any kind. Without a signature: the bytes whose keccak256 the sender signs. */
export function serializeTransaction(
  transaction: Parameters<typeof serializeOpStack>[0] | TransactionSerializableNative,
  signature?: Signature,
): Hex {
  if (isNative(transaction)) return serializeNative(transaction, signature)
  return serializeOpStack(transaction, signature)
}

/** The wire form of a signed native transaction, or the preimage of its EIP-712 digest. */
export function serializeNative(transaction: TransactionSerializableNative, signature: Signature | undefined): Hex {
  const { chainId, nonce, maxFee, native } = transaction
  if (!signature) {
    const { domain, types, primaryType, message } = nativeTypedData(transaction)
    const withDomain = { ...types, EIP712Domain: DOMAIN_TYPE }
    return concatHex([
      '0x1901',
      hashDomain<Record<string, unknown>>({ domain, types: withDomain }),
      hashStruct({ data: message, primaryType, types }),
    ])
  }
  const { r, s, yParity = Number(signature.v) - 27 } = signature
  const bytes = encodeNative({
    type: nativeTypeNamed(transaction.nativeType),
    chainId,
    nonce: BigInt(nonce),
    maxFeeWei: maxFee,
    fields: native,
    signature: { r: hexToBytes(r, { size: 32 }), s: hexToBytes(s, { size: 32 }), yParity: yParity === 1 ? 1 : 0 },
  })
  return toHex(bytes)
}

const transactionFormatter = defineTransaction({
  format(transaction: RpcAny): TributaryTransaction {
    if (transaction.nativeType !== undefined) {
      // A type that this client does not know yet is shown as the node shows it.
      const type = NATIVE_TYPES.find((one) => one.name === transaction.nativeType)
      const native = type ? fieldsFromJson(type.fields.parameters, transaction.native, 'native') : transaction.native
      return { type: 'native', native, maxFee: BigInt(transaction.maxFee ?? 0) } as NativeTransaction
    }
    if ((transaction.type as string) === EVIDENCE_REPORT) return { type: 'evidenceReport' } as EvidenceReportTransaction
    if (transaction.sourceHash === undefined) return {} as TributaryTransaction
    const { sourceHash, isSystemTx, mint } = transaction
    return { type: 'deposit', sourceHash, isSystemTx, mint: BigInt(mint ?? 0) } as OpStackDepositTransaction
  },
})

/** How viem reads blocks, transactions and receipts of this chain. */
export const formatters = {
  block: defineBlock({
    format(block: Omit<RpcBlock, 'transactions'> & { readonly transactions?: readonly (Hex | RpcAny)[] | undefined }) {
      // A header, as a subscription tells it, has none.
      const transactions = (block.transactions ?? []).map((one) => (typeof one === 'string' ? one : transactionFormatter.format(one)))
      return { transactions } as unknown as TributaryBlock
    },
  }),
  transaction: transactionFormatter,
  transactionReceipt: defineTransactionReceipt({
    format: ({ failureCode, ...receipt }: RpcTransactionReceipt & RpcDataFee & { readonly failureCode?: string }) => {
      const dataFee = DATA_FEE_MEMBERS.flatMap((name) => (receipt[name] === undefined ? [] : [[name, BigInt(receipt[name])] as const]))
      return { failureCode, ...Object.fromEntries(dataFee) } as TributaryReceipt
    },
  }),
}

/** Nonces of the native lane and of the EVM count apart, so one cannot replace a transaction of the other. */
export function nonceKey(transaction: { readonly nonce: number; readonly type?: string | undefined }): string {
  return `${transaction.type === 'native' ? 'ledger' : 'evm'}:${transaction.nonce}`
}

const DOMAIN_TYPE = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' },
  { name: 'verifyingContract', type: 'address' },
]

function isNative(transaction: { readonly type?: string | undefined }): transaction is TransactionSerializableNative {
  return transaction.type === 'native'
}
