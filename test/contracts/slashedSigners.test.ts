/** Who signed a checkpoint that fell loses its stake, whoever it is and whether it left meanwhile, once. Spec: docs/spec/settlement.md#who-signs */
import { type Hex, zeroAddress } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { uncompressedSignature } from '../../consensus/bls.ts'
import { encodeSet } from '../../consensus/validatorSet.ts'
import { encodeHeader } from '../../execution/block.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { checkpointManagerAbi, openTokenAbi, validatorRegistryAbi } from '../../settlement/abi.ts'
import { toL1Claim } from '../../settlement/checkpoint.ts'
import { encodeRotate, encodeSlash, encodeSlashSigners, toL1Evidence } from '../../settlement/registry.ts'
import { blockHash, setOf, signatureOf, validator } from '../consensus/fixtures.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { CHALLENGE_WINDOW_SEC, type L1Stage, mined, refusal, STAGE_CHECKPOINTS, STAGE_REGISTRY } from '../fakes/l1Stage.ts'
import { validatorWord } from '../fakes/validatorWord.ts'
import {
  bond,
  certificateOf,
  commitOf,
  createSettledChain,
  domainOf,
  openEpochs,
  pass,
  type Settled,
  type SettledChain,
  submit,
} from './settledChain.ts'

const EPOCH_BLOCKS = 2
const STAKE = 1_000n * OPEN_WEI
const CHALLENGER: Hex = '0x00000000000000000000000000000000000c4a11'
const NOBODY: Hex = '0x000000000000000000000000000000000000dead'
const WRONG_CHECKPOINT = 3
const STATUS = { active: 1, leaving: 2, slashed: 3 } as const

let anvil: Anvil
beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())

type Stage = { readonly l1: L1Stage; readonly rollup: SettledChain; readonly first: Settled }

/** So many validators of the first set, of whom those named have staked; and a batch of theirs. */
async function stage(count = 4, staked: readonly number[] = [0, 1, 2, 3]): Promise<Stage> {
  const { l1, chain, weights } = await openEpochs(anvil, count, EPOCH_BLOCKS)
  for (const index of staked) await addStake(l1, index)
  const rollup = await createSettledChain(l1, weights, { chain })
  return { l1, rollup, first: await rollup.settle() }
}

const registryOf = ({ deployment }: L1Stage) => ({ address: deployment.validatorRegistry, abi: validatorRegistryAbi }) as const
const managerOf = ({ deployment }: L1Stage) => ({ address: deployment.checkpointManager, abi: checkpointManagerAbi }) as const
const tokenOf = ({ deployment }: L1Stage) => ({ address: deployment.openToken, abi: openTokenAbi }) as const
const balanceOf = (l1: L1Stage, who: Hex) => l1.user.readContract({ ...tokenOf(l1), functionName: 'balanceOf', args: [who] })
const addressAt = (index: number) => validator(index, 1n).address
const validatorAt = (l1: L1Stage, index: number) =>
  l1.user.readContract({ ...registryOf(l1), functionName: 'validatorOf', args: [addressAt(index)] })

/** As the validator, whose key nobody has. */
async function as<T>(l1: L1Stage, index: number, what: (account: Hex) => Promise<T>): Promise<T> {
  const address = addressAt(index)
  await l1.user.setBalance({ address, value: 10n ** 18n })
  await l1.user.impersonateAccount({ address })
  return what(address)
}

async function addStake(l1: L1Stage, index: number): Promise<void> {
  await mined(l1.user, await l1.user.writeContract({ ...tokenOf(l1), functionName: 'transfer', args: [addressAt(index), STAKE] }))
  await as(l1, index, async (account) => {
    const { validatorRegistry } = l1.deployment
    await mined(
      l1.user,
      await l1.user.writeContract({ ...tokenOf(l1), functionName: 'approve', args: [validatorRegistry, STAKE], account }),
    )
    await mined(l1.user, await l1.user.writeContract({ ...registryOf(l1), functionName: 'addStake', args: [STAKE], account }))
  })
}

/** Submits it, signed by these, and has it fall: the stage's owner stands for the fraud verifier. */
async function fall(l1: L1Stage, settled: Settled, signers: readonly number[], count = 4): Promise<void> {
  const set = setOf(Array.from({ length: count }, () => 1))
  const certificate = certificateOf(set, domainOf(l1), settled.checkpoint, [...signers])
  await mined(l1.submitter, await submit(l1, { ...settled, certificate }))
  await invalidate(l1, 0n)
}

const invalidate = async (l1: L1Stage, id: bigint) =>
  mined(l1.owner, await l1.owner.writeContract({ ...managerOf(l1), functionName: 'invalidate', args: [id, CHALLENGER] }))

const slash = (l1: L1Stage, id: number, count: number) =>
  l1.poster.sendTransaction({ to: l1.deployment.validatorRegistry, data: encodeSlashSigners(id, count) })

