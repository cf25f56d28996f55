/**
 * The `eth_` namespace: what wallets, libraries, Foundry and indexers call.
 * Source: ethereum/execution-apis. Spec: docs/spec/rpc.md#eth
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { callError } from './callError.ts'
import type { Chain, ChainBlock, StateAt } from './chain.ts'
import { BLOB_BASE_FEE_WEI, baseFeeWei, feeHistory, suggestedTipWei } from './fees.ts'
import { fillTransaction } from './fillTransaction.ts'
import { blockToJson, hexOf, receiptsToJson, receiptToJson, transactionToJson } from './format.ts'
import { intakeMethods } from './intake.ts'
import type { RpcLimits } from './limits.ts'
import { queryLogs } from './logs.ts'
import { findBlock, heightOf, latestBlock, type MethodContext, type MethodTable, method, stateAt } from './method.ts'
import * as params from './params.ts'
import { BadValue, type Json, quantity } from './quantity.ts'
import { notFound, RPC_ERROR, RpcError } from './rpcError.ts'
import { simulate } from './simulate.ts'
import { syncingToJson, type Topic } from './subscriptions.ts'
import { errorWords } from './tracers/evmError.ts'

/** Every `eth_` method, under these limits. */
export function ethMethods(limits: RpcLimits): MethodTable {
  return {
    ...chainMethods(limits),
    ...accountMethods(limits),
    ...blockMethods(),
    ...transactionMethods(),
    ...callMethods(limits),
    ...logMethods(limits),
    ...followMethods(limits),
  }
}

function chainMethods(limits: RpcLimits): MethodTable {
  return {
    eth_chainId: method('Id of the chain.', [], ({ chain }) => quantity(chain.params.chainId)),
    eth_protocolVersion: method('Version of the chain’s protocol.', [], () => '0x1'),
    eth_capabilities: method('Of which blocks this node has what: of all, everything.', [], ({ chain }) => {
      const { hash, block } = latestBlock(chain)
      const all = { disabled: false, oldestBlock: '0x0' }
      const head = { number: quantity(block.header.number), hash }
      return { head, state: all, tx: all, logs: all, receipts: all, blocks: all, stateproofs: all }
    }),
    eth_syncing: method('False, or how far the node is.', [], ({ chain, startBlock }) => syncingToJson(chain, startBlock)),
    eth_blockNumber: method('Height of the latest block.', [], ({ chain }) => quantity(chain.heads().latest)),
    eth_coinbase: method('Fee recipient of the latest block.', [], ({ chain }) => latestBlock(chain).block.header.miner),
    eth_accounts: method('Accounts whose keys the node holds: none.', [], () => []),
    eth_baseFee: method('Base fee of the next block, in wei.', [], ({ chain }) => quantity(baseFeeWei(chain))),
    eth_gasPrice: method('Base fee of the next block and a tip, in wei.', [], ({ chain }) =>
      quantity(baseFeeWei(chain) + suggestedTipWei(chain)),
    ),
    eth_maxPriorityFeePerGas: method('A tip that gets a transaction into the next block, in wei.', [], ({ chain }) =>
      quantity(suggestedTipWei(chain)),
    ),
    eth_blobBaseFee: method('Price of blob gas, in wei.', [], () => quantity(BLOB_BASE_FEE_WEI)),
    eth_feeHistory: method(
      'Base fees, fullness and tips of past blocks.',
      [params.count('blockCount'), params.someBlock('newestBlock'), params.optional(params.percentiles)],
      ({ chain }, count, newest, wanted) => {
        const most = Math.min(count, limits.feeHistoryBlocks) // as in geth: who asks for more gets what there is
        return feeHistory(chain, { newest: knownHeight(chain, newest), count: most, percentiles: wanted ?? [] })
      },
    ),
  }
}

function accountMethods(limits: RpcLimits): MethodTable {
  const address = params.address('address')
  const block = params.block('block')
  const slots = params.list(params.proofKey('slot'), 'storageKeys', limits.slots)
  return {
    eth_getBalance: method('Balance on the EVM side, in wei.', [address, block], async ({ chain }, account, ref) =>
      quantity((await stateAt(chain, ref).account(account)).balance),
    ),
    eth_getTransactionCount: method('Next nonce of the account.', [address, block], async ({ chain }, account, ref) => {
      if (ref?.kind === 'tag' && ref.tag === 'pending') return quantity(chain.pendingNonce(account))
      return quantity((await stateAt(chain, ref).account(account)).nonce)
    }),
    eth_getAccountInfo: method('Balance, nonce and code of the account.', [address, block], async ({ chain }, account, ref) => {
      const state = stateAt(chain, ref)
      const [{ balance, nonce }, code] = await Promise.all([state.account(account), state.code(account)])
      return { balance: quantity(balance), nonce: quantity(nonce), code }
    }),
    eth_getCode: method('Code of the account.', [address, block], ({ chain }, account, ref) => stateAt(chain, ref).code(account)),
    eth_getStorageAt: method('A slot of the account’s storage.', [address, params.slot('slot'), block], ({ chain }, account, slot, ref) =>
      stateAt(chain, ref).storage(account, slot),
    ),
    eth_getProof: method('Account and slots with Merkle proofs (EIP-1186).', [address, slots, block], ({ chain }, account, keys, ref) =>
      getProof(stateAt(chain, ref), account, keys),
    ),
    eth_getStorageValues: method('Slots of several accounts.', [params.slotsByAccount(limits.slots), block], ({ chain }, requests, ref) =>
      getStorageValues(stateAt(chain, ref), requests),
    ),
  }
}

