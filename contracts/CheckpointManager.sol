// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {BatchInbox} from "./BatchInbox.sol";
import {Portal} from "./Portal.sol";

/// @notice The rollup's state after a posted batch. Spec: docs/spec/batch.md#checkpoints
struct Checkpoint {
    uint64 lastBlock;
    bytes32 blockHash;
    bytes32 evmRoot;
    bytes32 ledgerRoot;
    /// The batch that ends with `lastBlock`, and the inbox's accumulator after it.
    uint64 batchIndex;
    bytes32 batchAccumulator;
    /// Deposits of the portal that the rollup has executed.
    uint64 depositCursor;
    bytes32 nextValidatorSetHash;
}

/// @title What the rollup's state is said to be, bound to the batches that it follows from.
/// @notice A checkpoint is a claim by a submitter. Everyone can hold it against the posted batches while its window is open.
contract CheckpointManager is AccessControl {
    /// @notice May submit checkpoints.
    bytes32 public constant SUBMITTER_ROLE = keccak256("SUBMITTER");

    /// @notice Where the batches are posted and the deposits queued.
    BatchInbox public immutable INBOX;
    Portal public immutable PORTAL;

    /// @notice Seconds from a checkpoint's submission until it is mature.
    uint64 public immutable CHALLENGE_WINDOW_SEC;

    struct Entry {
        bytes32 checkpointHash;
        uint64 submittedAtSec;
    }

    /// @notice Checkpoints submitted; also the id of the next one.
    uint64 public checkpointCount;

    /// @notice Last block and deposit cursor of the latest checkpoint.
    uint64 public lastBlock;
    uint64 public depositCursor;

    mapping(uint64 id => Entry) private _entries;

    /// @notice A checkpoint was submitted and its window opened.
    event CheckpointSubmitted(uint64 indexed id, uint64 indexed lastBlock, Checkpoint checkpoint);

    error BatchMismatch(uint64 batchIndex, bytes32 accumulator, uint64 lastBlock);
    error NotLater(uint64 lastBlock);
    error DepositsTakenBack(uint64 depositCursor);
    error DepositsNotQueued(uint64 depositCount);
    error UnknownCheckpoint(uint64 id);

    /// @param owner May give and take the submitter role; nothing else.
    constructor(address owner, BatchInbox inbox, Portal portal, uint64 challengeWindowSec) {
        INBOX = inbox;
        PORTAL = portal;
        CHALLENGE_WINDOW_SEC = challengeWindowSec;
        _grantRole(DEFAULT_ADMIN_ROLE, owner);
    }

    /// @notice Submits the state after a posted batch, later than every checkpoint before.
    function submit(Checkpoint calldata checkpoint) external onlyRole(SUBMITTER_ROLE) returns (uint64 id) {
        (bytes32 accumulator, uint64 batchLastBlock) = INBOX.batchAt(checkpoint.batchIndex);
        if (accumulator != checkpoint.batchAccumulator || batchLastBlock != checkpoint.lastBlock) {
            revert BatchMismatch(checkpoint.batchIndex, accumulator, batchLastBlock);
        }
        if (checkpoint.lastBlock <= lastBlock) revert NotLater(lastBlock);
        if (checkpoint.depositCursor < depositCursor) revert DepositsTakenBack(depositCursor);
        uint64 queued = PORTAL.depositCount();
        if (checkpoint.depositCursor > queued) revert DepositsNotQueued(queued);

        id = checkpointCount++;
        lastBlock = checkpoint.lastBlock;
        depositCursor = checkpoint.depositCursor;
        _entries[id] = Entry(keccak256(abi.encode(checkpoint)), uint64(block.timestamp));
        emit CheckpointSubmitted(id, checkpoint.lastBlock, checkpoint);
    }

    /// @notice keccak256(abi.encode(checkpoint)) and the time of its submission.
    function checkpointAt(uint64 id) public view returns (bytes32 checkpointHash, uint64 submittedAtSec) {
        Entry storage entry = _entries[id];
        if (entry.submittedAtSec == 0) revert UnknownCheckpoint(id);
        return (entry.checkpointHash, entry.submittedAtSec);
    }

    /// @notice Whether the checkpoint's window has ended.
    function isMature(uint64 id) external view returns (bool) {
        (, uint64 submittedAtSec) = checkpointAt(id);
        return block.timestamp >= uint256(submittedAtSec) + CHALLENGE_WINDOW_SEC;
    }
}