/** What the challenger and nobody get while this happens. */
async function gains(l1: L1Stage, what: () => Promise<unknown>): Promise<readonly [bigint, bigint]> {
  const both = () => Promise.all([balanceOf(l1, CHALLENGER), balanceOf(l1, NOBODY)])
  const [a, b] = await both()
  await what()
  const [c, d] = await both()
  return [c - a, d - b]
}

test('who signed a checkpoint that fell loses its stake, a twentieth to the challenger and the rest to nobody; who did not keeps it', async () => {
  const { l1, first } = await stage()
  await fall(l1, first, [0, 1, 3])
  const [convicted] = await l1.user.getContractEvents({ ...registryOf(l1), eventName: 'SignersConvicted', fromBlock: 0n })
  expect(convicted?.args).toMatchObject({ id: 0, height: 1n, signers: 0b1011n })
  expect(await gains(l1, async () => mined(l1.poster, await slash(l1, 0, 128)))).toEqual([(3n * STAKE) / 20n, (57n * STAKE) / 20n])
  expect((await Promise.all([0, 1, 2, 3].map((index) => validatorAt(l1, index)))).map(({ status, stake }) => [status, stake])).toEqual([
    [STATUS.slashed, 0n],
    [STATUS.slashed, 0n],
    [STATUS.active, STAKE],
    [STATUS.slashed, 0n],
  ])
  const slashed = await l1.user.getContractEvents({ ...registryOf(l1), eventName: 'ValidatorSlashed', fromBlock: 0n })
  expect(slashed.map(({ args }) => [args.height, args.kind, args.stake])).toEqual(Array(3).fill([1n, WRONG_CHECKPOINT, STAKE]))
  const changes = await l1.user.getContractEvents({ ...registryOf(l1), eventName: 'ValidatorChanged', fromBlock: 0n })
  expect(changes.slice(-3).map(({ args }) => args.weight)).toEqual([0n, 0n, 0n])
  expect(await refusal(slash(l1, 0, 128))).toEqual(['NobodyLeft', 0])
  expect(await refusal(slash(l1, 1, 128))).toEqual(['NobodyLeft', 1])
})

test('the stakes are taken a part at a time, each once, and nobody is paid out meanwhile', async () => {
  const { l1, first } = await stage()
  await fall(l1, first, [0, 2, 3])
  const left = async () => (await l1.user.readContract({ ...registryOf(l1), functionName: 'convictionAt', args: [0] })).signers
  const withdraw = { ...registryOf(l1), functionName: 'withdraw', args: [CHALLENGER, 0] } as const
  const withdrawal = () => as(l1, 1, async (account) => refusal(l1.user.simulateContract({ ...withdraw, account })))
  const seen: unknown[] = []
  for (let i = 0; i < 3; i++) {
    seen.push([await left(), await withdrawal()])
    expect(await gains(l1, async () => mined(l1.poster, await slash(l1, 0, 1)))).toEqual([STAKE / 20n, (19n * STAKE) / 20n])
  }
  expect(seen).toEqual([0b1101n, 0b1100n, 0b1000n].map((signers) => [signers, ['ConvictionsOpen', 1]]))
  expect([await left(), await withdrawal()]).toEqual([0n, ['WrongStatus', STATUS.active]])
})

test('who was slashed by evidence before is passed over, and an appointed one without a stake loses its place', async () => {
  const { l1, first } = await stage(4, [0])
  const part = (hash: Hex) => {
    const said = { kind: 'precommit', round: 0, validRound: -1, blockHash: hash } as const
    return { ...said, signature: signatureOf(setOf([1, 1, 1, 1]), 0, { ...said, height: 1 }) }
  }
  const evidence = { kind: 'doubleVote', validator: 0, height: 1, first: part(blockHash(1)), second: part(blockHash(2)) } as const
  const shown = toL1Evidence(evidence, uncompressedSignature)
  if (!shown) throw new Error('a signature of ours is none')
  await mined(l1.poster, await l1.poster.sendTransaction({ to: l1.deployment.validatorRegistry, data: encodeSlash(shown) }))
  await fall(l1, first, [0, 1, 2])
  expect(await gains(l1, async () => mined(l1.poster, await slash(l1, 0, 128)))).toEqual([0n, 0n])
  expect((await Promise.all([0, 1, 2, 3].map((index) => validatorAt(l1, index)))).map(({ status }) => status)).toEqual([3, 3, 3, 1])
})

test('a checkpoint that was taken without signatures convicts nobody when it falls', async () => {
  const { l1, first } = await stage(4, [])
  await pass(l1, STAGE_CHECKPOINTS.livenessTimeoutSec)
  const { claim } = first
  const uncertified = { ...managerOf(l1), functionName: 'submitUncertified', args: [toL1Claim(claim)] } as const
  await mined(l1.submitter, await l1.submitter.writeContract(uncertified))
  await invalidate(l1, 0n)
  expect(await l1.user.readContract({ ...registryOf(l1), functionName: 'convictionCount' })).toBe(0)
})

