/**
 * Challenges checkpoints: each whose window is open is judged by what L1 holds of its batches, and one that is wrong is made to fall by the cheapest proof
 * that L1 takes. What is wrong is for settlement/judge.ts to say. Spec: docs/spec/fraud.md#the-challenger
 */
import type { Hex } from 'viem'
import { AssertionError } from '../execution/assert.ts'
import type { LedgerSource } from '../execution/ledger/rootReader.ts'
import type { Genesis } from '../genesis/genesis.ts'
import type { BatchParent } from '../settlement/batch.ts'
import { checkpointHash } from '../settlement/checkpoint.ts'
import type { DerivationHead } from '../settlement/derive.ts'
import { type Finding, type Judgement, type JudgePorts, judgeCheckpoint, type Misjudged, type PathStart } from '../settlement/judge.ts'
import type { Kzg } from '../settlement/kzg.ts'
import type { BatchData, L1 } from '../settlement/l1.ts'
import { L1Error } from '../settlement/l1Error.ts'
import { type L1Batch, type L1Checkpoint, type L1Deposit, type L1Ref, type L1Submitted, standingCheckpoints } from '../settlement/l1Logs.ts'
import { encodeNoteL1Blocks, l1BlocksToNote, rememberedFrom } from '../settlement/notes.ts'
import { type Encoded, encodeProof, type Judged, type ProofPorts } from '../settlement/proof.ts'
import { encodeSlashSigners } from '../settlement/registry.ts'
import type { GasQuestion, TxManager, TxOutcome } from '../settlement/txManager.ts'
import { brotli } from './brotli.ts'
import { errorFacts, type Facts, type Log } from './log.ts'

/** How many elements of a blob are shown each by itself at most: as many as cost least, and so many that the call data are few. */
const POINTS_MAX = [undefined, 240] as const
/** Call data that pools take. Source: geth, `txMaxSize` 128 KiB, less what is around them. */
const DATA_BYTES_MAX = 130_000
/** Notes that one try at a checkpoint makes at most: a way of more than a million batches. */
const NOTES_MAX = 4_096
/** Batches whose bytes are held. */
const DATA_KEPT = 8
/** A set has no more validators, all of whom fit into one transaction. */
const SIGNERS_MAX = 128
/** Between two tries at one checkpoint: the first pause, doubled up to the last. */
const PAUSE_MIN_MS = 2_000
const PAUSE_MAX_MS = 60_000

/** What was derived from L1, as far as it goes. */
export type Derived = {
  /** Behind which batch it stands: that one and those before it were taken. */
  head(): DerivationHead
  /** Ledger root after a block of it, and what knows the ledgers after all of them. */
  ledgerRoot(block: bigint): Hex
  readonly source: LedgerSource
  /** What the block after one of its blocks is told apart from. */
  parent(block: bigint): BatchParent
}

/** What became of a checkpoint that is wrong. */
export type ChallengeOutcome =
  /** By a transaction of this account; `proof` is undefined where a run before this one sent it. */
  | { readonly kind: 'fell'; readonly id: bigint; readonly lastBlock: bigint; readonly proof: string | undefined; readonly tx: Hex }
  /** None of the proofs was taken: L1's reason for each. It is tried again. */
  | { readonly kind: 'stands'; readonly id: bigint; readonly lastBlock: bigint; readonly refusals: readonly ProofRefusal[] }
  /** It rests on verdicts of disputes that their evidence does not bear, and on nothing else that is wrong: L1 cannot be shown that. */
  | { readonly kind: 'misjudged'; readonly id: bigint; readonly lastBlock: bigint; readonly disputes: readonly Misjudged[] }

/** A proof that L1 did not take, and why. */
export type ProofRefusal = { readonly proof: string; readonly code: string; readonly reason: string }

