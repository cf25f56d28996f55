/**
 * Inference requests and receipts: what a client asks and pays for, and what a worker's hot key says that it did.
 * Packed form: the members big-endian at their own widths, 188 and 281 bytes. Signed as EIP-712 of 0x…0a10. A window's receipts are
 * committed by a Merkle tree: leaf keccak256(0x00 ‖ receiptId), node keccak256(0x01 ‖ left ‖ right), an odd last node is promoted.
 * Spec: docs/spec/receipts.md
 */
import { bytesToHex, concatBytes, type Hex, hexToBytes, parseAbiParameters, stringToBytes } from 'viem'
import { VERIFIER } from '../genesis/params.ts'
import { assert } from './assert.ts'
import { compileFields, type Fields, type FieldsOf } from './fields.ts'
import { keccak256 } from './keccak.ts'
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
const requestTypeHash = keccak256(stringToBytes(requestFields.encodeType('InferenceRequest')))
const receiptTypeHash = keccak256(stringToBytes(receiptFields.encodeType('InferenceReceipt')))

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
  return bytesToHex(structHash(requestTypeHash, requestFields, request))
}

/** Name of a receipt: its EIP-712 struct hash, the same on every chain. */
export function receiptId(receipt: InferenceReceipt): Hex {
  return bytesToHex(structHash(receiptTypeHash, receiptFields, receipt))
}

/** What the client signs. Source: EIP-712. */
export function requestDigest(request: InferenceRequest, chainId: number): Uint8Array {
  return typedDataDigest(domainSeparator(chainId, VERIFIER.receipt), structHash(requestTypeHash, requestFields, request))
}

/** What the worker's hot key signs. Source: EIP-712. */
export function receiptDigest(receipt: InferenceReceipt, chainId: number): Uint8Array {
  return typedDataDigest(domainSeparator(chainId, VERIFIER.receipt), structHash(receiptTypeHash, receiptFields, receipt))
}

/** What a request says of its prompt without showing it. The salt has 32 bytes. */
export function promptCommit(salt: Uint8Array, prompt: Uint8Array): Hex {
  return commit(0x11, salt, prompt)
}

/** What a receipt says of its output without showing it. The salt has 32 bytes. */
export function outputCommit(salt: Uint8Array, output: Uint8Array): Hex {
  return commit(0x12, salt, output)
}

/** Root over a window's receipt ids, in the order of their sequence numbers. There is at least one. */
export function receiptsRoot(receiptIds: readonly Hex[]): Hex {
  const root = treeLevels(receiptIds).at(-1)?.[0]
  assert(root, 'a window has at least one receipt')
  return bytesToHex(root)
}

/** Siblings from the leaf of receipt `index` up to the root; a promoted node has none. */
export function receiptPath(receiptIds: readonly Hex[], index: number): Hex[] {
  assert(index >= 0 && index < receiptIds.length, 'no such receipt in the window')
  return treeLevels(receiptIds).flatMap((level, height) => {
    const sibling = level[Math.floor(index / 2 ** height) ^ 1]
    return sibling ? [bytesToHex(sibling)] : []
  })
}

/** A receipt's place in a window, as anybody may claim it. */
export type Inclusion = {
  readonly root: Hex
  readonly index: number
  /** Receipts in the window, which rules the tree's shape. */
  readonly count: number
  readonly receiptId: Hex
  readonly path: readonly Hex[]
}

/** Whether the receipt is leaf `index` of the tree of `count` leaves under `root`. Hashes are 32 bytes; index and count fit 32 bits. */
export function verifyInclusion({ root, index, count, receiptId, path }: Inclusion): boolean {
  if (index >= count) return false
  let hash = leafOf(receiptId)
  let used = 0
  for (let place = index, width = count; width > 1; place = Math.floor(place / 2), width = Math.ceil(width / 2)) {
    if (place === width - 1 && place % 2 === 0) continue // the odd last node of its level is promoted
    const sibling = path[used++]
    if (sibling === undefined) return false
    hash = place % 2 === 0 ? nodeOf(hash, hexToBytes(sibling)) : nodeOf(hexToBytes(sibling), hash)
  }
  return used === path.length && bytesToHex(hash) === root
}

function structHash<T>(typeHash: Uint8Array, fields: Fields<T>, value: T): Uint8Array {
  return keccak256(concatBytes([typeHash, fields.words(value)]))
}

function commit(tag: number, salt: Uint8Array, payload: Uint8Array): Hex {
  assert(salt.length === 32, 'a salt has 32 bytes')
  return bytesToHex(keccak256(concatBytes([Uint8Array.of(tag), salt, payload])))
}

/** Every level of the tree, leaves first. */
function treeLevels(receiptIds: readonly Hex[]): Uint8Array[][] {
  let level = receiptIds.map(leafOf)
  const levels = [level]
  while (level.length > 1) {
    const above: Uint8Array[] = []
    for (let i = 0; i < level.length; i += 2) {
      const left = level[i]
      const right = level[i + 1]
      if (left) above.push(right ? nodeOf(left, right) : left)
    }
    level = above
    levels.push(level)
  }
  return levels
}

function leafOf(id: Hex): Uint8Array {
  return keccak256(concatBytes([Uint8Array.of(0x00), hexToBytes(id)]))
}

function nodeOf(left: Uint8Array, right: Uint8Array): Uint8Array {
  return keccak256(concatBytes([Uint8Array.of(0x01), left, right]))
}
