/**
 * The demo's records: texts that are on every machine that can run it, the README and LICENSE files of packages that are installed with it.
 * A record is UTF-8 of at most 16 KiB, committed to as docs/spec/attribution.md#commitments says. A content id is in the form of a
 * CIDv1: 0x01 0x55 0x12 0x20 ‖ sha256 of all records' bytes, one after another (version 1, raw, sha2-256, 32 bytes).
 */
import { existsSync, readFileSync } from 'node:fs'
import { bytesToHex, bytesToString, concatBytes, type Hex, sha256, stringToBytes } from 'viem'
import { contentRootOf, RECORD_BYTES_MAX } from '../../execution/attribution/commitment.ts'

/** Bytes after which the next blank line ends a record. */
const RECORD_BYTES_WANTED = 1_536
/** What is read of one file, and made of one contributor's files. */
const FILE_BYTES_MAX = 32_768
const RECORDS_MAX = 64

const FILES = ['README.md', 'LICENSE', 'LICENSE.md']
const CONTENT_ID_HEAD = Uint8Array.of(0x01, 0x55, 0x12, 0x20)

/** One record, and the package that it was found in. */
export type DataRecord = { readonly text: string; readonly from: string }

/** What an upload commits to, from its records. */
export type Commitment = {
  readonly contentRoot: Hex
  readonly contentId: Hex
  readonly recordCount: number
  readonly byteCount: bigint
}

/** Records from the texts of these packages, in this order; a package that is not installed gives none, and no text comes twice. */
export function readRecords(packages: readonly string[]): DataRecord[] {
  const records = packages.flatMap((name) =>
    textsOf(name).flatMap((text) => cutRecords(text).map((record) => ({ text: record, from: name }))),
  )
  return records.filter(({ text }, i) => records.findIndex((one) => one.text === text) === i).slice(0, RECORDS_MAX)
}

/** Commits to records as this contributor's. There is at least one. */
export function commitRecords(records: readonly DataRecord[], contributor: Hex): Commitment {
  const payloads = records.map(({ text }) => stringToBytes(text))
  return {
    contentRoot: contentRootOf(payloads, contributor),
    contentId: bytesToHex(concatBytes([CONTENT_ID_HEAD, sha256(concatBytes(payloads), 'bytes')])),
    recordCount: records.length,
    byteCount: payloads.reduce((sum, { length }) => sum + BigInt(length), 0n),
  }
}

/** Normalises a text and cuts it: at blank lines if it can, between lines if it must; a line beyond all bounds is left out. */
export function cutRecords(text: string): string[] {
  const records: string[] = []
  let lines: string[] = []
  let bytes = 0
  const flush = () => {
    const record = lines.join('\n').trim()
    if (record !== '') records.push(record)
    lines = []
    bytes = 0
  }
  for (const line of normalise(text)) {
    const lineBytes = stringToBytes(line).length + 1
    if (lineBytes > RECORD_BYTES_MAX) continue
    if (bytes + lineBytes > RECORD_BYTES_MAX || (line === '' && bytes >= RECORD_BYTES_WANTED)) flush()
    lines.push(line)
    bytes += lineBytes
  }
  flush()
  return records
}

/** Lines without trailing blanks, without those that are only markup (badges, pictures, link targets, tags), no two blank ones in a row. */
function normalise(text: string): string[] {
  const lines = text.split(/\r\n|\r|\n/).map((line) => line.trimEnd())
  const kept = lines.filter((line) => !/^(\s*<[^>]*>|\s*!?\[!?\[|\s*!\[|\[[^\]]+\]:)/.test(line))
  return kept.filter((line, i) => line !== '' || (i > 0 && kept[i - 1] !== ''))
}

function textsOf(name: string): string[] {
  const paths = FILES.map((file) => new URL(`../../node_modules/${name}/${file}`, import.meta.url)).filter((path) => existsSync(path))
  return paths.map((path) => wholeLines(readFileSync(path).subarray(0, FILE_BYTES_MAX)))
}

/** The text without the line, or the code point, that the end of the bytes may have cut. */
function wholeLines(bytes: Uint8Array): string {
  return bytesToString(bytes.length < FILE_BYTES_MAX ? bytes : bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1))
}
