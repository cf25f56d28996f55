/**
 * The write-ahead log: every input of one height, in the order in which the machine took them, so that a node that was killed stands
 * where it stood and says nothing else than it said. Bytes only; node/ owns the file.
 *
 * The rule: append each logged input before stepping; have the log on disk before any effect of it leaves the process. One sync covers all
 * frames before it. One file a height, begun anew (truncated to nothing) by the next startHeight. Any write error: stop voting.
 *
 * Wire: frames (length u32 ‖ crc32c u32 ‖ type u8 ‖ body, `length` bytes of body, checksum over type ‖ body), the first of them
 *
 *   0 header       version u8 (1) ‖ chainId u64 ‖ epoch u32 ‖ height u64 ‖ set hash 32 ‖ votes u8
 *   1 message      receivedMs u64 ‖ message (message.ts)
 *   2 blockBuilt   height u64 ‖ round u32 ‖ blockHash 32 ‖ timestampMs u64
 *   3 blockChecked height u64 ‖ blockHash 32 ‖ valid u8 ‖ timestampMs u64
 *   4 timeout      timer u8 (0 propose, 1 prevote, 2 precommit) ‖ height u64 ‖ round u32
 *
 * Spec: docs/spec/consensus.md#log
 */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { concatBytes, uintBytes } from '../execution/bytes.ts'
import { crc32c } from './crc32c.ts'
import type { Input } from './input.ts'
import { encodeMessage, MESSAGE_BYTES_MAX, readMessage } from './message.ts'
import type { Timer } from './timing.ts'
import { decodeExactly, fixedBytes, type Reader, readHex, readRound, readUint, refuse } from './wire.ts'

/** Most bytes of a frame's body. */
export const FRAME_BODY_BYTES_MAX = MESSAGE_BYTES_MAX + 8

const WAL_VERSION = 1
const FRAME_HEAD_BYTES = 9
const FRAME = { header: 0, message: 1, blockBuilt: 2, blockChecked: 3, timeout: 4 } as const
const TIMERS = ['propose', 'prevote', 'precommit'] as const satisfies readonly Timer[]

/** Which height of which chain and set a log is of, and if the height was started with a vote. */
export type WalHeader = {
  readonly chainId: number
  readonly epoch: number
  readonly height: number
  readonly setHash: Hex
  readonly votes: boolean
}

/** An input that is logged; startHeight is the header. */
export type LoggedInput = Exclude<Input, { kind: 'startHeight' }>

/**
 * What a log holds. `bytes` of it are good: cut the file there before appending. Anything behind them is a torn tail: frames that were
 * never synced, so nothing they caused has left the process.
 */
export type WalVerdict =
  | { readonly ok: true; readonly header: WalHeader | undefined; readonly inputs: readonly LoggedInput[]; readonly bytes: number }
  /** Damage before good frames, or a frame that is no input: something synced is lost. This height must be sat out without voting. */
  | { readonly ok: false; readonly code: 'corruptFrame' | 'badFrame' | 'badHeader'; readonly at: number }

/** True for inputs that change the state: all but the timer for saying things again. */
export function isLogged(input: LoggedInput): boolean {
  return input.kind !== 'timeout' || input.timer !== 'rebroadcast'
}

/** The first frame of a log. */
export function encodeWalHeader({ chainId, epoch, height, setHash, votes }: WalHeader): Uint8Array {
  const body = [uintBytes(WAL_VERSION, 1), uintBytes(chainId, 8), uintBytes(epoch, 4), uintBytes(height, 8), fixedBytes(setHash, 32)]
  return encodeFrame(FRAME.header, concatBytes([...body, flagBytes(votes)]))
}

/** The frame of an input that `isLogged`. */
export function encodeWalInput(input: LoggedInput): Uint8Array {
  switch (input.kind) {
    case 'message':
      return encodeFrame(FRAME.message, concatBytes([uintBytes(input.receivedMs, 8), encodeMessage(input.message)]))
    case 'blockBuilt': {
      const { height, round, blockHash, timestampMs } = input
      const body = [uintBytes(height, 8), uintBytes(round, 4), fixedBytes(blockHash, 32), uintBytes(timestampMs, 8)]
      return encodeFrame(FRAME.blockBuilt, concatBytes(body))
    }
    case 'blockChecked': {
      const { height, blockHash, valid, timestampMs } = input
      const body = [uintBytes(height, 8), fixedBytes(blockHash, 32), flagBytes(valid), uintBytes(timestampMs, 8)]
      return encodeFrame(FRAME.blockChecked, concatBytes(body))
    }
    case 'timeout': {
      const { timer, height, round } = input
      assert(timer !== 'rebroadcast', 'this timer is not logged')
      return encodeFrame(FRAME.timeout, concatBytes([uintBytes(TIMERS.indexOf(timer), 1), uintBytes(height, 8), uintBytes(round, 4)]))
    }
  }
}

