/** A place in memory for a transaction that is on its way to L1. */
import type { PendingTx, PendingTxStore } from '../../settlement/txManager.ts'

export function createMemoryPendingTx(): PendingTxStore {
  let pending: PendingTx | undefined
  return {
    load: async () => pending,
    save: async (next) => {
      pending = next
    },
    clear: async () => {
      pending = undefined
    },
  }
}
