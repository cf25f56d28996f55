/**
 * Signs for a validator, behind one port: with a key in this process (here) or by asking another one (node/remoteSigner.ts). What may be signed is
 * decided before: by the machine, and by the guard that the node keeps (consensus/guard.ts). Digests: docs/spec/consensus.md#digests
 */
import type { Hex } from 'viem'
import { secretKeyBytes, sign } from '../consensus/bls.ts'
import { helloDigest, statementDigest } from '../consensus/digest.ts'
import type { UnsignedMessage } from '../consensus/message.ts'
import type { ValidatorKey } from './keys.ts'
import type { SignerAddress } from './signerWire.ts'

/**
 * Signs for a validator: in this process, or by asking another one. It has its own guard only if it is remote; the node's guard (consensus/guard.ts)
 * stays in front of both.
 */
export type ValidatorSigner = {
  readonly publicKey: Hex
  /** Whether it has a guard of its own: then it is asked only for what follows from a log that is on disk, lest a replay ask for something else. */
  readonly remembers: boolean
  /**
   * Signature of a consensus message, 96 bytes. Those of one round are made in the order in which they are asked for, without waiting for each other's
   * answer. Waits for a signer that is away until a later round asks. Rejects with SignerError.
   */
  sign(message: UnsignedMessage): Promise<Uint8Array>
  /** Signature over helloDigest for direct streams. Rejects as `sign`. */
  signHello(genesisHash: Hex, peerId: string): Promise<Uint8Array>
  /** Gives up what is under way. Nothing is signed afterwards. */
  close(): Promise<void>
}

/** What a signature is good for: one chain, and the epoch that a height is of. */
export type SigningDomain = { readonly chainId: number; epochOf(height: number): number }

/**
 * Why there is no signature. `refused`: the signer's guard has signed something else there or later, and asking again changes nothing. `passed`: it did
 * not answer before a message of a later round was asked for. `deadline`: it did not answer to another question in time. `badAnswer`: what it answered
 * is no signature of its key. `closed`: this end was closed.
 */
export type SignerCode = 'deadline' | 'passed' | 'refused' | 'badAnswer' | 'closed'

/** A signer gave no signature. The vote is missing; the validator goes on. */
export class SignerError extends Error {
  override readonly name = 'SignerError'
  readonly code: SignerCode
  /** Whether the same message may be asked for again. */
  readonly retryable: boolean
  constructor(code: SignerCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options)
    this.code = code
    this.retryable = code === 'deadline'
  }
}

/** What a thread makes a signer of: a secret key, 32 bytes, or where the signer is that holds it. */
export type KeyParts =
  | { readonly kind: 'local'; readonly publicKey: Hex; readonly secret: Uint8Array }
  | { readonly kind: 'remote'; readonly publicKey: Hex; readonly address: SignerAddress; readonly token: string }

/** A validator's key, wherever it is. */
export type SigningKey = { readonly publicKey: Hex; parts(): KeyParts }

/** A key in this process. */
export function localKey(key: ValidatorKey): SigningKey {
  const { publicKey, secret } = key
  return { publicKey, parts: () => ({ kind: 'local', publicKey, secret: secretKeyBytes(secret) }) }
}

/** A signer with the key in this process. Its promises are settled when they are given. */
export function createLocalSigner(key: ValidatorKey, domain: SigningDomain): ValidatorSigner {
  let closed = false
  const signDigest = async (digest: () => Uint8Array): Promise<Uint8Array> => {
    if (closed) throw new SignerError('closed', 'the signer is closed')
    return sign(key.secret, digest())
  }
  return {
    publicKey: key.publicKey,
    remembers: false,
    sign: (message) => signDigest(() => statementDigest({ chainId: domain.chainId, epoch: domain.epochOf(message.height) }, message)),
    signHello: (genesisHash, peerId) => signDigest(() => helloDigest(genesisHash, peerId)),
    async close() {
      closed = true
    },
  }
}
