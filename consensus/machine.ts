/**
 * The machine: one input in, a new state and effects out. No clock, no randomness, nothing to wait for. What can happen is input.ts,
 * what it can ask for is effect.ts, what it knows is state.ts, why it acts is round.ts.
 *
 * A set of one validator runs through the same code: startHeight → buildBlock → blockBuilt → sign proposal → sign prevote → (its own
 * prevote is a polka) sign precommit → (its own precommit is a commit) decide, without waiting for any timer.
 * Spec: docs/spec/consensus.md
 */
import { assert } from '../execution/assert.ts'
import { type RoundCert, roundProof } from './certificate.ts'
import type { Effect } from './effect.ts'
import { evidenceOf } from './evidence.ts'
import type { Input } from './input.ts'
import type { Message, Proposal } from './message.ts'
import {
  addCommit,
  addPolka,
  countVote,
  isSameProposal,
  type Law,
  onTimeout,
  propose,
  RULES,
  startRound,
  startTimer,
  wantBlock,
} from './round.ts'
import { type Draft, idleState, type State } from './state.ts'
import { indexOfKey, proposerIndex } from './validatorSet.ts'
import { addVote, ROUNDS_AHEAD, reportOffence } from './votes.ts'

/** The rules as they are. */
export const LAW: Law = { rules: RULES, addVote }

/** Far more rules than can act on one input; more would be a rule that acts for ever. */
const RULES_PER_INPUT_MAX = 64

/**
 * Takes one input. The given state stays as it was. `law` is for tests that show what a broken rule does.
 * Asserts that heights only grow; everything else that does not fit is ignored.
 */
export function step(state: State, input: Input, law: Law = LAW): { state: State; effects: Effect[] } {
  if (state.step === 'halted') return { state, effects: [] }
  if (input.kind === 'startHeight') return startHeight(state, input, law)
  if (state.step === 'idle' || state.step === 'decided' || heightOf(input) !== state.height) return { state, effects: [] }
  const draft: Draft = { ...state, effects: [] }
  accept(draft, input, law)
  settle(draft, law)
  return finish(draft)
}

function heightOf(input: Exclude<Input, { kind: 'startHeight' }>): number {
  return input.kind === 'message' ? input.message.height : input.height
}

function startHeight(state: State, input: Extract<Input, { kind: 'startHeight' }>, law: Law): { state: State; effects: Effect[] } {
  const { height, set, votes } = input
  assert(height > state.height, 'heights only grow')
  assert(state.step === 'idle' || state.step === 'decided', 'the last height is still open')
  const { context } = state
  const self = context.publicKey === undefined || !votes ? undefined : indexOfKey(set, context.publicKey)
  const draft: Draft = { ...idleState(context, set, height), self, effects: [] }
  startRound(draft, 0, law)
  startTimer(draft, 'rebroadcast')
  settle(draft, law)
  return finish(draft)
}

/** Records what happened, without judging what follows from it. */
function accept(s: Draft, input: Exclude<Input, { kind: 'startHeight' }>, law: Law): void {
  switch (input.kind) {
    case 'message':
      acceptMessage(s, input.message, input.receivedMs, law)
      break
    case 'blockBuilt':
      s.blocks = new Map(s.blocks).set(input.blockHash, { kind: 'valid', timestampMs: input.timestampMs })
      if (input.round === s.round && s.commit === undefined) propose(s, input.blockHash)
      break
    case 'blockChecked': {
      const asked = s.blocks.get(input.blockHash)?.kind
      if (asked !== 'checking' && asked !== 'fetching') break
      const status = input.valid ? ({ kind: 'valid', timestampMs: input.timestampMs } as const) : ({ kind: 'invalid' } as const)
      s.blocks = new Map(s.blocks).set(input.blockHash, status)
      break
    }
    case 'timeout':
      onTimeout(s, input.timer, input.round, law)
      break
  }
}

function acceptMessage(s: Draft, message: Message, receivedMs: number, law: Law): void {
  switch (message.kind) {
    case 'proposal':
      hearProposal(s, message, receivedMs)
      break
    case 'prevote':
    case 'precommit':
      // Only forward: signatures may come out of order, and a second process with this key may say something else.
      if (message.validator === s.self && message.round > (s.own[message.kind]?.round ?? -1)) s.own = { ...s.own, [message.kind]: message }
      countVote(s, message, law)
      break
    case 'polka':
      addPolka(s, message)
      break
    case 'commit':
      addCommit(s, message)
      break
    case 'roundCert':
      hearRoundCert(s, message)
      break
  }
}

/** Keeps up to two different proposals of a round; two of them are evidence against its proposer. */
function hearProposal(s: Draft, proposal: Proposal, receivedMs: number): void {
  const { round } = proposal
  if (round < s.round || round > s.round + ROUNDS_AHEAD) return
  const heard = s.proposals.get(round) ?? []
  if (heard.length === 2 || heard.some((other) => isSameProposal(other.proposal, proposal))) return
  const proposer = proposerIndex(s.set, s.height, round)
  s.proposals = new Map(s.proposals).set(round, [...heard, { proposal, receivedMs }])
  if (proposer === s.self && round > (s.own.proposal?.round ?? -1)) s.own = { ...s.own, proposal }
  const [first] = heard
  if (first !== undefined) {
    const { votes, evidence } = reportOffence(s.votes, [evidenceOf('doubleVote', proposer, first.proposal, proposal)])
    s.votes = votes
    for (const one of evidence) s.effects.push({ kind: 'evidence', evidence: one })
  }
  if (proposal.polka !== undefined) addPolka(s, proposal.polka)
  wantBlock(s, proposal.blockHash, 'checking')
}

/** Keeps the latest round certificate; of two of one round, the one that shows that the round is over. */
function hearRoundCert(s: Draft, cert: RoundCert): void {
  const roundIsOver = roundProof(s.set, cert) === 'precommitQuorum'
  const known = s.heardCert
  if (cert.round < s.round || (known !== undefined && cert.round < known.cert.round)) return
  if (known !== undefined && cert.round === known.cert.round && (known.roundIsOver || !roundIsOver)) return
  s.heardCert = { cert, roundIsOver }
}

/** Lets the rules act, the first that can each time, until none can. Once a commit is known, only P10 may. */
function settle(s: Draft, law: Law): void {
  for (let acted = 0; acted < RULES_PER_INPUT_MAX; acted++) {
    const rules = s.commit === undefined ? law.rules : law.rules.filter((rule) => rule.name === 'P10')
    if (s.step === 'decided' || s.step === 'halted' || !rules.some((rule) => rule.apply(s, law))) return
  }
  assert(false, 'the rules do not come to rest')
}

function finish(draft: Draft): { state: State; effects: Effect[] } {
  const { effects, ...state } = draft
  return { state, effects }
}
