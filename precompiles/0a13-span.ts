/** 0x…0a13: whether words stand at a place of a record, and whose record in which snapshot that is. Spec: docs/spec/attribution.md#verifiers */
import { type Hex, size, zeroAddress } from 'viem'
import { decodeOpening, type RecordOpening, showRecord, splitWords, wordsAt } from '../execution/attribution/opening.ts'
import { fromHex } from '../execution/hex.ts'
import { ATTRIBUTION_CODE, spanVerifierAbi } from '../execution/native/doorAbi.ts'
import { VERIFIER } from '../genesis/params.ts'
import { createDoor } from './door.ts'

const BASE_GAS = 6_000n
/** Of evidence, whose bytes are all decoded and hashed. */
const EVIDENCE_WORD_GAS = 120n
/** Of a leaf of words, which is hashed by itself: leaves of no bytes would be as good as free. Figures: docs/benchmarks.md#gas */
const LEAF_GAS = 120n

/** The span verifier. */
export const spanVerifier = createDoor({
  address: VERIFIER.span,
  abi: spanVerifierAbi,
  views: {
    verifySpan: {
      gas: ({ opening, words }) => BASE_GAS + evidenceGas(opening, words),
      gasOfParts: ({ opening }) => leavesGas(decodeOpening(fromHex(opening))),
      read(_call, { snapshotRoot, opening, offset, words }) {
        const decoded = decodeOpening(fromHex(opening))
        const wanted = splitWords(fromHex(words))
        const nobody = { uploadIndex: 0, record: 0, contributor: zeroAddress, qualityBps: 0 }
        if (!decoded || !wanted) return { code: ATTRIBUTION_CODE.malformed, ...nobody }
        const place = showRecord(snapshotRoot, decoded)
        if (!place) return { code: ATTRIBUTION_CODE.badProof, ...nobody }
        const { upload, record, shown } = place
        const found = wordsAt(shown, offset, wanted.length)
        const isThere = found?.every((word, i) => word === wanted[i]) === true
        return {
          code: isThere ? ATTRIBUTION_CODE.ok : found ? ATTRIBUTION_CODE.otherWords : ATTRIBUTION_CODE.badProof,
          uploadIndex: upload.uploadIndex,
          record: record.record,
          contributor: record.contributor,
          qualityBps: upload.qualityBps,
        }
      },
    },
  },
})

/** Gas of evidence of so many bytes. */
export function evidenceGas(...parts: readonly Hex[]): bigint {
  return parts.reduce((sum, part) => sum + EVIDENCE_WORD_GAS * BigInt(Math.ceil(size(part) / 32)), 0n)
}

/** Gas of the leaves that an opening shows; what is no opening has none. */
export function leavesGas(opening: RecordOpening | undefined): bigint {
  return LEAF_GAS * BigInt(opening?.run.leaves.length ?? 0)
}
