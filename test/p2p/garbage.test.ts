/**
 * Garbage on every topic and protocol, from real peers in a process of their own, against a node's network in another: nothing falls over, nothing
 * stands still, whoever breaks a rule is cut off, memory is bounded, and an honest validator notices nothing. The same for ten minutes and at the
 * usual rates: `npm run garbage`.
 */
import { expect, test } from 'vitest'
import { judgeGarbage } from './garbage/judge.ts'
import { runGarbage, SHORT_RATE_SHARE } from './garbage/run.ts'

const TEST_MS = 360_000

test('each kind of garbage is cut off, and does no harm', { timeout: TEST_MS }, async () => {
  const result = await runGarbage(0, { rateShare: SHORT_RATE_SHARE })
  expect(judgeGarbage(result)).toMatchObject({ faults: [] })
})
