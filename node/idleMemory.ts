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
/** Parts of a processor's time that the thread takes: above one it works, below the other it rests. */
const WORKING = 0.1
const RESTING = 0.05

/** Collects after each time of work, once, when the thread has rested for a while. `utilization`: what part of a processor it took since the last look. */
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

/**
 * Until nothing is left to collect, and given back at once. A collection of the usual kind keeps what it has emptied for what comes next; V8 would
 * give that back a while later, by a rule of its own that a node which makes a block a second may not meet for minutes.
 */
const THOROUGH = { type: 'major', execution: 'async', flavor: 'last-resort' } as const

/** Begins to look at this thread. Answers what ends it. */
export function giveMemoryBack(): () => void {
  setFlagsFromString('--expose-gc') // the one way to ask V8 for it without an option of Node's
  const collect = runInNewContext('gc') as (options: typeof THOROUGH) => Promise<void>
  const look = createIdleCollector(() => void collect(THOROUGH))
  // Processor time: by the clock a thread that waits for a processor looks busy, and on a busy machine it would never rest.
  let [lastCpu, lastMs] = [process.threadCpuUsage(), performance.now()]
  const timer = setInterval(() => {
    const [{ user, system }, nowMs] = [process.threadCpuUsage(lastCpu), performance.now()]
    look((user + system) / 1_000 / (nowMs - lastMs))
    lastCpu = process.threadCpuUsage()
    lastMs = nowMs
  }, LOOK_MS).unref()
  return () => clearInterval(timer)
}
