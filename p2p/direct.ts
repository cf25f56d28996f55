/**
 * Direct streams between validators: votes, certificates and proposed blocks, from each to each. Who speaks shows first that it is a validator, and
 * is not listened to without that. Blocks have a stream of their own and leave in pieces: on one stream a vote would wait for the block in front of
 * it. Spec: docs/spec/p2p.md#direct-streams
 */
import type { Hex } from 'viem'
import { fromHex, toHex } from '../execution/hex.ts'
import { createBudgets } from './budget.ts'
import { type DirectCounts, noCounts } from './directCounts.ts'
import { createFrameReader, encodeFrameOf, type FrameKind, headerHashOf } from './frames.ts'
import { BAN_MS, type Host, type Network, type P2pLog } from './host.ts'
import { createLane, type Lane, type Stream } from './lane.ts'
import { P2pError } from './p2pError.ts'
import { directProtocolsOf } from './wire.ts'

/** The BLS key of a validator, or that the hello is a lie, or that no validator of this key is known here. */
export type HelloVerdict = Hex | 'wrong' | undefined

export type DirectOptions = {
  /** What proves which validator this node is: BLS key 48 ‖ signature over `helloDigest` of the own peer id 96. undefined: none; nobody opens streams to it. */
  readonly hello: Uint8Array | undefined
  /** The BLS key of the validator that a peer is; undefined: of none that is known here; 'wrong': it lies. Membership first, for a signature costs 1 ms. */
  checkHello(peerId: string, hello: Uint8Array): HelloVerdict | Promise<HelloVerdict>
  /** One message of consensus, 1 to 1,024 bytes that nobody judged yet. */
  onMessage(message: Uint8Array, from: string): void
  /** A block that a proposer pushed, 1 byte to 32 MiB that nobody judged yet. */
  onBlock(block: Uint8Array, from: string): void
  /** A validator's signature of a checkpoint, 136 bytes that nobody judged yet. */
  onCheckpoint?(signature: Uint8Array, from: string): void
  /** The bytes of a proposed or final block by its hash. */
  readBlock(hash: Hex): Uint8Array | undefined | Promise<Uint8Array | undefined>
  /** Whether these bytes are the block of this hash. Without it only the header is compared. */
  isBlock?(hash: Hex, block: Uint8Array): boolean | Promise<boolean>
  /** A validator's hello stands: from now on it is sent messages. */
  onValidator?(peerId: string, publicKey: Hex): void
}

export type ValidatorPeer = { readonly peerId: string; readonly publicKey: Hex }

export type Direct = {
  /** To every connected validator. */
  broadcast(message: Uint8Array): void
  sendTo(peerId: string, message: Uint8Array): void
  broadcastBlock(block: Uint8Array): void
  /** Signatures of checkpoints, each to every connected validator, or to one. */
  sendCheckpoint(signature: Uint8Array, peerId?: string): void
  /** Asks connected validators, the one named first, then others, each after the last said no or kept silent for a while. Undefined: nobody had it in time. */
  fetchBlock(hash: Hex, first?: string): Promise<Uint8Array | undefined>
  validators(): readonly ValidatorPeer[]
  /** Judges all hellos anew: the set of validators has changed. */
  recheck(): void
  /** What a peer sent is not worth what it costs: it is banned. */
  blame(peerId: string, why: string): void
  counts(): Readonly<DirectCounts>
  close(): Promise<void>
}

/** Bounds that a test may set otherwise. */
export type DirectLimits = {
  /** Time that a stream has for its hello. */
  readonly helloMs: number
  /** Silence after which the next validator is asked for a block, and the time for all of them. */
  readonly askMs: number
  readonly fetchMs: number
  /** Time that a frame has from its first byte to its last. */
  readonly frameMs: number
  /** Time in which a peer must take something of what waits for it, or be disconnected. */
  readonly stallMs: number
  /** Messages of one peer, and bytes of its blocks. */
  readonly messagesPerSec: number
  readonly messagesBurst: number
  readonly blockBytesPerSec: number
  readonly blockBytesBurst: number
}

export type DirectParts = { readonly host: Host; readonly genesisHash: Hex; readonly log: P2pLog; readonly limits?: Partial<DirectLimits> }

const DEFAULT_LIMITS: DirectLimits = {
  helloMs: 10_000,
  askMs: 1_000,
  fetchMs: 20_000,
  frameMs: 60_000,
  stallMs: 60_000,
  messagesPerSec: 500,
  messagesBurst: 2_048,
  blockBytesPerSec: 16 << 20,
  blockBytesBurst: 64 << 20,
}

