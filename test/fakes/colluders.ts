/**
 * A rollup on a real L1 whose validators, all of them, do what they like: they make blocks as everybody does, and post batches and checkpoints of them that
 * say something else, under certificates that hold. What they post is a test's to choose.
 */
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { aggregateSignatures } from '../../consensus/bls.ts'
import { buildCommit } from '../../consensus/certificate.ts'
import { judgeEvidence } from '../../consensus/evidence.ts'
import type { ValidatorSet } from '../../consensus/validatorSet.ts'
import { ORIGIN_STEP_MAX } from '../../execution/applyBlock.ts'
import { encodeHeader, type Header, hashHeader, timestampMs } from '../../execution/block.ts'
import type { Built } from '../../execution/buildBlock.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import type { LedgerProof } from '../../execution/ledger/proof.ts'
import { type LedgerSource, proveRecord } from '../../execution/ledger/rootReader.ts'
import { getL1Info, L1_RECORD, type L1Info } from '../../execution/ledger/tables.ts'
import { createLedgerTree, rootHex, treeKey } from '../../execution/ledger/tree.ts'
import type { Tx } from '../../execution/tx.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import { brotli } from '../../node/brotli.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { batchInboxAbi, checkpointManagerAbi, openTokenAbi, portalAbi } from '../../settlement/abi.ts'
import { type Batch, encodeBatch, toBatchBlocks } from '../../settlement/batch.ts'
import { encodeBlobs } from '../../settlement/blob.ts'
import { type Checkpoint, toL1Claim } from '../../settlement/checkpoint.ts'
import { toL1Info } from '../../settlement/derive.ts'
import { ANY_COUNT, batchAccumulator, blobDataHash, callDataHash, encodePostBatch } from '../../settlement/inbox.ts'
import { createKzg, createSidecar, type Kzg, type Sidecar } from '../../settlement/kzg.ts'
import { createL1, type L1 } from '../../settlement/l1.ts'
import { signTx } from '../../settlement/l1Tx.ts'
import { encodeLane, executeLane, groupsOf, type LaneRow, laneRows, lookupsOf } from '../../settlement/lane.ts'
import { CHAIN_ID, setOf, signatureOf } from '../consensus/fixtures.ts'
import { certificateOf, commitOf } from '../contracts/settledChain.ts'
import { toLaneBlock } from '../settlement/story.ts'
import { ANVIL_ACCOUNTS, type Anvil } from './anvil.ts'
import { mined, STAGE_CHECKPOINTS, type StageClient, stageClient } from './l1Stage.ts'
import { publishRollup } from './rollupOnL1.ts'
import { createTestChain, type TestChain, testGenesis } from './testChain.ts'

/** A batch as it is going to be posted: its rows and roots, and the header of its last block with the ledger that this one commits to. */
export type Forgery = {
  readonly payload: Uint8Array
  readonly header: Header
  readonly l1Record: LedgerProof
}

/** What stands behind the checkpoint of a wrong batch. */
export type Submitted = { readonly id: bigint; readonly checkpoint: Checkpoint; readonly index: bigint }

export type Colluders = Line & {
  readonly anvil: Anvil
  readonly genesis: Genesis
  /** keccak256 of the genesis file, and the ledger root of its block. */
  readonly accumulator: Hex
  readonly genesisLedgerRoot: Hex
  readonly l1: L1
  readonly client: StageClient
  /** The account whose bond stands behind what is submitted. */
  readonly submitter: StageClient
  /** Deposits OPEN to a ledger account on L1. */
  deposit(to: Hex, amountWei: bigint): Promise<void>
  /** Another chain of blocks from the genesis file on. */
  fork(): Promise<Line>
  /** Puts a bond behind the submitter, if there is none. */
  bond(): Promise<void>
  /** Submits the checkpoint of a posted batch, certified. */
  submit(posted: Posted): Promise<Submitted>
}

