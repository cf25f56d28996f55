/**
 * Certificates: what a weight of validators said, in one aggregate signature and one bit a signer.
 *
 * - Commit: a quorum of precommits of one block. It makes the block final, here and on L1.
 * - Polka: a quorum of prevotes of one block with one valid round. It justifies a lock and a re-proposal.
 * - RoundCert: votes of one round, of whatever blocks, from a third (that round has begun) or a quorum of precommits (it is over).
 *
 * Bit i of a bitmap is bit i mod 8, lowest first, of byte ⌊i / 8⌋. Spec: docs/spec/consensus.md#certificates
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { VALIDATORS_MAX } from '../genesis/params.ts'
import { type BlsPublicKey, verifyAggregate, verifyAggregates } from './bls.ts'
import { NIL, type Statement, statementDigest, TAG } from './digest.ts'
import type { Vote } from './message.ts'
import { isQuorum, isThird, type ValidatorSet, weightAt } from './validatorSet.ts'
import { fixedBytes, type Reader, readBytes, readHex, readRound, readUint, readValidRound, refuse, SIGNATURE_BYTES } from './wire.ts'

/** Most distinct statements in a round certificate: each costs a pairing to verify. */
export const ROUND_CERT_ENTRIES_MAX = 16

const BITMAP_BYTES_MAX = VALIDATORS_MAX / 8

/** A quorum of precommits of one block. */
export type Commit = {
  readonly kind: 'commit'
  readonly height: number
  readonly round: number
  readonly blockHash: Hex
  readonly bitmap: Uint8Array
  readonly signature: Uint8Array
}

/** A quorum of prevotes of one block, all with the same valid round. */
export type Polka = {
  readonly kind: 'polka'
  readonly height: number
  readonly round: number
  readonly blockHash: Hex
  readonly validRound: number
  readonly bitmap: Uint8Array
  readonly signature: Uint8Array
}

/** Those who said one thing in the round of a round certificate. */
export type RoundCertEntry = {
  readonly kind: 'prevote' | 'precommit'
  readonly validRound: number
  readonly blockHash: Hex
  readonly bitmap: Uint8Array
}

/** Votes of one round: why a validator may enter it or leave it. Entries stand in the order of their bytes. */
export type RoundCert = {
  readonly kind: 'roundCert'
  readonly height: number
  readonly round: number
  readonly entries: readonly RoundCertEntry[]
  readonly signature: Uint8Array
}

/** What a round certificate shows: the round is over (a quorum precommitted), or has begun (a third voted). */
export type RoundProof = 'precommitQuorum' | 'third'

/** Sums signatures over verified votes: `aggregateSignatures` of bls.ts, or a stand-in where signatures are not the subject. */
export type Aggregate = (signatures: readonly Uint8Array[]) => Uint8Array

/** Why a certificate does not stand. */
export type CertificateVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: 'bitmapSize' | 'bitBeyondSet' | 'duplicateSigner' | 'badSignature' }
  | { readonly ok: false; readonly code: 'weightTooLow'; readonly weight: bigint; readonly totalWeight: bigint }

// ---- verification -------------------------------------------------------------------------------------------------------------------

/** True verdict if the commit is signed by a quorum of the set. About 1 ms. The set must be the one of the commit's height. */
export function verifyCommit(set: ValidatorSet, commit: Omit<Commit, 'kind'>, chainId: number): CertificateVerdict {
  const weighed = checkCommit(set, commit)
  if (!weighed.ok) return weighed
  return verifySigners(set, { ...commit, kind: 'precommit', validRound: -1 }, commit, chainId)
}

/** True verdict if the polka is signed by a quorum of the set. About 1 ms. */
export function verifyPolka(set: ValidatorSet, polka: Polka, chainId: number): CertificateVerdict {
  const weighed = checkPolka(set, polka)
  if (!weighed.ok) return weighed
  return verifySigners(set, { ...polka, kind: 'prevote' }, polka, chainId)
}

/** True verdict if the votes of the round certificate are signed and prove something. About 0.7 ms an entry. */
export function verifyRoundCert(set: ValidatorSet, cert: RoundCert, chainId: number): CertificateVerdict {
  const weighed = checkRoundCert(set, cert)
  if (!weighed.ok) return weighed
  const domain = { chainId, epoch: set.epoch }
  const parts = cert.entries.map((entry) => ({
    keys: signerKeys(set, entry.bitmap),
    digest: statementDigest(domain, { height: cert.height, round: cert.round, ...entry }),
  }))
  return verifyAggregates(parts, cert.signature) ? { ok: true } : { ok: false, code: 'badSignature' }
}