/** What waits for one peer: votes are worth nothing when they are old, and a proposed block not much more. */
const MESSAGES_QUEUED = { framesMax: 1_024, bytesMax: 256 << 10 }
const BLOCKS_QUEUED = { framesMax: 8, bytesMax: 64 << 20 }
/** Streams of one connection, each way: one, and one that takes its place. */
const STREAMS_PER_CONNECTION_MAX = 2
/** Peers that may speak for one validator: it, and it under another name while the old one is not known to be gone. */
const PEERS_PER_KEY_MAX = 2
/** Validators that are not listened to, under whatever name: more than a set has. */
const BANNED_KEYS_MAX = 1_024
/** Streams that a peer may open. */
const OPENS = { perSec: 1, burst: 32 }
/** Blocks that a peer may ask for, and their bytes. */
const ASKS = { perSec: 8, burst: 64 }
const ASKS_EXCESS = { perSec: 8, burst: 512 }
const SERVED_BYTES = { perSec: 16 << 20, burst: 64 << 20 }
/** Frames above a peer's rate that are forgiven; so many bytes of a block are one. */
const EXCESS = { perSec: 50, burst: 2_048 }
const BLOCK_BYTES_PER_EXCESS = 16_384
/** Blocks that are asked for at a time. */
const FETCHES_MAX = 16
/** Bytes of incomplete blocks, of all peers; above it the largest is refused. */
const HELD_BYTES_MAX = 128 << 20

type Kind = 'votes' | 'blocks'
/** What may come on which stream after the hello. */
const MAY_COME: Readonly<Record<Kind, readonly FrameKind[]>> = {
  votes: ['message', 'ask', 'none', 'checkpoint'],
  blocks: ['block', 'answer'],
}

type Ear = { readonly stream: Stream; held(): number }
type Peer = {
  readonly peerId: string
  hello: Uint8Array | undefined
  publicKey: Hex | undefined
  readonly ears: { votes?: Ear; blocks?: Ear }
  lanes: Readonly<Record<Kind, Lane>> | undefined
}

