/**
 * Verification: what stands between the network's messages and the machine, which takes verified ones only. Ask `admit` first: it is
 * cheap. The set must be the one of the message's height. Spec: docs/spec/consensus.md#messages
 */
import { toHex } from '../execution/hex.ts'
import { type SignedBy, verifyEach, verifySignature } from './bls.ts'
import { type CertificateVerdict, verifyCommit, verifyPolka, verifyRoundCert } from './certificate.ts'
import { statementDigest } from './digest.ts'
import type { Message, Proposal, Vote } from './message.ts'
import { proposerIndex, type ValidatorSet } from './validatorSet.ts'

/** Why a message does not count. */
export type MessageVerdict = CertificateVerdict | { readonly ok: false; readonly code: 'unknownValidator' | 'badPolka' }

/** Judges one message of any kind by its signatures. A polka or proposal takes about 1 ms, a re-proposal 2 ms. */
export function verifyMessage(set: ValidatorSet, message: Message, chainId: number): MessageVerdict {
  switch (message.kind) {
    case 'proposal':
      return verifyProposal(set, message, chainId)
    case 'prevote':
    case 'precommit':
      if (set.keys[message.validator] === undefined) return { ok: false, code: 'unknownValidator' }
      return verifyVotes(set, [message], chainId)[0] === true ? { ok: true } : { ok: false, code: 'badSignature' }
    case 'polka':
      return verifyPolka(set, message, chainId)
    case 'commit':
      return verifyCommit(set, message, chainId)
    case 'roundCert':
      return verifyRoundCert(set, message, chainId)
  }
}

/**
 * Judges many votes of one height at once: those of one digest are verified together, by halves where some are bad. 100 good votes of
 * one digest take about 12 ms, against 105 ms one by one. The verdicts stand in the order of the votes.
 */
export function verifyVotes(set: ValidatorSet, votes: readonly Vote[], chainId: number): boolean[] {
  const domain = { chainId, epoch: set.epoch }
  const verdicts = votes.map(() => false)
  const groups = new Map<string, { digest: Uint8Array; members: { at: number; signed: SignedBy }[] }>()
  for (const [at, vote] of votes.entries()) {
    const key = set.keys[vote.validator]
    if (key === undefined) continue
    const digest = statementDigest(domain, vote)
    const group = groups.get(toHex(digest)) ?? { digest, members: [] }
    group.members.push({ at, signed: { key, signature: vote.signature } })
    groups.set(toHex(digest), group)
  }
  for (const { digest, members } of groups.values()) {
    const results = verifyEach(
      digest,
      members.map(({ signed }) => signed),
    )
    for (const [i, { at }] of members.entries()) verdicts[at] = results[i] === true
  }
  return verdicts
}

/** A proposal is signed by the proposer of its round, and a re-proposal carries a polka that stands. */
function verifyProposal(set: ValidatorSet, proposal: Proposal, chainId: number): MessageVerdict {
  const { height, round, validRound, blockHash, polka, signature } = proposal
  const key = set.keys[proposerIndex(set, height, round)]
  const digest = statementDigest({ chainId, epoch: set.epoch }, proposal)
  if (key === undefined || !verifySignature(key, digest, signature)) return { ok: false, code: 'badSignature' }
  if (validRound >= 0 !== (polka !== undefined)) return { ok: false, code: 'badPolka' }
  if (polka === undefined) return { ok: true }
  if (polka.height !== height || polka.round !== validRound || polka.blockHash !== blockHash) return { ok: false, code: 'badPolka' }
  return verifyPolka(set, polka, chainId).ok ? { ok: true } : { ok: false, code: 'badPolka' }
}
