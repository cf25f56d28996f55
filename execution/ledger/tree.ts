/**
 * The ledger's tree: a binary sparse Merkle tree in which a leaf sits at its shortest unique prefix.
 *
 * A block's changes are committed in one sorted pass; every touched node is hashed once, level by level in batches. The tree is stored in pages of
 * four levels (execution/ledger/page.ts) that are numbered as they are made and never change, so that every root that was ever committed stays
 * readable, and a database that sorts by key gets them in their order. A page that changed is stored again under a new number.
 * Stored entries: 0x00 ‖ page number(uint48) → page; 0x01 ‖ root(32) → number of its first page(uint48) ‖ next free number(uint48);
 * 0x02 ‖ value hash(32) → a record that was replaced or deleted (those that still stand are kept by table and id).
 * Spec: docs/spec/ledger.md#tree
 */
import { bytesToHex, type Hex } from 'viem'
import { assert } from '../assert.ts'
import { sha256, sha256Into } from '../sha256.ts'
import {
  childOf,
  clearNode,
  clearPage,
  contentAt,
  copyHash,
  copyWords,
  createPage,
  decodePage,
  encodePage,
  FIRST_PLACE,
  hashPages,
  moveLeaf,
  type Page,
  putChild,
  putLeaf,
  readUint48,
  storedBytes,
  storedBytesAt,
  writeUint48,
} from './page.ts'

/** Root of the tree without records, and every empty place in a tree: 32 zero bytes. */
export const EMPTY: Uint8Array = new Uint8Array(32)

/** Pages kept in memory, 40 MiB: beyond them those that were longest not used go to the shelf. */
export const RESIDENT_PAGES_MAX = 16_384
/**
 * Memory for pages beyond those, in their stored form: a sixth of their size, most having few leaves. What leaves it is read again when needed. A database
 * that maps its files makes 64 KiB resident for a page that is read from there, wherever it lies: in the end all of its files.
 */
const SHELF_BYTES = 32 << 20
/** Pages out of use that are kept to be used again. */
const SPARE_PAGES_MAX = 1_024

const ENTRY = { page: 0x00, root: 0x01, past: 0x02 } as const

/** Something that the tree has stored, under a key of its own making. */
export type TreeEntry = { readonly key: Uint8Array; readonly bytes: Uint8Array }

/** Where stored entries are read from. */
export type TreeReader = (key: Uint8Array) => Uint8Array | undefined

/** A record to write, or (record undefined) to delete. */
export type TreeChange = {
  readonly key: Uint8Array
  readonly record: Uint8Array | undefined
  /** The record that stands there until now, or who reads it if there is one: it is stored for who reads older roots. Without it nothing is. */
  readonly before?: Uint8Array | (() => Uint8Array | undefined) | undefined
}

/** A leaf: key of the record and sha256 of its content. */
export type TreeLeaf = { readonly key: Uint8Array; readonly valueHash: Uint8Array }

export type LedgerTree = {
  root(): Uint8Array
  /**
   * Applies the changes and returns the new root. `onEntry` gets what is to be stored before the next commit is over, `onStale` the key of each page
   * that the new root has no more. Of two changes of one key the later wins.
   */
  commit(changes: readonly TreeChange[], onEntry: (entry: TreeEntry) => void, onStale?: (key: Uint8Array) => void): Uint8Array
  /** sha256 of the record under the key, or undefined. */
  valueHash(key: Uint8Array): Uint8Array | undefined
  /** What is found on the way to the key: the leaf there (perhaps another key's) and the siblings from its level up to the root. */
  path(key: Uint8Array): { leaf: TreeLeaf | undefined; siblings: Uint8Array[] }
  /** Forgets everything that was not committed and stands at this root. */
  reset(root: Uint8Array): void
  /** Pages in memory. */
  residentPages(): number
}

/** Pages of one level that a commit changed, and the node above each, which the first page has not: three lists of one length. */
type Touched = { readonly pages: Page[]; readonly parents: (Page | undefined)[]; readonly nodes: number[] }

/** What a tree has in memory at the most: pages as they are worked on, and bytes of such as are not. */
export type TreeLimits = { readonly residentPagesMax?: number; readonly shelfBytes?: number }

