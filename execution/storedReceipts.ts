/**
 * Receipts as a node keeps them: what the receipts trie has, and what it has not (gas of the one transaction, contract, failure).
 * Form: rlp of [prices, receipts], a receipt being [type, succeeded, cumulativeGas, gasUsed, contract, failureCode, logs, (bytes, data fee)?] and the prices
 * [L1 base fee, L1 blob base fee, scalar, blob scalar], or nothing where bytes cost nothing.
 */
import { RLP } from '@ethereumjs/rlp'
import { bytesToString } from 'viem'
import { assert } from './assert.ts'
import type { Receipt } from './block.ts'
import { type DataPrice, dataPriceOf, NO_DATA_PRICE } from './fee.ts'
import { type Cursor, encodeUtf8, takeRlpList, takeRlpString } from './fields.ts'
import { toHex } from './hex.ts'
import type { Log } from './native/nativeType.ts'
import { createRlpWriter, type RlpWriter } from './rlp.ts'

type Item = Uint8Array | Item[]

/** Bytes of most receipts, at the most. */
const RECEIPT_BYTES = 512

/** A block's receipts as they are kept. */
export function encodeStoredReceipts(receipts: readonly Receipt[]): Uint8Array {
  const price = receipts.find(({ dataFee }) => dataFee)?.dataFee?.price
  const prices = price ? [price.l1BaseFeeWei, price.l1BlobBaseFeeWei, price.baseFeeScalar, price.blobBaseFeeScalar] : []
  const out = createRlpWriter(64 + RECEIPT_BYTES * receipts.length)
  receipts.toReversed().forEach((receipt) => {
    putReceipt(out, receipt)
  })
  out.putHead(0)
  out.put(prices)
  out.putHead(0)
  return out.bytes()
}

/** From the end, as everything is written. */
function putReceipt(out: RlpWriter, receipt: Receipt): void {
  const { type, succeeded, cumulativeGasUsed, gasUsed, contractAddress, failureCode, logs, dataFee } = receipt
  const end = out.written()
  if (dataFee) {
    out.put(dataFee.feeWei)
    out.put(BigInt(dataFee.bytes))
  }
  const logsEnd = out.written()
  for (let i = logs.length - 1; i >= 0; i--) putLog(out, logs[i])
  out.putHead(logsEnd)
  out.put(failureCode === undefined ? '0x' : encodeUtf8(failureCode))
  out.put(contractAddress ?? '0x')
  out.put(gasUsed)
  out.put(cumulativeGasUsed)
  out.put(succeeded ? 1n : 0n)
  out.put(BigInt(type))
  out.putHead(end)
}

function putLog(out: RlpWriter, log: Log | undefined): void {
  if (!log) return
  const end = out.written()
  out.put(log.data)
  out.put(log.topics)
  out.put(log.address)
  out.putHead(end)
}

/** Reads what `encodeStoredReceipts` wrote. Asserts: nobody else writes there. */
export function decodeStoredReceipts(bytes: Uint8Array): Receipt[] {
  const [prices, receipts] = RLP.decode(bytes) as [Item[], Item[]]
  const price = toPrice(prices)
  return receipts.map((item) => toReceipt(item, price))
}

/** One of a block's receipts, no other of which is decoded, and how many logs those before it have. */
export function decodeStoredReceipt(bytes: Uint8Array, index: number): { receipt: Receipt; logsBefore: number } {
  const outer = takeRlpList({ bytes, at: 0, end: bytes.length })
  const pricesFrom = outer.at
  takeRlpList(outer)
  const prices = RLP.decode(bytes.subarray(pricesFrom, outer.at)) as Item[]
  const receipts = takeRlpList(outer)
  let logsBefore = 0
  for (let i = 0; i < index; i++) logsBefore += countLogs(takeRlpList(receipts))
  const from = receipts.at
  takeRlpList(receipts)
  const item = RLP.decode(bytes.subarray(from, receipts.at)) as Item[]
  return { receipt: toReceipt(item, toPrice(prices)), logsBefore }
}

function countLogs(receipt: Cursor): number {
  for (let i = 0; i < 6; i++) takeRlpString(receipt)
  const logs = takeRlpList(receipt)
  let count = 0
  for (; logs.at < logs.end; count++) takeRlpList(logs)
  return count
}

function toReceipt(item: Item, price: DataPrice): Receipt {
  const [type, succeeded, cumulativeGasUsed, gasUsed, contract, failure, logs, dataBytes, feeWei] = item as Item[]
  assert(contract instanceof Uint8Array && failure instanceof Uint8Array && Array.isArray(logs), 'stored receipt is malformed')
  return {
    type: Number(toUint(type)),
    succeeded: toUint(succeeded) === 1n,
    cumulativeGasUsed: toUint(cumulativeGasUsed),
    gasUsed: toUint(gasUsed),
    contractAddress: contract.length > 0 ? toHex(contract) : undefined,
    failureCode: failure.length > 0 ? bytesToString(failure) : undefined,
    dataFee: dataBytes === undefined ? undefined : { bytes: Number(toUint(dataBytes)), feeWei: toUint(feeWei), price },
    logs: logs.map(toLog),
  }
}

function toPrice([baseFee, blobBaseFee, scalar, blobScalar]: readonly Item[]): DataPrice {
  if (baseFee === undefined) return NO_DATA_PRICE
  return dataPriceOf(
    { baseFee: toUint(baseFee), blobBaseFee: toUint(blobBaseFee) },
    { l1BaseFeeScalar: toUint(scalar), l1BlobBaseFeeScalar: toUint(blobScalar) },
  )
}

function toLog(item: Item): Log {
  const [address, topics, data] = item as [Uint8Array, Uint8Array[], Uint8Array]
  return { address: toHex(address), topics: topics.map((topic) => toHex(topic)), data: toHex(data) }
}

function toUint(item: Item | undefined): bigint {
  assert(item instanceof Uint8Array, 'stored receipt is malformed')
  return item.length === 0 ? 0n : BigInt(toHex(item))
}
