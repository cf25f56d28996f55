/**
 * ECDSA on NIST's curves, as the verifiers need it: a port, because who has a native library does it in a tenth of the time, and a pure
 * implementation of it. Whatever fills the port must answer alike for every input: true exactly if r and s are within 1 and the order less one, the key is a
 * point of the curve with coordinates below the field's prime, and the signature verifies. There is no rule of low s. Sources: FIPS 186-5,
 * section 6.4.2; EIP-7951, which has the same rules for P-256.
 */
import { p256, p384 } from '@noble/curves/nist.js'

/** A signature said to be the key's on the message. Other lengths than those below are no signature. */
export type EcdsaClaim = {
  readonly message: Uint8Array
  /** r ‖ s, each as wide as the curve's field. */
  readonly signature: Uint8Array
  /** x ‖ y, each as wide as the curve's field. */
  readonly key: Uint8Array
}

/** What the verifiers ask of the world. */
export type Curves = {
  /** P-256 with SHA-256: numbers of 32 bytes. */
  p256(claim: EcdsaClaim): boolean
  /** P-384 with SHA-384: numbers of 48 bytes. */
  p384(claim: EcdsaClaim): boolean
}

/** Bytes of a number on each curve. */
export const P256_BYTES = 32
export const P384_BYTES = 48

/** ECDSA in JavaScript, for wherever nothing native is at hand. */
export const PURE_CURVES: Curves = {
  p256: (claim) => hasLengths(claim, P256_BYTES) && p256.verify(claim.signature, claim.message, withPrefix(claim.key), { lowS: false }),
  p384: (claim) => hasLengths(claim, P384_BYTES) && p384.verify(claim.signature, claim.message, withPrefix(claim.key), { lowS: false }),
}

/** Whether the signature is the key's on a message whose SHA-384 is `hash` (48 bytes). Native libraries offer no such thing. */
export function verifyP384Hash(hash: Uint8Array, claim: Omit<EcdsaClaim, 'message'>): boolean {
  if (hash.length !== P384_BYTES || !hasLengths(claim, P384_BYTES)) return false
  return p384.verify(claim.signature, hash, withPrefix(claim.key), { lowS: false, prehash: false })
}

function hasLengths({ signature, key }: Omit<EcdsaClaim, 'message'>, bytes: number): boolean {
  return signature.length === 2 * bytes && key.length === 2 * bytes
}

/** An uncompressed point's first byte, which EVM formats leave out. Source: SEC 1, section 2.3.3. */
function withPrefix(key: Uint8Array): Uint8Array {
  const point = new Uint8Array(key.length + 1)
  point[0] = 4
  point.set(key, 1)
  return point
}
