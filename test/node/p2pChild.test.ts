/** The network in a process of its own: the same to the node as in one, started anew when it dies, and gone when the node is. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Socket } from 'node:net'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { concatBytes, type Hex } from 'viem'
import { afterEach, expect, test } from 'vitest'
import { createMessageDoor, type MessageDoor } from '../../node/messageDoor.ts'
import { type ChildDirectOptions, type ChildNetwork, type ChildPorts, openChildNetwork } from '../../node/p2pChild.ts'
import { createPipe, decodeMessage, encodeMessage } from '../../node/p2pPipe.ts'
import { CHECKPOINT_BYTES, HELLO_BYTES } from '../../p2p/frames.ts'
import type { BlockNews } from '../../p2p/wire.ts'
import { eventually, GENESIS_HASH, silentLog } from '../p2p/peer.ts'

const PROCESS = fileURLToPath(new URL('../../node/p2pProcess.ts', import.meta.url))
const keyOf = (name: number): Hex => `0x${name.toString(16).padStart(2, '0').repeat(48)}`
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const bytesOf = (words: string) => new TextEncoder().encode(words)

const opened: ChildNetwork[] = []
const doors: MessageDoor[] = []
afterEach(async () => {
  for (const door of doors.splice(0)) door.close()
  for (const network of opened.splice(0).reverse()) await network.close()
})

/** A validator whose network is in a process; its hello is its name. */
async function startChild(name: number, bootstrap: readonly string[] = []) {
  const heard = {
    messages: [] as string[],
    blocks: [] as number[],
    checkpoints: [] as string[],
    txs: [] as string[],
    news: [] as BlockNews[],
  }
  const door = createMessageDoor({ onMessage: ({ message }: { readonly message: Uint8Array }) => heard.messages.push(text(message)) })
  doors.push(door)
  const options = async (): Promise<ChildDirectOptions> => ({
    hello: new Uint8Array(HELLO_BYTES).fill(name),
    checkHello: (_, hello) => keyOf(hello[0] ?? 0),
    onBlock: (block) => heard.blocks.push(block.length),
    onCheckpoint: (signature, from) => heard.checkpoints.push(`${from} ${signature[0]}`),
    readBlock: (hash) => (hash === keyOf(7).slice(0, 66) ? bytesOf('the block') : undefined),
    isBlock: (_, block) => text(block) === 'the block',
  })
  const ports: ChildPorts = {
    checkTransactions: async (transactions) => {
      heard.txs.push(...transactions.map(text))
      return 'accept'
    },
    checkBlock: async (news) => {
      heard.news.push(news)
      return 'accept'
    },
    readBlock: (number) => (number <= 3n ? { commit: Uint8Array.of(6, Number(number)), block: bytesOf(`block ${number}`) } : undefined),
    onPeer() {},
    direct: { options, openDoor: door.open },
  }
  const network = await openChildNetwork(ports, {
    seed: new Uint8Array(32).fill(name),
    genesisHash: GENESIS_HASH,
    listen: { host: '127.0.0.1', port: 0 },
    bootstrap,
    log: silentLog,
  })
  opened.push(network)
  return { ...network, say: door.tell, heard, address: network.addresses[0] ?? '' }
}

test('two nodes whose networks are processes have all that they would have in one', async () => {
  const one = await startChild(1)
  const two = await startChild(2, [one.address])
  await eventually(() => expect([one.direct?.validators(), two.direct?.validators()].map((known) => known?.length)).toEqual([1, 1]))
  expect(one.direct?.validators()).toEqual([{ peerId: two.peerId, publicKey: keyOf(2) }])
  one.say('broadcast', bytesOf('vote'))
  two.say('sendTo', { peer: one.peerId, message: bytesOf('another') })
  one.direct?.broadcastBlock(new Uint8Array(8 << 20))
  await eventually(() => expect([one.heard.messages, two.heard.messages, two.heard.blocks]).toEqual([['another'], ['vote'], [8 << 20]]))
  expect(await two.direct?.fetchBlock(keyOf(7).slice(0, 66) as Hex)).toEqual(bytesOf('the block'))
  expect(await two.direct?.fetchBlock(keyOf(8).slice(0, 66) as Hex)).toBeUndefined()
  const answer = await two.request({ from: 2n, count: 5 })
  expect(answer.ok && answer.blocks.map(({ block }) => text(block))).toEqual(['block 2', 'block 3'])
  await eventually(() => {
    one.sendTransaction(bytesOf(`tx ${Date.now()}`))
    expect(two.heard.txs.length).toBeGreaterThan(0)
  })
  two.sendBlock({ commit: Uint8Array.of(6, 9), block: bytesOf('new') })
  await eventually(() => expect(one.heard.news).toEqual([{ kind: 'block', commit: Uint8Array.of(6, 9), block: bytesOf('new') }]))
  two.sendSigners(bytesOf('signers'))
  await eventually(() => expect(one.heard.news.at(-1)).toEqual({ kind: 'checkpoint', signers: bytesOf('signers') }))
  one.direct?.sendCheckpoint(new Uint8Array(CHECKPOINT_BYTES).fill(7))
  two.direct?.sendCheckpoint(new Uint8Array(CHECKPOINT_BYTES).fill(8), one.peerId)
  await eventually(() => expect([one.heard.checkpoints, two.heard.checkpoints]).toEqual([[`${two.peerId} 8`], [`${one.peerId} 7`]]))
  await eventually(() => expect(one.metrics()).toMatchObject({ host: { peers: 1 }, process: { restarts: 0, isUp: true, pipeDrops: 0 } }))
  expect([one.peers(), two.peers()]).toEqual([1, 1])
})

