/**
 * Consensus on a thread of its own, over a chain on disk: it decides, says nothing that is not on its disk, hears others past the main thread, ends in order,
 * and where it cannot go on the node is told so.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Hex } from 'viem'
import { expect, onTestFinished, test, vi } from 'vitest'
import { publicKeyOf, sign } from '../../consensus/bls.ts'
import { statementDigest } from '../../consensus/digest.ts'
import { decodeGuard } from '../../consensus/guard.ts'
import { decodeMessage, encodeMessage, type Message, type UnsignedMessage } from '../../consensus/message.ts'
import { decodeWal } from '../../consensus/wal.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import type { ChainState } from '../../node/chainState.ts'
import { type ConsensusChain, createConsensusChain } from '../../node/consensusChain.ts'
import { ConsensusThreadError, createConsensusThread } from '../../node/consensusThread.ts'
import { createEpochSets } from '../../node/epochs.ts'
import { createPipe, type Pipe } from '../../node/p2pPipe.ts'
import { localKey } from '../../node/signer.ts'
import { openDiskChain, quietLog, testFolder } from '../fakes/diskChain.ts'
import { fastGenesis, secretOf } from '../fakes/fastGenesis.ts'

const KINDS = ['proposal', 'prevote', 'precommit']
/** Index in the set of two of who proposes first, and so is on the thread. */
const SELF = 1
const until = <T>(isSo: () => T) => vi.waitFor(isSo, { timeout: 20_000, interval: 5 })

type StartOptions = {
  readonly chain?: ChainState
  readonly directory?: string
  readonly hooks?: (asked: ConsensusChain) => Partial<ConsensusChain>
}

/** A thread before a chain on disk, with all that it did. */
async function openThread(genesis: Genesis, options: StartOptions = {}) {
  const { directory = testFolder(), hooks = () => ({}) } = options
  const chain = options.chain ?? (await openDiskChain(genesis)).chain
  const sent: string[] = []
  const fatal: unknown[] = []
  const ports = { log: quietLog, nowMs: Date.now, nextOrigin: () => undefined, judgeOrigin: () => true }
  const net = { fetchBlock: async () => undefined, blame() {}, broadcastBlock: () => void sent.push('block') }
  const asked = createConsensusChain({ ...ports, chain, net })
  const secret = secretOf(SELF)
  const thread = createConsensusThread({
    chain,
    sets: createEpochSets(chain),
    asked: { ...asked, ...hooks(asked) },
    key: localKey({ secret, publicKey: publicKeyOf(secret) }),
    directory,
    log: quietLog,
    onAhead() {},
    onEvidence: () => expect.unreachable('nobody breaks a rule'),
    onDelay() {},
    onFatal: (error) => fatal.push(error),
  })
  onTestFinished(thread.stop)
  const guard = () => decodeGuard(new Uint8Array(readFileSync(join(directory, 'guard'))))
  const wal = () => decodeWal(new Uint8Array(readFileSync(join(directory, 'wal'))))
  return { thread, chain, directory, sent, fatal, guard, wal, height: () => chain.head().header.number }
}

const alone = () => fastGenesis([SELF])

test('alone it decides block after block, and goes on from its folder when it is started again', async () => {
  const first = await openThread(alone())
  await first.thread.start()
  await until(() => expect(first.height()).toBeGreaterThanOrEqual(3n))
  await first.thread.stop()
  const stoodAt = first.height()
  expect(first.guard()).toMatchObject({ kind: 'precommit' })
  expect(first.guard()?.height).toBeGreaterThanOrEqual(Number(stoodAt))
  await first.thread.stop() // once more changes nothing
  expect(first.height()).toBe(stoodAt)
  const { chain, directory } = first
  const second = await openThread(alone(), { chain, directory })
  await second.thread.start()
  await until(() => expect(second.height()).toBeGreaterThanOrEqual(stoodAt + 2n))
  expect([...first.fatal, ...second.fatal]).toEqual([])
})

test('a thread that dies is the end of the node, and is told once', async () => {
  const { thread, fatal, height } = await openThread(alone())
  await thread.start()
  await until(() => expect(height()).toBeGreaterThanOrEqual(1n))
  thread.kill()
  await until(() => expect(fatal).toHaveLength(1))
  expect(fatal[0]).toBeInstanceOf(ConsensusThreadError)
  await expect(thread.signHello(`0x${'11'.repeat(32)}`, 'peer')).rejects.toThrow('the thread of consensus ended')
  thread.wake()
  await thread.stop()
  expect(fatal).toHaveLength(1)
})

test('what the chain fails at is the end of the node, and nothing is signed afterwards', async () => {
  const broken = new Error('the disk is full')
  const { thread, fatal, guard, height } = await openThread(alone(), { hooks: () => ({ decide: () => Promise.reject(broken) }) })
  await thread.start()
  await until(() => expect(fatal).toEqual([broken]))
  await thread.stop()
  expect([height(), guard()?.height, fatal.length]).toEqual([0n, 1, 1])
})

test('a guard that is damaged is told to whoever starts it', async () => {
  const directory = testFolder()
  writeFileSync(join(directory, 'guard'), new Uint8Array(58).fill(9))
  const { thread, fatal } = await openThread(alone(), { directory })
  const refused = thread.start()
  await expect(refused).rejects.toBeInstanceOf(ConsensusThreadError)
  await expect(refused).rejects.toThrow('the guard file is damaged')
  expect(fatal).toEqual([])
})

