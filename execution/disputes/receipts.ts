/**
 * Judgements about receipts: a sequence number that was signed twice, a receipt that breaks a rule which nothing later can change, a request that was paid
 * twice. Each makes the whole credit void. Spec: docs/spec/disputes.md#receipts
 */
import { type Hex, hexToBytes, zeroAddress } from 'viem'
import { RECEIPT_TIER_MAX } from '../../genesis/params.ts'
import { credits } from '../ledger/tables.ts'
import { decodeReceipt, type InferenceReceipt, receiptDigest, receiptId, requestDigest } from '../receipt.ts'
import { recoverAddress, splitSignature } from '../recover.ts'
import {
  badLeafEvidence,
  type Case,
  doubleUseEvidence,
  equivocationEvidence,
  type Judgement,
  type ShownReceipt,
  showReceipt,
  unproven,
  VOID,
} from './evidence.ts'

/** Whether the worker's hot key signed two receipts of one sequence number of the window. */
export function judgeEquivocation({ credit, worker, chainId }: Case, evidence: Uint8Array): Judgement {
  const shown = equivocationEvidence.unpack(evidence)
  if (!shown) return unproven('malformed')
  const [receipt, other] = [shown.receipt, shown.otherReceipt].map((bytes) => decodeReceipt(hexToBytes(bytes)))
  if (!receipt || !other) return unproven('malformed')
  if (receipt.seq !== other.seq || receiptId(receipt) === receiptId(other)) return unproven('sameReceipt')
  const isOurs = [receipt, other].every((one) => one.worker === worker) && isInWindow(credit, receipt.seq)
  if (!isOurs) return unproven('otherWindow')
  const signers = [
    signerOf(receiptDigest(receipt, chainId), hexToBytes(shown.receiptSig)),
    signerOf(receiptDigest(other, chainId), hexToBytes(shown.otherSig)),
  ]
  return signers.every((signer) => signer === credit.hotKey) ? VOID : unproven('otherSigner')
}

/** Whether a receipt of the window is none that a worker may be paid for. */
export function judgeBadLeaf(about: Case, evidence: Uint8Array): Judgement {
  const unpacked = badLeafEvidence.unpack(evidence)
  if (!unpacked) return unproven('malformed')
  const shown = showReceipt(about.credit, unpacked.served)
  if (!shown) return unproven('notInWindow')
  return isGood(about, shown) ? unproven('goodReceipt') : VOID
}

/** Whether a request was paid for twice: in two receipts of the window, or in one and one of an earlier credit of the worker. */
export function judgeDoubleUse({ ledger, credit, worker, creditIndex }: Case, evidence: Uint8Array): Judgement {
  const unpacked = doubleUseEvidence.unpack(evidence)
  if (!unpacked) return unproven('malformed')
  const { served, other, otherCredit } = unpacked
  if (otherCredit > creditIndex) return unproven('laterCredit') // the later of the two is the one that is wrong
  const before = otherCredit === creditIndex ? credit : credits.get(ledger, { worker, creditIndex: otherCredit })
  const [first, second] = [showReceipt(credit, served), before && showReceipt(before, other)]
  if (!first || !second) return unproven('notInWindow')
  if (otherCredit === creditIndex && first.receiptIndex === second.receiptIndex) return unproven('sameReceipt')
  return first.receipt.requestHash === second.receipt.requestHash ? VOID : unproven('otherRequest')
}

/** Every rule of the receipt verifier that depends on nothing but the receipt, its model and the credit. */
function isGood(
  { credit, model, worker, chainId }: Case,
  { receiptIndex, receipt, request, requestSig, receiptSig }: ShownReceipt,
): boolean {
  if (receipt.modelId !== credit.modelId || request.modelId !== receipt.modelId) return false
  if (receipt.worker !== worker || (request.worker !== zeroAddress && request.worker !== worker)) return false
  if (receipt.seq !== credit.firstSeq + BigInt(receiptIndex) || receipt.finishedAt > request.deadline) return false
  if (receipt.outputTokens > request.maxOutputTokens || receipt.fee > request.maxFee || receipt.fee !== feeOf(receipt, model)) return false
  if (receipt.tier > model.maxTier || receipt.tier > RECEIPT_TIER_MAX) return false
  if (signerOf(requestDigest(request, chainId), requestSig) !== request.client) return false
  return signerOf(receiptDigest(receipt, chainId), receiptSig) === credit.hotKey
}

function isInWindow({ firstSeq, count }: Case['credit'], seq: bigint): boolean {
  return seq >= firstSeq && seq < firstSeq + BigInt(count)
}

function feeOf({ promptTokens, outputTokens }: InferenceReceipt, { priceBase, pricePrompt, priceOutput }: Case['model']): bigint {
  return priceBase + BigInt(promptTokens) * pricePrompt + BigInt(outputTokens) * priceOutput
}

function signerOf(digest: Uint8Array, bytes: Uint8Array): Hex | undefined {
  const signature = splitSignature(bytes)
  return signature && recoverAddress(digest, signature)
}
