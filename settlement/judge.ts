/**
 * What is wrong with a checkpoint, as far as L1 can be shown it: the batches that it rests on and derivation has not taken, judged by their bytes, and their
 * rows executed group by group as contracts/fraud/GroupExecution.sol executes them. What it says is made into proofs by settlement/proof.ts.
 * Spec: docs/spec/fraud.md
 */
import type { Hex } from 'viem'
import { bytesToHex, hexToBytes } from 'viem'
import { ORIGIN_STEP_MAX } from '../execution/applyBlock.ts'
import { AssertionError, assert } from '../execution/assert.ts'
import type { LedgerProof } from '../execution/ledger/proof.ts'
import { createRootReader, type LedgerSource, proveRecord } from '../execution/ledger/rootReader.ts'
import { L1_RECORD, type L1Info, l1Table } from '../execution/ledger/tables.ts'
import { type BlockRow, encodeRow, type Row } from '../execution/native/row.ts'
import { REFUSED } from '../execution/native/verdict.ts'
import type { ChainParams } from '../genesis/params.ts'
import { type BatchParent, type Compression, decodeBatch } from './batch.ts'
import { BLOB_PAYLOAD_BYTES } from './blob.ts'
import type { Checkpoint } from './checkpoint.ts'

import { findStructureFault, firstsOf, laneOf, postedRoot, readHead, rootAfter, type StructureFault } from './fraud.ts'
import type { BatchData, L1Block } from './l1.ts'
import type { L1Batch, L1Deposit } from './l1Logs.ts'
import { createLaneRun, decodeLane, type LaneLookups, type LaneRow, type LaneRun } from './lane.ts'
import { witnessGroup } from './witness.ts'

/** A group whose rows do not lead to the posted root, or one of which is refused: `code` says by which rule, or `wrongRoot`. */
export type GroupFault = {
  readonly kind: 'group'
  readonly group: number
  readonly code: string
  /** L1 blocks that its rows name, whose headers L1 has to see. */
  readonly l1Numbers: readonly bigint[]
  /** Indexes of the deposits that its rows depend on, ascending. */
  readonly deposits: readonly bigint[]
  /** The part of the ledger that its rows touch. */
  readonly witness: Uint8Array
}

/** What is wrong with one batch. `element`: one of a blob's, which is none of a payload. */
export type BatchFault =
  | StructureFault
  | { readonly kind: 'element'; readonly element: number }
  /** It begins with another ledger root than is posted after its predecessor. */
  | { readonly kind: 'rootBefore' }
  | GroupFault

/** What is wrong with a checkpoint. `batch` is a place in the path that was judged. */
export type Finding =
  | { readonly kind: 'batch'; readonly batch: number; readonly fault: BatchFault }
  /** Its ledger root is not the one that is posted after its last group. */
  | { readonly kind: 'finalRoot' }
  /** Its ledger leaves out this deposit, which was queued in the L1 block that it names or before. */
  | { readonly kind: 'deposits'; readonly l1Record: LedgerProof; readonly deposit: bigint }

export type JudgePorts = {
  /** What a batch carries. Throws L1Error. */
  data(batch: L1Batch): Promise<BatchData>
  /** A canonical L1 block; undefined: there is none of this number. Throws L1Error. */
  l1Block(number: bigint): Promise<L1Block | undefined>
  /** A deposit of the portal; undefined: none of this index is queued. Throws L1Error. */
  deposit(index: bigint): Promise<L1Deposit | undefined>
  readonly decompress: Compression['decompress']
  /** Lets others go on: called between groups. */
  pause(): Promise<void>
}

/** Behind which batch a path begins: one that was taken, or the genesis file. */
export type PathStart = {
  /** Index of that batch, and one more; 0 behind the genesis file. */
  readonly nextIndex: bigint
  /** The ledger after it, and what knows it. */
  readonly root: Hex
  readonly source: LedgerSource
  /** Its last block. */
  readonly parent: BatchParent
  /** The genesis file's. */
  readonly params: ChainParams
}

/**
 * What was found: nothing, if the checkpoint is right as far as L1 can be shown. `unread`: index of a batch that was not judged, since its bytes cannot be read
 * here.
 */
export type Judgement = {
  readonly findings: readonly Finding[]
  readonly unread?: bigint
  readonly misjudged: readonly Misjudged[]
}

/** A dispute whose evidence comes to another verdict than its row says, which L1 cannot be shown: index of the batch, and the group. */
export type Misjudged = { readonly batch: bigint; readonly group: number }

