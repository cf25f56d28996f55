/**
 * Judgements about attribution records: one counter-proof shows that a record is false and how it is right at that place; the receipt's part of the fee is
 * paid by the record put right. Spec: docs/spec/disputes.md#attribution
 */
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { openableWords } from '../attribution/attribute.ts'
import {
  type AttributionRecord,
  comparePlaces,
  decodeAttribution,
  type Echo,
  type Place,
  POA,
  PROMPT_TOO_LONG,
  type Span,
} from '../attribution/attributionRecord.ts'
import { wordsRoot } from '../attribution/commitment.ts'
import { partGwei } from '../attribution/lines.ts'
import {
  decodeOpening,
  isUploadIn,
  type ShownRecord,
  type ShownWords,
  showRecord,
  showWords,
  type WordRun,
  wordsAt,
} from '../attribution/opening.ts'
import { sharesOf } from '../attribution/shares.ts'
import { shareContextOf } from '../attribution/sources.ts'
import { keccak256 } from '../keccak.ts'
import { uploads } from '../ledger/tables.ts'
import { outputCommit, promptCommit } from '../receipt.ts'
import { attributionEvidence, type Case, GROUND, type Judgement, type ShownReceipt, showReceipt, unproven } from './evidence.ts'

type Evidence = NonNullable<ReturnType<typeof attributionEvidence.unpack>>
/** The record put right, or what the evidence lacks. */
type Correction = AttributionRecord | string

/** A record that claims nothing: all of the receipt's part goes to the pool. */
const NOTHING: AttributionRecord = { outputWords: 0, outputRoot: '0x', promptWords: 0, promptRoot: '0x', echoes: [], spans: [] }

/** Whether a receipt's attribution is false. `opened`: salt and bytes of the output or prompt, where the ground is that a root is not theirs. */
export function judgeAttribution(about: Case, bytes: Uint8Array, opened: Uint8Array): Judgement {
  const evidence = attributionEvidence.unpack(bytes)
  if (!evidence) return unproven('malformed')
  const shown = showReceipt(about.credit, evidence.served)
  if (!shown) return unproven('notInWindow')
  const claimed = hexToBytes(evidence.attribution)
  if (bytesToHex(keccak256(claimed)) !== shown.receipt.attributionHash) return unproven('otherAttribution')
  const record = decodeAttribution(claimed)
  if (!record) return upheld(about, shown, { before: NOTHING, right: NOTHING })
  const right = correct(about, { record, evidence, shown, opened })
  return typeof right === 'string' ? unproven(right) : upheld(about, shown, { before: record, right })
}

type Claim = { readonly record: AttributionRecord; readonly evidence: Evidence; readonly shown: ShownReceipt; readonly opened: Uint8Array }

function correct(about: Case, claim: Claim): Correction {
  const { record, evidence, shown, opened } = claim
  const { ground } = evidence
  if (ground === GROUND.wrongOutput) return correctOutput(record, shown, opened)
  if (ground === GROUND.wrongPrompt) return correctPrompt(record, shown, opened)
  if (ground === GROUND.placeFalse) return withoutPlace(record, evidence, (span, place) => isPlaceFalse(about, claim, span, place))
  if (ground === GROUND.uploadAbsent) return withoutPlace(record, evidence, (_, place) => isUploadAbsent(about, evidence, place))
  if (ground === GROUND.placeMissing) return withPlace(about, record, evidence)
  if (ground === GROUND.echoFalse) return withoutEcho(record, evidence)
  if (ground === GROUND.echoMissing) return withEcho(record, evidence)
  return 'unknownGround' // a malformed record was judged before
}

function upheld(
  { ledger, credit, model }: Case,
  { receipt }: ShownReceipt,
  { before, right }: { before: AttributionRecord; right: AttributionRecord },
): Judgement {
  const context = shareContextOf(ledger, model.datanets)
  const change = new Map<number, bigint>()
  for (const [record, sign] of [
    [before, -1n],
    [right, 1n],
  ] as const) {
    for (const { account, bps } of sharesOf(record, context).accounts) {
      const part = partGwei(receipt.fee, { bps, protocolBps: credit.protocolBps, contributorBps: model.contributorBps })
      change.set(account, (change.get(account) ?? 0n) + sign * part)
    }
  }
  return { upheld: true, change, feeWei: receipt.fee }
}

