/**
 * Headers of L1 blocks as they are hashed, made of what JSON-RPC says of a block: fraud proofs show L1's blocks by them.
 * Wire: rlp([parentHash, sha3Uncles, miner, stateRoot, transactionsRoot, receiptsRoot, logsBloom, difficulty, number, gasLimit, gasUsed, timestamp,
 * extraData, mixHash, nonce, …what forks have added since London]). Source: execution-specs, `Header` of each fork.
 */
import { bytesToHex, type Hex, isHex } from 'viem'
import { keccak256 } from '../execution/keccak.ts'
import { encodeRlp } from '../execution/rlp.ts'

/** Members in their order: `uint` without leading zeros, `bytes` as they are. */
const FIELDS = [
  ['parentHash', 'bytes'],
  ['sha3Uncles', 'bytes'],
  ['miner', 'bytes'],
  ['stateRoot', 'bytes'],
  ['transactionsRoot', 'bytes'],
  ['receiptsRoot', 'bytes'],
  ['logsBloom', 'bytes'],
  ['difficulty', 'uint'],
  ['number', 'uint'],
  ['gasLimit', 'uint'],
  ['gasUsed', 'uint'],
  ['timestamp', 'uint'],
  ['extraData', 'bytes'],
  ['mixHash', 'bytes'],
  ['nonce', 'bytes'],
] as const

/** What forks have added, in their order; a block has all up to the newest fork that it is of. */
const ADDED = [
  ['baseFeePerGas', 'uint'],
  ['withdrawalsRoot', 'bytes'],
  ['blobGasUsed', 'uint'],
  ['excessBlobGas', 'uint'],
  ['parentBeaconBlockRoot', 'bytes'],
  ['requestsHash', 'bytes'],
  ['blockAccessListHash', 'bytes'],
  ['slotNumber', 'uint'],
] as const

/** The header of a block as `eth_getBlockByHash` gives it; undefined if it is not the one of the block's hash: a fork that is not known here, or a lie. */
export function encodeL1Header(block: Readonly<Record<string, unknown>>): Uint8Array | undefined {
  const items: (Hex | bigint)[] = []
  for (const [name, kind] of [...FIELDS, ...ADDED]) {
    const value = block[name]
    if (value === undefined || value === null) continue
    if (!isHex(value)) return undefined
    items.push(kind === 'uint' ? BigInt(value) : value)
  }
  const bytes = encodeRlp(items)
  return bytesToHex(keccak256(bytes)) === block.hash ? bytes : undefined
}
