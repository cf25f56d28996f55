/**
 * What a native transaction type is: its byte, its fields, its checks and its rule. One file here per type, one line in native.ts.
 * Adding a type: docs/spec/transactions.md, a file like transfer.ts, the line in native.ts, a rule table in test/execution/native/.
 */
import { type AbiEvent, type AbiParameter, type Hex, padHex, stringToHex, toEventSelector } from 'viem'
import type { ChainParams } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import { compileFields, encodeUtf8, type Fields, type FieldsOf, utf8Length } from '../fields.ts'
import { hexBytes, toHex, writeHex } from '../hex.ts'
import { takeEvmExit } from '../ledger/evmExits.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { getAccount, getSupply, putAccount, putSupply } from '../ledger/tables.ts'
import { recoverAddress, type SignedDigest } from '../recover.ts'
import { compileRow, type RowCoder } from '../rowFields.ts'
import type { Verdict } from './verdict.ts'

/** Who asks, when, and with what: everything a rule may know besides the ledger and its fields. */
export type NativeContext = {
  readonly params: ChainParams
  readonly blockNumber: bigint
  /** The block's timestamp, in seconds. */
  readonly timeSec: bigint
  readonly sender: Hex
  /**
   * Wei that came with a call from the EVM; undefined on the native lane. `attested`: a call that succeeded in the EVM before, of which only the
   * row is left, so that it brought what the rule takes.
   */
  readonly callValueWei: bigint | 'attested' | undefined
  /** What a dispute's row says that it came to, where that is what it is executed by and not its evidence: so L1 does. */
  readonly stated?: Verdict | undefined
}

/** A broken rule: its name, the facts, and whether it keeps the transaction out of any block. */
export type Rejection = {
  readonly ok: false
  readonly code: string
  readonly invalid: boolean
  /** Where a dispute was judged before the rule was found broken. */
  readonly verdict?: Verdict
  readonly [fact: string]: unknown
}

/** A log as the EVM keeps it. */
export type Log = { readonly address: Hex; readonly topics: readonly Hex[]; readonly data: Hex }

/** `returned`: what a door answers, by the names of the type's `returns`; absent where those are none. `verdict`: of a dispute. */
export type Applied =
  | { readonly ok: true; readonly logs: readonly Log[]; readonly returned?: FieldValues; readonly verdict?: Verdict }
  | Rejection

/** A native type with its fields' type forgotten: what the codec, the block loop and the doors handle. */
export type NativeType = {
  readonly byte: number
  /** Primary type of the EIP-712 message, such as `DatanetUpload`. */
  readonly name: string
  readonly door: Hex
  /** Name of the door's function with the same parameters. */
  readonly functionName: string
  /** Whether a call from the EVM brings value. */
  readonly payable: boolean
  readonly fields: Fields<FieldValues>
  /** The fields as they stand in a row on L1. */
  readonly row: RowCoder<FieldValues>
  /** Names of the fields whose bytes stand behind the rows, in the tail of a batch. */
  readonly attached: readonly string[]
  /** Ledger records that the rule touches at most, besides what every transaction does. */
  records(fields: FieldValues): number
  /** What the door's function returns: ids that the rule gave out. */
  readonly returns: readonly AbiParameter[]
  /** Gas of the items in the fields, on top of base and row bytes. */
  itemGas(fields: FieldValues): bigint
  /** What the fields carry that others than the sender signed, in order; nothing where they are out of bounds. */
  signed(fields: FieldValues, chainId: number): readonly SignedDigest[]
  /** What can be said without state and without a signature: the rejection (always invalid), or undefined. What it costs is small beside a recovery. */
  checkFields(fields: FieldValues): Rejection | undefined
  /**
   * Whether `signed` are the signatures of those who have to sign, of fields that `checkFields` lets through. `signers`: who made them, where that is known;
   * else they are recovered here, up to the first that is wrong.
   */
  checkSigners(fields: FieldValues, chainId: number, signers?: Signers): Rejection | undefined
  /** Both, the fields first. */
  check(fields: FieldValues, chainId: number): Rejection | undefined
  /** The rule. It may leave changes behind when it fails: the caller undoes them. */
  apply(ledger: Ledger, context: NativeContext, fields: FieldValues): Applied
}

/** Who made some signatures, in their order; undefined: nobody. */
export type Signers = readonly (Hex | undefined)[]

/** Values of fields whose type is not known here. */
export type FieldValues = Readonly<Record<string, unknown>>

type Definition<P extends readonly AbiParameter[]> = {
  readonly byte: number
  readonly name: string
  readonly door: Hex
  readonly functionName: string
  readonly payable: boolean
  readonly parameters: P
  readonly returns?: readonly AbiParameter[]
  /** Name of the EIP-712 type of each struct-typed parameter, by the parameter's name. */
  readonly structNames?: Readonly<Record<string, string>>
  /** Where its fields say something twice; else each member stands by itself. */
  readonly row?: RowCoder<FieldsOf<P>>
  readonly attached?: readonly string[]
  records(fields: FieldsOf<P>): number
  itemGas?(fields: FieldsOf<P>): bigint
  signed?(fields: FieldsOf<P>, chainId: number): readonly SignedDigest[]
  /** Everything but the signatures. */
  check(fields: FieldsOf<P>): Rejection | undefined
  /** Asked for one signer after another, by the place in `signed`, as long as they are right. */
  checkSigners?(fields: FieldsOf<P>, signerOf: (i: number) => Hex | undefined): Rejection | undefined
  apply(ledger: Ledger, context: NativeContext, fields: FieldsOf<P>): Applied
}

