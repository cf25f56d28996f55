/**
 * native: our node, as people run it and with its chain on disk, against anvil (Rust, in memory, a block a second) with the contract that keeps the same
 * records, over JSON-RPC with transactions signed ahead, in one run and in turns. Documented in docs/benchmarks.md.
 *
 *     npm run bench -- native [--json] -- [--ops 12000] [--rounds 5] [--sustained 50000] [--light-sec 10] [--idle-sec 10]
 *       [--posting-ops 2048] [--apply-rounds 5]
 *
 * A quick look: --ops 2000 --rounds 1 --sustained 5000 --posting-ops 0 --apply-rounds 1. The node posts nothing to L1 while it is compared
 * (--da none; anvil settles nowhere), and what posting costs is measured by itself at the end. In each round anvil is a new one, and its load was run in
 * by 512 operations.
 */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { HubKind } from './hub.ts'
import { chunks } from './jsonRpc.ts'
import { type LoadResult, runLight, runLoad, type Signed, type Step, sendUntilGone } from './load.ts'
import {
  cpuMsOf,
  digits,
  memoryMiBOf,
  progress,
  quantileOf,
  readOptions,
  report,
  type Spread,
  show,
  spreadOf,
  textTable,
  threadsCpuMsOf,
  times,
} from './measure.ts'
import { MIX, type OwnNode, openAnvil, openOwn, type Target } from './targets.ts'

const options = readOptions({
  ops: 12_000,
  rounds: 5,
  sustained: 50_000,
  'light-sec': 10,
  'idle-sec': 10,
  'posting-ops': 2_048,
  'apply-rounds': 5,
})
const LIGHT_PER_SEC = 25
const WARM_UP_OPS = 512
const CHUNKS = 10
const EMPTY_BLOCKS = 10
const IDLE_READS_PER_SEC = 10
/** What a block leaves to be done is done within so many reads: writing it, telling of it. */
const AFTER_BLOCK_READS = 3
/** What settles after a load (compaction, timers) has this long. */
const SETTLE_MS = 3_000
/**
 * The runtime gives garbage back when there has been little to do for a while, in steps of its own choosing: the memory that an operation leaves is read
 * before and after a load when it has not fallen for so long, and after this time at the latest.
 */
const MEMORY_STILL_MS = 50_000
const MEMORY_SETTLE_MAX_MS = 180_000
const MEMORY_STEP_MIB = 2

/** Each kind, and the part of the usual number of operations that it is run with: so that all take about as long. */
const KINDS: readonly { readonly kind: HubKind; readonly part: number; readonly entries: number }[] = [
  { kind: 'upload', part: 1, entries: 1 },
  { kind: 'model', part: 1, entries: 1 },
  { kind: 'credit100', part: 0.25, entries: 100 },
]

type Sides<T> = { readonly own: T; readonly peer: T }
/** `restMsPerSec`: CPU a second beside blocks. */
type EmptyBlock = { readonly operations: number; readonly ms: number | undefined; readonly restMsPerSec?: number | undefined }

await main()

async function main(): Promise<void> {
  const applyOfSignatureLimit = options['apply-rounds'] > 0 ? await runApplyBlock() : undefined
  progress('setting the stage')
  const own = await openOwn(['--da', 'none'])
  try {
    const emptyBlocks: { readonly own: EmptyBlock[]; readonly peer: EmptyBlock[] } = { own: [], peer: [] }
    emptyBlocks.own.push(await idleBlocks(own, 0))
    const rounds = await runRounds(own)
    const light = await runLightLoads(own)
    const before = (options.rounds * 2.25 + 0.5) * options.ops
    emptyBlocks.own.push(await idleBlocks(own, before))
    const sustained = await runSustained(own, emptyBlocks, before)
    const crash = await crashAndRestart(own)
    const posting = options['posting-ops'] > 0 ? await runPosting(options['posting-ops']) : undefined
    print({ rounds, light, sustained, emptyBlocks, crash, posting, applyOfSignatureLimit })
  } finally {
    await own.close()
  }
}

// ---- phases -------------------------------------------------------------------------------------------------------------------------

type Rounds = ReadonlyMap<HubKind, Sides<LoadResult[]>>

