/** Earnings: sixteen neighbours of an epoch in a record, and nobody notices. Spec: docs/spec/ledger.md#earnings */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  addEarned,
  addEntries,
  EARNERS_PER_RECORD,
  earningsAt,
  getEarned,
  setEarned,
  sumOfEntries,
} from '../../../execution/ledger/earnings.ts'
import { createLedger, type JournaledLedger } from '../../../execution/ledger/ledger.ts'
import { earnings } from '../../../execution/ledger/tables.ts'

const GREATEST = 2n ** 96n - 1n
const GWEI = 10n ** 9n
/** The largest amount of an entry. */
const ENTRY_MAX = 2 ** 48 - 1

function sixteen(amounts: Readonly<Record<number, bigint>>): bigint[] {
  return Array.from({ length: EARNERS_PER_RECORD }, (_, place) => amounts[place] ?? 0n)
}

test('account n of an epoch stands in record n / 16 at place n % 16, the epoch first in its id', () => {
  expect(earningsAt({ account: 0xffffffff, epoch: 7 })).toEqual({ id: { epoch: 7, group: 0x0fffffff }, place: 15 })
  const ledger = createLedger(() => undefined)
  addEntries(ledger, 7, { accounts: [3, 15, 16], amountsGwei: [1, 2, 3] })
  setEarned(ledger, { account: 500, epoch: 7 }, GREATEST)
  addEarned(ledger, { account: 15, epoch: 7 }, 4n)
  const records = ledger.takeChanges().map(({ table, id, record }) => ({ table, id: [...id], length: record?.length, ...decoded(record) }))
  expect(records).toEqual([
    { table: 9, id: [0, 0, 0, 7, 0, 0, 0, 0], length: 194, amounts: sixteen({ 3: GWEI, 15: 2n * GWEI + 4n }) },
    { table: 9, id: [0, 0, 0, 7, 0, 0, 0, 1], length: 194, amounts: sixteen({ 0: 3n * GWEI }) },
    { table: 9, id: [0, 0, 0, 7, 0, 0, 0, 31], length: 194, amounts: sixteen({ 4: GREATEST }) },
  ])
})

test('a record goes with the last amount in it', () => {
  const ledger = createLedger(() => undefined)
  addEntries(ledger, 1, { accounts: [32, 33], amountsGwei: [5, 6] })
  setEarned(ledger, { account: 32, epoch: 1 }, 0n)
  expect(recordOf(ledger, { epoch: 1, group: 2 })).toEqual({ amounts: sixteen({ 1: 6n * GWEI }) })
  setEarned(ledger, { account: 33, epoch: 1 }, 0n)
  expect(recordOf(ledger, { epoch: 1, group: 2 })).toBeUndefined()
  addEarned(ledger, { account: 33, epoch: 1 }, 0n)
  expect(ledger.takeChanges().map(({ record }) => record)).toEqual([undefined])
})

test('accounts that do not ascend are nobody’s list of entries', () => {
  const ledger = createLedger(() => undefined)
  expect(() => addEntries(ledger, 1, { accounts: [5, 40, 39, 7], amountsGwei: [1, 1, 1, 1] })).toThrow('accounts do not ascend')
})

const account = fc.oneof(fc.nat(100), fc.constantFrom(0xfffffff0, 0xffffffff))
const epoch = fc.nat(2)
const amountWei = fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 2n ** 80n }))
type Step = { readonly epoch: number; readonly undo: boolean } & (
  | { readonly kind: 'list'; readonly entries: readonly (readonly [account: number, amountGwei: number])[] }
  | { readonly kind: 'add' | 'set'; readonly account: number; readonly amountWei: bigint }
)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('list' as const),
    epoch,
    undo: fc.boolean(),
    entries: fc.uniqueArray(fc.tuple(account, fc.integer({ min: 1, max: ENTRY_MAX })), { selector: ([one]) => one, maxLength: 30 }),
  }),
  fc.record({ kind: fc.constantFrom('add' as const, 'set' as const), epoch, undo: fc.boolean(), account, amountWei }),
)

function take(ledger: JournaledLedger, one: Step): void {
  if (one.kind === 'list') {
    const entries = [...one.entries].sort(([a], [b]) => a - b)
    addEntries(ledger, one.epoch, { accounts: entries.map(([who]) => who), amountsGwei: entries.map(([, gwei]) => gwei) })
  } else if (one.kind === 'add') addEarned(ledger, one, one.amountWei)
  else setEarned(ledger, one, one.amountWei)
}

