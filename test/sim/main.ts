/** `npm run sim` and `npm run sim:long`: simulated networks from the command line. docs/cli.md#sim */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { MUTANTS, type Mutant } from './mutants.ts'
import { FAULTS, type FaultName, type ScenarioOptions, scenarioOf } from './scenario.ts'
import { simulate } from './simulate.ts'
import { createTrace, TRACE_HEAD } from './trace.ts'

/** What `--long` goes through, again and again. */
const LONG_MIXES: readonly (readonly FaultName[] | 'all')[] = [
  'all',
  ['drop', 'delay', 'reorder', 'crash', 'torn', 'twins'],
  ['drop', 'partition', 'oneway', 'crash', 'full', 'equivocator'],
  ['drop', 'duplicate', 'partition', 'script', 'skew'],
  ['drop', 'delay', 'crash', 'epochs', 'weights', 'twins', 'equivocator', 'script'],
  ['hide', 'copies', 'partition', 'crash', 'torn', 'signer'],
  ['hide', 'lost', 'crash', 'script', 'equivocator'],
  ['drop', 'partition', 'twins', 'equivocator', 'beyond'],
]
const LONG_NODES = [4, 4, 7, 10] as const
const RUNS_PER_TURN = 25

process.stdout.on('error', () => process.exit(0)) // whoever read it has seen enough

const out = (line: string) => process.stdout.write(`${line}\n`)

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    runs: { type: 'string', default: '1' },
    nodes: { type: 'string' },
    heights: { type: 'string', default: '3' },
    faults: { type: 'string' },
    long: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '30' },
    mutant: { type: 'string' },
    quiet: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

function usage(): string {
  const faults = Object.entries(FAULTS).map(([name, what]) => `  ${name.padEnd(12)} ${what}`)
  return [
    'npm run sim -- [--seed S] [--runs R] [--nodes N] [--heights H] [--faults all|none|NAME,NAME,…] [--mutant ID] [--quiet]',
    'npm run sim:long -- [--minutes M]',
    '',
    'One run prints its trace; several, with seeds from S on, what they add up to. Exit code 1 at the first violation, 2 for wrong usage. Faults:',
    ...faults,
    '  beyond       more than a third of the weight is faulty (with faults that make liars): no agreement, but culprits are known',
    'Mutants (validators broken on purpose, to be caught):',
    ...MUTANTS.map(({ id, name }) => `  ${id.padEnd(16)} ${name}`),
  ].join('\n')
}

/** A number of the command line, or the end. */
function numberOf(name: 'seed' | 'runs' | 'nodes' | 'heights' | 'minutes', least: number, most: number): number {
  const value = Number(values[name] ?? (name === 'nodes' ? (mutant?.nodes ?? 4) : 1))
  if (Number.isInteger(value) && value >= least && value <= most) return value
  process.stderr.write(`--${name} is a whole number from ${least} to ${most}\n`)
  process.exit(2)
}

function faultsOf(text: string): readonly FaultName[] | 'all' {
  if (text === 'all') return 'all'
  const names = text === 'none' ? [] : text.split(',')
  const unknown = names.find((name) => !(name in FAULTS) && name !== 'beyond')
  if (unknown === undefined) return names as FaultName[]
  process.stderr.write(`there is no fault ${unknown}\n${usage()}\n`)
  process.exit(2)
}

/** The command that replays a run, with its trace. */
function commandOf({ seed, nodes, faults, heights }: ScenarioOptions): string {
  const names = faults === 'all' ? 'all' : faults.join() || 'none'
  const mutant = values.mutant === undefined ? '' : ` --mutant ${values.mutant}`
  return `npm run sim -- --seed ${seed} --nodes ${nodes} --faults ${names} --heights ${heights}${mutant}`
}

/** What `--mutant` names, if anything. */
function mutantOf(id: string | undefined): Mutant | undefined {
  const mutant = MUTANTS.find((one) => one.id === id)
  if (id === undefined || mutant !== undefined) return mutant
  process.stderr.write(`there is no mutant ${id}\n${usage()}\n`)
  process.exit(2)
}

type Sum = { runs: number; steps: number; crashes: number; roundsMax: number; accused: number; broken: number }

