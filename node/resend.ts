/**
 * Transactions that clients gave to this node, and that wait: they are sent again after a while, for a link that broke may have swallowed them, and once
 * more to whoever connects. A pool full of them is sent at a bounded rate, and each of them less and less often. Spec: docs/spec/p2p.md#gossip
 */
import type { Hex } from 'viem'

/** Bounds that a test may set otherwise. */
export type ResendLimits = {
  /** Transactions that are remembered: as many as wait in the largest usual pool. */
  readonly txsMax: number
  /** Wait before a transaction is sent again for the first time; it doubles each time, so often. */
  readonly firstMs: number
  readonly doublings: number
  /** Of one call of `tick`. */
  readonly txsPerTick: number
  readonly bytesPerTick: number
  /** Time that a peer has to say what it listens to, and the least between two times that everything begins anew. */
  readonly settleMs: number
  readonly anewMs: number
}

export type ResendOptions = {
  /** The bytes of a transaction that waits, undefined once it does not. */
  rawOf(hash: Hex): Uint8Array | undefined
  /** False: too much waits to be sent already. */
  send(raw: Uint8Array): boolean
  nowMs(): number
  readonly limits?: Partial<ResendLimits>
}

export type Resend = {
  /** A transaction was sent for the first time. */
  sent(hash: Hex): void
  /** A peer has connected: it may have heard of nothing. */
  connected(): void
  /** Sends again what it is time for. To be called every RESEND_TICK_MS. */
  tick(): void
  /** Transactions that are remembered. */
  size(): number
}

/** Time between two ticks, for which the limits of one are made: 256 transactions and 128 KiB a second. */
export const RESEND_TICK_MS = 250

const DEFAULT_LIMITS: ResendLimits = {
  txsMax: 65_536,
  firstMs: 12_000,
  doublings: 3,
  txsPerTick: 64,
  bytesPerTick: 32 << 10,
  settleMs: 1_000,
  anewMs: 10_000,
}
/** Transactions looked at in one tick: most have long been in a block. */
const LOOKS_PER_TICK = 16_384
/** Taken places of a queue that are kept until they are cut off. */
const CUT_AT = 1_024

/** Remembers nothing yet. */
export function createResend({ rawOf, send, nowMs, limits: chosen }: ResendOptions): Resend {
  const limits = { ...DEFAULT_LIMITS, ...chosen }
  /** By how often they were sent again, in the order in which it is time for them: all of one level wait equally long. */
  let levels = Array.from({ length: limits.doublings + 1 }, createLevel)
  const known = new Set<Hex>()
  /** When everything begins anew. */
  let anewAtMs: number | undefined
  let beganAnewMs = -Infinity

  const waitMs = (level: number) => limits.firstMs * 2 ** level

  /** The level of what is longest overdue. */
  function nextLevel(now: number): number | undefined {
    let found: { readonly level: number; readonly dueMs: number } | undefined
    for (const [level, waiting] of levels.entries()) {
      const dueMs = waiting.first()?.dueMs ?? Infinity
      if (dueMs <= now && dueMs < (found?.dueMs ?? Infinity)) found = { level, dueMs }
    }
    return found?.level
  }

  function beginAnew(now: number): void {
    anewAtMs = undefined
    beganAnewMs = now
    const all = levels.flatMap((level) => level.all())
    levels = Array.from({ length: limits.doublings + 1 }, createLevel)
    for (const { hash } of all) levels[0]?.push({ hash, dueMs: now })
  }

  return {
    sent(hash) {
      if (known.size >= limits.txsMax || known.has(hash)) return
      known.add(hash)
      levels[0]?.push({ hash, dueMs: nowMs() + waitMs(0) })
    },
    connected() {
      anewAtMs ??= Math.max(nowMs() + limits.settleMs, beganAnewMs + limits.anewMs)
    },
    tick() {
      const now = nowMs()
      if (anewAtMs !== undefined && anewAtMs <= now) beginAnew(now)
      let txs = 0
      let bytes = 0
      for (let looks = 0; looks < LOOKS_PER_TICK && txs < limits.txsPerTick; looks++) {
        const level = nextLevel(now)
        const due = level === undefined ? undefined : levels[level]?.first()
        if (level === undefined || !due) return
        const raw = rawOf(due.hash)
        if (raw && ((txs > 0 && bytes + raw.length > limits.bytesPerTick) || !send(raw))) return // its turn is the next tick
        levels[level]?.shift()
        if (raw) {
          txs++
          bytes += raw.length
          const after = Math.min(level + 1, limits.doublings)
          levels[after]?.push({ hash: due.hash, dueMs: now + waitMs(after) })
        } else known.delete(due.hash)
      }
    },
    size: () => known.size,
  }
}

type Due = { readonly hash: Hex; readonly dueMs: number }

/** A queue in an array: what was taken is cut off now and then, for taking from the front of a long Map or array is slow. */
function createLevel() {
  const waiting: Due[] = []
  let at = 0
  return {
    first: (): Due | undefined => waiting[at],
    shift(): void {
      at++
      if (at < CUT_AT || at * 2 < waiting.length) return
      waiting.splice(0, at)
      at = 0
    },
    push: (due: Due): void => void waiting.push(due),
    all: (): readonly Due[] => waiting.slice(at),
  }
}
