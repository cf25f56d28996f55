/** forge's linter finds nothing in the contracts but what was looked at. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FORGE = fileURLToPath(new URL('../../node_modules/.bin/forge', import.meta.url))
const SOLC = fileURLToPath(new URL('./solc.mjs', import.meta.url))
const FORGE_MAX_MS = 170_000

/** What it may find, and why that is as it should be. */
const EXPECTED: Readonly<Record<string, string>> = {
  'block-timestamp': 'windows, timeouts and delays are times; none of them turns on the seconds that a proposer of L1 can choose',
  'incorrect-shift': 'it takes 1 << n for a slip, which is the bit of place n',
  'unsafe-typecast':
    'what is narrowed fits by what was checked before it, by how it was packed, or is cut off on purpose (hashes to addresses)',
}

type Finding = { readonly code: { readonly code: string } | null; readonly level: string; readonly rendered: string }

test('forge lint finds only what is as it should be', { timeout: FORGE_MAX_MS + 10_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-lint-'))
  const env = {
    ...process.env,
    FOUNDRY_SRC: 'contracts',
    FOUNDRY_LIBS: '["node_modules"]',
    FOUNDRY_REMAPPINGS: '["@openzeppelin/=node_modules/@openzeppelin/"]',
    FOUNDRY_SOLC: SOLC,
    FOUNDRY_OUT: join(folder, 'out'),
    FOUNDRY_CACHE_PATH: join(folder, 'cache'),
  }
  const severities = ['high', 'med', 'low'].flatMap((severity) => ['--severity', severity])
  try {
    const linted = promisify(execFile)(FORGE, ['lint', 'contracts', ...severities, '--json'], {
      cwd: ROOT,
      env,
      timeout: FORGE_MAX_MS,
      maxBuffer: 1 << 26,
    })
    const { stderr } = await linted.catch((error: { readonly stderr: string }) => error)
    const findings = stderr.split('\n').flatMap((line): Finding[] => (line.startsWith('{') ? [JSON.parse(line)] : []))
    const found = new Set(findings.flatMap(({ code }) => (code ? [code.code] : [])))
    // That it looked at all is seen by what it always finds.
    expect([...found]).toContain('block-timestamp')
    const unexpected = findings.filter(({ code, level }) => level === 'error' || (code && !(code.code in EXPECTED)))
    expect(unexpected.map(({ rendered }) => rendered)).toEqual([])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
