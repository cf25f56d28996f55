/**
 * What becomes of a transaction on the way to Ethereum, and the way out by proof, for viem. Runs in browsers.
 *
 *     const l1 = createWalletClient({ chain: mainnet, account, transport: http() }).extend(tributarySettlementActions({ contracts, node }))
 *     const { status } = await l1.getWithdrawalStatus({ withdrawalIndex: 7n })
 *     await l1.waitUntilMature({ withdrawalIndex: 7n })
 *     const { hash } = await l1.finalizeWithdrawal(await l1.proveWithdrawal({ withdrawalIndex: 7n }))
 *
 * `node` is a client of the rollup. Whatever is paid is proven to the bridge: the node's word is only what is looked up. Spec: docs/spec/settlement.md;
 * docs/spec/rpc.md#settlement-actions
 */
import {
  type Account,
  type Address,
  BaseError,
  type Client,
  ContractFunctionRevertedError,
  decodeEventLog,
  getAbiItem,
  type Hex,
  hexToBytes,
  type SimulateContractParameters,
  TransactionNotFoundError,
  TransactionReceiptNotFoundError,
  toEventSelector,
  type WriteContractParameters,
} from 'viem'
import {
  getBlock,
  getTransaction,
  getTransactionReceipt,
  readContract,
  simulateContract,
  waitForTransactionReceipt,
  writeContract,
} from 'viem/actions'
import { getL2TransactionHashes } from 'viem/op-stack'
import { withdrawals as withdrawalsTable } from '../execution/ledger/tables.ts'
import { withdrawnEvent } from '../execution/native/transfer.ts'
import { DOOR } from '../genesis/params.ts'
import { type SyncStatus, tributaryActions, type Withdrawal } from './client.ts'
import { type L1Contracts, L1TransactionError } from './l1Actions.ts'
import {
  checkpointOf,
  findBatch,
  findCheckpoint,
  findDeposit,
  type L1Client,
  type L1Reading,
  l1TimeSec,
  type PostedBatch,
  type QueuedDeposit,
  type StandingCheckpoint,
} from './l1Places.ts'
import { bridgeFunctionsAbi, queueViewsAbi } from './settlementAbi.ts'

const DEPOSIT_QUEUED = toEventSelector(getAbiItem({ abi: queueViewsAbi, name: 'DepositQueued' }))

/** A withdrawal cannot be proven, or not yet. */
export class WithdrawalError extends Error {
  override readonly name = 'WithdrawalError'
  readonly code:
    | 'unknownWithdrawal'
    | 'notCheckpointed'
    | 'unknownCheckpoint'
    | 'checkpointTooEarly'
    | 'notMature'
    | 'frozen'
    | 'allowanceUsed'
    | 'alreadyPaid'
  /** It may be another thing later. */
  readonly retryable: boolean
  constructor(code: WithdrawalError['code'], message: string) {
    super(message)
    this.code = code
    this.retryable = ['notCheckpointed', 'notMature', 'frozen', 'allowanceUsed'].includes(code)
  }
}

/**
 * `unknown`: the rollup made none of this index so far. Each of the others holds what those before it do. `payableAtSec`: when the checkpoint's window is
 * over, that of the EVM for a withdrawal of the EVM; then it is `mature`.
 */
export type WithdrawalStatus =
  | { readonly status: 'unknown' }
  | { readonly status: 'included'; readonly withdrawal: Withdrawal }
  | {
      readonly status: 'checkpointed' | 'mature'
      readonly withdrawal: Withdrawal
      readonly checkpoint: StandingCheckpoint
      readonly payableAtSec: bigint
    }
  | { readonly status: 'paid'; readonly withdrawal: Withdrawal; readonly checkpoint: StandingCheckpoint | undefined }

/** What the bridge pays a withdrawal by. */
export type WithdrawalProof = {
  readonly withdrawalIndex: bigint
  readonly withdrawal: ReturnType<typeof withdrawalsTable.decode>
  readonly checkpoint: StandingCheckpoint
  readonly siblings: readonly Hex[]
}

/** How far a transaction of the rollup has come. */
export const STAGES = ['unknown', 'pooled', 'included', 'posted', 'safe', 'checkpointed', 'mature', 'paid'] as const
export type Stage = (typeof STAGES)[number]

