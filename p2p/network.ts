/**
 * All of a node's network as one thing: host, gossip, block sync and direct streams, joined, started in order, and its numbers. What it carries is
 * judged through ports, all of which may take their time. Spec: docs/spec/p2p.md
 */
import { createDirect, type Direct, type DirectOptions } from './direct.ts'
import type { DirectCounts } from './directCounts.ts'
import { createGossip, type Gossip, type GossipMetrics, type GossipPorts } from './gossip.ts'
import { createHost, type HostCounts, type HostOptions } from './host.ts'
import { createSync, type Sync, type SyncCounts, type SyncPorts } from './sync.ts'

export type NetworkPorts = GossipPorts &
  SyncPorts & {
    /** What this node says and hears on direct streams, by its own peer id, which its hello signs; without it there are none. */
    readonly direct?: ((peerId: string) => Promise<DirectOptions>) | undefined
  }

/** Numbers of all parts: since the start, but for those that say how many there are. Of one node, so without labels but for the reasons of bans. */
export type NetworkMetrics = {
  readonly host: HostCounts
  readonly gossip: GossipMetrics
  readonly sync: Readonly<SyncCounts> & { readonly servers: number }
  /** Undefined: no direct streams. */
  readonly direct: (Readonly<DirectCounts> & { readonly validators: number }) | undefined
}

export type PeerNetwork = Pick<Sync, 'request' | 'blame'> &
  Pick<Gossip, 'sendTransaction' | 'sendBlock' | 'sendSigners'> & {
    readonly peerId: string
    /** Multiaddrs by which others reach this node. */
    readonly addresses: readonly string[]
    readonly direct: Direct | undefined
    /** Peers that it is connected to. */
    peers(): number
    metrics(): NetworkMetrics
    close(): Promise<void>
  }

/** Opens a network. Throws P2pError if it cannot listen. */
export async function openNetwork(ports: NetworkPorts, options: HostOptions): Promise<PeerNetwork> {
  const { genesisHash, log } = options
  const host = await createHost(options)
  const parts = { host, genesisHash, log }
  let sync: Sync | undefined
  let direct: Direct | undefined
  let gossip: Gossip | undefined
  const close = async () => {
    gossip?.close()
    await direct?.close()
    await sync?.close()
    await host.close()
  }
  try {
    sync = await createSync(ports, parts)
    direct = ports.direct && (await createDirect(await ports.direct(host.peerId), parts))
    await host.start()
    gossip = createGossip(ports, parts)
  } catch (error) {
    await close()
    throw error
  }
  const metrics = metricsOf({ host, gossip, sync, direct })
  const { sendTransaction, sendBlock, sendSigners } = gossip
  const { request, blame } = sync
  const { peerId } = host
  return {
    peerId,
    addresses: host.addresses(),
    direct,
    sendTransaction,
    sendBlock,
    sendSigners,
    request,
    blame,
    peers: () => host.peers().length,
    metrics,
    close,
  }
}

type Parts = {
  readonly host: { counts(): HostCounts }
  readonly gossip: Gossip
  readonly sync: Sync
  readonly direct: Direct | undefined
}

function metricsOf({ host, gossip, sync, direct }: Parts): () => NetworkMetrics {
  return () => ({
    host: host.counts(),
    gossip: gossip.metrics(),
    sync: { ...sync.counts(), servers: sync.peers() },
    direct: direct && { ...direct.counts(), validators: direct.validators().length },
  })
}
