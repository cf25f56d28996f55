/**
 * Subscriptions over WebSocket: new heads, logs, waiting transactions, syncing. What a block has to say is written out once and sent to all
 * who want it.
 * Source: geth's pub/sub, which clients expect (`eth_subscribe`). Spec: docs/spec/rpc.md#subscriptions
 */
import type { Hex } from 'viem'
import type { BlockLogs, Chain, ChainBlock } from './chain.ts'
import { headerToJson, logToJson, transactionToJson } from './format.ts'
import type { RpcLimits } from './limits.ts'
import { logsOf } from './logs.ts'
import type { LogFilter } from './params.ts'
import { createId, type Json, quantity } from './quantity.ts'
import { limitExceeded } from './rpcError.ts'

/** A connection that can be told of things later. */
export type Subscriber = {
  send(text: string): void
}

/** What a client wants to hear of. */
export type Topic =
  | { readonly kind: 'newHeads' }
  | { readonly kind: 'logs'; readonly filter: Pick<LogFilter, 'addresses' | 'topics'> }
  | { readonly kind: 'newPendingTransactions'; readonly full: boolean }
  | { readonly kind: 'syncing' }

/** Who wants to hear of what. */
export type Subscriptions = {
  /** Throws -32005 when the subscriber has too many. Nothing is sent before `start`. */
  add(subscriber: Subscriber, topic: Topic): Hex
  remove(subscriber: Subscriber, id: Hex): boolean
  /** Begins to send for subscriptions whose ids the client now knows. */
  start(subscriber: Subscriber): void
  /** Forgets a subscriber that left. */
  drop(subscriber: Subscriber): void
  onBlock(at: ChainBlock): void
  onPending(hash: Hex): void
}

type Subscription = { readonly id: Hex; readonly topic: Topic; isStarted: boolean; wasSyncing: boolean | undefined }

/** Nobody subscribed yet. */
export function createSubscriptions(chain: Chain, limits: RpcLimits, startBlock: bigint): Subscriptions {
  const bySubscriber = new Map<Subscriber, Map<Hex, Subscription>>()

  function* started(kind: Topic['kind']): Generator<{ readonly subscriber: Subscriber; readonly subscription: Subscription }> {
    for (const [subscriber, own] of bySubscriber) {
      for (const subscription of own.values()) {
        if (subscription.isStarted && subscription.topic.kind === kind) yield { subscriber, subscription }
      }
    }
  }

  function tellSyncing(subscriber: Subscriber, subscription: Subscription): void {
    const status = syncingToJson(chain, startBlock)
    const isSyncing = status !== false
    if (subscription.wasSyncing === isSyncing) return
    subscription.wasSyncing = isSyncing
    subscriber.send(notification(subscription.id, JSON.stringify(isSyncing ? { syncing: true, status } : false)))
  }

  function tellLogs(at: ChainBlock): void {
    const texts = new Map<number, string>()
    let present: ReadonlySet<Hex> | undefined
    for (const { subscriber, subscription } of started('logs')) {
      const { topic } = subscription
      present ??= new Set(at.receipts.flatMap((receipt) => receipt.logs.flatMap((log) => [log.address, ...log.topics])))
      if (topic.kind !== 'logs' || present.size === 0 || !mayMatch(topic.filter, present)) continue
      for (const { log, place } of logsOf(logsIn(at), topic.filter)) {
        const text = texts.get(place.logIndex) ?? JSON.stringify(logToJson(log, place))
        texts.set(place.logIndex, text)
        subscriber.send(notification(subscription.id, text))
      }
    }
  }

  return {
    add(subscriber, topic) {
      const own = bySubscriber.get(subscriber) ?? new Map<Hex, Subscription>()
      if (own.size >= limits.subscriptions)
        throw limitExceeded('too many subscriptions', { code: 'tooManySubscriptions', max: limits.subscriptions })
      const id = createId()
      own.set(id, { id, topic, isStarted: false, wasSyncing: undefined })
      bySubscriber.set(subscriber, own)
      return id
    },
    remove: (subscriber, id) => bySubscriber.get(subscriber)?.delete(id) ?? false,
    start(subscriber) {
      for (const subscription of bySubscriber.get(subscriber)?.values() ?? []) {
        if (subscription.isStarted) continue
        subscription.isStarted = true
        if (subscription.topic.kind === 'syncing') tellSyncing(subscriber, subscription)
      }
    },
    drop(subscriber) {
      bySubscriber.delete(subscriber)
    },
    onBlock(at) {
      let head: string | undefined
      for (const { subscriber, subscription } of started('newHeads')) {
        head ??= JSON.stringify(headerToJson(at))
        subscriber.send(notification(subscription.id, head))
      }
      tellLogs(at)
      for (const { subscriber, subscription } of started('syncing')) tellSyncing(subscriber, subscription)
    },
    onPending(hash) {
      if (bySubscriber.size === 0) return // as mostly, and this is for every transaction
      let whole: string | undefined
      for (const { subscriber, subscription } of started('newPendingTransactions')) {
        const isFull = subscription.topic.kind === 'newPendingTransactions' && subscription.topic.full
        if (isFull) whole ??= pendingText(chain, hash)
        subscriber.send(notification(subscription.id, isFull && whole !== undefined ? whole : `"${hash}"`))
      }
    },
  }
}

/** What `eth_syncing` answers: false, or how far along the node is. */
export function syncingToJson(chain: Chain, startBlock: bigint): Json {
  const { heads, highestBlock } = chain.syncStatus()
  if (highestBlock === undefined || highestBlock <= heads.latest) return false
  return { startingBlock: quantity(startBlock), currentBlock: quantity(heads.latest), highestBlock: quantity(highestBlock) }
}

/** Whether anything in the block could match; spares a walk through its logs for those who wait for something else. */
function mayMatch({ addresses, topics }: Pick<LogFilter, 'addresses' | 'topics'>, present: ReadonlySet<Hex>): boolean {
  const anyPresent = (alternatives: readonly Hex[]) => alternatives.length === 0 || alternatives.some((one) => present.has(one))
  return anyPresent(addresses) && topics.every(anyPresent)
}

/** A waiting transaction written out, or its hash if it has left the pool meanwhile. */
function pendingText(chain: Chain, hash: Hex): string {
  const tx = chain.pendingTransaction(hash)
  return JSON.stringify(tx ? transactionToJson(tx, undefined) : hash)
}

function notification(id: Hex, result: string): string {
  return `{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"${id}","result":${result}}}`
}

function logsIn({ hash, block, receipts, transactions }: ChainBlock): BlockLogs {
  return { hash, header: block.header, receipts, hashOf: (index) => transactions[index]?.hash ?? hash }
}
