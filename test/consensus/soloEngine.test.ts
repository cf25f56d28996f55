import { type Hex, toHex } from 'viem'
import { expect, test } from 'vitest'
import { publicKeyOf, sign } from '../../consensus/bls.ts'
import { verifyCommit } from '../../consensus/certificate.ts'
import { statementDigest } from '../../consensus/digest.ts'
import { checkSign, decodeGuard } from '../../consensus/guard.ts'
import type { UnsignedMessage } from '../../consensus/message.ts'
import { verifyMessage } from '../../consensus/verify.ts'
import { crashDisk, createEngine, type Disk, type Engine, type EnginePorts, emptyDisk } from './engine.ts'
import { CHAIN_ID, canonical, contextOf, secretKey, setOf } from './fixtures.ts'

/**
 * A network of one validator with a real key, whose process may be killed at any boundary between two effects on the world.
 */

class Killed extends Error {}

const SET = setOf([1])

type World = {
  disk: Disk
  /** Everything signed that ever left the process, by slot: what an observer could hold against the validator. */
  signed: Map<string, Set<string>>
  /** What each height was announced as final with, by all incarnations. */
  decided: Map<number, Set<Hex>>
  blocksBuilt: number
  boundaries: number
  dieAt: number
  timersNeeded: number
}

function newWorld(dieAt: number): World {
  return { disk: emptyDisk(), signed: new Map(), decided: new Map(), blocksBuilt: 0, boundaries: 0, dieAt, timersNeeded: 0 }
}

function note<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  map.set(key, (map.get(key) ?? new Set<V>()).add(value))
}

function isGuarded({ guard: bytes }: Disk, message: UnsignedMessage): boolean {
  const guard = bytes && decodeGuard(bytes)
  const verdict = checkSign(guard, message, SET, CHAIN_ID)
  return guard !== undefined && (verdict.ok ? canonical(verdict.guard) === canonical(guard) : verdict.code === 'lowerSlot')
}

function bootEngine(world: World): Engine {
  const ports: EnginePorts = {
    boundary() {
      if (++world.boundaries === world.dieAt) throw new Killed()
    },
    now: () => 1_000,
    sign: (_message, digest, done) => done(sign(secretKey(0), digest)),
    verify: (message) => verifyMessage(SET, message, CHAIN_ID).ok,
    broadcast(message) {
      expect(verifyMessage(SET, message, CHAIN_ID)).toEqual({ ok: true })
      if (message.kind === 'commit') note(world.decided, message.height, message.blockHash)
      if (message.kind !== 'proposal' && message.kind !== 'prevote' && message.kind !== 'precommit') return
      const digest = statementDigest({ chainId: CHAIN_ID, epoch: SET.epoch }, message)
      note(world.signed, `${message.height} ${message.round} ${message.kind}`, toHex(digest))
      expect(isGuarded(world.disk, message), 'the guard on disk holds what leaves').toBe(true)
      expect(world.disk.syncedBytes, 'the log of what leaves is on disk').toBe(world.disk.wal.length)
    },
    startTimer() {},
    buildBlock(height, round) {
      // Each build gives another block, as a builder with a clock and a mempool would.
      world.blocksBuilt++
      const blockHash = toHex(height * 1_000 + world.blocksBuilt, { size: 32 })
      engine.input({ kind: 'blockBuilt', height, round, blockHash, timestampMs: 900 })
    },
    checkBlock: () => expect.unreachable('a lone validator builds all blocks itself'),
    onDecide: ({ height, blockHash }) => note(world.decided, height, blockHash),
    onEvidence: () => expect.unreachable('there is no offence'),
    onPastHeight() {},
    onHalt: () => expect.unreachable('every block is valid'),
    onStep() {},
  }
  const engine = createEngine({ context: contextOf(publicKeyOf(secretKey(0))), setAt: () => SET, chainId: CHAIN_ID }, ports, world.disk)
  return engine
}

/** Runs until `heights` blocks are decided, with at most one death on the way. */
function runTo(world: World, heights: number, keptBytesOf: (unsynced: number) => number): void {
  for (let lives = 0; lives < 2; lives++) {
    try {
      const engine = bootEngine(world)
      engine.recover()
      while (world.disk.decided.length < heights) {
        const before = world.disk.decided.length
        engine.startNext()
        expect(world.disk.decided.length, 'a height is decided in one go, without a timer').toBe(before + 1)
      }
      return
    } catch (error) {
      if (!(error instanceof Killed)) throw error
      crashDisk(world.disk, keptBytesOf(world.disk.wal.length - world.disk.syncedBytes))
    }
  }
  expect.unreachable('killed twice')
}

test('a set of one decides each height in one go, with a commit that verifies', () => {
  const world = newWorld(0)
  runTo(world, 3, () => 0)
  expect(world.disk.decided.map(({ height, round }) => [height, round])).toEqual([
    [1, 0],
    [2, 0],
    [3, 0],
  ])
  for (const { commit } of world.disk.decided) expect(verifyCommit(SET, commit, CHAIN_ID)).toEqual({ ok: true })
  expect(world.blocksBuilt).toBe(3)
})

const LOSSES = {
  'loses all that was not synced': () => 0,
  'keeps all that was written': (unsynced: number) => unsynced,
  'tears the last write': (unsynced: number) => Math.floor(unsynced / 2),
}

for (const [name, keptBytesOf] of Object.entries(LOSSES)) {
  test(`a validator killed at any boundary, whose disk ${name}, signs one thing a slot and decides one block a height`, () => {
    const calm = newWorld(0)
    runTo(calm, 2, keptBytesOf)
    expect(calm.boundaries).toBeGreaterThan(40)
    for (let dieAt = 1; dieAt <= calm.boundaries; dieAt++) {
      const world = newWorld(dieAt)
      runTo(world, 2, keptBytesOf)
      for (const [slot, digests] of world.signed) expect([...digests], `slot ${slot}, killed at ${dieAt}`).toHaveLength(1)
      for (const [height, hashes] of world.decided) expect([...hashes], `height ${height}, killed at ${dieAt}`).toHaveLength(1)
      expect(world.disk.decided.map(({ height }) => height)).toEqual([1, 2])
    }
  })
}

test('a validator that was killed after its log was synced stands where it stood', () => {
  const world = newWorld(0)
  const engine = bootEngine(world)
  engine.startNext()
  const state = engine.state()
  world.disk.decided.length = 0 // as if the block had not reached the store
  const again = bootEngine(world)
  again.recover()
  const { context: _, set: __, ...rest } = again.state()
  const { context: ___, set: ____, ...lived } = state
  expect(canonical(rest)).toBe(canonical(lived))
  expect(world.disk.decided).toHaveLength(1)
})
