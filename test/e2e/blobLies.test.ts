/**
 * A source of blobs that lies: other bytes, another blob, nothing, garbage. What it serves is held against the hashes that L1 has, so another source is asked
 * and nothing of it is ever taken, by a node that follows and by the rebuild alike; without another source both wait, and take up what is right when it comes.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyFromL1 } from '../../node/verify.ts'
import { type ProxyAnswer, type RpcProxy, startRpcProxy } from '../fakes/rpcProxy.ts'
import { type NodeReady, type Running, runCommand, startFollower } from './devnet.ts'
import { type L2Client, l2Client, type Stage, startStage, until } from './stage.ts'

const WAIT_MAX_MS = 180_000
const VERIFY_MAX_MS = 120_000
const BLOBS = '/eth/v1/beacon/blobs/'
const LIES = ['byte', 'other', 'none', 'garbage', 'busy'] as const

let stage: Stage
let liar: RpcProxy
let followers: Running<NodeReady>[] = []
let live: L2Client
let isLying = true
/** Lies told so far, by kind. */
const told = new Map<string, number>()

beforeAll(async () => {
  stage = await startStage(['--da', 'blob'])
  live = l2Client(stage.devnet.ready().rpc, 0)
  liar = await startRpcProxy(stage.l1.url, { onGet: lie })
})

afterAll(async () => {
  for (const follower of followers) await follower.close()
  await liar?.stop()
  await stage?.close()
})

async function lie(path: string): Promise<ProxyAnswer | undefined> {
  if (!isLying || !path.startsWith(BLOBS)) return undefined
  const total = [...told.values()].reduce((sum, count) => sum + count, 0)
  const kind = LIES[total % LIES.length] ?? 'none'
  told.set(kind, (told.get(kind) ?? 0) + 1)
  const right = (await (await fetch(new URL(path, stage.l1.url))).json()) as { readonly data: readonly string[] }
  const [blob = '0x'] = right.data
  switch (kind) {
    case 'byte': {
      // One byte of the payload, in the second element.
      const at = 2 + 2 * 40
      const other = blob.slice(at, at + 2) === '07' ? '08' : '07'
      return { status: 200, body: { data: [blob.slice(0, at) + other + blob.slice(at + 2), ...right.data.slice(1)] } }
    }
    case 'other':
      return { status: 200, body: { data: right.data.map(() => `0x${'00'.repeat((blob.length - 2) / 2)}`) } }
    case 'none':
      return { status: 200, body: { data: [] } }
    case 'garbage':
      return { status: 200, body: { data: ['0x1234', 5, null] } }
    case 'busy':
      return { status: 429, body: {}, headers: { 'retry-after': '1' } }
  }
}

/** A follower whose sources of blobs are these. */
async function follow(...beacons: readonly string[]): Promise<L2Client> {
  const follower = await startFollower(stage.devnet.ready(), ['--beacon', beacons.join(',')])
  followers = [...followers, follower]
  return l2Client(follower.ready().rpc, 0)
}

const safeOf = async (client: L2Client) => (await client.getSyncStatus()).heads.safe

test('with another source each lie is passed over: the safe head and the rebuild are those of the live node', async () => {
  const { l1 } = stage
  const follower = await follow(liar.url, l1.url)
  const aim = (await until('a safe head', async () => ((await safeOf(live)) > 0n ? await safeOf(live) : undefined), WAIT_MAX_MS)) + 4n
  await until('the safe head of who is lied to', async () => ((await safeOf(follower)) >= aim ? true : undefined), WAIT_MAX_MS)
  await until('a lie of each kind', () => (LIES.every((kind) => told.has(kind)) ? true : undefined), WAIT_MAX_MS)
  const { number, hash } = await follower.getBlock({ blockTag: 'safe' })
  expect((await live.getBlock({ blockNumber: number })).hash).toBe(hash)
  const options = { l1Url: l1.url, beaconUrls: [liar.url, l1.url], inbox: undefined, rpcUrl: stage.devnet.ready().rpc }
  const result = await verifyFromL1({ ...options, onProgress() {} })
  expect(result).toMatchObject({ ok: true, summary: { droppedCount: 0 } })
  expect(result.summary.blocks).toBeGreaterThanOrEqual(aim)
})

test('without another source nothing is derived, and nothing is called invalid; when it stops lying all is taken up', async () => {
  const follower = await follow(liar.url)
  const before = [...told.values()].reduce((sum, count) => sum + count, 0)
  const height = (await live.getBlockNumber()) + 2n
  await until('a height that is not safe', async () => ((await follower.getBlockNumber()) >= height ? true : undefined), WAIT_MAX_MS)
  await until(
    'further lies',
    () => ([...told.values()].reduce((sum, count) => sum + count, 0) > before + LIES.length ? true : undefined),
    WAIT_MAX_MS,
  )
  expect(await safeOf(follower)).toBe(0n)
  const { code, stdout, stderr } = await runCommand(['verify', '--l1', stage.l1.url, '--beacon', liar.url, '--json'], VERIFY_MAX_MS)
  expect([code, stdout.includes('"ok":true'), stderr]).toEqual([1, false, expect.stringContaining('no source has the blobs of batch 0')])
  isLying = false
  const now = await safeOf(live)
  await until('the safe head', async () => ((await safeOf(follower)) >= now ? true : undefined), WAIT_MAX_MS)
})
