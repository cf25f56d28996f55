/**
 * WebAssembly's binary form, as far as the modules need it that are written out here (execution/keccakWasm.ts, execution/sha256Wasm.ts).
 * Source: WebAssembly core specification, chapter 5.
 */

/** Instructions that both modules use. */
export const OP = { loop: 0x03, end: 0x0b, branchIf: 0x0d, get: 0x20, set: 0x21, tee: 0x22, const32: 0x41, const64: 0x42 }
export const MATH32 = { less: 0x49, add: 0x6a, subtract: 0x6b, and: 0x71, or: 0x72, xor: 0x73, rotateRight: 0x78, shiftRight: 0x76 }
export const TYPE = { void: 0x40, func: 0x60, int64: 0x7e, int32: 0x7f }

/** Bytes of the memory of such a module. */
export const MEMORY_BYTES = 65_536

/** A function of one 32-bit parameter, under a name of one letter: its locals as they are declared, and its code. */
export type WasmFunction = { readonly name: string; readonly locals: readonly number[]; readonly code: readonly number[] }

/** The bytes of a module that exports the function, and as `m` its memory, in which these constants stand. */
export function wasmModule(
  { name, locals, code }: WasmFunction,
  constants: { readonly at: number; readonly bytes: Uint8Array },
): Uint8Array<ArrayBuffer> {
  const body = [...locals, ...code, OP.end]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, TYPE.func, 1, TYPE.int32, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, 1, letter('m'), 2, 0, 1, letter(name), 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
    ...section(11, [1, 0, ...const32(constants.at), OP.end, ...leb(constants.bytes.length), ...constants.bytes]),
  ])
}

/** What is used of WebAssembly, which Node and browsers have and no type library here declares. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> }
}

/** The module's memory, and its function. */
export function startWasm(module: Uint8Array<ArrayBuffer>, name: string): { memory: Uint8Array; run: (parameter: number) => void } {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module))
  return {
    memory: new Uint8Array((exports.m as { readonly buffer: ArrayBuffer }).buffer),
    run: exports[name] as (parameter: number) => void,
  }
}

/** 0 up to `count`. */
export function indexes(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

/** Pushes a local. */
export function get(local: number): number[] {
  return [OP.get, ...leb(local)]
}

/** Pops into a local. */
export function set(local: number): number[] {
  return [OP.set, ...leb(local)]
}

/** Copies the top into a local. */
export function tee(local: number): number[] {
  return [OP.tee, ...leb(local)]
}

/** Pushes a 32-bit integer, signed. */
export function const32(value: number): number[] {
  return [OP.const32, ...signedLeb(value)]
}

/** Pushes a 64-bit integer, signed. */
export function const64(value: number): number[] {
  return [OP.const64, ...signedLeb(value)]
}

/** LEB128. */
export function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]
}

/** Signed LEB128. */
function signedLeb(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signedLeb(value >> 7)]
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb(content.length), ...content]
}

function letter(text: string): number {
  return text.charCodeAt(0)
}
