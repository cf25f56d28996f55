/**
 * Which transactions touch an address, which one of a sender had a nonce, and which made a contract: what explorers ask and blocks do not answer. It is
 * made of blocks that are there, behind the head and in turns (node/addressWork.ts), and kept in segments (node/segments.ts): in memory until one is
 * full, then on disk, where nothing is merged. What was in memory only is made again after a restart. Spec: docs/spec/rpc.md#ots
 *
 * A transaction is a number here, its position: block × 2^20 + index. Keys of a segment are kind(1) ‖ address(20):
 *   0x00 → positions of transactions that touch the address, ascending
 *   0x01 → positions, then nonces, of transactions that it sent on the EVM's lane (nonces of the EVM); 0x02 the same of the native lane
 *   0x03 → position of the transaction that made the contract, then its maker, 20 bytes
 * Addresses are kept whole: hashes of them could be made to meet.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { hexBytes, toHex, writeHex } from '../execution/hex.ts'
import type { Lane } from '../execution/mempool.ts'
import { decodeAscending, encodeAscending, type SegmentPlace, type Segments } from './segments.ts'

/** A contract, and who made it: the account in whose name the creation ran. */
export type Made = { readonly contract: Hex; readonly maker: Hex }

/** What the index takes of a transaction. */
export type Touches = {
  /** In any order, some twice perhaps. */
  readonly touched: readonly Hex[]
  /** Undefined: it has no nonce. */
  readonly sent: { readonly lane: Lane; readonly sender: Hex; readonly nonce: bigint } | undefined
  readonly made: readonly Made[]
}

/** Where a transaction stands. */
export type IndexedPlace = { readonly blockNumber: bigint; readonly index: number }

/** Which transactions are looked for: those of blocks below or above one, the nearest to it first. */
export type Direction = 'below' | 'above'

export type AddressIndex = {
  /** Takes the transactions of the block after the last one that it has; resolves at once but where a segment is full and is written. */
  add(number: bigint, transactions: readonly Touches[]): Promise<void>
  /** Last block that it has; 0 at first, whose block has no transactions. */
  reached(): bigint
  /** Resolves when it has the block, or after so many milliseconds: whether it has it. */
  until(number: bigint, waitMs: number): Promise<boolean>
  /**
   * Transactions that touch the address in blocks beyond `from`, of whole blocks, until there are `count` of them: the nearest first, and of one
   * block the highest first if they are looked for below. `more`: there are others behind them.
   */
  touching(
    address: Hex,
    range: { readonly from: bigint; readonly direction: Direction; readonly count: number },
  ): Promise<{ readonly places: readonly IndexedPlace[]; readonly more: boolean }>
  /** The sender's transaction with this nonce. */
  sent(lane: Lane, sender: Hex, nonce: bigint): Promise<IndexedPlace | undefined>
  /** The last creation of a contract at the address. */
  creation(contract: Hex): Promise<(IndexedPlace & { readonly maker: Hex }) | undefined>
}

/** Entries of a segment before it is written: some 8 MiB. */
const ENTRIES_MAX = 65_536

/** Transactions that a block may have at most, which its bytes bound far below. */
const TXS_MAX = 2 ** 20

/** How long a question works before it looks what else there is. */
const TURN_MS = 2

const KIND = { touched: 0, ethereum: 1, native: 2, made: 3 } as const

/** Positions, and beside each the nonce. */
type Sent = { readonly positions: number[]; readonly nonces: number[] }
type Creation = { readonly position: number; readonly maker: Hex }

/** A segment in memory. */
type Open = {
  readonly touched: Map<Hex, number[]>
  readonly ethereum: Map<Hex, Sent>
  readonly native: Map<Hex, Sent>
  readonly made: Map<Hex, Creation>
}

