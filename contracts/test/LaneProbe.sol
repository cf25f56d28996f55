// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BatchHeader} from "../BatchInbox.sol";
import {BlobReader, PayloadWitness, Run} from "../fraud/BlobReader.sol";
import {Fault, LaneReader, RowPlace, ShownBatch} from "../fraud/LaneReader.sol";
import {IRowReader} from "../fraud/RowReader.sol";

/// @notice Lets tests open payloads and asks what it costs.
contract LaneProbe {
    using BlobReader for Run[];

    IRowReader private immutable _READER;

    constructor(IRowReader reader) {
        _READER = reader;
    }

    /// @notice `length` bytes of the payload from `from` on, as the witness shows them; and the gas that the opening took.
    function open(
        bytes32 dataHash,
        PayloadWitness calldata witness,
        uint256 from,
        uint256 length
    ) external view returns (bytes memory bytes_, uint256 gasUsed) {
        uint256 before = gasleft();
        Run[] memory runs = BlobReader.open(dataHash, witness);
        gasUsed = before - gasleft();
        bytes_ = runs.read(from, length);
    }

    /// @notice The first thing that is wrong with a payload, group by group.
    function structure(uint64 index, BatchHeader calldata header, bytes calldata payload) external view returns (Fault fault) {
        ShownBatch memory batch = _batch(index, header, payload);
        if (payload.length < 186) return Fault.Head;
        batch.head = LaneReader.headOf(batch.runs);
        fault = LaneReader.headFault(batch);
        for (uint256 place = 162; fault == Fault.None && place < 186; ++place) fault = LaneReader.paddingFault(batch, place);
        for (uint256 group = 0; fault == Fault.None && group < batch.head.groupCount; ++group) {
            (fault,,) = LaneReader.groupFault(batch, group);
        }
    }

    /// @notice Whether these rows stand in a wrong order in a payload whose head is right.
    function order(
        uint64 index,
        BatchHeader calldata header,
        bytes calldata payload,
        RowPlace[] calldata places
    ) external view returns (Fault) {
        ShownBatch memory batch = _batch(index, header, payload);
        batch.head = LaneReader.headOf(batch.runs);
        return LaneReader.orderFault(batch, places);
    }

    function _batch(uint64 index, BatchHeader calldata header, bytes calldata payload) private view returns (ShownBatch memory batch) {
        batch.index = index;
        batch.reader = _READER;
        batch.header = header;
        batch.runs = new Run[](1);
        batch.runs[0].data = bytes.concat(payload, new bytes((31 - (payload.length % 31)) % 31));
    }

    /// @notice The root of unity at which an element stands.
    function rootOf(uint256 element) external pure returns (uint256) {
        return BlobReader.rootOf(element);
    }
}
