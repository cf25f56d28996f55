/**
 * applyBlock: what a block costs whoever executes it, by kind of operation: decode, signatures, rules, EVM, both roots, receipts, and the write
 * to a level store. The peer is @ethereumjs/vm as it comes, in the same run; the contract that does the same as a native operation runs on our
 * own EVM lane beside it. Documented in docs/benchmarks.md.
 *
 *     node test/bench/applyBlock.bench.ts [--accounts 50000] [--ops 2000] [--rounds 5] [--kinds transfer,upload,…] [--stock-ops 300] [--json]
 */
import { ecrecover } from '@ethereumjs/util'
import secp256k1 from 'secp256k1'
import { encodeDeployData, encodeFunctionData, getContractAddress, type Hex, hexToBytes } from 'viem'
import { openTokenBytecode } from '../../contracts/artifacts.ts'
import { commonOf } from '../../execution/ethereumRules.ts'
import { attributionCredit } from '../../execution/native/attributionCredit.ts'
import { claim } from '../../execution/native/claim.ts'
import { recoverPublicKey } from '../../execution/recover.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { openTokenAbi } from '../../settlement/abi.ts'
import { type BenchChain, type BlockCost, chainGround, createBenchChain } from './chain.ts'
import { HUB_KINDS, type HubStage, hubCode, hubOperation, hubSetup } from './hub.ts'
import { type Cost, costOf, digits, progress, readOptions, report, show, spreadOf, textTable, times } from './measure.ts'
import {
  creditFields,
  entriesOf,
  NATIVE_KINDS,
  nativeOperation,
  type Signer,
  type Stage,
  seeded,
  signCall,
  signer,
  signers,
  signNative,
} from './operations.ts'
import { applyOfSignatureLimit, signaturesUs } from './signatureLimit.ts'
import { setStage } from './stage.ts'
import { createStockVm } from './stockVm.ts'

const WORKERS = 256
const CLIENTS = 256
const EARNERS = 5_000
/** Epochs of one claim. */
const CLAIMED_EPOCHS = 4
const TOKEN_HOLDERS = 2_000

const KINDS = [...NATIVE_KINDS, 'claim', 'evmTransfer', 'erc20', ...HUB_KINDS.map((kind) => `hub:${kind}` as const)] as const
type Kind = (typeof KINDS)[number]

const options = readOptions({ accounts: 50_000, ops: 2_000, rounds: 5, 'stock-ops': 300, kinds: KINDS.join(',') })
await main()

async function main(): Promise<void> {
  const kinds = KINDS.filter((kind) => options.kinds.split(',').includes(kind))
  progress(`keys of ${options.accounts} accounts`)
  const world = await createWorld()
  const samples = new Map<Kind, Sample[]>(kinds.map((kind) => [kind, []]))
  for (let round = 0; round <= options.rounds; round++) {
    for (const kind of kinds) {
      const raws = await operationsOf(world, kind)
      const built = await world.chain.build(raws, { afterMs: 1_000 })
      const signatures = await signaturesUs(raws, commonOf(world.chain.chainId))
      const cost = await world.chain.apply(built)
      // The first round is for the compiler.
      if (round > 0) samples.get(kind)?.push({ ...cost, ops: raws.length, signatures })
    }
    progress(`round ${round} of ${options.rounds}`)
  }
  const stock = kinds.includes('evmTransfer') ? await runStock(world) : undefined
  const recovery = await compareRecovery()
  await world.chain.close()
  printResult(samples, stock, recovery)
}

// ---- the world ----------------------------------------------------------------------------------------------------------------------

type World = {
  readonly chain: BenchChain
  readonly accounts: readonly Signer[]
  readonly stage: Stage
  readonly hub: HubStage
  readonly token: Hex
  readonly workers: readonly Signer[]
  /** How many operations of each kind were made. */
  readonly made: Map<Kind, number>
}

