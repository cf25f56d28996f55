/**
 * What nodes send each other, in bytes: names of topics and protocols, gossip messages, requests and answers of block sync. All of it comes from
 * strangers: one value has one encoding, every length has a bound, and a decoder answers why bytes are not a value and never throws.
 *
 *   certified block   commitBytes u16 ‖ commit ‖ block          commit: a message of consensus, block: docs/spec/block.md
 *   batch             number u32 ‖ (length u24 ‖ transaction)…   transactions; the number is the sender's own
 *   block news        0x01 ‖ certified block, or 0x02 ‖ commit   the block itself, or that it exists
 *                     0x03 ‖ signers                             of a checkpoint
 *   blocks request    from u64 ‖ count u8
 *   blocks answer     frames: (0x01 ‖ certified block)… 0x00
 *
 * Spec: docs/spec/p2p.md
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { LIMIT, VALIDATORS_MAX } from '../genesis/params.ts'

/** Most bytes of the transactions in one batch with their lengths; a batch of one transaction may have more. */
export const BATCH_BYTES_MAX = 65_536

/** Bytes in front of each transaction of a batch. */
export const TX_LENGTH_BYTES = 3

/** Bytes of a batch's number. */
const BATCH_NUMBER_BYTES = 4

/** Most bytes of a gossiped batch: one transaction of the largest size. */
export const TRANSACTIONS_BYTES_MAX = BATCH_NUMBER_BYTES + Math.max(BATCH_BYTES_MAX, TX_LENGTH_BYTES + LIMIT.txBytes)

/** Most bytes of a certificate, as a message of consensus. */
export const COMMIT_BYTES_MAX = 1_024

/** Most bytes of a checkpoint's signers: lastBlock u64, hash, bitmapBytes u16, bitmap and signature of the largest set. */
export const SIGNERS_BYTES_MAX = 8 + 32 + 2 + VALIDATORS_MAX / 8 + 96

/** Most bytes of one block on the wire. Far above `blockBytesMax`: deposits do not count there and take up to 10,000 bytes each. */
export const BLOCK_BYTES_MAX = 32 << 20

/** Most bytes of a gossiped block; a larger one is only announced. */
export const NEWS_BYTES_MAX = 1 << 20

/** Bytes of a request. */
export const REQUEST_BYTES = 9

/** Most blocks of one answer. */
export const ANSWER_BLOCKS_MAX = 32

/** Most bytes of an answer of more than one block. */
export const ANSWER_BYTES_MAX = 8 << 20

/** Most bytes of one frame of an answer. */
export const FRAME_BYTES_MAX = 1 + 2 + COMMIT_BYTES_MAX + BLOCK_BYTES_MAX

/** A block and the certificate that makes it final, both as bytes: what they are worth is for consensus to say. */
export type CertifiedBlock = { readonly commit: Uint8Array; readonly block: Uint8Array }

/** News on the blocks topic. */
export type BlockNews =
  | ({ readonly kind: 'block' } & CertifiedBlock)
  | { readonly kind: 'announcement'; readonly commit: Uint8Array }
  | { readonly kind: 'checkpoint'; readonly signers: Uint8Array }

/** A question for blocks: `count` of them, upwards from a height. */
export type BlocksRequest = { readonly from: bigint; readonly count: number }

/** One frame of an answer. */
export type AnswerFrame = ({ readonly kind: 'block' } & CertifiedBlock) | { readonly kind: 'end' }

/** Why bytes are no message. */
export type WireCode = 'truncated' | 'trailingBytes' | 'oversize' | 'empty' | 'unknownKind' | 'countRange' | 'heightRange'

export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly code: WireCode }

const KIND = { end: 0, block: 1, announcement: 2, checkpoint: 3 } as const

/** Names of the gossip topics of a network. */
export function topicsOf(genesisHash: Hex): { readonly transactions: string; readonly blocks: string } {
  const network = genesisHash.slice(2)
  return { transactions: `/tributary/${network}/transactions/1`, blocks: `/tributary/${network}/blocks/1` }
}

