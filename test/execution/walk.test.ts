/**
 * Random walks over the rules: blocks of valid and invalid transactions of every type, natively and through the doors, with deposits between them. Another
 * executor applies each block as it is built (test/fakes/testChain.ts); after each, what docs/spec/ledger.md#value and the rule tables promise must hold
 * (test/execution/audit.ts); and another process that gets the blocks comes to the same roots.
 *
 * WALK_BLOCKS=500 walks further than `npm test` does; WALK_SEED=7 elsewhere, where it need not meet everything.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createAccountFromRLP } from '@ethereumjs/util'
import fc from 'fast-check'
import { type AbiEvent, bytesToHex, decodeEventLog, type Hex, toEventSelector } from 'viem'
import { expect, test } from 'vitest'
import { judgeEvidence } from '../../consensus/evidence.ts'
import { encodeBlock } from '../../execution/block.ts'
import type { Built } from '../../execution/buildBlock.ts'
import { getSupply } from '../../execution/ledger/tables.ts'
import { disputedEvent } from '../../execution/native/creditDispute.ts'
import { executeLane, groupsOf, laneRows, lookupsOf } from '../../settlement/lane.ts'
import { arbitraryBlock, type BlockMove, type Story, startStory, toLaneBlock } from '../settlement/story.ts'
import { type Auditor, createAuditor } from './audit.ts'
import { createWanderer, WALK_PARAMS } from './wanderer.ts'

const BLOCKS = Number(process.env.WALK_BLOCKS ?? 90)
const SEED = Number(process.env.WALK_SEED ?? 20_261_122)

/** The types that a walk makes, and the one of them that cannot fail: whatever breaks its rules is invalid. */
const TYPES = [
  'Transfer',
  'DatanetCreate',
  'DatanetUpload',
  'DatanetReview',
  'ModelRegister',
  'WorkerRegister',
  'AttributionCredit',
  'CreditDispute',
  'Claim',
  'ParamSet',
]
const NEVER_FAILS = 'DatanetCreate'
const DISPUTED = toEventSelector(disputedEvent)

/** Calls of the PARAMS door in one block, by the governor and by others. */
const arbitraryVotes = fc.array(
  fc.record({ kind: fc.constantFrom('vote' as const, 'vote' as const, 'usurp' as const), who: fc.nat(5), a: fc.nat(1_000) }),
  { maxLength: 4 },
)

type Walk = {
  readonly story: Story
  readonly auditor: Auditor
  /** Every block, the story's prelude first. */
  readonly blocks: Built[]
  /** Why decoding refused what the wanderer made. */
  readonly refused: ReadonlyMap<string, number>
  step(move: BlockMove): Promise<void>
  /** A block of the wanderer's transactions. */
  wander(): Promise<void>
}

async function startWalk(): Promise<Walk> {
  const story = await startStory(WALK_PARAMS)
  const { chain } = story
  const wanderer = createWanderer(chain, SEED)
  const auditor = createAuditor(chain.genesis, wanderer.rightEntries)
  const blocks: Built[] = []
  function check(block: Built): void {
    blocks.push(block)
    auditor.audit(block)
    const included = new Set(block.transactions.map(({ hash }) => hash))
    for (const { hash } of block.rejected) expect(included.has(hash), `${hash} is invalid and in the block`).toBe(false)
    for (const [i, { hash }] of block.transactions.entries()) {
      const proves = wanderer.proofs.get(hash)
      const log = block.receipts[i]?.logs.find(({ topics }) => topics[0] === DISPUTED)
      if (proves !== undefined && log) expect(isUpheld(log), `the dispute ${hash} is judged wrong`).toBe(proves)
    }
    let evmBalances = 0n
    for (const rlp of chain.store.accounts.values()) evmBalances += createAccountFromRLP(rlp).balance
    expect(evmBalances).toBe(getSupply(chain.executor.state.ledger).evmSupply)
  }
  for (const block of story.blocks) check(block)
  return {
    story,
    auditor,
    blocks,
    refused: wanderer.refused,
    step: async (move) => check(await story.add(move)),
    wander: async () => check(await chain.next(wanderer.offer(24, chain.head().timestamp), { afterMs: 1_700 })),
  }
}

function isUpheld({ topics, data }: { readonly topics: readonly Hex[]; readonly data: Hex }): boolean {
  const { args } = decodeEventLog({ abi: [disputedEvent as AbiEvent], data, topics: topics as [Hex] })
  return (args as unknown as { upheld: number }).upheld === 1
}