/** Where a transaction of the rollup stands. `stage` is the furthest; `paid` once all that it withdrew was paid. */
export type TransactionStatus = {
  readonly hash: Hex
  readonly stage: Stage
  readonly included: { readonly block: bigint; readonly atSec: bigint; readonly succeeded: boolean } | undefined
  readonly batch: (PostedBatch & { readonly atSec: bigint }) | undefined
  readonly isSafe: boolean
  /** Its batch stands in a final L1 block. */
  readonly isFinalized: boolean
  readonly checkpoint: StandingCheckpoint | undefined
  readonly withdrawals: readonly {
    readonly withdrawalIndex: bigint
    readonly to: Address
    readonly amount: bigint
    readonly isPaid: boolean
  }[]
}

/** Where a deposit stands: queued on L1, and executed by the rollup's transaction of that hash. */
export type DepositStatus = QueuedDeposit & {
  readonly hash: Hex | undefined
  readonly isExecuted: boolean
  readonly transaction: TransactionStatus | undefined
}

type Sender = { readonly account?: Account | Address | undefined }
type Options = L1Reading & { readonly node: Client }

/** Actions for an L1 client's `extend`. They throw what viem throws, `WithdrawalError`, and `L1TransactionError` if a transaction failed in its block. */
export function tributarySettlementActions(options: Options) {
  return (l1: L1Client) => ({ ...statusActions(l1, options), ...withdrawalActions(l1, options) })
}

function statusActions(l1: L1Client, options: Options) {
  const { node } = options
  const rollup = tributaryActions()(node)

  /** The block's settlement on L1. */
  async function settled(block: bigint, { heads }: SyncStatus) {
    const fromL1Block = (await rollup.getL1Info({ blockNumber: block })).number
    const hashOf = async (number: bigint) => (number > heads.latest ? undefined : (await getBlock(node, { blockNumber: number })).hash)
    const batch = await findBatch(l1, options, { block, fromL1Block, hashOf })
    const checkpoint = batch && (await findCheckpoint(l1, options, { block, fromL1Block: batch.l1Block }))
    const atSec = batch && (await getBlock(l1, { blockNumber: batch.l1Block })).timestamp
    return { batch: batch && atSec !== undefined ? { ...batch, atSec } : undefined, checkpoint }
  }

  /** Where a transaction of the rollup stands, from a node and L1. */
  async function getTransactionStatus({ hash }: { readonly hash: Hex }): Promise<TransactionStatus> {
    const receipt = await orUndefined(getTransactionReceipt(node, { hash }), TransactionReceiptNotFoundError)
    if (!receipt) {
      const pending = await orUndefined(getTransaction(node, { hash }), TransactionNotFoundError)
      return { hash, ...NOWHERE, stage: pending ? 'pooled' : 'unknown' }
    }
    const block = receipt.blockNumber
    const { timestamp } = await getBlock(node, { blockNumber: block })
    const status = await rollup.getSyncStatus()
    const { batch, checkpoint } = await settled(block, status)
    const withdrawals = await Promise.all(
      withdrawalsOf(receipt).map(async (one) => ({ ...one, isPaid: await isPaid(l1, options, one.withdrawalIndex) })),
    )
    const isSafe = status.heads.safe >= block
    const reached: Partial<Record<Stage, boolean>> = {
      included: true,
      posted: batch !== undefined,
      safe: isSafe,
      checkpointed: checkpoint !== undefined,
      mature: checkpoint?.isMature === true,
      paid: withdrawals.length > 0 && withdrawals.every((one) => one.isPaid),
    }
    return {
      hash,
      stage: STAGES.findLast((stage) => reached[stage]) ?? 'included',
      included: { block, atSec: timestamp, succeeded: receipt.status === 'success' },
      batch,
      isSafe,
      isFinalized: status.heads.finalized >= block,
      checkpoint,
      withdrawals,
    }
  }

  return {
    getTransactionStatus,
    /** Where a deposit stands by its index in the portal's queue; undefined: none of this index is queued. */
    async getDepositStatus({ depositIndex }: { readonly depositIndex: bigint }): Promise<DepositStatus | undefined> {
      const queued = await findDeposit(l1, options, depositIndex)
      if (!queued) return undefined
      const hash = await hashOfDeposit(l1, options, queued)
      const isExecuted = (await rollup.getL1Info()).depositCursor > depositIndex
      return { ...queued, hash, isExecuted, transaction: isExecuted && hash ? await getTransactionStatus({ hash }) : undefined }
    },
  }
}

