/**
 * Fields: one description of a record's members, four forms of it.
 *
 * A list of ABI parameters (as viem parses them from `'uint32 datanetId, bytes32 contentRoot'`) is compiled into a coder for
 * - RLP: a transaction's wire form (strict: one value has one encoding),
 * - packed: ledger records, and what is hashed with them (fixed widths; string, bytes and arrays have a uint16 length before them),
 * - EIP-712: what a wallet signs.
 * Calls and logs use the same parameters through viem's ABI functions.
 *
 * Values are viem's: number up to 48 bits, else bigint; addresses and bytesN lowercase hex; bytes hex; structs objects.
 * Spec: docs/spec/transactions.md#native-wire-form, docs/spec/ledger.md#tables
 */
import { type AbiParameter, type AbiParameterToPrimitiveType, type Hex, stringToBytes } from 'viem'
import { assert } from './assert.ts'
import { fromHex, hexBytes, toHex, writeHex } from './hex.ts'
import { keccak256, writeKeccak256 } from './keccak.ts'
import type { RlpItem } from './rlp.ts'

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

/** Coders write into arrays that are there and tell positions apart by numbers: an array a value would cost more than what is done with it. */
type Coder = {
  /** EIP-712 type, such as `uint96` or `Draw[]`. */
  readonly typeName: string
  /** EIP-712 definitions of the structs inside, by name. */
  readonly structs: ReadonlyMap<string, string>
  /** Length of the packed form, where every value has the same. */
  readonly fixedBytes: number | undefined
  /** Whether values are numbers, of `fixedBytes` bytes each. */
  readonly isNumber?: boolean
  toRlp(value: unknown): RlpItem
  fromRlp(cursor: Cursor): unknown
  packedBytes(value: unknown): number
  pack(value: unknown, out: Uint8Array, at: number): number
  unpack(cursor: Cursor): unknown
  /** Writes the 32 bytes that stand for the value in EIP-712's encodeData, where there are zeros. */
  writeWord(value: unknown, out: Uint8Array, at: number): void
}

/** A compiled list of fields. `T` is the object they describe. */
export type Fields<T> = {
  readonly parameters: readonly AbiParameter[]
  /** EIP-712 `encodeType` of a struct of this name whose first members are `extra`, and of the structs it refers to. */
  encodeType(name: string, extra?: string): string
  /** The concatenated EIP-712 words of the members. */
  words(value: T): Uint8Array
  /** Writes the words at `at`, over anything; answers where the next ones go. */
  writeWords(value: T, out: Uint8Array, at: number): number
  /** Length of the words. */
  readonly wordsBytes: number
  toRlp(value: T): RlpItem[]
  /** Reads the members one after another; throws `Malformed`. Call through `attempt`. */
  fromRlp(cursor: Cursor): T
  pack(value: T): Uint8Array
  /** Writes the packed form at `at`; answers where the next one goes. */
  packInto(value: T, out: Uint8Array, at: number): number
  packedBytes(value: T): number
  /** keccak256 of the packed form. */
  packedHash(value: T): Uint8Array
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
  const blank = blankOf(members)
  const writeWords = (value: FieldsOf<P>, out: Uint8Array, at: number) => writeMemberWords(members, value, out, at)
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
    words: (value) => {
      const out = new Uint8Array(members.length * 32)
      writeWords(value, out, 0)
      return out
    },
    writeWords,
    wordsBytes: members.length * 32,
    toRlp: (value) => tuple.toRlp(value) as RlpItem[],
    fromRlp: (cursor) => readRlpMembers(members, cursor, { ...blank }) as FieldsOf<P>,
    pack: (value) => {
      const out = new Uint8Array(tuple.packedBytes(value))
      tuple.pack(value, out, 0)
      return out
    },
    packInto: (value, out, at) => tuple.pack(value, out, at),
    packedBytes: (value) => tuple.packedBytes(value),
    packedHash: (value) => {
      const bytes = tuple.packedBytes(value)
      const out = bytes > hashInput.length ? new Uint8Array(bytes) : hashInput.subarray(0, bytes)
      tuple.pack(value, out, 0)
      return keccak256(out)
    },
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
  const from = skip(cursor, length)
  return cursor.bytes.subarray(from, cursor.at)
}

