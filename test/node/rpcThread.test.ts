/** JSON-RPC on a thread of its own: what held on one thread holds on two, and whatever becomes of the thread, it comes back. Spec: docs/spec/rpc.md */
import { createServer } from 'node:net'
import { type Hex, hexToBytes, toHex } from 'viem'
import { expect, onTestFinished, test } from 'vitest'
import { transfer } from '../../execution/native/transfer.ts'
import type { ChainState } from '../../node/chainState.ts'
import { createLog } from '../../node/log.ts'
import { createRpcThread, type RpcThread, RpcThreadError, type RpcThreadPorts } from '../../node/rpcThread.ts'
import type { Desk } from '../../rpc/desk.ts'
import type { RpcLimits } from '../../rpc/limits.ts'
import type { Subscriber } from '../../rpc/subscriptions.ts'
import { openDiskChain } from '../fakes/diskChain.ts'
import { addressOf, signNative, testAccounts, testGenesis } from '../fakes/testChain.ts'
import { openSocket } from '../rpc/serve.ts'

const genesis = testGenesis()
const { chainId } = genesis.params

type Started = {
  readonly thread: RpcThread
  readonly url: string
  readonly wsUrl: string
  readonly chain: ChainState
  /** What the log was told at warn and above. */
  readonly warned: string[]
}

type StartOptions = {
  readonly desk?: Partial<Desk>
  readonly ports?: Partial<RpcThreadPorts>
  readonly limits?: Partial<RpcLimits>
  readonly port?: number
  readonly recoverThreads?: number
  readonly untakenMax?: number
  readonly unpushedMax?: number
}

/** A thread before a chain on disk. Its desk answers every body with the body itself, and `tributary_waiting` with how many wait in the pool. */
async function start({ desk, ports, limits, port = 0, recoverThreads = 0, ...bounds }: StartOptions = {}): Promise<Started> {
  const { chain } = await openDiskChain(genesis)
  const warned: string[] = []
  const log = createLog({ level: 'warn', json: true, write: (line) => warned.push((JSON.parse(line) as { event: string }).event) })
  const thread = createRpcThread({ chainId, recoverThreads, log, ...bounds })
  onTestFinished(() => thread.close())
  const whole: Desk = {
    answer: async ({ text }) => {
      const body = JSON.parse(text) as { id: number; method: string }[]
      return JSON.stringify(
        [body].flat().map(({ id, method }) => ({ id, result: method === 'tributary_waiting' ? chain.pool.size() : method })),
      )
    },
    start() {},
    drop() {},
    isReady: async () => true,
    ...desk,
  }
  const joined = { desk: whole, pool: chain.intakePool('client'), wake() {}, onDelay() {}, ...ports }
  const urls = await thread.listen(joined, { host: '127.0.0.1', port, limits })
  return { thread, chain, warned, ...urls }
}

const send = (raw: Uint8Array | Hex, id: number) => ({
  jsonrpc: '2.0',
  id,
  method: 'eth_sendRawTransaction',
  params: [typeof raw === 'string' ? raw : toHex(raw)],
})
const other = (method: string, id: number) => ({ jsonrpc: '2.0', id, method, params: [] })

type Answer = {
  readonly id: number
  readonly result?: unknown
  readonly error?: { readonly code: number; readonly data?: { readonly code: string } }
}

async function post(url: string, body: unknown): Promise<{ status: number; answers: Answer[] }> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
  return { status: response.status, answers: [await response.json()].flat() as Answer[] }
}

/** A transfer within the ledger; `account` sends it. */
function signTransfer(account: number, nonce: bigint): Promise<Uint8Array> {
  const sender = testAccounts[account]
  if (!sender) throw new Error('there is no such account')
  return signNative(sender, { type: transfer, fields: { kind: 0, to: `0x${'ee'.repeat(20)}`, amount: 1n }, nonce, chainId })
}

async function signEthereum(account: number, nonce: number): Promise<Hex> {
  const fees = { gas: 21_000n, maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }
  const sender = testAccounts[account]
  if (!sender) throw new Error('there is no such account')
  return sender.signTransaction({ ...fees, chainId, nonce, to: addressOf(sender), value: 1n })
}

/** Asks until somebody answers: a thread that died comes back on its port. */
async function askUntilAnswered(url: string): Promise<void> {
  for (;;) {
    const answered = await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false, // nobody listens yet
    )
    if (answered) return
  }
}

