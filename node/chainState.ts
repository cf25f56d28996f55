/**
 * The chain as this process executes it: store, state and pool, one thing at a time. Blocks are built or checked ahead of their decision and
 * kept until one of them is final; only then is anything written.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createAccountFromRLP } from '@ethereumjs/util'
import type { Hex } from 'viem'
import { judgeEvidence } from '../consensus/evidence.ts'
import { applyBlock, type BlockResult, type Executor } from '../execution/applyBlock.ts'
import { assert } from '../execution/assert.ts'
import { type Block, type Header, nextBaseFeeWei } from '../execution/block.ts'
import { buildBlock, type OriginStep } from '../execution/buildBlock.ts'
import { type BlockFees, dataPriceIn } from '../execution/fee.ts'
import { createGenesisBlock } from '../execution/genesisBlock.ts'
import { fromHex, toHex } from '../execution/hex.ts'
import { paramsAt } from '../execution/ledger/governed.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { accounts, getL1Info, type L1Info } from '../execution/ledger/tables.ts'
import {
  createMempool,
  type Lane,
  type Mempool,
  type MempoolLimits,
  type PoolAccount,
  type PoolAccounts,
  type PoolTx,
} from '../execution/mempool.ts'
import type { Rejection } from '../execution/native/nativeType.ts'
import { type RecoverAll, recoverSignatory } from '../execution/recover.ts'
import { createState } from '../execution/state.ts'
import { createVm } from '../execution/vm.ts'
import { encodeGenesis, type Genesis } from '../genesis/genesis.ts'
import type { ChainParams } from '../genesis/params.ts'
import { createPrecompiles } from '../precompiles/precompiles.ts'
import type { Log } from './log.ts'
import { OPENSSL_CURVES } from './opensslCurves.ts'
import type { ReportSource } from './reporter.ts'
import type { Store } from './store.ts'
import { StoreError } from './store.ts'
import { createTxIntake, type IntakePool, type TxIntake, type Verdict } from './txIntake.ts'

/** Blocks kept executed and undecided: a height seldom has more than one. */
const CANDIDATES_MAX = 4
/** Accounts of a lane that are remembered for the pool. */
const POOL_ACCOUNTS_MAX = 16_384
/** Longest that building keeps everything else waiting, but for one transaction. */
const TURN_MS = 10
/** Rejections after which a transaction may still run later: it stays in the pool. */
const PASSING = new Set(['nonceTooHigh', 'feeTooLow', 'blockGasExceeded', 'blockBytesExceeded'])

export type BuildOptions = {
  /** Time after which no further transaction is started, in milliseconds. */
  readonly budgetMs: number
  readonly timestampMs: number
  readonly feeRecipient: Hex
  readonly origin: OriginStep | undefined
  /** Bytes that transactions of the pool may have together; without it only the block's own bound holds. */
  readonly poolBytesMax?: number | undefined
}

/** Whether a transaction came over JSON-RPC or from other nodes. */
export type TxSource = 'client' | 'peer'

export type ChainState = {
  readonly genesis: Genesis
  readonly genesisHash: Hex
  readonly store: Store
  readonly executor: Executor
  readonly pool: Mempool
  /** The parameters that rule the next block. */
  nextParams(): ChainParams
  head(): { readonly header: Header; readonly hash: Hex }
  /** What the chain knows of L1 at its head. */
  l1Info(): L1Info
  /** Builds a block on the head, keeps it as a candidate, and has its bytes on disk. */
  build(options: BuildOptions): Promise<BlockResult>
  /** Blocks that are built from now on have reports from there. */
  reportFrom(source: ReportSource): void
  /** Executes a proposed block on the head and keeps it as a candidate. */
  check(block: Block): Promise<({ readonly ok: true } & BlockResult) | Rejection>
  /** Makes a candidate (or a proposed block) the head; it is on disk when this resolves. */
  decide(hash: Hex, commit: Uint8Array): Promise<BlockResult>
  /** Makes a block that was executed on this state the head, without a certificate: for whoever rebuilds a chain from L1. */
  adopt(result: BlockResult): Promise<void>
  /** Takes a transaction into the pool: in the order of the calls, but for those that carry signatures of others, which take longer. */
  submit(raw: Uint8Array, source?: TxSource): Promise<{ readonly ok: true; readonly tx: PoolTx } | Rejection>
  /** The pool for whoever has read transactions and recovered their senders. */
  intakePool(source: TxSource): IntakePool
  poolAccounts: PoolAccounts
  /** Calls back after each block that became the head. */
  onBlock(listener: (result: BlockResult) => void): () => void
  onPending(listener: (tx: PoolTx, source: TxSource) => void): () => void
}

export type ChainStateOptions = {
  readonly store: Store
  readonly genesis: Genesis
  readonly mempool: MempoolLimits
  readonly log: Log
  /** Recovers signatures; without it that is done one by one on this thread. */
  readonly recover?: RecoverAll
}

