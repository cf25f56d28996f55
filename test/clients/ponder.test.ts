/** Ponder, an indexer, follows a node from block 0 through live blocks: what it has in its tables is what the chain has. */
import { rmSync } from 'node:fs'
import { encodeFunctionData, getAddress, type Hex, parseAbi, parseEther, zeroAddress } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callerBytecode, openTokenBytecode } from '../../contracts/artifacts.ts'
import { datanetsDoorAbi, ledgerDoorAbi } from '../../execution/native/doorAbi.ts'
import { DOOR, OPEN_SUPPLY_WEI } from '../../genesis/params.ts'
import { openTokenAbi } from '../../settlement/abi.ts'
import { type Devnet, freePort, startDevnet } from '../e2e/devnet.ts'
import { type L2Client, l2Client, lower, until } from '../e2e/stage.ts'
import { createProject, type Program, startProgram, toolBinary } from './tools.ts'

const STRANGER: Hex = '0x00000000000000000000000000000000000c0de9'
/** Ponder takes what is this far behind the head as history, and follows the rest. */
const PONDER_LAG_BLOCKS = 30n
const PONDER_WAIT_MAX_MS = 240_000
const CALLER_ABI = parseAbi(['function call(address to, bytes data) payable returns (bytes)'])

let devnet: Devnet
let client: L2Client
let token: { readonly address: Hex; readonly abi: typeof openTokenAbi }
let caller: Hex
/** What the token told when it was deployed. */
let minted: Heard
let folder: string | undefined
let ponder: Program | undefined
let door: string

beforeAll(async () => {
  devnet = await startDevnet()
  client = l2Client(devnet.ready().rpc, 0)
  const [deployed, other] = await Promise.all([
    client.deployContract({ abi: openTokenAbi, bytecode: openTokenBytecode, args: [client.account.address], nonce: 0 }).then(included),
    client.deployContract({ abi: CALLER_ABI, bytecode: callerBytecode, nonce: 1 }).then(included),
  ])
  token = { address: deployed.contractAddress ?? '0x', abi: openTokenAbi }
  caller = other.contractAddress ?? '0x'
  const facts = { from: zeroAddress, to: lower(client.account.address), value: OPEN_SUPPLY_WEI.toString(), held: '0' }
  minted = { what: 'token:Transfer', blockNumber: deployed.blockNumber, hash: deployed.transactionHash, facts }
})

afterAll(async () => {
  await ponder?.stop()
  if (folder) rmSync(folder, { recursive: true, force: true })
  await devnet.close()
})

test('an indexer has every event, call and block of history and of what comes after, as the chain has them', {
  timeout: 600_000,
}, async () => {
  const past = await play(0n)
  await passBlocks(past.blockNumber + PONDER_LAG_BLOCKS + 1n)
  await startPonder()
  await until(
    'the history in its tables',
    async () => ((await heard()).length >= past.heard.length + 1 ? true : undefined),
    PONDER_WAIT_MAX_MS,
  )
  const live = await play(8n)
  await until('the last block', async () => ((await highestBlock()) >= live.blockNumber ? true : undefined), PONDER_WAIT_MAX_MS)

  const found = await heard()
  expect(found.filter(({ blockNumber }) => blockNumber <= past.blockNumber)).toEqual([minted, ...past.heard])
  expect(found.filter(({ blockNumber }) => blockNumber > past.blockNumber)).toEqual(live.heard)
  const blocks = await blocksIndexed(Number(live.blockNumber) + 1)
  const numbers = Array.from({ length: blocks.length }, (_, i) => BigInt(i))
  expect(blocks).toHaveLength(Number(live.blockNumber) + 1)
  const chain = await Promise.all(numbers.map((blockNumber) => client.getBlock({ blockNumber })))
  expect(blocks).toEqual(chain.map(({ number, hash, timestamp }) => ({ number, hash, timestamp })))
  // No error, and no method for which it had to go another way.
  expect(ponder?.output()).not.toMatch(/"level":(50|60)|switching/)
})

type Heard = { readonly what: string; readonly blockNumber: bigint; readonly hash: Hex; readonly facts: unknown }

/**
 * One of each: a native transfer, a datanet, a contract's event, the same called by a contract, plain value, and value that a contract sends.
 * Answers what is to be heard of them; the stranger held `heldBefore` of the token until then.
 */
