/**
 * The work on a batch that takes no account and no endpoint: measuring blocks, their lane and its re-execution, compression, blobs with their proofs.
 * It reads committed blocks from the store, none of which stays in memory, and is done on a thread of its own (node/batchThread.ts).
 */
import { bytesToHex, type Hex } from 'viem'
import { uncompressedSignature } from '../consensus/bls.ts'
import { judgeEvidence } from '../consensus/evidence.ts'
import { decodeMessage } from '../consensus/message.ts'
import { assert } from '../execution/assert.ts'
import { timestampMs } from '../execution/block.ts'
import { commonOf } from '../execution/ethereumRules.ts'
import { decodeNative, nativeGas, signingHash } from '../execution/native/native.ts'
import { recoverAddress } from '../execution/recover.ts'
import { decodeReport } from '../execution/report.ts'
import { decodeTx } from '../execution/tx.ts'
import { type ChainParams, TX_TYPE } from '../genesis/params.ts'
import { type BatchBlock, type BatchCommit, type BatchParent, encodeBatch, toBatchBlocks } from '../settlement/batch.ts'
import { encodeBlobs } from '../settlement/blob.ts'
import { decodeBatchBlocks } from '../settlement/derive.ts'
import type { BatchHeader, Posting } from '../settlement/inbox.ts'
import { createKzg, createSidecar, type Kzg, type Sidecar } from '../settlement/kzg.ts'
import {
  type ExecutedLane,
  encodeLane,
  executeLane,
  groupsLike,
  groupsOf,
  type LaneBlock,
  type LaneRow,
  type LaneTx,
  laneRows,
  lookupsOf,
} from '../settlement/lane.ts'
import { type BlockSize, measureBlock, shrinkPost } from '../settlement/post.ts'
import { toL1Signature } from '../settlement/registry.ts'
import { l1InfoAfter } from './blocks.ts'
import { brotli } from './brotli.ts'
import type { Store } from './store.ts'

/** Blocks that follow one another. `senders`: addresses of each block's transactions, 20 bytes each; without them they are recovered. */
export type BlockRange = { readonly firstBlock: bigint; readonly lastBlock: bigint; readonly senders: readonly (Uint8Array | undefined)[] }

export type BatchRequest = BlockRange & {
  readonly index: bigint
  /** Bytes of a batch of several blocks, and of one, at most. */
  readonly payloadBytesMax: number
  readonly singleBytesMax: number
}

/** A batch of the first blocks of a range: all, or as many as fit. */
export type MadeBatch = {
  readonly payload: Uint8Array
  readonly tailRatio: number
  readonly lastBlock: bigint
  readonly lastBlockHash: Hex
  /** The last block's, as L1 takes it. */
  readonly certificate: Posting['certificate']
  /** L1 origin of the last block. */
  readonly originNumber: bigint
  readonly originHash: Hex
}

/** One piece of work, and what it gives. */
export type BatchWork = {
  measure(range: BlockRange): BlockSize[]
  make(request: BatchRequest): MadeBatch
  sidecar(payload: Uint8Array): Promise<Sidecar>
  judge(question: BatchQuestion): BatchJudgement
}

/** A batch of blocks that are all in the store, and how many batches are before it. */
export type BatchQuestion = { readonly header: BatchHeader; readonly nextIndex: bigint; readonly payload: Uint8Array }

/** Whether a batch says what the blocks in the store are; its commit is still to be verified. */
export type BatchJudgement =
  | { readonly ok: true; readonly commit: BatchCommit }
  | { readonly ok: false; readonly code: string; readonly [fact: string]: unknown }

