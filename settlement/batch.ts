/**
 * Batches: a range of blocks as bytes for L1, complete but for what L1 itself says and what follows by execution.
 *
 * Wire: head ‖ lane ‖ groups ‖ tail, the head filled up with zeros to 186 bytes.
 *   head    version 0x01 ‖ batchIndex u64 ‖ firstBlock u64 ‖ blockCount u16 ‖ laneBytes u24 ‖ groupCount u16 ‖ tailBytes u24 ‖ ledgerRootBefore 32
 *           ‖ bitmap (u16 length) ‖ commitRound u32 ‖ signature 96
 *   lane    the native lane's rows (settlement/lane.ts), so that each can be opened on L1
 *   groups  firstByte u24 ‖ contextByte u24 ‖ ledgerRoot 32, one for each group of rows
 *   tail    brotli of: coinbases ‖ block table ‖ EVM columns (settlement/evmColumns.ts) ‖ attachments of rows
 *
 * Decoding is strict: but for the compressor's choices, a batch has one form. Spec: docs/spec/batch.md#payload, #tail
 */
import { bytesToHex, concatBytes, type Hex, hexToBytes, parseAbiParameters } from 'viem'
import { assert } from '../execution/assert.ts'
import { timestampMs } from '../execution/block.ts'
import { parseL1Info } from '../execution/deposit.ts'
import { attempt, type Cursor, compileFields, malformed, take } from '../execution/fields.ts'
import { encodeNative, nativeTypeOf } from '../execution/native/native.ts'
import { attach, type Row } from '../execution/native/row.ts'
import { encodeReport } from '../execution/report.ts'
import { encodeVarint, takeVarint } from '../execution/varint.ts'
import { TX_TYPE } from '../genesis/params.ts'
import { BATCH_PAYLOAD_BYTES_MAX } from './blob.ts'
import { COLUMN_TXS_MAX, encodeEvmColumns, takeEvmColumns } from './evmColumns.ts'
import { decodeLane, type GroupPlace, type Lane, type LaneBlock, type LaneRow } from './lane.ts'

const VERSION = 0x01

/** Blocks of one batch at most. */
export const BATCH_BLOCKS_MAX = 4_096

/** Bytes of a tail before compression at most: what one batch can make a reader hold. */
export const TAIL_BYTES_MAX = 2 ** 24

/** Bytes of a commit's bitmap at most: a set has at most 128 validators. */
const BITMAP_BYTES_MAX = 16

/** Length of the head with the zeros behind it: six elements of a blob, whatever the bitmap. */
export const HEAD_BYTES = 186

/** Length of what is said of a group. */
export const GROUP_ENTRY_BYTES = 38

/** Bytes of a lane, and of a compressed tail, at most: what a head can say. */
const SECTION_BYTES_MAX = 2 ** 24 - 1

/** Brotli (RFC 7932), done by whoever may: the bytes in one stream, at quality 5. */
export type Compression = {
  compress(bytes: Uint8Array): Uint8Array
  /** Undefined: not exactly one whole stream, or one of more than `bytesMax` bytes, which is found out before they are made. */
  decompress(bytes: Uint8Array, bytesMax: number): Uint8Array | undefined
}

/** The validators' certificate over the batch's last block. Spec: docs/spec/consensus.md#certificates */
export type BatchCommit = { readonly round: number; readonly bitmap: Uint8Array; readonly signature: Uint8Array }

/** A block as a batch holds it. `transactions` are serialized, reports, natives and Ethereum's in their order, without deposits. */
export type BatchBlock = {
  readonly timestampMs: number
  /** Number of its L1 origin. */
  readonly originNumber: bigint
  readonly coinbase: Hex
  readonly transactions: readonly Uint8Array[]
}

/** What the first block of a batch is told apart from: the block before it. */
export type BatchParent = Pick<BatchBlock, 'timestampMs' | 'originNumber'>

/** The place of a group in the lane, and the ledger root after its last row. */
export type Group = GroupPlace & { readonly ledgerRoot: Hex }

export type Batch = {
  readonly index: bigint
  readonly firstBlock: bigint
  readonly commit: BatchCommit
  readonly blocks: readonly BatchBlock[]
  /** Ledger root of the block before `firstBlock`, from which the first group starts. */
  readonly ledgerRootBefore: Hex
  readonly lane: Lane
  /** Ledger root after each group of the lane. */
  readonly ledgerRoots: readonly Hex[]
}

/** A batch as it was read, its lane's rows with it, in their groups. */
export type DecodedBatch = Batch & { readonly groups: readonly (readonly LaneRow[])[] }

