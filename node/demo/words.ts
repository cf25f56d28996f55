/**
 * Words, as the demo counts and compares them: maximal runs of ASCII letters and digits and of the code points U+00C0 to U+1FFF, and every code
 * point from U+2E80 on alone; ASCII capitals are lowered; all else only separates. No Unicode tables and no locale, so that two machines never
 * disagree.
 */

const WORD = /[0-9A-Za-z\u00c0-\u1fff]+|[\u{2e80}-\u{10ffff}]/gu

/** The words of a text, in order. */
export function wordsOf(text: string): string[] {
  return (text.match(WORD) ?? []).map((word) => word.replace(/[A-Z]+/g, (capitals) => capitals.toLowerCase()))
}
