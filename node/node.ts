/**
 * A node: builds the parts in order, joins their ports, takes them down in reverse. Nothing is decided here.
 */
import { join } from 'node:path'
import type { Hex } from 'viem'
import { createValidatorSet, indexOfKey, type ValidatorSet } from '../consensus/validatorSet.ts'
import { assert } from '../execution/assert.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { getL1Info } from '../execution/ledger/tables.ts'
import type { Genesis } from '../genesis/genesis.ts'
import { createRpcServer } from '../rpc/server.ts'
import { createKzg, type Kzg } from '../settlement/kzg.ts'
import { createL1, type L1 } from '../settlement/l1.ts'
import type { L1Signer } from '../settlement/l1Tx.ts'
import { createBatchThread } from './batchThread.ts'
import { createBlocks } from './blocks.ts'
import { type ChainState, openChainState } from './chainState.ts'
import type { rpcOptions } from './config.ts'
import { createFollower } from './follower.ts'
import { openJournal } from './journal.ts'
import { KeyError, type ValidatorKey } from './keys.ts'
import { createL1Follower, type L1Follower, type L1Status } from './l1Follower.ts'
import type { Log } from './log.ts'
import { createPeers, type PeersConfig } from './peers.ts'
import { openPoolJournal, type PoolJournal } from './poolJournal.ts'
import { createPoster } from './poster.ts'
import { createRecoverPool } from './recoverPool.ts'
import { createRpcChain, type NetworkView, type SettlementView } from './rpcChain.ts'
import { createSimulator } from './simulator.ts'
import { openStore } from './store.ts'
import { createValidator, type Validator } from './validator.ts'

/** What a pool may hold. */
const MEMPOOL_LIMITS = { txsMax: 65_536, bytesMax: 64 << 20, txsPerSenderMax: 4_096, nonceGapMax: 4_096, replacementPercent: 10 }