/** Defines a native type; inside, checks and `apply` see typed fields. */
export function defineNative<const P extends readonly AbiParameter[]>(definition: Definition<P>): NativeType {
  const { byte, name, door, functionName, payable, parameters, returns = [], structNames, itemGas, signed, check, apply } = definition
  const { row, attached = [], records } = definition
  const checkFields = (fields: FieldValues) => check(fields as FieldsOf<P>)
  const checkSigners = (fields: FieldValues, chainId: number, signers?: Signers): Rejection | undefined => {
    if (!definition.checkSigners) return undefined
    const claims = signers ? [] : (signed?.(fields as FieldsOf<P>, chainId) ?? [])
    const recovered = (i: number) => claims[i] && recoverAddress(claims[i].digest, claims[i].signature)
    return definition.checkSigners(fields as FieldsOf<P>, signers ? (i) => signers[i] : recovered)
  }
  return {
    byte,
    name,
    door,
    functionName,
    payable,
    fields: compileFields(parameters, structNames) as unknown as Fields<FieldValues>,
    row: (row as RowCoder<FieldValues> | undefined) ?? compileRow(parameters),
    attached,
    records: (fields) => records(fields as FieldsOf<P>),
    returns,
    itemGas: (fields) => itemGas?.(fields as FieldsOf<P>) ?? 0n,
    signed: (fields, chainId) => signed?.(fields as FieldsOf<P>, chainId) ?? [],
    checkFields,
    checkSigners,
    check: (fields, chainId) => checkFields(fields) ?? checkSigners(fields, chainId),
    apply: (ledger, context, fields) => apply(ledger, context, fields as FieldsOf<P>),
  }
}

/** A rejection that keeps the transaction out of every block. */
export function invalid(code: string, facts: Readonly<Record<string, unknown>> = {}): Rejection {
  return { ...facts, ok: false, code, invalid: true }
}

/** A rule broken by what the chain holds now: included with status 0, fee charged. */
export function failure(code: string, facts: Readonly<Record<string, unknown>> = {}): Rejection {
  return { ...facts, ok: false, code, invalid: false }
}

/**
 * Takes value from whoever asks: the sender's ledger balance on the native lane, the value of the call (which must be exactly this) from the
 * EVM, out of `evmSupply` and the allowance of what may leave it; to L1 it goes by the bridge's allowance instead. A payable rule calls it once, with 0
 * if nothing is due.
 */
export function takeValue(ledger: Ledger, context: NativeContext, amountWei: bigint, { toL1 = false } = {}): Rejection | undefined {
  if (context.callValueWei === undefined) {
    const account = getAccount(ledger, context.sender)
    if (account.balance < amountWei) return failure('insufficientBalance', { balance: account.balance, want: amountWei })
    if (amountWei > 0n) putAccount(ledger, context.sender, { ...account, balance: account.balance - amountWei })
    return undefined
  }
  const isExact = context.callValueWei === 'attested' || context.callValueWei === amountWei
  if (!isExact) return failure('wrongValue', { got: context.callValueWei, want: amountWei })
  const supply = getSupply(ledger)
  if (supply.evmSupply < amountWei) return failure('evmSupplyExceeded', { evmSupply: supply.evmSupply, want: amountWei })
  const limited = toL1 ? undefined : takeEvmExit(ledger, amountWei)
  if (limited) return failure('evmExitLimit', { ...limited, want: amountWei })
  if (amountWei > 0n) putSupply(ledger, { ...supply, evmSupply: supply.evmSupply - amountWei })
  return undefined
}

/** The log of a door's event. Indexed parameters are of static types. */
export function doorLog(door: Hex, event: AbiEvent, args: Readonly<Record<string, unknown>>): Log {
  const { topic0, indexed, words: dataWords, rest } = layoutOf(event)
  indexed.writeWords(args, eventBytes, 0)
  const topics = topicsOf[indexed.wordsBytes / 32]?.(topic0)
  assert(topics, 'at most three parameters are indexed')
  for (let i = 1; i < topics.length; i++) topics[i] = toHex(eventBytes, i * 32 - 32, i * 32)
  return { address: door, topics, data: eventData(dataWords, rest, args) }
}

/** Where topics and data are written before they are hex. Longer data gets an array of its own. */
const eventBytes = new Uint8Array(4_096)

/** Lists of the right length from the start: one that grows leaves room for sixteen more. */
const topicsOf: readonly ((topic0: Hex) => Hex[])[] = [(a) => [a], (a) => [a, a], (a) => [a, a, a], (a) => [a, a, a, a]]

