/** Direct streams between real hosts: who is listened to, what arrives in which order, what is dropped, and what becomes of who breaks the rules. */
import { RLP } from '@ethereumjs/rlp'
import { concatBytes, type Hex, keccak256, numberToBytes } from 'viem'
import { afterEach, expect, test } from 'vitest'
import type { DirectLimits, DirectOptions } from '../../p2p/direct.ts'
import { CHECKPOINT_BYTES, encodeFrameOf, FRAME, HELLO_BYTES, MESSAGE_BYTES_MAX } from '../../p2p/frames.ts'
import { BLOCK_BYTES_MAX, directProtocolsOf } from '../../p2p/wire.ts'
import { closePeers, eventually, GENESIS_HASH, startPeer, type TestPeer } from './peer.ts'

afterEach(closePeers)

const PROTOCOL = directProtocolsOf(GENESIS_HASH)
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const bytesOf = (words: string) => new TextEncoder().encode(words)
const keyOf = (name: number): Hex => `0x${name.toString(16).padStart(2, '0').repeat(48)}`
/** Its first byte names the validator; the last byte is 1 if the signature is false. */
const helloOf = (name: number, isFalse = false) => {
  const hello = new Uint8Array(HELLO_BYTES).fill(name, 0, 48)
  hello[HELLO_BYTES - 1] = Number(isFalse)
  return hello
}
/** As much of a block as the network looks at: a list that begins with the header, whose hash is the block's. */
const blockOf = (number: bigint, bytes: number): { readonly hash: Hex; readonly block: Uint8Array } => {
  const header = [new Uint8Array(600).fill(Number(number))]
  return { block: RLP.encode([header, [new Uint8Array(bytes).fill(2)]]), hash: keccak256(RLP.encode(header)) }
}

type Ears = {
  readonly messages: string[]
  readonly checkpoints: string[]
  readonly blocks: Uint8Array[]
  readonly known: Set<number>
  readonly asked: Hex[]
}

/** A validator of the set { 1 … 4 }. */
async function validator(
  name: number,
  { bootstrap = [], limits = {}, hello = helloOf(name), blocks = [] as readonly { hash: Hex; block: Uint8Array }[] } = {} as {
    bootstrap?: readonly TestPeer[]
    limits?: Partial<DirectLimits>
    hello?: Uint8Array | undefined
    blocks?: readonly { hash: Hex; block: Uint8Array }[]
  },
): Promise<TestPeer & { readonly heard: Ears }> {
  const heard: Ears = { messages: [], checkpoints: [], blocks: [], known: new Set([1, 2, 3, 4]), asked: [] }
  const direct = (): DirectOptions => ({
    hello,
    checkHello: (_, said) => {
      if (!heard.known.has(said[0] ?? 0)) return undefined
      return said[HELLO_BYTES - 1] === 1 ? 'wrong' : keyOf(said[0] ?? 0)
    },
    onMessage: (message) => heard.messages.push(text(message)),
    onCheckpoint: (signature, from) => heard.checkpoints.push(`${from} ${text(signature.subarray(0, 5)).trim()}`),
    onBlock: (block) => heard.blocks.push(block),
    readBlock: (hash) => {
      heard.asked.push(hash)
      return blocks.find((one) => one.hash === hash)?.block
    },
  })
  const peer = await startPeer({ seed: name, bootstrap: bootstrap.map(({ address }) => address), direct, directLimits: limits })
  return Object.assign(peer, { heard })
}

async function greeted(...peers: readonly TestPeer[]): Promise<void> {
  await eventually(() => {
    for (const peer of peers) expect(peer.direct.validators()).toHaveLength(peers.length - 1)
  })
}

/** Opens a stream to a peer as a stranger would, and sends bytes on it. */
async function say(from: TestPeer, to: TestPeer, protocol: string, ...frames: readonly Uint8Array[]) {
  const connection = from.host.libp2p.getConnections().find(({ remotePeer }) => remotePeer.toString() === to.host.peerId)
  const stream = await connection?.newStream(protocol)
  if (!stream) throw new Error('not connected')
  for (const frame of frames) stream.send(frame)
  return stream
}

test('names and frames have the bytes of the specification', () => {
  expect(PROTOCOL).toEqual({ votes: '/tributary/7a7a7a7a7a7a7a7a/consensus/1', blocks: '/tributary/7a7a7a7a7a7a7a7a/proposals/1' })
  expect(encodeFrameOf('message', bytesOf('hi'))).toEqual(Uint8Array.of(0, 0, 0, 3, 2, 0x68, 0x69))
  const [hash, block] = [new Uint8Array(32).fill(1), Uint8Array.of(7)]
  expect(encodeFrameOf('answer', hash, block)).toEqual(Uint8Array.of(0, 0, 0, 34, 5, ...hash, 7))
  expect(Object.values(FRAME)).toEqual([1, 2, 3, 4, 5, 6, 7])
})

