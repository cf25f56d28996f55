/**
 * Block sync: ranges of final blocks with their certificates, asked of one peer at a time and served from a port. A peer says nothing of how far its
 * chain goes: heights are only what certificates prove. Whoever sends what is no answer is banned, whoever keeps silent three times in a row is
 * disconnected. Spec: docs/spec/p2p.md#block-sync
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { lpStream } from '@libp2p/utils'
import type { Hex } from 'viem'
import type { Budgets } from './budget.ts'
import { BAN_MS, type Host, type Network, type P2pLog } from './host.ts'
import { drained } from './lane.ts'
import { P2pError } from './p2pError.ts'
import {
  ANSWER_BYTES_MAX,
  type BlocksRequest,
  type CertifiedBlock,
  certifiedBlockBytes,
  decodeFrame,
  decodeRequest,
  encodeFrame,
  encodeRequest,
  FRAME_BYTES_MAX,
  REQUEST_BYTES,
  syncProtocolOf,
} from './wire.ts'

export type SyncPorts = {
  /** The final block of a height, with its certificate. Undefined: it is not here. */
  readBlock(number: bigint): CertifiedBlock | undefined | Promise<CertifiedBlock | undefined>
  /** A peer that serves blocks has come. */
  onPeer(): void
}

export type SyncOptions = { readonly host: Host; readonly genesisHash: Hex; readonly log: P2pLog; readonly limits?: Partial<SyncLimits> }

/** Bounds that a test may set otherwise. */
export type SyncLimits = {
  /** Longest wait for the next frame, asked or served, and for a whole answer. */
  readonly frameMs: number
  readonly answerMs: number
  /** Bytes a second that one peer is served on the whole, and bytes that it may have at once. */
  readonly bytesPerSec: number
  readonly bytesBurst: number
}

/** What a request led to. `blocks` may be fewer than asked for, or none: their bytes are bounded, what they say is not checked. */
export type BlocksAnswer =
  | { readonly ok: true; readonly peer: string; readonly blocks: readonly CertifiedBlock[] }
  | { readonly ok: false; readonly code: 'noPeer' | 'noAnswer' | 'malformed' }

export type Sync = {
  /** Asks the peer that was not asked for longest. One request at a time. */
  request(request: BlocksRequest): Promise<BlocksAnswer>
  /** The peer's answer was not true: it is banned. */
  blame(peer: string, why: string): void
  /** Peers that serve blocks. */
  peers(): number
  counts(): SyncCounts
  close(): Promise<void>
}

/** Numbers since the start. */
export type SyncCounts = {
  asked: number
  blocksIn: number
  bytesIn: number
  /** Requests without an answer. */
  strikes: number
  served: number
  bytesOut: number
  /** Requests that were answered with nothing, because their peer or all peers asked too much. */
  overdrawn: number
  /** Requests that were none, or whose answer was not taken. */
  unserved: number
}

const DEFAULT_LIMITS: SyncLimits = { frameMs: 10_000, answerMs: 60_000, bytesPerSec: 16 << 20, bytesBurst: 64 << 20 }

/** Least that a request costs of what a peer is served. */
const REQUEST_COST_BYTES = 65_536
/** Requests that are broken off; some are forgiven. */
const REFUSALS = { perSec: 0.1, burst: 16 }
/** Requests that are answered with no blocks: there are none, or the peer had too many. Who is told so asks again, but not at once. */
const EMPTY = { perSec: 5, burst: 64 }
/** Streams of one connection, each way, and streams served at a time. */
const STREAMS_PER_PEER_MAX = 2
const SERVED_MAX = 64
/** Silences in a row after which a peer is disconnected. */
const STRIKES_MAX = 3
/** What may lie read and unused: one frame, and what yamux lets the other side send ahead. */
const BUFFER_BYTES_MAX = FRAME_BYTES_MAX + (16 << 20)

type PeerId = Network['peerId']
type Server = { readonly id: PeerId; askedAt: number; strikes: number }

