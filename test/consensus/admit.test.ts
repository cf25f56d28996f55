import { expect, test } from 'vitest'
import { admit } from '../../consensus/admit.ts'
import type { Commit, RoundCert } from '../../consensus/certificate.ts'
import { NIL } from '../../consensus/digest.ts'
import { EARLY_PEERS_MAX, EARLY_PER_PEER_MAX, holdEarly, noEarly, releaseEarly } from '../../consensus/early.ts'
import { step } from '../../consensus/machine.ts'
import type { Message, Vote } from '../../consensus/message.ts'
import { idleState, type State } from '../../consensus/state.ts'
import { verifyMessage, verifyVotes } from '../../consensus/verify.ts'
import { ROUNDS_AHEAD, ROUNDS_KEPT } from '../../consensus/votes.ts'
import { assert } from '../../execution/assert.ts'
import { blockHash, CHAIN_ID, contextOf, FAKE_SIGNATURE, fakeProposal, fakeVote, setOf, signatureOf, signMessage } from './fixtures.ts'

const SET = setOf([1, 1, 1, 1])
const A = blockHash(0xa)
const B = blockHash(0xb)

function machine(...messages: Message[]): State {
  let { state } = step(idleState(contextOf(undefined), SET, 1), { kind: 'startHeight', height: 2, set: SET, votes: true })
  for (const message of messages) state = step(state, { kind: 'message', message, receivedMs: 0 }).state
  return state
}

const prevote = (rest: Partial<Vote> = {}) => fakeVote({ kind: 'prevote', validator: 0, height: 2, blockHash: A, ...rest })
const commit: Commit = { kind: 'commit', height: 2, round: 0, blockHash: A, bitmap: Uint8Array.of(7), signature: FAKE_SIGNATURE }
const polka = { ...commit, kind: 'polka', validRound: -1 } as const
const cert = (round: number, bitmap: number): RoundCert => ({
  kind: 'roundCert',
  height: 2,
  round,
  entries: [{ kind: 'precommit', validRound: -1, blockHash: NIL, bitmap: Uint8Array.of(bitmap) }],
  signature: FAKE_SIGNATURE,
})
const inRound40 = () => machine(cert(40, 0b0011))

const CASES: { it: string; state?: State; message: Message; verdict: string }[] = [
  { it: 'a vote in a free place', message: prevote(), verdict: 'ok' },
  { it: 'a vote of nobody', message: prevote({ validator: 4 }), verdict: 'unknownValidator' },
  { it: 'a vote of the height before', message: prevote({ height: 1 }), verdict: 'pastHeight' },
  { it: 'a vote of the next height', message: prevote({ height: 3 }), verdict: 'earlyHeight' },
  { it: 'the same vote again', state: machine(prevote()), message: prevote(), verdict: 'known' },
  { it: 'a second, different vote: evidence', state: machine(prevote()), message: prevote({ blockHash: B }), verdict: 'ok' },
  {
    it: 'one more different vote',
    state: machine(prevote(), prevote({ blockHash: B })),
    message: prevote({ blockHash: NIL }),
    verdict: 'slotTaken',
  },
  { it: 'a vote far ahead', message: prevote({ round: ROUNDS_AHEAD + 1 }), verdict: 'ok' },
  { it: 'a vote less far ahead than the last', state: machine(prevote({ round: 9 })), message: prevote({ round: 8 }), verdict: 'known' },
  { it: 'a vote long past', state: inRound40(), message: prevote({ round: 40 - ROUNDS_KEPT }), verdict: 'pastRound' },
  { it: 'a vote not so long past', state: inRound40(), message: prevote({ round: 41 - ROUNDS_KEPT }), verdict: 'ok' },
  { it: 'a proposal', message: fakeProposal({ height: 2 }), verdict: 'ok' },
  { it: 'the same proposal again', state: machine(fakeProposal({ height: 2 })), message: fakeProposal({ height: 2 }), verdict: 'known' },
  {
    it: 'a third proposal',
    state: machine(fakeProposal({ height: 2, blockHash: A }), fakeProposal({ height: 2, blockHash: B })),
    message: fakeProposal({ height: 2 }),
    verdict: 'slotTaken',
  },
  { it: 'a proposal of a past round', state: inRound40(), message: fakeProposal({ height: 2, round: 39 }), verdict: 'pastRound' },
  { it: 'a proposal far ahead', message: fakeProposal({ height: 2, round: ROUNDS_AHEAD + 1 }), verdict: 'earlyRound' },
  { it: 'a polka', message: polka, verdict: 'ok' },
  { it: 'a polka of a round that has one', state: machine(polka), message: polka, verdict: 'known' },
  { it: 'a polka long past', state: inRound40(), message: { ...polka, round: 8 }, verdict: 'pastRound' },
  { it: 'a round certificate of a later round', message: cert(3, 0b0011), verdict: 'ok' },
  { it: 'a round certificate of this round that says nothing new', state: inRound40(), message: cert(40, 0b0011), verdict: 'known' },
  { it: 'a round certificate that this round is over', state: inRound40(), message: cert(40, 0b0111), verdict: 'ok' },
  { it: 'the same when that is known', state: machine(cert(40, 0b0111)), message: cert(40, 0b0111), verdict: 'known' },
  { it: 'a round certificate of a past round', state: inRound40(), message: cert(39, 0b0111), verdict: 'pastRound' },
  {
    it: 'a round certificate with a bit beyond the set, for verification to refuse',
    state: inRound40(),
    message: cert(40, 0b110111),
    verdict: 'ok',
  },
  { it: 'a commit', message: commit, verdict: 'ok' },
  { it: 'anything once a commit is known', state: machine(commit), message: prevote(), verdict: 'known' },
  { it: 'a commit of a past height, which nobody may answer', message: { ...commit, height: 1 }, verdict: 'known' },
]

