/**
 * One call on a state that is thrown away afterwards: what it answers, the gas that it needs, the accounts and slots that it touches.
 * Source of what clients expect: ethereum/execution-apis; geth, internal/ethapi.
 */
import { type Hex, hexToBytes } from 'viem'
import type { Header } from '../execution/block.ts'
import type { State } from '../execution/state.ts'
import { type EvmCallOutcome, intrinsicGas, type Vm } from '../execution/vm.ts'
import { touchedBy } from '../execution/watcher.ts'
import type { AccessList, AccessListed, CallRequest, CallResult, Tracer } from '../rpc/chain.ts'
import { liveState } from './tracing.ts'

/** Gas of a call that names none. */
const CALL_GAS_DEFAULT = 50_000_000n
/** An estimate is at most this much above the smallest gas that works: 1/64. */
const ESTIMATE_SLACK = 64n
/** Runs of a call whose accesses are listed, after the first; lists only grow, and hardly ever twice. */
const ACCESS_ROUNDS_MAX = 8
const ZERO_ADDRESS: Hex = `0x${'00'.repeat(20)}`

/** Where a call runs: state and environment as overrides left them. */
export type Bench = { readonly state: State; readonly vm: Vm; readonly header: Header }

/** How a call is run. */
type CallRun = { readonly gas: bigint; readonly withReserve?: boolean; readonly tracer?: Tracer | undefined }

/** What the call answers with this much gas; what it did is undone. */
export async function call(
  { state, vm, header }: Bench,
  request: CallRequest,
  { gas, withReserve = false, tracer }: CallRun,
): Promise<CallResult> {
  const from = request.from ?? ZERO_ADDRESS
  const data = hexToBytes(request.data ?? '0x')
  const intrinsic = intrinsicGas(data, request.to === undefined) + accessListGas(request.accessList)
  const needed = leastGas(request)
  if (gas < needed) return { ok: false, code: 'gasTooLow', reason: `intrinsic gas too low: have ${gas}, want ${needed}` }
  const value = request.value ?? 0n
  const price = request.maxFeePerGas ?? request.gasPrice ?? 0n
  if (price > 0n && price < header.baseFeePerGas)
    return { ok: false, code: 'feeTooLow', reason: `max fee per gas ${price} below base fee ${header.baseFeePerGas}` }
  const { balance } = state.account(from)
  if (balance < value + (request.gas === undefined ? 0n : gas * price)) {
    return { ok: false, code: 'insufficientFunds', reason: `insufficient funds for gas * price + value: have ${balance}` }
  }
  state.checkpoint()
  const { to, accessList = [] } = request
  const simulated = { from, to, valueWei: value, data, gas: gas - intrinsic, gasPriceWei: price, withReserve, accessList }
  const env = { ...header }
  const run = () => vm.simulate(simulated, env)
  const traced = { from, to, valueWei: value, gas, input: data }
  let outcome: EvmCallOutcome
  let gasUsed: bigint
  try {
    tracer?.begin?.({ call: traced, touched: [header.miner], logsBefore: 0, state: liveState(state) })
    outcome = await (tracer ? vm.watched(tracer, run) : run())
    gasUsed = larger(outcome.gasUsed + intrinsic, floorGas(data))
    const receipt = { succeeded: outcome.exception === undefined, gasUsed, logs: outcome.logs, failureCode: undefined }
    tracer?.finish?.({ call: traced, receipt, state: liveState(state) })
  } finally {
    state.revert()
  }
  if (outcome.exception === undefined) return { ok: true, output: outcome.output, gasUsed, logs: outcome.logs }
  const code = outcome.exception === 'revert' ? 'reverted' : 'halted'
  return { ok: false, code, output: outcome.output, reason: outcome.exception, gasUsed }
}

/**
 * Runs the call again and again with what it touched as its access list, until that stays as it is: what is warm may change what a call does. Source: geth,
 * internal/ethapi AccessList.
 */
