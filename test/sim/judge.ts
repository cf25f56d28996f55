/**
 * The judge of a simulated network: sees every step of every node and every signature, and says which invariant does not hold. Numbers as in
 * docs/spec/consensus.md#invariants; 0 is a correct node that failed.
 */
import type { Hex } from 'viem'
import { type Commit, checkCommit, checkPolka, checkRoundCert, signersOf } from '../../consensus/certificate.ts'
import { NIL, type Statement } from '../../consensus/digest.ts'
import { EARLY_PEERS_MAX, EARLY_PER_PEER_MAX, type Early } from '../../consensus/early.ts'
import type { Effect } from '../../consensus/effect.ts'
import { type Evidence, isAmnesia, isDoubleVote } from '../../consensus/evidence.ts'
import type { Input } from '../../consensus/input.ts'
import { step } from '../../consensus/machine.ts'
import type { Message } from '../../consensus/message.ts'
import { replay } from '../../consensus/replay.ts'
import { idleState, type State } from '../../consensus/state.ts'
import { isQuorum, isThird, proposerIndex, type ValidatorSet, weightAt } from '../../consensus/validatorSet.ts'
import { verifyMessage } from '../../consensus/verify.ts'
import { ROUNDS_AHEAD, ROUNDS_KEPT } from '../../consensus/votes.ts'
import { decodeWal, isLogged } from '../../consensus/wal.ts'
import { assert } from '../../execution/assert.ts'
import type { Disk } from '../consensus/engine.ts'
import { CHAIN_ID, canonical } from '../consensus/fixtures.ts'
import { type Block, mix } from './blocks.ts'
import { createRegister } from './register.ts'
import type { Epoch, Scenario } from './scenario.ts'

/** What the judge knows of a node. `root`: its own state after the last block it decided. */
export type Judged = { readonly name: string; readonly who: number; readonly isCorrect: boolean; readonly disk: Disk; root: number }

/** What a run found. `violations` is empty if all went as it must. */
export type Outcome = {
  readonly violations: readonly string[]
  readonly steps: number
  readonly rounds: number
  readonly crashes: number
  /** Validators that evidence named. */
  readonly accused: ReadonlySet<number>
  readonly decided: ReadonlyMap<number, Hex>
  /** How often each rule acted, at correct nodes. */
  readonly rules: ReadonlyMap<string, number>
  /** More than a third was faulty, and two blocks were decided at one height. */
  readonly isBroken: boolean
  /** What the one whose death was asked for went through, in order. */
  readonly boundaries: readonly string[]
}

/** Rounds in which a height is decided once the network is calm, for each validator that may be faulty and some for timers to grow. */
const CALM_ROUNDS_MAX = 12
const STEP_ORDER = { idle: 0, propose: 1, prevote: 2, precommit: 3, decided: 4, halted: 5 } as const
/** A replay costs as much as the height: one in so many steps is judged by one. */
const STEPS_PER_REPLAY = 97

export type Judge = ReturnType<typeof createJudge>

