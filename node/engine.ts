/**
 * The part of a node that is loaded behind its JSON-RPC: L1, peers, consensus and the poster, joined. Whoever asks is answered from the store meanwhile.
 */
import { join } from 'node:path'
import { bytesToHex, concatBytes, type Hex, hexToBytes, stringToBytes } from 'viem'
import { verifySignature } from '../consensus/bls.ts'
import { helloDigest } from '../consensus/digest.ts'
import { indexOfKey } from '../consensus/validatorSet.ts'
import type { Header } from '../execution/block.ts'
import { createGenesisBlock } from '../execution/genesisBlock.ts'
import { keccak256 } from '../execution/keccak.ts'
import { encodeGenesis, type Genesis } from '../genesis/genesis.ts'
import { checkpointIntervalSec } from '../settlement/checkpoint.ts'
import { createKzg, type Kzg } from '../settlement/kzg.ts'
import { type BlobArchive, createL1, type L1 } from '../settlement/l1.ts'
import { L1Error } from '../settlement/l1Error.ts'
import { type Backlog, createBacklog } from './backlog.ts'
import { createBatchThread } from './batchThread.ts'
import { openBlobArchive } from './blobArchive.ts'
import type { ChainState } from './chainState.ts'
import { derivedIn, startChallengeLoop } from './challengeLoop.ts'
import type { ChallengerStatus } from './challenger.ts'
import { openCheckpointSigner } from './checkpointSigner.ts'
import { UsageError } from './config.ts'
import { type ConsensusChain, createConsensusChain } from './consensusChain.ts'
import { type ConsensusThread, createConsensusThread } from './consensusThread.ts'
import { type Cosigner, type CosignerCounts, type CosignerNet, type CosignerOptions, createCosigner } from './cosigner.ts'
import { type EpochSets, onOtherValidators } from './epochs.ts'
import { type EvidenceStore, openEvidenceStore } from './evidenceStore.ts'
import { createFollower, type Follower } from './follower.ts'
import { createL1Follower, type L1Follower, type L1Status } from './l1Follower.ts'
import { keepL1Place, type L1Place, readL1Place } from './l1Place.ts'
import { errorFacts } from './log.ts'
import type { LoopDelay } from './loopDelay.ts'
import type { NodeOptions } from './node.ts'
import type { ChildDirect, ChildDirectPorts, ChildMetrics } from './p2pChild.ts'
import { createPeers, type Peers } from './peers.ts'
import { createPendingTxStore } from './pendingTxStore.ts'
import { createPoster } from './poster.ts'
import { createReporter, keepReported } from './reporter.ts'
import type { NetworkView } from './rpcChain.ts'
import { createSafeChain, ForkError, type SafeChain } from './safeChain.ts'
import type { SigningKey } from './signer.ts'

/** What moves the head, a validator or a follower, with its peers; and what is known of L1. */
export type Engine = {
  readonly addresses: readonly string[]
  /** Rejects if consensus may not go on from where it stood. */
  start(): Promise<void>
  /** Something waits for a block. */
  wake(): void
  /** Numbers of the network and its process; undefined: none are known yet. */
  networkMetrics(): ChildMetrics | undefined
  network(): NetworkView
  l1Status(): L1Status
  /** Signatures of checkpoints. */
  checkpointCounts(): CosignerCounts
  /** Undefined: it does not challenge. */
  challengerStatus(): ChallengerStatus | undefined
}

export type EngineParts = {
  readonly chain: ChainState
  readonly sets: EpochSets
  /** Takes, in order of their opening, what ends the parts. */
  readonly closers: (() => Promise<void> | void)[]
  onL1(status: L1Status): void
  /** A window of the delays of another thread's event loop, or of the network's process, is over. */
  onDelay(thread: string, delay: LoopDelay): void
}

