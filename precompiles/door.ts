/**
 * What every door does, and every verifier, which is a door without operations: call data → one function of its ABI → answer.
 *
 * An operation is a native type's rule, run for the caller of the call with the value of the call; it costs the gas of the native
 * transaction, whether it succeeds or not. A view costs 300, what it says, 30 a word of call data and 60 a word of the answer. Call data that is no call
 * of the door's costs 300 and 30 a word. Gas is checked before the work that it pays for, but for the words of an answer, whose count comes with it.
 *
 * Refusals revert with `Failed(bytes32 code)`, in this order: `badCallData` (anything but the canonical encoding of a call of a function of
 * the door), for operations `delegatedCall` and `staticCall`, `wrongValue`, then the rule's own. What a rule wrote before it failed is undone
 * with the frame of the call, as the port says. Spec: docs/spec/transactions.md#doors
 */
import {
  type Abi,
  type AbiFunction,
  type AbiParameter,
  bytesToHex,
  encodeAbiParameters,
  encodeErrorResult,
  type Hex,
  hexToBytes,
  toFunctionSelector,
} from 'viem'
import { assert } from '../execution/assert.ts'
import type { FieldsOf } from '../execution/fields.ts'
import { isActive } from '../execution/laneRules.ts'
import { FAILED_ERROR } from '../execution/native/doorAbi.ts'
import { nativeGas, OPERATION_TYPES, operationRowBytes } from '../execution/native/native.ts'
import { codeBytes32, type FieldValues, type NativeContext, type NativeType } from '../execution/native/nativeType.ts'
import type { Precompile, PrecompileCall, PrecompileResult } from '../execution/precompile.ts'
import { compileCallData, PACKED_LENGTH_MAX, SELECTOR_BYTES } from './callData.ts'

/** Gas of reading one ledger record. Source: EIP-2929, COLD_SLOAD_COST, for what is the same work. */
export const RECORD_GAS = 2_100n

/** Gas of a call that is a view's, or nobody's: finding out which, and answering, takes as much as a tenth of a signature recovery. */
export const CALL_GAS = 300n

/** Gas of a 32-byte word that goes in, and of one that goes out: encoding takes twice as long. Figures: docs/benchmarks.md#gas */
const WORD_GAS = 30n
const ANSWER_WORD_GAS = 60n

/** A function that reads. `P` and `R` are its parameters and results, as the ABI has them. */
export type View<P extends readonly AbiParameter[], R extends readonly AbiParameter[]> = {
  /** Gas of the work, on top of the words in and out. */
  gas(args: FieldsOf<P>): bigint
  /** Gas that only shows when evidence is taken apart, which `gas` pays for: it is asked for when that is there. */
  gasOfParts?(args: FieldsOf<P>): bigint
  /** The results by name, or undefined: there is no such record. */
  read(call: PrecompileCall, args: FieldsOf<P>): FieldsOf<R> | undefined
  /** The code that says so. */
  readonly absent?: string
}

/** A view for each function of the ABI that reads; TypeScript sees to it that none is missing. */
export type ViewsOf<A extends Abi> = {
  readonly [N in ViewFunction<A>['name']]: View<ViewFunction<A, N>['inputs'], ViewFunction<A, N>['outputs']>
}

type ViewFunction<A extends Abi, N extends string = string> = Extract<A[number], { type: 'function'; stateMutability: 'view'; name: N }>

type AnyView = {
  gas(args: FieldValues): bigint
  gasOfParts?(args: FieldValues): bigint
  read(call: PrecompileCall, args: FieldValues): FieldValues | undefined
  readonly absent?: string
}

type Run = (call: PrecompileCall) => PrecompileResult

/** The precompile at an address that answers calls of the ABI. Its operations are the native types of that door. */
export function createDoor<const A extends Abi>({
  address,
  abi,
  views,
}: {
  readonly address: Hex
  readonly abi: A
  readonly views: ViewsOf<A>
}): Precompile {
  const functions = abi.filter((item) => item.type === 'function')
  const runs = new Map<string, Run>(functions.map((item) => [toFunctionSelector(item), runOf(item, address, views)]))
  return {
    address,
    run(call) {
      const run = runs.get(bytesToHex(call.data.subarray(0, SELECTOR_BYTES)))
      return run ? run(call) : refuseCallData(call)
    },
  }
}

/** What a view answers that returns one record, or reverts where there is none. */
export function recordOrNone<T>(record: T | undefined): { readonly record: T } | undefined {
  return record && { record }
}