test('a process that is killed is started anew, under its name and at its address; the node stays', async () => {
  const one = await startChild(1)
  const two = await startChild(2, [one.address])
  await eventually(() => expect(two.peers()).toBe(1))
  const before = one.pid()
  if (before === undefined) throw new Error('there is no process')
  process.kill(before, 'SIGKILL')
  await eventually(() => expect(one.peers()).toBe(0))
  expect(await one.request({ from: 1n, count: 1 })).toEqual({ ok: false, code: 'noPeer' })
  await eventually(() => expect([one.peers(), two.peers(), one.direct?.validators().length]).toEqual([1, 1, 1]))
  expect(one.pid()).not.toBe(before)
  await eventually(() => expect(one.metrics()?.process).toMatchObject({ restarts: 1, isUp: true }))
  two.say('broadcast', bytesOf('again'))
  await eventually(() => expect(one.heard.messages).toContain('again'))
})

test('a process ends when its pipe does, and so when the node is killed', async () => {
  const child = spawn(process.execPath, [PROCESS], { stdio: ['ignore', 'ignore', 'inherit', 'pipe'] })
  const socket = child.stdio[3]
  if (!(socket instanceof Socket)) throw new Error('no pipe')
  const pipe = createPipe({ socket, handlers: { state() {}, log() {} }, onClose() {} })
  const open = {
    seed: new Uint8Array(32).fill(1),
    genesisHash: GENESIS_HASH,
    listen: { host: '127.0.0.1', port: 0 },
    bootstrap: [],
    messagesAt: undefined,
  }
  expect(await pipe.call('open', open)).toMatchObject({ peerId: expect.any(String) })
  const exited = once(child, 'exit')
  pipe.close()
  expect(await exited).toEqual([0, null])
})

test('a taken port is said to be so', async () => {
  const one = await startChild(1)
  const port = Number(/\/tcp\/(\d+)/.exec(one.address)?.[1])
  const options = {
    seed: new Uint8Array(32).fill(2),
    genesisHash: GENESIS_HASH,
    listen: { host: '127.0.0.1', port },
    bootstrap: [],
    log: silentLog,
  }
  const ports: ChildPorts = {
    checkTransactions: async () => 'accept',
    checkBlock: async () => 'accept',
    readBlock: () => undefined,
    onPeer() {},
  }
  await expect(openChildNetwork(ports, options)).rejects.toThrow(`p2p cannot listen on 127.0.0.1 port ${port}`)
})

test('an error of who signs the hello is the error of the start', async () => {
  class SignerGone extends Error {}
  const door = createMessageDoor({})
  doors.push(door)
  const ports: ChildPorts = {
    checkTransactions: async () => 'accept',
    checkBlock: async () => 'accept',
    readBlock: () => undefined,
    onPeer() {},
    direct: { options: () => Promise.reject(new SignerGone('gone')), openDoor: door.open },
  }
  const options = {
    seed: new Uint8Array(32).fill(2),
    genesisHash: GENESIS_HASH,
    listen: { host: '127.0.0.1', port: 0 },
    bootstrap: [],
    log: silentLog,
  }
  await expect(openChildNetwork(ports, options)).rejects.toBeInstanceOf(SignerGone)
})

test('messages of the pipe survive it, with their bytes and big integers', () => {
  const leaf = fc.oneof(
    fc.uint8Array({ maxLength: 50 }),
    fc.bigInt({ min: 0n, max: 2n ** 80n }),
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
  )
  const value = fc.oneof(leaf, fc.array(leaf, { maxLength: 4 }), fc.dictionary(fc.constantFrom('a', 'b', 'c'), leaf))
  fc.assert(
    fc.property(value, (argument) => {
      const bytes = concatBytes([...encodeMessage({ kind: 'tell', name: 'x', argument })])
      expect(decodeMessage(bytes.subarray(4))).toEqual({ kind: 'tell', name: 'x', argument })
    }),
  )
})
