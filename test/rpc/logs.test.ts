/** Logs by block, range, address and topic; filters that are polled; what gas costs. */
import { encodeEventTopics, type Hex, numberToHex, pad } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nextBaseFeeWei } from '../../execution/block.ts'
import { datanetCreatedEvent } from '../../execution/native/datanetCreate.ts'
import { DOOR } from '../../genesis/params.ts'
import { feeHistory, suggestedTipWei, TIP_WEI } from '../../rpc/fees.ts'
import { createFakeChain, type FakeChain, LOGGED_TOPIC, signEthereum, signer, signTransfer } from '../fakes/chain.ts'
import { addressOf } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

type LogJson = {
  readonly address: Hex
  readonly blockNumber: Hex
  readonly logIndex: Hex
  readonly topics: readonly Hex[]
  readonly data: Hex
}

let served: Served
let now = 1_000_000
beforeAll(async () => {
  served = await serve({
    now: () => now,
    limits: { logBlocks: 4, logResults: 6, filters: 3, filterMs: 1_000, pendingHashes: 2, feeHistoryBlocks: 3 },
  })
})
afterAll(() => served.server.close())

const q = numberToHex
const where = (logs: unknown) => (logs as LogJson[]).map(({ blockNumber, logIndex }) => `${Number(blockNumber)}:${Number(logIndex)}`)

let nonce = 0
/** Seals a block in which the logging contract is called so many times. */
async function log(chain: FakeChain, times: number): Promise<void> {
  const raws: Hex[] = []
  for (let i = 0; i < times; i++) raws.push(await signEthereum(chain, 6, { nonce: nonce++, to: chain.logger }))
  await chain.seal(raws)
}

test('eth_getLogs: by range, block, address and topic', async () => {
  const { call, chain } = served
  const getLogs = async (filter: unknown) => where(await call('eth_getLogs', filter))
  const all = { fromBlock: 'earliest', toBlock: 'latest' }
  expect(await getLogs(all)).toEqual(['1:0', '1:1', '3:0', '3:1'])
  expect(await getLogs({})).toEqual(['3:0', '3:1'])
  expect(await getLogs({ fromBlock: '0x1', toBlock: '0x1' })).toEqual(['1:0', '1:1'])
  expect(await getLogs({ fromBlock: 'earliest', toBlock: 'safe' })).toEqual(['1:0', '1:1'])
  expect(await getLogs({ blockHash: chain.blocks[1]?.hash })).toEqual(['1:0', '1:1'])
  expect(await getLogs({ ...all, address: DOOR.datanets })).toEqual(['3:0'])
  expect(await getLogs({ ...all, address: [DOOR.datanets.toUpperCase().replace('X', 'x'), DOOR.ledger] })).toEqual([
    '1:0',
    '1:1',
    '3:0',
    '3:1',
  ])
  expect(await getLogs({ ...all, address: [] })).toHaveLength(4)
  expect(await getLogs({ ...all, address: DOOR.workers })).toEqual([])
  const [created, datanetId, owner] = encodeEventTopics({
    abi: [datanetCreatedEvent],
    args: { datanetId: 1, owner: addressOf(signer(0)) },
  }) as Hex[]
  const other = pad('0x77', { size: 32 })
  expect(await getLogs({ ...all, topics: [created] })).toEqual(['3:0'])
  expect(await getLogs({ ...all, topics: [[other, created], null, owner] })).toEqual(['3:0'])
  expect(await getLogs({ ...all, topics: [null, datanetId] })).toEqual(['3:0'])
  expect(await getLogs({ ...all, topics: [created, other] })).toEqual([])
  expect(await getLogs({ ...all, topics: [] })).toHaveLength(4)
  expect(await getLogs({ ...all, topics: [null, null] })).toEqual(['1:0', '1:1', '3:0'])
  expect(await getLogs({ ...all, topics: [[]] })).toHaveLength(4)
})

test('eth_getLogs: ranges that make no sense', async () => {
  const { fail } = served
  expect(await fail('eth_getLogs', { fromBlock: '0x2', toBlock: '0x1' })).toEqual({
    code: -32602,
    message: 'invalid block range: fromBlock is after toBlock',
  })
  expect(await fail('eth_getLogs', { fromBlock: '0x2', toBlock: '0x99' })).toMatchObject({
    code: -32602,
    message: 'block range extends beyond current head block',
  })
  expect(await fail('eth_getLogs', { blockHash: pad('0x1', { size: 32 }) })).toMatchObject({ code: -32001, message: 'unknown block' })
})

