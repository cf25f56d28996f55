/** Seeded simulations of whole networks: judge.ts says what is checked at every step. `npm run sim` replays any of them. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { Message } from '../../consensus/message.ts'
import { proposerIndex } from '../../consensus/validatorSet.ts'
import { SOUND } from '../consensus/engine.ts'
import { epochAt, expectedProposer, type Outcome } from './judge.ts'
import { admitAll } from './mutants.ts'
import { calmScenario, epochOf, FAULTS, type FaultName, type Scenario, scenarioOf } from './scenario.ts'
import { simulate } from './simulate.ts'

type Mix = { readonly nodes: number; readonly faults: readonly FaultName[] | 'all'; readonly seeds: number }

/** Runs seeds 1, 2, …; what they violate, with the command that replays it. */
function runAll({ nodes, faults, seeds }: Mix, rest: Partial<Scenario> = {}): { violations: string[]; outcomes: Outcome[] } {
  const outcomes = Array.from({ length: seeds }, (_, i) => simulate(scenarioOf({ seed: i + 1, nodes, faults }, rest)))
  const names = faults === 'all' ? faults : faults.join()
  const violations = outcomes.flatMap((outcome, i) =>
    outcome.violations.map((what) => `${what}: npm run sim -- --seed ${i + 1} --nodes ${nodes} --faults ${names}`),
  )
  return { violations, outcomes }
}

const sum = (outcomes: readonly Outcome[], of: (outcome: Outcome) => number) => outcomes.reduce((total, one) => total + of(one), 0)

const MIXES: readonly Mix[] = [
  { nodes: 4, faults: 'all', seeds: 40 },
  { nodes: 7, faults: 'all', seeds: 14 },
  { nodes: 10, faults: 'all', seeds: 6 },
  { nodes: 4, faults: ['drop', 'delay', 'duplicate', 'reorder'], seeds: 11 },
  { nodes: 4, faults: ['drop', 'partition', 'oneway', 'crash', 'torn', 'full'], seeds: 16 },
  { nodes: 4, faults: ['drop', 'crash', 'lost'], seeds: 11 },
  { nodes: 4, faults: ['copies', 'hide', 'crash', 'partition'], seeds: 14 },
  { nodes: 4, faults: ['hide', 'crash', 'signer', 'weights'], seeds: 11 },
  { nodes: 4, faults: ['drop', 'partition', 'crash', 'twins'], seeds: 16 },
  { nodes: 4, faults: ['hide', 'crash', 'twins', 'equivocator', 'script'], seeds: 16 },
  { nodes: 4, faults: ['skew', 'slow', 'signer', 'silent', 'drop'], seeds: 9 },
  { nodes: 4, faults: ['epochs', 'weights', 'drop', 'crash', 'equivocator'], seeds: 14 },
  { nodes: 7, faults: ['drop', 'partition', 'crash', 'twins', 'equivocator', 'script', 'silent'], seeds: 11 },
  { nodes: 10, faults: ['hide', 'epochs', 'crash', 'torn', 'script', 'twins'], seeds: 4 },
]

for (const mix of MIXES) {
  const names = mix.faults === 'all' ? 'all faults' : mix.faults.join(', ')
  test(`${mix.nodes} validators: ${names}`, () => expect(runAll(mix).violations).toEqual([]))
}

test('the runs are worth something: nodes die, rounds fail, every rule acts, culprits are named', () => {
  const { outcomes } = runAll({ nodes: 4, faults: ['hide', 'drop', 'crash', 'twins', 'equivocator'], seeds: 30 })
  expect(sum(outcomes, (one) => one.crashes)).toBeGreaterThan(100)
  expect(Math.max(...outcomes.map((one) => one.rounds))).toBeGreaterThan(3)
  expect(outcomes.filter((one) => one.accused.size > 0).length).toBeGreaterThan(15)
  const rules = new Set(outcomes.flatMap((one) => [...one.rules.keys()]))
  expect([...rules].sort()).toEqual(SOUND.law.rules.map(({ name }) => name).sort())
  const mixes = new Set(MIXES.flatMap(({ faults }) => (faults === 'all' ? [] : faults)))
  expect([...mixes].sort(), 'every fault has a mix of its own').toEqual(Object.keys(FAULTS).sort())
})

test('with more faulty weight than a third, agreement can break; the culprits are a third or more, and no correct validator is named', () => {
  const twins = runAll({ nodes: 4, faults: ['drop', 'partition', 'twins', 'beyond'], seeds: 80 })
  const liars = runAll({ nodes: 7, faults: ['partition', 'crash', 'twins', 'equivocator', 'script', 'beyond'], seeds: 15 })
  expect([...twins.violations, ...liars.violations]).toEqual([])
  expect(twins.outcomes.filter((one) => one.isBroken).length, 'some seeds show a disagreement').toBeGreaterThan(0)
})

