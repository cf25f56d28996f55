/**
 * How late a thread's event loop is: what came in waits for so long before anybody looks at it. Looked at in windows; one that stays above a limit for
 * some of them is told to the log, and then at most once a minute.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Log } from './log.ts'

/** Every thread wakes so often for it: twenty threads on two processors feel it. */
const RESOLUTION_MS = 50
const WINDOW_MS = 10_000
/** A window is late if a hundredth of the waits in it were longer. A block is built in turns of 10 ms, and sealed at once. */
const LATE_MS = 250
/** Windows after one another that are late before it is told, and time before it is told again. */
const LATE_WINDOWS = 3
const TOLD_EVERY_MS = 60_000

/** Delays of a thread's event loop in the last window that is over, in milliseconds beyond the resolution of the timer that measures them. */
export type LoopDelay = { readonly meanMs: number; readonly p99Ms: number; readonly maxMs: number }

/** Measures this thread and tells `onWindow` of each window. It keeps no process alive. Answers what ends it. */
export function watchLoopDelay(onWindow: (delay: LoopDelay) => void, windowMs = WINDOW_MS): () => void {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  const timer = setInterval(() => {
    const { mean, max } = histogram
    const late = (ns: number) => Math.max(0, Number.isNaN(ns) ? 0 : ns / 1e6 - RESOLUTION_MS)
    onWindow({ meanMs: late(mean), p99Ms: late(histogram.percentile(99)), maxMs: late(max) })
    histogram.reset()
  }, windowMs)
  timer.unref()
  return () => {
    clearInterval(timer)
    histogram.disable()
  }
}

/** Says of each window whether it is time to tell of it: late for long, and not told of lately. `now` in milliseconds. */
function createAlarm(now: () => number): (delay: LoopDelay) => boolean {
  let late = 0
  let toldMs = Number.NEGATIVE_INFINITY
  return ({ p99Ms }) => {
    late = p99Ms > LATE_MS ? late + 1 : 0
    if (late < LATE_WINDOWS || now() - toldMs < TOLD_EVERY_MS) return false
    toldMs = now()
    return true
  }
}

/** What is known of the delays of all threads. */
export type LoopDelays = {
  /** Takes a window of a thread, and tells the log if it is time to. */
  take(thread: string, delay: LoopDelay): void
  /** The last window of each thread. */
  snapshot(): Readonly<Record<string, LoopDelay>>
}

/** No windows yet. `now` in milliseconds. */
export function createLoopDelays(log: Log, now: () => number = Date.now): LoopDelays {
  const latest: Record<string, LoopDelay> = {}
  const alarms = new Map<string, (delay: LoopDelay) => boolean>()
  return {
    take(thread, delay) {
      latest[thread] = delay
      const alarm = alarms.get(thread) ?? createAlarm(now)
      alarms.set(thread, alarm)
      if (alarm(delay)) log.warn('an event loop is late', { thread, ...delay, limitMs: LATE_MS })
    },
    snapshot: () => ({ ...latest }),
  }
}
