/** 0x56 AttributionCredit. Spec: docs/spec/transactions.md#0x56-attributioncredit */
import fc from 'fast-check'
import { concatHex, type Hex, keccak256, numberToHex, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { NO_DATA_PRICE } from '../../../execution/fee.ts'
import { applyOperationToLedger } from '../../../execution/laneRules.ts'
import { getEarned } from '../../../execution/ledger/earnings.ts'
import {
  datanets,
  draws,
  getAccount,
  getCounters,
  getSupply,
  models,
  putAccount,
  retires,
  workers,
} from '../../../execution/ledger/tables.ts'
import { attributionCredit, creditedEvent, splitFee } from '../../../execution/native/attributionCredit.ts'
import { WHOLE_DATANET } from '../../../execution/native/datanetReview.ts'
import { modelIdOf, modelRegister } from '../../../execution/native/modelRegister.ts'
import { DOOR, TREASURY } from '../../../genesis/params.ts'
import { ledgerValueWei, type MemoryLedger, readChanges, TEST_PARAMS } from '../../fakes/ledger.ts'
import { type Rule, type Scene, testRuleTables } from './ruleTable.ts'
import {
  ALICE,
  BLOCK,
  BOB,
  CLIENT,
  contextOf,
  createWorld,
  drawOf,
  FUNDS,
  HOT_KEY,
  indexOf,
  logOf,
  MODEL,
  MODEL_ID,
  MODELLER,
  mustRun,
  NOW,
  OWNER,
  REQUEST,
  run,
  SECOND_CLIENT,
  SECOND_CLIENT_KEY,
  SECOND_OWNER,
  STRANGER,
  WORKER,
  word,
} from './world.ts'

const GWEI = 10n ** 9n
const EPOCH = Math.floor(Number(NOW) / TEST_PARAMS.epochSec)
/** When what is earned now may be claimed. */
const MATURES = BigInt((EPOCH + 1) * TEST_PARAMS.epochSec + TEST_PARAMS.vestingSec)

/** 3 receipts at 1,000 gwei, 100 prompt tokens at 1 gwei, 50 output tokens at 3 gwei. */
const FEE = 3_250n * GWEI
const FIRST_DRAW = drawOf(REQUEST, 2_000n * GWEI)
const SECOND_DRAW = drawOf({ ...REQUEST, client: SECOND_CLIENT, nonce: 2n }, 1_250n * GWEI, SECOND_CLIENT_KEY)

/** ALICE and BOB, by their indexes in the world. */
const CREDIT = {
  worker: WORKER,
  modelId: MODEL_ID,
  firstSeq: 1n,
  count: 3,
  receiptsRoot: word('31'),
  attributionRoot: word('32'),
  promptTokens: 100n,
  outputTokens: 50n,
  draws: [FIRST_DRAW, SECOND_DRAW],
  accounts: [10, 11],
  amountsGwei: [600, 300],
}
type CreditFields = typeof CREDIT
type CreditScene = Scene<CreditFields>

function scene(): CreditScene {
  const ledger = createWorld()
  expect([indexOf(ledger, ALICE), indexOf(ledger, BOB)]).toEqual(CREDIT.accounts)
  return { ledger, context: contextOf(WORKER), fields: structuredClone(CREDIT) }
}

/** How a credit may be asked for by somebody whom the EVM alone vouches for. */
const EVM_WAYS: Readonly<Record<string, (scene: CreditScene) => void>> = {
  'a call from the EVM': (s) => (s.context = { ...s.context, callValueWei: 0n }),
  'a call that brings the fee': (s) => (s.context = { ...s.context, callValueWei: FEE }),
  'the row of a call': (s) => (s.context = { ...s.context, callValueWei: 'attested' }),
}

function changeWorker({ ledger }: CreditScene, change: { stake?: bigint; lastSeq?: bigint }): void {
  const worker = workers.get(ledger, { worker: WORKER })
  if (worker) workers.put(ledger, { worker: WORKER }, { ...worker, ...change })
}

function setPrepaid(ledger: MemoryLedger, client: Hex, prepaid: bigint): void {
  putAccount(ledger, client, { ...getAccount(ledger, client), prepaid })
}

/** Appends to a datanet's retires, as reviews do. */
function retire(ledger: MemoryLedger, datanetId: number, uploadIndex: number): void {
  const datanet = datanets.get(ledger, { datanetId })
  if (!datanet) return
  retires.put(ledger, { datanetId, n: datanet.retires }, { uploadIndex })
  datanets.put(ledger, { datanetId }, { ...datanet, retires: datanet.retires + 1 })
}

/** A draw whose signature has one byte changed. */
function forged(draw: typeof FIRST_DRAW, at: number, byte: number): typeof FIRST_DRAW {
  const signature = `${draw.signature.slice(0, 2 + 2 * at)}${byte.toString(16).padStart(2, '0')}${draw.signature.slice(4 + 2 * at)}`
  return { ...draw, signature: signature as Hex }
}

/** The other signature that the curve has for the same message and key. */
function highS(draw: typeof FIRST_DRAW): typeof FIRST_DRAW {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = numberToHex(order - BigInt(`0x${draw.signature.slice(66, 130)}`), { size: 32 }).slice(2)
  const v = draw.signature.endsWith('1b') ? '1c' : '1b'
  return { ...draw, signature: `${draw.signature.slice(0, 66)}${s}${v}` as Hex }
}

const RULES: readonly Rule<CreditFields>[] = [
  {
    code: 'badWindow',
    invalid: true,
    ways: {
      'no receipts': (s) => (s.fields.count = 0),
      '4,097 receipts': (s) => (s.fields.count = 4_097),
      'beyond the last sequence number': (s) => (s.fields.firstSeq = 2n ** 64n - 2n),
      'no receipts root': (s) => (s.fields.receiptsRoot = zeroHash),
      'no attribution root': (s) => (s.fields.attributionRoot = zeroHash),
    },
  },
  {
    code: 'badDraw',
    invalid: true,
    ways: {
      'another worker': (s) => (s.fields.draws = [drawOf({ ...REQUEST, worker: STRANGER }, 2_000n * GWEI), SECOND_DRAW]),
      none: (s) => (s.fields.draws = []),
      'sixty-five': (s) => (s.fields.draws = Array.from({ length: 65 }, () => FIRST_DRAW)),
      'an amount of 0': (s) => (s.fields.draws = [{ ...FIRST_DRAW, amount: 0n }, SECOND_DRAW]),
      'a client twice': (s) => (s.fields.draws = [FIRST_DRAW, drawOf({ ...REQUEST, nonce: 9n }, 1_250n * GWEI)]),
      'any worker': (s) => (s.fields.draws = [drawOf({ ...REQUEST, worker: `0x${'00'.repeat(20)}` }, 2_000n * GWEI), SECOND_DRAW]),
      'a signature of 64 bytes': (s) =>
        (s.fields.draws = [{ ...FIRST_DRAW, signature: FIRST_DRAW.signature.slice(0, -2) as Hex }, SECOND_DRAW]),
      'a signature of 66 bytes': (s) => (s.fields.draws = [{ ...FIRST_DRAW, signature: `${FIRST_DRAW.signature}00` }, SECOND_DRAW]),
      'an unknown v': (s) => (s.fields.draws = [forged(FIRST_DRAW, 64, 29), SECOND_DRAW]),
    },
  },
  {
    code: 'badEntries',
    invalid: true,
    ways: {
      'more accounts than amounts': (s) => (s.fields.amountsGwei = [600]),
      'more amounts than accounts': (s) => (s.fields.accounts = [10]),
      '1,025': (s) => {
        s.fields.accounts = Array.from({ length: 1_025 }, (_, i) => i + 1)
        s.fields.amountsGwei = Array.from({ length: 1_025 }, () => 1)
      },
      descending: (s) => (s.fields.accounts = [11, 10]),
      'one twice': (s) => (s.fields.accounts = [10, 10]),
      'an amount of 0': (s) => (s.fields.amountsGwei = [600, 0]),
    },
  },
  // Signatures come after everything that costs less.
  {
    code: 'badVoucher',
    invalid: true,
    ways: {
      'signed by another client': (s) => (s.fields.draws = [drawOf(REQUEST, 2_000n * GWEI, SECOND_CLIENT_KEY), SECOND_DRAW]),
      'another request': (s) =>
        (s.fields.draws = [{ ...FIRST_DRAW, request: { ...REQUEST, cumulativeMaxFee: 2n ** 96n - 1n } }, SECOND_DRAW]),
      'of another chain': (s) => (s.context = { ...s.context, params: { ...s.context.params, chainId: 7_778 } }),
      'a high s': (s) => (s.fields.draws = [highS(FIRST_DRAW), SECOND_DRAW]),
      'a forged second one': (s) => (s.fields.draws = [FIRST_DRAW, forged(SECOND_DRAW, 3, 0xaa)]),
    },
  },
  { code: 'nativeOnly', invalid: false, ways: EVM_WAYS },
  {
    code: 'notWorker',
    invalid: false,
    ways: {
      'a stranger': (s) => (s.context = { ...s.context, sender: STRANGER }),
      'a stranger, for a worker that is not there': (s) => {
        s.context = { ...s.context, sender: STRANGER }
        workers.delete(s.ledger, { worker: WORKER })
      },
    },
  },
  { code: 'unknownWorker', invalid: false, ways: { 'never registered': (s) => workers.delete(s.ledger, { worker: WORKER }) } },
  {
    code: 'workerNotActive',
    invalid: false,
    ways: { 'a wei below the minimum': (s) => changeWorker(s, { stake: TEST_PARAMS.workerStakeMinWei - 1n }) },
  },
  { code: 'unknownModel', invalid: false, ways: { 'never registered': (s) => models.delete(s.ledger, { modelId: MODEL_ID }) } },
  {
    code: 'modelSuspended',
    invalid: false,
    ways: {
      'an upload of its snapshot was retired': (s) => retire(s.ledger, 2, 0),
      'a datanet of it was retired': (s) => retire(s.ledger, 1, WHOLE_DATANET),
      'the last of 32 was of its snapshot': (s) => {
        for (let i = 0; i < 31; i++) retire(s.ledger, 1, 5)
        retire(s.ledger, 1, 0)
      },
      'too many to look at': (s) => {
        for (let i = 0; i < 33; i++) retire(s.ledger, 1, 5)
      },
    },
  },
  {
    code: 'insufficientStake',
    invalid: false,
    ways: { "a wei below the model's minimum": (s) => changeWorker(s, { stake: MODEL.minStake - 1n }) },
  },
  {
    code: 'sequenceReused',
    invalid: false,
    ways: { 'the last one again': (s) => changeWorker(s, { lastSeq: 1n }), 'number 0': (s) => (s.fields.firstSeq = 0n) },
  },
  {
    code: 'feeMismatch',
    invalid: false,
    ways: {
      'a prompt token more': (s) => (s.fields.promptTokens = 101n),
      'an output token less': (s) => (s.fields.outputTokens = 49n),
      'a receipt more': (s) => (s.fields.count = 4),
      'a wei more': (s) => (s.fields.draws = [drawOf(REQUEST, 2_000n * GWEI + 1n), SECOND_DRAW]),
      'tokens beyond any fee': (s) => (s.fields.promptTokens = 2n ** 64n - 1n),
    },
  },
  {
    code: 'voucherExceeded',
    invalid: false,
    ways: {
      'a wei too much was drawn before': (s) =>
        draws.put(s.ledger, { client: CLIENT, worker: WORKER }, { drawn: REQUEST.cumulativeMaxFee - 2_000n * GWEI + 1n }),
    },
  },
  {
    code: 'insufficientPrepaid',
    invalid: false,
    ways: {
      'a wei too little': (s) => setPrepaid(s.ledger, CLIENT, 2_000n * GWEI - 1n),
      'on the second draw': (s) => setPrepaid(s.ledger, SECOND_CLIENT, 1_250n * GWEI - 1n),
    },
  },
  {
    code: 'unknownAccount',
    invalid: false,
    ways: {
      'not given out yet': (s) => (s.fields.accounts = [10, getCounters(s.ledger).accounts + 1]),
      'index 0': (s) => (s.fields.accounts = [0, 10]),
    },
  },
  {
    code: 'poolExceeded',
    invalid: false,
    ways: {
      "a gwei above the contributors' part": (s) => (s.fields.amountsGwei = [626, 301]),
      'far above': (s) => (s.fields.amountsGwei = [2 ** 48 - 1, 1]),
    },
  },
]

testRuleTables<CreditFields>(attributionCredit, [{ name: 'credit', lanes: ['native'], scene, rules: RULES }])

for (const [evmWay, callFromEvm] of Object.entries(EVM_WAYS)) {
  test(`AttributionCredit, ${evmWay}: nativeOnly, whatever else the ledger refuses, and nothing is written`, () => {
    const intact = { intact: () => {} }
    for (const { code, invalid, ways } of [{ code: 'nativeOnly', invalid: false, ways: intact }, ...RULES]) {
      for (const [way, spoil] of Object.entries(ways)) {
        const s = scene()
        callFromEvm(s)
        spoil(s)
        s.ledger.takeChanges()
        expect(run(attributionCredit, s.ledger, s.context, s.fields), `${code} (${way})`).toEqual(
          invalid ? expect.objectContaining({ ok: false, code, invalid }) : { ok: false, code: 'nativeOnly', invalid: false },
        )
        // Even without the caller that undoes what a failed rule wrote.
        if (!invalid) attributionCredit.apply(s.ledger, s.context, s.fields)
        expect(s.ledger.takeChanges(), `${code} (${way})`).toEqual([])
      }
    }
  })
}

test('AttributionCredit: a row of EVM origin is refused that the worker’s own transaction would pass', () => {
  const env = { number: BLOCK, timestamp: NOW, miner: STRANGER, baseFeePerGas: 0n }
  for (const caller of [WORKER, HOT_KEY]) {
    const ledger = createWorld()
    const operation = { type: attributionCredit, caller, fields: CREDIT }
    const refused = { ok: false, code: 'nativeOnly', invalid: false }
    expect(applyOperationToLedger({ ledger, params: TEST_PARAMS, env, dataPrice: NO_DATA_PRICE }, operation)).toEqual(refused)
    expect(ledger.takeChanges()).toEqual([])
    mustRun(attributionCredit, ledger, contextOf(caller), CREDIT)
  }
})

/** What everybody earned in the epoch of the world, by address. */
function earned(ledger: MemoryLedger, who: readonly Hex[]): Record<Hex, bigint> {
  return Object.fromEntries(who.map((one) => [one, getEarned(ledger, { account: getAccount(ledger, one).index, epoch: EPOCH })]))
}

/** The record of the accounts below 16, if these earned so much and nobody else did. */
function amountsOf(ledger: MemoryLedger, shares: Readonly<Record<Hex, bigint>>): bigint[] {
  const byIndex = new Map(Object.entries(shares).map(([one, amount]) => [indexOf(ledger, one as Hex), amount]))
  expect(Math.max(...byIndex.keys())).toBeLessThan(16)
  return Array.from({ length: 16 }, (_, account) => byIndex.get(account) ?? 0n)
}

const EARNERS = [TREASURY, WORKER, MODELLER, ALICE, BOB, OWNER, SECOND_OWNER]

for (const [who, sender] of Object.entries({ worker: WORKER, 'hot key': HOT_KEY })) {
  test(`AttributionCredit: the ${who} credits a window, and every wei of it is somebody's earnings`, () => {
    const ledger = createWorld()
    const before = {
      worker: workers.get(ledger, { worker: WORKER }),
      counters: getCounters(ledger),
      clients: [getAccount(ledger, CLIENT), getAccount(ledger, SECOND_CLIENT)],
    }
    const logs = mustRun(attributionCredit, ledger, contextOf(sender), CREDIT)
    const treasury = indexOf(ledger, TREASURY)
    const shares = {
      [TREASURY]: 162_500_000_000n,
      [WORKER]: 1_543_750_000_000n,
      [MODELLER]: 617_500_000_000n,
      [ALICE]: 600_000_000_000n,
      [BOB]: 300_000_000_000n,
      [OWNER]: 18_375_000_000n,
      [SECOND_OWNER]: 7_875_000_000n,
    }
    expect(Object.values(shares).reduce((sum, share) => sum + share, 0n)).toBe(FEE)
    const packedEntries = concatHex([
      '0x0002',
      numberToHex(10, { size: 4 }),
      numberToHex(11, { size: 4 }),
      '0x0002',
      numberToHex(600, { size: 6 }),
      numberToHex(300, { size: 6 }),
    ])
    const packedDraws = concatHex([
      '0x0002',
      ...[CLIENT, numberToHex(2_000n * GWEI, { size: 12 }), SECOND_CLIENT, numberToHex(1_250n * GWEI, { size: 12 })],
    ])
    expect(readChanges(ledger.takeChanges())).toEqual({
      [`accounts ${CLIENT}`]: { ...before.clients[0], prepaid: FUNDS - 2_000n * GWEI },
      [`accounts ${SECOND_CLIENT}`]: { ...before.clients[1], prepaid: FUNDS - 1_250n * GWEI },
      [`draws ${CLIENT}/${WORKER}`]: { drawn: 2_000n * GWEI },
      [`draws ${SECOND_CLIENT}/${WORKER}`]: { drawn: 1_250n * GWEI },
      [`earnings ${EPOCH}/0`]: { amounts: amountsOf(ledger, shares) },
      [`accounts ${TREASURY}`]: { index: treasury, balance: 0n, prepaid: 0n, unlockAt: 0n, nonce: 0n },
      counters: { ...before.counters, accounts: treasury, credits: 1n },
      [`credits ${WORKER}/0`]: {
        ...{ modelId: MODEL_ID, firstSeq: 1n, count: 3, receiptsRoot: word('31'), attributionRoot: word('32') },
        ...{ promptTokens: 100n, outputTokens: 50n, fee: FEE, toContributors: 900n * GWEI },
        ...{ epoch: EPOCH, atSec: NOW, entriesHash: keccak256(packedEntries), drawsHash: keccak256(packedDraws) },
        ...{ hotKey: HOT_KEY, protocolBps: TEST_PARAMS.protocolBps },
      },
      [`workers ${WORKER}`]: { ...before.worker, lastSeq: 3n, credits: 1, liableUntil: MATURES },
      [`maturities ${EPOCH}`]: { atSec: MATURES },
    })
    const told = { worker: WORKER, modelId: MODEL_ID, creditIndex: 0, firstSeq: 1n, count: 3 }
    const money = { fee: FEE, toContributors: 900n * GWEI, receiptsRoot: word('31') }
    expect(logs).toEqual([logOf(DOOR.credits, creditedEvent, { ...told, ...money })])
    expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)
  })
}

