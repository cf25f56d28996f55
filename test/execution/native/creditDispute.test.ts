/** 0x57 CreditDispute: its rule table, what it moves, and that it moves it once. Spec: docs/spec/disputes.md */
import fc from 'fast-check'
import type { Hex } from 'viem'
import { expect, test } from 'vitest'
import { openLines } from '../../../execution/attribution/lines.ts'
import { badLeafEvidence, booksEvidence, DISPUTE_KIND, packEvidence } from '../../../execution/disputes/evidence.ts'
import { getEarned, setEarned } from '../../../execution/ledger/earnings.ts'
import { disputes, earnings, getAccount, getSupply, putAccount, putSupply, workers } from '../../../execution/ledger/tables.ts'
import { claim } from '../../../execution/native/claim.ts'
import { creditDispute } from '../../../execution/native/creditDispute.ts'
import { DOOR, TREASURY } from '../../../genesis/params.ts'
import { ledgerValueWei, type MemoryLedger, TEST_PARAMS } from '../../fakes/ledger.ts'
import { CHALLENGER, creditWindow, type Tampering, type Window } from '../disputes/window.ts'
import { type Scene, testRuleTables } from './ruleTable.ts'
import { CLIENT, contextOf, FUNDS, indexOf, leaveEvmExit, mustRun, NOW, run, SECOND_CLIENT, STAKE, WORKER, word } from './world.ts'

const LATE: Tampering = { receipt: (receipt) => ({ ...receipt, finishedAt: NOW + 61n }) }

function fieldsOf({ credit }: Window, kind: number, evidence: Hex, creditIndex = 0) {
  const drawn = credit.draws.map(({ request, amount }) => ({ client: request.client, amount }))
  const { accounts, amountsGwei } = credit
  return {
    kind,
    worker: WORKER as Hex,
    creditIndex,
    drawn,
    accounts: [...accounts],
    amountsGwei: [...amountsGwei],
    evidence,
    opened: '0x' as Hex,
  }
}

const badLeaf = (window: Window, index = 1, creditIndex = 0) =>
  fieldsOf(window, DISPUTE_KIND.badLeaf, packEvidence(badLeafEvidence, { served: window.served(index) }), creditIndex)

type Fields = ReturnType<typeof fieldsOf>
type DisputeScene = Scene<Fields>

const BOND = TEST_PARAMS.disputeBondWei
const MATURES = (NOW / BigInt(TEST_PARAMS.epochSec) + 1n) * BigInt(TEST_PARAMS.epochSec) + BigInt(TEST_PARAMS.vestingSec)

function scene(lane: 'native' | 'evm'): DisputeScene {
  const window = creditWindow(LATE)
  return { ledger: window.ledger, context: contextOf(CHALLENGER, lane === 'evm' ? BOND : undefined), fields: badLeaf(window) }
}

