/** The ABIs that are written out say what their sources say. */
import {
  type Abi,
  type AbiParameter,
  decodeErrorResult,
  encodeErrorResult,
  encodeEventTopics,
  toEventSelector,
  toFunctionSelector,
} from 'viem'
import { expect, test } from 'vitest'
import { depositedEvent, l1InfoEvent } from '../../execution/deposit.ts'
import {
  accounts,
  credits,
  datanets,
  disputes,
  draws,
  l1Table,
  models,
  reviews,
  supplyTable,
  uploads,
  workers,
} from '../../execution/ledger/tables.ts'
import { creditedEvent } from '../../execution/native/attributionCredit.ts'
import { claimedEvent } from '../../execution/native/claim.ts'
import { disputedEvent } from '../../execution/native/creditDispute.ts'
import { datanetCreatedEvent } from '../../execution/native/datanetCreate.ts'
import { datanetRetiredEvent, reviewedEvent } from '../../execution/native/datanetReview.ts'
import { uploadedEvent } from '../../execution/native/datanetUpload.ts'
import {
  creditsDoorAbi,
  datanetsDoorAbi,
  FAILED_ERROR,
  inclusionVerifierAbi,
  ledgerDoorAbi,
  modelsDoorAbi,
  paramsDoorAbi,
  receiptVerifierAbi,
  workersDoorAbi,
} from '../../execution/native/doorAbi.ts'
import { modelRegisteredEvent } from '../../execution/native/modelRegister.ts'
import { doorCallData, NATIVE_TYPES, OPERATION_TYPES } from '../../execution/native/native.ts'
import { codeBytes32, FAILED_EVENT } from '../../execution/native/nativeType.ts'
import { paramChangedEvent } from '../../execution/native/paramSet.ts'
import { transferredEvent, withdrawnEvent } from '../../execution/native/transfer.ts'
import { workerRegisteredEvent, workerUnbondingEvent, workerWithdrawnEvent } from '../../execution/native/workerRegister.ts'
import { DOOR } from '../../genesis/params.ts'

const ABI_OF: Readonly<Record<string, Abi>> = {
  [DOOR.ledger]: ledgerDoorAbi,
  [DOOR.datanets]: datanetsDoorAbi,
  [DOOR.models]: modelsDoorAbi,
  [DOOR.workers]: workersDoorAbi,
  [DOOR.credits]: creditsDoorAbi,
  [DOOR.params]: paramsDoorAbi,
}

/** Names, types and members, which is all that an encoding depends on and all that a reader sees. */
function plain(parameters: readonly AbiParameter[]): unknown {
  return parameters.map((one) => ({
    name: one.name,
    type: one.type,
    ...('components' in one ? { components: plain(one.components) } : {}),
  }))
}

function functionsOf(abi: Abi) {
  return abi.filter((item) => item.type === 'function')
}

test('every operation is a function of its door with the same parameters, and doors have no other operation', () => {
  const operations = Object.entries(ABI_OF).flatMap(([door, abi]) =>
    functionsOf(abi)
      .filter(({ stateMutability }) => stateMutability !== 'view')
      .map((item) => ({
        door,
        name: item.name,
        payable: item.stateMutability === 'payable',
        inputs: plain(item.inputs),
        outputs: plain(item.outputs),
      })),
  )
  const types = OPERATION_TYPES.map(({ door, functionName, payable, fields, returns }) => ({
    door,
    name: functionName,
    payable,
    inputs: plain(fields.parameters),
    outputs: plain(returns),
  }))
  expect(operations).toEqual(types)
})

test('the call that stands for a native transaction is a call of the ABI', () => {
  const claim = NATIVE_TYPES.find(({ name }) => name === 'Claim')
  const item = functionsOf(creditsDoorAbi).find(({ name }) => name === 'claim')
  if (!claim || !item) throw new Error('there is no claim')
  expect(doorCallData({ type: claim, fields: { epochs: [1, 2] } }).slice(0, 10)).toBe(toFunctionSelector(item))
})

test('views answer the records of the ledger, member by member', () => {
  const views = Object.values(ABI_OF).flatMap((abi) => functionsOf(abi).filter(({ stateMutability }) => stateMutability === 'view'))
  const struct = (table: { readonly record: readonly AbiParameter[] }) => [
    { name: 'record', type: 'tuple', components: plain(table.record) },
  ]
  expect(Object.fromEntries(views.map(({ name, outputs }) => [name, plain(outputs)]))).toEqual({
    accountOf: plain(accounts.record),
    supply: plain(supplyTable.record),
    l1Info: plain(l1Table.record),
    getDatanet: struct(datanets),
    getUpload: struct(uploads),
    getReview: struct(reviews),
    getModel: struct(models),
    getWorker: struct(workers),
    getCredit: struct(credits),
    getDispute: struct(disputes),
    drawnOf: plain(draws.record),
    earningsOf: [{ name: 'amount', type: 'uint96' }],
    getParam: [{ name: 'value', type: 'uint256' }],
  })
})

test('events are those that the rules emit', () => {
  const events = Object.entries(ABI_OF).map(([door, abi]) => [
    door,
    abi.filter((item) => item.type === 'event').map((item) => ({ selector: toEventSelector(item), inputs: withIndexed(item.inputs) })),
  ])
  const emitted = {
    [DOOR.ledger]: [transferredEvent, withdrawnEvent, depositedEvent, l1InfoEvent, FAILED_EVENT],
    [DOOR.datanets]: [datanetCreatedEvent, datanetRetiredEvent, uploadedEvent, reviewedEvent, FAILED_EVENT],
    [DOOR.models]: [modelRegisteredEvent, FAILED_EVENT],
    [DOOR.workers]: [workerRegisteredEvent, workerUnbondingEvent, workerWithdrawnEvent, FAILED_EVENT],
    [DOOR.credits]: [creditedEvent, disputedEvent, claimedEvent, FAILED_EVENT],
    [DOOR.params]: [paramChangedEvent, FAILED_EVENT],
  }
  const expected = Object.entries(emitted).map(([door, items]) => [
    door,
    items.map((item) => ({ selector: toEventSelector(item), inputs: withIndexed(item.inputs) })),
  ])
  expect(events).toEqual(expected)
})

function withIndexed(inputs: readonly (AbiParameter & { readonly indexed?: boolean | undefined })[]): unknown {
  return inputs.map(({ name, type, indexed }) => ({ name, type, indexed: indexed ?? false }))
}

test('Failed is found by viem both as the event and as the error of every door', () => {
  const data = encodeErrorResult({ abi: [FAILED_ERROR], args: [codeBytes32('unknownModel')] })
  for (const abi of [ledgerDoorAbi, datanetsDoorAbi, modelsDoorAbi, workersDoorAbi, creditsDoorAbi, paramsDoorAbi]) {
    expect(decodeErrorResult({ abi, data })).toMatchObject({ errorName: 'Failed', args: [codeBytes32('unknownModel')] })
    expect(encodeErrorResult({ abi: abi as Abi, errorName: 'Failed', args: [codeBytes32('unknownModel')] })).toBe(data)
    expect(encodeEventTopics({ abi: abi as Abi, eventName: 'Failed' })).toEqual([toEventSelector('Failed(bytes32)')])
  }
  expect([receiptVerifierAbi, inclusionVerifierAbi].map((abi) => decodeErrorResult({ abi, data }).errorName)).toEqual(['Failed', 'Failed'])
})
