/**
 * The table of native types, and what all of them share: wire form, signing hash, packed form, gas.
 * Wire: type(1) ‖ rlp([chainId, nonce, maxFee, …fields, yParity, r, s]). Spec: docs/spec/transactions.md#native-wire-form
 */
import { concatHex, encodeAbiParameters, type Hex, parseAbiParameters, stringToBytes, toFunctionSelector } from 'viem'
import { NATIVE_GAS, TX_TYPE } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import { attempt, compileFields, malformed, takeRlpList, takeRlpString, takeRlpUint } from '../fields.ts'
import { toHex } from '../hex.ts'
import { keccak256 } from '../keccak.ts'
import { isLowS, recoverAddress, type Signature, type SignedDigest } from '../recover.ts'
import { encodeRlp } from '../rlp.ts'
import { type Attachment, attachmentBytes } from '../rowFields.ts'
import { domainSeparator, typedDataDigest } from '../typedData.ts'
import { attributionCredit } from './attributionCredit.ts'
import { claim } from './claim.ts'
import { creditDispute } from './creditDispute.ts'
import { datanetCreate } from './datanetCreate.ts'
import { datanetReview } from './datanetReview.ts'
import { datanetUpload } from './datanetUpload.ts'
import { modelRegister } from './modelRegister.ts'
import { type FieldValues, invalid, type NativeType, type Rejection, type Signers } from './nativeType.ts'
import { paramSet } from './paramSet.ts'
import { transfer } from './transfer.ts'
import { VERDICT_BYTES_PAID } from './verdict.ts'
import { workerRegister } from './workerRegister.ts'

/** Every native type. A new one is a file and a line here. */
export const NATIVE_TYPES: readonly NativeType[] = [
  transfer,
  datanetCreate,
  datanetUpload,
  datanetReview,
  modelRegister,
  workerRegister,
  attributionCredit,
  creditDispute,
  claim,
]

/** Every operation of a door: the native types, and those that only a call from the EVM can ask for. */
export const OPERATION_TYPES: readonly NativeType[] = [...NATIVE_TYPES, paramSet]

const byByte = new Map(NATIVE_TYPES.map((type) => [type.byte, type]))
const operationsByByte = new Map(OPERATION_TYPES.map((type) => [type.byte, type]))

/** The native type of this first byte, or undefined. */
export function nativeTypeOf(byte: number): NativeType | undefined {
  return byByte.get(byte)
}

/** The type of a row of EVM origin with this byte, or undefined. */
export function operationTypeOf(byte: number): NativeType | undefined {
  return operationsByByte.get(byte)
}

/** A native transaction before it is signed. */
export type UnsignedNative = {
  readonly type: NativeType
  readonly chainId: number
  readonly nonce: bigint
  readonly maxFeeWei: bigint
  readonly fields: FieldValues
}

/** A native transaction as signed; who signed it is not known yet. */
export type SignedNative = UnsignedNative & { readonly signature: Signature }

/** Reads the wire form. Undefined: malformed (any bytes but the one encoding of a transaction of a known type). */
export function decodeNative(raw: Uint8Array): SignedNative | undefined {
  const type = nativeTypeOf(raw[0] ?? 0)
  if (!type) return undefined
  return attempt(() => {
    const outer = { bytes: raw, at: 1, end: raw.length }
    const list = takeRlpList(outer)
    if (outer.at !== outer.end) malformed()
    const chainId = Number(takeRlpUint(list, 48))
    const nonce = takeRlpUint(list, 64)
    const maxFeeWei = takeRlpUint(list, 96)
    const fields = type.fields.fromRlp(list)
    const yParity = takeRlpUint(list, 8)
    const r = left32(takeRlpString(list))
    const s = left32(takeRlpString(list))
    if (list.at !== list.end || yParity > 1n || !isLowS(s)) malformed()
    return { type, chainId, nonce, maxFeeWei, fields, signature: { yParity: yParity === 1n ? 1 : 0, r, s } }
  })
}

/** The wire form. */
export function encodeNative({ type, chainId, nonce, maxFeeWei, fields, signature }: SignedNative): Uint8Array {
  const head = [BigInt(chainId), nonce, maxFeeWei]
  const signed = [BigInt(signature.yParity), trimZeros(signature.r), trimZeros(signature.s)]
  return encodeRlp([...head, ...type.fields.toRlp(fields), ...signed], type.byte)
}

/** Members that every signed message has before those of its type. */
const MESSAGE_HEAD = 'uint64 nonce,uint96 maxFee'
const headFields = compileFields(parseAbiParameters(MESSAGE_HEAD))

/** EIP-712's encodeData of each type, its type hash already in place: written for one message after another, and hashed in between. */
const encodeData = new Map(NATIVE_TYPES.map((type) => [type.byte, startEncodeData(type)]))

function startEncodeData({ name, fields }: NativeType): Uint8Array {
  const out = new Uint8Array(32 + headFields.wordsBytes + fields.wordsBytes)
  out.set(keccak256(stringToBytes(fields.encodeType(name, MESSAGE_HEAD))))
  return out
}

