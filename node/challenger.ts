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
import { type Finding, type Judgement, type JudgePorts, judgeCheckpoint, type PathStart } from '../settlement/judge.ts'
import type { Kzg } from '../settlement/kzg.ts'
import type { BatchData, L1 } from '../settlement/l1.ts'
import { type L1Batch, type L1Checkpoint, type L1Deposit, type L1Ref, type L1Submitted, standingCheckpoints } from '../settlement/l1Logs.ts'
import { encodeProof, type Judged, type ProofPorts } from '../settlement/proof.ts'
import { encodeSlashSigners } from '../settlement/registry.ts'
import type { GasQuestion, TxManager, TxOutcome } from '../settlement/txManager.ts'
import { brotli } from './brotli.ts'
import { errorFacts, type Facts, type Log } from './log.ts'

/** How many elements of a blob are shown each by itself at most: as many as cost least, and so many that the call data are few. */
const POINTS_MAX = [undefined, 240] as const
/** Call data that pools take. Source: geth, `txMaxSize` 128 KiB, less what is around them. */
const DATA_BYTES_MAX = 130_000
/** Batches between a checkpoint and what was taken: more are not judged. */
const PATH_MAX = 8_192
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
  | { readonly kind: 'fell'; readonly id: bigint; readonly lastBlock: bigint; readonly proof: string; readonly tx: Hex }
  /** None of the proofs was taken: L1's reason for each. It is tried again. */
  | { readonly kind: 'stands'; readonly id: bigint; readonly lastBlock: bigint; readonly refusals: readonly ProofRefusal[] }

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
    | 'matureCount'
    | 'openConvictions'
    | 'transactions'
  >
  readonly genesis: Pick<Genesis, 'params' | 'l1'>
  /** keccak256 of the genesis file. */
  readonly accumulator: Hex
  readonly derived: () => Derived
  readonly kzg: Pick<Kzg, 'commit' | 'prove'>
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
  /** Of them those that are wrong. */
  readonly wrong: number
  /** Wrong ones that this process made fall, and that matured because nobody did. */
  readonly fell: number
  readonly matured: number
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
  /** Checkpoints that are right, and what is wrong with others, by their hashes. */
  const right = new Set<Hex>()
  const wrong = new Map<Hex, Wrong>()
  const unknown = new Set<Hex>()
  /** Somebody signed a checkpoint that fell, perhaps, and has not paid. */
  let mayOwe = true
  const data = createDataCache(l1)
  const counts = { open: 0, fell: 0, matured: 0 }

  const judgePorts: JudgePorts = {
    data,
    l1Block: (number) => l1.blockByNumber(number),
    deposit: async (index) => seen.deposits[Number(index)],
    decompress: brotli.decompress,
    pause: () => new Promise((resolve) => setImmediate(resolve)),
  }
  const proofPorts: ProofPorts = {
    kzg: options.kzg,
    data,
    batch: (accumulator) => seen.batchAt.get(accumulator),
    l1Headers: (from, last) => l1.headers(from, last),
    // The portal has those of its newest blocks too, and shows deposits by a tree of all.
    deposits: async () => {
      const read = seen.to
      return read ? [...seen.deposits, ...(await l1.deposits(read.number + 1n, await l1.blockByTag('latest')))] : seen.deposits
    },
  }

  /** The batches from the first that was not taken to the checkpoint's own; undefined: the way is not known, or too long. */
  function pathOf({ checkpoint }: L1Submitted): { readonly path: readonly L1Batch[]; readonly start: PathStart } | undefined {
    const derived = options.derived()
    const taken = takenBy(seen, derived.head().accumulator)
    const path: L1Batch[] = []
    let accumulator = checkpoint.batchAccumulator
    while (!taken.has(accumulator) && accumulator !== options.accumulator) {
      const batch = seen.batchAt.get(accumulator)
      if (!batch || path.length === PATH_MAX) return undefined
      path.push(batch)
      accumulator = batch.header.prevAccumulator
    }
    const before = seen.batchAt.get(accumulator)
    const last = before?.header.lastBlock ?? 0n
    const place = { nextIndex: before ? before.index + 1n : 0n, root: derived.ledgerRoot(last), parent: derived.parent(last) }
    const start = { ...place, source: derived.source, params: genesis.params }
    return { path: path.reverse(), start }
  }

  /** What is wrong with a checkpoint, judged once. */
  async function judge(submitted: L1Submitted, hash: Hex): Promise<Wrong | undefined> {
    const known = wrong.get(hash)
    if (known) return known
    const { id, checkpoint } = submitted
    const facts: Facts = { id, lastBlock: checkpoint.lastBlock, batch: checkpoint.batchIndex }
    const way = pathOf(submitted)
    if (!way) {
      if (!unknown.has(hash)) log.error('a checkpoint cannot be judged: its batches are not known here, or too many', facts)
      unknown.add(hash)
      return undefined
    }
    const judgement = await judgeCheckpoint(checkpoint, way.path, way.start, judgePorts)
    if (judgement.unread !== undefined)
      log.error('a batch of a checkpoint cannot be judged, and derivation did not take it', { ...facts, unread: judgement.unread })
    if (judgement.findings.length === 0) {
      // What cannot be judged now never can.
      right.add(hash)
      return undefined
    }
    log.warn('a checkpoint is wrong', { ...facts, ...factsOf(judgement) })
    const found = { path: way.path, findings: judgement.findings, tries: 0, dueMs: 0, isMature: false }
    wrong.set(hash, found)
    return found
  }

  /** Tries the proofs of a checkpoint, the cheapest first. True: it fell, or its transaction is on the way. */
  async function prove({ id, checkpoint }: L1Submitted, found: Wrong): Promise<boolean> {
    const judged = { id, checkpoint, path: found.path }
    const { ways, refusals } = await priceWays(judged, found.findings, { ...options, proofPorts })
    for (const { proof, calldata, gas } of ways) {
      log.info('a checkpoint is challenged', { id, proof, gas, bytes: (calldata.length - 2) / 2 })
      const outcome = await options.sender.send({ to: genesis.l1.fraudVerifier, data: calldata })
      if (outcome.ok) {
        counts.fell++
        mayOwe = true
        options.report({ kind: 'fell', id, lastBlock: checkpoint.lastBlock, proof, tx: outcome.hash })
        log.warn('a wrong checkpoint fell', { id, lastBlock: checkpoint.lastBlock, proof, tx: outcome.hash })
        return true
      }
      if (outcome.code === 'pending') return true
      refusals.push({ proof, code: outcome.code, reason: reasonOf(outcome) })
      log.warn('a proof is not taken', { id, proof, ...outcome })
    }
    found.tries++
    found.dueMs = options.nowMs() + Math.min(PAUSE_MIN_MS * 2 ** (found.tries - 1), PAUSE_MAX_MS)
    options.report({ kind: 'stands', id, lastBlock: checkpoint.lastBlock, refusals })
    log.error('a wrong checkpoint stands: L1 takes none of its proofs', { id, refusals })
    return false
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

  function tellMature(mature: bigint): void {
    for (const { id, checkpoint } of seen.standing) {
      const found = id < mature ? wrong.get(checkpointHash(checkpoint)) : undefined
      if (!found || found.isMature) continue
      found.isMature = true
      counts.matured++
      log.error('a wrong checkpoint is mature: it can not fall any more', { id, lastBlock: checkpoint.lastBlock })
    }
  }

  return {
    batches: () => seen.batches,
    status: () => ({ ...counts, wrong: [...wrong.values()].filter(({ isMature }) => !isMature).length }),
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
      const left = await options.sender.resume()
      if (left) log.info('a proof of before', { ...left })
      if (left && !left.ok && left.code === 'pending') return
      const mature = await l1.matureCount()
      tellMature(mature)
      const open = seen.standing.filter(({ id }) => id >= mature)
      counts.open = open.length
      forget(wrong, seen.standing)
      for (const submitted of open) {
        const hash = checkpointHash(submitted.checkpoint)
        const found = right.has(hash) ? undefined : await judge(submitted, hash)
        // The later ones fall with it.
        if (found && found.dueMs <= options.nowMs() && (await prove(submitted, found))) return
      }
      await slash()
      for (const hash of [...right].slice(0, Math.max(0, right.size - RIGHT_KEPT))) right.delete(hash)
    },
  }
}

