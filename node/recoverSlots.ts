/**
 * The memory that signatures travel in between threads: one place for each in a shared buffer, written by the main thread, answered in place by a
 * worker (node/recoverWorker.ts). In a place: digest 32 ‖ r 32 ‖ s 32 ‖ yParity 1 ‖ found 1 ‖ public key 64 ‖ address 20.
 */
import { toHex } from '../execution/hex.ts'
import { keccak256 } from '../execution/keccak.ts'
import { isLowS, recoverInto, type Signatory, type SignedDigest } from '../execution/recover.ts'

/** Signatures that go to a worker at once. */
export const SLOTS = 256

const SLOT_BYTES = 182
const AT = { r: 32, s: 64, yParity: 96, found: 97, publicKey: 98, address: 162 } as const

/** Room for `SLOTS` signatures. */
export function createSlots(): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(SLOTS * SLOT_BYTES))
}

/** Puts a signature into its place; one of another length than 32 and 32 bytes is nobody's, and stays so. */
export function writeSlot(slots: Uint8Array, place: number, { digest, signature: { r, s, yParity } }: SignedDigest): void {
  const at = place * SLOT_BYTES
  const isWhole = digest.length === 32 && r.length === 32 && s.length === 32
  slots.fill(0, at, at + AT.publicKey)
  if (!isWhole) return // r = s = 0 is a signature that no key makes
  slots.set(digest, at)
  slots.set(r, at + AT.r)
  slots.set(s, at + AT.s)
  slots[at + AT.yParity] = yParity
}

/**
 * Where one signature after another is copied to and recovered: the addon takes no shared memory, and a small array of its own it first has to move out
 * of V8's heap, which costs some 8 µs a signature.
 */
const room = new Uint8Array(new ArrayBuffer(32 + 64 + 65))
const digest = room.subarray(0, 32)
const compact = room.subarray(32, 96)
const s = room.subarray(64, 96)
const publicKey = room.subarray(96)
const unmarkedKey = publicKey.subarray(1)

/** Recovers the first `count` places: what a worker does. */
export function recoverSlots(slots: Uint8Array, count: number): void {
  for (let at = 0; at < count * SLOT_BYTES; at += SLOT_BYTES) {
    copy(slots, at, room, 0, AT.yParity)
    const yParity = slots[at + AT.yParity] === 1 ? 1 : 0
    const found = isLowS(s) && recoverInto(publicKey, { digest, compact, yParity })
    slots[at + AT.found] = found ? 1 : 0
    if (!found) continue
    copy(unmarkedKey, 0, slots, at + AT.publicKey, 64)
    copy(keccak256(unmarkedKey), 12, slots, at + AT.address, 20)
  }
}

/** A loop: arrays that show a part of others would have to be made for `set`. */
function copy(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i] ?? 0
}

/** What was found in a place. */
export function readSlot(slots: Uint8Array, place: number): Signatory | undefined {
  const at = place * SLOT_BYTES
  if (slots[at + AT.found] !== 1) return undefined
  return {
    publicKey: slots.slice(at + AT.publicKey, at + AT.address),
    address: toHex(slots, at + AT.address, at + SLOT_BYTES),
  }
}
