/**
 * Gas against measured cost: test/bench/gasCosts.json has what operations of every native type cost in signature recoveries, of 3,000 gas each
 * (`npm run bench -- gas -- --write`). Spec: docs/spec/transactions.md#gas
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { NATIVE_TYPES, nativeGas } from '../../../execution/native/native.ts'
import { REPORT_GAS } from '../../../genesis/params.ts'
import { GAS_CASES, type GasCost, imaginedGas, RECOVERY_GAS, REPORT_CASE } from '../../bench/gasCases.ts'

const all: readonly GasCost[] = JSON.parse(readFileSync(new URL('../../bench/gasCosts.json', import.meta.url), 'utf8'))
/** What stands behind these are precompiles: test/precompiles/gas.test.ts */
const costs = all.slice(0, GAS_CASES.length + 1)

/** Gas of every case as it is today, by the case's name. */
function gasToday(): ReadonlyMap<string, number> {
  const { stage, turn, prepared } = imaginedGas()
  const natives = GAS_CASES.map(
    ({ name, type, fields }) => [name, Number(nativeGas({ type, fields: fields(stage, turn, prepared) }))] as const,
  )
  return new Map([...natives, [REPORT_CASE.name, Number(REPORT_GAS)]])
}

test('every native type has a measured cost, and every cost is of a case', () => {
  expect(new Set(GAS_CASES.map(({ type }) => type))).toEqual(new Set(NATIVE_TYPES))
  expect(costs.map(({ name }) => name)).toEqual([...GAS_CASES, REPORT_CASE].map(({ name }) => name))
})

test('the gas that was recorded beside a cost is today’s: who changes gas measures again', () => {
  expect(new Map(costs.map(({ name, gas }) => [name, gas]))).toEqual(gasToday())
})

test('no operation costs more than twice what its gas pays for', () => {
  const today = gasToday()
  const underpriced = costs.filter(({ name, recoveries }) => !((today.get(name) ?? 0) * 2 >= recoveries * Number(RECOVERY_GAS)))
  expect(underpriced).toEqual([])
})
