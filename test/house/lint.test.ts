/** biome.json refuses what STYLE.md forbids. Each case is a file in a folder of its own, linted with our configuration. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** File, what stands in it, and the rules that it breaks. */
const cases: readonly (readonly [path: string, text: string, breaks: readonly string[]])[] = [
  ['rpc/any.ts', 'export const a = (b: any) => b', ['noExplicitAny']],
  ['rpc/bang.ts', 'export const a = (b: { c?: number }) => b.c!', ['noNonNullAssertion']],
  ['rpc/console.ts', 'console.log(1)', ['noConsole']],
  ['rpc/cycle.ts', "import { b } from './cycleBack.ts'\nexport const a = (): number => b()", ['noImportCycles']],
  ['rpc/cycleBack.ts', "import { a } from './cycle.ts'\nexport const b = (): number => a()", ['noImportCycles']],
  ['rpc/default.ts', 'export default 1', ['noDefaultExport']],
  ['rpc/enum.ts', 'export enum A { B }', ['noEnum']],
  ['rpc/floating.ts', 'const f = async (): Promise<number> => 1\nexport const g = (): void => {\n  f()\n}', ['noFloatingPromises']],
  ['rpc/interface.ts', 'export interface A { b: number }', ['useConsistentTypeDefinitions']],
  ['rpc/parameter.ts', 'export class A extends Error { constructor(readonly b: number) { super() } }', ['noParameterProperties']],
  ['rpc/reexport.ts', "export * from './any.ts'", ['noBarrelFile', 'noReExportAll']],
  ['rpc/throw.ts', "export const f = (): never => {\n  throw 'no'\n}", ['useThrowOnlyError']],
  ['rpc/type.ts', "import { Hex } from 'viem'\nexport type A = Hex", ['useImportType']],
  ['rpc/unused.ts', "import { keccak256 } from 'viem'", ['noUnusedImports']],
  ['rpc/clock.ts', 'export const now = (): number => Date.now()', []],
  ['consensus/clock.ts', 'export const now = (): number => Date.now()', ['noRestrictedGlobals']],
  ['settlement/l1.ts', 'export const now = (): number => Date.now()', []],
  ['settlement/post.ts', "import { readFileSync } from 'node:fs'\nexport const read = readFileSync", ['noNodejsModules']],
  ['node/main.ts', 'console.log(1)', []],
  ['settlement/abi.ts', 'export const abi: any = []', []],
]

type Diagnostic = { readonly category: string; readonly location: { readonly path: string } }
let found: readonly Diagnostic[] = []
const folder = mkdtempSync(join(tmpdir(), 'lint-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

beforeAll(() => {
  for (const file of ['biome.json', 'package.json', '.gitignore']) copyFileSync(join(root, file), join(folder, file))
  for (const [path, text] of cases) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), `${text}\n`)
  }
  const args = ['lint', '--reporter=json', '--max-diagnostics=200', '--diagnostic-level=warn']
  const { stdout } = spawnSync(join(root, 'node_modules/.bin/biome'), args, { cwd: folder, encoding: 'utf8' })
  found = JSON.parse(stdout).diagnostics
})

for (const [path, , breaks] of cases) {
  test(`${path} breaks ${breaks.join(' and ') || 'nothing'}`, () => {
    const rules = found.filter(({ location }) => location.path.endsWith(path)).map(({ category }) => category.split('/').at(-1))
    expect([...new Set(rules)].toSorted()).toEqual(breaks)
  })
}
