/** Solidity speaks to the doors: what its encoder writes is canonical call data, and what the doors answer its decoder reads. */
import solc from 'solc'
import { encodeFunctionResult, encodeFunctionData, type Hex, hexToBytes, parseAbi, stringToHex, zeroAddress, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { models, uploads } from '../../execution/ledger/tables.ts'
import { createState, type State } from '../../execution/state.ts'
import { createVm, type EvmCallOutcome } from '../../execution/vm.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'
import { CALLER, EMPTY_ROOTS, ENV, PARAMS } from './frame.ts'
import { LABELLER, MODEL_ID, UPLOADER, WORKER, worldAfter } from './world.ts'

const SOURCE = `
pragma solidity ^0.8.0;
struct Contribution { address account; uint16 shareBps; uint8 role; }
struct Contributor { uint32 account; uint16 shareBps; uint8 role; }
struct Upload { address uploader; bytes32 contentRoot; uint32 recordCount; uint64 byteCount; uint96 bond; uint8 status; uint16 qualityBps; uint64 atSec; bytes contentId; Contributor[] contributors; }
struct InferenceRequest { address client; address worker; bytes32 modelId; bytes32 promptCommit; bytes32 paramsHash; uint64 seed; uint32 maxOutputTokens; uint96 maxFee; uint96 cumulativeMaxFee; uint64 nonce; uint64 deadline; }
struct Draw { InferenceRequest request; bytes signature; uint96 amount; }
struct DatanetSnapshot { uint32 datanetId; bytes32 snapshotRoot; uint32 uploadCount; uint32 recordCount; uint16 weightBps; uint32 retires; }
struct Model { uint32 index; address owner; uint32 useFlags; bytes32 baseHash; bytes32 adapterHash; bytes32 tokenizerHash; bytes32 trainingConfigHash; bytes32 runtimeProfileHash; uint96 priceBase; uint96 pricePrompt; uint96 priceOutput; uint16 ownerBps; uint16 workerBps; uint16 contributorBps; uint96 minStake; uint8 maxTier; string name; DatanetSnapshot[] datanets; }
interface Datanets {
  function upload(uint32 datanetId, bytes32 contentRoot, bytes calldata contentId, uint32 recordCount, uint64 byteCount, Contribution[] calldata contributors) external payable;
  function getUpload(uint32 datanetId, uint32 uploadIndex) external view returns (Upload memory record);
}
interface Models { function getModel(bytes32 modelId) external view returns (Model memory record); }
interface Credits { function credit(address worker, bytes32 modelId, uint64 firstSeq, uint32 count, bytes32 receiptsRoot, bytes32 attributionRoot, uint64 promptTokens, uint64 outputTokens, Draw[] calldata draws, uint32[] calldata accounts, uint48[] calldata amountsGwei) external; }
contract Caller {
  error Failed(bytes32 code);
  function upload(uint32 datanetId, bytes memory contentId, Contribution[] memory contributors) external payable {
    Datanets(address(0x0a01)).upload{value: msg.value}(datanetId, keccak256(contentId), contentId, 3, 4, contributors);
  }
  function credit(Draw[] memory draws, uint32[] memory accounts, uint48[] memory amountsGwei) external returns (bytes32) {
    try Credits(address(0x0a04)).credit(address(this), bytes32(uint256(1)), 1, 2, bytes32(uint256(3)), bytes32(uint256(4)), 5, 6, draws, accounts, amountsGwei) {
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
  'function upload(uint32 datanetId, bytes contentId, Contribution[] contributors) payable',
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
  const state = createState({ ...createMemoryStore().reader, ledgerRecord: world.get }, EMPTY_ROOTS)
  // A call to an account without code is one that Solidity refuses to make, so genesis gives the doors a byte of it.
  for (const { address } of PRECOMPILES) state.putCode(address, Uint8Array.of(0xfe))
  state.putCode(CONTRACT, code)
  const sender = state.account(CALLER)
  sender.balance = 1_000n
  state.putAccount(CALLER, sender)
  const vm = await createVm({ state, params: PARAMS, precompiles: PRECOMPILES, blockHash: () => undefined })
  const call = { from: CALLER, to: CONTRACT, valueWei, data: hexToBytes(data), gas: 10_000_000n, gasPriceWei: 0n }
  return { outcome: await vm.simulate(call, ENV), state }
}
