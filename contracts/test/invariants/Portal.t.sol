// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {OpenToken} from "../../OpenToken.sol";
import {Portal} from "../../Portal.sol";
import {VM} from "./Vm.sol";

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
        TOKEN = new OpenToken(address(this));
        PORTAL = new Portal(TOKEN, address(this), address(this));
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

    /// @notice The tree of the deposits, level by level, without the way in which the portal does it.
    function naiveRoot() external view returns (bytes32) {
        uint256 count = _leaves.length;
        bytes32[] memory nodes = new bytes32[](count + 1);
        for (uint256 i = 0; i < count; ++i) nodes[i] = _leaves[i];
        bytes32 empty = 0;
        for (uint256 level = 0; level < 32; ++level) {
            nodes[count] = empty;
            uint256 parents = (count + 1) / 2;
            for (uint256 i = 0; i < parents; ++i) {
                bytes32 right = 2 * i + 1 < count ? nodes[2 * i + 1] : empty;
                nodes[i] = keccak256(abi.encodePacked(nodes[2 * i], right));
            }
            empty = keccak256(abi.encodePacked(empty, empty));
            count = parents;
        }
        return count == 0 ? empty : nodes[0];
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
        require(_handler.PORTAL().depositRoot() == _handler.naiveRoot(), "another tree");
    }

    function invariant_anL1BlockAsksForBoundedGas() public view {
        require(_handler.gasOfBlock() <= _handler.PORTAL().BLOCK_GAS_MAX(), "too much gas");
    }
}