test.each([0, 1])(
  '%i further threads: one sender’s transactions come into the pool in their order, from one body and from several connections',
  async (recoverThreads) => {
    const { url, chain } = await start({ recoverThreads })
    const raws = await Promise.all(Array.from({ length: 60 }, (_, i) => signTransfer(i % 4, BigInt(Math.floor(i / 4)))))
    const order: string[] = []
    chain.onPending((tx) => order.push(tx.hash))
    // Two bodies of two senders each, at once; within a body every nonce stands behind the one before it.
    const bodies = [0, 2].map((first) => raws.flatMap((raw, i) => ([first, first + 1].includes(i % 4) ? [send(raw, i)] : [])))
    const answered = await Promise.all(bodies.map((body) => post(url, body)))
    expect(answered.map(({ answers }) => answers.map(({ id }) => id))).toEqual(bodies.map((body) => body.map(({ id }) => id)))
    const hashes = answered.map(({ answers }) => answers.map(({ result }) => result))
    for (const own of hashes) expect(order.filter((hash) => own.includes(hash))).toEqual(own)
    expect(chain.pool.status()).toMatchObject({ pending: 60, queued: 0 })
  },
)

test('in a body of everything each call sees what came before it, and answers stand in its order', async () => {
  const { url } = await start()
  const body = [
    other('tributary_waiting', 1),
    send(await signTransfer(0, 0n), 2),
    send(await signEthereum(1, 0), 3),
    other('tributary_waiting', 4),
    other('tributary_other', 5),
    send('0x52', 6),
    send(await signTransfer(0, 1n), 7),
    other('tributary_waiting', 8),
  ]
  const { answers } = await post(url, body)
  expect(answers.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  expect(answers.map(({ result }) => result)).toEqual([
    0,
    expect.any(String),
    expect.any(String),
    2,
    'tributary_other',
    undefined,
    expect.any(String),
    3,
  ])
  expect(answers[5]?.error).toMatchObject({ code: -32000, data: { code: 'malformedTransaction' } })
  const again = await post(url, [body[1], body[2]])
  expect(again.answers.map(({ error }) => error?.data?.code)).toEqual(['alreadyKnown', 'alreadyKnown'])
})

test('a transaction that came over the thread is what the main thread reads from its bytes', async () => {
  const { url, chain } = await start()
  const raws = [toHex(await signTransfer(0, 0n)), await signEthereum(1, 0)]
  await post(url, raws.map(send))
  const { chain: reader } = await openDiskChain(genesis)
  for (const raw of raws) await reader.submit(hexToBytes(raw))
  const seen = (of: ChainState) =>
    of.pool.all().map((tx) => {
      const { raw, hash, sender, type, kind } = tx
      const own =
        tx.kind === 'native'
          ? { native: tx.native, gas: tx.gas }
          : { publicKey: Buffer.from(tx.tx.getSenderPublicKey()), json: tx.tx.toJSON() }
      return { raw: Buffer.from(raw), hash, sender, type, kind, ...own }
    })
  expect(seen(chain)).toEqual(seen(reader))
})

test('a thread that is killed under load comes back on its port, and what is sent anew is taken once', async () => {
  const { thread, url, chain, warned } = await start()
  const raws = await Promise.all(Array.from({ length: 80 }, (_, i) => signTransfer(i % 8, BigInt(Math.floor(i / 8)))))
  const bodies = Array.from({ length: 8 }, (_, account) => raws.flatMap((raw, i) => (i % 8 === account ? [send(raw, i)] : [])))
  let isKilled = false
  chain.onPending(() => {
    if (!isKilled) thread.kill() // in the middle: the pool has the first, and nobody was answered
    isKilled = true
  })
  const cut = await Promise.allSettled(bodies.map((body) => post(url, body)))
  expect(cut.some(({ status }) => status === 'rejected')).toBe(true)
  await askUntilAnswered(url)
  for (const body of bodies) {
    const { answers } = await post(url, body)
    for (const { result, error } of answers) expect(error?.data?.code ?? typeof result).toMatch(/^(string|alreadyKnown)$/)
  }
  expect(chain.pool.status()).toMatchObject({ pending: 80, queued: 0 })
  expect(warned).toEqual(['the thread that serves JSON-RPC ended, another takes its place'])
})

test('whoever subscribed over a thread that died is dropped', async () => {
  const subscribers = new Set<Subscriber>()
  const desk: Partial<Desk> = {
    async answer(_, subscriber) {
      if (subscriber) subscribers.add(subscriber)
      return '{"id":1,"result":"0x1"}'
    },
    drop: (subscriber) => void subscribers.delete(subscriber),
  }
  const { thread, url, wsUrl } = await start({ desk })
  const socket = await openSocket(wsUrl)
  await socket.call('eth_subscribe', 'newHeads')
  expect(subscribers.size).toBe(1)
  thread.kill()
  await socket.closed
  await askUntilAnswered(url)
  expect(subscribers.size).toBe(0)
})

test('what a subscriber is told comes after the answer that names the subscription, in its order', async () => {
  const started: Subscriber[] = []
  const desk: Partial<Desk> = {
    answer: async () => '{"id":1,"result":"0x1"}',
    start(subscriber) {
      started.push(subscriber)
      subscriber.send('"first"')
    },
  }
  const { wsUrl } = await start({ desk })
  const socket = await openSocket(wsUrl)
  expect(await socket.call('eth_subscribe', 'newHeads')).toEqual({ id: 1, result: '0x1' })
  expect(await socket.next()).toBe('first')
  for (let i = 0; i < 100; i++) started[0]?.send(String(i))
  for (let i = 0; i < 100; i++) expect(await socket.next()).toBe(i)
  socket.close()
})

test('more than the thread takes is not sent to it: calls wait, and all are answered', async () => {
  const long = 'x'.repeat(100_000)
  const { url } = await start({ desk: { answer: async () => JSON.stringify({ id: 1, result: long }) }, untakenMax: 1_000 })
  const answered = await Promise.all(Array.from({ length: 40 }, (_, id) => post(url, other('tributary_long', id))))
  for (const { answers } of answered) expect(answers).toEqual([{ id: 1, result: long }])
})

test('a thread that takes nothing of what subscribers are told is given up', async () => {
  const started: Subscriber[] = []
  const desk: Partial<Desk> = { answer: async () => '{"id":1,"result":"0x1"}', start: (subscriber) => void started.push(subscriber) }
  const { url, wsUrl, warned } = await start({ desk, unpushedMax: 1_000 })
  const socket = await openSocket(wsUrl)
  await socket.call('eth_subscribe', 'newHeads')
  while (started.length === 0) await fetch(`${url}/health`)
  for (let i = 0; i < 11; i++) started[0]?.send(`"${'x'.repeat(100)}"`) // in one turn: nothing can have been taken
  await socket.closed
  await askUntilAnswered(url)
  expect(warned[0]).toBe('the thread that serves JSON-RPC takes nothing')
})

test('bodies that are being answered are bounded, all connections together', async () => {
  const gate = Promise.withResolvers<string>()
  const asked = Promise.withResolvers<void>()
  const desk: Partial<Desk> = {
    answer() {
      asked.resolve()
      return gate.promise
    },
  }
  const { url } = await start({ desk, limits: { bytesInFlight: 20 } })
  const first = post(url, other('tributary_slow', 1))
  await asked.promise
  const { status, answers } = await post(url, other('tributary_slow', 2))
  expect([status, answers[0]?.error]).toEqual([
    429,
    { code: -32005, message: 'too much is being answered', data: { code: 'tooBusy', max: 20 } },
  ])
  gate.resolve('{"id":1,"result":"0x1"}')
  expect((await first).answers).toEqual([{ id: 1, result: '0x1' }])
})

test('closed while calls are under way: the port is free, and the chain is asked nothing more', async () => {
  const gate = Promise.withResolvers<string>()
  const asked = Promise.withResolvers<void>()
  let isDone = false
  const desk: Partial<Desk> = {
    async answer() {
      asked.resolve()
      const text = await gate.promise
      isDone = true
      return text
    },
  }
  const { thread, url } = await start({ desk })
  const cut = post(url, other('tributary_slow', 1)).catch(() => 'cut off')
  await asked.promise
  const closing = thread.close()
  expect(await cut).toBe('cut off')
  gate.resolve('{"id":1,"result":"0x1"}')
  await closing
  expect(isDone).toBe(true)
  await start({ port: Number(new URL(url).port) }) // resolves: it can be had
})

test('a port that cannot be had is said so, in the system’s words', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', () => resolve()))
  onTestFinished(() => void taken.close())
  const address = taken.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const refused = start({ port })
  await expect(refused).rejects.toBeInstanceOf(RpcThreadError)
  await expect(refused).rejects.toMatchObject({ code: 'EADDRINUSE', message: expect.stringContaining('EADDRINUSE') })
})

test('health and readiness are asked of the main thread', async () => {
  const { url } = await start({ desk: { isReady: async () => false } })
  expect((await fetch(`${url}/health`)).status).toBe(200)
  expect((await fetch(`${url}/ready`)).status).toBe(503)
})
