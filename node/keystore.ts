/**
 * A BLS secret key under a password: EIP-2335, version 4, the format that stakers' tools write and read. scrypt or PBKDF2 makes 32 bytes of the
 * password: the first 16 are the key of AES-128-CTR, the last 16 tell by a SHA-256 with the cipher text whether the password is right.
 * Source: https://eips.ethereum.org/EIPS/eip-2335. Spec: docs/spec/signer.md#keystore
 */
import { createCipheriv, createHash, pbkdf2, randomBytes, randomUUID, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { bytesToHex } from 'viem'
import { type BlsSecretKey, parseSecretKey, publicKeyOf, secretKeyBytes } from '../consensus/bls.ts'

/** Bytes of a file that is looked at. A keystore has about 900. */
export const KEYSTORE_BYTES_MAX = 16_384

const SECRET_BYTES = 32
const KEY_BYTES = 32
const IV_BYTES = 16
const SALT_BYTES_MAX = 256
/** What a file may ask this machine to do: the EIP's own parameters take 256 MiB and 262,144 rounds. */
const SCRYPT_BYTES_MAX = 2 ** 30
const SCRYPT_PARALLEL_MAX = 16
const PBKDF2_ROUNDS_MAX = 2 ** 24

const deriveScrypt = promisify<string | Uint8Array, Uint8Array, number, object, Buffer>(scrypt)
const derivePbkdf2 = promisify(pbkdf2)

/**
 * Why a keystore cannot be used. `notKeystore`: it is no JSON of this form. `unsupported`: another version, or a function that the EIP does not
 * name. `tooCostly`: its parameters ask for more memory or time than is granted. `wrongPassword`: or the file is damaged where that cannot be told
 * apart. `notKey`: what it holds is no BLS secret key. `otherKey`: it holds another key than it says.
 */
export type KeystoreCode = 'notKeystore' | 'unsupported' | 'tooCostly' | 'wrongPassword' | 'notKey' | 'otherKey'

/** A keystore cannot be used. */
export class KeystoreError extends Error {
  override readonly name = 'KeystoreError'
  readonly retryable = false
  readonly code: KeystoreCode
  constructor(code: KeystoreCode, message: string) {
    super(message)
    this.code = code
  }
}

/** How the password is made dear to guess. scrypt: 128 × n × r bytes of memory; pbkdf2: c rounds of HMAC-SHA-256. */
export type KeystoreKdf =
  | { readonly function: 'scrypt'; readonly n: number; readonly r: number; readonly p: number; readonly salt: Uint8Array }
  | { readonly function: 'pbkdf2'; readonly c: number; readonly salt: Uint8Array }

/** A parsed keystore. Nothing in it is checked against a password yet. */
export type Keystore = {
  readonly kdf: KeystoreKdf
  readonly checksum: Uint8Array
  readonly iv: Uint8Array
  readonly cipherText: Uint8Array
  /** 48 bytes of hex without 0x, or empty: files may leave it out. */
  readonly pubkey: string
  readonly path: string
  readonly uuid: string
  readonly description: string
}

/** The EIP's parameters: half a second and 256 MiB for one guess. */
export function defaultKdf(name: KeystoreKdf['function']): KeystoreKdf {
  const salt = new Uint8Array(randomBytes(32))
  return name === 'scrypt' ? { function: 'scrypt', n: 262_144, r: 8, p: 1, salt } : { function: 'pbkdf2', c: 262_144, salt }
}

/** A key under a password. `options` are there for vectors and for tests that cannot wait. */
export async function encryptKeystore(
  secretKey: BlsSecretKey,
  password: string,
  options: { readonly kdf?: KeystoreKdf; readonly iv?: Uint8Array; readonly path?: string; readonly description?: string } = {},
): Promise<Keystore> {
  const kdf = options.kdf ?? defaultKdf('scrypt')
  const iv = options.iv ?? new Uint8Array(randomBytes(IV_BYTES))
  const derived = await deriveKey(kdf, password)
  const cipherText = applyCipher(derived, iv, secretKeyBytes(secretKey))
  return {
    kdf,
    iv,
    cipherText,
    checksum: checksumOf(derived, cipherText),
    pubkey: publicKeyOf(secretKey).slice(2),
    path: options.path ?? '',
    uuid: randomUUID(),
    description: options.description ?? '',
  }
}

/** The key in a keystore. Throws KeystoreError. */
export async function decryptKeystore(keystore: Keystore, password: string): Promise<BlsSecretKey> {
  const derived = await deriveKey(keystore.kdf, password)
  if (!timingSafeEqual(checksumOf(derived, keystore.cipherText), keystore.checksum))
    throw new KeystoreError('wrongPassword', 'the password does not fit this keystore')
  const secretKey = parseSecretKey(applyCipher(derived, keystore.iv, keystore.cipherText))
  if (!secretKey) throw new KeystoreError('notKey', 'the keystore holds no BLS secret key')
  if (keystore.pubkey !== '' && `0x${keystore.pubkey}` !== publicKeyOf(secretKey))
    throw new KeystoreError('otherKey', `the keystore names ${keystore.pubkey} and holds ${publicKeyOf(secretKey)}`)
  return secretKey
}

/** The bytes of the password that the EIP wants: NFKD, without control characters, UTF-8. */
export function passwordBytes(password: string): Uint8Array {
  const printable = Array.from(password.normalize('NFKD')).filter((character) => {
    const code = character.codePointAt(0) ?? 0
    return code > 0x1f && (code < 0x7f || code > 0x9f)
  })
  return new TextEncoder().encode(printable.join(''))
}

/** The file of a keystore. */
export function encodeKeystore({ kdf, checksum, iv, cipherText, pubkey, path, uuid, description }: Keystore): string {
  const salt = plainHex(kdf.salt)
  const params =
    kdf.function === 'scrypt'
      ? { dklen: KEY_BYTES, n: kdf.n, r: kdf.r, p: kdf.p, salt }
      : { dklen: KEY_BYTES, c: kdf.c, prf: 'hmac-sha256', salt }
  const crypto = {
    kdf: { function: kdf.function, params, message: '' },
    checksum: { function: 'sha256', params: {}, message: plainHex(checksum) },
    cipher: { function: 'aes-128-ctr', params: { iv: plainHex(iv) }, message: plainHex(cipherText) },
  }
  return `${JSON.stringify({ crypto, description, pubkey, path, uuid, version: 4 }, null, 2)}\n`
}

/** Parses a keystore's file. Members that are not known are left alone. Throws KeystoreError. */
export function decodeKeystore(text: string): Keystore {
  if (text.length > KEYSTORE_BYTES_MAX) throw new KeystoreError('notKeystore', 'the file is too long for a keystore')
  const file = parseJson(text)
  if (file.version !== 4) {
    const found = 'version' in file ? `of version ${JSON.stringify(file.version)}` : 'without a version'
    throw new KeystoreError('version' in file ? 'unsupported' : 'notKeystore', `the file is ${found}; a keystore of EIP-2335 has 4`)
  }
  const crypto = member(file, 'crypto')
  const [kdf, checksum, cipher] = [member(crypto, 'kdf'), member(crypto, 'checksum'), member(crypto, 'cipher')]
  wantFunction(checksum, 'sha256')
  wantFunction(cipher, 'aes-128-ctr')
  const pubkey = optionalText(file, 'pubkey').toLowerCase().replace(/^0x/, '')
  if (!/^([0-9a-f]{96})?$/.test(pubkey)) throw new KeystoreError('notKeystore', 'pubkey is no BLS public key')
  return {
    kdf: readKdf(kdf),
    checksum: readHexMember(checksum, 'message', [32, 32]),
    iv: readHexMember(member(cipher, 'params'), 'iv', [IV_BYTES, IV_BYTES]),
    cipherText: readHexMember(cipher, 'message', [SECRET_BYTES, SECRET_BYTES]),
    pubkey,
    path: optionalText(file, 'path'),
    uuid: optionalText(file, 'uuid'),
    description: optionalText(file, 'description'),
  }
}

type Members = Readonly<Record<string, unknown>>

function parseJson(text: string): Members {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw new KeystoreError('notKeystore', 'the file is no JSON')
  }
  if (!isMembers(parsed)) throw new KeystoreError('notKeystore', 'the file holds no JSON object')
  return parsed
}

