/** The rules of epochs, one by one and in random walks against a model, and what blocks make of them. Spec: docs/spec/consensus.md#epochs */
import fc from 'fast-check'
import { type Hex, toHex } from 'viem'
import { expect, test } from 'vitest'
import { applyBlock } from '../../../execution/applyBlock.ts'
import { EMPTY_REQUESTS_HASH } from '../../../execution/block.ts'
import type { Deposit, ValidatorChange } from '../../../execution/deposit.ts'
import { epochOf, isLastOfEpoch } from '../../../execution/epoch.ts'
import { createGenesisBlock } from '../../../execution/genesisBlock.ts'
import { createLedger } from '../../../execution/ledger/ledger.ts'
import { getL1Info } from '../../../execution/ledger/tables.ts'
import {
  changeValidator,
  hashOfSet,
  putGenesisValidators,
  requestsHashOf,
  setOfEpoch,
  type Validator,
} from '../../../execution/ledger/validators.ts'
import { GenesisError } from '../../../genesis/genesis.ts'
import { VALIDATORS, VALIDATORS_MAX } from '../../../genesis/params.ts'
import { validator as namedValidator, setOf } from '../../consensus/fixtures.ts'
import { createTestChain, type TestChain, testGenesis } from '../../fakes/testChain.ts'
import { validatorWord } from '../../fakes/validatorWord.ts'

const FEES: Hex = `0x${'fe'.repeat(20)}`

/** A change by numbers: the key need be none for the ledger. */
function change(who: number, weight: number | bigint, key = who): ValidatorChange {
  const words = [toHex(key, { size: 32 }), toHex(1, { size: 32 }), toHex(2, { size: 32 })] as const
  return { validator: toHex(0xa000 + who, { size: 20 }), feeRecipient: FEES, weight: BigInt(weight), key: words }
}

function member(who: number, weight: number | bigint, key = who): Validator {
  const { validator, feeRecipient, weight: own, key: words } = change(who, weight, key)
  return { validator, feeRecipient, weight: own, key0: words[0], key1: words[1], key2: words[2] }
}

/** A ledger whose first set is of these numbers, each of weight 1. */
function ledgerOf(...first: readonly number[]) {
  const ledger = createLedger(() => undefined)
  putGenesisValidators(
    ledger,
    first.map((who) => member(who, 1)),
  )
  const said = (epoch: number) => setOfEpoch(ledger, epoch)?.map(({ validator, weight }) => [Number(validator) - 0xa000, Number(weight)])
  return { ledger, said }
}

test('epochs count blocks from 1; block 0 is of the first', () => {
  const params = { epochBlocks: 10 }
  expect([0n, 1n, 10n, 11n, 20n, 21n].map((number) => epochOf(number, params))).toEqual([0, 0, 0, 1, 1, 2])
  expect([0n, 1n, 10n, 11n, 20n].map((number) => isLastOfEpoch(number, params))).toEqual([false, false, true, false, true])
  expect(epochOf(10n ** 9n, { epochBlocks: 0 })).toBe(0)
  expect(isLastOfEpoch(10n, { epochBlocks: 0 })).toBe(false)
})

test('who joins, leaves or weighs more does so from the next epoch on, and keeps its place', () => {
  const { ledger, said } = ledgerOf(1, 2)
  expect(changeValidator(ledger, 0, change(3, 5))).toBe(true)
  expect(changeValidator(ledger, 0, change(1, 7))).toBe(true)
  const before = [
    [1, 1],
    [2, 1],
  ]
  const after = [
    [1, 7],
    [2, 1],
    [3, 5],
  ]
  expect([said(0), said(1), said(9)]).toEqual([before, after, after])
  expect(changeValidator(ledger, 4, change(2, 0))).toBe(true)
  const last = [
    [1, 7],
    [3, 5],
  ]
  expect([said(0), said(1), said(4), said(5)]).toEqual([before, after, after, last])
})

test('who comes and goes in one epoch is in no set', () => {
  const { ledger, said } = ledgerOf(1)
  changeValidator(ledger, 2, change(3, 5))
  changeValidator(ledger, 2, change(3, 0))
  expect(said(3)).toEqual([[1, 1]])
})

test('a set that would be empty is that of the epoch before; who comes next makes one without those who left', () => {
  const { ledger, said } = ledgerOf(1, 2)
  changeValidator(ledger, 0, change(3, 5))
  changeValidator(ledger, 1, change(1, 0))
  changeValidator(ledger, 1, change(2, 0))
  changeValidator(ledger, 1, change(3, 0))
  expect(said(2)).toEqual([
    [1, 1],
    [2, 1],
    [3, 5],
  ])
  changeValidator(ledger, 1, change(4, 2))
  expect(said(2)).toEqual([[4, 2]])
  changeValidator(ledger, 2, change(4, 0))
  expect(said(3)).toEqual([[4, 2]])
  changeValidator(ledger, 7, change(5, 1))
  expect([said(7), said(8)]).toEqual([[[4, 2]], [[5, 1]]])
})

test('what the registry never says changes nothing', () => {
  const { ledger, said } = ledgerOf(1, 2)
  expect(changeValidator(ledger, 0, change(9, 0))).toBe(false)
  expect(changeValidator(ledger, 0, change(3, 1, 2))).toBe(false)
  expect(said(1)).toEqual([
    [1, 1],
    [2, 1],
  ])
  const full = ledgerOf(...Array.from({ length: VALIDATORS_MAX }, (_, i) => i))
  expect(changeValidator(full.ledger, 0, change(1_000, 5))).toBe(false)
  expect(changeValidator(full.ledger, 0, change(5, 9))).toBe(true)
  expect(full.said(1)).toHaveLength(VALIDATORS_MAX)
})

