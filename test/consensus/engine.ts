/**
 * The smallest engine that keeps the promises of consensus/effect.ts and consensus/wal.ts: append, step, sync log and guard, let out. The network, the
 * clock, the builder and the disk are ports, so that one process can run a whole network, or die at any boundary of one node.
 */
import { bytesToHex, type Hex } from 'viem'
import { admit } from '../../consensus/admit.ts'
import type { Commit } from '../../consensus/certificate.ts'
import { type Early, holdEarly, noEarly, releaseEarly } from '../../consensus/early.ts'
import type { Effect } from '../../consensus/effect.ts'
import type { Evidence } from '../../consensus/evidence.ts'
import { checkSign, decodeGuard, encodeGuard, type Guard, guardOf, mayVote } from '../../consensus/guard.ts'
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

export type EnginePorts = {
  /** Called between any two things that reach the world; may throw to kill the node there. */
  boundary(what: string): void
  now(): number
  sign(message: UnsignedMessage, digest: Uint8Array): Uint8Array
  verify(message: Message): boolean
  broadcast(message: Message): void
  startTimer(timer: Timer, height: number, round: number, ms: number): void
  buildBlock(height: number, round: number): void
  checkBlock(height: number, blockHash: Hex, urgent: boolean): void
  onDecide(decided: { height: number; round: number; blockHash: Hex; commit: Commit }): void
  onEvidence(evidence: Evidence): void
  onPastHeight(peer: string, height: number): void
  /** Called for `halt`; must not return. */
  onHalt(): never
  onStep(before: State, after: State, effects: readonly Effect[]): void
}

export type EngineOptions = {
  readonly context: Context
  readonly set: ValidatorSet
  readonly chainId: number
  readonly law?: Law
  /** false: nothing is logged or guarded, as a broken node would do. */
  readonly durable?: 'wal and guard' | 'guard' | 'nothing'
  /** false: every message of the height that verifies goes to the machine, admitted or not. */
  readonly admits?: boolean
}

export type Engine = {
  /** Takes up the disk: replays the log of the open height. */
  recover(): void
  /** Begins the height after the last decided one. */
  startNext(): void
  input(input: LoggedInput): void
  receive(peer: string, message: Message): void
  state(): State
}

export function createEngine(options: EngineOptions, ports: EnginePorts, disk: Disk): Engine {
  const { context, set, chainId, law = LAW, durable = 'wal and guard', admits = true } = options
  let state: State = idleState(context, set, disk.decided.at(-1)?.height ?? 0)
  let early: Early = noEarly(state.height + 1)
  const waiting: LoggedInput[] = []
  /** What leaves the process once log and guard are on disk. */
  let outbox: Extract<Effect, { kind: 'broadcast' | 'decide' }>[] = []
  /** What was signed last; on disk before that leaves the process. */
  let guard = readGuard()
  let running = false

  function append(bytes: Uint8Array): void {
    if (durable !== 'wal and guard') return
    ports.boundary('append')
    const longer = new Uint8Array(disk.wal.length + bytes.length)
    longer.set(disk.wal)
    longer.set(bytes, disk.wal.length)
    disk.wal = longer
  }

  function sync(): void {
    if (disk.syncedBytes === disk.wal.length) return
    ports.boundary('sync')
    disk.syncedBytes = disk.wal.length
  }

  function run(first: () => void = () => {}): void {
    if (running) return
    running = true
    first()
    do {
      for (let input = waiting.shift(); input !== undefined; input = waiting.shift()) {
        if (isLogged(input)) append(encodeWalInput(input))
        take(step(state, input, law))
      }
      letOut()
    } while (waiting.length > 0)
    running = false
  }

  function letOut(): void {
    if (outbox.length === 0) return
    sync()
    const bytes = guard && encodeGuard(guard)
    if (bytes && bytesToHex(bytes) !== (disk.guard && bytesToHex(disk.guard))) {
      ports.boundary('before the guard')
      disk.guard = bytes
      ports.boundary('guarded')
    }
    const leaving = outbox
    outbox = []
    for (const effect of leaving) {
      ports.boundary(`before ${effect.kind}`)
      if (effect.kind === 'broadcast') ports.broadcast(effect.message)
      else store(effect)
      ports.boundary(`after ${effect.kind}`)
    }
  }

  function take(stepped: { state: State; effects: Effect[] }): void {
    const before = state
    state = stepped.state
    ports.onStep(before, state, stepped.effects)
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
    const verdict = guardOf(guard, state, { set, chainId })
    assert(verdict.ok, 'log and guard contradict each other')
    guard = verdict.guard
  }

  function signAndSend(message: UnsignedMessage): void {
    const verdict = checkSign(guard, message, set, chainId)
    if (!verdict.ok) return
    if (durable !== 'nothing') guard = verdict.guard
    const signed: Message = { ...message, signature: ports.sign(message, verdict.digest) }
    ports.boundary('signed')
    waiting.push({ kind: 'message', message: signed, receivedMs: ports.now() })
    outbox.push({ kind: 'broadcast', message: signed })
  }

  return {
    recover() {
      const log = decodeWal(disk.wal)
      assert(log.ok, 'log is damaged')
      disk.wal = disk.wal.slice(0, log.bytes)
      disk.syncedBytes = disk.wal.length
      if (log.header === undefined || log.header.height <= state.height) return
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
      disk.wal = new Uint8Array()
      disk.syncedBytes = 0
      const votes = mayVote(guard, height)
      append(encodeWalHeader({ chainId, epoch: set.epoch, height, setHash: set.hash, votes }))
      run(() => take(step(state, { kind: 'startHeight', height, set, votes }, law)))
      const held = releaseEarly(early)
      early = noEarly(height + 1)
      for (const { message, receivedMs } of held) {
        if (admit(state, message).ok && ports.verify(message)) waiting.push({ kind: 'message', message, receivedMs })
        run()
      }
    },
    input(input) {
      waiting.push(input)
      run()
    },
    receive(peer, message) {
      const receivedMs = ports.now()
      const admission = admit(state, message)
      const isOfHeight = message.height === state.height && state.step !== 'decided'
      if (admission.ok || (!admits && isOfHeight)) {
        if (!ports.verify(message)) return
        waiting.push({ kind: 'message', message, receivedMs })
        run()
      } else if (admission.code === 'earlyHeight') early = holdEarly(early, peer, { message, receivedMs })
      else if (admission.code === 'pastHeight') ports.onPastHeight(peer, message.height)
    },
    state: () => state,
  }
}
