/**
 * Gossip: transactions in batches, and final blocks. What comes in is decoded here and judged through ports before it goes on to others; what goes
 * out waits in a bounded queue for a peer that listens. Spec: docs/spec/p2p.md#gossip
 */
import { TopicValidatorResult } from '@libp2p/gossipsub'
import type { Hex } from 'viem'
import { LIMIT } from '../genesis/params.ts'
import { forgetOldest, rememberedOf } from './gossipMemory.ts'
import { BAN_MS, type Host, type P2pLog } from './host.ts'
import { meshOf, SCORE_THRESHOLDS, scoreOf } from './pubsub.ts'
import {
  BATCH_BYTES_MAX,
  type BlockNews,
  type CertifiedBlock,
  type Decoded,
  decodeBatch,
  decodeNews,
  encodeBatch,
  encodeCheckpointNews,
  encodeNews,
  NEWS_BYTES_MAX,
  TRANSACTIONS_BYTES_MAX,
  TX_LENGTH_BYTES,
  topicsOf,
} from './wire.ts'

/**
 * Accept: deliver and forward. Ignore: neither, and nobody is to blame. Stale: the same, but there was nothing new in it; a little of that is forgiven.
 * Reject: whoever sent it should have known that it is worthless.
 */
export type Verdict = 'accept' | 'ignore' | 'stale' | 'reject'

export type GossipPorts = {
  /** Judges a batch and takes in what is good of it. Reject only what can never be valid, whatever the state. */
  checkTransactions(transactions: readonly Uint8Array[], from: string): Promise<Verdict>
  /** Judges a block, its certificate or a checkpoint's signers and takes them in. */
  checkBlock(news: BlockNews, from: string): Promise<Verdict>
}

export type GossipOptions = {
  readonly host: Host
  readonly genesisHash: Hex
  readonly log: P2pLog
  /** Milliseconds that a connection may be without a gossip stream of ours; for tests. */
  readonly muteMs?: number | undefined
}

export type Gossip = {
  /** Sends a transaction with the next batch. False: it is too large, or too many wait for somebody who listens. */
  sendTransaction(raw: Uint8Array): boolean
  /** Tells others of a final block. */
  sendBlock(certified: CertifiedBlock): void
  /** Tells others who signed a checkpoint, a quorum. */
  sendSigners(signers: Uint8Array): void
  /** Messages by what became of them, since the start. */
  counts(): Readonly<Record<Verdict, number>>
  metrics(): GossipMetrics
  /** Leaves the topics; nothing is judged afterwards. */
  close(): void
}

/** Numbers since the start, and of now. */
export type GossipMetrics = {
  readonly accepted: number
  readonly ignored: number
  readonly stale: number
  readonly rejected: number
  /** Bytes of messages that were judged. */
  readonly bytesIn: number
  readonly published: number
  readonly bytesOut: number
  /** Messages that were not judged because too many waited. */
  readonly judgeDrops: number
  /** Own transactions that were not taken because too many waited. */
  readonly queueDrops: number
  readonly queuedTxs: number
  readonly peers: number
  /** Peers whose score is below the last threshold: nothing of theirs is heard. */
  readonly graylisted: number
  readonly meshTransactions: number
  readonly meshBlocks: number
  /** Messages that are remembered to have come, and peers whose score is. */
  readonly rememberedMessages: number
  readonly rememberedPeers: number
}

const { Accept, Ignore, Reject } = TopicValidatorResult
const RESULT = { accept: Accept, ignore: Ignore, stale: Ignore, reject: Reject } as const

/** Bounds of what waits to be judged, and of one peer's part in it. */
const JUDGED_BYTES_MAX = 16 * NEWS_BYTES_MAX
const JUDGED_BYTES_PER_PEER_MAX = 4 * NEWS_BYTES_MAX
/** Bounds of what waits to be sent. */
const QUEUE_TXS_MAX = 16_384
const QUEUE_BYTES_MAX = 8 << 20
/** Bytes of gossip that wait for peers, in all. */
const WAITING_BYTES_MAX = 128 << 20
/** Longest that a transaction waits for company, and how often a queue without listeners is looked at. */
const BATCH_WAIT_MS = 10
const LISTENERS_WAIT_MS = 250
/** Stale messages of one peer. Honest ones pass on what others have from elsewhere by then, but not without end. */
const STALE = { perSec: 200, burst: 5_000 }
/** Time that a connection has to open its gossip stream. */
const MUTE_MS = 15_000

