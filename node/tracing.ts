/** Transactions of blocks under a tracer: what each is as a call, and the state as a tracer looks at it. */
import { bytesToHex, type Hex, hexToBytes, pad } from 'viem'
import type { AppliedTx } from '../execution/applyTx.ts'
import type { Header } from '../execution/block.ts'
import { doorCallData } from '../execution/native/native.ts'
import { reportCallData } from '../execution/report.ts'
import type { State } from '../execution/state.ts'
import type { Tx } from '../execution/tx.ts'
import type { Vm } from '../execution/vm.ts'
import { FEE_VAULT, REPORT_GAS, VALIDATORS } from '../genesis/params.ts'
import type { LiveState, TracedCall, Tracer } from '../rpc/chain.ts'

/** A transaction and who watches it. */
type TracedTx = {
  readonly tx: Tx
  readonly tracer: Tracer
  readonly logsBefore: number
  readonly apply: () => AppliedTx | Promise<AppliedTx>
}

/** Runs one transaction of a block under a tracer. */
export async function traceTx(
  { state, vm, header }: { readonly state: State; readonly vm: Vm; readonly header: Header },
  { tx, tracer, logsBefore, apply }: TracedTx,
): Promise<AppliedTx> {
  const call = toCall(tx)
  const live = liveState(state)
  tracer.begin?.({ call, touched: changedBy(tx, header), logsBefore, state: live })
  const applied = await vm.watched(tracer, async () => apply())
  if (applied.ok) tracer.finish?.({ call, receipt: applied, state: live })
  return applied
}

/** A transaction as JSON-RPC shows it: what has no code is a call of its door. */
function toCall(tx: Tx): TracedCall {
  const from = tx.sender
  switch (tx.kind) {
    case 'ethereum': {
      const { to, value, gasLimit, data } = tx.tx
      return { from, to: to && bytesToHex(to.bytes), valueWei: value, gas: gasLimit, input: data }
    }
    case 'native':
      return { from, to: tx.native.type.door, valueWei: 0n, gas: tx.gas, input: hexToBytes(doorCallData(tx.native)) }
    case 'deposit': {
      const { to, valueWei, gas, data } = tx.deposit
      return { from, to, valueWei, gas, input: hexToBytes(data) }
    }
    case 'report':
      return { from, to: VALIDATORS, valueWei: 0n, gas: REPORT_GAS, input: hexToBytes(reportCallData(tx.report)) }
  }
}

/** Accounts of the EVM that a transaction changes whatever it does. */
function changedBy(tx: Tx, { miner }: Header): readonly Hex[] {
  if (tx.kind === 'ethereum') return [miner, FEE_VAULT]
  const { to } = tx.kind === 'native' ? tx.native.fields : {}
  return typeof to === 'string' ? [to as Hex] : []
}

/** The state as it is at the moment that it is asked. */
export function liveState(state: State): LiveState {
  return {
    account(address) {
      const { balance, nonce } = state.account(address)
      return { balance, nonce, code: state.code(address) }
    },
    slot: (address, slot) => pad(bytesToHex(state.slot(address, slot)), { size: 32 }),
  }
}
