/**
 * Call data, read strictly: the arguments of a function, or nothing.
 * Wire: selector(4) ‖ ABI encoding of the arguments. Of all encodings that the ABI's rules would let pass only the canonical one is
 * read, which is what compilers and libraries write: tails in order without gaps or overlaps, zeros wherever there is padding, nothing
 * behind. So one pass over the bytes does it, whoever sent them. Spec: docs/spec/transactions.md#doors; Solidity docs, "Contract ABI
 * Specification", strict mode.
 */
import type { AbiParameter, Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { attempt, type Cursor, decodeUtf8, type FieldsOf, malformed, take, takeBigUint, takeUint } from '../execution/fields.ts'

/** Bytes of a function selector. */
export const SELECTOR_BYTES = 4

/** Most bytes of a string and items of an array that the packed form of fields can hold. Spec: docs/spec/ledger.md#tables */
export const PACKED_LENGTH_MAX = 0xffff

type Reader = {
  /** Bytes that stand in the head of what holds the value: the value itself, or the offset of its tail. */
  readonly headBytes: number
  readonly isDynamic: boolean
  /** The value at the cursor, which then stands behind it. */
  read(cursor: Cursor): unknown
}

/**
 * Compiles the reader of a function's arguments. The reader answers undefined for anything but a canonical encoding, selector included in the
 * bytes but not looked at. Values are those of execution/fields.ts: all hex in lowercase, text only if it is UTF-8. A string, `bytes`
 * or array longer than `lengthMax` is refused too.
 */
export function compileCallData<const P extends readonly AbiParameter[]>(
  parameters: P,
  lengthMax = Number.MAX_SAFE_INTEGER,
): (callData: Uint8Array) => FieldsOf<P> | undefined {
  const tuple = tupleReader(parameters, lengthMax)
  return (callData) =>
    attempt(() => {
      const cursor = { bytes: callData, at: SELECTOR_BYTES, end: callData.length }
      const values = tuple.read(cursor)
      if (cursor.at !== cursor.end) malformed()
      return values as FieldsOf<P>
    })
}

function compile(parameter: AbiParameter, lengthMax: number): Reader {
  const { type } = parameter
  if (type.endsWith('[]')) return arrayReader(compile({ ...parameter, type: type.slice(0, -2) }, lengthMax), lengthMax)
  if (type === 'tuple') {
    assert('components' in parameter)
    return tupleReader(parameter.components, lengthMax)
  }
  if (type === 'string') return dynamic((cursor) => decodeUtf8(takeVariable(cursor, lengthMax)))
  if (type === 'bytes') return dynamic((cursor) => hexOf(takeVariable(cursor, lengthMax)))
  if (type === 'address') return word((cursor) => hexOf(takePaddedLeft(cursor, 20)))
  if (type.startsWith('bytes')) return bytesWord(Number(type.slice('bytes'.length)))
  assert(type.startsWith('uint'), `call data of type ${type} has no reader`)
  return uintWord(Number(type.slice('uint'.length)) / 8)
}

function word(read: Reader['read']): Reader {
  return { headBytes: 32, isDynamic: false, read }
}

function dynamic(read: Reader['read']): Reader {
  return { headBytes: 32, isDynamic: true, read }
}

function uintWord(length: number): Reader {
  // Up to 48 bits viem's value is a number, above a bigint.
  if (length <= 6) return word((cursor) => takeLength(cursor, length))
  return word((cursor) => {
    takeZeros(cursor, 32 - length)
    return takeBigUint(cursor, length)
  })
}

function bytesWord(length: number): Reader {
  return word((cursor) => {
    const bytes = take(cursor, length)
    takeZeros(cursor, 32 - length)
    return hexOf(bytes)
  })
}

function arrayReader(item: Reader, lengthMax: number): Reader {
  return dynamic((cursor) => {
    const count = takeLength(cursor, 6)
    // A count that the bytes cannot hold is refused before anything is made of it.
    if (count > lengthMax || count * item.headBytes > cursor.end - cursor.at) malformed()
    const sequence = openSequence(cursor, count * item.headBytes)
    return Array.from({ length: count }, () => readNext(item, sequence))
  })
}

function tupleReader(parameters: readonly AbiParameter[], lengthMax: number): Reader {
  const members = parameters.map((parameter) => ({ name: parameter.name ?? '', reader: compile(parameter, lengthMax) }))
  const membersBytes = members.reduce((sum, { reader }) => sum + reader.headBytes, 0)
  const isDynamic = members.some(({ reader }) => reader.isDynamic)
  return {
    headBytes: isDynamic ? 32 : membersBytes,
    isDynamic,
    read(cursor) {
      const sequence = openSequence(cursor, membersBytes)
      const values: Record<string, unknown> = {}
      for (const { name, reader } of members) values[name] = readNext(reader, sequence)
      return values
    },
  }
}

/** Heads of values that stand side by side, and the place where the next of their tails must begin. */
type Sequence = { readonly start: number; readonly heads: Cursor; readonly tails: Cursor }

function openSequence(cursor: Cursor, headsBytes: number): Sequence {
  const start = cursor.at
  take(cursor, headsBytes)
  return { start, heads: { bytes: cursor.bytes, at: start, end: cursor.at }, tails: cursor }
}

function readNext(reader: Reader, { start, heads, tails }: Sequence): unknown {
  if (!reader.isDynamic) return reader.read(heads)
  if (takeLength(heads, 6) !== tails.at - start) malformed()
  return reader.read(tails)
}

function takeVariable(cursor: Cursor, lengthMax: number): Uint8Array {
  const length = takeLength(cursor, 6)
  if (length > lengthMax) malformed()
  const bytes = take(cursor, length)
  takeZeros(cursor, (32 - (length % 32)) % 32)
  return bytes
}

/** An integer of up to six bytes in a word of its own. */
function takeLength(cursor: Cursor, length: number): number {
  takeZeros(cursor, 32 - length)
  return takeUint(cursor, length)
}

function takePaddedLeft(cursor: Cursor, length: number): Uint8Array {
  takeZeros(cursor, 32 - length)
  return take(cursor, length)
}

function takeZeros(cursor: Cursor, length: number): void {
  for (const byte of take(cursor, length)) if (byte !== 0) malformed()
}

const LETTERS = new TextEncoder().encode('0123456789abcdef')

/** Bytes turned into text at a time: no more than a call takes arguments everywhere. */
const CHUNK_BYTES = 1_024

/** Lowercase hex in less than half of the time of viem's, which joins strings byte by byte: call data is hostile and paid by the word. */
function hexOf(bytes: Uint8Array): Hex {
  let hex = ''
  for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
    const chunk = bytes.subarray(from, from + CHUNK_BYTES)
    const codes = new Array<number>(2 * chunk.length)
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] ?? 0
      codes[2 * i] = LETTERS[byte >> 4] ?? 0
      codes[2 * i + 1] = LETTERS[byte & 15] ?? 0
    }
    hex += String.fromCharCode.apply(undefined, codes)
  }
  return `0x${hex}`
}
