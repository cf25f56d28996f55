/**
 * ECDSA on NIST's curves with the OpenSSL that is built into Node: what the `Curves` port of precompiles/curves.ts asks for, 8 to 20 times as fast as
 * JavaScript. The version of Node is pinned by package.json; test/precompiles/p384.test.ts holds it against the pure one.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { type Curves, type EcdsaClaim, P256_BYTES, P384_BYTES } from '../precompiles/curves.ts'

type Curve = { readonly name: string; readonly hash: string; readonly bytes: number }

const P256: Curve = { name: 'P-256', hash: 'sha256', bytes: P256_BYTES }
const P384: Curve = { name: 'P-384', hash: 'sha384', bytes: P384_BYTES }

/** The port, filled by OpenSSL. */
export const OPENSSL_CURVES: Curves = { p256: (claim) => isSigned(P256, claim), p384: (claim) => isSigned(P384, claim) }

function isSigned({ name, hash, bytes }: Curve, { message, signature, key }: EcdsaClaim): boolean {
  if (signature.length !== 2 * bytes || key.length !== 2 * bytes) return false
  const publicKey = publicKeyOf(name, key)
  return publicKey !== undefined && verify(hash, message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)
}

function publicKeyOf(crv: string, key: Uint8Array): KeyObject | undefined {
  const coordinate = (from: number): string => Buffer.from(key.subarray(from, from + key.length / 2)).toString('base64url')
  try {
    return createPublicKey({ key: { kty: 'EC', crv, x: coordinate(0), y: coordinate(key.length / 2) }, format: 'jwk' })
  } catch (error) {
    // The form is right, so what Node refuses is the point: one that is not on the curve, or a coordinate that is not below the prime.
    if (error instanceof Error && 'code' in error && error.code === 'ERR_CRYPTO_INVALID_JWK') return undefined
    throw error
  }
}
