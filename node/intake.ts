/**
 * Messages of other validators on their way to the machine: decoded, admitted, verified (the votes that came together in one go), held where they are
 * early, answered where they are late. Bounds: docs/spec/consensus.md#messages
 */
import { admit } from '../consensus/admit.ts'
import { type Early, type EarlyMessage, holdEarly, noEarly, releaseEarly } from '../consensus/early.ts'
import { decodeMessage, type Message, type Vote } from '../consensus/message.ts'
import type { State } from '../consensus/state.ts'
import type { ValidatorSet } from '../consensus/validatorSet.ts'
import { verifyMessage, verifyVotes } from '../consensus/verify.ts'
import { ROUNDS_AHEAD } from '../consensus/votes.ts'
import { createWorth, MESSAGE_TALK } from './worth.ts'

/** Messages that wait to be verified: far more than a height of the largest set has. What comes beyond is let go, and said again by who sent it. */
const WAITING_MAX = 2_048
/** The commit of a past height is not said to a peer again within this time. */
const ANSWER_MS = 400
const ANSWERED_PEERS_MAX = 256

export type IntakeOptions = {
  readonly chainId: number
  state(): State
  /** The set of a height, undefined while it is not known. */
  setAt(height: number): ValidatorSet | undefined
  nowMs(): number
  /** Least time between two heights. */
  minBlockIntervalMs(): number
  /** Part of the usual allowance of useless messages; for tests. */
  readonly uselessShare?: number
  /** Takes a verified message of the open height. */
  deliver(message: Message, receivedMs: number): void
  /** A validator speaks at the next height, which is not begun here. */
  onNext(): void
  /** Others speak at heights beyond the next one. */
  onAhead(): void
  /** A peer speaks at a height that is over here. */
  onBehind(peer: string, height: number): void
  /** A peer sent what no correct one sends. */
  blame(peer: string, why: string): void
}

export type Intake = {
  take(bytes: Uint8Array, peer: string): void
  /** A height has begun: what was held for it is looked at. */
  begun(): void
  /** Nothing is taken any more, nor looked at. */
  close(): void
}

type Judged = { readonly message: Message; readonly peer: string; readonly isAdmitted: boolean }
type Waiting = EarlyMessage & { readonly peer: string }

/** An intake without messages, for a machine whose current height is the one before the next that begins. */
export function createIntake(options: IntakeOptions): Intake {
  const { chainId, state, setAt } = options
  let early: Early = noEarly(state().height + 1)
  let waiting: Waiting[] = []
  let scheduled = false
  let closed = false
  const answered = new Map<string, number>()
  const { nowMs, minBlockIntervalMs, uselessShare } = options
  const worth = createWorth({ talk: MESSAGE_TALK, nowMs, minBlockIntervalMs, ...(uselessShare && { share: uselessShare }) })
  /** What waits, as its peer said it: the same again is of no use. */
  const said = new Set<string>()

  function queue(one: Waiting): void {
    if (waiting.length >= WAITING_MAX) return
    waiting.push(one)
    if (scheduled) return
    scheduled = true
    setImmediate(flush)
  }

  /** Verifies what came since the last turn. */
  function flush(): void {
    scheduled = false
    if (closed) return
    const { height } = state()
    const set = setAt(height)
    const taken = waiting.filter(({ message }) => admit(state(), message).ok)
    waiting = []
    said.clear()
    if (!set) return
    const votes = taken.map(({ message }) => message).filter(isVote)
    const verdicts = new Map<Message, boolean>(verifyVotes(set, votes, chainId).map((isGood, i) => [votes[i] as Message, isGood]))
    for (const { message, receivedMs, peer } of taken) {
      if (verdicts.get(message) ?? verifyMessage(set, message, chainId).ok) options.deliver(message, receivedMs)
      else if (peer !== '') options.blame(peer, `its ${message.kind} does not verify`)
    }
  }

  function takeEarly(peer: string, one: EarlyMessage): void {
    const { message } = one
    const { height, step } = state()
    if (message.height !== height + 1) {
      options.onAhead()
      return
    }
    early = holdEarly(early, peer, one)
    if (step !== 'decided' && step !== 'idle') return
    const set = setAt(message.height)
    if (!set) return
    if (verifyMessage(set, message, chainId).ok) options.onNext()
    else options.blame(peer, `its ${message.kind} does not verify`)
  }

  function takePast(peer: string, height: number): void {
    const now = nowMs()
    if (now - (answered.get(peer) ?? 0) < ANSWER_MS) return
    if (answered.size >= ANSWERED_PEERS_MAX) answered.clear()
    answered.set(peer, now)
    options.onBehind(peer, height)
  }

  /** Whether a message could be of use: it is admitted, its peer did not just say it, and its round is not one in which nobody is yet. */
  function isNews(bytes: Uint8Array, { message, peer, isAdmitted }: Judged): boolean {
    if (!isAdmitted || (isVote(message) && message.round > state().round + ROUNDS_AHEAD)) return false
    const key = `${peer} ${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')}`
    if (said.has(key)) return false
    if (said.size < WAITING_MAX) said.add(key)
    return true
  }

  return {
    take(bytes, peer) {
      if (closed) return
      const receivedMs = nowMs()
      worth.heard()
      const decoded = decodeMessage(bytes)
      if (!decoded.ok) return options.blame(peer, `a message that is none (${decoded.code})`)
      const message = decoded.value
      const admission = admit(state(), message)
      if (!isNews(bytes, { message, peer, isAdmitted: admission.ok }) && !worth.bears(peer))
        options.blame(peer, 'its messages are of no use')
      else if (admission.ok) queue({ message, receivedMs, peer })
      else if (admission.code === 'earlyHeight') takeEarly(peer, { message, receivedMs })
      else if (admission.code === 'pastHeight') takePast(peer, message.height)
      else if (admission.code === 'unknownValidator') options.blame(peer, 'it speaks for a validator that is not of the set')
    },
    close() {
      closed = true
    },
    begun() {
      worth.passed()
      const held = releaseEarly(early)
      early = noEarly(state().height + 1)
      for (const one of held) if (admit(state(), one.message).ok) queue({ ...one, peer: '' })
    },
  }
}

function isVote(message: Message): message is Vote {
  return message.kind === 'prevote' || message.kind === 'precommit'
}