/** Each kind in each round on both, the one that goes first changing. */
async function runRounds(own: OwnNode): Promise<Rounds> {
  const found = new Map(KINDS.map(({ kind }) => [kind, { own: [] as LoadResult[], peer: [] as LoadResult[] }]))
  for (const { kind } of KINDS) await runLoad(own.endpoint(), own.load(own.next([kind], Math.min(options.ops, 4 * WARM_UP_OPS))))
  const peerSigned = new Map<HubKind, { readonly warmUp: readonly Signed[]; readonly signed: readonly Signed[] }>()
  for (let round = 0; round < options.rounds; round++) {
    for (const { kind, part } of KINDS) {
      const count = Math.ceil(options.ops * part)
      const runOwn = async () => {
        found.get(kind)?.own.push(await runLoad(own.endpoint(), own.load(own.next([kind], count))))
      }
      const runPeer = async () => {
        const peer = await openAnvil()
        try {
          // Every anvil starts alike, so what was signed for the first one is good for all.
          const known = peerSigned.get(kind) ?? { warmUp: peer.next([kind], WARM_UP_OPS), signed: peer.next([kind], count) }
          peerSigned.set(kind, known)
          await runLoad(peer.endpoint(), peer.load(known.warmUp))
          found.get(kind)?.peer.push(await runLoad(peer.endpoint(), peer.load(known.signed)))
        } finally {
          await peer.close()
        }
      }
      for (const run of round % 2 === 0 ? [runOwn, runPeer] : [runPeer, runOwn]) await run()
    }
    progress(`round ${round + 1} of ${options.rounds}`)
  }
  return found
}

/** Times to receipt at light load. */
async function runLightLoads(own: OwnNode): Promise<Sides<readonly number[]>> {
  const count = options['light-sec'] * LIGHT_PER_SEC
  const run = (target: Target) =>
    runLight(
      target.endpoint(),
      target.next(['upload'], count).map(({ raw }) => raw),
      LIGHT_PER_SEC,
    )
  progress('light load')
  const peer = await openAnvil()
  try {
    return { own: await run(own), peer: await run(peer) }
  } finally {
    await peer.close()
  }
}

/**
 * CPU of a block without transactions, all threads: what is used while blocks come above what is used while none does, read ten times a second. What a
 * node at rest uses beside blocks (its L1, its peers, its timers, being asked ten times a second) is printed by itself.
 */
async function idleBlocks(own: OwnNode, operations: number): Promise<EmptyBlock> {
  await sleep(SETTLE_MS)
  const { pid } = own.endpoint()
  const read = async () => {
    const block = Number(await own.rpc.call('eth_blockNumber'))
    return { block, ms: performance.now(), cpuMs: (pid === undefined ? undefined : threadsCpuMsOf(pid)) ?? Number.NaN }
  }
  const all = { ms: 0, cpuMs: 0, blocks: 0 }
  const still = { ms: 0, cpuMs: 0 }
  let sinceBlock = 0
  let last = await read()
  for (let i = 0; i < options['idle-sec'] * IDLE_READS_PER_SEC; i++) {
    await sleep(1_000 / IDLE_READS_PER_SEC)
    const next = await read()
    const [ms, cpuMs, blocks] = [next.ms - last.ms, next.cpuMs - last.cpuMs, next.block - last.block]
    last = next
    if (Number.isNaN(cpuMs)) continue // a thread ended while it was looked at
    sinceBlock = blocks > 0 ? 0 : sinceBlock + 1
    all.ms += ms
    all.cpuMs += cpuMs
    all.blocks += blocks
    if (sinceBlock < AFTER_BLOCK_READS) continue
    still.ms += ms
    still.cpuMs += cpuMs
  }
  if (still.ms === 0 || all.blocks === 0) return { operations, ms: undefined }
  const restMsPerSec = (still.cpuMs * 1_000) / still.ms
  return { operations, ms: (all.cpuMs - (restMsPerSec * all.ms) / 1_000) / all.blocks, restMsPerSec }
}

async function minedBlocks(peer: Target, operations: number): Promise<EmptyBlock> {
  await sleep(SETTLE_MS)
  const { pid } = peer.endpoint()
  const before = pid === undefined ? undefined : cpuMsOf(pid)
  for (let i = 0; i < EMPTY_BLOCKS; i++) await peer.rpc.call('evm_mine')
  const after = pid === undefined ? undefined : cpuMsOf(pid)
  return { operations, ms: before === undefined || after === undefined ? undefined : (after - before) / EMPTY_BLOCKS }
}

