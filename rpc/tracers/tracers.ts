/** The tracers that there are, by geth's names and options. Spec: docs/spec/rpc.md#debug */
import type { Tracer } from '../chain.ts'
import type { Param } from '../params.ts'
import { BadValue } from '../quantity.ts'
import { type CallTracerConfig, createCallTracer } from './callTracer.ts'
import { createFourByteTracer } from './fourByteTracer.ts'
import { createPrestateTracer, type PrestateTracerConfig } from './prestateTracer.ts'
import { createStructTracer, type StructTracerConfig } from './structTracer.ts'
import type { TraceBudget } from './traceBudget.ts'

/** A tracer and its options. */
export type TracerChoice =
  | ({ readonly name: 'struct' } & StructTracerConfig)
  | ({ readonly name: 'callTracer' } & CallTracerConfig)
  | ({ readonly name: 'prestateTracer' } & PrestateTracerConfig)
  | { readonly name: '4byteTracer' }
  | { readonly name: 'noopTracer' }

/** A new tracer for one transaction or call. */
export function createTracer(choice: TracerChoice, budget: TraceBudget): Tracer {
  switch (choice.name) {
    case 'struct':
      return createStructTracer(choice, budget)
    case 'callTracer':
      return createCallTracer(choice, budget)
    case 'prestateTracer':
      return createPrestateTracer(choice, budget)
    case '4byteTracer':
      return createFourByteTracer(budget)
    case 'noopTracer':
      return { result: () => ({}) }
  }
}

/** The options of a trace; left out, operations are told. Tracers in JavaScript are refused: a node runs nobody's code. */
export const tracerChoice: Param<TracerChoice> = {
  name: 'options',
  required: false,
  schema: { type: 'object' },
  decode(json, path) {
    const members = objectOf(json, path)
    const tracer: unknown = members.tracer
    if (tracer === undefined || tracer === null || tracer === '') return structChoice(members, path)
    const config = objectOf(members.tracerConfig, `${path}.tracerConfig`)
    const flag = (name: string) => flagOf(config, name, `${path}.tracerConfig`)
    switch (tracer) {
      case 'callTracer':
        return { name: 'callTracer', onlyTopCall: flag('onlyTopCall'), withLog: flag('withLog') }
      case 'prestateTracer':
        return {
          name: 'prestateTracer',
          diffMode: flag('diffMode'),
          disableCode: flag('disableCode'),
          disableStorage: flag('disableStorage'),
        }
      case '4byteTracer':
        return { name: '4byteTracer' }
      case 'noopTracer':
        return { name: 'noopTracer' }
      default:
        throw new BadValue(`${path}.tracer`, 'expected callTracer, prestateTracer, 4byteTracer, noopTracer or none')
    }
  },
}

function structChoice(members: Readonly<Record<string, unknown>>, path: string): TracerChoice {
  const { limit } = members
  if (limit !== undefined && limit !== null && !(Number.isSafeInteger(limit) && Number(limit) >= 0))
    throw new BadValue(`${path}.limit`, 'expected a number that is not negative')
  return {
    name: 'struct',
    enableMemory: flagOf(members, 'enableMemory', path),
    disableStack: flagOf(members, 'disableStack', path),
    disableStorage: flagOf(members, 'disableStorage', path),
    enableReturnData: flagOf(members, 'enableReturnData', path),
    limit: Number(limit ?? 0),
  }
}

function objectOf(json: unknown, path: string): Readonly<Record<string, unknown>> {
  if (json === undefined || json === null) return {}
  if (typeof json !== 'object' || Array.isArray(json)) throw new BadValue(path, 'expected an object')
  return json as Readonly<Record<string, unknown>>
}

function flagOf(members: Readonly<Record<string, unknown>>, name: string, path: string): boolean {
  const value = members[name]
  if (value === undefined || value === null) return false
  if (typeof value !== 'boolean') throw new BadValue(`${path}.${name}`, 'expected true or false')
  return value
}
