/** 0x…0a00 LEDGER: transfers, and what an account, the supply and L1 look like from here. Spec: docs/spec/transactions.md#doors */

import { getAccount, getL1Info, getSupply } from '../execution/ledger/tables.ts'
import { ledgerDoorAbi } from '../execution/native/doorAbi.ts'
import { DOOR } from '../genesis/params.ts'
import { createDoor, RECORD_GAS } from './door.ts'

/** The LEDGER door. */
export const ledgerDoor = createDoor({
  address: DOOR.ledger,
  abi: ledgerDoorAbi,
  views: {
    accountOf: { gas: () => RECORD_GAS, read: ({ ledger }, { account }) => getAccount(ledger, account) },
    supply: { gas: () => RECORD_GAS, read: ({ ledger }) => getSupply(ledger) },
    l1Info: { gas: () => RECORD_GAS, read: ({ ledger }) => getL1Info(ledger) },
  },
})