test('stopping waits for the block that is being built, and signs nothing for it', async () => {
  const building = Promise.withResolvers<void>()
  const mayBuild = Promise.withResolvers<void>()
  let isBuilt = false
  const hooks = (asked: ConsensusChain): Partial<ConsensusChain> => ({
    async build(request) {
      building.resolve()
      await mayBuild.promise
      const built = await asked.build(request)
      isBuilt = true
      return built
    },
  })
  const { thread, directory, fatal, height } = await openThread(alone(), { hooks })
  await thread.start()
  await building.promise
  const stopped = thread.stop()
  mayBuild.resolve()
  await stopped
  expect([isBuilt, height(), readFileSync(join(directory, 'guard')).length]).toEqual([true, 0n, 0])
  expect(fatal).toEqual([])
})

/** The network's process, as the thread meets it: what it is told, and what it says. */
async function enter(path: string, told: (name: string, message: Message) => void): Promise<Pipe> {
  const read = (bytes: Uint8Array): Message => {
    const decoded = decodeMessage(bytes)
    if (!decoded.ok) throw new Error(decoded.code)
    return decoded.value
  }
  const socket = connect(path)
  await new Promise((resolve) => socket.once('connect', resolve))
  const pipe = createPipe({
    socket,
    handlers: {
      broadcast: (message: Uint8Array) => told('broadcast', read(message)),
      sendTo: ({ message }: { readonly message: Uint8Array }) => told('sendTo', read(message)),
      blameDirect: ({ why }: { readonly why: string }) => expect.unreachable(why),
    },
    onClose() {},
  })
  onTestFinished(pipe.close)
  return pipe
}

/** A message of the other validator. */
function sayAs(index: number, { params }: Genesis, message: UnsignedMessage): Uint8Array {
  const signature = sign(secretOf(index), statementDigest({ chainId: params.chainId, epoch: 0 }, message))
  return encodeMessage({ ...message, signature } as Message)
}

test('what leaves is on disk, log and guard; a proposal goes with its block; the votes of the other make it final', async () => {
  const genesis = fastGenesis([0, SELF])
  const { thread, sent, wal, guard, height } = await openThread(genesis)
  const heard = new Set<string>()
  const unlogged: string[] = []
  let answered = false
  const pipe = await enter(await thread.openDoor(), (_, message) => {
    if (message.kind !== 'proposal' && message.kind !== 'prevote' && message.kind !== 'precommit') return
    if (message.height !== 1) return
    const [log, last] = [wal(), guard()]
    const isLogged = log.ok && log.inputs.some((input) => input.kind === 'message' && isSame(input.message, message))
    const isGuarded = last?.height === 1 && (last.round > message.round || KINDS.indexOf(last.kind) >= KINDS.indexOf(message.kind))
    if (!isLogged || !isGuarded) unlogged.push(message.kind)
    heard.add(message.kind)
    if (message.kind !== 'prevote' || answered) return
    answered = true
    const { round, blockHash } = message
    const vote = { height: 1, round, blockHash, validRound: -1, validator: 0 } as const
    for (const kind of ['prevote', 'precommit'] as const)
      pipe.tell('onMessage', { message: sayAs(0, genesis, { ...vote, kind }), from: 'other' })
  })
  await thread.start()
  await until(() => expect(height()).toBe(1n))
  expect([...heard].sort()).toEqual([...KINDS].sort())
  expect(unlogged).toEqual([])
  expect(sent).toEqual(['block'])
})

function isSame(one: Message, other: Message): boolean {
  return Buffer.compare(encodeMessage(one), encodeMessage(other)) === 0
}

test('each process comes in at a path of its own, which is gone then; after one that ended the next hears all again', async () => {
  const { thread, fatal } = await openThread(fastGenesis([0, SELF]))
  await thread.start()
  const paths = [await thread.openDoor()]
  const heard: Hex[] = []
  const first = await enter(paths[0] ?? '', (_, message) => message.kind === 'proposal' && heard.push(message.blockHash))
  await until(() => expect(heard.length).toBeGreaterThan(0)) // it is said again while the height is open
  expect(paths.map(existsSync)).toEqual([false])
  first.close()
  paths.push(await thread.openDoor())
  const again: Hex[] = []
  await enter(paths[1] ?? '', (_, message) => message.kind === 'proposal' && again.push(message.blockHash))
  await until(() => expect(again.length).toBeGreaterThan(0))
  expect(again[0]).toBe(heard[0])
  expect(new Set(paths).size).toBe(2)
  const unmet = await thread.openDoor()
  await thread.stop()
  expect([...paths, unmet].map(existsSync)).toEqual([false, false, false])
  expect(fatal).toEqual([])
})

test('who says what is no message is told off while the main thread stands still', async () => {
  const { thread } = await openThread(fastGenesis([0, SELF]))
  const told = new Int32Array(new SharedArrayBuffer(4))
  const workerData = { path: await thread.openDoor(), told }
  const visitor = new Worker(new URL('../fakes/doorVisitor.ts', import.meta.url), { workerData })
  onTestFinished(async () => void (await visitor.terminate()))
  expect(Atomics.wait(told, 0, 0, 20_000)).not.toBe('timed-out') // nothing else is done on this thread meanwhile
})
