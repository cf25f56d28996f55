import { hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import {
  aggregateSignatures,
  parsePublicKey,
  parseSecretKey,
  provePossession,
  publicKeyOf,
  type SignedBy,
  sign,
  verifyAggregate,
  verifyAggregates,
  verifyEach,
  verifyPossession,
  verifySignature,
} from '../../consensus/bls.ts'
import { assert } from '../../execution/assert.ts'
import { CHAIN_ID, secretKey, validator } from './fixtures.ts'

const DIGEST = new Uint8Array(32).fill(1)
const OTHER = new Uint8Array(32).fill(2)
const INFINITY = Uint8Array.from({ length: 96 }, (_, at) => (at === 0 ? 0xc0 : 0))

function keyOf(index: number) {
  const key = parsePublicKey(publicKeyOf(secretKey(index)))
  assert(key)
  return key
}

function signedBy(index: number, digest = DIGEST): SignedBy {
  return { key: keyOf(index), signature: sign(secretKey(index), digest) }
}

test('a signature is good for its key and digest only', () => {
  const { key, signature } = signedBy(0)
  expect(verifySignature(key, DIGEST, signature)).toBe(true)
  expect(verifySignature(key, OTHER, signature)).toBe(false)
  expect(verifySignature(keyOf(1), DIGEST, signature)).toBe(false)
})

test('bytes that are no signature are refused without an error', () => {
  for (const bytes of [new Uint8Array(), new Uint8Array(95), new Uint8Array(96), new Uint8Array(96).fill(0xff), INFINITY]) {
    expect(verifySignature(keyOf(0), DIGEST, bytes)).toBe(false)
    expect(verifyAggregate([keyOf(0)], DIGEST, bytes)).toBe(false)
    expect(verifyEach(DIGEST, [{ key: keyOf(0), signature: bytes }, signedBy(1)])).toEqual([false, true])
  }
})

test('bytes that are no key are refused without an error', () => {
  expect(parsePublicKey('0x')).toBeUndefined()
  expect(parsePublicKey(`0x${'00'.repeat(48)}`)).toBeUndefined()
  expect(parseSecretKey(new Uint8Array(32))).toBeUndefined()
  expect(parseSecretKey(new Uint8Array(32).fill(0xff))).toBeUndefined()
  expect(parseSecretKey(new Uint8Array(31).fill(1))).toBeUndefined()
})

test('an aggregate is good for exactly its signers', () => {
  const all = [0, 1, 2].map((index) => signedBy(index))
  const signature = aggregateSignatures(all.map((one) => one.signature))
  const keys = all.map((one) => one.key)
  expect(verifyAggregate(keys, DIGEST, signature)).toBe(true)
  expect(verifyAggregate(keys.slice(1), DIGEST, signature)).toBe(false)
  expect(verifyAggregate([...keys, keyOf(3)], DIGEST, signature)).toBe(false)
  expect(verifyAggregate(keys, OTHER, signature)).toBe(false)
  expect(verifyAggregate([], DIGEST, signature)).toBe(false)
})

test('an aggregate over several digests is good for exactly who said what', () => {
  const signature = aggregateSignatures([signedBy(0), signedBy(1), signedBy(2, OTHER)].map((one) => one.signature))
  const part = (signers: number[], digest: Uint8Array) => ({ keys: signers.map(keyOf), digest })
  expect(verifyAggregates([part([0, 1], DIGEST), part([2], OTHER)], signature)).toBe(true)
  expect(verifyAggregates([part([0, 2], DIGEST), part([1], OTHER)], signature)).toBe(false)
  expect(verifyAggregates([part([0, 1], DIGEST)], signature)).toBe(false)
  expect(verifyAggregates([part([0, 1], DIGEST), part([], OTHER)], signature)).toBe(false)
  expect(verifyAggregates([], signature)).toBe(false)
})

test('among many signatures the bad ones are found, wherever and however many they are', () => {
  expect(verifyEach(DIGEST, [])).toEqual([])
  for (const bad of [[], [0], [6], [2, 3], [0, 1, 2, 3, 4, 5, 6]]) {
    const signed = Array.from({ length: 7 }, (_, index) => signedBy(index, bad.includes(index) ? OTHER : DIGEST))
    expect(verifyEach(DIGEST, signed)).toEqual(signed.map((_, index) => !bad.includes(index)))
  }
})

test('two bad signatures whose errors cancel are both found', () => {
  // Each carries the other's signature: their plain sum is that of two good ones.
  const [first, second] = [signedBy(0), signedBy(1)]
  const crossed = [
    { key: first.key, signature: second.signature },
    { key: second.key, signature: first.signature },
  ]
  expect(
    verifyAggregate(
      crossed.map((one) => one.key),
      DIGEST,
      aggregateSignatures(crossed.map((one) => one.signature)),
    ),
  ).toBe(true)
  expect(verifyEach(DIGEST, crossed)).toEqual([false, false])
})

test('a proof of possession is good for its key, owner and chain only', () => {
  const { address: owner, publicKey } = validator(0, 1n)
  const claim = { chainId: CHAIN_ID, owner, publicKey, proof: provePossession(secretKey(0), CHAIN_ID, owner) }
  expect(verifyPossession(claim)).toBe(true)
  expect(verifyPossession({ ...claim, chainId: CHAIN_ID + 1 })).toBe(false)
  expect(verifyPossession({ ...claim, owner: validator(1, 1n).address })).toBe(false)
  expect(verifyPossession({ ...claim, publicKey: validator(1, 1n).publicKey })).toBe(false)
  expect(verifyPossession({ ...claim, publicKey: `0x${'00'.repeat(48)}` })).toBe(false)
  expect(verifyPossession({ ...claim, proof: hexToBytes(`0x${'00'.repeat(96)}`) })).toBe(false)
})
