/**
 * `npm run vectors`: all cases of test/vectors/ethereum through the conformance program, in as many processes as there are cores, and how
 * many passed. `--all` runs those that are left out, too; `--json FILE` writes the sums. Exits with 1 if one case failed.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Case } from './cases.ts'
import { flawOf, LEFT_OUT, readLines, VECTOR_FILES } from './vectors.ts'

/** Cases that wait for one process's answers at most. */
const WAITING_MAX = 64

type Program = {
  answer(line: string): Promise<string>
  readonly waiting: () => number
  stop(): Promise<void>
}

function startProgram(): Program {
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(
    process.execPath,
    [fileURLToPath(new URL('main.ts', import.meta.url))],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = []
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(line))
  const ended = once(child, 'exit').then(([code]) => {
    for (const { reject } of waiting) reject(new Error(`the program ended with ${String(code)}`))
  })
  child.stdin.on('error', () => {}) // its end is told above
  return {
    waiting: () => waiting.length,
    answer: (line) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject })
        child.stdin.write(`${line}\n`)
      }),
    async stop() {
      child.stdin.end()
      await ended
    },
  }
}

async function checkFile(file: string, programs: readonly Program[], all: boolean) {
  const counts = { passed: 0, failed: 0, leftOut: 0 }
  const running = new Set<Promise<void>>()
  const judge = async (line: string, input: Case, program: Program): Promise<void> => {
    const flaw = flawOf(input, JSON.parse(await program.answer(line)))
    if (flaw === undefined) counts.passed++
    else {
      counts.failed++
      process.stdout.write(`  ${input.id}: ${flaw}\n`)
    }
  }
  for await (const line of readLines(file)) {
    const input: Case = JSON.parse(line)
    if (!all && LEFT_OUT.has(input.id)) {
      counts.leftOut++
      continue
    }
    const program = programs.reduce((least, one) => (one.waiting() < least.waiting() ? one : least))
    const one: Promise<void> = judge(line, input, program).finally(() => running.delete(one))
    running.add(one)
    if (running.size >= WAITING_MAX * programs.length) await Promise.race(running)
  }
  await Promise.all(running)
  return counts
}

const { values } = parseArgs({ options: { all: { type: 'boolean', default: false }, json: { type: 'string' } } })
const programs = Array.from({ length: Math.min(8, availableParallelism()) }, startProgram)
const sum = { passed: 0, failed: 0, leftOut: 0 }
for (const file of VECTOR_FILES) {
  const { passed, failed, leftOut } = await checkFile(file, programs, values.all)
  process.stdout.write(`${file}: ${passed} passed, ${failed} failed, ${leftOut} left out\n`)
  sum.passed += passed
  sum.failed += failed
  sum.leftOut += leftOut
}
await Promise.all(programs.map((program) => program.stop()))
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.leftOut} left out\n`)
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(sum)}\n`)
process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1
