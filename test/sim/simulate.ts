/**
 * A whole network in one thread, from one seed: virtual time, a network that loses, delays, doubles, reorders and parts, nodes that die at any
 * boundary and come back from what their disk kept, and validators that lie (lies.ts). After `calmAtMs` the network is kind and nobody dies, so every
 * correct node must decide all heights. What is checked at every step is the judge's (judge.ts).
 */
import type { Hex } from 'viem'
import { aggregateSignatures, sign } from '../../consensus/bls.ts'
import { type Statement, statementDigest } from '../../consensus/digest.ts'
import type { Effect } from '../../consensus/effect.ts'
import type { Input } from '../../consensus/input.ts'
import { decodeMessage, encodeMessage, type Message } from '../../consensus/message.ts'
import type { Law } from '../../consensus/round.ts'
import { checkSignFor, type SignerGuard } from '../../consensus/signerGuard.ts'
import type { State } from '../../consensus/state.ts'
import { decodeWal } from '../../consensus/wal.ts'
import { assert } from '../../execution/assert.ts'
import { crashDisk, createEngine, type Disk, DiskFull, type Engine, type EnginePorts, emptyDisk } from '../consensus/engine.ts'
import { CHAIN_ID, FAKE_SIGNATURE, fakeAggregate, secretKey, validator } from '../consensus/fixtures.ts'
import { createBlocks } from './blocks.ts'
import { createJudge, EPOCH_MS, epochAt, type Outcome } from './judge.ts'
import { AMNESIAC_LAW, isStatement, tell } from './lies.ts'
import { createNetwork } from './network.ts'
import { createRandom, createSchedule, pick, type Random } from './random.ts'
import type { Liar, Scenario } from './scenario.ts'

/** Who wants to see the run. */
export type Observer = {
  onStep(seen: { atMs: number; node: string; input: Input; rules: readonly string[]; effects: readonly Effect[]; state: State }): void
  onEvent(atMs: number, node: string, what: string): void
}

/** Steps and time in which any run ends, or is found to be stuck. */
const STEPS_MAX = 60_000
const CALM_LIMIT_MS = 30_000

class Killed extends Error {
  override readonly name: string = 'Killed'
}
class Halted extends Error {
  override readonly name = 'Halted'
}

type Node = {
  readonly name: string
  readonly index: number
  readonly who: number
  readonly isCorrect: boolean
  readonly liar: Liar | undefined
  readonly disk: Disk
  readonly bodies: Set<Hex>
  /** What the signer that it shares with a copy of itself remembers. */
  readonly signer: { guard: SignerGuard | undefined } | undefined
  /** What the liar has made up. */
  readonly memory: Map<string, Hex>
  engine: Engine | undefined
  /** Rises at each restart, so that what was meant for the process before is dropped. */
  life: number
  /** Boundaries until death, 0 for never; `isFull`: by a disk that takes nothing more. */
  dieIn: number
  isFull: boolean
  losesLog: boolean
  readonly clockSkewMs: number
  readonly timerSpeed: number
  /** Boundaries of this life, at whom exact deaths are asked for. */
  passed: number
  /** Signed in this life and still in the process: nobody ever has it if the node dies now and its log did not keep it. */
  unsent: Statement[]
  /** Own state after the last decided block. */
  root: number
}

