/** What clients are told of the contracts on L1 is what those are. */
import { toFunctionSelector } from 'viem'
import { expect, test } from 'vitest'
import { portalFunctionsAbi } from '../../rpc/l1Actions.ts'
import { portalAbi } from '../../settlement/abi.ts'

test('every function and error of the portal that clients know is one of the compiled contract', () => {
  const compiled = new Map(portalAbi.flatMap((item) => ('name' in item ? [[`${item.type} ${item.name}`, item] as const] : [])))
  for (const item of portalFunctionsAbi) {
    const found = compiled.get(`${item.type} ${item.name}`)
    expect(found?.inputs?.map(({ type }) => type)).toEqual(item.inputs.map(({ type }) => type))
    if (item.type === 'function' && found?.type === 'function') expect(toFunctionSelector(item)).toBe(toFunctionSelector(found))
  }
})
