/**
 * The EVM lane: @ethereumjs/vm's `runTx` on our state, with our precompiles in it. The only file that constructs a VM; another engine would
 * take the place of this one and of nothing else.
 *
 * What the library does not give, and how it is had: caller, value and static flag of a precompile's call (the EVM is subclassed and
 * remembers the message that is about to run; a precompile's is always the latest), and a Common that is not copied for every transaction.
 */
import { createBlock } from '@ethereumjs/block'
import type { Common } from '@ethereumjs/common'
import {
  EVM,
  EVMError,
  type EVMOpts,
  type EVMResult,
  type ExecResult,
  type Message,
  NobleBN254,
  type PrecompileInput,
} from '@ethereumjs/evm'
import { type Address, createAddressFromString, generateAddress, generateAddress2 } from '@ethereumjs/util'
import { createVM, runTx } from '@ethereumjs/vm'
import { bytesToHex, type Hex, hexToBytes, numberToHex } from 'viem'
import { type ChainParams, FEE_VAULT } from '../genesis/params.ts'
import { ExecutionAborted } from './aborted.ts'
import { AssertionError, assert } from './assert.ts'
import type { Deposit } from './deposit.ts'
import { repricePrecompiles } from './ethereumPrices.ts'
import { commonOf } from './ethereumRules.ts'
import { dataPriceIn, rowByteGas, rowByteGasSoon } from './fee.ts'
import { toHex } from './hex.ts'
import { useOwnLoop, type Watching } from './interpreter.ts'
import { paramsAt } from './ledger/governed.ts'
import { invalid, type Log, type Rejection } from './native/nativeType.ts'
import type { Precompile } from './precompile.ts'
import type { State } from './state.ts'
import type { EthereumTx } from './tx.ts'
import type { FrameEnd, FrameStart, Watcher } from './watcher.ts'

/** What a block tells the EVM. */
export type BlockEnv = {
  readonly number: bigint
  readonly timestamp: bigint
  readonly miner: Hex
  readonly gasLimit: bigint
  readonly baseFeePerGas: bigint
  /** prevRandao of the L1 origin. */
  readonly mixHash: Hex
  readonly parentBeaconBlockRoot: Hex
  /** None on our chain, which has no blobs: left out, it is 0. */
  readonly excessBlobGas?: bigint
}

/** What an EVM transaction or deposit left behind. */
export type EvmOutcome = {
  readonly succeeded: boolean
  readonly gasUsed: bigint
  readonly logs: readonly Log[]
  readonly contractAddress: Hex | undefined
}

/** What a simulated call gave. */
export type EvmCallOutcome = {
  readonly output: Hex
  readonly gasUsed: bigint
  readonly logs: readonly Log[]
  /** Undefined: it succeeded; else the EVM's word for what happened (`revert`, `out of gas`…). */
  readonly exception: string | undefined
}

export type Vm = {
  readonly common: Common
  /** Runs a transaction of Ethereum's types. A rejection leaves the state as it was. `anyNonce`: a simulated one may have whichever nonce. */
  executeEvmTx(
    tx: EthereumTx,
    env: BlockEnv,
    gasUsedBefore: bigint,
    anyNonce?: boolean,
  ): Promise<({ readonly ok: true; readonly gasRefunded: bigint } & EvmOutcome) | Rejection>
  /** Runs the call or creation of a deposit; what it mints was credited before. Spec: docs/spec/block.md#l1-origin-and-deposits */
  executeDeposit(deposit: Deposit, env: BlockEnv): Promise<EvmOutcome>
  /** Runs a call for its answer; the caller throws the state away. */
  simulate(call: SimulatedCall, env: BlockEnv): Promise<EvmCallOutcome>
  /** Addresses of all precompiles, which are warm always. */
  precompiles(): readonly Hex[]
  /** Runs work with a watcher told of everything that the EVM does in it. */
  watched<T>(watcher: Watcher, work: () => Promise<T>): Promise<T>
}

