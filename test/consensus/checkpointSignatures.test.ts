/** Signatures of a checkpoint: what is signed, their bytes, and what a quorum of them makes. Spec: docs/spec/settlement.md#who-signs */
import fc from 'fast-check'
import { concatHex, encodePacked, hexToBytes, keccak256, numberToHex, toHex } from 'viem'
import { expect, test } from 'vitest'
import { sign } from '../../consensus/bls.ts'
import {
  createGathering,
  decodeCheckpointSignature,
  decodeCheckpointSigners,
  encodeCheckpointSignature,
  encodeCheckpointSigners,
  verifyCheckpointCertificate,
} from '../../consensus/checkpointSignatures.ts'
import { checkpointDigest, helloDigest, NIL, possessionDigest, statementDigest } from '../../consensus/digest.ts'
import { SIGNERS_BYTES_MAX } from '../../p2p/wire.ts'
import { blockHash, CHAIN_ID, FAKE_SIGNATURE, secretKey, setOf } from './fixtures.ts'

const DOMAIN = { l1ChainId: 31_337, manager: `0x${'a4'.repeat(20)}` } as const
const HASH = blockHash(7)
const DIGEST = checkpointDigest(DOMAIN, HASH)
const signatureOf = (index: number, digest = DIGEST) => sign(secretKey(index), digest)

test('what is signed names the checkpoint, its manager and the manager’s chain', () => {
  const written = encodePacked(['uint8', 'uint64', 'address', 'bytes32'], [6, 31_337n, DOMAIN.manager, HASH])
  expect(toHex(DIGEST)).toBe(keccak256(written))
  const others = [
    checkpointDigest({ ...DOMAIN, l1ChainId: 1 }, HASH),
    checkpointDigest({ ...DOMAIN, manager: `0x${'a5'.repeat(20)}` }, HASH),
    checkpointDigest(DOMAIN, blockHash(8)),
  ]
  expect(new Set([DIGEST, ...others].map((digest) => toHex(digest))).size).toBe(4)
})

test('it can be taken for nothing else that a validator signs: what is hashed begins with a byte of its own', () => {
  const domain = { chainId: CHAIN_ID, epoch: 0 }
  const said = { height: 1, round: 1, validRound: -1, blockHash: HASH }
  const key = toHex(new Uint8Array(48))
  const tag = (n: number, rest: `0x${string}`) => keccak256(concatHex([numberToHex(n, { size: 1 }), rest]))
  const body = encodePacked(['uint64', 'uint32', 'uint64', 'uint32', 'uint32', 'bytes32'], [BigInt(CHAIN_ID), 0, 1n, 1, 0, HASH])
  for (const [n, kind] of [
    [1, 'proposal'],
    [2, 'prevote'],
    [3, 'precommit'],
  ] as const)
    expect(toHex(statementDigest(domain, { kind, ...said }))).toBe(tag(n, body))
  expect(toHex(possessionDigest(CHAIN_ID, DOMAIN.manager, key))).toBe(
    tag(4, encodePacked(['uint64', 'address', 'bytes'], [BigInt(CHAIN_ID), DOMAIN.manager, key])),
  )
  expect(toHex(helloDigest(NIL, 'peer'))).toBe(tag(5, encodePacked(['bytes32', 'string'], [NIL, 'peer'])))
})

test('a signature has one form', () => {
  const one = { lastBlock: 9, checkpointHash: HASH, signature: FAKE_SIGNATURE }
  const bytes = encodeCheckpointSignature(one)
  expect(toHex(bytes)).toBe(concatHex([numberToHex(9, { size: 8 }), HASH, toHex(FAKE_SIGNATURE)]))
  expect(decodeCheckpointSignature(bytes)).toEqual({ ok: true, value: one })
  expect(decodeCheckpointSignature(bytes.slice(1))).toMatchObject({ ok: false, code: 'truncated' })
  expect(decodeCheckpointSignature(Uint8Array.of(...bytes, 0))).toMatchObject({ ok: false, code: 'oversize' })
  expect(decodeCheckpointSignature(Uint8Array.of(255, ...bytes.slice(1)))).toMatchObject({ ok: false, code: 'numberRange' })
})

