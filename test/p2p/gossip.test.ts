/** Gossip between real hosts: what goes on to others and what does not, what is split or only announced, and what becomes of who sends garbage. */
import type { GossipSub } from '@libp2p/gossipsub'
import { afterEach, expect, test } from 'vitest'
import { MESSAGES_REMEMBERED_MAX, PEERS_REMEMBERED_MAX, rememberedOf } from '../../p2p/gossipMemory.ts'
import { BATCH_BYTES_MAX, type BlockNews, type CertifiedBlock, encodeBatch, encodeNews, NEWS_BYTES_MAX, topicsOf } from '../../p2p/wire.ts'
import { closePeers, eventually, GENESIS_HASH, startPeer, type TestPeer } from './peer.ts'

afterEach(closePeers)

const TOPICS = topicsOf(GENESIS_HASH)
const tx = (name: number, bytes = 10) => new Uint8Array(bytes).fill(name)
const certified = (name: number, bytes: number): CertifiedBlock => ({
  commit: new Uint8Array([6, name]),
  block: new Uint8Array(bytes).fill(name),
})

/** Collects what a peer is given, and judges it by the first byte: 2 ignore, 3 reject. */
function collector() {
  const txs: number[] = []
  const news: BlockNews[] = []
  const verdictOf = (first: number | undefined) => (first === 2 ? 'ignore' : first === 3 ? 'reject' : 'accept')
  return {
    txs,
    news,
    ports: {
      checkTransactions: async (transactions: readonly Uint8Array[]) => {
        txs.push(...transactions.map((raw) => raw[0] ?? 0))
        return verdictOf(transactions[0]?.[0])
      },
      checkBlock: async (one: BlockNews) => {
        news.push(one)
        return verdictOf(one.kind === 'checkpoint' ? one.signers[0] : one.commit[1])
      },
    } as const,
  }
}

/** What the interface of gossipsub hides. */
type Inside = {
  readonly seenCache: { put(id: string): void; has(id: string): boolean }
  readonly score: {
    readonly peerStats: ReadonlyMap<string, unknown>
    validateMessage(id: string): void
    addPeer(peer: string): void
    removePeer(peer: string): void
  }
  doAddBackoff(peer: string, topic: string, ms: number): void
}

/** first – middle – last: the ends know each other only through the middle. */
async function line() {
  const [atMiddle, atLast] = [collector(), collector()]
  const middle = await startPeer({ seed: 2, gossip: atMiddle.ports })
  const first = await startPeer({ seed: 1, bootstrap: [middle.address] })
  const last = await startPeer({ seed: 3, bootstrap: [middle.address], gossip: atLast.ports })
  await meshed(first, middle)
  await meshed(middle, last)
  return { first, middle, last, atMiddle, atLast }
}

/** Waits until two peers forward to each other: messages of the moment in which they meet may be lost between them. */
async function meshed(one: TestPeer, other: TestPeer): Promise<void> {
  const meshOf = ({ host }: TestPeer, topic: string) =>
    (host.libp2p.services.pubsub as GossipSub & { getMeshPeers(topic: string): string[] }).getMeshPeers(topic)
  await eventually(() => {
    for (const topic of Object.values(TOPICS)) {
      expect(meshOf(one, topic)).toContain(other.host.peerId)
      expect(meshOf(other, topic)).toContain(one.host.peerId)
    }
  })
}

test('transactions and blocks reach whom the sender is not connected to, once', async () => {
  const { first, atMiddle, atLast } = await line()
  for (let name = 10; name < 20; name++) expect(first.gossip.sendTransaction(tx(name))).toBe(true)
  first.gossip.sendBlock(certified(7, 1_000))
  const names = Array.from({ length: 10 }, (_, i) => i + 10)
  await eventually(() => expect([atMiddle.txs, atLast.txs]).toEqual([names, names]))
  await eventually(() => expect([atMiddle.news, atLast.news]).toEqual(Array(2).fill([{ kind: 'block', ...certified(7, 1_000) }])))
})