/** A parameter in a log's data. `word`: writes its 32 bytes, if it is static; `tail`: whole words of one of any length, its length first. */
type EventPart = {
  readonly name: string
  readonly word: Fields<FieldValues> | undefined
  readonly tail: Tail | undefined
}

type Tail = {
  /** Bytes behind the length, whole words. */
  bytes(value: unknown): number
  /** Writes length and bytes over zeros. */
  write(value: unknown, out: Uint8Array, at: number): void
}

/** `words`: all of the data, where every parameter in it is static. */
type EventLayout = {
  readonly topic0: Hex
  readonly indexed: Fields<FieldValues>
  readonly words: Fields<FieldValues> | undefined
  readonly rest: readonly EventPart[]
}

const layouts = new WeakMap<AbiEvent, EventLayout>()

function layoutOf(event: AbiEvent): EventLayout {
  const known = layouts.get(event)
  if (known) return known
  const indexed = event.inputs.filter((input) => input.indexed)
  const others = event.inputs.filter((input) => !input.indexed)
  const rest = others.map(toEventPart)
  const isStatic = rest.every(({ word }) => word)
  const layout = {
    topic0: toEventSelector(event),
    indexed: compileFields(indexed) as unknown as Fields<FieldValues>,
    words: isStatic ? (compileFields(others) as unknown as Fields<FieldValues>) : undefined,
    rest,
  }
  layouts.set(event, layout)
  return layout
}

function toEventPart(parameter: AbiParameter): EventPart {
  const { name = '', type } = parameter
  if (isWord(type)) return { name, word: compileFields([parameter]) as unknown as Fields<FieldValues>, tail: undefined }
  if (type === 'bytes') return { name, word: undefined, tail: bytesTail }
  if (type === 'string') return { name, word: undefined, tail: stringTail }
  assert(type.endsWith('[]') && isWord(type.slice(0, -2)), 'events have words, bytes, strings and lists of words')
  return {
    name,
    word: undefined,
    tail: listTail(compileFields([{ name: 'item', type: type.slice(0, -2) }]) as unknown as Fields<FieldValues>),
  }
}

function isWord(type: string): boolean {
  return type === 'address' || /^(uint|bytes)[0-9]+$/.test(type)
}

const bytesTail: Tail = {
  bytes: (value) => wholeWords(hexBytes(value as Hex)),
  write(value, out, at) {
    writeUint32(out, at + 28, hexBytes(value as Hex))
    writeHex(value as Hex, out, at + 32)
  },
}

const stringTail: Tail = {
  bytes: (value) => wholeWords(utf8Length(value as string)),
  write(value, out, at) {
    const bytes = encodeUtf8(value as string)
    writeUint32(out, at + 28, bytes.length)
    out.set(bytes, at + 32)
  },
}

function listTail(item: Fields<FieldValues>): Tail {
  return {
    bytes: (value) => (value as readonly unknown[]).length * 32,
    write(value, out, at) {
      const list = value as readonly unknown[]
      writeUint32(out, at + 28, list.length)
      for (let i = 0; i < list.length; i++) item.writeWords({ item: list[i] }, out, at + 32 + i * 32)
    },
  }
}

/** ABI encoding: the words of static types are EIP-712's, those of any length stand behind with their place in front. */
function eventData(words: Fields<FieldValues> | undefined, parts: readonly EventPart[], args: Readonly<Record<string, unknown>>): Hex {
  if (words && words.wordsBytes <= eventBytes.length) return toHex(eventBytes, 0, words.writeWords(args, eventBytes, 0))
  let length = parts.length * 32
  for (const { name, tail } of parts) if (tail) length += 32 + tail.bytes(args[name])
  const out = length > eventBytes.length ? new Uint8Array(length) : eventBytes.fill(0, 0, length)
  let next = parts.length * 32
  for (let i = 0; i < parts.length; i++) {
    const { name = '', word, tail } = parts[i] ?? {}
    if (word) word.writeWords(args, out, i * 32)
    else if (tail) {
      writeUint32(out, i * 32 + 28, next)
      tail.write(args[name], out, next)
      next += 32 + tail.bytes(args[name])
    }
  }
  return toHex(out, 0, length)
}

function wholeWords(length: number): number {
  return Math.ceil(length / 32) * 32
}

function writeUint32(out: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) out[at + i] = value >>> (24 - 8 * i)
}

/** Signature and parameter of the event and error by which a door names the rule that was broken. */
export const FAILED_EVENT = {
  type: 'event',
  name: 'Failed',
  inputs: [{ name: 'code', type: 'bytes32', indexed: false }],
} as const satisfies AbiEvent

/** A rule's name as bytes32: ASCII, zeros behind. */
export function codeBytes32(code: string): Hex {
  assert(code.length <= 32, 'rule names have at most 32 letters')
  return padHex(stringToHex(code), { size: 32, dir: 'right' })
}

/** Whether a list of integers has an order that leaves no choice, and nothing twice. */
export function isStrictlyAscending(list: readonly number[]): boolean {
  return list.every((value, i) => i === 0 || value > (list[i - 1] ?? 0))
}
