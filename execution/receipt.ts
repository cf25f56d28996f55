/**
 * Inference requests and receipts: what a client asks and pays for, and what a worker's hot key says that it did.
 * Packed form: the members big-endian at their own widths, 188 and 281 bytes. Signed as EIP-712 of 0x…0a10. A window's receipts are
 * committed with both signatures, so that a forged one can be shown: leaf keccak256(0x00 ‖ signedId), signedId keccak256(receiptId ‖ requestSig ‖
 * receiptSig), in the tree of execution/merkle.ts.
 * Spec: docs/spec/receipts.md
 */
import { bytesToHex, concatBytes, type Hex, hexToBytes, parseAbiParameters, stringToBytes } from 'viem'
import { VERIFIER } from '../genesis/params.ts'
import { assert } from './assert.ts'
import { compileFields, type Fields, type FieldsOf } from './fields.ts'
import { keccak256 } from './keccak.ts'
import { rootOf, runPath, runRoot, tagged, treeLevels } from './merkle.ts'
import { domainSeparator, typedDataDigest } from './typedData.ts'

/** Members of an `InferenceRequest`, as Solidity parameters. */
export const REQUEST_MEMBERS =
  'address client, address worker, bytes32 modelId, bytes32 promptCommit, bytes32 paramsHash, uint64 seed, uint32 maxOutputTokens, uint96 maxFee, uint96 cumulativeMaxFee, uint64 nonce, uint64 deadline'

/** Members of an `InferenceReceipt`, as Solidity parameters. */
export const RECEIPT_MEMBERS =
  'bytes32 requestHash, bytes32 modelId, address worker, uint64 seq, bytes32 outputCommit, bytes32 tokensRoot, bytes32 traceRoot, bytes32 attributionHash, bytes32 attestationId, uint32 promptTokens, uint32 outputTokens, uint96 fee, uint64 finishedAt, uint8 tier'

const requestParameters = parseAbiParameters(REQUEST_MEMBERS)
const receiptParameters = parseAbiParameters(RECEIPT_MEMBERS)

/**
 * What a client signs. `cumulativeMaxFee` (wei) is all that it lets this worker draw to date, so that the latest request is the payment
 * voucher; `worker` zero means any. `deadline` in seconds.
 */
export type InferenceRequest = FieldsOf<typeof requestParameters>

/** What a worker's hot key signs. `fee` in wei, `finishedAt` in seconds, `seq` counts the worker's receipts. */
export type InferenceReceipt = FieldsOf<typeof receiptParameters>

const requestFields = compileFields(requestParameters)
const receiptFields = compileFields(receiptParameters)
const hashOfRequest = structHasher('InferenceRequest', requestFields)
const hashOfReceipt = structHasher('InferenceReceipt', receiptFields)

/** Lengths of the packed forms. */
export const REQUEST_BYTES = 188
export const RECEIPT_BYTES = 281

/** Packed form of a request. */
export function encodeRequest(request: InferenceRequest): Uint8Array {
  return requestFields.pack(request)
}

/** Reads a packed request; undefined if the length is wrong. */
export function decodeRequest(bytes: Uint8Array): InferenceRequest | undefined {
  return requestFields.unpack(bytes)
}

/** Packed form of a receipt. */
export function encodeReceipt(receipt: InferenceReceipt): Uint8Array {
  return receiptFields.pack(receipt)
}

/** Reads a packed receipt; undefined if the length is wrong. */
export function decodeReceipt(bytes: Uint8Array): InferenceReceipt | undefined {
  return receiptFields.unpack(bytes)
}

/** Name of a request: its EIP-712 struct hash, the same on every chain. */
export function requestHash(request: InferenceRequest): Hex {
  return bytesToHex(hashOfRequest(request))
}

/** Name of a receipt: its EIP-712 struct hash, the same on every chain. */
export function receiptId(receipt: InferenceReceipt): Hex {
  return bytesToHex(hashOfReceipt(receipt))
}

/** What the client signs. Source: EIP-712. */
export function requestDigest(request: InferenceRequest, chainId: number): Uint8Array {
  return typedDataDigest(domainSeparator(chainId, VERIFIER.receipt), hashOfRequest(request))
}

/** What the worker's hot key signs. Source: EIP-712. */
export function receiptDigest(receipt: InferenceReceipt, chainId: number): Uint8Array {
  return typedDataDigest(domainSeparator(chainId, VERIFIER.receipt), hashOfReceipt(receipt))
}

/** What a request says of its prompt without showing it. The salt has 32 bytes. */
export function promptCommit(salt: Uint8Array, prompt: Uint8Array): Hex {
  return commit(0x11, salt, prompt)
}

/** What a receipt says of its output without showing it. The salt has 32 bytes. */
export function outputCommit(salt: Uint8Array, output: Uint8Array): Hex {
  return commit(0x12, salt, output)
}

/** Name of a receipt together with the signatures that make it worth something, 65 bytes each. */
export function signedId(receipt: Hex, requestSig: Uint8Array, receiptSig: Uint8Array): Hex {
  return bytesToHex(keccak256(concatBytes([hexToBytes(receipt), requestSig, receiptSig])))
}

/** Root over a window's signed ids, in the order of their sequence numbers. There is at least one. */
export function receiptsRoot(signedIds: readonly Hex[]): Hex {
  return bytesToHex(rootOf(treeLevels(signedIds.map(leafOf))))
}

/** Siblings from the leaf of receipt `index` up to the root; a promoted node has none. */
export function receiptPath(signedIds: readonly Hex[], index: number): Hex[] {
  return runPath(treeLevels(signedIds.map(leafOf)), index).map((hash) => bytesToHex(hash))
}

/** A receipt's place in a window, as anybody may claim it. */
export type Inclusion = {
  readonly root: Hex
  readonly index: number
  /** Receipts in the window, which rules the tree's shape. */
  readonly count: number
  readonly signedId: Hex
  readonly path: readonly Hex[]
}

/** Whether the receipt is leaf `index` of the tree of `count` leaves under `root`. Hashes are 32 bytes; index and count fit 32 bits. */
export function verifyInclusion({ root, index, count, signedId: id, path }: Inclusion): boolean {
  const hash = runRoot({ leaves: [leafOf(id)], first: index, width: count, path: path.map((one) => hexToBytes(one)) })
  return hash !== undefined && bytesToHex(hash) === root
}

/** EIP-712's hashStruct of a type. Its encodeData is written for one value after another, and hashed in between. */
function structHasher<T>(name: string, fields: Fields<T>): (value: T) => Uint8Array {
  const encodeData = new Uint8Array(32 + fields.wordsBytes)
  encodeData.set(keccak256(stringToBytes(fields.encodeType(name))))
  return (value) => {
    fields.writeWords(value, encodeData, 32)
    return keccak256(encodeData)
  }
}

function commit(tag: number, salt: Uint8Array, payload: Uint8Array): Hex {
  assert(salt.length === 32, 'a salt has 32 bytes')
  return bytesToHex(keccak256(concatBytes([Uint8Array.of(tag), salt, payload])))
}

function leafOf(id: Hex): Uint8Array {
  return tagged(0x00, hexToBytes(id))
}
