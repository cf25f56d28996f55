/**
 * Fields: one description of a record's members, four forms of it.
 *
 * A list of ABI parameters (as viem parses them from `'uint32 datanetId, bytes32 contentRoot'`) is compiled into a coder for
 * - RLP: a transaction's wire form (strict: one value has one encoding),
 * - packed: rows on L1 and ledger records (fixed widths; string, bytes and arrays have a uint16 length before them),
 * - EIP-712: what a wallet signs.
 * Calls and logs use the same parameters through viem's ABI functions.
 *
 * Values are viem's: number up to 48 bits, else bigint; addresses and bytesN lowercase hex; bytes hex; structs objects.
 * Spec: docs/spec/transactions.md#native-wire-form, docs/spec/batch.md#rows, docs/spec/ledger.md#tables
 */
import { type AbiParameter, type AbiParameterToPrimitiveType, bytesToHex, hexToBytes, numberToBytes, stringToBytes } from 'viem'
import { assert } from './assert.ts'
import { keccak256 } from './keccak.ts'

/** The object that a list of named parameters describes. */
export type FieldsOf<P extends readonly AbiParameter[]> = {
  readonly [Q in P[number] as Q['name'] & string]: AbiParameterToPrimitiveType<Q>
}

/** A read position in somebody else's bytes. Reading past the end throws `Malformed`, which the decoders below turn into a verdict. */
export type Cursor = { readonly bytes: Uint8Array; at: number; readonly end: number }

/** The bytes are not what the format says. Thrown inside decoders only; callers of this file see `undefined`. */
class Malformed extends Error {
  override readonly name = 'Malformed'
}

type RlpItem = Uint8Array | RlpItem[]

type Coder = {
  /** EIP-712 type, such as `uint96` or `Draw[]`. */
  readonly typeName: string
  /** EIP-712 definitions of the structs inside, by name. */
  readonly structs: ReadonlyMap<string, string>
  toRlp(value: unknown): RlpItem
  fromRlp(cursor: Cursor): unknown
  packedBytes(value: unknown): number
  pack(value: unknown, out: Uint8Array, at: number): number
  unpack(cursor: Cursor): unknown
  /** The 32 bytes that stand for the value in EIP-712's encodeData. */
  word(value: unknown): Uint8Array
}

/** A compiled list of fields. `T` is the object they describe. */
export type Fields<T> = {
  readonly parameters: readonly AbiParameter[]
  /** EIP-712 `encodeType` of a struct of this name whose first members are `extra`, and of the structs it refers to. */
  encodeType(name: string, extra?: string): string
  /** The concatenated EIP-712 words of the members. */
  words(value: T): Uint8Array
  toRlp(value: T): RlpItem[]
  /** Reads the members one after another; throws `Malformed`. Call through `attempt`. */
  fromRlp(cursor: Cursor): T
  pack(value: T): Uint8Array
  packedBytes(value: T): number
  /** Reads a packed value that fills the bytes exactly; undefined if they are malformed. */
  unpack(bytes: Uint8Array): T | undefined
  /** Reads a packed value and moves on; throws `Malformed`. Call through `attempt`. */
  unpackFrom(cursor: Cursor): T
}

/** Runs a decoder: its value, or undefined where the bytes were malformed. Any other error is ours and goes on up. */
export function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

