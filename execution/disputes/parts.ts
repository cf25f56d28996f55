/**
 * What a credit gave to whom, computed again from its record and its entries, so that it can be taken back or given anew: exactly what the credit's rule added
 * to the earnings of its epoch. Spec: docs/spec/transactions.md#0x56-attributioncredit
 */
import { BPS, ENTRY_WEI, TREASURY } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import { getEarned, setEarned } from '../ledger/earnings.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { datanets, getCounters, indexOf } from '../ledger/tables.ts'
import { splitFee } from '../native/attributionCredit.ts'
import { invalid, type Rejection } from '../native/nativeType.ts'
import type { EntryChange } from '../native/verdict.ts'
import type { Case } from './evidence.ts'

/** Wei by index of account. */
export type Parts = ReadonlyMap<number, bigint>

/** Everybody's part of the credit's fee if its entries are these. They sum to the fee. */
export function partsOf({ ledger, credit, model, worker }: Case, entriesGwei: ReadonlyMap<number, bigint>): Parts {
  const { protocolWei, workerWei, ownerWei, contributorsWei } = splitFee(credit.fee, model, credit)
  const parts = new Map<number, bigint>()
  const give = (account: number, amountWei: bigint) => {
    if (amountWei > 0n) parts.set(account, (parts.get(account) ?? 0n) + amountWei)
  }
  let poolWei = contributorsWei
  for (const [account, amountGwei] of entriesGwei) {
    give(account, amountGwei * ENTRY_WEI)
    poolWei -= amountGwei * ENTRY_WEI
  }
  assert(poolWei >= 0n, 'entries exceed the pool')
  if (protocolWei > 0n) give(indexOf(ledger, TREASURY), protocolWei)
  if (workerWei > 0n) give(indexOf(ledger, worker), workerWei)
  if (ownerWei > 0n) give(indexOf(ledger, model.owner), ownerWei)
  const shares = model.datanets.map(({ weightBps }) => (poolWei * BigInt(weightBps)) / BigInt(BPS))
  const leftWei = shares.reduce((rest, share) => rest - share, poolWei)
  for (const [i, { datanetId }] of model.datanets.entries()) {
    const owner = datanets.get(ledger, { datanetId })?.owner
    assert(owner, 'a model names a datanet that is not there')
    const shareWei = (shares[i] ?? 0n) + (i === 0 ? leftWei : 0n)
    if (shareWei > 0n) give(indexOf(ledger, owner), shareWei)
  }
  return parts
}

/**
 * The entries with the changes, in gwei: none below 0, none for an account that nobody has, their sum within the contributors’ part; what takes comes
 * before what gives.
 */
export function changedEntries({ ledger, credit, model, entriesGwei }: Case, changes: ReadonlyMap<number, bigint>): Map<number, bigint> {
  const entries = new Map(entriesGwei)
  const sorted = [...changes].sort(([a], [b]) => a - b)
  for (const [account, change] of sorted) {
    const known = entries.get(account) ?? 0n
    if (change < 0n) entries.set(account, known + change > 0n ? known + change : 0n)
  }
  let leftGwei = splitFee(credit.fee, model, credit).contributorsWei / ENTRY_WEI
  for (const amount of entries.values()) leftGwei -= amount
  const given = getCounters(ledger).accounts
  for (const [account, change] of sorted) {
    if (change <= 0n || account === 0 || account > given) continue
    const more = change < leftGwei ? change : leftGwei
    entries.set(account, (entries.get(account) ?? 0n) + more)
    leftGwei -= more
  }
  return entries
}

/**
 * The entries with what a row's verdict names in their places, which nobody judged. `badVerdict`: accounts that nobody has or that do not ascend, or more
 * than the contributors’ part. Source: contracts/fraud/steps/DisputeStep.sol, `addEntries`
 */
export function statedEntries(
  { ledger, credit, model, entriesGwei }: Case,
  changes: readonly EntryChange[],
): { readonly ok: true; readonly entries: ReadonlyMap<number, bigint> } | Rejection {
  const entries = new Map(entriesGwei)
  const given = getCounters(ledger).accounts
  let last = 0
  for (const { account, amountGwei } of changes) {
    if (account <= last || account > given) return invalid('badVerdict', { account })
    last = account
    entries.set(account, BigInt(amountGwei))
  }
  const sumWei = [...entries.values()].reduce((sum, amount) => sum + amount * ENTRY_WEI, 0n)
  if (sumWei > splitFee(credit.fee, model, credit).contributorsWei) return invalid('badVerdict', { sumWei })
  // L1 looks at what all of them earned, also those that get nothing and had nothing.
  for (const account of entries.keys()) getEarned(ledger, { account, epoch: credit.epoch })
  return { ok: true, entries }
}

/** Replaces parts of an epoch's earnings by others. False, and nothing is written, if an account has not all of its part any more. */
export function replaceEarnings(ledger: Ledger, epoch: number, { before, now }: { readonly before: Parts; readonly now: Parts }): boolean {
  const accounts = new Set([...before.keys(), ...now.keys()])
  const changed = [...accounts].map((account) => {
    return { account, left: getEarned(ledger, { account, epoch }) - (before.get(account) ?? 0n), more: now.get(account) ?? 0n }
  })
  if (changed.some(({ left }) => left < 0n)) return false
  for (const { account, left, more } of changed) setEarned(ledger, { account, epoch }, left + more)
  return true
}
