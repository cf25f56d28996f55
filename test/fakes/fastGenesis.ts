/** Validators with known keys on a chain of short blocks. */
import { type BlsSecretKey, deriveSecretKey, publicKeyOf } from '../../consensus/bls.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import { testGenesis } from './testChain.ts'

/** The secret key of validator `index`. */
export function secretOf(index: number): BlsSecretKey {
  return deriveSecretKey(new Uint8Array(32).fill(index + 1))
}

/** A chain that begins now, of these validators, all of the same weight: a block every 20 to 100 ms. */
export function fastGenesis(indexes: readonly number[]): Genesis {
  return {
    ...testGenesis({ minBlockIntervalMs: 20, maxBlockIntervalMs: 100 }),
    timestampMs: Date.now(),
    validators: indexes.map((index) => ({
      address: `0x${`c${index}`.repeat(20)}`,
      blsPublicKey: publicKeyOf(secretOf(index)),
      weight: 1,
      feeRecipient: `0x${`d${index}`.repeat(20)}`,
    })),
  }
}
