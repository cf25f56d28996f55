/**
 * Chains of blocks of every kind, made of plain numbers, so that fast-check can invent and shrink them: native transactions, the same operations
 * called through the doors by wallets and contracts, contracts that revert afterwards, transfers, creations, and deposits with an L1 behind them.
 * Much of it succeeds and much of it fails, as moves meet what the moves before them left.
 */
import fc from 'fast-check'
import {
  concatBytes,
  encodeFunctionData,
  getContractAddress,
  type Hex,
  hexToBytes,
  keccak256,
  numberToHex,
  padHex,
  size,
  sliceHex,
  toHex,
  zeroAddress,
  zeroHash,
} from 'viem'
import { judgeEvidence } from '../../consensus/evidence.ts'
import { timestampMs } from '../../execution/block.ts'
import type { Built, OriginStep } from '../../execution/buildBlock.ts'
import { type Deposit, userDepositSourceHash } from '../../execution/deposit.ts'
import { epochOf } from '../../execution/epoch.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { paramsAt } from '../../execution/ledger/governed.ts'
import { getAccount, getCounters, getL1Info, type L1Info, workers } from '../../execution/ledger/tables.ts'
import { paramsDoorAbi } from '../../execution/native/doorAbi.ts'
import { modelIdOf } from '../../execution/native/modelRegister.ts'
import { doorCallData, NATIVE_TYPES } from '../../execution/native/native.ts'
import { codeBytes32, type FieldValues, type NativeType } from '../../execution/native/nativeType.ts'
import { requestDigest } from '../../execution/receipt.ts'
import type { ReportTx, Tx } from '../../execution/tx.ts'
import { GOVERNED } from '../../genesis/governed.ts'
import { type ChainParams, DOOR, ENTRY_WEI, GOVERNOR, OPEN_WEI, VALIDATORS } from '../../genesis/params.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { type Batch, type BatchParent, type Compression, encodeBatch, toBatchBlocks } from '../../settlement/batch.ts'
import type { DerivationHead, L1View, PostedBatch } from '../../settlement/derive.ts'
import { type BatchHeader, batchAccumulator, callDataHash } from '../../settlement/inbox.ts'
import type { L1Block } from '../../settlement/l1.ts'
import type { L1Deposit } from '../../settlement/l1Logs.ts'
import { encodeLane, executeLane, groupsOf, type LaneBlock, laneRows, lookupsOf } from '../../settlement/lane.ts'
import { offenceOf, reportOfEvidence } from '../fakes/offence.ts'
import { addressOf, createTestChain, equalValidators, signNative, type TestChain, testAccounts } from '../fakes/testChain.ts'
import { validatorsAbi } from '../fakes/validatorWord.ts'

/** How an operation reaches the ledger. */
const WAYS = ['native', 'native', 'native', 'door', 'contract', 'contractReverts'] as const
const DEPOSITS = ['balance', 'prepaid', 'plain', 'evm', 'door', 'doorReverts', 'fails', 'create', 'vote', 'usurp', 'validator'] as const
/** Deposits that use no nonce of the account that they name. */
const WITHOUT_NONCE: readonly (typeof DEPOSITS)[number][] = ['balance', 'prepaid', 'plain', 'vote']

/** One transaction: `what` of an operation or (from OPERATIONS.length up) of plain EVM use, by `who`, with two numbers for it to play with. */
export type Move = {
  readonly what: number
  readonly way: (typeof WAYS)[number]
  readonly who: number
  readonly a: number
  readonly b: number
}
export type DepositMove = { readonly kind: (typeof DEPOSITS)[number]; readonly who: number; readonly a: number }
/** A block: `step` L1 blocks forward (0: the origin stays), `afterMs` after the one before. */
export type BlockMove = {
  readonly moves: readonly Move[]
  readonly step: number
  readonly deposits: readonly DepositMove[]
  readonly afterMs: number
  /** An offence of validator `who` of the genesis file, so many blocks ago, that the block reports if it may. */
  readonly offence?: { readonly who: number; readonly back: number } | undefined
}

