/**
 * finality: how long a block takes from its proposal until it is final, with one validator and with several, each a process of its own on the loopback:
 * empty blocks, and blocks under half of the load that one validator alone takes; how many operations a second several commit, of what one does; and what
 * the votes of a block cost in a large set. Documented in docs/benchmarks.md.
 *
 *     npm run bench -- finality [--json] -- [--validators 1,4,7] [--ops 8000] [--blocks 20] [--set 100]
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Hex, hexToBytes } from 'viem'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { DEVNET_KEYS, DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { type Devnet, freePort, jsonLines, startDevnet } from '../e2e/devnet.ts'
import { createJsonRpc, type JsonRpc } from './jsonRpc.ts'
import { type Endpoint, type Load, prepareLoad, runLoad, runPaced } from './load.ts'
import { childPid, digits, progress, quantileOf, readOptions, report, textTable } from './measure.ts'
import { signerFrom, signNative } from './operations.ts'
import { measureVotes } from './votesCost.ts'

const options = readOptions({ validators: '1,4,7', ops: 8_000, blocks: 20, set: 100 })
const SENDERS = DEVNET_KEYS.map((key) => signerFrom(hexToBytes(key)))
const WAIT_MAX_MS = 120_000

/** What a validator says of a block when it is final, in its log. Milliseconds; `finalMs` and `writtenMs` are from the proposal's time on. */
type FinalLine = {
  readonly number: string
  readonly txs: number
  readonly round: number
  readonly finalMs: number
  readonly writtenMs: number
  readonly builtMs?: number
  readonly checkedMs?: number
}

/** One block at one validator: the parts of its time, in milliseconds. `beyondMs`: what is neither building nor checking it. */
type Sample = {
  readonly builtMs: number
  readonly checkedMs: number
  readonly beyondMs: number
  readonly writeMs: number
  readonly round: number
}

type Run = { readonly validators: number; readonly empty: Sample[]; readonly loaded: Sample[]; readonly opsPerSec: number }

await main()

async function main(): Promise<void> {
  const counts = options.validators.split(',').map(Number)
  const runs: Run[] = []
  let alonePerSec: number | undefined
  for (const count of counts) {
    const run = await measure(count, alonePerSec)
    if (count === 1) alonePerSec = run.opsPerSec
    runs.push(run)
  }
  progress(`votes of ${options.set} validators`)
  print(runs, measureVotes(options.set))
}

async function measure(validators: number, alonePerSec: number | undefined): Promise<Run> {
  progress(`${validators} validators`)
  const devnet = await startDevnet([
    '--validators',
    String(validators),
    '--da',
    'none',
    '--log-level',
    'debug',
    '--rpc-port',
    String(await freePort()),
  ])
  const rpc = createJsonRpc(devnet.ready().rpc, 2)
  try {
    const endpoint: Endpoint = { url: devnet.ready().rpc, pid: childPid('main.ts devnet'), nonceMethod: 'tributary_getLedgerNonce' }
    const next = createTransfers()
    await runLoad(endpoint, next(512)) // for the compiler
    const { wallMs } = await runLoad(endpoint, next(options.ops))
    const opsPerSec = (options.ops / wallMs) * 1_000
    const empty = await samplesOf(devnet, rpc, () => passBlocks(rpc, options.blocks))
    const perSec = (alonePerSec ?? opsPerSec) / 2
    const loaded = await samplesOf(devnet, rpc, async () => {
      await runPaced(endpoint, next(options.ops), perSec)
      await emptyPool(rpc)
    })
    return { validators, empty: empty.filter(({ txs }) => txs <= 1), loaded: loaded.filter(({ txs }) => txs > 1), opsPerSec }
  } finally {
    rpc.close()
    await devnet.close()
  }
}

/** Transfers by the devnet's accounts in turn. */
function createTransfers(): (count: number) => Load {
  let made = 0
  return (count) => {
    const signed = Array.from({ length: count }, () => {
      const number = made % SENDERS.length
      const [sender, to] = [SENDERS[number], SENDERS[(number + 1) % SENDERS.length]]
      if (!sender || !to) throw new Error('the devnet has accounts')
      const turn = { sender, nonce: BigInt(Math.floor(made++ / SENDERS.length)) }
      const fields = { kind: TRANSFER_KIND.ledger, to: to.address, amount: 1n }
      return { raw: signNative(turn, { type: transfer, fields, chainId: DEVNET_PARAMS.chainId }), sender: number }
    })
    return prepareLoad(
      signed,
      SENDERS.map(({ address }) => address),
    )
  }
}

