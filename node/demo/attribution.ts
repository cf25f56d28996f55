/**
 * Which records an output was quoted from, and what each contributor has of its fee. Integers only, by a rule that fits on this page: a span is a
 * longest run of at least six words of the output that stands in one record, too; of several records that have it the earliest is the source;
 * a word belongs to the longest span over it. A match shows presence in the record, not that the record caused the output.
 * Wire of an attribution: words(uint16) ‖ count(uint16) ‖ count × (start(uint16) ‖ length(uint16) ‖ record(uint32)); its hash is keccak256 of that.
 */
import { bytesToHex, concatBytes, type Hex, numberToBytes } from 'viem'
import { assert } from '../../execution/assert.ts'
import { keccak256 } from '../../execution/keccak.ts'
import { BPS } from '../../genesis/params.ts'
import { wordsOf } from './words.ts'

/** Words that a span has at least. */
export const SPAN_WORDS_MIN = 6
/** Words of an output that are looked at: a position is a uint16. */
const OUTPUT_WORDS_MAX = 4_096

/** Words `start` … `start + length − 1` of the output stand in this record of the snapshot. */
export type Span = { readonly start: number; readonly length: number; readonly record: number }

export type Attribution = {
  /** Words of the output. */
  readonly words: number
  /** In the order of their starts; they may overlap. */
  readonly spans: readonly Span[]
  /** Words of the output that are given to each record that has any. */
  readonly wordsOfRecord: ReadonlyMap<number, number>
}

/** Attributes an output to records of a snapshot. */
export type Attributor = (output: string) => Attribution

/** An attributor for these records, in the order in which they were registered. */
export function createAttributor(records: readonly string[]): Attributor {
  const texts = records.map(wordsOf)
  const places = new Map<string, { readonly record: number; readonly at: number }[]>()
  for (const [record, words] of texts.entries()) {
    for (let at = 0; at + SPAN_WORDS_MIN <= words.length; at++) {
      const key = windowAt(words, at)
      const known = places.get(key)
      if (known) known.push({ record, at })
      else places.set(key, [{ record, at }])
    }
  }

  /** The longest run from word `start` on that stands in a record; of equal ones the earliest record's. */
  function longestAt(output: readonly string[], start: number): Span | undefined {
    let longest: Span | undefined
    for (const { record, at } of places.get(windowAt(output, start)) ?? []) {
      let length = SPAN_WORDS_MIN
      while (start + length < output.length && output[start + length] === texts[record]?.[at + length]) length++
      if (longest === undefined || length > longest.length) longest = { start, length, record }
    }
    return longest
  }

  return (text) => {
    const output = wordsOf(text).slice(0, OUTPUT_WORDS_MAX)
    const spans: Span[] = []
    let end = 0
    for (let start = 0; start + SPAN_WORDS_MIN <= output.length; start++) {
      const span = longestAt(output, start)
      if (span === undefined || start + span.length <= end) continue // within an earlier span: not maximal
      spans.push(span)
      end = start + span.length
    }
    return { words: output.length, spans, wordsOfRecord: countWords(output.length, spans) }
  }
}

/** Name of an attribution. */
export function attributionHash({ words, spans }: Attribution): Hex {
  const head = concatBytes([numberToBytes(words, { size: 2 }), numberToBytes(spans.length, { size: 2 })])
  const body = spans.map(({ start, length, record }) =>
    concatBytes([numberToBytes(start, { size: 2 }), numberToBytes(length, { size: 2 }), numberToBytes(record, { size: 4 })]),
  )
  return bytesToHex(keccak256(concatBytes([head, ...body])))
}

/** What a record of the snapshot says of those who are paid for it. */
export type Source = {
  readonly qualityBps: number
  /** Indexes of ledger accounts, with shares that sum to 10,000. */
  readonly contributors: readonly { readonly account: number; readonly shareBps: number }[]
}

/**
 * What each account has of the contributors' part of one fee, in wei: by the words attributed to its records, their quality, and its share in
 * them. Rounded down each, so that the sum is never above the part; words of nobody and missing quality leave the rest to the pool.
 */
export function shareOut(partWei: bigint, attribution: Attribution, sources: readonly Source[]): Map<number, bigint> {
  const shares = new Map<number, bigint>()
  for (const [record, words] of attribution.wordsOfRecord) {
    const source = sources[record]
    assert(source, 'an attribution names a record of the snapshot')
    const whole = BigInt(attribution.words) * BigInt(BPS) * BigInt(BPS)
    for (const { account, shareBps } of source.contributors) {
      const amountWei = (partWei * BigInt(words) * BigInt(source.qualityBps) * BigInt(shareBps)) / whole
      shares.set(account, (shares.get(account) ?? 0n) + amountWei)
    }
  }
  return shares
}

/** Each word goes to the longest span that covers it, of equals to the first. */
function countWords(words: number, spans: readonly Span[]): Map<number, number> {
  const counts = new Map<number, number>()
  for (let word = 0; word < words; word++) {
    const covering = spans.filter(({ start, length }) => start <= word && word < start + length)
    const [first] = covering
    if (first === undefined) continue
    const owner = covering.reduce((best, span) => (span.length > best.length ? span : best), first)
    counts.set(owner.record, (counts.get(owner.record) ?? 0) + 1)
  }
  return counts
}

function windowAt(words: readonly string[], at: number): string {
  return words.slice(at, at + SPAN_WORDS_MIN).join(' ')
}