/** Runs a scenario to its end, or to the first violation. The same scenario always gives the same outcome. */
export function simulate(scenario: Scenario, observer?: Observer): Outcome {
  const { heights, calmAtMs, machinery, isSigned, timing, death } = scenario
  const random = createRandom(scenario.seed)
  const schedule = createSchedule()
  const blocks = createBlocks(random)
  let [nowMs, crashes, fired] = [0, 0, [] as string[]]
  const judge = createJudge(scenario, blocks.byHash, () => nowMs)
  const boundaries: string[] = []

  const nodes = createNodes(scenario, random)
  const correct = nodes.filter((node) => node.isCorrect)
  const isCalm = () => nowMs >= calmAtMs
  const network = createNetwork<Node>({ scenario, random, schedule, isCalm, nowMs: () => nowMs })
  const setAt = (height: number) => epochAt(scenario, height).set

  // ---- network ----

  function sendMessage(from: Node, to: Node, message: Message): void {
    if (network.isHidden(from, to, message)) return
    const carried = isSigned ? overTheWire(message) : message
    network.send(from, to, () => alive(to, (engine) => engine.receive(from.name, carried)))
  }

  function sendBody(from: Node, to: Node, hash: Hex): void {
    network.send(from, to, () => void to.bodies.add(hash))
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
      if (error instanceof Killed || error instanceof DiskFull) bury(node, error.name)
      else if (error instanceof Halted || !node.isCorrect) node.engine = undefined
      else {
        judge.violate(`0: node ${node.name} failed: ${error instanceof Error ? error.message : error}`)
        node.engine = undefined
      }
    }
  }

  function bury(node: Node, how: string): void {
    crashes++
    node.engine = undefined
    node.life++
    node.dieIn = 0
    node.passed = 0
    const { disk } = node
    const unsynced = disk.wal.length - disk.syncedBytes
    // A process that ends by itself leaves to the kernel what it wrote; a machine that stops may lose it, or a part of it.
    const kept =
      how === 'DiskFull'
        ? unsynced
        : death === undefined
          ? scenario.isTorn
            ? Math.floor(random() * (unsynced + 1))
            : 0
          : keepsOf(death, unsynced)
    crashDisk(disk, kept)
    observer?.onEvent(nowMs, node.name, `dies (${how}), with ${unsynced} bytes of its log not synced, of which ${kept} are kept`)
    if (node.losesLog) {
      loseLog(node, random)
      observer?.onEvent(nowMs, node.name, 'finds its log lost')
    }
    if (node.isCorrect) judge.neverSaid(node.who, node.unsent.filter(notIn(node, scenario)))
    node.unsent = []
    schedule.add(nowMs + random() * (node.isFull ? 1_000 : 400), () => boot(node))
    node.isFull = false
    if (death?.everyone && death.who === node.who)
      for (const other of nodes) if (other !== node && other.engine !== undefined) bury(other, how)
  }

  function boot(node: Node): void {
    const { durable } = node.isCorrect ? machinery : { durable: 'wal and guard' as const }
    if (durable !== 'wal and guard') node.disk.wal = new Uint8Array()
    const context = { publicKey: publicKeyAt(node.who), timing, aggregate: isSigned ? aggregateSignatures : fakeAggregate }
    const parts = node.isCorrect ? machinery : { ...machinery, durable, law: node.liar === 'amnesiac' ? AMNESIAC_LAW : machinery.law }
    const law = watch(parts.law, node)
    const seenAt = (height: number) => scenario.seenSet(setAt(height))
    observer?.onEvent(nowMs, node.name, node.life === 0 ? 'starts' : 'starts again')
    node.engine = createEngine({ context, setAt: seenAt, chainId: CHAIN_ID, machinery: { ...parts, law } }, portsOf(node), node.disk)
    alive(node, (engine) => {
      judge.recovers(node)
      engine.recover()
      judge.recovered(node, engine.state())
      if (engine.state().step === 'idle' || engine.state().step === 'decided') startSoon(node)
    })
  }

  function startSoon(node: Node): void {
    const { life } = node
    const dueMs = Math.min(calmAtMs, node.disk.decided.length * scenario.paceMs)
    schedule.add(Math.max(nowMs, dueMs) + random() * 10, () => {
      if (node.life === life && node.disk.decided.length < heights) alive(node, (engine) => engine.startNext())
    })
  }

  /** The same law, seen by judge and observer. */
  function watch(law: Law, node: Node): Law {
    const { life } = node
    return {
      ...law,
      rules: law.rules.map((rule) => ({
        ...rule,
        apply(s, of) {
          const { height, round } = s
          const acted = rule.apply(s, of)
          if (acted) {
            judge.judgeRule(node, life, rule.name, { height, round })
            fired.push(rule.name)
          }
          return acted
        },
      })),
    }
  }

  // ---- what a node reaches the world through ----

  function portsOf(node: Node): EnginePorts {
    const { life } = node
    const isSlow = () => !isCalm() && scenario.slow.has(node.who)
    const later = (ms: number, act: (engine: Engine) => void) =>
      schedule.add(nowMs + ms, () => {
        if (node.life === life) alive(node, act)
      })
    const localMs = () =>
      Math.max(0, Math.floor(nowMs + EPOCH_MS + (isCalm() ? Math.max(-20, Math.min(20, node.clockSkewMs)) : node.clockSkewMs)))
    return {
      boundary: (what) => atBoundary(node, what),
      now: localMs,
      sign(message, digest, done) {
        if (node.signer !== undefined) {
          const verdict = checkSignFor(node.signer.guard, message, { chainId: CHAIN_ID, epoch: setAt(message.height).epoch })
          if (!verdict.ok) return
          node.signer.guard = verdict.guard
        }
        const signature = isSigned ? sign(secretKey(node.who), digest) : FAKE_SIGNATURE
        const signed = () => {
          judge.said(node, message)
          if (node.signer === undefined) node.unsent.push(message)
          done(signature)
        }
        if (scenario.signMaxMs === 0 || isCalm()) signed()
        else later(random() * scenario.signMaxMs, signed)
      },
      verify: (message, state) => scenario.accepts(judge.isGood(message), message, state),
      broadcast(message) {
        node.unsent = node.unsent.filter((one) => !isSameMessage(one, message))
        for (const to of nodes) if (to !== node) say(node, to, message)
      },
      startTimer(timer, height, round, ms) {
        later(ms * (isCalm() ? Math.max(0.8, Math.min(1.2, node.timerSpeed)) : node.timerSpeed), (engine) => {
          // Who has no vote, or is refused signatures, has nothing to say again, so nobody would answer it: it asks for what it lacks.
          const peer = pick(random, nodes)
          const isMute = engine.state().self === undefined || node.signer !== undefined
          if (timer === 'rebroadcast' && isMute && peer !== undefined) sendPast(peer, node, height)
          engine.input({ kind: 'timeout', timer, height, round })
        })
      },
      buildBlock(height, round) {
        later(1 + random() * (isSlow() ? 150 : 10), (engine) => {
          const hash = blocks.make(node, height, localMs(), node.liar === undefined || random() < 0.7)
          engine.input({ kind: 'blockBuilt', height, round, blockHash: hash, timestampMs: blocks.byHash.get(hash)?.timestampMs ?? 0 })
        })
      },
      checkBlock: (height, blockHash, urgent) => checkBlock({ node, life, height, blockHash }, urgent ? 0 : 60, isSlow() ? 100 : 1),
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
      onStep(input, before, after, effects) {
        const rules = fired
        fired = []
        judge.judgeStep(node, { input, before, after, effects, early: node.engine?.early() ?? NOTHING_EARLY })
        observer?.onStep({ atMs: nowMs, node: node.name, input, rules, effects, state: after })
      },
    }
  }

  function atBoundary(node: Node, what: string): void {
    if (death?.who === node.who) {
      if (node.life === 0) boundaries.push(what)
      if (++node.passed === death.boundaries[node.life]) throw new Killed()
    }
    if (node.dieIn === 0) return
    if (node.isFull) {
      // A full disk shows where something is written: what there is room for is written, and the rest is not.
      if (what !== 'append' && what !== 'guard') return
      if (what === 'append') node.disk.wal = Uint8Array.of(...node.disk.wal, ...new Uint8Array(Math.floor(random() * 9)))
      throw new DiskFull('no space left on the disk')
    }
    if (--node.dieIn === 0) throw new Killed()
  }

  type Check = { readonly node: Node; readonly life: number; readonly height: number; readonly blockHash: Hex }

  /** The verdict comes when the bytes are there: they are asked of somebody at random again and again. */
  function checkBlock(check: Check, waitMs: number, costMs: number): void {
    const { node, life, height, blockHash } = check
    const block = blocks.byHash.get(blockHash)
    schedule.add(nowMs + costMs + random() * 5, () => {
      if (node.life !== life || node.disk.decided.length >= height) return
      if (block !== undefined && node.bodies.has(blockHash)) {
        const valid = blocks.isValid(node, height, block)
        alive(node, (engine) => engine.input({ kind: 'blockChecked', height, blockHash, valid, timestampMs: block.timestampMs }))
        return
      }
      const peer = pick(random, nodes)
      if (peer !== undefined && peer !== node && peer.bodies.has(blockHash) && waitMs === 0) sendBody(peer, node, blockHash)
      schedule.add(nowMs + Math.max(20, waitMs), () => {
        if (node.life === life) checkBlock(check, 0, 1)
      })
    })
  }

  // ---- what validators say ----

  function say(node: Node, to: Node, message: Message): void {
    const { liar, engine } = node
    if (liar === undefined || liar === 'twins' || engine === undefined) {
      if (message.kind === 'proposal' && message.validRound === -1) sendBody(node, to, message.blockHash)
      sendMessage(node, to, message)
      return
    }
    const lie = {
      ...{ liar, random, state: engine.state(), memory: node.memory, to: to.index, count: nodes.length },
      blocksAt: blocks.at,
      newBlock: (height: number) => blocks.make(node, height, Math.floor(nowMs) + EPOCH_MS, random() < 0.7),
    }
    const { signed, forged } = tell(lie, message)
    for (const one of signed) {
      const own = isStatement(one) ? signAgain(node, one) : one
      if (own.kind === 'proposal' && random() < 0.9) sendBody(node, to, own.blockHash)
      sendMessage(node, to, own)
    }
    for (const one of forged) sendMessage(node, to, one)
  }

  /** A liar signs what it says with its own key. */
  function signAgain<T extends Message & Statement>(node: Node, message: T): T {
    judge.said(node, message)
    if (!isSigned) return message
    const digest = statementDigest({ chainId: CHAIN_ID, epoch: setAt(message.height).epoch }, message)
    return { ...message, signature: sign(secretKey(node.who), digest) }
  }

  // ---- the run ----

  /** Partitions that come and go, and deaths, until the network is calm. */
  function plotChaos(): void {
    const kinds = scenario.partitions
    for (let atMs = 100; kinds.length > 0 && atMs < calmAtMs; atMs += 200 + random() * 600) {
      const side = new Set(nodes.filter(() => random() < 0.5))
      const kind = pick(random, kinds)
      schedule.add(atMs, () => {
        network.part(side, kind === 'oneWay')
        observer?.onEvent(
          nowMs,
          '',
          `${[...side].map(({ name }) => name).join(' ')} ${kind === 'oneWay' ? 'are not heard by' : 'and'} the others are parted`,
        )
      })
      schedule.add(atMs + random() * 500, () => network.heal())
    }
    for (let i = 0; i < scenario.crashes + scenario.disksFull; i++) {
      const isFull = i >= scenario.crashes
      const victim = (i === 0 && correct.find(({ losesLog }) => losesLog)) || pick(random, correct)
      schedule.add(random() * Math.min(calmAtMs, heights * Math.max(250, scenario.paceMs)), () => {
        if (victim?.engine === undefined) return
        victim.isFull = isFull
        victim.dieIn = 1 + Math.floor(random() * 16)
      })
    }
    schedule.add(calmAtMs, () => {
      observer?.onEvent(nowMs, '', 'the network is calm')
      for (const node of nodes) node.dieIn = 0
      for (const { engine } of correct) if (engine !== undefined) judge.calm(engine.state())
    })
  }

  function runToEnd(): void {
    while (!judge.isOver() && !correct.every((node) => node.disk.decided.length >= heights)) {
      const next = schedule.next()
      if (next === undefined || judge.steps() > STEPS_MAX || next.atMs > calmAtMs + CALM_LIMIT_MS) {
        if (!scenario.beyond) judge.violate('10: a correct node did not decide though the network was calm')
        return
      }
      nowMs = next.atMs
      next.act()
    }
  }

  for (const node of nodes) schedule.add(random() * 20, () => boot(node))
  plotChaos()
  runToEnd()
  return judge.outcome(crashes, boundaries)
}

