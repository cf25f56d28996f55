/** When to post and how much: never nothing, never too late, and always an end. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BLOB_PAYLOAD_BYTES } from '../../settlement/blob.ts'
import { type BlockSize, choosePost, measureBlock, type PostLimits, shrinkPost, takeoverMs } from '../../settlement/post.ts'
import { startStory, toBatch, toLaneBlock } from './story.ts'

const LIMITS: PostLimits = { intervalMs: 60_000, blobsWorth: 1, payloadBytesMax: 6 * BLOB_PAYLOAD_BYTES }
const block = (laneBytes: number, more: Partial<BlockSize> = {}): BlockSize => ({
  laneBytes,
  rowCount: 0,
  plainTailBytes: 0,
  evmCount: 0,
  ...more,
})
const blocks = (count: number, laneBytes: number) => new Array<BlockSize>(count).fill(block(laneBytes))

function choose(
  sizes: readonly BlockSize[],
  { nowMs = 0, tailRatio = 1, limits = LIMITS }: { nowMs?: number; tailRatio?: number; limits?: PostLimits } = {},
) {
  return choosePost({ sizes, sinceMs: 0, nowMs, tailRatio }, limits)
}

test('nothing is posted when nothing waits, and everything once the time is up', () => {
  expect(choose([], { nowMs: 1e9 })).toEqual({ kind: 'wait', untilMs: undefined })
  expect(choose(blocks(3, 31), { nowMs: 59_999 })).toEqual({ kind: 'wait', untilMs: 60_000 })
  expect(choose(blocks(3, 31), { nowMs: 60_000 })).toEqual({ kind: 'post', count: 3 })
})

test('a blob that is nearly full goes at once, and takes only what it holds', () => {
  expect(choose(blocks(100, 1_000))).toEqual({ kind: 'wait', untilMs: 60_000 })
  expect(choose(blocks(121, 1_000))).toEqual({ kind: 'post', count: 121 })
  // 140 blocks would be a blob and a tenth of one: the tenth waits for company.
  expect(choose(blocks(140, 1_000))).toEqual({ kind: 'post', count: 126 })
  const two = { ...LIMITS, blobsWorth: 2 }
  expect(choose(blocks(140, 1_000), { limits: two })).toEqual({ kind: 'wait', untilMs: 60_000 })
  expect(choose(blocks(250, 1_000), { limits: two })).toEqual({ kind: 'post', count: 250 })
})

test('more than fits is posted in parts, each as large as can be', () => {
  expect(choose(blocks(2_000, 1_000))).toEqual({ kind: 'post', count: 761 })
  expect(choose(blocks(2_000, 1_000), { nowMs: 70_000 })).toEqual({ kind: 'post', count: 761 })
  expect(choose(blocks(5_000, 31), { nowMs: 70_000 })).toEqual({ kind: 'post', count: 4_096 })
  expect(choose(new Array<BlockSize>(9).fill(block(0, { evmCount: 4_000 })), { nowMs: 70_000 })).toEqual({ kind: 'post', count: 4 })
  expect(choose(new Array<BlockSize>(9).fill(block(0, { plainTailBytes: 2 ** 22 })), { nowMs: 70_000, tailRatio: 0.001 })).toEqual({
    kind: 'post',
    count: 4,
  })
  const inCallData = { ...LIMITS, payloadBytesMax: 10_000 }
  expect(choose(blocks(20, 1_000), { limits: inCallData })).toEqual({ kind: 'post', count: 9 })
})

test('what compresses well makes longer batches', () => {
  const sizes = new Array<BlockSize>(500).fill(block(0, { plainTailBytes: 2_000 }))
  expect(choose(sizes, { nowMs: 60_000 })).toEqual({ kind: 'post', count: 380 })
  expect(choose(sizes, { nowMs: 60_000, tailRatio: 0.5 })).toEqual({ kind: 'post', count: 500 })
})

test('a block that is larger than the guess allows is tried all the same', () =>
  expect(choose([block(900_000), block(31)], { nowMs: 60_000 })).toEqual({ kind: 'post', count: 1 }))

test('what did not fit shrinks until it is one block, and then there is no more to try', () =>
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4_096 }), fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 20 }), (start, overs) => {
      let count: number | undefined = start
      for (let tries = 0; count !== undefined; tries++) {
        const next: number | undefined = shrinkPost(count, {
          ok: false,
          code: 'payloadTooLarge',
          got: 1_000 + (overs[tries % overs.length] ?? 1),
          max: 1_000,
        })
        if (next === undefined) expect(count).toBe(1)
        else expect(next).toBeLessThan(count)
        count = next
      }
    }),
  ))

test('a block is measured as it stands in a batch', async () => {
  const story = await startStory()
  const { batch } = toBatch(story, 1, 1)
  const [first] = story.blocks
  if (!first) throw new Error('there is no block')
  const evm = first.transactions.filter(({ kind }) => kind === 'ethereum')
  const bytes = evm.reduce((sum, { raw }) => sum + raw.length, 0)
  expect(measureBlock(toLaneBlock(first))).toEqual({
    laneBytes: batch.lane.bytes.length,
    rowCount: batch.lane.rowCount,
    plainTailBytes: bytes + 16 + 1,
    evmCount: evm.length,
  })
})

test('who posted last goes on; then validators step in one after another, in an order that turns, and others after them', () => {
  const turn = { isOwn: false, nextIndex: 5n, place: 0, size: 4 }
  expect(takeoverMs({ ...turn, isOwn: true })).toBe(0)
  expect(takeoverMs({ ...turn, nextIndex: 0n, place: undefined })).toBe(0)
  const waits = (nextIndex: bigint) => [0, 1, 2, 3, undefined].map((place) => takeoverMs({ ...turn, nextIndex, place }) / 60_000)
  expect(waits(4n)).toEqual([1, 2, 3, 4, 5])
  expect(waits(5n)).toEqual([4, 1, 2, 3, 5])
  expect(waits(6n)).toEqual([3, 4, 1, 2, 5])
})
