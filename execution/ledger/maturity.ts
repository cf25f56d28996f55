/**
 * When an epoch matures: until then its credits can be disputed and nobody claims of it, from then on the other way round. The first credit of an
 * epoch writes it down, by the parameters of that block, and no later vote moves it: a claim, a dispute and a worker's unbonding go by one number.
 * Spec: docs/spec/ledger.md#maturity
 */
import type { ChainParams } from '../../genesis/params.ts'
import type { Ledger } from './ledger.ts'
import { maturities } from './tables.ts'

type Times = Pick<ChainParams, 'epochSec' | 'vestingSec'>

/** First second at which the epoch is mature; of an epoch without a credit, what a credit in this block would make it. */
export function maturityOf(ledger: Ledger, epoch: number, params: Times): bigint {
  return maturities.get(ledger, { epoch })?.atSec ?? maturityBy(epoch, params)
}

/** The same, written down if the epoch has none yet. */
export function fixMaturity(ledger: Ledger, epoch: number, params: Times): bigint {
  const known = maturities.get(ledger, { epoch })
  if (known) return known.atSec
  const atSec = maturityBy(epoch, params)
  maturities.put(ledger, { epoch }, { atSec })
  return atSec
}

/** When an epoch matures by these parameters: `vestingSec` after its end. */
export function maturityBy(epoch: number, { epochSec, vestingSec }: Times): bigint {
  return (BigInt(epoch) + 1n) * BigInt(epochSec) + BigInt(vestingSec)
}
