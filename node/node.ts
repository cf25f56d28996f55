/**
 * A node: builds the parts in order, joins their ports, takes them down in reverse. Nothing is decided here. Answers come first: JSON-RPC listens as
 * soon as the chain is open, and what moves the chain (node/engine.ts) is loaded behind it.
 */
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Hex } from 'viem'
import { indexOfKey } from '../consensus/validatorSet.ts'
import { timestampMs } from '../execution/block.ts'
import type { Genesis } from '../genesis/genesis.ts'
import { type CallCount, createCallCounts } from '../rpc/callCounts.ts'
import { createDesk } from '../rpc/desk.ts'
import type { L1Signer } from '../settlement/l1Tx.ts'
import { type AddressIndex, createAddressIndex } from './addressIndex.ts'
import { followWithAddresses } from './addressWork.ts'
import { type Blocks, createBlocks } from './blocks.ts'
import { type ChainState, openChainState } from './chainState.ts'
import type { postingOptions, rpcOptions } from './config.ts'
import type { Engine } from './engine.ts'
import { createEpochSets, validatorSetOf } from './epochs.ts'
import { giveMemoryBack } from './idleMemory.ts'
import { KeyError } from './keys.ts'
import type { L1Status } from './l1Follower.ts'
import type { Log } from './log.ts'
import { createLogIndex, followWithIndex } from './logIndex.ts'
import { createLoopDelays, type LoopDelay, type LoopDelays, watchLoopDelay } from './loopDelay.ts'
import type { PeersConfig } from './peers.ts'
import { openPoolJournal, type PoolJournal } from './poolJournal.ts'
import { createRecoverPool } from './recoverPool.ts'
import { createRpcChain, type SettlementView } from './rpcChain.ts'
import { createRpcThread, RPC_RECOVER_THREADS } from './rpcThread.ts'
import type { SigningKey } from './signer.ts'
import { createSimulator } from './simulator.ts'
import { openStore } from './store.ts'

/** What a pool may hold. */
const MEMPOOL_LIMITS = { txsMax: 65_536, bytesMax: 64 << 20, txsPerSenderMax: 4_096, nonceGapMax: 4_096, replacementPercent: 10 }

export type NodeOptions = {
  readonly dataDir: string
  readonly genesis: Genesis
  /** Of a validator of this network; undefined: the node follows and signs nothing. */
  readonly key: SigningKey | undefined
  readonly p2p: PeersConfig
  readonly l1: {
    readonly url: string
    readonly beaconUrls: readonly string[]
    readonly pollMs: number /** Told to clients; see SyncStatus. */
    readonly publicUrl: string | undefined
  }
  readonly rpc: ReturnType<typeof rpcOptions>
  /** Whether it knows which transactions touch which addresses. */
  readonly addressIndex: boolean
  /** Where numbers are served; undefined: nowhere. */
  readonly metrics: { readonly host: string; readonly port: number } | undefined
  /** Accounts on L1 for batches and for checkpoints; undefined: this node posts none. */
  readonly poster: L1Signer | undefined
  readonly submitter: L1Signer | undefined
  /** The account on L1 that challenges; undefined: this node judges no checkpoints. */
  readonly challenger?: L1Signer | undefined
  readonly posting: ReturnType<typeof postingOptions>
  readonly clientVersion: string
  readonly log: Log
  /** The node cannot go on; the process should end with an error. */
  onFatal(error: unknown): void
}

export type NodeStatus = {
  readonly latest: bigint
  readonly safe: bigint
  readonly finalized: bigint
  readonly postedBytes: number
  readonly batches: number
  readonly checkpoints: number
}

type Closer = () => Promise<void> | void

const NOTHING_OF_L1: L1Status = {
  head: undefined,
  lastBatch: undefined,
  lastFinalBatch: undefined,
  finalizedNumber: 0n,
  batches: 0,
  postedBytes: 0,
  checkpoints: 0,
  checkpointed: 0n,
  checkpointedAtSec: 0n,
  lastSubmitter: undefined,
  synced: false,
}

