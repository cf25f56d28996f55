// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {OpenToken} from "../../OpenToken.sol";
import {Portal} from "../../Portal.sol";
import {VM, create} from "./Vm.sol";

/// @title Whatever anybody does to the portal, in any order, and what must have come of it.
contract PortalHandler {
    OpenToken public immutable TOKEN;
    Portal public immutable PORTAL;

    uint256 public deposited;
    uint256 public released;
    uint256 public queued;
    bytes32 public chain;
    bytes32[] private _leaves;

    uint256 private _gasOfBlock;
    uint256 private _timeSec = 1_800_000_000;
    uint256 private _number = 100;

    address[3] private _people = [address(0xa11ce), address(0xb0b), address(0xca401)];

    constructor() {
        TOKEN = OpenToken(create("OpenToken", abi.encode(address(this))));
        PORTAL = Portal(create("Portal", abi.encode(TOKEN, address(this), address(this))));
        VM.warp(_timeSec);
        VM.roll(_number);
        for (uint256 i = 0; i < _people.length; ++i) {
            require(TOKEN.transfer(_people[i], 3e26));
            VM.prank(_people[i], _people[i]);
            require(TOKEN.approve(address(PORTAL), type(uint256).max));
        }
    }

    function depositToLedger(uint256 who, address to, uint96 amount, bool prepaid) external {
        address from = _person(who);
        amount = amount % 1e24;
        VM.prank(from, from);
        PORTAL.depositToLedger(to, amount, prepaid);
        bytes memory data = abi.encodeWithSignature("transfer(uint8,address,uint96)", prepaid ? 2 : 0, to, amount);
        _note(from, address(0x0a00), abi.encodePacked(uint256(amount), uint256(0), uint64(0), false, data), amount, 0);
    }

    function depositToEvm(uint256 who, address to, uint96 amount, uint64 gasLimit, bytes calldata data) external {
        address from = _person(who);
        amount = amount % 1e24;
        gasLimit = 21_000 + (gasLimit % 979_001);
        VM.prank(from, from);
        PORTAL.depositToEvm(to, amount, gasLimit, data);
        _note(from, to, abi.encodePacked(uint256(amount), uint256(amount), gasLimit, false, data), amount, gasLimit);
    }

    function forceTransaction(uint256 who, address to, uint96 value, uint64 gasLimit, bytes calldata data) external {
        address from = _person(who);
        gasLimit = 21_000 + (gasLimit % 979_001);
        VM.prank(from, from);
        PORTAL.forceTransaction(to, value, gasLimit, data);
        _note(from, to, abi.encodePacked(uint256(0), uint256(value), gasLimit, false, data), 0, gasLimit);
    }

    function tellOfValidator(bytes calldata data) external {
        VM.prank(address(this), _people[0]);
        PORTAL.tellOfValidator(data);
        address alias_ = address(uint160(address(this)) + uint160(0x1111000000000000000000000000000000001111));
        _note(alias_, address(0x0a1c), abi.encodePacked(uint256(0), uint256(0), uint64(0), false, data), 0, 0);
    }

    /// @dev What nobody may do must not be possible: if it is, the sums no longer agree.
    function takeWithoutRight(uint256 who, uint256 amount) external {
        address thief = _person(who);
        VM.prank(thief, thief);
        PORTAL.release(thief, amount % 1e24);
    }

    function release(uint256 who, uint256 amount) external {
        amount = amount % (deposited - released + 1);
        PORTAL.release(_person(who), amount);
        released += amount;
    }

    function pass(uint8 blocks) external {
        _number += uint256(blocks % 4) + 1;
        _timeSec += uint256(blocks) * 12 + 12;
        _gasOfBlock = 0;
        VM.roll(_number);
        VM.warp(_timeSec);
    }

    /// @notice Gas that deposits of this L1 block ask for, by what was taken of it.
    function gasOfBlock() external view returns (uint256) {
        return _gasOfBlock;
    }

    /// @notice Leaf and siblings of a deposit in the largest aligned block of leaves that is full, found without the way in which the portal does it.
    function naiveProof(uint256 index) external view returns (bytes32 leaf, bytes32[] memory siblings) {
        uint256 height = 0;
        while ((index / 2 ** (height + 1) + 1) * 2 ** (height + 1) <= _leaves.length) ++height;
        siblings = new bytes32[](height);
        for (uint256 level = 0; level < height; ++level) {
            uint256 sibling = index / 2 ** level % 2 == 0 ? index / 2 ** level + 1 : index / 2 ** level - 1;
            siblings[level] = _nodeAt(level, sibling);
        }
        leaf = _leaves[index];
    }

    function _nodeAt(uint256 level, uint256 place) private view returns (bytes32) {
        if (level == 0) return _leaves[place];
        return keccak256(abi.encodePacked(_nodeAt(level - 1, 2 * place), _nodeAt(level - 1, 2 * place + 1)));
    }

    function _person(uint256 who) private view returns (address) {
        return _people[who % _people.length];
    }

    function _note(address from, address to, bytes memory opaqueData, uint256 amount, uint256 gasLimit) private {
        bytes32 dataHash = keccak256(opaqueData);
        chain = keccak256(abi.encode(chain, uint64(queued), from, to, dataHash));
        _leaves.push(keccak256(abi.encode(uint64(queued), uint64(block.number), from, to, dataHash)));
        ++queued;
        deposited += amount;
        _gasOfBlock += gasLimit < 50_000 ? 50_000 : gasLimit;
    }
}

/// @title Rules that hold of the portal at every moment. Spec: docs/spec/block.md#l1-origin-and-deposits
contract PortalInvariants {
    PortalHandler private _handler;

    function setUp() public {
        _handler = new PortalHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function invariant_whatWasTakenIsThereUntilItIsReleased() public view {
        uint256 held = _handler.TOKEN().balanceOf(address(_handler.PORTAL()));
        require(held == _handler.deposited() - _handler.released(), "the portal holds another sum");
    }

    function invariant_everyDepositIsQueuedOnceInItsOrder() public view {
        require(_handler.PORTAL().depositCount() == _handler.queued(), "another count");
        require(_handler.PORTAL().accumulator() == _handler.chain(), "another chain");
    }

    function invariant_everyDepositCanBeShown() public view {
        uint256 count = _handler.queued();
        // Of those that are queued a few, others as the queue grows.
        for (uint256 step = count / 5 + 1; count > 0 && step <= 6 * (count / 5 + 1); step += count / 5 + 1) {
            uint256 i = (step + count) % count;
            (bytes32 leaf, bytes32[] memory siblings) = _handler.naiveProof(i);
            require(_handler.PORTAL().isDeposit(uint64(i), leaf, siblings), "a deposit cannot be shown");
            require(!_handler.PORTAL().isDeposit(uint64(count), leaf, siblings), "a deposit that is not queued is shown");
        }
    }

    function invariant_anL1BlockAsksForBoundedGas() public view {
        require(_handler.gasOfBlock() <= _handler.PORTAL().BLOCK_GAS_MAX(), "too much gas");
    }
}
