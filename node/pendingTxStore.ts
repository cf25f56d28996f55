/** Where a transaction manager keeps what it has sent: one value in the store for each manager. */
import type { PendingTx, PendingTxStore } from '../settlement/txManager.ts'
import type { Store } from './store.ts'
import { StoreError } from './store.ts'

/** The place of the manager of this name. Loading throws StoreError if somebody else wrote there. */
export function createPendingTxStore(store: Store, name: string): PendingTxStore {
  const key = `pending-${name}`
  return {
    async load() {
      const bytes = store.meta(key)
      if (!bytes) return undefined
      const { nonce, raw, hashes } = JSON.parse(new TextDecoder().decode(bytes)) as {
        nonce: string
        raw: PendingTx['raw']
        hashes: PendingTx['hashes']
      }
      if (typeof nonce !== 'string' || typeof raw !== 'string' || !Array.isArray(hashes))
        throw new StoreError(`the pending transaction ${name} is damaged`)
      return { nonce: BigInt(nonce), raw, hashes }
    },
    save: ({ nonce, raw, hashes }) =>
      store.writeMeta(key, new TextEncoder().encode(JSON.stringify({ nonce: nonce.toString(), raw, hashes }))),
    clear: () => store.writeMeta(key, undefined),
  }
}
