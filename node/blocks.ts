/** Committed blocks with everything decoded, the latest of them kept in memory. */
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import type { BlockResult } from '../execution/applyBlock.ts'
import { assert } from '../execution/assert.ts'
import { type Block, decodeHeader, type Header, type Receipt } from '../execution/block.ts'
import { type Cursor, takeRlpList, takeRlpString } from '../execution/fields.ts'
import { keccak256 } from '../execution/keccak.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { createRootReader } from '../execution/ledger/rootReader.ts'
import { getL1Info, type L1Info } from '../execution/ledger/tables.ts'
import { decodeStoredReceipt, decodeStoredReceipts } from '../execution/storedReceipts.ts'
import { decodeTx, type Tx } from '../execution/tx.ts'
import type { ChainState } from './chainState.ts'
import type { Store } from './store.ts'
import type { PlacedOperation } from './storedOperations.ts'

/** Blocks, and transactions in them, that are kept: some 5 KiB each. */
const BLOCKS_MAX = 64
const TXS_MAX = 8_192

export type DecodedBlock = {
  readonly hash: BlockResult['hash']
  readonly block: Block
  readonly transactions: readonly Tx[]
  readonly receipts: readonly Receipt[]
  readonly operations: readonly PlacedOperation[]
}

/** A transaction in its block. */
export type PlacedTx = {
  readonly blockHash: Hex
  readonly header: Header
  readonly index: number
  readonly tx: Tx
  readonly receipt: Receipt
  /** Logs of the block's transactions before this one. */
  readonly logsBefore: number
}

export type Blocks = {
  /** A block that is final; undefined beyond the head. */
  read(number: bigint): DecodedBlock | undefined
  /** The block if it is in memory. */
  known(number: bigint): DecodedBlock | undefined
  /** Receipts of a final block, of which nothing else is decoded. */
  receipts(number: bigint): readonly Receipt[] | undefined
  /** One transaction of a block, of which no other is decoded. */
  transaction(number: bigint, index: number): PlacedTx | undefined
}

/** The blocks of a chain, those to come included. */
export function createBlocks(chain: ChainState): Blocks {
  const { store, executor } = chain
  const { common } = executor.vm
  const cache = new Map<bigint, DecodedBlock>()
  let txs = 0

  function decodeStored(raw: Uint8Array): Tx {
    const decoded = decodeTx(raw, common)
    assert(decoded.ok, 'a committed transaction does not decode')
    return decoded.tx
  }

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

  function transactionOf({ hash, block, transactions, receipts }: DecodedBlock, index: number): PlacedTx | undefined {
    const [tx, receipt] = [transactions[index], receipts[index]]
    if (!tx || !receipt) return undefined
    let logsBefore = 0
    for (let i = 0; i < index; i++) logsBefore += receipts[i]?.logs.length ?? 0
    return { blockHash: hash, header: block.header, index, tx, receipt, logsBefore }
  }

  /** What is on disk may be ahead of the head for as long as it takes to tell of it. */
  const isFinal = (number: bigint) => number <= chain.head().header.number

  return {
    known: (number) => cache.get(number),
    receipts(number) {
      const known = cache.get(number)
      if (known) return known.receipts
      const stored = isFinal(number) ? store.receipts(number) : undefined
      return stored && decodeStoredReceipts(stored)
    },
    transaction(number, index) {
      const known = cache.get(number)
      if (known) return transactionOf(known, index)
      const [blockBytes, receiptBytes] = isFinal(number) ? [store.blockBytes(number), store.receipts(number)] : []
      if (!blockBytes || !receiptBytes) return undefined
      const { header, blockHash, raw } = readTransaction(blockBytes, index)
      const { receipt, logsBefore } = decodeStoredReceipt(receiptBytes, index)
      return { blockHash, header, index, tx: decodeStored(raw), receipt, logsBefore }
    },
    read(number) {
      const known = cache.get(number)
      if (known) return known
      if (!isFinal(number)) return undefined
      const stored = store.block(number)
      const receipts = store.receipts(number)
      if (!stored || !receipts) return undefined
      const transactions = stored.block.transactions.map(decodeStored)
      const { hash, block } = stored
      return remember({ hash, block, transactions, receipts: decodeStoredReceipts(receipts), operations: store.operations(number) })
    },
  }
}

/** The header of a stored block, and one of its transactions. */
function readTransaction(bytes: Uint8Array, index: number): { header: Header; blockHash: Hex; raw: Uint8Array } {
  const list = takeRlpList({ bytes, at: 0, end: bytes.length })
  const headerBytes = takeItem(list)
  const header = decodeHeader(headerBytes)
  const body = takeRlpList(list)
  for (let i = 0; i < index; i++) takeItem(body)
  const first = body.bytes[body.at] ?? 0
  const raw = first >= 0xc0 ? takeItem(body) : takeRlpString(body)
  assert(header, 'a stored header is damaged')
  return { header, blockHash: bytesToHex(keccak256(headerBytes)), raw: new Uint8Array(raw) }
}

/** The RLP item at the cursor with its length before it. */
function takeItem(cursor: Cursor): Uint8Array {
  const from = cursor.at
  if ((cursor.bytes[from] ?? 0) >= 0xc0) takeRlpList(cursor)
  else takeRlpString(cursor)
  return cursor.bytes.subarray(from, cursor.at)
}

/** What L2 knew of L1 after a block. */
export function l1InfoAfter(store: Store, number: bigint): L1Info {
  return getL1Info(createLedger(createRootReader(hexToBytes(store.roots(number).ledgerRoot), store.reader)))
}
