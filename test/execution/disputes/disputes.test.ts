/** Disputes: whatever a worker does wrong falls to one proof, and nobody can frame an honest one. Spec: docs/spec/disputes.md */
import { type AbiEvent, bytesToHex, concatBytes, decodeEventLog, type Hex, hexToString, trim } from 'viem'
import { expect, test } from 'vitest'
import type { AttributionRecord, Span } from '../../../execution/attribution/attributionRecord.ts'
import { wordsOf } from '../../../execution/attribution/lexer.ts'
import { LINE_KIND, type Line, openLines } from '../../../execution/attribution/lines.ts'
import { encodeOpening, openRecord, openUpload, openWords } from '../../../execution/attribution/opening.ts'
import {
  attributionEvidence,
  badLeafEvidence,
  booksEvidence,
  DISPUTE_KIND,
  doubleUseEvidence,
  equivocationEvidence,
  GROUND,
  packEvidence,
} from '../../../execution/disputes/evidence.ts'
import { getEarned } from '../../../execution/ledger/earnings.ts'
import { disputes, earnings, getAccount, getSupply, putSupply, workers } from '../../../execution/ledger/tables.ts'
import { creditDispute, disputedEvent } from '../../../execution/native/creditDispute.ts'
import { encodeReceipt, receiptDigest, requestHash } from '../../../execution/receipt.ts'
import { TREASURY } from '../../../genesis/params.ts'
import { ledgerValueWei, type MemoryLedger, TEST_PARAMS } from '../../fakes/ledger.ts'
import { ALICE, BOB, CLIENT, CLIENT_KEY, contextOf, FUNDS, indexOf, mustRun, NOW, SECOND_CLIENT, STAKE, WORKER } from '../native/world.ts'
import {
  bytesOf,
  CHALLENGER,
  creditWindow,
  HOT_KEY_SECRET,
  packServed,
  RAIN,
  recordHex,
  SALT,
  sign,
  type Tampering,
  type Window,
} from './window.ts'

const GWEI = 10n ** 9n
const EPOCH = Math.floor(Number(NOW) / TEST_PARAMS.epochSec)
const BOND = TEST_PARAMS.disputeBondWei

type Outcome = { readonly upheld: boolean; readonly reason: string; readonly slashed: bigint; readonly reward: bigint }

/** Sends the dispute; what came of it. Value stays where it can be counted. */
function dispute({ ledger, credit }: Window, kind: number, evidence: Hex, { opened = '0x' as Hex, creditIndex = 0 } = {}): Outcome {
  const { accounts, amountsGwei, draws } = credit
  const drawn = draws.map(({ request, amount }) => ({ client: request.client, amount }))
  const before = getAccount(ledger, CHALLENGER).balance
  const logs = mustRun(creditDispute, ledger, contextOf(CHALLENGER), {
    kind,
    worker: WORKER,
    creditIndex,
    drawn,
    accounts,
    amountsGwei,
    evidence,
    opened,
  })
  expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)
  const [log] = logs
  if (!log) throw new Error('a dispute left no log')
  const { args } = decodeEventLog({ abi: [disputedEvent as AbiEvent], data: log.data, topics: log.topics as [Hex] })
  const { upheld, reason, slashed, reward } = args as unknown as { upheld: number; reason: Hex; slashed: bigint; reward: bigint }
  const outcome = { upheld: upheld === 1, reason: hexToString(trim(reason, { dir: 'right' })).replace('\0', ''), slashed, reward }
  expect(getAccount(ledger, CHALLENGER).balance - before).toBe(outcome.upheld ? reward : -BOND)
  expect(reward).toBe((slashed * BigInt(TEST_PARAMS.challengerBps)) / 10_000n)
  return outcome
}

function earned(ledger: MemoryLedger, account: Hex): bigint {
  return getEarned(ledger, { account: getAccount(ledger, account).index, epoch: EPOCH })
}

function entryOf({ ledger, credit }: Window, account: Hex): bigint {
  return BigInt(credit.amountsGwei[credit.accounts.indexOf(indexOf(ledger, account))] ?? 0) * GWEI
}

