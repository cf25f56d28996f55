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
  type TransactionReceipt,
  type Transport,
} from 'viem'
import { getTransactionCount, sendTransaction, waitForTransactionReceipt } from 'viem/actions'
import {
  batchInboxAbi,
  bridgeAbi,
  checkpointManagerAbi,
  openTokenAbi,
  portalAbi,
  systemConfigAbi,
  validatorRegistryAbi,
} from '../settlement/abi.ts'
import {
  batchInboxBytecode,
  bridgeBytecode,
  checkpointManagerBytecode,
  openTokenBytecode,
  portalBytecode,
  systemConfigBytecode,
  validatorRegistryBytecode,
} from './artifacts.ts'
import { courtCreations } from './deployFraud.ts'

/** The registry of validators, and its first set. Spec: docs/spec/consensus.md#registry */
export type RegistryOptions = {
  /** Of the rollup. */
  readonly chainId: number
  /** Blocks of an epoch; 0: the first set stays. */
  readonly epochBlocks: number
  /** The genesis file's validators, as a set's hash is made of them. */
  readonly firstSet: Hex
  /** Least stake, in wei; at least one OPEN. */
  readonly stakeMinWei: bigint
  /** Seconds for which evidence counts after its epoch, and for which a stake stays: longer than the former and the challenge window together. */
  readonly evidenceAgeSec: number
  readonly unbondingSec: number
}

/** How checkpoints live. Spec: docs/spec/settlement.md#checkpoints */
export type CheckpointOptions = {
  /** May make checkpoints fall: an account, or the court that is deployed with the rest; `epochSec` is the genesis file's. */
  readonly fraudVerifier: Address | { readonly epochSec: number }
  /** May announce changes of what may change; zero: nobody. */
  readonly configOwner: Address
  /** Seconds from the announcement of such a change until it can be made. */
  readonly changeDelaySec: number
  /** Seconds from a checkpoint's submission until it is mature. */
  readonly challengeWindowSec: number
  /** Seconds from a checkpoint's submission until withdrawals of the EVM are paid by it: longer, and with the window above not beyond `changeDelaySec`. */
  readonly evmWindowSec: number
  /** Wei of OPEN that withdrawals of the EVM are paid in a day. */
  readonly evmExitWeiPerDay: bigint
  /** Seconds for which a validator's word holds them back. */
  readonly freezeSec: number
  /** Wei of OPEN that stand behind the checkpoints of one submitter. */
  readonly bondWei: bigint
  /** Seconds without a checkpoint after which one without a certificate is taken. */
  readonly livenessTimeoutSec: number
  /** Seconds without a new mature checkpoint after which the rollup is closed: longer than the window and the timeout above together. */
  readonly exitTimeoutSec: number
  /** Seconds within which a deposit is executed. */
  readonly depositDueSec: number
}

export type DeployOptions = {
  /** Gets the whole supply of OPEN. */
  readonly supplyHolder: Address
  readonly checkpoints: CheckpointOptions
  readonly registry: RegistryOptions
}

/** Addresses, and the L1 block of the first contract: none of them has an older log. */
export type Deployment = {
  readonly openToken: Hex
  readonly portal: Hex
  readonly inbox: Hex
  readonly systemConfig: Hex
  readonly checkpointManager: Hex
  readonly validatorRegistry: Hex
  readonly bridge: Hex
  readonly fraudVerifier: Hex
  readonly firstL1Block: bigint
}

/** A transaction of the deployment was included and failed. */
export class DeployError extends Error {
  override readonly name = 'DeployError'
  readonly retryable = false
}

type Deployer = Client<Transport, Chain, Account>

/** Gas of calls, several times over: it cannot be estimated while the contract is on its way. */
const APPOINT_GAS = 200_000n
const OPEN_SET_GAS = 500_000n
const OPEN_SET_GAS_PER_VALIDATOR = 60_000n
const APPOINT_GAS_PER_VALIDATOR = 300_000n

/** Validators that one transaction registers: below the gas that one may use (EIP-7825). */
const APPOINTED_AT_ONCE = 40

/** Bytes of a validator in a set. */
const ENTRY_BYTES = 152

/**
 * Deploys token, portal, inbox, configuration, checkpoint manager, registry, bridge and court, and opens the registry's first set. The client's account
 * pays, and owns: it may publish the genesis file. Everything is sent at once, since the addresses follow from the account's nonces: one L1
 * block is enough. The account must send nothing else meanwhile. Throws viem's errors, and `DeployError`.
 */
