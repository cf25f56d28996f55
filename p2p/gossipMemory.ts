/**
 * What gossipsub remembers of messages and peers, with bounds. It forgets by time alone: messages after two minutes, the scores of peers that are gone
 * after ten, and whom not to ask into a mesh when that peer said so, which may be never. Neither messages nor names cost their sender much, so here the
 * oldest of them are forgotten when there are too many. Spec: docs/spec/p2p.md#gossip
 */
import type { GossipSub } from '@libp2p/gossipsub'

/**
 * Messages of which it is remembered that they came, and what became of them: some 0.5 KiB each. Who sends one again that was forgotten sends what is
 * known here, and that has its own bounds.
 */
export const MESSAGES_REMEMBERED_MAX = 32_768
/** Peers whose score is remembered, those beyond it that are connected excepted; and peers of one topic that wait to be asked into its mesh. */
export const PEERS_REMEMBERED_MAX = 4_096

type Score = { readonly connected: boolean; readonly knownIPs: Set<string> }

/** What the interface hides of the service: each table in the order in which its entries came. */
type Memory = {
  readonly seenCache: { readonly entries: Map<string, unknown> }
  readonly backoff: ReadonlyMap<string, Map<string, number>>
  readonly score: {
    readonly deliveryRecords: {
      readonly records: Map<string, unknown>
      readonly queue: { shift(): { readonly msgId: string } | undefined }
    }
    readonly peerStats: Map<string, Score>
    readonly scoreCache: Map<string, unknown>
    removeIPsForPeer(peer: string, addresses: Set<string>): void
  }
}

export type Remembered = { readonly seen: number; readonly judged: number; readonly scores: number; readonly backoffs: number }

/** How much is remembered: messages that came, what became of messages, scores, and peers that wait in all topics. */
export function rememberedOf(pubsub: GossipSub): Remembered {
  const { seenCache, score, backoff } = memoryOf(pubsub)
  return {
    seen: seenCache.entries.size,
    judged: score.deliveryRecords.records.size,
    scores: score.peerStats.size,
    backoffs: [...backoff.values()].reduce((sum, { size }) => sum + size, 0),
  }
}

/** Forgets what is above the bounds, the oldest first. For each heartbeat: what comes between two is bounded by what a processor can judge. */
export function forgetOldest(pubsub: GossipSub): void {
  const { seenCache, score, backoff } = memoryOf(pubsub)
  dropOldest(seenCache.entries, MESSAGES_REMEMBERED_MAX)
  for (const peers of backoff.values()) dropOldest(peers, PEERS_REMEMBERED_MAX)
  const { records, queue } = score.deliveryRecords
  while (records.size > MESSAGES_REMEMBERED_MAX) {
    const oldest = queue.shift()
    if (!oldest) break
    records.delete(oldest.msgId)
  }
  for (const [peer, { connected, knownIPs }] of score.peerStats) {
    if (score.peerStats.size <= PEERS_REMEMBERED_MAX) break
    if (connected) continue
    score.removeIPsForPeer(peer, knownIPs)
    score.peerStats.delete(peer)
    score.scoreCache.delete(peer)
  }
}

function memoryOf(pubsub: GossipSub): Memory {
  return pubsub as unknown as Memory
}

function dropOldest(entries: Map<string, unknown>, max: number): void {
  for (const id of entries.keys()) {
    if (entries.size <= max) break
    entries.delete(id)
  }
}