/** Why a range of blocks is no batch: it has to be shorter. */
export type BatchTooLarge = {
  readonly ok: false
  readonly code: 'tooManyBlocks' | 'tooManyTransactions' | 'tailTooLarge' | 'payloadTooLarge'
  readonly got: number
  readonly max: number
}

/** Why bytes are no batch. */
export type BatchRejection = {
  readonly ok: false
  readonly code:
    | 'payloadTooLarge'
    /** Head: unknown version, counts out of bounds, bytes missing. */
    | 'unknownVersion'
    | 'badHead'
    /** The sections do not add up to the payload. */
    | 'badLength'
    /** Something behind the head. */
    | 'badPadding'
    /** Rows malformed or in an order that no blocks give, or groups that begin where no row does or are too much for L1. */
    | 'badLane'
    /** A group names another block row than the one that rules it. */
    | 'badGroup'
    /** No brotli, or too much of it. */
    | 'badCompression'
    | 'badTail'
    /** Lane and block table speak of different blocks. */
    | 'laneMismatch'
  readonly [fact: string]: unknown
}

const headFields = compileFields(
  parseAbiParameters(
    'uint8 version, uint64 batchIndex, uint64 firstBlock, uint16 blockCount, uint24 laneBytes, uint16 groupCount, uint24 tailBytes, bytes32 ledgerRootBefore, bytes bitmap, uint32 commitRound, bytes32 signature0, bytes32 signature1, bytes32 signature2',
  ),
)
const groupFields = compileFields(parseAbiParameters('uint24 firstByte, uint24 contextByte, bytes32 ledgerRoot'))

/** The part of executed blocks that a batch holds. They follow one another behind `parent`. */
export function toBatchBlocks(blocks: readonly LaneBlock[], parent: BatchParent): BatchBlock[] {
  let { originNumber } = parent
  return blocks.map(({ header, transactions }) => {
    const [first] = transactions
    if (first?.kind === 'deposit') originNumber = parseL1Info(first.deposit)?.number ?? originNumber
    const posted = transactions.filter(({ kind }) => kind !== 'deposit')
    return { timestampMs: timestampMs(header), originNumber, coinbase: header.miner, transactions: posted.map(({ raw }) => raw) }
  })
}

/** A payload, and what its tail shrank to, compressed bytes a plain one: a guess for the next batch. */
export type EncodedBatch = { readonly ok: true; readonly payload: Uint8Array; readonly tailRatio: number }

export type EncodeOptions = {
  readonly parent: BatchParent
  readonly compress: Compression['compress']
  /** What fits, where that is less than 6 blobs. */
  readonly payloadBytesMax?: number
}

/** The payload. Asserts what only its maker can get wrong: blocks that go forward, one root a group, the commit's lengths. */
export function encodeBatch(
  batch: Batch,
  { parent, compress, payloadBytesMax = BATCH_PAYLOAD_BYTES_MAX }: EncodeOptions,
): EncodedBatch | BatchTooLarge {
  const { blocks, lane, ledgerRoots } = batch
  assert(ledgerRoots.length === lane.places.length, 'each group has one ledger root')
  if (blocks.length > BATCH_BLOCKS_MAX) return { ok: false, code: 'tooManyBlocks', got: blocks.length, max: BATCH_BLOCKS_MAX }
  const evmTransactions = blocks.flatMap(({ transactions }) => transactions.filter((raw) => !isOfLane(raw)))
  const txs = evmTransactions.length
  if (txs > COLUMN_TXS_MAX) return { ok: false, code: 'tooManyTransactions', got: txs, max: COLUMN_TXS_MAX }
  const plainTail = concatBytes([encodeTable(blocks, parent), encodeEvmColumns(evmTransactions), lane.attachments])
  if (plainTail.length > TAIL_BYTES_MAX) return { ok: false, code: 'tailTooLarge', got: plainTail.length, max: TAIL_BYTES_MAX }
  const tail = compress(plainTail)
  const groups = lane.places.map((place, i) => groupFields.pack({ ...place, ledgerRoot: ledgerRoots[i] ?? '0x' }))
  const payload = concatBytes([encodeHead(batch, tail.length), lane.bytes, ...groups, tail])
  const max = Math.min(payloadBytesMax, BATCH_PAYLOAD_BYTES_MAX)
  if (payload.length > max) return { ok: false, code: 'payloadTooLarge', got: payload.length, max }
  return { ok: true, payload, tailRatio: tail.length / plainTail.length }
}