/** A tree at a committed root. Throws where the root is not stored. */
export function createLedgerTree(
  root: Uint8Array,
  readEntry: TreeReader,
  { residentPagesMax = RESIDENT_PAGES_MAX, shelfBytes = SHELF_BYTES }: TreeLimits = {},
): LedgerTree {
  const pages = createPages(readEntry, residentPagesMax, createShelf(shelfBytes))
  let rootHash = EMPTY
  let topId = 0
  reset(root)

  function reset(newRoot: Uint8Array): void {
    const stored = readEntry(entryKey(ENTRY.root, newRoot))
    if (!stored && newRoot.some((byte) => byte !== 0)) assert(false, `ledger root ${bytesToHex(newRoot)} is missing`)
    rootHash = newRoot
    topId = stored ? readUint48(stored, 0) : 0
    pages.restart(stored ? readUint48(stored, 6) : 1)
  }

  function walk(key: Uint8Array, onStep: (page: Page, sibling: number) => void): { page: Page; node: number } | undefined {
    if (topId === 0) return undefined
    let page = pages.read(topId)
    let node = 1
    for (let depth = 0; ; ) {
      if (((page.leaves >>> node) & 1) === 1) return { page, node }
      if (((page.inners >>> node) & 1) === 0) return undefined
      if (node >= FIRST_PLACE) {
        page = pages.read(childOf(page, node))
        node = 1
        continue
      }
      node = 2 * node + bitAt(key, 0, depth++)
      onStep(page, node ^ 1)
    }
  }

  return {
    root: () => rootHash,
    commit(changes, onEntry, onStale) {
      pages.trim()
      const committed = commitChanges({ pages, topId, sorted: sortChanges(changes), onEntry, onStale })
      if (!committed) return rootHash
      topId = committed.topId
      rootHash = committed.root
      const entry = new Uint8Array(12)
      writeUint48(entry, 0, topId)
      writeUint48(entry, 6, pages.seal())
      onEntry({ key: entryKey(ENTRY.root, rootHash), bytes: entry })
      return rootHash
    },
    valueHash(key) {
      pages.trim()
      const found = walk(key, () => {})
      if (!found) return undefined
      const leaf = leafAt(found.page, found.node)
      return compareKeys(leaf.key, key) === 0 ? leaf.valueHash : undefined
    },
    path(key) {
      pages.trim()
      const siblings: Uint8Array[] = []
      const found = walk(key, (page, sibling) => {
        hashPages([page])
        siblings.push(page.bytes.slice(sibling * 32, sibling * 32 + 32))
      })
      return { leaf: found && leafAt(found.page, found.node), siblings: siblings.reverse() }
    },
    reset,
    residentPages: pages.count,
  }
}

type Commit = {
  readonly pages: Pages
  readonly topId: number
  readonly sorted: SortedChanges
  readonly onEntry: (entry: TreeEntry) => void
  readonly onStale: ((key: Uint8Array) => void) | undefined
}

/** Applies sorted changes to the pages, hashes and stores them. Undefined: nothing changed. */
function commitChanges(commit: Commit): { root: Uint8Array; topId: number } | undefined {
  const { pages, sorted, onEntry } = commit
  if (sorted.count === 0) return undefined
  const top = commit.topId === 0 ? pages.make() : pages.read(commit.topId)
  const levels: Touched[] = []
  const isChanged = createUpdate(commit, levels)(top)
  if (!isChanged) {
    if (commit.topId === 0) pages.drop(top)
    return undefined
  }
  if (commit.topId !== 0) commit.onStale?.(pageKey(commit.topId))
  if (((top.leaves | top.inners) & 2) === 0) {
    pages.drop(top)
    return { root: EMPTY, topId: 0 }
  }
  if (commit.topId !== 0) pages.renew(top)
  levels[0] = { pages: [top], parents: [undefined], nodes: [0] }
  for (const { pages: touched, parents, nodes } of levels.toReversed()) {
    hashPages(touched)
    for (let i = 0; i < touched.length; i++) {
      const page = touched[i]
      const parent = parents[i]
      if (page && parent) copyHash(page, parent, nodes[i] ?? 0)
    }
  }
  storePages(levels, onEntry)
  return { root: top.bytes.slice(32, 64), topId: top.id }
}

