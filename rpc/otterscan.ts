/**
 * The `ots_` namespace, API level 8, by which Otterscan shows a chain, and the one method of `erigon_` that it looks for. Which transactions touch an
 * address is asked of the chain's index of addresses, where it keeps one. Source: Erigon, rpc/jsonrpc/otterscan_api.go; Otterscan's
 * description of its JSON-RPC extensions. Spec: docs/spec/rpc.md#ots
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import type { AddressHistory, Chain, ChainBlock, PlacedTransaction, Tracer, TransactionPlace } from './chain.ts'
import { blockToJson, effectiveGasPriceWei, headerToJson, receiptToJson, transactionToJson } from './format.ts'
import type { RpcLimits } from './limits.ts'
import { findBlock, type MethodContext, type MethodTable, method, stateAt } from './method.ts'
import * as params from './params.ts'
import { BadValue, type Json, quantity } from './quantity.ts'
import { limitExceeded, notFound, RPC_ERROR, RpcError } from './rpcError.ts'
import { createEntryTracer, createErrorTracer, createOperationTracer } from './tracers/otterscanTracers.ts'
import { createTraceBudget } from './tracers/traceBudget.ts'

const API_LEVEL = 8

/** How long a question waits for an index that is a block behind, in milliseconds. */
const INDEX_WAIT_MS = 2_000

/** How long an answer is worked on before others have their turn, in milliseconds. */
const TURN_MS = 4

/** Every `ots_` method, and `erigon_getHeaderByNumber`, under these limits. */
export function otterscanMethods(limits: RpcLimits): MethodTable {
  return { ...blockMethods(limits), ...executionMethods(limits), ...addressMethods(limits) }
}

function blockMethods(limits: RpcLimits): MethodTable {
  const number = params.numberedBlock('block')
  const page = params.count('pageNumber', 0xffff)
  const size = params.count('pageSize', limits.pageTransactions)
  return {
    ots_getApiLevel: method('Version of this namespace.', [], () => API_LEVEL),
    erigon_getHeaderByNumber: method('A header, or null.', [number], ({ chain }, ref) => {
      const at = findBlock(chain, ref)
      return at ? headerToJson(at) : null
    }),
    ots_getBlockDetails: method('A block without its transactions, and what they paid, or null.', [number], ({ chain }, ref) =>
      blockDetails(findBlock(chain, ref)),
    ),
    ots_getBlockDetailsByHash: method(
      'A block without its transactions, and what they paid, or null.',
      [params.hash('hash')],
      ({ chain }, hash) => blockDetails(chain.blockByHash(hash)),
    ),
    ots_getBlockTransactions: method(
      'A page of a block’s transactions, counted from its end, and their receipts, or null.',
      [number, page, size],
      ({ chain }, ref, pageNumber, pageSize) => blockTransactions(findBlock(chain, ref), pageNumber, pageSize),
    ),
  }
}

function executionMethods(limits: RpcLimits): MethodTable {
  const hash = params.hash('hash')
  const budget = () => createTraceBudget(limits.responseBytes)
  return {
    ots_hasCode: method(
      'Whether the account has code.',
      [params.address('address'), params.numberedBlock('block')],
      async (context, of, ref) => (await stateAt(context.chain, ref).code(of)) !== '0x',
    ),
    ots_traceTransaction: method('Every call of a transaction, in order.', [hash], (context, of) =>
      traced(context, of, createEntryTracer(budget())),
    ),
    ots_getInternalOperations: method('Transfers, creations and ends of contracts within a transaction.', [hash], (context, of) =>
      traced(context, of, createOperationTracer(budget())),
    ),
    ots_getTransactionError: method('What a transaction reverted with; 0x where it did not.', [hash], (context, of) =>
      needTransaction(context.chain, of).receipt.succeeded ? '0x' : traced(context, of, createErrorTracer()),
    ),
  }
}

function addressMethods(limits: RpcLimits): MethodTable {
  const address = params.address('address')
  const number = params.count('blockNumber', Number.MAX_SAFE_INTEGER)
  const size = params.count('pageSize', limits.pageTransactions)
  return {
    ots_searchTransactionsBefore: method(
      'Transactions that touch the address, of blocks below this one (0: of all), the latest first.',
      [address, number, size],
      async ({ chain }, of, below, count) => {
        const history = await historyOf(chain)
        const from = below === 0 ? history.reached() + 1n : BigInt(below)
        const { places, more } = await history.touching(of, { from, direction: 'below', count })
        return { ...(await pageOf(chain, places, limits)), firstPage: below === 0, lastPage: !more }
      },
    ),
    ots_searchTransactionsAfter: method(
      'Transactions that touch the address, of blocks above this one, the latest first.',
      [address, number, size],
      async ({ chain }, of, above, count) => {
        const history = await historyOf(chain)
        const { places, more } = await history.touching(of, { from: BigInt(above), direction: 'above', count })
        return { ...(await pageOf(chain, places.toReversed(), limits)), firstPage: !more, lastPage: above === 0 }
      },
    ),
    ots_getTransactionBySenderAndNonce: method(
      'Hash of the sender’s transaction with this nonce, or null. Lane: ethereum, or native, whose nonces count apart.',
      [address, params.count('nonce', Number.MAX_SAFE_INTEGER), params.optional(params.text('lane', 8))],
      async ({ chain }, sender, nonce, lane = 'ethereum') => {
        if (lane !== 'ethereum' && lane !== 'native') throw new BadValue('lane', 'expected ethereum or native')
        const place = await (await historyOf(chain)).sent(lane, sender, BigInt(nonce))
        return place ? placed(chain, place).tx.hash : null
      },
    ),
    ots_getContractCreator: method('Who made a contract, and in which transaction, or null.', [address], async ({ chain }, contract) => {
      const history = await historyOf(chain)
      const [code, made] = [await stateAt(chain, undefined).code(contract), await history.creation(contract)]
      return code === '0x' || !made ? null : { hash: placed(chain, made).tx.hash, creator: made.maker }
    }),
  }
}

