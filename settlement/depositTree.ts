/** The portal's tree of deposits, for proofs that L1 takes. Spec: docs/spec/settlement.md#deposits */
import {
  bytesToHex,
  concatBytes,
  concatHex,
  encodeAbiParameters,
  type Hex,
  hexToBytes,
  numberToHex,
  parseAbiParameters,
  zeroAddress,
} from 'viem'
import { assert } from '../execution/assert.ts'
import type { Deposit } from '../execution/deposit.ts'
import { keccak256 } from '../execution/keccak.ts'
import type { L1Deposit } from './l1Logs.ts'

/** Levels of the tree, and siblings of a proof. */
export const DEPOSIT_TREE_LEVELS = 32

const leafParameters = parseAbiParameters('uint64 index, uint64 l1Block, address from, address to, bytes32 dataHash')

/** A deposit as its log has it, in the OP Stack's form. */
export function depositLog({ to, mintWei, valueWei, gas, data }: Deposit): { readonly to: Hex; readonly opaqueData: Hex } {
  const isCreation = to === undefined
  const amounts = [numberToHex(mintWei, { size: 32 }), numberToHex(valueWei, { size: 32 }), numberToHex(gas, { size: 8 })]
  return { to: to ?? zeroAddress, opaqueData: concatHex([...amounts, isCreation ? '0x01' : '0x00', data]) }
}

/** The leaf of a deposit. */
export function depositLeaf({ index, l1Block, deposit }: Pick<L1Deposit, 'index' | 'l1Block' | 'deposit'>): Hex {
  const { to, opaqueData } = depositLog(deposit)
  const dataHash = bytesToHex(keccak256(hexToBytes(opaqueData)))
  return bytesToHex(keccak256(hexToBytes(encodeAbiParameters(leafParameters, [index, l1Block.number, deposit.from, to, dataHash]))))
}

/** The root over all deposits' leaves, in the order of their indexes. */
export function depositRoot(leaves: readonly Hex[]): Hex {
  const [root] = levelsOf(leaves).at(-1) ?? []
  return root ?? emptyAt(DEPOSIT_TREE_LEVELS)
}

/** The siblings of the leaf at this place, from its level up. */
export function depositBranch(leaves: readonly Hex[], place: number): Hex[] {
  assert(place >= 0 && place < leaves.length, 'there is a leaf at the place')
  return levelsOf(leaves)
    .slice(0, DEPOSIT_TREE_LEVELS)
    .map((level, height) => level[Math.floor(place / 2 ** height) ^ 1] ?? emptyAt(height))
}

/** The nodes of each level that are not empty, leaves first. */
function levelsOf(leaves: readonly Hex[]): (readonly Hex[])[] {
  const levels: (readonly Hex[])[] = [leaves]
  for (let height = 0; height < DEPOSIT_TREE_LEVELS; height++) {
    const below = levels[height] ?? []
    levels.push(Array.from({ length: Math.ceil(below.length / 2) }, (_, i) => hashPair(below[2 * i], below[2 * i + 1], emptyAt(height))))
  }
  return levels
}

function hashPair(left: Hex | undefined, right: Hex | undefined, empty: Hex): Hex {
  return bytesToHex(keccak256(concatBytes([hexToBytes(left ?? empty), hexToBytes(right ?? empty)])))
}

const empties: Hex[] = [`0x${'00'.repeat(32)}`]

/** The root of a tree of this height without a leaf. */
function emptyAt(height: number): Hex {
  for (let next = empties.length; next <= height; next++) empties.push(hashPair(undefined, undefined, emptyAt(next - 1)))
  const empty = empties[height]
  assert(empty)
  return empty
}
