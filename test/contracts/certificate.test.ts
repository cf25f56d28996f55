/**
 * Certificates that consensus makes hold in the registry on L1, and what one side refuses the other refuses too, for the same reason. The contract was
 * written from docs/spec/consensus.md; each case here is put to both.
 */
import fc from 'fast-check'
import { bytesToHex, hexToBytes } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { aggregateSignatures, sign } from '../../consensus/bls.ts'
import { buildCommit, type Commit, encodeCommit, readCommit, verifyCommit } from '../../consensus/certificate.ts'
import { NIL, type Statement, statementDigest } from '../../consensus/digest.ts'
import type { Vote } from '../../consensus/message.ts'
import type { ValidatorSet } from '../../consensus/validatorSet.ts'
import { decodeExactly } from '../../consensus/wire.ts'
import { validatorRegistryAbi } from '../../settlement/abi.ts'
import { blockHash, CHAIN_ID, secretKey, setOf } from '../consensus/fixtures.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../fakes/anvil.ts'
import { type StageClient, stageClient } from '../fakes/l1Stage.ts'
import { deployRegistryAlone, type RegistryAlone } from './validatorRegistry.ts'

let anvil: Anvil
let client: StageClient
/** Weights 5, 3, 2, 1: a quorum is 8. */
const SET = setOf([5, 3, 2, 1])
let registry: RegistryAlone

beforeAll(async () => {
  anvil = await startAnvil()
  client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  registry = await deployRegistryAlone(client, SET)
})
afterAll(() => anvil?.stop())

const STATEMENT: Statement = { kind: 'precommit', height: 9, round: 2, validRound: -1, blockHash: blockHash(0xa) }

/** A commit of these signers, who really signed `statement` for `domain`. */
function commitOf(
  set: ValidatorSet,
  signers: readonly number[],
  statement: Statement = STATEMENT,
  domain = { chainId: CHAIN_ID, epoch: set.epoch },
): Commit {
  const votes = signers.map(
    (validator): Vote => ({
      ...statement,
      kind: 'precommit',
      validator,
      signature: sign(secretKey(validator), statementDigest(domain, statement)),
    }),
  )
  return { ...buildCommit(set, votes, aggregateSignatures), blockHash: statement.blockHash }
}

/** What this side says: as a node does that reads the commit from the wire. */
function verdictHere(set: ValidatorSet, commit: Commit): string {
  const read = decodeExactly(encodeCommit(commit), 1_024, readCommit)
  if (!read.ok) return read.code
  const verdict = verifyCommit(set, read.value, CHAIN_ID)
  return verdict.ok ? 'ok' : verdict.code
}

/** The contract's error for a code of this side. */
const ERROR_OF: Readonly<Record<string, string>> = {
  ok: 'ok',
  nilBlock: 'NilBlock',
  roundRange: 'RoundOutOfRange',
  numberRange: 'HeightOutOfRange',
  bitmapSize: 'BitmapSize',
  bitBeyondSet: 'BitBeyondSet',
  weightTooLow: 'WeightTooLow',
  badSignature: 'BadSignature',
}

async function bothSay(at: RegistryAlone, set: ValidatorSet, commit: Commit): Promise<string> {
  const here = verdictHere(set, commit)
  expect({ commit, l1: await at.checkCommit(commit) }).toEqual({ commit, l1: ERROR_OF[here] })
  return here
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i)

test.each([1, 4, 7, 100])('a certificate of %i validators holds on L1, signed by all and by a bare quorum', async (n) => {
  const set = setOf(Array(n).fill(1))
  const own = await deployRegistryAlone(client, set)
  const [hash] = await client.readContract({ address: own.address, abi: validatorRegistryAbi, functionName: 'setOf', args: [0] })
  expect(hash).toBe(set.hash)
  const quorum = Math.floor((n * 2) / 3) + 1
  const all = commitOf(set, range(n))
  const bare = commitOf(set, range(n).slice(-quorum))
  expect(await bothSay(own, set, all)).toBe('ok')
  expect(await bothSay(own, set, bare)).toBe('ok')
  if (n > 1) expect(await bothSay(own, set, commitOf(set, range(quorum - 1)))).toBe('weightTooLow')
  const gas = { all: await own.commitGas(all), quorum: await own.commitGas(bare), open: own.openGas }
  process.stdout.write(`gas of a certificate of ${n}: all signed ${gas.all}, a bare quorum ${gas.quorum}; its set opened ${gas.open}\n`)
  expect(gas.all).toBeLessThan(230_000n)
  expect(gas.quorum).toBeLessThan(300_000n)
})

test('weights count, and not heads', async () => {
  expect(await bothSay(registry, SET, commitOf(SET, [0, 1]))).toBe('ok')
  expect(await bothSay(registry, SET, commitOf(SET, [0, 2, 3]))).toBe('ok')
  expect(await bothSay(registry, SET, commitOf(SET, [0, 2]))).toBe('weightTooLow')
  expect(await bothSay(registry, SET, commitOf(SET, [1, 2, 3]))).toBe('weightTooLow')
})

test('exactly two thirds are no quorum', async () => {
  const set = setOf([1, 1, 1])
  expect(await bothSay(await deployRegistryAlone(client, set), set, commitOf(set, [0, 1]))).toBe('weightTooLow')
})

const good = commitOf(SET, [0, 1])
const infinity = Uint8Array.from({ length: 96 }, (_, i) => (i === 0 ? 0xc0 : 0))
/** x = 2, a point of the curve (found by trial of the first x that is one), which is not in the group. */
const outsideGroup = hexToBytes(`0x80${'00'.repeat(46)}00${'00'.repeat(47)}02`)

