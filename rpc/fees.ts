/**
 * What gas costs: the next base fee, a tip worth offering, and the history of both.
 * Source: EIP-1559; ethereum/execution-apis, eth_feeHistory; the tip after op-geth's `SuggestOptimismPriorityFee`: blocks are rarely full
 * here, so there is nothing to outbid until one is.
 */
import { nextBaseFeeWei } from '../execution/block.ts'
import { type BlockFees, dataPriceIn } from '../execution/fee.ts'
import { paramsAt } from '../execution/ledger/governed.ts'
import type { ChainParams } from '../genesis/params.ts'
import type { Chain, ChainBlock } from './chain.ts'
import { effectiveGasPriceWei } from './format.ts'
import { latestBlock } from './method.ts'
import { type Json, quantity } from './quantity.ts'

/** Tip that is suggested while blocks have room. */
export const TIP_WEI = 1_000_000n

/** Price of blob gas, in wei: there is none in use, so it is EIP-4844's minimum. */
export const BLOB_BASE_FEE_WEI = 1n

/** The parameters that rule the block after this one. Throws `StateUnavailable` if the node no longer has its state. */
export function paramsAfter(chain: Chain, number: bigint): ChainParams {
  const state = chain.stateAt(number)
  return paramsAt(chain.params, { get: (table, id) => state.ledgerRecord(table, id) }, number + 1n)
}

/** What rules the fees of the block after the latest one, if it stays with the latest one's L1 origin. */
export function nextFees(chain: Chain): BlockFees {
  const { header } = latestBlock(chain).block
  const params = paramsAfter(chain, header.number)
  const state = chain.stateAt(header.number)
  const dataPrice = dataPriceIn({ get: (table, id) => state.ledgerRecord(table, id) }, params)
  return { baseFeePerGas: nextBaseFeeWei(header, params), dataPrice }
}

/** Base fee of the block after the latest one, in wei. */
export function baseFeeWei(chain: Chain): bigint {
  const { header } = latestBlock(chain).block
  return nextBaseFeeWei(header, paramsAfter(chain, header.number))
}

/** A tip that gets a transaction into the next block, in wei: a tenth above the last block's median if that one was full, else the least. */
export function suggestedTipWei(chain: Chain): bigint {
  const at = latestBlock(chain)
  const { gasUsed, gasLimit } = at.block.header
  const tips = tipsOf(at)
  const largest = tips.reduce((most, { gasUsed: gas }) => (gas > most ? gas : most), 0n)
  if (gasUsed + largest <= gasLimit) return TIP_WEI
  const median = tips[tips.length >> 1]?.tipWei ?? 0n
  const above = median + median / 10n
  return above > TIP_WEI ? above : TIP_WEI
}

/** Base fees, fullness and tips of `count` blocks that end with `newest`. Percentiles ascend within 0 to 100. */
export function feeHistory(
  chain: Chain,
  range: { readonly newest: bigint; readonly count: number; readonly percentiles: readonly number[] },
): Json {
  const blocks = blocksUntil(chain, range.newest, range.count)
  const newest = blocks.at(-1)
  const after = newest ? [baseFeeAfter(chain, newest)] : []
  const headers = blocks.map((at) => at.block.header)
  return {
    oldestBlock: quantity(headers[0]?.number ?? range.newest),
    baseFeePerGas: [...headers.map((header) => header.baseFeePerGas), ...after].map(quantity),
    gasUsedRatio: headers.map(({ gasUsed, gasLimit }) => Number(gasUsed) / Number(gasLimit)),
    baseFeePerBlobGas: [...headers, ...after].map(() => quantity(BLOB_BASE_FEE_WEI)),
    blobGasUsedRatio: headers.map(() => 0),
    ...(range.percentiles.length === 0 ? {} : { reward: blocks.map((at) => rewards(at, range.percentiles)) }),
  }
}

/** Base fee of the block after this one, which may be there already. */
function baseFeeAfter(chain: Chain, { block: { header } }: ChainBlock): bigint {
  const next = chain.blockByNumber(header.number + 1n)
  return next?.block.header.baseFeePerGas ?? nextBaseFeeWei(header, paramsAfter(chain, header.number))
}

/** Blocks that end with `newest`, oldest first; fewer where the node has no more. */
function blocksUntil(chain: Chain, newest: bigint, count: number): ChainBlock[] {
  const blocks: ChainBlock[] = []
  for (let number = newest; number >= 0n && blocks.length < count; number--) {
    const at = chain.blockByNumber(number)
    if (!at) break
    blocks.push(at)
  }
  return blocks.reverse()
}

/** Tip at each percentile of the block's gas, transactions sorted by tip. */
function rewards(at: ChainBlock, percentiles: readonly number[]): Json {
  const tips = tipsOf(at)
  const total = Number(tips.reduce((sum, { gasUsed }) => sum + gasUsed, 0n))
  let place = 0
  let passed = Number(tips[0]?.gasUsed ?? 0n)
  return percentiles.map((percentile) => {
    while (passed < (total * percentile) / 100 && place < tips.length - 1) {
      place++
      passed += Number(tips[place]?.gasUsed ?? 0n)
    }
    return quantity(tips[place]?.tipWei ?? 0n)
  })
}

/** What transactions paid above the base fee, lowest first. Deposits pay nothing and are left out. */
function tipsOf({ block, transactions, receipts }: ChainBlock): { readonly tipWei: bigint; readonly gasUsed: bigint }[] {
  const base = block.header.baseFeePerGas
  return transactions
    .flatMap((tx, i) =>
      tx.kind === 'deposit' || tx.kind === 'report'
        ? []
        : [{ tipWei: effectiveGasPriceWei(tx, base) - base, gasUsed: receipts[i]?.gasUsed ?? 0n }],
    )
    .sort((a, b) => (a.tipWei < b.tipWei ? -1 : a.tipWei > b.tipWei ? 1 : 0))
}
