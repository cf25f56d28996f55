// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerRecords} from "../LedgerRecords.sol";
import {LedgerTables} from "../LedgerTables.sol";
import {Packed} from "../Packed.sol";
import {Failed, IStepVerifier, Refused, Step} from "../StepTypes.sol";

/// @title 0x51 DatanetCreate, 0x52 DatanetUpload, 0x53 DatanetReview. Spec: docs/spec/transactions.md#0x51-datanetcreate and the two behind it
contract DatanetStep is IStepVerifier {
    using Packed for bytes;

    bytes32 private constant CREATE_TYPE_HASH = keccak256(
        "DatanetCreate(uint64 nonce,uint96 maxFee,string name,bytes32 schemaHash,uint32 licence,address curator,uint8 joinPolicy,uint96 uploadBond)"
    );
    bytes32 private constant UPLOAD_TYPE_HASH = keccak256(
        "DatanetUpload(uint64 nonce,uint96 maxFee,uint32 datanetId,bytes32 contentRoot,bytes contentId,uint32 recordCount,uint64 byteCount,Contributor[] contributors)Contributor(address account,uint16 shareBps,uint8 role)"
    );
    bytes32 private constant CONTRIBUTOR_TYPE_HASH = keccak256("Contributor(address account,uint16 shareBps,uint8 role)");
    bytes32 private constant REVIEW_TYPE_HASH = keccak256(
        "DatanetReview(uint64 nonce,uint96 maxFee,uint32 datanetId,uint32 uploadIndex,uint8 verdict,uint16 qualityBps,uint8 reason)"
    );

    uint8 private constant CREATE = 0x51;
    uint8 private constant UPLOAD = 0x52;

    uint256 private constant NAME_BYTES_MAX = 64;
    uint256 private constant CONTENT_ID_BYTES_MAX = 64;
    uint256 private constant CONTRIBUTORS_MAX = 4;
    uint256 private constant CONTRIBUTOR_BYTES = 23;
    uint256 private constant GAS_PER_CONTRIBUTOR = 1_500;
    uint256 private constant BPS = 10_000;
    /// @dev train, commercialUse, redistributeWeights, deriveModels; attribution, shareAlike
    uint256 private constant LICENCE_KNOWN = 0x3000f;
    uint256 private constant ROLE_LAST = 3;

    uint256 private constant ACTIVE = 1;
    uint256 private constant RETIRED = 2;

    uint256 private constant PENDING = 1;
    uint256 private constant ACCEPTED = 2;
    uint256 private constant REJECTED = 3;
    uint256 private constant TAKEN_BACK = 4;
    uint256 private constant WITHDRAWN = 5;

    uint256 private constant ACCEPT = 1;
    uint256 private constant REJECT = 2;
    uint256 private constant RETIRE = 3;
    uint256 private constant WITHDRAW = 4;
    uint32 private constant WHOLE_DATANET = 0xffffffff;
    uint256 private constant REVIEW_BYTES = 12;

    /// @dev Places in a datanet's record: owner 20 · curator 20 · licence u32 · joinPolicy u8 · status u8 · uploadBond u96 · uploads u32 ·
    /// accepted u32 · records u64 · retires u32 · schemaHash 32 · name.
    uint256 private constant OWNER_AT = 0;
    uint256 private constant CURATOR_AT = 20;
    uint256 private constant JOIN_POLICY_AT = 44;
    uint256 private constant STATUS_AT = 45;
    uint256 private constant UPLOAD_BOND_AT = 46;
    uint256 private constant UPLOADS_AT = 58;
    uint256 private constant ACCEPTED_AT = 62;
    uint256 private constant RECORDS_AT = 66;
    uint256 private constant RETIRES_AT = 74;

    /// @dev Places in an upload's record: uploader 20 · contentRoot 32 · recordCount u32 · byteCount u64 · bond u96 · status u8 · qualityBps u16 ·
    /// atSec u64 · contentId · contributors.
    uint256 private constant UPLOADER_AT = 0;
    uint256 private constant RECORD_COUNT_AT = 52;
    uint256 private constant BOND_AT = 64;
    uint256 private constant UPLOAD_STATUS_AT = 76;
    uint256 private constant QUALITY_AT = 77;
    uint256 private constant UPLOADED_AT_SEC_AT = 79;

    struct Create {
        bytes32 schemaHash;
        uint32 licence;
        address curator;
        uint8 joinPolicy;
        uint96 uploadBond;
    }

    struct Upload {
        uint32 datanetId;
        bytes32 contentRoot;
        uint32 recordCount;
        uint64 byteCount;
    }

    struct Contributor {
        address account;
        uint16 shareBps;
        uint8 role;
    }

    struct Review {
        uint32 datanetId;
        uint32 uploadIndex;
        uint8 verdict;
        uint16 qualityBps;
        uint8 reason;
    }

    /// @inheritdoc IStepVerifier
    function inspect(uint8 typeByte, bytes calldata body, uint64 nonce, uint96 maxFee)
        external
        pure
        returns (uint256 length, uint256 itemGas, bytes32 structHash)
    {
        if (typeByte == CREATE) return inspectCreate(body, nonce, maxFee);
        if (typeByte == UPLOAD) return inspectUpload(body, nonce, maxFee);
        return inspectReview(body, nonce, maxFee);
    }

    /// @inheritdoc IStepVerifier
    function execute(uint8 typeByte, bytes calldata body, Step calldata step) external {
        if (typeByte == CREATE) create(body, step);
        else if (typeByte == UPLOAD) upload(body, step);
        else review(body, step);
    }

    // ---- 0x51 ----------------------------------------------------------------------------------------------------------------------------

    function createOf(bytes calldata body) private pure returns (Create memory fields, bytes calldata name, uint256 next) {
        (name, next) = body.bytesAt(0);
        fields = Create({
            schemaHash: bytes32(body.uintAt(next, 32)),
            licence: uint32(body.uintAt(next + 32, 4)),
            curator: address(uint160(body.uintAt(next + 36, 20))),
            joinPolicy: uint8(body.uintAt(next + 56, 1)),
            uploadBond: uint96(body.uintAt(next + 57, 12))
        });
        next += 69;
    }

    function inspectCreate(bytes calldata body, uint64 nonce, uint96 maxFee) private pure returns (uint256, uint256, bytes32) {
        (Create memory fields, bytes calldata name, uint256 next) = createOf(body);
        if (name.length == 0 || name.length > NAME_BYTES_MAX) revert Refused("badName");
        if (!Packed.isUtf8(name)) revert Refused("malformed");
        if (fields.licence & ~LICENCE_KNOWN != 0) revert Refused("badLicence");
        if (fields.curator == address(0)) revert Refused("badCurator");
        if (fields.joinPolicy > 1) revert Refused("badJoinPolicy");
        return (next, 0, keccak256(abi.encode(CREATE_TYPE_HASH, nonce, maxFee, keccak256(name), fields)));
    }

    function create(bytes calldata body, Step calldata step) private {
        (Create memory fields, bytes calldata name,) = createOf(body);
        LedgerTables.indexOf(step.sender);
        LedgerTables.Counters memory counters = LedgerTables.getCounters();
        uint32 datanetId = ++counters.datanets;
        LedgerTables.putCounters(counters);
        bytes memory head = abi.encodePacked(
            step.sender, fields.curator, fields.licence, fields.joinPolicy, uint8(ACTIVE), fields.uploadBond, uint32(0), uint32(0)
        );
        putDatanet(datanetId, abi.encodePacked(head, uint64(0), uint32(0), fields.schemaHash, uint16(name.length), name));
    }

    // ---- 0x52 ----------------------------------------------------------------------------------------------------------------------------

    function uploadOf(bytes calldata body)
        private
        pure
        returns (Upload memory fields, bytes calldata contentId, uint256 count, bytes calldata contributors, uint256 next)
    {
        fields.datanetId = uint32(body.uintAt(0, 4));
        fields.contentRoot = bytes32(body.uintAt(4, 32));
        (contentId, next) = body.bytesAt(36);
        fields.recordCount = uint32(body.uintAt(next, 4));
        fields.byteCount = uint64(body.uintAt(next + 4, 8));
        (count, contributors, next) = body.listAt(next + 12, CONTRIBUTOR_BYTES);
    }

    function contributorAt(bytes calldata contributors, uint256 i) private pure returns (Contributor memory) {
        uint256 offset = i * CONTRIBUTOR_BYTES;
        return Contributor({
            account: address(uint160(contributors.uintAt(offset, 20))),
            shareBps: uint16(contributors.uintAt(offset + 20, 2)),
            role: uint8(contributors.uintAt(offset + 22, 1))
        });
    }

    function inspectUpload(bytes calldata body, uint64 nonce, uint96 maxFee) private pure returns (uint256, uint256, bytes32) {
        (Upload memory fields, bytes calldata contentId, uint256 count, bytes calldata contributors, uint256 next) = uploadOf(body);
        if (fields.contentRoot == 0) revert Refused("badContentRoot");
        if (contentId.length == 0 || contentId.length > CONTENT_ID_BYTES_MAX) revert Refused("badContentId");
        if (fields.recordCount == 0) revert Refused("badRecordCount");
        if (fields.byteCount == 0) revert Refused("badByteCount");
        bytes32 listHash = inspectContributors(count, contributors);
        bytes memory head = abi.encode(UPLOAD_TYPE_HASH, nonce, maxFee, fields.datanetId, fields.contentRoot, keccak256(contentId));
        bytes32 structHash = keccak256(abi.encodePacked(head, abi.encode(fields.recordCount, fields.byteCount, listHash)));
        return (next, GAS_PER_CONTRIBUTOR * count, structHash);
    }

    /// @return EIP-712's hash of the list
    function inspectContributors(uint256 count, bytes calldata contributors) private pure returns (bytes32) {
        if (count == 0 || count > CONTRIBUTORS_MAX) revert Refused("badContributors");
        bytes32[] memory hashes = new bytes32[](count);
        uint256 sumBps = 0;
        for (uint256 i = 0; i < count; ++i) {
            Contributor memory one = contributorAt(contributors, i);
            bool isBad = one.account == address(0) || one.shareBps == 0 || one.role == 0 || one.role > ROLE_LAST;
            for (uint256 k = 0; k < i; ++k) {
                Contributor memory other = contributorAt(contributors, k);
                if (other.account == one.account && other.role == one.role) isBad = true;
            }
            if (isBad) revert Refused("badContributors");
            sumBps += one.shareBps;
            hashes[i] = keccak256(abi.encode(CONTRIBUTOR_TYPE_HASH, one));
        }
        if (sumBps != BPS) revert Refused("badContributors");
        return keccak256(abi.encodePacked(hashes));
    }

    function upload(bytes calldata body, Step calldata step) private {
        (Upload memory fields, bytes calldata contentId, uint256 count, bytes calldata contributors,) = uploadOf(body);
        bytes memory datanet = knownDatanet(fields.datanetId);
        if (datanet.uintOf(STATUS_AT, 1) == RETIRED) revert Failed("datanetRetired");
        bool isMember = datanet.uintOf(JOIN_POLICY_AT, 1) == 0 || step.sender == datanet.addressOf(OWNER_AT)
            || step.sender == datanet.addressOf(CURATOR_AT);
        if (!isMember) revert Failed("notMember");
        uint96 bond = uint96(datanet.uintOf(UPLOAD_BOND_AT, 12));
        LedgerTables.takeValue(step, bond);
        uint32 index = uint32(datanet.uintOf(UPLOADS_AT, 4));
        datanet.set(UPLOADS_AT, 4, uint256(index) + 1);
        putDatanet(fields.datanetId, datanet);
        bytes memory list = abi.encodePacked(uint16(count));
        for (uint256 i = 0; i < count; ++i) {
            Contributor memory one = contributorAt(contributors, i);
            list = abi.encodePacked(list, LedgerTables.indexOf(one.account), one.shareBps, one.role);
        }
        bytes memory head = abi.encodePacked(
            step.sender, fields.contentRoot, fields.recordCount, fields.byteCount, bond, uint8(PENDING), uint16(0), step.timeSec
        );
        putUpload(fields.datanetId, index, abi.encodePacked(head, uint16(contentId.length), contentId, list));
    }

    // ---- 0x53 ----------------------------------------------------------------------------------------------------------------------------

    function reviewOf(bytes calldata body) private pure returns (Review memory) {
        return Review({
            datanetId: uint32(body.uintAt(0, 4)),
            uploadIndex: uint32(body.uintAt(4, 4)),
            verdict: uint8(body.uintAt(8, 1)),
            qualityBps: uint16(body.uintAt(9, 2)),
            reason: uint8(body.uintAt(11, 1))
        });
    }

    function inspectReview(bytes calldata body, uint64 nonce, uint96 maxFee) private pure returns (uint256, uint256, bytes32) {
        Review memory fields = reviewOf(body);
        bool isAccept = fields.verdict == ACCEPT;
        if (fields.verdict < ACCEPT || fields.verdict > WITHDRAW) revert Refused("unknownVerdict");
        if (isAccept ? fields.qualityBps == 0 || fields.qualityBps > BPS : fields.qualityBps != 0) revert Refused("badQuality");
        bool needsReason = fields.verdict == REJECT || fields.verdict == RETIRE;
        if (needsReason == (fields.reason == 0)) revert Refused("badReason");
        if (fields.uploadIndex == WHOLE_DATANET && fields.verdict != RETIRE) revert Refused("badUpload");
        return (REVIEW_BYTES, 0, keccak256(abi.encode(REVIEW_TYPE_HASH, nonce, maxFee, fields)));
    }

    function review(bytes calldata body, Step calldata step) private {
        Review memory fields = reviewOf(body);
        bytes memory datanet = knownDatanet(fields.datanetId);
        if (fields.verdict == WITHDRAW) {
            withdraw(fields, datanet, step);
        } else {
            bool isRetire = fields.verdict == RETIRE;
            bool mayRetire = isRetire && step.sender == datanet.addressOf(OWNER_AT);
            if (step.sender != datanet.addressOf(CURATOR_AT) && !mayRetire) revert Failed("notCurator");
            if (isRetire && datanet.uintOf(STATUS_AT, 1) == RETIRED) revert Failed("datanetRetired");
            if (fields.uploadIndex == WHOLE_DATANET) {
                datanet.set(STATUS_AT, 1, RETIRED);
                retire(fields, datanet);
            } else {
                judge(fields, datanet);
            }
        }
        bytes memory record = abi.encodePacked(step.sender, fields.verdict, fields.qualityBps, fields.reason, step.timeSec);
        LedgerRecords.put(LedgerTables.REVIEWS, abi.encodePacked(fields.datanetId, fields.uploadIndex), record);
    }

    /// @dev Moves an upload to its new status, its bond to whom it is due, and its records into or out of the datanet's count.
    function judge(Review memory fields, bytes memory datanet) private {
        bytes memory known = knownUpload(fields);
        uint256 status = known.uintOf(UPLOAD_STATUS_AT, 1);
        if (fields.verdict == RETIRE) {
            if (status != ACCEPTED) revert Failed("notAccepted");
        } else if (status != PENDING) {
            revert Failed("notPending");
        }
        uint256 records = known.uintOf(RECORD_COUNT_AT, 4);
        if (fields.verdict == ACCEPT) {
            setStatus(fields, known, ACCEPTED);
            datanet.set(ACCEPTED_AT, 4, datanet.uintOf(ACCEPTED_AT, 4) + 1);
            datanet.set(RECORDS_AT, 8, datanet.uintOf(RECORDS_AT, 8) + records);
            putDatanet(fields.datanetId, datanet);
            LedgerTables.addBalance(known.addressOf(UPLOADER_AT), known.uintOf(BOND_AT, 12));
        } else if (fields.verdict == REJECT) {
            setStatus(fields, known, REJECTED);
            LedgerTables.addBalance(LedgerTables.TREASURY, known.uintOf(BOND_AT, 12));
        } else {
            setStatus(fields, known, TAKEN_BACK);
            datanet.set(ACCEPTED_AT, 4, datanet.uintOf(ACCEPTED_AT, 4) - 1);
            datanet.set(RECORDS_AT, 8, datanet.uintOf(RECORDS_AT, 8) - records);
            retire(fields, datanet);
        }
    }

    function withdraw(Review memory fields, bytes memory datanet, Step calldata step) private {
        bytes memory known = knownUpload(fields);
        if (step.sender != known.addressOf(UPLOADER_AT)) revert Failed("notUploader");
        if (known.uintOf(UPLOAD_STATUS_AT, 1) != PENDING) revert Failed("notPending");
        uint256 delaySec = LedgerTables.paramOf(LedgerTables.REVIEW_DELAY_SEC, step.blockNumber);
        bool isOver = step.timeSec >= known.uintOf(UPLOADED_AT_SEC_AT, 8) + delaySec;
        if (!isOver && datanet.uintOf(STATUS_AT, 1) != RETIRED) revert Failed("stillLocked");
        setStatus(fields, known, WITHDRAWN);
        LedgerTables.addBalance(known.addressOf(UPLOADER_AT), known.uintOf(BOND_AT, 12));
    }

    /// @dev Appends to the datanet's retires, and writes the datanet with their new count.
    function retire(Review memory fields, bytes memory datanet) private {
        uint32 n = uint32(datanet.uintOf(RETIRES_AT, 4));
        LedgerRecords.put(LedgerTables.RETIRES, abi.encodePacked(fields.datanetId, n), abi.encodePacked(fields.uploadIndex));
        datanet.set(RETIRES_AT, 4, uint256(n) + 1);
        putDatanet(fields.datanetId, datanet);
    }

    function setStatus(Review memory fields, bytes memory known, uint256 status) private {
        known.set(UPLOAD_STATUS_AT, 1, status);
        if (fields.verdict == ACCEPT) known.set(QUALITY_AT, 2, fields.qualityBps);
        putUpload(fields.datanetId, fields.uploadIndex, known);
    }

    function knownDatanet(uint32 datanetId) private view returns (bytes memory record) {
        record = LedgerRecords.get(LedgerTables.DATANETS, abi.encodePacked(datanetId));
        if (record.length == 0) revert Failed("unknownDatanet");
    }

    function knownUpload(Review memory fields) private view returns (bytes memory record) {
        record = LedgerRecords.get(LedgerTables.UPLOADS, abi.encodePacked(fields.datanetId, fields.uploadIndex));
        if (record.length == 0) revert Failed("unknownUpload");
    }

    function putDatanet(uint32 datanetId, bytes memory record) private {
        LedgerRecords.put(LedgerTables.DATANETS, abi.encodePacked(datanetId), record);
    }

    function putUpload(uint32 datanetId, uint32 index, bytes memory record) private {
        LedgerRecords.put(LedgerTables.UPLOADS, abi.encodePacked(datanetId, index), record);
    }
}
