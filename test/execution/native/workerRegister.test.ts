/** 0x55 WorkerRegister. Spec: docs/spec/transactions.md#0x55-workerregister */
import { zeroAddress } from 'viem'
import { expect, test } from 'vitest'
import { getAccount, getCounters, getSupply, putAccount, putSupply, workers } from '../../../execution/ledger/tables.ts'
import {
  WORKER_ACTION,
  workerRegister,
  workerRegisteredEvent,
  workerUnbondingEvent,
  workerWithdrawnEvent,
} from '../../../execution/native/workerRegister.ts'
import { DOOR } from '../../../genesis/params.ts'
import { ledgerValueWei, type MemoryLedger, readChanges, TEST_PARAMS } from '../../fakes/ledger.ts'
import { type Lane, type Rule, type Scene, testRuleTables } from './ruleTable.ts'
import {
  BOB,
  contextOf,
  createFundedLedger,
  createWorld,
  FUNDS,
  HOT_KEY,
  indexOf,
  leaveEvmExit,
  logOf,
  mustRun,
  NOW,
  REGISTRATION,
  run,
  STAKE,
  WORKER,
  word,
  workerAction,
} from './world.ts'

type WorkerFields = typeof REGISTRATION

function sceneOf(fields: WorkerFields, prepare: (ledger: MemoryLedger) => void = () => {}) {
  return (lane: Lane): Scene<WorkerFields> => {
    const ledger = createWorld()
    prepare(ledger)
    const value = fields.action === WORKER_ACTION.register ? fields.stake : 0n
    return { ledger, context: contextOf(WORKER, lane === 'evm' ? value : undefined), fields: { ...fields } }
  }
}

function changeWorker(ledger: MemoryLedger, change: { stake?: bigint; unbonding?: bigint; unlockAt?: bigint; liableUntil?: bigint }): void {
  const worker = workers.get(ledger, { worker: WORKER })
  if (worker) workers.put(ledger, { worker: WORKER }, { ...worker, ...change })
}

/** From the EVM: the value that the action takes, and some more. */
function bring(scene: Scene<WorkerFields>, moreWei: bigint): void {
  if (scene.context.callValueWei === undefined) return
  const due = scene.fields.action === WORKER_ACTION.register ? scene.fields.stake : 0n
  scene.context = { ...scene.context, callValueWei: due + moreWei }
}

const UNKNOWN_ACTION: Rule<WorkerFields> = { code: 'unknownAction', invalid: true, ways: { 'action 3': (s) => (s.fields.action = 3) } }
const UNUSED_FIELD: Rule<WorkerFields> = {
  code: 'unusedField',
  invalid: true,
  ways: {
    'a hot key': (s) => (s.fields.hotKey = HOT_KEY),
    'a profile': (s) => (s.fields.runtimeProfileHash = word('07')),
    'an endpoint': (s) => (s.fields.endpoint = 'x'),
  },
}
const WRONG_VALUE: Rule<WorkerFields> = {
  code: 'wrongValue',
  invalid: false,
  lane: 'evm',
  ways: { 'a wei more': (s) => bring(s, 1n) },
}
const UNKNOWN_WORKER: Rule<WorkerFields> = {
  code: 'unknownWorker',
  invalid: false,
  ways: { somebody: (s) => (s.context = { ...s.context, sender: BOB }) },
}

