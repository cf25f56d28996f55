import { bytesToHex, concatBytes, type Hex, hexToBytes, stringToBytes } from 'viem'
import { expect, test } from 'vitest'
import { crc32c } from '../../consensus/crc32c.ts'
import { step } from '../../consensus/machine.ts'
import { replay } from '../../consensus/replay.ts'
import { idleState } from '../../consensus/state.ts'
import { decodeWal, encodeWalHeader, encodeWalInput, isLogged, type LoggedInput, type WalHeader } from '../../consensus/wal.ts'
import { assert } from '../../execution/assert.ts'
import vectors from '../vectors/consensus.json' with { type: 'json' }
import { blockHash, CHAIN_ID, contextOf, fakeVote, setOf } from './fixtures.ts'

const SET = setOf([1, 1, 1, 1])
const HEADER: WalHeader = { chainId: CHAIN_ID, epoch: 0, height: 1, setHash: SET.hash, votes: true }
const INPUTS: LoggedInput[] = [
  { kind: 'message', receivedMs: 1_000, message: fakeVote({ kind: 'prevote', validator: 0 }) },
  { kind: 'blockBuilt', height: 1, round: 0, blockHash: blockHash(1), timestampMs: 1_000 },
  { kind: 'blockChecked', height: 1, blockHash: blockHash(2), valid: false, timestampMs: 1_000 },
  { kind: 'timeout', timer: 'propose', height: 1, round: 0 },
]
const FRAMES = [encodeWalHeader(HEADER), ...INPUTS.map(encodeWalInput)]
const LOG = concatBytes(FRAMES)
/** Offsets at which a frame ends. */
const ENDS = FRAMES.map((_, at) => concatBytes(FRAMES.slice(0, at + 1)).length)

test('the checksum is CRC-32C', () => {
  expect(crc32c(stringToBytes('123456789'))).toBe(0xe3069283) // the check value of every catalogue of CRCs
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa) // RFC 3720, appendix B.4
})

test('a log gives back its header and inputs', () => {
  expect(decodeWal(LOG)).toEqual({ ok: true, header: HEADER, inputs: INPUTS, bytes: LOG.length })
  expect(decodeWal(new Uint8Array())).toEqual({ ok: true, header: undefined, inputs: [], bytes: 0 })
})

test('the log of the vectors decodes, and encodes to the same bytes', () => {
  const log = decodeWal(concatBytes(vectors.log.map((frame) => hexToBytes(frame as Hex))))
  assert(log.ok && log.header)
  expect([encodeWalHeader(log.header), ...log.inputs.map(encodeWalInput)].map((frame) => bytesToHex(frame))).toEqual(vectors.log)
})

test('a log torn at any byte is cut after its last whole frame', () => {
  for (let length = 0; length <= LOG.length; length++) {
    const whole = ENDS.filter((end) => end <= length).length
    const expected = {
      ok: true,
      header: whole > 0 ? HEADER : undefined,
      inputs: INPUTS.slice(0, Math.max(0, whole - 1)),
      bytes: ENDS[whole - 1] ?? 0,
    }
    expect(decodeWal(LOG.subarray(0, length)), `cut at ${length}`).toEqual(expected)
    const zeroed = LOG.slice()
    zeroed.fill(0, length)
    expect(decodeWal(zeroed), `zeros from ${length}`).toMatchObject({
      ok: true,
      bytes: ENDS.filter((end) => end <= length || bytesEqual(zeroed, end)).at(-1) ?? 0,
    })
  }
})

/** True if the log up to `end` happens to be whole although it was zeroed: its last bytes were zeros anyway. */
function bytesEqual(zeroed: Uint8Array, end: number): boolean {
  return bytesToHex(zeroed.subarray(0, end)) === bytesToHex(LOG.subarray(0, end))
}

test('a flipped bit before the last frame is damage, in the last frame a torn tail; never another log', () => {
  const last = ENDS.at(-2) ?? 0
  for (let bit = 0; bit < LOG.length * 8; bit++) {
    const damaged = LOG.slice()
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const verdict = decodeWal(damaged)
    if (bit >> 3 < last) expect(verdict, `bit ${bit}`).toMatchObject({ ok: false, code: 'corruptFrame' })
    else expect(verdict, `bit ${bit}`).toEqual({ ok: true, header: HEADER, inputs: INPUTS.slice(0, -1), bytes: last })
  }
})

test('a whole frame that is no input, or no header at the front, is refused', () => {
  expect(decodeWal(concatBytes([FRAMES[1] ?? LOG]))).toEqual({ ok: false, code: 'badHeader', at: 0 })
  expect(decodeWal(concatBytes([FRAMES[0] ?? LOG, FRAMES[0] ?? LOG]))).toEqual({ ok: false, code: 'badFrame', at: ENDS[0] })
})

test('all inputs are logged but the timer that only repeats', () => {
  expect(INPUTS.every(isLogged)).toBe(true)
  expect(isLogged({ kind: 'timeout', timer: 'rebroadcast', height: 1, round: 0 })).toBe(false)
})

// ---- replay ----

const idle = idleState(contextOf(SET.validators[1]?.publicKey), SET, 0)

test('a log of another chain, height or set is not replayed', () => {
  const source = { header: HEADER, inputs: [], set: SET, chainId: CHAIN_ID }
  expect(replay(idle, { ...source, chainId: 1 })).toEqual({ ok: false, code: 'otherChain' })
  expect(replay({ ...idle, height: 1 }, source)).toEqual({ ok: false, code: 'otherHeight' })
  expect(replay(idle, { ...source, set: setOf([1, 1, 1, 2]) })).toEqual({ ok: false, code: 'otherSet' })
})

test('replay leaves to be done what the log does not answer', () => {
  const kindsAfter = (inputs: readonly LoggedInput[]) => {
    const replayed = replay(idle, { header: HEADER, inputs, set: SET, chainId: CHAIN_ID })
    assert(replayed.ok)
    return replayed.effects.map((effect) =>
      effect.kind === 'startTimer' ? effect.timer : effect.kind === 'broadcast' ? `say ${effect.message.kind}` : effect.kind,
    )
  }
  const built: LoggedInput = { kind: 'blockBuilt', height: 1, round: 0, blockHash: blockHash(1), timestampMs: 1_000 }
  const { effects } = step(step(idle, { kind: 'startHeight', height: 1, set: SET, votes: true }).state, built)
  const [signing] = effects
  assert(signing?.kind === 'sign' && signing.message.kind === 'proposal')
  const proposed: LoggedInput = { kind: 'message', receivedMs: 1_000, message: { ...signing.message, signature: new Uint8Array(96) } }
  expect(kindsAfter([])).toEqual(['propose', 'buildBlock', 'rebroadcast'])
  expect(kindsAfter([built])).toEqual(['propose', 'sign', 'rebroadcast'])
  expect(kindsAfter([built, proposed])).toEqual(['sign', 'say proposal', 'rebroadcast'])
  expect(kindsAfter([{ kind: 'timeout', timer: 'propose', height: 1, round: 0 }])).toEqual(['sign', 'rebroadcast'])
})
