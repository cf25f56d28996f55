/** 0x…0a05 PARAMS: the governable parameters, for all to read and for the governor to change. Spec: docs/spec/transactions.md#doors */
import { paramsDoorAbi } from '../execution/native/doorAbi.ts'
import { paramNamed } from '../execution/native/paramSet.ts'
import { DOOR } from '../genesis/params.ts'
import { createDoor, RECORD_GAS } from './door.ts'

/** The PARAMS door. */
export const paramsDoor = createDoor({
  address: DOOR.params,
  abi: paramsDoorAbi,
  views: {
    getParam: {
      gas: () => RECORD_GAS,
      absent: 'unknownParam',
      read({ params }, { name }) {
        const found = paramNamed(name)
        return found && { value: BigInt(params[found]) }
      },
    },
  },
})
