// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";

/// @notice What a poster says about a batch; the data itself is in blobs or in call data. Spec: docs/spec/batch.md
struct BatchHeader {
    /// Accumulator that this batch goes on top of.
    bytes32 prevAccumulator;
    uint64 firstBlock;
    uint64 lastBlock;
    bytes32 lastBlockHash;
    /// An L1 block, at or after the L1 origin of the last block, on whose chain the batch was made.
    uint64 l1OriginNumber;
    bytes32 l1OriginHash;
    uint32 payloadBytes;
}

/// @title Where the blocks of the rollup are published, in order, without gaps or doubles.
/// @notice Keeps no data, only the chain of hashes that binds it: anyone rebuilds the rollup from the logs, the blobs and the call data.
contract BatchInbox is AccessControl {
    /// @notice May post batches.
    bytes32 public constant POSTER_ROLE = keccak256("POSTER");

    /// @notice Batches whose accumulator can still be asked for: the latest 8,192.
    uint64 public constant RING_SIZE = 8_192;

    /// @notice Blobs of one batch at most; also the most that one L1 transaction carries (EIP-7594).
    uint256 public constant BLOBS_MAX = 6;

    /// @notice Payload bytes of one blob: 31 of the 32 bytes of each of 4,096 field elements.
    uint256 public constant BLOB_PAYLOAD_BYTES = 4_096 * 31;

    /// @dev Hashes of the last 8,191 blocks, by block number. Source: EIP-2935.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    struct Entry {
        bytes32 accumulator;
        uint64 lastBlock;
    }

    /// @notice keccak256 of the genesis file; zero until it is published.
    bytes32 public genesisHash;

    /// @notice The hash chain's head: the genesis hash, then that of the latest batch.
    bytes32 public accumulator;

    /// @notice Batches posted; also the index of the next one.
    uint64 public batchCount;

    /// @notice Last rollup block that is posted; 0 is the genesis block.
    uint64 public lastBlock;

    mapping(uint256 slot => Entry) private _ring;

    /// @notice The genesis file, whole. `hash` is its keccak256.
    event GenesisPublished(bytes32 indexed hash, bytes genesis);

    /// @notice A batch was taken. Its payload is in the transaction's blobs, or in its call data where it has none.
    event BatchPosted(uint64 indexed index, bytes32 indexed accumulator, BatchHeader header, bytes32 dataHash);

    error GenesisEmpty();
    error GenesisAlreadyPublished(bytes32 hash);
    error GenesisMissing();
    error PosterNotPlain();
    error WrongAccumulator(bytes32 current);
    error WrongFirstBlock(uint64 expected);
    error NoBlocks();
    error OriginNotCanonical(uint64 number, bytes32 canonical);
    error PayloadMissing();
    error PayloadBesideBlobs();
    error PayloadBytesWrong();
    error TooManyBlobs();
    error BatchNotPosted(uint64 index);
    error BatchForgotten(uint64 index);

    /// @param owner May publish the genesis file, once, and give and take the poster role; nothing else.
    constructor(address owner) {
        _grantRole(DEFAULT_ADMIN_ROLE, owner);
    }

    /// @notice Publishes the genesis file, so that L1 alone is enough to rebuild the rollup. Once; batches come after it.
    function publishGenesis(bytes calldata genesis) external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (genesis.length == 0) revert GenesisEmpty();
        if (genesisHash != 0) revert GenesisAlreadyPublished(genesisHash);
        bytes32 hash = keccak256(genesis);
        genesisHash = hash;
        accumulator = hash;
        emit GenesisPublished(hash, genesis);
    }

    /// @notice Posts the next batch.
    /// @param payload The batch, or empty where the transaction carries it in blobs.
    function postBatch(BatchHeader calldata header, bytes calldata payload) external onlyRole(POSTER_ROLE) {
        // Whoever rebuilds the rollup reads the call data and the blobs of the transaction itself, so a batch has to be its only content: the
        // sender is the transaction's, and without code of its own (EIP-7702), which could have made several calls.
        if (msg.sender != tx.origin || msg.sender.code.length != 0) revert PosterNotPlain();
        if (accumulator == 0) revert GenesisMissing();
        if (header.prevAccumulator != accumulator) revert WrongAccumulator(accumulator);
        if (header.firstBlock != lastBlock + 1) revert WrongFirstBlock(lastBlock + 1);
        if (header.lastBlock < header.firstBlock) revert NoBlocks();

        // A batch made on an L1 block that was reorganised away must not land.
        bytes32 canonical = _l1BlockHash(header.l1OriginNumber);
        if (canonical == 0 || canonical != header.l1OriginHash) revert OriginNotCanonical(header.l1OriginNumber, canonical);

        bytes32 dataHash = _dataHash(header.payloadBytes, payload);
        uint64 index = batchCount;
        bytes32 next = keccak256(abi.encode(header.prevAccumulator, index, header, dataHash));

        accumulator = next;
        batchCount = index + 1;
        lastBlock = header.lastBlock;
        _ring[index % RING_SIZE] = Entry(next, header.lastBlock);
        emit BatchPosted(index, next, header, dataHash);
    }

    /// @notice Accumulator and last block after the batch of this index.
    function batchAt(uint64 index) external view returns (bytes32 batchAccumulator, uint64 batchLastBlock) {
        if (index >= batchCount) revert BatchNotPosted(index);
        if (batchCount - index > RING_SIZE) revert BatchForgotten(index);
        Entry storage entry = _ring[index % RING_SIZE];
        return (entry.accumulator, entry.lastBlock);
    }

    /// @notice What the next batch has to follow, read at one moment.
    function head() external view returns (bytes32 headAccumulator, uint64 nextIndex, uint64 headLastBlock) {
        return (accumulator, batchCount, lastBlock);
    }

    /// @dev keccak256(0x00 ‖ payload), or keccak256(0x01 ‖ versioned hashes) of the blobs.
    function _dataHash(uint256 payloadBytes, bytes calldata payload) private view returns (bytes32) {
        uint256 blobs = 0;
        bytes memory hashes = hex"01";
        for (; blobhash(blobs) != 0; blobs++) {
            if (blobs == BLOBS_MAX) revert TooManyBlobs();
            hashes = bytes.concat(hashes, blobhash(blobs));
        }
        if (blobs == 0) {
            if (payload.length == 0) revert PayloadMissing();
            if (payload.length != payloadBytes) revert PayloadBytesWrong();
            return keccak256(bytes.concat(hex"00", payload));
        }
        if (payload.length != 0) revert PayloadBesideBlobs();
        // As many blobs as the payload needs and no more, so that there is one way to post it.
        if (payloadBytes <= (blobs - 1) * BLOB_PAYLOAD_BYTES || payloadBytes > blobs * BLOB_PAYLOAD_BYTES) revert PayloadBytesWrong();
        return keccak256(hashes);
    }

    /// @dev Hash of one of the last 8,191 blocks, or zero.
    function _l1BlockHash(uint256 number) private view returns (bytes32) {
        bytes32 hash = blockhash(number);
        if (hash != 0) return hash;
        (bool ok, bytes memory answer) = HISTORY.staticcall(abi.encode(number));
        return ok && answer.length == 32 ? bytes32(answer) : bytes32(0);
    }
}
