/**
 * The smallest engine that keeps the promises of consensus/effect.ts and consensus/wal.ts: append, step, sync log and guard, let out. The network, the
 * clock, the builder, the signer and the disk are ports, so that one process can run a whole network, or die at any boundary of one node.
 */
import { bytesToHex, type Hex } from 'viem'
import { admit } from '../../consensus/admit.ts'
import type { Commit } from '../../consensus/certificate.ts'
import { type Early, holdEarly, noEarly, releaseEarly } from '../../consensus/early.ts'
import type { Effect } from '../../consensus/effect.ts'
import type { Evidence } from '../../consensus/evidence.ts'
import { checkSign, decodeGuard, encodeGuard, type Guard, guardOf, mayVote } from '../../consensus/guard.ts'
import type { Input } from '../../consensus/input.ts'
import { LAW, step } from '../../consensus/machine.ts'
import type { Message, UnsignedMessage } from '../../consensus/message.ts'
import { replay } from '../../consensus/replay.ts'
import type { Law } from '../../consensus/round.ts'
import { type Context, idleState, type State } from '../../consensus/state.ts'
import type { Timer } from '../../consensus/timing.ts'
import type { ValidatorSet } from '../../consensus/validatorSet.ts'
import { decodeWal, encodeWalHeader, encodeWalInput, isLogged, type LoggedInput } from '../../consensus/wal.ts'
import { assert } from '../../execution/assert.ts'

/** What survives a crash. Bytes of the log behind `syncedBytes` may survive or not. */
export type Disk = {
  wal: Uint8Array
  syncedBytes: number
  guard: Uint8Array | undefined
  readonly decided: { height: number; round: number; blockHash: Hex; commit: Commit }[]
}

export function emptyDisk(): Disk {
  return { wal: new Uint8Array(), syncedBytes: 0, guard: undefined, decided: [] }
}

/** What a crash leaves: all that was synced, and `keptBytes` of what was not. */
export function crashDisk(disk: Disk, keptBytes: number): void {
  disk.wal = disk.wal.slice(0, Math.min(disk.wal.length, disk.syncedBytes + keptBytes))
  disk.syncedBytes = disk.wal.length
}

/** The disk takes nothing more: a validator that cannot log must not vote. Its process ends; with room on the disk it may begin again. */
export class DiskFull extends Error {
  override readonly name = 'DiskFull'
  readonly retryable = true
}

export type EnginePorts = {
  /** Called between any two things that reach the world or the disk; may throw to kill the node there. */
  boundary(what: string): void
  now(): number
  /** Signs at once, or later: the signature may come from elsewhere. */
  sign(message: UnsignedMessage, digest: Uint8Array, done: (signature: Uint8Array) => void): void
  verify(message: Message, state: State): boolean
  broadcast(message: Message): void
  startTimer(timer: Timer, height: number, round: number, ms: number): void
  buildBlock(height: number, round: number): void
  checkBlock(height: number, blockHash: Hex, urgent: boolean): void
  onDecide(decided: { height: number; round: number; blockHash: Hex; commit: Commit }): void
  onEvidence(evidence: Evidence): void
  onPastHeight(peer: string, height: number): void
  /** Called for `halt`; must not return. */
  onHalt(): never
  onStep(input: Input, before: State, after: State, effects: readonly Effect[]): void
}

/** The parts of a validator that a test may replace by broken ones. */
export type Machinery = {
  readonly law: Law
  readonly admit: typeof admit
  readonly mayVote: typeof mayVote
  /** What is kept on disk of log and guard. */
  readonly durable: 'wal and guard' | 'guard' | 'nothing'
  /** When signatures leave: behind log and guard, or at once. */
  readonly leaves: 'synced' | 'at once'
}

/** All as it must be. */
export const SOUND: Machinery = { law: LAW, admit, mayVote, durable: 'wal and guard', leaves: 'synced' }

export type EngineOptions = {
  readonly context: Context
  readonly setAt: (height: number) => ValidatorSet
  readonly chainId: number
  readonly machinery?: Machinery
}

export type Engine = {
  /** Takes up the disk: replays the log of the open height. A damaged log is thrown away: the guard tells if there may be a vote then. */
  recover(): void
  /** Begins the height after the last decided one. */
  startNext(): void
  input(input: LoggedInput): void
  receive(peer: string, message: Message): void
  state(): State
  early(): Early
}

