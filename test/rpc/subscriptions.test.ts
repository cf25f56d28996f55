/** eth_subscribe: what it tells, to whom, from when on, and how many there may be. */
import { numberToHex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RPC_LIMITS } from '../../rpc/limits.ts'
import { createSubscriptions } from '../../rpc/subscriptions.ts'
import { createFakeChain, LOGGED_TOPIC, signEthereum } from '../fakes/chain.ts'
import { openSocket, type Served, type Socket, serve } from './serve.ts'

let served: Served
let socket: Socket
beforeAll(async () => {
  served = await serve({ limits: { subscriptions: 4 } })
  socket = await openSocket(served.server.wsUrl)
})
afterAll(async () => {
  socket.close()
  await served.server.close()
})

const told = (subscription: unknown, result: unknown) => ({ jsonrpc: '2.0', method: 'eth_subscription', params: { subscription, result } })
const subscribe = async (...params: unknown[]) => (await socket.call('eth_subscribe', ...params)).result

test('newHeads: each block’s header, until the subscription ends', async () => {
  const { chain, call } = served
  const id = await subscribe('newHeads')
  expect(id).toMatch(/^0x[1-9a-f][0-9a-f]*$/)
  const at = await chain.seal()
  const {
    size: _size,
    transactions: _transactions,
    uncles: _uncles,
    withdrawals: _withdrawals,
    ...header
  } = (await call('eth_getBlockByHash', at.hash)) as Record<string, unknown>
  expect(await socket.next()).toEqual(told(id, header))
  await chain.seal()
  expect(await socket.next()).toMatchObject(told(id, { number: '0x5', parentHash: at.hash }))
  expect(await socket.call('eth_unsubscribe', id)).toHaveProperty('result', true)
  expect(await socket.call('eth_unsubscribe', id)).toHaveProperty('result', false)
  await chain.seal()
  expect(await socket.call('eth_blockNumber')).toHaveProperty('result', '0x6') // and nothing came before this
})

test('logs: those that match, as eth_getLogs shows them', async () => {
  const { chain, call } = served
  const all = await subscribe('logs')
  const mine = await subscribe('logs', { address: chain.logger, topics: [LOGGED_TOPIC] })
  const none = await subscribe('logs', { address: `0x${'99'.repeat(20)}` })
  const raws = [await signEthereum(chain, 6, { nonce: 0, to: chain.logger }), await signEthereum(chain, 6, { nonce: 1, to: chain.logger })]
  const { hash } = await chain.seal(raws)
  const logs = (await call('eth_getLogs', { blockHash: hash })) as unknown[]
  expect(logs).toHaveLength(2)
  const messages = [await socket.next(), await socket.next(), await socket.next(), await socket.next()]
  expect(messages).toEqual([told(all, logs[0]), told(all, logs[1]), told(mine, logs[0]), told(mine, logs[1])])
  for (const id of [all, mine, none]) await socket.call('eth_unsubscribe', id)
})

test('newPendingTransactions: hashes, or whole transactions', async () => {
  const { chain, call } = served
  const hashes = await subscribe('newPendingTransactions')
  const whole = await subscribe('newPendingTransactions', true)
  const raw = await signEthereum(chain, 6, { nonce: 2, to: chain.logger })
  const hash = await call('eth_sendRawTransaction', raw)
  const transaction = await call('eth_getTransactionByHash', hash)
  expect([await socket.next(), await socket.next()]).toEqual([told(hashes, hash), told(whole, transaction)])
  for (const id of [hashes, whole]) await socket.call('eth_unsubscribe', id)
  await chain.seal()
})

test('syncing: how things stand, and every change', async () => {
  const { chain } = served
  const id = await subscribe('syncing')
  expect(await socket.next()).toEqual(told(id, false))
  chain.announce(99n)
  await chain.seal()
  const currentBlock = numberToHex(chain.heads().latest)
  expect(await socket.next()).toEqual(told(id, { syncing: true, status: { startingBlock: '0x3', currentBlock, highestBlock: '0x63' } }))
  await chain.seal()
  chain.announce(undefined)
  await chain.seal()
  expect(await socket.next()).toEqual(told(id, false))
  await socket.call('eth_unsubscribe', id)
})

test('subscriptions are bounded for each connection, and its own', async () => {
  const other = await openSocket(served.server.wsUrl)
  const ids = []
  for (let i = 0; i < 4; i++) ids.push((await other.call('eth_subscribe', 'newHeads')).result)
  expect(await other.call('eth_subscribe', 'newHeads')).toMatchObject({
    error: { code: -32005, data: { code: 'tooManySubscriptions', max: 4 } },
  })
  expect(await socket.call('eth_unsubscribe', ids[0])).toHaveProperty('result', false)
  expect(await other.call('eth_unsubscribe', ids[0])).toHaveProperty('result', true)
  other.close()
  await other.closed
  await served.chain.seal() // nobody is left to tell
})

test('what cannot be subscribed to', async () => {
  expect(await socket.call('eth_subscribe', 'weather')).toMatchObject({ error: { code: -32602, data: { param: 'kind' } } })
  expect(await socket.call('eth_subscribe', 'logs', { topics: 'x' })).toMatchObject({
    error: { code: -32602, data: { param: 'options.topics' } },
  })
  expect(await served.fail('eth_subscribe', 'newHeads')).toMatchObject({
    code: -32601,
    message: 'subscriptions need a WebSocket connection',
  })
})

test('nothing is sent before the client knows the subscription’s name', async () => {
  const chain = await createFakeChain()
  const sent: string[] = []
  const subscriptions = createSubscriptions(chain, RPC_LIMITS, 0n)
  const subscriber = { send: (text: string) => void sent.push(text) }
  const id = subscriptions.add(subscriber, { kind: 'newHeads' })
  chain.subscribe(subscriptions)
  await chain.seal()
  expect(sent).toEqual([])
  subscriptions.start(subscriber)
  await chain.seal()
  expect(sent.map((text) => JSON.parse(text).params.subscription)).toEqual([id])
  subscriptions.drop(subscriber)
  await chain.seal()
  expect(sent).toHaveLength(1)
})
