/**
 * The rules' twins on L1, one operation after another on a small world, on both lanes: whatever is asked, by whoever, they keep, fail or refuse it as
 * execution/native/ does, by the same rule, and leave the same ledger.
 */
import fc from 'fast-check'
import { bytesToHex, type Hex, hexToString, parseAbi, trim, zeroAddress, zeroHash } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { paramsAt, putGenesisParams } from '../../../execution/ledger/governed.ts'
import { createLedger } from '../../../execution/ledger/ledger.ts'
import type { LedgerSource } from '../../../execution/ledger/rootReader.ts'
import { earnings, getAccount, L1_RECORD, l1Table, maturities, putEvmExits, workers } from '../../../execution/ledger/tables.ts'
import { createLedgerTree, EMPTY, rootHex, treeKey } from '../../../execution/ledger/tree.ts'
import { LICENCE } from '../../../execution/native/datanetCreate.ts'
import { WHOLE_DATANET } from '../../../execution/native/datanetReview.ts'
import { OPERATION_TYPES } from '../../../execution/native/native.ts'
import { type Applied, codeBytes32, type FieldValues, type NativeType } from '../../../execution/native/nativeType.ts'
import { GOVERNED } from '../../../genesis/governed.ts'
import { GOVERNOR } from '../../../genesis/params.ts'
import { type RecordPlace, witnessOf } from '../../../settlement/witness.ts'
import {
  ALICE,
  BLOCK,
  BOB,
  CLIENT,
  CLIENT_KEY,
  CREATE,
  CURATOR,
  createWorld,
  drawOf,
  FUNDS,
  HOT_KEY,
  MODEL,
  MODEL_ID,
  MODELLER,
  NOW,
  OWNER,
  REGISTRATION,
  REQUEST,
  SECOND_CLIENT,
  SECOND_CLIENT_KEY,
  SECOND_OWNER,
  STRANGER,
  UPLOAD,
  UPLOADER,
  WORKER,
  word,
  workerAction,
} from '../../execution/native/world.ts'
import { ANVIL_ACCOUNTS, type Anvil, startAnvil } from '../../fakes/anvil.ts'
import { stageClient } from '../../fakes/l1Stage.ts'
import { TEST_PARAMS } from '../../fakes/ledger.ts'
import { deployWatcher } from './watcher.ts'

const ruleAbi = parseAbi([
  'struct Step { address sender; bool isOperation; uint64 blockNumber; uint64 timeSec; }',
  'function runRule(uint8 typeByte, bytes fields, Step step, bytes witness) returns (bytes32 oldRoot, bytes32 newRoot, bytes32 code, bool isFailure)',
])

let anvil: Anvil
let client: ReturnType<typeof stageClient>
let address: Hex

beforeAll(async () => {
  anvil = await startAnvil()
  client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  address = await deployWatcher(client, TEST_PARAMS)
})
afterAll(() => anvil?.stop())

/** An operation as somebody may ask for it. */
type Asked = {
  readonly type: NativeType
  readonly sender: Hex
  readonly isOperation: boolean
  readonly laterSec: number
  readonly laterBlocks: number
  readonly fields: FieldValues
}

// ---- what is asked: an operation that the world allows, with up to three things about it changed --------------------------------------

const PEOPLE = [OWNER, CURATOR, UPLOADER, ALICE, BOB, MODELLER, WORKER, HOT_KEY, SECOND_OWNER, STRANGER, CLIENT, SECOND_CLIENT, GOVERNOR]
const AMOUNTS = [0n, 1n, 999n, 1_000n, 4_999n, 5_000n, FUNDS, FUNDS + 1n, 2n ** 96n - 1n]
const NAMES = ['', 'a', 'x'.repeat(64), 'x'.repeat(65), 'grüße 𝄞', '\ufeffé']
const WORDS = [zeroHash, word('01'), word('ff')]
const part = (account: Hex, shareBps: number, role: number) => ({ account, shareBps, role })
const [ofRivers, ofWeather] = MODEL.datanets
if (!ofRivers || !ofWeather) throw new Error('the model is of two datanets')

