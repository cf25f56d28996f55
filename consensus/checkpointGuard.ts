/**
 * What a key said of checkpoints: of each of the latest blocks that it signed as a checkpoint's last one, the state after it. A block that is final has one
 * state, so whoever asks for another one of the same block is wrong, or asks for a chain that is not this key's; in which batch the block came to L1 may be
 * said anew, for L1 may take a batch back.
 *
 * Wire: one record after another, lastBlock u64 ‖ stateHash 32 ‖ crc32c u32 of both. Spec: docs/spec/signer.md#what-it-signs
 */
import type { Hex } from 'viem'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { toHex } from '../execution/hex.ts'
import { keccak256 } from '../execution/keccak.ts'
import { crc32c } from './crc32c.ts'
import { decodeExactly, fixedBytes, readHex, readUint, refuse } from './wire.ts'

/** Blocks that are remembered: more than L1 takes back, with a batch in every second. */
export const CHECKPOINTS_REMEMBERED = 256

/** Bytes of a record. */
export const CHECKPOINT_RECORD_BYTES = 44

/** What a checkpoint says of the rollup, whatever batch it came to L1 in. */
export type CheckpointState = {
  readonly lastBlock: bigint
  readonly blockHash: Hex
  readonly evmRoot: Hex
  readonly ledgerRoot: Hex
  readonly depositCursor: bigint
}

/** A block, and the hash of what was said of the state after it. */
export type SignedState = { readonly lastBlock: number; readonly stateHash: Hex }

/** What was signed, ascending by block, one of each; at most CHECKPOINTS_REMEMBERED. */
export type CheckpointGuard = readonly SignedState[]

export type CheckpointVerdict =
  | { readonly ok: true; readonly guard: CheckpointGuard; readonly added: SignedState | undefined }
  | { readonly ok: false; readonly code: 'otherState' | 'forgottenBlock' }

/**
 * May a checkpoint with this state be signed? Not if another state of its block was, nor if the block is below all that are remembered and others were
 * forgotten. On yes: the guard to store before the signature leaves, and what is new in it.
 */
export function checkCheckpoint(guard: CheckpointGuard, state: CheckpointState): CheckpointVerdict {
  const lastBlock = Number(state.lastBlock)
  const stateHash = hashState(state)
  const known = guard.find((signed) => signed.lastBlock === lastBlock)
  if (known) return known.stateHash === stateHash ? { ok: true, guard, added: undefined } : { ok: false, code: 'otherState' }
  const [lowest] = guard
  if (guard.length >= CHECKPOINTS_REMEMBERED && lowest && lastBlock < lowest.lastBlock) return { ok: false, code: 'forgottenBlock' }
  const added = { lastBlock, stateHash }
  return { ok: true, guard: remember(guard, added), added }
}

/** The bytes of a record. */
export function encodeSignedState({ lastBlock, stateHash }: SignedState): Uint8Array {
  const bytes = concatBytes([uintBytes(lastBlock, 8), fixedBytes(stateHash, 32)])
  return concatBytes([bytes, uintBytes(crc32c(bytes), 4)])
}

/**
 * The guard that records in the order of their writing make, and the bytes up to which they are good. A bad one with none behind it was torn by a crash: what
 * it would have allowed was never signed. Undefined: one before others is bad, and nothing may be signed until an operator has looked.
 */
export function decodeCheckpointGuard(bytes: Uint8Array): { readonly guard: CheckpointGuard; readonly goodBytes: number } | undefined {
  let guard: CheckpointGuard = []
  for (let at = 0; at < bytes.length; at += CHECKPOINT_RECORD_BYTES) {
    const record = bytes.subarray(at, at + CHECKPOINT_RECORD_BYTES)
    const signed = decodeSignedState(record)
    if (signed) guard = remember(guard, signed)
    else return at + CHECKPOINT_RECORD_BYTES >= bytes.length ? { guard, goodBytes: at } : undefined
  }
  return { guard, goodBytes: bytes.length }
}

function decodeSignedState(record: Uint8Array): SignedState | undefined {
  const decoded = decodeExactly(record, CHECKPOINT_RECORD_BYTES, (reader) => {
    const signed = { lastBlock: readUint(reader, 8), stateHash: readHex(reader, 32) }
    const sum = crc32c(record.subarray(0, reader.at))
    return readUint(reader, 4) === sum ? signed : refuse('flagRange')
  })
  return decoded.ok ? decoded.value : undefined
}

function remember(guard: CheckpointGuard, added: SignedState): CheckpointGuard {
  return [...guard, added].sort((a, b) => a.lastBlock - b.lastBlock).slice(-CHECKPOINTS_REMEMBERED)
}

function hashState({ blockHash, evmRoot, ledgerRoot, depositCursor }: CheckpointState): Hex {
  const roots = [blockHash, evmRoot, ledgerRoot].map((hash) => fixedBytes(hash, 32))
  return toHex(keccak256(concatBytes([...roots, uintBytes(Number(depositCursor), 8)])))
}
