/** Every eth_, net_, web3_ and txpool_ method answers the value that the chain holds, in Ethereum's shape. */
import { getContractAddress, type Hex, keccak256, numberToHex, parseTransaction, toHex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nextBaseFeeWei } from '../../execution/block.ts'
import { bloomOf } from '../../execution/bloom.ts'
import { DOOR, OPEN_WEI } from '../../genesis/params.ts'
import type { ChainBlock } from '../../rpc/chain.ts'
import { CALLEE, LOGGED_TOPIC, signEthereum, signer } from '../fakes/chain.ts'
import { addressOf } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

let served: Served
beforeAll(async () => {
  served = await serve()
})
afterAll(() => served.server.close())

const q = numberToHex
function blockAt(n: number): ChainBlock {
  const at = served.chain.blocks[n]
  if (!at) throw new Error(`there is no block ${n}`)
  return at
}
const poor = '0x00000000000000000000000000000000000000aa'

test('chain facts', async () => {
  const { chain, call } = served
  const { header } = blockAt(3).block
  const nextBaseFee = nextBaseFeeWei(header, chain.params)
  expect(await call('eth_chainId')).toBe(q(chain.params.chainId))
  expect(await call('net_version')).toBe(String(chain.params.chainId))
  expect(await call('net_listening')).toBe(true)
  expect(await call('net_peerCount')).toBe('0x0')
  expect(await call('web3_clientVersion')).toBe('tributary/test')
  expect(await call('web3_sha3', '0x68656c6c6f')).toBe(keccak256(toHex('hello')))
  expect(await call('eth_blockNumber')).toBe('0x3')
  expect(await call('eth_accounts')).toEqual([])
  expect(await call('eth_coinbase')).toBe(header.miner)
  expect(await call('eth_protocolVersion')).toBe('0x1')
  expect(await call('eth_pendingTransactions')).toEqual([])
  expect(await call('txpool_status')).toEqual({ pending: '0x0', queued: '0x0' })
  expect(await call('eth_baseFee')).toBe(q(nextBaseFee))
  expect(await call('eth_maxPriorityFeePerGas')).toBe(q(1_000_000))
  expect(await call('eth_gasPrice')).toBe(q(nextBaseFee + 1_000_000n))
  expect(await call('eth_blobBaseFee')).toBe('0x1')
})

test('eth_syncing: false until somebody tells of a higher block', async () => {
  const { chain, call } = served
  expect(await call('eth_syncing')).toBe(false)
  chain.announce(9n)
  expect(await call('eth_syncing')).toEqual({ startingBlock: '0x3', currentBlock: '0x3', highestBlock: '0x9' })
  chain.announce(undefined)
  expect(await call('eth_syncing')).toBe(false)
})

test('accounts: balance, nonce, code and storage at each kind of block reference', async () => {
  const { call, chain } = served
  const receiver = addressOf(signer(5))
  const before = 1_000_000n * OPEN_WEI
  const { hash } = blockAt(2)
  for (const block of ['latest', 'pending', '0x2', '0x3', hash, { blockHash: hash }, { blockNumber: '0x2' }]) {
    expect(await call('eth_getBalance', receiver, block)).toBe(q(before + 11n))
  }
  for (const block of ['earliest', '0x0', 'finalized']) expect(await call('eth_getBalance', receiver, block)).toBe(q(before))
  expect(await call('eth_getBalance', receiver, 'safe')).toBe(q(before + 11n))
  expect(await call('eth_getBalance', receiver)).toBe(q(before + 11n))
  expect(await call('eth_getBalance', poor)).toBe('0x0')
  expect(await call('eth_getTransactionCount', addressOf(signer(0)), 'latest')).toBe('0x1')
  expect(await call('eth_getTransactionCount', addressOf(signer(0)), '0x1')).toBe('0x0')
  expect(await call('eth_getCode', chain.logger)).toBe(`0x602a6000527f${LOGGED_TOPIC.slice(2)}60206000a100`)
  expect(await call('eth_getCode', poor)).toBe('0x')
  const ledgerRoot = chain.stateAt(3n).ledgerRoot()
  for (const slot of ['0x0', '0x00', `0x${'0'.repeat(64)}`]) expect(await call('eth_getStorageAt', DOOR.ledger, slot)).toBe(ledgerRoot)
  expect(await call('eth_getStorageAt', poor, '0x1', 'latest')).toBe(`0x${'0'.repeat(64)}`)
  expect(await call('eth_getStorageValues', { [DOOR.ledger]: ['0x0'], [poor]: ['0x1', '0x2'] })).toEqual({
    [DOOR.ledger]: [ledgerRoot],
    [poor]: [`0x${'0'.repeat(64)}`, `0x${'0'.repeat(64)}`],
  })
})

