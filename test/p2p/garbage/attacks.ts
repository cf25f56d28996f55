/** Ways to do harm to a node, by what they do. Each goes on until it is cut off. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { RPC } from '@libp2p/gossipsub/message'
import type { Libp2p } from 'libp2p'
import { concatBytes, type Hex, hexToBytes, numberToBytes, toHex } from 'viem'
import { encodeCheckpointSignature, encodeCheckpointSigners } from '../../../consensus/checkpointSignatures.ts'
import { encodeMessage } from '../../../consensus/message.ts'
import { encodeFrameOf, FRAME } from '../../../p2p/frames.ts'
import {
  BLOCK_BYTES_MAX,
  directProtocolsOf,
  encodeBatch,
  encodeCheckpointNews,
  encodeNews,
  encodeRequest,
  syncProtocolOf,
  topicsOf,
} from '../../../p2p/wire.ts'
import { fakeVote } from '../../consensus/fixtures.ts'
import { blockOf, GENESIS_HASH, HEAD, helloOf, OTHER_GENESIS_HASH, txOf, VALIDATOR } from './ground.ts'

type Connection = Awaited<ReturnType<Libp2p['dial']>>
type Stream = Awaited<ReturnType<Connection['newStream']>>

export type AttackStage = {
  readonly libp2p: Libp2p
  readonly connection: Connection
  readonly address: string
  /** Whether the connection lives and there is time. */
  goesOn(): boolean
  open(protocol: string): Promise<Stream>
  /** Sends as fast as the other side takes, or so much a second. */
  flood(stream: Stream, next: (i: number) => Uint8Array, perSec?: number): Promise<void>
  /** Part of the usual rates that the other side gives peers. */
  readonly rateShare: number
  /** A connection below libp2p, with so many random bytes on it. Answers what ends it. */
  raw(bytes: number): Promise<() => void>
}

export type Attack = (stage: AttackStage) => Promise<void>

/**
 * Attacks that nobody can be cut off for, and that must do no harm: a connection without an identity is nobody's, and who stops in the middle of a block
 * may be a validator whose machine stands still (docs/spec/p2p.md#what-nobody-is-banned-for).
 */
export const UNPUNISHED: ReadonlySet<string> = new Set(['halves of large blocks', 'connections without end'])

/** What no rate is exceeded by: it must be cut off for being of no use. */
export const USELESS = 'old votes of a validator, below the rate of peers'

/** Attacks that are allowed below the rates of peers. Where the attackers have no processor time for more, nobody is cut off for them either. */
export const FLOODS: ReadonlySet<string> = new Set([
  'RPCs without end',
  'other topics without end',
  'transactions that are known',
  'old blocks',
  'the same message again and again',
  'requests for old blocks, answers not taken',
  'requests for heights that are not there',
  'old votes of a validator',
  'asks of a validator for unknown blocks',
  'useless blocks of a validator',
  'a hello of no validator',
  'a direct stream without a hello',
  'streams that are opened and left',
  'a validator that takes nothing',
  USELESS,
])

const MESHSUB = '/meshsub/1.1.0'
const TOPICS = topicsOf(GENESIS_HASH)
const DIRECT = directProtocolsOf(GENESIS_HASH)
const SYNC = syncProtocolOf(GENESIS_HASH)
let names = 0
let lives = 0
/** Validators that attack at a time, and sets of them that take turns. */
const ATTACKER_KEYS = 7
const LIVES = 10
/** Messages a second: 500 are allowed, and correct validators send 45 at most. */
const USELESS_PER_SEC = 450