test('each hears each, in order, and knows who is which validator', async () => {
  const one = await validator(1)
  const two = await validator(2, { bootstrap: [one] })
  const three = await validator(3, { bootstrap: [one, two] })
  await greeted(one, two, three)
  expect(one.direct.validators()).toEqual(
    expect.arrayContaining([
      { peerId: two.host.peerId, publicKey: keyOf(2) },
      { peerId: three.host.peerId, publicKey: keyOf(3) },
    ]),
  )
  const words = Array.from({ length: 200 }, (_, i) => `vote ${i}`)
  for (const word of words) one.direct.broadcast(bytesOf(word))
  two.direct.sendTo(three.host.peerId, bytesOf('for three'))
  await eventually(() => expect(two.heard.messages).toEqual(words))
  await eventually(() => expect([...three.heard.messages].sort()).toEqual([...words, 'for three'].sort()))
  expect(one.heard.messages).toEqual([])
  expect(one.direct.counts()).toMatchObject({ messagesOut: 400, queueDrops: 0 })
})

test('signatures of checkpoints go to all or to one, beside the messages', async () => {
  const one = await validator(1)
  const two = await validator(2, { bootstrap: [one] })
  const three = await validator(3, { bootstrap: [one, two] })
  await greeted(one, two, three)
  const signature = (words: string) => bytesOf(words.padEnd(CHECKPOINT_BYTES))
  one.direct.sendCheckpoint(signature('all'))
  two.direct.sendCheckpoint(signature('three'), three.host.peerId)
  const [first, second] = [one.host.peerId, two.host.peerId]
  await eventually(() => expect(three.heard.checkpoints.sort()).toEqual([`${first} all`, `${second} three`].sort()))
  await eventually(() => expect(two.heard.checkpoints).toEqual([`${first} all`]))
  expect([one.heard.checkpoints, three.heard.messages]).toEqual([[], []])
  expect(one.direct.counts()).toMatchObject({ checkpointsOut: 2, checkpointsIn: 0 })
})

test('a block reaches everybody whole, and votes do not wait behind it', async () => {
  const one = await validator(1)
  const two = await validator(2, { bootstrap: [one] })
  await greeted(one, two)
  const { block } = blockOf(1n, 24 << 20)
  one.direct.broadcastBlock(block)
  one.direct.broadcast(bytesOf('vote'))
  await eventually(() => expect(two.heard.messages).toEqual(['vote']))
  expect(two.heard.blocks).toEqual([]) // what was said after it came before it
  await eventually(() => expect(two.heard.blocks.map(({ length }) => length)).toEqual([block.length]))
  expect(Buffer.compare(two.heard.blocks[0] ?? new Uint8Array(), block)).toBe(0)
})

test('a block is fetched from whoever has it; nobody has it, nobody answers', async () => {
  const wanted = blockOf(7n, 100_000)
  const one = await validator(1)
  const two = await validator(2, { bootstrap: [one] })
  const three = await validator(3, { bootstrap: [one, two], blocks: [wanted] })
  await greeted(one, two, three)
  const fetched = await Promise.all([one.direct.fetchBlock(wanted.hash, two.host.peerId), one.direct.fetchBlock(wanted.hash)])
  expect(fetched).toEqual([wanted.block, wanted.block])
  expect(two.heard.asked).toEqual([wanted.hash]) // named first, asked first, and asked once
  expect(await one.direct.fetchBlock(blockOf(8n, 10).hash)).toBeUndefined()
})

test('who keeps silent is passed over, and who answers with another block is banned', async () => {
  const [wanted, other] = [blockOf(7n, 1_000), blockOf(8n, 1_000)]
  const asker = await validator(1, { limits: { askMs: 200 } })
  const liar = await validator(2, { bootstrap: [asker], blocks: [{ hash: wanted.hash, block: other.block }] })
  const honest = await validator(3, { bootstrap: [asker], blocks: [wanted] })
  await eventually(() => expect(asker.direct.validators()).toHaveLength(2))
  expect(await asker.direct.fetchBlock(wanted.hash, liar.host.peerId)).toEqual(wanted.block)
  await eventually(() => expect(asker.host.peers()).toEqual([honest.host.peerId]))
})

