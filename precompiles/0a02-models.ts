/** 0x…0a02 MODELS: models with their lineage. Spec: docs/spec/transactions.md#doors */
import { models } from '../execution/ledger/tables.ts'
import { modelsDoorAbi } from '../execution/native/doorAbi.ts'
import { DOOR } from '../genesis/params.ts'
import { createDoor, RECORD_GAS, recordOrNone } from './door.ts'

/** The MODELS door. */
export const modelsDoor = createDoor({
  address: DOOR.models,
  abi: modelsDoorAbi,
  views: {
    getModel: { gas: () => RECORD_GAS, absent: 'unknownModel', read: ({ ledger }, id) => recordOrNone(models.get(ledger, id)) },
  },
})
