/** From L1 alone the same blocks follow, and a batch that says anything else is told what is wrong with it. */
import fc from 'fast-check'
import { type Hex, keccak256, stringToHex, toHex } from 'viem'
import { beforeAll, expect, test } from 'vitest'
import { type Evidence, judgeEvidence } from '../../consensus/evidence.ts'
import type { Executor } from '../../execution/applyBlock.ts'
import type { Header } from '../../execution/block.ts'
import { type Built, buildBlock } from '../../execution/buildBlock.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { getL1Info } from '../../execution/ledger/tables.ts'
import { encodeNative, NATIVE_TYPES } from '../../execution/native/native.ts'
import { createState } from '../../execution/state.ts'
import { createVm } from '../../execution/vm.ts'
import { FIRST_FORK, HEADWATER } from '../../genesis/forks.ts'
import { encodeGenesis } from '../../genesis/genesis.ts'
import { type ChainParams, TX_TYPE } from '../../genesis/params.ts'
import { brotli } from '../../node/brotli.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import type { Batch } from '../../settlement/batch.ts'
import {
  checkBatchHeader,
  checkBuilt,
  checkCommit,
  checkExecuted,
  type DerivationHead,
  decodeBatchBlocks,
  type L1View,
  nextHead,
  type PostedBatch,
  toBlockRequests,
  toBuildRequest,
} from '../../settlement/derive.ts'
import { encodeLane, groupsOf, type LaneRow, laneRows } from '../../settlement/lane.ts'
import { createMemoryStore, type MemoryStore } from '../fakes/memoryStore.ts'
import { offenceOf, reportOfEvidence } from '../fakes/offence.ts'
import { signNative, testAccounts } from '../fakes/testChain.ts'
import { arbitraryBlock, COMMIT, type PostedStory, postStory, type Story, startStory, toLaneBlock, toPosted } from './story.ts'

const { compress } = brotli

/** A node that knows the genesis file and L1. */
type Follower = { readonly store: MemoryStore; readonly executor: Executor; parent: Header; ledgerRoot: Hex; head: DerivationHead }

async function createFollower({ chain: { genesis } }: Story): Promise<Follower> {
  const first = createGenesisBlock(genesis)
  const store = createMemoryStore()
  store.write(first.writes)
  const state = createState(store.reader, first.roots)
  const hashes = new Map([[0n, first.hash]])
  const vm = await createVm({ state, params: genesis.params, precompiles: PRECOMPILES, blockHash: (number) => hashes.get(number) })
  const head = { accumulator: genesisHash(genesis), nextIndex: 0n, lastBlock: 0n }
  const executor = { state, vm, params: genesis.params, judgeEvidence }
  return { store, executor, parent: first.block.header, ledgerRoot: first.roots.ledgerRoot, head }
}

function genesisHash(genesis: Story['chain']['genesis']): Hex {
  return keccak256(stringToHex(encodeGenesis(genesis)))
}

/** Goes through every step of derivation. Ok: the follower stands behind the batch; else the first rejection. */
async function derive(follower: Follower, { posted, payload }: PostedStory, l1: L1View) {
  const { executor, store } = follower
  const { params, state } = executor
  const { header } = posted
  const wrongHeader = checkBatchHeader(follower.head, posted)
  if (wrongHeader) return wrongHeader
  const origin = getL1Info(state.ledger)
  const parent = {
    timestampMs: Number(follower.parent.timestamp) * 1000 + Number(`0x${follower.parent.extraData.slice(4)}`),
    originNumber: origin.number,
  }
  const { nextIndex } = follower.head
  const decoded = decodeBatchBlocks(posted, payload, { nextIndex, parent, chainId: params.chainId, decompress: brotli.decompress })
  if (!decoded.ok) return decoded
  const requests = toBlockRequests(decoded, { header, origin, l1 })
  if (!requests.ok) return requests
  const wrongCommit = checkCommit(
    decoded.batch,
    header,
    ({ round, blockHash }) => round === COMMIT.round && blockHash === header.lastBlockHash,
  )
  if (wrongCommit) return wrongCommit
  const results: Built[] = []
  for (const derived of requests.blocks) {
    const asked = await toBuildRequest(derived, follower.parent, executor.vm)
    if (!asked.ok) return asked
    const built = await buildBlock(executor, asked.request)
    const leftOut = checkBuilt(derived, built)
    if (leftOut) return leftOut
    store.write(built.writes)
    follower.parent = built.block.header
    results.push(built)
  }
  const ledger = { root: follower.ledgerRoot, source: store.reader, params, judgeEvidence }
  const different = checkExecuted(decoded.batch, results, { lastBlockHash: header.lastBlockHash, ledger })
  if (different) return different
  follower.ledgerRoot = results.at(-1)?.roots.ledgerRoot ?? follower.ledgerRoot
  follower.head = nextHead(posted)
  return { ok: true as const, hashes: results.map(({ hash }) => hash) }
}