export type SimulatedCall = {
  readonly from: Hex
  readonly to: Hex | undefined
  readonly valueWei: bigint
  readonly data: Uint8Array
  /** Gas for the execution itself, intrinsic gas already taken off. */
  readonly gas: bigint
  readonly gasPriceWei: bigint
  /** Rows of door calls cost what they may cost when the transaction is included: for estimates. */
  readonly withReserve?: boolean
  /** Warm from the start (EIP-2930); its gas is intrinsic, and taken off already. */
  readonly accessList?: readonly { readonly address: Hex; readonly storageKeys: readonly Hex[] }[]
}

export type VmOptions = {
  readonly state: State
  /** The genesis file's. */
  readonly params: ChainParams
  readonly precompiles: readonly Precompile[]
  /** Hash of one of the last 256 blocks, for BLOCKHASH. */
  readonly blockHash: (number: bigint) => Hex | undefined
  /** Ethereum's own rules in the place of the chain's, for checks against Ethereum's: these, its precompiles' prices, and base fees are burned. */
  readonly ethereum?: Common
  /** Is asked now and then while code runs: gives what shall be waited for, or throws `ExecutionAborted`. */
  readonly pause?: (() => Promise<void> | undefined) | undefined
}

/** A VM over the state. */
export async function createVm({ state, params, precompiles, blockHash, ethereum, pause }: VmOptions): Promise<Vm> {
  const common = ethereum ?? commonOf(params.chainId)
  const byAddress = new Map(precompiles.map((precompile) => [precompile.address, precompile]))
  let env: BlockEnv | undefined
  /** What doors take for rows: nothing within a deposit, for which L1 was paid, and with a reserve in an estimate. */
  let rowsAre: 'priced' | 'free' | 'estimated' = 'priced'

  function rowByteGasIn({ baseFeePerGas }: BlockEnv, ruling: ChainParams): bigint {
    if (rowsAre === 'free') return 0n
    const fees = { baseFeePerGas, dataPrice: dataPriceIn(state.ledger, ruling) }
    return rowsAre === 'estimated' ? rowByteGasSoon(fees, ruling) : rowByteGas(fees)
  }

  function runPrecompile(precompile: Precompile, input: PrecompileInput): ExecResult {
    const message = evm.latestMessage
    assert(message && env, 'precompile outside a call')
    const result = precompile.run({
      data: input.data,
      gasLimit: input.gasLimit,
      caller: hexOf(message.caller),
      valueWei: message.value,
      isStatic: message.isStatic,
      isDelegated: !message.codeAddress.equals(message.to ?? message.codeAddress) || message.delegatecall,
      ledger: state.ledger,
      params: paramsAt(params, state.ledger, env.number),
      blockNumber: env.number,
      timeSec: env.timestamp,
      codeOf: (address) => state.code(address),
      baseFeePerGas: env.baseFeePerGas,
      rowByteGas: rowByteGasIn(env, paramsAt(params, state.ledger, env.number)),
      recordOperation: (operation) => state.recordOperation(operation),
    })
    if (result.kind === 'outOfGas') return failed(EVMError.errorMessages.OUT_OF_GAS, input.gasLimit)
    if (result.kind === 'revert') return { ...failed(EVMError.errorMessages.REVERT, result.gasUsed), returnValue: result.output }
    if (result.burnWei > 0n) {
      const account = state.account(precompile.address)
      account.balance -= result.burnWei
      state.putAccount(precompile.address, account)
    }
    return { executionGasUsed: result.gasUsed, returnValue: result.output, logs: result.logs.map(toEvmLog) }
  }

  const evm = new TributaryEvm({
    common,
    stateManager: state.manager,
    bn254: new NobleBN254(),
    blockchain: {
      getBlock: async (number: number) => ({ hash: () => hexToBytes(blockHash(BigInt(number)) ?? `0x${'00'.repeat(32)}`) }),
      putBlock: async () => {},
      shallowCopy() {
        return this
      },
    } as unknown as NonNullable<EVMOpts['blockchain']>,
    customPrecompiles: [...byAddress].map(([address, precompile]) => ({
      address: createAddressFromString(address),
      function: (input: PrecompileInput) => runPrecompile(precompile, input),
    })),
  })
  const watching: Watching = { watcher: undefined, calledBy: 'CALL', pause }
  await useOwnLoop(evm, state.storage, watching)
  keepPrecompilesWarm(evm)
  if (!ethereum) repricePrecompiles(evm)
  const vm = await createVM({ common, stateManager: state.manager, evm })

  function blockOf(next: BlockEnv) {
    env = next
    const { number, timestamp, miner, gasLimit, baseFeePerGas, mixHash, parentBeaconBlockRoot } = next
    const header = {
      number,
      timestamp,
      coinbase: miner,
      gasLimit,
      baseFeePerGas,
      mixHash,
      parentBeaconBlockRoot,
      excessBlobGas: next.excessBlobGas ?? 0n,
      blobGasUsed: 0n,
    }
    return createBlock({ header }, { common, skipConsensusFormatValidation: true, freeze: false })
  }
  let lastBlock: { readonly env: BlockEnv; readonly block: ReturnType<typeof blockOf> } | undefined
  function cachedBlockOf(next: BlockEnv) {
    if (lastBlock?.env !== next) lastBlock = { env: next, block: blockOf(next) }
    env = next
    return lastBlock.block
  }

  return {
    common,

    async executeEvmTx({ tx, hash, sender }, next, gasUsedBefore, anyNonce = false) {
      if (tx.gasLimit + gasUsedBefore > next.gasLimit)
        return invalid('blockGasExceeded', { gas: tx.gasLimit, left: next.gasLimit - gasUsedBefore })
      const block = cachedBlockOf(next)
      state.checkpoint()
      // The library would hash the public key anew each time that it asks.
      const from = createAddressFromString(sender)
      tx.getSenderAddress = () => from
      let result: Awaited<ReturnType<typeof runTx>>
      try {
        result = await runTx(vm, { tx, block, blockGasUsed: gasUsedBefore, skipHardForkValidation: true, skipNonce: anyNonce })
      } catch (error) {
        state.revert()
        return toRejection(error, hash)
      }
      if (!ethereum) payFeeVault(state, result.totalGasSpent * next.baseFeePerGas)
      state.commit()
      return {
        ok: true,
        succeeded: result.execResult.exceptionError === undefined,
        gasUsed: result.totalGasSpent,
        gasRefunded: result.gasRefund,
        logs: (result.execResult.logs ?? []).map(fromEvmLog),
        contractAddress: result.createdAddress && result.execResult.exceptionError === undefined ? hexOf(result.createdAddress) : undefined,
      }
    },

    async executeDeposit(deposit, next) {
      const block = cachedBlockOf(next)
      const { from, to, valueWei, gas, data } = deposit
      const bytes = hexToBytes(data)
      const sender = state.account(from)
      sender.nonce += 1n
      state.putAccount(from, sender)
      const intrinsic = intrinsicGas(bytes, to === undefined)
      const refused = { succeeded: false, gasUsed: gas, logs: [], contractAddress: undefined }
      if (gas < intrinsic || sender.balance < valueWei) return refused
      await evm.journal.cleanup()
      warmUp([from, next.miner, ...(to ? [to] : [])], evm)
      state.checkpoint()
      rowsAre = 'free'
      const call = { block, caller: createAddressFromString(from), ...(to ? { to: createAddressFromString(to) } : {}) }
      const result = await evm
        .runCall({ ...call, value: valueWei, data: bytes, gasLimit: gas - intrinsic, gasPrice: 0n, skipNonceIncrement: true })
        .finally(() => {
          rowsAre = 'priced'
        })
      await cleanUp(result, evm, state)
      state.commit()
      const succeeded = result.execResult.exceptionError === undefined
      return {
        succeeded,
        gasUsed: succeeded ? intrinsic + result.execResult.executionGasUsed : gas,
        logs: succeeded ? (result.execResult.logs ?? []).map(fromEvmLog) : [],
        contractAddress: succeeded && result.createdAddress ? hexOf(result.createdAddress) : undefined,
      }
    },

    async simulate({ from, to, valueWei, data, gas, gasPriceWei, withReserve, accessList = [] }, next) {
      const block = cachedBlockOf(next)
      await evm.journal.cleanup()
      warmUp([from, next.miner, ...(to ? [to] : [])], evm)
      for (const { address, storageKeys } of accessList) {
        evm.journal.addAlwaysWarmAddress(address.slice(2))
        for (const key of storageKeys) evm.journal.addAlwaysWarmSlot(address.slice(2), key.slice(2))
      }
      state.manager.originalStorageCache.clear()
      rowsAre = withReserve ? 'estimated' : 'priced'
      const running = evm.runCall({
        block,
        caller: createAddressFromString(from),
        ...(to ? { to: createAddressFromString(to) } : {}),
        value: valueWei,
        data,
        gasLimit: gas,
        gasPrice: gasPriceWei,
      })
      const result = await running.finally(() => {
        rowsAre = 'priced'
      })
      const { returnValue, executionGasUsed, exceptionError, logs } = result.execResult
      return {
        output: bytesToHex(returnValue),
        gasUsed: executionGasUsed,
        logs: (logs ?? []).map(fromEvmLog),
        exception: exceptionError?.error,
      }
    },

    precompiles: () => [...evm.precompiles.keys()].map((address) => `0x${address}` as const),

    async watched(given, work) {
      // The library takes whatever is thrown in a transaction for the transaction's fault.
      let failure: { readonly error: unknown } | undefined
      const watcher = guarded(given, (error) => {
        failure ??= { error }
      })
      const before = (message: Message) => watcher.enter?.(toFrameStart(message, watching.calledBy, state))
      const after = (result: EVMResult) => watcher.exit?.(toFrameEnd(result))
      evm.events.on('beforeMessage', before)
      evm.events.on('afterMessage', after)
      watching.watcher = watcher
      try {
        const done = await work()
        if (failure !== undefined) throw failure.error
        return done
      } finally {
        watching.watcher = undefined
        evm.events.off('beforeMessage', before)
        evm.events.off('afterMessage', after)
      }
    },
  }
}