type Base = {
  readonly name: string
  readonly sender: Hex
  readonly fields: FieldValues
  readonly others: Readonly<Record<string, readonly unknown[]>>
}

const transferTo = (kind: number, sender: Hex): Base => ({
  name: 'Transfer',
  sender,
  fields: { kind, to: kind >= 4 ? zeroAddress : ALICE, amount: kind === 4 ? 0n : 1_000n },
  others: { kind: [0, 1, 2, 3, 4, 5, 6, 255], to: [zeroAddress, ...PEOPLE], amount: AMOUNTS },
})
const REVIEWS = {
  datanetId: [0, 1, 2, 3],
  uploadIndex: [0, 1, 2, WHOLE_DATANET],
  verdict: [0, 1, 2, 3, 4, 5],
  qualityBps: [0, 1, 10_000, 10_001],
  reason: [0, 1, 255],
}
const review = (sender: Hex, uploadIndex: number, verdict: number): Base => ({
  name: 'DatanetReview',
  sender,
  fields: { datanetId: 1, uploadIndex, verdict, qualityBps: verdict === 1 ? 9_000 : 0, reason: verdict === 2 || verdict === 3 ? 1 : 0 },
  others: REVIEWS,
})
const workerOthers = {
  action: [0, 1, 2, 3],
  hotKey: [zeroAddress, HOT_KEY, STRANGER],
  runtimeProfileHash: WORDS,
  stake: AMOUNTS,
  endpoint: ['', 'x', 'y'.repeat(128), 'z'.repeat(129), 'é'],
}

