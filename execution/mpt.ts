/**
 * Merkle-Patricia trie, batched: changes stay in memory and every touched node is encoded and hashed once when the root is asked for.
 * Same roots and node encodings as @ethereumjs/mpt (which re-hashes a path on each put: 30 times the work in a block of transfers), so that
 * library reads what this one wrote, for proofs. Keys are hashed by the caller where the trie is a secure one.
 * Source: Ethereum Yellow Paper, appendix D.
 */
import { RLP } from '@ethereumjs/rlp'
import { bytesToHex } from 'viem'
import { assert } from './assert.ts'
import { keccak256, keccak256Into } from './keccak.ts'

/** keccak256(rlp('')): the root of an empty trie. */
export const EMPTY_ROOT: Uint8Array = keccak256(Uint8Array.of(0x80))

/** Reads a node's encoding by its hash. */
export type TrieNodeReader = (hash: Uint8Array) => Uint8Array | undefined

export type Trie = {
  get(key: Uint8Array): Uint8Array | undefined
  put(key: Uint8Array, value: Uint8Array): void
  delete(key: Uint8Array): void
  /** The root over all changes so far; `onNode` gets each node that is new. */
  root(onNode?: (hash: Uint8Array, encoding: Uint8Array) => void): Uint8Array
  /** Calls back for every key (as nibbles) and value. For small tries. */
  forEach(visit: (nibbles: Uint8Array, value: Uint8Array) => void): void
  /** Nodes that were read from below since the trie was made. */
  loadedNodes(): number
}

/** `ref`: the hash or, for encodings below 32 bytes, the encoding; undefined while the node is changed. */
type Leaf = { kind: 'leaf'; path: Uint8Array; value: Uint8Array; ref: Uint8Array | undefined }
type Extension = { kind: 'extension'; path: Uint8Array; child: Child; ref: Uint8Array | undefined }
/** `value`: of the key that ends here. Keys of one length, or of RLP, never end within another; those of other tries do. */
type Branch = { kind: 'branch'; children: (Child | undefined)[]; value: Uint8Array | undefined; ref: Uint8Array | undefined }
type Node = Leaf | Extension | Branch
/** A node in memory, or a reference to one that is not. */
type Child = Node | Uint8Array

