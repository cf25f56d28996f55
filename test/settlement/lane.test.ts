/** The native lane alone leads from ledger root to ledger root, whatever the blocks hold. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Evidence, judgeEvidence } from '../../consensus/evidence.ts'
import { NATIVE_TYPES } from '../../execution/native/native.ts'
import { attach, type Row } from '../../execution/native/row.ts'
import { reportOf } from '../../execution/report.ts'
import { EVIDENCE_BYTES } from '../../genesis/params.ts'
import {
  createLaneRun,
  decodeLane,
  encodeLane,
  executeLane,
  groupsOf,
  type Lane,
  type LaneRow,
  type LaneStart,
  laneRows,
  lookupsOf,
} from '../../settlement/lane.ts'
import { offenceOf, reportOfEvidence } from '../fakes/offence.ts'
import { testGenesis } from '../fakes/testChain.ts'
import { arbitraryBlock, OWNER, type Story, startStory, toLaneBlock } from './story.ts'

const { chainId } = testGenesis().params

/** What the lane of blocks `first` to `last` starts from. */
function startOf({ chain, blocks, ledgerRoots }: Story, first: number, last: number): LaneStart {
  const lookups = lookupsOf(blocks.slice(first, last + 1).map(toLaneBlock))
  return { root: ledgerRoots[first] ?? '0x', source: chain.store.reader, params: chain.genesis.params, judgeEvidence, lookups }
}

const rootsOf = (executed: ReturnType<typeof executeLane>) => executed.ok && executed.roots

/** What was encoded, read again, and what stands in the tail put where it belongs. */
function readLane({ bytes, places, attachments }: Lane, chain: number) {
  const firsts = places.map(({ firstByte }) => firstByte)
  const read = decodeLane(bytes, firsts, chain)
  const cursor = { bytes: attachments, at: 0, end: attachments.length }
  return read && { ...read, groups: read.groups.map((group) => group.map((one) => ({ ...one, row: attach(one.row, cursor) }))) }
}

test('re-executing the rows gives the ledger root of every block, from checked transactions and from bytes', () =>
  fc.assert(
    fc.asyncProperty(fc.array(arbitraryBlock, { minLength: 1, maxLength: 6 }), async (moves) => {
      const story = await startStory()
      for (const move of moves) await story.add(move)
      const { blocks, ledgerRoots, chain } = story
      for (let first = 0; first < blocks.length; first++) {
        for (const last of new Set([first, blocks.length - 1])) {
          const rows = laneRows(blocks.slice(first, last + 1).map(toLaneBlock))
          const start = startOf(story, first, last)
          const groups = groupsOf(rows)
          const executed = executeLane(start, groups)
          expect(executed.ok && (executed.roots.at(-1) ?? start.root)).toBe(ledgerRoots[last + 1])
          const lane = encodeLane(groups)
          const read = readLane(lane, chain.genesis.params.chainId)
          expect(read?.places).toEqual(lane.places)
          expect(read && rootsOf(executeLane(start, read.groups))).toEqual(rootsOf(executed))
          expect(read?.groups.flat().map(({ block }) => block)).toEqual(rows.map(({ block }) => block))
        }
      }
    }),
    { numRuns: 12 },
  ))

test('no row of EVM origin spends what the ledger holds, whatever the EVM lane says of it', async () => {
  const story = await startStory()
  const native = { way: 'native', who: 0 } as const
  const credit = { ...native, what: 6, a: 40, b: 2 }
  const transfers = [1, 4, 5].map((b) => ({ ...native, what: 0, a: 3, b })) // to the EVM, and both steps out of a prepaid balance
  const { receipts } = await story.add({ moves: [credit, ...transfers], step: 0, deposits: [], afterMs: 1_000 })
  expect(receipts.map(({ succeeded }) => succeeded)).toEqual([true, true, true, false]) // the last one waits for its delay
  const last = story.blocks.length - 1
  const start = startOf(story, last, last)
  const rows = laneRows(story.blocks.slice(last).map(toLaneBlock))
  expect(executeLane(start, [rows])).toMatchObject({ ok: true, roots: [story.ledgerRoots[last + 1]] })

  const spends = rows.flatMap(({ row, checked }, i) =>
    row.kind === 'native' && checked ? [{ i, caller: checked.sender, ...row.native }] : [],
  )
  expect(spends.map(({ type }) => type.name)).toEqual(['AttributionCredit', 'Transfer', 'Transfer', 'Transfer'])
  for (const { i, type, caller, fields } of spends) {
    const row: Row = { kind: 'operation', operation: { type, caller, fields } }
    const forged = rows.map((one, k) => (k === i ? { ...one, row, checked: undefined } : one))
    expect(executeLane(start, [forged])).toMatchObject({ ok: false, code: 'rowRefused', row: i, rejection: { code: 'nativeOnly' } })
  }
})

