/**
 * What a dispute shows, and what comes of it. Evidence is packed as records are (docs/spec/ledger.md#tables), one form a kind of dispute; whoever judges it has
 * the disputed credit, its model, and the lists that hash to what the credit's record holds.
 * Spec: docs/spec/disputes.md#evidence
 */
import { bytesToHex, type Hex, hexToBytes, parseAbiParameters } from 'viem'
import { LINE_MEMBERS } from '../attribution/lines.ts'
import { UPLOAD_PLACE_MEMBERS, WORD_RUN_MEMBERS } from '../attribution/opening.ts'
import { compileFields, type FieldsOf } from '../fields.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { credits, models } from '../ledger/tables.ts'
import {
  decodeReceipt,
  decodeRequest,
  type InferenceReceipt,
  type InferenceRequest,
  receiptId,
  requestHash,
  signedId,
  verifyInclusion,
} from '../receipt.ts'

/** Kinds of disputes: a sequence number signed twice, a receipt that is none, a request paid twice, books that do not add up, a false attribution. */
export const DISPUTE_KIND = { equivocation: 1, badLeaf: 2, doubleUse: 3, wrongBooks: 4, wrongAttribution: 5 } as const

export type Credit = NonNullable<ReturnType<typeof credits.get>>
export type Model = NonNullable<ReturnType<typeof models.get>>

/** Everything that a judgement may look at besides the evidence. */
export type Case = {
  readonly ledger: Ledger
  readonly chainId: number
  readonly worker: Hex
  readonly creditIndex: number
  readonly credit: Credit
  readonly model: Model
  /** The credit's draws and entries, which were compared with its record. */
  readonly drawn: readonly { readonly client: Hex; readonly amount: bigint }[]
  readonly entriesGwei: ReadonlyMap<number, bigint>
}

/**
 * A judgement. Upheld, the credit is void, or its entries change by so much for some accounts (gwei); `feeWei` is that of the receipt whose attribution is
 * false. Else `code` says what the evidence lacks.
 */
export type Judgement =
  | { readonly upheld: true; readonly change: 'void' | ReadonlyMap<number, bigint>; readonly feeWei: bigint }
  | { readonly upheld: false; readonly code: string }

/** The judgement that evidence shows nothing. */
export function unproven(code: string): Judgement {
  return { upheld: false, code }
}

/** The judgement that the whole credit is void. */
export const VOID: Judgement = { upheld: true, change: 'void', feeWei: 0n }

const SERVED_MEMBERS = 'uint32 receiptIndex, bytes request, bytes requestSig, bytes receipt, bytes receiptSig, bytes32[] path'
const STRUCTS = {
  served: 'Served',
  other: 'Served',
  lines: 'Line',
  output: 'WordRun',
  prompt: 'WordRun',
  neighbours: 'UploadPlace',
} as const

/** Two receipts of one sequence number. */
export const equivocationEvidence = compileFields(parseAbiParameters('bytes receipt, bytes receiptSig, bytes otherReceipt, bytes otherSig'))
/** A receipt of the window. */
export const badLeafEvidence = compileFields(parseAbiParameters(`(${SERVED_MEMBERS}) served`), STRUCTS)
/** A receipt of the window, and another of it or of an earlier credit of the worker. */
export const doubleUseEvidence = compileFields(
  parseAbiParameters(`(${SERVED_MEMBERS}) served, uint32 otherCredit, (${SERVED_MEMBERS}) other`),
  STRUCTS,
)
/**
 * Neighbouring lines and the number that is in question. `served` is a packed receipt of the window if a line of it is meant, and `attribution` its
 * attribution record if that line is a contributor's.
 */
export const booksEvidence = compileFields(
  parseAbiParameters(
    `uint32 lineCount, uint32 firstLine, (${LINE_MEMBERS})[] lines, bytes32[] path, uint8 kind, uint32 key, bytes served, bytes attribution`,
  ),
  STRUCTS,
)
/** A receipt of the window, its attribution record, and what is wrong with it; what a ground does not use is empty. */
export const attributionEvidence = compileFields(
  parseAbiParameters(
    `(${SERVED_MEMBERS}) served, bytes attribution, uint8 ground, uint16 item, uint16 placeItem, uint16 start, uint16 length, uint8 datanet, uint32 offset, (${WORD_RUN_MEMBERS}) output, (${WORD_RUN_MEMBERS}) prompt, bytes opening, (${UPLOAD_PLACE_MEMBERS})[] neighbours`,
  ),
  STRUCTS,
)

/** A receipt of a window as evidence has it. */
export type Served = FieldsOf<ReturnType<typeof parseServed>>
function parseServed() {
  return parseAbiParameters(SERVED_MEMBERS)
}

/** Packed form of a receipt of a window. */
export const servedFields = compileFields(parseServed())

/** What is wrong with an attribution record. */
export const GROUND = {
  malformed: 1,
  wrongOutput: 2,
  wrongPrompt: 3,
  placeFalse: 4,
  uploadAbsent: 5,
  placeMissing: 6,
  echoFalse: 7,
  echoMissing: 8,
} as const

/** A receipt that is shown to be in a credit. */
export type ShownReceipt = {
  readonly receiptIndex: number
  readonly receipt: InferenceReceipt
  /** The request that the receipt names. */
  readonly request: InferenceRequest
  readonly requestSig: Uint8Array
  readonly receiptSig: Uint8Array
}

/** Reads a receipt of the credit; undefined: it is not shown to be in the window, or the request is not the one that it names. */
export function showReceipt({ receiptsRoot, count }: Pick<Credit, 'receiptsRoot' | 'count'>, served: Served): ShownReceipt | undefined {
  const receipt = decodeReceipt(hexToBytes(served.receipt))
  const request = decodeRequest(hexToBytes(served.request))
  const [requestSig, receiptSig] = [hexToBytes(served.requestSig), hexToBytes(served.receiptSig)]
  if (!receipt || !request || requestSig.length !== 65 || receiptSig.length !== 65) return undefined
  // Another request than the one that the receipt names would prove anything.
  if (requestHash(request) !== receipt.requestHash) return undefined
  const id = signedId(receiptId(receipt), requestSig, receiptSig)
  const { receiptIndex: index, path } = served
  if (!verifyInclusion({ root: receiptsRoot, index, count, signedId: id, path })) return undefined
  return { receiptIndex: index, receipt, request, requestSig, receiptSig }
}

/** Packed evidence as a transaction has it. */
export function packEvidence<T>(fields: { pack(value: T): Uint8Array }, value: T): Hex {
  return bytesToHex(fields.pack(value))
}
