/**
 * Signatures of checkpoints: makes the checkpoint of each valid batch that an L1 block ends with, has it signed if this node is a validator, tells the other
 * validators, and gathers theirs until a quorum has signed. What is kept is of the latest few batches that have no checkpoint on L1 yet, one signature a
 * validator. Spec: docs/spec/settlement.md#who-signs
 */
import { type Hex, hexToBytes } from 'viem'
import {
  type CheckpointCertificate,
  type CheckpointSignature,
  createGathering,
  decodeCheckpointSignature,
  decodeCheckpointSigners,
  encodeCheckpointSignature,
  encodeCheckpointSigners,
  type Gathering,
  verifyCheckpointCertificate,
} from '../consensus/checkpointSignatures.ts'
import { type CheckpointDomain, checkpointDigest } from '../consensus/digest.ts'
import { indexOfKey, type ValidatorSet } from '../consensus/validatorSet.ts'
import { assert } from '../execution/assert.ts'
import { proveRecord } from '../execution/ledger/rootReader.ts'
import { L1_RECORD, l1Table } from '../execution/ledger/tables.ts'
import { createBudgets } from '../p2p/budget.ts'
import type { Verdict } from '../p2p/gossip.ts'
import { type Checkpoint, checkpointHash } from '../settlement/checkpoint.ts'
import type { L1Batch } from '../settlement/l1Logs.ts'
import type { ChainState } from './chainState.ts'
import type { CheckpointSigner } from './checkpointSigner.ts'
import type { EpochSets } from './epochs.ts'
import type { L1Follower } from './l1Follower.ts'
import { errorFacts, type Log } from './log.ts'
import type { SafeChain } from './safeChain.ts'
import { SignerError } from './signer.ts'

/** Checkpoints that signatures are gathered of at a time, that one validator's are held of before they are known here, and that a quorum's are kept of. */
const KEPT_MAX = 8
/** The latest signature is said again after this time while L1 has no checkpoint of its block: a link that breaks swallows what is on its way. */
const REPEAT_MS = 10_000
/** Signatures that a peer may send: a correct one's are one for each L1 block with a batch, some again when it connects, and one every REPEAT_MS. */
const HEARD = { perSec: 4, burst: 256 }

/** The way to other validators. */
export type CosignerNet = {
  /** To all, or to one. */
  send(signature: Uint8Array, peer?: string): void
  /** To all nodes: who signed a checkpoint, a quorum. */
  publish(signers: Uint8Array): void
  /** The BLS key of the validator that a peer is. */
  keyOf(peer: string): Hex | undefined
  /** A peer sent what no correct one sends. */
  blame(peer: string, why: string): void
}

export type CosignerOptions = {
  readonly chain: Pick<ChainState, 'store'>
  readonly safeChain: Pick<SafeChain, 'lastOfBlocks'>
  readonly follower: Pick<L1Follower, 'status'>
  readonly sets: Pick<EpochSets, 'setAt'>
  readonly domain: CheckpointDomain
  /** Of the validator that this node is; undefined: it signs nothing. */
  readonly signer: CheckpointSigner | undefined
  readonly net: CosignerNet
  readonly log: Log
  /** The guard cannot be written. */
  onFatal(error: unknown): void
}

/** A checkpoint that a quorum signed. */
export type Certified = { readonly batch: L1Batch; readonly checkpoint: Checkpoint; readonly certificate: CheckpointCertificate }

export type CosignerCounts = {
  /** Checkpoints that this node signed, and of which it saw a quorum's signatures. */
  readonly signed: number
  readonly certified: number
  /** Signatures of others that came, and were bad; and quorums of which gossip told. */
  readonly heard: number
  readonly bad: number
  readonly told: number
  /** Validators whose signature of the latest checkpoint has not come. */
  readonly missing: number
}

export type Cosigner = {
  /** L1 was read, or a batch was judged. */
  update(): void
  /** A validator's signature has come. */
  take(signature: Uint8Array, peer: string): void
  /** Somebody says who signed a checkpoint. */
  takeSigners(signers: Uint8Array): Verdict
  /** A validator is there: it is told what others were told before. */
  greet(peer: string): void
  /** The latest checkpoint that a quorum signed, of a batch that is on L1. */
  certified(): Certified | undefined
  counts(): CosignerCounts
  stop(): Promise<void>
}

