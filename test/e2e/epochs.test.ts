/**
 * A validator comes and goes, as processes: a node with a key of its own waits beside a devnet of one, is registered on L1, votes and proposes from the next
 * epoch on, leaves again, and the devnet goes on alone. L1 knows each set by a certificate of the one before, and everything is rebuilt from L1.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hex, hexToBytes } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parsePublicKey, provePossession, uncompressedKey, uncompressedSignature } from '../../consensus/bls.ts'
import { assert } from '../../execution/assert.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { loadValidatorKey, type ValidatorKey } from '../../node/keys.ts'
import { batchInboxAbi, checkpointManagerAbi, openTokenAbi, validatorRegistryAbi } from '../../settlement/abi.ts'
import { toL1Key, toL1Signature } from '../../settlement/registry.ts'
import { mined, type StageClient } from '../fakes/l1Stage.ts'
import { createChildren, end } from './child.ts'
import { jsonLines, runCommand } from './devnet.ts'
import { ask, type Stage, startStage, until } from './stage.ts'

const EPOCH_BLOCKS = 6
const FEES: Hex = '0x00000000000000000000000000000000000000fe'
const VERIFY_MAX_MS = 120_000
const WAIT_MS = 120_000

const dataDir = mkdtempSync(join(tmpdir(), 'tributary-epochs-'))
const children = createChildren()
let stage: Stage
let client: StageClient
let registry: { readonly address: Hex; readonly abi: typeof validatorRegistryAbi }
let key: ValidatorKey
let newcomer: string
let child: ChildProcess

beforeAll(async () => {
  stage = await startStage(['--epoch-blocks', String(EPOCH_BLOCKS)])
  const { l1, p2p, contracts } = stage.devnet.ready()
  client = stage.l1.client
  registry = { address: contracts.validatorRegistry, abi: validatorRegistryAbi }
  key = loadValidatorKey(dataDir, { create: true })
  const words = ['--l1', l1, '--data-dir', dataDir, '--bootstrap', p2p, '--da', 'none', '--rpc-port', '0']
  const started = await children.start(['node', ...words, '--p2p-host', '127.0.0.1', '--p2p-port', '0'])
  assert(typeof started.ready.rpc === 'string')
  newcomer = started.ready.rpc
  child = started.child
  // From now on nobody reads what it prints.
  for (const stream of [child.stdout, child.stderr]) stream?.destroy()
})

afterAll(async () => {
  await children.close()
  await stage?.close()
  rmSync(dataDir, { recursive: true, force: true })
})

type SeenBlock = { readonly number: Hex; readonly hash: Hex; readonly miner: Hex }

async function blockOf(rpc: string, number: string): Promise<SeenBlock | undefined> {
  return ((await ask(rpc, 'eth_getBlockByNumber', [number, false])).result ?? undefined) as SeenBlock | undefined
}

const heightOf = async (rpc: string) => Number((await blockOf(rpc, 'latest'))?.number ?? 0)

/** Waits for a block of an epoch from `height` on that pays its fees to the newcomer (or to somebody else). */
async function blockBy(height: number, isNewcomer: boolean): Promise<number> {
  let at = height
  return until(
    `a block after ${height} that ${isNewcomer ? 'the newcomer' : 'the first'} made`,
    async () => {
      for (; at <= (await heightOf(newcomer)); at++) {
        if (((await blockOf(newcomer, `0x${at.toString(16)}`))?.miner === FEES) === isNewcomer) return at
      }
      return undefined
    },
    WAIT_MS,
  )
}

type Members = { readonly newestEpoch: unknown; readonly members: readonly { readonly feeRecipient: Hex }[] }

/** Who is registered, and from which epoch on that is the set. */
async function registered(rpc: string): Promise<Members> {
  return (await ask(rpc, 'tributary_getRecord', ['validators', null, 'latest'])).result as Members
}

async function send(functionName: 'register' | 'requestExit', args: readonly unknown[]): Promise<void> {
  await mined(client, await client.writeContract({ ...registry, functionName, args } as never))
}

