// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {RLP} from "@openzeppelin/contracts/utils/RLP.sol";
import {BatchHeader, BatchInbox} from "../../BatchInbox.sol";
import {Bridge, Withdrawal} from "../../Bridge.sol";
import {Checkpoint, CheckpointManager, Claim} from "../../CheckpointManager.sol";
import {LedgerProof} from "../../LedgerProof.sol";
import {OpenToken} from "../../OpenToken.sol";
import {Portal} from "../../Portal.sol";
import {PARAMETERS, SystemConfig} from "../../SystemConfig.sol";
import {Certificate, Commit, Evidence, Statement, ValidatorRegistry} from "../../ValidatorRegistry.sol";
import {VM, create} from "./Vm.sol";

/// @title Checkpoints, withdrawals, bonds, stakes and changes in any order, by a rollup that withdraws what was deposited, and whose checkpoints fall now and
/// then. What must have come of it is counted here apart from the contracts.
/// @dev It plays the inbox and the fraud verifier, and says that every signature is right: who may sign is what is played, not how.
contract SettlementHandler {
    struct Made {
        uint96 amount;
        bool fromEvm;
        /// Nobody else is paid there.
        address to;
    }

    struct Kept {
        bytes32 hash;
        uint64 submittedAtSec;
        uint64 lastBlock;
        uint64 cursor;
        uint64 evmWindowSec;
        uint64 withdrawals;
        Checkpoint checkpoint;
    }

    struct Frozen {
        uint64 fromId;
        uint64 untilSec;
    }

    struct Paid {
        uint64 atSec;
        uint256 sum;
    }

    uint64 public constant CHALLENGE_WINDOW_SEC = 100;
    uint64 public constant EPOCH_BLOCKS = 5;
    uint96 public constant PER_DAY = 86_400e6;
    uint256 private constant PEOPLE = 6;
    uint256 private constant FIRST_SET = 3;

    OpenToken public immutable TOKEN;
    SystemConfig public immutable CONFIG;
    Portal public immutable PORTAL;
    CheckpointManager public immutable MANAGER;
    ValidatorRegistry public immutable REGISTRY;
    Bridge public immutable BRIDGE;

    uint256 public deposited;
    uint256 public withdrawn;
    /// What went wrong, if anything did.
    string public broken;

    Made[] public made;
    Kept[] public kept;
    Frozen[] public freezes;
    Paid[] public paidOfEvm;
    address[] public recipients;
    mapping(address recipient => uint96) public due;

    mapping(uint64 index => bytes32) private _accumulators;
    uint64 private _batches;
    uint256 private _keys;
    uint256 private _timeSec = 1_800_000_000;
    uint256 private _number = 100;

    constructor() {
        VM.warp(_timeSec);
        VM.roll(_number);
        VM.mockCall(address(0x0f), "", abi.encode(uint256(1)));
        TOKEN = OpenToken(create("OpenToken", abi.encode(address(this))));
        uint96[PARAMETERS] memory values = [uint96(300), PER_DAY, 400, 10e18, 100_000];
        SystemConfig.Config memory config =
            SystemConfig.Config({owner: address(this), challengeWindowSec: CHALLENGE_WINDOW_SEC, delaySec: 700, values: values});
        CONFIG = SystemConfig(create("SystemConfig", abi.encode(config)));
        PORTAL = Portal(create("Portal", abi.encode(TOKEN, _creation(5), _creation(6))));
        CheckpointManager.Config memory checkpoints = CheckpointManager.Config({
            inbox: BatchInbox(address(this)),
            portal: PORTAL,
            registry: ValidatorRegistry(_creation(5)),
            fraudVerifier: address(this),
            systemConfig: CONFIG,
            livenessTimeoutSec: 400,
            exitTimeoutSec: 2_500
        });
        MANAGER = CheckpointManager(create("CheckpointManager", abi.encode(checkpoints)));
        ValidatorRegistry.Config memory validators = ValidatorRegistry.Config({
            token: TOKEN,
            portal: PORTAL,
            checkpointManager: address(MANAGER),
            chainId: 7,
            epochBlocks: EPOCH_BLOCKS,
            stakeMin: 1e18,
            evidenceAgeSec: 500,
            unbondingSec: 700,
            challengeWindowSec: CHALLENGE_WINDOW_SEC
        });
        REGISTRY = ValidatorRegistry(create("ValidatorRegistry", abi.encode(address(this), validators)));
        BRIDGE = Bridge(create("Bridge", abi.encode(PORTAL, MANAGER)));
        bytes memory entries;
        for (uint256 i = 0; i < FIRST_SET; ++i) entries = bytes.concat(entries, _entry(person(i), 1, _newKey()));
        REGISTRY.openFirstSet(entries);
        REGISTRY.appoint(0, FIRST_SET);
        for (uint256 i = 0; i < PEOPLE; ++i) {
            require(TOKEN.transfer(person(i), 1e26));
            VM.startPrank(person(i), person(i));
            require(TOKEN.approve(address(PORTAL), type(uint256).max));
            require(TOKEN.approve(address(MANAGER), type(uint256).max));
            require(TOKEN.approve(address(REGISTRY), type(uint256).max));
            VM.stopPrank();
        }
    }

    // ---- the rollup ------------------------------------------------------------------------------------------------------------------------------

    function deposit(uint256 who, uint96 amount) external {
        amount = amount % 1e12 + 1;
        VM.prank(person(who), person(who));
        PORTAL.depositToLedger(person(who), amount, false);
        deposited += amount;
    }

    function withdraw(uint96 amount, bool fromEvm) external {
        if (made.length >= 12 || withdrawn == deposited) return;
        amount = uint96(amount % (deposited - withdrawn)) + 1;
        address to = address(uint160(0x700000 + recipients.length));
        recipients.push(to);
        due[to] = amount;
        made.push(Made(amount, fromEvm, to));
        withdrawn += amount;
    }

    /// @dev Of a block soon after the last one, or of the newest epoch; without a certificate now and then.
    function submit(uint256 who, uint8 skipped, uint8 how) external {
        uint64 number = MANAGER.lastBlock() + 1 + skipped % 3;
        uint32 newest = REGISTRY.newestEpoch();
        if (how % 2 == 0 && REGISTRY.epochOf(number) < newest) number = newest * EPOCH_BLOCKS + 1 + skipped % 3;
        if (REGISTRY.epochOf(number) > newest) return;
        if (MANAGER.bondOf(person(who)).amount == 0) bond(who, who);
        (Claim memory claim, Checkpoint memory checkpoint, uint64 cursor) = _claim(number);
        Certificate memory certificate = _certificate(REGISTRY.epochOf(number));
        VM.prank(person(who), person(who));
        uint64 id = how % 8 != 7 ? MANAGER.submit(claim, certificate) : MANAGER.submitUncertified(claim);
        if (id != kept.length) broken = "an id out of its order";
        kept.push();
        Kept storage one = kept[id];
        one.hash = keccak256(abi.encode(checkpoint));
        one.submittedAtSec = uint64(block.timestamp);
        one.lastBlock = number;
        one.cursor = cursor;
        one.evmWindowSec = uint64(CONFIG.valueAt(SystemConfig.Parameter.EvmWindowSec, uint64(block.timestamp)));
        one.withdrawals = uint64(made.length);
        one.checkpoint = checkpoint;
    }

    /// @dev What the checkpoints had that fell was never so: the rollup goes on from the last one that stands.
    function fall(uint256 back) external {
        if (kept.length == 0) return;
        uint256 id = kept.length - 1 - back % kept.length;
        bool isOpen = !MANAGER.isClosed() && block.timestamp < kept[id].submittedAtSec + CHALLENGE_WINDOW_SEC;
        try MANAGER.invalidate(uint64(id), person(0)) {
            if (!isOpen) broken = "a mature checkpoint fell";
        } catch {
            if (isOpen) broken = "an open checkpoint did not fall";
            return;
        }
        _goBack(id);
    }

    function close() external {
        uint64 mature = MANAGER.matureCount();
        MANAGER.close();
        _goBack(mature);
    }

    // ---- money on L1 -----------------------------------------------------------------------------------------------------------------------------

    function pay(uint256 back, uint256 which) external {
        if (kept.length == 0) return;
        uint256 id = kept.length - 1 - back % kept.length;
        if (kept[id].withdrawals == 0) return;
        uint64 index = uint64(which % kept[id].withdrawals) + 1;
        Made memory one = made[index - 1];
        Kept memory at = kept[id];
        (bytes32[] memory keys, bytes32[] memory leaves) = _ledger(at.withdrawals, at.cursor);
        bytes32[] memory siblings = _siblings(keys, leaves, LedgerProof.keyOf(0x0b, abi.encodePacked(index)));
        uint256 before = TOKEN.balanceOf(one.to);
        BRIDGE.finalizeWithdrawal(uint64(id), at.checkpoint, index, _withdrawal(one), siblings);
        uint256 amount = TOKEN.balanceOf(one.to) - before;
        if (!MANAGER.isClosed() && block.timestamp < at.submittedAtSec + CHALLENGE_WINDOW_SEC) broken = "paid before it was mature";
        if (amount == 0) broken = "paid nothing";
        if (!one.fromEvm) return;
        if (block.timestamp < at.submittedAtSec + at.evmWindowSec) broken = "paid of the EVM before its window was over";
        for (uint256 i = 0; i < freezes.length; ++i) {
            if (id >= freezes[i].fromId && block.timestamp < freezes[i].untilSec) broken = "paid of the EVM while it was frozen";
        }
        uint256 sum = paidOfEvm.length == 0 ? 0 : paidOfEvm[paidOfEvm.length - 1].sum;
        paidOfEvm.push(Paid(uint64(block.timestamp), sum + amount));
    }

    /// @dev Whatever one checkpoint pays now.
    function payAll(uint256 back) external {
        if (kept.length == 0) return;
        uint256 count = kept[kept.length - 1 - back % kept.length].withdrawals;
        for (uint256 i = 0; i < count; ++i) try this.pay(back, i) {} catch {}
    }

    function freeze(uint256 who, uint256 back) external {
        if (kept.length == 0) return;
        uint64 id = uint64(kept.length - 1 - back % kept.length);
        ValidatorRegistry.Status status = REGISTRY.validatorOf(person(who)).status;
        VM.prank(person(who), person(who));
        BRIDGE.freezeEvmExits(id);
        if (status != ValidatorRegistry.Status.Active) broken = "frozen by nobody";
        freezes.push(Frozen(id, uint64(block.timestamp) + uint64(CONFIG.valueOf(SystemConfig.Parameter.FreezeSec))));
    }

    function bond(uint256 payer, uint256 submitter) public {
        VM.prank(person(payer), person(payer));
        MANAGER.depositBond(person(submitter));
    }

    function unbond(uint256 who) external {
        VM.prank(person(who), person(who));
        MANAGER.withdrawBond(person(who));
    }

    // ---- validators ------------------------------------------------------------------------------------------------------------------------------

    function register(uint256 who, uint96 amount) external {
        bytes32[3] memory key = _newKey();
        VM.prank(person(who), person(who));
        REGISTRY.register(key, _signature(), person(who), 1e18 + amount % 1e20);
    }

    function addStake(uint256 who, uint96 amount) external {
        VM.prank(person(who), person(who));
        REGISTRY.addStake(amount % 1e20);
    }

    function requestExit(uint256 who) external {
        VM.prank(person(who), person(who));
        REGISTRY.requestExit();
    }

    function withdrawStake(uint256 who, uint32 epoch) external {
        uint32 newest = REGISTRY.newestEpoch();
        epoch = epoch % 2 == 0 ? newest : epoch % (newest + 1);
        VM.prank(person(who), person(who));
        REGISTRY.withdraw(person(who), epoch);
    }

    /// @dev The next set: the one before, or those of the people who are validators.
    function rotate(bool isSame) external {
        uint32 epoch = REGISTRY.newestEpoch();
        bytes memory entries;
        for (uint256 i = 0; i < PEOPLE && !isSame; ++i) {
            ValidatorRegistry.Validator memory one = REGISTRY.validatorOf(person(i));
            if (one.status == ValidatorRegistry.Status.Active) entries = bytes.concat(entries, _entry(person(i), 1, one.key));
        }
        (, bytes memory now_,,) = REGISTRY.setOf(epoch);
        bytes32 setHash = keccak256(abi.encodePacked(epoch + 1, entries.length == 0 ? now_ : entries));
        bytes memory header = abi.encodePacked(REGISTRY.requestsHash(setHash));
        Certificate memory certificate = _certificate(epoch);
        uint64 height = (uint64(epoch) + 1) * EPOCH_BLOCKS;
        REGISTRY.rotate(Commit(height, 0, keccak256(header), certificate.bitmap, certificate.signature), header, entries);
    }

    function slash(uint32 epoch, uint16 place) external {
        epoch = epoch % (REGISTRY.newestEpoch() + 1);
        (, bytes memory entries,,) = REGISTRY.setOf(epoch);
        Statement memory first = Statement(3, 0, 0, bytes32(uint256(1)), _signature());
        Statement memory second = Statement(3, 0, 0, bytes32(uint256(2)), _signature());
        REGISTRY.slash(Evidence(1, uint16(place % (entries.length / 152)), uint64(epoch) * EPOCH_BLOCKS + 1, first, second));
    }

    function slashSigners(uint32 id, uint8 count) external {
        REGISTRY.slashSigners(id % (REGISTRY.convictionCount() + 1), count % 4 + 1);
    }

    // ---- changes, time ---------------------------------------------------------------------------------------------------------------------------

    /// @dev But for the daily allowance, so that what it allows is one line.
    function announce(uint8 which, uint96 value) external {
        SystemConfig.Parameter parameter = SystemConfig.Parameter(which % PARAMETERS);
        if (parameter == SystemConfig.Parameter.EvmExitWeiPerDay) return;
        (uint96 least, uint96 most) = CONFIG.boundsOf(parameter);
        CONFIG.announce(parameter, least + value % (most - least + 1));
    }

    function execute(uint8 which) external {
        CONFIG.execute(SystemConfig.Parameter(which % PARAMETERS));
    }

    function pass(uint16 seconds_) external {
        _pass(uint256(seconds_) % 100 + 1);
    }

    function passLong(uint16 seconds_) external {
        _pass(uint256(seconds_) % 900 + 100);
    }

    function _pass(uint256 seconds_) private {
        _timeSec += seconds_;
        _number += 1;
        VM.warp(_timeSec);
        VM.roll(_number);
    }

    // ---- the inbox -------------------------------------------------------------------------------------------------------------------------------

    function batchAt(uint64 index) external view returns (bytes32, uint64) {
        return (_accumulators[index], 0);
    }

    // ---- what is looked at ------------------------------------------------------------------------------------------------------------------------

    function person(uint256 who) public pure returns (address) {
        return address(uint160(0xa11ce0 + who % PEOPLE));
    }

    function keptCount() external view returns (uint256) {
        return kept.length;
    }

    function recipientCount() external view returns (uint256) {
        return recipients.length;
    }

    function paidCount() external view returns (uint256) {
        return paidOfEvm.length;
    }

    function bondSum() external view returns (uint256 sum) {
        for (uint256 i = 0; i < PEOPLE; ++i) sum += MANAGER.bondOf(person(i)).amount;
    }

    function stakes() external view returns (uint256 sum, uint256 active) {
        for (uint256 i = 0; i < PEOPLE; ++i) {
            ValidatorRegistry.Validator memory one = REGISTRY.validatorOf(person(i));
            sum += one.stake;
            if (one.status == ValidatorRegistry.Status.Active) ++active;
        }
    }

    // ---- helpers ---------------------------------------------------------------------------------------------------------------------------------

    function _goBack(uint256 count) private {
        while (kept.length > count) kept.pop();
        uint256 left = count == 0 ? 0 : kept[count - 1].withdrawals;
        while (made.length > left) {
            withdrawn -= made[made.length - 1].amount;
            made.pop();
        }
    }

    function _claim(uint64 number) private returns (Claim memory claim, Checkpoint memory checkpoint, uint64 cursor) {
        cursor = PORTAL.depositCount();
        (bytes32[] memory keys, bytes32[] memory leaves) = _ledger(made.length, cursor);
        bytes32 root = _node(keys, leaves, 0);
        claim.header = _header(number, root);
        claim.batchIndex = _batches++;
        claim.batch = BatchHeader(0, 1, number, keccak256(claim.header), 0, 0, 1);
        bytes32 accumulator = keccak256(abi.encode(bytes32(0), claim.batchIndex, claim.batch, bytes32(0)));
        _accumulators[claim.batchIndex] = accumulator;
        claim.l1Record = _l1Record(cursor);
        claim.siblings = _siblings(keys, leaves, LedgerProof.keyOf(0x00, hex"03"));
        checkpoint = Checkpoint(number, keccak256(claim.header), bytes32(uint256(5)), root, claim.batchIndex, accumulator, cursor);
    }

    function _header(uint64 number, bytes32 root) private pure returns (bytes memory) {
        bytes32 zero = 0;
        bytes memory first = abi.encodePacked(hex"a0", zero, hex"a0", zero, hex"94", address(0), hex"a0", uint256(5));
        bytes memory second = abi.encodePacked(hex"a0", zero, hex"a0", zero, hex"b90100", new bytes(256), hex"80", RLP.encode(uint256(number)));
        bytes memory third = abi.encodePacked(hex"80808080", hex"a0", zero, hex"80", hex"80", hex"a0", root);
        uint256 length = first.length + second.length + third.length;
        return abi.encodePacked(hex"f9", uint16(length), first, second, third);
    }

    function _l1Record(uint64 cursor) private pure returns (bytes memory) {
        return abi.encodePacked(new bytes(112), cursor);
    }

    function _withdrawal(Made memory one) private view returns (Withdrawal memory) {
        return Withdrawal(address(this), one.to, one.amount, 1, one.fromEvm ? 1 : 0);
    }

    /// @dev Keys and leaves of a ledger with the first `count` withdrawals.
    function _ledger(uint256 count, uint64 cursor) private view returns (bytes32[] memory keys, bytes32[] memory leaves) {
        keys = new bytes32[](count + 1);
        leaves = new bytes32[](count + 1);
        keys[count] = LedgerProof.keyOf(0x00, hex"03");
        leaves[count] = LedgerProof.leafHash(keys[count], sha256(_l1Record(cursor)));
        for (uint256 i = 0; i < count; ++i) {
            Withdrawal memory one = _withdrawal(made[i]);
            keys[i] = LedgerProof.keyOf(0x0b, abi.encodePacked(uint64(i + 1)));
            bytes memory record = abi.encodePacked(one.from, one.to, one.amount, one.blockNumber, one.fromEvm);
            leaves[i] = LedgerProof.leafHash(keys[i], sha256(record));
        }
    }

    /// @dev The node over leaves whose keys share their first `depth` bits.
    function _node(bytes32[] memory keys, bytes32[] memory leaves, uint256 depth) private view returns (bytes32) {
        if (keys.length == 0) return 0;
        if (keys.length == 1) return leaves[0];
        return LedgerProof.innerHash(_side(keys, leaves, depth, 0), _side(keys, leaves, depth, 1));
    }

    function _side(bytes32[] memory keys, bytes32[] memory leaves, uint256 depth, uint256 bit) private view returns (bytes32) {
        (bytes32[] memory someKeys, bytes32[] memory someLeaves) = _split(keys, leaves, depth, bit);
        return _node(someKeys, someLeaves, depth + 1);
    }

    function _split(bytes32[] memory keys, bytes32[] memory leaves, uint256 depth, uint256 bit)
        private
        pure
        returns (bytes32[] memory someKeys, bytes32[] memory someLeaves)
    {
        uint256 count;
        for (uint256 i = 0; i < keys.length; ++i) if ((uint256(keys[i]) >> (255 - depth)) & 1 == bit) ++count;
        (someKeys, someLeaves) = (new bytes32[](count), new bytes32[](count));
        for (uint256 i = keys.length; i > 0; --i) {
            if ((uint256(keys[i - 1]) >> (255 - depth)) & 1 != bit) continue;
            (someKeys[count - 1], someLeaves[count - 1]) = (keys[i - 1], leaves[i - 1]);
            --count;
        }
    }

    function _siblings(bytes32[] memory keys, bytes32[] memory leaves, bytes32 key) private view returns (bytes32[] memory siblings) {
        bytes32[] memory down = new bytes32[](256);
        uint256 depth;
        while (keys.length > 1) {
            uint256 bit = (uint256(key) >> (255 - depth)) & 1;
            down[depth] = _side(keys, leaves, depth, 1 - bit);
            (keys, leaves) = _split(keys, leaves, depth, bit);
            ++depth;
        }
        siblings = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) siblings[i] = down[depth - 1 - i];
    }

    /// @dev By all of the set.
    function _certificate(uint32 epoch) private view returns (Certificate memory) {
        (, bytes memory entries,,) = REGISTRY.setOf(epoch);
        uint256 count = entries.length / 152;
        return Certificate(abi.encodePacked(uint8((1 << count) - 1)), _signature());
    }

    function _signature() private pure returns (bytes memory signature) {
        signature = new bytes(256);
        signature[255] = 0x01;
    }

    function _entry(address who, uint128 weight, bytes32[3] memory key) private pure returns (bytes memory) {
        return abi.encodePacked(who, who, weight, key[0], key[1], key[2]);
    }

    /// @dev A key that was never used: the next multiple of the generator (0x0c), in 96 bytes.
    function _newKey() private returns (bytes32[3] memory key) {
        bytes memory generator =
            hex"0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
            hex"0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1";
        (bool ok, bytes memory point) = address(0x0c).staticcall(abi.encodePacked(generator, ++_keys));
        require(ok && point.length == 128, "this chain has no BLS");
        assembly ("memory-safe") {
            mcopy(key, add(point, 48), 48)
            mcopy(add(key, 48), add(point, 112), 48)
        }
    }

    function _creation(uint8 nonce) private view returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"d694", address(this), nonce)))));
    }
}