/** A big-endian integer of `length` bytes (at most 6). Throws `Malformed` at the end. */
export function takeUint(cursor: Cursor, length: number): number {
  const from = skip(cursor, length)
  return readUint(cursor.bytes, from, cursor.at)
}

/** A big-endian integer of `length` bytes. Throws `Malformed` at the end. */
export function takeBigUint(cursor: Cursor, length: number): bigint {
  const from = skip(cursor, length)
  return readBigUint(cursor.bytes, from, cursor.at)
}

/** The payload of the RLP list that stands at the cursor. Throws `Malformed`. Source: Ethereum Yellow Paper, appendix B. */
export function takeRlpList(cursor: Cursor): Cursor {
  const first = cursor.bytes[skip(cursor, 1)] ?? 0
  if (first < 0xc0) throw new Malformed()
  const at = skipRlpPayload(cursor, first - 0xc0)
  return { bytes: cursor.bytes, at, end: cursor.at }
}

/** The RLP string that stands at the cursor. Throws `Malformed`. */
export function takeRlpString(cursor: Cursor): Uint8Array {
  const from = skipRlpString(cursor)
  return cursor.bytes.subarray(from, cursor.at)
}

/** An RLP integer: no leading zeros, at most `bits` wide. Throws `Malformed`. */
export function takeRlpUint(cursor: Cursor, bits: number): bigint {
  const from = skipRlpUint(cursor, bits)
  return readBigUint(cursor.bytes, from, cursor.at)
}

/** Ends a decoder that found a rule of its own broken. */
export function malformed(): never {
  throw new Malformed()
}

// ---- positions: what the cursor goes past lies from the answer up to where it stands then -------------------------------------------

function skip(cursor: Cursor, length: number): number {
  const from = cursor.at
  if (from + length > cursor.end) throw new Malformed()
  cursor.at = from + length
  return from
}

function skipRlpUint(cursor: Cursor, bits: number): number {
  const from = skipRlpString(cursor)
  const length = cursor.at - from
  if (length > 0 && (cursor.bytes[from] === 0 || length * 8 > bits)) throw new Malformed()
  return from
}

function skipRlpString(cursor: Cursor): number {
  const head = skip(cursor, 1)
  const first = cursor.bytes[head] ?? 0
  if (first < 0x80) return head // such a byte stands for itself
  if (first >= 0xc0) throw new Malformed()
  const from = skipRlpPayload(cursor, first - 0x80)
  if (cursor.at - from === 1 && (cursor.bytes[from] ?? 0) < 0x80) throw new Malformed()
  return from
}

/** `short`: the length, or 55 and how many bytes of length follow. */
function skipRlpPayload(cursor: Cursor, short: number): number {
  if (short <= 55) return skip(cursor, short)
  const lengthFrom = skip(cursor, short - 55)
  if (short > 59 || cursor.bytes[lengthFrom] === 0) throw new Malformed()
  const length = readUint(cursor.bytes, lengthFrom, cursor.at)
  if (length < 56) throw new Malformed()
  return skip(cursor, length)
}

// ---- coders -------------------------------------------------------------------------------------------------------------------------

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

/** Longest string, bytes or array: its length has to fit the packed form. */
const PACKED_LENGTH_MAX = 0xffff

const NO_STRUCTS: ReadonlyMap<string, string> = new Map()

