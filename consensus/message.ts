/**
 * Messages: what validators send each other, in the bytes that go over the network and into the log.
 * Wire: type u8 ‖ body. Types 1–3 are the tags of the digests that are signed (digest.ts), 5–7 are certificates.
 *
 *   1 proposal   height u64 ‖ round u32 ‖ validRound + 1 u32 ‖ blockHash 32 ‖ signature 96
 *                and, if validRound ≥ 0, of the polka of that round: its validRound + 1 u32 ‖ bitmapBytes u16 ‖ bitmap ‖ signature 96
 *   2 prevote    height u64 ‖ round u32 ‖ validRound + 1 u32 ‖ blockHash 32 ‖ validator u16 ‖ signature 96
 *   3 precommit  the same, with validRound + 1 = 0
 *   5 polka, 6 commit, 7 roundCert: certificate.ts
 *
 * Decoding judges bytes alone; who signed and with what weight is verify.ts. Spec: docs/spec/consensus.md#messages
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { VALIDATORS_MAX } from '../genesis/params.ts'
import {
  type Commit,
  encodeCommit,
  encodePolka,
  encodeRoundCert,
  encodeSigners,
  type Polka,
  type RoundCert,
  readBlockHash,
  readCommit,
  readPolka,
  readRoundCert,
  readSigners,
  readVoted,
} from './certificate.ts'
import { NIL, TAG } from './digest.ts'
import {
  type Decoded,
  decodeExactly,
  fixedBytes,
  type Reader,
  readBytes,
  readRound,
  readUint,
  readValidRound,
  refuse,
  SIGNATURE_BYTES,
} from './wire.ts'

/** Most bytes of a message of any type. The longest is a round certificate of 16 entries and 128 validators. */
export const MESSAGE_BYTES_MAX = 1_024

/** The proposer of a round asks for votes on a block. */
export type Proposal = {
  readonly kind: 'proposal'
  readonly height: number
  readonly round: number
  readonly blockHash: Hex
  /** Round in which the block got the polka, or −1 for a fresh block. */
  readonly validRound: number
  /** The quorum of prevotes of `validRound`; there if and only if validRound ≥ 0. */
  readonly polka: Polka | undefined
  readonly signature: Uint8Array
}

/** A prevote or precommit of one validator. */
export type Vote = {
  readonly kind: 'prevote' | 'precommit'
  readonly height: number
  readonly round: number
  /** The block, or NIL. */
  readonly blockHash: Hex
  /** The valid round of the proposal that is prevoted, else −1. Signed with the vote, so that breaking a lock leaves evidence. */
  readonly validRound: number
  /** Index in the validator set. */
  readonly validator: number
  readonly signature: Uint8Array
}

export type Message = Proposal | Vote | Polka | Commit | RoundCert

/** What a validator is about to sign. */
export type UnsignedMessage = Omit<Proposal, 'signature'> | Omit<Vote, 'signature'>

const TYPE = { proposal: TAG.proposal, prevote: TAG.prevote, precommit: TAG.precommit, polka: 5, commit: 6, roundCert: 7 } as const

/** The bytes of a message. */
export function encodeMessage(message: Message): Uint8Array {
  const bytes = concatBytes([uintBytes(TYPE[message.kind], 1), encodeBody(message)])
  assert(bytes.length <= MESSAGE_BYTES_MAX, 'message is too long')
  return bytes
}

/** The message that the bytes are, or why they are none. */
export function decodeMessage(bytes: Uint8Array): Decoded<Message> {
  return decodeExactly(bytes, MESSAGE_BYTES_MAX, readMessage)
}

/** Reads one message and moves on: for formats that hold a message. */
export function readMessage(reader: Reader): Message {
  switch (readUint(reader, 1)) {
    case TYPE.proposal:
      return readProposal(reader)
    case TYPE.prevote:
      return readVote(reader, 'prevote')
    case TYPE.precommit:
      return readVote(reader, 'precommit')
    case TYPE.polka:
      return readPolka(reader)
    case TYPE.commit:
      return readCommit(reader)
    case TYPE.roundCert:
      return readRoundCert(reader)
    default:
      return refuse('unknownType')
  }
}

function encodeBody(message: Message): Uint8Array {
  switch (message.kind) {
    case 'proposal':
      return encodeProposal(message)
    case 'prevote':
    case 'precommit':
      return encodeVote(message)
    case 'polka':
      return encodePolka(message)
    case 'commit':
      return encodeCommit(message)
    case 'roundCert':
      return encodeRoundCert(message)
  }
}

function encodeProposal({ height, round, validRound, blockHash, polka, signature }: Proposal): Uint8Array {
  assert(validRound >= 0 === (polka !== undefined), 'a re-proposal needs its polka')
  assert(
    polka === undefined || (polka.height === height && polka.round === validRound && polka.blockHash === blockHash),
    'polka of another block',
  )
  const head = [uintBytes(height, 8), uintBytes(round, 4), uintBytes(validRound + 1, 4), fixedBytes(blockHash, 32), signature]
  return concatBytes(polka === undefined ? head : [...head, uintBytes(polka.validRound + 1, 4), encodeSigners(polka)])
}

function readProposal(reader: Reader): Proposal {
  const height = readUint(reader, 8)
  const round = readRound(reader)
  const validRound = readValidRound(reader, round)
  const blockHash = readBlockHash(reader)
  const signature = readBytes(reader, SIGNATURE_BYTES)
  if (validRound === -1) return { kind: 'proposal', height, round, blockHash, validRound, polka: undefined, signature }
  const polkaValidRound = readValidRound(reader, validRound)
  const polka: Polka = { kind: 'polka', height, round: validRound, blockHash, validRound: polkaValidRound, ...readSigners(reader) }
  return { kind: 'proposal', height, round, blockHash, validRound, polka, signature }
}

function encodeVote({ kind, height, round, validRound, blockHash, validator, signature }: Vote): Uint8Array {
  assert(validRound === -1 || (kind === 'prevote' && blockHash !== NIL), 'vote cannot have a valid round')
  assert(signature.length === SIGNATURE_BYTES, 'signature has the wrong length')
  const head = [uintBytes(height, 8), uintBytes(round, 4), uintBytes(validRound + 1, 4), fixedBytes(blockHash, 32)]
  return concatBytes([...head, uintBytes(validator, 2), signature])
}

function readVote(reader: Reader, kind: Vote['kind']): Vote {
  const height = readUint(reader, 8)
  const round = readRound(reader)
  const { validRound, blockHash } = readVoted(reader, kind, round)
  const validator = readUint(reader, 2)
  if (validator >= VALIDATORS_MAX) refuse('numberRange')
  return { kind, height, round, blockHash, validRound, validator, signature: readBytes(reader, SIGNATURE_BYTES) }
}