/// @title Rules that hold of what settles the rollup at every moment. Spec: docs/spec/settlement.md
contract SettlementInvariants {
    SettlementHandler private _handler;

    function setUp() public {
        _handler = new SettlementHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function invariant_whatIsPaidIsDueAndPaidOnceAndWasReleased() public view {
        uint256 paid;
        for (uint256 i = 0; i < _handler.recipientCount(); ++i) {
            address to = _handler.recipients(i);
            uint256 got = _handler.TOKEN().balanceOf(to);
            require(got <= _handler.due(to), "paid more than was due");
            paid += got;
        }
        require(paid <= _handler.withdrawn(), "paid what was never withdrawn");
        require(_handler.TOKEN().balanceOf(address(_handler.PORTAL())) == _handler.deposited() - paid, "the portal holds another sum");
    }

    function invariant_nothingIsPaidBeforeItsTimeOrWhileItIsFrozen() public view {
        require(bytes(_handler.broken()).length == 0, _handler.broken());
    }

    function invariant_theEvmIsPaidNoMoreThanItsAllowance() public view {
        uint256 count = _handler.paidCount();
        for (uint256 i = 0; i < count; ++i) {
            (uint64 fromSec, uint256 sumAfter) = _handler.paidOfEvm(i);
            uint256 before;
            if (i > 0) (, before) = _handler.paidOfEvm(i - 1);
            (uint64 toSec, uint256 sum) = _handler.paidOfEvm(count - 1);
            require(sumAfter >= before && sum >= before, "a sum went down");
            require((sum - before) * 86_400 <= uint256(_handler.PER_DAY()) * (86_400 + toSec - fromSec), "more than the allowance");
        }
    }

    function invariant_theRingHasTheCheckpointsThatStand() public view {
        CheckpointManager manager = _handler.MANAGER();
        uint64 count = manager.checkpointCount();
        require(count == _handler.keptCount() && count <= manager.highestCount(), "another count");
        uint64 mature = manager.matureCount();
        require(mature <= count, "more are mature than there are");
        uint64 lastBlock;
        for (uint64 id = 0; id < count; ++id) {
            (bytes32 hash, uint64 submittedAtSec, uint64 block_,,,,) = _handler.kept(id);
            (bytes32 known, uint64 atSec,) = manager.checkpointAt(id);
            require(known == hash && atSec == submittedAtSec, "another checkpoint");
            require(block_ > lastBlock, "checkpoints go back");
            require((manager.statusOf(id) == CheckpointManager.Status.Mature) == (id < mature), "another status");
            lastBlock = block_;
        }
        require(manager.lastBlock() == lastBlock, "another last block");
        for (uint64 id = count; id < manager.highestCount(); ++id) {
            require(manager.statusOf(id) == CheckpointManager.Status.Fallen, "what fell stands");
        }
    }

    function invariant_bondsAndStakesAreThere() public view {
        require(_handler.TOKEN().balanceOf(address(_handler.MANAGER())) == _handler.bondSum(), "other bonds");
        (uint256 sum, uint256 active) = _handler.stakes();
        require(_handler.TOKEN().balanceOf(address(_handler.REGISTRY())) == sum, "other stakes");
        require(_handler.REGISTRY().activeCount() == active, "another count of validators");
    }
}
