import { expect, test } from 'vitest'
import { NIL } from '../../consensus/digest.ts'
import { type Evidence, evidenceOf, verifyEvidence } from '../../consensus/evidence.ts'
import type { Vote } from '../../consensus/message.ts'
import { blockHash, CHAIN_ID, fakeVote, setOf, signatureOf } from './fixtures.ts'

const SET = setOf([1, 1, 1, 1])
const A = blockHash(0xa)
const B = blockHash(0xb)

function vote(kind: Vote['kind'], rest: Partial<Vote>): Vote {
  const unsigned = fakeVote({ kind, validator: 2, height: 5, ...rest })
  return { ...unsigned, signature: signatureOf(SET, 2, unsigned) }
}

const doubleVote = evidenceOf('doubleVote', 2, vote('prevote', { blockHash: A }), vote('prevote', { blockHash: NIL }))
const amnesia = evidenceOf(
  'amnesia',
  2,
  vote('precommit', { blockHash: A, round: 1 }),
  vote('prevote', { blockHash: B, round: 3, validRound: 0 }),
)

function verdict(evidence: Evidence, set = SET, chainId = CHAIN_ID): string {
  const verified = verifyEvidence(set, evidence, chainId)
  return verified.ok ? 'ok' : verified.code
}

test('evidence of both kinds stands against who signed, on its chain and in its epoch only', () => {
  for (const evidence of [doubleVote, amnesia]) {
    expect(verdict(evidence)).toBe('ok')
    expect(verdict({ ...evidence, validator: 1 })).toBe('badSignature')
    expect(verdict({ ...evidence, validator: 4 })).toBe('unknownValidator')
    expect(verdict({ ...evidence, height: 6 })).toBe('badSignature')
    expect(verdict(evidence, SET, CHAIN_ID + 1)).toBe('badSignature')
    expect(verdict(evidence, setOf([1, 1, 1, 1], 1))).toBe('badSignature')
  }
})

test('two signatures that a correct validator may give are no offence', () => {
  expect(verdict({ ...doubleVote, second: doubleVote.first })).toBe('noOffence')
  expect(verdict({ ...doubleVote, second: amnesia.second })).toBe('noOffence')
  expect(verdict({ ...amnesia, first: amnesia.second, second: amnesia.first })).toBe('noOffence')
  expect(
    verdict(
      evidenceOf('amnesia', 2, vote('precommit', { blockHash: A, round: 1 }), vote('prevote', { blockHash: B, round: 3, validRound: 1 })),
    ),
  ).toBe('noOffence')
  expect(verdict(evidenceOf('doubleVote', 2, vote('prevote', { blockHash: A }), vote('precommit', { blockHash: B })))).toBe('noOffence')
})

test('a forged half does not stand', () => {
  expect(verdict({ ...doubleVote, second: { ...doubleVote.second, signature: doubleVote.first.signature } })).toBe('badSignature')
})