/** What a void credit leaves: nothing earned, prepaid balances as before it. */
function expectVoid({ ledger }: Window): void {
  for (const who of [ALICE, BOB, WORKER, TREASURY]) expect(earned(ledger, who)).toBe(0n)
  expect([...ledger.records()].filter(({ table }) => table === earnings.number)).toEqual([])
  for (const client of [CLIENT, SECOND_CLIENT]) expect(getAccount(ledger, client).prepaid).toBe(FUNDS)
  expect(disputes.get(ledger, { worker: WORKER, creditIndex: 0 })).toMatchObject({ toContributors: 0n, challenger: CHALLENGER })
}

test('the honest window: contributors are paid by the records that were quoted', () => {
  const window = creditWindow()
  const [first, second, third] = window.exchanges.map(({ record }) => record)
  expect(first?.spans.map(({ places }) => places.map(({ datanet, uploadIndex }) => [datanet, uploadIndex]))).toEqual([
    [
      [0, 0],
      [0, 1],
    ],
  ])
  expect(second?.spans).toHaveLength(2)
  expect(third?.echoes).toEqual([{ start: 0, length: 10, offset: 2 }])
  expect(entryOf(window, ALICE)).toBeGreaterThan(0n)
  expect(earned(window.ledger, ALICE)).toBe(entryOf(window, ALICE))
})

// Receipts.

const receiptOf = (window: Window, index: number) => {
  const one = window.exchanges[index]
  if (!one) throw new Error('no such exchange')
  return one
}

test('equivocation: two receipts with one number cost all stake, what unbonds included, and void the credit', () => {
  const window = creditWindow()
  const worker = workers.get(window.ledger, { worker: WORKER })
  if (worker) workers.put(window.ledger, { worker: WORKER }, { ...worker, stake: STAKE - 2_000n, unbonding: 2_000n, unlockAt: 5n })
  const { receipt, receiptSig } = receiptOf(window, 1)
  const other = { ...receipt, outputTokens: receipt.outputTokens + 1 }
  const evidence = packEvidence(equivocationEvidence, {
    receipt: bytesToHex(encodeReceipt(receipt)),
    receiptSig: bytesToHex(receiptSig),
    otherReceipt: bytesToHex(encodeReceipt(other)),
    otherSig: bytesToHex(sign(receiptDigest(other, TEST_PARAMS.chainId), HOT_KEY_SECRET)),
  })
  expect(dispute(window, DISPUTE_KIND.equivocation, evidence)).toMatchObject({ upheld: true, slashed: STAKE })
  expect(workers.get(window.ledger, { worker: WORKER })).toMatchObject({ stake: 0n, unbonding: 0n, unlockAt: 0n })
  expectVoid(window)
})

test('equivocation: one receipt, another number, window, worker or signer is none', () => {
  const window = creditWindow()
  const { receipt, receiptSig } = receiptOf(window, 1)
  const against = (change: Partial<typeof receipt>, key = HOT_KEY_SECRET, mine = receipt) => {
    const other = { ...mine, ...change }
    return dispute(
      window,
      DISPUTE_KIND.equivocation,
      packEvidence(equivocationEvidence, {
        receipt: bytesToHex(encodeReceipt(mine)),
        receiptSig: bytesToHex(mine === receipt ? receiptSig : sign(receiptDigest(mine, TEST_PARAMS.chainId), HOT_KEY_SECRET)),
        otherReceipt: bytesToHex(encodeReceipt(other)),
        otherSig: bytesToHex(sign(receiptDigest(other, TEST_PARAMS.chainId), key)),
      }),
    ).reason
  }
  expect(against({})).toBe('sameReceipt')
  expect(against({ seq: 9n })).toBe('sameReceipt')
  expect(against({ worker: CLIENT, fee: 1n })).toBe('otherWindow')
  expect(against({ fee: 1n }, HOT_KEY_SECRET, { ...receipt, seq: 4n })).toBe('otherWindow')
  expect(against({ fee: 1n }, CLIENT_KEY)).toBe('otherSigner')
  expect(dispute(window, DISPUTE_KIND.equivocation, '0x00').reason).toBe('malformed')
})

