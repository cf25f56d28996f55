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

/**
 * The siblings of the leaf at this place, from its level up, in the largest full subtree that holds it: `Portal.isDeposit` takes them while `leaves` are all
 * of the queue, and until so many more are queued that the subtree is half of a full one.
 */
export function depositBranch(leaves: readonly Hex[], place: number): Hex[] {
  assert(place >= 0 && place < leaves.length, 'there is a leaf at the place')
  const size = 2 ** (31 - Math.clz32(place ^ leaves.length))
  const first = place - (place % size)
  const siblings: Hex[] = []
  for (let level = leaves.slice(first, first + size), at = place - first; level.length > 1; at >>= 1) {
    siblings.push(nodeAt(level, at ^ 1))
    const below = level
    level = Array.from({ length: below.length / 2 }, (_, i) => hashPair(nodeAt(below, 2 * i), nodeAt(below, 2 * i + 1)))
  }
  return siblings
}

function nodeAt(level: readonly Hex[], place: number): Hex {
  const node = level[place]
  assert(node, 'a subtree is full')
  return node
}

function hashPair(left: Hex, right: Hex): Hex {
  return bytesToHex(keccak256(concatBytes([hexToBytes(left), hexToBytes(right)])))
}