/** The watcher, with whoever wants to know told of what it throws. */
function guarded(watcher: Watcher, onError: (error: unknown) => void): Watcher {
  const guard =
    <T>(tell: (told: T) => void) =>
    (told: T) => {
      try {
        tell(told)
      } catch (error) {
        onError(error)
        throw error
      }
    }
  const { enter, exit, step, fault, log } = watcher
  return {
    ...(enter && { enter: guard(enter) }),
    ...(exit && { exit: guard(exit) }),
    ...(step && { step: guard(step) }),
    ...(fault && { fault: guard(fault) }),
    ...(log && { log: guard(log) }),
  }
}

function toFrameStart(message: Message, calledBy: FrameStart['kind'], state: State): FrameStart {
  const { depth, caller, to, value, gasLimit, data } = message
  // Data may be a view of the caller's memory.
  const frame = { from: hexOf(caller), valueWei: value, gas: gasLimit, input: data.slice(), depth }
  if (to === undefined) return { ...frame, kind: depth === 0 ? 'CREATE' : calledBy, to: createdBy(message, state) }
  if (depth === 0) return { ...frame, kind: 'CALL', to: hexOf(to) }
  // A frame that runs another account's code in its own account's name says that account.
  const kind = calledBy
  return { ...frame, kind, from: kind === 'DELEGATECALL' ? hexOf(to) : frame.from, to: hexOf(message.codeAddress) }
}

