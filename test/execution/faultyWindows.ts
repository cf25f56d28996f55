/**
 * Windows with real receipts and books, some with one fault, and the evidence about them: what a walk credits and then disputes.
 * What the evidence must come to is known from how the window was made. Spec: docs/spec/disputes.md
 */
import { bytesToHex, type Hex, hexToBytes, keccak256, toHex, zeroHash } from 'viem'
import { type AttributionRecord, encodeAttribution } from '../../execution/attribution/attributionRecord.ts'
import { attributionRoot, entriesOf, LINE_KIND, type Line, openLines, windowLines } from '../../execution/attribution/lines.ts'
import type { OpenUpload } from '../../execution/attribution/opening.ts'
import { sharesOf } from '../../execution/attribution/shares.ts'
import { shareContextOf } from '../../execution/attribution/sources.ts'
import {
  attributionEvidence,
  badLeafEvidence,
  booksEvidence,
  DISPUTE_KIND,
  doubleUseEvidence,
  equivocationEvidence,
  GROUND,
  packEvidence,
  type Served,
} from '../../execution/disputes/evidence.ts'
import { getAccount, type models } from '../../execution/ledger/tables.ts'
import {
  encodeReceipt,
  encodeRequest,
  type InferenceReceipt,
  type InferenceRequest,
  receiptDigest,
  receiptId,
  receiptPath,
  receiptsRoot,
  requestDigest,
  requestHash,
  signedId,
} from '../../execution/receipt.ts'
import type { TestChain } from '../fakes/testChain.ts'
import { MISQUOTES, type Misquote, type Quote, quoteFrom } from './quotes.ts'

const GWEI = 10n ** 9n
const something = keccak256(toHex('something'))
/** A record that claims nothing, and bytes that are none. */
const RECORD = bytesToHex(
  encodeAttribution({ outputWords: 1, outputRoot: something, promptWords: 1, promptRoot: something, echoes: [], spans: [] }),
)
const NO_RECORD: Hex = '0x090909'

/** What is wrong with a window, by the kind of dispute that shows it. */
const KIND_OF = {
  none: 0,
  numberSignedTwice: DISPUTE_KIND.equivocation,
  finishedTooLate: DISPUTE_KIND.badLeaf,
  requestPaidTwice: DISPUTE_KIND.doubleUse,
  sumThatDoesNotFollow: DISPUTE_KIND.wrongBooks,
  entryWithoutLines: DISPUTE_KIND.wrongBooks,
  attributionThatIsNone: DISPUTE_KIND.wrongAttribution,
  placeThatIsNone: DISPUTE_KIND.wrongAttribution,
  placeLeftOut: DISPUTE_KIND.wrongAttribution,
  otherOutput: DISPUTE_KIND.wrongAttribution,
} as const

export type Fault = keyof typeof KIND_OF
export const FAULTS = Object.keys(KIND_OF) as readonly Fault[]

type Model = NonNullable<ReturnType<typeof models.get>>
type Signed = (who: Hex, digest: Uint8Array) => Hex
type Exchange = {
  readonly request: InferenceRequest
  readonly receipt: InferenceReceipt
  readonly requestSig: Hex
  readonly receiptSig: Hex
}

export type Order = {
  readonly fault: Fault
  readonly worker: Hex
  readonly hotKey: Hex
  readonly modelId: Hex
  readonly model: Model
  readonly firstSeq: bigint
  readonly timeSec: bigint
  /** What rules the block of the credit. */
  readonly protocolBps: number
  /** Records of the model's datanets, and a number that chooses which of them the first output quotes. */
  readonly snapshots: readonly (readonly OpenUpload[])[]
  readonly quoted: number
  /** Who asks, one receipt after another. */
  readonly clients: readonly Hex[]
}

/** A credit's fields, and what its receipts and books are. */
export type FaultyWindow = {
  readonly fault: Fault
  /** The key that signed the receipts. */
  readonly hotKey: Hex
  readonly credit: ReturnType<typeof creditOf>
  readonly exchanges: readonly Exchange[]
  readonly lines: readonly Line[]
  /** What the first output quotes. */
  readonly quote: Quote | undefined
  /** The credit's entries with every attribution as a proof puts it right. */
  readonly rightEntries: Entries
  /** Another receipt with the number of the first. */
  readonly other: { readonly receipt: InferenceReceipt; readonly receiptSig: Hex } | undefined
}

/**
 * A window of one receipt for each of the clients, which are two at least. Where there is nothing to quote, a fault of the attribution is none.
 */