/** Joins the topics of a network on a host that is started. */
export function createGossip(ports: GossipPorts, { host, genesisHash, log, muteMs = MUTE_MS }: GossipOptions): Gossip {
  const { pubsub } = host.libp2p.services
  const topics = topicsOf(genesisHash)
  const counts: Record<Verdict, number> = { accept: 0, ignore: 0, stale: 0, reject: 0 }
  const sums = { bytesIn: 0, published: 0, bytesOut: 0, judgeDrops: 0, queueDrops: 0 }
  const stale = host.budgets(STALE)
  const judging = createBudget()
  const queue: Uint8Array[] = []
  let queueBytes = 0
  /** Of the next batch. It begins anywhere: a node that starts again must not say what it said before in the same bytes. */
  let batchNumber = Math.floor(Math.random() * 2 ** 32)
  let timer: NodeJS.Timeout | undefined
  let closed = false

  function join<T>(topic: string, bytesMax: number, decode: (bytes: Uint8Array) => Decoded<T>, check: Check<T>): void {
    pubsub.topicValidators.set(topic, async (peer, { data }) => {
      const verdict = await judge(peer.toString(), data, { bytesMax, decode, check })
      counts[verdict]++
      sums.bytesIn += data.length
      if (verdict === 'stale' && !stale.spend(peer.toString(), 1)) host.ban(peer.toString(), BAN_MS, 'its gossip is of no use')
      return RESULT[verdict]
    })
    pubsub.subscribe(topic)
  }

  async function judge<T>(peer: string, data: Uint8Array, { bytesMax, decode, check }: Judge<T>): Promise<Verdict> {
    if (closed) return 'ignore'
    if (data.length > bytesMax) return 'reject'
    if (!judging.take(peer, data.length)) {
      sums.judgeDrops++
      return 'ignore'
    }
    try {
      const decoded = decode(data)
      if (decoded.ok) return await check(decoded.value, peer)
      log.debug('malformed gossip', { peer, code: decoded.code })
      return 'reject'
    } finally {
      judging.give(peer, data.length)
    }
  }

  function sendLater(ms: number): void {
    if (!closed) timer ??= setTimeout(sendNow, ms)
  }

  function sendNow(): void {
    timer = undefined
    if (queue.length === 0 || closed) return
    if (pubsub.getSubscribers(topics.transactions).length === 0) {
      sendLater(LISTENERS_WAIT_MS)
      return
    }
    const batch = takeBatch(queue)
    queueBytes -= batch.reduce((sum, { length }) => sum + length, 0)
    publish(topics.transactions, encodeBatch(batchNumber, batch))
    batchNumber = (batchNumber + 1) >>> 0
    if (queue.length > 0) sendLater(0)
  }

  function publish(topic: string, data: Uint8Array): void {
    sums.published++
    sums.bytesOut += data.length
    pubsub.publish(topic, data).catch((error: unknown) => {
      if (!closed) log.warn('gossip not sent', { topic, bytes: data.length, error: String(error) })
    })
  }

  /** Once a second: bans whom gossipsub no longer listens to, and reconnects with whom it can no longer speak; what it remembers is bounded. */
  function lookAfterPeers(): void {
    // Of all peers: one that does not say that it speaks gossip is none of gossipsub's, but is listened to.
    for (const peer of host.peers()) {
      if (scoreOf(pubsub, peer) < SCORE_THRESHOLDS.graylistThreshold) host.ban(peer, BAN_MS, 'its gossip is worthless')
    }
    forgetOldest(pubsub)
    disconnectSlowest()
    for (const peer of pubsub.getPeers()) {
      if (isMute(peer.toString())) host.disconnect(peer.toString(), 'its gossip stream ended')
    }
  }

  /** What waits for peers that do not take it is bounded for each; of many such peers the worst goes. */
  function disconnectSlowest(): void {
    const waiting = host.libp2p.getConnections().map(({ remotePeer, streams }) => {
      const gossip = streams.filter(({ protocol }) => protocol.startsWith('/meshsub/'))
      return { peer: remotePeer.toString(), bytes: gossip.reduce((sum, { writeBufferLength }) => sum + writeBufferLength, 0) }
    })
    if (waiting.reduce((sum, { bytes }) => sum + bytes, 0) <= WAITING_BYTES_MAX) return
    const worst = waiting.reduce((most, one) => (one.bytes > most.bytes ? one : most))
    host.disconnect(worst.peer, 'it takes nothing')
  }

  /** gossipsub never opens a second stream on a connection: one that was reset leaves us unheard for good. */
  function isMute(peer: string): boolean {
    const connections = host.libp2p.getConnections().filter(({ remotePeer }) => remotePeer.toString() === peer)
    const speaks = connections.some(({ streams }) =>
      streams.some(({ direction, protocol }) => direction === 'outbound' && protocol.startsWith('/meshsub/')),
    )
    return !speaks && connections.every(({ timeline }) => timeline.open < Date.now() - muteMs)
  }

  join(topics.transactions, TRANSACTIONS_BYTES_MAX, decodeBatch, ports.checkTransactions)
  join(topics.blocks, NEWS_BYTES_MAX, decodeNews, ports.checkBlock)
  pubsub.addEventListener('gossipsub:heartbeat', lookAfterPeers)

  return {
    sendTransaction(raw) {
      if (closed || raw.length === 0 || raw.length > LIMIT.txBytes) return false
      if (queue.length >= QUEUE_TXS_MAX || queueBytes + raw.length > QUEUE_BYTES_MAX) {
        sums.queueDrops++
        return false
      }
      queue.push(raw)
      queueBytes += raw.length
      sendLater(BATCH_WAIT_MS)
      return true
    },
    sendBlock(certified) {
      if (!closed) publish(topics.blocks, encodeNews(certified))
    },
    sendSigners(signers) {
      if (!closed) publish(topics.blocks, encodeCheckpointNews(signers))
    },
    counts: () => ({ ...counts }),
    metrics() {
      const peers = pubsub.getPeers()
      const remembered = rememberedOf(pubsub)
      return {
        accepted: counts.accept,
        ignored: counts.ignore,
        stale: counts.stale,
        rejected: counts.reject,
        ...sums,
        queuedTxs: queue.length,
        peers: peers.length,
        graylisted: peers.filter((peer) => scoreOf(pubsub, peer.toString()) < SCORE_THRESHOLDS.graylistThreshold).length,
        meshTransactions: meshOf(pubsub, topics.transactions).length,
        meshBlocks: meshOf(pubsub, topics.blocks).length,
        rememberedMessages: Math.max(remembered.seen, remembered.judged),
        rememberedPeers: remembered.scores,
      }
    },
    close() {
      closed = true
      clearTimeout(timer)
      pubsub.removeEventListener('gossipsub:heartbeat', lookAfterPeers)
      for (const topic of Object.values(topics)) {
        pubsub.unsubscribe(topic)
        pubsub.topicValidators.delete(topic)
      }
    },
  }
}

