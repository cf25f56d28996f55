/**
 * A chain with many accounts, in this process: blocks are built on one state and applied, which is what is measured, on another one that
 * stands on a level store as a node's does.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hex } from 'viem'
import { judgeEvidence } from '../../consensus/evidence.ts'
import { applyBlock } from '../../execution/applyBlock.ts'
import { type Built, buildBlock } from '../../execution/buildBlock.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { createState } from '../../execution/state.ts'
import { decodeTx, type Tx } from '../../execution/tx.ts'
import { createVm } from '../../execution/vm.ts'
import type { Genesis, GenesisAccount } from '../../genesis/genesis.ts'
import { openStore } from '../../node/store.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { testGenesis } from '../fakes/testChain.ts'
import { type Cost, costOf } from './measure.ts'
import type { Signer } from './operations.ts'
import type { Ground } from './stage.ts'

/** What applying a block took: executing it with all its checks, and writing it to disk in one synced batch. */
export type BlockCost = { readonly execute: Cost; readonly write: Cost }

export type BenchChain = {
  readonly chainId: number
  /** Seconds of an epoch of earnings. */
  readonly epochSec: number
  /** Time of the last block that was built, in seconds. */
  timeSec(): bigint
  /** Next nonce of an account in its lane, which is then taken. */
  takeNonce(lane: Tx['kind'], sender: Signer): bigint
  nonce(lane: Tx['kind'], address: Hex): bigint
  /** The next block, of exactly these transactions; throws if one is left out or fails. */
  build(raws: readonly Uint8Array[], options?: { readonly afterMs?: number }): Promise<Built>
  /** Applies the block that was built last. */
  apply(built: Built): Promise<BlockCost>
  /** Reads nodes of the state that was applied last. */
  readTrieNode(hash: Uint8Array): Uint8Array | undefined
  readCode(hash: Uint8Array): Uint8Array | undefined
  close(): Promise<void>
}

/** The chain, on which nothing stands yet, as a stage wants it: what is included goes into one block. */
export function chainGround(chain: BenchChain): Ground {
  return {
    chainId: chain.chainId,
    nonceOf: async (address) => chain.nonce('native', address),
    lastDatanetId: async () => 0,
    include: async (raws) => {
      await chain.apply(await chain.build(raws))
    },
  }
}

/** A genesis whose blocks are bounded by nothing that a bench wants to put into them. */
function benchGenesis(accounts: readonly GenesisAccount[]): Genesis {
  const params = { blockGasLimit: 20_000_000_000n, blockBytesMax: 64 << 20 }
  return { ...testGenesis(params), accounts }
}

/** A chain of these accounts at genesis. */
export async function createBenchChain(accounts: readonly GenesisAccount[]): Promise<BenchChain> {
  const genesis = benchGenesis(accounts)
  const { params } = genesis
  const first = createGenesisBlock(genesis)
  const folder = mkdtempSync(join(tmpdir(), 'tributary-bench-'))
  const hashes = new Map<bigint, Hex>([[0n, first.hash]])
  const open = async (name: string, durable: boolean) => {
    const store = await openStore(join(folder, name), { durable })
    await store.writeGenesis('', first)
    const state = createState(store.reader, first.roots)
    const vm = await createVm({ state, params, precompiles: PRECOMPILES, blockHash: (number) => hashes.get(number) })
    return { store, executor: { state, vm, params, judgeEvidence } }
  }
  const builder = await open('builder', false)
  const follower = await open('follower', true)
  const nonces = new Map<string, bigint>()
  let head = first.block.header
  let applied = first.block.header
  let timeMs = genesis.timestampMs
  const nonce = (lane: Tx['kind'], address: Hex) => nonces.get(`${lane}:${address}`) ?? 0n

  return {
    chainId: params.chainId,
    epochSec: params.epochSec,
    timeSec: () => head.timestamp,
    nonce,
    takeNonce(lane, { address }) {
      const taken = nonce(lane, address)
      nonces.set(`${lane}:${address}`, taken + 1n)
      return taken
    },
    async build(raws, { afterMs = 1_000 } = {}) {
      const offer = raws.map((raw) => {
        const decoded = decodeTx(raw, builder.executor.vm.common)
        if (!decoded.ok) throw new Error(`an operation is malformed: ${decoded.code}`)
        return decoded.tx
      })
      timeMs += afterMs
      const request = { parent: head, timestampMs: timeMs, feeRecipient: FEE_RECIPIENT, origin: undefined, offer, triesMax: raws.length }
      const built = await buildBlock(builder.executor, request)
      const [left] = built.rejected
      if (left) throw new Error(`an operation was left out: ${left.rejection.code} ${left.rejection.reason ?? ''}`)
      const failed = built.receipts.findIndex(({ succeeded }) => !succeeded)
      if (failed !== -1) throw new Error(`operation ${failed} of a block failed: ${built.receipts[failed]?.failureCode ?? 'in the EVM'}`)
      await builder.store.writeBlock(built, COMMIT)
      head = built.block.header
      hashes.set(head.number, built.hash)
      return built
    },
    async apply({ block, hash }) {
      const { value: result, cost: execute } = await costOf(() => applyBlock(follower.executor, applied, block))
      if (!result.ok || result.hash !== hash) throw new Error('a block that was built does not apply')
      const { cost: write } = await costOf(() => follower.store.writeBlock(result, COMMIT))
      applied = block.header
      return { execute, write }
    },
    readTrieNode: follower.store.reader.trieNode,
    readCode: follower.store.reader.code,
    async close() {
      await builder.store.close()
      await follower.store.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const FEE_RECIPIENT: Hex = `0x${'c3'.repeat(20)}`
/** As long as a certificate of a small set. */
const COMMIT = new Uint8Array(160)
