/** Who says much that is of no use, and for long, is told off; whoever only says what its protocol has it say never is, however late all of it comes. */
import { expect, test } from 'vitest'
import { aggregateSignatures, publicKeyOf } from '../../consensus/bls.ts'
import { encodeMessage, type Message } from '../../consensus/message.ts'
import { idleState, type State } from '../../consensus/state.ts'
import { DEFAULT_TIMING } from '../../consensus/timing.ts'
import { encodeBlock } from '../../execution/block.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { createIntake } from '../../node/intake.ts'
import { createProposals } from '../../node/proposals.ts'
import { CHAIN_ID, fakeProposal, fakeVote, secretKey, setOf } from '../consensus/fixtures.ts'
import { testGenesis } from '../fakes/testChain.ts'

const HEIGHT = 1_000
const HEIGHTS_PER_SEC = 5
const HOUR_SEC = 3_600

/** An intake of a node that stands at a height, and a clock. */
function stage(now: Partial<State> = {}) {
  const set = setOf([1, 1, 1, 1])
  const context = { publicKey: publicKeyOf(secretKey(0)), timing: DEFAULT_TIMING, aggregate: aggregateSignatures }
  const world = { nowMs: 0, blamed: [] as string[] }
  const intake = createIntake({
    chainId: CHAIN_ID,
    state: () => ({ ...idleState(context, set, HEIGHT), ...now }),
    setAt: () => set,
    nowMs: () => world.nowMs,
    minBlockIntervalMs: () => 1_000 / HEIGHTS_PER_SEC,
    deliver() {},
    onNext() {},
    onAhead() {},
    onBehind() {},
    blame: (peer, why) => world.blamed.push(`${peer}: ${why}`),
  })
  return { world, intake }
}

const vote = (height: number) => encodeMessage(fakeVote({ kind: 'prevote', validator: 1, height }))

test('votes that are over are borne for a minute at the rate of the network, and then cut off', () => {
  const { world, intake } = stage()
  const bytes = vote(HEIGHT - 1)
  for (; world.blamed.length === 0 && world.nowMs < HOUR_SEC * 1_000; world.nowMs += 4) intake.take(bytes, 'flood')
  expect(world.blamed).toEqual(['flood: its messages are of no use'])
  // 250 a second; what a correct one says in all is 45, so 90 are borne, and 5,400 more.
  expect(world.nowMs / 1_000).toBeGreaterThan(30)
  expect(world.nowMs / 1_000).toBeLessThan(40)
})

test('votes far ahead, in heights or in rounds, are cut off like those that are over', () => {
  for (const message of [fakeVote({ kind: 'precommit', validator: 1, height: HEIGHT + 9 }), fakeProposal({ height: HEIGHT + 2 ** 30 })]) {
    const { world, intake } = stage()
    const bytes = encodeMessage(message)
    for (; world.blamed.length === 0 && world.nowMs < 60_000; world.nowMs += 4) intake.take(bytes, 'flood')
    expect(world.blamed).toEqual(['flood: its messages are of no use'])
  }
})

/** All that a correct validator says in a second, at the fastest that heights may come, with what it says again. */
function correctSecond(height: number): readonly Message[] {
  const ofHeight = (at: number): Message[] => [
    fakeProposal({ height: at }),
    ...(['prevote', 'precommit', 'prevote', 'precommit', 'prevote'] as const).map((kind) => fakeVote({ kind, validator: 1, height: at })),
  ]
  const fresh = Array.from({ length: HEIGHTS_PER_SEC }, (_, i) => ofHeight(height + i)).flat()
  return [...fresh, ...Array.from({ length: 15 }, () => fakeVote({ kind: 'prevote', validator: 1, height }))]
}

test('a correct validator of which all comes too late is never told off', () => {
  const { world, intake } = stage()
  for (let second = 0; second < HOUR_SEC; second++) {
    for (const message of correctSecond(HEIGHT - 500)) intake.take(encodeMessage(message), 'late')
    world.nowMs += 1_000
  }
  expect(world.blamed).toEqual([])
})

test('nor is one that goes on for an hour while this node catches up', () => {
  const { world, intake } = stage()
  for (let second = 0; second < HOUR_SEC; second++) {
    for (const message of correctSecond(HEIGHT + 100 + second)) intake.take(encodeMessage(message), 'ahead')
    world.nowMs += 1_000
  }
  expect(world.blamed).toEqual([])
})

test('nor three of which all that they said in half an hour comes at once, because this process stood still', () => {
  const { world, intake } = stage()
  const said = correctSecond(HEIGHT + 100).map(encodeMessage)
  const peers = ['one', 'two', 'three']
  for (const peer of peers) for (const bytes of said) intake.take(bytes, peer)
  world.nowMs += 1_800_000
  for (let second = 0; second < 1_800; second++) for (const peer of peers) for (const bytes of said) intake.take(bytes, peer)
  expect(world.blamed).toEqual([])
  // Once: what was borne is not borne again.
  for (let i = 0; i < 100_000 && world.blamed.length === 0; i++) for (const bytes of said) intake.take(bytes, 'one')
  expect(world.blamed[0]).toBe('one: its messages are of no use')
})

test('the same message again and again before it is looked at is of no use, however good it is', () => {
  const { world, intake } = stage({ step: 'propose', round: 0 })
  const bytes = vote(HEIGHT)
  for (let i = 0; i < 10_000 && world.blamed.length === 0; i++) intake.take(bytes, 'echo')
  expect(world.blamed).toEqual(['echo: its messages are of no use'])
  intake.close()
})

test('blocks of heights that are over are borne at twice the rate of the network', () => {
  const old = encodeBlock(createGenesisBlock(testGenesis()).block)
  const blamed: string[] = []
  let nowMs = 0
  const proposals = createProposals({
    height: () => 9n,
    fetch: async () => undefined,
    blame: (peer, why) => blamed.push(`${peer}: ${why}`),
    minBlockIntervalMs: () => 1_000 / HEIGHTS_PER_SEC,
    nowMs: () => nowMs,
  })
  const send = (peer: string, perSec: number) => {
    for (const until = nowMs + 600_000; nowMs < until && blamed.length === 0; nowMs += 1_000 / perSec) proposals.take(old, peer)
  }
  send('late', 12)
  expect(blamed).toEqual([])
  send('flood', 16)
  expect(blamed).toEqual(['flood: its blocks are of no use'])
})
