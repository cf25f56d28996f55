/**
 * A devnet's first start: the contracts on its L1, and the genesis file that names them, published there. Loaded where there is none yet.
 */
import { writeFileSync } from 'node:fs'
import { bytesToHex, createWalletClient, defineChain, type Hex, http, publicActions, stringToBytes, stringToHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { encodeSet } from '../consensus/validatorSet.ts'
import { type Deployment, deployContracts } from '../contracts/deploy.ts'
import { createGenesisBlock } from '../execution/genesisBlock.ts'
import { keccak256 } from '../execution/keccak.ts'
import { DEVNET_EVM_WEI, DEVNET_KEYS, DEVNET_LEDGER_WEI, DEVNET_PARAMS, DEVNET_SUBMITTER_KEY } from '../genesis/devnet.ts'
import { encodeGenesis, type Genesis } from '../genesis/genesis.ts'
import { OPEN_WEI } from '../genesis/params.ts'
import { batchInboxAbi, checkpointManagerAbi, openTokenAbi } from '../settlement/abi.ts'
import { validatorSetOf } from './epochs.ts'
import { addressOfKey, type ValidatorKey } from './keys.ts'
import type { Log } from './log.ts'

/** How checkpoints live on a devnet: times short enough to be waited for. */
const CHECKPOINTS = {
  challengeWindowSec: 30,
  evmWindowSec: 60,
  // Beside what goes through the ledger, as much in a day as an account begins with on the EVM's side.
  evmExitWeiPerDay: DEVNET_EVM_WEI,
  freezeSec: 60,
  changeDelaySec: 300,
  bondWei: 1_000n * OPEN_WEI,
  livenessTimeoutSec: 60,
  exitTimeoutSec: 120,
  depositDueSec: 60,
}

/** Seconds for which evidence counts on a devnet, and for which a stake stays after its validator left. */
const EVIDENCE_AGE_SEC = 60
const UNBONDING_SEC = 120

/** It cannot be estimated while the allowance is on its way. */
const BOND_GAS = 200_000n

type DevnetGenesisOptions = {
  readonly l1Url: string
  readonly keys: readonly ValidatorKey[]
  /** Blocks of an epoch; 0: the validators stay. */
  readonly epochBlocks: number
  readonly log: Log
}

/** Deploys the contracts, makes a genesis file of what they are, publishes it, and writes it to `file` once L1 has included all of that. */
export async function createDevnetGenesis(file: string, { l1Url, keys, epochBlocks, log }: DevnetGenesisOptions): Promise<Genesis> {
  const deployer = privateKeyToAccount(firstKey())
  const probe = createWalletClient({ transport: http(l1Url) }).extend(publicActions)
  const chain = defineChain({
    id: await probe.getChainId(),
    name: 'L1',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [l1Url] } },
  })
  const client = createWalletClient({ account: deployer, chain, transport: http(l1Url), pollingInterval: 200 }).extend(publicActions)
  const validators = keys.map(validatorOf)
  log.info('deploying the contracts', { l1: l1Url })
  const deployment = await deployContracts(client, {
    supplyHolder: deployer.address,
    checkpoints: { ...CHECKPOINTS, configOwner: deployer.address, fraudVerifier: { epochSec: DEVNET_PARAMS.epochSec } },
    registry: {
      chainId: DEVNET_PARAMS.chainId,
      epochBlocks,
      firstSet: bytesToHex(encodeSet(validatorSetOf({ validators }))),
      stakeMinWei: OPEN_WEI,
      evidenceAgeSec: EVIDENCE_AGE_SEC,
      unbondingSec: UNBONDING_SEC,
    },
  })
  const accounts = DEVNET_KEYS.map((privateKey) => ({
    address: addressOfKey(privateKey),
    evmWei: DEVNET_EVM_WEI,
    ledgerWei: DEVNET_LEDGER_WEI,
  }))
  // What genesis gives out on L2 stands in the portal on L1.
  const backing = accounts.reduce((sum, { evmWei, ledgerWei }) => sum + evmWei + ledgerWei, 0n)
  const { openToken, portal, inbox, checkpointManager } = deployment
  const token = { address: openToken, abi: openTokenAbi } as const
  const bond = { address: checkpointManager, abi: checkpointManagerAbi, functionName: 'depositBond', gas: BOND_GAS } as const
  const sent = [
    await client.writeContract({ ...token, functionName: 'transfer', args: [portal, backing] }),
    await client.writeContract({ ...token, functionName: 'approve', args: [checkpointManager, CHECKPOINTS.bondWei] }),
    await client.writeContract({ ...bond, args: [addressOfKey(DEVNET_SUBMITTER_KEY)] }),
  ]
  const genesis = await makeGenesis({
    client,
    chainId: chain.id,
    deployment,
    params: { ...DEVNET_PARAMS, epochBlocks },
    validators,
    accounts,
  })
  const text = encodeGenesis(genesis)
  const args = [stringToHex(text), createGenesisBlock(genesis).roots.ledgerRoot] as const
  sent.push(await client.writeContract({ address: inbox, abi: batchInboxAbi, functionName: 'publishGenesis', args }))
  await Promise.all(sent.map((hash) => included(client, hash)))
  writeFileSync(file, text)
  return genesis
}

type L1Client = {
  getBlock(): Promise<{ number: bigint; hash: Hex; timestamp: bigint; baseFeePerGas: bigint | null; mixHash: Hex }>
  getBlobBaseFee(): Promise<bigint>
  waitForTransactionReceipt(parameters: { hash: Hex }): Promise<{ status: 'success' | 'reverted' }>
}

type GenesisParts = {
  readonly client: L1Client
  readonly chainId: number
  readonly deployment: Deployment
  readonly params: Genesis['params']
  readonly validators: Genesis['validators']
  readonly accounts: Genesis['accounts']
}

async function makeGenesis({ client, chainId, deployment, params, validators, accounts }: GenesisParts): Promise<Genesis> {
  const origin = await client.getBlock()
  const { openToken, portal, inbox, systemConfig, checkpointManager, validatorRegistry, bridge, fraudVerifier } = deployment
  return {
    params,
    timestampMs: Math.max(Date.now(), Number(origin.timestamp) * 1000),
    l1: {
      chainId,
      openToken,
      portal,
      inbox,
      systemConfig,
      checkpointManager,
      validatorRegistry,
      bridge,
      fraudVerifier,
      origin: {
        number: origin.number,
        hash: origin.hash,
        timestampSec: origin.timestamp,
        baseFeeWei: origin.baseFeePerGas ?? 0n,
        blobBaseFeeWei: await client.getBlobBaseFee(),
        prevRandao: origin.mixHash,
      },
    },
    validators,
    accounts,
  }
}

function validatorOf({ publicKey }: ValidatorKey): Genesis['validators'][number] {
  const address = bytesToHex(keccak256(stringToBytes(publicKey)).subarray(12))
  return { address, blsPublicKey: publicKey, weight: 1, feeRecipient: address }
}

async function included(client: L1Client, hash: Hex): Promise<void> {
  const { status } = await client.waitForTransactionReceipt({ hash })
  if (status !== 'success') throw new Error(`L1 transaction ${hash} failed`)
}

function firstKey(): Hex {
  const [key] = DEVNET_KEYS
  if (!key) throw new Error('the devnet has no keys')
  return key
}