export type ChallengerOptions = {
  readonly l1: Pick<
    L1,
    | 'events'
    | 'deposits'
    | 'blockByTag'
    | 'canonicalBlock'
    | 'batchData'
    | 'headers'
    | 'blockByNumber'
    | 'checkpoints'
    | 'standingHash'
    | 'matureCount'
    | 'openConvictions'
    | 'notes'
    | 'transactions'
  >
  readonly genesis: Pick<Genesis, 'params' | 'l1'>
  /** keccak256 of the genesis file. */
  readonly accumulator: Hex
  readonly derived: () => Derived
  readonly kzg: Pick<Kzg, 'commit' | 'prove'>
  /** Blocks whose hashes L1 remembers by itself. */
  readonly l1Remembers: bigint
  /** The account that challenges. */
  readonly account: Hex
  readonly sender: Pick<TxManager, 'send' | 'resume'>
  readonly log: Log
  report(outcome: ChallengeOutcome): void
  nowMs(): number
}

export type ChallengerStatus = {
  /** Checkpoints whose window is open. */
  readonly open: number
  /** Those that are wrong, and stand. */
  readonly wrong: number
  /** Wrong ones that this process made fall, and that matured because nobody did. */
  readonly fell: number
  readonly matured: number
  /** Those that rest on a wrong verdict, which L1 cannot be shown. */
  readonly misjudged: number
  /** Proofs that were sent, and those that L1 did not take or would not have taken. */
  readonly sent: number
  readonly refused: number
  /** When the last look that came to its end did so; undefined: none did. */
  readonly lookedAtMs: number | undefined
}

export type Challenger = {
  /** Reads what L1 holds up to this block. Throws L1Error: kind `reset` where what was read before is gone, after which everything is read anew. */
  read(to: L1Ref): Promise<void>
  /** Batches on L1 as far as it was read, in order. */
  batches(): readonly L1Batch[]
  /** Judges what is open, and challenges the first that is wrong. Throws L1Error. */
  challenge(): Promise<void>
  status(): ChallengerStatus
}

