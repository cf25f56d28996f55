/** One description of fields, its forms against those who make the same forms: RLP, packed bytes, EIP-712. Spec: docs/spec/transactions.md */
import { type Input, RLP } from '@ethereumjs/rlp'
import fc from 'fast-check'
import {
  bytesToHex,
  concatHex,
  encodePacked,
  type Hex,
  hashStruct,
  hexToBytes,
  numberToHex,
  parseAbiParameters,
  size,
  stringToHex,
  toRlp,
} from 'viem'
import { expect, test } from 'vitest'
import { AssertionError } from '../../execution/assert.ts'
import { attempt, compileFields, type FieldsOf, takeRlpList, takeRlpString, takeRlpUint } from '../../execution/fields.ts'
import { keccak256 } from '../../execution/keccak.ts'

const parameters = parseAbiParameters([
  'uint8 tiny, uint32 small, uint48 middle, uint64 large, uint96 amount, uint128 huge, address who, bytes32 root, bytes4 tag, bytes blob, string name, uint32[] list, uint96[] amounts, Share[] shares, Deep[] deep',
  'struct Share { address account; uint16 shareBps; }',
  'struct Step { bytes32 leaf; uint8 depth; }',
  'struct Inner { uint64 seed; bytes salt; Step[] path; }',
  'struct Deep { Inner inner; string note; }',
])
const fields = compileFields(parameters, { shares: 'Share', inner: 'Inner', path: 'Step', deep: 'Deep' })
type Values = FieldsOf<typeof parameters>

/** The same as EIP-712 types, by hand. */
const TYPES = {
  Everything: [
    { name: 'tiny', type: 'uint8' },
    { name: 'small', type: 'uint32' },
    { name: 'middle', type: 'uint48' },
    { name: 'large', type: 'uint64' },
    { name: 'amount', type: 'uint96' },
    { name: 'huge', type: 'uint128' },
    { name: 'who', type: 'address' },
    { name: 'root', type: 'bytes32' },
    { name: 'tag', type: 'bytes4' },
    { name: 'blob', type: 'bytes' },
    { name: 'name', type: 'string' },
    { name: 'list', type: 'uint32[]' },
    { name: 'amounts', type: 'uint96[]' },
    { name: 'shares', type: 'Share[]' },
    { name: 'deep', type: 'Deep[]' },
  ],
  Share: [
    { name: 'account', type: 'address' },
    { name: 'shareBps', type: 'uint16' },
  ],
  Deep: [
    { name: 'inner', type: 'Inner' },
    { name: 'note', type: 'string' },
  ],
  Inner: [
    { name: 'seed', type: 'uint64' },
    { name: 'salt', type: 'bytes' },
    { name: 'path', type: 'Step[]' },
  ],
  Step: [
    { name: 'leaf', type: 'bytes32' },
    { name: 'depth', type: 'uint8' },
  ],
} as const

const uint = (bits: number) =>
  fc.oneof(
    fc.constantFrom(0, 1, 2 ** bits - 1),
    fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }).map((n) => n % 2 ** bits),
  )
const bigUint = (bits: number) =>
  fc.oneof(fc.constantFrom(0n, 1n, 127n, 128n, 2n ** BigInt(bits) - 1n), fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n }))
const hex = (min: number, max = min): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => bytesToHex(bytes))
const text = fc.string({ unit: 'grapheme', maxLength: 70 })

const values: fc.Arbitrary<Values> = fc.record({
  tiny: uint(8),
  small: uint(32),
  middle: uint(48),
  large: bigUint(64),
  amount: bigUint(96),
  huge: bigUint(128),
  who: hex(20),
  root: hex(32),
  tag: hex(4),
  blob: hex(0, 80),
  name: text,
  list: fc.array(uint(32), { maxLength: 30 }),
  amounts: fc.array(bigUint(96), { maxLength: 6 }),
  shares: fc.array(fc.record({ account: hex(20), shareBps: uint(16) }), { maxLength: 5 }),
  deep: fc.array(
    fc.record({
      inner: fc.record({
        seed: bigUint(64),
        salt: hex(0, 60),
        path: fc.array(fc.record({ leaf: hex(32), depth: uint(8) }), { maxLength: 3 }),
      }),
      note: text,
    }),
    { maxLength: 3 },
  ),
})