/** Speaks and listens on a host that is not started yet. */
export async function createDirect(options: DirectOptions, parts: DirectParts): Promise<Direct> {
  const { host, genesisHash, log } = parts
  const [{ libp2p }, { hello }] = [host, options]
  const limits = { ...DEFAULT_LIMITS, ...parts.limits }
  const protocols = directProtocolsOf(genesisHash)
  const peers = new Map<string, Peer>()
  const counts = noCounts()
  const judge = createFrameJudge(limits, host.budgets)
  const bannedKeys = createKeyBans()
  const onError = (error: unknown) => log.warn('direct streams', { error: String(error) })

  function peerOf(peerId: string): Peer {
    const known = peers.get(peerId)
    if (known) return known
    const peer: Peer = { peerId, hello: undefined, publicKey: undefined, ears: {}, lanes: undefined }
    peers.set(peerId, peer)
    return peer
  }

  function blame(peerId: string, why: string): void {
    const key = peers.get(peerId)?.publicKey
    forget(peerId)
    host.ban(peerId, BAN_MS, why)
    if (key) banKey(key)
  }

  function banKey(key: Hex): void {
    bannedKeys.add(key)
    for (const peer of peers.values()) if (peer.publicKey === key) dismiss(peer)
  }

  function dismiss(peer: Peer): void {
    peer.publicKey = undefined
    for (const ear of Object.values(peer.ears)) ear.stream.abort(new P2pError('no validator any more'))
  }

  function forget(peerId: string): void {
    const peer = peers.get(peerId)
    peers.delete(peerId)
    for (const lane of Object.values(peer?.lanes ?? {})) lane.close()
  }

  /** Takes a hello. False: the stream is of no validator. */
  async function greet(peer: Peer, said: Uint8Array): Promise<boolean> {
    const { peerId } = peer
    if (peer.publicKey && peer.hello && sameBytes(peer.hello, said)) return true
    const publicKey = await options.checkHello(peerId, said)
    if (peers.get(peerId) !== peer) return false // gone meanwhile
    if (publicKey === 'wrong') blame(peerId, 'its hello is wrong')
    const isBanned = publicKey !== undefined && publicKey !== 'wrong' && bannedKeys.has(publicKey)
    const others = [...peers.values()].filter((other) => other.publicKey === publicKey && other !== peer).length
    if (publicKey === undefined || publicKey === 'wrong' || isBanned || others >= PEERS_PER_KEY_MAX) {
      counts.helloRefusals++
      log.debug('hello refused', { peer: peerId })
      return false
    }
    peer.hello = said
    if (peer.publicKey !== publicKey) {
      peer.publicKey = publicKey
      log.debug('validator connected', { peer: peerId, publicKey })
      options.onValidator?.(peerId, publicKey)
    }
    return true
  }

  const fetches = createFetches({
    limits,
    validators: () => [...peers.values()].filter(({ publicKey, lanes }) => publicKey && lanes).map(({ peerId }) => peerId),
    ask: (peerId, hash) => peers.get(peerId)?.lanes?.votes.send(encodeFrameOf('ask', fromHex(hash))),
    isBlock: options.isBlock ?? ((hash, block) => headerHashOf(block) === hash),
    blame,
  })

  async function serve({ peerId, lanes }: Peer, hash: Uint8Array): Promise<void> {
    const verdict = judge.asks(peerId)
    if (verdict === 'flood') blame(peerId, 'it asks without end')
    const block = verdict === 'answer' ? await options.readBlock(toHex(hash)) : undefined
    if (block && judge.serves(peerId, block.length)) {
      counts.asksServed++
      lanes?.blocks.send(encodeFrameOf('answer', hash, block))
    } else {
      counts.asksRefused++
      lanes?.votes.send(encodeFrameOf('none', hash))
    }
  }

  function take(peer: Peer, kind: FrameKind, body: Uint8Array): void {
    const { peerId } = peer
    counts.bytesIn += body.length
    if (kind === 'message') {
      counts.messagesIn++
      options.onMessage(body, peerId)
    } else if (kind === 'block') {
      counts.blocksIn++
      options.onBlock(body, peerId)
    } else if (kind === 'checkpoint') {
      counts.checkpointsIn++
      options.onCheckpoint?.(body, peerId)
    } else if (kind === 'ask') serve(peer, body).catch(onError)
    else if (kind === 'none') fetches.none(toHex(body), peerId)
    else if (kind === 'answer') {
      counts.blocksIn++
      fetches.answer(toHex(body.subarray(0, 32)), body.subarray(32), peerId).catch(onError)
    }
  }

  function listen(kind: Kind, stream: Stream, peerId: string): void {
    const refuse = (why: string) => stream.abort(new P2pError(why))
    if (!judge.opens(peerId)) {
      blame(peerId, 'it opens streams without end')
      refuse('too many streams')
      return
    }
    const peer = peerOf(peerId)
    /** What came with the hello, and waits for what it is worth. */
    const early: [FrameKind, Uint8Array][] = []
    let said: 'nothing' | 'hello' | 'greeted' = 'nothing'
    const helloTimer = setTimeout(() => refuse('no hello'), limits.helloMs)
    let frameTimer: NodeJS.Timeout | undefined

    /** The stream is read no further until the hello is judged. */
    async function judgeHello(body: Uint8Array): Promise<void> {
      said = 'hello'
      stream.pause()
      const stands = await greet(peer, body)
      clearTimeout(helloTimer)
      if (stream.status !== 'open') return
      if (!stands) return refuse('no validator that is known here')
      said = 'greeted'
      for (const [frame, waited] of early.splice(0)) take(peer, frame, waited)
      stream.resume()
    }

    const reader = createFrameReader({
      begins(frame, bytes) {
        if (said === 'nothing') return frame === 'hello' ? 'take' : 'refuse'
        if (!MAY_COME[kind].includes(frame)) return 'refuse'
        const verdict = judge.begins(peerId, frame, bytes)
        if (verdict === 'skip') counts.rateDrops++
        if (verdict === 'flood') blame(peerId, 'it floods')
        return verdict === 'flood' ? 'refuse' : verdict
      },
      frame(frame, body) {
        clearTimeout(frameTimer)
        frameTimer = undefined
        if (frame === 'hello') judgeHello(body).catch(onError)
        else if (said === 'hello') early.push([frame, body])
        else take(peer, frame, body)
        return stream.status === 'open'
      },
    })
    peer.ears[kind]?.stream.abort(new P2pError('a newer stream takes its place'))
    const ear: Ear = { stream, held: reader.held }
    peer.ears[kind] = ear
    stream.addEventListener('message', ({ data }) => {
      if (stream.status !== 'open') return
      if (!reader.push(data.subarray()) && stream.status === 'open') {
        blame(peerId, 'what it says directly is malformed')
        refuse('malformed')
      }
      if (reader.held() > 0) frameTimer ??= setTimeout(() => refuse('a frame without end'), limits.frameMs)
      refuseLargest()
    })
    stream.addEventListener('close', () => {
      clearTimeout(helloTimer)
      clearTimeout(frameTimer)
      if (peer.ears[kind] === ear) delete peer.ears[kind]
    })
    // Whoever will say no more has ended the stream.
    stream.addEventListener('remoteCloseWrite', () => refuse('ended'))
  }

  /** Many halves of large blocks must not fill the memory: the largest goes. */
  function refuseLargest(): void {
    const ears = [...peers.values()].flatMap((peer) => peer.ears.blocks ?? [])
    if (ears.reduce((sum, ear) => sum + ear.held(), 0) <= HELD_BYTES_MAX) return
    ears.reduce((most, ear) => (ear.held() > most.held() ? ear : most)).stream.abort(new P2pError('too many bytes of blocks wait'))
  }

  function speak(id: Network['peerId']): void {
    const peer = peerOf(id.toString())
    if (peer.lanes || !hello) return
    const open = (protocol: string, queued: typeof MESSAGES_QUEUED) =>
      createLane({
        ...queued,
        hello: encodeFrameOf('hello', hello),
        async open(signal) {
          const connection = libp2p.getConnections(id).find(({ status }) => status === 'open')
          if (!connection) throw new P2pError('the peer is gone')
          return connection.newStream(protocol, { signal })
        },
        stallMs: limits.stallMs,
        onStall: () => host.disconnect(peer.peerId, 'it takes nothing'),
        onDrop: () => {
          counts.queueDrops++
        },
        log,
      })
    peer.lanes = { votes: open(protocols.votes, MESSAGES_QUEUED), blocks: open(protocols.blocks, BLOCKS_QUEUED) }
  }

  const onGone = ({ detail }: { readonly detail: Network['peerId'] }) => forget(detail.toString())
  const topology = hello && (await libp2p.register(protocols.votes, { onConnect: speak }))
  libp2p.addEventListener('peer:disconnect', onGone)
  for (const kind of hello ? (['votes', 'blocks'] as const) : []) {
    await libp2p.handle(protocols[kind], (stream, { remotePeer }) => listen(kind, stream, remotePeer.toString()), {
      maxInboundStreams: STREAMS_PER_CONNECTION_MAX,
      maxOutboundStreams: STREAMS_PER_CONNECTION_MAX,
    })
  }

  async function recheck(peer: Peer): Promise<void> {
    const said = peer.hello
    peer.hello = undefined
    if (!said || (await greet(peer, said))) return
    dismiss(peer)
  }

  function send(kind: Kind, frame: Uint8Array, to: Iterable<Peer | undefined>): number {
    let sent = 0
    for (const peer of to) {
      if (!peer?.publicKey || !peer.lanes) continue
      peer.lanes[kind].send(frame)
      sent++
    }
    return sent
  }

  return {
    broadcast(message) {
      counts.messagesOut += send('votes', encodeFrameOf('message', message), peers.values())
    },
    sendTo(peerId, message) {
      counts.messagesOut += send('votes', encodeFrameOf('message', message), [peers.get(peerId)])
    },
    sendCheckpoint(signature, peerId) {
      const to = peerId === undefined ? peers.values() : [peers.get(peerId)]
      counts.checkpointsOut += send('votes', encodeFrameOf('checkpoint', signature), to)
    },
    broadcastBlock(block) {
      counts.blocksOut += send('blocks', encodeFrameOf('block', block), peers.values())
    },
    fetchBlock: fetches.fetch,
    validators: () => [...peers.values()].flatMap(({ peerId, publicKey }) => (publicKey ? [{ peerId, publicKey }] : [])),
    recheck() {
      for (const peer of peers.values()) recheck(peer).catch(onError)
    },
    blame,
    counts: () => ({ ...counts }),
    async close() {
      libp2p.removeEventListener('peer:disconnect', onGone)
      if (topology) libp2p.unregister(topology)
      fetches.close()
      for (const peerId of [...peers.keys()]) forget(peerId)
      if (hello) await libp2p.unhandle(Object.values(protocols))
    },
  }
}

