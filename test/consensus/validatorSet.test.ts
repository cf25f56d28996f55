import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createValidatorSet, indexOfKey, isQuorum, isThird, proposerIndex, TURNS_MAX, WEIGHT_MAX } from '../../consensus/validatorSet.ts'
import { VALIDATORS_MAX } from '../../genesis/params.ts'
import { blockHash, setOf, validator } from './fixtures.ts'

const REFUSED = [
  { it: 'no validators', validators: [], code: 'emptySet', index: 0 },
  {
    it: 'more validators than a bitmap has bits',
    validators: Array(VALIDATORS_MAX + 1).fill(validator(0, 1n)),
    code: 'tooManyValidators',
    index: 128,
  },
  { it: 'no weight', validators: [validator(0, 1n), validator(1, 0n)], code: 'weightRange', index: 1 },
  { it: 'too much weight', validators: [validator(0, WEIGHT_MAX + 1n)], code: 'weightRange', index: 0 },
  {
    it: 'a key that is no point',
    validators: [{ ...validator(0, 1n), publicKey: `0x${'ff'.repeat(48)}` as const }],
    code: 'badPublicKey',
    index: 0,
  },
  {
    it: 'the key at infinity',
    validators: [{ ...validator(0, 1n), publicKey: `0xc0${'00'.repeat(47)}` as const }],
    code: 'badPublicKey',
    index: 0,
  },
  {
    it: 'one key twice',
    validators: [validator(0, 1n), { ...validator(1, 1n), publicKey: validator(0, 1n).publicKey }],
    code: 'duplicatePublicKey',
    index: 1,
  },
  {
    it: 'one address twice',
    validators: [validator(0, 1n), { ...validator(1, 1n), address: validator(0, 1n).address }],
    code: 'duplicateAddress',
    index: 1,
  },
]

for (const { it, validators, code, index } of REFUSED) {
  test(`a set with ${it} is refused`, () => expect(createValidatorSet(0, validators)).toEqual({ ok: false, code, index }))
}

test('a quorum is more than two thirds and a third more than one third, in integers', () => {
  const thresholds = (weights: number[]) => {
    const set = setOf(weights)
    const least = (holds: (weight: bigint) => boolean) => Number(Array.from({ length: 40 }, (_, w) => BigInt(w)).find(holds))
    return [least((weight) => isThird(set, weight)), least((weight) => isQuorum(set, weight))]
  }
  expect(thresholds([1])).toEqual([1, 1])
  expect(thresholds([1, 1])).toEqual([1, 2])
  expect(thresholds([1, 1, 1])).toEqual([2, 3])
  expect(thresholds([1, 1, 1, 1])).toEqual([2, 3])
  expect(thresholds([5, 3, 2, 1])).toEqual([4, 8]) // 11 is not divisible by 3; the first alone is a third
  expect(thresholds([10, 10, 10])).toEqual([11, 21])
})

test('with equal weights the turn goes round, by height and by round', () => {
  const set = setOf([1, 1, 1])
  expect([0, 1, 2, 3, 4].map((height) => proposerIndex(set, height, 0))).toEqual([0, 1, 2, 0, 1])
  expect([0, 1, 2, 3].map((round) => proposerIndex(set, 1, round))).toEqual([1, 2, 0, 1])
  expect(proposerIndex(set, Number.MAX_SAFE_INTEGER, 2 ** 32 - 2)).toBe(proposerIndex(set, Number.MAX_SAFE_INTEGER % 3, (2 ** 32 - 2) % 3))
})

test('a cycle gives each validator exactly its weight in turns, spread out', () => {
  expect([...setOf([3, 2, 2]).turns]).toEqual([0, 1, 2, 0, 1, 2, 0])
  expect([...setOf([6, 4, 4]).turns], 'lowest terms').toEqual([0, 1, 2, 0, 1, 2, 0])
  expect([...setOf([5, 1, 1]).turns], 'the heavy one does not take its turns in one piece').toEqual([0, 0, 1, 0, 2, 0, 0])
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 6 }), (weights) => {
      const { turns } = setOf(weights)
      const counts = weights.map((_, index) => turns.filter((turn) => turn === index).length)
      const [count = 0, weight = 0] = [counts[0], weights[0]]
      expect(counts.map((one) => one * weight)).toEqual(weights.map((one) => one * count))
    }),
    { numRuns: 50 },
  )
})

test('stakes in wei give a bounded cycle, near to their shares, and nobody is left out', () => {
  const stakes = [123_456_789_012_345_678_901n, 50_000_000_000_000_000_001n, 1n]
  const { turns } = setOf(stakes)
  expect(turns.length).toBeLessThanOrEqual(TURNS_MAX + stakes.length)
  const counts = stakes.map((_, index) => turns.filter((turn) => turn === index).length)
  expect(counts).toEqual([7_117, 2_882, 1])
})

test('the hash of a set covers everything in it', () => {
  const change = (field: object) => {
    const created = createValidatorSet(0, [validator(0, 1n), { ...validator(1, 1n), ...field }])
    return created.ok ? created.set.hash : created.code
  }
  const hashes = [
    setOf([1, 1], 1).hash,
    setOf([1, 2]).hash,
    setOf([1]).hash,
    change({}),
    change({ address: `0x${'12'.repeat(20)}` }),
    change({ feeRecipient: `0x${'12'.repeat(20)}` }),
    change({ publicKey: validator(2, 1n).publicKey }),
  ]
  expect(new Set(hashes).size).toBe(hashes.length)
})

test('a validator is found by its key, a stranger is not', () => {
  const set = setOf([1, 1])
  expect(indexOfKey(set, validator(1, 1n).publicKey)).toBe(1)
  expect(indexOfKey(set, blockHash(1))).toBeUndefined()
})