const WRONG: { it: string; commit: Commit; code: string }[] = [
  { it: 'names another signer', commit: { ...good, bitmap: Uint8Array.of(0b1101) }, code: 'badSignature' },
  { it: 'names a signer more', commit: { ...good, bitmap: Uint8Array.of(0b0111) }, code: 'badSignature' },
  { it: 'names nobody', commit: { ...good, bitmap: Uint8Array.of(0) }, code: 'weightTooLow' },
  { it: 'names swapped signers', commit: { ...commitOf(SET, [0, 2, 3]), bitmap: Uint8Array.of(0b0111) }, code: 'badSignature' },
  { it: 'has a bit beyond the set', commit: { ...good, bitmap: Uint8Array.of(0b10011) }, code: 'bitBeyondSet' },
  { it: 'has the last bit of the byte', commit: { ...good, bitmap: Uint8Array.of(0b10000011) }, code: 'bitBeyondSet' },
  { it: 'has a byte too many in its bitmap', commit: { ...good, bitmap: Uint8Array.of(0b0011, 0) }, code: 'bitmapSize' },
  { it: 'is of another block', commit: { ...good, blockHash: blockHash(0xb) }, code: 'badSignature' },
  { it: 'is of another height', commit: { ...good, height: 10 }, code: 'badSignature' },
  { it: 'is of another round', commit: { ...good, round: 1 }, code: 'badSignature' },
  { it: 'is of another chain', commit: commitOf(SET, [0, 1], STATEMENT, { chainId: CHAIN_ID + 1, epoch: 0 }), code: 'badSignature' },
  { it: 'is of another epoch', commit: commitOf(SET, [0, 1], STATEMENT, { chainId: CHAIN_ID, epoch: 1 }), code: 'badSignature' },
  { it: 'is of prevotes', commit: commitOf(SET, [0, 1], { ...STATEMENT, kind: 'prevote' }), code: 'badSignature' },
  { it: 'is of no block', commit: commitOf(SET, [0, 1], { ...STATEMENT, blockHash: NIL }), code: 'nilBlock' },
  { it: 'is of a round that is none', commit: { ...good, round: 2 ** 32 - 1 }, code: 'roundRange' },
  { it: 'is of the last round', commit: commitOf(SET, [0, 1], { ...STATEMENT, round: 2 ** 32 - 2 }), code: 'ok' },
  { it: 'is of the highest height', commit: commitOf(SET, [0, 1], { ...STATEMENT, height: 2 ** 53 - 1 }), code: 'ok' },
  { it: 'has the signature at infinity', commit: { ...good, signature: infinity }, code: 'badSignature' },
  { it: 'has zeros for a signature', commit: { ...good, signature: new Uint8Array(96) }, code: 'badSignature' },
  { it: 'has a signature outside the group', commit: { ...good, signature: outsideGroup }, code: 'badSignature' },
  { it: 'has one signer’s signature alone', commit: { ...good, signature: commitOf(SET, [0]).signature }, code: 'badSignature' },
  {
    it: 'adds a signer’s signature twice',
    commit: { ...good, signature: aggregateSignatures([good.signature, commitOf(SET, [1]).signature]) },
    code: 'badSignature',
  },
  { it: 'has the other point of its x', commit: { ...good, signature: flipBit(good.signature, 2) }, code: 'badSignature' },
]

for (const { it, commit, code } of WRONG) {
  test(`a certificate that ${it}: ${code}, on L1 as here`, async () => {
    expect(await bothSay(registry, SET, commit)).toBe(code)
  })
}

test('on L1 the set follows from the height: the certificate of an epoch that is not known there is refused', async () => {
  const own = await deployRegistryAlone(client, SET, 10)
  expect(await own.checkCommit(commitOf(SET, [0, 1], { ...STATEMENT, height: 10 }))).toBe('ok')
  expect(await own.checkCommit(commitOf(SET, [0, 1], { ...STATEMENT, height: 11 }))).toBe('UnknownEpoch')
})

test('random sets, signers and changes: both sides say the same', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 2 ** 40 })), { minLength: 1, maxLength: 20 }),
      fc.array(fc.tuple(fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }), fc.nat(5), fc.nat(10_000)), {
        minLength: 6,
        maxLength: 6,
      }),
      async (weights, cases) => {
        const set = setOf(weights)
        const own = await deployRegistryAlone(client, set)
        for (const [picks, change, at] of cases) {
          const signers = weights.flatMap((_, i) => (picks[i] === true ? [i] : []))
          if (signers.length > 0) await bothSay(own, set, changed(commitOf(set, signers), change, at))
        }
      },
    ),
    { numRuns: 12 },
  ))

/** A commit that may be good, or has one part changed by the random place. */
function changed(commit: Commit, change: number, at: number): Commit {
  if (change === 2) return { ...commit, bitmap: flipBit(commit.bitmap, at % (8 * commit.bitmap.length)) }
  if (change === 3) return { ...commit, signature: flipBit(commit.signature, at % (8 * commit.signature.length)) }
  if (change === 4) return { ...commit, height: commit.height + at }
  if (change === 5) return { ...commit, blockHash: bytesToHex(flipBit(hexToBytes(commit.blockHash), at % 256)) }
  return commit
}

function flipBit(bytes: Uint8Array, at: number): Uint8Array {
  const out = bytes.slice()
  out[at >> 3] = (out[at >> 3] ?? 0) ^ (0x80 >> (at & 7))
  return out
}
