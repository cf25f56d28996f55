/**
 * Installs what test/clients runs (test/clients/tools/package.json), if it is not there. npm runs under the Node of node_modules and not the machine's:
 * for an older one it silently leaves out packages that some of these programs cannot do without. Their install scripts are not run.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const TOOLS = fileURLToPath(new URL('./tools/', import.meta.url))
const INSTALL_MAX_MS = 15 * 60_000

const stampFile = join(TOOLS, 'node_modules', '.tributary-install')
const stamp = `${createHash('sha256')
  .update(readFileSync(join(TOOLS, 'package-lock.json')))
  .digest('hex')} ${process.platform} ${process.arch}\n`

if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) {
  process.stderr.write('install: the clients that are run against a node (a few minutes the first time)\n')
  // Not `npm ci`: it refuses a lock without the packages of every platform, and a registry need not have them all.
  const args = ['install', '--no-save', '--ignore-scripts', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']
  const env = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) }
  const { status, error } = spawnSync('npm', args, { cwd: TOOLS, env, stdio: ['ignore', 2, 2], timeout: INSTALL_MAX_MS })
  if (status === 0) writeFileSync(stampFile, stamp)
  else process.stderr.write(`install: npm failed (${error?.message ?? `exit status ${status}`}, its output is above)\n`)
  process.exitCode = status === 0 ? 0 : 1
}
