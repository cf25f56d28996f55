/** 0x52 DatanetUpload. Spec: docs/spec/transactions.md#0x52-datanetupload */
import { type Hex, zeroAddress, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { datanets, getAccount, getSupply, putAccount, putSupply } from '../../../execution/ledger/tables.ts'
import { datanetCreate, JOIN_POLICY } from '../../../execution/native/datanetCreate.ts'
import { datanetUpload, uploadedEvent } from '../../../execution/native/datanetUpload.ts'
import { DOOR } from '../../../genesis/params.ts'
import { ledgerValueWei, type MemoryLedger, readChanges } from '../../fakes/ledger.ts'
import { type Lane, type Scene, testRuleTables } from './ruleTable.ts'
import {
  ALICE,
  BOB,
  BOND,
  CREATE,
  CURATOR,
  contextOf,
  createFundedLedger,
  FUNDS,
  indexOf,
  leaveEvmExit,
  logOf,
  mustRun,
  NOW,
  OWNER,
  run,
  STRANGER,
  UPLOAD,
  UPLOADER,
} from './world.ts'

type UploadFields = typeof UPLOAD

function createDatanet(): MemoryLedger {
  const ledger = createFundedLedger()
  mustRun(datanetCreate, ledger, contextOf(OWNER), CREATE)
  ledger.takeChanges()
  return ledger
}

function scene(lane: Lane): Scene<UploadFields> {
  return { ledger: createDatanet(), context: contextOf(UPLOADER, lane === 'evm' ? BOND : undefined), fields: { ...UPLOAD } }
}

function changeDatanet(ledger: MemoryLedger, change: { status?: number; joinPolicy?: number }): void {
  const datanet = datanets.get(ledger, { datanetId: 1 })
  if (datanet) datanets.put(ledger, { datanetId: 1 }, { ...datanet, ...change })
}

function share(account: Hex, shareBps: number, role = 1) {
  return { account, shareBps, role }
}

testRuleTables<UploadFields>(datanetUpload, [
  {
    name: 'upload',
    lanes: ['native', 'evm'],
    scene,
    rules: [
      { code: 'badContentRoot', invalid: true, ways: { zero: (s) => (s.fields.contentRoot = zeroHash) } },
      {
        code: 'badContentId',
        invalid: true,
        ways: { empty: (s) => (s.fields.contentId = '0x'), '65 bytes': (s) => (s.fields.contentId = `0x${'11'.repeat(65)}`) },
      },
      { code: 'badRecordCount', invalid: true, ways: { zero: (s) => (s.fields.recordCount = 0) } },
      { code: 'badByteCount', invalid: true, ways: { zero: (s) => (s.fields.byteCount = 0n) } },
      {
        code: 'badContributors',
        invalid: true,
        ways: {
          none: (s) => (s.fields.contributors = []),
          five: (s) => (s.fields.contributors = [1, 2, 3, 4, 5].map((n) => share(`0x${`0${n}`.repeat(20)}`, 2_000))),
          'the zero address': (s) => (s.fields.contributors = [share(zeroAddress, 10_000)]),
          'one account twice in one role': (s) => (s.fields.contributors = [share(ALICE, 5_000), share(ALICE, 5_000)]),
          'role 0': (s) => (s.fields.contributors = [share(ALICE, 10_000, 0)]),
          'role 4': (s) => (s.fields.contributors = [share(ALICE, 10_000, 4)]),
          'shares of 9,999': (s) => (s.fields.contributors = [share(ALICE, 5_000), share(BOB, 4_999)]),
          'shares of 10,001': (s) => (s.fields.contributors = [share(ALICE, 5_000), share(BOB, 5_001)]),
          'a share of 0': (s) => (s.fields.contributors = [share(ALICE, 10_000), share(BOB, 0)]),
        },
      },
      {
        code: 'unknownDatanet',
        invalid: false,
        ways: { 'id 2': (s) => (s.fields.datanetId = 2), 'id 0': (s) => (s.fields.datanetId = 0) },
      },
      { code: 'datanetRetired', invalid: false, ways: { retired: (s) => changeDatanet(s.ledger, { status: 2 }) } },
      { code: 'notMember', invalid: false, ways: { 'a closed one': (s) => changeDatanet(s.ledger, { joinPolicy: 1 }) } },
      {
        code: 'insufficientBalance',
        invalid: false,
        lane: 'native',
        ways: { 'a wei too little': (s) => putAccount(s.ledger, UPLOADER, { ...getAccount(s.ledger, UPLOADER), balance: BOND - 1n }) },
      },
      {
        code: 'wrongValue',
        invalid: false,
        lane: 'evm',
        ways: {
          'a wei too little': (s) => (s.context = { ...s.context, callValueWei: BOND - 1n }),
          'a wei too much': (s) => (s.context = { ...s.context, callValueWei: BOND + 1n }),
        },
      },
      {
        code: 'evmSupplyExceeded',
        invalid: false,
        lane: 'evm',
        ways: { 'a wei less in the EVM': (s) => putSupply(s.ledger, { ...getSupply(s.ledger), evmSupply: BOND - 1n }) },
      },
      {
        code: 'evmExitLimit',
        invalid: false,
        lane: 'evm',
        ways: { 'a wei less of the allowance is left': ({ ledger }) => leaveEvmExit(ledger, BOND - 1n) },
      },
    ],
  },
])

const datanetRecord = {
  owner: OWNER,
  curator: CURATOR,
  licence: 0x10003,
  joinPolicy: 0,
  status: 1,
  uploadBond: BOND,
  uploads: 1,
  accepted: 0,
  records: 0n,
  retires: 0,
  schemaHash: CREATE.schemaHash,
  name: 'rivers',
}
const uploadRecord = {
  uploader: UPLOADER,
  contentRoot: UPLOAD.contentRoot,
  recordCount: 10,
  byteCount: 4_000n,
  bond: BOND,
  status: 1,
  qualityBps: 0,
  atSec: NOW,
  contentId: '0x017012',
  contributors: [
    { account: 10, shareBps: 6_000, role: 1 },
    { account: 11, shareBps: 4_000, role: 3 },
  ],
}
const account = { balance: 0n, prepaid: 0n, unlockAt: 0n, nonce: 0n }
const counters = { accounts: 11, datanets: 1, models: 0, workers: 0, withdrawals: 0n, credits: 0n }

test('DatanetUpload: the bond is taken, contributors get their indexes in order, the upload is pending', () => {
  const ledger = createDatanet()
  const { contentRoot, contentId, recordCount } = UPLOAD
  const logs = mustRun(datanetUpload, ledger, contextOf(UPLOADER), UPLOAD)
  const uploader = { ...account, index: indexOf(ledger, UPLOADER), balance: FUNDS - BOND }
  expect(readChanges(ledger.takeChanges())).toEqual({
    [`accounts ${UPLOADER}`]: uploader,
    'datanets 1': datanetRecord,
    counters,
    [`accounts ${ALICE}`]: { ...account, index: 10 },
    [`accounts ${BOB}`]: { ...account, index: 11 },
    'uploads 1/0': uploadRecord,
  })
  const told = { datanetId: 1, uploader: UPLOADER, contentId, recordCount }
  expect(logs).toEqual([logOf(DOOR.datanets, uploadedEvent, { ...told, uploadIndex: 0, contentRoot })])
  expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)

  const twice = { ...UPLOAD, contributors: [share(ALICE, 1, 1), share(ALICE, 9_999, 2)] }
  const second = mustRun(datanetUpload, ledger, contextOf(UPLOADER), twice)
  expect(readChanges(ledger.takeChanges())).toEqual({
    [`accounts ${UPLOADER}`]: { ...uploader, balance: FUNDS - 2n * BOND },
    'datanets 1': { ...datanetRecord, uploads: 2 },
    'uploads 1/1': {
      ...uploadRecord,
      contributors: [
        { account: 10, shareBps: 1, role: 1 },
        { account: 10, shareBps: 9_999, role: 2 },
      ],
    },
  })
  expect(second).toEqual([logOf(DOOR.datanets, uploadedEvent, { ...told, uploadIndex: 1, contentRoot })])
})