async function play(heldBefore: bigint): Promise<{ readonly blockNumber: bigint; readonly heard: readonly Heard[] }> {
  const [to, from] = [STRANGER, lower(client.account.address)]
  const datanetId = heldBefore === 0n ? 1 : 2
  const transfer = encodeFunctionData({ abi: openTokenAbi, functionName: 'transfer', args: [STRANGER, 3n] })
  const call = { address: caller, abi: CALLER_ABI, functionName: 'call' } as const
  const send = { ...token, functionName: 'transfer' } as const
  const heard: Heard[] = []
  let blockNumber = 0n
  const step = async (sent: Promise<Hex>, whatIsHeard: (gasUsed: bigint) => Readonly<Record<string, unknown>>) => {
    const { transactionHash: hash, blockNumber: at, gasUsed, status } = await included(await sent)
    expect(status).toBe('success')
    blockNumber = at
    heard.push(...Object.entries(whatIsHeard(gasUsed)).map(([what, facts]) => ({ what, blockNumber, hash, facts })))
  }

  await step(client.transfer({ to, amount: parseEther('1') }), (gasUsed) => ({
    'ledger:Transferred': { from, to, kind: 0, amount: parseEther('1').toString(), gasUsed: gasUsed.toString(), status: 'success' },
  }))
  await step(client.createDatanet({ name: 'poems', licence: 3 }), () => ({
    'datanets:DatanetCreated': { datanetId, owner: from, curator: from, licence: 3, name: 'poems' },
  }))
  await step(client.writeContract({ ...send, args: [to, 5n] }), () => ({
    'token:Transfer': { from, to, value: '5', held: String(heldBefore + 5n) },
    'token.transfer()': { args: [getAddress(to), '5'], from },
  }))
  await step(client.writeContract({ ...send, args: [caller, 3n] }), () => ({
    'token:Transfer': { from, to: lower(caller), value: '3', held: String(heldBefore + 5n) },
    'token.transfer()': { args: [getAddress(caller), '3'], from },
  }))
  await step(client.writeContract({ ...call, args: [token.address, transfer] }), () => ({
    'token:Transfer': { from: lower(caller), to, value: '3', held: String(heldBefore + 8n) },
    'token.transfer()': { args: [getAddress(to), '3'], from: lower(caller) },
  }))
  await step(client.sendTransaction({ to, value: 7n }), () => ({
    'stranger:transaction:to': { value: '7' },
    'stranger:transfer:to': { from, to, value: '7' },
  }))
  await step(client.writeContract({ ...call, args: [to, '0x'], value: 9n }), () => ({
    'stranger:transfer:to': { from: lower(caller), to, value: '9' },
  }))
  return { blockNumber, heard }
}

function included(hash: Hex) {
  return client.waitForTransactionReceipt({ hash })
}

/** Has the chain reach a block, with transactions, between which it does not wait as it does when it is idle. */
async function passBlocks(number: bigint): Promise<void> {
  const other = l2Client(devnet.ready().rpc, 1)
  while ((await other.getBlockNumber()) < number) await included(await other.sendTransaction({ to: other.account.address, value: 1n }))
}

/** Ponder wants a project in a folder: its files, and what they import. */
async function startPonder(): Promise<void> {
  folder = createProject({
    'ponder.config.ts': new URL('./tools/ponder/config.mjs', import.meta.url),
    'ponder.schema.ts': new URL('./tools/ponder/schema.mjs', import.meta.url),
    'src/handlers.ts': new URL('./tools/ponder/handlers.mjs', import.meta.url),
    'src/api/index.ts': new URL('./tools/ponder/answers.mjs', import.meta.url),
  })
  const { rpc, ws, chainId } = devnet.ready()
  const node = {
    rpc,
    ws,
    chainId,
    ledger: { abi: ledgerDoorAbi, address: DOOR.ledger },
    datanets: { abi: datanetsDoorAbi, address: DOOR.datanets },
    token,
    stranger: STRANGER,
  }
  const port = await freePort()
  door = `http://127.0.0.1:${port}/graphql`
  const args = ['start', '--schema', 'heard', '--hostname', '127.0.0.1', '--port', String(port), '--log-format', 'json']
  const env = { INDEXED: JSON.stringify(node), PONDER_TELEMETRY_DISABLED: '1' }
  ponder = startProgram(toolBinary('ponder'), args, { cwd: folder, env })
  await until('an answer', () => fetch(door).then(() => true, notYet), PONDER_WAIT_MAX_MS)
}

/** While Ponder lives, that it cannot be reached is to be waited for. */
function notYet(error: Error): undefined {
  if (ponder?.exitCode() === undefined) return undefined
  throw new Error(`Ponder ended:\n${ponder.output().slice(-8_000)}`, { cause: error })
}

async function heard(): Promise<readonly Heard[]> {
  const { heards } = await ask('{ heards(limit: 1000, orderBy: "id") { items { what blockNumber hash facts } } }')
  return heards.items.map(({ what, blockNumber, hash, facts }) => ({
    what,
    hash,
    blockNumber: BigInt(blockNumber),
    facts: JSON.parse(facts),
  }))
}

async function highestBlock(): Promise<bigint> {
  const { blockss } = await ask('{ blockss(limit: 1, orderBy: "number", orderDirection: "desc") { items { number } } }')
  return BigInt(blockss.items[0]?.number ?? -1)
}

async function blocksIndexed(limit: number) {
  const { blockss } = await ask(`{ blockss(limit: ${limit}, orderBy: "number") { items { number hash timestamp } } }`)
  return blockss.items.map(({ number, hash, timestamp }) => ({ number: BigInt(number), hash, timestamp: BigInt(timestamp) }))
}

type Rows<Columns extends string> = { readonly items: readonly (Readonly<Record<Columns, string>> & { readonly hash: Hex })[] }

async function ask(query: string) {
  const response = await fetch(door, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }) })
  const { data, errors } = (await response.json()) as {
    data: { heards: Rows<'what' | 'blockNumber' | 'facts'>; blockss: Rows<'number' | 'timestamp'> }
    errors?: unknown
  }
  expect(errors).toBeUndefined()
  return data
}