/** Checkpoints that are remembered to be right: more than can be open. */
const RIGHT_KEPT = 4_096

/** A checkpoint that is wrong: its path, what is wrong, how often it was tried, and when it may be tried again. */
type Wrong = {
  readonly path: readonly L1Batch[]
  readonly findings: readonly Finding[]
  tries: number
  dueMs: number
  isMature: boolean
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

/** Every proof of the findings that L1 would take now, the cheapest first, and why it would not take the others. */
async function priceWays(
  judged: Judged,
  findings: readonly Finding[],
  { l1, genesis, account, log, proofPorts }: Pricing,
): Promise<{ readonly ways: readonly Way[]; readonly refusals: ProofRefusal[] }> {
  const ways: Way[] = []
  const refusals: ProofRefusal[] = []
  for (const finding of findings) {
    const proof = nameOf(finding)
    let before: Hex | undefined
    for (const pointsMax of POINTS_MAX) {
      const calldata = await encodeOrTell(judged, finding, { proofPorts, pointsMax, log })
      if (calldata === undefined || calldata === before) break
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
  return { ways: ways.toSorted(byCost), refusals }
}

function isLong(calldata: Hex): boolean {
  return (calldata.length - 2) / 2 > DATA_BYTES_MAX
}

async function encodeOrTell(
  judged: Judged,
  finding: Finding,
  { proofPorts, pointsMax, log }: { readonly proofPorts: ProofPorts; readonly pointsMax: number | undefined; readonly log: Log },
): Promise<Hex | undefined> {
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
