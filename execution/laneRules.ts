/**
 * What a block does to the ledger, rule by rule and without the EVM: native transactions, deposits, reports of evidence, and operations of EVM origin.
 * Blocks (execution/applyTx.ts) and the lane's re-execution (settlement/lane.ts) both run these functions, so that they cannot differ.
 * Spec: docs/spec/transactions.md#fees, #validity-and-failure; docs/spec/block.md#l1-origin-and-deposits; docs/spec/batch.md#rows
 */
import type { Hex } from 'viem'
import { activeFork } from '../genesis/forks.ts'
import { type ChainParams, DOOR, TREASURY, TX_TYPE, VALIDATORS } from '../genesis/params.ts'
import {
  type Deposit,
  depositedEvent,
  l1InfoEvent,
  ledgerDepositTarget,
  parseL1Info,
  parseValidatorChange,
  validatorChangedEvent,
} from './deposit.ts'
import { epochOf } from './epoch.ts'
import { type BlockFees, type DataFee, type DataPrice, dataFeeWei } from './fee.ts'
import { toHex } from './hex.ts'
import type { JournaledLedger, Ledger } from './ledger/ledger.ts'
import { addBalance, getAccount, getL1Info, getSupply, putAccount, putL1Info, putSupply } from './ledger/tables.ts'
import { accusedOf, changeValidator, convict } from './ledger/validators.ts'
import { nativeRowBytes, type SignedNative } from './native/native.ts'
import {
  type Applied,
  codeBytes32,
  doorLog,
  FAILED_EVENT,
  invalid,
  type Log,
  type NativeType,
  type Rejection,
} from './native/nativeType.ts'
import { addPrepaid, enterEvm } from './native/transfer.ts'
import type { Verdict } from './native/verdict.ts'
import type { EvmOperation } from './precompile.ts'
import { type JudgeEvidence, keyOf, type Report, validatorConvictedEvent } from './report.ts'
import type { NativeTx } from './tx.ts'
import type { BlockEnv } from './vm.ts'

/** The ledger, and the block that rules what happens to it. */
export type LaneContext = {
  readonly ledger: JournaledLedger
  readonly params: ChainParams
  readonly env: Pick<BlockEnv, 'number' | 'timestamp' | 'miner' | 'baseFeePerGas'>
  /** What a row's bytes cost in the block. */
  readonly dataPrice: DataPrice
  /** The verdict by which a dispute is executed; undefined: by its evidence. */
  readonly stated?: Verdict | undefined
}

/** A native transaction whose shape and signature were checked. */
export type CheckedNative = Pick<NativeTx, 'native' | 'sender' | 'gas'>

/** What a native transaction left behind; `failureCode` says why it was included as failed. */
export type NativeOutcome = {
  readonly ok: true
  readonly logs: readonly Log[]
  readonly failureCode: string | undefined
  readonly dataFee: DataFee | undefined
  /** Of a dispute that was judged. */
  readonly verdict?: Verdict | undefined
}

/** The fee of a native transaction, in wei: gas at the base fee, without a tip, and the bytes of its row. Spec: docs/spec/transactions.md#fees */
export type NativeFee = { readonly gasWei: bigint; readonly data: DataFee | undefined }

/** What a native transaction of this content pays in a block with these fees. */
export function nativeFeeOf(
  { native, gas }: { readonly native: Pick<SignedNative, 'type' | 'fields'>; readonly gas: bigint },
  { baseFeePerGas, dataPrice }: BlockFees,
): NativeFee {
  const gasWei = gas * baseFeePerGas
  if (dataPrice.weiPerMillionBytes === 0n) return { gasWei, data: undefined }
  const bytes = nativeRowBytes(native)
  return { gasWei, data: { bytes, feeWei: dataFeeWei(bytes, dataPrice), price: dataPrice } }
}

/** All of it, in wei. */
export function totalWei({ gasWei, data }: NativeFee): bigint {
  return data ? gasWei + data.feeWei : gasWei
}

