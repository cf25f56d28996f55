/**
 * Openings: words of an output, a prompt or a record, shown under the root that commits to them. In proofs a word is its bytes, one character a
 * byte, for what a leaf holds need not be text.
 * Wire: the packed form of the members below (docs/spec/ledger.md#tables). Spec: docs/spec/attribution.md#openings
 */
import { type Hex, parseAbiParameters } from 'viem'
import { assert } from '../assert.ts'
import { compileFields, type FieldsOf } from '../fields.ts'
import { fromHex, toHex } from '../hex.ts'
import { runPath, runRoot, treeLevels } from '../merkle.ts'
import {
  hashWordLeaf,
  LEAF_WORDS,
  type RecordHead,
  readRecord,
  recordLeaf,
  recordLeaves,
  snapshotRootOf,
  type UploadHead,
  uploadLeaf,
  wordLeafCount,
  wordLeaves,
} from './commitment.ts'
import { WORD_BYTES_MAX } from './lexer.ts'

/** Members of a run of word leaves, as Solidity parameters. */
export const WORD_RUN_MEMBERS = 'uint16 firstLeaf, bytes[] leaves, bytes32[] path'
/** Members of an upload's place in a snapshot. */
export const UPLOAD_PLACE_MEMBERS =
  'uint32 uploads, uint32 position, uint32 uploadIndex, uint32 recordCount, uint16 qualityBps, bytes32 contentRoot, bytes32[] path'

const openingParameters = parseAbiParameters(
  `(${UPLOAD_PLACE_MEMBERS}) upload, (uint32 record, address contributor, uint16 words, bytes32 contentHash, bytes32[] path) record, (${WORD_RUN_MEMBERS}) run`,
)

/** EIP-712 names of the structs in an opening. */
export const OPENING_STRUCTS = { upload: 'UploadPlace', record: 'RecordPlace', run: 'WordRun' } as const

const openingFields = compileFields(openingParameters, OPENING_STRUCTS)

/** Words of a record under a snapshot's root: the upload, the record in it, the words in that. */
export type RecordOpening = FieldsOf<typeof openingParameters>
export type WordRun = RecordOpening['run']
export type UploadPlace = RecordOpening['upload']

/** Packed form of an opening. */
export function encodeOpening(opening: RecordOpening): Uint8Array {
  return openingFields.pack(opening)
}

/** Reads a packed opening; undefined if it is malformed. */
export function decodeOpening(bytes: Uint8Array): RecordOpening | undefined {
  return openingFields.unpack(bytes)
}

/** Words that a run shows: which root they are under, and what they are; undefined words: the leaves hash to the root and hold no words. */
export type ShownWords = { readonly root: Uint8Array; readonly first: number; readonly words: readonly string[] | undefined }

/** What a run shows of so many words; undefined: the path is not one of a run in such a tree. */
export function showWords({ firstLeaf, leaves, path }: WordRun, count: number): ShownWords | undefined {
  const width = wordLeafCount(count)
  // Nobody pays for the hashes of leaves that no such tree has.
  if (firstLeaf + leaves.length > width) return undefined
  const bytes = leaves.map((leaf) => fromHex(leaf))
  const root = runRoot({
    leaves: bytes.map(hashWordLeaf),
    first: firstLeaf,
    width,
    path: path.map((hash) => fromHex(hash)),
  })
  if (!root) return undefined
  const words: string[] = []
  for (const [i, leaf] of bytes.entries()) {
    const own = splitWords(leaf)
    if (own?.length !== Math.min(LEAF_WORDS, count - (firstLeaf + i) * LEAF_WORDS))
      return { root, first: firstLeaf * LEAF_WORDS, words: undefined }
    words.push(...own)
  }
  return { root, first: firstLeaf * LEAF_WORDS, words }
}

/** Words behind their length bytes, taken apart; undefined: they are not. */
export function splitWords(bytes: Uint8Array): string[] | undefined {
  const words: string[] = []
  const text = latin1Of(bytes)
  for (let at = 0; at < bytes.length; ) {
    const length = bytes[at] ?? 0
    const end = at + 1 + length
    if (length === 0 || length > WORD_BYTES_MAX || end > bytes.length) return undefined
    words.push(text.slice(at + 1, end))
    at = end
  }
  return words
}

