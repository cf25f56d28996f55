/**
 * Up to where L1 was read, over a restart: a block that L1 has made final, and what the blocks up to it hold in all. What comes after it is read anew, so it
 * has to be no further than what was made of it is kept elsewhere (node/safeChain.ts).
 */
import { isHash } from 'viem'
import type { L1Ref } from '../settlement/l1Logs.ts'
import type { L1Totals } from './l1Follower.ts'
import { settledBatches } from './safeChain.ts'
import type { Store } from './store.ts'

/** Where it stands in the store. */
const META = 'l1'

export type L1Place = { readonly block: L1Ref; readonly totals: L1Totals }

/** The place of an earlier run; undefined: none that can be gone on from, and everything is read again, which is right if slow. */
export function readL1Place(store: Pick<Store, 'meta'>): L1Place | undefined {
  const bytes = store.meta(META)
  if (!bytes) return undefined
  try {
    const place: L1Place = JSON.parse(new TextDecoder().decode(bytes), (_, value) =>
      typeof value === 'string' && /^\d{1,20}n$/.test(value) ? BigInt(value.slice(0, -1)) : value,
    )
    const isWhole = isHash(place.block.hash) && typeof place.block.number === 'bigint' && typeof place.totals.checkpointed === 'bigint'
    return isWhole && BigInt(place.totals.batches) <= settledBatches(store) ? place : undefined
  } catch {
    return undefined // damaged, or of another form
  }
}

/** Keeps a place, unless batches up to it are not judged and kept yet. On disk when this resolves. */
export async function keepL1Place(store: Pick<Store, 'meta' | 'writeMeta'>, place: L1Place): Promise<void> {
  if (BigInt(place.totals.batches) > settledBatches(store)) return
  const text = JSON.stringify(place, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
  await store.writeMeta(META, new TextEncoder().encode(text))
}