/** Integer as RLP has it. */
function int(value: number | bigint): Hex {
  return value === 0 || value === 0n ? '0x' : numberToHex(value, { size: Math.ceil(value.toString(16).length / 2) })
}

/** Members of the values in the order of the parameters. */
function members(v: Values) {
  return [v.tiny, v.small, v.middle, v.large, v.amount, v.huge] as const
}

function decodeRlp(bytes: Uint8Array): Values | undefined {
  return attempt(() => {
    const list = takeRlpList({ bytes, at: 0, end: bytes.length })
    return fields.fromRlp(list)
  })
}

test('RLP is that of viem and @ethereumjs, and comes back as it was', () => {
  fc.assert(
    fc.property(values, (v) => {
      const encoded = RLP.encode(fields.toRlp(v) as Input)
      const nested = [
        ...members(v).map(int),
        ...[v.who, v.root, v.tag, v.blob, stringToHex(v.name)],
        v.list.map(int),
        v.amounts.map(int),
        v.shares.map(({ account, shareBps }) => [account, int(shareBps)]),
        v.deep.map(({ inner, note }) => [
          [int(inner.seed), inner.salt, inner.path.map(({ leaf, depth }) => [leaf, int(depth)])],
          stringToHex(note),
        ]),
      ]
      expect(bytesToHex(encoded)).toBe(toRlp(nested))
      expect(decodeRlp(encoded)).toEqual(v)
    }),
  )
})

test('packed bytes are the widths one after another, lengths before what varies, and come back as they were', () => {
  const u16 = (n: number) => numberToHex(n, { size: 2 })
  const variable = (value: Hex) => concatHex([u16(size(value)), value])
  fc.assert(
    fc.property(values, (v) => {
      const head = encodePacked(
        ['uint8', 'uint32', 'uint48', 'uint64', 'uint96', 'uint128', 'address', 'bytes32', 'bytes4'],
        [...members(v), v.who, v.root, v.tag],
      )
      const packed = concatHex([
        head,
        variable(v.blob),
        variable(stringToHex(v.name)),
        ...[u16(v.list.length), ...v.list.map((n) => numberToHex(n, { size: 4 }))],
        ...[u16(v.amounts.length), ...v.amounts.map((n) => numberToHex(n, { size: 12 }))],
        ...[u16(v.shares.length), ...v.shares.map(({ account, shareBps }) => concatHex([account, u16(shareBps)]))],
        u16(v.deep.length),
        ...v.deep.flatMap(({ inner, note }) => [
          ...[numberToHex(inner.seed, { size: 8 }), variable(inner.salt), u16(inner.path.length)],
          ...inner.path.map(({ leaf, depth }) => concatHex([leaf, numberToHex(depth, { size: 1 })])),
          variable(stringToHex(note)),
        ]),
      ])
      expect(bytesToHex(fields.pack(v))).toBe(packed)
      expect(fields.packedBytes(v)).toBe(size(packed))
      expect(fields.unpack(hexToBytes(packed))).toEqual(v)
      expect(fields.unpackFrom({ bytes: hexToBytes(packed), at: 0, end: size(packed) })).toEqual(v)
    }),
  )
})

test('EIP-712 hashes are those of viem, structs in arrays in structs included', () => {
  const typeHash = keccak256(new TextEncoder().encode(fields.encodeType('Everything')))
  fc.assert(
    fc.property(values, (v) => {
      const words = fields.words(v)
      expect(words.length).toBe(32 * parameters.length)
      const own = keccak256(Uint8Array.from([...typeHash, ...words]))
      expect(bytesToHex(own)).toBe(hashStruct({ types: TYPES, primaryType: 'Everything', data: v }))
    }),
  )
})

