/**
 * How much of what a validator sends is of no use: said before, of heights that are over or far away, of rounds that nobody is in. The network lets such
 * messages happen to correct validators as well (what was on its way when a height ended, what is said again every half second), so they are counted
 * against twice the most that a correct one says in all, useful or not. Why none ever reaches it: docs/spec/p2p.md#useless-messages
 */

/** What a correct validator sends one peer at most. */
export type Talk = { readonly perSec: number; readonly perHeight: number }

export type WorthOptions = {
  readonly talk: Talk
  /** Least time between two heights, of the parameters of now. */
  minBlockIntervalMs(): number
  nowMs(): number
  /** Part of the usual allowance: 1, but in tests that have no time for floods. */
  readonly share?: number
}

export type Worth = {
  /** Something came, of whatever worth. Times in which nothing did are those in which this process stood still: what waited comes at once then. */
  heard(): void
  /** A height has begun here: all may speak of one more. */
  passed(): void
  /** Counts something useless of a peer. False: it sends too much of that, and for long. */
  bears(peer: string): boolean
}

/** Messages: five of a height (proposal, prevote, polka, precommit, commit) and one more; five twice a second, and an answer every 400 ms, in 15. */
export const MESSAGE_TALK: Talk = { perSec: 15, perHeight: 6 }
/** Blocks that a proposer pushes: one of a height, if all were its own; and of later rounds, which take longer than a second. */
export const BLOCK_TALK: Talk = { perSec: 1, perHeight: 1 }

/** What is allowed, in parts of what a correct validator sends. */
const SLACK = 2
/** Allowance that may be saved up. */
const SAVED_SEC = 60
/** No machine has heights that are shorter, whatever the parameters allow. */
const HEIGHT_MIN_MS = 25
/** A silence of all peers that is a standstill of this process. */
const STANDSTILL_MS = 2_000
/** Peers whose allowance is remembered; who was useless least recently is forgotten first. */
const PEERS_MAX = 1_024

type Allowance = { left: number; readonly atMs: number; readonly heights: number }

/** Nothing is counted yet. */
export function createWorth({ talk, minBlockIntervalMs, nowMs, share = 1 }: WorthOptions): Worth {
  const peers = new Map<string, Allowance>()
  let heardAtMs = nowMs()
  /** Standstills of the last while. */
  let stood: readonly { readonly endMs: number; readonly ms: number }[] = []
  let heights = 0

  const perMs = () => (share * SLACK * (talk.perSec + (talk.perHeight * 1_000) / Math.max(HEIGHT_MIN_MS, minBlockIntervalMs()))) / 1_000

  /** What a peer has left now. Beyond what can be saved up it has what came in at once after a standstill. */
  function allowanceOf(peer: string): Allowance {
    const now = nowMs()
    const savedMax = SAVED_SEC * 1_000 * perMs()
    const known = peers.get(peer)
    const last = known ?? { left: savedMax, atMs: now, heights }
    const grown = last.left + (now - last.atMs) * perMs() + (heights - last.heights) * talk.perHeight * share
    const stoodMs = stood.filter(({ endMs }) => !known || endMs > known.atMs).reduce((sum, { ms }) => sum + ms, 0)
    const left = Math.min(Math.max(savedMax, last.left), grown) + stoodMs * perMs()
    const allowance = { left, atMs: now, heights }
    peers.delete(peer)
    peers.set(peer, allowance)
    const [oldest] = peers.keys()
    if (peers.size > PEERS_MAX && oldest !== undefined) peers.delete(oldest)
    return allowance
  }

  return {
    heard() {
      const now = nowMs()
      if (now - heardAtMs > STANDSTILL_MS) {
        const recent = stood.filter(({ endMs }) => endMs > now - SAVED_SEC * 1_000)
        stood = [...recent, { endMs: now, ms: now - heardAtMs }]
      }
      heardAtMs = now
    },
    passed() {
      heights++
    },
    bears(peer) {
      const allowance = allowanceOf(peer)
      allowance.left--
      return allowance.left >= 0
    },
  }
}