/** Name of the block sync protocol of a network: the first 8 bytes of the genesis hash tell networks apart. */
export function syncProtocolOf(genesisHash: Hex): string {
  return `/tributary/${genesisHash.slice(2, 18)}/blocks/1`
}

/** Names of the protocols between validators: one for messages, one for blocks. */
export function directProtocolsOf(genesisHash: Hex): { readonly votes: string; readonly blocks: string } {
  const network = genesisHash.slice(2, 18)
  return { votes: `/tributary/${network}/consensus/1`, blocks: `/tributary/${network}/proposals/1` }
}

/**
 * The bytes of a batch. Messages are known by their content, so the number (u32) tells transactions that are sent again from the message that they
 * were in before; nobody reads it.
 */
export function encodeBatch(number: number, transactions: readonly Uint8Array[]): Uint8Array {
  return concatBytes([uintBytes(number, BATCH_NUMBER_BYTES), encodeTransactions(transactions)])
}

/** The transactions of a batch, whatever its number. */
export function decodeBatch(data: Uint8Array): Decoded<readonly Uint8Array[]> {
  if (data.length < BATCH_NUMBER_BYTES) return { ok: false, code: 'truncated' }
  return decodeTransactions(data.subarray(BATCH_NUMBER_BYTES))
}

/** The bytes of transactions: at least one, each of 1 to 131,072 bytes. */
export function encodeTransactions(transactions: readonly Uint8Array[]): Uint8Array {
  const bytes = concatBytes(transactions.flatMap((raw) => [uintBytes(raw.length, TX_LENGTH_BYTES), raw]))
  assert(transactions.length > 0 && (bytes.length <= BATCH_BYTES_MAX || transactions.length === 1), 'the batch is empty or too long')
  assert(
    transactions.every(({ length }) => length > 0 && length <= LIMIT.txBytes),
    'a transaction is empty or too long',
  )
  return bytes
}

/** The transactions that the bytes are, copied, so that none keeps the others' bytes alive. */
export function decodeTransactions(data: Uint8Array): Decoded<readonly Uint8Array[]> {
  const bytes = plain(data)
  if (bytes.length === 0) return { ok: false, code: 'empty' }
  const transactions: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + TX_LENGTH_BYTES > bytes.length) return { ok: false, code: 'truncated' }
    const length = readUint(bytes, at, TX_LENGTH_BYTES)
    if (length === 0) return { ok: false, code: 'empty' }
    if (length > LIMIT.txBytes) return { ok: false, code: 'oversize' }
    at += TX_LENGTH_BYTES
    if (at + length > bytes.length) return { ok: false, code: 'truncated' }
    transactions.push(bytes.slice(at, at + length))
    at += length
    if (at > BATCH_BYTES_MAX && transactions.length > 1) return { ok: false, code: 'oversize' }
  }
  return { ok: true, value: transactions }
}

/** Bytes that a certified block takes. */
export function certifiedBlockBytes({ commit, block }: CertifiedBlock): number {
  return 2 + commit.length + block.length
}

/** The bytes of news; a block that is too large for gossip becomes an announcement. */
export function encodeNews(certified: CertifiedBlock): Uint8Array {
  if (1 + certifiedBlockBytes(certified) <= NEWS_BYTES_MAX) return concatBytes([Uint8Array.of(KIND.block), encodeCertified(certified)])
  assertCommit(certified.commit)
  return concatBytes([Uint8Array.of(KIND.announcement), certified.commit])
}

/** The bytes of news of a checkpoint. */
export function encodeCheckpointNews(signers: Uint8Array): Uint8Array {
  assert(signers.length > 0 && signers.length <= SIGNERS_BYTES_MAX, "a checkpoint's signers are none or too long")
  return concatBytes([Uint8Array.of(KIND.checkpoint), signers])
}