const BAD_LEAVES: Readonly<Record<string, Tampering>> = {
  'of another model': { receipt: (receipt) => ({ ...receipt, modelId: `0x${'99'.repeat(32)}` }) },
  'of another worker': { receipt: (receipt) => ({ ...receipt, worker: CLIENT }) },
  'with another number': { receipt: (receipt) => ({ ...receipt, seq: 77n }) },
  'finished too late': { receipt: (receipt) => ({ ...receipt, finishedAt: NOW + 61n }) },
  'with more tokens than asked for': { request: (request) => ({ ...request, maxOutputTokens: 1 }) },
  'above its limit': { request: (request) => ({ ...request, maxFee: 1n }) },
  'of a tier that the model has not': { receipt: (receipt) => ({ ...receipt, tier: 2 }) },
  'for another worker': { request: (request) => ({ ...request, worker: CLIENT }) },
  'that the client did not ask for': { requestSig: () => sign(new Uint8Array(32).fill(1), CLIENT_KEY) },
  'that the hot key did not sign': { receiptSig: (_, index) => sign(new Uint8Array(32).fill(index), CLIENT_KEY) },
}

for (const [name, tampering] of Object.entries(BAD_LEAVES)) {
  test(`bad leaf: a receipt ${name} voids the credit and costs a tenth of the stake`, () => {
    const window = creditWindow(tampering)
    const outcome = dispute(window, DISPUTE_KIND.badLeaf, packEvidence(badLeafEvidence, { served: window.served(1) }))
    expect(outcome).toEqual({ upheld: true, reason: '', slashed: 500n, reward: 250n })
    expectVoid(window)
  })
}

test('bad leaf: good receipts, other places, other requests and forged signatures show nothing', () => {
  const window = creditWindow()
  const against = (served: ReturnType<Window['served']>) =>
    dispute(window, DISPUTE_KIND.badLeaf, packEvidence(badLeafEvidence, { served })).reason
  for (const index of [0, 1, 2]) expect(against(window.served(index))).toBe('goodReceipt')
  expect(against({ ...window.served(1), receiptIndex: 0 })).toBe('notInWindow')
  expect(against({ ...window.served(1), requestSig: window.served(0).requestSig })).toBe('notInWindow')
  expect(against({ ...window.served(1), request: window.served(0).request })).toBe('notInWindow')
  expect(against({ ...window.served(1), path: [] })).toBe('notInWindow')
})

test('double use: one request in two receipts of a window, or in a later credit’s', () => {
  const first = creditWindow().exchanges[0]
  const same = creditWindow({ request: (request, index) => (index === 2 && first ? first.request : request) })
  const evidence = packEvidence(doubleUseEvidence, { served: same.served(2), otherCredit: 0, other: same.served(0) })
  expect(requestHash(receiptOf(same, 2).request)).toBe(requestHash(receiptOf(same, 0).request))
  expect(dispute(same, DISPUTE_KIND.doubleUse, evidence)).toMatchObject({ upheld: true, slashed: 500n })
  expectVoid(same)

  const before = creditWindow()
  const again = creditWindow(
    { request: (request) => ({ ...request, nonce: request.nonce - 10n }) },
    { ledger: before.ledger, firstSeq: 11n },
  )
  const of = (otherCredit: number, other: ReturnType<Window['served']>, creditIndex: number) => {
    const shown = packEvidence(doubleUseEvidence, { served: (creditIndex === 1 ? again : before).served(0), otherCredit, other })
    return dispute(creditIndex === 1 ? again : before, DISPUTE_KIND.doubleUse, shown, { creditIndex })
  }
  expect(of(1, again.served(0), 0).reason).toBe('laterCredit')
  expect(of(1, again.served(0), 1).reason).toBe('sameReceipt')
  expect(of(1, again.served(1), 1).reason).toBe('otherRequest')
  expect(of(0, again.served(0), 1).reason).toBe('notInWindow')
  expect(of(0, before.served(0), 1).upheld).toBe(true)
})