/** Growth of resident memory: when all has settled, and at the most. */
type Grown = LoadResult & { readonly memoryGrowthMiB: number | undefined; readonly memoryPeakMiB: number | undefined }
type Sustained = Sides<Grown>

async function runSustained(own: OwnNode, emptyBlocks: Sides<EmptyBlock[]>, before: number): Promise<Sustained> {
  const run = async (target: Target) => {
    progress('signing a sustained load')
    const load = target.load(target.next(MIX, options.sustained))
    const before = await settledMemory(target)
    const since = (now: number | undefined) => (before === undefined || now === undefined ? undefined : now - before)
    const result = await runLoad(target.endpoint(), load)
    progress(`sustained: ${digits((result.ops * 1_000) / result.wallMs)} operations a second`)
    const memoryPeakMiB = since(Math.max(...result.steps.map(({ memoryMiB }) => memoryMiB ?? 0)))
    return { ...result, memoryGrowthMiB: since(await settledMemory(target)), memoryPeakMiB }
  }
  const ownResult = await run(own)
  emptyBlocks.own.push(await idleBlocks(own, before + options.sustained))
  const peer = await openAnvil()
  try {
    emptyBlocks.peer.push(await minedBlocks(peer, 0))
    const peerResult = await run(peer)
    emptyBlocks.peer.push(await minedBlocks(peer, options.sustained))
    return { own: ownResult, peer: peerResult }
  } finally {
    await peer.close()
  }
}

/** Resident memory when it falls no more. */
async function settledMemory(target: Target): Promise<number | undefined> {
  progress('waiting for memory to settle')
  const { pid } = target.endpoint()
  const began = performance.now()
  let least = Number.POSITIVE_INFINITY
  for (let still = began; performance.now() - still < MEMORY_STILL_MS && performance.now() - began < MEMORY_SETTLE_MAX_MS; ) {
    const now = pid === undefined ? undefined : memoryMiBOf(pid)
    if (now === undefined) return undefined
    if (now <= least - MEMORY_STEP_MIB) {
      least = now
      still = performance.now()
    }
    await sleep(1_000)
  }
  return least
}

type Crash = { readonly acknowledged: number; readonly lost: number; readonly restartMs: number }

/** kill -9 in the middle of a load; then every receipt that was seen before has to be there. */
async function crashAndRestart(own: OwnNode): Promise<Crash> {
  progress('kill -9 and restart')
  const acknowledged = await sendUntilGone(own.endpoint(), own.load(own.next(MIX, Math.min(options.ops, 6_000))), own.kill)
  const restartMs = await own.restart()
  let lost = 0
  for (const part of chunks(acknowledged, 50)) {
    const receipts = await own.rpc.batch<object | null>(part.map((hash) => ['eth_getTransactionReceipt', [hash]] as const))
    lost += receipts.filter((receipt) => receipt === null).length
  }
  return { acknowledged: acknowledged.length, lost, restartMs }
}

