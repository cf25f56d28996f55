/**
 * What a simulated run is made of: validators and their sets, what is wrong with the network, with disks, clocks and validators. Everything follows
 * from a seed, a number of validators and a list of faults, so that a line of text names a run.
 */
import type { Message } from '../../consensus/message.ts'
import type { State } from '../../consensus/state.ts'
import type { Timing } from '../../consensus/timing.ts'
import { createValidatorSet, type ValidatorSet } from '../../consensus/validatorSet.ts'
import { assert } from '../../execution/assert.ts'
import { type Machinery, SOUND } from '../consensus/engine.ts'
import { validator } from '../consensus/fixtures.ts'
import { createRandom, pick, type Random } from './random.ts'

/** How a validator lies (lies.ts). `silent` says nothing at all. */
export type Liar = 'twins' | 'equivocator' | 'silent' | 'splitter' | 'hider' | 'amnesiac' | 'forger' | 'flooder'

/** Liars that follow a script, each after one attack. */
export const SCRIPTS: readonly Liar[] = ['splitter', 'hider', 'amnesiac', 'forger', 'flooder']

/** Faults by the names of `--faults`, and what each does until the network is calm. */
export const FAULTS = {
  drop: 'messages are lost',
  delay: 'messages take long',
  duplicate: 'messages come twice',
  reorder: 'messages overtake each other',
  hide: 'in each round one node locks, and nobody hears of it',
  partition: 'the network falls into two halves, now and then',
  oneway: 'one half does not hear the other, now and then',
  crash: 'nodes die at any boundary between two effects, and come back from their disks',
  torn: 'a crash leaves a part of what was not synced',
  full: 'a disk takes nothing more: its node ends, and comes back later',
  lost: 'one node loses its log, but not its guard (counts as faulty)',
  copies: 'one validator runs twice, with its key in one signer that remembers (counts as faulty)',
  skew: 'clocks are wrong and run fast or slow',
  slow: 'nodes hear, speak and execute slowly',
  signer: 'signatures come late',
  twins: 'two processes have one key',
  equivocator: 'validators sign at random',
  script: 'validators follow the script of an attack',
  silent: 'validators say nothing',
  weights: 'weights are uneven',
  epochs: 'validators leave, come and change places at the edges of epochs',
} as const

export type Fault = keyof typeof FAULTS
/** `beyond`: more than a third of the weight is faulty, and less than two thirds. Then nobody has to decide, and only culprits are named. */
export type FaultName = Fault | 'beyond'

const LIARS: Partial<Record<FaultName, readonly Liar[]>> = {
  twins: ['twins'],
  equivocator: ['equivocator'],
  script: SCRIPTS,
  silent: ['silent'],
}

/** A set with its members' places among all validators of the run. */
export type Epoch = { readonly set: ValidatorSet; readonly members: readonly number[] }

export type Scenario = {
  readonly seed: number
  /** Validators of all epochs together; each has a node. */
  readonly validatorCount: number
  /** At least one; the last one stays. */
  readonly epochs: readonly Epoch[]
  readonly epochHeights: number
  readonly heights: number
  readonly liars: ReadonlyMap<number, Liar>
  readonly beyond: boolean
  /** Heights begin this long after each other, or later: so that each meets its share of faults. */
  readonly paceMs: number
  /** From here on the network is kind and nobody dies. */
  readonly calmAtMs: number
  readonly dropRate: number
  /** What never arrives, by the places of both nodes among all nodes and by what is said; a part of it does all the same. */
  readonly hides: { readonly rule: (from: number, to: number, message: Message) => boolean; readonly leakRate: number } | undefined
  readonly duplicateRate: number
  readonly longDelayRate: number
  /** Up to this long any message may take. */
  readonly delayMaxMs: number
  /** The same when the network is calm. */
  readonly calmDelayMaxMs: number
  readonly partitions: readonly ('halves' | 'oneWay')[]
  readonly crashes: number
  readonly isTorn: boolean
  readonly disksFull: number
  /** Who loses its log at its first death. */
  readonly loser: number | undefined
  /** Who runs twice, with one signer: it may be silent, and signs nothing twice. */
  readonly copied: number | undefined
  /** How far clocks are off at most, and how much faster or slower they run, until the network is calm. */
  readonly skewMaxMs: number
  readonly speedSpread: number
  readonly slow: ReadonlySet<number>
  readonly signMaxMs: number
  /** Deaths of one validator at exact boundaries, counted in each of its lives, and how much of what was not synced they leave. `everyone`: all die with it. */
  readonly death:
    | {
        readonly who: number
        readonly boundaries: readonly number[]
        readonly keeps: 'nothing' | 'half' | 'all'
        readonly everyone: boolean
      }
    | undefined
  readonly machinery: Machinery
  /** What the machines are told of a set; the judge knows the true one. */
  readonly seenSet: (set: ValidatorSet) => ValidatorSet
  /** Stands between the judge's verdict on a message and the node. */
  readonly accepts: (isGood: boolean, message: Message, state: State) => boolean
  readonly timing: Timing
  /** true: BLS signatures and their verification beside the register of who said what. */
  readonly isSigned: boolean
}