/** Compiles parameters. `structNames` gives each struct-typed parameter, by its name, the name of its EIP-712 type. */
export function compileFields<const P extends readonly AbiParameter[]>(
  parameters: P,
  structNames: Readonly<Record<string, string>> = {},
): Fields<FieldsOf<P>> {
  const tuple = tupleCoder(parameters, '', structNames)
  const members = parameters.map((parameter) => ({ name: parameter.name ?? '', coder: compile(parameter, structNames) }))
  return {
    parameters,
    encodeType: (name, extra) => {
      const own = [...(extra ? [extra] : []), ...members.map((m) => `${m.coder.typeName} ${m.name}`)]
      const structs = new Map(members.flatMap((m) => [...m.coder.structs]))
      return `${name}(${own.join(',')})${[...structs.keys()]
        .sort()
        .map((key) => structs.get(key))
        .join('')}`
    },
    words: (value) => concat(members.map((m) => m.coder.word(member(value, m.name)))),
    toRlp: (value) => tuple.toRlp(value) as RlpItem[],
    fromRlp: (cursor) => readMembers(members, cursor, 'fromRlp') as FieldsOf<P>,
    pack: (value) => {
      const out = new Uint8Array(tuple.packedBytes(value))
      tuple.pack(value, out, 0)
      return out
    },
    packedBytes: (value) => tuple.packedBytes(value),
    unpack: (bytes) =>
      attempt(() => {
        const cursor = { bytes, at: 0, end: bytes.length }
        const value = tuple.unpack(cursor) as FieldsOf<P>
        if (cursor.at !== cursor.end) throw new Malformed()
        return value
      }),
    unpackFrom: (cursor) => tuple.unpack(cursor) as FieldsOf<P>,
  }
}

/** The next `length` bytes of the cursor. Throws `Malformed` at the end. */
export function take(cursor: Cursor, length: number): Uint8Array {
  if (cursor.at + length > cursor.end) throw new Malformed()
  const from = cursor.at
  cursor.at += length
  return cursor.bytes.subarray(from, cursor.at)
}

/** A big-endian integer of `length` bytes (at most 6). Throws `Malformed` at the end. */
export function takeUint(cursor: Cursor, length: number): number {
  let value = 0
  for (const byte of take(cursor, length)) value = value * 256 + byte
  return value
}

/** A big-endian integer of `length` bytes. Throws `Malformed` at the end. */
export function takeBigUint(cursor: Cursor, length: number): bigint {
  return toBigUint(take(cursor, length))
}

/** The payload of the RLP list that stands at the cursor. Throws `Malformed`. Source: Ethereum Yellow Paper, appendix B. */
export function takeRlpList(cursor: Cursor): Cursor {
  const item = takeRlp(cursor)
  if (!item.isList) throw new Malformed()
  return { bytes: cursor.bytes, at: item.from, end: item.to }
}

/** The RLP string that stands at the cursor. Throws `Malformed`. */
export function takeRlpString(cursor: Cursor): Uint8Array {
  const item = takeRlp(cursor)
  if (item.isList) throw new Malformed()
  return cursor.bytes.subarray(item.from, item.to)
}

/** An RLP integer: no leading zeros, at most `bits` wide. Throws `Malformed`. */
export function takeRlpUint(cursor: Cursor, bits: number): bigint {
  const bytes = takeRlpString(cursor)
  if (bytes[0] === 0 || bytes.length * 8 > bits) throw new Malformed()
  return toBigUint(bytes)
}

/** Ends a decoder that found a rule of its own broken. */
export function malformed(): never {
  throw new Malformed()
}

function takeRlp(cursor: Cursor): { isList: boolean; from: number; to: number } {
  const first = takeUint(cursor, 1)
  if (first < 0x80) return { isList: false, from: cursor.at - 1, to: cursor.at }
  const isList = first >= 0xc0
  const short = first - (isList ? 0xc0 : 0x80)
  let length = short
  if (short > 55) {
    const lengthBytes = take(cursor, short - 55)
    if (lengthBytes.length > 4 || lengthBytes[0] === 0) throw new Malformed()
    length = 0
    for (const byte of lengthBytes) length = length * 256 + byte
    if (length < 56) throw new Malformed()
  }
  const from = cursor.at
  const payload = take(cursor, length)
  if (!isList && length === 1 && (payload[0] ?? 0) < 0x80) throw new Malformed() // such a byte stands for itself
  return { isList, from, to: cursor.at }
}

