/** Evidence that consensus takes is taken on L1, and what one side refuses the other refuses too, for the same reason. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NIL, type Statement } from '../../consensus/digest.ts'
import { decodeEvidence, type Evidence, encodeEvidence, type Signed, verifyEvidence } from '../../consensus/evidence.ts'
import { blockHash, CHAIN_ID, FAKE_SIGNATURE, setOf, signatureOf } from '../consensus/fixtures.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../fakes/anvil.ts'
import { stageClient } from '../fakes/l1Stage.ts'
import { deployRegistryAlone, type RegistryAlone } from './validatorRegistry.ts'

const SET = setOf([5, 3, 2, 1])
const [A, B] = [blockHash(0xa), blockHash(0xb)]
const HEIGHT = 9

let anvil: Anvil
let registry: RegistryAlone
beforeAll(async () => {
  anvil = await startAnvil()
  registry = await deployRegistryAlone(stageClient(anvil.url, ANVIL_ACCOUNTS[0]), SET)
})
afterAll(() => anvil?.stop())

type Part = Pick<Statement, 'kind' | 'round' | 'validRound' | 'blockHash'>

/** Signed by the validator where that can be signed at all. */
function signed(part: Part, validator = 2, height = HEIGHT): Signed {
  const { kind, round, validRound, blockHash } = part
  const canBeSigned = validRound < round && (validRound === -1 || (kind !== 'precommit' && blockHash !== NIL))
  return { ...part, signature: canBeSigned ? signatureOf(SET, validator, { ...part, height }) : FAKE_SIGNATURE }
}

function evidence(kind: Evidence['kind'], first: Part, second: Part, change: Partial<Evidence> = {}): Evidence {
  return { kind, validator: 2, height: HEIGHT, first: signed(first), second: signed(second), ...change }
}

function verdictHere(one: Evidence): string {
  const read = decodeEvidence(encodeEvidence(one))
  if (!read.ok) return read.code
  const verdict = verifyEvidence(SET, read.value, CHAIN_ID)
  return verdict.ok ? 'ok' : verdict.code
}

const ERROR_OF: Readonly<Record<string, string>> = {
  ok: 'ok',
  unknownValidator: 'UnknownValidator',
  numberRange: 'UnknownValidator',
  noOffence: 'NoOffence',
  badSignature: 'BadSignature',
  roundRange: 'RoundOutOfRange',
  validRoundRange: 'BadStatement',
  nilValidRound: 'BadStatement',
  nilBlock: 'BadStatement',
}

async function bothSay(one: Evidence): Promise<string> {
  const here = verdictHere(one)
  expect({ evidence: one, l1: await registry.checkEvidence(one) }).toEqual({ evidence: one, l1: ERROR_OF[here] })
  return here
}

const precommit = (hash = A, round = 1): Part => ({ kind: 'precommit', round, validRound: -1, blockHash: hash })
const prevote = (hash = A, round = 1, validRound = -1): Part => ({ kind: 'prevote', round, validRound, blockHash: hash })
const proposal = (hash = A, round = 1, validRound = -1): Part => ({ kind: 'proposal', round, validRound, blockHash: hash })