test('whoever has the genesis file and L1 rebuilds every block, in batches of any length', () =>
  fc.assert(
    fc.asyncProperty(fc.array(arbitraryBlock, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 4 }), async (moves, length) => {
      const story = await startStory()
      for (const move of moves) await story.add(move)
      const follower = await createFollower(story)
      const hashes: Hex[] = []
      while (hashes.length < story.blocks.length) {
        const last = Math.min(hashes.length + length, story.blocks.length)
        const derived = await derive(follower, postStory(story, follower.head, { last, compress }), story.l1)
        if (!derived.ok) throw new Error(JSON.stringify(derived, (_, value) => (typeof value === 'bigint' ? `${value}` : value)))
        hashes.push(...derived.hashes)
      }
      expect(hashes).toEqual(story.blocks.map(({ hash }) => hash))
    }),
    { numRuns: 10 },
  ))

let story: Story

beforeAll(async () => {
  story = await startStory()
  await story.add({ moves: [{ what: 0, way: 'door', who: 4, a: 5, b: 0 }], step: 0, deposits: [], afterMs: 1_000 })
  const deposits = [
    { kind: 'balance' as const, who: 1, a: 5 },
    { kind: 'door' as const, who: 2, a: 6 },
  ]
  await story.add({ moves: [{ what: 8, way: 'native', who: 4, a: 5, b: 1 }], step: 2, deposits, afterMs: 1_000 })
  await story.add({ moves: [], step: 0, deposits: [], afterMs: 1_000 })
})

/** What derivation says to the story's blocks, once they are changed. */
async function verdict(change: {
  readonly batch?: (batch: Batch) => Batch
  readonly posted?: (posted: PostedBatch) => PostedBatch
  readonly header?: Partial<PostedBatch['header']>
  readonly head?: Partial<DerivationHead>
  readonly l1?: Partial<L1View>
}): Promise<unknown> {
  const follower = await createFollower(story)
  const made = postStory(story, follower.head, { compress, ...(change.batch && { change: change.batch }) })
  const header = { ...made.posted.header, ...change.header }
  const posted = toPosted(made.posted.index, header, made.payload)
  follower.head = { ...follower.head, ...change.head }
  return derive(follower, { posted: change.posted ? change.posted(posted) : posted, payload: made.payload }, { ...story.l1, ...change.l1 })
}

test('an unchanged batch is good', async () => expect(await verdict({})).toMatchObject({ ok: true }))

test('a batch that is not the next is refused before anything of it is read', async () => {
  const other: Hex = `0x${'0f'.repeat(32)}`
  const genesis = genesisHash(story.chain.genesis)
  expect(await verdict({ head: { nextIndex: 1n } })).toEqual({ ok: false, code: 'wrongIndex', got: 0n, want: 1n })
  expect(await verdict({ header: { prevAccumulator: other } })).toEqual({ ok: false, code: 'wrongAccumulator', got: other, want: genesis })
  expect(await verdict({ posted: (posted) => ({ ...posted, dataHash: other }) })).toMatchObject({ code: 'wrongAccumulator' })
  expect(await verdict({ header: { firstBlock: 2n } })).toEqual({ ok: false, code: 'notContiguous', got: 2n, want: 1n })
  expect(await verdict({ header: { lastBlock: 0n } })).toEqual({ ok: false, code: 'notContiguous', firstBlock: 1n, lastBlock: 0n })
  expect(await verdict({ header: { lastBlock: 4_097n } })).toMatchObject({ code: 'notContiguous' })
})

test('a payload that is not the one of the header is refused', async () => {
  expect(await verdict({ header: { payloadBytes: 5 } })).toMatchObject({ code: 'wrongPayloadBytes', want: 5 })
  expect(await verdict({ header: { lastBlock: 3n } })).toEqual({ ok: false, code: 'headMismatch', index: 0n, firstBlock: 1n, blocks: 4 })
  expect(await verdict({ batch: (batch) => ({ ...batch, index: 1n }) })).toMatchObject({ code: 'headMismatch', index: 1n })
})