function uintCoder(bits: number): Coder {
  const length = bits / 8
  const isSmall = bits <= 48
  const limit = 2n ** BigInt(bits)
  const numberLimit = Number(limit)
  const read = isSmall ? readUint : readBigUint
  const write = (value: unknown, out: Uint8Array, at: number) => {
    if (typeof value === 'number') {
      assert(value >= 0 && value < numberLimit, 'integer does not fit its field')
      writeUint(out, at, length, value)
      return
    }
    assert(typeof value === 'bigint' && value >= 0n && value < limit, 'integer does not fit its field')
    writeBigUint(out, at, length, value)
  }
  return {
    typeName: `uint${bits}`,
    structs: NO_STRUCTS,
    fixedBytes: length,
    isNumber: isSmall,
    toRlp: (value) => BigInt(value as number | bigint),
    fromRlp: (cursor) => {
      const from = skipRlpUint(cursor, bits)
      return read(cursor.bytes, from, cursor.at)
    },
    packedBytes: () => length,
    pack: (value, out, at) => {
      write(value, out, at)
      return at + length
    },
    unpack: (cursor) => {
      const from = skip(cursor, length)
      return read(cursor.bytes, from, cursor.at)
    },
    writeWord: (value, out, at) => write(value, out, at + 32 - length),
  }
}

function fixedBytesCoder(typeName: string, length: number): Coder {
  const wordAt = typeName === 'address' ? 12 : 0 // bytesN stands left, an address right
  const write = (value: unknown, out: Uint8Array, at: number) => {
    const end = writeHex(value as string, out, at)
    assert(end === at + length, 'hex is not as long as its field')
    return end
  }
  return {
    typeName,
    structs: NO_STRUCTS,
    fixedBytes: length,
    toRlp: (value) => value as Hex,
    fromRlp: (cursor) => {
      const from = skipRlpString(cursor)
      return cursor.at - from === length ? toHex(cursor.bytes, from, cursor.at) : malformed()
    },
    packedBytes: () => length,
    pack: write,
    unpack: (cursor) => {
      const from = skip(cursor, length)
      return toHex(cursor.bytes, from, cursor.at)
    },
    writeWord: (value, out, at) => {
      write(value, out, at + wordAt)
    },
  }
}

/** What tells the two types of any length apart: what a value is, and whether it must be UTF-8. */
type Variable = {
  readonly lengthOf: (value: unknown) => number
  readonly toBytes: (value: unknown) => Uint8Array
  /** Writes the bytes where there is room for them. */
  readonly write: (value: unknown, out: Uint8Array, at: number) => void
  /** The bytes from one place to before the other. Throws `Malformed`. */
  readonly read: (bytes: Uint8Array, from: number, to: number) => unknown
}

function variableCoder(typeName: string, { lengthOf, toBytes, write, read }: Variable): Coder {
  return {
    typeName,
    structs: NO_STRUCTS,
    fixedBytes: undefined,
    toRlp: toBytes,
    fromRlp: (cursor) => {
      const from = skipRlpString(cursor)
      return cursor.at - from > PACKED_LENGTH_MAX ? malformed() : read(cursor.bytes, from, cursor.at)
    },
    packedBytes: (value) => 2 + lengthOf(value),
    pack: (value, out, at) => {
      const length = lengthOf(value)
      assert(length <= PACKED_LENGTH_MAX, 'bytes are longer than a field holds')
      writeUint(out, at, 2, length)
      write(value, out, at + 2)
      return at + 2 + length
    },
    unpack: (cursor) => {
      const length = takeUint(cursor, 2)
      const from = skip(cursor, length)
      return read(cursor.bytes, from, cursor.at)
    },
    writeWord: (value, out, at) => writeKeccak256(toBytes(value), out, at),
  }
}

const heldBytesCoder = variableCoder('bytes', {
  lengthOf: (value) => hexBytes(value as string),
  toBytes: (value) => fromHex(value as string),
  write: (value, out, at) => {
    writeHex(value as string, out, at)
  },
  read: toHex,
})

