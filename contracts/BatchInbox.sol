// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Commit, ValidatorRegistry} from "./ValidatorRegistry.sol";

/// @notice What a poster says about a batch; the data itself is in blobs or in call data. Spec: docs/spec/batch.md
struct BatchHeader {
    /// Accumulator of the batch that this one follows; the genesis hash before the first.
    bytes32 prevAccumulator;
    uint64 firstBlock;
    uint64 lastBlock;
    bytes32 lastBlockHash;
    /// An L1 block, at or after the L1 origin of the last block, on whose chain the batch was made.
    uint64 l1OriginNumber;
    bytes32 l1OriginHash;
    uint32 payloadBytes;
}

/// @notice What makes a batch's last block final: a quorum's precommits, as `Commit` has them, of `lastBlock` and `lastBlockHash`.
struct BatchCertificate {
    uint32 round;
    bytes bitmap;
    bytes signature;
}

/// @title Where the blocks of the rollup are published, by whoever has a batch of them that ends with a final block.
/// @notice Keeps no data, only the hashes that bind it: anyone rebuilds the rollup from the logs, the blobs and the call data. Each batch names the one
/// that it follows, so that a batch with a payload that is none is a branch that nobody goes on from. Spec: docs/spec/batch.md#on-l1
contract BatchInbox {
    /// @notice In place of a count: the batch stands whatever was posted before it.
    uint64 public constant ANY_COUNT = type(uint64).max;

    /// @notice Batches whose accumulator can still be asked for: the latest 8,192.
    uint64 public constant RING_SIZE = 8_192;

    /// @notice Blobs of one batch at most; also the most that one L1 transaction carries (EIP-7594).
    uint256 public constant BLOBS_MAX = 6;

    /// @notice Payload bytes of one blob: 31 of the 32 bytes of each of 4,096 field elements.
    uint256 public constant BLOB_PAYLOAD_BYTES = 4_096 * 31;

    /// @notice Bytes of a payload in call data at most: such a payload is shown whole in a proof of fraud, together with its predecessor's, in one transaction.
    uint256 public constant CALL_DATA_PAYLOAD_BYTES_MAX = 131_072;

    /// @dev Hashes of the last 8,191 blocks, by block number. Source: EIP-2935.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    struct Entry {
        bytes32 accumulator;
        uint64 lastBlock;
    }

    /// @notice Knows whose precommits make a block final.
    ValidatorRegistry public immutable REGISTRY;

    /// @notice May publish the genesis file, once; nothing else.
    address public immutable OWNER;

    /// @notice keccak256 of the genesis file; zero until it is published.
    bytes32 public genesisHash;

    /// @notice Batches posted; also the index of the next one.
    uint64 public batchCount;

    mapping(uint256 slot => Entry) private _ring;

    /// @notice Ledger root of the genesis block, from which the first row of all starts.
    bytes32 public genesisLedgerRoot;

    /// @notice The genesis file, whole. `hash` is its keccak256.
    event GenesisPublished(bytes32 indexed hash, bytes genesis);

    /// @notice A batch was taken. Its payload is in the transaction's blobs, or in its call data where it has none.
    event BatchPosted(uint64 indexed index, bytes32 indexed accumulator, BatchHeader header, bytes32 dataHash);

    error NotOwner();
    error GenesisEmpty();
    error GenesisAlreadyPublished(bytes32 hash);
    error GenesisMissing();
    error PosterNotPlain();
    error Outrun(uint64 count);
    error WrongAccumulator(bytes32 expected);
    error WrongFirstBlock(uint64 expected);
    error NoBlocks();
    error OriginNotCanonical(uint64 number, bytes32 canonical);
    error PayloadMissing();
    error PayloadBesideBlobs();
    error PayloadBytesWrong();
    error TooManyBlobs();
    error BatchNotPosted(uint64 index);
    error BatchForgotten(uint64 index);

    constructor(address owner, ValidatorRegistry registry) {
        OWNER = owner;
        REGISTRY = registry;
    }

    /// @notice Publishes the genesis file, so that L1 alone is enough to rebuild the rollup. Once; batches come after it.
    /// @param ledgerRoot of the genesis block, which follows from the file: L1 takes the owner's word for it, as for the file, and anyone compares
    function publishGenesis(bytes calldata genesis, bytes32 ledgerRoot) external {
        if (msg.sender != OWNER) revert NotOwner();
        if (genesis.length == 0) revert GenesisEmpty();
        if (genesisHash != 0) revert GenesisAlreadyPublished(genesisHash);
        bytes32 hash = keccak256(genesis);
        genesisHash = hash;
        genesisLedgerRoot = ledgerRoot;
        emit GenesisPublished(hash, genesis);
    }

    /// @notice Posts a batch. Anyone may; that its last block is final is checked, that its payload leads there is for whoever derives to judge.
    /// @param payload the batch, or empty where the transaction carries it in blobs
    /// @param certificate of the last block, by its epoch's set
    /// @param next index of the batch that this one follows, and one more; 0: it follows the genesis file
    /// @param count what `batchCount` must be, so that of two that race one is refused; `ANY_COUNT` where that does not matter
    function postBatch(BatchHeader calldata header, bytes calldata payload, BatchCertificate calldata certificate, uint64 next, uint64 count)
        external
    {
        // Whoever rebuilds the rollup reads the call data and the blobs of the transaction itself, so a batch has to be its only content: the
        // sender is the transaction's, and without code of its own (EIP-7702), which could have made several calls.
        if (msg.sender != tx.origin || msg.sender.code.length != 0) revert PosterNotPlain();
        uint64 index = batchCount;
        if (count != ANY_COUNT && count != index) revert Outrun(index);
        _checkPlace(header, next);

        // A batch made on an L1 block that was reorganised away must not land.
        bytes32 canonical = _l1BlockHash(header.l1OriginNumber);
        if (canonical == 0 || canonical != header.l1OriginHash) revert OriginNotCanonical(header.l1OriginNumber, canonical);

        REGISTRY.checkCommit(
            Commit(header.lastBlock, certificate.round, header.lastBlockHash, certificate.bitmap, certificate.signature)
        );

        bytes32 dataHash = _dataHash(header.payloadBytes, payload);
        bytes32 accumulator = keccak256(abi.encode(header.prevAccumulator, index, header, dataHash));
        batchCount = index + 1;
        _ring[index % RING_SIZE] = Entry(accumulator, header.lastBlock);
        emit BatchPosted(index, accumulator, header, dataHash);
    }

    /// @notice Accumulator and last block after the batch of this index.
    function batchAt(uint64 index) public view returns (bytes32 batchAccumulator, uint64 batchLastBlock) {
        if (index >= batchCount) revert BatchNotPosted(index);
        if (batchCount - index > RING_SIZE) revert BatchForgotten(index);
        Entry storage entry = _ring[index % RING_SIZE];
        return (entry.accumulator, entry.lastBlock);
    }

    /// @notice The batch that was posted last, read at one moment: the genesis hash, 0 and 0 before the first. Whether it is one to follow is not said.
    function head() external view returns (bytes32 headAccumulator, uint64 nextIndex, uint64 headLastBlock) {
        nextIndex = batchCount;
        if (nextIndex == 0) return (genesisHash, 0, 0);
        (headAccumulator, headLastBlock) = batchAt(nextIndex - 1);
    }

    /// @dev A batch follows one that is remembered, without a gap.
    function _checkPlace(BatchHeader calldata header, uint64 next) private view {
        bytes32 accumulator = genesisHash;
        uint64 lastBlock = 0;
        if (accumulator == 0) revert GenesisMissing();
        if (next != 0) (accumulator, lastBlock) = batchAt(next - 1);
        if (header.prevAccumulator != accumulator) revert WrongAccumulator(accumulator);
        if (header.firstBlock != lastBlock + 1) revert WrongFirstBlock(lastBlock + 1);
        if (header.lastBlock < header.firstBlock) revert NoBlocks();
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
            if (payload.length != payloadBytes || payloadBytes > CALL_DATA_PAYLOAD_BYTES_MAX) revert PayloadBytesWrong();
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
