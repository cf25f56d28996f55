/**
 * Pages: how the ledger's tree is kept, in memory and on disk. A page is four levels of the tree: its first node, what is below that down to
 * sixteen places four levels deeper, and what stands in each of those: nothing, a leaf, or the first node of another page.
 *
 * In memory a page is 2 KiB of words. Node i (1 is the first, 2i and 2i + 1 are below i, 16 to 31 are the places) has its hash at word 8i, so that
 * two siblings are the 64 bytes that their parent is the hash of. Place p has its content at word 256 + 16p: key and value hash of a leaf (of one that
 * stands higher, too: it is the only thing above its places, and has the first of them), or the number of the page that goes on there.
 * Stored form: leaves uint32 ‖ children uint32 (one bit a node, node 1 being bit 1, and place 0 bit 0), then key(32) ‖ value hash(32) of each leaf and
 * hash(32) ‖ page number(uint64) of each child, by ascending node. All other hashes follow from these.
 * Spec: docs/spec/ledger.md#pages
 */
import { sha256Pairs } from '../sha256.ts'

export type Page = {
  /** Under which it is stored. Numbers ascend with time. */
  id: number
  readonly words: Int32Array
  readonly bytes: Uint8Array
  /** Nodes that are leaves, one bit each. */
  leaves: number
  /** Nodes that are inner ones, those that other pages go on with included. */
  inners: number
  /** Nodes whose hash is not made yet. Never those that other pages go on with: theirs is made there. */
  unhashed: number
  /** Whether somebody came by since the last look at what may be forgotten. */
  used: boolean
}

/** Bytes that a page takes in memory, what is around its words included. */
export const PAGE_BYTES = 2_048 + 512

/** The first node of those that stand at a page's lower edge. */
export const FIRST_PLACE = 16

const WORDS = 512
const LEVELS = 4
// Whole words, so that words can be copied.
const HEADER_BYTES = 8
const LEAF_BYTES = 64
const CHILD_BYTES = 40

/** A page without nodes. */
export function createPage(): Page {
  const words = new Int32Array(WORDS)
  return { id: 0, words, bytes: new Uint8Array(words.buffer), leaves: 0, inners: 0, unhashed: 0, used: true }
}

/** Takes everything out of a page, for it to be used again. */
export function clearPage(page: Page): void {
  page.words.fill(0)
  page.leaves = 0
  page.inners = 0
  page.unhashed = 0
}

/** Where the content of a node begins, in words: of a leaf wherever it stands, of an inner node at the edge. */
export function contentAt(node: number): number {
  const level = 31 - Math.clz32(node)
  return 256 + (((node << (LEVELS - level)) & 15) << 4)
}

/** Puts a leaf in a node's place; key and value hash are the sixteen words at `at`. */
export function putLeaf(page: Page, node: number, words: Int32Array, at: number): void {
  copyWords(words, at, page.words, contentAt(node), 16)
  page.leaves |= 1 << node
  page.unhashed |= 1 << node
}

/** Moves a leaf, with its hash if that is made. */
export function moveLeaf(from: Page, node: number, to: Page, place: number): void {
  copyWords(from.words, contentAt(node), to.words, contentAt(place), 16)
  copyWords(from.words, node * 8, to.words, place * 8, 8)
  const unhashed = (from.unhashed >>> node) & 1
  clearNode(from, node)
  to.leaves |= 1 << place
  to.inners &= ~(1 << place)
  to.unhashed = (to.unhashed & ~(1 << place)) | (unhashed << place)
}

/** Leaves nothing in a node's place. */
export function clearNode(page: Page, node: number): void {
  const others = ~(1 << node)
  page.leaves &= others
  page.inners &= others
  page.unhashed &= others
  page.words.fill(0, node * 8, node * 8 + 8)
}

/** Says which page goes on with a node at the edge. Its hash comes with `copyHash`. */
export function putChild(page: Page, node: number, id: number): void {
  const at = contentAt(node)
  page.words[at] = Math.floor(id / 2 ** 32)
  page.words[at + 1] = id | 0
  page.inners |= 1 << node
  page.leaves &= ~(1 << node)
  page.unhashed &= ~(1 << node)
}

/** Number of the page that goes on with a node at the edge. */
export function childOf(page: Page, node: number): number {
  const at = contentAt(node)
  return (page.words[at] ?? 0) * 2 ** 32 + ((page.words[at + 1] ?? 0) >>> 0)
}

/** Gives a node at the edge the hash of the page that goes on with it. */
export function copyHash(child: Page, page: Page, node: number): void {
  copyWords(child.words, 8, page.words, node * 8, 8)
}

/** Nodes that are hashed in one call, and where they are gathered for it: lists made for each commit would cost as much as the hashes. */
const NODES_AT_ONCE = 1_024
const pairs = new Int32Array(NODES_AT_ONCE * 16)
const pairBytes = new Uint8Array(pairs.buffer)
const hashes = new Int32Array(NODES_AT_ONCE * 8)
const hashBytes = new Uint8Array(hashes.buffer)
const gatheredNodes = new Uint8Array(NODES_AT_ONCE)

