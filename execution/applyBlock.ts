/**
 * One block on the state: the only state transition. What a block must be is checked against its parent, then its transactions are applied
 * and what they led to is compared with what the header says.
 * Spec: docs/spec/block.md
 */
import type { Hex } from 'viem'
import { type ChainParams, DEPOSIT_GAS_PER_BLOCK_MAX, GROUP, REPORTS_PER_BLOCK_MAX } from '../genesis/params.ts'
import { type AppliedTx, applyTx, type Outcome } from './applyTx.ts'
import { assert } from './assert.ts'
import {
  type Block,
  EMPTY_OMMERS_HASH,
  EMPTY_REQUESTS_HASH,
  type Header,
  hashHeader,
  nextBaseFeeWei,
  type Receipt,
  timestampMs,
} from './block.ts'
import { addToBloom, BLOOM_BYTES } from './bloom.ts'
import { countedGas, parseL1Info } from './deposit.ts'
import { isLastOfEpoch } from './epoch.ts'
import { type DataPrice, dataPriceIn } from './fee.ts'
import { toHex } from './hex.ts'
import { paramsAt } from './ledger/governed.ts'
import { getL1Info, type L1Info } from './ledger/tables.ts'
import { nextSetRequestsHash } from './ledger/validators.ts'
import { orderedRoot, orderedRootOf } from './mpt.ts'
import { nativeRowBytes, operationRowBytes } from './native/native.ts'
import { invalid, type Rejection } from './native/nativeType.ts'
import { DEPOSIT_ROW_BYTES_MAX, REPORT_ROW_BYTES, typeWeight } from './native/row.ts'
import type { EvmOperation } from './precompile.ts'
import type { RecoverAll } from './recover.ts'
import type { JudgeEvidence } from './report.ts'
import { encodePassingRlp } from './rlp.ts'
import type { State, StateRoots, StateWrites } from './state.ts'
import { decodeTxs, type Tx } from './tx.ts'
import type { BlockEnv, Vm } from './vm.ts'

/** Most L1 blocks that one L2 block may move its origin by. Spec: docs/spec/block.md#l1-origin-and-deposits */
export const ORIGIN_STEP_MAX = 64n

/** Everything that follows from a block. */
export type BlockResult = {
  readonly block: Block
  readonly hash: Hex
  readonly transactions: readonly Tx[]
  readonly receipts: readonly Receipt[]
  readonly roots: StateRoots
  readonly writes: StateWrites
  /** Door operations of EVM origin, with the index of the transaction that made them: rows of the native lane. */
  readonly operations: readonly { readonly txIndex: number; readonly operation: EvmOperation }[]
}

/** `params` are the genesis file's: what rules a block is in the ledger of its parent (`paramsAt`). */
export type Executor = {
  readonly state: State
  readonly vm: Vm
  readonly params: ChainParams
  /** Judges the evidence of reports. */
  readonly judgeEvidence: JudgeEvidence
  /** Recovers the signatures of a block together; without it they are recovered one by one. */
  readonly recover?: RecoverAll | undefined
}

/** A difference between a header and what execution gave. */
export type Mismatch = Rejection & {
  readonly code: 'headerMismatch'
  readonly field: keyof Header
  readonly got: unknown
  readonly want: unknown
}

/**
 * Applies a block to the state of its parent. Ok: the state stands after it and `writes` are to be stored. Rejection: the state must be
 * reset to the parent's roots by the caller, who knows them. `breathe` is asked before each transaction, and what it gives is waited for: whoever has
 * other things to do may do them then.
 */
