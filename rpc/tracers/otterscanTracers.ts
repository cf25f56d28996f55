/**
 * What Otterscan asks of an execution: the calls as a flat list, transfers of value within it, and what it reverted with.
 * Source: Erigon, rpc/jsonrpc/otterscan_trace_transaction.go and otterscan_trace_operations.go. Spec: docs/spec/rpc.md#ots
 */
import { encodeErrorResult, type Hex, parseAbi } from 'viem'
import { codeBytes32 } from '../../execution/native/nativeType.ts'
import type { FrameKind } from '../../execution/watcher.ts'
import type { TracedReceipt, Tracer } from '../chain.ts'
import { hexOf } from '../format.ts'
import { type Json, quantity } from '../quantity.ts'
import type { TraceBudget } from './traceBudget.ts'

/** What an entry takes of an answer besides its bytes. */
const ENTRY_BYTES = 250

/** Ethereum's own precompiles, which are left out: 0x01 to 0x11, and 0x100. Doors and verifiers are shown. */
const ETHEREUM_PRECOMPILES: ReadonlySet<string> = new Set(
  [...Array.from({ length: 0x11 }, (_, i) => i + 1), 0x100].map((n) => `0x${n.toString(16).padStart(40, '0')}`),
)

type Entry = { type: string; depth: number; from: Hex; to: Hex; value: Hex | null; input: Hex; output: Hex }

/** Every call, creation and end of a contract, in the order in which they begin. */
export function createEntryTracer(budget: TraceBudget): Tracer {
  const entries: Entry[] = []
  const open: Entry[] = []
  return {
    enter({ kind, depth, from, to, valueWei, input }) {
      const value = kind === 'STATICCALL' || kind === 'DELEGATECALL' ? null : quantity(valueWei)
      const entry = { type: kind, depth, from, to, value, input: hexOf(input), output: '0x' as Hex }
      open.push(entry)
      if (ETHEREUM_PRECOMPILES.has(to)) return
      budget.spend(ENTRY_BYTES + 2 * input.length)
      entries.push(entry)
    },
    exit({ output }) {
      const entry = open.pop()
      if (!entry) return
      budget.spend(2 * output.length)
      entry.output = hexOf(output)
    },
    finish({ call: { from, to, valueWei, input }, receipt }) {
      if (entries.length > 0) return
      // No code ran: one call of the door.
      const value = quantity(valueWei)
      entries.push({ type: 'CALL', depth: 0, from, to: to ?? from, value, input: hexOf(input), output: doorError(receipt) })
    },
    result: () => entries,
  }
}

/** Numbers of operations. */
const OPERATION: Partial<Readonly<Record<FrameKind, number>>> = { CALL: 0, SELFDESTRUCT: 1, CREATE: 2, CREATE2: 3 }

/** Transfers of value, creations and ends of contracts below the transaction's own call. */
export function createOperationTracer(budget: TraceBudget): Tracer {
  const operations: Json[] = []
  return {
    enter({ kind, depth, from, to, valueWei }) {
      const type = OPERATION[kind]
      if (depth === 0 || type === undefined || (kind === 'CALL' && valueWei === 0n)) return
      budget.spend(ENTRY_BYTES)
      operations.push({ type, from, to, value: quantity(valueWei) })
    },
    result: () => operations,
  }
}

/** What the outermost call reverted with; `0x` where it did not. Of a native transaction, the error of its door. */
export function createErrorTracer(): Tracer {
  let depth = 0
  let output: Hex | undefined
  let ofDoor: Hex = '0x'
  return {
    enter() {
      depth++
    },
    exit(end) {
      depth--
      if (depth === 0) output = end.error === 'revert' ? hexOf(end.output) : '0x'
    },
    finish({ receipt }) {
      ofDoor = doorError(receipt)
    },
    result: () => output ?? ofDoor,
  }
}

const failedAbi = parseAbi(['error Failed(bytes32 code)'])

/** The error by which a door would have said which rule was broken. */
function doorError({ failureCode }: TracedReceipt): Hex {
  return failureCode === undefined ? '0x' : encodeErrorResult({ abi: failedAbi, errorName: 'Failed', args: [codeBytes32(failureCode)] })
}
