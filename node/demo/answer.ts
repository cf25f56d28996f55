/**
 * What the demo's model does: it answers a prompt with the sentences of its records that share the rarest words with it, quoted as they stand.
 * No language model: a small, exact program, so that every output is the same on every machine and shows where its words come from. The
 * keccak256 of this file is the `baseHash` of the model.
 */
import { wordsOf } from './words.ts'

/** Sentences that can be quoted have this many words. */
const SENTENCE_WORDS_MIN = 8
const SENTENCE_WORDS_MAX = 60
/** Most sentences in an answer, each of another record. */
const QUOTES_MAX = 3

/** Words between quotes are the program's own: nobody's records. */
const OPENINGS = ['The records say:', 'They also say:', 'And they say:']
const NOTHING = 'The records say nothing about that.'

/** Words by which a question is a question: they say nothing of what is asked for. */
const ASKING = new Set(
  'what which how when where who why do does is are may can should it its a an the of to in on for and or with from that'.split(' '),
)
/** Signs of code, tables and headings, which are not quoted. */
const NO_PROSE = /[{};=<>|#]|\w\(/

/** Answers a prompt in at most `wordsMax` words. */
export type Answerer = (prompt: string, wordsMax: number) => string

type Sentence = { readonly text: string; readonly words: ReadonlySet<string>; readonly length: number; readonly record: number }

/** A program that answers out of these records. */
export function createAnswerer(records: readonly string[]): Answerer {
  const sentences = records.flatMap((text, record) => sentencesOf(text).map((sentence) => toSentence(sentence, record)))
  const frequency = new Map<string, number>()
  for (const { words } of sentences) for (const word of words) frequency.set(word, (frequency.get(word) ?? 0) + 1)

  /** Rarer words weigh more; a word of half of all sentences weighs nothing. */
  const weightOf = (word: string) => Math.max(0, ilog2(sentences.length) - ilog2(frequency.get(word) ?? sentences.length) - 1)
  /** Longer sentences share more words by chance: the score is by length, in thousandths. */
  const scoreOf = ({ words, length }: Sentence, asked: readonly string[]) =>
    Math.floor((1000 * asked.reduce((sum, word) => sum + (words.has(word) ? weightOf(word) : 0), 0)) / (length + 24))

  return (prompt, wordsMax) => {
    const asked = [...new Set(wordsOf(prompt))].filter((word) => !ASKING.has(word))
    const scored = sentences.map((sentence) => ({ sentence, score: scoreOf(sentence, asked) })).filter(({ score }) => score > 0)
    scored.sort((a, b) => b.score - a.score) // stable: of equals the earlier one
    const quoted: Sentence[] = []
    let words = 0
    for (const { sentence } of scored) {
      const opening = OPENINGS[quoted.length]
      if (opening === undefined || quoted.length === QUOTES_MAX) break
      const more = sentence.length + wordsOf(opening).length
      if (words + more > wordsMax || quoted.some((one) => one.record === sentence.record || isSame(one, sentence))) continue
      quoted.push(sentence)
      words += more
    }
    return quoted.length === 0 ? NOTHING : quoted.map(({ text }, i) => `${OPENINGS[i]} “${text}”`).join(' ')
  }
}

/** Sentences of the prose in a record, as they stand but for line breaks. */
function sentencesOf(record: string): string[] {
  const paragraphs = record.split(/\n(?=\s*\n|\s*[-*|#>]|\s*\d+\. )/).map((part) => part.replace(/^\s*([-*>]|\d+\.)?\s*/, ''))
  return paragraphs
    .flatMap((paragraph) => paragraph.replace(/\s+/g, ' ').split(/(?<=[.!?]) (?=[A-Z`"'([])/))
    .filter((sentence) => /^[A-Z`*_"'(].*[.!?:]["'`*_)]*$/.test(sentence) && !NO_PROSE.test(sentence))
    .filter((sentence) => {
      const { length } = wordsOf(sentence)
      return length >= SENTENCE_WORDS_MIN && length <= SENTENCE_WORDS_MAX
    })
}

function toSentence(text: string, record: number): Sentence {
  const words = wordsOf(text)
  return { text, words: new Set(words), length: words.length, record }
}

/** Whether two sentences have the same words, as texts that many packages carry do. */
function isSame(a: Sentence, b: Sentence): boolean {
  return a.length === b.length && wordsOf(a.text).join(' ') === wordsOf(b.text).join(' ')
}

function ilog2(value: number): number {
  return 31 - Math.clz32(Math.max(1, value))
}
