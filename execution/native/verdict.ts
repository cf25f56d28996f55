/**
 * What a dispute came to, as its row says it, so that L1 can execute what follows without judging the evidence. Whoever derives the row judges it anew.
 *   0   nothing was shown, or the dispute was not judged
 *   1   the credit is void: feeWei, an amount
 *   2   its entries change: feeWei ‖ how many ‖ (account ‖ its amount in gwei afterwards)…, accounts ascending
 * Spec: docs/spec/batch.md#verdicts
 */
import { malformed, takeUint } from '../fields.ts'
import { amountRow, compileRow, listRow, type RowCoder } from '../rowFields.ts'

/** An account's amount of a credit as a dispute leaves it. */
export type EntryChange = { readonly account: number; readonly amountGwei: number }

/** `feeWei`: of the receipt whose attribution is false; 0 in other disputes. */
export type Verdict =
  | { readonly kind: 'refused' }
  | { readonly kind: 'void'; readonly feeWei: bigint }
  | { readonly kind: 'entries'; readonly feeWei: bigint; readonly changes: readonly EntryChange[] }

/** Nothing was shown. */
export const REFUSED: Verdict = { kind: 'refused' }

/** What the verdict of a row counts as where its bytes are paid for, whatever it is: changes are of two receipts' parts, of 64 accounts each. */
export const VERDICT_BYTES_PAID = 1_600

const CODE = { refused: 0, void: 1, entries: 2 } as const
const changesRow = listRow(
  compileRow([
    { name: 'account', type: 'uint32' },
    { name: 'amountGwei', type: 'uint48' },
  ]),
) as unknown as RowCoder<readonly EntryChange[]>

/** The row form of a verdict. */
export const verdictRow: RowCoder<Verdict> = {
  bytes(verdict) {
    if (verdict.kind === 'refused') return 1
    return 1 + amountRow.bytes(verdict.feeWei) + (verdict.kind === 'entries' ? changesRow.bytes(verdict.changes) : 0)
  },
  write(verdict, out, at) {
    out[at] = CODE[verdict.kind]
    if (verdict.kind === 'refused') return at + 1
    const next = amountRow.write(verdict.feeWei, out, at + 1)
    return verdict.kind === 'entries' ? changesRow.write(verdict.changes, out, next) : next
  },
  read(cursor) {
    const code = takeUint(cursor, 1)
    if (code === CODE.refused) return REFUSED
    if (code > CODE.entries) malformed()
    const feeWei = amountRow.read(cursor)
    return code === CODE.void ? { kind: 'void', feeWei } : { kind: 'entries', feeWei, changes: changesRow.read(cursor) }
  },
}
