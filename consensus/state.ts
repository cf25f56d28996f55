/**
 * The state of the machine: one height, the names of the Tendermint paper (arXiv 1807.04938, algorithm 1), and what the rules of
 * round.ts have to remember. Values in it are never changed in place; a step makes a new state that shares what did not change.
 */
import type { Hex } from 'viem'
import type { Aggregate, Commit, Polka, RoundCert } from './certificate.ts'
import type { Effect } from './effect.ts'
import type { Proposal, Vote } from './message.ts'
import type { Timing } from './timing.ts'
import type { ValidatorSet } from './validatorSet.ts'
import { NO_VOTES, type Votes } from './votes.ts'

/** What does not change from height to height. */
export type Context = {
  /** BLS public key of this validator; undefined for a node that only follows. */
  readonly publicKey: Hex | undefined
  readonly timing: Timing
  /** `aggregateSignatures` of bls.ts. */
  readonly aggregate: Aggregate
}

/** Where in the round the machine is. `idle`: before the first height. `halted`: for ever. */
export type RoundStep = 'idle' | 'propose' | 'prevote' | 'precommit' | 'decided' | 'halted'

/** A proposal and when it came in. */
export type HeardProposal = { readonly proposal: Proposal; readonly receivedMs: number }

/** What is known of a block: its verdict was asked for (urgently, if a quorum vouches for it), or is there. */
export type BlockStatus = { readonly kind: 'checking' | 'fetching' | 'invalid' } | { readonly kind: 'valid'; readonly timestampMs: number }

export type State = {
  readonly context: Context
  readonly set: ValidatorSet
  /** Own index in the set, or undefined for who has no vote at this height. */
  readonly self: number | undefined
  readonly height: number
  readonly round: number
  readonly step: RoundStep

  readonly lockedBlock: Hex | undefined
  readonly lockedRound: number
  readonly validBlock: Hex | undefined
  readonly validRound: number
  readonly validPolka: Polka | undefined

  /** At most two proposals of each round from the current one on: the second shows that the proposer is faulty. */
  readonly proposals: ReadonlyMap<number, readonly HeardProposal[]>
  readonly blocks: ReadonlyMap<Hex, BlockStatus>
  readonly votes: Votes
  /** First polka seen of each round. */
  readonly polkas: ReadonlyMap<number, Polka>
  /** The latest round certificate heard, and if it shows that its round is over. */
  readonly heardCert: { readonly cert: RoundCert; readonly roundIsOver: boolean } | undefined
  /** The commit of this height, from the moment it is known, even while its block is not. */
  readonly commit: Commit | undefined

  /** Things that happen once a round: proposing, P3, P6 and P7. */
  readonly done: { readonly propose: boolean; readonly lock: boolean; readonly prevoteTimer: boolean; readonly precommitTimer: boolean }
  /** Why this round was entered, to be shown to those who are behind. */
  readonly enterCert: RoundCert | Polka | undefined
  /** The last own message of each kind at this height. */
  readonly own: { readonly proposal: Proposal | undefined; readonly prevote: Vote | undefined; readonly precommit: Vote | undefined }
}

/** A state in the making, within one step: fields may be replaced, the values they hold may not be touched. */
export type Draft = { -readonly [Field in keyof State]: State[Field] } & { readonly effects: Effect[] }

/** What is true at the start of every round. */
export const NOTHING_DONE: State['done'] = { propose: false, lock: false, prevoteTimer: false, precommitTimer: false }

/** A machine after `height`, the last one decided (0 after genesis), that waits for `startHeight`. `set`: any set it knows. */
export function idleState(context: Context, set: ValidatorSet, height: number): State {
  return {
    context,
    set,
    self: undefined,
    height,
    round: -1,
    step: 'idle',
    lockedBlock: undefined,
    lockedRound: -1,
    validBlock: undefined,
    validRound: -1,
    validPolka: undefined,
    proposals: new Map(),
    blocks: new Map(),
    votes: NO_VOTES,
    polkas: new Map(),
    heardCert: undefined,
    commit: undefined,
    done: NOTHING_DONE,
    enterCert: undefined,
    own: { proposal: undefined, prevote: undefined, precommit: undefined },
  }
}
