import fc from 'fast-check'
import { bytesToHex, concatBytes, encodePacked, type Hex, hexToBytes, keccak256 } from 'viem'
import { expect, test } from 'vitest'
import { parseSecretKey, publicKeyOf, sign, verifyPossession } from '../../consensus/bls.ts'
import type { Polka, RoundCertEntry } from '../../consensus/certificate.ts'
import { helloDigest, NIL, type Statement, statementDigest } from '../../consensus/digest.ts'
import { decodeEvidence, encodeEvidence, verifyEvidence } from '../../consensus/evidence.ts'
import { decodeMessage, encodeMessage, MESSAGE_BYTES_MAX, type Message } from '../../consensus/message.ts'
import { createValidatorSet } from '../../consensus/validatorSet.ts'
import { verifyMessage } from '../../consensus/verify.ts'
import { assert } from '../../execution/assert.ts'
import vectors from '../vectors/consensus.json' with { type: 'json' }
import { blockHash, FAKE_SIGNATURE, fakeProposal, fakeVote } from './fixtures.ts'

// ---- vectors ----

const domain = { chainId: vectors.chainId, epoch: vectors.epoch }
const hex = (text: string) => text as Hex
const created = createValidatorSet(
  vectors.epoch,
  vectors.validators.map(({ address, publicKey, feeRecipient, weight }) => ({
    address: hex(address),
    publicKey: hex(publicKey),
    feeRecipient: hex(feeRecipient),
    weight: BigInt(weight),
  })),
)
assert(created.ok)
const SET = created.set

test('keys, set hash and turns are those of the vectors', () => {
  for (const { secretKey, publicKey } of vectors.validators) {
    const secret = parseSecretKey(hexToBytes(hex(secretKey)))
    assert(secret)
    expect(publicKeyOf(secret)).toBe(publicKey)
  }
  expect(SET.hash).toBe(vectors.setHash)
  expect([...SET.turns]).toEqual(vectors.turns)
})

test('digests and signatures are those that other code computed', () => {
  for (const { digest, signer, signature, ...statement } of vectors.statements) {
    const computed = statementDigest(domain, statement as Statement)
    expect(bytesToHex(computed)).toBe(digest)
    const secret = parseSecretKey(hexToBytes(hex(vectors.validators[signer]?.secretKey ?? '0x')))
    assert(secret)
    expect(bytesToHex(sign(secret, computed))).toBe(signature)
  }
  const { owner, proof } = vectors.possession
  const publicKey = hex(vectors.validators[0]?.publicKey ?? '0x')
  expect(verifyPossession({ chainId: vectors.chainId, owner: hex(owner), publicKey, proof: hexToBytes(hex(proof)) })).toBe(true)
})

test('the messages of the vectors decode, verify, and encode to the same bytes', () => {
  const kinds = vectors.messages.map(({ kind, bytes }) => {
    const decoded = decodeMessage(hexToBytes(hex(bytes)))
    assert(decoded.ok)
    expect(bytesToHex(encodeMessage(decoded.value))).toBe(bytes)
    if (kind !== 'proposal') expect(verifyMessage(SET, decoded.value, vectors.chainId)).toEqual({ ok: true })
    return decoded.value.kind
  })
  expect(kinds).toEqual(['proposal', 'proposal', 'prevote', 'precommit', 'polka', 'commit', 'roundCert'])
})

test('the evidence of the vectors decodes, verifies, and encodes to the same bytes', () => {
  const decoded = decodeEvidence(hexToBytes(hex(vectors.evidence)))
  assert(decoded.ok)
  expect(verifyEvidence(SET, decoded.value, vectors.chainId)).toEqual({ ok: true })
  expect(bytesToHex(encodeEvidence(decoded.value))).toBe(vectors.evidence)
})

// ---- hostile bytes ----

