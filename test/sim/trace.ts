/** A simulated run in words: a line a step. What came in, which rules acted, what was asked for, and where the node stands then. */
import type { Hex } from 'viem'
import { signersOf } from '../../consensus/certificate.ts'
import { NIL } from '../../consensus/digest.ts'
import type { Effect } from '../../consensus/effect.ts'
import type { Input } from '../../consensus/input.ts'
import type { Message, UnsignedMessage } from '../../consensus/message.ts'
import type { State } from '../../consensus/state.ts'
import type { Observer } from './simulate.ts'

/** What the columns mean, to be printed above a trace. */
export const TRACE_HEAD = [
  'time        node  what comes in                              rules     what is asked for → height/round step, locked, valid',
  '  Blocks are named height.number, rounds height/round; "of 0" is a valid round, {0,1,2} who signed a certificate.',
].join('\n')

/** Writes a run, line by line. Timers for saying things again, and what changes nothing, are left out. */
export function createTrace(write: (line: string) => void): Observer {
  return {
    onStep({ atMs, node, input, rules, effects, state }) {
      if (effects.length === 0 && rules.length === 0 && input.kind !== 'startHeight') return
      if (input.kind === 'timeout' && input.timer === 'rebroadcast') return
      const asks = effects.map(nameEffect).join(', ')
      const what = nameInput(input)
      write(`${timeOf(atMs)}  ${node.padEnd(4)}  ${what.padEnd(42)} ${rules.join(' ').padEnd(9)} ${asks} → ${nameState(state)}`)
    },
    onEvent: (atMs, node, what) => write(`${timeOf(atMs)}  ${node.padEnd(4)}  — ${what}`),
  }
}

function timeOf(atMs: number): string {
  return `${atMs.toFixed(1).padStart(8)} ms`
}

function nameBlock(hash: Hex): string {
  if (hash === NIL) return 'nil'
  const number = BigInt(hash)
  return `${number >> 32n}.${number & 0xffffffffn}`
}

function nameMessage(message: Message | UnsignedMessage): string {
  const { kind, height, round } = message
  const at = `${kind} ${height}/${round}`
  switch (kind) {
    case 'proposal':
    case 'prevote':
    case 'precommit': {
      const rests = message.validRound >= 0 ? ` of ${message.validRound}` : ''
      return `${at} ${nameBlock(message.blockHash)}${rests}${'validator' in message ? ` by ${message.validator}` : ''}`
    }
    case 'polka':
    case 'commit':
      return `${at} ${nameBlock(message.blockHash)} {${signersOf(message.bitmap)}}`
    case 'roundCert':
      return `${at} {${message.entries.map((entry) => `${entry.kind} ${nameBlock(entry.blockHash)}: ${signersOf(entry.bitmap)}`).join('; ')}}`
  }
}

function nameInput(input: Input): string {
  switch (input.kind) {
    case 'startHeight':
      return `height ${input.height} starts, epoch ${input.set.epoch}${input.votes ? '' : ', without a vote'}`
    case 'message':
      return nameMessage(input.message)
    case 'blockBuilt':
      return `built ${nameBlock(input.blockHash)}`
    case 'blockChecked':
      return `${nameBlock(input.blockHash)} is ${input.valid ? 'valid' : 'invalid'}`
    case 'timeout':
      return `timer ${input.timer} ${input.height}/${input.round}`
  }
}

function nameEffect(effect: Effect): string {
  switch (effect.kind) {
    case 'buildBlock':
      return 'build'
    case 'checkBlock':
      return `check ${nameBlock(effect.blockHash)}`
    case 'fetchBlock':
      return `fetch ${nameBlock(effect.blockHash)}`
    case 'sign':
      return `sign ${nameMessage(effect.message)}`
    case 'broadcast':
      return `say ${nameMessage(effect.message)}`
    case 'startTimer':
      return `timer ${effect.timer}`
    case 'stopTimers':
      return 'stop timers'
    case 'decide':
      return `DECIDE ${nameBlock(effect.blockHash)}`
    case 'evidence':
      return `EVIDENCE ${effect.evidence.kind} of ${effect.evidence.validator}`
    case 'halt':
      return `HALT at ${nameBlock(effect.blockHash)}`
  }
}

function nameState({ height, round, step, lockedBlock, lockedRound, validBlock, validRound }: State): string {
  const lock = lockedBlock === undefined ? '' : `, locked ${nameBlock(lockedBlock)} of ${lockedRound}`
  const valid = validBlock === undefined ? '' : `, valid ${nameBlock(validBlock)} of ${validRound}`
  return `${height}/${round} ${step}${lock}${valid}`
}
