/**
 * gas: what operations of every native type cost in signature recoveries, against their gas in recoveries of 3,000. An operation is measured from its
 * signed bytes to the store: decode, signatures, rule, receipt, roots and the write, CPU of the main thread; a recovery in the same round. A report of
 * evidence, of which a chain has but one a validator, is measured from its bytes to its logs; a precompile by calls of it, on a ledger in memory.
 * Documented in docs/benchmarks.md#gas.
 *
 *     node test/bench/gas.bench.ts [--only WORDS] [--accounts 10000] [--ops 200] [--rounds 5] [--write] [--json]
 *
 * `--only` measures the cases whose names match a regular expression: `^[0-9a-f]+ ` are the precompiles. `--write` records the costs in
 * test/bench/gasCosts.json and keeps those of the others; test/execution/native/gas.test.ts and test/precompiles/gas.test.ts hold gas against them.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import secp256k1 from 'secp256k1'
import { bytesToHex, type Hex } from 'viem'
import { judgeEvidence } from '../../consensus/evidence.ts'
import { applyReportToLedger } from '../../execution/laneRules.ts'
import { createLedger } from '../../execution/ledger/ledger.ts'
import { putGenesisValidators } from '../../execution/ledger/validators.ts'
import { attributionCredit } from '../../execution/native/attributionCredit.ts'
import { datanetCreate, LICENCE } from '../../execution/native/datanetCreate.ts'
import { datanetReview, VERDICT } from '../../execution/native/datanetReview.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import { modelIdOf, modelRegister } from '../../execution/native/modelRegister.ts'
import { decodeNative, nativeGas } from '../../execution/native/native.ts'
import type { FieldValues, NativeType } from '../../execution/native/nativeType.ts'
import { workerRegister } from '../../execution/native/workerRegister.ts'
import { recoverAddress } from '../../execution/recover.ts'
import { decodeReport } from '../../execution/report.ts'
import { LIMIT, OPEN_WEI, REPORT_GAS } from '../../genesis/params.ts'
import { TEST_PARAMS } from '../fakes/ledger.ts'
import { memberOf, offenceOf, reportOfEvidence } from '../fakes/offence.ts'
import { type BenchChain, chainGround, createBenchChain } from './chain.ts'
import { IDLE_CASE, readEthereumCases } from './ethereumCases.ts'
import {
  disputedCredit,
  GAS_CASES,
  type GasCase,
  type GasCost,
  type GasStage,
  type Prepared,
  RECOVERY_GAS,
  REPORT_CASE,
  registrationOf,
} from './gasCases.ts'
import { costOf, digits, progress, readOptions, report, type Spread, show, spreadOf, textTable } from './measure.ts'
import { creditFields, modelFields, type Signer, seeded, signer, signers, signNative, type Turn, uploadFields } from './operations.ts'
import { PRECOMPILE_CASES, type PrecompileCase } from './precompileCases.ts'
import { setStage } from './stage.ts'

const WORKERS = 64
const CLIENTS = 256
const RECOVERIES = 1_000
const REPORTS = 100
const COSTS = new URL('gasCosts.json', import.meta.url)

const args = process.argv.slice(2)
const isRecording = args.includes('--write')
const options = readOptions(
  { only: '', accounts: 10_000, ops: 200, rounds: 5 },
  args.filter((arg) => arg !== '--write'),
)
await main()

async function main(): Promise<void> {
  const wanted = new RegExp(options.only)
  const isWanted = ({ name }: Named) => wanted.test(name)
  const [natives, reports, own] = [GAS_CASES.filter(isWanted), [REPORT_CASE].filter(isWanted), PRECOMPILE_CASES.filter(isWanted)]
  const ethereums = (await readEthereumCases()).filter(isWanted)
  const world = natives.length > 0 ? await createWorld() : undefined
  const samples = new Map<Named, Sample[]>([...natives, ...reports, ...own, ...ethereums].map((one) => [one, []]))
  for (let round = 0; round <= options.rounds; round++) {
    // The first round is for the compiler.
    const keep = (one: Named, us: number, recoveryUs: number, gas: bigint) => {
      if (round > 0) samples.get(one)?.push({ us, recoveries: us / recoveryUs, recoveryUs, gas })
    }
    if (world) for (const one of natives) await measureNative(world, one, keep)
    for (const one of reports) keep(one, await measureReport(), await measureRecovery(), REPORT_GAS)
    for (const one of own) await measurePrecompile(one, 0, keep)
    const idleUs = ethereums.length > 0 ? (await usOfCalls(IDLE_CASE)).us : 0
    for (const one of ethereums) await measurePrecompile(one, idleUs, keep)
    progress(`round ${round} of ${options.rounds}`)
  }
  await world?.chain.close()
  printResult(samples, [...GAS_CASES, REPORT_CASE, ...PRECOMPILE_CASES, ...(await readEthereumCases())])
}

type Named = Pick<GasCase, 'name'>
type Keep = (one: Named, us: number, recoveryUs: number, gas: bigint) => void

async function measureNative(world: World, one: GasCase, keep: Keep): Promise<void> {
  const { raws, gas } = await operationsOf(world, one)
  const built = await world.chain.build(raws)
  const recoveryUs = await measureRecovery()
  const { execute, write } = await world.chain.apply(built)
  keep(one, ((execute.mainMs + write.mainMs) * 1_000) / raws.length, recoveryUs, gas)
}

/** `idleUs`: what a call takes that asks for nothing, where that is not the precompile's. */
async function measurePrecompile(one: PrecompileCase, idleUs: number, keep: Keep): Promise<void> {
  const recoveryUs = await measureRecovery()
  const { us, gas } = await usOfCalls(one)
  keep(one, Math.max(0, us - idleUs), recoveryUs, gas)
}

