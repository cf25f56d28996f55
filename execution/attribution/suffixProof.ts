/**
 * A committed suffix array: proof that no run of words stands in a snapshot that is longer than so many. The entries are the places of every word in the
 * order of the words that follow, records that end first; two neighbours between which a query falls share with it the most words that any
 * place does. Leaves of 32 entries (uploadIndex u32 ‖ record u32 ‖ offset u16), tagged 0x03; the root is 0x08 over count and tree.
 * Spec: docs/spec/attribution.md#longest-match
 */
import { bytesToHex, concatBytes, type Hex, numberToBytes, parseAbiParameters } from 'viem'
import { assert } from '../assert.ts'
import { compileFields, type FieldsOf } from '../fields.ts'
import { fromHex } from '../hex.ts'
import { rootOf, runPath, runRoot, tagged, treeLevels } from '../merkle.ts'
import type { SnapshotRecord } from './attribute.ts'
import { wordBytes } from './lexer.ts'
import { decodeOpening, encodeOpening, type OpenUpload, openRecord, showRecord } from './opening.ts'
import type { WordIndex } from './wordIndex.ts'

const LEAF_ENTRIES = 32
const ENTRY_BYTES = 10
const TAG = { leaf: 0x03, root: 0x08 } as const

const proofParameters = parseAbiParameters('uint32 entries, uint32 entry, bytes[] leaves, bytes32[] path, bytes lower, bytes upper')
const proofFields = compileFields(proofParameters)

/**
 * The query falls in front of entry `entry`. `leaves` hold it and the one before; `lower` and `upper` open the words that decide, in packed form, and
 * are empty at the array's ends.
 */
export type LongestProof = FieldsOf<typeof proofParameters>

/** Packed form of a proof. */
export function encodeLongestProof(proof: LongestProof): Uint8Array {
  return proofFields.pack(proof)
}

/** Reads a packed proof; undefined if it is malformed. */
export function decodeLongestProof(bytes: Uint8Array): LongestProof | undefined {
  return proofFields.unpack(bytes)
}

/** `badProof`: the proof does not lead to the roots; `badOrder`: the query does not fall between the two entries. */
export type LongestVerdict = { readonly ok: true; readonly length: number } | { readonly ok: false; readonly code: 'badProof' | 'badOrder' }

const BAD_PROOF = { ok: false, code: 'badProof' } as const

/** The longest run that the query's words begin with anywhere in the snapshot, in words. Words are bytes, one character a byte. */
export function verifyLongest(
  roots: { readonly suffixRoot: Hex; readonly snapshotRoot: Hex },
  query: readonly string[],
  proof: LongestProof,
): LongestVerdict {
  const entries = readEntries(roots.suffixRoot, proof)
  if (!entries) return BAD_PROOF
  const before = compareAt(roots.snapshotRoot, query, { entry: entries.before, opening: proof.lower, side: -1 })
  const after = compareAt(roots.snapshotRoot, query, { entry: entries.after, opening: proof.upper, side: 1 })
  if (before === undefined || after === undefined) return BAD_PROOF
  if (before.order >= 0 || after.order < 0) return { ok: false, code: 'badOrder' }
  return { ok: true, length: Math.max(before.shared, after.shared) }
}

type Entry = { readonly uploadIndex: number; readonly record: number; readonly offset: number }

/** The entries around the query's place; an end of the array has none. */
function readEntries(
  suffixRoot: Hex,
  { entries, entry, leaves, path }: LongestProof,
): { readonly before: Entry | undefined; readonly after: Entry | undefined } | undefined {
  if (entries === 0 || entry > entries) return undefined
  const first = Math.floor(Math.max(0, entry - 1) / LEAF_ENTRIES)
  const last = Math.floor(Math.min(entries - 1, entry) / LEAF_ENTRIES)
  if (leaves.length !== last - first + 1) return undefined
  const bytes = leaves.map((leaf) => fromHex(leaf))
  const isWhole = bytes.every((leaf, i) => leaf.length === ENTRY_BYTES * Math.min(LEAF_ENTRIES, entries - (first + i) * LEAF_ENTRIES))
  const hashes = bytes.map((leaf) => tagged(TAG.leaf, leaf))
  const width = Math.ceil(entries / LEAF_ENTRIES)
  const root = runRoot({ leaves: hashes, first, width, path: path.map((hash) => fromHex(hash)) })
  if (!isWhole || !root || rootOfEntries(entries, root) !== suffixRoot) return undefined
  const at = (i: number) => (i < 0 || i >= entries ? undefined : readEntry(concatBytes(bytes), (i - first * LEAF_ENTRIES) * ENTRY_BYTES))
  return { before: at(entry - 1), after: at(entry) }
}

