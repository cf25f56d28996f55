/**
 * growth: what a transaction costs when the ledger is small and when it is large. Each size is a chain in a process of its own, on a level store as a
 * node's: its ledger is filled with accounts, then blocks are built and written of transfers to accounts all over the ledger (which nothing has in
 * memory) and of uploads, by senders who take turns. Documented in docs/benchmarks.md.
 *
 *     node test/bench/growth.bench.ts [--records 10000,1000000] [--ops 1000] [--rounds 9] [--json]
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bytesToHex, type Hex } from 'viem'
import { judgeEvidence } from '../../consensus/evidence.ts'
import type { Header } from '../../execution/block.ts'
import { type Built, buildBlock } from '../../execution/buildBlock.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { CACHED_RECORDS_MAX } from '../../execution/ledger/ledger.ts'
import { PAGE_BYTES } from '../../execution/ledger/page.ts'
import { accounts, getCounters, putAccount } from '../../execution/ledger/tables.ts'
import { RESIDENT_PAGES_MAX, treeKey } from '../../execution/ledger/tree.ts'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { createState } from '../../execution/state.ts'
import { decodeTx, type Tx } from '../../execution/tx.ts'
import { createVm } from '../../execution/vm.ts'
import { ENTRY_WEI, OPEN_WEI } from '../../genesis/params.ts'
import { openStore } from '../../node/store.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { testGenesis } from '../fakes/testChain.ts'
import { type Cost, costOf, digits, progress, readOptions, report, type Spread, show, spreadOf, textTable, times } from './measure.ts'
import { nativeOperation, pick, type Signer, type Stage, signer, signers, signNative } from './operations.ts'
import { setStage } from './stage.ts'

const options = readOptions({ records: '10000,1000000', ops: 1_000, rounds: 9, 'only-size': 0 })
/** Rounds that are not counted: they are for the compiler, and for caches to be as full as they get. */
const WARM_UP_ROUNDS = 5
const SENDERS = 2_000
/** Records that one block of the filling writes. */
const FILL_BLOCK = 32_768
const FEE_RECIPIENT: Hex = `0x${'c3'.repeat(20)}`
/** As long as a certificate of a small set. */
const COMMIT = new Uint8Array(160)

/** What was measured at one size; times are µs an operation, memory MiB. */
type Figures = {
  readonly records: number
  readonly executeUs: Spread
  readonly writeUs: Spread
  readonly mainUs: Spread
  readonly allThreadsUs: Spread
  readonly residentMiB: number
  readonly ownMemoryMiB: number
  readonly diskBytesPerRecord: number
  readonly diskBytesPerOp: number
}

if (options['only-size'] > 0) process.stdout.write(`${JSON.stringify(await measureSize(options['only-size']))}\n`)
else await main()

async function main(): Promise<void> {
  const found: Figures[] = []
  for (const size of options.records.split(',')) found.push(await inOwnProcess(size))
  const [first] = found
  const last = found.at(-1)
  const ratio = first && last ? last.mainUs.median / first.mainUs.median : Number.NaN
  const rows = found.map((one) => [
    digits(one.records),
    show(one.mainUs),
    show(one.writeUs),
    show(one.allThreadsUs),
    first ? times(one.mainUs.median / first.mainUs.median) : '',
    `${digits(one.residentMiB)} (${digits(one.ownMemoryMiB)} its own)`,
    digits(one.diskBytesPerRecord),
    digits(one.diskBytesPerOp),
  ])
  const head = [
    ...['records', 'µs an op, main thread', 'of it writing', 'all threads', 'of the smallest'],
    ...['resident MiB', 'disk bytes a record', 'disk bytes an op'],
  ]
  const capMiB = { pages: (RESIDENT_PAGES_MAX * PAGE_BYTES) / 2 ** 20, records: CACHED_RECORDS_MAX }
  const text = `${textTable(head, rows)}\n\nThe ledger keeps at most ${capMiB.pages} MiB of pages and ${digits(capMiB.records)} records in memory.`
  report({ bench: 'growth', json: options.json, text, figures: { growth: ratio, sizes: found, cap: capMiB } })
}

