/**
 * 0x56 AttributionCredit: a window of one worker's receipts for one model, paid: by the clients' signed vouchers, to the treasury,
 * the worker, the model's owner, and the contributors whose records the outputs were attributed to. What it pays vests as earnings.
 * Spec: docs/spec/transactions.md#0x56-attributioncredit
 */
import { type Hex, parseAbiItem, parseAbiParameters, zeroHash } from 'viem'
import { BPS, type ChainParams, DOOR, LIMIT, NATIVE_GAS, TREASURY, TX_TYPE } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import { compileFields } from '../fields.ts'
import { fromHex, toHex } from '../hex.ts'
import { addEarned, addEntries, sumOfEntries } from '../ledger/earnings.ts'
import type { Ledger, LedgerReader } from '../ledger/ledger.ts'
import { fixMaturity } from '../ledger/maturity.ts'
import * as tables from '../ledger/tables.ts'
import { REQUEST_MEMBERS, requestDigest } from '../receipt.ts'
import { type SignedDigest, splitSignature } from '../recover.ts'
import { type CreditFields, creditRow } from './creditRow.ts'
import { WHOLE_DATANET } from './datanetReview.ts'
import {
  type Applied,
  defineNative,
  doorLog,
  failure,
  invalid,
  isStrictlyAscending,
  type NativeContext,
  type Rejection,
} from './nativeType.ts'

export const creditedEvent = parseAbiItem(
  'event Credited(address indexed worker, bytes32 indexed modelId, uint32 indexed creditIndex, uint64 firstSeq, uint32 count, uint96 fee, uint96 toContributors, bytes32 receiptsRoot)',
)

const parameters = parseAbiParameters(
  `address worker, bytes32 modelId, uint64 firstSeq, uint32 count, bytes32 receiptsRoot, bytes32 attributionRoot, uint64 promptTokens, uint64 outputTokens, ((${REQUEST_MEMBERS}) request, bytes signature, uint96 amount)[] draws, uint32[] accounts, uint48[] amountsGwei`,
)
const entryFields = compileFields(parseAbiParameters('uint32[] accounts, uint48[] amountsGwei'))
const drawnFields = compileFields(parseAbiParameters('(address client, uint96 amount)[] drawn'), { drawn: 'Drawn' })

type Worker = NonNullable<ReturnType<typeof tables.workers.get>>
type Model = NonNullable<ReturnType<typeof tables.models.get>>

export const attributionCredit = defineNative({
  byte: TX_TYPE.attributionCredit,
  name: 'AttributionCredit',
  door: DOOR.credits,
  functionName: 'credit',
  payable: false,
  parameters,
  structNames: { draws: 'Draw', request: 'InferenceRequest' },
  row: creditRow,

  // Whatever the model: its worker, it, what they and the treasury earn, the credit, its epoch; retires; and datanets with their owners and what those earn.
  records: ({ draws, accounts }) => 11 + LIMIT.retiresPerCheck + 3 * LIMIT.datanetsPerModel + 2 * draws.length + accounts.length,

  itemGas: ({ draws, accounts }) =>
    NATIVE_GAS.credit + NATIVE_GAS.perDraw * BigInt(draws.length) + NATIVE_GAS.perEntry * BigInt(accounts.length),

  signed: signedRequests,

  check(fields) {
    if (!isWindow(fields)) return invalid('badWindow')
    if (!areDraws(fields)) return invalid('badDraw')
    if (!areEntries(fields)) return invalid('badEntries')
    return undefined
  },

  checkSigners: ({ draws }, signerOf) =>
    draws.every(({ request }, i) => signerOf(i) === request.client) ? undefined : invalid('badVoucher'),

  apply(ledger, context, fields) {
    // It spends clients' prepaid balances and says who gets them: not for a caller that only the EVM vouches for.
    if (context.callValueWei !== undefined) return failure('nativeOnly')
    const worker = tables.workers.get(ledger, { worker: fields.worker })
    if (context.sender !== fields.worker && context.sender !== worker?.hotKey) return failure('notWorker', { worker: fields.worker })
    if (!worker) return failure('unknownWorker', { worker: fields.worker })
    const { stake, lastSeq } = worker
    if (stake < context.params.workerStakeMinWei) return failure('workerNotActive', { stake, want: context.params.workerStakeMinWei })
    const model = tables.models.get(ledger, { modelId: fields.modelId })
    if (!model) return failure('unknownModel', { modelId: fields.modelId })
    const suspendedBy = findRetired(ledger, model)
    if (suspendedBy !== undefined) return failure('modelSuspended', { datanetId: suspendedBy })
    if (stake < model.minStake) return failure('insufficientStake', { stake, want: model.minStake })
    if (fields.firstSeq <= lastSeq) return failure('sequenceReused', { firstSeq: fields.firstSeq, lastSeq })
    const feeWei = feeOfWindow(model, fields)
    const drawnWei = fields.draws.reduce((sum, { amount }) => sum + amount, 0n)
    if (drawnWei !== feeWei) return failure('feeMismatch', { got: drawnWei, want: feeWei })
    return takeDraws(ledger, fields) ?? payOut(ledger, context, { fields, worker, model, feeWei })
  },
})

