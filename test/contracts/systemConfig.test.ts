/** What may change changes within its bounds, long after it was announced, and never without an owner. Spec: docs/spec/settlement.md#what-may-change */
import { type Hex, zeroAddress } from 'viem'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { systemConfigBytecode } from '../../contracts/artifacts.ts'
import { systemConfigAbi } from '../../settlement/abi.ts'
import { L1_PARAMETER } from '../../settlement/checkpoint.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import {
  addressOf,
  CHALLENGE_WINDOW_SEC,
  deployStage,
  type L1Stage,
  mined,
  refusal,
  STAGE_CHECKPOINTS,
  type StageClient,
} from '../fakes/l1Stage.ts'
import { pass } from './settledChain.ts'

const DELAY = STAGE_CHECKPOINTS.changeDelaySec
const LEAST_WINDOW = BigInt(CHALLENGE_WINDOW_SEC + 1)
const MOST_WINDOW = BigInt(DELAY - CHALLENGE_WINDOW_SEC)

let anvil: Anvil
let l1: L1Stage

beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())
beforeEach(async () => {
  l1 = await deployStage(anvil)
})

const config = () => ({ address: l1.deployment.systemConfig, abi: systemConfigAbi }) as const
const nowOf = (parameter: number) => l1.user.readContract({ ...config(), functionName: 'valueOf', args: [parameter] })
const announce = (parameter: number, value: bigint, from: StageClient = l1.owner) =>
  from.writeContract({ ...config(), functionName: 'announce', args: [parameter, value] })
const cancel = (parameter: number, from: StageClient = l1.owner) =>
  from.writeContract({ ...config(), functionName: 'cancel', args: [parameter] })
const execute = (parameter: number, from: StageClient = l1.user) =>
  from.writeContract({ ...config(), functionName: 'execute', args: [parameter] })
const timeSec = async () => (await l1.user.getBlock()).timestamp

/** Deploys a configuration with these changes of the stage's. */
function deployConfig(changes: { owner?: Hex; delaySec?: bigint; evmWindowSec?: bigint; freezeSec?: bigint } = {}): Promise<Hex> {
  const { evmWindowSec = 150n, freezeSec = 100n } = changes
  const args = {
    owner: changes.owner ?? addressOf(l1.owner),
    challengeWindowSec: BigInt(CHALLENGE_WINDOW_SEC),
    delaySec: changes.delaySec ?? BigInt(DELAY),
    values: [evmWindowSec, 1_000n, freezeSec, 5n, 60n],
  } as const
  return l1.owner.deployContract({ abi: systemConfigAbi, bytecode: systemConfigBytecode, args: [args] })
}

test('the values are those of the deployment', async () => {
  const { evmWindowSec, evmExitWeiPerDay, freezeSec, bondWei, depositDueSec } = STAGE_CHECKPOINTS
  const values = [BigInt(evmWindowSec), evmExitWeiPerDay, BigInt(freezeSec), bondWei, BigInt(depositDueSec)]
  expect(await Promise.all(Object.values(L1_PARAMETER).map(nowOf))).toEqual(values)
})

test('what is announced counts once the delay is over and somebody says so, and every value is remembered with its time', async () => {
  const before = await nowOf(L1_PARAMETER.freezeSec)
  const { blockNumber } = await mined(l1.owner, await announce(L1_PARAMETER.freezeSec, 90n))
  const { timestamp } = await l1.user.getBlock({ blockNumber })
  const fromSec = timestamp + BigInt(DELAY)
  const [event] = await l1.user.getContractEvents({ ...config(), eventName: 'ChangeAnnounced', fromBlock: blockNumber })
  expect(event?.args).toEqual({ parameter: L1_PARAMETER.freezeSec, value: 90n, fromSec })
  expect(await l1.user.readContract({ ...config(), functionName: 'announcedOf', args: [L1_PARAMETER.freezeSec] })).toEqual({
    value: 90n,
    fromSec,
  })
  await pass(l1, DELAY - 2)
  expect(await refusal(execute(L1_PARAMETER.freezeSec))).toEqual(['NotYet', fromSec])
  await pass(l1, 2)
  expect(await nowOf(L1_PARAMETER.freezeSec)).toBe(before)
  const made = await mined(l1.user, await execute(L1_PARAMETER.freezeSec))
  expect(await nowOf(L1_PARAMETER.freezeSec)).toBe(90n)
  const madeAt = (await l1.user.getBlock({ blockNumber: made.blockNumber })).timestamp
  const valueAt = (atSec: bigint) => l1.user.readContract({ ...config(), functionName: 'valueAt', args: [L1_PARAMETER.freezeSec, atSec] })
  expect(await Promise.all([0n, madeAt - 1n, madeAt, madeAt + 1n, madeAt + 1_000n].map(valueAt))).toEqual([
    before,
    before,
    before,
    90n,
    90n,
  ])
  expect(await refusal(execute(L1_PARAMETER.freezeSec))).toEqual(['NothingAnnounced'])
})