function blockMethods(): MethodTable {
  const number = params.someBlock('block')
  const hash = params.hash('hash')
  const full = params.optional(params.flag('hydrated'))
  const countIn = (at: ChainBlock | undefined) => (at ? quantity(at.transactions.length) : null)
  const uncles = (at: ChainBlock | undefined) => (at ? '0x0' : null)
  return {
    eth_getBlockByNumber: method('A block, or null.', [number, full], ({ chain }, ref, hydrated) =>
      toBlock(findBlock(chain, ref), hydrated),
    ),
    eth_getBlockByHash: method('A block, or null.', [hash, full], ({ chain }, wanted, hydrated) =>
      toBlock(chain.blockByHash(wanted), hydrated),
    ),
    eth_getBlockTransactionCountByNumber: method('How many transactions a block has.', [number], ({ chain }, ref) =>
      countIn(findBlock(chain, ref)),
    ),
    eth_getBlockTransactionCountByHash: method('How many transactions a block has.', [hash], ({ chain }, wanted) =>
      countIn(chain.blockByHash(wanted)),
    ),
    eth_getUncleCountByBlockNumber: method('How many uncles a block has: none.', [number], ({ chain }, ref) =>
      uncles(findBlock(chain, ref)),
    ),
    eth_getUncleCountByBlockHash: method('How many uncles a block has: none.', [hash], ({ chain }, wanted) =>
      uncles(chain.blockByHash(wanted)),
    ),
    eth_getBlockReceipts: method('Receipts of a block’s transactions, or null.', [number], ({ chain }, ref) => {
      const at = ref.kind === 'hash' ? chain.blockByHash(ref.hash) : findBlock(chain, ref)
      return at ? receiptsToJson(at) : null
    }),
  }
}

function transactionMethods(): MethodTable {
  const hash = params.hash('hash')
  const index = params.count('index')
  const number = params.someBlock('block')
  return {
    eth_getTransactionByHash: method('A transaction of a block or of the pool, or null.', [hash], ({ chain }, wanted) => {
      const placed = chain.transaction(wanted)
      if (placed) return transactionToJson(placed.tx, placed)
      const waiting = chain.pendingTransaction(wanted)
      return waiting ? transactionToJson(waiting, undefined) : null
    }),
    eth_getRawTransactionByHash: method('Bytes of a transaction, or null.', [hash], ({ chain }, wanted) => {
      const tx = chain.transaction(wanted)?.tx ?? chain.pendingTransaction(wanted)
      return tx ? hexOf(tx.raw) : null
    }),
    eth_getTransactionByBlockHashAndIndex: method('A transaction of a block, or null.', [hash, index], ({ chain }, wanted, i) =>
      transactionIn(chain.blockByHash(wanted), i),
    ),
    eth_getTransactionByBlockNumberAndIndex: method('A transaction of a block, or null.', [number, index], ({ chain }, ref, i) =>
      transactionIn(findBlock(chain, ref), i),
    ),
    eth_getTransactionReceipt: method('What a transaction left behind, or null.', [hash], ({ chain }, wanted) => {
      const placed = chain.transaction(wanted)
      return placed ? receiptToJson(placed) : null
    }),
    eth_pendingTransactions: method('Waiting transactions of the node’s own accounts: none.', [], () => []),
    ...intakeMethods,
  }
}

function callMethods(limits: RpcLimits): MethodTable {
  const block = params.block('block')
  const overrides = params.stateOverrides(limits.overrides)
  return {
    eth_call: method(
      'What a call would answer. State and block overrides as in geth.',
      [params.call, block, overrides, params.blockOverrides],
      async ({ chain }, request, ref, state, changed) => {
        const result = await stateAt(chain, ref).call(request, { state, block: changed })
        if (!result.ok) throw callError(result)
        return result.output
      },
    ),
    eth_estimateGas: method(
      'Smallest gas limit with which a call succeeds.',
      [params.call, block, overrides],
      async ({ chain }, request, ref, changed) => {
        const result = await stateAt(chain, ref).estimateGas(request, changed)
        if (!result.ok) throw callError(result)
        return quantity(result.gas)
      },
    ),
    eth_simulateV1: method(
      'Blocks of calls on top of a block, as they would be.',
      [params.simulation(limits.overrides), block],
      ({ chain }, payload, ref) => simulate(stateAt(chain, ref), payload),
    ),
    eth_fillTransaction: method('A transaction with nonce, gas and fees filled in, unsigned.', [params.unsigned], ({ chain }, request) =>
      fillTransaction(chain, request),
    ),
    eth_createAccessList: method(
      'Accounts and slots that a call touches, and its gas with them as access list.',
      [params.call, block, overrides],
      async ({ chain }, request, ref, changed) => {
        const result = await stateAt(chain, ref).accessList(request, changed)
        if (!result.ok && result.code !== 'reverted' && result.code !== 'halted') throw callError(result)
        const { accessList, gasUsed } = result
        return { accessList, gasUsed: quantity(gasUsed), ...(!result.ok && { error: errorWords(result.reason) }) }
      },
    ),
  }
}

