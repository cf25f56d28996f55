/**
 * The EVM's loop without a promise for each operation. The library awaits every step and every dynamic gas cost, looks for jump destinations anew in each
 * call frame, and pads storage keys byte by byte; here a step is a plain call unless what it does is really asynchronous (calls, creations, reads of
 * other accounts), code is looked through once, and storage is read and written in place. All other operations are the library's own functions, and
 * all rules are those of the `Common`. docs/decisions/020-a-loop-of-our-own-around-the-library-s-operations.md
 */
import type { Common } from '@ethereumjs/common'
import { type EVM, EVMError } from '@ethereumjs/evm'
import type { Account, Address } from '@ethereumjs/util'
import { assert } from './assert.ts'
import { toHex } from './hex.ts'
import { keccak256 } from './keccak.ts'
import type { FrameKind, Watcher } from './watcher.ts'

/** Storage as the loop needs it: at once. Values are without leading zeros; keys have 32 bytes. */
export type StorageAccess = {
  slot(address: Uint8Array, slot: Uint8Array): Uint8Array
  /** What the slot held when the transaction began. */
  originalSlot(address: Uint8Array, slot: Uint8Array): Uint8Array
  putSlot(address: Uint8Array, slot: Uint8Array, value: Uint8Array): void
  /** The caller's copy. */
  account(address: Uint8Array): Account | undefined
}

// The library keeps these to itself. What is used of them is pinned by the exact version in package.json.

type Stack = {
  readonly length: number
  /** A copy, the bottom first. */
  getStack(): bigint[]
  peek(count: number): bigint[]
  pop(): bigint
  popN(count: number): bigint[]
  push(value: bigint): void
}

type RunState = {
  programCounter: number
  opCode: number
  code: Uint8Array
  validJumps: Uint8Array
  gasLeft: bigint
  gasRefund: bigint
  memoryWordCount: bigint
  highestMemCost: bigint
  readonly stack: Stack
  readonly memory: {
    /** A copy, unless none is wanted. */
    read(offset: number, bytes: number, avoidCopy?: boolean): Uint8Array
    write(offset: number, bytes: number, value: Uint8Array): void
  }
  readonly interpreter: { log(data: Uint8Array, topicCount: number, topics: Uint8Array[]): void }
  readonly env: {
    readonly depth: number
    readonly address: Address
    readonly callData: Uint8Array
    readonly isStatic: boolean
    contract: Account
    readonly eof?: unknown
  }
}

type EvmLog = readonly [address: Uint8Array, topics: readonly Uint8Array[], data: Uint8Array]

type Result = { readonly runState: RunState; readonly exceptionError: EVMError | undefined }

/** An instance of the library's interpreter: one call frame. */
type Frame = { readonly _evm: EVM; readonly _runState: RunState; readonly _result: { readonly logs?: readonly EvmLog[] }; run: Run }
type Run = (this: Frame, code: Uint8Array, options?: { readonly pc?: number }) => Promise<Result>

type Operation = {
  readonly opcodeInfo: {
    readonly code: number
    readonly fullName: string
    readonly feeBigInt: bigint
    readonly dynamicGas: boolean
    readonly isInvalid: boolean
  }
  readonly opHandler: (state: RunState, common: Common) => Promise<void> | void
  readonly gasHandler: (state: RunState, gas: bigint, common: Common) => Promise<bigint> | bigint
}

type Internals = {
  readonly _opcodeMap: Operation[]
  readonly events: { listenerCount(name: string): number }
  readonly DEBUG: boolean
  readonly journal: {
    isWarmedStorage(address: Uint8Array, slot: Uint8Array): boolean
    addWarmedStorage(address: Uint8Array, slot: Uint8Array): void
  }
}

/** Forks whose rules the loop does not know: EOF containers, witnesses, and what is drafted for later. The library's own loop runs those. */
const FOREIGN_EIPS = [3540, 6800, 7864, 7928, 8024, 8037, 8038]

/** Runs one frame's code. What it throws, and what it leaves in the frame, is what the library's `run` would. */
type Loop = (frame: Frame, code: Uint8Array) => Promise<Result>

/** The loops of EVMs that have one of ours. All other EVMs of the process run as they always do. */
const loops = new WeakMap<EVM, Loop>()
let patched: object | undefined

/** Who watches now, and the operation by which the frame that begins next is called. */
export type Watching = {
  watcher: Watcher | undefined
  calledBy: FrameKind
  /** Is asked every thousand operations or so; what it gives is waited for. What it throws ends the execution. */
  readonly pause: (() => Promise<void> | undefined) | undefined
}

