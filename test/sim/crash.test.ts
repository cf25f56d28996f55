/** Crash and restart from the log at every boundary between two effects, in a network of four; and disks that are full. */
import { expect, test } from 'vitest'
import { calmScenario, type Scenario, scenarioOf } from './scenario.ts'
import { simulate } from './simulate.ts'

/** Validator 2 builds height 2, and is one voter of four at height 1. */
const WHO = 2

type Keeps = 'nothing' | 'half' | 'all'

function withDeath(boundaries: readonly number[], keeps: Keeps, everyone = false): Scenario {
  return calmScenario(1, 4, { heights: 2, death: { who: WHO, boundaries, keeps, everyone } })
}

/** What goes wrong if it dies at these boundaries. */
function wrongIn(boundaries: readonly number[], keeps: Keeps, everyone = false): string[] {
  const { violations, crashes, decided } = simulate(withDeath(boundaries, keeps, everyone))
  expect(crashes).toBeGreaterThanOrEqual(1)
  expect(violations.length > 0 || decided.size === 2).toBe(true)
  return violations.map((what) => `${boundaries} (${calm.boundaries[(boundaries[0] ?? 0) - 1]}): ${what}`)
}

const calm = simulate(withDeath([], 'nothing'))
const every = (stride: number) => calm.boundaries.flatMap((_, i) => (i % stride === 0 ? [i + 1] : []))

test('a calm run passes every kind of boundary that there is', () => {
  expect(calm.violations).toEqual([])
  expect([...new Set(calm.boundaries)].sort()).toEqual(
    [
      ...['begun anew', 'append', 'appended', 'sync', 'synced', 'guard', 'guarded', 'signed'],
      ...['buildBlock', 'checkBlock', 'sign', 'broadcast', 'startTimer', 'stopTimers', 'decide'].flatMap((effect) => [
        `before ${effect}`,
        `after ${effect}`,
      ]),
      ...['broadcast', 'decide'].flatMap((effect) => [`before ${effect} leaves`, `after ${effect} left`]),
    ].sort(),
  )
})

for (const keeps of ['nothing', 'half', 'all'] as const) {
  test(`a validator killed at any boundary, of whose last writes the disk keeps ${keeps}, contradicts nothing and decides with the others`, () =>
    expect(every(1).flatMap((boundary) => wrongIn([boundary], keeps))).toEqual([]))
}

test('a validator killed while it comes back comes back all the same', () => {
  const twice = every(7).flatMap((first) => [1, 2, 3, 5, 8, 13].map((again) => [first, again]))
  expect(twice.flatMap((boundaries, i) => wrongIn(boundaries, i % 2 === 0 ? 'nothing' : 'half'))).toEqual([])
})

test('four validators that lose their power together go on when it is back', () =>
  expect(every(3).flatMap((boundary) => wrongIn([boundary], 'nothing', true))).toEqual([]))

test('a validator whose disk is full says nothing that is not on it, and goes on when there is room', () => {
  let crashes = 0
  for (let seed = 1; seed <= 30; seed++) {
    const outcome = simulate(scenarioOf({ seed, nodes: 4, faults: ['full', 'drop'] }, { disksFull: 4 }))
    expect(outcome.violations, `seed ${seed}`).toEqual([])
    crashes += outcome.crashes
  }
  expect(crashes).toBeGreaterThan(40)
})
