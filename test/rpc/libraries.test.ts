/** Clients as they come, knowing nothing of this chain: viem and ethers 6 read and send over HTTP and WebSocket. */
import { JsonRpcProvider, Network, Wallet, WebSocketProvider } from 'ethers'
import {
  BaseError,
  createPublicClient,
  createWalletClient,
  defineChain,
  FeeCapTooLowError,
  getAddress,
  type Hex,
  http,
  InsufficientFundsError,
  NonceTooLowError,
  parseEther,
  webSocket,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DOOR, OPEN_WEI } from '../../genesis/params.ts'
import { CALLEE, LOGGED_TOPIC, signEthereum, signer } from '../fakes/chain.ts'
import { addressOf, testKeys } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

let served: Served
let provider: JsonRpcProvider
beforeAll(async () => {
  served = await serve()
  const network = Network.from(served.chain.params.chainId)
  provider = new JsonRpcProvider(served.server.url, network, { staticNetwork: network, pollingInterval: 20 })
})
afterAll(async () => {
  provider.destroy()
  await served.server.close()
})

function plainChain() {
  const { url, wsUrl } = served.server
  return defineChain({
    id: served.chain.params.chainId,
    name: 'plain',
    nativeCurrency: { name: 'OPEN', symbol: 'OPEN', decimals: 18 },
    rpcUrls: { default: { http: [url], webSocket: [wsUrl] } },
  })
}
const client = (batch = false) =>
  createPublicClient({ chain: plainChain(), transport: http(undefined, { batch, retryCount: 0 }), pollingInterval: 20 })
const hashAt = (block: number, index: number): Hex => served.chain.blocks[block]?.transactions[index]?.hash ?? '0x'
const receiver = addressOf(signer(5))

test('viem: blocks, transactions, receipts and logs of every kind', async () => {
  const viem = client(true)
  const blocks = await Promise.all([0n, 1n, 2n, 3n].map((blockNumber) => viem.getBlock({ blockNumber, includeTransactions: true })))
  expect(blocks.map(({ transactions }) => transactions.map(({ type, typeHex }) => type ?? typeHex))).toEqual([
    [],
    ['0x7e', '0x7e', '0x7e'],
    ['legacy', 'legacy', 'eip2930', 'eip1559', 'eip7702'],
    ['0x51', '0x50'],
  ])
  const receipt = await viem.getTransactionReceipt({ hash: hashAt(3, 0) })
  expect(receipt).toMatchObject({ status: 'success', to: DOOR.datanets, type: '0x51', blockNumber: 3n, contractAddress: null })
  expect((await viem.getLogs({ fromBlock: 0n, toBlock: 'latest', address: DOOR.datanets })).map(({ logIndex }) => logIndex)).toEqual([0])
  expect(await viem.getTransactionConfirmations({ hash: hashAt(2, 0) })).toBe(2n)
  expect(await viem.getProof({ address: DOOR.ledger, storageKeys: ['0x0'] })).toMatchObject({
    address: DOOR.ledger,
    storageProof: [{ value: 0n }],
  })
})

test('viem: fees, estimates, calls with overrides', async () => {
  const viem = client()
  const { maxFeePerGas, maxPriorityFeePerGas } = await viem.estimateFeesPerGas()
  expect(maxPriorityFeePerGas).toBe(1_000_000n)
  expect(maxFeePerGas).toBeGreaterThan(await viem.getGasPrice().then((price) => price - 2_000_000n))
  expect((await viem.getFeeHistory({ blockCount: 2, rewardPercentiles: [50] })).reward).toHaveLength(2)
  expect(await viem.estimateGas({ account: signer(0), to: CALLEE.echo })).toBe(21_500n)
  const stateOverride = [
    {
      address: receiver,
      code: '0xc0de' as Hex,
      balance: 1n,
      stateDiff: [{ slot: `0x${'01'.repeat(32)}` as Hex, value: `0x${'02'.repeat(32)}` as Hex }],
    },
  ]
  expect((await viem.call({ to: receiver, stateOverride })).data).toBe('0xc0de')
})

test('viem: sends, waits, follows', async () => {
  const viem = createPublicClient({ chain: plainChain(), transport: webSocket() })
  const wallet = createWalletClient({ chain: plainChain(), account: signer(5), transport: http() })
  const logs: unknown[] = []
  const heard = Promise.withResolvers<void>()
  const ready = Promise.withResolvers<void>()
  const stopLogs = viem.watchEvent({
    address: served.chain.logger,
    onLogs(found) {
      logs.push(...found)
      heard.resolve()
    },
  })
  const stopPending = viem.watchPendingTransactions({ onTransactions: () => ready.resolve() })
  await viem.getBlockNumber() // answers after both subscriptions were made
  const hash = await wallet.sendTransaction({ to: served.chain.logger, gas: 60_000n })
  await ready.promise
  await served.chain.seal()
  await heard.promise
  expect(await viem.waitForTransactionReceipt({ hash })).toMatchObject({ status: 'success', transactionHash: hash })
  expect(logs).toMatchObject([{ transactionHash: hash, topics: [LOGGED_TOPIC] }])
  stopLogs()
  stopPending()
  ;(await viem.transport.getRpcClient()).close()
})

