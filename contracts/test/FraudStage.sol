// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Group, IGroupExecution} from "../fraud/GroupTypes.sol";
import {IRowReader} from "../fraud/RowReader.sol";

/// @notice Everything around the fraud verifier, as a test wants it: checkpoints, inbox, portal and execution in one.
contract FraudStage is IGroupExecution {
    bytes32 public checkpointHash;
    bytes32 public genesisHash;
    bytes32 public genesisLedgerRoot;
    uint64 public depositCount;
    IRowReader public immutable ROWS;

    constructor(IRowReader rows) {
        ROWS = rows;
    }

    /// @notice What a success asked for.
    event Invalidated(uint64 id, address challenger);

    /// @notice What was to be executed.
    event Executed(Group group);

    function INBOX() external view returns (address) {
        return address(this);
    }

    function PORTAL() external view returns (address) {
        return address(this);
    }

    function set(bytes32 checkpoint, bytes32 genesis, bytes32 genesisRoot) external {
        (checkpointHash, genesisHash, genesisLedgerRoot) = (checkpoint, genesis, genesisRoot);
    }

    function checkpointAt(uint64) external view returns (bytes32, uint64, address) {
        return (checkpointHash, 0, address(0));
    }

    function invalidate(uint64 id, address challenger) external {
        emit Invalidated(id, challenger);
    }

    /// @notice Answers what the witness says.
    function executeGroup(Group calldata group, bytes calldata witness) external returns (bool, bytes32, bytes32) {
        emit Executed(group);
        return abi.decode(witness, (bool, bytes32, bytes32));
    }
}