/** Steps inside one checkpoint, each in one of its own; `isTaken`: the block ends behind them. */
const transaction = fc.record({ steps: fc.array(step, { minLength: 1, maxLength: 4 }), undo: fc.boolean(), isTaken: fc.boolean() })

function takeToModel(model: Map<string, bigint>, one: Step): void {
  const entries =
    one.kind === 'list' ? one.entries.map(([who, gwei]) => [who, BigInt(gwei) * GWEI] as const) : [[one.account, one.amountWei] as const]
  for (const [who, wei] of entries) {
    const before = one.kind === 'set' ? 0n : (model.get(`${who}/${one.epoch}`) ?? 0n)
    model.set(`${who}/${one.epoch}`, before + wei)
  }
}

test('whatever is added, set and undone, everybody has what a list of accounts says, and what is stored follows from that alone', () => {
  fc.assert(
    fc.property(fc.array(transaction, { maxLength: 12 }), (transactions) => {
      const stored = new Map<string, Uint8Array>()
      const key = (table: number, id: Uint8Array) => `${table}/${id.join('.')}`
      const ledger = createLedger((table, id) => stored.get(key(table, id)))
      const store = () => {
        for (const { table, id, record } of ledger.takeChanges()) {
          if (record) stored.set(key(table, id), record)
          else stored.delete(key(table, id))
        }
      }
      let model = new Map<string, bigint>()
      for (const { steps, undo, isTaken } of transactions) {
        const after = new Map(model)
        ledger.checkpoint()
        for (const one of steps) {
          ledger.checkpoint()
          take(ledger, one)
          if (one.undo) ledger.revert()
          else {
            ledger.commit()
            takeToModel(after, one)
          }
        }
        if (undo) ledger.revert()
        else {
          ledger.commit()
          model = after
        }
        if (isTaken) store()
      }
      for (const [name, wei] of model) {
        const [who = 0, when = 0] = name.split('/').map(Number)
        expect(getEarned(ledger, { account: who, epoch: when })).toBe(wei)
      }
      store()
      const groups = new Set(
        [...model].filter(([, wei]) => wei > 0n).map(([name]) => `${Math.floor(Number.parseInt(name, 10) / 16)} ${name.split('/')[1]}`),
      )
      expect(stored.size).toBe(groups.size)
      expect([...stored.values()].flatMap((record) => earnings.decode(record).amounts).reduce((sum, wei) => sum + wei, 0n)).toBe(
        [...model.values()].reduce((sum, wei) => sum + wei, 0n),
      )
    }),
    { numRuns: 300 },
  )
})

test('an undone list leaves no trace, in a record that was changed before and in one that was not', () => {
  const ledger = createLedger(() => undefined)
  addEntries(ledger, 1, { accounts: [1, 2], amountsGwei: [10, 20] })
  const [before] = ledger.takeChanges()
  ledger.checkpoint()
  addEntries(ledger, 1, { accounts: [1, 40], amountsGwei: [ENTRY_MAX, 5] })
  expect(getEarned(ledger, { account: 1, epoch: 1 })).toBe(BigInt(ENTRY_MAX + 10) * GWEI)
  ledger.revert()
  expect(recordOf(ledger, { epoch: 1, group: 0 })).toEqual(decoded(before?.record))
  expect(ledger.takeChanges()).toEqual([])
})

test('entries add up beyond what a number holds, in records and in their sum', () => {
  const ledger = createLedger(() => undefined)
  const accounts = Array.from({ length: 32 }, (_, i) => i)
  const amountsGwei = accounts.map((i) => ENTRY_MAX - i)
  for (let i = 0; i < 100; i++) addEntries(ledger, 1, { accounts, amountsGwei })
  for (const who of accounts) expect(getEarned(ledger, { account: who, epoch: 1 })).toBe(100n * BigInt(ENTRY_MAX - who) * GWEI)
  const more = Array.from({ length: 1_000 }, (_, i) => ENTRY_MAX - i)
  expect(sumOfEntries({ amountsGwei: more })).toBe(more.reduce((sum, gwei) => sum + BigInt(gwei) * GWEI, 0n))
  const records = ledger.takeChanges().map(({ record }) => decoded(record)?.amounts)
  expect(records.flat()).toEqual(accounts.map((who) => 100n * BigInt(ENTRY_MAX - who) * GWEI))
})

function recordOf(ledger: JournaledLedger, id: { readonly epoch: number; readonly group: number }) {
  return decoded(ledger.get(earnings.number, earnings.encodeId(id)))
}

function decoded(record: Uint8Array | undefined) {
  return record && earnings.decode(record)
}
