/**
 * 0x…0a16: whether a P-384 signature is a key's, on a message (hashed with SHA-384, which the EVM has not) or on a hash. AMD's reports and NVIDIA's
 * tokens are signed so. Wire: numbers of 48 bytes, as in EIP-7951 on a wider field. Spec: docs/spec/receipts.md#p-384
 */
import { concat, type Hex, size } from 'viem'
import { fromHex } from '../execution/hex.ts'
import { p384VerifierAbi } from '../execution/native/doorAbi.ts'
import type { Precompile } from '../execution/precompile.ts'
import { VERIFIER } from '../genesis/params.ts'
import { type Curves, type EcdsaClaim, P384_BYTES, verifyP384Hash } from './curves.ts'
import { createDoor } from './door.ts'

/** A verification by a native library that takes messages, and one in JavaScript, against 3,000 for a recovery. Figures: docs/benchmarks.md */
const MESSAGE_GAS = 60_000n
const HASH_GAS = 450_000n

/** The P-384 verifier. */
export function createP384Verifier({ p384 }: Curves): Precompile {
  return createDoor({
    address: VERIFIER.p384,
    abi: p384VerifierAbi,
    views: {
      p384verify: {
        gas: () => HASH_GAS,
        read(_call, args) {
          const claim = readClaim(args)
          return { valid: claim !== undefined && verifyP384Hash(fromHex(args.hash), claim) }
        },
      },
      p384verifyMessage: {
        gas: () => MESSAGE_GAS,
        read(_call, args) {
          const claim = readClaim(args)
          return { valid: claim !== undefined && p384({ ...claim, message: fromHex(args.message) }) }
        },
      },
    },
  })
}

function readClaim({ r, s, x, y }: { readonly [N in 'r' | 's' | 'x' | 'y']: Hex }): Omit<EcdsaClaim, 'message'> | undefined {
  if ([r, s, x, y].some((number) => size(number) !== P384_BYTES)) return undefined
  return { signature: fromHex(concat([r, s])), key: fromHex(concat([x, y])) }
}
