/**
 * Garbage on every topic and protocol, from real peers in a process of their own, against a node's network in another: nothing falls over, nothing
 * stands still, whoever breaks a rule is cut off, memory is bounded, and an honest validator notices nothing. The same for ten minutes and at the
 * usual rates: `npm run garbage`.
 */
import { expect, test } from 'vitest'
import { judgeGarbage } from './garbage/judge.ts'
import { GarbageUsageError, runGarbage, SHORT_RATE_SHARE } from './garbage/run.ts'

const TEST_MS = 360_000

test('each kind of garbage is cut off, and does no harm', { timeout: TEST_MS }, async () => {
  const result = await runGarbage(0, { rateShare: SHORT_RATE_SHARE })
  expect(judgeGarbage(result)).toMatchObject({ faults: [] })
})

test('a run in which not every attack has its turn is refused, and so is one of none', async () => {
  for (const seconds of [30, 79, -1, Number.NaN]) await expect(runGarbage(seconds)).rejects.toThrow(GarbageUsageError)
  await expect(runGarbage(600, { only: 'no such attack' })).rejects.toThrow('no attack has "no such attack" in its name')
})
