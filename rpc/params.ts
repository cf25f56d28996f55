/**
 * Parameters of methods: what each is called, what it must look like, and how it is read. A decoder throws `BadValue`, which the dispatcher
 * answers as -32602 with the parameter's name and what is wrong with it. Unknown members of objects are ignored: clients add their own.
 * Source of the shapes: ethereum/execution-apis. Spec: docs/spec/rpc.md
 */
import type { Hex } from 'viem'
import { fromHex, parseHex } from '../execution/hex.ts'
import type { BlockOverrides, CallRequest, SimulateRequest, StateOverrides } from './chain.ts'
import { BadValue, hexFromJson, type Json } from './quantity.ts'

/** One parameter of a method. */
export type Param<T> = {
  readonly name: string
  readonly required: boolean
  /** JSON Schema, for `rpc.discover`. */
  readonly schema: Json
  /** Throws `BadValue`. */
  decode(json: unknown, path: string): T
}

/** Which block a request means. */
export type BlockRef =
  | { readonly kind: 'tag'; readonly tag: 'latest' | 'pending' | 'safe' | 'finalized' | 'earliest' }
  | { readonly kind: 'number'; readonly number: bigint }
  | { readonly kind: 'hash'; readonly hash: Hex }

/** Which logs a request means. Without `blockHash`, `from` and `to` are there or the latest block is meant. */
export type LogFilter = {
  readonly blockHash: Hex | undefined
  readonly from: BlockRef | undefined
  readonly to: BlockRef | undefined
  /** Empty: any address. */
  readonly addresses: readonly Hex[]
  /** By position; an empty list of alternatives: any topic. */
  readonly topics: readonly (readonly Hex[])[]
}

/** The parameter may be left out, or null. */
export function optional<T>(param: Param<T>): Param<T | undefined> {
  return { ...param, required: false }
}

/** An address. */
export function address(name: string): Param<Hex> {
  return { name, required: true, schema: hexSchema(20), decode: (json, path) => hexFromJson(json, 20, path) }
}

/** A hash: 32 bytes. */
export function hash(name: string): Param<Hex> {
  return { name, required: true, schema: hexSchema(32), decode: (json, path) => hexFromJson(json, 32, path) }
}

/** Name of a filter or subscription, as the server gave it out. */
export function id(name: string): Param<Hex> {
  return { name, required: true, schema: QUANTITY_SCHEMA, decode: (json, path) => `0x${uintFromJson(json, 128, path).toString(16)}` }
}

/** Where a list goes on, as its last page said. */
export function cursor(name: string): Param<Hex> {
  return { name, required: true, schema: hexSchema(12), decode: (json, path) => hexFromJson(json, 12, path) }
}

/** Bytes of any length. */
export function data(name: string): Param<Hex> {
  return {
    name,
    required: true,
    schema: { type: 'string', pattern: '^0x[0-9a-f]*$' },
    decode: (json, path) => hexFromJson(json, undefined, path),
  }
}

/** Bytes of any length, as bytes. */
export function bytes(name: string): Param<Uint8Array> {
  const hex = data(name)
  const parsed = (json: unknown) => (typeof json === 'string' ? parseHex(json) : undefined)
  return { ...hex, decode: (json, path) => parsed(json) ?? fromHex(hex.decode(json, path)) } // what is no hex is said by the latter
}

/** A quantity of at most so many bits. */
export function uint(name: string, bits = 256): Param<bigint> {
  return { name, required: true, schema: QUANTITY_SCHEMA, decode: (json, path) => uintFromJson(json, bits, path) }
}

/** An index or count: a quantity or a JSON number. */
export function count(name: string, max = 0xffff_ffff): Param<number> {
  return {
    name,
    required: true,
    schema: { oneOf: [QUANTITY_SCHEMA, { type: 'integer', minimum: 0, maximum: max }] },
    decode(json, path) {
      const value = typeof json === 'number' && Number.isSafeInteger(json) && json >= 0 ? BigInt(json) : uintFromJson(json, 64, path)
      if (value > BigInt(max)) throw new BadValue(path, `at most ${max}`)
      return Number(value)
    },
  }
}

/** A string of at most so many letters. */
export function text(name: string, length: number): Param<string> {
  return {
    name,
    required: true,
    schema: { type: 'string', maxLength: length },
    decode(json, path) {
      if (typeof json !== 'string' || json.length > length) throw new BadValue(path, `expected a string of at most ${length} letters`)
      return json
    },
  }
}

