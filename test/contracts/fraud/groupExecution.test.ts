/**
 * The twin on L1 of the native lane's transition agrees with settlement/lane.ts, group by group: the same root, the same rule that refuses a row, the same
 * rule that each failed transaction broke, for chains of blocks of every kind. One that differs would slash honest validators.
 */
import fc from 'fast-check'
import { BaseError, ContractFunctionRevertedError, zeroHash } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { judgeEvidence } from '../../../consensus/evidence.ts'
import type { BlockRow } from '../../../execution/native/row.ts'
import { createLaneRun, type LaneRow, laneRows, lookupsOf } from '../../../settlement/lane.ts'
import { witnessGroup } from '../../../settlement/witness.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../../fakes/anvil.ts'
import { stageClient } from '../../fakes/l1Stage.ts'
import { testGenesis } from '../../fakes/testChain.ts'
import { arbitraryBlock, type Story, startStory, toLaneBlock } from '../../settlement/story.ts'
import { bothWays, deployWatcher, toFacts, toGroup, watchGroup } from './watcher.ts'

/** EIP-7825: gas of one L1 transaction at most. */
const TX_GAS_MAX = 16_777_216

let anvil: Anvil
let l1: { client: ReturnType<typeof stageClient>; watcher: `0x${string}` }

beforeAll(async () => {
  anvil = await startAnvil()
  const client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  const { chainId, epochSec } = testGenesis().params
  l1 = { client, watcher: await deployWatcher(client, { chainId, epochSec, epochBlocks: 3 }) }
})
afterAll(() => anvil?.stop())

/** Why L1 gives no answer. */
async function unanswered(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'answered'
  } catch (error) {
    const reverted = error instanceof BaseError && error.walk((cause) => cause instanceof ContractFunctionRevertedError)
    if (!(reverted instanceof ContractFunctionRevertedError)) throw error
    return `${reverted.data?.errorName ?? reverted.signature ?? 'no data'} ${reverted.data?.args?.join(' ') ?? ''}`
  }
}

type Told = { groups: number; gasMost: number; refusals: string[]; failures: string[] }

/** What a story's groups of so many rows came to, here as on L1. */
async function compareGroups(story: Story, size: number): Promise<Told> {
  const { chain, blocks, ledgerRoots } = story
  const own = blocks.map(toLaneBlock)
  const lookups = lookupsOf(own)
  const rows = laneRows(own)
  const facts = depositFacts(story)
  const start = { root: ledgerRoots[0] ?? '0x', source: chain.store.reader, params: chain.genesis.params, judgeEvidence, lookups } as const
  const run = createLaneRun(start)
  const told: Told = { groups: 0, gasMost: 0, refusals: [], failures: [] }
  let ruling: BlockRow | undefined
  for (let from = 0; from < rows.length; from += size) {
    const group = rows.slice(from, from + size)
    ruling ??= rulingOf(group)
    if (!ruling) throw new Error('a lane starts with a block row')
    await compareGroup({ ...start, ...run.ledger(), ruling }, group, facts, told)
    for (const spoilt of spoil(group)) await compareGroup({ ...start, ...run.ledger(), ruling }, spoilt, facts, told)
    expect(run.applyGroup(group)).toMatchObject({ ok: true })
    ruling = group.reduce((last: BlockRow | undefined, { row }) => (row.kind === 'block' ? row : last), ruling)
  }
  expect(told.groups).toBeGreaterThan(0)
  return told
}

async function compareGroup(
  start: Parameters<typeof bothWays>[1],
  group: readonly LaneRow[],
  facts: ReturnType<typeof depositFacts>,
  told: Told,
): Promise<void> {
  const { here, there } = await bothWays(l1, start, group, BigInt(facts.length), facts)
  const { result } = here
  const want = result.ok
    ? { isRefused: false, code: '', root: result.ledgerRoot }
    : { isRefused: true, code: result.rejection.code, root: zeroHash }
  expect(there).toMatchObject(want)
  told.groups++
  told.gasMost = Math.max(told.gasMost, there.txGas)
  told.failures.push(...there.failures)
  if (!result.ok) told.refusals.push(result.rejection.code)
}

/** The group with a row that no block can have: the first native one with another nonce, fee, signature or sender, or twice. */
function* spoil(group: readonly LaneRow[]): Generator<LaneRow[]> {
  const at = group.findIndex(({ row }) => row.kind === 'native')
  const found = group[at]
  if (found?.row.kind !== 'native') return
  const { native } = found.row
  const { signature } = native
  const changes: Partial<typeof native>[] = [
    { nonce: native.nonce + 1n },
    { maxFeeWei: 1n },
    { signature: { ...signature, yParity: signature.yParity === 0 ? 1 : 0 } },
    { signature: { ...signature, r: new Uint8Array(32).fill(0xff) } },
  ]
  for (const change of changes) {
    const row = { kind: 'native' as const, native: { ...native, ...change } }
    yield group.map((one, i) => (i === at ? { ...one, row, checked: undefined } : one))
  }
  if (group.length < 16) yield [...group.slice(0, at + 1), ...group.slice(at)]
}

function rulingOf([first]: readonly LaneRow[]): BlockRow | undefined {
  return first?.row.kind === 'block' ? first.row : undefined
}

/** Every deposit of the story, as if the L1 block had queued it that the block's origin became. */
function depositFacts({ blocks, origins }: Story) {
  const facts: ReturnType<typeof toFacts>[] = []
  for (const [i, { transactions }] of blocks.entries()) {
    const deposits = transactions.flatMap((tx) => (tx.kind === 'deposit' ? [tx.deposit] : [])).slice(1)
    for (const deposit of deposits) facts.push(toFacts(BigInt(facts.length), origins[i + 1]?.number ?? 0n, deposit))
  }
  return facts
}