type Known = {
  readonly batch: L1Batch
  readonly checkpoint: Checkpoint
  readonly hash: Hex
  readonly set: ValidatorSet
  readonly gathering: Gathering
  /** Who gave which signature, for whom to blame. */
  readonly peers: Map<number, string>
  /** Our own signature, or what became of it. */
  own: Uint8Array | 'none' | 'asked' | 'refused'
}

/** Knows nothing until it is told of L1. */
export function createCosigner(options: CosignerOptions): Cosigner {
  const { chain, safeChain, follower, sets, domain, signer, net, log } = options
  /** In the order of their batches. */
  let known: Known[] = []
  /** Of checkpoints that are not known here, by the validator's key. */
  const early = new Map<Hex, { readonly said: CheckpointSignature; readonly peer: string }[]>()
  /** Of gossip, good ones, by checkpoint: the latest. */
  const published = new Map<Hex, { readonly lastBlock: number; readonly certificate: CheckpointCertificate }>()
  const heard = createBudgets(HEARD)
  const counts = { signed: 0, certified: 0, heard: 0, bad: 0, told: 0 }
  let stopped = false

  function update(): void {
    if (stopped) return
    const { checkpointed } = follower.status()
    const batches = safeChain.lastOfBlocks().filter(({ header }) => header.lastBlock > checkpointed)
    const before = new Map(known.map((one) => [one.batch.accumulator, one]))
    known = batches.slice(-KEPT_MAX).flatMap((batch) => before.get(batch.accumulator) ?? know(batch) ?? [])
    for (const [key, all] of early) {
      const left = all.filter(({ said }) => said.lastBlock > checkpointed)
      if (left.length > 0) early.set(key, left)
      else early.delete(key)
    }
    for (const [hash, { lastBlock }] of published) if (lastBlock <= checkpointed) published.delete(hash)
    for (const one of known) if (one.own === 'none') signOwn(one).catch(fail)
  }

  /** Undefined: the validators of its block are not known yet. */
  function know(batch: L1Batch): Known | undefined {
    const set = sets.setAt(Number(batch.header.lastBlock))
    const checkpoint = checkpointOf(chain, batch)
    if (!set || !checkpoint) return undefined
    const hash = checkpointHash(checkpoint)
    const one: Known = {
      ...{ batch, checkpoint, hash, set, own: 'none', peers: new Map() },
      gathering: createGathering(set, checkpointDigest(domain, hash)),
    }
    for (const [key, all] of early) for (const { said, peer } of all) if (said.checkpointHash === hash) add(one, key, said, peer)
    return one
  }

  async function signOwn(one: Known): Promise<void> {
    const place = signer && indexOfKey(one.set, signer.publicKey)
    if (!signer || place === undefined) return
    one.own = 'asked'
    const { lastBlock } = one.checkpoint
    try {
      const signature = await signer.sign(one.checkpoint)
      if (stopped) return
      one.own = signature
      one.gathering.add(place, signature)
      counts.signed++
      net.send(encode(one, signature))
      settle(one)
    } catch (error) {
      if (!(error instanceof SignerError)) throw error
      one.own = error.retryable ? 'none' : 'refused'
      if (!stopped) log.warn('a checkpoint is not signed', { ...errorFacts(error), lastBlock })
    }
  }

  function add(one: Known, key: Hex, { signature }: CheckpointSignature, peer: string): void {
    const place = indexOfKey(one.set, key)
    if (place === undefined || !one.gathering.add(place, signature)) return
    one.peers.set(place, peer)
    counts.heard++
    settle(one)
  }

  /** Looks at whether it is a quorum now. */
  function settle(one: Known): void {
    const was = one.gathering.certificate()
    for (const place of one.gathering.verify()) {
      counts.bad++
      const peer = one.peers.get(place)
      if (peer !== undefined) net.blame(peer, 'its signature of a checkpoint does not verify')
    }
    const certificate = one.gathering.certificate()
    if (was || !certificate) return
    counts.certified++
    publish(one, certificate)
    log.debug('a quorum signed a checkpoint', { lastBlock: one.checkpoint.lastBlock, batch: one.batch.index })
  }

  /** One of the validators tells all nodes, for those that are not validators; another one the next time. */
  function publish({ checkpoint, hash, set }: Known, certificate: CheckpointCertificate): void {
    const lastBlock = Number(checkpoint.lastBlock)
    if (!signer || indexOfKey(set, signer.publicKey) !== lastBlock % set.validators.length) return
    net.publish(encodeCheckpointSigners({ lastBlock, checkpointHash: hash, certificate }))
  }

  function takeSigners(bytes: Uint8Array): Verdict {
    const decoded = decodeCheckpointSigners(bytes)
    if (!decoded.ok) return 'reject'
    const { lastBlock, checkpointHash, certificate } = decoded.value
    if (stopped || lastBlock <= follower.status().checkpointed || published.has(checkpointHash)) return 'stale'
    const set = sets.setAt(lastBlock)
    if (!set) return 'ignore'
    if (!verifyCheckpointCertificate(set, checkpointDigest(domain, checkpointHash), certificate).ok) return 'reject'
    published.set(checkpointHash, { lastBlock, certificate })
    counts.told++
    const lowest = [...published].sort(([, a], [, b]) => a.lastBlock - b.lastBlock).slice(0, -KEPT_MAX)
    for (const [hash] of lowest) published.delete(hash)
    return 'accept'
  }

  function fail(error: unknown): void {
    if (stopped) return
    log.error('checkpoints cannot be signed', errorFacts(error))
    options.onFatal(error)
  }

  /** Says the latest one again, and asks a signer again that was away. */
  function repeat(): void {
    const latest = known.at(-1)
    if (latest && typeof latest.own !== 'string') net.send(encode(latest, latest.own))
    update()
  }

  const timer = setInterval(repeat, REPEAT_MS)

  return {
    update,
    take(bytes, peer) {
      if (stopped) return
      if (!heard.spend(peer, 1)) return net.blame(peer, 'it sends signatures of checkpoints without end')
      const key = net.keyOf(peer)
      const decoded = decodeCheckpointSignature(bytes)
      if (!decoded.ok) return net.blame(peer, `a signature of a checkpoint that is none (${decoded.code})`)
      const said = decoded.value
      const one = known.find(({ hash }) => hash === said.checkpointHash)
      if (!key || said.lastBlock <= follower.status().checkpointed) return
      if (one) add(one, key, said, peer)
      else early.set(key, [...(early.get(key) ?? []), { said, peer }].slice(-KEPT_MAX))
    },
    takeSigners,
    greet(peer) {
      for (const one of known) if (typeof one.own !== 'string') net.send(encode(one, one.own), peer)
    },
    certified() {
      for (const { batch, checkpoint, hash, gathering } of known.toReversed()) {
        const certificate = gathering.certificate() ?? published.get(hash)?.certificate
        if (certificate) return { batch, checkpoint, certificate }
      }
      return undefined
    },
    counts() {
      const latest = known.at(-1)
      return { ...counts, missing: latest ? latest.set.validators.length - latest.gathering.count() : 0 }
    },
    async stop() {
      stopped = true
      clearInterval(timer)
      await signer?.close()
    },
  }
}

function encode({ checkpoint, hash }: Known, signature: Uint8Array): Uint8Array {
  return encodeCheckpointSignature({ lastBlock: Number(checkpoint.lastBlock), checkpointHash: hash, signature })
}

/** The checkpoint after a batch; undefined where the batch's last block is not ours. */
function checkpointOf({ store }: CosignerOptions['chain'], { index, accumulator, header }: L1Batch): Checkpoint | undefined {
  const stored = store.block(header.lastBlock)
  if (stored?.hash !== header.lastBlockHash) return undefined
  const { record } = proveRecord(hexToBytes(stored.ledgerRoot), store.reader, L1_RECORD)
  assert(record, 'a ledger has its l1 record')
  const { stateRoot, withdrawalsRoot } = stored.block.header
  return {
    lastBlock: header.lastBlock,
    blockHash: stored.hash,
    evmRoot: stateRoot,
    ledgerRoot: withdrawalsRoot,
    batchIndex: index,
    batchAccumulator: accumulator,
    depositCursor: l1Table.decode(hexToBytes(record)).depositCursor,
  }
}
