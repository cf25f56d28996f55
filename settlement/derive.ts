/**
 * Derivation: from what L1 holds to the blocks that follow, and the comparison of a batch with what its blocks gave when they were executed.
 * Whoever derives goes through the functions below in this order and executes in between. Where one of them says no, the batch is invalid and dropped,
 * and L1 is innocent: L1's own contradictions are thrown as `L1Error`. The next batch that follows the same head is judged then.
 * Spec: docs/spec/batch.md#derivation
 */
import type { Common } from '@ethereumjs/common'
import { bytesToHex, type Hex } from 'viem'
import { type BlockResult, ORIGIN_STEP_MAX } from '../execution/applyBlock.ts'
import { assert } from '../execution/assert.ts'
import { type Header, timestampMs } from '../execution/block.ts'
import type { BuildRequest, Built, OriginStep } from '../execution/buildBlock.ts'
import { countedGas } from '../execution/deposit.ts'
import type { L1Info } from '../execution/ledger/tables.ts'
import { transactionHash } from '../execution/native/native.ts'
import type { Rejection } from '../execution/native/nativeType.ts'
import { encodeRow, type Row } from '../execution/native/row.ts'
import { type Verdict, verdictRow } from '../execution/native/verdict.ts'
import type { RecoverAll } from '../execution/recover.ts'
import { decodeTxs } from '../execution/tx.ts'
import { DEPOSIT_GAS_PER_BLOCK_MAX } from '../genesis/params.ts'
import { BATCH_BLOCKS_MAX, type BatchCommit, type BatchRejection, type DecodedBatch, type DecodeOptions, decodeBatch } from './batch.ts'
import { type BatchHeader, batchAccumulator } from './inbox.ts'
import type { L1Block } from './l1.ts'
import { L1Error } from './l1Error.ts'
import type { L1Batch, L1Deposit } from './l1Logs.ts'
import { encodeLane, executeLane, groupsLike, type LaneRow, type LaneStart, laneRows, lookupsOf } from './lane.ts'

/** Behind which batch derivation stands. The first head is the genesis file's keccak256, 0 and 0. */
export type DerivationHead = { readonly accumulator: Hex; readonly nextIndex: bigint; readonly lastBlock: bigint }

/** What the inbox said about a batch. */
export type PostedBatch = Pick<L1Batch, 'index' | 'accumulator' | 'header' | 'dataHash'>

/** Why a batch is invalid. `block` and `txIndex` say where, as far as there is a where. */
export type DeriveRejection = {
  readonly ok: false
  readonly code:
    | 'wrongIndex'
    /** The call data that posted it is not written in the one form. */
    | 'badCall'
    /** Its blobs carry no payload. */
    | 'badBlobs'
    | 'wrongAccumulator'
    | 'notContiguous'
    | 'wrongPayloadBytes'
    /** The payload's head speaks of other blocks than the header. */
    | 'headMismatch'
    | 'originStepTooLarge'
    | 'originBeyondHeader'
    | 'originNotCanonical'
    | 'beforeOrigin'
    | 'tooManyDeposits'
    | 'badCommit'
    | 'badTransaction'
    | 'transactionRefused'
    /** The batch begins with another ledger root than the block before it has. */
    | 'rootBeforeMismatch'
    | 'laneMismatch'
    | 'groupMismatch'
    | 'blockHashMismatch'
  readonly [fact: string]: unknown
}

/** The head behind a batch that was taken. */
export function nextHead({ index, accumulator, header }: PostedBatch): DerivationHead {
  return { accumulator, nextIndex: index + 1n, lastBlock: header.lastBlock }
}

/** Whether the batch follows the head: the others are passed over, whatever they hold. */
export function isNext({ accumulator }: DerivationHead, { header }: Pick<PostedBatch, 'header'>): boolean {
  return header.prevAccumulator === accumulator
}

/** 1: whether a batch that follows the head stands in its place. */
export function checkBatchHeader(head: DerivationHead, { index, accumulator, header, dataHash }: PostedBatch): DeriveRejection | undefined {
  const { accumulator: prevAccumulator, nextIndex, lastBlock } = head
  if (index < nextIndex) return reject('wrongIndex', { got: index, want: nextIndex })
  if (header.prevAccumulator !== prevAccumulator) return reject('wrongAccumulator', { got: header.prevAccumulator, want: prevAccumulator })
  const chained = batchAccumulator({ index, header, dataHash })
  if (accumulator !== chained) return reject('wrongAccumulator', { got: accumulator, want: chained })
  if (header.firstBlock !== lastBlock + 1n) return reject('notContiguous', { got: header.firstBlock, want: lastBlock + 1n })
  const blocks = header.lastBlock - header.firstBlock + 1n
  if (blocks < 1n || blocks > BATCH_BLOCKS_MAX)
    return reject('notContiguous', { firstBlock: header.firstBlock, lastBlock: header.lastBlock })
  return undefined
}