/** A chain of blocks, and what is posted of it. */
export type Line = {
  readonly chain: TestChain
  /** The next block, with the L1 head as its origin and all deposits up to there, or as many as wanted; without `origin` the origin stays. */
  build(txs: readonly Tx[], options?: { readonly origin?: { readonly deposits?: number } }): Promise<Built>
  /** The batch of all blocks since the last one that was kept, as it should be. */
  batch(): Batch
  /** The batch with whatever is changed, and the last block's header likewise. */
  forge(change?: (batch: Batch) => Batch, header?: (header: Header) => Header): Forgery
  /** A ledger root like that of the head but for a record, with the l1 record's proof. */
  forgedLedger(change: { readonly table: number; readonly id: Uint8Array; readonly record: Uint8Array }): {
    root: Hex
    l1Record: LedgerProof
  }
  /** Posts it behind the last batch that was kept; `spoil` changes what blobs hold. */
  post(forgery: Forgery, options?: { readonly da?: 'blob' | 'calldata'; readonly spoil?: (blobs: Uint8Array[]) => void }): Promise<Posted>
  /** What comes next stands behind this batch. */
  keep(posted: Posted): void
}

/** A batch that was posted. */
export type Posted = Forgery & { readonly batch: { readonly index: bigint; readonly header: L1Header; readonly dataHash: Hex } }
type L1Header = Parameters<typeof encodePostBatch>[0]

/** Window and bond of the checkpoints. */
export const COLLUDERS_CHECKPOINTS = {
  ...STAGE_CHECKPOINTS,
  challengeWindowSec: 240,
  evmWindowSec: 900,
  changeDelaySec: 4_000,
  exitTimeoutSec: 5_000,
  // What is wrong here leaves deposits behind, and may be submitted late.
  depositDueSec: 50_000,
}

/** Deploys everything anew on an anvil that mines each transaction, with so many validators of weight 1. */
export async function createColluders(anvil: Anvil, { validators = 1 }: { readonly validators?: number } = {}): Promise<Colluders> {
  const [client, submitter, poster] = ANVIL_ACCOUNTS.map((account) => stageClient(anvil.url, account))
  if (!client || !submitter || !poster) throw new Error('anvil has too few accounts')
  const set = setOf(Array.from({ length: validators }, () => 1))
  const base = testGenesis({ chainId: CHAIN_ID })
  const { genesis, accumulator } = await publishRollup(client, {
    base,
    set,
    checkpoints: { ...COLLUDERS_CHECKPOINTS, fraudVerifier: { epochSec: base.params.epochSec } },
  })
  const kzg = createKzg()
  const { portal, inbox, checkpointManager, validatorRegistry } = genesis.l1
  const addresses = { portal, inbox, checkpointManager, validatorRegistry }
  const l1 = createL1({ rpcUrl: anvil.url, beaconUrls: [anvil.url], chainId: genesis.l1.chainId, addresses, kzg })
  const line: LineParts = { genesis, accumulator, set, l1, kzg, client, poster }
  return {
    anvil,
    ...(await openLine(line)),
    fork: () => openLine(line),
    genesis,
    accumulator,
    genesisLedgerRoot: createGenesisBlock(genesis).roots.ledgerRoot,
    l1,
    client,
    submitter,
    async deposit(to, amountWei) {
      const approval = { address: genesis.l1.openToken, abi: openTokenAbi, functionName: 'approve', args: [portal, amountWei] } as const
      await mined(client, await client.writeContract(approval))
      const call = { address: portal, abi: portalAbi, functionName: 'depositToLedger', args: [to, amountWei, false] } as const
      await mined(client, await client.writeContract(call))
    },
    async bond() {
      const manager = { address: checkpointManager, abi: checkpointManagerAbi } as const
      const { amount } = await client.readContract({ ...manager, functionName: 'bondOf', args: [submitter.account.address] })
      if (amount > 0n) return
      const token = { address: genesis.l1.openToken, abi: openTokenAbi } as const
      const approved = [checkpointManager, COLLUDERS_CHECKPOINTS.bondWei] as const
      await mined(client, await client.writeContract({ ...token, functionName: 'approve', args: approved }))
      await mined(client, await client.writeContract({ ...manager, functionName: 'depositBond', args: [submitter.account.address] }))
    },
    async submit({ header, l1Record, batch: own }) {
      const manager = { address: checkpointManager, abi: checkpointManagerAbi } as const
      const id = await client.readContract({ ...manager, functionName: 'checkpointCount' })
      const checkpoint = {
        lastBlock: header.number,
        blockHash: hashHeader(header),
        evmRoot: header.stateRoot,
        ledgerRoot: header.withdrawalsRoot,
        batchIndex: own.index,
        batchAccumulator: batchAccumulator(own),
        depositCursor: BigInt(`0x${l1Record.record?.slice(-16)}`),
      }
      const claim = toL1Claim({ header: encodeHeader(header), batch: own, l1Record })
      const certificate = certificateOf(set, { l1ChainId: genesis.l1.chainId, manager: checkpointManager }, checkpoint)
      await mined(
        submitter,
        await submitter.writeContract({ ...manager, functionName: 'submit', args: [claim, certificate], gas: 2_000_000n }),
      )
      return { id, checkpoint, index: own.index }
    },
  }
}

