/** Block sync between real hosts: what is served, what is asked, and what becomes of those who lie, stall or ask too much. */
import { lpStream } from '@libp2p/utils'
import { afterEach, expect, test } from 'vitest'
import {
  ANSWER_BYTES_MAX,
  type CertifiedBlock,
  decodeFrame,
  encodeFrame,
  encodeRequest,
  FRAME_BYTES_MAX,
  syncProtocolOf,
} from '../../p2p/wire.ts'
import { closePeers, eventually, GENESIS_HASH, startPeer, type TestPeer, type TestPeerOptions } from './peer.ts'

afterEach(closePeers)

const PROTOCOL = syncProtocolOf(GENESIS_HASH)

/** Block `number` of a chain whose blocks are bytes without a meaning. */
const blockOf = (number: bigint, bytes = 100): CertifiedBlock => ({
  commit: new Uint8Array([6, Number(number % 256n)]),
  block: new Uint8Array(bytes).fill(Number(number % 251n) + 1),
})

/** Serves blocks 1 to `head`. */
const chainOf = (head: bigint, bytes?: number) => ({
  readBlock: (number: bigint) => (number > 0n && number <= head ? blockOf(number, bytes) : undefined),
})

async function connected(server: Omit<TestPeerOptions, 'seed'>, client: Omit<TestPeerOptions, 'seed'> = {}): Promise<[TestPeer, TestPeer]> {
  const one = await startPeer({ seed: 1, ...server })
  const other = await startPeer({ seed: 2, bootstrap: [one.address], ...client })
  await eventually(() => expect(other.sync.peers()).toBe(1))
  return [one, other]
}

/** A host that answers requests as a test wants, in place of block sync. */
async function startLiar(answer: (framed: ReturnType<typeof lpStream>) => Promise<void>): Promise<TestPeer> {
  const liar = await startPeer({ seed: 1 })
  await liar.host.libp2p.handle(
    PROTOCOL,
    async (stream) => {
      const framed = lpStream(stream)
      try {
        await framed.read()
        await answer(framed)
      } catch {
        // the other side resets the stream when it has seen enough
      }
    },
    { force: true },
  )
  return liar
}

const bare = (answer: Awaited<ReturnType<TestPeer['sync']['request']>>) =>
  answer.ok && answer.blocks.map(({ commit, block }) => ({ commit, block }))

test('a range comes with its certificates, in order, and ends where the chain ends', async () => {
  const [server, client] = await connected({ sync: chainOf(40n) })
  const first = await client.sync.request({ from: 3n, count: 32 })
  expect(first).toMatchObject({ ok: true, peer: server.host.peerId })
  expect(bare(first)).toEqual(Array.from({ length: 32 }, (_, i) => blockOf(BigInt(i) + 3n)))
  expect(bare(await client.sync.request({ from: 39n, count: 32 }))).toEqual([blockOf(39n), blockOf(40n)])
  expect(bare(await client.sync.request({ from: 41n, count: 32 }))).toEqual([])
  expect(bare(await client.sync.request({ from: 7n, count: 1 }))).toEqual([blockOf(7n)])
})

test('an answer stays below 8 MiB, but a single block may be larger', async () => {
  const [, client] = await connected({ sync: chainOf(32n, 1 << 20) })
  const answer = await client.sync.request({ from: 1n, count: 32 })
  expect(bare(answer)).toHaveLength(Math.floor(ANSWER_BYTES_MAX / ((1 << 20) + 4)))
  await closePeers()
  const [, other] = await connected({ sync: chainOf(32n, ANSWER_BYTES_MAX + 1) })
  expect(bare(await other.sync.request({ from: 1n, count: 32 }))).toHaveLength(1)
})

test('without a peer there is no answer', async () => {
  const alone = await startPeer({ seed: 1 })
  expect(await alone.sync.request({ from: 1n, count: 1 })).toEqual({ ok: false, code: 'noPeer' })
})

for (const [what, request] of Object.entries({
  'an oversize': new Uint8Array(1 << 20),
  'an empty': new Uint8Array(9),
  'a short': new Uint8Array(8),
})) {
  test(`a peer that sends ${what} request is banned`, async () => {
    const [server, client] = await connected({ sync: chainOf(3n) })
    const [connection] = client.host.libp2p.getConnections()
    const stream = await connection?.newStream(PROTOCOL)
    if (!stream) throw new Error('not connected')
    const framed = lpStream(stream)
    await framed.write(request).catch(() => {}) // the reset may come while it is written
    await expect(framed.read()).rejects.toThrow()
    await eventually(() => expect(server.host.peers()).toEqual([]))
    expect(server.host.counts().bansBy).toEqual({ 'its request is no request': 1 })
  })
}