function readKdf(kdf: Members): KeystoreKdf {
  const params = member(kdf, 'params')
  const salt = () => readHexMember(params, 'salt', [1, SALT_BYTES_MAX])
  if (readInteger(params, 'dklen') !== KEY_BYTES) throw new KeystoreError('unsupported', `dklen is not ${KEY_BYTES}`)
  switch (kdf.function) {
    case 'scrypt': {
      const [n, r, p] = [readInteger(params, 'n'), readInteger(params, 'r'), readInteger(params, 'p')]
      if (n < 2 || !Number.isInteger(Math.log2(n)) || r < 1 || p < 1)
        throw new KeystoreError('notKeystore', 'n, r and p are no parameters of scrypt')
      if (128 * n * r > SCRYPT_BYTES_MAX || p > SCRYPT_PARALLEL_MAX)
        throw new KeystoreError('tooCostly', 'scrypt would take more than 1 GiB, or 16 runs')
      return { function: 'scrypt', n, r, p, salt: salt() }
    }
    case 'pbkdf2': {
      if (params.prf !== 'hmac-sha256') throw new KeystoreError('unsupported', 'prf is not hmac-sha256')
      const c = readInteger(params, 'c')
      if (c < 1) throw new KeystoreError('notKeystore', 'c is no number of rounds')
      if (c > PBKDF2_ROUNDS_MAX) throw new KeystoreError('tooCostly', `pbkdf2 would take more than ${PBKDF2_ROUNDS_MAX} rounds`)
      return { function: 'pbkdf2', c, salt: salt() }
    }
    default:
      throw new KeystoreError('unsupported', `kdf.function is neither scrypt nor pbkdf2 but ${JSON.stringify(kdf.function)}`)
  }
}

