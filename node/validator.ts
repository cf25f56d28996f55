/**
 * Runs the consensus machine: takes its inputs one at a time, logs them, and does what it asks for. All that needs a clock, a disk, a key or the
 * network on behalf of consensus is here; what follows from an input is decided in consensus/ alone.
 *
 * Order: append each input to the log, step, perform what stays in the process; when no input waits, sync the log, then the guard, and let out what
 * leaves it (consensus/wal.ts, consensus/effect.ts, docs/decisions/022-one-wait-for-the-disk.md).
 */
import type { Hex } from 'viem'
import { aggregateSignatures, sign } from '../consensus/bls.ts'
import type { Effect } from '../consensus/effect.ts'
import { checkSign, decodeGuard, encodeGuard, type Guard, guardOf, mayVote } from '../consensus/guard.ts'
import { step } from '../consensus/machine.ts'
import { encodeMessage, type Message, type UnsignedMessage } from '../consensus/message.ts'
import { replay } from '../consensus/replay.ts'
import { idleState, type State } from '../consensus/state.ts'
import { DEFAULT_TIMING } from '../consensus/timing.ts'
import type { ValidatorSet } from '../consensus/validatorSet.ts'
import { decodeWal, encodeWalHeader, encodeWalInput, isLogged, type LoggedInput } from '../consensus/wal.ts'
import { timestampMs } from '../execution/block.ts'
import type { OriginStep } from '../execution/buildBlock.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { getL1Info, type L1Info } from '../execution/ledger/tables.ts'
import type { ChainState } from './chainState.ts'
import type { Journal } from './journal.ts'
import type { ValidatorKey } from './keys.ts'
import type { Log } from './log.ts'
import { errorFacts } from './log.ts'

/**
 * Building stops after this time, so that what the pool holds cannot make a proposal late: with the longest transaction that gas allows (about 2 s of this EVM)
 * the proposal still comes in while others hold its time for true (consensus/timing.ts, `isTimely`), and before the round's timer.
 */
const BUILD_BUDGET_MS = 500
const TIMING = { ...DEFAULT_TIMING, proposeMs: 3_000 }
/** In place of a signature that nobody will ever see. */
const UNSIGNED = new Uint8Array(96)

export type ValidatorOptions = {
  readonly chain: ChainState
  readonly set: ValidatorSet
  readonly key: ValidatorKey
  readonly feeRecipient: Hex
  readonly journal: Journal
  readonly log: Log
  nowMs(): number
  /** The L1 origin for a block at this time, or undefined to stay. */
  nextOrigin(current: L1Info, timestampMs: number): OriginStep | undefined
  broadcast(message: Message): void
  /** The validator can go on no further: the process must stop. */
  onFatal(error: unknown): void
}

export type Validator = {
  /** Takes up the log, or starts the first height. Throws if log and guard do not allow it. */
  start(): void
  /** Something waits for a block: the next height may start as early as the network allows. */
  wake(): void
  /** Ends after what is under way; nothing is signed afterwards. */
  stop(): Promise<void>
}

