/** What a node has against validators: told in its blocks until the ledger knows, or it is too late, or it turns out to be nothing. */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toHex } from 'viem'
import { expect, test } from 'vitest'
import { encodeEvidence } from '../../consensus/evidence.ts'
import { epochOf } from '../../execution/epoch.ts'
import { createLedger } from '../../execution/ledger/ledger.ts'
import { setOfEpoch } from '../../execution/ledger/validators.ts'
import { EVIDENCE_EPOCHS_MAX, REPORTS_PER_BLOCK_MAX } from '../../genesis/params.ts'
import type { ChainState } from '../../node/chainState.ts'
import { createEpochSets } from '../../node/epochs.ts'
import { type EvidenceStore, openEvidenceStore } from '../../node/evidenceStore.ts'
import { createReporter, keepReported } from '../../node/reporter.ts'
import { quietLog as log, openDiskChain, testFolder } from '../fakes/diskChain.ts'
import { offenceOf, reportOfEvidence } from '../fakes/offence.ts'
import { equalValidators, testGenesis } from '../fakes/testChain.ts'

const EPOCH_BLOCKS = 3
const COUNT = REPORTS_PER_BLOCK_MAX + 2
const genesis = { ...testGenesis({ epochBlocks: EPOCH_BLOCKS }), validators: equalValidators(COUNT) }
const { params } = genesis
const onDamaged = (file: string) => expect.unreachable(file)
const offence = (key: number, height = 1) => offenceOf({ key, height, epoch: epochOf(BigInt(height), params), chainId: params.chainId })

/** A chain whose blocks have reports from a store in this folder. */
async function openReporting(directory = testFolder()): Promise<{ chain: ChainState; store: EvidenceStore; directory: string }> {
  const { chain } = await openDiskChain(genesis)
  const store = openEvidenceStore(directory, { onDamaged })
  chain.reportFrom(createReporter({ store, params, log }))
  return { chain, store, directory }
}

/** The next block, decided; answers who is reported in it. */
async function next(chain: ChainState): Promise<number[]> {
  const timestampMs = genesis.timestampMs + 1_000 * (Number(chain.head().header.number) + 1)
  const built = await chain.build({ budgetMs: 60_000, timestampMs, feeRecipient: toHex(9, { size: 20 }), origin: undefined })
  await chain.decide(built.hash, new Uint8Array())
  return built.transactions.flatMap((tx) => (tx.kind === 'report' ? [tx.report.validator] : []))
}

const membersOf = (chain: ChainState, epoch: number) => setOfEpoch(createLedger(chain.store.reader.ledgerRecord), epoch)?.length

test('what a node finds is in its next block, once', async () => {
  const { chain, store } = await openReporting()
  await next(chain)
  expect(store.add(offence(2), 0)).toBe(true)
  expect(await next(chain)).toEqual([2])
  expect(await next(chain)).toEqual([])
  expect([membersOf(chain, 0), membersOf(chain, 1)]).toEqual([COUNT, COUNT - 1])
  expect(store.unreported()).toEqual([])
  // L1 has still to be told.
  expect(store.open()).toHaveLength(1)
})

test('more than a block may have are told in several', async () => {
  const { chain, store } = await openReporting()
  await next(chain)
  for (let key = 0; key < COUNT; key++) store.add(offence(key), 0)
  expect(await next(chain)).toHaveLength(REPORTS_PER_BLOCK_MAX)
  expect(await next(chain)).toHaveLength(COUNT - REPORTS_PER_BLOCK_MAX)
  expect(await next(chain)).toEqual([])
})

test('an offence at the very height waits for the next block; a block that was built and not decided is none', async () => {
  const { chain, store } = await openReporting()
  store.add(offence(1, 1), 0)
  expect(await next(chain)).toEqual([])
  const timestampMs = genesis.timestampMs + 1_500
  await chain.build({ budgetMs: 60_000, timestampMs, feeRecipient: toHex(9, { size: 20 }), origin: undefined })
  expect(await next(chain)).toEqual([1])
})

test('it is told after a restart too, whatever L1 said of it', async () => {
  const first = await openReporting()
  for (const [key, end] of [
    [0, undefined],
    [1, 'taken'],
    [2, 'refused'],
  ] as const) {
    first.store.add(offence(key), 0)
    if (end) first.store.settle(`0-${key}`, end)
  }
  expect(readdirSync(first.directory).toSorted()).toEqual(['0-0.open', '0-1.taken', '0-2.refused'])
  const { chain, store } = await openReporting(first.directory)
  expect(store.open().map(({ id }) => id)).toEqual(['0-0'])
  await next(chain)
  expect((await next(chain)).toSorted()).toEqual([0, 1, 2])
})

test('what is too old, or of a validator that is none, is told by nobody and looked at no more', async () => {
  const { chain, store } = await openReporting()
  for (let number = 0; number < EPOCH_BLOCKS * (EVIDENCE_EPOCHS_MAX + 1); number++) await next(chain)
  store.add(offence(1), 0)
  store.add({ ...offence(COUNT, 9), validator: COUNT }, 2)
  expect(store.unreported()).toHaveLength(2)
  expect(await next(chain)).toEqual([])
  expect(store.unreported()).toEqual([])
})

test('evidence that does not verify is tried once', async () => {
  const directory = testFolder()
  writeFileSync(join(directory, '0-3.open'), encodeEvidence({ ...offence(2), validator: 3 }))
  const { chain, store } = await openReporting(directory)
  await next(chain)
  expect(store.unreported()).toHaveLength(1)
  expect(await next(chain)).toEqual([])
  expect(store.unreported()).toEqual([])
})

test('what others report is kept for L1, once', async () => {
  const { chain, store } = await openReporting()
  const sets = createEpochSets(chain)
  const transactions = [reportOfEvidence(offence(4, 5))]
  keepReported({ transactions }, { evidence: store, sets })
  keepReported({ transactions }, { evidence: store, sets })
  expect(store.open()).toEqual([{ id: '1-4', evidence: offence(4, 5) }])
})
