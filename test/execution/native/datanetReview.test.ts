/** 0x53 DatanetReview. Spec: docs/spec/transactions.md#0x53-datanetreview */
import { expect, test } from 'vitest'
import { datanets, getAccount, getSupply, uploads } from '../../../execution/ledger/tables.ts'
import { datanetRetiredEvent, datanetReview, reviewedEvent, VERDICT, WHOLE_DATANET } from '../../../execution/native/datanetReview.ts'
import { DOOR, TREASURY } from '../../../genesis/params.ts'
import { ledgerValueWei, type MemoryLedger, readChanges, TEST_PARAMS } from '../../fakes/ledger.ts'
import { type Lane, type Rule, type Scene, testRuleTables } from './ruleTable.ts'
import { BOND, CURATOR, contextOf, createWorld, indexOf, logOf, mustRun, NOW, OWNER, REVIEW, run, STRANGER, UPLOADER } from './world.ts'

type ReviewFields = typeof REVIEW

/** In the world upload 0 is accepted and upload 1 pending. */
const ACCEPT = { ...REVIEW, uploadIndex: 1 }
const REJECT = { ...ACCEPT, verdict: VERDICT.reject, qualityBps: 0, reason: 2 }
const RETIRE = { ...REJECT, uploadIndex: 0, verdict: VERDICT.retire }
const WITHDRAW = { ...ACCEPT, verdict: VERDICT.withdraw, qualityBps: 0 }
/** First second at which the world's pending upload may be withdrawn. */
const WAITED = NOW + BigInt(TEST_PARAMS.reviewDelaySec)
const RETIRE_ALL = { ...RETIRE, uploadIndex: WHOLE_DATANET }

function sceneOf(fields: ReviewFields) {
  return (lane: Lane): Scene<ReviewFields> => ({
    ledger: createWorld(),
    context: contextOf(CURATOR, lane === 'evm' ? 0n : undefined),
    fields: { ...fields },
  })
}

function setUploadStatus(ledger: MemoryLedger, uploadIndex: number, status: number): void {
  const upload = uploads.get(ledger, { datanetId: 1, uploadIndex })
  if (upload) uploads.put(ledger, { datanetId: 1, uploadIndex }, { ...upload, status })
}

function retireDatanet(ledger: MemoryLedger): void {
  const datanet = datanets.get(ledger, { datanetId: 1 })
  if (datanet) datanets.put(ledger, { datanetId: 1 }, { ...datanet, status: 2 })
}

/** Whoever would judge or take back what is pending no more. */
const NOT_PENDING: Rule<ReviewFields> = {
  code: 'notPending',
  invalid: false,
  ways: {
    accepted: (s) => setUploadStatus(s.ledger, s.fields.uploadIndex, 2),
    rejected: (s) => setUploadStatus(s.ledger, s.fields.uploadIndex, 3),
    retired: (s) => setUploadStatus(s.ledger, s.fields.uploadIndex, 4),
    withdrawn: (s) => setUploadStatus(s.ledger, s.fields.uploadIndex, 5),
  },
}

