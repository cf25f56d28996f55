// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The row is one that no block can hold: malformed, wrongly signed, or a rule's `invalid`. The code is the rule's name in ASCII, zeros behind.
error Refused(bytes32 code);

/// @notice The rule was broken by what the ledger holds: of a transaction fee and nonce stay, and nothing else. Of an operation it is a refusal.
error Failed(bytes32 code);

/// @notice Who asks, when, and how: what a rule may know besides the ledger and its fields.
struct Step {
    address sender;
    /// Called from the EVM, which attests that it was, and with the value that the rule takes.
    bool isOperation;
    uint64 blockNumber;
    uint64 timeSec;
}

/// @notice The rules of one or several native types. Reached by DELEGATECALL alone, so that they see the records of the run (LedgerRecords).
/// @dev What neither function says with `Refused` or `Failed` decides nothing: whoever called has to revert as well.
interface IStepVerifier {
    /// @notice What can be said of the fields without the ledger; `Refused` if they are malformed or out of bounds.
    /// @param body The row from the fields on, to its end
    /// @return length bytes of the fields in it
    /// @return itemGas gas of the items in them. Spec: docs/spec/transactions.md#gas
    /// @return structHash EIP-712's of the message with this nonce and fee
    function inspect(uint8 typeByte, bytes calldata body, uint64 nonce, uint96 maxFee)
        external
        view
        returns (uint256 length, uint256 itemGas, bytes32 structHash);

    /// @notice The rule, on fields that were inspected. Reverts with `Failed` or `Refused` if it is broken.
    function execute(uint8 typeByte, bytes calldata body, Step calldata step) external;
}