test('lists of numbers of every width are written as single numbers are, packed and as words, and hashed one after another', () => {
  const lists = compileFields(parseAbiParameters('uint8[] a, uint16[] b, uint32[] c, uint40[] d, uint48[] e'))
  const type = {
    Lists: parseAbiParameters('uint8[] a, uint16[] b, uint32[] c, uint40[] d, uint48[] e').map(({ name = '', type }) => ({ name, type })),
  }
  const numbers = (bits: number) =>
    fc.array(
      fc.oneof(fc.nat(300), fc.maxSafeNat()).map((n) => n % 2 ** bits),
      { maxLength: 40 },
    )
  fc.assert(
    fc.property(numbers(8), numbers(16), numbers(32), numbers(40), numbers(48), fc.constantFrom(1, 100), (a, b, c, d, e, times) => {
      const value = { a, b, c, d, e: Array.from({ length: times }, () => e).flat() }
      const packed = lists.pack(value)
      expect(lists.unpack(packed)).toEqual(value)
      const widths = [8, 16, 32, 40, 48].map((bits) => bits / 4)
      const expected = Object.values(value).map((list, i) => [
        numberToHex(list.length, { size: 2 }).slice(2),
        ...list.map((n) => n.toString(16).padStart(widths[i] ?? 0, '0')),
      ])
      expect(bytesToHex(packed)).toBe(`0x${expected.flat().join('')}`)
      expect(lists.packedHash(value)).toEqual(keccak256(packed))
      const typeHash = keccak256(new TextEncoder().encode(lists.encodeType('Lists')))
      const own = bytesToHex(keccak256(hexToBytes(concatHex([bytesToHex(typeHash), bytesToHex(lists.words(value))]))))
      expect(own).toBe(hashStruct({ types: type, primaryType: 'Lists', data: value }))
    }),
    { numRuns: 50 },
  )
})

test('encodeType names the structs once and in the order of their names, extra members first', () => {
  const nested = parseAbiParameters('((uint8 x) b, (uint8 x)[] c) z, (uint8 x)[] b')
  expect(compileFields(nested, { z: 'Z', b: 'B', c: 'A' }).encodeType('Main', 'uint64 nonce')).toBe(
    'Main(uint64 nonce,Z z,B[] b)A(uint8 x)B(uint8 x)Z(B b,A[] c)',
  )
})

test('RLP and packed bytes cut anywhere are malformed', () => {
  fc.assert(
    fc.property(values, (v) => {
      const encoded = RLP.encode(fields.toRlp(v) as Input)
      const packed = fields.pack(v)
      for (let end = 0; end < encoded.length; end++) expect(decodeRlp(encoded.subarray(0, end))).toBeUndefined()
      for (let end = 0; end < packed.length; end++) expect(fields.unpack(packed.subarray(0, end))).toBeUndefined()
      expect(fields.unpack(Uint8Array.from([...packed, 0]))).toBeUndefined()
    }),
    { numRuns: 20 },
  )
})

test('arbitrary bytes are a value that encodes to the same bytes, or malformed', () => {
  const few = compileFields(parseAbiParameters('uint8 a, bytes b, string c, uint32[] d'))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const list = attempt(() => takeRlpList({ bytes, at: 0, end: bytes.length }))
      const fromRlp = list && attempt(() => few.fromRlp(list))
      if (list && fromRlp && list.at === bytes.length) expect(RLP.encode(few.toRlp(fromRlp) as Input)).toEqual(bytes)
      const unpacked = few.unpack(bytes)
      if (unpacked) expect(few.pack(unpacked)).toEqual(bytes)
    }),
    { numRuns: 2_000 },
  )
})

/** Any RLP, canonical or nearly: short and long lengths where the other would do, lengths off by one, zeros in front. */
const nearlyRlp = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .chain((tail) =>
    fc
      .constantFrom(0x00, 0x7f, 0x80, 0x81, 0x82, 0xb7, 0xb8, 0xb9, 0xbf, 0xc0, 0xc1, 0xf7, 0xf8, 0xf9, 0xff)
      .map((first) => Uint8Array.from([first, ...tail])),
  )