/** A trie at a root; without a reader it starts empty and lives in memory. */
export function createTrie({ root, readNode }: { readonly root?: Uint8Array; readonly readNode?: TrieNodeReader } = {}): Trie {
  let top: Child | undefined = root === undefined || sameBytes(root, EMPTY_ROOT) ? undefined : root
  let loads = 0

  function resolve(child: Child): Node {
    if (!(child instanceof Uint8Array)) return child
    if (child.length < 32) return decodeNode(child)
    loads++
    const encoding = readNode?.(child)
    if (!encoding) assert(false, `trie node ${bytesToHex(child)} is missing`)
    const node = decodeNode(encoding)
    node.ref = child
    return node
  }

  function insert(child: Child | undefined, path: Uint8Array, at: number, value: Uint8Array): Node {
    if (child === undefined) return { kind: 'leaf', path: path.subarray(at), value, ref: undefined }
    const node = resolve(child)
    if (node.kind === 'branch') {
      node.ref = undefined
      const slot = path[at]
      if (slot === undefined) node.value = value
      else node.children[slot] = insert(node.children[slot], path, at + 1, value)
      return node
    }
    const shared = commonLength(node.path, path, at)
    if (shared === node.path.length && (node.kind === 'extension' || at + shared === path.length)) {
      node.ref = undefined
      if (node.kind === 'leaf') node.value = value
      else node.child = insert(node.child, path, at + shared, value)
      return node
    }
    const branch: Branch = { kind: 'branch', children: new Array(16).fill(undefined), value: undefined, ref: undefined }
    const [oldSlot, newSlot] = [node.path[shared], path[at + shared]]
    if (oldSlot !== undefined) branch.children[oldSlot] = shorten(node, shared + 1)
    else if (node.kind === 'leaf') branch.value = node.value
    if (newSlot === undefined) branch.value = value
    else branch.children[newSlot] = { kind: 'leaf', path: path.subarray(at + shared + 1), value, ref: undefined }
    return shared === 0 ? branch : { kind: 'extension', path: path.slice(at, at + shared), child: branch, ref: undefined }
  }

  /** The node without its first `count` nibbles. */
  function shorten(node: Leaf | Extension, count: number): Child {
    if (node.kind === 'extension' && node.path.length === count) return node.child
    node.path = node.path.subarray(count)
    node.ref = undefined
    return node
  }

  /** Undefined: nothing is left. The very same child: nothing was there to remove. */
  function remove(child: Child | undefined, path: Uint8Array, at: number): Child | undefined {
    if (child === undefined) return undefined
    const node = resolve(child)
    if (node.kind === 'leaf') {
      return node.path.length === path.length - at && commonLength(node.path, path, at) === node.path.length ? undefined : child
    }
    if (node.kind === 'extension') {
      if (commonLength(node.path, path, at) !== node.path.length) return child
      const below = remove(node.child, path, at + node.path.length)
      if (below === node.child && !wasChanged(below)) return child
      assert(below !== undefined, 'a branch never loses its last child at once')
      return join(node.path, resolve(below))
    }
    const slot = path[at]
    if (slot === undefined) {
      if (node.value === undefined) return child
      node.value = undefined
      node.ref = undefined
      return collapse(node)
    }
    const old = node.children[slot]
    const below = remove(old, path, at + 1)
    if (below === old && !wasChanged(below)) return child
    node.children[slot] = below
    node.ref = undefined
    return below === undefined ? collapse(node) : node
  }

  /** A branch that lost something: itself, or what stands in its place if one child or its value is all that is left. */
  function collapse(node: Branch): Child {
    const left = node.children.flatMap((c, i) => (c === undefined ? [] : [i]))
    const only = left[0]
    if (node.value !== undefined) {
      return only === undefined ? { kind: 'leaf', path: new Uint8Array(), value: node.value, ref: undefined } : node
    }
    if (left.length > 1 || only === undefined) return node
    const last = node.children[only]
    assert(last !== undefined)
    return join(Uint8Array.of(only), resolve(last))
  }

  function join(prefix: Uint8Array, node: Node): Node {
    if (node.kind === 'branch') return { kind: 'extension', path: prefix, child: node, ref: undefined }
    const path = new Uint8Array(prefix.length + node.path.length)
    path.set(prefix)
    path.set(node.path, prefix.length)
    node.path = path
    node.ref = undefined
    return node
  }

  function visitAll(child: Child | undefined, prefix: readonly number[], visit: (nibbles: Uint8Array, value: Uint8Array) => void): void {
    if (child === undefined) return
    const node = resolve(child)
    if (node.kind === 'leaf') visit(Uint8Array.from([...prefix, ...node.path]), node.value)
    if (node.kind === 'extension') visitAll(node.child, [...prefix, ...node.path], visit)
    if (node.kind === 'branch' && node.value !== undefined) visit(Uint8Array.from(prefix), node.value)
    if (node.kind === 'branch') for (const [slot, c] of node.children.entries()) visitAll(c, [...prefix, slot], visit)
  }

  function find(path: Uint8Array): Uint8Array | undefined {
    let at = 0
    let hold = (node: Node) => {
      top = node
    }
    for (let child = top; child !== undefined; ) {
      const node: Node = resolve(child)
      if (node !== child) hold(node) // keep what was read, so that the next look-up finds it in memory
      if (node.kind === 'leaf') {
        return node.path.length === path.length - at && commonLength(node.path, path, at) === node.path.length ? node.value : undefined
      }
      if (node.kind === 'extension') {
        if (commonLength(node.path, path, at) !== node.path.length) return undefined
        at += node.path.length
        child = node.child
        hold = (next) => {
          node.child = next
        }
        continue
      }
      const slot = path[at++]
      if (slot === undefined) return node.value
      child = node.children[slot]
      hold = (next) => {
        node.children[slot] = next
      }
    }
    return undefined
  }

  return {
    get: (key) => find(toNibbles(key)),
    put(key, value) {
      assert(value.length > 0, 'an empty value is a deletion')
      top = insert(top, toNibbles(key), 0, value)
    },
    delete(key) {
      top = remove(top, toNibbles(key), 0)
    },
    root(onNode) {
      if (top === undefined) return EMPTY_ROOT
      return referenceOf(top, true, onNode)
    },
    forEach: (visit) => visitAll(top, [], visit),
    loadedNodes: () => loads,
  }
}

/**
 * Root over items keyed by rlp(index): transactions and receipts. Their keys are known and sorted, so that each node is made once, of those below
 * it, and no trie is kept.
 */
export function orderedRoot(items: readonly Uint8Array[]): Uint8Array {
  return orderedRootOf(items.length, (index) => items[index] ?? EMPTY_STRING)
}