/**
 * Judges a checkpoint by its path: the batches from the first one that derivation did not take to its own, in order; none where its own was taken.
 * The first thing that is wrong ends the execution of rows, for what is behind it rests on it. Throws L1Error.
 */
export async function judgeCheckpoint(
  checkpoint: Checkpoint,
  path: readonly L1Batch[],
  start: PathStart,
  ports: JudgePorts,
): Promise<Judgement> {
  const findings: Finding[] = []
  const run = createPathRun(start)
  let root = start.root
  let place = start.nextIndex
  const { misjudged } = run
  for (const [batch, posted] of path.entries()) {
    const read = readBatch(await ports.data(posted), posted, { place, chainId: start.params.chainId })
    if (read.kind === 'unread') return { findings, unread: posted.index, misjudged }
    if (read.kind === 'wrong') return { findings: [...findings, { kind: 'batch', batch, fault: read.fault }], misjudged }
    const { payload } = read
    const isCut = readHead(payload).ledgerRootBefore !== root
    root = rootAfter(payload)
    // Where the chain of roots is cut, what is behind it starts from another ledger than anybody knows.
    if (isCut && !findings.some(isRootBefore)) findings.push({ kind: 'batch', batch, fault: { kind: 'rootBefore' } })
    const fault = findings.length === 0 ? await run.applyBatch({ index: posted.index, payload }, ports) : undefined
    if (fault) findings.push({ kind: 'batch', batch, fault })
    place = posted.index + 1n
  }
  if (root !== checkpoint.ledgerRoot) findings.push({ kind: 'finalRoot' })
  if (findings.length > 0) return { findings, misjudged }
  const left = await findLeftOut(run.ledger(), ports)
  return { findings: left ? [left] : [], misjudged }
}

function isRootBefore(finding: Finding): boolean {
  return finding.kind === 'batch' && finding.fault.kind === 'rootBefore'
}

type Read =
  | { readonly kind: 'payload'; readonly payload: Uint8Array }
  | { readonly kind: 'wrong'; readonly fault: BatchFault }
  | { readonly kind: 'unread' }

/** The payload, or what is wrong with it before its rows are executed. */
function readBatch(data: BatchData, { header }: L1Batch, { place, chainId }: { readonly place: bigint; readonly chainId: number }): Read {
  if (data.kind === 'unread') return { kind: 'unread' }
  const bytes = data.kind === 'callData' ? data.payload : roomOf(data.blobs)
  const element = data.kind === 'blobs' ? findElement(data.blobs) : undefined
  if (element !== undefined) return { kind: 'wrong', fault: { kind: 'element', element } }
  const payload = bytes.subarray(0, header.payloadBytes)
  const fault = findStructureFault(payload, { place, header, chainId })
  if (fault) return { kind: 'wrong', fault }
  const behind = bytes.subarray(header.payloadBytes).findIndex((byte) => byte !== 0)
  if (behind !== -1) return { kind: 'wrong', fault: { kind: 'padding', place: header.payloadBytes + behind } }
  return { kind: 'payload', payload }
}

const ELEMENT_BYTES = 32

/** The first element that does not begin with a zero, counted through all blobs. */
function findElement(blobs: readonly Uint8Array[]): number | undefined {
  let element = 0
  for (const blob of blobs) for (let at = 0; at < blob.length; at += ELEMENT_BYTES, element++) if (blob[at] !== 0) return element
  return undefined
}

/** The 31 payload bytes of each element of the blobs, those behind the payload too. */
export function roomOf(blobs: readonly Uint8Array[]): Uint8Array {
  const room = new Uint8Array(blobs.length * BLOB_PAYLOAD_BYTES)
  let out = 0
  for (const blob of blobs)
    for (let at = 0; at < blob.length; at += ELEMENT_BYTES, out += ELEMENT_BYTES - 1)
      room.set(blob.subarray(at + 1, at + ELEMENT_BYTES), out)
  return room
}

// ---- rows

/** What L1 says beside the rows. */
type Facts = { readonly blocks: ReadonlyMap<bigint, L1Block>; readonly deposits: ReadonlyMap<bigint, L1Deposit> }
type GroupStart = Pick<PathStart, 'root' | 'source' | 'params'> & { readonly ruling: BlockRow }

