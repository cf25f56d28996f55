/** The journal of the ledger: what is undone is as if it had never been, and what is taken out is what a block changed. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLedger, type JournaledLedger } from '../../../execution/ledger/ledger.ts'

const id = (n: number) => Uint8Array.of(0, n)
const bytes = (n: number) => Uint8Array.of(n)

test('revert brings back what stood at the checkpoint, nested ones included', () => {
  const ledger = createLedger(() => undefined)
  ledger.set(1, id(1), bytes(1))
  ledger.checkpoint()
  ledger.set(1, id(1), bytes(2))
  ledger.checkpoint()
  ledger.set(1, id(1), undefined)
  ledger.set(1, id(2), bytes(3))
  ledger.commit()
  expect([ledger.get(1, id(1)), ledger.get(1, id(2))]).toEqual([undefined, bytes(3)])
  ledger.revert()
  expect([ledger.get(1, id(1)), ledger.get(1, id(2))]).toEqual([bytes(1), undefined])
  expect(ledger.takeChanges()).toEqual([{ table: 1, id: id(1), record: bytes(1) }])
})

test('changes are taken once, each record with its last content, in the order of first change', () => {
  const ledger = createLedger((_, key) => (key[1] === 3 ? bytes(30) : undefined))
  ledger.set(1, id(2), bytes(1))
  ledger.set(1, id(1), bytes(2))
  ledger.set(2, id(1), bytes(3))
  ledger.set(1, id(2), bytes(4))
  ledger.set(1, id(3), undefined)
  expect(ledger.takeChanges()).toEqual([
    { table: 1, id: id(2), record: bytes(4) },
    { table: 1, id: id(1), record: bytes(2) },
    { table: 2, id: id(1), record: bytes(3) },
    { table: 1, id: id(3), record: undefined },
  ])
  expect(ledger.takeChanges()).toEqual([])
  expect([ledger.get(1, id(2)), ledger.get(1, id(3))]).toEqual([bytes(4), undefined])
  ledger.set(1, id(2), bytes(5))
  expect(ledger.takeChanges()).toEqual([{ table: 1, id: id(2), record: bytes(5) }])
})

test('discard forgets what was not taken', () => {
  const ledger = createLedger(() => bytes(7))
  ledger.checkpoint()
  ledger.set(1, id(1), bytes(1))
  ledger.discard()
  expect(ledger.get(1, id(1))).toEqual(bytes(7))
  expect(ledger.takeChanges()).toEqual([])
})

test('a commit or revert without its checkpoint, and taking changes inside one, stop us', () => {
  const ledger = createLedger(() => undefined)
  expect(() => ledger.commit()).toThrow('commit without checkpoint')
  expect(() => ledger.revert()).toThrow('revert without checkpoint')
  ledger.checkpoint()
  expect(() => ledger.takeChanges()).toThrow('changes taken inside a checkpoint')
})

type Step =
  | { kind: 'set'; key: number; value: number | undefined }
  | { kind: 'checkpoint' }
  | { kind: 'commit' }
  | { kind: 'revert' }
  | { kind: 'take' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('set' as const), key: fc.nat(5), value: fc.option(fc.nat(9), { nil: undefined }) }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'checkpoint' as const }) },
  fc.constant({ kind: 'commit' as const }),
  fc.constant({ kind: 'revert' as const }),
  fc.constant({ kind: 'take' as const }),
)

/** The same journal, as a stack of whole copies. */
function walk(ledger: JournaledLedger, steps: readonly Step[]): void {
  const stored = new Map<number, number>()
  let top = new Map<number, number>()
  const below: Map<number, number>[] = []
  for (const one of steps) {
    if (one.kind === 'set') {
      ledger.set(1, id(one.key), one.value === undefined ? undefined : bytes(one.value))
      if (one.value === undefined) top.delete(one.key)
      else top.set(one.key, one.value)
    } else if (one.kind === 'checkpoint') {
      ledger.checkpoint()
      below.push(new Map(top))
    } else if (one.kind === 'take') {
      if (below.length > 0) continue
      for (const { id: key, record } of ledger.takeChanges()) {
        if (record) stored.set(key[1] ?? 0, record[0] ?? 0)
        else stored.delete(key[1] ?? 0)
      }
      expect(new Map([...stored].sort())).toEqual(new Map([...top].sort()))
    } else if (below.length > 0) {
      const then = below.pop()
      ledger[one.kind]()
      if (one.kind === 'revert' && then) top = then
    }
    for (let key = 0; key <= 5; key++) expect(ledger.get(1, id(key))?.[0]).toBe(top.get(key))
  }
}

test('any walk of sets, checkpoints, commits, reverts and takes is that of a stack of copies', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) =>
      walk(
        createLedger(() => undefined),
        steps,
      ),
    ),
    { numRuns: 500 },
  )
})