test('a peer without a hello, or of a key outside the set, is not listened to, and not banned', async () => {
  const one = await validator(1, { limits: { helloMs: 300 } })
  const stranger = await validator(9, { bootstrap: [one] })
  const mute = await startPeer({ seed: 8, bootstrap: [one.address] })
  await eventually(() => expect(one.direct.counts().helloRefusals).toBeGreaterThan(1)) // it tries again, and is refused again
  await eventually(() => expect(mute.host.peers()).toEqual([one.host.peerId]))
  const stream = await say(mute, one, PROTOCOL.votes)
  await eventually(() => expect(stream.status).not.toBe('open'))
  stranger.direct.broadcast(bytesOf('vote'))
  expect(one.direct.validators()).toEqual([])
  expect(one.heard.messages).toEqual([])
  expect([...one.host.peers()].sort()).toEqual([stranger.host.peerId, mute.host.peerId].sort())
  one.heard.known.add(9) // it joins the set
  await eventually(() => expect(one.direct.validators()).toEqual([{ peerId: stranger.host.peerId, publicKey: keyOf(9) }]))
})

test('whoever leaves the set is not listened to from then on', async () => {
  const one = await validator(1)
  const two = await validator(2, { bootstrap: [one] })
  await greeted(one, two)
  one.heard.known.delete(2)
  one.direct.recheck()
  await eventually(() => expect(one.direct.validators()).toEqual([]))
  two.direct.broadcast(bytesOf('late'))
  await eventually(() => expect(one.direct.counts().helloRefusals).toBeGreaterThan(1))
  expect(one.heard.messages).toEqual([])
})

test('at most two peers speak for one validator', async () => {
  const one = await validator(1)
  const named = [2, 3, 4].map((name) => ({ name, hello: helloOf(2) }))
  for (const { name, hello } of named) await validator(name, { bootstrap: [one], hello })
  await eventually(() => expect(one.direct.counts().helloRefusals).toBeGreaterThan(0))
  expect(one.direct.validators().map(({ publicKey }) => publicKey)).toEqual([keyOf(2), keyOf(2)])
})

const hello = encodeFrameOf('hello', helloOf(2))
const wrongs: Record<string, readonly [keyof typeof PROTOCOL, ...(readonly Uint8Array[])]> = {
  'a hello that is signed wrongly': ['votes', encodeFrameOf('hello', helloOf(2, true))],
  'a vote before the hello': ['votes', encodeFrameOf('message', bytesOf('vote'))],
  'a second hello': ['votes', hello, hello],
  'an unknown kind of frame': ['votes', hello, new Uint8Array([0, 0, 0, 2, 77, 1])],
  'a signature of a checkpoint among blocks': ['blocks', hello, encodeFrameOf('checkpoint', new Uint8Array(CHECKPOINT_BYTES))],
  'a short signature of a checkpoint': ['votes', hello, encodeFrameOf('checkpoint', new Uint8Array(CHECKPOINT_BYTES - 1))],
  'an empty frame': ['votes', hello, new Uint8Array(5)],
  'a message that is too long': ['votes', hello, encodeFrameOf('message', new Uint8Array(MESSAGE_BYTES_MAX + 1))],
  'a short hello': ['votes', encodeFrameOf('hello', new Uint8Array(HELLO_BYTES - 1))],
  'a block among the votes': ['votes', hello, encodeFrameOf('block', new Uint8Array(9))],
  'a vote among the blocks': ['blocks', hello, encodeFrameOf('message', new Uint8Array(9))],
  'an oversize block': ['blocks', hello, concatBytes([numberToBytes(BLOCK_BYTES_MAX + 2, { size: 4 }), Uint8Array.of(FRAME.block)])],
}

for (const [what, [kind, ...frames]] of Object.entries(wrongs)) {
  test(`a peer that sends ${what} is banned`, async () => {
    const one = await validator(1)
    const attacker = await startPeer({ seed: 2, bootstrap: [one.address] })
    await eventually(() => expect(attacker.host.peers()).toHaveLength(1))
    await say(attacker, one, PROTOCOL[kind], ...frames)
    await eventually(() => expect(one.host.peers()).toEqual([]))
    await expect(one.host.libp2p.dial(attacker.host.libp2p.getMultiaddrs())).rejects.toThrow()
    expect([one.heard.messages, one.heard.blocks]).toEqual([[], []])
  })
}

test('frames may come in any pieces', async () => {
  const one = await validator(1)
  const piecewise = await startPeer({ seed: 2, bootstrap: [one.address] })
  await eventually(() => expect(piecewise.host.peers()).toHaveLength(1))
  const bytes = concatBytes([hello, encodeFrameOf('message', bytesOf('one')), encodeFrameOf('message', bytesOf('two'))])
  await say(piecewise, one, PROTOCOL.votes, ...Array.from(bytes, (byte) => Uint8Array.of(byte)))
  await eventually(() => expect(one.heard.messages).toEqual(['one', 'two']))
})