const BASES: readonly Base[] = [
  ...[0, 1, 2, 3].map((kind) => transferTo(kind, STRANGER)),
  ...[4, 5].map((kind) => transferTo(kind, CLIENT)),
  {
    name: 'DatanetCreate',
    sender: STRANGER,
    fields: CREATE,
    others: {
      name: NAMES,
      schemaHash: WORDS,
      licence: [0, LICENCE.train, 0x3_000f, 0x10, 0x4_0000, 0x8000_0000],
      curator: [zeroAddress, CURATOR, STRANGER],
      joinPolicy: [0, 1, 2],
      uploadBond: AMOUNTS,
    },
  },
  {
    name: 'DatanetUpload',
    sender: UPLOADER,
    fields: UPLOAD,
    others: {
      datanetId: [0, 1, 2, 3, 4],
      contentRoot: WORDS,
      contentId: ['0x', '0x01', `0x${'ab'.repeat(64)}`, `0x${'ab'.repeat(65)}`],
      recordCount: [0, 1, 0xffff_ffff],
      byteCount: [0n, 1n, 2n ** 64n - 1n],
      contributors: [
        [],
        [part(ALICE, 10_000, 1)],
        [part(ALICE, 10_000, 0)],
        [part(ALICE, 10_000, 4)],
        [part(zeroAddress, 10_000, 1)],
        [part(ALICE, 9_999, 1)],
        [part(ALICE, 10_000, 1), part(BOB, 0, 2)],
        [part(STRANGER, 5_000, 1), part(STRANGER, 5_000, 2)],
        [part(STRANGER, 5_000, 1), part(STRANGER, 5_000, 1)],
        [part(word('dd').slice(0, 42) as Hex, 4_000, 3), part(word('de').slice(0, 42) as Hex, 6_000, 3)],
        [1, 2, 3, 4, 5].map((n) => part(PEOPLE[n] ?? ALICE, 2_000, 1)),
      ],
    },
  },
  ...[1, 2, 3].flatMap((verdict) => [0, 1].map((uploadIndex) => review(CURATOR, uploadIndex, verdict))),
  review(OWNER, WHOLE_DATANET, 3),
  review(UPLOADER, 1, 4),
  {
    name: 'ModelRegister',
    sender: STRANGER,
    fields: MODEL,
    others: {
      name: NAMES,
      baseHash: WORDS,
      useFlags: [0, LICENCE.attribution, 0x1_0003, 0x1_0007, 0x3_0001, 1, 0x10],
      datanets: [
        [],
        [{ ...ofRivers, weightBps: 10_000 }],
        [{ ...ofRivers, datanetId: 9, weightBps: 10_000 }],
        [{ ...ofRivers, weightBps: 10_000, recordCount: 21 }],
        [{ ...ofRivers, weightBps: 10_000, uploadCount: 9 }],
        [
          { ...ofRivers, weightBps: 5_000 },
          { ...ofRivers, weightBps: 5_000 },
        ],
        [
          { ...ofRivers, weightBps: 10_000 },
          { ...ofWeather, weightBps: 0 },
        ],
        [{ ...ofRivers, weightBps: 10_000, snapshotRoot: zeroHash }],
        [{ ...ofRivers, weightBps: 9_999 }],
        Array.from({ length: 17 }, (_, i) => ({ ...ofRivers, datanetId: i + 1, weightBps: i === 0 ? 9_984 : 1 })),
      ],
      contributorBps: [0, 3_000, 3_001],
      ownerBps: [2_000, 5_000],
      minStake: AMOUNTS,
      maxTier: [0, 3, 4],
    },
  },
  { name: 'WorkerRegister', sender: STRANGER, fields: REGISTRATION, others: workerOthers },
  { name: 'WorkerRegister', sender: WORKER, fields: REGISTRATION, others: workerOthers },
  { name: 'WorkerRegister', sender: WORKER, fields: workerAction(1, 4_000n), others: workerOthers },
  { name: 'WorkerRegister', sender: WORKER, fields: workerAction(2), others: workerOthers },
  {
    name: 'AttributionCredit',
    sender: HOT_KEY,
    fields: {
      ...{ worker: WORKER, modelId: MODEL_ID, firstSeq: 1n, count: 2, receiptsRoot: word('31'), attributionRoot: word('32') },
      ...{ promptTokens: 100n, outputTokens: 200n, draws: [drawOf(REQUEST, 2n * 10n ** 12n + 700n * 10n ** 9n, CLIENT_KEY)] },
      ...{ accounts: [1, 2, 11], amountsGwei: [3, 4, 5] },
    },
    others: {
      worker: [WORKER, STRANGER],
      modelId: [MODEL_ID, word('77')],
      firstSeq: [0n, 1n, 2n, 9n, 2n ** 64n - 2n, 2n ** 64n - 1n],
      count: [0, 1, 2, 4_096, 4_097],
      receiptsRoot: WORDS,
      promptTokens: [0n, 100n],
      draws: [
        [],
        [drawOf(REQUEST, 0n)],
        [drawOf(REQUEST, 10n ** 12n), drawOf({ ...REQUEST, client: SECOND_CLIENT }, 10n ** 12n + 700n * 10n ** 9n, SECOND_CLIENT_KEY)],
        [drawOf(REQUEST, 10n ** 12n), drawOf(REQUEST, 10n ** 12n + 700n * 10n ** 9n)],
        [drawOf({ ...REQUEST, client: STRANGER }, 2n * 10n ** 12n + 700n * 10n ** 9n)],
        [drawOf({ ...REQUEST, worker: STRANGER }, 2n * 10n ** 12n + 700n * 10n ** 9n)],
        [drawOf({ ...REQUEST, cumulativeMaxFee: 1n }, 2n * 10n ** 12n + 700n * 10n ** 9n)],
        [{ ...drawOf(REQUEST, 2n * 10n ** 12n + 700n * 10n ** 9n), signature: `0x${'11'.repeat(64)}` }],
        [{ ...drawOf(REQUEST, 2n * 10n ** 12n + 700n * 10n ** 9n), signature: `0x${'11'.repeat(64)}1b` }],
        [{ ...drawOf(REQUEST, 2n * 10n ** 12n + 700n * 10n ** 9n), signature: `0x${'ff'.repeat(64)}1c` }],
        [{ ...drawOf(REQUEST, 2n * 10n ** 12n + 700n * 10n ** 9n), signature: `0x${'11'.repeat(64)}02` }],
      ],
      accounts: [[], [1, 2, 3], [0, 1, 2], [2, 1, 3], [1, 2, 999], [16, 31, 32]],
      amountsGwei: [[], [1, 1, 1], [1, 0, 1], [400, 400, 400], [1, 2]],
    },
  },
  {
    name: 'Claim',
    sender: ALICE,
    fields: { epochs: [3, 5] },
    others: { epochs: [[], [3], [4], [5], [3, 3], [5, 3], [3, 4, 5, 6], [277], Array.from({ length: 257 }, (_, i) => i)] },
  },
  ...GOVERNED.map(({ name, least, most }) => ({
    name: 'ParamSet',
    sender: GOVERNOR,
    fields: { name: codeBytes32(name), value: BigInt(TEST_PARAMS[name]) * 2n },
    others: {
      name: [...GOVERNED.map((one) => codeBytes32(one.name)), codeBytes32('epochSec'), zeroHash],
      value: [0n, 1n, least, most, most + 1n, BigInt(TEST_PARAMS[name]) / 2n, BigInt(TEST_PARAMS[name]) * 9n, 2n ** 256n - 1n],
    },
  })),
]