/** An index over the segments that there are. `entriesMax`: of a segment. */
export function createAddressIndex(segments: Segments, entriesMax: number = ENTRIES_MAX): AddressIndex {
  let open = emptySegment()
  let entries = 0
  let reached = segments.list().at(-1)?.last ?? 0n
  const waiting = new Set<{ readonly number: bigint; done(): void }>()

  function note(position: number, { touched, sent, made }: Touches): void {
    for (const address of touched) {
      const positions = open.touched.get(address)
      if (!positions) open.touched.set(address, [position])
      else if (positions.at(-1) === position) continue
      else positions.push(position)
      entries++
    }
    if (sent) noteSent(open[sent.lane], position, sent)
    for (const { contract, maker } of made) open.made.set(contract, { position, maker })
    entries += made.length
  }

  function noteSent(lane: Map<Hex, Sent>, position: number, { sender, nonce }: { readonly sender: Hex; readonly nonce: bigint }): void {
    const known = lane.get(sender)
    if (known) {
      known.positions.push(position)
      known.nonces.push(Number(nonce))
    } else lane.set(sender, { positions: [position], nonces: [Number(nonce)] })
    entries++
  }

  async function close(): Promise<void> {
    const first = (segments.list().at(-1)?.last ?? 0n) + 1n
    // In memory until it is on disk.
    await segments.write({ first, last: reached }, entriesOf(open, positionOf(first)))
    open = emptySegment()
    entries = 0
  }

  /** What is in memory and not on disk: for a moment after a segment was written it is both. */
  function inMemory(): Open {
    return (segments.list().at(-1)?.last ?? 0n) < reached ? open : emptySegment()
  }

  /** What `look` finds, in memory and then in one segment after another, the latest first. */
  async function latest<T>(look: { open(): T | undefined; stored(segment: SegmentPlace): T | undefined }): Promise<T | undefined> {
    const listed = [...segments.list()]
    const found = look.open()
    if (found !== undefined) return found
    const pause = turns()
    for (const segment of listed.reverse()) {
      const stored = look.stored(segment)
      if (stored !== undefined) return stored
      await pause()
    }
    return undefined
  }

  function stored(segment: SegmentPlace, kind: number, address: Hex): Uint8Array | undefined {
    return segments.get(segment, keyOf(kind, address))
  }

  function storedPositions(segment: SegmentPlace, address: Hex): readonly number[] {
    const bytes = stored(segment, KIND.touched, address)
    return bytes ? decodeAscending(bytes, positionOf(segment.first)) : []
  }

  /** Positions that touch the address, a list for each segment, from the one that has `from` on. */
  async function* listsBeyond(address: Hex, from: bigint, direction: Direction): AsyncGenerator<readonly number[]> {
    const pause = turns()
    if (direction === 'below') {
      const listed = [...segments.list()]
      yield (inMemory().touched.get(address) ?? []).slice()
      for (const segment of listed.reverse()) {
        if (segment.first < from) yield storedPositions(segment, address)
        await pause()
      }
      return
    }
    // The list may grow meanwhile; what is in memory stands behind it.
    for (let i = 0; i < segments.list().length; i++) {
      const segment = segments.list()[i]
      if (segment && segment.last > from) yield storedPositions(segment, address)
      await pause()
    }
    yield (inMemory().touched.get(address) ?? []).slice()
  }

  return {
    reached: () => reached,
    async add(number, transactions) {
      assert(transactions.length < TXS_MAX, 'a block has more transactions than there are positions')
      const base = positionOf(number)
      for (let index = 0; index < transactions.length; index++) {
        const touches = transactions[index]
        if (touches) note(base + index, touches)
      }
      reached = number
      for (const one of waiting) if (one.number <= reached) one.done()
      if (entries >= entriesMax) await close()
    },
    until(number, waitMs) {
      if (number <= reached) return Promise.resolve(true)
      return new Promise((resolve) => {
        const end = (isThere: boolean) => {
          clearTimeout(timer)
          waiting.delete(one)
          resolve(isThere)
        }
        const one = { number, done: () => end(true) }
        const timer = setTimeout(() => end(false), waitMs)
        waiting.add(one)
      })
    },
    async touching(address, { from, direction, count }) {
      const places: IndexedPlace[] = []
      for await (const positions of listsBeyond(address, from, direction)) {
        for (const position of direction === 'below' ? positions.toReversed() : positions) {
          const place = placeOf(position)
          if (direction === 'below' ? place.blockNumber >= from : place.blockNumber <= from) continue
          if (places.length >= count && places.at(-1)?.blockNumber !== place.blockNumber) return { places, more: true }
          places.push(place)
        }
      }
      return { places, more: false }
    },
    async sent(lane, sender, nonce) {
      // One of a segment whose first nonce is below, or nowhere.
      const within = (sent: Sent | undefined) => (sent && (sent.nonces[0] ?? 0) <= Number(nonce) ? sent : undefined)
      const found = await latest({
        open: () => within(inMemory()[lane].get(sender)),
        stored: (segment) => within(decodeSent(stored(segment, KIND[lane], sender), positionOf(segment.first))),
      })
      const position = found?.positions[found.nonces.indexOf(Number(nonce))]
      return position === undefined ? undefined : placeOf(position)
    },
    async creation(contract) {
      const found = await latest({
        open: () => inMemory().made.get(contract),
        stored: (segment) => decodeCreation(stored(segment, KIND.made, contract), positionOf(segment.first)),
      })
      return found && { ...placeOf(found.position), maker: found.maker }
    },
  }
}