test('without epochs there are no sets, and nothing changes', () => {
  const ledger = createLedger(() => undefined)
  expect(changeValidator(ledger, 0, change(1, 1))).toBe(false)
  expect(setOfEpoch(ledger, 0)).toBeUndefined()
})

test('a random walk of changes through epochs gives the sets of a plain model, at the time and ever after', () =>
  fc.assert(
    fc.property(fc.array(fc.record({ wait: fc.nat(2), who: fc.nat(5), weight: fc.nat(3), key: fc.nat(7) }), { maxLength: 60 }), (steps) => {
      const { ledger, said } = ledgerOf(0, 1)
      let registered = [
        { who: 0, weight: 1, key: 0 },
        { who: 1, weight: 1, key: 1 },
      ]
      let epoch = 0
      const sets = [registered]
      let next = registered
      for (const { wait, who, weight, key } of steps) {
        for (let i = 0; i < wait; i++) {
          epoch++
          sets.push(next)
        }
        const others = registered.filter((one) => one.who !== who)
        const isKnown = others.length < registered.length
        const isTaken = weight === 0 ? isKnown : others.every((one) => one.key !== key)
        expect(changeValidator(ledger, epoch, change(who, weight, key))).toBe(isTaken)
        if (!isTaken) continue
        if (weight === 0) registered = others
        else if (isKnown) registered = registered.map((one) => (one.who === who ? { who, weight, key } : one))
        else registered = [...registered, { who, weight, key }]
        next = registered.length > 0 ? registered : (sets.at(-1) ?? [])
      }
      sets.push(next)
      expect(sets.map((_, at) => said(at))).toEqual(sets.map((set) => set.map(({ who, weight }) => [who, weight])))
    }),
    { numRuns: 300 },
  ))

// ---- in blocks ----

const EPOCH_BLOCKS = 3

function originWith(chain: TestChain, deposits: readonly Deposit[]) {
  const before = getL1Info(chain.executor.state.ledger)
  const number = before.number + 1n
  const info = { ...before, number, hash: toHex(number, { size: 32 }), depositCursor: before.depositCursor + BigInt(deposits.length) }
  return { info, deposits }
}

/** A chain whose genesis file has four validators of weight 1. */
async function chainWithEpochs(): Promise<TestChain> {
  const { validators } = setOf([1, 1, 1, 1])
  const named = validators.map(({ address, publicKey, feeRecipient }) => ({ address, blsPublicKey: publicKey, weight: 1, feeRecipient }))
  return createTestChain({ params: { epochBlocks: EPOCH_BLOCKS }, validators: named })
}

test('the genesis file’s validators are the first set, by the hash that consensus and L1 have of it', async () => {
  const chain = await chainWithEpochs()
  const first = setOfEpoch(chain.executor.state.ledger, 0)
  expect(first && hashOfSet(0, first)).toBe(setOf([1, 1, 1, 1]).hash)
  const validators = [{ address: FEES, blsPublicKey: `0x${'c2'.repeat(48)}` as const, weight: 1, feeRecipient: FEES }]
  expect(() => createGenesisBlock({ ...testGenesis({ epochBlocks: EPOCH_BLOCKS }), validators })).toThrow(GenesisError)
})

test('the last header of an epoch names the next set, with what its own block changed; others name none', async () => {
  const chain = await chainWithEpochs()
  const hashes: Hex[] = []
  for (let number = 1; number <= 7; number++) {
    const deposits = number === 3 ? [validatorWord(4, 9n)] : number === 4 ? [validatorWord(1, 0n)] : []
    const built = await chain.next([], deposits.length > 0 ? { origin: originWith(chain, deposits) } : {})
    hashes.push(built.block.header.requestsHash)
    if (number === 3) {
      const receipt = built.receipts[1]
      expect(receipt).toMatchObject({ succeeded: true, gasUsed: 0n })
      expect(receipt?.logs.map(({ address }) => address)).toEqual([VALIDATORS])
    }
  }
  const none = EMPTY_REQUESTS_HASH
  const second = requestsHashOf(setOf([1, 1, 1, 1, 9], 1).hash)
  const left = setOfEpoch(chain.executor.state.ledger, 2)
  expect(left?.map(({ validator }) => validator)).toEqual([0, 2, 3, 4].map((index) => namedValidator(index, 1n).address))
  expect(hashes).toEqual([none, none, second, none, none, requestsHashOf(hashOfSet(2, left ?? [])), none])
})

test('a block whose header names another set is refused, and so is one that names a set too early', async () => {
  const chain = await chainWithEpochs()
  const other = await chainWithEpochs()
  const next = requestsHashOf(setOf([1, 1, 1, 1], 1).hash)
  const wrong = [next, next, requestsHashOf(setOf([1, 1, 1, 1], 0).hash)]
  for (const [i, requestsHash] of wrong.entries()) {
    const parent = chain.head()
    const { block } = await chain.next([])
    const verdict = await applyBlock(other.executor, parent, { ...block, header: { ...block.header, requestsHash } })
    expect(verdict).toMatchObject({ ok: false, code: 'headerMismatch', field: 'requestsHash' })
    if (i < 2) await other.next([])
  }
})

test('data that the registry does not send changes nothing, and the block goes on', async () => {
  const chain = await chainWithEpochs()
  const built = await chain.next([], { origin: originWith(chain, [{ ...validatorWord(4, 9n), data: '0x1234' }, validatorWord(4, 9n)]) })
  expect(built.receipts.slice(1).map(({ succeeded, logs }) => [succeeded, logs.length])).toEqual([
    [true, 0],
    [true, 1],
  ])
  expect(setOfEpoch(chain.executor.state.ledger, 1)).toHaveLength(5)
})
