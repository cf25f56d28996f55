/**
 * JSON-RPC on a thread of its own (node/rpcWorker.ts), so that the thread that executes blocks does nothing for a client but what needs the chain. This
 * is the main thread's side: calls are answered by the desk, transactions that were read and recovered go into the pool. A thread that dies is replaced
 * by another on the same port: connections and subscriptions are lost, filters and the pool are not.
 */
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { commonOf } from '../execution/ethereumRules.ts'
import type { Rejection } from '../execution/native/nativeType.ts'
import { takeTx } from '../execution/tx.ts'
import type { CallCount } from '../rpc/callCounts.ts'
import type { Desk } from '../rpc/desk.ts'
import type { Subscriber } from '../rpc/subscriptions.ts'
import { errorFacts, type Log } from './log.ts'
import type { LoopDelay } from './loopDelay.ts'
import { createOutbox, type ListenOptions, type Outbox, type RpcWorkerData, type ToMain, type ToWorker, unpackTxs } from './rpcMessages.ts'
import type { IntakePool } from './txIntake.ts'

/**
 * Threads beside the one that serves and the main one that recover signatures of what it takes in: one on two processors, too, for what comes next is read
 * while one waits for the pool and for signatures.
 */
export const RPC_RECOVER_THREADS = Math.max(1, Math.min(2, availableParallelism() - 2))
/** Characters sent to the thread and not taken yet: above that no call is begun. */
const UNTAKEN_MAX = 64 << 20
/** Characters that subscribers are told and that the thread has not taken yet: above that it is given up. */
const UNPUSHED_MAX = 128 << 20
/** A thread is replaced after 0.1 s, and after twice as long with each that dies soon after. */
const AGAIN_MS = 100
const AGAIN_MAX_MS = 30_000
const SOON_MS = 60_000
/** Longest that the thread may take to close, and then the calls that are under way. */
const CLOSE_MAX_MS = 5_000
/** The old generation of the thread's heap: a heap that grows beyond is a thread that dies, and no process. */
const HEAP_MAX_MIB = 1_024

/** The port cannot be had. `code` is the system's. */
export class RpcThreadError extends Error {
  override readonly name = 'RpcThreadError'
  readonly retryable = false
  readonly code: string | undefined
  constructor(message: string, code: string | undefined) {
    super(message)
    this.code = code
  }
}

/** What the thread asks of this one. */
export type RpcThreadPorts = {
  readonly desk: Desk
  readonly pool: IntakePool
  /** Transactions came into the pool. */
  wake(): void
  /** The thread's delay, and the calls that it answered itself. */
  onDelay(delay: LoopDelay, calls: readonly CallCount[]): void
}

export type RpcThreadOptions = RpcWorkerData & {
  readonly log: Log
  /** Characters between the threads, for tests. */
  readonly untakenMax?: number
  readonly unpushedMax?: number
}

export type RpcThread = {
  /** Serves; resolves when clients can connect. Throws RpcThreadError. */
  listen(ports: RpcThreadPorts, options: ListenOptions): Promise<{ readonly url: string; readonly wsUrl: string }>
  /** Lets the thread load what it needs for transactions, which it otherwise does for the first. */
  warmUp(): void
  /** Ends the thread wherever it is; another takes its place. */
  kill(): void
  /** Closes every connection; resolves when the port is free and no call is under way. */
  close(): Promise<void>
}

/** One life of the thread, and what goes with it. */
type Life = {
  readonly worker: Worker
  readonly outbox: Outbox<ToWorker>
  readonly subscribers: Map<number, Subscriber>
  /** Calls that wait until the thread has taken more of the answers. */
  readonly held: (() => void)[]
  /** Characters that it was sent and has not taken, and those among them that are no answers. */
  untaken: number
  unpushed: number
  readonly bornMs: number
}

