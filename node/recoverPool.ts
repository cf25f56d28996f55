/**
 * Signatures recovered on other threads, so that the thread that executes blocks does not wait for them: 0.5 µs of it a signature instead of 50.
 * What is asked for in one turn of the event loop, by however many, goes together; a few signatures are done at once, since a thread's answer
 * takes longer than they do. Answers come in the order of the questions. A thread that dies is done without.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { type RecoverAll, recoverSignatory, type Signatory, type SignedDigest } from '../execution/recover.ts'
import { errorFacts, type Log } from './log.ts'
import { createSlots, readSlot, SLOTS, writeSlot } from './recoverSlots.ts'

/** Threads at most: more than these find nothing to do beside one that executes. */
const THREADS_MAX = 2
/** So many signatures are sooner recovered than sent to a thread and back. */
const AT_ONCE_MAX = 2
/** So many are recovered before the event loop gets a turn, where there is no other thread: some 3 ms. */
const SLICE = 64

export type RecoverPool = {
  readonly recover: RecoverAll
  /** Ends the threads, if there are any yet; what is asked for afterwards is recovered without them. */
  close(): Promise<void>
}

export type RecoverPoolOptions = {
  /** 0: everything on this thread, in turns. */
  readonly threads?: number
  readonly log: Log
}

type Job = {
  readonly signed: readonly SignedDigest[]
  readonly found: (Signatory | undefined)[]
  /** Signatures that no thread was given yet begin here. */
  next: number
  left: number
  resolve(found: readonly (Signatory | undefined)[]): void
}

type Part = { readonly job: Job; readonly from: number; readonly count: number }
type Thread = { readonly worker: Worker; readonly slots: Uint8Array; parts: readonly Part[] }

/** As many threads as there are further processors, two at most, from when there is something for them. */
export function createRecoverPool({
  threads = Math.max(1, Math.min(THREADS_MAX, availableParallelism() - 1)),
  log,
}: RecoverPoolOptions): RecoverPool {
  const jobs: Job[] = []
  const pool = new Set<Thread>()
  /** What was asked for in this turn goes out at its end. */
  let flushing = false
  let slicing = false
  let toStart = threads
  let closed = false

  function startThread(): void {
    const slots = createSlots()
    const worker = new Worker(new URL('./recoverWorker.ts', import.meta.url), { workerData: slots })
    const thread: Thread = { worker, slots, parts: [] }
    worker.on('message', () => take(thread))
    worker.on('error', (error) => log.warn('a thread that recovers signatures failed', errorFacts(error)))
    worker.on('exit', () => lose(thread))
    worker.unref()
    pool.add(thread)
  }

  /** Takes a thread's answers. */
  function take(thread: Thread): void {
    let place = 0
    for (const { job, from, count } of thread.parts) {
      for (let i = from; i < from + count; i++) job.found[i] = readSlot(thread.slots, place++)
      job.left -= count
    }
    thread.parts = []
    thread.worker.unref()
    settle()
    give()
  }

  /** A thread ended: what it had is recovered here. */
  function lose(thread: Thread): void {
    if (!pool.delete(thread)) return
    for (const part of thread.parts) recoverHere(part)
    settle()
    give()
  }

  function recoverHere({ job, from, count }: Part): void {
    for (let i = from; i < from + count; i++) {
      const signed = job.signed[i]
      job.found[i] = signed && recoverSignatory(signed)
    }
    job.left -= count
  }

  /** Answers whoever asked first, as long as everything is there. */
  function settle(): void {
    for (let job = jobs[0]; job?.left === 0; job = jobs[0]) {
      jobs.shift()
      job.resolve(job.found)
    }
  }

  /** Gives the threads that have nothing to do what waits. */
  function give(): void {
    const waits = jobs.filter(({ next, signed }) => next < signed.length)
    const waiting = waits.reduce((sum, { next, signed }) => sum + signed.length - next, 0)
    if (waiting <= AT_ONCE_MAX && waits.length === jobs.length) {
      for (const job of waits) recoverHere(takePart(job, Number.POSITIVE_INFINITY))
      settle()
      return
    }
    for (; toStart > 0 && !closed; toStart--) startThread()
    if (pool.size === 0) recoverSlice()
    for (const thread of pool) {
      if (thread.parts.length > 0) continue
      const parts: Part[] = []
      let count = 0
      for (let job = waits[0]; job && count < SLOTS; job = waits[0]) {
        const part = takePart(job, SLOTS - count)
        for (let i = part.from; i < part.from + part.count; i++) writePart(thread, count++, job.signed[i])
        parts.push(part)
        if (job.next === job.signed.length) waits.shift()
      }
      if (count === 0) return
      thread.parts = parts
      thread.worker.ref()
      thread.worker.postMessage(count)
    }
  }

  /** Recovers some of what waits on this thread, and the rest in turns to come. */
  function recoverSlice(): void {
    if (slicing) return
    let room = SLICE
    for (const job of jobs) {
      if (room === 0) break
      const part = takePart(job, room)
      recoverHere(part)
      room -= part.count
    }
    settle()
    if (jobs.length === 0) return
    slicing = true
    setImmediate(() => {
      slicing = false
      recoverSlice()
    })
  }

  return {
    recover(signed) {
      if (signed.length === 0) return Promise.resolve([])
      return new Promise((resolve) => {
        jobs.push({ signed, found: new Array(signed.length), next: 0, left: signed.length, resolve })
        if (closed) return give()
        if (flushing) return
        flushing = true
        setImmediate(() => {
          flushing = false
          give()
        })
      })
    },
    async close() {
      closed = true
      await Promise.all([...pool].map(({ worker }) => worker.terminate()))
    },
  }
}

function takePart(job: Job, max: number): Part {
  const from = job.next
  const count = Math.min(max, job.signed.length - from)
  job.next += count
  return { job, from, count }
}

function writePart({ slots }: Thread, place: number, signed: SignedDigest | undefined): void {
  if (signed) writeSlot(slots, place, signed)
}
