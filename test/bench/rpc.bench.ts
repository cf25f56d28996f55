/**
 * rpc: a devnet as people run it, under load over JSON-RPC: operations a second, CPU of the node an operation, time to receipt. The peer, in the
 * same run, is anvil with a block a second and the contract that does the same (test/bench/contracts/Hub.sol). Documented in docs/benchmarks.md.
 *
 *     node test/bench/rpc.bench.ts [--ops 4096] [--rounds 3] [--kinds upload,credit10,credit100] [--url http://127.0.0.1:8545 --pid N] [--json]
 *
 * With --url the load is put on a devnet that runs already; with --peer none there is no peer.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { getContractAddress, type Hex, hexToBytes, toHex } from 'viem'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { type Anvil, startAnvil } from '../../node/anvil.ts'
import { startDevnet } from '../e2e/devnet.ts'
import { HUB_KINDS, type HubKind, type HubStage, hubCode, hubOperation, prepayData } from './hub.ts'
import { type Call, chunks, createJsonRpc, includeAll, type JsonRpc, rpcGround } from './jsonRpc.ts'
import { type LoadResult, runLoad } from './load.ts'
import { childPid, cpuMsOf, memoryMiBOf, progress, quantileOf, readOptions, report, show, spreadOf, textTable, times } from './measure.ts'
import {
  NATIVE_KINDS,
  type NativeKind,
  nativeOperation,
  type Signer,
  type Stage,
  signCall,
  signerFrom,
  signers,
  signNative,
} from './operations.ts'
import { type Ground, setStage } from './stage.ts'

const options = readOptions({ ops: 4_096, rounds: 3, kinds: 'upload,credit10,credit100', peer: 'anvil', url: '', pid: 0 })
const SENDERS = 256
const EARNERS = 5_000
const SAMPLES = 100
/** Operations of each kind before the first that is counted. */
const WARM_UP_OPS = 1_024
const SETTLE_MAX_MS = 90_000

type Target = {
  readonly name: 'tributary' | 'anvil'
  readonly pid: number | undefined
  /** Sends the next operations of a kind, signed ahead; undefined: it knows none of this kind. */
  load(kind: NativeKind, count: number): Promise<Sample | undefined>
  close(): Promise<void>
}

/** A run, and the CPU that the node had used when all of it had been posted to L1. */
type Sample = LoadResult & { readonly settledCpuMs: number | undefined; readonly memoryMiB: number | undefined }

await main()

async function main(): Promise<void> {
  const kinds = NATIVE_KINDS.filter((kind) => options.kinds.split(',').includes(kind))
  const targets: Target[] = []
  try {
    targets.push(await openOwn())
    if (options.peer !== 'none') targets.push(await openAnvil())
    const samples = new Map<string, Sample[]>()
    for (let round = 0; round <= options.rounds; round++) {
      for (const kind of kinds) {
        for (const target of targets) {
          const sample = await target.load(kind, round === 0 ? WARM_UP_OPS : options.ops)
          if (round > 0 && sample) samples.set(`${kind} ${target.name}`, [...(samples.get(`${kind} ${target.name}`) ?? []), sample])
        }
      }
      progress(`round ${round} of ${options.rounds}`)
    }
    printResult(kinds, samples)
  } finally {
    for (const target of targets) await target.close()
  }
}

// ---- our node -----------------------------------------------------------------------------------------------------------------------

async function openOwn(): Promise<Target> {
  const devnet = options.url === '' ? await startDevnet() : undefined
  const url = devnet?.ready().rpc ?? options.url
  const pid = devnet ? childPid('main.ts devnet') : options.pid === 0 ? undefined : options.pid
  const rpc = createJsonRpc(url, 4)
  progress('setting the stage on the devnet')
  const ground = await rpcGround(rpc)
  const [uploaders, workers] = [signers('uploader', SENDERS), signers('worker', SENDERS)]
  const stage = await stageOverRpc(rpc, ground, { uploaders, workers })
  const nonces = new Map<Hex, bigint>()
  for (const { address } of [...uploaders, ...workers]) nonces.set(address, await ground.nonceOf(address))
  const made = new Map<NativeKind, number>()
  const next = (kind: NativeKind, count: number) => {
    const senders = kind.startsWith('credit') || kind === 'receipt' ? workers : uploaders
    const first = made.get(kind) ?? 0
    made.set(kind, first + count)
    const raws = takeTurns(senders, { first, count, nonces }, (turn) => nativeOperation(kind, stage, turn))
    return { raws, senders: senders.map(({ address }) => address) }
  }
  return {
    name: 'tributary',
    pid,
    async load(kind, count) {
      const before = pid === undefined ? undefined : cpuMsOf(pid)
      const result = await runLoad({ url, pid, ...next(kind, count), nonceMethod: 'tributary_getLedgerNonce', samples: SAMPLES })
      await settled(rpc)
      const after = pid === undefined ? undefined : cpuMsOf(pid)
      const settledCpuMs = before === undefined || after === undefined ? undefined : after - before
      return { ...result, settledCpuMs, memoryMiB: pid === undefined ? undefined : memoryMiBOf(pid) }
    },
    async close() {
      rpc.close()
      await devnet?.close()
    },
  }
}

