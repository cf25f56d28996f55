// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LedgerRecords} from "../LedgerRecords.sol";
import {LedgerTables} from "../LedgerTables.sol";
import {Packed} from "../Packed.sol";
import {Failed, IStepVerifier, Step} from "../StepTypes.sol";

/// @title 0x59 ParamSet, of EVM origin only. Spec: docs/spec/transactions.md#0x59-paramset, docs/spec/ledger.md#parameters
/// @dev The twin of execution/ledger/governed.ts and genesis/governed.ts.
contract ParamStep is IStepVerifier {
    using Packed for bytes;

    /// @dev name 32 · value u256
    uint256 private constant FIELDS_BYTES = 64;
    address private constant GOVERNOR = address(0x0a1d);
    uint256 private constant COUNT = 18;

    uint256 private constant MIN_BLOCK_INTERVAL_MS = 4;
    uint256 private constant MAX_BLOCK_INTERVAL_MS = 5;

    uint256 private constant DAY_SEC = 86_400;

    /// @notice Length of an earnings epoch in seconds.
    uint256 public immutable epochSec;

    /// @dev Both ends are allowed. A change goes no further than the factor `step`, up or down (0: any).
    struct Governed {
        bytes32 name;
        uint256 least;
        uint256 most;
        uint256 step;
    }

    constructor(uint256 epochSec_) {
        epochSec = epochSec_;
    }

    /// @inheritdoc IStepVerifier
    /// @dev There is no transaction of this type, so that nobody signs one.
    function inspect(uint8, bytes calldata body, uint64, uint96)
        external
        pure
        returns (uint256 length, uint256 itemGas, bytes32 structHash)
    {
        body.uintAt(FIELDS_BYTES - 1, 1);
        return (FIELDS_BYTES, 0, 0);
    }

    /// @inheritdoc IStepVerifier
    function execute(uint8, bytes calldata body, Step calldata step) external {
        if (step.sender != GOVERNOR) revert Failed("notGovernor");
        Governed[COUNT] memory all = governed();
        uint256 place = placeOf(all, bytes32(body.uintAt(0, 32)));
        uint256 value = body.uintAt(32, 32);
        bytes memory record = LedgerTables.paramsRecord();
        uint256[COUNT] memory ruling = valuesOf(record, step.blockNumber);
        uint256[COUNT] memory next = valuesOf(record, step.blockNumber + 1);
        if (!isWithinStep(all[place], ruling[place], value)) revert Failed("outOfBounds");
        next[place] = value;
        for (uint256 i = 0; i < COUNT; ++i) {
            if (next[i] < all[i].least || next[i] > all[i].most) revert Failed("outOfBounds");
        }
        bool isOrdered = next[MAX_BLOCK_INTERVAL_MS] >= next[MIN_BLOCK_INTERVAL_MS];
        bool isCovered = next[LedgerTables.UNBONDING_SEC] >= epochSec + next[LedgerTables.VESTING_SEC];
        if (!isOrdered || !isCovered) revert Failed("outOfBounds");
        bytes memory changed = abi.encodePacked(step.blockNumber, listOf(next), listOf(ruling));
        LedgerRecords.put(LedgerTables.PARAMS, hex"01", changed);
    }

    function placeOf(Governed[COUNT] memory all, bytes32 name) private pure returns (uint256) {
        for (uint256 i = 0; i < COUNT; ++i) if (all[i].name == name) return i;
        revert Failed("unknownParam");
    }

    function isWithinStep(Governed memory one, uint256 before, uint256 value) private pure returns (bool) {
        uint256 least = one.least;
        uint256 most = one.most;
        if (one.step != 0 && before != 0) {
            uint256 up = before * one.step;
            uint256 down = before / one.step;
            if (down > least) least = down;
            if (up < most) most = up;
        }
        return value >= least && value <= most;
    }

    function valuesOf(bytes memory record, uint64 blockNumber) private pure returns (uint256[COUNT] memory values) {
        // A record of fewer values than there are parameters would leave the rest to the genesis file, which L1 does not have.
        if (record.uintOf(8, 2) != COUNT) revert Packed.Unreadable();
        for (uint256 i = 0; i < COUNT; ++i) values[i] = LedgerTables.paramIn(record, i, blockNumber);
    }

    function listOf(uint256[COUNT] memory values) private pure returns (bytes memory list) {
        list = abi.encodePacked(uint16(COUNT));
        for (uint256 i = 0; i < COUNT; ++i) list = abi.encodePacked(list, uint128(values[i]));
    }

    /// @dev In the order of the record. Source: genesis/governed.ts
    function governed() private pure returns (Governed[COUNT] memory all) {
        all[0] = Governed("blockGasLimit", 16_000_000, 30_000_000_000, 2);
        all[1] = Governed("minBaseFeeWei", 0, 1e12, 8);
        all[2] = Governed("l1BaseFeeScalar", 0, 1e12, 8);
        all[3] = Governed("l1BlobBaseFeeScalar", 0, 1e12, 8);
        all[4] = Governed("minBlockIntervalMs", 1, 60_000, 8);
        all[5] = Governed("maxBlockIntervalMs", 1, 600_000, 8);
        all[6] = Governed("vestingSec", 1, 90 * DAY_SEC, 4);
        all[7] = Governed("prepaidDelaySec", 1, 30 * DAY_SEC, 4);
        all[8] = Governed("unbondingSec", 1, 180 * DAY_SEC, 4);
        all[9] = Governed("reviewDelaySec", 1, 90 * DAY_SEC, 4);
        all[10] = Governed("workerStakeMinWei", 1, 10_000_000e18, 4);
        all[11] = Governed("protocolBps", 0, 2_000, 0);
        all[12] = Governed("disputeBondWei", 1, 1_000_000e18, 4);
        all[13] = Governed("slashEquivocationBps", 1_000, 10_000, 0);
        all[14] = Governed("slashBadLeafBps", 100, 10_000, 0);
        all[15] = Governed("slashWrongSumBps", 100, 10_000, 0);
        all[16] = Governed("slashAttributionBps", 100, 10_000, 0);
        all[17] = Governed("challengerBps", 1_000, 9_000, 0);
    }
}