/** CPU of one of a case's calls, in µs, and its gas. */
async function usOfCalls(one: PrecompileCase): Promise<{ readonly us: number; readonly gas: bigint }> {
  const calls = await one.prepare(one.calls)
  const { value, cost } = await costOf(async () => {
    let gas = 0n
    for (const call of calls) {
      const called = call()
      gas = (called instanceof Promise ? await called : called).gas
    }
    return gas
  })
  return { us: (cost.mainMs * 1_000) / calls.length, gas: value }
}

// ---- the world ----------------------------------------------------------------------------------------------------------------------

type World = {
  readonly chain: BenchChain
  readonly stage: GasStage
  readonly owner: Signer
  readonly accounts: readonly Signer[]
  readonly workers: readonly Signer[]
  /** Workers whose credits are disputed, which costs them their stake. */
  readonly disputed: readonly Signer[]
  /** How many turns were taken, uploads of the first datanet made, and disputes held. */
  readonly counts: { turns: number; uploads: number; disputes: number }
}

async function createWorld(): Promise<World> {
  progress(`keys of ${options.accounts} accounts`)
  const [accounts, workers, clients] = [signers('account', options.accounts), signers('worker', WORKERS), signers('client', CLIENTS)]
  const disputed = signers('disputed', options.ops)
  const owner = signer('owner', 0)
  const rich = (of: readonly Signer[]) => of.map(({ address }) => ({ address, evmWei: 0n, ledgerWei: 100_000n * OPEN_WEI }))
  const chain = await createBenchChain([
    ...rich([...accounts, ...workers, ...disputed]),
    { address: owner.address, evmWei: 0n, ledgerWei: 500_000_000n * OPEN_WEI },
  ])
  const ground = chainGround(chain)
  let included = 0
  const include = async (raws: readonly Uint8Array[]) => {
    included += raws.length
    await ground.include(raws)
  }
  const set = await setStage({ ...ground, include }, { owner, workers, clients, prepaidWei: 1_000_000n * OPEN_WEI })
  for (const worker of workers) chain.takeNonce('native', worker)
  // All of the stage that was not a worker's registration was the owner's.
  for (let i = included - workers.length; i > 0; i--) chain.takeNonce('native', owner)
  const signOwners = (type: NativeType, fields: FieldValues) =>
    signNative({ sender: owner, nonce: chain.takeNonce('native', owner) }, { type, fields, chainId: chain.chainId })
  const stage: GasStage = {
    ...set,
    retiresModelId: await setRetires(owner, set.datanetIds.length + 1, { sign: signOwners, include }),
    chainId: chain.chainId,
    clients,
    earners: Array.from({ length: Math.min(5_000, options.accounts) }, (_, i) => i + 1),
    receivers: accounts.map(({ address }) => address),
  }
  return { chain, stage, owner, accounts, workers, disputed, counts: { turns: 0, uploads: 1, disputes: 0 } }
}

