/**
 * The suffixes of a sequence of integers in order, in linear time: SA-IS, induced sorting over positions that are smaller than their left
 * neighbour ("LMS"). Source: Nong, Zhang, Chan, "Two Efficient Algorithms for Linear Time Suffix Array Construction", 2011.
 */

/**
 * Suffix array of `text`, whose last element is 0 and the only 0; the others are below `alphabet`. Entry i is the start of the i-th suffix.
 */
export function suffixArrayOf(text: Int32Array, alphabet: number): Int32Array {
  if (text.length === 1) return new Int32Array(1)
  const types = typesOf(text)
  const sorter = createSorter(text, types, alphabet)
  const marks = lmsPositions(types)
  sorter.sortFrom(marks)
  const { reduced, names } = reduce(text, types, sorter.suffixes, marks)
  const order = names < marks.length ? suffixArrayOf(reduced, names) : inverse(reduced)
  const sorted = new Int32Array(marks.length)
  for (let i = 0; i < sorted.length; i++) sorted[i] = marks[order[i] ?? 0] ?? 0
  sorter.sortFrom(sorted)
  return sorter.suffixes
}

/** 1 where a suffix is smaller than the next one, else 0. */
function typesOf(text: Int32Array): Uint8Array {
  const types = new Uint8Array(text.length)
  types[text.length - 1] = 1
  for (let i = text.length - 2; i >= 0; i--) {
    const [here, next] = [text[i] as number, text[i + 1] as number]
    types[i] = here < next || (here === next && types[i + 1] === 1) ? 1 : 0
  }
  return types
}

function isLms(types: Uint8Array, i: number): boolean {
  return i > 0 && types[i] === 1 && types[i - 1] === 0
}

function lmsPositions(types: Uint8Array): Int32Array {
  let count = 0
  for (let i = 1; i < types.length; i++) if (types[i] === 1 && types[i - 1] === 0) count++
  const positions = new Int32Array(count)
  for (let i = 1, at = 0; i < types.length; i++) if (types[i] === 1 && types[i - 1] === 0) positions[at++] = i
  return positions
}

/** Sorts all suffixes from LMS suffixes that are in the order of their buckets. */
function createSorter(text: Int32Array, types: Uint8Array, alphabet: number) {
  const length = text.length
  const suffixes = new Int32Array(length)
  const counts = new Int32Array(alphabet)
  const buckets = new Int32Array(alphabet)
  for (let i = 0; i < length; i++) (counts[text[i] as number] as number)++

  function toStarts(): void {
    for (let letter = 0, sum = 0; letter < alphabet; letter++) {
      buckets[letter] = sum
      sum += counts[letter] as number
    }
  }

  function toEnds(): void {
    for (let letter = 0, sum = 0; letter < alphabet; letter++) {
      sum += counts[letter] as number
      buckets[letter] = sum
    }
  }

  function sortFrom(marks: Int32Array): void {
    suffixes.fill(-1)
    toEnds()
    for (let i = marks.length - 1; i >= 0; i--) {
      const mark = marks[i] as number
      const letter = text[mark] as number
      suffixes[--(buckets[letter] as number)] = mark
    }
    toStarts()
    for (let i = 0; i < length; i++) {
      const before = (suffixes[i] as number) - 1
      if (before >= 0 && types[before] === 0) suffixes[(buckets[text[before] as number] as number)++] = before
    }
    toEnds()
    for (let i = length - 1; i >= 0; i--) {
      const before = (suffixes[i] as number) - 1
      if (before >= 0 && types[before] === 1) suffixes[--(buckets[text[before] as number] as number)] = before
    }
  }

  return { suffixes, sortFrom }
}

/** The LMS substrings by rank, in the order of the text. `names`: how many different ones there are. */
function reduce(text: Int32Array, types: Uint8Array, suffixes: Int32Array, marks: Int32Array): { reduced: Int32Array; names: number } {
  const ranks = new Int32Array(Math.ceil(text.length / 2)).fill(-1) // no two LMS positions are neighbours
  let names = 0
  let previous = -1
  for (let i = 0; i < suffixes.length; i++) {
    const position = suffixes[i] as number
    if (!isLms(types, position)) continue
    if (previous < 0 || differ(text, types, position, previous)) names++
    previous = position
    ranks[position >> 1] = names - 1
  }
  const reduced = new Int32Array(marks.length)
  for (let i = 0; i < marks.length; i++) reduced[i] = ranks[(marks[i] as number) >> 1] as number
  return { reduced, names }
}

/** Whether the LMS substrings at a and b differ. Ends: the final 0 stands once in the text. */
function differ(text: Int32Array, types: Uint8Array, a: number, b: number): boolean {
  for (let d = 0; ; d++) {
    if (text[a + d] !== text[b + d] || types[a + d] !== types[b + d]) return true
    if (d > 0 && (isLms(types, a + d) || isLms(types, b + d))) return false
  }
}

function inverse(ranks: Int32Array): Int32Array {
  const order = new Int32Array(ranks.length)
  for (let i = 0; i < ranks.length; i++) order[ranks[i] as number] = i
  return order
}