test('eth_getProof: the account, and each slot as it was asked for', async () => {
  const { call } = served
  const account = await served.chain.stateAt(3n).account(DOOR.ledger)
  const padded = `0x${'0'.repeat(63)}1`
  expect(await call('eth_getProof', DOOR.ledger, ['0x00', padded], 'latest')).toEqual({
    address: DOOR.ledger,
    accountProof: ['0xc0'],
    balance: '0x0',
    codeHash: account.codeHash,
    nonce: q(account.nonce),
    storageHash: account.storageRoot,
    storageProof: [
      { key: '0x0', value: '0x0', proof: ['0xc1'] },
      { key: padded, value: '0x1', proof: ['0xc1'] },
    ],
  })
})

test('blocks: Ethereum’s header fields to the letter, hashes or whole transactions', async () => {
  const { call } = served
  const at = blockAt(2)
  const { header } = at.block
  const expected = {
    hash: at.hash,
    parentHash: blockAt(1).hash,
    sha3Uncles: header.sha3Uncles,
    miner: header.miner,
    stateRoot: header.stateRoot,
    transactionsRoot: header.transactionsRoot,
    receiptsRoot: header.receiptsRoot,
    logsBloom: header.logsBloom,
    difficulty: '0x0',
    number: '0x2',
    gasLimit: q(header.gasLimit),
    gasUsed: q(header.gasUsed),
    timestamp: q(header.timestamp),
    extraData: header.extraData,
    mixHash: header.mixHash,
    nonce: '0x0000000000000000',
    baseFeePerGas: q(header.baseFeePerGas),
    withdrawalsRoot: header.withdrawalsRoot,
    blobGasUsed: '0x0',
    excessBlobGas: '0x0',
    parentBeaconBlockRoot: header.parentBeaconBlockRoot,
    requestsHash: header.requestsHash,
    size: q(at.size),
    transactions: at.transactions.map((tx) => tx.hash),
    uncles: [],
    withdrawals: [],
  }
  expect(await call('eth_getBlockByNumber', '0x2', false)).toEqual(expected)
  expect(await call('eth_getBlockByNumber', 'safe')).toEqual(expected)
  expect(await call('eth_getBlockByHash', at.hash, false)).toEqual(expected)
  const transactions = await Promise.all(at.transactions.map((tx) => call('eth_getTransactionByHash', tx.hash)))
  expect(await call('eth_getBlockByHash', at.hash, true)).toEqual({ ...expected, transactions })
  expect(await call('eth_getBlockByNumber', '0x99', true)).toBeNull()
  expect(await call('eth_getBlockByHash', `0x${'99'.repeat(32)}`, true)).toBeNull()
  expect(await call('eth_getBlockTransactionCountByNumber', '0x2')).toBe('0x5')
  expect(await call('eth_getBlockTransactionCountByHash', at.hash)).toBe('0x5')
  expect(await call('eth_getBlockTransactionCountByNumber', '0x99')).toBeNull()
  expect(await call('eth_getUncleCountByBlockNumber', 'latest')).toBe('0x0')
  expect(await call('eth_getUncleCountByBlockHash', at.hash)).toBe('0x0')
})

/** What the answer for a transaction must hold besides its own fields. */
function placeOf(n: number, index: number) {
  const { hash, block } = blockAt(n)
  const { number, timestamp } = block.header
  const tx = blockAt(n).transactions[index]
  return {
    blockHash: hash,
    blockNumber: q(number),
    blockTimestamp: q(timestamp),
    transactionIndex: q(index),
    hash: tx?.hash,
    from: tx?.sender,
  }
}