/** What all validators said of the blocks that became final during some work. */
async function samplesOf(devnet: Devnet, rpc: JsonRpc, work: () => Promise<void>): Promise<(Sample & { readonly txs: number })[]> {
  const from = Number(await rpc.call<Hex>('eth_blockNumber'))
  await work()
  const to = Number(await rpc.call<Hex>('eth_blockNumber'))
  await sleep(500) // their logs are behind by what the system buffers
  const logs = [devnet.output().stderr, ...devnet.ready().validators.map(({ dataDir }) => readFileSync(join(dataDir, 'node.log'), 'utf8'))]
  const lines = logs.flatMap((log) => jsonLines(log) as unknown as readonly ({ readonly event: string } & FinalLine)[])
  const final = lines.filter(({ event, number }) => event === 'block final' && Number(number) > from && Number(number) <= to)
  const builtMs = new Map(final.flatMap((line) => (line.builtMs === undefined ? [] : [[line.number, line.builtMs] as const])))
  return final.flatMap(({ number, txs, round, finalMs, writtenMs, checkedMs = 0 }) => {
    const built = builtMs.get(number)
    return built === undefined
      ? []
      : [{ txs, round, builtMs: built, checkedMs, beyondMs: finalMs - built - checkedMs, writeMs: writtenMs - finalMs }]
  })
}

async function passBlocks(rpc: JsonRpc, count: number): Promise<void> {
  const from = Number(await rpc.call<Hex>('eth_blockNumber'))
  await until(async () => Number(await rpc.call<Hex>('eth_blockNumber')) >= from + count)
}

async function emptyPool(rpc: JsonRpc): Promise<void> {
  await until(async () => Number((await rpc.call<{ readonly pending: Hex }>('txpool_status')).pending) === 0)
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + WAIT_MAX_MS
  while (!(await isSo())) {
    if (Date.now() > endMs) throw new Error(`it did not come about within ${WAIT_MAX_MS / 1_000} s`)
    await sleep(50)
  }
}

function print(runs: readonly Run[], votes: ReturnType<typeof measureVotes>): void {
  const quantile = (samples: readonly Sample[], part: keyof Sample, at: number) =>
    samples.length === 0
      ? undefined
      : quantileOf(
          samples.map((one) => one[part]),
          at,
        )
  const figures = Object.fromEntries(
    runs.flatMap(({ validators, empty, loaded }) => [
      [`finality${validators}Ms`, quantile(loaded, 'beyondMs', 0.5)],
      [`finality${validators}P99Ms`, quantile(loaded, 'beyondMs', 0.99)],
      [`emptyFinality${validators}Ms`, quantile(empty, 'beyondMs', 0.5)],
      [`emptyFinality${validators}P99Ms`, quantile(empty, 'beyondMs', 0.99)],
    ]),
  )
  const alone = runs.find(({ validators }) => validators === 1)
  const ratios = Object.fromEntries(
    alone ? runs.filter((run) => run !== alone).map((run) => [`throughput${run.validators}OfOne`, run.opsPerSec / alone.opsPerSec]) : [],
  )
  const rows = runs.flatMap(({ validators, empty, loaded, opsPerSec }) =>
    (
      [
        ['empty', empty],
        ['half load', loaded],
      ] as const
    ).map(([name, samples]) => {
      const both = (part: keyof Sample) => [0.5, 0.99].map((at) => digits(quantile(samples, part, at) ?? Number.NaN)).join(' / ')
      const later = samples.filter(({ round }) => round > 0).length
      return [
        String(validators),
        name,
        both('builtMs'),
        both('checkedMs'),
        both('beyondMs'),
        both('writeMs'),
        `${later} of ${samples.length}`,
        digits(opsPerSec),
      ]
    }),
  )
  const head = ['validators', 'blocks', 'building', 'checking', 'beyond both', 'writing', 'in later rounds', 'operations a second']
  report({
    bench: 'finality',
    json: options.json,
    figures: {
      ...figures,
      ...ratios,
      votesCpuMs: votes.cpuMsPerBlock,
      votes,
      opsPerSec: runs.map(({ validators, opsPerSec }) => ({ validators, opsPerSec })),
    },
    text: [textTable(head, rows), `votes of ${votes.validators} validators: ${digits(votes.cpuMsPerBlock)} ms of CPU a block`].join('\n\n'),
  })
}
