/**
 * Validator sets: who may vote in an epoch, with what weight, and whose turn it is to propose.
 *
 * Weights are integers and so are all thresholds. A quorum is more than two thirds of the weight, a third is more than one third.
 * Hash: keccak256(epoch u32 ‖ for each validator: address 20 ‖ feeRecipient 20 ‖ weight u128 ‖ x 48 ‖ y 48), the public key
 * uncompressed, so that L1 can use the bytes it hashed. Spec: docs/spec/consensus.md#validator-sets
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { toHex } from '../execution/hex.ts'
import { keccak256 } from '../execution/keccak.ts'
import { VALIDATORS_MAX } from '../genesis/params.ts'
import { type BlsPublicKey, parsePublicKey, uncompressedKey } from './bls.ts'
import { fixedBytes } from './wire.ts'

/** Highest weight of one validator: a stake in wei fits (genesis/params.ts, AMOUNT_MAX_WEI). */
export const WEIGHT_MAX = 2n ** 96n - 1n

/** Turns in one cycle of proposers, about: what bounds the table below for stakes in wei. */
export const TURNS_MAX = 10_000

export type Validator = {
  readonly address: Hex
  /** BLS public key, 48 bytes. */
  readonly publicKey: Hex
  readonly weight: bigint
  /** Who gets the fees of the blocks it proposes: the header's coinbase. */
  readonly feeRecipient: Hex
}

/** A checked set. Its order is the order of certificates' bits. Only `createValidatorSet` makes one. */
export type ValidatorSet = {
  readonly epoch: number
  readonly validators: readonly Validator[]
  /** Parsed public keys, in the order of the set. */
  readonly keys: readonly BlsPublicKey[]
  readonly totalWeight: bigint
  /** Index of the proposer of each turn of one cycle; after the last turn the first comes again. */
  readonly turns: Uint8Array
  readonly hash: Hex
}

export type ValidatorSetRejection = {
  readonly ok: false
  readonly code: 'emptySet' | 'tooManyValidators' | 'weightRange' | 'badPublicKey' | 'duplicateAddress' | 'duplicatePublicKey'
  /** Position of the validator that is wrong. */
  readonly index: number
}

/** Checks a set and computes what is used at every vote: parsed keys, total, turns, hash. */
export function createValidatorSet(
  epoch: number,
  validators: readonly Validator[],
): { ok: true; set: ValidatorSet } | ValidatorSetRejection {
  if (validators.length === 0) return { ok: false, code: 'emptySet', index: 0 }
  if (validators.length > VALIDATORS_MAX) return { ok: false, code: 'tooManyValidators', index: VALIDATORS_MAX }
  const keys: BlsPublicKey[] = []
  for (const [index, validator] of validators.entries()) {
    if (validator.weight <= 0n || validator.weight > WEIGHT_MAX) return { ok: false, code: 'weightRange', index }
    const key = parsePublicKey(validator.publicKey)
    if (key === undefined) return { ok: false, code: 'badPublicKey', index }
    const earlier = validators.slice(0, index)
    if (earlier.some((other) => other.address === validator.address)) return { ok: false, code: 'duplicateAddress', index }
    if (earlier.some((other) => other.publicKey === validator.publicKey)) return { ok: false, code: 'duplicatePublicKey', index }
    keys.push(key)
  }
  const totalWeight = validators.reduce((sum, validator) => sum + validator.weight, 0n)
  const hash = hashSet(epoch, validators, keys)
  return { ok: true, set: { epoch, validators, keys, totalWeight, turns: computeTurns(validators.map((v) => v.weight)), hash } }
}

/** What the set's hash is of, behind the epoch: what L1's registry is given of a set. 152 bytes a validator. */
export function encodeSet(set: ValidatorSet): Uint8Array {
  return encodeEntries(set.validators, set.keys)
}

/** True if the weight is more than two thirds of the set's. */
export function isQuorum(set: ValidatorSet, weight: bigint): boolean {
  return weight * 3n > set.totalWeight * 2n
}

/** True if the weight is more than a third of the set's: at least one correct validator is in it. */
export function isThird(set: ValidatorSet, weight: bigint): boolean {
  return weight * 3n > set.totalWeight
}

/** Weight of the validator at an index of the set. */
export function weightAt(set: ValidatorSet, index: number): bigint {
  const validator = set.validators[index]
  assert(validator, 'validator index is out of the set')
  return validator.weight
}

/** Index of the validator with this public key, or undefined for who only follows. */
export function indexOfKey(set: ValidatorSet, publicKey: Hex): number | undefined {
  const index = set.validators.findIndex((validator) => validator.publicKey === publicKey)
  return index === -1 ? undefined : index
}

/**
 * Index of the proposer of a height and round: turn (height + round) of the cycle, so a failed round passes the turn on and heights
 * advance by one whatever happened before. A function of the set alone, at the cost of one array read.
 */
export function proposerIndex(set: ValidatorSet, height: number, round: number): number {
  const cycle = set.turns.length
  const index = set.turns[((height % cycle) + (round % cycle)) % cycle]
  assert(index !== undefined, 'a set has at least one turn')
  return index
}

/**
 * One cycle of the weighted round robin: every validator's priority grows by its share, the highest (the first of equals) proposes
 * and pays the sum of the shares. Started from zero, all priorities are zero again after that many turns, and each validator had
 * exactly its share of them. Source: CometBFT spec, "Proposer Selection Procedure", without its persistent priorities.
 */
function computeTurns(weights: readonly bigint[]): Uint8Array {
  const shares = turnShares(weights)
  const cycle = shares.reduce((sum, share) => sum + share, 0)
  const priorities = shares.map(() => 0)
  const turns = new Uint8Array(cycle)
  for (let turn = 0; turn < cycle; turn++) {
    let best = 0
    for (const [index, share] of shares.entries()) {
      priorities[index] = (priorities[index] ?? 0) + share
      if ((priorities[index] ?? 0) > (priorities[best] ?? 0)) best = index
    }
    priorities[best] = (priorities[best] ?? 0) - cycle
    turns[turn] = best
  }
  return turns
}

/** Weights in lowest terms; where those are too many turns, scaled down to TURNS_MAX in all, but at least one turn each. */
function turnShares(weights: readonly bigint[]): number[] {
  const divisor = weights.reduce(greatestCommonDivisor, 0n)
  const total = weights.reduce((sum, weight) => sum + weight, 0n)
  if (total / divisor <= BigInt(TURNS_MAX)) return weights.map((weight) => Number(weight / divisor))
  return weights.map((weight) => Math.max(1, Number((weight * BigInt(TURNS_MAX)) / total)))
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b]
  while (y !== 0n) [x, y] = [y, x % y]
  return x
}

function hashSet(epoch: number, validators: readonly Validator[], keys: readonly BlsPublicKey[]): Hex {
  return toHex(keccak256(concatBytes([uintBytes(epoch, 4), encodeEntries(validators, keys)])))
}

function encodeEntries(validators: readonly Validator[], keys: readonly BlsPublicKey[]): Uint8Array {
  const parts: Uint8Array[] = []
  for (const [index, { address, feeRecipient, weight }] of validators.entries()) {
    const key = keys[index]
    assert(key)
    parts.push(
      fixedBytes(address, 20),
      fixedBytes(feeRecipient, 20),
      fixedBytes(`0x${weight.toString(16).padStart(32, '0')}`, 16),
      uncompressedKey(key),
    )
  }
  return concatBytes(parts)
}
