/**
 * The contracts' logs, read. A node that leaves a log out, or says what its own hashes contradict, is found out here, before derivation
 * builds on it. Spec: docs/spec/batch.md#on-l1, docs/spec/block.md#l1-origin-and-deposits
 */
import {
  bytesToHex,
  encodeAbiParameters,
  type Hex,
  hexToBytes,
  type Log,
  parseAbiParameters,
  parseEventLogs,
  sliceHex,
  zeroHash,
} from 'viem'
import { type Deposit, userDepositSourceHash } from '../execution/deposit.ts'
import { keccak256 } from '../execution/keccak.ts'
import { batchInboxAbi, checkpointManagerAbi, portalAbi } from './abi.ts'
import type { Checkpoint } from './checkpoint.ts'
import { type BatchHeader, batchAccumulator } from './inbox.ts'
import { L1Error } from './l1Error.ts'

/** An L1 block, pinned by its hash. */
export type L1Ref = { readonly number: bigint; readonly hash: Hex }

/** A log of a mined block, as viem gives it. */
export type L1Log = Log<bigint, number, false>

/** A queued deposit. Indexes count from 0 over the life of the portal; `accumulator` chains all deposits up to this one. */
export type L1Deposit = { readonly index: bigint; readonly accumulator: Hex; readonly l1Block: L1Ref; readonly deposit: Deposit }

/** A posted batch without its payload. */
export type L1Batch = {
  readonly index: bigint
  readonly accumulator: Hex
  readonly header: BatchHeader
  readonly dataHash: Hex
  readonly l1Block: L1Ref
  readonly txHash: Hex
}

/** A submitted checkpoint. Ids count from 0, and go back when checkpoints fall. */
export type L1Submitted = {
  readonly kind: 'submitted'
  readonly id: bigint
  readonly checkpoint: Checkpoint
  readonly submitter: Hex
  readonly l1Block: L1Ref
}

/** The checkpoints from this id on stand no more: they were shown to be wrong, or the rollup was closed. `lastBlock` is the last one's that stands, or 0. */
export type L1Fallen = {
  readonly kind: 'fallen'
  readonly id: bigint
  readonly lastBlock: bigint
  readonly l1Block: L1Ref
  /** The transaction that made them fall. */
  readonly txHash: Hex
}

/** What happens to checkpoints. */
export type L1Checkpoint = L1Submitted | L1Fallen

// Bytes of `opaqueData`: mint, value, gas, isCreation, and the rest is data. Source: OP Stack specs, deposits.md.
const VALUE_AT = 32
const GAS_AT = 64
const IS_CREATION_AT = 72
const DATA_AT = 73

const depositParameters = parseAbiParameters('bytes32 previous, uint64 index, address from, address to, bytes32 opaqueDataHash')

/** Head of the portal's hash chain after a deposit. `previous` is zero before the first. */
export function depositAccumulator(
  previous: Hex,
  { index, from, to, opaqueData }: { readonly index: bigint; readonly from: Hex; readonly to: Hex; readonly opaqueData: Hex },
): Hex {
  const words = encodeAbiParameters(depositParameters, [previous, index, from, to, bytesToHex(keccak256(hexToBytes(opaqueData)))])
  return bytesToHex(keccak256(hexToBytes(words)))
}

/**
 * The portal's deposits, from all its logs of a range of blocks. Throws `L1Error` (retry) if they do not follow one another; a range's first
 * and last index are for the caller to hold against what it knows.
 */
export function parseDeposits(logs: readonly L1Log[]): L1Deposit[] {
  const events = parseEventLogs({ abi: portalAbi, logs: [...logs] })
  if (events.length !== logs.length || events.length % 2 !== 0) throw contradiction('the portal has logs that are not its own')
  const deposits: L1Deposit[] = []
  for (let i = 0; i < events.length; i += 2) {
    const what = events[i]
    const place = events[i + 1]
    if (what?.eventName !== 'TransactionDeposited' || place?.eventName !== 'DepositQueued')
      throw contradiction('a deposit lacks one of its logs')
    if (place.blockHash !== what.blockHash || place.logIndex !== what.logIndex + 1) throw contradiction('a deposit lacks one of its logs')

    const { index, accumulator } = place.args
    const previous = deposits.at(-1)
    if (previous && index !== previous.index + 1n) throw contradiction(`deposit ${previous.index} is followed by ${index}`)
    const from = lower(what.args.from)
    const to = lower(what.args.to)
    const opaqueData = what.args.opaqueData
    const chained = previous?.accumulator ?? (index === 0n ? zeroHash : undefined)
    if (chained !== undefined && depositAccumulator(chained, { index, from, to, opaqueData }) !== accumulator) {
      throw contradiction(`deposit ${index} is not the one that was queued`)
    }
    const sourceHash = userDepositSourceHash({ l1BlockHash: what.blockHash, logIndex: what.logIndex })
    deposits.push({ index, accumulator, l1Block: refOf(what), deposit: { sourceHash, from, ...parseOpaqueData(to, opaqueData) } })
  }
  return deposits
}