test('nobody but the owner announces and cancels; what was cancelled, or waited for too long, is not made', async () => {
  expect((await refusal(announce(L1_PARAMETER.bondWei, 5n, l1.user)))?.[0]).toBe('OwnableUnauthorizedAccount')
  const bond = STAGE_CHECKPOINTS.bondWei
  await mined(l1.owner, await announce(L1_PARAMETER.bondWei, bond + 1n))
  expect((await refusal(cancel(L1_PARAMETER.bondWei, l1.user)))?.[0]).toBe('OwnableUnauthorizedAccount')
  await mined(l1.owner, await cancel(L1_PARAMETER.bondWei))
  expect(await refusal(cancel(L1_PARAMETER.bondWei))).toEqual(['NothingAnnounced'])
  await pass(l1, DELAY)
  expect(await refusal(execute(L1_PARAMETER.bondWei))).toEqual(['NothingAnnounced'])
  await mined(l1.owner, await announce(L1_PARAMETER.bondWei, bond + 1n))
  const untilSec = (await timeSec()) + 2n * BigInt(DELAY)
  await pass(l1, 2 * DELAY)
  expect(await refusal(execute(L1_PARAMETER.bondWei))).toEqual(['Lapsed', untilSec])
  expect(await nowOf(L1_PARAMETER.bondWei)).toBe(bond)
})

test('a second announcement takes the place of the first, and waits anew', async () => {
  await mined(l1.owner, await announce(L1_PARAMETER.depositDueSec, 600n))
  await pass(l1, DELAY - 10)
  await mined(l1.owner, await announce(L1_PARAMETER.depositDueSec, 700n))
  await pass(l1, 20)
  expect((await refusal(execute(L1_PARAMETER.depositDueSec)))?.[0]).toBe('NotYet')
  await pass(l1, DELAY)
  await mined(l1.user, await execute(L1_PARAMETER.depositDueSec))
  expect(await nowOf(L1_PARAMETER.depositDueSec)).toBe(700n)
})

test('no value leaves a quarter to four times the first one; the window of the EVM is between the challenge window and what the delay leaves', async () => {
  const { freezeSec } = STAGE_CHECKPOINTS
  const [least, most] = [BigInt(freezeSec) / 4n, BigInt(freezeSec) * 4n]
  for (const value of [least - 1n, most + 1n, 0n])
    expect(await refusal(announce(L1_PARAMETER.freezeSec, value))).toEqual(['OutOfBounds', least, most])
  for (const value of [LEAST_WINDOW - 1n, MOST_WINDOW + 1n])
    expect(await refusal(announce(L1_PARAMETER.evmWindowSec, value))).toEqual(['OutOfBounds', LEAST_WINDOW, MOST_WINDOW])
  // Bounds are measured from the first value, whatever came between.
  for (const value of [least, most]) await mined(l1.owner, await announce(L1_PARAMETER.freezeSec, value))
  await pass(l1, DELAY)
  await mined(l1.user, await execute(L1_PARAMETER.freezeSec))
  expect(await refusal(announce(L1_PARAMETER.freezeSec, most + 1n))).toEqual(['OutOfBounds', least, most])
})

test('without an owner nothing changes any more, not even what was announced', async () => {
  await mined(l1.owner, await announce(L1_PARAMETER.freezeSec, 90n))
  await mined(l1.owner, await l1.owner.writeContract({ ...config(), functionName: 'renounceOwnership' }))
  await pass(l1, DELAY)
  expect(await refusal(execute(L1_PARAMETER.freezeSec))).toEqual(['NobodyOwns'])
  const { contractAddress } = await mined(l1.owner, await deployConfig({ owner: zeroAddress }))
  if (!contractAddress) throw new Error('no contract was made')
  const unowned = { address: contractAddress, abi: systemConfigAbi } as const
  expect(await l1.user.readContract({ ...unowned, functionName: 'owner' })).toBe(zeroAddress)
  const call = { ...unowned, functionName: 'announce', args: [L1_PARAMETER.freezeSec, 90n] } as const
  expect((await refusal(l1.owner.writeContract(call)))?.[0]).toBe('OwnableUnauthorizedAccount')
})

test('it is not deployed with a window or a delay that protects nobody', async () => {
  const none = BigInt(CHALLENGE_WINDOW_SEC)
  expect(await refusal(deployConfig({ evmWindowSec: none }))).toEqual(['OutOfBounds', LEAST_WINDOW, 240n])
  expect(await refusal(deployConfig({ evmWindowSec: none + 1n }))).toBeUndefined()
  expect(await refusal(deployConfig({ delaySec: 150n + none - 1n }))).toEqual(['OutOfBounds', LEAST_WINDOW, 149n])
  expect(await refusal(deployConfig({ delaySec: 150n + none }))).toBeUndefined()
  expect(await refusal(deployConfig({ freezeSec: 0n }))).toEqual(['ZeroValue', L1_PARAMETER.freezeSec])
})
