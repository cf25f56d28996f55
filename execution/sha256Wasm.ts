/**
 * SHA-256's compression as a WebAssembly module, written out here for the reason that Keccak's is (execution/keccakWasm.ts): one call for all padded
 * blocks of what is short.
 * Memory: digest at 0 (32 bytes), round constants at 256, padded input from `INPUT_AT`. Export `m` is the memory, `s` hashes so many blocks.
 * Source: FIPS 180-4, sections 4.1.2, 4.2.2, 5.3.3 and 6.2.
 */
import { const32, get, indexes, leb, MATH32, MEMORY_BYTES, OP, set, TYPE, tee, wasmModule } from './wasm.ts'

/** Bytes of a block. */
export const BLOCK_BYTES = 64
/** Where the padded input begins in the module's memory. */
export const INPUT_AT = 512
/** Blocks that the module's memory holds. */
export const BLOCKS_MAX = Math.floor((MEMORY_BYTES - INPUT_AT) / BLOCK_BYTES)

const CONSTANTS_AT = 256
/** Rounds that are written out. Their words are kept in as many locals, and each becomes the word that is needed as many rounds later. */
const ROUNDS_WRITTEN = 16

/** Locals: blocks left (the parameter), place in the input, place in the constants, a sum, then hash, working variables and words of the schedule. */
const LOCAL = { left: 0, input: 1, round: 2, sum: 3, hash: 4, working: 12, word: 20 }
const LOCALS = 35
const LOAD32 = [0x28, 2]
const STORE32 = [0x36, 2]
const { add, and, or, xor, rotateRight, shiftRight } = MATH32

// biome-ignore format: eight words a line
const CONSTANTS = [
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]
const INITIAL = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19]

/** The module's bytes. */
export function sha256Module(): Uint8Array<ArrayBuffer> {
  return wasmModule(
    { name: 's', locals: [1, ...leb(LOCALS), TYPE.int32], code: hashBlocks() },
    { at: CONSTANTS_AT, bytes: new Uint8Array(Uint32Array.from(CONSTANTS).buffer) },
  )
}

function hashBlocks(): number[] {
  const { left, input, round, hash, working, word } = LOCAL
  const begin = INITIAL.flatMap((value, i) => [...const32(value | 0), ...set(hash + i)])
  const words = indexes(16).flatMap((i) => [
    ...get(input),
    ...LOAD32,
    ...leb(INPUT_AT + 4 * i),
    ...set(word + i),
    ...turnedBytes(word + i),
    ...set(word + i),
  ])
  const start = [...indexes(8).flatMap((i) => [...get(hash + i), ...set(working + i)]), ...const32(0), ...set(round)]
  const step = 4 * ROUNDS_WRITTEN
  const next = [...get(round), ...const32(step), add, ...tee(round), ...const32(3 * step), MATH32.less, OP.branchIf, 0]
  const rounds = [OP.loop, TYPE.void, ...indexes(ROUNDS_WRITTEN).flatMap((i) => [...roundOnce(i), ...nextWord(i)]), ...next, OP.end]
  const lastRounds = indexes(ROUNDS_WRITTEN).flatMap(roundOnce)
  const sum = indexes(8).flatMap((i) => [...get(hash + i), ...get(working + i), add, ...set(hash + i)])
  const onward = [...get(input), ...const32(BLOCK_BYTES), add, ...set(input)]
  const again = [...get(left), ...const32(1), MATH32.subtract, ...tee(left), OP.branchIf, 0]
  const digest = indexes(8).flatMap((i) => [...const32(0), ...turnedBytes(hash + i), ...STORE32, ...leb(4 * i)])
  return [...begin, OP.loop, TYPE.void, ...words, ...start, ...rounds, ...lastRounds, ...sum, ...onward, ...again, OP.end, ...digest]
}

/** Which of the working variables is a, b, …, h in a round: they change places from one round to the next. */
function variable(letter: number, round: number): number {
  return LOCAL.working + ((letter + 8 * ROUNDS_WRITTEN - round) % 8)
}

function roundOnce(i: number): number[] {
  const [a, b, c, d, e, f, g, h] = indexes(8).map((letter) => variable(letter, i)) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const choice = [...get(g), ...get(f), ...get(g), xor, ...get(e), and, xor]
  const majority = [...get(a), ...get(b), and, ...get(a), ...get(b), or, ...get(c), and, or]
  const constant = [...get(LOCAL.round), ...LOAD32, ...leb(CONSTANTS_AT + 4 * i)]
  const first = [
    ...get(h),
    ...rotations(e, [6, 11, 25]),
    add,
    ...choice,
    add,
    ...constant,
    add,
    ...get(LOCAL.word + i),
    add,
    ...set(LOCAL.sum),
  ]
  const second = [...get(LOCAL.sum), ...rotations(a, [2, 13, 22]), add, ...majority, add, ...set(h)]
  return [...first, ...get(d), ...get(LOCAL.sum), add, ...set(d), ...second]
}

/** Makes word i the one of sixteen rounds later. */
function nextWord(i: number): number[] {
  const wordOf = (later: number) => LOCAL.word + ((i + later) % 16)
  const near = [...rotations(wordOf(1), [7, 18]), ...get(wordOf(1)), ...const32(3), shiftRight, xor]
  const far = [...rotations(wordOf(14), [17, 19]), ...get(wordOf(14)), ...const32(10), shiftRight, xor]
  return [...get(wordOf(0)), ...near, add, ...get(wordOf(9)), add, ...far, add, ...set(wordOf(0))]
}

/** A local turned right by each number of bits, together by exclusive or. */
function rotations(local: number, bits: readonly number[]): number[] {
  return bits.flatMap((count, i) => [...get(local), ...const32(count), rotateRight, ...(i > 0 ? [xor] : [])])
}

/** A local with its bytes in the opposite order: the algorithm's words are big-endian, memory's are not. */
function turnedBytes(local: number): number[] {
  const turned = (count: number, mask: number) => [...get(local), ...const32(count), rotateRight, ...const32(mask), and]
  return [...turned(24, 0x00ff00ff), ...turned(8, 0xff00ff00 | 0), or]
}
