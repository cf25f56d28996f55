/** Contracts that build on the accounts of AI, on a running node: they read the ledger, check receipts and write through the doors. */
import {
  decodeErrorResult,
  encodeFunctionData,
  type Hex,
  hexToString,
  keccak256,
  parseAbi,
  parseEther,
  parseEventLogs,
  type TransactionReceipt,
  toHex,
  trim,
  zeroHash,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readerBytecode } from '../../contracts/artifacts.ts'
import { datanetsDoorAbi, ledgerDoorAbi, RECEIPT_CODE, receiptVerifierAbi } from '../../execution/native/doorAbi.ts'
import { encodeReceipt, encodeRequest, receiptId, requestHash } from '../../execution/receipt.ts'
import { DOOR, VERIFIER } from '../../genesis/params.ts'
import { ask, devnetAccount, type L2Client, l2Client, lower, type Stage, startStage } from './stage.ts'

const readerAbi = parseAbi([
  'struct Datanet { address owner; address curator; uint32 licence; uint8 joinPolicy; uint8 status; uint96 uploadBond; uint32 uploads; uint32 accepted; uint64 records; uint32 retires; bytes32 schemaHash; string name; }',
  'function datanet(uint32 datanetId) view returns (Datanet record)',
  'function take(bytes request, bytes requestSig, bytes receipt, bytes receiptSig)',
  'function isTaken(bytes32 receiptId) view returns (bool)',
  'event ReceiptTaken(bytes32 indexed receiptId, address indexed worker, uint96 fee)',
  'error BadReceipt(uint16 code)',
  'error ReceiptTakenBefore(bytes32 receiptId)',
  'error Failed(bytes32 code)',
])
const PRICE = parseEther('0.25')
/** Gas for a call that is meant to fail, which no estimate would give. */
const GAS = 1_000_000n

type Evidence = readonly [Hex, Hex, Hex, Hex]

let stage: Stage
let client: L2Client
let reader: { readonly address: Hex; readonly abi: typeof readerAbi }
let datanetId: number
let evidence: Evidence
let id: Hex

beforeAll(async () => {
  stage = await startStage()
  client = l2Client(stage.devnet.ready().rpc, 0)
  const [deployment, datanet, model] = await Promise.all([
    client.deployContract({ abi: readerAbi, bytecode: readerBytecode }).then(included),
    client.createDatanet({ name: 'poems', licence: 3, nonce: 0n }).then(included),
    client.registerModel({ ...MODEL, nonce: 1n }).then(included),
    client
      .registerWorker({ hotKey: hotKey.address, stake: parseEther('1000'), endpoint: 'https://worker.example', nonce: 2n })
      .then(included),
  ])
  reader = { address: deployment.contractAddress ?? '0x', abi: readerAbi }
  datanetId = parseEventLogs({ abi: datanetsDoorAbi, eventName: 'DatanetCreated', logs: datanet.logs })[0]?.args.datanetId ?? 0
  const modelId = model.logs[0]?.topics[1] ?? '0x'
  ;[evidence, id] = await serve(modelId)
})

afterAll(() => stage.close())

const MODEL = {
  name: 'Small model',
  baseHash: keccak256('0x01'),
  useFlags: 0,
  datanets: [],
  priceBase: PRICE,
  ownerBps: 4_000,
  workerBps: 6_000,
  contributorBps: 0,
} as const
const hotKey = devnetAccount(7)

test('a contract reads a datanet through the door, as the ledger has it, at the head and in the past', async () => {
  const record = await client.readContract({ ...reader, functionName: 'datanet', args: [datanetId] })
  const { datanetId: _, ...want } = (await client.getDatanet({ datanetId })) ?? { datanetId }
  expect({ ...record, owner: lower(record.owner), curator: lower(record.curator) }).toEqual(want)
  const before = await ask(stage.devnet.ready().rpc, 'eth_call', [call('datanet', [datanetId]), '0x0'])
  expect(before.result, 'no contract in block 0').toBe('0x')
  const unknown = await ask(stage.devnet.ready().rpc, 'eth_call', [call('datanet', [4_000_000]), 'latest'])
  expect(unknown.error).toMatchObject({ code: 3, message: 'execution reverted: unknownDatanet' })
  expect(failureCode(unknown.error?.data)).toBe('unknownDatanet')
})

test('a contract takes a good receipt once, by call and by transaction, and refuses a bad one with the code of the verifier', async () => {
  const [request, requestSig, receipt] = evidence
  const verified = await client.readContract({ address: VERIFIER.receipt, abi: receiptVerifierAbi, functionName: 'verify', args: evidence })
  expect([verified[0], verified[1], lower(verified[2]), verified[3]]).toEqual([RECEIPT_CODE.ok, id, lower(client.account.address), PRICE])

  const bad: Evidence = [request, requestSig, receipt, requestSig]
  const refused = await ask(stage.devnet.ready().rpc, 'eth_call', [call('take', bad), 'latest'])
  expect(decodeErrorResult({ abi: readerAbi, data: refused.error?.data as Hex })).toMatchObject({
    errorName: 'BadReceipt',
    args: [RECEIPT_CODE.badReceiptSig],
  })

  const { request: simulated } = await client.simulateContract({ ...reader, functionName: 'take', args: evidence })
  const taken = await included(await client.writeContract(simulated))
  expect(parseEventLogs({ abi: readerAbi, logs: taken.logs }).map(({ args }) => args)).toEqual([
    { receiptId: id, worker: client.account.address, fee: PRICE },
  ])
  expect(await client.readContract({ ...reader, functionName: 'isTaken', args: [id] })).toBe(true)
  const again = await client.writeContract({ ...reader, functionName: 'take', args: evidence, gas: GAS })
  expect(await client.waitForTransactionReceipt({ hash: again })).toMatchObject({ status: 'reverted', logs: [] })
  await expect(client.simulateContract({ ...reader, functionName: 'take', args: evidence })).rejects.toThrow('ReceiptTakenBefore')
})

