/**
 * Queries for logs: which blocks may hold some (the chain knows), which logs match, and how far one query may go.
 * Source of the matching: ethereum/execution-apis, eth_getLogs. Spec: docs/spec/rpc.md#logs
 */
import type { Log } from '../execution/native/nativeType.ts'
import type { BlockLogs, Chain } from './chain.ts'
import { type LogPlace, logToJson } from './format.ts'
import type { RpcLimits } from './limits.ts'
import { heightOf } from './method.ts'
import type { LogFilter } from './params.ts'
import { type Json, quantity } from './quantity.ts'
import { limitExceeded, notFound, RPC_ERROR, RpcError } from './rpcError.ts'

/** Blocks from `from` up to and with `to`. */
export type LogRange = { readonly from: bigint; readonly to: bigint }

/** Whether the log is one of those the filter means. */
export function matchesLog({ addresses, topics }: Pick<LogFilter, 'addresses' | 'topics'>, log: Log): boolean {
  if (addresses.length > 0 && !addresses.includes(log.address)) return false
  return topics.every((alternatives, i) => {
    const topic = log.topics[i]
    return topic !== undefined && (alternatives.length === 0 || alternatives.includes(topic))
  })
}

/** The matching logs of a block with their places, in order. */
export function* logsOf(
  at: BlockLogs,
  filter: Pick<LogFilter, 'addresses' | 'topics'>,
): Generator<{ readonly log: Log; readonly place: LogPlace }> {
  let logIndex = 0
  for (const [index, receipt] of at.receipts.entries()) {
    for (const log of receipt.logs) {
      if (matchesLog(filter, log)) {
        yield { log, place: { blockHash: at.hash, header: at.header, index, transactionHash: at.hashOf(index), logIndex } }
      }
      logIndex++
    }
  }
}

/** Answers a query. */
export function queryLogs(chain: Chain, filter: LogFilter, limits: RpcLimits): Json[] {
  if (filter.blockHash !== undefined) {
    const number = chain.numberOf(filter.blockHash)
    const at = number === undefined ? undefined : chain.blockLogs(number)
    if (!at) throw notFound('unknown block', { code: 'unknownBlock', blockHash: filter.blockHash })
    return Array.from(logsOf(at, filter), ({ log, place }) => logToJson(log, place))
  }
  return collectLogs(chain, filter, rangeOf(chain, filter), limits)
}

/** Matching logs of a range. Throws -32005, with a range that would do, if there are more than one query may give. */
function collectLogs(chain: Chain, filter: LogFilter, range: LogRange, limits: RpcLimits): Json[] {
  const span = range.to - range.from + 1n
  if (span > BigInt(limits.logBlocks)) {
    const to = range.from + BigInt(limits.logBlocks) - 1n
    throw limitExceeded(`query exceeds ${limits.logBlocks} blocks. ${tryThis({ from: range.from, to })}`, {
      code: 'rangeTooLarge',
      blocks: span,
      max: limits.logBlocks,
    })
  }
  const { logs, reached } = scanLogs(chain, filter, range, limits.logResults)
  if (logs.length <= limits.logResults) return logs
  const to = reached > range.from ? reached - 1n : range.from
  throw limitExceeded(`query returned more than ${limits.logResults} results. ${tryThis({ from: range.from, to })}`, {
    code: 'tooManyLogs',
    max: limits.logResults,
  })
}

/** Matching logs of whole blocks, until the range ends or there are more than `resultsMax`; `reached` is the last block looked at. */
export function scanLogs(
  chain: Chain,
  filter: LogFilter,
  range: LogRange,
  resultsMax: number,
): { readonly logs: Json[]; readonly reached: bigint } {
  const found: Json[] = []
  const { addresses, topics } = filter
  for (const number of chain.blocksMatching({ ...range, addresses, topics })) {
    const at = chain.blockLogs(number)
    if (!at) continue // pruned meanwhile
    for (const { log, place } of logsOf(at, filter)) found.push(logToJson(log, place))
    if (found.length > resultsMax) return { logs: found, reached: number }
  }
  return { logs: found, reached: range.to }
}

function rangeOf(chain: Chain, filter: LogFilter): LogRange {
  const { latest } = chain.heads()
  const from = filter.from ? heightOf(chain, filter.from) : latest
  const to = filter.to ? heightOf(chain, filter.to) : latest
  if (from > to) throw new RpcError(RPC_ERROR.invalidParams, 'invalid block range: fromBlock is after toBlock')
  if (to > latest)
    throw new RpcError(RPC_ERROR.invalidParams, 'block range extends beyond current head block', {
      code: 'beyondHead',
      latest: quantity(latest),
    })
  return { from, to }
}

/** Words in which libraries look for a smaller range (the form of Infura, which viem-based indexers parse). */
function tryThis({ from, to }: LogRange): string {
  return `Try with this block range [${quantity(from)}, ${quantity(to)}].`
}