/** True or false. */
export function flag(name: string): Param<boolean> {
  return {
    name,
    required: true,
    schema: { type: 'boolean' },
    decode(json, path) {
      if (typeof json !== 'boolean') throw new BadValue(path, 'expected true or false')
      return json
    },
  }
}

/** A list of at most so many. */
export function list<T>(item: Param<T>, name: string, max: number): Param<readonly T[]> {
  return {
    name,
    required: true,
    schema: { type: 'array', items: item.schema, maxItems: max },
    decode: (json, path) => listFromJson(json, max, path).map((one, i) => item.decode(one, `${path}[${i}]`)),
  }
}

/** Anything, for methods that read the rest themselves. */
export function anything(name: string): Param<unknown> {
  return { name, required: true, schema: {}, decode: (json) => json }
}

/** A block by number, tag, hash, `{ blockNumber }` or `{ blockHash }`. Left out: the latest. */
export function block(name: string): Param<BlockRef | undefined> {
  return {
    name,
    required: false,
    schema: { oneOf: [QUANTITY_SCHEMA, { enum: TAGS }, hexSchema(32), { type: 'object' }] },
    decode: blockFromJson,
  }
}

/** A block, which must be named. */
export function someBlock(name: string): Param<BlockRef> {
  return { ...block(name), required: true, decode: blockFromJson }
}

/** A block, which must be named; its number may be a JSON number, as explorers send it. */
export function numberedBlock(name: string): Param<BlockRef> {
  return {
    ...someBlock(name),
    schema: { oneOf: [QUANTITY_SCHEMA, { type: 'integer', minimum: 0 }, { enum: TAGS }, hexSchema(32), { type: 'object' }] },
    decode: (json, path) =>
      typeof json === 'number' && Number.isSafeInteger(json) && json >= 0
        ? { kind: 'number', number: BigInt(json) }
        : blockFromJson(json, path),
  }
}

/** A storage slot: up to 32 bytes of hex, as a quantity or padded. */
export function slot(name: string): Param<Hex> {
  return { name, required: true, schema: { type: 'string', pattern: '^0x[0-9a-f]{0,64}$' }, decode: slotFromJson }
}

/** A slot to prove, and how the answer shall show it: as it was asked for if padded, else as a quantity (so does geth). */
export function proofKey(name: string): Param<{ readonly slot: Hex; readonly shown: Hex }> {
  return {
    ...slot(name),
    decode(json, path) {
      const padded = slotFromJson(json, path)
      return { slot: padded, shown: String(json).length === 66 ? padded : `0x${BigInt(padded).toString(16)}` }
    },
  }
}

/** Percentiles for a fee history: ascending numbers from 0 to 100. */
export const percentiles: Param<readonly number[]> = {
  name: 'rewardPercentiles',
  required: true,
  schema: { type: 'array', items: { type: 'number', minimum: 0, maximum: 100 }, maxItems: 100 },
  decode(json, path) {
    const list = listFromJson(json, 100, path)
    return list.map((one, i) => {
      const before = i === 0 ? 0 : Number(list[i - 1])
      if (typeof one !== 'number' || !(one >= before && one <= 100))
        throw new BadValue(`${path}[${i}]`, 'expected ascending numbers from 0 to 100')
      return one
    })
  },
}

/** Slots of several accounts, at most so many in all. */
export function slotsByAccount(max: number): Param<readonly { readonly account: Hex; readonly slots: readonly Hex[] }[]> {
  return {
    name: 'requests',
    required: true,
    schema: { type: 'object' },
    decode(json, path) {
      const requests = Object.entries(objectFromJson(json, path)).map(([key, keys]) => ({
        account: hexFromJson(key, 20, `${path} key`),
        slots: listFromJson(keys, max, `${path}.${key}`).map((one, i) => slotFromJson(one, `${path}.${key}[${i}]`)),
      }))
      if (requests.reduce((sum, { slots }) => sum + slots.length, 0) > max) throw new BadValue(path, `at most ${max} slots`)
      return requests
    },
  }
}

/** A call to simulate. `data` and `input` are one thing under two names. */
export const call: Param<CallRequest> = { name: 'transaction', required: true, schema: { type: 'object' }, decode: callFromJson }

/** A transaction that lacks something; `nonce` and `chainId` besides what a call has. */
export type UnsignedRequest = CallRequest & { readonly nonce: bigint | undefined; readonly chainId: bigint | undefined }

