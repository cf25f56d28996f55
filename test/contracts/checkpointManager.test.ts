import { type Hex, zeroHash } from 'viem'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { batchInboxAbi, checkpointManagerAbi, openTokenAbi, portalAbi } from '../../settlement/abi.ts'
import { type Checkpoint, checkpointHash } from '../../settlement/checkpoint.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { addressOf, CHALLENGE_WINDOW_SEC, deployStage, type L1Stage, mined, refusal } from '../fakes/l1Stage.ts'

let anvil: Anvil
let l1: L1Stage
beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())
beforeEach(async () => {
  l1 = await deployStage(anvil)
  await l1.publishGenesis()
  await l1.postBatch('0x01')
  await l1.postBatch('0x02')
  await deposit()
})

const manager = () => ({ address: l1.deployment.checkpointManager, abi: checkpointManagerAbi }) as const
const submit = (checkpoint: Checkpoint) => l1.submitter.writeContract({ ...manager(), functionName: 'submit', args: [checkpoint] })
const isMature = (id: bigint) => l1.user.readContract({ ...manager(), functionName: 'isMature', args: [id] })

async function deposit(): Promise<void> {
  const { openToken, portal } = l1.deployment
  await mined(l1.user, await l1.user.writeContract({ address: openToken, abi: openTokenAbi, functionName: 'approve', args: [portal, 1n] }))
  const args = [l1.user.account.address, 1n, false] as const
  await mined(l1.user, await l1.user.writeContract({ address: portal, abi: portalAbi, functionName: 'depositToLedger', args }))
}

/** A checkpoint of a batch as the inbox has it. */
async function checkpointOf(batchIndex: bigint, changes: Partial<Checkpoint> = {}): Promise<Checkpoint> {
  const inbox = { address: l1.deployment.inbox, abi: batchInboxAbi } as const
  const [batchAccumulator, lastBlock] = await l1.user.readContract({ ...inbox, functionName: 'batchAt', args: [batchIndex] })
  const filler = (byte: string): Hex => `0x${byte.repeat(32)}`
  const roots = { blockHash: filler('b1'), evmRoot: filler('b2'), ledgerRoot: filler('b3'), nextValidatorSetHash: filler('b4') }
  return { lastBlock, ...roots, batchIndex, batchAccumulator, depositCursor: 0n, ...changes }
}

test('a checkpoint of a posted batch is kept by its hash and matures when its window ends', async () => {
  const checkpoint = await checkpointOf(0n)
  const { blockNumber } = await mined(l1.submitter, await submit(checkpoint))
  const { timestamp } = await l1.user.getBlock({ blockNumber })
  const [event] = await l1.user.getContractEvents({ ...manager(), eventName: 'CheckpointSubmitted', fromBlock: blockNumber })
  expect(event?.args).toEqual({ id: 0n, lastBlock: 1n, checkpoint })
  expect(await l1.user.readContract({ ...manager(), functionName: 'checkpointAt', args: [0n] })).toEqual([
    checkpointHash(checkpoint),
    timestamp,
  ])
  expect(await isMature(0n)).toBe(false)
  await l1.user.setNextBlockTimestamp({ timestamp: timestamp + BigInt(CHALLENGE_WINDOW_SEC) - 1n })
  await l1.user.mine({ blocks: 1 })
  expect(await isMature(0n)).toBe(false)
  await l1.user.setNextBlockTimestamp({ timestamp: timestamp + BigInt(CHALLENGE_WINDOW_SEC) })
  await l1.user.mine({ blocks: 1 })
  expect(await isMature(0n)).toBe(true)
})

test('only a submitter submits', async () => {
  const role = await l1.user.readContract({ ...manager(), functionName: 'SUBMITTER_ROLE' })
  const call = { ...manager(), functionName: 'submit', args: [await checkpointOf(0n)] } as const
  expect(await refusal(l1.user.writeContract(call))).toEqual(['AccessControlUnauthorizedAccount', addressOf(l1.user), role])
})

test('a checkpoint is bound to the batch that it names', async () => {
  const { batchAccumulator } = await checkpointOf(0n)
  expect(await refusal(submit(await checkpointOf(0n, { batchAccumulator: zeroHash })))).toEqual(['BatchMismatch', 0n, batchAccumulator, 1n])
  expect(await refusal(submit(await checkpointOf(0n, { lastBlock: 2n })))).toEqual(['BatchMismatch', 0n, batchAccumulator, 1n])
  expect(await refusal(submit(await checkpointOf(0n, { batchIndex: 2n })))).toEqual(['BatchNotPosted', 2n])
})

test('checkpoints go forward, and so do their deposit cursors, up to what is queued', async () => {
  expect(await refusal(submit(await checkpointOf(0n, { depositCursor: 2n })))).toEqual(['DepositsNotQueued', 1n])
  await mined(l1.submitter, await submit(await checkpointOf(0n, { depositCursor: 1n })))
  expect(await refusal(submit(await checkpointOf(0n, { depositCursor: 1n })))).toEqual(['NotLater', 1n])
  expect(await refusal(submit(await checkpointOf(1n)))).toEqual(['DepositsTakenBack', 1n])
  await mined(l1.submitter, await submit(await checkpointOf(1n, { depositCursor: 1n })))
  expect(await l1.user.readContract({ ...manager(), functionName: 'checkpointCount' })).toBe(2n)
  expect(await l1.user.readContract({ ...manager(), functionName: 'lastBlock' })).toBe(2n)
  expect(await l1.user.readContract({ ...manager(), functionName: 'depositCursor' })).toBe(1n)
})

test('a checkpoint that nobody submitted is neither mature nor immature', async () => {
  expect(await refusal(isMature(0n))).toEqual(['UnknownCheckpoint', 0n])
})