/** A validator that does nothing until it is started. */
export function createValidator(options: ValidatorOptions): Validator {
  const { chain, set, key, journal, log, nowMs, onFatal } = options
  const { params } = chain.genesis
  /** Nobody is there to be told: only the precommit leaves the process, in the block's certificate. */
  const isAlone = set.validators.length === 1
  const context = { publicKey: key.publicKey, timing: TIMING, aggregate: aggregateSignatures }
  let state: State = idleState(context, set, Number(chain.head().header.number))
  const waiting: LoggedInput[] = []
  /** What leaves the process once log and guard are on disk. */
  let outbox: (() => void)[] = []
  let guard: Guard | undefined
  let running = false
  let stopped = false
  let nextHeightTimer: NodeJS.Timeout | undefined
  /** The next height waits for the shortest interval: to be woken again changes nothing. */
  let awake = false
  const timers = new Set<NodeJS.Timeout>()
  const underWay = new Set<Promise<void>>()

  /** Does asynchronous work for an effect; its failure is the end, since the machine would wait for ever. */
  function background(work: Promise<void>): void {
    const done = work.catch(fail).finally(() => underWay.delete(done))
    underWay.add(done)
  }

  function fail(error: unknown): void {
    stopped = true
    log.error('the validator stops', errorFacts(error))
    onFatal(error)
  }

  function enqueue(input: LoggedInput): void {
    waiting.push(input)
    run(() => {})
  }

  /** Does this first, then takes every input that waits, in order; inputs that come of either wait for their turn. */
  function run(first: () => void): void {
    if (running || stopped) return
    running = true
    try {
      first()
      // Ends: a step asks for finitely much, and what is let out comes back as inputs of its own.
      do {
        for (let next = waiting.shift(); next !== undefined && !stopped; next = waiting.shift()) {
          if (isLogged(next)) journal.append(encodeWalInput(next))
          const stepped = step(state, next)
          state = stepped.state
          for (const effect of stepped.effects) perform(effect)
        }
        letOut()
      } while (waiting.length > 0 && !stopped)
    } catch (error) {
      fail(error)
    } finally {
      running = false
    }
  }

  /** The log before the guard: a guard that is ahead of its log would keep a lone validator from voting. */
  function letOut(): void {
    if (outbox.length === 0 || stopped) return
    journal.sync()
    if (guard) journal.writeGuard(encodeGuard(guard))
    const leaving = outbox
    outbox = []
    for (const leave of leaving) leave()
  }

  function perform(effect: Effect): void {
    switch (effect.kind) {
      case 'sign':
        signAndSend(effect.message)
        break
      case 'broadcast':
        if (!isAlone) outbox.push(() => options.broadcast(effect.message))
        break
      case 'startTimer':
        startTimer(effect)
        break
      case 'stopTimers':
        for (const timer of timers) clearTimeout(timer)
        timers.clear()
        break
      case 'buildBlock':
        background(build(effect.height, effect.round))
        break
      case 'checkBlock':
      case 'fetchBlock':
        background(check(effect.height, effect.blockHash))
        break
      case 'decide':
        outbox.push(() => background(decide(effect)))
        break
      case 'evidence':
        log.warn('a validator broke the rules', { evidence: effect.evidence.kind })
        break
      case 'halt':
        throw new Error(`a quorum committed block ${effect.blockHash} at height ${effect.height}, which is invalid here`)
    }
  }

  /** What this key signed last. Throws if the file is damaged: nothing may be signed until an operator has looked. */
  function readGuard(): Guard | undefined {
    const bytes = journal.readGuard()
    const read = bytes && decodeGuard(bytes)
    if (bytes && !read) throw new Error('the guard file is damaged: what this key has signed is not known, and it signs nothing more')
    return read
  }

  /**
   * Whether a height may be started with a vote. It may not if the key has signed at it and the log is lost: others decide it then. A lone validator
   * has no others. Throws for it.
   */
  function mayVoteAt(height: number): boolean {
    const votes = mayVote(guard, height)
    if (!votes && set.validators.length === 1)
      throw new Error(`this key has signed at height ${height} and the write-ahead log of that height is lost: put it back`)
    return votes
  }

  function signAndSend(message: UnsignedMessage): void {
    const verdict = checkSign(guard, message, set, params.chainId)
    if (!verdict.ok) {
      log.warn('the guard refuses a signature', { code: verdict.code, height: message.height, round: message.round })
      return
    }
    guard = verdict.guard
    const isSeen = !isAlone || message.kind === 'precommit'
    const signed = { ...message, signature: isSeen ? sign(key.secret, verdict.digest) : UNSIGNED } as Message
    if (!isAlone) outbox.push(() => options.broadcast(signed))
    enqueue({ kind: 'message', message: signed, receivedMs: nowMs() })
  }

  function startTimer({ timer, height, round, ms }: Extract<Effect, { kind: 'startTimer' }>): void {
    const handle = setTimeout(() => {
      timers.delete(handle)
      enqueue({ kind: 'timeout', timer, height, round })
    }, ms)
    timers.add(handle)
  }

  async function build(height: number, round: number): Promise<void> {
    const time = nowMs()
    const current = getL1Info(createLedger(chain.store.reader.ledgerRecord))
    const origin = options.nextOrigin(current, time)
    const result = await chain.build({ timestampMs: time, feeRecipient: options.feeRecipient, origin, budgetMs: BUILD_BUDGET_MS })
    if (!stopped) enqueue({ kind: 'blockBuilt', height, round, blockHash: result.hash, timestampMs: timestampMs(result.block.header) })
  }

  async function check(height: number, blockHash: Hex): Promise<void> {
    const block = chain.store.proposed(blockHash)
    if (!block) return // no other source of blocks yet: the round passes
    const result = await chain.check(block)
    if (!result.ok) log.warn('a proposed block is invalid', { blockHash, code: result.code })
    if (!stopped) enqueue({ kind: 'blockChecked', height, blockHash, valid: result.ok, timestampMs: timestampMs(block.header) })
  }

  async function decide({ height, blockHash, commit }: Extract<Effect, { kind: 'decide' }>): Promise<void> {
    if (Number(chain.head().header.number) >= height) return scheduleNext() // told again after a restart
    const { block, transactions } = await chain.decide(blockHash, encodeMessage(commit))
    const { number, gasUsed } = block.header
    log.debug('block final', { number, hash: blockHash, txs: transactions.length, gasUsed })
    scheduleNext()
  }

  /** When the next height may start: the shortest interval if something waits, else the longest. */
  function scheduleNext(): void {
    clearTimeout(nextHeightTimer)
    if (stopped) return
    awake = chain.pool.size() > 0
    const { minBlockIntervalMs, maxBlockIntervalMs } = chain.nextParams()
    const intervalMs = awake ? minBlockIntervalMs : maxBlockIntervalMs
    const at = timestampMs(chain.head().header) + intervalMs
    nextHeightTimer = setTimeout(startHeight, Math.max(0, Math.min(at - nowMs(), maxBlockIntervalMs)))
  }

  function startHeight(): void {
    awake = false
    if (stopped || (state.step !== 'idle' && state.step !== 'decided')) return
    const height = Number(chain.head().header.number) + 1
    if (height <= state.height) return // the decided block is being written; `decide` comes back when it is
    run(() => {
      const votes = mayVoteAt(height)
      journal.truncate(0)
      journal.append(encodeWalHeader({ chainId: params.chainId, epoch: set.epoch, height, setHash: set.hash, votes }))
      const stepped = step(state, { kind: 'startHeight', height, set, votes })
      state = stepped.state
      for (const effect of stepped.effects) perform(effect)
    })
  }

  /** Replays the log of a height that was open when the last run ended. */
  function recover(): boolean {
    const wal = decodeWal(journal.found)
    if (!wal.ok)
      throw new Error(
        `the write-ahead log is damaged (${wal.code} at byte ${wal.at}): remove it only if this height is known to be decided`,
      )
    journal.truncate(wal.bytes)
    if (!wal.header || wal.header.height <= state.height) return false
    const replayed = replay(state, { header: wal.header, inputs: wal.inputs, set, chainId: params.chainId })
    if (!replayed.ok) throw new Error(`the write-ahead log is of another chain, height or set (${replayed.code})`)
    log.info('log replayed', { height: wal.header.height, inputs: wal.inputs.length })
    state = replayed.state
    const covered = guardOf(guard, state, { set, chainId: params.chainId })
    if (!covered.ok) throw new Error(`log and guard contradict each other (${covered.code}): one of them is not of this key's last run`)
    guard = covered.guard
    run(() => {
      for (const effect of replayed.effects) perform(effect)
    })
    return true
  }

  return {
    start() {
      guard = readGuard()
      if (recover()) return
      mayVoteAt(state.height + 1)
      scheduleNext()
    },
    wake: () => {
      if (!awake && (state.step === 'idle' || state.step === 'decided')) scheduleNext()
    },
    async stop() {
      stopped = true
      clearTimeout(nextHeightTimer)
      for (const timer of timers) clearTimeout(timer)
      await Promise.all(underWay)
    },
  }
}
