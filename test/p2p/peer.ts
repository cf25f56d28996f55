/** Real hosts on the loopback for tests: one network, identities from fixed seeds, everything closed in reverse order. */
import type { Hex } from 'viem'
import { vi } from 'vitest'
import { createDirect, type Direct, type DirectLimits, type DirectOptions } from '../../p2p/direct.ts'
import { createGossip, type Gossip, type GossipPorts } from '../../p2p/gossip.ts'
import { createHost, type Host, type HostLimits, type P2pLog } from '../../p2p/host.ts'
import { createSync, type Sync, type SyncLimits, type SyncPorts } from '../../p2p/sync.ts'

export const GENESIS_HASH: Hex = `0x${'7a'.repeat(32)}`

/** Longest that a test waits for something that must come. */
const COME_MAX_MS = 30_000

export const silentLog: P2pLog = { debug() {}, info() {}, warn() {} }

export type TestPeer = {
  readonly host: Host
  readonly gossip: Gossip
  readonly sync: Sync
  readonly direct: Direct
  readonly address: string
  close(): Promise<void>
}

export type TestPeerOptions = {
  /** Identity; the same number, the same peer. */
  readonly seed: number
  readonly bootstrap?: readonly string[]
  readonly port?: number
  readonly limits?: Partial<HostLimits>
  readonly gossip?: Partial<GossipPorts>
  readonly sync?: Partial<SyncPorts>
  readonly syncLimits?: Partial<SyncLimits>
  readonly muteMs?: number
  /** Without it the peer says no hello. */
  readonly direct?: (peerId: string) => DirectOptions
  readonly directLimits?: Partial<DirectLimits>
}

/** Of a peer that is no validator. */
const NO_DIRECT: DirectOptions = { hello: undefined, checkHello: () => undefined, onMessage() {}, onBlock() {}, readBlock: () => undefined }

const started: TestPeer[] = []

/** A started host with gossip and sync on it; without ports it accepts all gossip and serves nothing. */
export async function startPeer(options: TestPeerOptions): Promise<TestPeer> {
  const host = await createHost({
    seed: new Uint8Array(32).fill(options.seed),
    genesisHash: GENESIS_HASH,
    listen: { host: '127.0.0.1', port: options.port ?? 0 },
    bootstrap: options.bootstrap ?? [],
    limits: { dialMinMs: 50, dialMaxMs: 500, ...options.limits },
    log: silentLog,
  })
  const sync = await createSync(
    { readBlock: () => undefined, onPeer() {}, ...options.sync },
    { host, genesisHash: GENESIS_HASH, log: silentLog, limits: options.syncLimits ?? {} },
  )
  const direct = await createDirect(options.direct?.(host.peerId) ?? NO_DIRECT, {
    host,
    genesisHash: GENESIS_HASH,
    log: silentLog,
    limits: options.directLimits ?? {},
  })
  await host.start()
  const gossip = createGossip(
    { checkTransactions: async () => 'accept', checkBlock: async () => 'accept', ...options.gossip },
    { host, genesisHash: GENESIS_HASH, log: silentLog, muteMs: options.muteMs },
  )
  const peer: TestPeer = {
    host,
    gossip,
    sync,
    direct,
    address: host.addresses()[0] ?? '',
    async close() {
      const at = started.indexOf(peer)
      if (at === -1) return
      started.splice(at, 1)
      gossip.close()
      await direct.close()
      await sync.close()
      await host.close()
    },
  }
  started.push(peer)
  return peer
}

/** For afterEach. */
export async function closePeers(): Promise<void> {
  for (const peer of [...started].reverse()) await peer.close()
}

/** Waits until the check passes. */
export async function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: COME_MAX_MS, interval: 20 })
}