test('AttributionCredit: the next window goes on from the last, adds up what was drawn and earned, and may leave numbers out', () => {
  const ledger = createWorld()
  mustRun(attributionCredit, ledger, contextOf(WORKER), CREDIT)
  const once = earned(ledger, EARNERS)
  expect(run(attributionCredit, ledger, contextOf(WORKER), { ...CREDIT, firstSeq: 3n })).toMatchObject({ code: 'sequenceReused' })
  mustRun(attributionCredit, ledger, contextOf(WORKER), { ...CREDIT, firstSeq: 100n })
  expect(earned(ledger, EARNERS)).toEqual(Object.fromEntries(Object.entries(once).map(([who, amount]) => [who, 2n * amount])))
  expect(draws.get(ledger, { client: CLIENT, worker: WORKER })).toEqual({ drawn: 4_000n * GWEI })
  expect(workers.get(ledger, { worker: WORKER })).toMatchObject({ lastSeq: 102n, credits: 2 })
})

test('AttributionCredit: a voucher is drawn to its last wei, with a prepaid balance of just that', () => {
  const ledger = createWorld()
  setPrepaid(ledger, CLIENT, FEE)
  const draw = drawOf({ ...REQUEST, cumulativeMaxFee: FEE }, FEE)
  mustRun(attributionCredit, ledger, contextOf(WORKER), { ...CREDIT, draws: [draw] })
  expect(getAccount(ledger, CLIENT).prepaid).toBe(0n)
  expect(run(attributionCredit, ledger, contextOf(WORKER), { ...CREDIT, firstSeq: 9n, draws: [draw] })).toMatchObject({
    code: 'voucherExceeded',
  })
})