/** The part of `verifyCommit` that needs no cryptography: bitmap and weight. */
export function checkCommit(set: ValidatorSet, commit: Pick<Commit, 'bitmap'>): CertificateVerdict {
  return checkQuorum(set, commit.bitmap)
}

/** The part of `verifyPolka` that needs no cryptography: bitmap and weight. */
export function checkPolka(set: ValidatorSet, polka: Polka): CertificateVerdict {
  return checkQuorum(set, polka.bitmap)
}

/** The part of `verifyRoundCert` that needs no cryptography: bitmaps, one vote a signer and kind, weight. */
export function checkRoundCert(set: ValidatorSet, cert: RoundCert): CertificateVerdict {
  const seen = new Set<string>()
  for (const { kind, bitmap } of cert.entries) {
    const shape = checkBitmap(set, bitmap)
    if (!shape.ok) return shape
    for (const signer of signersOf(bitmap)) {
      if (seen.has(`${kind} ${signer}`)) return { ok: false, code: 'duplicateSigner' }
      seen.add(`${kind} ${signer}`)
    }
  }
  if (roundProof(set, cert) !== undefined) return { ok: true }
  return { ok: false, code: 'weightTooLow', weight: voterWeight(set, cert.entries), totalWeight: set.totalWeight }
}

/** What the certificate shows if its signatures are good, or undefined if its weight shows nothing. */
export function roundProof(set: ValidatorSet, cert: RoundCert): RoundProof | undefined {
  const precommits = cert.entries.filter((entry) => entry.kind === 'precommit')
  if (isQuorum(set, voterWeight(set, precommits))) return 'precommitQuorum'
  return isThird(set, voterWeight(set, cert.entries)) ? 'third' : undefined
}

/** Positions of the bits that are set, ascending. */
export function signersOf(bitmap: Uint8Array): number[] {
  const signers: number[] = []
  for (const [at, byte] of bitmap.entries()) {
    for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) signers.push(at * 8 + bit)
  }
  return signers
}

// ---- building -----------------------------------------------------------------------------------------------------------------------

/** The commit that these precommits of one block make; they are verified and from different validators. */
export function buildCommit(set: ValidatorSet, precommits: readonly Vote[], aggregate: Aggregate): Commit {
  const { height, round, blockHash } = sameStatement(precommits)
  return { kind: 'commit', height, round, blockHash, ...buildSigners(set, precommits, aggregate) }
}

/** The polka that these prevotes of one block and valid round make; they are verified and from different validators. */
export function buildPolka(set: ValidatorSet, prevotes: readonly Vote[], aggregate: Aggregate): Polka {
  const { height, round, blockHash, validRound } = sameStatement(prevotes)
  return { kind: 'polka', height, round, blockHash, validRound, ...buildSigners(set, prevotes, aggregate) }
}

/**
 * A certificate of the round these verified votes belong to, made of the heaviest statements among them, or undefined if
 * ROUND_CERT_ENTRIES_MAX statements do not prove what is asked (equivocators can scatter their votes).
 */
export function buildRoundCert(set: ValidatorSet, votes: readonly Vote[], proof: RoundProof, aggregate: Aggregate): RoundCert | undefined {
  const groups = new Map<string, Vote[]>()
  for (const vote of votes) {
    if (proof === 'precommitQuorum' && vote.kind !== 'precommit') continue
    const key = `${vote.kind} ${vote.validRound} ${vote.blockHash}`
    groups.set(key, [...(groups.get(key) ?? []), vote])
  }
  const weightOf = (group: readonly Vote[]) => group.reduce((total, vote) => total + weightAt(set, vote.validator), 0n)
  const heaviest = [...groups.values()].sort((a, b) => compareBigints(weightOf(b), weightOf(a))).slice(0, ROUND_CERT_ENTRIES_MAX)
  const [first] = heaviest.flat()
  if (first === undefined) return undefined
  const entries = heaviest.map((group) => {
    const { kind, validRound, blockHash } = sameStatement(group)
    return { kind, validRound, blockHash, bitmap: bitmapOf(set, group) }
  })
  const cert: RoundCert = {
    kind: 'roundCert',
    height: first.height,
    round: first.round,
    entries: entries.sort(compareEntries),
    signature: aggregate(heaviest.flat().map((vote) => vote.signature)),
  }
  const shown = roundProof(set, cert)
  return shown === proof || shown === 'precommitQuorum' ? cert : undefined
}