/** Operations between two pauses, less one: some ten microseconds of cheap ones. */
const PAUSE_MASK = 0x3ff

/** Gives the EVM our loop over this storage. Frames that begin while there is a watcher are watched. */
export async function useOwnLoop(evm: EVM, storage: StorageAccess, watching: Watching): Promise<void> {
  const { common } = evm
  if (!common.isActivatedEIP(2929) || FOREIGN_EIPS.some((eip) => common.isActivatedEIP(eip))) return
  const internals = evm as unknown as Internals
  replaceOperations(internals, { common, storage })
  loops.set(evm, createLoop(internals, { common, storage }, watching))
  if (patched) return
  // The library exports no interpreter, but a result names the one that made it.
  const { runState } = await evm.runCode({ code: Uint8Array.of(0), gasLimit: 1n })
  const prototype = Object.getPrototypeOf((runState as unknown as { readonly interpreter: object }).interpreter) as Frame
  const { run } = prototype
  prototype.run = function (code, options) {
    const { DEBUG, events } = this._evm as unknown as Internals
    const isWatched = DEBUG || events.listenerCount('step') > 0 || options?.pc !== undefined
    const loop = isWatched ? undefined : loops.get(this._evm)
    return loop ? loop(this, code) : run.call(this, code, options)
  }
  patched = prototype
}

function createLoop({ _opcodeMap: operations }: Internals, { common, storage }: Parts, watching: Watching): Loop {
  const analyses = new WeakMap<Uint8Array, Uint8Array>()
  const { pause } = watching
  let operationCount = 0
  return async (frame, code) => {
    const state = frame._runState
    state.code = code
    state.validJumps = analyses.get(code) ?? findJumps(code)
    analyses.set(code, state.validJumps)
    const watch = watching.watcher && createWatch(watching, watching.watcher, frame, storage)
    let exceptionError: EVMError | undefined
    try {
      while (state.programCounter < code.length) {
        const operation = operations[code[state.programCounter] ?? 0]
        assert(operation, 'there is an operation for each byte')
        const { opcodeInfo } = operation
        state.opCode = opcodeInfo.code
        if (pause !== undefined && (++operationCount & PAUSE_MASK) === 0) {
          const rest = pause()
          if (rest !== undefined) await rest
        }
        if (watch !== undefined) watch.begin(operation)
        let gas = opcodeInfo.feeBigInt
        if (opcodeInfo.dynamicGas) {
          const dynamic = operation.gasHandler(state, gas, common)
          gas = typeof dynamic === 'bigint' ? dynamic : await dynamic
        }
        if (watch !== undefined) watch.priced(gas)
        if (opcodeInfo.isInvalid) trap('INVALID_OPCODE')
        state.gasLeft -= gas
        if (state.gasLeft < 0n) {
          state.gasLeft = 0n
          trap('OUT_OF_GAS')
        }
        state.programCounter++
        const done = operation.opHandler(state, common)
        if (done !== undefined) await done
        if (watch !== undefined) watch.done()
      }
    } catch (error) {
      if (!(error instanceof EVMError)) throw error
      if (error.error !== EVMError.errorMessages.STOP) {
        exceptionError = error
        if (watch !== undefined) watch.failed(error)
      }
    }
    return { runState: state, exceptionError }
  }
}

/** Operations that begin a frame. */
const CALLS = new Map<number, FrameKind>([
  [0xf0, 'CREATE'],
  [0xf1, 'CALL'],
  [0xf2, 'CALLCODE'],
  [0xf4, 'DELEGATECALL'],
  [0xf5, 'CREATE2'],
  [0xfa, 'STATICCALL'],
])
const [INVALID, SELFDESTRUCT] = [0xfe, 0xff]
const REVERT = EVMError.errorMessages.REVERT

