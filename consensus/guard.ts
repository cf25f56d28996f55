/**
 * The guard: the last thing a key signed, kept apart from the log. A second, independent reason why a validator never signs two different
 * messages in one place, also if the log is lost, torn or restored from a copy.
 *
 * Whoever signs asks `checkSign`; the signature leaves the process only after the log, which it stands in, and then the new guard are on disk. In that
 * order: a log that is ahead of its guard is brought level (`guardOf`), a guard that is ahead of its log could not vote. A key must have one guard: a
 * node restored from a backup may not vote until the chain has passed the guard's height, and a key must never be in two places.
 *
 * Wire: version u8 (1) ‖ chainId u64 ‖ height u64 ‖ round u32 ‖ kind u8 ‖ digest 32 ‖ crc32c u32 of all before. Spec: docs/spec/consensus.md#log
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { toHex } from '../execution/hex.ts'
import { crc32c } from './crc32c.ts'
import { type Domain, type Statement, statementDigest, TAG } from './digest.ts'
import type { State } from './state.ts'
import type { ValidatorSet } from './validatorSet.ts'
import { decodeExactly, fixedBytes, readHex, readRound, readUint, refuse } from './wire.ts'

const GUARD_VERSION = 1
const GUARD_BYTES = 58

/** The last signature. Slots are ordered by height, then round, then proposal < prevote < precommit. */
export type Guard = {
  readonly chainId: number
  readonly height: number
  readonly round: number
  readonly kind: Statement['kind']
  readonly digest: Hex
}

export type SignVerdict =
  | { readonly ok: true; readonly guard: Guard; readonly digest: Uint8Array }
  | { readonly ok: false; readonly code: 'otherChain' | 'lowerSlot' | 'otherDigest'; readonly guard: Guard }

/**
 * May this message be signed after what the guard remembers (undefined: nothing was ever signed)? Yes if its slot is higher, or the same
 * with the same digest. On yes: the digest to sign, and the guard to store once the signature was given. If it is given elsewhere and may be refused,
 * the guard on disk must not say that it was: the log may come to hold what a copy of this validator said in that slot, and the two would contradict
 * each other.
 */
export function checkSign(guard: Guard | undefined, message: Statement, { epoch }: Pick<Domain, 'epoch'>, chainId: number): SignVerdict {
  const digest = statementDigest({ chainId, epoch }, message)
  const next: Guard = { chainId, height: message.height, round: message.round, kind: message.kind, digest: toHex(digest) }
  if (guard === undefined) return { ok: true, guard: next, digest }
  if (guard.chainId !== chainId) return { ok: false, code: 'otherChain', guard }
  const order = compareSlots(next, guard)
  if (order < 0) return { ok: false, code: 'lowerSlot', guard }
  if (order === 0 && next.digest !== guard.digest) return { ok: false, code: 'otherDigest', guard }
  return { ok: true, guard: next, digest }
}

/**
 * The guard that covers all that a state shows as said by its validator: after a replay, before anything is said again. Not ok: another message was
 * signed in a place of the log's, so that one of both files is not of this key's last run.
 */
export function guardOf(
  guard: Guard | undefined,
  { own }: Pick<State, 'own'>,
  { set, chainId }: { readonly set: ValidatorSet; readonly chainId: number },
): { readonly ok: true; readonly guard: Guard | undefined } | Extract<SignVerdict, { readonly ok: false }> {
  let covering = guard
  for (const message of [own.proposal, own.prevote, own.precommit]) {
    const verdict = message && checkSign(covering, message, set, chainId)
    if (verdict?.ok) covering = verdict.guard
    else if (verdict && verdict.code !== 'lowerSlot') return verdict
  }
  return { ok: true, guard: covering }
}

/**
 * May a height be started anew with a vote? Not if something was signed at it already: then its log is lost, and with it the lock. The
 * height is watched without a vote (`votes: false`) until it is decided. A lone validator cannot get out of that by itself: its node
 * should refuse to start, and say so.
 */
export function mayVote(guard: Guard | undefined, height: number): boolean {
  return guard === undefined || guard.height < height
}

/** The bytes of a guard. */
export function encodeGuard({ chainId, height, round, kind, digest }: Guard): Uint8Array {
  const parts = [uintBytes(GUARD_VERSION, 1), uintBytes(chainId, 8), uintBytes(height, 8), uintBytes(round, 4), uintBytes(TAG[kind], 1)]
  const bytes = concatBytes([...parts, fixedBytes(digest, 32)])
  assert(bytes.length === GUARD_BYTES - 4)
  return concatBytes([bytes, uintBytes(crc32c(bytes), 4)])
}

/** The guard that the bytes are, or undefined: then nothing may be signed until an operator has looked. */
export function decodeGuard(bytes: Uint8Array): Guard | undefined {
  const decoded = decodeExactly(bytes, GUARD_BYTES, (reader) => {
    if (readUint(reader, 1) !== GUARD_VERSION) refuse('unknownType')
    const [chainId, height, round] = [readUint(reader, 8), readUint(reader, 8), readRound(reader)]
    const kind = KIND_OF_TAG.get(readUint(reader, 1)) ?? refuse('unknownType')
    const digest = readHex(reader, 32)
    const sum = crc32c(bytes.subarray(0, reader.at))
    return readUint(reader, 4) === sum ? { chainId, height, round, kind, digest } : refuse('flagRange')
  })
  return decoded.ok ? decoded.value : undefined
}

const KIND_OF_TAG: ReadonlyMap<number, Guard['kind']> = new Map([
  [TAG.proposal, 'proposal'],
  [TAG.prevote, 'prevote'],
  [TAG.precommit, 'precommit'],
])

function compareSlots(a: Guard, b: Guard): number {
  return a.height - b.height || a.round - b.round || TAG[a.kind] - TAG[b.kind]
}