type LineParts = Pick<Colluders, 'genesis' | 'accumulator' | 'l1' | 'client'> & {
  readonly set: ValidatorSet
  readonly kzg: Kzg
  readonly poster: StageClient
}

async function openLine({ genesis, accumulator, set, l1, kzg, client, poster }: LineParts): Promise<Line> {
  const chain = await createTestChain({ genesis, precompiles: PRECOMPILES })
  const { inbox } = genesis.l1
  const blocks: Built[] = []
  /** Behind which batch the next one comes; its last block's ledger root, time and origin. */
  let last = { accumulator, next: 0n, block: 0n, root: createGenesisBlock(genesis).roots.ledgerRoot }
  let before = { timestampMs: genesis.timestampMs, originNumber: genesis.l1.origin.number }
  const source: LedgerSource = chain.store.reader
  const ownL1Record = (root: Hex, from: LedgerSource = source) => proveRecord(hexToBytes(root), from, L1_RECORD)

  function batch(): Batch {
    const own = blocks.map(toLaneBlock)
    const groups = groupsOf(laneRows(own))
    const start = { root: last.root, source, params: genesis.params, judgeEvidence, lookups: lookupsOf(own) }
    const executed = executeLane(start, groups)
    if (!executed.ok) throw new Error(executed.rejection.code)
    const header = blocks.at(-1)?.block.header
    if (!header) throw new Error('there are no blocks')
    return {
      index: last.next,
      firstBlock: last.block + 1n,
      commit: certify(header),
      blocks: toBatchBlocks(own, before),
      ledgerRootBefore: last.root,
      lane: encodeLane(groups),
      ledgerRoots: executed.roots,
    }
  }

  function certify(header: Header) {
    const statement = { kind: 'precommit', height: Number(header.number), round: 0, validRound: -1, blockHash: hashHeader(header) } as const
    const votes = set.validators.map((_, index) => ({ ...statement, validator: index, signature: signatureOf(set, index, statement) }))
    const { round, bitmap, signature } = buildCommit(set, votes, aggregateSignatures)
    return { round, bitmap, signature }
  }

  return {
    chain,
    async build(txs, { origin } = {}) {
      const step = origin && (await stepTo(l1, getL1Info(chain.executor.state.ledger), origin.deposits))
      const nowMs = timestampMs(chain.head())
      const originMs = Number(step?.info.timestampSec ?? 0n) * 1_000
      const built = await chain.next(txs, { afterMs: Math.max(1_000, originMs - nowMs), ...(step && { origin: step }) })
      blocks.push(built)
      // A batch is made on the parent of the L1 head at most.
      if (step) await client.mine({ blocks: 2 })
      return built
    },
    batch,
    forge(change = (one) => one, changeHeader = (one) => one) {
      const honest = batch()
      const header = changeHeader(blocks.at(-1)?.block.header as Header)
      const encoded = encodeBatch({ ...change(honest), commit: certify(header) }, { parent: before, compress: brotli.compress })
      if (!encoded.ok) throw new Error(encoded.code)
      return { payload: encoded.payload, header, l1Record: ownL1Record(chain.head().withdrawalsRoot) }
    },
    forgedLedger({ table, id, record }) {
      const entries = new Map<string, Uint8Array>()
      const readEntry = (key: Uint8Array) => entries.get(bytesToHex(key)) ?? source.ledgerEntry(key)
      const tree = createLedgerTree(hexToBytes(chain.head().withdrawalsRoot), readEntry)
      tree.commit([{ key: treeKey(table, id), record }], ({ key, bytes }) => entries.set(bytesToHex(key), bytes.slice()))
      const root = rootHex(tree)
      return { root, l1Record: ownL1Record(root, { ledgerRecord: source.ledgerRecord, ledgerEntry: readEntry }) }
    },
    async post(forgery, { da = 'calldata', spoil } = {}) {
      const { payload, header } = forgery
      const [firstBlock, lastBlockHash] = [last.block + 1n, hashHeader(header)]
      const head = await client.getBlockNumber()
      const origin = await client.getBlock({ blockNumber: head - 1n })
      const place = { prevAccumulator: last.accumulator, firstBlock, lastBlock: header.number, lastBlockHash }
      const l1Header = { ...place, l1OriginNumber: origin.number, l1OriginHash: origin.hash, payloadBytes: payload.length }
      const { round, bitmap, signature } = commitOf(set, header.number, lastBlockHash)
      const posting = { certificate: { round, bitmap, signature }, next: last.next, count: ANY_COUNT }
      const index = await client.readContract({ address: inbox, abi: batchInboxAbi, functionName: 'batchCount' })
      if (da === 'calldata') {
        const data = encodePostBatch(l1Header, { ...posting, payload })
        await mined(poster, await poster.sendTransaction({ to: inbox, data }))
        return { ...forgery, batch: { index, header: l1Header, dataHash: callDataHash(payload) } }
      }
      const blobs = encodeBlobs(payload)
      spoil?.(blobs)
      const sidecar = await createSidecar(kzg, blobs)
      await mined(poster, await sendBlobs(poster, { to: inbox, data: encodePostBatch(l1Header, posting), sidecar }))
      return { ...forgery, batch: { index, header: l1Header, dataHash: blobDataHash(sidecar.versionedHashes) } }
    },
    keep({ batch: own, header }) {
      before = { timestampMs: timestampMs(header), originNumber: getL1Info(chain.executor.state.ledger).number }
      last = { accumulator: batchAccumulator(own), next: own.index + 1n, block: header.number, root: chain.head().withdrawalsRoot }
      blocks.length = 0
    },
  }
}

