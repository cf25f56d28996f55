/** Bytes of messages are put together as viem puts them together, without viem. */
import fc from 'fast-check'
import { numberToBytes, concatBytes as viemConcat } from 'viem'
import { expect, test } from 'vitest'
import { AssertionError } from '../../execution/assert.ts'
import { concatBytes, uintBytes } from '../../execution/bytes.ts'

test('parts follow one another, and integers are big-endian in their fields', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (parts, value) => {
      expect(concatBytes(parts)).toEqual(viemConcat(parts))
      expect(uintBytes(value, 8)).toEqual(numberToBytes(value, { size: 8 }))
    }),
  )
  expect(uintBytes(0x01_02_03, 4)).toEqual(Uint8Array.of(0, 1, 2, 3))
})

test('an integer that does not fit its field, or that is none, is a mistake of ours', () => {
  expect(() => uintBytes(65_536, 2)).toThrow('integer does not fit its field')
  expect(() => uintBytes(-1, 2)).toThrow('not an unsigned integer')
  expect(() => uintBytes(0.5, 2)).toThrow(AssertionError)
})
