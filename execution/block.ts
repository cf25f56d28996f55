/**
 * Blocks: Ethereum's header and body, with transactions of all our types in it. Bytes, hash, and what can be said without state.
 * Wire: rlp([header, transactions, [], []]), a typed transaction being a string and a legacy one a list. Spec: docs/spec/block.md
 */
import { RLP } from '@ethereumjs/rlp'
import { type Hex, numberToBytes } from 'viem'
import type { ChainParams } from '../genesis/params.ts'
import type { DataFee } from './fee.ts'
import { attempt, type Cursor, malformed, takeRlpList, takeRlpString, takeRlpUint } from './fields.ts'
import { toHex } from './hex.ts'
import { keccak256 } from './keccak.ts'
import type { Log } from './native/nativeType.ts'
import { encodeRlp, type RlpItem, rlpBytes } from './rlp.ts'

/** keccak256(rlp([])), keccak256(rlp('')) and sha256(''): what stands where Ethereum has something and we have nothing. */
export const EMPTY_OMMERS_HASH: Hex = '0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347'
export const EMPTY_TRIE_ROOT: Hex = '0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421'
export const EMPTY_REQUESTS_HASH: Hex = '0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** A header's fields in wire order, by the names JSON-RPC uses. */
export type Header = {
  readonly parentHash: Hex
  readonly sha3Uncles: Hex
  readonly miner: Hex
  readonly stateRoot: Hex
  readonly transactionsRoot: Hex
  readonly receiptsRoot: Hex
  readonly logsBloom: Hex
  readonly difficulty: bigint
  readonly number: bigint
  readonly gasLimit: bigint
  readonly gasUsed: bigint
  /** Seconds. */
  readonly timestamp: bigint
  readonly extraData: Hex
  readonly mixHash: Hex
  readonly nonce: Hex
  readonly baseFeePerGas: bigint
  /** Root of the ledger after the block. */
  readonly withdrawalsRoot: Hex
  readonly blobGasUsed: bigint
  readonly excessBlobGas: bigint
  /** Hash of the block's L1 origin. */
  readonly parentBeaconBlockRoot: Hex
  readonly requestsHash: Hex
}

/** A block: header, and the serialized bytes of each transaction (type byte first, or a legacy list). */
export type Block = { readonly header: Header; readonly transactions: readonly Uint8Array[] }

/** What a transaction left behind. `type` is its first byte, 0 for legacy. */
export type Receipt = {
  readonly type: number
  readonly succeeded: boolean
  readonly cumulativeGasUsed: bigint
  /** Their bloom follows from them (execution/bloom.ts), and is kept by nobody. */
  readonly logs: readonly Log[]
  readonly gasUsed: bigint
  /** Address of the contract that the transaction made, if any. */
  readonly contractAddress: Hex | undefined
  /** Why a native transaction failed, if it did. */
  readonly failureCode: string | undefined
  /** What its bytes cost, where bytes cost something. No part of the receipt that the header commits to. */
  readonly dataFee: DataFee | undefined
}

/** Hash of a header, which is the block's. */
export function hashHeader(header: Header): Hex {
  return toHex(keccak256(encodeHeader(header)))
}

/** A header's bytes: rlp of its fields in wire order. */
export function encodeHeader(header: Header): Uint8Array {
  return encodeRlp(headerItems(header))
}

/** A block's bytes. */
export function encodeBlock({ header, transactions }: Block): Uint8Array {
  return encodeRlp([headerItems(header), transactions.map(toBodyItem), [], []])
}

/** Length of a block's bytes. */
export function blockBytes({ header, transactions }: Block): number {
  return rlpBytes([headerItems(header), transactions.map(toBodyItem), [], []])
}

/** The block that the bytes are, or undefined. Says nothing about its validity. */
export function decodeBlock(bytes: Uint8Array): Block | undefined {
  return attempt(() => {
    const outer: Cursor = { bytes, at: 0, end: bytes.length }
    const list = takeRlpList(outer)
    if (outer.at !== outer.end) malformed()
    const header = readHeader(takeRlpList(list))
    const body = takeRlpList(list)
    const transactions: Uint8Array[] = []
    while (body.at < body.end) transactions.push(takeTransaction(body)) // ends: each is at least one byte long
    for (let i = 0; i < 2; i++) {
      const empty = takeRlpList(list)
      if (empty.at !== empty.end) malformed()
    }
    if (list.at !== list.end) malformed()
    return { header, transactions }
  })
}