function withdrawalActions(l1: L1Client, options: Options) {
  const { node, contracts } = options
  const rollup = tributaryActions()(node)
  const bridge = { address: contracts.bridge, abi: bridgeFunctionsAbi } as const

  async function getWithdrawalStatus({ withdrawalIndex }: { readonly withdrawalIndex: bigint }): Promise<WithdrawalStatus> {
    const withdrawal = await rollup.getWithdrawal({ withdrawalIndex })
    if (!withdrawal) return { status: 'unknown' }
    const block = withdrawal.blockNumber
    const fromL1Block = (await rollup.getL1Info({ blockNumber: block })).number
    const checkpoint = await findCheckpoint(l1, options, { block, fromL1Block })
    if (await isPaid(l1, options, withdrawalIndex)) return { status: 'paid', withdrawal, checkpoint }
    if (!checkpoint) return { status: 'included', withdrawal }
    const payableAtSec = payableAt(withdrawal, checkpoint)
    const isPayable = checkpoint.isMature && (payableAtSec === checkpoint.matureAtSec || (await l1TimeSec(l1)) >= payableAtSec)
    return { status: isPayable ? 'mature' : 'checkpointed', withdrawal, checkpoint, payableAtSec }
  }

  /** The checkpoint that a withdrawal is proven by. */
  async function provenBy(withdrawalIndex: bigint, checkpointId: bigint | undefined): Promise<StandingCheckpoint> {
    const status = await getWithdrawalStatus({ withdrawalIndex })
    if (status.status === 'unknown')
      throw new WithdrawalError('unknownWithdrawal', `the rollup made no withdrawal ${withdrawalIndex} so far`)
    if (status.status === 'paid') throw new WithdrawalError('alreadyPaid', `withdrawal ${withdrawalIndex} was paid already`)
    if (checkpointId === undefined) {
      if (status.status !== 'included') return status.checkpoint
      throw new WithdrawalError('notCheckpointed', `no checkpoint on L1 has block ${status.withdrawal.blockNumber} yet`)
    }
    const given = await checkpointOf(l1, options, checkpointId)
    if (!given) throw new WithdrawalError('unknownCheckpoint', `no checkpoint ${checkpointId} stands on L1, or it is forgotten`)
    if (given.checkpoint.lastBlock >= status.withdrawal.blockNumber) return given
    const facts = `ends with block ${given.checkpoint.lastBlock}, and withdrawal ${withdrawalIndex} is of block ${status.withdrawal.blockNumber}`
    throw new WithdrawalError('checkpointTooEarly', `checkpoint ${checkpointId} ${facts}`)
  }

  return {
    getWithdrawalStatus,
    /** The checkpoint of an id; undefined: none stands, or L1 remembers it no more. */
    getCheckpoint: ({ checkpointId }: { readonly checkpointId: bigint }) => checkpointOf(l1, options, checkpointId),
    /** The proof of a withdrawal by a checkpoint, or by the first that has it. It may be made before the checkpoint is mature. Throws WithdrawalError. */
    async proveWithdrawal({
      withdrawalIndex,
      checkpointId,
    }: {
      readonly withdrawalIndex: bigint
      readonly checkpointId?: bigint | undefined
    }): Promise<WithdrawalProof> {
      const checkpoint = await provenBy(withdrawalIndex, checkpointId)
      const at = { blockNumber: checkpoint.checkpoint.lastBlock }
      const { record, siblings } = await rollup.getLedgerProof({ table: 'withdrawals', id: { withdrawalIndex }, ...at })
      if (record === undefined)
        throw new WithdrawalError('unknownWithdrawal', `block ${at.blockNumber} has no withdrawal ${withdrawalIndex}`)
      return { withdrawalIndex, withdrawal: withdrawalsTable.decode(hexToBytes(record)), checkpoint, siblings }
    },
    /**
     * Has the bridge pay a withdrawal. Who sends only pays the gas: the withdrawal says who is paid. `leftWei`: what the allowance of a withdrawal of the EVM
     * was too little for, to be paid later by the same proof. Throws WithdrawalError before it is due.
     */
    async finalizeWithdrawal({
      withdrawalIndex,
      withdrawal,
      checkpoint,
      siblings,
      account = l1.account,
    }: WithdrawalProof & Sender): Promise<{ readonly hash: Hex; readonly leftWei: bigint }> {
      const payableAtSec = payableAt(withdrawal, checkpoint)
      if ((await l1TimeSec(l1)) < payableAtSec)
        throw new WithdrawalError('notMature', `checkpoint ${checkpoint.id} pays it from second ${payableAtSec} of L1's clock on`)
      const args = [checkpoint.id, checkpoint.checkpoint, withdrawalIndex, withdrawal, siblings] as const
      const call = { ...bridge, functionName: 'finalizeWithdrawal', args, account }
      const { request } = await heldBack(simulateContract(l1, call as unknown as SimulateContractParameters))
      const hash = await writeContract(l1, { ...request, chain: l1.chain } as WriteContractParameters)
      const receipt = await waitForTransactionReceipt(l1, { hash })
      if (receipt.status !== 'success') throw new L1TransactionError(hash)
      if (await isPaid(l1, options, withdrawalIndex)) return { hash, leftWei: 0n }
      const paid = await readContract(l1, { ...bridge, functionName: 'paidInPart', args: [withdrawalIndex] })
      return { hash, leftWei: withdrawal.amount - paid }
    },
    /** Waits until a withdrawal can be paid, or was. Throws WithdrawalError, `retryable`, when that takes longer. */
    async waitUntilMature({
      withdrawalIndex,
      timeoutMs,
      pollingIntervalMs = l1.pollingInterval,
    }: {
      readonly withdrawalIndex: bigint
      readonly timeoutMs: number
      readonly pollingIntervalMs?: number | undefined
    }): Promise<WithdrawalStatus> {
      const endMs = Date.now() + timeoutMs
      // Ends: at the time that was given.
      for (;;) {
        const status = await getWithdrawalStatus({ withdrawalIndex })
        if (status.status === 'mature' || status.status === 'paid') return status
        if (Date.now() >= endMs)
          throw new WithdrawalError('notMature', `withdrawal ${withdrawalIndex} is ${status.status} after ${timeoutMs} ms`)
        await new Promise((resolve) => setTimeout(resolve, pollingIntervalMs))
      }
    },
  }
}

