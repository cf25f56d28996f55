/**
 * The work on a batch that takes no account and no endpoint: measuring blocks, their lane and its re-execution, compression, blobs with their proofs.
 * It reads committed blocks from the store, none of which stays in memory, and is done on a thread of its own (node/batchThread.ts).
 */
import { bytesToHex, type Hex } from 'viem'
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
import { type BatchCommit, encodeBatch, toBatchBlocks } from '../settlement/batch.ts'
import { encodeBlobs } from '../settlement/blob.ts'
import { createKzg, createSidecar, type Kzg, type Sidecar } from '../settlement/kzg.ts'
import { encodeLane, executeLane, type LaneBlock, type LaneTx, laneRows, lookupsOf } from '../settlement/lane.ts'
import { type BlockSize, measureBlock, shrinkPost } from '../settlement/post.ts'
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
  /** L1 origin of the last block. */
  readonly originNumber: bigint
  readonly originHash: Hex
}

/** One piece of work, and what it gives. */
export type BatchWork = {
  measure(range: BlockRange): BlockSize[]
  make(request: BatchRequest): MadeBatch
  sidecar(payload: Uint8Array): Promise<Sidecar>
}

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
    const before = store.block(firstBlock - 1n)
    assert(before, 'a batch has a parent')
    const parent = { timestampMs: timestampMs(before.block.header), originNumber: l1InfoAfter(store, firstBlock - 1n).number }
    const blocks = toBatchBlocks(lane, parent)
    const rows = laneRows(lane)
    const start = { root: before.ledgerRoot, source: store.reader, params, judgeEvidence, lookups: lookupsOf(lane) }
    const executed = executeLane(start, rows)
    assert(executed.ok, 'the lane of our own blocks does not run')
    const last = store.block(lastBlock)
    assert((executed.roots.at(-1) ?? before.ledgerRoot) === last?.ledgerRoot, 'the lane leads to another ledger root than the blocks')
    const batch = { index, firstBlock, commit: commitOf(store, lastBlock), blocks, lane: encodeLane(rows), ledgerRoots: executed.roots }
    const payloadBytesMax = blocks.length === 1 ? request.singleBytesMax : request.payloadBytesMax
    const encoded = encodeBatch(batch, { parent, compress: brotli.compress, payloadBytesMax })
    if (!encoded.ok) {
      const fewer = shrinkPost(blocks.length, encoded)
      assert(fewer !== undefined, `block ${firstBlock} does not fit into a batch: ${encoded.code}`)
      return make({ ...request, lastBlock: firstBlock + BigInt(fewer) - 1n })
    }
    const originNumber = blocks.at(-1)?.originNumber ?? parent.originNumber
    const { payload, tailRatio } = encoded
    return { payload, tailRatio, lastBlock, lastBlockHash: last.hash, originNumber, originHash: last.block.header.parentBeaconBlockRoot }
  }

  return {
    measure: (range) => laneOf(range).map(measureBlock),
    make,
    sidecar(payload) {
      kzg ??= createKzg({ prover: true })
      return createSidecar(kzg, encodeBlobs(payload))
    },
  }
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
