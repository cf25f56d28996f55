/** Crash and restart from the log at every boundary between two effects, in a network of four; and disks that are full. */
import { expect, test } from 'vitest'
import { calmScenario, type Scenario, scenarioOf } from './scenario.ts'
import { simulate } from './simulate.ts'

/** Validator 2 builds height 2, and is one voter of four at height 1. */
const WHO = 2

function withDeath(boundary: number, keeps: 'nothing' | 'half' | 'all', seed = 1): Scenario {
  return calmScenario(seed, 4, { heights: 2, death: { who: WHO, boundary, keeps } })
}

const calm = simulate(withDeath(0, 'nothing'))

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
  test(`a validator killed at any boundary, of whose last writes the disk keeps ${keeps}, contradicts nothing and decides with the others`, () => {
    const seen: string[] = []
    for (let boundary = 1; boundary <= calm.boundaries.length; boundary++) {
      const { violations, crashes, decided } = simulate(withDeath(boundary, keeps))
      if (violations.length > 0) seen.push(`${boundary} (${calm.boundaries[boundary - 1]}): ${violations.join(', ')}`)
      expect([crashes, decided.size]).toEqual([1, 2])
    }
    expect(seen).toEqual([])
  })
}

test('a validator whose disk is full says nothing that is not on it, and goes on when there is room', () => {
  let crashes = 0
  for (let seed = 1; seed <= 30; seed++) {
    const outcome = simulate(scenarioOf({ seed, nodes: 4, faults: ['full', 'drop'] }, { disksFull: 4 }))
    expect(outcome.violations, `seed ${seed}`).toEqual([])
    crashes += outcome.crashes
  }
  expect(crashes).toBeGreaterThan(40)
})
