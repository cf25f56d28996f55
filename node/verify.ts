/**
 * `tributary verify`: rebuilds every block from what L1 holds, by the same execution as a validator's, and compares what there is to compare: each
 * batch's rows, ledger roots, certificate and last hash, each checkpoint, and, if asked, each block of a live node. Invalid batches are dropped, with the
 * reason; a checkpoint or a block that is not what follows is a difference, and ends it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPublicClient, type Hex, http } from 'viem'
import { transactionHash } from '../execution/native/native.ts'
import { type L1Batch, type L1Submitted, standingCheckpoints } from '../settlement/l1Logs.ts'
import { l1InfoAfter } from './blocks.ts'
import { type ConfigOf, UsageError } from './config.ts'
import { createLog } from './log.ts'
import { beaconOption, inboxOption } from './operatorNode.ts'
import { type DroppedBatch, type Fault, openRebuild, openRollup, type Rebuild } from './rebuild.ts'
import type { StoredBlock } from './store.ts'

/** Something that is not as L1, or the live node, says. */
export type VerifyDifference = Fault & { readonly where: 'checkpoint' | 'node' }

export type VerifySummary = {
  readonly blocks: bigint
  readonly transactions: number
  /** Batches that blocks were taken from. */
  readonly batches: number
  /** The first 64 of those that were dropped, and how many there were. */
  readonly dropped: readonly DroppedBatch[]
  readonly droppedCount: number
  /** Batches that follow no batch that blocks were taken from, or one whose blocks were there already. */
  readonly passedOver: number
  readonly payloadBytes: number
  readonly checkpoints: number
  /** Blocks compared with the live node. */
  readonly compared: number
  readonly head: { readonly number: bigint; readonly hash: Hex; readonly stateRoot: Hex; readonly ledgerRoot: Hex }
}

export type VerifyResult = ({ readonly ok: true } | { readonly ok: false; readonly difference: VerifyDifference }) & {
  readonly summary: VerifySummary
}

export type VerifyOptions = {
  readonly l1Url: string
  readonly beaconUrls: readonly string[]
  readonly inbox: Hex | undefined
  /** A node whose blocks are compared, too. */
  readonly rpcUrl: string | undefined
  onProgress(progress: { readonly block: bigint; readonly batch: number; readonly batches: number }): void
}

/** Everything that a walk over the batches has in hand. */
type Walk = {
  readonly rebuilt: Rebuild
  readonly live: ReturnType<typeof createLive> | undefined
  readonly dropped: DroppedBatch[]
  readonly counts: {
    transactions: number
    batches: number
    droppedCount: number
    passedOver: number
    payloadBytes: number
    compared: number
    checkpoints: number
  }
}

/** Dropped batches that are told. */
const DROPPED_MAX = 64

