/** Blooms against the library's. */
import { Bloom } from '@ethereumjs/vm'
import fc from 'fast-check'
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import { addToBloom, BLOOM_BYTES, bloomOf } from '../../execution/bloom.ts'

const hex = (length: number): fc.Arbitrary<Hex> => fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => bytesToHex(bytes))
const log = fc.record({ address: hex(20), topics: fc.array(hex(32), { maxLength: 4 }), data: hex(3) })

test('a bloom has the bits that the library gives it, seen for the first time or again', () => {
  fc.assert(
    fc.property(fc.array(log, { maxLength: 5 }), (logs) => {
      const theirs = new Bloom()
      for (const { address, topics } of logs) for (const item of [address, ...topics]) theirs.add(hexToBytes(item))
      for (let i = 0; i < 2; i++) expect(bytesToHex(bloomOf(logs))).toBe(bytesToHex(theirs.bitvector))
      const joined = new Uint8Array(BLOOM_BYTES)
      for (const one of logs) addToBloom(joined, [one])
      expect(joined).toEqual(bloomOf(logs))
    }),
  )
  expect(bloomOf([])).toEqual(new Uint8Array(BLOOM_BYTES))
})
