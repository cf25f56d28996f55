/**
 * The product as people run it, for end-to-end tests: commands of node/main.ts as child processes, under the Node that runs the tests. A devnet or a
 * node is handled by its own process handle: it can be killed at once, started again on the same data folder, and stopped; what it started (its L1)
 * is taken down with it, and its folder removed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Hex } from 'viem'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const MAIN = join(ROOT, 'node', 'main.ts')

/** Longest that a devnet may take to be ready, and to end. */
const READY_MAX_MS = 90_000
const STOP_MAX_MS = 35_000
/** How much of a process's output is kept: its end. */
const OUTPUT_MAX = 1_000_000

/** The line with `ready`. Spec: docs/cli.md#devnet */
export type Ready = {
  readonly ready: true
  readonly rpc: string
  readonly ws: string
  readonly metrics?: string
  readonly l1: string
  readonly p2p: string
  readonly chainId: number
  readonly accounts: readonly { readonly address: Hex; readonly privateKey: Hex }[]
  readonly contracts: Readonly<
    Record<'openToken' | 'portal' | 'inbox' | 'systemConfig' | 'checkpointManager' | 'validatorRegistry' | 'bridge' | 'fraudVerifier', Hex>
  >
  readonly dataDir: string
  /** The further validators: processes of their own, and how they were called. */
  readonly validators: readonly {
    readonly rpc: string
    readonly p2p: string
    readonly pid: number
    readonly dataDir: string
    readonly args: readonly string[]
  }[]
}

/** The line with `ready` of a node. Spec: docs/cli.md#node */
export type NodeReady = Pick<Ready, 'ready' | 'rpc' | 'ws' | 'metrics' | 'l1' | 'p2p'>

export type Devnet = Running<Ready>

export type Running<R> = {
  /** Of the process that runs now. */
  ready(): R
  /** What it printed so far, all runs together: JSON lines on stdout, the log on stderr. */
  output(): { readonly stdout: string; readonly stderr: string }
  /** kill -9: nothing is taken down in order. The L1 that it started goes on. */
  kill(): Promise<void>
  /** Starts it anew on the same data folder, after `kill` or `stop`. */
  start(): Promise<R>
  /** Asks it to end (SIGTERM) and waits. Answers its exit code; null if it had to be killed. */
  stop(): Promise<number | null>
  /** Stops it, and removes its folder and whatever a killed run left running. */
  close(): Promise<void>
}

/** Starts a devnet with any free ports and a folder of its own, with further arguments if there are any. */
export async function startDevnet(args: readonly string[] = []): Promise<Devnet> {
  return startCommand<Ready>('devnet', args)
}

/** Starts a node that follows a devnet, with any free ports and an empty folder of its own. */
export async function startFollower({ l1, p2p }: Ready, args: readonly string[] = []): Promise<Running<NodeReady>> {
  return startCommand<NodeReady>('node', ['--l1', l1, '--bootstrap', p2p, '--p2p-host', '127.0.0.1', '--p2p-port', '0', ...args])
}