function emptySegment(): Open {
  return { touched: new Map(), ethereum: new Map(), native: new Map(), made: new Map() }
}

function positionOf(number: bigint): number {
  return Number(number) * TXS_MAX
}

function placeOf(position: number): IndexedPlace {
  return { blockNumber: BigInt(Math.floor(position / TXS_MAX)), index: position % TXS_MAX }
}

/** Waits for the next turn when this one is over. */
function turns(): () => Promise<void> | undefined {
  let ends = performance.now() + TURN_MS
  return () =>
    performance.now() < ends
      ? undefined
      : nextTurn().then(() => {
          ends = performance.now() + TURN_MS
        })
}

function keyOf(kind: number, address: Hex): Uint8Array {
  const key = Buffer.allocUnsafe(21)
  key[0] = kind
  writeHex(address, key, 1)
  return key
}

function* entriesOf(segment: Open, base: number): Generator<readonly [Uint8Array, Uint8Array]> {
  for (const [address, positions] of segment.touched) yield [keyOf(KIND.touched, address), encodeAscending(positions, base)]
  for (const lane of ['ethereum', 'native'] as const)
    for (const [address, sent] of segment[lane]) yield [keyOf(KIND[lane], address), encodeSent(sent, base)]
  for (const [address, { position, maker }] of segment.made) {
    const at = encodeAscending([position], base)
    const value = Buffer.alloc(at.length + hexBytes(maker))
    value.set(at)
    writeHex(maker, value, at.length)
    yield [keyOf(KIND.made, address), value]
  }
}

/** Positions and nonces: two ascending lists of one length. */
function encodeSent({ positions, nonces }: Sent, base: number): Uint8Array {
  const [first, second] = [encodeAscending(positions, base), encodeAscending(nonces, 0)]
  const length = encodeAscending([positions.length], 0)
  return Buffer.concat([length, first, second])
}

function decodeSent(bytes: Uint8Array | undefined, base: number): Sent | undefined {
  if (!bytes) return undefined
  const [length = 0, ...deltas] = deltasIn(bytes)
  assert(deltas.length === 2 * length, 'a stored list of nonces is damaged')
  return { positions: sums(deltas.slice(0, length), base), nonces: sums(deltas.slice(length), 0) }
}

function decodeCreation(bytes: Uint8Array | undefined, base: number): Creation | undefined {
  if (!bytes) return undefined
  const [position] = decodeAscending(bytes.subarray(0, -20), base)
  assert(position !== undefined, 'a stored creation is damaged')
  return { position, maker: toHex(bytes.subarray(-20)) }
}

function deltasIn(bytes: Uint8Array): number[] {
  const numbers = decodeAscending(bytes, 0)
  return numbers.map((number, i) => number - (numbers[i - 1] ?? 0))
}

function sums(deltas: readonly number[], base: number): number[] {
  let sum = base
  return deltas.map((delta) => {
    sum += delta
    return sum
  })
}
