/**
 * The challenger finds what is wrong with a checkpoint and makes it fall by the cheapest proof, for every kind of wrong batch, on the contracts as they are
 * deployed; it leaves right ones alone, goes on after failures of L1, and says what it cannot prove. Spec: docs/spec/fraud.md#the-challenger
 */
import { type Hex, parseEther } from 'viem'
import { generatePrivateKey } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ChallengeOutcome, type Challenger, createChallenger } from '../../node/challenger.ts'
import { signerOf } from '../../node/keys.ts'
import { createLog } from '../../node/log.ts'
import { checkpointManagerAbi } from '../../settlement/abi.ts'
import { createKzg } from '../../settlement/kzg.ts'
import type { L1Ref } from '../../settlement/l1Logs.ts'
import { createTxManager, type PendingTxStore } from '../../settlement/txManager.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { COLLUDERS_CHECKPOINTS, type Colluders, createColluders } from '../fakes/colluders.ts'
import { FRAUDS, type Fraud, makeBlocks, postMisjudged, THIEF } from '../fakes/frauds.ts'
import { createMemoryPendingTx } from '../fakes/pendingTx.ts'

const GAS_CAP = 16_777_216
const GWEI = 10n ** 9n

let anvil: Anvil
let rollup: Colluders
let first: Watcher
let challenger: Challenger
let outcomes: readonly ChallengeOutcome[]

beforeAll(async () => {
  anvil = await startAnvil()
  rollup = await createColluders(anvil)
  await makeBlocks(rollup)
  first = await openWatcher()
  ;({ challenger, outcomes } = first)
}, 60_000)
afterAll(() => anvil?.stop())

/** What somebody else does on L1 when a proof is on its way. */
let meanwhile = async () => {}

type WatcherOptions = {
  readonly key?: Hex
  /** What is on its way, from one run to the next. */
  readonly store?: PendingTxStore
  /** Longest that it waits for a transaction. */
  readonly waitMs?: number
  /** Most that it pays. */
  readonly maxFeeLimitWei?: bigint
}
type Watcher = Awaited<ReturnType<typeof openWatcher>>

/** One that knows nothing yet of what L1 holds: nothing but the genesis block is derived. */
async function openWatcher(options: WatcherOptions = {}) {
  const { key = generatePrivateKey(), store = createMemoryPendingTx(), waitMs = 20_000, maxFeeLimitWei = 1_000n * GWEI } = options
  const { l1, genesis, accumulator, chain, client } = rollup
  const signer = signerOf(key)
  await client.setBalance({ address: signer.address, value: parseEther('10') })
  const clock = { nowMs: Date.now, sleep: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)) }
  const sending = { chainId: genesis.l1.chainId, signer, maxFeeLimitWei, maxBlobFeeLimitWei: 0n, confirmations: 1n }
  const sender = createTxManager(
    { l1: l1.transactions, store, clock },
    { kind: 'ordinary', ...sending, pollMs: 20, resubmitMs: 10_000, waitMs },
  )
  const ledgerRoot = rollup.genesisLedgerRoot
  const told: ChallengeOutcome[] = []
  const lines: { readonly level: string; readonly event: string }[] = []
  let laterMs = 0
  const watching = createChallenger({
    l1,
    genesis,
    accumulator,
    derived: () => ({
      head: () => ({ accumulator, nextIndex: 0n, lastBlock: 0n }),
      ledgerRoot: () => ledgerRoot,
      source: chain.store.reader,
      parent: () => ({ timestampMs: genesis.timestampMs, originNumber: genesis.l1.origin.number }),
    }),
    kzg: createKzg(),
    account: signer.address,
    sender: {
      ...sender,
      async send(request) {
        await meanwhile()
        return sender.send(request)
      },
    },
    log: createLog({ level: 'info', json: true, write: (line) => lines.push(JSON.parse(line)) }),
    report: (outcome) => told.push(outcome),
    nowMs: () => Date.now() + laterMs,
  })
  return {
    challenger: watching,
    outcomes: told as readonly ChallengeOutcome[],
    /** What it said at this level. */
    said: (level: string) => lines.filter((line) => line.level === level).map(({ event }) => event),
    /** The next look is so much later. */
    later: (ms: number) => {
      laterMs += ms
    },
  }
}

/** Reads L1 to its head, or to this block, and challenges. */
async function look(watcher: Pick<Watcher, 'challenger'> = first, to?: L1Ref): Promise<void> {
  await watcher.challenger.read(to ?? (await rollup.l1.blockByTag('latest')))
  await watcher.challenger.challenge()
}

