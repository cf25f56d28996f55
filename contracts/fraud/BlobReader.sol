// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Neighbouring elements of one blob, each shown by a point evaluation of its own.
struct PointOpening {
    /// Element of the payload that the first value is; those behind it follow, all in the same blob.
    uint32 firstElement;
    /// 31 bytes an element.
    bytes values;
    /// The blob's commitment, 48 bytes.
    bytes commitment;
    /// 48 bytes an element.
    bytes proofs;
}

/// @notice A blob shown whole, by one point evaluation where nobody could know it beforehand.
struct BlobOpening {
    uint8 blob;
    bytes commitment;
    bytes proof;
    /// 31 bytes an element; zeros at the end may be left out.
    bytes data;
}

/// @notice How the payload of a batch, or a part of it, is shown. Spec: docs/spec/fraud.md#openings
struct PayloadWitness {
    /// Of the batch's blobs, in order; none where the payload was call data.
    bytes32[] versionedHashes;
    /// The payload where it was call data, whole.
    bytes payload;
    PointOpening[] points;
    BlobOpening[] blobs;
}

/// @notice Elements of a payload that stand next to one another.
struct Run {
    uint256 firstElement;
    /// A multiple of 31 bytes.
    bytes data;
}

/// @title What blobs hold, shown to a contract.
/// @notice Element i of a payload is 31 bytes in element i mod 4,096 of blob ⌊i / 4,096⌋. Spec: docs/spec/batch.md#blobs
/// @dev A blob is the polynomial of degree below 4,096 whose values at the 4,096th roots of unity, in bit-reversed order, are its elements.
/// Source: EIP-4844. Everything here reverts for what was not shown; nothing that was not posted can be shown.
library BlobReader {
    uint256 internal constant ELEMENTS_PER_BLOB = 4_096;
    uint256 internal constant ELEMENT_BYTES = 31;
    uint256 internal constant BLOB_DATA_BYTES = ELEMENTS_PER_BLOB * ELEMENT_BYTES;

    /// @notice Order of the field of the elements. Source: EIP-4844, BLS_MODULUS.
    uint256 internal constant MODULUS = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    /// @dev A primitive 4,096th root of unity, 7^((r − 1) / 4,096), its inverse, and the inverse of 4,096.
    uint256 private constant ROOT = 0x564c0a11a0f704f4fc3e8acfe0f8245f0ad1347b378fbf96e206da11a5d36306;
    uint256 private constant INVERSE_ROOT = 0x391b2856c609b4784ae25ffab9dc59865046d17864183203961a252dd8543362;
    uint256 private constant INVERSE_COUNT = 0x73e66878b46ae3705eb6a46a89213de7d3686828bfce5c19400fffff00100001;

    /// @dev Verifies p(z) = y for the blob of a versioned hash. Source: EIP-4844.
    address private constant POINT_EVALUATION = address(0x0a);

    error WrongPayload(bytes32 dataHash);
    error WrongLength();
    error NoSuchBlob(uint256 blob);
    error NotInBlob(uint256 blob);
    error NotOpened(uint256 element);

    /// @notice The runs of elements that the witness shows of the payload under this data hash.
    function open(bytes32 dataHash, PayloadWitness calldata witness) internal view returns (Run[] memory runs) {
        bytes32[] calldata hashes = witness.versionedHashes;
        if (hashes.length == 0) {
            if (keccak256(bytes.concat(hex"00", witness.payload)) != dataHash) revert WrongPayload(dataHash);
            runs = new Run[](1);
            runs[0].data = _padded(witness.payload, (witness.payload.length + ELEMENT_BYTES - 1) / ELEMENT_BYTES * ELEMENT_BYTES);
            return runs;
        }
        if (keccak256(abi.encodePacked(bytes1(0x01), hashes)) != dataHash) revert WrongPayload(dataHash);
        uint256 points = witness.points.length;
        runs = new Run[](points + witness.blobs.length);
        for (uint256 i = 0; i < points; ++i) {
            PointOpening calldata opening = witness.points[i];
            runs[i].firstElement = opening.firstElement;
            runs[i].data = openPoints(_hashOf(hashes, opening.firstElement / ELEMENTS_PER_BLOB), opening);
        }
        for (uint256 i = 0; i < witness.blobs.length; ++i) {
            BlobOpening calldata opening = witness.blobs[i];
            runs[points + i].firstElement = opening.blob * ELEMENTS_PER_BLOB;
            runs[points + i].data = openBlob(_hashOf(hashes, opening.blob), opening);
        }
    }

    /// @notice `length` bytes of the payload from byte `from` on.
    function read(Run[] memory runs, uint256 from, uint256 length) internal pure returns (bytes memory out) {
        out = new bytes(length);
        uint256 done = 0;
        while (done < length) {
            (bytes memory data, uint256 place) = _find(runs, from + done);
            uint256 part = data.length - place;
            if (part > length - done) part = length - done;
            assembly ("memory-safe") {
                mcopy(add(add(out, 0x20), done), add(add(data, 0x20), place), part)
            }
            done += part; // ends: a run that has a byte has at least one
        }
    }

    /// @notice A whole element as it stands in its blob, which may be none of a payload: its first byte need not be zero.
    function openElement(
        bytes32 versionedHash,
        uint256 element,
        bytes32 value,
        bytes calldata commitment,
        bytes calldata proof
    ) internal view {
        if (commitment.length != 48 || proof.length != 48) revert WrongLength();
        _evaluate(versionedHash, rootOf(element % ELEMENTS_PER_BLOB), uint256(value), commitment, proof);
    }

    /// @dev The values, each of which was evaluated. About 53,000 gas an element.
    function openPoints(bytes32 versionedHash, PointOpening calldata opening) internal view returns (bytes memory) {
        bytes calldata values = opening.values;
        uint256 count = values.length / ELEMENT_BYTES;
        if (count * ELEMENT_BYTES != values.length || opening.proofs.length != count * 48) revert WrongLength();
        if (count == 0 || opening.commitment.length != 48) revert WrongLength();
        uint256 first = opening.firstElement % ELEMENTS_PER_BLOB;
        if (first + count > ELEMENTS_PER_BLOB) revert WrongLength();
        for (uint256 i = 0; i < count; ++i) {
            uint256 y = uint256(bytes32(values[i * ELEMENT_BYTES:])) >> 8;
            _evaluate(versionedHash, rootOf(first + i), y, opening.commitment, opening.proofs[i * 48:i * 48 + 48]);
        }
        return values;
    }

    /// @dev The data, whose polynomial has the blob's value at a point that follows from the data and the blob. Two polynomials of degree below 4,096 agree
    /// at less than 4,096 of 2^255 points, and who changes the data changes the point: none can be found. About 0.9 million gas, and what the call data costs.
    function openBlob(bytes32 versionedHash, BlobOpening calldata opening) internal view returns (bytes memory data) {
        if (opening.data.length > BLOB_DATA_BYTES || opening.commitment.length != 48 || opening.proof.length != 48) revert WrongLength();
        data = _padded(opening.data, BLOB_DATA_BYTES);
        uint256 z = uint256(keccak256(abi.encodePacked(versionedHash, keccak256(data)))) % MODULUS;
        _evaluate(versionedHash, z, evaluate(data, z), opening.commitment, opening.proof);
    }

    /// @notice The value at z of the polynomial whose 4,096 values at the roots are the elements of 31 bytes.
    /// @dev By halves: of p(X) = e(X²) + X·o(X²) the values at x and −x, which stand next to each other in bit-reversed order, give those of e and o at x², and
    /// so the value of e + z·o there, whose value at z² is p(z). Each of twelve rounds leaves half as many values, in bit-reversed order again:
    /// (p(x) + p(−x)) + (z / x)·(p(x) − p(−x)), twice as large as it should be.
    function evaluate(bytes memory data, uint256 z) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            let r := MODULUS
            let free := mload(0x40)
            // 2,048 inverse roots in bit-reversed order, and behind them the values, which need not outlive this block.
            let roots := free
            let values := add(free, 0x10000)
            mstore(roots, 1)
            {
                // The entry at i + 2^j is that at i times the inverse root's power 2^(10 − j). Powers are made downwards: the square root of the last is
                // not known, so all are made first.
                let powers := values
                let power := INVERSE_ROOT
                for { let j := 0x160 } j { } {
                    j := sub(j, 0x20)
                    mstore(add(powers, j), power)
                    power := mulmod(power, power, r)
                }
                for { let size := 0x20 } lt(size, 0x10000) { size := shl(1, size) } {
                    power := mload(powers)
                    powers := add(powers, 0x20)
                    let end := add(roots, size)
                    for { let from := roots } lt(from, end) { from := add(from, 0x20) } {
                        mstore(add(from, size), mulmod(mload(from), power, r))
                    }
                }
            }
            // The first round reads elements of 31 bytes, the others words.
            {
                let from := add(data, 0x1f)
                let to := values
                let end := add(values, 0x10000)
                for { let root := roots } lt(to, end) { to := add(to, 0x20) } {
                    let a := and(mload(from), 0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff)
                    let b := and(mload(add(from, 31)), 0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff)
                    mstore(to, addmod(add(a, b), mulmod(mulmod(z, mload(root), r), add(a, sub(r, b)), r), r))
                    root := add(root, 0x20)
                    from := add(from, 62)
                }
            }
            for { let half := 0x8000 } gt(half, 0x10) { half := shr(1, half) } {
                z := mulmod(z, z, r)
                let from := values
                let root := roots
                let end := add(values, half)
                for { let to := values } lt(to, end) { to := add(to, 0x20) } {
                    let a := mload(from)
                    let b := mload(add(from, 0x20))
                    mstore(to, addmod(addmod(a, b, r), mulmod(mulmod(z, mload(root), r), add(a, sub(r, b)), r), r))
                    root := add(root, 0x20)
                    from := add(from, 0x40)
                }
            }
            value := mulmod(mload(values), INVERSE_COUNT, r)
        }
    }

    /// @notice The root of unity at which an element stands: the root's power of the element's twelve bits, reversed.
    function rootOf(uint256 element) internal pure returns (uint256 z) {
        z = 1;
        uint256 power = ROOT;
        for (uint256 bit = ELEMENTS_PER_BLOB >> 1; bit != 0; bit >>= 1) {
            if (element & bit != 0) z = mulmod(z, power, MODULUS);
            power = mulmod(power, power, MODULUS);
        }
    }

    function _evaluate(bytes32 versionedHash, uint256 z, uint256 y, bytes calldata commitment, bytes calldata proof) private view {
        // It fails for a commitment that is not the hash's, a point that is none, and a value that is another.
        (bool ok, ) = POINT_EVALUATION.staticcall(abi.encodePacked(versionedHash, z, y, commitment, proof));
        if (!ok) revert NotInBlob(y);
    }

    function _hashOf(bytes32[] calldata hashes, uint256 blob) private pure returns (bytes32) {
        if (blob >= hashes.length) revert NoSuchBlob(blob);
        return hashes[blob];
    }

    /// @dev The bytes, with zeros behind them up to `length`.
    function _padded(bytes calldata data, uint256 length) private pure returns (bytes memory out) {
        out = new bytes(length);
        assembly ("memory-safe") {
            calldatacopy(add(out, 0x20), data.offset, data.length)
        }
    }

    function _find(Run[] memory runs, uint256 place) private pure returns (bytes memory data, uint256 offset) {
        for (uint256 i = 0; i < runs.length; ++i) {
            uint256 first = runs[i].firstElement * ELEMENT_BYTES;
            if (place >= first && place < first + runs[i].data.length) return (runs[i].data, place - first);
        }
        revert NotOpened(place / ELEMENT_BYTES);
    }
}
