/** Who is paid for the records that a model's snapshots hold, as the ledger says it. Spec: docs/spec/attribution.md#shares */
import type { Ledger } from '../ledger/ledger.ts'
import { uploads } from '../ledger/tables.ts'
import type { ShareContext } from './shares.ts'

/** A datanet of a model, as its record has it. */
export type ModelDatanet = {
  readonly datanetId: number
  readonly snapshotRoot: `0x${string}`
  readonly uploadCount: number
  readonly recordCount: number
}

/** What the arithmetic of shares needs of these datanets. Reads one upload a span. */
export function shareContextOf(ledger: Ledger, datanets: readonly ModelDatanet[]): ShareContext {
  return {
    recordCount: datanets.reduce((sum, { recordCount }) => sum + recordCount, 0),
    sourceOf({ datanet, uploadIndex }) {
      const known = datanets[datanet]
      if (!known || uploadIndex >= known.uploadCount) return undefined
      const upload = uploads.get(ledger, { datanetId: known.datanetId, uploadIndex })
      return upload && upload.qualityBps > 0 ? upload : undefined
    },
  }
}
