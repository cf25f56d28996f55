/**
 * 0x50 Transfer: moves value between a ledger balance, the EVM, a prepaid balance and L1.
 * Spec: docs/spec/transactions.md#0x50-transfer
 */
import { type Hex, parseAbiItem, parseAbiParameters, zeroAddress } from 'viem'
import { DOOR, TX_TYPE } from '../../genesis/params.ts'
import { giveBackEvmExit } from '../ledger/evmExits.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { addBalance, getAccount, getCounters, getSupply, putAccount, putCounters, putSupply, withdrawals } from '../ledger/tables.ts'
import { type Applied, defineNative, doorLog, failure, invalid, type NativeContext, takeValue } from './nativeType.ts'

/** Where a transfer goes. */
export const TRANSFER_KIND = { ledger: 0, evm: 1, prepaid: 2, l1: 3, unlockPrepaid: 4, fromPrepaid: 5 } as const

export const transferredEvent = parseAbiItem('event Transferred(address indexed from, address indexed to, uint8 kind, uint96 amount)')
export const withdrawnEvent = parseAbiItem('event Withdrawn(uint64 indexed index, address indexed from, address indexed to, uint96 amount)')

export const transfer = defineNative({
  byte: TX_TYPE.transfer,
  name: 'Transfer',
  door: DOOR.ledger,
  functionName: 'transfer',
  payable: true,
  parameters: parseAbiParameters('uint8 kind, address to, uint96 amount'),

  records: () => 2,

  check({ kind, to, amount }) {
    if (kind > TRANSFER_KIND.fromPrepaid) return invalid('unknownKind', { kind })
    if ((amount === 0n) !== (kind === TRANSFER_KIND.unlockPrepaid)) return invalid('badAmount', { amount })
    if ((to === zeroAddress) !== kind >= TRANSFER_KIND.unlockPrepaid) return invalid('badRecipient', { to })
    return undefined
  },

  apply(ledger, context, { kind, to, amount }) {
    const fromEvm = context.callValueWei !== undefined
    if (fromEvm && kind !== TRANSFER_KIND.ledger && kind !== TRANSFER_KIND.prepaid && kind !== TRANSFER_KIND.l1) {
      return failure('nativeOnly', { kind })
    }
    if (kind === TRANSFER_KIND.unlockPrepaid) return unlockPrepaid(ledger, context)
    if (kind === TRANSFER_KIND.fromPrepaid) return takePrepaid(ledger, context, amount)
    const refused = takeValue(ledger, context, amount, { toL1: kind === TRANSFER_KIND.l1 })
    if (refused) return refused
    const logs = [doorLog(DOOR.ledger, transferredEvent, { from: context.sender, to, kind, amount })]
    if (kind === TRANSFER_KIND.ledger) addBalance(ledger, to, amount)
    if (kind === TRANSFER_KIND.evm) enterEvm(ledger, amount)
    if (kind === TRANSFER_KIND.prepaid) addPrepaid(ledger, to, amount)
    if (kind === TRANSFER_KIND.l1) logs.push(withdraw(ledger, context, { to, amount }))
    return { ok: true, logs }
  },
})

/** What goes to the EVM: it counts there, and gives back of the allowance for the way out. */
export function enterEvm(ledger: Ledger, amountWei: bigint): void {
  putSupply(ledger, addTo(getSupply(ledger), 'evmSupply', amountWei))
  giveBackEvmExit(ledger, amountWei)
}

/** Adds to an account's prepaid balance, from which workers draw. */
export function addPrepaid(ledger: Ledger, to: Hex, amountWei: bigint): void {
  const account = getAccount(ledger, to)
  putAccount(ledger, to, { ...account, prepaid: account.prepaid + amountWei })
}

function unlockPrepaid(ledger: Ledger, context: NativeContext): Applied {
  const account = getAccount(ledger, context.sender)
  const unlockAt = context.timeSec + BigInt(context.params.prepaidDelaySec)
  putAccount(ledger, context.sender, { ...account, unlockAt })
  return { ok: true, logs: [transferredBySender(context, TRANSFER_KIND.unlockPrepaid, 0n)] }
}

function takePrepaid(ledger: Ledger, context: NativeContext, amount: bigint): Applied {
  const account = getAccount(ledger, context.sender)
  if (account.unlockAt === 0n) return failure('notUnlocking')
  if (context.timeSec < account.unlockAt) return failure('stillLocked', { unlockAt: account.unlockAt, now: context.timeSec })
  if (account.prepaid < amount) return failure('insufficientPrepaid', { prepaid: account.prepaid, want: amount })
  const prepaid = account.prepaid - amount
  putAccount(ledger, context.sender, {
    ...account,
    prepaid,
    balance: account.balance + amount,
    unlockAt: prepaid === 0n ? 0n : account.unlockAt,
  })
  return { ok: true, logs: [transferredBySender(context, TRANSFER_KIND.fromPrepaid, amount)] }
}

function withdraw(ledger: Ledger, context: NativeContext, { to, amount }: { to: Hex; amount: bigint }) {
  const counters = getCounters(ledger)
  const index = counters.withdrawals + 1n
  putCounters(ledger, { ...counters, withdrawals: index })
  const { sender, blockNumber, callValueWei } = context
  // What the EVM attests to have is paid later on L1, and no more of it than an allowance (docs/spec/settlement.md#bridge).
  const fromEvm = callValueWei === undefined ? 0 : 1
  withdrawals.put(ledger, { withdrawalIndex: index }, { from: sender, to, amount, blockNumber, fromEvm })
  putSupply(ledger, addTo(getSupply(ledger), 'withdrawn', amount))
  return doorLog(DOOR.ledger, withdrawnEvent, { index, from: context.sender, to, amount })
}

function transferredBySender({ sender }: NativeContext, kind: number, amount: bigint) {
  return doorLog(DOOR.ledger, transferredEvent, { from: sender, to: sender, kind, amount })
}

function addTo<S extends Readonly<Record<string, bigint>>>(supply: S, member: keyof S, amount: bigint): S {
  return { ...supply, [member]: (supply[member] ?? 0n) + amount }
}
