/** Openings and longest-match proofs: what is so is shown, and nothing else is. Spec: docs/spec/attribution.md#openings */
import fc from 'fast-check'
import { bytesToHex, type Hex } from 'viem'
import { expect, test } from 'vitest'
import { contentRootOf, readRecord, snapshotRoot } from '../../../execution/attribution/commitment.ts'
import { wordBytes, wordsOf } from '../../../execution/attribution/lexer.ts'
import {
  decodeOpening,
  encodeOpening,
  type OpenUpload,
  openRecord,
  openWords,
  showRecord,
  showWords,
  wordsAt,
} from '../../../execution/attribution/opening.ts'
import { commitSuffixes, decodeLongestProof, encodeLongestProof, verifyLongest } from '../../../execution/attribution/suffixProof.ts'
import { createWordIndex } from '../../../execution/attribution/wordIndex.ts'
import { runPath, runRoot, tagged, treeLevels } from '../../../execution/merkle.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const raw = (words: readonly string[]) => words.map((word) => String.fromCharCode(...wordBytes(word)))
const CONTRIBUTOR: Hex = `0x${'a3'.repeat(20)}`

function uploadOf(uploadIndex: number, texts: readonly string[]): OpenUpload {
  const records = texts.map(bytesOf)
  return {
    uploadIndex,
    recordCount: records.length,
    qualityBps: 9_000,
    contentRoot: contentRootOf(records, CONTRIBUTOR),
    contributor: CONTRIBUTOR,
    records,
  }
}

const LONG = Array.from({ length: 150 }, (_, i) => `w${i % 7}x${i}`).join(' ')
const UPLOADS = [uploadOf(0, ['a b c a b', LONG]), uploadOf(3, ['b c a', '', 'ä 漢 b']), uploadOf(4, [LONG])]
const ROOT = snapshotRoot(UPLOADS)

test('every run of leaves of every tree is opened by its path, and by no other', () => {
  for (let width = 1; width <= 9; width++) {
    const leaves = Array.from({ length: width }, (_, i) => tagged(0x42, Uint8Array.of(i)))
    const levels = treeLevels(leaves)
    const root = levels.at(-1)?.[0]
    for (let first = 0; first < width; first++) {
      for (let last = first; last < width; last++) {
        const run = { leaves: leaves.slice(first, last + 1), first, width, path: runPath(levels, first, last) }
        expect(runRoot(run)).toEqual(root)
        expect(runRoot({ ...run, path: [...run.path, tagged(0)] })).toBe(undefined)
        if (run.path.length > 0) expect(runRoot({ ...run, path: run.path.slice(1) })).not.toEqual(root)
        expect(runRoot({ ...run, first: width })).toBe(undefined)
      }
    }
  }
})

test('words of a text are shown under its root', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 200 }), fc.nat(200), fc.nat(40), (count, from, length) => {
      const words = Array.from({ length: count }, (_, i) => `w${i}`)
      const shown = showWords(openWords(words, from, length), count)
      expect(shown).toBeDefined()
      const inside = from + length <= count && length > 0
      if (shown && inside) expect(wordsAt(shown, from, length)).toEqual(words.slice(from, from + length))
    }),
  )
})

test('words of a record are shown under the snapshot’s root; another place, contributor or quality is not', () => {
  const place = { uploadIndex: 0, record: 1, offset: 30, length: 5 }
  const opening = openRecord(UPLOADS, place)
  expect(decodeOpening(encodeOpening(opening))).toEqual(opening)
  const shown = showRecord(ROOT, opening)
  expect(shown && wordsAt(shown.shown, 30, 5)).toEqual(LONG.split(' ').slice(30, 35))
  expect(shown).toMatchObject({
    upload: { uploadIndex: 0, qualityBps: 9_000 },
    record: { record: 1, contributor: CONTRIBUTOR, words: 150 },
  })
  const { upload, record, run } = opening
  const wrong = [
    { ...opening, upload: { ...upload, position: 1 } },
    { ...opening, upload: { ...upload, uploads: 4 } },
    { ...opening, upload: { ...upload, uploadIndex: 1 } },
    { ...opening, upload: { ...upload, qualityBps: 9_001 } },
    { ...opening, upload: { ...upload, recordCount: 3 } },
    { ...opening, record: { ...record, record: 0 } },
    { ...opening, record: { ...record, words: 149 } },
    { ...opening, record: { ...record, contributor: `0x${'a4'.repeat(20)}` as Hex } },
    { ...opening, run: { ...run, firstLeaf: 1 } },
    { ...opening, run: { ...run, leaves: run.leaves.map((leaf) => `${leaf.slice(0, -1)}${leaf.endsWith('0') ? 1 : 0}` as Hex) } },
    { ...opening, run: { ...run, path: [] } },
  ]
  for (const one of wrong) expect(showRecord(ROOT, one)).toBe(undefined)
  expect(showRecord(`0x${'00'.repeat(32)}`, opening)).toBe(undefined)
})