test('what a peer sends beyond its rate is skipped, and whoever goes on is banned', async () => {
  const one = await validator(1, { limits: { messagesPerSec: 1, messagesBurst: 10 } })
  const two = await validator(2, { bootstrap: [one] })
  await greeted(one, two)
  const flood = () => {
    for (let i = 0; i < 1_000; i++) two.direct.broadcast(bytesOf('vote'))
  }
  flood()
  await eventually(() => expect(one.direct.counts().rateDrops).toBeGreaterThan(900))
  expect(one.heard.messages.length).toBeLessThan(30)
  expect(one.host.peers()).toEqual([two.host.peerId])
  await eventually(() => {
    flood()
    expect(one.host.peers()).toEqual([])
  })
})

test('a peer that opens streams without end is banned', async () => {
  const one = await validator(1)
  const attacker = await startPeer({ seed: 2, bootstrap: [one.address] })
  await eventually(() => expect(attacker.host.peers()).toHaveLength(1))
  await eventually(async () => {
    await say(attacker, one, PROTOCOL.votes, hello).catch(() => {}) // it is reset in between
    expect(one.host.peers()).toEqual([])
  })
})

test('a validator that was banned is not heard under another name, nor under the one that it had beside', async () => {
  const one = await validator(1)
  const two = await validator(2, { bootstrap: [one] })
  await validator(3, { bootstrap: [one], hello: helloOf(2) })
  await eventually(() => expect(one.direct.validators()).toHaveLength(2))
  one.direct.blame(two.host.peerId, 'it lied')
  expect(one.direct.validators()).toEqual([])
  const { helloRefusals } = one.direct.counts()
  const again = await validator(4, { bootstrap: [one], hello: helloOf(2) })
  await eventually(() => expect(one.direct.counts().helloRefusals).toBeGreaterThan(helloRefusals))
  again.direct.broadcast(bytesOf('vote'))
  const other = await validator(5, { bootstrap: [one], hello: helloOf(3) })
  await greeted(other, one)
  expect(one.direct.validators()).toEqual([{ peerId: other.host.peerId, publicKey: keyOf(3) }])
  expect(one.heard.messages).toEqual([])
})

test('a frame that does not end ends its stream, and the peer may come again', async () => {
  const one = await validator(1, { limits: { frameMs: 300 } })
  const peer = await startPeer({ seed: 2, bootstrap: [one.address] })
  await eventually(() => expect(peer.host.peers()).toHaveLength(1))
  const half = encodeFrameOf('block', new Uint8Array(1_000)).subarray(0, 500)
  const stream = await say(peer, one, PROTOCOL.blocks, hello, half)
  await eventually(() => expect(stream.status).not.toBe('open'))
  expect(one.host.peers()).toEqual([peer.host.peerId])
  await say(peer, one, PROTOCOL.blocks, hello, encodeFrameOf('block', new Uint8Array(1_000)))
  await eventually(() => expect(one.heard.blocks.map(({ length }) => length)).toEqual([1_000]))
})

test('what waits for a peer that takes nothing is bounded, and the newest remains', async () => {
  const one = await validator(1)
  const two = await validator(2, { bootstrap: [one] })
  await greeted(one, two)
  for (let i = 0; i < 3_000; i++) one.direct.broadcast(bytesOf(`vote ${i}`))
  expect(one.direct.counts().queueDrops).toBe(3_000 - 1_024) // nothing leaves before the event loop turns
  await eventually(() => expect(two.heard.messages).toHaveLength(1_024))
  expect(two.heard.messages.at(-1)).toBe('vote 2999')
})

test('a stream that was lost is opened again, and so is a connection', async () => {
  const one = await validator(1)
  const two = await validator(2, { bootstrap: [one] })
  await greeted(one, two)
  for (const connection of two.host.libp2p.getConnections()) {
    for (const stream of connection.streams) if (stream.protocol === PROTOCOL.votes) stream.abort(new Error('reset'))
  }
  // What is on its way when a stream is reset is lost; what is sent afterwards is not.
  await eventually(() => {
    one.direct.broadcast(bytesOf('one'))
    two.direct.broadcast(bytesOf('two'))
    expect([one.heard.messages.at(-1), two.heard.messages.at(-1)]).toEqual(['two', 'one'])
  })
  one.host.disconnect(two.host.peerId, 'test')
  await eventually(() => expect(one.direct.validators()).toEqual([]))
  await greeted(one, two)
  two.direct.broadcast(bytesOf('last'))
  await eventually(() => expect(one.heard.messages.at(-1)).toBe('last'))
})
