/** Where a transaction manager keeps what it has sent: one value in the store for each manager. */
import { isHash, isHex } from 'viem'
import type { PendingTx, PendingTxStore } from '../settlement/txManager.ts'
import { parseMembers } from './signerWire.ts'
import type { Store } from './store.ts'
import { StoreError } from './store.ts'

/** The place of the manager of this name. Loading throws StoreError if what is there is none. */
export function createPendingTxStore(store: Store, name: string): PendingTxStore {
  const key = `pending-${name}`
  return {
    async load() {
      const bytes = store.meta(key)
      if (!bytes) return undefined
      const pending = pendingOf(parseMembers(new TextDecoder().decode(bytes)) ?? {})
      if (!pending) throw new StoreError(`the pending transaction ${name} is damaged`)
      return pending
    },
    save: ({ nonce, raw, hashes }) =>
      store.writeMeta(key, new TextEncoder().encode(JSON.stringify({ nonce: nonce.toString(), raw, hashes }))),
    clear: () => store.writeMeta(key, undefined),
  }
}

function pendingOf({ nonce, raw, hashes }: Readonly<Record<string, unknown>>): PendingTx | undefined {
  if (
    typeof nonce !== 'string' ||
    !/^\d{1,20}$/.test(nonce) ||
    !isHex(raw) ||
    !Array.isArray(hashes) ||
    !hashes.every((hash) => isHash(hash))
  )
    return undefined
  return { nonce: BigInt(nonce), raw, hashes }
}