export function makeFaultyWindow({ executor, genesis }: TestChain, asked: Order, signed: Signed): FaultyWindow {
  const quote = isMisquote(asked.fault) ? quoteFrom(asked.snapshots, asked.quoted, asked.fault) : undefined
  const order = isMisquote(asked.fault) && !quote ? { ...asked, fault: 'none' as const } : asked
  const { fault, hotKey, model, clients, protocolBps } = order
  const { chainId } = genesis.params
  const exchanges: Exchange[] = []
  for (const [i] of clients.entries()) exchanges.push(makeExchange(order, i, { signed, chainId, first: exchanges[0]?.request, quote }))
  const context = shareContextOf(executor.state.ledger, model.datanets)
  const linesWith = (record: AttributionRecord | undefined) =>
    windowLines(
      exchanges.map(({ request, receipt }, i) => {
        const clientAccount = getAccount(executor.state.ledger, request.client).index
        return { ...receipt, clientAccount, shares: i === 0 && record ? sharesOf(record, context).accounts : [] }
      }),
      { protocolBps, contributorBps: model.contributorBps },
    )
  const claimed = linesWith(quote?.claimed)
  const wrongAt = fault === 'sumThatDoesNotFollow' ? 1 : -1
  const lines = claimed.map((line, i) => (i === wrongAt ? { ...line, sum: line.sum + 1n } : line))
  const credit = creditOf(order, exchanges, { lines, entries: entriesOf(claimed) })
  const made = { fault, hotKey, credit, exchanges, lines, quote, rightEntries: entriesOf(linesWith(quote?.corrected)) }
  const [first] = exchanges
  if (fault !== 'numberSignedTwice' || !first) return { ...made, other: undefined }
  const receipt = { ...first.receipt, outputTokens: first.receipt.outputTokens + 1 }
  return { ...made, other: { receipt, receiptSig: signed(hotKey, receiptDigest(receipt, chainId)) } }
}

function isMisquote(fault: Fault): fault is Misquote {
  return MISQUOTES.some((one) => one === fault)
}

type Making = {
  readonly signed: Signed
  readonly chainId: number
  readonly first: InferenceRequest | undefined
  readonly quote: Quote | undefined
}

function makeExchange({ fault, worker, hotKey, modelId, model, firstSeq, timeSec, clients }: Order, i: number, making: Making): Exchange {
  const { signed, chainId, first, quote } = making
  const own = i === 0 ? quote : undefined
  const client = clients[i]
  if (!client) throw new Error('nobody asks')
  const fresh = {
    ...{ client, worker, modelId, promptCommit: something, paramsHash: something, seed: 5n, maxOutputTokens: 500 },
    ...{ maxFee: 10n ** 24n, cumulativeMaxFee: 10n ** 27n, nonce: firstSeq + BigInt(i), deadline: timeSec + 60n },
  }
  const request = fault === 'requestPaidTwice' && first ? first : fresh
  const [promptTokens, outputTokens] = [3 + i, 5 + i]
  const receipt = {
    ...{
      requestHash: requestHash(request),
      modelId,
      worker,
      seq: firstSeq + BigInt(i),
      outputCommit: own?.commit ?? something,
      tokensRoot: something,
    },
    ...{ traceRoot: zeroHash, attestationId: zeroHash, promptTokens, outputTokens, tier: 0 },
    attributionHash: keccak256(fault === 'attributionThatIsNone' ? NO_RECORD : recordOf(own)),
    fee: model.priceBase + BigInt(promptTokens) * model.pricePrompt + BigInt(outputTokens) * model.priceOutput,
    finishedAt: fault === 'finishedTooLate' ? request.deadline + 1n : timeSec,
  }
  const requestSig = signed(request.client, requestDigest(request, chainId))
  return { request, receipt, requestSig, receiptSig: signed(hotKey, receiptDigest(receipt, chainId)) }
}

function recordOf(quote: Quote | undefined): Hex {
  return quote ? bytesToHex(encodeAttribution(quote.claimed)) : RECORD
}

type Entries = { readonly accounts: readonly number[]; readonly amountsGwei: readonly number[] }
type Books = { readonly lines: readonly Line[]; readonly entries: Entries }

function creditOf(order: Order, exchanges: readonly Exchange[], { lines, entries }: Books) {
  const { fault, worker, modelId, model, firstSeq, protocolBps } = order
  const sum = (of: (receipt: InferenceReceipt) => bigint) => exchanges.reduce((all, { receipt }) => all + of(receipt), 0n)
  const drawn = new Map<Hex, { request: InferenceRequest; signature: Hex; amount: bigint }>()
  for (const { request, requestSig, receipt } of exchanges) {
    const known = drawn.get(request.client) ?? { request, signature: requestSig, amount: 0n }
    drawn.set(request.client, { ...known, amount: known.amount + receipt.fee })
  }
  const fee = sum((receipt) => receipt.fee)
  const poolGwei = ((fee - (fee * BigInt(protocolBps)) / 10_000n) * BigInt(model.contributorBps)) / 10_000n / GWEI
  const unearned = fault === 'entryWithoutLines' && poolGwei > 0n ? { accounts: [1], amountsGwei: [Number(poolGwei)] } : undefined
  return {
    ...{ worker, modelId, firstSeq, count: exchanges.length, receiptsRoot: receiptsRoot(idsOf(exchanges)) },
    ...{ attributionRoot: attributionRoot(lines), draws: [...drawn.values()] },
    promptTokens: sum((receipt) => BigInt(receipt.promptTokens)),
    outputTokens: sum((receipt) => BigInt(receipt.outputTokens)),
    ...(unearned ?? entries),
  }
}

