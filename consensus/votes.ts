/**
 * The vote keeper: the votes of one height, their weights, and the offences among them.
 *
 * A validator's first vote in a slot (round, kind) counts; a second, different one is evidence and counts nowhere. Votes of rounds from
 * ROUNDS_KEPT − 1 before the current one up to ROUNDS_AHEAD after it are kept; of rounds further ahead only the newest vote of each
 * validator, which is enough to see that the others have moved on (P9). So memory is bounded whatever arrives.
 * Votes are verified before they come here. Values are never changed in place.
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { NIL } from './digest.ts'
import { type Evidence, evidenceOf, isAmnesia } from './evidence.ts'
import type { Vote } from './message.ts'
import { isQuorum, isThird, type ValidatorSet, weightAt } from './validatorSet.ts'

/** Rounds, the current one included, whose votes are kept behind. */
export const ROUNDS_KEPT = 32

/** Rounds ahead of the current one whose votes, proposals and checks are taken in full. */
export const ROUNDS_AHEAD = 2

type VoteKind = Vote['kind']

/** What one vote says, as a key: kind, valid round and block. */
type VotedKey = `${VoteKind} ${number} ${Hex}`

export type RoundVotes = {
  /** First vote of each validator, by index. */
  readonly prevote: ReadonlyMap<number, Vote>
  readonly precommit: ReadonlyMap<number, Vote>
  /** Weight behind each thing said. */
  readonly weights: ReadonlyMap<VotedKey, bigint>
  /** Weight of all votes of a kind, whatever they say. */
  readonly prevoteWeight: bigint
  readonly precommitWeight: bigint
  /** Weight of all who voted, once each. */
  readonly voterWeight: bigint
}

export type Votes = {
  readonly rounds: ReadonlyMap<number, RoundVotes>
  /** Newest vote of each validator of a round beyond ROUNDS_AHEAD. */
  readonly ahead: ReadonlyMap<number, Vote>
  /** Offences already reported: `doubleVote 3`, `amnesia 3`. One of each kind a validator and height is enough to punish. */
  readonly reported: ReadonlySet<string>
}

/** Adds a vote to the keeper. `current` is the machine's round. */
export type AddVote = (votes: Votes, set: ValidatorSet, vote: Vote, current: number) => VoteAdded

/** `counted`: the vote is its sender's first in the slot and stands in `rounds` now. */
export type VoteAdded = { readonly votes: Votes; readonly counted: boolean; readonly evidence: readonly Evidence[] }

export const NO_VOTES: Votes = { rounds: new Map(), ahead: new Map(), reported: new Set() }

const EMPTY_ROUND: RoundVotes = {
  prevote: new Map(),
  precommit: new Map(),
  weights: new Map(),
  prevoteWeight: 0n,
  precommitWeight: 0n,
  voterWeight: 0n,
}

export const addVote: AddVote = (votes, set, vote, current) => {
  if (vote.round <= current - ROUNDS_KEPT) return { votes, counted: false, evidence: [] }
  if (vote.round > current + ROUNDS_AHEAD) return { votes: keepAhead(votes, vote), counted: false, evidence: [] }
  const known = votes.rounds.get(vote.round)?.[vote.kind].get(vote.validator)
  if (known !== undefined) {
    const differs = known.blockHash !== vote.blockHash || known.validRound !== vote.validRound
    return { ...reportOffence(votes, differs ? [evidenceOf('doubleVote', vote.validator, known, vote)] : []), counted: false }
  }
  const rounds = new Map(votes.rounds).set(vote.round, count(votes.rounds.get(vote.round) ?? EMPTY_ROUND, set, vote))
  return { ...reportOffence({ ...votes, rounds }, amnesiaWith(votes, vote)), counted: true }
}

/** Moves on to a round: forgets rounds too far behind, and gives back the votes ahead that are near enough now to be added. */
export function advanceVotes(votes: Votes, current: number): { votes: Votes; near: readonly Vote[] } {
  const rounds = new Map([...votes.rounds].filter(([round]) => round > current - ROUNDS_KEPT))
  const near = [...votes.ahead.values()].filter((vote) => vote.round <= current + ROUNDS_AHEAD)
  const ahead = new Map([...votes.ahead].filter(([, vote]) => vote.round > current + ROUNDS_AHEAD))
  return { votes: { ...votes, rounds, ahead }, near }
}

/** The vote that counts in a slot, if there is one. */
export function voteOf(votes: Votes, slot: { kind: VoteKind; round: number; validator: number }): Vote | undefined {
  return votes.rounds.get(slot.round)?.[slot.kind].get(slot.validator)
}

