/**
 * One transaction on the state: the EVM lane through execution/vm.ts, the native lane through its type's rule, deposits and reports by their own.
 * What comes back is a receipt without its place in the block, or why the transaction can be in no block now.
 */
import { createAddressFromString, KECCAK256_NULL } from '@ethereumjs/util'
import type { Hex } from 'viem'
import { type ChainParams, FEE_VAULT, REPORT_GAS } from '../genesis/params.ts'
import { type DataFee, type DataPrice, dataFeeWei, NO_DATA_PRICE } from './fee.ts'
import { applyDepositToLedger, applyNativeToLedger, applyReportToLedger } from './laneRules.ts'
import { invalid, type Rejection } from './native/nativeType.ts'
import type { JudgeEvidence } from './report.ts'
import type { State } from './state.ts'
import type { DepositTx, EthereumTx, NativeTx, ReportTx, Tx } from './tx.ts'
import type { BlockEnv, EvmOutcome, Vm } from './vm.ts'

/** Everything that a transaction left behind. */
export type Outcome = EvmOutcome & {
  /** Why a native transaction was included as failed. */
  readonly failureCode: string | undefined
  /** What its bytes cost, where bytes cost something; deposits and reports pay nothing. */
  readonly dataFee: DataFee | undefined
}

export type TxContext = {
  readonly state: State
  readonly vm: Vm
  readonly params: ChainParams
  readonly env: BlockEnv
  readonly judgeEvidence: JudgeEvidence
  /** Gas of the transactions before this one in the block. */
  readonly gasUsedBefore: bigint
  /** What bytes cost in the block; left out, nothing. */
  readonly dataPrice?: DataPrice | undefined
}

/** What became of a transaction. */
export type AppliedTx = ({ readonly ok: true } & Outcome) | Rejection

/** Applies a transaction: at once, if the EVM has no part in it. A rejection leaves the state as it was. */
export function applyTx(context: TxContext, tx: Tx): AppliedTx | Promise<AppliedTx> {
  if (tx.kind === 'native') return applyNative(context, tx)
  if (tx.kind === 'ethereum') return applyEthereum(context, tx)
  if (tx.kind === 'report') return applyReport(context, tx)
  return applyDeposit(context, tx)
}

function applyNative(
  { state, params, env, gasUsedBefore, dataPrice = NO_DATA_PRICE }: TxContext,
  tx: NativeTx,
): ({ ok: true } & Outcome) | Rejection {
  const { gas } = tx
  if (gasUsedBefore + gas > env.gasLimit) return invalid('blockGasExceeded', { gas, left: env.gasLimit - gasUsedBefore })
  const result = applyNativeToLedger({ ledger: state.ledger, params, env, dataPrice }, tx)
  if (!result.ok) return result
  const succeeded = result.failureCode === undefined
  if (succeeded) creditEvmSide(state, tx)
  return { ...result, succeeded, gasUsed: gas, contractAddress: undefined }
}

/** Nobody pays for it. */
function applyReport(
  { state, params, env, judgeEvidence, gasUsedBefore }: TxContext,
  { report }: ReportTx,
): ({ ok: true } & Outcome) | Rejection {
  const gasUsed = REPORT_GAS
  if (gasUsedBefore + gasUsed > env.gasLimit) return invalid('blockGasExceeded', { gas: gasUsed, left: env.gasLimit - gasUsedBefore })
  const result = applyReportToLedger({ ledger: state.ledger, params, env, judgeEvidence }, report)
  return result.ok
    ? { ...result, succeeded: true, gasUsed, contractAddress: undefined, failureCode: undefined, dataFee: undefined }
    : result
}

/** The one place where the native lane touches the EVM: a transfer of kind 1 has already moved the supply in the ledger. */
function creditEvmSide(state: State, { native }: NativeTx): void {
  if (native.type.name !== 'Transfer' || native.fields.kind !== 1) return
  mintEvm(state, native.fields.to as Hex, native.fields.amount as bigint)
}

async function applyEthereum(context: TxContext, tx: EthereumTx): Promise<({ ok: true } & Outcome) | Rejection> {
  const { state, vm, env, gasUsedBefore, dataPrice = NO_DATA_PRICE } = context
  const { nonce, balance, codeHash } = state.account(tx.sender)
  const { gasLimit, value } = tx.tx
  if (tx.tx.nonce < nonce) return invalid('nonceTooLow', { got: tx.tx.nonce, want: nonce })
  if (tx.tx.nonce > nonce) return invalid('nonceTooHigh', { got: tx.tx.nonce, want: nonce })
  const feeMaxWei = 'maxFeePerGas' in tx.tx ? tx.tx.maxFeePerGas : tx.tx.gasPrice
  if (feeMaxWei < env.baseFeePerGas) return invalid('feeTooLow', { maxFeePerGas: feeMaxWei, baseFeePerGas: env.baseFeePerGas })
  const feeWei = dataFeeWei(tx.raw.length, dataPrice)
  const want = gasLimit * feeMaxWei + value + feeWei
  if (balance < want) return invalid('insufficientFunds', { balance, want })
  // Contracts send nothing, but for accounts that delegate to one (EIP-3607, EIP-7702).
  const code = isEmptyCode(codeHash) ? undefined : await state.manager.getCode(createAddressFromString(tx.sender))
  if (code && !(code[0] === 0xef && code[1] === 0x01 && code[2] === 0x00)) return invalid('senderNotEoa', { sender: tx.sender })
  if (dataPrice.weiPerMillionBytes === 0n) return withoutDataFee(await vm.executeEvmTx(tx, env, gasUsedBefore))
  state.checkpoint()
  payForBytes(state, tx.sender, feeWei)
  const result = await vm.executeEvmTx(tx, env, gasUsedBefore)
  if (!result.ok) {
    state.revert()
    return result
  }
  state.commit()
  return { ...result, failureCode: undefined, dataFee: { bytes: tx.raw.length, feeWei, price: dataPrice } }
}

function withoutDataFee(result: Awaited<ReturnType<Vm['executeEvmTx']>>): ({ ok: true } & Outcome) | Rejection {
  return result.ok ? { ...result, failureCode: undefined, dataFee: undefined } : result
}

/** Before the transaction runs, as gas is bought, and whatever becomes of it. The balance was looked at. */
function payForBytes(state: State, sender: Hex, feeWei: bigint): void {
  const account = state.account(sender)
  account.balance -= feeWei
  state.putAccount(sender, account)
  mintEvm(state, FEE_VAULT, feeWei)
}

function isEmptyCode(codeHash: Uint8Array): boolean {
  return KECCAK256_NULL.every((byte, i) => byte === codeHash[i])
}

/** Deposits never fail to be included: what L1 took, L2 gives. */
async function applyDeposit({ state, vm, params, env }: TxContext, { deposit }: DepositTx): Promise<AppliedTx> {
  const free = { ok: true, failureCode: undefined, dataFee: undefined } as const
  const onLedger = applyDepositToLedger({ ledger: state.ledger, params, env }, deposit)
  if (onLedger.kind !== 'evm') return { ...free, succeeded: true, gasUsed: 0n, logs: onLedger.logs, contractAddress: undefined }
  mintEvm(state, deposit.from, deposit.mintWei)
  return { ...free, ...(await vm.executeDeposit(deposit, env)) }
}

function mintEvm(state: State, to: Hex, amountWei: bigint): void {
  if (amountWei === 0n) return
  const account = state.account(to)
  account.balance += amountWei
  state.putAccount(to, account)
}