async function createWorld(): Promise<World> {
  const [accounts, workers, clients] = [signers('account', options.accounts), signers('worker', WORKERS), signers('client', CLIENTS)]
  const owner = signer('owner', 0)
  const rich = (of: readonly Signer[], openEach: bigint) =>
    of.map(({ address }) => ({ address, evmWei: openEach * OPEN_WEI, ledgerWei: openEach * OPEN_WEI }))
  // Accounts stand first: their ledger indexes are 1, 2, …
  const chain = await createBenchChain([...rich(accounts, 1_000n), ...rich(workers, 100_000n), ...rich([owner], 1_000_000_000n)])
  progress('setting the stage')
  const ground = chainGround(chain)
  const set = await setStage(ground, { owner, workers, clients, prepaidWei: 1_000_000n * OPEN_WEI })
  for (const worker of workers) chain.takeNonce('native', worker)
  const stage: Stage = {
    ...set,
    chainId: chain.chainId,
    clients,
    earners: Array.from({ length: Math.min(EARNERS, options.accounts) }, (_, i) => i + 1),
    receivers: accounts.map(({ address }) => address),
  }
  const { hub, modelId, token } = await deploy(
    chain,
    { owner, workers, clients, holders: accounts.slice(0, TOKEN_HOLDERS) },
    ground.include,
  )
  const hubStage = { chainId: chain.chainId, hub, modelId, clients, earners: accounts.slice(0, EARNERS).map(({ address }) => address) }
  return { chain, accounts, stage, hub: hubStage, token, workers, made: new Map() }
}

type Parts = {
  readonly owner: Signer
  readonly workers: readonly Signer[]
  readonly clients: readonly Signer[]
  readonly holders: readonly Signer[]
}

/** Deploys the contract twin and an ERC-20 token, and gives the token to its holders. */
async function deploy(
  chain: BenchChain,
  { owner, workers, clients, holders }: Parts,
  include: (raws: readonly Uint8Array[]) => Promise<void>,
): Promise<{ hub: Hex; modelId: Hex; token: Hex }> {
  const addressOf = (nonce: bigint) => getContractAddress({ from: owner.address, nonce }).toLowerCase() as Hex
  const sign = (call: Parameters<typeof signCall>[2]) =>
    signCall({ sender: owner, nonce: chain.takeNonce('ethereum', owner) }, chain.chainId, call)
  const [hub, token] = [addressOf(0n), addressOf(1n)]
  const tokenCode = encodeDeployData({ abi: openTokenAbi, bytecode: openTokenBytecode, args: [owner.address] })
  const { modelId, calls } = hubSetup(owner.address, { workers, clients })
  await include([
    sign({ data: hubCode(), gas: 5_000_000n }),
    sign({ data: tokenCode, gas: 5_000_000n }),
    ...calls.map(({ data, gas, isPaid }) => sign({ to: hub, data, gas, ...(isPaid ? { valueWei: 100_000_000n * OPEN_WEI } : {}) })),
  ])
  await include(holders.map(({ address }) => sign({ to: token, data: tokenTransfer(address, OPEN_WEI), gas: 100_000n })))
  return { hub, modelId, token }
}

function tokenTransfer(to: Hex, amount: bigint): Hex {
  return encodeFunctionData({ abi: openTokenAbi, functionName: 'transfer', args: [to, amount] })
}

// ---- operations ---------------------------------------------------------------------------------------------------------------------

/** Operations of one block: fewer where each of them is many. */
function countOf(kind: Kind): number {
  if (kind === 'hub:credit100') return Math.ceil(options.ops / 20)
  if (kind === 'hub:credit10' || kind === 'credit100') return Math.ceil(options.ops / 4)
  return options.ops
}

/** The next operations of a kind, signed, by senders that take turns. */
async function operationsOf(world: World, kind: Kind): Promise<Uint8Array[]> {
  const { chain, accounts, workers, made } = world
  if (kind === 'claim') return claims(world)
  const first = made.get(kind) ?? 0
  const count = countOf(kind)
  made.set(kind, first + count)
  const isCredit = /^(hub:)?(credit|receipt)/.test(kind)
  const isEvm = kind.startsWith('hub:') || kind === 'evmTransfer' || kind === 'erc20'
  return Array.from({ length: count }, (_, i) => {
    const number = first + i
    const senders = isCredit ? workers : kind === 'erc20' ? accounts.slice(0, TOKEN_HOLDERS) : accounts
    // A stride coprime to the number of accounts spreads the senders over all of them.
    const sender = senders[isCredit ? number % senders.length : (number * 7_919) % senders.length]
    if (!sender) throw new Error('there are no senders')
    const turn = { number, sender, nonce: chain.takeNonce(isEvm ? 'ethereum' : 'native', sender) }
    if (!isEvm) return nativeOperation(kind as (typeof NATIVE_KINDS)[number], world.stage, turn)
    if (kind.startsWith('hub:')) return hubOperation(kind.slice(4) as (typeof HUB_KINDS)[number], world.hub, turn)
    const to = accounts[(number * 104_729 + 1) % accounts.length]?.address ?? '0x'
    if (kind === 'evmTransfer') return signCall(turn, chain.chainId, { to, valueWei: 1_000_000_000n, gas: 21_000n })
    return signCall(turn, chain.chainId, { to: world.token, data: tokenTransfer(to, 1_000_000_000n), gas: 100_000n })
  })
}