test('transactions of Ethereum’s types are what was signed', async () => {
  const { call, chain } = served
  const at = blockAt(2)
  const base = at.block.header.baseFeePerGas
  const chainId = q(chain.params.chainId)
  const kinds = ['0x0', '0x0', '0x1', '0x2', '0x4']
  for (const [index, tx] of at.transactions.entries()) {
    const signed = parseTransaction(toHex(tx.raw))
    const json = (await call('eth_getTransactionByHash', tx.hash)) as Record<string, Hex>
    const price = signed.gasPrice ?? base + (signed.maxPriorityFeePerGas ?? 0n)
    expect(json, `transaction ${index}`).toMatchObject({
      ...placeOf(2, index),
      type: kinds[index],
      nonce: '0x0',
      gas: q(signed.gas ?? 0n),
      gasPrice: q(price),
      to: signed.to ?? null,
      value: q(signed.value ?? 0n),
      input: signed.data ?? '0x',
      r: q(BigInt(signed.r ?? 0)),
      s: q(BigInt(signed.s ?? 0)),
      v: q(signed.type === 'legacy' ? (signed.v ?? 0n) : (signed.yParity ?? 0)),
    })
    expect(json.chainId).toBe(index === 1 ? undefined : chainId)
    expect(json.yParity).toBe(signed.type === 'legacy' ? undefined : q(signed.yParity ?? 0))
    expect(await call('eth_getTransactionByBlockHashAndIndex', at.hash, q(index))).toEqual(json)
    expect(await call('eth_getTransactionByBlockNumberAndIndex', '0x2', q(index))).toEqual(json)
    expect(await call('eth_getRawTransactionByHash', tx.hash)).toBe(toHex(tx.raw))
  }
  const [, , listed, created, delegated] = (await Promise.all(
    at.transactions.map((tx) => call('eth_getTransactionByHash', tx.hash)),
  )) as Record<string, unknown>[]
  const accessList = [{ address: addressOf(signer(5)), storageKeys: [`0x${'0'.repeat(63)}1`] }]
  expect(listed?.accessList).toEqual(accessList)
  expect(created).toMatchObject({ accessList: [], maxFeePerGas: q(2_000_000_000), maxPriorityFeePerGas: q(3_000_000) })
  expect(delegated).toMatchObject({ accessList, authorizationList: [{ chainId, address: CALLEE.echo, nonce: '0x0' }] })
  expect(await call('eth_getTransactionByHash', `0x${'99'.repeat(32)}`)).toBeNull()
  expect(await call('eth_getTransactionByBlockNumberAndIndex', '0x2', '0x9')).toBeNull()
})

test('a deposit is shown as op-stack clients expect', async () => {
  expect(await served.call('eth_getTransactionByBlockNumberAndIndex', '0x1', '0x1')).toEqual({
    ...placeOf(1, 1),
    type: '0x7e',
    nonce: '0x0',
    gas: q(21_000),
    gasPrice: '0x0',
    to: addressOf(signer(6)),
    value: q(OPEN_WEI),
    input: '0x',
    sourceHash: `0x${'e1'.repeat(32)}`,
    mint: q(OPEN_WEI),
    isSystemTx: false,
    v: '0x0',
    r: '0x0',
    s: '0x0',
  })
  expect(await served.call('eth_getTransactionByBlockNumberAndIndex', '0x1', '0x0')).toMatchObject({
    isSystemTx: true,
    mint: '0x0',
    to: DOOR.ledger,
  })
})

test('receipts: gas, status, contract, logs counted over the block', async () => {
  const { call, chain } = served
  for (const n of [1, 2, 3]) {
    const at = blockAt(n)
    const receipts = (await call('eth_getBlockReceipts', q(n))) as Record<string, unknown>[]
    expect(await call('eth_getBlockReceipts', at.hash)).toEqual(receipts)
    let cumulative = 0n
    let logIndex = 0
    for (const [index, receipt] of at.receipts.entries()) {
      cumulative += receipt.gasUsed
      const json = receipts[index]
      expect(await call('eth_getTransactionReceipt', at.transactions[index]?.hash)).toEqual(json)
      expect(json).toMatchObject({
        transactionHash: at.transactions[index]?.hash,
        transactionIndex: q(index),
        blockHash: at.hash,
        blockNumber: q(n),
        from: at.transactions[index]?.sender,
        gasUsed: q(receipt.gasUsed),
        cumulativeGasUsed: q(cumulative),
        status: receipt.succeeded ? '0x1' : '0x0',
        logsBloom: toHex(bloomOf(receipt.logs)),
      })
      const place = { blockHash: at.hash, blockNumber: q(n), blockTimestamp: q(at.block.header.timestamp), removed: false }
      expect(json?.logs).toEqual(
        receipt.logs.map((log) => ({
          ...place,
          ...log,
          transactionHash: at.transactions[index]?.hash,
          transactionIndex: q(index),
          logIndex: q(logIndex++),
        })),
      )
    }
  }
  const creation = await call('eth_getTransactionReceipt', blockAt(2).transactions[3]?.hash)
  const contractAddress = getContractAddress({ from: addressOf(signer(3)), nonce: 0n }).toLowerCase()
  expect(chain.logger).toBe(contractAddress)
  const price = blockAt(2).block.header.baseFeePerGas + 3_000_000n
  expect(creation).toMatchObject({ to: null, contractAddress, type: '0x2', effectiveGasPrice: q(price) })
  expect(await call('eth_getTransactionReceipt', `0x${'99'.repeat(32)}`)).toBeNull()
  expect(await call('eth_getBlockReceipts', '0x99')).toBeNull()
})

