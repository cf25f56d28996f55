/**
 * Gets transactions of one account into L1, one at a time.
 *
 * A transaction is stored before it is sent, so that a restart finds it again, and while it is pending no other is made: the next one takes
 * the nonce after the last mined transaction. So there is no gap, and of all versions of a transaction L1 takes one. A pool keeps blob
 * transactions apart from others and refuses an account that mixes them, therefore a manager sends one kind, from an account of its own.
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import type { Sidecar } from './kzg.ts'
import type { L1Ref } from './l1Logs.ts'
import { type L1Fees, type L1Signer, parseTx, signTx } from './l1Tx.ts'

/** What a node says of a transaction that it was sent. `underpriced`: one of the same nonce pays about as much, or the pool wants more. */
export type SendVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: 'nonceTooLow' | 'underpriced' | 'rejected'; readonly reason: string }

/** A call, as far as its gas depends on it. */
export type GasQuestion = { readonly from: Hex; readonly to: Hex; readonly data: Hex; readonly versionedHashes: readonly Hex[] }

/** L1, as far as sending needs it. All methods throw `L1Error`. */
export type L1TxPort = {
  /** Mined transactions of the account: its next nonce. */
  nonce(address: Hex): Promise<bigint>
  /** Base fees of the next block and a usual tip, in wei per gas. */
  fees(): Promise<{ readonly baseFeeWei: bigint; readonly tipWei: bigint; readonly blobBaseFeeWei: bigint }>
  estimateGas(question: GasQuestion): Promise<{ readonly ok: true; readonly gas: bigint } | { readonly ok: false; readonly reason: string }>
  send(raw: Hex): Promise<SendVerdict>
  /** Where the transaction was mined, or undefined. `confirmations` counts its own block. */
  inclusion(hash: Hex): Promise<{ readonly l1Block: L1Ref; readonly succeeded: boolean; readonly confirmations: bigint } | undefined>
}

/** A transaction that may be in the pool: its latest version, and the hashes of all that were sent with its nonce. */
export type PendingTx = { readonly nonce: bigint; readonly raw: Hex; readonly hashes: readonly Hex[] }

/** One place for one account's pending transaction. `save` and `clear` return when it is on disk. */
export type PendingTxStore = {
  load(): Promise<PendingTx | undefined>
  save(pending: PendingTx): Promise<void>
  clear(): Promise<void>
}

export type TxClock = { nowMs(): number; sleep(ms: number): Promise<void> }

export type TxManagerOptions = {
  readonly kind: 'ordinary' | 'blob'
  readonly chainId: number
  readonly signer: L1Signer
  /** Most that is ever paid, in wei per gas and per blob gas. */
  readonly maxFeeLimitWei: bigint
  readonly maxBlobFeeLimitWei: bigint
  /** Blocks, the transaction's own included, after which it counts as included. */
  readonly confirmations: bigint
  readonly pollMs: number
  /** A transaction that is not mined for so long is sent again, for more. */
  readonly resubmitMs: number
  /** Longest that one call waits. */
  readonly waitMs: number
}

/** `sidecar` for managers of blob transactions, and only for them. */
export type TxRequest = { readonly to: Hex; readonly data: Hex; readonly sidecar?: Sidecar }

/**
 * `pending`: not mined within `waitMs`, or another one is; `resume` goes on. `replaced`: something that is not ours used the nonce. `gap`: L1 gave up
 * one before it, so that its nonce is not due; it is forgotten, and what asks anew gets the nonce that is. `reverted`: mined, and failed. `wouldRevert`,
 * `feeTooHigh`, `rejected`: nothing was sent, or no pool has it.
 */
export type TxOutcome =
  | { readonly ok: true; readonly hash: Hex; readonly l1Block: L1Ref }
  | { readonly ok: false; readonly code: 'reverted'; readonly hash: Hex; readonly l1Block: L1Ref }
  | { readonly ok: false; readonly code: 'pending' | 'replaced' | 'gap'; readonly nonce: bigint; readonly hashes: readonly Hex[] }
  | { readonly ok: false; readonly code: 'wouldRevert' | 'rejected'; readonly reason: string }
  | { readonly ok: false; readonly code: 'feeTooHigh'; readonly feeWei: bigint; readonly limitWei: bigint }

