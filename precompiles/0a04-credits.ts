/** 0x…0a04 CREDITS: windows of receipts that were paid, what workers drew, and what accounts earned. Spec: docs/spec/transactions.md#doors */
import { getEarned } from '../execution/ledger/earnings.ts'
import { credits, disputes, draws, getAccount } from '../execution/ledger/tables.ts'
import { creditsDoorAbi } from '../execution/native/doorAbi.ts'
import { DOOR } from '../genesis/params.ts'
import { createDoor, RECORD_GAS, recordOrNone } from './door.ts'

/** The CREDITS door. */
export const creditsDoor = createDoor({
  address: DOOR.credits,
  abi: creditsDoorAbi,
  views: {
    getCredit: { gas: () => RECORD_GAS, absent: 'unknownCredit', read: ({ ledger }, id) => recordOrNone(credits.get(ledger, id)) },
    getDispute: { gas: () => RECORD_GAS, absent: 'unknownDispute', read: ({ ledger }, id) => recordOrNone(disputes.get(ledger, id)) },
    drawnOf: { gas: () => RECORD_GAS, read: ({ ledger }, id) => draws.get(ledger, id) ?? { drawn: 0n } },
    earningsOf: {
      gas: () => 2n * RECORD_GAS, // the account's index, then the record
      read: ({ ledger }, { account, epoch }) => ({ amount: getEarned(ledger, { account: getAccount(ledger, account).index, epoch }) }),
    },
  },
})
