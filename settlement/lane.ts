/**
 * The native lane of a range of blocks: everything that changes the ledger, as rows in execution order, and its re-execution without the EVM.
 * Rows stand in groups that L1 can execute by one transaction; a group says where its first row stands, where the block row that rules it stands, and the
 * ledger root after its last row, so that whoever has the bytes and the root before can check its rows alone. Spec: docs/spec/batch.md#groups
 */
import { bytesToHex, concatBytes, type Hex, hexToBytes } from 'viem'
import { assert } from '../execution/assert.ts'
import { type Header, timestampMs } from '../execution/block.ts'
import { type Deposit, l1InfoDeposit, parseL1Info } from '../execution/deposit.ts'
import { dataPriceIn } from '../execution/fee.ts'
import { attempt, malformed } from '../execution/fields.ts'
import { toHex } from '../execution/hex.ts'
import {
  applyDepositToLedger,
  applyNativeToLedger,
  applyOperationToLedger,
  applyReportToLedger,
  type CheckedNative,
  type LaneContext,
} from '../execution/laneRules.ts'
import { paramsAt } from '../execution/ledger/governed.ts'
import { createLedger, type RecordReader, type TakenChange } from '../execution/ledger/ledger.ts'
import { type LedgerSource, readThrough } from '../execution/ledger/rootReader.ts'
import { getL1Info, type L1Info } from '../execution/ledger/tables.ts'
import { createLedgerTree, isPageKey, pageNumber, type TreeEntry, type TreeReader } from '../execution/ledger/tree.ts'
import { checkSigned, nativeGas, type SignedNative } from '../execution/native/native.ts'
import { invalid, type Rejection } from '../execution/native/nativeType.ts'
import { attachmentsOf, type BlockRow, encodeRow, type Row, rowWeight, takeRow } from '../execution/native/row.ts'
import type { Verdict } from '../execution/native/verdict.ts'
import type { EvmOperation } from '../execution/precompile.ts'
import type { JudgeEvidence } from '../execution/report.ts'
import type { DepositTx, EthereumTx, NativeTx, ReportTx } from '../execution/tx.ts'
import { type ChainParams, GROUP } from '../genesis/params.ts'

/** What the lane takes from a transaction whose signature was checked. */
export type LaneTx =
  | Pick<NativeTx, 'kind' | 'raw' | 'native' | 'sender' | 'gas'>
  | Pick<DepositTx, 'kind' | 'raw' | 'deposit'>
  | Pick<ReportTx, 'kind' | 'raw' | 'report'>
  | Pick<EthereumTx, 'kind' | 'raw'>

/** What the lane takes from an executed block. */
export type LaneBlock = {
  readonly header: Header
  readonly transactions: readonly LaneTx[]
  readonly operations: readonly { readonly txIndex: number; readonly operation: EvmOperation }[]
}

/** A row and where it came from. */
export type LaneRow = {
  readonly row: Row
  /** Number of its block. */
  readonly block: bigint
  /** Index of the transaction that made it; undefined for block rows, and where the row was read from L1. */
  readonly txIndex: number | undefined
  /** The transaction of a native row, where its signature is checked already. */
  readonly checked: CheckedNative | undefined
}

/** Where a group's first row starts, and the block row that rules it, in bytes from the start of the lane. */
export type GroupPlace = { readonly firstByte: number; readonly contextByte: number }

/** A lane's bytes, one place a group, and the bytes that stand in the tail for its rows, one behind another. */
export type Lane = { readonly bytes: Uint8Array; readonly places: readonly GroupPlace[]; readonly attachments: Uint8Array }

/** The rows of the blocks, which follow one another. */
export function laneRows(blocks: readonly LaneBlock[]): LaneRow[] {
  return blocks.flatMap(rowsOfBlock)
}

