/**
 * Four validators that collude, all of them, cannot keep a wrong checkpoint against one honest process: each kind of wrong batch, in blobs or in call
 * data, falls to `verify --challenge` within the window, and who challenged is paid; what is right afterwards matures. Spec: docs/spec/fraud.md#the-challenger
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getAddress, parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkpointManagerAbi, openTokenAbi, validatorRegistryAbi } from '../../settlement/abi.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { COLLUDERS_CHECKPOINTS, type Colluders, createColluders } from '../fakes/colluders.ts'
import { FRAUDS, makeBlocks } from '../fakes/frauds.ts'
import { type ChallengerReady, jsonLines, type Running, startChallenger } from './devnet.ts'
import { until } from './stage.ts'

/** The others are in test/node/challenger.test.ts, without a process in between. */
const SHOWN = [
  'a ledger in which a thief is rich, under a certificate',
  'a deposit that nobody made',
  'a deposit behind a native row',
  'a row that is none',
  'an amount other than what was signed',
] as const

/** Longest that one may take to fall, on a busy machine; half of the window of L1's clock. */
const FALL_MAX_MS = 120_000
/** All of whom sign whatever is posted and submitted. */
const VALIDATORS = 4
const REWARD_WEI = COLLUDERS_CHECKPOINTS.bondWei / 2n

const key = generatePrivateKey()
const challenger = privateKeyToAccount(key)
let anvil: Anvil
let rollup: Colluders
let honest: Running<ChallengerReady>
let folder: string

beforeAll(async () => {
  anvil = await startAnvil()
  rollup = await createColluders(anvil, { validators: VALIDATORS })
  await makeBlocks(rollup)
  folder = mkdtempSync(join(tmpdir(), 'tributary-challenger-'))
  const keyFile = join(folder, 'challenger.key')
  writeFileSync(keyFile, key, { mode: 0o600 })
  await rollup.client.setBalance({ address: challenger.address, value: parseEther('10') })
  honest = await startChallenger(['--l1', anvil.url, '--challenger-key', keyFile])
}, 120_000)

afterAll(async () => {
  await honest?.close()
  await anvil?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const manager = () => ({ address: rollup.genesis.l1.checkpointManager, abi: checkpointManagerAbi }) as const
const balance = () =>
  rollup.client.readContract({
    address: rollup.genesis.l1.openToken,
    abi: openTokenAbi,
    functionName: 'balanceOf',
    args: [challenger.address],
  })

/** What the process said of its challenges. */
const outcomes = () =>
  jsonLines(honest.output().stdout).flatMap(({ challenge }) => (challenge ? [challenge as Record<string, unknown>] : []))

test('the challenger is ready, and knows whom to call', () => {
  expect(honest.ready()).toMatchObject({ account: challenger.address.toLowerCase(), fraudVerifier: rollup.genesis.l1.fraudVerifier })
})

for (const name of SHOWN) {
  const { proof, make } = FRAUDS[name]
  test(`${name}: the checkpoint falls, and the challenger is paid`, { timeout: FALL_MAX_MS + 30_000 }, async () => {
    const before = await balance()
    const told = outcomes().length
    await rollup.bond()
    const { id } = await rollup.submit(await make(rollup, 'blob'))
    await until(
      'the fall',
      async () => ((await rollup.client.readContract({ ...manager(), functionName: 'checkpointCount' })) === id ? true : undefined),
      FALL_MAX_MS,
    ).catch((error) => {
      throw new Error(`${error.message}\n${honest.output().stderr.slice(-4_000)}`)
    })
    expect(await balance()).toBe(before + REWARD_WEI)
    const [outcome] = await until('the outcome', () => (outcomes().length > told ? outcomes().slice(told) : undefined))
    expect(outcome).toMatchObject({ kind: 'fell', proof: expect.stringMatching(proof) })
  })
}

test('killed with a proof on its way, it takes it up again: the checkpoint falls, once', { timeout: FALL_MAX_MS + 60_000 }, async () => {
  const { client } = rollup
  const before = await balance()
  const outcomesBefore = outcomes().length
  await honest.kill()
  await rollup.bond()
  const { id } = await rollup.submit(await FRAUDS[SHOWN[0]].make(rollup, 'blob'))
  await client.setAutomine(false)
  const told = honest.output().stderr.length
  await honest.start()
  await until(
    'a proof in the pool',
    async () => {
      const { pending } = await client.getTxpoolStatus()
      return pending > 0 && honest.output().stderr.slice(told).includes('a checkpoint is challenged') ? true : undefined
    },
    FALL_MAX_MS,
  )
  await honest.kill()
  await honest.start()
  await client.setAutomine(true)
  await client.mine({ blocks: 1 })
  const count = () => client.readContract({ ...manager(), functionName: 'checkpointCount' })
  await until('the fall', async () => ((await count()) === id ? true : undefined), FALL_MAX_MS)
  expect(await balance()).toBe(before + REWARD_WEI)
  // What the proof was the run before knew.
  await until('the outcome', () => (outcomes().length > outcomesBefore ? true : undefined))
  expect(outcomes().slice(outcomesBefore)).toEqual([
    { kind: 'fell', id: String(id), lastBlock: expect.any(String), tx: expect.any(String) },
  ])
  expect(honest.output().stderr.slice(told)).not.toContain('"level":"error"')
})

test('what is right afterwards is left alone and matures', { timeout: 60_000 }, async () => {
  const { client } = rollup
  const told = outcomes().length
  await rollup.bond()
  const posted = await rollup.post(rollup.forge(), { da: 'blob' })
  const { id } = await rollup.submit(posted)
  await until('the batch in the rebuilt chain', () => {
    const blocks = jsonLines(honest.output().stdout).map(({ progress }) => (progress as { block: string } | undefined)?.block)
    return blocks.includes(String(posted.header.number)) ? true : undefined
  })
  await client.increaseTime({ seconds: COLLUDERS_CHECKPOINTS.challengeWindowSec })
  await client.mine({ blocks: 1 })
  expect(await client.readContract({ ...manager(), functionName: 'isMature', args: [id] })).toBe(true)
  expect(outcomes().slice(told)).toEqual([])
})

test('everybody who signed a wrong checkpoint was convicted and has paid, and the challenger ends in order', {
  timeout: 90_000,
}, async () => {
  const { client } = rollup
  const registry = { address: rollup.genesis.l1.validatorRegistry, abi: validatorRegistryAbi } as const
  const convicted = await client.getContractEvents({ ...registry, eventName: 'SignersConvicted', fromBlock: 0n })
  expect(convicted.map(({ args }) => args.signers)).toEqual(Array(SHOWN.length + 1).fill(2n ** BigInt(VALIDATORS) - 1n))
  await until(
    'the last one to pay',
    async () => ((await client.readContract({ ...registry, functionName: 'openConvictions' })) === 0 ? true : undefined),
    60_000,
  )
  const slashed = await client.getContractEvents({ ...registry, eventName: 'ValidatorSlashed', fromBlock: 0n })
  const reporter = challenger.address
  expect(slashed.map(({ args }) => [args.validator, args.reporter])).toEqual(
    rollup.genesis.validators.map(({ address }) => [getAddress(address), reporter]),
  )
  expect(await honest.stop()).toBe(0)
})
