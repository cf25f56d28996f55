/** The order of test files. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { SECONDS_OF } from './longestFirst.ts'

test('each file that is said to be long is there', () => {
  const missing = Object.keys(SECONDS_OF).filter((file) => !existsSync(fileURLToPath(new URL(`../../${file}`, import.meta.url))))
  expect(missing).toEqual([])
})
