/** Votes do not move the maturity of an epoch that was credited in, nor free stake before it. Spec: docs/spec/ledger.md#maturity */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { maturityBy, maturityOf } from '../../../execution/ledger/maturity.ts'
import { getSupply, maturities, workers } from '../../../execution/ledger/tables.ts'
import { attributionCredit } from '../../../execution/native/attributionCredit.ts'
import { claim } from '../../../execution/native/claim.ts'
import { creditDispute } from '../../../execution/native/creditDispute.ts'
import type { NativeContext } from '../../../execution/native/nativeType.ts'
import { WORKER_ACTION, workerRegister } from '../../../execution/native/workerRegister.ts'
import type { ChainParams } from '../../../genesis/params.ts'
import { ledgerValueWei, type MemoryLedger, TEST_PARAMS } from '../../fakes/ledger.ts'
import {
  contextOf,
  createWorld,
  drawOf,
  MODEL,
  MODEL_ID,
  mustRun,
  NOW,
  REQUEST,
  run,
  STAKE,
  STRANGER,
  WORKER,
  word,
  workerAction,
} from './world.ts'

const EPOCH = Math.floor(Number(NOW) / TEST_PARAMS.epochSec)
const epochAt = (timeSec: bigint): number => Number(timeSec / BigInt(TEST_PARAMS.epochSec))
type Times = Pick<ChainParams, 'vestingSec' | 'unbondingSec'>

/** An operation at a time at which votes have made the times so. */
function at(sender: `0x${string}`, timeSec: bigint, times: Partial<Times> = {}): NativeContext {
  return { ...contextOf(sender), timeSec, params: { ...TEST_PARAMS, ...times } }
}

function credit(ledger: MemoryLedger, timeSec: bigint, times: Partial<Times> = {}): void {
  const known = workers.get(ledger, { worker: WORKER })
  const fields = {
    ...{ worker: WORKER, modelId: MODEL_ID, firstSeq: (known?.lastSeq ?? 0n) + 1n, count: 1 },
    ...{ receiptsRoot: word('31'), attributionRoot: word('32'), promptTokens: 0n, outputTokens: 0n },
    ...{ draws: [drawOf(REQUEST, MODEL.priceBase)], accounts: [], amountsGwei: [] },
  }
  mustRun(attributionCredit, ledger, at(WORKER, timeSec, times), fields)
}

/** What comes of a dispute of the worker's credit that shows nothing: `ok` is to be heard, and to lose the bond. */
function disputeCode(ledger: MemoryLedger, context: NativeContext, creditIndex: number): string {
  const drawn = [{ client: REQUEST.client, amount: MODEL.priceBase }]
  const fields = { kind: 2, worker: WORKER, creditIndex, drawn, accounts: [], amountsGwei: [], evidence: '0x00', opened: '0x' }
  const applied = creditDispute.apply(ledger, { ...context, sender: STRANGER }, fields)
  return applied.ok ? 'ok' : applied.code
}

/** What an operation would come to, without it being done. */
function tried<T>(ledger: MemoryLedger, look: () => T): T {
  ledger.checkpoint()
  const seen = look()
  ledger.revert()
  return seen
}

/** Whether the epoch of the credit is claimable, and the credit disputable; exactly one is true. */
function state(ledger: MemoryLedger, context: NativeContext, { epoch, creditIndex }: { epoch: number; creditIndex: number }) {
  const claimed = tried(ledger, () => run(claim, ledger, { ...context, sender: WORKER }, { epochs: [epoch] }))
  return {
    claimable: claimed.ok || claimed.code === 'nothingToClaim',
    disputable: tried(ledger, () => disputeCode(ledger, context, creditIndex)) === 'ok',
  }
}

test('an epoch that has matured stays so when vestingSec is raised, and one that has not when it is lowered', () => {
  const ledger = createWorld()
  credit(ledger, NOW)
  const epoch = EPOCH
  const matures = maturityBy(epoch, TEST_PARAMS)
  expect(maturities.get(ledger, { epoch })).toEqual({ atSec: matures })
  for (const vestingSec of [1, TEST_PARAMS.vestingSec / 4, TEST_PARAMS.vestingSec, TEST_PARAMS.vestingSec * 4]) {
    const times = { vestingSec }
    expect(state(ledger, at(WORKER, matures - 1n, times), { epoch, creditIndex: 0 })).toEqual({ claimable: false, disputable: true })
    expect(state(ledger, at(WORKER, matures, times), { epoch, creditIndex: 0 })).toEqual({ claimable: true, disputable: false })
  }
})

