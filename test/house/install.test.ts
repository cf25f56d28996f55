/** install.mjs, run in a folder of its own with an `npm` of ours on the PATH that notes its calls and makes what it is told to. */
import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

const launcher = fileURLToPath(new URL('../../install.mjs', import.meta.url))
const nodeVersion = process.versions.node

/** What a working `npm ci` leaves behind. */
const installs = [
  'mkdir -p node_modules/.bin node_modules/node',
  "echo '{}' > node_modules/node/package.json",
  `ln -sf '${process.execPath}' node_modules/.bin/node`,
].join(' && ')

type Clone = {
  readonly folder: string
  run(onStderr?: (text: string) => void): Promise<Ended>
  npmDoes(script: string): void
  npmCalls(): string[]
}
type Ended = { readonly status: number; readonly stdout: string; readonly stderr: string }

/** A clone of a project whose only dependency is `node`, removed after the test. */
function createClone(): Clone {
  const folder = mkdtempSync(join(tmpdir(), 'install-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const calls = join(folder, 'calls')
  mkdirSync(join(folder, 'bin'))
  copyFileSync(launcher, join(folder, 'install.mjs'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ dependencies: { node: nodeVersion } }))
  writeLock(folder, nodeVersion)
  const npmDoes = (script: string): void => {
    writeFileSync(join(folder, 'bin/npm'), `#!/bin/sh\necho "$@" >> '${calls}'\necho 'npm speaks'\n${script}\n`)
    chmodSync(join(folder, 'bin/npm'), 0o755)
  }
  npmDoes(installs)
  return {
    folder,
    npmDoes,
    npmCalls: () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []),
    run: (onStderr = () => undefined) => {
      const env = { PATH: `${join(folder, 'bin')}:/usr/bin:/bin` }
      return new Promise((resolve) => {
        const child = execFile(process.execPath, ['install.mjs'], { cwd: folder, env, timeout: 30_000 }, (error, stdout, stderr) =>
          resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
        )
        child.stderr?.on('data', onStderr)
      })
    },
  }
}

function writeLock(folder: string, version: string): void {
  const packages = { '': {}, 'node_modules/node': { version, integrity: 'sha512-a' }, 'node_modules/mac-only': { version, optional: true } }
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages }))
}

test('a fresh clone is installed once, and stdout stays clean', async () => {
  const clone = createClone()
  const first = await clone.run()
  expect(first).toMatchObject({ status: 0, stdout: '' })
  expect(first.stderr).toContain('node_modules is missing: running npm ci')
  expect(first.stderr).toContain('npm speaks')
  expect(await clone.run()).toEqual({ status: 0, stdout: '', stderr: '' })
  expect(clone.npmCalls()).toEqual(['ci --include=dev --include=optional --no-audit --no-fund --loglevel=error'])
})

test('a changed lock file is installed again', async () => {
  const clone = createClone()
  await clone.run()
  writeLock(clone.folder, '99.0.0')
  expect((await clone.run()).stderr).toContain('node_modules is not what package-lock.json says')
  expect(clone.npmCalls()).toHaveLength(2)
})

test('an install by hand counts if it is of this lock', async () => {
  const clone = createClone()
  await clone.run()
  rmSync(join(clone.folder, 'node_modules/.tributary-install'))
  const notes = (integrity: string): string => JSON.stringify({ packages: { 'node_modules/node': { version: nodeVersion, integrity } } })
  writeFileSync(join(clone.folder, 'node_modules/.package-lock.json'), notes('sha512-a'))
  expect(await clone.run()).toEqual({ status: 0, stdout: '', stderr: '' })
  rmSync(join(clone.folder, 'node_modules/.tributary-install'))
  writeFileSync(join(clone.folder, 'node_modules/.package-lock.json'), notes('sha512-b'))
  expect((await clone.run()).stderr).toContain('running npm ci')
  expect(clone.npmCalls()).toHaveLength(2)
})

test('half an install is found out and mended', async () => {
  const clone = createClone()
  await clone.run()
  rmSync(join(clone.folder, 'node_modules/.bin/node'))
  expect((await clone.run()).stderr).toContain('node_modules/.bin/node does not run (ENOENT)')
  rmSync(join(clone.folder, 'node_modules/node'), { recursive: true })
  expect((await clone.run()).stderr).toContain('node_modules/node is missing')
  expect(await clone.run()).toEqual({ status: 0, stdout: '', stderr: '' })
  expect(clone.npmCalls()).toHaveLength(3)
})

test('an npm that fails is reported, and nothing counts as installed', async () => {
  const clone = createClone()
  clone.npmDoes('exit 7')
  const ended = await clone.run()
  expect(ended).toMatchObject({ status: 1, stdout: '' })
  expect(ended.stderr).toContain('npm ci failed (exit status 7, its output is above). Nothing was started')
  expect(existsSync(join(clone.folder, '.install.lock'))).toBe(false)
  clone.npmDoes(installs)
  expect(await clone.run()).toMatchObject({ status: 0 })
})

test('an npm that leaves another node behind is reported', async () => {
  const clone = createClone()
  clone.npmDoes(
    `${installs} && rm node_modules/.bin/node && printf '#!/bin/sh\\necho v1.2.3' > node_modules/.bin/node && chmod +x node_modules/.bin/node`,
  )
  const ended = await clone.run()
  expect(ended.status).toBe(1)
  expect(ended.stderr).toContain(`node_modules/.bin/node is v1.2.3, not v${nodeVersion}`)
  expect(existsSync(join(clone.folder, 'node_modules/.tributary-install'))).toBe(false)
})

test('of two that start at once one installs and the other waits', async () => {
  const clone = createClone()
  clone.npmDoes(`for i in $(seq 400); do [ -e waited ] && break; sleep 0.05; done\n${installs}`)
  const letNpmGoOn = (stderr: string): void => {
    if (stderr.includes('waiting for another install')) writeFileSync(join(clone.folder, 'waited'), '')
  }
  const ended = await Promise.all([clone.run(letNpmGoOn), clone.run(letNpmGoOn)])
  expect(ended.map(({ status }) => status)).toEqual([0, 0])
  expect(existsSync(join(clone.folder, 'waited'))).toBe(true)
  expect(clone.npmCalls()).toHaveLength(1)
})

test('the lock of an install that died is taken over', async () => {
  const clone = createClone()
  const lock = join(clone.folder, '.install.lock')
  writeFileSync(lock, '1\n')
  utimesSync(lock, new Date(0), new Date(0))
  expect(await clone.run()).toMatchObject({ status: 0 })
  expect(existsSync(lock)).toBe(false)
})
