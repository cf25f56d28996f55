import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { describe, expect, test } from 'vitest'
import { parseSecretKey, publicKeyOf, secretKeyBytes } from '../../consensus/bls.ts'
import { assert } from '../../execution/assert.ts'
import {
  decodeKeystore,
  decryptKeystore,
  encodeKeystore,
  encryptKeystore,
  type KeystoreCode,
  KeystoreError,
  type KeystoreKdf,
  passwordBytes,
} from '../../node/keystore.ts'
import { secretKey } from '../consensus/fixtures.ts'
import vectors from '../vectors/keystore.json' with { type: 'json' }

const CHEAP: KeystoreKdf = { function: 'scrypt', n: 2, r: 8, p: 1, salt: new Uint8Array(32).fill(3) }
const CHEAP_PBKDF2: KeystoreKdf = { function: 'pbkdf2', c: 2, salt: new Uint8Array(32).fill(3) }

describe.each([vectors.scrypt, vectors.pbkdf2])("EIP-2335's own keystore: $description", (file) => {
  test('gives the secret', async () => {
    const secret = await decryptKeystore(decodeKeystore(JSON.stringify(file)), vectors.password)
    expect(bytesToHex(secretKeyBytes(secret))).toBe(vectors.secret)
  })
  test('is what the secret gives, uuid aside', async () => {
    const secret = parseSecretKey(hexToBytes(vectors.secret as Hex))
    assert(secret)
    const { kdf, iv, path, description } = decodeKeystore(JSON.stringify(file))
    const made = await encryptKeystore(secret, vectors.password, { kdf, iv, path, description })
    expect(JSON.parse(encodeKeystore({ ...made, uuid: file.uuid }))).toEqual(file)
  })
})

test('a password is NFKD without control characters, in UTF-8', () => {
  expect(bytesToHex(passwordBytes(vectors.password))).toBe(vectors.encodedPassword)
  expect(passwordBytes('a\u0000b\u001fc\u007fd\u0080e\u009ff\n')).toEqual(new TextEncoder().encode('abcdef'))
  expect(passwordBytes('Å')).toEqual(passwordBytes('A\u030a'))
  expect(passwordBytes('ß ')).toEqual(new TextEncoder().encode('ß '))
})

test.each([CHEAP, CHEAP_PBKDF2])('a key comes back out of its file: %o', async (kdf) => {
  const text = encodeKeystore(await encryptKeystore(secretKey(1), 'pa$$word', { kdf }))
  expect(publicKeyOf(await decryptKeystore(decodeKeystore(text), 'pa$$word'))).toBe(publicKeyOf(secretKey(1)))
  expect(text).not.toContain(bytesToHex(secretKeyBytes(secretKey(1))).slice(2))
})

test('no two files of one key and password are alike', async () => {
  const [a, b] = [
    await encryptKeystore(secretKey(1), 'pa$$word', { kdf: CHEAP }),
    await encryptKeystore(secretKey(1), 'pa$$word', { kdf: CHEAP }),
  ]
  expect(a.uuid).not.toBe(b.uuid)
  expect(a.iv).not.toEqual(b.iv)
})

test('another password, and any damage to what is encrypted, is a wrong password', async () => {
  const keystore = await encryptKeystore(secretKey(1), 'pa$$word', { kdf: CHEAP })
  const flip = (bytes: Uint8Array, at: number) => bytes.map((byte, index) => (index === at ? byte ^ 1 : byte))
  const damaged = [
    { ...keystore, cipherText: flip(keystore.cipherText, 31) },
    { ...keystore, checksum: flip(keystore.checksum, 0) },
    { ...keystore, kdf: { ...CHEAP, salt: flip(CHEAP.salt, 5) } },
  ]
  await expect(decryptKeystore(keystore, 'pa$$word2')).rejects.toMatchObject({ name: 'KeystoreError', code: 'wrongPassword' })
  for (const wrong of damaged) await expect(decryptKeystore(wrong, 'pa$$word')).rejects.toMatchObject({ code: 'wrongPassword' })
})

test('what decrypts to no key, or to another than the file names, is not used', async () => {
  const keystore = await encryptKeystore(secretKey(1), 'pa$$word', { kdf: CHEAP })
  await expect(decryptKeystore({ ...keystore, iv: new Uint8Array(16).fill(9) }, 'pa$$word')).rejects.toMatchObject({
    code: expect.stringMatching(/^(notKey|otherKey)$/), // the checksum does not cover the iv
  })
  const named = { ...keystore, pubkey: publicKeyOf(secretKey(2)).slice(2) }
  await expect(decryptKeystore(named, 'pa$$word')).rejects.toMatchObject({ code: 'otherKey' })
})

type Json = { [name: string]: Json | string | number }
const FILE = JSON.stringify(vectors.scrypt)
const changed = (...[path, value]: [string[], Json | string | number | undefined]): string => {
  const file = JSON.parse(FILE)
  const last = path.at(-1)
  const holder = path.slice(0, -1).reduce((at, name) => at[name], file)
  assert(last)
  holder[last] = value
  return JSON.stringify(file)
}

const REFUSED: readonly { it: string; text: string; code: KeystoreCode }[] = [
  { it: 'no JSON', text: FILE.slice(0, -2), code: 'notKeystore' },
  { it: 'a list', text: '[]', code: 'notKeystore' },
  { it: 'too long', text: `${FILE}${' '.repeat(20_000)}`, code: 'notKeystore' },
  { it: 'an EIP-2386 wallet or anything else without a version', text: '{"crypto":{}}', code: 'notKeystore' },
  { it: 'a web3 keystore of version 3', text: changed(['version'], 3), code: 'unsupported' },
  { it: 'another kdf', text: changed(['crypto', 'kdf', 'function'], 'argon2id'), code: 'unsupported' },
  { it: 'another cipher', text: changed(['crypto', 'cipher', 'function'], 'aes-256-gcm'), code: 'unsupported' },
  { it: 'another checksum', text: changed(['crypto', 'checksum', 'function'], 'sha512'), code: 'unsupported' },
  { it: 'another dklen', text: changed(['crypto', 'kdf', 'params', 'dklen'], 16), code: 'unsupported' },
  { it: 'n that is no power of two', text: changed(['crypto', 'kdf', 'params', 'n'], 262_143), code: 'notKeystore' },
  { it: 'n that takes 64 GiB', text: changed(['crypto', 'kdf', 'params', 'n'], 2 ** 26), code: 'tooCostly' },
  { it: 'p that takes minutes', text: changed(['crypto', 'kdf', 'params', 'p'], 1_000), code: 'tooCostly' },
  { it: 'no salt', text: changed(['crypto', 'kdf', 'params', 'salt'], undefined), code: 'notKeystore' },
  { it: 'an iv that is too short', text: changed(['crypto', 'cipher', 'params', 'iv'], '264daa3f'), code: 'notKeystore' },
  { it: 'a secret that is too long', text: changed(['crypto', 'cipher', 'message'], '00'.repeat(33)), code: 'notKeystore' },
  { it: 'a checksum that is no hex', text: changed(['crypto', 'checksum', 'message'], 'z'.repeat(64)), code: 'notKeystore' },
  { it: 'a pubkey that is no key', text: changed(['pubkey'], '12'), code: 'notKeystore' },
]

test.each(REFUSED)('a file is refused with a reason: $it', ({ text, code }) => {
  const decode = () => decodeKeystore(text)
  expect(decode).toThrow(KeystoreError)
  expect(decode).toThrow(expect.objectContaining({ code, retryable: false }))
})