/** Opens the chain in the store, beginning it with genesis if it is empty. Throws StoreError if the store is of another genesis. */
export async function openChainState({ store, genesis, mempool, log, recover }: ChainStateOptions): Promise<ChainState> {
  const text = encodeGenesis(genesis)
  const first = createGenesisBlock(genesis)
  if (store.head() === undefined) await store.writeGenesis(text, first)
  if (store.genesis() !== text) throw new StoreError('the store holds a chain of another genesis file')
  const { params } = genesis
  const number = store.head() ?? 0n
  const state = createState(store.reader, store.roots(number))
  const vm = await createVm({ state, params, precompiles: createPrecompiles(OPENSSL_CURVES), blockHash: (n) => store.block(n)?.hash })
  const executor: Executor = { state, vm, params, judgeEvidence, recover }
  const pool = createMempool(mempool)
  const candidates = new Map<Hex, BlockResult>()
  const blockListeners = new Set<(result: BlockResult) => void>()
  const pendingListeners = new Set<(tx: PoolTx, source: TxSource) => void>()
  const alone = createQueue()
  let head = headOf(store)
  /** Hash of the block after which the state in memory stands. */
  let standsAt = head.hash

  const { poolAccounts, amendAccounts } = createPoolAccounts(store)
  let nextParams = paramsAfter(head.header)
  let fees = feesAfter(head.header, nextParams)
  let reporter: ReportSource | undefined
  /** Read once a block: it is asked for a few times. */
  let l1Info: L1Info | undefined

  /** The parameters that rule the block after this one, and what it takes for gas and bytes, from disk: the state in memory may be in the middle of a block. */
  function paramsAfter(header: Header): ChainParams {
    return paramsAt(params, { get: store.reader.ledgerRecord }, header.number + 1n)
  }

  function feesAfter(header: Header, next: ChainParams): BlockFees {
    return { baseFeePerGas: nextBaseFeeWei(header, next), dataPrice: dataPriceIn({ get: store.reader.ledgerRecord }, next) }
  }

  function moveTo(next: typeof head, touched: readonly Touched[]): void {
    head = next
    l1Info = undefined
    amendAccounts(touched)
    nextParams = paramsAfter(head.header)
    fees = feesAfter(head.header, nextParams)
  }

  function backToHead(): void {
    if (standsAt === head.hash) return
    state.reset(store.roots(head.header.number))
    standsAt = head.hash
  }

  function keep(result: BlockResult): void {
    const oldest = candidates.keys().next().value
    if (candidates.size >= CANDIDATES_MAX && oldest) candidates.delete(oldest)
    candidates.set(result.hash, result)
    standsAt = result.hash
  }

  function add(tx: PoolTx, source: TxSource): Verdict {
    const added = pool.add(tx, poolAccounts, fees)
    if (added.ok) for (const listener of pendingListeners) listener(tx, source)
    return added
  }

  const intakePool = (source: TxSource): IntakePool => ({
    has: (hash) => pool.get(hash) !== undefined,
    offer: (offers) => offers.map(({ tx }) => add(tx, source)),
  })
  const recoverAny: RecoverAll = recover ?? (async (signed) => signed.map(recoverSignatory))
  const intakeOf = (source: TxSource) => createTxIntake({ common: vm.common, recover: recoverAny, pool: intakePool(source) })
  const intakes: Readonly<Record<TxSource, TxIntake>> = { client: intakeOf('client'), peer: intakeOf('peer') }

  async function checkNow(block: Block): Promise<({ ok: true } & BlockResult) | Rejection> {
    backToHead()
    const result = await applyBlock(executor, head.header, block, breathing())
    if (result.ok) keep(result)
    else state.reset(store.roots(head.header.number))
    return result
  }

  return {
    genesis,
    genesisHash: first.hash,
    store,
    executor,
    pool,
    poolAccounts,
    nextParams: () => nextParams,
    head: () => head,
    l1Info: () => {
      l1Info ??= getL1Info(createLedger(store.reader.ledgerRecord))
      return l1Info
    },
    build: (options) =>
      alone(async () => {
        backToHead()
        const { budgetMs, poolBytesMax, ...request } = options
        const built = await buildBlock(executor, {
          ...request,
          parent: head.header,
          reports: reporter?.due(state.ledger, head.header.number + 1n) ?? [],
          offer: within(pool.offer(fees), poolBytesMax),
          triesMax: 20_000,
          mayGoOn: inTurns(budgetMs),
        })
        keep(built)
        const gone = built.rejected.filter(({ rejection }) => !PASSING.has(rejection.code))
        pool.drop(gone.map(({ hash }) => hash))
        for (const { hash, rejection } of gone) {
          reporter?.refuse(hash, rejection.code)
          log.debug('transaction dropped', { hash, code: rejection.code })
        }
        await store.writeProposed(built.block, built)
        return built
      }),
    reportFrom(source) {
      reporter = source
    },
    check: (block) => alone(() => checkNow(block)),
    decide: (hash, commit) =>
      alone(async () => {
        let result = candidates.get(hash)
        if (!result || standsAt !== hash) {
          const block = result?.block ?? store.proposed(hash)
          assert(block, `block ${hash} is decided and not here`)
          const applied = await checkNow(block)
          assert(applied.ok, `decided block ${hash} does not apply`)
          result = applied
        }
        await store.writeBlock(result, commit)
        candidates.clear()
        const touched = touchedBy(result)
        moveTo({ header: result.block.header, hash }, touched)
        pool.settle(touched, poolAccounts)
        for (const listener of blockListeners) listener(result)
        return result
      }),
    adopt: (result) =>
      alone(async () => {
        await store.writeBlock(result, new Uint8Array())
        moveTo({ header: result.block.header, hash: result.hash }, touchedBy(result))
        standsAt = head.hash
      }),
    submit: (raw, source = 'client') => intakes[source].submit(raw),
    intakePool,
    onBlock: (listener) => subscribe(blockListeners, listener),
    onPending: (listener) => subscribe(pendingListeners, listener),
  }
}