/** The checks of what nodes do; liars may do anything. `blocks` is what exists, `nowMs` true time. */
export function createJudge(scenario: Scenario, blocks: ReadonlyMap<Hex, Block>, nowMs: () => number) {
  const { machinery, isSigned } = scenario
  const violations = new Set<string>()
  const violate = (what: string) => void violations.add(what)
  const register = createRegister({
    isCorrect: (who) => !scenario.liars.has(who),
    violate,
    isQuorum(height, who) {
      const { set, members } = epochAt(scenario, height)
      const weight = members.reduce((sum, member, index) => sum + (who.includes(member) ? weightAt(set, index) : 0n), 0n)
      return isQuorum(set, weight)
    },
  })
  const decided = new Map<number, Hex>()
  const roots = new Map<number, number>()
  const accused = new Set<number>()
  const proposers = new Map<string, number>()
  const rules = new Map<string, number>()
  /** What each node's machine asked for at its height, for inputs that its log has. */
  const asked = new Map<string, { height: number; effects: Effect[] }>()
  /** Locks by P3, by node, life, height and round. */
  const locks = new Set<string>()
  const roundAtCalm = new Map<number, number>()
  let [steps, rounds] = [0, 0]

  const has = (kind: string) => [...violations].some((one) => one.startsWith(kind))
  const whoAt = (height: number, index: number) => epochAt(scenario, height).members[index]

  function isSaid(height: number, index: number, statement: Statement): boolean {
    const who = whoAt(height, index)
    return who !== undefined && register.has(who, statement)
  }

  function isInRegister(message: Message): boolean {
    const { set } = epochAt(scenario, message.height)
    const { height, round } = message
    const signersSaid = (bitmap: Uint8Array, statement: Statement) => signersOf(bitmap).every((signer) => isSaid(height, signer, statement))
    switch (message.kind) {
      case 'proposal': {
        const { validRound, polka, blockHash } = message
        if (!isSaid(height, proposerIndex(set, height, round), message) || validRound >= round) return false
        if (polka === undefined) return validRound === -1
        return polka.height === height && polka.round === validRound && polka.blockHash === blockHash && isInRegister(polka)
      }
      case 'prevote':
      case 'precommit':
        return isSaid(height, message.validator, message)
      case 'polka':
        return checkPolka(set, message).ok && signersSaid(message.bitmap, { ...message, kind: 'prevote' })
      case 'commit':
        return checkCommit(set, message).ok && signersSaid(message.bitmap, { ...message, kind: 'precommit', validRound: -1 })
      case 'roundCert':
        return checkRoundCert(set, message).ok && message.entries.every((entry) => signersSaid(entry.bitmap, { height, round, ...entry }))
    }
  }

  /** Stands for the verification of a message; with real signatures both must say the same. */
  function isGood(message: Message): boolean {
    const good = isInRegister(message)
    if (isSigned && verifyMessage(epochAt(scenario, message.height).set, message, CHAIN_ID).ok !== good)
      violate(`7: a ${message.kind} of height ${message.height} ${good ? 'was said, and does not verify' : 'verifies, and was never said'}`)
    return good
  }

  /** 9: the log, as it stands, leads to the state as it stands, and to the same effects. */
  function judgeReplay(node: Judged, state: State): void {
    if (machinery.durable !== 'wal and guard' || node.disk.decided.at(-1)?.height === state.height) return
    const log = decodeWal(node.disk.wal)
    assert(log.ok && log.header !== undefined)
    const idle = idleState(state.context, state.set, state.height - 1)
    const source = { header: log.header, inputs: log.inputs, set: state.set, chainId: CHAIN_ID }
    const replayed = replay(idle, source, machinery.law)
    if (!replayed.ok || canonical(rest(replayed.state)) !== canonical(rest(state))) violate(`9: replay of node ${node.name} differs`)
    const { effects } = walk(idle, { kind: 'startHeight', height: state.height, set: state.set, votes: log.header.votes }, log.inputs)
    const live = asked.get(node.name)?.effects
    if (live !== undefined && canonical(effects) !== canonical(live)) violate(`9: replay of node ${node.name} asks for something else`)
  }

  function walk(idle: State, start: Input, inputs: readonly Input[]): { state: State; effects: Effect[] } {
    let state = idle
    const effects: Effect[] = []
    for (const input of [start, ...inputs]) {
      const stepped = step(state, input, machinery.law)
      state = stepped.state
      effects.push(...stepped.effects)
    }
    return { state, effects }
  }

  /** 14: everybody names the same proposer, and the one that the weights give. */
  function judgeProposer(node: Judged, { set, height, round }: State): void {
    const proposer = whoAt(height, proposerIndex(set, height, round))
    const slot = `${height} ${round}`
    const known = proposers.get(slot) ?? whoAt(height, expectedProposer(epochAt(scenario, height).set, height, round))
    if (known !== undefined) proposers.set(slot, known)
    if (proposer !== known) violate(`14: node ${node.name} takes ${proposer} for the proposer of ${slot}, not ${known}`)
  }

  /** 11: what a node holds of others has a limit, whatever they say. */
  function judgeMemory(node: Judged, state: State, early: Early): void {
    const members = state.set.validators.length
    const { votes, proposals, polkas, blocks: held } = state
    const roundsMax = ROUNDS_KEPT + ROUNDS_AHEAD
    const limits: [string, number, number][] = [
      ['proposals', [...proposals.values()].reduce((sum, of) => sum + of.length, 0), 2 * (ROUNDS_AHEAD + 1)],
      ['rounds of votes', votes.rounds.size, roundsMax],
      [
        'votes of a round',
        Math.max(0, ...[...votes.rounds.values()].map(({ prevote, precommit }) => prevote.size + precommit.size)),
        2 * members,
      ],
      ['votes ahead', votes.ahead.size, members],
      ['offences', votes.reported.size, 2 * members],
      ['polkas', polkas.size, roundsMax],
      ['blocks', held.size, 2 * (ROUNDS_AHEAD + 1) + roundsMax + 3],
      ['peers of early messages', early.byPeer.size, EARLY_PEERS_MAX],
      ['early messages', Math.max(0, ...[...early.byPeer.values()].map((of) => of.length)), EARLY_PER_PEER_MAX],
    ]
    for (const [what, size, max] of limits) if (size > max) violate(`11: node ${node.name} holds ${size} ${what}, not at most ${max}`)
  }

  return {
    violate,
    isGood,
    whoAt,
    said(node: Judged, statement: Statement): void {
      const { kind, height, round } = statement
      if (node.isCorrect) {
        const { set, members } = epochAt(scenario, height)
        if (!members.includes(node.who)) violate(`13: ${node.who} signed at height ${height}, whose set it is not in`)
        if (kind === 'proposal' && whoAt(height, proposerIndex(set, height, round)) !== node.who)
          violate(`14: ${node.who} proposed out of turn in round ${round} of height ${height}`)
      }
      register.add(node.who, statement)
    },
    /** Statements that died with the process that had signed them. */
    neverSaid: register.remove,
    steps: () => steps,
    isOver: () => violations.size > 0,
    judgeDecision(node: Judged, height: number, blockHash: Hex, commit: Commit): void {
      const block = blocks.get(blockHash)
      if (block !== undefined) node.root = mix(node.root, block.payload)
      if (!node.isCorrect) return
      if (commit.height !== height || commit.blockHash !== blockHash || !isGood(commit))
        violate(`7: the commit of height ${height} does not stand`)
      const earlier = decided.get(height)
      if (earlier !== undefined && earlier !== blockHash) violate(`1: two blocks decided at height ${height}`)
      decided.set(height, blockHash)
      const parent = node.disk.decided.at(-2)?.blockHash ?? NIL
      if (block === undefined || block.parent !== parent || block.height !== height || block.root !== node.root)
        violate(`2: an invalid block was decided at height ${height}`)
      else if (block.timestampMs <= (blocks.get(parent)?.timestampMs ?? 0)) violate(`2: time stands still at height ${height}`)
      else if (block.timestampMs > nowMs() + EPOCH_MS + scenario.skewMaxMs + scenario.timing.precisionMs)
        violate(`2: the block of height ${height} is from the future`)
      const root = roots.get(height) ?? node.root
      if (root !== node.root && earlier === blockHash) violate(`12: state roots differ after height ${height}`)
      roots.set(height, root)
      const late = commit.round - (roundAtCalm.get(height) ?? 0)
      if (!scenario.beyond && nowMs() > scenario.calmAtMs && late > CALM_ROUNDS_MAX)
        violate(`10: height ${height} took ${late} rounds on a calm network`)
    },
    judgeEvidence(node: Judged, { kind, validator, height, first, second }: Evidence): void {
      if (!node.isCorrect) return
      const who = whoAt(height, validator)
      if (who !== undefined) accused.add(who)
      const isOffence = kind === 'amnesia' ? isAmnesia(first, second) : isDoubleVote(first, second)
      const areSaid = isSaid(height, validator, { ...first, height }) && isSaid(height, validator, { ...second, height })
      if (who === undefined || !scenario.liars.has(who) || !isOffence || !areSaid) violate(`5: evidence against ${who}, who is correct`)
    },
    judgeRule(node: Judged, life: number, name: string, { height, round }: Pick<State, 'height' | 'round'>): void {
      if (!node.isCorrect) return
      rules.set(name, (rules.get(name) ?? 0) + 1)
      if (name !== 'P3') return
      const lock = `${node.name} ${life} ${height} ${round}`
      if (locks.has(lock)) violate(`15: node ${node.name} applied P3 twice in round ${round} of height ${height}`)
      locks.add(lock)
    },
    judgeStep(node: Judged, { input, before, after, effects, early }: Step): void {
      steps++
      if (!node.isCorrect) return
      rounds = Math.max(rounds, after.round)
      const order = after.height - before.height || after.round - before.round || STEP_ORDER[after.step] - STEP_ORDER[before.step]
      if (order < 0) violate(`8: node ${node.name} went back`)
      if (after.step === 'halted') violate(`2: node ${node.name} halted`)
      if (before.polkas !== after.polkas && ![...after.polkas.values()].every(isGood)) violate('7: a polka does not stand')
      if (after.set.hash !== epochAt(scenario, after.height).set.hash)
        violate(`13: node ${node.name} has another set at height ${after.height}`)
      if (input.kind === 'startHeight') asked.set(node.name, { height: after.height, effects: [...effects] })
      else if (isLogged(input)) asked.get(node.name)?.effects.push(...effects)
      if (after.round !== before.round || after.height !== before.height) judgeProposer(node, after)
      judgeMemory(node, after, early)
      if (steps % STEPS_PER_REPLAY === 0) judgeReplay(node, after)
    },
    /** A node begins to take up its log: what it asked for in its last life, its log may have lost. */
    recovers(node: Judged): void {
      asked.delete(node.name)
    },
    /** A node took up its log: what its machine has asked for is what the log says, from here on. */
    recovered(node: Judged, state: State): void {
      const log = decodeWal(node.disk.wal)
      if (state.step === 'idle' || !log.ok || log.header === undefined) return
      const start: Input = { kind: 'startHeight', height: state.height, set: state.set, votes: log.header.votes }
      const walked = walk(idleState(state.context, state.set, state.height - 1), start, log.inputs)
      asked.set(node.name, { height: state.height, effects: walked.effects })
      if (node.isCorrect && canonical(rest(walked.state)) !== canonical(rest(state))) violate(`9: node ${node.name} came back as another`)
    },
    /** The network is calm from now on, and this correct node stands in this round. */
    calm({ height, round }: Pick<State, 'height' | 'round'>): void {
      roundAtCalm.set(height, Math.max(round, roundAtCalm.get(height) ?? 0))
    },
    outcome(crashes: number, boundaries: readonly string[]): Outcome {
      const isBroken = has('1:')
      if (isBroken) {
        const offenders = register.offenders()
        const isEnough = scenario.epochs.some(({ set, members }) =>
          isThird(
            set,
            members.reduce((sum, who, index) => sum + (offenders.includes(who) ? weightAt(set, index) : 0n), 0n),
          ),
        )
        if (!isEnough) violate('6: a disagreement without a third of culprits')
      }
      // Agreement is promised to nobody where more than a third is faulty; that the culprits are known (6) is.
      const broken = [...violations].filter((what) => !scenario.beyond || !what.startsWith('1:'))
      return { violations: broken, steps, rounds, crashes, accused, decided, rules, isBroken, boundaries }
    },
  }
}

