/** 0x…0a14: the longest run of words from the first on that stands in a snapshot, by its committed suffix array. Spec: docs/spec/attribution.md#verifiers */
import { decodeOpening, splitWords } from '../execution/attribution/opening.ts'
import { decodeLongestProof, verifyLongest } from '../execution/attribution/suffixProof.ts'
import { fromHex } from '../execution/hex.ts'
import { ATTRIBUTION_CODE, longestVerifierAbi } from '../execution/native/doorAbi.ts'
import { VERIFIER } from '../genesis/params.ts'
import { evidenceGas, leavesGas } from './0a13-span.ts'
import { createDoor } from './door.ts'

const BASE_GAS = 12_000n

/** The longest-match verifier. */
export const longestVerifier = createDoor({
  address: VERIFIER.longest,
  abi: longestVerifierAbi,
  views: {
    verifyLongest: {
      gas: ({ proof, words }) => BASE_GAS + evidenceGas(proof, words),
      gasOfParts({ proof }) {
        const decoded = decodeLongestProof(fromHex(proof))
        return decoded ? leavesGas(decodeOpening(fromHex(decoded.lower))) + leavesGas(decodeOpening(fromHex(decoded.upper))) : 0n
      },
      read(_call, { suffixRoot, snapshotRoot, proof, words }) {
        const decoded = decodeLongestProof(fromHex(proof))
        const query = splitWords(fromHex(words))
        if (!decoded || !query) return { code: ATTRIBUTION_CODE.malformed, length: 0 }
        const found = verifyLongest({ suffixRoot, snapshotRoot }, query, decoded)
        if (!found.ok) return { code: ATTRIBUTION_CODE[found.code], length: 0 }
        return { code: ATTRIBUTION_CODE.ok, length: found.length }
      },
    },
  },
})