/** Rebuilds and compares. Throws `L1Error` where L1 cannot be read; a difference is a result. */
export async function verifyFromL1(options: VerifyOptions): Promise<VerifyResult> {
  const { l1Url, beaconUrls, inbox, rpcUrl, onProgress } = options
  const { l1, genesis, accumulator } = await openRollup({ l1Url, beaconUrls, inbox })
  const directory = mkdtempSync(join(tmpdir(), 'tributary-verify-'))
  const log = createLog({ level: 'error', json: false, write: (line) => process.stderr.write(line) })
  const rebuilt = await openRebuild({ directory, genesis, l1, accumulator, log })
  try {
    const to = await l1.blockByTag('latest')
    const batches = await l1.batches(genesis.l1.origin.number, to)
    const checkpoints = standingCheckpoints(await l1.checkpoints(genesis.l1.origin.number, to))
    const walk: Walk = {
      rebuilt,
      live: rpcUrl === undefined ? undefined : createLive(rpcUrl),
      dropped: [],
      counts: { transactions: 0, batches: 0, droppedCount: 0, passedOver: 0, payloadBytes: 0, compared: 0, checkpoints: 0 },
    }
    let difference = await compareLive(walk, 0n, 0n)
    for (const [index, batch] of batches.entries()) {
      if (difference) break
      const isTaken = await takeBatch(walk, batch)
      difference = compareCheckpoints(walk, checkpoints, { batch, isTaken })
      if (isTaken) difference ??= await compareLive(walk, batch.header.firstBlock, batch.header.lastBlock)
      onProgress({ block: rebuilt.chain().head().header.number, batch: index + 1, batches: batches.length })
    }
    const summary = summarise(walk)
    return difference ? { ok: false, difference, summary } : { ok: true, summary }
  } finally {
    await rebuilt.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Goes over a batch, and counts what came of it. */
async function takeBatch({ rebuilt, counts, dropped }: Walk, batch: L1Batch): Promise<boolean> {
  const taken = await rebuilt.take(batch)
  if (taken.kind === 'passedOver') counts.passedOver++
  if (taken.kind === 'dropped') {
    counts.droppedCount++
    if (dropped.length < DROPPED_MAX) dropped.push(taken.dropped)
  }
  if (taken.kind !== 'taken') return false
  counts.batches++
  counts.transactions += taken.transactions
  counts.payloadBytes += batch.header.payloadBytes
  return true
}

function compareCheckpoints(
  { rebuilt, counts }: Walk,
  checkpoints: readonly L1Submitted[],
  { batch: { index, accumulator }, isTaken }: { readonly batch: L1Batch; readonly isTaken: boolean },
): VerifyDifference | undefined {
  const chain = rebuilt.chain()
  for (const { id, checkpoint } of checkpoints) {
    if (checkpoint.batchIndex !== index) continue
    // A checkpoint may be bound to nothing but what blocks follow from.
    if (!isTaken)
      return { where: 'checkpoint', code: 'batchNotTaken', block: checkpoint.lastBlock, field: 'batchIndex', got: index, facts: { id } }
    const stored = chain.store.block(checkpoint.lastBlock)
    const want = {
      blockHash: stored?.hash,
      evmRoot: stored?.block.header.stateRoot,
      ledgerRoot: stored?.ledgerRoot,
      batchAccumulator: accumulator,
      depositCursor: l1InfoAfter(chain.store, checkpoint.lastBlock).depositCursor,
    }
    for (const [field, value] of Object.entries(want)) {
      const got = checkpoint[field as keyof typeof want]
      if (got !== value)
        return { where: 'checkpoint', code: 'checkpointMismatch', block: checkpoint.lastBlock, field, got, want: value, facts: { id } }
    }
    counts.checkpoints++
  }
  return undefined
}

/** A live node's blocks, as it says. */
function createLive(rpcUrl: string) {
  const client = createPublicClient({ transport: http(rpcUrl, { batch: { batchSize: 50 }, retryCount: 2 }) })
  return (numbers: readonly bigint[]) => Promise.all(numbers.map((blockNumber) => client.getBlock({ blockNumber }).catch(() => undefined)))
}

async function compareLive({ rebuilt, live, counts }: Walk, first: bigint, last: bigint): Promise<VerifyDifference | undefined> {
  if (!live) return undefined
  for (let from = first; from <= last; from += 50n) {
    const numbers = Array.from({ length: Number(last - from + 1n < 50n ? last - from + 1n : 50n) }, (_, i) => from + BigInt(i))
    for (const [i, theirs] of (await live(numbers)).entries()) {
      const number = numbers[i] ?? from
      const ours = rebuilt.chain().store.block(number)
      if (!theirs || !ours) return { where: 'node', code: 'blockMissing', block: number }
      const differing = differingField(ours, theirs)
      if (differing) return { where: 'node', code: 'blockMismatch', block: number, ...differing }
      counts.compared++
    }
  }
  return undefined
}

type Differing = { readonly txIndex?: number; readonly field: string; readonly got: unknown; readonly want: unknown }

/** The first field of a block that the node has otherwise, and the first transaction, if that is where it begins. */
function differingField({ block, hash }: StoredBlock, theirs: object): Differing | undefined {
  const want: Readonly<Record<string, unknown>> = { ...block.header, hash }
  const got = theirs as Readonly<Record<string, unknown>>
  const ours = block.transactions.map((raw) => transactionHash(raw))
  const txs = got.transactions as readonly Hex[]
  const txIndex = Array.from({ length: Math.max(ours.length, txs.length) }, (_, i) => i).find((i) => ours[i] !== txs[i])
  const place = txIndex === undefined ? {} : { txIndex }
  const field = Object.keys(want).find((name) => String(got[name]).toLowerCase() !== String(want[name]).toLowerCase())
  if (field !== undefined) return { ...place, field, got: got[field], want: want[field] }
  return txIndex === undefined ? undefined : { txIndex, field: 'transactions', got: txs[txIndex], want: ours[txIndex] }
}

function summarise({ rebuilt, counts, dropped }: Walk): VerifySummary {
  const chain = rebuilt.chain()
  const { header, hash } = chain.head()
  const { ledgerRoot } = chain.store.roots(header.number)
  return { blocks: header.number, ...counts, dropped, head: { number: header.number, hash, stateRoot: header.stateRoot, ledgerRoot } }
}

/** The command. Exit code 0: all as L1 says; 3: a difference. */
export async function runVerify(config: ConfigOf<'verify'>, print: (text: string) => void): Promise<number> {
  const { l1, rpc, beacon, inbox, json } = config
  if (l1 === undefined) throw new UsageError('--l1 URL is required')
  const live = !json && process.stdout.isTTY === true
  const result = await verifyFromL1({
    l1Url: l1,
    beaconUrls: beaconOption(beacon, l1),
    inbox: inboxOption(inbox),
    rpcUrl: rpc,
    onProgress: ({ block, batch, batches }) => {
      if (json) print(`${JSON.stringify({ progress: { block: Number(block), batch, batches } })}\n`)
      else print(`${live ? '\r\u001b[2K' : ''}block ${block} · batch ${batch} of ${batches}${live ? '' : '\n'}`)
    },
  })
  if (live) print('\n')
  print(json ? `${JSON.stringify(result, plain)}\n` : verifyText(result))
  return result.ok ? 0 : 3
}

/** A result for people. */
export function verifyText({ summary, ...result }: VerifyResult): string {
  const { blocks, transactions, batches, payloadBytes, checkpoints, compared, head, dropped, droppedCount, passedOver } = summary
  const lines = [
    `${blocks} blocks with ${transactions} transactions rebuilt from ${batches} batches (${payloadBytes.toLocaleString('en')} bytes)`,
    `${checkpoints} checkpoints compared${compared > 0 ? `, ${compared} blocks compared with the node` : ''}`,
    ...(droppedCount + passedOver > 0 ? [`${droppedCount} invalid batches dropped, ${passedOver} passed over`] : []),
    ...dropped.map((one) => `  dropped ${JSON.stringify(one, plain)}`),
    `head ${head.number} ${head.hash}`,
    `EVM root ${head.stateRoot}, ledger root ${head.ledgerRoot}`,
  ]
  if (result.ok) return `${lines.join('\n')}\nEverything is as L1 says.\n`
  return `${lines.join('\n')}\nDIFFERENCE ${JSON.stringify(result.difference, plain)}\n`
}

function plain(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
