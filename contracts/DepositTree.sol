// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev Levels of the tree, of which the portal keeps the full subtrees: it holds all but one of 2^32 leaves.
uint256 constant DEPOSIT_TREE_LEVELS = 32;

/// @title The Merkle trees of the portal's deposits, whose proofs say at which place a leaf stands. Spec: docs/spec/settlement.md#deposits
/// @dev OpenZeppelin's MerkleTree stores 32 zeros beside and computes the root at each leaf, four times the gas of a deposit's part here; its MerkleProof
/// sorts pairs, and so says nothing of places.
library DepositTree {
    /// @notice The leaf of a deposit. `l1Block` is the number of the L1 block that queued it.
    function leafOf(uint64 index, uint64 l1Block, address from, address to, bytes32 dataHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(index, l1Block, from, to, dataHash));
    }

    /// @notice The root of the subtree, as high as there are siblings, that has this leaf at this place.
    /// @param siblings from the leaf's level up
    function rootOf(bytes32 leaf, uint64 index, bytes32[] calldata siblings) internal pure returns (bytes32 node) {
        node = leaf;
        for (uint256 level = 0; level < siblings.length; level++) {
            node = (index >> level) & 1 == 1 ? hashPair(siblings[level], node) : hashPair(node, siblings[level]);
        }
    }

    /// @notice keccak256(left ‖ right).
    function hashPair(bytes32 left, bytes32 right) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0x00, left)
            mstore(0x20, right)
            hash := keccak256(0x00, 0x40)
        }
    }
}
