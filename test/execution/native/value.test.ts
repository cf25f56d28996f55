/** No operation makes or loses value, whoever asks for it and however it ends. Spec: docs/spec/ledger.md#value */
import fc from 'fast-check'
import { bytesToHex, type Hex, zeroAddress } from 'viem'
import { expect, test } from 'vitest'
import { credits, datanets, draws, getSupply, workers } from '../../../execution/ledger/tables.ts'
import { entriesHash } from '../../../execution/native/attributionCredit.ts'
import { NATIVE_TYPES } from '../../../execution/native/native.ts'
import type { FieldValues, NativeContext, NativeType } from '../../../execution/native/nativeType.ts'
import { WORKER_ACTION, workerRegister } from '../../../execution/native/workerRegister.ts'
import { type LedgerRecord, ledgerValueWei, type MemoryLedger, TEST_PARAMS } from '../../fakes/ledger.ts'
import {
  ALICE,
  BLOCK,
  BOB,
  CLIENT,
  CREATE,
  CURATOR,
  createWorld,
  drawOf,
  FUNDS,
  MODEL,
  MODEL_ID,
  MODELLER,
  NOW,
  OWNER,
  REGISTRATION,
  REQUEST,
  REVIEW,
  run,
  SECOND_CLIENT,
  SECOND_CLIENT_KEY,
  SECOND_OWNER,
  STRANGER,
  UPLOAD,
  UPLOADER,
  WORKER,
  word,
  workerAction,
} from './world.ts'

const ACTORS = [OWNER, CURATOR, UPLOADER, ALICE, BOB, MODELLER, WORKER, SECOND_OWNER, CLIENT, SECOND_CLIENT, STRANGER] as const
const FIRST_EPOCH = Math.floor(Number(NOW) / TEST_PARAMS.epochSec)

/** Types whose every operation spends what the EVM lane may not: no call of them succeeds. */
const NATIVE_ONLY: readonly string[] = ['AttributionCredit']

const actor = fc.constantFrom(...ACTORS)
const amount = fc.constantFrom(0n, 1n, 5n, 1_000n, 5_000n, FUNDS / 3n, FUNDS + 1n)

/** One step of a walk; its fields are made when it is its turn, from what the ledger then holds. */
type Step = {
  readonly sender: Hex
  readonly fromEvm: boolean
  /** Wei more or less than what the rule takes, in a call from the EVM. */
  readonly excessWei: bigint
  readonly seconds: number
  readonly name: string
  fields(ledger: MemoryLedger, timeSec: bigint): FieldValues
}

/** The senders of an operation: mostly the one who may. */
const by = (likely: Hex) => fc.oneof({ weight: 4, arbitrary: fc.constant(likely) }, { weight: 1, arbitrary: actor })

function stepOf(name: string, sender: fc.Arbitrary<Hex>, fields: fc.Arbitrary<Step['fields']>): fc.Arbitrary<Step> {
  const fromEvm = NATIVE_ONLY.includes(name) ? fc.constantFrom(true, false, false, false) : fc.boolean()
  const excessWei = fc.oneof({ weight: 5, arbitrary: fc.constant(0n) }, { weight: 1, arbitrary: fc.constantFrom(-1n, 1n, FUNDS) })
  const seconds = fc.constantFrom(0, 1, 300, 1_300, 4_000, 12_000)
  return fc.record({ name: fc.constant(name), sender, fromEvm, excessWei, seconds, fields })
}

const always = <T extends FieldValues>(fields: fc.Arbitrary<T>): fc.Arbitrary<Step['fields']> => fields.map((one) => () => one)

const transfers = fc.tuple(fc.integer({ min: 0, max: 6 }), actor, amount).map(([kind, to, wei]) => () => ({
  kind,
  to: kind >= 4 ? zeroAddress : to,
  amount: kind === 4 ? 0n : wei,
}))
const creates = fc.record({ ...asConstants(CREATE), joinPolicy: fc.integer({ min: 0, max: 2 }), uploadBond: amount })
const datanetUploads = fc.record({ ...asConstants(UPLOAD), datanetId: fc.integer({ min: 1, max: 4 }) })
/** Of one of the last uploads of a datanet, or now and then of the datanet. */
const verdicts = fc
  .record({
    datanetId: fc.integer({ min: 1, max: 3 }),
    verdict: fc.constantFrom(1, 1, 2, 3, 4),
    back: fc.constantFrom(1, 1, 1, 2, 3),
    whole: fc.nat(9),
  })
  .map(({ datanetId, verdict, back, whole }) => (ledger: MemoryLedger) => {
    const last = (datanets.get(ledger, { datanetId })?.uploads ?? 0) - back
    const uploadIndex = whole === 0 && verdict === 3 ? 0xffffffff : Math.max(0, last)
    return {
      ...REVIEW,
      datanetId,
      uploadIndex,
      verdict,
      qualityBps: verdict === 1 ? 9_000 : 0,
      reason: verdict === 1 || verdict === 4 ? 0 : 1,
    }
  })
