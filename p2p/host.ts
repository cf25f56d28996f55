/**
 * The libp2p host: TCP, noise, yamux, identify and gossipsub under a lasting Ed25519 identity. It keeps connections to the bootstrap peers by a
 * dial loop of its own, bounds what one address may open, and refuses for a while whoever lied.
 *
 * libp2p's connection monitor is off: it aborts the connections of a peer whose event loop stands still for a few seconds and never dials again.
 * A connection that is really dead shows in block sync, which closes it. Spec: docs/spec/p2p.md#host
 */
import { isIP, isIPv6 } from 'node:net'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { GossipSub } from '@libp2p/gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import type { Hex } from 'viem'
import { peerIdOf } from './address.ts'
import { type BudgetLimits, type Budgets, createBudgets } from './budget.ts'
import { P2pError } from './p2pError.ts'
import { createPubsub } from './pubsub.ts'
import { topicsOf } from './wire.ts'

/** Where the room tells what happens to it. Nothing that peers sent is in it but their ids. */
export type P2pLog = { readonly [L in 'debug' | 'info' | 'warn']: (event: string, facts?: Readonly<Record<string, unknown>>) => void }

/** Bounds that an operator or a test may set otherwise. */
export type HostLimits = {
  readonly connectionsMax: number
  /** Open connections with one IP address. */
  readonly connectionsPerAddressMax: number
  /** Shortest and longest wait between two dials of a peer. */
  readonly dialMinMs: number
  readonly dialMaxMs: number
  /** How often what the library knows of peers that are gone is forgotten. */
  readonly forgetMs: number
  /** Part of the usual rates that peers are given: 1, but in tests that have no time for floods. */
  readonly rateShare: number
}

export type HostOptions = {
  /** 32 secret bytes of which the identity is made: the same bytes, the same peer id. */
  readonly seed: Uint8Array
  readonly genesisHash: Hex
  /** IP address and port to listen on; port 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number }
  /** Peers to stay connected to: multiaddrs that end with /p2p/ID. */
  readonly bootstrap: readonly string[]
  readonly limits?: Partial<HostLimits>
  readonly log: P2pLog
}

export type Network = Libp2p<{ identify: Identify; pubsub: GossipSub }>

export type Host = {
  /** For the other files of this room. */
  readonly libp2p: Network
  readonly peerId: string
  /** Listens and dials. Protocols must be there by then, for peers are told of them once. Throws P2pError if it cannot listen. */
  start(): Promise<void>
  /** Multiaddrs by which others reach this host, with its id; none before the start. */
  addresses(): readonly string[]
  /** Ids of the connected peers. */
  peers(): readonly string[]
  /** Closes the connections with a peer and takes none from it for so long. */
  ban(peer: string, ms: number, why: string): void
  /** Closes the connections with a peer; it may come back. */
  disconnect(peer: string, why: string): void
  /** Budgets of peers, at the part of these rates that they are given here. */
  budgets(limits: BudgetLimits): Budgets
  counts(): HostCounts
  close(): Promise<void>
}

/** Numbers since the start, and of connections now. */
export type HostCounts = {
  readonly peers: number
  readonly connections: number
  readonly disconnects: number
  /** Connections that were not taken: too many from their address, or of a banned peer. */
  readonly refusals: number
  readonly bans: number
  readonly bansBy: Readonly<Record<string, number>>
}

const DEFAULT_LIMITS: HostLimits = {
  connectionsMax: 128,
  connectionsPerAddressMax: 16,
  dialMinMs: 500,
  dialMaxMs: 15_000,
  forgetMs: 10_000,
  rateShare: 1,
}

const DIAL_TIMEOUT_MS = 10_000
/** How often a connection with a bootstrap peer is looked after. */
const LOOK_MS = 2_000
/** What a peer may send ahead on one stream. */
const STREAM_WINDOW_BYTES = 4 << 20
/** Ban of a peer whose bytes are worthless. */
export const BAN_MS = 600_000
/** Streams that a peer may open, of all protocols: block sync takes one for each request. */
const STREAMS = { perSec: 100, burst: 2_000 }
/** Banned peers that are remembered. */
const BANS_MAX = 4_096

