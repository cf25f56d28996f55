/** When to post and how much: never nothing, never too late, and always an end. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BLOB_PAYLOAD_BYTES } from '../../settlement/blob.ts'
import { CALL_DATA_BYTES_MAX } from '../../settlement/inbox.ts'
import {
  type BlockSize,
  CALLDATA_PAYLOAD_MAX,
  chooseDa,
  choosePost,
  type Da,
  daCostsWei,
  measureBlock,
  type PostLimits,
  shrinkPost,
  takeoverMs,
} from '../../settlement/post.ts'
import { startStory, toBatch, toLaneBlock } from './story.ts'

const LIMITS: PostLimits = { intervalMs: 60_000, blobsWorth: 1, payloadBytesMax: 6 * BLOB_PAYLOAD_BYTES }
const block = (laneBytes: number, more: Partial<BlockSize> = {}): BlockSize => ({
  laneBytes,
  groupCount: 0,
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
    groupCount: batch.lane.places.length,
    plainTailBytes: bytes + 16 + 1,
    evmCount: evm.length,
  })
})

const GWEI = 10n ** 9n
const prices = (baseFeeGwei: bigint, blobGwei: bigint) => ({ baseFeeWei: baseFeeGwei * GWEI, tipWei: 0n, blobBaseFeeWei: blobGwei * GWEI })
/** So many bytes, none of them zero. */
const payload = (bytes: number) => new Uint8Array(bytes).fill(1)

test('what a payload costs is gas by the fee, with the floor of call data, or whole blobs by theirs', () => {
  const at = { baseFeeWei: 2n, tipWei: 1n, blobBaseFeeWei: 5n }
  // 16 gas a byte above what posting takes, while that is more than the floor of 40 above a transaction's own; 4 and 10 for a zero.
  expect(daCostsWei(payload(1_000), at)).toEqual({ blob: 262_000n * 3n + 131_072n * 5n, calldata: (262_000n + 16_000n) * 3n })
  expect(daCostsWei(payload(100_000), at).calldata).toBe((21_000n + 4_000_000n) * 3n)
  expect(daCostsWei(new Uint8Array(100_000), at).calldata).toBe((21_000n + 1_000_000n) * 3n)
  expect(daCostsWei(payload(BLOB_PAYLOAD_BYTES + 1), at).blob).toBe(262_000n * 3n + 2n * 131_072n * 5n)
})

test.each<{ bytes: number; base: bigint; blob: bigint; last?: Da; want: Da; why: string }>([
  { bytes: 1_000, base: 1n, blob: 0n, want: 'blob', why: 'blobs for nothing' },
  { bytes: 1_000, base: 1n, blob: 1n, want: 'calldata', why: 'a blob for 1,000 bytes at the price of gas' },
  { bytes: 8_000, base: 1n, blob: 1n, want: 'calldata', why: 'below a blob of as much gas' },
  { bytes: 9_000, base: 1n, blob: 1n, want: 'blob', why: 'above it' },
  { bytes: 100_000, base: 1n, blob: 30n, want: 'calldata', why: 'blobs that are very dear' },
  { bytes: CALLDATA_PAYLOAD_MAX + 1, base: 1n, blob: 1_000n, want: 'blob', why: 'too long, whatever it costs' },
  { bytes: 8_000, base: 1n, blob: 1n, last: 'blob', want: 'blob', why: 'hardly cheaper is no reason to change' },
  { bytes: 9_000, base: 1n, blob: 1n, last: 'calldata', want: 'calldata', why: 'nor the other way' },
  { bytes: 1_000, base: 1n, blob: 1n, last: 'blob', want: 'calldata', why: 'a good deal cheaper is' },
  { bytes: 30_000, base: 1n, blob: 1n, last: 'calldata', want: 'blob', why: 'and the other way' },
])('the kind goes by the price: $why', ({ bytes, base, blob, last, want }) =>
  expect(chooseDa(payload(bytes), prices(base, blob), { asked: 'auto', last })).toBe(want),
)

test('at prices that move about where both cost the same the kind does not flip', () => {
  let last: Da | undefined
  const kinds = new Set<Da>()
  for (const bytes of [8_000, 8_500, 7_900, 8_600, 8_100, 8_400]) {
    last = chooseDa(payload(bytes), prices(1n, 1n), { asked: 'auto', last })
    kinds.add(last)
  }
  expect(kinds.size).toBe(1)
})

test('what was asked for is done, but for what the inbox takes in no call data', () => {
  const free = prices(1n, 0n)
  expect(chooseDa(payload(1_000), free, { asked: 'calldata', last: undefined })).toBe('calldata')
  expect(chooseDa(payload(CALL_DATA_BYTES_MAX), free, { asked: 'calldata', last: undefined })).toBe('calldata')
  expect(chooseDa(payload(CALL_DATA_BYTES_MAX + 1), free, { asked: 'calldata', last: undefined })).toBe('blob')
  expect(chooseDa(payload(1_000), prices(1n, 1_000n), { asked: 'blob', last: undefined })).toBe('blob')
  const inbox = readFileSync(new URL('../../contracts/BatchInbox.sol', import.meta.url), 'utf8')
  expect(inbox).toContain(`CALL_DATA_PAYLOAD_BYTES_MAX = ${CALL_DATA_BYTES_MAX.toLocaleString('en').replace(',', '_')};`)
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