/** All of a commit's pages and their keys are in one piece of memory, which a database reads where it is. */
function storePages(levels: readonly Touched[], onEntry: (entry: TreeEntry) => void): void {
  const touched = levels.flatMap(({ pages }) => pages)
  const length = touched.reduce((sum, page) => sum + storedBytes(page) + PAGE_KEY_WORDS * 4, 0)
  const words = new Int32Array(length >> 2)
  const bytes = new Uint8Array(words.buffer)
  const memory = { words, bytes }
  let from = 0
  touched.forEach((page) => {
    const to = encodePage(page, memory, from)
    writePageKey(bytes, to, page.id)
    onEntry({ key: bytes.subarray(to, to + PAGE_KEY_BYTES), bytes: bytes.subarray(from, to) })
    from = to + PAGE_KEY_WORDS * 4
  })
}

/** What applies sorted changes to the tree below a page and fills `levels` with the pages below it that changed, by their level. */
function createUpdate({ pages, sorted, onEntry, onStale }: Commit, levels: Touched[]): (top: Page) => boolean {
  /** The leaf that has to make room for others. One at a time: what is put in its place is new all the way down. */
  const moved = new Int32Array(16)
  const movedKey = new Uint8Array(moved.buffer, 0, 32)

  /** Applies changes `from` to `to`, which share the node's prefix of `depth` bits. False: the node is what it was. */
  function apply(page: Page, node: number, depth: number, from: number, to: number): boolean {
    if (from === to) return false
    if (((page.inners >>> node) & 1) === 0) return applyAtEnd(page, node, depth, from, to)
    if (node >= FIRST_PLACE) return applyBelow(page, node, depth, from, to)
    const split = sorted.firstWithBit(depth, from, to)
    const isLeftChanged = apply(page, 2 * node, depth + 1, from, split)
    const isRightChanged = apply(page, 2 * node + 1, depth + 1, split, to)
    if (isLeftChanged || isRightChanged) join(page, node)
    return isLeftChanged || isRightChanged
  }

  /** An inner node of which at most a leaf is left is that leaf. */
  function join(page: Page, node: number): void {
    const inners = (page.inners >>> (2 * node)) & 3
    const leaves = (page.leaves >>> (2 * node)) & 3
    if (inners === 0 && leaves !== 3) {
      if (leaves === 0) clearNode(page, node)
      else moveLeaf(page, leaves === 1 ? 2 * node : 2 * node + 1, page, node)
    } else page.unhashed |= 1 << node
  }

  function applyBelow(page: Page, node: number, depth: number, from: number, to: number): boolean {
    const child = pages.read(childOf(page, node))
    if (!apply(child, 1, depth, from, to)) return false
    onStale?.(pageKey(child.id))
    if ((child.inners & 2) !== 0) {
      pages.renew(child)
      touch(child, page, node, depth)
      return true
    }
    clearNode(page, node)
    if ((child.leaves & 2) !== 0) moveLeaf(child, 1, page, node)
    pages.drop(child)
    return true
  }

  function touch(child: Page, page: Page, node: number, depth: number): void {
    putChild(page, node, child.id)
    const level = levels[depth >> 2] ?? { pages: [], parents: [], nodes: [] }
    levels[depth >> 2] = level
    level.pages.push(child)
    level.parents.push(page)
    level.nodes.push(node)
  }

  /** Where a leaf or nothing stands. */
  function applyAtEnd(page: Page, node: number, depth: number, from: number, to: number): boolean {
    const isLeaf = ((page.leaves >>> node) & 1) === 1
    const at = contentAt(node)
    const same = isLeaf ? sorted.indexOfKey(page.bytes, at * 4, from, to) : -1
    const isMoved = isLeaf && same === -1
    if ((!isLeaf || isMoved) && sorted.written(from, to) === 0) return false
    if (isMoved) copyWords(page.words, at, moved, 0, 16)
    if (same !== -1) {
      const isEqual = sorted.hasValue(same, page.words, at + 8)
      if (isEqual && sorted.written(from, to) === 1) return false
      if (!isEqual) keepPast(sorted.changeAt(same), page.bytes, at * 4 + 32)
    }
    place(page, node, depth, from, to, isMoved)
    return true
  }

  /** `at`: where the hash of the record's content stands. */
  function keepPast({ before }: TreeChange, bytes: Uint8Array, at: number): void {
    const record = typeof before === 'function' ? before() : before
    if (record) onEntry({ key: entryKey(ENTRY.past, bytes, at), bytes: record })
  }

  /** Fills a node's place with the records of these changes, and with the leaf that was moved. */
  function place(page: Page, node: number, depth: number, from: number, to: number, withMoved: boolean): void {
    clearNode(page, node)
    const count = sorted.written(from, to) + (withMoved ? 1 : 0)
    if (count === 0) return
    if (count === 1) {
      if (withMoved) putLeaf(page, node, moved, 0)
      else putLeaf(page, node, sorted.words, sorted.firstWritten(from) * 16)
      return
    }
    if (node >= FIRST_PLACE) {
      const child = pages.make()
      place(child, 1, depth, from, to, withMoved)
      touch(child, page, node, depth)
      return
    }
    const split = sorted.firstWithBit(depth, from, to)
    const isRight = bitAt(movedKey, 0, depth) === 1
    place(page, 2 * node, depth + 1, from, split, withMoved && !isRight)
    place(page, 2 * node + 1, depth + 1, split, to, withMoved && isRight)
    page.inners |= 1 << node
    page.unhashed |= 1 << node
  }

  return (top) => apply(top, 1, 0, 0, sorted.count)
}

