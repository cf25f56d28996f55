import {
  concatHex,
  decodeFunctionData,
  encodeFunctionData,
  type Hex,
  hexToBytes,
  keccak256,
  numberToHex,
  sha256,
  toHex,
  zeroAddress,
} from 'viem'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { aggregateSignatures, uncompressedSignature } from '../../consensus/bls.ts'
import { buildCommit } from '../../consensus/certificate.ts'
import type { Statement } from '../../consensus/digest.ts'
import type { Evidence } from '../../consensus/evidence.ts'
import { createValidatorSet, encodeSet, type Validator, type ValidatorSet } from '../../consensus/validatorSet.ts'
import { validatorRegistryBytecode } from '../../contracts/artifacts.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { openTokenAbi, portalAbi, validatorRegistryAbi } from '../../settlement/abi.ts'
import { type L1Log, parseDeposits } from '../../settlement/l1Logs.ts'
import { encodeRotate, encodeSlash, toL1Commit, toL1Evidence } from '../../settlement/registry.ts'
import { blockHash, CHAIN_ID, setOf, signatureOf, validator } from '../consensus/fixtures.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { addressOf, deployStage, type L1Stage, mined, refusal, STAGE_REGISTRY, type StageClient } from '../fakes/l1Stage.ts'
import { validatorsAbi } from '../fakes/validatorWord.ts'
import { keyOf, possessionOf } from './registrant.ts'

const EPOCH_BLOCKS = 10
const STAKE = 1_000n * OPEN_WEI
const FEES: Hex = '0x00000000000000000000000000000000000000fe'
const NOBODY: Hex = '0x000000000000000000000000000000000000dead'
const VALIDATORS: Hex = '0x0000000000000000000000000000000000000a1c'
/** The validators of the first set are 0 to 3; this is the one that comes. */
const NEWCOMER = 7

let anvil: Anvil
let l1: L1Stage
const first = setOf([1, 1, 1, 1])
beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())
beforeEach(async () => {
  l1 = await deployStage(anvil, { epochBlocks: EPOCH_BLOCKS })
  await approve(l1.user, 10_000n * OPEN_WEI)
})

const registry = () => ({ address: l1.deployment.validatorRegistry, abi: validatorRegistryAbi }) as const
const token = () => ({ address: l1.deployment.openToken, abi: openTokenAbi }) as const
const me = () => addressOf(l1.user)
const balanceOf = (address: Hex) => l1.user.readContract({ ...token(), functionName: 'balanceOf', args: [address] })
const validatorOf = (address: Hex) => l1.user.readContract({ ...registry(), functionName: 'validatorOf', args: [address] })
const call = (client: StageClient, data: Hex) => client.sendTransaction({ to: l1.deployment.validatorRegistry, data })

async function approve(client: StageClient, amount: bigint): Promise<void> {
  const args = [l1.deployment.validatorRegistry, amount] as const
  await mined(client, await client.writeContract({ ...token(), functionName: 'approve', args }))
}

const registerCall = (
  changes: { index?: number; owner?: Hex; chainId?: number; feeRecipient?: Hex; amount?: bigint; key?: number } = {},
) => {
  const { index = NEWCOMER, owner = me(), chainId, feeRecipient = FEES, amount = STAKE, key = index } = changes
  return { ...registry(), functionName: 'register', args: [keyOf(key), possessionOf(index, owner, chainId), feeRecipient, amount] } as const
}
const register = async () => mined(l1.user, await l1.user.writeContract(registerCall()))

/** What the rollup was told, in order. */
async function told() {
  const logs = await l1.user.getLogs({ address: l1.deployment.portal, fromBlock: l1.deployment.firstL1Block })
  return parseDeposits(logs as L1Log[]).map(({ deposit }) => {
    const { args } = decodeFunctionData({ abi: validatorsAbi, data: deposit.data })
    expect(deposit).toMatchObject({ to: VALIDATORS, mintWei: 0n, valueWei: 0n, gas: 0n, isSystem: false })
    return { validator: args[0].toLowerCase(), feeRecipient: args[1].toLowerCase(), weight: args[2], key: args[3] }
  })
}