/**
 * Accounts as of the head: the state in memory may be in the middle of a block, so that they are read from disk, once, and what is known of them is
 * amended by what blocks write.
 */
function createPoolAccounts({ reader }: Pick<Store, 'reader'>): {
  poolAccounts: PoolAccounts
  amendAccounts(touched: readonly Touched[]): void
} {
  const known: Readonly<Record<Lane, Map<Hex, PoolAccount>>> = { ethereum: new Map(), native: new Map() }

  function read(lane: Lane, account: Hex): PoolAccount {
    const id = fromHex(account) // as it stands in the accounts table, too
    return decode(lane, lane === 'ethereum' ? reader.account(id) : reader.ledgerRecord(accounts.number, id))
  }

  function decode(lane: Lane, bytes: Uint8Array | undefined): PoolAccount {
    if (!bytes) return { nonce: 0n, balanceWei: 0n }
    const { nonce, balance } = lane === 'ethereum' ? createAccountFromRLP(bytes) : accounts.decode(bytes)
    return { nonce, balanceWei: balance }
  }

  return {
    poolAccounts(lane, sender) {
      const found = known[lane].get(sender)
      if (found) return found
      const account = read(lane, sender)
      if (known[lane].size >= POOL_ACCOUNTS_MAX) known[lane].clear()
      known[lane].set(sender, account)
      return account
    },
    amendAccounts(touched) {
      for (const { lane, sender, bytes } of touched) if (known[lane].has(sender)) known[lane].set(sender, decode(lane, bytes))
    },
  }
}

/** An account whose nonce or balance a block may have changed, and its record after it. */
type Touched = { readonly lane: Lane; readonly sender: Hex; readonly bytes: Uint8Array | undefined }

function touchedBy({ writes }: BlockResult): readonly Touched[] {
  const touched: Touched[] = []
  for (const { address, value } of writes.accounts) touched.push({ lane: 'ethereum', sender: toHex(address), bytes: value })
  writes.ledgerRecords.forEach(({ table, id, record }) => {
    if (table === accounts.number) touched.push({ lane: 'native', sender: toHex(id), bytes: record })
  })
  return touched
}

function headOf(store: Store): { header: Header; hash: Hex } {
  const stored = store.block(store.head() ?? 0n)
  assert(stored, 'the store has no head')
  return { header: stored.block.header, hash: stored.hash }
}

/** As many of the transactions as have so many bytes; one at least, so that no size of a transaction holds it back for ever. */
function* within(offer: Iterable<PoolTx>, bytesMax = Number.POSITIVE_INFINITY): Generator<PoolTx> {
  let bytes = 0
  for (const tx of offer) {
    if (bytes > 0 && bytes + tx.raw.length > bytesMax) return
    bytes += tx.raw.length
    yield tx
  }
}

/** Says for so long that one may go on, and gives the event loop a turn every few milliseconds: clients are answered while a block is built. */
function inTurns(budgetMs: number): () => boolean | Promise<boolean> {
  const until = performance.now() + budgetMs
  const breathe = breathing()
  return () => breathe()?.then(() => performance.now() < until) ?? performance.now() < until
}

/** Gives the event loop a turn every few milliseconds. */
function breathing(): () => Promise<void> | undefined {
  let turnEnds = performance.now() + TURN_MS
  return () => {
    if (performance.now() < turnEnds) return undefined
    return nextTurn().then(() => {
      turnEnds = performance.now() + TURN_MS
    })
  }
}

/** Runs one piece of work at a time, in the order of the calls. */
export function createQueue(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const next = last.then(work, work)
    last = next.catch(() => {}) // whoever asked gets the error; the queue goes on
    return next
  }
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}