export type Story = {
  readonly chain: TestChain
  readonly blocks: Built[]
  readonly l1: L1View
  /** Ledger root after block i; 0 is genesis. */
  readonly ledgerRoots: Hex[]
  /** L1 record after block i. */
  readonly origins: L1Info[]
  add(block: BlockMove): Promise<Built>
}

type Operation = { readonly type: NativeType; readonly fields: FieldValues; readonly valueWei: bigint }
type World = { readonly chain: TestChain; readonly contract: Hex }

const ACCOUNTS = testAccounts.map(addressOf)
export const [OWNER, UPLOADER, WORKER, CLIENT] = ACCOUNTS as [Hex, Hex, Hex, Hex]
const nameless = keccak256(toHex('something'))

/** The contract that the prelude makes with the first transaction of the last account. */
const CONTRACT = getContractAddress({ from: ACCOUNTS[7] ?? OWNER, nonce: 0n }).toLowerCase() as Hex

/** A contract: calls `to` (word 0) with its value and the call data from byte 64 on, whatever comes of it, then reverts if word 1 is not zero. */
const CALLER_CODE: Hex = '0x6040360380604060003760006000916000346000355af150602035601f57005b60006000fd'
const CALLER_INIT: Hex = `0x60${size(CALLER_CODE).toString(16)}80600b6000396000f3${CALLER_CODE.slice(2)}`

export const arbitraryMove: fc.Arbitrary<Move> = fc.record({
  what: fc.nat(10),
  way: fc.constantFrom(...WAYS),
  who: fc.nat(5),
  a: fc.nat(1_000),
  b: fc.nat(7),
})
export const arbitraryBlock: fc.Arbitrary<BlockMove> = fc
  .record({
    moves: fc.array(arbitraryMove, { maxLength: 10 }),
    step: fc.constantFrom(0, 0, 1, 2, 40),
    deposits: fc.array(fc.record({ kind: fc.constantFrom(...DEPOSITS), who: fc.nat(5), a: fc.nat(1_000) }), { maxLength: 4 }),
    afterMs: fc.constantFrom(1, 500, 1_000, 12_345),
  })
  .map((block) => ({ ...block, offence: block.afterMs === 500 ? { who: block.moves.length % 4, back: block.deposits.length } : undefined }))

/** A chain on which every operation has what it needs: a contract, a datanet with an accepted upload, a model, a worker, a client that prepaid. */
/** Epochs that are short, so that a story has several. */
const EPOCHS = { epochBlocks: 3 } as const

export async function startStory(params: Partial<ChainParams> = {}): Promise<Story> {
  const chain = await createTestChain({ params: { ...EPOCHS, ...params }, precompiles: PRECOMPILES, validators: equalValidators(4) })
  const genesis = createGenesisBlock(chain.genesis)
  const l1 = createL1View(chain)
  const blocks: Built[] = []
  const ledgerRoots = [genesis.roots.ledgerRoot]
  const origins = [getL1Info(chain.executor.state.ledger)]
  const world = { chain, contract: CONTRACT }

  type Around = { origin?: OriginStep; afterMs?: number; reports?: readonly ReportTx[] }
  async function commit(txs: readonly Tx[], options: Around): Promise<Built> {
    const built = await chain.next(txs, options)
    blocks.push(built)
    ledgerRoots.push(built.roots.ledgerRoot)
    origins.push(getL1Info(chain.executor.state.ledger))
    return built
  }

  await commit(await prelude(world), {})
  return {
    chain,
    blocks,
    l1,
    ledgerRoots,
    origins,
    async add({ moves, step, deposits, afterMs, offence }) {
      const sign = createSigner(world, step === 0 ? [] : deposits)
      const txs: Tx[] = []
      for (const move of moves) {
        const raw = await rawOf(move, { world, sign, timeSec: chain.head().timestamp + BigInt(Math.floor(afterMs / 1000)) })
        if (raw) txs.push(chain.decode(raw))
      }
      const origin = step === 0 ? undefined : l1.step(world, step, deposits)
      return commit(txs, { afterMs, reports: offence ? [reportIn(chain, offence)] : [], ...(origin && { origin }) })
    },
  }
}

