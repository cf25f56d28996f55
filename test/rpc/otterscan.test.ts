/** Otterscan is told what another node of its kind tells it, and of what that does not know (native transactions, deposits, doors) as much. */
import { encodeErrorResult, type Hex, pad, parseAbi, stringToHex } from 'viem'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DOOR, SYSTEM_SENDER } from '../../genesis/params.ts'
import { createFakeChain, signer, signTransfer } from '../fakes/chain.ts'
import { addressOf } from '../fakes/testChain.ts'
import { type BothNodes, deployer, difference, inner, outer, startBothNodes } from './bothNodes.ts'
import type { Served } from './serve.ts'
import { serve } from './serve.ts'

type Json = Record<string, unknown>
type Page = { txs: Json[]; receipts: Json[]; firstPage: boolean; lastPage: boolean }

let nodes: BothNodes
let served: Served

beforeAll(async () => {
  nodes = await startBothNodes()
  served = nodes.served
})

afterAll(() => nodes?.close())

const [UNKNOWN_HASH, NOBODY]: [Hex, Hex] = [`0x${'99'.repeat(32)}`, `0x${'98'.repeat(20)}`]
/** Blocks of anvil begin three later here. */
const BLOCKS_BEFORE = 3

describe('as another node tells it', () => {
  test('what the answers agree on whole', async () => {
    const [deployment, run, refusal] = nodes.hashes
    const sender = deployer.address
    const questions: [method: string, ...params: unknown[]][] = [
      ['ots_getApiLevel'],
      ['ots_hasCode', outer, 'latest'],
      ['ots_hasCode', sender, 'latest'],
      ['ots_getContractCreator', outer],
      ['ots_getContractCreator', inner],
      ['ots_getContractCreator', sender],
      ...[0, 1, 2, 3].map((nonce): [string, ...unknown[]] => ['ots_getTransactionBySenderAndNonce', sender, nonce]),
      ['ots_traceTransaction', refusal],
      ['ots_getInternalOperations', refusal],
      ...[deployment, run, refusal].map((hash): [string, ...unknown[]] => ['ots_getTransactionError', hash]),
    ]
    for (const [method, ...params] of questions) {
      const [ours, theirs] = await nodes.ask(method, ...params)
      expect(difference(ours, theirs), `${method} ${params}`).toBeUndefined()
    }
  })

  test('calls: anvil leaves out creations, and gives calls a value that Erigon says have none', async () => {
    const [ours, theirs] = (await nodes.ask('ots_traceTransaction', nodes.hashes[1])) as [Json[], Json[]]
    const isCall = ({ type }: Json) => type !== 'CREATE2' && type !== 'SELFDESTRUCT'
    const hasNoValue = ({ type }: Json) => type === 'STATICCALL' || type === 'DELEGATECALL'
    expect(ours.filter(hasNoValue).every(({ value }) => value === null)).toBe(true)
    const isShown = ({ to }: Json) => BigInt(to as Hex) > 0x100n
    const sameValue = (entry: Json) => (hasNoValue(entry) ? { ...entry, value: null } : entry)
    expect(difference(ours.filter(isCall), theirs.filter(isShown).map(sameValue))).toBeUndefined()
    expect(ours.filter((entry) => !isCall(entry)).map(({ type, depth }) => [type, depth])).toEqual([
      ['CREATE2', 1],
      ['SELFDESTRUCT', 2],
    ])
  })

  test('operations within: anvil counts the transaction itself, Erigon what is below it', async () => {
    for (const hash of nodes.hashes) {
      const [ours, theirs] = (await nodes.ask('ots_getInternalOperations', hash)) as [Json[], Json[]]
      const isOwn = ({ from }: Json) => from === addressOf(deployer)
      expect(
        difference(
          ours,
          theirs.filter((one) => !isOwn(one)),
        ),
      ).toBeUndefined()
    }
  })

  test('pages of an address, each way and of each size', async () => {
    const shown = ({ txs, receipts, firstPage, lastPage }: Page) => ({
      txs: txs.map(({ hash }) => hash),
      receipts: receipts.map(({ transactionHash, status, gasUsed, contractAddress }) => [
        transactionHash,
        status,
        gasUsed,
        contractAddress,
      ]),
      firstPage,
      lastPage,
    })
    for (const address of [outer, inner]) {
      for (const method of ['ots_searchTransactionsBefore', 'ots_searchTransactionsAfter']) {
        for (const size of [1, 2, 25]) {
          for (const number of [0, 1, 2, 3]) {
            const above = number === 0 ? 0 : number + BLOCKS_BEFORE
            const [ours, theirs] = (await nodes.askEach(method, [address, above, size], [address, number, size])) as [Page, Page]
            // Anvil does not look behind a page that is full, nor where it has no blocks to look at: there it says of the last page too that it is not.
            const isUntold = ours.txs.length >= size || ours.txs.length === 0
            const flags = isUntold ? { firstPage: 0, lastPage: 0 } : {}
            expect({ ...shown(ours), ...flags }, `${method} ${address} ${number} ${size}`).toEqual({ ...shown(theirs), ...flags })
          }
        }
      }
    }
  })

  test('blocks, but for what the chains do not share', async () => {
    const [ours, theirs] = (await nodes.askEach('ots_getBlockDetails', [4 + BLOCKS_BEFORE - 1], [3])) as [Json, Json]
    expect(Object.keys(ours).sort()).toEqual(Object.keys(theirs).sort())
    expect(ours.issuance).toEqual(theirs.issuance)
    const [block, other] = [ours.block as Json, theirs.block as Json]
    expect(Object.keys(block).sort()).toEqual(
      Object.keys(other)
        .filter((name) => name !== 'totalDifficulty')
        .sort(),
    )
    expect([block.transactionCount, block.gasUsed, block.logsBloom]).toEqual([other.transactionCount, other.gasUsed, null])
    const receipt = (await served.call('eth_getTransactionReceipt', nodes.hashes[2])) as { gasUsed: Hex; effectiveGasPrice: Hex }
    expect(BigInt(ours.totalFees as Hex)).toBe(BigInt(receipt.gasUsed) * BigInt(receipt.effectiveGasPrice))
    expect(await served.call('ots_getBlockDetailsByHash', block.hash)).toEqual(ours)
  })
})

