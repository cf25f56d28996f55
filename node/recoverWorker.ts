/** A thread that recovers signatures: told how many wait in its places (node/recoverSlots.ts), it says when they are answered. */
import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../execution/assert.ts'
import { NICE, stepBack } from './priority.ts'
import { recoverSlots } from './recoverSlots.ts'

assert(parentPort, 'this file runs as a worker')
stepBack(NICE.helpers)
const port = parentPort
const slots = workerData as Uint8Array
port.on('message', (count: number) => {
  recoverSlots(slots, count)
  port.postMessage(count)
})
flushCompileCache() // a thread that is ended with its process keeps nothing of itself
