/**
 * The rule table of a native type: every rejection, in order of precedence.
 *
 * Each way of breaking a rule is tried alone, and together with every later rule broken as well, which still has to name this one. A rule
 * that speaks of both lanes is tried in both. Together the tables of a type hold exactly the rejections that stand in its source.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { FieldValues, NativeContext, NativeType } from '../../../execution/native/nativeType.ts'
import type { MemoryLedger } from '../../fakes/ledger.ts'
import { run } from './world.ts'

export type Lane = 'native' | 'evm'

/** An operation that would succeed, to be spoilt. */
export type Scene<F> = { ledger: MemoryLedger; context: NativeContext; fields: F }

export type Rule<F> = {
  readonly code: string
  readonly invalid: boolean
  /** The lane that the rule is for; both, if it does not say. */
  readonly lane?: Lane
  /** Ways to break it; the first one stands for the rule where earlier rules are tried. */
  readonly ways: Readonly<Record<string, (scene: Scene<F>) => void>>
}

/** The rules of one action of a type. `scene` makes a new operation that succeeds in that lane. */
export type RuleTable<F> = {
  readonly name: string
  readonly lanes: readonly Lane[]
  readonly scene: (lane: Lane) => Scene<F>
  readonly rules: readonly Rule<F>[]
}

/** Rejections of `takeValue`. */
const VALUE_CODES = ['insufficientBalance', 'wrongValue', 'evmSupplyExceeded', 'evmExitLimit']

/** Defines the tests of a type's tables. */
export function testRuleTables<F extends FieldValues>(type: NativeType, tables: readonly RuleTable<F>[]): void {
  for (const table of tables) for (const lane of table.lanes) testTable(type, lane, table)

  test(`${type.name}: the tables hold every rejection in its source`, () => {
    const file = `${type.name.charAt(0).toLowerCase()}${type.name.slice(1)}.ts`
    const source = readFileSync(new URL(`../../../execution/native/${file}`, import.meta.url), 'utf8')
    const calls = [...source.matchAll(/\b(?:invalid|failure)\(([^{)]*)/g)].map(([, head = '']) => head)
    const written = calls.flatMap((head) => [...head.matchAll(/'(\w+)'/g)].map(([, code]) => code))
    const taken = source.includes('takeValue(') ? VALUE_CODES : []
    const held = tables.flatMap(({ rules }) => rules.map(({ code }) => code))
    expect([...new Set(held)].sort()).toEqual([...new Set([...written, ...taken])].sort())
    for (const { rules } of tables) expect(new Set(rules.map(({ code }) => code)).size).toBe(rules.length)
  })
}

function testTable<F extends FieldValues>(type: NativeType, lane: Lane, { name, scene, rules }: RuleTable<F>): void {
  const title = `${type.name}, ${name}, ${lane}`
  const ofLane = rules.filter((rule) => rule.lane === undefined || rule.lane === lane)
  const outcome = ({ ledger, context, fields }: Scene<F>) => run(type, ledger, context, fields)

  test(`${title}: succeeds until a rule is broken`, () => expect(outcome(scene(lane))).toMatchObject({ ok: true }))

  for (const [k, { code, invalid, ways }] of ofLane.entries()) {
    for (const [way, spoil] of Object.entries(ways)) {
      test(`${title}: ${code} (${way}), whatever else is broken after it`, () => {
        const alone = scene(lane)
        spoil(alone)
        expect(outcome(alone)).toMatchObject({ ok: false, code, invalid })

        const withLater = scene(lane)
        for (const later of ofLane.slice(k + 1).reverse()) Object.values(later.ways)[0]?.(withLater)
        spoil(withLater)
        expect(outcome(withLater)).toMatchObject({ ok: false, code, invalid })
      })
    }
  }
}
