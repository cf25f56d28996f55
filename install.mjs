/**
 * Makes `npm start` and `npm test` work as the first command in a fresh clone: runs `npm ci` when what stands in node_modules
 * is not what package-lock.json says, and only looks otherwise. Plain JavaScript for Node 20, because it runs before the
 * Node 24 that the `node` package brings. It writes to stderr alone: stdout belongs to the command that follows.
 *
 * Scripts in package.json say `node install.mjs && exec env node …`. The shell remembers which `node` it ran first (the
 * machine's own); `env` looks it up afresh and finds node_modules/.bin/node. `exec` leaves no shell between npm and our
 * process, so that a signal sent to npm reaches it.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = dirname(fileURLToPath(import.meta.url))
const modules = join(root, 'node_modules')
const stampFile = join(modules, '.tributary-install')
const lockFile = join(root, '.install.lock')

/** Whoever installs touches the lock this often; a lock left untouched for `lockStaleMs` belongs to a process that died. */
const lockTouchMs = 2_000
const lockStaleMs = 20_000
const lockWaitMaxMs = 15 * 60_000

const { dependencies, devDependencies } = readJson(join(root, 'package.json'))
const lockText = readFileSync(join(root, 'package-lock.json'))
const stamp = `${createHash('sha256').update(lockText).digest('hex')} ${process.platform} ${process.arch}\n`

const failure = flaw() === undefined ? undefined : await install()
if (failure !== undefined) {
  say(failure)
  process.exitCode = 1
}

/** Why node_modules cannot be used as it is; undefined when it can. */
function flaw() {
  if (!existsSync(modules)) return 'node_modules is missing'
  const found = existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : undefined
  if (found !== stamp && !npmInstalledTheLock()) return 'node_modules is not what package-lock.json says'
  const missing = Object.keys({ ...dependencies, ...devDependencies }).find((name) => !existsSync(join(modules, name, 'package.json')))
  if (missing !== undefined) return `node_modules/${missing} is missing`
  const { stdout, error } = spawnSync(join(modules, '.bin', 'node'), ['--version'], { encoding: 'utf8', timeout: 30_000 })
  if (error !== undefined) return `node_modules/.bin/node does not run (${error.code})`
  if (stdout.trim() !== `v${dependencies.node}`) return `node_modules/.bin/node is ${stdout.trim() || 'broken'}, not v${dependencies.node}`
  if (found !== stamp) writeFileSync(stampFile, stamp)
  return undefined
}

/** True when an install that somebody ran by hand finished and holds the very packages of the lock (npm writes its notes last). */
function npmInstalledTheLock() {
  const notes = join(modules, '.package-lock.json')
  if (!existsSync(notes)) return false
  const installed = readJson(notes).packages
  return Object.entries(JSON.parse(lockText.toString()).packages).every(([path, want]) => {
    const have = installed[path]
    if (path === '' || (have === undefined && want.optional)) return true
    return have !== undefined && have.version === want.version && have.integrity === want.integrity
  })
}

/** Runs `npm ci` while holding the lock, unless another process did it meanwhile. Answers what went wrong, if anything. */
async function install() {
  const refusal = await takeLock()
  if (refusal !== undefined) return refusal
  const touch = setInterval(() => existsSync(lockFile) && utimesSync(lockFile, new Date(), new Date()), lockTouchMs)
  try {
    const reason = flaw()
    if (reason === undefined) return undefined
    say(`${reason}: running npm ci (a minute or two the first time)`)
    const failed = await npmCi()
    if (failed !== undefined) return `${failed}. Nothing was started; mend the cause and run the command again.`
    writeFileSync(stampFile, stamp)
    const left = flaw()
    if (left === undefined) return undefined
    rmSync(stampFile)
    return `npm ci ended well, but ${left}. If npm is set to run no install scripts, run: npm ci --ignore-scripts=false`
  } finally {
    clearInterval(touch)
    rmSync(lockFile, { force: true })
  }
}

/** Creates the lock file, or waits until its owner is done or dead. */
async function takeLock() {
  const waitUntilMs = Date.now() + lockWaitMaxMs
  let told = false
  while (Date.now() < waitUntilMs) {
    try {
      writeFileSync(lockFile, `${process.pid}\n`, { flag: 'wx' })
      return undefined
    } catch (error) {
      if (error.code !== 'EEXIST') return `cannot write ${lockFile} (${error.code})`
    }
    const touchedMs = statSync(lockFile, { throwIfNoEntry: false })?.mtimeMs
    if (touchedMs !== undefined && Date.now() - touchedMs > lockStaleMs) rmSync(lockFile, { force: true })
    else await sleep(100)
    if (!told) say('waiting for another install of this folder')
    told = true
  }
  return `another install has held ${lockFile} for too long; remove that file if none is running`
}

/** Runs npm with its output on stderr. Answers what went wrong, if anything. */
function npmCi() {
  // npm is about to delete node_modules, so it must run on the machine's own node and not on the one in there.
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== join(modules, '.bin'))
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']
  const child = spawn('npm', args, { cwd: root, env: { ...process.env, PATH: path.join(delimiter) }, stdio: ['ignore', 2, 2] })
  const stop = (signal) => child.kill(signal)
  process.on('SIGINT', stop).on('SIGTERM', stop)
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(`npm did not start (${error.code})`))
    child.on('close', (code, signal) =>
      resolve(code === 0 ? undefined : `npm ci failed (${signal ?? `exit status ${code}`}, its output is above)`),
    )
  })
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'))
}

function say(message) {
  process.stderr.write(`install: ${message}\n`)
}