/** The next set and what makes the registry know it: a commit of a block that names it, by the keys with these numbers. */
function rotation(before: ValidatorSet, validators: readonly Validator[], changes: { height?: number; signers?: readonly number[] } = {}) {
  const made = createValidatorSet(before.epoch + 1, validators)
  if (!made.ok) throw new Error(made.code)
  const { height = (before.epoch + 1) * EPOCH_BLOCKS, signers = before.validators.map((_, index) => index) } = changes
  const requestsHash = sha256(sha256(concatHex(['0x80', made.set.hash])))
  const header = concatHex(['0xf90250c0ffee', requestsHash])
  const statement: Statement = { kind: 'precommit', height, round: 0, validRound: -1, blockHash: keccak256(header) }
  const votes = signers.map((signer, index) => ({
    ...statement,
    kind: 'precommit' as const,
    validator: index,
    signature: signatureOf(before, signer, statement),
  }))
  const commit = toL1Commit(buildCommit(before, votes, aggregateSignatures), uncompressedSignature)
  if (!commit) throw new Error('a signature of ours is none')
  return { set: made.set, commit, header: hexToBytes(header) }
}

async function rotate(before: ValidatorSet, validators: readonly Validator[], signers?: readonly number[]): Promise<ValidatorSet> {
  const { set, commit, header } = rotation(before, validators, signers && { signers })
  await mined(l1.user, await call(l1.user, encodeRotate(commit, header, encodeSet(set))))
  return set
}

async function waitUntil(sec: bigint): Promise<void> {
  await l1.user.setNextBlockTimestamp({ timestamp: sec })
  await l1.user.mine({ blocks: 1 })
}

const nowSec = async () => (await l1.user.getBlock()).timestamp

function doubleVote(set: ValidatorSet, index: number, signer: number, height = 3): Evidence {
  const part = (hash: Hex) => {
    const statement: Statement = { kind: 'precommit', height, round: 0, validRound: -1, blockHash: hash }
    return { kind: 'precommit' as const, round: 0, validRound: -1, blockHash: hash, signature: signatureOf(set, signer, statement) }
  }
  return { kind: 'doubleVote', validator: index, height, first: part(blockHash(1)), second: part(blockHash(2)) }
}

function slashCall(evidence: Evidence): Hex {
  const args = toL1Evidence(evidence, uncompressedSignature)
  if (!args) throw new Error('a signature of ours is none')
  return encodeSlash(args)
}

test('the first set is the genesis file’s: known by its hash, its validators appointed without a stake', async () => {
  const [hash, entries, totalWeight] = await l1.user.readContract({ ...registry(), functionName: 'setOf', args: [0] })
  expect([hash, entries, totalWeight]).toEqual([first.hash, STAGE_REGISTRY.firstSet, 4n])
  const { address, feeRecipient } = validator(2, 1n)
  const { status, stake, appointedWeight, key } = await validatorOf(address)
  expect({ status, stake, appointedWeight, key }).toEqual({ status: 1, stake: 0n, appointedWeight: 1n, key: [...keyOf(2)] })
  expect((await validatorOf(address)).feeRecipient.toLowerCase()).toBe(feeRecipient)
  expect(await told()).toEqual([])
})

test('the owner opens the first set, once', async () => {
  const open = { ...registry(), functionName: 'openFirstSet', args: [STAGE_REGISTRY.firstSet] } as const
  expect(await refusal(l1.user.writeContract(open))).toEqual(['NotOwner'])
  expect(await refusal(l1.owner.writeContract(open))).toEqual(['FirstSetOpen'])
  expect(await refusal(l1.user.writeContract({ ...registry(), functionName: 'appoint', args: [0n, 1n] }))).toEqual(['WrongStatus', 1])
  expect(await refusal(l1.user.writeContract({ ...registry(), functionName: 'appoint', args: [4n, 1n] }))).toEqual(['UnknownValidator', 4n])
})

