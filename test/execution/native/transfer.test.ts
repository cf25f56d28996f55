/** 0x50 Transfer. Spec: docs/spec/transactions.md#0x50-transfer */
import { type Hex, zeroAddress } from 'viem'
import { expect, test } from 'vitest'
import { getAccount, getSupply, putAccount, putSupply } from '../../../execution/ledger/tables.ts'
import { TRANSFER_KIND, transfer, transferredEvent, withdrawnEvent } from '../../../execution/native/transfer.ts'
import { DOOR } from '../../../genesis/params.ts'
import { ledgerValueWei, type MemoryLedger, readChanges, TEST_PARAMS } from '../../fakes/ledger.ts'
import { type Lane, type Scene, testRuleTables } from './ruleTable.ts'
import {
  BLOCK,
  CLIENT,
  contextOf,
  createFundedLedger,
  FUNDS,
  indexOf,
  leaveEvmExit,
  logOf,
  mustRun,
  NOW,
  OWNER,
  STRANGER,
} from './world.ts'

const NEW = `0x${'ee'.repeat(20)}` as const

type TransferFields = { kind: number; to: Hex; amount: bigint }

function sceneOf(fields: TransferFields, prepare: (ledger: MemoryLedger) => void = () => {}) {
  return (lane: Lane): Scene<TransferFields> => {
    const ledger = createFundedLedger()
    prepare(ledger)
    return { ledger, context: contextOf(CLIENT, lane === 'evm' ? fields.amount : undefined), fields: { ...fields } }
  }
}

/** As after kind 4, asked long ago. */
function unlock(ledger: MemoryLedger, unlockAt = NOW): void {
  putAccount(ledger, CLIENT, { ...getAccount(ledger, CLIENT), unlockAt })
}

testRuleTables<TransferFields>(transfer, [
  {
    name: 'to a ledger balance',
    lanes: ['native', 'evm'],
    scene: sceneOf({ kind: TRANSFER_KIND.ledger, to: NEW, amount: 5n }),
    rules: [
      { code: 'unknownKind', invalid: true, ways: { 'kind 6': (s) => (s.fields.kind = 6), 'kind 255': (s) => (s.fields.kind = 255) } },
      { code: 'badAmount', invalid: true, ways: { zero: (s) => (s.fields.amount = 0n) } },
      { code: 'badRecipient', invalid: true, ways: { zero: (s) => (s.fields.to = zeroAddress) } },
      { code: 'nativeOnly', invalid: false, lane: 'evm', ways: { 'to the EVM': (s) => (s.fields.kind = TRANSFER_KIND.evm) } },
      {
        code: 'insufficientBalance',
        invalid: false,
        lane: 'native',
        ways: { 'one wei more than there is': (s) => (s.fields.amount = FUNDS + 1n) },
      },
      {
        code: 'wrongValue',
        invalid: false,
        lane: 'evm',
        ways: {
          'a wei more': (s) => (s.context = { ...s.context, callValueWei: s.fields.amount + 1n }),
          'a wei less': (s) => (s.context = { ...s.context, callValueWei: s.fields.amount - 1n }),
          none: (s) => (s.context = { ...s.context, callValueWei: 0n }),
        },
      },
      {
        code: 'evmSupplyExceeded',
        invalid: false,
        lane: 'evm',
        ways: { 'a wei less in the EVM': (s) => putSupply(s.ledger, { ...getSupply(s.ledger), evmSupply: 4n }) },
      },
      {
        code: 'evmExitLimit',
        invalid: false,
        lane: 'evm',
        ways: { 'a wei less of the allowance is left': ({ ledger }) => leaveEvmExit(ledger, 4n) },
      },
    ],
  },
  {
    name: 'asking for the prepaid balance',
    lanes: ['native'],
    scene: sceneOf({ kind: TRANSFER_KIND.unlockPrepaid, to: zeroAddress, amount: 0n }),
    rules: [
      { code: 'badAmount', invalid: true, ways: { 'not zero': (s) => (s.fields.amount = 1n) } },
      { code: 'badRecipient', invalid: true, ways: { 'not zero': (s) => (s.fields.to = NEW) } },
    ],
  },
  {
    name: 'taking the prepaid balance',
    lanes: ['native'],
    scene: sceneOf({ kind: TRANSFER_KIND.fromPrepaid, to: zeroAddress, amount: FUNDS }, unlock),
    rules: [
      { code: 'badAmount', invalid: true, ways: { zero: (s) => (s.fields.amount = 0n) } },
      { code: 'badRecipient', invalid: true, ways: { 'not zero': (s) => (s.fields.to = CLIENT) } },
      { code: 'notUnlocking', invalid: false, ways: { 'never asked': (s) => unlock(s.ledger, 0n) } },
      { code: 'stillLocked', invalid: false, ways: { 'a second early': (s) => unlock(s.ledger, NOW + 1n) } },
      { code: 'insufficientPrepaid', invalid: false, ways: { 'one wei more than there is': (s) => (s.fields.amount = FUNDS + 1n) } },
    ],
  },
])

