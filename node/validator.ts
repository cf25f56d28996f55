/**
 * Runs the consensus machine: takes its inputs one at a time, logs them, and does what it asks for. All that needs a clock, a disk, a key or the
 * network on behalf of consensus is here; what follows from an input is decided in consensus/ alone.
 *
 * Order: append each input to the log, step, perform what stays in the process; when no input waits, sync the log, then the guard, and let out what
 * leaves it (consensus/wal.ts, consensus/effect.ts, docs/decisions/022-one-wait-for-the-disk.md).
 */
import type { Hex } from 'viem'
import { aggregateSignatures } from '../consensus/bls.ts'
import type { Effect } from '../consensus/effect.ts'
import type { Evidence } from '../consensus/evidence.ts'
import { checkSign, decodeGuard, encodeGuard, type Guard, guardOf, mayVote } from '../consensus/guard.ts'
import { step } from '../consensus/machine.ts'
import { decodeMessage, encodeMessage, type Message, type UnsignedMessage } from '../consensus/message.ts'
import { replay } from '../consensus/replay.ts'
import { idleState, type State } from '../consensus/state.ts'
import { DEFAULT_TIMING } from '../consensus/timing.ts'
import type { ValidatorSet } from '../consensus/validatorSet.ts'
import { decodeWal, encodeWalHeader, encodeWalInput, isLogged, type LoggedInput } from '../consensus/wal.ts'
import { assert } from '../execution/assert.ts'
import { createIntake, type IntakeOptions } from './intake.ts'
import type { Journal } from './journal.ts'
import type { Log } from './log.ts'
import { errorFacts } from './log.ts'
import { SignerError, type ValidatorSigner } from './signer.ts'

const TIMING = { ...DEFAULT_TIMING, proposeMs: 3_000 }
/** In place of a signature that nobody will ever see. */
const UNSIGNED = new Uint8Array(96)

/** Commits of past heights that the chain is asked for at a time, for peers that are behind. */
const COMMITS_ASKED_MAX = 64

/** The way to other validators. */
export type ValidatorNet = {
  broadcast(message: Uint8Array): void
  sendTo(peer: string, message: Uint8Array): void
  /** A peer sent what no correct one sends. */
  blame(peer: string, why: string): void
}

/** The last final block, and how long after it the next may start and must. */
export type ChainHead = {
  readonly height: number
  readonly timestampMs: number
  readonly minBlockIntervalMs: number
  readonly maxBlockIntervalMs: number
}

type InputOf<K extends LoggedInput['kind']> = Extract<LoggedInput, { readonly kind: K }>
export type BuildRequest = { readonly height: number; readonly round: number; readonly feeRecipient: Hex }
/** `isVouched`: a quorum vouches for the block. */
export type CheckRequest = { readonly height: number; readonly blockHash: Hex; readonly isVouched: boolean }
/** `commit`: the certificate's bytes. `decidedMs`: when it was complete here. */
export type Decision = {
  readonly height: number
  readonly round: number
  readonly blockHash: Hex
  readonly commit: Uint8Array
  readonly decidedMs: number
}

/** The chain as consensus knows it and asks for it; it may be on another thread. What rejects ends the validator. */
export type ValidatorChain = {
  /** The head as it was last told. */
  head(): ChainHead
  /** Whether something waits for a block, as it was last told. */
  isWaiting(): boolean
  /** Builds a block on the head; it is on disk when it is answered. */
  build(request: BuildRequest): Promise<InputOf<'blockBuilt'>>
  /** The verdict on a block; undefined: its height is over, or another call for it answers. */
  check(request: CheckRequest): Promise<InputOf<'blockChecked'> | undefined>
  /** Makes a block final, with its certificate. It is the head, and told to be, when this resolves. */
  decide(decision: Decision): Promise<void>
  /** The certificate of a final block. */
  commitOf(height: number): Promise<Uint8Array | undefined>
  /** A fresh proposal of this block was let out, and the block may follow: who has it need not ask. */
  sendBlock(blockHash: Hex): void
}