test('AttributionCredit: draws are tried one after another, each by both of its rules', () => {
  const second = createWorld()
  draws.put(second, { client: SECOND_CLIENT, worker: WORKER }, { drawn: REQUEST.cumulativeMaxFee })
  expect(run(attributionCredit, second, contextOf(WORKER), CREDIT)).toMatchObject({ code: 'voucherExceeded', client: SECOND_CLIENT })
  setPrepaid(second, CLIENT, 0n)
  expect(run(attributionCredit, second, contextOf(WORKER), CREDIT)).toMatchObject({ code: 'insufficientPrepaid', client: CLIENT })
})

test('AttributionCredit: entries may take the whole pool, and then the owners of the datanets get nothing', () => {
  const ledger = createWorld()
  const count = 4
  const draw = drawOf(REQUEST, 4_000n * GWEI) // the contributors' part is 1,140 gwei
  const fields = { ...CREDIT, count, promptTokens: 0n, outputTokens: 0n, draws: [draw], amountsGwei: [1_000, 140] }
  mustRun(attributionCredit, ledger, contextOf(WORKER), fields)
  const { [OWNER]: first, [SECOND_OWNER]: second, [ALICE]: alice, [BOB]: bob } = earned(ledger, EARNERS)
  expect([first, second, alice, bob]).toEqual([0n, 0n, 1_000n * GWEI, 140n * GWEI])
})

