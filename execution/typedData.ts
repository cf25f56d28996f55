/**
 * EIP-712 as this chain uses it: one name and version, the chain's id, and the door or verifier that a message is for.
 * Spec: docs/spec/transactions.md#native-wire-form, docs/spec/receipts.md
 */
import { type Hex, hexToBytes, numberToBytes, stringToBytes } from 'viem'
import { keccak256 } from './keccak.ts'

/** Name and version in the domain of everything that is signed for this chain. */
export const DOMAIN_NAME = 'Tributary'
export const DOMAIN_VERSION = '1'

const DOMAIN_TYPE_HASH = keccak256(stringToBytes('EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)'))
const DOMAIN_NAME_HASH = keccak256(stringToBytes(DOMAIN_NAME))
const DOMAIN_VERSION_HASH = keccak256(stringToBytes(DOMAIN_VERSION))

/** Separators remembered; a node knows one chain, so only hostile chain ids could make more of them. */
const SEPARATORS_MAX = 1_000
const separators = new Map<string, Uint8Array>()

/** EIP-712 domain separator of a door or verifier on a chain. */
export function domainSeparator(chainId: number, verifyingContract: Hex): Uint8Array {
  const key = `${chainId}:${verifyingContract}`
  const known = separators.get(key)
  if (known) return known
  const words = new Uint8Array(160)
  words.set(DOMAIN_TYPE_HASH)
  words.set(DOMAIN_NAME_HASH, 32)
  words.set(DOMAIN_VERSION_HASH, 64)
  words.set(numberToBytes(chainId, { size: 32 }), 96)
  words.set(hexToBytes(verifyingContract), 140)
  const separator = keccak256(words)
  if (separators.size < SEPARATORS_MAX) separators.set(key, separator)
  return separator
}

/** EIP-712 digest: keccak256(0x1901 ‖ domain separator ‖ struct hash). */
export function typedDataDigest(separator: Uint8Array, structHash: Uint8Array): Uint8Array {
  const preimage = new Uint8Array(66)
  preimage[0] = 0x19
  preimage[1] = 0x01
  preimage.set(separator, 2)
  preimage.set(structHash, 34)
  return keccak256(preimage)
}
