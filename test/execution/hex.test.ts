/** Hex and bytes, against viem's, with Node's Buffer and without it. */
import fc from 'fast-check'
import { bytesToHex, hexToBytes } from 'viem'
import { afterEach, expect, test, vi } from 'vitest'
import { AssertionError } from '../../execution/assert.ts'
import * as withBuffer from '../../execution/hex.ts'

afterEach(() => vi.unstubAllGlobals())

/** The same module as a browser loads it. */
async function loadWithoutBuffer(): Promise<typeof withBuffer> {
  vi.resetModules()
  vi.stubGlobal('Buffer', undefined)
  const loaded: typeof withBuffer = await import('../../execution/hex.ts')
  vi.unstubAllGlobals()
  return loaded
}

for (const [name, load] of [['with Buffer', async () => withBuffer] as const, ['without Buffer', loadWithoutBuffer] as const]) {
  test(`bytes come back from hex as they were, ${name}`, async () => {
    const { toHex, fromHex, hexBytes, writeHex } = await load()
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 70 }), fc.uint8Array({ minLength: 2_040, maxLength: 6_200 }))
    fc.assert(
      fc.property(bytes, fc.nat(9), fc.nat(9), (value, from, spare) => {
        const hex = bytesToHex(value)
        expect(toHex(value)).toBe(hex)
        expect(toHex(value, Math.min(from, value.length))).toBe(bytesToHex(value.subarray(from)))
        expect(fromHex(hex)).toEqual(value)
        expect(fromHex(`0x${hex.slice(2).toUpperCase()}`)).toEqual(hexToBytes(hex))
        expect(hexBytes(hex)).toBe(value.length)
        const out = new Uint8Array(from + value.length + spare).fill(7)
        expect(writeHex(hex, out, from)).toBe(from + value.length)
        expect(out).toEqual(Uint8Array.from([...new Uint8Array(from).fill(7), ...value, ...new Uint8Array(spare).fill(7)]))
      }),
    )
  })

  test(`what is no hex of whole bytes is an error of ours, ${name}`, async () => {
    const { fromHex, writeHex } = await load()
    for (const text of ['', '0', '0x1', '0x1g', '0x-1', '0x  ', `0x${'00'.repeat(3_000)}zz`])
      expect(() => fromHex(text), text).toThrow('hex')
    expect(() => writeHex('0x1234', new Uint8Array(2), 1)).toThrow('room')
  })
}

test('such an error is an AssertionError', () => expect(() => withBuffer.fromHex('0xx0')).toThrow(AssertionError))
