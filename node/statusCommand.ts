/**
 * `tributary status`: where a network stands on L1, or how far one transaction, deposit or withdrawal has come. What it prints for machines:
 * docs/cli.md#status
 */
import { formatEther, type Hex } from 'viem'
import type { L1Contracts } from '../rpc/l1Actions.ts'
import { checkpointOf, type L1Client, l1TimeSec, lastBatch, type StandingCheckpoint } from '../rpc/l1Places.ts'
import { inboxEventsAbi, managerViewsAbi, queueViewsAbi, registryViewsAbi, SET_ENTRY_BYTES } from '../rpc/settlementAbi.ts'
import { type DepositStatus, type TransactionStatus, tributarySettlementActions, type WithdrawalStatus } from '../rpc/settlementActions.ts'
import { createShow, hashOption, type NodeClient, openL1Client, openNode, type Show, timeText } from './clients.ts'
import { type ConfigOf, UsageError } from './config.ts'

type Print = (text: string) => void
type Row = readonly [name: string, text: string]
type Ends = { readonly node: NodeClient; readonly l1: Awaited<ReturnType<typeof openL1Client>>['client']; readonly contracts: L1Contracts }

/** Tells. Answers 0, or 1 for what neither the node nor L1 knows. Throws UsageError for what was typed, and what viem throws. */
export async function runStatus(config: ConfigOf<'status'>, print: Print): Promise<number> {
  const { deposit, withdrawal } = config
  const tx = hashOption('--tx', config.tx)
  if ([tx, deposit, withdrawal].filter((one) => one !== undefined).length > 1)
    throw new UsageError('name one of --tx, --deposit and --withdrawal, or none')
  const show = createShow(config, print)
  const node = openNode(config.rpc)
  const ends = { node, ...(await openL1Client({ node, rpcUrl: config.rpc, l1Url: config.l1 })) }
  const { client: l1, contracts } = ends
  const actions = l1.extend(tributarySettlementActions({ contracts, node }))
  if (tx !== undefined) return showTransaction(await actions.getTransactionStatus({ hash: tx }), show)
  if (deposit !== undefined) return showDeposit(BigInt(deposit), await actions.getDepositStatus({ depositIndex: BigInt(deposit) }), show)
  if (withdrawal !== undefined) {
    const status = await actions.getWithdrawalStatus({ withdrawalIndex: BigInt(withdrawal) })
    return showWithdrawal(BigInt(withdrawal), status, show)
  }
  return showNetwork({ node, l1, contracts }, show)
}

// ---- one thing

function showTransaction(status: TransactionStatus, show: Show): number {
  show({ transaction: transactionFacts(status) }, table(transactionRows(status)))
  return status.stage === 'unknown' ? 1 : 0
}

function showDeposit(index: bigint, status: DepositStatus | undefined, show: Show): number {
  if (!status) {
    show({ deposit: { depositIndex: Number(index), stage: 'unknown' } }, `no deposit ${index} is queued on L1`)
    return 1
  }
  const { queuedAtSec, l1Hash, l1Block, hash, isExecuted, transaction } = status
  const facts = {
    depositIndex: Number(index),
    stage: transaction?.stage ?? 'queued',
    queued: { atSec: Number(queuedAtSec), l1Block: Number(l1Block), l1Hash },
    isExecuted,
    hash,
    ...(transaction && { transaction: transactionFacts(transaction) }),
  }
  const rows: Row[] = [
    ['deposit', String(index)],
    ['queued', `${timeText(queuedAtSec)} · L1 block ${l1Block} · ${l1Hash}`],
  ]
  const rest = transaction ? transactionRows(transaction) : ([['executed', 'not yet']] as const)
  show({ deposit: facts }, table([...rows, ...rest]))
  return 0
}

function showWithdrawal(index: bigint, status: WithdrawalStatus, show: Show): number {
  const name = ['withdrawal', String(index)] as const
  if (status.status === 'unknown') {
    show({ withdrawal: { withdrawalIndex: Number(index), stage: 'unknown' } }, `the rollup made no withdrawal ${index} so far`)
    return 1
  }
  const { from, to, amount, blockNumber, fromEvm } = status.withdrawal
  const checkpoint = 'checkpoint' in status ? status.checkpoint : undefined
  const payableAtSec = 'payableAtSec' in status ? status.payableAtSec : undefined
  const facts = {
    withdrawalIndex: Number(index),
    stage: status.status,
    from,
    to,
    amountWei: amount.toString(),
    block: Number(blockNumber),
    fromEvm: fromEvm === 1,
    ...(payableAtSec !== undefined && { payableAtSec: Number(payableAtSec) }),
    ...(checkpoint && { checkpoint: checkpointFacts(checkpoint) }),
  }
  const side = fromEvm === 1 ? 'the EVM side' : 'the ledger'
  const rows: Row[] = [
    name,
    ['amount', `${formatEther(amount)} OPEN from ${from} on ${side} to ${to}`],
    ['included', `block ${blockNumber}`],
  ]
  const due = status.status === 'checkpointed' ? `not yet, from ${timeText(status.payableAtSec)} on` : 'not yet'
  show({ withdrawal: facts }, table([...rows, ...checkpointRows(checkpoint), ['paid', status.status === 'paid' ? 'yes' : due]]))
  return 0
}