/** The pages in memory, by number. */
type Pages = {
  read(id: number): Page
  /** A new page with the next number. */
  make(): Page
  /** Gives a page that changed the next number. */
  renew(page: Page): void
  drop(page: Page): void
  /** Ends a commit; returns the next number. What the last two commits made stays in memory: it may not be stored yet. */
  seal(): number
  /** Forgets pages beyond the most that are kept. Nobody may hold one. */
  trim(): void
  /** Forgets all pages. */
  restart(nextId: number): void
  count(): number
}

/** Pages in their stored form, by number. A page is in the tree's memory or here. */
type Shelf = {
  put(page: Page): void
  /** The page's stored form, good until something is put here, with what comes behind it. */
  take(id: number): Uint8Array | undefined
  clear(): void
}

/** One piece of memory that is filled to its end; then what was taken is squeezed out, and of the rest the oldest, for a quarter to be free. */
function createShelf(bytesMax: number): Shelf {
  /** Where pages stand, in the order in which they do. */
  const places = new Map<number, number>()
  let words = new Int32Array(0)
  let bytes = new Uint8Array(0)
  let at = 0

  function makeRoom(): void {
    if (bytes.length === 0) {
      words = new Int32Array(bytesMax >> 2)
      bytes = new Uint8Array(words.buffer)
      return
    }
    let kept = 0
    for (const from of places.values()) kept += storedBytesAt(bytes, from)
    at = 0
    for (const [id, from] of places) {
      const length = storedBytesAt(bytes, from)
      if (kept * 4 > bytes.length * 3) {
        kept -= length
        places.delete(id)
        continue
      }
      bytes.copyWithin(at, from, from + length)
      places.set(id, at)
      at += length
    }
  }

  return {
    put(page) {
      const length = storedBytes(page)
      if (length * 4 > bytesMax - 3) return
      if (at + length > bytes.length) makeRoom()
      places.set(page.id, at)
      at = encodePage(page, { words, bytes }, at)
    },
    take(id) {
      const from = places.get(id)
      return from !== undefined && places.delete(id) ? bytes.subarray(from) : undefined
    },
    clear() {
      places.clear()
      at = 0
    },
  }
}

function createPages(readEntry: TreeReader, residentMax: number, shelf: Shelf): Pages {
  const byId = new Map<number, Page>()
  const spare: Page[] = []
  let nextId = 1
  let lastCommitFrom = 1
  let keptFrom = 1
  let trimAt = residentMax

  function add(page: Page, id: number): Page {
    page.id = id
    page.used = true
    byId.set(id, page)
    return page
  }

  function release(page: Page): void {
    byId.delete(page.id)
    if (spare.length >= SPARE_PAGES_MAX) return
    clearPage(page)
    spare.push(page)
  }

  return {
    read(id) {
      const known = byId.get(id)
      if (known) {
        known.used = true
        return known
      }
      const stored = shelf.take(id) ?? readEntry(pageKey(id))
      assert(stored, `ledger page ${id} is missing`)
      const page = spare.pop() ?? createPage()
      decodePage(stored, page)
      return add(page, id)
    },
    make: () => add(spare.pop() ?? createPage(), nextId++),
    renew(page) {
      byId.delete(page.id)
      add(page, nextId++)
    },
    drop: release,
    seal() {
      keptFrom = lastCommitFrom
      lastCommitFrom = nextId
      trimAt = residentMax + (residentMax >> 5) // more than before may be forgotten now
      return nextId
    },
    trim() {
      if (byId.size <= trimAt) return
      // Each page gets a second chance: the oldest is forgotten if nobody came by since it was the oldest before.
      let tries = 2 * byId.size
      for (const [id, page] of byId) {
        if (byId.size <= residentMax || tries-- === 0) break
        if (id < keptFrom && !page.used) {
          shelf.put(page)
          release(page)
        } else {
          page.used = false
          byId.delete(id)
          byId.set(id, page)
        }
      }
      trimAt = Math.max(residentMax, byId.size) + (residentMax >> 5)
    },
    restart(next) {
      byId.clear()
      shelf.clear() // numbers may be given again
      trimAt = residentMax
      nextId = next
      lastCommitFrom = next
      keptFrom = next
    },
    count: () => byId.size,
  }
}

