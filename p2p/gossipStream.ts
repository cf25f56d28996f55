/**
 * What comes in on a gossip stream, before gossipsub sees it. gossipsub takes whatever is there in one go, remembers what it has no time for without
 * a bound, and says nothing of bytes that it cannot read. So each stream is read here: in slices, one slice of all streams a turn of the event loop,
 * not read on while too much of it waits, and weighed: whoever sends what is no RPC, or more than a peer may for long, is banned.
 *
 * Wire: (length varint ‖ RPC)…, an RPC being protobuf: subscriptions 1, messages 2, control 3. Spec: docs/spec/p2p.md#gossip
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Budgets } from './budget.ts'
import type { Stream } from './lane.ts'
import { P2pError } from './p2pError.ts'

/** Most bytes of an RPC; the sender's library has the same limit. */
export const RPC_BYTES_MAX = 4 << 20

/** Bytes that gossipsub is given at once. With the smallest messages that is some 20 ms of work. */
const SLICE_BYTES = 16_384
/** Bytes that wait for their turn before the stream is read no further, and below which it is read on. */
const WAITING_MAX_BYTES = 1 << 20
const WAITING_LOW_BYTES = 256 << 10
/** What bytes cost, beside messages. */
const BYTES_PER_UNIT = 4_096
const WAIT_MAX_MS = 1_000

/** The streams of one host take turns. */
export type Turns = () => Promise<void>

/** One caller goes on in each turn of the event loop, in the order in which they asked. */
export function createTurns(): Turns {
  const waiting: (() => void)[] = []
  const next = () => {
    waiting.shift()?.()
    if (waiting.length > 0) setImmediate(next)
  }
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve)
      if (waiting.length === 1) setImmediate(next)
    })
}

export type PaceOptions = {
  readonly turn: Turns
  /** Takes so many units of what the peer may use. Answers how many milliseconds it has to wait before it is read on. */
  spend(units: number): number
  /** Takes time for which it had to wait. False: it is too much. */
  forgive(waitMs: number): boolean
  /** The peer has to go. */
  ban(why: string): void
}

/** The bytes of a stream, at the pace that its peer may have. Ends where the stream ends, or its peer is banned; the stream is of no use then. */
export async function* paced(stream: Stream, options: PaceOptions): AsyncGenerator<Uint8Array> {
  const source = createSource(stream)
  const scan = createRpcScan()
  try {
    for (;;) {
      const chunk = await source.next()
      if (!chunk) return
      for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
        const slice = chunk.subarray(at, at + SLICE_BYTES)
        if (!(await admit(slice, scan(slice), options))) return
        await options.turn()
        yield slice
      }
    }
  } finally {
    stream.abort(new P2pError('a gossip stream is read no further'))
  }
}

/** Weighs a slice of so many RPCs and entries, and waits until the peer may have it. False: the peer was banned. */
async function admit(slice: Uint8Array, entries: number | undefined, { spend, forgive, ban }: PaceOptions): Promise<boolean> {
  if (entries === undefined) {
    ban('its gossip is malformed')
    return false
  }
  const waitMs = Math.min(WAIT_MAX_MS, spend(entries + slice.length / BYTES_PER_UNIT))
  if (waitMs === 0) return true
  if (!forgive(waitMs)) {
    ban('its gossip floods')
    return false
  }
  await sleep(waitMs)
  return true
}

/** The chunks of a stream, which is paused while too many of them wait. */
function createSource(stream: Stream): { next(): Promise<Uint8Array | undefined> } {
  const chunks: Uint8Array[] = []
  let waitingBytes = 0
  let isPaused = false
  let ended = false
  let wake: () => void = () => {}
  const end = () => {
    ended = true
    wake()
  }
  stream.addEventListener('message', ({ data }) => {
    chunks.push(data.subarray())
    waitingBytes += data.byteLength
    if (waitingBytes > WAITING_MAX_BYTES && !isPaused && stream.readStatus === 'readable') {
      isPaused = true
      stream.pause()
    }
    wake()
  })
  stream.addEventListener('close', end)
  stream.addEventListener('remoteCloseWrite', end)
  return {
    async next() {
      while (chunks.length === 0 && !ended) await new Promise<void>((resolve) => (wake = resolve))
      const chunk = chunks.shift()
      waitingBytes -= chunk?.length ?? 0
      if (isPaused && waitingBytes < WAITING_LOW_BYTES && stream.readStatus === 'paused') {
        isPaused = false
        stream.resume()
      }
      return chunk
    },
  }
}

/** What a budget of units a second says to `spend`. */
export function waitOf(budgets: Budgets, peer: string, units: number): number {
  budgets.charge(peer, units)
  return budgets.debtMs(peer)
}

/** Tags of an RPC's fields: subscriptions, messages and control. */
const RPC_TAGS = new Set([0x0a, 0x12, 0x1a])

/** A varint of an RPC that is not complete. */
type Varint = { value: number; bytes: number }

/** Longest varint: lengths and tags are below 2^32. */
const VARINT_BYTES_MAX = 5

/**
 * Follows RPCs as they come in, down to their entries: answers how many RPCs and entries began in these bytes, or undefined once they are none. What
 * is in an entry is not looked at.
 */
export function createRpcScan(): (bytes: Uint8Array) => number | undefined {
  let expects: 'rpcLength' | 'tag' | 'entryLength' = 'rpcLength'
  let rpcLeft = 0
  let skip = 0
  let varint: Varint = { value: 0, bytes: 0 }
  let isBad = false

  /** Takes a complete varint. False: it cannot stand here. */
  function take({ value, bytes }: Varint): boolean {
    if (expects === 'rpcLength') {
      rpcLeft = value
      expects = value === 0 ? 'rpcLength' : 'tag'
      return value <= RPC_BYTES_MAX
    }
    rpcLeft -= bytes
    if (expects === 'tag') {
      expects = 'entryLength'
      // Every field of an RPC is an entry with a length: wire type 2.
      return rpcLeft > 0 && RPC_TAGS.has(value)
    }
    skip = value
    rpcLeft -= value
    expects = rpcLeft === 0 ? 'rpcLength' : 'tag'
    return rpcLeft >= 0
  }

  return (bytes) => {
    let entries = 0
    for (let at = 0; at < bytes.length && !isBad; ) {
      if (skip > 0) {
        const skipped = Math.min(skip, bytes.length - at)
        skip -= skipped
        at += skipped
        continue
      }
      const byte = bytes[at++] ?? 0
      varint = { value: varint.value + (byte & 0x7f) * 2 ** (7 * varint.bytes), bytes: varint.bytes + 1 }
      if (byte >= 0x80) {
        isBad = varint.bytes >= VARINT_BYTES_MAX
        continue
      }
      if (expects !== 'entryLength') entries++
      isBad = !take(varint)
      varint = { value: 0, bytes: 0 }
    }
    return isBad ? undefined : entries
  }
}
