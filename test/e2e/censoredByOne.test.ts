/**
 * One validator of four censors: its L1 has no queue. What a user forces by L1 is executed within a few L1 blocks all the same, since the others vote for no
 * block that moves the origin without it; the chain goes on, and who censored has the same blocks. Spec: docs/spec/block.md#l1-origin-and-deposits
 */
import { type Hex, parseEther } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { assert } from '../../execution/assert.ts'
import { tributaryL1Actions } from '../../rpc/l1Actions.ts'
import { type ProxyAnswer, type RpcProxy, type RpcRequest, startRpcProxy } from '../fakes/rpcProxy.ts'
import { startAgain } from './devnet.ts'
import { l2Client, lower, type Stage, startStage, until } from './stage.ts'

const WAIT_MAX_MS = 180_000
const TO: Hex = '0x00000000000000000000000000000000000ce003'

let stage: Stage
let gate: RpcProxy
let censor: Awaited<ReturnType<typeof startAgain>>
/** Logs that were kept from the censor. */
let hiddenCount = 0

beforeAll(async () => {
  stage = await startStage(['--validators', '4'])
  gate = await startRpcProxy(stage.l1.url, { onRpc: hide })
  const [member] = stage.devnet.ready().validators
  assert(member, 'there are three others')
  process.kill(member.pid, 'SIGKILL')
  const args = member.args.map((word, i) => (member.args[i - 1] === '--l1' ? gate.url : word))
  censor = await startAgain(args)
}, 300_000)

afterAll(async () => {
  await censor?.stop()
  await gate?.stop()
  await stage?.close()
})

async function hide(request: RpcRequest): Promise<ProxyAnswer | undefined> {
  if (request.method !== 'eth_getLogs') return undefined
  const body = JSON.stringify({ jsonrpc: '2.0', ...request })
  const response = await fetch(stage.l1.url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const answer = (await response.json()) as { readonly result?: readonly { readonly address: string }[] }
  const shown = answer.result?.filter(({ address }) => lower(address) !== lower(stage.devnet.ready().contracts.portal))
  hiddenCount += (answer.result?.length ?? 0) - (shown?.length ?? 0)
  return { status: 200, body: { ...answer, ...(shown && { result: shown }) } }
}

test('what is forced by L1 is executed though a validator hides it, and blocks go on with its vote or without', async () => {
  const { rpc } = stage.devnet.ready()
  const l2 = l2Client(rpc, 0)
  const user = stage.l1.client.extend(tributaryL1Actions({ contracts: await l2.getL1Contracts() }))
  const { hash, hashes } = await user.depositToEvm({ to: TO, amount: parseEther('3') })
  const forced = await user.forceTransaction({ to: TO, value: 1n })
  const [deposit, call] = [hashes[0], forced.hashes[0]]
  assert(deposit && call, 'both are queued')
  for (const one of [deposit, call]) {
    const receipt = await until('it on the rollup', () => l2.getTransactionReceipt({ hash: one }).catch(() => undefined), WAIT_MAX_MS)
    expect(receipt.status).toBe('success')
  }
  expect(await l2.getBalance({ address: TO })).toBe(parseEther('3') + 1n)
  const { blockNumber } = await l2.getTransactionReceipt({ hash: deposit })
  const queuedAt = (await stage.l1.client.getTransactionReceipt({ hash })).blockNumber
  expect((await l2.getL1Info({ blockNumber })).number).toBeGreaterThanOrEqual(queuedAt)
  expect((await l2.getL1Info({ blockNumber: blockNumber - 1n })).number).toBeLessThan(queuedAt)

  // Everyone's turn comes, the censor's too.
  const height = blockNumber + 8n
  await until('further blocks', async () => ((await l2.getBlockNumber()) >= height ? true : undefined), WAIT_MAX_MS)
  const theirs = l2Client(censor.ready.rpc, 0)
  await until('them at the censor', async () => ((await theirs.getBlockNumber()) >= height ? true : undefined), WAIT_MAX_MS)
  expect((await theirs.getBlock({ blockNumber: height })).hash).toBe((await l2.getBlock({ blockNumber: height })).hash)
  await until('the queue kept from it', () => (hiddenCount > 0 ? true : undefined), WAIT_MAX_MS)
})
