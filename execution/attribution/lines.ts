/**
 * Lines: the books of a credit's window, in which each of its numbers is a sum that two neighbouring leaves prove.
 * Leaf keccak256(0x06 ‖ kind u8 ‖ key u32 ‖ receipt u32 ‖ amount u96 ‖ sum u96), root keccak256(0x07 ‖ lines u32 ‖ tree's root).
 * Spec: docs/spec/receipts.md#lines
 */
import { bytesToHex, type Hex, hexToBytes, numberToBytes, parseAbiParameters } from 'viem'
import { BPS, ENTRY_WEI } from '../../genesis/params.ts'
import { compileFields, type FieldsOf } from '../fields.ts'
import { rootOf, runPath, runRoot, tagged, treeLevels } from '../merkle.ts'

/** What a line adds to: a client's draw (wei), a contributor's entry (gwei), or the credit's tokens. */
export const LINE_KIND = { drawn: 0, earned: 1, promptTokens: 2, outputTokens: 3 } as const

/** Members of a line, as Solidity parameters. */
export const LINE_MEMBERS = 'uint8 kind, uint32 key, uint32 receiptIndex, uint96 amount, uint96 sum'

const lineParameters = parseAbiParameters(LINE_MEMBERS)
const lineFields = compileFields(lineParameters)

/** One number that a receipt adds to; `sum` with those before it of the same kind and key. */
export type Line = FieldsOf<typeof lineParameters>

/** The lines of the amounts, in their order, with sums. Amounts of 0 are left out. */
export function linesOf(amounts: readonly Omit<Line, 'sum'>[]): Line[] {
  const sorted = amounts.filter(({ amount }) => amount > 0n).sort(compareLines)
  const lines: Line[] = []
  for (const one of sorted) lines.push({ ...one, sum: sumAfter(lines.at(-1), one) })
  return lines
}

/** Below, above or 0. */
export function compareLines(a: Omit<Line, 'sum' | 'amount'>, b: Omit<Line, 'sum' | 'amount'>): number {
  return a.kind - b.kind || a.key - b.key || a.receiptIndex - b.receiptIndex
}

/** What the sum of a line is behind this one. */
export function sumAfter(before: Line | undefined, { kind, key, amount }: Omit<Line, 'sum'>): bigint {
  return (before && before.kind === kind && before.key === key ? before.sum : 0n) + amount
}

/** What a credit says of its lines. */
export function attributionRoot(lines: readonly Line[]): Hex {
  return rootOfLines(lines.length, lines.length === 0 ? new Uint8Array(32) : rootOf(treeLevels(lines.map(leafOf))))
}

/** Some neighbouring lines with their path. */
export function openLines(lines: readonly Line[], first: number, count: number): { lines: Line[]; path: Hex[] } {
  if (count === 0) return { lines: [], path: [] }
  const path = runPath(treeLevels(lines.map(leafOf)), first, first + count - 1)
  return { lines: lines.slice(first, first + count), path: path.map((hash) => bytesToHex(hash)) }
}

/** Whether these are lines `first` … of the `count` lines under the root. No lines are shown of a root over none. */
export function areLinesOf(
  root: Hex,
  {
    count,
    first,
    lines,
    path,
  }: { readonly count: number; readonly first: number; readonly lines: readonly Line[]; readonly path: readonly Hex[] },
): boolean {
  if (count === 0) return lines.length === 0 && path.length === 0 && rootOfLines(0, new Uint8Array(32)) === root
  const tree = runRoot({ leaves: lines.map(leafOf), first, width: count, path: path.map((hash) => hexToBytes(hash)) })
  return tree !== undefined && rootOfLines(count, tree) === root
}

/** A contributor's part of a receipt's fee, in gwei. */
export function partGwei(
  feeWei: bigint,
  { bps, protocolBps, contributorBps }: { readonly bps: number; readonly protocolBps: number; readonly contributorBps: number },
): bigint {
  return (feeWei * BigInt(BPS - protocolBps) * BigInt(contributorBps) * BigInt(bps)) / (BigInt(BPS) ** 3n * ENTRY_WEI)
}

function leafOf(line: Line): Uint8Array {
  return tagged(0x06, lineFields.pack(line))
}

function rootOfLines(count: number, root: Uint8Array): Hex {
  return bytesToHex(tagged(0x07, numberToBytes(count, { size: 4 }), root))
}

/** What a window's lines are made of, one receipt after another. */
export type ReceiptShares = {
  readonly fee: bigint
  readonly promptTokens: number
  readonly outputTokens: number
  /** Index of the client's account. */
  readonly clientAccount: number
  /** Shares of accounts by the receipt's attribution record. */
  readonly shares: readonly { readonly account: number; readonly bps: number }[]
}

/** The lines of a window. */
export function windowLines(
  receipts: readonly ReceiptShares[],
  terms: { readonly protocolBps: number; readonly contributorBps: number },
): Line[] {
  const amounts = receipts.flatMap(({ fee, promptTokens, outputTokens, clientAccount, shares }, receiptIndex) => [
    { kind: LINE_KIND.drawn, key: clientAccount, receiptIndex, amount: fee },
    { kind: LINE_KIND.promptTokens, key: 0, receiptIndex, amount: BigInt(promptTokens) },
    { kind: LINE_KIND.outputTokens, key: 0, receiptIndex, amount: BigInt(outputTokens) },
    ...shares.map(({ account, bps }) => ({ kind: LINE_KIND.earned, key: account, receiptIndex, amount: partGwei(fee, { bps, ...terms }) })),
  ])
  return linesOf(amounts)
}

/** The entries that the lines come to: what a credit says of its contributors, in gwei. */
export function entriesOf(lines: readonly Line[]): { accounts: number[]; amountsGwei: number[] } {
  const sums = new Map(lines.filter(({ kind }) => kind === LINE_KIND.earned).map(({ key, sum }) => [key, Number(sum)]))
  return { accounts: [...sums.keys()], amountsGwei: [...sums.values()] }
}