test('of more streams than a peer may have, the others are reset', async () => {
  const [, client] = await connected({ sync: chainOf(3n) })
  const [connection] = client.host.libp2p.getConnections()
  const open = async () => {
    const stream = await connection?.newStream(PROTOCOL, { maxOutboundStreams: 100 })
    if (!stream) throw new Error('not connected')
    return stream
  }
  const held = [await open(), await open()]
  const tooMany = await open()
  await eventually(() => expect(tooMany.status).not.toBe('open'))
  for (const stream of held) {
    const framed = lpStream(stream)
    await framed.write(encodeRequest({ from: 2n, count: 1 }))
    expect(decodeFrame((await framed.read()).subarray())).toEqual({ ok: true, value: { kind: 'block', ...blockOf(2n) } })
  }
})

test('what a peer does not take is not read for it', async () => {
  let read = 0
  const readBlock = (number: bigint) => {
    read++
    return blockOf(number, 200_000)
  }
  const [server, client] = await connected({ sync: { readBlock }, syncLimits: { frameMs: 1_000 } })
  const [connection] = client.host.libp2p.getConnections()
  const stream = await connection?.newStream(PROTOCOL)
  if (!stream) throw new Error('not connected')
  stream.pause()
  await lpStream(stream).write(encodeRequest({ from: 1n, count: 32 }))
  await eventually(() => expect(server.sync.counts().unserved).toBe(1)) // it waited for as long as a frame may take
  expect(read).toBeGreaterThan(1) // what the stream takes ahead
  expect(read).toBeLessThan(8)
})

test('a peer that took more than its share is told of no blocks until it is due again', async () => {
  const [, client] = await connected({ sync: chainOf(64n, 1 << 20), syncLimits: { bytesPerSec: 1, bytesBurst: 4 << 20 } })
  expect(bare(await client.sync.request({ from: 1n, count: 32 }))).toHaveLength(7)
  expect(await client.sync.request({ from: 8n, count: 32 })).toMatchObject({ ok: true, blocks: [] })
})

const lies: Record<string, (framed: ReturnType<typeof lpStream>) => Promise<void>> = {
  'a frame of an unknown kind': (framed) => framed.write(new Uint8Array([9])),
  'an empty frame': (framed) => framed.write(new Uint8Array()),
  'a frame without a block': (framed) => framed.write(new Uint8Array([1, 0, 1, 6])),
  'more blocks than were asked for': async (framed) => {
    for (let i = 0; i < 4; i++) await framed.write(encodeFrame(blockOf(BigInt(i))))
  },
  'more bytes than an answer has': async (framed) => {
    for (let i = 0; i < 3; i++) await framed.write(encodeFrame(blockOf(BigInt(i), 5 << 20)))
  },
  'the length of a frame that is too long': async (framed) => {
    framed.unwrap().send(varint(FRAME_BYTES_MAX + 1))
  },
}

for (const [what, answer] of Object.entries(lies)) {
  test(`a peer that sends ${what} is banned`, async () => {
    const liar = await startLiar(answer)
    const client = await startPeer({ seed: 2, bootstrap: [liar.address] })
    await eventually(() => expect(client.sync.peers()).toBe(1))
    expect(await client.sync.request({ from: 1n, count: 3 })).toEqual({ ok: false, code: 'malformed' })
    expect(client.sync.peers()).toBe(0)
    await expect(client.host.libp2p.dial(liar.host.libp2p.getMultiaddrs())).rejects.toThrow()
  })
}

test('a peer whose blocks are found untrue is banned', async () => {
  const [server, client] = await connected({ sync: chainOf(3n) })
  client.sync.blame(server.host.peerId, 'test')
  await eventually(() => expect(client.host.peers()).toEqual([]))
  expect(await client.sync.request({ from: 1n, count: 3 })).toEqual({ ok: false, code: 'noPeer' })
})

test('a silent peer is passed over, and disconnected after three silences; an honest one is asked next', async () => {
  const liar = await startLiar(() => new Promise(() => {}))
  const honest = await startPeer({ seed: 3, sync: chainOf(3n) })
  const client = await startPeer({ seed: 2, bootstrap: [liar.address, honest.address], syncLimits: { frameMs: 300 } })
  await eventually(() => expect(client.sync.peers()).toBe(2))
  const answers: boolean[] = []
  for (let i = 0; i < 6; i++) answers.push((await client.sync.request({ from: 1n, count: 3 })).ok)
  expect(answers.filter((ok) => !ok)).toHaveLength(3)
  for (let i = 1; i < answers.length; i++) expect(answers[i - 1] || answers[i]).toBe(true)
  expect(await client.sync.request({ from: 1n, count: 3 })).toMatchObject({ ok: true, peer: honest.host.peerId })
})

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  for (let rest = value; rest > 0; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + (rest >= 128 ? 128 : 0))
  return new Uint8Array(bytes)
}
