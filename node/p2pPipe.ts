/**
 * A pipe between the node and its network process: calls that are answered, and words that are not, both ways over one local socket. What waits is
 * bounded both ways: who writes too much is told so, and who gets too many calls reads no further.
 *
 * Wire: length u32 ‖ headLength u32 ‖ head ‖ bytes…   The head is JSON; arrays of bytes stand behind it, in the order in which it names them, as do
 * big integers in it: {"$bytes":length}, {"$int":"123"}. Undefined fields are left out.
 */
import type { Socket } from 'node:net'

/** The pipe is closed, full or too slow. The same may succeed later. */
export class PipeError extends Error {
  override readonly name = 'PipeError'
  readonly retryable = true
}

/** What is done when the other side says something; a call is answered with what it returns. */
export type PipeHandlers = Readonly<Record<string, (argument: never) => unknown>>

export type Pipe = {
  /** Asks for something. Rejects with PipeError if there is no answer, and with Error if the other side failed at it. */
  call(name: string, argument?: unknown): Promise<unknown>
  /** Says something. False: the pipe is closed or full, and it is not said. */
  tell(name: string, argument?: unknown): boolean
  counts(): PipeCounts
  close(): void
}

export type PipeCounts = { readonly waitingBytes: number; readonly drops: number; readonly bytesOut: number; readonly bytesIn: number }

export type PipeOptions = {
  readonly socket: Socket
  readonly handlers: PipeHandlers
  /** The pipe is closed: by the other side, by its end, or since it said nonsense. Called once. */
  onClose(error: Error | undefined): void
}

/** Most bytes of one message, in which a block of the largest size has room, and of what waits to be written. */
const MESSAGE_BYTES_MAX = 40 << 20
const WAITING_BYTES_MAX = 128 << 20
/** Calls of the other side under way before it is read no further. */
const CALLS_MAX = 1_024
const CALL_MS = 60_000
const LENGTHS_BYTES = 8

type Head =
  | { readonly kind: 'call'; readonly id: number; readonly name: string; readonly argument?: unknown }
  | { readonly kind: 'tell'; readonly name: string; readonly argument?: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly value?: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: string }

type Waiting = { resolve(value: unknown): void; reject(error: Error): void; readonly timer: NodeJS.Timeout }

/** A pipe over a socket that is open. */
export function createPipe({ socket, handlers, onClose }: PipeOptions): Pipe {
  const waiting = new Map<number, Waiting>()
  let lastId = 0
  let calls = 0
  let drops = 0
  let closed = false

  function end(error: Error | undefined): void {
    if (closed) return
    closed = true
    socket.destroy()
    for (const { reject, timer } of waiting.values()) {
      clearTimeout(timer)
      reject(new PipeError('the pipe is closed'))
    }
    waiting.clear()
    onClose(error)
  }

  function write(head: Head): boolean {
    if (closed || socket.writableLength > WAITING_BYTES_MAX) {
      drops++
      return false
    }
    const parts = encodeMessage(head)
    socket.cork()
    for (const part of parts) socket.write(part)
    socket.uncork()
    return true
  }

  async function answer(id: number, name: string, argument: unknown): Promise<void> {
    calls++
    if (calls > CALLS_MAX) socket.pause()
    try {
      const value = await handlerOf(handlers, name)(argument as never)
      write({ kind: 'answer', id, value })
    } catch (error) {
      write({ kind: 'failure', id, error: String(error) })
    } finally {
      calls--
      if (calls <= CALLS_MAX && !closed) socket.resume()
    }
  }

  function settle(id: number, settleWith: (one: Waiting) => void): void {
    const one = waiting.get(id)
    if (!one) return
    waiting.delete(id)
    clearTimeout(one.timer)
    settleWith(one)
  }

  function take(head: Head): void {
    if (head.kind === 'call') void answer(head.id, head.name, head.argument)
    else if (head.kind === 'tell') handlerOf(handlers, head.name)(head.argument as never)
    else if (head.kind === 'answer') settle(head.id, ({ resolve }) => resolve(head.value))
    else settle(head.id, ({ reject }) => reject(new Error(head.error)))
  }

  const read = createMessageReader()
  socket.on('data', (chunk: Buffer) => {
    const heads: Head[] = []
    try {
      heads.push(...read(chunk))
    } catch (error) {
      end(error instanceof Error ? error : new Error(String(error)))
    }
    // What the other side says is no excuse for what is done here: that may throw.
    for (const head of heads) if (!closed) take(head)
  })
  socket.on('error', end)
  socket.on('close', () => end(undefined))
  socket.on('end', () => end(undefined))

  return {
    call: (name, argument) =>
      new Promise((resolve, reject) => {
        const id = ++lastId
        const timer = setTimeout(() => settle(id, () => reject(new PipeError(`no answer to ${name}`))), CALL_MS)
        waiting.set(id, { resolve, reject, timer })
        if (!write({ kind: 'call', id, name, argument })) settle(id, () => reject(new PipeError('the pipe is full or closed')))
      }),
    tell: (name, argument) => write({ kind: 'tell', name, argument }),
    counts: () => ({ waitingBytes: socket.writableLength, drops, bytesOut: socket.bytesWritten, bytesIn: socket.bytesRead }),
    close: () => end(undefined),
  }
}

