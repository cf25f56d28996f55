// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerProof} from "../LedgerProof.sol";
import {LedgerUpdate} from "./LedgerUpdate.sol";

/// @title The records of a partial ledger while rows are executed on it.
/// @notice They are in transient storage (EIP-1153), by their keys: whoever is reached by DELEGATECALL sees the same ones, and what a call wrote is
/// undone where it reverts, as a ledger's checkpoint is.
/// A record that the witness does not have can be neither read nor written: it is not taken for an absent one.
/// @dev Each run has slots of its own, so that nothing is left of one run for the next in the same transaction. A record's first slot holds
/// length << 8 | WRITTEN | KNOWN, those behind it its bytes. The slots are keccak256 of run and key: they do not meet.
library LedgerRecords {
    /// @notice The witness has no record and no absence under this key.
    error RecordMissing(bytes32 key);
    /// @notice The witness is cut off, or its keys do not ascend.
    error BadWitness();

    uint256 private constant KNOWN = 1;
    uint256 private constant WRITTEN = 2;

    /// @dev keccak256("tributary.fraud.records.run"): counts the runs of a transaction.
    bytes32 private constant RUN = 0xd1680a385b97bd761eaa665a43ea1bfc89b08e99fbfc9254368c846ebd31c818;

    /// @notice Takes the touched records of a witness: count u16 ‖ (key 32 ‖ length u16 ‖ record)…, keys ascending, length 0 for none. The tree's
    /// stream follows.
    /// @return keys theirs
    /// @return leaves of those that there are
    /// @return offset where the stream starts
    function load(bytes calldata witness) internal returns (bytes32[] memory keys, bytes32[] memory leaves, uint256 offset) {
        bytes32 run = RUN;
        assembly ("memory-safe") {
            tstore(run, add(tload(run), 1))
        }
        if (witness.length < 2) revert BadWitness();
        uint256 count = uint16(bytes2(witness[0:2]));
        keys = new bytes32[](count);
        leaves = new bytes32[](count);
        offset = 2;
        bytes32 before = 0;
        for (uint256 i = 0; i < count; ++i) {
            if (offset + 34 > witness.length) revert BadWitness();
            bytes32 key = bytes32(witness[offset:offset + 32]);
            uint256 length = uint16(bytes2(witness[offset + 32:offset + 34]));
            offset += 34;
            if (offset + length > witness.length || (i > 0 && key <= before)) revert BadWitness();
            bytes memory record = witness[offset:offset + length];
            offset += length;
            (keys[i], before) = (key, key);
            store(slotOf(key), record, KNOWN);
            if (length > 0) leaves[i] = LedgerProof.leafHash(key, sha256(record));
        }
    }

    /// @notice The roots of the ledger before anything was written and as it is now, by the stream of the witness.
    function roots(bytes32[] memory keys, bytes32[] memory olds, bytes calldata stream) internal view returns (bytes32, bytes32) {
        bytes32[] memory news = new bytes32[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            bytes32 slot = slotOf(keys[i]);
            uint256 head = word(slot);
            if (head & WRITTEN == 0) {
                news[i] = olds[i];
            } else {
                bytes memory record = fetch(slot, head >> 8);
                if (record.length > 0) news[i] = LedgerProof.leafHash(keys[i], sha256(record));
            }
        }
        return LedgerUpdate.roots(LedgerUpdate.Touched(keys, olds, news), stream);
    }

    /// @notice The record; empty where there is none.
    function get(uint8 table, bytes memory id) internal view returns (bytes memory) {
        bytes32 slot = knownSlot(table, id);
        return fetch(slot, word(slot) >> 8);
    }

    /// @notice Writes the record, or deletes it (empty).
    function put(uint8 table, bytes memory id, bytes memory record) internal {
        store(knownSlot(table, id), record, KNOWN | WRITTEN);
    }

    function knownSlot(uint8 table, bytes memory id) private view returns (bytes32 slot) {
        bytes32 key = LedgerProof.keyOf(table, id);
        slot = slotOf(key);
        if (word(slot) & KNOWN == 0) revert RecordMissing(key);
    }

    function slotOf(bytes32 key) private view returns (bytes32 slot) {
        bytes32 run = RUN;
        assembly ("memory-safe") {
            mstore(0x00, tload(run))
            mstore(0x20, key)
            slot := keccak256(0x00, 0x40)
        }
    }

    function word(bytes32 slot) private view returns (uint256 value) {
        assembly ("memory-safe") {
            value := tload(slot)
        }
    }

    function fetch(bytes32 slot, uint256 length) private view returns (bytes memory record) {
        record = new bytes(length);
        assembly ("memory-safe") {
            for { let i := 0 } lt(i, length) { i := add(i, 32) } {
                slot := add(slot, 1)
                mstore(add(add(record, 32), i), tload(slot))
            }
        }
    }

    /// @dev The last word's bytes behind the record are whatever memory has there: nobody reads them.
    function store(bytes32 slot, bytes memory record, uint256 flags) private {
        assembly ("memory-safe") {
            let length := mload(record)
            tstore(slot, or(shl(8, length), flags))
            for { let i := 0 } lt(i, length) { i := add(i, 32) } {
                slot := add(slot, 1)
                tstore(slot, mload(add(add(record, 32), i)))
            }
        }
    }
}
