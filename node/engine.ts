/**
 * The part of a node that is loaded behind its JSON-RPC: L1, peers, consensus and the poster, joined. Whoever asks is answered from the store meanwhile.
 */
import { join } from 'node:path'
import { bytesToHex, concatBytes, type Hex, hexToBytes } from 'viem'
import { verifySignature } from '../consensus/bls.ts'
import { helloDigest } from '../consensus/digest.ts'
import { indexOfKey } from '../consensus/validatorSet.ts'
import type { Header } from '../execution/block.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { getL1Info } from '../execution/ledger/tables.ts'
import type { DirectOptions } from '../p2p/direct.ts'
import { createKzg, type Kzg } from '../settlement/kzg.ts'
import { createL1, type L1 } from '../settlement/l1.ts'
import { createBatchThread } from './batchThread.ts'
import type { ChainState } from './chainState.ts'
import type { EpochSets } from './epochs.ts'
import { type EvidenceStore, openEvidenceStore } from './evidenceStore.ts'
import { createFollower, type Follower } from './follower.ts'
import { openJournal } from './journal.ts'
import { createL1Follower, type L1Follower, type L1Status } from './l1Follower.ts'
import type { NodeOptions } from './node.ts'
import { createPeers, type Peers } from './peers.ts'
import { createPoster } from './poster.ts'
import type { NetworkView } from './rpcChain.ts'
import type { ValidatorSigner } from './signer.ts'
import { createValidator, type Validator } from './validator.ts'

/** What moves the head, a validator or a follower, with its peers; and what is known of L1. */
export type Engine = {
  readonly addresses: readonly string[]
  start(): void
  /** Something waits for a block. */
  wake(): void
  network(): NetworkView
  l1Status(): L1Status
}

export type EngineParts = {
  readonly chain: ChainState
  readonly sets: EpochSets
  /** Takes, in order of their opening, what ends the parts. */
  readonly closers: (() => Promise<void> | void)[]
  onL1(status: L1Status): void
}

/** Opens L1, peers, consensus and the poster on a chain that is open. Throws what they throw, at once if L1 is another than the genesis file's. */
export async function openEngine(options: NodeOptions, parts: EngineParts): Promise<Engine> {
  const { chain, sets, closers } = parts
  const { genesis, dataDir, log, onFatal } = options
  const l1 = openL1(options, createKzg())
  await l1.check()
  const follower = createL1Follower({
    l1,
    from: genesis.l1.origin,
    pollMs: options.l1.pollMs,
    log: log.child('l1'),
    onChange: parts.onL1,
    onFatal,
  })
  closers.push(() => follower.stop())
  const evidence = openEvidenceStore(join(dataDir, 'evidence'), {
    onDamaged: (file) => log.warn('this file is no evidence', { file }),
  })
  const mover = await openMover(options, { chain, sets, follower, evidence, closers })
  if (options.posting) {
    const poster = createPoster({
      chain,
      l1,
      batchThread: createBatchThread(join(dataDir, 'chain'), genesis.params),
      follower,
      log: log.child('poster'),
      poster: options.poster,
      submitter: options.submitter,
      sets,
      evidence,
      ...options.posting,
      onFatal,
    })
    closers.push(() => poster.stop())
  }
  return { ...mover, l1Status: follower.status }
}

type MoverParts = Pick<EngineParts, 'chain' | 'sets' | 'closers'> & { readonly follower: L1Follower; readonly evidence: EvidenceStore }