// Books.

type Shown = {
  readonly first: number
  readonly count: number
  readonly kind?: number
  readonly key?: number
  readonly served?: Hex
  readonly attribution?: Hex
}

function books({ lines }: Window, { first, count, kind = 0, key = 0, served = '0x', attribution = '0x' }: Shown): Hex {
  const { lines: shown, path } = openLines(lines, first, count)
  return packEvidence(booksEvidence, { lineCount: lines.length, firstLine: first, lines: shown, path, kind, key, served, attribution })
}

/** Every pair of neighbours, and every line alone. */
const places = ({ lines }: Window) =>
  lines.flatMap((_, first) => [1, 2].filter((count) => first + count <= lines.length).map((count) => ({ first, count })))

/** Tries all places against all numbers: the first dispute that is upheld. */
function findWrong(window: Window, keys: readonly { kind: number; key: number }[]): Outcome | undefined {
  for (const place of places(window)) {
    for (const key of keys) {
      const outcome = dispute(window, DISPUTE_KIND.wrongBooks, books(window, { ...place, ...key }))
      if (outcome.upheld) return outcome
    }
  }
  return undefined
}

const numbersOf = ({ ledger }: Window) => [
  ...[CLIENT, SECOND_CLIENT].map((account) => ({ kind: LINE_KIND.drawn, key: indexOf(ledger, account) })),
  ...[ALICE, BOB, WORKER].map((account) => ({ kind: LINE_KIND.earned, key: indexOf(ledger, account) })),
  { kind: LINE_KIND.promptTokens, key: 0 },
  { kind: LINE_KIND.outputTokens, key: 0 },
  { kind: 9, key: 3 },
]

test('books: no place of honest ones shows anything wrong', () => {
  const window = creditWindow()
  expect(findWrong(window, numbersOf(window))).toBe(undefined)
  for (const index of [0, 1, 2]) {
    const attribution = recordHex(receiptOf(window, index).record)
    for (const place of places(window)) {
      for (const key of numbersOf(window)) {
        const shown = books(window, { ...place, ...key, served: packServed(window.served(index)), attribution })
        expect(dispute(window, DISPUTE_KIND.wrongBooks, shown).upheld).toBe(false)
      }
    }
  }
}, 60_000)

const swap = (lines: Line[]): Line[] => {
  const [a, b, ...rest] = lines
  return a && b ? [b, a, ...rest] : lines
}

test('books: lines out of order, or with a sum that is none, void the credit', () => {
  for (const tamper of [swap, (lines: Line[]) => lines.map((line, i) => (i === 1 ? { ...line, sum: line.sum + 1n } : line))]) {
    const window = creditWindow({ lines: tamper })
    expect(dispute(window, DISPUTE_KIND.wrongBooks, books(window, { first: 0, count: 2 }))).toMatchObject({ upheld: true, slashed: 500n })
    expectVoid(window)
  }
})

test('books: a draw or a count of tokens that is not the sum of its lines voids the credit', () => {
  const shift = creditWindow({
    credit: (fields) => {
      const [a, b] = fields.draws
      return a && b
        ? {
            ...fields,
            draws: [
              { ...a, amount: a.amount + 5n },
              { ...b, amount: b.amount - 5n },
            ],
          }
        : fields
    },
  })
  expect(findWrong(shift, [{ kind: LINE_KIND.drawn, key: indexOf(shift.ledger, SECOND_CLIENT) }])).toMatchObject({
    upheld: true,
    slashed: 500n,
  })
  expectVoid(shift)
  // 3 prompt tokens cost what 1 output token does
  const tokens = creditWindow({
    credit: (fields) => ({ ...fields, promptTokens: fields.promptTokens + 3n, outputTokens: fields.outputTokens - 1n }),
  })
  expect(findWrong(tokens, [{ kind: LINE_KIND.outputTokens, key: 0 }])).toMatchObject({ upheld: true })
  expectVoid(tokens)
})

