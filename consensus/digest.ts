/**
 * Digests: the 32 bytes that a validator's BLS key signs.
 *
 * keccak256(tag u8 ‖ chainId u64 ‖ epoch u32 ‖ height u64 ‖ round u32 ‖ validRound + 1 u32 ‖ blockHash 32)
 * A proof of possession signs keccak256(4 ‖ chainId u64 ‖ owner 20 ‖ public key 48), the hello of a direct stream
 * keccak256(5 ‖ genesis hash 32 ‖ peer id as UTF-8), a checkpoint keccak256(6 ‖ L1's chainId u64 ‖ checkpoint manager 20 ‖ checkpoint hash 32).
 * Spec: docs/spec/consensus.md#digests
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { fromHex } from '../execution/hex.ts'
import { keccak256 } from '../execution/keccak.ts'
import { fixedBytes } from './wire.ts'

/** First byte of what every digest is of, and of votes and proposals the type byte of the messages that carry the signature. */
export const TAG = { proposal: 1, prevote: 2, precommit: 3, possession: 4, hello: 5, checkpoint: 6 } as const

/** The block hash that stands for "no block in this round". */
export const NIL: Hex = `0x${'00'.repeat(32)}`

/** What makes a signature good for one chain and one epoch's set only. */
export type Domain = { readonly chainId: number; readonly epoch: number }

/** What a validator says: its proposal, prevote or precommit of one height and round. */
export type Statement = {
  readonly kind: 'proposal' | 'prevote' | 'precommit'
  readonly height: number
  readonly round: number
  /** Round of the polka that a re-proposed block rests on, or −1. Always −1 in precommits and for nil. */
  readonly validRound: number
  readonly blockHash: Hex
}

const STATEMENT_BYTES = 61

/** The digest of a statement. Every part that could tell two statements apart is in it. */
export function statementDigest(domain: Domain, statement: Statement): Uint8Array {
  const { kind, height, round, validRound, blockHash } = statement
  assert(validRound >= -1 && validRound < round, 'valid round is not before the round')
  assert(validRound === -1 || (kind !== 'precommit' && blockHash !== NIL), 'statement cannot have a valid round')
  const out = new Uint8Array(STATEMENT_BYTES)
  const view = new DataView(out.buffer)
  view.setUint8(0, TAG[kind])
  view.setBigUint64(1, BigInt(domain.chainId))
  view.setUint32(9, domain.epoch)
  view.setBigUint64(13, BigInt(height))
  view.setUint32(21, round)
  view.setUint32(25, validRound + 1)
  out.set(fromHex(blockHash), 29)
  return keccak256(out)
}

/** The digest by which the holder of a BLS key shows that it holds it, to be registered by `owner`. */
export function possessionDigest(chainId: number, owner: Hex, publicKey: Hex): Uint8Array {
  return keccak256(concatBytes([uintBytes(TAG.possession, 1), uintBytes(chainId, 8), fixedBytes(owner, 20), fixedBytes(publicKey, 48)]))
}

/** The digest by which a validator shows which peer it is: good for one chain and one peer id, in the text that libp2p shows. */
export function helloDigest(genesisHash: Hex, peerId: string): Uint8Array {
  return keccak256(concatBytes([uintBytes(TAG.hello, 1), fixedBytes(genesisHash, 32), new TextEncoder().encode(peerId)]))
}

/** The checkpoint manager that a checkpoint's signature is good for. */
export type CheckpointDomain = { readonly l1ChainId: number; readonly manager: Hex }

/** The digest by which a validator says that it derived the checkpoint with this hash from L1. */
export function checkpointDigest({ l1ChainId, manager }: CheckpointDomain, checkpointHash: Hex): Uint8Array {
  const parts = [uintBytes(TAG.checkpoint, 1), uintBytes(l1ChainId, 8), fixedBytes(manager, 20), fixedBytes(checkpointHash, 32)]
  return keccak256(concatBytes(parts))
}
