/**
 * Blocks that others propose: they come by themselves, before the proposal or after it, or are asked for. Few wait without having been asked for: those of
 * the next two heights, two of a peer.
 */
import type { Hex } from 'viem'
import { type Block, decodeBlock, hashHeader } from '../execution/block.ts'
import { BLOCK_TALK, createWorth } from './worth.ts'

/** Blocks that came by themselves. */
const UNASKED_MAX = 8
const UNASKED_BYTES_MAX = 64 << 20
const UNASKED_PER_PEER_MAX = 2
/** A proposed block that is not here is waited for so long, then asked for, and asked for again so often. */
const PATIENCE_MS = 150
const ASK_AGAIN_MS = 500

export type ProposalsOptions = {
  /** The last final height. */
  height(): bigint
  /** Asks other validators for a block. */
  fetch(hash: Hex): Promise<Uint8Array | undefined>
  blame(peer: string, why: string): void
  /** Least time between two heights. */
  minBlockIntervalMs(): number
  nowMs(): number
}

export type Proposals = {
  /** Takes a block that a peer sent. */
  take(bytes: Uint8Array, peer: string): void
  /** Takes a block that is known to be good. */
  give(hash: Hex, block: Block): void
  /** The block of this hash, when it is here; undefined when its height is over before it came. `urgent`: it is asked for at once. */
  wait(height: bigint, hash: Hex, urgent: boolean): Promise<Block | undefined>
  /** A height is over: who waits for its blocks need not. */
  settle(height: bigint): void
  close(): void
}

type Unasked = { readonly block: Block; readonly bytes: number; readonly peer: string }
type Wanted = {
  readonly height: bigint
  resolve(block: Block | undefined): void
  readonly promise: Promise<Block | undefined>
  ask(): void
}

/** Nothing is here, nothing is waited for. */
export function createProposals(options: ProposalsOptions): Proposals {
  const unasked = new Map<Hex, Unasked>()
  const wanted = new Map<Hex, Wanted>()
  const worth = createWorth({ talk: BLOCK_TALK, minBlockIntervalMs: options.minBlockIntervalMs, nowMs: options.nowMs })
  let closed = false

  function keep(hash: Hex, one: Unasked): void {
    const ofPeer = [...unasked].filter(([, { peer }]) => peer === one.peer)
    const [oldest] = ofPeer
    if (oldest && ofPeer.length >= UNASKED_PER_PEER_MAX) unasked.delete(oldest[0])
    const bytes = [...unasked.values()].reduce((sum, other) => sum + other.bytes, 0)
    if (unasked.size < UNASKED_MAX && bytes + one.bytes <= UNASKED_BYTES_MAX) unasked.set(hash, one)
  }

  function found(hash: Hex, block: Block): boolean {
    const one = wanted.get(hash)
    one?.resolve(block)
    return one !== undefined
  }

  /** A block that was asked for; whoever gave another one made it up. */
  function takeAsked(hash: Hex, bytes: Uint8Array): void {
    const block = decodeBlock(bytes)
    if (block && hashHeader(block.header) === hash) found(hash, block)
  }

  function want(height: bigint, hash: Hex): Wanted {
    let timer: NodeJS.Timeout | undefined
    let isAsking = false
    let resolve: Wanted['resolve'] = () => {}
    const promise = new Promise<Block | undefined>((done) => {
      resolve = done
    }).finally(() => {
      clearTimeout(timer)
      wanted.delete(hash)
    })
    const ask = () => {
      if (isAsking || closed || wanted.get(hash) !== one) return
      isAsking = true
      clearTimeout(timer)
      options
        .fetch(hash)
        .then((bytes) => bytes && takeAsked(hash, bytes))
        .catch(() => {}) // nobody had it in time: it is asked for again
        .finally(() => {
          isAsking = false
          if (wanted.get(hash) === one) timer = setTimeout(ask, ASK_AGAIN_MS)
        })
    }
    const one: Wanted = { height, resolve, promise, ask }
    wanted.set(hash, one)
    timer = setTimeout(ask, PATIENCE_MS)
    return one
  }

  return {
    take(bytes, peer) {
      if (closed) return
      const block = decodeBlock(bytes)
      worth.heard()
      if (!block) return options.blame(peer, 'a block that is none')
      const ahead = block.header.number - options.height()
      const hash = hashHeader(block.header)
      if ((ahead === 1n || ahead === 2n) && found(hash, block)) return
      // What nobody asked for yet is of no use so far.
      if (!worth.bears(peer)) return options.blame(peer, 'its blocks are of no use')
      if (ahead === 1n || ahead === 2n) keep(hash, { block, bytes: bytes.length, peer })
    },
    give(hash, block) {
      if (!found(hash, block)) unasked.set(hash, { block, bytes: 0, peer: '' })
    },
    wait(height, hash, urgent) {
      const here = unasked.get(hash)
      if (here && unasked.delete(hash)) return Promise.resolve(here.block)
      const one = wanted.get(hash) ?? want(height, hash)
      if (urgent) one.ask()
      return one.promise
    },
    settle(height) {
      worth.passed()
      for (const [hash, { block }] of unasked) if (block.header.number <= height) unasked.delete(hash)
      for (const one of wanted.values()) if (one.height <= height) one.resolve(undefined)
    },
    close() {
      closed = true
      for (const one of wanted.values()) one.resolve(undefined)
      unasked.clear()
    },
  }
}