/** The rows of one batch after another. */
function createPathRun({ root, source, params, parent: first }: PathStart) {
  /** The block before the next batch; undefined where nobody knows it. */
  let parent: BatchParent | undefined = first
  let facts: Facts = { blocks: new Map(), deposits: new Map() }
  let blobBaseFees: ReadonlyMap<bigint, bigint> = new Map()
  const lookups: LaneLookups = {
    l1Info(number) {
      const block = facts.blocks.get(number)
      if (!block) return undefined
      const { hash, timestampSec, baseFeeWei: baseFee, prevRandao } = block
      // The blob base fee is the row's word.
      return { number, hash, timestampSec, baseFee, blobBaseFee: blobBaseFees.get(number) ?? 0n, prevRandao, depositCursor: 0n }
    },
    deposit: (index) => facts.deposits.get(index)?.deposit,
  }
  // That evidence has its signatures is attested: L1 does not look at them.
  const judgeEvidence = () => ({ ok: true }) as const
  // The verdict of a dispute is attested, too: what follows from it is executed.
  const run = createLaneRun({ root, source, params, judgeEvidence, lookups, verdicts: 'stated' })

  const misjudged: Misjudged[] = []

  /** The groups of rows of a payload whose structure is right, with what stands in its tail for them if that is right, too. */
  function groupsIn(payload: Uint8Array, { decompress }: JudgePorts): readonly (readonly LaneRow[])[] {
    const whole = parent && decodeBatch(payload, { parent, chainId: params.chainId, decompress })
    parent = whole?.ok ? whole.batch.blocks.at(-1) : undefined
    const groups = whole?.ok ? whole.batch.groups : decodeLane(laneOf(payload), firstsOf(payload), params.chainId)?.groups
    assert(groups, 'rows whose structure is right can be read')
    return groups
  }

  return {
    ledger: run.ledger,
    misjudged: misjudged as readonly Misjudged[],
    /** Executes the groups of a payload whose structure is right: the first that is wrong. */
    async applyBatch(
      { index, payload }: { readonly index: bigint; readonly payload: Uint8Array },
      ports: JudgePorts,
    ): Promise<GroupFault | undefined> {
      let ruling: BlockRow | undefined
      for (const [group, rows] of groupsIn(payload, ports).entries()) {
        await ports.pause()
        facts = await factsOf(rows, run, ports)
        blobBaseFees = new Map(rows.flatMap(({ row }) => (row.kind === 'l1Info' ? [[row.number, row.blobBaseFee] as const] : [])))
        ruling ??= rows.map(({ row }) => row).find((row) => row.kind === 'block')
        assert(ruling, 'a lane begins with a block row')
        const start = { ...run.ledger(), params, ruling, judgeEvidence, lookups, verdicts: 'stated' as const }
        if (isMisjudged(start, rows)) misjudged.push({ batch: index, group })
        const fault = judgeGroup(start, rows, { group, facts, posted: postedRoot(payload, group) })
        if (fault) return fault
        const applied = run.applyGroup(rows)
        assert(applied.ok, 'rows that were executed once are executed again')
        for (const { row } of rows) if (row.kind === 'block') ruling = row
      }
      return undefined
    },
  }
}

type JudgedStart = GroupStart & Pick<Parameters<typeof witnessGroup>[0], 'judgeEvidence' | 'lookups' | 'verdicts'>

/** Whether a dispute among the rows comes to another verdict by its evidence than its row says; false where the evidence is not there. */
function isMisjudged(start: JudgedStart, rows: readonly LaneRow[]): boolean {
  const isJudgeable = rows.some(({ row }) => 'verdict' in row) && !rows.some(isIncomplete)
  if (!isJudgeable) return false
  const asked = rows.map((one) => ('verdict' in one.row ? { ...one, row: { ...one.row, verdict: REFUSED } } : one))
  const executed = attemptGroup(start, asked)
  return executed?.ok === true && executed.rows.some(({ row }, i) => !isSameRow(row, rows[i]?.row))
}

function isSameRow(a: Row, b: Row | undefined): boolean {
  return b !== undefined && bytesToHex(encodeRow(a)) === bytesToHex(encodeRow(b))
}

function attemptGroup(start: JudgedStart, rows: readonly LaneRow[]): ReturnType<LaneRun['applyGroup']> | undefined {
  try {
    return createLaneRun({ ...start, verdicts: 'judged' }).applyGroup(rows)
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error // of a stranger's rows, as below
    return undefined
  }
}

