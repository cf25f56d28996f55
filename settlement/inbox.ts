/** What the inbox contract says about a batch, and the hashes that chain batches. Spec: docs/spec/batch.md#on-l1 */
import { bytesToHex, concatBytes, encodeAbiParameters, encodeFunctionData, type Hex, hexToBytes, parseAbiParameters } from 'viem'
import { keccak256 } from '../execution/keccak.ts'
import { batchInboxAbi } from './abi.ts'

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

/** Call data that posts a batch: with the payload, or without where blobs carry it. */
export function encodePostBatch(header: BatchHeader, payload: Uint8Array = new Uint8Array()): Hex {
  return encodeFunctionData({ abi: batchInboxAbi, functionName: 'postBatch', args: [header, bytesToHex(payload)] })
}
