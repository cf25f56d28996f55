/**
 * What accounts earned in an epoch and did not claim: sixteen neighbours by index are one record, so that a credit of many entries touches few.
 * Record: amounts, a list of 16 uint96; absent if all of them are 0. Spec: docs/spec/ledger.md#earnings
 */
import { ENTRY_WEI } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import type { Ledger, LedgerReader, RecordForm } from './ledger.ts'
import { earnings } from './tables.ts'

/** Neighbours whose earnings of an epoch are one record. */
export const EARNERS_PER_RECORD = 16

/** An account by its index, in an epoch. */
export type Earner = { readonly account: number; readonly epoch: number }

type RecordId = { readonly epoch: number; readonly group: number }

/**
 * A record as rules hold it: wei, and units of `ENTRY_WEI` that came on top of them. Those are numbers, because a block of credits adds
 * tens of thousands of entries, and adding a bigint makes a new one every time.
 */
type Sums = { readonly wei: readonly bigint[]; readonly moreUnits: readonly number[] }

const NO_WEI: readonly bigint[] = Array.from({ length: EARNERS_PER_RECORD }, () => 0n)
const NO_UNITS: readonly number[] = Array.from({ length: EARNERS_PER_RECORD }, () => 0)
const NOTHING: Sums = { wei: NO_WEI, moreUnits: NO_UNITS }

const form: RecordForm<RecordId, Sums> = {
  number: earnings.number,
  name: createNames(),
  packId: earnings.encodeId,
  pack: (sums) => earnings.encode({ amounts: NO_WEI.map((_, place) => amountAt(sums, place)) }),
  unpack: (bytes) => ({ wei: earnings.decode(bytes).amounts, moreUnits: NO_UNITS }),
}

/** The record in which an account's earnings of an epoch stand, and their place among its amounts. */
export function earningsAt({ account, epoch }: Earner): { readonly id: RecordId; readonly place: number } {
  return { id: { epoch, group: Math.floor(account / EARNERS_PER_RECORD) }, place: account % EARNERS_PER_RECORD }
}

/** What an account has of an epoch's earnings, in wei. */
export function getEarned(ledger: LedgerReader, earner: Earner): bigint {
  const { id, place } = earningsAt(earner)
  if (ledger.getDecoded) return amountAt(ledger.getDecoded(form, id) ?? NOTHING, place)
  const bytes = ledger.get(earnings.number, earnings.encodeId(id))
  return bytes ? (earnings.decode(bytes).amounts[place] ?? 0n) : 0n
}

/** Says what an account has of an epoch's earnings, in wei. A record of nothing goes. */
export function setEarned(ledger: Ledger, earner: Earner, amountWei: bigint): void {
  const { id, place } = earningsAt(earner)
  const { wei, moreUnits } = ledger.getDecoded(form, id) ?? NOTHING
  const sums = { wei: wei.with(place, amountWei), moreUnits: moreUnits.with(place, 0) }
  const isNothing = sums.wei.every((amount) => amount === 0n) && sums.moreUnits.every((units) => units === 0)
  ledger.setDecoded(form, id, isNothing ? undefined : sums)
}

/** Adds to what an account earned in an epoch, in wei. */
export function addEarned(ledger: Ledger, earner: Earner, amountWei: bigint): void {
  if (amountWei === 0n) return
  const { id, place } = earningsAt(earner)
  const { wei, moreUnits } = ledger.getDecoded(form, id) ?? NOTHING
  ledger.setDecoded(form, id, { wei: wei.with(place, (wei[place] ?? 0n) + amountWei), moreUnits })
}

/** Units of `ENTRY_WEI`, none of them 0, for accounts that ascend. */
export type Entries = { readonly accounts: readonly number[]; readonly amountsGwei: readonly number[] }

/** Adds entries to what their accounts earned in an epoch; each record is written once. */
export function addEntries(ledger: Ledger, epoch: number, { accounts, amountsGwei }: Entries): void {
  let end = 0
  for (let from = 0; from < accounts.length; from = end) {
    const { id } = earningsAt({ account: accounts[from] ?? 0, epoch })
    const first = id.group * EARNERS_PER_RECORD
    let { wei, moreUnits } = ledger.getDecoded(form, id) ?? NOTHING
    const units = moreUnits.slice()
    for (end = from; end < accounts.length; end++) {
      const place = (accounts[end] ?? 0) - first
      assert(place >= 0, 'accounts do not ascend')
      if (place >= EARNERS_PER_RECORD) break
      const amount = amountsGwei[end] ?? 0
      let sum = (units[place] ?? 0) + amount
      if (sum > Number.MAX_SAFE_INTEGER) {
        wei = wei.with(place, amountAt({ wei, moreUnits: units }, place))
        sum = amount
      }
      units[place] = sum
    }
    moreUnits = units
    ledger.setDecoded(form, id, { wei, moreUnits })
  }
}

/** The sum of entries, in wei. */
export function sumOfEntries({ amountsGwei }: Pick<Entries, 'amountsGwei'>): bigint {
  let sumWei = 0n
  let units = 0
  for (const amount of amountsGwei) {
    if (units + amount > Number.MAX_SAFE_INTEGER) {
      sumWei += BigInt(units) * ENTRY_WEI
      units = 0
    }
    units += amount
  }
  return sumWei + BigInt(units) * ENTRY_WEI
}

function amountAt({ wei, moreUnits }: Sums, place: number): bigint {
  const units = moreUnits[place] ?? 0
  const amountWei = wei[place] ?? 0n
  return units === 0 ? amountWei : amountWei + BigInt(units) * ENTRY_WEI
}

/** Names of one epoch that are remembered: 2 MiB. */
const NAMES_MAX = 16_384

/** What names a record to the ledger (`RecordForm`). A block asks for those of its epoch again and again. */
function createNames(): (id: RecordId) => string {
  const names = new Map<number, string>()
  let named = 0
  return ({ epoch, group }) => {
    if (epoch !== named || names.size >= NAMES_MAX) names.clear()
    named = epoch
    const known = names.get(group)
    if (known !== undefined) return known
    const name = `0x${epoch.toString(16).padStart(8, '0')}${group.toString(16).padStart(8, '0')}`
    names.set(group, name)
    return name
  }
}
