/**
 * Where on L1 something stands that has an index, or a rollup block: checkpoints, batches and deposits. Of L1 that is asked alone, in bounded ranges of logs;
 * what is told of a time is found by it. Runs in browsers. Spec: docs/spec/settlement.md, docs/spec/batch.md#on-l1
 */
import {
  type AbiEvent,
  type Account,
  type Address,
  BaseError,
  type Chain,
  type Client,
  ContractFunctionRevertedError,
  encodeAbiParameters,
  getAbiItem,
  type Hex,
  keccak256,
  type Transport,
} from 'viem'
import { getBlock, getBlockNumber, getContractEvents, readContract } from 'viem/actions'
import type { L1Contracts } from './l1Actions.ts'
import { bridgeFunctionsAbi, inboxEventsAbi, managerViewsAbi, queueViewsAbi } from './settlementAbi.ts'

export type L1Client = Client<Transport, Chain | undefined, Account | undefined>

/** How L1 is asked: blocks of one query of logs (nodes limit it). 2,000. */
export type L1Reading = { readonly contracts: L1Contracts; readonly logRangeBlocks?: bigint | undefined }

/** Queries of logs in one search at most: with ranges of 2,000 blocks, seven weeks. */
const QUERIES_MAX = 180
const LOG_RANGE_BLOCKS = 2_000n

/** The rollup's state after a posted batch, as the manager keeps it. docs/spec/settlement.md#checkpoints */
export type CheckpointFields = {
  readonly lastBlock: bigint
  readonly blockHash: Hex
  readonly evmRoot: Hex
  readonly ledgerRoot: Hex
  readonly batchIndex: bigint
  readonly batchAccumulator: Hex
  readonly depositCursor: bigint
}

/** A checkpoint that stands. `matureAtSec`, and from when on withdrawals of the EVM are paid by it, by L1's clock; `isMature` as L1 says it now. */
export type StandingCheckpoint = {
  readonly id: bigint
  readonly checkpoint: CheckpointFields
  readonly submitter: Address
  readonly submittedAtSec: bigint
  readonly matureAtSec: bigint
  readonly evmPayableAtSec: bigint
  readonly isMature: boolean
  /** The L1 transaction that submitted it, and its block. */
  readonly l1Hash: Hex
  readonly l1Block: bigint
}

/** A batch that L1 took. That it is valid is not L1's to say: a node's safe head does. */
export type PostedBatch = {
  readonly index: bigint
  readonly accumulator: Hex
  readonly firstBlock: bigint
  readonly lastBlock: bigint
  readonly lastBlockHash: Hex
  readonly payloadBytes: number
  readonly l1Hash: Hex
  readonly l1Block: bigint
}

/** A deposit in the portal's queue. */
export type QueuedDeposit = { readonly index: bigint; readonly queuedAtSec: bigint; readonly l1Hash: Hex; readonly l1Block: bigint }

/** What is looked for is not where it was to be, as far as a search goes. */
export class L1SearchError extends Error {
  override readonly name = 'L1SearchError'
  readonly retryable = false
  constructor(from: bigint, to: bigint) {
    super(`nothing was found on L1 from block ${from} to ${to}, and the search ends there; with longer ranges of logs it goes further`)
  }
}

/** L1's clock. */
export async function l1TimeSec(l1: L1Client): Promise<bigint> {
  return (await getBlock(l1, { blockTag: 'latest' })).timestamp
}

/** The first checkpoint that stands and has the block, submitted in this L1 block or later; undefined: there is none yet. */
export async function findCheckpoint(
  l1: L1Client,
  reading: L1Reading,
  { block, fromL1Block }: { readonly block: bigint; readonly fromL1Block: bigint },
): Promise<StandingCheckpoint | undefined> {
  const manager = managerOf(reading)
  if ((await readContract(l1, { ...manager, functionName: 'lastBlock' })) < block) return undefined
  for await (const logs of logsFrom(l1, reading, { address: manager.address, event: CHECKPOINT_SUBMITTED, from: fromL1Block })) {
    for (const log of logs as SubmittedLog[]) {
      if (log.args.lastBlock < block) continue
      const found = await standing(l1, reading, log)
      if (found) return found
    }
  }
  return undefined
}

