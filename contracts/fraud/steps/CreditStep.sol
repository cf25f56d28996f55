// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerEarnings} from "../LedgerEarnings.sol";
import {LedgerRecords} from "../LedgerRecords.sol";
import {LedgerTables} from "../LedgerTables.sol";
import {Packed} from "../Packed.sol";
import {Failed, IStepVerifier, Refused, Step} from "../StepTypes.sol";

/// @title 0x56 AttributionCredit. Spec: docs/spec/transactions.md#0x56-attributioncredit
contract CreditStep is IStepVerifier {
    using Packed for bytes;

    bytes32 private constant TYPE_HASH = keccak256(
        "AttributionCredit(uint64 nonce,uint96 maxFee,address worker,bytes32 modelId,uint64 firstSeq,uint32 count,bytes32 receiptsRoot,bytes32 attributionRoot,uint64 promptTokens,uint64 outputTokens,Draw[] draws,uint32[] accounts,uint48[] amountsGwei)Draw(InferenceRequest request,bytes signature,uint96 amount)InferenceRequest(address client,address worker,bytes32 modelId,bytes32 promptCommit,bytes32 paramsHash,uint64 seed,uint32 maxOutputTokens,uint96 maxFee,uint96 cumulativeMaxFee,uint64 nonce,uint64 deadline)"
    );
    bytes32 private constant DRAW_TYPE_HASH = keccak256(
        "Draw(InferenceRequest request,bytes signature,uint96 amount)InferenceRequest(address client,address worker,bytes32 modelId,bytes32 promptCommit,bytes32 paramsHash,uint64 seed,uint32 maxOutputTokens,uint96 maxFee,uint96 cumulativeMaxFee,uint64 nonce,uint64 deadline)"
    );
    bytes32 private constant REQUEST_TYPE_HASH = keccak256(
        "InferenceRequest(address client,address worker,bytes32 modelId,bytes32 promptCommit,bytes32 paramsHash,uint64 seed,uint32 maxOutputTokens,uint96 maxFee,uint96 cumulativeMaxFee,uint64 nonce,uint64 deadline)"
    );
    bytes32 private constant DOMAIN_TYPE_HASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    /// @dev Whom clients' requests are signed for. Source: genesis/params.ts
    address private constant RECEIPT_VERIFIER = address(0x0a10);

    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    uint256 private constant RECEIPTS_MAX = 4_096;
    uint256 private constant DRAWS_MAX = 20;
    uint256 private constant ENTRIES_MAX = 208;
    uint256 private constant ENTRIES_PER_DRAW = 10;
    uint256 private constant RETIRES_MAX = 32;
    uint256 private constant BPS = 10_000;
    uint256 private constant ENTRY_WEI = 1e9;
    uint32 private constant WHOLE_DATANET = 0xffffffff;

    uint256 private constant GAS_OF_CREDIT = 8_000;
    uint256 private constant GAS_PER_DRAW = 6_000;
    uint256 private constant GAS_PER_ENTRY = 400;

    /// @dev worker 20 · modelId 32 · firstSeq u64 · count u32 · receiptsRoot 32 · attributionRoot 32 · promptTokens u64 · outputTokens u64, before the
    /// draws.
    uint256 private constant DRAWS_AT = 144;
    bytes private constant HEAD_WIDTHS = hex"1420080420200808";
    /// @dev A draw whose signature has 65 bytes: request 188 · signature 2 + 65 · amount u96.
    uint256 private constant REQUEST_BYTES = 188;
    uint256 private constant SIGNATURE_BYTES = 65;
    uint256 private constant DRAW_BYTES = 267;
    uint256 private constant AMOUNT_AT = 255;
    uint256 private constant ACCOUNT_BYTES = 4;
    uint256 private constant UNITS_BYTES = 6;

    /// @dev Places in a request: client 20 · worker 20 · modelId 32 · promptCommit 32 · paramsHash 32 · seed u64 · maxOutputTokens u32 · maxFee u96 ·
    /// cumulativeMaxFee u96 · nonce u64 · deadline u64.
    bytes private constant REQUEST_WIDTHS = hex"141420202008040c0c0808";
    uint256 private constant REQUEST_WORKER_AT = 20;
    uint256 private constant CUMULATIVE_AT = 160;

    /// @dev Places in a worker's record.
    uint256 private constant HOT_KEY_AT = 4;
    uint256 private constant STAKE_AT = 24;
    uint256 private constant LAST_SEQ_AT = 56;
    uint256 private constant CREDITS_AT = 64;
    uint256 private constant LIABLE_AT = 68;

    /// @dev Places in a model's record. Behind the name: count u16 and snapshots of datanetId u32 · snapshotRoot 32 · uploadCount u32 · recordCount u32 ·
    /// weightBps u16 · retires u32.
    uint256 private constant MODEL_OWNER_AT = 4;
    uint256 private constant PRICE_BASE_AT = 188;
    uint256 private constant PRICE_PROMPT_AT = 200;
    uint256 private constant PRICE_OUTPUT_AT = 212;
    uint256 private constant WORKER_BPS_AT = 226;
    uint256 private constant CONTRIBUTOR_BPS_AT = 228;
    uint256 private constant MIN_STAKE_AT = 230;
    uint256 private constant MODEL_NAME_AT = 243;
    uint256 private constant SNAPSHOT_BYTES = 50;

    uint256 private constant DATANET_RETIRES_AT = 74;

    /// @notice Chain id of the rollup.
    uint256 public immutable rollupChainId;
    /// @notice Length of an earnings epoch in seconds.
    uint256 public immutable epochSec;

    struct Fields {
        address worker;
        bytes32 modelId;
        uint64 firstSeq;
        uint32 count;
        bytes32 receiptsRoot;
        bytes32 attributionRoot;
        uint64 promptTokens;
        uint64 outputTokens;
        uint256 draws;
        uint256 entries;
        uint256 amounts;
        uint256 entriesAt;
        uint256 accountsAt;
        uint256 unitsAt;
    }

    /// @dev A credit whose rules hold, on its way into the ledger.
    struct Paid {
        bytes worker;
        bytes model;
        uint256 feeWei;
        uint256 entriesWei;
        uint32 epoch;
        uint256 protocolBps;
    }

    constructor(uint256 rollupChainId_, uint256 epochSec_) {
        rollupChainId = rollupChainId_;
        epochSec = epochSec_;
    }

    /// @inheritdoc IStepVerifier
    function inspect(uint8, bytes calldata body, uint64 nonce, uint96 maxFee)
        external
        view
        returns (uint256 length, uint256 itemGas, bytes32 structHash)
    {
        Fields memory fields = fieldsOf(body);
        bytes32 drawsHash = inspectDraws(body, fields);
        bytes memory words = abi.encodePacked(abi.encode(TYPE_HASH, nonce, maxFee), body.wordsOf(HEAD_WIDTHS), drawsHash);
        words = abi.encodePacked(words, listHash(body, fields.accountsAt, fields.entries, ACCOUNT_BYTES));
        structHash = keccak256(abi.encodePacked(words, listHash(body, fields.unitsAt, fields.entries, UNITS_BYTES)));
        itemGas = GAS_OF_CREDIT + GAS_PER_DRAW * fields.draws + GAS_PER_ENTRY * fields.entries;
        return (fields.unitsAt + fields.entries * UNITS_BYTES, itemGas, structHash);
    }

    /// @inheritdoc IStepVerifier
    function execute(uint8, bytes calldata body, Step calldata step) external {
        if (step.isOperation) revert Failed("nativeOnly");
        Fields memory fields = fieldsOf(body);
        Paid memory paid;
        paid.worker = LedgerRecords.get(LedgerTables.WORKERS, abi.encodePacked(fields.worker));
        bool isKnown = paid.worker.length != 0;
        if (step.sender != fields.worker && !(isKnown && step.sender == paid.worker.addressOf(HOT_KEY_AT))) revert Failed("notWorker");
        if (!isKnown) revert Failed("unknownWorker");
        uint256 stake = paid.worker.uintOf(STAKE_AT, 12);
        bytes memory params = LedgerTables.paramsRecord();
        if (stake < LedgerTables.paramIn(params, LedgerTables.WORKER_STAKE_MIN_WEI, step.blockNumber)) revert Failed("workerNotActive");
        paid.protocolBps = LedgerTables.paramIn(params, LedgerTables.PROTOCOL_BPS, step.blockNumber);
        paid.model = LedgerRecords.get(LedgerTables.MODELS, abi.encodePacked(fields.modelId));
        if (paid.model.length == 0) revert Failed("unknownModel");
        if (isSuspended(paid.model)) revert Failed("modelSuspended");
        if (stake < paid.model.uintOf(MIN_STAKE_AT, 12)) revert Failed("insufficientStake");
        if (fields.firstSeq <= paid.worker.uintOf(LAST_SEQ_AT, 8)) revert Failed("sequenceReused");
        paid.feeWei = fields.count * paid.model.uintOf(PRICE_BASE_AT, 12) + fields.promptTokens * paid.model.uintOf(PRICE_PROMPT_AT, 12)
            + fields.outputTokens * paid.model.uintOf(PRICE_OUTPUT_AT, 12);
        if (sumOfDraws(body, fields) != paid.feeWei) revert Failed("feeMismatch");
        takeDraws(body, fields);
        paid.epoch = uint32(step.timeSec / epochSec);
        payOut(body, fields, paid);
        recordCredit(body, fields, paid, step, LedgerTables.paramIn(params, LedgerTables.VESTING_SEC, step.blockNumber));
    }

    // ---- fields --------------------------------------------------------------------------------------------------------------------------

    function fieldsOf(bytes calldata body) private pure returns (Fields memory fields) {
        fields.worker = address(uint160(body.uintAt(0, 20)));
        fields.modelId = bytes32(body.uintAt(20, 32));
        fields.firstSeq = uint64(body.uintAt(52, 8));
        fields.count = uint32(body.uintAt(60, 4));
        fields.receiptsRoot = bytes32(body.uintAt(64, 32));
        fields.attributionRoot = bytes32(body.uintAt(96, 32));
        fields.promptTokens = uint64(body.uintAt(128, 8));
        fields.outputTokens = uint64(body.uintAt(136, 8));
        checkWindow(fields);
        fields.draws = body.uintAt(DRAWS_AT, 2);
        if (fields.draws == 0 || fields.draws > DRAWS_MAX) revert Refused("badDraw");
        // A signature of another length is refused before anything behind it is looked at.
        uint256 next = DRAWS_AT + 2;
        for (uint256 i = 0; i < fields.draws; ++i) {
            if (body.uintAt(next + REQUEST_BYTES, 2) != SIGNATURE_BYTES) revert Refused("badDraw");
            next += DRAW_BYTES;
        }
        fields.entriesAt = next;
        fields.accountsAt = next + 2;
        (fields.entries,, next) = body.listAt(next, ACCOUNT_BYTES);
        fields.unitsAt = next + 2;
        (fields.amounts,,) = body.listAt(next, UNITS_BYTES);
    }

    function checkWindow(Fields memory fields) private pure {
        bool isBad = fields.count == 0 || fields.count > RECEIPTS_MAX || uint256(fields.firstSeq) + fields.count > 1 << 64;
        if (isBad || fields.receiptsRoot == 0 || fields.attributionRoot == 0) revert Refused("badWindow");
    }

    /// @return EIP-712's hash of the list
    function inspectDraws(bytes calldata body, Fields memory fields) private view returns (bytes32) {
        address[] memory clients = new address[](fields.draws);
        for (uint256 i = 0; i < fields.draws; ++i) {
            checkDraw(drawAt(body, i), fields.worker);
            clients[i] = address(uint160(drawAt(body, i).uintAt(0, 20)));
            for (uint256 k = 0; k < i; ++k) if (clients[k] == clients[i]) revert Refused("badDraw");
        }
        checkEntries(body, fields);
        bytes32 separator =
            keccak256(abi.encode(DOMAIN_TYPE_HASH, keccak256("Tributary"), keccak256("1"), rollupChainId, RECEIPT_VERIFIER));
        bytes32[] memory hashes = new bytes32[](fields.draws);
        for (uint256 i = 0; i < fields.draws; ++i) hashes[i] = drawHash(drawAt(body, i), separator, clients[i]);
        return keccak256(abi.encodePacked(hashes));
    }

    function checkDraw(bytes calldata draw, address worker) private pure {
        uint256 v = draw.uintAt(REQUEST_BYTES + 2 + 64, 1);
        bool isBad = draw.uintAt(AMOUNT_AT, 12) == 0 || draw.uintAt(REQUEST_WORKER_AT, 20) != uint160(worker);
        if (isBad || (v > 1 && v != 27 && v != 28)) revert Refused("badDraw");
    }

    /// @return EIP-712's hash of a draw that its client signed
    function drawHash(bytes calldata draw, bytes32 separator, address client) private pure returns (bytes32) {
        bytes32 request = requestHash(draw);
        checkSignature(draw, keccak256(abi.encodePacked(hex"1901", separator, request)), client);
        bytes32 signature = keccak256(draw[REQUEST_BYTES + 2:AMOUNT_AT]);
        return keccak256(abi.encode(DRAW_TYPE_HASH, request, signature, draw.uintAt(AMOUNT_AT, 12)));
    }

    function checkEntries(bytes calldata body, Fields memory fields) private pure {
        if (fields.amounts != fields.entries || fields.entries + ENTRIES_PER_DRAW * fields.draws > ENTRIES_MAX) revert Refused("badEntries");
        uint256 before = 0;
        for (uint256 i = 0; i < fields.entries; ++i) {
            uint256 account = body.uintAt(fields.accountsAt + i * ACCOUNT_BYTES, ACCOUNT_BYTES);
            if (i > 0 && account <= before) revert Refused("badEntries");
            if (body.uintAt(fields.unitsAt + i * UNITS_BYTES, UNITS_BYTES) == 0) revert Refused("badEntries");
            before = account;
        }
    }

    function checkSignature(bytes calldata draw, bytes32 digest, address client) private pure {
        uint256 s = draw.uintAt(REQUEST_BYTES + 2 + 32, 32);
        uint8 v = uint8(draw.uintAt(REQUEST_BYTES + 2 + 64, 1));
        address signer = s > HALF_ORDER
            ? address(0)
            : ecrecover(digest, v < 27 ? 27 + v : v, bytes32(draw.uintAt(REQUEST_BYTES + 2, 32)), bytes32(s));
        if (signer == address(0) || signer != client) revert Refused("badVoucher");
    }

    function requestHash(bytes calldata draw) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(REQUEST_TYPE_HASH, draw.wordsOf(REQUEST_WIDTHS)));
    }

    /// @dev EIP-712's hash of a list of integers.
    function listHash(bytes calldata body, uint256 from, uint256 count, uint256 bytesEach) private pure returns (bytes32) {
        uint256[] memory words = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) words[i] = body.uintAt(from + i * bytesEach, bytesEach);
        return keccak256(abi.encodePacked(words));
    }

    function drawAt(bytes calldata body, uint256 i) private pure returns (bytes calldata) {
        uint256 from = DRAWS_AT + 2 + i * DRAW_BYTES;
        return body[from:from + DRAW_BYTES];
    }

    // ---- rule ----------------------------------------------------------------------------------------------------------------------------

    /// @dev A datanet of the model, or an upload within its snapshot, was retired since the model was registered.
    function isSuspended(bytes memory model) private view returns (bool) {
        (uint256 count, uint256 offset) = snapshotsIn(model);
        uint256 left = RETIRES_MAX;
        for (uint256 i = 0; i < count; ++i) {
            uint32 datanetId = uint32(model.uintOf(offset, 4));
            uint256 uploads = model.uintOf(offset + 36, 4);
            uint256 before = model.uintOf(offset + 46, 4);
            uint256 retired = datanetOf(datanetId).uintOf(DATANET_RETIRES_AT, 4);
            if (retired - before > left) return true;
            left -= retired - before;
            for (uint256 n = before; n < retired; ++n) {
                bytes memory record = LedgerRecords.get(LedgerTables.RETIRES, abi.encodePacked(datanetId, uint32(n)));
                if (record.length == 0) continue;
                uint256 uploadIndex = record.uintOf(0, 4);
                if (uploadIndex == WHOLE_DATANET || uploadIndex < uploads) return true;
            }
            offset += SNAPSHOT_BYTES;
        }
        return false;
    }

    function snapshotsIn(bytes memory model) private pure returns (uint256 count, uint256 offset) {
        offset = MODEL_NAME_AT + 2 + model.uintOf(MODEL_NAME_AT, 2);
        return (model.uintOf(offset, 2), offset + 2);
    }

    function datanetOf(uint32 datanetId) private view returns (bytes memory) {
        return LedgerRecords.get(LedgerTables.DATANETS, abi.encodePacked(datanetId));
    }

    function sumOfDraws(bytes calldata body, Fields memory fields) private pure returns (uint256 sum) {
        for (uint256 i = 0; i < fields.draws; ++i) sum += drawAt(body, i).uintAt(AMOUNT_AT, 12);
    }

    /// @dev Takes what the window draws from each client's prepaid balance, within what the client signed for.
    function takeDraws(bytes calldata body, Fields memory fields) private {
        for (uint256 i = 0; i < fields.draws; ++i) {
            bytes calldata draw = drawAt(body, i);
            address client = address(uint160(draw.uintAt(0, 20)));
            uint96 amount = uint96(draw.uintAt(AMOUNT_AT, 12));
            bytes memory id = abi.encodePacked(client, fields.worker);
            bytes memory record = LedgerRecords.get(LedgerTables.DRAWS, id);
            uint256 drawn = (record.length == 0 ? 0 : record.uintOf(0, 12)) + amount;
            if (drawn > draw.uintAt(CUMULATIVE_AT, 12)) revert Failed("voucherExceeded");
            LedgerTables.Account memory account = LedgerTables.getAccount(client);
            if (account.prepaid < amount) revert Failed("insufficientPrepaid");
            LedgerRecords.put(LedgerTables.DRAWS, id, abi.encodePacked(LedgerTables.narrow96(drawn)));
            account.prepaid -= amount;
            LedgerTables.putAccount(client, account);
        }
    }

    /// @dev Adds every part of the fee to somebody's earnings in the epoch of the block.
    function payOut(bytes calldata body, Fields memory fields, Paid memory paid) private {
        uint256 given = LedgerTables.getCounters().accounts;
        uint256 units = 0;
        for (uint256 i = 0; i < fields.entries; ++i) {
            uint256 account = body.uintAt(fields.accountsAt + i * ACCOUNT_BYTES, ACCOUNT_BYTES);
            if (account == 0 || account > given) revert Failed("unknownAccount");
            units += body.uintAt(fields.unitsAt + i * UNITS_BYTES, UNITS_BYTES);
        }
        paid.entriesWei = units * ENTRY_WEI;
        uint256 protocolWei = paid.feeWei * paid.protocolBps / BPS;
        uint256 rest = paid.feeWei - protocolWei;
        uint256 workerWei = rest * paid.model.uintOf(WORKER_BPS_AT, 2) / BPS;
        uint256 poolWei = rest * paid.model.uintOf(CONTRIBUTOR_BPS_AT, 2) / BPS;
        if (paid.entriesWei > poolWei) revert Failed("poolExceeded");
        for (uint256 i = 0; i < fields.entries; ++i) {
            uint32 account = uint32(body.uintAt(fields.accountsAt + i * ACCOUNT_BYTES, ACCOUNT_BYTES));
            LedgerEarnings.addEarned(paid.epoch, account, ENTRY_WEI * body.uintAt(fields.unitsAt + i * UNITS_BYTES, UNITS_BYTES));
        }
        earn(LedgerTables.TREASURY, paid.epoch, protocolWei);
        earn(fields.worker, paid.epoch, workerWei);
        earn(paid.model.addressOf(MODEL_OWNER_AT), paid.epoch, rest - workerWei - poolWei);
        earnPool(paid, poolWei - paid.entriesWei);
    }

    /// @dev What no entry took goes to the datanets' owners by weight; what rounding leaves goes to the first one's.
    function earnPool(Paid memory paid, uint256 poolWei) private {
        (uint256 count, uint256 offset) = snapshotsIn(paid.model);
        uint256 left = poolWei;
        for (uint256 i = 0; i < count; ++i) left -= poolWei * paid.model.uintOf(offset + i * SNAPSHOT_BYTES + 44, 2) / BPS;
        for (uint256 i = 0; i < count; ++i) {
            uint256 snapshot = offset + i * SNAPSHOT_BYTES;
            address owner = datanetOf(uint32(paid.model.uintOf(snapshot, 4))).addressOf(0);
            earn(owner, paid.epoch, poolWei * paid.model.uintOf(snapshot + 44, 2) / BPS + left);
            left = 0;
        }
    }

    function earn(address account, uint32 epoch, uint256 amount) private {
        if (amount > 0) LedgerEarnings.addEarned(epoch, LedgerTables.indexOf(account), amount);
    }

    function recordCredit(bytes calldata body, Fields memory fields, Paid memory paid, Step calldata step, uint256 vestingSec) private {
        uint32 index = uint32(paid.worker.uintOf(CREDITS_AT, 4));
        bytes memory record = abi.encodePacked(
            fields.modelId, fields.firstSeq, fields.count, fields.receiptsRoot, fields.attributionRoot, fields.promptTokens, fields.outputTokens
        );
        record = abi.encodePacked(
            record, LedgerTables.narrow96(paid.feeWei), LedgerTables.narrow96(paid.entriesWei), paid.epoch, step.timeSec
        );
        bytes32 entriesHash = keccak256(body[fields.entriesAt:fields.unitsAt + fields.entries * UNITS_BYTES]);
        record = abi.encodePacked(
            record, entriesHash, drawsHashOf(body, fields), paid.worker.addressOf(HOT_KEY_AT), uint16(paid.protocolBps)
        );
        LedgerRecords.put(LedgerTables.CREDITS, abi.encodePacked(fields.worker, index), record);
        uint256 maturesAt = LedgerEarnings.fixMaturity(paid.epoch, epochSec, vestingSec);
        if (maturesAt > paid.worker.uintOf(LIABLE_AT, 8)) paid.worker.set(LIABLE_AT, 8, maturesAt);
        paid.worker.set(LAST_SEQ_AT, 8, uint256(fields.firstSeq) + fields.count - 1);
        paid.worker.set(CREDITS_AT, 4, uint256(index) + 1);
        LedgerRecords.put(LedgerTables.WORKERS, abi.encodePacked(fields.worker), paid.worker);
        LedgerTables.Counters memory counters = LedgerTables.getCounters();
        ++counters.credits;
        LedgerTables.putCounters(counters);
    }

    function drawsHashOf(bytes calldata body, Fields memory fields) private pure returns (bytes32) {
        bytes memory drawn = abi.encodePacked(uint16(fields.draws));
        for (uint256 i = 0; i < fields.draws; ++i) {
            bytes calldata draw = drawAt(body, i);
            drawn = abi.encodePacked(drawn, draw[0:20], draw[AMOUNT_AT:DRAW_BYTES]);
        }
        return keccak256(drawn);
    }
}