export type Node = {
  readonly rpcUrl: string
  readonly wsUrl: string
  /** Multiaddrs by which other nodes reach this one. */
  readonly p2p: readonly string[]
  /** Where its numbers are, if they are served. */
  readonly metricsUrl: string | undefined
  status(): NodeStatus
  /** How late the event loops of the threads were lately, by thread. */
  loopDelays(): Readonly<Record<string, LoopDelay>>
  /** Ends everything in reverse order. What was final stays so. */
  close(): Promise<void>
}

/** Starts a node. Throws what its parts throw; whatever was opened by then is closed. */
export async function startNode(options: NodeOptions): Promise<Node> {
  const { genesis, log, dataDir, onFatal } = options
  const closers: Closer[] = []
  const close = async () => {
    for (const closer of closers.reverse()) await closer()
    closers.length = 0
  }
  try {
    const first = validatorSetOf(genesis)
    if (options.key && genesis.params.epochBlocks === 0 && indexOfKey(first, options.key.publicKey) === undefined)
      throw new KeyError(`the key ${options.key.publicKey} is of no validator of this network`)
    const rpcLog = log.child('rpc')
    const rpcThread = createRpcThread({ chainId: genesis.params.chainId, recoverThreads: RPC_RECOVER_THREADS, log: rpcLog })
    closers.push(() => rpcThread.close())
    const store = await openStore(join(dataDir, 'chain'))
    closers.push(() => store.close())
    const recoverPool = createRecoverPool({ log })
    closers.push(() => recoverPool.close())
    const { recover } = recoverPool
    const chain = await openChainState({ store, genesis, mempool: MEMPOOL_LIMITS, log: log.child('chain'), recover })
    const poolJournal = openPoolJournal(chain, { path: join(dataDir, 'pool', 'transactions'), log })
    closers.push(() => poolJournal.close())
    const simulator = await createSimulator({ store, params: genesis.params })
    let engine: Engine | undefined
    const l1Status = () => engine?.l1Status() ?? NOTHING_OF_L1
    const settlement = createSettlementView({ chain, status: l1Status, publicL1Url: options.l1.publicUrl })
    const wake = () => engine?.wake()
    const logIndex = createLogIndex(store.logSegments)
    const blocks = createBlocks(chain)
    closers.push(followWithIndex(chain, blocks.receipts, logIndex, onFatal))
    const addressIndex = options.addressIndex ? openAddressIndex({ chain, blocks, closers, onFatal }) : undefined
    const rpcChain = createRpcChain({
      chain,
      blocks,
      logIndex,
      addressIndex,
      simulator,
      settlement,
      clientVersion: options.clientVersion,
      wake,
      network: () => engine?.network() ?? { peers: 0, highestBlock: undefined },
    })
    const delays = createLoopDelays(log)
    closers.push(watchLoopDelay((delay) => delays.take('main', delay)))
    closers.push(giveMemoryBack())
    const counts = createCallCounts()
    let countedByThread: readonly CallCount[] = []
    const rpcCalls = () => [...counts.snapshot(), ...countedByThread]
    const desk = createDesk({ chain: rpcChain, log: rpcLog, counts })
    closers.push(() => rpcThread.close()) // before what answers its questions is closed
    const onDelay = (delay: LoopDelay, calls: readonly CallCount[]) => {
      delays.take('rpc', delay)
      countedByThread = calls
    }
    const server = await rpcThread.listen({ desk, pool: chain.intakePool('client'), wake, onDelay }, options.rpc)
    const { openEngine } = await loadEngine()
    const parts = { chain, sets: createEpochSets(chain), closers, onL1: settlement.update, onDelay: delays.take }
    const opened = await openEngine(options, parts)
    engine = opened
    await opened.start()
    rpcThread.warmUp()
    restorePool(poolJournal, { log, wake }).catch(onFatal)
    const status = (): NodeStatus => {
      const { batches, postedBytes, checkpoints } = l1Status()
      return { latest: chain.head().header.number, ...settlement.heads(), batches, postedBytes, checkpoints }
    }
    const metricsUrl = options.metrics && (await openMetrics(options.metrics, { chain, engine: opened, status, delays, rpcCalls, closers }))
    return { rpcUrl: server.url, wsUrl: server.wsUrl, p2p: opened.addresses, metricsUrl, status, loopDelays: delays.snapshot, close }
  } catch (error) {
    await close()
    throw error
  }
}

