/**
 * Makes a block: deposits that the L1 origin demands, reports of evidence, then what the pool offers, in its order, by applying each. The result is a
 * block that `applyBlock` accepts, because both run the same `startBlock`.
 */
import type { Hex } from 'viem'
import { type BlockResult, type Executor, startBlock } from './applyBlock.ts'
import { assert } from './assert.ts'
import { encodeTimestamp, type Header, nextBaseFeeWei, timestampMs } from './block.ts'
import { type Deposit, encodeDeposit, l1InfoDeposit } from './deposit.ts'
import { paramsAt } from './ledger/governed.ts'
import type { L1Info } from './ledger/tables.ts'
import type { Rejection } from './native/nativeType.ts'
import { decodeTx, type ReportTx, type Tx } from './tx.ts'

/** A new L1 origin with the deposits that come with it, in log order. */
export type OriginStep = { readonly info: L1Info; readonly deposits: readonly Deposit[] }

export type BuildRequest = {
  readonly parent: Header
  readonly timestampMs: number
  readonly feeRecipient: Hex
  /** Undefined: the parent's origin stays. */
  readonly origin: OriginStep | undefined
  /** Tried before anything else that is offered. */
  readonly reports?: readonly ReportTx[]
  /** Offers transactions in the order in which they shall be tried. */
  readonly offer: Iterable<Tx>
  /** Transactions tried at most, so that a pool of rejects cannot hold a block up. */
  readonly triesMax: number
  /** Asked before each offered transaction: false ends the block there. Whoever builds against a clock has one, and may do something else meanwhile. */
  mayGoOn?(): boolean | Promise<boolean>
}

/** The block has no room left for the transaction; another one may have. */
const FULL: ReadonlySet<string> = new Set(['blockGasExceeded', 'blockBytesExceeded', 'tooManyReports'])

/**
 * When a block is as good as full: so little of its bytes is left, and so many transactions did not fit into that. What is left of a large pool would be
 * gone through for nothing. Gas does not count: what a transaction takes of it is known only once it ran.
 */
const CROWDED = { part: 64, refusalsMax: 64 } as const

/** The block, and the transactions that were offered but can be in no block now, with why. */
export type Built = BlockResult & { readonly rejected: readonly { readonly hash: Hex; readonly rejection: Rejection }[] }

/** Builds a block on the state of its parent; afterwards the state stands behind the new block. Its time is raised where the rules demand it. */
export async function buildBlock(executor: Executor, request: BuildRequest): Promise<Built> {
  const { parent, origin, offer, triesMax, feeRecipient } = request
  const { vm, state } = executor
  const params = paramsAt(executor.params, state.ledger, parent.number + 1n)
  const time = encodeTimestamp(Math.max(request.timestampMs, timestampMs(parent) + 1, origin ? Number(origin.info.timestampSec) * 1000 : 0))
  const given = {
    ...time,
    number: parent.number + 1n,
    miner: feeRecipient,
    gasLimit: params.blockGasLimit,
    baseFeePerGas: nextBaseFeeWei(parent, params),
    mixHash: origin?.info.prevRandao ?? parent.mixHash,
    parentBeaconBlockRoot: origin?.info.hash ?? parent.parentBeaconBlockRoot,
  }
  const run = startBlock(executor, given)
  for (const deposit of origin ? [l1InfoDeposit(origin.info), ...origin.deposits] : []) {
    const decoded = decodeTx(encodeDeposit(deposit), vm.common)
    assert(decoded.ok, 'a deposit that we encoded does not decode')
    const outcome = await run.apply(decoded.tx)
    assert(outcome.ok, 'a deposit was refused')
  }
  const rejected: { hash: Hex; rejection: Rejection }[] = []
  for (const report of request.reports ?? []) {
    const outcome = await run.apply(report)
    if (!outcome.ok && !FULL.has(outcome.code)) rejected.push({ hash: report.hash, rejection: outcome })
  }
  let tries = 0
  let crowdedOut = 0
  for (const tx of offer) {
    const goesOn = request.mayGoOn?.()
    if (tries++ >= triesMax || (goesOn instanceof Promise ? await goesOn : goesOn) === false) break
    const applied = run.apply(tx)
    const outcome = applied instanceof Promise ? await applied : applied
    if (outcome.ok) continue
    if (!FULL.has(outcome.code)) rejected.push({ hash: tx.hash, rejection: outcome })
    const isCrowded = outcome.code === 'blockBytesExceeded' && params.blockBytesMax - run.bytesUsed() < params.blockBytesMax / CROWDED.part
    if (isCrowded && ++crowdedOut === CROWDED.refusalsMax) break
  }
  return { ...run.finish(parent, given), rejected }
}
