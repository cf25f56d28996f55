/** A row says one thing, and one thing has one row. */
import fc from 'fast-check'
import { bytesToHex, concatBytes, type Hex, hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import { decodeNative, encodeNative, nativeRowBytes } from '../../execution/native/native.ts'
import { attachmentsOf, decodeRow, encodeRow, type Row, rowBytes } from '../../execution/native/row.ts'
import { REFUSED } from '../../execution/native/verdict.ts'
import { CHAIN_ID, natives, rows } from './arbitraryRows.ts'

const attached = (row: Row) => Uint8Array.from(concatBytes(attachmentsOf(row)))

test('a row is read as what was written, and is as long as it says', () =>
  fc.assert(
    fc.property(rows, (row) => {
      const bytes = encodeRow(row)
      expect(decodeRow(bytes, CHAIN_ID, attached(row))).toEqual(row)
      expect(bytes.length).toBe(rowBytes(row))
    }),
    { numRuns: 800 },
  ))

test('what a native transaction pays for is what its row and its attachments take, but for the head; its RLP form is the transaction', () =>
  fc.assert(
    fc.property(natives, (native) => {
      const row: Row = { kind: 'native', native }
      const bytes = encodeRow(row)
      const behind = attached(row)
      const own = nativeRowBytes(native)
      const verdict = native.type.name === 'CreditDispute' ? 1_600 : 0
      expect(own - behind.length - verdict - 84).toBe(native.type.row.bytes(native.fields))
      expect(bytes.length + behind.length).toBeLessThanOrEqual(own + 4)
      const read = decodeRow(bytes, CHAIN_ID, behind)
      const raw = read?.kind === 'native' ? encodeNative(read.native) : undefined
      expect(raw).toEqual(encodeNative(native))
      expect(raw && decodeNative(raw)).toEqual(native)
    }),
    { numRuns: 400 },
  ))

test('bytes cut short, lengthened or changed are no row, or the only form of another one', () =>
  fc.assert(
    fc.property(
      rows,
      fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 0x80))), { maxLength: 3 }),
      fc.constantFrom(-31, -1, 0, 0, 0, 1, 31),
      (row, changes, growth) => {
        const whole = encodeRow(row)
        const bytes = new Uint8Array(Math.max(0, whole.length + growth))
        bytes.set(whole.subarray(0, bytes.length))
        for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte
        const read = decodeRow(bytes, CHAIN_ID, attached(row))
        if (read) expect(bytesToHex(encodeRow(read))).toBe(bytesToHex(bytes))
        if (growth !== 0 && changes.length === 0) expect(read).toBeUndefined()
      },
    ),
    { numRuns: 4_000 },
  ))

test('every bit of a row counts', () => {
  for (const native of fc.sample(natives, { numRuns: 8, seed: 7 })) {
    const row: Row = { kind: 'native', native, ...(native.type.name === 'CreditDispute' && { verdict: REFUSED }) }
    const bytes = encodeRow(row)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const read = decodeRow(flipped, CHAIN_ID, attached(row))
      expect(read && bytesToHex(encodeRow(read))).toBe(read && bytesToHex(flipped))
      expect(read).not.toEqual(row)
    }
    for (let cut = 0; cut < bytes.length; cut++) expect(decodeRow(bytes.subarray(0, cut), CHAIN_ID, attached(row))).toBeUndefined()
  }
})

test('unknown heads, integers longer than need, times beyond a safe integer and high s are refused', () => {
  const [native] = fc.sample(natives, { numRuns: 1, seed: 1 })
  if (!native) throw new Error('no transaction')
  const highS = encodeRow({ kind: 'native', native })
  highS.set(hexToBytes(`0x7f${'ff'.repeat(31)}`), 33)
  const address = '11'.repeat(20)
  const wrong: readonly Hex[] = [
    '0x',
    '0x00',
    '0x0405',
    '0x4f05',
    '0x5905',
    '0x5a05',
    '0xda05',
    '0x038500', // a zero behind
    '0x0380',
    `0x03${'ff'.repeat(9)}02`, // beyond 64 bits
    '0x020501', // a length and nothing behind it
    '0x02050100', // zeros before
    `0x0105${'80'.repeat(7)}1000${address}`, // 2^53 ms
    `0x010506100a${address}`, // ten times no wei
    `0x01050612000a${address}`, // zeros before
    `0x0105061203e8${address}`, // a thousand times a thousand
    `0x010506a101${address}`, // beyond 96 bits
    `0x01050691ff${address}`,
  ]
  expect(decodeRow(hexToBytes(`0x0105060112${address}`), CHAIN_ID)).toMatchObject({ kind: 'block', baseFeeWei: 18n })
  expect(decodeRow(highS, CHAIN_ID)).toBeUndefined()
  expect(wrong.map((bytes) => decodeRow(hexToBytes(bytes), CHAIN_ID)?.kind)).toEqual(wrong.map(() => undefined))
})
