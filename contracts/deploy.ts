/** Deploys the contracts to an L1, in the order in which they know one another. */
import {
  type Account,
  type Address,
  type Chain,
  type Client,
  encodeDeployData,
  encodeFunctionData,
  getContractAddress,
  type Hex,
  keccak256,
  stringToHex,
  type TransactionReceipt,
  type Transport,
} from 'viem'
import { getTransactionCount, sendTransaction, waitForTransactionReceipt } from 'viem/actions'
import { batchInboxAbi, checkpointManagerAbi, openTokenAbi, portalAbi } from '../settlement/abi.ts'
import { batchInboxBytecode, checkpointManagerBytecode, openTokenBytecode, portalBytecode } from './artifacts.ts'

/** `posters` may post batches and `submitters` checkpoints: accounts of their own, since a pool keeps blob transactions apart from others. */
export type DeployOptions = {
  /** Gets the whole supply of OPEN. */
  readonly supplyHolder: Address
  readonly posters: readonly Address[]
  readonly submitters: readonly Address[]
  /** Seconds from a checkpoint's submission until it is mature. */
  readonly challengeWindowSec: number
}

/** Addresses, and the L1 block of the first contract: none of them has an older log. */
export type Deployment = {
  readonly openToken: Hex
  readonly portal: Hex
  readonly inbox: Hex
  readonly checkpointManager: Hex
  readonly firstL1Block: bigint
}

/** A transaction of the deployment was included and failed. */
export class DeployError extends Error {
  override readonly name = 'DeployError'
  readonly retryable = false
}

type Deployer = Client<Transport, Chain, Account>

/** Gas of `grantRole`, several times over: it cannot be estimated while the contract is on its way. */
const GRANT_GAS = 200_000n

/**
 * Deploys token, portal, inbox and checkpoint manager and hands out the roles. The client's account pays, and owns: it may publish the
 * genesis file and change the roles. Everything is sent at once, since the addresses follow from the account's nonces: one L1 block is enough.
 * The account must send nothing else meanwhile. Throws viem's errors, and `DeployError`.
 */
export async function deployContracts(client: Deployer, options: DeployOptions): Promise<Deployment> {
  const owner = client.account.address
  const { supplyHolder, posters, submitters } = options
  const nonce = await getTransactionCount(client, { address: owner, blockTag: 'pending' })
  const [openToken, portal, inbox, checkpointManager] = [0, 1, 2, 3].map((i) =>
    lower(getContractAddress({ from: owner, nonce: BigInt(nonce + i) })),
  ) as [Hex, Hex, Hex, Hex]
  const managerArgs = [owner, inbox, portal, BigInt(options.challengeWindowSec)] as const
  const requests = [
    { data: encodeDeployData({ abi: openTokenAbi, bytecode: openTokenBytecode, args: [supplyHolder] }) },
    { data: encodeDeployData({ abi: portalAbi, bytecode: portalBytecode, args: [openToken] }) },
    { data: encodeDeployData({ abi: batchInboxAbi, bytecode: batchInboxBytecode, args: [owner] }) },
    { data: encodeDeployData({ abi: checkpointManagerAbi, bytecode: checkpointManagerBytecode, args: managerArgs }) },
    ...posters.map((poster) => ({ to: inbox, data: encodeGrant('POSTER', poster), gas: GRANT_GAS })),
    ...submitters.map((submitter) => ({ to: checkpointManager, data: encodeGrant('SUBMITTER', submitter), gas: GRANT_GAS })),
  ]
  const hashes: Hex[] = []
  for (const [i, request] of requests.entries()) hashes.push(await sendTransaction(client, { ...request, nonce: nonce + i }))
  const receipts = await Promise.all(hashes.map((hash) => included(client, hash)))
  for (const [i, address] of [openToken, portal, inbox, checkpointManager].entries()) {
    if (receipts[i]?.contractAddress?.toLowerCase() !== address) throw new DeployError(`there is no contract at ${address}`)
  }
  return { openToken, portal, inbox, checkpointManager, firstL1Block: receipts[0]?.blockNumber ?? 0n }
}

// Both contracts have the function from the same library contract.
function encodeGrant(role: 'POSTER' | 'SUBMITTER', account: Address): Hex {
  return encodeFunctionData({ abi: batchInboxAbi, functionName: 'grantRole', args: [keccak256(stringToHex(role)), account] })
}

async function included(client: Deployer, hash: Hex): Promise<TransactionReceipt> {
  const receipt = await waitForTransactionReceipt(client, { hash, timeout: 180_000 })
  if (receipt.status !== 'success') throw new DeployError(`transaction ${hash} failed`)
  return receipt
}

function lower(address: Address): Hex {
  return address.toLowerCase() as Hex
}