testRuleTables<ReviewFields>(datanetReview, [
  {
    name: 'accept',
    lanes: ['native', 'evm'],
    scene: sceneOf(ACCEPT),
    rules: [
      {
        code: 'unknownVerdict',
        invalid: true,
        ways: { 'verdict 0': (s) => (s.fields.verdict = 0), 'verdict 5': (s) => (s.fields.verdict = 5) },
      },
      {
        code: 'badQuality',
        invalid: true,
        ways: { zero: (s) => (s.fields.qualityBps = 0), '10,001': (s) => (s.fields.qualityBps = 10_001) },
      },
      { code: 'badReason', invalid: true, ways: { 'a reason': (s) => (s.fields.reason = 1) } },
      { code: 'badUpload', invalid: true, ways: { 'the datanet': (s) => (s.fields.uploadIndex = WHOLE_DATANET) } },
      { code: 'unknownDatanet', invalid: false, ways: { 'id 9': (s) => (s.fields.datanetId = 9) } },
      {
        code: 'notCurator',
        invalid: false,
        ways: {
          'a stranger': (s) => (s.context = { ...s.context, sender: STRANGER }),
          'the owner': (s) => (s.context = { ...s.context, sender: OWNER }),
          'the uploader': (s) => (s.context = { ...s.context, sender: UPLOADER }),
        },
      },
      { code: 'unknownUpload', invalid: false, ways: { 'index 2': (s) => (s.fields.uploadIndex = 2) } },
      NOT_PENDING,
    ],
  },
  {
    name: 'reject',
    lanes: ['native', 'evm'],
    scene: sceneOf(REJECT),
    rules: [
      { code: 'badQuality', invalid: true, ways: { 'a quality': (s) => (s.fields.qualityBps = 1) } },
      { code: 'badReason', invalid: true, ways: { none: (s) => (s.fields.reason = 0) } },
      { code: 'badUpload', invalid: true, ways: { 'the datanet': (s) => (s.fields.uploadIndex = WHOLE_DATANET) } },
      { code: 'notCurator', invalid: false, ways: { 'the owner': (s) => (s.context = { ...s.context, sender: OWNER }) } },
      { code: 'notPending', invalid: false, ways: { accepted: (s) => (s.fields.uploadIndex = 0) } },
    ],
  },
  {
    name: 'retire an upload',
    lanes: ['native', 'evm'],
    scene: sceneOf(RETIRE),
    rules: [
      { code: 'badQuality', invalid: true, ways: { 'a quality': (s) => (s.fields.qualityBps = 9_000) } },
      { code: 'badReason', invalid: true, ways: { none: (s) => (s.fields.reason = 0) } },
      { code: 'unknownDatanet', invalid: false, ways: { 'id 0': (s) => (s.fields.datanetId = 0) } },
      {
        code: 'notCurator',
        invalid: false,
        ways: {
          'a stranger': (s) => (s.context = { ...s.context, sender: STRANGER }),
          'the uploader': (s) => (s.context = { ...s.context, sender: UPLOADER }),
        },
      },
      { code: 'datanetRetired', invalid: false, ways: { retired: (s) => retireDatanet(s.ledger) } },
      { code: 'unknownUpload', invalid: false, ways: { 'index 2': (s) => (s.fields.uploadIndex = 2) } },
      {
        code: 'notAccepted',
        invalid: false,
        ways: { pending: (s) => (s.fields.uploadIndex = 1), retired: (s) => setUploadStatus(s.ledger, s.fields.uploadIndex, 4) },
      },
    ],
  },
  {
    name: 'retire the datanet',
    lanes: ['native', 'evm'],
    scene: sceneOf(RETIRE_ALL),
    rules: [
      { code: 'badReason', invalid: true, ways: { none: (s) => (s.fields.reason = 0) } },
      { code: 'unknownDatanet', invalid: false, ways: { 'id 9': (s) => (s.fields.datanetId = 9) } },
      { code: 'notCurator', invalid: false, ways: { 'a stranger': (s) => (s.context = { ...s.context, sender: STRANGER }) } },
      { code: 'datanetRetired', invalid: false, ways: { retired: (s) => retireDatanet(s.ledger) } },
    ],
  },
  {
    name: 'withdraw',
    lanes: ['native', 'evm'],
    scene: (lane) => ({
      ledger: createWorld(),
      context: { ...contextOf(UPLOADER, lane === 'evm' ? 0n : undefined), timeSec: WAITED },
      fields: { ...WITHDRAW },
    }),
    rules: [
      { code: 'badQuality', invalid: true, ways: { 'a quality': (s) => (s.fields.qualityBps = 1) } },
      { code: 'badReason', invalid: true, ways: { 'a reason': (s) => (s.fields.reason = 1) } },
      { code: 'badUpload', invalid: true, ways: { 'the datanet': (s) => (s.fields.uploadIndex = WHOLE_DATANET) } },
      { code: 'unknownDatanet', invalid: false, ways: { 'id 9': (s) => (s.fields.datanetId = 9) } },
      { code: 'unknownUpload', invalid: false, ways: { 'index 2': (s) => (s.fields.uploadIndex = 2) } },
      {
        code: 'notUploader',
        invalid: false,
        ways: {
          'a stranger': (s) => (s.context = { ...s.context, sender: STRANGER }),
          'the curator': (s) => (s.context = { ...s.context, sender: CURATOR }),
          'the owner': (s) => (s.context = { ...s.context, sender: OWNER }),
        },
      },
      NOT_PENDING,
      { code: 'stillLocked', invalid: false, ways: { 'a second early': (s) => (s.context = { ...s.context, timeSec: WAITED - 1n }) } },
    ],
  },
])

/** Records of the world before a review. */
function before(ledger: MemoryLedger, uploadIndex: number) {
  return { datanet: datanets.get(ledger, { datanetId: 1 }), upload: uploads.get(ledger, { datanetId: 1, uploadIndex }) }
}

test('DatanetReview: accepting counts the records and gives the bond back to the uploader', () => {
  const ledger = createWorld()
  const { datanet, upload } = before(ledger, 1)
  const uploader = getAccount(ledger, UPLOADER)
  const logs = mustRun(datanetReview, ledger, contextOf(CURATOR), ACCEPT)
  expect(readChanges(ledger.takeChanges())).toEqual({
    'uploads 1/1': { ...upload, status: 2, qualityBps: 9_000 },
    'datanets 1': { ...datanet, accepted: 2, records: 20n },
    [`accounts ${UPLOADER}`]: { ...uploader, balance: uploader.balance + BOND },
    'reviews 1/1': { reviewer: CURATOR, verdict: 1, qualityBps: 9_000, reason: 0, atSec: NOW },
  })
  expect(logs).toEqual([logOf(DOOR.datanets, reviewedEvent, ACCEPT)])
  expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)
})