const CASES: { it: string; evidence: Evidence; code: string }[] = [
  { it: 'two precommits of one round', evidence: evidence('doubleVote', precommit(A), precommit(B)), code: 'ok' },
  { it: 'a precommit of a block and one of none', evidence: evidence('doubleVote', precommit(A), precommit(NIL)), code: 'ok' },
  { it: 'two prevotes of one round', evidence: evidence('doubleVote', prevote(A), prevote(B)), code: 'ok' },
  { it: 'two prevotes that rest on different rounds', evidence: evidence('doubleVote', prevote(A, 2, 0), prevote(A, 2, 1)), code: 'ok' },
  { it: 'two proposals of one round', evidence: evidence('doubleVote', proposal(A), proposal(B)), code: 'ok' },
  { it: 'one vote told twice', evidence: evidence('doubleVote', precommit(A), precommit(A)), code: 'noOffence' },
  { it: 'precommits of two rounds', evidence: evidence('doubleVote', precommit(A, 1), precommit(B, 2)), code: 'noOffence' },
  { it: 'a prevote and a precommit', evidence: evidence('doubleVote', prevote(A), precommit(B)), code: 'noOffence' },
  { it: 'a forgotten lock', evidence: evidence('amnesia', precommit(A, 1), prevote(B, 2)), code: 'ok' },
  { it: 'a lock forgotten for an older round', evidence: evidence('amnesia', precommit(A, 2), prevote(B, 4, 1)), code: 'ok' },
  {
    it: 'a prevote that rests on the round of the lock',
    evidence: evidence('amnesia', precommit(A, 2), prevote(B, 4, 2)),
    code: 'noOffence',
  },
  { it: 'a prevote that rests on a later round', evidence: evidence('amnesia', precommit(A, 2), prevote(B, 4, 3)), code: 'noOffence' },
  { it: 'a prevote of the locked block', evidence: evidence('amnesia', precommit(A, 1), prevote(A, 2)), code: 'noOffence' },
  { it: 'a prevote of none after a lock', evidence: evidence('amnesia', precommit(A, 1), prevote(NIL, 2)), code: 'noOffence' },
  { it: 'no lock', evidence: evidence('amnesia', precommit(NIL, 1), prevote(B, 2)), code: 'noOffence' },
  { it: 'a prevote before the lock', evidence: evidence('amnesia', precommit(A, 2), prevote(B, 1)), code: 'noOffence' },
  { it: 'the prevote first', evidence: evidence('amnesia', prevote(B, 2), precommit(A, 1)), code: 'noOffence' },
  { it: 'another validator', evidence: evidence('doubleVote', precommit(A), precommit(B), { validator: 1 }), code: 'badSignature' },
  {
    it: 'a validator beyond the set',
    evidence: evidence('doubleVote', precommit(A), precommit(B), { validator: 4 }),
    code: 'unknownValidator',
  },
  { it: 'a place that no set has', evidence: evidence('doubleVote', precommit(A), precommit(B), { validator: 128 }), code: 'numberRange' },
  { it: 'another height', evidence: evidence('doubleVote', precommit(A), precommit(B), { height: 10 }), code: 'badSignature' },
  {
    it: 'a first signature of somebody else',
    evidence: evidence('doubleVote', precommit(A), precommit(B), { first: signed(precommit(A), 1) }),
    code: 'badSignature',
  },
  {
    it: 'a second signature of another height',
    evidence: evidence('doubleVote', precommit(A), precommit(B), { second: signed(precommit(B), 2, 8) }),
    code: 'badSignature',
  },
  {
    it: 'a prevote that rests on its own round',
    evidence: evidence('doubleVote', prevote(A, 1, 1), prevote(B, 1)),
    code: 'validRoundRange',
  },
  {
    it: 'a precommit that rests on a round',
    evidence: evidence('doubleVote', precommit(A), { ...precommit(B), validRound: 0 }),
    code: 'nilValidRound',
  },
  { it: 'a vote for none that rests on a round', evidence: evidence('doubleVote', prevote(A), prevote(NIL, 1, 0)), code: 'nilValidRound' },
  { it: 'a proposal of none', evidence: evidence('doubleVote', proposal(A), proposal(NIL)), code: 'nilBlock' },
  { it: 'a round that is none', evidence: evidence('doubleVote', precommit(A), precommit(B, 2 ** 32 - 1)), code: 'roundRange' },
]

for (const { it, evidence: one, code } of CASES) {
  test(`evidence of ${it}: ${code}, on L1 as here`, async () => {
    expect(await bothSay(one)).toBe(code)
  })
}

test('gas of evidence', async () => {
  const gas = await registry.evidenceGas(evidence('doubleVote', precommit(A), precommit(B)))
  process.stdout.write(`gas of evidence: ${gas}\n`)
  expect(gas).toBeLessThan(420_000n)
})

const partOf = fc.record({
  kind: fc.constantFrom('proposal' as const, 'prevote' as const, 'precommit' as const),
  round: fc.nat(3),
  validRound: fc.integer({ min: -1, max: 3 }),
  blockHash: fc.constantFrom(A, B, NIL),
})

test('random statements: both sides say the same', () =>
  fc.assert(
    fc.asyncProperty(fc.constantFrom('doubleVote' as const, 'amnesia' as const), partOf, partOf, async (kind, first, second) => {
      await bothSay(evidence(kind, first, second))
    }),
    { numRuns: 120 },
  ))