async function deriveKey(kdf: KeystoreKdf, password: string): Promise<Uint8Array> {
  const bytes = passwordBytes(password)
  if (kdf.function === 'pbkdf2') return derivePbkdf2(bytes, kdf.salt, kdf.c, KEY_BYTES, 'sha256')
  const { n, r, p } = kdf
  return deriveScrypt(bytes, kdf.salt, KEY_BYTES, { N: n, r, p, maxmem: 128 * (n + p + 2) * r + 1024 })
}

function applyCipher(derived: Uint8Array, iv: Uint8Array, bytes: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-ctr', derived.subarray(0, 16), iv)
  return new Uint8Array(Buffer.concat([cipher.update(bytes), cipher.final()]))
}

function checksumOf(derived: Uint8Array, cipherText: Uint8Array): Uint8Array {
  return createHash('sha256').update(derived.subarray(16, 32)).update(cipherText).digest()
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function member(of: Members, name: string): Members {
  const value = of[name]
  if (!isMembers(value)) throw new KeystoreError('notKeystore', `${name} is missing`)
  return value
}

function wantFunction(of: Members, name: string): void {
  if (of.function !== name) throw new KeystoreError('unsupported', `${JSON.stringify(of.function)} stands in the place of ${name}`)
}

function readInteger(of: Members, name: string): number {
  const value = of[name]
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new KeystoreError('notKeystore', `${name} is no integer`)
  return value
}

function readHexMember(of: Members, name: string, [bytesMin, bytesMax]: readonly [number, number]): Uint8Array {
  const text = of[name]
  if (typeof text !== 'string' || !/^([0-9a-fA-F]{2})*$/.test(text)) throw new KeystoreError('notKeystore', `${name} is no hex`)
  if (text.length < 2 * bytesMin || text.length > 2 * bytesMax)
    throw new KeystoreError('notKeystore', `${name} has ${text.length / 2} bytes`)
  return new Uint8Array(Buffer.from(text, 'hex'))
}

function optionalText(of: Members, name: string): string {
  const value = of[name] ?? ''
  if (typeof value !== 'string') throw new KeystoreError('notKeystore', `${name} is no text`)
  return value
}

function plainHex(bytes: Uint8Array): string {
  return bytesToHex(bytes).slice(2)
}
