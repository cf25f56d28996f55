/** 0x54 ModelRegister. Spec: docs/spec/transactions.md#0x54-modelregister */
import { concatHex, encodePacked, keccak256, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { datanets, getCounters } from '../../../execution/ledger/tables.ts'
import { datanetCreate, LICENCE } from '../../../execution/native/datanetCreate.ts'
import { modelIdOf, modelRegister, modelRegisteredEvent } from '../../../execution/native/modelRegister.ts'
import { DOOR } from '../../../genesis/params.ts'
import { type MemoryLedger, readChanges } from '../../fakes/ledger.ts'
import { type Lane, type Scene, testRuleTables } from './ruleTable.ts'
import { CREATE, contextOf, createWorld, logOf, MODEL, MODELLER, mustRun, run, word } from './world.ts'

type ModelFields = typeof MODEL
type Snapshot = ModelFields['datanets'][number]

/** The world's model under another name. */
const SECOND = { ...MODEL, name: 'rivers-7b-v2' }

function scene(lane: Lane): Scene<ModelFields> {
  const fields = { ...SECOND, datanets: SECOND.datanets.map((one) => ({ ...one })) }
  return { ledger: createWorld(), context: contextOf(MODELLER, lane === 'evm' ? 0n : undefined), fields }
}

function changeDatanet(
  ledger: MemoryLedger,
  datanetId: number,
  change: { licence?: number; status?: number; uploads?: number; records?: bigint },
): void {
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
      { code: 'badTier', invalid: true, ways: { 'tier 4': (s) => (s.fields.maxTier = 4), 'tier 255': (s) => (s.fields.maxTier = 255) } },
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
        code: 'unknownRecords',
        invalid: false,
        ways: {
          'one too many': (s) => changeSnapshot(s.fields, 1, { recordCount: 21 }),
          'as many as there were before one upload was retired': (s) => changeDatanet(s.ledger, 1, { records: 0n }),
        },
      },
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

/** The table of docs/spec/transactions.md#0x54-modelregister: what each bit comes to in a licence, in use flags, and in both. */
const COMBINATIONS = [
  { name: 'train', bit: 0, neither: 'licenceExceeded', licenceAlone: 'ok', useAlone: 'licenceExceeded' },
  { name: 'commercialUse', bit: 1, neither: 'ok', licenceAlone: 'ok', useAlone: 'licenceExceeded' },
  { name: 'redistributeWeights', bit: 2, neither: 'ok', licenceAlone: 'ok', useAlone: 'licenceExceeded' },
  { name: 'deriveModels', bit: 3, neither: 'ok', licenceAlone: 'ok', useAlone: 'licenceExceeded' },
  { name: 'attribution', bit: 16, neither: 'ok', licenceAlone: 'licenceObligation', useAlone: 'ok' },
  { name: 'shareAlike', bit: 17, neither: 'ok', licenceAlone: 'licenceObligation', useAlone: 'ok' },
] as const

/** What comes of a model with these use flags over two datanets: the second has this licence, the first one that forbids nothing and asks nothing. */
function outcomeOf(licence: number, useFlags: number, ledger = createWorld()): string {
  ledger.checkpoint()
  changeDatanet(ledger, 1, { licence: GRANTS })
  changeDatanet(ledger, 2, { licence })
  const applied = run(modelRegister, ledger, contextOf(MODELLER), { ...SECOND, useFlags })
  ledger.revert()
  return applied.ok ? 'ok' : applied.code
}

const GRANTS = COMBINATIONS.filter(({ bit }) => bit < 16).reduce((all, { bit }) => all | (1 << bit), 0)
const OBLIGATIONS = COMBINATIONS.filter(({ bit }) => bit >= 16).reduce((all, { bit }) => all | (1 << bit), 0)

for (const { name, bit, neither, licenceAlone, useAlone } of COMBINATIONS) {
  test(`ModelRegister: ${name} in a licence, in use flags, and in both, whatever the other bits are`, () => {
    const flag = 1 << bit
    expect(LICENCE[name]).toBe(flag)
    // The other bits: none; or every grant of the licence's and every obligation taken over, which break no rule by themselves.
    // The licence to train is needed by whoever names a datanet: what breaks no rule has it.
    for (const [others, use] of [
      [0, 0],
      [GRANTS & ~flag, 0],
      [0, OBLIGATIONS & ~flag],
      [(GRANTS | OBLIGATIONS) & ~flag, (GRANTS | OBLIGATIONS) & ~flag],
    ] as const) {
      const licence = others | (LICENCE.train & ~flag)
      expect(outcomeOf(licence, use)).toBe(neither)
      expect(outcomeOf(licence | flag, use)).toBe(licenceAlone)
      expect(outcomeOf(licence, use | flag)).toBe(useAlone)
      expect(outcomeOf(licence | flag, use | flag)).toBe('ok')
    }
  })
}

test('ModelRegister: all licences against all use flags come to what the table says of their bits, a grant too many first', () => {
  const subsets = Array.from({ length: 2 ** COMBINATIONS.length }, (_, n) =>
    COMBINATIONS.reduce((all, { bit }, i) => ((n >> i) & 1 ? all | (1 << bit) : all), 0),
  )
  const ledger = createWorld()
  const has = (flags: number, bit: number) => (flags >> bit) % 2 !== 0
  for (const licence of subsets) {
    for (const useFlags of subsets) {
      const found = COMBINATIONS.flatMap(({ bit, neither, licenceAlone, useAlone }): string[] => {
        if (has(licence, bit)) return has(useFlags, bit) ? [] : [licenceAlone]
        return [has(useFlags, bit) ? useAlone : neither]
      })
      const expected = ['licenceExceeded', 'licenceObligation'].find((code) => found.includes(code)) ?? 'ok'
      expect(outcomeOf(licence, useFlags, ledger), `licence ${licence}, use ${useFlags}`).toBe(expected)
    }
  }
})

test('ModelRegister: who claims no use still needs leave to train for every datanet that is named, and none without any', () => {
  const bare = { ...SECOND, useFlags: LICENCE.attribution }
  const ledger = createWorld()
  changeDatanet(ledger, 2, { licence: LICENCE.attribution | LICENCE.commercialUse })
  expect(run(modelRegister, ledger, contextOf(MODELLER), bare)).toMatchObject({ code: 'licenceExceeded', invalid: true, datanetId: 2 })
  const alone = { ...bare, datanets: [], ownerBps: 5_000, workerBps: 5_000, contributorBps: 0 }
  expect(run(modelRegister, ledger, contextOf(MODELLER), alone)).toMatchObject({ ok: true })
})

test('ModelRegister: a bit without a meaning is refused, whatever a licence says', () => {
  for (const bit of Array.from({ length: 32 }, (_, i) => i).filter((i) => !COMBINATIONS.some((one) => one.bit === i))) {
    const flag = (1 << bit) >>> 0
    expect(run(modelRegister, createWorld(), contextOf(MODELLER), { ...SECOND, useFlags: flag })).toMatchObject({ code: 'badUseFlags' })
    const licence = { ...CREATE, licence: flag }
    expect(run(datanetCreate, createWorld(), contextOf(MODELLER), licence)).toMatchObject({ code: 'badLicence', invalid: true })
  }
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
