/**
 * The thread that serves JSON-RPC: sockets, HTTP, limits, and all work on transactions that needs no chain. What needs the chain is asked of the main
 * thread (node/rpcThread.ts) in messages (node/rpcMessages.ts). Spec: docs/spec/rpc.md
 */
import { flushCompileCache } from 'node:module'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../execution/assert.ts'
import { createCallCounts } from '../rpc/callCounts.ts'
import type { Desk } from '../rpc/desk.ts'
import type { Intake } from '../rpc/intake.ts'
import { createRpcServer, type RpcServer } from '../rpc/server.ts'
import type { Subscriber } from '../rpc/subscriptions.ts'
import { giveMemoryBack } from './idleMemory.ts'
import { relayLog } from './log.ts'
import { watchLoopDelay } from './loopDelay.ts'
import { NICE, stepBack } from './priority.ts'
import type { RpcIntake } from './rpcIntake.ts'
import { createOutbox, type ListenOptions, type RpcWorkerData, type ToMain, type ToWorker } from './rpcMessages.ts'

assert(parentPort, 'this file runs as a worker')
stepBack(NICE.helpers)
const port = parentPort
const { chainId, recoverThreads } = workerData as RpcWorkerData
const outbox = createOutbox<ToMain>(port)
const log = relayLog((_, level, event, facts) => outbox.add({ kind: 'log', level, event, facts }))
const questions = createQuestions()
const connections = createConnections()
const intake = createLateIntake()
const counts = createCallCounts()
const stopWatching = watchLoopDelay((delay) => outbox.add({ kind: 'delay', delay, calls: counts.snapshot() }))
const stopGivingBack = giveMemoryBack()
let server: RpcServer | undefined

/** Answers that are awaited, by the numbers of their questions. */
function createQuestions() {
  const waiting = new Map<number, (answer: unknown) => void>()
  let lastId = 0
  return {
    ask<T>(send: (id: number) => void): Promise<T> {
      const id = ++lastId
      return new Promise<T>((resolve) => {
        waiting.set(id, resolve as (answer: unknown) => void)
        send(id)
      })
    },
    answered(id: number, answer: unknown): void {
      const resolve = waiting.get(id)
      waiting.delete(id)
      resolve?.(answer)
    },
  }
}

/** Connections that can be told of things later, by numbers that the main thread knows them by. */
function createConnections() {
  const numbers = new Map<Subscriber, number>()
  const subscribers = new Map<number, Subscriber>()
  let last = 0
  return {
    numberOf(subscriber: Subscriber): number {
      const number = numbers.get(subscriber) ?? ++last
      numbers.set(subscriber, number)
      subscribers.set(number, subscriber)
      return number
    },
    send: (number: number, text: string) => subscribers.get(number)?.send(text),
    start(subscriber: Subscriber): void {
      const number = numbers.get(subscriber)
      if (number !== undefined) outbox.add({ kind: 'start', connection: number })
    },
    drop(subscriber: Subscriber): void {
      const number = numbers.get(subscriber)
      if (number === undefined) return
      numbers.delete(subscriber)
      subscribers.delete(number)
      outbox.add({ kind: 'drop', connection: number })
    },
  }
}

/** The intake, which takes longer to load than everything else here: after the first answers, or when there is something for it. */
function createLateIntake(): Intake & { load(): Promise<RpcIntake>; close(): Promise<void> } {
  let loaded: RpcIntake | undefined
  let loading: Promise<RpcIntake> | undefined

  async function loadNow(): Promise<RpcIntake> {
    const pieces = [
      () => import('../execution/recover.ts'),
      () => import('../execution/ethereumRules.ts'),
      () => import('../execution/tx.ts'),
    ]
    for (const load of pieces) {
      await nextTurn() // who asks meanwhile is answered in between
      await load()
    }
    const { createRpcIntake } = await import('./rpcIntake.ts')
    flushCompileCache()
    loaded = createRpcIntake({ chainId, recoverThreads, log, ask: questions.ask, send: outbox.add })
    return loaded
  }

  function load(): Promise<RpcIntake> {
    loading ??= loadNow()
    return loading
  }

  return {
    load,
    submit: (raw) => (loaded ? loaded.submit(raw) : load().then(({ submit }) => submit(raw))),
    close: async () => (await loading)?.close(),
  }
}

const desk: Desk = {
  answer: (asked, subscriber) =>
    questions.ask((id) => outbox.add({ kind: 'ask', id, asked, connection: subscriber && connections.numberOf(subscriber) })),
  isReady: () => questions.ask((id) => outbox.add({ kind: 'askReady', id })),
  start: connections.start,
  drop: connections.drop,
}

async function listen(options: ListenOptions): Promise<void> {
  try {
    server = await createRpcServer({ ...options, desk, intake, log, counts })
    outbox.add({ kind: 'listening', url: server.url, wsUrl: server.wsUrl, port: Number(new URL(server.url).port) })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
    outbox.add({ kind: 'deaf', message: error instanceof Error ? error.message : String(error), code })
  }
}

async function close(): Promise<void> {
  stopWatching()
  stopGivingBack()
  await server?.close()
  await intake.close()
  port.close()
}

function take(message: ToWorker): void {
  if (message.kind === 'answer') questions.answered(message.id, message.text)
  else if (message.kind === 'verdicts') questions.answered(message.id, message.refused)
  else if (message.kind === 'ready') questions.answered(message.id, message.isReady)
  else if (message.kind === 'push') connections.send(message.connection, message.text)
  else if (message.kind === 'listen') void listen(message.options)
  else if (message.kind === 'load') void intake.load()
  else void close()
}

port.on('message', (messages: readonly ToWorker[]) => {
  let length = 0
  let pushed = 0
  for (const message of messages) {
    if (message.kind === 'answer') length += message.text?.length ?? 0
    if (message.kind === 'push') pushed += message.text.length
    take(message)
  }
  length += pushed
  if (length > 0) outbox.add({ kind: 'took', length, pushed })
})
flushCompileCache() // a thread that is ended with its process keeps nothing of itself
