/**
 * Who asks, by address: what one address may ask in a second and how many connections it may have, however many connections that takes. Loopback is not
 * counted: it is the operator's own, and the proxies that he trusts say whom they speak for. Spec: docs/spec/rpc.md#limits
 */
import { isIP } from 'node:net'
import { createTokenBucket, type RpcLimits, type TokenBucket } from './limits.ts'

/** What is known of one address. */
export type Client = { readonly bucket: TokenBucket; connections: number; seenAt: number }

export type Clients = {
  /** The client that a connection from this address speaks for; undefined: one that is not counted. */
  of(address: string | undefined, forwardedFor: string | undefined): Client | undefined
}

/** Addresses that are remembered; those that were quiet for longest, and have no connection, are forgotten first. */
const CLIENTS_MAX = 65_536
/** Addresses are forgotten many at a time. */
const FORGET_SHARE = 8

/** Nobody known yet. `trustedProxies`: addresses whose X-Forwarded-For is believed, as to its last entry. */
export function createClients(
  limits: Pick<RpcLimits, 'callsPerSecOfAddress'>,
  trustedProxies: readonly string[],
  now: () => number,
): Clients {
  const byAddress = new Map<string, Client>()
  const trusted = new Set(trustedProxies.map(plain))

  function forget(): void {
    const quiet = [...byAddress].filter(([, { connections }]) => connections === 0).sort(([, a], [, b]) => a.seenAt - b.seenAt)
    for (const [address] of quiet.slice(0, CLIENTS_MAX / FORGET_SHARE)) byAddress.delete(address)
  }

  return {
    of(address, forwardedFor) {
      if (address === undefined) return undefined
      const peer = plain(address)
      const told = trusted.has(peer) ? plain(forwardedFor?.split(',').at(-1)?.trim() ?? '') : ''
      const asked = isIP(told) === 0 ? peer : told
      if (isLoopback(asked)) return undefined
      const key = keyOf(asked)
      const known = byAddress.get(key)
      if (known) {
        known.seenAt = now()
        return known
      }
      if (byAddress.size >= CLIENTS_MAX) forget()
      const client = { bucket: createTokenBucket(limits.callsPerSecOfAddress, now), connections: 0, seenAt: now() }
      byAddress.set(key, client)
      return client
    },
  }
}

/** An IPv4 address written as IPv6 is the IPv4 one. */
function plain(address: string): string {
  return address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, '')
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}

/** Of IPv6 the first 64 bits: whoever has one address there has all of them. */
function keyOf(address: string): string {
  if (isIP(address) !== 6) return address
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? []
  const groups = head === '' ? [] : head.split(':')
  const rest = tail === undefined || tail === '' ? [] : tail.split(':')
  const filled =
    tail === undefined ? groups : [...groups, ...Array<string>(Math.max(0, 8 - groups.length - rest.length)).fill('0'), ...rest]
  return filled
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}
