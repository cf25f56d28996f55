/** The codec of native transactions: pinned bytes, and what is no transaction. Spec: docs/spec/transactions.md#native-wire-form */
import { RLP } from '@ethereumjs/rlp'
import fc from 'fast-check'
import { type Abi, bytesToHex, decodeFunctionData, type Hex, hexToBytes, numberToBytes } from 'viem'
import { expect, test } from 'vitest'
import { creditsDoorAbi, datanetsDoorAbi, ledgerDoorAbi, modelsDoorAbi, workersDoorAbi } from '../../../execution/native/doorAbi.ts'
import {
  checkSigned,
  decodeNative,
  doorCallData,
  encodeNative,
  NATIVE_TYPES,
  nativeGas,
  nativeRowBytes,
  nativeTypeOf,
  type SignedNative,
  signaturesOf,
  signingHash,
  transactionHash,
} from '../../../execution/native/native.ts'
import { recoverAddress } from '../../../execution/recover.ts'
import { DOOR, TX_TYPE } from '../../../genesis/params.ts'
import vectorFile from '../../vectors/native.json' with { type: 'json' }
import { fieldsOf, makeVector, type Vector } from './vector.ts'

const vectors = vectorFile as readonly Vector[]
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const DOOR_ABIS: Readonly<Record<Hex, Abi>> = {
  [DOOR.ledger]: ledgerDoorAbi,
  [DOOR.datanets]: datanetsDoorAbi,
  [DOOR.models]: modelsDoorAbi,
  [DOOR.workers]: workersDoorAbi,
  [DOOR.credits]: creditsDoorAbi,
}

function decoded(vector: Vector): SignedNative {
  const tx = decodeNative(hexToBytes(vector.raw))
  expect(tx, vector.name).toBeDefined()
  return tx as SignedNative
}

test('every native type has a vector', () => {
  expect([...new Set(vectors.map(({ type }) => type))].sort()).toEqual(NATIVE_TYPES.map(({ name }) => name).sort())
})

for (const vector of vectors) {
  test(`vector "${vector.name}": ours and viem's bytes, hashes, sender, row, gas and call are these`, async () => {
    expect(await makeVector(vector)).toEqual(vector)
    const tx = decoded(vector)
    expect(tx).toMatchObject({ chainId: vector.chainId, nonce: BigInt(vector.nonce), maxFeeWei: BigInt(vector.maxFee) })
    expect(tx.type.name).toBe(vector.type)
    expect(tx.fields).toEqual(fieldsOf(vector))
    expect(bytesToHex(encodeNative(tx))).toBe(vector.raw)
    expect(transactionHash(encodeNative(tx))).toBe(vector.hash)
    expect(bytesToHex(signingHash(tx))).toBe(vector.signingHash)
    expect(recoverAddress(signingHash(tx), tx.signature)).toBe(vector.sender)
    expect(bytesToHex(tx.type.fields.pack(tx.fields))).toBe(vector.packed)
    expect(tx.type.fields.unpack(hexToBytes(vector.packed))).toEqual(tx.fields)
    const row = new Uint8Array(tx.type.row.bytes(tx.fields))
    tx.type.row.write(tx.fields, row, 0)
    expect(bytesToHex(row)).toBe(vector.row)
    expect(nativeRowBytes(tx)).toBe(vector.rowBytes)
    expect(nativeGas(tx)).toBe(BigInt(vector.gas))
    expect(doorCallData(tx)).toBe(vector.callData)
  })

  test(`vector "${vector.name}": an explorer with the door's ABI reads the same fields from the call`, () => {
    const { type, fields } = decoded(vector)
    const { functionName, args } = decodeFunctionData({ abi: DOOR_ABIS[type.door] ?? [], data: doorCallData({ type, fields }) })
    expect(functionName).toBe(type.functionName)
    const values = type.fields.parameters.map(({ name }) => fields[name ?? ''])
    expect(lowercase(args)).toEqual(values)
  })

  test(`vector "${vector.name}": cut anywhere, or with a byte more, it is no transaction`, () => {
    const raw = hexToBytes(vector.raw)
    for (let end = 0; end < raw.length; end++) expect(decodeNative(raw.subarray(0, end))).toBeUndefined()
    for (const more of [0x00, 0x80, 0xff]) expect(decodeNative(Uint8Array.from([...raw, more]))).toBeUndefined()
  })

  test(`vector "${vector.name}": no item may be missing, doubled, a list, too wide, or an integer with a zero before it`, () => {
    const items = RLP.decode(hexToBytes(vector.raw).subarray(1)) as Item[]
    for (const path of pathsOf(items)) {
      for (const change of CHANGES) expectNoOther(vector, change(items, path))
    }
    const integers = [0, 1, 2, items.length - 3, items.length - 2, items.length - 1]
    for (const i of integers) {
      const value = items[i] as Uint8Array
      const padded = items.with(i, Uint8Array.from([0, ...value]))
      expect(decodeNative(wireOf(vector, padded))).toBeUndefined()
      expect(decodeNative(wireOf(vector, items.with(i, new Uint8Array(33).fill(1))))).toBeUndefined()
    }
  })

  test(`vector "${vector.name}": a high s, or a parity that is none, is malformed`, () => {
    const tx = decoded(vector)
    const s = ORDER - BigInt(bytesToHex(tx.signature.s))
    const yParity = tx.signature.yParity === 1 ? 0 : 1
    expect(
      decodeNative(encodeNative({ ...tx, signature: { ...tx.signature, yParity, s: numberToBytes(s, { size: 32 }) } })),
    ).toBeUndefined()
    const items = RLP.decode(hexToBytes(vector.raw).subarray(1)) as Item[]
    for (const parity of [2, 27, 255]) {
      expect(decodeNative(wireOf(vector, items.with(-3, Uint8Array.of(parity))))).toBeUndefined()
    }
  })
}

