/**
 * What a native transaction type is: its byte, its fields, its checks and its rule. One file here per type, one line in native.ts.
 * Adding a type: docs/spec/transactions.md, a file like transfer.ts, the line in native.ts, a rule table in test/execution/native/.
 */
import { type AbiEvent, type AbiParameter, bytesToHex, encodeAbiParameters, type Hex, padHex, stringToHex, toEventSelector } from 'viem'
import type { ChainParams } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import { compileFields, type Fields, type FieldsOf } from '../fields.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { getAccount, getSupply, putAccount, putSupply } from '../ledger/tables.ts'
import type { SignedDigest } from '../recover.ts'

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
}

/** A broken rule: its name, the facts, and whether it keeps the transaction out of any block. */
export type Rejection = { readonly ok: false; readonly code: string; readonly invalid: boolean; readonly [fact: string]: unknown }

/** A log as the EVM keeps it. */
export type Log = { readonly address: Hex; readonly topics: readonly Hex[]; readonly data: Hex }

export type Applied = { readonly ok: true; readonly logs: readonly Log[] } | Rejection

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
  /** Gas of the items in the fields, on top of base and row bytes. */
  itemGas(fields: FieldValues): bigint
  /** What the fields carry that others than the sender signed, in order; nothing where they are out of bounds. */
  signed(fields: FieldValues, chainId: number): readonly SignedDigest[]
  /** What can be said without state: the rejection (always invalid), or undefined. `signers`: who signed `signed`, where that is known already. */
  check(fields: FieldValues, chainId: number, signers?: Signers): Rejection | undefined
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
  /** Name of the EIP-712 type of each struct-typed parameter, by the parameter's name. */
  readonly structNames?: Readonly<Record<string, string>>
  itemGas?(fields: FieldsOf<P>): bigint
  signed?(fields: FieldsOf<P>, chainId: number): readonly SignedDigest[]
  check(fields: FieldsOf<P>, chainId: number, signers?: Signers): Rejection | undefined
  apply(ledger: Ledger, context: NativeContext, fields: FieldsOf<P>): Applied
}

/** Defines a native type; inside, `check` and `apply` see typed fields. */
export function defineNative<const P extends readonly AbiParameter[]>(definition: Definition<P>): NativeType {
  const { byte, name, door, functionName, payable, parameters, structNames, itemGas, signed, check, apply } = definition
  return {
    byte,
    name,
    door,
    functionName,
    payable,
    fields: compileFields(parameters, structNames) as unknown as Fields<FieldValues>,
    itemGas: (fields) => itemGas?.(fields as FieldsOf<P>) ?? 0n,
    signed: (fields, chainId) => signed?.(fields as FieldsOf<P>, chainId) ?? [],
    check: (fields, chainId, signers) => check(fields as FieldsOf<P>, chainId, signers),
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
 * EVM, out of `evmSupply`. A payable rule calls it once, with 0 if nothing is due.
 */
export function takeValue(ledger: Ledger, context: NativeContext, amountWei: bigint): Rejection | undefined {
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
  if (amountWei > 0n) putSupply(ledger, { ...supply, evmSupply: supply.evmSupply - amountWei })
  return undefined
}

/** The log of a door's event. Indexed parameters are of static types. */
export function doorLog(door: Hex, event: AbiEvent, args: Readonly<Record<string, unknown>>): Log {
  const { topic0, indexed, rest, isStatic } = layoutOf(event)
  const words = indexed.words(args)
  const topics = indexed.parameters.map((_, i) => bytesToHex(words.subarray(i * 32, i * 32 + 32)))
  // The ABI's words of static types are EIP-712's; viem encodes the others, at three times the price.
  const data = isStatic
    ? bytesToHex(rest.words(args))
    : encodeAbiParameters(
        rest.parameters,
        rest.parameters.map(({ name }) => args[name ?? '']),
      )
  return { address: door, topics: [topic0, ...topics], data }
}

type EventLayout = {
  readonly topic0: Hex
  readonly indexed: Fields<FieldValues>
  readonly rest: Fields<FieldValues>
  readonly isStatic: boolean
}

const layouts = new WeakMap<AbiEvent, EventLayout>()

function layoutOf(event: AbiEvent): EventLayout {
  const known = layouts.get(event)
  if (known) return known
  const indexed = event.inputs.filter((input) => input.indexed)
  const rest = event.inputs.filter((input) => !input.indexed)
  const layout = {
    topic0: toEventSelector(event),
    indexed: compileFields(indexed) as unknown as Fields<FieldValues>,
    rest: compileFields(rest) as unknown as Fields<FieldValues>,
    isStatic: rest.every(({ type }) => type === 'address' || /^(uint|bytes)[0-9]+$/.test(type)),
  }
  layouts.set(event, layout)
  return layout
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
