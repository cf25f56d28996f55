/** Blocks of a simulated chain: a payload, and what executing it makes of the state. Lies show when others execute them. */
import { type Hex, toHex } from 'viem'
import { NIL } from '../../consensus/digest.ts'
import type { Disk } from '../consensus/engine.ts'
import type { Random } from './random.ts'

/** `root`: what its proposer says follows from executing it. */
export type Block = {
  readonly height: number
  readonly parent: Hex
  readonly payload: number
  readonly root: number
  readonly timestampMs: number
}

/** Who builds or executes. `root`: its own state after the last block it decided; `bodies`: the blocks whose bytes it has. */
export type Executor = { readonly disk: Disk; readonly bodies: Set<Hex>; readonly root: number }

export type Blocks = {
  readonly byHash: ReadonlyMap<Hex, Block>
  /** Blocks of a height, in the order in which they were made. */
  at(height: number): readonly Hex[]
  /** Builds on what the node decided last. Dishonest: with a time or a state that is wrong, or happens to be right. */
  make(node: Executor, height: number, localMs: number, isHonest: boolean): Hex
  /** Executes a block on the node's own state. */
  isValid(node: Executor, height: number, block: Block): boolean
}

export function createBlocks(random: Random): Blocks {
  const byHash = new Map<Hex, Block>()
  const atHeight = new Map<number, Hex[]>()
  const parentOf = ({ disk }: Executor) => disk.decided.at(-1)?.blockHash ?? NIL
  const timeOf = (hash: Hex) => byHash.get(hash)?.timestampMs ?? 0
  return {
    byHash,
    at: (height) => atHeight.get(height) ?? [],
    make(node, height, localMs, isHonest) {
      const hash = toHex(height * 2 ** 32 + byHash.size + 1, { size: 32 })
      const parent = parentOf(node)
      const payload = Math.floor(random() * 2 ** 31)
      const timestampMs = Math.max(localMs, timeOf(parent) + 1) + (isHonest ? 0 : Math.floor((random() - 0.5) * 2_000))
      const root = mix(node.root, payload) ^ (isHonest || random() < 0.5 ? 0 : 1)
      byHash.set(hash, { height, parent, payload, root, timestampMs: Math.max(0, timestampMs) })
      atHeight.set(height, [...(atHeight.get(height) ?? []), hash])
      node.bodies.add(hash)
      return hash
    },
    isValid(node, height, block) {
      const parent = parentOf(node)
      const isLater = block.timestampMs > timeOf(parent)
      return block.height === height && block.parent === parent && isLater && block.root === mix(node.root, block.payload)
    },
  }
}

/** What executing a payload makes of a state. */
export function mix(root: number, payload: number): number {
  return Math.imul(root ^ payload, 0x9e3779b1) ^ (root >>> 13)
}
