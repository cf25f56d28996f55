/**
 * What becomes of a validator's offence, as processes: the key of one of four runs twice, on two folders, each with a log and a guard that know nothing of
 * the other. In its turn it says two things; the others tell of it in a block, its key is in no set from the next epoch on, L1 hears of it through that
 * block and slashes, and three go on.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeEventLog, decodeFunctionData, type Hex, hexToBytes, parseAbi } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decodeEvidence } from '../../consensus/evidence.ts'
import { assert } from '../../execution/assert.ts'
import { validatorConvictedEvent } from '../../execution/report.ts'
import { decodeGenesis, type Genesis } from '../../genesis/genesis.ts'
import { SYSTEM_SENDER, VALIDATORS } from '../../genesis/params.ts'
import { VALIDATOR_KEY_FILE } from '../../node/keys.ts'
import { validatorRegistryAbi } from '../../settlement/abi.ts'
import { createChildren } from './child.ts'
import { ask, heightOf, type Stage, startStage, until } from './stage.ts'

const EPOCH_BLOCKS = 6
/** Which of the four runs twice; the first is the devnet's own. */
const OFFENDER = 3
const WAIT_MS = 120_000

const twinDir = mkdtempSync(join(tmpdir(), 'tributary-twin-'))
const children = createChildren()
let stage: Stage
let genesis: Genesis

beforeAll(async () => {
  stage = await startStage(['--validators', '4', '--epoch-blocks', String(EPOCH_BLOCKS)])
  const { dataDir, validators, l1, p2p } = stage.devnet.ready()
  genesis = decodeGenesis(readFileSync(join(dataDir, 'genesis.json'), 'utf8'))
  const original = validators[OFFENDER - 1]
  assert(original, 'a devnet of four has three further validators')
  for (const file of ['genesis.json', VALIDATOR_KEY_FILE]) copyFileSync(join(original.dataDir, file), join(twinDir, file))
  const bootstrap = [p2p, ...validators.map((one) => one.p2p)].join(',')
  const words = ['--l1', l1, '--data-dir', twinDir, '--bootstrap', bootstrap, '--da', 'none', '--rpc-port', '0']
  await children.start(['node', ...words, '--p2p-host', '127.0.0.1', '--p2p-port', '0'])
})

afterAll(async () => {
  await children.close()
  await stage?.close()
  rmSync(twinDir, { recursive: true, force: true })
})

type SeenTx = { readonly hash: Hex; readonly type: Hex; readonly from: Hex; readonly to: Hex | null; readonly input: Hex }
type SeenBlock = { readonly number: Hex; readonly hash: Hex; readonly stateRoot: Hex; readonly miner: Hex; readonly transactions: SeenTx[] }

async function blockOf(rpc: string, height: number): Promise<SeenBlock | undefined> {
  return ((await ask(rpc, 'eth_getBlockByNumber', [`0x${height.toString(16)}`, true])).result ?? undefined) as SeenBlock | undefined
}

/** The first transaction that is so, from a block on, and its block's height. */
function firstTx(rpc: string, from: number, is: (tx: SeenTx) => boolean): Promise<{ readonly tx: SeenTx; readonly height: number }> {
  let height = from
  return until(
    'a block holds it',
    async () => {
      for (;;) {
        const block = await blockOf(rpc, height)
        if (!block) return undefined
        const tx = block.transactions.find(is)
        if (tx) return { tx, height }
        height++
      }
    },
    WAIT_MS,
  )
}

async function slashedValidator(): Promise<string> {
  const { client } = stage.l1
  const address = genesis.l1.validatorRegistry
  const slashed = await until(
    'the registry slashes',
    async () => {
      const events = await client.getContractEvents({ address, abi: validatorRegistryAbi, eventName: 'ValidatorSlashed', fromBlock: 0n })
      return events[0]?.args
    },
    WAIT_MS,
  )
  return String(slashed.validator).toLowerCase()
}

test('a key that runs twice is convicted in a block and on L1, and out of the set at the next epoch; the others go on', async () => {
  const { rpc, validators } = stage.devnet.ready()
  const offender = genesis.validators[OFFENDER]
  assert(offender, 'there are four validators')
  const { tx, height } = await firstTx(rpc, 1, ({ type }) => type === '0x5a')
  expect([tx.from, tx.to]).toEqual([SYSTEM_SENDER, VALIDATORS])
  const [bytes] = decodeFunctionData({ abi: parseAbi(['function report(bytes evidence)']), data: tx.input }).args
  expect(decodeEvidence(hexToBytes(bytes))).toMatchObject({ ok: true, value: { validator: OFFENDER } })
  const { result } = await ask(rpc, 'eth_getTransactionReceipt', [tx.hash])
  const [log] = (result as { readonly logs: readonly { readonly topics: [Hex]; readonly data: Hex }[] }).logs
  const { args } = decodeEventLog({ abi: [validatorConvictedEvent], topics: log?.topics ?? ['0x'], data: log?.data ?? '0x' })
  expect(args?.validator.toLowerCase()).toBe(offender.address)

  // The last height of the epoch in which it was told, and the first one that it has no say in.
  const edge = Math.ceil(height / EPOCH_BLOCKS) * EPOCH_BLOCKS
  const goal = edge + EPOCH_BLOCKS
  const rpcs = [rpc, ...validators.map((one) => one.rpc)]
  for (const one of rpcs) await until(`${one} reaches ${goal}`, async () => ((await heightOf(one)) >= goal ? true : undefined), WAIT_MS)
  const left = genesis.validators.filter((one) => one !== offender).map(({ address }) => address)
  const next = (await ask(rpc, 'tributary_getRecord', ['epochs', { epoch: edge / EPOCH_BLOCKS }])).result
  expect((next as { readonly members: readonly { readonly validator: Hex }[] }).members.map(({ validator }) => validator)).toEqual(left)
  const miners = new Set<Hex>()
  for (let at = edge + 1; at <= goal; at++) {
    const blocks = await Promise.all(rpcs.map((one) => blockOf(one, at)))
    expect(new Set(blocks.map((block) => `${block?.hash} ${block?.stateRoot}`)).size).toBe(1)
    for (const block of blocks) if (block) miners.add(block.miner)
  }
  expect([...miners].filter((miner) => !left.includes(miner))).toEqual([])

  expect(await slashedValidator()).toBe(offender.address)
  // What the registry says of it then takes nobody out twice.
  const told = await firstTx(rpc, height, ({ to, type }) => to === VALIDATORS && type === '0x7e')
  expect((await ask(rpc, 'eth_getTransactionReceipt', [told.tx.hash])).result).toMatchObject({ status: '0x1', logs: [] })
}, 300_000)
