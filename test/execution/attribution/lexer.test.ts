/** Lexer T1: bytes into words. Spec: docs/spec/attribution.md#words */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareWords, wordBytes, wordsOf } from '../../../execution/attribution/lexer.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const lex = (text: string) => wordsOf(bytesOf(text))

/** T1 byte by byte, as the spec tells it. */
function lexBytes(bytes: Uint8Array): string[] {
  const words: number[][] = []
  let open: number[] | undefined
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] ?? 0
    const width = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    const code = [...bytes.subarray(at, at + width)].map((byte) => (byte >= 65 && byte <= 90 && width === 1 ? byte + 32 : byte))
    const point = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(at, at + width)).codePointAt(0) ?? 0
    const isLetter = width === 1 ? /[0-9A-Za-z]/.test(String.fromCharCode(first)) : point < 0x2e80
    if (isLetter) {
      if (!open || open.length + width > 64) {
        open = []
        words.push(open)
      }
      open.push(...code)
    } else {
      open = undefined
      if (first > 0x20) words.push(code)
    }
    at += width
  }
  return words.map((word) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(word)))
}

test('words are runs of letters and digits, signs stand alone, blanks vanish', () => {
  expect(lex('The QUICK brown-fox, 42%\n\tÄpfel été 漢字 😀x \u007f')).toEqual([
    ...['the', 'quick', 'brown', '-', 'fox', ',', '42', '%', 'Äpfel', 'été', '漢', '字', '😀', 'x', '\u007f'],
  ])
  expect(lex('')).toEqual([])
  expect(lex(' \0\r\n')).toEqual([])
  expect(lex('\ufeffa')).toEqual(['\ufeff', 'a'])
})

test('only ASCII is lowered', () => expect(lex('\u00c0\u0130 \u212a')).toEqual(['\u00c0\u0130', '\u212a'])) // the last is the Kelvin sign

test('words are cut after 64 bytes and never within a code point', () => {
  expect(lex('a'.repeat(130))).toEqual(['a'.repeat(64), 'a'.repeat(64), 'aa'])
  expect(lex(`a${'ä'.repeat(40)}`)).toEqual([`a${'ä'.repeat(31)}`, 'ä'.repeat(9)])
  expect(lex('ࠀ'.repeat(22))).toEqual(['ࠀ'.repeat(21), 'ࠀ'])
})

test('bytes that are not UTF-8 have no words at all', () => {
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0x61, 0x80]])
    expect(wordsOf(Uint8Array.from(bytes))).toBe(undefined)
})

test('every text gives the words that the bytes give', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('A', 'ä', ' ', 'ⷿ', '⺀', '漢', '😀', 'Zz9', '\u007f', 'x'.repeat(70)),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const bytes = bytesOf(pieces.join(''))
      expect(wordsOf(bytes)).toEqual(lexBytes(bytes))
    }),
  )
})

test('the order of words is that of their bytes', () => {
  const points = fc.string({ unit: 'binary', maxLength: 4 })
  fc.assert(
    fc.property(points, points, (a, b) => {
      const [x, y] = [a, b].map((text) => Array.from(bytesOf(text), (byte) => String.fromCharCode(byte)).join(''))
      expect(Math.sign(compareWords(a, b))).toBe((x ?? '') < (y ?? '') ? -1 : (x ?? '') > (y ?? '') ? 1 : 0)
      expect(wordBytes(a)).toEqual(bytesOf(a))
    }),
  )
})