/** The id of the peer whose identity is made of this seed. */
export async function peerIdOfSeed(seed: Uint8Array): Promise<string> {
  return (await generateKeyPairFromSeed('Ed25519', seed)).publicKey.toString()
}

/** A host that is not started yet. Throws P2pError if an address is none. */
export async function createHost(options: HostOptions): Promise<Host> {
  const { log, listen } = options
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  if (isIP(listen.host) === 0) throw new P2pError(`p2p listens on an IP address, not on ${listen.host}`)
  const bootstrap = options.bootstrap.map((text) => {
    const peer = peerIdOf(text)
    if (peer === undefined) throw new P2pError(`${text} is not the multiaddr of a peer: /ip4/ADDRESS/tcp/PORT/p2p/ID`)
    return { address: multiaddr(text), peer }
  })
  const bans = createBans()
  const counts = { disconnects: 0, refusals: 0, bans: 0, bansBy: {} as Record<string, number> }
  const libp2p = await makeLibp2p(options, {
    limits,
    isBanned: bans.has,
    onRefusal: () => counts.refusals++,
    ban: (peer, why) => ban(peer, BAN_MS, why),
  })
  const peerId = libp2p.peerId.toString()
  const onForgetError = (error: unknown) => log.debug('peers not forgotten', { error: String(error) })
  let stopDialling: (() => void)[] = []
  let forgetTimer: NodeJS.Timeout | undefined

  boundStreams(libp2p, {
    budgets: shared(STREAMS, limits.rateShare),
    onExcess: (peer) => ban(peer, BAN_MS, 'it opens streams without end'),
  })
  libp2p.addEventListener('peer:connect', ({ detail }) => log.debug('peer connected', { peer: detail.toString() }))
  libp2p.addEventListener('peer:disconnect', ({ detail }) => log.debug('peer gone', { peer: detail.toString() }))

  function disconnect(peer: string, why: string): void {
    log.debug('peer disconnected', { peer, why })
    counts.disconnects++
    for (const connection of libp2p.getConnections()) {
      if (connection.remotePeer.toString() === peer) connection.abort(new P2pError(why))
    }
  }

  function ban(peer: string, ms: number, why: string): void {
    const isNew = !bans.has(peer)
    bans.add(peer, ms)
    if (isNew) {
      counts.bans++
      counts.bansBy[why] = (counts.bansBy[why] ?? 0) + 1
      log.info('peer banned', { peer, why })
    }
    disconnect(peer, why)
  }

  const addresses = () => libp2p.getMultiaddrs().map((address) => address.toString())
  return {
    libp2p,
    peerId,
    addresses,
    async start() {
      try {
        await libp2p.start()
      } catch (error) {
        throw new P2pError(`p2p cannot listen on ${listen.host} port ${listen.port}`, { cause: error })
      }
      forgetTimer = setInterval(() => forgetGone(libp2p).catch(onForgetError), limits.forgetMs).unref()
      stopDialling = bootstrap.filter(({ peer }) => peer !== peerId).map((target) => keepDialled(libp2p, target, limits, log))
      log.info('p2p listens', { addresses: addresses().join(' ') })
    },
    peers: () => libp2p.getPeers().map((peer) => peer.toString()),
    ban,
    disconnect,
    budgets: (of) => shared(of, limits.rateShare),
    counts: () => ({
      peers: libp2p.getPeers().length,
      connections: libp2p.getConnections().length,
      ...counts,
      bansBy: { ...counts.bansBy },
    }),
    async close() {
      for (const stop of stopDialling) stop()
      clearInterval(forgetTimer)
      await libp2p.stop()
    },
  }
}

type GateParts = {
  readonly limits: HostLimits
  isBanned(peer: string): boolean
  onRefusal(): void
  ban(peer: string, why: string): void
}