/** Opens L1, peers, consensus and the poster on a chain that is open. Throws what they throw, at once if L1 is another than the genesis file's. */
export async function openEngine(options: NodeOptions, parts: EngineParts): Promise<Engine> {
  const { chain, sets, closers } = parts
  const { genesis, dataDir, log, onFatal } = options
  const archive = openBlobArchive(join(dataDir, 'blobs'))
  const kzg = createKzg()
  const l1 = openL1(options, { kzg, archive })
  await l1.check()
  await checkGenesis(l1, genesis)
  const follower = openL1Follower(options, { l1, chain, onChange: () => safeChain.update() })
  closers.push(() => follower.stop())
  const batchThread = createBatchThread(join(dataDir, 'chain'), genesis.params)
  closers.push(() => batchThread.close())
  let cosigner: Cosigner | undefined
  const genesisAccumulator = bytesToHex(keccak256(stringToBytes(encodeGenesis(genesis))))
  const forks = createForkWatch(options)
  const judging = { chain, genesisAccumulator, l1, follower, batchThread, sets }
  const safeChain = createSafeChain({
    ...judging,
    log: log.child('safe'),
    onChange() {
      cosigner?.update()
      parts.onL1(status())
    },
    onFatal: forks.onFatal,
  })
  closers.push(() => safeChain.stop())
  const status = () => ({ ...follower.status(), ...safeChain.status() })
  const onDamaged = (file: string) => log.warn('this file is no evidence', { file })
  const evidence = openEvidenceStore(join(dataDir, 'evidence'), { onDamaged })
  chain.reportFrom(createReporter({ store: evidence, params: genesis.params, log: log.child('evidence') }))
  const backlog = createBacklog({
    chain,
    safe: () => safeChain.head().lastBlock,
    isPosting: options.posting !== undefined,
    log: log.child('backlog'),
  })
  let mover: Mover | undefined
  const net = { ...directNet(() => mover?.direct()), publish: (signers: Uint8Array) => mover?.sendSigners(signers) }
  const signatures = await openCosigner(options, { chain, sets, safeChain, follower, net })
  closers.push(signatures.stop)
  cosigner = signatures
  mover = await openMover(options, { ...parts, follower, backlog, evidence, cosigner })
  if (options.posting) {
    const { checkpointSec, ...posting } = options.posting
    // What others found stands in their blocks, and they may have no way to L1.
    closers.push(chain.onBlock((block) => keepReported(block, { evidence, sets })))
    const poster = createPoster({
      chain,
      l1,
      batchThread,
      follower: { ...follower, status },
      safeChain,
      cosigner,
      archive,
      log: log.child('poster'),
      poster: options.poster,
      submitter: options.submitter,
      publicKey: options.key?.publicKey,
      sets,
      evidence,
      ...posting,
      checkpointIntervalSec: options.submitter ? await checkpointInterval(l1, checkpointSec) : 0n,
      onFatal,
    })
    closers.push(() => poster.stop())
  }
  const challengerStatus = await openChallenger(options, { chain, safeChain, l1, kzg, genesisAccumulator, forks, closers })
  const { addresses, start, wake, network, networkMetrics } = mover
  return { addresses, start, wake, network, networkMetrics, l1Status: status, checkpointCounts: signatures.counts, challengerStatus }
}

/**
 * What ends the safe chain ends the node. But that L1 has a batch of another chain than ours is just what a challenger is there for: with one the node stays,
 * posts nothing any more, and says so once.
 */
function createForkWatch({ challenger, log, onFatal }: NodeOptions) {
  let isForked = false
  return {
    isForked: () => isForked,
    onFatal(error: unknown) {
      if (!challenger || !(error instanceof ForkError)) return onFatal(error)
      if (!isForked)
        log.error('L1 has a batch of another chain than this one: the node stays to challenge it, and posts nothing', errorFacts(error))
      isForked = true
    },
  }
}

type ChallengerParts = Pick<EngineParts, 'chain' | 'closers'> & {
  readonly safeChain: SafeChain
  readonly l1: L1
  readonly kzg: Kzg
  readonly genesisAccumulator: Hex
  readonly forks: ReturnType<typeof createForkWatch>
}

/** Challenges on the node's own chain, if it has an account for it. Its failures are its own: the node goes on. */
async function openChallenger(
  { challenger, log: nodeLog }: NodeOptions,
  { chain, safeChain, l1, kzg, genesisAccumulator, forks, closers }: ChallengerParts,
): Promise<Engine['challengerStatus']> {
  if (!challenger) return () => undefined
  const { store, genesis } = chain
  const log = nodeLog.child('challenger')
  const loop = await startChallengeLoop({
    l1,
    kzg,
    genesis,
    accumulator: genesisAccumulator,
    signer: challenger,
    pending: createPendingTxStore(store, 'challenge'),
    derived: () => derivedIn(store, safeChain.head),
    // A batch of another chain is never taken here: it is judged by its rows.
    catchUp: async ({ batches }) => forks.isForked() || (safeChain.judgedCount() ?? -1n) >= BigInt(batches().length),
    onReset() {},
    log,
    report() {}, // it is in the log, and counted
    onFatal: (error) => log.error('the challenger has ended; the node goes on without it', errorFacts(error)),
  })
  closers.push(loop.close)
  return loop.status
}