test('a message cut anywhere is truncated, and one byte more is too many', () => {
  for (const { bytes } of vectors.messages) {
    const whole = hexToBytes(hex(bytes))
    for (let length = 0; length < whole.length; length++) {
      expect(decodeMessage(whole.subarray(0, length))).toMatchObject({ ok: false, code: 'truncated' })
    }
    expect(decodeMessage(concatBytes([whole, Uint8Array.of(0)]))).toEqual({ ok: false, code: 'trailingBytes', at: whole.length })
  }
})

test('evidence cut anywhere is truncated, and one byte more is too many', () => {
  const whole = hexToBytes(hex(vectors.evidence))
  for (let length = 0; length < whole.length; length++) {
    expect(decodeEvidence(whole.subarray(0, length))).toMatchObject({ ok: false, code: 'truncated' })
  }
  expect(decodeEvidence(concatBytes([whole, Uint8Array.of(0)]))).toMatchObject({ ok: false, code: 'oversize' })
})

/** Bytes of a message with some of them replaced. */
function patched(message: Message, at: number, bytes: readonly number[]): Uint8Array {
  const out = encodeMessage(message)
  out.set(bytes, at)
  return out
}

const polka: Polka = {
  kind: 'polka',
  height: 1,
  round: 1,
  blockHash: blockHash(1),
  validRound: 0,
  bitmap: Uint8Array.of(7),
  signature: FAKE_SIGNATURE,
}
const entry: RoundCertEntry = { kind: 'precommit', validRound: -1, blockHash: blockHash(1), bitmap: Uint8Array.of(1) }
const cert = {
  kind: 'roundCert',
  height: 1,
  round: 0,
  entries: [entry, { ...entry, blockHash: blockHash(2) }],
  signature: FAKE_SIGNATURE,
} as const
const zeros = Array<number>(32).fill(0)
const vote = fakeVote({ kind: 'prevote', round: 2, validRound: 1, validator: 0 })
const REFUSED = [
  { it: 'an unknown type', bytes: Uint8Array.of(4), code: 'unknownType' },
  { it: 'no type', bytes: new Uint8Array(), code: 'truncated' },
  { it: 'a height beyond 2^53', bytes: patched(vote, 1, [0, 0x20]), code: 'numberRange' },
  { it: 'the one round whose valid round would not fit', bytes: patched(vote, 9, [255, 255, 255, 255]), code: 'roundRange' },
  { it: 'a valid round that is not before the round', bytes: patched(vote, 13, [0, 0, 0, 3]), code: 'validRoundRange' },
  { it: 'a nil prevote with a valid round', bytes: patched(vote, 17, zeros), code: 'nilValidRound' },
  { it: 'a precommit with a valid round', bytes: patched(vote, 0, [3]), code: 'nilValidRound' },
  { it: 'a validator beyond any set', bytes: patched(vote, 49, [0, 128]), code: 'numberRange' },
  { it: 'a proposal of nil', bytes: patched(fakeProposal({}), 17, zeros), code: 'nilBlock' },
  { it: 'a polka of nil', bytes: patched(polka, 17, zeros), code: 'nilBlock' },
  { it: 'an empty bitmap', bytes: patched(polka, 49, [0, 0]), code: 'bitmapSize' },
  { it: 'a bitmap larger than any set', bytes: patched(polka, 49, [0, 17]), code: 'bitmapSize' },
  { it: 'a round certificate without entries', bytes: patched(cert, 13, [0]), code: 'entryCount' },
  { it: 'a round certificate with too many entries', bytes: patched(cert, 13, [17]), code: 'entryCount' },
  { it: 'a round certificate entry of another kind', bytes: patched(cert, 14, [1]), code: 'unknownType' },
  {
    it: 'a round certificate that says one thing twice',
    bytes: patched(cert, 90, [...hexToBytes(blockHash(1))].slice(-1)),
    code: 'entryOrder',
  },
  { it: 'more bytes than any message has', bytes: new Uint8Array(MESSAGE_BYTES_MAX + 1), code: 'oversize' },
]