/** The inbox's batches, from its `BatchPosted` logs of a range of blocks. Throws `L1Error` (retry) if they do not follow one another. */
export function parseBatches(logs: readonly L1Log[]): L1Batch[] {
  const events = parseEventLogs({ abi: batchInboxAbi, eventName: 'BatchPosted', logs: [...logs] })
  if (events.length !== logs.length) throw contradiction('the inbox has logs that are not its own')
  return events.map((event, i) => {
    const { index, accumulator, header, dataHash } = event.args
    const previous = events[i - 1]?.args
    if (previous && index !== previous.index + 1n) throw contradiction(`batch ${previous.index} is followed by ${index}`)
    if (batchAccumulator({ index, header, dataHash }) !== accumulator) throw contradiction(`batch ${index} is not the one that was posted`)
    return { index, accumulator, header, dataHash, l1Block: refOf(event), txHash: event.transactionHash }
  })
}

/** What happened to checkpoints, from all the manager's logs of a range of blocks. Throws `L1Error` (retry) if the ids do not follow one another. */
export function parseCheckpoints(logs: readonly L1Log[]): L1Checkpoint[] {
  const events = parseEventLogs({ abi: checkpointManagerAbi, logs: [...logs] })
  if (events.length !== logs.length) throw contradiction('the checkpoint manager has logs that are not its own')
  const found: L1Checkpoint[] = []
  for (const event of events) {
    const next = toCheckpointEvent(event)
    if (!next) continue
    const previous = found.at(-1)
    const due = previous && (previous.kind === 'submitted' ? previous.id + 1n : previous.id)
    if (due !== undefined && (next.kind === 'submitted' ? next.id !== due : next.id > due))
      throw contradiction(`checkpoint ${next.id} stands where ${due} was due`)
    found.push(next)
  }
  return found
}

type CheckpointLog = ReturnType<typeof parseEventLogs<typeof checkpointManagerAbi>>[number]

/** Undefined for what says nothing of checkpoints. */
function toCheckpointEvent(event: CheckpointLog): L1Checkpoint | undefined {
  const l1Block = refOf(event as L1Log)
  const txHash = event.transactionHash as Hex
  switch (event.eventName) {
    case 'CheckpointSubmitted': {
      const { id, checkpoint, submitter } = event.args
      return { kind: 'submitted', id, checkpoint, submitter: lower(submitter), l1Block }
    }
    case 'CheckpointFell':
      return { kind: 'fallen', id: event.args.id, lastBlock: event.args.lastBlock, l1Block, txHash }
    case 'RollupClosed':
      return { kind: 'fallen', id: event.args.checkpointCount, lastBlock: event.args.lastBlock, l1Block, txHash }
    default:
      return undefined
  }
}

/** The checkpoints that stand after these events, which begin with the first of all. */
export function standingCheckpoints(events: readonly L1Checkpoint[]): L1Submitted[] {
  const standing: L1Submitted[] = []
  for (const event of events) {
    if (event.kind === 'submitted') standing.push(event)
    else standing.splice(Number(event.id))
  }
  return standing
}

function parseOpaqueData(to: Hex, opaqueData: Hex): Omit<Deposit, 'sourceHash' | 'from'> {
  if (opaqueData.length < 2 + 2 * DATA_AT) throw contradiction('a deposit is too short')
  return {
    to: sliceHex(opaqueData, IS_CREATION_AT, DATA_AT) === '0x01' ? undefined : to,
    mintWei: BigInt(sliceHex(opaqueData, 0, VALUE_AT)),
    valueWei: BigInt(sliceHex(opaqueData, VALUE_AT, GAS_AT)),
    gas: BigInt(sliceHex(opaqueData, GAS_AT, IS_CREATION_AT)),
    isSystem: false,
    data: `0x${opaqueData.slice(2 + 2 * DATA_AT)}`,
  }
}

function refOf(log: L1Log): L1Ref {
  return { number: log.blockNumber, hash: log.blockHash }
}

function lower(address: Hex): Hex {
  return address.toLowerCase() as Hex
}

// A load balancer's slower half, as a rule: asked again, it knows.
function contradiction(what: string): L1Error {
  return new L1Error(`L1's answers contradict each other: ${what}`, { kind: 'retry' })
}
