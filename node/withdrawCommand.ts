/**
 * `tributary withdraw`: OPEN out of the rollup, up to the block that has the withdrawal. Paying it on L1 is `tributary prove`'s (node/proveCommand.ts).
 * What it prints for machines: docs/cli.md#withdraw
 */
import { formatEther, type Hex } from 'viem'
import { explainFailure } from '../rpc/client.ts'
import { withdrawalsOf } from '../rpc/settlementActions.ts'
import { accountOfFile, addressOption, amountOption, createShow, openNode, POLL_MS } from './clients.ts'
import { type ConfigOf, UsageError } from './config.ts'

/** Longest that a transaction is on its way to a block. */
const ON_THE_WAY_MAX_MS = 120_000

type Print = (text: string) => void

/** Withdraws. Answers 0 when a block has it. Throws UsageError for what was typed, TributaryError for what the rollup refuses, and what viem throws. */
export async function runWithdraw(config: ConfigOf<'withdraw'>, print: Print): Promise<number> {
  const { from } = config
  const account = accountOfFile(config['key-file'])
  const amount = amountOption(config.amount)
  const to = addressOption('--to', config.to) ?? (account.address.toLowerCase() as Hex)
  if (from !== 'ledger' && from !== 'evm') throw new UsageError(`--from is ledger or evm, not ${from}`)
  const show = createShow(config, print)
  const node = openNode(config.rpc, account)
  const hash = await node.withdraw({ amount, to, from })
  show({ sent: { hash, to, amountWei: amount.toString(), from } }, `sent as ${hash}`)

  const receipt = await node.waitForTransactionReceipt({ hash, timeout: ON_THE_WAY_MAX_MS, pollingInterval: POLL_MS })
  const block = Number(receipt.blockNumber)
  const [withdrawal] = withdrawalsOf(receipt)
  if (receipt.status !== 'success' || !withdrawal) {
    const { failureCode } = receipt as { readonly failureCode?: string }
    const why = failureCode === undefined ? 'the call failed' : explainFailure(failureCode)
    show({ included: { ok: false, hash, block, failureCode } }, `refused in block ${block}: ${why}`)
    return 1
  }
  const index = Number(withdrawal.withdrawalIndex)
  show(
    { included: { ok: true, hash, block, withdrawalIndex: index } },
    `withdrawal ${index}: ${formatEther(amount)} OPEN for ${to} in block ${block}. When its checkpoint is mature: tributary prove --withdrawal ${index}`,
  )
  return 0
}
