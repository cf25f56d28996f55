/**
 * Work of others on a thread that has its own: one piece at a time, in turns of some milliseconds between which the thread does what else it has to, for so
 * long in all at most.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ExecutionAborted } from '../execution/aborted.ts'
import { TooBusy } from '../rpc/chain.ts'
import { createQueue } from './chainState.ts'

/** How long the thread works before it looks what else there is. */
const TURN_MS = 4

export type Turns = {
  /** Runs work when what came before is done. Throws `TooBusy` where too much waits. */
  run<T>(work: () => Promise<T>): Promise<T>
  /** What the work waits for now and then; undefined: its turn is not over. Throws `ExecutionAborted` where it has had its time. */
  pause(): Promise<void> | undefined
}

/** Turns for pieces of work that may each use `workMs` of the thread, of which `waitingMax` may wait. */
export function createTurns({ workMs, waitingMax }: { readonly workMs: number; readonly waitingMax: number }): Turns {
  const alone = createQueue()
  let waiting = 0
  let usedMs = 0
  let begunMs = 0
  return {
    async run(work) {
      if (waiting >= waitingMax) throw new TooBusy(`more than ${waitingMax} calls wait`)
      waiting++
      return alone(() => {
        usedMs = 0
        begunMs = performance.now()
        return work()
      }).finally(() => {
        waiting--
      })
    },
    pause() {
      const turnMs = performance.now() - begunMs
      if (turnMs < TURN_MS) return undefined
      usedMs += turnMs
      if (usedMs > workMs) throw new ExecutionAborted(`execution aborted (timeout = ${workMs / 1_000}s)`)
      return nextTurn().then(() => {
        begunMs = performance.now()
      })
    },
  }
}
