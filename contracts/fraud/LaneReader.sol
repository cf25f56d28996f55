// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BatchHeader} from "../BatchInbox.sol";
import {BlobReader, Run} from "./BlobReader.sol";
import {BlockContext} from "./GroupTypes.sol";
import {IRowReader, Rows} from "./RowReader.sol";

/// @notice What stands at the beginning of a payload, as far as L1 reads it. Spec: docs/spec/batch.md#payload
struct PayloadHead {
    uint8 version;
    uint64 firstBlock;
    uint16 blockCount;
    uint24 laneBytes;
    uint16 groupCount;
    uint24 tailBytes;
    /// Of the block before the batch, as the batch says.
    bytes32 ledgerRootBefore;
    uint16 bitmapBytes;
}

/// @notice A posted batch and what is shown of its payload.
struct ShownBatch {
    uint64 index;
    BatchHeader header;
    Run[] runs;
    PayloadHead head;
    /// Who reads the rows.
    IRowReader reader;
}

/// @notice An entry of the groups' section.
struct GroupEntry {
    uint256 firstByte;
    uint256 contextByte;
    bytes32 ledgerRoot;
}

/// @notice A row by its place: the n-th (from 0) of a group.
struct RowPlace {
    uint32 group;
    uint8 row;
}

/// @notice What is wrong with a batch. Nothing of it can be said of a batch that encodeBatch made (settlement/batch.ts).
enum Fault {
    None,
    /// The head contradicts the header or itself.
    Head,
    /// A byte that has to be zero is not.
    Padding,
    /// A group is not where its entry or the next one says, or is more than one transaction can execute.
    Place,
    /// A row that is no row.
    Row,
    /// Rows in an order that no blocks give.
    Order,
    /// The root that is posted is not the one that the rows lead to, or a row is refused.
    Execution,
    /// The checkpoint's ledger root is not the one after the last group.
    FinalRoot,
    /// Deposits that were due at the checkpoint's L1 origin were left out.
    Deposits,
    /// The ledger root before the batch is not the one after its predecessor.
    RootBefore
}

