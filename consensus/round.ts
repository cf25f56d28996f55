/**
 * The rules of a round: Tendermint (arXiv 1807.04938, algorithm 1) with three changes.
 *
 * 1. Every quorum that matters is also taken as a certificate: P3, P4 and P10 act on polkas and commits, P7 and P9 on round certificates,
 *    whatever the own count of votes says.
 * 2. Prevotes name the valid round they rest on, and P1 and P2 are strict: a locked validator prevotes nothing but what a polka at least
 *    as new as its lock justifies; the paper's "or the locked block itself" is left out. That makes forgetting a lock provable
 *    (evidence.ts, amnesia). Leaving prevotes out cannot hurt agreement.
 * 3. P4: the highest polka seen becomes the valid block, whatever round it is of. It makes up for the liveness that change 2 costs.
 *
 * A rule looks at the draft and, if its guard holds, acts and returns true. They are tried in the order of `RULES` until none acts: that
 * fixed priority takes the paper's nondeterminism out, so the same inputs always give the same state.
 * Spec: docs/spec/consensus.md#rules
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { buildCommit, buildPolka, buildRoundCert, type Polka, type RoundProof } from './certificate.ts'
import { NIL } from './digest.ts'
import type { Effect } from './effect.ts'
import type { Proposal, Vote } from './message.ts'
import { type Draft, type HeardProposal, NOTHING_DONE, type State } from './state.ts'
import { isTimely, type Timer, timeoutMs } from './timing.ts'
import { proposerIndex } from './validatorSet.ts'
import { type AddVote, advanceVotes, hasAnyQuorum, hasQuorum, latestRoundOfThird, ROUNDS_KEPT, votesFor, votesOf } from './votes.ts'

/** A rule by its name here and its lines in the paper. */
export type Rule = { readonly name: string; readonly line: string; readonly apply: (s: Draft, law: Law) => boolean }

/** The rules and the keeper of votes. The machine runs `LAW`; a test that wants to see a broken law caught passes another. */
export type Law = { readonly rules: readonly Rule[]; readonly addVote: AddVote }

/** In the order of priority. P8 and the second halves of P6 and P7 are `onTimeout`. */
export const RULES: readonly Rule[] = [
  { name: 'P10', line: 'L49', apply: decide },
  { name: 'P9', line: 'L55', apply: skipRound },
  { name: 'P1', line: 'L22', apply: prevoteFresh },
  { name: 'P2', line: 'L28', apply: prevoteAgain },
  { name: 'P3', line: 'L36', apply: lock },
  { name: 'P4', line: '', apply: adoptPolka },
  { name: 'P5', line: 'L44', apply: precommitNil },
  { name: 'P6', line: 'L34', apply: waitForPrevotes },
  { name: 'P7', line: 'L47', apply: waitForPrecommits },
]

// ---- a round begins (L11) -----------------------------------------------------------------------------------------------------------

/** Enters a round. Everyone waits for its proposal, the proposer too, whose builder may hang. */
export function startRound(s: Draft, round: number, law: Law): void {
  assert(round > s.round, 'rounds only grow')
  s.round = round
  s.step = 'propose'
  s.done = NOTHING_DONE
  s.proposals = new Map([...s.proposals].filter(([of]) => of >= round))
  s.polkas = new Map([...s.polkas].filter(([of]) => of > round - ROUNDS_KEPT))
  const { votes, near } = advanceVotes(s.votes, round)
  s.votes = votes
  for (const vote of near) countVote(s, vote, law)
  forgetBlocks(s)
  startTimer(s, 'propose')
  if (!isProposer(s)) return
  if (s.validBlock === undefined) s.effects.push({ kind: 'buildBlock', height: s.height, round })
  else propose(s, s.validBlock)
}

/**
 * L14–L19. Proposes the valid block with its polka if there is one by now, else the fresh block. Once a round. If the polka is of this
 * very round, the round has had its proposal: from this key, before its log was lost.
 */
export function propose(s: Draft, freshBlock: Hex): void {
  if (s.step !== 'propose' || s.done.propose || s.validRound === s.round || !isProposer(s)) return
  const { height, round } = s
  s.done = { ...s.done, propose: true }
  const [blockHash, validRound, polka] =
    s.validBlock === undefined ? [freshBlock, -1, undefined] : [s.validBlock, s.validRound, s.validPolka]
  s.effects.push({ kind: 'sign', message: { kind: 'proposal', height, round, blockHash, validRound, polka } })
}

