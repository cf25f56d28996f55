/**
 * What an attribution record comes to: whose words how much of an output is, in basis points. Integers only; the one place where the arithmetic of
 * PoA-1 is done, for workers, verifiers and disputes alike. Spec: docs/spec/attribution.md#shares
 */
import { BPS } from '../../genesis/params.ts'
import { type AttributionRecord, countsOf, type Place, POA, type Span } from './attributionRecord.ts'

/** Who is paid for a record: the quality of its upload and the accounts that share it, in basis points that sum to 10,000. */
export type Source = {
  readonly qualityBps: number
  readonly contributors: readonly { readonly account: number; readonly shareBps: number }[]
}

/** What the arithmetic needs besides the record. */
export type ShareContext = {
  /** Records in all of the model's datanets. */
  readonly recordCount: number
  /** Who is paid for the record at a place; undefined: nobody, and its part is the pool's. */
  sourceOf(place: Place): Source | undefined
}

/** Shares of an output; those of the accounts and the pool sum to 10,000. */
export type Shares = {
  /** Words of the output that belong to a span. */
  readonly matchedWords: number
  /** Ascending by account, none of them 0. */
  readonly accounts: readonly { readonly account: number; readonly bps: number }[]
  readonly poolBps: number
}

/** The shares that the record comes to. */
export function sharesOf(record: AttributionRecord, { recordCount, sourceOf }: ShareContext): Shares {
  const spans = record.spans.filter(countsOf)
  const words = countWords(record, spans)
  const units = spans.map((span, i) => (words[i] ?? 0) * weightOf(span, recordCount))
  const matchedWords = words.reduce((sum, count) => sum + count, 0)
  const unitsInAll = units.reduce((sum, one) => sum + one, 0)
  if (unitsInAll === 0) return { matchedWords, accounts: [], poolBps: BPS }
  const matchedBps = BigInt(Math.floor((matchedWords * BPS) / record.outputWords))
  const earned = new Map<number, bigint>()
  for (const [i, { places }] of spans.entries()) {
    const source = places[0] && (units[i] ?? 0) > 0 ? sourceOf(places[0]) : undefined
    for (const { account, shareBps } of source?.contributors ?? []) {
      const weight = BigInt(units[i] ?? 0) * BigInt(source?.qualityBps ?? 0) * BigInt(shareBps)
      if (weight > 0n) earned.set(account, (earned.get(account) ?? 0n) + weight)
    }
  }
  const accounts = apportion(heaviest(earned), { wholeBps: matchedBps, denominator: BigInt(unitsInAll) * BigInt(BPS) * BigInt(BPS) })
  return { matchedWords, accounts, poolBps: accounts.reduce((rest, { bps }) => rest - bps, BPS) }
}

/** Words of the output by the place that they are attributed to, boilerplate and echoes left out. */
export function wordsBySource(record: AttributionRecord): { readonly source: Place; readonly words: number }[] {
  const spans = record.spans.filter(countsOf)
  const words = countWords(record, spans)
  return spans.flatMap(({ places: [source] }, i) => (source && words[i] ? [{ source, words: words[i] }] : []))
}

/** Words of the output that each of the spans owns: of those over a word the longest, then the rarest, then the first; echoed words are nobody's. */
function countWords({ outputWords, echoes }: AttributionRecord, spans: readonly Span[]): number[] {
  const owners = new Int16Array(outputWords).fill(-1)
  for (const [i, { start, length, places }] of spans.entries()) {
    for (let word = start; word < start + length; word++) {
      const owner = spans[owners[word] ?? -1]
      const isBetter = !owner || length > owner.length || (length === owner.length && places.length < owner.places.length)
      if (isBetter) owners[word] = i
    }
  }
  for (const { start, length } of echoes) owners.fill(-1, start, start + length)
  const counts = spans.map(() => 0)
  for (const owner of owners) if (owner >= 0) counts[owner] = (counts[owner] ?? 0) + 1
  return counts
}

/** Weight of each word of a span: longer and rarer spans weigh more. */
function weightOf({ length, places }: Span, recordCount: number): number {
  return Math.min(length, POA.weightWordsMax) * Math.max(1, ilog2(recordCount) - ilog2(places.length) + 1)
}

/** The 64 accounts that earned most, ties to the lower one. */
function heaviest(earned: ReadonlyMap<number, bigint>): [number, bigint][] {
  const all = [...earned].sort(([a, x], [b, y]) => (x > y ? -1 : x < y ? 1 : a - b))
  return all.slice(0, POA.contributorsMax).sort(([a], [b]) => a - b)
}

/** Whole basis points by largest remainder, ties to the lower account; what the accounts do not earn together stays the pool's. */
function apportion(
  earned: readonly (readonly [number, bigint])[],
  { wholeBps, denominator }: { wholeBps: bigint; denominator: bigint },
): { account: number; bps: number }[] {
  const parts = earned.map(([account, weight]) => {
    const exact = weight * wholeBps
    return { account, bps: Number(exact / denominator), rest: exact % denominator }
  })
  const left = Number(parts.reduce((sum, { rest }) => sum + rest, 0n) / denominator)
  const byRest = [...parts].sort((a, b) => (a.rest > b.rest ? -1 : a.rest < b.rest ? 1 : a.account - b.account))
  const lucky = new Set(byRest.slice(0, left).map(({ account }) => account))
  return parts.map(({ account, bps }) => ({ account, bps: bps + (lucky.has(account) ? 1 : 0) })).filter(({ bps }) => bps > 0)
}

/** Of 16 datanets' u32 counts, so beyond 32 bits. */
function ilog2(value: number): number {
  const high = Math.floor(value / 2 ** 32)
  return high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32(Math.max(1, value))
}