function correctOutput(record: AttributionRecord, { receipt }: ShownReceipt, opened: Uint8Array): Correction {
  const words = openedWords(opened, (salt, bytes) => outputCommit(salt, bytes) === receipt.outputCommit)
  if (!words) return 'otherOutput'
  if (record.promptWords === PROMPT_TOO_LONG) return 'rightOutput'
  const kept = words.slice(0, POA.outputWordsMax)
  const isRight = kept.length === record.outputWords && bytesToHex(wordsRoot(kept)) === record.outputRoot
  return isRight ? 'rightOutput' : NOTHING
}

function correctPrompt(record: AttributionRecord, { request }: ShownReceipt, opened: Uint8Array): Correction {
  const words = openedWords(opened, (salt, bytes) => promptCommit(salt, bytes) === request.promptCommit)
  if (!words) return 'otherPrompt'
  const isRight = words.length === record.promptWords && bytesToHex(wordsRoot(words)) === record.promptRoot
  return isRight ? 'rightPrompt' : NOTHING
}

/** Words of what is opened by its salt of 32 bytes; undefined: it is not what was committed to, or too long. */
function openedWords(opened: Uint8Array, isCommitted: (salt: Uint8Array, bytes: Uint8Array) => boolean): string[] | undefined {
  if (opened.length < 32) return undefined
  const [salt, bytes] = [opened.slice(0, 32), opened.slice(32)]
  return isCommitted(salt, bytes) ? openableWords(bytes) : undefined
}

/** The record without a place that is shown to be false. A span without places goes. */
function withoutPlace(
  record: AttributionRecord,
  { item, placeItem }: Evidence,
  isFalse: (span: Span, place: Place) => boolean,
): Correction {
  const span = record.spans[item]
  const place = span?.places[placeItem]
  if (!span || !place) return 'noSuchPlace'
  if (!isFalse(span, place)) return 'rightPlace'
  const places = span.places.filter((one) => one !== place)
  const spans = places.length === 0 ? record.spans.filter((one) => one !== span) : record.spans.with(item, { ...span, places })
  return { ...record, spans }
}

/** Whether a place is none: no such record, one that does not count, one that is shorter, or other words there. */
function isPlaceFalse({ ledger, model }: Case, { record, evidence }: Claim, { start, length }: Span, place: Place): boolean {
  const datanet = model.datanets[place.datanet]
  if (!datanet || place.uploadIndex >= datanet.uploadCount) return true
  const upload = uploads.get(ledger, { datanetId: datanet.datanetId, uploadIndex: place.uploadIndex })
  if (!upload || place.record >= upload.recordCount) return true
  const shown = openPlace(datanet.snapshotRoot, evidence.opening)
  if (shown?.upload.uploadIndex !== place.uploadIndex || shown.record.record !== place.record) return false
  if (!counts(shown, upload) || place.offset + length > shown.record.words) return true
  const { start: word } = evidence
  if (word < start || word >= start + length) return false
  const said = outputWords(record, evidence.output, word, 1)
  const found = wordsAt(shown.shown, place.offset + word - start, 1)
  return said !== undefined && found !== undefined && said[0] !== found[0]
}

/** Whether two neighbours of the snapshot leave no room for the place's upload. */
function isUploadAbsent({ model }: Case, { neighbours }: Evidence, { datanet, uploadIndex }: Place): boolean {
  const root = model.datanets[datanet]?.snapshotRoot
  const [lower, upper] = neighbours
  if (!root || !lower || neighbours.length > 2 || !neighbours.every((one) => isUploadIn(root, one))) return false
  if (upper)
    return (
      upper.uploads === lower.uploads &&
      upper.position === lower.position + 1 &&
      lower.uploadIndex < uploadIndex &&
      uploadIndex < upper.uploadIndex
    )
  return (
    (lower.position === 0 && uploadIndex < lower.uploadIndex) || (lower.position === lower.uploads - 1 && uploadIndex > lower.uploadIndex)
  )
}