const manifests = fc.record({
  ...asConstants(MODEL),
  name: fc.string({ minLength: 1, maxLength: 3 }),
  useFlags: fc.constantFrom(0x10001, 0x10001, 1),
})
const registrations = fc.tuple(fc.constantFrom(0, 1, 2), amount).map(
  ([action, wei]) =>
    () =>
      action === 0 ? { ...REGISTRATION, stake: wei } : workerAction(action, action === 1 ? wei : 0n),
)
/** Every epoch that has matured by then, and in some claims one more. */
const claims = fc.constantFrom(0, 0, 0, 1).map((more) => (_: MemoryLedger, timeSec: bigint) => {
  const matured = Math.floor((Number(timeSec) - TEST_PARAMS.vestingSec) / TEST_PARAMS.epochSec) - FIRST_EPOCH
  return { epochs: Array.from({ length: Math.max(1, matured + more) }, (_, i) => FIRST_EPOCH + i) }
})

/** What windows drew and gave, by the hash that a credit's record keeps of the entries. */
const windowsMade = new Map<Hex, { drawn: { client: Hex; amount: bigint }[]; accounts: number[]; amountsGwei: number[] }>()

/** Against the latest credit, with evidence that shows nothing: its bond is lost. */
const disputesMade = fc.constantFrom(1, 2, 3, 4, 5, 6).map((kind) => (ledger: MemoryLedger) => {
  const creditIndex = Math.max(0, (workers.get(ledger, { worker: WORKER })?.credits ?? 0) - 1)
  const known = windowsMade.get(credits.get(ledger, { worker: WORKER, creditIndex })?.entriesHash ?? '0x')
  const lists = known ?? { drawn: [], accounts: [], amountsGwei: [] }
  return { kind, worker: WORKER, creditIndex, ...lists, evidence: '0x0000', opened: '0x' }
})

const windows = fc
  .record({
    count: fc.integer({ min: 1, max: 5 }),
    promptTokens: fc.bigInt({ min: 0n, max: 1_000n }),
    outputTokens: fc.bigInt({ min: 0n, max: 1_000n }),
    entries: fc.uniqueArray(fc.integer({ min: 1, max: 14 }), { maxLength: 6 }),
    gwei: fc.integer({ min: 1, max: 300 }),
    second: fc.boolean(),
    offWei: fc.constantFrom(0n, 0n, 0n, 0n, 1n, -1n),
  })
  .map(({ count, promptTokens, outputTokens, entries, gwei, second, offWei }) => (ledger: MemoryLedger) => {
    const fee = BigInt(count) * MODEL.priceBase + promptTokens * MODEL.pricePrompt + outputTokens * MODEL.priceOutput
    const firstSeq = (workers.get(ledger, { worker: WORKER })?.lastSeq ?? 0n) + 1n
    const others = second ? fee / 3n : 0n
    const drawn = draws.get(ledger, { client: CLIENT, worker: WORKER })?.drawn ?? 0n
    const first = drawOf({ ...REQUEST, cumulativeMaxFee: drawn + fee }, fee - others + offWei)
    const taken = second ? [first, drawOf({ ...REQUEST, client: SECOND_CLIENT }, others, SECOND_CLIENT_KEY)] : [first]
    const accounts = entries.toSorted((a, b) => a - b)
    const amountsGwei = accounts.map(() => gwei)
    const drawnNow = taken.map(({ request, amount: wei }) => ({ client: request.client, amount: wei }))
    windowsMade.set(entriesHash({ accounts, amountsGwei }), { drawn: drawnNow, accounts, amountsGwei })
    const window = { worker: WORKER, modelId: MODEL_ID, firstSeq, count, receiptsRoot: word('31'), attributionRoot: word('32') }
    return { ...window, promptTokens, outputTokens, draws: taken, accounts, amountsGwei }
  })