describe('pages', () => {
  test('of a block: counted from its end, of calls the selectors, of receipts no logs', async () => {
    const whole = (await served.call('eth_getBlockByNumber', '0x2', true)) as { transactions: Json[] }
    const receipts = (await served.call('eth_getBlockReceipts', '0x2')) as Json[]
    const page = async (number: number, size: number) =>
      (await served.call('ots_getBlockTransactions', 2, number, size)) as { fullblock: Json & { transactions: Json[] }; receipts: Json[] }
    const first = await page(0, 2)
    expect(first.fullblock.transactionCount).toBe(5)
    expect(first.fullblock.logsBloom).toBeNull()
    const pages = [first, await page(1, 2), await page(2, 2), await page(3, 2)]
    expect(pages.map(({ fullblock }) => fullblock.transactions.map(({ transactionIndex }) => transactionIndex))).toEqual([
      ['0x3', '0x4'],
      ['0x1', '0x2'],
      ['0x0'],
      [],
    ])
    const selectors = whole.transactions.map((tx) => ({ ...tx, input: String(tx.input).slice(0, 10) }))
    expect(first.fullblock.transactions).toEqual(selectors.slice(3))
    expect(first.receipts).toEqual(receipts.slice(3).map((receipt) => ({ ...receipt, logs: null, logsBloom: null })))
    expect(await served.call('ots_getBlockTransactions', 99, 0, 2)).toBeNull()
  })

  test('of an address: whole blocks, one page behind the other, to both ends', async () => {
    const { chain } = served
    const page = async (method: string, number: number) => (await served.call(method, DOOR.ledger, number, 1)) as Page
    const heights = ({ txs }: Page) => [...new Set(txs.map(({ blockNumber }) => Number(blockNumber)))]
    const first = await page('ots_searchTransactionsBefore', 0)
    expect({ heights: heights(first), firstPage: first.firstPage, lastPage: first.lastPage }).toEqual({
      heights: [3],
      firstPage: true,
      lastPage: false,
    })
    const second = await page('ots_searchTransactionsBefore', 3)
    // The L1 origin and a deposit to the ledger, of one block: more than was asked for, the latest first.
    const inBlock1 = chain.blocks[1]?.transactions.filter((tx) => tx.kind === 'deposit' && tx.deposit.to === DOOR.ledger) ?? []
    expect(second.txs.map(({ hash }) => hash)).toEqual(inBlock1.map(({ hash }) => hash).toReversed())
    expect({ firstPage: second.firstPage, lastPage: second.lastPage }).toEqual({ firstPage: false, lastPage: true })
    const oldest = await page('ots_searchTransactionsAfter', 0)
    expect(oldest).toEqual({ ...second, firstPage: false, lastPage: true })
    expect(await page('ots_searchTransactionsAfter', 1)).toEqual({ ...first, firstPage: true, lastPage: false })
    expect(first.receipts[0]).toEqual({
      ...((await served.call('eth_getTransactionReceipt', first.txs[0]?.hash)) as Json),
      timestamp: Number(chain.blocks[3]?.block.header.timestamp),
    })
    expect(await served.call('ots_searchTransactionsBefore', NOBODY, 0, 25)).toEqual({
      txs: [],
      receipts: [],
      firstPage: true,
      lastPage: true,
    })
  })
})