for (const { it, bytes, code } of REFUSED) {
  test(`${it} is refused: ${code}`, () => expect(decodeMessage(bytes)).toMatchObject({ ok: false, code }))
}

test('no bytes make a decoder throw', () => {
  const head = fc.constantFrom(1, 2, 3, 5, 6, 7)
  fc.assert(
    fc.property(head, fc.uint8Array({ maxLength: 400 }), (type, rest) => {
      const bytes = concatBytes([Uint8Array.of(type), rest])
      const decoded = decodeMessage(bytes)
      if (decoded.ok) expect(encodeMessage(decoded.value)).toEqual(bytes)
      decodeEvidence(bytes)
    }),
    { numRuns: 2_000 },
  )
})

// ---- round trips ----

const height = fc.nat(Number.MAX_SAFE_INTEGER)
const hash = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map(bytesToHex)
  .filter((one) => one !== NIL)
const signature = fc.uint8Array({ minLength: 96, maxLength: 96 })
const bitmap = fc.uint8Array({ minLength: 1, maxLength: 16 })
const rounds = fc
  .tuple(fc.nat(0xfffffffe), fc.nat(0xfffffffe))
  .map(([a, b]) => (a === b ? { round: a, validRound: -1 } : { round: Math.max(a, b), validRound: Math.min(a, b) }))
const anyPolka = fc
  .record({ kind: fc.constant('polka' as const), height, blockHash: hash, bitmap, signature })
  .chain((rest) => rounds.map((of) => ({ ...rest, ...of })))
const anyCommit = fc.record({ kind: fc.constant('commit' as const), height, round: fc.nat(0xfffffffe), blockHash: hash, bitmap, signature })
const anyVote = fc
  .record({
    kind: fc.constantFrom('prevote' as const, 'precommit' as const),
    height,
    blockHash: fc.oneof(hash, fc.constant(NIL)),
    validator: fc.nat(127),
    signature,
  })
  .chain((rest) =>
    rounds.map((of) => ({ ...rest, ...of, validRound: rest.kind === 'precommit' || rest.blockHash === NIL ? -1 : of.validRound })),
  )
const anyProposal = fc.oneof(
  fc.record({
    kind: fc.constant('proposal' as const),
    height,
    round: fc.nat(0xfffffffe),
    validRound: fc.constant(-1),
    blockHash: hash,
    polka: fc.constant(undefined),
    signature,
  }),
  anyPolka
    .filter((one) => one.round < 0xfffffffe)
    .map((of) => ({
      kind: 'proposal' as const,
      height: of.height,
      round: of.round + 1,
      validRound: of.round,
      blockHash: of.blockHash,
      polka: of,
      signature: of.signature,
    })),
)
const anyRoundCert = fc
  .record({ height, round: fc.nat(0xfffffffe), hashes: fc.uniqueArray(hash, { minLength: 1, maxLength: 16 }), bitmap, signature })
  .map(({ height: of, round, hashes, bitmap: bits, signature: sum }) => ({
    kind: 'roundCert' as const,
    height: of,
    round,
    entries: hashes.sort().map((blockHash) => ({ kind: 'precommit' as const, validRound: -1, blockHash, bitmap: bits })),
    signature: sum,
  }))

test('every message survives the wire', () => {
  fc.assert(
    fc.property(fc.oneof(anyPolka, anyCommit, anyVote, anyProposal, anyRoundCert), (message: Message) => {
      expect(decodeMessage(encodeMessage(message))).toEqual({ ok: true, value: message })
    }),
    { numRuns: 300 },
  )
})

test('a hello is signed for one network and one peer', () => {
  const genesisHash: Hex = `0x${'ab'.repeat(32)}`
  const packed = (peerId: string) => keccak256(encodePacked(['uint8', 'bytes32', 'string'], [5, genesisHash, peerId]), 'bytes')
  expect(helloDigest(genesisHash, '12D3KooW')).toEqual(packed('12D3KooW'))
  expect(helloDigest(genesisHash, '12D3KooX')).not.toEqual(packed('12D3KooW'))
})