function openL1Follower(
  { genesis, l1: { pollMs }, log, onFatal }: NodeOptions,
  { l1, chain, onChange }: { readonly l1: L1; readonly chain: ChainState; onChange(): void },
): L1Follower {
  const { store } = chain
  const place = { from: genesis.l1.origin, place: readL1Place(store), keep: (kept: L1Place) => keepL1Place(store, kept) }
  return createL1Follower({ l1, ...place, pollMs, log: log.child('l1'), onChange, onFatal })
}

/** Fraud proofs begin at the ledger root that was published with the genesis file: it has to be the one that this file makes. */
async function checkGenesis(l1: L1, genesis: Genesis): Promise<void> {
  const [published, own] = [await l1.genesisLedgerRoot(), createGenesisBlock(genesis).roots.ledgerRoot]
  if (published !== own)
    throw new L1Error(`the inbox was published with the genesis ledger root ${published}; that of the genesis file is ${own}`, {
      kind: 'stop',
    })
}

/** Seconds between two checkpoints. Throws UsageError where what was asked for fills the manager's ring. */
async function checkpointInterval(l1: L1, askedSec: number | undefined): Promise<bigint> {
  const rules = await l1.checkpointRules()
  const chosen = checkpointIntervalSec(askedSec, rules)
  if (chosen.ok) return chosen.intervalSec
  const why = `the window of the EVM of ${rules.windowSec} s would see more than the ${rules.ringSize} checkpoints that L1 remembers`
  throw new UsageError(`--checkpoint-sec is ${chosen.leastSec} or more, not ${askedSec}: ${why}`)
}

/** Direct streams as the signatures of checkpoints take them. */
function directNet(direct: () => ChildDirect | undefined): Omit<CosignerNet, 'publish'> {
  return {
    send: (signature, peer) => direct()?.sendCheckpoint(signature, peer),
    keyOf: (peer) =>
      direct()
        ?.validators()
        .find(({ peerId }) => peerId === peer)?.publicKey,
    blame: (peer, why) => direct()?.blame(peer, why),
  }
}

async function openCosigner(
  { genesis, key, dataDir, log, onFatal }: NodeOptions,
  parts: Pick<CosignerOptions, 'chain' | 'sets' | 'safeChain' | 'follower' | 'net'>,
): Promise<Cosigner> {
  const domain = { l1ChainId: genesis.l1.chainId, manager: genesis.l1.checkpointManager }
  const place = { chainId: genesis.params.chainId, domain, directory: join(dataDir, 'consensus'), log: log.child('signer') }
  const signer = key && (await openCheckpointSigner(key.parts(), place))
  return createCosigner({ ...parts, domain, signer, log: log.child('checkpoints'), onFatal })
}

type MoverParts = Omit<EngineParts, 'onL1'> & {
  readonly follower: L1Follower
  readonly backlog: Backlog
  readonly evidence: EvidenceStore
  readonly cosigner: Cosigner
}

/** What moves the head, with its direct streams, if there are any. */
type Mover = Omit<Engine, 'l1Status' | 'checkpointCounts' | 'challengerStatus'> & {
  direct(): ChildDirect | undefined
  sendSigners(signers: Uint8Array): void
}

async function openMover(options: NodeOptions, parts: MoverParts): Promise<Mover> {
  const { chain, sets, follower, closers } = parts
  const { key, dataDir, log, onFatal } = options
  /** Whether others have or may get a vote. */
  const isShared = () => sets.areMany || sets.next().validators.length > 1
  const observer: Follower = createFollower({
    chain,
    setAt: sets.setAt,
    ...(key && { adopt: async (final) => consensus?.thread.adopt(final) }),
    request: (request) => peers.request(request),
    blame: (peer, why) => peers.blame(peer, why),
    log: log.child('follower'),
    nowMs: Date.now,
    onFatal,
  })
  closers.push(observer.stop)
  const consensus = key && openConsensus(options, { ...parts, key, peers: () => peers, onAhead: observer.askNow })
  const peers = await createPeers({
    dataDir,
    config: options.p2p,
    chain,
    sets,
    isValidator: key !== undefined,
    isOwn: (header) => isProposerOf(sets, key?.publicKey, header),
    direct: key && consensus && isShared() ? directPorts(key, { ...parts, ...consensus }) : undefined,
    log: log.child('p2p'),
    onTransactions: () => consensus?.thread.wake(),
    isBehind: () => observer.highest() > chain.head().header.number + 1n,
    hasBlock: observer.has,
    onFinalBlock: observer.takeBlock,
    onHeight: observer.takeHeight,
    takeSigners: parts.cosigner.takeSigners,
    onPeer: observer.askNow,
    onDelay: (delay) => parts.onDelay('p2p', delay),
  })
  closers.push(peers.close)
  chain.onBlock(() => follower.passed(chain.l1Info().number))
  onOtherValidators(chain, sets, () => peers.direct?.recheck())
  return {
    addresses: peers.addresses,
    direct: () => peers.direct,
    sendSigners: peers.sendSigners,
    async start() {
      await consensus?.thread.start()
      if (!consensus || isShared()) observer.start()
    },
    wake: () => consensus?.thread.wake(),
    networkMetrics: peers.metrics,
    network() {
      const highest = observer.highest()
      return { peers: peers.count(), highestBlock: highest > chain.head().header.number ? highest : undefined }
    },
  }
}