const arbitraryBase = fc
  .constantFrom(...new Set(BASES.map(({ name }) => name)))
  .chain((name) => fc.constantFrom(...BASES.filter((base) => base.name === name)))

const arbitraryAsked: fc.Arbitrary<Asked> = arbitraryBase.chain(({ name, sender, fields, others }) => {
  const type = OPERATION_TYPES.find((one) => one.name === name)
  if (!type) throw new Error(`there is no type ${name}`)
  const change = fc
    .constantFrom(...Object.keys(others))
    .chain((key) => fc.constantFrom(...(others[key] ?? [])).map((value) => [key, value] as const))
  return fc.record({
    type: fc.constant(type),
    sender: fc.oneof({ weight: 4, arbitrary: fc.constant(sender) }, { weight: 1, arbitrary: fc.constantFrom(...PEOPLE) }),
    isOperation: name === 'ParamSet' ? fc.constant(true) : fc.constantFrom(false, false, true),
    laterSec: fc.constantFrom(0, 1, 599, 600, 3_000, 10_800, 40_000),
    laterBlocks: fc.constantFrom(0, 0, 1),
    fields: fc.array(change, { maxLength: 3 }).map((changes) => ({ ...fields, ...Object.fromEntries(changes) })),
  })
})

// ---- the world on both sides ------------------------------------------------------------------------------------------------------------

/** The world's records, with earnings to claim, and its tree. */
function createTwinWorld() {
  const world = createWorld()
  putGenesisParams(world, TEST_PARAMS)
  putEvmExits(world, { perHourWei: 7_000n, usedWei: 6_000n, atSec: NOW })
  const { index } = getAccount(world, ALICE)
  for (const epoch of [3, 5, 6]) {
    const amounts = Array.from({ length: 16 }, (_, i) => (i === index % 16 ? 77n : epoch === 5 ? 1n : 0n))
    world.set(earnings.number, earnings.encodeId({ epoch, group: Math.floor(index / 16) }), earnings.encode({ amounts }))
    if (epoch !== 6) maturities.put(world, { epoch }, { atSec: 20_000n })
  }
  const known = world.records().find(({ table }) => table === workers.number)
  if (!known) throw new Error('the world has a worker')
  const entries = new Map<Hex, Uint8Array>()
  const records = new Map<string, Uint8Array>()
  const nameOf = (table: number, id: Uint8Array) => `${table}:${bytesToHex(id)}`
  const source: LedgerSource = {
    ledgerRecord: (table, id) => records.get(nameOf(table, id)),
    ledgerEntry: (key) => entries.get(bytesToHex(key)),
  }
  const tree = createLedgerTree(EMPTY, source.ledgerEntry)
  const commit = (changes: readonly { table: number; id: Uint8Array; record: Uint8Array | undefined }[]) => {
    for (const { table, id, record } of changes) {
      if (record) records.set(nameOf(table, id), record)
      else records.delete(nameOf(table, id))
    }
    tree.commit(
      changes.map(({ table, id, record }) => ({ key: treeKey(table, id), record })),
      ({ key, bytes }) => entries.set(bytesToHex(key), bytes.slice()),
    )
  }
  commit(world.records())
  return { source, root: () => rootHex(tree), commit }
}