/** Measures a size in a process that has done nothing else. */
function inOwnProcess(size: string): Promise<Figures> {
  const { ops, rounds } = options
  const args = ['--only-size', size, '--ops', String(ops), '--rounds', String(rounds)]
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`the chain of ${size} records ended with ${code}`)),
    )
  })
}

async function measureSize(size: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-growth-'))
  try {
    return await measureIn(folder, size)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureIn(folder: string, size: number): Promise<Figures> {
  const senders = signers('grower', SENDERS)
  const chain = await createChain(folder, senders)
  await fill(chain, size)
  const diskFilled = diskBytes(folder)
  const stage = await stageOn(chain)
  const samples: { execute: Cost; write: Cost }[] = []
  let diskBefore = 0
  for (let round = 0; round < WARM_UP_ROUNDS + options.rounds; round++) {
    const raws = operations(chain, stage, { round, size, senders })
    if (round === WARM_UP_ROUNDS) diskBefore = diskBytes(folder)
    const cost = await chain.add(raws)
    if (round >= WARM_UP_ROUNDS) samples.push(cost)
  }
  const per = (read: (cost: { execute: Cost; write: Cost }) => number) => spreadOf(samples.map((one) => (read(one) * 1_000) / options.ops))
  const memory = memoryMiB()
  const figures = {
    records: size,
    executeUs: per(({ execute }) => execute.mainMs),
    writeUs: per(({ write }) => write.mainMs),
    mainUs: per(({ execute, write }) => execute.mainMs + write.mainMs),
    allThreadsUs: per(({ execute, write }) => execute.processMs + write.processMs),
    residentMiB: memory.all,
    ownMemoryMiB: memory.own,
    diskBytesPerRecord: diskFilled / size,
    diskBytesPerOp: (diskBytes(folder) - diskBefore) / (options.ops * options.rounds),
  }
  await chain.close()
  return figures
}

// ---- the chain ----------------------------------------------------------------------------------------------------------------------

type Chain = Awaited<ReturnType<typeof createChain>>

async function createChain(folder: string, senders: readonly Signer[]) {
  const genesis = testGenesis({ blockGasLimit: 20_000_000_000n, blockBytesMax: 64 << 20 })
  const { params } = genesis
  const rich = [...senders, signer('owner', 0)].map(({ address }) => ({ address, evmWei: 0n, ledgerWei: 1_000_000n * OPEN_WEI }))
  const first = createGenesisBlock({ ...genesis, accounts: rich })
  const store = await openStore(folder)
  await store.writeGenesis('', first)
  const state = createState(store.reader, first.roots)
  const vm = await createVm({ state, params, precompiles: PRECOMPILES, blockHash: (number) => store.block(number)?.hash })
  const nonces = new Map<Hex, bigint>()
  let head: Header = first.block.header
  let timeMs = Number(head.timestamp) * 1_000

  async function build(offer: readonly Tx[]): Promise<Built> {
    timeMs += 1_000
    const request = { parent: head, timestampMs: timeMs, feeRecipient: FEE_RECIPIENT, origin: undefined, offer, triesMax: offer.length }
    const built = await buildBlock({ state, vm, params, judgeEvidence }, request)
    const failed = built.receipts.find(({ succeeded }) => !succeeded)
    const [left] = built.rejected
    if (left || failed) throw new Error(`an operation failed: ${left?.rejection.code ?? failed?.failureCode}`)
    head = built.block.header
    return built
  }

  return {
    chainId: params.chainId,
    ledger: state.ledger,
    takeNonce({ address }: Signer): bigint {
      const nonce = nonces.get(address) ?? 0n
      nonces.set(address, nonce + 1n)
      return nonce
    },
    /** Decodes, executes and writes a block of these. */
    async add(raws: readonly Uint8Array[]): Promise<{ execute: Cost; write: Cost }> {
      const { value: built, cost: execute } = await costOf(() => {
        const offer = raws.map((raw) => {
          const decoded = decodeTx(raw, vm.common)
          if (!decoded.ok) throw new Error(`an operation is malformed: ${decoded.code}`)
          return decoded.tx
        })
        return build(offer)
      })
      const { cost: write } = await costOf(() => store.writeBlock(built, COMMIT))
      return { execute, write }
    },
    /** Writes a block of what was put into the ledger by hand. */
    async seal(): Promise<void> {
      await store.writeBlock(await build([]), COMMIT)
    },
    close: () => store.close(),
  }
}

/** Fills the ledger with accounts, those that are neighbours in the tree together. */
async function fill(chain: Chain, size: number): Promise<void> {
  const bits = Math.max(0, Math.ceil(Math.log2(size / FILL_BLOCK)))
  const blockOf = (number: number) => {
    const key = treeKey(accounts.number, accounts.encodeId({ account: fillerAddress(number) }))
    return (((key[0] ?? 0) << 8) | (key[1] ?? 0)) >> (16 - bits)
  }
  const blocks = Uint16Array.from({ length: size }, (_, number) => blockOf(number))
  const ends = new Uint32Array(2 ** bits + 1)
  for (const block of blocks) ends[block + 1] = (ends[block + 1] ?? 0) + 1
  for (let block = 0; block < 2 ** bits; block++) ends[block + 1] = (ends[block + 1] ?? 0) + (ends[block] ?? 0)
  const places = ends.slice()
  const order = new Uint32Array(size)
  for (const [number, block] of blocks.entries()) {
    order[places[block] ?? 0] = number
    places[block] = (places[block] ?? 0) + 1
  }
  for (let block = 0; block < 2 ** bits; block++) {
    for (const number of order.subarray(ends[block], ends[block + 1])) {
      putAccount(chain.ledger, fillerAddress(number), { index: 0, balance: 1n, prepaid: 0n, unlockAt: 0n, nonce: 0n })
    }
    await chain.seal()
    if (block % 16 === 15) progress(`${ends[block + 1]} of ${size} records`)
  }
  if (getCounters(chain.ledger).accounts < size) throw new Error('the ledger was not filled')
}

function fillerAddress(number: number): Hex {
  return `0x${createHash('sha256').update(`tributary bench filler ${number}`).digest('hex').slice(0, 40)}`
}

async function stageOn(chain: Chain): Promise<Stage> {
  const owner = signer('owner', 0)
  const ground = {
    chainId: chain.chainId,
    nonceOf: async () => 0n,
    lastDatanetId: async () => 0,
    include: async (raws: readonly Uint8Array[]) => {
      if (raws.length > 0) await chain.add(raws)
    },
  }
  const set = await setStage(ground, { owner, workers: [], clients: [], prepaidWei: 0n })
  return { ...set, chainId: chain.chainId, clients: [], earners: [], receivers: [] }
}

/** Every other one is a transfer to an account somewhere in the ledger, the rest are uploads. */
function operations(chain: Chain, stage: Stage, { round, size, senders }: { round: number; size: number; senders: readonly Signer[] }) {
  return Array.from({ length: options.ops }, (_, i) => {
    const number = round * options.ops + i
    const sender = senders[number % senders.length]
    if (!sender) throw new Error('there are no senders')
    const turn = { number, sender, nonce: chain.takeNonce(sender) }
    if (i % 2 === 0) return nativeOperation('upload', stage, turn)
    const to = fillerAddress(pick(bytesToHex(Uint8Array.of(number >> 16, number >> 8, number)), size))
    const fields = { kind: TRANSFER_KIND.ledger, to, amount: ENTRY_WEI }
    return signNative(turn, { type: transfer, fields, chainId: chain.chainId })
  })
}

// ---- disk and memory ----------------------------------------------------------------------------------------------------------------

function diskBytes(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}

/** Resident memory of this process: all of it, and what is not a file's that the system keeps in memory anyway. NaN where the system does not say. */
function memoryMiB(): { all: number; own: number } {
  try {
    const status = readFileSync('/proc/self/status', 'utf8')
    const read = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1_024
    return { all: read('VmRSS'), own: read('RssAnon') }
  } catch {
    return { all: Number.NaN, own: Number.NaN } // no /proc
  }
}
