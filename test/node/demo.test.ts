import fc from 'fast-check'
import { size, stringToBytes } from 'viem'
import { expect, test } from 'vitest'
import { createAnswerer } from '../../node/demo/answer.ts'
import { attributionHash, createAttributor, type Source, shareOut } from '../../node/demo/attribution.ts'
import { commitRecords, cutRecords, RECORD_BYTES_MAX, readRecords } from '../../node/demo/records.ts'
import { tableOf } from '../../node/demo/screen.ts'
import { wordsOf } from '../../node/demo/words.ts'

const ALICE = `0x${'a1'.repeat(20)}` as const
const BOB = `0x${'b0'.repeat(20)}` as const
const FULL = 10_000

test('words: ASCII is lowered, signs separate, letters of other scripts stay', () =>
  expect(wordsOf('The “Größe” of x_1, μέγεθος & 大小!')).toEqual(['the', 'größe', 'of', 'x', '1', 'μέγεθος', '大', '小']))

test('records: markup goes, records end at blank lines, none is above 16 KiB', () => {
  const paragraph = 'word '.repeat(400).trimEnd()
  const text = `[![badge](x)](y)\r\n<p>\r\n# Title\n\n\n\n${paragraph}\n\n${paragraph}\n${'x'.repeat(RECORD_BYTES_MAX)}\nend`
  expect(cutRecords(text)).toEqual([`# Title\n\n${paragraph}`, `${paragraph}\nend`])
})

test('records: whatever the text, all words of its lines are kept, in order', () =>
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-z ]{0,3000}$/), { maxLength: 30 }), (lines) => {
      const records = cutRecords(lines.join('\n'))
      expect(records.flatMap(wordsOf)).toEqual(lines.flatMap(wordsOf))
      for (const record of records) expect(stringToBytes(record).length).toBeLessThanOrEqual(RECORD_BYTES_MAX)
    }),
    { numRuns: 50 },
  ))

test("records: the same texts under another contributor's name have another root, and the same content id", () => {
  const records = [
    { text: 'one', from: 'a' },
    { text: 'two', from: 'a' },
  ]
  const [own, copied] = [commitRecords(records, ALICE), commitRecords(records, BOB)]
  expect(own).toMatchObject({ recordCount: 2, byteCount: 6n })
  expect(copied.contentRoot).not.toBe(own.contentRoot)
  expect(copied.contentId).toBe(own.contentId)
  expect(own.contentId.slice(0, 10)).toBe('0x01551220')
  expect(size(own.contentId)).toBe(36)
})

test('records: installed packages give texts, in one order, none twice; what is not installed gives none', () => {
  const records = readRecords(['level', 'no-such-package', 'level'])
  expect(records.length).toBeGreaterThan(1)
  expect(new Set(records.map(({ text }) => text)).size).toBe(records.length)
  expect(readRecords(['level'])).toEqual(records)
})

test('attribution: five words are not enough, six are, and only within one record', () => {
  const attribute = createAttributor(['a b c d e f g', 'h i j k l m'])
  expect(attribute('a b c d e x').spans).toEqual([])
  expect(attribute('x A, B, C, d e f y').spans).toEqual([{ start: 1, length: 6, record: 0 }])
  expect(attribute('e f g h i j k').spans).toEqual([])
})

test('attribution: of equal runs the earliest record is the source, a longer run beats an earlier one', () => {
  const attribute = createAttributor(['a b c d e f', 'a b c d e f', 'a b c d e f g h'])
  expect(attribute('a b c d e f').spans).toEqual([{ start: 0, length: 6, record: 0 }])
  expect(attribute('a b c d e f g').spans).toEqual([{ start: 0, length: 7, record: 2 }])
})

test('attribution: where spans overlap, a word goes to the longer one', () => {
  const attribute = createAttributor(['a b c d e f g', 'e f g h i j k l'])
  const { spans, wordsOfRecord, words } = attribute('a b c d e f g h i j k l')
  expect(spans).toEqual([
    { start: 0, length: 7, record: 0 },
    { start: 4, length: 8, record: 1 },
  ])
  expect({ words, counts: [...wordsOfRecord] }).toEqual({
    words: 12,
    counts: [
      [0, 4],
      [1, 8],
    ],
  })
})