test('a set is not empty, its validators weigh something, and its bytes are whole', async () => {
  const config = {
    ...{ token: zeroAddress, portal: zeroAddress, checkpointManager: zeroAddress, chainId: 1n, epochBlocks: 0n, stakeMin: OPEN_WEI },
    ...{ evidenceAgeSec: 1n, unbondingSec: 3n, challengeWindowSec: 1n },
  }
  const abi = validatorRegistryAbi
  const deploy = { abi, bytecode: validatorRegistryBytecode, args: [addressOf(l1.owner), config] } as const
  const { contractAddress: address } = await mined(l1.owner, await l1.owner.deployContract(deploy))
  if (!address) throw new Error('no contract was made')
  const open = (entries: Hex) => refusal(l1.owner.writeContract({ address, abi, functionName: 'openFirstSet', args: [entries] }))
  expect(await open('0x')).toEqual(['EntriesMalformed'])
  expect(await open(concatHex([STAGE_REGISTRY.firstSet, '0x00']))).toEqual(['EntriesMalformed'])
  const entry = toHex(encodeSet(setOf([1])))
  expect(await open(concatHex(Array<Hex>(129).fill(entry)))).toEqual(['EntriesMalformed'])
  expect(await open(concatHex([entry.slice(0, 82) as Hex, numberToHex(0n, { size: 16 }), `0x${entry.slice(114)}`]))).toEqual([
    'WeightOutOfRange',
    0n,
  ])
  const short = { ...deploy, args: [addressOf(l1.owner), { ...config, unbondingSec: 2n }] } as const
  expect(await refusal(l1.owner.deployContract(short))).toEqual(['UnbondingTooShort', 3n])
})

test('who stakes and proves possession is told of to the rollup, with a weight of one a whole OPEN', async () => {
  const { gasUsed } = await register()
  process.stdout.write(`gas of a registration: ${gasUsed}\n`)
  expect(await balanceOf(l1.deployment.validatorRegistry)).toBe(STAKE)
  expect(await told()).toEqual([{ validator: me(), feeRecipient: FEES, weight: 1_000n, key: [...keyOf(NEWCOMER)] }])
  await mined(l1.user, await l1.user.writeContract({ ...registry(), functionName: 'addStake', args: [OPEN_WEI / 2n] }))
  await mined(l1.user, await l1.user.writeContract({ ...registry(), functionName: 'addStake', args: [(OPEN_WEI * 3n) / 2n] }))
  await mined(l1.user, await l1.user.writeContract({ ...registry(), functionName: 'setFeeRecipient', args: [NOBODY] }))
  expect((await told()).slice(1).map(({ weight, feeRecipient }) => [weight, feeRecipient])).toEqual([
    [1_000n, FEES],
    [1_002n, FEES],
    [1_002n, NOBODY],
  ])
  expect(await refusal(l1.user.writeContract(registerCall()))).toEqual(['WrongStatus', 1])
})

test.each([
  ['a proof for another owner', { owner: FEES }, ['BadPossession']],
  ['a proof for another chain', { chainId: CHAIN_ID + 1 }, ['BadPossession']],
  ['a proof of another key', { key: 8 }, ['BadPossession']],
  ['a key that a validator has', { index: 2 }, ['KeyUsed']],
  ['too little stake', { amount: OPEN_WEI - 1n }, ['StakeTooLow', OPEN_WEI]],
  ['nobody to pay fees to', { feeRecipient: zeroAddress }, ['ZeroFeeRecipient']],
] as const)('a registration with %s is refused', async (_, changes, error) => {
  expect(await refusal(l1.user.writeContract(registerCall(changes)))).toEqual(error)
})

test('the key at infinity is nobody’s', async () => {
  const key = [toHex(0, { size: 32 }), toHex(0, { size: 32 }), toHex(0, { size: 32 })] as const
  for (const possession of [toHex(new Uint8Array(256)), possessionOf(NEWCOMER, me())]) {
    const refused = { ...registry(), functionName: 'register', args: [key, possession, FEES, STAKE] } as const
    expect(await refusal(l1.user.writeContract(refused))).toEqual(['BadPossession'])
  }
})

test('only the registry speaks of validators through the portal', async () => {
  const data = encodeFunctionData({ abi: validatorsAbi, args: [me(), FEES, 1n, [...keyOf(1)] as [Hex, Hex, Hex]] })
  const say = { address: l1.deployment.portal, abi: portalAbi, functionName: 'tellOfValidator', args: [data] } as const
  expect(await refusal(l1.user.writeContract(say))).toEqual(['NotRegistry'])
})

