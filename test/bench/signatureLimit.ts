/**
 * What signatures alone allow: the CPU of reading digests and recovering signers of some transactions, to which the CPU of applying them is compared.
 * Both are of all threads, so that it says the same with and without a pool.
 */
import type { Common } from '@ethereumjs/common'
import { recoverSignatory } from '../../execution/recover.ts'
import { readTx } from '../../execution/tx.ts'
import { costOf } from './measure.ts'

/** CPU of the signatures of these transactions, in µs a transaction: their digests, and who signed them. */
export async function signaturesUs(raws: readonly Uint8Array[], common: Common): Promise<number> {
  const read = raws.map((raw) => {
    const one = readTx(raw, common)
    if (!one.ok) throw new Error(`an operation is malformed: ${one.code}`)
    return one
  })
  const { cost } = await costOf(() => {
    for (const one of read) for (const signed of one.signed()) recoverSignatory(signed)
  })
  return (cost.processMs * 1_000) / raws.length
}

/** The part (0–1) of the speed that signatures alone allow which applying blocks reaches. Both in µs of CPU an operation, applying with its signatures. */
export function applyOfSignatureLimit({ signatures, apply }: { readonly signatures: number; readonly apply: number }): number {
  return signatures / apply
}
