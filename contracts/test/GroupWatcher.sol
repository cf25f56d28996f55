// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {GroupExecution, StepVerifiers} from "../fraud/GroupExecution.sol";
import {Group} from "../fraud/GroupTypes.sol";
import {LedgerRecords} from "../fraud/LedgerRecords.sol";
import {LedgerUpdate} from "../fraud/LedgerUpdate.sol";
import {Step} from "../fraud/StepTypes.sol";

/// @title The execution of groups, with the reasons of what failed and the gas that it took.
contract GroupWatcher is GroupExecution {
    bytes32[] private _failures;

    constructor(uint256 rollupChainId_, StepVerifiers memory verifiers) GroupExecution(rollupChainId_, verifiers) {}

    /// @notice The group whose rows are as they stand in the lane.
    function watchGroup(Group calldata posted, bytes calldata witness)
        external
        returns (bool isRefused, bytes32 root, bytes32 code, bytes32[] memory failures, uint256 gasUsed)
    {
        delete _failures;
        gasUsed = gasleft();
        Group memory group = posted;
        group.rows = ROWS.read(posted.rows, 16).expanded;
        (isRefused, root, code) = this.executeGroup(group, witness);
        gasUsed -= gasleft();
        failures = _failures;
    }

    /// @notice One rule alone, on fields with nothing behind them, by whoever the step names. `code` is zero if it was kept.
    function runRule(uint8 typeByte, bytes calldata fields, Step calldata step, bytes calldata witness)
        external
        returns (bytes32 oldRoot, bytes32 newRoot, bytes32 code, bool isFailure)
    {
        (bytes32[] memory keys, bytes32[] memory leaves, uint256 offset) = LedgerRecords.load(witness);
        (code,,) = inspect(typeByte, fields, 0, 0);
        if (code == 0) (code, isFailure) = applyRule(typeByte, fields, step);
        (oldRoot, newRoot) = LedgerRecords.roots(keys, leaves, witness[offset:]);
    }

    /// @notice The roots of a partial tree whose touched records (empty: none) become `news`.
    function rootsOf(bytes calldata witness, bytes[] calldata news) external returns (bytes32 oldRoot, bytes32 newRoot, uint256 gasUsed) {
        gasUsed = gasleft();
        (bytes32[] memory keys, bytes32[] memory olds, uint256 offset) = LedgerRecords.load(witness);
        bytes32[] memory leaves = new bytes32[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            if (news[i].length > 0) leaves[i] = leafOf(keys[i], news[i]);
        }
        (oldRoot, newRoot) = LedgerUpdate.roots(LedgerUpdate.Touched(keys, olds, leaves), witness[offset:]);
        gasUsed -= gasleft();
    }

    function onFailure(bytes32 code) internal override {
        _failures.push(code);
    }

    function leafOf(bytes32 key, bytes memory record) private pure returns (bytes32) {
        return bytes32(uint256(sha256(abi.encodePacked(key, sha256(record)))) | (1 << 255));
    }
}