/** Hash of a credit's entries as they stand in its row, by which a proof against them is tied to the credit's record. */
export function entriesHash(entries: { readonly accounts: readonly number[]; readonly amountsGwei: readonly number[] }): Hex {
  return toHex(entryFields.packedHash(entries))
}

/** Hash of what a window drew from whom, in the order of its draws. */
export function drawsHash(drawn: readonly { readonly client: Hex; readonly amount: bigint }[]): Hex {
  return toHex(drawnFields.packedHash({ drawn }))
}

/** The parts of a fee, which add up to it exactly. In wei. Spec: docs/spec/transactions.md#0x56-attributioncredit */
export function splitFee(
  feeWei: bigint,
  { workerBps, contributorBps }: { readonly workerBps: number; readonly contributorBps: number },
  { protocolBps }: Pick<ChainParams, 'protocolBps'>,
): { protocolWei: bigint; workerWei: bigint; ownerWei: bigint; contributorsWei: bigint } {
  const protocolWei = shareOf(feeWei, protocolBps)
  const restWei = feeWei - protocolWei
  const workerWei = shareOf(restWei, workerBps)
  const contributorsWei = shareOf(restWei, contributorBps)
  return { protocolWei, workerWei, ownerWei: restWei - workerWei - contributorsWei, contributorsWei }
}

function isWindow({ firstSeq, count, receiptsRoot, attributionRoot }: CreditFields): boolean {
  if (count === 0 || count > LIMIT.receiptsPerCredit) return false
  if (firstSeq + BigInt(count) > 2n ** 64n) return false // the last sequence number has to fit its field
  return receiptsRoot !== zeroHash && attributionRoot !== zeroHash
}

function areDraws({ draws, worker }: CreditFields): boolean {
  if (draws.length === 0 || draws.length > LIMIT.drawsPerCredit) return false
  if (draws.some(({ amount, request }) => amount === 0n || request.worker !== worker)) return false
  if (new Set(draws.map(({ request }) => request.client)).size < draws.length) return false
  return draws.every(({ signature }) => splitSignature(fromHex(signature)) !== undefined)
}

/** The clients' requests with their signatures; none of them where one is no signature, which no client made. */
function signedRequests({ draws }: CreditFields, chainId: number): SignedDigest[] {
  if (draws.length > LIMIT.drawsPerCredit) return []
  const signed = draws.flatMap(({ request, signature }) => {
    const split = splitSignature(fromHex(signature))
    return split ? [{ digest: requestDigest(request, chainId), signature: split }] : []
  })
  return signed.length === draws.length ? signed : []
}

/** Whether a credit of so many draws and entries, or a dispute of it, can be executed on L1 by one transaction. */
export function isBoundedCredit(draws: number, entries: number): boolean {
  return draws <= LIMIT.drawsPerCredit && entries + LIMIT.entriesPerDraw * draws <= LIMIT.entriesPerCredit
}

function areEntries({ draws, accounts, amountsGwei }: CreditFields): boolean {
  if (accounts.length !== amountsGwei.length || !isBoundedCredit(draws.length, accounts.length)) return false
  return isStrictlyAscending(accounts) && !amountsGwei.includes(0)
}

/** The datanet by which the model is suspended: it, or an upload within the model's snapshot, was retired since the model was registered. */
export function findRetired(ledger: LedgerReader, { datanets }: Model): number | undefined {
  let left: number = LIMIT.retiresPerCheck
  for (const { datanetId, uploadCount, retires } of datanets) {
    const now = tables.datanets.get(ledger, { datanetId })?.retires
    assert(now !== undefined, 'a model names a datanet that is not there')
    left -= now - retires
    if (left < 0) return datanetId
    for (let n = retires; n < now; n++) {
      const retire = tables.retires.get(ledger, { datanetId, n })
      if (retire && (retire.uploadIndex === WHOLE_DATANET || retire.uploadIndex < uploadCount)) return datanetId
    }
  }
  return undefined
}

function feeOfWindow({ priceBase, pricePrompt, priceOutput }: Model, { count, promptTokens, outputTokens }: CreditFields): bigint {
  return BigInt(count) * priceBase + promptTokens * pricePrompt + outputTokens * priceOutput
}

