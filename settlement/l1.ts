/**
 * L1, asked and told: with settlement/l1Http.ts below it the only file of this room that does I/O. JSON-RPC, most of it through viem; blobs through
 * the beacon API.
 * What a rollup block depends on is pinned to the hash of an L1 block, and every failure is an `L1Error` that says what helps.
 */
import {
  BaseError,
  bytesToHex,
  ContractFunctionRevertedError,
  createPublicClient,
  custom,
  decodeErrorResult,
  formatLog,
  getAbiItem,
  type Hex,
  HttpRequestError,
  hexToBytes,
  isHex,
  numberToHex,
  type PublicClient,
  parseEventLogs,
  ResponseBodyTooLargeError,
  type RpcLog,
  RpcRequestError,
  type RpcTransactionRequest,
  TimeoutError,
  TransactionNotFoundError,
  TransactionReceiptNotFoundError,
  toEventSelector,
} from 'viem'
import { BLOOM_BYTES, mayHave } from '../execution/bloom.ts'
import { keccak256 } from '../execution/keccak.ts'
import {
  batchInboxAbi,
  checkpointManagerAbi,
  fraudVerifierAbi,
  groupExecutionAbi,
  portalAbi,
  systemConfigAbi,
  validatorRegistryAbi,
} from './abi.ts'
import { BLOB_BYTES, decodeBlobs } from './blob.ts'
import { type CheckpointRules, L1_PARAMETER } from './checkpoint.ts'
import { anyPayloadOf, blobDataHash, callDataHash, payloadOf } from './inbox.ts'
import { type Kzg, versionedHash } from './kzg.ts'
import { L1Error, type L1ErrorKind, type L1Refusal } from './l1Error.ts'
import { encodeL1Header } from './l1Header.ts'
import { createL1Http, type L1Question, retryAfterMs } from './l1Http.ts'
import {
  type L1Batch,
  type L1Checkpoint,
  type L1Deposit,
  type L1Log,
  type L1Ref,
  parseBatches,
  parseCheckpoints,
  parseDeposits,
} from './l1Logs.ts'
import { type Notes, parseNotes } from './notes.ts'
import type { GasQuestion, L1TxPort, SendVerdict } from './txManager.ts'

/** Where the contracts are; a genesis file's `l1` has them. */
export type L1Addresses = { readonly portal: Hex; readonly inbox: Hex; readonly checkpointManager: Hex; readonly validatorRegistry: Hex }

/** How to reach an L1 node. */
export type L1Endpoint = {
  readonly rpcUrl: string
  /** One request at most, in milliseconds. 30 s unless set. */
  readonly timeoutMs?: number
  /** Repetitions of a request that failed in a way that may pass, the first after `retryDelayMs`, each wait twice the one before. 4, from 250 ms. */
  readonly retries?: number
  readonly retryDelayMs?: number
  /** Blocks of one log query at most: nodes limit it. 2,000. */
  readonly logRangeBlocks?: number
}

export type L1Options = L1Endpoint & {
  readonly chainId: number
  readonly addresses: L1Addresses
  /** Beacon APIs that serve blobs, asked in this order. May be empty where every batch is in call data. */
  readonly beaconUrls: readonly string[]
  /** For blobs: what they are checked with. */
  readonly kzg: Kzg
  /** Asked before the beacon APIs. */
  readonly archive?: BlobArchive
}

/** An L1 block as far as the rollup sees it. Fees in wei per gas; the blob fee is 1 on an L1 without blobs. */
export type L1Block = L1Ref & {
  readonly parentHash: Hex
  readonly timestampSec: bigint
  readonly baseFeeWei: bigint
  readonly blobBaseFeeWei: bigint
  readonly prevRandao: Hex
}

/** What blocks hold for us, each list in log order. */
export type L1Events = { readonly deposits: L1Deposit[]; readonly batches: L1Batch[]; readonly checkpoints: L1Checkpoint[] }

/** What a batch carries. `badCall`: call data in another form than the one; `badBlobs`: blobs that are no payload. Both make the batch invalid. */
export type PostedPayload =
  | { readonly ok: true; readonly payload: Uint8Array }
  | { readonly ok: false; readonly code: 'badCall' | 'badBlobs'; readonly reason?: string }

/**
 * What a batch carries, as it stands on L1, whatever it is worth. Blobs are in the order of their hashes. `isPlain` false: the call data are in another form
 * than the one. `unread`: the call data are in a form that cannot be read here, though the contract read it.
 */
export type BatchData =
  | { readonly kind: 'callData'; readonly payload: Uint8Array; readonly isPlain: boolean }
  | { readonly kind: 'blobs'; readonly versionedHashes: readonly Hex[]; readonly blobs: readonly Uint8Array[] }
  | { readonly kind: 'unread' }

/** Blobs that are kept here, because L1 forgets them. What is in it was held against its hashes before it was kept. */
export type BlobArchive = {
  /** The blobs of these versioned hashes, in order; undefined unless all are here. */
  read(versionedHashes: readonly Hex[]): Promise<readonly Uint8Array[] | undefined>
  /** Keeps blobs that have these hashes. */
  keep(versionedHashes: readonly Hex[], blobs: readonly Uint8Array[]): Promise<void>
}

/** What was posted last. `accumulator` is zero until the genesis file is published. */
export type InboxState = { readonly accumulator: Hex; readonly batchCount: bigint; readonly lastBlock: bigint }

/** The genesis file as published, and where. */
export type PublishedGenesis = { readonly genesis: Uint8Array; readonly hash: Hex; readonly inbox: Hex; readonly l1Block: L1Ref }