/** The checkpoint of this id; undefined if none stands, or L1 remembers it no more. */
export async function checkpointOf(l1: L1Client, reading: L1Reading, id: bigint): Promise<StandingCheckpoint | undefined> {
  const kept = await keptOf(l1, reading, id)
  if (!kept) return undefined
  const l1Block = await l1BlockAt(l1, kept.submittedAtSec)
  const logs = await getContractEvents(l1, {
    ...managerOf(reading),
    eventName: 'CheckpointSubmitted',
    args: { id },
    fromBlock: l1Block,
    toBlock: l1Block,
  })
  for (const log of logs as SubmittedLog[]) {
    const found = await standing(l1, reading, log)
    if (found) return found
  }
  return undefined
}

/** The first batch in this L1 block or later that has the block under this certificate's chain: its last block is the one that `hashOf` says. */
export async function findBatch(
  l1: L1Client,
  reading: L1Reading,
  { block, fromL1Block, hashOf }: { readonly block: bigint; readonly fromL1Block: bigint; hashOf(block: bigint): Promise<Hex | undefined> },
): Promise<PostedBatch | undefined> {
  const address = reading.contracts.inbox
  for await (const logs of logsFrom(l1, reading, { address, event: BATCH_POSTED, from: fromL1Block })) {
    for (const log of logs as PostedLog[]) {
      const batch = toBatch(log)
      if (batch.firstBlock > block || batch.lastBlock < block) continue
      if ((await hashOf(batch.lastBlock)) === batch.lastBlockHash) return batch
    }
  }
  return undefined
}

/** The last batch on L1, looked for in the latest ranges of logs; undefined: there is none in them. */
export async function lastBatch(l1: L1Client, reading: L1Reading): Promise<PostedBatch | undefined> {
  const rangeBlocks = reading.logRangeBlocks ?? LOG_RANGE_BLOCKS
  let to = await getBlockNumber(l1, { cacheTime: 0 })
  for (let queries = 0; queries < RANGES_BACK_MAX; queries++) {
    const from = to < rangeBlocks ? 0n : to - rangeBlocks + 1n
    const range = { fromBlock: from, toBlock: to }
    const logs = await getContractEvents(l1, { address: reading.contracts.inbox, abi: inboxEventsAbi, eventName: 'BatchPosted', ...range })
    const last = logs.at(-1)
    if (last) return toBatch(last as PostedLog)
    if (from === 0n) return undefined
    to = from - 1n
  }
  return undefined
}

/** Where a deposit was queued; undefined: there is none of this index yet. */
export async function findDeposit(l1: L1Client, { contracts }: L1Reading, index: bigint): Promise<QueuedDeposit | undefined> {
  const portal = { address: contracts.portal, abi: queueViewsAbi } as const
  if ((await readContract(l1, { ...portal, functionName: 'depositCount' })) <= index) return undefined
  const queuedAtSec = await readContract(l1, { ...portal, functionName: 'queuedAtSec', args: [index] })
  const at = await l1BlockAt(l1, queuedAtSec)
  const range = { fromBlock: at, toBlock: at }
  const [log] = await getContractEvents(l1, { ...portal, eventName: 'DepositQueued', args: { index }, ...range })
  return log && { index, queuedAtSec, l1Hash: log.transactionHash, l1Block: log.blockNumber }
}

// ---- helpers

const CHECKPOINT_SUBMITTED = getAbiItem({ abi: managerViewsAbi, name: 'CheckpointSubmitted' })
const BATCH_POSTED = getAbiItem({ abi: inboxEventsAbi, name: 'BatchPosted' })
const CHECKPOINT = CHECKPOINT_SUBMITTED.inputs[3]
const RANGES_BACK_MAX = 8