for (const kind of [TRANSFER_KIND.unlockPrepaid, TRANSFER_KIND.fromPrepaid]) {
  test(`nothing leaves a prepaid balance from the EVM (kind ${kind})`, () => {
    const ledger = createFundedLedger()
    unlock(ledger)
    const amount = kind === TRANSFER_KIND.fromPrepaid ? 1n : 0n
    expect(transfer.apply(ledger, contextOf(CLIENT, 0n), { kind, to: zeroAddress, amount })).toMatchObject({
      ok: false,
      code: 'nativeOnly',
    })
  })
}

type Case = { name: string; fields: TransferFields; callValueWei?: bigint; changes: (ledger: MemoryLedger) => Record<string, unknown> }

const deposited = 10n * FUNDS + 2n * FUNDS
const client = (ledger: MemoryLedger) => ({ index: indexOf(ledger, CLIENT), balance: FUNDS, prepaid: FUNDS, unlockAt: 0n, nonce: 0n })
const supply = { deposited, withdrawn: 0n, evmSupply: FUNDS }
const counters = { accounts: 9, datanets: 0, models: 0, workers: 0, withdrawals: 0n, credits: 0n }
const withdrawal = { from: CLIENT, to: NEW, amount: 5n, blockNumber: BLOCK, fromEvm: 0 }
/** Of the allowance for value that leaves the EVM. */
const used = (usedWei: bigint) => ({ perHourWei: TEST_PARAMS.evmExitWeiPerHour, usedWei, atSec: NOW })

const CASES: readonly Case[] = [
  {
    name: 'ledger to ledger, a new account getting its index',
    fields: { kind: TRANSFER_KIND.ledger, to: NEW, amount: 5n },
    changes: (ledger) => ({
      [`accounts ${CLIENT}`]: { ...client(ledger), balance: FUNDS - 5n },
      [`accounts ${NEW}`]: { index: 10, balance: 5n, prepaid: 0n, unlockAt: 0n, nonce: 0n },
      counters: { ...counters, accounts: 10 },
    }),
  },
  {
    name: 'ledger to ledger, all of it',
    fields: { kind: TRANSFER_KIND.ledger, to: OWNER, amount: FUNDS },
    changes: (ledger) => ({
      [`accounts ${CLIENT}`]: { ...client(ledger), balance: 0n },
      [`accounts ${OWNER}`]: { index: indexOf(ledger, OWNER), balance: 2n * FUNDS, prepaid: 0n, unlockAt: 0n, nonce: 0n },
    }),
  },
  {
    name: 'ledger to oneself',
    fields: { kind: TRANSFER_KIND.ledger, to: CLIENT, amount: FUNDS },
    changes: (ledger) => ({ [`accounts ${CLIENT}`]: client(ledger) }),
  },
  {
    name: 'ledger to EVM',
    fields: { kind: TRANSFER_KIND.evm, to: NEW, amount: 5n },
    changes: (ledger) => ({
      [`accounts ${CLIENT}`]: { ...client(ledger), balance: FUNDS - 5n },
      supply: { ...supply, evmSupply: FUNDS + 5n },
    }),
  },
  {
    name: 'ledger to prepaid',
    fields: { kind: TRANSFER_KIND.prepaid, to: CLIENT, amount: 5n },
    changes: (ledger) => ({ [`accounts ${CLIENT}`]: { ...client(ledger), balance: FUNDS - 5n, prepaid: FUNDS + 5n } }),
  },
  {
    name: 'ledger to L1',
    fields: { kind: TRANSFER_KIND.l1, to: NEW, amount: 5n },
    changes: (ledger) => ({
      [`accounts ${CLIENT}`]: { ...client(ledger), balance: FUNDS - 5n },
      counters: { ...counters, withdrawals: 1n },
      'withdrawals 1': withdrawal,
      supply: { ...supply, withdrawn: 5n },
    }),
  },
  {
    name: 'EVM to ledger',
    fields: { kind: TRANSFER_KIND.ledger, to: OWNER, amount: 5n },
    callValueWei: 5n,
    changes: (ledger) => ({
      [`accounts ${OWNER}`]: { index: indexOf(ledger, OWNER), balance: FUNDS + 5n, prepaid: 0n, unlockAt: 0n, nonce: 0n },
      supply: { ...supply, evmSupply: FUNDS - 5n },
      evmExits: used(5n),
    }),
  },
  {
    name: 'EVM to prepaid, all that is there',
    fields: { kind: TRANSFER_KIND.prepaid, to: CLIENT, amount: FUNDS },
    callValueWei: FUNDS,
    changes: (ledger) => ({
      [`accounts ${CLIENT}`]: { ...client(ledger), prepaid: 2n * FUNDS },
      supply: { ...supply, evmSupply: 0n },
      evmExits: used(FUNDS),
    }),
  },
  {
    name: 'EVM to L1',
    fields: { kind: TRANSFER_KIND.l1, to: NEW, amount: 5n },
    callValueWei: 5n,
    changes: () => ({
      counters: { ...counters, withdrawals: 1n },
      'withdrawals 1': { ...withdrawal, fromEvm: 1 },
      supply: { ...supply, withdrawn: 5n, evmSupply: FUNDS - 5n },
    }),
  },
]