/** True if a quorum said just this in the round. */
export function hasQuorum(votes: Votes, set: ValidatorSet, said: Pick<Vote, 'kind' | 'round' | 'blockHash' | 'validRound'>): boolean {
  return isQuorum(set, votes.rounds.get(said.round)?.weights.get(votedKey(said)) ?? 0n)
}

/** True if a quorum cast votes of the kind in the round, whatever they said. */
export function hasAnyQuorum(votes: Votes, set: ValidatorSet, kind: VoteKind, round: number): boolean {
  const kept = votes.rounds.get(round)
  return kept !== undefined && isQuorum(set, kind === 'prevote' ? kept.prevoteWeight : kept.precommitWeight)
}

/** All counted votes of a round and kind, in the order of the set. */
export function votesOf(votes: Votes, kind: VoteKind, round: number): Vote[] {
  return [...(votes.rounds.get(round)?.[kind].values() ?? [])].sort((a, b) => a.validator - b.validator)
}

/** The counted votes that say just this. */
export function votesFor(votes: Votes, said: Pick<Vote, 'kind' | 'round' | 'blockHash' | 'validRound'>): Vote[] {
  return votesOf(votes, said.kind, said.round).filter((vote) => vote.blockHash === said.blockHash && vote.validRound === said.validRound)
}

/** The highest round after `current` in which a third of the weight has voted, with those votes; each voter counts once. */
export function latestRoundOfThird(votes: Votes, set: ValidatorSet, current: number): { round: number; votes: Vote[] } | undefined {
  const later = new Set([...votes.rounds.keys(), ...[...votes.ahead.values()].map((vote) => vote.round)].filter((round) => round > current))
  for (const round of [...later].sort((a, b) => b - a)) {
    const kept = votes.rounds.get(round)
    if (kept !== undefined && isThird(set, kept.voterWeight)) {
      return { round, votes: [...votesOf(votes, 'prevote', round), ...votesOf(votes, 'precommit', round)] }
    }
    const ahead = [...votes.ahead.values()].filter((vote) => vote.round === round).sort((a, b) => a.validator - b.validator)
    if (
      isThird(
        set,
        ahead.reduce((sum, vote) => sum + weightAt(set, vote.validator), 0n),
      )
    )
      return { round, votes: ahead }
  }
  return undefined
}

function count(kept: RoundVotes, set: ValidatorSet, vote: Vote): RoundVotes {
  assert(vote.validRound === -1 || vote.blockHash !== NIL, 'a nil vote has no valid round')
  const weight = weightAt(set, vote.validator)
  const other = vote.kind === 'prevote' ? 'precommit' : 'prevote'
  const key = votedKey(vote)
  return {
    ...kept,
    [vote.kind]: new Map(kept[vote.kind]).set(vote.validator, vote),
    weights: new Map(kept.weights).set(key, (kept.weights.get(key) ?? 0n) + weight),
    prevoteWeight: kept.prevoteWeight + (vote.kind === 'prevote' ? weight : 0n),
    precommitWeight: kept.precommitWeight + (vote.kind === 'precommit' ? weight : 0n),
    voterWeight: kept.voterWeight + (kept[other].has(vote.validator) ? 0n : weight),
  }
}

function keepAhead(votes: Votes, vote: Vote): Votes {
  const newest = votes.ahead.get(vote.validator)
  if (newest !== undefined && newest.round >= vote.round) return votes
  return { ...votes, ahead: new Map(votes.ahead).set(vote.validator, vote) }
}

/** Amnesia between this vote and the sender's earlier ones. At most one pair matters. */
function amnesiaWith(votes: Votes, vote: Vote): Evidence[] {
  if (vote.blockHash === NIL) return []
  const other = vote.kind === 'prevote' ? 'precommit' : 'prevote'
  for (const kept of votes.rounds.values()) {
    const against = kept[other].get(vote.validator)
    if (against === undefined) continue
    const [precommit, prevote] = vote.kind === 'precommit' ? [vote, against] : [against, vote]
    if (isAmnesia(precommit, prevote)) return [evidenceOf('amnesia', vote.validator, precommit, prevote)]
  }
  return []
}

/** Lets through what was not reported before, and remembers it. */
export function reportOffence(votes: Votes, found: readonly Evidence[]): { votes: Votes; evidence: readonly Evidence[] } {
  const evidence = found.filter(({ kind, validator }) => !votes.reported.has(`${kind} ${validator}`))
  if (evidence.length === 0) return { votes, evidence }
  const reported = new Set([...votes.reported, ...evidence.map(({ kind, validator }) => `${kind} ${validator}`)])
  return { votes: { ...votes, reported }, evidence }
}

function votedKey({ kind, validRound, blockHash }: Pick<Vote, 'kind' | 'validRound' | 'blockHash'>): VotedKey {
  return `${kind} ${validRound} ${blockHash}`
}
