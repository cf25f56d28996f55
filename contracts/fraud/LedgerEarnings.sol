// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerRecords} from "./LedgerRecords.sol";
import {LedgerTables} from "./LedgerTables.sol";
import {Packed} from "./Packed.sol";

/// @title What accounts earned in an epoch, and when the epoch matures. Spec: docs/spec/ledger.md#earnings, docs/spec/ledger.md#maturity
/// @dev The twin of execution/ledger/earnings.ts and maturity.ts. A record is a list of sixteen u96 behind its count u16.
library LedgerEarnings {
    using Packed for bytes;

    uint256 private constant EARNERS = 16;
    uint256 private constant AMOUNT_BYTES = 12;
    uint256 private constant RECORD_BYTES = 2 + EARNERS * AMOUNT_BYTES;

    /// @notice First second at which the epoch is mature; of one without a credit, what a credit in this block would make it.
    function maturityOf(uint32 epoch, uint256 epochSec, uint256 vestingSec) internal view returns (uint256) {
        bytes memory record = LedgerRecords.get(LedgerTables.MATURITIES, abi.encodePacked(epoch));
        return record.length == 0 ? (uint256(epoch) + 1) * epochSec + vestingSec : record.uintOf(0, 8);
    }

    /// @notice The same, written down if the epoch has none yet.
    function fixMaturity(uint32 epoch, uint256 epochSec, uint256 vestingSec) internal returns (uint256 maturesAt) {
        maturesAt = maturityOf(epoch, epochSec, vestingSec);
        bytes memory id = abi.encodePacked(epoch);
        if (LedgerRecords.get(LedgerTables.MATURITIES, id).length > 0) return maturesAt;
        LedgerRecords.put(LedgerTables.MATURITIES, id, abi.encodePacked(uint64(maturesAt)));
    }

    /// @notice Takes all that the account has of the epoch's earnings. A record of nothing goes.
    function takeEarned(uint32 epoch, uint32 account) internal returns (uint256 amount) {
        bytes memory id = idOf(epoch, account);
        bytes memory record = LedgerRecords.get(LedgerTables.EARNINGS, id);
        if (record.length == 0) return 0;
        uint256 offset = placeOf(account);
        amount = record.uintOf(offset, AMOUNT_BYTES);
        if (amount == 0) return 0;
        record.set(offset, AMOUNT_BYTES, 0);
        LedgerRecords.put(LedgerTables.EARNINGS, id, isNothing(record) ? bytes("") : record);
    }

    /// @notice What the account has of the epoch's earnings.
    function earnedOf(uint32 epoch, uint32 account) internal view returns (uint256) {
        bytes memory record = LedgerRecords.get(LedgerTables.EARNINGS, idOf(epoch, account));
        return record.length == 0 ? 0 : record.uintOf(placeOf(account), AMOUNT_BYTES);
    }

    /// @notice Says what the account has of them. A record of nothing goes.
    function setEarned(uint32 epoch, uint32 account, uint256 amount) internal {
        bytes memory id = idOf(epoch, account);
        bytes memory record = LedgerRecords.get(LedgerTables.EARNINGS, id);
        if (record.length == 0) {
            record = new bytes(RECORD_BYTES);
            record.set(0, 2, EARNERS);
        }
        record.set(placeOf(account), AMOUNT_BYTES, amount);
        LedgerRecords.put(LedgerTables.EARNINGS, id, isNothing(record) ? bytes("") : record);
    }

    /// @notice Adds to what the account earned in the epoch.
    function addEarned(uint32 epoch, uint32 account, uint256 amount) internal {
        if (amount == 0) return;
        bytes memory id = idOf(epoch, account);
        bytes memory record = LedgerRecords.get(LedgerTables.EARNINGS, id);
        if (record.length == 0) {
            record = new bytes(RECORD_BYTES);
            record.set(0, 2, EARNERS);
        }
        uint256 offset = placeOf(account);
        record.set(offset, AMOUNT_BYTES, record.uintOf(offset, AMOUNT_BYTES) + amount);
        LedgerRecords.put(LedgerTables.EARNINGS, id, record);
    }

    function idOf(uint32 epoch, uint32 account) private pure returns (bytes memory) {
        return abi.encodePacked(epoch, uint32(account / EARNERS));
    }

    function placeOf(uint32 account) private pure returns (uint256) {
        return 2 + (account % EARNERS) * AMOUNT_BYTES;
    }

    function isNothing(bytes memory record) private pure returns (bool) {
        for (uint256 i = 0; i < EARNERS; ++i) if (record.uintOf(2 + i * AMOUNT_BYTES, AMOUNT_BYTES) != 0) return false;
        return true;
    }
}
