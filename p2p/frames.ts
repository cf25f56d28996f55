/**
 * Frames of the direct streams between validators, and what cuts a stream of bytes into them.
 * Wire: length u32 ‖ kind u8 ‖ body, the length of kind and body together. Spec: docs/spec/p2p.md#direct-streams
 */
import type { Hex } from 'viem'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { toHex } from '../execution/hex.ts'
import { keccak256 } from '../execution/keccak.ts'
import { BLOCK_BYTES_MAX } from './wire.ts'

export const FRAME = { hello: 1, message: 2, block: 3, ask: 4, answer: 5, none: 6, checkpoint: 7 } as const

export type FrameKind = keyof typeof FRAME

/** Bytes of a hello: a BLS public key and a signature. */
export const HELLO_BYTES = 48 + 96

/** Most bytes of a message of consensus. */
export const MESSAGE_BYTES_MAX = 1_024

/** Bytes of a checkpoint's signature: block, hash, signature. */
export const CHECKPOINT_BYTES = 8 + 32 + 96

const HASH_BYTES = 32
const HEAD_BYTES = 5
const KINDS = new Map<number, FrameKind>(Object.entries(FRAME).map(([kind, code]) => [code, kind as FrameKind]))

/** Least and most bytes of a body. */
const BODY_BYTES: Readonly<Record<FrameKind, readonly [number, number]>> = {
  hello: [HELLO_BYTES, HELLO_BYTES],
  message: [1, MESSAGE_BYTES_MAX],
  block: [1, BLOCK_BYTES_MAX],
  ask: [HASH_BYTES, HASH_BYTES],
  answer: [HASH_BYTES + 1, HASH_BYTES + BLOCK_BYTES_MAX],
  none: [HASH_BYTES, HASH_BYTES],
  checkpoint: [CHECKPOINT_BYTES, CHECKPOINT_BYTES],
}

/** Bytes that are set aside for a body before any of it came. */
const BODY_START_BYTES = 65_536

/** The bytes of a frame, of which the body may come in parts. */
export function encodeFrameOf(kind: FrameKind, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 1)
  return concatBytes([uintBytes(length, 4), Uint8Array.of(FRAME[kind]), ...parts])
}

export type FrameReader = {
  /** Takes the next bytes of the stream. False: they are no frames, or the reader's owner refused one; nothing more is read then. */
  push(bytes: Uint8Array): boolean
  /** Bytes of a frame that is not complete. */
  held(): number
}

export type FramePorts = {
  /** A frame of this kind and size begins: take it, skip its bytes, or refuse the stream. */
  begins(kind: FrameKind, bytes: number): 'take' | 'skip' | 'refuse'
  /** A frame that was taken is complete; the bytes are the callee's. False: refuse the stream. */
  frame(kind: FrameKind, body: Uint8Array): boolean
}

/** Cuts a stream into frames. What it holds grows with what came, not with what was announced. */
export function createFrameReader(ports: FramePorts): FrameReader {
  const head = new Uint8Array(HEAD_BYTES)
  let headBytes = 0
  let kind: FrameKind | undefined
  let missing = 0
  let body: Uint8Array | undefined
  let filled = 0

  /** Reads a head that is complete. False: it is none. */
  function begin(): boolean {
    const length = new DataView(head.buffer).getUint32(0) - 1
    kind = KINDS.get(head[4] ?? 0)
    if (!kind) return false
    const [least, most] = BODY_BYTES[kind]
    if (length < least || length > most) return false
    const decision = ports.begins(kind, length)
    missing = length
    filled = 0
    body = decision === 'take' ? new Uint8Array(Math.min(length, BODY_START_BYTES)) : undefined
    return decision !== 'refuse'
  }

  function fill(part: Uint8Array): void {
    missing -= part.length
    if (!body) return
    if (filled + part.length > body.length) {
      const grown = new Uint8Array(Math.min(Math.max(2 * body.length, filled + part.length), filled + part.length + missing))
      grown.set(body.subarray(0, filled))
      body = grown
    }
    body.set(part, filled)
    filled += part.length
  }

  return {
    push(bytes) {
      for (let at = 0; at < bytes.length; ) {
        if (!kind) {
          const part = bytes.subarray(at, at + HEAD_BYTES - headBytes)
          head.set(part, headBytes)
          headBytes += part.length
          at += part.length
          if (headBytes < HEAD_BYTES) break
          if (!begin()) return false
        }
        const part = bytes.subarray(at, at + missing)
        fill(part)
        at += part.length
        if (missing > 0) continue
        const [whole, of] = [body, kind]
        body = undefined
        kind = undefined
        headBytes = 0
        if (whole && of && !ports.frame(of, whole)) return false
      }
      return true
    },
    held: () => (body ? filled : 0),
  }
}

/** Hash of a block by its bytes: of the header, their first item. Undefined if there is none. The rest is not looked at. */
export function headerHashOf(block: Uint8Array): Hex | undefined {
  const outer = listAt(block, 0)
  const header = outer && listAt(block, outer.start)
  return header && header.end <= outer.end ? toHex(keccak256(block.subarray(outer.start, header.end))) : undefined
}

/** Where the items of the RLP list at this place start and end. */
function listAt(bytes: Uint8Array, at: number): { readonly start: number; readonly end: number } | undefined {
  const first = bytes[at] ?? 0
  if (first < 0xc0) return undefined
  const sizeBytes = first > 0xf7 ? first - 0xf7 : 0
  let size = sizeBytes === 0 ? first - 0xc0 : 0
  for (const byte of bytes.subarray(at + 1, at + 1 + sizeBytes)) size = size * 256 + byte
  const start = at + 1 + sizeBytes
  return start + size <= bytes.length ? { start, end: start + size } : undefined
}
