/**
 * Lexer T1: bytes into the words that attribution compares. A word is a maximal run of [0-9A-Za-z] and of the code points U+0080 to U+2E7F, ASCII
 * capitals lowered, cut after at most 64 bytes; bytes up to 0x20 only separate; every other ASCII character, and every code point from U+2E80
 * on, is a word alone. No Unicode tables and no locale, so that two machines never disagree. Spec: docs/spec/attribution.md#words
 */

/** Bytes of the longest word. */
export const WORD_BYTES_MAX = 64

const WORD = /[0-9A-Za-z\u0080-\u2e7f]+|[^\0-\u0020]/gu
const CAPITALS = /[A-Z]+/g

/** Code units of a word that can have more than 64 bytes: three bytes each at most. */
const LONG_UNITS = Math.floor(WORD_BYTES_MAX / 3)

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** The words of a text in order; undefined: the bytes are not UTF-8. */
export function wordsOf(bytes: Uint8Array): string[] | undefined {
  const text = decodeText(bytes)
  if (text === undefined) return undefined
  const words = text.replace(CAPITALS, (letters) => letters.toLowerCase()).match(WORD) ?? []
  return words.some(({ length }) => length > LONG_UNITS) ? words.flatMap(cutWord) : words
}

/** A word's bytes, at most 64. */
export function wordBytes(word: string): Uint8Array {
  return encoder.encode(word)
}

/** Below, above or 0: the order of the words' bytes. UTF-16 has it but for surrogates, which stand above all else in UTF-8. */
export function compareWords(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x !== y) return orderOf(x) - orderOf(y)
  }
  return a.length - b.length
}

function orderOf(unit: number): number {
  if (unit < 0xd800) return unit
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}

function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined // a fatal decoder throws for bytes that are not UTF-8, and for nothing else
  }
}

/** Pieces of at most 64 bytes, none of which splits a code point. */
function cutWord(word: string): string[] {
  const pieces: string[] = []
  let from = 0
  let bytes = 0
  for (let at = 0; at < word.length; at++) {
    const unit = word.charCodeAt(at)
    const more = unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3 // words of several code points have none above U+2E7F
    if (bytes + more > WORD_BYTES_MAX) {
      pieces.push(word.slice(from, at))
      from = at
      bytes = 0
    }
    bytes += more
  }
  pieces.push(word.slice(from))
  return pieces
}
