/**
 * What liars tell. A liar runs the same machine as everyone; between it and the network stands one of these, which sees what it would say and to whom,
 * and says something else. Liars sign with their own keys only: what they sign is `said`, what they forge is not.
 */
import type { Hex } from 'viem'
import type { Commit, Polka, RoundCert } from '../../consensus/certificate.ts'
import { NIL, type Statement } from '../../consensus/digest.ts'
import { LAW } from '../../consensus/machine.ts'
import type { Message, Proposal, Vote } from '../../consensus/message.ts'
import type { Law } from '../../consensus/round.ts'
import type { State } from '../../consensus/state.ts'
import { pick, type Random } from './random.ts'
import type { Liar } from './scenario.ts'

/** What a liar works with. */
export type Lie = {
  readonly liar: Liar
  readonly random: Random
  /** The liar's own machine. */
  readonly state: State
  /** Alternatives to what is true, the same whenever they are asked for. */
  readonly memory: Map<string, Hex>
  /** Index of whom it speaks to, among all nodes, and their number. */
  readonly to: number
  readonly count: number
  /** Blocks of a height that exist. */
  blocksAt(height: number): readonly Hex[]
  /** Makes a block; if it is one that others accept is up to chance. */
  newBlock(height: number): Hex
}

type Own = Proposal | Vote

/** What a liar tells one node in place of a message: anything, in any number. `signed` was signed by it, the rest is forged. */
export function tell(lie: Lie, message: Message): { readonly signed: readonly Message[]; readonly forged: readonly Message[] } {
  const own = message.kind === 'proposal' || message.kind === 'prevote' || message.kind === 'precommit' ? message : undefined
  switch (lie.liar) {
    case 'equivocator':
      return { signed: own === undefined ? [message] : tellAtRandom(lie, own), forged: [] }
    case 'splitter':
      return { signed: own === undefined || lie.to % 2 === 0 ? [message] : [tellOther(lie, own)], forged: [] }
    case 'hider':
      return { signed: isHidden(lie, message) ? [] : [message], forged: [] }
    case 'forger':
      return { signed: [message, ...misquote(lie, message)], forged: forge(lie, message) }
    case 'flooder':
      return { signed: [message, ...(own === undefined ? [] : flood(lie, own))], forged: [] }
    case 'twins':
    case 'amnesiac':
    case 'silent':
      return { signed: [message], forged: [] }
  }
}

/** The rules of who forgets its lock: all else it does as it should. */
export const AMNESIAC_LAW: Law = {
  ...LAW,
  rules: LAW.rules.map((rule) => (rule.name === 'P1' || rule.name === 'P2' ? forgetful(rule) : rule)),
}

/** A rule that takes nothing for locked. */
export function forgetful(rule: Law['rules'][number]): Law['rules'][number] {
  return {
    ...rule,
    apply(s, law) {
      const { lockedRound } = s
      s.lockedRound = -1
      const acted = rule.apply(s, law)
      if (s.lockedRound === -1) s.lockedRound = lockedRound
      return acted
    },
  }
}

// ---- each at random -----------------------------------------------------------------------------------------------------------------

function tellAtRandom(lie: Lie, message: Own): Message[] {
  if (lie.random() < 0.2) return []
  return [lie.random() < 0.5 ? message : twist(lie, message)]
}

/** The same slot, something else in it. */
function twist(lie: Lie, message: Own): Own {
  const { random } = lie
  if (message.kind === 'proposal') {
    // An old polka is the strongest thing a faulty proposer can honestly show to those who have locked something newer.
    const polka = pick(random, oldPolkas(lie, message))
    if (polka !== undefined && random() < 0.7) return { ...message, blockHash: polka.blockHash, validRound: polka.round, polka }
    return { ...message, blockHash: lie.newBlock(message.height), validRound: -1, polka: undefined }
  }
  const blockHash = random() < 0.2 ? NIL : (pick(random, lie.blocksAt(message.height)) ?? NIL)
  const isRest = message.kind === 'prevote' && blockHash !== NIL && random() < 0.5
  const validRound = isRest ? Math.floor(random() * (message.round + 1)) - 1 : -1
  const round = random() < 0.1 ? message.round + Math.floor(random() * 6) : message.round
  return { ...message, blockHash, validRound, round }
}

