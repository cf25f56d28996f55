/** The journal of the ledger: what is undone is as if it had never been, and what is taken out is what a block changed. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CACHED_RECORDS_MAX, createLedger, type JournaledLedger, type LedgerChange } from '../../../execution/ledger/ledger.ts'
import { accounts, draws, maturities } from '../../../execution/ledger/tables.ts'
import { treeKey } from '../../../execution/ledger/tree.ts'

const id = (n: number) => Uint8Array.of(0, n)
const bytes = (n: number) => Uint8Array.of(n)

/** The changes that are taken, each held to the key that its table and id have. */
function recordsBefore(ledger: JournaledLedger): (Uint8Array | undefined)[] {
  return ledger.takeChanges().map(({ before }) => (typeof before === 'function' ? before() : before))
}

function taken(ledger: JournaledLedger): LedgerChange[] {
  return ledger.takeChanges().map(({ table, id: key, record, key: inTree }) => {
    expect(inTree).toEqual(treeKey(table, key))
    return { table, id: key, record }
  })
}

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
  expect(taken(ledger)).toEqual([{ table: 1, id: id(1), record: bytes(1) }])
})

test('changes are taken once, each record with its last content, in the order of first change', () => {
  const ledger = createLedger((_, key) => (key[1] === 3 ? bytes(30) : undefined))
  ledger.set(1, id(2), bytes(1))
  ledger.set(1, id(1), bytes(2))
  ledger.set(2, id(1), bytes(3))
  ledger.set(1, id(2), bytes(4))
  ledger.set(1, id(3), undefined)
  expect(taken(ledger)).toEqual([
    { table: 1, id: id(2), record: bytes(4) },
    { table: 1, id: id(1), record: bytes(2) },
    { table: 2, id: id(1), record: bytes(3) },
    { table: 1, id: id(3), record: undefined },
  ])
  expect(taken(ledger)).toEqual([])
  expect([ledger.get(1, id(2)), ledger.get(1, id(3))]).toEqual([bytes(4), undefined])
  ledger.set(1, id(2), bytes(5))
  expect(taken(ledger)).toEqual([{ table: 1, id: id(2), record: bytes(5) }])
})

test('discard forgets what was not taken', () => {
  const ledger = createLedger(() => bytes(7))
  ledger.checkpoint()
  ledger.set(1, id(1), bytes(1))
  ledger.discard()
  expect(ledger.get(1, id(1))).toEqual(bytes(7))
  expect(taken(ledger)).toEqual([])
})

test('a change tells what was committed before it, whether or not somebody had read it', () => {
  const ledger = createLedger((_, key) => (key[1] === 1 ? bytes(7) : undefined))
  ledger.get(1, id(1))
  ledger.set(1, id(1), bytes(8))
  ledger.set(1, id(2), bytes(9))
  expect(recordsBefore(ledger)).toEqual([bytes(7), undefined])
  ledger.set(1, id(1), bytes(9))
  expect(recordsBefore(ledger)).toEqual([bytes(8)])
  const unread = createLedger(() => bytes(7))
  unread.set(1, id(1), undefined)
  expect(recordsBefore(unread)).toEqual([bytes(7)])
})

test('a record is the same in both forms, and its id in any spelling', () => {
  const lower = '0xabcdefabcdefabcdefabcdefabcdefabcdefabcd'
  const upper = '0xABCDEFabcdefabcdefabcdefabcdefabcdefABCD'
  const ledger = createLedger(() => undefined)
  const record = { index: 1, balance: 5n, prepaid: 0n, unlockAt: 0n, nonce: 2n }
  accounts.put(ledger, { account: upper }, record)
  expect([accounts.get(ledger, { account: lower }), accounts.get(ledger, { account: upper })]).toEqual([record, record])
  const packed = ledger.get(accounts.number, accounts.encodeId({ account: lower }))
  expect(packed && accounts.decode(packed)).toEqual(record)
  ledger.set(accounts.number, accounts.encodeId({ account: lower }), undefined)
  expect(accounts.get(ledger, { account: upper })).toBeUndefined()
  draws.put(ledger, { client: lower, worker: upper }, { drawn: 1n })
  maturities.put(ledger, { epoch: 4_000_000_000 }, { atSec: 9n })
  expect(draws.get(ledger, { client: upper, worker: lower })).toEqual({ drawn: 1n })
  expect(taken(ledger)).toEqual([
    { table: 1, id: accounts.encodeId({ account: lower }), record: undefined },
    { table: 7, id: draws.encodeId({ client: lower, worker: lower }), record: new Uint8Array(12).fill(1, 11) },
    { table: 14, id: maturities.encodeId({ epoch: 4_000_000_000 }), record: new Uint8Array(8).fill(9, 7) },
  ])
})

test('records that many others came after are read again; those in use are not', () => {
  const reads: number[] = []
  const ledger = createLedger((table) => {
    reads.push(table)
    return bytes(1)
  })
  const wide = (n: number) => Uint8Array.of(n >> 16, n >> 8, n)
  for (let n = 0; n < 3 * CACHED_RECORDS_MAX; n++) {
    ledger.get(2, wide(n))
    if (n % 1_000 > 0) continue
    ledger.get(1, id(1))
    ledger.takeChanges()
  }
  ledger.get(3, id(1))
  ledger.get(2, wide(0))
  expect(reads.filter((table) => table === 1)).toHaveLength(1)
  expect(reads.slice(-2)).toEqual([3, 2])
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
