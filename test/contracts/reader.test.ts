/** A contract on the rollup, as anybody would write it, reads the accounts of AI and builds on them. */
import {
  decodeErrorResult,
  decodeFunctionResult,
  encodeFunctionData,
  type Hex,
  hexToBytes,
  keccak256,
  parseAbi,
  toHex,
  zeroHash,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { beforeAll, expect, test } from 'vitest'
import { readerBytecode } from '../../contracts/artifacts.ts'
import { VOID_ROOTS } from '../../execution/genesisBlock.ts'
import { datanets, models, workers } from '../../execution/ledger/tables.ts'
import { RECEIPT_CODE } from '../../execution/native/doorAbi.ts'
import { encodeReceipt, encodeRequest, receiptDigest, receiptId, requestDigest, requestHash } from '../../execution/receipt.ts'
import { createState } from '../../execution/state.ts'
import { createVm, type EvmCallOutcome } from '../../execution/vm.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'
import { CALLER, ENV, PARAMS } from '../precompiles/frame.ts'
import { CLIENT, MODEL_ID, STEPS, WORKER, worldAfter } from '../precompiles/world.ts'

const CONTRACT: Hex = '0x000000000000000000000000000000000000babe'
const readerAbi = parseAbi([
  'struct Datanet { address owner; address curator; uint32 licence; uint8 joinPolicy; uint8 status; uint96 uploadBond; uint32 uploads; uint32 accepted; uint64 records; uint32 retires; bytes32 schemaHash; string name; }',
  'function datanet(uint32 datanetId) view returns (Datanet record)',
  'function take(bytes request, bytes requestSig, bytes receipt, bytes receiptSig)',
  'function isTaken(bytes32 receiptId) view returns (bool)',
  'error BadReceipt(uint16 code)',
  'error ReceiptTakenBefore(bytes32 receiptId)',
  'error Failed(bytes32 code)',
])

/** The client whose address the story knows, and a hot key of our own for its worker. */
const client = privateKeyToAccount(keccak256(toHex('client')))
const hotKey = privateKeyToAccount(keccak256(toHex('hot key')))

let call: (data: Hex) => Promise<EvmCallOutcome>
let evidence: readonly [Hex, Hex, Hex, Hex]
let id: Hex

beforeAll(async () => {
  const world = worldAfter(STEPS.findIndex(({ name }) => name === 'credit'))
  const worker = workers.get(world, { worker: WORKER })
  const model = models.get(world, { modelId: MODEL_ID })
  if (!worker || !model) throw new Error('the story has no worker and no model')
  workers.put(world, { worker: WORKER }, { ...worker, hotKey: hotKey.address.toLowerCase() as Hex })

  const state = createState({ ...createMemoryStore().reader, ledgerRecord: world.get }, VOID_ROOTS)
  const vm = await createVm({ state, params: PARAMS, precompiles: PRECOMPILES, blockHash: () => undefined })
  const run = (to: Hex | undefined, data: Hex) =>
    vm.simulate({ from: CALLER, to, valueWei: 0n, data: hexToBytes(data), gas: 10_000_000n, gasPriceWei: 0n }, ENV)
  state.putCode(CONTRACT, hexToBytes((await run(undefined, readerBytecode)).output))
  call = (data) => run(CONTRACT, data)

  const asked = { client: CLIENT, worker: WORKER, modelId: MODEL_ID, promptCommit: zeroHash, paramsHash: zeroHash, seed: 1n }
  const request = { ...asked, maxOutputTokens: 100, maxFee: OPEN_WEI, cumulativeMaxFee: OPEN_WEI, nonce: 1n, deadline: 2_000n }
  const fee = model.priceBase + 10n * model.pricePrompt + 20n * model.priceOutput
  const roots = { outputCommit: zeroHash, tokensRoot: zeroHash, traceRoot: zeroHash, attributionHash: zeroHash, attestationId: zeroHash }
  const served = { modelId: MODEL_ID, worker: WORKER, seq: 1n, promptTokens: 10, outputTokens: 20, fee, finishedAt: 1_000n, tier: 0 }
  const receipt = { requestHash: requestHash(request), ...roots, ...served }
  const requestSig = await client.sign({ hash: toHex(requestDigest(request, PARAMS.chainId)) })
  const receiptSig = await hotKey.sign({ hash: toHex(receiptDigest(receipt, PARAMS.chainId)) })
  evidence = [toHex(encodeRequest(request)), requestSig, toHex(encodeReceipt(receipt)), receiptSig]
  id = receiptId(receipt)
})

const take = (args: readonly [Hex, Hex, Hex, Hex]) => call(encodeFunctionData({ abi: readerAbi, functionName: 'take', args }))

test('it reads a datanet as the ledger has it', async () => {
  const outcome = await call(encodeFunctionData({ abi: readerAbi, functionName: 'datanet', args: [1] }))
  const record = decodeFunctionResult({ abi: readerAbi, functionName: 'datanet', data: outcome.output })
  const lowercase = { owner: record.owner.toLowerCase(), curator: record.curator.toLowerCase() }
  const world = worldAfter(STEPS.findIndex(({ name }) => name === 'credit'))
  expect({ ...record, ...lowercase }).toEqual(datanets.get(world, { datanetId: 1 }))
})

test('a datanet that does not exist fails the call with the rule that says so', async () => {
  const { output, exception } = await call(encodeFunctionData({ abi: readerAbi, functionName: 'datanet', args: [2] }))
  expect(exception).toBe('revert')
  expect(decodeErrorResult({ abi: readerAbi, data: output })).toMatchObject({
    errorName: 'Failed',
    args: [toHex('unknownDatanet', { size: 32 })],
  })
})

test('it takes a good receipt once, and names it in its log', async () => {
  const outcome = await take(evidence)
  expect(outcome.exception).toBeUndefined()
  expect(outcome.logs.map(({ topics }) => topics[1])).toEqual([id])
  const taken = await call(encodeFunctionData({ abi: readerAbi, functionName: 'isTaken', args: [id] }))
  expect(decodeFunctionResult({ abi: readerAbi, functionName: 'isTaken', data: taken.output })).toBe(true)
  const again = await take(evidence)
  expect(decodeErrorResult({ abi: readerAbi, data: again.output })).toMatchObject({ errorName: 'ReceiptTakenBefore', args: [id] })
})

test('it refuses a bad one with the code of the verifier', async () => {
  const [request, requestSig, receipt] = evidence
  const { output } = await take([request, requestSig, receipt, requestSig])
  expect(decodeErrorResult({ abi: readerAbi, data: output })).toMatchObject({ errorName: 'BadReceipt', args: [RECEIPT_CODE.badReceiptSig] })
})