/** Makes the hashes that are not made, of all pages at once, level by level. Those of the nodes at the edge have to be there. */
export function hashPages(pages: readonly Page[]): void {
  const owners: Page[] = []
  for (let first = 1 << LEVELS; first > 0; first >>>= 1) {
    const nodesOfLevel = ((1 << first) - 1) << first // node numbers `first` to 2 * first - 1, one bit each
    let count = 0
    for (const page of pages) {
      for (let bits = page.unhashed & nodesOfLevel; bits !== 0; bits &= bits - 1) {
        const node = lowestBit(bits)
        copyWords(page.words, isLeaf(page, node) ? contentAt(node) : node * 16, pairs, count * 16, 16)
        gatheredNodes[count] = node
        owners[count++] = page
        if (count < NODES_AT_ONCE) continue
        hashGathered(owners, count)
        count = 0
      }
      page.unhashed &= ~nodesOfLevel
    }
    if (count > 0) hashGathered(owners, count)
  }
}

/** Hashes the gathered nodes, `owners` being the page of each. */
function hashGathered(owners: readonly Page[], count: number): void {
  sha256Pairs(pairBytes.subarray(0, count * 64), hashBytes.subarray(0, count * 32))
  for (let i = 0; i < count; i++) {
    const node = gatheredNodes[i] ?? 0
    const page = owners[i]
    if (!page) continue
    copyWords(hashes, i * 8, page.words, node * 8, 8)
    const first = page.bytes[node * 32] ?? 0
    page.bytes[node * 32] = isLeaf(page, node) ? first | 0x80 : first & 0x7f
  }
}

function isLeaf(page: Page, node: number): boolean {
  return ((page.leaves >>> node) & 1) === 1
}

/** Bytes of the stored form. */
export function storedBytes(page: Page): number {
  return HEADER_BYTES + bitCount(page.leaves) * LEAF_BYTES + bitCount(page.inners >>> FIRST_PLACE) * CHILD_BYTES
}

/** Bytes of the stored form that stands there. */
export function storedBytesAt(bytes: Uint8Array, at: number): number {
  return HEADER_BYTES + bitCount(readUint32(bytes, at)) * LEAF_BYTES + bitCount(readUint32(bytes, at + 4)) * CHILD_BYTES
}

/** Writes the stored form to memory, from a whole word on, and returns where it ends. All hashes have to be made. */
export function encodePage(page: Page, { words, bytes: out }: Pick<Page, 'words' | 'bytes'>, from: number): number {
  const children = page.inners >>> FIRST_PLACE
  writeUint32(out, from, page.leaves)
  writeUint32(out, from + 4, children)
  let at = from + HEADER_BYTES
  for (let bits = page.leaves; bits !== 0; bits &= bits - 1) {
    copyWords(page.words, contentAt(lowestBit(bits)), words, at >> 2, LEAF_BYTES >> 2)
    at += LEAF_BYTES
  }
  for (let bits = children; bits !== 0; bits &= bits - 1) {
    const node = FIRST_PLACE + lowestBit(bits)
    copyWords(page.words, node * 8, words, at >> 2, 8)
    writeUint48(out, at + 34, childOf(page, node))
    at += CHILD_BYTES
  }
  return at
}

/** Reads the stored form into a cleared page. The hashes that follow from what is stored are not made yet. */
export function decodePage(stored: Uint8Array, page: Page): void {
  // What a database hands over may start anywhere.
  const words = stored.byteOffset % 4 === 0 ? new Int32Array(stored.buffer, stored.byteOffset, stored.length >> 2) : toWords(stored)
  page.leaves = readUint32(stored, 0)
  const children = readUint32(stored, 4)
  let at = HEADER_BYTES
  for (let bits = page.leaves; bits !== 0; bits &= bits - 1) {
    copyWords(words, at >> 2, page.words, contentAt(lowestBit(bits)), LEAF_BYTES >> 2)
    at += LEAF_BYTES
  }
  for (let bits = children; bits !== 0; bits &= bits - 1) {
    const node = FIRST_PLACE + lowestBit(bits)
    copyWords(words, at >> 2, page.words, node * 8, 8)
    putChild(page, node, readUint48(stored, at + 34))
    at += CHILD_BYTES
  }
  for (let node = 31; node > 1; node--) if ((((page.leaves | page.inners) >>> node) & 1) === 1) page.inners |= 1 << (node >> 1)
  page.unhashed = page.leaves | (page.inners & ((1 << FIRST_PLACE) - 1))
}

/** Writes a number below 2^48, big-endian. */
export function writeUint48(out: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32)
  out[at] = high >>> 8
  out[at + 1] = high
  writeUint32(out, at + 2, value | 0)
}

/** Reads what `writeUint48` wrote. */
export function readUint48(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0)) * 2 ** 32 + (readUint32(bytes, at + 2) >>> 0)
}

function writeUint32(out: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) out[at + i] = value >>> (24 - 8 * i)
}

function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
}

function toWords(bytes: Uint8Array): Int32Array {
  const words = new Int32Array(bytes.length >> 2)
  new Uint8Array(words.buffer).set(bytes)
  return words
}

/** Copies words. A loop: a view of each piece would cost more than these few. */
export function copyWords(from: Int32Array, at: number, to: Int32Array, toAt: number, count: number): void {
  for (let i = 0; i < count; i++) to[toAt + i] = from[at + i] ?? 0
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}

function bitCount(bits: number): number {
  let count = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++
  return count
}
