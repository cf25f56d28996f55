/**
 * PoA-1: which records of a model's snapshots an output was found in. A span is a longest run of at least six words of the output that stands in a record;
 * of several places the lowest is its source; words that echo the prompt are nobody's. A match shows presence in the record, not that the record caused
 * the output. The same bytes give the same record on every machine. Spec: docs/spec/attribution.md#algorithm
 */
import { bytesToHex } from 'viem'
import { type AttributionRecord, type Echo, POA, PROMPT_TOO_LONG, type Span } from './attributionRecord.ts'
import { wordsRoot } from './commitment.ts'
import { wordsOf } from './lexer.ts'
import { createWordIndex, type WordIndex } from './wordIndex.ts'

/** A record of a snapshot: by its place, in the order of their registration, with its bytes. */
export type SnapshotRecord = { readonly datanet: number; readonly uploadIndex: number; readonly record: number; readonly bytes: Uint8Array }

/** Attributes an output, given the prompt that it answers. */
export type Attributor = (output: Uint8Array, prompt: Uint8Array) => AttributionRecord

/** An attributor over a model's snapshots: all of their records in ascending order. Time and memory: linear in the words. */
export function createAttributor(records: readonly SnapshotRecord[]): Attributor {
  const index = createWordIndex(records.map(({ bytes }) => bytes))
  return (output, prompt) => {
    const asked = openableWords(prompt)
    const answered = asked && (openableWords(output) ?? []).slice(0, POA.outputWordsMax)
    if (!answered) return { ...rootsOf([], []), promptWords: PROMPT_TOO_LONG, echoes: [], spans: [] }
    return { ...rootsOf(answered, asked), echoes: findEchoes(answered, prompt), spans: findSpans(answered, index, records) }
  }
}

/** The words of what was asked or answered. Undefined: too long to be opened on chain; bytes that are not UTF-8 have no words. */
export function openableWords(bytes: Uint8Array): string[] | undefined {
  return bytes.length > POA.openedBytesMax ? undefined : (wordsOf(bytes) ?? [])
}

function rootsOf(answered: readonly string[], asked: readonly string[]) {
  return {
    outputWords: answered.length,
    outputRoot: bytesToHex(wordsRoot(answered)),
    promptWords: asked.length,
    promptRoot: bytesToHex(wordsRoot(asked)),
  }
}

function findEchoes(answered: readonly string[], prompt: Uint8Array): Echo[] {
  const index = createWordIndex([prompt])
  return maximalRuns(answered, index, POA.echoesMax).map(({ start, run }) => {
    return { start, length: run.length, offset: index.lowestPlaces(run, 1)[0]?.offset ?? 0 }
  })
}

function findSpans(answered: readonly string[], index: WordIndex, records: readonly SnapshotRecord[]): Span[] {
  return maximalRuns(answered, index, POA.spansMax).map(({ start, run }) => {
    const places = index.lowestPlaces(run, POA.placesMax + 1).flatMap(({ record, offset }) => {
      const known = records[record]
      return known ? [{ datanet: known.datanet, uploadIndex: known.uploadIndex, record: known.record, offset }] : []
    })
    return { start, length: run.length, places }
  })
}

/** The first runs of at least six words that stand in a record and in no longer one, at most `limit`. */
function maximalRuns(words: readonly string[], index: WordIndex, limit: number) {
  const query = index.numbersOf(words)
  const runs = []
  let end = 0
  for (let start = 0; start + POA.spanWordsMin <= query.length && runs.length < limit; start++) {
    const run = index.longestAt(query, start)
    if (run.length < POA.spanWordsMin || start + run.length <= end) continue
    end = start + run.length
    runs.push({ start, run })
  }
  return runs
}