function compile(parameter: AbiParameter, structNames: Readonly<Record<string, string>>): Coder {
  const { type } = parameter
  if (type.endsWith('[]')) return arrayCoder(compile({ ...parameter, type: type.slice(0, -2) }, structNames))
  if (type === 'tuple') {
    assert('components' in parameter && parameter.name !== undefined)
    const structName = structNames[parameter.name]
    assert(structName, `struct ${parameter.name} has no name`)
    return tupleCoder(parameter.components, structName, structNames)
  }
  if (type === 'address') return fixedBytesCoder('address', 20)
  if (type === 'string') return stringCoder
  if (type === 'bytes') return bytesCoder
  if (type.startsWith('bytes')) return fixedBytesCoder(type, Number(type.slice(5)))
  assert(type.startsWith('uint'), `field type ${type} has no coder`)
  return uintCoder(Number(type.slice(4)))
}

/** Longest string, bytes or array: its length has to fit the packed form, so that whatever has a wire form has a row. */
const PACKED_LENGTH_MAX = 0xffff

const NO_STRUCTS: ReadonlyMap<string, string> = new Map()

function uintCoder(bits: number): Coder {
  const length = bits / 8
  const small = bits <= 48
  const wrap = (value: bigint) => (small ? Number(value) : value)
  return {
    typeName: `uint${bits}`,
    structs: NO_STRUCTS,
    toRlp: (value) => {
      const n = BigInt(value as number | bigint)
      return n === 0n ? new Uint8Array() : numberToBytes(n)
    },
    fromRlp: (cursor) => wrap(takeRlpUint(cursor, bits)),
    packedBytes: () => length,
    pack: (value, out, at) => {
      writeUint(out, at, length, value as number | bigint)
      return at + length
    },
    unpack: (cursor) => (small ? takeUint(cursor, length) : takeBigUint(cursor, length)),
    word: (value) => {
      const out = new Uint8Array(32)
      writeUint(out, 32 - length, length, value as number | bigint)
      return out
    },
  }
}

function fixedBytesCoder(typeName: string, length: number): Coder {
  const exact = (bytes: Uint8Array) => (bytes.length === length ? bytesToHex(bytes) : malformed())
  return {
    typeName,
    structs: NO_STRUCTS,
    toRlp: (value) => hexToBytes(value as `0x${string}`),
    fromRlp: (cursor) => exact(takeRlpString(cursor)),
    packedBytes: () => length,
    pack: (value, out, at) => {
      out.set(hexToBytes(value as `0x${string}`), at)
      return at + length
    },
    unpack: (cursor) => bytesToHex(take(cursor, length)),
    word: (value) => {
      const out = new Uint8Array(32)
      out.set(hexToBytes(value as `0x${string}`), typeName === 'address' ? 12 : 0) // bytesN stands left, an address right
      return out
    },
  }
}

/** Bytes of any length: the two types differ only in what a value is and whether it must be UTF-8. */
function variableCoder(typeName: string, toBytes: (value: unknown) => Uint8Array, fromBytes: (bytes: Uint8Array) => unknown): Coder {
  return {
    typeName,
    structs: NO_STRUCTS,
    toRlp: toBytes,
    fromRlp: (cursor) => {
      const bytes = takeRlpString(cursor)
      return bytes.length > PACKED_LENGTH_MAX ? malformed() : fromBytes(bytes)
    },
    packedBytes: (value) => 2 + toBytes(value).length,
    pack: (value, out, at) => {
      const bytes = toBytes(value)
      writeUint(out, at, 2, bytes.length)
      out.set(bytes, at + 2)
      return at + 2 + bytes.length
    },
    unpack: (cursor) => fromBytes(take(cursor, takeUint(cursor, 2))),
    word: (value) => keccak256(toBytes(value)),
  }
}

const bytesCoder = variableCoder(
  'bytes',
  (value) => hexToBytes(value as `0x${string}`),
  (bytes) => bytesToHex(bytes),
)

const stringCoder = variableCoder('string', (value) => stringToBytes(value as string), decodeUtf8)