function runOf(item: AbiFunction, address: Hex, views: Readonly<Record<string, unknown>>): Run {
  if (item.stateMutability === 'view') return viewRun(item, views[item.name] as AnyView)
  const type = OPERATION_TYPES.find(({ door, functionName }) => door === address && functionName === item.name)
  assert(type, `no native type is called ${item.name} at ${address}`)
  return operationRun(type)
}

function operationRun(type: NativeType): Run {
  const readFields = compileCallData(type.fields.parameters, PACKED_LENGTH_MAX)
  return (call) => {
    if (call.gasLimit < wordsGas(call.data.length)) return { kind: 'outOfGas' }
    const fields: FieldValues | undefined = readFields(call.data)
    if (!fields) return refuseCallData(call)
    const gasUsed = nativeGas({ type, fields }) + call.rowByteGas * BigInt(operationRowBytes({ type, fields }))
    if (call.gasLimit < gasUsed) return { kind: 'outOfGas' }
    if (call.isDelegated) return refuse('delegatedCall', gasUsed)
    if (call.isStatic) return refuse('staticCall', gasUsed)
    if (call.valueWei > 0n && !type.payable) return refuse('wrongValue', gasUsed)
    return operate(type, call, { fields, gasUsed })
  }
}

function operate(type: NativeType, call: PrecompileCall, { fields, gasUsed }: { fields: FieldValues; gasUsed: bigint }): PrecompileResult {
  if (!isActive(type, call.params, call.timeSec)) return refuse('typeNotActive', gasUsed)
  const rejection = type.check(fields, call.params.chainId)
  if (rejection) return refuse(rejection.code, gasUsed)
  const { params, blockNumber, timeSec, caller, valueWei } = call
  const context: NativeContext = { params, blockNumber, timeSec, sender: caller, callValueWei: valueWei }
  const applied = type.apply(call.ledger, context, fields)
  if (!applied.ok) return refuse(applied.code, gasUsed)
  call.recordOperation({ type, caller, fields })
  const output = encodeResults(type.returns, applied.returned ?? {})
  return { kind: 'return', gasUsed, output, logs: applied.logs, burnWei: valueWei }
}

function viewRun({ inputs, outputs }: AbiFunction, view: AnyView): Run {
  const readArgs = compileCallData(inputs)
  return (call) => {
    const gasIn = CALL_GAS + wordsGas(call.data.length)
    if (call.gasLimit < gasIn) return { kind: 'outOfGas' }
    const args: FieldValues | undefined = readArgs(call.data)
    if (!args) return refuseCallData(call)
    const gasTaken = gasIn + view.gas(args)
    if (call.gasLimit < gasTaken) return { kind: 'outOfGas' }
    const gasRead = gasTaken + (view.gasOfParts?.(args) ?? 0n)
    if (call.gasLimit < gasRead) return { kind: 'outOfGas' }
    if (call.valueWei > 0n) return refuse('wrongValue', gasRead)
    const results = view.read(call, args)
    if (!results) {
      assert(view.absent, 'a view that may find nothing says so by a code')
      return refuse(view.absent, gasRead)
    }
    const output = encodeResults(outputs, results)
    const gasUsed = gasRead + ANSWER_WORD_GAS * wordsOf(output.length)
    if (call.gasLimit < gasUsed) return { kind: 'outOfGas' }
    return { kind: 'return', gasUsed, output, logs: [], burnWei: 0n }
  }
}

function encodeResults(parameters: readonly AbiParameter[], results: FieldValues): Uint8Array {
  return hexToBytes(
    encodeAbiParameters(
      parameters,
      parameters.map(({ name }) => results[name ?? '']),
    ),
  )
}

function refuseCallData({ data, gasLimit }: PrecompileCall): PrecompileResult {
  const gasUsed = CALL_GAS + wordsGas(data.length)
  return gasLimit < gasUsed ? { kind: 'outOfGas' } : refuse('badCallData', gasUsed)
}

function refuse(code: string, gasUsed: bigint): PrecompileResult {
  const known = refusals.get(code) ?? hexToBytes(encodeErrorResult({ abi: [FAILED_ERROR], args: [codeBytes32(code)] }))
  refusals.set(code, known)
  return { kind: 'revert', gasUsed, output: known.slice() }
}

/** What a refusal answers, by its code: codes are few, and a call that is none pays for next to nothing. */
const refusals = new Map<string, Uint8Array>()

function wordsGas(bytes: number): bigint {
  return WORD_GAS * wordsOf(bytes)
}

function wordsOf(bytes: number): bigint {
  return BigInt(Math.ceil(bytes / 32))
}