test('a node whose key is of no validator follows; registered, it votes and proposes; gone, it follows again', async () => {
  const { rpc, contracts } = stage.devnet.ready()
  await until('the newcomer follows', async () => ((await heightOf(newcomer)) > 2 ? true : undefined), WAIT_MS)
  const owner = client.account.address.toLowerCase() as Hex
  const point = parsePublicKey(key.publicKey)
  const possession = toL1Signature(provePossession(key.secret, stage.devnet.ready().chainId, owner), uncompressedSignature)
  assert(point && possession)
  const approve = { address: contracts.openToken, abi: openTokenAbi, functionName: 'approve', args: [registry.address, OPEN_WEI] } as const
  await mined(client, await client.writeContract(approve))
  await send('register', [toL1Key(uncompressedKey(point)), possession, FEES, OPEN_WEI])
  const joined = await blockBy(1, true)
  expect(joined).toBeGreaterThan(EPOCH_BLOCKS)
  await blockBy(joined, false)
  await send('requestExit', [])
  const first = await until('the ledger without the newcomer', async () => {
    const { members, newestEpoch } = await registered(rpc)
    return members.length === 1 ? Number(newestEpoch) * EPOCH_BLOCKS + 1 : undefined
  })
  const left = first + 3
  await until('an epoch without the newcomer', async () => ((await heightOf(rpc)) >= left ? true : undefined), WAIT_MS)
  for (let at = first; at <= left; at++) expect((await blockOf(rpc, `0x${at.toString(16)}`))?.miner).not.toBe(FEES)
  await until('the newcomer follows again', async () => ((await heightOf(newcomer)) >= left ? true : undefined), WAIT_MS)
  for (const height of [joined, left]) {
    const at = `0x${height.toString(16)}`
    expect((await blockOf(newcomer, at))?.hash).toBe((await blockOf(rpc, at))?.hash)
  }
})

test('the ledger tells who is registered, and the sets of epochs', async () => {
  const { rpc } = stage.devnet.ready()
  const { members, newestEpoch } = await registered(rpc)
  expect(members).toHaveLength(1)
  const record = await ask(rpc, 'tributary_getRecord', ['epochs', { epoch: newestEpoch }, 'latest'])
  expect((record.result as Members).members).toEqual(members)
  const first = (await ask(rpc, 'tributary_getRecord', ['epochs', { epoch: 0 }, 'latest'])).result as Members
  expect(first.members).toEqual(members)
})

test('a node whose output nobody read all the while ends in order', async () => {
  expect(await end(child, 'SIGTERM')).toBe(0)
})

test('L1 knows the sets, and everything is rebuilt from it', async () => {
  const { l1, rpc } = stage.devnet.ready()
  const last = await heightOf(rpc)
  await until(
    'the epochs on L1',
    async () =>
      (await client.readContract({ ...registry, functionName: 'newestEpoch' })) >= Math.floor(last / EPOCH_BLOCKS) ? true : undefined,
    WAIT_MS,
  )
  const newest = await client.readContract({ ...registry, functionName: 'newestEpoch' })
  const counts: number[] = []
  for (let epoch = 0; epoch <= newest; epoch++) {
    const [, entries] = await client.readContract({ ...registry, functionName: 'setOf', args: [epoch] })
    counts.push(hexToBytes(entries).length / 152)
  }
  expect(counts.at(0)).toBe(1)
  expect(counts).toContain(2)
  expect(counts.at(-1)).toBe(1)
  await expectSettledInEach(counts)
  const { code, stdout } = await runCommand(['verify', '--l1', l1, '--rpc', rpc, '--json'], VERIFY_MAX_MS)
  expect(code, stdout).toBe(0)
  expect(jsonLines(stdout).at(-1)).toMatchObject({ ok: true })
})

/** Under each of the three sets that followed one another (one validator, two, one again) batches and checkpoints ended. */
async function expectSettledInEach(counts: readonly number[]): Promise<void> {
  const { inbox, checkpointManager } = stage.devnet.ready().contracts
  const setsOf = (lastBlocks: readonly (bigint | undefined)[]) => {
    // Block 0 is of no epoch's: the first has the blocks from 1 on.
    const sizes = lastBlocks.map((block) => counts[Math.floor((Number(block ?? 1n) - 1) / EPOCH_BLOCKS)] ?? 1)
    return sizes.filter((size, i) => size !== sizes[i - 1])
  }
  await until(
    'batches and checkpoints under each set',
    async () => {
      const manager = { address: checkpointManager, abi: checkpointManagerAbi } as const
      const posted = await client.getContractEvents({ address: inbox, abi: batchInboxAbi, eventName: 'BatchPosted', fromBlock: 0n })
      const submitted = await client.getContractEvents({ ...manager, eventName: 'CheckpointSubmitted', fromBlock: 0n })
      const sets = [setsOf(posted.map(({ args }) => args.header?.lastBlock)), setsOf(submitted.map(({ args }) => args.lastBlock))]
      return sets.every((sizes) => sizes.join() === '1,2,1') ? true : undefined
    },
    WAIT_MS,
  )
}
