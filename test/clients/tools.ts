/**
 * Programs of others that are run against a node: those of test/clients/tools/package.json, which have a lock and a folder of their own because they are
 * many megabytes that nothing else here needs. `npm run test:clients` installs them (test/clients/install.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const TOOLS = fileURLToPath(new URL('./tools/', import.meta.url))

const toolsRequire = createRequire(join(TOOLS, 'package.json'))

/** How much of a program's output is kept: its end. */
const OUTPUT_MAX = 1_000_000
const STOP_MAX_MS = 10_000

/** A package's module, of which the caller says what it uses. */
export async function loadTool<T>(name: string): Promise<T> {
  return (await import(pathToFileURL(toolsRequire.resolve(name)).href)) as T
}

/** A JSON file of a package. */
export function toolJson<T>(path: string): T {
  return toolsRequire(path) as T
}

/** A program's file in the folder of npm's links. */
export function toolBinary(name: string): string {
  return join(TOOLS, 'node_modules', '.bin', name)
}

/** A folder of its own for a program that wants a project: copies of `files` at their places in it, and the packages. Who asked for it removes it. */
export function createProject(files: Readonly<Record<string, URL>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-clients-'))
  for (const [place, file] of Object.entries(files)) cpSync(fileURLToPath(file), join(folder, place))
  cpSync(join(TOOLS, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(TOOLS, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

export type Program = {
  /** What it printed so far, both ways together. */
  output(): string
  /** undefined while it runs. */
  exitCode(): number | null | undefined
  /** Asks it to end, and ends it if it does not. */
  stop(): Promise<void>
}

/** Starts a program that goes on until it is stopped. Nothing of this process's options is handed on. */
export function startProgram(file: string, args: readonly string[], options: { cwd: string; env?: Record<string, string> }): Program {
  const child = spawn(file, args, { cwd: options.cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...environment(), ...options.env } })
  let output = ''
  let code: number | null | undefined
  const exited = exitOf(child).then((got) => {
    code = got
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_MAX)
    })
  }
  const kill = () => child.kill('SIGKILL')
  process.on('exit', kill)
  return {
    output: () => output,
    exitCode: () => code,
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(kill, STOP_MAX_MS)
      await exited
      clearTimeout(timer)
      process.off('exit', kill)
    },
  }
}

/** Runs a program until it ends, at most `maxMs`. Answers what it printed; throws with that if it ends badly. */
export async function runProgram(
  file: string,
  args: readonly string[],
  options: { cwd: string; maxMs: number; env?: Record<string, string> },
): Promise<string> {
  const program = startProgram(file, args, options)
  const endMs = Date.now() + options.maxMs
  while (program.exitCode() === undefined && Date.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 50))
  const code = program.exitCode()
  await program.stop()
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code ?? 'its time'}:\n${program.output().slice(-8_000)}`)
  return program.output()
}

/** The environment without options of tests and of ours, under the Node that runs this. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(TRIBUTARY_|NODE_|VITEST|FORCE_COLOR$)/.test(name))
  return { ...Object.fromEntries(kept), NO_COLOR: '1' }
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    child.once('close', (code) => resolve(code))
    child.once('error', () => resolve(null)) // it could not be started at all
  })
}
