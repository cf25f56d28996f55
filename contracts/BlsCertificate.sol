// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What validators sign, and whether they signed it: BLS12-381 with keys in G1 and signatures in G2, by the precompiles of EIP-2537.
/// @notice Suite BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_ (RFC 9380, IETF BLS draft), as consensus/bls.ts has it. Digests and certificates:
/// docs/spec/consensus.md#digests, docs/spec/consensus.md#certificates
/// @dev A field element has 64 bytes here, 16 zeros first; one of Fp2 is c0 ‖ c1, while a compressed signature has c1 first. What adds points checks that
/// they are on the curve, and only the pairing that they are in the group: so no key may be added that was not paired once, with a proof of possession.
library BlsCertificate {
    /// @notice What a digest is of; also its first byte.
    uint8 internal constant PROPOSAL = 1;
    uint8 internal constant PREVOTE = 2;
    uint8 internal constant PRECOMMIT = 3;
    uint8 internal constant POSSESSION = 4;
    uint8 internal constant CHECKPOINT = 6;

    /// @notice Bytes of a signature: x.c0 ‖ x.c1 ‖ y.c0 ‖ y.c1.
    uint256 internal constant SIGNATURE_BYTES = 256;

    /// @dev The field's prime, its upper 16 and lower 32 bytes, and half of what is one less.
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    uint256 private constant HALF_P_HIGH = P_HIGH >> 1;
    uint256 private constant HALF_P_LOW = (P_LOW >> 1) | ((P_HIGH & 1) << 255);

    /// @dev The generator of G1, negated.
    uint256 private constant GENERATOR_X_HIGH = 0x17f1d3a73197d7942695638c4fa9ac0f;
    uint256 private constant GENERATOR_X_LOW = 0xc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb;
    uint256 private constant MINUS_GENERATOR_Y_HIGH = 0x114d1d6855d545a8aa7d76c8cf2e21f2;
    uint256 private constant MINUS_GENERATOR_Y_LOW = 0x67816aef1db507c96655b9d5caac42364e6f38ba0ecb751bad54dcd6b939c2ca;

    /// @dev The suite's name and its length, 44 bytes, as they stand behind other bytes in what expand_message_xmd hashes: behind 0x0100 00 in the first
    /// hash, behind the counter in the others.
    uint256 private constant FIRST_TAG_A = 0x010000424c535f5349475f424c53313233383147325f584d443a5348412d3235;
    uint256 private constant FIRST_TAG_B = 0x365f535357555f524f5f504f505f2b0000000000000000000000000000000000;
    uint256 private constant NEXT_TAG_A = 0x00424c535f5349475f424c53313233383147325f584d443a5348412d3235365f;
    uint256 private constant NEXT_TAG_B = 0x535357555f524f5f504f505f2b00000000000000000000000000000000000000;

    /// @dev Gas that a pairing of two pairs may take, several times over (102,900 by EIP-2537): it takes all it is given for bytes that are no points.
    uint256 private constant PAIRING_GAS_MAX = 400_000;

    /// @notice A precompile failed that cannot: its gas ran out, or this chain has none.
    error PrecompileFailed();

    /// @notice The digest of a statement. `validRoundPlus1` is 0 where there is no valid round.
    function statementDigest(
        uint8 tag,
        uint64 chainId,
        uint32 epoch,
        uint64 height,
        uint32 round,
        uint32 validRoundPlus1,
        bytes32 blockHash
    ) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(tag, chainId, epoch, height, round, validRoundPlus1, blockHash));
    }

    /// @notice The digest by which a key's holder asks for it to be registered by `owner`. It names the key in its compressed form.
    function possessionDigest(uint64 chainId, address owner, bytes32[3] memory key) internal pure returns (bytes32) {
        (bytes32 head, bytes16 tail) = compress(key);
        return keccak256(abi.encodePacked(POSSESSION, chainId, owner, head, tail));
    }

    /// @notice The digest by which a validator says that it derived the checkpoint with this hash from L1.
    function checkpointDigest(uint64 l1ChainId, address manager, bytes32 checkpointHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(CHECKPOINT, l1ChainId, manager, checkpointHash));
    }

    /// @notice A key x ‖ y (48 bytes each) in its 48 compressed bytes: x with the flags "compressed" and, if y is the larger of its two, "larger".
    function compress(bytes32[3] memory key) internal pure returns (bytes32 head, bytes16 tail) {
        uint256 yHigh = uint256(key[1]) & type(uint128).max;
        bool isLarger = yHigh > HALF_P_HIGH || (yHigh == HALF_P_HIGH && uint256(key[2]) > HALF_P_LOW);
        head = key[0] | bytes32(uint256(1) << 255) | bytes32(isLarger ? uint256(1) << 253 : 0);
        tail = bytes16(key[1]);
    }

    /// @notice A key x ‖ y as the precompiles take it.
    function toPoint(bytes32[3] memory key) internal pure returns (uint256[4] memory point) {
        (uint256 first, uint256 middle, uint256 last) = (uint256(key[0]), uint256(key[1]), uint256(key[2]));
        point[0] = first >> 128;
        point[1] = (first << 128) | (middle >> 128);
        point[2] = middle & type(uint128).max;
        point[3] = last;
    }

    /// @notice sum += point.
    function add(uint256[4] memory sum, uint256[4] memory point) internal view {
        bool ok;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mcopy(free, sum, 128)
            mcopy(add(free, 128), point, 128)
            ok := staticcall(gas(), 0x0b, free, 256, sum, 128)
        }
        if (!ok) revert PrecompileFailed();
    }

    /// @notice sum −= point. The point is not at infinity, so its y is not zero.
    function subtract(uint256[4] memory sum, uint256[4] memory point) internal view {
        uint256 borrow = point[3] > P_LOW ? 1 : 0;
        unchecked {
            point[2] = P_HIGH - point[2] - borrow;
            point[3] = P_LOW - point[3];
        }
        add(sum, point);
    }

    /// @notice Whether the signature over the digest is of this key, or of those that it is the sum of. Bytes that are no signature are of nobody, and so
    /// is the signature at infinity.
    function isSignedBy(uint256[4] memory key, bytes32 digest, bytes calldata signature) internal view returns (bool isSigned) {
        if (signature.length != SIGNATURE_BYTES) return false;
        uint256 pairs;
        uint256 someBits;
        assembly ("memory-safe") {
            pairs := mload(0x40)
            mstore(0x40, add(pairs, 768))
            mcopy(pairs, key, 128)
            mstore(add(pairs, 384), GENERATOR_X_HIGH)
            mstore(add(pairs, 416), GENERATOR_X_LOW)
            mstore(add(pairs, 448), MINUS_GENERATOR_Y_HIGH)
            mstore(add(pairs, 480), MINUS_GENERATOR_Y_LOW)
            calldatacopy(add(pairs, 512), signature.offset, 256)
            for { let i := 512 } lt(i, 768) { i := add(i, 32) } { someBits := or(someBits, mload(add(pairs, i))) }
        }
        if (someBits == 0) return false;
        hashToG2(digest, pairs + 128);
        // e(key, hash) · e(−generator, signature) = 1. The answer is read after the call: Yul evaluates arguments from the last to the first.
        assembly ("memory-safe") {
            mstore(0, 0)
            let ok := staticcall(PAIRING_GAS_MAX, 0x0f, pairs, 768, 0, 32)
            isSigned := and(ok, eq(mload(0), 1))
        }
    }

    /// @dev Writes the digest's point of G2, 256 bytes, to memory at `out`. Source: RFC 9380, hash_to_curve.
    function hashToG2(bytes32 digest, uint256 out) private view {
        bool ok;
        assembly ("memory-safe") {
            // expand_message_xmd (5.3.1) of the digest to 256 bytes at `u`, by SHA-256 (0x02). The first hash is over 64 zeros ‖ digest ‖ tag.
            let free := mload(0x40)
            let u := add(free, 256)
            mstore(free, 0)
            mstore(add(free, 32), 0)
            mstore(add(free, 64), digest)
            mstore(add(free, 96), FIRST_TAG_A)
            mstore(add(free, 128), FIRST_TAG_B)
            ok := staticcall(gas(), 0x02, free, 143, free, 32)
            let first := mload(free)
            mstore(add(free, 32), NEXT_TAG_A)
            mstore(add(free, 64), NEXT_TAG_B)
            let previous := 0
            for { let i := 1 } lt(i, 9) { i := add(i, 1) } {
                mstore(free, xor(first, previous))
                mstore8(add(free, 32), i)
                let to := add(u, shl(5, sub(i, 1)))
                ok := and(staticcall(gas(), 0x02, free, 77, to, 32), ok)
                previous := mload(to)
            }
            // Four numbers of 64 bytes modulo p, each in its place, by MODEXP (0x05) with exponent 1.
            mstore(free, 64)
            mstore(add(free, 32), 1)
            mstore(add(free, 64), 64)
            for { let i := 0 } lt(i, 4) { i := add(i, 1) } {
                let to := add(u, shl(6, i))
                mcopy(add(free, 96), to, 64)
                mstore8(add(free, 160), 1)
                mstore(add(free, 161), P_HIGH)
                mstore(add(free, 193), P_LOW)
                ok := and(staticcall(gas(), 0x05, free, 225, to, 64), ok)
            }
            // Both elements of Fp2 to the curve (0x11, which clears the cofactor), and their sum (0x0d).
            let points := add(u, 256)
            ok := and(staticcall(gas(), 0x11, u, 128, points, 256), ok)
            ok := and(staticcall(gas(), 0x11, add(u, 128), 128, add(points, 256), 256), ok)
            ok := and(staticcall(gas(), 0x0d, points, 512, out, 256), ok)
        }
        if (!ok) revert PrecompileFailed();
    }
}
