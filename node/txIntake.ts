/**
 * Transactions on their way into the pool: read, their signatures recovered, offered. What comes in one turn of the event loop goes on together, in
 * its order. One that carries signatures of others (the clients' in a credit) costs a recovery for each: they are looked at only when its sender, whose
 * signature is the first, is somebody from whom the pool would take it. It comes into the pool after what did not have to wait for that.
 * The pool may be on another thread than this: then `IntakePool` is a message there and one back.
 */
import type { Common } from '@ethereumjs/common'
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import type { PoolTx } from '../execution/mempool.ts'
import { invalid, type Rejection } from '../execution/native/nativeType.ts'
import type { RecoverAll, Signatory, SignedDigest } from '../execution/recover.ts'
import { type ReadTx, readTx, type Tx } from '../execution/tx.ts'

/** Signatures that are being recovered at a time: a second of two threads' work. Blocks wait for the same processors. */
const RECOVERING_MAX = 32_768

/** A transaction whose sender's signature is his. `mayWait`: it carries others' that nobody has looked at. */
export type Offer = { readonly tx: PoolTx; readonly publicKey?: Uint8Array | undefined; readonly mayWait: boolean }

/** What the pool says to an offer: what it refused, and of what may wait whether it would take it. */
export type Verdict = { readonly ok: true } | Rejection

/** An offer of what had to wait, and whether the signatures of others in it hold. */
export type Concluded = { readonly offer: Offer; readonly isWell: boolean }

/** Where transactions go. Answers come in the order of the questions; a pool on another thread promises them (`V`). */
export type IntakePool<V = readonly Verdict[]> = {
  /** Whether it is there already, as far as that can be said at once. */
  has(hash: Hex): boolean
  /** Takes transactions in, but says of those that may wait only whether they would be. */
  offer(offers: readonly Offer[]): V
  /** Takes in those that were to wait and are well; of those that are not it hears no more. */
  conclude(concluded: readonly Concluded[]): V
}

export type TxIntake = {
  /** Takes a transaction into the pool, or says why not. */
  submit(raw: Uint8Array): Promise<{ readonly ok: true; readonly tx: PoolTx } | Rejection>
}

type Answer = { readonly ok: true; readonly tx: PoolTx } | Rejection
type Waiting = {
  readonly read: ReadTx
  readonly own: SignedDigest
  readonly others: readonly SignedDigest[]
  resolve(answer: Answer): void
  reject(error: unknown): void
}
type Sent = { readonly waiting: Waiting; readonly sender: Signatory; readonly offer: Offer }

/** An intake in front of a pool. */
export function createTxIntake({
  common,
  recover,
  pool,
}: {
  readonly common: Common
  readonly recover: RecoverAll
  readonly pool: IntakePool<readonly Verdict[] | Promise<readonly Verdict[]>>
}): TxIntake {
  let gathered: Waiting[] = []
  let recovering = 0

  /** Counts signatures in, or says that there are too many. */
  function begin(signatures: number): Rejection | undefined {
    if (recovering + signatures > RECOVERING_MAX) return invalid('poolFull', { signatures: recovering })
    recovering += signatures
    return undefined
  }

  async function recoverCounted(signed: readonly SignedDigest[]): Promise<readonly (Signatory | undefined)[]> {
    try {
      return await recover(signed)
    } finally {
      recovering -= signed.length
    }
  }

  async function take(taken: readonly Waiting[]): Promise<void> {
    const senders = await recoverCounted(taken.map(({ own }) => own))
    const sent: Sent[] = []
    for (const [i, waiting] of taken.entries()) {
      const made = toSent(waiting, senders[i])
      if (made.ok) sent.push(made.sent)
      else waiting.resolve(made)
    }
    if (sent.length === 0) return
    const verdicts = await pool.offer(sent.map(({ offer }) => offer))
    const patient: Sent[] = []
    for (const [i, one] of sent.entries()) {
      const verdict = verdictAt(verdicts, i)
      if (verdict.ok && one.offer.mayWait) patient.push(one)
      else one.waiting.resolve(verdict.ok ? { ok: true, tx: one.offer.tx } : verdict)
    }
    if (patient.length > 0) await takePatient(patient)
  }

  /** Of those that would be taken: the signatures of others. */
  async function takePatient(sent: readonly Sent[]): Promise<void> {
    const results = await Promise.all(
      sent.map(async ({ waiting: { read, others }, sender }): Promise<Answer> => {
        const full = begin(others.length)
        return full ?? conclude(read, [sender, ...(await recoverCounted(others))])
      }),
    )
    const verdicts = await pool.conclude(sent.map(({ offer }, i) => ({ offer, isWell: results[i]?.ok === true })))
    for (const [i, { waiting, offer }] of sent.entries()) {
      const result = results[i]
      const verdict = result?.ok === false ? result : verdictAt(verdicts, i)
      waiting.resolve(verdict.ok ? { ok: true, tx: offer.tx } : verdict)
    }
  }

  function flush(): void {
    const taken = gathered
    gathered = []
    take(taken).catch((error: unknown) => {
      for (const { reject } of taken) reject(error)
    })
  }

  return {
    submit(raw) {
      const read = readTx(raw, common)
      if (!read.ok) return Promise.resolve(read)
      if (pool.has(read.hash)) return Promise.resolve(invalid('alreadyKnown', { hash: read.hash }))
      const [own, ...others] = read.signed()
      if (!own) return Promise.resolve(conclude(read, []))
      const full = begin(1)
      if (full) return Promise.resolve(full)
      return new Promise((resolve, reject) => {
        gathered.push({ read, own, others, resolve, reject })
        if (gathered.length === 1) queueMicrotask(flush)
      })
    },
  }
}

/** A transaction as its sender's, if there is one. */
function toSent(waiting: Waiting, sender: Signatory | undefined): { readonly ok: true; readonly sent: Sent } | Rejection {
  if (!sender) return invalid('badSignature')
  const { read, others } = waiting
  const mayWait = others.length > 0
  const result: Answer = mayWait ? onlyPoolTx(read.sentBy(sender.address)) : conclude(read, [sender])
  return result.ok ? { ok: true, sent: { waiting, sender, offer: { tx: result.tx, publicKey: sender.publicKey, mayWait } } } : result
}

function conclude(read: ReadTx, found: readonly (Signatory | undefined)[]): Answer {
  const decoded = read.conclude(found)
  return decoded.ok ? onlyPoolTx(decoded.tx) : decoded
}

/** Deposits come from L1 alone. */
function onlyPoolTx(tx: Tx): Answer {
  return tx.kind === 'deposit' ? invalid('depositNotAccepted') : { ok: true, tx }
}

function verdictAt(verdicts: readonly Verdict[], i: number): Verdict {
  const verdict = verdicts[i]
  assert(verdict, 'the pool says nothing of an offer')
  return verdict
}
