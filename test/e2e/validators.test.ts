/**
 * Four validators as four processes on the loopback, under load: any one may be killed or halted, two of four stand still and go on, links may be slow and
 * break. No block that was final is lost, who was away catches up, and all have the same blocks, and so the same state.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startTcpProxy } from '../fakes/tcpProxy.ts'
import { freePort, type Ready, startAgain } from './devnet.ts'
import { ask, heightOf, type Load, type Stage, startLoad, startStage, until } from './stage.ts'

/** Longest that anything may take on a machine that is busy with all of this. */
const WAIT_MAX_MS = 120_000
/** A network that could make blocks would have made several meanwhile: the longest interval between two is a second. */
const STANDSTILL_MS = 3_000

type Member = Ready['validators'][number]

let stage: Stage
let load: Load | undefined
/** Where each validator answers now, the devnet's own first. */
let rpcs: string[]
const restarted: { stop(): Promise<number | null> }[] = []

beforeAll(async () => {
  stage = await startStage(['--validators', '--metrics-port', '0'])
  const { rpc, validators } = stage.devnet.ready()
  expect(validators).toHaveLength(3)
  rpcs = [rpc, ...validators.map((one) => one.rpc)]
})

afterEach(async () => {
  await load?.stop()
  load = undefined
})

afterAll(async () => {
  for (const one of restarted) await one.stop()
  await stage?.close()
})

const member = (index: number): Member => {
  const one = stage.devnet.ready().validators[index - 1]
  if (!one) throw new Error(`there is no validator ${index}`)
  return one
}
const rpcOf = (index: number): string => rpcs[index] ?? ''

/** The nice value of a thread. */
function niceOf(pid: number, thread: number): number {
  const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
}

