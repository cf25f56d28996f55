/**
 * BLS12-381 signatures, min-pk: public keys in G1 (48 bytes), signatures in G2 (96 bytes), suite
 * BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_. Everything here is computation; @chainsafe/blst does it.
 *
 * Aggregates of one digest are safe only among keys whose holders proved possession (`verifyPossession`): without that proof a key can
 * be chosen to cancel others out. So a key enters a validator set only where its proof was checked: on L1, or by who wrote genesis.
 * Spec: docs/spec/consensus.md#certificates
 */
import {
  aggregatePublicKeys,
  aggregateWithRandomness,
  aggregateSignatures as blstAggregateSignatures,
  aggregateVerify as blstAggregateVerify,
  fastAggregateVerify as blstFastAggregateVerify,
  verify as blstVerify,
  PublicKey,
  SecretKey,
  Signature,
} from '@chainsafe/blst'
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { fromHex, toHex } from '../execution/hex.ts'
import { possessionDigest } from './digest.ts'

/** A public key that was parsed and checked once: on the curve, in the group, not infinity. Opaque outside this file. */
export type BlsPublicKey = PublicKey

/** A secret key. It leaves the process in an encrypted file only; its public part is `publicKeyOf`. */
export type BlsSecretKey = SecretKey

/** The key of 48 bytes of hex, or undefined if they are not a key: parse once, keep the object. */
export function parsePublicKey(hex: Hex): BlsPublicKey | undefined {
  return attemptBlst(() => PublicKey.fromBytes(fromHex(hex), true))
}

/** The secret key of 32 bytes, or undefined if they are none (zero, or not below the group order). */
export function parseSecretKey(bytes: Uint8Array): BlsSecretKey | undefined {
  return attemptBlst(() => SecretKey.fromBytes(bytes))
}

/** A secret key derived from at least 32 bytes of key material (IETF BLS `KeyGen`). */
export function deriveSecretKey(keyMaterial: Uint8Array): BlsSecretKey {
  assert(keyMaterial.length >= 32, 'key material is too short')
  return SecretKey.fromKeygen(keyMaterial)
}

/** The 32 bytes that `parseSecretKey` takes: for whoever stores the key, encrypted. */
export function secretKeyBytes(secretKey: BlsSecretKey): Uint8Array {
  return secretKey.toBytes()
}

/** The public key of a secret key, compressed. */
export function publicKeyOf(secretKey: BlsSecretKey): Hex {
  return toHex(secretKey.toPublicKey().toBytes())
}

/** Coordinates x ‖ y of a key, 48 bytes each: the form that L1 computes with. */
export function uncompressedKey(key: BlsPublicKey): Uint8Array {
  return key.toBytes(false)
}

/** The key of these coordinates, as `uncompressedKey` gives them, or undefined if they are not a key. */
export function parseUncompressedKey(coordinates: Uint8Array): BlsPublicKey | undefined {
  return attemptBlst(() => PublicKey.fromBytes(coordinates, true))
}

/** The 48 bytes of a key of which the coordinates are given, as `parsePublicKey` takes them; undefined if they are no key. */
export function compressedKey(coordinates: Uint8Array): Hex | undefined {
  const key = parseUncompressedKey(coordinates)
  return key && toHex(key.toBytes())
}

/**
 * Coordinates x.c1 ‖ x.c0 ‖ y.c1 ‖ y.c0 of a signature, 48 bytes each, or undefined if the bytes are no point of the curve. Whether it is in the group,
 * and whose it is, is for L1 to say.
 */
export function uncompressedSignature(signature: Uint8Array): Uint8Array | undefined {
  return attemptBlst(() => Signature.fromBytes(signature).toBytes(false))
}

/** Signs a digest. The same key and digest always give the same 96 bytes. */
export function sign(secretKey: BlsSecretKey, digest: Uint8Array): Uint8Array {
  return secretKey.sign(digest).toBytes()
}

/** True if the signature over the digest is of this key. Malformed bytes are merely not a signature. */
export function verifySignature(key: BlsPublicKey, digest: Uint8Array, signature: Uint8Array): boolean {
  const parsed = parseSignature(signature)
  return parsed !== undefined && blstVerify(digest, key, parsed)
}

