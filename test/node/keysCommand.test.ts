import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hex, hexToBytes } from 'viem'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parsePublicKey, publicKeyOf, uncompressedKey, uncompressedSignature, verifyPossession } from '../../consensus/bls.ts'
import { assert } from '../../execution/assert.ts'
import { parseConfig, UsageError } from '../../node/config.ts'
import { KeyError, loadKeystoreKey, loadValidatorKey, writeSecret } from '../../node/keys.ts'
import { runKeys } from '../../node/keysCommand.ts'
import { encodeKeystore, encryptKeystore, type KeystoreKdf } from '../../node/keystore.ts'
import { toL1Key, toL1Signature } from '../../settlement/registry.ts'
import { secretKey } from '../consensus/fixtures.ts'

const OWNER = `0x${'ab'.repeat(20)}` as const
const PASSWORD = 'correct horse'
const CHEAP: KeystoreKdf = { function: 'scrypt', n: 2, r: 8, p: 1, salt: new Uint8Array(32) }
let folder: string
const inFolder = (...names: string[]): string => join(folder, ...names)

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-keys-'))
  writeFileSync(inFolder('password'), `${PASSWORD}\n`)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

type Shown = {
  publicKey: Hex
  file: string
  owner?: Hex
  chainId?: number
  proofOfPossession?: Hex
  registration?: { key: Hex[]; possession: Hex }
}

async function keys(words: readonly string[], environment: Record<string, string> = { TRIBUTARY_PASSWORD_FILE: inFolder('password') }) {
  const { config, rest } = parseConfig('keys', [...words, '--kdf', 'pbkdf2', '--json'], environment)
  let printed = ''
  expect(await runKeys(rest, config, (text) => (printed += text))).toBe(0)
  return JSON.parse(printed) as Shown
}

test('a new key lies under its password, for its owner only, and proves that it is held', async () => {
  const made = await keys([
    'new',
    '--data-dir',
    inFolder('validator'),
    '--owner',
    OWNER.toUpperCase().replace('0X', '0x'),
    '--chain-id',
    '7001',
  ])
  expect(readdirSync(inFolder('validator'))).toEqual(['validator.keystore.json'])
  expect(statSync(made.file).mode & 0o777).toBe(0o600)
  expect((await loadKeystoreKey(made.file, PASSWORD)).publicKey).toBe(made.publicKey)
  const { proofOfPossession, registration, ...facts } = made
  expect(facts).toEqual({ publicKey: made.publicKey, file: inFolder('validator', 'validator.keystore.json'), owner: OWNER, chainId: 7001 })
  const proof = hexToBytes(proofOfPossession ?? '0x')
  expect(verifyPossession({ chainId: 7001, owner: OWNER, publicKey: made.publicKey, proof })).toBe(true)
  expect(verifyPossession({ chainId: 7002, owner: OWNER, publicKey: made.publicKey, proof })).toBe(false)
  const key = parsePublicKey(made.publicKey)
  assert(key)
  expect(registration).toEqual({ key: toL1Key(uncompressedKey(key)), possession: toL1Signature(proof, uncompressedSignature) })
  const shown = await keys(['show', '--data-dir', inFolder('validator'), '--owner', OWNER, '--chain-id', '7001'])
  expect(shown).toEqual(made)
})

test('the public key is shown without a password', async () => {
  const { publicKey, file } = await keys(['new', '--data-dir', folder])
  expect(await keys(['show', '--data-dir', folder], {})).toEqual({ publicKey, file })
})

test('a keystore of another tool and an open key are taken over, and stay the same key', async () => {
  writeFileSync(inFolder('foreign.json'), encodeKeystore(await encryptKeystore(secretKey(3), PASSWORD, { kdf: CHEAP })))
  expect((await keys(['import', inFolder('foreign.json'), '--data-dir', inFolder('a')])).publicKey).toBe(publicKeyOf(secretKey(3)))
  const open = loadValidatorKey(inFolder('devnet'), { create: true })
  expect((await keys(['import', inFolder('devnet', 'validator.key'), '--data-dir', inFolder('b')])).publicKey).toBe(open.publicKey)
  expect((await keys(['show', '--data-dir', inFolder('devnet')], {})).publicKey).toBe(open.publicKey)
})