/** A report of an offence so many blocks before the next one. It may be of no height, or of somebody who is in no set any more. */
function reportIn({ head, genesis: { params } }: TestChain, { who, back }: NonNullable<BlockMove['offence']>): ReportTx {
  const height = Math.max(0, Number(head().number) - back)
  return reportOfEvidence(offenceOf({ key: who, height, epoch: epochOf(BigInt(height), params), chainId: params.chainId }))
}

/** An executed block as the lane takes it. */
export function toLaneBlock({ block, transactions, operations }: Pick<Built, 'block' | 'transactions' | 'operations'>): LaneBlock {
  return { header: block.header, transactions, operations }
}

/** A batch as the inbox took it, with its payload. */
export type PostedStory = { readonly posted: PostedBatch; readonly payload: Uint8Array }

/** What stands for the validators' commit: the fakes that verify look at nothing but the round. */
export const COMMIT = { round: 3, bitmap: Uint8Array.of(0x05), signature: new Uint8Array(96).fill(0xc0) }

/** The batch of blocks `first` to `last` behind a head, counted from 1 as blocks are. */
export function toBatch(
  { chain, blocks, ledgerRoots, origins }: Story,
  first: number,
  last: number,
  index = 0n,
): { batch: Batch; parent: BatchParent } {
  const own = blocks.slice(first - 1, last).map(toLaneBlock)
  const groups = groupsOf(laneRows(own))
  const root = ledgerRoots[first - 1] ?? '0x'
  const executed = executeLane(
    { root, source: chain.store.reader, params: chain.genesis.params, judgeEvidence, lookups: lookupsOf(own) },
    groups,
  )
  if (!executed.ok) throw new Error(`the lane was refused: ${executed.rejection.code}`)
  const before = blocks[first - 2]?.block.header
  const parent = {
    timestampMs: before ? timestampMs(before) : chain.genesis.timestampMs,
    originNumber: origins[first - 1]?.number ?? 0n,
  }
  const content = { blocks: toBatchBlocks(own, parent), ledgerRootBefore: root, lane: encodeLane(groups), ledgerRoots: executed.roots }
  return { batch: { index, firstBlock: BigInt(first), commit: COMMIT, ...content }, parent }
}

/** Posts blocks `first` to `last` behind the head, with `compress` and whatever `change` does to the batch on the way. */
export function postStory(
  story: Story,
  head: DerivationHead,
  {
    last = story.blocks.length,
    compress,
    change = (batch) => batch,
  }: { last?: number; compress: Compression['compress']; change?: (batch: Batch) => Batch },
): PostedStory {
  const first = Number(head.lastBlock) + 1
  const { batch, parent } = toBatch(story, first, last, head.nextIndex)
  const encoded = encodeBatch(change(batch), { parent, compress })
  if (!encoded.ok) throw new Error(encoded.code)
  const { payload } = encoded
  const l1Origin = story.l1.block((story.origins[last]?.number ?? 0n) + 2n)
  if (!l1Origin) throw new Error('there is no L1')
  const header = {
    prevAccumulator: head.accumulator,
    firstBlock: head.lastBlock + 1n,
    lastBlock: BigInt(last),
    lastBlockHash: story.blocks[last - 1]?.hash ?? '0x',
    l1OriginNumber: l1Origin.number,
    l1OriginHash: l1Origin.hash,
    payloadBytes: payload.length,
  }
  return { posted: toPosted(head.nextIndex, header, payload), payload }
}

/** What the inbox says of a header. */
export function toPosted(index: bigint, header: BatchHeader, payload: Uint8Array): PostedBatch {
  const dataHash = callDataHash(payload)
  return { index, header, dataHash, accumulator: batchAccumulator({ index, header, dataHash }) }
}

// ---- operations ---------------------------------------------------------------------------------------------------------------------