/** The rows of a batch changed one by one; its roots stay. */
export function withRows(batch: Batch, rows: readonly LaneRow[]): Batch {
  return { ...batch, lane: encodeLane(groupsOf(rows)) }
}

/** The step to the L1 head, or as far as one goes, with the first so many of the deposits up to there. */
async function stepTo(l1: L1, before: L1Info, count?: number) {
  const head = await l1.blockByTag('latest')
  const farthest = before.number + ORIGIN_STEP_MAX
  const block = (head.number > farthest ? await l1.blockByNumber(farthest) : undefined) ?? head
  const queued = (await l1.deposits(before.number + 1n, block)).slice(0, count)
  const info = toL1Info(block, before.depositCursor + BigInt(queued.length))
  return { info, deposits: queued.map(({ deposit }) => deposit) }
}

async function sendBlobs(from: StageClient, { to, data, sidecar }: { to: Hex; data: Hex; sidecar: Sidecar }): Promise<Hex> {
  const { account } = from
  const signer = { address: account.address, sign: (parameters: { hash: Hex }) => account.sign(parameters) }
  const fees = { maxFeeWei: 100n * 10n ** 9n, tipWei: 10n ** 9n, maxBlobFeeWei: 100n * 10n ** 9n }
  const nonce = BigInt(await from.getTransactionCount({ address: account.address }))
  const chainId = await from.getChainId()
  const { raw } = await signTx(signer, { chainId, nonce, to, data, gas: 3_000_000n, fees, sidecar })
  return from.sendRawTransaction({ serializedTransaction: raw })
}
