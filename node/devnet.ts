/**
 * The devnet: a local Ethereum, the contracts on it, a genesis file published there, and a validator with everything on. With a data folder
 * of its own it goes on where it was, on the same L1.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesToHex, createWalletClient, defineChain, type Hex, http, publicActions, stringToBytes, stringToHex } from 'viem'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { type Deployment, deployContracts } from '../contracts/deploy.ts'
import { keccak256 } from '../execution/keccak.ts'
import {
  DEVNET_EVM_WEI,
  DEVNET_KEYS,
  DEVNET_LEDGER_WEI,
  DEVNET_PARAMS,
  DEVNET_POSTER_KEY,
  DEVNET_SUBMITTER_KEY,
} from '../genesis/devnet.ts'
import { decodeGenesis, encodeGenesis, type Genesis } from '../genesis/genesis.ts'
import { batchInboxAbi, openTokenAbi } from '../settlement/abi.ts'
import { type Anvil, startAnvil } from './anvil.ts'
import { type ConfigOf, postingOptions, rpcOptions } from './config.ts'
import { loadValidatorKey, type ValidatorKey } from './keys.ts'
import type { Log } from './log.ts'
import { type Node, startNode } from './node.ts'

/** Seconds from a checkpoint's submission until it is mature, on a devnet. */
const CHALLENGE_WINDOW_SEC = 30
/** L1 slots in an epoch: finality after a minute and a bit instead of a quarter of an hour. */
const L1_SLOTS_IN_AN_EPOCH = 16

export type Devnet = {
  readonly node: Node
  readonly l1Url: string
  readonly genesis: Genesis
  readonly dataDir: string
  readonly accounts: readonly { readonly address: Hex; readonly privateKey: Hex }[]
  /** Ends the node and what was started for it. */
  close(): Promise<void>
}

export type DevnetOptions = {
  readonly config: ConfigOf<'devnet'>
  readonly clientVersion: string
  readonly log: Log
  onFatal(error: unknown): void
}

/** Starts a devnet. Throws what its parts throw; whatever was started by then is stopped. */
export async function startDevnet({ config, clientVersion, log, onFatal }: DevnetOptions): Promise<Devnet> {
  const posting = postingOptions(config)
  const kept = config['data-dir']
  const dataDir = kept ?? mkdtempSync(join(tmpdir(), 'tributary-devnet-'))
  mkdirSync(dataDir, { recursive: true })
  const closers: (() => Promise<void> | void)[] = []
  if (kept === undefined) closers.push(() => rmSync(dataDir, { recursive: true, force: true }))
  const close = async () => {
    for (const closer of closers.reverse()) await closer()
    closers.length = 0
  }
  try {
    const l1Url = await openL1(config, dataDir, closers)
    const key = loadValidatorKey(dataDir, { create: true })
    const genesis = await loadOrCreateGenesis(join(dataDir, 'genesis.json'), { l1Url, key, log })
    const node = await startNode({
      dataDir,
      genesis,
      key,
      l1: { url: l1Url, beaconUrls: [l1Url], pollMs: 250, publicUrl: l1Url },
      rpc: rpcOptions(config),
      p2p: { host: config['p2p-host'], port: config['p2p-port'], bootstrap: [] },
      poster: posting && signerOf(DEVNET_POSTER_KEY),
      submitter: posting && signerOf(DEVNET_SUBMITTER_KEY),
      posting,
      clientVersion,
      log,
      onFatal,
    })
    closers.push(() => node.close())
    const accounts = DEVNET_KEYS.map((privateKey) => ({ address: addressOf(privateKeyToAccount(privateKey)), privateKey }))
    return { node, l1Url, genesis, dataDir, accounts, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** An account of ours as a transaction manager wants it. */
export function signerOf(privateKey: Hex): { readonly address: Hex; sign(parameters: { readonly hash: Hex }): Promise<Hex> } {
  const account = privateKeyToAccount(privateKey)
  return { address: addressOf(account), sign: ({ hash }) => account.sign({ hash }) }
}

/** The L1 that is given, the one that an earlier run left running, or a new anvil on the state that is kept in the folder. */
async function openL1(config: ConfigOf<'devnet'>, dataDir: string, closers: (() => Promise<void> | void)[]): Promise<string> {
  if (config.l1 !== undefined) return config.l1
  const file = join(dataDir, 'l1.json')
  const left = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { url: string; pid: number }) : undefined
  if (left && (await isAlive(left.url))) {
    // A run that was killed could not stop it. This one can.
    closers.push(() => endProcess(left.pid))
    return left.url
  }
  const port = config['l1-port']
  const anvil: Anvil = await startAnvil({
    blockTimeSec: config['l1-block-sec'],
    slotsInAnEpoch: L1_SLOTS_IN_AN_EPOCH,
    stateFile: join(dataDir, 'l1-state.json'),
    ...(port === 0 ? {} : { port }),
  })
  closers.push(async () => {
    await anvil.stop()
    rmSync(file, { force: true })
  })
  writeFileSync(file, JSON.stringify({ url: anvil.url, pid: anvil.pid }))
  return anvil.url
}

async function isAlive(url: string): Promise<boolean> {
  try {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'web3_clientVersion', params: [] })
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(2_000),
    })
    return ((await answer.json()) as { result?: string }).result?.startsWith('anvil/') === true
  } catch {
    return false // nobody listens there, or nobody we know: any failure means that a new one is needed
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // gone already
  }
}