test('a quorum’s signatures have one form', () => {
  const certificate = { bitmap: Uint8Array.of(0b1011), signature: FAKE_SIGNATURE }
  const one = { lastBlock: 9, checkpointHash: HASH, certificate }
  const bytes = encodeCheckpointSigners(one)
  expect(toHex(bytes)).toBe(concatHex([numberToHex(9, { size: 8 }), HASH, '0x00010b', toHex(FAKE_SIGNATURE)]))
  expect(decodeCheckpointSigners(bytes)).toEqual({ ok: true, value: one })
  expect(decodeCheckpointSigners(Uint8Array.of(...bytes, 0))).toMatchObject({ ok: false, code: 'trailingBytes' })
  expect(decodeCheckpointSigners(bytes.slice(0, -1))).toMatchObject({ ok: false, code: 'truncated' })
  const wide = { ...one, certificate: { ...certificate, bitmap: new Uint8Array(16) } }
  expect(encodeCheckpointSigners(wide)).toHaveLength(SIGNERS_BYTES_MAX)
  expect(decodeCheckpointSigners(new Uint8Array(SIGNERS_BYTES_MAX + 1))).toMatchObject({ ok: false, code: 'oversize' })
})

test('a quorum’s signatures are a certificate that is verified in one go, and none before', () => {
  const set = setOf([5, 3, 2, 1])
  const gathering = createGathering(set, DIGEST)
  expect([gathering.add(1, signatureOf(1)), gathering.add(1, signatureOf(1)), gathering.add(3, signatureOf(3))]).toEqual([
    true,
    false,
    true,
  ])
  expect([gathering.verify(), gathering.certificate(), gathering.count()]).toEqual([[], undefined, 2])
  expect(gathering.add(0, signatureOf(0))).toBe(true)
  expect(gathering.verify()).toEqual([])
  const certificate = gathering.certificate()
  if (!certificate) throw new Error('nine of eleven are a quorum')
  expect(certificate.bitmap).toEqual(Uint8Array.of(0b1011))
  expect(verifyCheckpointCertificate(set, DIGEST, certificate)).toEqual({ ok: true })
  expect(verifyCheckpointCertificate(set, checkpointDigest(DOMAIN, blockHash(8)), certificate)).toEqual({ ok: false, code: 'badSignature' })
  expect(verifyCheckpointCertificate(set, DIGEST, { ...certificate, bitmap: Uint8Array.of(0b0111) })).toEqual({
    ok: false,
    code: 'badSignature',
  })
  expect(verifyCheckpointCertificate(set, DIGEST, { ...certificate, bitmap: Uint8Array.of(0b1010) })).toMatchObject({
    code: 'weightTooLow',
  })
})

test('bad signatures are found whoever gives them, and keep no quorum from the others', () => {
  const set = setOf([1, 1, 1, 1, 1, 1, 1])
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { maxLength: 2 }), fc.constantFrom(0, 1, 2), (bad, how) => {
      const wrong = [FAKE_SIGNATURE, hexToBytes(`0xc0${'00'.repeat(95)}`), signatureOf(6, checkpointDigest(DOMAIN, blockHash(8)))]
      const gathering = createGathering(set, DIGEST)
      const found: number[] = []
      for (let i = 0; i < 7; i++) {
        gathering.add(i, bad.includes(i) ? (wrong[how] ?? FAKE_SIGNATURE) : signatureOf(i))
        found.push(...gathering.verify())
      }
      const certificate = gathering.certificate()
      if (!certificate) throw new Error('five of seven are a quorum')
      expect(verifyCheckpointCertificate(set, DIGEST, certificate)).toEqual({ ok: true })
      for (const one of found) expect(bad).toContain(one)
    }),
    { numRuns: 30 },
  )
})

test('who gave a bad one may give a good one', () => {
  const gathering = createGathering(setOf([1]), DIGEST)
  gathering.add(0, FAKE_SIGNATURE)
  expect([gathering.verify(), gathering.count()]).toEqual([[0], 0])
  expect(gathering.add(0, signatureOf(0))).toBe(true)
  gathering.verify()
  expect(gathering.certificate()?.bitmap).toEqual(Uint8Array.of(1))
})
