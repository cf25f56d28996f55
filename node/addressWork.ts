/** Keeps the address index (node/addressIndex.ts) behind the head: reads blocks, has those executed again in which code ran, in turns. */

import { assert } from '../execution/assert.ts'
import { decodeStoredReceipts } from '../execution/storedReceipts.ts'
import { decodeTxs } from '../execution/tx.ts'
import { StateUnavailable } from '../rpc/chain.ts'
import type { AddressIndex } from './addressIndex.ts'
import type { Blocks, DecodedBlock } from './blocks.ts'
import type { ChainState } from './chainState.ts'
import { followWithIndex } from './logIndex.ts'
import { createSimulator, type Simulator } from './simulator.ts'
import { type TraceFrames, touchesOf } from './touches.ts'

/** Makes the index of the chain's blocks, from where it ends. Answers what ends it. `onError`: the disk failed. */
export function followWithAddresses(
  chain: ChainState,
  blocks: Pick<Blocks, 'known'>,
  index: AddressIndex,
  onError: (error: unknown) => void,
): () => Promise<void> {
  const { store, genesis } = chain
  let simulator: Promise<Simulator> | undefined

  /** Its own executions: clients' questions have a limit of time, and do not wait for it. */
  const trace: TraceFrames = async ({ block, transactions }, tracerOf, last) => {
    simulator ??= createSimulator({ store, params: genesis.params, workMs: Number.POSITIVE_INFINITY })
    try {
      await (await simulator).trace(block.header, transactions.slice(0, last + 1), tracerOf)
      return true
    } catch (error) {
      if (error instanceof StateUnavailable) return false
      throw error
    }
  }

  /** A block of the past, which is kept by nobody: its senders are recovered on other threads. */
  async function readStored(number: bigint): Promise<DecodedBlock | undefined> {
    const stored = store.block(number)
    const receipts = store.receipts(number)
    if (!stored || !receipts) return undefined
    const { block, hash } = stored
    const decoded = await decodeTxs(block.transactions, chain.executor.vm.common, chain.executor.recover)
    assert(decoded.ok, 'a committed transaction does not decode')
    const { transactions } = decoded
    return { block, hash, transactions, receipts: decodeStoredReceipts(receipts), operations: store.operations(number) }
  }

  async function read(number: bigint) {
    const at = blocks.known(number) ?? (await readStored(number))
    return at && touchesOf(at, { reader: store.reader, trace })
  }

  return followWithIndex(chain, read, index, onError)
}