/** Changes by ascending key, each key once. */
type SortedChanges = {
  readonly count: number
  /** Key and value hash of each change, sixteen words. */
  readonly words: Int32Array
  changeAt(index: number): TreeChange
  /** How many changes from `from` up to `to` write a record. */
  written(from: number, to: number): number
  /** The first change from `from` on that writes a record. */
  firstWritten(from: number): number
  /** The first change that has bit `depth` set; they share the bits before it. */
  firstWithBit(depth: number, from: number, to: number): number
  /** The change of the key that stands at `at`, or -1. */
  indexOfKey(bytes: Uint8Array, at: number, from: number, to: number): number
  /** Whether the change writes the value whose hash is the eight words at `at`. */
  hasValue(index: number, words: Int32Array, at: number): boolean
}

function sortChanges(changes: readonly TreeChange[]): SortedChanges {
  const distinct = sortDistinct(changes)
  const count = distinct.length
  const words = new Int32Array(count * 16)
  const bytes = new Uint8Array(words.buffer)
  const writtenBefore = new Uint32Array(count + 1)
  for (let i = 0; i < count; i++) {
    const { key, record } = distinct[i] ?? NO_CHANGE
    bytes.set(key, i * 64)
    if (record) sha256Into(record, bytes, i * 64 + 32)
    writtenBefore[i + 1] = (writtenBefore[i] ?? 0) + (record ? 1 : 0)
  }
  const written = (from: number, to: number) => (writtenBefore[to] ?? 0) - (writtenBefore[from] ?? 0)
  return {
    count,
    words,
    written,
    changeAt(index) {
      const change = distinct[index]
      assert(change)
      return change
    },
    firstWritten(from) {
      let at = from
      while (at < count && written(at, at + 1) === 0) at++
      return at
    },
    firstWithBit(depth, from, to) {
      let low = from
      let high = to
      while (low < high) {
        const middle = (low + high) >> 1
        if (bitAt(bytes, middle * 64, depth) === 1) high = middle
        else low = middle + 1
      }
      return low
    },
    indexOfKey(other, at, from, to) {
      for (let i = from; i < to; i++) if (equalBytes(bytes, i * 64, other, at)) return i // few: they share the prefix of a leaf
      return -1
    },
    hasValue(index, other, at) {
      if (written(index, index + 1) === 0) return false
      for (let i = 0; i < 8; i++) if (words[index * 16 + 8 + i] !== other[at + i]) return false
      return true
    },
  }
}

/** What there is in place of a change that cannot be missing. */
const NO_CHANGE: TreeChange = { key: EMPTY, record: undefined }

function sortDistinct(changes: readonly TreeChange[]): TreeChange[] {
  const distinct: TreeChange[] = []
  const sorted = sortByKey(changes)
  for (let i = 0; i < sorted.length; i++) {
    const change = sorted[i] ?? NO_CHANGE
    const last = distinct.at(-1)
    if (last && compareKeys(last.key, change.key) === 0) distinct.pop()
    distinct.push(change)
  }
  return distinct
}

