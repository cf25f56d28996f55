/** When a thread that rests is asked to give memory back. */
import { expect, test } from 'vitest'
import { createIdleCollector } from '../../node/idleMemory.ts'

/** How often it collected after each look. */
function collectedAt(looks: readonly number[]): readonly number[] {
  let collected = 0
  const look = createIdleCollector(() => collected++)
  return looks.map((utilization) => {
    look(utilization)
    return collected
  })
}

test('after work it collects once, at the second look in a row that finds it at rest', () => {
  expect(collectedAt([0.9, 0.5, 0.01, 0.02, 0.01, 0, 0])).toEqual([0, 0, 0, 1, 1, 1, 1])
  expect(collectedAt([0.9, 0.01, 0.3, 0.01, 0.01, 0.9, 0, 0])).toEqual([0, 0, 0, 0, 1, 1, 1, 2])
})

test('who never worked, or never rests, is left alone', () => {
  expect(collectedAt([0.01, 0.06, 0.09, 0, 0, 0])).toEqual([0, 0, 0, 0, 0, 0])
  expect(collectedAt([0.9, 0.06, 0.06, 0.06, 0.9])).toEqual([0, 0, 0, 0, 0])
})