/** Tells a watcher of one frame's operations: each begins, has its price, and is done or failed. */
function createWatch(watching: Watching, watcher: Watcher, frame: Frame, storage: StorageAccess) {
  const { _runState: state, _result: result } = frame
  const { address, depth, isStatic } = state.env
  const addressHex = toHex(address.bytes)
  let name = ''
  let gasBefore = 0n
  let wordsBefore = 0n
  let isTold = false

  function tell(gasCost: bigint): void {
    isTold = true
    watcher.step?.({
      pc: state.programCounter,
      opcode: state.opCode,
      name,
      gasLeft: gasBefore,
      gasCost,
      depth,
      refund: state.gasRefund,
      address: addressHex,
      stack: () => state.stack.getStack(),
      memory: () => state.memory.read(0, Number(wordsBefore) * 32),
    })
  }

  /** A frame of its own in traces, though no code runs in it. */
  function tellOfSelfdestruct(): void {
    const [to = 0n] = state.stack.length > 0 ? state.stack.peek(1) : []
    const valueWei = storage.account(address.bytes)?.balance ?? 0n
    const beneficiary = toHex(toWord(to).subarray(12))
    const begun = { from: addressHex, to: beneficiary, valueWei, gas: 0n, input: new Uint8Array(), depth: depth + 1 }
    watcher.enter?.({ kind: 'SELFDESTRUCT', ...begun })
    watcher.exit?.({ output: new Uint8Array(), gasUsed: 0n, error: undefined, logs: [] })
  }

  return {
    begin({ opcodeInfo }: Operation): void {
      name = opcodeInfo.fullName
      gasBefore = state.gasLeft
      wordsBefore = state.memoryWordCount
      isTold = false
    },
    priced(gas: bigint): void {
      tell(gas)
      const kind = CALLS.get(state.opCode)
      if (kind !== undefined) watching.calledBy = kind
      if (state.opCode === SELFDESTRUCT && !isStatic && gas <= state.gasLeft) tellOfSelfdestruct()
    },
    done(): void {
      if (state.opCode < 0xa0 || state.opCode > 0xa4) return
      const log = result.logs?.at(-1)
      if (log) watcher.log?.({ address: toHex(log[0]), topics: log[1].map((topic) => toHex(topic)), data: toHex(log[2]) })
    },
    failed({ error }: EVMError): void {
      if (error === REVERT) return
      if (!isTold) tell(0n)
      const isUnknown = error === EVMError.errorMessages.INVALID_OPCODE
      watcher.fault?.(
        isUnknown ? `${error}: ${state.opCode === INVALID ? 'INVALID' : `opcode 0x${state.opCode.toString(16)} not defined`}` : error,
      )
    },
  }
}

/** 1 for each byte that is a jump's destination: a JUMPDEST that is not within a PUSH's operand. */
function findJumps(code: Uint8Array): Uint8Array {
  const jumps = new Uint8Array(code.length)
  for (let i = 0; i < code.length; i++) {
    const byte = code[i] ?? 0
    if (byte === 0x5b) jumps[i] = 1
    else if (byte >= 0x60 && byte <= 0x7f) i += byte - 0x5f
  }
  return jumps
}

function trap(name: 'INVALID_OPCODE' | 'OUT_OF_GAS' | 'STATIC_STATE_CHANGE' | 'REFUND_EXHAUSTED'): never {
  throw new EVMError(EVMError.errorMessages[name])
}

type Parts = { readonly common: Common; readonly storage: StorageAccess }

/** Puts operations without a promise in the place of the library's, which are the same in all else. */
function replaceOperations(internals: Internals, parts: Parts): void {
  const memory = createMemoryGas(parts.common)
  const gas = new Map<number, Operation['gasHandler']>([
    ...memory,
    [0x54, createLoadGas(internals, parts)],
    [0x55, createStoreGas(internals, parts)],
  ])
  const handlers = new Map<number, Operation['opHandler']>([
    [0x20, hashMemory],
    [0x35, loadCallData],
    [0x51, loadMemory],
    [0x52, storeMemory],
    [0x54, createLoad(parts.storage)],
    [0x55, createStore(parts.storage)],
    ...Array.from({ length: 5 }, (_, i) => [0xa0 + i, log] as const),
    ...Array.from({ length: 32 }, (_, i) => [0x60 + i, createPush(i + 1)] as const),
  ])
  for (const code of new Set([...gas.keys(), ...handlers.keys()])) {
    const known = internals._opcodeMap[code]
    assert(known, 'an operation is missing')
    if (known.opcodeInfo.code !== code) continue // not yet there in this fork
    const opHandler = handlers.get(code) ?? known.opHandler
    internals._opcodeMap[code] = { ...known, opHandler, gasHandler: gas.get(code) ?? known.gasHandler }
  }
}