/** The lane that the groups of rows are. */
export function encodeLane(groups: readonly (readonly LaneRow[])[]): Lane {
  const places: GroupPlace[] = []
  const parts: Uint8Array[] = []
  let at = 0
  let contextByte = 0
  for (const group of groups) {
    for (const [i, { row }] of group.entries()) {
      if (row.kind === 'block') contextByte = at
      if (i === 0) places.push({ firstByte: at, contextByte })
      const bytes = encodeRow(row)
      parts.push(bytes)
      at += bytes.length
    }
  }
  const attachments = concatBytes(groups.flatMap((group) => group.flatMap(({ row }) => attachmentsOf(row))))
  return { bytes: concatBytes(parts), places, attachments }
}

/**
 * The groups of a lane whose first rows stand at these places, ascending from 0; fields that stand in the tail are not there yet (`attach`). Undefined: rows
 * are malformed or in an order that no blocks give, or groups begin where no row does or are more than L1 can execute.
 */
export function decodeLane(
  bytes: Uint8Array,
  firsts: readonly number[],
  chainId: number,
): { groups: LaneRow[][]; places: GroupPlace[] } | undefined {
  return attempt(() => {
    let block = 0n
    let contextByte = 0
    const places: GroupPlace[] = []
    const groups = firsts.map((from, g) => {
      const end = firsts[g + 1] ?? bytes.length
      const cursor = { bytes, at: from, end }
      const rows: LaneRow[] = []
      while (cursor.at < end && rows.length < GROUP.rows) {
        const at = cursor.at
        const row = takeRow(cursor, chainId) // ends: every row has a byte or more
        if (row.kind === 'block') [block, contextByte] = [row.number, at]
        if (rows.length === 0) places.push({ firstByte: at, contextByte })
        rows.push({ row, block, txIndex: undefined, checked: undefined })
      }
      if (cursor.at !== end || from > end || !isGroup(rows)) malformed()
      return rows
    })
    const isWhole = firsts.length > 0 ? firsts[0] === 0 : bytes.length === 0
    return isWhole && areInOrder(groups.flat().map(({ row }) => row)) ? { groups, places } : malformed()
  })
}

/** What rows name and do not hold, by number of the origin and index in the portal's queue; undefined: nobody knows it. */
export type LaneLookups = { l1Info(number: bigint): L1Info | undefined; deposit(index: bigint): Deposit | undefined }

/** Look-ups in the blocks whose rows they serve. */
export function lookupsOf(blocks: readonly LaneBlock[]): LaneLookups {
  const infos = new Map<bigint, L1Info>()
  const deposits = new Map<bigint, Deposit>()
  for (const { transactions } of blocks) {
    for (const { info, deposit, index } of placeDeposits(transactions)) {
      if (info) infos.set(info.number, info)
      else deposits.set(index, deposit)
    }
  }
  return { l1Info: (number) => infos.get(number), deposit: (index) => deposits.get(index) }
}

/** The ledger before the first row, and what the rows are executed under. */
export type LaneStart = {
  readonly root: Hex
  /** Knows that root; later ones may be added to it meanwhile. */
  readonly source: LedgerSource
  /** The genesis file's. */
  readonly params: ChainParams
  readonly judgeEvidence: JudgeEvidence
  readonly lookups: LaneLookups
  /** The block row that rules the first row, where that is none itself. */
  readonly ruling?: BlockRow
  /** By what disputes are executed: their evidence, unless it is what their rows say, as L1 does. */
  readonly verdicts?: 'judged' | 'stated'
  /** Told of every record that is read or changed, perhaps more than once. */
  readonly onTouch?: (table: number, id: Uint8Array) => void
}

/** A row that no block can have made of the rows before it; `row` counts from the first row of the run. */
export type LaneRejection = { readonly ok: false; readonly code: 'rowRefused'; readonly row: number; readonly rejection: Rejection }

/** Rows that were executed, those of disputes with their verdicts, and the ledger root after them. */
export type ExecutedGroup = { readonly ok: true; readonly ledgerRoot: Hex; readonly rows: readonly LaneRow[] }