/** What the sender signs. Source: EIP-712; docs/spec/transactions.md#native-wire-form */
export function signingHash({ type, chainId, nonce, maxFeeWei, fields }: UnsignedNative): Uint8Array {
  const words = encodeData.get(type.byte)
  assert(words, 'type is not in the table')
  type.fields.writeWords(fields, words, headFields.writeWords({ nonce, maxFee: maxFeeWei }, words, 32))
  return typedDataDigest(domainSeparator(chainId, type.door), keccak256(words))
}

/**
 * Everything that is signed in a transaction: by its sender, then what its fields carry, such as the clients' requests of a credit. Whoever
 * recovers these ahead (a pool does it on other cores) hands the signers, in this order, to `checkSigned`.
 */
export function signaturesOf(native: SignedNative): SignedDigest[] {
  const { type, fields, chainId, signature } = native
  return [{ digest: signingHash(native), signature }, ...type.signed(fields, chainId)]
}

/** Whose a transaction is. */
type Sent = { readonly ok: true; readonly sender: Hex } | Rejection

/** The sender, or what keeps the transaction out of every block: first by its fields, then by its signatures. */
export function checkSigned(native: SignedNative, signers?: Signers): Sent {
  return native.type.checkFields(native.fields) ?? checkSignatures(native, signers)
}

/** The sender of a transaction whose fields were checked. `signers` (of `signaturesOf`): recovered here, the sender first, if not given. */
export function checkSignatures(native: SignedNative, signers?: Signers): Sent {
  const { type, fields, chainId } = native
  const sender = signers ? signers[0] : recoverAddress(signingHash(native), native.signature)
  if (!sender) return invalid('badSignature')
  return type.checkSigners(fields, chainId, signers?.slice(1)) ?? { ok: true, sender }
}

/** What the head of a native row counts as, whatever nonce and fee it has: type 1, signature 64, up to 6 and 13. */
const ROW_HEAD_BYTES = 84
const OPERATION_HEAD_BYTES = 21

/** Bytes that a transaction pays for: its row on L1, its head counted as 84, and what stands in the tail for it. Spec: docs/spec/batch.md#row-bytes */
export function nativeRowBytes(tx: { readonly type: NativeType; readonly fields: FieldValues }): number {
  return ROW_HEAD_BYTES + tx.type.row.bytes(tx.fields) + attachedBytes(tx) + verdictBytes(tx.type)
}

/** Bytes that a call of a door pays for. Spec: docs/spec/batch.md#row-bytes */
export function operationRowBytes(call: { readonly type: NativeType; readonly fields: FieldValues }): number {
  return OPERATION_HEAD_BYTES + call.type.row.bytes(call.fields) + attachedBytes(call) + verdictBytes(call.type)
}

function verdictBytes({ byte }: NativeType): number {
  return byte === TX_TYPE.creditDispute ? VERDICT_BYTES_PAID : 0
}

/** Bytes of the fields that stand behind the rows, before compression. */
export function attachedBytes({ type, fields }: { readonly type: NativeType; readonly fields: FieldValues }): number {
  let sum = 0
  for (const name of type.attached) sum += attachmentBytes(fields[name] as Hex | Attachment)
  return sum
}

/** Gas of a native transaction, a pure function of its content. Spec: docs/spec/transactions.md#gas */
export function nativeGas(tx: { readonly type: NativeType; readonly fields: FieldValues }): bigint {
  return NATIVE_GAS.base + NATIVE_GAS.perRowByte * BigInt(nativeRowBytes(tx)) + tx.type.itemGas(tx.fields)
}

const selectors = new Map(NATIVE_TYPES.map((type) => [type.byte, selectorOf(type)]))

function selectorOf({ functionName, fields }: NativeType): Hex {
  return toFunctionSelector({ type: 'function', name: functionName, inputs: fields.parameters, outputs: [], stateMutability: 'payable' })
}

/** The transaction as a call of its door, for those who know only ABIs. */
export function doorCallData({ type, fields }: { readonly type: NativeType; readonly fields: FieldValues }): Hex {
  const args = type.fields.parameters.map((parameter) => fields[parameter.name ?? ''])
  return concatHex([selectors.get(type.byte) ?? selectorOf(type), encodeAbiParameters(type.fields.parameters, args)])
}

/** Hash of a transaction of any kind: keccak256 of its serialized bytes. */
export function transactionHash(raw: Uint8Array): Hex {
  return toHex(keccak256(raw))
}

function trimZeros(bytes: Uint8Array): Uint8Array {
  let at = 0
  while (at < bytes.length && bytes[at] === 0) at++
  return bytes.subarray(at)
}

function left32(bytes: Uint8Array): Uint8Array {
  if (bytes.length > 32 || bytes[0] === 0) malformed()
  if (bytes.length === 32) return bytes
  const out = new Uint8Array(32)
  out.set(bytes, 32 - bytes.length)
  return out
}