const checkpointCount = () =>
  rollup.client.readContract({ address: rollup.genesis.l1.checkpointManager, abi: checkpointManagerAbi, functionName: 'checkpointCount' })

/** A wrong checkpoint, and the L1 block that has it. */
async function submitWrong() {
  await rollup.bond()
  const { id } = await rollup.submit(await FRAUDS['a deposit that nobody made'].make(rollup, 'calldata'))
  return { id, at: await rollup.l1.blockByTag('latest') }
}

const gasOf: Record<string, number> = {}
const WRONG_ROOT: Hex = `0x4${'0'.repeat(63)}`

for (const [name, { proof, make, isOfBlobs }] of Object.entries<Fraud>(FRAUDS)) {
  test(`${name}: the checkpoint falls by one transaction below the cap`, { timeout: 60_000 }, async () => {
    await rollup.bond()
    const { id } = await rollup.submit(await make(rollup, isOfBlobs ? 'blob' : 'calldata'))
    const told = outcomes.length
    await look()
    expect(outcomes.slice(told)).toEqual([
      { kind: 'fell', id, lastBlock: expect.any(BigInt), proof: expect.stringMatching(proof), tx: expect.stringMatching(/^0x/) },
    ])
    expect(await checkpointCount()).toBe(id)
    const last = outcomes.at(-1)
    const { gasUsed } = await rollup.client.getTransactionReceipt({ hash: last?.kind === 'fell' ? last.tx : '0x' })
    gasOf[name] = Number(gasUsed)
    expect(Number(gasUsed)).toBeLessThan(GAS_CAP)
  })
}

test('a wrong checkpoint below others takes them along, and its batch is shown from the latest of them', { timeout: 60_000 }, async () => {
  await rollup.bond()
  const line = await rollup.fork()
  await line.build([], { origin: { deposits: 1 } })
  const wrong = await line.post(line.forge())
  line.keep(wrong)
  await line.build([])
  const later = await line.post(line.forge())
  // The first has no checkpoint of its own: the second answers for it.
  const { id } = await rollup.submit(later)
  const told = outcomes.length
  await look()
  expect(outcomes.slice(told)).toMatchObject([{ kind: 'fell', id }])
})

test('a deposit in each L1 block, and between a proof and its inclusion, spoils no more than a few proofs', {
  timeout: 60_000,
}, async () => {
  await rollup.bond()
  const { id } = await rollup.submit(await FRAUDS['a deposit left out'].make(rollup, 'calldata'))
  const told = outcomes.length
  let queued = 0
  meanwhile = async () => {
    for (const _ of [0, 1]) await rollup.deposit(THIEF, 1n)
    queued += 2
  }
  // Each proof that is spoiled has made the tree higher by which the next one shows the deposit.
  while (outcomes.length === told || outcomes.at(-1)?.kind === 'stands') {
    expect(queued).toBeLessThan(10)
    first.later(60_000)
    await look()
  }
  meanwhile = async () => {}
  expect(outcomes.at(-1)).toMatchObject({ kind: 'fell', id, proof: 'deposits' })
})

const PROOF = expect.stringMatching(FRAUDS['a deposit that nobody made'].proof)
const HASH = expect.stringMatching(/^0x/)

test('what another made fall is passed over, though what was read says that it stands: told once, and no error', {
  timeout: 60_000,
}, async () => {
  const poor = await openWatcher({ maxFeeLimitWei: 1n })
  const { id, at } = await submitWrong()
  await look(poor, at)
  expect(poor.outcomes).toMatchObject([{ kind: 'stands', id, refusals: [{ code: 'feeTooHigh' }] }])
  expect(poor.challenger.status()).toMatchObject({ open: 1, wrong: 1, refused: 1, sent: 0 })
  await look()
  expect(await checkpointCount()).toBe(id)

  const errors = poor.said('error').length
  for (let i = 0; i < 2; i++) {
    poor.later(60_000)
    await look(poor, at)
  }
  expect(poor.outcomes).toHaveLength(1)
  expect(poor.challenger.status()).toMatchObject({ open: 0, wrong: 0, fell: 0, matured: 0 })
  expect(poor.said('error')).toHaveLength(errors)
  expect(poor.said('info').filter((event) => event === 'a wrong checkpoint stands no more')).toHaveLength(1)

  // One that begins now does not even judge it.
  const late = await openWatcher()
  await look(late, at)
  expect([late.outcomes, late.said('warn'), late.said('error')]).toEqual([[], [], []])
})

