/** A follower beside a devnet, as processes: started late and under load it catches up, takes transactions, and survives the death of either. */
import { parseEther } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, type NodeReady, type Running, runCommand, startFollower } from './devnet.ts'
import { ask, heightOf, type Load, l2Client, STRANGER, type Stage, startLoad, startStage, until } from './stage.ts'

/** Longest that a follower may take for what it has to do, on a machine that is busy with all of this. */
const WAIT_MAX_MS = 120_000

let stage: Stage
let follower: Running<NodeReady>
let load: Load

const devnetRpc = () => stage.devnet.ready().rpc
const followerRpc = () => follower.ready().rpc

beforeAll(async () => {
  stage = await startStage(['--p2p-port', String(await freePort())])
  load = startLoad(devnetRpc())
  await until('a chain of some length', async () => ((await heightOf(devnetRpc())) >= 12 ? true : undefined), WAIT_MAX_MS)
  follower = await startFollower(stage.devnet.ready())
})

afterAll(async () => {
  await load?.stop()
  await follower?.close()
  await stage?.close()
})

test('a follower that is started late catches up while blocks go on, and has the same ones', async () => {
  const goal = await heightOf(devnetRpc())
  await until('catching up', async () => ((await heightOf(followerRpc())) >= goal ? true : undefined), WAIT_MAX_MS)
  await sameBlocks(0, goal)
  // It keeps up: what is made from now on comes by gossip.
  const later = (await heightOf(devnetRpc())) + 3
  await until('keeping up', async () => ((await heightOf(followerRpc())) >= later ? true : undefined), WAIT_MAX_MS)
  await sameBlocks(goal, later)
  expect((await ask(followerRpc(), 'net_peerCount')).result).toBe('0x1')
  expect((await load.stop()).length).toBeGreaterThan(0)
})

test('a transaction sent to the follower lands in a block of the network', async () => {
  const client = l2Client(followerRpc(), 5)
  const hash = await client.sendTransaction({ to: STRANGER, value: parseEther('3') })
  const receipt = await client.waitForTransactionReceipt({ hash, timeout: WAIT_MAX_MS })
  expect(receipt.status).toBe('success')
  const there = await l2Client(devnetRpc(), 5).getTransactionReceipt({ hash })
  expect(there.blockHash).toBe(receipt.blockHash)
  expect(await client.getBalance({ address: STRANGER })).toBe(parseEther('3'))
})

test('the follower knows by its own eyes what stands on L1', async () => {
  const safe = await until(
    'a safe block',
    async () => {
      const block = (await ask(followerRpc(), 'eth_getBlockByNumber', ['safe', false])).result
      const { number, hash } = block as { readonly number: string; readonly hash: string }
      return Number(number) > 0 ? { number, hash } : undefined
    },
    WAIT_MAX_MS,
  )
  expect(await hashOf(devnetRpc(), Number(safe.number))).toBe(safe.hash)
})

test('a follower that is killed goes on where it stood, under its old name', async () => {
  const nameOf = ({ p2p }: NodeReady) => /\/p2p\/(\w+)$/.exec(p2p)?.[1]
  const name = nameOf(follower.ready())
  const stood = await heightOf(followerRpc())
  await follower.kill()
  await until('blocks without it', async () => ((await heightOf(devnetRpc())) >= stood + 5 ? true : undefined), WAIT_MAX_MS)
  expect(nameOf(await follower.start())).toBe(name)
  const goal = await heightOf(devnetRpc())
  await until('catching up again', async () => ((await heightOf(followerRpc())) >= goal ? true : undefined), WAIT_MAX_MS)
  await sameBlocks(0, goal)
})

test('when the validator is killed and comes back, the follower finds it again', async () => {
  await stage.devnet.kill()
  const stood = await heightOf(followerRpc())
  await stage.devnet.start()
  await until('blocks after it', async () => ((await heightOf(followerRpc())) >= stood + 3 ? true : undefined), WAIT_MAX_MS)
  await sameBlocks(0, stood + 3)
  expect(await follower.stop()).toBe(0)
})

test('a folder without a key and without a peer to follow is a mistake, and so is an address that names no peer', async () => {
  const node = ['node', '--l1', stage.l1.url, '--data-dir', '/nowhere']
  const alone = await runCommand(node, WAIT_MAX_MS)
  expect([alone.code, alone.stderr]).toEqual([2, expect.stringContaining('--bootstrap')])
  const unnamed = await runCommand([...node, '--bootstrap', '/ip4/127.0.0.1/tcp/9600'], WAIT_MAX_MS)
  expect([unnamed.code, unnamed.stderr]).toEqual([2, expect.stringContaining('/p2p/ID')])
})

async function hashOf(rpc: string, number: number): Promise<unknown> {
  const { result } = await ask(rpc, 'eth_getBlockByNumber', [`0x${number.toString(16)}`, false])
  return (result as { hash: string } | null)?.hash
}

async function sameBlocks(from: number, to: number): Promise<void> {
  for (let number = from; number <= to; number++) {
    const hash = await hashOf(devnetRpc(), number)
    expect(hash).toMatch(/^0x[0-9a-f]{64}$/)
    expect(await hashOf(followerRpc(), number)).toBe(hash)
  }
}
