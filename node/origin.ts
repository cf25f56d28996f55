/** What a block says of L1: its origin, if that moves, and the deposits that come with it. */
import type { Block } from '../execution/block.ts'
import type { OriginStep } from '../execution/buildBlock.ts'
import { type Deposit, decodeDeposit, parseL1Info } from '../execution/deposit.ts'

/** The block's step to another origin; undefined: it stays. What else stands in its place is for execution to refuse. */
export function originOf({ transactions }: Block): OriginStep | undefined {
  const deposits: Deposit[] = []
  for (const raw of transactions) {
    const deposit = decodeDeposit(raw)
    if (!deposit) break
    deposits.push(deposit)
  }
  const [first, ...rest] = deposits
  const info = first && parseL1Info(first)
  return info && { info, deposits: rest }
}
