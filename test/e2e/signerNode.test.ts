/**
 * A validator whose key is in a signer, as processes: it makes blocks, waits while the signer is dead, and goes on when it is back. And the mistake that
 * a signer is there for: a copy of the validator is started beside it, with the same signer. One chain comes out of it.
 */
import type { ChildProcess } from 'node:child_process'
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { assert } from '../../execution/assert.ts'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { createChildren, end } from './child.ts'
import { type Devnet, runCommand, startDevnet } from './devnet.ts'
import { ask, type RuledL1, startL1, until } from './stage.ts'

const COMMAND_MAX_MS = 60_000
const folder = mkdtempSync(join(tmpdir(), 'tributary-signer-node-'))
const signerDir = join(folder, 'signer')
const url = `unix:${join(folder, 'socket')}`
const nodeDir = join(folder, 'node')
const children = createChildren()
let l1: RuledL1
let devnet: Devnet
let signer: ChildProcess
let node: string

beforeAll(async () => {
  l1 = await startL1()
  devnet = await startDevnet(['--l1', l1.url, '--da', 'none'])
  const { chainId, rpc, dataDir } = devnet.ready()
  await until('blocks', async () => ((await height(rpc)) > 2 ? true : undefined))
  await devnet.stop()
  // The key moves: out of the validator's folder, under a password, into the signer's.
  cpSync(dataDir, nodeDir, { recursive: true })
  renameSync(join(nodeDir, 'validator.key'), join(folder, 'validator.key'))
  writeFileSync(join(folder, 'password'), 'correct horse battery')
  const words = ['--data-dir', signerDir, '--password-file', join(folder, 'password')]
  const taken = await runCommand(['keys', 'import', join(folder, 'validator.key'), '--kdf', 'pbkdf2', ...words], COMMAND_MAX_MS)
  expect(taken.code, taken.stderr).toBe(0)
  cpSync(join(nodeDir, 'genesis.json'), join(signerDir, 'genesis.json'))
  signer = await startSigner()
  node = await startNode(nodeDir)
  expect(chainId).toBe(Number((await ask(node, 'eth_chainId')).result))
})

afterAll(async () => {
  await children.close()
  await devnet?.close()
  await l1?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function startSigner(): Promise<ChildProcess> {
  const words = ['--data-dir', signerDir, '--listen', url, '--password-file', join(folder, 'password')]
  return (await children.start(['signer', ...words])).child
}

async function startNode(dataDir: string): Promise<string> {
  const words = ['--l1', l1.url, '--data-dir', dataDir, '--da', 'none', '--rpc-port', '0', '--p2p-host', '127.0.0.1', '--p2p-port', '0']
  const { ready } = await children.start(['node', ...words, '--signer', url, '--signer-token-file', join(signerDir, 'signer.token')])
  assert(typeof ready.rpc === 'string')
  return ready.rpc
}

async function height(rpc: string): Promise<number> {
  return Number((await ask(rpc, 'eth_blockNumber')).result)
}

async function grow(rpc: string, blocks: number): Promise<void> {
  const from = await height(rpc)
  await until(`${blocks} blocks after ${from}`, async () => ((await height(rpc)) >= from + blocks ? true : undefined), 60_000)
}

test('a validator whose key is elsewhere makes blocks; it lives while its signer is dead, and goes on when it is back', async () => {
  await grow(node, 3)
  await end(signer, 'SIGKILL')
  const stalled = await until('no block any more', async () => {
    const before = await height(node)
    await pause(3 * DEVNET_PARAMS.maxBlockIntervalMs)
    return (await height(node)) === before ? before : undefined
  })
  signer = await startSigner()
  await until('blocks again', async () => ((await height(node)) > stalled + 2 ? true : undefined), 60_000)
})

test('two nodes with one signer: at each height one block, on both', async () => {
  await grow(node, 1)
  const copyDir = join(folder, 'copy')
  // A copy of a running store is no store: the validator is stopped for it, and both go on from the same head.
  await children.close()
  cpSync(nodeDir, copyDir, { recursive: true })
  signer = await startSigner()
  const rpcs = await Promise.all([startNode(nodeDir), startNode(copyDir)])
  const from = Math.min(...(await Promise.all(rpcs.map(height))))
  await until('blocks', async () => (Math.max(...(await Promise.all(rpcs.map(height)))) >= from + 5 ? true : undefined), 60_000)
  const common = Math.min(...(await Promise.all(rpcs.map(height))))
  for (let number = Math.max(1, from - 1); number <= common; number++) {
    const hashes = await Promise.all(
      rpcs.map(
        async (rpc) => ((await ask(rpc, 'eth_getBlockByNumber', [`0x${number.toString(16)}`, false])).result as { hash: string }).hash,
      ),
    )
    expect(new Set(hashes).size, `one block at ${number}`).toBe(1)
  }
  // One of them found its votes taken: it stands where the other went on, and says why.
  expect((await Promise.all(rpcs.map(height))).sort((a, b) => a - b)[0]).toBeLessThan(from + 5)
})
