/** The rebuild from L1 finds what does not fit, and says where: a node that lies, a false checkpoint, a batch that is none, and an L1 without a rollup. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeFunctionData, type Hex, hexToBytes, keccak256, toHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEVNET_POSTER_KEY } from '../../genesis/devnet.ts'
import { type VerifyResult, verifyFromL1 } from '../../node/verify.ts'
import { batchInboxAbi } from '../../settlement/abi.ts'
import { ANY_COUNT, type BatchHeader, encodePostBatch, type Posting } from '../../settlement/inbox.ts'
import { stageClient } from '../fakes/l1Stage.ts'
import { jsonLines, runCommand } from './devnet.ts'
import { type L2Client, l2Client, type Stage, startL1, startStage, until } from './stage.ts'

type Members = Readonly<Record<string, unknown>>

/** Longest that the command may take. */
const VERIFY_MAX_MS = 120_000
/** The block that is lied about; it has transactions of both lanes. */
let lied: bigint
let stage: Stage
let l2: L2Client
const proxies: Server[] = []

beforeAll(async () => {
  stage = await startStage()
  l2 = l2Client(stage.devnet.ready().rpc, 0)
  const stranger = '0x00000000000000000000000000000000000f0e1d'
  const fees = await l2.estimateFeesPerGas()
  const hashes = await Promise.all([
    l2.transfer({ to: stranger, amount: 5n }),
    l2.sendTransaction({ to: stranger, value: 5n, gas: 21_000n, ...fees }),
    l2.createDatanet({ name: 'poems', licence: 3, nonce: 1n }),
  ])
  const receipts = await Promise.all(hashes.map((hash) => l2.waitForTransactionReceipt({ hash })))
  lied = receipts.map(({ blockNumber }) => blockNumber).reduce((a, b) => (a > b ? a : b))
  await until('the block on L1', async () => ((await l2.getSyncStatus()).heads.safe >= lied ? true : undefined))
})

afterAll(async () => {
  for (const proxy of proxies) {
    proxy.close()
    proxy.closeAllConnections()
  }
  await stage.devnet.close()
  await stage.l1.stop()
})

test('batches in call data are rebuilt, and the command says so for machines', async () => {
  const { l1, rpc } = stage.devnet.ready()
  const { code, stdout } = await runCommand(['verify', '--l1', l1, '--rpc', rpc, '--json'], VERIFY_MAX_MS)
  const lines = jsonLines(stdout)
  expect(code, stdout).toBe(0)
  const result = lines.at(-1) as unknown as { summary: { blocks: string; batches: number } }
  const { blocks, batches } = result.summary
  expect(lines.slice(0, -1)).toEqual(
    Array.from({ length: batches }, (_, i) => ({ progress: { block: expect.any(Number), batch: i + 1, batches } })),
  )
  expect(lines.at(-2)).toMatchObject({ progress: { block: Number(blocks) } })
  const block = await l2.getBlock({ blockNumber: BigInt(blocks) })
  expect(result).toEqual({
    ok: true,
    summary: {
      blocks,
      batches,
      transactions: expect.any(Number),
      payloadBytes: expect.any(Number),
      compared: Number(blocks) + 1,
      checkpoints: expect.any(Number),
      dropped: [],
      droppedCount: 0,
      passedOver: 0,
      head: { number: blocks, hash: block.hash, stateRoot: block.stateRoot, ledgerRoot: expect.stringMatching(/^0x[0-9a-f]{64}$/) },
    },
  })
  expect(BigInt(blocks)).toBeGreaterThanOrEqual(lied)
})

test('a node that shows one field of one block otherwise: exit code 3, with the block and the field', async () => {
  const rpc = await lyingNode((block) => ({ ...block, stateRoot: keccak256('0x01') }))
  const { code, stdout } = await runCommand(['verify', '--l1', stage.devnet.ready().l1, '--rpc', rpc, '--json'], VERIFY_MAX_MS)
  expect(code).toBe(3)
  const { stateRoot } = await l2.getBlock({ blockNumber: lied })
  expect(jsonLines(stdout).at(-1)).toMatchObject({
    ok: false,
    difference: { where: 'node', code: 'blockMismatch', block: String(lied), field: 'stateRoot', got: keccak256('0x01'), want: stateRoot },
  })
})

test.each([
  ['gasLimit', (block: Members) => ({ ...block, gasLimit: '0x1' }), {}],
  ['mixHash', (block: Members) => ({ ...block, mixHash: keccak256('0x02') }), {}],
  ['hash', (block: Members) => ({ ...block, hash: keccak256('0x03') }), {}],
  [
    'transactions',
    (block: Members) => ({ ...block, transactions: (block.transactions as Hex[]).slice(0, -1) }),
    { txIndex: expect.any(Number) },
  ],
])('and so for its %s', async (field, change, facts) => {
  const { difference } = await failure(await lyingNode(change))
  expect(difference).toMatchObject({ where: 'node', code: 'blockMismatch', block: lied, field, ...facts })
})

test('and for a block that it does not have', async () => {
  const { difference } = await failure(await lyingNode(() => null))
  expect(difference).toEqual({ where: 'node', code: 'blockMissing', block: lied })
})