test('books: an entry that is not the sum of its lines is paid as they say', () => {
  const right = creditWindow()
  const alice = indexOf(right.ledger, ALICE)
  const cheat = (amount: (known: number) => number): Tampering => ({
    credit: (fields) => ({
      ...fields,
      amountsGwei: fields.amountsGwei.map((known, i) => (fields.accounts[i] === alice ? amount(known) : known)),
    }),
  })
  for (const tampering of [cheat((known) => known - 1_000), cheat((known) => known + 1_000)]) {
    const window = creditWindow(tampering)
    expect(earned(window.ledger, ALICE)).not.toBe(earned(right.ledger, ALICE))
    expect(findWrong(window, [{ kind: LINE_KIND.earned, key: alice }])).toMatchObject({ upheld: true, slashed: 500n })
    expect([...window.ledger.records()].filter(({ table }) => table === earnings.number).length).toBeGreaterThan(0)
    for (const who of [ALICE, BOB, WORKER, TREASURY]) expect(earned(window.ledger, who)).toBe(earned(right.ledger, who))
    expect(disputes.get(window.ledger, { worker: WORKER, creditIndex: 0 })?.toContributors).toBe(
      entryOf(right, ALICE) + entryOf(right, BOB),
    )
  }
  const left = creditWindow({
    credit: (fields) => ({
      ...fields,
      accounts: fields.accounts.filter((one) => one !== alice),
      amountsGwei: fields.amountsGwei.filter((_, i) => fields.accounts[i] !== alice),
    }),
  })
  expect(findWrong(left, [{ kind: LINE_KIND.earned, key: alice }])).toMatchObject({ upheld: true })
  expect(earned(left.ledger, ALICE)).toBe(earned(right.ledger, ALICE))
})

test('books: a line that is missing, or not what its receipt’s attribution says, is paid as it says', () => {
  const right = creditWindow()
  const alice = indexOf(right.ledger, ALICE)
  const isMeant = ({ kind, key, receiptIndex }: Line) => kind === LINE_KIND.earned && key === alice && receiptIndex === 1
  const share = right.lines.find(isMeant)?.amount ?? 0n
  expect(share).toBeGreaterThan(0n)
  const later = (line: Line, less: bigint): Line =>
    line.kind === LINE_KIND.earned && line.key === alice && line.receiptIndex >= 1 ? { ...line, sum: line.sum - less } : line
  const entries: Tampering['credit'] = (fields) => ({
    ...fields,
    amountsGwei: fields.amountsGwei.map((known, i) => (fields.accounts[i] === alice ? known - Number(less) : known)),
  })
  let less = share
  const missing: Tampering = { lines: (lines) => lines.filter((line) => !isMeant(line)).map((line) => later(line, less)), credit: entries }
  const short: Tampering = {
    lines: (lines) => lines.map((line) => later(isMeant(line) ? { ...line, amount: line.amount - less } : line, less)),
    credit: entries,
  }
  for (const [tampering, change] of [
    [missing, share],
    [short, 7n],
  ] as const) {
    less = change
    const window = creditWindow(tampering)
    expect(findWrong(window, numbersOf(window))).toBe(undefined) // each total is the sum of its lines
    const attribution = recordHex(receiptOf(window, 1).record)
    const served = packServed(window.served(1))
    const outcomes = places(window).map((place) => {
      const bytes = books(window, { ...place, kind: LINE_KIND.earned, key: alice, served, attribution })
      return disputes.get(window.ledger, { worker: WORKER, creditIndex: 0 }) ? undefined : dispute(window, DISPUTE_KIND.wrongBooks, bytes)
    })
    expect(outcomes.some((one) => one?.upheld)).toBe(true)
    expect(earned(window.ledger, ALICE)).toBe(earned(right.ledger, ALICE))
  }
}, 60_000)

// Attribution.

const EMPTY_RUN = { firstLeaf: 0, leaves: [], path: [] } as const
const wordsIn = (text: string): string[] => wordsOf(bytesOf(text)) ?? []