/** What a peer may send and be sent. */
function createFrameJudge(limits: DirectLimits, budgets: Host['budgets']) {
  const messages = budgets({ perSec: limits.messagesPerSec, burst: limits.messagesBurst })
  const blockBytes = budgets({ perSec: limits.blockBytesPerSec, burst: limits.blockBytesBurst })
  const asked = budgets(ASKS)
  const served = budgets(SERVED_BYTES)
  const excess = budgets(EXCESS)
  const askedTooMuch = budgets(ASKS_EXCESS)
  const opens = createBudgets(OPENS)
  return {
    opens: (peerId: string) => opens.spend(peerId, 1),
    begins(peerId: string, kind: FrameKind, bytes: number): 'take' | 'skip' | 'flood' {
      const isBlock = kind === 'block' || kind === 'answer'
      if (isBlock ? blockBytes.spend(peerId, bytes) : messages.spend(peerId, 1)) return 'take'
      return excess.spend(peerId, isBlock ? Math.ceil(bytes / BLOCK_BYTES_PER_EXCESS) : 1) ? 'skip' : 'flood'
    },
    asks(peerId: string): 'answer' | 'refuse' | 'flood' {
      if (asked.spend(peerId, 1)) return 'answer'
      return askedTooMuch.spend(peerId, 1) ? 'refuse' : 'flood'
    },
    serves: (peerId: string, bytes: number) => served.spend(peerId, bytes),
  }
}

