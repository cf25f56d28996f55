/** What clients know of the contracts on L1 beside the portal's functions, written out so that a browser loads nothing else. Spec: docs/spec/settlement.md */
import { parseAbi } from 'viem'

/** The checkpoint manager's views, and the event of a submission. */
export const managerViewsAbi = parseAbi([
  'struct Checkpoint { uint64 lastBlock; bytes32 blockHash; bytes32 evmRoot; bytes32 ledgerRoot; uint64 batchIndex; bytes32 batchAccumulator; uint64 depositCursor; }',
  'function CHALLENGE_WINDOW_SEC() view returns (uint64)',
  'function checkpointCount() view returns (uint64)',
  'function matureCount() view returns (uint64)',
  'function lastBlock() view returns (uint64)',
  'function isClosed() view returns (bool)',
  'function checkpointAt(uint64 id) view returns (bytes32 checkpointHash, uint64 submittedAtSec, address submitter)',
  'struct Bond { uint96 amount; uint64 freeAtSec; }',
  'function bondOf(address submitter) view returns (Bond)',
  'event CheckpointSubmitted(uint64 indexed id, uint64 indexed lastBlock, address indexed submitter, Checkpoint checkpoint, bool isCertified)',
  'error UnknownCheckpoint(uint64 id)',
])

/** The bridge's payment of withdrawals, those of the EVM among them. */
export const bridgeFunctionsAbi = parseAbi([
  'struct Checkpoint { uint64 lastBlock; bytes32 blockHash; bytes32 evmRoot; bytes32 ledgerRoot; uint64 batchIndex; bytes32 batchAccumulator; uint64 depositCursor; }',
  'struct Withdrawal { address from; address to; uint96 amount; uint64 blockNumber; uint8 fromEvm; }',
  'function finalizeWithdrawal(uint64 id, Checkpoint checkpoint, uint64 index, Withdrawal withdrawal, bytes32[] siblings)',
  'function isFinalized(uint64 index) view returns (bool)',
  'function paidInPart(uint64 index) view returns (uint96)',
  'function evmPayableFromSec(uint64 id) view returns (uint64)',
  'function evmAllowance() view returns (uint256)',
  'function evmFreeze() view returns (uint64 fromId, uint64 untilSec)',
  'error BadProof()',
  'error AlreadyPaid()',
  'error NotMature(uint256 fromSec)',
  'error UnknownCheckpoint(uint64 id)',
  'error CheckpointMismatch(bytes32 checkpointHash)',
  'error EvmWindowOpen(uint256 untilSec)',
  'error Frozen(uint64 untilSec)',
  'error EvmAllowanceUsed()',
])

/** The event of a batch. */
export const inboxEventsAbi = parseAbi([
  'struct BatchHeader { bytes32 prevAccumulator; uint64 firstBlock; uint64 lastBlock; bytes32 lastBlockHash; uint64 l1OriginNumber; bytes32 l1OriginHash; uint32 payloadBytes; }',
  'function head() view returns (bytes32 headAccumulator, uint64 nextIndex, uint64 headLastBlock)',
  'event BatchPosted(uint64 indexed index, bytes32 indexed accumulator, BatchHeader header, bytes32 dataHash)',
])

/** The portal's queue. */
export const queueViewsAbi = parseAbi([
  'function depositCount() view returns (uint64)',
  'function queuedAtSec(uint64 index) view returns (uint64)',
  'event DepositQueued(uint64 indexed index, bytes32 accumulator)',
])

/** The registry's sets of validators. */
export const registryViewsAbi = parseAbi([
  'function newestEpoch() view returns (uint32)',
  'function setOf(uint32 epoch) view returns (bytes32 setHash, bytes entries, uint96 totalWeight, uint64 openedAtSec)',
])

/** Of an entry of a set, as the registry gives it. docs/spec/consensus.md#registry */
export const SET_ENTRY_BYTES = 152
