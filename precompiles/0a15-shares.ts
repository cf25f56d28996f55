/** 0x…0a15: what an attribution record comes to, for a model: the arithmetic that credits and disputes go by. Spec: docs/spec/attribution.md#verifiers */
import type { Hex } from 'viem'
import { type AttributionRecord, decodeAttribution } from '../execution/attribution/attributionRecord.ts'
import { sharesOf } from '../execution/attribution/shares.ts'
import { shareContextOf } from '../execution/attribution/sources.ts'
import { fromHex } from '../execution/hex.ts'
import { models } from '../execution/ledger/tables.ts'
import { ATTRIBUTION_CODE, sharesVerifierAbi } from '../execution/native/doorAbi.ts'
import { BPS, VERIFIER } from '../genesis/params.ts'
import { evidenceGas } from './0a13-span.ts'
import { createDoor, RECORD_GAS } from './door.ts'

const BASE_GAS = 2_000n
/** Of a span, besides the upload that is read for it. */
const SPAN_GAS = 300n

/** The shares verifier. */
export const sharesVerifier = createDoor({
  address: VERIFIER.shares,
  abi: sharesVerifierAbi,
  views: {
    attribute: {
      gas: ({ record }) => BASE_GAS + RECORD_GAS + evidenceGas(record),
      gasOfParts: ({ record }) => spansGas(decodeRecord(record)),
      read({ ledger }, { modelId, record }) {
        const decoded = decodeRecord(record)
        const nothing = { matchedWords: 0, accounts: [], sharesBps: [], poolBps: BPS }
        if (!decoded) return { code: ATTRIBUTION_CODE.malformed, ...nothing }
        const model = models.get(ledger, { modelId })
        if (!model) return { code: ATTRIBUTION_CODE.unknownModel, ...nothing }
        const { matchedWords, accounts, poolBps } = sharesOf(decoded, shareContextOf(ledger, model.datanets))
        return {
          code: ATTRIBUTION_CODE.ok,
          matchedWords,
          accounts: accounts.map(({ account }) => account),
          sharesBps: accounts.map(({ bps }) => bps),
          poolBps,
        }
      },
    },
  },
})

function decodeRecord(record: Hex): AttributionRecord | undefined {
  return decodeAttribution(fromHex(record))
}

/** Each span reads an upload, and is laid over its words of the output. */
function spansGas(record: AttributionRecord | undefined): bigint {
  const spans = record?.spans ?? []
  const covered = spans.reduce((sum, { length }) => sum + length, 0)
  return BigInt(spans.length) * (RECORD_GAS + SPAN_GAS) + BigInt(covered + (record?.outputWords ?? 0))
}