export type DecodeOptions = {
  readonly parent: BatchParent
  readonly chainId: number
  readonly decompress: Compression['decompress']
}

/** The batch that the payload is, or why it is none. Says nothing of what follows by execution. */
export function decodeBatch(
  payload: Uint8Array,
  { parent, chainId, decompress }: DecodeOptions,
): { readonly ok: true; readonly batch: DecodedBatch } | BatchRejection {
  if (payload.length > BATCH_PAYLOAD_BYTES_MAX) return reject('payloadTooLarge', { got: payload.length })
  const head = readHead(payload)
  if ('code' in head) return head
  const sections = cut(payload, head)
  if ('code' in sections) return sections
  const lane = readLane(sections, chainId)
  if ('code' in lane) return lane
  const plainTail = decompress(sections.tail, TAIL_BYTES_MAX)
  if (!plainTail) return reject('badCompression')
  const tail = attempt(() => readTail(plainTail, { blockCount: head.blockCount, parent, groups: lane.groups }))
  if (!tail) return reject('badTail')
  const { groups } = tail
  const blocks = joinLane(tail, { rows: groups.flat(), firstBlock: head.firstBlock, parent })
  if ('code' in blocks) return blocks
  const commit = { round: head.commitRound, bitmap: head.bitmap, signature: head.signature }
  const bytes = sections.lane
  const { places, ledgerRoots } = lane
  const { batchIndex: index, firstBlock, ledgerRootBefore } = head
  const whole = { bytes, places, attachments: tail.attachments }
  return { ok: true, batch: { index, firstBlock, commit, blocks, ledgerRootBefore, lane: whole, ledgerRoots, groups } }
}

// ---- head and sections --------------------------------------------------------------------------------------------------------------

type Head = Omit<NonNullable<ReturnType<typeof headFields.unpack>>, 'bitmap'> & {
  readonly bitmap: Uint8Array
  readonly signature: Uint8Array
  readonly bytes: number
}

function encodeHead({ index, firstBlock, commit, blocks, ledgerRootBefore, lane }: Batch, tailBytes: number): Uint8Array {
  const { round: commitRound, bitmap, signature } = commit
  assert(signature.length === 96 && bitmap.length > 0 && bitmap.length <= BITMAP_BYTES_MAX, 'the commit is not one of a set')
  assert(
    blocks.length > 0 && lane.bytes.length <= SECTION_BYTES_MAX && tailBytes <= SECTION_BYTES_MAX,
    'a batch has blocks, and no more than a head can say',
  )
  const out = new Uint8Array(HEAD_BYTES)
  headFields.packInto(
    {
      version: VERSION,
      batchIndex: index,
      firstBlock,
      blockCount: blocks.length,
      laneBytes: lane.bytes.length,
      groupCount: lane.places.length,
      tailBytes,
      ledgerRootBefore,
      bitmap: bytesToHex(bitmap),
      commitRound,
      signature0: bytesToHex(signature.subarray(0, 32)),
      signature1: bytesToHex(signature.subarray(32, 64)),
      signature2: bytesToHex(signature.subarray(64)),
    },
    out,
    0,
  )
  return out
}

function readHead(payload: Uint8Array): Head | BatchRejection {
  if (payload[0] !== undefined && payload[0] !== VERSION) return reject('unknownVersion', { version: payload[0] })
  const cursor = { bytes: payload, at: 0, end: payload.length }
  const read = attempt(() => headFields.unpackFrom(cursor))
  if (!read) return reject('badHead')
  const { blockCount, laneBytes, groupCount, signature0, signature1, signature2 } = read
  const bitmap = hexToBytes(read.bitmap)
  if (bitmap.length === 0 || bitmap.length > BITMAP_BYTES_MAX) return reject('badHead', { bitmapBytes: bitmap.length })
  if (blockCount === 0 || blockCount > BATCH_BLOCKS_MAX) return reject('badHead', { blockCount })
  if (groupCount > laneBytes || (groupCount === 0) !== (laneBytes === 0)) return reject('badHead', { laneBytes, groupCount })
  const signature = concatBytes([hexToBytes(signature0), hexToBytes(signature1), hexToBytes(signature2)])
  return { ...read, bitmap, signature, bytes: cursor.at }
}

type Sections = { readonly lane: Uint8Array; readonly groups: Uint8Array; readonly tail: Uint8Array }

