// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice OpenZeppelin's token as a person would begin with it.
contract Token is ERC20 {
    error TooMuch(uint256 asked);

    constructor(address to) ERC20("Token", "TKN") {
        _mint(to, 1000);
    }

    function mint(address to, uint256 amount) external {
        if (amount > 1000) revert TooMuch(amount);
        _mint(to, amount);
    }
}
