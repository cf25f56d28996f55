/**
 * Evidence that this node found, told in the blocks that it proposes until the ledger has convicted the validator, or it is too late for that. Every block can
 * hold reports, and proposers take turns: who finds evidence needs nobody to pass it on. Spec: docs/spec/consensus.md#in-blocks
 */
import type { Hex } from 'viem'
import { decodeEvidence, encodeEvidence } from '../consensus/evidence.ts'
import type { BlockResult } from '../execution/applyBlock.ts'
import type { LedgerReader } from '../execution/ledger/ledger.ts'
import { accusedOf } from '../execution/ledger/validators.ts'
import { encodeReport, reportOf } from '../execution/report.ts'
import { type ReportTx, reportTx } from '../execution/tx.ts'
import { type ChainParams, REPORTS_PER_BLOCK_MAX } from '../genesis/params.ts'
import type { EpochSets } from './epochs.ts'
import type { EvidenceStore } from './evidenceStore.ts'
import type { Log } from './log.ts'

/** Where reports for the blocks of this node come from. */
export type ReportSource = {
  /** Reports for a block of this number on a state with this ledger: as many as a block may have. */
  due(ledger: LedgerReader, blockNumber: bigint): readonly ReportTx[]
  /** A report that was due can be in no block after all. */
  refuse(hash: Hex, code: string): void
}

export type ReporterOptions = {
  readonly store: EvidenceStore
  readonly params: Pick<ChainParams, 'epochBlocks'>
  readonly log: Log
}

/** Reports of what the store keeps. What nobody can be convicted by any more is not looked at again in this process. */
export function createReporter({ store, params, log }: ReporterOptions): ReportSource {
  const told = new Map<Hex, string>()

  function dismiss(id: string, code: string): void {
    store.dismiss(id)
    log.info('evidence is reported no more', { id, code })
  }

  return {
    due(ledger, blockNumber) {
      told.clear()
      const reports: ReportTx[] = []
      for (const { id, evidence } of store.unreported()) {
        if (reports.length === REPORTS_PER_BLOCK_MAX) break
        const report = reportOf(encodeEvidence(evidence))
        const accused = accusedOf(ledger, report, { blockNumber, params })
        if (accused.ok) {
          const tx = reportTx(encodeReport(report), report)
          told.set(tx.hash, id)
          reports.push(tx)
        } else if (accused.code !== 'unknownHeight') dismiss(id, accused.code) // it may be of the height that is being decided
      }
      return reports
    },
    refuse(hash, code) {
      const id = told.get(hash)
      if (id !== undefined) dismiss(id, code)
    },
  }
}

/** Keeps what the reports of a final block say, for whoever brings evidence to L1. */
export function keepReported(
  { transactions }: Pick<BlockResult, 'transactions'>,
  { evidence, sets }: { readonly evidence: EvidenceStore; readonly sets: Pick<EpochSets, 'epochOf'> },
): void {
  for (const tx of transactions) {
    const decoded = tx.kind === 'report' ? decodeEvidence(tx.report.evidence) : undefined
    if (decoded?.ok) evidence.add(decoded.value, sets.epochOf(decoded.value.height))
  }
}
