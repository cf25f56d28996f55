/**
 * Ethereum's own cases through our parts: those of the small suites all, of the large ones a sample that is always the same. `npm run vectors`
 * runs all of them. docs/conformance.md
 */

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { answerCase, answerLine } from './answer.ts'
import type { Case } from './cases.ts'
import { flawOf, isSampled, LEFT_OUT, readLines, VECTOR_FILES } from './vectors.ts'

/** One in so many cases; the others: all. */
const ONE_IN: Readonly<Record<string, number>> = { 'eest-prague.jsonl.gz': 32, 'ef-cancun.jsonl.gz': 32, 'precompiles.jsonl.gz': 24 }
/** The trusted setup alone takes seconds to load, and a pairing in JavaScript tens of milliseconds: for a machine that is busy with much else. */
const TIMEOUT_MS = 240_000
/** How many cases a file has: one that got lost would be missed here and nowhere else. */
const CASES: Readonly<Record<string, number>> = {
  'arith.jsonl.gz': 591,
  'ecdsa-k1.jsonl.gz': 259,
  'eest-prague.jsonl.gz': 3_685,
  'ef-cancun.jsonl.gz': 7_485,
  'ef-rlp.jsonl': 20,
  'ef-trie.jsonl': 4,
  'ef-tx.jsonl.gz': 912,
  'precompiles.jsonl.gz': 695,
}
const isRun = (file: string, id: string): boolean => isSampled(id, ONE_IN[file] ?? 1) && !LEFT_OUT.has(id)

for (const file of VECTOR_FILES) {
  test(
    `${file}: ${ONE_IN[file] ? `one case in ${ONE_IN[file]}` : 'every case'} is answered as expected`,
    async () => {
      const failed: string[] = []
      let [cases, run] = [0, 0]
      for await (const line of readLines(file)) {
        cases++
        // The id stands near the line's beginning; most lines need not be read at all.
        const id = /"id":"((?:[^"\\]|\\.)*)"/.exec(line.slice(0, 2_000))?.[1]
        if (id === undefined || !isRun(file, id)) continue
        run++
        const input: Case = JSON.parse(line)
        const flaw = flawOf(input, { id: input.id, ...(await answerCase(input)) })
        if (flaw !== undefined) failed.push(`${input.id}: ${flaw}`)
      }
      expect(failed).toEqual([])
      expect(cases).toBe(CASES[file])
      expect(run).toBeGreaterThan(cases / (ONE_IN[file] ?? 1) / 2)
    },
    TIMEOUT_MS,
  )
}

test('EIP-7951: P-256 signatures, every case with its gas', () => everyPrecompileCase(/p256Verify/, 301))
test('EIP-2537: every case that must fail fails', () => everyPrecompileCase(/fail-bls/, 23))

async function everyPrecompileCase(file: RegExp, count: number): Promise<void> {
  const failed: string[] = []
  let run = 0
  for await (const line of readLines('precompiles.jsonl.gz')) {
    if (!file.test(line.slice(0, 200))) continue
    run++
    const input: Case = JSON.parse(line)
    const flaw = flawOf(input, { id: input.id, ...(await answerCase(input)) })
    if (flaw !== undefined) failed.push(`${input.id}: ${flaw}`)
  }
  expect(failed).toEqual([])
  expect(run).toBe(count)
}

test('the comparison fails for a wrong root, an error, a wrong verdict and another id', () => {
  const input = { id: 'a', expect: { stateRoot: '0x01' } } as unknown as Case
  expect(flawOf(input, { id: 'a', stateRoot: '0x01' })).toBeUndefined()
  expect(flawOf(input, { id: 'a', stateRoot: '0x02' })).toBe('stateRoot is "0x02", not "0x01"')
  expect(flawOf(input, { id: 'a', error: 'x' })).toBe('error: x')
  expect(flawOf(input, { id: 'a', unsupported: 'x' })).toBe('unsupported: x')
  expect(flawOf(input, { id: 'a', rejected: 'x', stateRoot: '0x01' })).toBe('rejected: x')
  expect(flawOf(input, { id: 'b', stateRoot: '0x01' })).toBe('answers b')
  const refused = { id: 'a', expect: { rejected: true, stateRoot: '0x01', logsHash: '0x02' } } as unknown as Case
  expect(flawOf(refused, { id: 'a', rejected: 'why', stateRoot: '0x01' })).toBeUndefined()
  expect(flawOf(refused, { id: 'a', rejected: 'why', stateRoot: '0x03' })).toBe('stateRoot is "0x03", not "0x01"')
  expect(flawOf(refused, { id: 'a', stateRoot: '0x01' })).toBe('not rejected')
})

test('docs/conformance.md names every case that is left out, and only such', () => {
  const page = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8')
  const listed = [...page.matchAll(/^- `([^`]+)`/gm)].map((match) => match[1])
  expect(listed.sort()).toEqual([...LEFT_OUT.keys()].sort())
})

test('one bad line is one bad answer, and the next is answered', async () => {
  const errors: unknown[] = []
  const onError = (id: unknown): void => {
    errors.push(id)
  }
  expect(JSON.parse(await answerLine('{', onError))).toMatchObject({ id: null, error: expect.any(String) })
  expect(JSON.parse(await answerLine('null', onError))).toMatchObject({ id: null, error: expect.any(String) })
  expect(JSON.parse(await answerLine('{"id":"a","kind":"state","fork":"Prague"}', onError))).toMatchObject({
    id: 'a',
    error: expect.any(String),
  })
  expect(JSON.parse(await answerLine('{"id":"b","kind":"song"}', onError))).toEqual({ id: 'b', unsupported: 'kind "song"' })
  expect(errors).toEqual([null, null, 'a'])
})

test('KZG: the empty polynomial is proven zero, and what is no point is rejected', async () => {
  const [infinity, zero] = [`0xc0${'00'.repeat(47)}`, `0x${'00'.repeat(32)}`]
  const verify = (commitment: string) =>
    answerCase({ id: 'a', kind: 'kzg', method: 'verify_kzg_proof', input: { commitment, z: zero, y: zero, proof: infinity } })
  expect(await verify(infinity)).toEqual({ output: true })
  expect(await verify(`0x${'00'.repeat(48)}`)).toEqual({ rejected: expect.any(String), output: null })
  expect(await answerCase({ id: 'a', kind: 'kzg', method: 'sing', input: {} })).toEqual({ unsupported: 'method sing' })
})

test('the program answers lines in order and ends with its input', async () => {
  const child = spawn(process.execPath, [fileURLToPath(new URL('main.ts', import.meta.url))], { stdio: ['pipe', 'pipe', 'ignore'] })
  const ids = Array.from({ length: 300 }, (_, i) => `case ${i}`)
  child.stdin.end(ids.map((id) => `${JSON.stringify({ id, kind: 'rlp', decode: '0x83646f67', value: 'dog' })}\n`).join('\n'))
  let output = ''
  for await (const chunk of child.stdout) output += chunk
  expect(
    output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual(ids.map((id) => ({ id, encoded: '0x83646f67' })))
})