/** Signatures of one digest in one, with a bit for each of who gave them: verified, and of different validators. */
export function buildSigners(
  set: ValidatorSet,
  signed: readonly Pick<Vote, 'validator' | 'signature'>[],
  aggregate: Aggregate,
): { readonly bitmap: Uint8Array; readonly signature: Uint8Array } {
  return { bitmap: bitmapOf(set, signed), signature: aggregate(signed.map(({ signature }) => signature)) }
}

// ---- wire form ----------------------------------------------------------------------------------------------------------------------

/** bitmapBytes u16 ‖ bitmap ‖ signature 96: the tail of every certificate of one statement. */
export function encodeSigners(signers: { readonly bitmap: Uint8Array; readonly signature: Uint8Array }): Uint8Array {
  assert(signers.signature.length === SIGNATURE_BYTES, 'signature has the wrong length')
  return concatBytes([encodeBitmap(signers.bitmap), signers.signature])
}

/** Reads what `encodeSigners` wrote and moves on. */
export function readSigners(reader: Reader): { bitmap: Uint8Array; signature: Uint8Array } {
  return { bitmap: readBitmap(reader), signature: readBytes(reader, SIGNATURE_BYTES) }
}

/** height u64 ‖ round u32 ‖ blockHash 32 ‖ signers. */
export function encodeCommit(commit: Commit): Uint8Array {
  return concatBytes([uintBytes(commit.height, 8), uintBytes(commit.round, 4), fixedBytes(commit.blockHash, 32), encodeSigners(commit)])
}

/** Reads a commit and moves on. Refuses nil. */
export function readCommit(reader: Reader): Commit {
  const height = readUint(reader, 8)
  const round = readRound(reader)
  return { kind: 'commit', height, round, blockHash: readBlockHash(reader), ...readSigners(reader) }
}

/** height u64 ‖ round u32 ‖ validRound + 1 u32 ‖ blockHash 32 ‖ signers. */
export function encodePolka(polka: Polka): Uint8Array {
  const { height, round, validRound, blockHash } = polka
  const head = [uintBytes(height, 8), uintBytes(round, 4), uintBytes(validRound + 1, 4), fixedBytes(blockHash, 32)]
  return concatBytes([...head, encodeSigners(polka)])
}

/** Reads a polka and moves on. Refuses nil, and a valid round that is not before the round. */
export function readPolka(reader: Reader): Polka {
  const height = readUint(reader, 8)
  const round = readRound(reader)
  const validRound = readValidRound(reader, round)
  return { kind: 'polka', height, round, validRound, blockHash: readBlockHash(reader), ...readSigners(reader) }
}

/** height u64 ‖ round u32 ‖ entryCount u8 ‖ entries (kind u8 ‖ validRound + 1 u32 ‖ blockHash 32 ‖ bitmapBytes u16 ‖ bitmap) ‖ signature 96. */
export function encodeRoundCert(cert: RoundCert): Uint8Array {
  assert(cert.entries.length > 0 && cert.entries.length <= ROUND_CERT_ENTRIES_MAX, 'round certificate has too few or many entries')
  const head = [uintBytes(cert.height, 8), uintBytes(cert.round, 4), uintBytes(cert.entries.length, 1)]
  const entries = cert.entries.map((entry) => concatBytes([entryHead(entry), encodeBitmap(entry.bitmap)]))
  return concatBytes([...head, ...entries, fixedSignature(cert.signature)])
}

/** Reads a round certificate and moves on. Refuses entries that are too many, or not in ascending order. */
export function readRoundCert(reader: Reader): RoundCert {
  const height = readUint(reader, 8)
  const round = readRound(reader)
  const count = readUint(reader, 1)
  if (count === 0 || count > ROUND_CERT_ENTRIES_MAX) refuse('entryCount')
  const entries: RoundCertEntry[] = []
  for (let i = 0; i < count; i++) {
    const entry = readEntry(reader, round)
    const previous = entries.at(-1)
    if (previous !== undefined && compareEntries(previous, entry) >= 0) refuse('entryOrder')
    entries.push(entry)
  }
  return { kind: 'roundCert', height, round, entries, signature: readBytes(reader, SIGNATURE_BYTES) }
}

/** A block hash that is not nil. */
export function readBlockHash(reader: Reader): Hex {
  const blockHash = readHex(reader, 32)
  return blockHash === NIL ? refuse('nilBlock') : blockHash
}

/** validRound + 1 and block hash of a vote. Nil and precommits have no valid round. */
export function readVoted(reader: Reader, kind: Vote['kind'], round: number): { validRound: number; blockHash: Hex } {
  const validRound = readValidRound(reader, round)
  const blockHash = readHex(reader, 32)
  if (validRound >= 0 && (kind === 'precommit' || blockHash === NIL)) refuse('nilValidRound')
  return { validRound, blockHash }
}