/** A transaction to fill in. Blobs and authorizations are not: the first do not exist here, the second are signed before. */
export const unsigned: Param<UnsignedRequest> = {
  ...call,
  decode(json, path) {
    const { nonce, chainId, authorizationList, blobVersionedHashes, blobs } = objectFromJson(json, path)
    const unserved = Object.entries({ authorizationList, blobVersionedHashes, blobs }).find(([, value]) => isThere(value))
    if (unserved) throw new BadValue(`${path}.${unserved[0]}`, 'not served here')
    return {
      ...callFromJson(json, path),
      nonce: given(nonce, (it) => uintFromJson(it, 64, `${path}.nonce`)),
      chainId: given(chainId, (it) => uintFromJson(it, 64, `${path}.chainId`)),
    }
  },
}

/** State overrides for a call, of at most so many accounts. */
export function stateOverrides(max: number): Param<StateOverrides | undefined> {
  return {
    name: 'stateOverrides',
    required: false,
    schema: { type: 'object' },
    decode(json, path) {
      const entries = Object.entries(objectFromJson(json, path))
      if (entries.length > max) throw new BadValue(path, `at most ${max} accounts`)
      return Object.fromEntries(
        entries.map(([key, value]) => [hexFromJson(key, 20, `${path} key`), overrideFromJson(value, `${path}.${key}`)]),
      )
    },
  }
}

/** Members of a block to change for a call. What has no meaning on this chain (withdrawals, blobs) must be left out. */
export const blockOverrides: Param<BlockOverrides> = {
  name: 'blockOverrides',
  required: false,
  schema: { type: 'object' },
  decode: blockOverridesFromJson,
}

/** Options of a traced call: overrides taken out of them, and the rest, which says the tracer. */
export function tracedCallOptions(max: number): Param<{
  readonly state: StateOverrides | undefined
  readonly block: BlockOverrides | undefined
  readonly rest: Readonly<Record<string, unknown>>
}> {
  return {
    name: 'options',
    required: false,
    schema: { type: 'object' },
    decode(json, path) {
      const { stateOverrides: state, blockOverrides: block, ...rest } = objectFromJson(json, path)
      return {
        state: given(state, (it) => stateOverrides(max).decode(it, `${path}.stateOverrides`)),
        block: given(block, (it) => blockOverridesFromJson(it, `${path}.blockOverrides`)),
        rest,
      }
    },
  }
}

/** Blocks to simulate, and how they shall be shown; overrides of at most so many accounts each. */
export function simulation(overridesMax: number): Param<SimulateRequest & { readonly returnFullTransactions: boolean }> {
  return {
    name: 'payload',
    required: true,
    schema: { type: 'object' },
    decode(json, path) {
      const { blockStateCalls, traceTransfers, validation, returnFullTransactions } = objectFromJson(json, path)
      const yes = (one: unknown, name: string) => given(one, (it) => flag(name).decode(it, `${path}.${name}`)) ?? false
      const blocks = listFromJson(blockStateCalls, SIMULATED_MAX, `${path}.blockStateCalls`)
      return {
        blocks: blocks.map((one, i) => simulatedBlockFromJson(one, overridesMax, `${path}.blockStateCalls[${i}]`)),
        traceTransfers: yes(traceTransfers, 'traceTransfers'),
        validation: yes(validation, 'validation'),
        returnFullTransactions: yes(returnFullTransactions, 'returnFullTransactions'),
      }
    },
  }
}

/** Blocks, or calls of one, that one simulation may name at all. */
const SIMULATED_MAX = 1_000

function simulatedBlockFromJson(json: unknown, overridesMax: number, path: string): SimulateRequest['blocks'][number] {
  const { blockOverrides: block, stateOverrides: state, calls } = objectFromJson(json, path)
  return {
    block: given(block, (it) => blockOverridesFromJson(it, `${path}.blockOverrides`)),
    state: given(state, (it) => stateOverrides(overridesMax).decode(it, `${path}.stateOverrides`)),
    calls: (given(calls, (it) => listFromJson(it, SIMULATED_MAX, `${path}.calls`)) ?? []).map((one, i) =>
      unsigned.decode(one, `${path}.calls[${i}]`),
    ),
  }
}

/** A filter for logs, with at most so many addresses and alternatives of a topic. */
export function logFilter(max: number): Param<LogFilter> {
  return { name: 'filter', required: true, schema: { type: 'object' }, decode: (json, path) => logFilterFromJson(json, max, path) }
}

