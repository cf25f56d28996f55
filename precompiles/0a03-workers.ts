/** 0x…0a03 WORKERS: who serves inference, and with what stake. Spec: docs/spec/transactions.md#doors */
import { workers } from '../execution/ledger/tables.ts'
import { workersDoorAbi } from '../execution/native/doorAbi.ts'
import { DOOR } from '../genesis/params.ts'
import { createDoor, RECORD_GAS, recordOrNone } from './door.ts'

/** The WORKERS door. */
export const workersDoor = createDoor({
  address: DOOR.workers,
  abi: workersDoorAbi,
  views: {
    getWorker: {
      gas: () => RECORD_GAS,
      absent: 'unknownWorker',
      read: ({ ledger }, { account }) => recordOrNone(workers.get(ledger, { worker: account })),
    },
  },
})
