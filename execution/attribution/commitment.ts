/**
 * What uploads and snapshots commit to, down to the word. Words: leaves of 32, each word behind its length byte, tagged 0x00. A record: 0x02, with its
 * place in the upload, its contributor (who uploaded it) and its words' root; an upload's `contentRoot` is the tree over them. An upload in a
 * snapshot: 0x04, with its quality; a model's `snapshotRoot` is 0x05 over their count and tree. Spec: docs/spec/attribution.md#commitments
 */
import { bytesToHex, concatBytes, type Hex, hexToBytes, numberToBytes } from 'viem'
import { assert } from '../assert.ts'
import { keccak256 } from '../keccak.ts'
import { rootOf, tagged, treeLevels } from '../merkle.ts'
import { wordBytes, wordsOf } from './lexer.ts'

/** Words of one leaf. */
export const LEAF_WORDS = 32
/** Bounds of a record. */
export const RECORD_BYTES_MAX = 16_384
export const RECORD_WORDS_MAX = 65_535

const TAG = { words: 0x00, record: 0x02, upload: 0x04, snapshot: 0x05 } as const

/** A record of an upload as its leaf has it. */
export type RecordHead = {
  /** Place in the upload, from 0. */
  readonly record: number
  /** The upload's uploader, so that whoever copies a record has another leaf. */
  readonly contributor: Hex
  readonly words: number
  /** keccak256 of the record's bytes. */
  readonly contentHash: Hex
}

/** An accepted upload of a snapshot as its leaf has it. */
export type UploadHead = {
  readonly uploadIndex: number
  readonly recordCount: number
  readonly qualityBps: number
  readonly contentRoot: Hex
}

/** The leaves of words, in bytes, unhashed. No words are one empty leaf. */
export function wordLeaves(words: readonly string[]): Uint8Array[] {
  return Array.from({ length: wordLeafCount(words.length) }, (_, i) => packWords(words.slice(i * LEAF_WORDS, (i + 1) * LEAF_WORDS)))
}

/** Words behind their length bytes: what a leaf holds, and how verifiers take words. */
export function packWords(words: readonly string[]): Uint8Array {
  return concatBytes(words.map((word) => prefixed(wordBytes(word))))
}

/** Leaves that so many words have. */
export function wordLeafCount(words: number): number {
  return Math.max(1, Math.ceil(words / LEAF_WORDS))
}

export function hashWordLeaf(leaf: Uint8Array): Uint8Array {
  return tagged(TAG.words, leaf)
}

/** Root over words, as records, outputs and prompts have it. */
export function wordsRoot(words: readonly string[]): Uint8Array {
  return rootOf(treeLevels(wordLeaves(words).map(hashWordLeaf)))
}

/** Leaf of a record whose words have this root. */
export function recordLeaf({ record, contributor, words, contentHash }: RecordHead, root: Uint8Array): Uint8Array {
  const place = numberToBytes(record, { size: 4 })
  return tagged(TAG.record, place, hexToBytes(contributor), numberToBytes(words, { size: 2 }), hexToBytes(contentHash), root)
}

/** Leaf of an upload in a snapshot. */
export function uploadLeaf({ uploadIndex, recordCount, qualityBps, contentRoot }: UploadHead): Uint8Array {
  const numbers = [numberToBytes(uploadIndex, { size: 4 }), numberToBytes(recordCount, { size: 4 }), numberToBytes(qualityBps, { size: 2 })]
  return tagged(TAG.upload, ...numbers, hexToBytes(contentRoot))
}

/** The root of a snapshot of so many uploads over the tree of their leaves. */
export function snapshotRootOf(uploads: number, root: Uint8Array): Hex {
  return bytesToHex(tagged(TAG.snapshot, numberToBytes(uploads, { size: 4 }), root))
}

/** A record that may stand in a datanet, taken apart; undefined: it is not UTF-8, or too long. */
export function readRecord(bytes: Uint8Array): { readonly words: readonly string[]; readonly contentHash: Hex } | undefined {
  if (bytes.length > RECORD_BYTES_MAX) return undefined
  const words = wordsOf(bytes)
  return words && words.length <= RECORD_WORDS_MAX ? { words, contentHash: bytesToHex(keccak256(bytes)) } : undefined
}

/** Leaves of an upload's records. Asserts that each may stand in a datanet. */
export function recordLeaves(records: readonly Uint8Array[], contributor: Hex): Uint8Array[] {
  return records.map((bytes, record) => {
    const read = readRecord(bytes)
    assert(read, `record ${record} is not UTF-8 or too long`)
    return recordLeaf({ record, contributor, words: read.words.length, contentHash: read.contentHash }, wordsRoot(read.words))
  })
}

/** What an upload commits to: the root over its records as this contributor's. There is at least one. */
export function contentRootOf(records: readonly Uint8Array[], contributor: Hex): Hex {
  return bytesToHex(rootOf(treeLevels(recordLeaves(records, contributor))))
}

/** What a model's manifest says of a datanet: the root over its accepted uploads, ascending. There is at least one. */
export function snapshotRoot(uploads: readonly UploadHead[]): Hex {
  return snapshotRootOf(uploads.length, rootOf(treeLevels(uploads.map(uploadLeaf))))
}

function prefixed(bytes: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(bytes.length), bytes])
}
