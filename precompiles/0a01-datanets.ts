/** 0x…0a01 DATANETS: datanets, what was uploaded to them, and how it was judged. Spec: docs/spec/transactions.md#doors */
import { datanets, reviews, uploads } from '../execution/ledger/tables.ts'
import { datanetsDoorAbi } from '../execution/native/doorAbi.ts'
import { DOOR } from '../genesis/params.ts'
import { createDoor, RECORD_GAS, recordOrNone } from './door.ts'

/** The DATANETS door. */
export const datanetsDoor = createDoor({
  address: DOOR.datanets,
  abi: datanetsDoorAbi,
  views: {
    getDatanet: { gas: () => RECORD_GAS, absent: 'unknownDatanet', read: ({ ledger }, id) => recordOrNone(datanets.get(ledger, id)) },
    getUpload: { gas: () => RECORD_GAS, absent: 'unknownUpload', read: ({ ledger }, id) => recordOrNone(uploads.get(ledger, id)) },
    getReview: { gas: () => RECORD_GAS, absent: 'unknownReview', read: ({ ledger }, id) => recordOrNone(reviews.get(ledger, id)) },
  },
})
