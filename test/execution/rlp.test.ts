import { RLP } from '@ethereumjs/rlp'
import fc from 'fast-check'
import { bytesToHex } from 'viem'
import { expect, test } from 'vitest'
import { createRlpWriter, encodePassingRlp, encodeRlp, type RlpItem } from '../../execution/rlp.ts'

const { item } = fc.letrec<{ item: RlpItem }>((tie) => ({
  item: fc.oneof({ depthSize: 'small' }, fc.uint8Array({ maxLength: 70 }), fc.array(tie('item'), { maxLength: 6 })),
}))

test('an item is encoded as the library encodes it', () => {
  fc.assert(
    fc.property(item, (one) => {
      expect(encodeRlp(one)).toEqual(RLP.encode(one as Uint8Array))
    }),
  )
})

test('hex stands for the bytes that it says', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 2 }), fc.uint8Array({ maxLength: 70 })), (bytes) => {
      expect(encodeRlp([bytesToHex(bytes), bytes])).toEqual(RLP.encode([bytes, bytes]))
    }),
  )
})

test('an integer stands for its bytes without leading zeros', () => {
  const edges = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x100n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n, 2n ** 256n - 1n]
  for (const value of edges) expect(encodeRlp([value])).toEqual(RLP.encode([value]))
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }), (value) => Buffer.compare(encodeRlp(value), RLP.encode(value)) === 0))
  expect(() => encodeRlp(-1n)).toThrow()
})

test('a type stands before the item, also in memory that the next item is written over', () => {
  expect(encodeRlp([1n], 0x52)).toEqual(Uint8Array.of(0x52, 0xc1, 0x01))
  const passing = encodePassingRlp(['0x80', []], 0x52)
  expect(passing).toEqual(Uint8Array.of(0x52, 0xc3, 0x81, 0x80, 0xc0))
  encodePassingRlp([1n, 2n])
  expect(passing).toEqual(Uint8Array.of(0xc2, 0x01, 0x02, 0x80, 0xc0))
  const long = new Uint8Array(20_000)
  expect(encodePassingRlp(long, 0x52)).toEqual(encodeRlp(long, 0x52))
})

test('lists that are written from their end, into any room, are what they would be if put together first', () => {
  const item = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.bigInt({ min: 0n, max: 2n ** 64n }))
  fc.assert(
    fc.property(fc.array(fc.array(item, { maxLength: 4 }), { maxLength: 5 }), fc.nat(2_000), (lists, room) => {
      const out = createRlpWriter(room)
      for (const list of lists.toReversed()) {
        const end = out.written()
        for (const one of list.toReversed()) out.put(one)
        out.putHead(end)
      }
      out.putHead(0)
      expect(Buffer.compare(out.bytes(), encodeRlp(lists))).toBe(0)
      expect(out.written()).toBe(out.bytes().length)
    }),
  )
})

test('every length of a string and of a list has the head that the library gives it', () => {
  for (const length of [0, 1, 2, 55, 56, 57, 255, 256, 257, 65_535, 65_536, 16_777_215, 16_777_216]) {
    const bytes = new Uint8Array(length).fill(0x7f)
    expect(Buffer.compare(encodeRlp(bytes), RLP.encode(bytes))).toBe(0)
    expect(Buffer.compare(encodeRlp([bytes]), RLP.encode([bytes]))).toBe(0)
  }
})

test('a byte below 0x80 stands for itself, another one does not', () => {
  expect(encodeRlp(Uint8Array.of(0x00))).toEqual(Uint8Array.of(0x00))
  expect(encodeRlp(Uint8Array.of(0x7f))).toEqual(Uint8Array.of(0x7f))
  expect(encodeRlp(Uint8Array.of(0x80))).toEqual(Uint8Array.of(0x81, 0x80))
})
