/**
 * The desk behind the server: every method, filters and subscriptions, over the `Chain` port. It answers texts with texts, so that it may stand in
 * another thread than the server that hands them to it. Spec: docs/spec/rpc.md
 */
import type { CallCounts } from './callCounts.ts'
import type { Chain } from './chain.ts'
import { debugMethods } from './debug.ts'
import { type Asked, createDispatcher } from './dispatch.ts'
import { ethMethods } from './eth.ts'
import { createFilters } from './filters.ts'
import { RPC_LIMITS, type RpcLimits } from './limits.ts'
import { type MethodContext, type MethodTable, method } from './method.ts'
import { netMethods } from './net.ts'
import { openRpcDocument } from './openRpc.ts'
import { otterscanMethods } from './otterscan.ts'
import type { RpcLog } from './server.ts'
import { createSubscriptions, type Subscriber } from './subscriptions.ts'
import { tributaryMethods } from './tributary.ts'
import { txpoolMethods } from './txpool.ts'
import { web3Methods } from './web3.ts'

/** What a server asks of whoever knows the chain. */
export type Desk = {
  /** The answer to a body that parses, or to calls of one in an array; undefined: nothing wanted one. */
  answer(asked: Asked, subscriber: Subscriber | undefined): Promise<string | undefined>
  /** Begins to send for subscriptions whose ids the subscriber now knows. */
  start(subscriber: Subscriber): void
  /** Forgets a subscriber that left. */
  drop(subscriber: Subscriber): void
  /** Whether the node knows of no block beyond its own. */
  isReady(): Promise<boolean>
}

export type DeskOptions = {
  readonly chain: Chain
  /** Bounds that differ from `RPC_LIMITS`. */
  readonly limits?: Partial<RpcLimits> | undefined
  readonly log: Pick<RpcLog, 'error'>
  /** Milliseconds; for tests. */
  readonly now?: (() => number) | undefined
  /** Where calls are counted. */
  readonly counts?: CallCounts | undefined
}

/** A desk over the chain, and what ends its listening to it. */
export function createDesk({ chain, log, now = Date.now, ...options }: DeskOptions): Desk & { close(): void } {
  const limits = { ...RPC_LIMITS, ...options.limits }
  const startBlock = chain.heads().latest
  const filters = createFilters(chain, limits, now)
  const subscriptions = createSubscriptions(chain, limits, startBlock)
  const dispatcher = createDispatcher<MethodContext>({
    methods: methodsOf(limits),
    limits,
    counts: options.counts && { counts: options.counts, now: () => performance.now() },
    onDefect: ({ method: name, error }) =>
      log.error('rpc method failed', { method: name, error: String(error), stack: error instanceof Error ? error.stack : undefined }),
  })
  const close = chain.subscribe({
    onBlock: (at) => subscriptions.onBlock(at),
    onPending(hash) {
      filters.onPending(hash)
      subscriptions.onPending(hash)
    },
  })
  return {
    answer: async (asked, subscriber) =>
      dispatcher.answer({ parsed: JSON.parse(asked.text), ...asked }, { chain, limits, filters, subscriptions, startBlock, subscriber }),
    start: (subscriber) => subscriptions.start(subscriber),
    drop: (subscriber) => subscriptions.drop(subscriber),
    isReady: async () => (chain.syncStatus().highestBlock ?? 0n) <= chain.heads().latest,
    close,
  }
}

function methodsOf(limits: RpcLimits): MethodTable {
  const methods: MethodTable = {
    ...ethMethods(limits),
    ...netMethods,
    ...web3Methods,
    ...txpoolMethods(limits),
    ...debugMethods(limits),
    ...otterscanMethods(limits),
    ...tributaryMethods(limits),
  }
  const discover = method('What this node can be asked.', [], () => openRpcDocument(methods))
  return { ...methods, 'rpc.discover': discover }
}
