import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toHex } from '../../execution/hex.ts'
import { sha256, sha256Into } from '../../execution/sha256.ts'
import { BLOCK_BYTES, BLOCKS_MAX } from '../../execution/sha256Wasm.ts'

function reference(bytes: Uint8Array): string {
  return `0x${createHash('sha256').update(bytes).digest('hex')}`
}

test('sha256 is that of the platform at every length around a block, and where the module gives way to a stream', () => {
  const longest = BLOCKS_MAX * BLOCK_BYTES - 9
  const lengths = [...Array(4 * BLOCK_BYTES + 2).keys(), 8_191, 8_192, longest - 1, longest, longest + 1, 100_000]
  for (const length of lengths) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + length) & 255)
    expect(toHex(sha256(bytes)), `${length} bytes`).toBe(reference(bytes))
  }
})

test('sha256 of any bytes, one after another, is that of the platform, also where it is written into others', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1_000 }), fc.nat(20), (bytes, at) => {
      const out = new Uint8Array(64).fill(0xee)
      sha256Into(bytes, out, at)
      const around = [out.slice(0, at), out.slice(at + 32)].every((rest) => rest.every((byte) => byte === 0xee))
      return around && toHex(out, at, at + 32) === reference(bytes) && toHex(sha256(bytes)) === reference(bytes)
    }),
  )
})

test('a digest is nobody else’s: neither the next one nor who writes into it changes another', () => {
  const first = sha256(Uint8Array.of(1))
  const copy = first.slice()
  expect(sha256(Uint8Array.of(2))).not.toEqual(copy)
  expect(first).toEqual(copy)
  first.fill(0)
  expect(sha256(Uint8Array.of(1))).toEqual(copy)
})