function logMethods(limits: RpcLimits): MethodTable {
  const filter = params.logFilter(limits.logAlternatives)
  const id = params.id('filterId')
  return {
    eth_getLogs: method('Logs of a block or of a range of blocks.', [filter], ({ chain }, wanted) => queryLogs(chain, wanted, limits)),
    eth_newFilter: method('A filter for logs to come.', [filter], ({ filters }, wanted) => filters.addLogs(wanted)),
    eth_newBlockFilter: method('A filter for blocks to come.', [], ({ filters }) => filters.addBlocks()),
    eth_newPendingTransactionFilter: method('A filter for transactions that enter the pool.', [], ({ filters }) => filters.addPending()),
    eth_getFilterChanges: method('What a filter has found since it was last asked.', [id], ({ filters }, wanted) =>
      filters.changes(wanted),
    ),
    eth_getFilterLogs: method('All logs that a filter means.', [id], ({ filters }, wanted) => filters.logs(wanted)),
    eth_uninstallFilter: method('Forgets a filter; false if there was none.', [id], ({ filters }, wanted) => filters.remove(wanted)),
  }
}

function followMethods(limits: RpcLimits): MethodTable {
  const options = params.optional(params.anything('options'))
  return {
    eth_subscribe: method(
      'Begins to tell of new heads, logs, waiting transactions or syncing (WebSocket only).',
      [params.text('kind', 64), options],
      (context, kind, wanted) => context.subscriptions.add(needSubscriber(context), topicOf(kind, wanted, limits)),
    ),
    eth_unsubscribe: method('Ends a subscription; false if there was none.', [params.id('subscription')], (context, id) =>
      context.subscriptions.remove(needSubscriber(context), id),
    ),
  }
}

function topicOf(kind: string, options: unknown, limits: RpcLimits): Topic {
  if (kind === 'newHeads' || kind === 'syncing') return { kind }
  if (kind === 'newPendingTransactions') return { kind, full: options === true }
  if (kind === 'logs') return { kind, filter: params.logFilter(limits.logAlternatives).decode(options ?? {}, 'options') }
  throw new BadValue('kind', 'expected newHeads, logs, newPendingTransactions or syncing')
}

function needSubscriber({ subscriber }: MethodContext): NonNullable<MethodContext['subscriber']> {
  if (!subscriber) throw new RpcError(RPC_ERROR.methodNotFound, 'subscriptions need a WebSocket connection')
  return subscriber
}

/** A height that exists, for methods that read blocks and not state. */
function knownHeight(chain: Chain, ref: params.BlockRef): bigint {
  const height = heightOf(chain, ref)
  const { latest } = chain.heads()
  if (height > latest) throw notFound('unknown block', { code: 'unknownBlock', blockNumber: height, latest })
  return height
}

async function getProof(state: StateAt, account: Hex, keys: readonly { readonly slot: Hex; readonly shown: Hex }[]): Promise<Json> {
  const [{ balance, nonce, codeHash, storageRoot }, { accountProof, storageProof }] = await Promise.all([
    state.account(account),
    state.proof(
      account,
      keys.map(({ slot }) => slot),
    ),
  ])
  return {
    address: account,
    accountProof,
    balance: quantity(balance),
    codeHash,
    nonce: quantity(nonce),
    storageHash: storageRoot,
    storageProof: keys.map(({ shown }, i) => {
      const found = storageProof[i]
      assert(found, 'a proof for each slot')
      return { key: shown, value: quantity(BigInt(found.value)), proof: found.proof }
    }),
  }
}

async function getStorageValues(
  state: StateAt,
  requests: readonly { readonly account: Hex; readonly slots: readonly Hex[] }[],
): Promise<Json> {
  const answers = requests.map(
    async ({ account, slots }) => [account, await Promise.all(slots.map((slot) => state.storage(account, slot)))] as const,
  )
  return Object.fromEntries(await Promise.all(answers))
}

function toBlock(at: ChainBlock | undefined, full: boolean | undefined): Json {
  return at ? blockToJson(at, full ?? false) : null
}

function transactionIn(at: ChainBlock | undefined, index: number): Json {
  const tx = at?.transactions[index]
  return at && tx ? transactionToJson(tx, { blockHash: at.hash, header: at.block.header, index }) : null
}
