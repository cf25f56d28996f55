/**
 * Which blocks have logs of an address or with a topic: lists of block numbers by what logs hold, so that a query over thousands of blocks reads those alone
 * that answer it. It is made from the receipts of blocks that are there, behind the head and in turns, and asked with blooms for what it has not reached.
 *
 * On disk it is a row of segments, each of consecutive blocks and so large as fits the memory in which it is made: what comes later stands behind what is
 * there, and nothing is merged. What was in memory only is made again after a restart. Keys and values: node/store.ts.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Hex } from 'viem'
import type { Receipt } from '../execution/block.ts'
import type { ChainState } from './chainState.ts'
import type { SegmentPlace } from './segments.ts'

/** A segment, and for each value, by ascending hash, its blocks. */
export type LogSegment = SegmentPlace & {
  readonly postings: readonly { readonly hash: number; readonly blocks: readonly bigint[] }[]
}

/** Where segments are kept. */
export type LogSegments = {
  /** Those that are there, in order. */
  list(): readonly SegmentPlace[]
  /** Blocks of a segment in which the value of this hash occurs. */
  blocks(segment: SegmentPlace, hash: number): readonly bigint[]
  write(segment: LogSegment): Promise<void>
}

/** What is looked for: any of these addresses, and at each place any of these topics; empty: whatever it is. */
export type LogQuery = { readonly addresses: readonly Hex[]; readonly topics: readonly (readonly Hex[])[] }

export type LogIndex = {
  /** Blocks in [from, to] that may have such logs, in order. `reached`: the last block that the index knows of; above it nothing is said. */
  matching(query: LogQuery, from: bigint, to: bigint): { readonly blocks: readonly bigint[]; readonly reached: bigint }
  /** Takes the receipts of the block after the last one that it has; resolves at once but where a segment is full and is written. */
  add(number: bigint, receipts: readonly Receipt[]): Promise<void>
  /** Last block that it has; 0 at first, whose block has no logs. */
  reached(): bigint
}

/** Postings of a segment before it is written: some 5 MiB. */
const POSTINGS_MAX = 65_536

/** An index over the segments that there are. `postingsMax`: of a segment. */
export function createLogIndex(segments: LogSegments, postingsMax: number = POSTINGS_MAX): LogIndex {
  let open = new Map<number, bigint[]>()
  let postings = 0
  let reached = segments.list().at(-1)?.last ?? 0n

  function note(hash: number, number: bigint): void {
    const blocks = open.get(hash)
    if (!blocks) open.set(hash, [number])
    else if (blocks.at(-1) === number) return
    else blocks.push(number)
    postings++
  }

  async function close(): Promise<void> {
    const first = (segments.list().at(-1)?.last ?? 0n) + 1n
    const sorted = [...open].sort(([a], [b]) => a - b).map(([hash, blocks]) => ({ hash, blocks }))
    // In memory until it is on disk, and in one place at any time.
    await segments.write({ first, last: reached, postings: sorted })
    open = new Map()
    postings = 0
  }

  /** Blocks in which one of the values occurs. */
  function blocksOf(hashes: readonly number[], from: bigint, to: bigint): Set<bigint> {
    const found = new Set<bigint>()
    const take = (blocks: readonly bigint[]) => {
      for (const number of blocks) if (number >= from && number <= to) found.add(number)
    }
    const listed = segments.list()
    for (const hash of hashes) {
      for (const segment of listed) if (segment.first <= to && segment.last >= from) take(segments.blocks(segment, hash))
      take(open.get(hash) ?? [])
    }
    return found
  }

  return {
    reached: () => reached,
    async add(number, receipts) {
      // One log is often like the one before.
      let before: { readonly address: Hex; readonly topics: readonly Hex[] } | undefined
      for (const { logs } of receipts) {
        for (const log of logs) {
          if (log.address !== before?.address) note(hashOf(log.address, 0), number)
          log.topics.forEach((topic, i) => {
            if (topic !== before?.topics[i]) note(hashOf(topic, i + 1), number)
          })
          before = log
        }
      }
      reached = number
      if (postings >= postingsMax) await close()
    },
    matching({ addresses, topics }, from, to) {
      const groups = [addresses.map((address) => hashOf(address, 0)), ...topics.map((any, i) => any.map((topic) => hashOf(topic, i + 1)))]
      const end = to < reached ? to : reached
      const sets = groups.filter((group) => group.length > 0).map((group) => blocksOf(group, from, end))
      const [smallest, ...others] = sets.sort((a, b) => a.size - b.size)
      if (!smallest) return { blocks: range(from, end), reached }
      const blocks = [...smallest].filter((number) => others.every((set) => set.has(number)))
      return { blocks: blocks.sort((a, b) => (a < b ? -1 : 1)), reached }
    },
  }
}

function range(from: bigint, to: bigint): bigint[] {
  return Array.from({ length: Math.max(0, Number(to - from) + 1) }, (_, i) => from + BigInt(i))
}

/**
 * 53 bits of a value at a place of a log (0 the address, then the topics): two 32-bit FNV-like hashes over pairs of its digits. Two values of one hash cost a
 * block that is read for nothing.
 */
function hashOf(value: Hex, place: number): number {
  let low = 0x811c9dc5 ^ place
  let high = 0xc9dc5118 ^ (place << 8)
  for (let i = 2; i < value.length; i += 2) {
    const digits = (value.charCodeAt(i) << 8) | value.charCodeAt(i + 1)
    low = Math.imul(low ^ digits, 0x01000193)
    high = Math.imul(high ^ digits, 0x85ebca6b)
    low ^= low >>> 15
    high ^= high >>> 13
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0)
}

/** How long the thread works on the index before it looks what else there is. */
const TURN_MS = 2

/**
 * Keeps an index behind the head, from where it ends. Answers what ends it, when nothing of it is under way. `read`: what the index takes of a block;
 * undefined: nothing yet. `onError`: the disk failed.
 */
export function followWithIndex<T>(
  { head, onBlock }: Pick<ChainState, 'head' | 'onBlock'>,
  read: (number: bigint) => T | undefined | Promise<T | undefined>,
  index: { reached(): bigint; add(number: bigint, taken: T): Promise<void> },
  onError: (error: unknown) => void,
): () => Promise<void> {
  let isClosed = false
  let running: Promise<void> | undefined

  async function catchUp(): Promise<void> {
    let turnEnds = performance.now() + TURN_MS
    for (let number = index.reached() + 1n; !isClosed && number <= head().header.number; number++) {
      const taken = await read(number)
      if (taken === undefined) return // taken back, or on its way
      await index.add(number, taken)
      if (performance.now() < turnEnds) continue
      await nextTurn()
      turnEnds = performance.now() + TURN_MS
    }
  }

  const advance = () => {
    running ??= catchUp()
      .catch(onError)
      .finally(() => {
        running = undefined
      })
  }
  const unsubscribe = onBlock(() => setImmediate(advance))
  setImmediate(advance)
  return async () => {
    isClosed = true
    unsubscribe()
    await running
  }
}
