/**
 * A whole network in one thread, from one seed: virtual time, a network that drops, delays, doubles, reorders and partitions, nodes that
 * die at any boundary and come back from what their disk kept, and faulty validators. After `calmAtMs` the network is kind and nobody
 * dies, so every correct node must decide all heights.
 *
 * Signatures are entries in a register of who said what. A vote or certificate is good if the register has it, so forging is impossible
 * and a certificate that counts somebody wrongly is found.
 *
 * What is checked, at every step (numbers as in docs/spec/consensus.md#invariants):
 * 1 agreement, 2 validity, 3 one statement a slot, 4 no forgotten lock, 5 no evidence against the correct, 6 culprits of a disagreement
 * are a third, 7 certificates stand, 8 progress is forward, 9 replay gives the same state, 10 every correct node decides when the network
 * is calm, 11 one proposer a round.
 */
import { type Hex, toHex } from 'viem'
import { aggregateSignatures, sign } from '../../consensus/bls.ts'
import { type Commit, checkCommit, checkPolka, checkRoundCert, signersOf } from '../../consensus/certificate.ts'
import { NIL, type Statement } from '../../consensus/digest.ts'
import { type Evidence, isAmnesia, isDoubleVote } from '../../consensus/evidence.ts'
import { LAW } from '../../consensus/machine.ts'
import type { Message } from '../../consensus/message.ts'
import { replay } from '../../consensus/replay.ts'
import type { Law } from '../../consensus/round.ts'
import { idleState, type State } from '../../consensus/state.ts'
import type { Timing } from '../../consensus/timing.ts'
import { isThird, proposerIndex, type ValidatorSet, weightAt } from '../../consensus/validatorSet.ts'
import { verifyMessage } from '../../consensus/verify.ts'
import { decodeWal } from '../../consensus/wal.ts'
import { assert } from '../../execution/assert.ts'
import { crashDisk, createEngine, type Disk, type Engine, type EngineOptions, type EnginePorts, emptyDisk } from './engine.ts'
import { CHAIN_ID, canonical, FAKE_SIGNATURE, fakeAggregate, secretKey } from './fixtures.ts'

/** How a validator is faulty: run twice with one key; sign what it likes; or be silent. */
export type Fault = 'twins' | 'equivocator' | 'silent'

export type Scenario = {
  readonly seed: number
  readonly set: ValidatorSet
  /** Faults by validator index. */
  readonly faults: ReadonlyMap<number, Fault>
  readonly heights: number
  readonly calmAtMs: number
  readonly dropRate: number
  readonly crashes: number
  readonly law?: Law
  readonly durable?: EngineOptions['durable']
  readonly admits?: boolean
  /** true: BLS signatures and their verification instead of the register (which still checks what is said). */
  readonly isSigned?: boolean
}

/** What a run found. `violations` is empty if all went as it must. */
export type Outcome = {
  readonly violations: readonly string[]
  readonly steps: number
  readonly rounds: number
  readonly crashes: number
  /** Validators that evidence named. */
  readonly accused: ReadonlySet<number>
  readonly decided: ReadonlyMap<number, Hex>
}

/** Timers of a local network, a tenth of the defaults. */
const TIMING: Timing = {
  proposeMs: 80,
  prevoteMs: 30,
  precommitMs: 30,
  rebroadcastMs: 50,
  timeoutMaxMs: 1_000,
  precisionMs: 50,
  messageDelayMs: 200,
}

const STEPS_MAX = 30_000
const CALM_LIMIT_MS = 30_000
const STEP_ORDER = { idle: 0, propose: 1, prevote: 2, precommit: 3, decided: 4, halted: 5 } as const

class Killed extends Error {}
class Halted extends Error {}

type Block = { readonly height: number; readonly parent: Hex; readonly valid: boolean; readonly timestampMs: number }

type Node = {
  readonly name: string
  readonly validator: number
  readonly fault: Fault | undefined
  readonly disk: Disk
  readonly bodies: Set<Hex>
  engine: Engine | undefined
  /** Rises at each restart, so that what was meant for the process before is dropped. */
  life: number
  /** Boundaries until death, 0 for never. */
  dieIn: number
  readonly clockSkewMs: number
  readonly timerSpeed: number
  /** Signed in this life and still in the process: nobody ever has it if the node dies now and its log did not keep it. */
  unsent: Statement[]
}