/** Reads and sends nothing until it is called. What was judged is judged again after a restart; what is on its way to L1 is the sender's to keep. */
export function createChallenger(options: ChallengerOptions): Challenger {
  const { l1, genesis, log } = options
  let seen = noneSeen()
  /** Checkpoints that are right, whose way is not known, and what is wrong with others, by their hashes. */
  const [right, unknown] = [new Set<Hex>(), new Set<Hex>()]
  const wrong = new Map<Hex, Wrong>()
  /** Somebody signed a checkpoint that fell, perhaps, and has not paid. */
  let mayOwe = true
  const counts = { open: 0, fell: 0, matured: 0, misjudged: 0, sent: 0, refused: 0, lookedAtMs: undefined as number | undefined }
  /** What the transaction shows that is on its way; undefined: nothing, or a run before this one sent it. */
  let onWay: string | undefined
  /** A transaction of before that is on L1, until it is known what it made fall. */
  let included: Included | undefined
  const { judgePorts, proofPorts } = createPorts(options, () => seen)

  /** The batches from the first that was not taken to the checkpoint's own; undefined: the way is not known. */
  function pathOf({ checkpoint }: L1Submitted): { readonly path: readonly L1Batch[]; readonly start: PathStart } | undefined {
    const derived = options.derived()
    const taken = takenBy(seen, derived.head().accumulator)
    const path: L1Batch[] = []
    let accumulator = checkpoint.batchAccumulator
    while (!taken.has(accumulator) && accumulator !== options.accumulator) {
      const batch = seen.batchAt.get(accumulator)
      if (!batch) return undefined // ends: each is before the last one
      path.push(batch)
      accumulator = batch.header.prevAccumulator
    }
    const before = seen.batchAt.get(accumulator)
    const last = before?.header.lastBlock ?? 0n
    const place = { nextIndex: before ? before.index + 1n : 0n, root: derived.ledgerRoot(last), parent: derived.parent(last) }
    const start = { ...place, source: derived.source, params: genesis.params }
    return { path: path.reverse(), start }
  }

  /** What is wrong with a checkpoint, judged once; again where its proofs were refused, since what they depend on may have been queued meanwhile. */
  async function judge(submitted: L1Submitted, hash: Hex): Promise<Wrong | undefined> {
    const known = wrong.get(hash)
    if (known?.tries === 0) {
      // L1 may have taken batches back, and have them elsewhere now.
      known.path = known.path.map((batch) => seen.batchAt.get(batch.accumulator) ?? batch)
      return known
    }
    const { id, checkpoint } = submitted
    const facts: Facts = { id, lastBlock: checkpoint.lastBlock, batch: checkpoint.batchIndex }
    const way = pathOf(submitted)
    if (!way) {
      if (!unknown.has(hash)) log.error('a checkpoint cannot be judged: its batches are not known here', facts)
      unknown.add(hash)
      return undefined
    }
    const judgement = await judgeCheckpoint(checkpoint, way.path, way.start, judgePorts)
    if (judgement.unread !== undefined)
      log.error('a batch of a checkpoint cannot be judged, and derivation did not take it', { ...facts, unread: judgement.unread })
    if (judgement.findings.length === 0) {
      // What cannot be judged now never can.
      wrong.delete(hash)
      right.add(hash)
      if (judgement.misjudged.length > 0) tellMisjudged(submitted, judgement.misjudged)
      return undefined
    }
    if (!known) log.warn('a checkpoint is wrong', { ...facts, ...factsOf(judgement) })
    const found = { tries: 0, dueMs: 0, isMature: false, isGone: false, ...known, path: way.path, findings: judgement.findings }
    wrong.set(hash, found)
    return found
  }

  function tellMisjudged({ id, checkpoint: { lastBlock } }: L1Submitted, disputes: readonly Misjudged[]): void {
    counts.misjudged++
    options.report({ kind: 'misjudged', id, lastBlock, disputes })
    log.error('a checkpoint rests on a wrong verdict of a dispute, which L1 cannot be shown', { id, lastBlock, disputes })
  }

  /** Whether L1 has it: what was read may lag behind the head, and others challenge, too. */
  async function stands({ id, checkpoint }: L1Submitted): Promise<boolean> {
    return (await l1.standingHash(id)) === checkpointHash(checkpoint)
  }

  /** These stand no more at L1's head, though what was read says so. Should L1 take that back, they are challenged again. */
  function passOver(gone: readonly L1Submitted[]): void {
    counts.open -= gone.length
    for (const { id, checkpoint } of gone) {
      const found = wrong.get(checkpointHash(checkpoint))
      if (!found || found.isGone) continue
      found.isGone = true
      log.info('a wrong checkpoint stands no more', { id, lastBlock: checkpoint.lastBlock })
    }
  }

  /**
   * Tries the proofs of a checkpoint, the cheapest first; if none is taken, notes what others need. `sent`: it fell, or a transaction is on the way. `gone`:
   * it stands no more, by another's.
   */
  async function prove(submitted: L1Submitted, found: Wrong): Promise<'sent' | 'refused' | 'gone'> {
    const { id, checkpoint } = submitted
    found.isGone = false
    const judged = { id, checkpoint, path: found.path }
    const refusals: ProofRefusal[] = []
    for (let notes = 0; notes < NOTES_MAX; notes++) {
      const priced = await priceWays(judged, found.findings, { ...options, proofPorts })
      refusals.splice(0, refusals.length, ...priced.refusals)
      if (await sendFirst(submitted, priced.ways, refusals)) return 'sent'
      const [note] = priced.notes
      const noted = note && (await sendNote(submitted, note))
      if (noted?.ok === false && noted.code === 'pending') return 'sent'
      if (note && noted?.ok === false) refusals.push({ proof: note.proof, code: noted.code, reason: reasonOf(noted) })
      if (!noted?.ok || !(await stands(submitted))) break
    }
    if (!(await stands(submitted))) return 'gone'
    counts.refused += refusals.length
    found.tries++
    found.dueMs = options.nowMs() + Math.min(PAUSE_MIN_MS * 2 ** (found.tries - 1), PAUSE_MAX_MS)
    options.report({ kind: 'stands', id, lastBlock: checkpoint.lastBlock, refusals })
    log.error('a wrong checkpoint stands: L1 takes none of its proofs', { id, refusals })
    return 'refused'
  }

  /** Has L1 note a part of a proof that is too long. */
  async function sendNote({ id }: L1Submitted, { proof, calldata }: Omit<Way, 'gas'>): Promise<TxOutcome> {
    log.info('a part of a long proof is noted', { id, proof, bytes: (calldata.length - 2) / 2 })
    const { address } = await proofPorts.notes()
    return options.sender.send({ to: address, data: calldata })
  }

  /** Sends one proof after another. True: one was taken, or is on the way. */
  async function sendFirst(submitted: L1Submitted, ways: readonly Way[], refusals: ProofRefusal[]): Promise<boolean> {
    const { id } = submitted
    for (const { proof, calldata, gas } of ways) {
      log.info('a checkpoint is challenged', { id, proof, gas, bytes: (calldata.length - 2) / 2 })
      onWay = proof
      const outcome = await options.sender.send({ to: genesis.l1.fraudVerifier, data: calldata })
      if ('hash' in outcome || 'hashes' in outcome) counts.sent++
      if (!outcome.ok && outcome.code === 'pending') return true
      onWay = undefined
      if (outcome.ok) {
        tellFell(submitted, { proof, tx: outcome.hash })
        return true
      }
      refusals.push({ proof, code: outcome.code, reason: reasonOf(outcome) })
      log.warn('a proof is not taken', { id, proof, ...outcome })
    }
    return false
  }

  function tellFell({ id, checkpoint }: L1Submitted, { proof, tx }: { readonly proof: string | undefined; readonly tx: Hex }): void {
    const found = wrong.get(checkpointHash(checkpoint))
    if (found) found.isGone = true
    counts.fell++
    mayOwe = true
    options.report({ kind: 'fell', id, lastBlock: checkpoint.lastBlock, proof, tx })
    log.warn('a wrong checkpoint fell', { id, lastBlock: checkpoint.lastBlock, proof, tx })
  }

  /** Takes up what an earlier look or run sent. False: it is still on its way. */
  async function takeUp(): Promise<boolean> {
    await tellIncluded()
    const left = await options.sender.resume()
    if (left) log.info('a transaction of before', { ...left })
    if (left && !left.ok && left.code === 'pending') return false
    if (left?.ok) included = { hash: left.hash, l1Block: left.l1Block, proof: onWay }
    onWay = undefined
    await tellIncluded()
    return true
  }

  /** Tells what fell by a transaction of before, once L1 says it. It may be none that makes anything fall. */
  async function tellIncluded(): Promise<void> {
    if (!included) return
    const { hash: tx, l1Block, proof } = included
    const isRead = seen.to !== undefined && seen.to.number >= l1Block.number
    const events = isRead ? seen.events : await l1.checkpoints(l1Block.number, l1Block).catch(asGone)
    const fall = events?.find((event) => event.kind === 'fallen' && event.txHash === tx)
    const fallen =
      fall &&
      seen.events.findLast(({ kind, id, l1Block: at }) => kind === 'submitted' && id === fall.id && at.number <= fall.l1Block.number)
    if (fallen?.kind === 'submitted') tellFell(fallen, { proof, tx })
    // What is not there once its block was read is none, or L1 took it back: what stands again is challenged again.
    if (fallen || isRead) included = undefined
  }

  /** Has L1 note blocks that it is about to forget and that rows may name yet. */
  async function noteL1Blocks(): Promise<void> {
    const derived = options.derived()
    const { originNumber: origin } = derived.parent(derived.head().lastBlock)
    const place = { origin, head: seen.to?.number ?? 0n, remembers: options.l1Remembers }
    if (l1BlocksToNote(place, []).length === 0) return
    const notes = await proofPorts.notes()
    const numbers = l1BlocksToNote(place, notes.l1Blocks)
    if (numbers.length === 0) return
    const outcome = await options.sender.send({ to: notes.address, data: encodeNoteL1Blocks(numbers) })
    const facts = { first: numbers[0], last: numbers.at(-1), ...outcome }
    if (outcome.ok) log.info('blocks of L1 are noted, for the rollup is far behind', facts)
    else log.warn('blocks of L1 are not noted yet', facts)
  }

  /** Takes the stakes of those who signed what fell. */
  async function slash(): Promise<void> {
    if (!mayOwe) return
    const [id] = await l1.openConvictions(options.account)
    mayOwe = id !== undefined
    if (id === undefined) return
    const outcome = await options.sender.send({ to: genesis.l1.validatorRegistry, data: encodeSlashSigners(id, SIGNERS_MAX) })
    if (outcome.ok) log.warn('those who signed a wrong checkpoint lose their stakes', { id, tx: outcome.hash })
    else log.warn('those who signed a wrong checkpoint have not lost their stakes yet', { id, ...outcome })
  }

  async function tellMature(mature: bigint): Promise<void> {
    for (const submitted of seen.standing) {
      const { id, checkpoint } = submitted
      const found = id < mature ? wrong.get(checkpointHash(checkpoint)) : undefined
      if (!found || found.isMature) continue
      if (!(await stands(submitted))) {
        passOver([submitted])
        continue
      }
      found.isMature = true
      counts.matured++
      log.error('a wrong checkpoint is mature: it can not fall any more', { id, lastBlock: checkpoint.lastBlock })
    }
  }

  /** Judges what is open, and challenges the first that is wrong and due. True: a proof was sent. */
  async function challengeFirst(open: readonly L1Submitted[]): Promise<boolean> {
    for (const [place, submitted] of open.entries()) {
      const hash = checkpointHash(submitted.checkpoint)
      const isDue = (wrong.get(hash)?.dueMs ?? 0) <= options.nowMs()
      if (right.has(hash) || !isDue) continue
      const found = (await stands(submitted)) ? await judge(submitted, hash) : 'gone'
      if (found === undefined) continue
      const became = found === 'gone' ? found : await prove(submitted, found)
      if (became === 'sent') return true
      if (became === 'refused') continue
      // The later ones went with it.
      passOver(open.slice(place))
      return false
    }
    return false
  }

  async function judgeOpen(): Promise<void> {
    const mature = await l1.matureCount()
    await tellMature(mature)
    const open = seen.standing.filter(({ id }) => id >= mature)
    counts.open = open.length
    forget(wrong, seen.standing)
    if (!(await challengeFirst(open))) {
      await slash()
      await noteL1Blocks()
    }
    for (const hash of [...right].slice(0, Math.max(0, right.size - RIGHT_KEPT))) right.delete(hash)
  }

  return {
    batches: () => seen.batches,
    status: () => ({ ...counts, wrong: [...wrong.values()].filter(({ isMature, isGone }) => !isMature && !isGone).length }),
    async read(to) {
      try {
        if (seen.to) await l1.canonicalBlock(seen.to)
        const from = seen.to ? seen.to.number + 1n : genesis.l1.origin.number
        add(seen, await l1.events(from, to), to)
      } catch (error) {
        // Whatever it was: what is half read is read anew.
        seen = noneSeen()
        throw error
      }
    },
    async challenge() {
      if (await takeUp()) await judgeOpen()
      counts.lookedAtMs = options.nowMs()
    },
  }
}

