// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerRecords} from "../LedgerRecords.sol";
import {LedgerTables} from "../LedgerTables.sol";
import {Packed} from "../Packed.sol";
import {Failed, IStepVerifier, Refused, Step} from "../StepTypes.sol";

/// @title 0x54 ModelRegister. Spec: docs/spec/transactions.md#0x54-modelregister
contract ModelStep is IStepVerifier {
    using Packed for bytes;

    bytes32 private constant TYPE_HASH = keccak256(
        "ModelRegister(uint64 nonce,uint96 maxFee,string name,bytes32 baseHash,bytes32 adapterHash,bytes32 tokenizerHash,bytes32 trainingConfigHash,bytes32 runtimeProfileHash,uint32 useFlags,DatanetSnapshot[] datanets,uint96 priceBase,uint96 pricePrompt,uint96 priceOutput,uint16 ownerBps,uint16 workerBps,uint16 contributorBps,uint96 minStake,uint8 maxTier)DatanetSnapshot(uint32 datanetId,bytes32 snapshotRoot,uint32 uploadCount,uint32 recordCount,uint16 weightBps)"
    );
    bytes32 private constant SNAPSHOT_TYPE_HASH =
        keccak256("DatanetSnapshot(uint32 datanetId,bytes32 snapshotRoot,uint32 uploadCount,uint32 recordCount,uint16 weightBps)");

    uint256 private constant NAME_BYTES_MAX = 64;
    uint256 private constant DATANETS_MAX = 16;
    uint256 private constant GAS_PER_DATANET = 1_500;
    uint256 private constant BPS = 10_000;
    uint256 private constant TIER_MAX = 3;

    /// @dev The five hashes behind the name.
    uint256 private constant HASHES_BYTES = 160;
    /// @dev datanetId u32 · snapshotRoot 32 · uploadCount u32 · recordCount u32 · weightBps u16
    uint256 private constant SNAPSHOT_BYTES = 46;
    /// @dev priceBase u96 · pricePrompt u96 · priceOutput u96 · ownerBps u16 · workerBps u16 · contributorBps u16 · minStake u96 · maxTier u8: the last
    /// of the row's fields stand in the record as they are.
    uint256 private constant TERMS_BYTES = 55;

    uint256 private constant LICENCE_KNOWN = 0x3000f;
    uint256 private constant LICENCE_TRAIN = 1;
    uint256 private constant LICENCE_GRANTS = 0xffff;

    /// @dev Places in a datanet's record.
    uint256 private constant LICENCE_AT = 40;
    uint256 private constant STATUS_AT = 45;
    uint256 private constant UPLOADS_AT = 58;
    uint256 private constant RECORDS_AT = 66;
    uint256 private constant RETIRES_AT = 74;
    uint256 private constant RETIRED = 2;

    /// @dev The row's fields by their places.
    struct Fields {
        uint256 nameBytes;
        uint256 hashesAt;
        uint32 useFlags;
        uint256 count;
        uint256 snapshotsAt;
        uint256 termsAt;
    }

    struct Snapshot {
        uint32 datanetId;
        bytes32 snapshotRoot;
        uint32 uploadCount;
        uint32 recordCount;
        uint16 weightBps;
    }

    /// @inheritdoc IStepVerifier
    function inspect(uint8, bytes calldata body, uint64 nonce, uint96 maxFee)
        external
        pure
        returns (uint256 length, uint256 itemGas, bytes32 structHash)
    {
        Fields memory fields = fieldsOf(body);
        check(body, fields);
        bytes memory words = abi.encode(TYPE_HASH, nonce, maxFee, keccak256(body[2:fields.hashesAt]));
        words = abi.encodePacked(words, body[fields.hashesAt:fields.hashesAt + HASHES_BYTES], uint256(fields.useFlags));
        words = abi.encodePacked(words, snapshotsHash(body, fields), termWords(body[fields.termsAt:]));
        return (fields.termsAt + TERMS_BYTES, GAS_PER_DATANET * fields.count, keccak256(words));
    }

    /// @inheritdoc IStepVerifier
    function execute(uint8, bytes calldata body, Step calldata step) external {
        Fields memory fields = fieldsOf(body);
        bytes memory list = lineageOf(body, fields);
        bytes memory id = abi.encodePacked(keccak256(abi.encodePacked(body[:fields.termsAt + TERMS_BYTES], step.sender)));
        if (LedgerRecords.get(LedgerTables.MODELS, id).length != 0) revert Failed("modelExists");
        LedgerTables.indexOf(step.sender);
        LedgerTables.Counters memory counters = LedgerTables.getCounters();
        uint32 index = ++counters.models;
        LedgerTables.putCounters(counters);
        bytes memory head = abi.encodePacked(index, step.sender, fields.useFlags, body[fields.hashesAt:fields.hashesAt + HASHES_BYTES]);
        bytes memory terms = body[fields.termsAt:fields.termsAt + TERMS_BYTES];
        // The name as it stands in the row, its length before it.
        LedgerRecords.put(LedgerTables.MODELS, id, abi.encodePacked(head, terms, body[:fields.hashesAt], list));
    }

    function fieldsOf(bytes calldata body) private pure returns (Fields memory fields) {
        (bytes calldata name, uint256 next) = body.bytesAt(0);
        fields.nameBytes = name.length;
        fields.hashesAt = next;
        fields.useFlags = uint32(body.uintAt(next + HASHES_BYTES, 4));
        next += HASHES_BYTES + 4;
        fields.snapshotsAt = next + 2;
        (fields.count,, fields.termsAt) = body.listAt(next, SNAPSHOT_BYTES);
        body.uintAt(fields.termsAt + TERMS_BYTES - 1, 1);
    }

    function snapshotAt(bytes calldata body, Fields memory fields, uint256 i) private pure returns (Snapshot memory) {
        uint256 offset = fields.snapshotsAt + i * SNAPSHOT_BYTES;
        return Snapshot({
            datanetId: uint32(body.uintAt(offset, 4)),
            snapshotRoot: bytes32(body.uintAt(offset + 4, 32)),
            uploadCount: uint32(body.uintAt(offset + 36, 4)),
            recordCount: uint32(body.uintAt(offset + 40, 4)),
            weightBps: uint16(body.uintAt(offset + 44, 2))
        });
    }

    function check(bytes calldata body, Fields memory fields) private pure {
        if (fields.nameBytes == 0 || fields.nameBytes > NAME_BYTES_MAX) revert Refused("badName");
        if (!Packed.isUtf8(body[2:fields.hashesAt])) revert Refused("malformed");
        if (body.uintAt(fields.hashesAt, 32) == 0) revert Refused("badBase");
        if (fields.useFlags & ~LICENCE_KNOWN != 0) revert Refused("badUseFlags");
        if (!areSnapshots(body, fields)) revert Refused("badDatanets");
        uint256 terms = fields.termsAt;
        uint256 contributorBps = body.uintAt(terms + 40, 2);
        uint256 sumBps = body.uintAt(terms + 36, 2) + body.uintAt(terms + 38, 2) + contributorBps;
        if (sumBps != BPS || (contributorBps > 0 && fields.count == 0)) revert Refused("badShares");
        if (body.uintAt(terms + 54, 1) > TIER_MAX) revert Refused("badTier");
    }

    function areSnapshots(bytes calldata body, Fields memory fields) private pure returns (bool) {
        if (fields.count == 0) return true;
        if (fields.count > DATANETS_MAX) return false;
        uint256 sumBps = 0;
        for (uint256 i = 0; i < fields.count; ++i) {
            Snapshot memory one = snapshotAt(body, fields, i);
            if (one.weightBps == 0 || one.snapshotRoot == 0 || one.uploadCount == 0 || one.recordCount == 0) return false;
            for (uint256 k = 0; k < i; ++k) if (snapshotAt(body, fields, k).datanetId == one.datanetId) return false;
            sumBps += one.weightBps;
        }
        return sumBps == BPS;
    }

    function snapshotsHash(bytes calldata body, Fields memory fields) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](fields.count);
        for (uint256 i = 0; i < fields.count; ++i) hashes[i] = keccak256(abi.encode(SNAPSHOT_TYPE_HASH, snapshotAt(body, fields, i)));
        return keccak256(abi.encodePacked(hashes));
    }

    function termWords(bytes calldata terms) private pure returns (bytes memory) {
        return abi.encode(
            terms.uintAt(0, 12),
            terms.uintAt(12, 12),
            terms.uintAt(24, 12),
            terms.uintAt(36, 2),
            terms.uintAt(38, 2),
            terms.uintAt(40, 2),
            terms.uintAt(42, 12),
            terms.uintAt(54, 1)
        );
    }

    /// @dev Each rule over all datanets before the next one.
    /// @return list the record's list: each snapshot with the datanet's retires until now
    function lineageOf(bytes calldata body, Fields memory fields) private view returns (bytes memory list) {
        bytes[] memory known = new bytes[](fields.count);
        list = abi.encodePacked(uint16(fields.count));
        for (uint256 i = 0; i < fields.count; ++i) {
            uint256 offset = fields.snapshotsAt + i * SNAPSHOT_BYTES;
            bytes memory datanet = LedgerRecords.get(LedgerTables.DATANETS, body[offset:offset + 4]);
            if (datanet.length == 0) revert Failed("unknownDatanet");
            known[i] = datanet;
            list = abi.encodePacked(list, body[offset:offset + SNAPSHOT_BYTES], uint32(datanet.uintOf(RETIRES_AT, 4)));
        }
        checkLicences(known, fields.useFlags);
        for (uint256 i = 0; i < known.length; ++i) if (known[i].uintOf(STATUS_AT, 1) == RETIRED) revert Failed("datanetRetired");
        for (uint256 i = 0; i < known.length; ++i) {
            if (snapshotAt(body, fields, i).uploadCount > known[i].uintOf(UPLOADS_AT, 4)) revert Failed("unknownUpload");
        }
        for (uint256 i = 0; i < known.length; ++i) {
            if (snapshotAt(body, fields, i).recordCount > known[i].uintOf(RECORDS_AT, 8)) revert Failed("unknownRecords");
        }
    }

    /// @dev Licences never change: a model that goes beyond one was so from the start.
    function checkLicences(bytes[] memory known, uint256 useFlags) private pure {
        for (uint256 i = 0; i < known.length; ++i) {
            uint256 licence = known[i].uintOf(LICENCE_AT, 4);
            if ((useFlags | LICENCE_TRAIN) & ~licence & LICENCE_GRANTS != 0) revert Refused("licenceExceeded");
        }
        for (uint256 i = 0; i < known.length; ++i) {
            uint256 licence = known[i].uintOf(LICENCE_AT, 4);
            if (licence & ~useFlags & ~LICENCE_GRANTS != 0) revert Refused("licenceObligation");
        }
    }
}
