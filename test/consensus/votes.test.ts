import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NIL } from '../../consensus/digest.ts'
import type { Evidence } from '../../consensus/evidence.ts'
import type { Vote } from '../../consensus/message.ts'
import type { ValidatorSet } from '../../consensus/validatorSet.ts'
import {
  addVote,
  advanceVotes,
  hasAnyQuorum,
  hasQuorum,
  latestRoundOfThird,
  NO_VOTES,
  ROUNDS_AHEAD,
  ROUNDS_KEPT,
  type Votes,
  votesFor,
} from '../../consensus/votes.ts'
import { blockHash, fakeVote, setOf } from './fixtures.ts'

const A = blockHash(0xa)
const B = blockHash(0xb)
/** 11 in all, not divisible by 3: a quorum is 8, a third is 4, and the first validator is a third alone. */
const ODD = setOf([5, 3, 2, 1])

function addAll(list: readonly Vote[], set: ValidatorSet = ODD, current = 0): { votes: Votes; counted: boolean[]; evidence: Evidence[] } {
  let votes = NO_VOTES
  const [counted, evidence]: [boolean[], Evidence[]] = [[], []]
  for (const vote of list) {
    const added = addVote(votes, set, vote, current)
    votes = added.votes
    counted.push(added.counted)
    evidence.push(...added.evidence)
  }
  return { votes, counted, evidence }
}

const prevote = (validator: number, rest: Partial<Vote> = {}) => fakeVote({ kind: 'prevote', validator, blockHash: A, ...rest })
const precommit = (validator: number, rest: Partial<Vote> = {}) => fakeVote({ kind: 'precommit', validator, blockHash: A, ...rest })
const forA = { kind: 'prevote', round: 0, blockHash: A, validRound: -1 } as const

test('a quorum of one thing is reached by weight, not by heads', () => {
  const quorum = (voters: number[]) => hasQuorum(addAll(voters.map((one) => prevote(one))).votes, ODD, forA)
  expect(quorum([0, 2])).toBe(false) // 7 of 11
  expect(quorum([1, 2, 3])).toBe(false) // 6 of 11, three of four heads
  expect(quorum([0, 1])).toBe(true) // 8 of 11
  expect(quorum([0, 2, 3])).toBe(true)
})

test('votes for different blocks, nil, and valid rounds are different things, and all count for any', () => {
  const { votes } = addAll([prevote(0), prevote(1, { blockHash: B }), prevote(2, { blockHash: NIL })])
  expect(hasQuorum(votes, ODD, forA)).toBe(false)
  expect(hasAnyQuorum(votes, ODD, 'prevote', 0)).toBe(true)
  expect(hasAnyQuorum(votes, ODD, 'precommit', 0)).toBe(false)
  const split = addAll([prevote(0, { round: 3, validRound: 1 }), prevote(1, { round: 3, validRound: 2 })], ODD, 3)
  expect(hasQuorum(split.votes, ODD, { ...forA, round: 3, validRound: 1 })).toBe(false)
})

test('a vote counts once however often it comes', () => {
  const { votes, counted, evidence } = addAll([prevote(0), prevote(0), prevote(0)])
  expect(counted).toEqual([true, false, false])
  expect(evidence).toEqual([])
  expect(votes.rounds.get(0)?.prevoteWeight).toBe(5n)
  expect(votesFor(votes, forA)).toHaveLength(1)
})

test('a second, different vote counts nowhere and is evidence, once a validator', () => {
  const { votes, counted, evidence } = addAll([
    prevote(0),
    prevote(0, { blockHash: B }),
    prevote(0, { blockHash: NIL }),
    precommit(0),
    precommit(0, { blockHash: NIL }),
  ])
  expect(counted).toEqual([true, false, false, true, false])
  expect(evidence.map(({ kind, validator, first, second }) => [kind, validator, first.blockHash, second.blockHash])).toEqual([
    ['doubleVote', 0, A, B],
  ])
  expect(votes.rounds.get(0)?.prevoteWeight).toBe(5n)
})

test('the same block with another valid round is a double vote', () => {
  const { evidence } = addAll([prevote(0, { round: 2, validRound: 0 }), prevote(0, { round: 2, validRound: 1 })], ODD, 2)
  expect(evidence.map((one) => one.kind)).toEqual(['doubleVote'])
})

const AMNESIA = [
  {
    it: 'a later prevote of another block with no valid round',
    votes: [precommit(0), prevote(0, { round: 2, blockHash: B })],
    found: true,
  },
  { it: 'the same, heard in the other order', votes: [prevote(0, { round: 2, blockHash: B }), precommit(0)], found: true },
  {
    it: 'a later prevote that rests on a polka before the precommit',
    votes: [precommit(0, { round: 1 }), prevote(0, { round: 2, blockHash: B, validRound: 0 })],
    found: true,
  },
  {
    it: 'a later prevote that rests on a polka of the precommit’s round',
    votes: [precommit(0, { round: 1 }), prevote(0, { round: 2, blockHash: B, validRound: 1 })],
    found: false,
  },
  { it: 'a later prevote of the same block', votes: [precommit(0), prevote(0, { round: 2 })], found: false },
  { it: 'a later nil prevote', votes: [precommit(0), prevote(0, { round: 2, blockHash: NIL })], found: false },
  { it: 'a precommit of nil', votes: [precommit(0, { blockHash: NIL }), prevote(0, { round: 2, blockHash: B })], found: false },
  { it: 'an earlier prevote', votes: [precommit(0, { round: 2 }), prevote(0, { round: 1, blockHash: B })], found: false },
  { it: 'another validator', votes: [precommit(0), prevote(1, { round: 2, blockHash: B })], found: false },
]

