/**
 * The guard of a key that signs for others (node/signerServer.ts): whatever those ask for, one or several of them, with their logs or without, it gives no
 * two signatures that are evidence. It holds the last signed slot, as the guard of a node does, and the round of the last precommit of a block at that
 * height: the lock. A correct machine prevotes no block on a valid round before its lock (P1 and P2), so that the refusal costs it nothing.
 *
 * Wire: guard 58 (consensus/guard.ts) ‖ lockedRound + 1 u32 ‖ crc32c u32 of all before. Spec: docs/spec/signer.md#what-it-signs
 */
import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { toHex } from '../execution/hex.ts'
import { crc32c } from './crc32c.ts'
import { type Domain, NIL, type Statement } from './digest.ts'
import { checkSign, decodeGuard, encodeGuard, type Guard, type SignVerdict } from './guard.ts'
import { decodeExactly, ROUND_MAX, readBytes, readUint, refuse } from './wire.ts'

const GUARD_BYTES = 58
const SIGNER_GUARD_BYTES = GUARD_BYTES + 8

/** What the key has signed. */
export type SignerGuard = {
  readonly last: Guard
  /** Round of the last precommit of a block at the last height, or −1. */
  readonly lockedRound: number
}

export type SignerVerdict =
  | { readonly ok: true; readonly guard: SignerGuard; readonly digest: Uint8Array }
  | { readonly ok: false; readonly code: Extract<SignVerdict, { readonly ok: false }>['code'] | 'locked'; readonly guard: SignerGuard }

/**
 * May this be signed after what the guard remembers (undefined: nothing was ever signed)? Not in a lower slot, nor in the same one with another
 * digest, nor a prevote that forgets a lock. On yes: the guard to store and the digest to sign.
 */
export function checkSignFor(guard: SignerGuard | undefined, statement: Statement, domain: Domain): SignerVerdict {
  const verdict = checkSign(guard?.last, statement, domain, domain.chainId)
  if (!verdict.ok) {
    assert(guard, 'nothing was signed that could be in the way')
    return { ok: false, code: verdict.code, guard }
  }
  const { kind, height, round, validRound, blockHash } = statement
  const lockedRound = guard && guard.last.height === height ? guard.lockedRound : -1
  if (guard && kind === 'prevote' && blockHash !== NIL && validRound < lockedRound) return { ok: false, code: 'locked', guard }
  const locks = kind === 'precommit' && blockHash !== NIL
  return { ok: true, guard: { last: verdict.guard, lockedRound: locks ? round : lockedRound }, digest: verdict.digest }
}

/** A guard that has let out everything up to a height: for a key that has signed elsewhere. */
export function guardAbove(height: number, chainId: number): SignerGuard {
  return { last: { chainId, height, round: ROUND_MAX, kind: 'precommit', digest: toHex(new Uint8Array(32)) }, lockedRound: -1 }
}

/** The bytes of a guard. */
export function encodeSignerGuard({ last, lockedRound }: SignerGuard): Uint8Array {
  const bytes = concatBytes([encodeGuard(last), uintBytes(lockedRound + 1, 4)])
  return concatBytes([bytes, uintBytes(crc32c(bytes), 4)])
}

/** The guard that the bytes are, or undefined: then nothing may be signed until an operator has looked. */
export function decodeSignerGuard(bytes: Uint8Array): SignerGuard | undefined {
  const decoded = decodeExactly(bytes, SIGNER_GUARD_BYTES, (reader) => {
    const last = decodeGuard(readBytes(reader, GUARD_BYTES)) ?? refuse('flagRange')
    const lockedRound = readUint(reader, 4) - 1
    const sum = crc32c(bytes.subarray(0, reader.at))
    return readUint(reader, 4) === sum ? { last, lockedRound } : refuse('flagRange')
  })
  return decoded.ok ? decoded.value : undefined
}
