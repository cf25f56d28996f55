/** Requests, receipts and windows of them: packed forms, hashes as viem makes them, the tree as the page defines it. Spec: docs/spec/receipts.md */
import fc from 'fast-check'
import {
  bytesToHex,
  concatHex,
  encodePacked,
  type Hex,
  hashStruct,
  hashTypedData,
  hexToBytes,
  keccak256,
  parseAbiParameters,
  stringToBytes,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { AssertionError } from '../../execution/assert.ts'
import {
  decodeReceipt,
  decodeRequest,
  encodeReceipt,
  encodeRequest,
  type InferenceReceipt,
  type InferenceRequest,
  outputCommit,
  promptCommit,
  RECEIPT_BYTES,
  RECEIPT_MEMBERS,
  REQUEST_BYTES,
  REQUEST_MEMBERS,
  receiptDigest,
  receiptId,
  receiptPath,
  receiptsRoot,
  requestDigest,
  requestHash,
  verifyInclusion,
} from '../../execution/receipt.ts'
import { recoverAddress, splitSignature } from '../../execution/recover.ts'

const CHAIN_ID = 7_777
const domain = {
  name: 'Tributary',
  version: '1',
  chainId: CHAIN_ID,
  verifyingContract: '0x0000000000000000000000000000000000000a10',
} as const
const types = { InferenceRequest: membersOf(REQUEST_MEMBERS), InferenceReceipt: membersOf(RECEIPT_MEMBERS) }

function membersOf(list: string): { name: string; type: string }[] {
  return parseAbiParameters(list).map(({ name = '', type }) => ({ name, type }))
}

function packedBy(list: string, value: Readonly<Record<string, unknown>>): Hex {
  const members = membersOf(list)
  return encodePacked(
    members.map(({ type }) => type),
    members.map(({ name }) => value[name]),
  )
}

const hex = (length: number): fc.Arbitrary<Hex> => fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => bytesToHex(bytes))
const uint = (bits: number) => fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n })
const small = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 })

const request: fc.Arbitrary<InferenceRequest> = fc.record({
  client: hex(20),
  worker: hex(20),
  modelId: hex(32),
  promptCommit: hex(32),
  paramsHash: hex(32),
  seed: uint(64),
  maxOutputTokens: small(32),
  maxFee: uint(96),
  cumulativeMaxFee: uint(96),
  nonce: uint(64),
  deadline: uint(64),
})
const receipt: fc.Arbitrary<InferenceReceipt> = fc.record({
  requestHash: hex(32),
  modelId: hex(32),
  worker: hex(20),
  seq: uint(64),
  outputCommit: hex(32),
  tokensRoot: hex(32),
  traceRoot: hex(32),
  attributionHash: hex(32),
  attestationId: hex(32),
  promptTokens: small(32),
  outputTokens: small(32),
  fee: uint(96),
  finishedAt: uint(64),
  tier: small(8),
})

test('a request is 188 packed bytes, and its hashes are those of EIP-712', () => {
  fc.assert(
    fc.property(request, (one) => {
      const bytes = encodeRequest(one)
      expect(bytes.length).toBe(REQUEST_BYTES)
      expect(bytesToHex(bytes)).toBe(packedBy(REQUEST_MEMBERS, one))
      expect(decodeRequest(bytes)).toEqual(one)
      expect(requestHash(one)).toBe(hashStruct({ types, primaryType: 'InferenceRequest', data: one }))
      const digest = hashTypedData({ domain, types, primaryType: 'InferenceRequest', message: one })
      expect(bytesToHex(requestDigest(one, CHAIN_ID))).toBe(digest)
    }),
  )
})

test('a receipt is 281 packed bytes, and its hashes are those of EIP-712', () => {
  fc.assert(
    fc.property(receipt, (one) => {
      const bytes = encodeReceipt(one)
      expect(bytes.length).toBe(RECEIPT_BYTES)
      expect(bytesToHex(bytes)).toBe(packedBy(RECEIPT_MEMBERS, one))
      expect(decodeReceipt(bytes)).toEqual(one)
      expect(receiptId(one)).toBe(hashStruct({ types, primaryType: 'InferenceReceipt', data: one }))
      const digest = hashTypedData({ domain, types, primaryType: 'InferenceReceipt', message: one })
      expect(bytesToHex(receiptDigest(one, CHAIN_ID))).toBe(digest)
    }),
  )
})

test('bytes of any other length are neither a request nor a receipt', () => {
  const bytes = new Uint8Array(RECEIPT_BYTES + 1)
  for (let length = 0; length <= bytes.length; length++) {
    expect(decodeRequest(bytes.subarray(0, length)) !== undefined).toBe(length === REQUEST_BYTES)
    expect(decodeReceipt(bytes.subarray(0, length)) !== undefined).toBe(length === RECEIPT_BYTES)
  }
})

test('what a wallet signs recovers to it, for this chain alone', async () => {
  const client = privateKeyToAccount(`0x${'11'.repeat(32)}`)
  await fc.assert(
    fc.asyncProperty(request, async (one) => {
      const signature = await client.signTypedData({ domain, types, primaryType: 'InferenceRequest', message: one })
      const split = splitSignature(hexToBytes(signature))
      expect(split && recoverAddress(requestDigest(one, CHAIN_ID), split)).toBe(client.address.toLowerCase())
      expect(split && recoverAddress(requestDigest(one, CHAIN_ID + 1), split)).not.toBe(client.address.toLowerCase())
    }),
    { numRuns: 10 },
  )
})