export async function applyBlock(
  executor: Executor,
  parent: Header,
  block: Block,
  breathe?: () => Promise<void> | undefined,
): Promise<({ readonly ok: true } & BlockResult) | Rejection> {
  const params = paramsAt(executor.params, executor.state.ledger, parent.number + 1n)
  const refused = checkHeader(parent, block.header, params)
  if (refused) return refused
  const all = await decodeTxs(block.transactions, executor.vm.common, executor.recover)
  if (!all.ok) return all
  const decoded = all.transactions
  const bytes = decoded.reduce((sum, tx) => sum + ownPostedBytes(tx), 0)
  if (bytes > params.blockBytesMax) return invalid('blockTooLarge', { bytes, max: params.blockBytesMax })
  const origin = checkDeposits(executor, parent, block.header, decoded)
  if (!origin.ok) return origin
  const run = startBlock(executor, block.header)
  for (const [index, tx] of decoded.entries()) {
    const pause = breathe?.()
    if (pause !== undefined) await pause
    const applied = run.apply(tx)
    const result: AppliedTx = applied instanceof Promise ? await applied : applied
    if (!result.ok) return { ...result, index }
  }
  const result = run.finish(parent, block.header)
  for (const field of Object.keys(block.header) as (keyof Header)[]) {
    const got = result.block.header[field]
    const want = block.header[field]
    if (got !== want) return invalid('headerMismatch', { field, got, want })
  }
  return { ok: true, ...result }
}

/** A block being executed, transaction by transaction. */
export type BlockRun = {
  /** Applies the next transaction, native ones at once; a rejected one changes nothing and the block goes on without it. */
  apply(tx: Tx): AppliedTx | Promise<AppliedTx>
  readonly gasUsed: () => bigint
  /** Bytes that the block takes on L1 so far, as its bound counts them. */
  readonly bytesUsed: () => number
  /** Seals the state and fills in the header. */
  finish(parent: Header, given: BlockEnv & Pick<Header, 'extraData'>): BlockResult
}

/** Starts the execution of a block in this environment. */
export function startBlock(executor: Executor, env: BlockEnv): BlockRun {
  const { state, vm, judgeEvidence } = executor
  const params = paramsAt(executor.params, state.ledger, env.number)
  const transactions: Tx[] = []
  const receipts: Receipt[] = []
  const operations: { txIndex: number; operation: EvmOperation }[] = []
  let gasUsed = 0n
  let bytesUsed = 0
  // Of the price, after the deposits, which tell of the origin.
  const context = { state, vm, params, env, judgeEvidence, gasUsedBefore: gasUsed, dataPrice: undefined as DataPrice | undefined }
  const full = (bytes: number) => invalid('blockBytesExceeded', { bytes, left: params.blockBytesMax - bytesUsed })

  function conclude(tx: Tx, outcome: AppliedTx): AppliedTx {
    // What a call did through the doors is posted as rows of their own, and known only now.
    let bytes = ownPostedBytes(tx)
    for (const operation of state.operations()) bytes += postedBytes(operation, operationRowBytes(operation))
    if (!outcome.ok || (tx.kind !== 'deposit' && bytesUsed + bytes > params.blockBytesMax)) {
      state.revert()
      return outcome.ok ? full(bytes) : outcome
    }
    state.commit()
    const txIndex = transactions.length
    for (const operation of state.takeOperations()) operations.push({ txIndex, operation })
    gasUsed += outcome.gasUsed
    bytesUsed += bytes
    transactions.push(tx)
    receipts.push(toReceipt(tx, outcome, gasUsed))
    return outcome
  }

  assert(state.takeOperations().length === 0, 'operations of another block are left')
  return {
    gasUsed: () => gasUsed,
    bytesUsed: () => bytesUsed,
    apply(tx) {
      const refused = tx.kind === 'report' && checkReportPlace(transactions)
      if (refused) return refused
      const own = ownPostedBytes(tx)
      if (bytesUsed + own > params.blockBytesMax) return full(own)
      if (tx.kind !== 'deposit') context.dataPrice ??= dataPriceIn(state.ledger, params)
      context.gasUsedBefore = gasUsed
      state.checkpoint()
      const applied = applyTx(context, tx)
      return applied instanceof Promise ? applied.then((outcome) => conclude(tx, outcome)) : conclude(tx, applied)
    },
    finish(parent, given) {
      const requestsHash = nextSetRequestsHash(state.ledger, env.number, params)
      const { roots, writes } = state.seal()
      const header = fillHeader(parent, given, { roots, requestsHash, gasUsed, transactions, receipts, params })
      const block = { header, transactions: transactions.map((tx) => tx.raw) }
      return { block, hash: hashHeader(header), transactions, receipts, roots, writes, operations }
    },
  }
}

