/**
 * Rows: everything that changes the ledger, as L1 sees it. One row says one thing, and a lane of them leads from one ledger root to the next.
 * Wire: kind(1) ‖ elements(uint16) ‖ body, zeros behind up to elements × 31 bytes, `elements` being the smallest that fits.
 * One value has one row and one row one value; the row of a native transaction holds all of it but the chain id.
 * Spec: docs/spec/batch.md#rows
 */
import { type Hex, parseAbiParameters } from 'viem'
import { EVIDENCE_BYTES } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import { attempt, type Cursor, compileFields, malformed, take, takeUint } from '../fields.ts'
import type { EvmOperation } from '../precompile.ts'
import { isLowS } from '../recover.ts'
import { type Report, reportOf } from '../report.ts'
import { nativeTypeOf, operationTypeOf, type SignedNative } from './native.ts'

/** Bytes of payload in one field element of a blob; every row is a multiple of it. */
export const ROW_ELEMENT_BYTES = 31

/** First byte of each kind of row. */
export const ROW_KIND = { block: 0x01, l1Info: 0x02, deposit: 0x03, native: 0x04, operation: 0x05, report: 0x06 } as const

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
  /** The origin of this number, told to the ledger, and the one thing about it that its header alone does not say. */
  | { readonly kind: 'l1Info'; readonly number: bigint; readonly blobBaseFee: bigint }
  /** The deposit of this index in the portal's queue. */
  | { readonly kind: 'deposit'; readonly index: bigint }
  | { readonly kind: 'native'; readonly native: SignedNative }
  /** A door call from the EVM that succeeded. */
  | { readonly kind: 'operation'; readonly operation: EvmOperation }
  /** Evidence against a validator. */
  | { readonly kind: 'report'; readonly report: Report }

const HEAD_BYTES = 3

const blockFields = compileFields(parseAbiParameters('uint64 number, uint64 timestampMs, uint96 baseFeeWei, address coinbase'))
const l1InfoFields = compileFields(parseAbiParameters('uint64 number, uint128 blobBaseFee'))
const depositFields = compileFields(parseAbiParameters('uint64 index'))
/** A native row's head: type and yParity, then r and s, then nonce and fee. */
const signatureFields = compileFields(parseAbiParameters('uint8 typeByte, uint8 yParity'))
const nonceFields = compileFields(parseAbiParameters('uint64 nonce, uint96 maxFeeWei'))
const NATIVE_HEAD_BYTES = 2 + 64 + 20
const operationFields = compileFields(parseAbiParameters('uint8 typeByte, address caller'))
const OPERATION_HEAD_BYTES = 1 + 20

/** Length of the row of a report. */
export const REPORT_ROW_BYTES = elementsOf(EVIDENCE_BYTES) * ROW_ELEMENT_BYTES

/** The row's bytes. Asserts that it has any: what came through a decoder or a block does. */
export function encodeRow(row: Row): Uint8Array {
  const bytes = rowBytes(row)
  const elements = bytes / ROW_ELEMENT_BYTES
  assert(elements <= 0xffff, 'a row is too long')
  const out = new Uint8Array(bytes)
  out[0] = ROW_KIND[row.kind]
  out[1] = elements >> 8
  out[2] = elements & 0xff
  writeBody(row, out)
  return out
}

/** Length of the row's bytes. */
export function rowBytes(row: Row): number {
  return elementsOf(bodyBytes(row)) * ROW_ELEMENT_BYTES
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

function elementsOf(bytesOfBody: number): number {
  return Math.ceil((HEAD_BYTES + bytesOfBody) / ROW_ELEMENT_BYTES)
}

function bodyBytes(row: Row): number {
  if (row.kind === 'block') return 48
  if (row.kind === 'l1Info') return 24
  if (row.kind === 'deposit') return 8
  if (row.kind === 'report') return EVIDENCE_BYTES
  if (row.kind === 'operation') return OPERATION_HEAD_BYTES + row.operation.type.fields.packedBytes(row.operation.fields)
  return NATIVE_HEAD_BYTES + row.native.type.fields.packedBytes(row.native.fields)
}

function writeBody(row: Row, out: Uint8Array): number {
  if (row.kind === 'block') return blockFields.packInto({ ...row, timestampMs: BigInt(row.timestampMs) }, out, HEAD_BYTES)
  if (row.kind === 'l1Info') return l1InfoFields.packInto(row, out, HEAD_BYTES)
  if (row.kind === 'deposit') return depositFields.packInto(row, out, HEAD_BYTES)
  if (row.kind === 'report') {
    out.set(row.report.evidence, HEAD_BYTES)
    return HEAD_BYTES + EVIDENCE_BYTES
  }
  if (row.kind === 'operation') {
    const { type, caller, fields } = row.operation
    return type.fields.packInto(fields, out, operationFields.packInto({ typeByte: type.byte, caller }, out, HEAD_BYTES))
  }
  const { type, nonce, maxFeeWei, fields, signature } = row.native
  const head = { typeByte: type.byte, yParity: signature.yParity }
  const at = signatureFields.packInto(head, out, HEAD_BYTES)
  out.set(signature.r, at)
  out.set(signature.s, at + 32)
  return type.fields.packInto(fields, out, nonceFields.packInto({ nonce, maxFeeWei }, out, at + 64))
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
  if (kind === ROW_KIND.report) return { kind: 'report', report: reportOf(take(body, EVIDENCE_BYTES).slice()) }
  if (kind !== ROW_KIND.operation) malformed()
  const { typeByte, caller } = operationFields.unpackFrom(body)
  const type = operationTypeOf(typeByte) ?? malformed()
  return { kind: 'operation', operation: { type, caller, fields: type.fields.unpackFrom(body) } }
}

/** As strict about the signature as the wire form (`decodeNative`), so that what is read here can be written there. */
function takeNative(body: Cursor, chainId: number): SignedNative {
  const { typeByte, yParity } = signatureFields.unpackFrom(body)
  const [r, s] = [take(body, 32).slice(), take(body, 32).slice()]
  const { nonce, maxFeeWei } = nonceFields.unpackFrom(body)
  const type = nativeTypeOf(typeByte) ?? malformed()
  const fields = type.fields.unpackFrom(body)
  const signature = { yParity: yParity === 1 ? 1 : 0, r, s } as const
  if (yParity > 1 || !isLowS(signature.s)) malformed()
  return { type, chainId, nonce, maxFeeWei, fields, signature }
}
