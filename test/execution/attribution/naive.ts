/** PoA-1 as its spec tells it, without an index: every run of words against every place of every record. */

import type { SnapshotRecord } from '../../../execution/attribution/attribute.ts'
import { type AttributionRecord, comparePlaces, type Place, POA } from '../../../execution/attribution/attributionRecord.ts'
import { wordsOf } from '../../../execution/attribution/lexer.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Records of one upload each. */
export function recordsOf(texts: readonly string[]): SnapshotRecord[] {
  return texts.map((text, uploadIndex) => ({ datanet: 0, uploadIndex, record: 0, bytes: bytesOf(text) }))
}

/** Spans and echoes of an output. */
export function naiveRuns(records: readonly SnapshotRecord[], output: string, prompt: string): Pick<AttributionRecord, 'spans' | 'echoes'> {
  const words = (wordsOf(bytesOf(output)) ?? []).slice(0, POA.outputWordsMax)
  const asked = [{ datanet: 0, uploadIndex: 0, record: 0, bytes: bytesOf(prompt) }]
  const echoes = runsOf(words, asked).slice(0, POA.echoesMax)
  return {
    spans: runsOf(words, records).slice(0, POA.spansMax),
    echoes: echoes.map(({ start, length, places }) => ({ start, length, offset: places[0]?.offset ?? -1 })),
  }
}

function runsOf(words: readonly string[], records: readonly SnapshotRecord[]) {
  const texts = records.map((record) => ({ ...record, words: wordsOf(record.bytes) ?? [] }))
  const placesOf = (run: readonly string[]): Place[] =>
    texts.flatMap(({ datanet, uploadIndex, record, words: own }) =>
      own.flatMap((_, offset) => (run.every((word, i) => own[offset + i] === word) ? [{ datanet, uploadIndex, record, offset }] : [])),
    )
  const runs = []
  let end = 0
  for (let start = 0; start < words.length; start++) {
    let length = 0
    while (start + length < words.length && placesOf(words.slice(start, start + length + 1)).length > 0) length++
    if (length < POA.spanWordsMin || start + length <= end) continue
    end = start + length
    const places = placesOf(words.slice(start, end)).sort(comparePlaces)
    runs.push({ start, length, places: places.slice(0, POA.placesMax + 1) })
  }
  return runs
}