/** A batch's blocks, and the numbers of the L1 blocks that have to be known to go on: origins, ascending, the header's last. */
export type DecodedBlocks = { readonly ok: true; readonly batch: DecodedBatch; readonly origins: readonly bigint[] }

/** 2: the payload, which was held against `dataHash` where it was read, as blocks. */
export function decodeBatchBlocks(
  { header }: Pick<PostedBatch, 'header'>,
  payload: Uint8Array,
  options: DecodeOptions & Pick<DerivationHead, 'nextIndex'>,
): DecodedBlocks | BatchRejection | DeriveRejection {
  if (payload.length !== header.payloadBytes) return reject('wrongPayloadBytes', { got: payload.length, want: header.payloadBytes })
  const decoded = decodeBatch(payload, options)
  if (!decoded.ok) return decoded
  const { batch } = decoded
  const { firstBlock, lastBlock } = header
  const isSame = batch.index === options.nextIndex && batch.firstBlock === firstBlock
  if (!isSame || BigInt(batch.blocks.length) !== lastBlock - firstBlock + 1n) {
    return reject('headMismatch', { index: batch.index, firstBlock: batch.firstBlock, blocks: batch.blocks.length })
  }
  const origins = new Set<bigint>()
  let before = options.parent.originNumber
  for (const [i, { originNumber }] of batch.blocks.entries()) {
    const block = firstBlock + BigInt(i)
    if (originNumber > before + ORIGIN_STEP_MAX) return reject('originStepTooLarge', { block, got: originNumber, before })
    if (originNumber > before) origins.add(originNumber)
    before = originNumber
  }
  // Contract and header vouch for one L1 block; the origins are its ancestors only if they are not above it.
  if (before > header.l1OriginNumber) return reject('originBeyondHeader', { got: before, header: header.l1OriginNumber })
  return { ok: true, batch, origins: [...origins.add(header.l1OriginNumber)] }
}

/** L1 as far as a batch names it, on one canonical chain. */
export type L1View = {
  /** One of the blocks that `DecodedBlocks.origins` lists. */
  block(number: bigint): L1Block | undefined
  /** The deposits of these blocks, first and last included, in log order. */
  deposits(first: bigint, last: bigint): readonly L1Deposit[]
}

/** A block to be executed: everything that was chosen about it. */
export type DerivedBlock = {
  readonly number: bigint
  readonly timestampMs: number
  readonly coinbase: Hex
  /** Undefined: the parent's origin stays. */
  readonly origin: OriginStep | undefined
  /** Exactly these follow the deposits, in this order. */
  readonly transactions: readonly Uint8Array[]
}

export type BlockRequests = { readonly ok: true; readonly blocks: readonly DerivedBlock[] }

/**
 * 3: the blocks with what L1 adds to them. `origin` is the record of the block before the batch. Throws `L1Error` (retry) if L1 left out a block or
 * a deposit.
 */
export function toBlockRequests(
  { batch }: Pick<DecodedBlocks, 'batch'>,
  { header, origin, l1 }: { readonly header: BatchHeader; readonly origin: L1Info; readonly l1: L1View },
): BlockRequests | DeriveRejection {
  const canonical = blockOf(l1, header.l1OriginNumber).hash
  if (canonical !== header.l1OriginHash) return reject('originNotCanonical', { got: header.l1OriginHash, want: canonical })
  const blocks: DerivedBlock[] = []
  let before = origin
  for (const [i, { originNumber, ...block }] of batch.blocks.entries()) {
    const step = originNumber === before.number ? undefined : originStep(before, originNumber, l1)
    const derived = { ...block, number: batch.firstBlock + BigInt(i), origin: step }
    const refused = checkBounds(derived)
    if (refused) return refused
    blocks.push(derived)
    before = step?.info ?? before
  }
  return { ok: true, blocks }
}

/** A commit of the batch's last block. */
export type PostedCommit = BatchCommit & { readonly height: bigint; readonly blockHash: Hex }

