// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title OPEN, the token that Tributary accounts in and that pays its gas.
/// @notice The whole supply exists from the first block on; nobody can mint, burn for others, pause or seize.
contract OpenToken is ERC20, ERC20Permit {
    /// @notice Whole supply in wei. Far below 2^96, so that every amount on the rollup fits a uint96.
    uint256 public constant SUPPLY = 1_000_000_000e18;

    /// @param holder Gets the whole supply.
    constructor(address holder) ERC20("Open", "OPEN") ERC20Permit("Open") {
        _mint(holder, SUPPLY);
    }
}
