/**
 * The `txpool_` namespace: what waits for a block. A native transaction counts by its ledger account's nonce, and is under `native-` and that nonce, since the
 * same sender may have an Ethereum one of the same number. Source: ethereum/execution-apis; geth. Spec: docs/spec/rpc.md#txpool
 */
import type { Tx } from '../execution/tx.ts'
import type { Chain } from './chain.ts'
import { transactionToJson } from './format.ts'
import type { RpcLimits } from './limits.ts'
import { type MethodTable, method } from './method.ts'
import * as params from './params.ts'
import { type Json, quantity } from './quantity.ts'
import { limitExceeded } from './rpcError.ts'

/** Every `txpool_` method, under these limits. */
export function txpoolMethods(limits: RpcLimits): MethodTable {
  return {
    txpool_status: method('How many transactions wait, and how many wait for others before them.', [], ({ chain }) => {
      const { pending, queued } = chain.poolStatus()
      return { pending: quantity(pending), queued: quantity(queued) }
    }),
    txpool_content: method('Transactions that wait, by sender and nonce.', [], ({ chain }) => bySender(waiting(chain, limits), wholeOf)),
    txpool_contentFrom: method('Transactions of one sender that wait, by nonce.', [params.address('address')], ({ chain }, sender) => {
      const found = chain.poolContent(sender)
      return { pending: byNonce(found, true, wholeOf), queued: byNonce(found, false, wholeOf) }
    }),
    txpool_inspect: method('Transactions that wait, in words, by sender and nonce.', [], ({ chain }) =>
      bySender(waiting(chain, limits), wordsOf),
    ),
  }
}

type Waiting = ReturnType<Chain['poolContent']>

function waiting(chain: Chain, { poolTransactions: max }: RpcLimits): Waiting {
  const { pending, queued } = chain.poolStatus()
  if (pending + queued <= max) return chain.poolContent()
  throw limitExceeded(`more than ${max} transactions wait; ask by sender (txpool_contentFrom)`, { code: 'poolTooLarge', max })
}

function bySender(found: Waiting, show: (tx: Tx) => Json): Json {
  const senders = Map.groupBy(found, ({ tx }) => tx.sender)
  const part = (runs: boolean) =>
    Object.fromEntries(
      [...senders].map(([sender, own]) => [sender, byNonce(own, runs, show)]).filter(([, own]) => Object.keys(own ?? {}).length > 0),
    )
  return { pending: part(true), queued: part(false) }
}

function byNonce(found: Waiting, runs: boolean, show: (tx: Tx) => Json): Json {
  return Object.fromEntries(found.filter((one) => one.runs === runs).map(({ tx }) => [nonceKey(tx), show(tx)]))
}

function nonceKey(tx: Tx): string {
  if (tx.kind === 'native') return `native-${tx.native.nonce}`
  return tx.kind === 'ethereum' ? String(tx.tx.nonce) : '0'
}

function wholeOf(tx: Tx): Json {
  return transactionToJson(tx, undefined)
}

/** As geth words it. */
function wordsOf(tx: Tx): Json {
  const { to, value, gas, gasPrice } = transactionToJson(tx, undefined)
  return `${to ?? 'contract creation'}: ${BigInt(String(value))} wei + ${BigInt(String(gas))} gas × ${BigInt(String(gasPrice))} wei`
}
