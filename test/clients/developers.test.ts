/** What developers of contracts use, as it is, against a running node: Hardhat 3 with a fork of the chain, Foundry's forge and cast. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import solc from 'solc'
import { encodeErrorResult, type Hex, parseAbi } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { DEPLOYMENT_PROXY, DOOR } from '../../genesis/params.ts'
import { type Devnet, startDevnet } from '../e2e/devnet.ts'
import { l2Client, lower, until } from '../e2e/stage.ts'
import { createProject, runProgram, toolBinary } from './tools.ts'

const PROGRAM_MAX_MS = 240_000
const FORGE = fileURLToPath(new URL('../../node_modules/.bin/forge', import.meta.url))
const CAST = fileURLToPath(new URL('../../node_modules/.bin/cast', import.meta.url))
const STRANGER: Hex = '0x00000000000000000000000000000000000c0de7'

let devnet: Devnet
const folders: string[] = []

beforeAll(async () => {
  devnet = await startDevnet()
})

afterAll(async () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  await devnet.close()
})

function project(files: Readonly<Record<string, URL>>): string {
  const folder = createProject(files)
  folders.push(folder)
  return folder
}

test('Hardhat compiles, deploys, calls, reads the past, says why a call is refused, and plays on in a fork', async () => {
  const cwd = project({
    'hardhat.config.js': new URL('./tools/hardhat/config.mjs', import.meta.url),
    'play.mjs': new URL('./tools/hardhat/play.mjs', import.meta.url),
    'contracts/Token.sol': new URL('./tools/hardhat/Token.sol', import.meta.url),
  })
  const { rpc, chainId } = devnet.ready()
  const compiler = { version: solc.version().split('+')[0], path: createRequire(import.meta.url).resolve('solc/soljson.js') }
  const env = {
    HARDHAT_STAGE: JSON.stringify({ rpc, chainId, keys: DEVNET_KEYS.slice(0, 2), compiler }),
    HARDHAT_DISABLE_TELEMETRY_PROMPT: 'true',
  }
  const printed = await runProgram(toolBinary('hardhat'), ['run', 'play.mjs'], { cwd, env, maxMs: PROGRAM_MAX_MS })
  const data = encodeErrorResult({ abi: parseAbi(['error TooMuch(uint256 asked)']), args: [1_001n] })
  expect(JSON.parse(printed.trim().split('\n').at(-1) ?? '')).toEqual({
    statuses: ['0x1', '0x1', '0x1', '0x1'],
    logs: [true],
    refused: { code: 3, message: 'execution reverted', data },
    held: [0, 7],
    heldInFork: [10, 7],
    paid: ['0x0', '0x5'],
  })
})

type Broadcast = {
  readonly transactions: readonly { readonly hash: Hex; readonly transactionType: string; readonly contractAddress: Hex }[]
  readonly receipts: readonly { readonly transactionHash: Hex; readonly status: Hex; readonly logs: readonly unknown[] }[]
}

test('forge sends a whole script at once, and has a receipt of each of its transactions', async () => {
  const cwd = project({ 'script/Play.sol': new URL('./forge/Play.sol', import.meta.url) })
  mkdirSync(join(cwd, 'out'))
  const { rpc, chainId } = devnet.ready()
  const env = {
    ...{ FOUNDRY_SRC: 'script', FOUNDRY_SCRIPT: 'script', FOUNDRY_LIBS: '[]', FOUNDRY_OUT: 'out', FOUNDRY_CACHE_PATH: 'cache' },
    FOUNDRY_SOLC: fileURLToPath(new URL('./forge/solc.mjs', import.meta.url)),
    FOUNDRY_EVM_VERSION: 'prague',
    PLAYER: DEVNET_KEYS[2] ?? '',
  }
  const args = ['script', 'script/Play.sol:Play', '--rpc-url', rpc, '--broadcast']
  expect(await runProgram(FORGE, args, { cwd, env, maxMs: PROGRAM_MAX_MS })).toContain('ONCHAIN EXECUTION COMPLETE & SUCCESSFUL')
  const file = join(cwd, 'broadcast', 'Play.sol', String(chainId), 'run-latest.json')
  const { transactions, receipts }: Broadcast = JSON.parse(readFileSync(file, 'utf8'))
  expect(receipts.map(({ status, logs }) => [status, logs.length])).toEqual([
    ...Array.from({ length: 2 }, () => ['0x1', 0]),
    ...Array.from({ length: 17 }, () => ['0x1', 1]),
    ['0x1', 0],
  ])

  const client = l2Client(rpc, 2)
  const abi = parseAbi(['function number() view returns (uint256)'])
  const [plain, salted] = transactions.map(({ contractAddress }) => contractAddress)
  expect(await client.readContract({ address: plain ?? '0x', abi, functionName: 'number' })).toBe(17n)
  expect(await client.readContract({ address: salted ?? '0x', abi, functionName: 'number' })).toBe(3n)
  expect(await client.getTransaction({ hash: transactions[1]?.hash ?? '0x' })).toMatchObject({ to: DEPLOYMENT_PROXY })
  expect([await client.getBalance({ address: salted ?? '0x' }), await client.getBalance({ address: STRANGER })]).toEqual([3n, 1n])
  expect(await client.getTransactionCount({ address: client.account.address })).toBe(20)
})

test('cast calls a door, reads it, and runs a transaction of the past again', async () => {
  const { rpc } = devnet.ready()
  const cast = (...args: string[]) => runProgram(CAST, [...args, '--rpc-url', rpc], { cwd: folders[0] ?? '.', maxMs: PROGRAM_MAX_MS })
  const client = l2Client(rpc, 3)
  const create = [
    'create(string,bytes32,uint32,address,uint8,uint96)',
    'poems',
    `0x${'00'.repeat(32)}`,
    '3',
    client.account.address,
    '0',
    '0',
  ]
  const sent = JSON.parse(await cast('send', '--json', '--private-key', DEVNET_KEYS[3] ?? '', DOOR.datanets, ...create))
  expect(sent).toMatchObject({ status: '0x1', to: DOOR.datanets, logs: [{ address: DOOR.datanets }] })
  const datanetId = BigInt(sent.logs[0].topics[1])
  expect(await client.getDatanet({ datanetId: Number(datanetId) })).toMatchObject({ name: 'poems', owner: lower(client.account.address) })
  // cast reads the block with its transactions, of which it knows Ethereum's types alone: one in which a new L1 block came first is no use to it.
  const moved = await until('a block with nothing but a transfer', async () => {
    const { blockNumber, transactionHash } = await client.waitForTransactionReceipt({
      hash: await client.sendTransaction({ to: STRANGER, value: 1n }),
    })
    return (await client.getBlockTransactionCount({ blockNumber })) === 1 ? transactionHash : undefined
  })
  expect(await cast('run', '--quick', moved)).toMatch(/Transaction successfully executed[\s\S]*Gas used: 21000/)
})