/** An answer that breaks the protocol. */
class Malformed extends Error {
  override readonly name = 'Malformed'
}

/** Serves and asks on a host that is not started yet. */
export async function createSync(ports: SyncPorts, { host, genesisHash, log, limits: changed }: SyncOptions): Promise<Sync> {
  const limits = { ...DEFAULT_LIMITS, ...changed }
  const protocol = syncProtocolOf(genesisHash)
  const { libp2p } = host
  const servers = new Map<string, Server>()
  const ended = new AbortController()
  const counts: SyncCounts = { asked: 0, blocksIn: 0, bytesIn: 0, strikes: 0, served: 0, bytesOut: 0, overdrawn: 0, unserved: 0 }
  const refusals = host.budgets(REFUSALS)
  const budgets = host.budgets({ perSec: limits.bytesPerSec, burst: limits.bytesBurst })
  const empty = host.budgets(EMPTY)
  const onEmpty = (peer: string) => {
    if (!empty.spend(peer, 1)) blame(peer, 'it asks without end')
  }
  const serve = createServing(ports, limits, { ended: ended.signal, counts, budgets, onEmpty })
  let asked = 0
  let isAsking = false

  await libp2p.handle(
    protocol,
    async (stream, { remotePeer }) => {
      try {
        await serve(stream, remotePeer.toString())
        await stream.close({ signal: AbortSignal.timeout(limits.frameMs) })
      } catch (error) {
        const peer = remotePeer.toString()
        counts.unserved++
        log.debug('blocks not served', { peer, error: String(error) })
        stream.abort(new P2pError('blocks not served', { cause: error }))
        if (isMalformed(error)) blame(peer, 'its request is no request')
        else if (!refusals.spend(peer, 1)) blame(peer, 'it asks and does not take the answer')
      }
    },
    { maxInboundStreams: STREAMS_PER_PEER_MAX, maxOutboundStreams: STREAMS_PER_PEER_MAX },
  )
  const topology = await libp2p.register(protocol, {
    onConnect(id) {
      servers.set(id.toString(), { id, askedAt: 0, strikes: 0 })
      ports.onPeer()
    },
    onDisconnect: (id) => {
      servers.delete(id.toString())
    },
  })

  function blame(peer: string, why: string): void {
    servers.delete(peer)
    host.ban(peer, BAN_MS, why)
  }

  async function ask({ id }: Server, request: BlocksRequest): Promise<readonly CertifiedBlock[]> {
    const whole = AbortSignal.any([ended.signal, AbortSignal.timeout(limits.answerMs)])
    const inTime = () => ({ signal: AbortSignal.any([whole, AbortSignal.timeout(limits.frameMs)]) })
    const [connection] = libp2p.getConnections(id)
    if (!connection) throw new P2pError('the peer is gone')
    const stream = await connection.newStream(protocol, inTime())
    try {
      const framed = lpStream(stream, { maxDataLength: FRAME_BYTES_MAX, maxBufferSize: BUFFER_BYTES_MAX })
      await framed.write(encodeRequest(request), inTime())
      const blocks: CertifiedBlock[] = []
      let bytes = 0
      for (;;) {
        // Ends: every frame but the last is a block, and `count` of them are the most.
        const frame = decodeFrame((await framed.read(inTime())).subarray())
        if (!frame.ok) throw new Malformed(frame.code)
        if (frame.value.kind === 'end') break
        bytes += certifiedBlockBytes(frame.value)
        blocks.push(frame.value)
        if (blocks.length > request.count || (blocks.length > 1 && bytes > ANSWER_BYTES_MAX)) throw new Malformed('too long')
      }
      await stream.close(inTime())
      return blocks
    } catch (error) {
      stream.abort(error instanceof Error ? error : new P2pError(String(error)))
      throw error
    }
  }

  return {
    async request(request) {
      const server = [...servers.values()].reduce<Server | undefined>(
        (best, one) => (best && best.askedAt <= one.askedAt ? best : one),
        undefined,
      )
      if (!server || isAsking || ended.signal.aborted) return { ok: false, code: 'noPeer' }
      const peer = server.id.toString()
      server.askedAt = ++asked
      counts.asked++
      isAsking = true
      try {
        const blocks = await ask(server, request)
        server.strikes = 0
        counts.blocksIn += blocks.length
        counts.bytesIn += blocks.reduce((sum, block) => sum + certifiedBlockBytes(block), 0)
        return { ok: true, peer, blocks }
      } catch (error) {
        // Whatever else went wrong between us and a peer (it is gone, slow, busy, or resets the stream), there is no answer.
        if (isMalformed(error)) {
          blame(peer, 'its answer is no answer')
          return { ok: false, code: 'malformed' }
        }
        log.debug('no answer to a request for blocks', { peer, error: String(error) })
        counts.strikes++
        if (++server.strikes >= STRIKES_MAX) {
          servers.delete(peer)
          host.disconnect(peer, 'it does not answer')
        }
        return { ok: false, code: 'noAnswer' }
      } finally {
        isAsking = false
      }
    },
    blame,
    peers: () => servers.size,
    counts: () => ({ ...counts }),
    async close() {
      ended.abort(new P2pError('sync is closed'))
      libp2p.unregister(topology)
      await libp2p.unhandle(protocol)
    },
  }
}