function readEntry(reader: Reader, round: number): RoundCertEntry {
  const tag = readUint(reader, 1)
  if (tag !== TAG.prevote && tag !== TAG.precommit) refuse('unknownType')
  const kind = tag === TAG.prevote ? 'prevote' : 'precommit'
  return { kind, ...readVoted(reader, kind, round), bitmap: readBitmap(reader) }
}

function entryHead({ kind, validRound, blockHash }: RoundCertEntry): Uint8Array {
  return concatBytes([uintBytes(TAG[kind], 1), uintBytes(validRound + 1, 4), fixedBytes(blockHash, 32)])
}

function encodeBitmap(bitmap: Uint8Array): Uint8Array {
  assert(bitmap.length > 0 && bitmap.length <= BITMAP_BYTES_MAX, 'bitmap has the wrong size')
  return concatBytes([uintBytes(bitmap.length, 2), bitmap])
}

function readBitmap(reader: Reader): Uint8Array {
  const length = readUint(reader, 2)
  if (length === 0 || length > BITMAP_BYTES_MAX) refuse('bitmapSize')
  return readBytes(reader, length)
}

function fixedSignature(signature: Uint8Array): Uint8Array {
  assert(signature.length === SIGNATURE_BYTES, 'signature has the wrong length')
  return signature
}

// ---- helpers ------------------------------------------------------------------------------------------------------------------------

function verifySigners(
  set: ValidatorSet,
  statement: Statement,
  signers: { readonly bitmap: Uint8Array; readonly signature: Uint8Array },
  chainId: number,
): CertificateVerdict {
  const digest = statementDigest({ chainId, epoch: set.epoch }, statement)
  return verifyAggregate(signerKeys(set, signers.bitmap), digest, signers.signature) ? { ok: true } : { ok: false, code: 'badSignature' }
}

/** Whether those whose bits are set are a quorum: bitmap and weight, without cryptography. */
export function checkQuorum(set: ValidatorSet, bitmap: Uint8Array): CertificateVerdict {
  const shape = checkBitmap(set, bitmap)
  if (!shape.ok) return shape
  const weight = weightOfSigners(set, signersOf(bitmap))
  return isQuorum(set, weight) ? { ok: true } : { ok: false, code: 'weightTooLow', weight, totalWeight: set.totalWeight }
}

function checkBitmap(set: ValidatorSet, bitmap: Uint8Array): CertificateVerdict {
  const count = set.validators.length
  if (bitmap.length !== Math.ceil(count / 8)) return { ok: false, code: 'bitmapSize' }
  return signersOf(bitmap).some((signer) => signer >= count) ? { ok: false, code: 'bitBeyondSet' } : { ok: true }
}

function voterWeight(set: ValidatorSet, entries: readonly RoundCertEntry[]): bigint {
  return weightOfSigners(set, new Set(entries.flatMap((entry) => signersOf(entry.bitmap))))
}

function weightOfSigners(set: ValidatorSet, signers: Iterable<number>): bigint {
  let weight = 0n
  for (const signer of signers) weight += weightAt(set, signer)
  return weight
}

/** Keys of those whose bits are set; the bitmap is checked. */
export function signerKeys(set: ValidatorSet, bitmap: Uint8Array): BlsPublicKey[] {
  return signersOf(bitmap).map((signer) => {
    const key = set.keys[signer]
    assert(key, 'signer is out of the set')
    return key
  })
}

function bitmapOf(set: ValidatorSet, votes: readonly Pick<Vote, 'validator'>[]): Uint8Array {
  const bitmap = new Uint8Array(Math.ceil(set.validators.length / 8))
  for (const { validator } of votes) {
    const [at, bit] = [validator >> 3, 1 << (validator & 7)]
    assert(((bitmap[at] ?? 0) & bit) === 0, 'two votes of one validator in a certificate')
    bitmap[at] = (bitmap[at] ?? 0) | bit
  }
  return bitmap
}

function sameStatement(votes: readonly Vote[]): Vote {
  const [first] = votes
  assert(first, 'a certificate needs votes')
  for (const { kind, round, validRound, blockHash } of votes) {
    assert(kind === first.kind && round === first.round && validRound === first.validRound && blockHash === first.blockHash)
  }
  return first
}

function compareEntries(a: RoundCertEntry, b: RoundCertEntry): number {
  const [x, y] = [a, b].map(({ kind, validRound, blockHash }) => `${TAG[kind]} ${String(validRound + 1).padStart(10, '0')} ${blockHash}`)
  assert(x !== undefined && y !== undefined)
  return x < y ? -1 : x > y ? 1 : 0
}

function compareBigints(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}