describe('what another node does not know', () => {
  test('a native transaction is one call of its door, and reverted with its error', async () => {
    const [created, refused] = served.chain.blocks[3]?.transactions ?? []
    const [sender] = [addressOf(signer(0))]
    const tx = (await served.call('eth_getTransactionByHash', created?.hash)) as Json
    const call = { type: 'CALL', depth: 0, from: sender, to: DOOR.datanets, value: '0x0', input: tx.input, output: '0x' }
    expect(await served.call('ots_traceTransaction', created?.hash)).toEqual([call])
    expect(await served.call('ots_getInternalOperations', created?.hash)).toEqual([])
    expect(await served.call('ots_getTransactionError', created?.hash)).toBe('0x')
    const args = [pad(stringToHex('insufficientBalance'), { size: 32, dir: 'right' })] as const
    const error = encodeErrorResult({ abi: parseAbi(['error Failed(bytes32 code)']), errorName: 'Failed', args })
    expect(await served.call('ots_getTransactionError', refused?.hash)).toBe(error)
    expect(await served.call('ots_traceTransaction', refused?.hash)).toMatchObject([{ output: error }])
  })

  test('nonces of the two lanes are two', async () => {
    const [native] = served.chain.blocks[3]?.transactions ?? []
    const [ethereum] = served.chain.blocks[2]?.transactions ?? []
    const sender = addressOf(signer(0))
    expect(await served.call('ots_getTransactionBySenderAndNonce', sender, 0)).toBe(ethereum?.hash)
    expect(await served.call('ots_getTransactionBySenderAndNonce', sender, 0, 'native')).toBe(native?.hash)
    expect(await served.call('ots_getTransactionBySenderAndNonce', sender, 1, 'native')).toBeNull()
    expect(await served.fail('ots_getTransactionBySenderAndNonce', sender, 1, 'both')).toMatchObject({ code: -32602 })
  })

  test('who is paid by a deposit or named by a native transaction finds it; who is not, does not', async () => {
    const heightsOf = async (address: Hex) =>
      ((await served.call('ots_searchTransactionsAfter', address, 0, 100)) as Page).txs.map(({ blockNumber }) => Number(blockNumber))
    expect(await heightsOf(addressOf(signer(7)))).toEqual([1, 1]) // deposits that it sent
    expect(await heightsOf(SYSTEM_SENDER)).toEqual([1])
    expect(await heightsOf(addressOf(signer(1)))).toEqual([3, 3, 2]) // curator, sender of a native transaction, sender
    expect(await heightsOf(addressOf(signer(5)))).toEqual([2, 2, 2, 2]) // paid by four
    expect(await heightsOf(served.chain.blocks[3]?.block.header.miner ?? '0x')).toEqual([])
    const raw = await signTransfer(served.chain, 2, 0n, 3n)
    await served.chain.seal([raw])
    expect(await heightsOf(addressOf(signer(7)))).toEqual([served.chain.blocks.length - 1, 1, 1])
  })
})

test('heads: as eth_getBlockByNumber tells them, without what is no part of a header', async () => {
  const {
    size: _,
    transactions: __,
    uncles: ___,
    withdrawals: ____,
    ...header
  } = (await served.call('eth_getBlockByNumber', '0x2')) as Json
  expect(await served.call('erigon_getHeaderByNumber', 2)).toEqual(header)
  expect(await served.call('erigon_getHeaderByNumber', '0x2')).toEqual(header)
  expect(await served.call('erigon_getHeaderByNumber', 999)).toBeNull()
  expect(await served.call('ots_getBlockDetails', 999)).toBeNull()
})

test('what is asked wrongly, what there is not, and what is too much, is refused', async () => {
  expect(await served.fail('ots_getTransactionError', UNKNOWN_HASH)).toMatchObject({ code: -32001, data: { code: 'unknownTransaction' } })
  expect(await served.fail('ots_searchTransactionsBefore', NOBODY, 0, 101)).toMatchObject({ code: -32602 })
  expect(await served.fail('ots_searchTransactionsBefore', NOBODY, -1, 5)).toMatchObject({ code: -32602 })
  expect(await served.fail('erigon_getHeaderByNumber', 1.5)).toMatchObject({ code: -32602 })
  const small = await serve({ limits: { searchTransactions: 1, responseBytes: 10_000 } }, served.chain)
  expect(await small.fail('ots_searchTransactionsBefore', DOOR.ledger, 2, 1)).toMatchObject({
    code: -32005,
    data: { code: 'tooManyTransactions' },
  })
  expect(await small.fail('ots_traceTransaction', nodes.hashes[0])).toMatchObject({ code: -32005 })
  await small.server.close()
})

test('a node without the index says so; one whose index is behind says how far', async () => {
  const chain = await createFakeChain()
  const without = await serve({}, { ...chain, addresses: undefined })
  expect(await without.fail('ots_getContractCreator', NOBODY)).toMatchObject({ code: -32000, data: { code: 'noAddressIndex' } })
  await without.server.close()
  const { addresses } = chain
  const behind = addresses && { ...addresses, reached: () => 1n, until: async () => false }
  const slow = await serve({}, { ...chain, addresses: behind })
  const data = { code: 'indexBehind', reached: '0x1', latest: '0x3' }
  expect(await slow.fail('ots_searchTransactionsBefore', NOBODY, 0, 5)).toMatchObject({ code: -32000, data })
  await slow.server.close()
})
