/** One address has one client's share, whatever connections it takes it over; who speaks for others is believed only where the operator says so. */
import { expect, test } from 'vitest'
import { createClients } from '../../rpc/clients.ts'
import { serve } from './serve.ts'

const limits = { callsPerSecOfAddress: 10 }
const clients = (proxies: readonly string[] = []) => createClients(limits, proxies, () => 0)

test.each([
  ['the same address', '192.0.2.1', '192.0.2.1', true],
  ['another one', '192.0.2.1', '192.0.2.2', false],
  ['IPv4 within IPv6', '::ffff:192.0.2.1', '192.0.2.1', true],
  ['the same 64 bits of IPv6', '2001:db8:1:2::1', '2001:DB8:1:2:ffff::9', true],
  ['the same, written at length', '2001:db8::1', '2001:0db8:0000:0000:1:2:3:4', true],
  ['other 64 bits', '2001:db8:1:2::1', '2001:db8:1:3::1', false],
])('%s', (_, one, other, isSame) => {
  const book = clients()
  expect(book.of(one, undefined) === book.of(other, undefined)).toBe(isSame)
})

test('loopback is not counted, and who is no proxy speaks for itself alone', () => {
  const book = clients(['10.0.0.1'])
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', undefined])
    expect(book.of(address, undefined)).toBeUndefined()
  expect(book.of('192.0.2.1', '203.0.113.7')).toBe(book.of('192.0.2.1', undefined))
  expect(book.of('10.0.0.1', '198.51.100.1, 203.0.113.7')).toBe(book.of('203.0.113.7', undefined))
  expect(book.of('10.0.0.1', 'unknown')).toBe(book.of('10.0.0.1', undefined))
})

test('addresses are forgotten when there are too many, but those that are connected', () => {
  const book = clients()
  const address = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`
  const kept = book.of('192.0.2.1', undefined)
  const quiet = book.of('192.0.2.2', undefined)
  if (kept) kept.connections = 1
  for (let i = 0; i < 70_000; i++) book.of(address(i), undefined)
  expect(book.of('192.0.2.1', undefined)).toBe(kept)
  expect(book.of('192.0.2.2', undefined)).not.toBe(quiet)
})

test('an address that asks too much is told so, on every connection; others are answered', async () => {
  const served = await serve({ trustedProxies: ['127.0.0.1'], limits: { callsPerSecOfAddress: 3 }, now: () => 0 })
  const ask = (forwarded: string) =>
    served.post('{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}', { 'x-forwarded-for': forwarded, connection: 'close' })
  for (let i = 0; i < 3; i++) expect((await ask('203.0.113.7')).status).toBe(200)
  const { status, headers, json } = await ask('203.0.113.7')
  expect([status, headers.get('retry-after')]).toEqual([429, '1'])
  expect(json).toMatchObject({ error: { code: -32005, data: { code: 'rateExceeded', max: 3 } } })
  expect((await ask('203.0.113.8')).status).toBe(200)
  await served.server.close()
})
