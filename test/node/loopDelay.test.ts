/** A late event loop is told of when it has been late for long, and then seldom. */
import { expect, test } from 'vitest'
import { createLog } from '../../node/log.ts'
import { createLoopDelays, type LoopDelay, watchLoopDelay } from '../../node/loopDelay.ts'

const late: LoopDelay = { meanMs: 100, p99Ms: 400, maxMs: 900 }
const quick: LoopDelay = { meanMs: 1, p99Ms: 20, maxMs: 900 }

test('three late windows in succession are told, and again after a minute; each thread on its own', () => {
  let nowMs = 0
  const told: unknown[] = []
  const log = createLog({ level: 'warn', json: true, write: (line) => told.push([nowMs, (JSON.parse(line) as { thread: string }).thread]) })
  const delays = createLoopDelays(log, () => nowMs)
  const take = (thread: string, delay: LoopDelay) => {
    nowMs += 10_000
    delays.take(thread, delay)
  }
  for (const delay of [late, late, quick, late, late]) take('main', delay)
  take('rpc', late)
  expect(told).toEqual([])
  for (let i = 0; i < 8; i++) take('main', late)
  expect(told).toEqual([
    [70_000, 'main'],
    [130_000, 'main'],
  ])
  expect(delays.snapshot()).toEqual({ main: late, rpc: late })
})

test('a thread that does nothing else for a while is seen to', async () => {
  const seen = Promise.withResolvers<LoopDelay>()
  const stop = watchLoopDelay((delay) => {
    if (delay.maxMs > 0) seen.resolve(delay)
  }, 500)
  const busy = setInterval(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100), 10)
  const { meanMs, p99Ms, maxMs } = await seen.promise
  clearInterval(busy)
  stop()
  expect(maxMs).toBeGreaterThanOrEqual(p99Ms)
  expect(p99Ms).toBeGreaterThanOrEqual(meanMs)
})
