/** Contracts under random play, by the code that is deployed, with the rules of contracts/test/invariants looked at after every run. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import {
  bridgeBytecode,
  checkpointManagerBytecode,
  openTokenBytecode,
  portalBytecode,
  systemConfigBytecode,
  validatorRegistryBytecode,
} from '../../contracts/artifacts.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FORGE = fileURLToPath(new URL('../../node_modules/.bin/forge', import.meta.url))
const SOLC = fileURLToPath(new URL('./solc.mjs', import.meta.url))
/** Most of it is the compiler's, which is JavaScript; what it made is kept in node_modules. */
const FORGE_MAX_MS = 500_000

/** forge's settings; FOUNDRY_INVARIANT_RUNS and FOUNDRY_INVARIANT_DEPTH in the environment make the game longer, FOUNDRY_FUZZ_SEED another one. */
const SETTINGS = {
  FOUNDRY_SRC: 'contracts/test/invariants',
  FOUNDRY_TEST: 'contracts/test/invariants',
  FOUNDRY_LIBS: '[]',
  FOUNDRY_OUT: 'node_modules/.cache/forge/out',
  FOUNDRY_CACHE_PATH: 'node_modules/.cache/forge/cache',
  FOUNDRY_SOLC: SOLC,
  FOUNDRY_VIA_IR: 'true',
  FOUNDRY_OPTIMIZER: 'true',
  FOUNDRY_EVM_VERSION: 'prague',
  FOUNDRY_FUZZ_SEED: '0x7269766572',
  FOUNDRY_INVARIANT_RUNS: '64',
  FOUNDRY_INVARIANT_DEPTH: '128',
}

/** What is played with, as it is deployed. */
const CODE = {
  CODE_OF_OpenToken: openTokenBytecode,
  CODE_OF_SystemConfig: systemConfigBytecode,
  CODE_OF_Portal: portalBytecode,
  CODE_OF_CheckpointManager: checkpointManagerBytecode,
  CODE_OF_ValidatorRegistry: validatorRegistryBytecode,
  CODE_OF_Bridge: bridgeBytecode,
}

type Metrics = Readonly<Record<string, { readonly calls: number; readonly reverts: number }>>
type Result = {
  readonly status: string
  readonly reason: string | null
  readonly kind: { readonly Invariant?: { readonly metrics: Metrics } }
}
type Suites = Readonly<Record<string, { readonly test_results: Readonly<Record<string, Result>> }>>

test('no sequence of calls breaks a rule of the contracts', { timeout: FORGE_MAX_MS + 10_000 }, async () => {
  const played = promisify(execFile)(FORGE, ['test', '--json', '--remappings', '@openzeppelin/=node_modules/@openzeppelin/'], {
    cwd: ROOT,
    env: { ...SETTINGS, ...CODE, ...process.env },
    timeout: FORGE_MAX_MS,
    maxBuffer: 1 << 26,
  })
  // It ends with an error where a rule is broken too; what it prints says which, and after what.
  const { stdout, stderr } = await played.catch((error: { readonly stdout: string; readonly stderr: string }) => error)
  expect(stdout, stderr).toContain('{')
  const suites: Suites = JSON.parse(stdout.slice(stdout.indexOf('{')))
  const broken = Object.entries(suites).flatMap(([suite, { test_results }]) =>
    Object.entries(test_results).flatMap(([rule, { status, reason }]) => (status === 'Success' ? [] : [{ suite, rule, reason }])),
  )
  expect(broken).toEqual([])
  const results = Object.values(suites).flatMap(({ test_results }) => Object.values(test_results))
  expect(results.length).toBeGreaterThanOrEqual(8)
  // Of what is played everything succeeded at times, but what is to be impossible.
  const successes = new Map<string, number>()
  for (const { kind } of results) {
    for (const [name, { calls, reverts }] of Object.entries(kind.Invariant?.metrics ?? {})) {
      successes.set(name, (successes.get(name) ?? 0) + calls - reverts)
    }
  }
  const never = [...successes].flatMap(([name, count]) => (count === 0 ? [name.replace(/^.*:/, '')] : []))
  expect(never).toEqual(['PortalHandler.takeWithoutRight'])
})
