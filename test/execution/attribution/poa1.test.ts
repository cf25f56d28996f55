/** PoA-1 against the model that looks at every place. Spec: docs/spec/attribution.md#algorithm */
import fc from 'fast-check'
import { bytesToHex } from 'viem'
import { expect, test } from 'vitest'
import { createAttributor } from '../../../execution/attribution/attribute.ts'
import {
  ATTRIBUTION_BYTES_MAX,
  attributionHash,
  decodeAttribution,
  encodeAttribution,
  POA,
  PROMPT_TOO_LONG,
} from '../../../execution/attribution/attributionRecord.ts'
import { wordsRoot } from '../../../execution/attribution/commitment.ts'
import { sharesOf } from '../../../execution/attribution/shares.ts'
import { suffixArrayOf } from '../../../execution/attribution/suffixArray.ts'
import { naiveRuns, recordsOf } from './naive.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Texts of few words, so that runs repeat. */
const text = (maxLength: number) => fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength }).map((words) => words.join(' '))

test('the suffix array is the sorted list of suffixes', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 60 }), (letters) => {
      const sequence = Int32Array.from([...letters, 0])
      const naive = [...sequence.keys()].sort((a, b) => {
        let d = 0
        while (sequence[a + d] === sequence[b + d]) d++
        return (sequence[a + d] ?? 0) - (sequence[b + d] ?? 0)
      })
      expect([...suffixArrayOf(sequence, 5)]).toEqual(naive)
    }),
    { numRuns: 300 },
  )
})

test('spans, places and echoes are those of the model that looks at every place', () => {
  fc.assert(
    fc.property(fc.array(text(40), { maxLength: 5 }), text(30), text(20), (texts, output, prompt) => {
      const records = recordsOf(texts)
      const found = createAttributor(records)(bytesOf(output), bytesOf(prompt))
      expect({ spans: found.spans, echoes: found.echoes }).toEqual(naiveRuns(records, output, prompt))
      expect(found.outputRoot).toBe(bytesToHex(wordsRoot(output === '' ? [] : output.split(' '))))
      expect(decodeAttribution(encodeAttribution(found))).toEqual(found)
    }),
    { numRuns: 200 },
  )
})

test('shares and pool sum to all, and to nothing else', () => {
  const source = fc.record({ qualityBps: fc.nat(10_000), parts: fc.uniqueArray(fc.nat(6), { minLength: 1, maxLength: 4 }) })
  fc.assert(
    fc.property(
      fc.array(text(40), { minLength: 1, maxLength: 5 }),
      text(60),
      fc.array(source, { minLength: 5, maxLength: 5 }),
      (texts, output, sources) => {
        const record = createAttributor(recordsOf(texts))(bytesOf(output), new Uint8Array())
        const { accounts, poolBps, matchedWords } = sharesOf(record, {
          recordCount: texts.length,
          sourceOf: ({ uploadIndex }) => {
            const { qualityBps = 0, parts = [] } = sources[uploadIndex] ?? {}
            const each = Math.floor(10_000 / parts.length)
            return {
              qualityBps,
              contributors: parts.map((account, i) => ({ account, shareBps: i === 0 ? 10_000 - each * (parts.length - 1) : each })),
            }
          },
        })
        const sum = accounts.reduce((all, { bps }) => all + bps, poolBps)
        expect(sum).toBe(10_000)
        expect(poolBps).toBeGreaterThanOrEqual(10_000 - Math.floor((10_000 * matchedWords) / Math.max(1, record.outputWords)))
      },
    ),
  )
})

const QUOTE = 'one two three four five six seven eight'

test('the earliest record is the source, and whoever copies it earns nothing', () => {
  const { spans } = createAttributor(recordsOf(['nothing', QUOTE, QUOTE]))(bytesOf(`x ${QUOTE}`), new Uint8Array())
  expect(spans).toEqual([
    {
      start: 1,
      length: 8,
      places: [
        { datanet: 0, uploadIndex: 1, record: 0, offset: 0 },
        { datanet: 0, uploadIndex: 2, record: 0, offset: 0 },
      ],
    },
  ])
})

test('a span never crosses the end of a record', () => {
  const { spans } = createAttributor(recordsOf(['one two three', 'four five six']))(
    bytesOf('one two three four five six'),
    new Uint8Array(),
  )
  expect(spans).toEqual([])
})