/** Checkpoints that are remembered to be right: more than can be open. */
const RIGHT_KEPT = 4_096

/** A checkpoint that is wrong: its path, what is wrong, how often it was tried, and when it may be tried again. */
type Wrong = {
  path: readonly L1Batch[]
  readonly findings: readonly Finding[]
  tries: number
  dueMs: number
  isMature: boolean
  /** It stands no more at L1's head, though what was read says so. */
  isGone: boolean
}

/** A transaction that is on L1, and what it shows, if this process sent it. */
type Included = { readonly hash: Hex; readonly l1Block: L1Ref; readonly proof: string | undefined }

/** L1 has another block there. */
function asGone(error: unknown): undefined {
  if (!(error instanceof L1Error) || error.kind !== 'reset') throw error
}

/** Those that stand no more are of no interest, unless they matured. */
function forget(wrong: Map<Hex, Wrong>, standing: readonly L1Submitted[]): void {
  const hashes = new Set(standing.map(({ checkpoint }) => checkpointHash(checkpoint)))
  for (const [hash] of wrong) if (!hashes.has(hash)) wrong.delete(hash)
}

// ---- what was read

type Seen = {
  to: L1Ref | undefined
  readonly batches: L1Batch[]
  readonly batchAt: Map<Hex, L1Batch>
  readonly deposits: L1Deposit[]
  /** Everything that happened to checkpoints, and those that stand after it. */
  events: L1Checkpoint[]
  standing: readonly L1Submitted[]
  /** Accumulators of batches that were taken, back from this one. */
  taken: Set<Hex>
  takenFrom: Hex | undefined
}

