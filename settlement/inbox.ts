/** What the inbox contract says about a batch, and the hashes that chain batches. Spec: docs/spec/batch.md#on-l1 */
import {
  BaseError,
  bytesToHex,
  concatBytes,
  decodeFunctionData,
  encodeAbiParameters,
  encodeFunctionData,
  type Hex,
  hexToBytes,
  parseAbiParameters,
} from 'viem'
import { keccak256 } from '../execution/keccak.ts'
import { batchInboxAbi } from './abi.ts'
import type { L1Commit } from './registry.ts'

/** Bytes of a payload in call data at most, as the inbox has it. Spec: docs/spec/batch.md#on-l1 */
export const CALL_DATA_BYTES_MAX = 131_072

/** What a poster says about a batch. `l1Origin…` is an L1 block at or after the origin of the last block. */
export type BatchHeader = {
  readonly prevAccumulator: Hex
  readonly firstBlock: bigint
  readonly lastBlock: bigint
  readonly lastBlockHash: Hex
  readonly l1OriginNumber: bigint
  readonly l1OriginHash: Hex
  readonly payloadBytes: number
}

const accumulatorParameters = parseAbiParameters([
  'bytes32 prevAccumulator, uint64 index, BatchHeader header, bytes32 dataHash',
  'struct BatchHeader { bytes32 prevAccumulator; uint64 firstBlock; uint64 lastBlock; bytes32 lastBlockHash; uint64 l1OriginNumber; bytes32 l1OriginHash; uint32 payloadBytes; }',
])

/** Hash of a payload in call data. */
export function callDataHash(payload: Uint8Array): Hex {
  return bytesToHex(keccak256(concatBytes([Uint8Array.of(0x00), payload])))
}

/** Hash of a payload in the blobs of these versioned hashes. */
export function blobDataHash(versionedHashes: readonly Hex[]): Hex {
  return bytesToHex(keccak256(concatBytes([Uint8Array.of(0x01), ...versionedHashes.map((hash) => hexToBytes(hash))])))
}

/** Head of the hash chain after the batch. Indexes count from 0; the chain starts with the keccak256 of the genesis file. */
export function batchAccumulator({
  index,
  header,
  dataHash,
}: {
  readonly index: bigint
  readonly header: BatchHeader
  readonly dataHash: Hex
}): Hex {
  const words = encodeAbiParameters(accumulatorParameters, [header.prevAccumulator, index, header, dataHash])
  return bytesToHex(keccak256(hexToBytes(words)))
}

/** In place of a count: the batch stands whatever was posted before it. */
export const ANY_COUNT = 2n ** 64n - 1n

/** What goes with a batch's header. */
export type Posting = {
  /** Of the last block. */
  readonly certificate: Pick<L1Commit, 'round' | 'bitmap' | 'signature'>
  /** Index of the batch that this one follows, and one more; 0: it follows the genesis file. */
  readonly next: bigint
  /** Batches that the inbox must hold, or `ANY_COUNT`. */
  readonly count: bigint
  /** Undefined where blobs carry it. */
  readonly payload?: Uint8Array | undefined
}

/** Call data that posts a batch. */
export function encodePostBatch(header: BatchHeader, { certificate, next, count, payload = new Uint8Array() }: Posting): Hex {
  const { round, bitmap, signature } = certificate
  const args = [header, bytesToHex(payload), { round, bitmap, signature }, next, count] as const
  return encodeFunctionData({ abi: batchInboxAbi, functionName: 'postBatch', args })
}

/** The payload in call data that posts a batch, in whatever form; undefined: it cannot be read. */
export function anyPayloadOf(data: Hex): Uint8Array | undefined {
  const call = callOf(data)
  return call && hexToBytes(call.args[1])
}

/** The payload in call data that posts a batch; undefined: it is not as `encodePostBatch` writes it, though the contract may have read it. */
export function payloadOf(data: Hex): Uint8Array | undefined {
  const call = callOf(data)
  const isPlain = call && encodeFunctionData({ abi: batchInboxAbi, functionName: 'postBatch', args: call.args }) === data
  return isPlain ? hexToBytes(call.args[1]) : undefined
}

function callOf(data: Hex) {
  try {
    const call = decodeFunctionData({ abi: batchInboxAbi, data })
    return call.functionName === 'postBatch' ? call : undefined
  } catch (error) {
    if (error instanceof BaseError) return undefined // viem throws for data that is no call of the contract
    throw error
  }
}
