import type { Hex } from 'viem'
import { expect, test } from 'vitest'
import type { Commit, Polka, RoundCert } from '../../consensus/certificate.ts'
import { NIL } from '../../consensus/digest.ts'
import type { Effect } from '../../consensus/effect.ts'
import type { Input } from '../../consensus/input.ts'
import { step } from '../../consensus/machine.ts'
import type { Message, Proposal, Vote } from '../../consensus/message.ts'
import { RULES } from '../../consensus/round.ts'
import { idleState, type State } from '../../consensus/state.ts'
import { DEFAULT_TIMING, isTimely, type Timer, timeoutMs } from '../../consensus/timing.ts'
import type { ValidatorSet } from '../../consensus/validatorSet.ts'
import { blockHash, FAKE_SIGNATURE, fakeAggregate, fakeProposal, fakeVote, setOf } from './fixtures.ts'

/**
 * The rules, one table. The machine is validator 3 of four equals at height 1, where the proposers of rounds 0, 1, 2, 3 are validators
 * 1, 2, 3, 0. A row says what came before, what comes in, and all that the machine asks for in answer.
 */

const SET = setOf([1, 1, 1, 1])
const A = blockHash(0xa)
const B = blockHash(0xb)
const NAMES = new Map<Hex, string>([
  [A, 'A'],
  [B, 'B'],
  [NIL, 'nil'],
])
const BLOCK_MS = 1_000

// ---- short names for inputs ----

const said = (message: Message, receivedMs = BLOCK_MS): Input => ({ kind: 'message', message, receivedMs })
const proposal = (round: number, hash: Hex, rest: Partial<Proposal> = {}) => said(fakeProposal({ round, blockHash: hash, ...rest }))
const prevoteOf = (round: number, hash: Hex, validator: number) => said(fakeVote({ kind: 'prevote', round, blockHash: hash, validator }))
const precommitOf = (round: number, hash: Hex, validator: number) =>
  said(fakeVote({ kind: 'precommit', round, blockHash: hash, validator }))
const votes = (kind: Vote['kind'], round: number, hash: Hex, from: readonly number[], validRound = -1) =>
  from.map((validator) => said(fakeVote({ kind, round, blockHash: hash, validator, validRound })))
const prevotes = (round: number, hash: Hex, from: readonly number[], validRound = -1) => votes('prevote', round, hash, from, validRound)
const precommits = (round: number, hash: Hex, from: readonly number[]) => votes('precommit', round, hash, from)
const polkaOf = (round: number, hash: Hex, validRound = -1): Polka => ({
  kind: 'polka',
  height: 1,
  round,
  blockHash: hash,
  validRound,
  bitmap: Uint8Array.of(0b0111),
  signature: FAKE_SIGNATURE,
})
const commitOf = (round: number, hash: Hex): Commit => {
  const { validRound: _, ...rest } = polkaOf(round, hash)
  return { ...rest, kind: 'commit' }
}
const again = (round: number, hash: Hex, validRound: number) => proposal(round, hash, { validRound, polka: polkaOf(validRound, hash) })
const checked = (hash: Hex, valid = true, timestampMs = BLOCK_MS): Input => ({
  kind: 'blockChecked',
  height: 1,
  blockHash: hash,
  valid,
  timestampMs,
})
const built = (round: number, hash: Hex): Input => ({ kind: 'blockBuilt', height: 1, round, blockHash: hash, timestampMs: BLOCK_MS })
const timeout = (timer: Timer, round: number): Input => ({ kind: 'timeout', timer, height: 1, round })
const roundCert = (round: number, kind: Vote['kind'], bitmap: number): RoundCert => ({
  kind: 'roundCert',
  height: 1,
  round,
  entries: [{ kind, validRound: -1, blockHash: NIL, bitmap: Uint8Array.of(bitmap) }],
  signature: FAKE_SIGNATURE,
})

// ---- short names for effects ----

