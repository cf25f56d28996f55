/**
 * Transactions on their way into the pool: read, their signatures recovered, offered. What comes in one turn of the event loop goes on together, in
 * its order, with the signatures of others that a credit carries: each takes some 300 bytes of it, more than a transfer, so that a byte of a hostile
 * credit costs no more than one of any other transaction.
 * The pool may be on another thread than this: then `IntakePool` is a message there and one back.
 */
import type { Common } from '@ethereumjs/common'
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import type { PoolTx } from '../execution/mempool.ts'
import { invalid, type Rejection } from '../execution/native/nativeType.ts'
import type { RecoverAll, Signatory, SignedDigest } from '../execution/recover.ts'
import { type ReadTx, readTx } from '../execution/tx.ts'

/** Signatures that are being recovered at a time: a second of two threads' work. Blocks wait for the same processors. */
const RECOVERING_MAX = 32_768

/** A transaction whose signatures hold, and its sender's public key where he signed it himself. */
export type Offer = { readonly tx: PoolTx; readonly publicKey?: Uint8Array | undefined }

/** What the pool says to an offer. */
export type Verdict = { readonly ok: true } | Rejection

/** Where transactions go. Answers come in the order of the questions; a pool on another thread promises them (`V`). */
export type IntakePool<V = readonly Verdict[]> = {
  /** Whether it is there already, as far as that can be said at once. */
  has(hash: Hex): boolean
  offer(offers: readonly Offer[]): V
}

export type TxIntake = {
  /** Takes a transaction into the pool, or says why not. */
  submit(raw: Uint8Array): Promise<{ readonly ok: true; readonly tx: PoolTx } | Rejection>
}

type Answer = { readonly ok: true; readonly tx: PoolTx } | Rejection
type Waiting = {
  readonly read: ReadTx
  readonly signed: readonly SignedDigest[]
  resolve(answer: Answer): void
  reject(error: unknown): void
}

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

  async function take(taken: readonly Waiting[]): Promise<void> {
    const found = await recoverAll(taken.flatMap(({ signed }) => signed))
    const sent: { readonly waiting: Waiting; readonly offer: Offer }[] = []
    let at = 0
    for (const waiting of taken) {
      const own = found.slice(at, at + waiting.signed.length)
      at += own.length
      const result = conclude(waiting.read, own)
      if (result.ok) sent.push({ waiting, offer: { tx: result.tx, publicKey: own[0]?.publicKey } })
      else waiting.resolve(result)
    }
    if (sent.length === 0) return
    const verdicts = await pool.offer(sent.map(({ offer }) => offer))
    for (const [i, { waiting, offer }] of sent.entries()) {
      const verdict = verdicts[i]
      assert(verdict, 'the pool says nothing of an offer')
      waiting.resolve(verdict.ok ? { ok: true, tx: offer.tx } : verdict)
    }
  }

  async function recoverAll(signed: readonly SignedDigest[]): Promise<readonly (Signatory | undefined)[]> {
    try {
      return await recover(signed)
    } finally {
      recovering -= signed.length
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
      const signed = read.signed()
      if (signed.length === 0) return Promise.resolve(conclude(read, []))
      if (recovering + signed.length > RECOVERING_MAX) return Promise.resolve(invalid('poolFull', { signatures: recovering }))
      recovering += signed.length
      return new Promise((resolve, reject) => {
        gathered.push({ read, signed, resolve, reject })
        if (gathered.length === 1) queueMicrotask(flush)
      })
    },
  }
}

/** Deposits come from L1 alone, and reports of evidence from who proposes a block. */
function conclude(read: ReadTx, found: readonly (Signatory | undefined)[]): Answer {
  const decoded = read.conclude(found)
  if (!decoded.ok) return decoded
  if (decoded.tx.kind === 'report') return invalid('reportNotAccepted')
  return decoded.tx.kind === 'deposit' ? invalid('depositNotAccepted') : { ok: true, tx: decoded.tx }
}