/** One step of a node. */
export type Step = {
  readonly input: Input
  readonly before: State
  readonly after: State
  readonly effects: readonly Effect[]
  readonly early: Early
}

/** Local clocks show this much at the beginning of a run. */
export const EPOCH_MS = 1_000

/** The epoch that a height belongs to. */
export function epochAt({ epochs, epochHeights }: Pick<Scenario, 'epochs' | 'epochHeights'>, height: number): Epoch {
  const epoch = epochs[Math.min(Math.floor((height - 1) / epochHeights), epochs.length - 1)] ?? epochs[0]
  assert(epoch)
  return epoch
}

/** The proposer by the words of the spec: priorities grow by the weight in lowest terms, the highest proposes and pays the sum. */
export function expectedProposer(set: ValidatorSet, height: number, round: number): number {
  const weights = set.validators.map(({ weight }) => weight)
  const divisor = weights.reduce((a, b) => (b === 0n ? a : gcd(a, b)))
  const shares = weights.map((weight) => weight / divisor)
  const sum = shares.reduce((a, b) => a + b)
  const priorities = shares.map(() => 0n)
  let proposer = 0
  for (let turn = 0n; turn <= BigInt(height + round) % sum; turn++) {
    for (const [i, share] of shares.entries()) priorities[i] = (priorities[i] ?? 0n) + share
    proposer = priorities.reduce((best, priority, i) => (priority > (priorities[best] ?? 0n) ? i : best), 0)
    priorities[proposer] = (priorities[proposer] ?? 0n) - sum
  }
  return proposer
}

function gcd(a: bigint, b: bigint): bigint {
  return b === 0n ? a : gcd(b, a % b)
}

function rest({ context: _, set: __, ...state }: State): Omit<State, 'context' | 'set'> {
  return state
}