export type ValidatorOptions = {
  readonly chainId: number
  readonly chain: ValidatorChain
  /** The set of a height; undefined while the block that fixes it is not final. */
  setAt(height: number): ValidatorSet | undefined
  readonly signer: ValidatorSigner
  readonly net: ValidatorNet
  readonly journal: Journal
  readonly log: Log
  nowMs(): number
  /** Others are at heights beyond the next one. */
  onAhead(): void
  onEvidence(evidence: Evidence): void
  /** The validator can go on no further: the process must stop. */
  onFatal(error: unknown): void
}

export type Validator = {
  /** Takes up the log, or starts the first height. Throws if log and guard do not allow it. */
  start(): void
  /** Something waits for a block: the next height may start as early as the network allows. */
  wake(): void
  /** Takes a message of another validator. */
  takeMessage(message: Uint8Array, peer: string): void
  /**
   * Takes the certificate of the block after the head, which the chain was given already: consensus decides it. Resolves when it is the head, when
   * consensus is at another height, or when the validator has stopped.
   */
  adopt(final: { readonly number: bigint; readonly commit: Uint8Array }): Promise<void>
  /** Ends after what is under way; nothing is signed afterwards. */
  stop(): Promise<void>
}

/** A validator that does nothing until it is started. */
export function createValidator(options: ValidatorOptions): Validator {
  const { chainId, chain, setAt, signer, net, journal, log, nowMs, onFatal } = options
  let state: State = idleState(contextOf(signer), knownSet(chain.head().height + 1), chain.head().height)
  const waiting: LoggedInput[] = []
  /** What leaves the process once log and guard are on disk. */
  let outbox: (() => void)[] = []
  /** The last signature that was given, and the last that was asked for: a signer may refuse, and then nothing was signed. */
  let guard: Guard | undefined
  let asked: Guard | undefined
  let running = false
  let stopped = false
  const pace = createPace({ chain, nowMs, onDue: startHeight })
  const timers = createTimers(enqueue)
  const underWay = new Set<Promise<void>>()
  /** Signatures are made one after another, in the order in which they were asked for. */
  let signing: Promise<void> = Promise.resolve()
  /** Who waits for the next block to be final, and the last height whose commit came with its block: others have that. */
  const adopting = { waiting: [] as (() => void)[], height: 0 }
  const intake = createIntake(intakePorts())
  const commits = createCommits(chain)

  function intakePorts(): IntakeOptions {
    return {
      chainId,
      state: () => state,
      setAt,
      nowMs,
      deliver: (message, receivedMs) => enqueue({ kind: 'message', message, receivedMs }),
      onNext: startHeight,
      onAhead: options.onAhead,
      onBehind: (peer, height) => background(commits.tell(height, (commit) => !stopped && net.sendTo(peer, commit))),
      blame: net.blame,
      minBlockIntervalMs: () => chain.head().minBlockIntervalMs,
    }
  }

  function knownSet(height: number): ValidatorSet {
    const set = setAt(height)
    assert(set, `the validators of height ${height} are not known`)
    return set
  }

  /** Nobody is there to be told: only the precommit leaves the process, in the block's certificate. */
  const isAlone = () => state.set.validators.length === 1

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
        if (!isAlone() && !isCommitUpTo(effect.message, adopting.height)) outbox.push(() => net.broadcast(encodeMessage(effect.message)))
        break
      case 'startTimer':
        timers.start(effect)
        break
      case 'stopTimers':
        timers.stop()
        break
      case 'buildBlock':
        background(resume(build(effect)))
        break
      case 'checkBlock':
      case 'fetchBlock':
        background(resume(chain.check({ height: effect.height, blockHash: effect.blockHash, isVouched: effect.kind === 'fetchBlock' })))
        break
      case 'decide':
        outbox.push(() => background(decide(effect)))
        break
      case 'evidence':
        log.warn('a validator broke the rules', { evidence: effect.evidence.kind, validator: effect.evidence.validator })
        options.onEvidence(effect.evidence)
        break
      case 'halt':
        throw new Error(`a quorum committed block ${effect.blockHash} at height ${effect.height}, which is invalid here`)
    }
  }

  function signAndSend(message: UnsignedMessage): void {
    const verdict = checkSign(asked, message, state.set, chainId)
    if (!verdict.ok) {
      log.warn('the guard refuses a signature', { code: verdict.code, height: message.height, round: message.round })
      return
    }
    asked = verdict.guard
    const take = (signature: Uint8Array) => {
      if (message.height !== state.height) return // a signer that was slow: the height is over
      guard = verdict.guard
      const signed = { ...message, signature } as Message
      if (!isAlone()) outbox.push(() => send(signed))
      enqueue({ kind: 'message', message: signed, receivedMs: nowMs() })
    }
    if (isAlone() && message.kind !== 'precommit') {
      take(UNSIGNED)
      return
    }
    const ask = () => {
      const signature = signer.sign(message)
      signature.catch(() => {}) // told below, in its turn
      signing = signing
        .then(() => signature)
        .then(take)
        .catch((error: unknown) => {
          const isLate = error instanceof SignerError && error.code === 'passed'
          log[isLate ? 'debug' : 'warn']('no signature: this vote is not given', {
            ...errorFacts(error),
            kind: message.kind,
            height: message.height,
          })
        })
    }
    if (signer.remembers) outbox.push(ask)
    else ask()
  }

  /** A fresh proposal goes out with its block. */
  function send(message: Message): void {
    net.broadcast(encodeMessage(message))
    if (message.kind === 'proposal' && message.validRound === -1) chain.sendBlock(message.blockHash)
  }

  /** Takes what the chain answers. */
  async function resume(answer: Promise<LoggedInput | undefined>): Promise<void> {
    const input = await answer
    if (input && !stopped) enqueue(input)
  }

  function build({ height, round }: Extract<Effect, { kind: 'buildBlock' }>): ReturnType<ValidatorChain['build']> {
    const self = state.set.validators[state.self ?? -1]
    assert(self, 'who builds is of the set')
    return chain.build({ height, round, feeRecipient: self.feeRecipient })
  }

  async function decide({ height, blockHash, commit }: Extract<Effect, { kind: 'decide' }>): Promise<void> {
    if (chain.head().height >= height) return pace.next() // told again after a restart
    const bytes = encodeMessage(commit)
    commits.keep(height, bytes)
    await chain.decide({ height, round: commit.round, blockHash, commit: bytes, decidedMs: nowMs() })
    for (const resolve of adopting.waiting.splice(0)) resolve()
    pace.next()
  }

  function startHeight(): void {
    if (stopped || (state.step !== 'idle' && state.step !== 'decided')) return
    const height = chain.head().height + 1
    if (height <= state.height) return // the decided block is being written; `decide` comes back when it is
    const set = knownSet(height)
    run(() => {
      const votes = mayVoteAt(guard, knownSet(height), height)
      journal.truncate(0)
      journal.append(encodeWalHeader({ chainId, epoch: set.epoch, height, setHash: set.hash, votes }))
      const stepped = step(state, { kind: 'startHeight', height, set, votes })
      state = stepped.state
      for (const effect of stepped.effects) perform(effect)
    })
    intake.begun()
  }

  async function adopt({ number, commit }: Parameters<Validator['adopt']>[0]): Promise<void> {
    const decoded = decodeMessage(commit)
    assert(decoded.ok && decoded.value.kind === 'commit', 'a final block has a commit')
    startHeight()
    if (stopped || BigInt(chain.head().height) >= number || BigInt(state.height) !== number) return
    adopting.height = state.height
    const isFinal = new Promise<void>((resolve) => adopting.waiting.push(resolve))
    enqueue({ kind: 'message', message: decoded.value, receivedMs: nowMs() })
    await isFinal
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
    const set = knownSet(wal.header.height)
    const replayed = replay(state, { header: wal.header, inputs: wal.inputs, set, chainId })
    if (!replayed.ok) throw new Error(`the write-ahead log is of another chain, height or set (${replayed.code})`)
    log.info('log replayed', { height: wal.header.height, inputs: wal.inputs.length })
    state = replayed.state
    const covered = guardOf(guard, state, { set, chainId })
    if (!covered.ok) throw new Error(`log and guard contradict each other (${covered.code}): one of them is not of this key's last run`)
    guard = covered.guard
    asked = guard
    run(() => {
      for (const effect of replayed.effects) perform(effect)
    })
    return true
  }

  return {
    start() {
      guard = readGuard(journal)
      asked = guard
      if (recover()) return
      mayVoteAt(guard, knownSet(state.height + 1), state.height + 1)
      pace.next()
    },
    wake() {
      if (state.step === 'idle' || state.step === 'decided') pace.wake()
    },
    takeMessage: intake.take,
    adopt,
    async stop() {
      stopped = true
      intake.close()
      for (const resolve of adopting.waiting.splice(0)) resolve()
      pace.stop()
      timers.stop()
      await Promise.all(underWay)
    },
  }
}

