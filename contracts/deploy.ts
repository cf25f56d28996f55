/** Deploys the contracts to an L1, in the order in which they know one another. */
import {
  type Account,
  type Address,
  type Chain,
  type Client,
  encodeDeployData,
  type Hex,
  keccak256,
  stringToHex,
  type TransactionReceipt,
  type Transport,
} from 'viem'
import { sendTransaction, waitForTransactionReceipt, writeContract } from 'viem/actions'
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

/**
 * Deploys token, portal, inbox and checkpoint manager and hands out the roles. The client's account pays, and owns: it may publish the
 * genesis file and change the roles. Throws viem's errors, and `DeployError`.
 */
export async function deployContracts(client: Deployer, options: DeployOptions): Promise<Deployment> {
  const owner = client.account.address
  const { supplyHolder, posters, submitters } = options
  const token = await create(client, encodeDeployData({ abi: openTokenAbi, bytecode: openTokenBytecode, args: [supplyHolder] }))
  const portal = await create(client, encodeDeployData({ abi: portalAbi, bytecode: portalBytecode, args: [token.address] }))
  const inbox = await create(client, encodeDeployData({ abi: batchInboxAbi, bytecode: batchInboxBytecode, args: [owner] }))
  const args = [owner, inbox.address, portal.address, BigInt(options.challengeWindowSec)] as const
  const manager = await create(client, encodeDeployData({ abi: checkpointManagerAbi, bytecode: checkpointManagerBytecode, args }))
  for (const poster of posters) await grantRole(client, inbox.address, 'POSTER', poster)
  for (const submitter of submitters) await grantRole(client, manager.address, 'SUBMITTER', submitter)
  return {
    openToken: token.address,
    portal: portal.address,
    inbox: inbox.address,
    checkpointManager: manager.address,
    firstL1Block: token.blockNumber,
  }
}

async function create(client: Deployer, data: Hex): Promise<{ address: Hex; blockNumber: bigint }> {
  const { contractAddress, blockNumber } = await included(client, await sendTransaction(client, { data }))
  if (!contractAddress) throw new DeployError('a deployment made no contract')
  return { address: lower(contractAddress), blockNumber }
}

// Both contracts have the function from the same library contract.
async function grantRole(client: Deployer, contract: Hex, role: 'POSTER' | 'SUBMITTER', account: Address): Promise<void> {
  const args = [keccak256(stringToHex(role)), account] as const
  await included(client, await writeContract(client, { address: contract, abi: batchInboxAbi, functionName: 'grantRole', args }))
}

async function included(client: Deployer, hash: Hex): Promise<TransactionReceipt> {
  const receipt = await waitForTransactionReceipt(client, { hash, timeout: 180_000 })
  if (receipt.status !== 'success') throw new DeployError(`transaction ${hash} failed`)
  return receipt
}

function lower(address: Address): Hex {
  return address.toLowerCase() as Hex
}