test('a fall that L1 takes back is made anew, whether it was read or not', { timeout: 60_000 }, async () => {
  const watcher = await openWatcher()
  const { id, at } = await submitWrong()
  const fell = { kind: 'fell', id, lastBlock: expect.any(BigInt), proof: PROOF, tx: HASH }
  await look(watcher, at)
  expect(watcher.outcomes).toEqual([fell])
  await look(watcher, at)
  expect(watcher.outcomes).toEqual([fell])

  await takeBack(at)
  await look(watcher, at)
  expect(watcher.outcomes).toEqual([fell, fell])
  await look(watcher)

  await takeBack(at)
  await expect(look(watcher)).rejects.toMatchObject({ kind: 'reset' })
  await look(watcher)
  expect(watcher.outcomes).toEqual([fell, fell, fell])
  expect(await checkpointCount()).toBe(id)
})

/** L1 takes back everything behind this block, and has an empty one in its place. */
async function takeBack(to: L1Ref): Promise<void> {
  const depth = Number((await rollup.client.getBlockNumber()) - to.number)
  await rollup.client.request({ method: 'anvil_rollback', params: [depth] } as never)
  await rollup.client.increaseTime({ seconds: 1 })
  await rollup.client.mine({ blocks: 1 })
}

test('a proof that takes its time is told of when it is there, by this run with what it shows, by the next one without', {
  timeout: 60_000,
}, async () => {
  for (const isRestarted of [false, true]) {
    const key = generatePrivateKey()
    const store = createMemoryPendingTx()
    const before = await openWatcher({ key, store, waitMs: 0 })
    const { id, at } = await submitWrong()
    await rollup.client.setAutomine(false)
    await look(before)
    await look(before)
    expect(before.outcomes).toEqual([])
    expect(before.challenger.status()).toMatchObject({ sent: 1 })
    await rollup.client.mine({ blocks: 1 })
    await rollup.client.setAutomine(true)
    const after = isRestarted ? await openWatcher({ key, store }) : before
    // Read up to a block before the fall, as where only what L1 calls safe is read, and then beyond it.
    for (const to of [at, at, undefined]) await look(after, to)
    expect(after.outcomes).toEqual([{ kind: 'fell', id, lastBlock: expect.any(BigInt), proof: isRestarted ? undefined : PROOF, tx: HASH }])
    expect(after.challenger.status()).toMatchObject({ wrong: 0, fell: 1 })
    expect(after.said('error')).toEqual([])
  }
})

test('a checkpoint that is right is left alone, whether its batch is derived already or not', { timeout: 60_000 }, async () => {
  await rollup.bond()
  const posted = await rollup.post(rollup.forge())
  await rollup.submit(posted)
  const told = outcomes.length
  await look()
  expect(outcomes.slice(told)).toEqual([])
  expect(challenger.status()).toMatchObject({ open: 1, wrong: 0 })
  process.stdout.write(`gas of proofs from call data: ${JSON.stringify(gasOf)}\n`)
})

test('a verdict that no evidence bears is told of, once: L1 cannot be shown it', { timeout: 60_000 }, async () => {
  const watcher = await openWatcher()
  await rollup.bond()
  const { id, index } = await rollup.submit(await postMisjudged(rollup))
  for (let i = 0; i < 2; i++) await look(watcher)
  expect(watcher.outcomes).toEqual([{ kind: 'misjudged', id, lastBlock: 3n, disputes: [{ batch: index, group: 1 }] }])
  expect(watcher.challenger.status()).toMatchObject({ open: 2, wrong: 0, misjudged: 1 })
  expect(await checkpointCount()).toBe(id + 1n)
})

test('another checkpoint under the id of one that fell may mature', { timeout: 60_000 }, async () => {
  const watcher = await openWatcher({ maxFeeLimitWei: 1n })
  const { client } = rollup
  await client.increaseTime({ seconds: COLLUDERS_CHECKPOINTS.challengeWindowSec })
  await client.mine({ blocks: 1 })
  const line = await rollup.fork()
  await rollup.bond()
  await line.build([], { origin: {} })
  // Later than the checkpoint that stands.
  for (const _ of [2, 3, 4]) await line.build([])
  const { id } = await rollup.submit(
    await line.post(line.forge((batch) => ({ ...batch, ledgerRoots: batch.ledgerRoots.map(() => WRONG_ROOT) }))),
  )
  const at = await rollup.l1.blockByTag('latest')
  await look(watcher, at)
  expect(watcher.challenger.status()).toMatchObject({ wrong: 1 })
  await look()
  await rollup.bond()
  expect((await rollup.submit(await line.post(line.forge()))).id).toBe(id)
  await client.increaseTime({ seconds: COLLUDERS_CHECKPOINTS.challengeWindowSec })
  await client.mine({ blocks: 1 })
  await look(watcher, at)
  expect(watcher.challenger.status()).toMatchObject({ wrong: 0, matured: 0 })
})
