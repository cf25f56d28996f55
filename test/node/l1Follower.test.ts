/** Where L1 was read up to is kept over a restart, and what was read is not read again; what L1 gives up of it is. Spec: docs/spec/batch.md#posting */
import type { Hex } from 'viem'
import { expect, test } from 'vitest'
import { createL1Follower, type L1Follower } from '../../node/l1Follower.ts'
import { keepL1Place, type L1Place, readL1Place } from '../../node/l1Place.ts'
import type { L1, L1Block, L1Events } from '../../settlement/l1.ts'
import { L1Error } from '../../settlement/l1Error.ts'
import type { L1Batch, L1Checkpoint, L1Ref } from '../../settlement/l1Logs.ts'

/** Blocks behind the head that are final. */
const FINAL_AFTER = 10
/** Each block of this number's multiples holds a batch of 100 bytes and its checkpoint. */
const EVERY = 5

const hashOf = (number: number, branch = 0): Hex => `0x${(branch * 1_000_000 + number).toString(16).padStart(64, '0')}`
const LOG = { debug() {}, info() {}, warn() {}, error() {}, child: () => LOG }

/** An L1 of so many blocks, which counts what is asked of it. */
function createChain(length: number) {
  const asked = { blocks: 0, from: [] as bigint[] }
  let [head, branch, branchFrom] = [length, 0, Number.MAX_SAFE_INTEGER]
  const block = (number: number): L1Block => ({
    number: BigInt(number),
    hash: hashOf(number, number >= branchFrom ? branch : 0),
    parentHash: hashOf(number - 1, number - 1 >= branchFrom ? branch : 0),
    timestampSec: BigInt(1_000 + number),
    baseFeeWei: 1n,
    blobBaseFeeWei: 1n,
    prevRandao: hashOf(0),
  })
  const events = (from: bigint, to: L1Ref): L1Events => {
    asked.from.push(from)
    const numbers = Array.from({ length: Number(to.number - from) + 1 }, (_, i) => Number(from) + i).filter((n) => n > 0 && n % EVERY === 0)
    const of = <T>(make: (n: number, id: bigint, l1Block: L1Ref) => unknown) =>
      numbers.map((n) => make(n, BigInt(n / EVERY - 1), block(n)) as T)
    return {
      deposits: [],
      batches: of<L1Batch>((_, index, l1Block) => ({ index, l1Block, header: { payloadBytes: 100 } })),
      checkpoints: of<L1Checkpoint>((n, id, l1Block) => ({
        kind: 'submitted',
        id,
        l1Block,
        submitter: '0x01',
        checkpoint: { lastBlock: BigInt(n) },
      })),
    }
  }
  const l1 = {
    blockByTag: async (tag: string) => block(tag === 'finalized' ? Math.max(0, head - FINAL_AFTER) : head),
    async blockByNumber(number: bigint) {
      asked.blocks++
      return number > head ? undefined : block(Number(number))
    },
    async canonicalBlock(ref: L1Ref) {
      if (ref.number > head || block(Number(ref.number)).hash !== ref.hash) throw new L1Error('gone', { kind: 'reset' })
      return block(Number(ref.number))
    },
    events: async (from: bigint, to: L1Ref) => events(from, to),
  } as unknown as L1
  return {
    l1,
    asked,
    grow(blocks: number) {
      head += blocks
    },
    reorg(from: number) {
      branch++
      branchFrom = from
    },
  }
}

type Chain = ReturnType<typeof createChain>

/** A follower that has caught up, with the places that it kept. */
async function follow({ l1 }: Chain, place?: L1Place): Promise<{ readonly follower: L1Follower; readonly kept: L1Place[] }> {
  const kept: L1Place[] = []
  const fatal: unknown[] = []
  const follower = createL1Follower({
    l1,
    from: { number: 0n, hash: hashOf(0) },
    place,
    async keep(one) {
      kept.push(one)
    },
    pollMs: 3_600_000,
    log: LOG,
    onChange() {},
    onFatal: (error) => fatal.push(error),
  })
  await follower.stop()
  expect(fatal).toEqual([])
  return { follower, kept }
}

const totals = ({
  batches,
  postedBytes,
  checkpoints,
  checkpointed,
  checkpointedAtSec,
  lastSubmitter,
}: ReturnType<L1Follower['status']>) => ({
  batches,
  postedBytes,
  checkpoints,
  checkpointed,
  checkpointedAtSec,
  lastSubmitter,
})

test('after a restart L1 is read from the kept place on, and all that it holds is known as before', async () => {
  const chain = createChain(200)
  const first = await follow(chain)
  // Only behind the origin of our head may it forget anything.
  first.follower.passed(180n)
  chain.grow(1)
  await first.follower.tick()
  const place = first.kept.at(-1)
  expect(place).toMatchObject({ block: { number: 179n, hash: hashOf(179) }, totals: { batches: 35, checkpoints: 35, checkpointed: 175n } })
  const readBefore = chain.asked.blocks
  chain.asked.from.length = 0

  chain.grow(20)
  const second = await follow(chain, place)
  expect(chain.asked.from[0]).toBe(180n)
  expect(chain.asked.blocks - readBefore).toBeLessThan(45)
  await first.follower.tick()
  expect(second.follower.status().batches).toBe(44)
  expect(totals(second.follower.status())).toEqual(totals(first.follower.status()))
})

test('a place is kept when so many blocks are behind it, and not at every block', async () => {
  const chain = createChain(100)
  const { follower, kept } = await follow(chain)
  for (let head = 101; head <= 300; head++) {
    follower.passed(BigInt(head - 2))
    chain.grow(1)
    await follower.tick()
  }
  expect(kept.length).toBeGreaterThan(1)
  for (const [i, { block }] of kept.entries()) expect(block.number - (kept[i - 1]?.block.number ?? 0n)).toBeGreaterThanOrEqual(64n)
})

test('a place that L1 has given up is no place: everything is read again', async () => {
  const chain = createChain(200)
  const { follower, kept } = await follow(chain)
  follower.passed(180n)
  chain.grow(1)
  await follower.tick()
  chain.reorg(150)
  const again = await follow(chain, kept.at(-1))
  expect(chain.asked.from).toContain(1n)
  expect(again.follower.status().batches).toBe(40)
})

test('a place is kept, and taken up, only if the batches up to it are judged and kept', async () => {
  const meta = new Map<string, Uint8Array>()
  const store = {
    meta: (name: string) => meta.get(name),
    async writeMeta(name: string, value: Uint8Array | undefined) {
      if (value) meta.set(name, value)
    },
  }
  const settled = (count: number) =>
    store.writeMeta(
      'safe',
      new TextEncoder().encode(`{"head":{"accumulator":"0x","nextIndex":"${count}n","lastBlock":"9n"},"count":"${count}n"}`),
    )
  const checkpoints = { checkpoints: 3, checkpointed: 15n, checkpointedAtSec: 1_015n, lastSubmitter: undefined }
  const place: L1Place = { block: { number: 17n, hash: hashOf(17) }, totals: { batches: 3, postedBytes: 300, ...checkpoints } }
  await settled(2)
  await keepL1Place(store, place)
  expect(meta.has('l1')).toBe(false)
  await settled(3)
  await keepL1Place(store, place)
  expect(readL1Place(store)).toEqual(place)
  await settled(2)
  expect(readL1Place(store)).toBeUndefined()
  await settled(3)
  await store.writeMeta('l1', new TextEncoder().encode('{"block":'))
  expect(readL1Place(store)).toBeUndefined()
})