/** Waits until what is the head now is on L1, so that its posting is neither lost nor charged to the peer. */
async function settled(rpc: JsonRpc): Promise<void> {
  const head = BigInt(await rpc.call<Hex>('eth_blockNumber'))
  const until = Date.now() + SETTLE_MAX_MS
  while (BigInt((await rpc.call<{ heads: { safe: Hex } }>('tributary_syncStatus')).heads.safe) < head) {
    if (Date.now() > until) throw new Error(`block ${head} is not on L1 after ${SETTLE_MAX_MS / 1_000} s`)
    await sleep(200)
  }
}

type Senders = { readonly uploaders: readonly Signer[]; readonly workers: readonly Signer[] }

/** Gives everybody money, out of the devnet's accounts, and sets the stage. */
async function stageOverRpc(rpc: JsonRpc, ground: Ground, { uploaders, workers }: Senders): Promise<Stage> {
  const [bank, owner, ...banks] = DEVNET_KEYS.map((key) => signerFrom(hexToBytes(key)))
  if (!bank || !owner) throw new Error('the devnet has accounts')
  const clients = signers('client', SENDERS)
  const earners = signers('earner', EARNERS).map(({ address }) => address)
  const pay = async (from: Signer, to: readonly Hex[], amount: bigint) => {
    const first = await ground.nonceOf(from.address)
    const raws = to.map((address, i) => {
      const fields = { kind: TRANSFER_KIND.ledger, to: address, amount }
      return signNative({ sender: from, nonce: first + BigInt(i) }, { type: transfer, fields, chainId: ground.chainId })
    })
    await ground.include(raws)
  }
  const addressesOf = (of: readonly Signer[]) => of.map(({ address }) => address)
  await pay(bank, addressesOf(workers), 1_200n * OPEN_WEI)
  await pay(bank, addressesOf(uploaders), 100n * OPEN_WEI)
  for (const [i, part] of chunks(earners, 2_000).entries()) await pay(banks[i % banks.length] ?? bank, part, 10n ** 9n)
  const set = await setStage(ground, { owner, workers, clients, prepaidWei: 2_500n * OPEN_WEI })
  const indexes: number[] = []
  for (const part of chunks(earners, 100)) {
    const accounts = await rpc.batch<{ index: number | Hex }>(part.map((address): Call => ['tributary_getLedgerAccount', [address]]))
    indexes.push(...accounts.map(({ index }) => Number(index)))
  }
  return { ...set, chainId: ground.chainId, clients, earners: indexes.sort((a, b) => a - b), receivers: earners }
}

// ---- the peer -----------------------------------------------------------------------------------------------------------------------

async function openAnvil(): Promise<Target> {
  // A gas limit that is never met: the node is measured, and not the limit.
  const anvil: Anvil = await startAnvil({ blockTimeSec: 1, gasLimit: 1_000_000_000 })
  try {
    return await stageAnvil(anvil)
  } catch (error) {
    await anvil.stop()
    throw error
  }
}

async function stageAnvil(anvil: Anvil): Promise<Target> {
  progress('setting the stage on anvil')
  const rpc = createJsonRpc(anvil.url, 4)
  const chainId = Number(await rpc.call<Hex>('eth_chainId'))
  const [senders, clients] = [signers('worker', SENDERS), signers('client', SENDERS)]
  const [owner] = DEVNET_KEYS.map((key) => signerFrom(hexToBytes(key)))
  if (!owner) throw new Error('the devnet has accounts')
  const rich = toHex(10n ** 24n)
  for (const part of chunks([owner, ...senders], 100)) {
    await rpc.batch(part.map(({ address }): Call => ['anvil_setBalance', [address, rich]]))
  }
  const hub = getContractAddress({ from: owner.address, nonce: 0n }).toLowerCase() as Hex
  await includeAll(rpc, [
    signCall({ sender: owner, nonce: 0n }, chainId, { data: hubCode(), gas: 5_000_000n }),
    signCall({ sender: owner, nonce: 1n }, chainId, { to: hub, data: prepayData(clients), valueWei: 6n * 10n ** 23n, gas: 12_000_000n }),
  ])
  const stage: HubStage = { chainId, hub, clients, earners: signers('earner', EARNERS).map(({ address }) => address) }
  const nonces = new Map<Hex, bigint>(senders.map(({ address }) => [address, 0n]))
  const made = new Map<HubKind, number>()
  const next = (kind: NativeKind, count: number) => {
    const twin = HUB_KINDS.find((one) => one === kind)
    if (!twin) return undefined
    const first = made.get(twin) ?? 0
    made.set(twin, first + count)
    const raws = takeTurns(senders, { first, count, nonces }, (turn) => hubOperation(twin, stage, turn))
    return { raws, senders: senders.map(({ address }) => address) }
  }
  return {
    name: 'anvil',
    pid: anvil.pid,
    async load(kind, count) {
      const operations = next(kind, count)
      if (!operations) return undefined
      const result = await runLoad({
        url: anvil.url,
        pid: anvil.pid,
        ...operations,
        nonceMethod: 'eth_getTransactionCount',
        samples: SAMPLES,
      })
      return { ...result, settledCpuMs: undefined, memoryMiB: memoryMiBOf(anvil.pid) }
    },
    async close() {
      rpc.close()
      await anvil.stop()
    },
  }
}

