/**
 * The tracer without a name: every operation with what it found. Source: ethereum/execution-apis, OpcodeTransactionTrace; go-ethereum,
 * eth/tracers/logger/logger.go. Spec: docs/spec/rpc.md#debug
 */
import { numberToHex } from 'viem'
import type { LiveState, Tracer } from '../chain.ts'
import { hexOf } from '../format.ts'
import { type Json, quantity } from '../quantity.ts'
import { errorWords } from './evmError.ts'
import type { TraceBudget } from './traceBudget.ts'

export type StructTracerConfig = {
  readonly enableMemory: boolean
  readonly disableStack: boolean
  readonly disableStorage: boolean
  readonly enableReturnData: boolean
  /** Operations that are shown; 0: all. */
  readonly limit: number
}

type StructLog = {
  pc: number
  op: string
  gas: number
  gasCost: number
  depth: number
  refund?: number
  error?: string
  stack?: Json
  memory?: Json
  storage?: Json
  returnData?: Json
}

/** What an operation takes of an answer besides its stack, memory, storage and return data. */
const STEP_BYTES = 70
/** Gas that a call with value gives on top of what is taken for it. Source: Yellow Paper, G_callstipend. */
const STIPEND = 2_300n
const [SLOAD, SSTORE] = [0x54, 0x55]

/** A tracer of operations. */
export function createStructTracer(config: StructTracerConfig, budget: TraceBudget): Tracer {
  const structLogs: StructLog[] = []
  /** Slots that each contract read or wrote so far. */
  const storage = new Map<string, Map<string, string>>()
  let output: Uint8Array = new Uint8Array()
  let returned: Uint8Array = new Uint8Array()
  let live: LiveState | undefined
  /** Of each open frame. */
  const creations: boolean[] = []
  let isFull = false
  let shown: Json = null

  function storageAfter(opcode: number, address: `0x${string}`, stack: readonly bigint[]): Json | undefined {
    const [key, value] = [stack.at(-1), stack.at(-2)]
    if (config.disableStorage || key === undefined || (opcode !== SLOAD && opcode !== SSTORE)) return undefined
    const slot = numberToHex(key, { size: 32 })
    const written = value === undefined ? undefined : numberToHex(value, { size: 32 })
    const held = opcode === SLOAD ? live?.slot(address, slot) : written
    if (held === undefined) return undefined
    const slots = storage.get(address) ?? new Map<string, string>()
    storage.set(address, slots.set(slot, held))
    budget.spend(140 * slots.size)
    return Object.fromEntries(slots)
  }

  return {
    begin({ state }) {
      live = state
    },
    step({ pc, opcode, name, gasLeft, gasCost, depth, refund, address, stack, memory }) {
      isFull ||= config.limit > 0 && structLogs.length >= config.limit
      if (isFull) return
      const items = stack()
      const words = config.enableMemory ? wordsOf(memory()) : []
      const slots = storageAfter(opcode, address, items)
      budget.spend(STEP_BYTES + (config.disableStack ? 0 : 14 * items.length) + 69 * words.length)
      if (config.enableReturnData) budget.spend(2 * returned.length)
      structLogs.push({
        pc,
        op: name,
        gas: Number(gasLeft),
        gasCost: Number(gasCost),
        depth: depth + 1,
        ...(refund > 0n && { refund: Number(refund) }),
        ...(!config.disableStack && { stack: items.map((item) => quantity(item)) }),
        ...(words.length > 0 && { memory: words }),
        ...(slots !== undefined && { storage: slots }),
        ...(config.enableReturnData && returned.length > 0 && { returnData: hexOf(returned) }),
      })
    },
    fault(error) {
      const last = structLogs.at(-1)
      if (last && !isFull) last.error = errorWords(error)
    },
    enter({ kind, gas, valueWei, depth }) {
      returned = new Uint8Array()
      creations.push(kind === 'CREATE' || kind === 'CREATE2')
      const last = structLogs.at(-1)
      if (!last || isFull || depth === 0 || kind === 'CREATE' || kind === 'CREATE2' || kind === 'SELFDESTRUCT') return
      // What a call costs is shown with the gas that it hands on.
      const given = (kind === 'CALL' || kind === 'CALLCODE') && valueWei > 0n ? gas - STIPEND : gas
      last.gasCost += Number(given)
    },
    exit(end) {
      const wasCreation = creations.pop() === true
      output = end.error === undefined || end.error === 'revert' ? end.output : new Uint8Array()
      returned = wasCreation && end.error === undefined ? new Uint8Array() : output
    },
    finish({ receipt }) {
      budget.spend(2 * output.length)
      shown = {
        gas: Number(receipt.gasUsed),
        failed: !receipt.succeeded,
        returnValue: hexOf(output),
        structLogs: structLogs as unknown as readonly Json[],
      }
    },
    result: () => shown,
  }
}

function wordsOf(memory: Uint8Array): string[] {
  return Array.from({ length: memory.length / 32 }, (_, i) => hexOf(memory.subarray(32 * i, 32 * i + 32)))
}
