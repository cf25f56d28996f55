/** What comes in on a gossip stream: RPCs are told from other bytes as they come, in whatever pieces, and streams take turns. */
import { RPC } from '@libp2p/gossipsub/message'
import fc from 'fast-check'
import { concatBytes } from 'viem'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createBudgets } from '../../p2p/budget.ts'
import { createRpcScan, createTurns, RPC_BYTES_MAX, waitOf } from '../../p2p/gossipStream.ts'
import { createRandom } from '../sim/random.ts'

const anyRpc = fc.record({
  subscriptions: fc.array(fc.record({ subscribe: fc.boolean(), topic: fc.string() }), { maxLength: 4 }),
  messages: fc.array(fc.record({ topic: fc.string(), data: fc.uint8Array({ maxLength: 400 }) }), { maxLength: 4 }),
})

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Uint8Array.from([...bytes, rest])
}

test('RPCs are counted with their entries, however they are cut', () => {
  const anyCut = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(fc.array(anyRpc, { maxLength: 5 }), anyCut, (rpcs, cuts) => {
      const bytes = concatBytes(
        rpcs.flatMap((rpc) => {
          const encoded = RPC.encode(rpc)
          return [varint(encoded.length), encoded]
        }),
      )
      const scan = createRpcScan()
      let counted = 0
      for (let at = 0, cut = 0; at < bytes.length; cut++) {
        const length = cuts[cut % cuts.length] ?? 1
        counted += scan(bytes.subarray(at, at + length)) ?? Number.NaN
        at += length
      }
      expect(counted).toBe(rpcs.reduce((sum, { subscriptions, messages }) => sum + 1 + subscriptions.length + messages.length, 0))
    }),
  )
})

test('what is no RPC is known as such, and stays so', () => {
  const wrongs = [
    varint(RPC_BYTES_MAX + 1), // too long
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff), // a length without end
    Uint8Array.of(3, 0x08, 1, 1), // a field that is no entry
    Uint8Array.of(3, 0x22, 1, 1), // one that no RPC has
    Uint8Array.of(3, 0x12, 9, 1), // an entry that is longer than its RPC
    Uint8Array.of(1, 0x12), // a tag with nothing behind it
  ]
  for (const wrong of wrongs) {
    const scan = createRpcScan()
    expect([wrong, scan(wrong)]).toEqual([wrong, undefined])
    expect(scan(Uint8Array.of(0))).toBeUndefined()
  }
  // Random bytes may begin like a long entry: one in some thousands does.
  const random = createRandom(1)
  const anyBytes = () => new Uint8Array(2_000).map(() => random() * 256)
  const passed = Array.from({ length: 300 }, () => createRpcScan()(anyBytes())).filter((entries) => entries !== undefined)
  expect(passed.length).toBeLessThan(3)
})

test('one goes on in each turn, in the order of asking', async () => {
  const turn = createTurns()
  const order: string[] = []
  const run = async (name: string) => {
    for (let i = 0; i < 3; i++) {
      await turn()
      order.push(name)
    }
  }
  let turns = 0
  const count = () => {
    turns++
    if (order.length < 6) setImmediate(count)
  }
  setImmediate(count)
  await Promise.all([run('a'), run('b')])
  expect(order).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
  expect(turns).toBeGreaterThanOrEqual(5)
})

test('who spends more than there is waits for it, by itself', () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => {
    vi.useRealTimers()
  })
  const budgets = createBudgets({ perSec: 100, burst: 50 })
  expect(waitOf(budgets, 'a', 50)).toBe(0)
  expect(waitOf(budgets, 'a', 100)).toBe(1_000)
  expect(budgets.spend('a', 1)).toBe(false)
  expect(budgets.spend('b', 1_000)).toBe(true) // into debt, once
  expect(budgets.spend('b', 1)).toBe(false)
  vi.advanceTimersByTime(1_000)
  expect(waitOf(budgets, 'a', 0)).toBe(0)
})