/** What keeps a native transaction that would pay this fee out of a block; undefined if nothing does. */
function checkNative({ native, sender }: CheckedNative, ledger: Ledger, fee: bigint): Rejection | undefined {
  const account = getAccount(ledger, sender)
  if (native.nonce < account.nonce) return invalid('nonceTooLow', { got: native.nonce, want: account.nonce })
  if (native.nonce > account.nonce) return invalid('nonceTooHigh', { got: native.nonce, want: account.nonce })
  if (fee > native.maxFeeWei) return invalid('feeTooLow', { maxFeeWei: native.maxFeeWei, feeWei: fee })
  if (fee > account.balance) return invalid('insufficientFunds', { balance: account.balance, feeWei: fee })
  return undefined
}

/** A native transaction on the ledger. A rejection leaves it as it was; a failure keeps fee and nonce. */
export function applyNativeToLedger({ ledger, params, env, dataPrice, stated }: LaneContext, tx: CheckedNative): NativeOutcome | Rejection {
  const { native, sender } = tx
  if (!isActive(native.type, params, env.timestamp)) return invalid('typeNotActive', { type: native.type.byte })
  const fee = nativeFeeOf(tx, { baseFeePerGas: env.baseFeePerGas, dataPrice })
  const refused = checkNative(tx, ledger, totalWei(fee))
  if (refused) return refused
  ledger.checkpoint()
  payNativeFee(ledger, { sender, fee, miner: env.miner })
  ledger.checkpoint()
  const context = { params, blockNumber: env.number, timeSec: env.timestamp, sender, callValueWei: undefined, stated }
  const result = native.type.apply(ledger, context, native.fields)
  if (result.ok) {
    ledger.commit()
    ledger.commit()
    return { ok: true, logs: result.logs, failureCode: undefined, dataFee: fee.data, verdict: result.verdict }
  }
  ledger.revert()
  if (result.invalid) {
    ledger.revert()
    return result
  }
  ledger.commit()
  const logs = [doorLog(native.type.door, FAILED_EVENT, { code: codeBytes32(result.code) })]
  return { ok: true, logs, failureCode: result.code, dataFee: fee.data, verdict: result.verdict }
}

/** Whether the fork at this time has the type. */
export function isActive({ byte }: Pick<NativeType, 'byte'>, { forks }: Pick<ChainParams, 'forks'>, timeSec: bigint): boolean {
  return activeFork(forks, timeSec).nativeTypes.includes(byte)
}

/** What a deposit is to the ledger: `evm` has raised deposited and evmSupply, and its call is the EVM's to run. */
export type DepositOutcome = { readonly kind: 'l1Info' | 'ledger' | 'validators'; readonly logs: readonly Log[] } | { readonly kind: 'evm' }

/** A deposit on the ledger, in a block of this number. It cannot fail: what L1 took, L2 gives. */
export function applyDepositToLedger(
  { ledger, params, env }: { readonly ledger: Ledger; readonly params: ChainParams; readonly env: Pick<BlockEnv, 'number'> },
  deposit: Deposit,
): DepositOutcome {
  const l1Info = parseL1Info(deposit)
  if (l1Info) {
    // The deposits behind it move the cursor, each by one, so that a row says by itself whether it is the next one.
    putL1Info(ledger, { ...l1Info, depositCursor: getL1Info(ledger).depositCursor })
    return { kind: 'l1Info', logs: [doorLog(DOOR.ledger, l1InfoEvent, { number: l1Info.number, hash: l1Info.hash })] }
  }
  const origin = getL1Info(ledger)
  putL1Info(ledger, { ...origin, depositCursor: origin.depositCursor + 1n })
  if (deposit.to === VALIDATORS) return { kind: 'validators', logs: changeValidators(ledger, epochOf(env.number, params), deposit) }
  const supply = getSupply(ledger)
  const deposited = supply.deposited + deposit.mintWei
  if (deposit.to === DOOR.ledger) {
    putSupply(ledger, { ...supply, deposited })
    return { kind: 'ledger', logs: [creditLedger(ledger, deposit)] }
  }
  putSupply(ledger, { ...supply, deposited })
  enterEvm(ledger, deposit.mintWei)
  return { kind: 'evm' }
}

