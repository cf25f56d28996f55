/**
 * Numbers and bytes as Ethereum's JSON-RPC writes them, and the values of ABI-typed fields in JSON.
 * Quantities: `0x` and hex without leading zeros. Fields: a uint up to 48 bits is a JSON number, a wider one a quantity, an address or bytes hex,
 * a list an array, a struct an object. Runs in browsers as well as in the node. Spec: docs/spec/rpc.md#values
 */
import type { AbiParameter, Hex } from 'viem'

/** What somebody sent is not what was asked for. Thrown inside decoders only; the server answers -32602, the client throws it on. */
export class BadValue extends Error {
  override readonly name = 'BadValue'
  /** Which value, such as `transaction.gas`. */
  readonly path: string
  /** What is wrong with it. */
  readonly why: string

  constructor(path: string, why: string) {
    super(`${path}: ${why}`)
    this.path = path
    this.why = why
  }
}

/** Values as `JSON.stringify` takes them. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [member: string]: Json | undefined }

/** A number as JSON-RPC writes it. */
export function quantity(value: bigint | number): Hex {
  return `0x${value.toString(16)}`
}

/** A name for a filter or subscription that nobody can guess: 128 random bits, written as a quantity. */
export function createId(): Hex {
  let value = 0n
  for (const word of crypto.getRandomValues(new Uint32Array(4))) value = (value << 32n) | BigInt(word)
  return quantity(value)
}

/** Values of fields as JSON. */
export function fieldsToJson(parameters: readonly AbiParameter[], value: object): Record<string, Json> {
  const members = value as Readonly<Record<string, unknown>>
  return Object.fromEntries(parameters.map((parameter) => [nameOf(parameter), toJson(parameter, members[nameOf(parameter)])]))
}

/**
 * Values of fields from JSON, strictly: every member there, in its range. Integers may also be decimal strings, as wallets write them in
 * typed data. Throws `BadValue`.
 */
export function fieldsFromJson(parameters: readonly AbiParameter[], json: unknown, path: string): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new BadValue(path, 'expected an object')
  const members = json as Readonly<Record<string, unknown>>
  return Object.fromEntries(
    parameters.map((parameter) => {
      const name = nameOf(parameter)
      return [name, fromJson(parameter, members[name], path === '' ? name : `${path}.${name}`)]
    }),
  )
}

/** Facts of a rejection as JSON: bigints as quantities, bytes as hex, everything else as it is. */
export function factsToJson(facts: Readonly<Record<string, unknown>>): Record<string, Json> {
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, factToJson(value)]))
}

function factToJson(value: unknown): Json {
  if (typeof value === 'bigint') return quantity(value)
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (value === undefined || value === null) return null
  if (Array.isArray(value)) return value.map(factToJson)
  if (typeof value === 'object') return factsToJson(value as Readonly<Record<string, unknown>>)
  return String(value)
}

function toJson(parameter: AbiParameter, value: unknown): Json {
  const { type } = parameter
  if (type.endsWith('[]')) {
    const item = itemOf(parameter)
    return (value as readonly unknown[]).map((one) => toJson(item, one))
  }
  if (type === 'tuple') return fieldsToJson(componentsOf(parameter), value as object)
  return typeof value === 'bigint' ? quantity(value) : (value as string | number)
}

function fromJson(parameter: AbiParameter, json: unknown, path: string): unknown {
  const { type } = parameter
  if (type.endsWith('[]')) {
    if (!Array.isArray(json)) throw new BadValue(path, 'expected an array')
    const item = itemOf(parameter)
    return json.map((one: unknown, i) => fromJson(item, one, `${path}[${i}]`))
  }
  if (type === 'tuple') return fieldsFromJson(componentsOf(parameter), json, path)
  if (type.startsWith('uint')) return uintFromJson(Number(type.slice(4)), json, path)
  if (type === 'string') {
    if (typeof json !== 'string') throw new BadValue(path, 'expected a string')
    return json
  }
  const bytes = type === 'address' ? 20 : type === 'bytes' ? undefined : Number(type.slice(5))
  return hexFromJson(json, bytes, path)
}

function uintFromJson(bits: number, json: unknown, path: string): number | bigint {
  const isNumber = typeof json === 'number' && Number.isSafeInteger(json) && json >= 0
  if (!isNumber && !(typeof json === 'string' && /^(0x[0-9a-f]{1,64}|[0-9]{1,78})$/i.test(json))) {
    throw new BadValue(path, 'expected a number: an integer, a hex quantity or a decimal string')
  }
  const value = BigInt(json as string | number)
  if (value >> BigInt(bits) !== 0n) throw new BadValue(path, `does not fit ${bits} bits`)
  return bits <= 48 ? Number(value) : value
}

/** Hex of so many bytes (undefined: any), in lower case. Throws `BadValue`. */
export function hexFromJson(json: unknown, bytes: number | undefined, path: string): Hex {
  if (typeof json !== 'string' || !/^0x[0-9a-f]*$/i.test(json)) throw new BadValue(path, 'expected hex with 0x before it')
  if (json.length % 2 !== 0) throw new BadValue(path, 'expected hex of an even length')
  if (bytes !== undefined && json.length !== 2 + 2 * bytes)
    throw new BadValue(path, `expected ${bytes} bytes, got ${(json.length - 2) / 2}`)
  return json.toLowerCase() as Hex
}

function itemOf(parameter: AbiParameter): AbiParameter {
  return { ...parameter, type: parameter.type.slice(0, -2) }
}

function componentsOf(parameter: AbiParameter): readonly AbiParameter[] {
  return 'components' in parameter ? parameter.components : []
}

function nameOf(parameter: AbiParameter): string {
  return parameter.name ?? ''
}