test('what is ignored does not go on, and its sender is not blamed', async () => {
  const { first, middle, atMiddle, atLast } = await line()
  first.gossip.sendTransaction(tx(2))
  await eventually(() => expect(atMiddle.txs).toEqual([2]))
  first.gossip.sendTransaction(tx(1))
  await eventually(() => expect(atLast.txs).toEqual([1])) // the later one is there, so the earlier is not on its way
  expect(middle.gossip.counts()).toEqual({ accept: 1, ignore: 1, stale: 0, reject: 0 })
  expect(middle.host.peers()).toContain(first.host.peerId)
})

test('a batch ends before 64 KiB, and a transaction larger than that travels alone', async () => {
  const { first, atLast, middle } = await line()
  const many = Math.ceil((2 * BATCH_BYTES_MAX) / 1_000)
  for (let i = 0; i < many; i++) first.gossip.sendTransaction(tx(5, 1_000 + i))
  first.gossip.sendTransaction(tx(6, 100_000))
  await eventually(() => expect(atLast.txs).toHaveLength(many + 1))
  expect(atLast.txs.filter((name) => name === 6)).toHaveLength(1)
  expect(middle.gossip.counts()).toEqual({ accept: 4, ignore: 0, stale: 0, reject: 0 })
})

test('transactions wait for somebody who listens, up to a bound', async () => {
  const sender = await startPeer({ seed: 1 })
  let queued = 0
  while (queued < 1_000 && sender.gossip.sendTransaction(tx(1, 100_000))) queued++
  expect(queued).toBe(Math.floor((8 << 20) / 100_000))
  expect(sender.gossip.sendTransaction(new Uint8Array())).toBe(false)
  const receiver = collector()
  await startPeer({ seed: 2, bootstrap: [sender.address], gossip: receiver.ports })
  await eventually(() => expect(receiver.txs.length).toBeGreaterThan(0))
  await eventually(() => expect(sender.gossip.sendTransaction(tx(1, 100_000))).toBe(true))
})

test('a block too large for gossip is announced', async () => {
  const { first, atLast } = await line()
  const large = certified(8, NEWS_BYTES_MAX)
  first.gossip.sendBlock(large)
  await eventually(() => expect(atLast.news).toEqual([{ kind: 'announcement', commit: large.commit }]))
})

test('who sends garbage is banned, and its garbage goes no further', async () => {
  const { first, middle, last, atMiddle, atLast } = await line()
  const { pubsub } = first.host.libp2p.services
  for (let i = 0; i < 5; i++) await pubsub.publish(TOPICS.transactions, new Uint8Array([255, 255, 255, i]))
  for (let i = 0; i < 5; i++) await pubsub.publish(TOPICS.blocks, new Uint8Array([77, i]))
  await eventually(() => expect(middle.gossip.counts().reject).toBeGreaterThanOrEqual(3))
  await eventually(() => expect(middle.host.peers()).toEqual([last.host.peerId]))
  // It dials on, and is refused: what it says now reaches nobody.
  first.gossip.sendTransaction(tx(1))
  last.gossip.sendTransaction(tx(9))
  await eventually(() => expect(atMiddle.txs).toEqual([9]))
  expect(atLast.txs).toEqual([])
  expect(middle.host.peers()).toEqual([last.host.peerId])
})

test('well-formed messages that are judged worthless have the same end', async () => {
  const { first, middle, last } = await line()
  for (let i = 0; i < 4; i++) first.gossip.sendBlock({ commit: new Uint8Array([6, 3]), block: new Uint8Array([i]) })
  await eventually(() => expect(middle.host.peers()).toEqual([last.host.peerId]))
  expect(middle.gossip.counts().reject).toBeGreaterThanOrEqual(3)
})

test('a checkpoint’s signers go to all, beside the blocks', async () => {
  const { first, atMiddle, atLast } = await line()
  first.gossip.sendSigners(new Uint8Array([1, 2, 3]))
  await eventually(() => {
    for (const { news } of [atMiddle, atLast]) expect(news).toEqual([{ kind: 'checkpoint', signers: new Uint8Array([1, 2, 3]) }])
  })
})