function cut(payload: Uint8Array, { bytes, laneBytes, groupCount, tailBytes }: Head): Sections | BatchRejection {
  const groupsAt = HEAD_BYTES + laneBytes
  const tailAt = groupsAt + groupCount * GROUP_ENTRY_BYTES
  if (tailAt + tailBytes !== payload.length) return reject('badLength', { got: payload.length, want: tailAt + tailBytes })
  if (payload.subarray(bytes, HEAD_BYTES).some((byte) => byte !== 0)) return reject('badPadding')
  return { lane: payload.subarray(HEAD_BYTES, groupsAt), groups: payload.subarray(groupsAt, tailAt), tail: payload.subarray(tailAt) }
}

/** Rows as far as the lane says them, group by group. */
type ReadLane = { readonly groups: LaneRow[][]; readonly places: GroupPlace[]; readonly ledgerRoots: Hex[] }

function readLane({ lane, groups }: Sections, chainId: number): ReadLane | BatchRejection {
  const entries = Array.from({ length: groups.length / GROUP_ENTRY_BYTES }, (_, i) => {
    const entry = groupFields.unpack(groups.subarray(i * GROUP_ENTRY_BYTES, (i + 1) * GROUP_ENTRY_BYTES))
    assert(entry, 'every 38 bytes are a group')
    return entry
  })
  const firsts = entries.map(({ firstByte }) => firstByte)
  const decoded = decodeLane(lane, firsts, chainId)
  if (!decoded) return reject('badLane')
  const wrong = entries.findIndex(({ contextByte }, i) => contextByte !== decoded.places[i]?.contextByte)
  return wrong === -1 ? { ...decoded, ledgerRoots: entries.map(({ ledgerRoot }) => ledgerRoot) } : reject('badGroup', { group: wrong })
}

// ---- tail ---------------------------------------------------------------------------------------------------------------------------

/** A block of the table: `isEvm` has a flag for each of its transactions. */
type TableBlock = Omit<BatchBlock, 'transactions'> & { readonly isEvm: readonly boolean[] }
type Tail = {
  readonly table: readonly TableBlock[]
  readonly evmTransactions: readonly Uint8Array[]
  /** The lane's rows with what stands here for them. */
  readonly groups: readonly (readonly LaneRow[])[]
  readonly attachments: Uint8Array
}

/** Coinbases in the order of their first block: count ‖ 20 bytes each; then the blocks. */
function encodeTable(blocks: readonly BatchBlock[], parent: BatchParent): Uint8Array {
  const coinbases = [...new Set(blocks.map(({ coinbase }) => coinbase))]
  const indexes = new Map(coinbases.map((coinbase, i) => [coinbase, i]))
  const parts = [encodeVarint(coinbases.length), ...coinbases.map((coinbase) => hexToBytes(coinbase))]
  let before = parent
  for (const block of blocks) {
    assert(block.timestampMs > before.timestampMs && block.originNumber >= before.originNumber, 'blocks go forward')
    parts.push(
      encodeVarint(block.timestampMs - before.timestampMs),
      encodeVarint(Number(block.originNumber - before.originNumber)),
      encodeVarint(indexes.get(block.coinbase) ?? 0),
      encodeVarint(block.transactions.length),
      packBits(block.transactions.map((raw) => !isOfLane(raw))),
    )
    before = block
  }
  return concatBytes(parts)
}

type TailOf = { readonly blockCount: number; readonly parent: BatchParent; readonly groups: ReadLane['groups'] }

function readTail(bytes: Uint8Array, { blockCount, parent, groups }: TailOf): Tail {
  const cursor = { bytes, at: 0, end: bytes.length }
  const coinbases = readCoinbases(cursor, blockCount)
  const table: TableBlock[] = []
  let used = 0
  let left = EVERY_TX_MAX
  for (let before = parent; table.length < blockCount; ) {
    const block = readTableBlock(cursor, before, left)
    // The list is in the order of first use, so that it is the only one for these blocks.
    if (block.coinbaseIndex > used) malformed()
    if (block.coinbaseIndex === used) used++
    const { coinbaseIndex, ...rest } = block
    table.push({ ...rest, coinbase: coinbases[coinbaseIndex] ?? malformed() })
    left -= rest.isEvm.length
    before = block
  }
  if (used !== coinbases.length) malformed()
  const evmTransactions = takeEvmColumns(cursor)
  const attachments = bytes.subarray(cursor.at)
  const whole = groups.map((group) => group.map((one) => ({ ...one, row: attach(one.row, cursor) })))
  if (cursor.at !== cursor.end) malformed()
  return { table, evmTransactions, groups: whole, attachments }
}

/** No batch has more: native transactions have rows of more than 64 bytes, the others columns. */
const EVERY_TX_MAX = Math.floor(BATCH_PAYLOAD_BYTES_MAX / 64) + COLUMN_TXS_MAX