testRuleTables(creditDispute, [
  {
    name: 'a bad leaf',
    lanes: ['native', 'evm'],
    scene,
    rules: [
      {
        code: 'unknownKind',
        invalid: true,
        ways: { none: (s) => (s.fields = { ...s.fields, kind: 0 }), 'one too many': (s) => (s.fields = { ...s.fields, kind: 6 }) },
      },
      {
        code: 'badEntries',
        invalid: true,
        ways: {
          'lists of two lengths': (s) => (s.fields = { ...s.fields, accounts: [...s.fields.accounts, 99] }),
          'too many draws': (s) => (s.fields = { ...s.fields, drawn: Array.from({ length: 65 }, () => ({ client: CLIENT, amount: 1n })) }),
          'too many entries': (s) => {
            const accounts = Array.from({ length: 1_025 }, (_, i) => i)
            s.fields = { ...s.fields, accounts, amountsGwei: accounts }
          },
        },
      },
      {
        code: 'insufficientBalance',
        invalid: false,
        lane: 'native',
        ways: { 'no bond': ({ ledger }) => putAccount(ledger, CHALLENGER, { ...getAccount(ledger, CHALLENGER), balance: BOND - 1n }) },
      },
      {
        code: 'wrongValue',
        invalid: false,
        lane: 'evm',
        ways: {
          'too little': (s) => (s.context = { ...s.context, callValueWei: BOND - 1n }),
          'too much': (s) => (s.context = { ...s.context, callValueWei: BOND + 1n }),
        },
      },
      {
        code: 'evmSupplyExceeded',
        invalid: false,
        lane: 'evm',
        ways: { 'an EVM that holds less': ({ ledger }) => putSupply(ledger, { ...getSupply(ledger), evmSupply: BOND - 1n }) },
      },
      {
        code: 'evmExitLimit',
        invalid: false,
        lane: 'evm',
        ways: { 'a wei less of the allowance is left': ({ ledger }) => leaveEvmExit(ledger, BOND - 1n) },
      },
      {
        code: 'unknownCredit',
        invalid: false,
        ways: {
          'another credit': (s) => (s.fields = { ...s.fields, creditIndex: 1 }),
          'another worker': (s) => (s.fields = { ...s.fields, worker: CLIENT }),
        },
      },
      {
        code: 'alreadyUpheld',
        invalid: false,
        ways: {
          'a dispute before': ({ ledger }) =>
            disputes.put(
              ledger,
              { worker: WORKER, creditIndex: 0 },
              { challenger: CLIENT, kind: 1, slashed: 0n, toContributors: 0n, atSec: 1n },
            ),
        },
      },
      {
        code: 'otherEntries',
        invalid: false,
        ways: {
          'other entries': (s) => (s.fields = { ...s.fields, amountsGwei: s.fields.amountsGwei.map((one) => one + 1) }),
          'no draws': (s) => (s.fields = { ...s.fields, drawn: [] }),
        },
      },
      { code: 'matured', invalid: false, ways: { 'the end of the window': (s) => (s.context = { ...s.context, timeSec: MATURES }) } },
      {
        code: 'alreadyClaimed',
        invalid: false,
        ways: {
          'earnings that are gone': ({ ledger }) => {
            const earner = { account: indexOf(ledger, WORKER), epoch: Math.floor(Number(NOW) / TEST_PARAMS.epochSec) }
            setEarned(ledger, earner, getEarned(ledger, earner) - 1n)
          },
        },
      },
    ],
  },
])

test('CreditDispute: the last second of the window is in it', () => {
  const { ledger, context, fields } = scene('native')
  mustRun(creditDispute, ledger, { ...context, timeSec: MATURES - 1n }, fields)
})

test('CreditDispute: a bond that is lost is the treasury’s, and the credit stands', () => {
  const window = creditWindow()
  const before = [...window.ledger.records()].filter(({ table }) => table === earnings.number)
  mustRun(creditDispute, window.ledger, contextOf(CHALLENGER), badLeaf(window))
  expect(getAccount(window.ledger, TREASURY).balance).toBe(BOND)
  expect(getAccount(window.ledger, CHALLENGER).balance).toBe(FUNDS - BOND)
  expect([...window.ledger.records()].filter(({ table }) => table === earnings.number)).toEqual(before)
  mustRun(creditDispute, window.ledger, contextOf(CHALLENGER), badLeaf(window))
  expect(getAccount(window.ledger, TREASURY).balance).toBe(2n * BOND)
})

test('CreditDispute: what is void is no one’s to claim, and what others earned in the epoch stays', () => {
  const honest = creditWindow()
  const alone = [...honest.ledger.records()].filter(({ table }) => table === earnings.number)
  const bad = creditWindow(LATE, { ledger: honest.ledger, firstSeq: 100n })
  mustRun(creditDispute, bad.ledger, contextOf(CHALLENGER), badLeaf(bad, 0, 1))
  expect([...bad.ledger.records()].filter(({ table }) => table === earnings.number)).toEqual(alone)
  const later = { ...contextOf(WORKER), timeSec: MATURES }
  expect(run(claim, bad.ledger, { ...later, timeSec: MATURES - 1n }, { epochs: [Number(NOW / 3_600n)] })).toMatchObject({
    code: 'notMatured',
  })
  mustRun(claim, bad.ledger, later, { epochs: [Number(NOW / 3_600n)] })
})

