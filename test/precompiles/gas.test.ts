/**
 * Gas of precompiles against measured cost, ours and Ethereum's: test/bench/gasCosts.json has what their dearest calls cost in signature recoveries, of
 * 3,000 gas each (`npm run bench -- gas -- --only '^[0-9a-f]+ ' --write`). Spec: docs/spec/transactions.md#gas
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { readEthereumCases } from '../bench/ethereumCases.ts'
import { GAS_CASES, type GasCost, RECOVERY_GAS, REPORT_CASE } from '../bench/gasCases.ts'
import { type Called, PRECOMPILE_CASES } from '../bench/precompileCases.ts'

const costs: readonly GasCost[] = JSON.parse(readFileSync(new URL('../bench/gasCosts.json', import.meta.url), 'utf8'))
const ethereumCases = await readEthereumCases()
const cases = [...PRECOMPILE_CASES, ...ethereumCases]

/** What one call of each case comes to, by the case's name. */
const called = new Map<string, Called>()
for (const one of cases) {
  const [call] = await one.prepare(1)
  const done = await call?.()
  if (done) called.set(one.name, done)
}

const gasOf = (name: string): number => Number(called.get(name)?.gas ?? 0n)

test('every precompile of the table has a case', () => {
  expect(new Set(PRECOMPILE_CASES.map(({ address }) => address))).toEqual(new Set(PRECOMPILES.map(({ address }) => address)))
})

test('so has every precompile of Ethereum’s but the one that copies', () => {
  const numbers = new Set(ethereumCases.map(({ address }) => Number(address)))
  expect([...numbers].sort((a, b) => a - b)).toEqual([1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 256])
})

test('a call is what its case’s name says', () => {
  const told = PRECOMPILE_CASES.filter(({ answer }) => answer !== undefined)
  expect(told.map(({ name }) => [name, called.get(name)?.answer])).toEqual(told.map(({ name, answer }) => [name, answer]))
})

test('every case has a measured cost, and every cost is of a case', () => {
  expect(costs.map(({ name }) => name)).toEqual([...GAS_CASES, REPORT_CASE, ...cases].map(({ name }) => name))
})

test('the gas that was recorded beside a cost is today’s: who changes gas measures again', () => {
  const recorded = costs.filter(({ name }) => called.has(name))
  expect(recorded.map(({ name, gas }) => [name, gas])).toEqual(cases.map(({ name }) => [name, gasOf(name)]))
})

test('no call costs more than twice what its gas pays for', () => {
  const underpriced = costs.filter(({ name, recoveries }) => called.has(name) && !(gasOf(name) * 2 >= recoveries * Number(RECOVERY_GAS)))
  expect(underpriced).toEqual([])
})