/** One run. Ends the process at a violation. */
function runOne(options: ScenarioOptions, sum: Sum): void {
  const outcome = simulate(scenarioOf(options, mutant?.scenario))
  sum.runs++
  sum.steps += outcome.steps
  sum.crashes += outcome.crashes
  sum.roundsMax = Math.max(sum.roundsMax, outcome.rounds)
  sum.accused += outcome.accused.size
  sum.broken += outcome.isBroken ? 1 : 0
  if (outcome.violations.length === 0) return
  for (const what of outcome.violations) out(`violation of invariant ${what}`)
  out(`seed ${options.seed}: ${commandOf(options)}`)
  process.exit(1)
}

function trace(options: ScenarioOptions): void {
  const scenario = scenarioOf(options, mutant?.scenario)
  const liars = [...scenario.liars].map(([who, liar]) => `${who} (${liar})`).join(', ') || 'nobody'
  out(commandOf(options))
  out(`${scenario.validatorCount} validators in ${scenario.epochs.length} epochs of ${scenario.epochHeights} heights, liars: ${liars}`)
  for (const { set, members } of scenario.epochs)
    out(`epoch ${set.epoch}: ${members.map((who, i) => `${who} (weight ${set.validators[i]?.weight})`).join(', ')}`)
  out(TRACE_HEAD)
  const outcome = simulate(scenario, createTrace(out))
  const rules = [...outcome.rules].sort().map(([name, count]) => `${name} ${count}`)
  out(
    `${outcome.steps} steps, ${outcome.rounds + 1} rounds, ${outcome.crashes} crashes, accused: ${[...outcome.accused].join() || 'nobody'}; ${rules.join(', ')}`,
  )
  for (const what of outcome.violations) out(`violation of invariant ${what}`)
  out(
    outcome.violations.length === 0
      ? `no violation${outcome.isBroken ? ', though agreement broke: the culprits are known' : ''}`
      : `seed ${options.seed}: ${commandOf(options)}`,
  )
  process.exitCode = outcome.violations.length === 0 ? 0 : 1
}

function report(sum: Sum, from: NodeJS.CpuUsage): void {
  const { user, system } = process.cpuUsage(from)
  const sec = (user + system) / 1e6
  const speed = `${(sum.runs / sec).toFixed(1)} runs and ${Math.round(sum.steps / sec)} events a second of CPU`
  const broken = sum.broken > 0 ? `, agreement broken in ${sum.broken} (culprits known)` : ''
  out(
    `${sum.runs} runs, ${sum.steps} events, ${sum.crashes} crashes, at most ${sum.roundsMax + 1} rounds, ${sum.accused} accused${broken}, no violation; ${speed}`,
  )
}

function runAll(options: ScenarioOptions, runs: number): void {
  const sum: Sum = { runs: 0, steps: 0, crashes: 0, roundsMax: 0, accused: 0, broken: 0 }
  const from = process.cpuUsage()
  for (let i = 0; i < runs; i++) runOne({ ...options, seed: options.seed + i }, sum)
  report(sum, from)
}

/** Fresh seeds over all sizes and mixes of faults, until the time is over. */
function runLong(minutes: number): void {
  const base = values.seed === undefined ? randomInt(2 ** 31) : numberOf('seed', 0, 2 ** 32 - 1)
  out(`base seed ${base}, for ${minutes} minutes`)
  const untilMs = Date.now() + minutes * 60_000
  for (let turn = 0; Date.now() < untilMs; turn++) {
    const nodes = LONG_NODES[turn % LONG_NODES.length] ?? 4
    const faults = LONG_MIXES[Math.floor(turn / LONG_NODES.length) % LONG_MIXES.length] ?? 'all'
    if (!values.quiet)
      out(`${nodes} nodes, ${faults === 'all' ? faults : faults.join()}, seeds from ${(base + turn * RUNS_PER_TURN) % 2 ** 32}`)
    runAll({ seed: (base + turn * RUNS_PER_TURN) % 2 ** 32, nodes, faults, heights: 3 }, RUNS_PER_TURN)
  }
}

const mutant = mutantOf(values.mutant)
if (values.help) out(usage())
else if (values.long) runLong(numberOf('minutes', 1, 10_000))
else {
  const options = {
    seed: numberOf('seed', 0, 2 ** 32 - 1),
    nodes: numberOf('nodes', 1, 64),
    heights: numberOf('heights', 1, 1_000),
    faults: values.faults === undefined ? (mutant?.faults ?? 'all') : faultsOf(values.faults),
  }
  const runs = numberOf('runs', 1, 1e9)
  if (runs === 1 && !values.quiet) trace(options)
  else runAll(options, runs)
}
