/** Keys, sets and signed messages for the tests of consensus. Everything comes from fixed seeds. */
import { type Hex, hexToBytes, toHex } from 'viem'
import { aggregateSignatures, type BlsSecretKey, deriveSecretKey, publicKeyOf, sign } from '../../consensus/bls.ts'
import { type Statement, statementDigest } from '../../consensus/digest.ts'
import type { Message, Proposal, UnsignedMessage, Vote } from '../../consensus/message.ts'
import type { Context } from '../../consensus/state.ts'
import { DEFAULT_TIMING } from '../../consensus/timing.ts'
import { createValidatorSet, proposerIndex, type Validator, type ValidatorSet } from '../../consensus/validatorSet.ts'
import { assert } from '../../execution/assert.ts'

export const CHAIN_ID = 7_001

const secretKeys: BlsSecretKey[] = []

/** The secret key of validator `index`, the same in all tests. */
export function secretKey(index: number): BlsSecretKey {
  for (let next = secretKeys.length; next <= index; next++) secretKeys.push(deriveSecretKey(new Uint8Array(32).fill(next + 1)))
  const key = secretKeys[index]
  assert(key)
  return key
}

export function validator(index: number, weight: bigint): Validator {
  return {
    address: toHex(0xa000 + index, { size: 20 }),
    publicKey: publicKeyOf(secretKey(index)),
    weight,
    feeRecipient: toHex(0xfee000 + index, { size: 20 }),
  }
}

/** A set with these weights. */
export function setOf(weights: readonly (bigint | number)[], epoch = 0): ValidatorSet {
  const created = createValidatorSet(
    epoch,
    weights.map((weight, index) => validator(index, BigInt(weight))),
  )
  assert(created.ok)
  return created.set
}

/** A block hash that can be told from others by eye. */
export function blockHash(name: number): Hex {
  return toHex(0xb10c00 + name, { size: 32 })
}

/** A statement's signature by a validator's real key. */
export function signatureOf(set: ValidatorSet, index: number, statement: Statement): Uint8Array {
  return sign(secretKey(index), statementDigest({ chainId: CHAIN_ID, epoch: set.epoch }, statement))
}

/** 96 bytes that stand for a signature where signatures are not the subject. */
export const FAKE_SIGNATURE = new Uint8Array(96).fill(7)

export function fakeVote(vote: Partial<Vote> & Pick<Vote, 'kind' | 'validator'>): Vote {
  return { height: 1, round: 0, blockHash: blockHash(1), validRound: -1, signature: FAKE_SIGNATURE, ...vote }
}

export function fakeProposal(proposal: Partial<Proposal>): Proposal {
  const base = { height: 1, round: 0, blockHash: blockHash(1), validRound: -1, polka: undefined, signature: FAKE_SIGNATURE } as const
  return { kind: 'proposal', ...base, ...proposal }
}

/** Signs what a machine asks to have signed. */
export function signMessage(set: ValidatorSet, message: UnsignedMessage): Message {
  const index = message.kind === 'proposal' ? proposerIndex(set, message.height, message.round) : message.validator
  return { ...message, signature: signatureOf(set, index, message) }
}

export function contextOf(publicKey: Hex | undefined): Context {
  return { publicKey, timing: DEFAULT_TIMING, aggregate: aggregateSignatures }
}

/** One sum for all: for machines that run on fake signatures. */
export const fakeAggregate = () => FAKE_SIGNATURE

export function bytesOf(hex: Hex): Uint8Array {
  return hexToBytes(hex)
}

/** Values as comparable text: keys, maps and sets sorted, bytes as hex, bigints with an n. */
export function canonical(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Uint8Array) return toHex(value)
  if (value instanceof Map)
    return `{${[...value]
      .map(([key, one]) => `${canonical(key)}: ${canonical(one)}`)
      .sort()
      .join(', ')}}`
  if (value instanceof Set) return `(${[...value].map(canonical).sort().join(', ')})`
  if (Array.isArray(value)) return `[${value.map(canonical).join(', ')}]`
  if (typeof value === 'object' && value !== null) return canonical(new Map(Object.entries(value)))
  return String(value)
}
