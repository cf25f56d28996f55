/**
 * Gossipsub as this network uses it. Messages are unsigned (transactions and blocks carry their own signatures) and known by their content; the
 * score of a peer falls by invalid messages alone. Spec: docs/spec/p2p.md#gossip
 */
import { hash } from 'node:crypto'
import { type GossipSub, gossipsub, StrictNoSign } from '@libp2p/gossipsub'
import { createTopicScoreParams } from '@libp2p/gossipsub/score'
import type { BudgetLimits, Budgets } from './budget.ts'
import { createTurns, paced, RPC_BYTES_MAX, waitOf } from './gossipStream.ts'
import type { Stream } from './lane.ts'
import { NEWS_BYTES_MAX } from './wire.ts'

/** Below this a peer is told nothing that it did not ask for, is sent nothing of ours, and is not listened to. */
export const SCORE_THRESHOLDS = { gossipThreshold: -10, publishThreshold: -50, graylistThreshold: -80 } as const

/** Bytes of a message id. */
const ID_BYTES = 20

/** Bytes that may wait for one slow peer before its stream is reset. */
const OUTBOUND_BYTES_MAX = 16 * NEWS_BYTES_MAX

/**
 * Score by topic. Invalid messages count squared and are forgotten by half in about two minutes: one gives −20, three give −180. Nothing else
 * counts, neither for nor against: topics may be quiet, and good deeds must not pay for bad ones.
 */
const TOPIC_SCORE = createTopicScoreParams({
  topicWeight: 1,
  timeInMeshWeight: 0,
  firstMessageDeliveriesWeight: 0,
  meshMessageDeliveriesWeight: 0,
  meshFailurePenaltyWeight: 0,
  invalidMessageDeliveriesWeight: -20,
  invalidMessageDeliveriesDecay: 0.994,
})

/** What a peer may send: RPCs and their entries, and one more for every 4 KiB; and how long it may have to wait for that, in all and by the second. */
const UNITS = { perSec: 3_000, burst: 12_000 }
const WAITS_MS = { perSec: 200, burst: 3_000 }

/** Entries of an RPC, by what they are. An honest one has a few; who asks for many messages gets them in one. */
const RPC_LIMITS = {
  maxSubscriptions: 16,
  maxMessages: 512,
  maxIhaveMessageIDs: 2_048,
  maxIwantMessageIDs: 2_048,
  maxIdontwantMessageIDs: 512,
  maxControlMessages: 64,
  maxPeerInfos: 16,
}

export type PubsubPorts = { ban(peer: string, why: string): void; budgets(limits: BudgetLimits): Budgets }

type Service = ReturnType<typeof gossipsub>
type Components = Parameters<Service>[0]

/** The service, for messages of these topics and no others. It says which peers' streams are worthless. */
export function createPubsub(topics: readonly string[], ports: PubsubPorts): Service {
  const create = gossipsub({
    globalSignaturePolicy: StrictNoSign,
    // No cheaper id before it: a message whose weak id was made to collide with another's would silence that one.
    msgIdFn: ({ topic, data }) => messageId(topic, data),
    allowedTopics: [...topics],
    fallbackToFloodsub: false,
    allowPublishToZeroTopicPeers: true, // whoever publishes looks at the peers itself
    ignoreDuplicatePublishError: true,
    maxOutboundBufferSize: OUTBOUND_BYTES_MAX,
    maxInboundDataLength: RPC_BYTES_MAX,
    maxInboundStreams: 4,
    maxOutboundStreams: 4,
    decodeRpcLimits: RPC_LIMITS,
    // A peer under load is late with what it promised: that is no misbehaviour yet.
    gossipsubIWantFollowupMs: 12_000,
    scoreThresholds: SCORE_THRESHOLDS,
    scoreParams: {
      topics: Object.fromEntries(topics.map((topic) => [topic, TOPIC_SCORE])),
      behaviourPenaltyWeight: -5,
      behaviourPenaltyThreshold: 6,
      behaviourPenaltyDecay: 0.99,
      IPColocationFactorWeight: 0, // the host bounds connections by address
      retainScore: 600_000,
    },
  })
  return (components) => create(withPacedStreams(components, ports))
}

/** The same components, but for the streams that gossipsub is given: it reads them through `paced`. */
function withPacedStreams(components: Components, { ban, budgets }: PubsubPorts): Components {
  const { privateKey, peerId, peerStore, registrar, connectionManager, logger } = components
  const turn = createTurns()
  const units = budgets(UNITS)
  const waits = budgets(WAITS_MS)
  const pacedRegistrar: Components['registrar'] = Object.create(registrar, {
    handle: {
      value: (...[protocol, handler, options]: Parameters<typeof registrar.handle>) =>
        registrar.handle(
          protocol,
          (stream, connection) => {
            const peer = connection.remotePeer.toString()
            const source = paced(stream, {
              turn,
              spend: (amount) => waitOf(units, peer, amount),
              forgive: (waitMs) => waits.spend(peer, waitMs),
              ban: (why) => ban(peer, why),
            })
            return handler(readingFrom(stream, source), connection)
          },
          options,
        ),
    },
  })
  return { privateKey, peerId, peerStore, registrar: pacedRegistrar, connectionManager, logger }
}

/** As much of a stream as gossipsub uses of one that comes in: it iterates over it, and ends it. */
function readingFrom(stream: Stream, source: AsyncGenerator<Uint8Array>): Stream {
  const reading: Pick<Stream, 'close' | 'abort'> & { [Symbol.asyncIterator](): AsyncGenerator<Uint8Array> } = {
    [Symbol.asyncIterator]: () => source,
    close: (options) => stream.close(options),
    abort: (error) => stream.abort(error),
  }
  return reading as unknown as Stream
}

/** Id of a message. The topic is in it: the same bytes published on another topic must not pass for this message, which would then be dropped. */
export function messageId(topic: string, data: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(topic)
  const bytes = new Uint8Array(name.length + 1 + data.length)
  bytes.set(name)
  bytes.set(data, name.length + 1)
  return new Uint8Array(hash('sha256', bytes, 'buffer').subarray(0, ID_BYTES))
}

/** Score of a peer; 0 for one that nothing is known of. */
export function scoreOf(pubsub: GossipSub, peer: string): number {
  // The interface hides what the service can.
  return (pubsub as GossipSub & { getScore(peer: string): number }).getScore(peer)
}

/** Peers with whom messages of a topic are exchanged as they come. */
export function meshOf(pubsub: GossipSub, topic: string): readonly string[] {
  return (pubsub as GossipSub & { getMeshPeers(topic: string): string[] }).getMeshPeers(topic)
}