/** Bytes that are made characters at a time: no more than a call takes arguments everywhere. */
const CHUNK_BYTES = 1_024

/** One character a byte, for all words at once: words are cut from it, which takes a fifth of the time of making each. */
function latin1Of(bytes: Uint8Array): string {
  let text = ''
  for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
    text += String.fromCharCode.apply(undefined, bytes.subarray(from, from + CHUNK_BYTES) as unknown as number[])
  }
  return text
}

/** Words `from` … `from + length − 1` of what a run shows; undefined: it does not show all of them. */
export function wordsAt({ first, words }: ShownWords, from: number, length: number): readonly string[] | undefined {
  if (!words || from < first || from + length > first + words.length) return undefined
  return words.slice(from - first, from - first + length)
}

/** What an opening shows of a snapshot. */
export type ShownRecord = { readonly upload: UploadHead; readonly record: RecordHead; readonly shown: ShownWords }

/** The record and the words that are shown under this snapshot root; undefined: the opening does not lead there. */
export function showRecord(snapshotRoot: Hex, { upload, record, run }: RecordOpening): ShownRecord | undefined {
  const shown = showWords(run, record.words)
  if (!shown || !isUploadIn(snapshotRoot, upload)) return undefined
  const leaf = recordLeaf(record, shown.root)
  const root = runRoot({
    leaves: [leaf],
    first: record.record,
    width: upload.recordCount,
    path: record.path.map((hash) => fromHex(hash)),
  })
  return root && toHex(root) === upload.contentRoot ? { upload, record, shown } : undefined
}

/** Whether the upload stands at its position in the snapshot. */
export function isUploadIn(snapshotRoot: Hex, upload: UploadPlace): boolean {
  const path = upload.path.map((hash) => fromHex(hash))
  const root = runRoot({ leaves: [uploadLeaf(upload)], first: upload.position, width: upload.uploads, path })
  return root !== undefined && snapshotRootOf(upload.uploads, root) === snapshotRoot
}

/** A run over words `from` … `from + length − 1`, at least one leaf of it. */
export function openWords(words: readonly string[], from: number, length: number): WordRun {
  const leaves = wordLeaves(words)
  const [firstLeaf, last] = [from, from + Math.max(1, length) - 1].map((word) => Math.min(leaves.length - 1, Math.floor(word / LEAF_WORDS)))
  assert(firstLeaf !== undefined && last !== undefined)
  const path = runPath(treeLevels(leaves.map(hashWordLeaf)), firstLeaf, last)
  return {
    firstLeaf,
    leaves: leaves.slice(firstLeaf, last + 1).map((leaf) => toHex(leaf)),
    path: path.map((hash) => toHex(hash)),
  }
}

/** An upload of a snapshot with the bytes of its records. */
export type OpenUpload = UploadHead & { readonly contributor: Hex; readonly records: readonly Uint8Array[] }

/** Opens the upload at this position of a snapshot. */
export function openUpload(uploads: readonly UploadHead[], position: number): UploadPlace {
  const head = uploads[position]
  assert(head, 'no such upload in the snapshot')
  const path = runPath(treeLevels(uploads.map(uploadLeaf)), position)
  const { uploadIndex, recordCount, qualityBps, contentRoot } = head
  return {
    uploads: uploads.length,
    position,
    uploadIndex,
    recordCount,
    qualityBps,
    contentRoot,
    path: path.map((hash) => toHex(hash)),
  }
}

/** Opens words of a record of a snapshot. */
export function openRecord(
  uploads: readonly OpenUpload[],
  {
    uploadIndex,
    record,
    offset,
    length,
  }: { readonly uploadIndex: number; readonly record: number; readonly offset: number; readonly length: number },
): RecordOpening {
  const position = uploads.findIndex((one) => one.uploadIndex === uploadIndex)
  const upload = uploads[position]
  const bytes = upload?.records[record]
  const read = bytes && readRecord(bytes)
  assert(upload && read, 'no such record in the snapshot')
  const path = runPath(treeLevels(recordLeaves(upload.records, upload.contributor)), record)
  return {
    upload: openUpload(uploads, position),
    record: {
      record,
      contributor: upload.contributor,
      words: read.words.length,
      contentHash: read.contentHash,
      path: path.map((hash) => toHex(hash)),
    },
    run: openWords(read.words, offset, length),
  }
}
