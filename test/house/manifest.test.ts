/** What package.json and package-lock.json must say so that the first command in a fresh clone works with npm 10 and npm 11. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

type Package = {
  readonly dependencies?: Record<string, string>
  readonly devDependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
  readonly hasInstallScript?: boolean
}
type Manifest = Package & { readonly scripts: Record<string, string>; readonly allowScripts: Record<string, boolean> }

const manifest: Manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
const lock: { readonly packages: Record<string, Package> } = JSON.parse(
  readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8'),
)

test('every script installs first, and then runs the node of node_modules in place of the shell', () => {
  const wrong = Object.values(manifest.scripts).filter(
    (script) => !/^node install\.mjs && (.* && )?exec (env node [\w/]+\.ts|vitest|tsc|biome)/.test(script),
  )
  expect(wrong).toEqual([])
})

test('npm 11 may run the install scripts that we need', () => {
  const names = Object.entries(lock.packages).flatMap(([path, { hasInstallScript }]) =>
    hasInstallScript ? [path.replace(/^.*node_modules\//, '')] : [],
  )
  expect(names.filter((name) => !manifest.allowScripts[name])).toEqual([])
})

test('the lock file is of this package.json', () => {
  const root = lock.packages['']
  expect({ dependencies: root?.dependencies, devDependencies: root?.devDependencies }).toEqual({
    dependencies: manifest.dependencies,
    devDependencies: manifest.devDependencies,
  })
})

test('the lock file holds every optional package of every platform: without one of them `npm ci` refuses the whole lock', () => {
  const missing = Object.entries(lock.packages).flatMap(([path, { optionalDependencies }]) =>
    Object.entries(optionalDependencies ?? {}).filter(
      ([name]) => lock.packages[`node_modules/${name}`] === undefined && lock.packages[`${path}/node_modules/${name}`] === undefined,
    ),
  )
  expect(missing).toEqual([])
})

test('versions are pinned', () => {
  const all = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })
  expect(all.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
})