test('a disagreement across rounds: the two who forgot their locks for it are convicted by their votes, and nobody else', () => {
  // Round 0: validator 0 alone hears that a block is committed, and is not heard any more. Validator 2 was deaf, and proposes another block in round 1,
  // which 1 and 3 prevote as if they had never locked.
  const rule = (from: number, to: number, { kind, round }: Message) =>
    (from === 0 && (kind !== 'prevote' || to === 2)) || (to === 2 && round === 0 && (kind === 'proposal' || kind === 'polka'))
  const liars = new Map([1, 3].map((who) => [who, 'amnesiac' as const]))
  const scenario = calmScenario(1, 4, { heights: 1, calmAtMs: 3_000, liars, beyond: true, hides: { rule, leakRate: 0 } })
  const rounds = new Map<string, number>()
  const outcome = simulate(scenario, {
    onStep({ node, effects }) {
      for (const effect of effects) if (effect.kind === 'decide') rounds.set(node, effect.round)
    },
    onEvent() {},
  })
  expect(outcome.violations, 'without culprits, invariant 6 would be broken').toEqual([])
  expect([outcome.isBroken, rounds.get('0'), rounds.get('2')]).toEqual([true, 0, 1])
  expect([...outcome.accused].sort()).toEqual([1, 3])
})

test('the machine does not depend on what admission keeps away from it', () => {
  const mix: Mix = { nodes: 4, faults: ['drop', 'duplicate', 'crash', 'equivocator', 'script'], seeds: 15 }
  expect(runAll(mix, { machinery: { ...SOUND, admit: admitAll } }).violations).toEqual([])
})

test('real signatures: what was said verifies, and what was not does not', () => {
  const mix: Mix = { nodes: 4, faults: ['drop', 'crash', 'script', 'equivocator', 'twins', 'epochs'], seeds: 3 }
  const { violations, outcomes } = runAll(mix, { isSigned: true, calmAtMs: 800, paceMs: 200 })
  expect(violations).toEqual([])
  expect(sum(outcomes, (one) => one.decided.size)).toBeGreaterThan(6)
})

test('a set that changes at the edge of an epoch: who leaves follows, who comes votes, and the old set certifies nothing new', () => {
  const epochs = [epochOf(0, [0, 1, 2, 3], []), epochOf(1, [4, 3, 1, 0], [2, 3, 2, 2])]
  const { violations, decided } = simulate(calmScenario(3, 5, { epochs, epochHeights: 2, heights: 5 }))
  expect(violations).toEqual([])
  expect(decided.size).toBe(5)
  const at = (height: number) => epochAt({ epochs, epochHeights: 2 }, height).set.epoch
  expect([1, 2, 3, 4, 5, 99].map(at)).toEqual([0, 0, 1, 1, 1, 1])
})

test('the proposer follows from the set alone: as many turns as shares, whatever the weights', () => {
  for (const weights of [[1], [1, 1, 1, 1], [3, 2, 2, 1, 1], [10n ** 18n, 2n * 10n ** 18n, 4n * 10n ** 18n], [5, 1, 1, 1, 1, 1, 1]]) {
    const { set } = epochOf(0, [...weights.keys()], weights)
    const turns = Array.from({ length: 30 }, (_, i) => [i >> 2, i & 3] as const)
    expect(turns.map(([height, round]) => proposerIndex(set, height, round))).toEqual(
      turns.map(([height, round]) => expectedProposer(set, height, round)),
    )
  }
})

test('a seed gives the same trace in every process', async () => {
  const run = promisify(execFile)
  const digest = async () => {
    const { stdout } = await run(process.execPath, ['test/sim/main.ts', '--seed', '7', '--faults', 'all'], { maxBuffer: 1 << 26 })
    expect(stdout).toContain('no violation')
    return createHash('sha256').update(stdout).digest('hex')
  }
  const [first, second] = [await digest(), await digest()]
  expect(second).toBe(first)
})

test('a violation ends the command with exit code 1, the seed and the command that replays it; wrong usage ends it with 2', async () => {
  const run = async (...args: readonly string[]) =>
    promisify(execFile)(process.execPath, ['test/sim/main.ts', ...args], { maxBuffer: 1 << 26 }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      ({ code, stdout }: { code: number; stdout: string }) => ({ code, stdout }),
    )
  const { code, stdout } = await run('--runs', '40', '--mutant', 'no-disk')
  expect(code).toBe(1)
  const [, violation] = /^violation of invariant (3: .*)$/m.exec(stdout) ?? []
  const [, seed, command] = /^seed (\d+): npm run sim -- (.*)$/m.exec(stdout) ?? []
  expect(command).toBe(`--seed ${seed} --nodes 4 --faults drop,crash --heights 3 --mutant no-disk`)
  const replayed = await run(...(command?.split(' ') ?? []))
  expect(replayed.code).toBe(1)
  expect(replayed.stdout).toContain(`violation of invariant ${violation}`)
  expect((await run('--faults', 'gremlins')).code).toBe(2)
})