type PlacedLog = { readonly transactionHash: Hex; readonly blockNumber: bigint }
type SubmittedLog = PlacedLog & {
  readonly args: { readonly id: bigint; readonly lastBlock: bigint; readonly checkpoint: CheckpointFields }
}
type PostedLog = PlacedLog & {
  readonly args: {
    readonly index: bigint
    readonly accumulator: Hex
    readonly header: { readonly firstBlock: bigint; readonly lastBlock: bigint; readonly lastBlockHash: Hex; readonly payloadBytes: number }
  }
}

function managerOf({ contracts }: L1Reading) {
  return { address: contracts.checkpointManager, abi: managerViewsAbi } as const
}

function toBatch({ args: { index, accumulator, header }, transactionHash, blockNumber }: PostedLog): PostedBatch {
  const { firstBlock, lastBlock, lastBlockHash, payloadBytes } = header
  return { index, accumulator, firstBlock, lastBlock, lastBlockHash, payloadBytes, l1Hash: transactionHash, l1Block: blockNumber }
}

/** What the manager keeps of a checkpoint; undefined: none of this id stands, or it is forgotten. */
async function keptOf(l1: L1Client, reading: L1Reading, id: bigint) {
  try {
    const args = [id] as const
    const [hash, submittedAtSec, submitter] = await readContract(l1, { ...managerOf(reading), functionName: 'checkpointAt', args })
    return { hash, submittedAtSec, submitter: submitter.toLowerCase() as Hex }
  } catch (error) {
    const revert = error instanceof BaseError ? error.walk((cause) => cause instanceof ContractFunctionRevertedError) : undefined
    if (revert instanceof ContractFunctionRevertedError && revert.data?.errorName === 'UnknownCheckpoint') return undefined
    throw error
  }
}

/** What an event told of, if the manager still has it: what fell told of itself, too. */
async function standing(
  l1: L1Client,
  reading: L1Reading,
  { args: { id, checkpoint }, transactionHash, blockNumber }: SubmittedLog,
): Promise<StandingCheckpoint | undefined> {
  const kept = await keptOf(l1, reading, id)
  if (!kept || kept.hash !== keccak256(encodeAbiParameters([CHECKPOINT], [checkpoint]))) return undefined
  const manager = managerOf(reading)
  const windowSec = await readContract(l1, { ...manager, functionName: 'CHALLENGE_WINDOW_SEC' })
  const matureCount = await readContract(l1, { ...manager, functionName: 'matureCount' })
  const bridge = { address: reading.contracts.bridge, abi: bridgeFunctionsAbi } as const
  const evmPayableAtSec = await readContract(l1, { ...bridge, functionName: 'evmPayableFromSec', args: [id] })
  const { submittedAtSec, submitter } = kept
  const times = { submittedAtSec, matureAtSec: submittedAtSec + windowSec, evmPayableAtSec, isMature: id < matureCount }
  return { id, checkpoint, submitter, ...times, l1Hash: transactionHash, l1Block: blockNumber }
}

/** The first L1 block of this second or later. */
async function l1BlockAt(l1: L1Client, timestampSec: bigint): Promise<bigint> {
  let low = 0n
  let high = await getBlockNumber(l1, { cacheTime: 0 })
  // Ends: what is between them halves.
  while (low < high) {
    const middle = (low + high) / 2n
    const { timestamp } = await getBlock(l1, { blockNumber: middle })
    if (timestamp < timestampSec) low = middle + 1n
    else high = middle
  }
  return low
}

/** Logs of one event from an L1 block on, a range at a time, up to the head or the bound. */
async function* logsFrom(
  l1: L1Client,
  { logRangeBlocks = LOG_RANGE_BLOCKS }: L1Reading,
  { address, event, from }: { readonly address: Address; readonly event: AbiEvent; readonly from: bigint },
): AsyncGenerator<readonly unknown[]> {
  const head = await getBlockNumber(l1, { cacheTime: 0 })
  let first = from
  for (let queries = 0; queries < QUERIES_MAX && first <= head; queries++) {
    const last = first + logRangeBlocks - 1n < head ? first + logRangeBlocks - 1n : head
    yield await getContractEvents(l1, { address, abi: [event], eventName: event.name, fromBlock: first, toBlock: last })
    first = last + 1n
  }
  if (first <= head) throw new L1SearchError(from, first)
}
