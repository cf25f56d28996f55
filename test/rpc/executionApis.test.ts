/** Every method of ethereum/execution-apis is served as its schemas say, or refused with a reason. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { Ajv } from 'ajv'
import type { Hex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { signEthereum, signer } from '../fakes/chain.ts'
import { addressOf } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

type Specified = { readonly name: string; readonly result: object }

const METHODS: readonly Specified[] = JSON.parse(
  gunzipSync(readFileSync(new URL('../vectors/executionApis/methods.json.gz', import.meta.url))).toString(),
)
/** What this chain adds to receipts: docs/spec/rpc.md#shapes. */
const ADDED = ['l1Fee', 'l1GasUsed', 'l1GasPrice', 'l1BlobBaseFee', 'l1BaseFeeScalar', 'l1BlobBaseFeeScalar', 'failureCode']
/** An empty list is one of hashes and one of logs, which the specification takes for a contradiction. */
const anyOf = (schema: object): object => JSON.parse(JSON.stringify(schema).replaceAll('"oneOf":', '"anyOf":'))
const ajv = new Ajv({ strict: false, allErrors: false })

let served: Served
let waiting: Hex

beforeAll(async () => {
  served = await serve()
  waiting = await signEthereum(served.chain, 5, { nonce: 0, to: addressOf(signer(6)), value: 1n })
})
afterAll(() => served?.server.close())

/** Questions that this chain has answers to, for each method that takes any. */
function questions(): Readonly<Record<string, readonly (readonly unknown[])[]>> {
  const { chain } = served
  const block = chain.blocks[2]
  const hash = block?.hash
  const ethereum = block?.transactions.filter((tx) => tx.kind === 'ethereum') ?? []
  const account = addressOf(signer(3))
  const request = { from: account, to: chain.logger, data: '0x01' }
  const byHash = ethereum.map((tx) => [tx.hash])
  const filter = { fromBlock: '0x0', toBlock: 'latest' }
  const numbers = [['0x2'], ['latest'], ['earliest'], ['0xffff']]
  return {
    debug_getRawBlock: [['0x2']],
    debug_getRawHeader: [['0x2']],
    debug_getRawReceipts: [['0x2']],
    debug_getRawTransaction: byHash,
    debug_traceBlockByHash: [[hash, { enableMemory: true, enableReturnData: true }]],
    debug_traceBlockByNumber: [['0x2'], ['0x3']],
    debug_traceTransaction: byHash,
    eth_call: [[request], [request, '0x2']],
    eth_createAccessList: [[request, 'latest']],
    eth_estimateGas: [[request]],
    eth_feeHistory: [['0x3', 'latest', [10, 50]]],
    eth_fillTransaction: [
      [{ from: account, to: chain.logger, gas: '0x10000' }],
      [{ from: account, to: chain.logger, gasPrice: '0x3b9aca00' }],
      [{ from: account, data: '0x00', gas: '0x20000', accessList: [], gasPrice: '0x3b9aca00' }],
    ],
    eth_getBalance: [[account, 'latest']],
    eth_getBlockByHash: [
      [hash, true],
      [hash, false],
      [`0x${'00'.repeat(32)}`, false],
    ],
    eth_getBlockByNumber: [
      ['0x2', true],
      ['finalized', false],
      ['0xffff', false],
    ],
    eth_getBlockReceipts: numbers,
    eth_getBlockTransactionCountByHash: [[hash]],
    eth_getBlockTransactionCountByNumber: numbers,
    eth_getCode: [[chain.logger, 'latest']],
    eth_getLogs: [[filter], [{ blockHash: hash }]],
    eth_getProof: [[chain.logger, [`0x${'00'.repeat(32)}`, '0x1'], 'latest']],
    eth_getStorageAt: [[chain.logger, '0x0', 'latest']],
    eth_getStorageValues: [[{ [chain.logger]: [`0x${'00'.repeat(32)}`] }, 'latest']],
    eth_getTransactionByBlockHashAndIndex: [[hash, '0x0']],
    eth_getTransactionByBlockNumberAndIndex: [['0x2', '0x1']],
    eth_getTransactionByHash: byHash,
    eth_getTransactionCount: [[account, 'latest']],
    eth_getTransactionReceipt: byHash,
    eth_newFilter: [[filter]],
    eth_sendRawTransaction: [[waiting]],
    eth_simulateV1: [
      [{ blockStateCalls: [{}, { calls: [request] }], returnFullTransactions: true }],
      [{ blockStateCalls: [{ calls: [{ ...request, value: '0x1' }] }], traceTransfers: true, validation: false }, '0x2'],
    ],
    txpool_contentFrom: [[addressOf(signer(5))]],
  }
}

/** Questions whose answer another method gave: the id of a filter. */
async function withFilter(method: string): Promise<readonly (readonly unknown[])[]> {
  if (!['eth_getFilterChanges', 'eth_getFilterLogs', 'eth_uninstallFilter'].includes(method)) return [[]]
  return [[await served.call('eth_newFilter', { fromBlock: '0x0' })]]
}

function withoutAdded(answer: unknown): unknown {
  if (Array.isArray(answer)) return answer.map(withoutAdded)
  if (typeof answer !== 'object' || answer === null || !('cumulativeGasUsed' in answer)) return answer
  return Object.fromEntries(Object.entries(answer).filter(([member]) => !ADDED.includes(member)))
}

test.each(METHODS.map(({ name, result }) => [name, result] as const))('%s', async (name, result) => {
  const asked = questions()[name] ?? (await withFilter(name))
  const validate = ajv.compile(anyOf(result))
  for (const params of asked) {
    const { json } = await served.post(JSON.stringify({ jsonrpc: '2.0', id: 1, method: name, params }))
    const answer = json as { result?: unknown; error?: { code: number; message: string } }
    if (answer.error?.code === -32601) {
      expect(answer.error.message).toMatch(/is not available: \w/)
      continue
    }
    expect(answer.error).toBeUndefined()
    const shown = withoutAdded(answer.result)
    if (!validate(shown)) expect({ answer: shown, errors: validate.errors }).toBeUndefined()
  }
})