type Check<T> = (value: T, from: string) => Promise<Verdict>
type Judge<T> = { readonly bytesMax: number; decode(bytes: Uint8Array): Decoded<T>; readonly check: Check<T> }

/** Takes the front of the queue that fits one batch: at least one transaction. */
function takeBatch(queue: Uint8Array[]): Uint8Array[] {
  let bytes = 0
  let count = 0
  for (const { length } of queue) {
    bytes += TX_LENGTH_BYTES + length
    if (count > 0 && bytes > BATCH_BYTES_MAX) break
    count++
  }
  return queue.splice(0, count)
}

/** Bytes under judgement, in all and by peer. */
function createBudget(): { take(peer: string, bytes: number): boolean; give(peer: string, bytes: number): void } {
  const byPeer = new Map<string, number>()
  let total = 0
  return {
    take(peer, bytes) {
      const own = (byPeer.get(peer) ?? 0) + bytes
      if (own > JUDGED_BYTES_PER_PEER_MAX || total + bytes > JUDGED_BYTES_MAX) return false
      byPeer.set(peer, own)
      total += bytes
      return true
    },
    give(peer, bytes) {
      const own = (byPeer.get(peer) ?? 0) - bytes
      if (own > 0) byPeer.set(peer, own)
      else byPeer.delete(peer)
      total -= bytes
    },
  }
}
