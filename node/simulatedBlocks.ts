/**
 * Blocks of calls on top of a committed one, for `eth_simulateV1`: each call is a transaction that nobody signed, executed by the rules of the EVM lane.
 * Without validation nothing is asked of nonces, and there is no base fee. Source: ethereum/execution-apis; geth, internal/ethapi/simulate.go.
 */
import { createTx, type TypedTransaction } from '@ethereumjs/tx'
import { bytesToHex, type Hex } from 'viem'
import { fillHeader } from '../execution/applyBlock.ts'
import { EMPTY_REQUESTS_HASH, encodeBlock, type Header, hashHeader, nextBaseFeeWei, type Receipt } from '../execution/block.ts'
import { keccak256 } from '../execution/keccak.ts'
import type { Log } from '../execution/native/nativeType.ts'
import type { State } from '../execution/state.ts'
import type { EthereumTx } from '../execution/tx.ts'
import type { Vm } from '../execution/vm.ts'
import type { FrameStart, Watcher } from '../execution/watcher.ts'
import type { ChainParams } from '../genesis/params.ts'
import type { BlockOverrides, SimulatedBlock, SimulatedRequest, SimulateRefusal, SimulateRequest, StateOverrides } from '../rpc/chain.ts'

/** Blocks of one simulation, those between given numbers among them. */
const BLOCKS_MAX = 256
/** Calls of one simulation. */
const CALLS_MAX = 1_000
/** Gas of all calls of one simulation together. */
const GAS_MAX = 50_000_000n
/** Gas of one transaction. Source: EIP-7825. */
const TX_GAS_MAX = 16_777_216n
const ZERO_ADDRESS: Hex = `0x${'00'.repeat(20)}`
/** Who seems to log transfers of value, and as what: ERC-20's Transfer. */
const TRANSFER_LOGGER: Hex = `0x${'ee'.repeat(20)}`
const TRANSFER_TOPIC: Hex = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef'

export type SimulationBench = {
  readonly state: State
  readonly vm: Vm
  readonly params: ChainParams
  /** Is told of each block's hash, for BLOCKHASH. */
  onHash(number: bigint, hash: Hex): void
  override(changes: StateOverrides | undefined): void
}

type Simulation = SimulationBench & { readonly request: SimulateRequest; gasLeft: bigint }

/** Simulates on the state of `parent`, and leaves it changed. */
export async function simulateBlocks(
  bench: SimulationBench,
  parent: Header,
  request: SimulateRequest,
): Promise<{ readonly ok: true; readonly blocks: readonly SimulatedBlock[] } | SimulateRefusal> {
  const planned = plan(parent, request)
  if (!planned.ok) return planned
  const simulation: Simulation = { ...bench, request, gasLeft: GAS_MAX }
  const blocks: SimulatedBlock[] = []
  let last = parent
  for (const { overrides, state, calls } of planned.blocks) {
    bench.override(state)
    const result = await simulateBlock(simulation, last, overrides, calls)
    if (!result.ok) return result
    blocks.push(result.block)
    last = result.block.at.block.header
    bench.onHash(last.number, result.block.at.hash)
  }
  return { ok: true, blocks }
}

type Planned = {
  readonly overrides: BlockOverrides & { readonly number: bigint; readonly time: bigint }
  readonly state: StateOverrides | undefined
  readonly calls: readonly SimulatedRequest[]
}

/** Numbers and times of all blocks, with empty ones where numbers are left out. */
function plan(parent: Header, { blocks }: SimulateRequest): { readonly ok: true; readonly blocks: readonly Planned[] } | SimulateRefusal {
  const planned: Planned[] = []
  if (blocks.reduce((sum, { calls }) => sum + calls.length, 0) > CALLS_MAX) return refusal('tooManyCalls', `more than ${CALLS_MAX} calls`)
  let [number, time] = [parent.number, parent.timestamp]
  for (const { block = {}, state, calls } of blocks) {
    const wanted = block.number ?? number + 1n
    if (wanted <= number) return refusal('blockNumbers', `block numbers must be in order: ${wanted} <= ${number}`)
    if (wanted - parent.number > BigInt(BLOCKS_MAX)) return refusal('tooManyBlocks', 'too many blocks')
    for (; number + 1n < wanted; number++) {
      time++
      planned.push({ overrides: { number: number + 1n, time }, state: undefined, calls: [] })
    }
    const at = block.time ?? time + 1n
    if (at <= time) return refusal('blockTimes', `block timestamps must be in order: ${at} <= ${time}`)
    planned.push({ overrides: { ...block, number: wanted, time: at }, state, calls })
    ;[number, time] = [wanted, at]
  }
  return { ok: true, blocks: planned }
}

