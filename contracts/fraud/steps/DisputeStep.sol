// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerEarnings} from "../LedgerEarnings.sol";
import {LedgerRecords} from "../LedgerRecords.sol";
import {LedgerTables} from "../LedgerTables.sol";
import {Packed} from "../Packed.sol";
import {Failed, IStepVerifier, Refused, Step} from "../StepTypes.sol";

/// @title 0x57 CreditDispute: what follows from the verdict that the row says. Spec: docs/spec/fraud.md#disputes
/// @dev The verdict itself is attested; its effects are bounded by the credit's fee and by its worker's stake, and everything else about the row is executed.
contract DisputeStep is IStepVerifier {
    using Packed for bytes;

    bytes32 private constant TYPE_HASH = keccak256(
        "CreditDispute(uint64 nonce,uint96 maxFee,uint8 kind,address worker,uint32 creditIndex,Drawn[] drawn,uint32[] accounts,uint48[] amountsGwei,bytes evidence,bytes opened)Drawn(address client,uint96 amount)"
    );
    bytes32 private constant DRAWN_TYPE_HASH = keccak256("Drawn(address client,uint96 amount)");

    uint256 private constant DRAWS_MAX = 20;
    uint256 private constant ENTRIES_MAX = 208;
    uint256 private constant ENTRIES_PER_DRAW = 10;
    uint256 private constant BPS = 10_000;
    uint256 private constant ENTRY_WEI = 1e9;
    uint256 private constant ATTRIBUTION_FEES = 20;

    uint256 private constant GAS_OF_DISPUTE = 400_000;
    uint256 private constant GAS_PER_DRAWN = 4_000;
    uint256 private constant GAS_PER_ENTRY = 400;
    uint256 private constant GAS_PER_EVIDENCE_BYTE = 8;

    uint256 private constant EQUIVOCATION = 1;
    uint256 private constant WRONG_BOOKS = 4;
    uint256 private constant WRONG_ATTRIBUTION = 5;

    uint256 private constant VOID = 1;
    uint256 private constant ENTRIES = 2;

    /// @dev kind u8 · worker 20 · creditIndex u32, before the draws.
    uint256 private constant DRAWN_AT = 25;
    uint256 private constant DRAWN_BYTES = 32;
    uint256 private constant ACCOUNT_BYTES = 4;
    uint256 private constant UNITS_BYTES = 6;
    uint256 private constant CHANGE_BYTES = 10;

    /// @dev Places of the parameters. Spec: docs/spec/ledger.md#parameters
    uint256 private constant DISPUTE_BOND_WEI = 12;
    uint256 private constant SLASH_EQUIVOCATION_BPS = 13;
    uint256 private constant SLASH_BAD_LEAF_BPS = 14;
    uint256 private constant SLASH_WRONG_SUM_BPS = 15;
    uint256 private constant SLASH_ATTRIBUTION_BPS = 16;
    uint256 private constant CHALLENGER_BPS = 17;

    uint8 private constant DISPUTES = 0x0a;

    /// @dev Places in a credit's record.
    uint256 private constant FEE_AT = 124;
    uint256 private constant EPOCH_AT = 148;
    uint256 private constant ENTRIES_HASH_AT = 160;
    uint256 private constant DRAWS_HASH_AT = 192;
    uint256 private constant PROTOCOL_BPS_AT = 244;

    /// @dev Places in a worker's record.
    uint256 private constant STAKE_AT = 24;
    uint256 private constant UNBONDING_AT = 36;
    uint256 private constant UNLOCK_AT = 48;

    /// @dev Places in a model's record; snapshots behind the name: datanetId u32, weightBps u16 at 44, 50 bytes each.
    uint256 private constant MODEL_OWNER_AT = 4;
    uint256 private constant WORKER_BPS_AT = 226;
    uint256 private constant CONTRIBUTOR_BPS_AT = 228;
    uint256 private constant MODEL_NAME_AT = 243;
    uint256 private constant SNAPSHOT_BYTES = 50;

    /// @notice Length of an earnings epoch in seconds.
    uint256 public immutable epochSec;

    struct Fields {
        uint256 kind;
        address worker;
        uint32 creditIndex;
        uint256 drawn;
        uint256 entries;
        uint256 amounts;
        uint256 accountsAt;
        uint256 unitsAt;
        uint256 evidenceBytes;
        bytes32 evidenceHash;
        uint256 openedBytes;
        bytes32 openedHash;
        uint256 verdict;
        uint256 feeWei;
        uint256 changes;
        uint256 changesAt;
        uint256 end;
    }

    /// @dev What a credit gave to whom, and gives now; `count` of the accounts are told, those of entries first and ascending.
    struct Parts {
        uint256 count;
        uint32[] accounts;
        uint256[] before;
        uint256[] afterwards;
    }

    /// @dev The parts of a credit's fee.
    struct Split {
        uint256 protocolWei;
        uint256 workerWei;
        uint256 ownerWei;
        uint256 poolWei;
    }

    constructor(uint256 epochSec_) {
        epochSec = epochSec_;
    }

    /// @inheritdoc IStepVerifier
    function inspect(uint8, bytes calldata body, uint64 nonce, uint96 maxFee)
        external
        pure
        returns (uint256 length, uint256 itemGas, bytes32 structHash)
    {
        Fields memory fields = fieldsOf(body);
        if (fields.kind < EQUIVOCATION || fields.kind > WRONG_ATTRIBUTION) revert Refused("unknownKind");
        bool isBounded = fields.drawn <= DRAWS_MAX && fields.entries + ENTRIES_PER_DRAW * fields.drawn <= ENTRIES_MAX;
        if (!isBounded || fields.amounts != fields.entries) revert Refused("badEntries");
        itemGas = GAS_OF_DISPUTE + GAS_PER_DRAWN * fields.drawn + GAS_PER_ENTRY * fields.entries
            + GAS_PER_EVIDENCE_BYTE * (fields.evidenceBytes + fields.openedBytes);
        bytes memory words = abi.encode(TYPE_HASH, nonce, maxFee, fields.kind, fields.worker, fields.creditIndex, drawnHash(body, fields));
        words = abi.encodePacked(
            words, listHash(body, fields.accountsAt, fields.entries, ACCOUNT_BYTES), listHash(body, fields.unitsAt, fields.entries, UNITS_BYTES)
        );
        structHash = keccak256(abi.encodePacked(words, fields.evidenceHash, fields.openedHash));
        return (fields.end, itemGas, structHash);
    }

    /// @inheritdoc IStepVerifier
    function execute(uint8, bytes calldata body, Step calldata step) external {
        Fields memory fields = fieldsOf(body);
        bytes memory params = LedgerTables.paramsRecord();
        uint256 bond = LedgerTables.paramIn(params, DISPUTE_BOND_WEI, step.blockNumber);
        LedgerTables.takeValue(step, bond);
        bytes memory id = abi.encodePacked(fields.worker, fields.creditIndex);
        bytes memory credit = LedgerRecords.get(LedgerTables.CREDITS, id);
        if (credit.length == 0) revert Failed("unknownCredit");
        if (LedgerRecords.get(DISPUTES, id).length != 0) revert Failed("alreadyUpheld");
        checkShown(body, fields, credit);
        uint32 epoch = uint32(credit.uintOf(EPOCH_AT, 4));
        uint256 vestingSec = LedgerTables.paramIn(params, LedgerTables.VESTING_SEC, step.blockNumber);
        if (step.timeSec >= LedgerEarnings.maturityOf(epoch, epochSec, vestingSec)) revert Failed("matured");
        if (fields.verdict == 0) return LedgerTables.addBalance(LedgerTables.TREASURY, bond);

        uint256 toContributors = replaceEarnings(body, fields, credit, epoch);
        if (fields.verdict == VOID) giveBack(body, fields);
        uint256 slashed = slash(fields, params, step.blockNumber);
        uint256 reward = slashed * LedgerTables.paramIn(params, CHALLENGER_BPS, step.blockNumber) / BPS;
        LedgerTables.addBalance(step.sender, bond + reward);
        LedgerTables.addBalance(LedgerTables.TREASURY, slashed - reward);
        bytes memory record = abi.encodePacked(
            step.sender, uint8(fields.kind), LedgerTables.narrow96(slashed), LedgerTables.narrow96(toContributors), step.timeSec
        );
        LedgerRecords.put(DISPUTES, id, record);
    }

    // ---- fields --------------------------------------------------------------------------------------------------------------------------

    function fieldsOf(bytes calldata body) private pure returns (Fields memory fields) {
        fields.kind = body.uintAt(0, 1);
        fields.worker = address(uint160(body.uintAt(1, 20)));
        fields.creditIndex = uint32(body.uintAt(21, 4));
        uint256 next;
        (fields.drawn,, next) = body.listAt(DRAWN_AT, DRAWN_BYTES);
        fields.accountsAt = next + 2;
        (fields.entries,, next) = body.listAt(next, ACCOUNT_BYTES);
        fields.unitsAt = next + 2;
        (fields.amounts,, next) = body.listAt(next, UNITS_BYTES);
        fields.evidenceBytes = body.uintAt(next, 3);
        fields.evidenceHash = bytes32(body.uintAt(next + 3, 32));
        fields.openedBytes = body.uintAt(next + 35, 3);
        fields.openedHash = bytes32(body.uintAt(next + 38, 32));
        next += 70;
        fields.verdict = body.uintAt(next, 1);
        fields.end = next + 1;
        if (fields.verdict == 0) return fields;
        fields.feeWei = body.uintAt(next + 1, 12);
        fields.end = next + 13;
        if (fields.verdict == VOID) return fields;
        fields.changesAt = fields.end + 2;
        (fields.changes,, fields.end) = body.listAt(fields.end, CHANGE_BYTES);
    }

    /// @dev EIP-712's hash of the list.
    function drawnHash(bytes calldata body, Fields memory fields) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](fields.drawn);
        for (uint256 i = 0; i < fields.drawn; ++i) {
            (address client, uint96 amount) = drawnAt(body, i);
            hashes[i] = keccak256(abi.encode(DRAWN_TYPE_HASH, client, amount));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    /// @dev EIP-712's hash of a list of integers.
    function listHash(bytes calldata body, uint256 from, uint256 count, uint256 bytesEach) private pure returns (bytes32) {
        uint256[] memory words = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) words[i] = body.uintAt(from + i * bytesEach, bytesEach);
        return keccak256(abi.encodePacked(words));
    }

    function drawnAt(bytes calldata body, uint256 i) private pure returns (address client, uint96 amount) {
        uint256 from = DRAWN_AT + 2 + i * DRAWN_BYTES;
        return (address(uint160(body.uintAt(from, 20))), uint96(body.uintAt(from + 20, 12)));
    }

    function entryAt(bytes calldata body, Fields memory fields, uint256 i) private pure returns (uint32 account, uint256 units) {
        account = uint32(body.uintAt(fields.accountsAt + i * ACCOUNT_BYTES, ACCOUNT_BYTES));
        units = body.uintAt(fields.unitsAt + i * UNITS_BYTES, UNITS_BYTES);
    }

    function changeAt(bytes calldata body, Fields memory fields, uint256 i) private pure returns (uint32 account, uint256 units) {
        uint256 from = fields.changesAt + i * CHANGE_BYTES;
        return (uint32(body.uintAt(from, 4)), body.uintAt(from + 4, 6));
    }

    // ---- rule ----------------------------------------------------------------------------------------------------------------------------

    /// @dev The lists are those that the credit's record has the hashes of.
    function checkShown(bytes calldata body, Fields memory fields, bytes memory credit) private pure {
        bytes32 draws = keccak256(body[DRAWN_AT:fields.accountsAt - 2]);
        bytes32 entries = keccak256(body[fields.accountsAt - 2:fields.unitsAt + fields.amounts * UNITS_BYTES]);
        if (uint256(entries) != credit.uintOf(ENTRIES_HASH_AT, 32) || uint256(draws) != credit.uintOf(DRAWS_HASH_AT, 32)) {
            revert Failed("otherEntries");
        }
    }

    /// @dev Takes the parts of the credit out of its epoch's earnings, and gives those that follow from the verdict.
    /// @return toContributors what the entries sum to afterwards
    function replaceEarnings(bytes calldata body, Fields memory fields, bytes memory credit, uint32 epoch)
        private
        returns (uint256 toContributors)
    {
        bytes memory model = LedgerRecords.get(LedgerTables.MODELS, abi.encodePacked(bytes32(credit.uintOf(0, 32))));
        Split memory split = splitOf(credit, model);
        (uint256 snapshots, uint256 offset) = snapshotsIn(model);
        uint256 room = fields.entries + fields.changes + snapshots + 3;
        Parts memory parts = Parts(0, new uint32[](room), new uint256[](room), new uint256[](room));
        (uint256 sumBefore, uint256 sum) = addEntries(body, fields, parts);
        toContributors = sum * ENTRY_WEI;
        bool isVoid = fields.verdict == VOID;
        if (toContributors > split.poolWei) revert Refused("badVerdict");
        addPart(parts, LedgerTables.TREASURY, split.protocolWei, isVoid);
        addPart(parts, fields.worker, split.workerWei, isVoid);
        addPart(parts, model.addressOf(MODEL_OWNER_AT), split.ownerWei, isVoid);
        addPool(parts, model, Pool(snapshots, offset, split.poolWei - sumBefore * ENTRY_WEI, isVoid ? 0 : split.poolWei - toContributors));
        for (uint256 i = 0; i < parts.count; ++i) {
            if (LedgerEarnings.earnedOf(epoch, parts.accounts[i]) < parts.before[i]) revert Failed("alreadyClaimed");
        }
        for (uint256 i = 0; i < parts.count; ++i) {
            uint256 left = LedgerEarnings.earnedOf(epoch, parts.accounts[i]) - parts.before[i];
            LedgerEarnings.setEarned(epoch, parts.accounts[i], left + parts.afterwards[i]);
        }
    }

    function splitOf(bytes memory credit, bytes memory model) private pure returns (Split memory split) {
        uint256 feeWei = credit.uintOf(FEE_AT, 12);
        split.protocolWei = feeWei * credit.uintOf(PROTOCOL_BPS_AT, 2) / BPS;
        uint256 rest = feeWei - split.protocolWei;
        split.workerWei = rest * model.uintOf(WORKER_BPS_AT, 2) / BPS;
        split.poolWei = rest * model.uintOf(CONTRIBUTOR_BPS_AT, 2) / BPS;
        split.ownerWei = rest - split.workerWei - split.poolWei;
    }

    /// @dev The credit's entries and what the verdict makes of them: both ascend, and a change of an account that has no entry is one more.
    function addEntries(bytes calldata body, Fields memory fields, Parts memory parts) private view returns (uint256 sumBefore, uint256 sum) {
        uint256 given = LedgerTables.getCounters().accounts;
        uint256 k = 0;
        uint32 last = 0;
        for (uint256 i = 0; i <= fields.entries; ++i) {
            (uint32 account, uint256 units) = i < fields.entries ? entryAt(body, fields, i) : (type(uint32).max, 0);
            uint256 now_ = fields.verdict == ENTRIES ? units : 0;
            for (; k < fields.changes; ++k) {
                (uint32 changed, uint256 changedUnits) = changeAt(body, fields, k);
                if (changed > account) break;
                if (changed <= last || changed > given) revert Refused("badVerdict");
                last = changed;
                if (changed == account) now_ = changedUnits;
                else push(parts, changed, 0, changedUnits * ENTRY_WEI);
                sum += changedUnits;
                if (changed == account) sum -= now_;
            }
            if (i == fields.entries) break;
            push(parts, account, units * ENTRY_WEI, now_ * ENTRY_WEI);
            sumBefore += units;
            sum += now_;
        }
    }

    struct Pool {
        uint256 snapshots;
        uint256 offset;
        uint256 beforeWei;
        uint256 afterwardsWei;
    }

    /// @dev What no entry took goes to the datanets' owners by weight; what rounding leaves goes to the first one's.
    function addPool(Parts memory parts, bytes memory model, Pool memory pool) private view {
        uint256 leftBefore = pool.beforeWei;
        uint256 left = pool.afterwardsWei;
        for (uint256 i = 0; i < pool.snapshots; ++i) {
            uint256 weight = model.uintOf(pool.offset + i * SNAPSHOT_BYTES + 44, 2);
            leftBefore -= pool.beforeWei * weight / BPS;
            left -= pool.afterwardsWei * weight / BPS;
        }
        for (uint256 i = 0; i < pool.snapshots; ++i) {
            uint256 snapshot = pool.offset + i * SNAPSHOT_BYTES;
            uint256 weight = model.uintOf(snapshot + 44, 2);
            bytes memory datanet = LedgerRecords.get(LedgerTables.DATANETS, abi.encodePacked(uint32(model.uintOf(snapshot, 4))));
            add(parts, datanet.addressOf(0), pool.beforeWei * weight / BPS + leftBefore, pool.afterwardsWei * weight / BPS + left);
            (leftBefore, left) = (0, 0);
        }
    }

    function addPart(Parts memory parts, address who, uint256 amount, bool isVoid) private view {
        add(parts, who, amount, isVoid ? 0 : amount);
    }

    /// @dev Adds to what somebody had and has. Whoever a credit paid has an index.
    function add(Parts memory parts, address who, uint256 beforeWei, uint256 afterwardsWei) private view {
        if (beforeWei == 0 && afterwardsWei == 0) return;
        uint32 account = LedgerTables.getAccount(who).index;
        for (uint256 i = 0; i < parts.count; ++i) {
            if (parts.accounts[i] != account) continue;
            parts.before[i] += beforeWei;
            parts.afterwards[i] += afterwardsWei;
            return;
        }
        push(parts, account, beforeWei, afterwardsWei);
    }

    function push(Parts memory parts, uint32 account, uint256 beforeWei, uint256 afterwardsWei) private pure {
        uint256 i = parts.count++;
        (parts.accounts[i], parts.before[i], parts.afterwards[i]) = (account, beforeWei, afterwardsWei);
    }

    function snapshotsIn(bytes memory model) private pure returns (uint256 count, uint256 offset) {
        offset = MODEL_NAME_AT + 2 + model.uintOf(MODEL_NAME_AT, 2);
        return (model.uintOf(offset, 2), offset + 2);
    }

    /// @dev What the credit drew returns to its clients' prepaid balances.
    function giveBack(bytes calldata body, Fields memory fields) private {
        for (uint256 i = 0; i < fields.drawn; ++i) {
            (address client, uint96 amount) = drawnAt(body, i);
            LedgerTables.addPrepaid(client, amount);
        }
    }

    /// @dev Takes from what the worker has at stake, first from what is about to leave.
    function slash(Fields memory fields, bytes memory params, uint64 blockNumber) private returns (uint256 slashed) {
        bytes memory id = abi.encodePacked(fields.worker);
        bytes memory worker = LedgerRecords.get(LedgerTables.WORKERS, id);
        uint256 stake = worker.uintOf(STAKE_AT, 12);
        uint256 unbonding = worker.uintOf(UNBONDING_AT, 12);
        slashed = (stake + unbonding) * LedgerTables.paramIn(params, slashBpsOf(fields.kind), blockNumber) / BPS;
        uint256 least = fields.kind == WRONG_ATTRIBUTION ? ATTRIBUTION_FEES * fields.feeWei : 0;
        if (slashed < least) slashed = least;
        if (slashed > stake + unbonding) slashed = stake + unbonding;
        uint256 ofUnbonding = slashed < unbonding ? slashed : unbonding;
        worker.set(STAKE_AT, 12, stake - (slashed - ofUnbonding));
        worker.set(UNBONDING_AT, 12, unbonding - ofUnbonding);
        if (unbonding == ofUnbonding) worker.set(UNLOCK_AT, 8, 0);
        LedgerRecords.put(LedgerTables.WORKERS, id, worker);
    }

    function slashBpsOf(uint256 kind) private pure returns (uint256) {
        if (kind == EQUIVOCATION) return SLASH_EQUIVOCATION_BPS;
        if (kind == WRONG_BOOKS) return SLASH_WRONG_SUM_BPS;
        return kind == WRONG_ATTRIBUTION ? SLASH_ATTRIBUTION_BPS : SLASH_BAD_LEAF_BPS;
    }
}
