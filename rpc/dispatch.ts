/**
 * From a body's text to its answer: parsing with bounds, batches, methods by name, errors by code, in the shapes of json-rpc-2.0.
 * A batch is worked through in order, one call after another, so that no client gets more of the node by asking in one body; calls of methods
 * that may be `together` begin in order and end in order. A dispatcher may know some of the methods, and hand on the calls of all others.
 * Source: JSON-RPC 2.0. Spec: docs/spec/rpc.md#errors, #limits
 */

import { createJSONRPCErrorResponse, type JSONRPCErrorResponse, type JSONRPCID } from 'json-rpc-2.0'
import { ExecutionAborted } from '../execution/aborted.ts'
import { absentMessage } from './absent.ts'
import { type CallCounts, UNKNOWN_METHOD } from './callCounts.ts'
import { StateUnavailable, TooBusy } from './chain.ts'
import type { RpcLimits } from './limits.ts'
import type { Method } from './method.ts'
import type { Param } from './params.ts'
import { BadValue, type Json } from './quantity.ts'
import { limitExceeded, RPC_ERROR, RpcError } from './rpcError.ts'

/** A body that passed the bounds: what was asked, and how many calls that is. */
export type Parsed = { readonly ok: true; readonly body: unknown; readonly calls: number } | { readonly ok: false; readonly answer: string }

/** A body as it came, or calls of it, and how many characters of answers others of its calls have come to. */
export type Asked = { readonly text: string; readonly answered: number }

/** Answers bodies. What its methods need besides parameters is `C`. */
export type Dispatcher<C> = {
  /**
   * The answer's text; undefined when nothing in the body wanted one. `others` answers the calls whose methods are not among this dispatcher's.
   * Never throws.
   */
  answer(
    body: { readonly parsed: unknown } & Asked,
    context: C,
    others?: (asked: Asked) => Promise<string | undefined>,
  ): Promise<string | undefined>
}

export type DispatcherOptions<C> = {
  readonly methods: Readonly<Record<string, Method<C>>>
  readonly limits: Pick<RpcLimits, 'responseBytes'>
  /** Is told of errors that no rule foresees. */
  onDefect(facts: { readonly method: string; readonly error: unknown }): void
  /** Where calls are counted, and the clock for it, in milliseconds. */
  readonly counts?: { readonly counts: CallCounts; now(): number } | undefined
}