/** A story with rows of every kind, some dozens of them. */
async function longStory(): Promise<Story> {
  const story = await startStory()
  for (const move of fc.sample(arbitraryBlock, { numRuns: 6, seed: 5 })) await story.add(move)
  await story.add({ moves: [], step: 1, deposits: [{ kind: 'door', who: 1, a: 3 }], afterMs: 20 })
  return story
}

test('groups lead from root to root one by one, and rows within a block are ruled by its block row', async () => {
  const story = await longStory()
  const last = story.blocks.length - 1
  const start = startOf(story, 0, last)
  const lane = encodeLane(groupsOf(laneRows(story.blocks.map(toLaneBlock))))
  const groups = readLane(lane, chainId)?.groups ?? []
  const rows = groups.flat()
  expect(new Set(rows.map(({ row }) => row.kind))).toEqual(new Set(['block', 'l1Info', 'deposit', 'native', 'operation', 'report']))
  expect(groups).toEqual(groupsOf(rows))
  expect(groups.length).toBeGreaterThan(2)
  const executed = executeLane(start, groups)
  if (!executed.ok) throw new Error('refused')
  const run = createLaneRun(start)
  expect(groups.map((group) => run.applyGroup(group))).toMatchObject(executed.roots.map((ledgerRoot) => ({ ok: true, ledgerRoot })))
  const first = rows.findIndex(({ block, row }) => block === 1n && row.kind === 'native')
  const ruling = rows[0]?.row
  if (ruling?.kind !== 'block') throw new Error('the first row is a block')
  const [head, tail] = [rows.slice(0, first), rows.slice(first, first + 1)]
  const whole = executeLane(start, [[...head, ...tail]])
  expect(first).toBe(1)
  expect(whole.ok && createLaneRun({ ...start, ruling }).applyGroup(tail)).toMatchObject({
    ok: true,
    ledgerRoot: whole.ok ? whole.roots[0] : '',
  })
})

test('a row that no block can have made is named', async () => {
  const story = await longStory()
  const start = startOf(story, 0, story.blocks.length - 1)
  const rows = readLane(encodeLane(groupsOf(laneRows(story.blocks.map(toLaneBlock)))), chainId)?.groups.flat() ?? []
  const refused = (changed: readonly LaneRow[], from: Partial<LaneStart> = {}) => {
    const result = executeLane({ ...start, ...from }, [changed])
    return result.ok ? 'ok' : [result.row, result.rejection.code]
  }
  const place = { block: 1n, txIndex: undefined, checked: undefined }
  const transfer = NATIVE_TYPES[0]
  const native = rows[1]?.row
  const ruling = rows[0]?.row
  if (!transfer || native?.kind !== 'native') throw new Error('the second row is a transaction')
  if (ruling?.kind !== 'block') throw new Error('the first row is a block')
  const operation = (fields: Record<string, unknown>): LaneRow => ({
    ...place,
    row: { kind: 'operation', operation: { type: transfer, caller: OWNER, fields } },
  })
  const signedBy = (r: number): LaneRow => ({
    ...place,
    row: { kind: 'native', native: { ...native.native, signature: { ...native.native.signature, r: new Uint8Array(32).fill(r) } } },
  })
  const offence = offenceOf({ key: 3, height: 1, epoch: 0, chainId })
  const reported = (evidence: Evidence): LaneRow => ({ ...place, row: { kind: 'report', report: reportOfEvidence(evidence).report } })
  const [block, first] = rows as [LaneRow, LaneRow]
  const later: LaneRow = { ...block, row: { ...ruling, number: 2n } }
  const nothing = { deposit: () => undefined, l1Info: () => undefined }
  const depositAt = rows.findIndex(({ row }) => row.kind === 'deposit')
  const infoAt = rows.findIndex(({ row }) => row.kind === 'l1Info')
  const changed = (at: number, change: (row: Row) => Row) => rows.map((one, i) => (i === at ? { ...one, row: change(one.row) } : one))
  const laterDeposit = changed(depositAt, (row) => (row.kind === 'deposit' ? { ...row, index: row.index + 1n } : row))
  const dearer = changed(infoAt, (row) => (row.kind === 'l1Info' ? { ...row, blobBaseFee: row.blobBaseFee + 1n } : row))
  const { deposit } = start.lookups
  expect({
    noBlock: refused([first]),
    twice: refused([block, first, first]),
    unknownDeposit: refused(rows, { lookups: { ...start.lookups, deposit: nothing.deposit } }),
    unknownOrigin: refused(rows, { lookups: { ...start.lookups, l1Info: nothing.l1Info } }),
    laterDeposit: refused(laterDeposit, { lookups: { ...start.lookups, deposit: (index) => deposit(index) ?? deposit(index - 1n) } }),
    dearer: refused(dearer),
    nobodySigned: refused([block, signedBy(0xff)]),
    malformedOperation: refused([block, operation({ kind: 0, to: OWNER, amount: 0n })]),
    nativeOnly: refused([block, operation({ kind: 1, to: OWNER, amount: 1n })]),
    beyondSupply: refused([block, operation({ kind: 0, to: OWNER, amount: 10n ** 28n })]),
    attested: refused([block, operation({ kind: 0, to: OWNER, amount: 1n })]),
    reported: refused([later, reported(offence)]),
    reportedTwice: refused([later, reported(offence), reported(offence)]),
    framed: refused([later, reported({ ...offence, validator: 1 })]),
  }).toEqual({
    noBlock: [0, 'blockRowMissing'],
    twice: [2, 'nonceTooLow'],
    unknownDeposit: [depositAt, 'unknownDeposit'],
    unknownOrigin: [infoAt, 'unknownOrigin'],
    laterDeposit: [depositAt, 'wrongDeposit'],
    dearer: [infoAt, 'wrongBlobBaseFee'],
    nobodySigned: [1, 'badSignature'],
    malformedOperation: [1, 'badAmount'],
    nativeOnly: [1, 'nativeOnly'],
    beyondSupply: [1, 'evmSupplyExceeded'],
    attested: 'ok',
    reported: 'ok',
    reportedTwice: [2, 'alreadyConvicted'],
    framed: [1, 'badSignature'],
  })
})

