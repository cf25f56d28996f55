/** Lists go through everything once, in order, whatever the pages' size, and tell where they go on. Spec: docs/spec/rpc.md#lists */
import fc from 'fast-check'
import {
  createClient,
  encodeAbiParameters,
  type Hex,
  http,
  keccak256,
  pad,
  parseAbiParameters,
  toEventSelector,
  toHex,
  zeroHash,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { datanetReview } from '../../execution/native/datanetReview.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import { modelIdOf, modelRegister, modelRegisteredEvent } from '../../execution/native/modelRegister.ts'
import type { FieldValues, NativeType } from '../../execution/native/nativeType.ts'
import { WORKER_ACTION, workerRegister } from '../../execution/native/workerRegister.ts'
import { DOOR } from '../../genesis/params.ts'
import type { BlockLogs, Chain } from '../../rpc/chain.ts'
import { tributaryActions } from '../../rpc/client.ts'
import { type Cursor, cursorOf, LISTINGS, pageOf } from '../../rpc/listings.ts'
import { signer } from '../fakes/chain.ts'
import { addressOf, signNative } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

const CURATOR = 1
const UPLOADER = 2
const MODELLERS = [3, 4] as const
const WORKERS = [5, 6] as const
const CONTRIBUTOR = addressOf(signer(6))

let served: Served
const nonces = new Map<number, bigint>()
const modelIds: Hex[] = []

async function run(who: number, type: NativeType, fields: FieldValues): Promise<void> {
  const nonce = nonces.get(who) ?? (await ledgerNonce(who))
  nonces.set(who, nonce + 1n)
  const { chain } = served
  const { receipts } = await chain.seal([await signNative(signer(who), { type, fields, nonce, chainId: chain.params.chainId })])
  expect(receipts.at(-1)).toMatchObject({ succeeded: true })
}

async function ledgerNonce(who: number): Promise<bigint> {
  return BigInt((await served.call('tributary_getLedgerNonce', addressOf(signer(who)), 'latest')) as Hex)
}

function model(name: string) {
  const hash = (of: string) => keccak256(toHex(`${name} ${of}`))
  return {
    name,
    baseHash: hash('base'),
    adapterHash: hash('adapter'),
    tokenizerHash: hash('tokenizer'),
    trainingConfigHash: hash('config'),
    runtimeProfileHash: hash('profile'),
    useFlags: 0,
    datanets: [{ datanetId: 1, snapshotRoot: hash('snapshot'), uploadCount: 1, recordCount: 9, weightBps: 10_000 }],
    priceBase: 1n,
    pricePrompt: 1n,
    priceOutput: 1n,
    ownerBps: 2_000,
    workerBps: 5_000,
    contributorBps: 3_000,
    minStake: 0n,
    maxTier: 0,
  }
}

beforeAll(async () => {
  served = await serve({ limits: { records: 10 } })
  for (const n of [1, 2, 3]) {
    const contributors = [
      { account: addressOf(signer(UPLOADER)), shareBps: 4_000, role: 1 },
      { account: CONTRIBUTOR, shareBps: 6_000, role: 2 },
    ].toSorted((a, b) => (a.account < b.account ? -1 : 1))
    const contentRoot = pad(toHex(n), { size: 32 })
    await run(UPLOADER, datanetUpload, {
      datanetId: 1,
      contentRoot,
      contentId: '0x1234',
      recordCount: 9 * n,
      byteCount: 900n,
      contributors,
    })
  }
  for (const uploadIndex of [0, 1])
    await run(CURATOR, datanetReview, { datanetId: 1, uploadIndex, verdict: 1, qualityBps: 9_000, reason: 0 })
  for (const [who, name] of [
    [MODELLERS[0], 'a'],
    [MODELLERS[1], 'b'],
    [MODELLERS[0], 'c'],
  ] as const) {
    await run(who, modelRegister, model(name))
    modelIds.push(modelIdOf(model(name), addressOf(signer(who))))
  }
  const { workerStakeMinWei: stake } = served.chain.params
  for (const who of [...WORKERS, WORKERS[0]]) {
    await run(who, workerRegister, {
      action: WORKER_ACTION.register,
      hotKey: CONTRIBUTOR,
      runtimeProfileHash: zeroHash,
      stake,
      endpoint: 'https://w.example',
    })
  }
})
afterAll(() => served.server.close())

type Page = { readonly items: readonly Record<string, unknown>[]; readonly cursor: Hex | null }

/** All items of a list, by pages of one size. */
async function all(method: string, limit: number, ...more: unknown[]): Promise<Record<string, unknown>[]> {
  const items: Record<string, unknown>[] = []
  let cursor: Hex | null = null
  for (let pages = 0; pages < 20; pages++) {
    const page = (await served.call(method, cursor, limit, ...more)) as Page
    expect(page.items.length).toBeLessThanOrEqual(limit)
    items.push(...page.items)
    cursor = page.cursor
    if (cursor === null) return items
  }
  throw new Error('the list does not end')
}

test('models in their order, of all or of one owner, by pages of any size, with where they were registered', async () => {
  for (const limit of [1, 2, 10]) expect((await all('tributary_listModels', limit)).map(({ modelId }) => modelId)).toEqual(modelIds)
  const owner = addressOf(signer(MODELLERS[0]))
  const items = await all('tributary_listModels', 1, owner)
  expect(items.map(({ modelId }) => modelId)).toEqual([modelIds[0], modelIds[2]])
  expect(items[0]).toMatchObject({ owner, name: 'a', blockNumber: expect.stringMatching(/^0x/), logIndex: expect.stringMatching(/^0x/) })
  const receipt = await served.call('eth_getTransactionReceipt', items[0]?.transactionHash)
  expect(receipt).toMatchObject({ to: DOOR.models, blockNumber: items[0]?.blockNumber, blockHash: items[0]?.blockHash })
})

test('a worker stands once in the list, however often it says something new', async () => {
  const items = await all('tributary_listWorkers', 1)
  expect(items.map(({ worker }) => worker)).toEqual(WORKERS.map((who) => addressOf(signer(who))))
})

test('contributors with what was accepted of theirs; accounts by index', async () => {
  const { items, next } = (await served.call('tributary_getContributors', 1)) as { items: Record<string, unknown>[]; next: unknown }
  expect(next).toBeNull()
  const of = (who: Hex) => items.find(({ account }) => account === who)
  // Nine and eighteen records; the third upload was never accepted.
  expect(of(CONTRIBUTOR)).toMatchObject({ uploads: 2, recordsBps: toHex(27 * 6_000) })
  expect(of(addressOf(signer(UPLOADER)))).toMatchObject({ uploads: 2, recordsBps: toHex(27 * 4_000) })
  expect(items).toHaveLength(2)
  expect(await served.call('tributary_getContributors', 1, 1)).toMatchObject({ items: [{ uploads: 1 }, { uploads: 1 }] })
  expect(await served.call('tributary_getContributors', 7)).toEqual({ items: [], next: null })
  const { index } = (await served.call('tributary_getLedgerAccount', CONTRIBUTOR)) as { index: number }
  expect(await served.call('tributary_getAccounts', [index, 4_000_000_000])).toEqual([CONTRIBUTOR, null])
})

test('of what a model was made, and whether some of that was retired since', async () => {
  const lineage = () => served.call('tributary_getLineage', modelIds[0])
  expect(await lineage()).toMatchObject({
    model: { modelId: modelIds[0], name: 'a' },
    datanets: [{ datanetId: 1, uploadCount: 1, datanet: { datanetId: 1, accepted: 2 } }],
    suspendedBy: null,
  })
  await run(CURATOR, datanetReview, { datanetId: 1, uploadIndex: 0, verdict: 3, qualityBps: 0, reason: 1 })
  expect(await lineage()).toMatchObject({ suspendedBy: 1, datanets: [{ retires: 0, datanet: { retires: 1 } }] })
  expect(await served.call('tributary_getLineage', zeroHash)).toBeNull()
})

test('the validators of the genesis file, where there are no epochs', async () => {
  const { genesisValidators } = served.chain
  expect(await served.call('tributary_getValidators')).toMatchObject({
    epoch: 0,
    setHash: expect.stringMatching(/^0x[0-9a-f]{64}$/),
    validators: genesisValidators.map(({ validator, weight }) => ({
      validator,
      weight: toHex(weight),
      blsPublicKey: expect.stringMatching(/^0x[0-9a-f]{192}$/),
    })),
  })
})

test('the client’s actions read what the methods answer', async () => {
  const client = createClient({ transport: http(served.server.url) }).extend(tributaryActions())
  const { items, cursor } = await client.listModels({ limit: 2 })
  expect(items.map(({ modelId, name }) => [modelId, name])).toEqual([
    [modelIds[0], 'a'],
    [modelIds[1], 'b'],
  ])
  expect((await client.listModels({ cursor })).items.map(({ modelId }) => modelId)).toEqual([modelIds[2]])
  expect((await client.listWorkers()).items).toMatchObject(WORKERS.map((who) => ({ worker: addressOf(signer(who)), credits: 0 })))
  expect((await client.getContributors({ datanetId: 1 })).next).toBeUndefined()
  const { index } = await client.getLedgerAccount({ account: CONTRIBUTOR })
  expect(await client.getAccountsByIndex({ indices: [index, 99_999] })).toEqual([CONTRIBUTOR, undefined])
  expect((await client.getValidators()).validators.map(({ validator }) => validator)).toEqual(
    served.chain.genesisValidators.map(({ validator }) => validator),
  )
})

test('who never earned has no earnings, and a credit that is not there no entries', async () => {
  expect(await served.call('tributary_listEarnings', CONTRIBUTOR)).toMatchObject({ items: [] })
  expect(await served.call('tributary_listEarnings', `0x${'99'.repeat(20)}`)).toEqual({ items: [], next: null })
  expect(await served.fail('tributary_getCreditEntries', CONTRIBUTOR, 0)).toMatchObject({ data: { code: 'unknownCredit' } })
  expect(await served.call('tributary_listCredits')).toEqual({ items: [], cursor: null })
  expect(await served.call('tributary_listDisputes', null, 5, CONTRIBUTOR)).toEqual({ items: [], cursor: null })
})

test('a cursor that no page gave is refused at the door, or goes on where it says', async () => {
  expect(await served.fail('tributary_listModels', '0x12')).toMatchObject({ code: -32602 })
  expect(await served.call('tributary_listModels', `0x${'ff'.repeat(12)}`)).toEqual({ items: [], cursor: null })
})

test('pages of any size put together are the list, once and in order, over any gaps', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.bigInt({ min: 1n, max: 200_000n }), fc.integer({ min: 1, max: 700 })), { maxLength: 6 }),
      fc.integer({ min: 1, max: 900 }),
      (spread, limit) => {
        const logsAt = new Map(spread)
        const chain = scripted(logsAt)
        const seen: string[] = []
        let cursor: Cursor | undefined
        for (let pages = 0; pages < 5_000; pages++) {
          const page = pageOf(
            chain,
            LISTINGS.models(undefined),
            { cursor, limit },
            ({ place }) => `${place.header.number} ${place.logIndex}`,
          )
          seen.push(...(page.items as string[]))
          if (page.cursor === null) break
          cursor = cursorOf(page.cursor)
        }
        const wanted = [...logsAt]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .flatMap(([block, count]) => Array.from({ length: count }, (_, i) => `${block} ${i}`))
        expect(seen).toEqual(wanted)
      },
    ),
    { numRuns: 20 },
  )
})

/** A chain that has so many of the models' logs in these blocks, and none in others. */
function scripted(logsAt: ReadonlyMap<bigint, number>): Chain {
  const data = encodeAbiParameters(parseAbiParameters('uint32, uint32[], string'), [0, [], ''])
  const log = { address: DOOR.models, topics: [toEventSelector(modelRegisteredEvent), zeroHash, zeroHash], data }
  const blocks = [...logsAt.keys()].sort((a, b) => (a < b ? -1 : 1))
  const chain: Partial<Chain> = {
    heads: () => ({ latest: 250_000n, safe: 0n, finalized: 0n }),
    blocksMatching: ({ from, to }) => blocks.filter((block) => block >= from && block <= to),
    blockLogs: (number) => {
      const header = { number } as BlockLogs['header']
      return { hash: zeroHash, header, receipts: [{ logs: Array(logsAt.get(number) ?? 0).fill(log) } as never], hashOf: () => zeroHash }
    },
  }
  return chain as Chain
}
