// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {LedgerProof} from "../LedgerProof.sol";

/// @title What changing some records of the rollup's ledger does to its root, from those records and the hashes beside them alone.
/// @notice A partial tree is a list of touched keys, ascending, and a stream of bytes: the tree from its root, the left side before the right, in which
/// a place that no touched key leads to is its hash, and any other is a tag: 0 empty, 1 the leaf of the touched key that has a record, 2 the leaf of
/// another key (key ‖ sha256 of its record), 3 an inner node, whose two sides follow. Spec: docs/spec/fraud.md#partial-trees
/// @dev No stream makes these functions answer for a root what is not true of it. A node's hash is of its first bit's kind (leaf or inner), so that two
/// trees with one root are the same tree, place by place, down to where a hash ends the stream: an honest root fixes all that the stream says.
/// A touched key with a record is a leaf on that key's own way; one without is shown to be absent, for its way ends at a place that is empty or has
/// the leaf of a key that is none of those touched. Hashes that end the stream lie on no touched key's way: no change alters them. Whether such a node may rise
/// (below) is in its first bit, which an honest root fixes too. So the second root is that of the changed set of records, and of no other.
library LedgerUpdate {
    /// @notice The stream ends too early or late, has an unknown tag, or says of a place what the touched records contradict.
    error BadStream();

    uint256 private constant EMPTY = 0;
    uint256 private constant LEAF = 1;
    uint256 private constant OTHER = 2;
    uint256 private constant INNER = 3;

    uint256 private constant FIRST_BIT = 1 << 255;
    uint256 private constant DEPTH_MAX = 256;
    /// @dev Words that are remembered of an inner node whose left side is being walked: the keys of its right side (0 once it is walked), and the left
    /// side's two hashes.
    uint256 private constant FRAME = 3;

    /// @notice Touched records: keys, strictly ascending, and their leaves before and after (`LedgerProof.leafHash`; zero where there is no record).
    struct Touched {
        bytes32[] keys;
        bytes32[] olds;
        bytes32[] news;
    }

    /// @notice The roots of the tree that the stream says, and of the same tree with the changed leaves.
    /// @dev Without recursion: keys can be ground so that a way is some eighty nodes long.
    function roots(Touched memory touched, bytes calldata stream) internal view returns (bytes32 oldRoot, bytes32 newRoot) {
        bytes32[] memory frames = new bytes32[](DEPTH_MAX * FRAME);
        uint256 offset = 0;
        uint256 depth = 0;
        uint256 from = 0;
        uint256 to = touched.keys.length;
        while (true) {
            if (from == to) {
                oldRoot = wordAt(stream, offset);
                newRoot = oldRoot;
                offset += 32;
            } else if (to == from + 1) {
                (oldRoot, newRoot, offset) = pathOf(touched, from, stream, offset, depth);
            } else {
                uint256 tag = byteAt(stream, offset++);
                if (tag == INNER) {
                    if (depth == DEPTH_MAX) revert BadStream();
                    uint256 middle = split(touched.keys, from, to, depth);
                    frames[depth * FRAME] = bytes32((middle << 128) | to);
                    to = middle;
                    ++depth;
                    continue;
                }
                (oldRoot, newRoot, offset) = placeOf(touched, Place(from, to, depth, 0, 0), tag, stream, offset);
            }
            bool isDone = true;
            while (depth > 0) {
                uint256 frame = (depth - 1) * FRAME;
                uint256 right = uint256(frames[frame]);
                if (right != 0) {
                    frames[frame] = 0;
                    frames[frame + 1] = oldRoot;
                    frames[frame + 2] = newRoot;
                    from = right >> 128;
                    to = uint128(right);
                    isDone = false;
                    break;
                }
                (oldRoot, newRoot) = join(frames[frame + 1], frames[frame + 2], oldRoot, newRoot);
                --depth;
            }
            if (isDone) break;
        }
        if (offset != stream.length) revert BadStream();
    }

    /// @dev Both hashes of a place that one touched key alone leads to, as `roots` would walk it: of what is below it all that does not stand on the key's
    /// way is hashes, so that the way down and up needs no frames. Going up, the hash of a left side stands in the stream behind the tag of its node, that
    /// of a right side behind all that is below. `end` is where the place ends in the stream.
    function pathOf(Touched memory touched, uint256 index, bytes calldata stream, uint256 offset, uint256 depth)
        private
        view
        returns (bytes32 old, bytes32 next, uint256 end)
    {
        uint256 key = uint256(touched.keys[index]);
        uint256 bottom = depth;
        uint256 tag = byteAt(stream, offset);
        while (tag == INNER) {
            if (bottom == DEPTH_MAX) revert BadStream();
            unchecked {
                // Over the tag, and the left side's hash where the key goes to the right.
                offset += (key << bottom) & FIRST_BIT == 0 ? 1 : 33;
                ++bottom;
            }
            tag = byteAt(stream, offset);
        }
        (old, next, end) = placeOf(touched, Place(index, index + 1, bottom, 0, 0), tag, stream, offset + 1);
        while (bottom > depth) {
            unchecked {
                --bottom;
                if ((key << bottom) & FIRST_BIT == 0) {
                    (old, next) = joinLeft(old, next, wordAt(stream, end));
                    end += 32;
                    --offset;
                } else {
                    (old, next) = joinRight(old, next, wordAt(stream, offset - 32));
                    offset -= 33;
                }
            }
        }
    }

    /// @dev Both hashes of a place that is no inner node, whose tag ends at `offset`.
    function placeOf(Touched memory touched, Place memory place, uint256 tag, bytes calldata stream, uint256 offset)
        private
        view
        returns (bytes32 old, bytes32 next, uint256 end)
    {
        end = offset;
        if (tag == OTHER) {
            place.other = wordAt(stream, offset);
            place.otherLeaf = LedgerProof.leafHash(place.other, wordAt(stream, offset + 32));
            end += 64;
        } else if (tag > OTHER) {
            revert BadStream();
        }
        old = leafAt(touched, place, tag);
        next = leavesAt(touched, place);
    }

    /// @dev `join` of a left side with a right one that stays as it is.
    function joinLeft(bytes32 oldLeft, bytes32 newLeft, bytes32 right) private view returns (bytes32 old, bytes32 next) {
        old = LedgerProof.innerHash(oldLeft, right);
        if (oldLeft == newLeft) return (old, old);
        next = rises(newLeft, right) ? newLeft | right : LedgerProof.innerHash(newLeft, right);
    }

    /// @dev `join` of a right side with a left one that stays as it is.
    function joinRight(bytes32 oldRight, bytes32 newRight, bytes32 left) private view returns (bytes32 old, bytes32 next) {
        old = LedgerProof.innerHash(left, oldRight);
        if (oldRight == newRight) return (old, old);
        next = rises(left, newRight) ? left | newRight : LedgerProof.innerHash(left, newRight);
    }

    /// @dev Whether of two sides one is empty and the other empty or a leaf: then it stands in the place of both.
    function rises(bytes32 a, bytes32 b) private pure returns (bool) {
        return (a == 0 && (b == 0 || uint256(b) & FIRST_BIT != 0)) || (b == 0 && uint256(a) & FIRST_BIT != 0);
    }

    /// @dev A place that is no inner node: touched keys `from` to `to` lead there; `other` stands there, if `otherLeaf` is not zero.
    struct Place {
        uint256 from;
        uint256 to;
        uint256 depth;
        bytes32 other;
        bytes32 otherLeaf;
    }

    /// @dev What stands at the place, if the touched records say the same of it as the tag.
    function leafAt(Touched memory touched, Place memory place, uint256 tag) private pure returns (bytes32 leaf) {
        leaf = place.otherLeaf;
        // A leaf stands on its own key's way; of the keys that lead here it must be none, for one of those would be hidden by it.
        if (tag == OTHER && place.depth > 0 && uint256(place.other ^ touched.keys[place.from]) >> (256 - place.depth) != 0) revert BadStream();
        for (uint256 i = place.from; i < place.to; ++i) {
            bytes32 old = touched.olds[i];
            if (tag == OTHER && touched.keys[i] == place.other) revert BadStream();
            if (old == 0) continue;
            if (tag != LEAF || leaf != 0) revert BadStream();
            leaf = old;
        }
        if (tag == LEAF && leaf == 0) revert BadStream();
    }

    /// @dev The node over what stands at the place afterwards: nothing, one leaf, or the tree of several.
    function leavesAt(Touched memory touched, Place memory place) private view returns (bytes32) {
        uint256 count = 0;
        uint256 size = place.to - place.from + 1;
        bytes32[] memory keys = new bytes32[](size);
        bytes32[] memory leaves = new bytes32[](size);
        bool isOtherDue = place.otherLeaf != 0;
        for (uint256 i = place.from; i < place.to; ++i) {
            bytes32 key = touched.keys[i];
            if (isOtherDue && place.other < key) {
                (keys[count], leaves[count]) = (place.other, place.otherLeaf);
                ++count;
                isOtherDue = false;
            }
            if (touched.news[i] == 0) continue;
            (keys[count], leaves[count]) = (key, touched.news[i]);
            ++count;
        }
        if (isOtherDue) {
            (keys[count], leaves[count]) = (place.other, place.otherLeaf);
            ++count;
        }
        if (count == 0) return 0;
        return count == 1 ? leaves[0] : treeOf(keys, leaves, count, place.depth);
    }

    /// @dev The inner node at `depth` over two or more leaves, whose keys ascend and share the bits above it. Neighbours that share most are joined
    /// first; of those on the stack each pair shares more than the one before it. A node on the stack is a leaf, or the inner node `heights` − 1 deep.
    function treeOf(bytes32[] memory keys, bytes32[] memory nodes, uint256 count, uint256 depth) private view returns (bytes32) {
        uint256[] memory heights = new uint256[](count);
        uint256 top = 0;
        for (uint256 i = 0; i < count; ++i) {
            (keys[top], nodes[top], heights[top]) = (keys[i], nodes[i], 0);
            ++top;
            bool isLast = i + 1 == count;
            uint256 next = isLast ? 0 : sharedBits(keys[i], keys[i + 1]);
            while (top > 1) {
                uint256 shared = sharedBits(keys[top - 2], keys[top - 1]);
                if (!isLast && shared < next) break;
                bytes32 left = lift(nodes[top - 2], keys[top - 2], heights[top - 2], shared + 1);
                bytes32 right = lift(nodes[top - 1], keys[top - 1], heights[top - 1], shared + 1);
                --top;
                (nodes[top - 1], heights[top - 1]) = (LedgerProof.innerHash(left, right), shared + 1);
            }
        }
        return lift(nodes[0], keys[0], heights[0], depth);
    }

    /// @dev The node at depth `to` over an inner node `height` − 1 deep that stands alone below it. A leaf (height 0) rises instead.
    function lift(bytes32 node, bytes32 key, uint256 height, uint256 to) private view returns (bytes32) {
        if (height == 0) return node;
        for (uint256 i = height - 1; i > to; --i) {
            bool isRight = (uint256(key) >> (256 - i)) & 1 == 1;
            node = isRight ? LedgerProof.innerHash(0, node) : LedgerProof.innerHash(node, 0);
        }
        return node;
    }

    /// @dev Both hashes of an inner node from those of its sides. Afterwards a leaf whose other side is empty rises, and nothing over nothing is nothing.
    function join(bytes32 oldLeft, bytes32 newLeft, bytes32 oldRight, bytes32 newRight) private view returns (bytes32 old, bytes32 next) {
        old = LedgerProof.innerHash(oldLeft, oldRight);
        if (oldLeft == newLeft && oldRight == newRight) return (old, old);
        next = rises(newLeft, newRight) ? newLeft | newRight : LedgerProof.innerHash(newLeft, newRight);
    }

    /// @dev Of the keys from `from` to `to`, which ascend and share their first `depth` bits, the first whose next bit is 1.
    function split(bytes32[] memory keys, uint256 from, uint256 to, uint256 depth) private pure returns (uint256) {
        uint256 bit = 1 << (255 - depth);
        while (from < to) {
            uint256 middle = (from + to) >> 1;
            if (uint256(keys[middle]) & bit == 0) from = middle + 1;
            else to = middle;
        }
        return from;
    }

    /// @dev How many first bits two different keys share.
    function sharedBits(bytes32 a, bytes32 b) private pure returns (uint256) {
        return 255 - Math.log2(uint256(a ^ b));
    }

    function wordAt(bytes calldata stream, uint256 offset) private pure returns (bytes32 word) {
        if (offset + 32 > stream.length) revert BadStream();
        assembly ("memory-safe") {
            word := calldataload(add(stream.offset, offset))
        }
    }

    function byteAt(bytes calldata stream, uint256 offset) private pure returns (uint256) {
        if (offset >= stream.length) revert BadStream();
        return uint8(stream[offset]);
    }
}