export async function deployContracts(client: Deployer, options: DeployOptions): Promise<Deployment> {
  const owner = client.account.address
  const nonce = await getTransactionCount(client, { address: owner, blockTag: 'pending' })
  const at = (place: number) => lower(getContractAddress({ from: owner, nonce: BigInt(nonce + place) }))
  const { checkpoints, registry } = options
  const { fraudVerifier: judge } = checkpoints
  const deployed: Contracts = {
    openToken: at(0),
    portal: at(1),
    inbox: at(2),
    systemConfig: at(3),
    checkpointManager: at(4),
    validatorRegistry: at(5),
    bridge: at(6),
  }
  const courtAt = (place: number) => at(Object.keys(deployed).length + place)
  const court =
    typeof judge === 'string'
      ? []
      : courtCreations({ ...registry, epochSec: judge.epochSec, checkpointManager: deployed.checkpointManager }, courtAt)
  const fraudVerifier = typeof judge === 'string' ? lower(judge) : courtAt(court.length - 1)
  const requests = [...creations(owner, { ...deployed, fraudVerifier }, options), ...court, ...calls(deployed, options)]
  const hashes: Hex[] = []
  for (const [i, request] of requests.entries()) hashes.push(await sendTransaction(client, { ...request, nonce: nonce + i }))
  const receipts = await Promise.all(hashes.map((hash) => included(client, hash)))
  for (const [i, address] of [...Object.values(deployed), ...court.map((_, place) => courtAt(place))].entries()) {
    if (receipts[i]?.contractAddress?.toLowerCase() !== address) throw new DeployError(`there is no contract at ${address}`)
  }
  return { ...deployed, fraudVerifier, firstL1Block: receipts[0]?.blockNumber ?? 0n }
}

type Addresses = Omit<Deployment, 'firstL1Block'>
type Contracts = Omit<Addresses, 'fraudVerifier'>

/** The creations, in the order of the addresses. */
function creations(owner: Address, addresses: Addresses, { supplyHolder, checkpoints, registry }: DeployOptions): { data: Hex }[] {
  const { openToken, portal, inbox, systemConfig, checkpointManager, validatorRegistry, bridge, fraudVerifier } = addresses
  const managerConfig = {
    inbox,
    portal,
    registry: validatorRegistry,
    fraudVerifier,
    systemConfig,
    livenessTimeoutSec: BigInt(checkpoints.livenessTimeoutSec),
    exitTimeoutSec: BigInt(checkpoints.exitTimeoutSec),
  }
  const { configOwner, evmWindowSec, evmExitWeiPerDay, freezeSec, bondWei, depositDueSec } = checkpoints
  const config = {
    owner: configOwner,
    challengeWindowSec: BigInt(checkpoints.challengeWindowSec),
    delaySec: BigInt(checkpoints.changeDelaySec),
    // In the order of the contract's `Parameter`.
    values: [BigInt(evmWindowSec), evmExitWeiPerDay, BigInt(freezeSec), bondWei, BigInt(depositDueSec)],
  } as const
  const registryConfig = {
    token: openToken,
    portal,
    checkpointManager,
    chainId: BigInt(registry.chainId),
    epochBlocks: BigInt(registry.epochBlocks),
    stakeMin: registry.stakeMinWei,
    evidenceAgeSec: BigInt(registry.evidenceAgeSec),
    unbondingSec: BigInt(registry.unbondingSec),
    challengeWindowSec: BigInt(checkpoints.challengeWindowSec),
  }
  return [
    { data: encodeDeployData({ abi: openTokenAbi, bytecode: openTokenBytecode, args: [supplyHolder] }) },
    { data: encodeDeployData({ abi: portalAbi, bytecode: portalBytecode, args: [openToken, validatorRegistry, bridge] }) },
    { data: encodeDeployData({ abi: batchInboxAbi, bytecode: batchInboxBytecode, args: [owner, validatorRegistry] }) },
    { data: encodeDeployData({ abi: systemConfigAbi, bytecode: systemConfigBytecode, args: [config] }) },
    { data: encodeDeployData({ abi: checkpointManagerAbi, bytecode: checkpointManagerBytecode, args: [managerConfig] }) },
    { data: encodeDeployData({ abi: validatorRegistryAbi, bytecode: validatorRegistryBytecode, args: [owner, registryConfig] }) },
    { data: encodeDeployData({ abi: bridgeAbi, bytecode: bridgeBytecode, args: [portal, checkpointManager] }) },
  ]
}

/** What is called once they stand. */
function calls({ validatorRegistry }: Contracts, { registry }: DeployOptions): { to: Hex; data: Hex; gas: bigint }[] {
  const abi = validatorRegistryAbi
  const open = encodeFunctionData({ abi, functionName: 'openFirstSet', args: [registry.firstSet] })
  const count = (registry.firstSet.length - 2) / 2 / ENTRY_BYTES
  const firsts = Array.from({ length: Math.ceil(count / APPOINTED_AT_ONCE) }, (_, i) => i * APPOINTED_AT_ONCE)
  return [
    { to: validatorRegistry, data: open, gas: OPEN_SET_GAS + BigInt(count) * OPEN_SET_GAS_PER_VALIDATOR },
    ...firsts.map((first) => {
      const size = Math.min(APPOINTED_AT_ONCE, count - first)
      const data = encodeFunctionData({ abi, functionName: 'appoint', args: [BigInt(first), BigInt(size)] })
      return { to: validatorRegistry, data, gas: BigInt(size) * APPOINT_GAS_PER_VALIDATOR + APPOINT_GAS }
    }),
  ]
}

async function included(client: Deployer, hash: Hex): Promise<TransactionReceipt> {
  const receipt = await waitForTransactionReceipt(client, { hash, timeout: 180_000 })
  if (receipt.status !== 'success') throw new DeployError(`transaction ${hash} failed`)
  return receipt
}

function lower(address: Address): Hex {
  return address.toLowerCase() as Hex
}