/** Claims of several epochs, each by another account; before them, not measured, the credits that they claim. */
async function claims({ chain, stage, workers, accounts }: World): Promise<Uint8Array[]> {
  const claimers = accounts.slice(0, Math.min(options.ops, stage.earners.length))
  const epochMs = chain.epochSec * 1_000
  const epochs: number[] = []
  for (let i = 0; i < CLAIMED_EPOCHS; i++) {
    const credits: Uint8Array[] = []
    for (let from = 0; from < claimers.length; from += 1_000) {
      const earners = stage.earners.slice(from, Math.min(from + 1_000, claimers.length))
      const sender = workers[credits.length]
      if (!sender) throw new Error('there are too few workers')
      const turn = { number: from, sender, nonce: chain.takeNonce('native', sender) }
      const entries = { accounts: earners, amountsGwei: earners.map((_, n) => 1_000 + n) }
      credits.push(signNative(turn, { type: attributionCredit, fields: creditFields(stage, turn, entries), chainId: chain.chainId }))
    }
    await chain.apply(await chain.build(credits, { afterMs: epochMs }))
    epochs.push(Number(chain.timeSec()) / chain.epochSec)
  }
  await chain.apply(await chain.build([], { afterMs: 3 * epochMs }))
  const fields = { epochs: epochs.map(Math.floor) }
  return claimers.map((sender) =>
    signNative({ sender, nonce: chain.takeNonce('native', sender) }, { type: claim, fields, chainId: chain.chainId }),
  )
}

// ---- peers --------------------------------------------------------------------------------------------------------------------------

type Stock = Readonly<Record<'stock' | 'ours', readonly { readonly cost: Cost; readonly ops: number }[]>>

/** EVM transfers through the stock VM, on the state as it is now: as it comes, and with our keccak256 and signature recovery. */
async function runStock({ chain, accounts }: World): Promise<Stock> {
  const built = await chain.build([])
  await chain.apply(built)
  const root = hexToBytes(built.block.header.stateRoot)
  const found: Record<'stock' | 'ours', { cost: Cost; ops: number }[]> = { stock: [], ours: [] }
  const vms = { stock: undefined, ours: undefined } as Record<'stock' | 'ours', Awaited<ReturnType<typeof createStockVm>> | undefined>
  for (const crypto of ['stock', 'ours'] as const)
    vms[crypto] = await createStockVm({ chainId: chain.chainId, root, readNode: chain.readTrieNode, crypto })
  for (let round = 0; round <= options.rounds; round++) {
    const raws = Array.from({ length: options['stock-ops'] }, (_, i) => {
      const sender = accounts[((round * options['stock-ops'] + i) * 7_919 + 3) % accounts.length]
      const to = accounts[(i * 104_729 + 1) % accounts.length]?.address ?? '0x'
      if (!sender) throw new Error('there are no accounts')
      return signCall({ sender, nonce: chain.takeNonce('ethereum', sender) }, chain.chainId, { to, valueWei: 1_000_000_000n, gas: 21_000n })
    })
    const roots: string[] = []
    for (const crypto of ['stock', 'ours'] as const) {
      const vm = vms[crypto]
      if (!vm) throw new Error('the VM was made above')
      const { value, cost } = await costOf(() => vm.run(raws))
      roots.push(value.stateRoot)
      if (round > 0) found[crypto].push({ cost, ops: raws.length })
    }
    if (roots[0] !== roots[1]) throw new Error('the two stock VMs differ')
  }
  for (const vm of Object.values(vms)) await vm?.close()
  progress('peer done')
  return found
}