export const ATTACKS: Readonly<Record<string, Attack>> = {
  'random bytes as a gossip stream': (stage) => onStream(stage, MESHSUB, () => randomBytes(1 + (names++ % 2_000))),
  'an RPC that is too long': (stage) => onStream(stage, MESHSUB, () => concatBytes([varint(8 << 20), randomBytes(60_000)])),
  'RPCs without end': (stage) => onStream(stage, MESHSUB, () => rpc({ control: grafts(8) })),
  'other topics without end': (stage) =>
    onStream(stage, MESHSUB, (i) => rpc({ messages: [{ topic: `/other/${i}`, data: randomBytes(16) }] })),
  'random transactions': (stage) => onTopic(stage, TOPICS.transactions, () => randomBytes(500)),
  'random blocks': (stage) => onTopic(stage, TOPICS.blocks, () => randomBytes(5_000)),
  'transactions that are too long': (stage) => onTopic(stage, TOPICS.transactions, () => randomBytes(1 << 20)),
  'transactions that are never valid': (stage) => onTopic(stage, TOPICS.transactions, () => encodeBatch(0, [txOf(3, names++)])),
  'transactions that are known': (stage) =>
    onTopic(stage, TOPICS.transactions, () =>
      encodeBatch(
        0,
        Array.from({ length: 4 }, () => txOf(2, names++)),
      ),
    ),
  'old blocks': (stage) =>
    onTopic(stage, TOPICS.blocks, (i) =>
      encodeNews({ commit: concatBytes([Uint8Array.of(6, 1 + (i % HEAD)), numberToBytes(i)]), block: blockOf(i).subarray(0, 2_000) }),
    ),
  'the same message again and again': (stage) => {
    const data = encodeBatch(0, [txOf(1, names++)])
    return onTopic(stage, TOPICS.transactions, () => data)
  },
  'random bytes as a request': (stage) => again(stage, SYNC, () => randomBytes(40)),
  'requests for old blocks, answers not taken': (stage) =>
    again(stage, SYNC, () => framed(encodeRequest({ from: 1n, count: 32 })), { keepMs: 10, isReset: true }),
  'requests for heights that are not there': (stage) => again(stage, SYNC, () => framed(encodeRequest({ from: 1n << 40n, count: 32 }))),
  'a direct stream without a hello': (stage) => again(stage, DIRECT.votes, () => new Uint8Array(), { keepMs: 20 }),
  'random bytes as a direct stream': (stage) => onStream(stage, DIRECT.votes, () => randomBytes(1_000)),
  'a hello of another network': (stage) =>
    onStream(stage, DIRECT.votes, () => encodeFrameOf('hello', helloOf(9, stage.libp2p.peerId.toString(), OTHER_GENESIS_HASH))),
  'a hello of no validator': (stage) => again(stage, DIRECT.votes, () => encodeFrameOf('hello', randomBytes(144)), { keepMs: 20 }),
  'old votes of a validator': (stage) => asValidator(stage, 0, DIRECT.votes, () => encodeFrameOf('message', oldVote())),
  [USELESS]: async (stage) => {
    await stage.flood(
      await greetedStream(stage, 5, DIRECT.votes),
      () => encodeFrameOf('message', oldVote()),
      USELESS_PER_SEC * stage.rateShare,
    )
  },
  'asks of a validator for unknown blocks': (stage) => asValidator(stage, 1, DIRECT.votes, () => encodeFrameOf('ask', randomBytes(32))),
  'signatures of checkpoints without end': (stage) =>
    asValidator(stage, 6, DIRECT.votes, () => encodeFrameOf('checkpoint', strangeSignature())),
  'checkpoints that no quorum signed': (stage) =>
    onTopic(stage, TOPICS.blocks, () =>
      encodeCheckpointNews(
        encodeCheckpointSigners({
          ...{ lastBlock: 1 + names++, checkpointHash: toHex(randomBytes(32)) },
          certificate: { bitmap: Uint8Array.of(7), signature: randomBytes(96) },
        }),
      ),
    ),
  'useless blocks of a validator': (stage) => {
    const frame = encodeFrameOf('block', new Uint8Array(1 << 20))
    return asValidator(stage, 2, DIRECT.blocks, () => frame)
  },
  'halves of large blocks': async (stage) => {
    const head = concatBytes([numberToBytes(1 + BLOCK_BYTES_MAX, { size: 4 }), Uint8Array.of(FRAME.block)])
    const stream = await greetedStream(stage, 3, DIRECT.blocks)
    stream.send(head)
    for (let i = 0; i < 31 && stage.goesOn(); i++) {
      if (!stream.writableNeedsDrain) stream.send(new Uint8Array(1 << 20))
      await sleep(50)
    }
  },
  'a validator that takes nothing': async (stage) => {
    for (const protocol of [...Object.values(DIRECT), MESHSUB, '/meshsub/1.2.0'])
      await stage.libp2p.handle(protocol, (stream) => stream.pause())
    await asValidator(stage, 4, DIRECT.votes, () => encodeFrameOf('message', new Uint8Array(1_000).fill(1)))
  },
  'streams that are opened and left': async (stage) => {
    while (stage.goesOn())
      await Promise.all([MESHSUB, SYNC, DIRECT.votes, '/ipfs/id/1.0.0'].map((protocol) => stage.open(protocol).catch(() => sleep(10))))
  },
  'connections without end': async (stage) => {
    const ends: (() => void)[] = []
    while (stage.goesOn()) {
      ends.push(await stage.raw(names++ % 2 === 0 ? 0 : 5_000))
      if (ends.length > 64) ends.shift()?.()
    }
    for (const end of ends) end()
  },
}

