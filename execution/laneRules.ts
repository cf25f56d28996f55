/**
 * What a block does to the ledger, rule by rule and without the EVM: native transactions, deposits, and operations of EVM origin.
 * Blocks (execution/applyTx.ts) and the lane's re-execution (settlement/lane.ts) both run these functions, so that they cannot differ.
 * Spec: docs/spec/transactions.md#fees, #validity-and-failure; docs/spec/block.md#l1-origin-and-deposits; docs/spec/batch.md#rows
 */
import type { Hex } from 'viem'
import { type ChainParams, DOOR, TREASURY } from '../genesis/params.ts'
import { type Deposit, depositedEvent, l1InfoEvent, ledgerDepositTarget, parseL1Info } from './deposit.ts'
import type { JournaledLedger, Ledger } from './ledger/ledger.ts'
import { addBalance, getAccount, getSupply, putAccount, putL1Info, putSupply } from './ledger/tables.ts'
import { type Applied, codeBytes32, doorLog, FAILED_EVENT, invalid, type Log, type Rejection } from './native/nativeType.ts'
import { addPrepaid } from './native/transfer.ts'
import type { EvmOperation } from './precompile.ts'
import type { NativeTx } from './tx.ts'
import type { BlockEnv } from './vm.ts'

/** The ledger, and the block that rules what happens to it. */
export type LaneContext = {
  readonly ledger: JournaledLedger
  readonly params: ChainParams
  readonly env: Pick<BlockEnv, 'number' | 'timestamp' | 'miner' | 'baseFeePerGas'>
}

/** A native transaction whose shape and signature were checked. */
export type CheckedNative = Pick<NativeTx, 'native' | 'sender' | 'gas'>

/** What a native transaction left behind; `failureCode` says why it was included as failed. */
export type NativeOutcome = { readonly ok: true; readonly logs: readonly Log[]; readonly failureCode: string | undefined }

/** The fee of a native transaction at a base fee, in wei: gas × base fee, no tip. Spec: docs/spec/transactions.md#fees */
export function nativeFeeWei(gas: bigint, baseFeeWei: bigint): bigint {
  return gas * baseFeeWei
}

/** What keeps a native transaction out of a block with this base fee; undefined if nothing does. */
export function checkNative(
  { native, sender, gas }: CheckedNative,
  { ledger, baseFeePerGas }: { readonly ledger: Ledger; readonly baseFeePerGas: bigint },
): Rejection | undefined {
  const account = getAccount(ledger, sender)
  if (native.nonce < account.nonce) return invalid('nonceTooLow', { got: native.nonce, want: account.nonce })
  if (native.nonce > account.nonce) return invalid('nonceTooHigh', { got: native.nonce, want: account.nonce })
  const fee = nativeFeeWei(gas, baseFeePerGas)
  if (fee > native.maxFeeWei) return invalid('feeTooLow', { maxFeeWei: native.maxFeeWei, feeWei: fee })
  if (fee > account.balance) return invalid('insufficientFunds', { balance: account.balance, feeWei: fee })
  return undefined
}

/** A native transaction on the ledger. A rejection leaves it as it was; a failure keeps fee and nonce. */
export function applyNativeToLedger({ ledger, params, env }: LaneContext, tx: CheckedNative): NativeOutcome | Rejection {
  const { native, sender, gas } = tx
  const refused = checkNative(tx, { ledger, baseFeePerGas: env.baseFeePerGas })
  if (refused) return refused
  ledger.checkpoint()
  payNativeFee(ledger, { sender, feeWei: nativeFeeWei(gas, env.baseFeePerGas), miner: env.miner })
  ledger.checkpoint()
  const context = { params, blockNumber: env.number, timeSec: env.timestamp, sender, callValueWei: undefined }
  const result = native.type.apply(ledger, context, native.fields)
  if (result.ok) {
    ledger.commit()
    ledger.commit()
    return { ok: true, logs: result.logs, failureCode: undefined }
  }
  ledger.revert()
  if (result.invalid) {
    ledger.revert()
    return result
  }
  ledger.commit()
  const logs = [doorLog(native.type.door, FAILED_EVENT, { code: codeBytes32(result.code) })]
  return { ok: true, logs, failureCode: result.code }
}

/** What a deposit is to the ledger: `evm` has raised deposited and evmSupply, and its call is the EVM's to run. */
export type DepositOutcome = { readonly kind: 'l1Info' | 'ledger'; readonly logs: readonly Log[] } | { readonly kind: 'evm' }

/** A deposit on the ledger. It cannot fail: what L1 took, L2 gives. */
export function applyDepositToLedger(ledger: Ledger, deposit: Deposit): DepositOutcome {
  const l1Info = parseL1Info(deposit)
  if (l1Info) {
    putL1Info(ledger, l1Info)
    return { kind: 'l1Info', logs: [doorLog(DOOR.ledger, l1InfoEvent, { number: l1Info.number, hash: l1Info.hash })] }
  }
  const supply = getSupply(ledger)
  const deposited = supply.deposited + deposit.mintWei
  if (deposit.to === DOOR.ledger) {
    putSupply(ledger, { ...supply, deposited })
    return { kind: 'ledger', logs: [creditLedger(ledger, deposit)] }
  }
  putSupply(ledger, { ...supply, deposited, evmSupply: supply.evmSupply + deposit.mintWei })
  return { kind: 'evm' }
}

/**
 * An operation of EVM origin on the ledger, from its row alone. That it was called, and that the value which its rule takes came with the call,
 * is what the EVM lane attests. What spends a ledger or prepaid balance is `nativeOnly` here as it was in the call: no attestation is enough for it.
 * A rejection leaves the ledger as it was.
 */
export function applyOperationToLedger({ ledger, params, env }: LaneContext, { type, caller, fields }: EvmOperation): Applied {
  const refused = type.check(fields, params.chainId)
  if (refused) return refused
  ledger.checkpoint()
  const context = { params, blockNumber: env.number, timeSec: env.timestamp, sender: caller, callValueWei: 'attested' as const }
  const applied = type.apply(ledger, context, fields)
  if (applied.ok) ledger.commit()
  else ledger.revert()
  return applied
}

/** Half of the fee to the treasury, the rest to the fee recipient; the nonce is used. */
function payNativeFee(ledger: Ledger, { sender, feeWei, miner }: { sender: Hex; feeWei: bigint; miner: Hex }): void {
  const account = getAccount(ledger, sender)
  putAccount(ledger, sender, { ...account, nonce: account.nonce + 1n, balance: account.balance - feeWei })
  addBalance(ledger, TREASURY, feeWei / 2n)
  addBalance(ledger, miner, feeWei - feeWei / 2n)
}

function creditLedger(ledger: Ledger, deposit: Deposit): Log {
  const { to, prepaid } = ledgerDepositTarget(deposit)
  if (prepaid) addPrepaid(ledger, to, deposit.mintWei)
  else addBalance(ledger, to, deposit.mintWei)
  return doorLog(DOOR.ledger, depositedEvent, { to, amount: deposit.mintWei })
}
