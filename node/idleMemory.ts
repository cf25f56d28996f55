/**
 * How memory is collected. What a load left behind is given back once a thread has little to do: V8 looks for garbage when something new is wanted, so a
 * thread that rests may keep that of its last load for as long as it rests.
 */
import { availableParallelism } from 'node:os'
import { performance } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const LOOK_MS = 5_000
/** Looks in a row that find the thread at rest: whoever comes back within this time finds it as it was. */
const RESTING_LOOKS = 2
/** Parts of the time in which the thread does something: above one it works, below the other it rests. */
const WORKING = 0.2
const RESTING = 0.05

/** Collects after each time of work, once, when the thread has rested for a while. `utilization`: what part of the time since the last look it worked. */
export function createIdleCollector(collect: () => void): (utilization: number) => void {
  let hasWorked = false
  let resting = 0
  return (utilization) => {
    if (utilization > WORKING) hasWorked = true
    resting = utilization < RESTING ? resting + 1 : 0
    if (!hasWorked || resting < RESTING_LOOKS) return
    hasWorked = false
    collect()
  }
}

/** Processors up to which a young generation is collected by its own thread alone. */
const ALONE_UP_TO = 4

/**
 * Where processors are few, has each thread of the process collect its young generation by itself: helpers for that would take processors from threads
 * that have work and wait for one another meanwhile. On two processors they took a third more (docs/benchmarks.md#native).
 */
export function collectAlone(): void {
  if (availableParallelism() <= ALONE_UP_TO) setFlagsFromString('--no-parallel-scavenge')
}

/** Begins to look at this thread. Answers what ends it. */
export function giveMemoryBack(): () => void {
  setFlagsFromString('--expose-gc') // the one way to ask V8 for it without an option of Node's
  const collect = runInNewContext('gc') as (options: { readonly type: 'major'; readonly execution: 'async' }) => Promise<void>
  const look = createIdleCollector(() => void collect({ type: 'major', execution: 'async' }))
  let last = performance.eventLoopUtilization()
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization()
    look(performance.eventLoopUtilization(now, last).utilization)
    last = now
  }, LOOK_MS).unref()
  return () => clearInterval(timer)
}