/**
 * L1. Everything throws `L1Error`. Methods that take the last block of a range as `L1Ref` throw kind `reset` if that block is not, or not any more,
 * on the canonical chain; what they answer is of its chain. An empty range (`from` above `to`) has no answers.
 */
export type L1 = {
  /** Holds the endpoint against the configuration: chain id, and code at every address. Throws kind `stop`. */
  check(): Promise<void>
  blockByTag(tag: BlockTag): Promise<L1Block>
  /** Undefined above the head. */
  blockByNumber(number: bigint): Promise<L1Block | undefined>
  /** The block itself, if it is canonical; else throws kind `reset`. */
  canonicalBlock(ref: L1Ref): Promise<L1Block>
  /** What a range of blocks holds for us, asked for at once. */
  events(fromNumber: bigint, to: L1Ref): Promise<L1Events>
  /** In log order. */
  deposits(fromNumber: bigint, to: L1Ref): Promise<L1Deposit[]>
  /** In log order, without payloads. */
  batches(fromNumber: bigint, to: L1Ref): Promise<L1Batch[]>
  /** The payload of a batch, held against its data hash, or why it has none. Throws kind `retry` while no source has the blobs. */
  batchPayload(batch: L1Batch): Promise<PostedPayload>
  /** What a batch carries, held against its data hash. Throws kind `retry` while no source has the blobs. */
  batchData(batch: L1Batch): Promise<BatchData>
  /** Headers as they are hashed, from the block itself down to the one of number `last`. Throws kind `stop` for a header of a fork that is not known here. */
  headers(from: L1Ref, last: bigint): Promise<Uint8Array[]>
  checkpoints(fromNumber: bigint, to: L1Ref): Promise<L1Checkpoint[]>
  /** Hash of the checkpoint that stands under this id, at the head; undefined: none does, or it is so old that the manager has forgotten it. */
  standingHash(id: bigint): Promise<Hex | undefined>
  /** Checkpoints that are mature, at the head: those with lower ids. */
  matureCount(): Promise<bigint>
  /** Seconds in which a checkpoint can be shown to be wrong. */
  challengeWindowSec(): Promise<number>
  /** At the head. */
  inboxState(): Promise<InboxState>
  /** The newest epoch whose validators the registry knows, at the head. */
  newestEpoch(): Promise<number>
  /** Who signed checkpoints that fell to this challenger, and has not paid yet: the convictions' ids, of the latest 64. */
  openConvictions(challenger: Hex): Promise<number[]>
  /** What is noted for proofs of fraud, from this L1 block on. */
  notes(fromNumber: bigint): Promise<Notes>
  /** Ledger root of the genesis file's block, as it was published; zero until it is. */
  genesisLedgerRoot(): Promise<Hex>
  /** How the checkpoint manager keeps checkpoints. */
  checkpointRules(): Promise<CheckpointRules>
  /** Deposits queued so far, at the head. */
  depositCount(): Promise<bigint>
  /** For transaction managers. */
  readonly transactions: L1TxPort
}

const BATCH_POSTED = toEventSelector(getAbiItem({ abi: batchInboxAbi, name: 'BatchPosted' }))
const GENESIS_PUBLISHED = toEventSelector(getAbiItem({ abi: batchInboxAbi, name: 'GenesisPublished' }))
const RELEASED = toEventSelector(getAbiItem({ abi: portalAbi, name: 'Released' }))