test('DatanetReview: rejecting sends the bond to the treasury', () => {
  const ledger = createWorld()
  const { upload } = before(ledger, 1)
  const logs = mustRun(datanetReview, ledger, contextOf(CURATOR), REJECT)
  const treasury = { index: indexOf(ledger, TREASURY), balance: BOND, prepaid: 0n, unlockAt: 0n, nonce: 0n }
  expect(readChanges(ledger.takeChanges())).toMatchObject({
    'uploads 1/1': { ...upload, status: 3 },
    [`accounts ${TREASURY}`]: treasury,
    'reviews 1/1': { reviewer: CURATOR, verdict: 2, qualityBps: 0, reason: 2, atSec: NOW },
  })
  expect(logs).toEqual([logOf(DOOR.datanets, reviewedEvent, REJECT)])
  expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)
})

for (const [who, sender] of Object.entries({ owner: OWNER, curator: CURATOR })) {
  test(`DatanetReview: the ${who} retires an upload, which is uncounted and written down`, () => {
    const ledger = createWorld()
    const { datanet, upload } = before(ledger, 0)
    const logs = mustRun(datanetReview, ledger, contextOf(sender), RETIRE)
    expect(readChanges(ledger.takeChanges())).toEqual({
      'uploads 1/0': { ...upload, status: 4 },
      'retires 1/0': { uploadIndex: 0 },
      'datanets 1': { ...datanet, accepted: 0, records: 0n, retires: 1 },
      'reviews 1/0': { reviewer: sender, verdict: 3, qualityBps: 0, reason: 2, atSec: NOW },
    })
    expect(logs).toEqual([logOf(DOOR.datanets, reviewedEvent, RETIRE)])
  })

  test(`DatanetReview: the ${who} retires the datanet, after which its pending uploads can still be judged and nothing more retired`, () => {
    const ledger = createWorld()
    const { datanet } = before(ledger, 0)
    const logs = mustRun(datanetReview, ledger, contextOf(sender), RETIRE_ALL)
    expect(readChanges(ledger.takeChanges())).toEqual({
      'retires 1/0': { uploadIndex: WHOLE_DATANET },
      'datanets 1': { ...datanet, status: 2, retires: 1 },
      'reviews 1/4294967295': { reviewer: sender, verdict: 3, qualityBps: 0, reason: 2, atSec: NOW },
    })
    expect(logs).toEqual([logOf(DOOR.datanets, datanetRetiredEvent, { datanetId: 1, reason: 2 })])
    mustRun(datanetReview, ledger, contextOf(CURATOR), ACCEPT)
    expect(run(datanetReview, ledger, contextOf(CURATOR), RETIRE)).toMatchObject({ ok: false, code: 'datanetRetired' })
  })
}

for (const [when, context, retired] of [
  ['when the delay has passed', { timeSec: WAITED }, false],
  ['at once where the datanet is retired', { timeSec: NOW }, true],
] as const) {
  test(`DatanetReview: the uploader gets the bond back for an upload that nobody reviewed, ${when}, once`, () => {
    const ledger = createWorld()
    if (retired) mustRun(datanetReview, ledger, contextOf(OWNER), RETIRE_ALL)
    ledger.takeChanges()
    const { upload } = before(ledger, 1)
    const uploader = getAccount(ledger, UPLOADER)
    const logs = mustRun(datanetReview, ledger, { ...contextOf(UPLOADER), ...context }, WITHDRAW)
    expect(readChanges(ledger.takeChanges())).toEqual({
      'uploads 1/1': { ...upload, status: 5 },
      [`accounts ${UPLOADER}`]: { ...uploader, balance: uploader.balance + BOND },
      'reviews 1/1': { reviewer: UPLOADER, verdict: 4, qualityBps: 0, reason: 0, atSec: context.timeSec },
    })
    expect(logs).toEqual([logOf(DOOR.datanets, reviewedEvent, WITHDRAW)])
    expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)
    const again = run(datanetReview, ledger, { ...contextOf(UPLOADER), ...context }, WITHDRAW)
    expect(again).toMatchObject({ ok: false, code: 'notPending' })
    expect(run(datanetReview, ledger, contextOf(CURATOR), ACCEPT)).toMatchObject({ ok: false, code: 'notPending' })
  })
}

test('DatanetReview: the curator may still judge after the delay, until the upload is withdrawn', () => {
  const ledger = createWorld()
  mustRun(datanetReview, ledger, { ...contextOf(CURATOR), timeSec: WAITED + 1n }, REJECT)
  const late = { ...contextOf(UPLOADER), timeSec: WAITED + 2n }
  expect(run(datanetReview, ledger, late, WITHDRAW)).toMatchObject({ ok: false, code: 'notPending' })
})