testRuleTables<WorkerFields>(workerRegister, [
  {
    name: 'register',
    lanes: ['native', 'evm'],
    scene: sceneOf(REGISTRATION),
    rules: [
      UNKNOWN_ACTION,
      { code: 'badHotKey', invalid: true, ways: { zero: (s) => (s.fields.hotKey = zeroAddress) } },
      {
        code: 'badEndpoint',
        invalid: true,
        ways: { empty: (s) => (s.fields.endpoint = ''), '129 bytes': (s) => (s.fields.endpoint = 'x'.repeat(129)) },
      },
      {
        code: 'insufficientBalance',
        invalid: false,
        lane: 'native',
        ways: {
          'a wei too little': (s) => putAccount(s.ledger, WORKER, { ...getAccount(s.ledger, WORKER), balance: s.fields.stake - 1n }),
        },
      },
      WRONG_VALUE,
      {
        code: 'evmSupplyExceeded',
        invalid: false,
        lane: 'evm',
        ways: {
          'a wei less in the EVM': (s) => putSupply(s.ledger, { ...getSupply(s.ledger), evmSupply: s.fields.stake - 1n }),
        },
      },
      {
        code: 'evmExitLimit',
        invalid: false,
        lane: 'evm',
        ways: { 'a wei less of the allowance is left': (s) => leaveEvmExit(s.ledger, s.fields.stake - 1n) },
      },
      {
        code: 'stakeTooLow',
        invalid: false,
        ways: {
          'a wei below the minimum': (s) => {
            changeWorker(s.ledger, { stake: 0n })
            s.fields.stake = TEST_PARAMS.workerStakeMinWei - 1n
            bring(s, 0n)
          },
        },
      },
    ],
  },
  {
    name: 'unbond',
    lanes: ['native', 'evm'],
    scene: sceneOf(workerAction(WORKER_ACTION.unbond, STAKE)),
    rules: [
      UNKNOWN_ACTION,
      { code: 'badAmount', invalid: true, ways: { zero: (s) => (s.fields.stake = 0n) } },
      UNUSED_FIELD,
      WRONG_VALUE,
      UNKNOWN_WORKER,
      { code: 'insufficientStake', invalid: false, ways: { 'a wei more than there is': (s) => (s.fields.stake = STAKE + 1n) } },
      {
        code: 'stakeTooLow',
        invalid: false,
        ways: { 'a wei below the minimum is left': (s) => (s.fields.stake = STAKE - TEST_PARAMS.workerStakeMinWei + 1n) },
      },
    ],
  },
  {
    name: 'withdraw',
    lanes: ['native', 'evm'],
    scene: sceneOf(workerAction(WORKER_ACTION.withdraw), (ledger) => changeWorker(ledger, { unbonding: 7n, unlockAt: NOW })),
    rules: [
      UNKNOWN_ACTION,
      { ...UNUSED_FIELD, ways: { ...UNUSED_FIELD.ways, 'a stake': (s) => (s.fields.stake = 1n) } },
      WRONG_VALUE,
      UNKNOWN_WORKER,
      { code: 'nothingUnbonding', invalid: false, ways: { nothing: (s) => changeWorker(s.ledger, { unbonding: 0n }) } },
      { code: 'stillLocked', invalid: false, ways: { 'a second early': (s) => changeWorker(s.ledger, { unlockAt: NOW + 1n }) } },
    ],
  },
])

const record = {
  index: 1,
  hotKey: HOT_KEY,
  stake: STAKE,
  unbonding: 0n,
  unlockAt: 0n,
  lastSeq: 0n,
  credits: 0,
  liableUntil: 0n,
  runtimeProfileHash: word('07'),
  endpoint: 'https://worker.example',
}
const account = { prepaid: 0n, unlockAt: 0n, nonce: 0n }
const unlockAt = NOW + BigInt(TEST_PARAMS.unbondingSec)

test('WorkerRegister: a worker registers, then changes its hot key and adds to its stake', () => {
  const ledger = createFundedLedger()
  const counters = getCounters(ledger)
  const index = indexOf(ledger, WORKER)
  const first = mustRun(workerRegister, ledger, contextOf(WORKER), REGISTRATION)
  expect(readChanges(ledger.takeChanges())).toEqual({
    [`accounts ${WORKER}`]: { ...account, index, balance: FUNDS - STAKE },
    counters: { ...counters, workers: 1 },
    [`workers ${WORKER}`]: record,
  })
  const told = { worker: WORKER, hotKey: HOT_KEY, endpoint: REGISTRATION.endpoint }
  expect(first).toEqual([logOf(DOOR.workers, workerRegisteredEvent, { ...told, stake: STAKE })])

  workers.put(ledger, { worker: WORKER }, { ...record, unbonding: 3n, unlockAt: 9n, lastSeq: 8n, credits: 2, liableUntil: 7n })
  const endpoint = 'x'.repeat(128)
  const update = { ...REGISTRATION, hotKey: BOB, runtimeProfileHash: word('00'), stake: 2n, endpoint }
  const second = mustRun(workerRegister, ledger, contextOf(WORKER), update)
  expect(workers.get(ledger, { worker: WORKER })).toEqual({
    ...{ ...record, unbonding: 3n, unlockAt: 9n, lastSeq: 8n, credits: 2, liableUntil: 7n },
    ...{ hotKey: BOB, runtimeProfileHash: word('00'), stake: STAKE + 2n, endpoint },
  })
  expect(getCounters(ledger).workers).toBe(1)
  expect(second).toEqual([logOf(DOOR.workers, workerRegisteredEvent, { worker: WORKER, hotKey: BOB, stake: STAKE + 2n, endpoint })])
})

