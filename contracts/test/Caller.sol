// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Makes the calls that it is told to: a contract, or delegated code, as the sender.
contract Caller {
    error CallFailed(bytes answer);

    function call(address to, bytes calldata data) external payable returns (bytes memory) {
        (bool ok, bytes memory answer) = to.call{value: msg.value}(data);
        if (!ok) revert CallFailed(answer);
        return answer;
    }
}
