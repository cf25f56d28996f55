// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {BlsCertificate} from "./BlsCertificate.sol";
import {IValidators, Portal} from "./Portal.sol";

/// @notice A quorum of precommits of one block. Spec: docs/spec/consensus.md#certificates
struct Commit {
    uint64 height;
    uint32 round;
    bytes32 blockHash;
    /// ⌈n / 8⌉ bytes; bit i mod 8, lowest first, of byte ⌊i / 8⌋ is the validator's at place i of the set.
    bytes bitmap;
    /// x.c0 ‖ x.c1 ‖ y.c0 ‖ y.c1, 64 bytes each.
    bytes signature;
}

/// @notice A quorum's signature over a digest, by a set that is known from elsewhere.
struct Certificate {
    /// As in a commit.
    bytes bitmap;
    bytes signature;
}

/// @notice What a validator signed at some height. Spec: docs/spec/consensus.md#digests
struct Statement {
    /// 1 proposal, 2 prevote, 3 precommit.
    uint8 tag;
    uint32 round;
    /// Round of the polka that it rests on and one more; 0 without.
    uint32 validRoundPlus1;
    bytes32 blockHash;
    bytes signature;
}

/// @notice Two statements of one validator that no correct one signs. Spec: docs/spec/consensus.md#evidence
struct Evidence {
    /// 1 double vote, 2 amnesia (then the precommit stands first).
    uint8 kind;
    /// Place in the set of the height.
    uint16 validator;
    uint64 height;
    Statement first;
    Statement second;
}

