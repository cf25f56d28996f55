/** The vectors in test/vectors/ethereum: which cases there are, which are left out, and whether an answer is the expected one. */
import { createHash } from 'node:crypto'
import { createReadStream, readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'
import type { Case } from './cases.ts'

const FOLDER = new URL('../vectors/ethereum/', import.meta.url)

/** Names of the files with cases. */
export const VECTOR_FILES: readonly string[] = readdirSync(FOLDER)
  .filter((name) => /\.jsonl(\.gz)?$/.test(name))
  .sort()

/** Case id → why `npm run vectors` does not run it. */
export const LEFT_OUT: ReadonlyMap<string, string> = new Map(
  (JSON.parse(readFileSync(new URL('left-out.json', FOLDER), 'utf8')) as { ids: string[]; reason: string }[]).flatMap(({ ids, reason }) =>
    ids.map((id) => [id, reason] as const),
  ),
)

/** The lines of a file, one case each. */
export function readLines(file: string): AsyncIterable<string> {
  const stream = createReadStream(new URL(file, FOLDER))
  return createInterface({ input: file.endsWith('.gz') ? stream.pipe(createGunzip()) : stream, crlfDelay: Number.POSITIVE_INFINITY })
}

/** One case in so many, the same ones always: by a hash of their ids. */
export function isSampled(id: string, oneIn: number): boolean {
  return createHash('sha256').update(id).digest().readUInt32BE(0) % oneIn === 0
}

/** What is wrong with an answer; undefined if it is what the case expects. A rejected transaction has no logs. */
export function flawOf({ id, expect }: Case, answer: Readonly<Record<string, unknown>>): string | undefined {
  if (answer.id !== id) return `answers ${String(answer.id)}`
  if (expect === undefined) return 'nothing is expected'
  if ('error' in answer) return `error: ${String(answer.error)}`
  if ('unsupported' in answer) return `unsupported: ${String(answer.unsupported)}`
  if ('rejected' in answer !== 'rejected' in expect) return 'rejected' in answer ? `rejected: ${String(answer.rejected)}` : 'not rejected'
  const skipped = 'rejected' in expect ? ['rejected', 'logsHash'] : []
  const wrong = Object.keys(expect).find((key) => !skipped.includes(key) && JSON.stringify(answer[key]) !== JSON.stringify(expect[key]))
  return wrong && `${wrong} is ${JSON.stringify(answer[wrong])}, not ${JSON.stringify(expect[wrong])}`
}