/** 4: whether the validators of the last block's height made it final. `verify` knows them. */
export function checkCommit(
  { commit }: Pick<DecodedBatch, 'commit'>,
  { lastBlock, lastBlockHash }: BatchHeader,
  verify: (commit: PostedCommit) => boolean,
): DeriveRejection | undefined {
  const isFinal = verify({ ...commit, height: lastBlock, blockHash: lastBlockHash })
  return isFinal ? undefined : reject('badCommit', { block: lastBlock, round: commit.round })
}

/** 5, for each block: what `buildBlock` is asked for. With `recover`, signatures are recovered together. */
export async function toBuildRequest(
  { number, timestampMs: ms, coinbase, origin, transactions }: DerivedBlock,
  parent: Header,
  { common, recover }: { readonly common: Common; readonly recover?: RecoverAll | undefined },
): Promise<{ readonly ok: true; readonly request: BuildRequest } | DeriveRejection> {
  assert(parent.number + 1n === number, 'a derived block is built on another parent')
  const decoded = await decodeTxs(transactions, common, recover)
  if (!decoded.ok) {
    const { index, ...rejection } = decoded
    return reject('badTransaction', { block: number, txIndex: depositCount(origin) + index, rejection })
  }
  const reports = decoded.transactions.filter((tx) => tx.kind === 'report')
  const offer = decoded.transactions.filter((tx) => tx.kind !== 'report')
  return { ok: true, request: { parent, timestampMs: ms, feeRecipient: coinbase, origin, reports, offer, triesMax: offer.length } }
}

/** 6, for each block: whether building it left nothing out. */
export function checkBuilt(derived: DerivedBlock, built: Pick<Built, 'block' | 'rejected'>): DeriveRejection | undefined {
  assert(timestampMs(built.block.header) === derived.timestampMs, 'a derived block was built for another time')
  const first = depositCount(derived.origin)
  for (const [i, raw] of derived.transactions.entries()) {
    const executed = built.block.transactions[first + i]
    if (executed && sameBytes(executed, raw)) continue
    const hash = transactionHash(raw)
    // Out of gas or bytes, a transaction is only passed over.
    const rejection: Rejection | undefined = built.rejected.find((one) => one.hash === hash)?.rejection
    return reject('transactionRefused', { block: derived.number, txIndex: first + i, hash, rejection: rejection?.code ?? 'blockFull' })
  }
  return undefined
}

/** What is compared of an executed block. */
export type ExecutedBlock = Pick<BlockResult, 'block' | 'hash' | 'transactions' | 'operations' | 'roots'>

/** What a batch says otherwise than execution. `got` is the batch's. */
export type Difference = {
  readonly block: bigint
  readonly txIndex: number | undefined
  readonly field: string
  readonly got: unknown
  readonly want: unknown
}

/** Differences that are told at most. */
const DIFFERENCES_MAX = 16

/** 7: whether what execution gave is what the batch says: the ledger root before it, the rows, the roots between them, the last block's hash. */
export function checkExecuted(
  batch: DecodedBatch,
  results: readonly ExecutedBlock[],
  { lastBlockHash, ledger }: { readonly lastBlockHash: Hex; readonly ledger: Omit<LaneStart, 'lookups' | 'ruling'> },
): DeriveRejection | undefined {
  const last = results.at(-1)
  assert(last && results.length === batch.blocks.length, 'a batch is compared with its own blocks')
  if (batch.ledgerRootBefore !== ledger.root) return reject('rootBeforeMismatch', { got: batch.ledgerRootBefore, want: ledger.root })
  const blocks = results.map(({ block, transactions, operations }) => ({ header: block.header, transactions, operations }))
  const rows = laneRows(blocks)
  const theirs = batch.groups.flat()
  if (theirs.length !== rows.length) return reject('laneMismatch', { differences: compareRows(theirs, rows) })
  const lane = executeLane({ ...ledger, lookups: lookupsOf(blocks) }, groupsLike(rows, batch.groups))
  assert(lane.ok, 'rows of executed blocks were refused')
  if (!sameBytes(encodeLane(lane.groups).bytes, batch.lane.bytes))
    return reject('laneMismatch', { differences: compareRows(theirs, lane.groups.flat()) })
  for (const [group, want] of lane.roots.entries()) {
    const got = batch.ledgerRoots[group]
    if (got !== want) return reject('groupMismatch', { group, got, want })
  }
  assert((lane.roots.at(-1) ?? ledger.root) === last.roots.ledgerRoot, 'the lane leads to another ledger than its blocks')
  if (last.hash !== lastBlockHash)
    return reject('blockHashMismatch', { block: last.block.header.number, got: lastBlockHash, want: last.hash })
  return undefined
}

