/** Call data is read if, and only if, it is the canonical encoding of its values. viem's coder is the judge. */
import fc from 'fast-check'
import {
  type AbiFunction,
  type AbiParameter,
  bytesToHex,
  concatBytes,
  decodeAbiParameters,
  encodeAbiParameters,
  type Hex,
  hexToBytes,
  toHex,
} from 'viem'
import { expect, test } from 'vitest'
import {
  creditsDoorAbi,
  datanetsDoorAbi,
  inclusionVerifierAbi,
  ledgerDoorAbi,
  modelsDoorAbi,
  receiptVerifierAbi,
  workersDoorAbi,
} from '../../execution/native/doorAbi.ts'
import { NATIVE_TYPES } from '../../execution/native/native.ts'
import { compileCallData, PACKED_LENGTH_MAX } from '../../precompiles/callData.ts'

const ABIS = [ledgerDoorAbi, datanetsDoorAbi, modelsDoorAbi, workersDoorAbi, creditsDoorAbi, receiptVerifierAbi, inclusionVerifierAbi]
const FUNCTIONS: readonly AbiFunction[] = ABIS.flatMap((abi) => abi.filter((item) => item.type === 'function'))
const SELECTOR = Uint8Array.of(1, 2, 3, 4)

/** Values of a parameter, as execution/fields.ts has them. */
function valuesOf(parameter: AbiParameter): fc.Arbitrary<unknown> {
  const { type } = parameter
  if (type.endsWith('[]')) return fc.array(valuesOf({ ...parameter, type: type.slice(0, -2) }), { maxLength: 4 })
  if ('components' in parameter) return fc.record(Object.fromEntries(parameter.components.map((one) => [one.name ?? '', valuesOf(one)])))
  if (type === 'string') return fc.string({ unit: 'binary', maxLength: 70 })
  if (type === 'address') return hexOf(20, 20)
  if (type === 'bytes') return hexOf(0, 70)
  if (type.startsWith('bytes')) return hexOf(Number(type.slice(5)), Number(type.slice(5)))
  const bits = Number(type.slice('uint'.length))
  return bits <= 48 ? fc.integer({ min: 0, max: 2 ** bits - 1 }) : fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n })
}

function hexOf(minLength: number, maxLength: number): fc.Arbitrary<Hex> {
  return fc.uint8Array({ minLength, maxLength }).map((bytes) => bytesToHex(bytes))
}

/** A function of ours, values for it, and their encoding by viem. */
const calls = fc.constantFrom(...FUNCTIONS).chain(({ inputs }) =>
  fc.record(Object.fromEntries(inputs.map((input) => [input.name ?? '', valuesOf(input)]))).map((values) => ({
    inputs,
    values,
    encoded: encode(inputs, values),
  })),
)

function encode(inputs: readonly AbiParameter[], values: Readonly<Record<string, unknown>>): Uint8Array {
  return hexToBytes(
    encodeAbiParameters(
      inputs,
      inputs.map(({ name }) => values[name ?? '']),
    ),
  )
}

/** What viem makes of the bytes, if they are what viem would write for it. */
function readByViem(inputs: readonly AbiParameter[], encoded: Uint8Array): unknown {
  try {
    const values = inputs.length === 0 ? [] : decodeAbiParameters(inputs, encoded)
    return encodeAbiParameters(inputs, values) === bytesToHex(encoded) ? values : undefined
  } catch {
    return undefined
  }
}

test('what viem encodes is read back, value for value, hex in lowercase', () =>
  fc.assert(
    fc.property(calls, ({ inputs, values, encoded }) => {
      expect(compileCallData(inputs)(concatBytes([SELECTOR, encoded]))).toEqual(values)
    }),
    { numRuns: 600 },
  ))