test('a failed native transaction says which rule it broke', async () => {
  const failed = await served.call('eth_getTransactionReceipt', blockAt(3).transactions[1]?.hash)
  const { baseFeePerGas } = blockAt(3).block.header
  expect(failed).toMatchObject({
    to: DOOR.ledger,
    type: '0x50',
    status: '0x0',
    failureCode: 'insufficientBalance',
    effectiveGasPrice: q(baseFeePerGas),
  })
  const fine = await served.call('eth_getTransactionReceipt', blockAt(3).transactions[0]?.hash)
  expect(fine).not.toHaveProperty('failureCode')
})

test('eth_call: passes the call on, data and input being one, unknown members ignored', async () => {
  const { call, chain } = served
  const request = {
    from: addressOf(signer(0)),
    to: CALLEE.echo,
    gas: '0x5208',
    value: '0x1',
    maxFeePerGas: '0x2',
    maxPriorityFeePerGas: '0x1',
    chain: 'x',
    type: '0x2',
  }
  expect(await call('eth_call', { ...request, data: '0xAB', input: '0xab' }, 'latest')).toBe('0xab')
  const expected = {
    from: request.from,
    to: request.to,
    gas: 21_000n,
    gasPrice: undefined,
    maxFeePerGas: 2n,
    maxPriorityFeePerGas: 1n,
    value: 1n,
    data: '0xab',
  }
  expect(chain.lastCall).toEqual({ request: { ...expected, accessList: undefined }, overrides: undefined })
  expect(await call('eth_call', { to: null, data: '0x01' })).toBe('0x01')
  expect(chain.lastCall.request?.to).toBeUndefined()
  const accessList = [{ address: poor, storageKeys: [`0x${'0'.repeat(64)}`] }]
  await call('eth_call', { to: CALLEE.echo, gasPrice: '0x1', accessList }, null)
  expect(chain.lastCall.request).toMatchObject({ gasPrice: 1n, accessList })
})

test('eth_call: state overrides reach the chain', async () => {
  const { call, chain } = served
  const key = `0x${'0'.repeat(63)}1`
  const overrides = {
    [poor]: { balance: '0x5', nonce: '0x6', code: '0xfe', stateDiff: { '0x1': '0x02' } },
    [CALLEE.echo]: { state: { [key]: key } },
  }
  expect(await call('eth_call', { to: poor }, 'latest', overrides)).toBe('0xfe')
  expect(chain.lastCall.overrides).toEqual({
    [poor]: { balance: 5n, nonce: 6n, code: '0xfe', state: undefined, stateDiff: { [key]: `0x${'0'.repeat(63)}2` } },
    [CALLEE.echo]: { balance: undefined, nonce: undefined, code: undefined, state: { [key]: key }, stateDiff: undefined },
  })
  expect(await call('eth_call', { to: CALLEE.echo, data: '0x07' }, 'latest', {}, {})).toBe('0x07')
  expect(await call('eth_estimateGas', { to: CALLEE.echo, chain: 'x', hardfork: 'y', networkId: 1, accessList: [] })).toBe(q(21_500))
  expect(await call('eth_estimateGas', { to: CALLEE.echo }, 'pending', overrides)).toBe(q(21_500))
})