test('the password may come from the environment, and never from the command line or a file with options', async () => {
  const { file, publicKey } = await keys(['new', '--data-dir', folder], { TRIBUTARY_PASSWORD: PASSWORD })
  expect((await loadKeystoreKey(file, PASSWORD)).publicKey).toBe(publicKey)
  expect(() => parseConfig('keys', ['new', '--password', PASSWORD], {})).toThrow(UsageError)
  writeFileSync(inFolder('options.json'), JSON.stringify({ password: PASSWORD }))
  expect(() => parseConfig('keys', ['new', '--config', inFolder('options.json')], {})).toThrow(UsageError)
})

test('no key is overwritten, and what fails leaves nothing behind', async () => {
  const made = await keys(['new', '--data-dir', inFolder('a')])
  const before = readFileSync(made.file, 'utf8')
  await expect(keys(['new', '--data-dir', inFolder('a')])).rejects.toThrow(KeyError)
  await expect(keys(['import', made.file, '--data-dir', inFolder('a')])).rejects.toThrow(KeyError)
  expect(() => writeSecret(made.file, 'another')).toThrow(KeyError)
  expect(readFileSync(made.file, 'utf8')).toBe(before)
  expect(readdirSync(inFolder('a'))).toEqual(['validator.keystore.json'])

  const wrong = { TRIBUTARY_PASSWORD: 'another password' }
  await expect(keys(['import', made.file, '--data-dir', inFolder('b')], wrong)).rejects.toMatchObject({ code: 'wrongPassword' })
  writeFileSync(inFolder('cut.json'), before.slice(0, 400))
  await expect(keys(['import', inFolder('cut.json'), '--data-dir', inFolder('b')])).rejects.toMatchObject({ code: 'notKeystore' })
  await expect(keys(['import', inFolder('nowhere'), '--data-dir', inFolder('b')])).rejects.toThrow(KeyError)
  expect(existsSync(inFolder('b'))).toBe(false)

  loadValidatorKey(inFolder('devnet'), { create: true })
  await expect(keys(['new', '--data-dir', inFolder('devnet')])).rejects.toThrow(KeyError)
})

test('a place that cannot be written to gets no half of a file', () => {
  mkdirSync(inFolder('taken'))
  writeFileSync(inFolder('taken', 'key'), 'old')
  expect(() => writeSecret(inFolder('taken', 'key', 'below-a-file'), 'new')).toThrow()
  expect(readdirSync(inFolder('taken'))).toEqual(['key'])
})

test.each([
  { it: 'no action', words: [] },
  { it: 'an unknown one', words: ['delete'] },
  { it: 'import of nothing', words: ['import'] },
  { it: 'too many words', words: ['show', 'twice'] },
  { it: 'an owner that is no address', words: ['new', '--owner', '0x12', '--chain-id', '1'] },
  { it: 'an owner, and no chain', words: ['new', '--owner', OWNER] },
])('wrong usage is said: $it', async ({ words }) => {
  await expect(keys([...words, '--data-dir', inFolder('none')])).rejects.toThrow(UsageError)
  expect(existsSync(inFolder('none'))).toBe(false)
})

test('a new password has 8 bytes at least, and without a terminal one must be given', async () => {
  await expect(keys(['new', '--data-dir', inFolder('none')], { TRIBUTARY_PASSWORD: 'short' })).rejects.toThrow(UsageError)
  await expect(keys(['new', '--data-dir', inFolder('none')], {})).rejects.toThrow(UsageError)
  await expect(keys(['new'])).rejects.toThrow(UsageError)
})