// ---- proposals → prevotes -----------------------------------------------------------------------------------------------------------

/** P1 (L22): a fresh proposal whose block was checked. Prevote it if it is valid and in time and nothing is locked, else nil. */
function prevoteFresh(s: Draft): boolean {
  if (s.step !== 'propose') return false
  for (const heard of heardNow(s)) {
    if (heard.proposal.validRound !== -1 || !isChecked(s, heard.proposal.blockHash)) continue
    const accept = isValid(s, heard.proposal.blockHash) && isInTime(s, heard) && s.lockedRound === -1
    prevote(s, accept ? heard.proposal.blockHash : NIL, -1)
    return true
  }
  return false
}

/** P2 (L28): a re-proposal with the polka of its valid round. Prevote it if it is valid and the lock is not newer, else nil. */
function prevoteAgain(s: Draft): boolean {
  if (s.step !== 'propose') return false
  for (const { proposal } of heardNow(s)) {
    if (proposal.validRound === -1 || !isChecked(s, proposal.blockHash)) continue
    const accept = isValid(s, proposal.blockHash) && s.lockedRound <= proposal.validRound
    if (accept) prevote(s, proposal.blockHash, proposal.validRound)
    else prevote(s, NIL, -1)
    return true
  }
  return false
}

// ---- polkas → precommits ------------------------------------------------------------------------------------------------------------

/**
 * P3 (L36): the proposal of this round has a polka of this round, and is valid. The first time, it becomes the valid block; whoever has
 * only prevoted yet locks it, shows the polka to all, and precommits.
 */
function lock(s: Draft): boolean {
  if (s.done.lock || (s.step !== 'prevote' && s.step !== 'precommit')) return false
  const polka = s.polkas.get(s.round)
  if (polka === undefined || !isValid(s, polka.blockHash)) return false
  const isOf = ({ proposal }: HeardProposal) => proposal.blockHash === polka.blockHash && proposal.validRound === polka.validRound
  if (!heardNow(s).some(isOf)) return false
  s.done = { ...s.done, lock: true }
  setValid(s, polka)
  if (s.step === 'prevote') {
    s.lockedBlock = polka.blockHash
    s.lockedRound = s.round
    s.effects.push({ kind: 'broadcast', message: polka })
    precommit(s, polka.blockHash)
  }
  return true
}

/** P4: the latest polka of a round up to this one, newer than the valid round, its block valid: it becomes the valid block. No lock. */
function adoptPolka(s: Draft): boolean {
  let latest: Polka | undefined
  for (const polka of s.polkas.values()) {
    const newer = polka.round > (latest?.round ?? s.validRound) && polka.round <= s.round
    if (newer && isValid(s, polka.blockHash)) latest = polka
  }
  if (latest === undefined) return false
  setValid(s, latest)
  return true
}

/** P5 (L44): a quorum prevoted nil. Precommit nil. */
function precommitNil(s: Draft): boolean {
  if (s.step !== 'prevote') return false
  if (!hasQuorum(s.votes, s.set, { kind: 'prevote', round: s.round, blockHash: NIL, validRound: -1 })) return false
  precommit(s, NIL)
  return true
}

/** P6 (L34): a quorum prevoted, for whatever. Wait a little for a polka; when the time is up, precommit nil (L61). */
function waitForPrevotes(s: Draft): boolean {
  if (s.step !== 'prevote' || s.done.prevoteTimer || !hasAnyQuorum(s.votes, s.set, 'prevote', s.round)) return false
  s.done = { ...s.done, prevoteTimer: true }
  startTimer(s, 'prevote')
  return true
}

// ---- precommits → next round or decision --------------------------------------------------------------------------------------------

/** P7 (L47): a quorum precommitted, for whatever. Wait a little for a commit; when the time is up, enter the next round (L65). */
function waitForPrecommits(s: Draft): boolean {
  if (s.done.precommitTimer) return false
  const shown = s.heardCert?.roundIsOver && s.heardCert.cert.round === s.round
  if (!shown && !hasAnyQuorum(s.votes, s.set, 'precommit', s.round)) return false
  s.done = { ...s.done, precommitTimer: true }
  startTimer(s, 'precommit')
  return true
}

