/** An L1 with the contracts on it and an account for every part to play. */
import {
  type Abi,
  BaseError,
  ContractFunctionRevertedError,
  createClient,
  decodeErrorResult,
  type Hex,
  hexToBytes,
  http,
  keccak256,
  parseAbi,
  publicActions,
  RpcRequestError,
  testActions,
  toHex,
  walletActions,
} from 'viem'
import type { PrivateKeyAccount } from 'viem/accounts'
import { foundry } from 'viem/chains'
import { aggregateSignatures, uncompressedSignature } from '../../consensus/bls.ts'
import { buildCommit } from '../../consensus/certificate.ts'
import type { Statement } from '../../consensus/digest.ts'
import type { Vote } from '../../consensus/message.ts'
import { encodeSet } from '../../consensus/validatorSet.ts'
import { callerBytecode } from '../../contracts/artifacts.ts'
import { type CheckpointOptions, type Deployment, deployContracts, type RegistryOptions } from '../../contracts/deploy.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import {
  batchInboxAbi,
  bridgeAbi,
  checkpointManagerAbi,
  openTokenAbi,
  portalAbi,
  systemConfigAbi,
  validatorRegistryAbi,
} from '../../settlement/abi.ts'
import { ANY_COUNT, type BatchHeader, encodePostBatch, type Posting } from '../../settlement/inbox.ts'
import { toL1Commit } from '../../settlement/registry.ts'
import { CHAIN_ID, setOf, signatureOf } from '../consensus/fixtures.ts'
import { ANVIL_ACCOUNTS, type Anvil, type AnvilOptions, startAnvil } from './anvil.ts'

/** Seconds that checkpoints of a stage take to mature. */
export const CHALLENGE_WINDOW_SEC = 60

/** How checkpoints of a stage live, unless it is told otherwise; the owner stands for the fraud verifier. */
export const STAGE_CHECKPOINTS: Omit<CheckpointOptions, 'fraudVerifier' | 'configOwner'> = {
  challengeWindowSec: CHALLENGE_WINDOW_SEC,
  evmWindowSec: 150,
  evmExitWeiPerDay: 86_400n * 1_000n,
  freezeSec: 60,
  changeDelaySec: 400,
  bondWei: 100n * OPEN_WEI,
  livenessTimeoutSec: 200,
  exitTimeoutSec: 1_000,
  depositDueSec: 500,
}

/** Four validators of test/consensus/fixtures.ts whose set stays, unless a stage is told otherwise. */
export const STAGE_REGISTRY: RegistryOptions = {
  chainId: CHAIN_ID,
  epochBlocks: 0,
  firstSet: toHex(encodeSet(setOf([1, 1, 1, 1]))),
  stakeMinWei: OPEN_WEI,
  evidenceAgeSec: 60,
  unbondingSec: 200,
}

/** What stands for a genesis file where nobody reads it. */
export const STAGE_GENESIS: Hex = '0x67656e65736973'

/** What stands for the ledger root of its block. */
export const STAGE_LEDGER_ROOT: Hex = `0x${'1e'.repeat(32)}`

/** A viem client of one account, for reading, writing and anvil's own methods. */
export type StageClient = ReturnType<typeof stageClient>

export type L1Stage = {
  readonly url: string
  readonly deployment: Deployment
  /** Owner of the contracts and fraud verifier, poster, submitter (who has no bond yet), and the holder of all OPEN. */
  readonly owner: StageClient
  readonly poster: StageClient
  readonly submitter: StageClient
  readonly user: StageClient
  /** Publishes `STAGE_GENESIS`. */
  publishGenesis(): Promise<void>
  /** A header that the inbox takes next: one block, made on the parent of the L1 head. */
  nextHeader(changes?: Partial<BatchHeader>): Promise<BatchHeader>
  /** What goes with a header that `nextHeader` made: the certificate of three of the four validators. */
  postingOf(header: BatchHeader, changes?: Partial<Posting>): Promise<Posting>
  /** Posts the payload as a batch of one block in call data. */
  postBatch(payload: Hex): Promise<BatchHeader>
  stop(): Promise<void>
}

/** Starts an L1 and deploys the contracts. */
export async function startL1Stage(options?: AnvilOptions): Promise<L1Stage> {
  const anvil = await startAnvil(options)
  try {
    return await deployStage(anvil)
  } catch (error) {
    await anvil.stop()
    throw error
  }
}

/** A viem client of the account at an anvil. */
export function stageClient(url: string, account: PrivateKeyAccount) {
  // A limit for a machine that is busy: anvil's first blob transaction alone takes it seconds.
  const transport = http(url, { retryCount: 0, timeout: 60_000 })
  const client = createClient({ account, chain: foundry, transport, pollingInterval: 20, cacheTime: 0 })
  return client
    .extend(publicActions)
    .extend(walletActions)
    .extend(testActions({ mode: 'anvil' }))
}