async function simulateBlock(
  simulation: Simulation,
  parent: Header,
  overrides: Planned['overrides'],
  calls: readonly SimulatedRequest[],
): Promise<{ readonly ok: true; readonly block: SimulatedBlock } | SimulateRefusal> {
  const { state, params, request } = simulation
  const baseFeePerGas = overrides.baseFeePerGas ?? (request.validation ? nextBaseFeeWei(parent, params) : 0n)
  const env = {
    number: overrides.number,
    timestamp: overrides.time,
    miner: overrides.feeRecipient ?? parent.miner,
    gasLimit: overrides.gasLimit ?? parent.gasLimit,
    baseFeePerGas,
    mixHash: overrides.prevRandao ?? parent.mixHash,
    parentBeaconBlockRoot: parent.parentBeaconBlockRoot,
    extraData: '0x010000' as const,
  }
  const transactions: EthereumTx[] = []
  const receipts: Receipt[] = []
  const outcomes: SimulatedBlock['calls'][number][] = []
  let gasUsed = 0n
  for (const call of calls) {
    const ran = await runCall(simulation, env, gasUsed, call)
    if (!ran.ok) return ran
    gasUsed += ran.outcome.gasUsed
    transactions.push(ran.tx)
    outcomes.push(ran.outcome)
    receipts.push({ ...ran.receipt, cumulativeGasUsed: gasUsed })
  }
  const { roots } = state.seal()
  const executed = { roots, requestsHash: EMPTY_REQUESTS_HASH, gasUsed, transactions, receipts, params }
  const filled = fillHeader(parent, env, executed)
  const header = { ...filled, number: env.number, gasLimit: env.gasLimit, baseFeePerGas }
  const block = { header, transactions: transactions.map((tx) => tx.raw) }
  const at = { hash: hashHeader(header), block, size: encodeBlock(block).length, transactions, receipts }
  return { ok: true, block: { at, calls: outcomes } }
}

type Ran = {
  readonly ok: true
  readonly tx: EthereumTx
  readonly receipt: Receipt
  readonly outcome: SimulatedBlock['calls'][number]
}

async function runCall(
  simulation: Simulation,
  env: Parameters<Vm['executeEvmTx']>[1],
  gasUsedBefore: bigint,
  call: SimulatedRequest,
): Promise<Ran | SimulateRefusal> {
  const { vm, request } = simulation
  const blockGasLeft = env.gasLimit - gasUsedBefore
  if (call.gas !== undefined && call.gas > blockGasLeft)
    return refusal('blockGasExceeded', `block gas limit reached: ${blockGasLeft} left, ${call.gas} asked`)
  const gas = least(call.gas ?? least(blockGasLeft, TX_GAS_MAX), simulation.gasLeft)
  if (gas > TX_GAS_MAX) return refusal('gasTooHigh', `transaction gas limit too high (cap: ${TX_GAS_MAX}, tx: ${gas})`)
  const tx = unsignedTx(simulation, { ...call, gas })
  const { sender } = tx
  const refused = check(simulation, env, tx)
  if (refused) return refused
  const watched = watchCall(request.traceTransfers)
  const result = await vm.watched(watched.watcher, () => vm.executeEvmTx(tx, env, gasUsedBefore, !request.validation))
  if (!result.ok) return toRefusal(String(result.reason ?? result.code), sender)
  simulation.gasLeft -= result.gasUsed
  const { output, exception, logs } = watched.outcome()
  const receipt = {
    type: tx.type,
    succeeded: result.succeeded,
    cumulativeGasUsed: 0n,
    gasUsed: result.gasUsed,
    logs: result.succeeded ? logs : [],
    contractAddress: result.contractAddress,
    failureCode: undefined,
    dataFee: undefined,
  }
  const outcome = { output, exception, gasUsed: result.gasUsed, gasMax: result.gasUsed + result.gasRefunded }
  return { ok: true, tx, receipt, outcome }
}