type Ledgering = {
  sign(type: NativeType, fields: FieldValues): Uint8Array
  include(raws: readonly Uint8Array[]): Promise<void>
}

/** Registers a model over as many datanets as one may have, then retires of them together as many uploads as a credit looks back over. Answers its id. */
async function setRetires(owner: Signer, firstDatanetId: number, { sign, include }: Ledgering): Promise<Hex> {
  const datanetIds = Array.from({ length: LIMIT.datanetsPerModel }, (_, i) => firstDatanetId + i)
  const created = {
    schemaHash: bytesToHex(seeded('schema')),
    licence: LICENCE.train,
    curator: owner.address,
    joinPolicy: 0,
    uploadBond: 0n,
  }
  await include(datanetIds.map((id) => sign(datanetCreate, { name: `retiring-${id}`, ...created })))
  const uploads = datanetIds.flatMap((datanetId) =>
    // The first one is the snapshot's.
    Array.from({ length: 1 + LIMIT.retiresPerCheck / LIMIT.datanetsPerModel }, (_, uploadIndex) => ({ datanetId, uploadIndex })),
  )
  await include(
    uploads.map((id) => sign(datanetUpload, { ...uploadFields({ datanetIds }, { number: id.uploadIndex, sender: owner }), ...id })),
  )
  const retired = uploads.filter(({ uploadIndex }) => uploadIndex > 0)
  await include(retired.map((id) => sign(datanetReview, { ...id, verdict: VERDICT.accept, qualityBps: 10_000, reason: 0 })))
  const model = modelFields({ name: 'gas-model-over-retires', datanetIds })
  await include([sign(modelRegister, model)])
  await include(retired.map((id) => sign(datanetReview, { ...id, verdict: VERDICT.retire, qualityBps: 0, reason: 1 })))
  return modelIdOf(model, owner.address)
}

// ---- operations ---------------------------------------------------------------------------------------------------------------------

/** The next operations of a case, signed, and the gas of one of them; what they need is put on the chain. */
async function operationsOf(world: World, one: GasCase): Promise<{ readonly raws: readonly Uint8Array[]; readonly gas: bigint }> {
  const { chain, stage } = world
  const count = Math.max(1, Math.floor(options.ops * one.part))
  const prepared = await prepare(world, one, count)
  const raws = prepared.map((left, i) => {
    const turn = nextTurn(world, senderOf(world, one, i))
    return signNative(turn, { type: one.type, fields: one.fields(stage, turn, left), chainId: chain.chainId })
  })
  const decoded = decodeNative(raws[0] ?? new Uint8Array())
  if (!decoded) throw new Error('an operation is malformed')
  return { raws, gas: nativeGas(decoded) }
}

function senderOf({ owner, accounts, workers, counts }: World, { senders }: GasCase, i: number): Signer {
  if (senders === 'owner') return owner
  if (senders === 'workers') return workers[i % workers.length] ?? owner
  // Earners are the accounts that came first; a stride coprime to the number of accounts spreads the others.
  return accounts[senders === 'earners' ? i : (counts.turns * 7_919) % accounts.length] ?? owner
}

