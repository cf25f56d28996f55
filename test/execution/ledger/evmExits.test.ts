/** What leaves the EVM for the ledger, net of what enters it, is bounded by an allowance that L1's time refills. Spec: docs/spec/ledger.md#evm-exits */
import fc from 'fast-check'
import { zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { giveBackEvmExit, takeEvmExit } from '../../../execution/ledger/evmExits.ts'
import { getEvmExits, putEvmExits, putL1Info } from '../../../execution/ledger/tables.ts'
import { createMemoryLedger, type MemoryLedger } from '../../fakes/ledger.ts'

const PER_HOUR = 7_200n
const START = 1_000n

function createLedgerAt(timestampSec: bigint): MemoryLedger {
  const ledger = createMemoryLedger()
  setL1Time(ledger, timestampSec)
  putEvmExits(ledger, { perHourWei: PER_HOUR, usedWei: 0n, atSec: timestampSec })
  return ledger
}

function setL1Time(ledger: MemoryLedger, timestampSec: bigint): void {
  putL1Info(ledger, { number: 1n, hash: zeroHash, timestampSec, baseFee: 1n, blobBaseFee: 1n, prevRandao: zeroHash, depositCursor: 0n })
}

test('an hour’s worth leaves at once, what is more is refused, and time on L1 gives it back by and by', () => {
  const ledger = createLedgerAt(START)
  expect(takeEvmExit(ledger, PER_HOUR + 1n)).toEqual({ leftWei: PER_HOUR })
  expect(takeEvmExit(ledger, PER_HOUR - 1n)).toBeUndefined()
  expect(takeEvmExit(ledger, 2n)).toEqual({ leftWei: 1n })
  expect(takeEvmExit(ledger, 1n)).toBeUndefined()
  expect(getEvmExits(ledger)).toEqual({ perHourWei: PER_HOUR, usedWei: PER_HOUR, atSec: START })
  setL1Time(ledger, START + 10n)
  expect(takeEvmExit(ledger, 21n)).toEqual({ leftWei: 20n })
  expect(takeEvmExit(ledger, 20n)).toBeUndefined()
  setL1Time(ledger, START + 9_999n)
  expect(takeEvmExit(ledger, PER_HOUR)).toBeUndefined()
})

test('what enters gives back what was used, and never makes the allowance more than it is', () => {
  const ledger = createLedgerAt(START)
  giveBackEvmExit(ledger, 500n)
  expect(getEvmExits(ledger).usedWei).toBe(0n)
  expect(takeEvmExit(ledger, 300n)).toBeUndefined()
  giveBackEvmExit(ledger, 100n)
  expect(getEvmExits(ledger).usedWei).toBe(200n)
  giveBackEvmExit(ledger, 500n)
  expect(takeEvmExit(ledger, PER_HOUR + 1n)).toEqual({ leftWei: PER_HOUR })
})

test('nobody uses up the allowance by going to and fro', () => {
  const ledger = createLedgerAt(START)
  for (let i = 0; i < 10; i++) {
    expect(takeEvmExit(ledger, PER_HOUR)).toBeUndefined()
    giveBackEvmExit(ledger, PER_HOUR)
  }
  expect(takeEvmExit(ledger, PER_HOUR)).toBeUndefined()
})

test('over any stretch of time what left, less what entered, is an hour’s worth and what the time gave at most', () => {
  const step = fc.record({ seconds: fc.nat(2_000), amount: fc.bigInt({ min: 0n, max: 5_000n }), enters: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ledger = createLedgerAt(START)
      const net = [{ atSec: START, wei: 0n }]
      let [atSec, wei] = [START, 0n]
      for (const { seconds, amount, enters } of steps) {
        atSec += BigInt(seconds)
        setL1Time(ledger, atSec)
        if (enters) {
          giveBackEvmExit(ledger, amount)
          wei -= amount
        } else if (takeEvmExit(ledger, amount) === undefined) wei += amount
        for (const before of net) expect((wei - before.wei - PER_HOUR) * 3_600n).toBeLessThanOrEqual(PER_HOUR * (atSec - before.atSec))
        net.push({ atSec, wei })
      }
    }),
  )
})
