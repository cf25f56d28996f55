import { expect, test } from 'vitest'
import { aggregateSignatures } from '../../consensus/bls.ts'
import {
  buildCommit,
  buildPolka,
  buildRoundCert,
  type Commit,
  type RoundCert,
  roundProof,
  signersOf,
  verifyCommit,
  verifyPolka,
  verifyRoundCert,
} from '../../consensus/certificate.ts'
import { NIL } from '../../consensus/digest.ts'
import type { Vote } from '../../consensus/message.ts'
import { assert } from '../../execution/assert.ts'
import { blockHash, CHAIN_ID, setOf, signatureOf } from './fixtures.ts'

/** 11 in all: a quorum is 8, a third is 4. */
const SET = setOf([5, 3, 2, 1])
const A = blockHash(0xa)
const B = blockHash(0xb)

function vote(kind: Vote['kind'], validator: number, rest: Partial<Vote> = {}): Vote {
  const statement = { kind, height: 9, round: 2, validRound: -1, blockHash: A, ...rest }
  return { ...statement, validator, signature: signatureOf(SET, validator, statement) }
}

const precommits = (...from: number[]) => from.map((validator) => vote('precommit', validator))
const commit = buildCommit(SET, precommits(0, 1), aggregateSignatures)
const polka = buildPolka(
  SET,
  [0, 2, 3].map((validator) => vote('prevote', validator, { validRound: 1 })),
  aggregateSignatures,
)

test('a commit of a quorum stands, for its set, chain, epoch, height, round and block only', () => {
  expect(commit.bitmap).toEqual(Uint8Array.of(0b0011))
  expect(verifyCommit(SET, commit, CHAIN_ID)).toEqual({ ok: true })
  const bad = { ok: false, code: 'badSignature' }
  expect(verifyCommit(SET, commit, CHAIN_ID + 1)).toEqual(bad)
  expect(verifyCommit(setOf([5, 3, 2, 1], 1), commit, CHAIN_ID)).toEqual(bad)
  expect(verifyCommit(SET, { ...commit, height: 10 }, CHAIN_ID)).toEqual(bad)
  expect(verifyCommit(SET, { ...commit, round: 1 }, CHAIN_ID)).toEqual(bad)
  expect(verifyCommit(SET, { ...commit, blockHash: B }, CHAIN_ID)).toEqual(bad)
})

const WRONG: { it: string; change: Partial<Commit>; code: string }[] = [
  { it: 'names another signer', change: { bitmap: Uint8Array.of(0b1101) }, code: 'badSignature' },
  { it: 'names one signer more', change: { bitmap: Uint8Array.of(0b0111) }, code: 'badSignature' },
  { it: 'has a bit beyond the set', change: { bitmap: Uint8Array.of(0b10011) }, code: 'bitBeyondSet' },
  { it: 'has a byte too many', change: { bitmap: Uint8Array.of(0b0011, 0) }, code: 'bitmapSize' },
  { it: 'has no bitmap', change: { bitmap: new Uint8Array() }, code: 'bitmapSize' },
  { it: 'has another signature', change: { signature: polka.signature }, code: 'badSignature' },
  { it: 'has zeros for a signature', change: { signature: new Uint8Array(96) }, code: 'badSignature' },
  {
    it: 'has the signature at infinity',
    change: { signature: Uint8Array.from({ length: 96 }, (_, at) => (at === 0 ? 0xc0 : 0)) },
    code: 'badSignature',
  },
  {
    it: 'adds a signer’s signature twice',
    change: { signature: aggregateSignatures([...precommits(0, 1), ...precommits(1)].map((one) => one.signature)) },
    code: 'badSignature',
  },
]

for (const { it, change, code } of WRONG) {
  test(`a commit that ${it} is refused`, () => expect(verifyCommit(SET, { ...commit, ...change }, CHAIN_ID)).toEqual({ ok: false, code }))
}

test('a commit below a quorum is refused with its weight, however many heads signed', () => {
  const weak = buildCommit(SET, precommits(1, 2, 3), aggregateSignatures)
  expect(verifyCommit(SET, weak, CHAIN_ID)).toEqual({ ok: false, code: 'weightTooLow', weight: 6n, totalWeight: 11n })
})

