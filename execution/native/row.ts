/**
 * Rows: everything that changes the ledger, as L1 sees it. One row says one thing, and a lane of them leads from one ledger root to the next.
 * Wire: kind(1) ‖ elements(uint16) ‖ body, zeros behind up to elements × 31 bytes, `elements` being the smallest that fits.
 * One value has one row and one row one value; the row of a native transaction holds all of it but the chain id.
 * Spec: docs/spec/batch.md#rows
 */
import { bytesToHex, concatBytes, type Hex, hexToBytes, parseAbiParameters } from 'viem'
import { assert } from '../assert.ts'
import { attempt, type Cursor, compileFields, malformed, take, takeUint } from '../fields.ts'
import type { EvmOperation } from '../precompile.ts'
import { isLowS } from '../recover.ts'
import { nativeTypeOf, operationTypeOf, type SignedNative } from './native.ts'

/** Bytes of payload in one field element of a blob; every row is a multiple of it. */
export const ROW_ELEMENT_BYTES = 31

/** First byte of each kind of row. */
export const ROW_KIND = { block: 0x01, l1Info: 0x02, deposit: 0x03, native: 0x04, operation: 0x05 } as const

/** The block that the rows behind it belong to. */
export type BlockRow = {
  readonly kind: 'block'
  readonly number: bigint
  readonly timestampMs: number
  readonly baseFeeWei: bigint
  readonly coinbase: Hex
}

export type Row =
  | BlockRow
  /** The origin of this number, told to the ledger. */
  | { readonly kind: 'l1Info'; readonly number: bigint }
  /** The deposit of this index in the portal's queue. */
  | { readonly kind: 'deposit'; readonly index: bigint }
  | { readonly kind: 'native'; readonly native: SignedNative }
  /** A door call from the EVM that succeeded. */
  | { readonly kind: 'operation'; readonly operation: EvmOperation }

const HEAD_BYTES = 3

const blockFields = compileFields(parseAbiParameters('uint64 number, uint64 timestampMs, uint96 baseFeeWei, address coinbase'))
const l1InfoFields = compileFields(parseAbiParameters('uint64 number'))
const depositFields = compileFields(parseAbiParameters('uint64 index'))
const nativeFields = compileFields(
  parseAbiParameters('uint8 typeByte, uint8 yParity, bytes32 r, bytes32 s, uint64 nonce, uint96 maxFeeWei'),
)
const operationFields = compileFields(parseAbiParameters('uint8 typeByte, address caller'))

/** The row's bytes. Asserts that it has any: what came through a decoder or a block does. */
export function encodeRow(row: Row): Uint8Array {
  const body = encodeBody(row)
  const elements = elementsOf(body.length)
  assert(elements <= 0xffff, 'a row is too long')
  const out = new Uint8Array(elements * ROW_ELEMENT_BYTES)
  out[0] = ROW_KIND[row.kind]
  out[1] = elements >> 8
  out[2] = elements & 0xff
  out.set(body, HEAD_BYTES)
  return out
}

/** The row that the bytes are, on the chain of this id; undefined: malformed, or not exactly one row. */
export function decodeRow(bytes: Uint8Array, chainId: number): Row | undefined {
  return attempt(() => {
    const cursor = { bytes, at: 0, end: bytes.length }
    const row = takeRow(cursor, chainId)
    if (cursor.at !== cursor.end) malformed()
    return row
  })
}

/** Reads the next row and moves on; throws `Malformed`. Call through `attempt`. */
export function takeRow(cursor: Cursor, chainId: number): Row {
  const kind = takeUint(cursor, 1)
  const elements = takeUint(cursor, 2)
  if (elements === 0) malformed()
  const bytes = take(cursor, elements * ROW_ELEMENT_BYTES - HEAD_BYTES)
  const body = { bytes, at: 0, end: bytes.length }
  const row = takeBody(kind, body, chainId)
  if (elementsOf(body.at) !== elements || bytes.subarray(body.at).some((byte) => byte !== 0)) malformed()
  return row
}

function elementsOf(bodyBytes: number): number {
  return Math.ceil((HEAD_BYTES + bodyBytes) / ROW_ELEMENT_BYTES)
}

function encodeBody(row: Row): Uint8Array {
  if (row.kind === 'block') return blockFields.pack({ ...row, timestampMs: BigInt(row.timestampMs) })
  if (row.kind === 'l1Info') return l1InfoFields.pack(row)
  if (row.kind === 'deposit') return depositFields.pack(row)
  if (row.kind === 'operation') {
    const { type, caller, fields } = row.operation
    return concatBytes([operationFields.pack({ typeByte: type.byte, caller }), type.fields.pack(fields)])
  }
  const { type, nonce, maxFeeWei, fields, signature } = row.native
  const { yParity, r, s } = signature
  const head = nativeFields.pack({ typeByte: type.byte, yParity, r: bytesToHex(r), s: bytesToHex(s), nonce, maxFeeWei })
  return concatBytes([head, type.fields.pack(fields)])
}

function takeBody(kind: number, body: Cursor, chainId: number): Row {
  if (kind === ROW_KIND.block) {
    const { number, timestampMs, baseFeeWei, coinbase } = blockFields.unpackFrom(body)
    if (timestampMs > BigInt(Number.MAX_SAFE_INTEGER)) malformed()
    return { kind: 'block', number, timestampMs: Number(timestampMs), baseFeeWei, coinbase }
  }
  if (kind === ROW_KIND.l1Info) return { kind: 'l1Info', ...l1InfoFields.unpackFrom(body) }
  if (kind === ROW_KIND.deposit) return { kind: 'deposit', ...depositFields.unpackFrom(body) }
  if (kind === ROW_KIND.native) return { kind: 'native', native: takeNative(body, chainId) }
  if (kind !== ROW_KIND.operation) malformed()
  const { typeByte, caller } = operationFields.unpackFrom(body)
  const type = operationTypeOf(typeByte) ?? malformed()
  return { kind: 'operation', operation: { type, caller, fields: type.fields.unpackFrom(body) } }
}

/** As strict about the signature as the wire form (`decodeNative`), so that what is read here can be written there. */
function takeNative(body: Cursor, chainId: number): SignedNative {
  const { typeByte, yParity, r, s, nonce, maxFeeWei } = nativeFields.unpackFrom(body)
  const type = nativeTypeOf(typeByte) ?? malformed()
  const fields = type.fields.unpackFrom(body)
  const signature = { yParity: yParity === 1 ? 1 : 0, r: hexToBytes(r), s: hexToBytes(s) } as const
  if (yParity > 1 || !isLowS(signature.s)) malformed()
  return { type, chainId, nonce, maxFeeWei, fields, signature }
}
