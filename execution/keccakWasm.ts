/**
 * Keccak-256's sponge as a WebAssembly module, written out here: 1,221 bytes that take whole padded blocks in one call. Libraries' modules are made
 * for streams: three calls and three views a digest cost more than hashing what is short, which is most of what a block hashes.
 * Memory: digest at 0 (32 bytes), round constants at 256, padded input from `INPUT_AT`. Export `m` is the memory, `k` hashes so many blocks.
 * Source: FIPS 202, sections 3.2 and 3.3; WebAssembly core specification, chapter 5.
 */

/** Bytes of a block. */
export const BLOCK_BYTES = 136
/** Where the padded input begins in the module's memory. */
export const INPUT_AT = 512
/** Blocks that the module's memory holds. */
export const BLOCKS_MAX = Math.floor((65_536 - INPUT_AT) / BLOCK_BYTES)

const CONSTANTS_AT = 256
const ROUNDS = 24
const LANES = 25
const BLOCK_LANES = BLOCK_BYTES / 8

/** Locals: blocks left (the parameter), place in the input, place in the constants, then 64-bit words: lanes, lanes moved, columns, a column's change. */
const LOCAL = { left: 0, input: 1, round: 2, lane: 3, moved: 3 + LANES, column: 3 + 2 * LANES, change: 8 + 2 * LANES }
const OP = {
  loop: 0x03,
  end: 0x0b,
  branchIf: 0x0d,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  load64: 0x29,
  store64: 0x37,
  const32: 0x41,
  const64: 0x42,
}
const MATH = { less32: 0x49, add32: 0x6a, subtract32: 0x6b, and64: 0x83, xor64: 0x85, rotate64: 0x89 }
const TYPE = { void: 0x40, func: 0x60, int64: 0x7e, int32: 0x7f }

/** The module's bytes. */
export function keccakModule(): Uint8Array<ArrayBuffer> {
  const code = [2, 2, TYPE.int32, ...leb(2 * LANES + 6), TYPE.int64, ...sponge(), OP.end]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, TYPE.func, 1, TYPE.int32, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, 1, letter('m'), 2, 0, 1, letter('k'), 0, 0]),
    ...section(10, [1, ...leb(code.length), ...code]),
    ...section(11, [1, 0, ...const32(CONSTANTS_AT), OP.end, ...leb(8 * ROUNDS), ...roundConstants()]),
  ])
}

/** Lanes are 0 when a function begins: absorbs each block, and leaves the first four lanes. */
function sponge(): number[] {
  const { left, input, round, lane } = LOCAL
  const absorb = indexes(BLOCK_LANES).flatMap((i) => [
    ...get(lane + i),
    ...get(input),
    ...[OP.load64, 3, ...leb(INPUT_AT + 8 * i), MATH.xor64],
    ...set(lane + i),
  ])
  const next = [...get(round), ...const32(8), MATH.add32, ...tee(round), ...const32(8 * ROUNDS), MATH.less32, OP.branchIf, 0]
  const rounds = [...const32(0), ...set(round), OP.loop, TYPE.void, ...permuteOnce(), ...next, OP.end]
  const onward = [...get(input), ...const32(BLOCK_BYTES), MATH.add32, ...set(input)]
  const again = [...get(left), ...const32(1), MATH.subtract32, ...tee(left), OP.branchIf, 0]
  const squeeze = indexes(4).flatMap((i) => [...const32(0), ...get(lane + i), OP.store64, 3, ...leb(8 * i)])
  return [OP.loop, TYPE.void, ...absorb, ...rounds, ...onward, ...again, OP.end, ...squeeze]
}

/** One round: θ, ρ and π, χ, ι. The lane of column x and row y is number x + 5 y. */
function permuteOnce(): number[] {
  const { lane, moved, column, change, round } = LOCAL
  const columns = indexes(5).flatMap((x) => [
    ...get(lane + x),
    ...[5, 10, 15, 20].flatMap((row) => [...get(lane + x + row), MATH.xor64]),
    ...set(column + x),
  ])
  const rotations = rotationsOf()
  const move = indexes(5).flatMap((x) => [
    ...[...get(column + ((x + 4) % 5)), ...get(column + ((x + 1) % 5)), ...const64(1), MATH.rotate64, MATH.xor64, ...set(change)],
    ...indexes(5).flatMap((y) => [
      ...[...get(lane + x + 5 * y), ...get(change), MATH.xor64, ...const64(rotations[x + 5 * y] ?? 0), MATH.rotate64],
      ...set(moved + y + 5 * ((2 * x + 3 * y) % 5)),
    ]),
  ])
  const mix = indexes(LANES).flatMap((i) => {
    const [x, row] = [i % 5, i - (i % 5)]
    const inverted = [...get(moved + row + ((x + 1) % 5)), ...const64(-1), MATH.xor64]
    return [...get(moved + i), ...inverted, ...get(moved + row + ((x + 2) % 5)), MATH.and64, MATH.xor64, ...set(lane + i)]
  })
  const constant = [...get(lane), ...get(round), OP.load64, 3, ...leb(CONSTANTS_AT), MATH.xor64, ...set(lane)]
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

function indexes(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

function get(local: number): number[] {
  return [OP.get, ...leb(local)]
}

function set(local: number): number[] {
  return [OP.set, ...leb(local)]
}

function tee(local: number): number[] {
  return [OP.tee, ...leb(local)]
}

function const32(value: number): number[] {
  return [OP.const32, ...signedLeb(value)]
}

function const64(value: number): number[] {
  return [OP.const64, ...signedLeb(value)]
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb(content.length), ...content]
}

function letter(text: string): number {
  return text.charCodeAt(0)
}

/** LEB128. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]
}

/** Signed LEB128. */
function signedLeb(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signedLeb(value >> 7)]
}