type IndexParts = { readonly chain: ChainState; readonly blocks: Blocks; readonly closers: Closer[]; onFatal(error: unknown): void }

/** Begins to make the index where it ended. */
function openAddressIndex({ chain, blocks, closers, onFatal }: IndexParts): AddressIndex {
  const index = createAddressIndex(chain.store.addressSegments)
  closers.push(followWithAddresses(chain, blocks, index, onFatal))
  return index
}

type MetricsParts = {
  readonly chain: ChainState
  readonly engine: Engine
  status(): NodeStatus
  readonly delays: LoopDelays
  rpcCalls(): readonly CallCount[]
  readonly closers: Closer[]
}

async function openMetrics(
  place: NonNullable<NodeOptions['metrics']>,
  { chain, engine, status, delays, rpcCalls, closers }: MetricsParts,
): Promise<string> {
  const { serveMetrics } = await import('./metrics.ts')
  const server = await serveMetrics(
    {
      heads: status,
      headTimestampMs: () => timestampMs(chain.head().header),
      pooled: chain.pool.size,
      settled: status,
      signatures: engine.checkpointCounts,
      challenger: engine.challengerStatus,
      loopDelays: delays.snapshot,
      rpcCalls,
      network: engine.networkMetrics,
    },
    place,
  )
  closers.push(server.close)
  return server.url
}

/** Loads what answers do not need, a piece at a time: who asks meanwhile is answered in between. */
async function loadEngine(): Promise<typeof import('./engine.ts')> {
  const pieces = [() => import('../settlement/l1.ts'), () => import('./consensusThread.ts'), () => import('./p2pChild.ts')]
  for (const load of pieces) {
    await nextTurn()
    await load()
  }
  await nextTurn()
  return import('./engine.ts')
}

/** Takes up what waited when the last run ended, while the node runs already. */
async function restorePool(journal: PoolJournal, { log, wake }: { readonly log: Log; wake(): void }): Promise<void> {
  const restored = await journal.restore()
  log.info('pool restored', restored)
  wake()
}

type SettlementOptions = {
  readonly chain: ChainState
  readonly status: () => L1Status
  readonly publicL1Url: string | undefined
}

/** Safe and finalized heads by what L1 says: the last block of the last batch that is ours. */
function createSettlementView({ chain, status, publicL1Url }: SettlementOptions): SettlementView & { update(status: L1Status): void } {
  let safe = 0n
  let finalized = 0n
  const isOurs = (lastBlock: bigint, hash: Hex) => chain.store.block(lastBlock)?.hash === hash
  return {
    heads: () => ({ safe, finalized }),
    update({ lastBatch, lastFinalBatch }) {
      safe = lastBatch && isOurs(lastBatch.header.lastBlock, lastBatch.header.lastBlockHash) ? lastBatch.header.lastBlock : 0n
      if (lastFinalBatch && isOurs(lastFinalBatch.header.lastBlock, lastFinalBatch.header.lastBlockHash))
        finalized = lastFinalBatch.header.lastBlock
    },
    status() {
      const { head, batches, postedBytes, checkpoints, lastBatch } = status()
      return {
        l1Head: head && { number: head.number, hash: head.hash },
        l1Url: publicL1Url,
        batches: { posted: batches, postedBytes, nextBlock: (lastBatch?.header.lastBlock ?? 0n) + 1n },
        checkpoints,
      }
    },
  }
}
