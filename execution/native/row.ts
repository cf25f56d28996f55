/**
 * Rows: everything that changes the ledger, as L1 sees it. One row says one thing, and a lane of them leads from one ledger root to the next.
 * Wire: head(1) ‖ body, one row right behind another; the head says what the body is: 0x01 block, 0x02 L1 info, 0x03 deposit, 0x06 report, the type byte of a
 * native transaction, or that of an operation of EVM origin and 0x80. One value has one row and one row one value.
 * Spec: docs/spec/batch.md#rows; on L1: contracts/fraud/RowReader.sol
 */
import type { Hex } from 'viem'
import { EVIDENCE_BYTES, GROUP, TX_TYPE } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import { attempt, type Cursor, malformed, take, takeBigUint, takeUint } from '../fields.ts'
import { fromHex } from '../hex.ts'
import type { EvmOperation } from '../precompile.ts'
import { type Report, reportOf } from '../report.ts'
import { type Attachment, amountRow, fixedRow, type RowCoder, signatureRow, takeAttachment, uintRow } from '../rowFields.ts'
import { nativeTypeOf, operationTypeOf, type SignedNative } from './native.ts'
import type { FieldValues, NativeType } from './nativeType.ts'
import { REFUSED, type Verdict, verdictRow } from './verdict.ts'

/** Heads of the rows that are of no native type. */
export const ROW_KIND = { block: 0x01, l1Info: 0x02, deposit: 0x03, report: 0x06 } as const

/** What an operation's head has besides its type. */
const OPERATION = 0x80

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
  /** `verdict`: of a dispute, once the row was executed; without it nothing was shown. */
  | { readonly kind: 'native'; readonly native: SignedNative; readonly verdict?: Verdict }
  /** A door call from the EVM that succeeded. */
  | { readonly kind: 'operation'; readonly operation: EvmOperation; readonly verdict?: Verdict }
  /** Evidence against a validator. */
  | { readonly kind: 'report'; readonly report: Report }

const u64 = uintRow(64) as RowCoder<bigint>
/** Milliseconds are safe integers. */
const msRow = uintRow(53) as RowCoder<bigint>
const address = fixedRow(20)
const U128_BYTES_MAX = 16

/** Longest row of a block: head 1, number 10, time 8, base fee 13, coinbase 20. */
export const BLOCK_ROW_BYTES_MAX = 52

/** Longest row of a deposit. */
export const DEPOSIT_ROW_BYTES_MAX = 11

/** Length of the row of a report. */
export const REPORT_ROW_BYTES = 1 + EVIDENCE_BYTES

/** The row's bytes. Asserts that it has any: what came through a decoder or a block does. */
export function encodeRow(row: Row): Uint8Array {
  const out = new Uint8Array(rowBytes(row))
  assert(out.length <= GROUP.bytes, 'a row is too long')
  const end = writeRow(row, out)
  assert(end === out.length, 'a row is as long as it says')
  return out
}

/** Length of the row's bytes. */
export function rowBytes(row: Row): number {
  if (row.kind === 'block') return 21 + u64.bytes(row.number) + msRow.bytes(BigInt(row.timestampMs)) + amountRow.bytes(row.baseFeeWei)
  if (row.kind === 'l1Info') return 2 + u64.bytes(row.number) + bytesOfUint(row.blobBaseFee)
  if (row.kind === 'deposit') return 1 + u64.bytes(row.index)
  if (row.kind === 'report') return REPORT_ROW_BYTES
  if (row.kind === 'operation') return 21 + row.operation.type.row.bytes(row.operation.fields) + verdictBytes(row.operation, row)
  const { type, nonce, maxFeeWei, fields } = row.native
  return 65 + u64.bytes(nonce) + amountRow.bytes(maxFeeWei) + type.row.bytes(fields) + verdictBytes(row.native, row)
}

type Judged = { readonly verdict?: Verdict }

function verdictBytes({ type }: { readonly type: NativeType }, { verdict = REFUSED }: Judged): number {
  return isDispute(type) ? verdictRow.bytes(verdict) : 0
}

function isDispute({ byte }: NativeType): boolean {
  return byte === TX_TYPE.creditDispute
}

/** What executing the row on L1 may take, in thousands of gas. Pure: of the row alone. Spec: docs/spec/batch.md#groups */
export function rowWeight(row: Row): number {
  return GROUP.weightPerByte * rowBytes(row) + recordsWeight(row)
}

function recordsWeight(row: Row): number {
  if (row.kind === 'native') return typeWeight(row.native)
  if (row.kind === 'operation') return typeWeight(row.operation)
  if (row.kind === 'deposit') return GROUP.weightPerRecord * GROUP.depositRecords
  if (row.kind === 'report') return GROUP.weightPerRecord * GROUP.reportRecords
  return GROUP.weightPerRecord * (row.kind === 'block' ? 1 : 2)
}

/** Of what a native type does, sender and signature counted as two records. A dispute stands alone in its group. */
export function typeWeight({ type, fields }: { readonly type: NativeType; readonly fields: FieldValues }): number {
  return isDispute(type) ? GROUP.weight : GROUP.weightPerRecord * (2 + type.records(fields))
}

