/**
 * 0x…0a10: whether a receipt is one that its worker may be paid for: what the client asked, at the model's price, by an active worker, once,
 * signed by both. It says nothing of the output's quality. Signatures come last in the order of codes because they are what costs.
 * Wire: packed request(188) and receipt(281), signatures of 65 bytes. Spec: docs/spec/receipts.md#verifiers
 */
import { type Hex, hexToBytes, size, zeroAddress, zeroHash } from 'viem'
import { models, workers } from '../execution/ledger/tables.ts'
import { RECEIPT_CODE, type ReceiptCode, receiptVerifierAbi } from '../execution/native/doorAbi.ts'
import type { PrecompileCall } from '../execution/precompile.ts'
import {
  decodeReceipt,
  decodeRequest,
  type InferenceReceipt,
  type InferenceRequest,
  RECEIPT_BYTES,
  REQUEST_BYTES,
  receiptDigest,
  receiptId,
  requestDigest,
  requestHash,
} from '../execution/receipt.ts'
import { recoverAddress, splitSignature } from '../execution/recover.ts'
import { RECEIPT_TIER_MAX, VERIFIER } from '../genesis/params.ts'
import { createDoor, RECORD_GAS } from './door.ts'

/** Two recoveries and six hashes, then two records (model and worker). */
const VERIFY_GAS = 9_000n + 2n * RECORD_GAS

const SIGNATURE_BYTES = 65

/** Highest tier that needs no attestation. */
const TIER_UNATTESTED_MAX = 1

/** The receipt verifier. */
export const receiptVerifier = createDoor({
  address: VERIFIER.receipt,
  abi: receiptVerifierAbi,
  views: {
    verify: {
      gas: () => VERIFY_GAS,
      read(call, args) {
        const evidence = decodeEvidence(args)
        if (!evidence) return { code: RECEIPT_CODE.malformed, receiptId: zeroHash, worker: zeroAddress, fee: 0n }
        const { worker, fee } = evidence.receipt
        return { code: codeOf(call, evidence), receiptId: receiptId(evidence.receipt), worker, fee }
      },
    },
  },
})

type Evidence = {
  readonly request: InferenceRequest
  readonly receipt: InferenceReceipt
  readonly requestSig: Uint8Array
  readonly receiptSig: Uint8Array
}

function decodeEvidence(args: { readonly [N in keyof Evidence]: Hex }): Evidence | undefined {
  // Lengths first, for what is too long is not worth another look.
  if (size(args.request) !== REQUEST_BYTES || size(args.receipt) !== RECEIPT_BYTES) return undefined
  if (size(args.requestSig) !== SIGNATURE_BYTES || size(args.receiptSig) !== SIGNATURE_BYTES) return undefined
  const request = decodeRequest(hexToBytes(args.request))
  const receipt = decodeReceipt(hexToBytes(args.receipt))
  if (!request || !receipt || receipt.tier > RECEIPT_TIER_MAX) return undefined
  return { request, receipt, requestSig: hexToBytes(args.requestSig), receiptSig: hexToBytes(args.receiptSig) }
}

function codeOf({ ledger, params }: PrecompileCall, { request, receipt, requestSig, receiptSig }: Evidence): ReceiptCode {
  if (receipt.requestHash !== requestHash(request)) return RECEIPT_CODE.requestMismatch
  if (receipt.modelId !== request.modelId) return RECEIPT_CODE.modelMismatch
  const model = models.get(ledger, { modelId: receipt.modelId })
  if (!model) return RECEIPT_CODE.unknownModel
  if (receipt.finishedAt > request.deadline) return RECEIPT_CODE.expired
  if (request.worker !== zeroAddress && request.worker !== receipt.worker) return RECEIPT_CODE.wrongWorker
  const worker = workers.get(ledger, { worker: receipt.worker })
  if (!worker || worker.stake < params.workerStakeMinWei) return RECEIPT_CODE.workerNotActive
  if (worker.stake < model.minStake) return RECEIPT_CODE.insufficientStake
  if (receipt.outputTokens > request.maxOutputTokens) return RECEIPT_CODE.tooManyTokens
  if (receipt.fee !== feeOf(receipt, model)) return RECEIPT_CODE.feeMismatch
  if (receipt.fee > request.maxFee) return RECEIPT_CODE.feeAboveMax
  if (receipt.seq <= worker.lastSeq) return RECEIPT_CODE.replayed
  if (receipt.tier > model.maxTier || receipt.tier > TIER_UNATTESTED_MAX) return RECEIPT_CODE.tierUnsupported
  if (signerOf(requestDigest(request, params.chainId), requestSig) !== request.client) return RECEIPT_CODE.badRequestSig
  if (signerOf(receiptDigest(receipt, params.chainId), receiptSig) !== worker.hotKey) return RECEIPT_CODE.badReceiptSig
  return RECEIPT_CODE.ok
}

type Prices = { readonly priceBase: bigint; readonly pricePrompt: bigint; readonly priceOutput: bigint }

function feeOf({ promptTokens, outputTokens }: InferenceReceipt, { priceBase, pricePrompt, priceOutput }: Prices): bigint {
  return priceBase + BigInt(promptTokens) * pricePrompt + BigInt(outputTokens) * priceOutput
}

function signerOf(digest: Uint8Array, signatureBytes: Uint8Array): Hex | undefined {
  const signature = splitSignature(signatureBytes)
  return signature && recoverAddress(digest, signature)
}