/** Of bytes that stand elsewhere the hash is enough for what is signed (execution/rowFields.ts, `Attachment`). */
const bytesCoder: Coder = {
  ...heldBytesCoder,
  writeWord(value, out, at) {
    if (typeof value === 'string') heldBytesCoder.writeWord(value, out, at)
    else writeHex((value as { readonly hash: Hex }).hash, out, at)
  },
}

const stringCoder = variableCoder('string', {
  lengthOf: (value) => utf8Length(value as string),
  toBytes: (value) => encodeUtf8(value as string),
  write: (value, out, at) => writeUtf8(value as string, out, at),
  read: readUtf8,
})

/** Names are short and mostly ASCII: those are done here, for a call of the platform's encoder costs more than all their letters. */
const SHORT_LETTERS = 64
const utf8Encoder = new TextEncoder()
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function isShortAscii(text: string): boolean {
  if (text.length > SHORT_LETTERS) return false
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

/** Length of the text in UTF-8, in bytes. */
export function utf8Length(text: string): number {
  return isShortAscii(text) ? text.length : utf8Encoder.encode(text).length
}

/** The text in UTF-8. */
export function encodeUtf8(text: string): Uint8Array {
  if (!isShortAscii(text)) return utf8Encoder.encode(text)
  const bytes = new Uint8Array(text.length)
  writeUtf8(text, bytes, 0)
  return bytes
}

/** Writes the text in UTF-8 where there is room for it. */
function writeUtf8(text: string, out: Uint8Array, at: number): void {
  if (isShortAscii(text)) for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i)
  else out.set(utf8Encoder.encode(text), at)
}

/** The text that the bytes spell. Throws `Malformed` for bytes that are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  return readUtf8(bytes, 0, bytes.length)
}

/** Letters of one text after another, as many as it has: an array's own iterator would make an object of each. */
const lettersOf = Array.from({ length: SHORT_LETTERS + 1 }, (_, length) => new Array<number>(length).fill(0))

function readUtf8(bytes: Uint8Array, from: number, to: number): string {
  const letters = lettersOf[to - from]
  let at = from
  for (; letters && at < to; at++) {
    const letter = bytes[at] ?? 0
    if (letter > 0x7f) break
    letters[at - from] = letter
  }
  if (letters && at === to) return String.fromCharCode(...letters)
  try {
    return utf8Decoder.decode(bytes.subarray(from, to))
  } catch {
    return malformed() // a fatal decoder throws for bytes that are not UTF-8, and for nothing else
  }
}

/** Words of an array that are kept for the next one, at most: 64 KiB. */
const WORDS_KEPT_MAX = 2_048

function arrayCoder(item: Coder): Coder {
  const { fixedBytes } = item
  const numberBytes = item.isNumber ? fixedBytes : undefined
  // Kept for the next value, as a struct's are: what an item writes into its word is always in the same place, and the rest stays zero.
  let kept = new Uint8Array()
  const wordsOf = (count: number) => {
    if (count > WORDS_KEPT_MAX) return new Uint8Array(count * 32)
    if (kept.length < count * 32) kept = new Uint8Array(count * 32)
    return kept.length === count * 32 ? kept : kept.subarray(0, count * 32)
  }
  return {
    typeName: `${item.typeName}[]`,
    structs: item.structs,
    fixedBytes: undefined,
    toRlp: (value) => (value as unknown[]).map((one) => item.toRlp(one)),
    fromRlp: (cursor) => {
      const list = takeRlpList(cursor)
      if (numberBytes !== undefined) return readRlpNumbers(list, 8 * numberBytes)
      const out: unknown[] = []
      while (list.at < list.end) out.push(item.fromRlp(list)) // ends: every item is at least one byte long
      return out.length > PACKED_LENGTH_MAX ? malformed() : out
    },
    packedBytes: (value) => {
      const list = value as unknown[]
      if (fixedBytes !== undefined) return 2 + list.length * fixedBytes
      let length = 2
      for (const one of list) length += item.packedBytes(one)
      return length
    },
    pack: (value, out, at) => {
      const list = value as unknown[]
      assert(list.length <= PACKED_LENGTH_MAX, 'an array is longer than a field holds')
      writeUint(out, at, 2, list.length)
      let next = at + 2
      if (numberBytes !== undefined) return writeNumbers(list as number[], out, { at: next, length: numberBytes, step: numberBytes })
      for (const one of list) next = item.pack(one, out, next)
      return next
    },
    unpack: (cursor) => {
      const length = takeUint(cursor, 2)
      const out: unknown[] = []
      for (let i = 0; i < length; i++) out.push(item.unpack(cursor))
      return out
    },
    writeWord: (value, out, at) => {
      const list = value as unknown[]
      const words = wordsOf(list.length)
      if (numberBytes !== undefined) writeNumbers(list as number[], words, { at: 32 - numberBytes, length: numberBytes, step: 32 })
      else for (let i = 0; i < list.length; i++) item.writeWord(list[i], words, i * 32)
      writeKeccak256(words, out, at)
    },
  }
}