function handlerOf(handlers: PipeHandlers, name: string): (argument: never) => unknown {
  const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined
  if (!handler) throw new PipeError(`nobody listens to ${name}`)
  return handler
}

/** The bytes of a message, of which arrays are written as they are. */
export function encodeMessage(head: unknown): readonly Uint8Array[] {
  const blobs: Uint8Array[] = []
  const json = JSON.stringify(head, function (this: Record<string, unknown>, key, value: unknown) {
    const original = this[key] // a Buffer comes as something else
    if (original instanceof Uint8Array) {
      blobs.push(original)
      return { $bytes: original.length }
    }
    return typeof value === 'bigint' ? { $int: value.toString() } : value
  })
  const headBytes = new TextEncoder().encode(json)
  const lengths = new Uint8Array(LENGTHS_BYTES)
  const view = new DataView(lengths.buffer)
  view.setUint32(0, 4 + headBytes.length + blobs.reduce((sum, { length }) => sum + length, 0))
  view.setUint32(4, headBytes.length)
  return [lengths, headBytes, ...blobs]
}

/** The message that the bytes behind the length are; arrays in it are views of them. Throws PipeError or SyntaxError if they are none. */
export function decodeMessage(bytes: Uint8Array): unknown {
  const headLength = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  let at = 4 + headLength
  const head: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(4, at)))
  const decoded = restore(head, (length) => {
    const part = bytes.subarray(at, at + length)
    at += length
    if (at > bytes.length) throw new PipeError('a message is too short')
    return part
  })
  return decoded
}

/** Puts bytes and big integers back into a head, in the order in which they were taken out. */
function restore(value: unknown, take: (length: number) => Uint8Array): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => restore(one, take))
  if (typeof value !== 'object' || value === null) return value
  if ('$bytes' in value) return take(Number(value.$bytes))
  if ('$int' in value) return BigInt(String(value.$int))
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, restore(one, take)]))
}

/** Cuts a stream into messages; each is copied once, into memory of its own. Throws what the decoder throws. */
function createMessageReader(): (chunk: Uint8Array) => Head[] {
  const length = new Uint8Array(4)
  let lengthBytes = 0
  let message: Uint8Array | undefined
  let filled = 0
  return (chunk) => {
    const heads: Head[] = []
    for (let at = 0; at < chunk.length; ) {
      if (!message) {
        const part = chunk.subarray(at, at + 4 - lengthBytes)
        length.set(part, lengthBytes)
        lengthBytes += part.length
        at += part.length
        if (lengthBytes < 4) break
        const bytes = new DataView(length.buffer).getUint32(0)
        if (bytes < 4 || bytes > MESSAGE_BYTES_MAX) throw new PipeError('a message is too long')
        message = new Uint8Array(bytes)
        filled = 0
      }
      const part = chunk.subarray(at, at + message.length - filled)
      message.set(part, filled)
      filled += part.length
      at += part.length
      if (filled < message.length) break
      const whole = message
      message = undefined
      lengthBytes = 0
      heads.push(decodeMessage(whole) as Head)
    }
    return heads
  }
}
