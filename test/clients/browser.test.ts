/** The client as it is packed, installed by its name: in Node, for TypeScript, and in a page of Chromium with a wallet that knows nothing of this chain. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { keccak256 } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { type Devnet, startDevnet } from '../e2e/devnet.ts'
import { devnetAccount, lower } from '../e2e/stage.ts'
import { loadTool, runProgram, toolBinary } from './tools.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const BIN = join(ROOT, 'node_modules', '.bin')
const PROGRAM_MAX_MS = 180_000
/** Where systems have the browser. Debian's package is `chromium`. */
const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

/** What is used here of playwright-core. */
type Page = {
  on(event: 'pageerror', hear: (error: Error) => void): void
  goto(url: string): Promise<unknown>
  evaluate<T>(script: string): Promise<T>
}
type Playwright = {
  readonly chromium: {
    launch(options: { executablePath: string; args: readonly string[] }): Promise<{ newPage(): Promise<Page>; close(): Promise<void> }>
  }
}

let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-package-'))
  await installPacked()
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('Node imports the client by its name', async () => {
  const script = `const { defineTributaryChain, tributaryActions } = await import('tributary/client')
    console.log(defineTributaryChain({ id: 7, rpcUrl: 'http://localhost' }).nativeCurrency.symbol, typeof tributaryActions)
    console.log(Object.keys(await import('tributary/l1Actions')), Object.keys(await import('tributary/settlementActions')).length > 1)`
  const printed = await runProgram(process.execPath, ['--input-type=module', '--eval', script], { cwd: folder, maxMs: PROGRAM_MAX_MS })
  expect(printed.trim().split('\n')).toEqual(['OPEN function', expect.stringMatching(/tributaryL1Actions.* true$/)])
})

test.each([
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
])('TypeScript knows the types of the client, and what is wrong (%s)', async (module, moduleResolution) => {
  const source = (datanetId: string) => `import { http, createClient } from 'viem'
    import { defineTributaryChain, tributaryActions, type Datanet } from 'tributary/client'
    const client = createClient({ chain: defineTributaryChain({ id: 7, rpcUrl: 'http://localhost' }), transport: http() }).extend(tributaryActions())
    export const found: Promise<Datanet | undefined> = client.getDatanet({ datanetId: ${datanetId} })\n`
  writeFileSync(join(folder, 'good.ts'), source('1'))
  writeFileSync(join(folder, 'bad.ts'), source("'one'"))
  const args = ['--noEmit', '--ignoreConfig', '--strict', '--skipLibCheck', '--types', '', '--lib', 'es2024,dom', '--target', 'es2024']
  const check = (file: string) =>
    runProgram(join(BIN, 'tsc'), [...args, '--module', module, '--moduleResolution', moduleResolution, file], {
      cwd: folder,
      maxMs: PROGRAM_MAX_MS,
    })
  expect(await check('good.ts')).toBe('')
  await expect(check('bad.ts')).rejects.toThrow("Type 'string' is not assignable to type 'number'")
})

test('a page signs native transactions and sends value with a wallet that it finds', async () => {
  const server = await servePage()
  const origin = `http://127.0.0.1:${portOf(server)}`
  let devnet: Devnet | undefined
  const browser = await (await loadTool<Playwright>('playwright-core')).chromium.launch({
    executablePath: chromiumPath(),
    args: ['--no-sandbox'],
  })
  try {
    devnet = await startDevnet(['--rpc-origins', origin])
    const { rpc, chainId } = devnet.ready()
    const page = await browser.newPage()
    const errors: string[] = []
    page.on('pageerror', ({ message }) => errors.push(message))
    await page.goto(`${origin}/?${new URLSearchParams({ rpc, key: DEVNET_KEYS[3] ?? '' })}`)
    const result = await page.evaluate<string>(`play(${JSON.stringify({ rpc, chainId })})`)
    const asked = await page.evaluate<readonly { readonly primaryType?: string }[]>('walletAsked')
    expect(errors).toEqual([])

    const me = lower(devnetAccount(3).address)
    expect(JSON.parse(result)).toMatchObject({
      wallet: 'Test wallet',
      statuses: [
        ['success', '0x51'],
        ['success', '0x52'],
        ['success', 'eip1559'],
      ],
      upload: { datanetId: 1, uploadIndex: 0, uploader: me, contentRoot: keccak256('0x01'), recordCount: 3 },
      refused: { name: 'TributaryError', code: 'badRecordCount' },
      received: '7',
    })
    // What the wallet shows its owner before it signs.
    expect(asked.slice(0, 3)).toMatchObject([
      { primaryType: 'DatanetCreate', message: { nonce: '0', name: 'poems', licence: 3 } },
      { primaryType: 'DatanetUpload', message: { nonce: '1', datanetId: 1, recordCount: 3 } },
      { from: devnetAccount(3).address, value: '0x7' },
    ])
  } finally {
    await browser.close()
    await devnet?.close()
    server.close()
  }
})

/** What `npm install` of the packed package makes, without asking a registry: the package, and what it says it depends on. */
async function installPacked(): Promise<void> {
  const env = { PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) }
  await runProgram('npm', ['pack', '--pack-destination', folder], { cwd: ROOT, env, maxMs: PROGRAM_MAX_MS })
  const { version, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  await runProgram('tar', ['-xzf', `tributary-${version}.tgz`], { cwd: folder, maxMs: PROGRAM_MAX_MS })
  const modules = join(folder, 'node_modules')
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  }
  symlinkSync(join(folder, 'package'), join(modules, 'tributary'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
}

/** Serves a page with the wallet and the page's script, each bundled for browsers. */
async function servePage(): Promise<Server> {
  const bundles = new Map<string, Uint8Array>()
  for (const file of [new URL('./tools/browser/wallet.mjs', import.meta.url), new URL('./tools/browser/page.mjs', import.meta.url)]) {
    const name = file.pathname.split('/').at(-1) ?? ''
    writeFileSync(join(folder, name), readFileSync(file))
    const args = [name, '--bundle', '--format=esm', '--platform=browser', `--outfile=out/${name}`, '--log-level=warning']
    await runProgram(toolBinary('esbuild'), args, { cwd: folder, maxMs: PROGRAM_MAX_MS })
    bundles.set(`/${name}`, readFileSync(join(folder, 'out', name)))
  }
  const html = `<!doctype html><title>page</title><script>
    const { rpc, key } = Object.fromEntries(new URLSearchParams(location.search))
    globalThis.walletSetup = { rpc, key }
    </script><script type="module" src="/wallet.mjs"></script><script type="module" src="/page.mjs"></script>`
  const server = createServer(({ url = '/' }, response) => {
    const bundle = bundles.get(url)
    response.writeHead(200, { 'content-type': bundle ? 'text/javascript' : 'text/html' }).end(bundle ?? html)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function chromiumPath(): string {
  const folders = (process.env.PATH ?? '').split(delimiter)
  const found = CHROMIUM.flatMap((name) => folders.map((path) => join(path, name))).find((path) => existsSync(path))
  if (found === undefined) throw new Error('there is no Chromium: apt-get install chromium')
  return found
}
