/**
 * The ledger's tree: a binary sparse Merkle tree in which a leaf sits at its shortest unique prefix.
 *
 * A block's changes are committed in one sorted pass; every touched node is hashed once, level by level in batches. Nodes are stored
 * under their hash and never change, so every root that was ever committed stays readable.
 * Stored form: inner = left(32) ‖ right(32), leaf = key(32) ‖ record; the first bit of the hash says which (1 = leaf).
 * Spec: docs/spec/ledger.md#tree
 */
import { bytesToHex, type Hex } from 'viem'
import { assert } from '../assert.ts'
import { sha256, sha256Pairs } from '../sha256.ts'

/** Root of the tree without records, and every empty place in a tree: 32 zero bytes. */
export const EMPTY: Uint8Array = new Uint8Array(32)

/** Nodes kept in memory between commits before the tree is let go of and read again from its root. */
const RESIDENT_NODES_MAX = 400_000

/** Where committed nodes are read from. */
export type NodeReader = (hash: Uint8Array) => Uint8Array | undefined

/** A record to write, or (record undefined) to delete. */
export type TreeChange = { readonly key: Uint8Array; readonly record: Uint8Array | undefined }

/** A node that a commit made, in stored form. */
export type NewNode = { readonly hash: Uint8Array; readonly bytes: Uint8Array }

export type LedgerTree = {
  root(): Uint8Array
  /** Applies the changes and returns the new root; `onNode` gets each new node. Of two changes of one key the later wins. */
  commit(changes: readonly TreeChange[], onNode: (node: NewNode) => void): Uint8Array
  /** The record under the key, or undefined. */
  get(key: Uint8Array): Uint8Array | undefined
  /** What is found on the way to the key: the leaf there (perhaps another key's) and the siblings from its level up to the root. */
  path(key: Uint8Array): { leaf: { key: Uint8Array; record: Uint8Array } | undefined; siblings: Uint8Array[] }
  /** Forgets everything that was not committed and stands at this root. */
  reset(root: Uint8Array): void
}

type Leaf = { kind: 'leaf'; key: Uint8Array; record: Uint8Array; hash: Uint8Array | undefined }
type Inner = { kind: 'inner'; left: Node; right: Node; hash: Uint8Array | undefined }
/** A committed node that is not in memory. */
type Stub = { kind: 'stub'; hash: Uint8Array }
type Node = Leaf | Inner | Stub | undefined

/** A tree at a committed root. */
export function createLedgerTree(root: Uint8Array, readNode: NodeReader): LedgerTree {
  let top: Node = stubOf(root)
  let residentNodes = 0

  function load(node: Leaf | Inner | Stub): Leaf | Inner {
    if (node.kind !== 'stub') return node
    const bytes = readNode(node.hash)
    assert(bytes, `ledger node ${bytesToHex(node.hash)} is missing`)
    if (isLeafHash(node.hash)) return { kind: 'leaf', key: bytes.slice(0, 32), record: bytes.slice(32), hash: node.hash }
    return { kind: 'inner', left: stubOf(bytes.slice(0, 32)), right: stubOf(bytes.slice(32, 64)), hash: node.hash }
  }

  /** Changes are sorted, distinct, and share the node's prefix of `depth` bits. */
  function update(node: Node, depth: number, changes: readonly TreeChange[]): Node {
    if (changes.length === 0) return node
    if (node === undefined) return build(depth, changes.flatMap(toLeaf))
    const loaded = load(node)
    if (node.kind === 'stub') residentNodes++
    if (loaded.kind === 'leaf') return build(depth, mergeLeaf(loaded, changes))
    const split = firstWithBit(changes, depth)
    const left = update(loaded.left, depth + 1, changes.slice(0, split))
    const right = update(loaded.right, depth + 1, changes.slice(split))
    if (left === undefined && (right === undefined || isLeaf(right))) return right
    if (right === undefined && isLeaf(left)) return left
    return { kind: 'inner', left, right, hash: undefined }
  }

  function walk(key: Uint8Array, onSibling: (hash: Node) => void): Leaf | undefined {
    let node = top
    for (let depth = 0; node !== undefined; depth++) {
      const loaded: Leaf | Inner = load(node)
      if (loaded.kind === 'leaf') return loaded
      const right = bitOf(key, depth)
      onSibling(right ? loaded.left : loaded.right)
      node = right ? loaded.right : loaded.left
    }
    return undefined
  }

  return {
    root: () => hashOf(top),
    commit(changes, onNode) {
      top = update(top, 0, sortDistinct(changes))
      residentNodes += hashDirty(top, onNode)
      const newRoot = hashOf(top)
      if (residentNodes > RESIDENT_NODES_MAX) {
        top = stubOf(newRoot)
        residentNodes = 0
      }
      return newRoot
    },
    get(key) {
      const leaf = walk(key, () => {})
      return leaf && compareKeys(leaf.key, key) === 0 ? leaf.record : undefined
    },
    path(key) {
      const siblings: Uint8Array[] = []
      const leaf = walk(key, (node) => siblings.push(hashOf(node)))
      return { leaf: leaf && { key: leaf.key, record: leaf.record }, siblings: siblings.reverse() }
    },
    reset(newRoot) {
      top = stubOf(newRoot)
      residentNodes = 0
    },
  }
}