test('a block cannot be silenced by publishing its bytes as a transaction', async () => {
  const { first, atLast } = await line()
  const data = encodeNews(certified(1, 50))
  await first.host.libp2p.services.pubsub.publish(TOPICS.transactions, data)
  first.gossip.sendBlock(certified(1, 50))
  await eventually(() => expect(atLast.news).toHaveLength(1))
})

test('while judgement is slow, what comes beyond the bound is dropped and not queued', async () => {
  let release: (verdict: 'accept') => void = () => {}
  const judged = new Promise<'accept'>((resolve) => {
    release = resolve
  })
  const slow = await startPeer({ seed: 1, gossip: { checkTransactions: () => judged } })
  const sender = await startPeer({ seed: 2, bootstrap: [slow.address] })
  await meshed(sender, slow)
  for (let i = 0; i < 80; i++) {
    const batch = encodeBatch(0, [tx(i, 100_000)])
    await sender.host.libp2p.services.pubsub.publish(TOPICS.transactions, batch)
  }
  await eventually(() => expect(slow.gossip.counts().ignore).toBe(80 - Math.floor((4 << 20) / 100_003)))
  release('accept')
  await eventually(() => expect(slow.gossip.counts().accept).toBe(Math.floor((4 << 20) / 100_003)))
})

test('a peer whose gossip stream was reset is heard again', async () => {
  const heard = collector()
  const server = await startPeer({ seed: 1, gossip: heard.ports, muteMs: 500 })
  const client = await startPeer({ seed: 2, bootstrap: [server.address], muteMs: 500 })
  await meshed(client, server)
  const streams = client.host.libp2p.getConnections().flatMap((connection) => connection.streams)
  const mouth = streams.filter(({ direction, protocol }) => direction === 'outbound' && protocol.startsWith('/meshsub/'))
  expect(mouth).toHaveLength(1)
  const reconnects = new Promise((resolve) => client.host.libp2p.addEventListener('peer:disconnect', resolve, { once: true }))
  for (const stream of mouth) stream.abort(new Error('reset'))
  await reconnects
  client.gossip.sendTransaction(tx(1))
  await eventually(() => expect(heard.txs).toEqual([1]))
})

test('what is remembered of messages and of peers that are gone has a bound, whatever their number; the latest are remembered', async () => {
  const peer = await startPeer({ seed: 1 })
  const { host, gossip } = peer
  const other = await startPeer({ seed: 2, bootstrap: [peer.address] })
  await meshed(peer, other)
  const pubsub = host.libp2p.services.pubsub as GossipSub & Inside
  for (let i = 0; i < MESSAGES_REMEMBERED_MAX + 5_000; i++) {
    pubsub.seenCache.put(`message ${i}`)
    pubsub.score.validateMessage(`message ${i}`)
  }
  for (let i = 0; i < PEERS_REMEMBERED_MAX + 500; i++) {
    pubsub.score.addPeer(`peer ${i}`)
    pubsub.score.removePeer(`peer ${i}`)
    pubsub.doAddBackoff(`peer ${i}`, TOPICS.blocks, 1e12)
  }
  const bounds = {
    seen: MESSAGES_REMEMBERED_MAX,
    judged: MESSAGES_REMEMBERED_MAX,
    scores: PEERS_REMEMBERED_MAX,
    backoffs: PEERS_REMEMBERED_MAX,
  }
  await eventually(() => expect(rememberedOf(pubsub)).toEqual(bounds))
  expect(gossip.metrics()).toMatchObject({ rememberedMessages: MESSAGES_REMEMBERED_MAX, rememberedPeers: PEERS_REMEMBERED_MAX })
  expect(pubsub.seenCache.has(`message ${MESSAGES_REMEMBERED_MAX + 4_999}`)).toBe(true)
  expect(pubsub.score.peerStats.has(other.host.peerId)).toBe(true) // it came first, and is there
})