/** Numbers of at most `bits`, counted before they are read: a list that grows to hundreds is moved several times on its way. */
function readRlpNumbers(list: Cursor, bits: number): number[] {
  const from = list.at
  let count = 0
  for (; list.at < list.end; count++) skipRlpUint(list, bits) // ends: every item is at least one byte long
  if (count > PACKED_LENGTH_MAX) malformed()
  list.at = from
  const out = new Array<number>(count)
  for (let i = 0; i < count; i++) {
    const at = skipRlpUint(list, bits)
    out[i] = readUint(list.bytes, at, list.at)
  }
  return out
}

/** What is packed only to be hashed is written here, if it fits: an array of its own would take longer than to fill it. */
const hashInput = new Uint8Array(16_384)

type Member = { readonly name: string; readonly coder: Coder }

function tupleCoder(parameters: readonly AbiParameter[], typeName: string, structNames: Readonly<Record<string, string>>): Coder {
  const members = parameters.map((parameter): Member => ({ name: parameter.name ?? '', coder: compile(parameter, structNames) }))
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
  const isFixed = members.every((m) => m.coder.fixedBytes !== undefined)
  const fixedBytes = members.reduce((sum, m) => sum + (m.coder.fixedBytes ?? 0), 0)
  const variable = members.filter((m) => m.coder.fixedBytes === undefined)
  // A struct is in no struct of its own kind, so that one array serves all values: it is hashed before the next one is written.
  const preimage = new Uint8Array(32 + members.length * 32)
  preimage.set(typeHash)
  const blank = blankOf(members)
  return {
    typeName,
    structs,
    fixedBytes: isFixed ? fixedBytes : undefined,
    toRlp: (value) => members.map((m) => m.coder.toRlp(member(value, m.name))),
    fromRlp: (cursor) => {
      const list = takeRlpList(cursor)
      const value = readRlpMembers(members, list, { ...blank })
      if (list.at !== list.end) throw new Malformed()
      return value
    },
    packedBytes: (value) => {
      let length = fixedBytes
      for (const m of variable) length += m.coder.packedBytes(member(value, m.name))
      return length
    },
    pack: (value, out, at) => {
      let next = at
      for (const m of members) next = m.coder.pack(member(value, m.name), out, next)
      return next
    },
    unpack: (cursor) => unpackMembers(members, cursor, { ...blank }),
    writeWord: (value, out, at) => {
      writeMemberWords(members, value, preimage, 32)
      writeKeccak256(preimage, out, at)
    },
  }
}

/**
 * An object with the members' names. A copy of it has room for all values from the start; one that gets name after name is moved to a larger place again
 * and again, which is twice the memory. Parsed, because what a parser makes has its values inside it and not in a list beside it.
 */