/** The text that the bytes spell. Throws `Malformed` for bytes that are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return malformed() // a fatal decoder throws for bytes that are not UTF-8, and for nothing else
  }
}

function arrayCoder(item: Coder): Coder {
  return {
    typeName: `${item.typeName}[]`,
    structs: item.structs,
    toRlp: (value) => (value as unknown[]).map((one) => item.toRlp(one)),
    fromRlp: (cursor) => {
      const list = takeRlpList(cursor)
      const out: unknown[] = []
      while (list.at < list.end) out.push(item.fromRlp(list)) // ends: every item is at least one byte long
      return out.length > PACKED_LENGTH_MAX ? malformed() : out
    },
    packedBytes: (value) => (value as unknown[]).reduce((sum: number, one) => sum + item.packedBytes(one), 2),
    pack: (value, out, at) => {
      const list = value as unknown[]
      writeUint(out, at, 2, list.length)
      return list.reduce((next: number, one) => item.pack(one, out, next), at + 2)
    },
    unpack: (cursor) => Array.from({ length: takeUint(cursor, 2) }, () => item.unpack(cursor)),
    word: (value) => keccak256(concat((value as unknown[]).map((one) => item.word(one)))),
  }
}

function tupleCoder(parameters: readonly AbiParameter[], typeName: string, structNames: Readonly<Record<string, string>>): Coder {
  const members = parameters.map((parameter) => ({ name: parameter.name ?? '', coder: compile(parameter, structNames) }))
  const definition = `${typeName}(${members.map((m) => `${m.coder.typeName} ${m.name}`).join(',')})`
  const structs = new Map([[typeName, definition], ...members.flatMap((m) => [...m.coder.structs])])
  const encodeType =
    definition +
    [...structs.keys()]
      .filter((key) => key !== typeName)
      .sort()
      .map((key) => structs.get(key))
      .join('')
  const typeHash = keccak256(stringToBytes(encodeType))
  return {
    typeName,
    structs,
    toRlp: (value) => members.map((m) => m.coder.toRlp(member(value, m.name))),
    fromRlp: (cursor) => {
      const list = takeRlpList(cursor)
      const value = readMembers(members, list, 'fromRlp')
      if (list.at !== list.end) throw new Malformed()
      return value
    },
    packedBytes: (value) => members.reduce((sum, m) => sum + m.coder.packedBytes(member(value, m.name)), 0),
    pack: (value, out, at) => members.reduce((next, m) => m.coder.pack(member(value, m.name), out, next), at),
    unpack: (cursor) => readMembers(members, cursor, 'unpack'),
    word: (value) => keccak256(concat([typeHash, ...members.map((m) => m.coder.word(member(value, m.name)))])),
  }
}

function readMembers(
  members: readonly { name: string; coder: Coder }[],
  cursor: Cursor,
  form: 'fromRlp' | 'unpack',
): Record<string, unknown> {
  const value: Record<string, unknown> = {}
  for (const { name, coder } of members) value[name] = coder[form](cursor)
  return value
}

function member(value: unknown, name: string): unknown {
  return (value as Record<string, unknown>)[name]
}

function toBigUint(bytes: Uint8Array): bigint {
  let value = 0n
  let at = 0
  for (; at + 6 <= bytes.length; at += 6) value = (value << 48n) | BigInt(sixBytes(bytes, at))
  for (; at < bytes.length; at++) value = (value << 8n) | BigInt(bytes[at] ?? 0)
  return value
}

function sixBytes(bytes: Uint8Array, at: number): number {
  let value = 0
  for (let i = at; i < at + 6; i++) value = value * 256 + (bytes[i] ?? 0)
  return value
}

function writeUint(out: Uint8Array, at: number, length: number, value: number | bigint): void {
  if (typeof value === 'number') {
    let rest = value
    for (let i = at + length - 1; i >= at; i--) {
      out[i] = rest % 256
      rest = Math.floor(rest / 256)
    }
    assert(rest === 0 && value >= 0, 'integer does not fit its field')
    return
  }
  let rest = value
  for (let i = at + length - 1; i >= at; i--) {
    out[i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  assert(rest === 0n, 'integer does not fit its field')
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
