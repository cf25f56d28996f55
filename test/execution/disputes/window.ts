/**
 * A worker's window from the records to the credit, everything real: uploads with their roots, a model with its snapshots, requests and receipts signed,
 * outputs attributed, books kept. What a worker may do wrong is done by changing one of the parts before what depends on it is made.
 */
import secp256k1 from 'secp256k1'
import { bytesToHex, type Hex, hexToBytes, zeroHash } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { createAttributor } from '../../../execution/attribution/attribute.ts'
import { type AttributionRecord, attributionHash, encodeAttribution } from '../../../execution/attribution/attributionRecord.ts'
import { contentRootOf, snapshotRoot } from '../../../execution/attribution/commitment.ts'
import { attributionRoot, entriesOf, type Line, windowLines } from '../../../execution/attribution/lines.ts'
import type { OpenUpload } from '../../../execution/attribution/opening.ts'
import { sharesOf } from '../../../execution/attribution/shares.ts'
import { shareContextOf } from '../../../execution/attribution/sources.ts'
import { type Served, servedFields } from '../../../execution/disputes/evidence.ts'
import { keccak256 } from '../../../execution/keccak.ts'
import { getAccount, models } from '../../../execution/ledger/tables.ts'
import { attributionCredit } from '../../../execution/native/attributionCredit.ts'
import type { CreditFields as RowCreditFields } from '../../../execution/native/creditRow.ts'
import { datanetCreate } from '../../../execution/native/datanetCreate.ts'
import { datanetReview } from '../../../execution/native/datanetReview.ts'
import { datanetUpload } from '../../../execution/native/datanetUpload.ts'
import { modelIdOf, modelRegister } from '../../../execution/native/modelRegister.ts'
import { workerRegister } from '../../../execution/native/workerRegister.ts'
import {
  encodeReceipt,
  encodeRequest,
  type InferenceReceipt,
  type InferenceRequest,
  outputCommit,
  promptCommit,
  receiptDigest,
  receiptId,
  receiptPath,
  receiptsRoot,
  requestDigest,
  requestHash,
  signedId,
} from '../../../execution/receipt.ts'
import { type MemoryLedger, TEST_PARAMS } from '../../fakes/ledger.ts'
import {
  ALICE,
  BOB,
  CLIENT,
  CLIENT_KEY,
  CREATE,
  CURATOR,
  contextOf,
  createFundedLedger,
  drawOf,
  MODEL,
  MODELLER,
  mustRun,
  NOW,
  OWNER,
  REGISTRATION,
  REVIEW,
  SECOND_CLIENT,
  SECOND_CLIENT_KEY,
  SECOND_OWNER,
  STRANGER,
  UPLOAD,
  UPLOADER,
  WORKER,
  word,
} from '../native/world.ts'

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
export const HOT_KEY_SECRET: Hex = `0x${'d1'.repeat(32)}`
export const HOT_ADDRESS = privateKeyToAddress(HOT_KEY_SECRET).toLowerCase() as Hex
export const SALT = new Uint8Array(32).fill(7)

const RIVER = 'the river rises in the northern hills and runs for nine hundred miles to the cold sea'
const WEATHER = 'in autumn the wind turns to the west and brings heavy rain over the whole of the coast'

/** Uploads of datanet 1 (a copy of the first text, too) and of datanet 2; STRANGER shares nothing. */
export const TEXTS = [
  [
    ['nothing of interest is written here', RIVER],
    [RIVER, 'a second text of the same upload that nobody quotes at all'],
  ],
  [[WEATHER]],
] as const
export const QUOTE = 'river rises in the northern hills and runs for nine hundred miles'
export const RAIN = 'the wind turns to the west and brings heavy rain'

/** What each client asks and gets. */
const EXCHANGES = [
  { prompt: 'where does it begin', output: `well , the ${QUOTE} to somewhere`, key: CLIENT_KEY, client: CLIENT },
  { prompt: 'what of the weather', output: `it says : ${RAIN} and ${QUOTE}`, key: SECOND_CLIENT_KEY, client: SECOND_CLIENT },
  { prompt: `repeat : ${RAIN}`, output: `${RAIN} , you said`, key: CLIENT_KEY, client: CLIENT },
] as const

/** Contributors of each upload, by datanet. */
const SPLITS = [
  [UPLOAD.contributors, [{ account: BOB, shareBps: 10_000, role: 1 }]],
  [[{ account: ALICE, shareBps: 10_000, role: 1 }]],
] as const

export type Exchange = {
  readonly prompt: string
  readonly output: string
  readonly request: InferenceRequest
  readonly receipt: InferenceReceipt
  readonly record: AttributionRecord
  readonly requestSig: Uint8Array
  readonly receiptSig: Uint8Array
}