const step: fc.Arbitrary<Step> = fc.oneof(
  stepOf('Transfer', actor, transfers),
  stepOf('DatanetCreate', actor, always(creates)),
  stepOf('DatanetUpload', actor, always(datanetUploads)),
  {
    weight: 2,
    arbitrary: stepOf('DatanetReview', fc.oneof({ weight: 3, arbitrary: by(CURATOR) }, { weight: 1, arbitrary: by(UPLOADER) }), verdicts),
  },
  stepOf('ModelRegister', actor, always(manifests)),
  stepOf('WorkerRegister', by(WORKER), registrations),
  { weight: 3, arbitrary: stepOf('AttributionCredit', by(WORKER), windows) },
  { weight: 2, arbitrary: stepOf('CreditDispute', actor, disputesMade) },
  { weight: 2, arbitrary: stepOf('Claim', by(WORKER), claims) },
)

function asConstants<T extends Readonly<Record<string, unknown>>>(fields: T): { [K in keyof T]: fc.Arbitrary<T[K]> } {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, fc.constant(value)])) as {
    [K in keyof T]: fc.Arbitrary<T[K]>
  }
}

function typeOf(name: string): NativeType {
  const type = NATIVE_TYPES.find((one) => one.name === name)
  expect(type, name).toBeDefined()
  return type as NativeType
}

/** What an operation takes from whoever asks, said once more and not by the rules. */
function dueWei(ledger: MemoryLedger, type: NativeType, fields: FieldValues): bigint {
  if (type.name === 'Transfer') return fields.amount as bigint
  if (type.name === 'DatanetUpload') return datanets.get(ledger, { datanetId: fields.datanetId as number })?.uploadBond ?? 0n
  if (type.name === 'CreditDispute') return TEST_PARAMS.disputeBondWei
  if (type === workerRegister) return fields.action === WORKER_ACTION.register ? (fields.stake as bigint) : 0n
  return 0n
}

function sorted(records: readonly LedgerRecord[]): string[] {
  return records.map(({ table, id, record }) => `${table} ${bytesToHex(id)} ${bytesToHex(record)}`).sort()
}

test('over any walk of operations of both lanes the value adds up, and evmSupply is what is in the EVM', () => {
  const outcomes = new Map<string, number>()
  const count = (outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
      const ledger = createWorld()
      const replayed = createWorld()
      const { deposited } = getSupply(ledger)
      let evmWei = FUNDS
      let timeSec = NOW
      for (const { name, sender, fromEvm, excessWei, seconds, fields: make } of steps) {
        timeSec += BigInt(seconds)
        const type = typeOf(name)
        const fields = make(ledger, timeSec)
        const value = fromEvm ? dueWei(ledger, type, fields) + excessWei : undefined
        if (value !== undefined && (value < 0n || value > evmWei || (!type.payable && value > 0n))) continue // no such call reaches a rule
        const context: NativeContext = { params: TEST_PARAMS, blockNumber: BLOCK, timeSec, sender, callValueWei: value }
        const applied = run(type, ledger, context, fields)
        count(`${name}, ${fromEvm ? 'evm' : 'native'}: ${applied.ok ? 'ok' : 'refused'}`)
        if (applied.ok) {
          evmWei -= value ?? 0n
          if (name === 'Transfer' && fields.kind === 1) evmWei += fields.amount as bigint
          expect(run(type, replayed, { ...context, callValueWei: fromEvm ? 'attested' : undefined }, fields).ok).toBe(true)
        } else if (applied.code === 'nativeOnly') {
          count(`${name}: nativeOnly`)
          expect(run(type, replayed, { ...context, callValueWei: 'attested' }, fields)).toMatchObject({ ok: false, code: 'nativeOnly' })
        }
        expect(ledgerValueWei(ledger.records())).toBe(deposited)
        expect(getSupply(ledger)).toMatchObject({ deposited, evmSupply: evmWei })
      }
      // Who has but the operations that succeeded, without their values, comes to the same records.
      expect(sorted(replayed.records())).toEqual(sorted(ledger.records()))
    }),
    { numRuns: 150 },
  )
  for (const { name } of NATIVE_TYPES) {
    for (const end of ['native: ok', 'native: refused', 'evm: ok', 'evm: refused']) {
      const outcome = `${name}, ${end}`
      if (end === 'evm: ok' && NATIVE_ONLY.includes(name)) expect(outcomes.get(outcome), outcome).toBeUndefined()
      else expect(outcomes.get(outcome), outcome).toBeGreaterThan(0)
    }
  }
  for (const name of ['Transfer', ...NATIVE_ONLY]) expect(outcomes.get(`${name}: nativeOnly`), name).toBeGreaterThan(0)
})
