/**
 * 0x42…0f GasPriceOracle: what a transaction's bytes cost now, at the address and by the functions of the OP Stack's, which wallets and libraries ask.
 * A transaction is given unsigned: 68 bytes are added for what its signature adds at most. Spec: docs/spec/transactions.md#fees
 * Source: ethereum-optimism/optimism, GasPriceOracle.sol, Ecotone.
 */
import { size } from 'viem'
import { type DataPrice, dataFeeWei, dataPriceIn, L1_GAS_PER_BYTE } from '../execution/fee.ts'
import { getL1Info } from '../execution/ledger/tables.ts'
import { gasPriceOracleAbi } from '../execution/native/doorAbi.ts'
import type { PrecompileCall } from '../execution/precompile.ts'
import { GAS_PRICE_ORACLE } from '../genesis/params.ts'
import { createDoor, RECORD_GAS } from './door.ts'

/** Most bytes that a signature adds to a typed transaction: parity 1, r 33, s 33, and one of the list's length. */
const SIGNATURE_BYTES_MAX = 68

const free = () => 0n
const oneRecord = () => RECORD_GAS

/** The oracle. */
export const gasPriceOracle = createDoor({
  address: GAS_PRICE_ORACLE,
  abi: gasPriceOracleAbi,
  views: {
    getL1Fee: {
      gas: () => 2n * RECORD_GAS,
      read: (call, { data }) => ({ fee: dataFeeWei(signedBytes(data), priceOf(call)) }),
    },
    getL1GasUsed: { gas: free, read: (_, { data }) => ({ gasUsed: BigInt(signedBytes(data)) * L1_GAS_PER_BYTE }) },
    l1BaseFee: { gas: oneRecord, read: ({ ledger }) => ({ value: getL1Info(ledger).baseFee }) },
    blobBaseFee: { gas: oneRecord, read: ({ ledger }) => ({ value: getL1Info(ledger).blobBaseFee }) },
    baseFeeScalar: { gas: oneRecord, read: ({ params }) => ({ value: params.l1BaseFeeScalar }) },
    blobBaseFeeScalar: { gas: oneRecord, read: ({ params }) => ({ value: params.l1BlobBaseFeeScalar }) },
    baseFee: { gas: free, read: ({ baseFeePerGas }) => ({ value: baseFeePerGas }) },
    gasPrice: { gas: free, read: ({ baseFeePerGas }) => ({ value: baseFeePerGas }) },
    decimals: { gas: free, read: () => ({ value: 6n }) },
    isEcotone: { gas: free, read: () => ({ value: true }) },
    isFjord: { gas: free, read: () => ({ value: false }) },
  },
})

function priceOf({ ledger, params }: PrecompileCall): DataPrice {
  return dataPriceIn(ledger, params)
}

function signedBytes(data: `0x${string}`): number {
  return size(data) + SIGNATURE_BYTES_MAX
}
