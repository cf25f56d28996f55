/**
 * Who waits when there are fewer processors than threads that have work: JSON-RPC and the recovery of signatures for execution, and all three for
 * consensus and the network, whose work is short and which others wait for. With four validators on two processors this takes half the time between a
 * block's proposal and its finality (docs/benchmarks.md#finality).
 */
import { getPriority, setPriority } from 'node:os'

/** As nice values, which the operating system weighs: a thread that is 5 higher gets a third of the time of another while both want it. */
export const NICE = { execution: 5, helpers: 10 } as const

/** Lowers the priority of the thread that calls it, if it is not that low yet. Threads and processes that it starts from then on inherit that. */
export function stepBack(nice: number): void {
  if (process.platform !== 'linux') return // elsewhere a priority is the whole process's
  if (getPriority() < nice) setPriority(nice)
}