/** What a worker may change: each is given what an honest one makes. */
export type Tampering = {
  record?(record: AttributionRecord, index: number): AttributionRecord
  /** Bytes whose hash is the receipt's attribution hash, where they are no record. */
  recordBytes?(index: number): Uint8Array | undefined
  receipt?(receipt: InferenceReceipt, index: number): InferenceReceipt
  request?(request: InferenceRequest, index: number): InferenceRequest
  requestSig?(signature: Uint8Array, index: number): Uint8Array
  receiptSig?(signature: Uint8Array, index: number): Uint8Array
  lines?(lines: Line[]): Line[]
  credit?(fields: CreditFields): CreditFields
}

export type Draw = ReturnType<typeof drawOf>
export type CreditFields = Omit<RowCreditFields, 'draws'> & { readonly draws: readonly Draw[] }

export type Window = {
  readonly ledger: MemoryLedger
  readonly exchanges: readonly Exchange[]
  readonly lines: readonly Line[]
  readonly credit: CreditFields
  /** Open uploads of each datanet, as snapshots have them. */
  readonly snapshots: readonly (readonly OpenUpload[])[]
  served(index: number): Served
}

const SNAPSHOTS: readonly (readonly OpenUpload[])[] = TEXTS.map((uploads) =>
  uploads.map((texts, uploadIndex) => {
    const records = texts.map(bytesOf)
    return {
      uploadIndex,
      recordCount: records.length,
      qualityBps: REVIEW.qualityBps,
      contentRoot: contentRootOf(records, UPLOADER),
      contributor: UPLOADER,
      records,
    }
  }),
)

const RECORDS = SNAPSHOTS.flatMap((uploads, datanet) =>
  uploads.flatMap(({ uploadIndex, records }) => records.map((bytes, record) => ({ datanet, uploadIndex, record, bytes }))),
)
/** The honest attributor of the model. */
export const attribute = createAttributor(RECORDS)

const MANIFEST = {
  ...MODEL,
  datanets: SNAPSHOTS.map((uploads, i) => ({
    datanetId: i + 1,
    snapshotRoot: snapshotRoot(uploads),
    uploadCount: uploads.length,
    recordCount: uploads.reduce((sum, { recordCount }) => sum + recordCount, 0),
    weightBps: i === 0 ? 7_000 : 3_000,
  })),
  priceBase: 10n ** 15n,
  pricePrompt: 10n ** 12n,
  priceOutput: 3n * 10n ** 12n,
}
const MODEL_ID = modelIdOf(MANIFEST, MODELLER)

/** Datanets with their real records, the model over them, the worker with its hot key. */
export function createWindowWorld(): MemoryLedger {
  const ledger = createFundedLedger()
  mustRun(datanetCreate, ledger, contextOf(OWNER), CREATE)
  mustRun(datanetCreate, ledger, contextOf(SECOND_OWNER), { ...CREATE, name: 'weather' })
  for (const [i, uploads] of SNAPSHOTS.entries()) {
    for (const { uploadIndex, contentRoot, recordCount } of uploads) {
      const fields = { ...UPLOAD, datanetId: i + 1, contentRoot, recordCount, contributors: SPLITS[i]?.[uploadIndex] }
      mustRun(datanetUpload, ledger, contextOf(UPLOADER), fields)
      mustRun(datanetReview, ledger, contextOf(CURATOR), { ...REVIEW, datanetId: i + 1, uploadIndex })
    }
  }
  mustRun(modelRegister, ledger, contextOf(MODELLER), MANIFEST)
  mustRun(workerRegister, ledger, contextOf(WORKER), { ...REGISTRATION, hotKey: HOT_ADDRESS })
  ledger.takeChanges()
  return ledger
}