test('eth_getLogs: a query too large is told a range that will do', async () => {
  const { fail, chain, call } = served
  await log(chain, 3)
  expect(await fail('eth_getLogs', { fromBlock: '0x0', toBlock: 'latest' })).toEqual({
    code: -32005,
    message: 'query exceeds 4 blocks. Try with this block range [0x0, 0x3].',
    data: { code: 'rangeTooLarge', blocks: '0x5', max: 4 },
  })
  expect(await fail('eth_getLogs', { fromBlock: '0x1', toBlock: 'latest' })).toEqual({
    code: -32005,
    message: 'query returned more than 6 results. Try with this block range [0x1, 0x3].',
    data: { code: 'tooManyLogs', max: 6 },
  })
  expect(where(await call('eth_getLogs', { fromBlock: '0x1', toBlock: '0x3' }))).toHaveLength(4)
  const mine = await call('eth_getLogs', { fromBlock: '0x4', address: chain.logger })
  expect(where(mine)).toEqual(['4:0', '4:1', '4:2'])
  expect((mine as LogJson[])[0]).toMatchObject({ topics: [LOGGED_TOPIC], data: pad(q(42), { size: 32 }) })
})

test('a logs filter tells each log once, of blocks after it was made', async () => {
  const { call, chain } = served
  const id = await call('eth_newFilter', { address: chain.logger })
  expect(await call('eth_getFilterChanges', id)).toEqual([])
  await log(chain, 2)
  await chain.seal([await signTransfer(chain, 5, 0n, 1n)])
  expect(where(await call('eth_getFilterChanges', id))).toEqual(['5:0', '5:1'])
  expect(await call('eth_getFilterChanges', id)).toEqual([])
  expect(await call('eth_getFilterLogs', id)).toEqual([])
  expect(await call('eth_uninstallFilter', id)).toBe(true)
  expect(await call('eth_uninstallFilter', id)).toBe(false)
})

test('a logs filter with a great deal to tell tells it block by block, and loses nothing', async () => {
  const { call, chain } = served
  const id = await call('eth_newFilter', { topics: [LOGGED_TOPIC] })
  for (const times of [4, 4, 1]) await log(chain, times)
  expect(where(await call('eth_getFilterChanges', id))).toEqual(['7:0', '7:1', '7:2', '7:3', '8:0', '8:1', '8:2', '8:3'])
  expect(where(await call('eth_getFilterChanges', id))).toEqual(['9:0'])
  for (let i = 0; i < 6; i++) await chain.seal()
  await log(chain, 1)
  expect(await call('eth_getFilterChanges', id)).toEqual([]) // four blocks without a log
  expect(where(await call('eth_getFilterChanges', id))).toEqual(['16:0'])
  await call('eth_uninstallFilter', id)
})

test('a logs filter with an end ends there', async () => {
  const { call, chain, fail } = served
  const head = chain.heads().latest
  const id = await call('eth_newFilter', { fromBlock: q(head + 2n), toBlock: q(head + 2n) })
  for (let i = 0; i < 3; i++) await log(chain, 1)
  expect(where(await call('eth_getFilterChanges', id))).toEqual([`${head + 2n}:0`])
  expect(await call('eth_getFilterChanges', id)).toEqual([])
  expect(where(await call('eth_getFilterLogs', id))).toEqual([`${head + 2n}:0`])
  await call('eth_uninstallFilter', id)
  expect(await fail('eth_newFilter', { blockHash: pad('0x1', { size: 32 }) })).toMatchObject({ code: -32602 })
})

test('a block filter tells the hashes of new blocks, a pending filter those of new transactions', async () => {
  const { call, chain, fail } = served
  const blockId = await call('eth_newBlockFilter')
  const pendingId = await call('eth_newPendingTransactionFilter')
  const sent = []
  for (let i = 0; i < 2; i++) sent.push(await call('eth_sendRawTransaction', await signEthereum(chain, 5, { nonce: i, to: chain.logger })))
  expect(await call('eth_getFilterChanges', pendingId)).toEqual(sent)
  const block = await chain.seal()
  await chain.seal()
  expect(await call('eth_getFilterChanges', blockId)).toEqual([block.hash, chain.blocks.at(-1)?.hash])
  expect(await call('eth_getFilterChanges', blockId)).toEqual([])
  expect(await call('eth_getFilterChanges', pendingId)).toEqual([])
  expect(await fail('eth_getFilterLogs', blockId)).toMatchObject({ code: -32000, data: { code: 'notALogFilter' } })
})