export type NodeOptions = {
  readonly dataDir: string
  readonly genesis: Genesis
  /** Of a validator of this network; undefined: the node follows and signs nothing. */
  readonly key: ValidatorKey | undefined
  readonly p2p: PeersConfig
  readonly l1: {
    readonly url: string
    readonly beaconUrls: readonly string[]
    readonly pollMs: number /** Told to clients; see SyncStatus. */
    readonly publicUrl: string | undefined
  }
  readonly rpc: ReturnType<typeof rpcOptions>
  /** Accounts on L1 for batches and for checkpoints; undefined: this node posts none. */
  readonly poster: L1Signer | undefined
  readonly submitter: L1Signer | undefined
  readonly posting: { readonly da: 'blob' | 'calldata'; readonly batchSec: number } | undefined
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

export type Node = {
  readonly rpcUrl: string
  readonly wsUrl: string
  /** Multiaddrs by which other nodes reach this one. */
  readonly p2p: readonly string[]
  status(): NodeStatus
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
    const set = validatorSetOf(genesis)
    if (options.key && indexOfKey(set, options.key.publicKey) === undefined)
      throw new KeyError(`the key in ${dataDir} is of no validator of this network`)
    const store = await openStore(join(dataDir, 'chain'))
    closers.push(() => store.close())
    const recoverPool = createRecoverPool({ log })
    closers.push(() => recoverPool.close())
    const { recover } = recoverPool
    const chain = await openChainState({ store, genesis, mempool: MEMPOOL_LIMITS, log: log.child('chain'), recover })
    const poolJournal = openPoolJournal(chain, join(dataDir, 'pool', 'transactions'))
    closers.push(() => poolJournal.close())
    const simulator = await createSimulator({ store, params: genesis.params })
    const l1 = openL1(options, createKzg())
    await l1.check()
    let onL1: (status: L1Status) => void = () => {}
    const follower = createL1Follower({
      l1,
      from: genesis.l1.origin,
      pollMs: options.l1.pollMs,
      log: log.child('l1'),
      onChange: (status) => onL1(status),
      onFatal,
    })
    closers.push(() => follower.stop())
    const engine = await openEngine(options, { chain, set, follower, closers })
    const blocks = createBlocks(chain)
    if (options.posting) {
      const poster = createPoster({
        chain,
        l1,
        batchThread: createBatchThread(join(dataDir, 'chain'), genesis.params),
        follower,
        log: log.child('poster'),
        poster: options.poster,
        submitter: options.submitter,
        validatorSetHash: set.hash,
        ...options.posting,
        onFatal,
      })
      closers.push(() => poster.stop())
    }
    const settlement = createSettlementView({ chain, status: follower.status, publicL1Url: options.l1.publicUrl })
    onL1 = settlement.update
    const rpcChain = createRpcChain({
      chain,
      blocks,
      simulator,
      settlement,
      clientVersion: options.clientVersion,
      wake: engine.wake,
      network: engine.network,
    })
    const server = await createRpcServer({ chain: rpcChain, ...options.rpc, log: log.child('rpc') })
    closers.push(() => server.close())
    engine.start()
    restorePool(poolJournal, { log, wake: engine.wake }).catch(onFatal)
    const status = (): NodeStatus => {
      const { batches, postedBytes, checkpoints } = follower.status()
      return { latest: chain.head().header.number, ...settlement.heads(), batches, postedBytes, checkpoints }
    }
    return { rpcUrl: server.url, wsUrl: server.wsUrl, p2p: engine.addresses, status, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Takes up what waited when the last run ended, while the node runs already. */
async function restorePool(journal: PoolJournal, { log, wake }: { readonly log: Log; wake(): void }): Promise<void> {
  const restored = await journal.restore()
  log.info('pool restored', restored)
  wake()
}

/** What moves the head: a validator or a follower, and the peers of either. */
type Engine = {
  readonly addresses: readonly string[]
  start(): void
  /** Something waits for a block. */
  wake(): void
  network(): NetworkView
}

type EngineParts = { readonly chain: ChainState; readonly set: ValidatorSet; readonly follower: L1Follower; readonly closers: Closer[] }

async function openEngine(options: NodeOptions, { chain, set, follower, closers }: EngineParts): Promise<Engine> {
  const { key, dataDir, log, onFatal } = options
  const validator = key && openValidator(options, { chain, set, key, follower, closers })
  const observer = key
    ? undefined
    : createFollower({
        chain,
        set,
        request: (request) => peers.request(request),
        blame: (peer, why) => peers.blame(peer, why),
        log: log.child('follower'),
        nowMs: Date.now,
        onFatal,
      })
  if (observer) closers.push(observer.stop)
  const peers = await createPeers({
    dataDir,
    config: options.p2p,
    chain,
    set,
    isValidator: key !== undefined,
    log: log.child('p2p'),
    onTransactions: () => validator?.wake(),
    hasBlock: (number) => observer?.has(number) ?? number <= chain.head().header.number,
    onFinalBlock: (final) => {
      if (observer) observer.takeBlock(final)
      else log.warn('others have a final block that this validator has not', { number: final.number, hash: final.hash })
    },
    onHeight: (number) => observer?.takeHeight(number),
    onPeer: () => observer?.askNow(),
  })
  closers.push(peers.close)
  if (observer) chain.onBlock(() => follower.passed(getL1Info(createLedger(chain.store.reader.ledgerRecord)).number))
  return {
    addresses: peers.addresses,
    start() {
      validator?.start()
      observer?.start()
    },
    wake: () => validator?.wake(),
    network() {
      const highest = observer?.highest() ?? 0n
      return { peers: peers.count(), highestBlock: highest > chain.head().header.number ? highest : undefined }
    },
  }
}

function openValidator(
  { dataDir, genesis, log, onFatal }: NodeOptions,
  { chain, set, key, follower, closers }: EngineParts & { readonly key: ValidatorKey },
): Validator {
  const self = set.validators[indexOfKey(set, key.publicKey) ?? -1]
  assert(self, 'the key is of no validator')
  const journal = openJournal(join(dataDir, 'consensus'))
  closers.push(journal.close)
  const { originLagBlocks } = genesis.params
  const validator = createValidator({
    chain,
    set,
    key,
    feeRecipient: self.feeRecipient,
    journal,
    log: log.child('consensus'),
    nowMs: Date.now,
    nextOrigin: (current, timestampMs) => follower.nextOrigin(current, { timestampMs, lagBlocks: originLagBlocks }),
    broadcast: () => {}, // a set of one has nobody to tell
    onFatal,
  })
  closers.push(validator.stop)
  return validator
}

/** The validators of the genesis file, as consensus takes them. Throws KeyError if they are no set. */
export function validatorSetOf(genesis: Genesis): ValidatorSet {
  const validators = genesis.validators.map(({ address, blsPublicKey, weight, feeRecipient }) => ({
    address,
    publicKey: blsPublicKey,
    weight: BigInt(weight),
    feeRecipient,
  }))
  const made = createValidatorSet(0, validators)
  if (!made.ok) throw new KeyError(`the validators of the genesis file are no set: ${made.code}`)
  return made.set
}

function openL1({ genesis, l1 }: NodeOptions, kzg: Kzg): L1 {
  const { portal, inbox, checkpointManager, chainId } = genesis.l1
  return createL1({ rpcUrl: l1.url, beaconUrls: l1.beaconUrls, chainId, addresses: { portal, inbox, checkpointManager }, kzg })
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