/** What applying blocks of uploads reaches of what their signatures alone allow: the applyBlock bench, in a process of its own. */
async function runApplyBlock(): Promise<number | undefined> {
  progress('applying blocks')
  const bench = fileURLToPath(new URL('applyBlock.bench.ts', import.meta.url))
  const args = ['--kinds', 'upload', '--accounts', '5000', '--ops', '1000', '--rounds', String(options['apply-rounds']), '--json']
  const child = spawn(process.execPath, [bench, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`the applyBlock bench ended with ${code}`)
  const { kinds } = JSON.parse(text) as { kinds: Record<string, { applyOfSignatureLimit: Spread }> }
  return kinds.upload?.applyOfSignatureLimit.median
}

/** CPU of an upload with its posting to L1, on a devnet of its own that posts as usual. */
async function runPosting(count: number): Promise<number | undefined> {
  progress('posting to L1')
  const own = await openOwn([])
  try {
    const { pid } = own.endpoint()
    await runLoad(own.endpoint(), own.load(own.next(['upload'], WARM_UP_OPS)))
    await own.settled()
    const before = pid === undefined ? undefined : cpuMsOf(pid)
    await runLoad(own.endpoint(), own.load(own.next(['upload'], count)))
    await own.settled()
    const after = pid === undefined ? undefined : cpuMsOf(pid)
    return before === undefined || after === undefined ? undefined : (after - before) / count
  } finally {
    await own.close()
  }
}

// ---- result -------------------------------------------------------------------------------------------------------------------------

type Found = {
  readonly rounds: Rounds
  readonly light: Sides<readonly number[]>
  readonly sustained: Sustained
  readonly emptyBlocks: Sides<readonly EmptyBlock[]>
  readonly crash: Crash
  readonly posting: number | undefined
  readonly applyOfSignatureLimit: number | undefined
}

type Run = {
  readonly kind: string
  readonly opsPerSec: Sides<Spread>
  readonly ratio: number
  readonly cpuMsPerOp: Sides<Spread> | undefined
  readonly clientCpuMsPerOp: Sides<number>
  readonly receiptP50Ms: Sides<number>
  readonly receiptP99Ms: Sides<number>
}

function print({ rounds, light, sustained, emptyBlocks, crash, posting, applyOfSignatureLimit }: Found): void {
  const runs = KINDS.map(({ kind }) => runOf(kind, rounds.get(kind)))
  const [uploads, models, credits] = runs
  const { own, peer } = sustained
  const chunkRates = { own: chunksOf(own, minedWhileSent(own)), peer: chunksOf(peer, peer.ops) }
  const mixed = runOf('mixed', { own: [sustained.own], peer: [sustained.peer] })
  const cpuRatio = (run: Run | undefined) => run?.cpuMsPerOp && run.cpuMsPerOp.own.median / run.cpuMsPerOp.peer.median
  const figures = {
    uploads: uploads?.ratio,
    models: models?.ratio,
    creditEntries: credits?.ratio,
    sustained: mixed.ratio,
    endOfStart: endOfStart(chunkRates.own),
    applyOfSignatureLimit,
    cpuPerUpload: cpuRatio(uploads),
    cpuPerModel: cpuRatio(models),
    cpuPerCredit: cpuRatio(credits),
    cpuSustained: cpuRatio(mixed),
    emptyBlockMs: emptyBlocks.own.at(-1)?.ms,
    emptyBlocks,
    bytesPerOperation: both(sustained, ({ memoryGrowthMiB, ops }) => bytesEach(memoryGrowthMiB, ops)),
    peakBytesPerOperation: both(sustained, ({ memoryPeakMiB, ops }) => bytesEach(memoryPeakMiB, ops)),
    receiptP50Ms: quantileOf(light.own, 0.5),
    receiptP99Ms: uploads?.receiptP99Ms.own,
    lightReceiptP50Ms: both(light, (values) => quantileOf(values, 0.5)),
    lightReceiptP99Ms: both(light, (values) => quantileOf(values, 0.99)),
    sustainedReceiptP99Ms: mixed.receiptP99Ms,
    restartMs: crash.restartMs,
    receiptsLost: crash.lost,
    receiptsAcknowledged: crash.acknowledged,
    cpuMsPerUploadPosted: posting,
    runs: [...runs, mixed],
    chunks: chunkRates,
  }
  report({ bench: 'native', json: options.json, text: textOf({ runs: [...runs, mixed], chunkRates, figures, posting }), figures })
  if (crash.lost > 0) process.exitCode = 1
}

function textOf({
  runs,
  chunkRates,
  figures,
  posting,
}: {
  readonly runs: readonly Run[]
  readonly chunkRates: Sides<readonly Chunk[]>
  readonly figures: Readonly<Record<string, unknown>>
  readonly posting: number | undefined
}): string {
  const rows = runs.map((run) => [
    run.kind,
    show(run.opsPerSec.own),
    show(run.opsPerSec.peer),
    times(run.ratio),
    run.cpuMsPerOp ? show(run.cpuMsPerOp.own) : '–',
    run.cpuMsPerOp ? show(run.cpuMsPerOp.peer) : '–',
    `${digits(run.clientCpuMsPerOp.own)} / ${digits(run.clientCpuMsPerOp.peer)}`,
    `${digits(run.receiptP50Ms.own)} / ${digits(run.receiptP99Ms.own)}`,
    `${digits(run.receiptP50Ms.peer)} / ${digits(run.receiptP99Ms.peer)}`,
  ])
  const head = ['operation', 'ours, ops/s', 'anvil, ops/s', 'ours of anvil’s', 'ours, CPU ms an op', 'anvil, CPU ms an op', 'client CPU ms']
  const table = textTable([...head, 'receipt p50 / p99 ms, ours', 'anvil'], rows)
  const chunkRow = (name: string, side: readonly Chunk[]) => `${name}: ${side.map(({ opsPerSec }) => digits(opsPerSec)).join(' ')}`
  const rest = Object.entries(figures).filter(([name]) => name !== 'runs' && name !== 'chunks')
  return [
    table,
    `\nSustained, operations a second by tenths:\n${chunkRow('ours', chunkRates.own)}\n${chunkRow('anvil', chunkRates.peer)}\n`,
    ...rest.map(([name, value]) => `${name}: ${JSON.stringify(value)}`),
    posting === undefined ? '' : `\nAn upload with its posting to L1 takes ${digits(posting)} ms of the node's CPU.`,
  ].join('\n')
}

function runOf(kind: string, sides: Sides<readonly LoadResult[]> | undefined): Run {
  if (!sides) throw new Error(`${kind} was not run`)
  const opsPerSec = both(sides, (of) => spreadOf(of.map(({ ops, wallMs }) => (ops * 1_000) / wallMs)))
  const cpu = both(sides, (of) => of.flatMap(({ cpuMs, ops }) => (cpuMs === undefined ? [] : [cpuMs / ops])))
  const receipts = both(sides, (of) => of.flatMap(({ receiptMs }) => receiptMs))
  return {
    kind,
    opsPerSec,
    ratio: opsPerSec.own.median / opsPerSec.peer.median,
    cpuMsPerOp: cpu.own.length > 0 && cpu.peer.length > 0 ? both(cpu, spreadOf) : undefined,
    clientCpuMsPerOp: both(sides, (of) =>
      quantileOf(
        of.map(({ clientCpuMs, ops }) => clientCpuMs / ops),
        0.5,
      ),
    ),
    receiptP50Ms: both(receipts, (values) => quantileOf(values, 0.5)),
    receiptP99Ms: both(receipts, (values) => quantileOf(values, 0.99)),
  }
}

function both<T, R>({ own, peer }: Sides<T>, make: (side: T) => R): Sides<R> {
  return { own: make(own), peer: make(peer) }
}

type Chunk = { readonly opsPerSec: number; readonly cpuMsPerOp: number | undefined; readonly memoryMiB: number | undefined }

/** What of a load was in blocks when the last of it was sent: from then on less and less waits. */
function minedWhileSent({ sentMs, steps }: LoadResult): number {
  return steps.findLast(({ ms }) => ms <= sentMs)?.mined ?? 0
}

/** A load up to so many operations, by tenths of them; where a tenth ends within a block, its time lies between that block and the one before. */
function chunksOf({ steps }: LoadResult, ops: number): Chunk[] {
  const size = ops / CHUNKS
  return Array.from({ length: CHUNKS }, (_, i) => {
    const [from, to] = [at(steps, i * size), at(steps, (i + 1) * size)]
    const cpuMs = from.cpuMs === undefined || to.cpuMs === undefined ? undefined : to.cpuMs - from.cpuMs
    return { opsPerSec: (size * 1_000) / (to.ms - from.ms), cpuMsPerOp: cpuMs && cpuMs / size, memoryMiB: to.memoryMiB }
  })
}

function at(steps: readonly Step[], mined: number): Step {
  const next = steps.findIndex((step) => step.mined >= mined)
  const [high, low] = [steps[next], steps[next - 1]]
  if (!high) throw new Error('the load did not come that far')
  if (!low) return high
  const part = (mined - low.mined) / (high.mined - low.mined)
  const between = (a: number | undefined, b: number | undefined) => (a === undefined || b === undefined ? undefined : a + (b - a) * part)
  return { mined, ms: low.ms + (high.ms - low.ms) * part, cpuMs: between(low.cpuMs, high.cpuMs), memoryMiB: high.memoryMiB }
}

function endOfStart(of: readonly Chunk[]): number | undefined {
  const [first, last] = [of[0], of.at(-1)]
  return first && last && last.opsPerSec / first.opsPerSec
}

function bytesEach(growthMiB: number | undefined, ops: number): number | undefined {
  return growthMiB === undefined ? undefined : (growthMiB * 2 ** 20) / ops
}
