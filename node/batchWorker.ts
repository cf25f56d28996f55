/**
 * The thread that works on batches: one request at a time, `{ id, work, argument }`, answered by `{ id, value }` or `{ id, error }`; `'end'` ends it when
 * what is under way is done, since native code must not lose its thread. It reads the store that the process has open, and yields to the thread that makes
 * blocks where the system knows priorities of threads.
 */
import { flushCompileCache } from 'node:module'
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../execution/assert.ts'
import type { ChainParams } from '../genesis/params.ts'
import { type BatchWork, createBatchWork } from './batchWork.ts'
import { openStore } from './store.ts'

type Request = { readonly id: number; readonly work: keyof BatchWork; readonly argument: unknown }

/** Of the system's priorities, −20 to 19, one that leaves a busy processor to others but for a tenth of it. */
const PRIORITY = 10

assert(parentPort, 'this file runs as a worker')
const port = parentPort
const { directory, params } = workerData as { readonly directory: string; readonly params: ChainParams }
if (process.platform === 'linux') setPriority(PRIORITY) // of this thread alone there, of the process elsewhere

const store = await openStore(directory)
const batchWork = createBatchWork(store, params)
let underWay: Promise<void> | undefined
flushCompileCache()

port.on('message', (message: Request | 'end') => {
  if (message === 'end') void end()
  else underWay = answer(message)
})

async function answer({ id, work, argument }: Request): Promise<void> {
  try {
    const done = batchWork[work] as (argument: unknown) => unknown
    port.postMessage({ id, value: await done(argument) })
  } catch (error) {
    port.postMessage({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

async function end(): Promise<void> {
  await underWay
  await store.close()
  port.close()
}