/** The changes by ascending key; those of one key in the order in which they came. */
function sortByKey(changes: readonly TreeChange[]): TreeChange[] {
  // The first bits of a key and its place in the list are one number, and numbers are sorted without a call for each comparison.
  const placeBits = Math.max(5, Math.ceil(Math.log2(Math.max(1, changes.length))))
  const [places, cut] = [2 ** placeBits, 2 ** (placeBits - 5)]
  // Loops by index: an iterator makes an object of every number.
  const marks = new Float64Array(changes.length)
  for (let i = 0; i < marks.length; i++) marks[i] = Math.floor(readUint48((changes[i] ?? NO_CHANGE).key, 0) / cut) * places + i
  marks.sort()
  const sorted: TreeChange[] = []
  let before = -1
  let runFrom = 0
  for (let i = 0; i < marks.length; i++) {
    const mark = marks[i] ?? 0
    const change = changes[mark % places]
    if (!change) continue
    const prefix = Math.floor(mark / places)
    if (prefix !== before) runFrom = sorted.length
    before = prefix
    // Few share so many bits.
    let at = sorted.length
    while (at > runFrom && compareKeys(sorted[at - 1]?.key ?? EMPTY, change.key) > 0) at--
    if (at === sorted.length) sorted.push(change)
    else sorted.splice(at, 0, change)
  }
  return sorted
}

/** Where table and id are put together, by the id's length: one serves all, since it is hashed before the next is written. */
const preimages: Uint8Array[] = []

/** Key of a record: sha256(table ‖ id). */
export function treeKey(table: number, id: Uint8Array): Uint8Array {
  const preimage = preimages[id.length] ?? new Uint8Array(1 + id.length)
  preimages[id.length] = preimage
  preimage[0] = table
  preimage.set(id, 1)
  return sha256(preimage)
}

/** Key under which a record stands stored that is no longer the latest of its table and id. */
export function pastKey(valueHash: Uint8Array): Uint8Array {
  return entryKey(ENTRY.past, valueHash)
}

/** Whether a stored entry is a page. */
export function isPageKey(key: Uint8Array): boolean {
  return key[0] === ENTRY.page
}

/** The number of the page whose key this is. */
export function pageNumber(key: Uint8Array): number {
  return readUint48(key, 1)
}

/** Hash of a leaf. */
export function leafHash(key: Uint8Array, valueHash: Uint8Array): Uint8Array {
  return marked(sha256(pair(key, valueHash)), true)
}

/** Hash of an inner node. */
export function innerHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return marked(sha256(pair(left, right)), false)
}

/** Bit `depth` of a key, 0 being the highest bit of the first byte. */
export function bitOf(key: Uint8Array, depth: number): boolean {
  return bitAt(key, 0, depth) === 1
}

/** Hex of a tree's root. */
export function rootHex(tree: LedgerTree): Hex {
  return bytesToHex(tree.root())
}

function leafAt(page: Page, node: number): TreeLeaf {
  const at = contentAt(node) * 4
  return { key: page.bytes.slice(at, at + 32), valueHash: page.bytes.slice(at + 32, at + 64) }
}

/** Bit `depth` of the key that starts at `at`. */
function bitAt(bytes: Uint8Array, at: number, depth: number): number {
  return ((bytes[at + (depth >> 3)] ?? 0) >> (7 - (depth & 7))) & 1
}

const PAGE_KEY_BYTES = 7
/** Whole words, so that pages begin with one. */
const PAGE_KEY_WORDS = 2

function pageKey(id: number): Uint8Array {
  const key = new Uint8Array(PAGE_KEY_BYTES)
  writePageKey(key, 0, id)
  return key
}

function writePageKey(out: Uint8Array, at: number, id: number): void {
  out[at] = ENTRY.page
  writeUint48(out, at + 1, id)
}

/** The key for the hash that stands at `at`. */
function entryKey(kind: number, bytes: Uint8Array, at = 0): Uint8Array {
  const key = new Uint8Array(33)
  key[0] = kind
  for (let i = 0; i < 32; i++) key[1 + i] = bytes[at + i] ?? 0
  return key
}

function equalBytes(a: Uint8Array, at: number, b: Uint8Array, otherAt: number): boolean {
  for (let i = 0; i < 32; i++) if (a[at + i] !== b[otherAt + i]) return false
  return true
}

function compareKeys(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < 32; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function marked(hash: Uint8Array, leaf: boolean): Uint8Array {
  const first = hash[0] ?? 0
  hash[0] = leaf ? first | 0x80 : first & 0x7f
  return hash
}

function pair(left: Uint8Array, right: Uint8Array): Uint8Array {
  assert(left.length === 32 && right.length === 32)
  const out = new Uint8Array(64)
  out.set(left)
  out.set(right, 32)
  return out
}
