/**
 * 0x5a EvidenceReport: that a validator signed what no correct one signs. Put into a block by who proposes it, signed by nobody, without a fee.
 * Wire: 0x5a ‖ evidence (285 bytes: kind u8 ‖ validator u16 ‖ height u64 ‖ what it signed). Spec: docs/spec/consensus.md#in-blocks
 */
import { concatBytes, concatHex, encodeFunctionData, type Hex, parseAbi, parseAbiItem } from 'viem'
import { EVIDENCE_BYTES, TX_TYPE } from '../genesis/params.ts'
import { assert } from './assert.ts'
import { fromHex, toHex } from './hex.ts'
import type { Validator } from './ledger/validators.ts'

/** What a report says before its signatures are looked at. */
export type Report = {
  /** 1 double vote, 2 amnesia; other numbers are nothing, which the judge says. */
  readonly kind: number
  /** Index in the set of the height. */
  readonly validator: number
  readonly height: bigint
  readonly evidence: Uint8Array
}

/** Whose signatures evidence has to have. */
export type Culprit = {
  readonly chainId: number
  readonly epoch: number
  /** x ‖ y of the public key, 48 bytes each. */
  readonly key: Uint8Array
}

/**
 * Whether the bytes are evidence, of an offence, with two signatures of this key. A pure function; consensus/evidence.ts has it, with BLS. Whoever executes
 * blocks is given it, as curves are given to the verifiers.
 */
export type JudgeEvidence = (
  evidence: Uint8Array,
  culprit: Culprit,
) => { readonly ok: true } | { readonly ok: false; readonly code: 'malformedEvidence' | 'noOffence' | 'badSignature' }

export const validatorConvictedEvent = parseAbiItem(
  'event ValidatorConvicted(address indexed validator, bytes key, uint64 height, uint8 kind)',
)

const reportAbi = parseAbi(['function report(bytes evidence)'])

/** The report of this evidence. Asserts its length: what came through a decoder or an encoder has it. */
export function reportOf(evidence: Uint8Array): Report {
  assert(evidence.length === EVIDENCE_BYTES, 'evidence has one length')
  const view = new DataView(evidence.buffer, evidence.byteOffset)
  return { kind: view.getUint8(0), validator: view.getUint16(1), height: view.getBigUint64(3), evidence }
}

/** A report's bytes in a block. */
export function encodeReport({ evidence }: Pick<Report, 'evidence'>): Uint8Array {
  return concatBytes([Uint8Array.of(TX_TYPE.evidenceReport), evidence])
}

/** The report that the bytes are, or undefined. */
export function decodeReport(raw: Uint8Array): Report | undefined {
  if (raw[0] !== TX_TYPE.evidenceReport || raw.length !== 1 + EVIDENCE_BYTES) return undefined
  return reportOf(raw.slice(1))
}

/** The call of `report(bytes)` as which a report is shown. */
export function reportCallData({ evidence }: Report): Hex {
  return encodeFunctionData({ abi: reportAbi, args: [toHex(evidence)] })
}

/** x ‖ y of a validator's public key. */
export function keyOf({ key0, key1, key2 }: Pick<Validator, 'key0' | 'key1' | 'key2'>): Uint8Array {
  return fromHex(concatHex([key0, key1, key2]))
}