/** Validators that are banned: a name costs nothing, and a key has a hello for any. */
function createKeyBans(): { add(key: Hex): void; has(key: Hex): boolean } {
  const untilMs = new Map<Hex, number>()
  return {
    add(key) {
      const [oldest] = untilMs.keys()
      if (untilMs.size >= BANNED_KEYS_MAX && oldest !== undefined) untilMs.delete(oldest)
      untilMs.set(key, Date.now() + BAN_MS)
    },
    has: (key) => (untilMs.get(key) ?? 0) > Date.now(),
  }
}

type Fetch = {
  readonly asked: Set<string>
  readonly unasked: string[]
  /** Asked peers that did not say no. */
  readonly open: Set<string>
  end(block: Uint8Array | undefined): void
  next(): void
  readonly promise: Promise<Uint8Array | undefined>
}

type FetchPorts = {
  readonly limits: DirectLimits
  validators(): string[]
  ask(peerId: string, hash: Hex): void
  isBlock(hash: Hex, block: Uint8Array): boolean | Promise<boolean>
  blame(peerId: string, why: string): void
}

/** Blocks that are asked for, each of one validator after another. */
function createFetches(ports: FetchPorts) {
  const fetches = new Map<Hex, Fetch>()

  function start(hash: Hex, first: string | undefined): Fetch {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>()
    const unasked = ports.validators().sort((a, b) => Number(b === first) - Number(a === first))
    const hedge = setInterval(() => fetch.next(), ports.limits.askMs)
    const deadline = setTimeout(() => fetch.end(undefined), ports.limits.fetchMs)
    const fetch: Fetch = {
      asked: new Set(),
      open: new Set(),
      unasked,
      promise,
      end(block) {
        clearInterval(hedge)
        clearTimeout(deadline)
        fetches.delete(hash)
        resolve(block)
      },
      next() {
        const peerId = unasked.shift()
        if (peerId === undefined) {
          if (fetch.open.size === 0) fetch.end(undefined)
          return
        }
        fetch.asked.add(peerId)
        fetch.open.add(peerId)
        ports.ask(peerId, hash)
      },
    }
    fetches.set(hash, fetch)
    fetch.next()
    return fetch
  }

  return {
    fetch(hash: Hex, first?: string): Promise<Uint8Array | undefined> {
      const known = fetches.get(hash)
      if (known) return known.promise
      return fetches.size < FETCHES_MAX ? start(hash, first).promise : Promise.resolve(undefined)
    },
    none(hash: Hex, from: string): void {
      const fetch = fetches.get(hash)
      if (fetch?.open.delete(from)) fetch.next()
    },
    async answer(hash: Hex, block: Uint8Array, from: string): Promise<void> {
      const fetch = fetches.get(hash)
      if (!fetch?.asked.has(from)) return // late, or never asked for: it counts against the peer's bytes
      if (await ports.isBlock(hash, block)) fetch.end(block)
      else {
        fetch.open.delete(from)
        ports.blame(from, 'its block is another')
        fetch.next()
      }
    },
    close(): void {
      for (const fetch of [...fetches.values()]) fetch.end(undefined)
    },
  }
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i])
}