/** Deterministic randomness: mulberry32. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A queue of things to happen, by time and then by order of asking. */
function createSchedule() {
  const heap: { atMs: number; order: number; act: () => void }[] = []
  let order = 0
  const before = (a: number, b: number) => {
    const [x, y] = [heap[a], heap[b]]
    return x !== undefined && y !== undefined && (x.atMs - y.atMs || x.order - y.order) < 0
  }
  const swap = (a: number, b: number) => {
    const [x, y] = [heap[a], heap[b]]
    if (x !== undefined && y !== undefined) [heap[a], heap[b]] = [y, x]
  }
  return {
    add(atMs: number, act: () => void) {
      heap.push({ atMs, order: order++, act })
      for (let i = heap.length - 1; i > 0 && before(i, (i - 1) >> 1); i = (i - 1) >> 1) swap(i, (i - 1) >> 1)
    },
    next() {
      const first = heap[0]
      const last = heap.pop()
      if (first === undefined || last === undefined) return undefined
      if (heap.length > 0) heap[0] = last
      for (let i = 0; ; ) {
        let least = i
        for (const child of [2 * i + 1, 2 * i + 2]) if (before(child, least)) least = child
        if (least === i) return first
        swap(i, least)
        i = least
      }
    },
  }
}

/** Who said what: the register that stands for signatures, and the checks of what correct validators say (3, 4, 11). */
function createRegister(set: ValidatorSet, isFaulty: (validator: number) => boolean, violate: (what: string) => void) {
  const said = new Map<string, Statement[]>()
  const key = (validator: number, height: number) => `${validator} ${height}`
  const has = (validator: number, statement: Statement) =>
    (said.get(key(validator, statement.height)) ?? []).some(
      (one) => one.round === statement.round && one.kind === statement.kind && same(one, statement),
    )
  return {
    has,
    /** Validators whose statements, taken together, contain an offence. */
    offenders(): number[] {
      const pairs = (all: readonly Statement[]) => all.flatMap((one) => all.map((other) => [one, other] as const))
      return set.validators.flatMap((_, validator) => {
        const lists = [...said].filter(([of]) => of.startsWith(`${validator} `)).map(([, list]) => list)
        return lists.some((list) => pairs(list).some(([a, b]) => isDoubleVote(a, b) || isAmnesia(a, b))) ? [validator] : []
      })
    },
    add(validator: number, { kind, height, round, validRound, blockHash }: Statement) {
      const statement = { kind, height, round, validRound, blockHash }
      const earlier = said.get(key(validator, height)) ?? []
      if (has(validator, statement)) return
      if (!isFaulty(validator)) {
        if (kind === 'proposal' && proposerIndex(set, height, round) !== validator) violate(`11: ${validator} proposed out of turn`)
        for (const other of earlier) {
          if (isDoubleVote(other, statement)) violate(`3: ${validator} signed two ${kind}s in round ${round} of height ${height}`)
          if (isAmnesia(other, statement) || isAmnesia(statement, other)) violate(`4: ${validator} forgot its lock at height ${height}`)
        }
      }
      said.set(key(validator, height), [...earlier, statement])
    },
    remove(validator: number, gone: readonly Statement[]) {
      for (const [of, list] of said)
        if (of.startsWith(`${validator} `))
          said.set(
            of,
            list.filter((one) => !gone.some((statement) => isSameMessage(one, statement))),
          )
    },
  }
}

/** Tells what of a node's own its log has kept from what it has not. */
function notIn({ validator, disk }: Node): (statement: Statement) => boolean {
  const log = decodeWal(disk.wal)
  assert(log.ok)
  const messages = log.inputs.flatMap((input) => (input.kind === 'message' ? [input.message] : []))
  const own = messages.filter((message) => !('validator' in message) || message.validator === validator)
  return (statement) => !own.some((message) => isSameMessage(statement, message))
}

function isSameMessage(a: Statement, b: Message | Statement): boolean {
  if (b.kind !== 'proposal' && b.kind !== 'prevote' && b.kind !== 'precommit') return false
  return a.kind === b.kind && a.height === b.height && a.round === b.round && same(a, b)
}

