/** 0x…0a11 says yes to the place that a receipt has in a window, and to nothing else. */
import { decodeFunctionResult, encodeFunctionData, type Hex, hexToBytes, keccak256, toHex } from 'viem'
import { expect, test } from 'vitest'
import { inclusionVerifierAbi } from '../../execution/native/doorAbi.ts'
import { type Inclusion, receiptPath, receiptsRoot } from '../../execution/receipt.ts'
import { inclusionVerifier } from '../../precompiles/0a11-inclusion.ts'
import { callIn, createEmptyLedger } from './frame.ts'

const idOf = (i: number): Hex => keccak256(toHex(`receipt ${i}`))
const COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 9]

function ask({ root, index, count, signedId, path }: Inclusion): { readonly included: boolean; readonly gasUsed: bigint } {
  const data = hexToBytes(
    encodeFunctionData({ abi: inclusionVerifierAbi, functionName: 'verifyInclusion', args: [root, index, count, signedId, path] }),
  )
  const { result } = callIn(createEmptyLedger(), inclusionVerifier, data, { isStatic: true })
  if (result.kind !== 'return') throw new Error(`the verifier answered ${result.kind}`)
  return {
    included: decodeFunctionResult({ abi: inclusionVerifierAbi, functionName: 'verifyInclusion', data: toHex(result.output) }),
    gasUsed: result.gasUsed,
  }
}

/** Every true claim about windows of 1 to 9 receipts. */
const CLAIMS: readonly Inclusion[] = COUNTS.flatMap((count) => {
  const ids = Array.from({ length: count }, (_, i) => idOf(i))
  return ids.map((signedId, index) => ({ root: receiptsRoot(ids), index, count, signedId, path: receiptPath(ids, index) }))
})

/** The tree as the spec draws it, made by hand for three leaves: the third is promoted. */
test('the tree of three is the one of the spec', () => {
  const leaf = (i: number) => keccak256(`0x00${idOf(i).slice(2)}`)
  const node = (left: Hex, right: Hex) => keccak256(`0x01${left.slice(2)}${right.slice(2)}`)
  const root = node(node(leaf(0), leaf(1)), leaf(2))
  const path = [node(leaf(0), leaf(1))]
  expect(ask({ root, index: 2, count: 3, signedId: idOf(2), path }).included).toBe(true)
  expect(ask({ root, index: 1, count: 3, signedId: idOf(1), path: [leaf(0), leaf(2)] }).included).toBe(true)
})

test('every place of windows of 1 to 9 receipts is proven', () => {
  expect(CLAIMS.map((claim) => ask(claim).included)).toEqual(CLAIMS.map(() => true))
  expect(CLAIMS).toHaveLength(45)
})

test('no change of a true claim is true', () => {
  const flip = (hex: Hex): Hex => `0x${hex.slice(2, -2)}${(Number.parseInt(hex.slice(-2), 16) ^ 1).toString(16).padStart(2, '0')}`
  for (const claim of CLAIMS) {
    const { root, index, count, signedId, path } = claim
    const wrong: readonly Inclusion[] = [
      { ...claim, root: flip(root) },
      { ...claim, signedId: flip(signedId) },
      { ...claim, signedId: idOf(99) },
      { ...claim, index: count },
      { ...claim, index: 0xffffffff },
      { ...claim, count: 0 },
      { ...claim, path: [...path, root] },
      ...path.map((hash, i) => ({ ...claim, path: path.with(i, flip(hash)) })),
      ...(path.length > 0
        ? [
            { ...claim, path: path.slice(1) },
            { ...claim, path: path.slice(0, -1) },
          ]
        : []),
      ...(path.length > 1 ? [{ ...claim, path: path.toReversed() }] : []),
      ...Array.from({ length: count }, (_, other) => ({ ...claim, index: other })).filter((one) => one.index !== index),
    ]
    expect(wrong.filter((one) => ask(one).included)).toEqual([])
  }
})

test('gas is 300, 100 a node, and that of a view', () => {
  const gas = [0, 1, 4, 100].map((nodes) => {
    const path = Array.from({ length: nodes }, (_, i) => idOf(i))
    return ask({ root: idOf(0), index: 0, count: 1, signedId: idOf(1), path }).gasUsed
  })
  // A selector and six words come in beside the nodes, one word goes out.
  expect(gas).toEqual([0n, 1n, 4n, 100n].map((nodes) => 300n + 100n * nodes + 300n + 30n * (7n + nodes) + 60n))
})