function nextTurn({ chain, counts }: World, sender: Signer): Turn {
  return { number: counts.turns++, sender, nonce: chain.takeNonce('native', sender) }
}

/** Puts on the chain what the case needs, and says of each operation what it finds. */
async function prepare(world: World, { needs }: GasCase, count: number): Promise<readonly Prepared[]> {
  const { owner, counts } = world
  const nothing = { uploadIndex: 0, firstEpoch: 0, credit: { turn: { number: 0, sender: owner, nonce: 0n }, creditIndex: 0 } }
  const each = <T extends Partial<Prepared>>(make: (i: number) => T) =>
    Array.from({ length: count }, (_, i) => ({ ...nothing, ...make(i) }))
  if (needs === 'upload') {
    const first = counts.uploads
    await makeUploads(world, count)
    return each((i) => ({ uploadIndex: first + i }))
  }
  if (needs === 'credit') {
    const turns = await makeDisputedCredits(world, count)
    const creditIndex = counts.disputes++
    return turns.map((turn) => ({ ...nothing, credit: { turn, creditIndex } }))
  }
  const firstEpoch = needs ? await makeEarnings(world, { epochs: needs.epochs, count }) : 0
  return each(() => ({ firstEpoch }))
}

async function include({ chain }: World, raws: readonly Uint8Array[], afterMs = 1_000): Promise<void> {
  await chain.apply(await chain.build(raws, { afterMs }))
}

async function makeUploads(world: World, count: number): Promise<void> {
  const { chain, stage, owner, counts } = world
  const raws = Array.from({ length: count }, () => {
    const turn = nextTurn(world, owner)
    const fields = { ...uploadFields(stage, turn), datanetId: stage.datanetIds[0] }
    return signNative(turn, { type: datanetUpload, fields, chainId: chain.chainId })
  })
  await include(world, raws)
  counts.uploads += count
}

/** Stakes some workers anew and has each make a credit. Answers the turns of the credits. */
async function makeDisputedCredits(world: World, count: number): Promise<readonly Turn[]> {
  const { chain, stage, disputed } = world
  const workers = disputed.slice(0, count)
  const { chainId } = chain
  const stakes = workers.map((worker) =>
    signNative(nextTurn(world, worker), { type: workerRegister, fields: registrationOf(worker), chainId }),
  )
  const turns = workers.map((worker) => nextTurn(world, worker))
  const credits = turns.map((turn) => signNative(turn, { type: attributionCredit, fields: disputedCredit(stage, turn), chainId }))
  await include(world, [...stakes, ...credits])
  return turns
}

/** Lets the first accounts earn in each of some epochs, and waits until these can be claimed. Answers the first of them. */
async function makeEarnings(world: World, { epochs, count }: { readonly epochs: number; readonly count: number }): Promise<number> {
  const { chain, stage, workers } = world
  const epochMs = chain.epochSec * 1_000
  const entries = { accounts: stage.earners.slice(0, count), amountsGwei: Array.from({ length: count }, (_, i) => 1_000 + i) }
  let firstEpoch: number | undefined
  for (let i = 0; i < epochs; i++) {
    const turn = nextTurn(world, workers[i % workers.length] ?? world.owner)
    const fields = creditFields(stage, turn, entries)
    await include(world, [signNative(turn, { type: attributionCredit, fields, chainId: chain.chainId })], epochMs)
    firstEpoch ??= Math.floor(Number(chain.timeSec()) / chain.epochSec)
  }
  await include(world, [], 3 * epochMs)
  return firstEpoch ?? 0
}

