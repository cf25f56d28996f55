/**
 * The port through which the EVM meets what is ours. precompiles/ fills a table of these, node/ hands it to execution/vm.ts.
 * A precompile is synchronous, sees who called and how (which @ethereumjs gives no precompile), and works on the same journal as the
 * EVM: what it writes is undone when the calling frame reverts.
 */
import type { Hex } from 'viem'
import type { ChainParams } from '../genesis/params.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { FieldValues, Log, NativeType } from './native/nativeType.ts'

export type PrecompileCall = {
  readonly data: Uint8Array
  readonly gasLimit: bigint
  readonly caller: Hex
  readonly valueWei: bigint
  readonly isStatic: boolean
  /** The code runs for another account (DELEGATECALL, CALLCODE): a door refuses that, a verifier does not mind. */
  readonly isDelegated: boolean
  readonly ledger: Ledger
  readonly params: ChainParams
  readonly blockNumber: bigint
  readonly timeSec: bigint
  /** Code of an account, empty if it has none. */
  codeOf(address: Hex): Uint8Array
  readonly baseFeePerGas: bigint
  /** Gas that an operation pays for each byte of its row besides, where bytes cost something; 0 in a deposit, which pays on L1. */
  readonly rowByteGas: bigint
  /** Tells the native lane of an operation that succeeded; forgotten if the frame reverts. */
  recordOperation(operation: EvmOperation): void
}

/** A door call from the EVM that succeeded: a row of EVM origin in the native lane. Never one that spends a ledger or prepaid balance. */
export type EvmOperation = { readonly type: NativeType; readonly caller: Hex; readonly fields: FieldValues }

export type PrecompileResult =
  /** `burnWei`: value that left the EVM for the ledger, taken from the precompile's own EVM balance. */
  | {
      readonly kind: 'return'
      readonly gasUsed: bigint
      readonly output: Uint8Array
      readonly logs: readonly Log[]
      readonly burnWei: bigint
    }
  | { readonly kind: 'revert'; readonly gasUsed: bigint; readonly output: Uint8Array }
  | { readonly kind: 'outOfGas' }

export type Precompile = { readonly address: Hex; run(call: PrecompileCall): PrecompileResult }
