/**
 * Signatures of a checkpoint, as validators send them to one another, and what a quorum of them makes. Each validator derives the checkpoint itself, so that a
 * signature names it by its hash alone.
 *
 * Wire: lastBlock u64 ‖ checkpointHash 32 ‖ signature 96, and for a quorum's lastBlock u64 ‖ checkpointHash 32 ‖ bitmapBytes u16 ‖ bitmap ‖ signature 96.
 * Spec: docs/spec/settlement.md#who-signs
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { VALIDATORS_MAX } from '../genesis/params.ts'
import { aggregateSignatures, verifyAggregate, verifyEach } from './bls.ts'
import { buildSigners, type CertificateVerdict, checkQuorum, encodeSigners, readSigners, signerKeys } from './certificate.ts'
import { isQuorum, type ValidatorSet, weightAt } from './validatorSet.ts'
import { type Decoded, decodeExactly, fixedBytes, readBytes, readHex, readUint, SIGNATURE_BYTES } from './wire.ts'

/** Bytes of a signature on its way. */
export const CHECKPOINT_SIGNATURE_BYTES = 8 + 32 + SIGNATURE_BYTES

/** Most bytes of a quorum's signatures on their way. */
const CHECKPOINT_SIGNERS_BYTES_MAX = 8 + 32 + 2 + VALIDATORS_MAX / 8 + SIGNATURE_BYTES

/** One validator's: which, says the connection that it comes over. */
export type CheckpointSignature = { readonly lastBlock: number; readonly checkpointHash: Hex; readonly signature: Uint8Array }

/** A quorum's signatures of one checkpoint in one, with a bit for each signer. */
export type CheckpointCertificate = { readonly bitmap: Uint8Array; readonly signature: Uint8Array }

/** The bytes of a signature. */
export function encodeCheckpointSignature({ lastBlock, checkpointHash, signature }: CheckpointSignature): Uint8Array {
  assert(signature.length === SIGNATURE_BYTES, 'signature has the wrong length')
  return concatBytes([uintBytes(lastBlock, 8), fixedBytes(checkpointHash, 32), signature])
}

/** The signature that the bytes are, or why they are none. Whether it is good is not looked at. */
export function decodeCheckpointSignature(bytes: Uint8Array): Decoded<CheckpointSignature> {
  return decodeExactly(bytes, CHECKPOINT_SIGNATURE_BYTES, (reader) => ({
    lastBlock: readUint(reader, 8),
    checkpointHash: readHex(reader, 32),
    signature: readBytes(reader, SIGNATURE_BYTES),
  }))
}

/** Which checkpoint a quorum signed, and the certificate of that. */
export type CheckpointSigners = Pick<CheckpointSignature, 'lastBlock' | 'checkpointHash'> & { readonly certificate: CheckpointCertificate }

/** The bytes of a quorum's signatures. */
export function encodeCheckpointSigners({ lastBlock, checkpointHash, certificate }: CheckpointSigners): Uint8Array {
  return concatBytes([uintBytes(lastBlock, 8), fixedBytes(checkpointHash, 32), encodeSigners(certificate)])
}

/** The quorum's signatures that the bytes are, or why they are none. Whether they are good is not looked at. */
export function decodeCheckpointSigners(bytes: Uint8Array): Decoded<CheckpointSigners> {
  return decodeExactly(bytes, CHECKPOINT_SIGNERS_BYTES_MAX, (reader) => ({
    lastBlock: readUint(reader, 8),
    checkpointHash: readHex(reader, 32),
    certificate: readSigners(reader),
  }))
}

/** True verdict if a quorum of the set signed the digest. About 1 ms. The set must be the one of the checkpoint's last block. */
export function verifyCheckpointCertificate(set: ValidatorSet, digest: Uint8Array, certificate: CheckpointCertificate): CertificateVerdict {
  const weighed = checkQuorum(set, certificate.bitmap)
  if (!weighed.ok) return weighed
  const isSigned = verifyAggregate(signerKeys(set, certificate.bitmap), digest, certificate.signature)
  return isSigned ? { ok: true } : { ok: false, code: 'badSignature' }
}

/** Signatures of one digest by validators of one set. */
export type Gathering = {
  /** Keeps a validator's first one; false: there is one. It is looked at when the quorum may be complete. */
  add(validator: number, signature: Uint8Array): boolean
  /**
   * Verifies what has come, all at once and by halves where that fails, if there may be a quorum and there was none before. Who gave a bad one is answered, and
   * may give another.
   */
  verify(): readonly number[]
  /** Made of all that were verified, once they are a quorum. */
  certificate(): CheckpointCertificate | undefined
  /** How many validators have given one that is not known to be bad. */
  count(): number
}

/** Nothing has come yet. */
export function createGathering(set: ValidatorSet, digest: Uint8Array): Gathering {
  const good = new Map<number, Uint8Array>()
  const open = new Map<number, Uint8Array>()
  let certificate: CheckpointCertificate | undefined
  const weightOf = (...parts: readonly ReadonlyMap<number, Uint8Array>[]) =>
    parts.flatMap((part) => [...part.keys()]).reduce((sum, validator) => sum + weightAt(set, validator), 0n)

  return {
    add(validator, signature) {
      if (good.has(validator) || open.has(validator)) return false
      open.set(validator, signature)
      return true
    },
    verify() {
      if (certificate || !isQuorum(set, weightOf(good, open))) return []
      const came = [...open]
      open.clear()
      const signed = came.map(([validator, signature]) => {
        const key = set.keys[validator]
        assert(key, 'who signs is of the set')
        return { key, signature }
      })
      const verdicts = verifyEach(digest, signed)
      for (const [i, [validator, signature]] of came.entries()) if (verdicts[i]) good.set(validator, signature)
      if (isQuorum(set, weightOf(good))) {
        const parts = [...good].map(([validator, signature]) => ({ validator, signature }))
        certificate = buildSigners(set, parts, aggregateSignatures)
      }
      return came.flatMap(([validator], i) => (verdicts[i] ? [] : [validator]))
    },
    certificate: () => certificate,
    count: () => good.size + open.size,
  }
}
