/**
 * The records of a snapshot as one sequence of numbers, and its suffixes in order: what finds every place of a run of words without looking at the
 * records. Words are numbered in the order of their bytes; the end of a record stands below every word, ends in the order of their records.
 * Memory: 8 bytes a word. Spec: docs/spec/attribution.md#finding-spans
 */
import { compareWords, wordsOf } from './lexer.ts'
import { suffixArrayOf } from './suffixArray.ts'

/** The longest run of the query from one of its words on that stands in a record. */
export type LongestRun = {
  readonly length: number
  /** How often it stands there. */
  readonly count: number
  /** Where: entries of the suffix array from here on, `count` of them. */
  readonly firstEntry: number
}

/** An index over records. Positions count the words of all records, and one for each end of a record. */
export type WordIndex = {
  readonly recordCount: number
  /** Numbers of words; -1: no record has the word. */
  numbersOf(words: readonly string[]): Int32Array
  /** The longest run of `query` from word `start` on. Length 0: no record has the word. */
  longestAt(query: Int32Array, start: number): LongestRun
  /** The lowest places of a run in ascending order, at most `limit`. */
  lowestPlaces(run: LongestRun, limit: number): { readonly record: number; readonly offset: number }[]
  /** The record of a position, and the word in it. */
  placeOf(position: number): { readonly record: number; readonly offset: number }
  /** Positions of all words, in the order of the words from there on. */
  wordPositions(): Int32Array
  /** How many of those positions stand before the query's place in that order. */
  countBelow(query: readonly string[]): number
}

/** Builds the index. A record that is not UTF-8 has no words. */
export function createWordIndex(records: readonly Uint8Array[]): WordIndex {
  const { text, starts, numbers, vocabulary } = numberWords(records)
  const suffixes = suffixArrayOf(text, records.length + 1 + vocabulary.length)

  function placeOf(position: number): { record: number; offset: number } {
    let [low, high] = [0, records.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((starts[middle] as number) <= position) low = middle
      else high = middle
    }
    return { record: low, offset: position - (starts[low] as number) }
  }

  /** The first entry of `from` … `to` whose word at `depth` is at least `word`; all of them share the words before. */
  function firstAtLeast(word: number, depth: number, from: number, to: number): number {
    let [low, high] = [from, to]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((text[(suffixes[middle] as number) + depth] as number) < word) low = middle + 1
      else high = middle
    }
    return low
  }

  return {
    recordCount: records.length,
    numbersOf: (words) => Int32Array.from(words, (word) => numbers.get(word) ?? -1),
    longestAt(query, start) {
      let [from, to, length] = [0, suffixes.length, 0]
      for (; start + length < query.length; length++) {
        const word = query[start + length] as number
        if (word < 0) break
        const first = firstAtLeast(word, length, from, to)
        const end = firstAtLeast(word + 1, length, first, to)
        if (first === end) break
        from = first
        to = end
      }
      return { length, count: length === 0 ? 0 : to - from, firstEntry: from }
    },
    lowestPlaces({ count, firstEntry }, limit) {
      const lowest: number[] = []
      for (let i = firstEntry; i < firstEntry + count; i++) insertLowest(lowest, suffixes[i] as number, limit)
      return lowest.map(placeOf)
    },
    placeOf,
    wordPositions: () => suffixes.subarray(records.length + 1), // the ends stand first
    countBelow(query) {
      const wanted = query.map((word) => ({ number: records.length + 1 + rankOf(vocabulary, word), isKnown: numbers.has(word) }))
      let [low, high] = [records.length + 1, suffixes.length]
      while (low < high) {
        const middle = (low + high) >>> 1
        if (isBelow(text, suffixes[middle] as number, wanted)) low = middle + 1
        else high = middle
      }
      return low - records.length - 1
    },
  }
}

/** A word that no record has falls in front of the word with its number. */
function isBelow(text: Int32Array, position: number, wanted: readonly { readonly number: number; readonly isKnown: boolean }[]): boolean {
  for (const [i, { number, isKnown }] of wanted.entries()) {
    const own = text[position + i] as number // ends: the end of a record is below every word
    if (own !== number || !isKnown) return own < number
  }
  return false
}

/** How many words of the vocabulary stand before this one. */
function rankOf(vocabulary: readonly string[], word: string): number {
  let [low, high] = [0, vocabulary.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareWords(vocabulary[middle] ?? '', word) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Keeps the `limit` lowest of the positions seen, in order. */
function insertLowest(lowest: number[], position: number, limit: number): void {
  const last = lowest.at(-1)
  if (lowest.length === limit && last !== undefined && position > last) return
  let at = lowest.length
  while (at > 0 && (lowest[at - 1] as number) > position) at--
  lowest.splice(at, 0, position)
  if (lowest.length > limit) lowest.pop()
}

/** Words by number: 0 ends the text, 1 … N end the records, words come above in the order of their bytes. */
function numberWords(records: readonly Uint8Array[]): {
  text: Int32Array
  starts: Int32Array
  numbers: ReadonlyMap<string, number>
  vocabulary: readonly string[]
} {
  const numbers = new Map<string, number>()
  const starts = new Int32Array(records.length)
  let text = new Int32Array(1 << 12)
  let length = 0
  for (const [record, bytes] of records.entries()) {
    const words = wordsOf(bytes) ?? []
    starts[record] = length
    while (length + words.length + 2 > text.length) text = grown(text)
    for (const word of words) {
      const number = numbers.get(word) ?? numbers.size
      if (number === numbers.size) numbers.set(word, number)
      text[length++] = number
    }
    text[length++] = -1 - record
  }
  const ranks = new Int32Array(numbers.size)
  const first = records.length + 1
  const vocabulary = [...numbers.keys()].sort(compareWords)
  for (const [rank, word] of vocabulary.entries()) {
    ranks[numbers.get(word) as number] = first + rank
    numbers.set(word, first + rank)
  }
  for (let i = 0; i < length; i++) {
    const number = text[i] as number
    text[i] = number < 0 ? -number : (ranks[number] as number)
  }
  text[length++] = 0
  return { text: text.subarray(0, length), starts, numbers, vocabulary }
}

function grown(text: Int32Array): Int32Array<ArrayBuffer> {
  const out = new Int32Array(text.length * 2)
  out.set(text)
  return out
}
