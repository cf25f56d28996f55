/** What direct streams count (p2p/direct.ts), for who shows it without running them. */

/** Numbers since the start. */
export type DirectCounts = {
  messagesIn: number
  messagesOut: number
  checkpointsIn: number
  checkpointsOut: number
  blocksIn: number
  blocksOut: number
  bytesIn: number
  /** Frames that made room for newer ones, or were lost with their stream. */
  queueDrops: number
  /** Frames of peers that sent more than they may. */
  rateDrops: number
  helloRefusals: number
  asksServed: number
  asksRefused: number
}

/** Nothing counted yet. */
export function noCounts(): DirectCounts {
  return {
    messagesIn: 0,
    messagesOut: 0,
    checkpointsIn: 0,
    checkpointsOut: 0,
    blocksIn: 0,
    blocksOut: 0,
    bytesIn: 0,
    queueDrops: 0,
    rateDrops: 0,
    helloRefusals: 0,
    asksServed: 0,
    asksRefused: 0,
  }
}