test('a record is UTF-8 and bounded', () => {
  expect(readRecord(Uint8Array.of(0xff))).toBe(undefined)
  expect(readRecord(new Uint8Array(16_385).fill(0x61))).toBe(undefined)
  expect(readRecord(new Uint8Array(16_384).fill(0x2d))?.words).toHaveLength(16_384)
})

const RECORDS = UPLOADS.flatMap(({ uploadIndex, records }) => records.map((bytes, record) => ({ datanet: 0, uploadIndex, record, bytes })))
const INDEX = createWordIndex(RECORDS.map(({ bytes }) => bytes))
const SUFFIXES = commitSuffixes(INDEX, RECORDS, UPLOADS)
const ROOTS = { suffixRoot: SUFFIXES.suffixRoot, snapshotRoot: ROOT }

/** Longest run that the query begins with, by looking everywhere. */
function longestOf(query: readonly string[]): number {
  const texts = RECORDS.map(({ bytes }) => wordsOf(bytes) ?? [])
  let longest = 0
  for (const words of texts) {
    for (const start of words.keys()) {
      let length = 0
      while (length < query.length && query[length] === words[start + length]) length++
      longest = Math.max(longest, length)
    }
  }
  return longest
}

test('the longest match of any query is proven, whether it stands there or not', () => {
  const known = fc.constantFrom('a', 'b', 'c', 'ä', '漢', 'zz', '!', 'w1x8', 'w2x9', 'w3x10')
  const query = fc.oneof(
    fc.array(known, { minLength: 1, maxLength: 6 }),
    fc.tuple(fc.nat(149), fc.nat(40)).map(([from, length]) => [...LONG.split(' ').slice(from, from + length + 1), 'zz']),
  )
  fc.assert(
    fc.property(query, (words) => {
      const proof = SUFFIXES.prove(words)
      expect(decodeLongestProof(encodeLongestProof(proof))).toEqual(proof)
      expect(verifyLongest(ROOTS, raw(words), proof)).toEqual({ ok: true, length: longestOf(words) })
    }),
    { numRuns: 60 },
  )
})

test('neighbours elsewhere, other roots and other queries prove nothing', () => {
  const words = ['b', 'c', 'a', 'zz']
  const proof = SUFFIXES.prove(words)
  expect(verifyLongest(ROOTS, raw(words), proof)).toEqual({ ok: true, length: 3 })
  for (const other of [['a'], ['zz'], ['b', 'c']])
    expect(verifyLongest(ROOTS, raw(words), SUFFIXES.prove(other))).toMatchObject({ ok: false })
  expect(verifyLongest({ ...ROOTS, suffixRoot: ROOT }, raw(words), proof)).toEqual({ ok: false, code: 'badProof' })
  expect(verifyLongest({ ...ROOTS, snapshotRoot: SUFFIXES.suffixRoot }, raw(words), proof)).toEqual({ ok: false, code: 'badProof' })
  expect(verifyLongest(ROOTS, raw(words), { ...proof, entry: proof.entry + 1 })).toEqual({ ok: false, code: 'badProof' })
  expect(verifyLongest(ROOTS, raw(words), { ...proof, entries: proof.entries + 1 })).toEqual({ ok: false, code: 'badProof' })
  expect(verifyLongest(ROOTS, raw(words), { ...proof, lower: '0x' })).toEqual({ ok: false, code: 'badProof' })
  expect(verifyLongest(ROOTS, raw(words), { ...proof, lower: proof.upper, upper: proof.lower })).toEqual({ ok: false, code: 'badProof' })
  expect(bytesToHex(encodeLongestProof(proof)).length / 2).toBeLessThan(6_000)
})