/** A node that a devnet had started and that is gone, called as it was. It is ended by its process handle, and the folder stays. */
export async function startAgain(
  args: readonly string[],
): Promise<{ readonly ready: NodeReady; readonly pid: number; stop(): Promise<number | null> }> {
  const kept = { stdout: '', stderr: '' }
  const child = launch(['node', ...args], kept)
  const stop = async () => {
    const exited = exitOf(child)
    child.kill('SIGCONT')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MAX_MS)
    const code = await exited
    clearTimeout(timer)
    return code
  }
  try {
    return { ready: await readyLine<NodeReady>(child, kept), pid: child.pid ?? 0, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The line with `ready` of a challenger. Spec: docs/cli.md#verify */
export type ChallengerReady = { readonly ready: true; readonly account: Hex; readonly fraudVerifier: Hex; readonly l1: string }

/** Starts `verify --challenge` with a folder of its own. */
export async function startChallenger(args: readonly string[]): Promise<Running<ChallengerReady>> {
  return startCommand<ChallengerReady>('verify', ['--challenge', ...args])
}

async function startCommand<R>(command: 'devnet' | 'node' | 'verify', args: readonly string[]): Promise<Running<R>> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tributary-e2e-'))
  const kept = { stdout: '', stderr: '' }
  let child: ChildProcess | undefined
  let last: R | undefined

  async function start(): Promise<R> {
    const rpc = command === 'verify' ? [] : ['--rpc-port', '0']
    child = launch([command, '--json', ...rpc, '--data-dir', dataDir, ...args], kept)
    last = await readyLine<R>(child, kept)
    return last
  }

  async function end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const running = child
    if (running === undefined) return null
    const exited = exitOf(running)
    running.kill(signal)
    const timer = setTimeout(() => running.kill('SIGKILL'), STOP_MAX_MS)
    const code = await exited
    clearTimeout(timer)
    child = undefined
    return code
  }

  const handle: Running<R> = {
    ready() {
      if (last === undefined) throw new Error(`the ${command} was never ready`)
      return last
    },
    output: () => ({ ...kept }),
    kill: async () => {
      await end('SIGKILL')
    },
    start,
    stop: () => end('SIGTERM'),
    async close() {
      await end('SIGTERM')
      endLeftL1(dataDir)
      rmSync(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    },
  }
  try {
    await start()
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

export type Finished = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

/** Runs a command of node/main.ts until it ends; it is killed after `maxMs`. */
export async function runCommand(args: readonly string[], maxMs: number): Promise<Finished> {
  const kept = { stdout: '', stderr: '' }
  const child = launch(args, kept)
  const timer = setTimeout(() => child.kill('SIGKILL'), maxMs)
  const code = await exitOf(child)
  clearTimeout(timer)
  return { code, ...kept }
}

/** A port that is free now, for what has to listen on the same one again. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** The JSON lines in what a command printed. */
export function jsonLines(stdout: string): readonly Readonly<Record<string, unknown>>[] {
  return stdout.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : []))
}

function launch(args: readonly string[], kept: { stdout: string; stderr: string }): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], env: environment() })
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      kept[name] = (kept[name] + text).slice(-OUTPUT_MAX)
    })
  }
  const killChild = () => child.kill('SIGKILL')
  process.on('exit', killChild)
  child.once('exit', () => process.off('exit', killChild))
  return child
}

/** The environment without options of ours: the test says what it wants. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TRIBUTARY_|NODE_OPTIONS$|VITEST)/.test(name)))
}

/** Waits for the line with `ready` that this process prints. Rejects with its log if it ends or takes too long. */
function readyLine<R>(child: ChildProcess, kept: { stdout: string; stderr: string }): Promise<R> {
  return new Promise((resolve, reject) => {
    let printed = ''
    const fail = (why: string) => reject(new Error(`it ${why}:\n${kept.stderr.slice(-4_000)}`))
    const timer = setTimeout(() => fail(`is not ready after ${READY_MAX_MS / 1_000} s`), READY_MAX_MS)
    const read = (text: string) => {
      printed += text
      const line = /^\{"ready":true.*\}$/m.exec(printed)?.[0]
      if (line === undefined && printed.length < OUTPUT_MAX) return
      clearTimeout(timer)
      child.stdout?.off('data', read)
      if (line === undefined) fail('says everything but that it is ready')
      else resolve(JSON.parse(line) as R)
    }
    child.stdout?.on('data', read)
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      fail(`ended with code ${code}`)
    })
  })
}

function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code))
    child.once('error', () => resolve(null)) // it could not be started at all
  })
}

/** A devnet that was killed leaves its L1 running, and its process id in the folder. */
function endLeftL1(dataDir: string): void {
  const file = join(dataDir, 'l1.json')
  if (!existsSync(file)) return
  const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { readonly pid: number }
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // gone already
  }
}
