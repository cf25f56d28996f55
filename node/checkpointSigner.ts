/**
 * Signs checkpoints for a validator: with a key in this process (here), or by asking another one (node/remoteSigner.ts). Apart from votes (node/signer.ts): it
 * is done on another thread, and in no hurry. Spec: docs/spec/settlement.md#who-signs
 */
import type { Hex } from 'viem'
import { parseSecretKey, sign } from '../consensus/bls.ts'
import { type CheckpointDomain, checkpointDigest } from '../consensus/digest.ts'
import { assert } from '../execution/assert.ts'
import { type Checkpoint, checkpointHash } from '../settlement/checkpoint.ts'
import { openCheckpointGuardFile } from './checkpointGuardFile.ts'
import type { Log } from './log.ts'
import { type KeyParts, SignerError } from './signer.ts'

export type CheckpointSigner = {
  readonly publicKey: Hex
  /** Signature over the checkpoint's digest, 96 bytes. Rejects with SignerError: refused by the key's guard, or without an answer in time. */
  sign(checkpoint: Checkpoint): Promise<Uint8Array>
  /** Gives up what is under way. Nothing is signed afterwards. */
  close(): Promise<void>
}

export type CheckpointSignerOptions = {
  /** Of the rollup: a signer signs for one. */
  readonly chainId: number
  readonly domain: CheckpointDomain
  /** Where a key of this process has its guard. */
  readonly directory: string
  readonly log: Log
}

/** The signer that the parts are of. Throws KeyError if its guard is damaged. */
export async function openCheckpointSigner(parts: KeyParts, options: CheckpointSignerOptions): Promise<CheckpointSigner> {
  if (parts.kind === 'local') return createLocalCheckpointSigner(parts, options)
  const { createRemoteCheckpointSigner } = await import('./remoteSigner.ts')
  return createRemoteCheckpointSigner(parts, options)
}

function createLocalCheckpointSigner(
  { publicKey, secret }: Extract<KeyParts, { readonly kind: 'local' }>,
  { domain, directory }: CheckpointSignerOptions,
): CheckpointSigner {
  const key = parseSecretKey(secret)
  assert(key, 'a key of this node is none')
  const guardFile = openCheckpointGuardFile(directory)
  let closed = false
  return {
    publicKey,
    async sign(checkpoint) {
      if (closed) throw new SignerError('closed', 'the signer is closed')
      const verdict = guardFile.check(checkpoint)
      if (!verdict.ok) throw new SignerError('refused', `the guard refuses a checkpoint: ${verdict.code}`)
      return sign(key, checkpointDigest(domain, checkpointHash(checkpoint)))
    },
    async close() {
      if (!closed) guardFile.close()
      closed = true
    },
  }
}