test('CreditDispute: gas grows with the evidence', () => {
  const window = creditWindow()
  const fields = badLeaf(window)
  const gas = creditDispute.itemGas(fields)
  expect(creditDispute.itemGas({ ...fields, opened: `0x${'00'.repeat(100)}` }) - gas).toBe(800n)
  expect(creditDispute.door).toBe(DOOR.credits)
})

/** What a worker may do: a good window, or one that falls to a dispute. */
const CHEATS: readonly (Tampering | undefined)[] = [
  undefined,
  LATE,
  { request: (request) => ({ ...request, maxFee: 1n }) },
  { credit: (fields) => ({ ...fields, amountsGwei: fields.amountsGwei.map((one, i) => (i === 0 ? one - 500 : one)) }) },
]

/** One proof against the window: by its receipts, or by each pair of lines for each number. */
function proofs(window: Window, creditIndex: number): Fields[] {
  const leaves = [0, 1, 2].map((index) => badLeaf(window, index, creditIndex))
  const totals = window.lines.slice(0, -1).flatMap(({ kind, key }, first) => {
    const { lines, path } = openLines(window.lines, first, 2)
    const evidence = { lineCount: window.lines.length, firstLine: first, lines, path, kind, key, served: '0x', attribution: '0x' } as const
    return [fieldsOf(window, DISPUTE_KIND.wrongBooks, packEvidence(booksEvidence, evidence), creditIndex)]
  })
  return [...leaves, ...totals]
}

test('random credits and disputes conserve value, and no dispute pays twice', () => {
  const step = fc.record({ cheat: fc.nat(CHEATS.length - 1), picks: fc.array(fc.nat(40), { maxLength: 6 }) })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 3 }), (steps) => {
      let ledger: MemoryLedger | undefined
      const windows: Window[] = []
      const upheld = new Set<number>()
      for (const [i, { cheat, picks }] of steps.entries()) {
        const window = creditWindow(CHEATS[cheat], ledger ? { ledger, firstSeq: BigInt(1 + i * 10) } : {})
        ledger = window.ledger
        windows.push(window)
        for (const pick of picks) {
          const about = pick % windows.length
          const against = windows[about]
          if (!against) continue
          const all = proofs(against, about)
          const fields = all[pick % all.length]
          if (!fields) continue
          const applied = run(creditDispute, ledger, contextOf(CHALLENGER), fields)
          if (upheld.has(about)) expect(applied).toMatchObject({ ok: false, code: 'alreadyUpheld' })
          else expect(applied).toMatchObject({ ok: true })
          if (disputes.get(ledger, { worker: WORKER, creditIndex: about })) upheld.add(about)
          if (steps[about]?.cheat === 0) expect(upheld.has(about)).toBe(false)
          expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)
        }
        const { stake = 0n } = workers.get(ledger, { worker: WORKER }) ?? {}
        if (stake < STAKE / 2n) break // a worker below the model's stake credits no more
      }
      expect(ledger && [CLIENT, SECOND_CLIENT].every((client) => getAccount(ledger as MemoryLedger, client).prepaid <= FUNDS)).toBe(true)
    }),
    { numRuns: 25 },
  )
}, 60_000)

test('CreditDispute: an unknown root shows nothing', () => {
  const window = creditWindow()
  const { lines, path } = openLines(window.lines, 0, 2)
  const evidence = {
    lineCount: window.lines.length,
    firstLine: 0,
    lines,
    path: [...path, word('01')],
    kind: 0,
    key: 0,
    served: '0x',
    attribution: '0x',
  } as const
  mustRun(
    creditDispute,
    window.ledger,
    contextOf(CHALLENGER),
    fieldsOf(window, DISPUTE_KIND.wrongBooks, packEvidence(booksEvidence, evidence)),
  )
  expect(disputes.get(window.ledger, { worker: WORKER, creditIndex: 0 })).toBe(undefined)
})
