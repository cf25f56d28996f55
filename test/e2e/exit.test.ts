/**
 * Value goes through the rollup and back to L1 by proofs alone, as processes: deposited, used, withdrawn, and paid on L1 once the checkpoint that has it is
 * mature; and after all validators are gone, what is left leaves by the last mature checkpoint. Spec: docs/spec/settlement.md
 */
import { type Hex, hexToBytes, parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { accounts, withdrawals } from '../../execution/ledger/tables.ts'
import { bridgeAbi, checkpointManagerAbi, openTokenAbi, portalAbi } from '../../settlement/abi.ts'
import { mined, refusal, type StageClient, stageClient } from '../fakes/l1Stage.ts'
import { type NodeReady, type Running, startFollower } from './devnet.ts'
import { type L2Client, l2Client, lower, type Stage, startStage, until } from './stage.ts'

/** Longest that a deposit, a batch or a checkpoint may take, on a machine that is busy with five nodes. */
const WAIT_MAX_MS = 120_000
const PAYEE: Hex = '0x000000000000000000000000000000000000e817'
const DEPOSIT_WEI = parseEther('5')
const WITHDRAWN_WEI = parseEther('2')

/** A key that no genesis knows: all that it has came from L1. */
const holder = privateKeyToAccount(generatePrivateKey())

let stage: Stage
let follower: Running<NodeReady>
let l2: L2Client
let onL1: StageClient

beforeAll(async () => {
  stage = await startStage(['--validators', '4'])
  follower = await startFollower(stage.devnet.ready())
  l2 = l2Client(follower.ready().rpc, 0)
  onL1 = stageClient(stage.l1.url, holder)
  await stage.l1.client.setBalance({ address: holder.address, value: parseEther('1') })
}, 240_000)

afterAll(async () => {
  await follower?.close()
  await stage?.devnet.close()
  await stage?.l1.stop()
})

const contracts = () => stage.devnet.ready().contracts
const manager = () => ({ address: contracts().checkpointManager, abi: checkpointManagerAbi }) as const
const bridge = () => ({ address: contracts().bridge, abi: bridgeAbi }) as const
const paid = () =>
  stage.l1.client.readContract({ address: contracts().openToken, abi: openTokenAbi, functionName: 'balanceOf', args: [PAYEE] })

/** The checkpoints on L1, in order. */
async function checkpoints() {
  const events = await stage.l1.client.getContractEvents({ ...manager(), eventName: 'CheckpointSubmitted', fromBlock: 0n })
  return events.map(({ args: { id = 0n, checkpoint } }) => {
    if (!checkpoint) throw new Error('a checkpoint has all its members')
    return { id, checkpoint }
  })
}

/** Waits for a checkpoint of this block or a later one. */
const checkpointOf = (block: bigint) =>
  until(
    `a checkpoint of block ${block}`,
    async () => (await checkpoints()).find(({ checkpoint }) => checkpoint.lastBlock >= block),
    WAIT_MAX_MS,
  )

/** L1's clock goes on by so much. */
async function pass(seconds: number): Promise<void> {
  await stage.l1.client.request({ method: 'evm_increaseTime', params: [seconds] } as never)
  await stage.l1.mine(1)
}

test('what was deposited is used, withdrawn, and paid on L1 when the checkpoint that has it is mature', async () => {
  const { client } = stage.l1
  const { openToken, portal } = contracts()
  const approval = { address: openToken, abi: openTokenAbi, functionName: 'approve', args: [portal, DEPOSIT_WEI] } as const
  await mined(client, await client.writeContract(approval))
  const args = [holder.address, DEPOSIT_WEI, false] as const
  await mined(client, await client.writeContract({ address: portal, abi: portalAbi, functionName: 'depositToLedger', args }))
  const balance = async () => (await l2.getLedgerAccount({ account: lower(holder.address) })).balance
  await until('the deposit on the ledger', async () => ((await balance()) === DEPOSIT_WEI ? true : undefined), WAIT_MAX_MS)

  const hash = await l2.transfer({ account: holder, kind: 'l1', to: PAYEE, amount: WITHDRAWN_WEI })
  const receipt = await l2.waitForTransactionReceipt({ hash, timeout: WAIT_MAX_MS })
  expect(receipt.status).toBe('success')
  const { id, checkpoint } = await checkpointOf(receipt.blockNumber)
  const found = { table: 'withdrawals', id: { withdrawalIndex: 1n }, blockNumber: checkpoint.lastBlock } as const
  const { record, siblings } = await until('the block on the follower', () => l2.getLedgerProof(found).catch(() => undefined), WAIT_MAX_MS)
  const call = {
    ...bridge(),
    functionName: 'finalizeWithdrawal',
    args: [id, checkpoint, 1n, withdrawals.decode(hexToBytes(record ?? '0x')), siblings],
  } as const
  expect((await refusal(client.simulateContract(call)))?.[0]).toBe('NotMature')
  const window = await client.readContract({ ...manager(), functionName: 'CHALLENGE_WINDOW_SEC' })
  await pass(Number(window))
  await mined(client, await client.writeContract(call))
  expect(await paid()).toBe(WITHDRAWN_WEI)
  expect((await refusal(client.simulateContract(call)))?.[0]).toBe('AlreadyPaid')
})

test('when all validators are gone the rollup is closed, and the rest leaves by proof to whom its holder says', async () => {
  const { client } = stage.l1
  const before = (await checkpoints()).length
  await until('a further checkpoint', async () => ((await checkpoints()).length > before ? true : undefined), WAIT_MAX_MS)
  await stage.devnet.kill()
  expect((await refusal(client.simulateContract({ ...manager(), functionName: 'close' })))?.[0]).toBe('NotYet')
  const [window, exitTimeout] = await Promise.all([
    client.readContract({ ...manager(), functionName: 'CHALLENGE_WINDOW_SEC' }),
    client.readContract({ ...manager(), functionName: 'EXIT_TIMEOUT_SEC' }),
  ])
  await pass(Number(window + exitTimeout))
  await mined(client, await client.writeContract({ ...manager(), functionName: 'close' }))

  const last = (await checkpoints()).at(-1)
  if (!last) throw new Error('there are checkpoints')
  const proof = { table: 'accounts', id: { account: lower(holder.address) }, blockNumber: last.checkpoint.lastBlock } as const
  const { record, siblings } = await until('the block on the follower', () => l2.getLedgerProof(proof).catch(() => undefined), WAIT_MAX_MS)
  const account = accounts.decode(hexToBytes(record ?? '0x'))
  expect(account.balance).toBeGreaterThan(0n)
  expect(account.balance).toBeLessThan(DEPOSIT_WEI - WITHDRAWN_WEI)
  const exit = { ...bridge(), functionName: 'exit', args: [last.checkpoint, account, siblings, PAYEE] } as const
  expect((await refusal(client.simulateContract(exit)))?.[0]).toBe('BadProof')
  await mined(onL1, await onL1.writeContract(exit))
  expect(await paid()).toBe(WITHDRAWN_WEI + account.balance)
  expect((await refusal(onL1.simulateContract(exit)))?.[0]).toBe('AlreadyPaid')
})