/** The index, with all blocks that there are now. */
async function historyOf({ addresses, heads }: Chain): Promise<AddressHistory> {
  if (!addresses) throw new RpcError(RPC_ERROR.rejected, 'this node keeps no index of addresses', { code: 'noAddressIndex' })
  const { latest } = heads()
  if (await addresses.until(latest, INDEX_WAIT_MS)) return addresses
  const reached = addresses.reached()
  const facts = { code: 'indexBehind', reached: quantity(reached), latest: quantity(latest) }
  throw new RpcError(RPC_ERROR.rejected, `the index of addresses is being made: it has block ${reached} of ${latest}`, facts)
}

/** Transactions and receipts at these places: one that is not in memory has its signature recovered, so that others have their turns in between. */
async function pageOf(
  chain: Chain,
  places: readonly TransactionPlace[],
  { searchTransactions: max }: RpcLimits,
): Promise<{ readonly txs: Json[]; readonly receipts: Json[] }> {
  if (places.length > max)
    throw limitExceeded(`a block has more than ${max} transactions of this address`, { code: 'tooManyTransactions', max })
  const page: { readonly txs: Json[]; readonly receipts: Json[] } = { txs: [], receipts: [] }
  let turnEnds = performance.now() + TURN_MS
  for (const place of places) {
    const found = placed(chain, place)
    page.txs.push(transactionToJson(found.tx, found))
    page.receipts.push({ ...receiptToJson(found), timestamp: Number(found.header.timestamp) })
    if (performance.now() < turnEnds) continue
    await nextTurn()
    turnEnds = performance.now() + TURN_MS
  }
  return page
}

function placed(chain: Chain, { blockNumber, index }: TransactionPlace): PlacedTransaction {
  const found = chain.transactionAt(blockNumber, index)
  assert(found, 'the index names transactions that there are')
  return found
}

function needTransaction(chain: Chain, hash: Hex): PlacedTransaction {
  const found = chain.transaction(hash)
  if (!found) throw notFound('transaction not found', { code: 'unknownTransaction', hash })
  return found
}

async function traced({ chain }: MethodContext, hash: Hex, tracer: Tracer): Promise<Json> {
  const { header, index } = needTransaction(chain, hash)
  await chain.trace(header.number, (i) => (i === index ? tracer : undefined), index)
  return tracer.result()
}

/** Nothing is issued: what there is came from L1. */
const NO_ISSUANCE = { blockReward: '0x0', uncleReward: '0x0', issuance: '0x0' }

function blockDetails(at: ChainBlock | undefined): Json {
  if (!at) return null
  const { transactions: _, ...block } = blockToJson(at, false)
  return {
    block: { ...block, logsBloom: null, transactionCount: at.transactions.length },
    issuance: NO_ISSUANCE,
    totalFees: quantity(feesWei(at)),
  }
}

/** What all senders of a block paid, for gas and for bytes. */
function feesWei({ block: { header }, transactions, receipts }: ChainBlock): bigint {
  return transactions.reduce((sum, tx, index) => {
    const { gasUsed = 0n, dataFee } = receipts[index] ?? {}
    return sum + gasUsed * effectiveGasPriceWei(tx, header.baseFeePerGas) + (dataFee?.feeWei ?? 0n)
  }, 0n)
}

/** Function selector of a call: all that is shown of its data. */
const SELECTOR_LETTERS = 10

function blockTransactions(at: ChainBlock | undefined, pageNumber: number, pageSize: number): Json {
  if (!at) return null
  const count = at.transactions.length
  const end = Math.max(0, count - pageNumber * pageSize)
  const start = Math.max(0, end - pageSize)
  const indexes = Array.from({ length: end - start }, (_, i) => start + i)
  const page = indexes.flatMap((index) => {
    const [tx, receipt] = [at.transactions[index], at.receipts[index]]
    return tx && receipt ? [{ blockHash: at.hash, header: at.block.header, index, tx, receipt, logsBefore: 0 }] : []
  })
  const transactions = page.map((one) => {
    const json = transactionToJson(one.tx, one)
    return { ...json, input: String(json.input).slice(0, SELECTOR_LETTERS) }
  })
  const fullblock = { ...blockToJson(at, false), transactions, logsBloom: null, transactionCount: count }
  return { fullblock, receipts: page.map((one) => ({ ...receiptToJson(one), logs: null, logsBloom: null })) }
}