test('a set is opened by a certificate of the one before it over the last block of its epoch, which names it', async () => {
  const next = [validator(0, 1n), validator(1, 3n), validator(NEWCOMER, 1_000n)]
  const { set, commit, header } = rotation(first, next)
  const entries = encodeSet(set)
  const refused = (data: Hex) => refusal(call(l1.user, data))
  expect(await refused(encodeRotate(commit, header, encodeSet(setOf([1, 2]))))).toEqual(['SetMismatch', setOf([1, 2], 1).hash])
  expect(await refused(encodeRotate(commit, header.slice(0, -1), entries))).toEqual(['HeaderMismatch'])
  expect(await refused(encodeRotate(commit, new Uint8Array(), entries))).toEqual(['HeaderMismatch'])
  const early = rotation(first, next, { height: EPOCH_BLOCKS - 1 })
  expect(await refused(encodeRotate(early.commit, early.header, entries))).toEqual(['NotLastBlock', BigInt(EPOCH_BLOCKS)])
  expect(await refused(encodeRotate({ ...commit, bitmap: '0x03' }, header, entries))).toEqual(['WeightTooLow', 2n, 4n])
  expect(await refused(encodeRotate({ ...commit, bitmap: '0x07' }, header, entries))).toEqual(['BadSignature'])
  const { gasUsed } = await mined(l1.user, await call(l1.user, encodeRotate(commit, header, entries)))
  process.stdout.write(`gas of a rotation to 3 validators: ${gasUsed}\n`)
  const [hash, stored, totalWeight] = await l1.user.readContract({ ...registry(), functionName: 'setOf', args: [1] })
  expect([hash, stored, totalWeight]).toEqual([set.hash, toHex(entries), 1_004n])
  expect(await l1.user.readContract({ ...registry(), functionName: 'newestEpoch' })).toBe(1)
  expect(await refused(encodeRotate(commit, header, entries))).toEqual(['NotLastBlock', BigInt(2 * EPOCH_BLOCKS)])
  // The new set opens the next one, and the old one cannot.
  const stale = rotation({ ...first, epoch: 1 }, next)
  expect((await refused(encodeRotate(stale.commit, stale.header, entries)))?.[0]).toBe('BitBeyondSet')
})

test('a set that stays is opened without its entries, and for less', async () => {
  const { set, commit, header } = rotation(first, first.validators)
  const { gasUsed } = await mined(l1.user, await call(l1.user, encodeRotate(commit, header, new Uint8Array())))
  process.stdout.write(`gas of a rotation to the same set: ${gasUsed}\n`)
  const [hash, entries] = await l1.user.readContract({ ...registry(), functionName: 'setOf', args: [1] })
  expect([hash, entries]).toEqual([set.hash, STAGE_REGISTRY.firstSet])
  expect(gasUsed).toBeLessThan(330_000n)
})

test('a set of as many validators as there may be is opened by one transaction', async () => {
  const many = Array.from({ length: 128 }, (_, index) => validator(index, 1n))
  const { set, commit, header } = rotation(first, many)
  const { gasUsed } = await mined(l1.user, await call(l1.user, encodeRotate(commit, header, encodeSet(set))))
  process.stdout.write(`gas of a rotation to 128 validators: ${gasUsed}\n`)
  expect(gasUsed).toBeLessThan(16_777_216n / 2n)
  const [hash, , totalWeight] = await l1.user.readContract({ ...registry(), functionName: 'setOf', args: [1] })
  expect([hash, totalWeight]).toEqual([set.hash, 128n])
})

test('who leaves gets its stake once a set without it is old enough, and can come again with another key', async () => {
  await register()
  const joined = { ...validator(NEWCOMER, 1_000n), address: me() }
  const second = await rotate(first, [...first.validators, joined])
  await mined(l1.user, await l1.user.writeContract({ ...registry(), functionName: 'requestExit' }))
  expect((await told()).map(({ weight }) => weight)).toEqual([1_000n, 0n])
  expect(await refusal(l1.user.writeContract({ ...registry(), functionName: 'requestExit' }))).toEqual(['WrongStatus', 2])
  expect(await refusal(l1.user.writeContract({ ...registry(), functionName: 'addStake', args: [1n] }))).toEqual(['WrongStatus', 2])
  const withdraw = (epoch: number) => l1.user.writeContract({ ...registry(), functionName: 'withdraw', args: [FEES, epoch] })
  expect(await refusal(withdraw(1))).toEqual(['StillInSet', 1])
  expect(await refusal(withdraw(0))).toEqual(['StillInSet', 1])
  expect(await refusal(withdraw(2))).toEqual(['UnknownEpoch', 1])
  await rotate(second, first.validators, [0, 1, 2, 3, NEWCOMER])
  const [, , , openedAtSec] = await l1.user.readContract({ ...registry(), functionName: 'setOf', args: [2] })
  const freeAtSec = openedAtSec + BigInt(STAGE_REGISTRY.unbondingSec)
  expect(await refusal(withdraw(0))).toEqual(['SetTooOld', 0])
  expect(await refusal(withdraw(2))).toEqual(['NotYet', freeAtSec])
  await waitUntil(freeAtSec - 2n)
  expect(await refusal(withdraw(2))).toEqual(['NotYet', freeAtSec])
  await waitUntil(freeAtSec)
  await mined(l1.user, await withdraw(2))
  expect([await balanceOf(FEES), await balanceOf(l1.deployment.validatorRegistry)]).toEqual([STAKE, 0n])
  expect(await refusal(withdraw(2))).toEqual(['WrongStatus', 0])
  expect(await refusal(l1.user.writeContract(registerCall()))).toEqual(['KeyUsed'])
  await mined(l1.user, await l1.user.writeContract(registerCall({ index: 8 })))
  expect((await told()).at(-1)).toMatchObject({ validator: me(), weight: 1_000n, key: [...keyOf(8)] })
})