/** That every type succeeded and failed, and every judgement and reason was met: what a walk from another seed may miss. */
function expectEverything(auditor: Auditor, refused: Walk['refused']): void {
  for (const type of TYPES) {
    expect(auditor.tally.get(`${type} succeeded`) ?? 0, `${type} never succeeded`).toBeGreaterThan(0)
    if (type !== NEVER_FAILS) expect(auditor.tally.get(`${type} failed`) ?? 0, `${type} never failed`).toBeGreaterThan(0)
  }
  expect(auditor.tally.get('DatanetReview withdrew') ?? 0, 'nobody took a bond back').toBeGreaterThan(0)
  for (const code of ['notGovernor', 'unknownParam', 'outOfBounds'])
    expect(auditor.tally.get(`ParamSet failed: ${code}`) ?? 0, `never: ${code}`).toBeGreaterThan(0)
  expect(auditor.tally.get('EvidenceReport convicted') ?? 0, 'nobody was convicted').toBeGreaterThan(1)
  expect(refused.size).toBeGreaterThan(0)
  const judged = (outcome: string) => [1, 2, 3, 4, 5].filter((kind) => auditor.tally.has(`CreditDispute of kind ${kind} ${outcome}`))
  expect([judged('upheld').length > 1, judged('not upheld').length > 1]).toEqual([true, true])
  for (const kind of [4, 5])
    expect(auditor.tally.get(`CreditDispute of kind ${kind} changed who is paid`) ?? 0, `kind ${kind} changed nothing`).toBeGreaterThan(0)
  for (const code of ['alreadyUpheld', 'matured', 'otherEntries', 'unknownCredit'])
    expect(auditor.tally.get(`CreditDispute native failed: ${code}`) ?? 0, `never: ${code}`).toBeGreaterThan(0)
}

/** What another process makes of the blocks: `hash ledgerRoot receipts` a line. */
async function replayed(blocks: readonly Built[]): Promise<string[]> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('replay.ts', import.meta.url))], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(blocks.map(({ block }) => `${bytesToHex(encodeBlock(block))}\n`).join(''))
  let output = ''
  for await (const chunk of child.stdout) output += chunk
  return output.trim().split('\n')
}

test(
  'a long walk: every promise holds after every block, and another process comes to the same roots',
  async () => {
    process.stdout.write(`walk of ${BLOCKS} blocks, seed ${SEED}\n`)
    const { story, auditor, blocks, refused, step, wander } = await startWalk()
    // By turns what doors, contracts and deposits do, and what native transactions do with what is there by then.
    const moves = fc.sample(fc.tuple(arbitraryBlock, arbitraryVotes), { seed: SEED, numRuns: Math.ceil(BLOCKS / 4) })
    for (const [move, votes] of moves) {
      await step({ ...move, step: Math.max(1, move.step), deposits: [...move.deposits, ...votes] })
      for (let i = 0; i < 3; i++) await wander()
    }
    if (process.env.WALK_SEED === undefined) expectEverything(auditor, refused)
    // The rows alone lead to the same roots, upheld disputes among them.
    const own = blocks.map(toLaneBlock)
    const { chain, ledgerRoots } = story
    const start = {
      root: ledgerRoots[0] ?? '0x',
      source: chain.store.reader,
      params: chain.genesis.params,
      judgeEvidence,
      lookups: lookupsOf(own),
    }
    const executed = executeLane(start, groupsOf(laneRows(own)))
    expect(executed.ok && executed.roots.at(-1)).toBe(blocks.at(-1)?.roots.ledgerRoot)
    const expected = blocks.map(({ hash, roots, receipts }) => `${hash} ${roots.ledgerRoot} ${receipts.length}`)
    expect(await replayed(blocks)).toEqual(expected)
  },
  60_000 + 2_000 * BLOCKS,
)

test('short walks, which can be shrunk: every promise holds after every block', () =>
  fc.assert(
    fc.asyncProperty(fc.array(arbitraryBlock, { minLength: 1, maxLength: 6 }), async (moves) => {
      const { step } = await startWalk()
      for (const move of moves) await step(move)
    }),
    { numRuns: 10 },
  ))

test('the auditor finds a block that did something else than it says', async () => {
  const { story, auditor } = await startWalk()
  const block = await story.add({ moves: [{ what: 0, way: 'native', who: 0, a: 5, b: 0 }], step: 0, deposits: [], afterMs: 1_000 })
  expect(block.receipts.map(({ succeeded }) => succeeded)).toEqual([true])
  const lies = block.receipts.map((one) => ({ ...one, succeeded: false, failureCode: 'notMember' }))
  expect(() => auditor.audit({ ...block, receipts: lies })).toThrow('another outcome')
  const other = createAuditor(story.chain.genesis)
  for (const one of story.blocks.slice(0, -1)) other.audit(one)
  expect(() => other.audit({ ...block, roots: { ...block.roots, ledgerRoot: `0x${'11'.repeat(32)}` } })).toThrow('another ledger root')
})
