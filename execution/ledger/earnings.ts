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
 * tens of thousands of entries, and adding a bigint makes a new one every time; and they are added in place. Records of one id that follow one another
 * share their units: whatever added to them is undone before one gives way to the one before.
 */
type Sums = { readonly group: number; readonly wei: readonly bigint[]; readonly moreUnits: Float64Array }

/** Units to which an entry can be added once more without a sum that a number does not hold. */
const UNITS_MAX = Number.MAX_SAFE_INTEGER - 2 ** 48
const NO_WEI: readonly bigint[] = Array.from({ length: EARNERS_PER_RECORD }, () => 0n)

const form: RecordForm<RecordId, Sums> = {
  number: earnings.number,
  name: createNames(),
  packId: earnings.encodeId,
  pack: (sums) => earnings.encode({ amounts: NO_WEI.map((_, place) => amountAt(sums, place)) }),
  unpack: (bytes, { group }) => ({ group, wei: earnings.decode(bytes).amounts, moreUnits: new Float64Array(EARNERS_PER_RECORD) }),
}

/** The record in which an account's earnings of an epoch stand, and their place among its amounts. */
export function earningsAt({ account, epoch }: Earner): { readonly id: RecordId; readonly place: number } {
  return { id: { epoch, group: groupOf(account) }, place: account % EARNERS_PER_RECORD }
}

function groupOf(account: number): number {
  return Math.floor(account / EARNERS_PER_RECORD)
}

/** What an account has of an epoch's earnings, in wei. */
export function getEarned(ledger: LedgerReader, earner: Earner): bigint {
  const { id, place } = earningsAt(earner)
  if (ledger.getDecoded) {
    const sums = ledger.getDecoded(form, id)
    return sums ? amountAt(sums, place) : 0n
  }
  const bytes = ledger.get(earnings.number, earnings.encodeId(id))
  return bytes ? (earnings.decode(bytes).amounts[place] ?? 0n) : 0n
}

/** Says what an account has of an epoch's earnings, in wei. A record of nothing goes. */
export function setEarned(ledger: Ledger, earner: Earner, amountWei: bigint): void {
  const { id, place } = earningsAt(earner)
  const { group, wei, moreUnits } = ledger.getDecoded(form, id) ?? nothing(id)
  const sums = { group, wei: wei.with(place, amountWei), moreUnits: moreUnits.with(place, 0) }
  const isNothing = sums.wei.every((amount) => amount === 0n) && sums.moreUnits.every((units) => units === 0)
  ledger.setDecoded(form, id, isNothing ? undefined : sums)
}

/** Adds to what an account earned in an epoch, in wei. */
export function addEarned(ledger: Ledger, earner: Earner, amountWei: bigint): void {
  if (amountWei === 0n) return
  const { id, place } = earningsAt(earner)
  const { group, wei, moreUnits } = ledger.getDecoded(form, id) ?? nothing(id)
  ledger.setDecoded(form, id, { group, wei: wei.with(place, (wei[place] ?? 0n) + amountWei), moreUnits })
}

/** Units of `ENTRY_WEI`, uint48, none of them 0, for accounts that ascend. */
export type Entries = { readonly accounts: readonly number[]; readonly amountsGwei: readonly number[] }

/** Adds entries to what their accounts earned in an epoch. */
export function addEntries(ledger: Ledger, epoch: number, entries: Entries): void {
  const { accounts } = entries
  const takeBack = (sums: Sums) => {
    const from = accounts.findIndex((account) => groupOf(account) === sums.group)
    addUnits(sums, entries, from, -1)
  }
  for (let from = 0; from < accounts.length; ) {
    const id = { epoch, group: groupOf(accounts[from] ?? 0) }
    const amended = ledger.amend(form, id, takeBack)
    const sums = amended ?? nothing(id)
    const end = addUnits(sums, entries, from, 1)
    from = end
    if (!amended) ledger.setDecoded(form, id, sums)
    else if (isNearlyFull(sums)) ledger.setDecoded(form, id, settled(sums))
  }
}

/** Adds to a record the entries that are its own, from this one on, or takes them away; answers where they end. Asserts that they ascend. */
function addUnits({ group, moreUnits }: Sums, { accounts, amountsGwei }: Entries, from: number, sign: 1 | -1): number {
  const first = group * EARNERS_PER_RECORD
  let end = from
  for (; end < accounts.length; end++) {
    const place = (accounts[end] ?? 0) - first
    assert(place >= 0, 'accounts do not ascend')
    if (place >= EARNERS_PER_RECORD) break
    moreUnits[place] = (moreUnits[place] ?? 0) + sign * (amountsGwei[end] ?? 0)
  }
  return end
}

function isNearlyFull({ moreUnits }: Sums): boolean {
  for (let place = 0; place < EARNERS_PER_RECORD; place++) if ((moreUnits[place] ?? 0) > UNITS_MAX) return true
  return false
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

/** The same amounts without units beside. */
function settled(sums: Sums): Sums {
  return { ...nothing(sums), wei: NO_WEI.map((_, place) => amountAt(sums, place)) }
}

/** The record of nothing. */
function nothing({ group }: Pick<Sums, 'group'>): Sums {
  return { group, wei: NO_WEI, moreUnits: new Float64Array(EARNERS_PER_RECORD) }
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