/** A dispatcher of these methods. */
export function createDispatcher<C>({ methods, limits, onDefect, counts }: DispatcherOptions<C>): Dispatcher<C> {
  const byName = new Map(Object.entries(methods))

  /** The call's answer, at once where its method has it at once. */
  function answerCall(call: unknown, context: C): string | undefined | Promise<string | undefined> {
    const request = checkCall(call)
    if (!request.ok) return JSON.stringify(request.answer)
    const { id, method: name, params } = request
    const asked = byName.get(name)
    const begunMs = counts?.now() ?? 0
    const note = (method: string, outcome: 'ok' | number) => counts?.counts.note(method, outcome, counts.now() - begunMs)
    if (!asked) {
      note(UNKNOWN_METHOD, RPC_ERROR.methodNotFound)
      return id === undefined ? undefined : JSON.stringify(errorAnswer(id, RPC_ERROR.methodNotFound, absentMessage(name)))
    }
    const failed = (error: unknown) => {
      const { code, message, data } = toRpcError(error, (defect) => onDefect({ method: name, error: defect }))
      note(name, code)
      return id === undefined ? undefined : JSON.stringify(errorAnswer(id, code, message, data))
    }
    const answered = (value: Json) => {
      note(name, 'ok')
      return id === undefined ? undefined : resultText(id, value)
    }
    try {
      const value = asked.handle(context, decodeParams(asked, params))
      return value instanceof Promise ? value.then(answered).catch(failed) : answered(value)
    } catch (error) {
      return failed(error)
    }
  }

  const methodOf = (call: unknown): Method<C> | undefined => {
    const name = typeof call === 'object' && call !== null && 'method' in call ? call.method : undefined
    return typeof name === 'string' ? byName.get(name) : undefined
  }

  /** The calls from this one on that are worked on as one: those under way together, those for others, or one alone. */
  function partFrom(
    calls: readonly unknown[],
    from: number,
    handsOn: boolean,
  ): { readonly part: readonly unknown[]; readonly far: boolean } {
    const far = handsOn && methodOf(calls[from]) === undefined
    const belongs = (call: unknown) => (far ? methodOf(call) === undefined : methodOf(call)?.together === true)
    let to = from
    while (to < calls.length && belongs(calls[to])) to++
    return { part: calls.slice(from, Math.max(to, from + 1)), far }
  }

  async function answerBatch(
    { parsed, text, answered }: { readonly parsed: readonly unknown[] } & Asked,
    context: C,
    others?: (asked: Asked) => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const answers: string[] = []
    let length = answered
    const add = (answer: string | undefined) => {
      if (answer === undefined) return
      answers.push(answer)
      length += answer.length
    }
    for (let at = 0; at < parsed.length; ) {
      const { part, far } = partFrom(parsed, at, others !== undefined)
      at += part.length
      if (far && others) {
        const said = await others({ text: part.length === parsed.length ? text : JSON.stringify(part), answered: length })
        add(said?.slice(1, -1)) // without the brackets: the other calls' answers stand beside them
        continue
      }
      const isFull = length > limits.responseBytes
      const said = part.map((call) => (isFull ? tooLarge(call, limits) : answerCall(call, context)))
      for (const one of said) add(one instanceof Promise ? await one : one)
    }
    return answers.length > 0 ? `[${answers.join(',')}]` : undefined
  }

  return {
    async answer({ parsed, text, answered }, context, others) {
      if (Array.isArray(parsed)) return answerBatch({ parsed, text, answered }, context, others)
      return others && methodOf(parsed) === undefined ? others({ text, answered }) : answerCall(parsed, context)
    },
  }
}

/** Reads a body; one that cannot be answered at all comes back with its error. */
export function parseBody(text: string, limits: Pick<RpcLimits, 'jsonDepth' | 'batchCalls'>): Parsed {
  if (nestsDeeper(text, limits.jsonDepth)) return refused(RPC_ERROR.invalidRequest, `the request nests deeper than ${limits.jsonDepth}`)
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return refused(RPC_ERROR.parse, 'parse error: the body is not JSON') // all that JSON.parse throws for a string
  }
  if (!Array.isArray(body)) return { ok: true, body, calls: 1 }
  if (body.length === 0) return refused(RPC_ERROR.invalidRequest, 'invalid request: an empty batch')
  if (body.length > limits.batchCalls)
    return refused(RPC_ERROR.invalidRequest, `invalid request: a batch of ${body.length} calls, ${limits.batchCalls} at most`)
  return { ok: true, body, calls: body.length }
}

/** Whether a body has a call of the method. */
export function asksFor(body: unknown, method: string): boolean {
  const isOne = (call: unknown) => typeof call === 'object' && call !== null && 'method' in call && call.method === method
  return Array.isArray(body) ? body.some(isOne) : isOne(body)
}

/** An error to nobody in particular, as a body's whole answer. */
export function errorText(code: number, message: string, data?: Json): string {
  return JSON.stringify(errorAnswer(null, code, message, data))
}

