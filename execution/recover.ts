/**
 * Who signed: secp256k1 recovery with libsecp256k1 (52 µs; 1.5 ms in JavaScript, to which the package falls back where its
 * prebuilt addon does not load). Signatures are low-s only (EIP-2), so that one message has one signature of a key.
 */

import secp256k1 from 'secp256k1'
import type { Hex } from 'viem'
import { fromHex, toHex } from './hex.ts'
import { keccak256 } from './keccak.ts'

/** Half the order of the group. */
const HALF_ORDER = fromHex('0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0')

export type Signature = { readonly yParity: 0 | 1; readonly r: Uint8Array; readonly s: Uint8Array }

/** A signature and the 32 bytes that it is over: what whoever recovers signers ahead, in a pool, has to know. */
export type SignedDigest = { readonly digest: Uint8Array; readonly signature: Signature }

/** Whose signature it is: address, and public key (64 bytes). */
export type Signatory = { readonly address: Hex; readonly publicKey: Uint8Array }

/** Finds who signed, for many signatures at once and perhaps elsewhere; undefined where nobody can have. Answers come in the order of the calls. */
export type RecoverAll = (signed: readonly SignedDigest[]) => Promise<readonly (Signatory | undefined)[]>

/** Uncompressed public key without its first byte (64 bytes), or undefined where no key can have made the signature. */
export function recoverPublicKey(hash: Uint8Array, signature: Signature): Uint8Array | undefined {
  if (signature.r.length !== 32 || signature.s.length !== 32) return undefined
  const compact = new Uint8Array(64)
  compact.set(signature.r)
  compact.set(signature.s, 32)
  const publicKey = new Uint8Array(65)
  return recoverInto(publicKey, { digest: hash, compact, yParity: signature.yParity }) ? publicKey.subarray(1) : undefined
}

/** `recoverPublicKey` of r ‖ s, into 65 bytes that are there, of which the first is none of the key's; false where no key can have made the signature. */
export function recoverInto(
  publicKey: Uint8Array,
  { digest, compact, yParity }: { readonly digest: Uint8Array; readonly compact: Uint8Array; readonly yParity: 0 | 1 },
): boolean {
  try {
    secp256k1.ecdsaRecover(compact, yParity, digest, false, publicKey)
    return true
  } catch {
    return false // the library throws for r or s out of range and for points that do not exist, and for nothing else
  }
}

/** Whether 32 bytes `s` are in the lower half of the order, which leaves one signature of a key on a message. Source: EIP-2. */
export function isLowS(s: Uint8Array): boolean {
  for (let i = 0; i < 32; i++) {
    const above = (s[i] ?? 0) - (HALF_ORDER[i] ?? 0)
    if (above !== 0) return above < 0
  }
  return true
}

/** Who signed the hash; undefined: nobody, or s above half the order. */
export function recoverSignatory({ digest, signature }: SignedDigest): Signatory | undefined {
  if (!isLowS(signature.s)) return undefined
  const publicKey = recoverPublicKey(digest, signature)
  return publicKey && { publicKey, address: toHex(keccak256(publicKey), 12) }
}

/** Address whose key signed the 32-byte hash, or undefined: no such key, or s above half the order. */
export function recoverAddress(hash: Uint8Array, signature: Signature): Hex | undefined {
  return recoverSignatory({ digest: hash, signature })?.address
}

/** A 65-byte signature r ‖ s ‖ v with v 0, 1, 27 or 28, taken apart; undefined if it is none. */
export function splitSignature(bytes: Uint8Array): Signature | undefined {
  if (bytes.length !== 65) return undefined
  const v = bytes[64]
  if (v !== 0 && v !== 1 && v !== 27 && v !== 28) return undefined
  return { r: bytes.slice(0, 32), s: bytes.slice(32, 64), yParity: v === 1 || v === 28 ? 1 : 0 }
}