function readEntry(bytes: Uint8Array, at: number): Entry {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, ENTRY_BYTES)
  return { uploadIndex: view.getUint32(0), record: view.getUint32(4), offset: view.getUint16(8) }
}

/** One side of the query: the entry there (none beyond an end of the array), what opens it, and where it has to stand. */
type Side = { readonly entry: Entry | undefined; readonly opening: Hex; readonly side: -1 | 1 }

/** Order of the words at an entry against the query, a record's end standing below every word, and how many they share. */
function compareAt(
  snapshotRoot: Hex,
  query: readonly string[],
  { entry, opening, side }: Side,
): { readonly order: number; readonly shared: number } | undefined {
  if (!entry) return opening === '0x' ? { order: side, shared: 0 } : undefined
  const decoded = decodeOpening(fromHex(opening))
  const shown = decoded && showRecord(snapshotRoot, decoded)
  if (!shown?.shown.words) return undefined
  const { upload, record } = shown
  if (upload.uploadIndex !== entry.uploadIndex || record.record !== entry.record || entry.offset < shown.shown.first) return undefined
  const words = shown.shown.words.slice(entry.offset - shown.shown.first)
  for (const [i, word] of query.entries()) {
    const own = words[i]
    if (own === undefined) return entry.offset + i === record.words ? { order: -1, shared: i } : undefined
    if (own !== word) return { order: own < word ? -1 : 1, shared: i }
  }
  return { order: 0, shared: query.length }
}

/** A snapshot's suffix array, committed. */
export type SuffixCommitment = {
  readonly suffixRoot: Hex
  /** Proves what the longest run is that these words begin with. */
  prove(query: readonly string[]): LongestProof
}

/** Commits to the index of one snapshot, whose records these are. */
export function commitSuffixes(index: WordIndex, records: readonly SnapshotRecord[], uploads: readonly OpenUpload[]): SuffixCommitment {
  const entries = index.wordPositions()
  const leaves = Array.from({ length: Math.ceil(entries.length / LEAF_ENTRIES) }, (_, leaf) => {
    const own = entries.subarray(leaf * LEAF_ENTRIES, (leaf + 1) * LEAF_ENTRIES)
    return concatBytes(Array.from(own, (position) => encodeEntry(entryOf(position))))
  })
  assert(leaves.length > 0, 'a snapshot has words')
  const levels = treeLevels(leaves.map((leaf) => tagged(TAG.leaf, leaf)))

  function entryOf(position: number): Entry {
    const { record, offset } = index.placeOf(position)
    const known = records[record]
    assert(known, 'the index is of other records')
    return { uploadIndex: known.uploadIndex, record: known.record, offset }
  }

  function openAt(i: number, query: readonly string[]): Hex {
    const position = entries[i]
    if (position === undefined) return '0x'
    const entry = entryOf(position)
    return bytesToHex(encodeOpening(openRecord(uploads, { ...entry, length: query.length })))
  }

  return {
    suffixRoot: rootOfEntries(entries.length, rootOf(levels)),
    prove(query) {
      const entry = index.countBelow(query)
      const first = Math.floor(Math.max(0, entry - 1) / LEAF_ENTRIES)
      const last = Math.floor(Math.min(entries.length - 1, entry) / LEAF_ENTRIES)
      return {
        entries: entries.length,
        entry,
        leaves: leaves.slice(first, last + 1).map((leaf) => bytesToHex(leaf)),
        path: runPath(levels, first, last).map((hash) => bytesToHex(hash)),
        lower: openAt(entry - 1, query),
        upper: openAt(entry, query),
      }
    },
  }
}

function rootOfEntries(entries: number, root: Uint8Array): Hex {
  return bytesToHex(tagged(TAG.root, numberToBytes(entries, { size: 4 }), root))
}

function encodeEntry({ uploadIndex, record, offset }: Entry): Uint8Array {
  return concatBytes([numberToBytes(uploadIndex, { size: 4 }), numberToBytes(record, { size: 4 }), numberToBytes(offset, { size: 2 })])
}

/** A word as proofs have it: its bytes, one character a byte. */
export function rawWord(word: string): string {
  return String.fromCharCode(...wordBytes(word))
}