const DATANET = { name: 'Field notes', schemaHash: nameless, licence: 0x1_000f, curator: OWNER, joinPolicy: 0 }
const MODEL = {
  ...{ name: 'Field notes 1B', baseHash: nameless, adapterHash: zeroHash, tokenizerHash: nameless },
  ...{ trainingConfigHash: nameless, runtimeProfileHash: nameless, useFlags: 0x1_0003 },
  datanets: [{ datanetId: 1, snapshotRoot: nameless, uploadCount: 1, recordCount: 7, weightBps: 10_000 }],
  ...{ priceBase: ENTRY_WEI, pricePrompt: ENTRY_WEI, priceOutput: 0n, ownerBps: 3_000, workerBps: 3_000, contributorBps: 4_000 },
  ...{ minStake: 0n, maxTier: 1 },
}
const STAKE_WEI = 2_000n * OPEN_WEI
const UNUSED = { hotKey: zeroAddress, runtimeProfileHash: zeroHash, endpoint: '' }

type Making = { readonly world: World; readonly who: number; readonly a: number; readonly b: number; readonly timeSec: bigint }

/** Makes the fields of an operation; `valueWei` is what a payable rule takes from the EVM. */
const OPERATIONS: readonly ((making: Making) => Promise<Operation> | Operation)[] = [
  ({ a, b }) => {
    const kind = b % 6
    const amount = kind === 4 ? 0n : a % 50 === 13 ? 2_000_000n * OPEN_WEI : BigInt(a) + 1n
    return operation('Transfer', { kind, to: kind >= 4 ? zeroAddress : (ACCOUNTS[a % 8] ?? OWNER), amount }, amount)
  },
  ({ a, b }) => operation('DatanetCreate', { ...DATANET, joinPolicy: b % 2, uploadBond: BigInt(a) }),
  ({ world, who, a, b }) => {
    const contributors = [
      { account: ACCOUNTS[who] ?? OWNER, shareBps: 4_000, role: 1 },
      { account: toHex(BigInt(a) + 1n, { size: 20 }), shareBps: 6_000, role: 2 },
    ]
    const datanetId = 1 + (b % (getCounters(world.chain.executor.state.ledger).datanets + 1))
    const fields = { datanetId, contentRoot: nameless, contentId: '0x01ff', recordCount: a + 1, byteCount: 99n, contributors }
    return operation('DatanetUpload', fields, datanetId === 1 ? 7n : BigInt(a % 2))
  },
  ({ a, b }) => {
    const verdict = 1 + (a % 4)
    const judged = { qualityBps: verdict === 1 ? 9_000 : 0, reason: verdict === 2 || verdict === 3 ? 2 : 0 }
    return operation('DatanetReview', { datanetId: 1 + (a % 2), uploadIndex: b, verdict, ...judged })
  },
  ({ a, b }) => operation('ModelRegister', { ...MODEL, name: `model ${a}`, useFlags: b === 7 ? 0x3_0003 : MODEL.useFlags }),
  ({ who, a, b }) => {
    if (b < 4)
      return operation('WorkerRegister', { ...worker(ACCOUNTS[who] ?? WORKER), stake: STAKE_WEI + BigInt(a) }, STAKE_WEI + BigInt(a))
    if (b < 6) return operation('WorkerRegister', { ...UNUSED, action: 1, stake: BigInt(a) + 1n })
    return operation('WorkerRegister', { ...UNUSED, action: 2, stake: 0n })
  },
  makeCredit,
  makeClaim,
]

function operation(name: string, fields: FieldValues, valueWei = 0n): Operation {
  const type = NATIVE_TYPES.find((one) => one.name === name)
  if (!type) throw new Error(`there is no type ${name}`)
  return { type, fields, valueWei }
}

function worker(hotKey: Hex): FieldValues {
  return { action: 0, hotKey, runtimeProfileHash: nameless, endpoint: 'https://worker.example' }
}