/** Both throw `L1Error`; what was stored by then stays stored, and `resume` takes it up. One call at a time. */
export type TxManager = {
  /** Sends a transaction and waits for it. */
  send(request: TxRequest): Promise<TxOutcome>
  /** Takes up what is pending, of a run before this one too, and waits for it; undefined if nothing is. Call it before sending. */
  resume(): Promise<TxOutcome | undefined>
}

export type TxManagerPorts = { readonly l1: L1TxPort; readonly store: PendingTxStore; readonly clock: TxClock }

// Of one transaction. EIP-7825.
const GAS_MAX = 16_777_216n

// Polls in a row that find the nonce used and none of our versions mined, before we believe it: nodes behind one URL differ for a while.
const LOST_POLLS = 3

/** What is known of the latest version from one call to the next: since when it is on its way, and since when its nonce has not been due. */
type Watch = { hash: Hex | undefined; sentMs: number; gapSinceMs: number | undefined }
type Held = TxManagerPorts & { readonly watch: Watch }

/** Reads and sends nothing until it is called. */
export function createTxManager(ports: TxManagerPorts, options: TxManagerOptions): TxManager {
  let busy = false
  const held: Held = { ...ports, watch: { hash: undefined, sentMs: 0, gapSinceMs: undefined } }
  const alone = async <T>(work: () => Promise<T>): Promise<T> => {
    assert(!busy, 'a transaction manager does one thing at a time')
    busy = true
    try {
      return await work()
    } finally {
      busy = false
    }
  }
  return {
    send: (request) => alone(() => sendFirst(held, options, request)),
    resume: () => alone(() => takeUp(held, options)),
  }
}

async function sendFirst(ports: Held, options: TxManagerOptions, request: TxRequest): Promise<TxOutcome> {
  const { l1, store } = ports
  const { chainId, signer } = options
  const { to, data, sidecar } = request
  assert((sidecar !== undefined) === (options.kind === 'blob'), 'a transaction of the other kind')
  const stored = await store.load()
  if (stored) return { ok: false, code: 'pending', nonce: stored.nonce, hashes: stored.hashes }

  const fees = await marketFees(l1, options)
  const excess = feeExcess(fees, options)
  if (excess) return { ok: false, code: 'feeTooHigh', ...excess }
  const estimate = await l1.estimateGas({ from: signer.address, to, data, versionedHashes: sidecar?.versionedHashes ?? [] })
  if (!estimate.ok) return { ok: false, code: 'wouldRevert', reason: estimate.reason }
  // The state that the call meets may cost more than the one it was estimated on.
  const withReserve = (estimate.gas * 5n) / 4n
  const gas = withReserve < GAS_MAX ? withReserve : GAS_MAX

  const nonce = await l1.nonce(signer.address)
  const { raw, hash } = await signTx(signer, { chainId, nonce, to, data, gas, fees, sidecar })
  const pending = { nonce, raw, hashes: [hash] }
  await store.save(pending)
  return (await refused(ports, pending)) ?? (await follow(ports, options, pending))
}

async function takeUp(ports: Held, options: TxManagerOptions): Promise<TxOutcome | undefined> {
  const pending = await ports.store.load()
  if (!pending) return undefined
  const isMined = (await findInclusion(ports.l1, pending)) !== undefined
  return (isMined ? undefined : await refused(ports, pending)) ?? (await follow(ports, options, pending))
}

// A refused transaction is forgotten: the next one gets the same nonce, so that a version that some pool has after all competes with it
// and does not come on top of it.
async function refused({ l1, store }: TxManagerPorts, pending: PendingTx): Promise<TxOutcome | undefined> {
  const verdict = await l1.send(pending.raw)
  if (verdict.ok || verdict.code !== 'rejected') return undefined
  await store.clear()
  return { ok: false, code: 'rejected', reason: verdict.reason }
}

