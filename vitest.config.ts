/**
 * Two groups of tests: `rooms` (pure rules, in-memory ports, loopback sockets) and, after them, `e2e` (real processes and a local L1). A third, `clients`,
 * runs programs of others against a node, which have to be installed first: `npm run test:clients`.
 * Nothing is retried: a test that fails once is a defect. Sized for a machine with 2 cores: of most files of e2e, and of the longest of the rooms, more than
 * half is waiting, for L1's blocks and for what must not happen.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/house/longestFirst.ts'

const roomTimeoutMs = 60_000
const e2eTimeoutMs = 300_000

export default defineConfig({
  test: {
    retry: 0,
    // Own processes: native addons (level, BLS, KZG) are not all safe to load in several threads of one process.
    pool: 'forks',
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // A process for each of the workers and not for each file: a file takes longer to load than most take to run.
    isolate: false,
    // As in node/main.ts: what Node compiles is kept for the next process, of which tests start hundreds.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/tributary', import.meta.url)) },
    passWithNoTests: false,
    allowOnly: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'rooms',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/clients/**'],
          testTimeout: roomTimeoutMs,
          hookTimeout: roomTimeoutMs,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: e2eTimeoutMs,
          hookTimeout: e2eTimeoutMs,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'clients',
          include: ['test/clients/*.test.ts'],
          testTimeout: e2eTimeoutMs,
          hookTimeout: e2eTimeoutMs,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
