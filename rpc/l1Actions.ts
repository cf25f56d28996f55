/**
 * Tributary's contracts on Ethereum for viem: value and transactions into the rollup by the portal. Runs in browsers.
 *
 *     const contracts = await client.getL1Contracts()
 *     const l1 = createWalletClient({ chain: mainnet, account, transport: http() }).extend(tributaryL1Actions({ contracts }))
 *     const { hash, hashes } = await l1.depositToLedger({ to, amount: parseEther('5') })
 *
 * Each action sends, waits for the L1 receipt, and answers with the hashes that the deposits have on the rollup. Spec: docs/spec/rpc.md#l1-actions;
 * docs/spec/block.md#l1-origin-and-deposits
 */
import {
  type Abi,
  type Account,
  type Address,
  type Chain,
  type Client,
  type Hex,
  parseAbi,
  type SimulateContractParameters,
  type Transport,
  type WriteContractParameters,
} from 'viem'
import { readContract, simulateContract, waitForTransactionReceipt, writeContract } from 'viem/actions'
import { getL2TransactionHashes } from 'viem/op-stack'

/** Where a network's contracts are on L1. */
export type L1Contracts = {
  readonly chainId: number
  readonly openToken: Address
  readonly portal: Address
  readonly inbox: Address
  readonly systemConfig: Address
  readonly checkpointManager: Address
  readonly validatorRegistry: Address
  readonly fraudVerifier: Address
  readonly bridge: Address
}

/** Functions of the portal that anybody may call. docs/spec/block.md#l1-origin-and-deposits */
export const portalFunctionsAbi = parseAbi([
  'function depositToLedger(address to, uint96 amount, bool prepaid)',
  'function depositToEvm(address to, uint96 amount, uint64 gasLimit, bytes data)',
  'function createOnEvm(uint96 amount, uint64 gasLimit, bytes initCode)',
  'function forceTransaction(address to, uint96 value, uint64 gasLimit, bytes data)',
  'error ZeroAmount()',
  'error ZeroRecipient()',
  'error ReservedRecipient(address to)',
  'error GasOutOfRange(uint64 gasLimit)',
  'error DataTooLong(uint256 length)',
  'error BlockFull(uint64 gasLeft)',
  'error WrongAmountReceived(uint256 received)',
])

const tokenAbi = parseAbi([
  'function allowance(address owner, address spender) view returns (uint256)',
  'function approve(address spender, uint256 amount) returns (bool)',
])

/** An L1 transaction did not do what it should. */
export class L1TransactionError extends Error {
  override readonly name = 'L1TransactionError'
  readonly retryable = false
  readonly hash: Hex
  constructor(hash: Hex) {
    super(`the L1 transaction ${hash} failed`)
    this.hash = hash
  }
}

/** A transaction on L1 that is in a block there, and the transactions that follow from it on the rollup. */
export type Deposited = { readonly hash: Hex; readonly hashes: readonly Hex[] }

/** Gas for a call on the EVM side when nothing else is said; docs/spec/block.md has the bounds. */
const CALL_GAS = 200_000n

type L1Client = Client<Transport, Chain | undefined, Account | undefined>
type ContractCall = { readonly address: Address; readonly abi: Abi; readonly functionName: string; readonly args: readonly unknown[] }
type Sender = { readonly account?: Account | Address | undefined }

/** Actions for an L1 client's `extend`. They throw what viem throws, and L1TransactionError if a transaction failed in its block. */
export function tributaryL1Actions({ contracts }: { readonly contracts: L1Contracts }) {
  const { portal, openToken } = contracts
  const toPortal = { address: portal, abi: portalFunctionsAbi }
  return (client: L1Client) => {
    /** Tried first, so that what the contract says of it is an error with its name. */
    async function send(call: ContractCall, { account = client.account }: Sender) {
      const { request } = await simulateContract(client, { ...call, account } as SimulateContractParameters)
      const hash = await writeContract(client, { ...request, chain: client.chain } as WriteContractParameters)
      const receipt = await waitForTransactionReceipt(client, { hash })
      if (receipt.status !== 'success') throw new L1TransactionError(hash)
      return { hash, hashes: getL2TransactionHashes(receipt) }
    }

    /** What the portal is to take has to be allowed first; not more than that is. */
    async function allow(amount: bigint, sender: Sender): Promise<void> {
      const account = sender.account ?? client.account
      const owner = typeof account === 'string' ? account : account?.address
      if (amount === 0n || owner === undefined) return
      const args = [owner, portal] as const
      const allowed = await readContract(client, { address: openToken, abi: tokenAbi, functionName: 'allowance', args })
      if (allowed >= amount) return
      await send({ address: openToken, abi: tokenAbi, functionName: 'approve', args: [portal, amount] }, sender)
    }

    return {
      /** Moves OPEN to a ledger balance, or to a prepaid one. */
      async depositToLedger({
        to,
        amount,
        prepaid = false,
        ...sender
      }: { readonly to: Address; readonly amount: bigint; readonly prepaid?: boolean | undefined } & Sender): Promise<Deposited> {
        await allow(amount, sender)
        return send({ ...toPortal, functionName: 'depositToLedger', args: [to, amount, prepaid] }, sender)
      },
      /** Moves OPEN to the sender's EVM balance and calls `to` with it. */
      async depositToEvm({
        to,
        amount = 0n,
        gasLimit = CALL_GAS,
        data = '0x',
        ...sender
      }: {
        readonly to: Address
        readonly amount?: bigint | undefined
        readonly gasLimit?: bigint | undefined
        readonly data?: Hex | undefined
      } & Sender): Promise<Deposited> {
        await allow(amount, sender)
        return send({ ...toPortal, functionName: 'depositToEvm', args: [to, amount, gasLimit, data] }, sender)
      },
      /** Calls `to` on the EVM side with what the sender has there: a transaction that no proposer can leave out. */
      forceTransaction({
        to,
        value = 0n,
        gasLimit = CALL_GAS,
        data = '0x',
        ...sender
      }: {
        readonly to: Address
        readonly value?: bigint | undefined
        readonly gasLimit?: bigint | undefined
        readonly data?: Hex | undefined
      } & Sender): Promise<Deposited> {
        return send({ ...toPortal, functionName: 'forceTransaction', args: [to, value, gasLimit, data] }, sender)
      },
    }
  }
}