const publicKeys: Hex[] = []

function publicKeyAt(who: number): Hex {
  const known = publicKeys[who] ?? validator(who, 1n).publicKey
  publicKeys[who] = known
  return known
}

const NOTHING_EARLY = { height: 0, byPeer: new Map() }

/** The processes of the validators: two of twins, none of who is silent. */
function createNodes({ validatorCount, liars, loser, copied, skewMaxMs, speedSpread }: Scenario, random: Random): Node[] {
  const names: [number, string][] = Array.from({ length: validatorCount }, (_, who): [number, string][] => {
    const liar = liars.get(who)
    if (liar === 'silent') return []
    const isTwice = liar === 'twins' || copied === who
    return isTwice ? [`${who}a`, `${who}b`].map((name) => [who, name]) : [[who, `${who}`]]
  }).flat()
  const signer = { guard: undefined }
  return names.map(([who, name], index) => ({
    name,
    index,
    who,
    isCorrect: !liars.has(who),
    liar: liars.get(who),
    signer: copied === who ? signer : undefined,
    disk: emptyDisk(),
    bodies: new Set<Hex>(),
    memory: new Map(),
    engine: undefined,
    life: 0,
    dieIn: 0,
    isFull: false,
    losesLog: loser === who,
    clockSkewMs: Math.floor((random() - 0.5) * 2 * skewMaxMs),
    timerSpeed: 1 - speedSpread + random() * 2 * speedSpread,
    passed: 0,
    unsent: [],
    root: 0,
  }))
}