/**
 * Reads a log as a crash may have left it. The first bad frame ends it: with a good frame anywhere behind, what is bad was damaged later
 * (`corruptFrame`); without, it is a torn tail and is cut. A bit that flips in the very last frame looks like a torn tail; for that
 * case, and for a lost file, there is guard.ts.
 */
export function decodeWal(bytes: Uint8Array): WalVerdict {
  const inputs: LoggedInput[] = []
  let header: WalHeader | undefined
  let at = 0
  while (at < bytes.length) {
    const frame = frameAt(bytes, at)
    if (frame === undefined) {
      return hasFrameAfter(bytes, at) ? { ok: false, code: 'corruptFrame', at } : { ok: true, header, inputs, bytes: at }
    }
    if (header === undefined) {
      header = frame.type === FRAME.header ? decodeHeader(frame.body) : undefined
      if (header === undefined) return { ok: false, code: 'badHeader', at }
    } else {
      const input = decodeInput(frame.type, frame.body)
      if (input === undefined) return { ok: false, code: 'badFrame', at }
      inputs.push(input)
    }
    at += FRAME_HEAD_BYTES + frame.body.length
  }
  return { ok: true, header, inputs, bytes: at }
}

function flagBytes(flag: boolean): Uint8Array {
  return uintBytes(flag ? 1 : 0, 1)
}

function readFlag(reader: Reader): boolean {
  const byte = readUint(reader, 1)
  return byte <= 1 ? byte === 1 : refuse('flagRange')
}

function encodeFrame(type: number, body: Uint8Array): Uint8Array {
  assert(body.length <= FRAME_BODY_BYTES_MAX, 'frame is too long')
  const summed = concatBytes([uintBytes(type, 1), body])
  return concatBytes([uintBytes(body.length, 4), uintBytes(crc32c(summed), 4), summed])
}

/** The frame that starts at an offset, or undefined if none does. */
function frameAt(bytes: Uint8Array, at: number): { type: number; body: Uint8Array } | undefined {
  if (at + FRAME_HEAD_BYTES > bytes.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, FRAME_HEAD_BYTES)
  const length = view.getUint32(0)
  const end = at + FRAME_HEAD_BYTES + length
  if (length > FRAME_BODY_BYTES_MAX || end > bytes.length) return undefined
  if (crc32c(bytes.subarray(at + 8, end)) !== view.getUint32(4)) return undefined
  return { type: view.getUint8(8), body: bytes.subarray(at + FRAME_HEAD_BYTES, end) }
}

function hasFrameAfter(bytes: Uint8Array, at: number): boolean {
  for (let from = at + 1; from < bytes.length; from++) if (frameAt(bytes, from) !== undefined) return true
  return false
}

function decodeHeader(body: Uint8Array): WalHeader | undefined {
  const decoded = decodeExactly(body, FRAME_BODY_BYTES_MAX, (reader) => {
    if (readUint(reader, 1) !== WAL_VERSION) refuse('unknownType')
    const [chainId, epoch, height, setHash] = [readUint(reader, 8), readUint(reader, 4), readUint(reader, 8), readHex(reader, 32)]
    return { chainId, epoch, height, setHash, votes: readFlag(reader) }
  })
  return decoded.ok ? decoded.value : undefined
}

function decodeInput(type: number, body: Uint8Array): LoggedInput | undefined {
  const decoded = decodeExactly(body, FRAME_BODY_BYTES_MAX, (reader) => readInput(reader, type))
  return decoded.ok ? decoded.value : undefined
}

function readInput(reader: Reader, type: number): LoggedInput {
  switch (type) {
    case FRAME.message: {
      const receivedMs = readUint(reader, 8)
      return { kind: 'message', receivedMs, message: readMessage(reader) }
    }
    case FRAME.blockBuilt: {
      const [height, round, blockHash] = [readUint(reader, 8), readRound(reader), readHex(reader, 32)]
      return { kind: 'blockBuilt', height, round, blockHash, timestampMs: readUint(reader, 8) }
    }
    case FRAME.blockChecked: {
      const [height, blockHash, valid] = [readUint(reader, 8), readHex(reader, 32), readFlag(reader)]
      return { kind: 'blockChecked', height, blockHash, valid, timestampMs: readUint(reader, 8) }
    }
    case FRAME.timeout: {
      const timer = TIMERS[readUint(reader, 1)] ?? refuse('unknownType')
      return { kind: 'timeout', timer, height: readUint(reader, 8), round: readRound(reader) }
    }
    default:
      return refuse('unknownType')
  }
}
