/** `tributary deposit`: OPEN from L1 into the rollup, from the approval to the block that has it. What it prints for machines: docs/cli.md#deposit */
import { formatEther, type Hex } from 'viem'
import { type Deposited, tributaryL1Actions } from '../rpc/l1Actions.ts'
import { accountOfFile, addressOption, amountOption, createShow, openL1Client, openNode, POLL_MS } from './clients.ts'
import { type ConfigOf, UsageError } from './config.ts'

/** Longest that the deposit is on its way to a block: L1 has to put a block or more on top of its own. */
const ON_THE_WAY_MAX_MS = 600_000

type Print = (text: string) => void

/** Deposits. Answers 0 when it is on the rollup. Throws UsageError for what was typed, and what viem throws for what the chains say. */
export async function runDeposit(config: ConfigOf<'deposit'>, print: Print): Promise<number> {
  const { rpc, as } = config
  const account = accountOfFile(config['key-file'])
  const amount = amountOption(config.amount)
  const recipient = addressOption('--to', config.to) ?? (account.address.toLowerCase() as Hex)
  if (as !== 'ledger' && as !== 'prepaid' && as !== 'evm') throw new UsageError(`--as is ledger, prepaid or evm, not ${as}`)
  const show = createShow(config, print)
  const node = openNode(rpc)
  const { client, contracts } = await openL1Client({ node, rpcUrl: rpc, l1Url: config.l1 }, account)
  const l1 = client.extend(tributaryL1Actions({ contracts }))

  const deposited: Deposited =
    as === 'evm'
      ? await l1.depositToEvm({ to: recipient, amount })
      : await l1.depositToLedger({ to: recipient, amount, prepaid: as === 'prepaid' })
  const [hash] = deposited.hashes
  if (hash === undefined) throw new Error(`the L1 transaction ${deposited.hash} queued nothing`)
  show({ sent: { l1Hash: deposited.hash, hash, to: recipient, amountWei: amount.toString(), as } }, `sent on L1 as ${deposited.hash}`)

  const receipt = await node.waitForTransactionReceipt({ hash, timeout: ON_THE_WAY_MAX_MS, pollingInterval: POLL_MS })
  const ok = receipt.status === 'success'
  const block = Number(receipt.blockNumber)
  const what = ok
    ? `${formatEther(amount)} OPEN for ${recipient}`
    : `the call failed, and the ${formatEther(amount)} OPEN are ${account.address}'s,`
  show({ included: { ok, hash, block } }, `${what} in block ${block} as ${hash}`)
  return ok ? 0 : 1
}
