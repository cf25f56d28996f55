/**
 * The `debug_` namespace: executions told again, and blocks, headers, transactions and receipts as bytes.
 * Source: ethereum/execution-apis; geth for tracers with a name. Spec: docs/spec/rpc.md#debug
 */
import { receiptBytes } from '../execution/applyBlock.ts'
import { encodeBlock, encodeHeader } from '../execution/block.ts'
import { callError } from './callError.ts'
import type { ChainBlock, Tracer } from './chain.ts'
import { hexOf } from './format.ts'
import type { RpcLimits } from './limits.ts'
import { findBlock, type MethodContext, type MethodTable, method, stateAt } from './method.ts'
import * as params from './params.ts'
import type { Json } from './quantity.ts'
import { notFound } from './rpcError.ts'
import { createTraceBudget } from './tracers/traceBudget.ts'
import { createTracer, type TracerChoice, tracerChoice } from './tracers/tracers.ts'

/** Every `debug_` method, under these limits. */
export function debugMethods(limits: RpcLimits): MethodTable {
  return { ...traceMethods(limits), ...rawMethods() }
}

function traceMethods(limits: RpcLimits): MethodTable {
  const block = params.someBlock('block')
  const hash = params.hash('hash')
  return {
    debug_traceTransaction: method(
      'A transaction executed again, under a tracer.',
      [hash, tracerChoice],
      async ({ chain }, wanted, choice) => {
        const placed = chain.transaction(wanted)
        if (!placed) throw notFound('transaction not found', { code: 'unknownTransaction', hash: wanted })
        const tracer = tracersOf(choice, limits)()
        await chain.trace(placed.header.number, (index) => (index === placed.index ? tracer : undefined), placed.index)
        return tracer.result()
      },
    ),
    debug_traceBlockByNumber: method(
      'A block executed again, each transaction under a tracer.',
      [block, tracerChoice],
      (context, ref, choice) => traceBlock(context, findBlock(context.chain, ref), tracersOf(choice, limits)),
    ),
    debug_traceBlockByHash: method(
      'A block executed again, each transaction under a tracer.',
      [hash, tracerChoice],
      (context, wanted, choice) => traceBlock(context, context.chain.blockByHash(wanted), tracersOf(choice, limits)),
    ),
    debug_traceCall: method(
      'A call under a tracer. State and block overrides are members of the options.',
      [params.call, params.block('block'), params.tracedCallOptions(limits.overrides)],
      async ({ chain }, request, ref, options) => {
        const { state, block: changed, rest } = options ?? { state: undefined, block: undefined, rest: {} }
        const tracer = tracersOf(tracerChoice.decode(rest, 'options'), limits)()
        const result = await stateAt(chain, ref).call(request, { state, block: changed, tracer })
        if (!result.ok && result.code !== 'reverted' && result.code !== 'halted') throw callError(result)
        return tracer.result()
      },
    ),
  }
}

/** Tracers of one request: they share what its answer may hold. */
function tracersOf(choice: TracerChoice | undefined, limits: RpcLimits): () => Tracer {
  const budget = createTraceBudget(limits.responseBytes)
  const chosen = choice ?? tracerChoice.decode({}, 'options')
  return () => createTracer(chosen, budget)
}

async function traceBlock({ chain }: MethodContext, at: ChainBlock | undefined, newTracer: () => Tracer): Promise<Json> {
  const { block, transactions } = needBlock(at)
  const tracers = transactions.map(newTracer)
  if (block.header.number > 0n) await chain.trace(block.header.number, (index) => tracers[index])
  return transactions.map(({ hash }, index) => ({ txHash: hash, result: tracers[index]?.result() ?? null }))
}

function rawMethods(): MethodTable {
  const block = params.someBlock('block')
  return {
    debug_getRawHeader: method('RLP of a block’s header.', [block], ({ chain }, ref) =>
      hexOf(encodeHeader(needBlock(findBlock(chain, ref)).block.header)),
    ),
    debug_getRawBlock: method('RLP of a block.', [block], ({ chain }, ref) => hexOf(encodeBlock(needBlock(findBlock(chain, ref)).block))),
    debug_getRawReceipts: method('Receipts of a block, each as it is hashed.', [block], ({ chain }, ref) =>
      needBlock(findBlock(chain, ref)).receipts.map((receipt) => hexOf(receiptBytes(receipt))),
    ),
    debug_getRawTransaction: method('Bytes of a transaction of a block or of the pool.', [params.hash('hash')], ({ chain }, hash) => {
      const tx = chain.transaction(hash)?.tx ?? chain.pendingTransaction(hash)
      return tx ? hexOf(tx.raw) : '0x' // as geth says of what it does not know
    }),
    debug_getBadBlocks: method('Blocks that were refused: none are kept.', [], () => []),
  }
}

function needBlock(at: ChainBlock | undefined): ChainBlock {
  if (!at) throw notFound('unknown block', { code: 'unknownBlock' })
  return at
}