test('a vote counts for the epochs that have no credit yet, and for none twice: the first credit of an epoch says', () => {
  const ledger = createWorld()
  const first = EPOCH
  credit(ledger, NOW, { vestingSec: 100 })
  credit(ledger, NOW + 10n, { vestingSec: 9_000 })
  const next = NOW + BigInt(TEST_PARAMS.epochSec)
  credit(ledger, next, { vestingSec: 9_000 })
  expect(maturityOf(ledger, first, TEST_PARAMS)).toBe(maturityBy(first, { ...TEST_PARAMS, vestingSec: 100 }))
  expect(maturityOf(ledger, first + 1, TEST_PARAMS)).toBe(maturityBy(first + 1, { ...TEST_PARAMS, vestingSec: 9_000 }))
  expect(maturityOf(ledger, first + 2, TEST_PARAMS)).toBe(maturityBy(first + 2, TEST_PARAMS))
})

test('a worker that credits under long vesting and unbonds after a vote for short times is bound until the credit matures', () => {
  const ledger = createWorld()
  credit(ledger, NOW, { vestingSec: 900_000, unbondingSec: 1_000_000 })
  const matures = maturityBy(EPOCH, { ...TEST_PARAMS, vestingSec: 900_000 })
  // A later epoch that matures before the earlier one does not free it.
  const later = NOW + BigInt(TEST_PARAMS.epochSec)
  credit(ledger, later, { vestingSec: 10, unbondingSec: 20 })
  mustRun(workerRegister, ledger, at(WORKER, later, { vestingSec: 10, unbondingSec: 20 }), workerAction(WORKER_ACTION.unbond, STAKE))
  expect(workers.get(ledger, { worker: WORKER })).toMatchObject({ unlockAt: matures, liableUntil: matures })
})

test('whatever is voted between, an epoch matures once for claims and disputes alike, and stake stays as long as it answers for a credit', () => {
  const seconds = fc.constantFrom(1n, 600n, 3_600n, 7_200n, 20_000n)
  const step = fc.record({
    vestingSec: fc.constantFrom(1, 1_800, 7_200, 28_800),
    after: seconds,
    does: fc.constantFrom('credit', 'unbond', 'look'),
  })
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 12 }), (steps) => {
      const ledger = createWorld()
      const made: { epoch: number; creditIndex: number; wasMature: boolean }[] = []
      let timeSec = NOW
      let bound = 0n
      for (const { vestingSec, after, does } of steps) {
        timeSec += after
        const times = { vestingSec, unbondingSec: 1 }
        const worker = workers.get(ledger, { worker: WORKER })
        if (does === 'credit' && worker && worker.stake > MODEL.minStake) {
          made.push({ epoch: epochAt(timeSec), creditIndex: worker.credits, wasMature: false })
          credit(ledger, timeSec, times)
        }
        if (does === 'unbond' && worker && worker.stake >= 2_000n) {
          mustRun(workerRegister, ledger, at(WORKER, timeSec, times), workerAction(WORKER_ACTION.unbond, 1_000n))
          bound = made.reduce((latest, { epoch }) => {
            const atSec = maturities.get(ledger, { epoch })?.atSec ?? 0n
            return atSec > latest ? atSec : latest
          }, 0n)
        }
        for (const one of made) {
          const { claimable, disputable } = state(ledger, at(WORKER, timeSec, times), one)
          expect(claimable).toBe(!disputable)
          if (one.wasMature) expect(claimable).toBe(true)
          one.wasMature = claimable
        }
        const out = tried(ledger, () => run(workerRegister, ledger, at(WORKER, timeSec, times), workerAction(WORKER_ACTION.withdraw)))
        if (out.ok) expect(timeSec).toBeGreaterThanOrEqual(bound)
      }
      expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)
    }),
    { numRuns: 60 },
  )
})
