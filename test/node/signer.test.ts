import { concatBytes, hexToBytes, stringToBytes } from 'viem'
import { expect, test } from 'vitest'
import { parsePublicKey, publicKeyOf, verifySignature } from '../../consensus/bls.ts'
import { helloDigest, statementDigest } from '../../consensus/digest.ts'
import { assert } from '../../execution/assert.ts'
import { keccak256 } from '../../execution/keccak.ts'
import { createLocalSigner, SignerError } from '../../node/signer.ts'
import { blockHash, CHAIN_ID, fakeProposal, fakeVote, secretKey } from '../consensus/fixtures.ts'

const KEY = { secret: secretKey(0), publicKey: publicKeyOf(secretKey(0)) }
const signer = createLocalSigner(KEY, { chainId: CHAIN_ID, epochOf: (height) => Math.floor(height / 10) })
const publicKey = parsePublicKey(KEY.publicKey)
assert(publicKey)

test('a signature is over the statement in the domain of its chain and of the epoch of its height', async () => {
  for (const message of [fakeVote({ kind: 'prevote', validator: 0, height: 25 }), fakeProposal({ height: 25, blockHash: blockHash(4) })]) {
    const signature = await signer.sign(message)
    expect(verifySignature(publicKey, statementDigest({ chainId: CHAIN_ID, epoch: 2 }, message), signature)).toBe(true)
    expect(verifySignature(publicKey, statementDigest({ chainId: CHAIN_ID, epoch: 1 }, message), signature)).toBe(false)
  }
})

test('a hello is of one chain and one peer', async () => {
  const signature = await signer.signHello(blockHash(1), '12D3KooWtest')
  expect(verifySignature(publicKey, helloDigest(blockHash(1), '12D3KooWtest'), signature)).toBe(true)
  expect(verifySignature(publicKey, helloDigest(blockHash(1), '12D3KooWtesu'), signature)).toBe(false)
  expect(verifySignature(publicKey, helloDigest(blockHash(2), '12D3KooWtest'), signature)).toBe(false)
  const written = concatBytes([Uint8Array.of(5), hexToBytes(blockHash(1)), stringToBytes('12D3KooWtest')])
  expect(helloDigest(blockHash(1), '12D3KooWtest')).toEqual(keccak256(written))
})

test('a closed signer signs nothing', async () => {
  const closed = createLocalSigner(KEY, { chainId: CHAIN_ID, epochOf: () => 0 })
  await closed.close()
  const refusal = closed.sign(fakeVote({ kind: 'precommit', validator: 0 }))
  await expect(refusal).rejects.toBeInstanceOf(SignerError)
  await expect(refusal).rejects.toMatchObject({ code: 'closed', retryable: false })
})
