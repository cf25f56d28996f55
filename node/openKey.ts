/** The key of an operator's validator: under a password, or open as in a devnet. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { KeyError, loadKeystoreKey, loadValidatorKey, VALIDATOR_KEY_FILE, VALIDATOR_KEYSTORE_FILE, type ValidatorKey } from './keys.ts'
import { obtainPassword, type PasswordOptions } from './password.ts'

/** The key in a data folder; undefined: there is none, and the node follows. Throws KeyError, KeystoreError, UsageError. */
export async function openValidatorKey(dataDir: string, options: PasswordOptions): Promise<ValidatorKey | undefined> {
  const [open, keystore] = [join(dataDir, VALIDATOR_KEY_FILE), join(dataDir, VALIDATOR_KEYSTORE_FILE)]
  if (existsSync(open) && existsSync(keystore)) throw new KeyError(`${dataDir} has two keys: remove ${VALIDATOR_KEY_FILE} or the keystore`)
  if (existsSync(keystore)) return loadKeystoreKey(keystore, await obtainPassword(options, { isNew: false }))
  return existsSync(open) ? loadValidatorKey(dataDir, { create: false }) : undefined
}
