/** How often each method was called, how it ended and how long it took: for metrics. Names that are no method count as one. Spec: docs/metrics.md */

/** Of one method and one end, from the start on. */
export type CallCount = {
  readonly method: string
  /** `ok`, or the code of the error. */
  readonly outcome: string
  readonly calls: number
  readonly ms: number
  /** Calls that took longer than `SLOW_MS`. */
  readonly slow: number
}

export type CallCounts = {
  note(method: string, outcome: 'ok' | number, ms: number): void
  snapshot(): readonly CallCount[]
}

/** Milliseconds above which a call is slow. */
export const SLOW_MS = 100

/** The name under which calls of what is no method count. */
export const UNKNOWN_METHOD = 'unknown'

/** No calls yet. */
export function createCallCounts(): CallCounts {
  const byMethod = new Map<string, Map<'ok' | number, { calls: number; ms: number; slow: number }>>()
  return {
    note(method, outcome, ms) {
      let outcomes = byMethod.get(method)
      if (!outcomes) {
        outcomes = new Map()
        byMethod.set(method, outcomes)
      }
      const count = outcomes.get(outcome)
      if (!count) {
        outcomes.set(outcome, { calls: 1, ms, slow: Number(ms > SLOW_MS) })
        return
      }
      count.calls++
      count.ms += ms
      if (ms > SLOW_MS) count.slow++
    },
    snapshot: () =>
      [...byMethod].flatMap(([method, outcomes]) =>
        [...outcomes].map(([outcome, count]) => ({ method, outcome: String(outcome), ...count })),
      ),
  }
}
