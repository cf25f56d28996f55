/**
 * Secrets on disk: the validator's BLS key and the keys of L1 accounts, in files that only their owner may read. A validator's key lies in
 * `validator.keystore.json`, under a password (node/keystore.ts), or, as in a devnet, open in `validator.key`.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import secp256k1 from 'secp256k1'
import { bytesToHex, concatBytes, type Hex, hexToBytes, isHex } from 'viem'
import { type BlsSecretKey, deriveSecretKey, publicKeyOf } from '../consensus/bls.ts'
import { keccak256 } from '../execution/keccak.ts'
import type { L1Signer } from '../settlement/l1Tx.ts'
import { decodeKeystore, decryptKeystore, KEYSTORE_BYTES_MAX } from './keystore.ts'

/** The validator's key, open: 32 bytes of key material in hex. */
export const VALIDATOR_KEY_FILE = 'validator.key'

/** The validator's key under a password. */
export const VALIDATOR_KEYSTORE_FILE = 'validator.keystore.json'

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
    writeSecret(file, `${bytesToHex(randomBytes(32))}\n`)
  }
  const text = readSecret(file).trim()
  if (!isHex(text) || text.length !== 66) throw new KeyError(`${file} does not hold 32 bytes of hex`)
  return hexToBytes(text)
}

/** The BLS key of the validator whose data is in this directory. */
export function loadValidatorKey(directory: string, options: { readonly create: boolean }): ValidatorKey {
  const secret = deriveSecretKey(loadKeyMaterial(join(directory, VALIDATOR_KEY_FILE), options))
  return { secret, publicKey: publicKeyOf(secret) }
}

/** The BLS key in a keystore file. Throws KeyError if there is none, KeystoreError if the password or the file is not good. */
export async function loadKeystoreKey(file: string, password: string): Promise<ValidatorKey> {
  const secret = await decryptKeystore(decodeKeystore(readSecret(file)), password)
  return { secret, publicKey: publicKeyOf(secret) }
}

/** The text of a small file. Throws KeyError where there is none, or one that is too long for a secret. */
export function readSecret(file: string): string {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch (error) {
    throw new KeyError(`${file} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
  try {
    const bytes = Buffer.alloc(KEYSTORE_BYTES_MAX + 1)
    const length = readSync(descriptor, bytes)
    if (length > KEYSTORE_BYTES_MAX) throw new KeyError(`${file} is too long for a key or a password`)
    return bytes.toString('utf8', 0, length)
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Makes a file that only its owner may read: whole and on disk, or not there at all. Throws KeyError if there is one already: a key is never
 * overwritten.
 */
export function writeSecret(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  const draft = `${file}.${randomBytes(8).toString('hex')}.draft`
  const descriptor = openSync(draft, 'wx', 0o600)
  try {
    try {
      writeSync(descriptor, text)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    linkSync(draft, file) // a rename would put it in the place of another
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new KeyError(`${file} is there already, and a key is never overwritten`)
    throw error
  } finally {
    unlinkSync(draft)
  }
  const folder = openSync(dirname(file), 'r')
  fsyncSync(folder)
  closeSync(folder)
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
