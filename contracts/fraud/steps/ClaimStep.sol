// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerEarnings} from "../LedgerEarnings.sol";
import {LedgerTables} from "../LedgerTables.sol";
import {Packed} from "../Packed.sol";
import {Failed, IStepVerifier, Refused, Step} from "../StepTypes.sol";

/// @title 0x58 Claim. Spec: docs/spec/transactions.md#0x58-claim
contract ClaimStep is IStepVerifier {
    using Packed for bytes;

    bytes32 private constant TYPE_HASH = keccak256("Claim(uint64 nonce,uint96 maxFee,uint32[] epochs)");

    uint256 private constant EPOCH_BYTES = 4;
    uint256 private constant EPOCHS_MAX = 128;
    uint256 private constant GAS_PER_EPOCH = 800;

    /// @notice Length of an earnings epoch in seconds.
    uint256 public immutable epochSec;

    constructor(uint256 epochSec_) {
        epochSec = epochSec_;
    }

    /// @inheritdoc IStepVerifier
    function inspect(uint8, bytes calldata body, uint64 nonce, uint96 maxFee)
        external
        pure
        returns (uint256 length, uint256 itemGas, bytes32 structHash)
    {
        (uint256 count, bytes calldata items, uint256 next) = body.listAt(0, EPOCH_BYTES);
        if (count == 0 || count > EPOCHS_MAX) revert Refused("badEpochs");
        uint256[] memory epochs = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            epochs[i] = items.uintAt(i * EPOCH_BYTES, EPOCH_BYTES);
            if (i > 0 && epochs[i] <= epochs[i - 1]) revert Refused("badEpochs");
        }
        bytes32 listHash = keccak256(abi.encodePacked(epochs));
        return (next, GAS_PER_EPOCH * count, keccak256(abi.encode(TYPE_HASH, nonce, maxFee, listHash)));
    }

    /// @inheritdoc IStepVerifier
    function execute(uint8, bytes calldata body, Step calldata step) external {
        (uint256 count, bytes calldata items,) = body.listAt(0, EPOCH_BYTES);
        uint256 vestingSec = LedgerTables.paramOf(LedgerTables.VESTING_SEC, step.blockNumber);
        uint32 index = LedgerTables.getAccount(step.sender).index;
        for (uint256 i = 0; i < count; ++i) {
            uint32 epoch = uint32(items.uintAt(i * EPOCH_BYTES, EPOCH_BYTES));
            if (step.timeSec < LedgerEarnings.maturityOf(epoch, epochSec, vestingSec)) revert Failed("notMatured");
        }
        uint256 amount = 0;
        for (uint256 i = 0; i < count; ++i) {
            amount += LedgerEarnings.takeEarned(uint32(items.uintAt(i * EPOCH_BYTES, EPOCH_BYTES)), index);
        }
        if (amount == 0) revert Failed("nothingToClaim");
        LedgerTables.addBalance(step.sender, amount);
    }
}
