/** How a report of evidence is shown: to clients that know nothing of it, and to ours. Spec: docs/spec/rpc.md#shapes */
import { JsonRpcProvider, Network } from 'ethers'
import {
  bytesToHex,
  createPublicClient,
  decodeEventLog,
  decodeFunctionData,
  defineChain,
  type Hex,
  hexToBytes,
  http,
  keccak256,
  parseAbi,
  toHex,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeEvidence } from '../../consensus/evidence.ts'
import { orderedRoot } from '../../execution/mpt.ts'
import { validatorConvictedEvent } from '../../execution/report.ts'
import { REPORT_GAS, SYSTEM_SENDER, VALIDATORS } from '../../genesis/params.ts'
import { defineTributaryChain } from '../../rpc/client.ts'
import { createFakeChain, signEthereum } from '../fakes/chain.ts'
import { memberOf, offenceOf, reportOfEvidence } from '../fakes/offence.ts'
import { equalValidators } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

type Json = Readonly<Record<string, unknown>>

let served: Served
let number: Hex
let hash: Hex
let evidence: Uint8Array

beforeAll(async () => {
  const chain = await createFakeChain({ params: { epochBlocks: 100 }, validators: equalValidators(4) })
  const offence = offenceOf({ key: 1, height: 2, epoch: 0, chainId: chain.params.chainId })
  evidence = encodeEvidence(offence)
  const report = reportOfEvidence(offence)
  hash = report.hash
  served = await serve({}, chain)
  const at = await chain.seal([await signEthereum(chain, 6, { nonce: 0, to: VALIDATORS }), report.raw])
  expect(at.transactions.map(({ kind }) => kind)).toEqual(['report', 'ethereum'])
  number = toHex(at.block.header.number)
})
afterAll(() => served.server.close())

test('it is a call by the system that pays nothing', async () => {
  const json = (await served.call('eth_getTransactionByHash', hash)) as Json
  expect(json).toMatchObject({
    ...{ hash, blockNumber: number, transactionIndex: '0x0', type: '0x5a', from: SYSTEM_SENDER, to: VALIDATORS, value: '0x0' },
    ...{ gas: toHex(REPORT_GAS), gasPrice: '0x0', nonce: '0x0', v: '0x0', r: '0x0', s: '0x0' },
  })
  const { args } = decodeFunctionData({ abi: parseAbi(['function report(bytes evidence)']), data: json.input as Hex })
  expect(args).toEqual([bytesToHex(evidence)])
})

test('its receipt has the log of the conviction, and the log is found', async () => {
  const receipt = (await served.call('eth_getTransactionReceipt', hash)) as Json & {
    readonly logs: readonly { topics: [Hex]; data: Hex }[]
  }
  expect(receipt).toMatchObject({ status: '0x1', type: '0x5a', to: VALIDATORS, effectiveGasPrice: '0x0', gasUsed: toHex(REPORT_GAS) })
  expect(receipt).not.toHaveProperty('l1Fee')
  const [first] = receipt.logs
  const convicted = decodeEventLog({ abi: [validatorConvictedEvent], topics: first?.topics ?? ['0x'], data: first?.data ?? '0x' })
  const { validator, key0, key1, key2 } = memberOf(1)
  const key = `0x${[key0, key1, key2].map((word) => word.slice(2)).join('')}`
  expect({ ...convicted.args, validator: convicted.args?.validator.toLowerCase() }).toEqual({ validator, key, height: 2n, kind: 1 })
  expect(await served.call('eth_getLogs', { fromBlock: number, address: VALIDATORS })).toEqual(receipt.logs)
})

test('the conviction is a record that is read by its key, with a proof', async () => {
  const { validator, ...member } = memberOf(1)
  const { key0, key1, key2 } = member
  const record = { validator, kind: 1, height: toHex(2), blockNumber: number }
  expect(await served.call('tributary_getRecord', 'convictions', { key0, key1, key2 })).toMatchObject(record)
  const other = memberOf(2)
  const innocent = { key0: other.key0, key1: other.key1, key2: other.key2 }
  expect(await served.call('tributary_getRecord', 'convictions', innocent)).toBeNull()
  expect(await served.call('tributary_getLedgerProof', 'convictions', { key0, key1, key2 })).toMatchObject({ record: expect.anything() })
})

test('the block’s root of transactions is that of the bytes, and its hash that of the header', async () => {
  const block = (await served.call('eth_getBlockByNumber', number, false)) as { transactions: Hex[]; transactionsRoot: Hex; hash: Hex }
  const raws = await Promise.all(block.transactions.map((one) => served.call('eth_getRawTransactionByHash', one) as Promise<Hex>))
  expect(raws.map((raw) => keccak256(raw))).toEqual(block.transactions)
  expect(raws[0]).toBe(`0x5a${bytesToHex(evidence).slice(2)}`)
  expect(bytesToHex(orderedRoot(raws.map((raw) => hexToBytes(raw))))).toBe(block.transactionsRoot)
  expect(await served.call('eth_getBlockByHash', block.hash, false)).toEqual(block)
})

test('viem and ethers read the block as they come, and ours names the kind', async () => {
  const { url } = served.server
  const { chainId } = served.chain.params
  const rpcUrls = { default: { http: [url] } }
  const plain = defineChain({ id: chainId, name: 'plain', nativeCurrency: { name: 'OPEN', symbol: 'OPEN', decimals: 18 }, rpcUrls })
  const transport = http(url, { retryCount: 0 })
  const blockNumber = BigInt(number)
  const read = await createPublicClient({ chain: plain, transport }).getBlock({ blockNumber, includeTransactions: true })
  expect(read.transactions.map(({ type, typeHex, gas }) => [type ?? typeHex, gas])[0]).toEqual(['0x5a', REPORT_GAS])
  const ours = createPublicClient({ chain: defineTributaryChain({ id: chainId, rpcUrl: url }), transport })
  const known = await ours.getBlock({ blockNumber, includeTransactions: true })
  expect(known.transactions.map(({ type }) => type)).toEqual(['evidenceReport', 'eip1559'])
  expect(await ours.getTransactionReceipt({ hash })).toMatchObject({ status: 'success', to: VALIDATORS })
  const network = Network.from(chainId)
  const provider = new JsonRpcProvider(url, network, { staticNetwork: network })
  const block = await provider.getBlock(Number(number), true)
  expect(block?.prefetchedTransactions.map(({ type, gasLimit }) => [type, gasLimit])[0]).toEqual([0x5a, REPORT_GAS])
  provider.destroy()
})

test('fee history knows of no tip of it', async () => {
  const other = (await served.call('eth_getTransactionByBlockNumberAndIndex', number, '0x1')) as { readonly gasPrice: Hex }
  const { baseFeePerGas } = (await served.call('eth_getBlockByNumber', number, false)) as { readonly baseFeePerGas: Hex }
  const tip = toHex(BigInt(other.gasPrice) - BigInt(baseFeePerGas))
  expect(await served.call('eth_feeHistory', '0x1', number, [0, 100])).toMatchObject({ oldestBlock: number, reward: [[tip, tip]] })
})
