// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";
import {Memory} from "@openzeppelin/contracts/utils/Memory.sol";
import {BatchHeader, BatchInbox} from "../BatchInbox.sol";
import {Checkpoint, CheckpointManager} from "../CheckpointManager.sol";
import {DepositTree} from "../DepositTree.sol";
import {LedgerProof} from "../LedgerProof.sol";
import {Portal} from "../Portal.sol";
import {BlobReader, PayloadWitness, Run} from "./BlobReader.sol";
import {DepositFacts, Group, IGroupExecution, L1Facts} from "./GroupTypes.sol";
import {Fault, LaneReader, RowPlace, ShownBatch} from "./LaneReader.sol";
import {BatchLink, Notes} from "./Notes.sol";
import {IRowReader, Rows} from "./RowReader.sol";

/// @notice A checkpoint, and a batch of those that it follows from.
struct Claimed {
    uint64 id;
    Checkpoint checkpoint;
    /// Where the links begin: zero for the checkpoint's batch, else one that is noted as its ancestor, by its accumulator.
    bytes32 from;
    /// From that one back to the batch, each the predecessor of the one before it; the batch alone where it is that one itself.
    BatchLink[] links;
    /// As much of the batch's payload as the proof needs.
    PayloadWitness payload;
}

/// @notice A predecessor and as much of its payload as the proof needs.
struct Predecessor {
    BatchLink link;
    PayloadWitness payload;
}

/// @notice A deposit and the way from its leaf to the root of the full subtree of the portal's that holds it.
struct DepositWitness {
    DepositFacts facts;
    /// As `Portal.isDeposit` takes them.
    bytes32[] siblings;
}

/// @notice What the rows of a group touch outside the batch.
struct GroupWitness {
    /// Headers of L1 blocks as they are hashed, among them those that the rows name. Each is the parent of the one before, or the batch's
    /// `l1OriginHash` where it is the first, or of a block that is noted or that L1 remembers.
    bytes[] l1Headers;
    /// Deposits that the rows depend on, ascending by index.
    DepositWitness[] deposits;
    /// The part of the ledger that the rows touch.
    bytes ledger;
}