const TAGS = ['latest', 'pending', 'safe', 'finalized', 'earliest'] as const
const QUANTITY_SCHEMA = { type: 'string', pattern: '^0x(0|[1-9a-f][0-9a-f]*)$' } as const

function hexSchema(bytes: number): Json {
  return { type: 'string', pattern: `^0x[0-9a-fA-F]{${2 * bytes}}$` }
}

function uintFromJson(json: unknown, bits: number, path: string): bigint {
  if (typeof json !== 'string' || !/^0x[0-9a-f]+$/i.test(json)) throw new BadValue(path, 'expected a hex quantity with 0x before it')
  if (/^0x0./.test(json)) throw new BadValue(path, 'a quantity has no leading zeros')
  if (json.length > 2 + bits / 4) throw new BadValue(path, `does not fit ${bits} bits`)
  return BigInt(json)
}

function blockFromJson(json: unknown, path: string): BlockRef {
  if (typeof json === 'string') {
    const tag = TAGS.find((known) => known === json)
    if (tag) return { kind: 'tag', tag }
    if (/^0x[0-9a-f]{64}$/i.test(json)) return { kind: 'hash', hash: json.toLowerCase() as Hex }
    return { kind: 'number', number: uintFromJson(json, 64, path) }
  }
  const { blockNumber, blockHash } = objectFromJson(json, path)
  if ((blockNumber === undefined) === (blockHash === undefined)) throw new BadValue(path, 'expected one of blockNumber and blockHash')
  if (blockHash !== undefined) return { kind: 'hash', hash: hexFromJson(blockHash, 32, `${path}.blockHash`) }
  return { kind: 'number', number: uintFromJson(blockNumber, 64, `${path}.blockNumber`) }
}

function slotFromJson(json: unknown, path: string): Hex {
  if (typeof json !== 'string' || !/^0x[0-9a-f]*$/i.test(json)) throw new BadValue(path, 'expected a storage key in hex')
  if (json.length > 66) throw new BadValue(path, 'storage key too long (want at most 32 bytes)')
  return `0x${json.slice(2).toLowerCase().padStart(64, '0')}`
}

function callFromJson(json: unknown, path: string): CallRequest {
  const { from, to, gas, gasPrice, maxFeePerGas, maxPriorityFeePerGas, value, data, input, accessList } = objectFromJson(json, path)
  const number = (one: unknown, name: string, bits = 256) => given(one, (it) => uintFromJson(it, bits, `${path}.${name}`))
  const hex = (one: unknown, name: string, bytes?: number) => given(one, (it) => hexFromJson(it, bytes, `${path}.${name}`))
  const callData = hex(input, 'input')
  const sameData = hex(data, 'data')
  if (callData !== undefined && sameData !== undefined && callData !== sameData)
    throw new BadValue(path, 'data and input are both there and differ')
  const isDynamic = isThere(maxFeePerGas) || isThere(maxPriorityFeePerGas)
  if (isThere(gasPrice) && isDynamic) throw new BadValue(path, 'gasPrice and maxFeePerGas or maxPriorityFeePerGas are both there')
  return {
    from: hex(from, 'from', 20),
    to: hex(to, 'to', 20),
    gas: number(gas, 'gas', 64),
    gasPrice: number(gasPrice, 'gasPrice'),
    maxFeePerGas: number(maxFeePerGas, 'maxFeePerGas'),
    maxPriorityFeePerGas: number(maxPriorityFeePerGas, 'maxPriorityFeePerGas'),
    value: number(value, 'value'),
    data: callData ?? sameData,
    accessList: given(accessList, (it) => accessListFromJson(it, `${path}.accessList`)),
  }
}

function accessListFromJson(json: unknown, path: string): NonNullable<CallRequest['accessList']> {
  return listFromJson(json, Number.POSITIVE_INFINITY, path).map((item, i) => {
    const at = `${path}[${i}]`
    const { address: account, storageKeys } = objectFromJson(item, at)
    const keys = listFromJson(storageKeys ?? [], Number.POSITIVE_INFINITY, `${at}.storageKeys`)
    return {
      address: hexFromJson(account, 20, `${at}.address`),
      storageKeys: keys.map((key, j) => hexFromJson(key, 32, `${at}.storageKeys[${j}]`)),
    }
  })
}

