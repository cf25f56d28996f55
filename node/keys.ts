/**
 * Secrets on disk: the validator's BLS key and the keys of L1 accounts, in files that only their owner may read.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import secp256k1 from 'secp256k1'
import { bytesToHex, concatBytes, type Hex, hexToBytes, isHex } from 'viem'
import { type BlsSecretKey, deriveSecretKey, publicKeyOf } from '../consensus/bls.ts'
import { keccak256 } from '../execution/keccak.ts'
import type { L1Signer } from '../settlement/l1Tx.ts'

/** A key file is missing, or is none. */
export class KeyError extends Error {
  override readonly name = 'KeyError'
  readonly retryable = false
}

/** A validator's key pair. */
export type ValidatorKey = { readonly secret: BlsSecretKey; readonly publicKey: Hex }

/** 32 bytes of key material in a file, made with the system's randomness if `create` and there is none. */
export function loadKeyMaterial(file: string, { create }: { readonly create: boolean }): Uint8Array {
  if (!existsSync(file)) {
    if (!create) throw new KeyError(`no key in ${file}`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${bytesToHex(randomBytes(32))}\n`, { mode: 0o600, flag: 'wx' })
  }
  const text = readFileSync(file, 'utf8').trim()
  if (!isHex(text) || text.length !== 66) throw new KeyError(`${file} does not hold 32 bytes of hex`)
  return hexToBytes(text)
}

/** The BLS key of the validator whose data is in this directory. */
export function loadValidatorKey(directory: string, options: { readonly create: boolean }): ValidatorKey {
  const secret = deriveSecretKey(loadKeyMaterial(join(directory, 'validator.key'), options))
  return { secret, publicKey: publicKeyOf(secret) }
}

/** The address whose key these 32 bytes are. */
export function addressOfKey(privateKey: Hex): Hex {
  const publicKey = secp256k1.publicKeyCreate(hexToBytes(privateKey), false)
  return bytesToHex(keccak256(publicKey.subarray(1)).subarray(12))
}

/** An account of ours as a transaction manager wants it: signatures are r 32 ‖ s 32 ‖ v 1 with v 27 or 28. */
export function signerOf(privateKey: Hex): L1Signer {
  const secret = hexToBytes(privateKey)
  return {
    address: addressOfKey(privateKey),
    async sign({ hash }) {
      const { signature, recid } = secp256k1.ecdsaSign(hexToBytes(hash), secret)
      return bytesToHex(concatBytes([signature, Uint8Array.of(27 + recid)]))
    },
  }
}