/** Key of a record: sha256(table ‖ id). */
export function treeKey(table: number, id: Uint8Array): Uint8Array {
  const preimage = new Uint8Array(1 + id.length)
  preimage[0] = table
  preimage.set(id, 1)
  return sha256(preimage)
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
  return (((key[depth >> 3] ?? 0) >> (7 - (depth & 7))) & 1) === 1
}

/** Whether a hash is a leaf's. */
export function isLeafHash(hash: Uint8Array): boolean {
  return ((hash[0] ?? 0) & 0x80) !== 0
}

/** Hex of a tree's root. */
export function rootHex(tree: LedgerTree): Hex {
  return bytesToHex(tree.root())
}

function build(depth: number, leaves: readonly Leaf[]): Node {
  if (leaves.length <= 1) return leaves[0]
  const split = firstWithBit(leaves, depth)
  return { kind: 'inner', left: build(depth + 1, leaves.slice(0, split)), right: build(depth + 1, leaves.slice(split)), hash: undefined }
}

function mergeLeaf(leaf: Leaf, changes: readonly TreeChange[]): Leaf[] {
  const at = changes.findIndex((change) => compareKeys(change.key, leaf.key) >= 0)
  const before = at === -1 ? changes : changes.slice(0, at)
  const after = at === -1 ? [] : changes.slice(at)
  const replaced = after[0] !== undefined && compareKeys(after[0].key, leaf.key) === 0
  return [...before.flatMap(toLeaf), ...(replaced ? [] : [leaf]), ...after.flatMap(toLeaf)]
}

function toLeaf(change: TreeChange): Leaf[] {
  return change.record === undefined ? [] : [{ kind: 'leaf', key: change.key, record: change.record, hash: undefined }]
}

/** Hashes every dirty node, children first, a level at a time. Returns how many there were. */
function hashDirty(top: Node, onNode: (node: NewNode) => void): number {
  const levels: (Leaf | Inner)[][] = []
  collectDirty(top, levels)
  let count = 0
  for (const level of levels) {
    const pairs = new Uint8Array(level.length * 64)
    for (const [i, node] of level.entries()) {
      pairs.set(node.kind === 'leaf' ? node.key : hashOf(node.left), i * 64)
      pairs.set(node.kind === 'leaf' ? sha256(node.record) : hashOf(node.right), i * 64 + 32)
    }
    const hashes = new Uint8Array(level.length * 32)
    sha256Pairs(pairs, hashes)
    for (const [i, node] of level.entries()) {
      node.hash = marked(hashes.slice(i * 32, i * 32 + 32), node.kind === 'leaf')
      onNode({ hash: node.hash, bytes: node.kind === 'leaf' ? concat2(node.key, node.record) : pairs.slice(i * 64, i * 64 + 64) })
    }
    count += level.length
  }
  return count
}

/** Sorts dirty nodes by their height above the dirty leaves and clean nodes below them; returns the node's height plus one. */
function collectDirty(node: Node, levels: (Leaf | Inner)[][]): number {
  if (node === undefined || node.kind === 'stub' || node.hash !== undefined) return 0
  const height = node.kind === 'leaf' ? 0 : Math.max(collectDirty(node.left, levels), collectDirty(node.right, levels))
  const level = levels[height] ?? []
  levels[height] = level
  level.push(node)
  return height + 1
}

function hashOf(node: Node): Uint8Array {
  if (node === undefined) return EMPTY
  assert(node.hash, 'node was not hashed')
  return node.hash
}

function stubOf(hash: Uint8Array): Node {
  return hash.every((byte) => byte === 0) ? undefined : { kind: 'stub', hash }
}

function isLeaf(node: Leaf | Inner | Stub | undefined): boolean {
  return node !== undefined && (node.kind === 'leaf' || (node.kind === 'stub' && isLeafHash(node.hash)))
}

function sortDistinct(changes: readonly TreeChange[]): TreeChange[] {
  const sorted = changes
    .map((change, order) => ({ change, order }))
    .sort((a, b) => compareKeys(a.change.key, b.change.key) || a.order - b.order)
  return sorted.flatMap(({ change }, i) => {
    const next = sorted[i + 1]
    return next && compareKeys(next.change.key, change.key) === 0 ? [] : [change]
  })
}

/** Index of the first item whose key has bit `depth` set; the items are sorted and share the bits before it. */
function firstWithBit(items: readonly { readonly key: Uint8Array }[], depth: number): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >> 1
    const item = items[middle]
    if (item && bitOf(item.key, depth)) high = middle
    else low = middle + 1
  }
  return low
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
  return concat2(left, right)
}

function concat2(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}
