// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Rows that stand one behind another.
struct Rows {
    /// Where each row ends, from the first byte of all.
    uint256[] ends;
    /// Of all together, in thousands of gas.
    uint256 weight;
    /// What stands behind the last of them is no row.
    bool isMalformed;
    /// Each as kind u8 ‖ bytes that are paid for u24 ‖ length u24 ‖ body of that length, members at their widths.
    bytes expanded;
}

/// @notice Reads rows. Spec: docs/spec/batch.md#rows
interface IRowReader {
    /// @notice The rows from the first byte on: to the last one, to `rowsMax` of them, or to what is no row.
    function read(bytes calldata lane, uint256 rowsMax) external view returns (Rows memory rows);
}

/// @title From the bytes of a lane to rows, as strictly as execution/native/row.ts reads them, and what executing each may take.
/// @notice It has no state and no owner. One value has one form: whatever is longer than need, out of range or of no kind is no row.
contract RowReader is IRowReader {
    /// @notice The bytes are no row.
    error Malformed();

    uint8 internal constant BLOCK = 1;
    uint8 internal constant L1_INFO = 2;
    uint8 internal constant DEPOSIT = 3;
    uint8 internal constant NATIVE = 4;
    uint8 internal constant OPERATION = 5;
    uint8 internal constant REPORT = 6;

    uint256 private constant OPERATION_BIT = 0x80;
    uint8 private constant UPLOAD_TYPE = 0x52;
    uint8 private constant CREDIT_TYPE = 0x56;
    uint8 private constant DISPUTE_TYPE = 0x57;

    /// @dev Longest row, and longest group. Source: genesis/params.ts, GROUP
    uint256 private constant BYTES_MAX = 8_192;
    uint256 private constant WEIGHT_MAX = 9_000;
    uint256 private constant WEIGHT_PER_BYTE = 2;
    uint256 private constant WEIGHT_PER_RECORD = 36;
    uint256 private constant DEPOSIT_RECORDS = 16;
    uint256 private constant REPORT_RECORDS = 30;

    uint256 private constant EVIDENCE_BYTES = 285;
    /// @dev What the head of a native row is paid as: 84 bytes for type, signature, nonce and fee; that of an operation has 21.
    uint256 private constant NATIVE_HEAD_PAID = 84;
    uint256 private constant OPERATION_HEAD_PAID = 21;
    /// @dev What the verdict of a dispute is paid as.
    uint256 private constant VERDICT_PAID = 1_600;
    /// @dev Half of secp256k1's order.
    uint256 private constant S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    uint256 private constant PARITY_BIT = 1 << 255;

    /// @dev What stands before the row's own: kind u8 ‖ paid u24 ‖ length u24.
    uint256 private constant FRAME_BYTES = 7;
    /// @dev Expanded, a list's item has at most six times its bytes; and what entries and single members have on top.
    uint256 private constant EXPANSION = 6;
    uint256 private constant EXPANSION_ROOM = 12_288;

    /// @dev A place in bytes that are read, and one in bytes that are written.
    struct Tape {
        bytes lane;
        uint256 offset;
        bytes out;
        uint256 put;
    }

    /// @inheritdoc IRowReader
    function read(bytes calldata lane, uint256 rowsMax) external view returns (Rows memory rows) {
        uint256 count = 0;
        uint256 offset = 0;
        uint256[] memory ends = new uint256[](rowsMax);
        while (count < rowsMax && offset < lane.length) {
            uint256 to = lane.length - offset > BYTES_MAX ? offset + BYTES_MAX : lane.length;
            try this.readRow(lane[offset:to]) returns (uint256 length, uint256 weight, bytes memory expanded) {
                offset += length;
                ends[count++] = offset;
                rows.weight += weight;
                rows.expanded = bytes.concat(rows.expanded, expanded);
            } catch (bytes memory reason) {
                // Want of gas, or anything else, says nothing of the bytes.
                if (reason.length != 4 || bytes4(reason) != Malformed.selector) {
                    assembly ("memory-safe") {
                        revert(add(reason, 32), mload(reason))
                    }
                }
                rows.isMalformed = true;
                break;
            }
        }
        assembly ("memory-safe") {
            mstore(ends, count)
        }
        rows.ends = ends;
    }

    /// @notice The row that the bytes begin with: its length, its weight, and it expanded. Reverts with `Malformed` if they begin with none.
    function readRow(bytes calldata lane) external pure returns (uint256 length, uint256 weight, bytes memory expanded) {
        Tape memory tape = Tape(lane, 0, new bytes(lane.length * EXPANSION + EXPANSION_ROOM), FRAME_BYTES);
        (uint8 kind, uint256 paid, uint256 recordsWeight) = _row(tape);
        length = tape.offset;
        weight = WEIGHT_PER_BYTE * length + recordsWeight;
        expanded = tape.out;
        uint256 put = tape.put;
        assembly ("memory-safe") {
            mstore(expanded, put)
        }
        tape.put = 0;
        _put(tape, 1, kind);
        _put(tape, 3, paid);
        _put(tape, 3, put - FRAME_BYTES);
    }

    // ---- rows -----------------------------------------------------------------------------------------------------------------------

    /// @return kind
    /// @return paid bytes that a transaction pays for
    /// @return recordsWeight weight of the records that it may touch
    function _row(Tape memory tape) private pure returns (uint8 kind, uint256 paid, uint256 recordsWeight) {
        uint256 head = _byte(tape);
        if (head == BLOCK) {
            _uint(tape, 64, 8);
            _uint(tape, 53, 8);
            _amount(tape);
            _copy(tape, 20);
            return (BLOCK, 0, WEIGHT_PER_RECORD);
        }
        if (head == L1_INFO) {
            _uint(tape, 64, 8);
            uint256 width = _byte(tape);
            if (width > 16) revert Malformed();
            uint256 value = _take(tape, width);
            if (width > 0 && value >> (8 * (width - 1)) == 0) revert Malformed();
            _put(tape, 16, value);
            return (L1_INFO, 0, 2 * WEIGHT_PER_RECORD);
        }
        if (head == DEPOSIT) {
            _uint(tape, 64, 8);
            return (DEPOSIT, 0, DEPOSIT_RECORDS * WEIGHT_PER_RECORD);
        }
        if (head == REPORT) {
            _copy(tape, EVIDENCE_BYTES);
            return (REPORT, 0, REPORT_RECORDS * WEIGHT_PER_RECORD);
        }
        uint8 typeByte = uint8(head & ~OPERATION_BIT);
        bool isOperation = head & OPERATION_BIT != 0;
        if (typeByte < 0x50 || typeByte > (isOperation ? 0x59 : 0x58)) revert Malformed();
        _put(tape, 1, typeByte);
        if (isOperation) _copy(tape, 20);
        else _nativeHead(tape);
        uint256 from = tape.offset;
        (uint256 records, uint256 attached) = _fields(tape, typeByte);
        paid = (isOperation ? OPERATION_HEAD_PAID : NATIVE_HEAD_PAID) + tape.offset - from + attached;
        if (typeByte == DISPUTE_TYPE) {
            paid += VERDICT_PAID;
            _verdict(tape);
        }
        recordsWeight = typeByte == DISPUTE_TYPE ? WEIGHT_MAX : WEIGHT_PER_RECORD * (2 + records);
        kind = isOperation ? OPERATION : NATIVE;
    }

    /// @dev yParity u8 · r 32 · s 32 · nonce u64 · maxFee u96
    function _nativeHead(Tape memory tape) private pure {
        uint256 parityAt = tape.put++;
        tape.out[parityAt] = bytes1(uint8(_signature(tape)));
        _uint(tape, 64, 8);
        _amount(tape);
    }

    /// @dev r 32 · s 32; answers the y parity, which s has in its first bit.
    function _signature(Tape memory tape) private pure returns (uint256 yParity) {
        _copy(tape, 32);
        uint256 s = _take(tape, 32);
        yParity = s >> 255;
        s &= ~PARITY_BIT;
        if (s > S_MAX) revert Malformed();
        _put(tape, 32, s);
    }

    // ---- fields -----------------------------------------------------------------------------------------------------------------------

    uint8 private constant FIXED = 0;
    uint8 private constant UINT = 1;
    uint8 private constant AMOUNT = 2;
    uint8 private constant STRING = 3;
    uint8 private constant LIST = 4;

    /// @dev Fields of a type: records that its rule touches at most, and bytes that stand in the tail.
    function _fields(Tape memory tape, uint8 typeByte) private pure returns (uint256 records, uint256 attached) {
        if (typeByte == UPLOAD_TYPE) return (2 + _upload(tape), 0);
        if (typeByte == CREDIT_TYPE) return (_credit(tape), 0);
        if (typeByte == DISPUTE_TYPE) return (0, _dispute(tape));
        uint256 items = _pieces(tape, _schemaOf(typeByte));
        if (typeByte == 0x50) return (2, 0);
        if (typeByte == 0x53) return (5, 0);
        if (typeByte == 0x54) return (1 + items, 0);
        return (typeByte == 0x58 ? 2 * items : 1, 0);
    }

    /// @dev Members of a type, two bytes a piece: bytes as they are, integers (by their width), amounts, strings, and lists (by how many of the pieces behind
    /// it an item has). Source: execution/native/native.ts.
    function _schemaOf(uint8 typeByte) private pure returns (bytes memory) {
        if (typeByte == 0x50) return hex"00150200";
        if (typeByte == 0x51) return hex"03000020010400150200";
        if (typeByte == 0x53) return hex"01040104000101020001";
        if (typeByte == 0x54) return hex"030000a0010404050104002001040104010202000200020001020102010202000001";
        if (typeByte == 0x55) return hex"003502000300";
        if (typeByte == 0x58) return hex"04010104";
        return hex"0040";
    }

    /// @return items how many the last list has
    function _pieces(Tape memory tape, bytes memory schema) private pure returns (uint256 items) {
        for (uint256 i = 0; i < schema.length; i += 2) {
            uint256 width = uint8(schema[i + 1]);
            if (uint8(schema[i]) != LIST) {
                _piece(tape, uint8(schema[i]), width);
                continue;
            }
            items = _count(tape);
            // ends: an item has at least one byte, and none is read past the end
            for (uint256 n = 0; n < items; ++n) {
                for (uint256 k = 1; k <= width; ++k) _piece(tape, uint8(schema[i + 2 * k]), uint8(schema[i + 2 * k + 1]));
            }
            i += 2 * width;
        }
    }

    function _piece(Tape memory tape, uint8 piece, uint256 width) private pure {
        if (piece == FIXED) _copy(tape, width);
        else if (piece == UINT) _uint(tape, 8 * width, width);
        else if (piece == AMOUNT) _amount(tape);
        else _string(tape);
    }

    /// @dev 0x52: a content id is 0 for the CID of the content root's node, 1 and a digest for a CID of sha2-256, else its length and 2, and its bytes.
    /// @return how many contributors
    function _upload(Tape memory tape) private pure returns (uint256) {
        _pieces(tape, hex"01040020");
        uint256 root = _wordBefore(tape);
        uint256 form = _varint(tape, 17);
        if (form < 2) {
            _put(tape, 2, 36);
            _put(tape, 4, form == 0 ? 0x01551b20 : 0x01551220);
            if (form == 0) _put(tape, 32, root);
            else _copy(tape, 32);
        } else {
            _put(tape, 2, form - 2);
            _copy(tape, form - 2);
            if (form == 38) {
                uint256 digest = _wordBefore(tape);
                uint256 prefix = _uintBefore(tape, 36, 4);
                if (prefix == 0x01551220 || (prefix == 0x01551b20 && digest == root)) revert Malformed();
            }
        }
        return _pieces(tape, hex"01040108040300140102" hex"0001");
    }

    /// @dev 0x57: evidence and what is opened stand in the tail; their lengths u24 and hashes 32 stand behind the lists.
    /// @return attached their bytes
    function _dispute(Tape memory tape) private pure returns (uint256 attached) {
        _pieces(tape, hex"001501040402001402000401010404010106");
        for (uint256 i = 0; i < 2; ++i) {
            uint256 length = _varint(tape, 16);
            attached += length;
            _put(tape, 3, length);
            _copy(tape, 32);
        }
    }

    /// @dev What a dispute came to: 0 nothing, 1 the credit is void, 2 entries change. Source: execution/native/verdict.ts
    function _verdict(Tape memory tape) private pure {
        uint256 code = _byte(tape);
        if (code > 2) revert Malformed();
        _put(tape, 1, code);
        if (code == 0) return;
        _amount(tape);
        if (code == 2) _pieces(tape, hex"040201040106");
    }

    /// @dev A list's length, u16.
    function _count(Tape memory tape) private pure returns (uint256 count) {
        count = _varint(tape, 16);
        _put(tape, 2, count);
    }

    function _string(Tape memory tape) private pure {
        uint256 length = _count(tape);
        uint256 from = tape.put;
        _copy(tape, length);
        if (!_isUtf8(tape.out, from, from + length)) revert Malformed();
    }

    // ---- credits: execution/native/creditRow.ts -----------------------------------------------------------------------------------------

    uint256 private constant OTHER_MODEL = 1;
    uint256 private constant SMALL_V = 2;
    uint256 private constant STEP_BITS_MAX = 32;
    uint256 private constant AMOUNT_BITS_MAX = 48;
    /// @dev What a credit touches whatever it says: its worker, model and what those and the treasury earn 11, retires 32, and of 16 datanets 3 each.
    uint256 private constant CREDIT_RECORDS = 91;

    /// @return records that the rule touches at most
    function _credit(Tape memory tape) private pure returns (uint256 records) {
        uint256 from = tape.put;
        _copy(tape, 52);
        _uint(tape, 64, 8);
        _uint(tape, 32, 4);
        _copy(tape, 64);
        _uint(tape, 64, 8);
        _uint(tape, 64, 8);
        uint256 draws = _varint(tape, 8);
        _put(tape, 2, draws);
        // ends: a draw has bytes, and none is read past the end
        for (uint256 i = 0; i < draws; ++i) _draw(tape, from);
        return CREDIT_RECORDS + 2 * draws + _entries(tape);
    }

    /// @param from where the credit's worker and model stand, expanded
    function _draw(Tape memory tape, uint256 from) private pure {
        uint256 flags = _byte(tape);
        if (flags > 3) revert Malformed();
        _copy(tape, 20);
        bytes memory out = tape.out;
        uint256 worker = _uintAt(out, from, 20);
        uint256 model = _uintAt(out, from + 20, 32);
        _put(tape, 20, worker);
        uint256 own = model;
        if (flags & OTHER_MODEL != 0) {
            own = _take(tape, 32);
            if (own == model) revert Malformed();
        }
        _put(tape, 32, own);
        _copy(tape, 64);
        _uint(tape, 64, 8);
        _uint(tape, 32, 4);
        _amount(tape);
        _amount(tape);
        _uint(tape, 64, 8);
        _uint(tape, 64, 8);
        _put(tape, 2, 65);
        uint256 yParity = _signature(tape);
        _put(tape, 1, flags & SMALL_V != 0 ? yParity : yParity + 27);
        _amount(tape);
    }

    /// @dev Accounts u32 and amounts u48, a list each.
    /// @return count
    function _entries(Tape memory tape) private pure returns (uint256 count) {
        count = _varint(tape, 8);
        _put(tape, 2, count);
        if (count == 0) {
            _put(tape, 2, 0);
            return 0;
        }
        uint256 account = _varint(tape, 32);
        _put(tape, 4, account);
        uint256 stepBits = _byte(tape);
        uint256 amountBits = _byte(tape);
        if (stepBits > STEP_BITS_MAX || amountBits > AMOUNT_BITS_MAX) revert Malformed();
        uint256 bit = 8 * tape.offset;
        uint256 end = bit + (count - 1) * stepBits + count * amountBits;
        if (end > 8 * tape.lane.length) revert Malformed();
        uint256 most = 0;
        for (uint256 i = 1; i < count; ++i) {
            uint256 step = _bits(tape.lane, bit, stepBits);
            bit += stepBits;
            if (step > most) most = step;
            account += step + 1;
            if (account >> 32 != 0) revert Malformed();
            _put(tape, 4, account);
        }
        // The widths are those of the largest.
        if (stepBits != (most == 0 ? 0 : _log2(most) + 1)) revert Malformed();
        _put(tape, 2, count);
        most = 0;
        for (uint256 i = 0; i < count; ++i) {
            uint256 amount = _bits(tape.lane, bit, amountBits);
            bit += amountBits;
            if (amount > most) most = amount;
            if ((amount + 1) >> 48 != 0) revert Malformed();
            _put(tape, 6, amount + 1);
        }
        if (amountBits != (most == 0 ? 0 : _log2(most) + 1)) revert Malformed();
        if (bit & 7 != 0 && _bits(tape.lane, bit, 8 - (bit & 7)) != 0) revert Malformed();
        tape.offset = (bit + 7) >> 3;
    }

    // ---- members: from one place to the other ---------------------------------------------------------------------------------------------

    function _byte(Tape memory tape) private pure returns (uint256 value) {
        uint256 offset = tape.offset;
        bytes memory lane = tape.lane;
        if (offset >= lane.length) revert Malformed();
        tape.offset = offset + 1;
        assembly ("memory-safe") {
            value := byte(0, mload(add(add(lane, 32), offset)))
        }
    }

    /// @dev A big-endian integer of up to 32 bytes.
    function _take(Tape memory tape, uint256 width) private pure returns (uint256 value) {
        uint256 offset = tape.offset;
        bytes memory lane = tape.lane;
        if (offset + width > lane.length) revert Malformed();
        tape.offset = offset + width;
        if (width > 0) value = _uintAt(lane, offset, width);
    }

    /// @dev Seven bits a byte, the lowest first, in as few bytes as hold it; below 2^`bits`.
    function _varint(Tape memory tape, uint256 bits) private pure returns (uint256 value) {
        for (uint256 shift = 0; shift < 70; shift += 7) {
            uint256 one = _byte(tape);
            value |= (one & 0x7f) << shift;
            if (one < 0x80) {
                if (value >> bits != 0 || (one == 0 && shift > 0)) revert Malformed();
                return value;
            }
        }
        revert Malformed();
    }

    function _uint(Tape memory tape, uint256 bits, uint256 width) private pure {
        _put(tape, width, _varint(tape, bits));
    }

    /// @dev Scale and length (4 bits each) ‖ units of 1000^scale, which no thousand divides; u96.
    function _amount(Tape memory tape) private pure {
        uint256 head = _byte(tape);
        uint256 wei_ = 0;
        if (head != 0) {
            uint256 scale = head >> 4;
            uint256 length = head & 15;
            if (length == 0 || length > 12 || scale > 9) revert Malformed();
            uint256 units = _take(tape, length);
            wei_ = units * 1000 ** scale;
            if (units >> (8 * (length - 1)) == 0 || units % 1000 == 0 || wei_ >> 96 != 0) revert Malformed();
        }
        _put(tape, 12, wei_);
    }

    function _copy(Tape memory tape, uint256 length) private pure {
        bytes memory lane = tape.lane;
        bytes memory out = tape.out;
        uint256 offset = tape.offset;
        uint256 put = tape.put;
        if (offset + length > lane.length) revert Malformed();
        assert(put + length + 32 <= out.length);
        assembly ("memory-safe") {
            mcopy(add(add(out, 32), put), add(add(lane, 32), offset), length)
        }
        tape.offset = offset + length;
        tape.put = put + length;
    }

    /// @dev Writes an integer at its width, over anything; what is behind it stays.
    function _put(Tape memory tape, uint256 width, uint256 value) private pure {
        bytes memory out = tape.out;
        uint256 put = tape.put;
        assembly ("memory-safe") {
            let place := add(add(out, 32), put)
            let bits := shl(3, width)
            mstore(place, or(shl(sub(256, bits), value), shr(bits, shl(bits, mload(place)))))
        }
        tape.put = put + width;
    }

    function _uintAt(bytes memory data, uint256 offset, uint256 width) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, width)), mload(add(add(data, 32), offset)))
        }
    }

    /// @dev What was written so many bytes ago.
    function _uintBefore(Tape memory tape, uint256 back, uint256 width) private pure returns (uint256) {
        return _uintAt(tape.out, tape.put - back, width);
    }

    function _wordBefore(Tape memory tape) private pure returns (uint256) {
        return _uintBefore(tape, 32, 32);
    }

    /// @dev An integer of so many bits (48 at most), the highest first, within the bytes.
    function _bits(bytes memory data, uint256 bit, uint256 width) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            let place := add(add(data, 32), shr(3, bit))
            value := shr(sub(256, width), shl(and(bit, 7), mload(place)))
            if iszero(width) { value := 0 }
        }
    }

    function _log2(uint256 value) private pure returns (uint256 log) {
        for (; value > 1; value >>= 1) ++log;
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
}
