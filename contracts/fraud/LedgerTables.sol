// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerRecords} from "./LedgerRecords.sol";
import {Packed} from "./Packed.sol";
import {Failed, Step} from "./StepTypes.sol";

/// @title The ledger's tables as rules use them, and what several rules do to them. Spec: docs/spec/ledger.md#tables
/// @dev The twin of execution/ledger/tables.ts: it reads and writes the same records in the same order. Records that rules change in one or two places
/// stay in their packed form; the places of their members are with the rules.
library LedgerTables {
    using Packed for bytes;

    uint8 internal constant SYSTEM = 0x00;
    uint8 internal constant ACCOUNTS = 0x01;
    uint8 internal constant DATANETS = 0x02;
    uint8 internal constant UPLOADS = 0x03;
    uint8 internal constant REVIEWS = 0x04;
    uint8 internal constant MODELS = 0x05;
    uint8 internal constant WORKERS = 0x06;
    uint8 internal constant DRAWS = 0x07;
    uint8 internal constant CREDITS = 0x08;
    uint8 internal constant EARNINGS = 0x09;
    uint8 internal constant WITHDRAWALS = 0x0b;
    uint8 internal constant PARAMS = 0x0c;
    uint8 internal constant RETIRES = 0x0d;
    uint8 internal constant MATURITIES = 0x0e;
    uint8 internal constant VALIDATORS = 0x0f;
    uint8 internal constant EPOCHS = 0x10;
    uint8 internal constant CONVICTIONS = 0x11;

    /// @notice Ledger account of the protocol. Source: genesis/params.ts
    address internal constant TREASURY = address(0x0a1e);

    /// @notice Places of the governable parameters in the params record. Spec: docs/spec/ledger.md#parameters
    uint256 internal constant L1_BASE_FEE_SCALAR = 2;
    uint256 internal constant L1_BLOB_BASE_FEE_SCALAR = 3;
    uint256 internal constant VESTING_SEC = 6;
    uint256 internal constant PREPAID_DELAY_SEC = 7;
    uint256 internal constant UNBONDING_SEC = 8;
    uint256 internal constant REVIEW_DELAY_SEC = 9;
    uint256 internal constant WORKER_STAKE_MIN_WEI = 10;
    uint256 internal constant PROTOCOL_BPS = 11;

    /// @dev Seconds in which an allowance that was used up is whole again. Source: execution/ledger/evmExits.ts
    uint256 private constant EVM_EXIT_PERIOD_SEC = 3_600;

    /// @dev Where the l1 record says the time of its L1 block.
    uint256 private constant L1_TIMESTAMP_AT = 40;

    /// @dev The params record: changedAtBlock u64, then two lists of u128.
    uint256 private constant PARAM_LISTS_AT = 8;
    uint256 private constant PARAM_BYTES = 16;

    struct Account {
        uint32 index;
        uint96 balance;
        uint96 prepaid;
        uint64 unlockAt;
        uint64 nonce;
    }

    struct Supply {
        uint128 deposited;
        uint128 withdrawn;
        uint128 evmSupply;
    }

    struct Counters {
        uint32 accounts;
        uint32 datanets;
        uint32 models;
        uint32 workers;
        uint64 withdrawals;
        uint64 credits;
    }

    struct EvmExits {
        uint128 perHourWei;
        uint128 usedWei;
        uint64 atSec;
    }

    /// @notice A governable parameter as it rules a block of this number.
    function paramOf(uint256 place, uint64 blockNumber) internal view returns (uint256) {
        return paramIn(paramsRecord(), place, blockNumber);
    }

    /// @notice The record of the parameters; genesis writes it.
    function paramsRecord() internal view returns (bytes memory) {
        return LedgerRecords.get(PARAMS, hex"01");
    }

    /// @notice The parameter that a block of this number has by this record.
    function paramIn(bytes memory record, uint256 place, uint64 blockNumber) internal pure returns (uint256) {
        bool isCurrent = blockNumber > record.uintOf(0, 8);
        return record.uintOf(paramsAt(record, isCurrent) + place * PARAM_BYTES, PARAM_BYTES);
    }

    /// @notice Where the list of current, or of previous, values starts in the record of the parameters.
    function paramsAt(bytes memory record, bool isCurrent) internal pure returns (uint256) {
        uint256 first = PARAM_LISTS_AT + 2;
        return isCurrent ? first : first + record.uintOf(PARAM_LISTS_AT, 2) * PARAM_BYTES + 2;
    }

    /// @notice What the ledger last heard of L1; genesis writes the first.
    function l1Record() internal view returns (bytes memory) {
        return LedgerRecords.get(SYSTEM, hex"03");
    }

    function putL1Record(bytes memory record) internal {
        LedgerRecords.put(SYSTEM, hex"03", record);
    }

    function getAccount(address who) internal view returns (Account memory account) {
        bytes memory record = LedgerRecords.get(ACCOUNTS, abi.encodePacked(who));
        if (record.length == 0) return account;
        account.index = uint32(record.uintOf(0, 4));
        account.balance = uint96(record.uintOf(4, 12));
        account.prepaid = uint96(record.uintOf(16, 12));
        account.unlockAt = uint64(record.uintOf(28, 8));
        account.nonce = uint64(record.uintOf(36, 8));
    }

    /// @notice Writes an account, giving it its index at first use.
    function putAccount(address who, Account memory account) internal {
        if (account.index == 0) {
            Counters memory counters = getCounters();
            account.index = ++counters.accounts;
            putCounters(counters);
        }
        bytes memory record = abi.encodePacked(account.index, account.balance, account.prepaid, account.unlockAt, account.nonce);
        LedgerRecords.put(ACCOUNTS, abi.encodePacked(who), record);
    }

    /// @notice The account's index, given out now if it had none.
    function indexOf(address who) internal returns (uint32) {
        Account memory account = getAccount(who);
        if (account.index == 0) putAccount(who, account);
        return account.index;
    }

    function addBalance(address who, uint256 amount) internal {
        if (amount == 0) return;
        Account memory account = getAccount(who);
        account.balance += narrow96(amount);
        putAccount(who, account);
    }

    function addPrepaid(address who, uint256 amount) internal {
        Account memory account = getAccount(who);
        account.prepaid += narrow96(amount);
        putAccount(who, account);
    }

    function getSupply() internal view returns (Supply memory supply) {
        bytes memory record = LedgerRecords.get(SYSTEM, hex"01");
        if (record.length == 0) return supply;
        supply.deposited = uint128(record.uintOf(0, 16));
        supply.withdrawn = uint128(record.uintOf(16, 16));
        supply.evmSupply = uint128(record.uintOf(32, 16));
    }

    function putSupply(Supply memory supply) internal {
        LedgerRecords.put(SYSTEM, hex"01", abi.encodePacked(supply.deposited, supply.withdrawn, supply.evmSupply));
    }

    function getCounters() internal view returns (Counters memory counters) {
        bytes memory record = LedgerRecords.get(SYSTEM, hex"02");
        if (record.length == 0) return counters;
        counters.accounts = uint32(record.uintOf(0, 4));
        counters.datanets = uint32(record.uintOf(4, 4));
        counters.models = uint32(record.uintOf(8, 4));
        counters.workers = uint32(record.uintOf(12, 4));
        counters.withdrawals = uint64(record.uintOf(16, 8));
        counters.credits = uint64(record.uintOf(24, 8));
    }

    function putCounters(Counters memory counters) internal {
        bytes memory record = abi.encodePacked(
            counters.accounts, counters.datanets, counters.models, counters.workers, counters.withdrawals, counters.credits
        );
        LedgerRecords.put(SYSTEM, hex"02", record);
    }

    /// @notice The allowance for value that leaves the EVM; genesis writes the first record.
    function getEvmExits() internal view returns (EvmExits memory exits) {
        bytes memory record = LedgerRecords.get(SYSTEM, hex"04");
        exits.perHourWei = uint128(record.uintOf(0, 16));
        exits.usedWei = uint128(record.uintOf(16, 16));
        exits.atSec = uint64(record.uintOf(32, 8));
    }

    function putEvmExits(EvmExits memory exits) internal {
        LedgerRecords.put(SYSTEM, hex"04", abi.encodePacked(exits.perHourWei, exits.usedWei, exits.atSec));
    }

    /// @notice Takes an amount that leaves the EVM out of the allowance.
    function takeEvmExit(uint256 amount) internal {
        if (amount == 0) return;
        EvmExits memory exits = getEvmExits();
        refill(exits);
        if (exits.usedWei + amount > exits.perHourWei) revert Failed("evmExitLimit");
        exits.usedWei += uint128(amount);
        putEvmExits(exits);
    }

    /// @notice What goes to the EVM: it counts there, and gives back of the allowance for the way out.
    function enterEvm(uint256 amount) internal {
        Supply memory supply = getSupply();
        supply.evmSupply += narrow96(amount);
        putSupply(supply);
        EvmExits memory exits = getEvmExits();
        if (exits.usedWei == 0 || amount == 0) return;
        refill(exits);
        exits.usedWei = exits.usedWei > amount ? exits.usedWei - uint128(amount) : 0;
        putEvmExits(exits);
    }

    /// @dev What of the allowance is used by now, and when that is: by the clock of L1, as the ledger last heard of it.
    function refill(EvmExits memory exits) private view {
        uint64 nowSec = uint64(l1Record().uintOf(L1_TIMESTAMP_AT, 8));
        uint256 elapsedSec = nowSec > exits.atSec ? nowSec - exits.atSec : 0;
        uint256 refilled = exits.perHourWei * elapsedSec / EVM_EXIT_PERIOD_SEC;
        exits.usedWei = exits.usedWei > refilled ? exits.usedWei - uint128(refilled) : 0;
        exits.atSec = nowSec;
    }

    /// @notice Takes value from whoever asks: the sender's balance, or for an operation out of `evmSupply`, to which the call brought it, and out of the
    /// allowance of what may leave the EVM.
    function takeValue(Step calldata step, uint256 amount) internal {
        takeValue(step, amount, false);
    }

    /// @notice The same, by the bridge's allowance instead where it goes to L1.
    function takeValue(Step calldata step, uint256 amount, bool isToL1) internal {
        if (!step.isOperation) {
            Account memory account = getAccount(step.sender);
            if (account.balance < amount) revert Failed("insufficientBalance");
            if (amount == 0) return;
            account.balance -= narrow96(amount);
            putAccount(step.sender, account);
            return;
        }
        Supply memory supply = getSupply();
        if (supply.evmSupply < amount) revert Failed("evmSupplyExceeded");
        if (amount == 0) return;
        if (!isToL1) takeEvmExit(amount);
        supply.evmSupply -= uint128(amount);
        putSupply(supply);
    }

    /// @notice An amount of wei, all of which are below 2^96.
    function narrow96(uint256 amount) internal pure returns (uint96) {
        if (amount > type(uint96).max) revert Packed.Unreadable();
        return uint96(amount);
    }
}
