/** What a validator shows the registry when it comes: its key, and that it holds it. */
import type { Hex } from 'viem'
import { parsePublicKey, provePossession, publicKeyOf, uncompressedKey, uncompressedSignature } from '../../consensus/bls.ts'
import { toL1Key, toL1Signature } from '../../settlement/registry.ts'
import { CHAIN_ID, secretKey } from '../consensus/fixtures.ts'

/** The key of this number of test/consensus/fixtures.ts, as the registry takes it. */
export function keyOf(index: number) {
  const key = parsePublicKey(publicKeyOf(secretKey(index)))
  if (!key) throw new Error('a key of ours is none')
  return toL1Key(uncompressedKey(key))
}

/** Its signature by which `owner` shows that it holds the key. */
export function possessionOf(index: number, owner: Hex, chainId = CHAIN_ID): Hex {
  const point = toL1Signature(provePossession(secretKey(index), chainId, owner), uncompressedSignature)
  if (!point) throw new Error('a signature of ours is none')
  return point
}
