/**
 * Submits checkpoints: the latest one that a quorum of the validators signed (node/cosigner.ts). Any node with an account and a bond may; whose turn it is
 * keeps several from paying for the same. Spec: docs/spec/settlement.md#who-submits
 */
import { type Hex, hexToBytes } from 'viem'
import { uncompressedSignature } from '../consensus/bls.ts'
import { indexOfKey } from '../consensus/validatorSet.ts'
import { assert } from '../execution/assert.ts'
import { encodeHeader } from '../execution/block.ts'
import { proveRecord } from '../execution/ledger/rootReader.ts'
import { L1_RECORD } from '../execution/ledger/tables.ts'
import { type CheckpointClaim, encodeSubmit, submitDelayMs } from '../settlement/checkpoint.ts'
import { type L1Certificate, toL1Certificate } from '../settlement/registry.ts'
import type { TxManager, TxOutcome } from '../settlement/txManager.ts'
import type { ChainState } from './chainState.ts'
import type { Certified, Cosigner } from './cosigner.ts'
import type { EpochSets } from './epochs.ts'
import type { L1Follower } from './l1Follower.ts'
import type { SafeChain } from './safeChain.ts'

/** L1 refused a checkpoint: it may not know the epoch's set yet, somebody else's may be on its way, or there is no bond. */
const REFUSED_PAUSE_MS = 5_000

export type CheckpointerOptions = {
  readonly chain: Pick<ChainState, 'store' | 'genesis'>
  readonly follower: Pick<L1Follower, 'status'>
  readonly safeChain: Pick<SafeChain, 'status'>
  /** Who submits vouches with its bond for the batch: what is signed by a quorum was judged here as well. */
  readonly cosigner: Pick<Cosigner, 'certified'>
  readonly sets: Pick<EpochSets, 'setAt'>
  /** The submitting account on L1. */
  readonly account: Hex
  /** Of the validator that this node is, if it is one. */
  readonly publicKey: Hex | undefined
  /** Seconds between two checkpoints at least, by L1's clock. */
  readonly intervalSec: bigint
  report(outcome: TxOutcome, facts: { readonly lastBlock: bigint }): void
  nowMs(): number
}

export type Checkpointer = {
  /** Submits the next checkpoint, if one is due and this node's turn has come. Throws L1Error. */
  submitNext(sender: Pick<TxManager, 'send'>): Promise<void>
}

/** Knows of no earlier waiting: it begins anew with the process. */
export function createCheckpointer(options: CheckpointerOptions): Checkpointer {
  const { chain, follower, safeChain, cosigner, sets, account, publicKey, nowMs } = options
  /** Since when the batches after this block are on L1 without a checkpoint, as far as this node saw. */
  let waiting = { after: -1n, sinceMs: 0 }
  let pausedUntilMs = 0

  function isDue(lastBlock: bigint, lastSubmitter: Hex | undefined): boolean {
    const set = sets.setAt(Number(lastBlock))
    const place = set && publicKey !== undefined ? indexOfKey(set, publicKey) : undefined
    const delay = submitDelayMs({ isLastSubmitter: lastSubmitter === account, place, validators: set?.validators.length ?? 0 })
    return nowMs() >= Math.max(waiting.sinceMs + delay, pausedUntilMs)
  }

  return {
    async submitNext(sender) {
      const { checkpointed, checkpointedAtSec, head, lastSubmitter } = follower.status()
      const { lastBatch } = safeChain.status()
      if (!lastBatch || lastBatch.header.lastBlock <= checkpointed) return
      if ((head?.timestampSec ?? 0n) < checkpointedAtSec + options.intervalSec) return
      if (waiting.after !== checkpointed) waiting = { after: checkpointed, sinceMs: nowMs() }
      const certified = cosigner.certified()
      if (!certified || certified.checkpoint.lastBlock <= checkpointed) return
      const { lastBlock } = certified.checkpoint
      if (!isDue(lastBlock, lastSubmitter)) return
      const { claim, certificate } = showCheckpoint(chain, certified)
      const data = encodeSubmit(claim, certificate)
      const outcome = await sender.send({ to: chain.genesis.l1.checkpointManager, data })
      if (!outcome.ok && outcome.code !== 'pending') pausedUntilMs = nowMs() + REFUSED_PAUSE_MS
      options.report(outcome, { lastBlock })
    },
  }
}

/** What shows a checkpoint to L1. */
function showCheckpoint(
  { store }: CheckpointerOptions['chain'],
  { batch, certificate }: Certified,
): { readonly claim: CheckpointClaim; readonly certificate: L1Certificate } {
  const stored = store.block(batch.header.lastBlock)
  const signed = toL1Certificate(certificate, uncompressedSignature)
  assert(stored && signed, 'what a quorum signed here is of a block that is here')
  const l1Record = proveRecord(hexToBytes(stored.ledgerRoot), store.reader, L1_RECORD)
  return { claim: { header: encodeHeader(stored.block.header), batch, l1Record }, certificate: signed }
}