/** The record with a place that is shown and was missing: of a span that it has, or of words that no span covers. */
function withPlace({ ledger, model }: Case, record: AttributionRecord, evidence: Evidence): Correction {
  const { start, length, offset, datanet: ordinal } = evidence
  const datanet = model.datanets[ordinal]
  const shown = datanet && openPlace(datanet.snapshotRoot, evidence.opening)
  if (!datanet || !shown || length < POA.spanWordsMin) return 'notShown'
  const { uploadIndex } = shown.upload
  const upload = uploads.get(ledger, { datanetId: datanet.datanetId, uploadIndex })
  if (!upload || uploadIndex >= datanet.uploadCount || !counts(shown, upload)) return 'notCounted'
  const found = wordsAt(shown.shown, offset, length)
  if (!areSame(outputWords(record, evidence.output, start, length), found)) return 'notShown'
  const place = { datanet: ordinal, uploadIndex, record: shown.record.record, offset }
  const exact = record.spans.find((span) => span.start === start && span.length === length)
  if (exact) {
    const last = exact.places.at(-1)
    const isMissing = !exact.places.some((one) => comparePlaces(one, place) === 0)
    const isDue = exact.places.length <= POA.placesMax || (last !== undefined && comparePlaces(place, last) < 0)
    if (!isMissing || !isDue) return 'notMissing'
    const places = [...exact.places, place].sort(comparePlaces).slice(0, POA.placesMax + 1)
    return { ...record, spans: record.spans.map((span) => (span === exact ? { ...span, places } : span)) }
  }
  const spans = withRun(record.spans, { start, length, places: [place] }, POA.spansMax)
  return spans ? { ...record, spans } : 'notMissing'
}

function withoutEcho(record: AttributionRecord, { item, start: word, output, prompt }: Evidence): Correction {
  const echo = record.echoes[item]
  if (!echo || word < echo.start || word >= echo.start + echo.length) return 'noSuchEcho'
  const [said, asked] = [outputWords(record, output, word, 1), promptWords(record, prompt, echo.offset + word - echo.start, 1)]
  if (!said || !asked || said[0] === asked[0]) return 'rightEcho'
  return { ...record, echoes: record.echoes.filter((one) => one !== echo) }
}

function withEcho(record: AttributionRecord, { start, length, offset, output, prompt }: Evidence): Correction {
  if (length < POA.spanWordsMin) return 'notShown'
  if (!areSame(outputWords(record, output, start, length), promptWords(record, prompt, offset, length))) return 'notShown'
  const echoes: readonly Echo[] | undefined = withRun(record.echoes, { start, length, offset }, POA.echoesMax)
  return echoes ? { ...record, echoes } : 'notMissing'
}

type Run = { readonly start: number; readonly length: number }

/** The runs with one more, in its place, those that it covers left out; undefined: one of them covers it, or it falls behind as many as are kept. */
function withRun<T extends Run>(runs: readonly T[], run: T, limit: number): T[] | undefined {
  const covers = (outer: Run, inner: Run) => outer.start <= inner.start && inner.start + inner.length <= outer.start + outer.length
  const last = runs.at(-1)
  if (runs.some((one) => covers(one, run)) || (runs.length === limit && last && run.start > last.start)) return undefined
  return [...runs.filter((one) => !covers(run, one)), run].sort((a, b) => a.start - b.start).slice(0, limit)
}

/** Whether a record counts: its upload is what the ledger says, and it is its uploader's. */
function counts({ upload, record, shown }: ShownRecord, onLedger: NonNullable<ReturnType<typeof uploads.get>>): boolean {
  const isLedgers =
    upload.contentRoot === onLedger.contentRoot && upload.recordCount === onLedger.recordCount && upload.qualityBps === onLedger.qualityBps
  return isLedgers && record.contributor === onLedger.uploader && shown.words !== undefined
}

function openPlace(snapshotRoot: Hex, opening: Hex): ShownRecord | undefined {
  const decoded = decodeOpening(hexToBytes(opening))
  return decoded && showRecord(snapshotRoot, decoded)
}

function outputWords(record: AttributionRecord, run: WordRun, from: number, length: number): readonly string[] | undefined {
  return wordsUnder(record.outputRoot, showWords(run, record.outputWords), from, length)
}

function promptWords(record: AttributionRecord, run: WordRun, from: number, length: number): readonly string[] | undefined {
  return wordsUnder(record.promptRoot, showWords(run, record.promptWords), from, length)
}

function wordsUnder(root: Hex, shown: ShownWords | undefined, from: number, length: number): readonly string[] | undefined {
  return shown && bytesToHex(shown.root) === root ? wordsAt(shown, from, length) : undefined
}

function areSame(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  return a !== undefined && b !== undefined && a.every((word, i) => word === b[i])
}