test('an L1 without a rollup, an L1 that is none, and no L1: what is missing is said, by another exit code', async () => {
  const empty = await startL1()
  try {
    const [nothing, nobody, unnamed] = await Promise.all([
      runCommand(['verify', '--l1', empty.url, '--json'], VERIFY_MAX_MS),
      runCommand(['verify', '--l1', 'http://127.0.0.1:1', '--json'], VERIFY_MAX_MS),
      runCommand(['verify', '--json'], VERIFY_MAX_MS),
    ])
    expect(nothing).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('no genesis file is published on this L1') })
    expect(nobody).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('L1 does not answer') })
    expect(unnamed).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('--l1 URL is required') })
  } finally {
    await empty.stop()
  }
})

// From here on the node is gone, and somebody has the keys of its poster and its submitter.

test('a batch with a byte changed is dropped, with the reason, and the one that follows the same batch and is whole is taken', async () => {
  const { header, payload, posting } = await nextBatch()
  await stage.devnet.kill()
  await stage.l1.client.request({ method: 'anvil_dropAllTransactions' } as never)
  const { blocks } = (await verifyFromL1(verifyOptions())).summary
  const cases = [
    ['version', 0, 'unknownVersion'],
    ['batches before it', 8, 'headMismatch'],
    ['number of the first block', 16, 'laneMismatch'],
    ['ledger root before it', 27, 'rootBeforeMismatch'],
    ['signature of the validators', 70, 'badCommit'],
    ['the last byte', payload.length - 1, expect.any(String)],
    ['a ledger root, after execution', lastRootAt(payload), 'groupMismatch'],
  ] as const
  const codes: unknown[] = []
  for (const [name, at, code] of cases) {
    codes.push(code)
    await post(header, { ...posting, count: ANY_COUNT, payload: payload.map((byte, i) => (i === at ? byte ^ 1 : byte)) })
    const { ok, summary } = await verifyFromL1(verifyOptions())
    expect({ ok, blocks: summary.blocks, codes: summary.dropped.map((one) => one.code) }, name).toEqual({ ok: true, blocks, codes })
  }
  // Behind all of them the batch still follows the one before, and is taken.
  await post(header, { ...posting, count: ANY_COUNT, payload })
  expect(await verifyFromL1(verifyOptions())).toMatchObject({
    ok: true,
    summary: { blocks: header.lastBlock, droppedCount: cases.length, passedOver: 0 },
  })
  // Once more it is passed over.
  const id = await stage.l1.client.snapshot()
  await post(header, { ...posting, count: ANY_COUNT, payload })
  expect(await verifyFromL1(verifyOptions())).toMatchObject({ ok: true, summary: { blocks: header.lastBlock, passedOver: 1 } })
  await stage.l1.client.revert({ id })
})

/** An RPC server that shows block `lied` as `change` says, and everything else as the node does. */
async function lyingNode(change: (block: Members) => Members | null): Promise<string> {
  const { rpc } = stage.devnet.ready()
  const answer = (one: Members) => {
    const result = one.result as Members | null
    return result?.number === toHex(lied) ? { ...one, result: change(result) } : one
  }
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const upstream = await fetch(rpc, { method: 'POST', headers: { 'content-type': 'application/json' }, body: Buffer.concat(chunks) })
    const answers = (await upstream.json()) as Members | Members[]
    const changed = Array.isArray(answers) ? answers.map(answer) : answer(answers)
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(changed))
  })
  proxies.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function verifyOptions(rpcUrl?: string) {
  return { l1Url: stage.l1.url, beaconUrls: [stage.l1.url], inbox: undefined, rpcUrl, onProgress: () => {} }
}

async function failure(rpcUrl: string): Promise<Extract<VerifyResult, { ok: false }>> {
  const result = await verifyFromL1(verifyOptions(rpcUrl))
  if (result.ok) throw new Error('nothing was found')
  return result
}

/** The batch that the node has sent and L1 has not included; L1 has blocks only when asked, from now on. */
async function nextBatch(): Promise<{ readonly header: BatchHeader; readonly payload: Uint8Array; readonly posting: Posting }> {
  await stage.l1.mineEvery(0)
  const { inbox } = stage.devnet.ready().contracts
  return until('a batch in the pool of L1', async () => {
    const content = await stage.l1.client.getTxpoolContent()
    const pending = Object.values(content.pending).flatMap((byNonce) => Object.values(byNonce))
    const batch = pending.find(({ to }) => to?.toLowerCase() === inbox)
    // What else waits there, a checkpoint, comes first.
    if (!batch) await stage.l1.mine(1)
    const call = batch && decodeFunctionData({ abi: batchInboxAbi, data: batch.input })
    if (call?.functionName !== 'postBatch') return undefined
    const [header, payload, certificate, next, count] = call.args
    return { header, payload: hexToBytes(payload), posting: { certificate, next, count } }
  })
}

/** Where the last byte of the last group's ledger root stands in a payload. */
function lastRootAt(payload: Uint8Array): number {
  const view = new DataView(payload.buffer, payload.byteOffset)
  const [laneBytes, groups] = [view.getUint32(18) & 0xffffff, view.getUint16(22)]
  expect(groups).toBeGreaterThan(0)
  return 186 + laneBytes + groups * 38 - 1
}

async function post(header: BatchHeader, posting: Posting): Promise<void> {
  const poster = stageClient(stage.l1.url, privateKeyToAccount(DEVNET_POSTER_KEY))
  const { inbox } = stage.devnet.ready().contracts
  await mined(await poster.sendTransaction({ to: inbox, data: encodePostBatch(header, posting) }))
}

async function mined(hash: Hex): Promise<void> {
  await stage.l1.mine(1)
  expect((await stage.l1.client.getTransactionReceipt({ hash })).status).toBe('success')
}
