/** Forks: the schedule is read strictly, and a rule changes with the first block of its time. Spec: docs/spec/block.md#hardforks */
import type { Hex } from 'viem'
import { expect, test } from 'vitest'
import { judgeEvidence } from '../../consensus/evidence.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { activeFork, FIRST_FORK, forksToJson, HEADWATER, readForks } from '../../genesis/forks.ts'
import { decodeGenesis, encodeGenesis } from '../../genesis/genesis.ts'
import { executeLane, groupsOf, laneRows, lookupsOf } from '../../settlement/lane.ts'
import { createTestChain, signNative, testAccounts, testGenesis } from '../fakes/testChain.ts'

test.each([
  [{ headwater: 0 }, undefined],
  [{}, 'headwater'],
  [{ headwater: 1 }, 'headwater'],
  [{ headwater: '0' }, 'headwater'],
  [{ delta: 0 }, 'delta'],
  [{ headwater: 0, delta: 1_900_000_000 }, 'delta'],
] as const)('a schedule %j', (json, wrong) => {
  const read = readForks(json)
  if (wrong === undefined) expect(read).toEqual({ ok: true, forks: FIRST_FORK })
  else expect(read).toMatchObject({ ok: false, name: wrong })
})

test('a genesis file says its forks, and one with a fork to come that nobody here knows is refused', () => {
  const text = encodeGenesis(testGenesis())
  expect(JSON.parse(text).forks).toEqual(forksToJson(FIRST_FORK))
  expect(decodeGenesis(text).params.forks).toEqual(FIRST_FORK)
  const later = JSON.stringify({ ...JSON.parse(text), forks: { headwater: 0, delta: 4_000_000_000 } })
  expect(() => decodeGenesis(later)).toThrow('forks.delta must be a fork that this node knows')
})

test('a rule changes with the first second of its fork, in blocks built and applied and in rows', async () => {
  const from = Math.floor(testGenesis().timestampMs / 1000) + 2
  const without = { ...HEADWATER, name: 'test', nativeTypes: HEADWATER.nativeTypes.filter((byte) => byte !== transfer.byte) }
  const forks = [...FIRST_FORK, { rules: without, timestampSec: from }]
  expect([from - 1, from].map((sec) => activeFork(forks, BigInt(sec)).name)).toEqual(['headwater', 'test'])
  const chain = await createTestChain({ params: { forks } })
  const [account] = testAccounts
  if (!account) throw new Error('no account')
  const { params } = chain.genesis
  const fields = { kind: 0, to: `0x${'ca'.repeat(20)}` as Hex, amount: 5n }
  const send = async (nonce: bigint) => chain.decode(await signNative(account, { type: transfer, fields, nonce, chainId: params.chainId }))
  const root = chain.executor.state.roots().ledgerRoot
  const before = await chain.next([await send(0n)], { afterMs: 1_999 })
  expect([before.block.header.timestamp, before.receipts.length]).toEqual([BigInt(from - 1), 1])
  const after = await chain.next([await send(1n)], { afterMs: 1 })
  expect([after.block.header.timestamp, after.receipts.length]).toEqual([BigInt(from), 0])
  expect(after.rejected).toMatchObject([{ rejection: { code: 'typeNotActive', invalid: true } }])
  // Re-execution from rows looks at the block row's time.
  const lane = [{ header: before.block.header, transactions: before.transactions, operations: before.operations }]
  const start = { root, source: chain.store.reader, params, judgeEvidence, lookups: lookupsOf(lane) }
  const rows = laneRows(lane)
  expect(executeLane(start, groupsOf(rows))).toMatchObject({ ok: true, roots: [before.roots.ledgerRoot] })
  const late = rows.map((one) => (one.row.kind === 'block' ? { ...one, row: { ...one.row, timestampMs: from * 1000 } } : one))
  expect(executeLane(start, groupsOf(late))).toMatchObject({ ok: false, rejection: { code: 'typeNotActive' } })
})
