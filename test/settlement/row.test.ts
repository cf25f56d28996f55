/** A row says one thing, and one thing has one row. */
import fc from 'fast-check'
import { type AbiParameter, bytesToHex, type Hex, hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import { decodeNative, encodeNative, NATIVE_TYPES, nativeRowBytes, type SignedNative } from '../../execution/native/native.ts'
import { decodeRow, encodeRow, ROW_ELEMENT_BYTES, type Row } from '../../execution/native/row.ts'
import { reportOf } from '../../execution/report.ts'
import { EVIDENCE_BYTES } from '../../genesis/params.ts'

const CHAIN_ID = 73_571
const hexOf = (minLength: number, maxLength = minLength): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => bytesToHex(bytes))
const uint = (bits: number) => fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n })

/** Values of a parameter, as execution/fields.ts has them. */
function valuesOf(parameter: AbiParameter): fc.Arbitrary<unknown> {
  const { type } = parameter
  if (type.endsWith('[]')) return fc.array(valuesOf({ ...parameter, type: type.slice(0, -2) }), { maxLength: 4 })
  if ('components' in parameter) return fieldsOf(parameter.components)
  if (type === 'string') return fc.string({ unit: 'binary', maxLength: 70 })
  if (type === 'address') return hexOf(20)
  if (type === 'bytes') return hexOf(0, 70)
  if (type.startsWith('bytes')) return hexOf(Number(type.slice(5)))
  const bits = Number(type.slice('uint'.length))
  return bits <= 48 ? fc.integer({ min: 0, max: 2 ** bits - 1 }) : uint(bits)
}

function fieldsOf(parameters: readonly AbiParameter[]): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(Object.fromEntries(parameters.map((one) => [one.name ?? '', valuesOf(one)])), { noNullPrototype: true })
}

const typed = fc.constantFrom(...NATIVE_TYPES).chain((type) => fieldsOf(type.fields.parameters).map((fields) => ({ type, fields })))
const lowS = fc.bigInt({ min: 0n, max: 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n })
const natives: fc.Arbitrary<SignedNative> = fc
  .record({
    typed,
    nonce: uint(64),
    maxFeeWei: uint(96),
    yParity: fc.constantFrom(0, 1),
    r: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    s: lowS,
  })
  .map(({ typed: { type, fields }, nonce, maxFeeWei, yParity, r, s }) => {
    const signature = { yParity: yParity === 1 ? (1 as const) : (0 as const), r, s: hexToBytes(`0x${s.toString(16).padStart(64, '0')}`) }
    return { type, chainId: CHAIN_ID, nonce, maxFeeWei, fields, signature }
  })
const rows: fc.Arbitrary<Row> = fc.oneof(
  fc.record({
    kind: fc.constant('block' as const),
    number: uint(64),
    timestampMs: fc.nat(Number.MAX_SAFE_INTEGER),
    baseFeeWei: uint(96),
    coinbase: hexOf(20),
  }),
  fc.record({ kind: fc.constant('l1Info' as const), number: uint(64), blobBaseFee: uint(128) }),
  fc.record({ kind: fc.constant('deposit' as const), index: uint(64) }),
  natives.map((native) => ({ kind: 'native' as const, native })),
  fc
    .record({ typed, caller: hexOf(20) })
    .map(({ typed: { type, fields }, caller }) => ({ kind: 'operation' as const, operation: { type, caller, fields } })),
  fc
    .uint8Array({ minLength: EVIDENCE_BYTES, maxLength: EVIDENCE_BYTES })
    .map((evidence) => ({ kind: 'report' as const, report: reportOf(evidence) })),
)

test('a row is read as what was written, in whole elements, as few as hold it', () =>
  fc.assert(
    fc.property(rows, (row) => {
      const bytes = encodeRow(row)
      expect(decodeRow(bytes, CHAIN_ID)).toEqual(row)
      expect(bytes.length % ROW_ELEMENT_BYTES).toBe(0)
      expect((bytes[1] ?? 0) * 256 + (bytes[2] ?? 0)).toBe(bytes.length / ROW_ELEMENT_BYTES)
    }),
    { numRuns: 500 },
  ))

test('the row of a native transaction has the bytes that gas is charged for, and its RLP form is the transaction', () =>
  fc.assert(
    fc.property(natives, (native) => {
      const bytes = encodeRow({ kind: 'native', native })
      expect(bytes.length).toBe(nativeRowBytes(native))
      const read = decodeRow(bytes, CHAIN_ID)
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
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
      fc.constantFrom(-31, -1, 0, 0, 0, 1, 31),
      (row, changes, growth) => {
        const whole = encodeRow(row)
        const bytes = new Uint8Array(Math.max(0, whole.length + growth))
        bytes.set(whole.subarray(0, bytes.length))
        for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte
        const read = decodeRow(bytes, CHAIN_ID)
        if (read) expect(bytesToHex(encodeRow(read))).toBe(bytesToHex(bytes))
        if (growth !== 0 && changes.length === 0) expect(read).toBeUndefined()
      },
    ),
    { numRuns: 2_000 },
  ))

test('every bit of a row counts', () => {
  const [native] = fc.sample(natives, { numRuns: 1, seed: 7 })
  if (!native) throw new Error('no transaction')
  const bytes = encodeRow({ kind: 'native', native })
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice()
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const read = decodeRow(flipped, CHAIN_ID)
    expect(read && bytesToHex(encodeRow(read))).toBe(read && bytesToHex(flipped))
    expect(read).not.toEqual({ kind: 'native', native })
  }
  for (let cut = 0; cut < bytes.length; cut++) expect(decodeRow(bytes.subarray(0, cut), CHAIN_ID)).toBeUndefined()
})

test('unknown kinds and types, elements beyond need, padding and high s are refused', () => {
  const bytes = encodeRow({ kind: 'deposit', index: 5n })
  const withByte = (at: number, byte: number) => bytes.map((one, i) => (i === at ? byte : one))
  const longer = new Uint8Array(62)
  longer.set(withByte(2, 2))
  const operation = new Uint8Array(31)
  operation.set([5, 0, 1, 0x57])
  const [native] = fc.sample(natives, { numRuns: 1, seed: 1 })
  if (!native) throw new Error('no transaction')
  const s = new Uint8Array(32).fill(0xff)
  const highS = encodeRow({ kind: 'native', native: { ...native, signature: { ...native.signature, s } } })
  const late = encodeRow({ kind: 'block', number: 1n, timestampMs: 1, baseFeeWei: 1n, coinbase: `0x${'11'.repeat(20)}` })
  late[11] = 0x20 // beyond 2^53 milliseconds
  for (const wrong of [
    withByte(0, 0),
    withByte(0, 6),
    withByte(0, 7),
    withByte(2, 0),
    withByte(30, 1),
    longer,
    operation,
    highS,
    late,
    new Uint8Array(),
  ]) {
    expect(decodeRow(wrong, CHAIN_ID)).toBeUndefined()
  }
})
