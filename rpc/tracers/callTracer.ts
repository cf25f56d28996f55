/**
 * `callTracer`: the frames of a transaction as a tree. A native transaction, a report and a deposit to the ledger, in which no code runs, are one call of
 * their door. Source: go-ethereum, eth/tracers/native/call.go. Spec: docs/spec/rpc.md#debug
 */
import type { Hex } from 'viem'
import { assert } from '../../execution/assert.ts'
import type { Log } from '../../execution/native/nativeType.ts'
import type { FrameEnd, FrameStart } from '../../execution/watcher.ts'
import { revertReason } from '../callError.ts'
import type { TracedCall, TracedReceipt, Tracer } from '../chain.ts'
import { hexOf } from '../format.ts'
import { type Json, quantity } from '../quantity.ts'
import { errorWords } from './evmError.ts'
import type { TraceBudget } from './traceBudget.ts'

export type CallTracerConfig = {
  /** Only the outermost frame. */
  readonly onlyTopCall: boolean
  /** Logs of frames that were not undone. */
  readonly withLog: boolean
}

type Frame = {
  readonly start: FrameStart
  end: FrameEnd | undefined
  /** What the operation that ended it says. */
  fault: string | undefined
  readonly calls: Frame[]
  readonly logs: { readonly log: Log; readonly position: number }[]
}

/** A tracer of frames; each costs what it takes of the answer. */
export function createCallTracer({ onlyTopCall, withLog }: CallTracerConfig, budget: TraceBudget): Tracer {
  const open: Frame[] = []
  let outermost: Frame | undefined
  let shown: Json = null
  let logsBefore = 0
  return {
    begin(at) {
      logsBefore = at.logsBefore
    },
    enter(start) {
      const frame: Frame = { start, end: undefined, fault: undefined, calls: [], logs: [] }
      budget.spend(FRAME_BYTES + 2 * start.input.length)
      if (!onlyTopCall || open.length === 0) open.at(-1)?.calls.push(frame)
      outermost ??= frame
      open.push(frame)
    },
    exit(end) {
      const frame = open.pop()
      assert(frame, 'a frame ends that began')
      frame.end = end.error !== undefined && frame.fault !== undefined ? { ...end, error: frame.fault } : end
      budget.spend(2 * end.output.length)
      // A precompile's logs are known only now.
      if (frame.logs.length === 0 && frame.calls.length === 0) for (const log of end.logs) frame.logs.push({ log, position: 0 })
    },
    fault(error) {
      const frame = open.at(-1)
      if (frame) frame.fault = error
    },
    ...(withLog && {
      log(log: Log) {
        const frame = open.at(-1)
        budget.spend(2 * log.data.length)
        frame?.logs.push({ log, position: frame.calls.length })
      },
    }),
    finish({ call, receipt }) {
      const frame = outermost ?? withoutCode(call, receipt)
      const logs = withLog ? { next: logsBefore } : undefined
      // What the whole transaction was given and used, its intrinsic gas too.
      shown = { ...toJson(frame, logs), gas: quantity(call.gas), gasUsed: quantity(receipt.gasUsed), ...failureOf(receipt.failureCode) }
    },
    result: () => shown,
  }
}

/** What a frame takes of an answer besides its bytes. */
const FRAME_BYTES = 300

function withoutCode({ from, to, valueWei, gas, input }: TracedCall, { gasUsed, succeeded, logs }: TracedReceipt): Frame {
  const end = { output: new Uint8Array(), gasUsed, error: succeeded ? undefined : 'revert', logs }
  const start: FrameStart = { kind: 'CALL', from, to: to ?? from, valueWei, gas, input, depth: 0 }
  return { start, end, fault: undefined, calls: [], logs: succeeded ? logs.map((log) => ({ log, position: 0 })) : [] }
}

function failureOf(failureCode: string | undefined): { readonly revertReason?: string } {
  return failureCode === undefined ? {} : { revertReason: failureCode }
}

/** `logs` counts those shown; undefined: none are, for what was undone has none. */
function toJson({ start, end, calls, logs: own }: Frame, logs: { next: number } | undefined): Record<string, Json> {
  assert(end, 'every frame ended')
  const isCreation = start.kind === 'CREATE' || start.kind === 'CREATE2'
  const isThere = !isCreation || end.error === undefined
  const kept = logs && end.error === undefined ? own : []
  const inner = end.error === undefined ? logs : undefined
  // In the order in which they were emitted, those of frames within this one at their places.
  const shownLogs: Json[] = []
  let next = 0
  const upTo = (position: number) => {
    for (let log = kept[next]; log && log.position <= position; log = kept[++next]) {
      const { address, topics, data } = log.log
      shownLogs.push({ address, topics, data, index: quantity(logs ? logs.next++ : 0), position: quantity(log.position) })
    }
  }
  const within: Json[] = []
  for (const [position, call] of calls.entries()) {
    upTo(position)
    within.push(toJson(call, inner))
  }
  upTo(calls.length)
  return {
    type: start.kind,
    from: start.from,
    ...(isThere && { to: start.to }),
    gas: quantity(start.gas),
    gasUsed: quantity(end.gasUsed),
    input: hexOf(start.input),
    ...outputOf(end),
    ...(start.kind !== 'STATICCALL' && { value: quantity(start.valueWei) }),
    ...(within.length > 0 && { calls: within }),
    ...(shownLogs.length > 0 && { logs: shownLogs }),
  }
}

function outputOf({ output, error }: FrameEnd): Record<string, Json> {
  if (error === undefined) return output.length > 0 ? { output: hexOf(output) } : {}
  if (error !== 'revert' || output.length === 0) return { error: errorWords(error) }
  const shown: Hex = hexOf(output)
  const reason = revertReason(shown)
  return { output: shown, error: errorWords(error), ...(reason !== undefined && { revertReason: reason }) }
}
