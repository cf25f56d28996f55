/** 0x51 DatanetCreate. Spec: docs/spec/transactions.md#0x51-datanetcreate */
import { zeroAddress } from 'viem'
import { expect, test } from 'vitest'
import { datanetCreate, datanetCreatedEvent, JOIN_POLICY } from '../../../execution/native/datanetCreate.ts'
import { DOOR } from '../../../genesis/params.ts'
import { readChanges } from '../../fakes/ledger.ts'
import { testRuleTables } from './ruleTable.ts'
import { CREATE, CURATOR, contextOf, createFundedLedger, logOf, mustRun, OWNER } from './world.ts'

testRuleTables<typeof CREATE>(datanetCreate, [
  {
    name: 'create',
    lanes: ['native', 'evm'],
    scene: (lane) => ({ ledger: createFundedLedger(), context: contextOf(OWNER, lane === 'evm' ? 0n : undefined), fields: { ...CREATE } }),
    rules: [
      {
        code: 'badName',
        invalid: true,
        ways: {
          empty: (s) => (s.fields.name = ''),
          '65 bytes': (s) => (s.fields.name = 'a'.repeat(65)),
          '33 letters of two bytes': (s) => (s.fields.name = 'é'.repeat(33)),
        },
      },
      {
        code: 'badLicence',
        invalid: true,
        ways: {
          'a grant without meaning': (s) => (s.fields.licence |= 1 << 4),
          'an obligation without meaning': (s) => (s.fields.licence |= 1 << 18),
          'the highest bit': (s) => (s.fields.licence = 0x80000000),
        },
      },
      { code: 'badCurator', invalid: true, ways: { zero: (s) => (s.fields.curator = zeroAddress) } },
      { code: 'badJoinPolicy', invalid: true, ways: { 'policy 2': (s) => (s.fields.joinPolicy = 2) } },
    ],
  },
])

const record = {
  owner: OWNER,
  curator: CURATOR,
  licence: 0x10003,
  joinPolicy: 0,
  status: 1,
  uploadBond: 500n,
  uploads: 0,
  accepted: 0,
  records: 0n,
  retires: 0,
  schemaHash: CREATE.schemaHash,
  name: 'rivers',
}
const counters = { accounts: 9, models: 0, workers: 0, withdrawals: 0n, credits: 0n }

test('DatanetCreate: datanets count from 1 and differ as their fields do', () => {
  const ledger = createFundedLedger()
  const first = mustRun(datanetCreate, ledger, contextOf(OWNER), CREATE)
  expect(readChanges(ledger.takeChanges())).toEqual({ counters: { ...counters, datanets: 1 }, 'datanets 1': record })
  const told = { owner: OWNER, curator: CURATOR, licence: 0x10003 }
  expect(first).toEqual([logOf(DOOR.datanets, datanetCreatedEvent, { ...told, datanetId: 1, name: 'rivers' })])

  const name = 'é'.repeat(32)
  const bare = { ...CREATE, name, licence: 0, joinPolicy: JOIN_POLICY.ownerAndCurator, uploadBond: 0n }
  const second = mustRun(datanetCreate, ledger, contextOf(OWNER), bare)
  expect(readChanges(ledger.takeChanges())).toEqual({
    counters: { ...counters, datanets: 2 },
    'datanets 2': { ...record, name, licence: 0, joinPolicy: 1, uploadBond: 0n },
  })
  expect(second).toEqual([logOf(DOOR.datanets, datanetCreatedEvent, { ...told, datanetId: 2, licence: 0, name })])
})

test('DatanetCreate: an owner who comes from the EVM gets an account index, for what it will earn', () => {
  const ledger = createFundedLedger()
  const contract = `0x${'ee'.repeat(20)}` as const
  mustRun(datanetCreate, ledger, contextOf(contract, 0n), CREATE)
  expect(readChanges(ledger.takeChanges())).toEqual({
    counters: { ...counters, accounts: 10, datanets: 1 },
    [`accounts ${contract}`]: { index: 10, balance: 0n, prepaid: 0n, unlockAt: 0n, nonce: 0n },
    'datanets 1': { ...record, owner: contract },
  })
})