test('changed bytes are read only where viem reads them and would write them again', () => {
  const mutations = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 0x20, 0x40, 0x7f, 0x80, 0xff)), { minLength: 1, maxLength: 3 })
  return fc.assert(
    fc.property(calls, mutations, fc.constantFrom(-33, -32, -1, 0, 0, 0, 0, 1, 32), ({ inputs, encoded }, changes, growth) => {
      const changed = new Uint8Array(Math.max(0, encoded.length + growth))
      changed.set(encoded.subarray(0, changed.length))
      for (const [at, byte] of changes) if (changed.length > 0) changed[at % changed.length] = byte
      const ours = compileCallData(inputs)(concatBytes([SELECTOR, changed]))
      const theirs = readByViem(inputs, changed)
      // viem drops a byte order mark from the start of a text, which is text like any other.
      if (ours && hasByteOrderMark(ours)) return
      expect(ours && bytesToHex(encode(inputs, ours))).toBe(theirs && bytesToHex(changed))
    }),
    { numRuns: 3_000 },
  )
})

function hasByteOrderMark(values: object): boolean {
  return Object.values(values).some((value) => typeof value === 'string' && value.startsWith('\ufeff'))
}

test('fields of an operation that are read survive their packed form, whatever the bytes', () => {
  const readers = NATIVE_TYPES.map((type) => ({ type, read: compileCallData(type.fields.parameters, PACKED_LENGTH_MAX) }))
  const operations = fc
    .constantFrom(...readers)
    .chain(({ type, read }) =>
      fc
        .record(Object.fromEntries(type.fields.parameters.map((parameter) => [parameter.name ?? '', valuesOf(parameter)])))
        .map((values) => ({ type, read, encoded: encode(type.fields.parameters, values) })),
    )
  return fc.assert(
    fc.property(operations, ({ type, read, encoded }) => {
      const fields = read(concatBytes([SELECTOR, encoded]))
      expect(fields && type.fields.unpack(type.fields.pack(fields))).toEqual(fields)
      expect(fields).toBeDefined()
    }),
    { numRuns: 400 },
  )
})

test('a length that no packed form holds is refused where the limit asks for it', () => {
  const parameters = [{ name: 'text', type: 'string' }] as const
  const longest = concatBytes([SELECTOR, encode(parameters, { text: 'a'.repeat(PACKED_LENGTH_MAX) })])
  const longer = concatBytes([SELECTOR, encode(parameters, { text: 'a'.repeat(PACKED_LENGTH_MAX + 1) })])
  const read = compileCallData(parameters, PACKED_LENGTH_MAX)
  expect([read(longest)?.text.length, read(longer), compileCallData(parameters)(longer)?.text.length]).toEqual([
    PACKED_LENGTH_MAX,
    undefined,
    PACKED_LENGTH_MAX + 1,
  ])
})

test('a count that the bytes cannot hold costs nothing', () => {
  const read = compileCallData([{ name: 'path', type: 'bytes32[]' }] as const)
  for (const count of [1n, 2n ** 32n, 2n ** 48n - 1n, 2n ** 255n]) {
    expect(read(concatBytes([SELECTOR, hexToBytes(toHex(32n, { size: 32 })), hexToBytes(toHex(count, { size: 32 }))]))).toBeUndefined()
  }
})

test('a byte order mark is text, and bytes that are not UTF-8 are none', () => {
  const parameters = [{ name: 'text', type: 'string' }] as const
  const bytesAsText = (bytes: Uint8Array) => concatBytes([SELECTOR, encode([{ name: 'text', type: 'bytes' }], { text: bytesToHex(bytes) })])
  const read = compileCallData(parameters)
  expect(read(bytesAsText(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)))).toEqual({ text: '\ufeffa' })
  for (const bad of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]) {
    expect(read(bytesAsText(Uint8Array.from(bad)))).toBeUndefined()
  }
})

test('less than a selector is no call', () => {
  expect([0, 1, 3].map((length) => compileCallData([])(new Uint8Array(length)))).toEqual([undefined, undefined, undefined])
  expect(compileCallData([])(SELECTOR)).toEqual({})
})
