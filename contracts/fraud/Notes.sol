// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";
import {Memory} from "@openzeppelin/contracts/utils/Memory.sol";
import {BatchHeader} from "../BatchInbox.sol";

/// @notice A batch as the inbox took it.
struct BatchLink {
    uint64 index;
    BatchHeader header;
    bytes32 dataHash;
}

/// @title What was shown in earlier transactions, so that a proof of fraud whose way is too long for one transaction begins where the last one ended.
/// @notice Hashes of L1 blocks, and which batch comes before which. All of it follows from hashes alone: anyone may note, and what is noted is true for good,
/// whatever becomes of any checkpoint. No owner. Spec: docs/spec/fraud.md#notes
contract Notes {
    /// @dev Hashes of the last 8,191 blocks, by block number. Source: EIP-2935.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    mapping(uint256 number => bytes32 hash) private _l1Hashes;

    /// @notice Whether a batch comes before another, by their accumulators, the later one's first: as far as it is noted.
    mapping(bytes32 accumulator => mapping(bytes32 ancestor => bool)) public isAncestor;

    event L1BlockNoted(uint64 indexed number, bytes32 hash);
    event AncestorNoted(bytes32 indexed accumulator, bytes32 indexed ancestor);

    error L1BlockUnknown(uint256 number);
    error L1HeaderMismatch(uint256 place, bytes32 hash);
    error BatchMismatch(uint64 index, bytes32 accumulator);
    error NotNoted(bytes32 accumulator);
    error NothingShown();

    // ---- L1 blocks --------------------------------------------------------------------------------------------------------------------------

    /// @notice Notes hashes of L1 blocks that L1 still remembers: of the last 8,191.
    function noteL1Blocks(uint64[] calldata numbers) external {
        for (uint256 i = 0; i < numbers.length; ++i) {
            bytes32 hash = _rememberedHash(numbers[i]);
            if (hash == 0) revert L1BlockUnknown(numbers[i]);
            _noteL1Block(numbers[i], hash);
        }
    }

    /// @notice Notes the L1 block before the last one of these headers.
    /// @param headers as they are hashed, each the parent of the one before; the first is of a block that is noted, or that L1 remembers
    function noteL1Parent(bytes[] calldata headers) external {
        if (headers.length == 0) revert NothingShown();
        bytes32 expected;
        uint256 number;
        for (uint256 i = 0; i < headers.length; ++i) {
            Memory.Slice[] memory fields = BlockHeader.parseHeader(headers[i]);
            number = BlockHeader.getNumber(fields);
            if (i == 0) expected = l1HashOf(number);
            if (keccak256(headers[i]) != expected) revert L1HeaderMismatch(i, expected);
            expected = BlockHeader.getParentHash(fields);
        }
        _noteL1Block(uint64(number - 1), expected);
    }

    /// @notice Hash of an L1 block of the chain that this one is on, if it is noted or L1 remembers it; else zero.
    function l1HashOf(uint256 number) public view returns (bytes32) {
        bytes32 noted = _l1Hashes[number];
        return noted == 0 ? _rememberedHash(number) : noted;
    }

    // ---- batches ----------------------------------------------------------------------------------------------------------------------------

    /// @notice Notes that the batch which the last link follows comes before another one.
    /// @param accumulator after the later batch
    /// @param from where the links begin: zero for that batch itself, else one that is noted as its ancestor
    /// @param links that batch, and those back from it, each the predecessor of the one before
    function noteAncestor(bytes32 accumulator, bytes32 from, BatchLink[] calldata links) external {
        if (links.length == 0) revert NothingShown();
        bytes32 ancestor = accumulator;
        if (from != 0) {
            if (!isAncestor[accumulator][from]) revert NotNoted(from);
            ancestor = from;
        }
        for (uint256 i = 0; i < links.length; ++i) {
            BatchLink calldata link = links[i];
            bytes32 own = keccak256(abi.encode(link.header.prevAccumulator, link.index, link.header, link.dataHash));
            if (own != ancestor) revert BatchMismatch(link.index, ancestor);
            ancestor = link.header.prevAccumulator;
        }
        isAncestor[accumulator][ancestor] = true;
        emit AncestorNoted(accumulator, ancestor);
    }

    // ---- helpers ----------------------------------------------------------------------------------------------------------------------------

    function _noteL1Block(uint64 number, bytes32 hash) private {
        _l1Hashes[number] = hash;
        emit L1BlockNoted(number, hash);
    }

    function _rememberedHash(uint256 number) private view returns (bytes32) {
        bytes32 hash = blockhash(number);
        if (hash != 0) return hash;
        (bool ok, bytes memory answer) = HISTORY.staticcall(abi.encode(number));
        return ok && answer.length == 32 ? bytes32(answer) : bytes32(0);
    }
}
