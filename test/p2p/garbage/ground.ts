/** What the two sides of the garbage test agree on: a network, its validators, and the blocks that exist. */
import type { Hex } from 'viem'
import { concatBytes, hexToBytes, keccak256, toHex } from 'viem'
import { parsePublicKey, publicKeyOf, sign, verifySignature } from '../../../consensus/bls.ts'
import { helloDigest } from '../../../consensus/digest.ts'
import type { HelloVerdict } from '../../../p2p/direct.ts'
import type { P2pLog } from '../../../p2p/host.ts'
import { secretKey } from '../../consensus/fixtures.ts'

export const GENESIS_HASH: Hex = `0x${'6b'.repeat(32)}`
export const OTHER_GENESIS_HASH: Hex = `0x${'6c'.repeat(32)}`

/** Index of the validators: the victim, an honest one, and those that attack. */
export const VALIDATOR = { victim: 0, honest: 1, attacker: 2 } as const
const VALIDATORS = 72

/** Heights that the victim has. */
export const HEAD = 64

export const silentLog: P2pLog = { debug() {}, info() {}, warn() {} }

export function helloOf(validator: number, peerId: string, genesisHash = GENESIS_HASH): Uint8Array {
  const key = secretKey(validator)
  return concatBytes([hexToBytes(publicKeyOf(key)), sign(key, helloDigest(genesisHash, peerId))])
}

/** The set's keys, as they are compared: membership before the signature. */
export function createHelloCheck(): (peerId: string, hello: Uint8Array) => HelloVerdict {
  const keys = new Map(Array.from({ length: VALIDATORS }, (_, i) => publicKeyOf(secretKey(i))).map((hex) => [hex, parsePublicKey(hex)]))
  return (peerId, hello) => {
    const hex = toHex(hello.subarray(0, 48))
    const key = keys.get(hex)
    if (!key) return undefined
    return verifySignature(key, helloDigest(GENESIS_HASH, peerId), hello.subarray(48)) ? hex : 'wrong'
  }
}

/** The block of a height: 32 of them are more than a stream takes ahead. */
export function blockOf(height: number): Uint8Array {
  return new Uint8Array(65_536).fill(height % 251)
}

/** Names a transaction so that the victim knows what to think of it: 1 good, 2 known to it, 3 never valid. */
export function txOf(kind: number, name: number, bytes = 120): Uint8Array {
  const tx = new Uint8Array(bytes)
  tx[0] = kind
  tx.set(hexToBytes(keccak256(toHex(name, { size: 8 }))), 1)
  return tx
}
