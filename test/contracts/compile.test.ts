import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { generateFiles } from '../../contracts/compile.ts'

test('the generated files are what the contracts compile to', { timeout: 180_000 }, () => {
  const generated = generateFiles()
  const onDisk = Object.keys(generated).map((path) => [path, readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')])
  expect(Object.fromEntries(onDisk)).toEqual(generated)
})
