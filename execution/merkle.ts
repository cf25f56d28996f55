/**
 * The one Merkle tree that commitments use: nodes keccak256(0x01 ‖ left ‖ right), an odd last node promoted, leaves hashed by whoever owns them
 * under another first byte. A run of neighbouring leaves is opened with the siblings at its two ends, level by level, left before right.
 * Spec: docs/spec/attribution.md#tree
 */
import { assert } from './assert.ts'
import { keccak256 } from './keccak.ts'

/** A hash whose preimage starts with a tag byte, so that no two kinds of commitments share one. */
export function tagged(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 1
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  out[0] = tag
  let at = 1
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return keccak256(out)
}

/** Every level of the tree over these leaf hashes, leaves first, the root alone on the last. There is at least one leaf. */
export function treeLevels(leaves: readonly Uint8Array[]): Uint8Array[][] {
  assert(leaves.length > 0, 'a tree has at least one leaf')
  let level = [...leaves]
  const levels = [level]
  while (level.length > 1) {
    level = joinPairs(level)
    levels.push(level)
  }
  return levels
}

/** Root of the levels. */
export function rootOf(levels: readonly (readonly Uint8Array[])[]): Uint8Array {
  const root = levels.at(-1)?.[0]
  assert(root, 'a tree has a root')
  return root
}

/** Siblings that open leaves `first` … `last`, in the order in which `runRoot` wants them. */
export function runPath(levels: readonly (readonly Uint8Array[])[], first: number, last = first): Uint8Array[] {
  assert(first >= 0 && first <= last && last < (levels[0]?.length ?? 0), 'no such leaves')
  const path: Uint8Array[] = []
  let [from, to] = [first, last]
  for (const level of levels.slice(0, -1)) {
    const left = from % 2 === 1 ? level[from - 1] : undefined
    const right = to % 2 === 0 ? level[to + 1] : undefined
    if (left) path.push(left)
    if (right) path.push(right)
    from = Math.floor(from / 2)
    to = Math.floor(to / 2)
  }
  return path
}

/** Neighbouring leaves of a tree, as anybody may claim them. */
export type LeafRun = {
  readonly leaves: readonly Uint8Array[]
  /** Place of the first of them. */
  readonly first: number
  /** Leaves in the whole tree, which rules its shape. */
  readonly width: number
  readonly path: readonly Uint8Array[]
}

/** The root that the run leads to; undefined if the path is not exactly what a run of this place in a tree of this width has. */
export function runRoot({ leaves, first, width, path }: LeafRun): Uint8Array | undefined {
  if (leaves.length === 0 || first + leaves.length > width) return undefined
  let level = [...leaves]
  let from = first
  let used = 0
  for (let count = width; count > 1; count = Math.ceil(count / 2)) {
    const last = from + level.length - 1
    if (from % 2 === 1) {
      const left = path[used++]
      if (!left) return undefined
      level.unshift(left)
    }
    if (last % 2 === 0 && last + 1 < count) {
      const right = path[used++]
      if (!right) return undefined
      level.push(right)
    }
    level = joinPairs(level)
    from = Math.floor(from / 2)
  }
  return used === path.length ? level[0] : undefined
}

function joinPairs(level: readonly Uint8Array[]): Uint8Array[] {
  const above: Uint8Array[] = []
  for (let i = 0; i < level.length; i += 2) {
    const left = level[i]
    const right = level[i + 1]
    if (left) above.push(right ? nodeOf(left, right) : left)
  }
  return above
}

function nodeOf(left: Uint8Array, right: Uint8Array): Uint8Array {
  const out = new Uint8Array(65)
  out[0] = 0x01
  out.set(left, 1)
  out.set(right, 33)
  return keccak256(out)
}