/** Who judges evidence, and the block that a report is in. */
export type ReportContext = Pick<LaneContext, 'ledger' | 'params'> & {
  readonly env: Pick<BlockEnv, 'number' | 'timestamp'>
  readonly judgeEvidence: JudgeEvidence
}

/** A report on the ledger: the validator is convicted. A rejection leaves it as it was, and keeps the report out of every block. */
export function applyReportToLedger(
  { ledger, params, env, judgeEvidence }: ReportContext,
  report: Report,
): { readonly ok: true; readonly logs: readonly Log[] } | Rejection {
  if (!isActive({ byte: TX_TYPE.evidenceReport }, params, env.timestamp)) return invalid('typeNotActive', { type: TX_TYPE.evidenceReport })
  const blockNumber = env.number
  const accused = accusedOf(ledger, report, { blockNumber, params })
  if (!accused.ok) return accused
  const { member, epoch } = accused
  const key = keyOf(member)
  const verdict = judgeEvidence(report.evidence, { chainId: params.chainId, epoch, key })
  if (!verdict.ok) return invalid(verdict.code, { validator: member.validator })
  const isOut = convict(ledger, { member, report, blockNumber, params })
  const { validator } = member
  const convicted = { validator, key: toHex(key), height: report.height, kind: report.kind }
  const logs = [doorLog(VALIDATORS, validatorConvictedEvent, convicted)]
  if (!isOut) return { ok: true, logs }
  const change = { validator, weight: 0n, fromEpoch: epochOf(blockNumber, params) + 1 }
  return { ok: true, logs: [...logs, doorLog(VALIDATORS, validatorChangedEvent, change)] }
}

/**
 * An operation of EVM origin on the ledger, from its row alone. That it was called, and that the value which its rule takes came with the call,
 * is what the EVM lane attests. What spends a ledger or prepaid balance is `nativeOnly` here as it was in the call: no attestation is enough for it.
 * A rejection leaves the ledger as it was.
 */
export function applyOperationToLedger({ ledger, params, env, stated }: LaneContext, { type, caller, fields }: EvmOperation): Applied {
  if (!isActive(type, params, env.timestamp)) return invalid('typeNotActive', { type: type.byte })
  const refused = type.check(fields, params.chainId)
  if (refused) return refused
  ledger.checkpoint()
  const context = { params, blockNumber: env.number, timeSec: env.timestamp, sender: caller, callValueWei: 'attested' as const, stated }
  const applied = type.apply(ledger, context, fields)
  if (applied.ok) ledger.commit()
  else ledger.revert()
  return applied
}

/** Half of what gas costs to the treasury, the rest to the fee recipient; what bytes cost to the treasury; the nonce is used. */
function payNativeFee(ledger: Ledger, { sender, fee, miner }: { sender: Hex; fee: NativeFee; miner: Hex }): void {
  const { gasWei, data } = fee
  const account = getAccount(ledger, sender)
  putAccount(ledger, sender, { ...account, nonce: account.nonce + 1n, balance: account.balance - totalWei(fee) })
  const halfWei = gasWei / 2n
  addBalance(ledger, TREASURY, data ? halfWei + data.feeWei : halfWei)
  addBalance(ledger, miner, gasWei - halfWei)
}

/** The registry's word counts from the next epoch on. */
function changeValidators(ledger: Ledger, epoch: number, deposit: Deposit): Log[] {
  const change = parseValidatorChange(deposit)
  if (!change || !changeValidator(ledger, epoch, change)) return []
  const { validator, weight } = change
  return [doorLog(VALIDATORS, validatorChangedEvent, { validator, weight, fromEpoch: epoch + 1 })]
}

function creditLedger(ledger: Ledger, deposit: Deposit): Log {
  const { to, prepaid } = ledgerDepositTarget(deposit)
  if (prepaid) addPrepaid(ledger, to, deposit.mintWei)
  else addBalance(ledger, to, deposit.mintWei)
  return doorLog(DOOR.ledger, depositedEvent, { to, amount: deposit.mintWei })
}
