/**
 * One transaction on the state: the EVM lane through execution/vm.ts, the native lane through its type's rule, deposits by their own.
 * What comes back is a receipt without its place in the block, or why the transaction can be in no block now.
 */
import type { Hex } from 'viem'
import { type ChainParams, DOOR, TREASURY } from '../genesis/params.ts'
import { type Deposit, depositedEvent, l1InfoEvent, ledgerDepositTarget, parseL1Info } from './deposit.ts'
import { addBalance, getAccount, getSupply, putAccount, putL1Info, putSupply } from './ledger/tables.ts'
import { codeBytes32, doorLog, FAILED_EVENT, invalid, type Log, type Rejection } from './native/nativeType.ts'
import { addPrepaid } from './native/transfer.ts'
import type { State } from './state.ts'
import type { DepositTx, EthereumTx, NativeTx, Tx } from './tx.ts'
import type { BlockEnv, EvmOutcome, Vm } from './vm.ts'

/** Everything that a transaction left behind. */
export type Outcome = EvmOutcome & {
  /** Why a native transaction was included as failed. */
  readonly failureCode: string | undefined
}

export type TxContext = {
  readonly state: State
  readonly vm: Vm
  readonly params: ChainParams
  readonly env: BlockEnv
  /** Gas of the transactions before this one in the block. */
  readonly gasUsedBefore: bigint
}

/** Applies a transaction. A rejection leaves the state as it was. */
export async function applyTx(context: TxContext, tx: Tx): Promise<({ readonly ok: true } & Outcome) | Rejection> {
  if (tx.kind === 'native') return applyNative(context, tx)
  if (tx.kind === 'ethereum') return applyEthereum(context, tx)
  return { ok: true, failureCode: undefined, ...(await applyDeposit(context, tx)) }
}

/** The fee of a native transaction at a base fee, in wei: gas × base fee, no tip. Spec: docs/spec/transactions.md#fees */
export function nativeFeeWei(gas: bigint, baseFeeWei: bigint): bigint {
  return gas * baseFeeWei
}

/** What keeps a native transaction out of a block with this base fee; undefined if nothing does. */
export function checkNative(
  { native, sender, gas }: NativeTx,
  { state, baseFeePerGas }: { state: State; baseFeePerGas: bigint },
): Rejection | undefined {
  const account = getAccount(state.ledger, sender)
  if (native.nonce < account.nonce) return invalid('nonceTooLow', { got: native.nonce, want: account.nonce })
  if (native.nonce > account.nonce) return invalid('nonceTooHigh', { got: native.nonce, want: account.nonce })
  const fee = nativeFeeWei(gas, baseFeePerGas)
  if (fee > native.maxFeeWei) return invalid('feeTooLow', { maxFeeWei: native.maxFeeWei, feeWei: fee })
  if (fee > account.balance) return invalid('insufficientFunds', { balance: account.balance, feeWei: fee })
  return undefined
}

function applyNative({ state, params, env, gasUsedBefore }: TxContext, tx: NativeTx): ({ ok: true } & Outcome) | Rejection {
  const { native, sender, gas } = tx
  if (gasUsedBefore + gas > env.gasLimit) return invalid('blockGasExceeded', { gas, left: env.gasLimit - gasUsedBefore })
  const refused = checkNative(tx, { state, baseFeePerGas: env.baseFeePerGas })
  if (refused) return refused
  const { ledger } = state
  state.checkpoint()
  payNativeFee(state, { sender, feeWei: nativeFeeWei(gas, env.baseFeePerGas), miner: env.miner })
  state.checkpoint()
  const context = { params, blockNumber: env.number, timeSec: env.timestamp, sender, callValueWei: undefined }
  const result = native.type.apply(ledger, context, native.fields)
  if (!result.ok && result.invalid) {
    state.revert()
    state.revert()
    return result
  }
  if (!result.ok) {
    state.revert()
    state.commit()
    const logs = [doorLog(native.type.door, FAILED_EVENT, { code: codeBytes32(result.code) })]
    return { ok: true, succeeded: false, gasUsed: gas, logs, contractAddress: undefined, failureCode: result.code }
  }
  creditEvmSide(state, tx)
  state.commit()
  state.commit()
  return { ok: true, succeeded: true, gasUsed: gas, logs: result.logs, contractAddress: undefined, failureCode: undefined }
}

/** Half of the fee to the treasury, the rest to the fee recipient; the nonce is used. */
function payNativeFee({ ledger }: State, { sender, feeWei, miner }: { sender: Hex; feeWei: bigint; miner: Hex }): void {
  const account = getAccount(ledger, sender)
  putAccount(ledger, sender, { ...account, nonce: account.nonce + 1n, balance: account.balance - feeWei })
  addBalance(ledger, TREASURY, feeWei / 2n)
  addBalance(ledger, miner, feeWei - feeWei / 2n)
}

/** The one place where the native lane touches the EVM: a transfer of kind 1 has already moved the supply in the ledger. */
function creditEvmSide(state: State, { native }: NativeTx): void {
  if (native.type.name !== 'Transfer' || native.fields.kind !== 1) return
  mintEvm(state, native.fields.to as Hex, native.fields.amount as bigint)
}

async function applyEthereum({ state, vm, env, gasUsedBefore }: TxContext, tx: EthereumTx): Promise<({ ok: true } & Outcome) | Rejection> {
  const { nonce } = state.account(tx.sender)
  if (tx.tx.nonce < nonce) return invalid('nonceTooLow', { got: tx.tx.nonce, want: nonce })
  if (tx.tx.nonce > nonce) return invalid('nonceTooHigh', { got: tx.tx.nonce, want: nonce })
  const result = await vm.executeEvmTx(tx, env, gasUsedBefore)
  return result.ok ? { ...result, failureCode: undefined } : result
}

/** Deposits never fail to be included: what L1 took, L2 gives. */
async function applyDeposit({ state, vm, env }: TxContext, { deposit }: DepositTx): Promise<EvmOutcome> {
  const { ledger } = state
  const l1Info = parseL1Info(deposit)
  if (l1Info) {
    putL1Info(ledger, l1Info)
    return done([doorLog(DOOR.ledger, l1InfoEvent, { number: l1Info.number, hash: l1Info.hash })])
  }
  const supply = getSupply(ledger)
  if (deposit.to === DOOR.ledger) {
    putSupply(ledger, { ...supply, deposited: supply.deposited + deposit.mintWei })
    return done([creditLedger(state, deposit)])
  }
  putSupply(ledger, { ...supply, deposited: supply.deposited + deposit.mintWei, evmSupply: supply.evmSupply + deposit.mintWei })
  mintEvm(state, deposit.from, deposit.mintWei)
  return vm.executeDeposit(deposit, env)
}

function creditLedger({ ledger }: State, deposit: Deposit): Log {
  const { to, prepaid } = ledgerDepositTarget(deposit)
  if (prepaid) addPrepaid(ledger, to, deposit.mintWei)
  else addBalance(ledger, to, deposit.mintWei)
  return doorLog(DOOR.ledger, depositedEvent, { to, amount: deposit.mintWei })
}

function mintEvm(state: State, to: Hex, amountWei: bigint): void {
  if (amountWei === 0n) return
  const account = state.account(to)
  account.balance += amountWei
  state.putAccount(to, account)
}

function done(logs: readonly Log[]): EvmOutcome {
  return { succeeded: true, gasUsed: 0n, logs, contractAddress: undefined }
}
