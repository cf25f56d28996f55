/**
 * A chain rebuilt from L1, batch by batch, by the same execution as a validator's: what an invalid batch had written is taken back. It lives in a folder
 * and, where that is kept, goes on there.
 */
import { mkdirSync, rmSync } from 'node:fs'
import type { Hex } from 'viem'
import { verifyCommit } from '../consensus/certificate.ts'
import { judgeEvidence } from '../consensus/evidence.ts'
import { assert } from '../execution/assert.ts'
import { timestampMs } from '../execution/block.ts'
import { type Built, buildBlock } from '../execution/buildBlock.ts'
import { decodeGenesis, type Genesis } from '../genesis/genesis.ts'
import {
  checkBatchHeader,
  checkBuilt,
  checkCommit,
  checkExecuted,
  type DerivationHead,
  decodeBatchBlocks,
  isNext,
  type L1View,
  nextHead,
  toBlockRequests,
  toBuildRequest,
} from '../settlement/derive.ts'
import { createKzg, type Kzg } from '../settlement/kzg.ts'
import { type BlobArchive, createL1, findGenesis, type L1, type L1Block } from '../settlement/l1.ts'
import type { L1Batch, L1Ref } from '../settlement/l1Logs.ts'
import { l1InfoAfter } from './blocks.ts'
import { brotli } from './brotli.ts'
import { type ChainState, openChainState } from './chainState.ts'
import { createEpochSets, type EpochSets } from './epochs.ts'
import type { Log } from './log.ts'
import { createRecoverPool } from './recoverPool.ts'
import { openStore, type Store } from './store.ts'

/** What is wrong, and where: `got` is theirs, `want` what follows from L1. */
export type Fault = {
  readonly code: string
  readonly block?: bigint
  readonly txIndex?: number
  readonly field?: string
  readonly got?: unknown
  readonly want?: unknown
  readonly facts?: Readonly<Record<string, unknown>>
}

/** An invalid batch, and what is wrong with it: nothing of it was taken. */
export type DroppedBatch = Fault & { readonly index: bigint }

/** What became of a batch: blocks were taken from it, it is invalid, or it follows no batch that blocks are taken from next. */
export type Taken =
  | { readonly kind: 'taken'; readonly transactions: number }
  | { readonly kind: 'dropped'; readonly dropped: DroppedBatch }
  | { readonly kind: 'passedOver' }

export type Rebuild = {
  /** The chain as it is now; whatever was opened on it before a batch was dropped has to be opened anew. */
  chain(): ChainState
  readonly store: Store
  /** Behind which batch it stands. */
  head(): DerivationHead
  /** Goes over a batch if it follows the head and is valid. Batches are to be given in the order of their indexes. Throws L1Error. */
  take(batch: L1Batch): Promise<Taken>
  close(): Promise<void>
}

export type RebuildOptions = {
  /** An empty one, or one where a rebuild of the same rollup was. */
  readonly directory: string
  readonly genesis: Genesis
  readonly l1: L1
  /** keccak256 of the genesis file. */
  readonly accumulator: Hex
  readonly log: Log
}

/** A rollup as L1 tells of it. */
export type Rollup = { readonly l1: L1; readonly genesis: Genesis; readonly accumulator: Hex; readonly kzg: Kzg }

/** Finds a rollup's genesis file on L1 and holds the endpoint against it. Throws L1Error. */
export async function openRollup(options: {
  readonly l1Url: string
  readonly beaconUrls: readonly string[]
  readonly inbox: Hex | undefined
  readonly archive?: BlobArchive
}): Promise<Rollup> {
  const { l1Url, beaconUrls, inbox, archive } = options
  const published = await findGenesis({ rpcUrl: l1Url }, inbox ? { inbox } : {})
  const genesis = decodeGenesis(new TextDecoder().decode(published.genesis))
  const { portal, checkpointManager, validatorRegistry, chainId } = genesis.l1
  const kzg = createKzg()
  const addresses = { portal, inbox: published.inbox, checkpointManager, validatorRegistry }
  const l1 = createL1({ rpcUrl: l1Url, beaconUrls, chainId, addresses, kzg, ...(archive && { archive }) })
  await l1.check()
  return { l1, genesis, accumulator: published.hash, kzg }
}

/** Where the head stands in the store. */
const META = 'rebuilt'

/** Opens a rebuild. One that was interrupted within a batch begins anew. Throws StoreError. */
export async function openRebuild({ directory, genesis, l1, accumulator, log }: RebuildOptions): Promise<Rebuild> {
  const store = await openKept(directory, log)
  const recoverPool = createRecoverPool({ log })
  const mempool = { txsMax: 0, bytesMax: 0, txsPerSenderMax: 0, nonceGapMax: 0, replacementPercent: 0 }
  const open = () => openChainState({ store, genesis, mempool, log, recover: recoverPool.recover })
  let chain = await open()
  let sets = createEpochSets(chain)
  let head = readHead(store) ?? { accumulator, nextIndex: 0n, lastBlock: 0n }
  return {
    chain: () => chain,
    store,
    head: () => head,
    async take(posted) {
      if (!isNext(head, posted)) return { kind: 'passedOver' }
      store.mark()
      const parent = chain.head().hash
      const applied = await applyBatch({ chain, genesis, l1, sets, head }, posted)
      if (applied.ok) {
        head = nextHead(posted)
        await store.writeMeta(META, writeHead(head))
        return { kind: 'taken', transactions: applied.transactions }
      }
      await store.takeBack()
      chain = await open()
      sets = createEpochSets(chain)
      assert(chain.head().hash === parent, 'what an invalid batch wrote was not taken back')
      return { kind: 'dropped', dropped: { index: posted.index, ...toPlace(applied) } }
    },
    async close() {
      await recoverPool.close()
      await store.close()
    },
  }
}