/** Writes to one stream without end, and opens it again if it is reset. */
async function onStream(stage: AttackStage, protocol: string, next: (i: number) => Uint8Array): Promise<void> {
  while (stage.goesOn()) {
    const stream = await stage.open(protocol).catch(() => undefined)
    if (stream) await stage.flood(stream, next)
    else await sleep(50)
  }
}

/** Opens one stream after another, each with some bytes on it. */
async function again(
  stage: AttackStage,
  protocol: string,
  bytes: () => Uint8Array,
  { keepMs = 1, isReset = false }: { readonly keepMs?: number; readonly isReset?: boolean } = {},
): Promise<void> {
  while (stage.goesOn()) {
    const stream = await stage.open(protocol).catch(() => undefined)
    if (stream) stream.send(bytes())
    await sleep(keepMs)
    if (isReset) stream?.abort(new Error('enough'))
    else await stream?.close({ signal: AbortSignal.timeout(100) }).catch(() => {})
  }
}

async function onTopic(stage: AttackStage, topic: string, data: (i: number) => Uint8Array): Promise<void> {
  return onTopics(stage, { topic, topics: TOPICS }, data)
}

async function onTopics(
  stage: AttackStage,
  { topic, topics }: { readonly topic: string; readonly topics: ReturnType<typeof topicsOf> },
  data: (i: number) => Uint8Array,
): Promise<void> {
  const subscriptions = Object.values(topics).map((name) => ({ subscribe: true, topic: name }))
  return onStream(stage, MESHSUB, (i) => rpc(i === 0 ? { subscriptions } : { messages: [{ topic, data: data(i) }] }))
}

/** One transaction of a network's, again and again, in batches that differ. */
export function repeating(raw: Uint8Array, genesisHash: Hex): Attack {
  const topics = topicsOf(genesisHash)
  return async (stage) => {
    // Who takes no gossip is cut off for that.
    for (const protocol of [MESHSUB, '/meshsub/1.2.0'])
      await stage.libp2p.handle(protocol, (stream) => stream.addEventListener('message', () => {}))
    await onTopics(stage, { topic: topics.transactions, topics }, () => encodeBatch(names++, [raw]))
  }
}

function oldVote(): Uint8Array {
  return encodeMessage(fakeVote({ kind: 'prevote', validator: VALIDATOR.attacker, height: 1 + (names++ % HEAD) }))
}

function strangeSignature(): Uint8Array {
  return encodeCheckpointSignature({ lastBlock: 1 + names++, checkpointHash: toHex(randomBytes(32)), signature: randomBytes(96) })
}

/** A validator is banned whatever its name: each life has another key. */
async function greetedStream(stage: AttackStage, validator: number, protocol: string): Promise<Stream> {
  const stream = await stage.open(protocol)
  stream.send(
    encodeFrameOf('hello', helloOf(VALIDATOR.attacker + validator + ATTACKER_KEYS * (lives++ % LIVES), stage.libp2p.peerId.toString())),
  )
  return stream
}

async function asValidator(stage: AttackStage, validator: number, protocol: string, next: () => Uint8Array): Promise<void> {
  await stage.flood(await greetedStream(stage, validator, protocol), next)
}

type RpcParts = {
  readonly subscriptions?: readonly { readonly subscribe: boolean; readonly topic: string }[]
  readonly messages?: readonly { readonly topic: string; readonly data: Uint8Array }[]
  readonly control?: NonNullable<Parameters<typeof RPC.encode>[0]['control']>
}

function rpc({ subscriptions = [], messages = [], control }: RpcParts): Uint8Array {
  return framed(RPC.encode({ subscriptions: [...subscriptions], messages: [...messages], ...(control && { control }) }))
}

function grafts(count: number): NonNullable<RpcParts['control']> {
  const ids = () => Array.from({ length: count }, () => hexToBytes(`0x${randomBytes(20).toString('hex')}`))
  return {
    ihave: [{ topicID: TOPICS.blocks, messageIDs: ids() }],
    iwant: [{ messageIDs: ids() }],
    graft: [{ topicID: TOPICS.blocks }],
    prune: [],
    idontwant: [],
  }
}

function framed(bytes: Uint8Array): Uint8Array {
  return concatBytes([varint(bytes.length), bytes])
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Uint8Array.from([...bytes, rest])
}
