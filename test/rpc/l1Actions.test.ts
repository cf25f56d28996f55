/** What clients are told of the contracts on L1 is what those are. */
import { type Abi, toEventSelector, toFunctionSelector } from 'viem'
import { expect, test } from 'vitest'
import { portalFunctionsAbi } from '../../rpc/l1Actions.ts'
import { bridgeFunctionsAbi, inboxEventsAbi, managerViewsAbi, queueViewsAbi, registryViewsAbi } from '../../rpc/settlementAbi.ts'
import { batchInboxAbi, bridgeAbi, checkpointManagerAbi, portalAbi, validatorRegistryAbi } from '../../settlement/abi.ts'

const KNOWN: readonly (readonly [name: string, known: Abi, compiled: Abi])[] = [
  ['portal', portalFunctionsAbi, portalAbi],
  ['queue of the portal', queueViewsAbi, portalAbi],
  ['checkpoint manager', managerViewsAbi, checkpointManagerAbi],
  // What the manager says of a checkpoint reaches who calls the bridge.
  ['bridge', bridgeFunctionsAbi, [...bridgeAbi, ...checkpointManagerAbi.filter(({ type }) => type === 'error')]],
  ['inbox', inboxEventsAbi, batchInboxAbi],
  ['registry', registryViewsAbi, validatorRegistryAbi],
]

/** Types of what goes in and comes out, tuples member by member. */
type Parameter = {
  readonly type: string
  readonly name?: string | undefined
  readonly components?: readonly Parameter[] | undefined
}
const shape = (list: readonly Parameter[]): unknown[] =>
  list.map(({ type, components }) => (components ? [type, components.map(({ name }) => name), shape(components)] : type))

test.each(KNOWN)('every function, event and error of the %s that clients know is one of the compiled contract', (_, known, compiled) => {
  const byName = new Map(compiled.flatMap((item) => ('name' in item ? [[`${item.type} ${item.name}`, item] as const] : [])))
  for (const item of known) {
    if (!('name' in item)) throw new Error('what clients know has a name')
    const found = byName.get(`${item.type} ${item.name}`)
    expect(found && 'inputs' in found && shape(found.inputs as readonly Parameter[]), item.name).toEqual(
      shape(item.inputs as readonly Parameter[]),
    )
    if (item.type === 'function' && found?.type === 'function') {
      expect(toFunctionSelector(item)).toBe(toFunctionSelector(found))
      expect(shape(item.outputs)).toEqual(shape(found.outputs))
    }
    if (item.type === 'event' && found?.type === 'event') expect(toEventSelector(item)).toBe(toEventSelector(found))
  }
})