for (const { it, state = machine(), message, verdict } of CASES) {
  test(`${it}: ${verdict}`, () => {
    const admission = admit(state, message)
    expect(admission.ok ? 'ok' : admission.code).toBe(verdict)
  })
}

test('after the decision the height is past', () => {
  const asked = machine(commit)
  const { state } = step(asked, { kind: 'blockChecked', height: 2, blockHash: A, valid: true, timestampMs: 0 })
  expect(state.step).toBe('decided')
  expect(admit(state, prevote())).toEqual({ ok: false, code: 'pastHeight' })
})

// ---- early messages ----

test('messages of the next height are held, by peer and bounded, and no others', () => {
  const hold = (early: ReturnType<typeof noEarly>, peer: string, height: number, round: number) =>
    holdEarly(early, peer, { message: prevote({ height, round }), receivedMs: 5 })
  let early = noEarly(3)
  for (let round = 0; round < EARLY_PER_PEER_MAX + 3; round++) early = hold(early, 'greedy', 3, round)
  early = hold(hold(hold(early, 'other', 3, 0), 'other', 2, 0), 'other', 4, 0)
  const held = releaseEarly(early).map(({ message }) => message.round)
  expect(held).toEqual([...Array.from({ length: EARLY_PER_PEER_MAX }, (_, i) => i + 3), 0])
  for (let peer = 0; peer < EARLY_PEERS_MAX + 10; peer++) early = hold(early, `peer ${peer}`, 3, 0)
  expect(early.byPeer.size).toBe(EARLY_PEERS_MAX)
})

// ---- verification ----

function signed<T extends Message>(message: T, validator: number): T {
  assert(message.kind === 'proposal' || message.kind === 'prevote' || message.kind === 'precommit')
  return { ...message, signature: signatureOf(SET, validator, message) }
}

test('votes are verified together, each for itself', () => {
  const votes = [0, 1, 2, 3].map((validator) => signed(prevote({ validator }), validator))
  const [first, second, third, fourth] = votes
  assert(first && second && third && fourth)
  const mixed = [
    first,
    { ...second, blockHash: B },
    third,
    { ...fourth, validator: 4 },
    signed(prevote({ validator: 1, blockHash: NIL }), 1),
  ]
  expect(verifyVotes(SET, votes, CHAIN_ID)).toEqual([true, true, true, true])
  expect(verifyVotes(SET, mixed, CHAIN_ID)).toEqual([true, false, true, false, true])
  expect(verifyMessage(SET, { ...first, validator: 4 }, CHAIN_ID)).toEqual({ ok: false, code: 'unknownValidator' })
  expect(verifyMessage(SET, { ...first, validator: 1 }, CHAIN_ID)).toEqual({ ok: false, code: 'badSignature' })
})

test('a proposal is good from the proposer of its round, and a re-proposal with a polka that stands', () => {
  const fresh = fakeProposal({ height: 2, round: 1, blockHash: A }) // round 1 of height 2 is validator 3's
  expect(verifyMessage(SET, signMessage(SET, fresh), CHAIN_ID)).toEqual({ ok: true })
  expect(verifyMessage(SET, signed(fresh, 2), CHAIN_ID)).toEqual({ ok: false, code: 'badSignature' })
  const again = { ...fresh, validRound: 0, polka }
  expect(verifyMessage(SET, signMessage(SET, again), CHAIN_ID)).toEqual({ ok: false, code: 'badPolka' })
  expect(verifyMessage(SET, signMessage(SET, { ...again, polka: undefined }), CHAIN_ID)).toEqual({ ok: false, code: 'badPolka' })
  expect(verifyMessage(SET, signMessage(SET, { ...again, polka: { ...polka, blockHash: B } }), CHAIN_ID)).toEqual({
    ok: false,
    code: 'badPolka',
  })
})