function contextOf({ publicKey }: ValidatorSigner): State['context'] {
  return { publicKey, timing: TIMING, aggregate: aggregateSignatures }
}

/** What a key signed last. Throws if the file is damaged: nothing may be signed until an operator has looked. */
function readGuard(journal: Journal): Guard | undefined {
  const bytes = journal.readGuard()
  const read = bytes && decodeGuard(bytes)
  if (bytes && !read) throw new Error('the guard file is damaged: what this key has signed is not known, and it signs nothing more')
  return read
}

/**
 * Whether a height may be started with a vote. It may not if the key has signed at it and the log is lost: others decide it then. A lone validator
 * has no others. Throws for it.
 */
function mayVoteAt(guard: Guard | undefined, set: ValidatorSet, height: number): boolean {
  const votes = mayVote(guard, height)
  if (!votes && set.validators.length === 1)
    throw new Error(`this key has signed at height ${height} and the write-ahead log of that height is lost: put it back`)
  return votes
}

function isCommitUpTo({ kind, height }: Message, adopted: number): boolean {
  return kind === 'commit' && height <= adopted
}

/** Certificates of past heights for peers that are behind; most of them by one height, whose certificate is here still. */
function createCommits(chain: Pick<ValidatorChain, 'commitOf'>) {
  let last: { readonly height: number; readonly bytes: Uint8Array } | undefined
  let asked = 0
  return {
    keep(height: number, bytes: Uint8Array): void {
      last = { height, bytes }
    },
    async tell(height: number, say: (commit: Uint8Array) => void): Promise<void> {
      if (height === last?.height) return say(last.bytes)
      if (asked >= COMMITS_ASKED_MAX) return
      asked++
      const commit = await chain.commitOf(height).finally(() => asked--)
      if (commit) say(commit)
    },
  }
}

