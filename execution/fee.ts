/**
 * What a transaction pays besides gas: its bytes in the batch, at the price that L1 asks for them. Both lanes pay it; deposits, which L1 has been
 * paid for, and calls that are no transactions do not. With both scalars 0 there is no such fee.
 * Spec: docs/spec/transactions.md#fees. The form of the price is the OP Stack's since Ecotone: two scalars, one for each of L1's base fees.
 */
import type { ChainParams } from '../genesis/params.ts'
import type { Ledger } from './ledger/ledger.ts'
import { getL1Info, type L1Info } from './ledger/tables.ts'

/** What bytes cost in one block, and what that follows from. */
export type DataPrice = {
  /** L1's base fee and blob base fee at the block's origin, in wei of ETH. */
  readonly l1BaseFeeWei: bigint
  readonly l1BlobBaseFeeWei: bigint
  readonly baseFeeScalar: bigint
  readonly blobBaseFeeScalar: bigint
  /** Wei of OPEN for a million bytes. */
  readonly weiPerMillionBytes: bigint
}

/** Gas of a byte of call data on L1, by which L1's own base fee is weighed. Source: EIP-2028. */
export const L1_GAS_PER_BYTE = 16n

const MILLION = 1_000_000n

/** Bytes cost nothing. */
export const NO_DATA_PRICE: DataPrice = {
  l1BaseFeeWei: 0n,
  l1BlobBaseFeeWei: 0n,
  baseFeeScalar: 0n,
  blobBaseFeeScalar: 0n,
  weiPerMillionBytes: 0n,
}

/** The price in a block with this origin and these parameters: (16 × base fee × scalar + blob base fee × blob scalar) wei for a million bytes. */
export function dataPriceOf(
  { baseFee, blobBaseFee }: Pick<L1Info, 'baseFee' | 'blobBaseFee'>,
  { l1BaseFeeScalar, l1BlobBaseFeeScalar }: Pick<ChainParams, 'l1BaseFeeScalar' | 'l1BlobBaseFeeScalar'>,
): DataPrice {
  return {
    l1BaseFeeWei: baseFee,
    l1BlobBaseFeeWei: blobBaseFee,
    baseFeeScalar: l1BaseFeeScalar,
    blobBaseFeeScalar: l1BlobBaseFeeScalar,
    weiPerMillionBytes: L1_GAS_PER_BYTE * baseFee * l1BaseFeeScalar + blobBaseFee * l1BlobBaseFeeScalar,
  }
}

/** The price in a block with these parameters whose ledger has heard of its origin. */
export function dataPriceIn(ledger: Pick<Ledger, 'get'>, params: ChainParams): DataPrice {
  if (params.l1BaseFeeScalar === 0n && params.l1BlobBaseFeeScalar === 0n) return NO_DATA_PRICE
  return dataPriceOf(getL1Info(ledger), params)
}

/** What so many bytes cost, in wei, rounded down. */
export function dataFeeWei(bytes: number, { weiPerMillionBytes }: DataPrice): bigint {
  return weiPerMillionBytes === 0n ? 0n : (BigInt(bytes) * weiPerMillionBytes) / MILLION
}

/** What a transaction paid for its bytes. */
export type DataFee = { readonly bytes: number; readonly feeWei: bigint; readonly price: DataPrice }

/**
 * Gas of a byte of a row, by which a call of a door pays for the row that carries its operation: the price of the byte in units of the base fee,
 * rounded up. Nothing can be paid by gas that is free.
 */
export function rowByteGas({ baseFeePerGas, dataPrice: { weiPerMillionBytes } }: BlockFees): bigint {
  if (baseFeePerGas === 0n || weiPerMillionBytes === 0n) return 0n
  const unit = MILLION * baseFeePerGas
  return (weiPerMillionBytes + unit - 1n) / unit
}

/**
 * What the gas of a byte of a row may become before a transaction that is estimated now is in a block: base fees fall while blocks are empty, to a quarter
 * within eleven of them, and L1's may rise by an eighth with each of its blocks, for which there is room for two. What is not used is not paid for.
 */
export function rowByteGasSoon({ baseFeePerGas, dataPrice }: BlockFees, { minBaseFeeWei }: Pick<ChainParams, 'minBaseFeeWei'>): bigint {
  const quarter = baseFeePerGas / 4n
  const weiPerMillionBytes = (dataPrice.weiPerMillionBytes * 81n) / 64n
  return rowByteGas({ baseFeePerGas: quarter > minBaseFeeWei ? quarter : minBaseFeeWei, dataPrice: { ...dataPrice, weiPerMillionBytes } })
}

/** What rules the fees of one block. */
export type BlockFees = { readonly baseFeePerGas: bigint; readonly dataPrice: DataPrice }