/** A lane being re-executed, group by group, so that whoever has something else to do can do it in between. */
export type LaneRun = {
  /** Executes the rows of the next group: the ledger root after them, or the row that was refused, after which the run is over. */
  applyGroup(rows: readonly LaneRow[]): ExecutedGroup | LaneRejection
  /** The ledger as it is between two groups, for whoever reads it before the next one: later ones change it. */
  ledger(): { readonly root: Hex; readonly source: LedgerSource }
}

/** Starts the re-execution of a lane. Nothing is written anywhere but in memory. */
export function createLaneRun({ root, source, params, judgeEvidence, lookups, ruling, verdicts, onTouch }: LaneStart): LaneRun {
  const tree = createPassingTree(root, source)
  const ledger = createLedger(onTouch ? toldOf(tree.read, onTouch) : tree.read)
  let env = ruling && toEnv(ruling)
  let count = 0
  /** Of the last row, if it is a dispute that was judged. */
  let verdict: Verdict | undefined

  function keepVerdict(result: ({ readonly ok: true } | Rejection) & { readonly verdict?: Verdict | undefined }): Rejection | undefined {
    verdict = result.verdict
    return refusal(result)
  }

  function applyRow({ row, checked }: LaneRow): Rejection | undefined {
    if (row.kind === 'block') env = toEnv(row)
    if (!env) return invalid('blockRowMissing')
    const rulingParams = paramsAt(params, ledger, env.number)
    const stated = verdicts === 'stated' && 'verdict' in row ? row.verdict : undefined
    const context = { ledger, params: rulingParams, env, dataPrice: dataPriceIn(ledger, rulingParams), stated }
    if (row.kind === 'native') return keepVerdict(applyNative(context, row.native, checked))
    if (row.kind === 'operation') return keepVerdict(applyOperationToLedger(context, row.operation))
    if (row.kind === 'report') return refusal(applyReportToLedger({ ...context, judgeEvidence }, row.report))
    if (row.kind === 'deposit') return applyDeposit(context, lookups.deposit(row.index), row.index)
    return row.kind === 'l1Info' ? applyOrigin(context, row) : undefined
  }

  function applyDeposit(context: LaneContext, deposit: Deposit | undefined, index: bigint): Rejection | undefined {
    if (!deposit) return invalid('unknownDeposit')
    const want = getL1Info(ledger).depositCursor
    if (index !== want) return invalid('wrongDeposit', { got: index, want })
    applyDepositToLedger(context, deposit)
    return undefined
  }

  function applyOrigin(context: LaneContext, { number, blobBaseFee }: Row & { kind: 'l1Info' }): Rejection | undefined {
    const info = lookups.l1Info(number)
    if (!info) return invalid('unknownOrigin')
    if (info.blobBaseFee !== blobBaseFee) return invalid('wrongBlobBaseFee', { got: blobBaseFee, want: info.blobBaseFee })
    applyDepositToLedger(context, l1InfoDeposit(info))
    return undefined
  }

  function takeChanges(): TakenChange[] {
    const changes = ledger.takeChanges()
    if (onTouch) for (const { table, id } of changes) onTouch(table, id)
    return changes
  }

  return {
    applyGroup(rows) {
      assert(rows.length > 0, 'a group has rows')
      const executed: LaneRow[] = []
      for (const row of rows) {
        verdict = undefined
        const rejection = applyRow(row)
        if (rejection) {
          takeChanges()
          return { ok: false, code: 'rowRefused', row: count, rejection }
        }
        executed.push(verdict ? { ...row, row: { ...row.row, verdict } as Row } : row)
        count++
      }
      return { ok: true, ledgerRoot: bytesToHex(tree.commit(takeChanges())), rows: executed }
    },
    ledger: () => ({ root: bytesToHex(tree.root()), source: tree.source }),
  }
}

function toldOf(read: RecordReader, onTouch: (table: number, id: Uint8Array) => void): RecordReader {
  return (table, id) => {
    onTouch(table, id)
    return read(table, id)
  }
}