function noneSeen(): Seen {
  const taken = new Set<Hex>()
  return { to: undefined, batches: [], batchAt: new Map(), deposits: [], events: [], standing: [], taken, takenFrom: undefined }
}

function add(seen: Seen, found: Awaited<ReturnType<L1['events']>>, to: L1Ref): void {
  for (const batch of found.batches) {
    seen.batches.push(batch)
    seen.batchAt.set(batch.accumulator, batch)
  }
  seen.deposits.push(...found.deposits)
  seen.events.push(...found.checkpoints)
  if (found.checkpoints.length > 0) seen.standing = standingCheckpoints(seen.events)
  seen.to = to
}

/** The batches that a derivation which stands behind this one has taken. */
function takenBy(seen: Seen, head: Hex): ReadonlySet<Hex> {
  if (seen.takenFrom === head) return seen.taken
  const added: Hex[] = []
  let accumulator = head
  // Ends: each is before the last one.
  while (!seen.taken.has(accumulator)) {
    const batch = seen.batchAt.get(accumulator)
    if (!batch) break
    added.push(accumulator)
    accumulator = batch.header.prevAccumulator
  }
  for (const one of added) seen.taken.add(one)
  seen.takenFrom = head
  return seen.taken
}

/** The bytes of the batches that were asked for last. */
function createDataCache(l1: Pick<L1, 'batchData'>): (batch: L1Batch) => Promise<BatchData> {
  const kept = new Map<Hex, BatchData>()
  return async (batch) => {
    const found = kept.get(batch.accumulator) ?? (await l1.batchData(batch))
    kept.delete(batch.accumulator)
    kept.set(batch.accumulator, found)
    for (const accumulator of [...kept.keys()].slice(0, Math.max(0, kept.size - DATA_KEPT))) kept.delete(accumulator)
    return found
  }
}

