import fc from 'fast-check'
import { keccak256 as reference } from 'viem'
import { expect, test } from 'vitest'
import { toHex } from '../../execution/hex.ts'
import { keccak256, writeKeccak256 } from '../../execution/keccak.ts'
import { BLOCK_BYTES, BLOCKS_MAX } from '../../execution/keccakWasm.ts'

test('keccak256 is that of the reference at every length around a block, and where the module gives way to a stream', () => {
  const longest = BLOCKS_MAX * BLOCK_BYTES - 1
  const lengths = [...Array(3 * BLOCK_BYTES + 2).keys(), longest - 1, longest, longest + 1, 100_000]
  for (const length of lengths) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + length) & 255)
    expect(toHex(keccak256(bytes)), `${length} bytes`).toBe(reference(bytes))
    const out = new Uint8Array(34).fill(7)
    writeKeccak256(bytes, out, 1)
    expect(toHex(out), `${length} bytes`).toBe(`0x07${reference(bytes).slice(2)}07`)
  }
})

test('keccak256 of any bytes, one after another, is that of the reference', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 1_000 }), (bytes) => toHex(keccak256(bytes)) === reference(bytes)))
})

test('a digest is nobody else’s: neither the next one nor who writes into it changes another', () => {
  const first = keccak256(Uint8Array.of(1))
  const copy = first.slice()
  expect(keccak256(Uint8Array.of(2))).not.toEqual(copy)
  expect(first).toEqual(copy)
  first.fill(0)
  expect(keccak256(Uint8Array.of(1))).toEqual(copy)
  expect([copy.length, first.byteOffset]).toEqual([32, 0])
})