test('a plain transaction to a door does what a native one does, and a failed one leaves nothing but its gas', async () => {
  const door = { address: DOOR.datanets, abi: datanetsDoorAbi } as const
  const args = ['songs', zeroHash, 1, client.account.address, 0, 0n] as const
  const made = await included(await client.writeContract({ ...door, functionName: 'create', args }))
  const [created] = parseEventLogs({ abi: datanetsDoorAbi, eventName: 'DatanetCreated', logs: made.logs })
  expect(await client.getDatanet({ datanetId: created?.args.datanetId ?? 0 })).toMatchObject({
    name: 'songs',
    owner: lower(client.account.address),
  })
  expect(await client.getContractEvents({ ...door, eventName: 'DatanetCreated', fromBlock: made.blockNumber })).toMatchObject([
    { args: created?.args, transactionHash: made.transactionHash },
  ])

  const counted = await client.getCounters()
  const nameless = ['', zeroHash, 1, client.account.address, 0, 0n] as const
  const failed = await client.writeContract({ ...door, functionName: 'create', args: nameless, gas: GAS })
  expect(await client.waitForTransactionReceipt({ hash: failed })).toMatchObject({ status: 'reverted', logs: [] })
  expect(await client.getCounters()).toEqual(counted)
})

test('value enters the ledger by a payable call and leaves it by a native transfer, and the supply says so', async () => {
  const me = client.account.address
  const before = { supply: await client.getSupply(), account: await client.getLedgerAccount({ account: me }) }
  const amount = parseEther('3')
  const entry = await included(
    await client.writeContract({
      address: DOOR.ledger,
      abi: ledgerDoorAbi,
      functionName: 'transfer',
      args: [0, me, amount],
      value: amount,
    }),
  )
  const entered = { supply: await client.getSupply(), account: await client.getLedgerAccount({ account: me }) }
  expect(entered.account).toEqual({ ...before.account, balance: before.account.balance + amount })
  expect(entered.supply).toEqual({ ...before.supply, evmSupply: before.supply.evmSupply - amount })

  const exit = await included(await client.transfer({ kind: 'evm', to: me, amount }))
  expect(await client.getSupply()).toEqual(before.supply)
  const onEvm = await Promise.all([entry, exit].map(({ blockNumber }) => client.getBalance({ address: me, blockNumber })))
  expect((onEvm[1] ?? 0n) - (onEvm[0] ?? 0n)).toBe(amount)
})

/** A request of account 6, answered by account 0 as worker, whose hot key is account 7. */
async function serve(modelId: Hex): Promise<[Evidence, Hex]> {
  const asking = l2Client(stage.devnet.ready().rpc, 6)
  const common = { modelId, worker: lower(client.account.address) }
  const request = {
    ...common,
    client: lower(asking.account.address),
    promptCommit: keccak256('0x02'),
    paramsHash: zeroHash,
    seed: 1n,
    maxOutputTokens: 100,
    maxFee: PRICE,
    cumulativeMaxFee: PRICE,
    nonce: 1n,
    deadline: 2n ** 40n,
  }
  const roots = { outputCommit: zeroHash, tokensRoot: zeroHash, traceRoot: zeroHash, attributionHash: zeroHash, attestationId: zeroHash }
  const counts = { seq: 1n, promptTokens: 10, outputTokens: 20, fee: PRICE, finishedAt: 1_000n, tier: 0 }
  const receipt = { ...common, ...roots, ...counts, requestHash: requestHash(request) }
  const requestSig = await asking.signInferenceRequest({ request })
  const receiptSig = await client.signInferenceReceipt({ receipt, account: hotKey })
  return [[toHex(encodeRequest(request)), requestSig, toHex(encodeReceipt(receipt)), receiptSig], receiptId(receipt)]
}

async function included(hash: Hex): Promise<TransactionReceipt> {
  const receipt = await client.waitForTransactionReceipt({ hash })
  expect(receipt.status).toBe('success')
  return receipt
}

function call(functionName: 'datanet' | 'take', args: readonly unknown[]) {
  return {
    to: reader.address,
    data: encodeFunctionData({ abi: readerAbi, functionName, args } as Parameters<typeof encodeFunctionData>[0]),
  }
}

/** The rule that a door names in its revert data. */
function failureCode(data: unknown): string {
  const { args } = decodeErrorResult({ abi: readerAbi, data: data as Hex })
  return hexToString(trim(args[0] as Hex, { dir: 'right' }))
}
