/** What waits is sent again, sooner to whoever connects, and never as a flood. */
import { type Hex, toHex } from 'viem'
import { expect, test } from 'vitest'
import { createResend, RESEND_TICK_MS, type ResendLimits } from '../../node/resend.ts'

const hashOf = (name: number): Hex => toHex(name, { size: 32 })

/** A pool of so many transactions of so many bytes that were all sent at time 0, and what is sent again: seconds and names. */
function stage(count: number, bytes = 120, limits?: Partial<ResendLimits>) {
  const pool = new Map(Array.from({ length: count }, (_, i) => [hashOf(i), new Uint8Array(bytes).fill(i)]))
  const sent: { atMs: number; raw: Uint8Array }[] = []
  const world = { nowMs: 0, isFull: false }
  const resend = createResend({
    rawOf: (hash) => pool.get(hash),
    send(raw) {
      if (world.isFull) return false
      sent.push({ atMs: world.nowMs, raw })
      return true
    },
    nowMs: () => world.nowMs,
    ...(limits && { limits }),
  })
  for (const hash of pool.keys()) resend.sent(hash)
  const run = (untilMs: number) => {
    for (; world.nowMs < untilMs; world.nowMs += RESEND_TICK_MS) resend.tick()
  }
  return { pool, sent, world, resend, run }
}

test('what waits is sent again after 12 s, and then less and less often', () => {
  const { sent, run } = stage(1)
  run(400_000)
  const at = sent.map(({ atMs }) => atMs / 1_000)
  expect(at).toEqual([12, 36, 84, 180, 276, 372])
})

test('what is in a block is not sent again, and forgotten', () => {
  const { pool, sent, resend, run } = stage(10)
  for (let name = 0; name < 7; name++) pool.delete(hashOf(name))
  run(13_000)
  expect(sent.map(({ raw }) => raw[0])).toEqual([7, 8, 9])
  expect(resend.size()).toBe(3)
})

test('to a peer that connects all is said soon, once in 10 s however often one does', () => {
  const { sent, resend, run } = stage(1)
  run(50_000)
  sent.length = 0
  for (let second = 50; second < 60; second++) {
    resend.connected()
    run((second + 1) * 1_000)
  }
  // Anew at 51, then as after the first time; a connection of a moment later is answered 10 s after that.
  run(62_000)
  expect(sent.map(({ atMs }) => atMs / 1_000)).toEqual([51, 61])
})

test('a pool of 65,536 is sent at a bounded rate, each in its turn', () => {
  const { sent, world, resend, run } = stage(65_536)
  expect(resend.size()).toBe(65_536)
  run(12_000)
  expect(sent).toEqual([])
  for (let second = 12; second < 300; second++) {
    const before = sent.length
    if (second === 100) resend.connected()
    run((second + 1) * 1_000)
    expect(sent.length - before).toBeLessThanOrEqual(256)
  }
  expect(world.nowMs).toBe(300_000)
  const names = (from: number) => new Set(sent.slice(from, from + 65_536).map(({ raw }) => raw)).size
  expect(names(0)).toBe(65_536)
})

test('bytes are bounded like transactions', () => {
  const { sent, run } = stage(16, 60_000)
  run(12_250)
  expect(sent).toHaveLength(1)
  run(13_000)
  expect(sent).toHaveLength(4)
})

test('more than the bound is not remembered; what finds no room is tried again', () => {
  const { sent, world, resend, run } = stage(20, 120, { txsMax: 5 })
  expect(resend.size()).toBe(5)
  world.isFull = true
  run(15_000)
  expect(sent).toEqual([])
  world.isFull = false
  run(15_250)
  expect(sent).toHaveLength(5)
})
