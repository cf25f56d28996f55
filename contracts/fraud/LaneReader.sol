// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BatchHeader} from "../BatchInbox.sol";
import {BlobReader, Run} from "./BlobReader.sol";
import {BlockContext} from "./GroupTypes.sol";

/// @notice What stands at the beginning of a payload, as far as L1 reads it. Spec: docs/spec/batch.md#payload
struct PayloadHead {
    uint8 version;
    uint64 firstBlock;
    uint32 blockCount;
    uint32 laneElements;
    uint32 rowCount;
    uint32 groupCount;
    uint32 tailBytes;
    uint16 bitmapBytes;
}

/// @notice A posted batch and what is shown of its payload.
struct ShownBatch {
    uint64 index;
    BatchHeader header;
    Run[] runs;
    PayloadHead head;
}

/// @notice An entry of the groups' section.
struct GroupEntry {
    uint256 firstElement;
    uint256 contextElement;
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
    /// A group is not where its entry or the next one says.
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
    Deposits
}

/// @title From the payload of a batch to its rows, as strictly as settlement/batch.ts and execution/native/row.ts read them.
/// @notice Each function looks at one piece and answers what is wrong with it. Together the pieces are the whole: if none is wrong, everything is in its
/// place. Spec: docs/spec/fraud.md#structure
library LaneReader {
    using BlobReader for Run[];

    uint256 internal constant GROUP_ROWS = 16;

    uint256 private constant ELEMENT_BYTES = 31;
    uint256 private constant HEAD_ELEMENTS = 5;
    uint256 private constant HEAD_SHOWN_BYTES = 43;
    uint256 private constant SIGNATURE_BYTES = 96;
    uint256 private constant BITMAP_BYTES_MAX = 16;
    uint256 private constant BLOCKS_MAX = 4_096;
    uint256 private constant GROUP_BYTES = 40;
    uint256 private constant BLOCK_ELEMENTS = 2;
    uint256 private constant EVIDENCE_BYTES = 285;

    uint8 private constant BLOCK = 1;
    uint8 private constant L1_INFO = 2;
    uint8 private constant DEPOSIT = 3;
    uint8 private constant NATIVE = 4;
    uint8 private constant OPERATION = 5;
    uint8 private constant REPORT = 6;

    uint256 private constant MALFORMED = type(uint256).max;
    /// @dev Times are safe integers of JavaScript.
    uint64 private constant TIMESTAMP_MS_MAX = 2 ** 53 - 1;
    /// @dev Half of secp256k1's order.
    uint256 private constant S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @dev What is known of the block that a walk is in. What is not known hinders nothing.
    struct Walk {
        bool hasBlock;
        BlockContext context;
        uint256 blockElement;
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
        head.blockCount = uint32(_uint(bytes_, 17, 4));
        head.laneElements = uint32(_uint(bytes_, 21, 4));
        head.rowCount = uint32(_uint(bytes_, 25, 4));
        head.groupCount = uint32(_uint(bytes_, 29, 4));
        head.tailBytes = uint32(_uint(bytes_, 33, 4));
        head.bitmapBytes = uint16(_uint(bytes_, 41, 2));
    }

    /// @notice The place that a payload gives itself. Needs its first element.
    function indexOf(Run[] memory runs) internal pure returns (uint64) {
        return uint64(_uint(runs.read(1, 8), 0, 8));
    }

    /// @notice Whether the head is wrong by itself or beside the header. The other functions may be asked only where it is not.
    function headFault(ShownBatch memory batch) internal pure returns (Fault) {
        PayloadHead memory head = batch.head;
        BatchHeader memory header = batch.header;
        uint256 rows = head.rowCount;
        bool isWrong = head.version != 1
            || head.bitmapBytes == 0
            || head.bitmapBytes > BITMAP_BYTES_MAX
            || head.firstBlock != header.firstBlock
            || head.blockCount == 0
            || head.blockCount > BLOCKS_MAX
            || head.blockCount != uint256(header.lastBlock) - header.firstBlock + 1
            || head.groupCount != (rows + GROUP_ROWS - 1) / GROUP_ROWS
            || head.laneElements < rows
            || (rows == 0 && head.laneElements != 0)
            || tailAt(head) + head.tailBytes != header.payloadBytes;
        return isWrong ? Fault.Head : Fault.None;
    }

    /// @notice Whether the byte at this place of the payload had to be zero, and is not.
    function paddingFault(ShownBatch memory batch, uint256 pos) internal pure returns (Fault) {
        PayloadHead memory head = batch.head;
        uint256 headEnd = HEAD_SHOWN_BYTES + head.bitmapBytes + SIGNATURE_BYTES;
        uint256 groupsEnd = groupsAt(head) + uint256(head.groupCount) * GROUP_BYTES;
        bool isPadding = (pos >= headEnd && pos < HEAD_ELEMENTS * ELEMENT_BYTES)
            || (pos >= groupsEnd && pos < tailAt(head))
            || pos >= batch.header.payloadBytes;
        return isPadding && batch.runs.read(pos, 1)[0] != 0 ? Fault.Padding : Fault.None;
    }

    /// @notice Entry of the groups' section.
    function entryAt(ShownBatch memory batch, uint256 group) internal pure returns (GroupEntry memory entry) {
        bytes memory bytes_ = batch.runs.read(groupsAt(batch.head) + group * GROUP_BYTES, GROUP_BYTES);
        entry.firstElement = _uint(bytes_, 0, 4);
        entry.contextElement = _uint(bytes_, 4, 4);
        entry.ledgerRoot = bytes32(_uint(bytes_, 8, 32));
    }

    /// @notice What is wrong with a group: its place, its rows, their order, or the next group's place, which follows from them. `context` is that of the first
    /// row, `from` and `end` the bytes of the rows.
    /// @dev Needs the group's entry and the next one, the row that rules the first row, the group's rows, and the first element of the next group.
    function groupFault(
        ShownBatch memory batch,
        uint256 group
    ) internal pure returns (Fault fault, BlockContext memory context, uint256 from, uint256 end) {
        GroupEntry memory entry = entryAt(batch, group);
        GroupEntry memory next;
        bool isLast = group + 1 == batch.head.groupCount;
        uint256 lane = batch.head.laneElements;
        if (!isLast) next = entryAt(batch, group + 1);
        from = entry.firstElement;
        end = isLast ? lane : next.firstElement;
        if (group == 0 && from != 0) return (Fault.Place, context, from, end);
        if (entry.contextElement > from || from >= end || end > lane) return (Fault.Place, context, from, end);

        Walk memory walk;
        if (entry.contextElement != from && !_startsBehind(batch, entry, walk)) return (Fault.Place, context, from, end);
        uint256 pos = from;
        uint256 rows = rowsOf(batch.head, group);
        for (uint256 i = 0; i < rows; ++i) {
            bytes memory row;
            (fault, row) = _rowAt(batch, pos);
            if (fault == Fault.None) fault = _step(walk, row, pos, batch.header);
            if (fault != Fault.None) return (fault, context, from, end);
            if (i == 0) context = walk.context;
            pos += row.length / ELEMENT_BYTES;
        }
        if (pos != end) return (Fault.Place, context, from, end);
        if (isLast) return (walk.isBehindBlock ? Fault.Order : Fault.None, context, from, end);
        bool isBlock = uint8(batch.runs.read(laneAt(end), 1)[0]) == BLOCK;
        if (next.contextElement != (isBlock ? end : walk.blockElement)) return (Fault.Place, context, from, end);
    }

    /// @notice Whether rows of one block, in their order but perhaps not all of them, can stand in no block, whatever stands between them.
    /// @dev Needs the entries of their groups, the first element of each row of those groups up to them, and that of the row behind the block row.
    function orderFault(ShownBatch memory batch, RowPlace[] calldata places) internal pure returns (Fault) {
        uint256 blockElement;
        uint256 before;
        Walk memory walk;
        for (uint256 i = 0; i < places.length; ++i) {
            (uint256 pos, uint256 blockAt) = _elementOf(batch, places[i]);
            if (i == 0) {
                blockElement = blockAt;
                before = blockAt;
                uint8 second = uint8(batch.runs.read(laneAt(blockAt + BLOCK_ELEMENTS), 1)[0]);
                walk.noDeposit = second != L1_INFO;
            }
            // Not of one block, or not ascending: nothing is shown.
            if (blockAt != blockElement || pos <= before) return Fault.None;
            before = pos;
            if (_forbids(walk, uint8(batch.runs.read(laneAt(pos), 1)[0]))) return Fault.Order;
        }
        return Fault.None;
    }

    function laneAt(uint256 element) internal pure returns (uint256) {
        return (HEAD_ELEMENTS + element) * ELEMENT_BYTES;
    }

    function groupsAt(PayloadHead memory head) internal pure returns (uint256) {
        return laneAt(head.laneElements);
    }

    function tailAt(PayloadHead memory head) internal pure returns (uint256) {
        uint256 elements = (uint256(head.groupCount) * GROUP_BYTES + ELEMENT_BYTES - 1) / ELEMENT_BYTES;
        return groupsAt(head) + elements * ELEMENT_BYTES;
    }

    /// @notice Rows of a group.
    function rowsOf(PayloadHead memory head, uint256 group) internal pure returns (uint256) {
        return group + 1 == head.groupCount ? head.rowCount - group * GROUP_ROWS : GROUP_ROWS;
    }

    /// @notice Whether the batch has a row at this place.
    function hasRow(PayloadHead memory head, RowPlace calldata place) internal pure returns (bool) {
        return place.group < head.groupCount && place.row < rowsOf(head, place.group);
    }

    /// @notice Numbers of the L1 info rows among well-formed rows.
    function l1Numbers(bytes memory rows) internal pure returns (uint64[] memory numbers) {
        numbers = new uint64[](GROUP_ROWS);
        uint256 count = 0;
        for (uint256 pos = 0; pos < rows.length; pos += _uint(rows, pos + 1, 2) * ELEMENT_BYTES) {
            if (uint8(rows[pos]) == L1_INFO) numbers[count++] = uint64(_uint(rows, pos + 3, 8));
        }
        assembly ("memory-safe") {
            mstore(numbers, count)
        }
    }

    // ---- rows -----------------------------------------------------------------------------------------------------------------------

    /// @dev A group that does not begin with a block row: its first row is ruled by the row at `contextElement`.
    function _startsBehind(ShownBatch memory batch, GroupEntry memory entry, Walk memory walk) private pure returns (bool) {
        if (entry.contextElement + BLOCK_ELEMENTS > entry.firstElement) return false;
        (Fault fault, bytes memory row) = _rowAt(batch, entry.contextElement);
        if (fault != Fault.None || uint8(row[0]) != BLOCK) return false;
        walk.hasBlock = true;
        walk.context = _contextOf(row);
        walk.blockElement = entry.contextElement;
        walk.isBehindBlock = entry.contextElement + BLOCK_ELEMENTS == entry.firstElement;
        walk.noDeposit = walk.isBehindBlock;
        return true;
    }

    /// @dev The row at an element of the lane, or that none is there.
    function _rowAt(ShownBatch memory batch, uint256 element) private pure returns (Fault, bytes memory row) {
        uint256 lane = batch.head.laneElements;
        if (element >= lane) return (Fault.Row, row);
        uint256 elements = _uint(batch.runs.read(laneAt(element) + 1, 2), 0, 2);
        if (elements == 0 || elements > lane - element) return (Fault.Row, row);
        row = batch.runs.read(laneAt(element), elements * ELEMENT_BYTES);
        uint256 end = _endOf(row);
        if (end == MALFORMED || (end + ELEMENT_BYTES - 1) / ELEMENT_BYTES != elements) return (Fault.Row, row);
        return (_isZero(row, end) ? Fault.None : Fault.Row, row);
    }

    /// @dev Where the body of a row ends, before the zeros.
    function _endOf(bytes memory row) private pure returns (uint256) {
        uint8 kind = uint8(row[0]);
        if (kind == L1_INFO) return 27;
        if (kind == DEPOSIT) return 11;
        if (kind == REPORT) return 3 + EVIDENCE_BYTES;
        if (kind == BLOCK) {
            if (row.length < BLOCK_ELEMENTS * ELEMENT_BYTES || _uint(row, 11, 8) > TIMESTAMP_MS_MAX) return MALFORMED;
            return 51;
        }
        if (kind == OPERATION) {
            bytes memory schema = _schemaOf(uint8(row[3]), true);
            return schema.length == 0 ? MALFORMED : _skip(row, 24, schema);
        }
        if (kind != NATIVE || row.length < 3 * ELEMENT_BYTES) return MALFORMED;
        if (uint8(row[4]) > 1 || _uint(row, 37, 32) > S_MAX) return MALFORMED;
        bytes memory fields = _schemaOf(uint8(row[3]), false);
        return fields.length == 0 ? MALFORMED : _skip(row, 89, fields);
    }

    function _contextOf(bytes memory row) private pure returns (BlockContext memory context) {
        context.number = uint64(_uint(row, 3, 8));
        context.timestampMs = uint64(_uint(row, 11, 8));
        context.baseFeeWei = uint96(_uint(row, 19, 12));
        context.coinbase = address(uint160(_uint(row, 31, 20)));
    }

    /// @dev The next row, well formed, of a walk along neighbouring rows.
    function _step(Walk memory walk, bytes memory row, uint256 pos, BatchHeader memory header) private pure returns (Fault) {
        uint8 kind = uint8(row[0]);
        bool isBehindBlock = walk.isBehindBlock;
        walk.isBehindBlock = kind == BLOCK;
        if (kind == BLOCK) {
            BlockContext memory context = _contextOf(row);
            if (isBehindBlock || context.number < header.firstBlock || context.number > header.lastBlock) return Fault.Order;
            if (walk.hasBlock) {
                if (context.number <= walk.context.number) return Fault.Order;
                // Each block is a millisecond or more after the one before.
                uint256 after_ = uint256(walk.context.timestampMs) + (context.number - walk.context.number);
                if (context.timestampMs < after_) return Fault.Order;
            }
            walk.hasBlock = true;
            walk.context = context;
            walk.blockElement = pos;
            walk.noDeposit = true;
            walk.noReport = false;
            return Fault.None;
        }
        if (!walk.hasBlock) return Fault.Order;
        if (kind == L1_INFO) {
            if (!isBehindBlock || _uint(row, 3, 8) > header.l1OriginNumber) return Fault.Order;
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

    /// @dev Where a row starts, and the block row that rules it, by its group's entry and the lengths of the rows before it.
    function _elementOf(ShownBatch memory batch, RowPlace calldata place) private pure returns (uint256 pos, uint256 blockAt) {
        GroupEntry memory entry = entryAt(batch, place.group);
        pos = entry.firstElement;
        blockAt = entry.contextElement;
        for (uint256 i = 0; i < place.row; ++i) {
            bytes memory head = batch.runs.read(laneAt(pos), 3);
            if (uint8(head[0]) == BLOCK) blockAt = pos;
            pos += _uint(head, 1, 2);
        }
    }

    // ---- fields: the packed form of a type's parameters ---------------------------------------------------------------------------------

    uint8 private constant FIXED = 0;
    uint8 private constant BYTES = 1;
    uint8 private constant STRING = 2;
    uint8 private constant ARRAY = 3;
    uint8 private constant STRUCTS = 4;

    /// @dev Parameters of a type, two bytes a piece: fixed widths together (their bytes), `bytes`, `string`, arrays (bytes of an item), and arrays of structs
    /// that have no fixed width (pieces of an item, which follow). Empty: there is no such type. Source: execution/native/native.ts.
    function _schemaOf(uint8 typeByte, bool isOperation) private pure returns (bytes memory) {
        if (typeByte == 0x50) return hex"0021";
        if (typeByte == 0x51) return hex"02000045";
        if (typeByte == 0x52) return hex"00240100000c0317";
        if (typeByte == 0x53) return hex"000c";
        if (typeByte == 0x54) return hex"020000a4032e0037";
        if (typeByte == 0x55) return hex"00410200";
        if (typeByte == 0x56) return hex"0090040300bc0100000c03040306";
        if (typeByte == 0x57) return hex"00190320030403060100" hex"0100";
        if (typeByte == 0x58) return hex"0304";
        if (typeByte == 0x59 && isOperation) return hex"0040";
        return "";
    }

    /// @dev Where fields of this schema end that start at `at`.
    function _skip(bytes memory row, uint256 pos, bytes memory schema) private pure returns (uint256) {
        for (uint256 i = 0; i < schema.length; i += 2) {
            uint8 piece = uint8(schema[i]);
            uint256 width = uint8(schema[i + 1]);
            if (piece == STRUCTS) {
                uint256 items;
                (pos, items) = _count(row, pos);
                // ends: an item has at least one byte, and none is read past the row's end
                for (; items > 0 && pos <= row.length; --items) pos = _skipPieces(row, pos, schema, i + 2, width);
                i += width * 2;
            } else {
                pos = _skipPiece(row, pos, piece, width);
            }
            if (pos > row.length) return MALFORMED;
        }
        return pos;
    }

    function _skipPieces(bytes memory row, uint256 pos, bytes memory schema, uint256 from, uint256 pieces) private pure returns (uint256) {
        for (uint256 i = 0; i < pieces; ++i) {
            pos = _skipPiece(row, pos, uint8(schema[from + 2 * i]), uint8(schema[from + 2 * i + 1]));
            if (pos > row.length) return MALFORMED;
        }
        return pos;
    }

    function _skipPiece(bytes memory row, uint256 pos, uint8 piece, uint256 width) private pure returns (uint256) {
        if (piece == FIXED) return pos + width;
        uint256 count;
        (pos, count) = _count(row, pos);
        if (pos > row.length) return MALFORMED;
        if (piece == ARRAY) return pos + count * width;
        if (piece == STRING && pos + count <= row.length && !_isUtf8(row, pos, pos + count)) return MALFORMED;
        return pos + count;
    }

    function _count(bytes memory row, uint256 pos) private pure returns (uint256, uint256) {
        return pos + 2 > row.length ? (MALFORMED, 0) : (pos + 2, _uint(row, pos, 2));
    }

    /// @dev Whether the bytes are UTF-8, in its shortest form, without surrogates. Source: The Unicode Standard, table 3-7.
    function _isUtf8(bytes memory text, uint256 pos, uint256 end) private pure returns (bool) {
        while (pos < end) {
            uint8 first = uint8(text[pos++]);
            if (first < 0x80) continue;
            if (first < 0xc2 || first > 0xf4) return false;
            uint256 more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
            if (pos + more > end) return false;
            uint8 least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
            uint8 most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
            for (; more > 0; --more) {
                uint8 byte_ = uint8(text[pos++]);
                if (byte_ < least || byte_ > most) return false;
                (least, most) = (0x80, 0xbf);
            }
        }
        return true;
    }

    // ---- bytes --------------------------------------------------------------------------------------------------------------------------

    /// @dev Whether there are only zeros from `at` on: fewer than 31, or a length that is wrong anyway.
    function _isZero(bytes memory data, uint256 pos) private pure returns (bool) {
        for (; pos < data.length; ++pos) if (data[pos] != 0) return false;
        return true;
    }

    /// @dev A big-endian integer of up to 32 bytes, which lie within the bytes.
    function _uint(bytes memory data, uint256 pos, uint256 width) private pure returns (uint256 value) {
        assert(pos + width <= data.length);
        assembly ("memory-safe") {
            value := shr(mul(8, sub(32, width)), mload(add(add(data, 0x20), pos)))
        }
    }
}