/** Runs it here, as a block would, and commits what it changed. */
function runHere(world: ReturnType<typeof createTwinWorld>, { type, sender, isOperation, laterSec, laterBlocks, fields }: Asked) {
  const touched = new Map<string, RecordPlace>()
  const onTouch = (table: number, id: Uint8Array) => touched.set(`${table}:${bytesToHex(id)}`, { table, id: id.slice() })
  for (const item of [1, 2, 3, 4]) onTouch(0, Uint8Array.of(item))
  onTouch(0x0c, Uint8Array.of(1))
  const ledger = createLedger((table, id) => {
    onTouch(table, id)
    return world.source.ledgerRecord(table, id)
  })
  // What may leave the EVM goes by L1's clock.
  const l1 = l1Table.decode(world.source.ledgerRecord(0, L1_RECORD.id) ?? new Uint8Array())
  world.commit([{ ...L1_RECORD, record: l1Table.encode({ ...l1, timestampSec: NOW + BigInt(laterSec) }) }])
  const root = world.root()
  const blockNumber = BLOCK + BigInt(laterBlocks)
  const timeSec = NOW + BigInt(laterSec)
  const params = paramsAt(TEST_PARAMS, ledger, blockNumber)
  const context = { params, blockNumber, timeSec, sender, callValueWei: isOperation ? ('attested' as const) : undefined }
  ledger.checkpoint()
  const applied: Applied = type.check(fields, params.chainId) ?? type.apply(ledger, context, fields)
  if (applied.ok) ledger.commit()
  else ledger.revert()
  const changes = ledger.takeChanges()
  for (const { table, id } of changes) onTouch(table, id)
  const witness = witnessOf({ root, source: world.source }, [...touched.values()])
  world.commit(changes)
  const step = { sender, isOperation, blockNumber, timeSec }
  return { applied, root, newRoot: world.root(), witness, step }
}

async function runThere({ type, fields }: Asked, { step, witness }: ReturnType<typeof runHere>) {
  const args = [type.byte, bytesToHex(type.fields.pack(fields)), step, bytesToHex(witness)] as const
  const { result } = await client.simulateContract({ address, abi: ruleAbi, functionName: 'runRule', args, gas: 30_000_000n })
  const [oldRoot, newRoot, code, isFailure] = result
  return { oldRoot, newRoot, code: code === zeroHash ? '' : hexToString(trim(code, { dir: 'right' })), isFailure }
}

test('every rule is kept and broken alike', { timeout: 600_000 }, async () => {
  const met = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(fc.array(arbitraryAsked, { minLength: 1, maxLength: 12 }), async (all) => {
      const world = createTwinWorld()
      for (const asked of all) {
        const here = runHere(world, asked)
        const { applied, root, newRoot } = here
        const want = applied.ok ? { code: '', isFailure: false } : { code: applied.code, isFailure: !applied.invalid }
        expect(await runThere(asked, here)).toEqual({ oldRoot: root, newRoot, ...want })
        const name = `${asked.type.name} ${want.code}`
        met.set(name, (met.get(name) ?? 0) + 1)
      }
    }),
    { numRuns: Number(process.env.TWIN_RUNS ?? 100) },
  )
  if (process.env.TWIN_TELL) process.stdout.write(`${JSON.stringify(Object.fromEntries([...met].toSorted()), undefined, 1)}\n`)
})
