/**
 * `4byteTracer`: how often each function was called, as `selector-bytes of arguments`. Source: go-ethereum, eth/tracers/native/4byte.go.
 * Spec: docs/spec/rpc.md#debug
 */
import type { Tracer } from '../chain.ts'
import { hexOf } from '../format.ts'
import type { TraceBudget } from './traceBudget.ts'

/** Highest address of Ethereum's own precompiles, whose input has no selector. */
const PRECOMPILE_MAX = 0x100n

/** A tracer of selectors. */
export function createFourByteTracer(budget: TraceBudget): Tracer {
  const counts = new Map<string, number>()
  return {
    enter({ kind, to, input }) {
      if (kind === 'CREATE' || kind === 'CREATE2' || input.length < 4 || BigInt(to) <= PRECOMPILE_MAX) return
      const name = `${hexOf(input.subarray(0, 4))}-${input.length - 4}`
      if (!counts.has(name)) budget.spend(name.length + 16)
      counts.set(name, (counts.get(name) ?? 0) + 1)
    },
    result: () => Object.fromEntries(counts),
  }
}
