/**
 * The thread that works on batches: one request at a time, `{ id, work, argument }`, answered by `{ id, value }` or `{ id, error }`. It reads the store that
 * the process has open, and yields to the thread that makes blocks where the system knows priorities of threads.
 */
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

const batchWork = createBatchWork(await openStore(directory), params)

port.on('message', async ({ id, work, argument }: Request) => {
  try {
    const done = batchWork[work] as (argument: unknown) => unknown
    port.postMessage({ id, value: await done(argument) })
  } catch (error) {
    port.postMessage({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
})
