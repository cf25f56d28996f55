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
    function envBytes(string calldata name) external view returns (bytes memory);
}

Vm constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

/// @notice Creates a contract from the code that is deployed on L1 (contracts/artifacts.ts), which test/contracts/invariants.test.ts gives under its name.
/// Compiled with what plays it, it would take the compiler a minute more.
function create(string memory name, bytes memory arguments) returns (address made) {
    bytes memory code = bytes.concat(VM.envBytes(string.concat("CODE_OF_", name)), arguments);
    assembly ("memory-safe") {
        made := create(0, add(code, 32), mload(code))
    }
    require(made != address(0), name);
}