test.runIf(process.platform === 'linux')('consensus and the network go before execution, and that before JSON-RPC and signatures', () => {
  const { pid } = member(1)
  const [network = 0] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
  expect(niceOf(pid, pid)).toBe(5)
  expect(niceOf(network, network)).toBe(0)
  const threads = readdirSync(`/proc/${pid}/task`).map(Number)
  const workers = threads.filter((thread) => readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').startsWith('Worker'))
  const nice = workers.map((thread) => niceOf(pid, thread)).sort((a, b) => a - b)
  expect(nice.slice(0, 1)).toEqual([0]) // that of consensus
  expect(nice.length).toBeGreaterThanOrEqual(2)
  expect(nice.slice(1)).toEqual(Array(nice.length - 1).fill(10))
})

test('its numbers say how late each of its threads and its network are, and that it speaks with the others', async () => {
  const { metrics = '' } = stage.devnet.ready()
  const text = await until(
    'a window of delays',
    async () => {
      const page = await (await fetch(metrics)).text()
      return ['main', 'rpc', 'consensus', 'p2p'].every((thread) => page.includes(`{thread="${thread}",figure="p99"}`)) ? page : undefined
    },
    WAIT_MAX_MS,
  )
  expect(text).toMatch(/^tributary_p2p_direct_validators 3$/m)
  expect(text).toMatch(/^tributary_p2p_direct_messages_in_total [1-9]/m)
})

test('killed at any moment, one is not missed, and comes back to the same blocks', async () => {
  load = startLoad(rpcOf(0), 1)
  await reach(0, (await heightOf(rpcOf(0))) + 5)
  process.kill(member(2).pid, 'SIGKILL')
  await reach(0, (await heightOf(rpcOf(0))) + 8)
  const again = await startAgain(member(2).args)
  restarted.push(again)
  rpcs[2] = again.ready.rpc
  const goal = await heightOf(rpcOf(0))
  await reach(2, goal)
  await reach(2, goal + 5)
  await sameBlocks(goal + 5)
})

test('halted for longer than rounds last, one finds its place again, and no transaction is lost', async () => {
  load = startLoad(rpcOf(1), 2)
  await reach(0, (await heightOf(rpcOf(0))) + 3)
  process.kill(member(3).pid, 'SIGSTOP')
  await reach(0, (await heightOf(rpcOf(0))) + 8)
  process.kill(member(3).pid, 'SIGCONT')
  const goal = await heightOf(rpcOf(0))
  await reach(3, goal + 5)
  const sent = await load.stop()
  const to = Math.max(...(await Promise.all(rpcs.map(heightOf))))
  await sameBlocks(to)
  for (const rpc of rpcs) {
    for (const hash of sent) {
      const { result } = await ask(rpc, 'eth_getTransactionReceipt', [hash])
      expect(result).toMatchObject({ status: '0x1' })
    }
  }
})

test('two of four decide nothing, and go on when the others are back', async () => {
  const held = [member(1).pid, member(3).pid]
  for (const pid of held) process.kill(pid, 'SIGSTOP')
  // What was under way may still be decided.
  const first = await heightOf(rpcOf(0))
  await new Promise((resolve) => setTimeout(resolve, STANDSTILL_MS))
  const stood = await heightOf(rpcOf(0))
  expect(stood - first).toBeLessThanOrEqual(2)
  await new Promise((resolve) => setTimeout(resolve, STANDSTILL_MS))
  expect(await heightOf(rpcOf(0))).toBe(stood)
  for (const pid of held) process.kill(pid, 'SIGCONT')
  for (const index of [0, 1, 2, 3]) await reach(index, stood + 5)
  await sameBlocks(stood + 5)
})

test('over links that are slow and break they still agree, and are fast again when the links are', async () => {
  // It calls the others through links of its own, and nobody can call it: its port is another one than they know.
  const { args, pid } = member(1)
  const links = await Promise.all(
    [stage.devnet.ready().p2p, member(2).p2p, member(3).p2p].map(async (address, i) => {
      const [, port = ''] = /\/tcp\/(\d+)\//.exec(address) ?? []
      const from = await freePort()
      const proxy = await startTcpProxy({ from, to: Number(port), seed: 7 + i, delayMs: [5, 60], cutOneIn: 300 })
      return { proxy, address: address.replace(port, String(from)) }
    }),
  )
  try {
    process.kill(pid, 'SIGKILL')
    const other: Record<string, string> = { '--p2p-port': '0', '--bootstrap': links.map(({ address }) => address).join(',') }
    const again = await startAgain(args.map((arg, i) => other[args[i - 1] ?? ''] ?? arg))
    restarted.push(again)
    rpcs[1] = again.ready.rpc
    load = startLoad(rpcOf(0), 3)
    const from = await heightOf(rpcOf(0))
    const cuts = () => links.reduce((sum, { proxy }) => sum + proxy.cuts(), 0)
    await until('links that break', () => (cuts() >= 3 ? true : undefined), WAIT_MAX_MS)
    for (const index of [0, 1, 2, 3]) await reach(index, from + 10)
    for (const { proxy } of links) proxy.heal()
    for (const index of [0, 1, 2, 3]) await reach(index, from + 20)
    await sameBlocks(from + 20)
  } finally {
    await load?.stop()
    await restarted.pop()?.stop()
    for (const { proxy } of links) await proxy.close()
  }
})

async function reach(index: number, height: number): Promise<void> {
  await until(
    `height ${height} at validator ${index}`,
    async () => ((await heightOf(rpcOf(index))) >= height ? true : undefined),
    WAIT_MAX_MS,
  )
}

/** All have the same blocks up to this height: their hashes cover what came before, and the state. */
async function sameBlocks(to: number): Promise<void> {
  for (const index of rpcs.keys()) await reach(index, to)
  const blocks = await Promise.all(rpcs.map((rpc) => ask(rpc, 'eth_getBlockByNumber', [`0x${to.toString(16)}`, false])))
  const seen = blocks.map(({ result }) => {
    const { hash, stateRoot } = result as { readonly hash: string; readonly stateRoot: string }
    return `${hash} ${stateRoot}`
  })
  expect(new Set(seen).size).toBe(1)
}
