/** Who a host is, whom it stays connected to, and whom it refuses. */
import { createServer } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { peerIdOf } from '../../p2p/address.ts'
import { createHost } from '../../p2p/host.ts'
import { P2pError } from '../../p2p/p2pError.ts'
import { closePeers, eventually, GENESIS_HASH, silentLog, startPeer } from './peer.ts'

afterEach(closePeers)

test('the same seed gives the same peer id, another seed another', async () => {
  const first = await startPeer({ seed: 1 })
  const id = first.host.peerId
  await first.close()
  expect((await startPeer({ seed: 1 })).host.peerId).toBe(id)
  expect((await startPeer({ seed: 2 })).host.peerId).not.toBe(id)
})

test('its address ends with its id, and only such an address is one of a peer', async () => {
  const { host, address } = await startPeer({ seed: 1 })
  expect(peerIdOf(address)).toBe(host.peerId)
  for (const text of ['', 'localhost:9600', '/ip4/127.0.0.1/tcp/9600', `/p2p/${host.peerId}`, '/ip4/300.0.0.1/tcp/1/p2p/x']) {
    expect(peerIdOf(text)).toBeUndefined()
  }
  const options = { seed: new Uint8Array(32), genesisHash: GENESIS_HASH, listen: { host: '127.0.0.1', port: 0 }, log: silentLog }
  await expect(createHost({ ...options, bootstrap: ['/ip4/127.0.0.1/tcp/9600'] })).rejects.toThrow(P2pError)
  await expect(createHost({ ...options, listen: { host: 'localhost', port: 0 }, bootstrap: [] })).rejects.toThrow(P2pError)
})

test('a taken port is said to be so', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const address = taken.address()
  const port = typeof address === 'object' && address ? address.port : 0
  try {
    await expect(startPeer({ seed: 1, port })).rejects.toThrow(`p2p cannot listen on 127.0.0.1 port ${port}`)
  } finally {
    await new Promise((resolve) => taken.close(resolve))
  }
})

test('a bootstrap peer that was away is dialled again when it is back', async () => {
  const server = await startPeer({ seed: 1 })
  const client = await startPeer({ seed: 2, bootstrap: [server.address] })
  await eventually(() => expect(client.host.peers()).toEqual([server.host.peerId]))
  await server.close()
  await eventually(() => expect(client.host.peers()).toEqual([]))
  const port = Number(/\/tcp\/(\d+)/.exec(server.address)?.[1])
  const again = await startPeer({ seed: 1, port })
  await eventually(() => expect(again.host.peers()).toEqual([client.host.peerId]))
})

test('a host that names itself as a peer does not dial itself', async () => {
  const first = await startPeer({ seed: 1 })
  await first.close()
  const port = Number(/\/tcp\/(\d+)/.exec(first.address)?.[1])
  const other = await startPeer({ seed: 2 })
  const itself = await startPeer({ seed: 1, port, bootstrap: [first.address, other.address] })
  await eventually(() => expect(itself.host.peers()).toEqual([other.host.peerId]))
})

test('one address opens so many connections and no more', async () => {
  const server = await startPeer({ seed: 1, limits: { connectionsPerAddressMax: 2 } })
  const clients = [await startPeer({ seed: 2, bootstrap: [server.address] }), await startPeer({ seed: 3, bootstrap: [server.address] })]
  await eventually(() => expect(server.host.peers()).toHaveLength(2))
  const third = await startPeer({ seed: 4 })
  const refused = async () => {
    const connection = await third.host.libp2p.dial(server.host.libp2p.getMultiaddrs()).catch(() => undefined)
    await eventually(() => expect(connection?.status).not.toBe('open'))
  }
  await refused()
  expect(server.host.peers()).toHaveLength(2)
  await clients[0]?.close()
  await eventually(() => expect(server.host.peers()).toHaveLength(1))
  await third.host.libp2p.dial(server.host.libp2p.getMultiaddrs())
  await eventually(() => expect(server.host.peers()).toContain(third.host.peerId))
})

test('a banned peer is disconnected, refused and not dialled until the ban is over', async () => {
  const server = await startPeer({ seed: 1 })
  const client = await startPeer({ seed: 2, bootstrap: [server.address] })
  await eventually(() => expect(server.host.peers()).toEqual([client.host.peerId]))
  server.host.ban(client.host.peerId, 60_000, 'test')
  await eventually(() => expect([server.host.peers(), client.host.peers()]).toEqual([[], []]))
  // The client goes on dialling: whatever it opens is closed, and the server dials nobody who is banned.
  const connection = await client.host.libp2p.dial(server.host.libp2p.getMultiaddrs()).catch(() => undefined)
  await eventually(() => expect(connection?.status).not.toBe('open'))
  expect(server.host.peers()).toEqual([])
  await expect(server.host.libp2p.dial(client.host.libp2p.getMultiaddrs())).rejects.toThrow()
  server.host.ban(client.host.peerId, 0, 'test') // a ban of no time is over
  await eventually(() => expect(server.host.peers()).toEqual([client.host.peerId]))
})

test('who opens streams without end is banned, whether or not anybody takes them', async () => {
  const host = await startPeer({ seed: 1, limits: { rateShare: 0.01 } })
  const attacker = await startPeer({ seed: 2, bootstrap: [host.address] })
  await eventually(() => expect(attacker.host.peers()).toHaveLength(1))
  await eventually(async () => {
    const [connection] = attacker.host.libp2p.getConnections()
    await connection?.newStream('/nobody/takes/this/1').catch(() => {})
    expect(host.host.counts().bansBy).toEqual({ 'it opens streams without end': 1 })
  })
})

test('a peer that is gone is forgotten, one that is there is not', async () => {
  const server = await startPeer({ seed: 1, limits: { forgetMs: 100 } })
  const stays = await startPeer({ seed: 2, bootstrap: [server.address] })
  const leaves = await startPeer({ seed: 3, bootstrap: [server.address] })
  const known = async () => (await server.host.libp2p.peerStore.all()).map(({ id }) => id.toString()).sort()
  await eventually(async () => expect(await known()).toEqual([stays.host.peerId, leaves.host.peerId].sort()))
  await leaves.close()
  await eventually(async () => expect(await known()).toEqual([stays.host.peerId]))
})
