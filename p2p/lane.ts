/**
 * A lane: what one validator sends another over one long-lived stream. Frames wait in a bounded queue, the oldest are dropped first; a stream that
 * ends is opened anew. Large frames leave in pieces, each after the one before was taken, so that the connection they share with others is free in
 * between.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { concatBytes } from '../execution/bytes.ts'
import type { Network, P2pLog } from './host.ts'
import { P2pError } from './p2pError.ts'

export type Stream = Awaited<ReturnType<Network['dialProtocol']>>

/** As much of a stream as is waited for. */
type Writable = Pick<Stream, 'status' | 'writableNeedsDrain' | 'addEventListener' | 'removeEventListener'>

export type LaneOptions = {
  open(signal: AbortSignal): Promise<Stream>
  /** First frame of every stream. */
  readonly hello: Uint8Array
  /** Bounds of what waits. */
  readonly framesMax: number
  readonly bytesMax: number
  /** The other side took nothing for so long. */
  readonly stallMs: number
  onStall(): void
  /** A frame was dropped, of so many bytes. */
  onDrop(bytes: number): void
  readonly log: P2pLog
}

export type Lane = {
  /** Sends a frame when there is room for it; what waits longest makes room. The bytes must not change afterwards. */
  send(frame: Uint8Array): void
  close(): void
}

/** Waits until a stream takes more. The library's own `onDrain` waits once in a stream's life. Rejects when the stream ends or the time is over. */
export async function drained(stream: Writable, signal: AbortSignal): Promise<void> {
  while (stream.writableNeedsDrain) {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const give = () => resolve()
    const fail = () => reject(new P2pError('what was written is not taken'))
    stream.addEventListener('drain', give, { once: true })
    stream.addEventListener('close', fail, { once: true })
    signal.addEventListener('abort', fail, { once: true })
    try {
      signal.throwIfAborted()
      if (stream.status !== 'open') fail()
      await promise
      await nextTurn() // what waited in the library goes first, and may fill it anew
    } finally {
      stream.removeEventListener('drain', give)
      stream.removeEventListener('close', fail)
      signal.removeEventListener('abort', fail)
    }
  }
}

/** Most bytes that are given to a stream at once. */
const PIECE_BYTES = 65_536
/** Waits before a stream is opened anew; one that lived for a while was no failure. */
const REOPEN_MIN_MS = 250
const REOPEN_MAX_MS = 15_000
const STEADY_MS = 30_000
const OPEN_MS = 10_000

/** A lane that opens its first stream at once. */
export function createLane(options: LaneOptions): Lane {
  const ended = new AbortController()
  const queue: Uint8Array[] = []
  let queueBytes = 0
  /** What is left of a frame that is too large for one piece. */
  let rest: Uint8Array | undefined
  let stream: Stream | undefined
  let isPumping = false
  let failures = 0
  let reopenTimer: NodeJS.Timeout | undefined
  let stallTimer: NodeJS.Timeout | undefined

  async function open(): Promise<void> {
    const opened = await options.open(AbortSignal.any([ended.signal, AbortSignal.timeout(OPEN_MS)]))
    if (ended.signal.aborted) return opened.abort(new P2pError('the lane is closed'))
    const openedAt = Date.now()
    opened.addEventListener('drain', pumpSoon)
    opened.addEventListener('message', () => opened.abort(new P2pError('nothing is to come on a lane')))
    opened.addEventListener(
      'close',
      () => {
        if (rest) options.onDrop(rest.length)
        rest = undefined
        stream = undefined
        clearTimeout(stallTimer)
        stallTimer = undefined
        if (Date.now() - openedAt > STEADY_MS) failures = 0
        reopenLater()
      },
      { once: true },
    )
    stream = opened
    opened.send(options.hello)
    pumpSoon()
  }

  function start(): void {
    open().catch((error: unknown) => {
      options.log.debug('lane not open', { error: String(error) })
      reopenLater()
    })
  }

  function reopenLater(): void {
    if (ended.signal.aborted) return
    clearTimeout(reopenTimer)
    reopenTimer = setTimeout(start, Math.min(REOPEN_MAX_MS, REOPEN_MIN_MS * 2 ** failures) * (0.75 + Math.random() / 2))
    failures = Math.min(failures + 1, 16)
  }

  /** Frames of one run of the event loop leave together. */
  function pumpSoon(): void {
    if (isPumping) return
    isPumping = true
    queueMicrotask(pump)
  }

  function pump(): void {
    isPumping = false
    if (stream?.status !== 'open') return
    clearTimeout(stallTimer)
    stallTimer = undefined
    const piece = stream.writableNeedsDrain ? undefined : nextPiece()
    if (piece) stream.send(piece)
    if (stream.writableNeedsDrain) stallTimer = setTimeout(options.onStall, options.stallMs)
    else if (piece && (rest || queue.length > 0)) {
      isPumping = true
      setImmediate(pump) // others have their turn
    }
  }

  function nextPiece(): Uint8Array | undefined {
    if (rest) {
      const piece = rest.subarray(0, PIECE_BYTES)
      rest = rest.length > PIECE_BYTES ? rest.subarray(PIECE_BYTES) : undefined
      return piece
    }
    let bytes = 0
    let count = 0
    for (const { length } of queue) {
      if (count > 0 && bytes + length > PIECE_BYTES) break
      bytes += length
      count++
    }
    const frames = queue.splice(0, count)
    queueBytes -= bytes
    const [first] = frames
    if (!first || first.length <= PIECE_BYTES) return frames.length > 1 ? concatBytes(frames) : first
    rest = first
    return nextPiece()
  }

  start()
  return {
    send(frame) {
      if (ended.signal.aborted) return
      queue.push(frame)
      queueBytes += frame.length
      while (queue.length > options.framesMax || queueBytes > options.bytesMax) {
        const dropped = queue.shift()?.length ?? 0
        queueBytes -= dropped
        options.onDrop(dropped)
      }
      pumpSoon()
    },
    close() {
      ended.abort(new P2pError('the lane is closed'))
      clearTimeout(reopenTimer)
      clearTimeout(stallTimer)
      queue.length = 0
      stream?.abort(new P2pError('the lane is closed'))
    },
  }
}