/** Timers of a local network, a tenth of the defaults. */
export const TIMING: Timing = {
  proposeMs: 80,
  prevoteMs: 30,
  precommitMs: 30,
  rebroadcastMs: 50,
  timeoutMaxMs: 1_000,
  precisionMs: 50,
  messageDelayMs: 200,
}

const epochCache = new Map<string, Epoch>()

/** A set of an epoch: who is in it, in order, with what weights. Made once for each. */
export function epochOf(epoch: number, members: readonly number[], weights: readonly (bigint | number)[]): Epoch {
  const name = `${epoch} ${members.join()} ${weights.join()}`
  const known = epochCache.get(name)
  if (known !== undefined) return known
  const created = createValidatorSet(
    epoch,
    members.map((who, i) => validator(who, BigInt(weights[i] ?? 1))),
  )
  assert(created.ok)
  const made = { set: created.set, members }
  epochCache.set(name, made)
  return made
}

/** Equals on a network without faults; to be overridden. */
export function calmScenario(seed: number, nodes: number, rest: Partial<Scenario> = {}): Scenario {
  const everyone = Array.from({ length: nodes }, (_, who) => who)
  return {
    seed,
    validatorCount: nodes,
    epochs: [epochOf(0, everyone, [])],
    epochHeights: 2,
    heights: 3,
    liars: new Map(),
    beyond: false,
    paceMs: 0,
    calmAtMs: 0,
    dropRate: 0,
    hides: undefined,
    duplicateRate: 0,
    longDelayRate: 0,
    delayMaxMs: 16,
    calmDelayMaxMs: 16,
    partitions: [],
    crashes: 0,
    isTorn: false,
    disksFull: 0,
    loser: undefined,
    copied: undefined,
    skewMaxMs: 20,
    speedSpread: 0.2,
    slow: new Set(),
    signMaxMs: 0,
    death: undefined,
    machinery: SOUND,
    seenSet: (set) => set,
    accepts: (isGood) => isGood,
    timing: TIMING,
    isSigned: false,
    ...rest,
  }
}

export type ScenarioOptions = {
  readonly seed: number
  readonly nodes: number
  readonly faults: readonly FaultName[] | 'all'
  readonly heights?: number
}