function nameOf(effect: Effect): string {
  const hash = (of: Hex) => NAMES.get(of) ?? of
  const told = (message: Message | Omit<Vote, 'signature'> | Omit<Proposal, 'signature'>) => {
    const what = 'blockHash' in message ? ` ${hash(message.blockHash)}` : ''
    const of = 'validRound' in message && message.validRound >= 0 ? ` of ${message.validRound}` : ''
    return `${message.kind} ${message.round}${what}${of}`
  }
  switch (effect.kind) {
    case 'sign':
      return told(effect.message)
    case 'broadcast':
      return `say ${told(effect.message)}`
    case 'startTimer':
      return `timer ${effect.timer} ${effect.round}`
    case 'stopTimers':
      return 'stop timers'
    case 'buildBlock':
      return `build ${effect.round}`
    case 'checkBlock':
      return `check ${hash(effect.blockHash)}`
    case 'fetchBlock':
      return `fetch ${hash(effect.blockHash)}`
    case 'decide':
      return `decide ${effect.round} ${hash(effect.blockHash)}`
    case 'halt':
      return `halt ${hash(effect.blockHash)}`
    case 'evidence':
      return `${effect.evidence.kind} of ${effect.evidence.validator}`
  }
}

/** Runs inputs over a fresh height; what the machine signs comes back to it at once, as it does in a node. */
function run(inputs: readonly Input[], self: number | 'nobody' = 3, set: ValidatorSet = SET): { state: State; last: string[] } {
  const publicKey = self === 'nobody' ? undefined : set.validators[self]?.publicKey
  const idle = idleState({ publicKey, timing: DEFAULT_TIMING, aggregate: fakeAggregate }, set, 0)
  let state = idle
  let last: string[] = []
  const take = (input: Input) => {
    const stepped = step(state, input)
    state = stepped.state
    last.push(...stepped.effects.map(nameOf))
    for (const effect of stepped.effects) {
      if (effect.kind === 'sign') take(said({ ...effect.message, signature: FAKE_SIGNATURE }))
    }
  }
  for (const input of [{ kind: 'startHeight', height: 1, set, votes: true } as const, ...inputs]) {
    last = []
    take(input)
  }
  return { state, last }
}

type Row = {
  readonly rule: string
  readonly it: string
  readonly before?: readonly Input[]
  readonly input: Input
  readonly asks: readonly string[]
}

/** Enters round 1 by the precommit timer: nobody saw anything in round 0. */
const toRound1 = [timeout('propose', 0), ...precommits(0, NIL, [0, 1, 2]), timeout('precommit', 0)]
/** Locks A in round 0. */
const lockA = [proposal(0, A), checked(A), ...prevotes(0, A, [0, 1])]
const lockAToRound1 = [...lockA, ...precommits(0, NIL, [0, 1]), timeout('precommit', 0)]
/** Round 1, unlocked, with A valid of round 0: its polka came too late to lock it. */
const missedA = [...prevotes(0, NIL, [0, 1]), timeout('propose', 0), proposal(0, A), checked(A)]