test('prevotes make no commit, and precommits no polka', () => {
  const prevotes = [0, 1].map((validator) => vote('prevote', validator))
  expect(verifyCommit(SET, buildCommit(SET, prevotes, aggregateSignatures), CHAIN_ID)).toEqual({ ok: false, code: 'badSignature' })
  expect(verifyPolka(SET, buildPolka(SET, precommits(0, 1), aggregateSignatures), CHAIN_ID)).toEqual({ ok: false, code: 'badSignature' })
})

test('a polka stands for its valid round only', () => {
  expect(verifyPolka(SET, polka, CHAIN_ID)).toEqual({ ok: true })
  expect(verifyPolka(SET, { ...polka, validRound: 0 }, CHAIN_ID)).toEqual({ ok: false, code: 'badSignature' })
})

test('one validator cannot stand in a certificate twice, and votes for different things make none', () => {
  expect(() => buildCommit(SET, precommits(0, 0), aggregateSignatures)).toThrow('two votes of one validator')
  expect(() => buildCommit(SET, [vote('precommit', 0), vote('precommit', 1, { blockHash: B })], aggregateSignatures)).toThrow()
})

// ---- round certificates ----

function roundCert(votes: readonly Vote[], proof: 'precommitQuorum' | 'third'): RoundCert {
  const cert = buildRoundCert(SET, votes, proof, aggregateSignatures)
  assert(cert)
  return cert
}

test('a round certificate shows that a quorum precommitted, whatever each said', () => {
  const cert = roundCert([vote('precommit', 0), vote('precommit', 1, { blockHash: NIL }), vote('prevote', 2)], 'precommitQuorum')
  expect(cert.entries.map(({ kind, blockHash: hash, bitmap }) => [kind, hash, signersOf(bitmap)])).toEqual([
    ['precommit', NIL, [1]],
    ['precommit', A, [0]],
  ])
  expect(roundProof(SET, cert)).toBe('precommitQuorum')
  expect(verifyRoundCert(SET, cert, CHAIN_ID)).toEqual({ ok: true })
})

test('a round certificate shows that a third is in the round, each voter counted once', () => {
  const cert = roundCert([vote('prevote', 1), vote('precommit', 1), vote('prevote', 3, { validRound: 0 })], 'third')
  expect(roundProof(SET, cert)).toBe('third')
  expect(verifyRoundCert(SET, cert, CHAIN_ID)).toEqual({ ok: true })
  expect(buildRoundCert(SET, [vote('prevote', 1), vote('precommit', 1)], 'third', aggregateSignatures)).toBeUndefined()
  expect(buildRoundCert(SET, [], 'third', aggregateSignatures)).toBeUndefined()
})

test('a round certificate that is changed is refused', () => {
  const cert = roundCert([vote('precommit', 0), vote('precommit', 1, { blockHash: NIL })], 'precommitQuorum')
  const [nil, block] = cert.entries
  assert(nil && block)
  const verdict = (change: Partial<RoundCert>) => {
    const verified = verifyRoundCert(SET, { ...cert, ...change }, CHAIN_ID)
    return verified.ok ? 'ok' : verified.code
  }
  expect(verdict({ round: 3 })).toBe('badSignature')
  expect(verdict({ entries: [block] })).toBe('badSignature')
  expect(
    verdict({
      entries: [
        { ...nil, bitmap: block.bitmap },
        { ...block, bitmap: nil.bitmap },
      ],
    }),
  ).toBe('badSignature')
  expect(verdict({ entries: [nil, { ...block, bitmap: Uint8Array.of(0b0011) }] })).toBe('duplicateSigner')
  expect(verdict({ entries: [nil] })).toBe('weightTooLow')
  expect(verdict({ entries: [{ ...nil, bitmap: Uint8Array.of(0b100000) }] })).toBe('bitBeyondSet')
})

test('equivocators who scatter their votes cannot make a round certificate grow beyond its bound', () => {
  const many = setOf(Array(30).fill(1))
  const scattered = many.validators.map((_, validator): Vote => ({ ...vote('precommit', 0), validator, blockHash: blockHash(validator) }))
  expect(buildRoundCert(many, scattered, 'precommitQuorum', aggregateSignatures)).toBeUndefined()
  const [cert] = [buildRoundCert(many, scattered, 'third', aggregateSignatures)]
  expect(cert?.entries).toHaveLength(16)
})