export function createEngine(options: EngineOptions, ports: EnginePorts, disk: Disk): Engine {
  const { context, setAt, chainId, machinery = SOUND } = options
  const { law, durable } = machinery
  const last = disk.decided.at(-1)?.height ?? 0
  let state: State = idleState(context, setAt(last + 1), last)
  let early: Early = noEarly(last + 1)
  const waiting: LoggedInput[] = []
  /** What leaves the process once log and guard are on disk. */
  let outbox: Extract<Effect, { kind: 'broadcast' | 'decide' }>[] = []
  /** What was signed last; on disk before that leaves the process. */
  let guard = readGuard()
  /** What a signature was asked for last: one that is refused was not given, and the guard on disk must not say that it was. */
  let asked = guard
  let running = false

  function append(bytes: Uint8Array): void {
    if (durable !== 'wal and guard') return
    ports.boundary('append')
    const longer = new Uint8Array(disk.wal.length + bytes.length)
    longer.set(disk.wal)
    longer.set(bytes, disk.wal.length)
    disk.wal = longer
    ports.boundary('appended')
  }

  function sync(): void {
    if (disk.syncedBytes === disk.wal.length) return
    ports.boundary('sync')
    disk.syncedBytes = disk.wal.length
    ports.boundary('synced')
  }

  function run(first: () => void = () => {}): void {
    if (running) return
    running = true
    first()
    do {
      for (let input = waiting.shift(); input !== undefined; input = waiting.shift()) {
        if (isLogged(input)) append(encodeWalInput(input))
        take(input)
      }
      letOut()
    } while (waiting.length > 0)
    running = false
  }

  function letOut(): void {
    if (outbox.length === 0) return
    if (machinery.leaves === 'synced') sync()
    const bytes = guard && encodeGuard(guard)
    if (bytes && bytesToHex(bytes) !== (disk.guard && bytesToHex(disk.guard))) {
      ports.boundary('guard')
      disk.guard = bytes
      ports.boundary('guarded')
    }
    const leaving = outbox
    outbox = []
    for (const effect of leaving) {
      ports.boundary(`before ${effect.kind} leaves`)
      if (effect.kind === 'broadcast') ports.broadcast(effect.message)
      else store(effect)
      ports.boundary(`after ${effect.kind} left`)
    }
  }

  function take(input: Input): void {
    const before = state
    const stepped = step(state, input, law)
    state = stepped.state
    ports.onStep(input, before, state, stepped.effects)
    performAll(stepped.effects)
  }

  function performAll(effects: readonly Effect[]): void {
    for (const effect of effects) {
      ports.boundary(`before ${effect.kind}`)
      perform(effect)
      ports.boundary(`after ${effect.kind}`)
    }
  }

  function perform(effect: Effect): void {
    switch (effect.kind) {
      case 'sign':
        signAndSend(effect.message)
        break
      case 'broadcast':
      case 'decide':
        outbox.push(effect)
        break
      case 'startTimer':
        ports.startTimer(effect.timer, effect.height, effect.round, effect.ms)
        break
      case 'stopTimers':
        break // a late timer says nothing
      case 'buildBlock':
        ports.buildBlock(effect.height, effect.round)
        break
      case 'checkBlock':
      case 'fetchBlock':
        ports.checkBlock(effect.height, effect.blockHash, effect.kind === 'fetchBlock')
        break
      case 'evidence':
        ports.onEvidence(effect.evidence)
        break
      case 'halt':
        ports.onHalt()
    }
  }

  function store({ height, round, blockHash, commit }: Extract<Effect, { kind: 'decide' }>): void {
    if (disk.decided.at(-1)?.height === height) return
    disk.decided.push({ height, round, blockHash, commit })
    ports.onDecide({ height, round, blockHash, commit })
  }

  function readGuard(): Guard | undefined {
    if (disk.guard === undefined || durable === 'nothing') return undefined
    const stored = decodeGuard(disk.guard)
    assert(stored !== undefined, 'guard file is damaged')
    return stored
  }

  /** The log was on disk before the guard: what it shows as signed, the guard holds before it is said again. */
  function guardLogged(): void {
    if (durable === 'nothing') return
    const verdict = guardOf(guard, state, { set: state.set, chainId })
    assert(verdict.ok, 'log and guard contradict each other')
    guard = verdict.guard
    asked = guard
  }

  function signAndSend(message: UnsignedMessage): void {
    const verdict = checkSign(asked, message, state.set, chainId)
    if (!verdict.ok) return
    if (durable !== 'nothing') asked = verdict.guard
    ports.sign(message, verdict.digest, (signature) => {
      // Signatures may come in any order: the guard only moves forward.
      if (durable !== 'nothing' && checkSign(guard, message, state.set, chainId).ok) guard = verdict.guard
      const signed: Message = { ...message, signature }
      ports.boundary('signed')
      waiting.push({ kind: 'message', message: signed, receivedMs: ports.now() })
      outbox.push({ kind: 'broadcast', message: signed })
      if (machinery.leaves === 'at once') ports.broadcast(signed)
      run()
    })
  }

  return {
    recover() {
      const log = decodeWal(disk.wal)
      if (!log.ok) return
      disk.wal = disk.wal.slice(0, log.bytes)
      disk.syncedBytes = disk.wal.length
      if (log.header === undefined || log.header.height <= state.height) return
      const set = setAt(log.header.height)
      const replayed = replay(state, { header: log.header, inputs: log.inputs, set, chainId }, law)
      assert(replayed.ok, 'log is not of this height')
      state = replayed.state
      early = noEarly(state.height + 1)
      guardLogged()
      run(() => performAll(replayed.effects))
    },
    startNext() {
      if (state.step !== 'idle' && state.step !== 'decided') return
      const height = state.height + 1
      const set = setAt(height)
      disk.wal = new Uint8Array()
      disk.syncedBytes = 0
      ports.boundary('begun anew')
      const votes = machinery.mayVote(guard, height)
      append(encodeWalHeader({ chainId, epoch: set.epoch, height, setHash: set.hash, votes }))
      run(() => take({ kind: 'startHeight', height, set, votes }))
      const held = releaseEarly(early)
      early = noEarly(height + 1)
      for (const { message, receivedMs } of held) {
        if (machinery.admit(state, message).ok && ports.verify(message, state)) waiting.push({ kind: 'message', message, receivedMs })
        run()
      }
    },
    input(input) {
      waiting.push(input)
      run()
    },
    receive(peer, message) {
      const receivedMs = ports.now()
      const admission = machinery.admit(state, message)
      if (admission.ok) {
        if (!ports.verify(message, state)) return
        waiting.push({ kind: 'message', message, receivedMs })
        run()
      } else if (admission.code === 'earlyHeight') early = holdEarly(early, peer, { message, receivedMs })
      else if (admission.code === 'pastHeight') ports.onPastHeight(peer, message.height)
    },
    state: () => state,
    early: () => early,
  }
}