test('attribution: its hash names words and spans', () => {
  const attribute = createAttributor(['a b c d e f g h'])
  const hashes = ['a b c d e f', 'a b c d e f x', 'b c d e f g', ''].map((output) => attributionHash(attribute(output)))
  expect(hashes[0]).not.toBe(hashes[1]) // another length of the output
  expect(hashes[0]).toBe(hashes[2]) // the place within the record is not part of it
  expect(new Set(hashes).size).toBe(3)
})

test('shares: by words, quality and part in the upload, each rounded down', () => {
  const sources: Source[] = [
    { qualityBps: FULL, contributors: [{ account: 1, shareBps: FULL }] },
    {
      qualityBps: 5_000,
      contributors: [
        { account: 2, shareBps: 7_000 },
        { account: 1, shareBps: 3_000 },
      ],
    },
  ]
  const attribution = {
    words: 10,
    spans: [],
    wordsOfRecord: new Map([
      [0, 3],
      [1, 4],
    ]),
  }
  // 1001 × 3/10 = 300.3 → 300; 1001 × 4/10 × 50 % × 70 % = 140.14 → 140, × 30 % = 60.06 → 60
  expect(shareOut(1_001n, attribution, sources)).toEqual(
    new Map([
      [1, 360n],
      [2, 140n],
    ]),
  )
})

test('shares: never above the part, whatever the output and the records', () => {
  const letters = fc.stringMatching(/^([a-c] ){0,60}$/)
  fc.assert(
    fc.property(
      fc.array(letters, { minLength: 1, maxLength: 5 }),
      letters,
      fc.bigInt({ min: 0n, max: 2n ** 96n - 1n }),
      (records, output, part) => {
        const attribution = createAttributor(records)(output)
        const sources = records.map((_, i) => ({ qualityBps: FULL - i, contributors: [{ account: i + 1, shareBps: FULL }] }))
        const sum = [...shareOut(part, attribution, sources).values()].reduce((all, one) => all + one, 0n)
        expect(sum <= part).toBe(true)
        const given = [...attribution.wordsOfRecord.values()].reduce((all, one) => all + one, 0)
        expect(given).toBeLessThanOrEqual(attribution.words)
      },
    ),
    { numRuns: 200 },
  )
})

const RIVERS = [
  'The Danube flows through ten countries on its way to the Black Sea.\nIts source is in the Black Forest.',
  'The Nile was long thought to be the longest river of the world.\n\n```js\nconst nile = longest(river, world, danube)\n```',
  'Bread is made from flour and water and it needs a lot of patience.',
  'A violin has four strings and is played with a bow of horsehair.',
  'Nobody knows for certain who carved the first flute out of bone.',
  'Granite cools so slowly below ground that its crystals can be seen.',
]

test('answers: sentences of prose that share rare words with the prompt, quoted; the same each time', () => {
  const answer = createAnswerer(RIVERS)
  const output = answer('Through which countries does the Danube flow?', 60)
  expect(output).toBe('The records say: “The Danube flows through ten countries on its way to the Black Sea.”')
  expect(answer('Through which countries does the Danube flow?', 60)).toBe(output)
  expect(createAttributor(RIVERS)(output)).toMatchObject({ words: 16, spans: [{ start: 3, length: 13, record: 0 }] })
})

test('answers: a prompt that nothing is known of, and one that leaves no room, are answered without a quote', () => {
  const answer = createAnswerer(RIVERS)
  expect(answer('Who composed the symphony?', 60)).toBe('The records say nothing about that.')
  expect(answer('Through which countries does the Danube flow?', 10)).toBe('The records say nothing about that.')
})

test('tables: numbers stand to the right, texts to the left', () =>
  expect(
    tableOf(
      ['who', 'share'],
      [
        ['worker', '5.00 %'],
        ['owner', '12.50 %'],
      ],
    ),
  ).toBe('  who        share\n  ────────────────\n  worker    5.00 %\n  owner    12.50 %\n'))