function oldPolkas({ state }: Lie, { height, round }: Own): Polka[] {
  return [...state.polkas.values()].filter((one) => one.height === height && one.round < round)
}

// ---- by script ----------------------------------------------------------------------------------------------------------------------

/** Half of the nodes see another block in the round, and votes for it. */
function tellOther(lie: Lie, message: Own): Own {
  const { height, round } = message
  const slot = `${height} ${round}`
  const other = lie.memory.get(slot) ?? lie.blocksAt(height).find((hash) => hash !== message.blockHash)
  if (message.kind !== 'proposal') return { ...message, blockHash: other ?? NIL, validRound: -1 }
  const blockHash = lie.memory.get(slot) ?? lie.newBlock(height)
  lie.memory.set(slot, blockHash)
  return { ...message, blockHash, validRound: -1, polka: undefined }
}

/** Proposes to all, prevotes to one of them, another one in each round, and keeps the rest to itself: one node locks, and nobody knows. */
function isHidden({ to, count }: Lie, message: Message): boolean {
  if (message.kind === 'proposal') return false
  if (message.kind === 'prevote') return (message.height + message.round) % count !== to
  return true
}

/** Certificates of what nobody said, and votes in the name of others. All of it must be refused. */
function forge({ random, state, ...lie }: Lie, message: Message): Message[] {
  const { height, round } = message
  const forged: Message[] = []
  const blockHash = lie.memory.get(`${height}`) ?? lie.newBlock(height)
  lie.memory.set(`${height}`, blockHash)
  const full = new Uint8Array(Math.ceil(state.set.validators.length / 8)).fill(0xff)
  const bitmap = full.map((byte, i) => (i === full.length - 1 ? byte >> (full.length * 8 - state.set.validators.length) : byte))
  const signature = new Uint8Array(96).fill(9)
  if (random() < 0.1) forged.push({ kind: 'polka', height, round, blockHash, validRound: -1, bitmap, signature } satisfies Polka)
  if (random() < 0.1) forged.push({ kind: 'commit', height, round, blockHash, bitmap, signature } satisfies Commit)
  const entries = [{ kind: 'prevote', validRound: -1, blockHash, bitmap } as const]
  if (random() < 0.1) forged.push({ kind: 'roundCert', height, round: round + 3, entries, signature } satisfies RoundCert)
  if (message.kind === 'prevote' || message.kind === 'precommit')
    forged.push({ ...message, validator: Math.floor(random() * state.set.validators.length), blockHash, validRound: -1 })
  return forged
}

/** Proposals that rest on polkas of other rounds or blocks than they say. */
function misquote(lie: Lie, message: Message): Proposal[] {
  const { random } = lie
  const polka = message.kind === 'proposal' ? pick(random, oldPolkas(lie, message)) : undefined
  if (message.kind !== 'proposal' || polka === undefined) return []
  const ofOtherBlock = lie.memory.get(`${message.height}`) ?? lie.newBlock(message.height)
  lie.memory.set(`${message.height}`, ofOtherBlock)
  const other = { ...message, blockHash: ofOtherBlock, validRound: polka.round, polka: { ...polka, blockHash: ofOtherBlock } }
  if (polka.round === message.round - 1 || random() < 0.5) return [other]
  const validRound = message.round - 1
  return [{ ...message, blockHash: polka.blockHash, validRound, polka: { ...polka, round: validRound } }]
}

/** Signed votes of rounds far ahead and of the next height, more and more of them. */
function flood({ random }: Lie, message: Own): Message[] {
  if (message.kind === 'proposal') return []
  const far = Array.from({ length: 6 }, (_, i) => ({ ...message, round: message.round + 3 + i + Math.floor(random() * 1_000) }))
  return [...far, ...far.map((vote) => ({ ...vote, height: vote.height + 1 }))].map((vote) => ({ ...vote, validRound: -1 }))
}

/** True for what carries a signature of its own. */
export function isStatement(message: Message): message is Message & Statement {
  return message.kind === 'proposal' || message.kind === 'prevote' || message.kind === 'precommit'
}
