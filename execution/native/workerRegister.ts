/**
 * 0x55 WorkerRegister: who serves inference: the hot key that signs its receipts, where it is reached, and its stake.
 * Spec: docs/spec/transactions.md#0x55-workerregister
 */
import { parseAbiItem, parseAbiParameters, zeroAddress, zeroHash } from 'viem'
import { DOOR, LIMIT, TX_TYPE } from '../../genesis/params.ts'
import { utf8Length } from '../fields.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { addBalance, getCounters, indexOf, putCounters, workers } from '../ledger/tables.ts'
import { type Applied, defineNative, doorLog, failure, invalid, type NativeContext, takeValue } from './nativeType.ts'

export const WORKER_ACTION = { register: 0, unbond: 1, withdraw: 2 } as const

export const workerRegisteredEvent = parseAbiItem(
  'event WorkerRegistered(address indexed worker, address hotKey, uint96 stake, string endpoint)',
)
export const workerUnbondingEvent = parseAbiItem('event WorkerUnbonding(address indexed worker, uint96 amount, uint64 unlockAt)')
export const workerWithdrawnEvent = parseAbiItem('event WorkerWithdrawn(address indexed worker, uint96 amount)')

export const workerRegister = defineNative({
  byte: TX_TYPE.workerRegister,
  name: 'WorkerRegister',
  door: DOOR.workers,
  functionName: 'register',
  payable: true,
  parameters: parseAbiParameters('uint8 action, address hotKey, bytes32 runtimeProfileHash, uint96 stake, string endpoint'),

  records: () => 1,

  check({ action, hotKey, runtimeProfileHash, stake, endpoint }) {
    if (action > WORKER_ACTION.withdraw) return invalid('unknownAction', { action })
    if (action === WORKER_ACTION.register) {
      const endpointBytes = utf8Length(endpoint)
      if (hotKey === zeroAddress) return invalid('badHotKey')
      if (endpointBytes === 0 || endpointBytes > LIMIT.endpointBytes) return invalid('badEndpoint', { endpointBytes })
      return undefined
    }
    if (action === WORKER_ACTION.unbond && stake === 0n) return invalid('badAmount', { stake })
    const hasUnused = hotKey !== zeroAddress || runtimeProfileHash !== zeroHash || endpoint !== ''
    if (hasUnused || (action === WORKER_ACTION.withdraw && stake !== 0n)) return invalid('unusedField')
    return undefined
  },

  apply(ledger, context, fields) {
    const { action, stake } = fields
    const refused = takeValue(ledger, context, action === WORKER_ACTION.register ? stake : 0n)
    if (refused) return refused
    if (action === WORKER_ACTION.unbond) return unbond(ledger, context, stake)
    if (action === WORKER_ACTION.withdraw) return withdraw(ledger, context)
    return register(ledger, context, fields)
  },
})

type Registration = {
  readonly hotKey: `0x${string}`
  readonly runtimeProfileHash: `0x${string}`
  readonly stake: bigint
  readonly endpoint: string
}

function register(
  ledger: Ledger,
  { params, sender }: NativeContext,
  { hotKey, runtimeProfileHash, stake, endpoint }: Registration,
): Applied {
  const known = workers.get(ledger, { worker: sender })
  const stakeInAll = (known?.stake ?? 0n) + stake
  if (stakeInAll < params.workerStakeMinWei) return failure('stakeTooLow', { stake: stakeInAll, want: params.workerStakeMinWei })
  indexOf(ledger, sender) // the worker earns a share of every fee
  const before = known ?? { index: nextWorkerIndex(ledger), unbonding: 0n, unlockAt: 0n, lastSeq: 0n, credits: 0, liableUntil: 0n }
  workers.put(ledger, { worker: sender }, { ...before, hotKey, runtimeProfileHash, stake: stakeInAll, endpoint })
  return { ok: true, logs: [doorLog(DOOR.workers, workerRegisteredEvent, { worker: sender, hotKey, stake: stakeInAll, endpoint })] }
}

function nextWorkerIndex(ledger: Ledger): number {
  const counters = getCounters(ledger)
  const index = counters.workers + 1
  putCounters(ledger, { ...counters, workers: index })
  return index
}

function unbond(ledger: Ledger, { params, sender, timeSec }: NativeContext, amount: bigint): Applied {
  const known = workers.get(ledger, { worker: sender })
  if (!known) return failure('unknownWorker', { worker: sender })
  if (known.stake < amount) return failure('insufficientStake', { stake: known.stake, want: amount })
  const stake = known.stake - amount
  if (stake !== 0n && stake < params.workerStakeMinWei) return failure('stakeTooLow', { stake, want: params.workerStakeMinWei })
  const waitedAt = timeSec + BigInt(params.unbondingSec)
  // Whatever a vote made of the wait: what stood behind a credit stays until nobody can dispute it.
  const unlockAt = waitedAt > known.liableUntil ? waitedAt : known.liableUntil
  workers.put(ledger, { worker: sender }, { ...known, stake, unbonding: known.unbonding + amount, unlockAt })
  return { ok: true, logs: [doorLog(DOOR.workers, workerUnbondingEvent, { worker: sender, amount, unlockAt })] }
}

/** The record stays when all stake is gone: its last sequence number keeps old receipts from being credited again. */
function withdraw(ledger: Ledger, { sender, timeSec }: NativeContext): Applied {
  const known = workers.get(ledger, { worker: sender })
  if (!known) return failure('unknownWorker', { worker: sender })
  const { unbonding: amount, unlockAt } = known
  if (amount === 0n) return failure('nothingUnbonding')
  if (timeSec < unlockAt) return failure('stillLocked', { unlockAt, now: timeSec })
  workers.put(ledger, { worker: sender }, { ...known, unbonding: 0n, unlockAt: 0n })
  addBalance(ledger, sender, amount)
  return { ok: true, logs: [doorLog(DOOR.workers, workerWithdrawnEvent, { worker: sender, amount })] }
}