/** The same over `count` items, each of which is asked for once, and need not stand any more when the next one is asked for. */
export function orderedRootOf(count: number, itemAt: (index: number) => Uint8Array): Uint8Array {
  if (count === 0) return EMPTY_ROOT

  /** Writes how the node over the keys at these places, the same up to `depth`, stands in the one above it; answers where that ends. */
  function writeReference(at: number, from: number, to: number, depth: number): number {
    const payloadAt = at + HEAD_BYTES_MAX
    const payloadEnd = writePayload(payloadAt, from, to, depth)
    const start = writeHeadBefore(payloadAt, payloadEnd - payloadAt)
    if (payloadEnd - start < 32 && depth > 0) {
      made.copyWithin(at, start, payloadEnd)
      return at + payloadEnd - start
    }
    made[at] = 0x80 + 32
    keccak256Into(made, start, payloadEnd, at + 1)
    return at + 33
  }

  function writePayload(at: number, from: number, to: number, depth: number): number {
    const first = indexAt(from, count)
    const length = pathLength(first)
    if (to - from === 1) return writeString(writePath(at, first, depth, length, true), itemAt(first))
    const shared = sharedUntil(first, indexAt(to - 1, count), depth) // sorted: what first and last share, all share
    if (shared > depth) return writeReference(writePath(at, first, depth, shared, false), from, to, shared)
    let next = at
    let start = from
    for (let nibble = 0; nibble < 16; nibble++) {
      let end = start
      while (end < to && nibbleAt(indexAt(end, count), depth) === nibble) end++
      if (end === start) made[next++] = 0x80
      else next = writeReference(next, start, end, depth + 1)
      start = end
    }
    made[next] = 0x80
    return next + 1
  }

  writeReference(0, 0, count, 0)
  return made.slice(1, 33)
}

/**
 * Where the nodes on the way to the one that is being made are written, each behind what its parent has so far: an array for each would cost as
 * much as its hash.
 */
let made = new Uint8Array(16_384)
/** Room for the nodes on the way, beside a leaf's value: a branch has at most 530 bytes, and there are at most eight. */
const ON_THE_WAY_BYTES = 8_192
const HEAD_BYTES_MAX = 4

/** The index whose key stands at this place among the sorted: rlp(0) = 0x80 alone is out of order, behind the keys of one byte, before those of two. */
function indexAt(place: number, count: number): number {
  const placeOfZero = Math.min(count, 0x80) - 1
  if (place === placeOfZero) return 0
  return place < placeOfZero ? place + 1 : place
}

/** Nibbles of rlp(index). */
function pathLength(index: number): number {
  if (index < 0x80) return 2
  return index < 0x100 ? 4 : index < 0x10000 ? 6 : 8
}

/** A nibble of rlp(index). */
function nibbleAt(index: number, depth: number): number {
  const length = pathLength(index)
  if (depth === 0 && (index === 0 || length > 2)) return 8
  if (depth === 1 && length > 2) return (length - 2) >> 1
  return (index >>> (4 * (length - 1 - depth))) & 15
}

/** Where the keys of two indexes part, which are the same up to `depth`. */
function sharedUntil(index: number, other: number, depth: number): number {
  const most = Math.min(pathLength(index), pathLength(other))
  let end = depth
  while (end < most && nibbleAt(index, end) === nibbleAt(other, end)) end++
  return end
}

/** Writes some nibbles of rlp(index) in hex-prefix encoding, as a string; answers where it ends. */
function writePath(at: number, index: number, from: number, to: number, isLeaf: boolean): number {
  const odd = (to - from) & 1
  const bytes = ((to - from) >> 1) + 1
  let next = at
  if (bytes > 1) made[next++] = 0x80 + bytes
  made[next++] = (isLeaf ? 0x20 : 0) + (odd === 1 ? 0x10 + nibbleAt(index, from) : 0)
  for (let i = from + odd; i < to; i += 2) made[next++] = (nibbleAt(index, i) << 4) | nibbleAt(index, i + 1)
  return next
}

/** Writes a string of bytes; answers where it ends. */
function writeString(at: number, bytes: Uint8Array): number {
  const { length } = bytes
  assert(length < 1 << 24, 'trie values are short')
  if (made.length < ON_THE_WAY_BYTES + length) {
    const larger = new Uint8Array(2 * (ON_THE_WAY_BYTES + length))
    larger.set(made)
    made = larger
  }
  const isItself = length === 1 && (bytes[0] ?? 0) < 0x80
  const bytesAt = isItself ? at : at + headLength(length)
  if (!isItself) writeHead(at, 0x80, length)
  made.set(bytes, bytesAt)
  return bytesAt + length
}

/** Writes the head of a list of this length before its payload; answers where the head begins. */
function writeHeadBefore(payloadAt: number, length: number): number {
  const at = payloadAt - headLength(length)
  writeHead(at, 0xc0, length)
  return at
}

function writeHead(at: number, offset: number, length: number): void {
  const head = headLength(length)
  made[at] = head === 1 ? offset + length : offset + 55 + head - 1
  for (let i = head - 1, rest = length; i > 0; i--, rest >>= 8) made[at + i] = rest & 0xff
}

