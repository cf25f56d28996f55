/**
 * Calls of the registry of validators: certificates and evidence, as consensus makes them, in the form in which L1 computes. Only signatures change their
 * form: 96 compressed bytes become x.c0 ‖ x.c1 ‖ y.c0 ‖ y.c1 of 64 bytes each. Spec: docs/spec/consensus.md#registry
 */
import { bytesToHex, encodeFunctionData, type Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { validatorRegistryAbi } from './abi.ts'

/** A certificate of a block, as consensus/certificate.ts has it. */
export type BlockCommit = {
  readonly height: number
  readonly round: number
  readonly blockHash: Hex
  readonly bitmap: Uint8Array
  readonly signature: Uint8Array
}

/** A statement with its signature, as consensus/evidence.ts has it. */
export type SignedStatement = {
  readonly kind: 'proposal' | 'prevote' | 'precommit'
  readonly round: number
  readonly validRound: number
  readonly blockHash: Hex
  readonly signature: Uint8Array
}

/** What a validator did, as consensus/evidence.ts has it. */
export type OffenceEvidence = {
  readonly kind: 'doubleVote' | 'amnesia'
  readonly validator: number
  readonly height: number
  readonly first: SignedStatement
  readonly second: SignedStatement
}

/** The four coordinates of a compressed signature, c1 before c0, or undefined for bytes that are no point (consensus/bls.ts). */
export type Uncompress = (signature: Uint8Array) => Uint8Array | undefined

/** The contract's `Commit`. */
export type L1Commit = {
  readonly height: bigint
  readonly round: number
  readonly blockHash: Hex
  readonly bitmap: Hex
  readonly signature: Hex
}

/** A quorum's signature over something that both sides know, as consensus/certificate.ts has it. */
export type QuorumSignature = { readonly bitmap: Uint8Array; readonly signature: Uint8Array }

/** The contract's `Certificate`. */
export type L1Certificate = { readonly bitmap: Hex; readonly signature: Hex }

/** The contract's `Evidence`. */
export type L1Evidence = {
  readonly kind: number
  readonly validator: number
  readonly height: bigint
  readonly first: L1Statement
  readonly second: L1Statement
}

/** The contract's `Statement`. */
export type L1Statement = {
  readonly tag: number
  readonly round: number
  readonly validRoundPlus1: number
  readonly blockHash: Hex
  readonly signature: Hex
}

const FIELD_BYTES = 48
const PADDED_BYTES = 64
const KIND = { doubleVote: 1, amnesia: 2 } as const
const TAG = { proposal: 1, prevote: 2, precommit: 3 } as const

/** The certificate as the contract takes it, or undefined if its signature is no point: nothing on L1 would take it. */
export function toL1Commit(commit: BlockCommit, uncompress: Uncompress): L1Commit | undefined {
  const signature = toL1Signature(commit.signature, uncompress)
  const { height, round, blockHash, bitmap } = commit
  return signature && { height: BigInt(height), round, blockHash, bitmap: bytesToHex(bitmap), signature }
}

/** The quorum's signature as the contract takes it, or undefined if it is no point. */
export function toL1Certificate({ bitmap, signature }: QuorumSignature, uncompress: Uncompress): L1Certificate | undefined {
  const point = toL1Signature(signature, uncompress)
  return point && { bitmap: bytesToHex(bitmap), signature: point }
}

/** The evidence as the contract takes it, or undefined if one of its signatures is no point. */
export function toL1Evidence(evidence: OffenceEvidence, uncompress: Uncompress): L1Evidence | undefined {
  const [first, second] = [toL1Statement(evidence.first, uncompress), toL1Statement(evidence.second, uncompress)]
  const { kind, validator, height } = evidence
  return first && second && { kind: KIND[kind], validator, height: BigInt(height), first, second }
}

/** A public key, 96 uncompressed bytes, as the contract's three words. */
export function toL1Key(key: Uint8Array): readonly [Hex, Hex, Hex] {
  assert(key.length === 2 * FIELD_BYTES, 'a key has two coordinates')
  return [bytesToHex(key.subarray(0, 32)), bytesToHex(key.subarray(32, 64)), bytesToHex(key.subarray(64))]
}

/** A signature, from its compressed form, as the contract takes it; undefined if it is no point. */
export function toL1Signature(signature: Uint8Array, uncompress: Uncompress): Hex | undefined {
  const point = uncompress(signature)
  if (!point) return undefined
  assert(point.length === 4 * FIELD_BYTES, 'a signature has four coordinates')
  const out = new Uint8Array(4 * PADDED_BYTES)
  const isInfinity = ((point[0] ?? 0) & 0x40) !== 0
  if (isInfinity) return bytesToHex(out)
  // Here c0 comes first.
  for (const [i, from] of [1, 0, 3, 2].entries()) {
    out.set(point.subarray(from * FIELD_BYTES, (from + 1) * FIELD_BYTES), (i + 1) * PADDED_BYTES - FIELD_BYTES)
  }
  return bytesToHex(out)
}

/** Call data that opens the next epoch on L1. `header`: the last block's, as it is hashed. `entries`: the next set's; empty if they are the last set's. */
export function encodeRotate(commit: L1Commit, header: Uint8Array, entries: Uint8Array): Hex {
  return encodeFunctionData({ abi: validatorRegistryAbi, functionName: 'rotate', args: [commit, bytesToHex(header), bytesToHex(entries)] })
}

/** Call data that brings evidence to L1. */
export function encodeSlash(evidence: L1Evidence): Hex {
  return encodeFunctionData({ abi: validatorRegistryAbi, functionName: 'slash', args: [evidence] })
}

/** Call data that takes the stakes of the next `count` validators of those who signed a checkpoint that fell. `id`: of `SignersConvicted`. */
export function encodeSlashSigners(id: number, count: number): Hex {
  return encodeFunctionData({ abi: validatorRegistryAbi, functionName: 'slashSigners', args: [id, BigInt(count)] })
}

function toL1Statement(
  { kind, round, validRound, blockHash, signature }: SignedStatement,
  uncompress: Uncompress,
): L1Statement | undefined {
  const point = toL1Signature(signature, uncompress)
  return point && { tag: TAG[kind], round, validRoundPlus1: validRound + 1, blockHash, signature: point }
}
