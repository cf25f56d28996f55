// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Checkpoint, CheckpointManager} from "./CheckpointManager.sol";
import {DepositTree} from "./DepositTree.sol";
import {LedgerProof} from "./LedgerProof.sol";
import {Portal} from "./Portal.sol";
import {SystemConfig} from "./SystemConfig.sol";
import {ValidatorRegistry} from "./ValidatorRegistry.sol";

/// @notice A record of the ledger's withdrawals. Spec: docs/spec/ledger.md#tables
struct Withdrawal {
    address from;
    address to;
    uint96 amount;
    /// The rollup's block that made it.
    uint64 blockNumber;
    /// 1: a call of the EVM made it, which the validators attest and nobody proves.
    uint8 fromEvm;
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
/// @notice Withdrawals leave while the rollup runs and afterwards; those of the EVM later, by a daily allowance, and not while a validator has them held back.
/// Once it is closed, what it held for its accounts leaves by the last mature checkpoint, and deposits that this one had not executed go back. Everything
/// leaves once. Nobody owns the bridge. Spec: docs/spec/settlement.md#bridge
contract Bridge {
    using BitMaps for BitMaps.BitMap;

    /// @notice Amounts of a record of earnings: those of sixteen accounts.
    uint256 public constant EARNINGS_PER_RECORD = 16;

    /// @notice A validator whose freeze ended can freeze again after this many times as long: alone it holds back for a fifth of the time at most.
    uint64 public constant FREEZE_REST_FACTOR = 4;

    /// @dev In which an allowance that was used up is whole again.
    uint256 private constant DAY_SEC = 86_400;

    /// @dev Tables of the ledger.
    uint8 private constant ACCOUNTS = 0x01;
    uint8 private constant EARNINGS = 0x09;
    uint8 private constant WITHDRAWALS = 0x0b;
    uint8 private constant MATURITIES = 0x0e;

    /// @dev Added to the address of a contract (Portal.sol).
    uint160 private constant ALIAS_OFFSET = uint160(0x1111000000000000000000000000000000001111);

    Portal public immutable PORTAL;
    CheckpointManager public immutable MANAGER;
    ValidatorRegistry public immutable REGISTRY;
    SystemConfig public immutable CONFIG;

    /// @notice Checkpoints from an id on by which no withdrawal of the EVM is paid until a time.
    struct Freeze {
        uint64 fromId;
        uint64 untilSec;
    }

    /// @dev What of the daily allowance was used at a time.
    struct Used {
        uint128 amount;
        uint64 atSec;
    }

    /// @notice The latest freeze.
    Freeze public evmFreeze;

    /// @notice From when on a validator can freeze again.
    mapping(address validator => uint64) public canFreezeFromSec;

    Used private _used;

    /// @dev What was paid of withdrawals that the allowance was too little for.
    mapping(uint64 index => uint96) private _paidInPart;

    BitMaps.BitMap private _withdrawn;
    BitMaps.BitMap private _exited;
    BitMaps.BitMap private _refunded;
    mapping(uint32 epoch => BitMaps.BitMap) private _earned;

    /// @notice A withdrawal was paid.
    event WithdrawalFinalized(uint64 indexed index, address indexed from, address indexed to, uint96 amount);

    /// @notice A withdrawal of the EVM was paid a part; the rest is paid when the allowance has refilled.
    event WithdrawalPaidInPart(uint64 indexed index, address indexed to, uint96 amount, uint96 left);

    /// @notice No withdrawal of the EVM is paid by this checkpoint, or a later one, until then.
    event EvmExitsFrozen(uint64 indexed fromId, address indexed validator, uint64 untilSec);

    /// @notice An account's balance and prepaid balance left the closed rollup.
    event Exited(address indexed account, address indexed to, uint256 amount);

    /// @notice What an account earned in an epoch left the closed rollup.
    event EarningsExited(address indexed account, uint32 indexed epoch, address indexed to, uint96 amount);

    /// @notice A deposit that the closed rollup had not executed went back.
    event DepositRefunded(uint64 indexed index, address indexed from, address indexed to, uint256 amount);

    error BadProof();
    error AlreadyPaid();
    error EvmWindowOpen(uint256 untilSec);
    error EvmWindowOver(uint256 sinceSec);
    error Frozen(uint64 untilSec);
    error EvmAllowanceUsed();
    error NotValidator();
    error FrozeLately(uint64 untilSec);
    error NotClosed();
    error NothingMature();
    error NothingToPay();
    error EpochNotMature(uint64 atSec);
    error DepositExecuted(uint64 depositCursor);

    constructor(Portal portal, CheckpointManager manager) {
        PORTAL = portal;
        MANAGER = manager;
        REGISTRY = manager.REGISTRY();
        CONFIG = manager.CONFIG();
    }

    // ---- withdrawals -------------------------------------------------------------------------------------------------------------------------------

    /// @notice Pays a withdrawal that a mature checkpoint's ledger has. Anyone may call; the withdrawal says who is paid. One of the EVM is paid once its
    /// longer window is over, as much of it as the allowance has left, and the rest in further calls.
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
        bytes memory record =
            abi.encodePacked(withdrawal.from, withdrawal.to, withdrawal.amount, withdrawal.blockNumber, withdrawal.fromEvm);
        _prove(checkpoint.ledgerRoot, WITHDRAWALS, abi.encodePacked(index), record, siblings);
        if (_withdrawn.get(index)) revert AlreadyPaid();
        (uint96 amount, uint96 left) = (withdrawal.amount, 0);
        if (withdrawal.fromEvm != 0) (amount, left) = _takeOfEvm(id, index, amount);
        if (left == 0) {
            _withdrawn.set(index);
            emit WithdrawalFinalized(index, withdrawal.from, withdrawal.to, withdrawal.amount);
        } else {
            emit WithdrawalPaidInPart(index, withdrawal.to, amount, left);
        }
        PORTAL.release(withdrawal.to, amount);
    }

