// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerProof} from "../LedgerProof.sol";

/// @title The library of ledger proofs, as a contract that can be asked.
contract ProofReader {
    function keyOf(uint8 table, bytes calldata id) external pure returns (bytes32) {
        return LedgerProof.keyOf(table, id);
    }

    /// @return verdict the library's, and the gas that it took
    function isPresent(bytes32 root, bytes32 key, bytes calldata record, bytes32[] calldata siblings)
        external
        view
        returns (bool verdict, uint256 gasUsed)
    {
        gasUsed = gasleft();
        verdict = LedgerProof.isPresent(root, key, record, siblings);
        gasUsed -= gasleft();
    }

    /// @return verdict the library's, and the gas that it took
    function isAbsent(bytes32 root, bytes32 key, LedgerProof.Other calldata other, bytes32[] calldata siblings)
        external
        view
        returns (bool verdict, uint256 gasUsed)
    {
        gasUsed = gasleft();
        verdict = LedgerProof.isAbsent(root, key, other, siblings);
        gasUsed -= gasleft();
    }
}
