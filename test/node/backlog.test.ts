/** Proposers count what is not on L1 and fill blocks less while it grows; L1 that goes back makes it grow, too. */
import { expect, test } from 'vitest'
import { createBacklog } from '../../node/backlog.ts'
import { BACKLOG_FULL_BYTES, BACKLOG_HIGH_BYTES, BACKLOG_LOW_BYTES, SHARE_MIN } from '../../settlement/throttle.ts'

const BLOCK_BYTES_MAX = 640_000

test('the backlog is that of the blocks behind the safe one, wherever that is', () => {
  let [head, safe, size] = [10n, 4n, 100]
  const warned: string[] = []
  const backlog = createBacklog({
    chain: {
      head: () => ({ header: { number: head } as never, hash: '0x' }),
      nextParams: () => ({ blockBytesMax: BLOCK_BYTES_MAX }) as never,
      store: { blockBytes: (number) => (number <= head ? new Uint8Array(size) : undefined) },
    },
    safe: () => safe,
    isPosting: true,
    log: { warn: (event: string) => warned.push(event) } as never,
  })
  expect([backlog.bytes(), backlog.poolBytesMax()]).toEqual([600, BLOCK_BYTES_MAX])
  head = 12n
  expect(backlog.bytes()).toBe(800)
  safe = 11n
  expect(backlog.bytes()).toBe(100)
  safe = 2n // L1 reorganised, and the batches are gone
  expect(backlog.bytes()).toBe(1_000)
  safe = 12n
  expect(backlog.bytes()).toBe(0)

  // Nothing is posted any more: blocks shrink to the least, and are whole again when half of the mark is posted.
  size = BACKLOG_HIGH_BYTES / 8
  head = 20n
  expect(backlog.poolBytesMax()).toBeLessThan(BLOCK_BYTES_MAX)
  head = 12n + BigInt(BACKLOG_FULL_BYTES / size)
  expect(backlog.poolBytesMax()).toBe(BLOCK_BYTES_MAX * SHARE_MIN)
  safe = head - BigInt(BACKLOG_LOW_BYTES / size)
  expect(backlog.poolBytesMax()).toBe(BLOCK_BYTES_MAX)
  safe += 1n
  expect(backlog.poolBytesMax()).toBe(BLOCK_BYTES_MAX)
  expect(warned).toEqual(['blocks are smaller: too much is not on L1', 'blocks are as large as before'])
})

test('who does not post waits for nobody until somebody has posted', () => {
  let safe = 0n
  const backlog = createBacklog({
    chain: {
      head: () => ({ header: { number: 100n } as never, hash: '0x' }),
      nextParams: () => ({ blockBytesMax: BLOCK_BYTES_MAX }) as never,
      store: { blockBytes: () => new Uint8Array(BACKLOG_FULL_BYTES / 50) },
    },
    safe: () => safe,
    isPosting: false,
    log: { warn() {} } as never,
  })
  expect(backlog.poolBytesMax()).toBe(BLOCK_BYTES_MAX)
  safe = 1n
  expect(backlog.poolBytesMax()).toBe(BLOCK_BYTES_MAX * SHARE_MIN)
  safe = 0n // L1 went back
  expect(backlog.poolBytesMax()).toBe(BLOCK_BYTES_MAX * SHARE_MIN)
})
