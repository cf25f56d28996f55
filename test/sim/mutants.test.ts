/** A check that nothing fails is no check: every mutant is caught, by an invariant that it breaks, within a bounded number of seeds. */
import { expect, test } from 'vitest'
import { MUTANTS } from './mutants.ts'
import { scenarioOf } from './scenario.ts'
import { simulate } from './simulate.ts'

for (const { name, breaks, nodes, faults, scenario, seedsMax } of MUTANTS) {
  test(`mutant: ${name}`, () => {
    const isCaught = (violations: readonly string[]) => violations.some((what) => breaks.includes(what.split(':')[0] ?? ''))
    const seeds = Array.from({ length: seedsMax }, (_, i) => i + 1)
    const seed = seeds.find((one) => isCaught(simulate(scenarioOf({ seed: one, nodes, faults }, scenario)).violations))
    expect(seed, `caught by invariant ${breaks.join(' or ')}`).toBeDefined()
    // Put together as it should be, the same run breaks nothing: it is the mutation that is caught.
    const { machinery: _, seenSet: __, accepts: ___, timing, ...rest } = scenario
    const sound = scenarioOf(
      { seed: seed ?? 0, nodes, faults },
      timing === undefined ? rest : { ...rest, timing: { ...timing, timeoutMaxMs: 10_000 } },
    )
    expect(simulate(sound).violations).toEqual([])
  })
}
