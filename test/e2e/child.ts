/** Commands of node/main.ts as child processes on folders that the test has made, for tests that kill them one by one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { jsonLines } from './devnet.ts'

const MAIN = fileURLToPath(new URL('../../node/main.ts', import.meta.url))
const READY_MAX_MS = 90_000
/** The end of a log that is shown where a start fails. */
const LOG_SHOWN = 4_000

export type Children = {
  /** Starts a command with --json; resolves with its `ready` line. */
  start(words: readonly string[]): Promise<{ readonly child: ChildProcess; readonly ready: Readonly<Record<string, unknown>> }>
  /** Takes one that was started elsewhere. */
  watch(child: ChildProcess): ChildProcess
  /** Kills all that still live. */
  close(): Promise<void>
}

/** None yet. */
export function createChildren(): Children {
  const children = new Set<ChildProcess>()
  const watch = (child: ChildProcess): ChildProcess => {
    children.add(child)
    child.once('exit', () => children.delete(child))
    return child
  }
  return {
    watch,
    start(words) {
      const child = watch(spawn(process.execPath, [MAIN, ...words, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] }))
      return new Promise((resolve, reject) => {
        let [printed, logged] = ['', '']
        const fail = (why: string) => reject(new Error(`${words[0]} ${why}:\n${logged.slice(-LOG_SHOWN)}`))
        const timer = setTimeout(() => fail('is not ready'), READY_MAX_MS)
        child.stderr?.on('data', (chunk) => {
          logged = (logged + chunk).slice(-2 * LOG_SHOWN)
        })
        child.stdout?.on('data', (chunk) => {
          if (printed === 'ready') return
          printed += chunk
          const ready = printed.includes('\n') ? jsonLines(printed)[0] : undefined
          if (!ready) return
          printed = 'ready'
          clearTimeout(timer)
          resolve({ child, ready })
        })
        child.once('exit', (code) => {
          clearTimeout(timer)
          fail(`ended with ${code}`)
        })
      })
    },
    async close() {
      await Promise.all([...children].map((child) => end(child, 'SIGKILL')))
    },
  }
}

/** Sends the signal and waits for the end. Answers the exit code; null: the signal ended it. */
export function end(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  child.kill(signal)
  return exited
}