/** One signature recovery, ours and the library's, in µs of CPU. */
async function compareRecovery() {
  const hash = seeded('recovery')
  const { signature, recid } = secp256k1.ecdsaSign(hash, signer('recovery', 0).secret)
  const [r, s] = [signature.slice(0, 32), signature.slice(32)]
  const yParity = recid === 1 ? 1 : 0
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < options.rounds + 1; round++) {
    const own = await costOf(() => {
      for (let i = 0; i < 2_000; i++) recoverPublicKey(hash, { yParity, r, s })
    })
    const library = await costOf(() => {
      for (let i = 0; i < 100; i++) ecrecover(hash, BigInt(yParity), r, s)
    })
    if (round > 0) ours.push(own.cost.mainMs / 2)
    if (round > 0) theirs.push(library.cost.mainMs * 10)
  }
  return { ours: spreadOf(ours), theirs: spreadOf(theirs) }
}

// ---- result -------------------------------------------------------------------------------------------------------------------------

/** `signatures`: µs an operation for its signatures alone. */
type Sample = BlockCost & { readonly ops: number; readonly signatures: number }
type Samples = ReadonlyMap<Kind, readonly Sample[]>

/** Per operation: µs of main thread (execution, writing) and of all threads, and operations a second by main thread and by the clock. */
function figuresOf(kind: Kind, samples: readonly Sample[]) {
  const per = (read: (cost: BlockCost) => number) => spreadOf(samples.map((one) => (read(one) * 1_000) / one.ops))
  const main = per(({ execute, write }) => execute.mainMs + write.mainMs)
  const wall = per(({ execute, write }) => execute.wallMs + write.wallMs)
  return {
    opsPerBlock: samples[0]?.ops ?? 0,
    credits: entriesOf(kind.replace('hub:', '')),
    mainUs: main,
    executeUs: per(({ execute }) => execute.mainMs),
    writeUs: per(({ write }) => write.mainMs),
    allThreadsUs: per(({ execute, write }) => execute.processMs + write.processMs),
    garbageUs: per(({ execute, write }) => execute.garbageMs + write.garbageMs),
    wallUs: wall,
    applyOfSignatureLimit: spreadOf(
      samples.map(({ signatures, execute, ops }) => applyOfSignatureLimit({ signatures, apply: (execute.processMs * 1_000) / ops })),
    ),
    opsPerMainSec: 1e6 / main.median,
    opsPerSec: 1e6 / wall.median,
  }
}

function printResult(samples: Samples, stock: Stock | undefined, recovery: Awaited<ReturnType<typeof compareRecovery>>): void {
  const found = new Map([...samples].map(([kind, costs]) => [kind, figuresOf(kind, costs)]))
  const stockUs = stock && {
    stock: spreadOf(stock.stock.map(({ cost, ops }) => (cost.mainMs * 1_000) / ops)),
    ours: spreadOf(stock.ours.map(({ cost, ops }) => (cost.mainMs * 1_000) / ops)),
  }
  const rows = [...found].map(([kind, one]) => {
    const twin = found.get(`hub:${kind}` as Kind)
    return [
      kind,
      String(one.opsPerBlock),
      show(one.mainUs),
      show(one.writeUs),
      show(one.garbageUs),
      show(one.wallUs),
      digits(one.opsPerMainSec),
      show(one.applyOfSignatureLimit),
      one.credits > 0 ? digits(one.opsPerMainSec * one.credits) : '',
      stockUs ? times(stockUs.stock.median / one.mainUs.median) : '',
      twin ? times(twin.mainUs.median / one.mainUs.median) : '',
    ]
  })
  const head = [
    ...[
      'kind',
      'ops a block',
      'µs an op, main thread',
      'of it writing',
      'pauses for garbage',
      'µs an op, wall',
      'ops per core-second',
      'of what signatures allow',
      'credits per core-second',
    ],
    ...['as fast as a stock EVM transfer', 'as fast as its contract here'],
  ]
  const peer = stockUs
    ? [
        `\n\nPeer: an EVM transfer in @ethereumjs/vm's runBlock takes ${show(stockUs.stock)} µs of main thread as it comes, `,
        `${show(stockUs.ours)} with our keccak256 and recovery.`,
      ].join('')
    : ''
  const { ours, theirs } = recovery
  const recovered = `Signature recovery: ours ${show(ours)} µs, the library's ${show(theirs)} µs, ${times(theirs.median / ours.median)}.`
  const text = `${textTable(head, rows)}${peer}\n${recovered}`
  const figures = {
    accounts: options.accounts,
    rounds: options.rounds,
    kinds: Object.fromEntries(found),
    stockTransferUs: stockUs,
    recovery,
  }
  report({ bench: 'applyBlock', json: options.json, text, figures })
}