/** Opens nothing: the first request does. */
export function createL1(options: L1Options): L1 {
  const rpc = createRpc(options)
  const beacon = createBeacon(options)
  const { portal, inbox, checkpointManager, validatorRegistry } = options.addresses
  /** Of the block that was read last: what it has is mostly asked for next. */
  let lastHeader: RpcHeader | undefined
  const keep = (header: RpcHeader) => {
    lastHeader = header
  }
  return {
    check: () => checkEndpoint(rpc, options),
    blockByTag: async (tag) => (await readBlock(rpc, tag, keep)) ?? fail('retry', `L1 has no ${tag} block yet`),
    blockByNumber: (number) => readBlock(rpc, number, keep),
    canonicalBlock: (ref) => canonicalBlock(rpc, ref),
    events: async (from, to) => {
      const addresses = [portal, inbox, checkpointManager]
      if (from === to.number && lastHeader?.hash === to.hash && isSilent(lastHeader, addresses))
        return { deposits: [], batches: [], checkpoints: [] }
      const logs = await readEvents(rpc, { addresses, from, to })
      const of = (address: Hex, topic?: Hex) =>
        logs.filter((log) => lower(log.address) === lower(address) && (!topic || log.topics[0] === topic))
      return {
        deposits: parseDeposits(of(portal).filter(isOfDeposit)),
        batches: parseBatches(of(inbox, BATCH_POSTED)),
        checkpoints: parseCheckpoints(of(checkpointManager)),
      }
    },
    deposits: async (from, to) => parseDeposits((await readLogs(rpc, { address: portal, from, to })).filter(isOfDeposit)),
    batches: async (from, to) => parseBatches(await readLogs(rpc, { address: inbox, topic: BATCH_POSTED, from, to })),
    batchPayload: async (batch) => toPayload(batch, await batchData(rpc, beacon, { batch, archive: options.archive })),
    batchData: (batch) => batchData(rpc, beacon, { batch, archive: options.archive }),
    headers: (from, last) => readHeaders(rpc, from, last),
    checkpoints: async (from, to) => parseCheckpoints(await readLogs(rpc, { address: checkpointManager, from, to })),
    standingHash: (id) => readStandingHash(rpc, checkpointManager, id),
    matureCount: () =>
      rpc.ask('mature checkpoints', (client) =>
        client.readContract({ address: checkpointManager, abi: checkpointManagerAbi, functionName: 'matureCount' }),
      ),
    challengeWindowSec: async () => {
      const call = { address: checkpointManager, abi: checkpointManagerAbi, functionName: 'CHALLENGE_WINDOW_SEC' } as const
      return Number(await rpc.ask('challenge window', (client) => client.readContract(call)))
    },
    inboxState: async () => {
      const [accumulator, batchCount, lastBlock] = await rpc.ask('inbox state', (client) =>
        client.readContract({ address: inbox, abi: batchInboxAbi, functionName: 'head' }),
      )
      return { accumulator, batchCount, lastBlock }
    },
    notes: (fromNumber) => readNotes(rpc, checkpointManager, fromNumber),
    openConvictions: (challenger) => readConvictions(rpc, validatorRegistry, challenger),
    newestEpoch: () =>
      rpc.ask('newest epoch', (client) =>
        client.readContract({ address: validatorRegistry, abi: validatorRegistryAbi, functionName: 'newestEpoch' }),
      ),
    genesisLedgerRoot: () =>
      rpc.ask('genesis ledger root', (client) =>
        client.readContract({ address: inbox, abi: batchInboxAbi, functionName: 'genesisLedgerRoot' }),
      ),
    checkpointRules: async () => {
      const manager = { address: checkpointManager, abi: checkpointManagerAbi } as const
      const address = await rpc.ask('configuration', (client) => client.readContract({ ...manager, functionName: 'CONFIG' }))
      const evmWindow = { address, abi: systemConfigAbi, functionName: 'valueOf', args: [L1_PARAMETER.evmWindowSec] } as const
      const windowSec = await rpc.ask('window of the EVM', (client) => client.readContract(evmWindow))
      const ringSize = await rpc.ask('checkpoint ring', (client) => client.readContract({ ...manager, functionName: 'RING_SIZE' }))
      return { windowSec, ringSize }
    },
    depositCount: () =>
      rpc.ask('deposit count', (client) => client.readContract({ address: portal, abi: portalAbi, functionName: 'depositCount' })),
    transactions: createTxPort(rpc),
  }
}

/**
 * The genesis file that an inbox has published: that of `inbox`, or, without it, the only one among all contracts of the L1. Looks from L1 block
 * `fromNumber` on. Throws kind `retry` if there is none, and `stop`, asking for the address, if there are several.
 */
export async function findGenesis(
  endpoint: L1Endpoint,
  where: { readonly inbox?: Hex; readonly fromNumber?: bigint } = {},
): Promise<PublishedGenesis> {
  const rpc = createRpc(endpoint)
  const to = (await readBlock(rpc, 'latest')) ?? fail('retry', 'L1 has no block yet')
  const logs = await readLogs(rpc, { address: where.inbox, topic: GENESIS_PUBLISHED, from: where.fromNumber ?? 0n, to })
  const found = parseEventLogs({ abi: batchInboxAbi, eventName: 'GenesisPublished', logs })
  const [first, second] = found
  if (!first) fail('retry', where.inbox ? `${where.inbox} has published no genesis file` : 'no genesis file is published on this L1')
  if (second)
    fail(
      'stop',
      `several genesis files are published on this L1; name the inbox: ${[...new Set(found.map((log) => log.address))].join(', ')}`,
    )
  const genesis = hexToBytes(first.args.genesis)
  if (bytesToHex(keccak256(genesis)) !== first.args.hash) fail('stop', `${first.address} is no inbox: its genesis file has another hash`)
  return { genesis, hash: first.args.hash, inbox: lower(first.address), l1Block: { number: first.blockNumber, hash: first.blockHash } }
}

// ---- JSON-RPC

type Rpc = {
  readonly logRangeBlocks: bigint
  /** Asks, again where that may help. Throws `L1Error`. */
  ask<T>(what: string, question: (client: PublicClient) => Promise<T>): Promise<T>
  /** Likewise, without viem in between: what is asked every second. */
  request(what: string, question: L1Question): Promise<unknown>
  /** Waits before the repetition of this number, from 0; false if there is none left. */
  again(attempt: number): Promise<boolean>
}

function createRpc({ rpcUrl, timeoutMs = 30_000, retries = 4, retryDelayMs = 250, logRangeBlocks = 2_000 }: L1Endpoint): Rpc {
  const http = createL1Http(rpcUrl, { timeoutMs })
  // viem would repeat requests for as long as a server's Retry-After says; here that has a bound.
  const client = createPublicClient({ transport: custom(http, { retryCount: 0 }), cacheTime: 0 })
  const pace = createPace()
  const again = async (attempt: number) => {
    if (attempt >= retries) return false
    await sleep(Math.max(retryDelayMs * 2 ** attempt, pace.leftMs()))
    return true
  }
  const ask = async <T>(what: string, question: (client: PublicClient) => Promise<T>): Promise<T> => {
    // Ends: `again` counts.
    for (let attempt = 0; ; attempt++) {
      // What one question was told holds for all: others are asked at the same time.
      if (pace.leftMs() > 0) await sleep(pace.leftMs())
      try {
        return await question(client)
      } catch (error) {
        if (error instanceof L1Error || !(error instanceof BaseError)) throw error
        pace.heard((find(error, HttpRequestError) ?? find(error, RpcRequestError))?.headers?.get('retry-after'))
        if (!mayPass(error)) throw failure(`L1 refuses: ${what}`, 'stop', error)
        if (!(await again(attempt))) throw failure(`L1 does not answer: ${what}`, 'retry', error)
      }
    }
  }
  return { logRangeBlocks: BigInt(logRangeBlocks), ask, request: (what, question) => ask(what, () => http.request(question)), again }
}

