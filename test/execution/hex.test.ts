/** Hex and bytes, against viem's, with Node's Buffer and without it. */
import fc from 'fast-check'
import { bytesToHex, hexToBytes } from 'viem'
import { afterEach, expect, test, vi } from 'vitest'
import { AssertionError } from '../../execution/assert.ts'
import * as withBuffer from '../../execution/hex.ts'

afterEach(() => vi.unstubAllGlobals())

const NO_HEX = ['', '0', '0x1', '0x1g', '0x-1', '0x  ', `0x${'00'.repeat(3_000)}zz`]
/** Letters whose lower byte is one of hex, at the ends of pieces, too, and halves of letters. */
const NO_ASCII = [
  '0x\u01301',
  '0x1\u0130',
  '0x\u0131\u0132',
  '0x\ud8300',
  `0x${'00'.repeat(3_000)}0\u0130`,
  `0x${'0'.repeat(4_093)}\u{1d130}000`,
]

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

  test(`what others wrote is read if it is hex, ${name}`, async () => {
    const { parseHex } = await load()
    for (const text of [...NO_HEX, ...NO_ASCII, '1234', 'xx12', '0012']) expect(parseHex(text), text).toBeUndefined()
    expect([parseHex('0x'), parseHex('0xaBcD'), parseHex('0X12')]).toEqual(
      [[], [0xab, 0xcd], [0x12]].map((bytes) => Uint8Array.from(bytes)),
    )
  })

  test(`what is no hex of whole bytes is an error of ours, ${name}`, async () => {
    const { fromHex, writeHex } = await load()
    for (const text of NO_HEX) expect(() => fromHex(text), text).toThrow('hex')
    expect(() => writeHex('0x1234', new Uint8Array(2), 1)).toThrow('room')
  })
}

test('such an error is an AssertionError', () => expect(() => withBuffer.fromHex('0xx0')).toThrow(AssertionError))