function headLength(length: number): number {
  return length < 56 ? 1 : length < 256 ? 2 : length < 65_536 ? 3 : 4
}

function wasChanged(child: Child | undefined): boolean {
  return child !== undefined && !(child instanceof Uint8Array) && child.ref === undefined
}

function referenceOf(child: Child, isTop: boolean, onNode?: (hash: Uint8Array, encoding: Uint8Array) => void): Uint8Array {
  if (child instanceof Uint8Array) return child
  if (child.ref !== undefined && (!isTop || child.ref.length === 32)) return child.ref
  const encoding = encodeNode(child, onNode)
  if (encoding.length < 32 && !isTop) {
    child.ref = encoding
    return encoding
  }
  child.ref = keccak256(encoding)
  onNode?.(child.ref, encoding)
  return child.ref
}

function encodeNode(node: Node, onNode?: (hash: Uint8Array, encoding: Uint8Array) => void): Uint8Array {
  if (node.kind === 'leaf') return encodeList([encodeString(compactPath(node.path, true)), encodeString(node.value)])
  if (node.kind === 'extension')
    return encodeList([encodeString(compactPath(node.path, false)), encodeReference(referenceOf(node.child, false, onNode))])
  const items = node.children.map((child) => (child === undefined ? EMPTY_STRING : encodeReference(referenceOf(child, false, onNode))))
  return encodeList([...items, node.value === undefined ? EMPTY_STRING : encodeString(node.value)])
}

const EMPTY_STRING = Uint8Array.of(0x80)

/** A hash stands as a string, a short encoding as itself. */
function encodeReference(ref: Uint8Array): Uint8Array {
  return ref.length === 32 ? encodeString(ref) : ref
}

function encodeString(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 1 && (bytes[0] ?? 0) < 0x80) return bytes
  return withHeader(0x80, [bytes], bytes.length)
}

function encodeList(items: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const item of items) length += item.length
  return withHeader(0xc0, items, length)
}

function withHeader(offset: number, parts: readonly Uint8Array[], length: number): Uint8Array {
  assert(length < 1 << 24, 'trie values are short')
  const head = headLength(length)
  const out = new Uint8Array(head + length)
  out[0] = head === 1 ? offset + length : offset + 55 + head - 1
  for (let i = head - 1, rest = length; i > 0; i--, rest >>= 8) out[i] = rest & 0xff
  let at = head
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Hex-prefix encoding. */
function compactPath(path: Uint8Array, isLeaf: boolean): Uint8Array {
  const odd = path.length & 1
  const out = new Uint8Array((path.length >> 1) + 1)
  out[0] = (isLeaf ? 0x20 : 0) + (odd === 1 ? 0x10 + (path[0] ?? 0) : 0)
  for (let i = odd, j = 1; i < path.length; i += 2, j++) out[j] = ((path[i] ?? 0) << 4) | (path[i + 1] ?? 0)
  return out
}

function decodeNode(encoding: Uint8Array): Node {
  const items = RLP.decode(encoding) as (Uint8Array | Uint8Array[])[]
  if (items.length === 17) {
    const value = items[16]
    assert(value instanceof Uint8Array)
    return { kind: 'branch', children: items.slice(0, 16).map(toChild), value: value.length === 0 ? undefined : value, ref: undefined }
  }
  const [compact, second] = items
  assert(compact instanceof Uint8Array && second !== undefined)
  const first = compact[0] ?? 0
  const path = toNibbles(compact).subarray((first & 0x10) !== 0 ? 1 : 2)
  if ((first & 0x20) !== 0) {
    assert(second instanceof Uint8Array)
    return { kind: 'leaf', path, value: second, ref: undefined }
  }
  const child = toChild(second)
  assert(child !== undefined)
  return { kind: 'extension', path, child, ref: undefined }
}

function toChild(item: Uint8Array | Uint8Array[]): Child | undefined {
  if (!(item instanceof Uint8Array)) return RLP.encode(item)
  return item.length === 0 ? undefined : item
}

function toNibbles(key: Uint8Array): Uint8Array {
  const nibbles = new Uint8Array(key.length * 2)
  for (let i = 0; i < key.length; i++) {
    const byte = key[i] ?? 0
    nibbles[2 * i] = byte >> 4
    nibbles[2 * i + 1] = byte & 15
  }
  return nibbles
}

function commonLength(path: Uint8Array, other: Uint8Array, from: number): number {
  const most = Math.min(path.length, other.length - from)
  let length = 0
  while (length < most && path[length] === other[from + length]) length++
  return length
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