async function makeLibp2p({ seed, genesisHash, listen }: HostOptions, { limits, isBanned, onRefusal, ban }: GateParts): Promise<Network> {
  const isFull = (address: Multiaddr) => {
    const same = libp2p.getConnections().filter(({ remoteAddr }) => ipOf(remoteAddr) === ipOf(address))
    return same.length >= limits.connectionsPerAddressMax
  }
  const refuseIf = (refused: boolean) => {
    if (refused) onRefusal()
    return refused
  }
  const libp2p: Network = await createLibp2p({
    start: false,
    privateKey: await generateKeyPairFromSeed('Ed25519', seed),
    addresses: { listen: [`/${isIPv6(listen.host) ? 'ip6' : 'ip4'}/${listen.host}/tcp/${listen.port}`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    // A paused stream is reset when more waits on it than the library holds: 4 MiB.
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES } })],
    connectionMonitor: { enabled: false },
    connectionManager: { maxConnections: limits.connectionsMax, dialTimeout: DIAL_TIMEOUT_MS },
    connectionGater: {
      denyDialPeer: (peer) => isBanned(peer.toString()),
      denyInboundConnection: ({ remoteAddr }) => refuseIf(isFull(remoteAddr)),
      denyInboundEncryptedConnection: (peer) => refuseIf(isBanned(peer.toString())),
    },
    services: {
      identify: identify(),
      pubsub: createPubsub(Object.values(topicsOf(genesisHash)), { ban, budgets: (of) => shared(of, limits.rateShare) }),
    },
  })
  return libp2p
}

/** Counts the streams that peers open, those too that no protocol takes: each costs work, and libp2p only resets them. */
function boundStreams(libp2p: Network, { budgets, onExcess }: { readonly budgets: Budgets; onExcess(peer: string): void }): void {
  libp2p.addEventListener('connection:open', ({ detail }) => {
    const peer = detail.remotePeer.toString()
    // The interface hides what the connection has.
    const { muxer } = detail as unknown as { readonly muxer?: EventTarget }
    muxer?.addEventListener('stream', () => {
      if (detail.status === 'open' && !budgets.spend(peer, 1)) onExcess(peer)
    })
  })
}

/**
 * Forgets what is known of peers that are not connected: it is of no use, and strangers are many. Not when one goes, since what goes on with its streams
 * at that time is written down afterwards, and stays.
 */
async function forgetGone(libp2p: Network): Promise<void> {
  for (const { id } of await libp2p.peerStore.all()) {
    if (libp2p.getConnections(id).length === 0) await libp2p.peerStore.delete(id)
  }
}

/** Dials a peer whenever there is no connection with it, with growing waits. Answers what ends it. */
function keepDialled(
  libp2p: Network,
  { address, peer }: { readonly address: Multiaddr; readonly peer: string },
  { dialMinMs, dialMaxMs }: HostLimits,
  log: P2pLog,
): () => void {
  const ended = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let tries = 0

  async function look(): Promise<void> {
    let waitMs = LOOK_MS
    if (libp2p.getPeers().some((known) => known.toString() === peer)) tries = 0
    else {
      // Whether a dial was of use shows at the next look: one that the other side denies succeeds here, and is closed a moment later.
      const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)])
      await libp2p.dial(address, { signal }).catch((error: unknown) => log.debug('peer not reached', { peer, error: String(error) }))
      waitMs = Math.min(dialMaxMs, dialMinMs * 2 ** Math.min(tries, 16)) * (0.75 + Math.random() / 2)
      tries++
    }
    if (!ended.signal.aborted) timer = setTimeout(start, waitMs)
  }

  const start = () => {
    look().catch((error: unknown) => log.warn('dial loop ended', { peer, error: String(error) }))
  }
  start()
  return () => {
    ended.abort()
    clearTimeout(timer)
  }
}

function shared({ perSec, burst }: BudgetLimits, share: number): Budgets {
  return createBudgets({ perSec: perSec * share, burst: burst * share })
}

/** Who is banned until when; the oldest bans make room for new ones. */
function createBans(): { add(peer: string, ms: number): void; has(peer: string): boolean } {
  const until = new Map<string, number>()
  return {
    add(peer, ms) {
      const oldest = until.keys().next().value
      if (until.size >= BANS_MAX && oldest !== undefined) until.delete(oldest)
      until.delete(peer)
      until.set(peer, Date.now() + ms)
    },
    has(peer) {
      const end = until.get(peer)
      if (end === undefined) return false
      if (Date.now() < end) return true
      until.delete(peer)
      return false
    },
  }
}

function ipOf(address: Multiaddr): string | undefined {
  return address.getComponents().find(({ name }) => name === 'ip4' || name === 'ip6')?.value
}