/** Gas of the operations whose cost is memory and words. Source: Yellow Paper, appendix H.1 and H.2; EIP-5656 for MCOPY. */
function createMemoryGas(common: Common): Map<number, Operation['gasHandler']> {
  const [perWord, quadratic] = [common.param('memoryGas'), common.param('quadCoefficientDivGas')]
  const [hashWord, copyWord] = [common.param('keccak256WordGas'), common.param('copyGas')]
  const [logTopic, logByte] = [common.param('logTopicGas'), common.param('logDataGas')]

  function grow(state: RunState, offset: bigint, bytes: bigint): bigint {
    if (bytes === 0n) return 0n
    const words = wordsOf(offset + bytes)
    if (words <= state.memoryWordCount) return 0n
    const total = words * perWord + (words * words) / quadratic
    const cost = total > state.highestMemCost ? total - state.highestMemCost : total
    if (total > state.highestMemCost) state.highestMemCost = total
    state.memoryWordCount = words
    return cost
  }
  const touch = (bytes: bigint): Operation['gasHandler'] => {
    return (state, gas) => gas + grow(state, top(state, 1)[0] ?? 0n, bytes)
  }
  const copy: Operation['gasHandler'] = (state, gas) => {
    const [to = 0n, , bytes = 0n] = top(state, 3)
    return gas + grow(state, to, bytes) + copyWord * wordsOf(bytes)
  }
  const end: Operation['gasHandler'] = (state, gas) => {
    const [offset = 0n, bytes = 0n] = top(state, 2)
    return gas + grow(state, offset, bytes)
  }
  const log: Operation['gasHandler'] = (state, gas) => {
    if (state.env.isStatic) trap('STATIC_STATE_CHANGE')
    const [offset = 0n, bytes = 0n] = top(state, 2)
    return gas + grow(state, offset, bytes) + logTopic * BigInt(state.opCode - 0xa0) + logByte * bytes
  }
  return new Map([
    [
      0x20,
      (state, gas) => {
        const [offset = 0n, bytes = 0n] = top(state, 2)
        return gas + grow(state, offset, bytes) + hashWord * wordsOf(bytes)
      },
    ],
    [0x37, copy],
    [0x39, copy],
    [0x51, touch(32n)],
    [0x52, touch(32n)],
    [0x53, touch(1n)],
    [0xa0, log],
    [0xa1, log],
    [0xa2, log],
    [0xa3, log],
    [0xa4, log],
    [0xf3, end],
    [0xfd, end],
  ])
}

/** SLOAD's gas. Source: EIP-2929. */
function createLoadGas({ journal }: Internals, { common }: Parts): Operation['gasHandler'] {
  const [cold, warm] = [common.param('coldsloadGas'), common.param('warmstoragereadGas')]
  return (state, gas) => {
    const slot = toWord(top(state, 1)[0] ?? 0n)
    const { bytes } = state.env.address
    if (journal.isWarmedStorage(bytes, slot)) return gas + warm
    journal.addWarmedStorage(bytes, slot)
    return gas + cold
  }
}

/** SSTORE's gas and refunds. Source: EIP-2200 with the numbers of EIP-2929 and EIP-3529, in the library's order. */
function createStoreGas({ journal }: Internals, { common, storage }: Parts): Operation['gasHandler'] {
  const [cold, warm] = [common.param('coldsloadGas'), common.param('warmstoragereadGas')]
  const [sentry, init, clean] = [
    common.param('sstoreSentryEIP2200Gas'),
    common.param('sstoreInitEIP2200Gas'),
    common.param('sstoreCleanEIP2200Gas'),
  ]
  const [dirty, noop, clearRefund] = [
    common.param('sstoreDirtyEIP2200Gas'),
    common.param('sstoreNoopEIP2200Gas'),
    common.param('sstoreClearRefundEIP2200Gas'),
  ]
  const [initRefund, cleanRefund] = [common.param('sstoreInitRefundEIP2200Gas'), common.param('sstoreCleanRefundEIP2200Gas')]
  const warmCleanRefund = common.param('sstoreResetGas') - cold - warm

  function refund(state: RunState, amount: bigint): void {
    state.gasRefund += amount
    if (state.gasRefund >= 0n) return
    state.gasRefund = 0n
    trap('REFUND_EXHAUSTED')
  }

  function costOfChange(
    state: RunState,
    slot: { readonly original: bigint; readonly current: bigint; readonly value: bigint; readonly isWarm: boolean },
  ) {
    const { original, current, value, isWarm } = slot
    if (current === value) return isWarm ? warm : noop
    if (original === current) {
      if (original === 0n) return init
      if (value === 0n) refund(state, clearRefund)
      return clean
    }
    if (original !== 0n) {
      if (current === 0n) refund(state, -clearRefund)
      else if (value === 0n) refund(state, clearRefund)
    }
    if (original === value) {
      if (original === 0n) refund(state, isWarm ? init - warm : initRefund)
      else refund(state, isWarm ? warmCleanRefund : cleanRefund)
    }
    return dirty
  }

  return (state, gas) => {
    if (state.env.isStatic) trap('STATIC_STATE_CHANGE')
    const [key = 0n, value = 0n] = top(state, 2)
    const { bytes } = state.env.address
    const slot = toWord(key)
    const current = toNumber(storage.slot(bytes, slot))
    const original = toNumber(storage.originalSlot(bytes, slot))
    if (state.gasLeft <= sentry) trap('OUT_OF_GAS')
    const isWarm = journal.isWarmedStorage(bytes, slot)
    const cost = costOfChange(state, { original, current, value, isWarm })
    if (isWarm) return gas + cost
    journal.addWarmedStorage(bytes, slot)
    return gas + cost + cold
  }
}

