/** The index names every block that has what is looked for, whatever was written to disk before, and none besides; it goes on where it ended. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { type Hex, pad, toHex } from 'viem'
import { expect, onTestFinished, test } from 'vitest'
import type { Receipt } from '../../execution/block.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { decodeStoredReceipts } from '../../execution/storedReceipts.ts'
import { encodeGenesis } from '../../genesis/genesis.ts'
import { DOOR } from '../../genesis/params.ts'
import { createLogIndex, followWithIndex, type LogSegment, type LogSegments } from '../../node/logIndex.ts'
import { openStore } from '../../node/store.ts'
import { addressOf, createTestChain, signNative, testAccounts } from '../fakes/testChain.ts'

type LogSketch = { readonly address: number; readonly topics: readonly number[] }

const addressOfSketch = (n: number): Hex => pad(toHex(n), { size: 20 })
const topicOfSketch = (n: number): Hex => pad(toHex(n), { size: 32 })

const aLog = fc.record({ address: fc.nat({ max: 6 }), topics: fc.array(fc.nat({ max: 6 }), { maxLength: 4 }) })
const someBlocks = fc.array(fc.array(aLog, { maxLength: 4 }), { minLength: 1, maxLength: 40 })
const aQuery = fc.record({
  addresses: fc.array(fc.nat({ max: 7 }), { maxLength: 2 }),
  topics: fc.array(fc.array(fc.nat({ max: 7 }), { maxLength: 2 }), { maxLength: 3 }),
  from: fc.nat({ max: 45 }),
  length: fc.nat({ max: 45 }),
})

function receiptsOf(logs: readonly LogSketch[]): readonly Receipt[] {
  const shown = logs.map(({ address, topics }) => ({
    address: addressOfSketch(address),
    topics: topics.map(topicOfSketch),
    data: '0x' as const,
  }))
  return [{ logs: shown } as unknown as Receipt]
}

/** Blocks in which each thing that is looked for occurs, in one log or in several. */
function naive(
  blocks: readonly (readonly LogSketch[])[],
  query: { addresses: readonly number[]; topics: readonly (readonly number[])[] },
  from: number,
  to: number,
) {
  const has = (logs: readonly LogSketch[]) =>
    (query.addresses.length === 0 || logs.some(({ address }) => query.addresses.includes(address))) &&
    query.topics.every((any, i) => any.length === 0 || logs.some(({ topics }) => any.includes(topics[i] ?? -1)))
  return blocks.flatMap((logs, i) => (i + 1 >= from && i + 1 <= to && has(logs) ? [BigInt(i + 1)] : []))
}

function segmentsInMemory(): LogSegments {
  const written: LogSegment[] = []
  return {
    list: () => written,
    blocks: ({ last }, hash) => written.find((one) => one.last === last)?.postings.find((one) => one.hash === hash)?.blocks ?? [],
    write: async (segment) => void written.push(segment),
  }
}

test('every block that has it, and no other', async () => {
  await fc.assert(
    fc.asyncProperty(
      someBlocks,
      fc.array(aQuery, { minLength: 1, maxLength: 8 }),
      fc.nat({ max: 40 }),
      async (blocks, queries, segmentSize) => {
        const index = createLogIndex(segmentsInMemory(), segmentSize + 1)
        for (const [i, logs] of blocks.entries()) await index.add(BigInt(i + 1), receiptsOf(logs))
        for (const { addresses, topics, from, length } of queries) {
          const query = { addresses: addresses.map(addressOfSketch), topics: topics.map((any) => any.map(topicOfSketch)) }
          const found = index.matching(query, BigInt(from), BigInt(from + length))
          const isAny = addresses.length === 0 && topics.every((any) => any.length === 0)
          if (isAny) continue // every block may have some
          expect(found).toEqual({ blocks: naive(blocks, { addresses, topics }, from, from + length), reached: BigInt(blocks.length) })
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('on disk: it is kept, made again where it was in memory, and goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-logs-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const chain = await createTestChain()
  const [alice, bob] = testAccounts
  if (!alice || !bob) throw new Error('there are test accounts')
  let store = await openStore(folder)
  await store.writeGenesis(encodeGenesis(chain.genesis), await createGenesisBlock(chain.genesis))
  const write = async (nonce: bigint) => {
    const fields = { kind: TRANSFER_KIND.ledger, to: addressOf(bob), amount: 1n }
    const raw = await signNative(alice, { type: transfer, fields, nonce, chainId: chain.genesis.params.chainId })
    await store.writeBlock(await chain.next([await chain.decode(raw)]), new Uint8Array())
  }
  const query = { addresses: [DOOR.ledger], topics: [] }
  /** Follows until it is at the head, then ends as a process does. */
  const follow = async () => {
    const index = createLogIndex(store.logSegments, 6)
    const receiptsOfBlock = (number: bigint) => decodeStoredReceipts(store.receipts(number) ?? new Uint8Array())
    const head = () => store.block(store.head() ?? 0n)?.block as never
    const close = followWithIndex({ head, onBlock: () => () => {} }, receiptsOfBlock, index, (error) => expect(error).toBeUndefined())
    while (index.reached() < (store.head() ?? 0n)) await new Promise((resolve) => setImmediate(resolve))
    await close()
    return index.matching(query, 0n, 99n)
  }
  for (let nonce = 0n; nonce < 5n; nonce++) await write(nonce)
  expect(await follow()).toEqual({ blocks: [1n, 2n, 3n, 4n, 5n], reached: 5n })
  const onDisk = store.logSegments.list().length
  expect(onDisk).toBeGreaterThan(0)
  await store.close()
  store = await openStore(folder)
  expect(store.logSegments.list().length).toBe(onDisk)
  for (let nonce = 5n; nonce < 8n; nonce++) await write(nonce)
  expect(await follow()).toEqual({ blocks: [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n], reached: 8n })
  await store.close()
})
