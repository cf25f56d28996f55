/**
 * Evidence: two signatures of one key that no correct validator ever gives together. Anyone can check it, L1 included.
 *
 * - doubleVote: two statements of one kind, height and round that differ.
 * - amnesia: a precommit of block v in round r, then a prevote of another block in a round r' > r whose valid round is before r: the
 *   lock on v was forgotten. Sound because of the strict prevote rules P1 and P2: after the precommit the lock is at least r for the
 *   rest of the height, and a prevote of another block needs a valid round at least as new as the lock.
 *
 * Wire: kind u8 (1 doubleVote, 2 amnesia) ‖ validator u16 ‖ height u64 ‖ 2 × (tag u8 ‖ round u32 ‖ validRound + 1 u32 ‖ blockHash 32 ‖
 * signature 96). Spec: docs/spec/consensus.md#evidence
 */

import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import type { JudgeEvidence } from '../execution/report.ts'
import { EVIDENCE_BYTES, VALIDATORS_MAX } from '../genesis/params.ts'
import { type BlsPublicKey, parseUncompressedKey, verifySignature } from './bls.ts'
import { readBlockHash, readVoted } from './certificate.ts'
import { type Domain, NIL, type Statement, statementDigest, TAG } from './digest.ts'
import type { Proposal, Vote } from './message.ts'
import type { ValidatorSet } from './validatorSet.ts'
import {
  type Decoded,
  decodeExactly,
  fixedBytes,
  type Reader,
  readBytes,
  readRound,
  readUint,
  readValidRound,
  refuse,
  SIGNATURE_BYTES,
} from './wire.ts'

/** A statement with its signature. */
export type Signed = Omit<Statement, 'height'> & { readonly signature: Uint8Array }

/** What one validator did at one height. In amnesia the precommit stands first. */
export type Evidence = {
  readonly kind: 'doubleVote' | 'amnesia'
  /** Index in the set of the height. */
  readonly validator: number
  readonly height: number
  readonly first: Signed
  readonly second: Signed
}

type Judgement = { readonly ok: true } | { readonly ok: false; readonly code: 'noOffence' | 'badSignature' }

export type EvidenceVerdict = Judgement | { readonly ok: false; readonly code: 'unknownValidator' }

const EVIDENCE_KIND = { doubleVote: 1, amnesia: 2 } as const

/** True if the two contradict each other in one slot. */
export function isDoubleVote(a: Omit<Statement, 'height'>, b: Omit<Statement, 'height'>): boolean {
  return a.kind === b.kind && a.round === b.round && (a.blockHash !== b.blockHash || a.validRound !== b.validRound)
}

/** True if the prevote forgets the lock that the precommit took. */
export function isAmnesia(precommit: Omit<Statement, 'height'>, prevote: Omit<Statement, 'height'>): boolean {
  if (precommit.kind !== 'precommit' || prevote.kind !== 'prevote') return false
  if (precommit.blockHash === NIL || prevote.blockHash === NIL || prevote.blockHash === precommit.blockHash) return false
  return prevote.round > precommit.round && prevote.validRound < precommit.round
}

/** Evidence of two messages of one validator. The caller saw that it is an offence. */
export function evidenceOf(kind: Evidence['kind'], validator: number, first: Proposal | Vote, second: Proposal | Vote): Evidence {
  assert(first.height === second.height, 'evidence is of one height')
  return { kind, validator, height: first.height, first: signedPart(first), second: signedPart(second) }
}

/** Judges evidence from anyone: the offence and both signatures. The set must be the one of the evidence's height. */
export function verifyEvidence(set: ValidatorSet, evidence: Evidence, chainId: number): EvidenceVerdict {
  const key = set.keys[evidence.validator]
  return key === undefined ? { ok: false, code: 'unknownValidator' } : judge(evidence, key, { chainId, epoch: set.epoch })
}

/** The same for whoever executes blocks: the validator is a key by its coordinates, and the evidence is its bytes. */
export const judgeEvidence: JudgeEvidence = (bytes, { chainId, epoch, key }) => {
  const decoded = decodeEvidence(bytes)
  if (!decoded.ok) return { ok: false, code: 'malformedEvidence' }
  const parsed = parseUncompressedKey(key)
  return parsed ? judge(decoded.value, parsed, { chainId, epoch }) : { ok: false, code: 'badSignature' }
}

function judge({ kind, height, first, second }: Evidence, key: BlsPublicKey, domain: Domain): Judgement {
  if (kind === 'doubleVote' ? !isDoubleVote(first, second) : !isAmnesia(first, second)) return { ok: false, code: 'noOffence' }
  const signed = (part: Signed) => verifySignature(key, statementDigest(domain, { ...part, height }), part.signature)
  return signed(first) && signed(second) ? { ok: true } : { ok: false, code: 'badSignature' }
}

/** The bytes of evidence: `EVIDENCE_BYTES` of them. */
export function encodeEvidence(evidence: Evidence): Uint8Array {
  const { kind, validator, height, first, second } = evidence
  const head = [uintBytes(EVIDENCE_KIND[kind], 1), uintBytes(validator, 2), uintBytes(height, 8)]
  return concatBytes([...head, encodeSigned(first), encodeSigned(second)])
}

/** The evidence that the bytes are, or why they are none. */
export function decodeEvidence(bytes: Uint8Array): Decoded<Evidence> {
  return decodeExactly(bytes, EVIDENCE_BYTES, (reader) => {
    const tag = readUint(reader, 1)
    if (tag !== EVIDENCE_KIND.doubleVote && tag !== EVIDENCE_KIND.amnesia) refuse('unknownType')
    const validator = readUint(reader, 2)
    if (validator >= VALIDATORS_MAX) refuse('numberRange')
    const height = readUint(reader, 8)
    const kind = tag === EVIDENCE_KIND.doubleVote ? 'doubleVote' : 'amnesia'
    return { kind, validator, height, first: readSigned(reader), second: readSigned(reader) }
  })
}

function encodeSigned({ kind, round, validRound, blockHash, signature }: Signed): Uint8Array {
  return concatBytes([uintBytes(TAG[kind], 1), uintBytes(round, 4), uintBytes(validRound + 1, 4), fixedBytes(blockHash, 32), signature])
}

function readSigned(reader: Reader): Signed {
  const tag = readUint(reader, 1)
  const round = readRound(reader)
  if (tag === TAG.proposal) {
    const validRound = readValidRound(reader, round)
    return { kind: 'proposal', round, validRound, blockHash: readBlockHash(reader), signature: readBytes(reader, SIGNATURE_BYTES) }
  }
  if (tag !== TAG.prevote && tag !== TAG.precommit) refuse('unknownType')
  const kind = tag === TAG.prevote ? 'prevote' : 'precommit'
  return { kind, round, ...readVoted(reader, kind, round), signature: readBytes(reader, SIGNATURE_BYTES) }
}

function signedPart({ kind, round, validRound, blockHash, signature }: Proposal | Vote): Signed {
  return { kind, round, validRound, blockHash, signature }
}
