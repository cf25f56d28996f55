// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Refused} from "./StepTypes.sol";

/// @title Packed form: members at their own widths, one behind another. Spec: docs/spec/ledger.md#tables
library Packed {
    /// @dev What the ledger holds is well formed: another length is nobody's but ours.
    error Unreadable();

    /// @notice The integer of `length` bytes (1 to 32) of a record.
    function uintOf(bytes memory record, uint256 offset, uint256 length) internal pure returns (uint256 value) {
        if (offset + length > record.length) revert Unreadable();
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, length)), mload(add(add(record, 32), offset)))
        }
    }

    /// @notice The address that stands in a record.
    function addressOf(bytes memory record, uint256 offset) internal pure returns (address) {
        return address(uint160(uintOf(record, offset, 20)));
    }

    /// @notice Writes the integer over what stands in a record, in place. A value that does not fit is refused.
    function set(bytes memory record, uint256 offset, uint256 length, uint256 value) internal pure {
        if (offset + length > record.length || (length < 32 && value >> (8 * length) != 0)) revert Unreadable();
        assembly ("memory-safe") {
            let bits := sub(256, shl(3, length))
            let place := add(add(record, 32), offset)
            let rest := shr(shl(3, length), not(0))
            if eq(length, 32) { rest := 0 }
            mstore(place, or(shl(bits, value), and(mload(place), rest)))
        }
    }

    /// @notice The integer of `length` bytes (1 to 32) of a row. A row that ends before is malformed.
    function uintAt(bytes calldata row, uint256 offset, uint256 length) internal pure returns (uint256 value) {
        if (offset + length > row.length) revert Refused("malformed");
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, length)), calldataload(add(row.offset, offset)))
        }
    }

    /// @notice The bytes at a place of a row that have their length u16 before them, and where the next member stands.
    function bytesAt(bytes calldata row, uint256 offset) internal pure returns (bytes calldata value, uint256 next) {
        uint256 length = uintAt(row, offset, 2);
        next = offset + 2 + length;
        if (next > row.length) revert Refused("malformed");
        value = row[offset + 2:next];
    }

    /// @notice The like for a list of items of `itemBytes`.
    function listAt(bytes calldata row, uint256 offset, uint256 itemBytes) internal pure returns (uint256 count, bytes calldata items, uint256 next) {
        count = uintAt(row, offset, 2);
        next = offset + 2 + count * itemBytes;
        if (next > row.length) revert Refused("malformed");
        items = row[offset + 2:next];
    }

    /// @notice EIP-712's words of members that stand one behind another: integers, addresses and bytes32 of these widths.
    function wordsOf(bytes calldata members, bytes memory widths) internal pure returns (uint256[] memory words) {
        words = new uint256[](widths.length);
        uint256 offset = 0;
        for (uint256 i = 0; i < widths.length; ++i) {
            uint256 width = uint8(widths[i]);
            words[i] = uintAt(members, offset, width);
            offset += width;
        }
    }

    /// @notice Whether the bytes are UTF-8. Source: The Unicode Standard, table 3-7.
    function isUtf8(bytes calldata text) internal pure returns (bool) {
        uint256 i = 0;
        while (i < text.length) {
            uint256 first = uint8(text[i]);
            if (first < 0x80) {
                ++i;
                continue;
            }
            if (first < 0xc2 || first > 0xf4) return false;
            uint256 more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
            if (i + more >= text.length) return false;
            uint256 second = uint8(text[i + 1]);
            // The second byte's range keeps out what a shorter form has, surrogates, and what is above U+10FFFF.
            uint256 least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
            uint256 most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
            if (second < least || second > most) return false;
            for (uint256 k = 2; k <= more; ++k) if (uint8(text[i + k]) & 0xc0 != 0x80) return false;
            i += more + 1;
        }
        return true;
    }
}