test('DatanetUpload: from the EVM the bond is the value of the call, and the ledger balance stays', () => {
  const ledger = createDatanet()
  mustRun(datanetUpload, ledger, contextOf(UPLOADER, BOND), UPLOAD)
  expect(getAccount(ledger, UPLOADER).balance).toBe(FUNDS)
  expect(getSupply(ledger).evmSupply).toBe(FUNDS - BOND)
  expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)
})

test('DatanetUpload: a closed datanet is open to its owner and its curator', () => {
  const ledger = createFundedLedger()
  mustRun(datanetCreate, ledger, contextOf(OWNER), { ...CREATE, joinPolicy: JOIN_POLICY.ownerAndCurator })
  const codes = [OWNER, CURATOR, UPLOADER, STRANGER].map((sender) => {
    const applied = run(datanetUpload, ledger, contextOf(sender), UPLOAD)
    return applied.ok ? 'ok' : applied.code
  })
  expect(codes).toEqual(['ok', 'ok', 'notMember', 'notMember'])
})

test('DatanetUpload: without a bond nothing is taken', () => {
  const ledger = createFundedLedger()
  mustRun(datanetCreate, ledger, contextOf(OWNER), { ...CREATE, uploadBond: 0n })
  const poor = `0x${'ee'.repeat(20)}` as const
  mustRun(datanetUpload, ledger, contextOf(poor), UPLOAD)
  mustRun(datanetUpload, ledger, contextOf(poor, 0n), UPLOAD)
  expect(getAccount(ledger, poor).index).toBe(0)
  expect(datanets.get(ledger, { datanetId: 1 })?.uploads).toBe(2)
})
