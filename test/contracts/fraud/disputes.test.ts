/**
 * What follows from a dispute's verdict is on L1 what it is here: for walks over windows with every kind of fault, upheld and not, the same root after each
 * dispute; and with another verdict in its row what that leads to, on both sides: another root, or the row is refused.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { judgeEvidence } from '../../../consensus/evidence.ts'
import type { BlockRow, Row } from '../../../execution/native/row.ts'
import { REFUSED, type Verdict } from '../../../execution/native/verdict.ts'
import { createLaneRun, groupsOf, type LaneRow, laneRows, lookupsOf } from '../../../settlement/lane.ts'
import { witnessGroup } from '../../../settlement/witness.ts'
import { createWanderer, WALK_PARAMS } from '../../execution/wanderer.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../../fakes/anvil.ts'
import { stageClient } from '../../fakes/l1Stage.ts'
import { testGenesis } from '../../fakes/testChain.ts'
import { arbitraryBlock, startStory, toLaneBlock } from '../../settlement/story.ts'
import { deployWatcher, toGroup, watchGroup } from './watcher.ts'

const SEED = 20_261_122
const TURNS = Number(process.env.DISPUTE_TURNS ?? 12)

let anvil: Anvil
let client: ReturnType<typeof stageClient>
let watcher: `0x${string}`
beforeAll(async () => {
  anvil = await startAnvil()
  client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  const { chainId, epochSec } = testGenesis(WALK_PARAMS).params
  watcher = await deployWatcher(client, { chainId, epochSec, epochBlocks: 3 })
}, 60_000)
afterAll(() => anvil?.stop())

/** Blocks in which credits are disputed. */
async function walk() {
  const story = await startStory(WALK_PARAMS)
  const wanderer = createWanderer(story.chain, SEED)
  const blocks = [...story.blocks]
  for (const move of fc.sample(arbitraryBlock, { seed: SEED, numRuns: TURNS })) {
    blocks.push(await story.add({ ...move, step: Math.max(1, move.step) }))
    for (let i = 0; i < 3; i++) {
      blocks.push(await story.chain.next(wanderer.offer(24, story.chain.head().timestamp), { afterMs: 1_700 }))
    }
  }
  return { story, own: blocks.map(toLaneBlock) }
}

const isDispute = ({ row }: LaneRow) => row.kind === 'native' && row.native.type.name === 'CreditDispute'
const verdictOf = ({ row }: LaneRow): Verdict | undefined => (row.kind === 'native' ? row.verdict : undefined)
const rulingAfter = (group: readonly LaneRow[], before: BlockRow | undefined) =>
  group.reduce((last: BlockRow | undefined, { row }) => (row.kind === 'block' ? row : last), before)

/** Other verdicts than the one that was given. */
function othersThan(verdict: Verdict): Verdict[] {
  const entries = (account: number, amountGwei: number): Verdict => ({ kind: 'entries', feeWei: 1n, changes: [{ account, amountGwei }] })
  const few = [entries(1, 0), entries(2, 1), entries(7, 0)]
  const all: Verdict[] = [REFUSED, { kind: 'void', feeWei: 0n }, ...few, entries(1, 2 ** 47), entries(2 ** 32 - 1, 1), entries(0, 1)]
  return all.filter(({ kind }) => kind === 'entries' || kind !== verdict.kind)
}

/** Whether it may change nothing that the right one does not. */
const isEmpty = (verdict: Verdict) => verdict.kind === 'entries' && verdict.changes.every(({ amountGwei }) => amountGwei === 0)

test('a dispute leads to the same root on L1 by its verdict, and by no other one', { timeout: 600_000 }, async () => {
  const { story, own } = await walk()
  const { chain, ledgerRoots } = story
  const lookups = lookupsOf(own)
  const start = { root: ledgerRoots[0] ?? '0x', source: chain.store.reader, params: chain.genesis.params, judgeEvidence, lookups } as const
  const run = createLaneRun(start)
  const met = new Map<string, number>()
  let gasMost = 0
  let ruling: BlockRow | undefined
  for (const group of groupsOf(laneRows(own))) {
    const [first] = group
    if (first && isDispute(first) && ruling) {
      expect(group).toHaveLength(1)
      const from = { ...start, ...run.ledger(), ruling }
      const { result, witness } = witnessGroup(from, group)
      if (!result.ok) throw new Error('a dispute of a block was refused')
      const asked = async (rows: readonly LaneRow[], shown: Uint8Array) =>
        watchGroup(client, watcher, toGroup(rows, { preRoot: from.root, ruling: from.ruling, lookups, depositCount: 0n }), shown)
      const there = await asked(result.rows, witness)
      expect(there).toMatchObject({ isRefused: false, root: result.ledgerRoot })
      gasMost = Math.max(gasMost, there.txGas)
      const verdict = result.rows[0] && verdictOf(result.rows[0])
      const name = `${verdict?.kind ?? 'not judged'} ${there.failures.join()}`
      if (verdict && verdict.kind !== 'refused' && (met.get(name) ?? 0) < 3) {
        for (const other of othersThan(verdict)) {
          const forged = result.rows.map((one) => ({ ...one, row: { ...one.row, verdict: other } as Row }))
          const name = JSON.stringify(other, (_, v) => String(v))
          const stated = witnessGroup({ ...from, verdicts: 'stated' }, forged)
          const told = await asked(forged, stated.witness)
          if (stated.result.ok) expect(told, name).toMatchObject({ isRefused: false, root: stated.result.ledgerRoot })
          else expect([told.isRefused, stated.result.rejection.code], name).toEqual([true, 'badVerdict'])
          expect(told.isRefused || told.root !== result.ledgerRoot || isEmpty(other), name).toBe(true)
        }
      }
      met.set(name, (met.get(name) ?? 0) + 1)
    }
    expect(run.applyGroup(group)).toMatchObject({ ok: true })
    ruling = rulingAfter(group, ruling)
  }
  process.stdout.write(`disputes: ${JSON.stringify(Object.fromEntries(met))}, gas ${gasMost}\n`)
  for (const kind of ['void ', 'entries ', 'refused ']) expect(met.get(kind) ?? 0, kind).toBeGreaterThan(0)
  expect(gasMost).toBeLessThan(16_777_216)
})