/** A receipt as it stands in the receipts trie. Source: EIP-2718. */
export function receiptBytes(receipt: Receipt): Uint8Array {
  return encodeReceipt(receipt, new Uint8Array(BLOOM_BYTES)).slice()
}

/** The bloom of one receipt after another. */
const receiptBloom = new Uint8Array(BLOOM_BYTES)

/** A receipt's bytes in the receipts trie, over which the next one is written; its bloom's bits are set in `bloom`. Source: EIP-2718. */
function encodeReceipt({ type, succeeded, cumulativeGasUsed, logs }: Receipt, bloom: Uint8Array): Uint8Array {
  receiptBloom.fill(0)
  addToBloom(receiptBloom, logs)
  for (let i = 0; i < BLOOM_BYTES; i++) bloom[i] = (bloom[i] ?? 0) | (receiptBloom[i] ?? 0)
  const items = logs.map(({ address, topics, data }) => [address, topics, data])
  return encodePassingRlp([succeeded ? 1n : 0n, cumulativeGasUsed, receiptBloom, items], type === 0 ? undefined : type)
}

/** What a header must be whatever its transactions do. */
function checkHeader(parent: Header, header: Header, params: ChainParams): Rejection | undefined {
  const fixed: Partial<Header> = {
    parentHash: hashHeader(parent),
    number: parent.number + 1n,
    sha3Uncles: EMPTY_OMMERS_HASH,
    difficulty: 0n,
    nonce: '0x0000000000000000',
    gasLimit: params.blockGasLimit,
    baseFeePerGas: nextBaseFeeWei(parent, params),
    blobGasUsed: 0n,
    excessBlobGas: 0n,
    // At the end of an epoch it names the next set, which the block may still change.
    ...(!isLastOfEpoch(header.number, params) && { requestsHash: EMPTY_REQUESTS_HASH }),
  }
  for (const [field, want] of Object.entries(fixed)) {
    const got = header[field as keyof Header]
    if (got !== want) return invalid('headerMismatch', { field, got, want })
  }
  if (!/^0x01[0-9a-f]{4}$/.test(header.extraData) || timestampMs(header) % 1000 !== Number.parseInt(header.extraData.slice(4), 16)) {
    return invalid('badExtraData', { extraData: header.extraData })
  }
  if (timestampMs(header) <= timestampMs(parent))
    return invalid('timestampNotIncreasing', { got: timestampMs(header), parent: timestampMs(parent) })
  return undefined
}

/** Deposits stand first, and only when the origin moves; whether they are L1's is for derivation to say. */
function checkDeposits(
  { state }: Executor,
  parent: Header,
  header: Header,
  txs: readonly Tx[],
): { readonly ok: true; readonly origin: L1Info } | Rejection {
  const before = getL1Info(state.ledger)
  const deposits = txs.filter((tx) => tx.kind === 'deposit')
  const gas = deposits.slice(1).reduce((sum, tx) => sum + countedGas(tx.deposit), 0n)
  if (gas > DEPOSIT_GAS_PER_BLOCK_MAX) return invalid('tooManyDeposits', { gas, max: DEPOSIT_GAS_PER_BLOCK_MAX })
  const misplaced = txs.findIndex((tx, index) => tx.kind === 'deposit' && index >= deposits.length)
  if (misplaced !== -1) return invalid('misplacedDeposit', { index: misplaced })
  const first = deposits[0]
  const info = first && parseL1Info(first.deposit)
  if (deposits.slice(1).some((tx) => parseL1Info(tx.deposit))) return invalid('misplacedDeposit', { index: 1 })
  if (!info) {
    if (deposits.length > 0) return invalid('l1InfoMissing')
    const moved = header.parentBeaconBlockRoot !== parent.parentBeaconBlockRoot || header.mixHash !== parent.mixHash
    return moved ? invalid('l1InfoMissing') : { ok: true, origin: before }
  }
  if (info.number <= before.number || info.number > before.number + ORIGIN_STEP_MAX)
    return invalid('badOrigin', { got: info.number, before: before.number })
  if (info.hash !== header.parentBeaconBlockRoot || info.prevRandao !== header.mixHash)
    return invalid('originMismatch', { hash: info.hash })
  if (info.depositCursor !== before.depositCursor + BigInt(deposits.length - 1))
    return invalid('depositCursorMismatch', { got: info.depositCursor })
  if (header.timestamp < info.timestampSec) return invalid('beforeOrigin', { got: header.timestamp, origin: info.timestampSec })
  return { ok: true, origin: info }
}