/** Groups that were executed, the rows of disputes with their verdicts, and the ledger root after each. */
export type ExecutedLane = { readonly ok: true; readonly roots: Hex[]; readonly groups: readonly (readonly LaneRow[])[] }

/** The ledger root after each group of rows. */
export function executeLane(start: LaneStart, groups: readonly (readonly LaneRow[])[]): ExecutedLane | LaneRejection {
  const run = createLaneRun(start)
  const roots: Hex[] = []
  const executed: (readonly LaneRow[])[] = []
  for (const group of groups) {
    const result = run.applyGroup(group)
    if (!result.ok) return result
    roots.push(result.ledgerRoot)
    executed.push(result.rows)
  }
  return { ok: true, roots, groups: executed }
}

/** The rows in groups as large as they may be. */
export function groupsOf(rows: readonly LaneRow[]): LaneRow[][] {
  const groups: LaneRow[][] = []
  let weight = 0
  for (const one of rows) {
    const own = rowWeight(one.row)
    const last = groups.at(-1)
    if (last && last.length < GROUP.rows && weight + own <= GROUP.weight) {
      last.push(one)
      weight += own
    } else {
      groups.push([one])
      weight = own
    }
  }
  return groups
}

/** The rows in groups of as many rows as others have. Asserts that they are as many in all. */
export function groupsLike(rows: readonly LaneRow[], others: readonly (readonly unknown[])[]): LaneRow[][] {
  let next = 0
  const groups = others.map(({ length }) => {
    next += length
    return rows.slice(next - length, next)
  })
  assert(next === rows.length, 'groups have all rows')
  return groups
}

/** Whether L1 can execute the rows by one transaction: one row whatever it weighs, or some that are not too many or too heavy together. */
export function isGroup(rows: readonly Pick<LaneRow, 'row'>[]): boolean {
  const weight = rows.reduce((sum, { row }) => sum + rowWeight(row), 0)
  return rows.length === 1 || (rows.length > 1 && rows.length <= GROUP.rows && weight <= GROUP.weight)
}

function rowsOfBlock({ header, transactions, operations }: LaneBlock): LaneRow[] {
  const { number: block, miner: coinbase, baseFeePerGas: baseFeeWei } = header
  const depositRows = placeDeposits(transactions).map(({ info, index }): Row => {
    return info ? { kind: 'l1Info', number: info.number, blobBaseFee: info.blobBaseFee } : { kind: 'deposit', index }
  })
  const rows: LaneRow[] = []
  let done = 0
  for (const [txIndex, tx] of transactions.entries()) {
    const deposit = depositRows[txIndex] // deposits stand first
    if (deposit) rows.push({ row: deposit, block, txIndex, checked: undefined })
    if (tx.kind === 'report') rows.push({ row: { kind: 'report', report: tx.report }, block, txIndex, checked: undefined })
    if (tx.kind === 'native') rows.push({ row: { kind: 'native', native: tx.native }, block, txIndex, checked: tx })
    for (; operations[done]?.txIndex === txIndex; done++) {
      const operation = operations[done]?.operation
      if (operation) rows.push({ row: { kind: 'operation', operation }, block, txIndex, checked: undefined })
    }
  }
  assert(done === operations.length, 'operations are not in the order of the transactions')
  if (rows.length === 0) return []
  const blockRow: BlockRow = { kind: 'block', number: block, timestampMs: timestampMs(header), baseFeeWei, coinbase }
  return [{ row: blockRow, block, txIndex: undefined, checked: undefined }, ...rows]
}

/** A block's deposits with their indexes in the queue, which its L1 info counts back from. */
function placeDeposits(transactions: readonly LaneTx[]): { info: L1Info | undefined; deposit: Deposit; index: bigint }[] {
  const deposits = transactions.flatMap((tx) => (tx.kind === 'deposit' ? [tx.deposit] : []))
  const [first] = deposits
  if (!first) return []
  const info = parseL1Info(first)
  assert(info, 'a block with deposits starts with L1 info')
  const before = info.depositCursor - BigInt(deposits.length)
  return deposits.map((deposit, i) => ({ info: i === 0 ? info : undefined, deposit, index: before + BigInt(i) }))
}

