/** A signer with a validator's key, on the thread that signs: the library of the one in another process is loaded only for it. */
import { parseSecretKey } from '../consensus/bls.ts'
import { assert } from '../execution/assert.ts'
import type { Log } from './log.ts'
import { createLocalSigner, type KeyParts, type SigningDomain, type ValidatorSigner } from './signer.ts'

/** Makes the signer that the parts are of. */
export async function openSigner(
  parts: KeyParts,
  { domain, log }: { readonly domain: SigningDomain; readonly log: Log },
): Promise<ValidatorSigner> {
  if (parts.kind === 'remote') {
    const { createRemoteSigner } = await import('./remoteSigner.ts')
    return createRemoteSigner(parts, { domain, log })
  }
  const secret = parseSecretKey(parts.secret)
  assert(secret, 'a key of this node is none')
  return createLocalSigner({ secret, publicKey: parts.publicKey }, domain)
}
