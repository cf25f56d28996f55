/**
 * 0x59 ParamSet: changes a governable parameter from the next block on. Only the governor may, which is an account of the EVM: there is no
 * transaction of this type, only the call of the PARAMS door and the row of EVM origin that carries it.
 * Spec: docs/spec/transactions.md#0x59-paramset
 */
import { hexToString, parseAbiItem, parseAbiParameters } from 'viem'
import { DOOR, GOVERNOR, TX_TYPE } from '../../genesis/params.ts'
import { changeParam, governedNamed } from '../ledger/governed.ts'
import { codeBytes32, defineNative, doorLog, failure } from './nativeType.ts'

export const paramChangedEvent = parseAbiItem('event ParamChanged(bytes32 indexed name, uint256 before, uint256 value, uint64 fromBlock)')

export const paramSet = defineNative({
  byte: TX_TYPE.paramSet,
  name: 'ParamSet',
  door: DOOR.params,
  functionName: 'setParam',
  payable: false,
  parameters: parseAbiParameters('bytes32 name, uint256 value'),

  records: () => 1,

  check: () => undefined,

  apply(ledger, context, { name, value }) {
    if (context.sender !== GOVERNOR) return failure('notGovernor', { sender: context.sender })
    const found = paramNamed(name)
    if (!found) return failure('unknownParam', { name })
    const changed = changeParam(ledger, context, { name: found, value })
    if (!changed.ok) return failure('outOfBounds', { value, least: changed.least, most: changed.most })
    const told = { name, before: changed.before, value, fromBlock: context.blockNumber + 1n }
    return { ok: true, logs: [doorLog(DOOR.params, paramChangedEvent, told)] }
  },
})

/** The governable parameter whose name these 32 bytes are: ASCII, zeros behind. */
export function paramNamed(name: `0x${string}`) {
  const found = governedNamed(hexToString(name, { size: 32 }))
  return found !== undefined && codeBytes32(found) === name ? found : undefined
}
