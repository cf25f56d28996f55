/**
 * Checkpoints: the rollup's state after a posted batch, as the checkpoint manager keeps it, and what it reads one from.
 * Spec: docs/spec/settlement.md#checkpoints
 */
import { bytesToHex, encodeAbiParameters, encodeFunctionData, type Hex, hexToBytes, parseAbiParameters } from 'viem'
import { keccak256 } from '../execution/keccak.ts'
import type { LedgerProof } from '../execution/ledger/proof.ts'
import { checkpointManagerAbi } from './abi.ts'
import type { BatchHeader } from './inbox.ts'
import type { L1Certificate } from './registry.ts'

export type Checkpoint = {
  readonly lastBlock: bigint
  readonly blockHash: Hex
  readonly evmRoot: Hex
  readonly ledgerRoot: Hex
  /** The batch that ends with `lastBlock`, and the inbox's accumulator after it. */
  readonly batchIndex: bigint
  readonly batchAccumulator: Hex
  /** Deposits of the portal that the rollup has executed. */
  readonly depositCursor: bigint
}

/** What shows a checkpoint to L1, beside its signatures. */
export type CheckpointClaim = {
  /** Of the batch's last block, as it is hashed. */
  readonly header: Uint8Array
  readonly batch: { readonly index: bigint; readonly header: BatchHeader; readonly dataHash: Hex }
  /** Of the ledger's l1 record, against the header's ledger root. */
  readonly l1Record: LedgerProof
}

/** Where a node stands among those that may submit the next checkpoint. */
export type SubmitPlace = {
  /** The last checkpoint was submitted by this node's account. */
  readonly isLastSubmitter: boolean
  /** Place in the set of validators of the checkpoint's block; undefined for who is none. */
  readonly place: number | undefined
  readonly validators: number
}

/** How long one waits for those before it. */
export const STEP_IN_MS = 24_000

/**
 * How long a node waits, from when it saw the batch on L1, before it submits the checkpoint: who submitted the last one does not, then the validators come in
 * the order of the set, then everybody else. Spec: docs/spec/settlement.md#who-submits
 */
export function submitDelayMs({ isLastSubmitter, place, validators }: SubmitPlace): number {
  return isLastSubmitter ? 0 : STEP_IN_MS * (place ?? validators)
}

/** Places of what may change in the system configuration on L1. docs/spec/settlement.md#what-may-change */
export const L1_PARAMETER = { evmWindowSec: 0, evmExitWeiPerDay: 1, freezeSec: 2, bondWei: 3, depositDueSec: 4 } as const

/** How the checkpoint manager keeps checkpoints: the longer of a checkpoint's windows, that of the EVM, in seconds, and how many it remembers. */
export type CheckpointRules = { readonly windowSec: bigint; readonly ringSize: bigint }

/** Part of what the manager remembers that a node which is left to choose fills with checkpoints whose window is open. */
const RING_PART = 2n

/**
 * Seconds between two checkpoints, so that the manager always has room: of those that it remembers one has to be past its windows. What is asked for,
 * if that is enough; undefined asked: a good deal more than the least, which every checkpoint after a batch is where the window is short.
 */
export function checkpointIntervalSec(
  asked: number | undefined,
  { windowSec, ringSize }: CheckpointRules,
): { readonly ok: true; readonly intervalSec: bigint } | { readonly ok: false; readonly code: 'ringWouldFill'; readonly leastSec: bigint } {
  const leastSec = windowSec / (ringSize - 1n) + 1n
  if (asked === undefined) return { ok: true, intervalSec: (RING_PART * windowSec) / ringSize + 1n }
  return BigInt(asked) < leastSec ? { ok: false, code: 'ringWouldFill', leastSec } : { ok: true, intervalSec: BigInt(asked) }
}

const checkpointParameters = parseAbiParameters([
  'Checkpoint checkpoint',
  'struct Checkpoint { uint64 lastBlock; bytes32 blockHash; bytes32 evmRoot; bytes32 ledgerRoot; uint64 batchIndex; bytes32 batchAccumulator; uint64 depositCursor; }',
])

/** What the checkpoint manager stores of a checkpoint, and what is signed of it. */
export function checkpointHash(checkpoint: Checkpoint): Hex {
  return bytesToHex(keccak256(hexToBytes(encodeAbiParameters(checkpointParameters, [checkpoint]))))
}

/** Call data that submits a checkpoint with its signatures. */
export function encodeSubmit(claim: CheckpointClaim, certificate: L1Certificate): Hex {
  return encodeFunctionData({ abi: checkpointManagerAbi, functionName: 'submit', args: [toL1Claim(claim), certificate] })
}

/** Call data that submits a checkpoint without a certificate. */
export function encodeSubmitUncertified(claim: CheckpointClaim): Hex {
  return encodeFunctionData({ abi: checkpointManagerAbi, functionName: 'submitUncertified', args: [toL1Claim(claim)] })
}

/** The contract's `Claim`. */
export function toL1Claim({ header, batch, l1Record }: CheckpointClaim) {
  return {
    header: bytesToHex(header),
    batchIndex: batch.index,
    batch: batch.header,
    dataHash: batch.dataHash,
    l1Record: l1Record.record ?? '0x',
    siblings: l1Record.siblings,
  }
}