/** A window of the one worker's receipts, paid by the one client. */
async function makeCredit({ world, a, b }: Making): Promise<Operation> {
  const { executor, genesis } = world.chain
  const lastSeq = workers.get(executor.state.ledger, { worker: WORKER })?.lastSeq ?? 0n
  const [count, promptTokens] = [1 + (a % 5), BigInt(a)]
  const feeWei = BigInt(count) * MODEL.priceBase + promptTokens * MODEL.pricePrompt
  const request = {
    ...{ client: CLIENT, worker: WORKER, modelId: modelIdOf(MODEL, OWNER), promptCommit: nameless, paramsHash: nameless, seed: 5n },
    ...{ maxOutputTokens: 500, maxFee: OPEN_WEI, cumulativeMaxFee: OPEN_WEI, nonce: 1n, deadline: 5_000n },
  }
  const signature = await testAccounts[3]?.sign({ hash: toHex(requestDigest(request, genesis.params.chainId)) })
  const entries =
    a < 30
      ? { accounts: [], amountsGwei: [] }
      : { accounts: [1, 2, 1 + b * 3].slice(0, b === 1 ? 1 : 2), amountsGwei: [1, 2].slice(0, b === 1 ? 1 : 2) }
  const window = { worker: WORKER, modelId: request.modelId, firstSeq: lastSeq + BigInt(b === 0 ? 0 : 1), count }
  const roots = { receiptsRoot: nameless, attributionRoot: nameless, promptTokens, outputTokens: 0n }
  return operation('AttributionCredit', { ...window, ...roots, draws: [{ request, signature, amount: feeWei }], ...entries })
}

/** Of up to twenty epochs before now: matured, or with the last one a little too young. */
function makeClaim({ world, timeSec, a, b }: Making): Operation {
  const { epochSec, vestingSec } = world.chain.genesis.params
  const matured = Math.floor((Number(timeSec) - vestingSec) / epochSec) - 1
  const last = b === 6 ? matured + 1 : matured
  const count = 1 + (a % 20)
  return operation('Claim', { epochs: Array.from({ length: count }, (_, i) => last - count + 1 + i) })
}

// ---- transactions -------------------------------------------------------------------------------------------------------------------

type Signer = {
  native(who: number, operation: Operation): Promise<Hex | Uint8Array>
  evm(who: number, call: { to?: Hex; valueWei?: bigint; data?: Hex; kind?: number }): Promise<Hex>
}

/** Signs transactions that follow these deposits and one another in a block. */
function createSigner({ chain }: World, deposits: readonly DepositMove[] = []): Signer {
  const { state } = chain.executor
  const { chainId } = chain.genesis.params
  const nonces = ACCOUNTS.map((address) => ({ native: getAccount(state.ledger, address).nonce, evm: state.account(address).nonce }))
  for (const { kind, who } of deposits) {
    const nonce = nonces[who]
    if (nonce && !WITHOUT_NONCE.includes(kind)) nonce.evm++ // a deposit that runs uses a nonce
  }
  const of = (who: number) => {
    const [account, nonce] = [testAccounts[who], nonces[who]]
    if (!account || !nonce) throw new Error(`there is no account ${who}`)
    return { account, nonce }
  }
  return {
    native(who, { type, fields }) {
      const { account, nonce } = of(who)
      return signNative(account, { type, fields, nonce: nonce.native++, chainId })
    },
    evm(who, { to, valueWei = 0n, data = '0x', kind = 2 }) {
      const { account, nonce } = of(who)
      const call = { chainId, nonce: Number(nonce.evm++), value: valueWei, data, gas: 2_000_000n, ...(to && { to }) }
      const gasPrice = 100_000_000_000n
      if (kind === 0) return account.signTransaction({ ...call, type: 'legacy', gasPrice })
      const accessList = [{ address: to ?? zeroAddress, storageKeys: [zeroHash] }]
      if (kind === 1) return account.signTransaction({ ...call, type: 'eip2930', gasPrice, accessList })
      return account.signTransaction({ ...call, type: 'eip1559', maxFeePerGas: gasPrice, maxPriorityFeePerGas: 1n })
    },
  }
}

type Telling = { readonly world: World; readonly sign: Signer; readonly timeSec: bigint }

