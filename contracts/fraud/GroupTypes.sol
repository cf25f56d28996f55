// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IRowReader} from "./RowReader.sol";

/// @notice What a block row says: the block that the rows behind it belong to. Spec: docs/spec/batch.md#rows
struct BlockContext {
    uint64 number;
    uint64 timestampMs;
    uint96 baseFeeWei;
    address coinbase;
}

/// @notice An L1 block that an L1 info row names, from its header, which is an ancestor of (or is) the batch's `l1OriginHash`.
/// The blob base fee is none of it: the row says that itself.
struct L1Facts {
    uint64 number;
    bytes32 hash;
    uint64 timestampSec;
    uint256 baseFeeWei;
    bytes32 prevRandao;
}

/// @notice A deposit of the portal, shown by the portal's tree. `l1Block` is the L1 block that queued it.
struct DepositFacts {
    uint64 index;
    uint64 l1Block;
    address from;
    address to;
    bytes opaqueData;
}

/// @notice One group of a batch as the posted bytes say it: whoever is given it need not ask where any of it comes from, nor whether its rows are well formed,
/// in order, in their places. Spec: docs/spec/fraud.md#execution
struct Group {
    /// Ledger root after the last row before the group, and after its own last row, both as posted.
    bytes32 preRoot;
    bytes32 postRoot;
    /// The block row that rules the first row; that row itself where it is a block row.
    BlockContext context;
    /// One to sixteen rows.
    uint256 rowCount;
    /// Their bytes as `IRowReader` expands them, one row behind another.
    bytes rows;
    /// One for each L1 info row, in the order of the rows, with its number; the hash is zero where the L1 block is not shown.
    L1Facts[] infos;
    /// Every deposit that a row of the group names, and those at the ledger's cursor where an L1 info row stands, ascending by index.
    DepositFacts[] deposits;
    /// Deposits of the portal until now: one of this index or a higher one is not queued.
    uint64 depositCount;
}

/// @notice Executes the rows of a group on its partial ledger.
interface IGroupExecution {
    /// @notice Who reads rows, and expands them to what is executed here.
    function ROWS() external view returns (IRowReader);

    /// @notice The ledger root that the rows lead to from `preRoot`, or that one of them is refused, which no row of a batch may be.
    /// @dev Reverts where the witness does not lead to `preRoot`, leaves out what a row touches, or the group has a type that cannot be proven:
    /// what it answers is true for every witness for which it answers. Keeps nothing, but needs transient storage: it cannot be asked by STATICCALL.
    /// @param witness The part of the ledger that the rows touch
    /// @return isRefused whether a row is refused; `root` is zero then
    /// @return root the ledger root after the last row
    /// @return code the rule that the refused row broke, in ASCII, zeros behind
    function executeGroup(Group calldata group, bytes calldata witness) external returns (bool isRefused, bytes32 root, bytes32 code);
}