test('AttributionCredit: what rounding leaves of the pool goes to the first datanet’s owner', () => {
  const ledger = createWorld()
  const [first, second] = MODEL.datanets.map((one, i) => ({ ...one, weightBps: i === 0 ? 6_667 : 3_333 }))
  const manifest = { ...MODEL, priceBase: 1_000_003n, datanets: first && second ? [first, second] : [] }
  mustRun(modelRegister, ledger, contextOf(MODELLER), manifest)
  const fields = {
    ...CREDIT,
    modelId: modelIdOf(manifest, MODELLER),
    count: 1,
    promptTokens: 0n,
    outputTokens: 0n,
    accounts: [],
    amountsGwei: [],
  }
  mustRun(attributionCredit, ledger, contextOf(WORKER), { ...fields, draws: [drawOf(REQUEST, 1_000_003n)] })
  expect(earned(ledger, EARNERS)).toEqual({
    [TREASURY]: 50_000n,
    [WORKER]: 475_001n,
    [MODELLER]: 190_002n,
    [ALICE]: 0n,
    [BOB]: 0n,
    [OWNER]: 190_010n,
    [SECOND_OWNER]: 94_990n,
  })
})

test('AttributionCredit: an upload retired outside of the snapshot, or before the model was registered, does not suspend it', () => {
  const ledger = createWorld()
  for (let i = 0; i < 32; i++) retire(ledger, 1, 1)
  mustRun(attributionCredit, ledger, contextOf(WORKER), CREDIT)
  retire(ledger, 1, 0)
  const manifest = { ...MODEL, name: 'registered after' }
  mustRun(modelRegister, ledger, contextOf(MODELLER), manifest)
  const fields = { ...CREDIT, modelId: modelIdOf(manifest, MODELLER), firstSeq: 10n }
  mustRun(attributionCredit, ledger, contextOf(WORKER), fields)
  expect(run(attributionCredit, ledger, contextOf(WORKER), { ...CREDIT, firstSeq: 20n })).toMatchObject({
    code: 'modelSuspended',
    datanetId: 1,
  })
})

test('splitFee: the parts are never negative and add up to the fee', () => {
  const bps = fc.nat(10_000)
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 96n - 1n }), bps, bps, bps, (fee, protocolBps, workerBps, other) => {
      const contributorBps = Math.min(other, 10_000 - workerBps)
      const parts = splitFee(fee, { workerBps, contributorBps }, { protocolBps })
      const { protocolWei, workerWei, ownerWei, contributorsWei } = parts
      for (const part of Object.values(parts)) expect(part >= 0n).toBe(true)
      expect(protocolWei + workerWei + ownerWei + contributorsWei).toBe(fee)
    }),
  )
})