async function rawOf({ what, way: drawn, who, a, b }: Move, { world, sign, timeSec }: Telling): Promise<Hex | Uint8Array | undefined> {
  const make = OPERATIONS[what]
  if (!make) {
    if (what === 8) return sign.evm(who, { to: ACCOUNTS[b] ?? OWNER, valueWei: BigInt(a), kind: a % 3 })
    if (what === 9) return sign.evm(who, { data: b < 4 ? CALLER_INIT : '0xfe', kind: a % 3 })
    return sign.evm(who, { to: b % 2 ? DOOR.ledger : world.contract, data: toHex(a), valueWei: BigInt(a % 2) })
  }
  // Windows are the worker's to credit, and most of what was earned is the worker's to claim.
  const sender = (make === makeCredit || make === makeClaim) && b < 7 ? 2 : who
  // No call may credit; the other ways of calling keep trying.
  const way = make === makeCredit && drawn === 'contract' ? 'native' : drawn
  const made = await make({ world, who: sender, a, b, timeSec })
  if (made.type.check(made.fields, world.chain.genesis.params.chainId) && way === 'native') return undefined
  if (way === 'native') return sign.native(sender, made)
  const data = doorCallData(made)
  // Now and then somebody brings the wrong value.
  const valueWei = a % 11 === 0 ? made.valueWei + 1n : made.valueWei
  if (way === 'door') return sign.evm(sender, { to: made.type.door, data, valueWei })
  return sign.evm(sender, { to: world.contract, data: throughContract(made.type.door, data, way === 'contractReverts'), valueWei })
}

function throughContract(to: Hex, data: Hex, reverts: boolean): Hex {
  return toHex(concatBytes([hexToBytes(padHex(to, { size: 32 })), hexToBytes(toHex(reverts, { size: 32 })), hexToBytes(data)]))
}

async function prelude(world: World): Promise<Tx[]> {
  const sign = createSigner(world)
  const making = { world, who: 1, a: 6, b: 0, timeSec: 0n }
  const upload = await OPERATIONS[2]?.({ ...making, b: 0 })
  const prepay = operation('Transfer', { kind: 2, to: CLIENT, amount: OPEN_WEI })
  if (!upload) throw new Error('there is no upload')
  const raws = [
    await sign.evm(7, { data: CALLER_INIT }),
    await sign.native(0, operation('DatanetCreate', { ...DATANET, uploadBond: 7n })),
    await sign.native(1, upload),
    await sign.native(0, operation('DatanetReview', { datanetId: 1, uploadIndex: 0, verdict: 1, qualityBps: 9_000, reason: 0 })),
    await sign.native(0, operation('ModelRegister', MODEL)),
    await sign.native(2, operation('WorkerRegister', { ...worker(WORKER), stake: STAKE_WEI })),
    await sign.native(3, prepay),
    await sign.evm(1, { to: ACCOUNTS[0] ?? OWNER, valueWei: 5n }),
  ]
  return raws.map((raw) => world.chain.decode(raw))
}

// ---- L1 -----------------------------------------------------------------------------------------------------------------------------

type StoryL1 = L1View & { step(world: World, step: number, deposits: readonly DepositMove[]): OriginStep }