type Proof = Partial<Omit<Parameters<typeof attributionEvidence.pack>[0], 'served' | 'attribution'>> & { readonly ground: number }

function proveAttribution(window: Window, index: number, proof: Proof, opened: Hex = '0x'): Outcome {
  const { record, output, prompt } = receiptOf(window, index)
  const length = proof.length ?? 1
  const evidence = packEvidence(attributionEvidence, {
    ...{ served: window.served(index), attribution: recordHex(record), item: 0, placeItem: 0, start: 0, length: 0, datanet: 0, offset: 0 },
    ...{ output: openWords(wordsIn(output), proof.start ?? 0, length), prompt: openWords(wordsIn(prompt), proof.offset ?? 0, length) },
    ...{ opening: '0x' as Hex, neighbours: [] },
    ...proof,
  })
  return dispute(window, DISPUTE_KIND.wrongAttribution, evidence, { opened })
}

const opening = (
  { snapshots }: Window,
  datanet: number,
  place: { uploadIndex: number; record: number; offset: number; length: number },
): Hex => bytesToHex(encodeOpening(openRecord(snapshots[datanet] ?? [], place)))

/** A worker that says something else of receipt 1 than what is so. */
const saying = (change: (record: AttributionRecord) => AttributionRecord): Window =>
  creditWindow({ record: (record, index) => (index === 1 ? change(record) : record) })

const right = creditWindow()
const [RAIN_SPAN, RIVER_SPAN] = receiptOf(right, 1).record.spans as [Span, Span]

/** Everybody has what an honest credit gives them. */
function expectRight({ ledger }: Window): void {
  for (const who of [ALICE, BOB, WORKER, TREASURY]) expect(earned(ledger, who)).toBe(earned(right.ledger, who))
}

test('attribution: a span that is not there costs stake, and its money goes back', () => {
  const place = { datanet: 0, uploadIndex: 0, record: 0, offset: 0 } // "nothing of interest is written here"
  const window = saying((record) => ({ ...record, spans: [{ start: 0, length: 6, places: [place] }, ...record.spans] }))
  expect(earned(window.ledger, BOB)).not.toBe(earned(right.ledger, BOB))
  const shown = opening(window, 0, { ...place, length: 1 })
  expect(proveAttribution(window, 1, { ground: GROUND.placeFalse, start: 0, opening: shown })).toMatchObject({
    upheld: true,
    slashed: STAKE,
  })
  expectRight(window)
})

test('attribution: a false attribution costs a part of the stake, or twenty times the fee where that is more', () => {
  const window = saying((record) => ({ ...record, spans: [RAIN_SPAN] }))
  const worker = workers.get(window.ledger, { worker: WORKER })
  const { fee } = receiptOf(window, 1).receipt
  const deposit = 30n * fee
  expect(worker).toBeDefined()
  if (!worker) return
  const supply = getSupply(window.ledger)
  workers.put(window.ledger, { worker: WORKER }, { ...worker, stake: STAKE + deposit })
  putSupply(window.ledger, { ...supply, deposited: supply.deposited + deposit })
  expect(proveMissing(window)).toMatchObject({ upheld: true, slashed: 20n * fee })
})

/** RIVER_SPAN was left out, and is shown at its source; the copy of the record is not named, so that its weight is a little higher than it should be. */
function proveMissing(window: Window): Outcome {
  const { uploadIndex, record, offset } = RIVER_SPAN.places[0] ?? { uploadIndex: 0, record: 0, offset: 0 }
  const { start, length } = RIVER_SPAN
  const shown = opening(window, 0, { uploadIndex, record, offset, length })
  return proveAttribution(window, 1, { ground: GROUND.placeMissing, start, length, offset, opening: shown })
}

test('attribution: a match that no span covers is put in', () => {
  const window = saying((record) => ({ ...record, spans: [RAIN_SPAN] }))
  expect(earned(window.ledger, ALICE)).not.toBe(earned(right.ledger, ALICE))
  expect(proveMissing(window).upheld).toBe(true)
  expect(disputes.get(window.ledger, { worker: WORKER, creditIndex: 0 })).toMatchObject({ kind: DISPUTE_KIND.wrongAttribution })
})