test('a pending filter that is asked too seldom hears of the latest ones', async () => {
  const { call, chain } = served
  now += 2_000
  const id = await call('eth_newPendingTransactionFilter')
  const sent = []
  for (let i = 0; i < 6; i++)
    sent.push(await call('eth_sendRawTransaction', await signEthereum(chain, 5, { nonce: 2 + i, to: chain.logger })))
  const heard = (await call('eth_getFilterChanges', id)) as string[]
  expect(heard.length).toBeLessThan(6)
  expect(heard).toEqual(sent.slice(-heard.length))
  await chain.seal()
})

test('filters are bounded, and forgotten when nobody asks', async () => {
  const { call, fail } = served
  now += 2_000
  const ids = [await call('eth_newBlockFilter'), await call('eth_newBlockFilter'), await call('eth_newBlockFilter')]
  expect(await fail('eth_newBlockFilter')).toMatchObject({ code: -32005, data: { code: 'tooManyFilters', max: 3 } })
  now += 900
  expect(await call('eth_getFilterChanges', ids[0])).toEqual([])
  now += 200
  expect(await fail('eth_getFilterChanges', ids[1])).toMatchObject({
    code: -32000,
    message: 'filter not found',
    data: { code: 'unknownFilter' },
  })
  expect(await call('eth_newBlockFilter')).toMatch(/^0x[1-9a-f][0-9a-f]*$/)
  expect(await call('eth_getFilterChanges', ids[0])).toEqual([])
  expect(await fail('eth_getFilterChanges', '0x1')).toMatchObject({ code: -32000, message: 'filter not found' })
})

test('eth_feeHistory: base fees and one more, fullness, and what was paid above at each percentile', async () => {
  const { call, chain, fail } = served
  const [, first, second, third] = chain.blocks.map((at) => at.block.header)
  if (!first || !second || !third) throw new Error('the fake has three blocks')
  const after = nextBaseFeeWei(third, chain.params)
  const ratio = (header: typeof first) => Number(header.gasUsed) / Number(header.gasLimit)
  expect(await call('eth_feeHistory', '0x3', '0x3', [0, 50, 100])).toEqual({
    oldestBlock: '0x1',
    baseFeePerGas: [first.baseFeePerGas, second.baseFeePerGas, third.baseFeePerGas, after].map((fee) => q(fee)),
    gasUsedRatio: [ratio(first), ratio(second), ratio(third)],
    baseFeePerBlobGas: ['0x1', '0x1', '0x1', '0x1'],
    blobGasUsedRatio: [0, 0, 0],
    reward: [
      ['0x0', '0x0', '0x0'],
      [q(3_000_000), q(3_000_000), q(2_000_000_000n - second.baseFeePerGas)],
      ['0x0', '0x0', '0x0'],
    ],
  })
  expect(await call('eth_feeHistory', 2, '0x1')).toMatchObject({ oldestBlock: '0x0', gasUsedRatio: [0, ratio(first)] })
  expect(await call('eth_feeHistory', '0x400', '0x1', [])).not.toHaveProperty('reward')
  expect(await call('eth_feeHistory', '0x0', '0x1', [])).toMatchObject({ oldestBlock: '0x1', baseFeePerGas: [], gasUsedRatio: [] })
  expect(await call('eth_feeHistory', '0x400', '0x4', [])).toMatchObject({ oldestBlock: '0x2', blobGasUsedRatio: [0, 0, 0] })
  expect(await fail('eth_feeHistory', '0x1', '0x999', [])).toMatchObject({ code: -32001 })
})

test('a tip is suggested above what others paid only when the last block was full', async () => {
  const chain = await createFakeChain()
  expect(suggestedTipWei(chain)).toBe(TIP_WEI)
  const at = chain.blocks[2]
  if (!at) throw new Error('the fake has three blocks')
  const header = { ...at.block.header, gasUsed: at.block.header.gasLimit }
  const full = {
    ...chain,
    heads: () => ({ latest: 2n, safe: 0n, finalized: 0n }),
    blockByNumber: () => ({ ...at, block: { ...at.block, header } }),
  }
  const median = 2_000_000_000n - header.baseFeePerGas
  expect(suggestedTipWei(full)).toBe(median + median / 10n)
})

test('a fee history of a node that has lost old blocks begins where its blocks do', async () => {
  const chain = await createFakeChain()
  const short = { ...chain, blockByNumber: (number: bigint) => (number < 2n ? undefined : chain.blockByNumber(number)) }
  expect(feeHistory(short, { newest: 3n, count: 10, percentiles: [] })).toMatchObject({ oldestBlock: '0x2', blobGasUsedRatio: [0, 0] })
})
