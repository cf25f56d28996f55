/**
 * Filters that clients poll: logs, blocks, waiting transactions. Bounded in number and forgotten when nobody asks; hashes of waiting
 * transactions stand in one ring that all filters read from, so a filter costs a position and not a queue.
 * Source: ethereum/execution-apis, eth_newFilter and its kin. Spec: docs/spec/rpc.md#filters
 */
import type { Hex } from 'viem'
import type { Chain } from './chain.ts'
import type { RpcLimits } from './limits.ts'
import { type LogRange, queryLogs, scanLogs } from './logs.ts'
import type { LogFilter } from './params.ts'
import { createId, type Json } from './quantity.ts'
import { limitExceeded, RPC_ERROR, RpcError } from './rpcError.ts'

type Filter =
  | { readonly kind: 'logs'; readonly filter: LogFilter; nextBlock: bigint; usedMs: number }
  | { readonly kind: 'blocks'; nextBlock: bigint; usedMs: number }
  | { readonly kind: 'pending'; nextSeq: number; usedMs: number }

/** What clients left with the server to ask again. */
export type Filters = {
  /** Throws -32005 when there are too many. */
  addLogs(filter: LogFilter): Hex
  addBlocks(): Hex
  addPending(): Hex
  /** What is new since the last time. Throws -32000 for a filter that is not there. */
  changes(id: Hex): Json[]
  /** All logs of a logs filter. */
  logs(id: Hex): Json[]
  remove(id: Hex): boolean
  /** Tells of a transaction that entered the pool. */
  onPending(hash: Hex): void
}

/** No filters yet. `now` in milliseconds. */
export function createFilters(chain: Chain, limits: RpcLimits, now: () => number): Filters {
  const filters = new Map<Hex, Filter>()
  const ring: Hex[] = []
  let ringSeq = 0

  function expire(): void {
    for (const [id, filter] of filters) if (now() - filter.usedMs > limits.filterMs) filters.delete(id)
  }

  function add(filter: Filter): Hex {
    if (filters.size >= limits.filters) expire()
    if (filters.size >= limits.filters) throw limitExceeded('too many filters', { code: 'tooManyFilters', max: limits.filters })
    const id = createId()
    filters.set(id, filter)
    return id
  }

  function use(id: Hex): Filter {
    const filter = filters.get(id)
    if (!filter || now() - filter.usedMs > limits.filterMs) {
      filters.delete(id)
      throw new RpcError(RPC_ERROR.rejected, 'filter not found', { code: 'unknownFilter', filter: id })
    }
    filter.usedMs = now()
    return filter
  }

  /** Blocks that a filter has not told of, as many as one answer may span. */
  function untold(nextBlock: bigint, until: bigint): LogRange {
    const last = nextBlock + BigInt(limits.logBlocks) - 1n
    return { from: nextBlock, to: until < last ? until : last }
  }

  function logChanges(filter: Extract<Filter, { kind: 'logs' }>): Json[] {
    const { latest } = chain.heads()
    const { to } = filter.filter
    const range = untold(filter.nextBlock, to?.kind === 'number' && to.number < latest ? to.number : latest)
    if (range.to < range.from) return []
    const { logs, reached } = scanLogs(chain, filter.filter, range, limits.logResults)
    filter.nextBlock = reached + 1n
    return logs
  }

  function blockChanges(filter: Extract<Filter, { kind: 'blocks' }>): Json[] {
    const { from, to } = untold(filter.nextBlock, chain.heads().latest)
    const hashes: Json[] = []
    for (let number = from; number <= to; number++) {
      const at = chain.blockByNumber(number)
      if (at) hashes.push(at.hash)
    }
    if (to >= from) filter.nextBlock = to + 1n
    return hashes
  }

  return {
    addLogs(filter) {
      if (filter.blockHash !== undefined) throw new RpcError(RPC_ERROR.invalidParams, 'filter.blockHash: a filter is for blocks to come')
      const next = chain.heads().latest + 1n
      const from = filter.from?.kind === 'number' ? filter.from.number : next
      return add({ kind: 'logs', filter, nextBlock: from > next ? from : next, usedMs: now() })
    },
    addBlocks: () => add({ kind: 'blocks', nextBlock: chain.heads().latest + 1n, usedMs: now() }),
    addPending: () => add({ kind: 'pending', nextSeq: ringSeq, usedMs: now() }),
    changes(id) {
      const filter = use(id)
      if (filter.kind === 'logs') return logChanges(filter)
      if (filter.kind === 'blocks') return blockChanges(filter)
      const oldest = ringSeq - ring.length
      const fresh = ring.slice(Math.max(0, filter.nextSeq - oldest))
      filter.nextSeq = ringSeq
      return fresh
    },
    logs(id) {
      const filter = use(id)
      if (filter.kind !== 'logs') throw new RpcError(RPC_ERROR.rejected, 'not a filter for logs', { code: 'notALogFilter', filter: id })
      return queryLogs(chain, filter.filter, limits)
    },
    remove: (id) => filters.delete(id),
    onPending(hash) {
      ring.push(hash)
      ringSeq++
      if (ring.length > 2 * limits.pendingHashes) ring.splice(0, ring.length - limits.pendingHashes)
    },
  }
}
