// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Checkpoint, CheckpointManager} from "./CheckpointManager.sol";
import {DEPOSIT_TREE_LEVELS, DepositTree} from "./DepositTree.sol";
import {LedgerProof} from "./LedgerProof.sol";
import {Portal} from "./Portal.sol";

/// @notice A record of the ledger's withdrawals. Spec: docs/spec/ledger.md#tables
struct Withdrawal {
    address from;
    address to;
    uint96 amount;
    /// The rollup's block that made it.
    uint64 blockNumber;
}

/// @notice A record of the ledger's accounts. Spec: docs/spec/ledger.md#tables
struct LedgerAccount {
    uint32 index;
    uint96 balance;
    uint96 prepaid;
    uint64 unlockAt;
    uint64 nonce;
}

/// @title The way out of the rollup, by proof against a checkpoint that nobody could dispute.
/// @notice Withdrawals leave while the rollup runs and afterwards. Once it is closed, what it held for its accounts leaves by the last mature checkpoint, and
/// deposits that this one had not executed go back. Everything leaves once. Nobody owns the bridge. Spec: docs/spec/settlement.md#bridge
contract Bridge {
    using BitMaps for BitMaps.BitMap;

    /// @notice Amounts of a record of earnings: those of sixteen accounts.
    uint256 public constant EARNINGS_PER_RECORD = 16;

    /// @dev Tables of the ledger.
    uint8 private constant ACCOUNTS = 0x01;
    uint8 private constant EARNINGS = 0x09;
    uint8 private constant WITHDRAWALS = 0x0b;
    uint8 private constant MATURITIES = 0x0e;

    /// @dev Added to the address of a contract (Portal.sol).
    uint160 private constant ALIAS_OFFSET = uint160(0x1111000000000000000000000000000000001111);

    Portal public immutable PORTAL;
    CheckpointManager public immutable MANAGER;

    BitMaps.BitMap private _withdrawn;
    BitMaps.BitMap private _exited;
    BitMaps.BitMap private _refunded;
    mapping(uint32 epoch => BitMaps.BitMap) private _earned;

    /// @notice A withdrawal was paid.
    event WithdrawalFinalized(uint64 indexed index, address indexed from, address indexed to, uint96 amount);

    /// @notice An account's balance and prepaid balance left the closed rollup.
    event Exited(address indexed account, address indexed to, uint256 amount);

    /// @notice What an account earned in an epoch left the closed rollup.
    event EarningsExited(address indexed account, uint32 indexed epoch, address indexed to, uint96 amount);

    /// @notice A deposit that the closed rollup had not executed went back.
    event DepositRefunded(uint64 indexed index, address indexed from, address indexed to, uint256 amount);

    error BadProof();
    error AlreadyPaid();
    error NotClosed();
    error NothingMature();
    error NothingToPay();
    error EpochNotMature(uint64 atSec);
    error DepositExecuted(uint64 depositCursor);

    constructor(Portal portal, CheckpointManager manager) {
        PORTAL = portal;
        MANAGER = manager;
    }

    /// @notice Pays a withdrawal that a mature checkpoint's ledger has. Anyone may call; the withdrawal says who is paid.
    /// @param id of the checkpoint, any that is mature and remembered: a ledger keeps its withdrawals
    /// @param siblings of the withdrawal's record, from the leaf's level up
    function finalizeWithdrawal(
        uint64 id,
        Checkpoint calldata checkpoint,
        uint64 index,
        Withdrawal calldata withdrawal,
        bytes32[] calldata siblings
    ) external {
        MANAGER.checkMature(id, checkpoint);
        bytes memory record = abi.encodePacked(withdrawal.from, withdrawal.to, withdrawal.amount, withdrawal.blockNumber);
        _prove(checkpoint.ledgerRoot, WITHDRAWALS, abi.encodePacked(index), record, siblings);
        _once(_withdrawn, index);
        emit WithdrawalFinalized(index, withdrawal.from, withdrawal.to, withdrawal.amount);
        PORTAL.release(withdrawal.to, withdrawal.amount);
    }

    /// @notice Whether a withdrawal was paid.
    function isFinalized(uint64 index) external view returns (bool) {
        return _withdrawn.get(index);
    }

    /// @notice Pays the sender's balance and prepaid balance out of the closed rollup.
    /// @param checkpoint the last one
    function exit(Checkpoint calldata checkpoint, LedgerAccount calldata account, bytes32[] calldata siblings, address to) external {
        _checkLast(checkpoint);
        address holder = _rollupAddress();
        _proveAccount(checkpoint.ledgerRoot, holder, account, siblings);
        uint256 amount = uint256(account.balance) + account.prepaid;
        if (amount == 0) revert NothingToPay();
        _once(_exited, account.index);
        emit Exited(holder, to, amount);
        PORTAL.release(to, amount);
    }

    /// @notice Pays what the sender earned in an epoch, and had not claimed, out of the closed rollup, once the epoch is mature.
    /// @param account the sender's record, which says its place among the amounts
    /// @param amounts the epoch's record of that place and its fifteen neighbours
    /// @param atSec the epoch's maturity, as the ledger has it
    /// @param proofs siblings of the three records, in this order
    function exitEarnings(
        Checkpoint calldata checkpoint,
        LedgerAccount calldata account,
        uint32 epoch,
        uint96[EARNINGS_PER_RECORD] calldata amounts,
        uint64 atSec,
        bytes32[][3] calldata proofs,
        address to
    ) external {
        _checkLast(checkpoint);
        address holder = _rollupAddress();
        bytes32 root = checkpoint.ledgerRoot;
        _proveAccount(root, holder, account, proofs[0]);
        uint32 group = account.index / uint32(EARNINGS_PER_RECORD);
        _prove(root, EARNINGS, abi.encodePacked(epoch, group), _packAmounts(amounts), proofs[1]);
        _prove(root, MATURITIES, abi.encodePacked(epoch), abi.encodePacked(atSec), proofs[2]);
        if (block.timestamp < atSec) revert EpochNotMature(atSec);
        uint96 amount = amounts[account.index % EARNINGS_PER_RECORD];
        if (amount == 0) revert NothingToPay();
        _once(_earned[epoch], account.index);
        emit EarningsExited(holder, epoch, to, amount);
        PORTAL.release(to, amount);
    }

    /// @notice Pays a deposit of the sender back that the closed rollup had not executed.
    /// @param l1Block number of the L1 block that queued the deposit
    /// @param recipient where the deposit was to go on the rollup
    function refundDeposit(
        uint64 index,
        uint64 l1Block,
        address recipient,
        bytes calldata opaqueData,
        bytes32[DEPOSIT_TREE_LEVELS] calldata siblings,
        address to
    ) external {
        if (!MANAGER.isClosed()) revert NotClosed();
        uint64 cursor = MANAGER.depositCursor();
        if (index < cursor) revert DepositExecuted(cursor);
        address from = _rollupAddress();
        bytes32 leaf = DepositTree.leafOf(index, l1Block, from, recipient, keccak256(opaqueData));
        if (DepositTree.rootOf(leaf, index, siblings) != PORTAL.depositRoot()) revert BadProof();
        uint256 amount = uint256(bytes32(opaqueData[:32]));
        if (amount == 0) revert NothingToPay();
        _once(_refunded, index);
        emit DepositRefunded(index, from, to, amount);
        PORTAL.release(to, amount);
    }

    /// @dev What leaves a closed rollup leaves by its last checkpoint.
    function _checkLast(Checkpoint calldata checkpoint) private view {
        if (!MANAGER.isClosed()) revert NotClosed();
        uint64 count = MANAGER.checkpointCount();
        if (count == 0) revert NothingMature();
        MANAGER.checkMature(count - 1, checkpoint);
    }

    function _proveAccount(bytes32 root, address holder, LedgerAccount calldata account, bytes32[] calldata siblings) private view {
        bytes memory record = abi.encodePacked(account.index, account.balance, account.prepaid, account.unlockAt, account.nonce);
        _prove(root, ACCOUNTS, abi.encodePacked(holder), record, siblings);
    }

    function _prove(bytes32 root, uint8 table, bytes memory id, bytes memory record, bytes32[] calldata siblings) private view {
        if (!LedgerProof.isPresent(root, LedgerProof.keyOf(table, id), record, siblings)) revert BadProof();
    }

    /// @dev A list as records have it: its length, and the items at their width.
    function _packAmounts(uint96[EARNINGS_PER_RECORD] calldata amounts) private pure returns (bytes memory packed) {
        packed = abi.encodePacked(uint16(EARNINGS_PER_RECORD));
        for (uint256 i = 0; i < EARNINGS_PER_RECORD; i++) packed = bytes.concat(packed, bytes12(amounts[i]));
    }

    function _once(BitMaps.BitMap storage paid, uint256 index) private {
        if (paid.get(index)) revert AlreadyPaid();
        paid.set(index);
    }

    /// @dev Whose accounts the sender's are on the rollup: a key's own, a contract's alias, as the portal has it.
    function _rollupAddress() private view returns (address) {
        if (msg.sender == tx.origin) return msg.sender;
        unchecked {
            return address(uint160(msg.sender) + ALIAS_OFFSET);
        }
    }
}