test('an RLP item is accepted where it is the one encoding of its value, and nowhere else', () => {
  fc.assert(
    fc.property(nearlyRlp, (bytes) => {
      const cursor = { bytes, at: 0, end: bytes.length }
      const value = attempt(() => takeRlpString(cursor))
      if (value) expect(RLP.encode(value)).toEqual(bytes.slice(0, cursor.at))
    }),
    { numRuns: 2_000 },
  )
  const long = Uint8Array.from({ length: 300 }, (_, i) => i)
  for (const length of [0, 1, 2, 55, 56, 57, 255, 256, 300]) {
    const bytes = RLP.encode(long.slice(0, length))
    expect(attempt(() => takeRlpString({ bytes, at: 0, end: bytes.length }))).toEqual(long.slice(0, length))
  }
})

const MALFORMED: Readonly<Record<string, Hex>> = {
  'an integer with a leading zero': '0x820001',
  'zero as a byte': '0x00',
  'an integer beyond its width': '0x83010000',
  'a small byte with a length': '0x8101',
  'a short string with a long length': '0xb801ff',
  'a length with a leading zero': '0xb90001ff',
  'a length of five bytes': '0xbc0000000001',
  'a list in the place of a string': '0xc0',
  nothing: '0x',
}

for (const [what, bytes] of Object.entries(MALFORMED)) {
  test(`not an RLP uint16: ${what}`, () => {
    expect(attempt(() => takeRlpUint({ bytes: hexToBytes(bytes), at: 0, end: size(bytes) }, 16))).toBeUndefined()
  })
}

test('text that is not UTF-8, and fixed bytes of another length, are malformed', () => {
  const name = compileFields(parseAbiParameters('string name'))
  const tag = compileFields(parseAbiParameters('bytes4 tag'))
  const decode = <T>(one: { fromRlp(cursor: { bytes: Uint8Array; at: number; end: number }): T }, bytes: Uint8Array) =>
    attempt(() => one.fromRlp({ bytes, at: 0, end: bytes.length }))
  for (const bad of ['0xc328', '0xff', '0xe28228', '0xeda080', '0xc080']) {
    expect(decode(name, RLP.encode(bad as Hex))).toBeUndefined()
    expect(name.unpack(hexToBytes(concatHex([numberToHex(size(bad as Hex), { size: 2 }), bad as Hex])))).toBeUndefined()
  }
  expect(decode(name, RLP.encode('0xefbbbf61'))).toEqual({ name: '\ufeffa' })
  for (const length of [0, 3, 5]) expect(decode(tag, RLP.encode(new Uint8Array(length).fill(1)))).toBeUndefined()
})

test('a string, bytes or array longer than its packed length can say is malformed on the wire', () => {
  const blob = compileFields(parseAbiParameters('bytes blob'))
  const list = compileFields(parseAbiParameters('uint8[] list'))
  const decode = (item: Uint8Array | Uint8Array[], one: typeof blob | typeof list) => {
    const bytes = RLP.encode(item)
    return attempt(() => one.fromRlp({ bytes, at: 0, end: bytes.length }))
  }
  expect(decode(new Uint8Array(0xffff), blob)).toBeDefined()
  expect(decode(new Uint8Array(0x10000), blob)).toBeUndefined()
  const ones = (length: number) => Array.from({ length }, () => Uint8Array.of(1))
  expect(decode(ones(0xffff), list)).toBeDefined()
  expect(decode(ones(0x10000), list)).toBeUndefined()
})

test('a value that does not fit its field is our own mistake', () => {
  const one = compileFields(parseAbiParameters('uint16 a, uint96 b'))
  for (const value of [
    { a: 65_536, b: 0n },
    { a: -1, b: 0n },
    { a: 0, b: 2n ** 96n },
    { a: 0, b: -1n },
  ]) {
    expect(() => one.pack(value)).toThrow(AssertionError)
    expect(() => one.words(value)).toThrow(AssertionError)
  }
  const list = compileFields(parseAbiParameters('uint16[] a'))
  for (const wrong of [65_536, -1, Number.NaN, 1n as unknown as number]) {
    expect(() => list.pack({ a: [1, wrong] })).toThrow(AssertionError)
    expect(() => list.words({ a: [1, wrong] })).toThrow(AssertionError)
  }
})
