/** 0x…0a11: whether a receipt is in a credited window, by its Merkle path to the credit's `receiptsRoot`. Spec: docs/spec/receipts.md#verifiers */
import { inclusionVerifierAbi } from '../execution/native/doorAbi.ts'
import { verifyInclusion } from '../execution/receipt.ts'
import { VERIFIER } from '../genesis/params.ts'
import { createDoor } from './door.ts'

const BASE_GAS = 300n
/** A node is read and hashed, which together take a thirtieth of a signature recovery. Figures: docs/benchmarks.md#gas */
const NODE_GAS = 100n

/** The inclusion verifier. */
export const inclusionVerifier = createDoor({
  address: VERIFIER.inclusion,
  abi: inclusionVerifierAbi,
  views: {
    verifyInclusion: {
      gas: ({ path }) => BASE_GAS + NODE_GAS * BigInt(path.length),
      read: (_call, claim) => ({ included: verifyInclusion(claim) }),
    },
  },
})