async function follow(ports: Held, options: TxManagerOptions, first: PendingTx): Promise<TxOutcome> {
  const { l1, store, clock, watch } = ports
  const startMs = clock.nowMs()
  let pending = first
  let lostPolls = 0
  if (watch.hash !== first.hashes.at(-1)) Object.assign(watch, { hash: first.hashes.at(-1), sentMs: startMs, gapSinceMs: undefined })
  // Ends when `waitMs` has passed.
  for (;;) {
    const mined = await findInclusion(l1, pending)
    if (mined && mined.confirmations >= options.confirmations) {
      await store.clear()
      const { hash, l1Block } = mined
      return mined.succeeded ? { ok: true, hash, l1Block } : { ok: false, code: 'reverted', hash, l1Block }
    }
    const due = mined ? undefined : await l1.nonce(options.signer.address)
    lostPolls = due !== undefined && due > pending.nonce ? lostPolls + 1 : 0
    const nowMs = clock.nowMs()
    watch.gapSinceMs = due !== undefined && due < pending.nonce ? (watch.gapSinceMs ?? nowMs) : undefined
    const isGap = watch.gapSinceMs !== undefined && nowMs - watch.gapSinceMs >= options.resubmitMs
    if (isGap || lostPolls === LOST_POLLS) {
      await store.clear()
      return { ok: false, code: isGap ? 'gap' : 'replaced', nonce: pending.nonce, hashes: pending.hashes }
    }
    if (nowMs - startMs >= options.waitMs) return { ok: false, code: 'pending', nonce: pending.nonce, hashes: pending.hashes }
    if (!mined && lostPolls === 0 && nowMs - watch.sentMs >= options.resubmitMs) {
      pending = await resubmit(ports, options, pending)
      Object.assign(watch, { hash: pending.hashes.at(-1), sentMs: nowMs })
    }
    await clock.sleep(options.pollMs)
  }
}

// The latest version is the likeliest.
async function findInclusion(l1: L1TxPort, { hashes }: PendingTx) {
  for (const hash of [...hashes].reverse()) {
    const inclusion = await l1.inclusion(hash)
    if (inclusion) return { hash, ...inclusion }
  }
  return undefined
}

// Sends a version that pays more, or the same one again if that would be beyond the limits: the pool may have dropped it. What the node
// says of it is not decisive, because the versions before it count too.
async function resubmit({ l1, store }: TxManagerPorts, options: TxManagerOptions, pending: PendingTx): Promise<PendingTx> {
  const tx = parseTx(pending.raw)
  const fees = bumpFees(tx.fees, await marketFees(l1, options))
  if (feeExcess(fees, options)) {
    await l1.send(pending.raw)
    return pending
  }
  const { raw, hash } = await signTx(options.signer, { ...tx, fees })
  const next = { nonce: pending.nonce, raw, hashes: [...pending.hashes, hash] }
  await store.save(next)
  await l1.send(raw)
  return next
}

// Room for the base fees to double, up to the limits.
async function marketFees(l1: L1TxPort, { kind, maxFeeLimitWei, maxBlobFeeLimitWei }: TxManagerOptions): Promise<L1Fees> {
  const { baseFeeWei, tipWei, blobBaseFeeWei } = await l1.fees()
  return {
    maxFeeWei: capped({ wanted: 2n * baseFeeWei + tipWei, needed: baseFeeWei + tipWei, limit: maxFeeLimitWei }),
    tipWei,
    maxBlobFeeWei: kind === 'blob' ? capped({ wanted: 2n * blobBaseFeeWei, needed: blobBaseFeeWei, limit: maxBlobFeeLimitWei }) : 0n,
  }
}

// Above the limit only if even what is needed now is.
function capped({ wanted, needed, limit }: { wanted: bigint; needed: bigint; limit: bigint }): bigint {
  if (wanted <= limit) return wanted
  return needed > limit ? needed : limit
}

/**
 * Fees of the next version of a transaction: the market's, and at least what a pool takes in place of `fees`.
 * Source: geth, legacypool `PriceBump` 10 % (an eighth is more) and blobpool `PriceBump` 100 %, each on all fees of a transaction.
 */
export function bumpFees(fees: L1Fees, market: L1Fees): L1Fees {
  const bump = (wei: bigint) => (fees.maxBlobFeeWei > 0n ? 2n * wei : (wei * 9n + 7n) / 8n)
  return {
    maxFeeWei: larger(bump(fees.maxFeeWei), market.maxFeeWei),
    tipWei: larger(bump(fees.tipWei), market.tipWei),
    maxBlobFeeWei: larger(bump(fees.maxBlobFeeWei), market.maxBlobFeeWei),
  }
}

function feeExcess(fees: L1Fees, options: TxManagerOptions): { feeWei: bigint; limitWei: bigint } | undefined {
  if (fees.maxFeeWei > options.maxFeeLimitWei) return { feeWei: fees.maxFeeWei, limitWei: options.maxFeeLimitWei }
  if (fees.maxBlobFeeWei > options.maxBlobFeeLimitWei) return { feeWei: fees.maxBlobFeeWei, limitWei: options.maxBlobFeeLimitWei }
  return undefined
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