/** The row that the bytes are, on the chain of this id; undefined: malformed, or not exactly one row. `attached`: what stands in the tail for it. */
export function decodeRow(bytes: Uint8Array, chainId: number, attached = new Uint8Array()): Row | undefined {
  return attempt(() => {
    const cursor = { bytes, at: 0, end: bytes.length }
    const behind = { bytes: attached, at: 0, end: attached.length }
    const row = attach(takeRow(cursor, chainId), behind)
    if (cursor.at !== cursor.end || behind.at !== behind.end) malformed()
    return row
  })
}

/**
 * Reads the next row and moves on; throws `Malformed`. Call through `attempt`. Fields that stand in the tail are what the row says of them (`Attachment`)
 * until `attach` has put them there.
 */
export function takeRow(cursor: Cursor, chainId: number): Row {
  const from = cursor.at
  const row = takeBody(takeUint(cursor, 1), cursor, chainId)
  return cursor.at - from <= GROUP.bytes ? row : malformed()
}

/** The row with the bytes of its attachments, in the order of its fields. Throws `Malformed` where they are others. */
export function attach(row: Row, attachments: Cursor): Row {
  if (row.kind === 'native') return { ...row, native: { ...row.native, fields: attachFields(row.native, attachments) } }
  if (row.kind !== 'operation') return row
  return { ...row, operation: { ...row.operation, fields: attachFields(row.operation, attachments) } }
}

function attachFields({ type, fields }: { type: NativeType; fields: FieldValues }, attachments: Cursor): FieldValues {
  if (type.attached.length === 0) return fields
  const whole = { ...fields }
  for (const name of type.attached) whole[name] = takeAttachment(attachments, fields[name] as Attachment)
  return whole
}

/** The bytes that stand in the tail for the row. */
export function attachmentsOf(row: Row): Uint8Array[] {
  const typed = row.kind === 'native' ? row.native : row.kind === 'operation' ? row.operation : undefined
  return typed ? typed.type.attached.map((name) => fromHex(typed.fields[name] as Hex)) : []
}

function writeRow(row: Row, out: Uint8Array): number {
  if (row.kind === 'native') {
    const { type, nonce, maxFeeWei, fields, signature } = row.native
    out[0] = type.byte
    const next = type.row.write(fields, out, amountRow.write(maxFeeWei, out, u64.write(nonce, out, signatureRow.write(signature, out, 1))))
    return isDispute(type) ? verdictRow.write(row.verdict ?? REFUSED, out, next) : next
  }
  if (row.kind === 'operation') {
    const { type, caller, fields } = row.operation
    out[0] = OPERATION | type.byte
    const next = type.row.write(fields, out, address.write(caller, out, 1))
    return isDispute(type) ? verdictRow.write(row.verdict ?? REFUSED, out, next) : next
  }
  out[0] = ROW_KIND[row.kind]
  if (row.kind === 'deposit') return u64.write(row.index, out, 1)
  if (row.kind === 'l1Info') return writeUint(row.blobBaseFee, out, u64.write(row.number, out, 1))
  if (row.kind === 'report') {
    out.set(row.report.evidence, 1)
    return REPORT_ROW_BYTES
  }
  const at = msRow.write(BigInt(row.timestampMs), out, u64.write(row.number, out, 1))
  return address.write(row.coinbase, out, amountRow.write(row.baseFeeWei, out, at))
}

function takeBody(head: number, body: Cursor, chainId: number): Row {
  if (head === ROW_KIND.block) {
    const number = u64.read(body)
    const timestampMs = Number(msRow.read(body))
    const baseFeeWei = amountRow.read(body)
    return { kind: 'block', number, timestampMs, baseFeeWei, coinbase: address.read(body) }
  }
  if (head === ROW_KIND.l1Info) return { kind: 'l1Info', number: u64.read(body), blobBaseFee: takeUint128(body) }
  if (head === ROW_KIND.deposit) return { kind: 'deposit', index: u64.read(body) }
  if (head === ROW_KIND.report) return { kind: 'report', report: reportOf(take(body, EVIDENCE_BYTES).slice()) }
  if (head & OPERATION) {
    const type = operationTypeOf(head - OPERATION) ?? malformed()
    const caller = address.read(body)
    return { kind: 'operation', operation: { type, caller, fields: type.row.read(body) }, ...verdictIn(type, body) }
  }
  const type = nativeTypeOf(head) ?? malformed()
  const signature = signatureRow.read(body)
  const nonce = u64.read(body)
  const maxFeeWei = amountRow.read(body)
  const native = { type, chainId, nonce, maxFeeWei, fields: type.row.read(body), signature }
  return { kind: 'native', native, ...verdictIn(type, body) }
}

function verdictIn(type: NativeType, body: Cursor): Judged {
  return isDispute(type) ? { verdict: verdictRow.read(body) } : {}
}

function bytesOfUint(value: bigint): number {
  return value === 0n ? 0 : Math.ceil(value.toString(16).length / 2)
}

/** Writes length(1) ‖ bytes. */
function writeUint(value: bigint, out: Uint8Array, at: number): number {
  const length = bytesOfUint(value)
  assert(length <= U128_BYTES_MAX, 'an integer fits 128 bits')
  out[at] = length
  for (let i = length, rest = value; i > 0; i--, rest >>= 8n) out[at + i] = Number(rest & 0xffn)
  return at + 1 + length
}

function takeUint128(cursor: Cursor): bigint {
  const length = takeUint(cursor, 1)
  if (length > U128_BYTES_MAX || (length > 0 && cursor.bytes[cursor.at] === 0)) malformed()
  return takeBigUint(cursor, length)
}