/** The sum of signatures that were verified before. 96 bytes. */
export function aggregateSignatures(signatures: readonly Uint8Array[]): Uint8Array {
  const [first] = signatures
  assert(first, 'nothing to aggregate')
  if (signatures.length === 1) return first // a sum of one: to read and write a point takes as long as to sign
  return blstAggregateSignatures(signatures.map((bytes) => Signature.fromBytes(bytes))).toBytes()
}

/** True if the signature is the aggregate of all of these keys over one digest. About 1 ms whatever their number. */
export function verifyAggregate(keys: readonly BlsPublicKey[], digest: Uint8Array, signature: Uint8Array): boolean {
  const parsed = parseSignature(signature)
  return parsed !== undefined && keys.length > 0 && blstFastAggregateVerify(digest, [...keys], parsed)
}

/** True if the signature is the aggregate over several digests, each signed by all of its keys. Costs a pairing a digest. */
export function verifyAggregates(parts: readonly { keys: readonly BlsPublicKey[]; digest: Uint8Array }[], signature: Uint8Array): boolean {
  const parsed = parseSignature(signature)
  if (parsed === undefined || parts.length === 0 || parts.some((part) => part.keys.length === 0)) return false
  const digests = parts.map((part) => part.digest)
  const keys = parts.map((part) => aggregatePublicKeys([...part.keys]))
  return blstAggregateVerify(digests, keys, parsed)
}

/** One signature of one key, to be judged together with others over the same digest. */
export type SignedBy = { readonly key: BlsPublicKey; readonly signature: Uint8Array }

/**
 * Judges many signatures of one digest: all at once, and by halves only where that fails, so one bad signature among n costs about
 * 2·log2(n) checks. The sums are blinded (blst draws the factors): plain sums would accept two bad signatures whose errors cancel.
 * The verdicts do not depend on the factors, except with probability 2^−64.
 */
export function verifyEach(digest: Uint8Array, signed: readonly SignedBy[]): boolean[] {
  const verdicts: boolean[] = Array.from({ length: signed.length }, () => false)
  const ranges: [from: number, to: number][] = [[0, signed.length]]
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    const [from, to] = range
    if (from === to) continue
    if (verifyBlinded(digest, signed.slice(from, to))) verdicts.fill(true, from, to)
    else if (to - from > 1) {
      const middle = from + ((to - from) >> 1)
      ranges.push([from, middle], [middle, to])
    }
  }
  return verdicts
}

/** Shows that the holder of the key asks for it to be registered by `owner`. */
export function provePossession(secretKey: BlsSecretKey, chainId: number, owner: Hex): Uint8Array {
  return sign(secretKey, possessionDigest(chainId, owner, publicKeyOf(secretKey)))
}

/** True if the proof is of this key, for this owner, on this chain. */
export function verifyPossession(claim: { chainId: number; owner: Hex; publicKey: Hex; proof: Uint8Array }): boolean {
  const key = parsePublicKey(claim.publicKey)
  return key !== undefined && verifySignature(key, possessionDigest(claim.chainId, claim.owner, claim.publicKey), claim.proof)
}

function verifyBlinded(digest: Uint8Array, signed: readonly SignedBy[]): boolean {
  const [first] = signed
  if (first !== undefined && signed.length === 1) return verifySignature(first.key, digest, first.signature)
  const sum = attemptBlst(() => aggregateWithRandomness(signed.map(({ key, signature }) => ({ pk: key, sig: signature }))))
  return sum !== undefined && blstVerify(digest, sum.pk, sum.sig)
}

/** A signature that is in the group and not infinity, or undefined. */
function parseSignature(bytes: Uint8Array): Signature | undefined {
  return attemptBlst(() => Signature.fromBytes(bytes, true, true))
}

/** blst throws for bytes that are no point; that is somebody else's fault and an ordinary answer. Other errors are ours. */
function attemptBlst<T>(compute: () => T): T | undefined {
  try {
    return compute()
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('BLST_')) return undefined
    throw error
  }
}
