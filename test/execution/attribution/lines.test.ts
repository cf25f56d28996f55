/** The books of a window: sorted lines with running sums, opened in runs. Spec: docs/spec/receipts.md#lines */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { areLinesOf, attributionRoot, compareLines, linesOf, openLines, partGwei } from '../../../execution/attribution/lines.ts'
import { splitFee } from '../../../execution/native/attributionCredit.ts'

const amount = fc.record({ kind: fc.nat(3), key: fc.nat(5), receiptIndex: fc.nat(9), amount: fc.bigInt({ min: 0n, max: 1_000n }) })
const amounts = fc.uniqueArray(amount, { maxLength: 30, selector: ({ kind, key, receiptIndex }) => `${kind}/${key}/${receiptIndex}` })

test('lines ascend, add up, and are shown in runs under their root', () => {
  fc.assert(
    fc.property(amounts, fc.nat(30), fc.nat(5), (list, from, length) => {
      const lines = linesOf(list)
      expect(lines).toHaveLength(list.filter((one) => one.amount > 0n).length)
      for (const [i, line] of lines.entries()) {
        if (i > 0) expect(compareLines(lines[i - 1] ?? line, line)).toBeLessThan(0)
        const own = list.filter(
          ({ kind, key, receiptIndex }) => kind === line.kind && key === line.key && receiptIndex <= line.receiptIndex,
        )
        expect(line.sum).toBe(own.reduce((sum, one) => sum + one.amount, 0n))
      }
      const root = attributionRoot(lines)
      const first = Math.min(from, Math.max(0, lines.length - 1))
      const run = openLines(lines, first, Math.min(lines.length - first, length + 1))
      expect(areLinesOf(root, { count: lines.length, first, ...run })).toBe(true)
      expect(areLinesOf(root, { count: lines.length + 1, first, ...run })).toBe(false)
      if (lines.length > 0) {
        expect(areLinesOf(root, { count: lines.length, first: first + 1, ...run })).toBe(false)
        const changed = run.lines.map((line, i) => (i === 0 ? { ...line, amount: line.amount + 1n } : line))
        expect(areLinesOf(root, { count: lines.length, first, ...run, lines: changed })).toBe(false)
      }
    }),
  )
})

test('parts of many receipts never exceed the contributors’ part of their fee', () => {
  const bps = fc.nat(10_000)
  const fees = fc.array(fc.bigInt({ min: 0n, max: 10n ** 20n }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(fees, bps, bps, bps, (list, protocolBps, contributorBps, share) => {
      const feeWei = list.reduce((sum, one) => sum + one, 0n)
      const { contributorsWei } = splitFee(feeWei, { workerBps: 0, contributorBps }, { protocolBps })
      const of = (part: number) => list.reduce((sum, fee) => sum + partGwei(fee, { bps: part, protocolBps, contributorBps }), 0n)
      expect((of(share) + of(10_000 - share)) * 10n ** 9n <= contributorsWei).toBe(true)
    }),
  )
})
