import fc from 'fast-check'
import { size, stringToBytes } from 'viem'
import { expect, test } from 'vitest'
import { createAttributor } from '../../execution/attribution/attribute.ts'
import { RECORD_BYTES_MAX } from '../../execution/attribution/commitment.ts'
import { createAnswerer } from '../../node/demo/answer.ts'
import { commitRecords, cutRecords, readRecords } from '../../node/demo/records.ts'
import { tableOf } from '../../node/demo/screen.ts'
import { wordsOf } from '../../node/demo/words.ts'

const ALICE = `0x${'a1'.repeat(20)}` as const
const BOB = `0x${'b0'.repeat(20)}` as const

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
  const records = RIVERS.map((text, record) => ({ datanet: 0, uploadIndex: 0, record, bytes: stringToBytes(text) }))
  const { spans } = createAttributor(records)(stringToBytes(output), new Uint8Array())
  expect(spans.map(({ places }) => places[0]?.record)).toEqual([0])
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