/** The genesis file of the folder; if there is none, the contracts are deployed and one is made and published. */
async function loadOrCreateGenesis(file: string, { l1Url, key, log }: { l1Url: string; key: ValidatorKey; log: Log }): Promise<Genesis> {
  if (existsSync(file)) return decodeGenesis(readFileSync(file, 'utf8'))
  const deployer = privateKeyToAccount(firstKey())
  const probe = createWalletClient({ transport: http(l1Url) }).extend(publicActions)
  const chain = defineChain({
    id: await probe.getChainId(),
    name: 'L1',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [l1Url] } },
  })
  const client = createWalletClient({ account: deployer, chain, transport: http(l1Url), pollingInterval: 200 }).extend(publicActions)
  log.info('deploying the contracts', { l1: l1Url })
  const deployment = await deployContracts(client, {
    supplyHolder: deployer.address,
    posters: [signerOf(DEVNET_POSTER_KEY).address],
    submitters: [signerOf(DEVNET_SUBMITTER_KEY).address],
    challengeWindowSec: CHALLENGE_WINDOW_SEC,
  })
  const accounts = DEVNET_KEYS.map((privateKey) => ({
    address: addressOf(privateKeyToAccount(privateKey)),
    evmWei: DEVNET_EVM_WEI,
    ledgerWei: DEVNET_LEDGER_WEI,
  }))
  // What genesis gives out on L2 stands in the portal on L1.
  const backing = accounts.reduce((sum, { evmWei, ledgerWei }) => sum + evmWei + ledgerWei, 0n)
  const { openToken, portal, inbox } = deployment
  const sent = [await client.writeContract({ address: openToken, abi: openTokenAbi, functionName: 'transfer', args: [portal, backing] })]
  const genesis = await makeGenesis({ client, chainId: chain.id, deployment, key, accounts })
  const text = encodeGenesis(genesis)
  sent.push(await client.writeContract({ address: inbox, abi: batchInboxAbi, functionName: 'publishGenesis', args: [stringToHex(text)] }))
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
  readonly key: ValidatorKey
  readonly accounts: Genesis['accounts']
}

async function makeGenesis({ client, chainId, deployment, key, accounts }: GenesisParts): Promise<Genesis> {
  const origin = await client.getBlock()
  const { openToken, portal, inbox, checkpointManager } = deployment
  const address = bytesToHex(keccak256(stringToBytes(key.publicKey)).subarray(12))
  return {
    params: DEVNET_PARAMS,
    timestampMs: Math.max(Date.now(), Number(origin.timestamp) * 1000),
    l1: {
      chainId,
      openToken,
      portal,
      inbox,
      checkpointManager,
      origin: {
        number: origin.number,
        hash: origin.hash,
        timestampSec: origin.timestamp,
        baseFeeWei: origin.baseFeePerGas ?? 0n,
        blobBaseFeeWei: await client.getBlobBaseFee(),
        prevRandao: origin.mixHash,
      },
    },
    validators: [{ address, blsPublicKey: key.publicKey, weight: 1, feeRecipient: address }],
    accounts,
  }
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

function addressOf(account: PrivateKeyAccount): Hex {
  return account.address.toLowerCase() as Hex
}
