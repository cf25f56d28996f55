/** Which L1 block a batch names: the origin of its last block, while that can be on L1, and a younger one once L1 forgets it. Spec: docs/spec/batch.md#on-l1 */
import { expect, test } from 'vitest'
import { pinOf } from '../../node/poster.ts'
import type { L1Block } from '../../settlement/l1.ts'
import type { L1Ref } from '../../settlement/l1Logs.ts'
import { blockHash } from '../consensus/fixtures.ts'

/** Ages are counted in L1 blocks; of 8,191 L1 remembers the hashes (EIP-2935). */
const REMEMBERED = 8_191n

const at = (number: bigint, hash = blockHash(Number(number))): L1Ref => ({ number, hash })
const headAt = (number: bigint) => ({ ...at(number) }) as L1Block

/** One who has read L1 from the first of these numbers to the last; nothing at all without them. */
function followerOf(kept?: { readonly first: bigint; readonly head: bigint }) {
  return {
    status: () => ({ head: kept && headAt(kept.head) }),
    firstKept: () => kept?.first,
    block: (number: bigint) => (kept && number >= kept.first && number <= kept.head ? headAt(number) : undefined),
  }
}

test('the origin itself, where it is canonical', () => {
  const follower = followerOf({ first: 100n, head: 120n })
  expect(pinOf(at(100n), follower)).toEqual(at(100n))
  expect(pinOf(at(119n), follower)).toEqual(at(119n))
})

test('none where L1 has another block in its place: a batch on it could not land', () => {
  expect(pinOf(at(110n, blockHash(7)), followerOf({ first: 100n, head: 120n }))).toBeUndefined()
})

test('none while L1 is not read up to it, or not at all', () => {
  expect(pinOf(at(121n), followerOf({ first: 100n, head: 120n }))).toBeUndefined()
  expect(pinOf(at(121n), followerOf())).toBeUndefined()
  // Read, but its head is not known yet.
  expect(pinOf(at(99n), { ...followerOf({ first: 100n, head: 120n }), status: () => ({ head: undefined }) })).toBeUndefined()
})

test('the origin itself where it is kept no more: it is final', () => {
  expect(pinOf(at(99n), followerOf({ first: 100n, head: 120n }))).toEqual(at(99n))
})

test('a younger one once L1 forgets the hash of the origin, early enough for the batch to be on its way for a while', () => {
  const first = 20_000n
  const head = first + 50n
  const pins = [7_900n, 7_999n, 8_000n, 8_190n, 8_191n, 15_000n].map((age) => [
    age,
    pinOf(at(head - age), followerOf({ first, head }))?.number,
  ])
  expect(pins).toEqual([
    [7_900n, head - 7_900n],
    [7_999n, head - 7_999n],
    [8_000n, first],
    [8_190n, first],
    [8_191n, first],
    [15_000n, first],
  ])
  for (const [, pin] of pins) expect(head - (pin ?? 0n)).toBeLessThan(REMEMBERED)
  expect(pinOf(at(head - 15_000n), followerOf({ first, head }))).toEqual(at(first))
})
