/**
 * `tributary bench NAME`: runs a bench of test/bench/ in a process of its own, so that it measures nothing but itself. What stands behind `--` is for
 * the bench.
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ConfigOf, UsageError } from './config.ts'

const BENCHES = fileURLToPath(new URL('../test/bench/', import.meta.url))
const SUFFIX = '.bench.ts'

/** Runs the bench that is named first, with the rest as its arguments; without a name, lists them. Its exit code is ours. */
export async function runBench(
  [name, ...args]: readonly string[],
  { json }: ConfigOf<'bench'>,
  print: (text: string) => void,
): Promise<number> {
  const names = readdirSync(BENCHES).flatMap((file) => (file.endsWith(SUFFIX) ? [file.slice(0, -SUFFIX.length)] : []))
  if (name === undefined) {
    print(json ? `${JSON.stringify({ benches: names })}\n` : `${names.map((one) => `tributary bench ${one}`).join('\n')}\n`)
    return 0
  }
  if (!names.includes(name)) throw new UsageError(`there is no bench ${name}; there are ${names.join(', ')}`)
  const child = spawn(process.execPath, [join(BENCHES, `${name}${SUFFIX}`), ...args, ...(json ? ['--json'] : [])], { stdio: 'inherit' })
  const stop = () => child.kill('SIGTERM')
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
