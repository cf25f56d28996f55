/**
 * Admission: what is worth verifying. Looks at a decoded message from the network before any signature is checked: membership first,
 * then height and round, then if its place is still free. So a flood costs lookups and not pairings.
 */
import { checkRoundCert, type RoundCert, roundProof } from './certificate.ts'
import type { Message, Proposal, Vote } from './message.ts'
import { isSameProposal } from './round.ts'
import type { State } from './state.ts'
import { ROUNDS_AHEAD, ROUNDS_KEPT, voteOf } from './votes.ts'

/**
 * Why a message is not verified. `earlyHeight` may be held back (early.ts), `pastHeight` may be answered with that height's commit;
 * `known` and `slotTaken` are the network's ordinary repetitions; `unknownValidator` is a fault of who sent it.
 */
export type Admission =
  | { readonly ok: true }
  | {
      readonly ok: false
      readonly code: 'pastHeight' | 'earlyHeight' | 'unknownValidator' | 'pastRound' | 'earlyRound' | 'known' | 'slotTaken'
    }

/** True if the message could change the state. */
export function admit(state: State, message: Message): Admission {
  if (message.height < state.height || (message.height === state.height && isOver(state))) {
    // A commit is itself the answer to a past message: answering it would have two nodes answer each other for ever.
    return { ok: false, code: message.kind === 'commit' ? 'known' : 'pastHeight' }
  }
  if (message.height > state.height) return { ok: false, code: 'earlyHeight' }
  if (state.commit !== undefined) return { ok: false, code: 'known' }
  switch (message.kind) {
    case 'proposal':
      return admitProposal(state, message)
    case 'prevote':
    case 'precommit':
      return admitVote(state, message)
    case 'polka':
      if (message.round <= state.round - ROUNDS_KEPT) return { ok: false, code: 'pastRound' }
      return state.polkas.has(message.round) ? { ok: false, code: 'known' } : { ok: true }
    case 'roundCert':
      return admitRoundCert(state, message)
    case 'commit':
      return { ok: true }
  }
}

/** A certificate of a later round, or one that shows that this round is over when that is news. */
function admitRoundCert(state: State, cert: RoundCert): Admission {
  if (cert.round < state.round) return { ok: false, code: 'pastRound' }
  if (cert.round > state.round || !checkRoundCert(state.set, cert).ok) return { ok: true } // verification refuses the latter, and says why
  const isNews = !state.done.precommitTimer && roundProof(state.set, cert) === 'precommitQuorum'
  return isNews ? { ok: true } : { ok: false, code: 'known' }
}

function isOver(state: State): boolean {
  return state.step === 'idle' || state.step === 'decided' || state.step === 'halted'
}

function admitProposal(state: State, proposal: Proposal): Admission {
  if (proposal.round < state.round) return { ok: false, code: 'pastRound' }
  if (proposal.round > state.round + ROUNDS_AHEAD) return { ok: false, code: 'earlyRound' }
  const heard = state.proposals.get(proposal.round) ?? []
  if (heard.some((other) => isSameProposal(other.proposal, proposal))) return { ok: false, code: 'known' }
  return heard.length === 2 ? { ok: false, code: 'slotTaken' } : { ok: true }
}

/** A second, different vote is worth verifying once a validator and height: it is evidence. */
function admitVote(state: State, vote: Vote): Admission {
  if (state.set.validators[vote.validator] === undefined) return { ok: false, code: 'unknownValidator' }
  if (vote.round <= state.round - ROUNDS_KEPT) return { ok: false, code: 'pastRound' }
  if (vote.round > state.round + ROUNDS_AHEAD) {
    const newest = state.votes.ahead.get(vote.validator)
    return newest !== undefined && newest.round >= vote.round ? { ok: false, code: 'known' } : { ok: true }
  }
  const counted = voteOf(state.votes, vote)
  if (counted === undefined) return { ok: true }
  if (counted.blockHash === vote.blockHash && counted.validRound === vote.validRound) return { ok: false, code: 'known' }
  return state.votes.reported.has(`doubleVote ${vote.validator}`) ? { ok: false, code: 'slotTaken' } : { ok: true }
}