function same(a: Statement, b: Statement): boolean {
  return a.blockHash === b.blockHash && a.validRound === b.validRound
}

/** The checks of what nodes do; faulty nodes may do anything. `blocks` is what exists. */
function createJudge(scenario: Scenario, blocks: ReadonlyMap<Hex, Block>) {
  const { set, faults, law = LAW, durable = 'wal and guard', isSigned = false } = scenario
  const violations = new Set<string>()
  const violate = (what: string) => void violations.add(what)
  const register = createRegister(set, (validator) => faults.has(validator), violate)
  const decided = new Map<number, Hex>()
  const accused = new Set<number>()
  let [steps, rounds] = [0, 0]

  /** Stands for the verification of a message. */
  function isGood(message: Message): boolean {
    if (isSigned && !verifyMessage(set, message, CHAIN_ID).ok) return false
    const signersSaid = (bitmap: Uint8Array, statement: Statement) => signersOf(bitmap).every((signer) => register.has(signer, statement))
    switch (message.kind) {
      case 'proposal': {
        if (!register.has(proposerIndex(set, message.height, message.round), message)) return false
        if (message.validRound === -1) return message.polka === undefined
        return message.polka !== undefined && message.polka.round === message.validRound && isGood(message.polka)
      }
      case 'prevote':
      case 'precommit':
        return register.has(message.validator, message)
      case 'polka':
        return checkPolka(set, message).ok && signersSaid(message.bitmap, { ...message, kind: 'prevote' })
      case 'commit':
        return checkCommit(set, message).ok && signersSaid(message.bitmap, { ...message, kind: 'precommit', validRound: -1 })
      case 'roundCert': {
        const { height, round, entries } = message
        return checkRoundCert(set, message).ok && entries.every((entry) => signersSaid(entry.bitmap, { height, round, ...entry }))
      }
    }
  }

  /** The log, as it stands, leads to the state as it stands. */
  function judgeReplay(node: Node, state: State): void {
    if (durable !== 'wal and guard' || node.disk.decided.at(-1)?.height === state.height) return
    const log = decodeWal(node.disk.wal)
    assert(log.ok && log.header !== undefined)
    const source = { header: log.header, inputs: log.inputs, set, chainId: CHAIN_ID }
    const replayed = replay(idleState(state.context, set, state.height - 1), source, law)
    if (!replayed.ok || canonical(rest(replayed.state)) !== canonical(rest(state))) violate(`9: replay of node ${node.name} differs`)
  }

  return {
    violate,
    isGood,
    /** A validator signs a statement. */
    said: register.add,
    /** Statements that died with the process that had signed them. */
    neverSaid: register.remove,
    steps: () => steps,
    judgeDecision(node: Node, height: number, blockHash: Hex, commit: Commit): void {
      if (node.fault !== undefined) return
      if (!isGood(commit)) violate(`7: the commit of height ${height} does not stand`)
      const earlier = decided.get(height)
      if (earlier !== undefined && earlier !== blockHash) violate(`1: two blocks decided at height ${height}`)
      decided.set(height, blockHash)
      const block = blocks.get(blockHash)
      const parent = node.disk.decided.at(-2)?.blockHash ?? NIL
      if (block === undefined || !block.valid || block.parent !== parent) violate(`2: an invalid block was decided at height ${height}`)
    },
    judgeEvidence(node: Node, { kind, validator, height, first, second }: Evidence): void {
      if (node.fault !== undefined) return
      accused.add(validator)
      const isOffence = kind === 'amnesia' ? isAmnesia(first, second) : isDoubleVote(first, second)
      const isSaid = register.has(validator, { ...first, height }) && register.has(validator, { ...second, height })
      if (!faults.has(validator) || !isOffence || !isSaid) violate(`5: evidence against ${validator}, who is correct`)
    },
    judgeStep(node: Node, before: State, after: State): void {
      steps++
      if (node.fault !== undefined) return
      rounds = Math.max(rounds, after.round)
      const order = after.height - before.height || after.round - before.round || STEP_ORDER[after.step] - STEP_ORDER[before.step]
      if (order < 0) violate(`8: node ${node.name} went back`)
      if (after.step === 'halted') violate(`2: node ${node.name} halted`)
      if (before.polkas !== after.polkas && ![...after.polkas.values()].every(isGood)) violate('7: a polka does not stand')
      if (steps % 97 === 0) judgeReplay(node, after)
    },
    outcome(crashes: number): Outcome {
      if ([...violations].some((one) => one.startsWith('1:'))) {
        const weight = register.offenders().reduce((sum, validator) => sum + weightAt(set, validator), 0n)
        if (!isThird(set, weight)) violate('6: a disagreement without a third of culprits')
      }
      return { violations: [...violations], steps, rounds, crashes, accused, decided }
    },
  }
}