/** When the checkpoint pays the withdrawal, by L1's clock: one of the EVM later. */
function payableAt({ fromEvm }: { readonly fromEvm: number }, { matureAtSec, evmPayableAtSec }: StandingCheckpoint): bigint {
  return fromEvm === 0 ? matureAtSec : evmPayableAtSec
}

/** Says what holds a withdrawal of the EVM back. */
async function heldBack<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    const revert = error instanceof BaseError ? error.walk((cause) => cause instanceof ContractFunctionRevertedError) : undefined
    const { errorName = '', args = [] } = (revert instanceof ContractFunctionRevertedError && revert.data) || {}
    if (errorName === 'Frozen')
      throw new WithdrawalError('frozen', `a validator holds withdrawals of the EVM back until second ${args[0]} of L1's clock`)
    if (errorName === 'EvmAllowanceUsed')
      throw new WithdrawalError('allowanceUsed', 'what withdrawals of the EVM are paid in a day is used up for now')
    throw error
  }
}

/** The withdrawals to L1 that a transaction of the rollup made. */
export function withdrawalsOf({
  logs,
}: {
  readonly logs: readonly { readonly address: Address; readonly topics: readonly Hex[]; readonly data: Hex }[]
}) {
  return logs.flatMap(({ address, topics, data }) => {
    if (address.toLowerCase() !== DOOR.ledger) return []
    try {
      const { args } = decodeEventLog({ abi: [withdrawnEvent], topics: topics as [Hex, ...Hex[]], data })
      return [{ withdrawalIndex: args.index, to: args.to.toLowerCase() as Hex, amount: args.amount }]
    } catch {
      return [] // another event of the door
    }
  })
}

const NOWHERE = {
  included: undefined,
  batch: undefined,
  isSafe: false,
  isFinalized: false,
  checkpoint: undefined,
  withdrawals: [],
} as const

function isPaid(l1: L1Client, { contracts }: { readonly contracts: L1Contracts }, withdrawalIndex: bigint): Promise<boolean> {
  const bridge = { address: contracts.bridge, abi: bridgeFunctionsAbi } as const
  return readContract(l1, { ...bridge, functionName: 'isFinalized', args: [withdrawalIndex] })
}

/** The hash that a deposit has on the rollup: of the transactions that its L1 transaction queued, the one whose place is this one's. */
async function hashOfDeposit(l1: L1Client, { contracts }: Options, { index, l1Hash }: QueuedDeposit): Promise<Hex | undefined> {
  const receipt = await getTransactionReceipt(l1, { hash: l1Hash })
  const ofPortal = receipt.logs.filter(({ address }) => address.toLowerCase() === contracts.portal.toLowerCase())
  const hashes = getL2TransactionHashes({ ...receipt, logs: ofPortal })
  const queued = ofPortal.filter(({ topics }) => topics[0] === DEPOSIT_QUEUED)
  return hashes[queued.findIndex(({ topics }) => BigInt(topics[1] ?? 0) === index)]
}

async function orUndefined<T>(question: Promise<T>, absent: abstract new (...args: never[]) => Error): Promise<T | undefined> {
  try {
    return await question
  } catch (error) {
    if (error instanceof absent) return undefined
    throw error
  }
}