/** A dispute of the window, of this kind: its fields, and whether the evidence shows the fault. */
export function disputeOf(window: FaultyWindow, kind: number, creditIndex: number) {
  const { worker, draws, accounts, amountsGwei } = window.credit
  const drawn = draws.map(({ request, amount }) => ({ client: request.client, amount }))
  // An entry of nobody's is none where the contributors have no part of the fee.
  const isFaulty = window.fault !== 'entryWithoutLines' || accounts.length > 0
  const opened = window.quote?.proof.opened ?? '0x'
  const fields = { kind, worker, creditIndex, drawn, accounts, amountsGwei, evidence: evidenceOf(window, kind, creditIndex), opened }
  return { fields, proves: isFaulty && KIND_OF[window.fault] === kind }
}

/** The kind of dispute that shows the window's fault; one that shows nothing if it has none. */
export function rightKind({ fault }: FaultyWindow): number {
  return KIND_OF[fault] || DISPUTE_KIND.badLeaf
}

function evidenceOf(window: FaultyWindow, kind: number, creditIndex: number): Hex {
  const { exchanges, other } = window
  const [first] = exchanges
  if (!first) throw new Error('a window without receipts')
  if (kind === DISPUTE_KIND.equivocation) {
    const [receipt, otherReceipt] = [first, other ?? first].map((one) => bytesToHex(encodeReceipt(one.receipt))) as [Hex, Hex]
    const signatures = { receiptSig: first.receiptSig, otherSig: (other ?? first).receiptSig }
    return packEvidence(equivocationEvidence, { receipt, otherReceipt, ...signatures })
  }
  const served = servedOf(window, 0)
  if (kind === DISPUTE_KIND.badLeaf) return packEvidence(badLeafEvidence, { served })
  if (kind === DISPUTE_KIND.doubleUse)
    return packEvidence(doubleUseEvidence, { served: servedOf(window, 1), otherCredit: creditIndex, other: served })
  if (kind === DISPUTE_KIND.wrongBooks) return booksOf(window)
  const attribution = window.fault === 'attributionThatIsNone' ? NO_RECORD : recordOf(window.quote)
  if (window.quote) return packEvidence(attributionEvidence, { served, attribution, ...window.quote.proof.evidence })
  const run = { firstLeaf: 0, leaves: [], path: [] }
  const nothing = {
    item: 0,
    placeItem: 0,
    start: 0,
    length: 0,
    datanet: 0,
    offset: 0,
    output: run,
    prompt: run,
    opening: '0x',
    neighbours: [],
  } as const
  return packEvidence(attributionEvidence, { served, attribution, ground: GROUND.malformed, ...nothing })
}

/** The two lines around the place of the first entry's number: there is none. */
function booksOf({ fault, lines, credit }: FaultyWindow): Hex {
  const key = credit.accounts[0] ?? 1
  const at = lines.findIndex(({ kind }) => kind > LINE_KIND.earned)
  const firstLine = fault === 'sumThatDoesNotFollow' ? 0 : at - 1
  const opened = openLines(lines, firstLine, 2)
  const number = { kind: LINE_KIND.earned, key, served: '0x', attribution: '0x' } as const
  return packEvidence(booksEvidence, { lineCount: lines.length, firstLine, ...opened, ...number })
}

function servedOf({ exchanges }: FaultyWindow, index: number): Served {
  const one = exchanges[index]
  if (!one) throw new Error('no such receipt')
  const { request, requestSig, receipt, receiptSig } = one
  const packed = { request: bytesToHex(encodeRequest(request)), receipt: bytesToHex(encodeReceipt(receipt)) }
  return { receiptIndex: index, ...packed, requestSig, receiptSig, path: receiptPath(idsOf(exchanges), index) }
}

function idsOf(exchanges: readonly Exchange[]): Hex[] {
  return exchanges.map(({ receipt, requestSig, receiptSig }) =>
    signedId(receiptId(receipt), hexToBytes(requestSig), hexToBytes(receiptSig)),
  )
}