/** A report that convicts, from its bytes to its logs, in µs of CPU. */
async function measureReport(): Promise<number> {
  const params = { ...TEST_PARAMS, epochBlocks: REPORTS }
  const { raw } = reportOfEvidence(offenceOf({ key: 2, height: 1, epoch: 0, chainId: params.chainId }))
  const first = [0, 1, 2, 3].map(memberOf)
  const ledgers = Array.from({ length: REPORTS }, () => {
    const ledger = createLedger(() => undefined)
    putGenesisValidators(ledger, first)
    return ledger
  })
  const { cost } = await costOf(() => {
    for (const ledger of ledgers) {
      const report = decodeReport(raw)
      const env = { number: 2n, timestamp: 0n }
      const result = report && applyReportToLedger({ ledger, params, env, judgeEvidence }, report)
      if (!result?.ok) throw new Error('a report is refused')
    }
  })
  return (cost.mainMs * 1_000) / REPORTS
}

/** One signature recovery with the address behind it, in µs of CPU. */
async function measureRecovery(): Promise<number> {
  const hash = seeded('recovery')
  const { signature, recid } = secp256k1.ecdsaSign(hash, signer('recovery', 0).secret)
  const parts = { r: signature.slice(0, 32), s: signature.slice(32), yParity: recid === 1 ? 1 : 0 } as const
  const { cost } = await costOf(() => {
    for (let i = 0; i < RECOVERIES; i++) recoverAddress(hash, parts)
  })
  return (cost.mainMs * 1_000) / RECOVERIES
}

// ---- result -------------------------------------------------------------------------------------------------------------------------

type Sample = { readonly us: number; readonly recoveries: number; readonly recoveryUs: number; readonly gas: bigint }

/** `ofRecovery`: µs per gas over those of a recovery; above 1, gas is less than the cost asks. */
type Figures = { readonly us: Spread; readonly recoveries: Spread; readonly gas: number; readonly ofRecovery: Spread }

function figuresOf(samples: readonly Sample[]): Figures {
  const gas = Number(samples[0]?.gas ?? 0n)
  return {
    us: spreadOf(samples.map(({ us }) => us)),
    recoveries: spreadOf(samples.map(({ recoveries }) => recoveries)),
    gas,
    ofRecovery: spreadOf(samples.map(({ recoveries }) => (recoveries * Number(RECOVERY_GAS)) / gas)),
  }
}

/** `all`: every case, in the order of the record. */
function printResult(samples: ReadonlyMap<Named, readonly Sample[]>, all: readonly Named[]): void {
  const found = [...samples].map(([{ name }, costs]) => ({ name, ...figuresOf(costs) }))
  const recoveryUs = spreadOf([...samples.values()].flat().map((one) => one.recoveryUs))
  if (isRecording) {
    const costs = found.map(({ name, recoveries, gas }) => ({ name, recoveries: Number(recoveries.median.toFixed(2)), gas }))
    record(costs, all)
  }
  const rows = found.map(({ name, us, recoveries, gas, ofRecovery }) => [
    name,
    show(us),
    show(recoveries),
    digits(recoveries.median * Number(RECOVERY_GAS)),
    gas.toLocaleString('en'),
    show(ofRecovery),
  ])
  const head = ['operation', 'µs', 'recoveries', 'gas that would cost', 'gas charged', 'cost of what gas pays for']
  const text = `${textTable(head, rows)}\n\nOne recovery: ${show(recoveryUs)} µs, ${RECOVERY_GAS} gas.`
  const figures = { ...options, recoveryUs, cases: Object.fromEntries(found.map(({ name, ...rest }) => [name, rest])) }
  report({ bench: 'gas', json: options.json, text, figures })
}

/** Costs that were not measured now stay, unless their case is gone. */
function record(costs: readonly GasCost[], all: readonly Named[]): void {
  const known = new Map<string, GasCost>(JSON.parse(readFileSync(COSTS, 'utf8')).map((cost: GasCost) => [cost.name, cost]))
  for (const cost of costs) known.set(cost.name, cost)
  const lines = all.flatMap(({ name }) => {
    const cost = known.get(name)
    return cost ? [`  { "name": ${JSON.stringify(name)}, "recoveries": ${cost.recoveries}, "gas": ${cost.gas} }`] : []
  })
  writeFileSync(COSTS, `[\n${lines.join(',\n')}\n]\n`)
}