function overrideFromJson(json: unknown, path: string): StateOverrides[Hex] {
  const { balance, nonce, code, state, stateDiff, movePrecompileToAddress } = objectFromJson(json, path)
  if (isThere(movePrecompileToAddress)) throw new BadValue(`${path}.movePrecompileToAddress`, 'not served here')
  if (isThere(state) && isThere(stateDiff)) throw new BadValue(path, 'state and stateDiff are both there')
  return {
    balance: given(balance, (it) => uintFromJson(it, 256, `${path}.balance`)),
    nonce: given(nonce, (it) => uintFromJson(it, 64, `${path}.nonce`)),
    code: given(code, (it) => hexFromJson(it, undefined, `${path}.code`)),
    state: given(state, (it) => slotsFromJson(it, `${path}.state`)),
    stateDiff: given(stateDiff, (it) => slotsFromJson(it, `${path}.stateDiff`)),
  }
}

/** `coinbase` and `random` are the names of older clients. */
function blockOverridesFromJson(json: unknown, path: string): BlockOverrides {
  const { number, time, gasLimit, feeRecipient, coinbase, prevRandao, random, baseFeePerGas, baseFee, ...rest } = objectFromJson(json, path)
  const unserved = Object.entries(rest).find(([, value]) => isThere(value) && !(Array.isArray(value) && value.length === 0))
  if (unserved) throw new BadValue(`${path}.${unserved[0]}`, 'not served here')
  const uint = (one: unknown, name: string, bits: number) => given(one, (it) => uintFromJson(it, bits, `${path}.${name}`))
  return {
    number: uint(number, 'number', 64),
    time: uint(time, 'time', 64),
    gasLimit: uint(gasLimit, 'gasLimit', 64),
    feeRecipient: given(feeRecipient ?? coinbase, (it) => hexFromJson(it, 20, `${path}.feeRecipient`)),
    prevRandao: given(prevRandao ?? random, (it) => hexFromJson(it, 32, `${path}.prevRandao`)),
    baseFeePerGas: uint(baseFeePerGas ?? baseFee, 'baseFeePerGas', 256),
  }
}

function slotsFromJson(json: unknown, path: string): Record<Hex, Hex> {
  const entries = Object.entries(objectFromJson(json, path))
  return Object.fromEntries(entries.map(([key, value]) => [slotFromJson(key, `${path} key`), slotFromJson(value, `${path}.${key}`)]))
}

function logFilterFromJson(json: unknown, max: number, path: string): LogFilter {
  const { blockHash, fromBlock, toBlock, address: account, topics } = objectFromJson(json, path)
  if (isThere(blockHash) && (isThere(fromBlock) || isThere(toBlock))) {
    throw new BadValue(path, 'cannot specify both blockHash and fromBlock/toBlock, choose one or the other')
  }
  const positions = isThere(topics) ? listFromJson(topics, 4, `${path}.topics`) : []
  return {
    blockHash: given(blockHash, (it) => hexFromJson(it, 32, `${path}.blockHash`)),
    from: given(fromBlock, (it) => blockFromJson(it, `${path}.fromBlock`)),
    to: given(toBlock, (it) => blockFromJson(it, `${path}.toBlock`)),
    addresses: alternativesFromJson(account, { bytes: 20, max }, `${path}.address`),
    topics: positions.map((one, i) => alternativesFromJson(one, { bytes: 32, max }, `${path}.topics[${i}]`)),
  }
}

/** One value, or a list of which any will do; nothing: any at all. */
function alternativesFromJson(json: unknown, { bytes, max }: { bytes: number; max: number }, path: string): Hex[] {
  if (!isThere(json)) return []
  if (!Array.isArray(json)) return [hexFromJson(json, bytes, path)]
  const alternatives = listFromJson(json, max, path)
  if (alternatives.some((one) => one === null)) return [] // geth reads a null among alternatives as "any"
  return alternatives.map((one, i) => hexFromJson(one, bytes, `${path}[${i}]`))
}

function objectFromJson(json: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new BadValue(path, 'expected an object')
  return json as Readonly<Record<string, unknown>>
}

function listFromJson(json: unknown, max: number, path: string): readonly unknown[] {
  if (!Array.isArray(json)) throw new BadValue(path, 'expected an array')
  if (json.length > max) throw new BadValue(path, `at most ${max} items`)
  return json
}

function isThere(json: unknown): boolean {
  return json !== undefined && json !== null
}

function given<T>(json: unknown, decode: (json: unknown) => T): T | undefined {
  return isThere(json) ? decode(json) : undefined
}