/** Reports stand behind the deposits and before everything else, and are few. */
function checkReportPlace(before: readonly Tx[]): Rejection | undefined {
  const others = before.filter(({ kind }) => kind !== 'deposit')
  if (others.some(({ kind }) => kind !== 'report')) return invalid('misplacedReport', { index: before.length })
  return others.length < REPORTS_PER_BLOCK_MAX ? undefined : invalid('tooManyReports', { max: REPORTS_PER_BLOCK_MAX })
}

/** What a batch says of each group of rows: two places and a root. Spec: docs/spec/batch.md#payload */
const GROUP_ENTRY_BYTES = 38

/** A row's part of its group's entry at most: a group is closed when the next row would make it too many or too heavy, so that two neighbours are more. */
function groupShare(weight: number): number {
  return Math.ceil(2 * GROUP_ENTRY_BYTES * Math.max(1 / GROUP.rows, weight / GROUP.weight))
}

/** Bytes that a transaction takes on L1 by itself: its row on the native lane, its own bytes on the EVM lane (before compression), a deposit's mark. */
function ownPostedBytes(tx: Tx): number {
  switch (tx.kind) {
    case 'native':
      return postedBytes(tx.native, nativeRowBytes(tx.native))
    case 'report':
      return REPORT_ROW_BYTES + groupShare(GROUP.weightPerRecord * GROUP.reportRecords)
    case 'deposit':
      return DEPOSIT_ROW_BYTES_MAX + groupShare(GROUP.weightPerRecord * GROUP.depositRecords)
    case 'ethereum':
      return tx.raw.length
  }
}

function postedBytes(typed: Parameters<typeof typeWeight>[0], bytes: number): number {
  return bytes + groupShare(typeWeight(typed) + GROUP.weightPerByte * bytes)
}

function toReceipt(tx: Tx, outcome: Outcome, cumulativeGasUsed: bigint): Receipt {
  const { succeeded, gasUsed, logs, contractAddress, failureCode, dataFee } = outcome
  return {
    type: tx.type,
    succeeded,
    cumulativeGasUsed,
    gasUsed,
    logs,
    contractAddress,
    failureCode,
    dataFee,
  }
}

/** What followed from a block's transactions. */
export type Executed = {
  readonly roots: StateRoots
  readonly requestsHash: Hex
  readonly gasUsed: bigint
  readonly transactions: readonly Tx[]
  readonly receipts: readonly Receipt[]
  readonly params: ChainParams
}

/** The header of a block that was executed, by its parent, what it was given, and what followed. */
export function fillHeader(
  parent: Header,
  given: BlockEnv & Pick<Header, 'extraData'>,
  { roots, requestsHash, gasUsed, transactions, receipts, params }: Executed,
): Header {
  const bloom = new Uint8Array(BLOOM_BYTES)
  const receiptsRoot = orderedRootOf(receipts.length, (index) => {
    const receipt = receipts[index]
    assert(receipt, 'the root is over the receipts that there are')
    return encodeReceipt(receipt, bloom)
  })
  return {
    parentHash: hashHeader(parent),
    sha3Uncles: EMPTY_OMMERS_HASH,
    miner: given.miner,
    stateRoot: roots.evmRoot,
    transactionsRoot: toHex(orderedRoot(transactions.map((tx) => tx.raw))),
    receiptsRoot: toHex(receiptsRoot),
    logsBloom: toHex(bloom),
    difficulty: 0n,
    number: parent.number + 1n,
    gasLimit: params.blockGasLimit,
    gasUsed,
    timestamp: given.timestamp,
    extraData: given.extraData,
    mixHash: given.mixHash,
    nonce: '0x0000000000000000',
    baseFeePerGas: nextBaseFeeWei(parent, params),
    withdrawalsRoot: roots.ledgerRoot,
    blobGasUsed: 0n,
    excessBlobGas: 0n,
    parentBeaconBlockRoot: given.parentBeaconBlockRoot,
    requestsHash,
  }
}