/**
 * Blocks ascend, each with a row of its own behind its block row; L1 info comes right behind that, deposits only with it and before reports, and reports
 * before native rows.
 */
function areInOrder(rows: readonly Row[]): boolean {
  let number: bigint | undefined
  let mayDeposit = false
  let mayReport = false
  for (const [i, row] of rows.entries()) {
    const before = rows[i - 1]?.kind
    if (row.kind === 'block') {
      if (before === 'block' || (number !== undefined && row.number <= number)) return false
      number = row.number
      mayDeposit = false
      mayReport = true
    }
    if (number === undefined || (row.kind === 'l1Info' && before !== 'block') || (row.kind === 'deposit' && !mayDeposit)) return false
    if (row.kind === 'report' && !mayReport) return false
    if (row.kind === 'l1Info') mayDeposit = true
    if (row.kind === 'native' || (row.kind === 'operation' && !mayDeposit)) mayReport = false
    if (row.kind === 'native' || row.kind === 'report') mayDeposit = false
  }
  return rows.at(-1)?.kind !== 'block'
}

function toEnv({ number, timestampMs: ms, baseFeeWei, coinbase }: BlockRow): LaneContext['env'] {
  return { number, timestamp: BigInt(Math.floor(ms / 1000)), miner: coinbase, baseFeePerGas: baseFeeWei }
}

function applyNative(context: LaneContext, native: SignedNative, checked: CheckedNative | undefined) {
  if (checked) return applyNativeToLedger(context, checked)
  const signed = checkSigned(native)
  return signed.ok ? applyNativeToLedger(context, { native, sender: signed.sender, gas: nativeGas(native) }) : signed
}

function refusal(result: { readonly ok: true } | Rejection): Rejection | undefined {
  return result.ok ? undefined : result
}

/**
 * A ledger tree whose changes are kept in memory: pages for as long as its latest root has them, and the latest records, by table and id. Sixteen rows
 * change some forty pages, which is what re-execution takes longest for: names of pages are numbers.
 */
function createPassingTree(root: Hex, source: LedgerSource) {
  const made = new Map<number, Uint8Array>()
  const changed = new Map<number, Map<Hex, Uint8Array | undefined>>()
  let newest: TreeEntry | undefined // the entry of the latest root
  const readEntry: TreeReader = (key) => {
    if (isPageKey(key)) return made.get(pageNumber(key)) ?? source.ledgerEntry(key)
    return newest && toHex(newest.key) === toHex(key) ? newest.bytes : source.ledgerEntry(key)
  }
  const tree = createLedgerTree(hexToBytes(root), readEntry)
  const readUnchanged = readThrough(tree, source)
  const readLatest = (orElse: RecordReader): RecordReader => {
    return (table, id) => {
      const records = changed.get(table)
      const name = records && toHex(id)
      return name !== undefined && records?.has(name) ? records.get(name) : orElse(table, id)
    }
  }
  return {
    read: readLatest(readUnchanged),
    root: () => tree.root(),
    source: { ledgerRecord: readLatest(source.ledgerRecord), ledgerEntry: readEntry },
    commit(changes: readonly TakenChange[]): Uint8Array {
      for (const { table, id, record } of changes) {
        const records = changed.get(table) ?? new Map<Hex, Uint8Array | undefined>()
        changed.set(table, records.set(toHex(id), record))
      }
      return tree.commit(
        changes.map(({ key, record }) => ({ key, record })),
        ({ key, bytes }) => {
          // Copies: a view would keep the pages of the whole commit.
          if (isPageKey(key)) made.set(pageNumber(key), bytes.slice())
          else newest = { key: key.slice(), bytes: bytes.slice() }
        },
        (key) => made.delete(pageNumber(key)),
      )
    },
  }
}
