/**
 * Broken validators: each leaves one safeguard out, and the judge must notice. They are made of the machine's own parts, put together differently (Machinery
 * of the engine, `Law` of the machine, what a node takes for a set or a good message), so that nothing in consensus/ knows of them.
 */
import { admit } from '../../consensus/admit.ts'
import { LAW } from '../../consensus/machine.ts'
import { type Law, RULES } from '../../consensus/round.ts'
import { addVote } from '../../consensus/votes.ts'
import { type Machinery, SOUND } from '../consensus/engine.ts'
import { forgetful } from './lies.ts'
import { type FaultName, hiddenLocks, type Scenario, TIMING } from './scenario.ts'

export type Mutant = {
  /** For the command line. */
  readonly id: string
  readonly name: string
  /** Invariants of which one is broken. */
  readonly breaks: readonly string[]
  readonly nodes: number
  readonly faults: readonly FaultName[]
  readonly scenario: Partial<Scenario>
  /** Within so many seeds it is caught: several times what it took when this was written. */
  readonly seedsMax: number
}

/** Votes count again each time they come. */
const countsTwice: Law['addVote'] = (votes, set, vote, current) => {
  const kept = votes.rounds.get(vote.round)
  if (kept === undefined) return addVote(votes, set, vote, current)
  const forgotten = new Map(kept[vote.kind])
  forgotten.delete(vote.validator)
  return addVote({ ...votes, rounds: new Map(votes.rounds).set(vote.round, { ...kept, [vote.kind]: forgotten }) }, set, vote, current)
}

/** One rule in another form. */
function withRule(name: string, change: (rule: Law['rules'][number]) => Law['rules'][number]): Machinery {
  return { ...SOUND, law: { ...LAW, rules: RULES.map((rule) => (rule.name === name ? change(rule) : rule)) } }
}

/** Every message of the height that verifies goes to the machine: what admission keeps away must do no harm. */
export const admitAll: typeof admit = (state, message) =>
  message.height === state.height && state.step !== 'decided' && state.step !== 'idle' ? { ok: true } : admit(state, message)

/** P3 takes the latest polka of an earlier round for one of this round. */
function locksOnStalePolka(rule: Law['rules'][number]): Law['rules'][number] {
  return {
    ...rule,
    apply(s, law) {
      const { polkas } = s
      const stale = polkas.has(s.round) ? undefined : [...polkas.values()].findLast((polka) => polka.round < s.round)
      if (stale !== undefined) s.polkas = new Map(polkas).set(s.round, stale)
      const acted = rule.apply(s, law)
      s.polkas = polkas
      return acted
    },
  }
}

/** A network in which locks form one by one, and are contested. */
const CONTESTED = { hides: hiddenLocks(0, 4), dropRate: 0.02, calmAtMs: 6_000, paceMs: 1_500 }
const BAD: readonly FaultName[] = ['drop', 'partition', 'reorder']

export const MUTANTS: readonly Mutant[] = [
  {
    id: 'p1-lock',
    name: 'P1 ignores the lock',
    breaks: ['1', '4'],
    ...{ nodes: 4, faults: BAD, seedsMax: 100 },
    scenario: { machinery: withRule('P1', forgetful), ...CONTESTED },
  },
  {
    id: 'p2-lock',
    name: 'P2 ignores the lock',
    breaks: ['1', '4'],
    ...{ nodes: 4, faults: [...BAD, 'equivocator'], seedsMax: 200 },
    scenario: { machinery: withRule('P2', forgetful), ...CONTESTED },
  },
  {
    id: 'p3-stale',
    name: 'P3 locks on the polka of an earlier round',
    breaks: ['1', '7'],
    ...{ nodes: 4, faults: [], seedsMax: 40 },
    scenario: { machinery: withRule('P3', locksOnStalePolka), ...CONTESTED },
  },
  {
    id: 'no-disk',
    name: 'neither log nor guard',
    breaks: ['3'],
    ...{ nodes: 4, faults: ['drop', 'crash'], seedsMax: 40 },
    scenario: { machinery: { ...SOUND, durable: 'nothing' }, crashes: 8 },
  },
  {
    id: 'no-log',
    name: 'no log, and votes at a height at which the guard has signed',
    breaks: ['1', '4', '7'],
    ...{ nodes: 4, faults: [...BAD, 'crash'], seedsMax: 200 },
    scenario: { machinery: { ...SOUND, durable: 'guard', mayVote: () => true }, ...CONTESTED, crashes: 20, beyond: true },
  },
  {
    id: 'no-wait',
    name: 'signatures leave before they are on disk',
    breaks: ['3'],
    ...{ nodes: 4, faults: ['drop', 'crash', 'torn'], seedsMax: 60 },
    scenario: { machinery: { ...SOUND, leaves: 'at once' }, crashes: 20 },
  },
  {
    id: 'vote-twice',
    name: 'a vote counts twice',
    breaks: ['1', '7'],
    ...{ nodes: 4, faults: ['drop', 'duplicate'], seedsMax: 40 },
    scenario: { machinery: { ...SOUND, admit: admitAll, law: { ...LAW, addVote: countsTwice } } },
  },
  {
    id: 'stale-polka',
    name: 'a polka of another round or block justifies a proposal',
    breaks: ['1', '7'],
    ...{ nodes: 4, faults: [...BAD, 'script'], seedsMax: 200 },
    scenario: { accepts: (isGood, message) => isGood || (message.kind === 'proposal' && message.polka !== undefined), ...CONTESTED },
  },
  {
    id: 'half-quorum',
    name: 'half of the weight is a quorum',
    breaks: ['1', '7'],
    ...{ nodes: 7, faults: [...BAD, 'twins'], seedsMax: 40 },
    scenario: { seenSet: (set) => ({ ...set, totalWeight: (set.totalWeight * 3n) / 4n }) },
  },
  {
    id: 'no-certificates',
    name: 'certificates are not checked',
    breaks: ['1', '2', '7'],
    ...{ nodes: 4, faults: ['drop', 'script'], seedsMax: 60 },
    scenario: {
      accepts: (isGood, { kind }) => isGood || kind === 'polka' || kind === 'commit' || kind === 'roundCert',
    },
  },
  {
    id: 'flat-timers',
    name: 'timers never grow',
    breaks: ['10'],
    ...{ nodes: 4, faults: [], seedsMax: 3 },
    // A network whose messages take longer than the first timers.
    scenario: { calmDelayMaxMs: 400, timing: { ...TIMING, rebroadcastMs: 400, timeoutMaxMs: 80, messageDelayMs: 2_000 } },
  },
]
