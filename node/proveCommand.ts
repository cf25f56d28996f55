/**
 * `tributary prove`: has L1 pay a withdrawal by its proof against a mature checkpoint; before that it says when it will be. What it prints for machines:
 * docs/cli.md#prove
 */
import { formatEther, type Hex } from 'viem'
import { l1TimeSec } from '../rpc/l1Places.ts'
import { tributarySettlementActions, WithdrawalError, withdrawalsOf } from '../rpc/settlementActions.ts'
import { accountOfFile, createShow, hashOption, type NodeClient, openL1Client, openNode, type Show, timeText } from './clients.ts'
import { type ConfigOf, UsageError } from './config.ts'

/** What was asked for cannot be done before a time. */
export const EXIT_NOT_YET = 4

/** How often it is tried while it waits. */
const WAIT_POLL_MS = 2_000

type Print = (text: string) => void
type L1 = Awaited<ReturnType<typeof openClients>>['l1']

/** Pays. Answers 0 when all is paid, 4 while it is too early. Throws UsageError for what was typed, WithdrawalError, and what viem throws. */
export async function runProve(config: ConfigOf<'prove'>, print: Print): Promise<number> {
  const { withdrawal, tx: txText, checkpoint, wait } = config
  const tx = hashOption('--tx', txText)
  if ((withdrawal === undefined) === (tx === undefined)) throw new UsageError('name either --withdrawal N or --tx HASH')
  const show = createShow(config, print)
  const { node, l1 } = await openClients(config)
  const indexes = tx === undefined ? [BigInt(withdrawal ?? 0)] : await withdrawalsIn(node, tx)
  const checkpointId = checkpoint === undefined ? undefined : BigInt(checkpoint)
  let code = 0
  for (const withdrawalIndex of indexes) {
    const isPaid = await payOne(l1, { withdrawalIndex, checkpointId, waitMs: wait * 1_000, show })
    if (!isPaid) code = EXIT_NOT_YET
  }
  return code
}

async function openClients(config: ConfigOf<'prove'>) {
  const account = accountOfFile(config['key-file'])
  const node = openNode(config.rpc)
  const { client, contracts } = await openL1Client({ node, rpcUrl: config.rpc, l1Url: config.l1 }, account)
  return { node, l1: client.extend(tributarySettlementActions({ contracts, node })) }
}

async function withdrawalsIn(node: NodeClient, hash: Hex): Promise<readonly bigint[]> {
  const found = withdrawalsOf(await node.getTransactionReceipt({ hash }))
  if (found.length === 0) throw new UsageError(`the transaction ${hash} withdrew nothing`)
  return found.map(({ withdrawalIndex }) => withdrawalIndex)
}

type Payment = { readonly withdrawalIndex: bigint; readonly checkpointId: bigint | undefined; readonly waitMs: number; readonly show: Show }

/** Whether it is paid now. */
async function payOne(l1: L1, payment: Payment): Promise<boolean> {
  const { withdrawalIndex, show } = payment
  const index = Number(withdrawalIndex)
  try {
    const { proof, hash, leftWei } = await payWithin(l1, payment)
    const { to, amount } = proof.withdrawal
    if (leftWei > 0n) {
      const paidInPart = { withdrawalIndex: index, l1Hash: hash, to, amountWei: amount.toString(), leftWei: leftWei.toString() }
      const rest = `${formatEther(leftWei)} of ${formatEther(amount)} OPEN`
      show(
        { paidInPart },
        `withdrawal ${index}: paid in part by the L1 transaction ${hash}; ${rest} are left for when more may leave the EVM`,
      )
      return false
    }
    const paid = { withdrawalIndex: index, checkpointId: Number(proof.checkpoint.id), l1Hash: hash, to, amountWei: amount.toString() }
    show({ paid }, `withdrawal ${index}: ${formatEther(amount)} OPEN paid to ${to} by the L1 transaction ${hash}`)
    return true
  } catch (error) {
    if (!(error instanceof WithdrawalError)) throw error
    if (error.code === 'alreadyPaid') {
      show({ paid: { withdrawalIndex: index } }, `withdrawal ${index} was paid already`)
      return true
    }
    if (!error.retryable) throw error
    await showWhen(l1, payment, error)
    return false
  }
}

/** Pays as soon as it can be. Throws what `proveWithdrawal` and `finalizeWithdrawal` throw. */
async function payWithin(l1: L1, { withdrawalIndex, checkpointId, waitMs }: Payment) {
  const endMs = Date.now() + waitMs
  // Ends: at the time that was given.
  for (;;) {
    try {
      const proof = await l1.proveWithdrawal({ withdrawalIndex, checkpointId })
      return { proof, ...(await l1.finalizeWithdrawal(proof)) }
    } catch (error) {
      if (!(error instanceof WithdrawalError) || !error.retryable || Date.now() >= endMs) throw error
      await new Promise((resolve) => setTimeout(resolve, WAIT_POLL_MS))
    }
  }
}

async function showWhen(l1: L1, { withdrawalIndex, show }: Payment, { code, message }: WithdrawalError): Promise<void> {
  const index = Number(withdrawalIndex)
  const status = await l1.getWithdrawalStatus({ withdrawalIndex })
  const payableAtSec = code === 'notMature' && 'payableAtSec' in status ? status.payableAtSec : undefined
  if (payableAtSec === undefined) {
    show({ notYet: { withdrawalIndex: index, code } }, `withdrawal ${index} cannot be paid yet: ${message}`)
    return
  }
  const inSec = Number(payableAtSec - (await l1TimeSec(l1)))
  const notYet = { withdrawalIndex: index, code, payableAtSec: Number(payableAtSec), inSec }
  show(
    { notYet },
    `withdrawal ${index} cannot be paid yet: its checkpoint pays it from ${timeText(payableAtSec)} on, in ${inSec} s of L1's clock`,
  )
}