/** The batch with the last block, which has no rows, changed. */
const withLast = (change: Partial<Batch['blocks'][number]>) => (batch: Batch) => ({
  ...batch,
  blocks: batch.blocks.map((block, i) => (i === batch.blocks.length - 1 ? { ...block, ...change } : block)),
})

/** The batch with the origin of the third block moved, in the lane too. */
const withOrigin = (number: bigint) => (batch: Batch) => ({
  ...batch,
  blocks: batch.blocks.map((block, i) => (i >= 2 ? { ...block, originNumber: number } : block)),
  lane: encodeLane(groupsOf(storyRows().map((one) => (one.row.kind === 'l1Info' ? { ...one, row: { ...one.row, number } } : one)))),
})

const storyRows = (): LaneRow[] => laneRows(story.blocks.map(toLaneBlock))

test('origins go forward on L1, by 64 blocks at most, and are not later than their block', async () => {
  const header = { l1OriginNumber: 100n, l1OriginHash: story.l1.block(100n)?.hash ?? '0x' }
  expect(await verdict({ batch: withOrigin(75n), header })).toEqual({
    ok: false,
    code: 'originStepTooLarge',
    block: 3n,
    got: 75n,
    before: 10n,
  })
  expect(await verdict({ batch: withOrigin(15n) })).toEqual({ ok: false, code: 'originBeyondHeader', got: 15n, header: 14n })
  expect(await verdict({ header: { l1OriginHash: toHex(1, { size: 32 }) } })).toMatchObject({ code: 'originNotCanonical' })
  const late = (number: bigint) => {
    const block = story.l1.block(number)
    return block && { ...block, timestampSec: 1_800_000_004n }
  }
  expect(await verdict({ l1: { block: late } })).toEqual({
    ok: false,
    code: 'beforeOrigin',
    block: 3n,
    got: 1_800_000_003_000,
    origin: 1_800_000_004n,
  })
})

test('deposits are those that L1 queued, all of them, in order', async () => {
  const queued = story.l1.deposits(0n, 100n)
  expect(queued).toHaveLength(2)
  const heavy = queued.map((one) => ({ ...one, deposit: { ...one.deposit, gas: 40_000_000n } }))
  expect(await verdict({ l1: { deposits: () => heavy } })).toMatchObject({ code: 'tooManyDeposits', block: 3n, gas: 80_000_000n })
  // One that L1 has and the block had not: other rows follow.
  expect(await verdict({ l1: { deposits: () => queued.slice(0, 1) } })).toMatchObject({ code: 'laneMismatch' })
  await expect(verdict({ l1: { deposits: () => queued.slice(1) } })).rejects.toMatchObject({ name: 'L1Error', kind: 'retry' })
  await expect(verdict({ l1: { block: () => undefined } })).rejects.toMatchObject({ name: 'L1Error', kind: 'retry' })
})

test('a batch without the validators is refused', async () => {
  const batch = (one: Batch) => ({ ...one, commit: { ...one.commit, round: 4 } })
  expect(await verdict({ batch })).toEqual({ ok: false, code: 'badCommit', block: 4n, round: 4 })
})

test('a transaction that no block can hold makes the batch invalid, and is named', async () => {
  const [transfer] = story.blocks[0]?.block.transactions.slice(-1) ?? []
  if (!transfer) throw new Error('there is no transfer')
  expect(await verdict({ batch: withLast({ transactions: [transfer] }) })).toMatchObject({
    code: 'transactionRefused',
    block: 4n,
    txIndex: 0,
    rejection: 'nonceTooLow',
  })
  const broken = Uint8Array.of(0xc9, ...new Array(9).fill(0x80))
  expect(await verdict({ batch: withLast({ transactions: [broken] }) })).toMatchObject({ code: 'badTransaction', block: 4n, txIndex: 0 })
})