type Item = Uint8Array | Item[]
type Path = readonly number[]

/** addresses as our fields have them; viem answers with checksums. */
function lowercase(value: unknown): unknown {
  if (typeof value === 'string') return /^0x[0-9a-fA-F]{40}$/.test(value) ? value.toLowerCase() : value
  if (Array.isArray(value)) return value.map(lowercase)
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, lowercase(one)]))
  return value
}

function wireOf(vector: Vector, items: Item[]): Uint8Array {
  return Uint8Array.from([hexToBytes(vector.raw)[0] ?? 0, ...RLP.encode(items)])
}

/** Every place in nested items. */
function pathsOf(items: Item[], above: Path = []): Path[] {
  return items.flatMap((item, i) => [[...above, i], ...(Array.isArray(item) ? pathsOf(item, [...above, i]) : [])])
}

/** The items with the one at the path replaced by any number of others. */
function splice(items: Item[], [first = 0, ...rest]: Path, replace: (item: Item) => Item[]): Item[] {
  const item = items[first]
  if (item === undefined) return items
  const inside = rest.length === 0 ? replace(item) : [splice(item as Item[], rest, replace)]
  return items.toSpliced(first, 1, ...inside)
}

const CHANGES: readonly ((items: Item[], path: Path) => Item[])[] = [
  (items, path) => splice(items, path, () => []),
  (items, path) => splice(items, path, (item) => [item, item]),
  (items, path) => splice(items, path, () => [[]]),
  (items, path) => splice(items, path, (item) => [[item]]),
  (items, path) => splice(items, path, () => [new Uint8Array()]),
  (items, path) => splice(items, path, () => [new Uint8Array(33).fill(0xff)]),
  (items, path) => splice(items, path, (item) => [Array.isArray(item) ? [...item, Uint8Array.of(1)] : Uint8Array.from([0, ...item])]),
]

/** What is decoded at all is another transaction, with these bytes as its one encoding and its own hash. */
function expectNoOther(vector: Vector, items: Item[]): void {
  const raw = wireOf(vector, items)
  const tx = decodeNative(raw)
  if (!tx) return
  expect(bytesToHex(encodeNative(tx))).toBe(bytesToHex(raw))
  if (bytesToHex(raw) !== vector.raw) expect(recoverAddress(signingHash(tx), tx.signature)).not.toBe(vector.sender)
}

test('signers that were recovered ahead stand for their signatures, in their order', () => {
  for (const vector of vectors) {
    const tx = decoded(vector)
    const signers = signaturesOf(tx).map(({ digest, signature }) => recoverAddress(digest, signature))
    expect(signers.length).toBe(1 + (Array.isArray(tx.fields.draws) ? tx.fields.draws.length : 0))
    expect(checkSigned(tx, signers)).toEqual(checkSigned(tx))
    if (!checkSigned(tx).ok) continue // fields out of bounds on purpose
    expect(checkSigned(tx, signers)).toEqual({ ok: true, sender: vector.sender })
    expect(checkSigned(tx, [undefined, ...signers.slice(1)])).toMatchObject({ code: 'badSignature', invalid: true })
    for (let i = 1; i < signers.length; i++) {
      expect(checkSigned(tx, signers.with(i, undefined))).toMatchObject({ code: 'badVoucher', invalid: true })
      expect(checkSigned(tx, signers.with(i, vector.sender))).toMatchObject({ code: 'badVoucher', invalid: true })
    }
  }
})

