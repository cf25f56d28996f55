/**
 * A call of a precompile as the EVM makes it: in a frame of its own, undone unless it returns. The ledger is the real one, over nothing.
 */
import type { Hex } from 'viem'
import { createLedger, type JournaledLedger } from '../../execution/ledger/ledger.ts'
import type { EvmOperation, Precompile, PrecompileCall, PrecompileResult } from '../../execution/precompile.ts'
import type { BlockEnv } from '../../execution/vm.ts'
import { type ChainParams, OPEN_WEI } from '../../genesis/params.ts'
import { TEST_PARAMS } from '../fakes/ledger.ts'

/** The tests' network with a stake worth the name and waits that fit one story. */
export const PARAMS: ChainParams = { ...TEST_PARAMS, epochSec: 100, vestingSec: 50, unbondingSec: 60, workerStakeMinWei: 10n * OPEN_WEI }

/** An account that nobody else has to do with. */
export const CALLER: Hex = '0xca11e40000000000000000000000000000000001'

const HASH: Hex = `0x${'11'.repeat(32)}`

/** The block in which calls of the real EVM run. */
export const ENV: BlockEnv = {
  number: 7n,
  timestamp: 1_000n,
  miner: `0x${'22'.repeat(20)}`,
  gasLimit: PARAMS.blockGasLimit,
  baseFeePerGas: 0n,
  mixHash: HASH,
  parentBeaconBlockRoot: HASH,
}

/** A ledger without a record. */
export function createEmptyLedger(): JournaledLedger {
  return createLedger(() => undefined)
}

/** What a frame left behind: the precompile's answer and what it told the native lane. */
export type Outcome = { readonly result: PrecompileResult; readonly operations: readonly EvmOperation[] }

/** Runs the call: plenty of gas, no value, an ordinary CALL by `CALLER` at second 1,000 of block 7, but for what `overrides` says. */
export function callIn(
  ledger: JournaledLedger,
  precompile: Precompile,
  data: Uint8Array,
  overrides: Partial<PrecompileCall> = {},
): Outcome {
  const operations: EvmOperation[] = []
  const call: PrecompileCall = {
    data,
    gasLimit: 30_000_000n,
    caller: CALLER,
    valueWei: 0n,
    isStatic: false,
    isDelegated: false,
    ledger,
    params: PARAMS,
    blockNumber: 7n,
    timeSec: 1_000n,
    codeOf: () => new Uint8Array(),
    baseFeePerGas: 0n,
    rowByteGas: 0n,
    recordOperation: (operation) => operations.push(operation),
    ...overrides,
  }
  ledger.checkpoint()
  const result = precompile.run(call)
  if (result.kind === 'return') ledger.commit()
  else ledger.revert()
  return { result, operations }
}
