/**
 * Keccak-256's sponge as a WebAssembly module, written out here: 1,221 bytes that take whole padded blocks in one call. Libraries' modules are made
 * for streams: three calls and three views a digest cost more than hashing what is short, which is most of what a block hashes.
 * Memory: digest at 0 (32 bytes), round constants at 256, padded input from `INPUT_AT`. Export `m` is the memory, `k` hashes so many blocks.
 * Source: FIPS 202, sections 3.2 and 3.3; WebAssembly core specification, chapter 5.
 */
import { const32, const64, get, indexes, leb, MATH32, MEMORY_BYTES, OP, set, TYPE, tee, wasmModule } from './wasm.ts'

/** Bytes of a block. */
export const BLOCK_BYTES = 136
/** Where the padded input begins in the module's memory. */
export const INPUT_AT = 512
/** Blocks that the module's memory holds. */
export const BLOCKS_MAX = Math.floor((MEMORY_BYTES - INPUT_AT) / BLOCK_BYTES)

const CONSTANTS_AT = 256
const ROUNDS = 24
const LANES = 25
const BLOCK_LANES = BLOCK_BYTES / 8

/** Locals: blocks left (the parameter), place in the input, place in the constants, then 64-bit words: lanes, lanes moved, columns, a column's change. */
const LOCAL = { left: 0, input: 1, round: 2, lane: 3, moved: 3 + LANES, column: 3 + 2 * LANES, change: 8 + 2 * LANES }
const LOAD64 = [0x29, 3]
const STORE64 = [0x37, 3]
const MATH64 = { and: 0x83, xor: 0x85, rotateLeft: 0x89 }

/** The module's bytes. */
export function keccakModule(): Uint8Array<ArrayBuffer> {
  const locals = [2, 2, TYPE.int32, ...leb(2 * LANES + 6), TYPE.int64]
  return wasmModule({ name: 'k', locals, code: sponge() }, { at: CONSTANTS_AT, bytes: roundConstants() })
}

/** Lanes are 0 when a function begins: absorbs each block, and leaves the first four lanes. */
function sponge(): number[] {
  const { left, input, round, lane } = LOCAL
  const absorb = indexes(BLOCK_LANES).flatMap((i) => [
    ...get(lane + i),
    ...get(input),
    ...[...LOAD64, ...leb(INPUT_AT + 8 * i), MATH64.xor],
    ...set(lane + i),
  ])
  const next = [...get(round), ...const32(8), MATH32.add, ...tee(round), ...const32(8 * ROUNDS), MATH32.less, OP.branchIf, 0]
  const rounds = [...const32(0), ...set(round), OP.loop, TYPE.void, ...permuteOnce(), ...next, OP.end]
  const onward = [...get(input), ...const32(BLOCK_BYTES), MATH32.add, ...set(input)]
  const again = [...get(left), ...const32(1), MATH32.subtract, ...tee(left), OP.branchIf, 0]
  const squeeze = indexes(4).flatMap((i) => [...const32(0), ...get(lane + i), ...STORE64, ...leb(8 * i)])
  return [OP.loop, TYPE.void, ...absorb, ...rounds, ...onward, ...again, OP.end, ...squeeze]
}

/** One round: θ, ρ and π, χ, ι. The lane of column x and row y is number x + 5 y. */
function permuteOnce(): number[] {
  const { lane, moved, column, change, round } = LOCAL
  const columns = indexes(5).flatMap((x) => [
    ...get(lane + x),
    ...[5, 10, 15, 20].flatMap((row) => [...get(lane + x + row), MATH64.xor]),
    ...set(column + x),
  ])
  const rotations = rotationsOf()
  const move = indexes(5).flatMap((x) => [
    ...[...get(column + ((x + 4) % 5)), ...get(column + ((x + 1) % 5)), ...const64(1), MATH64.rotateLeft, MATH64.xor, ...set(change)],
    ...indexes(5).flatMap((y) => [
      ...[...get(lane + x + 5 * y), ...get(change), MATH64.xor, ...const64(rotations[x + 5 * y] ?? 0), MATH64.rotateLeft],
      ...set(moved + y + 5 * ((2 * x + 3 * y) % 5)),
    ]),
  ])
  const mix = indexes(LANES).flatMap((i) => {
    const [x, row] = [i % 5, i - (i % 5)]
    const inverted = [...get(moved + row + ((x + 1) % 5)), ...const64(-1), MATH64.xor]
    return [...get(moved + i), ...inverted, ...get(moved + row + ((x + 2) % 5)), MATH64.and, MATH64.xor, ...set(lane + i)]
  })
  const constant = [...get(lane), ...get(round), ...LOAD64, ...leb(CONSTANTS_AT), MATH64.xor, ...set(lane)]
  return [...columns, ...move, ...mix, ...constant]
}

/** By how many bits ρ turns each lane: 1, 3, 6, 10, … along the walk that starts at (1, 0). */
function rotationsOf(): number[] {
  const rotations = new Array<number>(LANES).fill(0)
  let [x, y] = [1, 0]
  for (let t = 1; t < LANES; t++) {
    rotations[x + 5 * y] = ((t * (t + 1)) / 2) % 64
    ;[x, y] = [y, (2 * x + 3 * y) % 5]
  }
  return rotations
}

/** What ι adds in each round: bits 2^j - 1 from a shift register with taps 0x71. */
function roundConstants(): Uint8Array {
  const bytes = new Uint8Array(8 * ROUNDS)
  let register = 1
  for (let bit = 0; bit < 7 * ROUNDS; bit++) {
    const place = 2 ** (bit % 7) - 1
    if ((register & 1) === 1)
      bytes[8 * Math.floor(bit / 7) + (place >> 3)] = (bytes[8 * Math.floor(bit / 7) + (place >> 3)] ?? 0) | (1 << (place & 7))
    register = (register << 1) ^ ((register & 0x80) === 0 ? 0 : 0x171)
  }
  return bytes
}