/** What json-rpc-2.0 makes of a result, written out around it. */
function resultText(id: JSONRPCID, value: Json): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${JSON.stringify(value ?? null)}}`
}

function errorAnswer(id: JSONRPCID, code: number, message: string, data?: Json): JSONRPCErrorResponse {
  return createJSONRPCErrorResponse(id, code, message, data)
}

function refused(code: number, message: string): Parsed {
  return { ok: false, answer: errorText(code, message) }
}

function tooLarge(call: unknown, { responseBytes }: Pick<RpcLimits, 'responseBytes'>): string | undefined {
  const request = checkCall(call)
  if (!request.ok) return JSON.stringify(request.answer)
  if (request.id === undefined) return undefined
  return JSON.stringify(
    errorAnswer(request.id, RPC_ERROR.limitExceeded, `the answers to this batch exceed ${responseBytes} bytes`, {
      code: 'responseTooLarge',
    }),
  )
}

type Call =
  | { readonly ok: true; readonly id: JSONRPCID | undefined; readonly method: string; readonly params: unknown }
  | { readonly ok: false; readonly answer: JSONRPCErrorResponse }

/** What every call must be, whatever its method. */
function checkCall(call: unknown): Call {
  const bad = (id: JSONRPCID, why: string): Call => ({
    ok: false,
    answer: errorAnswer(id, RPC_ERROR.invalidRequest, `invalid request: ${why}`),
  })
  if (typeof call !== 'object' || call === null || Array.isArray(call)) return bad(null, 'not an object')
  const { jsonrpc, id, method, params } = call as Readonly<Record<string, unknown>>
  if (id !== undefined && id !== null && typeof id !== 'string' && typeof id !== 'number')
    return bad(null, 'the id is no string, number or null')
  if (jsonrpc !== '2.0') return bad(id ?? null, 'jsonrpc is not "2.0"')
  if (typeof method !== 'string') return bad(id ?? null, 'the method is no string')
  return { ok: true, id, method, params }
}

/** Values of a method's parameters, which stand in an array in their order. Throws `BadValue` and `RpcError`. */
function decodeParams(method: Pick<Method, 'params'>, json: unknown): unknown[] {
  const given = json ?? []
  if (!Array.isArray(given))
    throw new RpcError(RPC_ERROR.invalidParams, 'invalid params: expected an array', { param: 'params', why: 'expected an array' })
  if (given.length > method.params.length) {
    throw new RpcError(RPC_ERROR.invalidParams, `invalid params: ${given.length} given, ${method.params.length} at most`, {
      param: 'params',
      why: 'too many',
    })
  }
  return method.params.map((param, i) => decodeParam(param, given[i]))
}

function decodeParam(param: Param<unknown>, json: unknown): unknown {
  if (json !== undefined && json !== null) return param.decode(json, param.name)
  if (param.required) throw new BadValue(param.name, 'missing')
  return undefined
}

/** Nothing of an unforeseen error leaves the node but that there was one. */
function toRpcError(error: unknown, onDefect: (error: unknown) => void): RpcError {
  if (error instanceof RpcError) return error
  if (error instanceof BadValue)
    return new RpcError(RPC_ERROR.invalidParams, `invalid params: ${error.message}`, { param: error.path, why: error.why })
  if (error instanceof ExecutionAborted) return new RpcError(RPC_ERROR.rejected, error.message, { code: 'timeout' })
  if (error instanceof TooBusy) return limitExceeded(error.message, { code: 'tooBusy' })
  if (error instanceof StateUnavailable) return new RpcError(RPC_ERROR.unavailable, error.message, { code: 'stateUnavailable' })
  onDefect(error)
  return new RpcError(RPC_ERROR.internal, 'internal error')
}

/** Whether brackets nest deeper than allowed, seen before anything is parsed. Brackets within strings, which are most of a body, do not count. */
function nestsDeeper(text: string, max: number): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const letter = text.charCodeAt(i)
    if (letter === 0x22) {
      i = stringEnd(text, i + 1)
      if (i === -1) return false // the string does not end: this is no JSON
    } else if (letter === 0x5b || letter === 0x7b) {
      if (++depth > max) return true
    } else if (letter === 0x5d || letter === 0x7d) depth--
  }
  return false
}

/** Where the string ends whose letters begin at `from`: at the first quote with an even number of backslashes before it. -1: nowhere. */
function stringEnd(text: string, from: number): number {
  for (let end = text.indexOf('"', from); end !== -1; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (end - escapes > from && text.charCodeAt(end - escapes - 1) === 0x5c) escapes++
    if (escapes % 2 === 0) return end
  }
  return -1
}
