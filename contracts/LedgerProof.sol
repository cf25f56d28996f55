// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Proofs of records of the rollup's ledger, and of their absence, against a ledger root.
/// @notice The ledger is a binary sparse Merkle tree of SHA-256 in which a leaf sits at its shortest unique prefix; the first bit of a node says
/// whether it is a leaf (1) or an inner node (0), and an empty place is zero. Spec: docs/spec/ledger.md#tree, docs/spec/ledger.md#proof
/// @dev Answers are true or false: nothing that a proof says makes these functions revert. About 500 gas a sibling.
library LedgerProof {
    /// @notice Siblings of a proof at most.
    uint256 internal constant SIBLINGS_MAX = 255;

    uint256 private constant FIRST_BIT = 1 << 255;

    /// @notice The leaf that stands where another key's would: its key, and sha256 of its record. Both zero: nothing stands there.
    struct Other {
        bytes32 key;
        bytes32 valueHash;
    }

    /// @notice The key of a record: sha256(table ‖ id).
    function keyOf(uint8 table, bytes memory id) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(table, id));
    }

    /// @notice Whether the ledger with this root has this record (in its packed form) under this key.
    /// @param siblings from the leaf's level up to the root
    function isPresent(bytes32 root, bytes32 key, bytes memory record, bytes32[] calldata siblings) internal view returns (bool) {
        if (siblings.length > SIBLINGS_MAX) return false;
        return climb(leafHash(key, sha256(record)), key, siblings) == root;
    }

    /// @notice Whether the ledger with this root has no record under this key: its place is empty, or another leaf's.
    function isAbsent(bytes32 root, bytes32 key, Other memory other, bytes32[] calldata siblings) internal view returns (bool) {
        uint256 depth = siblings.length;
        if (depth > SIBLINGS_MAX) return false;
        if (other.key == 0 && other.valueHash == 0) return climb(0, key, siblings) == root;
        // The other leaf's way from the root down to here has to be the key's own: their first `depth` bits are equal.
        if (other.key == key || uint256(other.key ^ key) >> (256 - depth) != 0) return false;
        return climb(leafHash(other.key, other.valueHash), key, siblings) == root;
    }

    /// @notice The node of a leaf.
    function leafHash(bytes32 key, bytes32 valueHash) internal view returns (bytes32) {
        return bytes32(uint256(hashPair(key, valueHash)) | FIRST_BIT);
    }

    /// @notice The inner node over two nodes.
    function innerHash(bytes32 left, bytes32 right) internal view returns (bytes32) {
        return bytes32(uint256(hashPair(left, right)) & ~FIRST_BIT);
    }

    /// @dev The node at the top of the key's way, from the node at its bottom. Bit 0 of a key is the highest of its first byte.
    function climb(bytes32 node, bytes32 key, bytes32[] calldata siblings) private view returns (bytes32) {
        uint256 depth = siblings.length;
        for (uint256 i = 0; i < depth; ++i) {
            bool isRight = (uint256(key) >> (256 - depth + i)) & 1 == 1;
            node = isRight ? innerHash(siblings[i], node) : innerHash(node, siblings[i]);
        }
        return node;
    }

    /// @dev sha256(a ‖ b) in scratch space, by the precompile 0x02, which cannot fail but for want of gas.
    function hashPair(bytes32 a, bytes32 b) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0x00, a)
            mstore(0x20, b)
            if iszero(staticcall(gas(), 0x02, 0x00, 0x40, 0x00, 0x20)) { revert(0x00, 0x00) }
            hash := mload(0x00)
        }
    }
}
