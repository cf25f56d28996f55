// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {DEPOSIT_TREE_LEVELS, DepositTree} from "./DepositTree.sol";

/// @notice The ledger door's function that a ledger deposit names. Spec: docs/spec/block.md#l1-origin-and-deposits
interface ILedgerDoor {
    function transfer(uint8 kind, address to, uint96 amount) external;
}

/// @notice What the registry of validators tells the rollup. Spec: docs/spec/consensus.md#registry
interface IValidators {
    /// @param weight 0: it is no validator any more
    /// @param key the public key x ‖ y
    function setValidator(address validator, address feeRecipient, uint96 weight, bytes32[3] calldata key) external;
}

/// @title The way from Ethereum into the rollup: OPEN, and transactions that no proposer can leave out.
/// @notice Everything queued here is executed by the first rollup block whose L1 origin is this L1 block or a later one, in the order of the
/// logs. What was deposited leaves through the bridge alone. Nobody owns the portal.
contract Portal {
    using SafeERC20 for IERC20;

    /// @notice Bounds of the gas that a queued transaction may use on the rollup.
    uint64 public constant GAS_MIN = 21_000;
    uint64 public constant GAS_MAX = 1_000_000;

    /// @notice Bytes of call data or creation code at most.
    uint256 public constant DATA_BYTES_MAX = 10_000;

    /// @notice Rollup gas that the deposits of one L1 block may ask for, and what each of them counts at least.
    uint64 public constant BLOCK_GAS_MAX = 8_000_000;
    uint64 public constant DEPOSIT_GAS_MIN = 50_000;

    /// @dev Doors, verifiers and vaults of the rollup; the first is the ledger.
    address private constant LEDGER = address(0x0a00);
    address private constant VALIDATORS = address(0x0a1c);
    address private constant RESERVED_LAST = address(0x0a1f);

    /// @dev Added to the address of a contract, whose namesake on the rollup may be somebody else. Source: OP Stack specs, deposits.md.
    uint160 private constant ALIAS_OFFSET = uint160(0x1111000000000000000000000000000000001111);

    uint8 private constant KIND_BALANCE = 0;
    uint8 private constant KIND_PREPAID = 2;

    /// @dev Times that one slot holds, of 32 bits each.
    uint256 private constant TIMES_PER_SLOT = 8;

    /// @notice The OPEN token.
    IERC20 public immutable TOKEN;

    /// @notice Says who the validators are to be.
    address public immutable REGISTRY;

    /// @notice Pays out what leaves the rollup.
    address public immutable BRIDGE;

    /// @notice Hash chain over all deposits: keccak256(abi.encode(previous, index, from, to, keccak256(opaqueData))), from zero.
    bytes32 public accumulator;

    /// @notice Deposits queued; also the index of the next one.
    uint64 public depositCount;

    uint64 private _meteredBlock;
    uint64 private _meteredGas;

    /// @dev The left siblings on the way of the tree's next leaf, by level: the roots of the largest full subtrees, one for each bit of the count. Source:
    /// the deposit contract of Ethereum's consensus specs.
    bytes32[DEPOSIT_TREE_LEVELS] private _branch;

    /// @dev When each deposit was queued, in seconds, eight to a slot.
    mapping(uint256 slot => uint256 times) private _times;

    /// @notice A deposit, in the OP Stack's form. `opaqueData` = mint(32) ‖ value(32) ‖ gas(8) ‖ isCreation(1) ‖ data; `version` is 0.
    event TransactionDeposited(address indexed from, address indexed to, uint256 indexed version, bytes opaqueData);

    /// @notice The index of the deposit in the log right before, and the hash chain after it.
    event DepositQueued(uint64 indexed index, bytes32 accumulator);

    /// @notice OPEN left for the bridge's reasons.
    event Released(address indexed to, uint256 amount);

    error ZeroAmount();
    error ZeroRecipient();
    error ReservedRecipient(address to);
    error GasOutOfRange(uint64 gasLimit);
    error DataTooLong(uint256 length);
    error BlockFull(uint64 gasLeft);
    error WrongAmountReceived(uint256 received);
    error NotRegistry();
    error NotBridge();
    error DepositNotQueued(uint64 depositCount);
    error TreeFull();

    constructor(IERC20 token, address registry, address bridge) {
        TOKEN = token;
        REGISTRY = registry;
        BRIDGE = bridge;
    }

    /// @notice Moves OPEN to a ledger balance. No code runs on the rollup.
    /// @param prepaid Credits the prepaid balance, which workers draw on, instead of the balance.
    function depositToLedger(address to, uint96 amount, bool prepaid) public {
        if (amount == 0) revert ZeroAmount();
        if (to == address(0)) revert ZeroRecipient();
        uint8 kind = prepaid ? KIND_PREPAID : KIND_BALANCE;
        _queue(LEDGER, amount, 0, 0, false, abi.encodeCall(ILedgerDoor.transfer, (kind, to, amount)));
    }

    /// @notice `depositToLedger` with an ERC-2612 signature in place of an allowance given beforehand.
    function depositToLedgerWithPermit(address to, uint96 amount, bool prepaid, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external {
        // Anyone may have used the signature first. Then the allowance is there already; if it is not, the transfer fails.
        try IERC20Permit(address(TOKEN)).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        depositToLedger(to, amount, prepaid);
    }

    /// @notice Moves OPEN to the sender's EVM balance and calls `to` with it. If the call fails, the OPEN stays with the sender.
    /// @param amount May be zero.
    function depositToEvm(address to, uint96 amount, uint64 gasLimit, bytes calldata data) external {
        _checkRecipient(to);
        _checkBounds(gasLimit, data);
        _queue(to, amount, amount, gasLimit, false, data);
    }

    /// @notice Moves OPEN to the sender's EVM balance and creates a contract with it. If that fails, the OPEN stays with the sender.
    /// @param amount May be zero.
    function createOnEvm(uint96 amount, uint64 gasLimit, bytes calldata initCode) external {
        _checkBounds(gasLimit, initCode);
        _queue(address(0), amount, amount, gasLimit, true, initCode);
    }

    /// @notice Calls `to` with value that the sender already has on the EVM side: a transaction that the rollup has to take.
    function forceTransaction(address to, uint96 value, uint64 gasLimit, bytes calldata data) external {
        _checkRecipient(to);
        _checkBounds(gasLimit, data);
        _queue(to, 0, value, gasLimit, false, data);
    }

    /// @notice Queues what the registry says of a validator. No code runs on the rollup.
    function tellOfValidator(bytes calldata data) external {
        if (msg.sender != REGISTRY) revert NotRegistry();
        _queue(VALIDATORS, 0, 0, 0, false, data);
    }

    /// @notice Pays out OPEN, for the bridge alone.
    function release(address to, uint256 amount) external {
        if (msg.sender != BRIDGE) revert NotBridge();
        emit Released(to, amount);
        TOKEN.safeTransfer(to, amount);
    }

    /// @notice When the deposit of this index was queued, in seconds.
    function queuedAtSec(uint64 index) external view returns (uint64) {
        if (index >= depositCount) revert DepositNotQueued(depositCount);
        return uint32(_times[index / TIMES_PER_SLOT] >> (32 * (index % TIMES_PER_SLOT)));
    }

    /// @notice Whether the deposit of this index has this leaf, keccak256(abi.encode(index, L1 block number, from, to, keccak256(opaqueData))). It is
    /// shown by the largest full subtree that holds it, of keccak256(left ‖ right): which that is changes when so many more are queued as it holds, or fewer.
    /// @param siblings of the leaf in that subtree, from its level up: as many as the highest bit in which `index` and `depositCount` differ has below it
    function isDeposit(uint64 index, bytes32 leaf, bytes32[] calldata siblings) external view returns (bool) {
        uint64 count = depositCount;
        if (index >= count) return false;
        uint256 height = Math.log2(index ^ count);
        return siblings.length == height && DepositTree.rootOf(leaf, index, siblings) == _branch[height];
    }

    function _checkRecipient(address to) private pure {
        if (to == address(0)) revert ZeroRecipient();
        if (to >= LEDGER && to <= RESERVED_LAST) revert ReservedRecipient(to);
    }

    function _checkBounds(uint64 gasLimit, bytes calldata data) private pure {
        if (gasLimit < GAS_MIN || gasLimit > GAS_MAX) revert GasOutOfRange(gasLimit);
        if (data.length > DATA_BYTES_MAX) revert DataTooLong(data.length);
    }

    function _queue(address to, uint96 mint, uint96 value, uint64 gasLimit, bool isCreation, bytes memory data) private {
        _meter(gasLimit);
        address from = _rollupAddress();
        bytes memory opaqueData = abi.encodePacked(uint256(mint), uint256(value), gasLimit, isCreation, data);
        bytes32 dataHash = keccak256(opaqueData);

        uint64 index = depositCount++;
        bytes32 next = keccak256(abi.encode(accumulator, index, from, to, dataHash));
        accumulator = next;
        _addLeaf(index, DepositTree.leafOf(index, uint64(block.number), from, to, dataHash));
        _times[index / TIMES_PER_SLOT] |= uint256(uint32(block.timestamp)) << (32 * (index % TIMES_PER_SLOT));
        emit TransactionDeposited(from, to, 0, opaqueData);
        emit DepositQueued(index, next);

        if (mint != 0) _take(mint);
    }

    /// @dev Puts a leaf into the tree: it meets the left siblings that are full, and is one itself from there on up.
    function _addLeaf(uint64 index, bytes32 node) private {
        uint256 size = uint256(index) + 1;
        for (uint256 level = 0; level < DEPOSIT_TREE_LEVELS; level++) {
            if ((size >> level) & 1 == 1) {
                _branch[level] = node;
                return;
            }
            node = DepositTree.hashPair(_branch[level], node);
        }
        revert TreeFull();
    }

    /// @dev Bounds what the deposits of one L1 block can make the rollup execute.
    function _meter(uint64 gasLimit) private {
        uint64 gas = gasLimit < DEPOSIT_GAS_MIN ? DEPOSIT_GAS_MIN : gasLimit;
        uint64 used = _meteredBlock == block.number ? _meteredGas : 0;
        if (gas > BLOCK_GAS_MAX - used) revert BlockFull(BLOCK_GAS_MAX - used);
        _meteredBlock = uint64(block.number);
        _meteredGas = used + gas;
    }

    /// @dev The sender on the rollup. A key has one address everywhere, also with delegated code (EIP-7702); a contract gets an alias.
    function _rollupAddress() private view returns (address) {
        if (msg.sender == tx.origin) return msg.sender;
        unchecked {
            return address(uint160(msg.sender) + ALIAS_OFFSET);
        }
    }

    /// @dev Takes exactly `amount` from the sender: what is minted on the rollup has to be here.
    function _take(uint256 amount) private {
        uint256 before = TOKEN.balanceOf(address(this));
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = TOKEN.balanceOf(address(this)) - before;
        if (received != amount) revert WrongAmountReceived(received);
    }
}