test('a call that fails says why, with the codes that libraries look for', async () => {
  const { fail } = served
  const reason = `0x08c379a0${'0'.repeat(62)}20${'0'.repeat(63)}9${Buffer.from('not today').toString('hex').padEnd(64, '0')}`
  const failed = `0x${keccak256(toHex('Failed(bytes32)')).slice(2, 10)}${Buffer.from('notCurator').toString('hex').padEnd(64, '0')}`
  for (const method of ['eth_call', 'eth_estimateGas']) {
    expect(await fail(method, { to: CALLEE.revertsWithReason })).toEqual({
      code: 3,
      message: 'execution reverted: not today',
      data: reason,
    })
    expect(await fail(method, { to: CALLEE.revertsWithFailed })).toEqual({
      code: 3,
      message: 'execution reverted: notCurator',
      data: failed,
    })
    expect(await fail(method, { to: CALLEE.revertsBare })).toEqual({ code: 3, message: 'execution reverted', data: '0x' })
    expect(await fail(method, { to: CALLEE.halts })).toEqual({
      code: -32000,
      message: 'out of gas',
      data: { code: 'halted', gasUsed: q(21_500) },
    })
    expect(await fail(method, { to: CALLEE.tooPoor })).toMatchObject({
      code: -32000,
      message: 'insufficient funds for gas * price + value',
    })
  }
})

test('eth_sendRawTransaction: takes every kind, and pending reads see it', async () => {
  const { call, chain } = served
  const raw = await signEthereum(chain, 5, { nonce: 0, to: poor, value: 1n })
  const hash = keccak256(raw)
  expect(await call('eth_sendRawTransaction', raw)).toBe(hash)
  expect(await call('txpool_status')).toEqual({ pending: '0x1', queued: '0x0' })
  expect(await call('eth_getTransactionCount', addressOf(signer(5)), 'pending')).toBe('0x1')
  expect(await call('eth_getTransactionCount', addressOf(signer(5)), 'latest')).toBe('0x0')
  expect(await call('eth_getTransactionByHash', hash)).toMatchObject({
    hash,
    blockHash: null,
    blockNumber: null,
    transactionIndex: null,
    gasPrice: q(2_000_000_000),
  })
  expect(await call('eth_getRawTransactionByHash', hash)).toBe(raw)
  expect(await call('eth_getTransactionReceipt', hash)).toBeNull()
  await chain.seal()
  expect(await call('eth_getTransactionReceipt', hash)).toMatchObject({ status: '0x1', blockNumber: '0x4' })
})

test('a refused transaction gets the words that ethers and viem look for, the rule, and its facts', async () => {
  const { fail, chain } = served
  const raw = await signEthereum(chain, 5, { nonce: 1, to: poor, value: 1n })
  const words: Record<string, string> = {
    nonceTooLow: 'nonce too low',
    insufficientFunds: 'insufficient funds for gas * price + value',
    alreadyKnown: 'already known',
    replacementUnderpriced: 'replacement transaction underpriced',
    gasTooLow: 'intrinsic gas too low',
    feeTooLow: 'max fee per gas less than block base fee',
    somethingNew: 'transaction rejected: somethingNew',
  }
  for (const [code, message] of Object.entries(words)) {
    chain.refuseNext({ ok: false, code, invalid: true, got: 3n, want: 5 })
    expect(await fail('eth_sendRawTransaction', raw)).toEqual({ code: -32000, message, data: { code, got: '0x3', want: 5 } })
  }
  expect(await fail('eth_sendRawTransaction', '0x')).toMatchObject({ code: -32000, data: { code: 'emptyTransaction' } })
  expect(await fail('eth_sendRawTransaction', '0x50c0')).toMatchObject({ code: -32000, message: 'malformed transaction' })
})

test('reads of blocks and state that are not there say so', async () => {
  const { fail, chain } = served
  const latest = q(chain.heads().latest)
  expect(await fail('eth_getBalance', poor, '0x99')).toEqual({
    code: -32001,
    message: 'unknown block',
    data: { code: 'unknownBlock', blockNumber: '0x99', latest },
  })
  expect(await fail('eth_call', { to: poor }, { blockHash: `0x${'99'.repeat(32)}` })).toMatchObject({
    code: -32001,
    message: 'unknown block',
  })
  chain.pruneBelow(2n)
  expect(await fail('eth_getBalance', poor, '0x1')).toMatchObject({ code: -32002, data: { code: 'stateUnavailable' } })
  chain.pruneBelow(0n)
})
