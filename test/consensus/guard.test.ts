import { concatBytes, type Hex, hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import { checkSign, decodeGuard, encodeGuard, type Guard, mayVote } from '../../consensus/guard.ts'
import type { UnsignedMessage } from '../../consensus/message.ts'
import { assert } from '../../execution/assert.ts'
import vectors from '../vectors/consensus.json' with { type: 'json' }
import { blockHash, CHAIN_ID, fakeProposal, fakeVote, setOf } from './fixtures.ts'

const SET = setOf([1])
const at = (kind: 'proposal' | 'prevote' | 'precommit', height: number, round: number, hash = blockHash(1)): UnsignedMessage =>
  kind === 'proposal' ? fakeProposal({ height, round, blockHash: hash }) : fakeVote({ kind, height, round, validator: 0, blockHash: hash })

function after(message: UnsignedMessage): Guard {
  const verdict = checkSign(undefined, message, SET, CHAIN_ID)
  assert(verdict.ok)
  return verdict.guard
}

const guard = after(at('prevote', 5, 2))
const CASES = [
  { it: 'the same again', message: at('prevote', 5, 2), verdict: 'ok' },
  { it: 'another block in the slot', message: at('prevote', 5, 2, blockHash(2)), verdict: 'otherDigest' },
  { it: 'a later kind', message: at('precommit', 5, 2), verdict: 'ok' },
  { it: 'an earlier kind', message: at('proposal', 5, 2), verdict: 'lowerSlot' },
  { it: 'a later round', message: at('proposal', 5, 3), verdict: 'ok' },
  { it: 'an earlier round', message: at('precommit', 5, 1), verdict: 'lowerSlot' },
  { it: 'a later height', message: at('proposal', 6, 0), verdict: 'ok' },
  { it: 'an earlier height', message: at('precommit', 4, 9), verdict: 'lowerSlot' },
]

for (const { it, message, verdict } of CASES) {
  test(`after a prevote of height 5, round 2: ${it} is ${verdict}`, () => {
    const checked = checkSign(guard, message, SET, CHAIN_ID)
    expect(checked.ok ? 'ok' : checked.code).toBe(verdict)
  })
}

test('a guard of another chain refuses everything', () => {
  expect(checkSign(guard, at('prevote', 9, 0), SET, CHAIN_ID + 1)).toMatchObject({ ok: false, code: 'otherChain' })
})

test('a height at which something was signed is not started anew with a vote', () => {
  expect([4, 5, 6].map((height) => mayVote(guard, height))).toEqual([false, false, true])
  expect(mayVote(undefined, 1)).toBe(true)
})

test('a guard survives the disk, and any damage to it is noticed', () => {
  const bytes = encodeGuard(guard)
  expect(decodeGuard(bytes)).toEqual(guard)
  for (let cut = 0; cut < bytes.length; cut++) expect(decodeGuard(bytes.subarray(0, cut))).toBeUndefined()
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice()
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(decodeGuard(damaged)).toBeUndefined()
  }
  expect(decodeGuard(concatBytes([bytes, Uint8Array.of(0)]))).toBeUndefined()
})

test('the guard of the vectors decodes', () => {
  const expected = { chainId: vectors.chainId, height: 7, round: 3, kind: 'precommit', digest: blockHash(9) }
  expect(decodeGuard(hexToBytes(vectors.guard as Hex))).toEqual(expected)
})