/** The window of the exchanges, credited: on a new world, or behind the credits of one. */
export function creditWindow(tampering: Tampering = {}, { ledger = createWindowWorld(), firstSeq = 1n } = {}): Window {
  const exchanges = EXCHANGES.map((_, index) => makeExchange(tampering, index, firstSeq))
  const terms = { protocolBps: TEST_PARAMS.protocolBps, contributorBps: MANIFEST.contributorBps }
  const context = shareContextOf(ledger, models.get(ledger, { modelId: MODEL_ID })?.datanets ?? [])
  const honest = windowLines(
    exchanges.map(({ receipt, request, record }) => ({
      ...receipt,
      clientAccount: getAccount(ledger, request.client).index,
      shares: sharesOf(record, context).accounts,
    })),
    terms,
  )
  const lines = tampering.lines?.(honest) ?? honest
  const ids = exchanges.map(({ receipt, requestSig, receiptSig }) => signedId(receiptId(receipt), requestSig, receiptSig))
  const fields: CreditFields = {
    worker: WORKER,
    modelId: MODEL_ID,
    firstSeq,
    count: exchanges.length,
    receiptsRoot: receiptsRoot(ids),
    attributionRoot: attributionRoot(lines),
    promptTokens: exchanges.reduce((sum, { receipt }) => sum + BigInt(receipt.promptTokens), 0n),
    outputTokens: exchanges.reduce((sum, { receipt }) => sum + BigInt(receipt.outputTokens), 0n),
    draws: drawsOf(exchanges),
    ...entriesOf(honest),
  }
  const credit = tampering.credit?.(fields) ?? fields
  mustRun(attributionCredit, ledger, contextOf(WORKER), credit)
  ledger.takeChanges()
  const served = (index: number): Served => {
    const one = exchanges[index]
    if (!one) throw new Error('no such exchange')
    return {
      receiptIndex: index,
      request: bytesToHex(encodeRequest(one.request)),
      requestSig: bytesToHex(one.requestSig),
      receipt: bytesToHex(encodeReceipt(one.receipt)),
      receiptSig: bytesToHex(one.receiptSig),
      path: receiptPath(ids, index),
    }
  }
  return { ledger, exchanges, lines, credit, snapshots: SNAPSHOTS, served }
}

/** A receipt of a window, packed. */
export function packServed(served: Served): Hex {
  return bytesToHex(servedFields.pack(served))
}

/** Signs a digest as clients and hot keys do. */
export function sign(digest: Uint8Array, key: Hex): Uint8Array {
  const { signature, recid } = secp256k1.ecdsaSign(digest, hexToBytes(key))
  return Uint8Array.from([...signature, 27 + recid])
}

/** The record's bytes. */
export function recordHex(record: AttributionRecord): Hex {
  return bytesToHex(encodeAttribution(record))
}

function makeExchange(tampering: Tampering, index: number, firstSeq: bigint): Exchange {
  const { prompt, output, key, client } = EXCHANGES[index] ?? EXCHANGES[0]
  const [promptTokens, outputTokens] = [prompt.split(' ').length, output.split(' ').length]
  const asked: InferenceRequest = {
    client,
    worker: WORKER,
    modelId: MODEL_ID,
    promptCommit: promptCommit(SALT, bytesOf(prompt)),
    paramsHash: word('22'),
    seed: BigInt(index),
    maxOutputTokens: 1_000,
    maxFee: 10n ** 18n,
    cumulativeMaxFee: 10n ** 20n,
    nonce: firstSeq + BigInt(index),
    deadline: NOW + 60n,
  }
  const request = tampering.request?.(asked, index) ?? asked
  const honest = attribute(bytesOf(output), bytesOf(prompt))
  const record = tampering.record?.(honest, index) ?? honest
  const bytes = tampering.recordBytes?.(index)
  const made: InferenceReceipt = {
    requestHash: requestHash(request),
    modelId: MODEL_ID,
    worker: WORKER,
    seq: firstSeq + BigInt(index),
    outputCommit: outputCommit(SALT, bytesOf(output)),
    tokensRoot: word('51'),
    traceRoot: zeroHash,
    attributionHash: bytes ? hashOf(bytes) : attributionHash(record),
    attestationId: zeroHash,
    promptTokens,
    outputTokens,
    fee: MANIFEST.priceBase + BigInt(promptTokens) * MANIFEST.pricePrompt + BigInt(outputTokens) * MANIFEST.priceOutput,
    finishedAt: NOW,
    tier: 0,
  }
  const receipt = tampering.receipt?.(made, index) ?? made
  const requestSig = sign(requestDigest(request, TEST_PARAMS.chainId), key)
  const receiptSig = sign(receiptDigest(receipt, TEST_PARAMS.chainId), HOT_KEY_SECRET)
  return {
    ...{ prompt, output, request, receipt },
    record: bytes ? { ...honest, spans: [], echoes: [] } : record,
    requestSig: tampering.requestSig?.(requestSig, index) ?? requestSig,
    receiptSig: tampering.receiptSig?.(receiptSig, index) ?? receiptSig,
  }
}

function hashOf(bytes: Uint8Array): Hex {
  return bytesToHex(keccak256(bytes))
}

/** One draw a client, on a voucher of its own. */
function drawsOf(exchanges: readonly Exchange[]): Draw[] {
  const sums = new Map<Hex, bigint>()
  for (const { request, receipt } of exchanges) sums.set(request.client, (sums.get(request.client) ?? 0n) + receipt.fee)
  return [...sums].map(([client, amount]) => {
    const first = exchanges.find(({ request }) => request.client === client)?.request
    if (!first) throw new Error('a client without a request')
    return drawOf({ ...first, worker: WORKER }, amount, client === CLIENT ? CLIENT_KEY : SECOND_CLIENT_KEY)
  })
}

/** Whoever disputes. */
export const CHALLENGER = STRANGER