/** The run that a line of text names. `all`: of every fault, the seed says if it is in. */
export function scenarioOf({ seed, nodes, faults: asked, heights = 3 }: ScenarioOptions, rest: Partial<Scenario> = {}): Scenario {
  const random = createRandom(seed * 31 + nodes)
  const drawn = (Object.keys(FAULTS) as Fault[]).filter(() => random() < 0.6)
  const faults: readonly FaultName[] = asked === 'all' ? drawn : asked
  const has = (fault: FaultName) => faults.includes(fault)
  const epochs = drawEpochs(random, nodes, has)
  const candidate = Math.floor(random() * nodes)
  const isBorne = !has('beyond') && epochs.every((epoch) => bears(epoch, [candidate], 1n))
  const loser = has('lost') && isBorne ? candidate : undefined
  const copied = has('copies') && isBorne ? candidate : undefined
  const liars = drawLiars(random, epochs, faults, loser ?? copied)
  const isHard = faults.some((fault) => fault !== 'weights' && fault !== 'epochs')
  const slow = new Set(has('slow') ? [Math.floor(random() * nodes), Math.floor(random() * nodes)] : [])
  return calmScenario(seed, nodes, {
    validatorCount: Math.max(...epochs.flatMap(({ members }) => members)) + 1,
    epochs,
    epochHeights: 1 + Math.floor(random() * 2),
    heights: has('epochs') ? Math.max(heights, 4) : heights,
    liars,
    beyond: has('beyond'),
    paceMs: isHard ? 400 : 0,
    calmAtMs: isHard ? 2_500 : 0,
    dropRate: has('drop') ? (pick(random, [0.05, 0.1, 0.25, 0.4, 0.5]) ?? 0) : 0,
    hides: has('hide') ? hiddenLocks(seed, nodes) : undefined,
    duplicateRate: has('duplicate') ? 0.15 : 0,
    longDelayRate: has('delay') ? 0.1 : 0,
    delayMaxMs: has('reorder') ? 60 : 16,
    partitions: [...(has('partition') ? ['halves' as const] : []), ...(has('oneway') ? ['oneWay' as const] : [])],
    crashes: has('crash') ? 2 + Math.floor(random() * 14) : 0,
    isTorn: has('torn'),
    disksFull: has('full') ? 1 + Math.floor(random() * 3) : 0,
    loser,
    copied,
    skewMaxMs: has('skew') ? 400 : 20,
    speedSpread: has('skew') ? 0.5 : 0.2,
    slow,
    signMaxMs: has('signer') ? 40 : 0,
    ...rest,
  })
}

/**
 * Locks that nobody hears of: in each round a third is deaf for the proposal, so that all others prevote it and a quorum may be heard without a polka;
 * and what one of them prevotes stays with it, so that it alone has a polka. Locks on one block after another follow.
 */
export function hiddenLocks(seed: number, count: number): NonNullable<Scenario['hides']> {
  return {
    leakRate: 0.05,
    rule(from, to, { kind, height, round }) {
      const place = (index: number) => (index + count - ((height * 7 + round * 3 + seed) % count)) % count
      const isDeaf = place(to) >= 1 && place(to) <= (count - 1) / 3
      if (kind === 'proposal') return isDeaf
      return kind === 'polka' || ((kind === 'prevote' || kind === 'precommit') && place(from) === 0)
    },
  }
}

/** Three epochs where `epochs` is asked for: one validator more than `nodes` takes turns in coming and going, and places change. */
function drawEpochs(random: Random, nodes: number, has: (fault: FaultName) => boolean): Epoch[] {
  const weightsOf = (count: number) => Array.from({ length: count }, () => (has('weights') ? 1 + Math.floor(random() ** 2 * 6) : 1))
  const everyone = Array.from({ length: nodes }, (_, who) => who)
  const epochs = [epochOf(0, everyone, weightsOf(nodes))]
  if (!has('epochs')) return epochs
  const left = Math.floor(random() * nodes)
  const second = [...everyone.filter((who) => who !== left), nodes].reverse()
  const third = random() < 0.5 || nodes === 1 ? everyone : second.slice(0, -1)
  return [...epochs, epochOf(1, second, weightsOf(nodes)), epochOf(2, third, weightsOf(nodes))]
}

/** As many liars as every set bears: less than a third of its weight, or, beyond that, less than two thirds and more than one. */
function drawLiars(random: Random, epochs: readonly Epoch[], faults: readonly FaultName[], weak: number | undefined): Map<number, Liar> {
  const beyond = faults.includes('beyond')
  const kinds = faults.flatMap((fault) => LIARS[fault] ?? [])
  const liars = new Map<number, Liar>()
  if (kinds.length === 0) return liars
  const everyone = [...new Set(epochs.flatMap(({ members }) => members))]
  for (let tries = 0; tries < 3 * everyone.length; tries++) {
    const who = pick(random, everyone)
    const kind = pick(random, kinds)
    if (who === undefined || kind === undefined || liars.has(who) || who === weak) continue
    const more = [...liars.keys(), who, ...(weak === undefined ? [] : [weak])]
    if (epochs.every((epoch) => bears(epoch, more, beyond ? 2n : 1n))) liars.set(who, kind)
  }
  return liars
}

/** True if these weigh less than so many thirds of the epoch's set. */
function bears({ set, members }: Epoch, who: readonly number[], thirds: bigint): boolean {
  const weight = members.reduce((sum, member, i) => sum + (who.includes(member) ? (set.validators[i]?.weight ?? 0n) : 0n), 0n)
  return weight * 3n < set.totalWeight * thirds
}