async function openMover(
  options: NodeOptions,
  { chain, sets, follower, evidence, closers }: MoverParts,
): Promise<Omit<Engine, 'l1Status'>> {
  const { key, dataDir, log, onFatal, genesis } = options
  const signer = key?.createSigner({ chainId: genesis.params.chainId, epochOf: sets.epochOf })
  /** Whether others have or may get a vote. */
  const isShared = () => sets.areMany || sets.next().validators.length > 1
  const observer: Follower = createFollower({
    chain,
    setAt: sets.setAt,
    ...(key && { adopt: async (final) => validator?.adopt(final) }),
    request: (request) => peers.request(request),
    blame: (peer, why) => peers.blame(peer, why),
    log: log.child('follower'),
    nowMs: Date.now,
    onFatal,
  })
  closers.push(observer.stop)
  const validator =
    signer && openValidator(options, { chain, sets, signer, follower, evidence, closers, peers: () => peers, onAhead: observer.askNow })
  const peers = await createPeers({
    dataDir,
    config: options.p2p,
    chain,
    sets,
    isValidator: key !== undefined,
    isOwn: (header) => isProposerOf(sets, key?.publicKey, header),
    direct: validator && signer && isShared() ? (peerId) => directOptions(peerId, { chain, sets, signer, validator }) : undefined,
    log: log.child('p2p'),
    onTransactions: () => validator?.wake(),
    hasBlock: observer.has,
    onFinalBlock: observer.takeBlock,
    onHeight: observer.takeHeight,
    onPeer: observer.askNow,
  })
  closers.push(peers.close)
  chain.onBlock(() => follower.passed(getL1Info(createLedger(chain.store.reader.ledgerRecord)).number))
  return {
    addresses: peers.addresses,
    start() {
      validator?.start()
      if (!validator || isShared()) observer.start()
    },
    wake: () => validator?.wake(),
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

/** What this validator says and hears on direct streams. */
async function directOptions(
  peerId: string,
  {
    chain,
    sets,
    signer,
    validator,
  }: Pick<MoverParts, 'chain' | 'sets'> & { readonly signer: ValidatorSigner; readonly validator: Validator },
): Promise<DirectOptions> {
  const { genesisHash, store } = chain
  const key = hexToBytes(signer.publicKey)
  return {
    hello: concatBytes([key, await signer.signHello(genesisHash, peerId)]),
    checkHello(from, hello) {
      const publicKey = bytesToHex(hello.subarray(0, 48))
      const set = sets.next()
      const index = indexOfKey(set, publicKey)
      const known = index === undefined ? undefined : set.keys[index]
      if (!known) return undefined
      return verifySignature(known, helloDigest(genesisHash, from), hello.subarray(48)) ? publicKey : 'wrong'
    },
    onMessage: validator.takeMessage,
    onBlock: validator.takeBlock,
    readBlock: store.bytesOf,
  }
}

type ValidatorParts = MoverParts & { readonly signer: ValidatorSigner; peers(): Peers; onAhead(): void }

function openValidator({ dataDir, genesis, log, onFatal }: NodeOptions, parts: ValidatorParts): Validator {
  const { chain, sets, signer, follower, evidence, closers, peers } = parts
  const journal = openJournal(join(dataDir, 'consensus'))
  closers.push(journal.close, signer.close)
  const { originLagBlocks } = genesis.params
  const validator = createValidator({
    chain,
    setAt: sets.setAt,
    signer,
    net: {
      broadcast: (message) => peers().direct?.broadcast(message),
      broadcastBlock: (block) => peers().direct?.broadcastBlock(block),
      sendTo: (peer, message) => peers().direct?.sendTo(peer, message),
      fetchBlock: async (hash) => peers().direct?.fetchBlock(hash),
      blame: (peer, why) => peers().direct?.blame(peer, why),
    },
    journal,
    log: log.child('consensus'),
    nowMs: Date.now,
    nextOrigin: (current, timestampMs) => follower.nextOrigin(current, { timestampMs, lagBlocks: originLagBlocks }),
    judgeOrigin: follower.judge,
    onAhead: parts.onAhead, // how far, their certificates say
    onEvidence: (found) => evidence.add(found, sets.epochOf(found.height)),
    onFatal,
  })
  closers.push(validator.stop)
  return validator
}

function openL1({ genesis, l1 }: NodeOptions, kzg: Kzg): L1 {
  const { portal, inbox, checkpointManager, validatorRegistry, chainId } = genesis.l1
  return createL1({
    rpcUrl: l1.url,
    beaconUrls: l1.beaconUrls,
    chainId,
    addresses: { portal, inbox, checkpointManager, validatorRegistry },
    kzg,
  })
}
