// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerRecords} from "../LedgerRecords.sol";
import {LedgerTables} from "../LedgerTables.sol";
import {Packed} from "../Packed.sol";
import {Failed, IStepVerifier, Refused, Step} from "../StepTypes.sol";

/// @title 0x50 Transfer. Spec: docs/spec/transactions.md#0x50-transfer
contract TransferStep is IStepVerifier {
    using Packed for bytes;

    bytes32 private constant TYPE_HASH = keccak256("Transfer(uint64 nonce,uint96 maxFee,uint8 kind,address to,uint96 amount)");

    uint256 private constant TO_LEDGER = 0;
    uint256 private constant TO_EVM = 1;
    uint256 private constant TO_PREPAID = 2;
    uint256 private constant TO_L1 = 3;
    uint256 private constant UNLOCK_PREPAID = 4;
    uint256 private constant FROM_PREPAID = 5;

    /// @inheritdoc IStepVerifier
    function inspect(uint8, bytes calldata body, uint64 nonce, uint96 maxFee)
        external
        pure
        returns (uint256 length, uint256 itemGas, bytes32 structHash)
    {
        (uint256 kind, address to, uint96 amount) = fieldsOf(body);
        if (kind > FROM_PREPAID) revert Refused("unknownKind");
        if ((amount == 0) != (kind == UNLOCK_PREPAID)) revert Refused("badAmount");
        if ((to == address(0)) != (kind >= UNLOCK_PREPAID)) revert Refused("badRecipient");
        return (33, 0, keccak256(abi.encode(TYPE_HASH, nonce, maxFee, kind, to, amount)));
    }

    /// @inheritdoc IStepVerifier
    function execute(uint8, bytes calldata body, Step calldata step) external {
        (uint256 kind, address to, uint96 amount) = fieldsOf(body);
        if (step.isOperation && kind != TO_LEDGER && kind != TO_PREPAID && kind != TO_L1) revert Failed("nativeOnly");
        if (kind == UNLOCK_PREPAID) return unlockPrepaid(step);
        if (kind == FROM_PREPAID) return takePrepaid(step, amount);
        LedgerTables.takeValue(step, amount, kind == TO_L1);
        if (kind == TO_LEDGER) LedgerTables.addBalance(to, amount);
        if (kind == TO_PREPAID) LedgerTables.addPrepaid(to, amount);
        if (kind == TO_L1) withdraw(step, to, amount);
        if (kind == TO_EVM) LedgerTables.enterEvm(amount);
    }

    function fieldsOf(bytes calldata body) private pure returns (uint256 kind, address to, uint96 amount) {
        return (body.uintAt(0, 1), address(uint160(body.uintAt(1, 20))), uint96(body.uintAt(21, 12)));
    }

    function unlockPrepaid(Step calldata step) private {
        LedgerTables.Account memory account = LedgerTables.getAccount(step.sender);
        uint256 delaySec = LedgerTables.paramOf(LedgerTables.PREPAID_DELAY_SEC, step.blockNumber);
        account.unlockAt = step.timeSec + uint64(delaySec);
        LedgerTables.putAccount(step.sender, account);
    }

    function takePrepaid(Step calldata step, uint96 amount) private {
        LedgerTables.Account memory account = LedgerTables.getAccount(step.sender);
        if (account.unlockAt == 0) revert Failed("notUnlocking");
        if (step.timeSec < account.unlockAt) revert Failed("stillLocked");
        if (account.prepaid < amount) revert Failed("insufficientPrepaid");
        account.prepaid -= amount;
        account.balance += amount;
        if (account.prepaid == 0) account.unlockAt = 0;
        LedgerTables.putAccount(step.sender, account);
    }

    function withdraw(Step calldata step, address to, uint96 amount) private {
        LedgerTables.Counters memory counters = LedgerTables.getCounters();
        uint64 index = ++counters.withdrawals;
        LedgerTables.putCounters(counters);
        bytes memory record = abi.encodePacked(step.sender, to, amount, step.blockNumber, step.isOperation);
        LedgerRecords.put(LedgerTables.WITHDRAWALS, abi.encodePacked(index), record);
        LedgerTables.Supply memory supply = LedgerTables.getSupply();
        supply.withdrawn += amount;
        LedgerTables.putSupply(supply);
    }
}
