/** Which batches on L1 count, of whom they are, and which of them validators sign. Spec: docs/spec/batch.md#derivation */
import { expect, onTestFinished, test } from 'vitest'
import { createSafeChain, ForkError, type SafeChainOptions } from '../../node/safeChain.ts'
import type { BatchHeader } from '../../settlement/inbox.ts'
import { batchAccumulator } from '../../settlement/inbox.ts'
import type { L1Batch } from '../../settlement/l1Logs.ts'
import { blockHash } from '../consensus/fixtures.ts'
import { quietLog } from '../fakes/diskChain.ts'
import { createTestChain } from '../fakes/testChain.ts'

const GENESIS = blockHash(0)

/** A node that has twenty blocks, and finds every batch that it reads invalid, but for those whose data hash is `good`. */
async function stage(good: readonly string[] = []) {
  const chain = await createTestChain()
  const { roots } = await chain.next([])
  const metas = new Map<string, Uint8Array>()
  const store = {
    block: (number: bigint) => ({ hash: blockHash(Number(number)) }),
    roots: () => roots,
    reader: chain.store.reader,
    meta: (name: string) => metas.get(name),
    writeMeta: async (name: string, bytes: Uint8Array) => void metas.set(name, bytes),
  }
  const parts = { genesis: chain.genesis, store, head: () => ({ header: { number: 20n } }), onBlock: () => () => {} }
  let batches: readonly L1Batch[] = []
  const read: bigint[] = []
  const open = (onFatal: (error: unknown) => void = (error) => expect.unreachable(String(error))) => {
    const safeChain = createSafeChain({
      chain: parts as unknown as SafeChainOptions['chain'],
      genesisAccumulator: GENESIS,
      l1: {
        async batchPayload({ index, dataHash }: L1Batch) {
          read.push(index)
          return good.includes(dataHash) ? { ok: true, payload: new Uint8Array() } : { ok: false, code: 'blobsMismatch' }
        },
      } as unknown as SafeChainOptions['l1'],
      follower: { batches: () => batches, firstKept: () => 0n, isCanonical: () => true, status: () => ({ finalizedNumber: 0n }) },
      batchThread: { judge: async () => ({ ok: false, code: 'rowMismatch' }) },
      sets: {} as SafeChainOptions['sets'],
      log: quietLog,
      onChange() {},
      onFatal,
    })
    onTestFinished(safeChain.stop)
    return safeChain
  }
  return {
    open,
    read,
    show(...shown: readonly L1Batch[]) {
      batches = shown
    },
  }
}

type Place = { readonly index: bigint; readonly l1Block: bigint; readonly after?: L1Batch; readonly data?: number } & Partial<BatchHeader>

function batchOf({ index, l1Block, after, data = 1, ...changes }: Place): L1Batch {
  const firstBlock = (after?.header.lastBlock ?? 0n) + 1n
  const blocks = { firstBlock, lastBlock: firstBlock + 1n, lastBlockHash: blockHash(Number(changes.lastBlock ?? firstBlock + 1n)) }
  const origin = { l1OriginNumber: 1n, l1OriginHash: blockHash(500) }
  const header = { prevAccumulator: after?.accumulator ?? GENESIS, ...blocks, ...origin, payloadBytes: 9, ...changes }
  const dataHash = blockHash(600 + data)
  const accumulator = batchAccumulator({ index, header, dataHash })
  return { index, header, dataHash, accumulator, l1Block: { number: l1Block, hash: blockHash(700) }, txHash: blockHash(800) }
}

const turns = () => new Promise((resolve) => setTimeout(resolve, 20))

test('a batch of our own need not be read, also after a restart; our payload under another header is another batch', async () => {
  const { open, show, read } = await stage()
  const before = open()
  const own = batchOf({ index: 0n, l1Block: 5n })
  await before.posting(own)
  show(own)
  for (const safeChain of [before, open()]) {
    safeChain.update()
    await turns()
    expect([safeChain.status().lastBatch, safeChain.isOwn(), safeChain.judgedCount()]).toEqual([own, true, 1n])
  }
  expect(read).toEqual([])
  // What stands in it does not lead to the block that these name, or was made for another place.
  const others = [{ lastBlock: 1n }, { payloadBytes: 8 }, { l1OriginNumber: 2n }]
  for (const changes of others) {
    show(batchOf({ index: 0n, l1Block: 5n, ...changes }))
    const safeChain = open()
    safeChain.update()
    await turns()
    expect([safeChain.status().lastBatch, safeChain.judgedCount()]).toEqual([undefined, 1n])
  }
  expect(read).toEqual([0n, 0n, 0n])
})

test('a batch of another chain than this one is told apart, and nothing is judged behind it', async () => {
  const { open, show, read } = await stage()
  const told: unknown[] = []
  const safeChain = open((error) => told.push(error))
  const forked = batchOf({ index: 0n, l1Block: 5n, lastBlockHash: blockHash(999) })
  show(forked, batchOf({ index: 1n, l1Block: 6n, data: 2 }))
  safeChain.update()
  await turns()
  expect(told).toEqual([expect.any(ForkError)])
  expect([safeChain.judgedCount(), safeChain.head().nextIndex, read]).toEqual([undefined, 0n, []])
})

test('of each L1 block the last valid batch is to be signed, once all of its batches are judged', async () => {
  const { open, show } = await stage()
  const safeChain = open()
  const first = batchOf({ index: 0n, l1Block: 5n, data: 1 })
  const second = batchOf({ index: 1n, l1Block: 5n, after: first, data: 2 })
  const third = batchOf({ index: 3n, l1Block: 6n, after: second, data: 3 })
  const worthless = batchOf({ index: 2n, l1Block: 6n, after: second, data: 4 })
  const ahead = batchOf({ index: 4n, l1Block: 6n, after: third, data: 5, lastBlock: 30n })
  for (const batch of [first, second, third]) await safeChain.posting(batch)
  show(first, second, worthless, third)
  safeChain.update()
  await turns()
  expect(safeChain.lastOfBlocks()).toEqual([second, third])
  // Its blocks are not here yet: whether it is the last of its L1 block nobody knows.
  show(first, second, worthless, third, ahead)
  safeChain.update()
  await turns()
  expect(safeChain.lastOfBlocks()).toEqual([second])
  show(first)
  safeChain.update()
  await turns()
  expect(safeChain.lastOfBlocks()).toEqual([first])
})