export async function listAccesses(bench: Bench, request: CallRequest): Promise<AccessListed> {
  const gas = capGas(request.gas, bench.header)
  const free = new Set([request.from ?? ZERO_ADDRESS, bench.header.miner, ...(request.to ? [request.to] : []), ...bench.vm.precompiles()])
  let accessList = request.accessList ?? []
  for (let round = 0; ; round++) {
    const touched = new Map(accessList.map(({ address, storageKeys }) => [address, new Set(storageKeys)]))
    const result = await call(bench, { ...request, accessList }, { gas, tracer: accessTracer(touched, free) })
    const next = [...touched].map(([address, storageKeys]) => ({ address, storageKeys: [...storageKeys] }))
    if (round === ACCESS_ROUNDS_MAX || countOf(next) === countOf(accessList)) return { ...result, accessList: next }
    accessList = next
  }
}

/** Adds what is touched. Accounts that are warm anyway are listed for their slots alone. */
function accessTracer(touched: Map<Hex, Set<Hex>>, free: ReadonlySet<Hex>): Tracer {
  const slotsOf = (address: Hex): Set<Hex> => {
    const slots = touched.get(address) ?? new Set()
    touched.set(address, slots)
    return slots
  }
  return {
    step(step) {
      const at = touchedBy(step)
      if (at === undefined) return
      if ('slot' in at) slotsOf(step.address).add(at.slot)
      else if (!free.has(at.address)) slotsOf(at.address)
    },
    result: () => null,
  }
}

function countOf(accessList: AccessList): number {
  return accessList.reduce((sum, { storageKeys }) => sum + 1 + storageKeys.length, 0)
}

/**
 * Binary search for the gas limit with which the call will succeed, at the prices of L1's bytes of some blocks later too: a call may need more than it
 * uses, because frames keep a 64th back (EIP-150).
 */
export async function estimate(bench: Bench, request: CallRequest): Promise<{ ok: true; gas: bigint } | Exclude<CallResult, { ok: true }>> {
  const asked = capGas(request.gas, bench.header)
  const cap = affordable(bench, request, asked)
  if (cap < asked && cap < leastGas(request))
    return { ok: false, code: 'insufficientFunds', reason: `insufficient funds for gas * price + value: enough for ${cap} gas` }
  const free = { ...request, gas: undefined }
  const succeeds = async (gas: bigint) => (await call(bench, free, { gas, withReserve: true })).ok
  const first = await call(bench, free, { gas: cap, withReserve: true })
  if (!first.ok) return first
  let low = first.gasUsed - 1n // does not suffice
  let high = cap
  for (const guess of [first.gasUsed, first.gasUsed + first.gasUsed / 63n + 2_400n]) {
    if (guess >= high) continue
    if (await succeeds(guess)) {
      high = guess
      break
    }
    low = guess
  }
  while (high - low > 1n + high / ESTIMATE_SLACK) {
    const middle = (low + high) / 2n
    if (await succeeds(middle)) high = middle
    else low = middle
  }
  return { ok: true, gas: high }
}

/** The most gas that the sender can pay for at the price that it names. */
function affordable({ state }: Bench, request: CallRequest, cap: bigint): bigint {
  const price = request.maxFeePerGas ?? request.gasPrice ?? 0n
  if (price === 0n) return cap
  const left = state.account(request.from ?? ZERO_ADDRESS).balance - (request.value ?? 0n)
  const most = left > 0n ? left / price : 0n
  return most < cap ? most : cap
}

/** Gas that a call gets which asks for this much, or for none. */
export function capGas(asked: bigint | undefined, header: Header): bigint {
  const cap = header.gasLimit < CALL_GAS_DEFAULT ? header.gasLimit : CALL_GAS_DEFAULT
  return asked === undefined || asked > cap ? cap : asked
}

/** Gas below which a transaction that makes this call enters no block. */
function leastGas({ data = '0x', to, accessList }: CallRequest): bigint {
  const bytes = hexToBytes(data)
  return larger(intrinsicGas(bytes, to === undefined) + accessListGas(accessList), floorGas(bytes))
}

/** Source: EIP-2930. */
function accessListGas(accessList: AccessList = []): bigint {
  return accessList.reduce((sum, { storageKeys }) => sum + 2_400n + 1_900n * BigInt(storageKeys.length), 0n)
}

/** Least gas of a transaction with this data. Source: EIP-7623, 10 a token, a nonzero byte being 4 tokens. */
function floorGas(data: Uint8Array): bigint {
  let tokens = 0n
  for (const byte of data) tokens += byte === 0 ? 1n : 4n
  return 21_000n + 10n * tokens
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
