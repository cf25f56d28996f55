// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerRecords} from "../LedgerRecords.sol";
import {LedgerTables} from "../LedgerTables.sol";
import {Packed} from "../Packed.sol";
import {Failed, IStepVerifier, Refused, Step} from "../StepTypes.sol";

/// @title 0x55 WorkerRegister. Spec: docs/spec/transactions.md#0x55-workerregister
contract WorkerStep is IStepVerifier {
    using Packed for bytes;

    bytes32 private constant TYPE_HASH = keccak256(
        "WorkerRegister(uint64 nonce,uint96 maxFee,uint8 action,address hotKey,bytes32 runtimeProfileHash,uint96 stake,string endpoint)"
    );

    uint256 private constant REGISTER = 0;
    uint256 private constant UNBOND = 1;
    uint256 private constant WITHDRAW = 2;
    uint256 private constant ENDPOINT_BYTES_MAX = 128;
    /// @dev action u8 · hotKey 20 · runtimeProfileHash 32 · stake u96, before the endpoint.
    uint256 private constant ENDPOINT_AT = 65;

    /// @dev Places in the record: index u32 · hotKey 20 · stake u96 · unbonding u96 · unlockAt u64 · lastSeq u64 · credits u32 · liableUntil u64 ·
    /// runtimeProfileHash 32 · endpoint.
    uint256 private constant STAKE_AT = 24;
    uint256 private constant UNBONDING_AT = 36;
    uint256 private constant UNLOCK_AT = 48;
    uint256 private constant LIABLE_AT = 68;

    struct Fields {
        uint256 action;
        address hotKey;
        bytes32 runtimeProfileHash;
        uint96 stake;
    }

    /// @inheritdoc IStepVerifier
    function inspect(uint8, bytes calldata body, uint64 nonce, uint96 maxFee)
        external
        pure
        returns (uint256 length, uint256 itemGas, bytes32 structHash)
    {
        (Fields memory fields, bytes calldata endpoint, uint256 next) = fieldsOf(body);
        if (endpoint.length <= ENDPOINT_BYTES_MAX && !Packed.isUtf8(endpoint)) revert Refused("malformed");
        check(fields, endpoint.length);
        structHash = keccak256(
            abi.encode(
                TYPE_HASH, nonce, maxFee, fields.action, fields.hotKey, fields.runtimeProfileHash, fields.stake, keccak256(endpoint)
            )
        );
        return (next, 0, structHash);
    }

    /// @inheritdoc IStepVerifier
    function execute(uint8, bytes calldata body, Step calldata step) external {
        (Fields memory fields, bytes calldata endpoint,) = fieldsOf(body);
        LedgerTables.takeValue(step, fields.action == REGISTER ? fields.stake : 0);
        if (fields.action == REGISTER) register(step, fields, endpoint);
        else if (fields.action == UNBOND) unbond(step, fields.stake);
        else withdraw(step);
    }

    function fieldsOf(bytes calldata body) private pure returns (Fields memory fields, bytes calldata endpoint, uint256 next) {
        fields = Fields({
            action: body.uintAt(0, 1),
            hotKey: address(uint160(body.uintAt(1, 20))),
            runtimeProfileHash: bytes32(body.uintAt(21, 32)),
            stake: uint96(body.uintAt(53, 12))
        });
        (endpoint, next) = body.bytesAt(ENDPOINT_AT);
    }

    function check(Fields memory fields, uint256 endpointBytes) private pure {
        if (fields.action > WITHDRAW) revert Refused("unknownAction");
        if (fields.action == REGISTER) {
            if (fields.hotKey == address(0)) revert Refused("badHotKey");
            if (endpointBytes == 0 || endpointBytes > ENDPOINT_BYTES_MAX) revert Refused("badEndpoint");
            return;
        }
        if (fields.action == UNBOND && fields.stake == 0) revert Refused("badAmount");
        bool hasUnused = fields.hotKey != address(0) || fields.runtimeProfileHash != 0 || endpointBytes != 0;
        if (hasUnused || (fields.action == WITHDRAW && fields.stake != 0)) revert Refused("unusedField");
    }

    function register(Step calldata step, Fields memory fields, bytes calldata endpoint) private {
        bytes memory known = recordOf(step.sender);
        bool isKnown = known.length != 0;
        uint256 stake = (isKnown ? known.uintOf(STAKE_AT, 12) : 0) + fields.stake;
        if (stake < LedgerTables.paramOf(LedgerTables.WORKER_STAKE_MIN_WEI, step.blockNumber)) revert Failed("stakeTooLow");
        LedgerTables.indexOf(step.sender);
        uint32 index;
        bytes memory kept = new bytes(LIABLE_AT + 8 - UNBONDING_AT);
        if (isKnown) {
            index = uint32(known.uintOf(0, 4));
            for (uint256 i = 0; i < kept.length; ++i) kept[i] = known[UNBONDING_AT + i];
        } else {
            LedgerTables.Counters memory counters = LedgerTables.getCounters();
            index = ++counters.workers;
            LedgerTables.putCounters(counters);
        }
        bytes memory record = abi.encodePacked(
            index,
            fields.hotKey,
            LedgerTables.narrow96(stake),
            kept,
            fields.runtimeProfileHash,
            uint16(endpoint.length),
            endpoint
        );
        putRecord(step.sender, record);
    }

    function unbond(Step calldata step, uint256 amount) private {
        bytes memory known = knownOf(step.sender);
        uint256 stake = known.uintOf(STAKE_AT, 12);
        if (stake < amount) revert Failed("insufficientStake");
        stake -= amount;
        bytes memory params = LedgerTables.paramsRecord();
        uint256 least = LedgerTables.paramIn(params, LedgerTables.WORKER_STAKE_MIN_WEI, step.blockNumber);
        if (stake != 0 && stake < least) revert Failed("stakeTooLow");
        uint256 unlockAt = step.timeSec + LedgerTables.paramIn(params, LedgerTables.UNBONDING_SEC, step.blockNumber);
        uint256 liableUntil = known.uintOf(LIABLE_AT, 8);
        known.set(STAKE_AT, 12, stake);
        known.set(UNBONDING_AT, 12, known.uintOf(UNBONDING_AT, 12) + amount);
        known.set(UNLOCK_AT, 8, unlockAt > liableUntil ? unlockAt : liableUntil);
        putRecord(step.sender, known);
    }

    function withdraw(Step calldata step) private {
        bytes memory known = knownOf(step.sender);
        uint256 amount = known.uintOf(UNBONDING_AT, 12);
        if (amount == 0) revert Failed("nothingUnbonding");
        if (step.timeSec < known.uintOf(UNLOCK_AT, 8)) revert Failed("stillLocked");
        known.set(UNBONDING_AT, 12, 0);
        known.set(UNLOCK_AT, 8, 0);
        putRecord(step.sender, known);
        LedgerTables.addBalance(step.sender, amount);
    }

    function knownOf(address worker) private view returns (bytes memory record) {
        record = recordOf(worker);
        if (record.length == 0) revert Failed("unknownWorker");
    }

    function recordOf(address worker) private view returns (bytes memory) {
        return LedgerRecords.get(LedgerTables.WORKERS, abi.encodePacked(worker));
    }

    function putRecord(address worker, bytes memory record) private {
        LedgerRecords.put(LedgerTables.WORKERS, abi.encodePacked(worker), record);
    }
}
