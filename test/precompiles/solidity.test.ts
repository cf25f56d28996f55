/** Solidity speaks to the doors: what its encoder writes is canonical call data, and what the doors answer its decoder reads. */
import solc from 'solc'
import { encodeFunctionData, encodeFunctionResult, type Hex, hexToBytes, numberToHex, parseAbi, stringToHex, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { VOID_ROOTS } from '../../execution/genesisBlock.ts'
import { models, uploads } from '../../execution/ledger/tables.ts'
import { createState, type State } from '../../execution/state.ts'
import { createVm, type EvmCallOutcome } from '../../execution/vm.ts'
import { PREDEPLOYS } from '../../genesis/predeploys.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'
import { CALLER, ENV, PARAMS } from './frame.ts'
import { LABELLER, MODEL_ID, UPLOADER, worldAfter } from './world.ts'

const SOURCE = `
pragma solidity ^0.8.0;
struct Contribution { address account; uint16 shareBps; uint8 role; }
struct Contributor { uint32 account; uint16 shareBps; uint8 role; }
struct Upload { address uploader; bytes32 contentRoot; uint32 recordCount; uint64 byteCount; uint96 bond; uint8 status; uint16
  qualityBps; uint64 atSec; bytes contentId; Contributor[] contributors; }
struct InferenceRequest { address client; address worker; bytes32 modelId; bytes32 promptCommit; bytes32 paramsHash; uint64 seed;
  uint32 maxOutputTokens; uint96 maxFee; uint96 cumulativeMaxFee; uint64 nonce; uint64 deadline; }
struct Draw { InferenceRequest request; bytes signature; uint96 amount; }
struct DatanetSnapshot { uint32 datanetId; bytes32 snapshotRoot; uint32 uploadCount; uint32 recordCount; uint16 weightBps; uint32 retires; }
struct Model { uint32 index; address owner; uint32 useFlags; bytes32 baseHash; bytes32 adapterHash; bytes32 tokenizerHash; bytes32
  trainingConfigHash; bytes32 runtimeProfileHash; uint96 priceBase; uint96 pricePrompt; uint96 priceOutput; uint16 ownerBps;
  uint16 workerBps; uint16 contributorBps; uint96 minStake; uint8 maxTier; string name; DatanetSnapshot[] datanets; }
interface Datanets {
  function upload(uint32 datanetId, bytes32 contentRoot, bytes calldata contentId, uint32 recordCount, uint64 byteCount,
    Contribution[] calldata contributors) external payable returns (uint32 uploadIndex);
  function getUpload(uint32 datanetId, uint32 uploadIndex) external view returns (Upload memory record);
}
interface Models { function getModel(bytes32 modelId) external view returns (Model memory record); }
interface Credits { function credit(address worker, bytes32 modelId, uint64 firstSeq, uint32 count, bytes32 receiptsRoot, bytes32
  attributionRoot, uint64 promptTokens, uint64 outputTokens, Draw[] calldata draws, uint32[] calldata accounts, uint48[] calldata
  amountsGwei) external; }
contract Caller {
  error Failed(bytes32 code);
  function upload(uint32 datanetId, bytes memory contentId, Contribution[] memory contributors) external payable returns (uint32) {
    return Datanets(address(0x0a01)).upload{value: msg.value}(datanetId, keccak256(contentId), contentId, 3, 4, contributors);
  }
  function credit(Draw[] memory draws, uint32[] memory accounts, uint48[] memory amountsGwei) external returns (bytes32) {
    try Credits(address(0x0a04)).credit(address(this), bytes32(uint256(1)), 1, 2, bytes32(uint256(3)), bytes32(uint256(4)), 5, 6,
      draws, accounts, amountsGwei) {
      return 'done';
    } catch (bytes memory reason) {
      return bytes32(abi.encodePacked(this.codeOf(reason)));
    }
  }
  function codeOf(bytes calldata reason) external pure returns (bytes32) {
    require(bytes4(reason) == Failed.selector);
    return abi.decode(reason[4:], (bytes32));
  }
  function contributorOf(uint32 datanetId, uint32 index) external view returns (bytes memory contentId, uint32 account, uint16 shareBps) {
    Upload memory record = Datanets(address(0x0a01)).getUpload(datanetId, index);
    return (record.contentId, record.contributors[1].account, record.contributors[1].shareBps);
  }
  function lineageOf(bytes32 modelId) external view returns (string memory name, uint96 priceOutput, bytes32 snapshotRoot) {
    Model memory record = Models(address(0x0a02)).getModel(modelId);
    return (record.name, record.priceOutput, record.datanets[0].snapshotRoot);
  }
}`

const CONTRACT: Hex = '0x000000000000000000000000000000000000babe'
const callerAbi = parseAbi([
  'struct Contribution { address account; uint16 shareBps; uint8 role; }',
  'struct InferenceRequest { address client; address worker; bytes32 modelId; bytes32 promptCommit; bytes32 paramsHash; uint64 seed; uint32 maxOutputTokens; uint96 maxFee; uint96 cumulativeMaxFee; uint64 nonce; uint64 deadline; }',
  'struct Draw { InferenceRequest request; bytes signature; uint96 amount; }',
  'function upload(uint32 datanetId, bytes contentId, Contribution[] contributors) payable returns (uint32)',
  'function credit(Draw[] draws, uint32[] accounts, uint48[] amountsGwei) returns (bytes32 code)',
  'function contributorOf(uint32 datanetId, uint32 index) view returns (bytes contentId, uint32 account, uint16 shareBps)',
  'function lineageOf(bytes32 modelId) view returns (string name, uint96 priceOutput, bytes32 snapshotRoot)',
])

function compileCaller(): Uint8Array {
  const settings = { viaIR: true, optimizer: { enabled: true }, outputSelection: { '*': { Caller: ['evm.deployedBytecode.object'] } } }
  const output = JSON.parse(solc.compile(JSON.stringify({ language: 'Solidity', sources: { Caller: { content: SOURCE } }, settings })))
  return hexToBytes(`0x${output.contracts.Caller.Caller.evm.deployedBytecode.object}`)
}

const code = compileCaller()

/** Calls the contract on the ledger after this many steps of the story. */
async function callAfter(steps: number, data: Hex, valueWei = 0n): Promise<{ readonly outcome: EvmCallOutcome; readonly state: State }> {
  const world = worldAfter(steps)
  const state = createState({ ...createMemoryStore().reader, ledgerRecord: world.get }, VOID_ROOTS)
  for (const { address, code: predeployed } of PREDEPLOYS) state.putCode(address, hexToBytes(predeployed))
  state.putCode(CONTRACT, code)
  const sender = state.account(CALLER)
  sender.balance = 1_000n
  state.putAccount(CALLER, sender)
  const vm = await createVm({ state, params: PARAMS, precompiles: PRECOMPILES, blockHash: () => undefined })
  const call = { from: CALLER, to: CONTRACT, valueWei, data: hexToBytes(data), gas: 10_000_000n, gasPriceWei: 0n }
  return { outcome: await vm.simulate(call, ENV), state }
}

test('an operation with a dynamic array of structs is called with value, by the contract, which gets the id that it returns', async () => {
  const contributors = [
    { account: UPLOADER, shareBps: 9_999, role: 1 },
    { account: LABELLER, shareBps: 1, role: 2 },
  ]
  const args = [1, '0x0102030405', contributors] as const
  const { outcome, state } = await callAfter(5, encodeFunctionData({ abi: callerAbi, functionName: 'upload', args }), 7n)
  expect(outcome.exception).toBeUndefined()
  expect(outcome.output).toBe(numberToHex(1, { size: 32 }))
  expect(uploads.get(state.ledger, { datanetId: 1, uploadIndex: 1 })).toMatchObject({
    uploader: CONTRACT,
    bond: 7n,
    contentId: '0x0102030405',
  })
  expect(state.takeOperations()).toMatchObject([{ caller: CONTRACT, fields: { contributors } }])
})

test('structs within structs within arrays arrive, and the code of the refusal comes back', async () => {
  const request = { client: UPLOADER, worker: CONTRACT, modelId: zeroHash, promptCommit: zeroHash, paramsHash: zeroHash, seed: 1n }
  const bounds = { maxOutputTokens: 2, maxFee: 3n, cumulativeMaxFee: 4n, nonce: 5n, deadline: 6n }
  const draw = { request: { ...request, ...bounds }, signature: `0x${'01'.repeat(65)}`, amount: 7n } as const
  const codeFor = async (signature: Hex) => {
    const args = [
      [draw, { ...draw, signature }],
      [1, 2, 3],
      [4, 5, 6],
    ] as const
    const { outcome } = await callAfter(9, encodeFunctionData({ abi: callerAbi, functionName: 'credit', args }))
    return outcome.output
  }
  expect(await codeFor('0x')).toBe(stringToHex('badDraw', { size: 32 }))
})

test('a view’s struct with an array of structs is read', async () => {
  const data = encodeFunctionData({ abi: callerAbi, functionName: 'contributorOf', args: [1, 0] })
  const { outcome, state } = await callAfter(5, data)
  const record = uploads.get(state.ledger, { datanetId: 1, uploadIndex: 0 })
  const { account = 0, shareBps = 0 } = record?.contributors[1] ?? {}
  const result = [record?.contentId ?? '0x', account, shareBps] as const
  expect(outcome.output).toBe(encodeFunctionResult({ abi: callerAbi, functionName: 'contributorOf', result }))
  expect(shareBps).toBe(4_000)
})

test('so is the one with the most members', async () => {
  const { outcome, state } = await callAfter(7, encodeFunctionData({ abi: callerAbi, functionName: 'lineageOf', args: [MODEL_ID] }))
  const record = models.get(state.ledger, { modelId: MODEL_ID })
  const result = [record?.name ?? '', record?.priceOutput ?? 0n, record?.datanets[0]?.snapshotRoot ?? zeroHash] as const
  expect(outcome.output).toBe(encodeFunctionResult({ abi: callerAbi, functionName: 'lineageOf', result }))
  expect(record?.name).toBe('Field notes 1B')
})