type Stream = Parameters<typeof lpStream>[0]

/** Serves one request on a stream, within what its peer may have. Throws where the peer is slow, gone, or asks nonsense. */
function createServing(
  ports: SyncPorts,
  limits: SyncLimits,
  {
    ended,
    counts,
    budgets,
    onEmpty,
  }: { readonly ended: AbortSignal; readonly counts: SyncCounts; readonly budgets: Budgets; onEmpty(peer: string): void },
): (stream: Stream, peer: string) => Promise<void> {
  let serving = 0

  async function answer(stream: Stream, peer: string): Promise<void> {
    const whole = AbortSignal.any([ended, AbortSignal.timeout(limits.answerMs)])
    const inTime = () => ({ signal: AbortSignal.any([whole, AbortSignal.timeout(limits.frameMs)]) })
    const framed = lpStream(stream, { maxDataLength: REQUEST_BYTES, maxBufferSize: REQUEST_BYTES + 16 })
    const request = decodeRequest((await framed.read(inTime())).subarray())
    if (!request.ok) throw new Malformed(request.code)
    const { from, count } = request.value
    let bytes = 0
    // A peer that asked too much, or a node that serves too many, has nothing to say for now.
    const isServed = budgets.spend(peer, REQUEST_COST_BYTES) && serving <= SERVED_MAX
    if (!isServed) counts.overdrawn++
    if (isServed) {
      counts.served++
      for (let number = from; number < from + BigInt(count); number++) {
        const certified = await ports.readBlock(number)
        if (!certified) break
        bytes += certifiedBlockBytes(certified)
        if (number > from && bytes > ANSWER_BYTES_MAX) break
        await framed.write(encodeFrame(certified), inTime())
        await drained(stream, inTime().signal)
        budgets.charge(peer, certifiedBlockBytes(certified))
        counts.bytesOut += certifiedBlockBytes(certified)
        await nextTurn() // reading blocks takes the time of whoever runs this node
      }
    }
    if (bytes === 0) onEmpty(peer)
    await framed.write(encodeFrame(), inTime())
  }

  return async (stream, peer) => {
    serving++
    try {
      await answer(stream, peer)
    } finally {
      serving--
    }
  }
}

/** Errors of the length prefix that no honest peer causes. */
const PREFIX_ERRORS = new Set(['InvalidDataLengthError', 'InvalidDataLengthLengthError', 'InvalidMessageLengthError', 'StreamBufferError'])

function isMalformed(error: unknown): boolean {
  return error instanceof Malformed || (error instanceof Error && PREFIX_ERRORS.has(error.name))
}