// ---- proofs

type Way = { readonly proof: string; readonly calldata: Hex; readonly gas: bigint }
type Pricing = Pick<ChallengerOptions, 'l1' | 'genesis' | 'account' | 'log'> & { readonly proofPorts: ProofPorts }

/** All deposits at L1's head: the portal has those of its newest blocks too, and shows each by a tree of many. */
async function queuedDeposits(l1: ChallengerOptions['l1'], { to: read, deposits }: Seen): Promise<readonly L1Deposit[]> {
  return read ? [...deposits, ...(await l1.deposits(read.number + 1n, await l1.blockByTag('latest')))] : deposits
}

/** What judging and proving ask for, of L1 and of what was read of it by now. */
function createPorts(
  { kzg, l1, genesis, l1Remembers }: ChallengerOptions,
  seen: () => Seen,
): { readonly judgePorts: JudgePorts; readonly proofPorts: ProofPorts } {
  const data = createDataCache(l1)
  const judgePorts: JudgePorts = {
    data,
    l1Block: (number) => l1.blockByNumber(number),
    deposit: async (index) => seen().deposits[Number(index)] ?? (await queuedDeposits(l1, seen()))[Number(index)],
    decompress: brotli.decompress,
    pause: () => new Promise((resolve) => setImmediate(resolve)),
  }
  const proofPorts: ProofPorts = {
    kzg,
    data,
    batch: (accumulator) => seen().batchAt.get(accumulator),
    async l1Headers(number, last) {
      const from = await l1.blockByNumber(number)
      if (!from) throw new L1Error(`L1 has no block ${number}`, { kind: 'retry' })
      return l1.headers(from, last)
    },
    l1Remembered: async () => rememberedFrom((await l1.blockByTag('latest')).number, l1Remembers),
    notes: () => l1.notes(genesis.l1.origin.number),
    deposits: () => queuedDeposits(l1, seen()),
  }
  return { judgePorts, proofPorts }
}

