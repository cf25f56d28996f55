/**
 * Attribution record v1: which records an output was found in, and which of its words are an echo of the prompt. It claims places and nothing else: who is
 * paid how much follows from it by arithmetic (shares.ts). A receipt's `attributionHash` is its keccak256.
 * Wire, integers big-endian: version 0x01 ‖ outputWords u16 ‖ outputRoot 32 ‖ promptWords u32 ‖ promptRoot 32
 *   ‖ echoes u16 × (start u16 ‖ length u16 ‖ offset u32)
 *   ‖ spans u8 × (start u16 ‖ length u16 ‖ places u8 × (datanet u8 ‖ uploadIndex u32 ‖ record u32 ‖ offset u16)).
 * Spec: docs/spec/attribution.md#attribution-record
 */
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { attempt, type Cursor, malformed, take, takeUint } from '../fields.ts'
import { keccak256 } from '../keccak.ts'

/** Bounds of PoA-1, in words unless named otherwise. Source: docs/spec/attribution.md#algorithm */
export const POA = {
  outputWordsMax: 4_096,
  spanWordsMin: 6,
  spansMax: 64,
  /** A span with more places is boilerplate and counts for nobody. */
  placesMax: 64,
  echoesMax: 1_024,
  /** Words by which a longer span weighs more. */
  weightWordsMax: 32,
  contributorsMax: 64,
  /** Bytes of an output or a prompt that can be opened on chain. */
  openedBytesMax: 60_000,
} as const

/** `promptWords` of a prompt that is too long to be opened: then nothing of the output is attributed. */
export const PROMPT_TOO_LONG = 0xffffffff

/** Where a run of words stands: in which of the model's datanets (by its place in the manifest), upload, record, and at which word of it. */
export type Place = { readonly datanet: number; readonly uploadIndex: number; readonly record: number; readonly offset: number }

/** Words `start` … `start + length − 1` of the output stand at these places, the lowest first; 65 of them say more than 64. */
export type Span = { readonly start: number; readonly length: number; readonly places: readonly Place[] }

/** Those words of the output stand in the prompt from word `offset` on. */
export type Echo = { readonly start: number; readonly length: number; readonly offset: number }

export type AttributionRecord = {
  /** Words of the output, the first 4,096 of them, and the root over them. */
  readonly outputWords: number
  readonly outputRoot: Hex
  readonly promptWords: number
  readonly promptRoot: Hex
  readonly echoes: readonly Echo[]
  readonly spans: readonly Span[]
}

/** Longest record: 64 spans with 65 places and 1,024 echoes. */
export const ATTRIBUTION_BYTES_MAX = 74 + POA.echoesMax * 8 + POA.spansMax * (5 + (POA.placesMax + 1) * 11)

const VERSION = 1

/** Name of a record: what a receipt says of it. */
export function attributionHash(record: AttributionRecord): Hex {
  return bytesToHex(keccak256(encodeAttribution(record)))
}

/** The wire form. */
export function encodeAttribution({ outputWords, outputRoot, promptWords, promptRoot, echoes, spans }: AttributionRecord): Uint8Array {
  const places = spans.reduce((sum, span) => sum + span.places.length, 0)
  const out = new Uint8Array(74 + echoes.length * 8 + spans.length * 5 + places * 11)
  let at = 0
  const uint = (value: number, length: number) => {
    for (let i = length - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) out[at + i] = rest
    at += length
  }
  const hash = (value: Hex) => {
    out.set(hexToBytes(value), at)
    at += 32
  }
  uint(VERSION, 1)
  uint(outputWords, 2)
  hash(outputRoot)
  uint(promptWords, 4)
  hash(promptRoot)
  uint(echoes.length, 2)
  for (const echo of echoes) {
    uint(echo.start, 2)
    uint(echo.length, 2)
    uint(echo.offset, 4)
  }
  uint(spans.length, 1)
  for (const span of spans) {
    uint(span.start, 2)
    uint(span.length, 2)
    uint(span.places.length, 1)
    for (const { datanet, uploadIndex, record, offset } of span.places) {
      uint(datanet, 1)
      uint(uploadIndex, 4)
      uint(record, 4)
      uint(offset, 2)
    }
  }
  return out
}

/** Reads the wire form. Undefined: any bytes but the one form of a record whose spans and echoes are in order and within their bounds. */
export function decodeAttribution(bytes: Uint8Array): AttributionRecord | undefined {
  const record = attempt(() => {
    const cursor = { bytes, at: 0, end: bytes.length }
    if (takeUint(cursor, 1) !== VERSION) malformed()
    const outputWords = takeUint(cursor, 2)
    const outputRoot = bytesToHex(take(cursor, 32))
    const promptWords = takeUint(cursor, 4)
    const promptRoot = bytesToHex(take(cursor, 32))
    const echoes = Array.from({ length: takeUint(cursor, 2) }, () => takeEcho(cursor))
    const spans = Array.from({ length: takeUint(cursor, 1) }, () => takeSpan(cursor))
    if (cursor.at !== cursor.end) malformed()
    return { outputWords, outputRoot, promptWords, promptRoot, echoes, spans }
  })
  return record && isOrderly(record) ? record : undefined
}

/** Below, above or 0: the order of places is that of their registration. */
export function comparePlaces(a: Place, b: Place): number {
  return a.datanet - b.datanet || a.uploadIndex - b.uploadIndex || a.record - b.record || a.offset - b.offset
}

/** Whether a span counts: one with more than 64 places is boilerplate. */
export function countsOf({ places }: Span): boolean {
  return places.length <= POA.placesMax
}

function takeEcho(cursor: Cursor): Echo {
  return { start: takeUint(cursor, 2), length: takeUint(cursor, 2), offset: takeUint(cursor, 4) }
}

function takeSpan(cursor: Cursor): Span {
  const [start, length] = [takeUint(cursor, 2), takeUint(cursor, 2)]
  const places = Array.from({ length: takeUint(cursor, 1) }, () => ({
    datanet: takeUint(cursor, 1),
    uploadIndex: takeUint(cursor, 4),
    record: takeUint(cursor, 4),
    offset: takeUint(cursor, 2),
  }))
  return { start, length, places }
}

/** What the record alone shows: spans and echoes begin and end one after another, inside the output, and have places in order. */
export function isOrderly({ outputWords, promptWords, echoes, spans }: AttributionRecord): boolean {
  if (outputWords > POA.outputWordsMax || spans.length > POA.spansMax || echoes.length > POA.echoesMax) return false
  if (promptWords === PROMPT_TOO_LONG && outputWords > 0) return false
  const areWithin = [...echoes, ...spans].every(({ start, length }) => length >= POA.spanWordsMin && start + length <= outputWords)
  if (!areWithin || !areMaximal(echoes) || !areMaximal(spans)) return false
  if (echoes.some(({ offset, length }) => offset + length > promptWords)) return false
  return spans.every(({ places }) => {
    if (places.length === 0 || places.length > POA.placesMax + 1) return false
    return places.every((place, i) => i === 0 || comparePlaces(places[i - 1] ?? place, place) < 0)
  })
}

/** No run holds another: starts and ends ascend. */
function areMaximal(runs: readonly { readonly start: number; readonly length: number }[]): boolean {
  return runs.every(({ start, length }, i) => {
    const before = runs[i - 1]
    return before === undefined || (start > before.start && start + length > before.start + before.length)
  })
}
