import fc from 'fast-check'
import { concatBytes } from 'viem'
import { expect, test } from 'vitest'
import { NIL, type Statement } from '../../consensus/digest.ts'
import { isAmnesia, isDoubleVote } from '../../consensus/evidence.ts'
import { checkSignFor, decodeSignerGuard, encodeSignerGuard, guardAbove, type SignerGuard } from '../../consensus/signerGuard.ts'
import { assert } from '../../execution/assert.ts'
import { blockHash, CHAIN_ID } from './fixtures.ts'

const DOMAIN = { chainId: CHAIN_ID, epoch: 0 }

/** What a key signs of what it is asked, in this order, with the guard's answers. */
function askAll(statements: readonly Statement[]): { signed: Statement[]; verdicts: string[]; guard: SignerGuard | undefined } {
  const signed: Statement[] = []
  const verdicts: string[] = []
  let guard: SignerGuard | undefined
  for (const statement of statements) {
    const verdict = checkSignFor(guard, statement, DOMAIN)
    verdicts.push(verdict.ok ? 'ok' : verdict.code)
    if (!verdict.ok) continue
    guard = verdict.guard
    signed.push(statement)
  }
  return { signed, verdicts, guard }
}

const at = (kind: Statement['kind'], height: number, round: number, block: number | undefined, validRound = -1): Statement => ({
  kind,
  height,
  round,
  validRound,
  blockHash: block === undefined ? NIL : blockHash(block),
})

const anyStatement: fc.Arbitrary<Statement> = fc
  .record({
    kind: fc.constantFrom('proposal' as const, 'prevote' as const, 'precommit' as const),
    height: fc.integer({ min: 1, max: 2 }),
    round: fc.integer({ min: 0, max: 4 }),
    block: fc.constantFrom(1, 2, 3, undefined),
    valid: fc.integer({ min: 0, max: 4 }),
  })
  .map(({ kind, height, round, block, valid }) => {
    if (kind === 'proposal') return at(kind, height, round, block ?? 1, Math.min(valid, round) - 1)
    return at(kind, height, round, block, kind === 'prevote' && block !== undefined ? Math.min(valid, round) - 1 : -1)
  })

test('whatever it is asked, and by how many, no two signatures of a key are evidence', () => {
  let offences = 0
  fc.assert(
    fc.property(fc.array(anyStatement, { minLength: 20, maxLength: 60 }), (statements) => {
      const isEvidence = (a: Statement, b: Statement) => a.height === b.height && (isDoubleVote(a, b) || isAmnesia(a, b))
      const pairs = (list: readonly Statement[]) => list.flatMap((a) => list.map((b) => [a, b] as const))
      offences += pairs(statements).filter(([a, b]) => isEvidence(a, b)).length
      expect(pairs(askAll(statements).signed).filter(([a, b]) => isEvidence(a, b))).toEqual([])
    }),
  )
  expect(offences, 'what was asked for would have been evidence').toBeGreaterThan(100)
})

test('a lock is forgotten neither for another block nor for the same one on an older valid round, and ends with its height', () => {
  const verdictsAfter = (...more: Statement[]) => askAll([at('prevote', 5, 2, 1), at('precommit', 5, 2, 1), ...more]).verdicts.slice(2)
  expect(verdictsAfter(at('prevote', 5, 3, 2))).toEqual(['locked'])
  expect(verdictsAfter(at('prevote', 5, 4, 2, 1))).toEqual(['locked'])
  expect(verdictsAfter(at('prevote', 5, 4, 1, 1))).toEqual(['locked'])
  expect(verdictsAfter(at('prevote', 5, 4, 2, 2), at('prevote', 5, 5, 3, 3))).toEqual(['ok', 'ok'])
  expect(verdictsAfter(at('prevote', 5, 3, undefined), at('precommit', 5, 3, undefined), at('prevote', 5, 4, 2))).toEqual([
    'ok',
    'ok',
    'locked',
  ])
  expect(verdictsAfter(at('prevote', 5, 3, 2, 2), at('precommit', 5, 3, 2), at('prevote', 5, 4, 1, 2))).toEqual(['ok', 'ok', 'locked'])
  expect(verdictsAfter(at('prevote', 6, 0, 2))).toEqual(['ok'])
})

test('the same again is signed again, and lower slots, other digests and other chains are not', () => {
  const { guard } = askAll([at('precommit', 5, 2, 1)])
  const verdict = (statement: Statement, domain = DOMAIN) => {
    const checked = checkSignFor(guard, statement, domain)
    return checked.ok ? 'ok' : checked.code
  }
  expect(verdict(at('precommit', 5, 2, 1))).toBe('ok')
  expect(verdict(at('precommit', 5, 2, 2))).toBe('otherDigest')
  expect(verdict(at('precommit', 5, 2, 1), { ...DOMAIN, epoch: 1 })).toBe('otherDigest')
  expect(verdict(at('prevote', 5, 2, 1))).toBe('lowerSlot')
  expect(verdict(at('prevote', 6, 0, 1), { ...DOMAIN, chainId: CHAIN_ID + 1 })).toBe('otherChain')
})

test('a guard above a height lets out nothing up to it', () => {
  const guard = guardAbove(9, CHAIN_ID)
  const isSigned = (statement: Statement) => checkSignFor(guard, statement, DOMAIN).ok
  expect([at('precommit', 9, 1_000, 1), at('proposal', 8, 0, 1), at('proposal', 10, 0, 1)].map(isSigned)).toEqual([false, false, true])
})

test('a guard survives the disk, and any damage to it is noticed', () => {
  for (const guard of [askAll([at('precommit', 5, 2, 1)]).guard, askAll([at('prevote', 5, 2, 1)]).guard, guardAbove(7, CHAIN_ID)]) {
    assert(guard)
    const bytes = encodeSignerGuard(guard)
    expect(decodeSignerGuard(bytes)).toEqual(guard)
    for (let cut = 0; cut < bytes.length; cut++) expect(decodeSignerGuard(bytes.subarray(0, cut))).toBeUndefined()
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = bytes.slice()
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(decodeSignerGuard(damaged)).toBeUndefined()
    }
    expect(decodeSignerGuard(concatBytes([bytes, Uint8Array.of(0)]))).toBeUndefined()
  }
})