/** An L1 of which only what a step names is ever made. */
function createL1View({ executor, genesis }: TestChain): StoryL1 {
  const queue: L1Deposit[] = []
  const blockAt = (number: bigint): L1Block => ({
    number,
    hash: keccak256(numberToHex(number)),
    parentHash: keccak256(numberToHex(number - 1n)),
    timestampSec: genesis.l1.origin.timestampSec,
    baseFeeWei: number,
    blobBaseFeeWei: 1n,
    prevRandao: keccak256(numberToHex(number + 1_000n)),
  })
  return {
    block: blockAt,
    deposits: (first, last) => queue.filter(({ l1Block }) => l1Block.number >= first && l1Block.number <= last),
    step(world, step, moves) {
      const before = getL1Info(executor.state.ledger)
      const made = moves.map((move, i): L1Deposit => {
        const l1Block = blockAt(before.number + 1n + BigInt(Math.floor((i * step) / moves.length)))
        const sourceHash = userDepositSourceHash({ l1BlockHash: l1Block.hash, logIndex: i })
        return { index: before.depositCursor + BigInt(i), accumulator: zeroHash, l1Block, deposit: depositOf(world, sourceHash, move) }
      })
      queue.push(...made)
      const at = blockAt(before.number + BigInt(step))
      const { number, hash, timestampSec, baseFeeWei, blobBaseFeeWei, prevRandao } = at
      const info = { number, hash, timestampSec, baseFee: baseFeeWei, blobBaseFee: blobBaseFeeWei, prevRandao }
      const depositCursor = before.depositCursor + BigInt(made.length)
      return { info: { ...info, depositCursor }, deposits: made.map(({ deposit }) => deposit) }
    },
  }
}

function depositOf(world: World, sourceHash: Hex, { kind, who, a }: DepositMove): Deposit {
  const { contract } = world
  const from = ACCOUNTS[who] ?? UPLOADER
  const mintWei = BigInt(a)
  const transfer = (prepaid: boolean) => doorCallData(operation('Transfer', { kind: prepaid ? 2 : 0, to: CLIENT, amount: mintWei }))
  const common = { sourceHash, from, mintWei, valueWei: mintWei, gas: 900_000n, isSystem: false }
  if (kind === 'balance' || kind === 'prepaid')
    return { ...common, to: DOOR.ledger, valueWei: 0n, gas: 0n, data: transfer(kind === 'prepaid') }
  if (kind === 'plain') return { ...common, to: DOOR.ledger, valueWei: 0n, gas: 0n, data: '0x1234' }
  if (kind === 'evm') return { ...common, to: CLIENT, data: '0x' }
  const call = { ...common, to: DOOR.params, mintWei: 0n, valueWei: 0n }
  if (kind === 'validator') return { ...call, to: VALIDATORS, gas: 0n, data: wordOf(from, a) }
  if (kind === 'vote') return { ...call, from: GOVERNOR, data: voteOf(world, a) }
  if (kind === 'usurp') return { ...call, data: voteOf(world, a) }
  if (kind === 'create') return { ...common, to: undefined, data: CALLER_INIT, valueWei: 0n }
  if (kind === 'fails') return { ...common, to: CLIENT, data: '0x', gas: 21_000n, valueWei: 9_000_000n * OPEN_WEI }
  return { ...common, to: contract, data: throughContract(DOOR.ledger, transfer(false), kind === 'doorReverts') }
}

/** What the registry on L1 may say of a validator: that it comes, weighs something else, or leaves; seldom nothing that it ever says. */
function wordOf(validator: Hex, a: number): Hex {
  const key = [keccak256(validator), toHex(a % 3, { size: 32 }), toHex(7, { size: 32 })] as const
  const data = encodeFunctionData({ abi: validatorsAbi, args: [validator, validator, BigInt(a % 5), key] })
  return a % 19 === 0 ? sliceHex(data, 0, size(data) - 1) : data
}

/** A call that changes a parameter: back to what genesis chose, up or down, too far, beyond every bound, or of a name that is none. */
function voteOf({ chain }: World, a: number): Hex {
  const { params } = chain.genesis
  const governed = GOVERNED[a % GOVERNED.length]
  if (!governed) throw new Error('nothing is governed')
  const { name, most } = governed
  const now = BigInt(paramsAt(params, chain.executor.state.ledger, chain.head().number + 2n)[name])
  const first = BigInt(params[name])
  const values = [first, first, first, first + 1n, now * 2n, now / 2n, now * 9n + 1n, now / 9n, most + 1n, 2n ** 256n - 1n]
  const how = Math.floor(a / GOVERNED.length) % (values.length + 1)
  const value = values[how] ?? now
  return encodeFunctionData({
    abi: paramsDoorAbi,
    functionName: 'setParam',
    args: [codeBytes32(how < values.length ? name : 'chainId'), value],
  })
}
