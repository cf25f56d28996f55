/** The key of an operator's validator: under a password, open as in a devnet, or in another process. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type ConfigOf, UsageError } from './config.ts'
import { KeyError, loadKeystoreKey, loadValidatorKey, VALIDATOR_KEY_FILE, VALIDATOR_KEYSTORE_FILE, type ValidatorKey } from './keys.ts'
import type { Log } from './log.ts'
import { obtainPassword, type PasswordOptions } from './password.ts'
import { localKey, type SigningKey } from './signer.ts'
import { loadToken, parseSignerAddress } from './signerWire.ts'

/** How long a remote signer may be away when a node starts. */
const SIGNER_START_MS = 60_000

/** The key in a data folder; undefined: there is none, and the node follows. Throws KeyError, KeystoreError, UsageError. */
export async function openValidatorKey(dataDir: string, options: PasswordOptions): Promise<ValidatorKey | undefined> {
  const [open, keystore] = [join(dataDir, VALIDATOR_KEY_FILE), join(dataDir, VALIDATOR_KEYSTORE_FILE)]
  if (existsSync(open) && existsSync(keystore)) throw new KeyError(`${dataDir} has two keys: remove ${VALIDATOR_KEY_FILE} or the keystore`)
  if (existsSync(keystore)) return loadKeystoreKey(keystore, await obtainPassword(options, { isNew: false }))
  return existsSync(open) ? loadValidatorKey(dataDir, { create: false }) : undefined
}

/**
 * The key that a node signs with, by its options: in the data folder, or held by the signer that --signer names; undefined: there is none, and the node
 * follows. `chainId` is asked for where a signer is. Throws what opening a key throws, and SignerError where the signer is not there.
 */
export async function openSigningKey(
  config: Pick<ConfigOf<'node'>, 'signer' | 'signer-token-file' | 'password-file' | 'password'>,
  { dataDir, chainId, log }: { readonly dataDir: string; readonly chainId: () => Promise<number>; readonly log: Log },
): Promise<SigningKey | undefined> {
  const tokenFile = config['signer-token-file']
  if ((config.signer === undefined) !== (tokenFile === undefined)) throw new UsageError('--signer and --signer-token-file go together')
  if (config.signer === undefined || tokenFile === undefined) {
    const key = await openValidatorKey(dataDir, config)
    return key && localKey(key)
  }
  const address = parseSignerAddress(config.signer, '--signer')
  for (const file of [VALIDATOR_KEY_FILE, VALIDATOR_KEYSTORE_FILE])
    if (existsSync(join(dataDir, file)))
      throw new KeyError(`${dataDir} has a ${file}, and --signer names another holder: a key is in one place`)
  const token = loadToken(tokenFile, { create: false })
  const { openRemoteKey } = await import('./remoteSigner.ts')
  return openRemoteKey({ address, token, chainId: await chainId(), startMs: SIGNER_START_MS, log })
}