test('bytes of any other type are no native transaction', () => {
  const native: readonly number[] = NATIVE_TYPES.map(({ byte }) => byte)
  const [vector] = vectors
  for (let byte = 0; byte <= 255; byte++) {
    expect(nativeTypeOf(byte)?.byte).toBe(native.includes(byte) ? byte : undefined)
    if (native.includes(byte) || !vector) continue
    expect(decodeNative(Uint8Array.from([byte, ...hexToBytes(vector.raw).subarray(1)]))).toBeUndefined()
  }
  expect(decodeNative(new Uint8Array())).toBeUndefined()
  const { deposit, paramSet, evidenceReport, ...ours } = TX_TYPE
  expect(native.toSorted()).toEqual(Object.values(ours).toSorted())
  for (const other of [deposit, paramSet, evidenceReport]) expect(native).not.toContain(other)
})

/** That the bytes are the one encoding of a transaction or none, and that neither question nor its checks throw. */
function expectOneEncoding(raw: Uint8Array): void {
  const tx = decodeNative(raw)
  if (!tx) return
  expect(encodeNative(tx)).toEqual(raw)
  nativeGas(tx)
  signingHash(tx)
  doorCallData(tx)
  tx.type.check(tx.fields, tx.chainId)
  expect(tx.type.fields.unpack(tx.type.fields.pack(tx.fields))).toEqual(tx.fields)
}

test('arbitrary bytes behind a type byte never throw, and have one encoding', () => {
  const byte = fc.constantFrom(...NATIVE_TYPES.map((type) => type.byte))
  fc.assert(
    fc.property(byte, fc.uint8Array({ maxLength: 200 }), (type, bytes) => expectOneEncoding(Uint8Array.from([type, ...bytes]))),
    { numRuns: 3_000 },
  )
})

test('transactions with bytes changed, moved or missing never throw, and have one encoding', () => {
  const change = fc.record({ at: fc.nat(), byte: fc.nat(255), kind: fc.constantFrom('set', 'insert', 'remove') })
  fc.assert(
    fc.property(fc.constantFrom(...vectors), fc.array(change, { minLength: 1, maxLength: 4 }), ({ raw }, changes) => {
      let bytes = [...hexToBytes(raw)]
      for (const { at, byte, kind } of changes) {
        const place = at % bytes.length
        if (kind === 'set') bytes = bytes.with(place, byte)
        else bytes = bytes.toSpliced(place, kind === 'remove' ? 1 : 0, ...(kind === 'insert' ? [byte] : []))
      }
      expectOneEncoding(Uint8Array.from(bytes))
    }),
    { numRuns: 5_000 },
  )
})

/** Arbitrary RLP lists of the length that a type has, so that the fields themselves are reached. */
const rlpItem: fc.Arbitrary<Item> = fc.letrec<{ item: Item }>((tie) => ({
  item: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.uint8Array({ maxLength: 4 }),
    fc.constantFrom(new Uint8Array(20).fill(1), new Uint8Array(32).fill(2), new Uint8Array(65).fill(3), Uint8Array.of(1), new Uint8Array()),
    fc.array(tie('item'), { maxLength: 12 }),
  ),
})).item

test('arbitrary lists of items never throw, and have one encoding', () => {
  const lists = fc.constantFrom(...NATIVE_TYPES).chain((type) => {
    const length = type.fields.parameters.length + 6
    return fc.tuple(fc.constant(type.byte), fc.array(rlpItem, { minLength: length, maxLength: length }))
  })
  fc.assert(
    fc.property(lists, ([byte, items]) => expectOneEncoding(Uint8Array.from([byte, ...RLP.encode(items)]))),
    { numRuns: 3_000 },
  )
})

test('a chain id above 48 bits is malformed', () => {
  for (const vector of vectors.slice(0, 1)) {
    const items = RLP.decode(hexToBytes(vector.raw).subarray(1)) as Item[]
    expect(decodeNative(wireOf(vector, items.with(0, new Uint8Array(6).fill(0xff))))?.chainId).toBe(2 ** 48 - 1)
    expect(decodeNative(wireOf(vector, items.with(0, Uint8Array.from([1, 0, 0, 0, 0, 0, 0]))))).toBeUndefined()
  }
})