for (const { name, fields, callValueWei, changes } of CASES) {
  test(`Transfer: ${name}`, () => {
    const ledger = createFundedLedger()
    const logs = mustRun(transfer, ledger, contextOf(CLIENT, callValueWei), fields)
    const expected = changes(ledger)
    expect(readChanges(ledger.takeChanges())).toEqual(expected)
    const { kind, to, amount } = fields
    const withdrawn = kind === TRANSFER_KIND.l1 ? [logOf(DOOR.ledger, withdrawnEvent, { index: 1n, from: CLIENT, to, amount })] : []
    expect(logs).toEqual([logOf(DOOR.ledger, transferredEvent, { from: CLIENT, to, kind, amount }), ...withdrawn])
    expect(ledgerValueWei(ledger.records())).toBe(deposited)
  })
}

test('Transfer: a prepaid balance is asked for, waited for, and taken in parts until the lock closes again', () => {
  const ledger = createFundedLedger()
  const asked = mustRun(transfer, ledger, contextOf(CLIENT), { kind: TRANSFER_KIND.unlockPrepaid, to: zeroAddress, amount: 0n })
  expect(asked).toEqual([logOf(DOOR.ledger, transferredEvent, { from: CLIENT, to: CLIENT, kind: 4, amount: 0n })])
  const unlockAt = NOW + BigInt(TEST_PARAMS.prepaidDelaySec)
  expect(readChanges(ledger.takeChanges())).toEqual({ [`accounts ${CLIENT}`]: { ...client(ledger), unlockAt } })

  const later = { ...contextOf(CLIENT), timeSec: unlockAt }
  const part = { kind: TRANSFER_KIND.fromPrepaid, to: zeroAddress, amount: FUNDS - 1n }
  const taken = mustRun(transfer, ledger, later, part)
  expect(taken).toEqual([logOf(DOOR.ledger, transferredEvent, { from: CLIENT, to: CLIENT, kind: 5, amount: FUNDS - 1n })])
  const afterPart = { ...client(ledger), balance: 2n * FUNDS - 1n, prepaid: 1n, unlockAt }
  expect(readChanges(ledger.takeChanges())).toEqual({ [`accounts ${CLIENT}`]: afterPart })

  mustRun(transfer, ledger, contextOf(STRANGER), { kind: TRANSFER_KIND.prepaid, to: CLIENT, amount: 1n }) // a gift leaves the lock as it is
  mustRun(transfer, ledger, later, { ...part, amount: 2n })
  expect(getAccount(ledger, CLIENT)).toEqual({ ...afterPart, balance: 2n * FUNDS + 1n, prepaid: 0n, unlockAt: 0n })
})
