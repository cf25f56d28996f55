// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";
import {Memory} from "@openzeppelin/contracts/utils/Memory.sol";
import {BatchHeader, BatchInbox} from "./BatchInbox.sol";
import {BlsCertificate} from "./BlsCertificate.sol";
import {LedgerProof} from "./LedgerProof.sol";
import {Portal} from "./Portal.sol";
import {SystemConfig} from "./SystemConfig.sol";
import {Certificate, ValidatorRegistry} from "./ValidatorRegistry.sol";

/// @notice The rollup's state after a posted batch. Spec: docs/spec/settlement.md#checkpoints
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
}

/// @notice What a checkpoint is read from: nothing of it is its submitter's word.
struct Claim {
    /// Of the batch's last block, as it is hashed.
    bytes header;
    /// The batch that ends with it, as the inbox took it.
    uint64 batchIndex;
    BatchHeader batch;
    bytes32 dataHash;
    /// The ledger's l1 record (docs/spec/ledger.md#tables) and its proof against the header's ledger root, siblings from the leaf's level up.
    bytes l1Record;
    bytes32[] siblings;
}

/// @title What the rollup's state is, once nobody could show that it is not.
/// @notice A checkpoint is a block that a posted batch ends with, signed by a quorum of the validators that derived it from L1. Anyone may submit it. It
/// matures when its window ends; until then a proof of fraud makes it fall, with those after it: its submitter loses a bond, and who signed it its stake.
/// Nobody owns the manager.
/// Spec: docs/spec/settlement.md
contract CheckpointManager {
    using SafeERC20 for IERC20;

    /// @notice Checkpoints that are remembered: the latest 2,048, one of which everything is paid by.
    uint64 public constant RING_SIZE = 2_048;

    /// @notice Part of a bond that goes to who showed that a checkpoint is wrong, in basis points; nobody gets the rest, so that who disputes its own loses.
    uint256 public constant REWARD_BPS = 5_000;

    /// @notice Where the rest of a bond goes: nobody has the key.
    address public constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    /// @dev Bytes of the l1 record, whose last eight are the cursor, and its table and id.
    uint256 private constant L1_RECORD_BYTES = 120;
    uint8 private constant L1_TABLE = 0x00;
    bytes1 private constant L1_ID = 0x03;

    enum Status {
        None,
        Submitted,
        Mature,
        Fallen
    }

    struct Entry {
        bytes32 checkpointHash;
        /// Whose bond stands behind it.
        address submitter;
        uint64 submittedAtSec;
        uint64 lastBlock;
        uint64 depositCursor;
        /// Bit i: the validator at place i of the set of the block's epoch signed it. None: it was taken without a certificate.
        uint128 signers;
    }

    /// @notice OPEN of who submits checkpoints, behind all of them at once.
    struct Bond {
        uint96 amount;
        /// When the window of its latest checkpoint ends.
        uint64 freeAtSec;
    }

    struct Config {
        BatchInbox inbox;
        Portal portal;
        ValidatorRegistry registry;
        address fraudVerifier;
        /// Has the challenge window, and what may change: bond, time within which a deposit is executed, window of the EVM.
        SystemConfig systemConfig;
        /// Seconds without a checkpoint after which one without a certificate is taken.
        uint64 livenessTimeoutSec;
        /// Seconds without a new mature checkpoint after which the rollup is closed, longer than the other two together.
        uint64 exitTimeoutSec;
    }

    BatchInbox public immutable INBOX;
    Portal public immutable PORTAL;
    IERC20 public immutable TOKEN;
    ValidatorRegistry public immutable REGISTRY;

    /// @notice Says that a checkpoint is wrong, having been shown it.
    address public immutable FRAUD_VERIFIER;

    SystemConfig public immutable CONFIG;

    uint64 public immutable CHALLENGE_WINDOW_SEC;
    uint64 public immutable LIVENESS_TIMEOUT_SEC;
    uint64 public immutable EXIT_TIMEOUT_SEC;

    /// @notice When this contract was deployed: what comes before a first checkpoint is counted from here.
    uint64 public immutable DEPLOYED_AT_SEC;

    /// @notice Checkpoints that stand; also the id of the next one. What falls takes its ids back, and others get them.
    uint64 public checkpointCount;

    /// @notice The highest `checkpointCount` that there was.
    uint64 public highestCount;

    /// @notice The rollup is closed: no checkpoint is taken any more, and those that stand are mature.
    bool public isClosed;

    mapping(uint256 slot => Entry) private _ring;
    mapping(address submitter => Bond) private _bonds;

    /// @notice A checkpoint was submitted and its window opened.
    event CheckpointSubmitted(
        uint64 indexed id, uint64 indexed lastBlock, address indexed submitter, Checkpoint checkpoint, bool isCertified
    );

    /// @notice A checkpoint was shown to be wrong and fell, with all later ones. `lastBlock` is that of the last one that stands, 0 without one.
    event CheckpointFell(uint64 indexed id, address indexed submitter, address indexed challenger, uint64 lastBlock, uint96 reward);

    /// @notice The rollup is closed. Checkpoints that had not matured are void.
    event RollupClosed(uint64 checkpointCount, uint64 lastBlock);

    event BondDeposited(address indexed submitter, address indexed payer, uint96 amount);
    event BondWithdrawn(address indexed submitter, address indexed to, uint96 amount);

    error TimeoutTooShort(uint256 least);
    error Closed();
    error BatchMismatch(uint64 batchIndex, bytes32 accumulator);
    error HeaderMismatch(bytes32 lastBlockHash);
    error WrongNumber(uint64 lastBlock);
    error BadL1Record();
    error NotLater(uint64 lastBlock);
    error DepositsTakenBack(uint64 depositCursor);
    error DepositsNotQueued(uint64 depositCount);
    error DepositDue(uint64 index, uint64 sinceSec);
    error RingFull(uint256 untilSec);
    error NotYet(uint256 fromSec);
    error NoBond();
    error BondThere();
    error BondLocked(uint64 untilSec);
    error NotFraudVerifier();
    error NotOpen(Status status);
    error UnknownCheckpoint(uint64 id);
    error CheckpointMismatch(bytes32 checkpointHash);
    error NotMature(uint256 fromSec);

    constructor(Config memory config) {
        uint64 challengeWindowSec = config.systemConfig.CHALLENGE_WINDOW_SEC();
        uint256 least = uint256(challengeWindowSec) + config.livenessTimeoutSec + 1;
        if (config.exitTimeoutSec < least) revert TimeoutTooShort(least);
        INBOX = config.inbox;
        PORTAL = config.portal;
        TOKEN = config.portal.TOKEN();
        REGISTRY = config.registry;
        FRAUD_VERIFIER = config.fraudVerifier;
        CONFIG = config.systemConfig;
        CHALLENGE_WINDOW_SEC = challengeWindowSec;
        LIVENESS_TIMEOUT_SEC = config.livenessTimeoutSec;
        EXIT_TIMEOUT_SEC = config.exitTimeoutSec;
        DEPLOYED_AT_SEC = uint64(block.timestamp);
    }

    // ---- submission --------------------------------------------------------------------------------------------------------------------------------

    /// @notice Puts a bond of the sender behind the checkpoints that `submitter` is going to submit. It stays what it is when another one is asked for later.
    function depositBond(address submitter) external {
        Bond storage bond = _bonds[submitter];
        if (bond.amount != 0) revert BondThere();
        uint96 amount = CONFIG.valueOf(SystemConfig.Parameter.BondWei);
        bond.amount = amount;
        emit BondDeposited(submitter, msg.sender, amount);
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Takes the sender's bond back, once the windows of its checkpoints have ended, or the rollup is closed.
    function withdrawBond(address to) external {
        Bond memory bond = _bonds[msg.sender];
        if (bond.amount == 0) revert NoBond();
        if (!isClosed && block.timestamp < bond.freeAtSec) revert BondLocked(bond.freeAtSec);
        delete _bonds[msg.sender];
        emit BondWithdrawn(msg.sender, to, bond.amount);
        TOKEN.safeTransfer(to, bond.amount);
    }

    /// @notice Submits the state after a posted batch, later than every checkpoint that stands. Anyone with a bond may; who does vouches for the batch, and so
    /// does who signed.
    /// @param certificate over `signedDigest` of the checkpoint, by a quorum of the block's epoch, whose set the registry knows
    function submit(Claim calldata claim, Certificate calldata certificate) external returns (uint64 id) {
        Checkpoint memory checkpoint = _read(claim);
        bytes32 hash = keccak256(abi.encode(checkpoint));
        return _keep(checkpoint, hash, REGISTRY.checkCheckpoint(checkpoint.lastBlock, signedDigest(hash), certificate));
    }

    /// @notice Submits the state after a posted batch without a certificate, once there was no checkpoint for `LIVENESS_TIMEOUT_SEC`.
    function submitUncertified(Claim calldata claim) external returns (uint64 id) {
        uint256 fromSec = uint256(_lastAtSec()) + LIVENESS_TIMEOUT_SEC;
        if (block.timestamp < fromSec) revert NotYet(fromSec);
        Checkpoint memory checkpoint = _read(claim);
        return _keep(checkpoint, keccak256(abi.encode(checkpoint)), 0);
    }

    // ---- falls -------------------------------------------------------------------------------------------------------------------------------------

    /// @notice Makes a checkpoint fall whose window is open, with all later ones: the fraud verifier was shown that it is wrong. Its submitter loses its
    /// bond, unless an earlier fall took it, and the registry is told who signed it, for `slashSigners`. Those who signed the later ones are not: whether
    /// these are wrong was not shown, and can be, from the last one on.
    /// @param challenger who showed it; gets a part of the bond, and of the stakes
    function invalidate(uint64 id, address challenger) external {
        if (msg.sender != FRAUD_VERIFIER) revert NotFraudVerifier();
        Status status = statusOf(id);
        if (status != Status.Submitted) revert NotOpen(status);

        checkpointCount = id;
        Entry storage entry = _ring[id % RING_SIZE];
        address submitter = entry.submitter;
        uint96 amount = _bonds[submitter].amount;
        uint96 reward = uint96((uint256(amount) * REWARD_BPS) / 10_000);
        delete _bonds[submitter];
        emit CheckpointFell(id, submitter, challenger, lastBlock(), reward);
        if (entry.signers != 0) REGISTRY.convict(entry.lastBlock, entry.signers, challenger);
        if (reward != 0) TOKEN.safeTransfer(challenger, reward);
        if (amount != reward) TOKEN.safeTransfer(NOBODY, amount - reward);
    }

    // ---- closing -----------------------------------------------------------------------------------------------------------------------------------

    /// @notice Closes the rollup for good, if no checkpoint has matured for `EXIT_TIMEOUT_SEC`: checkpoints whose window is open are void, none is taken any
    /// more, and the bridge pays out what the last mature one says. Anyone may call.
    function close() external {
        if (isClosed) revert Closed();
        uint64 mature = matureCount();
        uint256 sinceSec = mature == 0 ? DEPLOYED_AT_SEC : uint256(_ring[(mature - 1) % RING_SIZE].submittedAtSec) + CHALLENGE_WINDOW_SEC;
        if (block.timestamp < sinceSec + EXIT_TIMEOUT_SEC) revert NotYet(sinceSec + EXIT_TIMEOUT_SEC);
        checkpointCount = mature;
        isClosed = true;
        emit RollupClosed(mature, lastBlock());
    }

    // ---- what is known -----------------------------------------------------------------------------------------------------------------------------

    /// @notice Last block of the last checkpoint that stands; 0 without one.
    function lastBlock() public view returns (uint64) {
        return checkpointCount == 0 ? 0 : _ring[(checkpointCount - 1) % RING_SIZE].lastBlock;
    }

    /// @notice Deposit cursor of the last checkpoint that stands; 0 without one.
    function depositCursor() public view returns (uint64) {
        return checkpointCount == 0 ? 0 : _ring[(checkpointCount - 1) % RING_SIZE].depositCursor;
    }

    /// @notice keccak256(abi.encode(checkpoint)) of a checkpoint that stands, the time of its submission, and who submitted it.
    function checkpointAt(uint64 id) public view returns (bytes32 checkpointHash, uint64 submittedAtSec, address submitter) {
        Entry storage entry = _entryAt(id);
        return (entry.checkpointHash, entry.submittedAtSec, entry.submitter);
    }

    /// @notice Whether a checkpoint stands with its window open, is mature, or fell. `None`: nobody ever submitted it. What fell is `Fallen` until another
    /// one has its id.
    function statusOf(uint64 id) public view returns (Status) {
        if (id >= checkpointCount) return id < highestCount ? Status.Fallen : Status.None;
        // A checkpoint that is forgotten was mature before.
        if (isClosed || _isForgotten(id)) return Status.Mature;
        return block.timestamp >= _matureAtSec(id) ? Status.Mature : Status.Submitted;
    }

    /// @notice Whether the checkpoint is mature.
    function isMature(uint64 id) external view returns (bool) {
        return statusOf(id) == Status.Mature;
    }

    /// @notice How many checkpoints are mature: those with lower ids.
    function matureCount() public view returns (uint64) {
        uint64 high = checkpointCount;
        if (isClosed) return high;
        uint64 low = highestCount > RING_SIZE ? highestCount - RING_SIZE : 0;
        // They were submitted one after another. Ends: what is between the two halves each time.
        while (low < high) {
            uint64 middle = (low + high) / 2;
            if (block.timestamp >= _matureAtSec(middle)) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    /// @notice Reverts unless this is the checkpoint of the id, and mature.
    function checkMature(uint64 id, Checkpoint calldata checkpoint) external view {
        bytes32 kept = _entryAt(id).checkpointHash;
        if (keccak256(abi.encode(checkpoint)) != kept) revert CheckpointMismatch(kept);
        if (!isClosed && block.timestamp < _matureAtSec(id)) revert NotMature(_matureAtSec(id));
    }

    /// @notice What validators sign of the checkpoint with this hash: good for this manager on this chain alone.
    function signedDigest(bytes32 checkpointHash) public view returns (bytes32) {
        return BlsCertificate.checkpointDigest(uint64(block.chainid), address(this), checkpointHash);
    }

    /// @notice What stands behind a submitter's checkpoints.
    function bondOf(address submitter) external view returns (Bond memory) {
        return _bonds[submitter];
    }

    // ---- helpers -----------------------------------------------------------------------------------------------------------------------------------

    /// @dev The checkpoint that a claim shows.
    function _read(Claim calldata claim) private view returns (Checkpoint memory checkpoint) {
        (bytes32 accumulator,) = INBOX.batchAt(claim.batchIndex);
        bytes32 shown = keccak256(abi.encode(claim.batch.prevAccumulator, claim.batchIndex, claim.batch, claim.dataHash));
        if (shown != accumulator) revert BatchMismatch(claim.batchIndex, accumulator);
        bytes32 blockHash = keccak256(claim.header);
        if (blockHash != claim.batch.lastBlockHash) revert HeaderMismatch(claim.batch.lastBlockHash);
        Memory.Slice[] memory header = BlockHeader.parseHeader(claim.header);
        if (BlockHeader.getNumber(header) != claim.batch.lastBlock) revert WrongNumber(claim.batch.lastBlock);
        bytes32 ledgerRoot = BlockHeader.getWithdrawalsRoot(header);

        bytes calldata record = claim.l1Record;
        bytes32 key = LedgerProof.keyOf(L1_TABLE, abi.encodePacked(L1_ID));
        if (record.length != L1_RECORD_BYTES || !LedgerProof.isPresent(ledgerRoot, key, record, claim.siblings)) revert BadL1Record();
        return Checkpoint({
            lastBlock: claim.batch.lastBlock,
            blockHash: blockHash,
            evmRoot: BlockHeader.getStateRoot(header),
            ledgerRoot: ledgerRoot,
            batchIndex: claim.batchIndex,
            batchAccumulator: accumulator,
            depositCursor: uint64(bytes8(record[L1_RECORD_BYTES - 8:]))
        });
    }

    /// @dev Puts a checkpoint behind the last one that stands.
    function _keep(Checkpoint memory checkpoint, bytes32 hash, uint128 signers) private returns (uint64 id) {
        if (isClosed) revert Closed();
        if (checkpoint.lastBlock <= lastBlock()) revert NotLater(lastBlock());
        _checkDeposits(checkpoint.depositCursor);
        Bond storage bond = _bonds[msg.sender];
        if (bond.amount == 0) revert NoBond();
        bond.freeAtSec = uint64(block.timestamp) + CHALLENGE_WINDOW_SEC;
        id = checkpointCount;
        checkpointCount = id + 1;
        if (id == highestCount) {
            // One more is forgotten. The oldest that is remembered has to be one that everything is paid by, so that there always is such a one.
            if (id >= RING_SIZE && block.timestamp < _windowsOverSec(id - RING_SIZE + 1)) {
                revert RingFull(_windowsOverSec(id - RING_SIZE + 1));
            }
            highestCount = id + 1;
        }
        _ring[id % RING_SIZE] = Entry({
            checkpointHash: hash,
            submitter: msg.sender,
            submittedAtSec: uint64(block.timestamp),
            lastBlock: checkpoint.lastBlock,
            depositCursor: checkpoint.depositCursor,
            signers: signers
        });
        emit CheckpointSubmitted(id, checkpoint.lastBlock, msg.sender, checkpoint, signers != 0);
    }

    /// @dev Deposits are taken in order, none is taken back, and none is left behind for longer than it may be.
    function _checkDeposits(uint64 cursor) private view {
        if (cursor < depositCursor()) revert DepositsTakenBack(depositCursor());
        uint64 queued = PORTAL.depositCount();
        if (cursor > queued) revert DepositsNotQueued(queued);
        if (cursor == queued) return;
        uint64 sinceSec = PORTAL.queuedAtSec(cursor);
        uint256 dueSec = uint256(sinceSec) + CONFIG.valueAt(SystemConfig.Parameter.DepositDueSec, sinceSec);
        if (block.timestamp > dueSec) revert DepositDue(cursor, sinceSec);
    }

    /// @dev When the last checkpoint that stands was submitted.
    function _lastAtSec() private view returns (uint64) {
        return checkpointCount == 0 ? DEPLOYED_AT_SEC : _ring[(checkpointCount - 1) % RING_SIZE].submittedAtSec;
    }

    /// @dev When a checkpoint's window of the EVM ends, which is longer than the other.
    function _windowsOverSec(uint64 id) private view returns (uint256) {
        uint64 submittedAtSec = _ring[id % RING_SIZE].submittedAtSec;
        return uint256(submittedAtSec) + CONFIG.valueAt(SystemConfig.Parameter.EvmWindowSec, submittedAtSec);
    }

    function _matureAtSec(uint64 id) private view returns (uint256) {
        return uint256(_ring[id % RING_SIZE].submittedAtSec) + CHALLENGE_WINDOW_SEC;
    }

    function _entryAt(uint64 id) private view returns (Entry storage) {
        if (id >= checkpointCount || _isForgotten(id)) revert UnknownCheckpoint(id);
        return _ring[id % RING_SIZE];
    }

    /// @dev Its place in the ring was taken by a later one, which may have fallen since.
    function _isForgotten(uint64 id) private view returns (bool) {
        return highestCount > RING_SIZE && id < highestCount - RING_SIZE;
    }
}