/** A transaction of the call, signed by nobody. */
function unsignedTx({ vm, state }: Simulation, call: SimulatedRequest & { readonly gas: bigint }): EthereumTx {
  const { from: sender = ZERO_ADDRESS, to, gas, value = 0n, data = '0x', accessList = [] } = call
  const nonce = call.nonce ?? state.account(sender).nonce
  const shared = { nonce, gasLimit: gas, value, data, r: 0n, s: 0n, ...(to && { to }) }
  const chainId = vm.common.chainId()
  const fees = { maxFeePerGas: call.maxFeePerGas ?? call.maxPriorityFeePerGas ?? 0n, maxPriorityFeePerGas: call.maxPriorityFeePerGas ?? 0n }
  const list = accessList.map(({ address, storageKeys }) => ({ address, storageKeys: [...storageKeys] }))
  const legacy = { ...shared, v: 2n * chainId + 35n, type: 0, gasPrice: call.gasPrice ?? 0n }
  const tx: TypedTransaction =
    call.gasPrice === undefined
      ? createTx({ ...shared, ...fees, v: 0n, type: 2, chainId, accessList: list }, { common: vm.common, freeze: false })
      : createTx(legacy, { common: vm.common, freeze: false })
  const raw = tx.serialize()
  return { kind: 'ethereum', tx, raw, hash: bytesToHex(keccak256(raw)), sender, type: tx.type }
}

/** What would keep a transaction out of a block, in geth's words and with its codes. */
function check(
  { state, request }: Simulation,
  env: Parameters<Vm['executeEvmTx']>[1],
  { tx, sender }: EthereumTx,
): SimulateRefusal | undefined {
  const { nonce, balance } = state.account(sender)
  const price = 'maxFeePerGas' in tx ? tx.maxFeePerGas : tx.gasPrice
  if (request.validation && tx.nonce < nonce)
    return refusal('nonceTooLow', `nonce too low: address ${sender}, tx: ${tx.nonce} state: ${nonce}`)
  if (request.validation && tx.nonce > nonce)
    return refusal('nonceTooHigh', `nonce too high: address ${sender}, tx: ${tx.nonce} state: ${nonce}`)
  if (tx.nonce === 2n ** 64n - 1n) return refusal('nonceMax', `nonce has max value: address ${sender}, nonce: ${tx.nonce}`)
  if (price < env.baseFeePerGas)
    return refusal(
      'feeTooLow',
      `max fee per gas less than block base fee: address ${sender}, maxFeePerGas: ${price}, baseFee: ${env.baseFeePerGas}`,
    )
  const intrinsic = tx.getIntrinsicGas()
  if (tx.gasLimit < intrinsic) return refusal('gasTooLow', `intrinsic gas too low: have ${tx.gasLimit}, want ${intrinsic}`)
  const want = tx.gasLimit * price + tx.value
  if (balance < want)
    return refusal('insufficientFunds', `insufficient funds for gas * price + value: address ${sender} have ${balance} want ${want}`)
  return undefined
}

/** What the EVM says of a transaction that it does not run. */
function toRefusal(reason: string, sender: Hex): SimulateRefusal {
  return refusal('invalidTransaction', `${reason.slice(0, 300)}: address ${sender}`)
}

function refusal(code: string, message: string): SimulateRefusal {
  return { ok: false, code, message }
}

type Frame = { readonly logs: Log[] }

/** What the outermost frame answered, and the logs of what was not undone, with transfers of value among them if they are wanted. */
function watchCall(withTransfers: boolean): { readonly watcher: Watcher; outcome(): Outcome } {
  const open: Frame[] = []
  let outcome: Outcome = { output: '0x', exception: undefined, logs: [] }
  const watcher: Watcher = {
    enter(frame) {
      open.push({ logs: withTransfers && moves(frame) ? [transferLog(frame)] : [] })
    },
    log(log) {
      open.at(-1)?.logs.push(log)
    },
    exit({ output, error, logs }) {
      const own = open.pop()?.logs ?? []
      // A precompile's logs are told at its end only.
      const hasLogged = own.some(({ address }) => address !== TRANSFER_LOGGER)
      const kept = error === undefined ? [...own, ...(hasLogged ? [] : logs)] : []
      const outer = open.at(-1)
      if (outer) outer.logs.push(...kept)
      else outcome = { output: bytesToHex(output), exception: error, logs: kept }
    },
  }
  return { watcher, outcome: () => outcome }
}

type Outcome = { readonly output: Hex; readonly exception: string | undefined; readonly logs: readonly Log[] }

function moves({ kind, valueWei }: FrameStart): boolean {
  return valueWei > 0n && kind !== 'DELEGATECALL' && kind !== 'CALLCODE' && kind !== 'STATICCALL'
}

function transferLog({ from, to, valueWei }: FrameStart): Log {
  const topic = (address: Hex): Hex => `0x${address.slice(2).padStart(64, '0')}`
  return {
    address: TRANSFER_LOGGER,
    topics: [TRANSFER_TOPIC, topic(from), topic(to)],
    data: `0x${valueWei.toString(16).padStart(64, '0')}`,
  }
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}