/** The header that the bytes are, or undefined. */
export function decodeHeader(bytes: Uint8Array): Header | undefined {
  return attempt(() => {
    const outer: Cursor = { bytes, at: 0, end: bytes.length }
    const header = readHeader(takeRlpList(outer))
    if (outer.at !== outer.end) malformed()
    return header
  })
}

/** Time of a block in milliseconds: its seconds and the milliseconds in extraData. */
export function timestampMs(header: Pick<Header, 'timestamp' | 'extraData'>): number {
  return Number(header.timestamp) * 1000 + Number.parseInt(header.extraData.slice(4, 8), 16)
}

/** timestamp and extraData of a block at this time. */
export function encodeTimestamp(ms: number): Pick<Header, 'timestamp' | 'extraData'> {
  const extra = numberToBytes(ms % 1000, { size: 2 })
  return { timestamp: BigInt(Math.floor(ms / 1000)), extraData: toHex(Uint8Array.of(1, ...extra)) }
}

/** Base fee of the next block, in wei per gas. Moves by at most 1/8 a block, never below the network's floor. Source: EIP-1559, `expected_base_fee_per_gas`. */
export function nextBaseFeeWei(parent: Header, params: ChainParams): bigint {
  if (parent.number === 0n) return params.initialBaseFeeWei
  const target = parent.gasLimit / 2n
  const fee = parent.baseFeePerGas
  let next = fee
  if (parent.gasUsed > target) {
    const delta = (fee * (parent.gasUsed - target)) / target / 8n
    next = fee + (delta > 1n ? delta : 1n)
  }
  if (parent.gasUsed < target) next = fee - (fee * (target - parent.gasUsed)) / target / 8n
  return next > params.minBaseFeeWei ? next : params.minBaseFeeWei
}

/** A transaction as it stands in an RLP body: a typed one is a string, a legacy one the list itself. */
function toBodyItem(raw: Uint8Array): Uint8Array | Uint8Array[] {
  return (raw[0] ?? 0) >= 0xc0 ? (RLP.decode(raw) as Uint8Array[]) : raw
}

function takeTransaction(body: Cursor): Uint8Array {
  const first = body.bytes[body.at] ?? 0
  if (first < 0xc0) return takeRlpString(body).slice()
  const from = body.at
  takeRlpList(body)
  return body.bytes.slice(from, body.at)
}

type HeaderKind = 'bytes32' | 'address' | 'bloom' | 'uint' | 'bytes' | 'bytes8'

/** Wire order. Source: execution-specs, Osaka `Header`. */
const HEADER_FIELDS = [
  ['parentHash', 'bytes32'],
  ['sha3Uncles', 'bytes32'],
  ['miner', 'address'],
  ['stateRoot', 'bytes32'],
  ['transactionsRoot', 'bytes32'],
  ['receiptsRoot', 'bytes32'],
  ['logsBloom', 'bloom'],
  ['difficulty', 'uint'],
  ['number', 'uint'],
  ['gasLimit', 'uint'],
  ['gasUsed', 'uint'],
  ['timestamp', 'uint'],
  ['extraData', 'bytes'],
  ['mixHash', 'bytes32'],
  ['nonce', 'bytes8'],
  ['baseFeePerGas', 'uint'],
  ['withdrawalsRoot', 'bytes32'],
  ['blobGasUsed', 'uint'],
  ['excessBlobGas', 'uint'],
  ['parentBeaconBlockRoot', 'bytes32'],
  ['requestsHash', 'bytes32'],
] as const satisfies readonly (readonly [keyof Header, HeaderKind])[]

const HEADER_BYTES: Readonly<Record<HeaderKind, number | undefined>> = {
  bytes32: 32,
  address: 20,
  bloom: 256,
  bytes8: 8,
  uint: undefined,
  bytes: undefined,
}

function headerItems(header: Header): RlpItem[] {
  return HEADER_FIELDS.map(([name]) => header[name])
}

function readHeader(list: Cursor): Header {
  const header: Record<string, Hex | bigint> = {}
  for (const [name, kind] of HEADER_FIELDS) {
    if (kind === 'uint') {
      header[name] = takeRlpUint(list, 64)
      continue
    }
    const bytes = takeRlpString(list)
    const length = HEADER_BYTES[kind]
    if (length === undefined ? bytes.length > 32 : bytes.length !== length) malformed()
    header[name] = toHex(bytes)
  }
  if (list.at !== list.end) malformed()
  return header as unknown as Header
}