/** P9 (L55): a third of the weight is in a later round, or a certificate is from one. Go there. */
function skipRound(s: Draft, law: Law): boolean {
  const third = latestRoundOfThird(s.votes, s.set, s.round)
  const latestPolka = [...s.polkas.values()].reduce<Polka | undefined>(
    (best, one) => (one.round > (best?.round ?? s.round) ? one : best),
    undefined,
  )
  const heard = s.heardCert?.cert
  const round = Math.max(third?.round ?? -1, latestPolka?.round ?? -1, heard?.round ?? -1)
  if (round <= s.round) return false
  if (heard?.round === round) s.enterCert = heard
  else if (latestPolka?.round === round) s.enterCert = latestPolka
  else s.enterCert = buildRoundCert(s.set, third?.votes ?? [], 'third', s.context.aggregate)
  startRound(s, round, law)
  return true
}

/** P10 (L49): a commit of whatever round, and its block. Decide. If the block is invalid, nothing here can be trusted: halt. */
function decide(s: Draft): boolean {
  const { commit, height } = s
  if (commit === undefined || !isChecked(s, commit.blockHash)) return false
  s.effects.push({ kind: 'stopTimers', height })
  if (!isValid(s, commit.blockHash)) {
    s.step = 'halted'
    s.effects.push({ kind: 'halt', height, blockHash: commit.blockHash, commit })
    return true
  }
  s.step = 'decided'
  s.effects.push({ kind: 'decide', height, round: commit.round, blockHash: commit.blockHash, commit })
  s.effects.push({ kind: 'broadcast', message: commit })
  return true
}

// ---- timers -------------------------------------------------------------------------------------------------------------------------

/** A timer of this height ran out. Those of another round, or whose step has passed, say nothing. */
export function onTimeout(s: Draft, timer: Timer, round: number, law: Law): void {
  if (timer === 'rebroadcast') {
    s.effects.push(...rebroadcastEffects(s))
    return
  }
  if (round !== s.round || s.commit !== undefined) return
  // P8 (L57): no proposal came in time, or none that could be checked.
  if (timer === 'propose' && s.step === 'propose') prevote(s, NIL, -1)
  // P6, second half (L61).
  if (timer === 'prevote' && s.step === 'prevote') precommit(s, NIL)
  // P7, second half (L65).
  if (timer === 'precommit') {
    s.enterCert = precommitsAsCert(s)
    startRound(s, round + 1, law)
  }
}

/** Says again what others may have missed, and goes on doing so while the height is open: the network may lose anything. */
export function rebroadcastEffects(s: State): Effect[] {
  if (s.step === 'idle' || s.step === 'halted') return []
  const own = s.own.proposal?.round === s.round ? s.own.proposal : undefined
  const said = s.commit === undefined ? [own, s.own.prevote, s.own.precommit, s.enterCert, s.validPolka] : [s.commit]
  const effects: Effect[] = said.filter((message) => message !== undefined).map((message) => ({ kind: 'broadcast', message }))
  if (s.step !== 'decided') effects.push(timerEffect(s, 'rebroadcast'))
  return effects
}

function precommitsAsCert(s: Draft): Draft['enterCert'] {
  const proof: RoundProof = 'precommitQuorum'
  const own = buildRoundCert(s.set, votesOf(s.votes, 'precommit', s.round), proof, s.context.aggregate)
  return own ?? (s.heardCert?.cert.round === s.round ? s.heardCert.cert : undefined)
}

// ---- recording ----------------------------------------------------------------------------------------------------------------------

/** Counts a verified vote, and makes the polka or commit that it completes. */
export function countVote(s: Draft, vote: Vote, law: Law): void {
  const { votes, counted, evidence } = law.addVote(s.votes, s.set, vote, s.round)
  s.votes = votes
  for (const one of evidence) s.effects.push({ kind: 'evidence', evidence: one })
  if (!counted || vote.blockHash === NIL || !hasQuorum(s.votes, s.set, vote)) return
  if (vote.kind === 'prevote' && !s.polkas.has(vote.round)) addPolka(s, buildPolka(s.set, votesFor(s.votes, vote), s.context.aggregate))
  if (vote.kind === 'precommit' && s.commit === undefined) addCommit(s, buildCommit(s.set, votesFor(s.votes, vote), s.context.aggregate))
}