function readCoinbases(cursor: Cursor, blockCount: number): Hex[] {
  const count = takeVarint(cursor)
  if (count > blockCount) malformed()
  const coinbases = Array.from({ length: count }, () => bytesToHex(take(cursor, 20)))
  return new Set(coinbases).size === count ? coinbases : malformed()
}

function readTableBlock(cursor: Cursor, before: BatchParent, txsMax: number) {
  const afterMs = takeVarint(cursor)
  const ms = before.timestampMs + afterMs
  const originNumber = before.originNumber + BigInt(takeVarint(cursor))
  const coinbaseIndex = takeVarint(cursor)
  const txCount = takeVarint(cursor)
  if (afterMs === 0 || !Number.isSafeInteger(ms) || originNumber >= 2n ** 64n || txCount > txsMax) malformed()
  return { timestampMs: ms, originNumber, coinbaseIndex, isEvm: readBits(cursor, txCount) }
}

/** One bit each, the first in the highest bit, zeros up to a whole byte. */
function packBits(bits: readonly boolean[]): Uint8Array {
  const out = new Uint8Array(Math.ceil(bits.length / 8))
  for (const [i, bit] of bits.entries()) if (bit) out[i >> 3] = (out[i >> 3] ?? 0) | (0x80 >> (i & 7))
  return out
}

function readBits(cursor: Cursor, count: number): boolean[] {
  const bytes = take(cursor, Math.ceil(count / 8))
  const bits = Array.from({ length: bytes.length * 8 }, (_, i) => ((bytes[i >> 3] ?? 0) & (0x80 >> (i & 7))) !== 0)
  return bits.slice(count).includes(true) ? malformed() : bits.slice(0, count)
}

// ---- lane and table, joined ---------------------------------------------------------------------------------------------------------

type Joining = { readonly rows: readonly LaneRow[]; readonly firstBlock: bigint; readonly parent: BatchParent }

/** The blocks with their transactions: Ethereum's in their order from the columns, native ones and reports from the block's rows. */
function joinLane({ table, evmTransactions }: Tail, { rows, firstBlock, parent }: Joining): BatchBlock[] | BatchRejection {
  const rowsOf = Map.groupBy(rows, ({ block }) => block)
  const blocks: BatchBlock[] = []
  let known = 0
  let nextEvm = 0
  for (const [i, { isEvm, ...block }] of table.entries()) {
    const number = firstBlock + BigInt(i)
    const own = (rowsOf.get(number) ?? []).map(({ row }) => row)
    known += own.length
    if (!isRuledBy(own, block, (table[i - 1] ?? parent).originNumber)) return reject('laneMismatch', { block: number })
    const ofLane = own.flatMap((row) => {
      if (row.kind === 'report') return [encodeReport(row.report)]
      return row.kind === 'native' ? [encodeNative(row.native)] : []
    })
    const evmCount = isEvm.filter(Boolean).length
    if (ofLane.length !== isEvm.length - evmCount || nextEvm + evmCount > evmTransactions.length) {
      return reject('laneMismatch', { block: number })
    }
    let nextOfLane = 0
    const transactions = isEvm.map((evm) => (evm ? evmTransactions[nextEvm++] : ofLane[nextOfLane++]) ?? new Uint8Array())
    blocks.push({ ...block, transactions })
  }
  if (known !== rows.length || nextEvm !== evmTransactions.length) return reject('laneMismatch')
  return blocks
}

/** Whether a block's rows say what the table says: time, coinbase, and L1 info if and only if the origin moves. */
function isRuledBy(rows: readonly Row[], block: Omit<BatchBlock, 'transactions'>, originBefore: bigint): boolean {
  const [first, second] = rows
  if (first?.kind === 'block' && (first.timestampMs !== block.timestampMs || first.coinbase !== block.coinbase)) return false
  const told = second?.kind === 'l1Info' ? second.number : originBefore
  return told === block.originNumber && (second?.kind === 'l1Info') === (block.originNumber !== originBefore)
}

// ---- bytes --------------------------------------------------------------------------------------------------------------------------

/** Whether the transaction stands in the lane, as a row: those that do not stand in the columns. */
function isOfLane(raw: Uint8Array): boolean {
  return raw[0] === TX_TYPE.evidenceReport || nativeTypeOf(raw[0] ?? 0) !== undefined
}

function reject(code: BatchRejection['code'], facts: Readonly<Record<string, unknown>> = {}): BatchRejection {
  return { ...facts, ok: false, code }
}