test('transactions in another order, or fewer of them, are found out', async () => {
  const swap = (batch: Batch) => ({
    ...batch,
    blocks: batch.blocks.map((block, i) => {
      // The prelude's: everything after the contract is native but the last.
      const [contract, ...rest] = block.transactions
      return i === 0 && contract ? { ...block, transactions: [...rest.slice(0, 1), contract, ...rest.slice(1)] } : block
    }),
  })
  expect(await verdict({ batch: swap })).toMatchObject({ code: 'blockHashMismatch', block: 4n })
  const drop = (batch: Batch) => ({
    ...batch,
    blocks: batch.blocks.map((block, i) => (i === 0 ? { ...block, transactions: block.transactions.slice(0, -1) } : block)),
  })
  expect(await verdict({ batch: drop })).toMatchObject({ code: 'laneMismatch' })
})

/** The batch with its lane's rows changed; the roots stay, one for each group. */
const withRows = (change: (rows: LaneRow[]) => LaneRow[]) => (batch: Batch) => {
  const lane = encodeLane(groupsOf(change(storyRows())))
  return { ...batch, lane, ledgerRoots: lane.places.map((_, i) => batch.ledgerRoots[i] ?? batch.ledgerRoots[0] ?? '0x') }
}

test('rows that execution does not give are told with block, transaction and field', async () => {
  const baseFee = withRows((rows) =>
    rows.map((one, i) => (i === 0 && one.row.kind === 'block' ? { ...one, row: { ...one.row, baseFeeWei: 5n } } : one)),
  )
  expect(await verdict({ batch: baseFee })).toEqual({
    ok: false,
    code: 'laneMismatch',
    differences: [{ block: 1n, txIndex: undefined, field: 'baseFeeWei', got: 5n, want: 1_000_000_000n }],
  })
  const deposit = withRows((rows) =>
    rows.map((one) => (one.row.kind === 'deposit' && one.row.index === 1n ? { ...one, row: { ...one.row, index: 7n } } : one)),
  )
  expect(await verdict({ batch: deposit })).toMatchObject({ differences: [{ block: 3n, txIndex: 2, field: 'index', got: 7n, want: 1n }] })
  const claim = NATIVE_TYPES.find(({ name }) => name === 'Claim')
  if (!claim) throw new Error('there is no claim')
  const operation = { type: claim, caller: `0x${'0a'.repeat(20)}` as Hex, fields: { epochs: [1] } }
  const invented = withRows((rows) => [
    ...rows,
    { row: { kind: 'operation', operation }, block: 3n, txIndex: undefined, checked: undefined },
  ])
  expect(await verdict({ batch: invented })).toMatchObject({
    code: 'laneMismatch',
    differences: [
      { block: 3n, field: 'kind', got: 'operation', want: undefined },
      { field: 'type', got: 'Claim' },
      { field: 'caller', got: operation.caller },
      { field: 'fields', got: '0x000100000001' },
    ],
  })
  const hidden = withRows((rows) => rows.filter(({ row, block }) => row.kind !== 'operation' || block !== 3n))
  expect(await verdict({ batch: hidden })).toMatchObject({ code: 'laneMismatch' })
})

/** The batch with a report in its third block, of the lane too, in front of the block's own transactions or behind them. */
const withReport = (evidence: Evidence, place: 'first' | 'last') => (batch: Batch) => {
  const { raw, report } = reportOfEvidence(evidence)
  const added: LaneRow = { row: { kind: 'report', report }, block: 3n, txIndex: undefined, checked: undefined }
  const after = storyRows().findLastIndex(({ block }) => block === 3n) + 1
  const changed = withRows((rows) => rows.toSpliced(after, 0, added))(batch)
  const blocks = batch.blocks.map((block, i) => {
    if (i !== 2) return block
    return { ...block, transactions: place === 'first' ? [raw, ...block.transactions] : [...block.transactions, raw] }
  })
  return { ...changed, blocks }
}

test('a report that no block can hold, or in another place, makes the batch invalid; one that the blocks had not is found out', async () => {
  const { chainId } = story.chain.genesis.params
  const good = offenceOf({ key: 1, height: 1, epoch: 0, chainId })
  const [foreign, early] = [
    offenceOf({ key: 1, height: 1, epoch: 0, chainId: chainId + 1 }),
    offenceOf({ key: 1, height: 3, epoch: 0, chainId }),
  ]
  const refused = { code: 'transactionRefused', block: 3n, txIndex: 3 }
  expect(await verdict({ batch: withReport(foreign, 'first') })).toMatchObject({ ...refused, rejection: 'badSignature' })
  expect(await verdict({ batch: withReport(early, 'first') })).toMatchObject({ ...refused, rejection: 'unknownHeight' })
  expect(await verdict({ batch: withReport(good, 'last') })).toMatchObject(refused)
  expect(await verdict({ batch: withReport(good, 'first') })).toMatchObject({ code: expect.stringMatching(/^(group|blockHash)Mismatch$/) })
})

