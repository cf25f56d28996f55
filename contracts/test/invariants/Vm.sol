// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice What of forge's cheats the invariants use. Source: Foundry book, cheatcodes.
interface Vm {
    function roll(uint256 number) external;
    function warp(uint256 timeSec) external;
    function prank(address sender, address origin) external;
    function startPrank(address sender, address origin) external;
    function stopPrank() external;
    function mockCall(address callee, bytes calldata data, bytes calldata answer) external;
}

Vm constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