/** Deploys the contracts anew; several deployments on one anvil do not meet. */
export async function deployStage(
  anvil: Anvil,
  registry: Partial<RegistryOptions> = {},
  checkpoints: Partial<CheckpointOptions> = {},
): Promise<L1Stage> {
  const [owner, poster, submitter, user] = ANVIL_ACCOUNTS.map((account) => stageClient(anvil.url, account))
  if (!owner || !poster || !submitter || !user) throw new Error('anvil has too few accounts')
  const deployment = await deployContracts(owner, {
    supplyHolder: user.account.address,
    checkpoints: { ...STAGE_CHECKPOINTS, configOwner: owner.account.address, fraudVerifier: owner.account.address, ...checkpoints },
    registry: { ...STAGE_REGISTRY, ...registry },
  })
  const { inbox } = deployment
  const postingOf = async ({ lastBlock, lastBlockHash }: BatchHeader, changes: Partial<Posting> = {}): Promise<Posting> => {
    const [, next] = await poster.readContract({ address: inbox, abi: batchInboxAbi, functionName: 'head' })
    return { certificate: stageCertificate(lastBlock, lastBlockHash), next, count: ANY_COUNT, ...changes }
  }
  const nextHeader = async (changes: Partial<BatchHeader> = {}): Promise<BatchHeader> => {
    const [prevAccumulator, , lastBlock] = await poster.readContract({ address: inbox, abi: batchInboxAbi, functionName: 'head' })
    // Not the head itself, whose hash a call on top of it can not ask for before there is a block after it.
    const origin = await poster.getBlock({ blockNumber: (await poster.getBlockNumber()) - 1n })
    const firstBlock = lastBlock + 1n
    const l1Origin = { l1OriginNumber: origin.number, l1OriginHash: origin.hash }
    const blocks = { firstBlock, lastBlock: firstBlock, lastBlockHash: keccak256(`0x${firstBlock.toString(16).padStart(64, '0')}`) }
    return { prevAccumulator, ...blocks, ...l1Origin, payloadBytes: 2, ...changes }
  }
  return {
    url: anvil.url,
    deployment,
    owner,
    poster,
    submitter,
    user,
    nextHeader,
    postingOf,
    async publishGenesis() {
      await mined(
        owner,
        await owner.writeContract({
          address: inbox,
          abi: batchInboxAbi,
          functionName: 'publishGenesis',
          args: [STAGE_GENESIS, STAGE_LEDGER_ROOT],
        }),
      )
    },
    async postBatch(payload) {
      const header = await nextHeader({ payloadBytes: (payload.length - 2) / 2 })
      const data = encodePostBatch(header, await postingOf(header, { payload: hexToBytes(payload) }))
      await mined(poster, await poster.sendTransaction({ to: inbox, data }))
      return header
    },
    stop: () => anvil.stop(),
  }
}

/** A certificate of the block, of epoch 0, by validators 0 to 2 of test/consensus/fixtures.ts, who are a quorum of the stage's four. */
export function stageCertificate(height: bigint, hash: Hex): Posting['certificate'] {
  const set = setOf([1, 1, 1, 1])
  const statement: Statement = { kind: 'precommit', height: Number(height), round: 0, validRound: -1, blockHash: hash }
  const votes = [0, 1, 2].map(
    (validator): Vote => ({ ...statement, kind: 'precommit', validator, signature: signatureOf(set, validator, statement) }),
  )
  const commit = toL1Commit({ ...buildCommit(set, votes, aggregateSignatures), blockHash: hash }, uncompressedSignature)
  if (!commit) throw new Error('a signature is no point')
  return commit
}

/** The receipt of a transaction that must have succeeded. */
export async function mined(client: StageClient, hash: Hex) {
  const receipt = await client.waitForTransactionReceipt({ hash })
  if (receipt.status !== 'success') throw new Error(`transaction ${hash} failed`)
  return receipt
}

/** contracts/test/Caller.sol: a contract that makes the calls that it is told to. */
export const callerAbi = parseAbi(['function call(address to, bytes data) payable returns (bytes)', 'error CallFailed(bytes answer)'])

/** Deploys a `Caller`. */
export async function deployCaller(client: StageClient): Promise<Hex> {
  const { contractAddress } = await mined(client, await client.sendTransaction({ data: callerBytecode }))
  if (!contractAddress) throw new Error('no contract was made')
  return contractAddress.toLowerCase() as Hex
}

const ALL_ERRORS = [
  ...openTokenAbi,
  ...batchInboxAbi,
  ...portalAbi,
  ...checkpointManagerAbi,
  ...validatorRegistryAbi,
  ...bridgeAbi,
  ...systemConfigAbi,
].filter((item) => item.type === 'error')

/** The custom error, with its arguments (hex in lowercase), that the call is refused with; undefined if it is not refused. */
export async function refusal(call: Promise<unknown>): Promise<readonly unknown[] | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    if (!(error instanceof BaseError)) throw error
    const reverted = error.walk((cause) => cause instanceof ContractFunctionRevertedError)
    if (reverted instanceof ContractFunctionRevertedError && reverted.data) return facts(reverted.data)
    const answer = error.walk((cause) => cause instanceof RpcRequestError)
    if (!(answer instanceof RpcRequestError) || typeof answer.data !== 'string') throw error
    return facts(decodeErrorResult({ abi: ALL_ERRORS as Abi, data: answer.data as Hex }))
  }
}

function facts({ errorName, args = [] }: { errorName: string; args?: readonly unknown[] | undefined }): readonly unknown[] {
  return [errorName, ...args.map((arg) => (typeof arg === 'string' ? arg.toLowerCase() : arg))]
}

/** The client's address, in lowercase. */
export function addressOf(client: StageClient): Hex {
  return client.account.address.toLowerCase() as Hex
}