test('viem: understands what is refused', async () => {
  const wallet = createWalletClient({ chain: plainChain(), account: signer(5), transport: http(undefined, { retryCount: 0 }) })
  const send = async (code: string) => {
    served.chain.refuseNext({ ok: false, code, invalid: true })
    const request = { to: receiver, gas: 21_000n, nonce: 50, maxFeePerGas: 2_000_000_000n, maxPriorityFeePerGas: 1n } as const
    return wallet.sendTransaction(request).catch((error: unknown) => error) as Promise<BaseError>
  }
  for (const [code, kind] of [
    ['nonceTooLow', NonceTooLowError],
    ['insufficientFunds', InsufficientFundsError],
    ['feeTooLow', FeeCapTooLowError],
  ] as const) {
    expect((await send(code)).walk((error) => error instanceof kind)).toBeInstanceOf(kind)
  }
  const reverted = (await client()
    .call({ to: CALLEE.revertsWithReason })
    .catch((error: unknown) => error)) as BaseError
  expect(reverted).toBeInstanceOf(BaseError)
  expect(reverted.shortMessage).toMatch(/not today/)
})

test('ethers: blocks, transactions, receipts and logs of every kind', async () => {
  expect(await provider.getBlockNumber()).toBe(Number(served.chain.heads().latest))
  expect((await provider.getNetwork()).chainId).toBe(BigInt(served.chain.params.chainId))
  const whole = await Promise.all([1, 2, 3].map((number) => provider.getBlock(number, true)))
  expect(whole.map((block) => block?.prefetchedTransactions.map(({ type }) => type))).toEqual([
    [0x7e, 0x7e, 0x7e],
    [0, 0, 1, 2, 4],
    [0x51, 0x50],
  ])
  const native = await provider.getTransaction(hashAt(3, 0))
  expect(native).toMatchObject({ type: 0x51, to: DOOR.datanets, value: 0n, nonce: 0, blockNumber: 3 })
  const failed = await provider.getTransactionReceipt(hashAt(3, 1))
  expect(failed).toMatchObject({ status: 0, to: getAddress(DOOR.ledger), type: 0x50 })
  const created = await provider.getTransactionReceipt(hashAt(2, 3))
  expect(created?.contractAddress?.toLowerCase()).toBe(served.chain.logger)
  expect((await provider.getLogs({ fromBlock: 0, toBlock: 'latest', address: DOOR.datanets })).length).toBe(1)
  expect(await provider.getBalance(receiver, 0)).toBe(1_000_000n * OPEN_WEI)
  const fees = await provider.getFeeData()
  expect(fees).toMatchObject({ maxPriorityFeePerGas: 1_000_000n, gasPrice: expect.any(BigInt), maxFeePerGas: expect.any(BigInt) })
  expect(await provider.call({ to: CALLEE.echo, data: '0x1234' })).toBe('0x1234')
  await expect(provider.call({ to: CALLEE.revertsWithReason })).rejects.toMatchObject({ code: 'CALL_EXCEPTION', reason: 'not today' })
})

test('ethers: sends and waits, and understands what is refused', async () => {
  const wallet = new Wallet(testKeys[6] ?? '0x', provider)
  const sent = await wallet.sendTransaction({ to: receiver, value: parseEther('1') })
  await served.chain.seal()
  expect(await sent.wait()).toMatchObject({ status: 1, hash: sent.hash })
  const raw = await signEthereum(served.chain, 6, { nonce: 9, to: receiver })
  for (const [code, name] of [
    ['nonceTooLow', 'NONCE_EXPIRED'],
    ['insufficientFunds', 'INSUFFICIENT_FUNDS'],
    ['replacementUnderpriced', 'REPLACEMENT_UNDERPRICED'],
  ] as const) {
    served.chain.refuseNext({ ok: false, code, invalid: true })
    await expect(provider.broadcastTransaction(raw)).rejects.toMatchObject({ code: name })
  }
})

test('ethers: signs a native transaction as typed data', async () => {
  const { chainId } = served.chain.params
  const types = {
    Transfer: ['uint64 nonce', 'uint96 maxFee', 'uint8 kind', 'address to', 'uint96 amount'].map((member) => {
      const [type = '', name = ''] = member.split(' ')
      return { name, type }
    }),
  }
  const fields = { kind: 0, to: receiver, amount: '7' }
  const wallet = new Wallet(testKeys[4] ?? '0x')
  const domain = { name: 'Tributary', version: '1', chainId, verifyingContract: DOOR.ledger }
  const signature = await wallet.signTypedData(domain, types, { nonce: 0, maxFee: OPEN_WEI, ...fields })
  const transaction = { type: 'Transfer', nonce: '0x0', maxFee: `0x${OPEN_WEI.toString(16)}`, fields, signature }
  const hash = await provider.send('tributary_sendTypedTransaction', [transaction])
  await served.chain.seal()
  expect(await provider.getTransactionReceipt(hash)).toMatchObject({ status: 1, from: wallet.address })
})

test('ethers over WebSocket hears of blocks', async () => {
  const socket = new WebSocketProvider(served.server.wsUrl)
  const heard = Promise.withResolvers<number>()
  await socket.on('block', (number: number) => heard.resolve(number))
  await socket.getBlockNumber()
  const subscribed = Number(served.chain.heads().latest)
  await served.chain.seal()
  expect(await heard.promise).toBe(subscribed + 1)
  await socket.destroy()
})
