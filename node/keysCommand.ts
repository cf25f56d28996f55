/**
 * `tributary keys`: makes, takes over and shows a validator's key, and proves its possession to the registry on L1 (docs/spec/consensus.md#digests).
 * A key lies in the data folder under a password; nothing here overwrites one.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bytesToHex, type Hex, hexToBytes, isAddress, isHex } from 'viem'
import {
  type BlsSecretKey,
  deriveSecretKey,
  parsePublicKey,
  provePossession,
  publicKeyOf,
  uncompressedKey,
  uncompressedSignature,
} from '../consensus/bls.ts'
import { assert } from '../execution/assert.ts'
import { decodeGenesis } from '../genesis/genesis.ts'
import { toL1Key, toL1Signature } from '../settlement/registry.ts'
import { type ConfigOf, UsageError } from './config.ts'
import {
  KeyError,
  loadKeystoreKey,
  loadValidatorKey,
  readSecret,
  VALIDATOR_KEY_FILE,
  VALIDATOR_KEYSTORE_FILE,
  writeSecret,
} from './keys.ts'
import { decodeKeystore, decryptKeystore, defaultKdf, encodeKeystore, encryptKeystore } from './keystore.ts'
import { obtainPassword } from './password.ts'

/** What is shown of a key. */
type Shown = { readonly publicKey: Hex; readonly file: string; readonly secret: () => Promise<BlsSecretKey> }

/** Runs it; answers the exit code. Throws UsageError, KeyError, KeystoreError. */
export async function runKeys(rest: readonly string[], config: ConfigOf<'keys'>, print: (text: string) => void): Promise<number> {
  const [action, source, ...more] = rest
  const dataDir = config['data-dir']
  if (dataDir === undefined) throw new UsageError('--data-dir DIR is required')
  if (more.length > 0 || (action !== 'import' && source !== undefined)) throw new UsageError(`tributary keys ${action} takes no more words`)
  const claim = claimOption(config, dataDir)
  const shown = await act(action, source, { config, dataDir })
  const facts = { publicKey: shown.publicKey, file: shown.file, ...(claim && { ...claim, ...prove(await shown.secret(), claim) }) }
  print(config.json ? `${JSON.stringify(facts)}\n` : toText(facts))
  return 0
}

type Claim = { readonly owner: Hex; readonly chainId: number }

/** The proof of possession, and key and proof in the form in which `register` of the registry on L1 takes them. */
function prove(secret: BlsSecretKey, { chainId, owner }: Claim) {
  const proof = provePossession(secret, chainId, owner)
  const key = parsePublicKey(publicKeyOf(secret))
  const possession = toL1Signature(proof, uncompressedSignature)
  assert(key && possession, 'what was made here has another form')
  return { proofOfPossession: bytesToHex(proof), registration: { key: toL1Key(uncompressedKey(key)), possession } }
}

type Place = { readonly config: ConfigOf<'keys'>; readonly dataDir: string }

async function act(action: string | undefined, source: string | undefined, place: Place): Promise<Shown> {
  switch (action) {
    case 'new':
      return store(place, async () => deriveSecretKey(new Uint8Array(randomBytes(32))))
    case 'import':
      if (source === undefined) throw new UsageError('name the file that holds the key: tributary keys import FILE')
      return store(place, (password) => readForeign(source, password))
    case 'show':
      return show(place)
    default:
      throw new UsageError('tributary keys new, import FILE or show')
  }
}

/** Puts a key into the data folder under the password. */
async function store({ config, dataDir }: Place, obtain: (password: string) => Promise<BlsSecretKey>): Promise<Shown> {
  const { kdf } = config
  if (kdf !== 'scrypt' && kdf !== 'pbkdf2') throw new UsageError(`--kdf is scrypt or pbkdf2, not ${kdf}`)
  const file = join(dataDir, VALIDATOR_KEYSTORE_FILE)
  for (const name of [VALIDATOR_KEYSTORE_FILE, VALIDATOR_KEY_FILE])
    if (existsSync(join(dataDir, name))) throw new KeyError(`${dataDir} has a ${name} already, and a key is never overwritten`)
  const password = await obtainPassword(config, { isNew: true })
  const secret = await obtain(password)
  const keystore = await encryptKeystore(secret, password, { kdf: defaultKdf(kdf), description: 'tributary validator' })
  writeSecret(file, encodeKeystore(keystore))
  return { publicKey: publicKeyOf(secret), file, secret: async () => secret }
}

/** A key from elsewhere: a keystore under the same password, or a `validator.key`. */
async function readForeign(file: string, password: string): Promise<BlsSecretKey> {
  const text = readSecret(file).trim()
  if (!isHex(text)) return decryptKeystore(decodeKeystore(text), password)
  if (text.length !== 66) throw new KeyError(`${file} does not hold 32 bytes of hex`)
  return deriveSecretKey(hexToBytes(text))
}

async function show({ config, dataDir }: Place): Promise<Shown> {
  const file = join(dataDir, VALIDATOR_KEYSTORE_FILE)
  if (!existsSync(file)) {
    const key = loadValidatorKey(dataDir, { create: false })
    return { publicKey: key.publicKey, file: join(dataDir, VALIDATOR_KEY_FILE), secret: async () => key.secret }
  }
  const open = async () => loadKeystoreKey(file, await obtainPassword(config, { isNew: false }))
  const { pubkey } = decodeKeystore(readSecret(file))
  if (pubkey !== '') return { publicKey: `0x${pubkey}`, file, secret: async () => (await open()).secret }
  const key = await open()
  return { publicKey: key.publicKey, file, secret: async () => key.secret }
}

/** For whom possession is proved, if it is. */
function claimOption(config: ConfigOf<'keys'>, dataDir: string): Claim | undefined {
  const { owner } = config
  if (owner === undefined) return undefined
  if (!isAddress(owner, { strict: false })) throw new UsageError(`--owner is an address, not ${owner}`)
  return { owner: owner.toLowerCase() as Hex, chainId: chainIdOption(config['chain-id'], dataDir) }
}

/** The chain id that is given, or the one of the folder's genesis file. Throws UsageError. */
export function chainIdOption(given: number | undefined, dataDir: string): number {
  if (given !== undefined) return given
  const file = join(dataDir, 'genesis.json')
  if (!existsSync(file)) throw new UsageError('--chain-id N is required where the data folder holds no genesis.json')
  return decodeGenesis(readFileSync(file, 'utf8')).params.chainId
}

function toText({
  registration,
  ...facts
}: Readonly<Record<string, unknown>> & { readonly registration?: { readonly key: readonly Hex[]; readonly possession: Hex } }): string {
  const words: Readonly<Record<string, string>> = { publicKey: 'public key', chainId: 'chain id', proofOfPossession: 'proof of possession' }
  const forL1 = registration && { 'register on L1: key': `[${registration.key.join(',')}]`, possession: registration.possession }
  return Object.entries({ ...facts, ...forL1 })
    .map(([name, value]) => `${(words[name] ?? name).padEnd(22)} ${value}\n`)
    .join('')
}