/** What L2 is told of an L1 block. */
export function toL1Info({ number, hash, timestampSec, baseFeeWei, blobBaseFeeWei, prevRandao }: L1Block, depositCursor: bigint): L1Info {
  return { number, hash, timestampSec, baseFee: baseFeeWei, blobBaseFee: blobBaseFeeWei, prevRandao, depositCursor }
}

/** The step to a later origin, with every deposit on the way. */
function originStep(before: L1Info, number: bigint, l1: L1View): OriginStep {
  const queued = l1.deposits(before.number + 1n, number)
  for (const [i, { index }] of queued.entries()) {
    const want = before.depositCursor + BigInt(i)
    if (index !== want) throw new L1Error(`L1 gave deposit ${index} where ${want} was due`, { kind: 'retry' })
  }
  const info = toL1Info(blockOf(l1, number), before.depositCursor + BigInt(queued.length))
  return { info, deposits: queued.map(({ deposit }) => deposit) }
}

/** What `applyBlock` asks of any block and building one does not. */
function checkBounds({ number, timestampMs: ms, origin }: DerivedBlock): DeriveRejection | undefined {
  if (!origin) return undefined
  const { timestampSec } = origin.info
  if (BigInt(Math.floor(ms / 1000)) < timestampSec) return reject('beforeOrigin', { block: number, got: ms, origin: timestampSec })
  const gas = origin.deposits.reduce((sum, deposit) => sum + countedGas(deposit), 0n)
  const max = DEPOSIT_GAS_PER_BLOCK_MAX
  return gas > max ? reject('tooManyDeposits', { block: number, gas, max }) : undefined
}

function blockOf(l1: L1View, number: bigint): L1Block {
  const block = l1.block(number)
  if (block?.number !== number) throw new L1Error(`L1 has no block ${number}, on which it took a batch`, { kind: 'retry' })
  return block
}

function depositCount(origin: OriginStep | undefined): number {
  return origin ? 1 + origin.deposits.length : 0
}

function compareRows(got: readonly LaneRow[], want: readonly LaneRow[]): Difference[] {
  const differences: Difference[] = []
  for (let i = 0; i < Math.max(got.length, want.length) && differences.length < DIFFERENCES_MAX; i++) {
    const [theirs, ours] = [got[i], want[i]]
    const place = ours ?? theirs
    if (!place || (theirs && ours && sameBytes(encodeRow(theirs.row), encodeRow(ours.row)))) continue
    const { block, txIndex } = place
    const [a, b] = [theirs ? membersOf(theirs.row) : {}, ours ? membersOf(ours.row) : {}]
    for (const field of new Set([...Object.keys(a), ...Object.keys(b)])) {
      if (a[field] !== b[field]) differences.push({ block, txIndex, field, got: a[field], want: b[field] })
    }
  }
  return differences.slice(0, DIFFERENCES_MAX)
}

/** A row's members as values that `===` compares. */
function membersOf(row: Row): Readonly<Record<string, unknown>> {
  if (row.kind === 'native') {
    const { type, nonce, maxFeeWei, fields, signature } = row.native
    const { yParity, r, s } = signature
    const signed = { yParity, r: bytesToHex(r), s: bytesToHex(s) }
    const { verdict } = row
    return {
      kind: row.kind,
      type: type.name,
      nonce,
      maxFeeWei,
      fields: bytesToHex(type.fields.pack(fields)),
      ...signed,
      verdict: told(verdict),
    }
  }
  if (row.kind === 'report') return { kind: row.kind, evidence: bytesToHex(row.report.evidence) }
  if (row.kind !== 'operation') return row
  const { type, caller, fields } = row.operation
  return { kind: row.kind, type: type.name, caller, fields: bytesToHex(type.fields.pack(fields)), verdict: told(row.verdict) }
}

function told(verdict: Verdict | undefined): Hex | undefined {
  if (!verdict) return undefined
  const out = new Uint8Array(verdictRow.bytes(verdict))
  verdictRow.write(verdict, out, 0)
  return bytesToHex(out)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

function reject(code: DeriveRejection['code'], facts: Readonly<Record<string, unknown>> = {}): DeriveRejection {
  return { ...facts, ok: false, code }
}
