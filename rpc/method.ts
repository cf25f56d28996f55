/**
 * A method: its parameters, what it answers, and a line for those who discover it. A namespace is a table of them by name.
 * Adding one: a line in the namespace's table, a line in docs/spec/rpc.md, its case in test/rpc/.
 */
import type { Chain, ChainBlock, StateAt } from './chain.ts'
import type { Filters } from './filters.ts'
import type { RpcLimits } from './limits.ts'
import type { BlockRef, Param } from './params.ts'
import type { Json } from './quantity.ts'
import { notFound } from './rpcError.ts'
import type { Subscriber, Subscriptions } from './subscriptions.ts'

/** What every method may use. */
export type MethodContext = {
  readonly chain: Chain
  readonly limits: RpcLimits
  readonly filters: Filters
  readonly subscriptions: Subscriptions
  /** Height at which this server started. */
  readonly startBlock: bigint
  /** Who can be told of things later; undefined over HTTP. */
  readonly subscriber: Subscriber | undefined
}

/** A method with its parameters' types forgotten: what the dispatcher handles. `C`: what it needs besides them. */
export type Method<C = MethodContext> = {
  readonly summary: string
  readonly params: readonly Param<unknown>[]
  /** Calls that follow one another in a batch may be under way together: each begins in its turn. */
  readonly together?: boolean
  /** May throw `RpcError`, `BadValue`, `StateUnavailable`. */
  handle(context: C, values: readonly unknown[]): Json | Promise<Json>
}

/** Methods by name. */
export type MethodTable = Readonly<Record<string, Method>>

type Values<P extends readonly Param<unknown>[]> = { readonly [K in keyof P]: P[K] extends Param<infer T> ? T : never }

/** Defines a method; inside, the handler sees typed values. */
export function method<const P extends readonly Param<unknown>[], C = MethodContext>(
  summary: string,
  params: P,
  handle: (context: C, ...values: Values<P>) => Json | Promise<Json>,
): Method<C> {
  return { summary, params, handle: (context, values) => handle(context, ...(values as unknown as Values<P>)) }
}

/** The same method, of which calls that follow one another in a batch are under way together. */
export function together<C>(one: Method<C>): Method<C> {
  return { ...one, together: true }
}

/** Height that a reference means. `pending` is the latest block: blocks are final when they exist, and what waits is no block. */
export function heightOf(chain: Chain, ref: BlockRef | undefined): bigint {
  const heads = chain.heads()
  if (ref?.kind === 'number') return ref.number
  if (ref?.kind === 'hash') {
    const found = chain.numberOf(ref.hash)
    if (found === undefined) throw notFound('unknown block', { code: 'unknownBlock', blockHash: ref.hash })
    return found
  }
  if (ref === undefined || ref.tag === 'latest' || ref.tag === 'pending') return heads.latest
  return ref.tag === 'earliest' ? 0n : heads[ref.tag]
}

/** The block that a reference means, or undefined. */
export function findBlock(chain: Chain, ref: BlockRef | undefined): ChainBlock | undefined {
  return ref?.kind === 'hash' ? chain.blockByHash(ref.hash) : chain.blockByNumber(heightOf(chain, ref))
}

/** State after the block that a reference means. Throws `notFound` for a block that is not there yet. */
export function stateAt(chain: Chain, ref: BlockRef | undefined): StateAt {
  const height = heightOf(chain, ref)
  const { latest } = chain.heads()
  if (height > latest) throw notFound('unknown block', { code: 'unknownBlock', blockNumber: height, latest })
  return chain.stateAt(height)
}

/** The latest block. */
export function latestBlock(chain: Chain): ChainBlock {
  const { latest } = chain.heads()
  const found = chain.blockByNumber(latest)
  if (!found) throw notFound('unknown block', { code: 'unknownBlock', blockNumber: latest })
  return found
}