/// @title Who may be a validator of the rollup, and which sets of them L1 knows.
/// @notice A validator puts OPEN at stake and shows that it holds its key. What changes here is told to the rollup as a deposit, and counts there from the
/// next epoch on; the set of an epoch comes back with a certificate of the set before it. Nobody owns the registry once its first set stands.
/// Spec: docs/spec/consensus.md#registry
contract ValidatorRegistry {
    using SafeERC20 for IERC20;

    /// @notice Validators of a set, and validators that are registered, at most.
    uint256 public constant VALIDATORS_MAX = 128;

    /// @notice What one unit of weight costs in stake: one OPEN.
    uint96 public constant STAKE_PER_WEIGHT = 1e18;

    /// @notice Part of a slashed stake that goes to who brought the evidence, in basis points; nobody gets the rest. Low, so that who slashes itself loses.
    uint256 public constant REWARD_BPS = 500;

    /// @notice Where the rest of a slashed stake goes: nobody has the key.
    address public constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    /// @dev address 20 ‖ feeRecipient 20 ‖ weight u128 ‖ x 48 ‖ y 48.
    uint256 private constant ENTRY_BYTES = 152;

    /// @dev A data contract: a byte that stops whoever calls it, the sum of the set's keys as the precompiles take it, and its entries.
    uint256 private constant SUM_AT = 1;
    uint256 private constant ENTRIES_AT = 129;

    /// @dev Weight of one validator at most: what a genesis file can hold.
    uint256 private constant WEIGHT_MAX = 2 ** 53 - 1;

    /// @dev Heights and rounds that can be written down (consensus/wire.ts).
    uint64 private constant HEIGHT_MAX = 2 ** 53 - 1;
    uint32 private constant ROUND_MAX = 2 ** 32 - 2;

    /// @dev Type of the request, in the sense of EIP-7685, by which the last header of an epoch names the next set.
    bytes1 private constant VALIDATOR_SET_REQUEST = 0x80;

    uint8 private constant DOUBLE_VOTE = 1;
    uint8 private constant AMNESIA = 2;
    /// @dev Not evidence of its own: the fraud verifier was shown that the checkpoint is wrong.
    uint8 private constant WRONG_CHECKPOINT = 3;

    enum Status {
        Unknown,
        Active,
        Leaving,
        Slashed
    }

    struct Validator {
        Status status;
        uint96 stake;
        /// Weight that it was appointed with, beside what its stake gives.
        uint64 appointedWeight;
        /// The newest epoch when it asked to leave: its stake is free by a set of a later one.
        uint32 leavingEpoch;
        address feeRecipient;
        /// x ‖ y.
        bytes32[3] key;
    }

    struct Set {
        address entries;
        uint96 totalWeight;
        uint64 openedAtSec;
    }

    /// @notice Validators who signed a checkpoint that was shown to be wrong, and have not paid for it yet.
    struct Conviction {
        /// By their place in the set of the block's epoch.
        uint128 signers;
        /// The checkpoint's last block.
        uint64 height;
        /// Who showed it, and gets the reward.
        address challenger;
    }

    struct Config {
        IERC20 token;
        Portal portal;
        /// Says who signed a checkpoint that fell.
        address checkpointManager;
        /// Of the rollup.
        uint64 chainId;
        /// Blocks of an epoch; 0: the first set stays.
        uint64 epochBlocks;
        /// Least stake of a validator, in wei.
        uint96 stakeMin;
        /// Seconds after the end of an epoch for which evidence of it counts.
        uint64 evidenceAgeSec;
        /// Seconds for which a stake stays here after its validator is out of the sets: longer than evidence counts and a checkpoint can be disputed.
        uint64 unbondingSec;
        uint64 challengeWindowSec;
    }

    IERC20 public immutable TOKEN;
    Portal public immutable PORTAL;
    address public immutable CHECKPOINT_MANAGER;
    uint64 public immutable CHAIN_ID;
    uint64 public immutable EPOCH_BLOCKS;
    uint96 public immutable STAKE_MIN;
    uint64 public immutable EVIDENCE_AGE_SEC;
    uint64 public immutable UNBONDING_SEC;

    /// @notice May open the first set, once, and nothing else.
    address public immutable OWNER;

    /// @notice The newest epoch whose set is known.
    uint32 public newestEpoch;

    /// @notice Validators that are registered and not leaving.
    uint16 public activeCount;

    /// @notice Convictions that there ever were, and those of which signers are left: while there are any, no stake is paid out.
    uint32 public convictionCount;
    uint32 public openConvictions;

    mapping(uint32 epoch => Set) private _sets;
    mapping(address validator => Validator) private _validators;
    mapping(bytes32 keyHash => bool) private _keyUsed;
    mapping(uint32 id => Conviction) private _convictions;

    /// @notice A set is known: `setHash` is keccak256(epoch ‖ entries).
    event EpochOpened(uint32 indexed epoch, bytes32 setHash, uint256 validators, uint96 totalWeight);

    /// @notice What the rollup was told of a validator. Weight 0: it leaves.
    event ValidatorChanged(address indexed validator, address feeRecipient, uint96 weight, bytes32[3] key);

    event StakeAdded(address indexed validator, uint96 amount);
    event StakeWithdrawn(address indexed validator, address indexed to, uint96 amount);

    /// @notice A validator broke the rules at this height.
    event ValidatorSlashed(address indexed validator, address indexed reporter, uint64 height, uint8 kind, uint96 stake, uint96 reward);

    /// @notice A checkpoint fell, and these validators of its last block's epoch signed it. `slashSigners` takes their stakes.
    event SignersConvicted(uint32 indexed id, uint64 height, uint128 signers, address indexed challenger);

    error UnbondingTooShort(uint256 least);
    error NotOwner();
    error FirstSetOpen();
    error NoFirstSet();
    error EntriesMalformed();
    error WeightOutOfRange(uint256 place);
    error StakeTooLow(uint96 least);
    error RegistryFull();
    error ZeroFeeRecipient();
    error KeyUsed();
    error BadPossession();
    error WrongStatus(Status status);
    error StillInSet(uint32 epoch);
    error SetTooOld(uint32 epoch);
    error NotYet(uint256 fromSec);
    error HeightOutOfRange();
    error RoundOutOfRange();
    error NilBlock();
    error UnknownEpoch(uint32 newest);
    error BitmapSize(uint256 expected);
    error BitBeyondSet(uint256 validators);
    error WeightTooLow(uint256 weight, uint256 totalWeight);
    error BadSignature();
    error EpochsNeverEnd();
    error NotLastBlock(uint64 expected);
    error HeaderMismatch();
    error SetMismatch(bytes32 setHash);
    error BadStatement();
    error UnknownValidator(uint256 validators);
    error NoOffence();
    error EvidenceTooOld(uint256 untilSec);
    error NothingAtStake();
    error SignersTooOld(uint256 untilSec);
    error NotCheckpointManager();
    error NobodyLeft(uint32 id);
    error ConvictionsOpen(uint32 count);

    constructor(address owner, Config memory config) {
        uint256 least = uint256(config.evidenceAgeSec) + config.challengeWindowSec;
        if (config.unbondingSec <= least) revert UnbondingTooShort(least + 1);
        if (config.stakeMin < STAKE_PER_WEIGHT) revert StakeTooLow(STAKE_PER_WEIGHT);
        OWNER = owner;
        TOKEN = config.token;
        PORTAL = config.portal;
        CHECKPOINT_MANAGER = config.checkpointManager;
        CHAIN_ID = config.chainId;
        EPOCH_BLOCKS = config.epochBlocks;
        STAKE_MIN = config.stakeMin;
        EVIDENCE_AGE_SEC = config.evidenceAgeSec;
        UNBONDING_SEC = config.unbondingSec;
    }

    // ---- sets --------------------------------------------------------------------------------------------------------------------------------------

    /// @notice Opens epoch 0 with the validators of the genesis file, in its order. They are appointed: who wrote the file vouches for their keys, and
    /// their weight needs no stake. `appoint` registers them.
    /// @param entries address 20 ‖ feeRecipient 20 ‖ weight u128 ‖ x 48 ‖ y 48 of each
    function openFirstSet(bytes calldata entries) external {
        if (msg.sender != OWNER) revert NotOwner();
        if (_sets[0].openedAtSec != 0) revert FirstSetOpen();
        _openSet(0, entries);
        activeCount = uint16(entries.length / ENTRY_BYTES);
    }

    /// @notice Registers validators of the first set, `count` of them from place `first` on: as many at a time as the gas of a transaction allows.
    function appoint(uint256 first, uint256 count) external {
        bytes memory entries = _read(_setAt(0).entries, ENTRIES_AT + first * ENTRY_BYTES, count * ENTRY_BYTES);
        for (uint256 i = 0; i < count; i++) {
            (address who, address feeRecipient, bytes32[3] memory key) = _memberAt(entries, i);
            if (who == address(0)) revert UnknownValidator(activeCount);
            if (_validators[who].status != Status.Unknown) revert WrongStatus(_validators[who].status);
            _takeKey(key);
            (uint256 weight,) = _entryAt(entries, i);
            _validators[who] = Validator(Status.Active, 0, uint64(weight), 0, feeRecipient, key);
        }
    }

    /// @notice Opens the epoch after the newest one: a quorum of the newest set made the epoch's last block final, and that names the next set.
    /// @param header of the last block, as it is hashed; its last 32 bytes are the requests' hash
    /// @param entries of the next set, in its order; empty: those of the newest set
    function rotate(Commit calldata commit, bytes calldata header, bytes calldata entries) external {
        if (EPOCH_BLOCKS == 0) revert EpochsNeverEnd();
        uint32 epoch = newestEpoch;
        uint64 lastHeight = (uint64(epoch) + 1) * EPOCH_BLOCKS;
        if (commit.height != lastHeight) revert NotLastBlock(lastHeight);
        checkCommit(commit);
        if (header.length < 32 || keccak256(header) != commit.blockHash) revert HeaderMismatch();
        bytes memory next = entries.length == 0 ? _entriesOf(_sets[epoch].entries) : entries;
        bytes32 hash = keccak256(abi.encodePacked(epoch + 1, next));
        if (bytes32(header[header.length - 32:]) != requestsHash(hash)) revert SetMismatch(hash);

        if (entries.length != 0) {
            _openSet(epoch + 1, entries);
        } else {
            Set storage set = _sets[epoch];
            _sets[epoch + 1] = Set(set.entries, set.totalWeight, uint64(block.timestamp));
            emit EpochOpened(epoch + 1, hash, next.length / ENTRY_BYTES, set.totalWeight);
        }
        newestEpoch = epoch + 1;
    }

    /// @notice What stands in the last header of an epoch for the set of the next one: the hash of a single request (EIP-7685).
    function requestsHash(bytes32 nextSetHash) public pure returns (bytes32) {
        return sha256(abi.encodePacked(sha256(abi.encodePacked(VALIDATOR_SET_REQUEST, nextSetHash))));
    }

    /// @notice The epoch that a block belongs to. Block 0 belongs to the first.
    function epochOf(uint64 height) public view returns (uint32) {
        return EPOCH_BLOCKS == 0 || height == 0 ? 0 : uint32((height - 1) / EPOCH_BLOCKS);
    }

    /// @notice Hash, entries, weight and age of a known set.
    function setOf(uint32 epoch) external view returns (bytes32 setHash, bytes memory entries, uint96 totalWeight, uint64 openedAtSec) {
        Set storage set = _setAt(epoch);
        entries = _entriesOf(set.entries);
        return (keccak256(abi.encodePacked(epoch, entries)), entries, set.totalWeight, set.openedAtSec);
    }

    /// @notice Reverts unless a quorum of the validators of the block's epoch precommitted it.
    function checkCommit(Commit calldata commit) public view {
        if (commit.height > HEIGHT_MAX) revert HeightOutOfRange();
        if (commit.round > ROUND_MAX) revert RoundOutOfRange();
        if (commit.blockHash == 0) revert NilBlock();
        uint32 epoch = epochOf(commit.height);
        bytes32 digest =
            BlsCertificate.statementDigest(BlsCertificate.PRECOMMIT, CHAIN_ID, epoch, commit.height, commit.round, 0, commit.blockHash);
        _checkQuorum(_setAt(epoch), digest, commit.bitmap, commit.signature);
    }

    /// @notice Reverts unless a quorum of the validators of the block's epoch signed the digest, which is a checkpoint's of that block, and unless those who
    /// did have their stakes here until its window ends: the epoch may be over for `EVIDENCE_AGE_SEC`. Answers who signed: bit i is the place i of the set.
    function checkCheckpoint(uint64 height, bytes32 digest, Certificate calldata certificate) external view returns (uint128 signers) {
        uint32 epoch = epochOf(height);
        Set storage set = _setAt(epoch);
        if (epoch != newestEpoch) {
            uint256 untilSec = uint256(_sets[epoch + 1].openedAtSec) + EVIDENCE_AGE_SEC;
            if (block.timestamp > untilSec) revert SignersTooOld(untilSec);
        }
        return _checkQuorum(set, digest, certificate.bitmap, certificate.signature);
    }

    // ---- validators --------------------------------------------------------------------------------------------------------------------------------

    /// @notice Puts OPEN at stake and becomes a validator of a coming epoch. The sender is the validator's address for as long as it is one.
    /// @param key the public key x ‖ y, never registered before
    /// @param possession the key's signature over the possession digest of the sender (docs/spec/consensus.md#digests)
    function register(bytes32[3] calldata key, bytes calldata possession, address feeRecipient, uint96 amount) external {
        Validator storage validator = _validators[msg.sender];
        if (validator.status != Status.Unknown) revert WrongStatus(validator.status);
        if (_sets[0].openedAtSec == 0) revert NoFirstSet();
        if (amount < STAKE_MIN) revert StakeTooLow(STAKE_MIN);
        if (activeCount == VALIDATORS_MAX) revert RegistryFull();
        if (feeRecipient == address(0)) revert ZeroFeeRecipient();
        bytes32[3] memory words = key;
        _takeKey(words);
        bytes32 digest = BlsCertificate.possessionDigest(CHAIN_ID, msg.sender, words);
        if (!BlsCertificate.isSignedBy(BlsCertificate.toPoint(words), digest, possession)) revert BadPossession();

        activeCount++;
        _validators[msg.sender] = Validator(Status.Active, amount, 0, 0, feeRecipient, words);
        emit StakeAdded(msg.sender, amount);
        _tell(msg.sender);
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Raises the sender's stake, and its weight with it.
    function addStake(uint96 amount) external {
        Validator storage validator = _active(msg.sender);
        validator.stake += amount;
        emit StakeAdded(msg.sender, amount);
        _tell(msg.sender);
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Changes who gets the fees of the blocks that the sender proposes.
    function setFeeRecipient(address feeRecipient) external {
        if (feeRecipient == address(0)) revert ZeroFeeRecipient();
        _active(msg.sender).feeRecipient = feeRecipient;
        _tell(msg.sender);
    }

    /// @notice Asks to leave. The sender votes until the end of its epoch on the rollup; there is no way back but to register anew, once the stake is out.
    function requestExit() external {
        Validator storage validator = _active(msg.sender);
        validator.status = Status.Leaving;
        validator.leavingEpoch = newestEpoch;
        activeCount--;
        _tell(msg.sender);
    }

    /// @notice Takes the stake of who left, `UNBONDING_SEC` after a set without it was opened.
    /// @param epoch of a set that was opened after the sender asked to leave, and does not have it
    function withdraw(address to, uint32 epoch) external {
        if (openConvictions != 0) revert ConvictionsOpen(openConvictions);
        Validator storage validator = _validators[msg.sender];
        if (validator.status != Status.Leaving) revert WrongStatus(validator.status);
        Set storage set = _setAt(epoch);
        if (_isMember(set.entries, msg.sender)) revert StillInSet(epoch);
        if (_isMember(_sets[newestEpoch].entries, msg.sender)) revert StillInSet(newestEpoch);
        if (epoch <= validator.leavingEpoch) revert SetTooOld(epoch);
        uint64 sinceSec = set.openedAtSec;
        if (block.timestamp < uint256(sinceSec) + UNBONDING_SEC) revert NotYet(uint256(sinceSec) + UNBONDING_SEC);

        uint96 stake = validator.stake;
        delete _validators[msg.sender];
        emit StakeWithdrawn(msg.sender, to, stake);
        TOKEN.safeTransfer(to, stake);
    }

    /// @notice What is known of an address.
    function validatorOf(address validator) external view returns (Validator memory) {
        return _validators[validator];
    }

    // ---- evidence ----------------------------------------------------------------------------------------------------------------------------------

    /// @notice Takes the stake of a validator that broke the rules, all of it and once, and tells the rollup that it is none any more.
    function slash(Evidence calldata evidence) external {
        (address offender, bytes32[3] memory key) = checkEvidence(evidence);
        uint32 epoch = epochOf(evidence.height);
        if (epoch != newestEpoch) {
            uint256 untilSec = uint256(_sets[epoch + 1].openedAtSec) + EVIDENCE_AGE_SEC;
            if (block.timestamp > untilSec) revert EvidenceTooOld(untilSec);
        }
        (bool isTaken, uint256 stake, uint256 reward) = _takeStake(offender, key, msg.sender, evidence.height, evidence.kind);
        if (!isTaken) revert NothingAtStake();
        _payOut(msg.sender, stake, reward);
    }

    /// @notice Notes who signed a checkpoint that was shown to be wrong, for the checkpoint manager alone.
    function convict(uint64 height, uint128 signers, address challenger) external {
        if (msg.sender != CHECKPOINT_MANAGER) revert NotCheckpointManager();
        uint32 id = convictionCount++;
        openConvictions++;
        _convictions[id] = Conviction(signers, height, challenger);
        emit SignersConvicted(id, height, signers, challenger);
    }

    /// @notice Takes the stakes of those who signed a checkpoint that fell, of the next `count` of them: as many at a time as the gas of a transaction and what
    /// the portal takes in an L1 block allow. Anyone may call; the reward is the challenger's. Who has lost its stake already is passed over.
    function slashSigners(uint32 id, uint256 count) external {
        Conviction storage conviction = _convictions[id];
        (uint256 left, uint64 height, address challenger) = (conviction.signers, conviction.height, conviction.challenger);
        if (left == 0) revert NobodyLeft(id);
        bytes memory entries = _entriesOf(_setAt(epochOf(height)).entries);
        uint256 stakes;
        uint256 rewards;
        for (uint256 place = 0; left >> place != 0 && count != 0; place++) {
            if ((left >> place) & 1 == 0) continue;
            left ^= 1 << place;
            count--;
            (address who,, bytes32[3] memory key) = _memberAt(entries, place);
            (, uint256 stake, uint256 reward) = _takeStake(who, key, challenger, height, WRONG_CHECKPOINT);
            stakes += stake;
            rewards += reward;
        }
        conviction.signers = uint128(left);
        if (left == 0) openConvictions--;
        _payOut(challenger, stakes, rewards);
    }

    /// @notice Who of a conviction has not paid yet.
    function convictionAt(uint32 id) external view returns (Conviction memory) {
        return _convictions[id];
    }

    /// @notice Reverts unless the evidence shows that a validator of the height's set broke the rules. Answers which one, and its key.
    function checkEvidence(Evidence calldata evidence) public view returns (address validator, bytes32[3] memory key) {
        (Statement calldata first, Statement calldata second) = (evidence.first, evidence.second);
        if (evidence.height > HEIGHT_MAX) revert HeightOutOfRange();
        _checkStatement(first);
        _checkStatement(second);
        uint32 epoch = epochOf(evidence.height);
        address data = _setAt(epoch).entries;
        uint256 count = _countOf(data);
        if (evidence.validator >= count) revert UnknownValidator(count);
        if (!_isOffence(evidence.kind, first, second)) revert NoOffence();

        (validator,, key) = _memberAt(_read(data, ENTRIES_AT + uint256(evidence.validator) * ENTRY_BYTES, ENTRY_BYTES), 0);
        uint256[4] memory point = BlsCertificate.toPoint(key);
        if (!_isSigned(point, epoch, evidence.height, first) || !_isSigned(point, epoch, evidence.height, second)) revert BadSignature();
    }

    /// @dev Statements that cannot be written down (consensus/certificate.ts) are none.
    function _checkStatement(Statement calldata statement) private pure {
        (uint8 tag, bool isNil) = (statement.tag, statement.blockHash == 0);
        if (statement.round > ROUND_MAX) revert RoundOutOfRange();
        bool isKnown = tag == BlsCertificate.PROPOSAL || tag == BlsCertificate.PREVOTE || tag == BlsCertificate.PRECOMMIT;
        bool isLate = statement.validRoundPlus1 > statement.round;
        bool isRested = statement.validRoundPlus1 != 0 && (tag == BlsCertificate.PRECOMMIT || isNil);
        if (!isKnown || isLate || isRested || (isNil && tag == BlsCertificate.PROPOSAL)) revert BadStatement();
    }

    function _isOffence(uint8 kind, Statement calldata first, Statement calldata second) private pure returns (bool) {
        if (kind == DOUBLE_VOTE) {
            bool isSameSlot = first.tag == second.tag && first.round == second.round;
            return isSameSlot && (first.blockHash != second.blockHash || first.validRoundPlus1 != second.validRoundPlus1);
        }
        if (kind != AMNESIA || first.tag != BlsCertificate.PRECOMMIT || second.tag != BlsCertificate.PREVOTE) return false;
        if (first.blockHash == 0 || second.blockHash == 0 || first.blockHash == second.blockHash) return false;
        // Its valid round is before the round of the precommit.
        return second.round > first.round && second.validRoundPlus1 <= first.round;
    }

    function _isSigned(uint256[4] memory point, uint32 epoch, uint64 height, Statement calldata statement) private view returns (bool) {
        bytes32 digest = BlsCertificate.statementDigest(
            statement.tag, CHAIN_ID, epoch, height, statement.round, statement.validRoundPlus1, statement.blockHash
        );
        return BlsCertificate.isSignedBy(point, digest, statement.signature);
    }

    // ---- helpers -----------------------------------------------------------------------------------------------------------------------------------

    /// @dev Takes a validator's whole stake, if it has this key and was not slashed before: who left with it and came back with another is not who signed.
    function _takeStake(address offender, bytes32[3] memory key, address reporter, uint64 height, uint8 kind)
        private
        returns (bool isTaken, uint256 stake, uint256 reward)
    {
        Validator storage validator = _validators[offender];
        Status status = validator.status;
        bool isBonded = status == Status.Active || status == Status.Leaving;
        if (!isBonded || _hashKey(validator.key) != _hashKey(key)) return (false, 0, 0);

        stake = validator.stake;
        reward = (stake * REWARD_BPS) / 10_000;
        validator.status = Status.Slashed;
        validator.stake = 0;
        emit ValidatorSlashed(offender, reporter, height, kind, uint96(stake), uint96(reward));
        if (status == Status.Active) {
            activeCount--;
            _tell(offender);
        }
        return (true, stake, reward);
    }

    /// @dev What was taken goes to who is rewarded, and to nobody.
    function _payOut(address reporter, uint256 stake, uint256 reward) private {
        if (reward != 0) TOKEN.safeTransfer(reporter, reward);
        if (stake != reward) TOKEN.safeTransfer(NOBODY, stake - reward);
    }

    function _active(address sender) private view returns (Validator storage validator) {
        validator = _validators[sender];
        if (validator.status != Status.Active) revert WrongStatus(validator.status);
    }

    /// @dev A key is one validator's for ever: evidence names keys.
    function _takeKey(bytes32[3] memory key) private {
        bytes32 hash = _hashKey(key);
        if (_keyUsed[hash]) revert KeyUsed();
        _keyUsed[hash] = true;
    }

    function _hashKey(bytes32[3] memory key) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(key));
    }

    /// @dev Says on the rollup what the validator is to be from the next epoch on.
    function _tell(address who) private {
        Validator storage validator = _validators[who];
        uint96 weight = validator.status == Status.Active ? validator.appointedWeight + validator.stake / STAKE_PER_WEIGHT : 0;
        emit ValidatorChanged(who, validator.feeRecipient, weight, validator.key);
        PORTAL.tellOfValidator(abi.encodeCall(IValidators.setValidator, (who, validator.feeRecipient, weight, validator.key)));
    }

    function _setAt(uint32 epoch) private view returns (Set storage set) {
        set = _sets[epoch];
        if (set.entries == address(0)) revert UnknownEpoch(newestEpoch);
    }

    /// @dev Keeps a set in the code of a contract, with the sum of its keys.
    function _openSet(uint32 epoch, bytes calldata entries) private {
        uint256 count = entries.length / ENTRY_BYTES;
        if (count == 0 || count > VALIDATORS_MAX || entries.length != count * ENTRY_BYTES) revert EntriesMalformed();
        uint256[4] memory sum;
        uint256 total;
        bytes memory copy = entries;
        for (uint256 i = 0; i < count; i++) {
            (uint256 weight, uint256[4] memory point) = _entryAt(copy, i);
            if (weight == 0 || weight > WEIGHT_MAX) revert WeightOutOfRange(i);
            total += weight;
            BlsCertificate.add(sum, point);
        }
        // Copies what follows and returns it as code: PUSH2 length, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN; then the code.
        bytes memory creation =
            abi.encodePacked(hex"61", uint16(ENTRIES_AT + copy.length), hex"80600a3d393df3", hex"00", sum, copy);
        address data;
        assembly ("memory-safe") {
            data := create(0, add(creation, 32), mload(creation))
        }
        if (data == address(0)) revert EntriesMalformed();
        _sets[epoch] = Set(data, uint96(total), uint64(block.timestamp));
        emit EpochOpened(epoch, keccak256(abi.encodePacked(epoch, copy)), count, uint96(total));
    }

    /// @dev Reverts unless those whose bits are set are a quorum and signed the digest.
    function _checkQuorum(Set storage set, bytes32 digest, bytes calldata bitmap, bytes calldata signature)
        private
        view
        returns (uint128 signers)
    {
        uint256[4] memory key;
        (key, signers) = _quorumKey(set, bitmap);
        if (!BlsCertificate.isSignedBy(key, digest, signature)) revert BadSignature();
    }

    /// @dev The sum of the keys of those whose bits are set, who are a quorum: the sum of all, less those that are absent; and who they are.
    function _quorumKey(Set storage set, bytes calldata bitmap) private view returns (uint256[4] memory key, uint128 signers) {
        address data = set.entries;
        uint256 count = _countOf(data);
        uint256 totalWeight = set.totalWeight;
        uint256 absent = _absentIn(bitmap, count);
        signers = uint128(absent ^ ((1 << count) - 1));
        bytes memory code = _read(data, SUM_AT, ENTRIES_AT - SUM_AT);
        assembly ("memory-safe") {
            mcopy(key, add(code, 32), 128)
        }
        if (absent == 0) return (key, signers);
        bytes memory entries = _read(data, ENTRIES_AT, count * ENTRY_BYTES);
        uint256 weight = totalWeight;
        for (uint256 i = 0; i < count; i++) {
            if ((absent >> i) & 1 == 0) continue;
            (uint256 missing, uint256[4] memory point) = _entryAt(entries, i);
            weight -= missing;
            BlsCertificate.subtract(key, point);
        }
        if (weight * 3 <= totalWeight * 2) revert WeightTooLow(weight, totalWeight);
    }

    /// @dev Bit i: the validator at place i did not sign.
    function _absentIn(bytes calldata bitmap, uint256 count) private pure returns (uint256) {
        uint256 size = (count + 7) / 8;
        if (bitmap.length != size) revert BitmapSize(size);
        uint256 present;
        for (uint256 i = 0; i < size; i++) present |= uint256(uint8(bitmap[i])) << (8 * i);
        if (present >> count != 0) revert BitBeyondSet(count);
        return present ^ ((1 << count) - 1);
    }

    /// @dev Weight and key of the entry at a place.
    function _entryAt(bytes memory entries, uint256 i) private pure returns (uint256 weight, uint256[4] memory point) {
        assembly ("memory-safe") {
            let entry := add(add(entries, 32), mul(i, ENTRY_BYTES))
            let half := 0xffffffffffffffffffffffffffffffff
            let first := mload(add(entry, 40))
            weight := shr(128, first)
            mstore(point, and(first, half))
            mstore(add(point, 32), mload(add(entry, 72)))
            mstore(add(point, 64), and(mload(add(entry, 88)), half))
            mstore(add(point, 96), mload(add(entry, 120)))
        }
    }

    /// @dev Who the entry at a place is.
    function _memberAt(bytes memory entries, uint256 i) private pure returns (address validator, address feeRecipient, bytes32[3] memory key) {
        assembly ("memory-safe") {
            let entry := add(add(entries, 32), mul(i, ENTRY_BYTES))
            validator := shr(96, mload(entry))
            feeRecipient := shr(96, mload(add(entry, 20)))
            mcopy(key, add(entry, 56), 96)
        }
    }

    function _isMember(address data, address validator) private view returns (bool) {
        bytes memory entries = _entriesOf(data);
        uint256 count = entries.length / ENTRY_BYTES;
        for (uint256 i = 0; i < count; i++) {
            (address member,,) = _memberAt(entries, i);
            if (member == validator) return true;
        }
        return false;
    }

    function _countOf(address data) private view returns (uint256) {
        return (data.code.length - ENTRIES_AT) / ENTRY_BYTES;
    }

    function _entriesOf(address data) private view returns (bytes memory) {
        return _read(data, ENTRIES_AT, data.code.length - ENTRIES_AT);
    }

    function _read(address data, uint256 offset, uint256 length) private view returns (bytes memory bytesRead) {
        bytesRead = new bytes(length);
        assembly ("memory-safe") {
            extcodecopy(data, add(bytesRead, 32), offset, length)
        }
    }
}
