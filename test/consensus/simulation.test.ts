/**
 * Seeded simulations of whole networks (simulation.ts says what is checked at every step), and broken machines that the same checks
 * must catch: a check that nothing fails is no check.
 */
import { expect, test } from 'vitest'
import { LAW } from '../../consensus/machine.ts'
import type { Law } from '../../consensus/round.ts'
import { addVote } from '../../consensus/votes.ts'
import { setOf } from './fixtures.ts'
import { createRandom, type Fault, type Outcome, type Scenario, simulate } from './simulation.ts'

const FOUR = setOf([1, 1, 1, 1])
const SEVEN = setOf([1, 1, 1, 1, 1, 1, 1])
/** 9 in all: a third is 4, so any one of the last four may be faulty, and the first is not far from a third. */
const UNEVEN = setOf([3, 2, 2, 1, 1])

function scenario(seed: number, rest: Partial<Scenario>): Scenario {
  const dropRate = [0, 0.1, 0.25, 0.4][seed % 4] ?? 0
  return { seed, set: FOUR, faults: new Map(), heights: 3, calmAtMs: 2_500, dropRate, crashes: 6, ...rest }
}

/** As many faults as are allowed among n equals, of kinds and at places that the seed chooses. */
function faultsOf(seed: number, validators: number, count: number): Map<number, Fault> {
  const random = createRandom(seed * 31 + validators)
  const faults = new Map<number, Fault>()
  while (faults.size < count) {
    const kinds: Fault[] = ['twins', 'equivocator', 'equivocator', 'silent']
    faults.set(Math.floor(random() * validators), kinds[Math.floor(random() * kinds.length)] ?? 'twins')
  }
  return faults
}

function runAll(scenarios: readonly Scenario[]): { violations: string[]; outcomes: Outcome[] } {
  const outcomes = scenarios.map((one) => simulate(one))
  const violations = outcomes.flatMap((outcome, at) => outcome.violations.map((what) => `seed ${scenarios[at]?.seed}: ${what}`))
  return { violations, outcomes }
}

const seeds = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

test('four validators, one of them faulty, on a bad network, with crashes', () => {
  const { violations, outcomes } = runAll(seeds(110).map((seed) => scenario(seed, { faults: faultsOf(seed, 4, 1) })))
  expect(violations).toEqual([])
  // The runs are worth something: nodes died, rounds failed, and culprits were named.
  expect(outcomes.reduce((sum, one) => sum + one.crashes, 0)).toBeGreaterThan(100)
  expect(Math.max(...outcomes.map((one) => one.rounds))).toBeGreaterThan(2)
  expect(outcomes.filter((one) => one.accused.size > 0).length).toBeGreaterThan(30)
})

test('four correct validators, on a bad network, with many crashes', () => {
  const { violations, outcomes } = runAll(seeds(40).map((seed) => scenario(seed, { crashes: 20 })))
  expect(violations).toEqual([])
  expect(outcomes.every((one) => one.accused.size === 0)).toBe(true)
})

test('seven validators, two of them faulty', () => {
  expect(runAll(seeds(25).map((seed) => scenario(seed, { set: SEVEN, faults: faultsOf(seed, 7, 2), heights: 2 }))).violations).toEqual([])
})

test('five validators of uneven weight, one faulty with less than a third', () => {
  const run = (seed: number) => scenario(seed, { set: UNEVEN, faults: new Map([[1 + (seed % 4), seed % 2 ? 'twins' : 'equivocator']]) })
  expect(runAll(seeds(25).map(run)).violations).toEqual([])
})

test('the machine does not depend on what admission keeps away from it', () => {
  expect(runAll(seeds(15).map((seed) => scenario(seed, { faults: faultsOf(seed, 4, 1), admits: false }))).violations).toEqual([])
})

test('real signatures: four validators, one of them run twice, and everything said verifies', () => {
  const run = (seed: number) => scenario(seed, { isSigned: true, heights: 2, dropRate: 0.1, faults: new Map([[seed % 4, 'twins']]) })
  expect(runAll([1, 2].map(run)).violations).toEqual([])
})

test('the same seed gives the same run', () => {
  const one = () => simulate(scenario(9, { faults: faultsOf(9, 4, 1) }))
  expect(one()).toEqual(one())
})

test('a validator that loses its log, but not its guard, sits the height out and harms nobody', () => {
  const { violations, outcomes } = runAll(seeds(20).map((seed) => scenario(seed, { durable: 'guard', crashes: 1 })))
  expect(violations).toEqual([])
  expect(outcomes.reduce((sum, one) => sum + one.crashes, 0)).toBeGreaterThan(5)
})

test('with more faulty weight than a third, agreement can break; the culprits are known, and no correct validator is framed', () => {
  const twins = (seed: number) => new Map<number, Fault>([0, 1].map((i) => [(seed * 7 + i) % 4, 'twins']))
  const run = (seed: number) => scenario(seed, { faults: twins(seed), heights: 4, calmAtMs: 3_000, crashes: 4 })
  const { violations } = runAll(seeds(60).map(run))
  const kinds = new Set(violations.map((what) => what.split(' ')[2]))
  expect(kinds, 'some seed shows a disagreement').toContain('1:')
  for (const never of ['3:', '4:', '5:', '6:', '7:', '8:', '9:', '11:']) expect(kinds).not.toContain(never)
})

// ---- mutants ----

/** Votes count again each time they come. */
const countsTwice: Law['addVote'] = (votes, set, vote, current) => {
  const kept = votes.rounds.get(vote.round)
  if (kept === undefined) return addVote(votes, set, vote, current)
  const forgotten = new Map(kept[vote.kind])
  forgotten.delete(vote.validator)
  return addVote({ ...votes, rounds: new Map(votes.rounds).set(vote.round, { ...kept, [vote.kind]: forgotten }) }, set, vote, current)
}

/** P1 prevotes any fresh valid block, locked or not. */
const ignoresLock: Law['rules'] = LAW.rules.map((rule) => {
  if (rule.name !== 'P1') return rule
  return {
    ...rule,
    apply(s, law) {
      const { lockedRound } = s
      s.lockedRound = -1
      const acted = rule.apply(s, law)
      s.lockedRound = lockedRound
      return acted
    },
  }
})

/** Runs seeds until a violation of one of these kinds shows, and says which seed. */
function firstCaught(kinds: readonly string[], seedsMax: number, of: (seed: number) => Scenario): number | undefined {
  return seeds(seedsMax).find((seed) => simulate(of(seed)).violations.some((what) => kinds.some((kind) => what.startsWith(kind))))
}

test('mutant: without log and guard, a validator that dies contradicts itself', () => {
  expect(firstCaught(['3:'], 20, (seed) => scenario(seed, { durable: 'nothing' }))).toBeDefined()
})

test('mutant: a validator that forgets its lock in P1 is caught by its own signatures', () => {
  const law = { ...LAW, rules: ignoresLock }
  expect(firstCaught(['1:', '4:'], 100, (seed) => scenario(seed, { law, dropRate: 0.5, calmAtMs: 6_000, crashes: 0 }))).toBeDefined()
})

test('mutant: a vote that counts twice makes certificates that do not stand', () => {
  expect(firstCaught(['1:', '7:'], 20, (seed) => scenario(seed, { law: { ...LAW, addVote: countsTwice }, admits: false }))).toBeDefined()
})
