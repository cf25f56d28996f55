/**
 * What may come out of the EVM into the ledger: an allowance of so much an hour, which is full at first and refills as time passes on L1. What goes into
 * the EVM gives back what was used of it, so that nobody uses it up by going to and fro. The clock is L1's, as the ledger's l1 record has it, for the
 * time of a block is the validators' word, and the allowance is there to hold against all of them. Spec: docs/spec/ledger.md#evm-exits
 */
import type { Ledger } from './ledger.ts'
import { type EvmExits, getEvmExits, getL1Info, putEvmExits } from './tables.ts'

/** Seconds in which an allowance that was used up is whole again. */
export const EVM_EXIT_PERIOD_SEC = 3_600n

/** Takes an amount that leaves the EVM out of the allowance; what is left, and nothing taken, where that is less. In wei. */
export function takeEvmExit(ledger: Ledger, amountWei: bigint): { readonly leftWei: bigint } | undefined {
  if (amountWei === 0n) return undefined
  const exits = getEvmExits(ledger)
  const { usedWei, nowSec } = refill(ledger, exits)
  if (usedWei + amountWei > exits.perHourWei) return { leftWei: exits.perHourWei - usedWei }
  putEvmExits(ledger, { ...exits, usedWei: usedWei + amountWei, atSec: nowSec })
  return undefined
}

/** Gives back what an amount that enters the EVM is good for: no more than was used. In wei. */
export function giveBackEvmExit(ledger: Ledger, amountWei: bigint): void {
  const exits = getEvmExits(ledger)
  if (exits.usedWei === 0n || amountWei === 0n) return
  const { usedWei, nowSec } = refill(ledger, exits)
  putEvmExits(ledger, { ...exits, usedWei: usedWei > amountWei ? usedWei - amountWei : 0n, atSec: nowSec })
}

/** What of the allowance is used by now. */
function refill(ledger: Ledger, { perHourWei, usedWei, atSec }: EvmExits): { readonly usedWei: bigint; readonly nowSec: bigint } {
  const nowSec = getL1Info(ledger).timestampSec
  const elapsedSec = nowSec > atSec ? nowSec - atSec : 0n
  const refilledWei = (perHourWei * elapsedSec) / EVM_EXIT_PERIOD_SEC
  return { usedWei: usedWei > refilledWei ? usedWei - refilledWei : 0n, nowSec }
}