test('what stands in more than 64 places counts for nobody', () => {
  const of = (copies: number) => {
    const record = createAttributor(recordsOf(Array.from({ length: copies }, () => QUOTE)))(bytesOf(QUOTE), new Uint8Array())
    const contributors = [{ account: 3, shareBps: 10_000 }]
    return {
      places: record.spans[0]?.places.length,
      ...sharesOf(record, { recordCount: copies, sourceOf: () => ({ qualityBps: 10_000, contributors }) }),
    }
  }
  expect(of(64)).toEqual({ places: 64, matchedWords: 8, accounts: [{ account: 3, bps: 10_000 }], poolBps: 0 })
  expect(of(65)).toEqual({ places: 65, matchedWords: 0, accounts: [], poolBps: 10_000 })
  expect(of(500)).toEqual({ places: 65, matchedWords: 0, accounts: [], poolBps: 10_000 })
})

test('words that echo the prompt are nobody’s', () => {
  const record = createAttributor(recordsOf([QUOTE]))(bytesOf(`${QUOTE} end end`), bytesOf('say two three four five six seven'))
  expect(record.echoes).toEqual([{ start: 1, length: 6, offset: 1 }])
  const sourceOf = () => ({ qualityBps: 10_000, contributors: [{ account: 1, shareBps: 10_000 }] })
  expect(sharesOf(record, { recordCount: 1, sourceOf })).toEqual({
    matchedWords: 2,
    accounts: [{ account: 1, bps: 2_000 }],
    poolBps: 8_000,
  })
})

test('quality that is missing is the pool’s, and an upload’s split is kept', () => {
  const record = createAttributor(recordsOf([QUOTE]))(bytesOf(QUOTE), new Uint8Array())
  const contributors = [
    { account: 9, shareBps: 3_333 },
    { account: 2, shareBps: 6_667 },
  ]
  expect(sharesOf(record, { recordCount: 1, sourceOf: () => ({ qualityBps: 5_000, contributors }) })).toEqual({
    matchedWords: 8,
    accounts: [
      { account: 2, bps: 3_333 }, // 3,333.5 and 1,666.5: the point that rounding leaves goes to the lower account
      { account: 9, bps: 1_666 },
    ].map((one, i) => (i === 0 ? { ...one, bps: 3_334 } : one)),
    poolBps: 5_000,
  })
  expect(sharesOf(record, { recordCount: 1, sourceOf: () => undefined })).toEqual({ matchedWords: 8, accounts: [], poolBps: 10_000 })
})

test('what is too long to be opened is not attributed', () => {
  const attribute = createAttributor(recordsOf([QUOTE]))
  const long = bytesOf(`${QUOTE} `.repeat(2_000))
  expect(attribute(bytesOf(QUOTE), long)).toMatchObject({ outputWords: 0, promptWords: PROMPT_TOO_LONG, echoes: [], spans: [] })
  expect(attribute(long, new Uint8Array())).toMatchObject({ outputWords: 0, promptWords: 0, spans: [] })
  expect(attribute(bytesOf('x '.repeat(5_000)), new Uint8Array())).toMatchObject({ outputWords: POA.outputWordsMax })
})

test('the record has one form', () => {
  const record = createAttributor(recordsOf([QUOTE]))(bytesOf(`${QUOTE} and ${QUOTE}`), bytesOf(QUOTE))
  const bytes = encodeAttribution(record)
  expect(attributionHash(record)).toMatch(/^0x[0-9a-f]{64}$/)
  expect(decodeAttribution(bytes)).toEqual(record)
  expect(decodeAttribution(Uint8Array.from([...bytes, 0]))).toBe(undefined)
  expect(decodeAttribution(bytes.subarray(0, -1))).toBe(undefined)
  expect(decodeAttribution(Uint8Array.from([2, ...bytes.subarray(1)]))).toBe(undefined)
  const [span, second] = record.spans
  expect(span && second).toBeTruthy()
  if (!span || !second) return
  const place = span.places[0]
  const wrong = [
    { ...record, spans: [second, span] },
    { ...record, spans: [{ ...span, length: 5 }] },
    { ...record, spans: [{ ...span, places: [] }] },
    { ...record, spans: [{ ...span, places: place ? [place, place] : [] }] },
    { ...record, spans: [{ ...span, start: 13 }] },
    { ...record, outputWords: 4_097 },
    { ...record, promptWords: PROMPT_TOO_LONG },
    { ...record, echoes: [{ start: 0, length: 8, offset: 1 }] },
    { ...record, spans: Array.from({ length: 65 }, (_, i) => ({ ...span, start: i })), outputWords: 100 },
  ]
  for (const one of wrong) expect(decodeAttribution(encodeAttribution(one))).toBe(undefined)
  expect(ATTRIBUTION_BYTES_MAX).toBeLessThan(60_000)
})