test('a ledger root that the rows do not lead to is found', async () => {
  const wrong: Hex = `0x${'0e'.repeat(32)}`
  const batch = (one: Batch) => ({ ...one, ledgerRoots: [wrong, ...one.ledgerRoots.slice(1)] })
  expect(await verdict({ batch })).toMatchObject({ ok: false, code: 'groupMismatch', group: 0, got: wrong })
})

test('a batch begins with the ledger root of the block before it, also where it has no rows', async () => {
  const got: Hex = `0x${'0b'.repeat(32)}`
  const want = story.ledgerRoots[0]
  expect(await verdict({ batch: (one) => ({ ...one, ledgerRootBefore: got }) })).toEqual({
    ok: false,
    code: 'rootBeforeMismatch',
    got,
    want,
  })
})

test('the last block is the one that the header names', async () => {
  const lastBlockHash: Hex = `0x${'0d'.repeat(32)}`
  const want = story.blocks.at(-1)?.hash
  expect(await verdict({ header: { lastBlockHash } })).toEqual({
    ok: false,
    code: 'blockHashMismatch',
    block: 4n,
    got: lastBlockHash,
    want,
  })
})

test('a native transaction of another key changes who pays, and is refused', async () => {
  const [, account] = testAccounts
  const create = NATIVE_TYPES.find(({ name }) => name === 'DatanetCreate')
  const first = story.blocks[0]?.transactions.find((tx) => tx.kind === 'native')
  if (!account || !create || first?.kind !== 'native') throw new Error('the first block has no native transaction')
  const { type, fields, nonce, chainId } = first.native
  const forged = await signNative(account, { type, fields, nonce: nonce + 9n, chainId })
  const batch = withRows((rows) =>
    rows.map((one) => {
      const isIt = one.row.kind === 'native' && encodeNative(one.row.native).length > 0 && one.txIndex === 1 && one.block === 1n
      const decoded = isIt ? story.chain.decode(forged) : undefined
      return decoded?.kind === 'native' ? { ...one, row: { kind: 'native', native: decoded.native } } : one
    }),
  )
  expect(await verdict({ batch })).toMatchObject({ code: 'transactionRefused', block: 1n, txIndex: 1, rejection: 'nonceTooHigh' })
})

test('a fork rules derivation from its first second: what it took away follows before, and is refused after', async () => {
  const from = 1_800_000_000 + 60
  const without = { ...HEADWATER, name: 'test', nativeTypes: HEADWATER.nativeTypes.filter((byte) => byte !== TX_TYPE.transfer) }
  const forks = [...FIRST_FORK, { rules: without, timestampSec: from }]
  const transfer = { what: 0, way: 'native', who: 4, a: 5, b: 0 } as const
  const create = { what: 1, way: 'native', who: 5, a: 5, b: 0 } as const
  const told = async (params: Partial<ChainParams>) => {
    const story = await startStory(params)
    const before = await story.add({ moves: [transfer, create], step: 0, deposits: [], afterMs: 1_000 })
    const after = await story.add({ moves: [transfer, create], step: 0, deposits: [], afterMs: 60_000 })
    return { story, included: [before, after].map(({ receipts }) => receipts.length) }
  }
  const forked = await told({ forks })
  expect(forked.included).toEqual([2, 1])
  const follower = await createFollower(forked.story)
  const derived = await derive(follower, postStory(forked.story, follower.head, { compress }), forked.story.l1)
  expect(derived).toEqual({ ok: true, hashes: forked.story.blocks.map(({ hash }) => hash) })

  // The validators of a network without the fork took the transfer of after: who has the fork in the genesis file does not.
  const { story, included } = await told({})
  expect(included).toEqual([2, 2])
  const strict = await createFollower({ ...story, chain: { ...story.chain, genesis: forked.story.chain.genesis } })
  const refused = await derive(strict, postStory(story, strict.head, { compress }), story.l1)
  expect(refused).toMatchObject({ ok: false, code: 'transactionRefused', block: 3n, txIndex: 0, rejection: 'typeNotActive' })
})