test('WorkerRegister: an update with no stake takes nothing, from either lane', () => {
  const ledger = createWorld()
  const update = { ...REGISTRATION, stake: 0n, endpoint: 'elsewhere' }
  mustRun(workerRegister, ledger, contextOf(WORKER), update)
  mustRun(workerRegister, ledger, contextOf(WORKER, 0n), update)
  expect(readChanges(ledger.takeChanges())).toEqual({ [`workers ${WORKER}`]: { ...record, endpoint: 'elsewhere' } })
})

test('WorkerRegister: a contract stakes the value of its call, and gets an account index', () => {
  const ledger = createFundedLedger()
  const contract = `0x${'ee'.repeat(20)}` as const
  const before = getSupply(ledger)
  mustRun(workerRegister, ledger, contextOf(contract, STAKE), REGISTRATION)
  expect(readChanges(ledger.takeChanges())).toMatchObject({
    supply: { ...before, evmSupply: before.evmSupply - STAKE },
    [`accounts ${contract}`]: { ...account, index: 10, balance: 0n },
    [`workers ${contract}`]: record,
  })
})

test('WorkerRegister: unbonding again adds up and starts the wait anew; what is free goes to the balance, from the EVM as well', () => {
  const ledger = createWorld()
  const balance = FUNDS - STAKE
  const index = indexOf(ledger, WORKER)
  const first = mustRun(workerRegister, ledger, contextOf(WORKER), workerAction(WORKER_ACTION.unbond, 1_000n))
  expect(readChanges(ledger.takeChanges())).toEqual({ [`workers ${WORKER}`]: { ...record, stake: 4_000n, unbonding: 1_000n, unlockAt } })
  expect(first).toEqual([logOf(DOOR.workers, workerUnbondingEvent, { worker: WORKER, amount: 1_000n, unlockAt })])

  const later = { ...contextOf(WORKER), timeSec: NOW + 100n }
  const rest = workerAction(WORKER_ACTION.unbond, 4_000n)
  const second = mustRun(workerRegister, ledger, later, rest)
  const unbonded = { ...record, stake: 0n, unbonding: STAKE, unlockAt: unlockAt + 100n }
  expect(readChanges(ledger.takeChanges())).toEqual({ [`workers ${WORKER}`]: unbonded })
  expect(second).toEqual([logOf(DOOR.workers, workerUnbondingEvent, { worker: WORKER, amount: 4_000n, unlockAt: unlockAt + 100n })])
  expect(ledgerValueWei(ledger.records())).toBe(getSupply(ledger).deposited)

  for (const callValueWei of [undefined, 0n]) {
    ledger.checkpoint()
    const free = { ...contextOf(WORKER, callValueWei), timeSec: unlockAt + 100n }
    const third = mustRun(workerRegister, ledger, free, workerAction(WORKER_ACTION.withdraw))
    expect(third).toEqual([logOf(DOOR.workers, workerWithdrawnEvent, { worker: WORKER, amount: STAKE })])
    expect(workers.get(ledger, { worker: WORKER })).toEqual({ ...unbonded, unbonding: 0n, unlockAt: 0n })
    expect(getAccount(ledger, WORKER)).toEqual({ ...account, index, balance: balance + STAKE })
    ledger.revert()
  }
})

test('WorkerRegister: stake is not free before the last credit behind which it stood can no longer be disputed', () => {
  for (const [liableUntil, want] of [
    [unlockAt - 1n, unlockAt],
    [unlockAt, unlockAt],
    [unlockAt + 5n, unlockAt + 5n],
  ] as const) {
    const ledger = createWorld()
    changeWorker(ledger, { liableUntil })
    const logs = mustRun(workerRegister, ledger, contextOf(WORKER), workerAction(WORKER_ACTION.unbond, STAKE))
    expect(logs).toEqual([logOf(DOOR.workers, workerUnbondingEvent, { worker: WORKER, amount: STAKE, unlockAt: want })])
    const early = { ...contextOf(WORKER), timeSec: want - 1n }
    expect(run(workerRegister, ledger, early, workerAction(WORKER_ACTION.withdraw))).toMatchObject({ code: 'stillLocked', unlockAt: want })
    mustRun(workerRegister, ledger, { ...early, timeSec: want }, workerAction(WORKER_ACTION.withdraw))
    expect(workers.get(ledger, { worker: WORKER })).toMatchObject({ stake: 0n, unbonding: 0n, liableUntil })
  }
})
