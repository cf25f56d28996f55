/** Addresses of peers, as operators write them: multiaddrs. */
import { multiaddr } from '@multiformats/multiaddr'

/** The peer id in a multiaddr that names a TCP port and a peer, or undefined if it is none. */
export function peerIdOf(address: string): string | undefined {
  try {
    const parts = multiaddr(address).getComponents()
    return parts.some(({ name }) => name === 'tcp') ? parts.findLast(({ name }) => name === 'p2p')?.value : undefined
  } catch {
    return undefined // the parser throws for text that is no multiaddr, and for nothing else
  }
}
