/** How much of the chain is not on L1, in bytes of its blocks, and how full the next block may therefore be (settlement/throttle.ts). */
import { NO_THROTTLE, nextThrottle } from '../settlement/throttle.ts'
import type { ChainState } from './chainState.ts'
import type { Log } from './log.ts'

/** Blocks that are counted at most: beyond them blocks are as small as they get, whatever their sizes. */
const BLOCKS_MAX = 65_536

export type Backlog = {
  bytes(): number
  /** Bytes of transactions that the next block may take from the pool. */
  poolBytesMax(): number
}

export type BacklogOptions = {
  readonly chain: Pick<ChainState, 'head' | 'nextParams'> & { readonly store: Pick<ChainState['store'], 'blockBytes'> }
  /** Last block that is on L1. */
  safe(): bigint
  /** Whether this node posts. Where it does not, and nobody ever did, there is nothing to wait for: blocks are as large as they may be. */
  readonly isPosting: boolean
  readonly log: Log
}

/** Counts when it is asked. */
export function createBacklog({ chain, safe, isPosting, log }: BacklogOptions): Backlog {
  /** Bytes of the blocks behind `from`, in order. */
  let sizes: number[] = []
  let from = safe()
  let sum = 0
  let throttle = NO_THROTTLE
  let isPosted = isPosting

  function bytes(): number {
    const last = safe()
    // L1 went back, or there is nothing yet.
    if (last < from) [sizes, sum] = [[], 0]
    const gone = last > from ? sizes.splice(0, Number(last - from)) : []
    sum -= gone.reduce((total, size) => total + size, 0)
    from = last
    const head = chain.head().header.number
    // Ends: at the head, which is where it was when this began, or at the bound.
    for (let next = from + BigInt(sizes.length) + 1n; next <= head && sizes.length < BLOCKS_MAX; next++) {
      const size = chain.store.blockBytes(next)?.length ?? 0
      sizes.push(size)
      sum += size
    }
    return sum
  }

  return {
    bytes,
    poolBytesMax() {
      isPosted ||= safe() > 0n
      const backlogBytes = isPosted ? bytes() : 0
      const before = throttle
      throttle = nextThrottle(before, backlogBytes)
      if (throttle.isOn !== before.isOn)
        log.warn(throttle.isOn ? 'blocks are smaller: too much is not on L1' : 'blocks are as large as before', { backlogBytes })
      return Math.floor(chain.nextParams().blockBytesMax * throttle.share)
    },
  }
}
