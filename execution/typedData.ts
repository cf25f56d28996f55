/**
 * EIP-712 as this chain uses it: one name and version, the chain's id, and the door or verifier that a message is for.
 * Spec: docs/spec/transactions.md#native-wire-form, docs/spec/receipts.md
 */
import { type Hex, numberToBytes, stringToBytes } from 'viem'
import { writeHex } from './hex.ts'
import { keccak256 } from './keccak.ts'

/** Name and version in the domain of everything that is signed for this chain. */
export const DOMAIN_NAME = 'Tributary'
export const DOMAIN_VERSION = '1'

const DOMAIN_TYPE_HASH = keccak256(stringToBytes('EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)'))
const DOMAIN_NAME_HASH = keccak256(stringToBytes(DOMAIN_NAME))
const DOMAIN_VERSION_HASH = keccak256(stringToBytes(DOMAIN_VERSION))

/** Chains of a verifier, and verifiers, whose separators are remembered: a node knows one chain, so only hostile chain ids could make more of them. */
const REMEMBERED_MAX = 32
const separators = new Map<Hex, Map<number, Uint8Array>>()

/** EIP-712 domain separator of a door or verifier on a chain. */
export function domainSeparator(chainId: number, verifyingContract: Hex): Uint8Array {
  const ofContract = separators.get(verifyingContract)
  const known = ofContract?.get(chainId)
  if (known) return known
  const words = new Uint8Array(160)
  words.set(DOMAIN_TYPE_HASH)
  words.set(DOMAIN_NAME_HASH, 32)
  words.set(DOMAIN_VERSION_HASH, 64)
  words.set(numberToBytes(chainId, { size: 32 }), 96)
  writeHex(verifyingContract, words, 140)
  const separator = keccak256(words)
  if (!ofContract && separators.size < REMEMBERED_MAX) separators.set(verifyingContract, new Map([[chainId, separator]]))
  if (ofContract && ofContract.size < REMEMBERED_MAX) ofContract.set(chainId, separator)
  return separator
}

/** 0x1901 ‖ domain separator ‖ struct hash: hashed before it is written again. */
const preimage = new Uint8Array(66)
preimage.set([0x19, 0x01])

/** EIP-712 digest: keccak256(0x1901 ‖ domain separator ‖ struct hash). */
export function typedDataDigest(separator: Uint8Array, structHash: Uint8Array): Uint8Array {
  preimage.set(separator, 2)
  preimage.set(structHash, 34)
  return keccak256(preimage)
}