test('groups of random stories lead to the same roots on L1, and what no block can hold is refused there for the same reason', {
  timeout: 600_000,
}, async () => {
  const seen: Told = { groups: 0, gasMost: 0, refusals: [], failures: [] }
  const moves = fc.array(arbitraryBlock, { minLength: 2, maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(moves, fc.constantFrom(1, 5, 16), fc.boolean(), async (blocks, size, isFree) => {
      const story = await startStory(isFree ? {} : { l1BaseFeeScalar: 1_000n, l1BlobBaseFeeScalar: 7n })
      for (const block of blocks) await story.add(block)
      const told = await compareGroups(story, size)
      expect(told.gasMost).toBeLessThan(TX_GAS_MAX)
      seen.groups += told.groups
      seen.gasMost = Math.max(seen.gasMost, told.gasMost)
      for (const list of ['refusals', 'failures'] as const) seen[list] = [...new Set([...seen[list], ...told[list]])].toSorted()
    }),
    { numRuns: Number(process.env.TWIN_RUNS ?? 12) },
  )
  process.stdout.write(`${JSON.stringify(seen)}\n`)
})

test('what L1 says of origins and deposits decides, and what nobody showed decides nothing', async () => {
  const story = await startStory()
  const deposits = ['balance', 'evm'] as const
  await story.add({ moves: [], step: 2, deposits: deposits.map((kind) => ({ kind, who: 1, a: 3 })), afterMs: 60_000 })
  const last = story.blocks.slice(-1).map(toLaneBlock)
  const [before, after] = [story.ledgerRoots.at(-2) ?? '0x', story.ledgerRoots.at(-1) ?? '0x']
  const [block, info, first, second] = laneRows(last)
  const facts = depositFacts(story)
  const [fact] = facts
  const ruling = block && rulingOf([block])
  const oldOrigin = story.origins.at(-2)?.number ?? 0n
  if (!block || !first || !second || !fact || !ruling || info?.row.kind !== 'l1Info')
    throw new Error('the block moves the origin and has deposits')
  const rows: LaneRow[] = [block, info, first, second]
  const { chain } = story
  const lookups = lookupsOf(last)
  const start = { root: before, source: chain.store.reader, params: chain.genesis.params, judgeEvidence, lookups, ruling }
  const { witness } = witnessGroup(start, rows)
  const group = { ...toGroup(rows, { preRoot: before, ruling, lookups, depositCount: BigInt(facts.length) }), deposits: facts }
  const asked = async (changes: Partial<typeof group>, changed = witness): Promise<string> => {
    const call = watchGroup(l1.client, l1.watcher, { ...group, ...changes }, changed)
    const reason = await unanswered(call)
    return reason === 'answered' ? call.then(({ code, root }) => code || root) : (reason.split(' ')[0] ?? '')
  }
  const withInfo = (number: bigint, change: Partial<(typeof group.infos)[number]> = {}): Partial<typeof group> => ({
    rows: toGroup([block, { ...info, row: { ...info.row, number } as typeof info.row }, first, second], {
      preRoot: before,
      ruling,
      lookups,
      depositCount: 0n,
    }).rows,
    infos: group.infos.map((one) => ({ ...one, number, ...change })),
  })
  const swapped = toGroup([block, info, second, first], { preRoot: before, ruling, lookups, depositCount: 0n })
  const origin = info.row.number
  const timeSec = BigInt(Math.floor(ruling.timestampMs / 1000))
  expect({
    honest: await asked({}),
    originOfItsTime: await asked(withInfo(origin, { timestampSec: timeSec })).then((told) => told !== after),
    originToCome: await asked(withInfo(origin, { timestampSec: timeSec + 1n })),
    originStays: await asked(withInfo(oldOrigin)),
    originAtMost: await asked(withInfo(oldOrigin + 64n)).then((told) => told.startsWith('0x')),
    originTooFar: await asked(withInfo(oldOrigin + 65n)),
    anotherOrigin: await asked({ infos: group.infos.map((one) => ({ ...one, number: one.number + 1n })) }),
    noOrigin: await asked({ infos: [] }),
    leftOut: await asked({ deposits: facts.map((one) => ({ ...one, l1Block: oldOrigin })) }),
    tooEarly: await asked({ deposits: facts.map((one) => ({ ...one, l1Block: origin + 1n })) }),
    notQueued: await asked({ depositCount: 0n }),
    notShown: await asked({ deposits: [] }),
    outOfOrder: await asked({ rows: swapped.rows }),
    rowTooFew: await asked({ rowCount: 3n }),
    rowTooMany: await asked({ rowCount: 5n }),
    anotherRoot: await asked({ preRoot: after }),
    noWitness: await asked({}, new Uint8Array(2)),
    shortWitness: await asked({}, witness.subarray(0, witness.length - 1)),
  }).toEqual({
    ...{
      honest: after,
      originOfItsTime: true,
      originToCome: 'beforeOrigin',
      originStays: 'badOrigin',
      originAtMost: true,
      originTooFar: 'badOrigin',
    },
    ...{
      anotherOrigin: 'BadGroup',
      noOrigin: 'BadGroup',
      leftOut: 'depositMissing',
      tooEarly: 'unknownDeposit',
      notQueued: 'unknownDeposit',
    },
    ...{ notShown: 'DepositMissing', outOfOrder: 'wrongDeposit', rowTooFew: 'BadGroup', rowTooMany: 'BadGroup', anotherRoot: 'WrongRoot' },
    ...{ noWitness: 'RecordMissing', shortWitness: 'BadStream' },
  })
})