test('only the manager convicts', async () => {
  const { l1 } = await stage(4, [])
  const convict = { ...registryOf(l1), functionName: 'convict', args: [1n, 1n, zeroAddress] } as const
  expect(await refusal(l1.owner.simulateContract(convict))).toEqual(['NotCheckpointManager'])
})

test('two falls convict for themselves, though the second checkpoint has the id of the first', async () => {
  const { l1, rollup, first } = await stage()
  await fall(l1, first, [0, 1, 2])
  await bond(l1, l1.submitter)
  await fall(l1, await rollup.settle(), [1, 2, 3])
  expect(await gains(l1, async () => mined(l1.poster, await slash(l1, 1, 128)))).toEqual([(3n * STAKE) / 20n, (57n * STAKE) / 20n])
  expect(await gains(l1, async () => mined(l1.poster, await slash(l1, 0, 128)))).toEqual([STAKE / 20n, (19n * STAKE) / 20n])
  expect(await l1.user.readContract({ ...registryOf(l1), functionName: 'openConvictions' })).toBe(0)
})

/** Validator 3 asks to leave, and epoch 1 begins on L1 without it; the answer is when. */
async function leave({ l1, rollup }: Stage): Promise<bigint> {
  await as(l1, 3, async (account) =>
    mined(l1.user, await l1.user.writeContract({ ...registryOf(l1), functionName: 'requestExit', account })),
  )
  // The rollup is told so in its next block: what stands in this header is the set that the deposit leaves.
  const { origin } = rollup.chain.genesis.l1
  const info = {
    ...origin,
    number: origin.number + 1n,
    timestampSec: origin.timestampSec + 1n,
    baseFee: 7n,
    blobBaseFee: 1n,
    depositCursor: 1n,
  }
  const built = await rollup.chain.next([], { origin: { info, deposits: [validatorWord(3, 0n)] } })
  const commit = commitOf(setOf([1, 1, 1, 1]), 2n, built.hash)
  const data = encodeRotate(commit, encodeHeader(built.block.header), encodeSet(setOf([1, 1, 1], 1)))
  const { blockNumber } = await mined(l1.user, await l1.user.sendTransaction({ to: l1.deployment.validatorRegistry, data }))
  return (await l1.user.getBlock({ blockNumber })).timestamp
}

test('who left is still slashed for as long as its signature is taken and the window of that lasts', async () => {
  const one = await stage()
  const { l1, first } = one
  const openedAtSec = await leave(one)
  const { evidenceAgeSec } = STAGE_REGISTRY
  const certificate = certificateOf(setOf([1, 1, 1, 1]), domainOf(l1), first.checkpoint)
  await l1.user.setNextBlockTimestamp({ timestamp: openedAtSec + BigInt(evidenceAgeSec) })
  await mined(l1.submitter, await submit(l1, { ...first, certificate }))
  await l1.user.setNextBlockTimestamp({ timestamp: openedAtSec + BigInt(evidenceAgeSec + CHALLENGE_WINDOW_SEC) - 1n })
  await invalidate(l1, 0n)
  // As late as can be: the stake would be free, and is kept for this.
  await pass(l1, STAGE_REGISTRY.unbondingSec)
  const withdraw = { ...registryOf(l1), functionName: 'withdraw', args: [NOBODY, 1] } as const
  expect(await as(l1, 3, async (account) => refusal(l1.user.simulateContract({ ...withdraw, account })))).toEqual(['ConvictionsOpen', 1])
  expect(await gains(l1, async () => mined(l1.poster, await slash(l1, 0, 128)))).toEqual([(4n * STAKE) / 20n, (76n * STAKE) / 20n])
  expect((await validatorAt(l1, 3)).status).toBe(STATUS.slashed)
})

test('signatures of an epoch that is over for longer than evidence counts are not taken', async () => {
  const one = await stage(4, [3])
  const { l1, first } = one
  const untilSec = (await leave(one)) + BigInt(STAGE_REGISTRY.evidenceAgeSec)
  await l1.user.setNextBlockTimestamp({ timestamp: untilSec + 1n })
  await l1.user.mine({ blocks: 1 })
  expect(await refusal(submit(l1, first))).toEqual(['SignersTooOld', untilSec])
})

test('the stakes of as many signers as there may be are taken by one transaction', async () => {
  const count = 128
  const everyone = Array.from({ length: count }, (_, index) => index)
  const { l1, first } = await stage(count, [0, 1, 2])
  await fall(l1, first, everyone, count)
  const { gasUsed } = await mined(l1.poster, await slash(l1, 0, count))
  process.stdout.write(`gas of taking 128 stakes: ${gasUsed}\n`)
  expect(gasUsed).toBeLessThan(16_777_216n / 2n)
  expect(await refusal(slash(l1, 0, 1))).toEqual(['NobodyLeft', 0])
  expect(await l1.user.readContract({ ...registryOf(l1), functionName: 'activeCount' })).toBe(0)
})