/** Timers of the open height. */
function createTimers(onTimeout: (input: LoggedInput) => void) {
  const running = new Set<NodeJS.Timeout>()
  return {
    start({ timer, height, round, ms }: Extract<Effect, { kind: 'startTimer' }>): void {
      const handle = setTimeout(() => {
        running.delete(handle)
        onTimeout({ kind: 'timeout', timer, height, round })
      }, ms)
      running.add(handle)
    },
    stop(): void {
      for (const handle of running) clearTimeout(handle)
      running.clear()
    },
  }
}

/** When the next height may start: the shortest interval after the head if something waits, else the longest. */
function createPace({ chain, nowMs, onDue }: { readonly chain: ValidatorChain; nowMs(): number; onDue(): void }) {
  let timer: NodeJS.Timeout | undefined
  /** It waits for the shortest interval: to be woken again changes nothing. */
  let awake = false
  let stopped = false

  function next(): void {
    clearTimeout(timer)
    if (stopped) return
    awake = chain.isWaiting()
    const { timestampMs, minBlockIntervalMs, maxBlockIntervalMs } = chain.head()
    const at = timestampMs + (awake ? minBlockIntervalMs : maxBlockIntervalMs)
    timer = setTimeout(due, Math.max(0, Math.min(at - nowMs(), maxBlockIntervalMs)))
  }

  function due(): void {
    awake = false
    onDue()
  }

  return {
    next,
    wake(): void {
      if (!awake) next()
    },
    stop(): void {
      stopped = true
      clearTimeout(timer)
    },
  }
}