test('attribution: a longer match than the one that is claimed is put in its place', () => {
  const cut = { ...RIVER_SPAN, length: RIVER_SPAN.length - 2 }
  expect(proveMissing(saying((record) => ({ ...record, spans: [RAIN_SPAN, cut] }))).upheld).toBe(true)
})

test('attribution: an earlier record than the one that is claimed is the source', () => {
  const [source, copy] = RIVER_SPAN.places
  expect(source && copy).toBeTruthy()
  const window = saying((record) => ({ ...record, spans: [RAIN_SPAN, { ...RIVER_SPAN, places: copy ? [copy] : [] }] }))
  expect(earned(window.ledger, BOB)).not.toBe(earned(right.ledger, BOB))
  expect(proveMissing(window).upheld).toBe(true)
  expectRight(window)
})

test('attribution: a place of no record, of an upload outside of the snapshot, or beyond a record’s end is false', () => {
  const wrong = [
    { place: { datanet: 7, uploadIndex: 0, record: 0, offset: 0 }, shown: '0x' as Hex },
    { place: { datanet: 1, uploadIndex: 3, record: 0, offset: 0 }, shown: '0x' as Hex },
    { place: { datanet: 0, uploadIndex: 1, record: 2, offset: 0 }, shown: '0x' as Hex },
    {
      place: { datanet: 1, uploadIndex: 0, record: 0, offset: 12 },
      shown: opening(right, 1, { uploadIndex: 0, record: 0, offset: 0, length: 1 }),
    },
  ]
  for (const { place, shown } of wrong) {
    const window = saying((record) => ({ ...record, spans: [{ start: 0, length: 6, places: [place] }, ...record.spans] }))
    expect(proveAttribution(window, 1, { ground: GROUND.placeFalse, opening: shown }).upheld).toBe(true)
    expectRight(window)
  }
})

test('attribution: an echo that is none, or that is missing', () => {
  const false1 = saying((record) => ({ ...record, promptWords: 4, echoes: [] }))
  expect(proveAttribution(false1, 1, { ground: GROUND.echoFalse }).reason).toBe('noSuchEcho')
  const longer = creditWindow({
    record: (record, index) => (index === 2 ? { ...record, echoes: [{ start: 2, length: 10, offset: 2 }] } : record),
  })
  expect(proveAttribution(longer, 2, { ground: GROUND.echoFalse, start: 3, offset: 3 }).upheld).toBe(true)
  const missing = creditWindow({ record: (record, index) => (index === 2 ? { ...record, echoes: [] } : record) })
  expect(earned(missing.ledger, ALICE)).not.toBe(earned(right.ledger, ALICE))
  const outcome = proveAttribution(missing, 2, { ground: GROUND.echoMissing, start: 0, length: wordsIn(RAIN).length, offset: 2 })
  expect(outcome.upheld).toBe(true)
  expectRight(missing)
})

test('attribution: roots over other words than the receipt commits to, and bytes that are no record, leave nothing to anybody', () => {
  const other = creditWindow({ record: (record, index) => (index === 1 ? { ...record, outputRoot: record.promptRoot } : record) })
  const opened = (window: Window, text: string) => ({ window, bytes: bytesToHex(concatBytes([SALT, bytesOf(text)])) })
  const output = opened(other, receiptOf(other, 1).output)
  expect(proveAttribution(other, 1, { ground: GROUND.wrongOutput }, output.bytes).upheld).toBe(true)
  const prompt = creditWindow({ record: (record, index) => (index === 1 ? { ...record, promptRoot: record.outputRoot } : record) })
  expect(proveAttribution(prompt, 1, { ground: GROUND.wrongPrompt }, opened(prompt, receiptOf(prompt, 1).prompt).bytes).upheld).toBe(true)
  const malformed = creditWindow({ recordBytes: (index) => (index === 1 ? Uint8Array.of(9, 9, 9) : undefined) })
  const evidence = packEvidence(attributionEvidence, {
    ...{
      served: malformed.served(1),
      attribution: '0x090909' as Hex,
      ground: GROUND.malformed,
      item: 0,
      placeItem: 0,
      start: 0,
      length: 0,
    },
    ...{ datanet: 0, offset: 0, output: EMPTY_RUN, prompt: EMPTY_RUN, opening: '0x' as Hex, neighbours: [] },
  })
  expect(dispute(malformed, DISPUTE_KIND.wrongAttribution, evidence).upheld).toBe(true)
})

