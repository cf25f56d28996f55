/**
 * Texts that are uploaded, outputs that quote them, and what a worker may say of such an output: rightly, of a place that is none, without one
 * that is there, or over another output. What evidence of it has to come to is known from how it was made.
 * Spec: docs/spec/attribution.md, docs/spec/disputes.md#attribution
 */
import { bytesToHex, concatBytes, type Hex } from 'viem'
import { createAttributor } from '../../execution/attribution/attribute.ts'
import type { AttributionRecord, Span } from '../../execution/attribution/attributionRecord.ts'
import { contentRootOf } from '../../execution/attribution/commitment.ts'
import { wordsOf } from '../../execution/attribution/lexer.ts'
import { encodeOpening, type OpenUpload, openRecord, openWords } from '../../execution/attribution/opening.ts'
import { GROUND } from '../../execution/disputes/evidence.ts'
import { outputCommit } from '../../execution/receipt.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const SALT = new Uint8Array(32).fill(7)
const PROMPT = bytesOf('what is known of it')
/** Seven words that stand in no text. */
const OPENING_WORDS = 'somebody told us once , namely this'

/** Records of uploads, by the variety of the upload; some stand in two. */
const TEXTS = [
  ['the river rises in the northern hills and runs for nine hundred miles to the cold sea', 'few people live there today'],
  ['in autumn the wind turns to the west and brings heavy rain over the whole of the coast'],
  ['nothing of interest is written here', 'the river rises in the northern hills and runs for nine hundred miles to the cold sea'],
  ['old maps of the harbour show a wall that nobody has found since the great fire'],
] as const

/** An upload's records, and their root as of this uploader. */
export type Content = { readonly contributor: Hex; readonly records: readonly Uint8Array[]; readonly contentRoot: Hex }

export function contentOf(variety: number, contributor: Hex): Content {
  const records = (TEXTS[variety % TEXTS.length] ?? TEXTS[0]).map(bytesOf)
  return { contributor, records, contentRoot: contentRootOf(records, contributor) }
}

/** What is wrong with what a worker says of an output. */
export type Misquote = (typeof MISQUOTES)[number]
export const MISQUOTES = ['none', 'placeThatIsNone', 'placeLeftOut', 'otherOutput'] as const

/** An output that quotes a record of a model's snapshots. */
export type Quote = {
  readonly commit: Hex
  /** What the worker says of it, and what a proof puts in its place. */
  readonly claimed: AttributionRecord
  readonly corrected: AttributionRecord
  /** What a dispute of kind 5 has besides the receipt and the record. */
  readonly proof: ReturnType<typeof proofOf>
}

/** The quote of one of the records whose bytes are known, `n` choosing which; undefined if there is none. */
export function quoteFrom(snapshots: readonly (readonly OpenUpload[])[], n: number, misquote: Misquote): Quote | undefined {
  const known = snapshots.flatMap((uploads, datanet) =>
    uploads.flatMap(({ uploadIndex, records }) => records.map((bytes, record) => ({ datanet, uploadIndex, record, bytes }))),
  )
  const quoted = known[n % Math.max(1, known.length)]
  if (!quoted || (wordsOf(quoted.bytes) ?? []).length < 6) return undefined
  const output = concatBytes([bytesOf(`${OPENING_WORDS} `), quoted.bytes])
  const honest = createAttributor(known)(output, PROMPT)
  const [span] = honest.spans
  const place = span?.places[0]
  if (!span || !place) throw new Error('a quote that is not found')
  const alone: Span = { ...span, places: [place] }
  const nowhere: Span = { start: 0, length: 6, places: [{ ...place, offset: 0 }] }
  const sayings = {
    none: [honest, honest],
    placeThatIsNone: [{ ...honest, spans: [nowhere, ...honest.spans] }, honest],
    placeLeftOut: [
      { ...honest, spans: [] },
      { ...honest, spans: [alone] },
    ],
    otherOutput: [
      { ...honest, outputRoot: honest.promptRoot },
      { ...honest, spans: [], echoes: [] },
    ],
  } as const
  const [claimed, corrected] = sayings[misquote]
  return { commit: outputCommit(SALT, output), claimed, corrected, proof: proofOf(misquote, { output, snapshots, span: alone }) }
}

type Shown = { readonly output: Uint8Array; readonly snapshots: readonly (readonly OpenUpload[])[]; readonly span: Span }

/** The counter-proof. Where nothing is wrong it opens the output, which is the right one. */
function proofOf(misquote: Misquote, { output, snapshots, span }: Shown) {
  const words = wordsOf(output) ?? []
  const [place] = span.places
  if (!place) throw new Error('a span of no place')
  const open = (offset: number, length: number): Hex =>
    bytesToHex(encodeOpening(openRecord(snapshots[place.datanet] ?? [], { ...place, offset, length })))
  const nothing = { item: 0, placeItem: 0, prompt: { firstLeaf: 0, leaves: [], path: [] }, neighbours: [], datanet: place.datanet }
  const at = (start: number, length: number) => ({ ...nothing, start, length, output: openWords(words, start, Math.max(1, length)) })
  if (misquote === 'placeThatIsNone') {
    return { opened: '0x', evidence: { ...at(0, 0), ground: GROUND.placeFalse, offset: 0, opening: open(0, 1) } } as const
  }
  if (misquote === 'placeLeftOut') {
    const { start, length } = span
    const opening = open(place.offset, length)
    return { opened: '0x', evidence: { ...at(start, length), ground: GROUND.placeMissing, offset: place.offset, opening } } as const
  }
  const opened = bytesToHex(concatBytes([SALT, output]))
  return { opened, evidence: { ...at(0, 0), ground: GROUND.wrongOutput, offset: 0, opening: '0x' as Hex } }
}