/** Takes what the window draws from each client's prepaid balance, within what the client signed for. */
function takeDraws(ledger: Ledger, { draws, worker }: CreditFields): Rejection | undefined {
  for (const { request, amount } of draws) {
    const { client, cumulativeMaxFee } = request
    const drawn = (tables.draws.get(ledger, { client, worker })?.drawn ?? 0n) + amount
    if (drawn > cumulativeMaxFee) return failure('voucherExceeded', { client, drawn, cumulativeMaxFee })
    const account = tables.getAccount(ledger, client)
    if (account.prepaid < amount) return failure('insufficientPrepaid', { client, prepaid: account.prepaid, want: amount })
    tables.draws.put(ledger, { client, worker }, { drawn })
    tables.putAccount(ledger, client, { ...account, prepaid: account.prepaid - amount })
  }
  return undefined
}

type Window = { readonly fields: CreditFields; readonly worker: Worker; readonly model: Model; readonly feeWei: bigint }

/** Adds every part of the fee to somebody's earnings in the epoch of the block, and writes the credit's record. */
function payOut(ledger: Ledger, context: NativeContext, { fields, worker, model, feeWei }: Window): Applied {
  const { accounts } = fields
  const given = tables.getCounters(ledger).accounts
  const unknown = accounts.find((account) => account === 0 || account > given)
  if (unknown !== undefined) return failure('unknownAccount', { account: unknown })
  const { protocolWei, workerWei, ownerWei, contributorsWei } = splitFee(feeWei, model, context.params)
  const entriesWei = sumOfEntries(fields)
  if (entriesWei > contributorsWei) return failure('poolExceeded', { pool: contributorsWei, got: entriesWei })

  const epoch = Number(context.timeSec / BigInt(context.params.epochSec))
  addEntries(ledger, epoch, fields)
  earn(ledger, TREASURY, epoch, protocolWei)
  earn(ledger, fields.worker, epoch, workerWei)
  earn(ledger, model.owner, epoch, ownerWei)
  earnPool(ledger, model, { epoch, poolWei: contributorsWei - entriesWei })
  return recordCredit(ledger, context, { fields, worker, feeWei, entriesWei, epoch })
}

/** What no entry took goes to the datanets' owners by weight; what rounding leaves goes to the first one's. */
function earnPool(ledger: Ledger, { datanets }: Model, { epoch, poolWei }: { epoch: number; poolWei: bigint }): void {
  let leftWei = poolWei
  for (const { weightBps } of datanets) leftWei -= shareOf(poolWei, weightBps)
  for (const { datanetId, weightBps } of datanets) {
    const owner = tables.datanets.get(ledger, { datanetId })?.owner
    assert(owner, 'a model names a datanet that is not there')
    earn(ledger, owner, epoch, shareOf(poolWei, weightBps) + leftWei)
    leftWei = 0n
  }
}

function earn(ledger: Ledger, account: Hex, epoch: number, amountWei: bigint): void {
  if (amountWei > 0n) addEarned(ledger, { account: tables.indexOf(ledger, account), epoch }, amountWei)
}

type Paid = {
  readonly fields: CreditFields
  readonly worker: Worker
  readonly feeWei: bigint
  readonly entriesWei: bigint
  readonly epoch: number
}

function recordCredit(ledger: Ledger, { timeSec, params }: NativeContext, { fields, worker, feeWei, entriesWei, epoch }: Paid): Applied {
  const { worker: address, modelId, firstSeq, count, receiptsRoot, attributionRoot, promptTokens, outputTokens } = fields
  const creditIndex = worker.credits
  const drawn = fields.draws.map(({ request, amount }) => ({ client: request.client, amount }))
  tables.credits.put(
    ledger,
    { worker: address, creditIndex },
    {
      modelId,
      firstSeq,
      count,
      receiptsRoot,
      attributionRoot,
      promptTokens,
      outputTokens,
      fee: feeWei,
      toContributors: entriesWei,
      epoch,
      atSec: timeSec,
      entriesHash: entriesHash(fields),
      // What a dispute needs to know of the time of the credit: who was drawn from, by which key receipts were signed, what the protocol took.
      drawsHash: drawsHash(drawn),
      hotKey: worker.hotKey,
      protocolBps: params.protocolBps,
    },
  )
  const maturesAt = fixMaturity(ledger, epoch, params)
  // A later epoch may mature earlier, after a vote: the worker answers for the latest of all.
  const liableUntil = maturesAt > worker.liableUntil ? maturesAt : worker.liableUntil
  const lastSeq = firstSeq + BigInt(count) - 1n
  tables.workers.put(ledger, { worker: address }, { ...worker, lastSeq, credits: creditIndex + 1, liableUntil })
  const counters = tables.getCounters(ledger)
  tables.putCounters(ledger, { ...counters, credits: counters.credits + 1n })
  const told = { worker: address, modelId, creditIndex, firstSeq, count, fee: feeWei, toContributors: entriesWei, receiptsRoot }
  return { ok: true, logs: [doorLog(DOOR.credits, creditedEvent, told)] }
}

function shareOf(amountWei: bigint, bps: number): bigint {
  return (amountWei * BigInt(bps)) / BigInt(BPS)
}