/** The news that the bytes are; its parts are views of them. */
export function decodeNews(data: Uint8Array): Decoded<BlockNews> {
  const bytes = plain(data)
  const body = bytes.subarray(1)
  if (bytes.length === 0) return { ok: false, code: 'truncated' }
  if (bytes.length > NEWS_BYTES_MAX) return { ok: false, code: 'oversize' }
  if (bytes[0] === KIND.block) return decodeCertified(body)
  if (bytes[0] !== KIND.announcement && bytes[0] !== KIND.checkpoint) return { ok: false, code: 'unknownKind' }
  if (body.length === 0) return { ok: false, code: 'empty' }
  if (bytes[0] === KIND.checkpoint)
    return body.length > SIGNERS_BYTES_MAX ? { ok: false, code: 'oversize' } : { ok: true, value: { kind: 'checkpoint', signers: body } }
  return body.length > COMMIT_BYTES_MAX ? { ok: false, code: 'oversize' } : { ok: true, value: { kind: 'announcement', commit: body } }
}

/** The bytes of a request. */
export function encodeRequest({ from, count }: BlocksRequest): Uint8Array {
  assert(from > 0n && count > 0 && count <= ANSWER_BLOCKS_MAX, 'the request asks for nothing or too much')
  return concatBytes([uintBytes(from, 8), Uint8Array.of(count)])
}

/** The request that the bytes are. Block 0 is in the genesis file and has no certificate: nobody asks for it. */
export function decodeRequest(bytes: Uint8Array): Decoded<BlocksRequest> {
  if (bytes.length < REQUEST_BYTES) return { ok: false, code: 'truncated' }
  if (bytes.length > REQUEST_BYTES) return { ok: false, code: 'trailingBytes' }
  const from = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
  const count = bytes[8] ?? 0
  if (from === 0n || from > BigInt(Number.MAX_SAFE_INTEGER)) return { ok: false, code: 'heightRange' }
  return count === 0 || count > ANSWER_BLOCKS_MAX ? { ok: false, code: 'countRange' } : { ok: true, value: { from, count } }
}

/** The frame of a block, or without one the last frame. */
export function encodeFrame(certified?: CertifiedBlock): Uint8Array {
  if (!certified) return Uint8Array.of(KIND.end)
  return concatBytes([Uint8Array.of(KIND.block), encodeCertified(certified)])
}

/** The frame that the bytes are; its parts are views of them. */
export function decodeFrame(data: Uint8Array): Decoded<AnswerFrame> {
  const bytes = plain(data)
  if (bytes.length === 0) return { ok: false, code: 'truncated' }
  if (bytes.length > FRAME_BYTES_MAX) return { ok: false, code: 'oversize' }
  if (bytes[0] === KIND.block) return decodeCertified(bytes.subarray(1))
  if (bytes[0] !== KIND.end) return { ok: false, code: 'unknownKind' }
  return bytes.length === 1 ? { ok: true, value: { kind: 'end' } } : { ok: false, code: 'trailingBytes' }
}

function encodeCertified({ commit, block }: CertifiedBlock): Uint8Array {
  assertCommit(commit)
  assert(block.length > 0 && block.length <= BLOCK_BYTES_MAX, 'the block is empty or too long')
  return concatBytes([uintBytes(commit.length, 2), commit, block])
}

function decodeCertified(bytes: Uint8Array): Decoded<{ readonly kind: 'block' } & CertifiedBlock> {
  if (bytes.length < 2) return { ok: false, code: 'truncated' }
  const length = readUint(bytes, 0, 2)
  if (length === 0) return { ok: false, code: 'empty' }
  if (length > COMMIT_BYTES_MAX) return { ok: false, code: 'oversize' }
  if (bytes.length <= 2 + length) return { ok: false, code: 'truncated' }
  return { ok: true, value: { kind: 'block', commit: bytes.subarray(2, 2 + length), block: bytes.subarray(2 + length) } }
}

/** The same memory as a plain array: sockets give a Buffer, whose `slice` copies nothing and whose equality is its own. */
function plain({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

function assertCommit(commit: Uint8Array): void {
  assert(commit.length > 0 && commit.length <= COMMIT_BYTES_MAX, 'the certificate is empty or too long')
}

function readUint(bytes: Uint8Array, at: number, length: number): number {
  let value = 0
  for (const byte of bytes.subarray(at, at + length)) value = value * 256 + byte
  return value
}