/** Where a creation that begins now puts its contract: its nonce is taken already. */
function createdBy({ caller, salt, data }: Message, state: State): Hex {
  if (salt) return toHex(generateAddress2(caller.bytes, salt, data))
  const nonce = state.account(hexOf(caller)).nonce - 1n
  return toHex(generateAddress(caller.bytes, nonce === 0n ? new Uint8Array() : hexToBytes(numberToHex(nonce))))
}

function toFrameEnd({ execResult }: EVMResult): FrameEnd {
  const { returnValue, executionGasUsed, exceptionError, logs } = execResult
  return {
    output: returnValue,
    gasUsed: executionGasUsed,
    error: exceptionError?.error,
    logs: (logs ?? []).map(fromEvmLog),
  }
}

/** Gas that a call costs before it runs. Source: EIP-2028 (4 and 16 a byte), EIP-3860 (initcode words), Yellow Paper G_transaction, G_txcreate. */
export function intrinsicGas(data: Uint8Array, creates: boolean): bigint {
  let gas = 21_000n
  for (const byte of data) gas += byte === 0 ? 4n : 16n
  return creates ? gas + 32_000n + 2n * BigInt(Math.ceil(data.length / 32)) : gas
}

/** The library's EVM, remembering the message that is about to run. */
class TributaryEvm extends EVM {
  latestMessage: Message | undefined