const ROWS: readonly Row[] = [
  { rule: 'P1', it: 'prevotes a fresh valid block', before: [proposal(0, A)], input: checked(A), asks: ['prevote 0 A'] },
  { rule: 'P1', it: 'waits for the verdict on the block', input: proposal(0, A), asks: ['check A'] },
  { rule: 'P1', it: 'prevotes nil for an invalid block', before: [proposal(0, A)], input: checked(A, false), asks: ['prevote 0 nil'] },
  {
    rule: 'P1',
    it: 'prevotes nil for a block from the future',
    before: [proposal(0, A)],
    input: checked(A, true, BLOCK_MS + DEFAULT_TIMING.precisionMs + 1),
    asks: ['prevote 0 nil'],
  },
  {
    rule: 'P1',
    it: 'prevotes nil for another fresh block than the locked one',
    before: [...lockAToRound1, proposal(1, B)],
    input: checked(B),
    asks: ['prevote 1 nil'],
  },
  {
    rule: 'P1',
    it: 'prevotes nil for the locked block itself when it comes fresh',
    before: lockAToRound1,
    input: proposal(1, A),
    asks: ['prevote 1 nil'],
  },
  { rule: 'P1', it: 'does nothing in a later step', before: [timeout('propose', 0), proposal(0, A)], input: checked(A), asks: [] },
  {
    rule: 'P1',
    it: 'holds back a proposal of the next round',
    before: [proposal(1, A), checked(A), timeout('propose', 0), ...precommits(0, NIL, [0, 1, 2])],
    input: timeout('precommit', 0),
    asks: ['timer propose 1', 'prevote 1 A'],
  },

  {
    rule: 'P2',
    it: 'prevotes a re-proposed block with its valid round',
    before: [...toRound1, again(1, A, 0)],
    input: checked(A),
    asks: ['prevote 1 A of 0'],
  },
  { rule: 'P2', it: 'asks with urgency: a quorum vouches for the block', before: toRound1, input: again(1, A, 0), asks: ['fetch A'] },
  {
    rule: 'P2',
    it: 'prevotes another block than the locked one if its polka is as new',
    before: [
      ...lockAToRound1,
      ...precommits(1, NIL, [0, 1, 2]),
      timeout('precommit', 1),
      ...precommits(2, NIL, [0, 1, 2]),
      timeout('precommit', 2),
      again(3, B, 1),
    ],
    input: checked(B),
    asks: ['prevote 3 B of 1'],
  },
  {
    rule: 'P2',
    it: 'prevotes nil if the polka is older than the lock',
    before: [
      ...toRound1,
      proposal(1, A),
      checked(A),
      ...prevotes(1, A, [0, 1]),
      ...precommits(1, NIL, [0, 1, 2]),
      timeout('precommit', 1),
      ...precommits(2, NIL, [0, 1, 2]),
      timeout('precommit', 2),
      again(3, B, 0),
    ],
    input: checked(B),
    asks: ['prevote 3 nil'],
  },
  {
    rule: 'P2',
    it: 'does not look at the clock',
    before: [...toRound1, again(1, A, 0)],
    input: checked(A, true, BLOCK_MS + 1_000_000),
    asks: ['prevote 1 A of 0'],
  },
  {
    rule: 'P2',
    it: 'prevotes nil for an invalid block',
    before: [...toRound1, again(1, A, 0)],
    input: checked(A, false),
    asks: ['prevote 1 nil'],
  },

  {
    rule: 'P3',
    it: 'locks, shows the polka and precommits when a quorum prevoted the block',
    before: [proposal(0, A), checked(A), ...prevotes(0, A, [0])],
    input: prevoteOf(0, A, 1),
    asks: ['say polka 0 A', 'precommit 0 A'],
  },
  {
    rule: 'P3',
    it: 'takes a certificate for the votes',
    before: [proposal(0, A), checked(A)],
    input: said(polkaOf(0, A)),
    asks: ['say polka 0 A', 'precommit 0 A'],
  },
  {
    rule: 'P3',
    it: 'waits for the proposal',
    before: [...prevotes(0, A, [0, 1, 2]), timeout('propose', 0)],
    input: checked(A),
    asks: [],
  },
  {
    rule: 'P3',
    it: 'locks when the proposal comes at last',
    before: [...prevotes(0, A, [0, 1, 2]), timeout('propose', 0), checked(A)],
    input: proposal(0, A),
    asks: ['say polka 0 A', 'precommit 0 A'],
  },
  { rule: 'P3', it: 'does not lock an invalid block', before: [proposal(0, A), checked(A, false)], input: said(polkaOf(0, A)), asks: [] },
  {
    rule: 'P3',
    it: 'wants the valid round of the proposal in the polka',
    before: [...toRound1, again(1, A, 0), checked(A)],
    input: said(polkaOf(1, A)),
    asks: [],
  },
  { rule: 'P3', it: 'happens once a round', before: [...lockA], input: said(polkaOf(0, A)), asks: [] },

  {
    rule: 'P4',
    it: 're-proposes the block of a polka that came too late to lock it',
    before: [...missedA, said(polkaOf(0, A)), ...precommits(0, NIL, [0, 1, 2]), timeout('precommit', 0), ...precommits(1, NIL, [0, 1, 2])],
    input: timeout('precommit', 1),
    asks: ['timer propose 2', 'proposal 2 A of 0', 'prevote 2 A of 0'],
  },
  {
    rule: 'P4',
    it: 'builds afresh when there was no polka',
    before: [...missedA, ...precommits(0, NIL, [0, 1, 2]), timeout('precommit', 0), ...precommits(1, NIL, [0, 1, 2])],
    input: timeout('precommit', 1),
    asks: ['timer propose 2', 'build 2'],
  },

  {
    rule: 'P5',
    it: 'precommits nil when a quorum prevoted nil',
    before: [timeout('propose', 0), ...prevotes(0, NIL, [0])],
    input: prevoteOf(0, NIL, 1),
    asks: ['precommit 0 nil'],
  },
  {
    rule: 'P5',
    it: 'waits while it has not prevoted itself',
    before: prevotes(0, NIL, [0, 1]),
    input: prevoteOf(0, NIL, 2),
    asks: [],
  },

  {
    rule: 'P6',
    it: 'waits a little when a quorum prevoted different things',
    before: [timeout('propose', 0), ...prevotes(0, A, [0])],
    input: prevoteOf(0, B, 1),
    asks: ['timer prevote 0'],
  },
  {
    rule: 'P6',
    it: 'precommits nil when the wait is over',
    before: [timeout('propose', 0), ...prevotes(0, A, [0]), ...prevotes(0, B, [1])],
    input: timeout('prevote', 0),
    asks: ['precommit 0 nil'],
  },
  { rule: 'P6', it: 'ignores the timer when it has precommitted', before: lockA, input: timeout('prevote', 0), asks: [] },

  {
    rule: 'P7',
    it: 'waits a little when a quorum precommitted different things',
    before: [timeout('propose', 0), ...precommits(0, A, [0]), ...precommits(0, NIL, [1])],
    input: precommitOf(0, NIL, 2),
    asks: ['timer precommit 0'],
  },
  {
    rule: 'P7',
    it: 'enters the next round when the wait is over',
    before: [timeout('propose', 0), ...precommits(0, NIL, [0, 1, 2])],
    input: timeout('precommit', 0),
    asks: ['timer propose 1'],
  },
  {
    rule: 'P7',
    it: 'takes a certificate that the round is over',
    before: [timeout('propose', 0)],
    input: said(roundCert(0, 'precommit', 0b0111)),
    asks: ['timer precommit 0'],
  },
  { rule: 'P7', it: 'ignores the timer of a round that is over', before: toRound1, input: timeout('precommit', 0), asks: [] },

  { rule: 'P8', it: 'prevotes nil when no proposal came', input: timeout('propose', 0), asks: ['prevote 0 nil'] },
  {
    rule: 'P8',
    it: 'ignores the timer when it has prevoted',
    before: [proposal(0, A), checked(A)],
    input: timeout('propose', 0),
    asks: [],
  },

  {
    rule: 'P9',
    it: 'follows a third of the weight to a later round',
    before: prevotes(4, NIL, [0]),
    input: precommitOf(4, NIL, 1),
    asks: ['timer propose 4'],
  },
  {
    rule: 'P9',
    it: 'counts a voter once',
    before: prevotes(1, NIL, [0]),
    input: precommitOf(1, NIL, 0),
    asks: [],
  },
  { rule: 'P9', it: 'follows a certificate', input: said(roundCert(5, 'prevote', 0b0011)), asks: ['timer propose 5'] },
  { rule: 'P9', it: 'follows a polka of a later round', input: said(polkaOf(3, A)), asks: ['fetch A', 'timer propose 3'] },

  {
    rule: 'P10',
    it: 'decides when a quorum precommitted',
    before: [...lockA, ...precommits(0, A, [0])],
    input: precommitOf(0, A, 1),
    asks: ['stop timers', 'decide 0 A', 'say commit 0 A'],
  },
  {
    rule: 'P10',
    it: 'decides by a commit of any round',
    before: [...toRound1, proposal(1, A), checked(A)],
    input: said(commitOf(0, A)),
    asks: ['stop timers', 'decide 0 A', 'say commit 0 A'],
  },
  { rule: 'P10', it: 'fetches the block first', input: said(commitOf(0, A)), asks: ['fetch A'] },
  {
    rule: 'P10',
    it: 'decides when the fetched block is here',
    before: [said(commitOf(0, A))],
    input: checked(A),
    asks: ['stop timers', 'decide 0 A', 'say commit 0 A'],
  },
  { rule: 'P10', it: 'signs nothing once a commit is known', before: [said(commitOf(0, A)), proposal(0, B)], input: checked(B), asks: [] },
  {
    rule: 'P10',
    it: 'halts when the committed block is invalid here',
    before: [said(commitOf(0, A))],
    input: checked(A, false),
    asks: ['stop timers', 'halt A'],
  },
]

