// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerRecords} from "../LedgerRecords.sol";
import {LedgerTables} from "../LedgerTables.sol";
import {Packed} from "../Packed.sol";
import {IStepVerifier, Refused, Step} from "../StepTypes.sol";

/// @title 0x5a EvidenceReport, and what a deposit of the registry's (0x7e) says of a validator. Spec: docs/spec/consensus.md#epochs, #in-blocks
/// @dev The twin of execution/ledger/validators.ts. That evidence has the signatures which it needs is attested: who judged it was the chain.
contract ValidatorStep is IStepVerifier {
    using Packed for bytes;

    uint8 private constant REPORT = 0x5a;
    /// @dev kind u8 · validator u16 · height u64 · what it signed
    uint256 private constant EVIDENCE_BYTES = 285;
    uint256 private constant EPOCHS_MAX = 2;
    uint256 private constant VALIDATORS_MAX = 128;

    /// @dev `setValidator(address validator, address feeRecipient, uint96 weight, bytes32[3] key)`
    bytes4 private constant SET_VALIDATOR = bytes4(keccak256("setValidator(address,address,uint96,bytes32[3])"));
    uint256 private constant CALL_BYTES = 4 + 6 * 32;

    /// @dev A record of both tables is a u32, then the members' count u16, then the members: address 20 · feeRecipient 20 · weight u96 · key 96.
    uint256 private constant MEMBERS_AT = 6;
    uint256 private constant MEMBER_BYTES = 148;
    uint256 private constant KEY_AT = 52;
    uint256 private constant NOWHERE = type(uint256).max;

    /// @notice A set of validators that the ledger has to have is not there.
    error SetMissing();

    /// @notice Blocks of an epoch of validators; 0: the first set stays.
    uint256 public immutable epochBlocks;

    constructor(uint256 epochBlocks_) {
        epochBlocks = epochBlocks_;
    }

    /// @inheritdoc IStepVerifier
    /// @dev Nobody signs either of them.
    function inspect(uint8 typeByte, bytes calldata body, uint64, uint96)
        external
        pure
        returns (uint256 length, uint256 itemGas, bytes32 structHash)
    {
        length = typeByte == REPORT ? EVIDENCE_BYTES : body.length;
        if (body.length < length) revert Refused("malformed");
        return (length, 0, 0);
    }

    /// @inheritdoc IStepVerifier
    function execute(uint8 typeByte, bytes calldata body, Step calldata step) external {
        uint256 epoch = epochOf(step.blockNumber);
        if (typeByte == REPORT) report(body, step.blockNumber, epoch);
        else change(body, epoch);
    }

    // ---- what the registry says ----------------------------------------------------------------------------------------------------------

    /// @dev What it never says changes nothing.
    function change(bytes calldata data, uint256 epoch) private {
        if (data.length < CALL_BYTES || bytes4(data[0:4]) != SET_VALIDATOR) return;
        bytes memory listed = LedgerRecords.get(LedgerTables.VALIDATORS, hex"01");
        if (listed.length == 0) return;
        address validator = address(uint160(uint256(bytes32(data[4:36]))));
        address feeRecipient = address(uint160(uint256(bytes32(data[36:68]))));
        uint96 weight = LedgerTables.narrow96(uint256(bytes32(data[68:100])));
        bytes memory key = data[100:CALL_BYTES];
        uint256 count = listed.uintOf(4, 2);
        uint256 place = placeOf(listed, count, validator);
        if (weight == 0) {
            if (place == NOWHERE) return;
            putMembers(epoch, listed, without(listed, count, place));
            return;
        }
        for (uint256 i = 0; i < count; ++i) if (i != place && hasKey(listed, i, key)) return;
        if (place == NOWHERE && count == VALIDATORS_MAX) return;
        if (isConvicted(key)) return;
        bytes memory member = abi.encodePacked(validator, feeRecipient, weight, key);
        uint256 from = place == NOWHERE ? listed.length : MEMBERS_AT + place * MEMBER_BYTES;
        uint256 to = place == NOWHERE ? from : from + MEMBER_BYTES;
        bytes memory items = abi.encodePacked(slice(listed, MEMBERS_AT, from), member, slice(listed, to, listed.length));
        putMembers(epoch, listed, abi.encodePacked(uint16(place == NOWHERE ? count + 1 : count), items));
    }

    function placeOf(bytes memory listed, uint256 count, address validator) private pure returns (uint256) {
        for (uint256 i = 0; i < count; ++i) if (listed.addressOf(MEMBERS_AT + i * MEMBER_BYTES) == validator) return i;
        return NOWHERE;
    }

    // ---- what a report says --------------------------------------------------------------------------------------------------------------

    function report(bytes calldata evidence, uint64 blockNumber, uint256 epoch) private {
        uint64 height = uint64(evidence.uintAt(3, 8));
        if (epochBlocks == 0) revert Refused("noEpochs");
        if (height == 0 || height >= blockNumber) revert Refused("unknownHeight");
        uint256 epochThen = epochOf(height);
        if (epoch - epochThen > EPOCHS_MAX) revert Refused("evidenceTooOld");
        bytes memory listed = LedgerRecords.get(LedgerTables.VALIDATORS, hex"01");
        if (listed.length == 0) revert Refused("unknownValidator");
        (, bytes memory set) = recordUpTo(listed.uintOf(0, 4), epochThen);
        uint256 index = evidence.uintAt(1, 2);
        if (index >= set.uintOf(4, 2)) revert Refused("unknownValidator");
        uint256 offset = MEMBERS_AT + index * MEMBER_BYTES;
        bytes memory key = slice(set, offset + KEY_AT, offset + MEMBER_BYTES);
        if (isConvicted(key)) revert Refused("alreadyConvicted");
        bytes memory record = abi.encodePacked(set.addressOf(offset), uint8(evidence.uintAt(0, 1)), height, blockNumber);
        LedgerRecords.put(LedgerTables.CONVICTIONS, key, record);
        uint256 count = listed.uintOf(4, 2);
        bytes memory members = slice(listed, 4, listed.length);
        // Its key is on the list once or not at all: the registry's words are taken for keys that nobody else on it has.
        for (uint256 i = 0; i < count; ++i) if (hasKey(listed, i, key)) members = without(listed, count, i);
        if (members.length < listed.length - 4) putMembers(epoch, listed, members);
    }

    // ---- sets ----------------------------------------------------------------------------------------------------------------------------

    /// @dev Makes the list the set of the next epoch; that of this epoch if nobody is left.
    /// @param members count u16 and members
    function putMembers(uint256 epoch, bytes memory listed, bytes memory members) private {
        uint32 next = uint32(epoch + 1);
        (uint256 before, bytes memory set) = recordUpTo(listed.uintOf(0, 4), epoch);
        bytes memory chosen = members.uintOf(0, 2) > 0 ? members : slice(set, 4, set.length);
        LedgerRecords.put(LedgerTables.EPOCHS, abi.encodePacked(next), abi.encodePacked(uint32(before), chosen));
        LedgerRecords.put(LedgerTables.VALIDATORS, hex"01", abi.encodePacked(next, members));
    }

    /// @dev The record that rules an epoch, and its own epoch. Ends: each record is of a later epoch than the one that it names.
    function recordUpTo(uint256 newest, uint256 epoch) private view returns (uint256, bytes memory) {
        while (true) {
            bytes memory record = LedgerRecords.get(LedgerTables.EPOCHS, abi.encodePacked(uint32(newest)));
            if (record.length == 0) revert SetMissing();
            if (newest <= epoch) return (newest, record);
            uint256 before = record.uintOf(0, 4);
            if (before >= newest) revert SetMissing();
            newest = before;
        }
        revert SetMissing();
    }

    function epochOf(uint256 blockNumber) private view returns (uint256) {
        return epochBlocks == 0 || blockNumber == 0 ? 0 : (blockNumber - 1) / epochBlocks;
    }

    function isConvicted(bytes memory key) private view returns (bool) {
        return LedgerRecords.get(LedgerTables.CONVICTIONS, key).length != 0;
    }

    function hasKey(bytes memory listed, uint256 i, bytes memory key) private pure returns (bool) {
        uint256 offset = MEMBERS_AT + i * MEMBER_BYTES + KEY_AT;
        return listed.uintOf(offset, 32) == key.uintOf(0, 32) && listed.uintOf(offset + 32, 32) == key.uintOf(32, 32)
            && listed.uintOf(offset + 64, 32) == key.uintOf(64, 32);
    }

    /// @return count u16 and members, without the one at the place
    function without(bytes memory listed, uint256 count, uint256 place) private pure returns (bytes memory) {
        uint256 from = MEMBERS_AT + place * MEMBER_BYTES;
        return abi.encodePacked(
            uint16(count - 1), slice(listed, MEMBERS_AT, from), slice(listed, from + MEMBER_BYTES, listed.length)
        );
    }

    function slice(bytes memory all, uint256 from, uint256 to) private pure returns (bytes memory part) {
        part = new bytes(to - from);
        assembly ("memory-safe") {
            mcopy(add(part, 32), add(add(all, 32), from), sub(to, from))
        }
    }
}