test('rows in an order that no blocks give are no lane', () => {
  const block = (number: bigint): Row => ({ kind: 'block', number, timestampMs: 1, baseFeeWei: 1n, coinbase: OWNER })
  const info: Row = { kind: 'l1Info', number: 1n, blobBaseFee: 1n }
  const deposit: Row = { kind: 'deposit', index: 0n }
  const [transfer] = NATIVE_TYPES
  if (!transfer) throw new Error('no type')
  const fields = { kind: 0, to: OWNER, amount: 1n }
  const operation: Row = { kind: 'operation', operation: { type: transfer, caller: OWNER, fields } }
  const signature = { yParity: 0 as const, r: new Uint8Array(32), s: new Uint8Array(32) }
  const native: Row = { kind: 'native', native: { type: transfer, chainId, nonce: 0n, maxFeeWei: 0n, fields, signature } }
  const report: Row = { kind: 'report', report: reportOf(new Uint8Array(EVIDENCE_BYTES)) }
  const isLane = (rows: readonly Row[]) => {
    const lane = encodeLane(groupsOf(rows.map((row) => ({ row, block: 0n, txIndex: undefined, checked: undefined }))))
    return readLane(lane, chainId) !== undefined
  }
  const good = [
    [],
    [block(1n), info],
    [block(1n), info, deposit, operation, deposit, native, operation],
    [block(1n), native, block(3n), info, deposit],
    [block(1n), report, report, native, operation],
    [block(1n), info, deposit, operation, report, operation, native],
    [block(1n), native, block(3n), report],
  ]
  const bad = [
    [native],
    [block(1n)],
    [block(1n), native, block(2n)],
    [block(1n), block(2n), native],
    [block(2n), native, block(2n), native],
    [block(2n), native, block(1n), native],
    [block(1n), native, info],
    [block(1n), info, info],
    [block(1n), deposit],
    [block(1n), info, native, deposit],
    [block(1n), info, block(2n), deposit],
    [report],
    [block(1n), report, info],
    [block(1n), info, report, deposit],
    [block(1n), native, report],
    [block(1n), info, deposit, native, report],
    [block(1n), operation, report],
    [block(1n), report, operation, report],
  ]
  expect(good.map(isLane)).toEqual(good.map(() => true))
  expect(bad.map(isLane)).toEqual(bad.map(() => false))
})