/** How much of what was not synced the one death asked for leaves. */
function keepsOf(death: NonNullable<Scenario['death']>, unsynced: number): number {
  return death.keeps === 'all' ? unsynced : death.keeps === 'half' ? unsynced >> 1 : 0
}

/** The log is gone, or damaged before its end. What had left the process is known to the guard alone. */
function loseLog(node: Node, random: Random): void {
  node.losesLog = false
  const { disk } = node
  if (random() < 0.5) disk.wal = new Uint8Array()
  else disk.wal = disk.wal.map((byte, i) => (i === disk.wal.length >> 1 ? byte ^ 0x10 : byte))
  disk.syncedBytes = disk.wal.length
}

/** The message as its bytes say it. */
function overTheWire(message: Message): Message {
  const decoded = decodeMessage(encodeMessage(message))
  assert(decoded.ok, 'lies, too, are well formed')
  return decoded.value
}

/** Tells what of a node's own its log has kept from what it has not. */
function notIn({ who, disk }: Node, scenario: Scenario): (statement: Statement) => boolean {
  const log = decodeWal(disk.wal)
  if (!log.ok) return () => true
  const messages = log.inputs.flatMap((input) => (input.kind === 'message' ? [input.message] : []))
  const own = messages.filter((one) => !('validator' in one) || epochAt(scenario, one.height).members[one.validator] === who)
  return (statement) => !own.some((message) => isSameMessage(statement, message))
}

function isSameMessage(a: Statement, b: Message): boolean {
  if (!isStatement(b)) return false
  return a.kind === b.kind && a.height === b.height && a.round === b.round && a.blockHash === b.blockHash && a.validRound === b.validRound
}