/** The work over a store. The trusted setup for blobs is loaded when the first is made. */
export function createBatchWork(store: Store, params: ChainParams): BatchWork {
  let kzg: Kzg | undefined

  function laneOf({ firstBlock, lastBlock, senders }: BlockRange): LaneBlock[] {
    return Array.from({ length: Number(lastBlock - firstBlock) + 1 }, (_, i): LaneBlock => {
      const number = firstBlock + BigInt(i)
      const stored = store.block(number)
      assert(stored, `block ${number} is missing`)
      const { header, transactions } = stored.block
      const own = senders[i]
      const read = transactions.map((raw, at) => readCommitted(raw, params.chainId, own?.subarray(at * 20, at * 20 + 20)))
      return { header, transactions: read, operations: store.operations(number) }
    })
  }

  function make(request: BatchRequest): MadeBatch {
    const { firstBlock, lastBlock, index } = request
    const lane = laneOf(request)
    const parent = parentOf(firstBlock)
    const blocks = toBatchBlocks(lane, parent)
    const { groups, roots } = executeOwn(lane, groupsOf(laneRows(lane)), firstBlock)
    const last = store.block(lastBlock)
    assert(last, 'a block of the batch is missing')
    const commit = commitOf(store, lastBlock)
    const { round, bitmap } = commit
    const signature = toL1Signature(commit.signature, uncompressedSignature)
    assert(signature, 'a final block has a signature')
    const certificate = { round, bitmap: bytesToHex(bitmap), signature }
    const ledgerRootBefore = store.roots(firstBlock - 1n).ledgerRoot
    const batch = { index, firstBlock, commit, blocks, ledgerRootBefore, lane: encodeLane(groups), ledgerRoots: roots }
    const payloadBytesMax = blocks.length === 1 ? request.singleBytesMax : request.payloadBytesMax
    const encoded = encodeBatch(batch, { parent, compress: brotli.compress, payloadBytesMax })
    if (!encoded.ok) {
      const fewer = shrinkPost(blocks.length, encoded)
      assert(fewer !== undefined, `block ${firstBlock} does not fit into a batch: ${encoded.code}`)
      return make({ ...request, lastBlock: firstBlock + BigInt(fewer) - 1n })
    }
    const originNumber = blocks.at(-1)?.originNumber ?? parent.originNumber
    const { payload, tailRatio } = encoded
    const originHash = last.block.header.parentBeaconBlockRoot
    return { payload, tailRatio, lastBlock, lastBlockHash: last.hash, certificate, originNumber, originHash }
  }

  function parentOf(firstBlock: bigint): BatchParent {
    const before = store.block(firstBlock - 1n)
    assert(before, 'a batch has a parent')
    return { timestampMs: timestampMs(before.block.header), originNumber: l1InfoAfter(store, firstBlock - 1n).number }
  }

  /** These groups of our own blocks' rows, executed. */
  function executeOwn(lane: readonly LaneBlock[], groups: readonly (readonly LaneRow[])[], firstBlock: bigint): ExecutedLane {
    const root = store.roots(firstBlock - 1n).ledgerRoot
    const executed = executeLane({ root, source: store.reader, params, judgeEvidence, lookups: lookupsOf(lane) }, groups)
    assert(executed.ok, 'the lane of our own blocks does not run')
    const last = store.roots(firstBlock + BigInt(lane.length) - 1n).ledgerRoot
    assert((executed.roots.at(-1) ?? root) === last, 'the lane leads to another ledger root than the blocks')
    return executed
  }

  return {
    measure: (range) => laneOf(range).map(measureBlock),
    make,
    judge({ header, nextIndex, payload }) {
      const { firstBlock, lastBlock } = header
      const parent = parentOf(firstBlock)
      const decoded = decodeBatchBlocks({ header }, payload, {
        nextIndex,
        parent,
        chainId: params.chainId,
        decompress: brotli.decompress,
      })
      if (!decoded.ok) return decoded
      const { batch } = decoded
      if (batch.ledgerRootBefore !== store.roots(firstBlock - 1n).ledgerRoot) return { ok: false, code: 'rootBeforeMismatch' }
      const own = laneOf({ firstBlock, lastBlock, senders: [] })
      const rows = laneRows(own)
      for (const [i, block] of toBatchBlocks(own, parent).entries()) {
        const theirs = batch.blocks[i]
        if (!theirs || !isSameBlock(theirs, block)) return { ok: false, code: 'blockHashMismatch', block: firstBlock + BigInt(i) }
      }
      if (rows.length !== batch.groups.flat().length) return { ok: false, code: 'laneMismatch' }
      // Groups may be smaller than ours: their roots are of their own.
      const { groups, roots } = executeOwn(own, groupsLike(rows, batch.groups), firstBlock)
      if (Buffer.compare(encodeLane(groups).bytes, batch.lane.bytes) !== 0) return { ok: false, code: 'laneMismatch' }
      const group = roots.findIndex((root, i) => root !== batch.ledgerRoots[i])
      return group === -1 ? { ok: true, commit: batch.commit } : { ok: false, code: 'groupMismatch', group }
    },
    sidecar(payload) {
      kzg ??= createKzg({ prover: true })
      return createSidecar(kzg, encodeBlobs(payload))
    },
  }
}

function isSameBlock(one: BatchBlock, other: BatchBlock): boolean {
  const isSameHead = one.timestampMs === other.timestampMs && one.originNumber === other.originNumber && one.coinbase === other.coinbase
  const { length } = one.transactions
  if (!isSameHead || length !== other.transactions.length) return false
  return one.transactions.every((raw, i) => Buffer.compare(raw, other.transactions[i] ?? new Uint8Array()) === 0)
}

/** A committed transaction as the lane takes it: what was checked before it was committed is not checked again. */
function readCommitted(raw: Uint8Array, chainId: number, sender: Uint8Array | undefined): LaneTx {
  if (raw[0] === TX_TYPE.deposit) {
    const decoded = decodeTx(raw, commonOf(chainId))
    assert(decoded.ok && decoded.tx.kind === 'deposit', 'a committed deposit does not decode')
    return decoded.tx
  }
  const report = decodeReport(raw)
  if (report) return { kind: 'report', raw, report }
  const native = decodeNative(raw)
  if (!native) return { kind: 'ethereum', raw }
  const address = sender ? bytesToHex(sender) : recoverAddress(signingHash(native), native.signature)
  assert(address, 'a committed transaction is not signed')
  return { kind: 'native', raw, native, sender: address, gas: nativeGas(native) }
}

function commitOf(store: Store, number: bigint): BatchCommit {
  const decoded = decodeMessage(store.commit(number) ?? new Uint8Array())
  assert(decoded.ok && decoded.value.kind === 'commit', `the certificate of block ${number} is damaged`)
  const { round, bitmap, signature } = decoded.value
  return { round, bitmap, signature }
}