  protected override _executeCall(message: Message & { to: Address }): Promise<EVMResult> {
    this.latestMessage = message
    return super._executeCall(message)
  }
}

/** Precompiles are warm always (EIP-2929). The library makes a set for each of them in every transaction. */
function keepPrecompilesWarm({ journal, precompiles }: EVM): void {
  const { addAlwaysWarmAddress, isWarmedAddress } = journal
  journal.addAlwaysWarmAddress = (address, isListed) => {
    if (isListed || !precompiles.has(address)) addAlwaysWarmAddress.call(journal, address, isListed)
  }
  journal.isWarmedAddress = (address) => precompiles.has(toHex(address).slice(2)) || isWarmedAddress.call(journal, address)
}

/** Base fees are not burned here: value that left L1 stays accounted for. */
function payFeeVault(state: State, amountWei: bigint): void {
  const vault = state.account(FEE_VAULT)
  vault.balance += amountWei
  state.putAccount(FEE_VAULT, vault)
}

function warmUp(addresses: readonly Hex[], evm: EVM): void {
  for (const address of addresses) evm.journal.addAlwaysWarmAddress(address.slice(2))
  for (const address of evm.precompiles.keys()) evm.journal.addAlwaysWarmAddress(address)
}

/** What runTx does after a transaction: contracts that died in the transaction that made them go (EIP-6780), touched empty accounts go (EIP-161). */
async function cleanUp(result: EVMResult, evm: EVM, state: State): Promise<void> {
  const { selfdestruct, createdAddresses } = result.execResult
  for (const address of selfdestruct ? [...selfdestruct.keys()].sort() : []) {
    if (createdAddresses?.has(address)) await evm.journal.deleteAccount(createAddressFromString(address))
  }
  await evm.journal.cleanup()
  state.manager.originalStorageCache.clear()
}

function failed(error: EVMError['error'], gasUsed: bigint): ExecResult {
  return { executionGasUsed: gasUsed, returnValue: new Uint8Array(), exceptionError: new EVMError(error) }
}

/** runTx throws for a transaction that can be in no block. What is usual was found out before; this is for the rest, in its words. */
function toRejection(error: unknown, hash: Hex): Rejection {
  if (error instanceof AssertionError || error instanceof ExecutionAborted) throw error
  return invalid('invalidTransaction', { hash, reason: (error instanceof Error ? error.message : String(error)).slice(0, 300) })
}

type EvmLog = [address: Uint8Array, topics: Uint8Array[], data: Uint8Array]

function toEvmLog({ address, topics, data }: Log): EvmLog {
  return [hexToBytes(address), topics.map((topic) => hexToBytes(topic)), hexToBytes(data)]
}

function fromEvmLog([address, topics, data]: EvmLog): Log {
  return { address: toHex(address), topics: topics.map((topic) => toHex(topic)), data: toHex(data) }
}

function hexOf(address: Address): Hex {
  return toHex(address.bytes)
}
