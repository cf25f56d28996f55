/** The server answers anything that comes in with a typed error, holds its limits, and stays up. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RpcServerOptions } from '../../rpc/server.ts'
import { CALLEE } from '../fakes/chain.ts'
import { exchange, openSocket, type Served, serve } from './serve.ts'

let served: Served
const extra: Served[] = []
beforeAll(async () => {
  served = await serve()
})
afterAll(async () => {
  for (const one of [served, ...extra]) await one.server.close()
})

async function serveWith(options: Partial<RpcServerOptions>): Promise<Served> {
  const one = await serve(options, served.chain)
  extra.push(one)
  return one
}

const chainIdCall = (id: unknown = 1) => ({ jsonrpc: '2.0', id, method: 'eth_chainId', params: [] })
const isUp = async () => expect(await served.call('eth_chainId')).toMatch(/^0x/)

test('bodies that are no JSON', async () => {
  for (const body of [
    '',
    '{',
    '[1,',
    '{"jsonrpc":"2.0","id":1,"method":"eth_chainId"',
    'hello',
    '\u0000',
    '{"a":undefined}',
    Uint8Array.of(0xff, 0xfe, 0x80),
  ]) {
    const { status, json } = await served.post(body)
    expect({ status, json }).toMatchObject({ status: 200, json: { jsonrpc: '2.0', id: null, error: { code: -32700 } } })
  }
  await isUp()
})

test('JSON that is no call', async () => {
  const cases: readonly [unknown, unknown][] = [
    [5, null],
    ['eth_chainId', null],
    [true, null],
    [{}, null],
    [{ jsonrpc: '1.0', id: 4, method: 'eth_chainId' }, 4],
    [{ jsonrpc: '2.0', id: 4, method: 5 }, 4],
    [{ jsonrpc: '2.0', id: 4 }, 4],
    [{ jsonrpc: '2.0', id: { a: 1 }, method: 'eth_chainId' }, null],
    [{ jsonrpc: '2.0', id: [1], method: 'eth_chainId' }, null],
    [[], null],
  ]
  for (const [body, id] of cases) expect((await served.post(JSON.stringify(body))).json).toMatchObject({ id, error: { code: -32600 } })
  expect((await served.post('null')).json).toMatchObject({ id: null, error: { code: -32600 } })
})

test('any JSON at all gets a JSON-RPC answer', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json({ maxDepth: 6 }), async (body) => {
      const { json, status, text } = await served.post(body)
      expect([200, 204]).toContain(status)
      if (text !== '') for (const answer of [json].flat()) expect(answer).toMatchObject({ jsonrpc: '2.0' })
    }),
    { numRuns: 100 },
  )
  await isUp()
})

test('any parameters at all get an answer that is no internal error', async () => {
  const { methods } = (await served.call('rpc.discover')) as { methods: { name: string }[] }
  const hexish = fc.oneof(fc.constantFrom('latest', '0x', '0x0', '0x1', `0x${'00'.repeat(20)}`, `0x${'00'.repeat(32)}`), fc.string())
  const value = fc.oneof(
    hexish,
    fc.jsonValue({ maxDepth: 3 }),
    fc.dictionary(fc.constantFrom('to', 'data', 'fromBlock', 'topics', 'address', 'type', 'fields', '__proto__'), hexish),
  )
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...methods.map(({ name }) => name)), fc.array(value, { maxLength: 4 }), async (method, params) => {
      const { json } = await served.post(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }))
      expect((json as { error?: { code: number } }).error?.code).not.toBe(-32603)
    }),
    { numRuns: 500 },
  )
})

test('an unknown method, in any namespace', async () => {
  for (const method of ['eth_nothing', 'foo', '', 'toString', '__proto__']) {
    expect(await served.fail(method)).toEqual({ code: -32601, message: `the method ${method} does not exist/is not available` })
  }
  for (const [method, why] of [
    ['eth_sign', 'the node holds no keys of its users: sign in a wallet'],
    ['engine_newPayloadV4', 'consensus is part of the node'],
  ] as const)
    expect(await served.fail(method)).toEqual({ code: -32601, message: `the method ${method} does not exist/is not available: ${why}` })
})

test('a batch is answered in order, call by call, notifications left out', async () => {
  const { json } = await served.post(
    JSON.stringify([
      chainIdCall('a'),
      { jsonrpc: '2.0', method: 'eth_chainId' },
      { ...chainIdCall('b'), method: 'no' },
      7,
      chainIdCall(null),
    ]),
  )
  const id = await served.call('eth_chainId')
  expect(json).toEqual([
    { jsonrpc: '2.0', id: 'a', result: id },
    { jsonrpc: '2.0', id: 'b', error: { code: -32601, message: expect.any(String) } },
    { jsonrpc: '2.0', id: null, error: { code: -32600, message: expect.any(String) } },
    { jsonrpc: '2.0', id: null, result: id },
  ])
  const silent = await served.post(JSON.stringify([{ jsonrpc: '2.0', method: 'eth_chainId' }]))
  expect([silent.status, silent.text]).toEqual([204, ''])
  expect((await served.post(JSON.stringify([chainIdCall(1)]))).json).toEqual([{ jsonrpc: '2.0', id: 1, result: id }])
})

test('a batch, a body, a nesting too large', async () => {
  const { post } = await serveWith({ limits: { batchCalls: 3, bodyBytes: 2_000, jsonDepth: 5 } })
  expect((await post(JSON.stringify(Array(4).fill(chainIdCall())))).json).toMatchObject({
    id: null,
    error: { code: -32600, message: /batch of 4 calls, 3 at most/ },
  })
  const large = await post(JSON.stringify({ ...chainIdCall(), padding: 'x'.repeat(5_000) }))
  expect(large).toMatchObject({ status: 413, json: { id: null, error: { code: -32600, message: 'the body exceeds 2000 bytes' } } })
  expect((await post('['.repeat(1_900))).json).toMatchObject({ error: { code: -32600, message: 'the request nests deeper than 5' } })
  expect((await post('[[[[[1]]]]]')).json).toMatchObject([{ error: { code: -32600 } }])
  for (const note of ['[[[[[[[{{{{{{"', '[[[[[["[[[[[[\\', '\\"[[[[[[\\\\"'])
    expect((await post(JSON.stringify({ ...chainIdCall(), note }))).json).toHaveProperty('result')
  expect((await post(JSON.stringify({ note: '\\', deep: [[[[[1]]]]] }))).json).toMatchObject({ error: { code: -32600 } })
  expect((await post(JSON.stringify(chainIdCall()))).json).toHaveProperty('result')
})

test('a body whose length is not told beforehand is cut off too', async () => {
  const { server } = await serveWith({ limits: { bodyBytes: 100 } })
  const chunk = `${'x'.repeat(60)}`
  const chunks = Array(3).fill(`3c\r\n${chunk}\r\n`).join('')
  const head =
    'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n'
  expect(await exchange(server.url, `${head}${chunks}0\r\n\r\n`)).toMatch(/^HTTP\/1.1 413 /)
})

test('the answers to a batch end at a size', async () => {
  const { post } = await serveWith({ limits: { responseBytes: 3_000 } })
  const { json } = await post(
    JSON.stringify(Array.from({ length: 6 }, (_, id) => ({ jsonrpc: '2.0', id, method: 'eth_getBlockByNumber', params: ['0x2', true] }))),
  )
  expect((json as { error?: { code: number; data: unknown } }[]).map(({ error }) => error?.code)).toEqual([
    undefined,
    -32005,
    -32005,
    -32005,
    -32005,
    -32005,
  ])
})

test('only JSON is taken, only by POST', async () => {
  const body = JSON.stringify(chainIdCall())
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', '']) {
    expect(await served.post(body, { 'content-type': type })).toMatchObject({ status: 415, json: { error: { code: -32600 } } })
  }
  expect(await served.post(body, { 'content-type': 'application/json; charset=utf-8' })).toMatchObject({ status: 200 })
  for (const method of ['PUT', 'DELETE', 'PATCH']) expect((await fetch(served.server.url, { method, body })).status).toBe(405)
  expect((await fetch(served.server.url)).status).toBe(404)
})

test('health and readiness', async () => {
  const get = async (path: string) => {
    const response = await fetch(`${served.server.url}${path}`)
    return [response.status, await response.json()]
  }
  expect(await get('/health')).toEqual([200, { ok: true }])
  expect(await get('/ready')).toEqual([200, { ready: true }])
  served.chain.announce(99n)
  expect(await get('/ready')).toEqual([503, { ready: false }])
  served.chain.announce(undefined)
})

test('a name that is not allowed gets nothing: a page cannot rebind its name to this address', async () => {
  const request = (host: string) =>
    exchange(served.server.url, `GET /health HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`).then((text) => text.slice(9, 12))
  for (const host of ['localhost', 'LOCALHOST:8545', '127.0.0.1', '127.0.0.1:1', '[::1]:8545']) expect(await request(host)).toBe('200')
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '', '*']) expect(await request(host)).toBe('403')
  const open = await serveWith({ allowedHosts: ['node.example'] })
  expect(await exchange(open.server.url, 'GET /health HTTP/1.1\r\nhost: Node.Example:80\r\nconnection: close\r\n\r\n')).toMatch(
    /^HTTP\/1.1 200/,
  )
})

test('only pages of allowed origins may read answers', async () => {
  const page = 'http://localhost:5173'
  const { server, post } = await serveWith({ allowedOrigins: [page] })
  const preflight = (origin: string) =>
    fetch(server.url, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } })
  expect((await preflight(page)).headers.get('access-control-allow-origin')).toBe(page)
  expect((await preflight(page)).headers.get('access-control-allow-headers')).toBe('content-type')
  expect((await preflight('http://evil.example')).headers.get('access-control-allow-origin')).toBeNull()
  expect((await post(JSON.stringify(chainIdCall()), { origin: page })).headers.get('access-control-allow-origin')).toBe(page)
  expect((await served.post(JSON.stringify(chainIdCall()), { origin: page })).headers.get('access-control-allow-origin')).toBeNull()
})

test('WebSocket: the same calls, batches and errors; hosts and origins as over HTTP', async () => {
  const socket = await openSocket(served.server.wsUrl)
  const id = await served.call('eth_chainId')
  expect(await socket.call('eth_chainId')).toEqual({ jsonrpc: '2.0', id: 1, result: id })
  expect(await socket.call('eth_getBalance', 'x')).toMatchObject({ error: { code: -32602 } })
  socket.send('{')
  expect(await socket.next()).toMatchObject({ id: null, error: { code: -32700 } })
  socket.send(JSON.stringify([chainIdCall('a'), chainIdCall('b')]))
  expect(await socket.next()).toEqual([
    { jsonrpc: '2.0', id: 'a', result: id },
    { jsonrpc: '2.0', id: 'b', result: id },
  ])
  socket.close()
  await expect(openSocket(served.server.wsUrl, { host: 'evil.example' })).rejects.toThrow('403')
  await expect(openSocket(served.server.wsUrl, { origin: 'http://evil.example' })).rejects.toThrow('403')
  const open = await serveWith({ allowedOrigins: ['*'] })
  const page = await openSocket(open.server.wsUrl, { origin: 'http://any.example' })
  expect(await page.call('eth_chainId')).toHaveProperty('result', id)
  page.close()
})

test('WebSocket: a message too large ends the connection, and no other', async () => {
  const { server } = await serveWith({ limits: { bodyBytes: 1_000 } })
  const [greedy, other] = await Promise.all([openSocket(server.wsUrl), openSocket(server.wsUrl)])
  greedy.send('x'.repeat(2_000))
  expect(await greedy.closed).toBe(1009)
  expect(await other.call('eth_chainId')).toHaveProperty('result')
  other.close()
})

test('WebSocket: a client that gives no sign of life is let go', async () => {
  const { server } = await serveWith({ limits: { idleMs: 100 } })
  const dead = await openSocket(server.wsUrl, { autoPong: false })
  expect(await dead.closed).toBe(1006)
})

test('WebSocket: a client that does not read what it asked for is let go', async () => {
  const seen = Promise.withResolvers<void>()
  const log = { info: (event: string) => (event === 'rpc client reads too slowly' ? seen.resolve() : undefined), error: () => {} }
  const { server } = await serveWith({ limits: { unsentBytes: 100_000 }, log })
  const deaf = await openSocket(server.wsUrl)
  deaf.pause()
  const block = { jsonrpc: '2.0', id: 'x', method: 'eth_getBlockByNumber', params: ['0x2', true] }
  // More than the buffers of a loopback connection can hold.
  for (let i = 0; i < 40; i++) deaf.send(JSON.stringify(Array(100).fill(block)))
  await seen.promise
  deaf.resume()
  expect(await deaf.closed).toBe(1006)
})

test('a request that does not arrive in time is let go', async () => {
  const { server } = await serveWith({ limits: { requestMs: 100 } })
  const text = await exchange(
    server.url,
    'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"json',
  )
  expect(text).toMatch(/^HTTP\/1.1 408 /)
})

test('calls a second are held to their rate, for each connection on its own', async () => {
  let now = 1_000_000
  const { server } = await serveWith({ limits: { callsPerSec: 3 }, now: () => now })
  const [eager, other] = await Promise.all([openSocket(server.wsUrl), openSocket(server.wsUrl)])
  for (let i = 0; i < 3; i++) expect(await eager.call('eth_chainId')).toHaveProperty('result')
  eager.send(JSON.stringify(chainIdCall('d')))
  expect(await eager.next()).toMatchObject({ id: null, error: { code: -32005, data: { code: 'rateExceeded', max: 3 } } })
  expect(await other.call('eth_chainId')).toHaveProperty('result')
  now += 400
  expect(await eager.call('eth_chainId')).toHaveProperty('result')
  eager.send(JSON.stringify([chainIdCall(1), chainIdCall(2), chainIdCall(3), chainIdCall(4)]))
  expect(await eager.next()).toMatchObject({ error: { code: -32005 } })
  eager.close()
  other.close()
})

test('over HTTP a rate is refused with 429', async () => {
  const { post } = await serveWith({ limits: { callsPerSec: 2 } })
  const answer = await post(JSON.stringify([chainIdCall(1), chainIdCall(2), chainIdCall(3)]))
  expect(answer).toMatchObject({ status: 429, json: { error: { code: -32005 } } })
  expect(answer.headers.get('retry-after')).toBe('1')
})

test('calls at once are bounded for each connection', async () => {
  const { server } = await serveWith({ limits: { callsInFlight: 2 } })
  const socket = await openSocket(server.wsUrl)
  const waiting = [socket.call('eth_call', { to: CALLEE.waits }), socket.call('eth_call', { to: CALLEE.waits })]
  socket.send(JSON.stringify(chainIdCall('x')))
  expect(await socket.next()).toMatchObject({ id: null, error: { code: -32005, data: { code: 'tooManyCalls', max: 2 } } })
  served.chain.goOn()
  for (const answer of await Promise.all(waiting)) expect(answer).toHaveProperty('result', '0x')
  expect(await socket.call('eth_chainId')).toHaveProperty('result')
  socket.close()
})

test('connections are bounded', async () => {
  const { server } = await serveWith({ limits: { connections: 2 } })
  const first = await openSocket(server.wsUrl)
  const second = await openSocket(server.wsUrl)
  await expect(openSocket(server.wsUrl)).rejects.toThrow()
  first.close()
  await first.closed
  second.close()
})

test('a defect is told to the log, and to the client only that there was one', async () => {
  const { fail, logged } = await serveWith({})
  expect(await fail('eth_call', { to: CALLEE.breaks })).toEqual({ code: -32603, message: 'internal error' })
  const told = logged.filter(({ level }) => level === 'error')
  expect(told).toMatchObject([
    { event: 'rpc method failed', facts: { method: 'eth_call', error: 'Error: the disk of /secret/place is on fire' } },
  ])
})

test('rpc.discover lists every method with its parameters', async () => {
  const { methods } = (await served.call('rpc.discover')) as {
    methods: { name: string; summary: string; params: { name: string; required: boolean }[] }[]
  }
  const logs = methods.find(({ name }) => name === 'eth_getStorageAt')
  expect(logs?.params.map(({ name, required }) => [name, required])).toEqual([
    ['address', true],
    ['slot', true],
    ['block', false],
  ])
  for (const { name, summary } of methods) {
    expect(name).toMatch(/^(eth|net|web3|txpool|debug|ots|erigon|tributary)_[a-z]\w+$/i)
    expect(summary).toMatch(/\.$|\)$/)
  }
})

test('a closed server frees its port and its sockets', async () => {
  const one = await serve({}, served.chain)
  const socket = await openSocket(one.server.wsUrl)
  await one.server.close()
  expect(await socket.closed).toBe(1006)
  await expect(fetch(one.server.url)).rejects.toThrow()
  const again = await serve({ port: Number(new URL(one.server.url).port) }, served.chain)
  expect(await again.call('eth_chainId')).toMatch(/^0x/)
  await again.server.close()
})
