/**
 * Early messages: those of the next height, held back until it starts. Others decide sooner than we do, and their first messages of the
 * next height would be lost otherwise until they are said again. They are unverified, because the next height may have another set, so
 * each peer has a few places of its own and cannot push out what others sent.
 */
import type { Message } from './message.ts'

/** Places of one peer: its proposal, prevote and precommit of a round or two, and certificates. When full, the oldest goes. */
export const EARLY_PER_PEER_MAX = 8

/** Most peers for whom messages are held. */
export const EARLY_PEERS_MAX = 256

/** A message and the local time at which it came in. */
export type EarlyMessage = { readonly message: Message; readonly receivedMs: number }

/** Messages of `height`, by the peer that delivered them. */
export type Early = { readonly height: number; readonly byPeer: ReadonlyMap<string, readonly EarlyMessage[]> }

/** Nothing held, for a machine whose current height is the one before. */
export function noEarly(height: number): Early {
  return { height, byPeer: new Map() }
}

/** Holds a message of the height; of any other height it is let go. */
export function holdEarly(early: Early, peer: string, one: EarlyMessage): Early {
  const held = early.byPeer.get(peer)
  if (one.message.height !== early.height || (held === undefined && early.byPeer.size >= EARLY_PEERS_MAX)) return early
  return { ...early, byPeer: new Map(early.byPeer).set(peer, [...(held ?? []), one].slice(-EARLY_PER_PEER_MAX)) }
}

/** All that is held, to be admitted, verified and given to the machine when the height has started. */
export function releaseEarly(early: Early): EarlyMessage[] {
  return [...early.byPeer.values()].flat()
}
