/** The port of rpc/, answered from the store, the pool and the followers of this node. */
import { type Hex, hexToBytes } from 'viem'
import { assert } from '../execution/assert.ts'
import { type Block, blockBytes } from '../execution/block.ts'
import { mayHave } from '../execution/bloom.ts'
import { toMember } from '../execution/genesisBlock.ts'
import { toHex } from '../execution/hex.ts'
import { keccak256 } from '../execution/keccak.ts'
import type { Tx } from '../execution/tx.ts'
import type { Genesis } from '../genesis/genesis.ts'
import type { Chain, ChainBlock, Heads, SyncStatus } from '../rpc/chain.ts'
import type { AddressIndex } from './addressIndex.ts'
import type { Blocks } from './blocks.ts'
import type { ChainState } from './chainState.ts'
import type { LogIndex } from './logIndex.ts'
import type { Simulator } from './simulator.ts'

export type SettlementView = {
  heads(): Pick<Heads, 'safe' | 'finalized'>
  status(): Pick<SyncStatus, 'l1Head' | 'l1Url' | 'batches' | 'checkpoints'>
}

/** What is known of other nodes. */
export type NetworkView = Pick<SyncStatus, 'peers' | 'highestBlock'>

export type RpcChainOptions = {
  readonly chain: ChainState
  readonly blocks: Blocks
  readonly simulator: Simulator
  readonly logIndex: Pick<LogIndex, 'matching'>
  /** Undefined: none is kept. */
  readonly addressIndex?: AddressIndex | undefined
  readonly settlement: SettlementView
  readonly clientVersion: string
  /** Says that something waits for a block. */
  wake(): void
  network(): NetworkView
}

function contractsOf({ l1 }: Genesis): Chain['l1'] {
  const { origin: _, ...contracts } = l1
  return contracts
}

/** The port over a chain. */
export function createRpcChain(options: RpcChainOptions): Chain {
  const { chain, blocks, simulator, logIndex, addressIndex, settlement, clientVersion, wake, network } = options
  const { store, pool, poolAccounts, genesis } = chain
  const listeners = new Set<Parameters<Chain['subscribe']>[0]>()

  /** Sizes of blocks, which are counted once each, since every look-up of a transaction reads its block. */
  const sizes = new WeakMap<Block, number>()

  function sizeOf(block: Block): number {
    const size = sizes.get(block) ?? blockBytes(block)
    sizes.set(block, size)
    return size
  }

  function read(number: bigint): ChainBlock | undefined {
    const decoded = blocks.read(number)
    return decoded && { ...decoded, size: sizeOf(decoded.block) }
  }

  chain.onBlock(({ block }) => {
    const one = read(block.header.number)
    if (one) for (const listener of listeners) listener.onBlock?.(one)
  })
  chain.onPending((tx) => {
    for (const listener of listeners) listener.onPending?.(tx.hash)
  })

  /** What is on disk may be ahead of the head for as long as it takes to tell of it. */
  function finalNumber(hash: Hex): bigint | undefined {
    const number = store.blockNumber(hash)
    return number !== undefined && number <= chain.head().header.number ? number : undefined
  }

  return {
    params: genesis.params,
    genesisHash: chain.genesisHash,
    l1: contractsOf(genesis),
    clientVersion,
    genesisSec: Math.floor(genesis.timestampMs / 1_000),
    genesisValidators: genesis.validators.map(toMember),
    heads: () => ({ latest: chain.head().header.number, ...settlement.heads() }),
    blockByNumber: read,
    numberOf: finalNumber,
    blockByHash(hash) {
      const number = finalNumber(hash)
      return number === undefined ? undefined : read(number)
    },
    transaction(hash) {
      const place = store.transaction(hash)
      return place && blocks.transaction(place.blockNumber, place.index)
    },
    transactionAt: (number, index) => blocks.transaction(number, index),
    addresses: addressIndex,
    stateAt: (number) => simulator.at(number),
    accountAt: (index) => store.accountAt(index),
    async trace(number, tracerOf, last) {
      const at = blocks.read(number)
      assert(at && number > 0n, 'a block that is traced was found before')
      const upTo = last === undefined ? at.transactions : at.transactions.slice(0, last + 1)
      await simulator.trace(at.block.header, upTo, tracerOf)
    },
    async submit(raw) {
      const result = await chain.submit(raw)
      if (!result.ok) return result
      wake()
      return { ok: true, hash: result.tx.hash }
    },
    pendingTransaction: (hash) => pool.get(hash),
    pendingNonce: (address) => pool.pendingNonce('ethereum', address, poolAccounts('ethereum', address).nonce),
    pendingLedgerNonce: (address) => pool.pendingNonce('native', address, poolAccounts('native', address).nonce),
    poolStatus() {
      const { pending, queued } = pool.status()
      return { pending, queued }
    },
    poolContent: (sender) => pool.content(sender),
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    syncStatus() {
      const { number, hash } = chain.l1Info()
      return {
        heads: { latest: chain.head().header.number, ...settlement.heads() },
        l1Origin: { number, hash },
        validators: genesis.validators.length,
        ...settlement.status(),
        ...network(),
      }
    },
    blockLogs(number) {
      const known = blocks.known(number)
      if (known)
        return {
          hash: known.hash,
          header: known.block.header,
          receipts: known.receipts,
          hashOf: (index) => hashAt(known.transactions, index),
        }
      const stored = number <= chain.head().header.number ? store.block(number) : undefined
      const receipts = stored && blocks.receipts(number)
      if (!stored || !receipts) return undefined
      const { block, hash } = stored
      const hashOf = (index: number) => toHex(keccak256(block.transactions[index] ?? new Uint8Array()))
      return { hash, header: block.header, receipts, hashOf }
    },
    blocksMatching({ from, to, addresses, topics }) {
      const { blocks: listed, reached } = logIndex.matching({ addresses, topics }, from, to)
      const found = [...listed]
      const groups = [addresses, ...topics].filter((group) => group.length > 0)
      for (let number = reached < from ? from : reached + 1n; number <= to; number++) {
        const stored = store.block(number)?.block
        if (!stored) break
        const bloom = hexToBytes(stored.header.logsBloom)
        if (groups.every((group) => group.some((item) => mayHave(bloom, item)))) found.push(number)
      }
      return found
    },
  }
}

function hashAt(transactions: readonly Tx[], index: number): Hex {
  const tx = transactions[index]
  assert(tx, 'a block has a transaction for each receipt')
  return tx.hash
}