/** Runs a scenario to its end. The same scenario always gives the same outcome. */
export function simulate(scenario: Scenario): Outcome {
  const { set, faults, heights, calmAtMs, law = LAW, durable = 'wal and guard', admits = true, isSigned = false } = scenario
  const random = createRandom(scenario.seed)
  const schedule = createSchedule()
  const blocks = new Map<Hex, Block>()
  const judge = createJudge(scenario, blocks)
  let [nowMs, crashes, blockCount] = [0, 0, 0]
  let cut: ReadonlySet<Node> = new Set()

  const nodes = set.validators.flatMap((_, validator) => createNodes(validator, faults.get(validator), random))
  const correct = nodes.filter((node) => node.fault === undefined)

  // ---- network ----

  function isCut(from: Node, to: Node): boolean {
    return nowMs < calmAtMs && cut.has(from) !== cut.has(to)
  }

  function send(from: Node, to: Node, deliver: () => void): void {
    const isCalm = nowMs >= calmAtMs
    if (isCut(from, to) || (!isCalm && random() < scenario.dropRate)) return
    const copies = !isCalm && random() < 0.1 ? 2 : 1
    for (let i = 0; i < copies; i++) {
      const delayMs = !isCalm && random() < 0.1 ? random() * 800 : 1 + random() * 15
      schedule.add(nowMs + delayMs, deliver)
    }
  }

  function sendMessage(from: Node, to: Node, message: Message): void {
    send(from, to, () => alive(to, (engine) => engine.receive(from.name, message)))
  }

  function sendBody(from: Node, to: Node, hash: Hex): void {
    send(from, to, () => void to.bodies.add(hash))
  }

  /** What block sync does: the block and commit of a height that is past for the sender. */
  function sendPast(from: Node, to: Node, height: number): void {
    const past = from.disk.decided[height - 1]
    if (past === undefined) return
    sendBody(from, to, past.blockHash)
    sendMessage(from, to, past.commit)
  }

  // ---- lives and deaths ----

  /** Runs something on a node's engine; if the node dies of it, it comes back later from its disk. */
  function alive(node: Node, act: (engine: Engine) => void): void {
    const { engine } = node
    if (engine === undefined || judge.steps() > STEPS_MAX) return
    try {
      act(engine)
    } catch (error) {
      if (error instanceof Killed) bury(node)
      else if (error instanceof Halted) node.engine = undefined
      else throw error
    }
  }

  function bury(node: Node): void {
    crashes++
    node.engine = undefined
    node.life++
    node.dieIn = 0
    crashDisk(node.disk, Math.floor(random() * (node.disk.wal.length - node.disk.syncedBytes + 1)))
    if (node.fault === undefined) judge.neverSaid(node.validator, node.unsent.filter(notIn(node)))
    node.unsent = []
    schedule.add(nowMs + random() * 400, () => boot(node))
  }

  function boot(node: Node): void {
    const isDurable = node.fault === undefined ? durable : 'wal and guard'
    if (isDurable !== 'wal and guard') node.disk.wal = new Uint8Array()
    const context = {
      publicKey: set.validators[node.validator]?.publicKey,
      timing: TIMING,
      aggregate: isSigned ? aggregateSignatures : fakeAggregate,
    }
    node.engine = createEngine({ context, set, chainId: CHAIN_ID, law, durable: isDurable, admits }, portsOf(node), node.disk)
    alive(node, (engine) => {
      engine.recover()
      if (engine.state().step === 'idle' || engine.state().step === 'decided') startSoon(node)
    })
  }

  function startSoon(node: Node): void {
    const { life } = node
    schedule.add(nowMs + random() * 10, () => {
      if (node.life === life && node.disk.decided.length < heights) alive(node, (engine) => engine.startNext())
    })
  }

  // ---- what a node reaches the world through ----

  function portsOf(node: Node): EnginePorts {
    const { life } = node
    const later = (ms: number, act: (engine: Engine) => void) =>
      schedule.add(nowMs + ms, () => {
        if (node.life === life) alive(node, act)
      })
    const localMs = () => Math.max(0, Math.floor(nowMs + 1_000 + node.clockSkewMs))
    return {
      boundary() {
        if (node.dieIn > 0 && --node.dieIn === 0) throw new Killed()
      },
      now: localMs,
      sign(message, digest) {
        if (node.fault === 'equivocator') return FAKE_SIGNATURE
        judge.said(node.validator, message)
        node.unsent.push(message)
        return isSigned ? sign(secretKey(node.validator), digest) : FAKE_SIGNATURE
      },
      verify: (message) => judge.isGood(message),
      broadcast(message) {
        node.unsent = node.unsent.filter((one) => !isSameMessage(one, message))
        sayToAll(node, message)
      },
      startTimer(timer, height, round, ms) {
        later(ms * node.timerSpeed, (engine) => {
          // Who has no vote has nothing to say again, so nobody would answer it: it asks for what it lacks.
          const peer = nodes[Math.floor(random() * nodes.length)]
          if (timer === 'rebroadcast' && engine.state().self === undefined && peer !== undefined) sendPast(peer, node, height)
          engine.input({ kind: 'timeout', timer, height, round })
        })
      },
      buildBlock(height, round) {
        later(1 + random() * 10, (engine) => {
          const hash = newBlock(node, height, localMs(), node.fault !== 'equivocator' || random() < 0.7)
          engine.input({ kind: 'blockBuilt', height, round, blockHash: hash, timestampMs: blocks.get(hash)?.timestampMs ?? 0 })
        })
      },
      checkBlock: (height, blockHash, urgent) => checkBlock(node, life, height, blockHash, urgent ? 0 : 60),
      onDecide: ({ height, blockHash, commit }) => {
        judge.judgeDecision(node, height, blockHash, commit)
        startSoon(node)
      },
      onEvidence: (evidence) => judge.judgeEvidence(node, evidence),
      onPastHeight(peer, height) {
        const asker = nodes.find((other) => other.name === peer)
        if (asker !== undefined) sendPast(node, asker, height)
      },
      onHalt() {
        throw new Halted()
      },
      onStep(before, after) {
        judge.judgeStep(node, before, after)
      },
    }
  }

  function newBlock(node: Node, height: number, timestampMs: number, valid: boolean): Hex {
    const hash = toHex(height * 2 ** 32 + ++blockCount, { size: 32 })
    blocks.set(hash, { height, parent: node.disk.decided.at(-1)?.blockHash ?? NIL, valid, timestampMs })
    node.bodies.add(hash)
    return hash
  }

  /** The verdict comes when the bytes are there: they are asked of somebody at random again and again. */
  function checkBlock(node: Node, life: number, height: number, blockHash: Hex, waitMs: number): void {
    const block = blocks.get(blockHash)
    schedule.add(nowMs + 1 + random() * 5, function attempt() {
      if (node.life !== life || node.disk.decided.length >= height) return
      if (block !== undefined && node.bodies.has(blockHash)) {
        const valid = block.valid && block.height === height && block.parent === (node.disk.decided.at(-1)?.blockHash ?? NIL)
        alive(node, (engine) => engine.input({ kind: 'blockChecked', height, blockHash, valid, timestampMs: block.timestampMs }))
        return
      }
      const peer = nodes[Math.floor(random() * nodes.length)]
      if (peer !== undefined && peer !== node && peer.bodies.has(blockHash) && waitMs === 0) sendBody(peer, node, blockHash)
      schedule.add(nowMs + Math.max(20, waitMs), () => checkBlockAgain())
      function checkBlockAgain() {
        if (node.life === life) checkBlock(node, life, height, blockHash, 0)
      }
    })
  }

  // ---- what faulty validators say ----

  function sayToAll(node: Node, message: Message): void {
    const isOwn = message.kind === 'proposal' || message.kind === 'prevote' || message.kind === 'precommit'
    if (node.fault !== 'equivocator' || !isOwn) {
      for (const to of nodes) {
        if (to === node) continue
        if (message.kind === 'proposal' && message.validRound === -1) sendBody(node, to, message.blockHash)
        sendMessage(node, to, message)
      }
      return
    }
    for (const to of nodes) {
      if (to === node || random() < 0.2) continue
      const told = random() < 0.5 ? message : twist(node, message)
      judge.said(node.validator, told)
      if (told.kind === 'proposal' && random() < 0.9) sendBody(node, to, told.blockHash)
      sendMessage(node, to, told)
    }
  }

  /** The same slot, something else in it. */
  function twist<T extends Message & Statement>(node: Node, message: T): T {
    const known = [...blocks.keys()].filter((hash) => blocks.get(hash)?.height === message.height)
    const hash = known[Math.floor(random() * known.length)]
    if (message.kind === 'proposal') {
      // An old polka is the strongest thing a faulty proposer can honestly show to those who have locked something newer.
      const polkas = [...(node.engine?.state().polkas.values() ?? [])].filter(
        (one) => one.height === message.height && one.round < message.round,
      )
      const polka = polkas[Math.floor(random() * polkas.length)]
      if (polka !== undefined && random() < 0.7) return { ...message, blockHash: polka.blockHash, validRound: polka.round, polka }
      return {
        ...message,
        blockHash: newBlock(node, message.height, Math.floor(nowMs) + 1_000, random() < 0.7),
        validRound: -1,
        polka: undefined,
      }
    }
    const blockHash = hash === undefined || random() < 0.2 ? NIL : hash
    const validRound =
      message.kind === 'prevote' && blockHash !== NIL && random() < 0.5 ? Math.floor(random() * (message.round + 1)) - 1 : -1
    const round = random() < 0.1 ? message.round + Math.floor(random() * 6) : message.round
    return { ...message, blockHash, validRound, round }
  }

  // ---- the run ----

  function bootAll(): void {
    for (const node of nodes) schedule.add(random() * 20, () => boot(node))
  }

  /** Partitions that come and go, and deaths, until the network is calm. */
  function plotChaos(): void {
    for (let atMs = 100; atMs < calmAtMs; atMs += 200 + random() * 600) {
      const side = new Set(nodes.filter(() => random() < 0.5))
      schedule.add(atMs, () => {
        cut = side
      })
      schedule.add(atMs + random() * 500, () => {
        cut = new Set()
      })
    }
    for (let i = 0; i < scenario.crashes; i++) {
      const victim = correct[Math.floor(random() * correct.length)]
      schedule.add(random() * Math.min(calmAtMs, heights * 250), () => {
        if (victim?.engine !== undefined) victim.dieIn = 1 + Math.floor(random() * 12)
      })
    }
    schedule.add(calmAtMs, () => {
      for (const node of nodes) node.dieIn = 0
    })
  }

  function runToEnd(): void {
    while (!correct.every((node) => node.disk.decided.length >= heights)) {
      const next = schedule.next()
      if (next === undefined || judge.steps() > STEPS_MAX || next.atMs > calmAtMs + CALM_LIMIT_MS) {
        judge.violate('10: a correct node did not decide though the network was calm')
        return
      }
      nowMs = next.atMs
      next.act()
    }
  }

  bootAll()
  plotChaos()
  runToEnd()
  return judge.outcome(crashes)
}

/** The processes of one validator: two for twins, none for who is silent. */
function createNodes(validator: number, fault: Fault | undefined, random: () => number): Node[] {
  const suffixes = fault === 'silent' ? [] : fault === 'twins' ? ['a', 'b'] : ['']
  return suffixes.map((suffix) => ({
    name: `${validator}${suffix}`,
    validator,
    fault,
    disk: emptyDisk(),
    bodies: new Set<Hex>(),
    engine: undefined,
    life: 0,
    dieIn: 0,
    clockSkewMs: Math.floor((random() - 0.5) * 40),
    timerSpeed: 0.8 + random() * 0.4,
    unsent: [],
  }))
}

function rest({ context: _, set: __, ...state }: State): Omit<State, 'context' | 'set'> {
  return state
}