/// @title The court of the native lane: takes one proof that a batch is wrong, and makes the checkpoint fall that covers it.
/// @notice Each function shows one thing by the bytes that were posted, and reverts if it is not wrong. Anyone may call; a success pays the caller.
/// A checkpoint answers for its batch and all that this one follows. No state, no owner. Spec: docs/spec/fraud.md
contract FraudVerifier {
    /// @notice What is judged, and by what it is executed.
    CheckpointManager public immutable CHECKPOINTS;
    BatchInbox public immutable INBOX;
    Portal public immutable PORTAL;
    IGroupExecution public immutable EXECUTION;
    /// @notice Who reads rows: the same that the execution was made for.
    IRowReader public immutable ROWS;
    /// @notice Knows what was shown in earlier transactions.
    Notes public immutable NOTES;

    /// @dev Least length of a payload: its head.
    uint256 private constant HEAD_BYTES = 186;

    /// @dev The ledger's l1 record: number u64 first, cursor u64 last. Spec: docs/spec/ledger.md#tables
    uint256 private constant L1_RECORD_BYTES = 120;
    uint8 private constant L1_TABLE = 0x00;

    /// @notice A checkpoint was shown to be wrong.
    event FraudProven(uint64 indexed id, Fault indexed fault, address indexed challenger);

    error NothingWrong();
    error NotFollowed(uint64 index, bytes32 accumulator);
    error NotNoted(bytes32 accumulator);
    error HeadWrong(uint64 index);
    error NoSuchGroup(uint256 group);
    error BatchesMissing();
    error CheckpointMismatch(bytes32 checkpointHash);
    error L1HeaderMismatch(uint256 place, bytes32 hash);
    error DepositMismatch(uint64 index);
    error BadL1Record();

    constructor(CheckpointManager checkpoints, IGroupExecution execution, Notes notes) {
        CHECKPOINTS = checkpoints;
        INBOX = checkpoints.INBOX();
        PORTAL = checkpoints.PORTAL();
        EXECUTION = execution;
        ROWS = execution.ROWS();
        NOTES = notes;
    }

    // ---- structure ------------------------------------------------------------------------------------------------------------------------

    /// @notice The head of a payload is wrong. Opens its first two elements, unless the payload is shorter than a head.
    function proveHead(Claimed calldata claimed) external {
        ShownBatch memory batch = _show(claimed);
        if (batch.header.payloadBytes < HEAD_BYTES) return _conclude(claimed.id, Fault.Head);
        batch.head = LaneReader.headOf(batch.runs);
        _conclude(claimed.id, LaneReader.headFault(batch));
    }

    /// @notice The head of a payload names another place than behind its predecessor. Opens its first element.
    /// @param before the predecessor; nothing of it counts where the batch follows the genesis file
    function proveIndex(Claimed calldata claimed, BatchLink calldata before) external {
        ShownBatch memory batch = _show(claimed);
        uint64 expected = 0;
        if (batch.header.prevAccumulator != INBOX.genesisHash()) {
            _checkFollowed(before, batch.header.prevAccumulator);
            expected = before.index + 1;
        }
        _conclude(claimed.id, LaneReader.indexOf(batch.runs) != expected ? Fault.Head : Fault.None);
    }

    /// @notice A byte between two sections, or behind the payload, is not zero. Opens the head and the byte's element.
    function provePadding(Claimed calldata claimed, uint256 place) external {
        ShownBatch memory batch = _read(claimed);
        _conclude(claimed.id, LaneReader.paddingFault(batch, place));
    }

    /// @notice An element of a blob is none of a payload: its first byte is not zero. Opens nothing else.
    function proveElement(
        Claimed calldata claimed,
        uint256 element,
        bytes32 value,
        bytes calldata commitment,
        bytes calldata proof
    ) external {
        _show(claimed);
        bytes32 hash = claimed.payload.versionedHashes[element / BlobReader.ELEMENTS_PER_BLOB];
        BlobReader.openElement(hash, element, value, commitment, proof);
        _conclude(claimed.id, value[0] != 0 ? Fault.Padding : Fault.None);
    }

    /// @notice A group is not in its place, or its rows are malformed or out of order. Opens what `LaneReader.groupFault` needs.
    function proveRows(Claimed calldata claimed, uint32 group) external {
        ShownBatch memory batch = _read(claimed);
        if (group >= batch.head.groupCount) revert NoSuchGroup(group);
        (Fault fault,,) = LaneReader.groupFault(batch, group);
        _conclude(claimed.id, fault);
    }

    /// @notice Rows of one block, which may be far apart, can stand in no block in this order. Opens what `LaneReader.orderFault` needs.
    function proveOrder(Claimed calldata claimed, RowPlace[] calldata places) external {
        ShownBatch memory batch = _read(claimed);
        for (uint256 i = 0; i < places.length; ++i) {
            if (places[i].group >= batch.head.groupCount) revert NoSuchGroup(places[i].group);
        }
        _conclude(claimed.id, LaneReader.orderFault(batch, places));
    }

    // ---- roots ----------------------------------------------------------------------------------------------------------------------------

    /// @notice The checkpoint's ledger root is not the one after the last group of its batches.
    /// @param claimed its batch is the checkpoint's own
    function proveFinalRoot(Claimed calldata claimed) external {
        ShownBatch memory batch = _read(claimed);
        bool isOwn = claimed.from == 0 && claimed.links.length == 1;
        if (!isOwn) revert NotFollowed(batch.index, claimed.checkpoint.batchAccumulator);
        _conclude(claimed.id, LaneReader.rootAfter(batch) != claimed.checkpoint.ledgerRoot ? Fault.FinalRoot : Fault.None);
    }

    /// @notice The ledger root that a batch begins with is not the one after its predecessor, or that of genesis. Opens both heads, and the predecessor's last
    /// entry.
    /// @param before the predecessor; nothing of it counts where the batch follows the genesis file
    function proveRootBefore(Claimed calldata claimed, Predecessor calldata before) external {
        ShownBatch memory batch = _read(claimed);
        bytes32 root = INBOX.genesisLedgerRoot();
        if (batch.header.prevAccumulator != INBOX.genesisHash()) {
            _checkFollowed(before.link, batch.header.prevAccumulator);
            ShownBatch memory earlier = _open(before.link, before.payload);
            _readHead(earlier);
            root = LaneReader.rootAfter(earlier);
        }
        _conclude(claimed.id, batch.head.ledgerRootBefore != root ? Fault.RootBefore : Fault.None);
    }

    /// @notice A group's rows do not lead from the root before it to the root that is posted after it, or one of them is refused, or the group is malformed.
    function proveGroup(Claimed calldata claimed, uint32 group, GroupWitness calldata witness) external {
        ShownBatch memory batch = _read(claimed);
        if (group >= batch.head.groupCount) revert NoSuchGroup(group);
        Group memory shown;
        Rows memory rows;
        Fault fault;
        (fault, shown.context, rows) = LaneReader.groupFault(batch, group);
        if (fault != Fault.None) return _conclude(claimed.id, fault);

        shown.preRoot = group == 0 ? batch.head.ledgerRootBefore : LaneReader.entryAt(batch, group - 1).ledgerRoot;
        shown.postRoot = LaneReader.entryAt(batch, group).ledgerRoot;
        shown.rows = rows.expanded;
        shown.rowCount = rows.ends.length;
        shown.infos = _l1Facts(batch.header, LaneReader.l1Numbers(shown.rows), witness.l1Headers);
        shown.deposits = _deposits(witness.deposits);
        shown.depositCount = PORTAL.depositCount();
        (bool isRefused, bytes32 root,) = EXECUTION.executeGroup(shown, witness.ledger);
        _conclude(claimed.id, isRefused || root != shown.postRoot ? Fault.Execution : Fault.None);
    }

    /// @notice The checkpoint's ledger was told of an L1 block and left out a deposit that was queued in it, or before it.
    /// @param l1Record the ledger's l1 record, and its proof against the checkpoint's ledger root
    /// @param deposit the one at the record's cursor
    function proveDeposits(
        uint64 id,
        Checkpoint calldata checkpoint,
        bytes calldata l1Record,
        bytes32[] calldata siblings,
        DepositWitness calldata deposit
    ) external {
        _checkCheckpoint(id, checkpoint);
        bytes32 key = LedgerProof.keyOf(L1_TABLE, hex"03");
        bool isRecord = l1Record.length == L1_RECORD_BYTES && LedgerProof.isPresent(checkpoint.ledgerRoot, key, l1Record, siblings);
        if (!isRecord) revert BadL1Record();
        uint64 number = uint64(bytes8(l1Record[:8]));
        uint64 cursor = uint64(bytes8(l1Record[L1_RECORD_BYTES - 8:]));
        _checkDeposit(deposit);
        bool isLeftOut = deposit.facts.index == cursor && deposit.facts.l1Block <= number;
        _conclude(id, isLeftOut ? Fault.Deposits : Fault.None);
    }

    // ---- what is shown --------------------------------------------------------------------------------------------------------------------

    function _conclude(uint64 id, Fault fault) private {
        if (fault == Fault.None) revert NothingWrong();
        emit FraudProven(id, fault, msg.sender);
        CHECKPOINTS.invalidate(id, msg.sender);
    }

    /// @dev A batch that the checkpoint follows from, its head not yet read.
    function _show(Claimed calldata claimed) private view returns (ShownBatch memory) {
        _checkCheckpoint(claimed.id, claimed.checkpoint);
        BatchLink[] calldata links = claimed.links;
        if (links.length == 0) revert BatchesMissing();
        bytes32 accumulator = claimed.checkpoint.batchAccumulator;
        if (claimed.from != 0) {
            if (!NOTES.isAncestor(accumulator, claimed.from)) revert NotNoted(claimed.from);
            accumulator = claimed.from;
        }
        for (uint256 i = 0; i < links.length; ++i) {
            _checkFollowed(links[i], accumulator);
            accumulator = links[i].header.prevAccumulator;
        }
        BatchLink calldata link = links[links.length - 1];
        return _open(link, claimed.payload);
    }

    /// @dev The same with its head, which is not wrong.
    function _read(Claimed calldata claimed) private view returns (ShownBatch memory batch) {
        batch = _show(claimed);
        _readHead(batch);
    }

    function _readHead(ShownBatch memory batch) private pure {
        if (batch.header.payloadBytes < HEAD_BYTES) revert HeadWrong(batch.index);
        batch.head = LaneReader.headOf(batch.runs);
        if (LaneReader.headFault(batch) != Fault.None) revert HeadWrong(batch.index);
    }

    function _open(BatchLink calldata link, PayloadWitness calldata payload) private view returns (ShownBatch memory batch) {
        batch.index = link.index;
        batch.reader = ROWS;
        batch.header = link.header;
        batch.runs = BlobReader.open(link.dataHash, payload);
    }

    function _checkFollowed(BatchLink calldata link, bytes32 accumulator) private pure {
        bytes32 own = keccak256(abi.encode(link.header.prevAccumulator, link.index, link.header, link.dataHash));
        if (own != accumulator) revert NotFollowed(link.index, accumulator);
    }

    function _checkCheckpoint(uint64 id, Checkpoint calldata checkpoint) private view {
        (bytes32 hash,,) = CHECKPOINTS.checkpointAt(id);
        if (keccak256(abi.encode(checkpoint)) != hash) revert CheckpointMismatch(hash);
    }

    /// @dev What the headers say of the L1 blocks of these numbers, none of which is above the batch's.
    function _l1Facts(
        BatchHeader memory header,
        uint64[] memory numbers,
        bytes[] calldata headers
    ) private view returns (L1Facts[] memory facts) {
        facts = new L1Facts[](numbers.length);
        // A number that is refused by itself need not be that of a header: it may be as far back as it likes.
        for (uint256 k = 0; k < numbers.length; ++k) facts[k].number = numbers[k];
        bytes32 expected = header.l1OriginHash;
        for (uint256 i = 0; i < headers.length; ++i) {
            bytes32 hash = keccak256(headers[i]);
            Memory.Slice[] memory fields = BlockHeader.parseHeader(headers[i]);
            uint256 number = BlockHeader.getNumber(fields);
            if (hash != expected && hash != NOTES.l1HashOf(number)) revert L1HeaderMismatch(i, expected);
            for (uint256 k = 0; k < numbers.length; ++k) {
                if (numbers[k] != number) continue;
                facts[k] = L1Facts({
                    number: numbers[k],
                    hash: hash,
                    timestampSec: uint64(BlockHeader.getTimestamp(fields)),
                    baseFeeWei: BlockHeader.getBaseFeePerGas(fields),
                    prevRandao: BlockHeader.getPrevRandao(fields)
                });
            }
            expected = BlockHeader.getParentHash(fields);
        }
    }

    function _deposits(DepositWitness[] calldata witnesses) private view returns (DepositFacts[] memory facts) {
        facts = new DepositFacts[](witnesses.length);
        for (uint256 i = 0; i < witnesses.length; ++i) {
            _checkDeposit(witnesses[i]);
            facts[i] = witnesses[i].facts;
            if (i > 0 && facts[i].index <= facts[i - 1].index) revert DepositMismatch(facts[i].index);
        }
    }

    function _checkDeposit(DepositWitness calldata witness) private view {
        DepositFacts calldata facts = witness.facts;
        bytes32 leaf = DepositTree.leafOf(facts.index, facts.l1Block, facts.from, facts.to, keccak256(facts.opaqueData));
        if (!PORTAL.isDeposit(facts.index, leaf, witness.siblings)) revert DepositMismatch(facts.index);
    }
}