function blankOf(members: readonly Member[]): Record<string, unknown> {
  return JSON.parse(`{${members.map(({ name }) => `${JSON.stringify(name)}:null`).join(',')}}`)
}

function readRlpMembers(members: readonly Member[], cursor: Cursor, value: Record<string, unknown>): Record<string, unknown> {
  for (const { name, coder } of members) value[name] = coder.fromRlp(cursor)
  return value
}

function unpackMembers(members: readonly Member[], cursor: Cursor, value: Record<string, unknown>): Record<string, unknown> {
  for (const { name, coder } of members) value[name] = coder.unpack(cursor)
  return value
}

/** Writes the members' words one after another; answers where the next word goes. */
function writeMemberWords(members: readonly Member[], value: unknown, out: Uint8Array, at: number): number {
  const end = at + members.length * 32
  out.fill(0, at, end)
  let next = at
  for (const { name, coder } of members) {
    coder.writeWord(member(value, name), out, next)
    next += 32
  }
  return end
}

function member(value: unknown, name: string): unknown {
  return (value as Record<string, unknown>)[name]
}

// ---- integers, big-endian -----------------------------------------------------------------------------------------------------------

/** The integer from one place to before the other: at most 6 bytes. */
function readUint(bytes: Uint8Array, from: number, to: number): number {
  let value = 0
  for (let i = from; i < to; i++) value = value * 256 + (bytes[i] ?? 0)
  return value
}

/** Eight bytes through which a bigint goes to and from two halves: as fast as a number, where shifting makes a new bigint a byte. */
const eight = new DataView(new ArrayBuffer(8))

function readBigUint(bytes: Uint8Array, from: number, to: number): bigint {
  if (to - from <= 6) return BigInt(readUint(bytes, from, to))
  const lowFrom = Math.max(from, to - 8)
  const middle = Math.max(from, to - 4)
  eight.setUint32(0, readUint(bytes, lowFrom, middle))
  eight.setUint32(4, readUint(bytes, middle, to))
  const low = eight.getBigUint64(0)
  return lowFrom > from ? (readBigUint(bytes, from, lowFrom) << 64n) | low : low
}

/** Writes an integer below 2^53 that fits `length` bytes, over anything. */
function writeUint(out: Uint8Array, at: number, length: number, value: number): void {
  let rest = value
  let i = at + length - 1
  for (; i >= at && rest > 0xffffffff; i--) {
    out[i] = rest % 256
    rest = Math.floor(rest / 256)
  }
  for (; i >= at; i--) {
    out[i] = rest
    rest >>>= 8
  }
}

/**
 * Writes numbers of `length` bytes (at most 6), `step` bytes from one to the next, over anything; answers where one more would go. Credits have lists
 * of hundreds, which one loop writes in a quarter of the time that a call for each takes.
 */
function writeNumbers(
  values: readonly number[],
  out: Uint8Array,
  { at, length, step }: { readonly at: number; readonly length: number; readonly step: number },
): number {
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength)
  const limit = 2 ** (8 * length)
  let next = at
  for (const value of values) {
    assert(typeof value === 'number' && value >= 0 && value < limit, 'integer does not fit its field')
    if (length === 6) view.setUint16(next, value / 2 ** 32)
    if (length === 4 || length === 6) view.setUint32(next + length - 4, value)
    else writeUint(out, next, length, value)
    next += step
  }
  return next
}

/** Writes an integer that fits `length` bytes, over anything. */
function writeBigUint(out: Uint8Array, at: number, length: number, value: bigint): void {
  if (length > 8) writeBigUint(out, at, length - 8, value >> 64n)
  const lowLength = Math.min(length, 8)
  eight.setBigUint64(0, value)
  const end = at + length
  const high = lowLength - Math.min(lowLength, 4)
  writeUint(out, end - 4 - high, high, eight.getUint32(0))
  writeUint(out, end - (lowLength - high), lowLength - high, eight.getUint32(4))
}
