// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

interface Vm {
    function envUint(string calldata name) external view returns (uint256);
    function addr(uint256 key) external pure returns (address);
    function startBroadcast(uint256 key) external;
    function stopBroadcast() external;
}

contract Counter {
    uint256 public number;

    event Counted(uint256 number);

    constructor(uint256 start) {
        number = start;
    }

    function count() external payable {
        emit Counted(++number);
    }
}

/// @notice A deployment as people write it for forge: two contracts, one of them where its salt and code say, and calls that follow at once.
contract Play {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run() external {
        uint256 key = VM.envUint("PLAYER");
        require(VM.addr(key).balance > 1 ether, "the fork of the node has another state");
        VM.startBroadcast(key);
        Counter plain = new Counter(1);
        Counter salted = new Counter{salt: bytes32(uint256(7))}(2);
        for (uint256 i = 0; i < 16; i++) plain.count();
        salted.count{value: 3}();
        payable(0x00000000000000000000000000000000000c0de7).transfer(1);
        VM.stopBroadcast();
    }
}
