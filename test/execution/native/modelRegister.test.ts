/** 0x54 ModelRegister. Spec: docs/spec/transactions.md#0x54-modelregister */
import { concatHex, encodePacked, keccak256, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { datanets, getCounters } from '../../../execution/ledger/tables.ts'
import { LICENCE } from '../../../execution/native/datanetCreate.ts'
import { modelIdOf, modelRegister, modelRegisteredEvent } from '../../../execution/native/modelRegister.ts'
import { DOOR } from '../../../genesis/params.ts'
import { type MemoryLedger, readChanges } from '../../fakes/ledger.ts'
import { type Lane, type Scene, testRuleTables } from './ruleTable.ts'
import { contextOf, createWorld, logOf, MODEL, MODELLER, mustRun, run, word } from './world.ts'

type ModelFields = typeof MODEL
type Snapshot = ModelFields['datanets'][number]

/** The world's model under another name. */
const SECOND = { ...MODEL, name: 'rivers-7b-v2' }

function scene(lane: Lane): Scene<ModelFields> {
  const fields = { ...SECOND, datanets: SECOND.datanets.map((one) => ({ ...one })) }
  return { ledger: createWorld(), context: contextOf(MODELLER, lane === 'evm' ? 0n : undefined), fields }
}

function changeDatanet(ledger: MemoryLedger, datanetId: number, change: { licence?: number; status?: number; uploads?: number }): void {
  const datanet = datanets.get(ledger, { datanetId })
  if (datanet) datanets.put(ledger, { datanetId }, { ...datanet, ...change })
}

/** Changes one of the model's datanets. */
function changeSnapshot(fields: ModelFields, i: number, change: Partial<Snapshot>): void {
  fields.datanets = fields.datanets.map((one, n) => (n === i ? { ...one, ...change } : one))
}

const manyDatanets = (count: number): Snapshot[] =>
  Array.from({ length: count }, (_, i) => ({
    datanetId: i + 1,
    snapshotRoot: word('08'),
    uploadCount: 1,
    recordCount: 10,
    weightBps: i === 0 ? 10_000 - (count - 1) : 1,
  }))

testRuleTables<ModelFields>(modelRegister, [
  {
    name: 'register',
    lanes: ['native', 'evm'],
    scene,
    rules: [
      {
        code: 'badName',
        invalid: true,
        ways: { empty: (s) => (s.fields.name = ''), '65 bytes': (s) => (s.fields.name = 'a'.repeat(65)) },
      },
      { code: 'badBase', invalid: true, ways: { zero: (s) => (s.fields.baseHash = zeroHash) } },
      {
        code: 'badUseFlags',
        invalid: true,
        ways: {
          'a grant without meaning': (s) => (s.fields.useFlags |= 1 << 4),
          'the highest bit': (s) => (s.fields.useFlags = 0x80010001),
        },
      },
      {
        code: 'badDatanets',
        invalid: true,
        ways: {
          'one twice': (s) => changeSnapshot(s.fields, 1, { datanetId: 1 }),
          seventeen: (s) => (s.fields.datanets = manyDatanets(17)),
          'weights of 9,999': (s) => changeSnapshot(s.fields, 1, { weightBps: 2_999 }),
          'weights of 10,001': (s) => changeSnapshot(s.fields, 1, { weightBps: 3_001 }),
          'a weight of 0': (s) => {
            changeSnapshot(s.fields, 0, { weightBps: 10_000 })
            changeSnapshot(s.fields, 1, { weightBps: 0 })
          },
          'a snapshot root of zero': (s) => changeSnapshot(s.fields, 1, { snapshotRoot: zeroHash }),
          'no uploads': (s) => changeSnapshot(s.fields, 1, { uploadCount: 0 }),
          'no records': (s) => changeSnapshot(s.fields, 1, { recordCount: 0 }),
        },
      },
      {
        code: 'badShares',
        invalid: true,
        ways: {
          '9,999': (s) => (s.fields.ownerBps = 1_999),
          '10,001': (s) => (s.fields.workerBps = 5_001),
          'contributors without datanets': (s) => (s.fields.datanets = []),
        },
      },
      { code: 'unknownDatanet', invalid: false, ways: { 'id 3': (s) => changeSnapshot(s.fields, 1, { datanetId: 3 }) } },
      {
        code: 'licenceExceeded',
        invalid: true,
        ways: {
          'a grant that neither gave': (s) => (s.fields.useFlags |= LICENCE.deriveModels),
          'a grant that the second did not give': (s) => changeDatanet(s.ledger, 2, { licence: LICENCE.attribution }),
        },
      },
      {
        code: 'licenceObligation',
        invalid: true,
        ways: {
          'an obligation of both': (s) => (s.fields.useFlags &= ~LICENCE.attribution),
          'one of the second': (s) => changeDatanet(s.ledger, 2, { licence: LICENCE.train | LICENCE.attribution | LICENCE.shareAlike }),
        },
      },
      { code: 'datanetRetired', invalid: false, ways: { 'the second': (s) => changeDatanet(s.ledger, 2, { status: 2 }) } },
      { code: 'unknownUpload', invalid: false, ways: { 'one too many': (s) => changeSnapshot(s.fields, 1, { uploadCount: 2 }) } },
      {
        code: 'modelExists',
        invalid: false,
        ways: { again: (s) => void mustRun(modelRegister, s.ledger, s.context, structuredClone(s.fields)) },
      },
    ],
  },
])

test('ModelRegister: the id is the hash of the packed fields and the owner', () => {
  const snapshot = ({ datanetId, snapshotRoot, uploadCount, recordCount, weightBps }: Snapshot) =>
    encodePacked(['uint32', 'bytes32', 'uint32', 'uint32', 'uint16'], [datanetId, snapshotRoot, uploadCount, recordCount, weightBps])
  const packed = concatHex([
    encodePacked(['uint16', 'string'], [MODEL.name.length, MODEL.name]),
    concatHex([MODEL.baseHash, MODEL.adapterHash, MODEL.tokenizerHash, MODEL.trainingConfigHash, MODEL.runtimeProfileHash]),
    encodePacked(['uint32', 'uint16'], [MODEL.useFlags, 2]),
    ...MODEL.datanets.map(snapshot),
    encodePacked(['uint96', 'uint96', 'uint96'], [MODEL.priceBase, MODEL.pricePrompt, MODEL.priceOutput]),
    encodePacked(['uint16', 'uint16', 'uint16'], [MODEL.ownerBps, MODEL.workerBps, MODEL.contributorBps]),
    encodePacked(['uint96', 'uint8', 'address'], [MODEL.minStake, MODEL.maxTier, MODELLER]),
  ])
  expect(modelIdOf(MODEL, MODELLER)).toBe(keccak256(packed))
})

test('ModelRegister: the record holds the manifest, and how many retires its datanets had', () => {
  const ledger = createWorld()
  const datanet = datanets.get(ledger, { datanetId: 2 })
  if (datanet) datanets.put(ledger, { datanetId: 2 }, { ...datanet, retires: 3 })
  ledger.takeChanges()
  const counters = getCounters(ledger)
  const logs = mustRun(modelRegister, ledger, contextOf(MODELLER), SECOND)
  const modelId = modelIdOf(SECOND, MODELLER)
  expect(readChanges(ledger.takeChanges())).toEqual({
    counters: { ...counters, models: 2 },
    [`models ${modelId}`]: {
      ...SECOND,
      index: 2,
      owner: MODELLER,
      datanets: [
        { ...SECOND.datanets[0], retires: 0 },
        { ...SECOND.datanets[1], retires: 3 },
      ],
    },
  })
  const told = { modelId, owner: MODELLER, useFlags: SECOND.useFlags, datanetIds: [1, 2], name: SECOND.name }
  expect(logs).toEqual([logOf(DOOR.models, modelRegisteredEvent, told)])
})

test('ModelRegister: a model without datanets needs no licence and pays no contributor', () => {
  const ledger = createWorld()
  const counters = getCounters(ledger)
  const bare = { ...MODEL, datanets: [], useFlags: 0xf, ownerBps: 10_000, workerBps: 0, contributorBps: 0, name: 'x'.repeat(64) }
  const contract = `0x${'ee'.repeat(20)}` as const
  mustRun(modelRegister, ledger, contextOf(contract, 0n), bare)
  expect(readChanges(ledger.takeChanges())).toEqual({
    [`accounts ${contract}`]: { index: counters.accounts + 1, balance: 0n, prepaid: 0n, unlockAt: 0n, nonce: 0n },
    counters: { ...counters, accounts: counters.accounts + 1, models: 2 },
    [`models ${modelIdOf(bare, contract)}`]: { ...bare, index: 2, owner: contract },
  })
})

test('ModelRegister: taking over more obligations than asked is allowed', () => {
  const ledger = createWorld()
  const useFlags = LICENCE.train | LICENCE.commercialUse | LICENCE.attribution | LICENCE.shareAlike
  mustRun(modelRegister, ledger, contextOf(MODELLER), { ...SECOND, useFlags })
})

test('ModelRegister: the reason does not depend on the order of the datanets', () => {
  for (const order of [0, 1]) {
    const ledger = createWorld()
    changeDatanet(ledger, 1, { status: 2 })
    changeDatanet(ledger, 2, { licence: 0 })
    const named = order === 0 ? SECOND.datanets : SECOND.datanets.toReversed()
    const applied = run(modelRegister, ledger, contextOf(MODELLER), { ...SECOND, datanets: named })
    expect(applied).toMatchObject({ ok: false, code: 'licenceExceeded', invalid: true, datanetId: 2 })
  }
})
