/** What a parameter must be: the answer to anything else is -32602 with the parameter's name and what is wrong, and the server stays up. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Served, serve } from './serve.ts'

let served: Served
beforeAll(async () => {
  served = await serve({ limits: { slots: 2, overrides: 1, logAlternatives: 2, records: 5 } })
})
afterAll(() => served.server.close())

const address = `0x${'aa'.repeat(20)}`
const hash = `0x${'bb'.repeat(32)}`

/** Method, parameters, the parameter that is wrong, why. */
const CASES: readonly (readonly [string, readonly unknown[], string, string | RegExp])[] = [
  ['eth_getBalance', [], 'address', 'missing'],
  ['eth_getBalance', [null], 'address', 'missing'],
  ['eth_getBalance', [5], 'address', 'expected hex with 0x before it'],
  ['eth_getBalance', ['aa'], 'address', 'expected hex with 0x before it'],
  ['eth_getBalance', ['0xzz'], 'address', 'expected hex with 0x before it'],
  ['eth_getBalance', ['0xabc'], 'address', 'expected hex of an even length'],
  ['eth_getBalance', ['0xaabb'], 'address', 'expected 20 bytes, got 2'],
  ['eth_getBalance', [address, 'newest'], 'block', 'expected a hex quantity with 0x before it'],
  ['eth_getBalance', [address, 7], 'block', 'expected an object'],
  ['eth_getBalance', [address, '0x'], 'block', 'expected a hex quantity with 0x before it'],
  ['eth_getBalance', [address, '0x01'], 'block', 'a quantity has no leading zeros'],
  ['eth_getBalance', [address, '0x1ffffffffffffffff'], 'block', 'does not fit 64 bits'],
  ['eth_getBalance', [address, {}], 'block', 'expected one of blockNumber and blockHash'],
  ['eth_getBalance', [address, { blockNumber: '0x1', blockHash: hash }], 'block', 'expected one of blockNumber and blockHash'],
  ['eth_getBalance', [address, { blockHash: '0x1234' }], 'block.blockHash', 'expected 32 bytes, got 2'],
  ['eth_getBalance', [address, 'latest', 'more'], 'params', 'too many'],
  ['eth_getStorageAt', [address, `0x${'0'.repeat(65)}`], 'slot', 'storage key too long (want at most 32 bytes)'],
  ['eth_getStorageAt', [address, 'slot'], 'slot', 'expected a storage key in hex'],
  ['eth_getProof', [address, '0x0'], 'storageKeys', 'expected an array'],
  ['eth_getProof', [address, ['0x0', '0x1', '0x2']], 'storageKeys', 'at most 2 items'],
  ['eth_getProof', [address, ['0x0', 1]], 'storageKeys[1]', 'expected a storage key in hex'],
  ['eth_getStorageValues', [{ [address]: ['0x0', '0x1'], [`0x${'ab'.repeat(20)}`]: ['0x2'] }], 'requests', 'at most 2 slots'],
  ['eth_getBlockByHash', ['0x12'], 'hash', 'expected 32 bytes, got 1'],
  ['eth_getBlockByNumber', ['latest', 'yes'], 'hydrated', 'expected true or false'],
  ['eth_getBlockByNumber', [], 'block', 'missing'],
  ['eth_getTransactionByHash', [{}], 'hash', 'expected hex with 0x before it'],
  ['eth_getTransactionByBlockHashAndIndex', [hash, -1], 'index', 'expected a hex quantity with 0x before it'],
  ['eth_getTransactionByBlockHashAndIndex', [hash, 1.5], 'index', 'expected a hex quantity with 0x before it'],
  ['eth_getTransactionByBlockHashAndIndex', [hash, '0x1ffffffff'], 'index', 'at most 4294967295'],
  ['eth_call', ['0x'], 'transaction', 'expected an object'],
  ['eth_call', [[]], 'transaction', 'expected an object'],
  ['eth_call', [{ to: '0x12' }], 'transaction.to', 'expected 20 bytes, got 1'],
  ['eth_call', [{ gas: 21000 }], 'transaction.gas', 'expected a hex quantity with 0x before it'],
  ['eth_call', [{ value: `0x1${'0'.repeat(64)}` }], 'transaction.value', 'does not fit 256 bits'],
  ['eth_call', [{ data: '0x01', input: '0x02' }], 'transaction', 'data and input are both there and differ'],
  ['eth_call', [{ gasPrice: '0x1', maxFeePerGas: '0x1' }], 'transaction', /both there/],
  ['eth_call', [{ accessList: {} }], 'transaction.accessList', 'expected an array'],
  ['eth_call', [{ accessList: [{ address }, { storageKeys: [] }] }], 'transaction.accessList[1].address', 'expected hex with 0x before it'],
  [
    'eth_call',
    [{ accessList: [{ address, storageKeys: ['0x1'] }] }],
    'transaction.accessList[0].storageKeys[0]',
    'expected hex of an even length',
  ],
  ['eth_call', [{}, 'latest', []], 'stateOverrides', 'expected an object'],
  ['eth_call', [{}, 'latest', { abc: {} }], 'stateOverrides key', 'expected hex with 0x before it'],
  ['eth_call', [{}, 'latest', { [address]: {}, [`0x${'ab'.repeat(20)}`]: {} }], 'stateOverrides', 'at most 1 accounts'],
  [
    'eth_call',
    [{}, 'latest', { [address]: { state: {}, stateDiff: {} } }],
    `stateOverrides.${address}`,
    'state and stateDiff are both there',
  ],
  [
    'eth_call',
    [{}, 'latest', { [address]: { state: { '0x1': 5 } } }],
    `stateOverrides.${address}.state.0x1`,
    'expected a storage key in hex',
  ],
  [
    'eth_call',
    [{}, 'latest', { [address]: { movePrecompileToAddress: address } }],
    `stateOverrides.${address}.movePrecompileToAddress`,
    'not served here',
  ],
  ['eth_call', [{}, 'latest', {}, { withdrawals: [{}] }], 'blockOverrides.withdrawals', 'not served here'],
  ['eth_call', [{}, 'latest', {}, { number: 1 }], 'blockOverrides.number', 'expected a hex quantity with 0x before it'],
  ['eth_sendRawTransaction', ['0x123'], 'transaction', 'expected hex of an even length'],
  ['eth_sendRawTransaction', [{}], 'transaction', 'expected hex with 0x before it'],
  ['eth_feeHistory', ['some', 'latest', []], 'blockCount', 'expected a hex quantity with 0x before it'],
  ['eth_feeHistory', ['0x1', 'latest', [50, 20]], 'rewardPercentiles[1]', 'expected ascending numbers from 0 to 100'],
  ['eth_feeHistory', ['0x1', 'latest', [101]], 'rewardPercentiles[0]', 'expected ascending numbers from 0 to 100'],
  ['eth_feeHistory', ['0x1', 'latest', ['5']], 'rewardPercentiles[0]', 'expected ascending numbers from 0 to 100'],
  ['eth_getLogs', [{ blockHash: hash, fromBlock: '0x1' }], 'filter', /cannot specify both/],
  ['eth_getLogs', [{ topics: [[], [], [], [], []] }], 'filter.topics', 'at most 4 items'],
  ['eth_getLogs', [{ topics: 'x' }], 'filter.topics', 'expected an array'],
  ['eth_getLogs', [{ topics: ['0x12'] }], 'filter.topics[0]', 'expected 32 bytes, got 1'],
  ['eth_getLogs', [{ topics: [null, [hash, '0x12']] }], 'filter.topics[1][1]', 'expected 32 bytes, got 1'],
  ['eth_getLogs', [{ topics: [[hash, hash, hash]] }], 'filter.topics[0]', 'at most 2 items'],
  ['eth_getLogs', [{ address: [address, 1] }], 'filter.address[1]', 'expected hex with 0x before it'],
  ['eth_getLogs', [{ fromBlock: 'first' }], 'filter.fromBlock', 'expected a hex quantity with 0x before it'],
  ['eth_getFilterChanges', ['filter'], 'filterId', 'expected a hex quantity with 0x before it'],
  ['web3_sha3', ['hello'], 'data', 'expected hex with 0x before it'],
  ['tributary_getDatanet', ['one'], 'datanetId', 'expected a hex quantity with 0x before it'],
  ['tributary_getDatanets', [1, 6], 'limit', 'at most 5'],
  ['tributary_getModel', ['0x12'], 'modelId', 'expected 32 bytes, got 1'],
  ['tributary_getEarnings', [address, 5], 'epochs', 'expected an array'],
  ['tributary_getEarnings', [address, Array(129).fill(1)], 'epochs', 'at most 128 items'],
  ['tributary_getRecord', ['nothing', {}], 'table', /expected one of accounts, datanets/],
  ['tributary_getRecord', ['x'.repeat(33), {}], 'table', 'expected a string of at most 32 letters'],
  ['tributary_getRecord', ['uploads', { datanetId: 1 }], 'id.uploadIndex', /expected a number/],
  ['tributary_getRecord', ['uploads', { datanetId: -1, uploadIndex: 1 }], 'id.datanetId', /expected a number/],
  ['tributary_getRecord', ['uploads', { datanetId: 2 ** 32, uploadIndex: 1 }], 'id.datanetId', 'does not fit 32 bits'],
  ['tributary_getLedgerProof', ['uploads'], 'id', 'expected an object'],
  ['tributary_estimateFee', [5], 'transaction', 'expected an object'],
  ['tributary_estimateFee', ['0x50c0'], 'transaction', 'not the bytes of a native transaction'],
  ['tributary_estimateFee', [{ type: 'Nothing' }], 'transaction.type', /expected one of Transfer/],
  ['tributary_estimateFee', [{ type: 'Transfer', fields: { kind: 256 } }], 'transaction.fields.kind', 'does not fit 8 bits'],
  ['tributary_estimateFee', [{ type: 'Claim', fields: { epochs: 1 } }], 'transaction.fields.epochs', 'expected an array'],
  [
    'tributary_sendTypedTransaction',
    [{ type: 'Claim', fields: { epochs: [1] }, nonce: '0x0', maxFee: '0x1', signature: '0x12' }],
    'transaction.signature',
    /65 bytes/,
  ],
]

for (const [method, params, param, why] of CASES) {
  test(`${method} ${JSON.stringify(params).slice(0, 90)}: ${param}`, async () => {
    const error = await served.fail(method, ...params)
    expect(error).toEqual({
      code: -32602,
      message: expect.stringContaining(`invalid params: ${param === 'params' ? '' : `${param}: `}`),
      data: { param, why: typeof why === 'string' ? why : expect.stringMatching(why) },
    })
  })
}

test('parameters by name are refused, none at all is an empty list', async () => {
  const ask = async (params: unknown) => (await served.post(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_chainId', params }))).json
  for (const params of [{ a: 1 }, 'x', 5, true]) expect(await ask(params)).toMatchObject({ id: 1, error: { code: -32602 } })
  for (const params of [undefined, null, []]) expect(await ask(params)).toMatchObject({ id: 1, result: expect.stringMatching(/^0x/) })
})

test('no bad parameter was taken for a defect', () => expect(served.logged.filter(({ level }) => level === 'error')).toEqual([]))
