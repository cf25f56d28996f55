/**
 * Openings: how a payload, or a part of it, is shown on L1 (contracts/fraud/BlobReader.sol). Neighbouring elements of a blob by a KZG proof each, or, where
 * there are many, the blob whole by one proof at a point that follows from its bytes; what was call data by its bytes. Spec: docs/spec/fraud.md#openings
 */
import { bytesToHex, concatBytes, type Hex, hexToBytes, numberToBytes } from 'viem'
import { assert } from '../execution/assert.ts'
import { keccak256 } from '../execution/keccak.ts'
import { BLOB_PAYLOAD_BYTES, ELEMENT_PAYLOAD_BYTES, encodeBlobs } from './blob.ts'
import { type Kzg, versionedHash } from './kzg.ts'

/** Elements of a blob. */
export const ELEMENTS_PER_BLOB = BLOB_PAYLOAD_BYTES / ELEMENT_PAYLOAD_BYTES

/** Order of the field of a blob's elements. Source: EIP-4844, BLS_MODULUS. */
const MODULUS = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001n

/** A 4,096th root of unity, 7^((r − 1) / 4,096): the points of a blob are its powers, in bit-reversed order. Source: EIP-4844. */
const ROOT = 0x564c0a11a0f704f4fc3e8acfe0f8245f0ad1347b378fbf96e206da11a5d36306n

/** Gas of an element that is shown by itself, of a blob that is shown whole, and of a byte of it in call data. Measured: docs/benchmarks.md#l1 */
const POINT_GAS = 54_800
const WHOLE_GAS = 1_120_000
const BYTE_GAS = 16

/** Elements of a payload, from `first` up to the one before `end`. */
export type ElementRange = { readonly first: number; readonly end: number }

/** What the contract's struct of this name holds. */
export type PayloadWitness = {
  readonly versionedHashes: readonly Hex[]
  readonly payload: Hex
  readonly points: readonly { readonly firstElement: number; readonly values: Hex; readonly commitment: Hex; readonly proofs: Hex }[]
  readonly blobs: readonly { readonly blob: number; readonly commitment: Hex; readonly proof: Hex; readonly data: Hex }[]
}

/** A payload that was call data, shown. */
export function openCallData(payload: Uint8Array): PayloadWitness {
  return { versionedHashes: [], payload: bytesToHex(payload), points: [], blobs: [] }
}

/**
 * These elements of a payload that is in blobs, shown at the least gas: each by itself, or with its blob whole. With `pointsMax` so many of a blob are shown
 * each by itself, whatever it costs, for the sake of short call data. Ranges may overlap. Some 90 ms an element or blob.
 */
export async function openBlobs(
  kzg: Pick<Kzg, 'commit' | 'prove'>,
  payload: Uint8Array,
  ranges: readonly ElementRange[],
  pointsMax?: number,
): Promise<PayloadWitness> {
  const blobs = encodeBlobs(payload)
  const commitments: Uint8Array[] = []
  for (const blob of blobs) commitments.push(await kzg.commit(blob))
  const versionedHashes = commitments.map(versionedHash)
  const points: PayloadWitness['points'][number][] = []
  const wholes: PayloadWitness['blobs'][number][] = []
  for (const [index, blob] of blobs.entries()) {
    const commitment = commitments[index]
    const hash = versionedHashes[index]
    assert(commitment && hash, 'every blob has its commitment')
    const runs = runsOf(ranges, index * ELEMENTS_PER_BLOB)
    const count = runs.reduce((sum, { first, end }) => sum + end - first, 0)
    if (count > (pointsMax ?? pointsWorth(blob))) wholes.push(await openWhole(kzg, { index, blob, commitment, hash }))
    else for (const run of runs) points.push(await openRun(kzg, { index, blob, commitment, run }))
  }
  return { versionedHashes, payload: '0x', points, blobs: wholes }
}

/** Elements of a blob above which it costs less to show it whole. */
function pointsWorth(blob: Uint8Array): number {
  return Math.floor((WHOLE_GAS + BYTE_GAS * withoutZeros(payloadOf(blob)).length) / POINT_GAS)
}

/** The point at which an element of a blob stands. */
export function pointOf(element: number): bigint {
  assert(element >= 0 && element < ELEMENTS_PER_BLOB, 'a blob has 4,096 elements')
  let point = 1n
  let power = ROOT
  for (let bit = ELEMENTS_PER_BLOB / 2; bit >= 1; bit /= 2) {
    if (element & bit) point = (point * power) % MODULUS
    power = (power * power) % MODULUS
  }
  return point
}

/** The point at which a blob is shown whole: the hash of its versioned hash and of its payload bytes. Whoever changes a byte changes the point. */
export function wholePoint(hash: Hex, data: Uint8Array): bigint {
  return BigInt(bytesToHex(keccak256(concatBytes([hexToBytes(hash), keccak256(data)])))) % MODULUS
}

type OpenedBlob = { readonly index: number; readonly blob: Uint8Array; readonly commitment: Uint8Array }

async function openRun(kzg: Pick<Kzg, 'prove'>, { index, blob, commitment, run }: OpenedBlob & { readonly run: ElementRange }) {
  const proofs: Uint8Array[] = []
  for (let element = run.first; element < run.end; element++) {
    const { proof } = await kzg.prove(blob, numberToBytes(pointOf(element), { size: 32 }))
    proofs.push(proof)
  }
  return {
    firstElement: index * ELEMENTS_PER_BLOB + run.first,
    values: bytesToHex(payloadOf(blob).subarray(run.first * ELEMENT_PAYLOAD_BYTES, run.end * ELEMENT_PAYLOAD_BYTES)),
    commitment: bytesToHex(commitment),
    proofs: bytesToHex(concatBytes(proofs)),
  }
}

async function openWhole(kzg: Pick<Kzg, 'prove'>, { index, blob, commitment, hash }: OpenedBlob & { readonly hash: Hex }) {
  const data = payloadOf(blob)
  const { proof } = await kzg.prove(blob, numberToBytes(wholePoint(hash, data), { size: 32 }))
  return { blob: index, commitment: bytesToHex(commitment), proof: bytesToHex(proof), data: bytesToHex(withoutZeros(data)) }
}

/** The parts of the ranges that lie in the blob whose first element is `from`, counted from there: ascending, none touching another. */
function runsOf(ranges: readonly ElementRange[], from: number): ElementRange[] {
  const cut = ranges
    .map(({ first, end }) => ({ first: Math.max(first - from, 0), end: Math.min(end - from, ELEMENTS_PER_BLOB) }))
    .filter(({ first, end }) => first < end)
    .sort((a, b) => a.first - b.first)
  const runs: ElementRange[] = []
  for (const { first, end } of cut) {
    const last = runs.at(-1)
    if (last && first <= last.end) runs[runs.length - 1] = { first: last.first, end: Math.max(last.end, end) }
    else runs.push({ first, end })
  }
  return runs
}

/** The 31 bytes of each element. */
function payloadOf(blob: Uint8Array): Uint8Array {
  const out = new Uint8Array(BLOB_PAYLOAD_BYTES)
  for (let i = 0; i < ELEMENTS_PER_BLOB; i++) out.set(blob.subarray(i * 32 + 1, i * 32 + 32), i * ELEMENT_PAYLOAD_BYTES)
  return out
}

function withoutZeros(data: Uint8Array): Uint8Array {
  let end = data.length
  while (end > 0 && data[end - 1] === 0) end-- // ends: it shrinks
  return data.subarray(0, end)
}
