/** Blocks shrink while more is made than is posted, and grow again later than they shrank. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  BACKLOG_FULL_BYTES,
  BACKLOG_HIGH_BYTES,
  BACKLOG_LOW_BYTES,
  NO_THROTTLE,
  nextThrottle,
  SHARE_MIN,
  type Throttle,
} from '../../settlement/throttle.ts'

const after = (...backlogs: readonly number[]): Throttle => backlogs.reduce(nextThrottle, NO_THROTTLE)

test('it begins at the high mark and ends below the low one', () => {
  expect(after(BACKLOG_HIGH_BYTES - 1)).toEqual(NO_THROTTLE)
  expect(after(BACKLOG_HIGH_BYTES).isOn).toBe(true)
  expect(after(BACKLOG_HIGH_BYTES, BACKLOG_LOW_BYTES).isOn).toBe(true)
  expect(after(BACKLOG_HIGH_BYTES, BACKLOG_LOW_BYTES - 1)).toEqual(NO_THROTTLE)
  expect(after(BACKLOG_HIGH_BYTES, BACKLOG_LOW_BYTES - 1, BACKLOG_HIGH_BYTES - 1)).toEqual(NO_THROTTLE)
})

test('the more waits, the smaller are blocks, and never nothing', () => {
  const bytes = fc.integer({ min: 0, max: 2 * BACKLOG_FULL_BYTES })
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      const [less, more] = [Math.min(a, b), Math.max(a, b)].map((one) => nextThrottle({ isOn: true, share: 1 }, one).share)
      expect(less).toBeGreaterThanOrEqual(more ?? 1)
      expect(more).toBeGreaterThanOrEqual(SHARE_MIN)
      expect(less).toBeLessThanOrEqual(1)
    }),
  )
  expect(nextThrottle(NO_THROTTLE, BACKLOG_FULL_BYTES).share).toBe(SHARE_MIN)
})
