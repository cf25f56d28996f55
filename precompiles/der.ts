/**
 * DER, as far as certificates need it, read strictly: definite lengths in their shortest form, no byte left over.
 * Everything here throws `Malformed` at bytes that are none; callers go through `attempt` of execution/fields.ts. Source: ITU-T X.690, section 10.
 */
import { bytesToHex, type Hex } from 'viem'
import { type Cursor, malformed, take, takeUint } from '../execution/fields.ts'

/** Tags. Source: ITU-T X.680, section 8.6. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  /** [0] and [3], explicit. */
  context0: 0xa0,
  context3: 0xa3,
} as const

/** A cursor over all of the bytes. */
export function cursorOver(bytes: Uint8Array): Cursor {
  return { bytes, at: 0, end: bytes.length }
}

/** The content of the value of this tag at the cursor, which then stands behind it. */
export function takeDer(cursor: Cursor, tag: number): Cursor {
  if (takeUint(cursor, 1) !== tag) malformed()
  const length = takeLength(cursor)
  const at = cursor.at
  take(cursor, length)
  return { bytes: cursor.bytes, at, end: cursor.at }
}

/** The value of this tag at the cursor with tag and length. */
export function takeElement(cursor: Cursor, tag: number): Uint8Array {
  const from = cursor.at
  takeDer(cursor, tag)
  return cursor.bytes.subarray(from, cursor.at)
}

/** Whether a value of this tag stands at the cursor. */
export function isNext(cursor: Cursor, tag: number): boolean {
  return cursor.at < cursor.end && cursor.bytes[cursor.at] === tag
}

/** The rest of the cursor's bytes. */
export function restOf(cursor: Cursor): Uint8Array {
  return take(cursor, cursor.end - cursor.at)
}

/** Ends the reading of a value: nothing may be left. */
export function takeEnd(cursor: Cursor): void {
  if (cursor.at !== cursor.end) malformed()
}

/** An object identifier, as the hex of its content. */
export function takeOid(cursor: Cursor): Hex {
  return bytesToHex(restOf(takeDer(cursor, TAG.oid)))
}

/** A non-negative integer in its shortest form, without the zero that keeps its sign. */
export function takeInteger(cursor: Cursor): Uint8Array {
  const bytes = restOf(takeDer(cursor, TAG.integer))
  const [first, second] = bytes
  if (first === undefined || first >= 0x80) malformed()
  if (first !== 0 || second === undefined) return bytes
  if (second < 0x80) malformed()
  return bytes.subarray(1)
}

/** A time as seconds since 1970. Years of two digits are 1950 to 2049. Source: RFC 5280, section 4.1.2.5. */
export function takeTime(cursor: Cursor): bigint {
  const isShort = isNext(cursor, TAG.utcTime)
  const bytes = restOf(takeDer(cursor, isShort ? TAG.utcTime : TAG.generalizedTime))
  if (bytes.length !== (isShort ? 13 : 15)) malformed()
  const text = String.fromCharCode(...bytes)
  const full = isShort ? `${text < '5' ? '20' : '19'}${text}` : text
  return secondsOf(full.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\dZ)$/, '$1-$2-$3T$4:$5:$6'))
}

/** Seconds since 1970 of a time such as 2026-01-31T23:59:59Z; that form alone. Throws `Malformed`. */
export function secondsOf(text: string): bigint {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z$/.exec(text)
  if (!match) malformed()
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number)
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59) malformed()
  return BigInt(((daysBefore(year, month) + day - 1) * 24 + hour) * 3_600 + minute * 60 + second)
}

/** Days from 1970-01-01 to the first of the month; of the Gregorian calendar, which has no clock in it. */
function daysBefore(year: number, month: number): number {
  const leapDays = (before: number): number => Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400)
  let days = (year - 1970) * 365 + leapDays(year - 1) - leapDays(1969)
  for (let earlier = 1; earlier < month; earlier++) days += daysIn(year, earlier)
  return days
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return [4, 6, 9, 11].includes(month) ? 30 : 31
}

function takeLength(cursor: Cursor): number {
  const first = takeUint(cursor, 1)
  if (first < 0x80) return first
  // No value here is as long as 64 KiB.
  if (first !== 0x81 && first !== 0x82) malformed()
  const length = takeUint(cursor, first - 0x80)
  if (length < (first === 0x81 ? 0x80 : 0x100)) malformed()
  return length
}
