import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { sourcesDigest } from '../../contracts/compile.ts'

// That they are what comes of it is for .ci/run, which compiles everything.
test('the generated files are made of the contracts as they are', () => {
  for (const path of ['settlement/abi.ts', 'contracts/artifacts.ts'])
    expect(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'), 'run npm run contracts').toContain(sourcesDigest())
})