type Pace = { leftMs(): number; heard(retryAfter: string | null | undefined): void }

/** How long a server asked to be left alone, bounded. */
function createPace(): Pace {
  let fromMs = 0
  return {
    leftMs: () => Math.max(0, fromMs - Date.now()),
    heard(retryAfter) {
      const waitMs = retryAfterMs(retryAfter, Date.now())
      if (waitMs !== undefined) fromMs = Math.max(fromMs, Date.now() + waitMs)
    },
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

// Without viem's error as its cause, which holds the whole request: of blobs, that is megabytes of log.
function failure(what: string, kind: L1ErrorKind, error: BaseError): L1Error {
  const answer = find(error, RpcRequestError)
  const tooLarge = find(error, ResponseBodyTooLargeError) && { code: 413, details: error.shortMessage, data: undefined }
  const refusal = answer ? { code: answer.code, details: answer.details, data: answer.data } : tooLarge
  return new L1Error(`${what}: ${error.shortMessage} ${error.details.slice(0, DETAILS_CHARS_MAX)}`, { kind, refusal })
}

/** Of an error's text that a node wrote. */
const DETAILS_CHARS_MAX = 500

// JSON-RPC codes of a node that is behind, busy, or limits the rate: -1 and 429 of gateways, -32000 and -32001 "header not found",
// -32002, -32603, -32005 and -32007 limits. Source: EIP-1474 and viem's list of codes that it repeats.
const PASSING_CODES: ReadonlySet<number> = new Set([-1, 429, -32000, -32001, -32002, -32005, -32007, -32603])
const PASSING_STATUSES: ReadonlySet<number> = new Set([403, 408, 413, 425, 429])

function mayPass(error: BaseError): boolean {
  const failed = find(error, HttpRequestError)
  if (failed) return failed.status === undefined || isPassingStatus(failed.status)
  if (find(error, TimeoutError)) return true
  const answer = find(error, RpcRequestError)
  return answer !== undefined && (PASSING_CODES.has(answer.code) || isPassingStatus(answer.status))
}

function isPassingStatus(status: number | undefined): boolean {
  return status !== undefined && (status >= 500 || PASSING_STATUSES.has(status))
}

function find<E extends Error>(error: unknown, type: abstract new (...args: never[]) => E): E | undefined {
  const found = error instanceof BaseError ? error.walk((cause) => cause instanceof type) : undefined
  return found instanceof type ? found : undefined
}

async function checkEndpoint(rpc: Rpc, { chainId, addresses }: L1Options): Promise<void> {
  const got = await rpc.ask('chain id', (client) => client.getChainId())
  if (got !== chainId) fail('stop', `the L1 endpoint is of chain ${got}, not ${chainId}`)
  const { portal, inbox, checkpointManager, validatorRegistry } = addresses
  for (const [name, address] of Object.entries({ portal, inbox, checkpointManager, validatorRegistry })) {
    const code = await rpc.ask(`code of ${name}`, (client) => client.getCode({ address }))
    if (!code) fail('stop', `no contract at ${address} (${name})`)
  }
}

/** Not of what leaves the portal. */
function isOfDeposit({ topics }: L1Log): boolean {
  return topics[0] !== RELEASED
}

type BlockTag = 'latest' | 'safe' | 'finalized'

/** An L1 block as JSON-RPC gives it, as far as it is read. */
type RpcHeader = {
  readonly number: Hex
  readonly hash: Hex
  readonly parentHash: Hex
  readonly timestamp: Hex
  readonly mixHash: Hex
  readonly baseFeePerGas?: Hex
  readonly excessBlobGas?: Hex
  readonly logsBloom?: unknown
}

/** Undefined where there is no such block. */
async function askBlock(rpc: Rpc, choice: BlockTag | bigint): Promise<RpcHeader | undefined> {
  const params = [typeof choice === 'bigint' ? numberToHex(choice) : choice, false]
  const block = (await rpc.request('block', { method: 'eth_getBlockByNumber', params })) as RpcHeader | null
  return block ?? undefined
}

async function readBlock(
  rpc: Rpc,
  choice: BlockTag | bigint,
  onHeader: (header: RpcHeader) => void = () => {},
): Promise<L1Block | undefined> {
  // Ends: `again` counts.
  for (let attempt = 0; ; attempt++) {
    const block = await askBlock(rpc, choice)
    if (!block) return undefined
    onHeader(block)
    const { hash, parentHash, timestamp, mixHash } = block
    const number = BigInt(block.number)
    const baseFeeWei = BigInt(block.baseFeePerGas ?? 0)
    const blobBaseFeeWei = await readBlobBaseFee(rpc, { number, baseFeeWei, excessBlobGas: BigInt(block.excessBlobGas ?? 0) })
    if (blobBaseFeeWei !== undefined)
      return { number, hash, parentHash, timestampSec: BigInt(timestamp), baseFeeWei, blobBaseFeeWei, prevRandao: mixHash }
    // The block was exchanged between the two questions.
    if (!(await rpc.again(attempt))) fail('retry', `L1 does not agree with itself about block ${number}`)
  }
}

/** Whether none of these contracts says anything in the block: its header's bloom tells, where the header is the one of the block's hash. */
function isSilent(header: RpcHeader, addresses: readonly Hex[]): boolean {
  const { logsBloom } = header
  if (!isHex(logsBloom) || encodeL1Header(header) === undefined) return false
  const bloom = hexToBytes(logsBloom)
  return bloom.length === BLOOM_BYTES && !addresses.some((address) => mayHave(bloom, address))
}

// By the fee history and not from `excessBlobGas`, because the factor in between changes with L1's forks, which the L1 node knows.
async function readBlobBaseFee(
  rpc: Rpc,
  block: { readonly number: bigint; readonly baseFeeWei: bigint; readonly excessBlobGas: bigint },
): Promise<bigint | undefined> {
  // Without excess the fee is the least there is, by any fork's factor (EIP-4844, `fake_exponential` with numerator 0).
  if (block.excessBlobGas === 0n) return 1n
  const history = await rpc.ask('fee history', (client) =>
    client.request({ method: 'eth_feeHistory', params: [numberToHex(1), numberToHex(block.number), []] }),
  )
  const { oldestBlock, baseFeePerGas, baseFeePerBlobGas } = history as { oldestBlock: Hex; baseFeePerGas: Hex[]; baseFeePerBlobGas?: Hex[] }
  const [baseFee] = baseFeePerGas
  const [blobBaseFee] = baseFeePerBlobGas ?? []
  if (baseFee === undefined || blobBaseFee === undefined) fail('stop', 'L1 has no fee history with blob fees')
  return BigInt(oldestBlock) === block.number && BigInt(baseFee) === block.baseFeeWei ? BigInt(blobBaseFee) : undefined
}

async function canonicalBlock(rpc: Rpc, ref: L1Ref): Promise<L1Block> {
  await checkCanonical(rpc, ref)
  const block = await readBlock(rpc, ref.number)
  return block?.hash === ref.hash ? block : fail('reset', `L1 block ${ref.number} ${ref.hash} is gone`)
}

async function checkCanonical(rpc: Rpc, { number, hash }: L1Ref): Promise<void> {
  // Ends: `again` counts.
  for (let attempt = 0; ; attempt++) {
    const block = await askBlock(rpc, number)
    if (block?.hash === hash) return
    if (block) fail('reset', `L1 block ${number} is ${block.hash}, not ${hash}`)
    // Above the head of this node: it may be behind, which passes quickly, or on a chain that is shorter now.
    if (!(await rpc.again(attempt))) fail('reset', `L1 block ${number} ${hash} is gone`)
  }
}

async function readStandingHash(rpc: Rpc, address: Hex, id: bigint): Promise<Hex | undefined> {
  const call = { address, abi: checkpointManagerAbi, functionName: 'checkpointAt', args: [id] } as const
  return rpc.ask('checkpoint', async (client) => {
    try {
      const [hash] = await client.readContract(call)
      return hash
    } catch (error) {
      if (find(error, ContractFunctionRevertedError)?.data?.errorName === 'UnknownCheckpoint') return undefined
      throw error
    }
  })
}

/** Convictions that are looked at, the latest. */
const CONVICTIONS_MAX = 64

async function readConvictions(rpc: Rpc, address: Hex, challenger: Hex): Promise<number[]> {
  const registry = { address, abi: validatorRegistryAbi } as const
  const ask = <T>(question: (client: PublicClient) => Promise<T>) => rpc.ask('convictions', question)
  let left = await ask((client) => client.readContract({ ...registry, functionName: 'openConvictions' }))
  const count = left === 0 ? 0 : await ask((client) => client.readContract({ ...registry, functionName: 'convictionCount' }))
  const ids: number[] = []
  for (let id = count - 1; id >= 0 && id >= count - CONVICTIONS_MAX && left > 0; id--) {
    const conviction = await ask((client) => client.readContract({ ...registry, functionName: 'convictionAt', args: [id] }))
    if (conviction.signers === 0n) continue
    left--
    if (lower(conviction.challenger) === challenger) ids.push(id)
  }
  return ids
}

async function readNotes(rpc: Rpc, checkpointManager: Hex, from: bigint): Promise<Notes> {
  const judge = { address: checkpointManager, abi: checkpointManagerAbi, functionName: 'FRAUD_VERIFIER' } as const
  const verifier = await rpc.ask('verifier', (client) => client.readContract(judge))
  const noted = { address: verifier, abi: fraudVerifierAbi, functionName: 'NOTES' } as const
  const address = lower(await rpc.ask('notes', (client) => client.readContract(noted)))
  const to = (await readBlock(rpc, 'latest')) ?? fail('retry', 'L1 has no block yet')
  return parseNotes(address, await readLogs(rpc, { address, from, to }))
}

/** Headers that are asked for at once at most: more than one proof can show. */
const HEADERS_MAX = 8_192n

async function readHeaders(rpc: Rpc, from: L1Ref, last: bigint): Promise<Uint8Array[]> {
  if (from.number - last >= HEADERS_MAX) fail('stop', `the headers of L1 blocks ${last} to ${from.number} are too many`)
  const headers: Uint8Array[] = []
  let hash = from.hash
  for (let number = from.number; number >= last; number--) {
    const block = (await rpc.request('block', { method: 'eth_getBlockByHash', params: [hash, false] })) as RpcHeader | null
    if (!block) fail('reset', `L1 block ${number} ${hash} is gone`)
    const header = encodeL1Header(block) ?? (await rawHeader(rpc, hash))
    if (bytesToHex(keccak256(header)) !== hash) fail('stop', `the header of L1 block ${number} is of a fork that is not known here`)
    headers.push(header)
    hash = block.parentHash
  }
  return headers
}

/** For forks that are newer than this program. */
async function rawHeader(rpc: Rpc, hash: Hex): Promise<Uint8Array> {
  const raw = await rpc.request('header', { method: 'debug_getRawHeader', params: [hash] })
  return isHex(raw) ? hexToBytes(raw) : new Uint8Array()
}

type LogQuestion = { readonly address: Hex | readonly Hex[] | undefined; readonly topic?: Hex; readonly from: bigint; readonly to: L1Ref }
type EventQuestion = { readonly addresses: readonly Hex[]; readonly from: bigint; readonly to: L1Ref }

/** All logs of these contracts. Of a single block they are asked for by its hash, which no other block can answer for. */
async function readEvents(rpc: Rpc, { addresses, from, to }: EventQuestion): Promise<L1Log[]> {
  if (from !== to.number) return readLogs(rpc, { address: addresses, from, to })
  const logs = await askLogs(rpc, `logs of block ${to.number}`, { address: addresses, blockHash: to.hash })
  if (logs.some(({ blockHash }) => blockHash !== to.hash)) fail('retry', `L1 gives logs of another block than ${to.hash}`)
  return logs
}

async function askLogs(rpc: Rpc, what: string, filter: object): Promise<L1Log[]> {
  const logs = (await rpc.request(what, { method: 'eth_getLogs', params: [filter] })) as RpcLog[]
  return logs.map((log) => formatLog(log) as L1Log)
}

async function readLogs(rpc: Rpc, { address, topic, from, to }: LogQuestion): Promise<L1Log[]> {
  if (from > to.number) return []
  // Before, because a range beyond the head is an error to some nodes, and after, because the chain may change while we read.
  await checkCanonical(rpc, to)
  const logs: L1Log[] = []
  for (let first = from; first <= to.number; first += rpc.logRangeBlocks) {
    const last = first + rpc.logRangeBlocks - 1n
    logs.push(...(await readLogRange(rpc, { address, topic, first, last: last < to.number ? last : to.number })))
  }
  await checkCanonical(rpc, to)
  return logs
}

type LogRange = {
  readonly address: Hex | readonly Hex[] | undefined
  readonly topic: Hex | undefined
  readonly first: bigint
  readonly last: bigint
}

async function readLogRange(rpc: Rpc, range: LogRange): Promise<L1Log[]> {
  const { address, topic, first, last } = range
  const filter = {
    fromBlock: numberToHex(first),
    toBlock: numberToHex(last),
    ...(address && { address }),
    ...(topic && { topics: [topic] }),
  }
  try {
    return await askLogs(rpc, `logs of blocks ${first} to ${last}`, filter)
  } catch (error) {
    // Nodes also limit the count or the bytes of the answers, each in its own words.
    if (!(error instanceof L1Error && error.refusal) || first === last) throw error
    const middle = (first + last) / 2n
    return [...(await readLogRange(rpc, { ...range, last: middle })), ...(await readLogRange(rpc, { ...range, first: middle + 1n }))]
  }
}

// ---- payloads

function toPayload({ header }: L1Batch, data: BatchData): PostedPayload {
  if (data.kind === 'callData' && data.isPlain) return { ok: true, payload: data.payload }
  if (data.kind !== 'blobs') return { ok: false, code: 'badCall' }
  const decoded = decodeBlobs(data.blobs, header.payloadBytes)
  return decoded.ok ? decoded : { ok: false, code: 'badBlobs', reason: decoded.code }
}

async function batchData(
  rpc: Rpc,
  beacon: Beacon,
  { batch, archive }: { readonly batch: L1Batch; readonly archive: BlobArchive | undefined },
): Promise<BatchData> {
  const { txHash, l1Block, dataHash, index } = batch
  const tx = await rpc.ask('transaction of a batch', (client) =>
    orUndefined(client.getTransaction({ hash: txHash }), TransactionNotFoundError),
  )
  if (tx?.blockHash !== l1Block.hash) {
    await checkCanonical(rpc, l1Block)
    fail('retry', `L1 does not find transaction ${txHash} of batch ${index}`)
  }
  const versionedHashes = tx.blobVersionedHashes ?? []
  if (versionedHashes.length === 0) {
    // The inbox takes batches from plain calls only, so this is one.
    const plain = payloadOf(tx.input)
    const payload = plain ?? anyPayloadOf(tx.input)
    if (payload && callDataHash(payload) === dataHash) return { kind: 'callData', payload, isPlain: plain !== undefined }
    return plain ? fail('retry', `transaction ${txHash} does not carry batch ${index}`) : { kind: 'unread' }
  }
  if (blobDataHash(versionedHashes) !== dataHash) fail('retry', `transaction ${txHash} does not carry batch ${index}`)
  const kept = await archive?.read(versionedHashes)
  const blobs = kept ?? (await fetchBlobs(rpc, beacon, { batch, versionedHashes }))
  if (!kept) await archive?.keep(versionedHashes, blobs)
  return { kind: 'blobs', versionedHashes, blobs }
}

async function fetchBlobs(
  rpc: Rpc,
  beacon: Beacon,
  { batch, versionedHashes }: { readonly batch: L1Batch; readonly versionedHashes: readonly Hex[] },
): Promise<readonly Uint8Array[]> {
  const { l1Block, index } = batch
  const { timestamp } = await rpc.ask('block of a batch', (client) => client.getBlock({ blockHash: l1Block.hash }))
  const answer = await beacon.blobs({ l1Block, timestampSec: timestamp, versionedHashes })
  if (answer.ok) return answer.blobs
  await checkCanonical(rpc, l1Block)
  fail('retry', `no source has the blobs of batch ${index} in L1 block ${l1Block.number}: ${answer.reason}`)
}

// ---- beacon API

type BlobQuestion = { readonly l1Block: L1Ref; readonly timestampSec: bigint; readonly versionedHashes: readonly Hex[] }
type BlobAnswer = { readonly ok: true; readonly blobs: Uint8Array[] } | { readonly ok: false; readonly reason: string }

type Beacon = {
  /** The blobs of these hashes, in this order, each held against its hash. */
  blobs(question: BlobQuestion): Promise<BlobAnswer>
}

/** When the beacon chain began and how long its slots are; undefined for a server without slots, such as anvil. */
type BeaconClock = { readonly genesisSec: bigint; readonly slotMs: bigint } | undefined

// Of one answer: more than all blobs of a block as hex.
const BEACON_ANSWER_BYTES_MAX = 16 * 1_024 * 1_024

function createBeacon({ beaconUrls, kzg, timeoutMs = 30_000, retries = 4, retryDelayMs = 250 }: L1Options): Beacon {
  const clocks = new Map<string, BeaconClock>()
  const leftMs = (url: string) => paces.get(url)?.leftMs() ?? 0
  const paces = new Map(beaconUrls.map((url) => [url, createPace()]))
  const askOne = async (url: string, question: BlobQuestion): Promise<BlobAnswer> => {
    const get = async (path: string) => {
      if (leftMs(url) > 0) fail('retry', `${new URL(url).host} asks to be left alone`)
      const answer = await fetchJson(new URL(path, url.endsWith('/') ? url : `${url}/`), timeoutMs)
      paces.get(url)?.heard(answer.retryAfter)
      return answer
    }
    if (!clocks.has(url)) clocks.set(url, await readBeaconClock(get))
    const path = `eth/v1/beacon/blobs/${beaconBlockId(clocks.get(url), question)}?versioned_hashes=${question.versionedHashes.join(',')}`
    const { status, body } = await get(path)
    if (status !== 200) return { ok: false, reason: `${new URL(url).host} answers ${status}` }
    return pickBlobs(kzg, blobsOf(body), question.versionedHashes)
  }
  return {
    blobs: async (question) => {
      let reason = 'no beacon API is configured'
      for (let attempt = 0; attempt <= retries && beaconUrls.length > 0; attempt++) {
        if (attempt > 0) await sleep(Math.max(retryDelayMs * 2 ** (attempt - 1), Math.min(...beaconUrls.map(leftMs))))
        for (const url of beaconUrls) {
          const answer = await askOne(url, question).catch(asUnreachable)
          if (answer.ok) return answer
          reason = answer.reason
        }
      }
      return { ok: false, reason }
    },
  }
}

// What fetch, its time limit and JSON.parse throw.
function asUnreachable(error: unknown): BlobAnswer {
  if (error instanceof TypeError || error instanceof DOMException || error instanceof SyntaxError || error instanceof L1Error)
    return { ok: false, reason: error.message }
  throw error
}

async function readBeaconClock(get: (path: string) => Promise<JsonAnswer>): Promise<BeaconClock> {
  const spec = await get('eth/v1/config/spec')
  if (spec.status === 404) return undefined
  const genesis = await get('eth/v1/beacon/genesis')
  const slotMs = textOf(spec.body, 'SLOT_DURATION_MS') ?? `${textOf(spec.body, 'SECONDS_PER_SLOT')}000`
  const genesisSec = textOf(genesis.body, 'genesis_time')
  if (!/^\d{1,10}$/.test(slotMs) || BigInt(slotMs) === 0n || !genesisSec || !/^\d{1,20}$/.test(genesisSec))
    fail('retry', 'a beacon API without genesis time or slot length')
  return { genesisSec: BigInt(genesisSec), slotMs: BigInt(slotMs) }
}

// A server without slots goes by the blocks of the L1 itself.
function beaconBlockId(clock: BeaconClock, { l1Block, timestampSec }: BlobQuestion): string {
  return clock ? String(((timestampSec - clock.genesisSec) * 1_000n) / clock.slotMs) : l1Block.hash
}

async function pickBlobs(kzg: Kzg, offered: Uint8Array[] | undefined, versionedHashes: readonly Hex[]): Promise<BlobAnswer> {
  if (!offered) return { ok: false, reason: 'an answer that is no list of blobs' }
  const byHash = new Map<Hex, Uint8Array>()
  for (const blob of offered) byHash.set(versionedHash(await kzg.commit(blob)), blob)
  const blobs: Uint8Array[] = []
  for (const hash of versionedHashes) {
    const blob = byHash.get(hash)
    if (!blob) return { ok: false, reason: `blob ${hash} is not among those served` }
    blobs.push(blob)
  }
  return { ok: true, blobs }
}

type JsonAnswer = { readonly status: number; readonly body: unknown; readonly retryAfter?: string | null }

async function fetchJson(url: URL, timeoutMs: number): Promise<JsonAnswer> {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), headers: { accept: 'application/json' } })
  if (response.status !== 200 || !response.body) {
    await response.body?.cancel()
    return { status: response.status, body: undefined, retryAfter: response.headers.get('retry-after') }
  }
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body) {
    bytes += chunk.length
    if (bytes > BEACON_ANSWER_BYTES_MAX) fail('retry', `${url.host} answers with more than ${BEACON_ANSWER_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return { status: 200, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) }
}

function textOf(body: unknown, name: string): string | undefined {
  const inner = memberOf(memberOf(body, 'data'), name)
  return typeof inner === 'string' ? inner : undefined
}

function blobsOf(body: unknown): Uint8Array[] | undefined {
  const list = memberOf(body, 'data')
  if (!Array.isArray(list)) return undefined
  const blobs: Uint8Array[] = []
  for (const item of list) {
    if (typeof item !== 'string' || item.length !== 2 + 2 * BLOB_BYTES || !isHex(item)) return undefined
    blobs.push(hexToBytes(item))
  }
  return blobs
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

// ---- sending

function createTxPort(rpc: Rpc): L1TxPort {
  return {
    nonce: async (address) => BigInt(await rpc.ask('nonce', (client) => client.getTransactionCount({ address, blockTag: 'latest' }))),
    fees: () => readFees(rpc),
    estimateGas: (question) => estimateGas(rpc, question),
    send: (raw) => sendRaw(rpc, raw),
    inclusion: async (hash) => {
      const receipt = await rpc.ask('receipt', (client) =>
        orUndefined(client.getTransactionReceipt({ hash }), TransactionReceiptNotFoundError),
      )
      if (!receipt) return undefined
      const head = await rpc.ask('head', (client) => client.getBlockNumber({ cacheTime: 0 }))
      const l1Block = { number: receipt.blockNumber, hash: receipt.blockHash }
      return { l1Block, succeeded: receipt.status === 'success', confirmations: head - receipt.blockNumber + 1n }
    },
  }
}

async function readFees(rpc: Rpc): ReturnType<L1TxPort['fees']> {
  const history = await rpc.ask('fee history', (client) =>
    client.request({ method: 'eth_feeHistory', params: [numberToHex(1), 'latest', []] }),
  )
  const { baseFeePerGas, baseFeePerBlobGas } = history as { baseFeePerGas: Hex[]; baseFeePerBlobGas?: Hex[] }
  const tipWei = await rpc.ask('tip', (client) => client.estimateMaxPriorityFeePerGas())
  // The last items are those of the block to come.
  return { baseFeeWei: BigInt(baseFeePerGas.at(-1) ?? 0), tipWei, blobBaseFeeWei: BigInt(baseFeePerBlobGas?.at(-1) ?? 1) }
}

const REVERTED = 3

async function estimateGas(rpc: Rpc, { from, to, data, versionedHashes }: GasQuestion): ReturnType<L1TxPort['estimateGas']> {
  // viem's type wants the blobs beside their hashes, nodes do not: the call sees the hashes alone.
  const call = { from, to, data, ...(versionedHashes.length > 0 && { blobVersionedHashes: versionedHashes }) } as RpcTransactionRequest
  try {
    const gas = await rpc.ask('gas estimate', (client) => client.request({ method: 'eth_estimateGas', params: [call] }))
    return { ok: true, gas: BigInt(gas) }
  } catch (error) {
    const refusal = error instanceof L1Error ? error.refusal : undefined
    if (!refusal || (refusal.code !== REVERTED && !/revert/i.test(refusal.details))) throw error
    return { ok: false, reason: revertReason(refusal) }
  }
}

const REVERT_ABI = [
  ...batchInboxAbi,
  ...portalAbi,
  ...checkpointManagerAbi,
  ...validatorRegistryAbi,
  ...fraudVerifierAbi,
  ...groupExecutionAbi,
].filter((item) => item.type === 'error')

function revertReason({ data, details }: L1Refusal): string {
  if (!isHex(data) || data === '0x') return details
  try {
    const { errorName, args } = decodeErrorResult({ abi: REVERT_ABI, data })
    return `${errorName}(${(args ?? []).join(', ')})`
  } catch (error) {
    if (error instanceof BaseError) return data // an error that is not of our contracts
    throw error
  }
}

async function sendRaw(rpc: Rpc, raw: Hex): Promise<SendVerdict> {
  return rpc.ask('transaction to send', async (client) => {
    try {
      await client.sendRawTransaction({ serializedTransaction: raw })
      return { ok: true }
    } catch (error) {
      const answer = find(error, RpcRequestError)
      const verdict = answer && sendVerdict(answer)
      if (verdict) return verdict
      throw error
    }
  })
}

// Nodes have no codes for these. Sources: geth core/txpool/errors.go, reth and anvil likewise.
function sendVerdict({ code, details }: Pick<L1Refusal, 'code' | 'details'>): SendVerdict | undefined {
  if (/already (known|imported)|known transaction/i.test(details)) return { ok: true }
  if (/nonce too low/i.test(details)) return { ok: false, code: 'nonceTooLow', reason: details }
  if (/underpriced|max fee per (blob )?gas|fee cap/i.test(details)) return { ok: false, code: 'underpriced', reason: details }
  // -32000 is a node's word for any refusal here, and not for being behind.
  return code !== -32000 && PASSING_CODES.has(code) ? undefined : { ok: false, code: 'rejected', reason: details }
}

async function orUndefined<T>(question: Promise<T>, absent: abstract new (...args: never[]) => Error): Promise<T | undefined> {
  try {
    return await question
  } catch (error) {
    if (find(error, absent)) return undefined
    throw error
  }
}

function fail(kind: L1ErrorKind, message: string): never {
  throw new L1Error(message, { kind })
}

function lower(address: Hex): Hex {
  return address.toLowerCase() as Hex
}
