/** Committed blocks with everything decoded, the latest of them kept in memory. */
import { hexToBytes } from 'viem'
import type { BlockResult } from '../execution/applyBlock.ts'
import { assert } from '../execution/assert.ts'
import type { Block, Receipt } from '../execution/block.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { createRootReader } from '../execution/ledger/rootReader.ts'
import { getL1Info, type L1Info } from '../execution/ledger/tables.ts'
import { decodeStoredReceipts } from '../execution/storedReceipts.ts'
import { decodeTx, type Tx } from '../execution/tx.ts'
import type { ChainState } from './chainState.ts'
import type { Store } from './store.ts'
import type { PlacedOperation } from './storedOperations.ts'

/** Blocks, and transactions in them, that are kept. */
const BLOCKS_MAX = 256
const TXS_MAX = 100_000

export type DecodedBlock = {
  readonly hash: BlockResult['hash']
  readonly block: Block
  readonly transactions: readonly Tx[]
  readonly receipts: readonly Receipt[]
  readonly operations: readonly PlacedOperation[]
}

export type Blocks = { read(number: bigint): DecodedBlock | undefined }

/** The blocks of a chain, those to come included. */
export function createBlocks(chain: ChainState): Blocks {
  const { store, executor } = chain
  const { common } = executor.vm
  const cache = new Map<bigint, DecodedBlock>()
  let txs = 0

  function remember(one: DecodedBlock): DecodedBlock {
    cache.set(one.block.header.number, one)
    txs += one.transactions.length
    for (const [number, oldest] of cache) {
      if (cache.size <= BLOCKS_MAX && (txs <= TXS_MAX || cache.size === 1)) break
      cache.delete(number)
      txs -= oldest.transactions.length
    }
    return one
  }

  chain.onBlock(({ hash, block, transactions, receipts, operations }) => {
    remember({ hash, block, transactions, receipts, operations })
  })

  return {
    read(number) {
      const known = cache.get(number)
      if (known) return known
      const stored = store.block(number)
      const receipts = store.receipts(number)
      if (!stored || !receipts) return undefined
      const transactions = stored.block.transactions.map((raw): Tx => {
        const decoded = decodeTx(raw, common)
        assert(decoded.ok, 'a committed transaction does not decode')
        return decoded.tx
      })
      const { hash, block } = stored
      return remember({ hash, block, transactions, receipts: decodeStoredReceipts(receipts, common), operations: store.operations(number) })
    },
  }
}

/** What L2 knew of L1 after a block. */
export function l1InfoAfter(store: Store, number: bigint): L1Info {
  return getL1Info(createLedger(createRootReader(hexToBytes(store.roots(number).ledgerRoot), store.reader)))
}