/** The store of a folder; emptied first if it ends within a batch, which may have been invalid. */
async function openKept(directory: string, log: Log): Promise<Store> {
  mkdirSync(directory, { recursive: true })
  const store = await openStore(directory, { durable: false })
  if ((store.head() ?? 0n) === (readHead(store)?.lastBlock ?? 0n)) return store
  log.warn('the rebuild begins anew: it was interrupted within a batch', { block: store.head() })
  await store.close()
  rmSync(directory, { recursive: true, force: true })
  return openStore(directory, { durable: false })
}

function readHead(store: Store): DerivationHead | undefined {
  const bytes = store.meta(META)
  if (!bytes) return undefined
  const { accumulator, nextIndex, lastBlock } = JSON.parse(new TextDecoder().decode(bytes))
  return { accumulator, nextIndex: BigInt(nextIndex), lastBlock: BigInt(lastBlock) }
}

function writeHead({ accumulator, nextIndex, lastBlock }: DerivationHead): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ accumulator, nextIndex: nextIndex.toString(), lastBlock: lastBlock.toString() }))
}

/** Everything that a batch is executed with. */
type Place = {
  readonly chain: ChainState
  readonly genesis: Genesis
  readonly l1: L1
  readonly sets: EpochSets
  readonly head: DerivationHead
}
type Applied = { readonly ok: true; readonly transactions: number } | Refused
type Refused = { readonly ok: false; readonly code: string; readonly [fact: string]: unknown }

/** Derives, executes and compares one batch. The blocks stay in the store. */
async function applyBatch({ chain, genesis, l1, sets, head }: Place, posted: L1Batch): Promise<Applied> {
  const { params } = genesis
  const { store, executor } = chain
  const misplaced = checkBatchHeader(head, posted)
  if (misplaced) return misplaced
  const carried = await l1.batchPayload(posted)
  if (!carried.ok) return carried
  const { payload } = carried
  const parent = chain.head().header
  const before = l1InfoAfter(store, parent.number)
  const decoded = decodeBatchBlocks(posted, payload, {
    nextIndex: head.nextIndex,
    parent: { timestampMs: timestampMs(parent), originNumber: before.number },
    chainId: params.chainId,
    decompress: brotli.decompress,
  })
  if (!decoded.ok) return decoded
  const view = await viewL1(l1, decoded.origins, before.number)
  const requests = toBlockRequests(decoded, { header: posted.header, origin: before, l1: view })
  if (!requests.ok) return requests
  const lastSet = () => sets.setAt(Number(posted.header.lastBlock))
  const checkSigned = () =>
    checkCommit(decoded.batch, posted.header, ({ height, blockHash, round, bitmap, signature }) => {
      const set = lastSet()
      assert(set, 'the validators of a block whose parent is known are not')
      return verifyCommit(set, { height: Number(height), round, blockHash, bitmap, signature }, params.chainId).ok
    })
  // A batch that goes over the end of an epoch says itself who made its last block final.
  const isSetKnown = lastSet() !== undefined
  const unsigned = isSetKnown ? checkSigned() : undefined
  if (unsigned) return unsigned
  const root = store.roots(parent.number).ledgerRoot
  const results: Built[] = []
  for (const derived of requests.blocks) {
    const { common } = executor.vm
    const asked = await toBuildRequest(derived, results.at(-1)?.block.header ?? parent, { common, recover: executor.recover })
    if (!asked.ok) return asked
    const built = await buildBlock(executor, asked.request)
    const left = checkBuilt(derived, built)
    if (left) return left
    await chain.adopt(built)
    results.push(built)
  }
  const unsignedLast = isSetKnown ? undefined : checkSigned()
  if (unsignedLast) return unsignedLast
  const wrong = checkExecuted(decoded.batch, results, {
    lastBlockHash: posted.header.lastBlockHash,
    ledger: { root, source: store.reader, params, judgeEvidence },
  })
  return wrong ?? { ok: true, transactions: results.reduce((sum, { transactions }) => sum + transactions.length, 0) }
}

/** The L1 blocks that a batch names, and the deposits up to the last of them. */
async function viewL1(l1: L1, origins: readonly bigint[], after: bigint): Promise<L1View> {
  const blocks = new Map<bigint, L1Block>()
  for (const number of origins) {
    const block = await l1.blockByNumber(number)
    if (block) blocks.set(number, block)
  }
  const last = [...blocks.values()].reduce<L1Ref | undefined>(
    (latest, block) => (latest && latest.number > block.number ? latest : block),
    undefined,
  )
  const deposits = last ? await l1.deposits(after + 1n, last) : []
  return {
    block: (number) => blocks.get(number),
    deposits: (first, to) => deposits.filter(({ l1Block }) => l1Block.number >= first && l1Block.number <= to),
  }
}

function toPlace({ ok: _, code, block, txIndex, got, want, ...facts }: Refused): Omit<DroppedBatch, 'index'> {
  const first = (facts.differences as readonly DroppedBatch[] | undefined)?.[0]
  const place = first ?? { block, txIndex, got, want }
  return {
    code,
    ...(typeof place.block === 'bigint' && { block: place.block }),
    ...(typeof place.txIndex === 'number' && { txIndex: place.txIndex }),
    ...(first?.field !== undefined && { field: first.field }),
    got: place.got,
    want: place.want,
    facts,
  }
}