function createLoad(storage: StorageAccess): Operation['opHandler'] {
  return ({ stack, env }) => {
    stack.push(toNumber(storage.slot(env.address.bytes, toWord(stack.pop()))))
  }
}

function createStore(storage: StorageAccess): Operation['opHandler'] {
  return ({ stack, env }) => {
    const [key = 0n, value = 0n] = stack.popN(2)
    const { bytes } = env.address
    storage.putSlot(bytes, toWord(key), toWord(value))
    const account = storage.account(bytes)
    assert(account, 'an account that stores is not there')
    env.contract = account
  }
}

/** KECCAK256. */
function hashMemory({ stack, memory }: RunState): void {
  const [offset = 0n, bytes = 0n] = stack.popN(2)
  stack.push(toNumber(keccak256(bytes === 0n ? new Uint8Array() : memory.read(Number(offset), Number(bytes), true))))
}

/** CALLDATALOAD: zeros where there is no data. */
function loadCallData({ stack, env }: RunState): void {
  const { callData } = env
  const at = stack.pop()
  const from = at < BigInt(callData.length) ? Number(at) : callData.length
  const bytes = Math.min(32, callData.length - from)
  stack.push(toNumber(callData, from, bytes) << BigInt(8 * (32 - bytes)))
}

/** MLOAD. */
function loadMemory({ stack, memory }: RunState): void {
  stack.push(toNumber(memory.read(Number(stack.pop()), 32, true)))
}

/** MSTORE. */
function storeMemory({ stack, memory }: RunState): void {
  const [offset = 0n, value = 0n] = stack.popN(2)
  memory.write(Number(offset), 32, toWord(value))
}

/** LOG0 to LOG4. */
function log({ stack, memory, interpreter, opCode }: RunState): void {
  const [offset = 0n, bytes = 0n] = stack.popN(2)
  const topics = stack.popN(opCode - 0xa0)
  const data = bytes === 0n ? new Uint8Array() : memory.read(Number(offset), Number(bytes))
  interpreter.log(data, topics.length, topics.map(toWord))
}

/** PUSH1 to PUSH32; what the code lacks at its end is zeros. */
function createPush(bytes: number): Operation['opHandler'] {
  return (state) => {
    const from = state.programCounter
    const missing = from + bytes - state.code.length
    const value = toNumber(state.code, from, missing > 0 ? bytes - missing : bytes)
    state.stack.push(missing > 0 ? value << BigInt(8 * missing) : value)
    state.programCounter = from + bytes
  }
}

/** The topmost items, the top first. Traps where there are fewer. */
function top({ stack }: RunState, count: number): bigint[] {
  return stack.peek(count)
}

function wordsOf(bytes: bigint): bigint {
  return (bytes + 31n) >> 5n
}

const LOW_64 = 2n ** 64n - 1n

/** The 32 bytes of a stack item. */
function toWord(value: bigint): Uint8Array {
  const word = new Uint8Array(32)
  const view = new DataView(word.buffer)
  for (let at = 24, rest = value; rest > 0n; at -= 8, rest >>= 64n) view.setBigUint64(at, rest & LOW_64)
  return word
}

/** The stack item that big-endian bytes say, 32 of them at most. */
function toNumber(bytes: Uint8Array, from = 0, count: number = bytes.length): bigint {
  if (count <= 6) return BigInt(six(bytes, from, count))
  const first = count % 6
  let value = BigInt(six(bytes, from, first))
  for (let at = from + first; at < from + count; at += 6) value = (value << 48n) | BigInt(six(bytes, at, 6))
  return value
}

/** Up to six bytes as a number. */
function six(bytes: Uint8Array, at: number, count: number): number {
  let value = 0
  for (let i = at; i < at + count; i++) value = value * 256 + (bytes[i] ?? 0)
  return value
}