    /// @notice Holds back withdrawals of the EVM for a while: a validator that is not leaving says that the EVM side of this checkpoint is wrong. Its window,
    /// or a freeze, has to be open. What the checkpoints before it have goes on; so does all that the ledger proves.
    /// @dev While one freeze lasts another one joins it: from the lower of the two ids, to the later of the two times.
    function freezeEvmExits(uint64 id) external {
        if (REGISTRY.validatorOf(msg.sender).status != ValidatorRegistry.Status.Active) revert NotValidator();
        uint64 restsUntilSec = canFreezeFromSec[msg.sender];
        if (block.timestamp < restsUntilSec) revert FrozeLately(restsUntilSec);
        uint64 payableSec = evmPayableFromSec(id);
        if (block.timestamp >= payableSec && !isFrozen(id)) revert EvmWindowOver(payableSec);

        uint64 freezeSec = uint64(CONFIG.valueOf(SystemConfig.Parameter.FreezeSec));
        uint64 untilSec = uint64(block.timestamp) + freezeSec;
        canFreezeFromSec[msg.sender] = untilSec + FREEZE_REST_FACTOR * freezeSec;
        Freeze memory freeze = evmFreeze;
        uint64 fromId = id;
        if (block.timestamp < freeze.untilSec) {
            if (freeze.fromId < fromId) fromId = freeze.fromId;
            if (freeze.untilSec > untilSec) untilSec = freeze.untilSec;
        }
        evmFreeze = Freeze(fromId, untilSec);
        emit EvmExitsFrozen(fromId, msg.sender, untilSec);
    }

    /// @notice Whether a freeze holds back the withdrawals of the EVM that this checkpoint has.
    function isFrozen(uint64 id) public view returns (bool) {
        Freeze memory freeze = evmFreeze;
        return block.timestamp < freeze.untilSec && id >= freeze.fromId;
    }

    /// @notice From when on withdrawals of the EVM are paid by this checkpoint: the window that ruled when it was submitted has passed by then.
    function evmPayableFromSec(uint64 id) public view returns (uint64) {
        (, uint64 submittedAtSec,) = MANAGER.checkpointAt(id);
        return submittedAtSec + uint64(CONFIG.valueAt(SystemConfig.Parameter.EvmWindowSec, submittedAtSec));
    }

    /// @notice What withdrawals of the EVM can be paid now.
    function evmAllowance() public view returns (uint256) {
        uint256 perDay = CONFIG.valueOf(SystemConfig.Parameter.EvmExitWeiPerDay);
        uint256 used = _usedNow(perDay);
        return used < perDay ? perDay - used : 0;
    }

    /// @notice What was paid of a withdrawal of the EVM so far, as long as that is not all.
    function paidInPart(uint64 index) external view returns (uint96) {
        return _paidInPart[index];
    }

    /// @notice Whether a withdrawal was paid.
    function isFinalized(uint64 index) external view returns (bool) {
        return _withdrawn.get(index);
    }

    // ---- what leaves a closed rollup -----------------------------------------------------------------------------------------------------------------

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
    /// @param siblings as `Portal.isDeposit` takes them
    function refundDeposit(
        uint64 index,
        uint64 l1Block,
        address recipient,
        bytes calldata opaqueData,
        bytes32[] calldata siblings,
        address to
    ) external {
        if (!MANAGER.isClosed()) revert NotClosed();
        uint64 cursor = MANAGER.depositCursor();
        if (index < cursor) revert DepositExecuted(cursor);
        address from = _rollupAddress();
        bytes32 leaf = DepositTree.leafOf(index, l1Block, from, recipient, keccak256(opaqueData));
        if (!PORTAL.isDeposit(index, leaf, siblings)) revert BadProof();
        uint256 amount = uint256(bytes32(opaqueData[:32]));
        if (amount == 0) revert NothingToPay();
        _once(_refunded, index);
        emit DepositRefunded(index, from, to, amount);
        PORTAL.release(to, amount);
    }

    // ---- helpers -----------------------------------------------------------------------------------------------------------------------------------

    /// @dev What is paid of a withdrawal of the EVM now, and what is left of it then.
    function _takeOfEvm(uint64 id, uint64 index, uint96 whole) private returns (uint96 amount, uint96 left) {
        uint64 payableSec = evmPayableFromSec(id);
        if (block.timestamp < payableSec) revert EvmWindowOpen(payableSec);
        if (isFrozen(id)) revert Frozen(evmFreeze.untilSec);
        uint256 perDay = CONFIG.valueOf(SystemConfig.Parameter.EvmExitWeiPerDay);
        uint256 used = _usedNow(perDay);
        if (used >= perDay) revert EvmAllowanceUsed();
        amount = whole - _paidInPart[index];
        if (amount > perDay - used) amount = uint96(perDay - used);
        _used = Used(uint128(used + amount), uint64(block.timestamp));
        _paidInPart[index] += amount;
        left = whole - _paidInPart[index];
        if (left == 0) delete _paidInPart[index];
    }

    /// @dev What of the allowance is used by now.
    function _usedNow(uint256 perDay) private view returns (uint256) {
        Used memory used = _used;
        uint256 refilled = perDay * (block.timestamp - used.atSec) / DAY_SEC;
        return used.amount > refilled ? used.amount - refilled : 0;
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