test('attribution: no ground holds against an honest record', () => {
  const window = creditWindow()
  const [rain, river] = [RAIN_SPAN, RIVER_SPAN]
  const at = (span: Span, place: number) => ({ ...(span.places[place] ?? { datanet: 0, uploadIndex: 0, record: 0, offset: 0 }) })
  const tries: (Proof & { opened?: Hex })[] = [
    { ground: GROUND.malformed },
    { ground: 99 },
    { ground: GROUND.wrongOutput, opened: bytesToHex(concatBytes([SALT, bytesOf(receiptOf(window, 1).output)])) },
    { ground: GROUND.wrongOutput, opened: bytesToHex(concatBytes([SALT, bytesOf('another output')])) },
    { ground: GROUND.wrongPrompt, opened: bytesToHex(concatBytes([SALT, bytesOf(receiptOf(window, 1).prompt)])) },
    { ground: GROUND.wrongPrompt, opened: '0x' },
    ...[rain, river].flatMap((span, item) =>
      span.places.flatMap((place, placeItem) =>
        [0, span.length - 1].map((word) => ({
          ...{ ground: GROUND.placeFalse, item, placeItem, start: span.start + word, datanet: place.datanet },
          opening: opening(window, place.datanet, { ...place, offset: place.offset + word, length: 1 }),
        })),
      ),
    ),
    { ground: GROUND.placeFalse, item: 0, start: 0, opening: opening(window, 1, { ...at(rain, 0), length: 1 }) }, // a word outside of the span
    {
      ground: GROUND.placeFalse,
      item: 1,
      start: river.start,
      opening: opening(window, 0, { uploadIndex: 0, record: 0, offset: 0, length: 1 }),
    },
    { ground: GROUND.placeFalse, item: 9 },
    {
      ground: GROUND.uploadAbsent,
      item: 1,
      neighbours: [openUpload(window.snapshots[0] ?? [], 0), openUpload(window.snapshots[0] ?? [], 1)],
    },
    { ground: GROUND.uploadAbsent, item: 1, placeItem: 1, neighbours: [openUpload(window.snapshots[0] ?? [], 0)] },
    ...[0, 1].flatMap((place) =>
      [0, 2].map((less) => ({
        ...{ ground: GROUND.placeMissing, start: river.start + less, length: river.length - less, offset: at(river, place).offset + less },
        opening: opening(window, 0, { ...at(river, place), offset: at(river, place).offset + less, length: river.length - less }),
      })),
    ),
    { ground: GROUND.placeMissing, start: 0, length: 6, opening: opening(window, 0, { uploadIndex: 0, record: 1, offset: 0, length: 6 }) },
    {
      ground: GROUND.placeMissing,
      start: river.start,
      length: 5,
      offset: at(river, 0).offset,
      opening: opening(window, 0, { ...at(river, 0), length: 5 }),
    },
    { ground: GROUND.echoMissing, start: 0, length: 3 },
    { ground: GROUND.echoFalse },
  ]
  for (const { opened, ...proof } of tries) expect(proveAttribution(window, 1, proof, opened)).toMatchObject({ upheld: false, slashed: 0n })
  const echo = creditWindow()
  expect(proveAttribution(echo, 2, { ground: GROUND.echoFalse, start: 4, offset: 6 })).toMatchObject({ upheld: false })
  expect(proveAttribution(echo, 2, { ground: GROUND.echoMissing, start: 1, length: 7, offset: 3 })).toMatchObject({ upheld: false })
})
