/** Whatever is shown, and whatever is noted, notes lead to a proof that fits, each from something that L1 knows. Spec: docs/spec/fraud.md#notes */
import fc from 'fast-check'
import { decodeFunctionData, type Hex, numberToHex, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { notesAbi } from '../../settlement/abi.ts'
import type { L1Batch } from '../../settlement/l1Logs.ts'
import {
  HEADERS_MAX,
  L1_REMEMBERS,
  LINKS_MAX,
  l1BlocksToNote,
  type Notes,
  noneNoted,
  planHeaders,
  planLinks,
  rememberedFrom,
} from '../../settlement/notes.ts'

const ZERO = zeroHash
const named = (i: number): Hex => numberToHex(i + 1, { size: 32 })

/** Batch i follows batch i − 1; the way goes from the last one back to the first. */
function wayOf(length: number): L1Batch[] {
  return Array.from({ length }, (_, i) => ({
    index: BigInt(i),
    accumulator: named(i),
    header: {
      ...{ prevAccumulator: named(i - 1), firstBlock: 1n, lastBlock: 1n, lastBlockHash: ZERO, l1OriginNumber: 1n },
      ...{ l1OriginHash: ZERO, payloadBytes: 1 },
    },
    dataHash: ZERO,
    l1Block: { number: 1n, hash: ZERO },
    txHash: ZERO,
  })).reverse()
}

test('a long way back to a batch is noted piece by piece, each from where the last one ended', () =>
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_200 }), (length) => {
      const way = wayOf(length)
      const first = named(length - 1)
      const known = new Set<Hex>()
      const notes: Notes = { ...noneNoted, ancestors: new Map([[first, known]]) }
      for (let steps = 0; ; steps++) {
        expect(steps).toBeLessThanOrEqual(Math.ceil(length / LINKS_MAX.note))
        const plan = planLinks(way, notes)
        const links = plan.ok ? plan.links : decodeFunctionData({ abi: notesAbi, data: plan.note }).args
        if (plan.ok) {
          expect(plan.from === ZERO || known.has(plan.from)).toBe(true)
          expect(plan.links[0]?.index).toBe(plan.from === ZERO ? BigInt(length - 1) : BigInt(plan.from) - 1n)
          expect(plan.links.at(-1)?.index).toBe(0n)
          expect(plan.links.length).toBeLessThanOrEqual(LINKS_MAX.proof)
          return
        }
        const [accumulator, from, shown] = links as readonly [Hex, Hex, readonly { readonly header: { readonly prevAccumulator: Hex } }[]]
        expect(accumulator).toBe(first)
        expect(from === ZERO || known.has(from)).toBe(true)
        const ancestor = shown.at(-1)?.header.prevAccumulator ?? ZERO
        expect(shown.length).toBeLessThanOrEqual(LINKS_MAX.note)
        known.add(ancestor)
      }
    }),
    { numRuns: 20 },
  ))

test('headers of L1 begin with one that L1 knows, and what is too far from it is noted on the way', () =>
  fc.assert(
    fc.property(
      fc.array(fc.nat(64), { minLength: 1, maxLength: 8 }),
      fc.nat(3_000),
      fc.nat(9_000),
      fc.array(fc.nat(15_000), { maxLength: 20 }),
      (gaps, below, later, noted) => {
        let number = 5_000n
        const numbers = gaps.map((gap) => (number += BigInt(gap)))
        const highest = numbers.at(-1) ?? 0n
        const origin = highest + BigInt(below)
        const head = origin + BigInt(later)
        const l1Blocks = new Set(noted.map(BigInt).filter((number) => number <= head))
        const isKnown = (number: bigint) => l1Blocks.has(number) || number + 8_191n > head
        for (let steps = 0; ; steps++) {
          expect(steps).toBeLessThanOrEqual(Math.ceil((below + later) / HEADERS_MAX.note) + 2 * numbers.length)
          const notes = { ...noneNoted, l1Blocks: [...l1Blocks].toSorted((a, b) => (a < b ? -1 : 1)) }
          const plan = planHeaders({ numbers, origin, remembered: rememberedFrom(head, L1_REMEMBERS) }, notes)
          if (plan.ok) {
            const shown = new Set<bigint>()
            for (const [i, { from, last }] of plan.runs.entries()) {
              expect(isKnown(from) || (i === 0 && from === origin)).toBe(true)
              for (let number = from; number >= last; number--) shown.add(number)
            }
            expect(numbers.filter((number) => !shown.has(number))).toEqual([])
            expect(shown.size).toBeLessThanOrEqual(HEADERS_MAX.proof)
            return
          }
          const { from, last } = plan.note
          expect(isKnown(from) && from >= last && !l1Blocks.has(last - 1n)).toBe(true)
          expect(from - last).toBeLessThan(BigInt(HEADERS_MAX.note))
          l1Blocks.add(last - 1n)
        }
      },
    ),
    { numRuns: 300 },
  ))

test('blocks of L1 are noted while L1 remembers them, if the rollup is far behind, many at once, and none twice', () => {
  const due = (origin: bigint, head: bigint, noted: readonly bigint[] = []) => l1BlocksToNote({ origin, head, remembers: 8_192n }, noted)
  expect(due(5_000n, 9_000n)).toEqual([])
  // There are few yet, and there is time.
  expect(due(5_000n, 9_500n)).toEqual([])
  const first = due(5_000n, 20_000n)
  expect(first).toEqual(Array.from({ length: 32 }, (_, i) => 12_096n + BigInt(64 * i)))
  expect(due(5_000n, 20_000n, first)).toEqual([])
  // Later come those that were too young, as long as they are many, or the first of them is about to be forgotten.
  expect(due(5_000n, 20_300n, first)).toEqual(Array.from({ length: 32 }, (_, i) => 14_144n + BigInt(64 * i)))
  expect(due(14_900n, 20_928n)).toEqual([])
  expect(due(14_900n, 20_929n).at(0)).toBe(14_912n)
})