function transactionFacts({ hash, stage, included, batch, isSafe, isFinalized, checkpoint, withdrawals }: TransactionStatus) {
  return {
    hash,
    stage,
    ...(included && { included: { block: Number(included.block), atSec: Number(included.atSec), ok: included.succeeded } }),
    ...(batch && {
      posted: { batchIndex: Number(batch.index), l1Block: Number(batch.l1Block), l1Hash: batch.l1Hash, atSec: Number(batch.atSec) },
    }),
    isSafe,
    isFinalized,
    ...(checkpoint && { checkpoint: checkpointFacts(checkpoint) }),
    withdrawals: withdrawals.map(({ withdrawalIndex, to, amount, isPaid }) => ({
      withdrawalIndex: Number(withdrawalIndex),
      to,
      amountWei: amount.toString(),
      isPaid,
    })),
  }
}

function transactionRows({ hash, stage, included, batch, isSafe, isFinalized, checkpoint, withdrawals }: TransactionStatus): Row[] {
  if (!included)
    return [
      ['transaction', hash],
      ['included', stage === 'pooled' ? 'not yet: it waits in the pool' : 'nobody knows of it'],
    ]
  return [
    ['transaction', hash],
    ['included', `block ${included.block} · ${timeText(included.atSec)}${included.succeeded ? '' : ' · it failed there'}`],
    ['posted', batch ? `batch ${batch.index} · L1 block ${batch.l1Block} · ${timeText(batch.atSec)} · ${batch.l1Hash}` : 'not yet'],
    ['safe', isSafe ? `yes${isFinalized ? ', and final on L1' : ', and not final on L1 yet'}` : 'not yet'],
    ...checkpointRows(checkpoint),
    ...withdrawals.map(
      ({ withdrawalIndex, to, amount, isPaid }): Row => [
        'withdrawal',
        `${withdrawalIndex} · ${formatEther(amount)} OPEN for ${to} · ${isPaid ? 'paid' : 'not paid yet'}`,
      ],
    ),
  ]
}

function checkpointFacts({ id, checkpoint, submitter, submittedAtSec, matureAtSec, isMature, l1Hash, l1Block }: StandingCheckpoint) {
  const times = { submittedAtSec: Number(submittedAtSec), matureAtSec: Number(matureAtSec), isMature }
  return { id: Number(id), lastBlock: Number(checkpoint.lastBlock), submitter, ...times, l1Block: Number(l1Block), l1Hash }
}

function checkpointRows(checkpoint: StandingCheckpoint | undefined): Row[] {
  if (!checkpoint) return [['checkpointed', 'not yet']]
  const { id, checkpoint: fields, submittedAtSec, matureAtSec, isMature } = checkpoint
  return [
    ['checkpointed', `checkpoint ${id} of block ${fields.lastBlock} · ${timeText(submittedAtSec)}`],
    ['mature', isMature ? `since ${timeText(matureAtSec)}` : `at ${timeText(matureAtSec)}`],
  ]
}

// ---- the network

async function showNetwork(ends: Ends, show: Show): Promise<number> {
  const { node, l1, contracts } = ends
  const { heads, highestBlock, peers } = await node.getSyncStatus()
  const { depositCursor } = await node.getL1Info()
  const [timeSec, head] = [await l1TimeSec(l1), await l1.getBlockNumber({ cacheTime: 0 })]
  const facts = {
    heads: { latest: Number(heads.latest), safe: Number(heads.safe), finalized: Number(heads.finalized) },
    highestBlock: Number(highestBlock),
    peers,
    l1: { chainId: contracts.chainId, head: Number(head), timeSec: Number(timeSec) },
    batches: await batchFacts(ends),
    checkpoints: await checkpointsFacts(ends),
    deposits: { queued: await depositsQueued(ends), executed: Number(depositCursor) },
    validators: await validatorFacts(ends),
  }
  const { batches, checkpoints, deposits, validators } = facts
  const nameCheckpoint = (one: (typeof checkpoints)['last'], verb: string) =>
    one ? `${one.id} of block ${one.lastBlock}, mature ${verb} ${timeText(BigInt(one.matureAtSec))}` : 'none'
  const rows: Row[] = [
    ['heads', `latest ${heads.latest} · safe ${heads.safe} · finalized ${heads.finalized}`],
    ['node', highestBlock > heads.latest ? `behind: others are at ${highestBlock} · ${peers} peers` : `${peers} peers`],
    ['L1', `chain ${contracts.chainId} · block ${head} · ${timeText(timeSec)}`],
    ['batches', String(batches.count)],
    [
      'last batch',
      batches.last ? `${batches.last.index} to block ${batches.last.lastBlock} · L1 block ${batches.last.l1Block}` : 'none lately',
    ],
    ['poster', batches.last ? accountText(batches.last.poster, batches.last.posterEtherWei, undefined) : 'none lately'],
    [
      'checkpoints',
      `${checkpoints.count}, ${checkpoints.matureCount} mature · window ${checkpoints.windowSec} s${checkpoints.isClosed ? ' · CLOSED' : ''}`,
    ],
    ['last one', nameCheckpoint(checkpoints.last, 'at')],
    ['last mature', nameCheckpoint(checkpoints.lastMature, 'since')],
    [
      'submitter',
      checkpoints.last ? accountText(checkpoints.last.submitter, checkpoints.last.submitterEtherWei, checkpoints.last.bondWei) : 'none',
    ],
    ['deposits', `${deposits.queued} queued · ${deposits.executed} executed`],
    ['validators', `${validators.count} with a weight of ${validators.totalWeight} in epoch ${validators.epoch}, the newest that L1 knows`],
  ]
  show(facts, table(rows))
  return 0
}