for (const { it, votes, found } of AMNESIA) {
  test(`amnesia: a precommit and ${it} ${found ? 'is' : 'is not'} an offence`, () =>
    expect(addAll(votes, ODD, 2).evidence.map((one) => one.kind)).toEqual(found ? ['amnesia'] : []))
}

test('a third of a later round counts each voter once, and the latest such round wins', () => {
  const third = (list: Vote[]) => latestRoundOfThird(addAll(list).votes, ODD, 0)?.round
  expect(third([prevote(1, { round: 1 }), precommit(1, { round: 1 })])).toBeUndefined() // 3 of 11, twice
  expect(third([prevote(1, { round: 1 }), precommit(3, { round: 1 })])).toBe(1) // 4 of 11
  expect(third([prevote(0, { round: 1 }), prevote(0, { round: 2 })])).toBe(2)
  expect(third([prevote(0, { round: 0 })])).toBeUndefined()
})

test('votes far ahead: only the newest of each validator is kept, and they show the way', () => {
  const far = ROUNDS_AHEAD + 1
  const { votes, counted } = addAll([prevote(0, { round: far }), prevote(0, { round: far + 6 }), prevote(0, { round: far + 1 })])
  expect(counted).toEqual([false, false, false])
  expect([...votes.ahead.values()].map((vote) => vote.round)).toEqual([far + 6])
  expect(latestRoundOfThird(votes, ODD, 0)?.round).toBe(far + 6)
  const { near } = advanceVotes(votes, far + 6)
  expect(near.map((vote) => vote.round)).toEqual([far + 6])
})

test('rounds long past are forgotten, and their votes come no more', () => {
  const { votes } = addAll([prevote(0)])
  const moved = advanceVotes(votes, ROUNDS_KEPT).votes
  expect([...moved.rounds.keys()]).toEqual([])
  expect(addVote(moved, ODD, prevote(1), ROUNDS_KEPT)).toEqual({ votes: moved, counted: false, evidence: [] })
})

test('however many votes come, what is kept is bounded', () => {
  const anyVote = fc.record({ validator: fc.nat(3), round: fc.nat(200), block: fc.nat(3), isPrevote: fc.boolean() })
  fc.assert(
    fc.property(fc.array(anyVote, { maxLength: 300 }), (list) => {
      const { votes, evidence } = addAll(
        list.map(({ validator, round, block, isPrevote }) =>
          fakeVote({ kind: isPrevote ? 'prevote' : 'precommit', validator, round, blockHash: blockHash(block) }),
        ),
      )
      const kept = [...votes.rounds.values()].reduce((sum, round) => sum + round.prevote.size + round.precommit.size, 0)
      expect(kept).toBeLessThanOrEqual(4 * 2 * (ROUNDS_AHEAD + 1))
      expect(votes.ahead.size).toBeLessThanOrEqual(4)
      expect(evidence.length).toBeLessThanOrEqual(4 * 2)
    }),
    { numRuns: 50 },
  )
})

test('the keeper agrees with a naive count of first votes', () => {
  const anyVote = fc.record({ validator: fc.nat(3), block: fc.nat(2), isPrevote: fc.boolean() })
  fc.assert(
    fc.property(fc.array(anyVote, { maxLength: 30 }), (list) => {
      const all = list.map(({ validator, block, isPrevote }) =>
        fakeVote({ kind: isPrevote ? 'prevote' : 'precommit', validator, blockHash: block === 0 ? NIL : blockHash(block) }),
      )
      const { votes } = addAll(all)
      const first = all.filter(
        (vote, at) => all.findIndex((other) => other.kind === vote.kind && other.validator === vote.validator) === at,
      )
      const weightOf = (list: readonly Vote[]) => list.reduce((sum, vote) => sum + Number(ODD.validators[vote.validator]?.weight ?? 0), 0)
      for (const kind of ['prevote', 'precommit'] as const) {
        for (const hash of [NIL, blockHash(1), blockHash(2)]) {
          const weight = weightOf(first.filter((vote) => vote.kind === kind && vote.blockHash === hash))
          expect(hasQuorum(votes, ODD, { kind, round: 0, blockHash: hash, validRound: -1 })).toBe(weight * 3 > 22)
        }
        expect(hasAnyQuorum(votes, ODD, kind, 0)).toBe(weightOf(first.filter((vote) => vote.kind === kind)) * 3 > 22)
      }
      const voters = new Set(first.map((vote) => vote.validator))
      expect(votes.rounds.get(0)?.voterWeight ?? 0n).toBe([...voters].reduce((sum, one) => sum + (ODD.validators[one]?.weight ?? 0n), 0n))
    }),
    { numRuns: 100 },
  )
})