/** Starts the thread, which loads while the chain is being opened. */
export function createRpcThread({ log, untakenMax = UNTAKEN_MAX, unpushedMax = UNPUSHED_MAX, ...workerData }: RpcThreadOptions): RpcThread {
  const common = commonOf(workerData.chainId)
  const underWay = new Set<Promise<void>>()
  let serving: { readonly ports: RpcThreadPorts; options: ListenOptions } | undefined
  let listening: { resolve(urls: { url: string; wsUrl: string }): void; reject(error: RpcThreadError): void } | undefined
  let deaths = 0
  let again: NodeJS.Timeout | undefined
  let closed: (() => void) | undefined
  let life: Life | undefined = begin()

  function begin(): Life {
    const worker = new Worker(new URL('./rpcWorker.ts', import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MIB },
    })
    const maps = { subscribers: new Map<number, Subscriber>(), held: [] }
    const begun: Life = { worker, outbox: createOutbox<ToWorker>(worker), ...maps, untaken: 0, unpushed: 0, bornMs: performance.now() }
    worker.on('message', (messages: readonly ToMain[]) => {
      if (life === begun) for (const message of messages) take(begun, message)
    })
    worker.on('error', (error) => log.warn('the thread that serves JSON-RPC failed', errorFacts(error)))
    worker.on('exit', () => end(begun))
    if (serving) begun.outbox.add({ kind: 'listen', options: serving.options })
    return begun
  }

  function end(ended: Life): void {
    for (const subscriber of ended.subscribers.values()) serving?.ports.desk.drop(subscriber)
    life = undefined
    closed?.()
    if (closed) return
    listening?.reject(new RpcThreadError('the thread that serves JSON-RPC ended', undefined))
    listening = undefined
    deaths = performance.now() - ended.bornMs < SOON_MS ? deaths + 1 : 1
    const waitMs = Math.min(AGAIN_MAX_MS, AGAIN_MS * 2 ** (deaths - 1))
    log.error('the thread that serves JSON-RPC ended, another takes its place', { deaths, waitMs })
    again = setTimeout(() => {
      life = begin()
    }, waitMs)
  }

  function push(to: Life, connection: number, text: string): void {
    if (life !== to) return
    to.untaken += text.length
    to.unpushed += text.length
    to.outbox.add({ kind: 'push', connection, text })
    if (to.unpushed <= unpushedMax) return
    log.warn('the thread that serves JSON-RPC takes nothing', { unpushed: to.unpushed })
    life = undefined
    void to.worker.terminate()
  }

  function subscriberOf(of: Life, connection: number): Subscriber {
    const known = of.subscribers.get(connection)
    if (known) return known
    const subscriber: Subscriber = { send: (text) => push(of, connection, text) }
    of.subscribers.set(connection, subscriber)
    return subscriber
  }

  async function answer(of: Life, desk: Desk, { id, connection, asked }: Extract<ToMain, { kind: 'ask' }>): Promise<void> {
    const subscriber = connection === undefined ? undefined : subscriberOf(of, connection)
    const text = await desk.answer(asked, subscriber)
    if (life !== of) {
      if (subscriber) desk.drop(subscriber) // of what it asked for last, too
      return
    }
    of.untaken += text?.length ?? 0
    of.outbox.add({ kind: 'answer', id, text })
    beginHeld(of)
  }

  /** One after another, so that they notice what those before them sent. */
  function beginHeld(of: Life): void {
    if (of.untaken <= untakenMax) of.held.shift()?.()
  }

  function track(work: Promise<void>): void {
    const one = work.finally(() => underWay.delete(one))
    underWay.add(one)
  }

  function takeOffer({ outbox }: Life, { pool, wake }: RpcThreadPorts, { id, txs }: Extract<ToMain, { kind: 'offer' }>): void {
    const verdicts = pool.offer(unpackTxs(txs).map((checked) => ({ tx: takeTx(checked, common) })))
    const refused: [number, Rejection][] = []
    verdicts.forEach((verdict, i) => {
      if (!verdict.ok) refused.push([i, verdict])
    })
    outbox.add({ kind: 'verdicts', id, refused })
    wake()
  }

  function takeTaken(from: Life, { length, pushed }: Extract<ToMain, { kind: 'took' }>): void {
    from.untaken -= length
    from.unpushed -= pushed
    beginHeld(from)
  }

  function takeAsk(from: Life, { desk }: RpcThreadPorts, message: Extract<ToMain, { kind: 'ask' }>): void {
    const begin = () => track(answer(from, desk, message))
    if (from.untaken <= untakenMax) begin()
    else from.held.push(begin)
  }

  async function sayReady(to: Life, { desk }: RpcThreadPorts, id: number): Promise<void> {
    const isReady = await desk.isReady()
    if (life === to) to.outbox.add({ kind: 'ready', id, isReady })
  }

  const takers: { readonly [K in ToMain['kind']]: (from: Life, ports: RpcThreadPorts, message: Extract<ToMain, { kind: K }>) => void } = {
    ask: takeAsk,
    askReady: (from, ports, { id }) => track(sayReady(from, ports, id)),
    offer: takeOffer,
    start: (from, { desk }, { connection }) => desk.start(subscriberOf(from, connection)),
    drop: (from, { desk }, { connection }) => drop(from, desk, connection),
    took: (from, _, message) => takeTaken(from, message),
    log: (_, __, { level, event, facts }) => log[level](event, facts),
    delay: (_, { onDelay }, { delay, calls }) => onDelay(delay, calls),
    listening: (_, __, message) => takeListening(message),
    deaf: (from, _, message) => takeDeaf(from, message),
  }

  function take<K extends ToMain['kind']>(from: Life, message: Extract<ToMain, { kind: K }>): void {
    if (serving) takers[message.kind as K](from, serving.ports, message) // before that it has nothing to say
  }

  function drop(from: Life, desk: Desk, connection: number): void {
    const subscriber = from.subscribers.get(connection)
    if (subscriber) desk.drop(subscriber)
    from.subscribers.delete(connection)
  }

  /** The port that was had is the one that the next life takes. */
  function takeListening({ url, wsUrl, port }: Extract<ToMain, { kind: 'listening' }>): void {
    if (serving) serving.options = { ...serving.options, port }
    listening?.resolve({ url, wsUrl })
    listening = undefined
  }

  /** The first life says why it cannot listen; a later one ends, and the next tries again. */
  function takeDeaf({ worker }: Life, { message, code }: Extract<ToMain, { kind: 'deaf' }>): void {
    if (!listening) void worker.terminate()
    listening?.reject(new RpcThreadError(message, code))
    listening = undefined
  }

  return {
    listen(ports, options) {
      serving = { ports, options }
      life?.outbox.add({ kind: 'listen', options })
      return new Promise((resolve, reject) => {
        listening = { resolve, reject }
      })
    },
    warmUp: () => life?.outbox.add({ kind: 'load' }),
    kill: () => void life?.worker.terminate(),
    async close() {
      clearTimeout(again)
      const closing = life
      const ended = new Promise<void>((resolve) => {
        closed = resolve
      })
      if (closing) {
        closing.outbox.add({ kind: 'close' })
        await before(CLOSE_MAX_MS, ended)
        await closing.worker.terminate()
      }
      await before(CLOSE_MAX_MS, Promise.allSettled(underWay))
    },
  }
}

/** Waits for the work, but no longer than this. */
async function before(maxMs: number, work: Promise<unknown>): Promise<void> {
  const stop = new AbortController()
  await Promise.race([work, sleep(maxMs, undefined, { signal: stop.signal })])
  stop.abort()
}