function accountText(address: Hex, etherWei: string, bondWei: string | undefined): string {
  const bond = bondWei === undefined ? '' : ` · bond of ${formatEther(BigInt(bondWei))} OPEN`
  return `${address} · ${formatEther(BigInt(etherWei))} ether${bond}`
}

async function batchFacts({ l1, contracts }: Ends) {
  const [, nextIndex] = await l1.readContract({ address: contracts.inbox, abi: inboxEventsAbi, functionName: 'head' })
  const last = nextIndex === 0n ? undefined : await lastBatch(l1, { contracts })
  if (!last) return { count: Number(nextIndex) }
  const { from } = await l1.getTransaction({ hash: last.l1Hash })
  const { timestamp } = await l1.getBlock({ blockNumber: last.l1Block })
  return {
    count: Number(nextIndex),
    last: {
      index: Number(last.index),
      lastBlock: Number(last.lastBlock),
      payloadBytes: last.payloadBytes,
      l1Block: Number(last.l1Block),
      l1Hash: last.l1Hash,
      atSec: Number(timestamp),
      poster: from,
      posterEtherWei: (await l1.getBalance({ address: from })).toString(),
    },
  }
}

async function checkpointsFacts({ l1, contracts }: Ends) {
  const manager = { address: contracts.checkpointManager, abi: managerViewsAbi } as const
  const [count, matureCount, windowSec, isClosed] = [
    await l1.readContract({ ...manager, functionName: 'checkpointCount' }),
    await l1.readContract({ ...manager, functionName: 'matureCount' }),
    await l1.readContract({ ...manager, functionName: 'CHALLENGE_WINDOW_SEC' }),
    await l1.readContract({ ...manager, functionName: 'isClosed' }),
  ]
  const read = async (id: bigint) => (id < 0n ? undefined : withAccount({ l1, contracts }, await checkpointOf(l1, { contracts }, id)))
  return {
    count: Number(count),
    matureCount: Number(matureCount),
    windowSec: Number(windowSec),
    isClosed,
    last: await read(count - 1n),
    lastMature: await read(matureCount - 1n),
  }
}

/** With what the submitter has on L1, and stands behind its checkpoints. */
async function withAccount(
  { l1, contracts }: { readonly l1: L1Client & Ends['l1']; readonly contracts: L1Contracts },
  checkpoint: StandingCheckpoint | undefined,
) {
  if (!checkpoint) return undefined
  const { submitter } = checkpoint
  const manager = { address: contracts.checkpointManager, abi: managerViewsAbi } as const
  const { amount } = await l1.readContract({ ...manager, functionName: 'bondOf', args: [submitter] })
  const etherWei = await l1.getBalance({ address: submitter })
  return { ...checkpointFacts(checkpoint), submitterEtherWei: etherWei.toString(), bondWei: amount.toString() }
}

async function depositsQueued({ l1, contracts }: Ends): Promise<number> {
  return Number(await l1.readContract({ address: contracts.portal, abi: queueViewsAbi, functionName: 'depositCount' }))
}

/** Of the newest epoch that L1 knows. */
async function validatorFacts({ l1, contracts }: Ends) {
  const registry = { address: contracts.validatorRegistry, abi: registryViewsAbi } as const
  const epoch = await l1.readContract({ ...registry, functionName: 'newestEpoch' })
  const [, entries, totalWeight] = await l1.readContract({ ...registry, functionName: 'setOf', args: [epoch] })
  return { epoch, count: (entries.length - 2) / 2 / SET_ENTRY_BYTES, totalWeight: totalWeight.toString() }
}

/** Two columns. */
function table(rows: readonly Row[]): string {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join('\n')
}