/** Keeps the first polka of a round; a second one could only exist among more than a third of faulty weight. */
export function addPolka(s: Draft, polka: Polka): void {
  if (s.polkas.has(polka.round) || polka.round <= s.round - ROUNDS_KEPT) return
  s.polkas = new Map(s.polkas).set(polka.round, polka)
  wantBlock(s, polka.blockHash, 'fetching')
}

/** From here on only P10 matters: no vote is signed at a height whose commit is known. */
export function addCommit(s: Draft, commit: NonNullable<Draft['commit']>): void {
  if (s.commit !== undefined) return
  s.commit = commit
  wantBlock(s, commit.blockHash, 'fetching')
}

/** Forgets blocks that no proposal, polka or commit names any more: a height of many rounds must not fill the memory. */
function forgetBlocks(s: Draft): void {
  const named = new Set<Hex | undefined>([s.lockedBlock, s.validBlock, s.commit?.blockHash])
  for (const heard of s.proposals.values()) for (const { proposal } of heard) named.add(proposal.blockHash)
  for (const polka of s.polkas.values()) named.add(polka.blockHash)
  s.blocks = new Map([...s.blocks].filter(([blockHash]) => named.has(blockHash)))
}

/** Asks for the verdict on a block, once, and once more when a quorum vouches for it and it is still not here. */
export function wantBlock(s: Draft, blockHash: Hex, urgency: 'checking' | 'fetching'): void {
  const status = s.blocks.get(blockHash)
  if (status !== undefined && !(status.kind === 'checking' && urgency === 'fetching')) return
  s.blocks = new Map(s.blocks).set(blockHash, { kind: urgency })
  s.effects.push({ kind: urgency === 'checking' ? 'checkBlock' : 'fetchBlock', height: s.height, blockHash })
}

// ---- helpers ------------------------------------------------------------------------------------------------------------------------

function prevote(s: Draft, blockHash: Hex, validRound: number): void {
  s.step = 'prevote'
  signVote(s, 'prevote', blockHash, validRound)
}

function precommit(s: Draft, blockHash: Hex): void {
  s.step = 'precommit'
  signVote(s, 'precommit', blockHash, -1)
}

/** Who has no vote goes through the same steps in silence. */
function signVote(s: Draft, kind: Vote['kind'], blockHash: Hex, validRound: number): void {
  if (s.self === undefined) return
  const { height, round, self } = s
  s.effects.push({ kind: 'sign', message: { kind, height, round, blockHash, validRound, validator: self } })
}

function setValid(s: Draft, polka: Polka): void {
  s.validBlock = polka.blockHash
  s.validRound = polka.round
  s.validPolka = polka
}

/** Starts a timer of this round. */
export function startTimer(s: Draft, timer: Timer): void {
  s.effects.push(timerEffect(s, timer))
}

function timerEffect(s: State, timer: Timer): Effect {
  return { kind: 'startTimer', timer, height: s.height, round: s.round, ms: timeoutMs(s.context.timing, timer, s.round) }
}

function isProposer(s: Draft): boolean {
  return s.self !== undefined && proposerIndex(s.set, s.height, s.round) === s.self
}

function heardNow(s: Draft): readonly HeardProposal[] {
  return s.proposals.get(s.round) ?? []
}

function isChecked(s: Draft, blockHash: Hex): boolean {
  const kind = s.blocks.get(blockHash)?.kind
  return kind === 'valid' || kind === 'invalid'
}

function isValid(s: Draft, blockHash: Hex): boolean {
  return s.blocks.get(blockHash)?.kind === 'valid'
}

/** The own block is in time: judging the own clock by itself says nothing, and a corrected clock must not stop a lone validator. */
function isInTime(s: Draft, { proposal, receivedMs }: HeardProposal): boolean {
  const status = s.blocks.get(proposal.blockHash)
  if (status?.kind !== 'valid') return false
  return isProposer(s) || isTimely(s.context.timing, { timestampMs: status.timestampMs, receivedMs, round: proposal.round })
}

/** True if the two are the same proposal, whatever polka came with them. */
export function isSameProposal(a: Proposal, b: Proposal): boolean {
  return a.blockHash === b.blockHash && a.validRound === b.validRound
}
