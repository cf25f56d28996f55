/**
 * Replay: from a log back to the state, and to what is still to be done. The same `step` runs over the same inputs, so the state is the
 * one that was lost; of the effects, those whose answer stands in the log are done, and the rest are performed (again: every effect may
 * be performed twice without harm). Spec: docs/spec/consensus.md#log
 */
import type { Effect } from './effect.ts'
import { LAW, step } from './machine.ts'
import { type Law, rebroadcastEffects } from './round.ts'
import type { State } from './state.ts'
import type { Timer } from './timing.ts'
import type { ValidatorSet } from './validatorSet.ts'
import type { LoggedInput, WalHeader } from './wal.ts'

/** A log that is not of this machine's chain, next height or set. The caller must not vote at this height with it. */
export type ReplayVerdict =
  | { readonly ok: true; readonly state: State; readonly effects: readonly Effect[] }
  | { readonly ok: false; readonly code: 'otherChain' | 'otherHeight' | 'otherSet' }

/** What a log says, for the height that starts with `set` on `chainId`. */
export type ReplaySource = {
  readonly header: WalHeader
  readonly inputs: readonly LoggedInput[]
  readonly set: ValidatorSet
  readonly chainId: number
}

/**
 * Runs a log over an idle machine. A log of a height that is decided already is `otherHeight`: throw it away and start the next height.
 * `law`: see `step`.
 */
export function replay(idle: State, source: ReplaySource, law: Law = LAW): ReplayVerdict {
  const { header, inputs, set, chainId } = source
  if (header.chainId !== chainId) return { ok: false, code: 'otherChain' }
  if (header.height !== idle.height + 1) return { ok: false, code: 'otherHeight' }
  if (header.setHash !== set.hash || header.epoch !== set.epoch) return { ok: false, code: 'otherSet' }
  let { state, effects } = step(idle, { kind: 'startHeight', height: header.height, set, votes: header.votes }, law)
  const asked = [...effects]
  for (const input of inputs) {
    ;({ state, effects } = step(state, input, law))
    asked.push(...effects)
  }
  const open = asked.filter((effect) => isOpen(effect, state))
  return { ok: true, state, effects: [...open, ...rebroadcastEffects(state)] }
}

/** True if the effect was not answered, and its answer still matters. */
function isOpen(effect: Effect, state: State): boolean {
  switch (effect.kind) {
    case 'sign':
      return effect.message.round > (state.own[effect.message.kind]?.round ?? -1)
    case 'buildBlock':
      return state.step === 'propose' && effect.round === state.round && !state.done.propose
    case 'checkBlock':
      return state.blocks.get(effect.blockHash)?.kind === 'checking'
    case 'fetchBlock':
      return state.blocks.get(effect.blockHash)?.kind === 'fetching'
    case 'startTimer':
      return isTimerOpen(effect.timer, effect.round, state)
    case 'broadcast':
    case 'stopTimers':
      return false // what is worth saying is said again anyway, and no timer runs yet
    case 'evidence':
    case 'decide':
    case 'halt':
      return true
  }
}

function isTimerOpen(timer: Timer, round: number, state: State): boolean {
  if (round !== state.round || timer === 'rebroadcast') return false // rebroadcastEffects starts the latter
  return timer === 'precommit' ? !isClosed(state) : state.step === timer
}

function isClosed(state: State): boolean {
  return state.step === 'decided' || state.step === 'halted'
}
