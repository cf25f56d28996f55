/**
 * What all benches share: options, clocks, medians with their range, tables. A figure is printed as `median [min–max]`, and beside it its ratio
 * to a peer of the same run: the machine may be busy with something else, which a ratio survives and a lone figure does not.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { GCProfiler, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Time that a piece of work took. `mainMs`: CPU of the main thread, which is what executes blocks; `processMs`: of all threads; `garbageMs`: pauses
 * for garbage collection, by the clock.
 */
export type Cost = { readonly wallMs: number; readonly mainMs: number; readonly processMs: number; readonly garbageMs: number }

setFlagsFromString('--expose_gc')
const collectGarbage = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void

/** Runs the work and times it. What was made just before is collected, or grows old, before the clock starts. */
export async function costOf<T>(work: () => T | Promise<T>): Promise<{ readonly value: T; readonly cost: Cost }> {
  collectGarbage({ type: 'minor' })
  const collections = new GCProfiler()
  collections.start()
  const wall = performance.now()
  const main = process.threadCpuUsage()
  const all = process.cpuUsage()
  const value = await work()
  const mainUsed = process.threadCpuUsage(main)
  const allUsed = process.cpuUsage(all)
  const wallMs = performance.now() - wall
  const { statistics } = collections.stop()
  return {
    value,
    cost: {
      wallMs,
      mainMs: (mainUsed.user + mainUsed.system) / 1_000,
      processMs: (allUsed.user + allUsed.system) / 1_000,
      garbageMs: statistics.reduce((sum, { cost }) => sum + cost / 1_000, 0),
    },
  }
}

/** Middle and ends of some samples. */
export type Spread = { readonly median: number; readonly min: number; readonly max: number; readonly samples: number }

export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('there are no samples')
  const at = (quantile: number) => quantileOf(values, quantile)
  return { median: at(0.5), min: at(0), max: at(1), samples: values.length }
}

/** The value below which this part (0–1) of the samples lies, between two samples by their weight. NaN without samples. */
export function quantileOf(values: readonly number[], quantile: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const place = (sorted.length - 1) * quantile
  const low = sorted[Math.floor(place)] ?? Number.NaN
  const high = sorted[Math.ceil(place)] ?? Number.NaN
  return low + (high - low) * (place - Math.floor(place))
}

/** Three significant digits, with separators. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.max(Math.abs(value), 0.001))))
  return value.toLocaleString('en', { maximumFractionDigits: decimals })
}

/** `median [min–max]`. */
export function show({ median, min, max }: Spread): string {
  return `${digits(median)} [${digits(min)}–${digits(max)}]`
}

/** `3.2 ×`. */
export function times(ratio: number): string {
  return `${digits(ratio)} ×`
}

/** A table in Markdown, its columns aligned. */
export function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (cells: readonly string[]) => `| ${widths.map((width, i) => (cells[i] ?? '').padEnd(width)).join(' | ')} |`
  return [line(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.map(line)].join('\n')
}

type Defaults = Readonly<Record<string, number | string>>
/** A bench's options, each with its default; `json`: figures for machines instead of tables for people. */
export type OptionsOf<D extends Defaults> = { readonly [K in keyof D]: D[K] extends number ? number : string } & { readonly json: boolean }

/** The options of the command line. Throws for what is no option, and for what is no number where one belongs. */
export function readOptions<const D extends Defaults>(defaults: D, args: readonly string[] = process.argv.slice(2)): OptionsOf<D> {
  const known = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' as const }]))
  const { values } = parseArgs({ args: [...args], options: { ...known, json: { type: 'boolean' as const } }, strict: true })
  const given = values as Readonly<Record<string, string | undefined>>
  const read = Object.entries(defaults).map(([name, standard]) => {
    const text = given[name]
    if (text === undefined) return [name, standard]
    if (typeof standard === 'string') return [name, text]
    if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name} takes a number, not ${text}`)
    return [name, Number(text)]
  })
  return { ...Object.fromEntries(read), json: values.json === true } as OptionsOf<D>
}

/** Says on stderr how far a bench is. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Prints what a bench found: the tables, or with `json` one line for machines. */
export function report({
  bench,
  json,
  text,
  figures,
}: {
  readonly bench: string
  readonly json: boolean
  readonly text: string
  readonly figures: object
}): void {
  const machine = describeMachine()
  if (json) process.stdout.write(`${JSON.stringify({ bench, machine, ...figures })}\n`)
  else
    process.stdout.write(
      `\n${text}\n\n${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Node ${machine.node}, load average ${machine.load}\n`,
    )
}

function describeMachine() {
  const [first] = cpus()
  return {
    cpu: (first?.model ?? 'unknown').trim(),
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    load: Number((loadavg()[0] ?? 0).toFixed(1)),
  }
}

/** CPU that a process has used so far, all its threads, in milliseconds; undefined where the system does not say (it is Linux that does). */
export function cpuMsOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name in parentheses may hold anything; user and system ticks (100 a second) are the 12th and 13th field behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return undefined // no such process, or no /proc
  }
}

/** CPU that the threads of a process that live now have used, in milliseconds, finer than ticks; undefined where the system does not say. */
export function threadsCpuMsOf(pid: number): number | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((thread) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'))
    return threads.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1e6, 0)
  } catch {
    return undefined // no such process, a thread that ended while it was looked at, or no /proc
  }
}

/** Resident memory of a process in MiB; undefined where the system does not say. */
export function memoryMiBOf(pid: number): number | undefined {
  try {
    const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kib === undefined ? undefined : Math.round(Number(kib) / 1_024)
  } catch {
    return undefined // no such process, or no /proc
  }
}

/** The child of this process whose command line has these words; undefined if there is none, or where the system does not say. */
export function childPid(words: string): number | undefined {
  try {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    return pids
      .map(Number)
      .find((pid) => isChild(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').includes(words))
  } catch {
    return undefined // a process that ended while it was looked at, or no /proc
  }
}

function isChild(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(process.pid)
  } catch {
    return false // it ended meanwhile
  }
}
