/** 0x58 Claim. Spec: docs/spec/transactions.md#0x58-claim */
import { expect, test } from 'vitest'
import { addEarned, getEarned } from '../../../execution/ledger/earnings.ts'
import { getAccount, getSupply, putSupply } from '../../../execution/ledger/tables.ts'
import { claim, claimedEvent } from '../../../execution/native/claim.ts'
import { DOOR } from '../../../genesis/params.ts'
import { ledgerValueWei, type MemoryLedger, readChanges, TEST_PARAMS } from '../../fakes/ledger.ts'
import { type Scene, testRuleTables } from './ruleTable.ts'
import { contextOf, createFundedLedger, FUNDS, indexOf, logOf, mustRun, OWNER, STRANGER } from './world.ts'

/** First second at which an epoch may be claimed. */
const maturesAt = (epoch: number) => BigInt((epoch + 1) * TEST_PARAMS.epochSec + TEST_PARAMS.vestingSec)

/** OWNER earned 5 in epoch 3, 7 in epoch 4 and 11 in epoch 9. */
function createEarner(): MemoryLedger {
  const ledger = createFundedLedger()
  const supply = getSupply(ledger)
  putSupply(ledger, { ...supply, deposited: supply.deposited + 23n })
  for (const [epoch, amount] of [[3, 5n] as const, [4, 7n] as const, [9, 11n] as const])
    addEarned(ledger, { account: indexOf(ledger, OWNER), epoch }, amount)
  ledger.takeChanges()
  return ledger
}

function contextAt(timeSec: bigint, callValueWei?: bigint) {
  return { ...contextOf(OWNER, callValueWei), timeSec }
}

testRuleTables<{ epochs: number[] }>(claim, [
  {
    name: 'claim',
    lanes: ['native', 'evm'],
    scene: (lane): Scene<{ epochs: number[] }> => ({
      ledger: createEarner(),
      context: contextAt(maturesAt(4), lane === 'evm' ? 0n : undefined),
      fields: { epochs: [3, 4] },
    }),
    rules: [
      {
        code: 'badEpochs',
        invalid: true,
        ways: {
          none: (s) => (s.fields.epochs = []),
          'one too many': (s) => (s.fields.epochs = Array.from({ length: 257 }, (_, i) => i)),
          'one twice': (s) => (s.fields.epochs = [3, 3]),
          descending: (s) => (s.fields.epochs = [4, 3]),
        },
      },
      {
        code: 'notMatured',
        invalid: false,
        ways: {
          'the last one by a second': (s) => (s.context = { ...s.context, timeSec: maturesAt(4) - 1n }),
          'an epoch beyond all time': (s) => (s.fields.epochs = [3, 0xffffffff]),
        },
      },
      {
        code: 'nothingToClaim',
        invalid: false,
        ways: {
          'somebody else': (s) => (s.context = { ...s.context, sender: STRANGER }),
          'other epochs': (s) => (s.fields.epochs = [0, 1, 2]),
          'somebody without an account': (s) => (s.context = { ...s.context, sender: `0x${'ee'.repeat(20)}` }),
        },
      },
    ],
  },
])

for (const [lane, callValueWei] of [['native', undefined] as const, ['evm', 0n] as const]) {
  test(`Claim, ${lane}: the records go, the sum goes to the balance, other epochs stay`, () => {
    const ledger = createEarner()
    const index = indexOf(ledger, OWNER)
    const logs = mustRun(claim, ledger, contextAt(maturesAt(5), callValueWei), { epochs: [0, 3, 4, 5] })
    expect(readChanges(ledger.takeChanges())).toEqual({
      'earnings 3/0': undefined,
      'earnings 4/0': undefined,
      [`accounts ${OWNER}`]: { index, balance: FUNDS + 12n, prepaid: 0n, unlockAt: 0n, nonce: 0n },
    })
    expect(logs).toEqual([logOf(DOOR.credits, claimedEvent, { account: OWNER, amount: 12n })])
    expect(getEarned(ledger, { account: index, epoch: 9 })).toBe(11n)
    expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)
  })
}

test('Claim: 128 epochs at once, and nothing twice', () => {
  const ledger = createEarner()
  const epochs = Array.from({ length: 128 }, (_, i) => i)
  mustRun(claim, ledger, contextAt(maturesAt(127)), { epochs })
  expect(getAccount(ledger, OWNER).balance).toBe(FUNDS + 23n)
  expect(claim.apply(ledger, contextAt(maturesAt(127)), { epochs })).toMatchObject({ ok: false, code: 'nothingToClaim' })
})
