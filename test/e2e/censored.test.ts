/**
 * Validators that censor, all of them: what is queued on L1 they do not execute. They get no further checkpoint once it is due, what they post meanwhile nobody
 * derives, and when the rollup is closed for it, who was censored takes back from L1 what was queued. The censor is a node that believes its L1: a gate before
 * that hides the queue from it. Spec: docs/spec/settlement.md#deposits
 */
import { type Hex, parseEther } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyFromL1 } from '../../node/verify.ts'
import { tributaryL1Actions } from '../../rpc/l1Actions.ts'
import { bridgeAbi, checkpointManagerAbi, openTokenAbi, portalAbi } from '../../settlement/abi.ts'
import { depositBranch, depositLeaf, depositLog } from '../../settlement/depositTree.ts'
import { type L1Log, parseDeposits } from '../../settlement/l1Logs.ts'
import { mined, refusal } from '../fakes/l1Stage.ts'
import { type ProxyAnswer, type RpcProxy, type RpcRequest, startRpcProxy } from '../fakes/rpcProxy.ts'
import { type Devnet, startDevnet } from './devnet.ts'
import { type L2Client, l2Client, lower, type RuledL1, startL1, until } from './stage.ts'

const WAIT_MAX_MS = 180_000
const DEPOSIT_WEI = parseEther('3')
const FORCED_TO: Hex = '0x00000000000000000000000000000000000ce001'
const PAYEE: Hex = '0x00000000000000000000000000000000000ce002'

let l1: RuledL1
let gate: RpcProxy
let devnet: Devnet
let l2: L2Client
/** The address whose logs are hidden; undefined: none are. */
let hidden: Hex | undefined

beforeAll(async () => {
  l1 = await startL1()
  gate = await startRpcProxy(l1.url, { onRpc: hide })
  devnet = await startDevnet(['--l1', gate.url, '--da', 'calldata', '--batch-sec', '1'])
  l2 = l2Client(devnet.ready().rpc, 0)
  await l1.mineEvery(1)
})

afterAll(async () => {
  await devnet?.close()
  await gate?.stop()
  await l1?.stop()
})

/** Answers what logs there are but those that are hidden. */
async function hide(request: RpcRequest): Promise<ProxyAnswer | undefined> {
  if (hidden === undefined || request.method !== 'eth_getLogs') return undefined
  const body = JSON.stringify({ jsonrpc: '2.0', ...request })
  const response = await fetch(l1.url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const answer = (await response.json()) as { readonly result?: readonly { readonly address: string }[] }
  return {
    status: 200,
    body: { ...answer, ...(answer.result && { result: answer.result.filter(({ address }) => lower(address) !== hidden) }) },
  }
}

const contracts = () => devnet.ready().contracts
const manager = () => ({ address: contracts().checkpointManager, abi: checkpointManagerAbi }) as const
const countOf = (name: 'checkpointCount' | 'matureCount') => l1.client.readContract({ ...manager(), functionName: name })

/** L1's clock goes on by so much. */
async function pass(seconds: bigint): Promise<void> {
  await l1.client.request({ method: 'evm_increaseTime', params: [Number(seconds)] } as never)
  await l1.mine(1)
}

let forcedAt: bigint

test('what is queued on L1 is not executed by validators that hide it from themselves, and nothing that they post from there on is derived', async () => {
  await until('a checkpoint', async () => ((await countOf('checkpointCount')) > 0n ? true : undefined), WAIT_MAX_MS)
  hidden = lower(contracts().portal)
  const user = l1.client.extend(tributaryL1Actions({ contracts: await l2.getL1Contracts() }))
  const deposited = await user.depositToEvm({ to: FORCED_TO, amount: DEPOSIT_WEI })
  const forced = await user.forceTransaction({ to: FORCED_TO, value: 1n })
  forcedAt = (await l1.client.getTransactionReceipt({ hash: forced.hash })).blockNumber
  await until('an origin behind it', async () => ((await l2.getL1Info()).number > forcedAt ? true : undefined), WAIT_MAX_MS)
  const censored = await l2.getBlockNumber()
  expect((await l2.getL1Info()).depositCursor).toBe(0n)
  for (const hash of [...deposited.hashes, ...forced.hashes])
    expect(await l2.getTransactionReceipt({ hash }).catch(() => undefined)).toBeUndefined()
  await until('it in a batch', async () => ((await l2.getSyncStatus()).heads.safe >= censored ? true : undefined), WAIT_MAX_MS)
  const result = await verifyFromL1({ l1Url: l1.url, beaconUrls: [], inbox: undefined, rpcUrl: undefined, onProgress() {} })
  expect(result.summary.droppedCount).toBeGreaterThan(0)
  expect(result.summary.head.number).toBeLessThan(censored)
})

test('once it is due, L1 takes no further checkpoint of theirs, whatever they certify', async () => {
  await pass(60n + 1n)
  await until('the refusal', () => (devnet.output().stderr.includes('DepositDue') ? true : undefined), WAIT_MAX_MS)
  const count = await countOf('checkpointCount')
  const { safe } = (await l2.getSyncStatus()).heads
  await until('more batches', async () => ((await l2.getSyncStatus()).heads.safe > safe + 4n ? true : undefined), WAIT_MAX_MS)
  expect(await countOf('checkpointCount')).toBe(count)
})

test('without checkpoints the rollup is closed, and who was censored takes back from L1 what it had queued', async () => {
  const [window, exitTimeout] = await Promise.all([
    l1.client.readContract({ ...manager(), functionName: 'CHALLENGE_WINDOW_SEC' }),
    l1.client.readContract({ ...manager(), functionName: 'EXIT_TIMEOUT_SEC' }),
  ])
  const bridge = { address: contracts().bridge, abi: bridgeAbi } as const
  const portal = { address: contracts().portal, abi: portalAbi } as const
  const queued = parseDeposits((await l1.client.getLogs({ address: portal.address, fromBlock: 0n })) as L1Log[])
  const leaves = queued.map(depositLeaf)
  const refund = (index: number) => {
    const { l1Block, deposit } = queued[index] ?? {}
    if (!l1Block || !deposit) throw new Error('there is such a deposit')
    const { to, opaqueData } = depositLog(deposit)
    const args = [BigInt(index), l1Block.number, to, opaqueData, depositBranch(leaves, index), PAYEE] as never
    return { ...bridge, functionName: 'refundDeposit', args } as const
  }
  expect((await refusal(l1.client.simulateContract(refund(0))))?.[0]).toBe('NotClosed')
  await pass(window + exitTimeout)
  await mined(l1.client, await l1.client.writeContract({ ...manager(), functionName: 'close' }))
  await mined(l1.client, await l1.client.writeContract(refund(0)))
  const args = [PAYEE] as const
  expect(await l1.client.readContract({ address: contracts().openToken, abi: openTokenAbi, functionName: 'balanceOf', args })).toBe(
    DEPOSIT_WEI,
  )
  expect((await refusal(l1.client.simulateContract(refund(0))))?.[0]).toBe('AlreadyPaid')
  // The forced call brought nothing along.
  expect((await refusal(l1.client.simulateContract(refund(1))))?.[0]).toBe('NothingToPay')
})