for (const { rule, it, before = [], input, asks } of ROWS) {
  test(`${rule} ${it}`, () => expect(run([...before, input]).last).toEqual(asks))
}

test('every rule is in the table, and the table of rules is in the order of priority', () => {
  expect([...new Set(ROWS.map((row) => row.rule))].sort()).toEqual(['P1', 'P10', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7', 'P8', 'P9'])
  expect(RULES.map((rule) => rule.name)).toEqual(['P10', 'P9', 'P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7'])
})

test('P4 changes the valid block and never the lock', () => {
  const { state } = run([...missedA, said(polkaOf(0, A))])
  expect([state.validBlock, state.validRound, state.lockedBlock, state.lockedRound]).toEqual([A, 0, undefined, -1])
})

test('P3 sets lock and valid block together', () => {
  const { state } = run(lockA)
  expect([state.validBlock, state.validRound, state.lockedBlock, state.lockedRound]).toEqual([A, 0, A, 0])
})

test('the strict rule protects a correct validator from being framed for amnesia', () => {
  // The run for which the paper's "or the locked block itself" gives two signatures that look like amnesia: lock A in round 0, lock B in
  // round 1 by its polka, then B comes fresh in round 2.
  const set = setOf([1, 1, 1, 1])
  const relock = [
    ...prevotes(1, B, [0, 1]),
    proposal(1, B),
    checked(B),
    ...prevotes(1, B, [2]),
    ...precommits(1, NIL, [0, 1, 2]),
    timeout('precommit', 1),
  ]
  const { last, state } = run([...lockA, ...precommits(0, NIL, [0, 1]), timeout('precommit', 0), ...relock, proposal(2, B)], 0, set)
  expect(state.lockedBlock).toBe(B)
  expect(last).toEqual(['prevote 2 nil'])
})

test('the proposer builds, proposes and prevotes its own block, whatever its clock says', () => {
  const { last } = run([built(0, A)], 1)
  expect(last).toEqual(['proposal 0 A', 'prevote 0 A'])
  expect(run([built(0, A), built(0, B)], 1).last, 'once a round').toEqual([])
  expect(run([timeout('propose', 0), built(0, A)], 1).last, 'not after it gave up waiting').toEqual([])
})

test('a proposer that finds a polka of its own round has proposed before, and stays silent', () => {
  // It lost its log: others hold a polka for what it proposed in this round. Proposing it anew would name a valid round that is not past.
  expect(run([said(polkaOf(0, A)), checked(A), built(0, B)], 1).last).toEqual([])
})

test('who has no vote follows in silence and decides', () => {
  const { last } = run([proposal(0, A), checked(A), ...prevotes(0, A, [0, 1, 2]), ...precommits(0, A, [0, 1, 2])], 'nobody')
  expect(last).toEqual(['stop timers', 'decide 0 A', 'say commit 0 A'])
  const sat = step(idleState({ publicKey: SET.validators[1]?.publicKey, timing: DEFAULT_TIMING, aggregate: fakeAggregate }, SET, 0), {
    kind: 'startHeight',
    height: 1,
    set: SET,
    votes: false,
  })
  expect(sat.effects.map(nameOf), 'a proposer that sits the height out does not build').toEqual(['timer propose 0', 'timer rebroadcast 0'])
})

test('rebroadcast says the own messages, why the round was entered, and the valid polka; of a decided height nothing', () => {
  const locked = run([...lockA, timeout('rebroadcast', 0)])
  expect(locked.last).toEqual(['say prevote 0 A', 'say precommit 0 A', 'say polka 0 A', 'timer rebroadcast 0'])
  const next = run([...toRound1, timeout('rebroadcast', 0)])
  expect(next.last).toEqual(['say prevote 0 nil', 'say roundCert 0', 'timer rebroadcast 1'])
  expect(run([said(commitOf(0, A)), timeout('rebroadcast', 0)]).last).toEqual(['say commit 0 A', 'timer rebroadcast 0'])
  expect(run([said(commitOf(0, A)), checked(A), timeout('rebroadcast', 0)]).last).toEqual([])
  expect(run([built(0, A), timeout('rebroadcast', 0)], 1).last).toEqual(['say proposal 0 A', 'say prevote 0 A', 'timer rebroadcast 0'])
})

test('two proposals of one round are evidence against its proposer, a third is not even kept', () => {
  expect(run([proposal(0, A), proposal(0, B)]).last).toEqual(['doubleVote of 1', 'check B'])
  const { last, state } = run([proposal(0, A), proposal(0, B), proposal(0, blockHash(0xc))])
  expect(last).toEqual([])
  expect(state.proposals.get(0)).toHaveLength(2)
})

test('inputs of another height, or far ahead, or too late, change nothing', () => {
  const { state } = run(lockA)
  const strangers: Input[] = [
    said(fakeVote({ kind: 'prevote', height: 2, validator: 0 })),
    { kind: 'timeout', timer: 'precommit', height: 2, round: 0 },
    { kind: 'blockChecked', height: 1, blockHash: B, valid: true, timestampMs: 0 },
    proposal(3, B),
    said(fakeVote({ kind: 'prevote', validator: 0, blockHash: A })),
  ]
  for (const input of strangers) expect(step(state, input)).toEqual({ state, effects: [] })
})

test('a step leaves the state it was given as it was', () => {
  const { state } = run([proposal(0, A), checked(A), ...prevotes(0, A, [0])])
  const copy = structuredClone({ ...state, context: undefined, set: undefined })
  step(state, prevoteOf(0, A, 1))
  expect({ ...state, context: undefined, set: undefined }).toEqual(copy)
})

test('timers grow by half of their base each round up to the maximum', () => {
  expect([0, 1, 2, 3].map((round) => timeoutMs(DEFAULT_TIMING, 'propose', round))).toEqual([800, 1_200, 1_600, 2_000])
  expect(timeoutMs(DEFAULT_TIMING, 'precommit', 1_000)).toBe(DEFAULT_TIMING.timeoutMaxMs)
  expect(timeoutMs(DEFAULT_TIMING, 'rebroadcast', 9)).toBe(DEFAULT_TIMING.rebroadcastMs)
})

test('a block is in time from precision before its own to precision and delay after it, the delay growing by a tenth a round', () => {
  const timely = (receivedMs: number, round = 0) => isTimely(DEFAULT_TIMING, { timestampMs: 10_000, receivedMs, round })
  expect([9_499, 9_500, 12_500, 12_501].map((ms) => timely(ms))).toEqual([false, true, true, false])
  expect([12_700, 12_701].map((ms) => timely(ms, 1))).toEqual([true, false])
})

test('what a proposer of many rounds made is forgotten with the rounds: blocks do not add up', () => {
  // Each round fails, and has two proposals with blocks that nobody vouches for.
  const rounds = Array.from({ length: 100 }, (_, round) => [
    proposal(round, blockHash(2 * round)),
    proposal(round, blockHash(2 * round + 1)),
    ...precommits(round, NIL, [0, 1, 2]),
    timeout('precommit', round),
  ])
  const { state } = run([proposal(0, A), checked(A), ...prevotes(0, A, [0, 1]), ...rounds.flat()], 'nobody')
  expect(state.round).toBe(100)
  expect([...state.blocks.keys()], 'nothing is named any more').toEqual([])
  expect(run([...lockAToRound1, ...rounds.slice(1).flat()]).state.blocks.get(A)?.kind, 'a locked block is kept').toBe('valid')
})

test('own messages only move forward, whatever order signatures come in, and whatever another process says with the key', () => {
  const own = (round: number, hash: Hex) => prevoteOf(round, hash, 3)
  const { state } = run([own(1, B), own(0, A), own(1, A)])
  expect(state.own.prevote).toMatchObject({ round: 1, blockHash: B })
})