/** Whether the block pays its fees to the validator with this key: it made it, and is the first to tell of it. */
function isProposerOf({ setAt }: EpochSets, publicKey: Hex | undefined, { miner, number }: Header): boolean {
  const set = publicKey === undefined ? undefined : setAt(Number(number))
  return set?.validators.some((one) => one.publicKey === publicKey && one.feeRecipient === miner) ?? false
}

type Consensus = { readonly thread: ConsensusThread; readonly asked: ConsensusChain }

/** What this validator says and hears on direct streams. */
function directPorts(
  { publicKey }: Pick<SigningKey, 'publicKey'>,
  { chain, sets, cosigner, thread, asked }: Pick<MoverParts, 'chain' | 'sets' | 'cosigner'> & Consensus,
): ChildDirectPorts {
  const { genesisHash, store } = chain
  return {
    openDoor: thread.openDoor,
    options: async (peerId) => ({
      hello: concatBytes([hexToBytes(publicKey), await thread.signHello(genesisHash, peerId)]),
      checkHello(from, hello) {
        const shown = bytesToHex(hello.subarray(0, 48))
        const set = sets.next()
        const index = indexOfKey(set, shown)
        const known = index === undefined ? undefined : set.keys[index]
        if (!known) return undefined
        return verifySignature(known, helloDigest(genesisHash, from), hello.subarray(48)) ? shown : 'wrong'
      },
      onBlock: asked.takeBlock,
      onCheckpoint: cosigner.take,
      onValidator: cosigner.greet,
      readBlock: store.bytesOf,
    }),
  }
}

type ConsensusParts = MoverParts & { readonly key: SigningKey; peers(): Peers; onAhead(): void }

function openConsensus({ dataDir, genesis, log, onFatal }: NodeOptions, parts: ConsensusParts): Consensus {
  const { chain, sets, key, follower, evidence, closers, peers } = parts
  const { originLagBlocks } = genesis.params
  const asked = createConsensusChain({
    chain,
    net: {
      broadcastBlock: (block) => peers().direct?.broadcastBlock(block),
      fetchBlock: async (hash) => peers().direct?.fetchBlock(hash),
      blame: (peer, why) => peers().direct?.blame(peer, why),
    },
    log: log.child('consensus'),
    nowMs: Date.now,
    nextOrigin: (current, timestampMs) => follower.nextOrigin(current, { timestampMs, lagBlocks: originLagBlocks }),
    judgeOrigin: follower.judge,
    isGone: (origin) => follower.isCanonical(origin) === false,
    poolBytesMax: parts.backlog.poolBytesMax,
  })
  const thread = createConsensusThread({
    chain,
    sets,
    asked,
    key,
    directory: join(dataDir, 'consensus'),
    log: log.child('consensus'),
    onAhead: parts.onAhead, // how far, their certificates say
    onEvidence: (found) => evidence.add(found, sets.epochOf(found.height)),
    onDelay: (delay) => parts.onDelay('consensus', delay),
    onFatal,
  })
  closers.push(thread.stop)
  return { thread, asked }
}

function openL1({ genesis, l1 }: NodeOptions, parts: { readonly kzg: Kzg; readonly archive: BlobArchive }): L1 {
  const { portal, inbox, checkpointManager, validatorRegistry, chainId } = genesis.l1
  return createL1({
    rpcUrl: l1.url,
    beaconUrls: l1.beaconUrls,
    chainId,
    addresses: { portal, inbox, checkpointManager, validatorRegistry },
    ...parts,
  })
}
