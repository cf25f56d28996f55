/**
 * What contracts/fraud/BlobReader.sol takes for bytes of a payload are those that were posted, and it takes all that settlement/openings.ts shows:
 * elements one by one, blobs whole, and call data, at the gas that docs/spec/fraud.md#openings says.
 */
import fc from 'fast-check'
import {
  bytesToHex,
  concatHex,
  decodeFunctionResult,
  encodeFunctionData,
  type Hex,
  hexToBytes,
  pad,
  parseAbi,
  toHex,
  zeroAddress,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { laneProbeBytecode } from '../../contracts/artifacts.ts'
import { BLOB_PAYLOAD_BYTES } from '../../settlement/blob.ts'
import { blobDataHash, callDataHash } from '../../settlement/inbox.ts'
import { createKzg } from '../../settlement/kzg.ts'
import { type ElementRange, openBlobs, openCallData, type PayloadWitness, pointOf } from '../../settlement/openings.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../fakes/anvil.ts'
import { mined, stageClient } from '../fakes/l1Stage.ts'

const probeAbi = parseAbi([
  'struct PointOpening { uint32 firstElement; bytes values; bytes commitment; bytes proofs; }',
  'struct BlobOpening { uint8 blob; bytes commitment; bytes proof; bytes data; }',
  'struct PayloadWitness { bytes32[] versionedHashes; bytes payload; PointOpening[] points; BlobOpening[] blobs; }',
  'function open(bytes32 dataHash, PayloadWitness witness, uint256 from, uint256 length) view returns (bytes shown, uint256 gasUsed)',
  'function rootOf(uint256 element) pure returns (uint256)',
  'error WrongPayload(bytes32 dataHash)',
])

/** What one transaction may use. Source: EIP-7825. */
const GAS_CAP = 16_777_216
const SECOND_BLOB_BYTES = 5_000
/** A blob full of payload, and a part of a second one. */
const payload = Uint8Array.from({ length: BLOB_PAYLOAD_BYTES + SECOND_BLOB_BYTES }, (_, i) => 1 + ((i * i * 7 + i) % 255))
const kzg = createKzg()

/** Who reads rows: here nobody does. */
const NO_READER = pad(zeroAddress, { size: 32 })

let anvil: Anvil
let client: ReturnType<typeof stageClient>
let probe: Hex
/** Both blobs shown whole; the first elements by themselves; what lies on both sides of the border. */
let wholes: PayloadWitness
let points: PayloadWitness
let border: PayloadWitness
let dataHash: Hex

beforeAll(async () => {
  anvil = await startAnvil()
  client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  const { contractAddress } = await mined(client, await client.sendTransaction({ data: concatHex([laneProbeBytecode, NO_READER]) }))
  if (!contractAddress) throw new Error('no contract was made')
  probe = contractAddress
  const everything = [{ first: 0, end: 4_096 + Math.ceil(SECOND_BLOB_BYTES / 31) }]
  wholes = await openBlobs(kzg, payload, everything, 0)
  points = await openBlobs(kzg, payload, [{ first: 0, end: 3 }])
  border = await openBlobs(kzg, payload, [
    { first: 4_095, end: 4_097 },
    { first: 4_094, end: 4_096 },
  ])
  dataHash = blobDataHash(wholes.versionedHashes)
}, 120_000)
afterAll(() => anvil?.stop())

type Shown = { readonly shown: Hex; readonly openGas: number }

/** What the contract reads, or undefined where it reverts. */
async function open(witness: PayloadWitness, { first, end }: ElementRange, hash = dataHash): Promise<Shown | undefined> {
  const args = [hash, witness, BigInt(first * 31), BigInt((end - first) * 31)] as const
  const data = encodeFunctionData({ abi: probeAbi, functionName: 'open', args })
  const answer = await client.call({ to: probe, data, gas: 30_000_000n }).catch(() => undefined)
  if (!answer?.data) return undefined
  const [shown, gasUsed] = decodeFunctionResult({ abi: probeAbi, functionName: 'open', data: answer.data })
  return { shown, openGas: Number(gasUsed) }
}

/** All gas of a transaction that does nothing else. */
async function gasOf(witness: PayloadWitness): Promise<number> {
  const data = encodeFunctionData({ abi: probeAbi, functionName: 'open', args: [dataHash, witness, 0n, 0n] })
  return Number(await client.estimateGas({ to: probe, data, gas: 30_000_000n }))
}

const bytesOf = ({ first, end }: ElementRange, of = payload): Hex => bytesToHex(of.slice(first * 31, end * 31))

test('elements stand at the powers of the root of unity, in bit-reversed order', async () => {
  for (const element of [0, 1, 2, 5, 2_048, 4_095]) {
    expect(await client.readContract({ address: probe, abi: probeAbi, functionName: 'rootOf', args: [BigInt(element)] })).toBe(
      pointOf(element),
    )
  }
  expect(pointOf(0)).toBe(1n)
})

test('elements one by one, whole blobs and call data show the bytes that were posted, also over the border of two blobs', async () => {
  expect((await open(points, { first: 0, end: 3 }))?.shown).toBe(bytesOf({ first: 0, end: 3 }))
  expect((await open(points, { first: 1, end: 2 }))?.shown).toBe(bytesOf({ first: 1, end: 2 }))
  expect((await open(border, { first: 4_094, end: 4_097 }))?.shown).toBe(bytesOf({ first: 4_094, end: 4_097 }))
  const all = { first: 0, end: Math.floor(payload.length / 31) }
  expect((await open(wholes, all))?.shown).toBe(bytesOf(all))
  const short = payload.subarray(0, 100)
  const padded = new Uint8Array(124)
  padded.set(short)
  expect((await open(openCallData(short), { first: 0, end: 4 }, callDataHash(short)))?.shown).toBe(bytesToHex(padded))
})

test('what was not shown cannot be read', async () => {
  expect(await open(points, { first: 2, end: 4 })).toBeUndefined()
  expect(await open({ ...points, points: [] }, { first: 0, end: 1 })).toBeUndefined()
  expect(await open(openCallData(payload), { first: 0, end: 1 })).toBeUndefined()
  const swapped = { ...wholes, versionedHashes: wholes.versionedHashes.toReversed() }
  expect(await open(swapped, { first: 0, end: 1 })).toBeUndefined()
  expect(await open(swapped, { first: 0, end: 1 }, blobDataHash(swapped.versionedHashes))).toBeUndefined()
})

test('no byte of an opening can be another one: of values, proofs, commitments, whole blobs, hashes or places', () =>
  fc.assert(
    fc.asyncProperty(
      fc.constantFrom('values', 'proofs', 'commitment', 'place', 'hash'),
      fc.nat(1_000_000),
      fc.boolean(),
      async (part, at, whole) => {
        const witness = whole ? wholes : points
        const changed: PayloadWitness = {
          ...witness,
          versionedHashes: witness.versionedHashes.map((hash, i) => (part === 'hash' && i === 0 ? flip(hash, at) : hash)),
          points: witness.points.map((one) => ({
            firstElement: part === 'place' ? one.firstElement + 1 + (at % 4_000) : one.firstElement,
            values: part === 'values' ? flip(one.values, at) : one.values,
            commitment: part === 'commitment' ? flip(one.commitment, at) : one.commitment,
            proofs: part === 'proofs' ? flip(one.proofs, at) : one.proofs,
          })),
          blobs: witness.blobs.map((one) => ({
            blob: part === 'place' ? 1 - one.blob : one.blob,
            data: part === 'values' ? flip(one.data, at) : one.data,
            commitment: part === 'commitment' ? flip(one.commitment, at) : one.commitment,
            proof: part === 'proofs' ? flip(one.proof, at) : one.proof,
          })),
        }
        expect(await open(changed, { first: 0, end: 1 })).toBeUndefined()
      },
    ),
    { numRuns: 30 },
  ))

test('gas: an element by itself below 57,000, a full blob below 5.2 million, and they cross between 48 and 100 elements', async () => {
  const element = (await gasOf(border)) / 3
  const blob = await gasOf({ ...wholes, blobs: wholes.blobs.slice(0, 1) })
  const blobGas = (await open({ ...wholes, blobs: wholes.blobs.slice(0, 1) }, { first: 0, end: 1 }))?.openGas ?? 0
  const elementGas = ((await open(border, { first: 4_094, end: 4_095 }))?.openGas ?? 0) / 3
  // Where a transaction does much else, call data costs its price and not the floor of EIP-7623.
  const beside = blobGas + 16 * BLOB_PAYLOAD_BYTES
  process.stdout.write(
    `gas of openings: ${Math.round(elementGas)} an element, ${blobGas} a full blob and ${16 * BLOB_PAYLOAD_BYTES} for its call data (alone ${blob}); ` +
      `they cross at ${Math.round(beside / elementGas)} elements, alone at ${Math.round(blob / elementGas)}\n`,
  )
  expect(elementGas).toBeLessThan(57_000)
  expect(element).toBeLessThan(75_000)
  expect(blobGas).toBeLessThan(1_300_000)
  expect(blob).toBeLessThan(5_200_000)
  expect(3 * blob).toBeLessThan(GAS_CAP)
  expect(beside / elementGas).toBeGreaterThan(48)
  expect(blob / elementGas).toBeLessThan(100)
})

function flip(hex: Hex, at: number): Hex {
  const bytes = hexToBytes(hex)
  const place = at % (bytes.length * 8)
  bytes[place >> 3] = (bytes[place >> 3] ?? 0) ^ (0x80 >> (place & 7))
  return toHex(bytes)
}