test('two votes in one place cost the whole stake, once; who shows them gets a part, and nobody the rest', async () => {
  await register()
  const joined = { ...validator(NEWCOMER, 1_000n), address: me() }
  const set = await rotate(first, [...first.validators, joined])
  const evidence = doubleVote(set, 4, NEWCOMER, 13)
  const before = await balanceOf(NOBODY)
  const { gasUsed } = await mined(l1.poster, await call(l1.poster, slashCall(evidence)))
  process.stdout.write(`gas of a slash: ${gasUsed}\n`)
  expect(await balanceOf(addressOf(l1.poster))).toBe(STAKE / 20n)
  expect((await balanceOf(NOBODY)) - before).toBe((STAKE * 19n) / 20n)
  expect((await validatorOf(me())).status).toBe(3)
  expect((await told()).at(-1)).toMatchObject({ validator: me(), weight: 0n })
  expect(await refusal(call(l1.poster, slashCall(evidence)))).toEqual(['NothingAtStake'])
  expect(await refusal(call(l1.poster, slashCall(doubleVote(set, 4, NEWCOMER, 14))))).toEqual(['NothingAtStake'])
  expect(await refusal(l1.user.writeContract({ ...registry(), functionName: 'withdraw', args: [FEES, 0] }))).toEqual(['WrongStatus', 3])
  expect(await refusal(l1.user.writeContract(registerCall({ index: 8 })))).toEqual(['WrongStatus', 3])
})

test('who is leaving is still slashed, and an appointed validator loses its place', async () => {
  await register()
  const joined = { ...validator(NEWCOMER, 1_000n), address: me() }
  const set = await rotate(first, [...first.validators, joined])
  await mined(l1.user, await l1.user.writeContract({ ...registry(), functionName: 'requestExit' }))
  await mined(l1.poster, await call(l1.poster, slashCall(doubleVote(set, 4, NEWCOMER, 13))))
  expect(await balanceOf(l1.deployment.validatorRegistry)).toBe(0n)
  await mined(l1.poster, await call(l1.poster, slashCall(doubleVote(first, 2, 2))))
  expect((await told()).map(({ validator: who, weight }) => [who, weight])).toEqual([
    [me(), 1_000n],
    [me(), 0n],
    [validator(2, 1n).address, 0n],
  ])
})

test('evidence of an epoch counts for a while after its end, and of the newest for ever', async () => {
  await waitUntil((await nowSec()) + 1_000n)
  await rotate(first, first.validators)
  const [, , , openedAtSec] = await l1.user.readContract({ ...registry(), functionName: 'setOf', args: [1] })
  const untilSec = openedAtSec + BigInt(STAGE_REGISTRY.evidenceAgeSec)
  await waitUntil(untilSec - 1n)
  await l1.user.setNextBlockTimestamp({ timestamp: untilSec })
  await mined(l1.poster, await call(l1.poster, slashCall(doubleVote(first, 1, 1))))
  await l1.user.setNextBlockTimestamp({ timestamp: untilSec + 1n })
  await l1.user.mine({ blocks: 1 })
  expect(await refusal(call(l1.poster, slashCall(doubleVote(first, 2, 2))))).toEqual(['EvidenceTooOld', untilSec])
})
