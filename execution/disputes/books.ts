/**
 * Judgements about a window's books: lines out of order or with a wrong sum, a number of the credit that is not the sum of its lines, a line that is not
 * what its receipt says, or that is missing. A contributor's entry is put right; anything else makes the credit void.
 * Spec: docs/spec/disputes.md#books
 */
import { bytesToHex, hexToBytes } from 'viem'
import { decodeAttribution } from '../attribution/attributionRecord.ts'
import { areLinesOf, compareLines, LINE_KIND, type Line, partGwei, sumAfter } from '../attribution/lines.ts'
import { sharesOf } from '../attribution/shares.ts'
import { shareContextOf } from '../attribution/sources.ts'
import type { FieldsOf } from '../fields.ts'
import { keccak256 } from '../keccak.ts'
import { getAccount } from '../ledger/tables.ts'
import { booksEvidence, type Case, type Judgement, type ShownReceipt, servedFields, showReceipt, unproven, VOID } from './evidence.ts'

type Evidence = NonNullable<ReturnType<typeof booksEvidence.unpack>>
type Key = Pick<Line, 'kind' | 'key'>

/** Whether the books are wrong at these lines. */
export function judgeBooks(about: Case, bytes: Uint8Array): Judgement {
  const evidence = booksEvidence.unpack(bytes)
  if (!evidence) return unproven('malformed')
  const { lineCount: count, firstLine: first, lines, path, served } = evidence
  if (lines.length > 2 || !areLinesOf(about.credit.attributionRoot, { count, first, lines, path })) return unproven('notTheBooks')
  if (!areOrderly(about, first, lines)) return VOID
  return served === '0x' ? judgeTotal(about, evidence) : judgeLine(about, evidence)
}

/** Whether the lines can stand beside one another in books. */
function areOrderly({ credit }: Case, first: number, lines: readonly Line[]): boolean {
  return lines.every((line, i) => {
    if (line.kind > LINE_KIND.outputTokens || line.receiptIndex >= credit.count || line.amount === 0n) return false
    const before = lines[i - 1]
    if (before) return compareLines(before, line) < 0 && line.sum === sumAfter(before, line)
    return first > 0 || line.sum === line.amount
  })
}

function judgeTotal(about: Case, evidence: Evidence): Judgement {
  const shown = shownTotal(evidence)
  if (shown === undefined) return unproven('otherLines')
  const stated = statedTotal(about, evidence)
  if (shown === stated) return unproven('rightTotal')
  if (evidence.kind !== LINE_KIND.earned) return VOID
  return { upheld: true, change: new Map([[evidence.key, shown - stated]]), feeWei: 0n }
}

/** What the books say the number is: the sum of its last line, or 0 if there is none. Undefined: these lines do not say. */
function shownTotal({ lineCount, firstLine, lines, kind, key }: Evidence): bigint | undefined {
  const wanted = { kind, key }
  const [a, b] = lines
  const last = lines.findLast((line) => isOf(line, wanted))
  const isEnd = firstLine + lines.length === lineCount
  if (last) return last !== lines.at(-1) || isEnd ? last.sum : undefined
  const place = { ...wanted, receiptIndex: 0 }
  return isBetween(place, { firstLine, isEnd, a, b }) ? 0n : undefined
}

function judgeLine(about: Case, evidence: Evidence): Judgement {
  const served = servedFields.unpack(hexToBytes(evidence.served))
  const receipt = served && showReceipt(about.credit, served)
  if (!receipt) return unproven('notInWindow')
  const shown = shownAmount(evidence, receipt.receiptIndex)
  if (shown === undefined) return unproven('otherLines')
  const due = dueAmount(about, evidence, receipt)
  if (due === undefined) return unproven('otherAttribution')
  if (shown === due) return unproven('rightLine')
  if (evidence.kind !== LINE_KIND.earned) return VOID
  return { upheld: true, change: new Map([[evidence.key, due - shown]]), feeWei: 0n }
}

/** What the books say that the receipt adds; undefined: these lines do not say. */
function shownAmount({ lineCount, firstLine, lines, kind, key }: Evidence, receiptIndex: number): bigint | undefined {
  const place = { kind, key, receiptIndex }
  const line = lines.find((one) => compareLines(one, place) === 0)
  if (line) return line.amount
  const [a, b] = lines
  return isBetween(place, { firstLine, isEnd: firstLine + lines.length === lineCount, a, b }) ? 0n : undefined
}

type Neighbours = { readonly firstLine: number; readonly isEnd: boolean; readonly a: Line | undefined; readonly b: Line | undefined }

/** Whether the lines show that none stands at a place: it falls between them, before the first of all or behind the last. */
function isBetween(place: Omit<Line, 'sum' | 'amount'>, { firstLine, isEnd, a, b }: Neighbours): boolean {
  if (!a) return true // books without lines
  if (compareLines(place, a) < 0) return firstLine === 0
  const last = b ?? a
  if (compareLines(last, place) < 0) return isEnd
  return b !== undefined // behind a, before b
}

/** What the receipt adds to the number; undefined: the attribution record that the receipt names is not there. */
function dueAmount(
  { ledger, credit, model }: Case,
  { kind, key, attribution }: Evidence,
  { receipt, request }: ShownReceipt,
): bigint | undefined {
  if (kind === LINE_KIND.drawn) return key === getAccount(ledger, request.client).index ? receipt.fee : 0n
  if (kind === LINE_KIND.promptTokens) return key === 0 ? BigInt(receipt.promptTokens) : 0n
  if (kind === LINE_KIND.outputTokens) return key === 0 ? BigInt(receipt.outputTokens) : 0n
  const bytes = hexToBytes(attribution)
  if (kind !== LINE_KIND.earned || bytesToHex(keccak256(bytes)) !== receipt.attributionHash) return undefined
  const record = decodeAttribution(bytes)
  const shares = record && sharesOf(record, shareContextOf(ledger, model.datanets)).accounts
  const bps = shares?.find(({ account }) => account === key)?.bps ?? 0
  return partGwei(receipt.fee, { bps, protocolBps: credit.protocolBps, contributorBps: model.contributorBps })
}

/** What the credit says the number is. */
function statedTotal({ ledger, credit, drawn, entriesGwei }: Case, { kind, key }: FieldsOf<readonly []> & Key): bigint {
  if (kind === LINE_KIND.drawn) return drawn.find(({ client }) => getAccount(ledger, client).index === key)?.amount ?? 0n
  if (kind === LINE_KIND.earned) return entriesGwei.get(key) ?? 0n
  if (key !== 0) return 0n
  return kind === LINE_KIND.promptTokens ? credit.promptTokens : kind === LINE_KIND.outputTokens ? credit.outputTokens : 0n
}

function isOf(line: Line, { kind, key }: Key): boolean {
  return line.kind === kind && line.key === key
}