/** Whether a row has a field whose bytes are not there: the tail is wrong. */
function isIncomplete({ row }: LaneRow): boolean {
  const typed = row.kind === 'native' ? row.native : row.kind === 'operation' ? row.operation : undefined
  return typed?.type.attached.some((name) => typeof typed.fields[name] !== 'string') ?? false
}

function judgeGroup(
  start: JudgedStart,
  rows: readonly LaneRow[],
  { group, facts, posted }: { readonly group: number; readonly facts: Facts; readonly posted: Hex },
): GroupFault | undefined {
  const own = rows.map(({ row }) => row)
  const refused = refusalByL1(own, start, facts)
  const shown = {
    kind: 'group' as const,
    group,
    l1Numbers: [...facts.blocks.keys()],
    deposits: [...facts.deposits.keys()].toSorted((a, b) => (a < b ? -1 : 1)),
  }
  try {
    const { result, witness } = witnessGroup(start, rows)
    const code = refused ?? (result.ok ? (result.ledgerRoot === posted ? undefined : 'wrongRoot') : result.rejection.code)
    return code === undefined ? undefined : { ...shown, code, witness }
  } catch (error) {
    // Our own promises hold for rows that blocks have made. These may be a stranger's, who would like nothing better than that nobody can judge them.
    if (!(error instanceof AssertionError)) throw error
    return { ...shown, code: 'cannotExecute', witness: new Uint8Array() }
  }
}

/** Why L1 refuses a row that names something of L1; the rest of the rules are the lane's own. Source: GroupExecution.sol, `executeL1Info`, `executeDeposit`. */
function refusalByL1(rows: readonly Row[], { root, source, ruling }: GroupStart, { blocks, deposits }: Facts): string | undefined {
  let { number, depositCursor: cursor } = l1InfoIn({ root, source })
  let { timestampMs } = ruling
  for (const row of rows) {
    if (row.kind === 'block') timestampMs = row.timestampMs
    if (row.kind === 'l1Info') {
      if (row.number <= number || row.number > number + ORIGIN_STEP_MAX) return 'badOrigin'
      const block = blocks.get(row.number)
      if (block && block.timestampSec > BigInt(Math.floor(timestampMs / 1000))) return 'beforeOrigin'
      const due = deposits.get(cursor)
      if (due && due.l1Block.number <= number) return 'depositMissing'
      number = row.number
    }
    if (row.kind === 'deposit') {
      if (row.index !== cursor) return 'wrongDeposit'
      const deposit = deposits.get(row.index)
      if (!deposit || deposit.l1Block.number > number) return 'unknownDeposit'
      cursor++
    }
  }
  return undefined
}

/** The L1 blocks and deposits that the rows depend on. */
async function factsOf(rows: readonly LaneRow[], run: Pick<LaneRun, 'ledger'>, ports: JudgePorts): Promise<Facts> {
  const blocks = new Map<bigint, L1Block>()
  const deposits = new Map<bigint, L1Deposit>()
  let { number, depositCursor: cursor } = l1InfoIn(run.ledger())
  const learn = async (index: bigint) => {
    const deposit = await ports.deposit(index)
    if (deposit) deposits.set(index, deposit)
  }
  for (const { row } of rows) {
    if (row.kind === 'l1Info') {
      await learn(cursor)
      // One that is refused by its number alone need not be shown.
      const block = row.number > number && row.number <= number + ORIGIN_STEP_MAX ? await ports.l1Block(row.number) : undefined
      if (block) blocks.set(row.number, block)
      number = row.number
    }
    if (row.kind === 'deposit') {
      await learn(row.index)
      cursor = row.index + 1n
    }
  }
  return { blocks, deposits }
}

/** The deposit at the cursor of a ledger, if it was queued in the L1 block that the ledger names or before. */
async function findLeftOut({ root, source }: ReturnType<LaneRun['ledger']>, ports: JudgePorts): Promise<Finding | undefined> {
  const { number, depositCursor } = l1InfoIn({ root, source })
  const deposit = await ports.deposit(depositCursor)
  if (!deposit || deposit.l1Block.number > number) return undefined
  return { kind: 'deposits', l1Record: proveRecord(hexToBytes(root), source, L1_RECORD), deposit: depositCursor }
}

function l1InfoIn({ root, source }: { readonly root: Hex; readonly source: LedgerSource }): L1Info {
  const record = createRootReader(hexToBytes(root), source)(L1_RECORD.table, L1_RECORD.id)
  assert(record, 'every ledger has an L1 record')
  return l1Table.decode(record)
}
