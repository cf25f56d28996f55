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
import { L1_REMEMBERS } from '../../settlement/notes.ts'
import { createTxManager, type PendingTxStore } from '../../settlement/txManager.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { COLLUDERS_CHECKPOINTS, type Colluders, createColluders, type Posted } from '../fakes/colluders.ts'
import { FRAUDS, type Fraud, forgeRobbed, makeBlocks, postMisjudged, THIEF, transfers } from '../fakes/frauds.ts'
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
  /** Whom it watches. */
  readonly of?: Colluders
  /** Blocks whose hashes L1 remembers. */
  readonly l1Remembers?: bigint
}
type Watcher = Awaited<ReturnType<typeof openWatcher>>

/** One that knows nothing yet of what L1 holds: nothing but the genesis block is derived. */
async function openWatcher(options: WatcherOptions = {}) {
  const { key = generatePrivateKey(), store = createMemoryPendingTx(), waitMs = 20_000, maxFeeLimitWei = 1_000n * GWEI } = options
  const { of = rollup, l1Remembers = L1_REMEMBERS } = options
  const { l1, genesis, accumulator, genesisLedgerRoot, chain, client } = of
  const signer = signerOf(key)
  await client.setBalance({ address: signer.address, value: parseEther('10') })
  const clock = { nowMs: Date.now, sleep: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)) }
  const sending = { chainId: genesis.l1.chainId, signer, maxFeeLimitWei, maxBlobFeeLimitWei: 0n, confirmations: 1n }
  const sender = createTxManager(
    { l1: l1.transactions, store, clock },
    { kind: 'ordinary', ...sending, pollMs: 20, resubmitMs: 10_000, waitMs },
  )
  const told: ChallengeOutcome[] = []
  const lines: { readonly level: string; readonly event: string }[] = []
  let laterMs = 0
  const watching = createChallenger({
    l1,
    genesis,
    accumulator,
    derived: () => ({
      head: () => ({ accumulator, nextIndex: 0n, lastBlock: 0n }),
      ledgerRoot: () => genesisLedgerRoot,
      source: chain.store.reader,
      parent: () => ({ timestampMs: genesis.timestampMs, originNumber: genesis.l1.origin.number }),
    }),
    kzg: createKzg(),
    l1Remembers,
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

/** What deposits can spoil: a proof that shows that there is none where the ledger's cursor stands, and one that shows one. */
const SPOILT = {
  'group 0 wrongRoot': async (): Promise<Posted> => {
    const line = await rollup.fork()
    // Up to L1's head, by 64 blocks each.
    for (let steps = 0; steps < 6; steps++) await line.build([], { origin: {} })
    line.keep(await line.post(line.forge()))
    await line.build([], { origin: {} })
    return line.post(forgeRobbed(line))
  },
  deposits: (): Promise<Posted> => FRAUDS['a deposit left out'].make(rollup, 'calldata'),
}

test.each(Object.entries(SPOILT))(
  'deposits in each L1 block, and between a proof and its inclusion, spoil few proofs of %s',
  {
    timeout: 60_000,
  },
  async (proof, make) => {
    await rollup.bond()
    const { id } = await rollup.submit(await make())
    const told = outcomes.length
    let queued = 0
    meanwhile = async () => {
      for (const _ of [0, 1]) await rollup.deposit(THIEF, 1n)
      queued += 2
    }
    // Each proof that is spoilt has made the tree higher by which the next one shows the deposit.
    while (outcomes.length === told || outcomes.at(-1)?.kind === 'stands') {
      expect(queued).toBeLessThan(10)
      first.later(60_000)
      await look()
    }
    meanwhile = async () => {}
    expect(outcomes.at(-1)).toMatchObject({ kind: 'fell', id, proof })
  },
)

test('a wrong first group behind 120 batches without rows and before 70 others falls by two transactions', {
  timeout: 240_000,
}, async () => {
  await rollup.bond()
  const line = await rollup.fork()
  for (let i = 0; i < 120; i++) {
    await line.build([])
    line.keep(await line.post(line.forge()))
  }
  await line.build(await transfers(line, 1))
  line.keep(await line.post(forgeRobbed(line)))
  for (let i = 0; i < 70; i++) {
    await line.build([])
    line.keep(await line.post(forgeRobbed(line)))
  }
  await line.build([])
  const { id } = await rollup.submit(await line.post(forgeRobbed(line)))
  const told = outcomes.length
  let sent = 0
  meanwhile = async () => {
    sent++
  }
  await look()
  meanwhile = async () => {}
  expect(outcomes.slice(told)).toMatchObject([{ kind: 'fell', id, proof: 'group 0 wrongRoot' }])
  expect(sent).toBe(2)
})

test('one of a chain of batches without rows that begins with another root falls by its neighbour alone', { timeout: 60_000 }, async () => {
  await rollup.bond()
  const line = await rollup.fork()
  for (const i of [0, 1, 2, 3]) {
    await line.build([])
    // From the second on all say the same.
    const posted = await line.post(i === 0 ? line.forge() : forgeRobbed(line))
    if (i < 3) line.keep(posted)
    else await rollup.submit(posted)
  }
  const told = outcomes.length
  await look()
  expect(outcomes.slice(told)).toMatchObject([{ kind: 'fell', proof: 'rootBefore' }])
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

test('L1 info far below the L1 block that its batch names is shown by its own header, and by notes where L1 has forgotten it', {
  timeout: 120_000,
}, async () => {
  const far = await createColluders(anvil)
  // Without the contract of EIP-2935 L1 remembers as many as BLOCKHASH does.
  await far.client.setCode({ address: '0x0000F90827F1C53a10cb7A02335B175320002935', bytecode: '0x' })
  const own = await openWatcher({ of: far, l1Remembers: 256n })
  const submit = async (blocks: number) => {
    await far.bond()
    const line = await far.fork()
    await line.build(await transfers(line, 1), { origin: {} })
    await far.client.mine({ blocks })
    const { id } = await far.submit(await line.post(forgeRobbed(line)))
    return { id, told: own.outcomes.length }
  }
  const near = await submit(150)
  await look(own)
  expect(own.outcomes.slice(near.told)).toMatchObject([{ kind: 'fell', id: near.id, proof: 'group 0 wrongRoot' }])
  const notedBefore = (await far.l1.notes(0n)).l1Blocks
  expect(notedBefore).toEqual([])

  const forgotten = await submit(450)
  await look(own)
  expect(own.outcomes.slice(forgotten.told)).toMatchObject([{ kind: 'fell', id: forgotten.id, proof: 'group 0 wrongRoot' }])
  const { l1Blocks } = await far.l1.notes(0n)
  expect(l1Blocks.length).toBeGreaterThan(1)

  // The rollup's own origin stayed where it was meanwhile: what rows may still name is noted before L1 forgets it.
  await far.client.mine({ blocks: 64 - (Number(await far.client.getBlockNumber({ cacheTime: 0 })) % 64) })
  await look(own)
  const noted = (await far.l1.notes(0n)).l1Blocks.filter((number) => !l1Blocks.includes(number))
  expect(noted.length).toBeGreaterThan(0)
  expect(noted.filter((number) => number % 64n !== 0n)).toEqual([])
})
