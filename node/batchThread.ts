/**
 * Batches made on another thread (node/batchWorker.ts), so that blocks are not late while one is compressed or proved. One request is under way at a
 * time. The thread starts with the first, and anew after it died.
 */
import { Worker } from 'node:worker_threads'
import type { ChainParams } from '../genesis/params.ts'
import type { Sidecar } from '../settlement/kzg.ts'
import type { BlockSize } from '../settlement/post.ts'
import type { BatchJudgement, BatchQuestion, BatchRequest, BatchWork, BlockRange, MadeBatch } from './batchWork.ts'
import { createQueue } from './chainState.ts'

/** The thread died (`retryable`: the next request gets a new one), or its work found a defect of ours. */
export class BatchThreadError extends Error {
  override readonly name = 'BatchThreadError'
  readonly retryable: boolean
  constructor(message: string, options: { readonly retryable: boolean; readonly cause?: unknown }) {
    super(message, { cause: options.cause })
    this.retryable = options.retryable
  }
}

export type BatchThread = {
  measure(range: BlockRange): Promise<BlockSize[]>
  make(request: BatchRequest): Promise<MadeBatch>
  sidecar(payload: Uint8Array): Promise<Sidecar>
  judge(question: BatchQuestion): Promise<BatchJudgement>
  /** Ends the thread after what it does now, if that does not take too long; what waits for it fails. */
  close(): Promise<void>
}

/** Longest that the thread may go on with what it does when it is asked to end: the proofs of six blobs take about a second. */
const END_MAX_MS = 8_000

type Answer = { readonly id: number; readonly value?: unknown; readonly error?: string }
type Waiting = { readonly id: number; resolve(value: unknown): void; reject(error: BatchThreadError): void }

/** A thread over the store in a directory that this process has open. */
export function createBatchThread(directory: string, params: ChainParams): BatchThread {
  const inTurn = createQueue()
  let worker: Worker | undefined
  let waiting: Waiting | undefined
  let lastId = 0

  function start(): Worker {
    const started = new Worker(new URL('./batchWorker.ts', import.meta.url), { workerData: { directory, params } })
    let cause: unknown
    started.on('message', ({ id, value, error }: Answer) => {
      if (waiting?.id !== id) return
      const { resolve, reject } = waiting
      waiting = undefined
      if (error === undefined) resolve(value)
      else reject(new BatchThreadError(`a batch cannot be made: ${error}`, { retryable: false }))
    })
    started.on('error', (error) => {
      cause = error
    })
    started.on('exit', () => {
      worker = undefined
      waiting?.reject(new BatchThreadError('the thread that makes batches ended', { retryable: true, cause }))
      waiting = undefined
    })
    return started
  }

  const ask = <T>(work: keyof BatchWork, argument: unknown): Promise<T> =>
    inTurn(
      () =>
        new Promise<unknown>((resolve, reject) => {
          waiting = { id: ++lastId, resolve, reject }
          worker ??= start()
          worker.postMessage({ id: lastId, work, argument })
        }),
    ) as Promise<T>

  return {
    measure: (range) => ask('measure', range),
    make: (request) => ask('make', request),
    sidecar: (payload) => ask('sidecar', payload),
    judge: (question) => ask('judge', question),
    async close() {
      const ending = worker
      if (!ending) return
      const ended = new Promise<void>((resolve) => ending.once('exit', () => resolve()))
      ending.postMessage('end')
      const timer = setTimeout(() => void ending.terminate(), END_MAX_MS)
      await ended
      clearTimeout(timer)
    },
  }
}