/** Every proof of the findings that L1 would take now, the cheapest first, what has to be noted for others, and why it would not take the rest. */
async function priceWays(
  judged: Judged,
  findings: readonly Finding[],
  { l1, genesis, account, log, proofPorts }: Pricing,
): Promise<{ readonly ways: readonly Way[]; readonly notes: readonly Omit<Way, 'gas'>[]; readonly refusals: readonly ProofRefusal[] }> {
  const ways: Way[] = []
  const notes: Omit<Way, 'gas'>[] = []
  const refusals: ProofRefusal[] = []
  for (const finding of findings) {
    const proof = nameOf(finding)
    let before: Hex | undefined
    for (const pointsMax of POINTS_MAX) {
      const encoded = await encodeOrTell(judged, finding, { proofPorts, pointsMax, log })
      if (encoded?.kind === 'note') notes.push({ proof, calldata: encoded.calldata })
      if (encoded?.kind !== 'proof' || encoded.calldata === before) break
      const { calldata } = encoded
      before = calldata
      const question: GasQuestion = { from: account, to: genesis.l1.fraudVerifier, data: calldata, versionedHashes: [] }
      const estimate = await l1.transactions.estimateGas(question)
      if (estimate.ok) ways.push({ proof, calldata, gas: estimate.gas })
      else refusals.push({ proof, code: 'wouldRevert', reason: estimate.reason })
      // Proofs of many elements take their time: they are made only where the first way is none that pools take.
      if (estimate.ok && !isLong(calldata)) break
    }
  }
  // What pools do not take comes last: a builder may.
  const byCost = (a: Way, b: Way) => Number(isLong(a.calldata)) - Number(isLong(b.calldata)) || (a.gas < b.gas ? -1 : 1)
  return { ways: ways.toSorted(byCost), notes, refusals }
}

function isLong(calldata: Hex): boolean {
  return (calldata.length - 2) / 2 > DATA_BYTES_MAX
}

async function encodeOrTell(
  judged: Judged,
  finding: Finding,
  { proofPorts, pointsMax, log }: { readonly proofPorts: ProofPorts; readonly pointsMax: number | undefined; readonly log: Log },
): Promise<Encoded | undefined> {
  try {
    return await encodeProof(judged, finding, proofPorts, { pointsMax })
  } catch (error) {
    // The bytes are strangers': one proof that cannot be made must not be the end of the others.
    if (!(error instanceof AssertionError)) throw error
    log.error('a proof cannot be made', { id: judged.id, proof: nameOf(finding), ...errorFacts(error) })
    return undefined
  }
}

/** What a proof shows, for people: `group 3 wrongRoot`. */
function nameOf(finding: Finding): string {
  if (finding.kind !== 'batch') return finding.kind
  const { fault } = finding
  if (fault.kind === 'group') return `group ${fault.group} ${fault.code}`
  if (fault.kind === 'rows') return `rows ${fault.group}`
  if (fault.kind === 'padding') return `padding ${fault.place}`
  return fault.kind === 'element' ? `element ${fault.element}` : fault.kind
}

function factsOf({ findings }: Judgement): Facts {
  return { wrong: findings.map(nameOf).join(', ') }
}

function reasonOf(outcome: Exclude<TxOutcome, { ok: true }>): string {
  if ('reason' in outcome) return outcome.reason
  return outcome.code === 'feeTooHigh' ? `${outcome.feeWei} wei of at most ${outcome.limitWei}` : outcome.code
}