// ---- both ---------------------------------------------------------------------------------------------------------------------------

type Turns = { readonly first: number; readonly count: number; readonly nonces: Map<Hex, bigint> }

/** Operations by senders in turn, number `i` by sender `i % senders.length`. */
function takeTurns(
  senders: readonly Signer[],
  { first, count, nonces }: Turns,
  make: (turn: { number: number; sender: Signer; nonce: bigint }) => Uint8Array,
): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const sender = senders[i % senders.length]
    const nonce = sender && nonces.get(sender.address)
    if (!sender || nonce === undefined) throw new Error('there are no senders')
    nonces.set(sender.address, nonce + 1n)
    return make({ number: first + i, sender, nonce })
  })
}

function printResult(kinds: readonly NativeKind[], samples: ReadonlyMap<string, readonly Sample[]>): void {
  const found = kinds.flatMap((kind) =>
    (['tributary', 'anvil'] as const).flatMap((node) => {
      const runs = samples.get(`${kind} ${node}`)
      return runs ? [{ kind, node, ...figuresOf(runs) }] : []
    }),
  )
  const rows = found.map((one) => {
    const peer = found.find(({ kind, node }) => kind === one.kind && node === 'anvil')
    const isOwn = one.node === 'tributary' && peer !== undefined
    return [
      one.kind,
      one.node,
      show(one.opsPerSec),
      one.cpuMsPerOp ? show(one.cpuMsPerOp) : '–',
      one.settledCpuMsPerOp ? show(one.settledCpuMsPerOp) : '',
      show(one.receiptP50Ms),
      show(one.receiptP99Ms),
      one.memoryMiB === undefined ? '–' : String(one.memoryMiB),
      isOwn ? times(one.opsPerSec.median / peer.opsPerSec.median) : '',
      isOwn && one.cpuMsPerOp && peer.cpuMsPerOp ? times(one.cpuMsPerOp.median / peer.cpuMsPerOp.median) : '',
    ]
  })
  const head = [
    ...['kind', 'node', 'ops/s', 'node CPU ms an op', 'and until it is on L1', 'receipt p50 ms', 'receipt p99 ms', 'memory MiB at the end'],
    ...['ops/s of the peer’s', 'CPU of the peer’s'],
  ]
  report({
    bench: 'rpc',
    json: options.json,
    text: textTable(head, rows),
    figures: { ops: options.ops, rounds: options.rounds, runs: found },
  })
}

function figuresOf(runs: readonly Sample[]) {
  const defined = (values: readonly (number | undefined)[]) => values.flatMap((value) => (value === undefined ? [] : [value]))
  const spreadOrNone = (values: readonly number[]) => (values.length > 0 ? spreadOf(values) : undefined)
  return {
    opsPerSec: spreadOf(runs.map(({ ops, wallMs }) => (ops * 1_000) / wallMs)),
    cpuMsPerOp: spreadOrNone(defined(runs.map(({ cpuMs, ops }) => (cpuMs === undefined ? undefined : cpuMs / ops)))),
    settledCpuMsPerOp: spreadOrNone(
      defined(runs.map(({ settledCpuMs, ops }) => (settledCpuMs === undefined ? undefined : settledCpuMs / ops))),
    ),
    receiptP50Ms: spreadOf(runs.map(({ receiptMs }) => quantileOf(receiptMs, 0.5))),
    receiptP99Ms: spreadOf(runs.map(({ receiptMs }) => quantileOf(receiptMs, 0.99))),
    memoryMiB: runs.at(-1)?.memoryMiB,
  }
}
