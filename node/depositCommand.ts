/** `tributary deposit`: OPEN from L1 into the rollup, from the approval to the block that has it. What it prints for machines: docs/cli.md#deposit */
import { bytesToHex, createClient, createPublicClient, formatEther, type Hex, http, isAddress, parseEther, publicActions } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { AMOUNT_MAX_WEI } from '../genesis/params.ts'
import { tributaryActions } from '../rpc/client.ts'
import { type Deposited, tributaryL1Actions } from '../rpc/l1Actions.ts'
import { type ConfigOf, UsageError } from './config.ts'
import { loadKeyMaterial } from './keys.ts'

/** Longest that one answer may take, and the deposit on its way to a block: L1 has to put a block or more on top of its own. */
const CALL_MAX_MS = 20_000
const ON_THE_WAY_MAX_MS = 600_000
const POLL_MS = 500

type Print = (text: string) => void

/** Deposits. Answers 0 when it is on the rollup. Throws UsageError for what was typed, and what viem throws for what the chains say. */
export async function runDeposit(config: ConfigOf<'deposit'>, print: Print): Promise<number> {
  const { amount, keyFile, to, as } = readOptions(config)
  const account = privateKeyToAccount(bytesToHex(loadKeyMaterial(keyFile, { create: false })))
  const node = createPublicClient({ transport: http(config.rpc, { timeout: CALL_MAX_MS }) }).extend(tributaryActions())
  const contracts = await node.getL1Contracts()
  const l1Url = config.l1 ?? (await node.getSyncStatus()).l1Url
  if (l1Url === undefined) throw new UsageError(`${config.rpc} does not say where its L1 can be asked: name it with --l1 URL`)
  const transport = http(l1Url, { timeout: CALL_MAX_MS })
  const l1 = createClient({ account, transport, pollingInterval: POLL_MS }).extend(publicActions).extend(tributaryL1Actions({ contracts }))
  const chainId = await l1.getChainId()
  if (chainId !== contracts.chainId) throw new UsageError(`${l1Url} is chain ${chainId}; the network settles on chain ${contracts.chainId}`)

  const recipient = to ?? account.address
  const amountWei = parseEther(amount)
  const show = (facts: object, text: string) => print(config.json ? `${JSON.stringify(facts)}\n` : `${text}\n`)
  const deposited: Deposited =
    as === 'evm'
      ? await l1.depositToEvm({ to: recipient, amount: amountWei })
      : await l1.depositToLedger({ to: recipient, amount: amountWei, prepaid: as === 'prepaid' })
  const [hash] = deposited.hashes
  if (hash === undefined) throw new Error(`the L1 transaction ${deposited.hash} queued nothing`)
  show({ sent: { l1Hash: deposited.hash, hash, to: recipient, amountWei: amountWei.toString(), as } }, `sent on L1 as ${deposited.hash}`)

  const receipt = await node.waitForTransactionReceipt({ hash, timeout: ON_THE_WAY_MAX_MS, pollingInterval: POLL_MS })
  const ok = receipt.status === 'success'
  const block = Number(receipt.blockNumber)
  const what = ok
    ? `${formatEther(amountWei)} OPEN for ${recipient}`
    : `the call failed, and the ${formatEther(amountWei)} OPEN are ${account.address}'s,`
  show({ included: { ok, hash, block } }, `${what} in block ${block} as ${hash}`)
  return ok ? 0 : 1
}

type Options = {
  readonly amount: string
  readonly keyFile: string
  readonly to: Hex | undefined
  readonly as: 'ledger' | 'prepaid' | 'evm'
}

function readOptions({ amount, 'key-file': keyFile, to, as }: ConfigOf<'deposit'>): Options {
  if (keyFile === undefined) throw new UsageError('--key-file FILE is required')
  if (amount === undefined) throw new UsageError('--amount OPEN is required')
  if (!/^\d{1,11}(\.\d{1,18})?$/.test(amount) || parseEther(amount) === 0n || parseEther(amount) > AMOUNT_MAX_WEI)
    throw new UsageError(`--amount is a number of OPEN above zero, with at most 18 digits behind the point, not ${amount}`)
  if (to !== undefined && !isAddress(to)) throw new UsageError(`--to is an address, not ${to}`)
  if (as !== 'ledger' && as !== 'prepaid' && as !== 'evm') throw new UsageError(`--as is ledger, prepaid or evm, not ${as}`)
  return { amount, keyFile, to, as }
}
