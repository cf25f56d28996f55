// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

/// @dev How many parameters there are.
uint256 constant PARAMETERS = 5;

/// @title The few numbers of the settlement that may change: how far, by whom, and when.
/// @notice Whatever is not here is fixed for good. The owner announces a change; after `DELAY_SEC` anyone makes it, unless the owner took it back. No change
/// leaves the bounds that follow from the values at deployment, and what was submitted, queued or frozen under a value keeps it. Without an owner nothing
/// changes any more. Spec: docs/spec/settlement.md#what-may-change
contract SystemConfig is Ownable2Step {
    using Checkpoints for Checkpoints.Trace160;

    /// @notice What may change. Times in seconds, amounts in wei of OPEN.
    enum Parameter {
        /// From a checkpoint's submission until withdrawals of the EVM are paid by it.
        EvmWindowSec,
        /// What withdrawals of the EVM are paid in a day.
        EvmExitWeiPerDay,
        /// How long one validator's word holds withdrawals of the EVM back.
        FreezeSec,
        /// Behind the checkpoints of one submitter.
        BondWei,
        /// Within which a deposit is executed: no checkpoint leaves an older one behind.
        DepositDueSec
    }

    struct Config {
        /// May announce changes; zero: nobody.
        address owner;
        /// From a checkpoint's submission until it is mature. Fixed for good.
        uint64 challengeWindowSec;
        /// From a change's announcement until it can be made. Fixed for good.
        uint64 delaySec;
        /// By `Parameter`.
        uint96[PARAMETERS] values;
    }

    /// @notice A change to come.
    struct Announced {
        uint96 value;
        /// When it can be made; 0: there is none.
        uint64 fromSec;
    }

    /// @notice No parameter ever becomes more than its value at deployment times this, or less than that value divided by it.
    uint96 public constant RANGE_FACTOR = 4;

    uint64 public immutable CHALLENGE_WINDOW_SEC;
    uint64 public immutable DELAY_SEC;

    mapping(Parameter parameter => Checkpoints.Trace160) private _values;
    mapping(Parameter parameter => uint96) private _first;
    mapping(Parameter parameter => Announced) private _announced;

    /// @notice From this time on anyone can make the change.
    event ChangeAnnounced(Parameter indexed parameter, uint96 value, uint64 fromSec);
    event ChangeCancelled(Parameter indexed parameter, uint96 value);
    event ChangeMade(Parameter indexed parameter, uint96 before, uint96 value);

    error ZeroValue(Parameter parameter);
    error OutOfBounds(uint96 least, uint96 most);
    error NothingAnnounced();
    error NotYet(uint64 fromSec);
    error Lapsed(uint64 untilSec);
    error NobodyOwns();

    constructor(Config memory config) Ownable(config.owner == address(0) ? msg.sender : config.owner) {
        CHALLENGE_WINDOW_SEC = config.challengeWindowSec;
        DELAY_SEC = config.delaySec;
        for (uint256 i = 0; i < PARAMETERS; ++i) {
            (Parameter parameter, uint96 value) = (Parameter(i), config.values[i]);
            if (value == 0 || value > type(uint96).max / RANGE_FACTOR) revert ZeroValue(parameter);
            _first[parameter] = value;
            _values[parameter].push(0, value);
        }
        // A window that is none, or a delay too short for who wants to leave before a change: no value is within the bounds.
        _checkBounds(Parameter.EvmWindowSec, config.values[uint256(Parameter.EvmWindowSec)]);
        if (config.owner == address(0)) renounceOwnership();
    }

    // ---- what is so --------------------------------------------------------------------------------------------------------------------------------

    /// @notice The value now.
    function valueOf(Parameter parameter) external view returns (uint96) {
        return uint96(_values[parameter].latest());
    }

    /// @notice The value that rules what was done at a time, in seconds: a change counts from the second after it is made, so that nothing that is done in
    /// the same L1 block, before it or after, can tell it.
    function valueAt(Parameter parameter, uint64 atSec) external view returns (uint96) {
        return uint96(_values[parameter].upperLookupRecent(atSec == 0 ? 0 : atSec - 1));
    }

    /// @notice What a value may become, both ends included.
    function boundsOf(Parameter parameter) public view returns (uint96 least, uint96 most) {
        uint96 first = _first[parameter];
        (least, most) = (first < RANGE_FACTOR ? 1 : first / RANGE_FACTOR, first * RANGE_FACTOR);
        if (parameter != Parameter.EvmWindowSec) return (least, most);
        // Longer than the challenge window; and who withdraws from the EVM when a change is announced is through before it counts, if a checkpoint comes
        // within a challenge window.
        if (least <= CHALLENGE_WINDOW_SEC) least = CHALLENGE_WINDOW_SEC + 1;
        uint64 longest = DELAY_SEC > CHALLENGE_WINDOW_SEC ? DELAY_SEC - CHALLENGE_WINDOW_SEC : 0;
        if (most > longest) most = longest;
    }

    /// @notice The change to come; `fromSec` 0: none.
    function announcedOf(Parameter parameter) external view returns (Announced memory) {
        return _announced[parameter];
    }

    // ---- changes -----------------------------------------------------------------------------------------------------------------------------------

    /// @notice Says that a value is to change, in the place of what was announced for it before.
    function announce(Parameter parameter, uint96 value) external onlyOwner {
        _checkBounds(parameter, value);
        uint64 fromSec = uint64(block.timestamp) + DELAY_SEC;
        _announced[parameter] = Announced(value, fromSec);
        emit ChangeAnnounced(parameter, value, fromSec);
    }

    /// @notice Takes an announcement back.
    function cancel(Parameter parameter) external onlyOwner {
        uint96 value = _takeAnnounced(parameter).value;
        emit ChangeCancelled(parameter, value);
    }

    /// @notice Makes a change that was announced at least `DELAY_SEC` and less than twice that before. Anyone may call.
    function execute(Parameter parameter) external {
        if (owner() == address(0)) revert NobodyOwns();
        Announced memory announced = _takeAnnounced(parameter);
        if (block.timestamp < announced.fromSec) revert NotYet(announced.fromSec);
        uint64 untilSec = announced.fromSec + DELAY_SEC;
        if (block.timestamp >= untilSec) revert Lapsed(untilSec);
        (uint160 before,) = _values[parameter].push(uint96(block.timestamp), announced.value);
        emit ChangeMade(parameter, uint96(before), announced.value);
    }

    function _takeAnnounced(Parameter parameter) private returns (Announced memory announced) {
        announced = _announced[parameter];
        if (announced.fromSec == 0) revert NothingAnnounced();
        delete _announced[parameter];
    }

    function _checkBounds(Parameter parameter, uint96 value) private view {
        (uint96 least, uint96 most) = boundsOf(parameter);
        if (value < least || value > most) revert OutOfBounds(least, most);
    }
}