/// @title From the payload of a batch to its rows, as strictly as settlement/batch.ts and execution/native/row.ts read them.
/// @notice Each function looks at one piece and answers what is wrong with it. Together the pieces are the whole: if none is wrong, everything is in its
/// place. Spec: docs/spec/fraud.md#structure
library LaneReader {
    using BlobReader for Run[];

    /// @dev What a group may be. Source: genesis/params.ts, GROUP
    uint256 private constant GROUP_ROWS = 16;
    uint256 private constant GROUP_BYTES_MAX = 8_192;
    uint256 private constant GROUP_WEIGHT_MAX = 9_000;

    uint256 private constant HEAD_BYTES = 186;
    uint256 private constant HEAD_SHOWN_BYTES = 61;
    /// @dev Round and signature, behind the bitmap.
    uint256 private constant COMMIT_BYTES = 100;
    uint256 private constant BITMAP_BYTES_MAX = 16;
    uint256 private constant BLOCKS_MAX = 4_096;
    uint256 private constant ENTRY_BYTES = 38;
    uint256 private constant BLOCK_ROW_BYTES_MAX = 52;

    uint8 private constant BLOCK = 1;
    uint8 private constant L1_INFO = 2;
    uint8 private constant DEPOSIT = 3;
    uint8 private constant NATIVE = 4;
    uint8 private constant OPERATION = 5;
    uint8 private constant REPORT = 6;

    /// @dev A row expanded: kind u8 ‖ paid u24 ‖ length u24 ‖ body.
    uint256 private constant FRAME_BYTES = 7;

    /// @dev What is known of the block that a walk is in. What is not known hinders nothing.
    struct Walk {
        bool hasBlock;
        BlockContext context;
        uint256 blockByte;
        /// The row before was the block row.
        bool isBehindBlock;
        /// No deposit, no report may come any more.
        bool noDeposit;
        bool noReport;
    }

    /// @notice The head. Needs the payload's first two elements.
    function headOf(Run[] memory runs) internal pure returns (PayloadHead memory head) {
        bytes memory bytes_ = runs.read(0, HEAD_SHOWN_BYTES);
        head.version = uint8(bytes_[0]);
        head.firstBlock = uint64(_uint(bytes_, 9, 8));
        head.blockCount = uint16(_uint(bytes_, 17, 2));
        head.laneBytes = uint24(_uint(bytes_, 19, 3));
        head.groupCount = uint16(_uint(bytes_, 22, 2));
        head.tailBytes = uint24(_uint(bytes_, 24, 3));
        head.ledgerRootBefore = bytes32(_uint(bytes_, 27, 32));
        head.bitmapBytes = uint16(_uint(bytes_, 59, 2));
    }

    /// @notice The place that a payload gives itself. Needs its first element.
    function indexOf(Run[] memory runs) internal pure returns (uint64) {
        return uint64(_uint(runs.read(1, 8), 0, 8));
    }

    /// @notice Whether the head is wrong by itself or beside the header. The other functions may be asked only where it is not.
    function headFault(ShownBatch memory batch) internal pure returns (Fault) {
        PayloadHead memory head = batch.head;
        BatchHeader memory header = batch.header;
        bool isWrong = head.version != 1
            || head.bitmapBytes == 0
            || head.bitmapBytes > BITMAP_BYTES_MAX
            || head.firstBlock != header.firstBlock
            || head.blockCount == 0
            || head.blockCount > BLOCKS_MAX
            || head.blockCount != uint256(header.lastBlock) - header.firstBlock + 1
            || head.groupCount > head.laneBytes
            || (head.groupCount == 0 && head.laneBytes != 0)
            || tailAt(head) + head.tailBytes != header.payloadBytes;
        return isWrong ? Fault.Head : Fault.None;
    }

    /// @notice Whether the byte at this place of the payload had to be zero, and is not.
    function paddingFault(ShownBatch memory batch, uint256 pos) internal pure returns (Fault) {
        PayloadHead memory head = batch.head;
        uint256 headEnd = HEAD_SHOWN_BYTES + head.bitmapBytes + COMMIT_BYTES;
        bool isPadding = (pos >= headEnd && pos < HEAD_BYTES) || pos >= batch.header.payloadBytes;
        return isPadding && batch.runs.read(pos, 1)[0] != 0 ? Fault.Padding : Fault.None;
    }

    /// @notice Entry of the groups' section.
    function entryAt(ShownBatch memory batch, uint256 group) internal pure returns (GroupEntry memory entry) {
        bytes memory bytes_ = batch.runs.read(groupsAt(batch.head) + group * ENTRY_BYTES, ENTRY_BYTES);
        entry.firstByte = _uint(bytes_, 0, 3);
        entry.contextByte = _uint(bytes_, 3, 3);
        entry.ledgerRoot = bytes32(_uint(bytes_, 6, 32));
    }

    /// @notice What is wrong with a group: its place, its size, its rows, their order, or the next group's place, which follows from them. `context` is that of
    /// the first row.
    /// @dev Needs the group's entry and the next one, the row that rules the first row, the group's rows, and the first byte of the next group.
    function groupFault(
        ShownBatch memory batch,
        uint256 group
    ) internal view returns (Fault fault, BlockContext memory context, Rows memory rows) {
        GroupEntry memory entry = entryAt(batch, group);
        GroupEntry memory next;
        bool isLast = group + 1 == batch.head.groupCount;
        if (!isLast) next = entryAt(batch, group + 1);
        uint256 from = entry.firstByte;
        uint256 end = isLast ? batch.head.laneBytes : next.firstByte;
        if (group == 0 && from != 0) return (Fault.Place, context, rows);
        if (entry.contextByte > from || !_isRange(batch, from, end)) return (Fault.Place, context, rows);

        Walk memory walk;
        if (entry.contextByte != from && !_startsBehind(batch, entry, walk)) return (Fault.Place, context, rows);
        rows = batch.reader.read(batch.runs.read(HEAD_BYTES + from, end - from), GROUP_ROWS);
        if (rows.isMalformed) return (Fault.Row, context, rows);
        uint256 count = rows.ends.length;
        if (rows.ends[count - 1] != end - from || (count > 1 && rows.weight > GROUP_WEIGHT_MAX)) return (Fault.Place, context, rows);
        uint256 offset = 0;
        for (uint256 i = 0; i < count; ++i) {
            uint256 pos = from + (i == 0 ? 0 : rows.ends[i - 1]);
            fault = _step(walk, rows.expanded, offset, pos, batch.header);
            if (fault != Fault.None) return (fault, context, rows);
            if (i == 0) context = walk.context;
            offset = _behind(rows.expanded, offset);
        }
        if (isLast) return (walk.isBehindBlock ? Fault.Order : Fault.None, context, rows);
        bool isBlock = _kindAt(batch, end) == BLOCK;
        if (next.contextByte != (isBlock ? end : walk.blockByte)) return (Fault.Place, context, rows);
    }

    /// @notice Whether rows of one block, in their order but perhaps not all of them, can stand in no block, whatever stands between them.
    /// @dev Needs the entries of their groups and the next ones, the rows of those groups, and the row behind the block row.
    function orderFault(ShownBatch memory batch, RowPlace[] calldata places) internal view returns (Fault) {
        uint256 blockByte;
        uint256 before;
        Walk memory walk;
        for (uint256 i = 0; i < places.length; ++i) {
            (bool isThere, uint256 pos, uint256 blockAt) = _placeOf(batch, places[i]);
            if (!isThere) return Fault.None;
            if (i == 0) {
                blockByte = blockAt;
                before = blockAt;
                uint256 length = _blockRowBytes(batch, blockAt);
                if (length == 0) return Fault.None;
                walk.noDeposit = _kindAt(batch, blockAt + length) != L1_INFO;
            }
            // Not of one block, or not ascending: nothing is shown.
            if (blockAt != blockByte || pos <= before) return Fault.None;
            before = pos;
            if (_forbids(walk, _kindAt(batch, pos))) return Fault.Order;
        }
        return Fault.None;
    }

    /// @notice The ledger root after the batch, as it is posted: after its last group, or before it where it has none. Needs the last group's entry.
    function rootAfter(ShownBatch memory batch) internal pure returns (bytes32) {
        uint256 groups = batch.head.groupCount;
        return groups == 0 ? batch.head.ledgerRootBefore : entryAt(batch, groups - 1).ledgerRoot;
    }

    function groupsAt(PayloadHead memory head) internal pure returns (uint256) {
        return HEAD_BYTES + head.laneBytes;
    }

    function tailAt(PayloadHead memory head) internal pure returns (uint256) {
        return groupsAt(head) + uint256(head.groupCount) * ENTRY_BYTES;
    }

    /// @notice Numbers of the L1 info rows among expanded rows.
    function l1Numbers(bytes memory rows) internal pure returns (uint64[] memory numbers) {
        numbers = new uint64[](GROUP_ROWS);
        uint256 count = 0;
        for (uint256 offset = 0; offset < rows.length; offset = _behind(rows, offset)) {
            if (uint8(rows[offset]) == L1_INFO) numbers[count++] = uint64(_uint(rows, offset + FRAME_BYTES, 8));
        }
        assembly ("memory-safe") {
            mstore(numbers, count)
        }
    }

    // ---- rows -----------------------------------------------------------------------------------------------------------------------

    /// @dev A group that does not begin with a block row: its first row is ruled by the row at `contextByte`.
    function _startsBehind(ShownBatch memory batch, GroupEntry memory entry, Walk memory walk) private view returns (bool) {
        uint256 room = entry.firstByte - entry.contextByte;
        Rows memory rows =
            batch.reader.read(batch.runs.read(HEAD_BYTES + entry.contextByte, room < BLOCK_ROW_BYTES_MAX ? room : BLOCK_ROW_BYTES_MAX), 1);
        if (rows.ends.length == 0 || uint8(rows.expanded[0]) != BLOCK) return false;
        walk.hasBlock = true;
        walk.context = _contextOf(rows.expanded, 0);
        walk.blockByte = entry.contextByte;
        walk.isBehindBlock = rows.ends[0] == room;
        walk.noDeposit = walk.isBehindBlock;
        return true;
    }

    /// @dev Length of the block row at a place of the lane; 0: there is none, or nothing behind it.
    function _blockRowBytes(ShownBatch memory batch, uint256 place) private view returns (uint256) {
        uint256 room = batch.head.laneBytes - place;
        Rows memory rows = batch.reader.read(batch.runs.read(HEAD_BYTES + place, room < BLOCK_ROW_BYTES_MAX ? room : BLOCK_ROW_BYTES_MAX), 1);
        return rows.ends.length == 0 || uint8(rows.expanded[0]) != BLOCK || rows.ends[0] == room ? 0 : rows.ends[0];
    }

    /// @dev Whether a group can stand from one place of the lane to the other.
    function _isRange(ShownBatch memory batch, uint256 from, uint256 end) private pure returns (bool) {
        return from < end && end - from <= GROUP_BYTES_MAX && end <= batch.head.laneBytes;
    }

    function _kindAt(ShownBatch memory batch, uint256 place) private pure returns (uint8) {
        uint8 head = uint8(batch.runs.read(HEAD_BYTES + place, 1)[0]);
        if (head >= 0x80) return OPERATION;
        return head >= 0x50 ? NATIVE : head;
    }

    function _contextOf(bytes memory rows, uint256 offset) private pure returns (BlockContext memory context) {
        uint256 body = offset + FRAME_BYTES;
        context.number = uint64(_uint(rows, body, 8));
        context.timestampMs = uint64(_uint(rows, body + 8, 8));
        context.baseFeeWei = uint96(_uint(rows, body + 16, 12));
        context.coinbase = address(uint160(_uint(rows, body + 28, 20)));
    }

    /// @dev Where the expanded row ends that starts at `offset`.
    function _behind(bytes memory rows, uint256 offset) private pure returns (uint256) {
        return offset + FRAME_BYTES + _uint(rows, offset + 4, 3);
    }

    /// @dev The next row, well formed, of a walk along neighbouring rows.
    /// @param offset where it stands, expanded
    /// @param pos where it stands in the lane
    function _step(Walk memory walk, bytes memory rows, uint256 offset, uint256 pos, BatchHeader memory header) private pure returns (Fault) {
        uint8 kind = uint8(rows[offset]);
        bool isBehindBlock = walk.isBehindBlock;
        walk.isBehindBlock = kind == BLOCK;
        if (kind == BLOCK) {
            BlockContext memory context = _contextOf(rows, offset);
            if (isBehindBlock || context.number < header.firstBlock || context.number > header.lastBlock) return Fault.Order;
            if (walk.hasBlock) {
                if (context.number <= walk.context.number) return Fault.Order;
                // Each block is a millisecond or more after the one before.
                uint256 after_ = uint256(walk.context.timestampMs) + (context.number - walk.context.number);
                if (context.timestampMs < after_) return Fault.Order;
            }
            walk.hasBlock = true;
            walk.context = context;
            walk.blockByte = pos;
            walk.noDeposit = true;
            walk.noReport = false;
            return Fault.None;
        }
        if (!walk.hasBlock) return Fault.Order;
        if (kind == L1_INFO) {
            if (!isBehindBlock || _uint(rows, offset + FRAME_BYTES, 8) > header.l1OriginNumber) return Fault.Order;
            walk.noDeposit = false;
            return Fault.None;
        }
        return _forbids(walk, kind) ? Fault.Order : Fault.None;
    }

    /// @dev Whether a row of this kind may not come any more in its block; if it may, what may not come after it.
    function _forbids(Walk memory walk, uint8 kind) private pure returns (bool) {
        if (kind == DEPOSIT) return walk.noDeposit;
        if (kind == REPORT) {
            if (walk.noReport) return true;
            walk.noDeposit = true;
        } else if (kind == NATIVE) {
            walk.noDeposit = true;
            walk.noReport = true;
        } else if (kind == OPERATION && walk.noDeposit) {
            walk.noReport = true;
        }
        return false;
    }

    /// @dev Whether the batch has such a row; where it starts, and the block row that rules it.
    function _placeOf(ShownBatch memory batch, RowPlace calldata place) private view returns (bool isThere, uint256 pos, uint256 blockAt) {
        GroupEntry memory entry = entryAt(batch, place.group);
        bool isLast = uint256(place.group) + 1 == batch.head.groupCount;
        uint256 end = isLast ? batch.head.laneBytes : entryAt(batch, uint256(place.group) + 1).firstByte;
        if (entry.contextByte > entry.firstByte || !_isRange(batch, entry.firstByte, end)) return (false, 0, 0);
        bytes memory lane = batch.runs.read(HEAD_BYTES + entry.firstByte, end - entry.firstByte);
        Rows memory rows = batch.reader.read(lane, uint256(place.row) + 1);
        if (rows.ends.length <= place.row) return (false, 0, 0);
        pos = entry.firstByte;
        blockAt = entry.contextByte;
        for (uint256 i = 0; i < place.row; ++i) {
            if (uint8(lane[pos - entry.firstByte]) == BLOCK) blockAt = pos;
            pos = entry.firstByte + rows.ends[i];
        }
        return (true, pos, blockAt);
    }

    // ---- bytes --------------------------------------------------------------------------------------------------------------------------

    /// @dev A big-endian integer of up to 32 bytes, which lie within the bytes.
    function _uint(bytes memory data, uint256 pos, uint256 width) private pure returns (uint256 value) {
        assert(pos + width <= data.length);
        assembly ("memory-safe") {
            value := shr(mul(8, sub(32, width)), mload(add(add(data, 0x20), pos)))
        }
    }
}