test('the hashes of this request and this receipt never change', () => {
  const word = (byte: string) => `0x${byte.repeat(32)}` as const
  const asked: InferenceRequest = {
    client: `0x${'c1'.repeat(20)}`,
    worker: `0x${'a1'.repeat(20)}`,
    modelId: word('01'),
    promptCommit: word('02'),
    paramsHash: word('03'),
    seed: 4n,
    maxOutputTokens: 5,
    maxFee: 6n,
    cumulativeMaxFee: 7n,
    nonce: 8n,
    deadline: 9n,
  }
  const served: InferenceReceipt = {
    requestHash: requestHash(asked),
    modelId: word('01'),
    worker: `0x${'a1'.repeat(20)}`,
    seq: 1n,
    outputCommit: word('02'),
    tokensRoot: word('03'),
    traceRoot: word('04'),
    attributionHash: word('05'),
    attestationId: word('06'),
    promptTokens: 7,
    outputTokens: 8,
    fee: 9n,
    finishedAt: 10n,
    tier: 1,
  }
  expect([
    requestHash(asked),
    bytesToHex(requestDigest(asked, CHAIN_ID)),
    receiptId(served),
    bytesToHex(receiptDigest(served, CHAIN_ID)),
  ]).toMatchInlineSnapshot(`
    [
      "0x101854f44345b0fbad46b6f0c41905fa72863773859cbd45f45e040fa9f81954",
      "0x6a7c65bf1592cbb937f3ebcbf2997d38e28c72854441b65405500a3aae3ed81e",
      "0xf8c9d2019ea5000422b22f08c608c3925c5d1e4e15862fd2d23428b5d7233f56",
      "0x7d751bc9e5854ec261299bcfd05f0413eee9007b91048179cf6f885b560eef57",
    ]
  `)
})

test('a commitment binds its salt, its bytes and what it commits to', () => {
  const salt = new Uint8Array(32).fill(7)
  const said = stringToBytes('the river takes it all')
  expect(promptCommit(salt, said)).toBe(keccak256(concatHex(['0x11', bytesToHex(salt), bytesToHex(said)])))
  expect(outputCommit(salt, said)).toBe(keccak256(concatHex(['0x12', bytesToHex(salt), bytesToHex(said)])))
  expect(() => promptCommit(salt.subarray(1), said)).toThrow(AssertionError) // a shorter salt could lend a byte to the text
})

const leaf = (id: Hex): Hex => keccak256(concatHex(['0x00', id]))
const node = (left: Hex, right: Hex): Hex => keccak256(concatHex(['0x01', left, right]))

/** The tree as the page says it: pairs, and an odd last node goes up as it is. */
function rootByDefinition(level: readonly Hex[]): Hex {
  const [first, second] = level
  if (first !== undefined && second === undefined) return first
  const pairs = level.flatMap((left, i) => (i % 2 === 0 ? [[left, level[i + 1]] as const] : []))
  return rootByDefinition(pairs.map(([left, right]) => (right === undefined ? left : node(left, right))))
}

const idOf = (n: number): Hex => keccak256(stringToBytes(`receipt ${n}`))

test('the root over a window is the tree of the page', () => {
  for (const count of [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 100, 257]) {
    const ids = Array.from({ length: count }, (_, n) => idOf(n))
    expect(receiptsRoot(ids)).toBe(rootByDefinition(ids.map(leaf)))
  }
  expect(receiptsRoot([idOf(0)])).toBe(leaf(idOf(0)))
  expect(() => receiptsRoot([])).toThrow(AssertionError)
})

test('each receipt of a window has a path, which shows it at its place and nothing else anywhere', () => {
  for (let count = 1; count <= 17; count++) {
    const ids = Array.from({ length: count }, (_, n) => idOf(n))
    const root = receiptsRoot(ids)
    for (const [index, signedId] of ids.entries()) {
      const path = receiptPath(ids, index)
      const claim = { root, index, count, signedId, path }
      expect(verifyInclusion(claim)).toBe(true)
      for (let other = 0; other <= count + 1; other++) if (other !== index) expect(verifyInclusion({ ...claim, index: other })).toBe(false)
      expect(verifyInclusion({ ...claim, signedId: idOf(count) })).toBe(false)
      expect(verifyInclusion({ ...claim, root: idOf(count) })).toBe(false)
      expect(verifyInclusion({ ...claim, path: [...path, idOf(0)] })).toBe(false)
      expect(verifyInclusion({ ...claim, count: 0 })).toBe(false)
      for (const i of path.keys()) {
        expect(verifyInclusion({ ...claim, path: path.toSpliced(i, 1) })).toBe(false)
        expect(verifyInclusion({ ...claim, path: path.with(i, idOf(count)) })).toBe(false)
      }
    }
  }
})

test('an inner node cannot pass for a receipt', () => {
  const ids = [idOf(0), idOf(1), idOf(2), idOf(3)]
  const root = receiptsRoot(ids)
  const right = node(leaf(idOf(2)), leaf(idOf(3)))
  const left = node(leaf(idOf(0)), leaf(idOf(1)))
  expect(verifyInclusion({ root, index: 0, count: 2, signedId: left, path: [right] })).toBe(false)
})

test('the widest window an index can name is checked in 32 steps', () => {
  const path = Array.from({ length: 32 }, (_, n) => idOf(n))
  const index = 0x9abcdef0
  let root = leaf(idOf(99))
  for (const [level, sibling] of path.entries()) root = (BigInt(index) >> BigInt(level)) & 1n ? node(sibling, root) : node(root, sibling)
  expect(verifyInclusion({ root, index, count: 0xffffffff, signedId: idOf(99), path })).toBe(true)
})
