// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BlockContext, DepositFacts, Group, IGroupExecution, L1Facts} from "./GroupTypes.sol";
import {LedgerRecords} from "./LedgerRecords.sol";
import {LedgerTables} from "./LedgerTables.sol";
import {Packed} from "./Packed.sol";
import {IRowReader} from "./RowReader.sol";
import {Failed, IStepVerifier, Refused, Step} from "./StepTypes.sol";

/// @notice Who reads rows, and verifiers of the native types, fixed at deployment. A type without one (zero) cannot be proven.
struct StepVerifiers {
    address rows;
    address transfer;
    address datanets;
    address models;
    address workers;
    address credits;
    address disputes;
    address claim;
    address params;
    address validators;
}

/// @title The native lane's transition on L1: the rows of a group, executed on a partial ledger.
/// @notice The twin of execution/laneRules.ts. It has no state and no owner. Spec: docs/spec/fraud.md#execution
/// @dev A rule runs in a frame of its own (DELEGATECALL of its verifier): where it fails the frame's writes are undone, and fee and nonce stay. A frame
/// that ends with anything but `Refused` or `Failed`, for want of gas or of a record, ends the whole execution: nothing can be made to look refused or
/// failed that is not.
contract GroupExecution is IGroupExecution {
    using Packed for bytes;

    /// @notice The group has a row of a type that has no verifier here.
    error CannotProve(uint8 typeByte);
    /// @notice The witness is of another ledger root.
    error WrongRoot(bytes32 root);
    /// @notice The group is not what its maker promises: see GroupTypes.sol.
    error BadGroup();
    /// @notice A deposit that the rows depend on is not shown.
    error DepositMissing(uint64 index);
    /// @notice An L1 block that the rows depend on is not shown.
    error L1BlockMissing(uint64 number);

    /// @dev kind u8 ‖ bytes that are paid for u24 ‖ length u24, before the body.
    uint256 private constant ROW_FRAME_BYTES = 7;

    uint256 private constant ROW_BLOCK = 0x01;
    uint256 private constant ROW_L1_INFO = 0x02;
    uint256 private constant ROW_DEPOSIT = 0x03;
    uint256 private constant ROW_NATIVE = 0x04;
    uint256 private constant ROW_OPERATION = 0x05;
    uint256 private constant ROW_REPORT = 0x06;
    uint8 private constant REPORT_TYPE = 0x5a;
    uint8 private constant DEPOSIT_TYPE = 0x7e;

    /// @dev number u64 · timestampMs u64 · baseFee u96 · coinbase 20
    uint256 private constant BLOCK_BYTES = 48;
    /// @dev type u8 · yParity u8 · r 32 · s 32 · nonce u64 · maxFee u96
    uint256 private constant NATIVE_HEAD_BYTES = 86;
    /// @dev type u8 · caller 20
    uint256 private constant OPERATION_HEAD_BYTES = 21;

    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    uint256 private constant SAFE_INTEGER_MAX = 2 ** 53 - 1;

    uint256 private constant GAS_BASE = 9_000;
    uint256 private constant GAS_PER_ROW_BYTE = 16;
    uint256 private constant L1_GAS_PER_BYTE = 16;
    uint256 private constant MILLION = 1_000_000;
    uint64 private constant ORIGIN_STEP_MAX = 64;

    uint160 private constant FIRST_DOOR = 0x0a00;
    address private constant LEDGER = address(0x0a00);
    address private constant VALIDATORS = address(0x0a1c);

    /// @dev `transfer(uint8 kind, address to, uint96 amount)`: what a deposit to the ledger may say.
    bytes4 private constant LEDGER_DEPOSIT = bytes4(keccak256("transfer(uint8,address,uint96)"));
    /// @dev mint 32 ‖ value 32 ‖ gas 8 ‖ isCreation 1, before the data.
    uint256 private constant OPAQUE_HEAD_BYTES = 73;

    /// @dev Places in the l1 record: number u64 · hash 32 · timestampSec u64 · baseFee u128 · blobBaseFee u128 · prevRandao 32 · depositCursor u64.
    uint256 private constant L1_BASE_FEE_AT = 48;
    uint256 private constant L1_BLOB_BASE_FEE_AT = 64;
    uint256 private constant L1_CURSOR_AT = 112;

    bytes32 private constant DOMAIN_TYPE_HASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    /// @notice Chain id of the rollup.
    uint256 public immutable rollupChainId;
    /// @inheritdoc IGroupExecution
    IRowReader public immutable ROWS;

    address private immutable _transfer;
    address private immutable _datanets;
    address private immutable _models;
    address private immutable _workers;
    address private immutable _credits;
    address private immutable _disputes;
    address private immutable _claim;
    address private immutable _params;
    address private immutable _validators;

    /// @dev A group being executed.
    struct Run {
        BlockContext context;
        /// L1 info rows so far.
        uint256 infos;
    }

    /// @dev A row of a native transaction.
    struct Signed {
        uint8 typeByte;
        uint8 yParity;
        bytes32 r;
        bytes32 s;
        uint64 nonce;
        uint96 maxFee;
    }

    constructor(uint256 rollupChainId_, StepVerifiers memory verifiers) {
        rollupChainId = rollupChainId_;
        ROWS = IRowReader(verifiers.rows);
        _transfer = verifiers.transfer;
        _datanets = verifiers.datanets;
        _models = verifiers.models;
        _workers = verifiers.workers;
        _credits = verifiers.credits;
        _disputes = verifiers.disputes;
        _claim = verifiers.claim;
        _params = verifiers.params;
        _validators = verifiers.validators;
    }

    /// @inheritdoc IGroupExecution
    function executeGroup(Group calldata group, bytes calldata witness) public returns (bool isRefused, bytes32 root, bytes32 code) {
        (bytes32[] memory keys, bytes32[] memory leaves, uint256 offset) = LedgerRecords.load(witness);
        code = executeRows(group);
        bytes32 preRoot;
        (preRoot, root) = LedgerRecords.roots(keys, leaves, witness[offset:]);
        if (preRoot != group.preRoot) revert WrongRoot(preRoot);
        if (code != 0) (isRefused, root) = (true, 0);
    }

    /// @notice The verifier of a native type or operation; zero where there is none.
    function verifierOf(uint8 typeByte) public view returns (address) {
        if (typeByte == 0x50) return _transfer;
        if (typeByte >= 0x51 && typeByte <= 0x53) return _datanets;
        if (typeByte == 0x54) return _models;
        if (typeByte == 0x55) return _workers;
        if (typeByte == 0x56) return _credits;
        if (typeByte == 0x57) return _disputes;
        if (typeByte == 0x58) return _claim;
        if (typeByte == 0x59) return _params;
        return typeByte == REPORT_TYPE || typeByte == DEPOSIT_TYPE ? _validators : address(0);
    }

    /// @dev Told of each transaction that failed, which is part of no answer: for whoever compares reasons.
    function onFailure(bytes32 code) internal virtual {}

    /// @return code the rule that a row broke by which no batch may have it; zero if there is none
    function executeRows(Group calldata group) private returns (bytes32 code) {
        Run memory run = Run(group.context, 0);
        bytes calldata rows = group.rows;
        uint256 offset = 0;
        for (uint256 i = 0; i < group.rowCount; ++i) {
            if (offset + ROW_FRAME_BYTES > rows.length) revert BadGroup();
            uint256 kind = uint8(rows[offset]);
            uint256 paid = uint24(bytes3(rows[offset + 1:offset + 4]));
            uint256 end = offset + ROW_FRAME_BYTES + uint24(bytes3(rows[offset + 4:offset + 7]));
            if (end > rows.length) revert BadGroup();
            code = executeRow(run, group, kind, paid, rows[offset + ROW_FRAME_BYTES:end]);
            if (code != 0) return code;
            offset = end;
        }
        if (offset != rows.length) revert BadGroup();
    }

    function executeRow(Run memory run, Group calldata group, uint256 kind, uint256 paid, bytes calldata body) private returns (bytes32) {
        if (kind == ROW_NATIVE) return executeNative(run.context, paid, body);
        if (kind == ROW_OPERATION) return executeOperation(run.context, body);
        if (kind == ROW_L1_INFO) return executeL1Info(run, group, body);
        if (kind == ROW_DEPOSIT) return executeDeposit(run, group, body);
        if (kind == ROW_REPORT) return executeReport(run.context, body);
        if (kind != ROW_BLOCK) revert BadGroup();
        uint256 timestampMs = uint64(bytes8(body[8:16]));
        if (timestampMs > SAFE_INTEGER_MAX || body.length != BLOCK_BYTES) return "malformed";
        run.context = BlockContext({
            number: uint64(bytes8(body[0:8])),
            timestampMs: uint64(timestampMs),
            baseFeeWei: uint96(bytes12(body[16:28])),
            coinbase: address(bytes20(body[28:48]))
        });
        return 0;
    }

    // ---- native transactions and operations ------------------------------------------------------------------------------------------

    function executeNative(BlockContext memory context, uint256 rowBytes, bytes calldata body) private returns (bytes32 code) {
        if (body.length < NATIVE_HEAD_BYTES) return "malformed";
        Signed memory signed = Signed({
            typeByte: uint8(body[0]),
            yParity: uint8(body[1]),
            r: bytes32(body[2:34]),
            s: bytes32(body[34:66]),
            nonce: uint64(bytes8(body[66:74])),
            maxFee: uint96(bytes12(body[74:86]))
        });
        if (signed.typeByte < 0x50 || signed.typeByte > 0x58 || signed.yParity > 1 || uint256(signed.s) > HALF_ORDER) return "malformed";
        bytes calldata fields = body[NATIVE_HEAD_BYTES:];
        uint256 itemGas;
        bytes32 structHash;
        (code, itemGas, structHash) = inspect(signed.typeByte, fields, signed.nonce, signed.maxFee);
        if (code != 0) return code;
        address sender = ecrecover(digestOf(signed.typeByte, structHash), 27 + signed.yParity, signed.r, signed.s);
        if (sender == address(0)) return "badSignature";
        code = payFee(context, signed, sender, GAS_BASE + GAS_PER_ROW_BYTE * rowBytes + itemGas, rowBytes);
        if (code != 0) return code;
        bool isFailure;
        (code, isFailure) = applyRule(signed.typeByte, fields, stepOf(context, sender, false));
        if (!isFailure) return code;
        onFailure(code);
        return 0;
    }

    /// @dev What the EVM lane attests: that it was called, and with the value that the rule takes. A rule that is broken refuses the row.
    function executeOperation(BlockContext memory context, bytes calldata body) private returns (bytes32 code) {
        if (body.length < OPERATION_HEAD_BYTES) return "malformed";
        uint8 typeByte = uint8(body[0]);
        if (typeByte < 0x50 || typeByte > 0x59) return "malformed";
        bytes calldata fields = body[OPERATION_HEAD_BYTES:];
        (code,,) = inspect(typeByte, fields, 0, 0);
        if (code != 0) return code;
        (code,) = applyRule(typeByte, fields, stepOf(context, address(bytes20(body[1:21])), true));
    }

    /// @dev That the evidence is judged is attested; whom it accuses, and what follows, is not.
    function executeReport(BlockContext memory context, bytes calldata body) private returns (bytes32 code) {
        (code,,) = inspect(REPORT_TYPE, body, 0, 0);
        if (code == 0) (code,) = applyRule(REPORT_TYPE, body, stepOf(context, address(0), false));
    }

    function stepOf(BlockContext memory context, address sender, bool isOperation) private pure returns (Step memory) {
        return Step({sender: sender, isOperation: isOperation, blockNumber: context.number, timeSec: context.timestampMs / 1000});
    }

    function inspect(uint8 typeByte, bytes calldata fields, uint64 nonce, uint96 maxFee)
        internal
        returns (bytes32 code, uint256 itemGas, bytes32 structHash)
    {
        bytes memory answer;
        (code,, answer) = ask(typeByte, abi.encodeCall(IStepVerifier.inspect, (typeByte, fields, nonce, maxFee)));
        if (code != 0) return (code, 0, 0);
        uint256 length;
        (length, itemGas, structHash) = abi.decode(answer, (uint256, uint256, bytes32));
        if (fields.length != length) code = "malformed";
    }

    function applyRule(uint8 typeByte, bytes calldata fields, Step memory step) internal returns (bytes32 code, bool isFailure) {
        (code, isFailure,) = ask(typeByte, abi.encodeCall(IStepVerifier.execute, (typeByte, fields, step)));
    }

    /// @dev Calls the type's verifier on the records of this run. A code says that it reverted with one; whatever else it reverts with goes on up.
    function ask(uint8 typeByte, bytes memory call) private returns (bytes32 code, bool isFailure, bytes memory answer) {
        address verifier = verifierOf(typeByte);
        if (verifier == address(0)) revert CannotProve(typeByte);
        bool isDone;
        (isDone, answer) = verifier.delegatecall(call);
        if (isDone) return (0, false, answer);
        bytes4 selector = bytes4(answer);
        if (answer.length == 36 && (selector == Refused.selector || selector == Failed.selector)) {
            assembly ("memory-safe") {
                code := mload(add(answer, 36))
            }
            return (code, selector == Failed.selector, answer);
        }
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    /// @dev EIP-712. Spec: docs/spec/transactions.md#native-wire-form
    function digestOf(uint8 typeByte, bytes32 structHash) private view returns (bytes32) {
        bytes32 separator =
            keccak256(abi.encode(DOMAIN_TYPE_HASH, keccak256("Tributary"), keccak256("1"), rollupChainId, doorOf(typeByte)));
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    function doorOf(uint8 typeByte) private pure returns (address) {
        if (typeByte == 0x50) return LEDGER;
        if (typeByte <= 0x53) return address(FIRST_DOOR + 1);
        if (typeByte == 0x54) return address(FIRST_DOOR + 2);
        return typeByte == 0x55 ? address(FIRST_DOOR + 3) : address(FIRST_DOOR + 4);
    }

    /// @dev Half of what gas costs to the treasury, the rest to the fee recipient; what bytes cost to the treasury; the nonce is used.
    function payFee(BlockContext memory context, Signed memory signed, address sender, uint256 gas, uint256 rowBytes)
        private
        returns (bytes32)
    {
        uint256 gasWei = gas * context.baseFeeWei;
        uint256 dataWei = rowBytes * dataPriceOf(context.number) / MILLION;
        LedgerTables.Account memory account = LedgerTables.getAccount(sender);
        if (signed.nonce < account.nonce) return "nonceTooLow";
        if (signed.nonce > account.nonce) return "nonceTooHigh";
        if (gasWei + dataWei > signed.maxFee) return "feeTooLow";
        if (gasWei + dataWei > account.balance) return "insufficientFunds";
        account.nonce += 1;
        account.balance -= uint96(gasWei + dataWei);
        LedgerTables.putAccount(sender, account);
        uint256 half = gasWei / 2;
        LedgerTables.addBalance(LedgerTables.TREASURY, half + dataWei);
        LedgerTables.addBalance(context.coinbase, gasWei - half);
        return 0;
    }

    /// @dev Wei for a million bytes. Spec: docs/spec/transactions.md#fees
    function dataPriceOf(uint64 blockNumber) private view returns (uint256) {
        bytes memory params = LedgerTables.paramsRecord();
        uint256 scalar = LedgerTables.paramIn(params, LedgerTables.L1_BASE_FEE_SCALAR, blockNumber);
        uint256 blobScalar = LedgerTables.paramIn(params, LedgerTables.L1_BLOB_BASE_FEE_SCALAR, blockNumber);
        if (scalar == 0 && blobScalar == 0) return 0;
        bytes memory l1 = LedgerTables.l1Record();
        return L1_GAS_PER_BYTE * l1.uintOf(L1_BASE_FEE_AT, 16) * scalar + l1.uintOf(L1_BLOB_BASE_FEE_AT, 16) * blobScalar;
    }

    // ---- what L1 says --------------------------------------------------------------------------------------------------------------------

    function executeL1Info(Run memory run, Group calldata group, bytes calldata body) private returns (bytes32) {
        if (run.infos >= group.infos.length) revert BadGroup();
        L1Facts calldata facts = group.infos[run.infos++];
        if (facts.number != uint64(bytes8(body[0:8]))) revert BadGroup();
        uint128 blobBaseFee = uint128(bytes16(body[8:24]));
        if (body.length != 24) return "malformed";
        bytes memory before = LedgerTables.l1Record();
        uint256 number = before.uintOf(0, 8);
        if (facts.number <= number || facts.number > number + ORIGIN_STEP_MAX) return "badOrigin";
        if (facts.hash == 0) revert L1BlockMissing(facts.number);
        if (facts.timestampSec > run.context.timestampMs / 1000) return "beforeOrigin";
        uint64 cursor = uint64(before.uintOf(L1_CURSOR_AT, 8));
        if (cursor < group.depositCount && depositAt(group, cursor).l1Block <= number) return "depositMissing";
        LedgerTables.putL1Record(
            abi.encodePacked(
                facts.number,
                facts.hash,
                facts.timestampSec,
                // No base fee of L1's comes near the width of the member.
                uint128(facts.baseFeeWei),
                blobBaseFee,
                facts.prevRandao,
                cursor
            )
        );
        return 0;
    }

    function executeDeposit(Run memory run, Group calldata group, bytes calldata body) private returns (bytes32) {
        uint64 index = uint64(bytes8(body[0:8]));
        if (body.length != 8) return "malformed";
        bytes memory l1 = LedgerTables.l1Record();
        if (index != l1.uintOf(L1_CURSOR_AT, 8)) return "wrongDeposit";
        if (index >= group.depositCount) return "unknownDeposit";
        DepositFacts calldata facts = depositAt(group, index);
        if (facts.l1Block > l1.uintOf(0, 8)) return "unknownDeposit";
        l1.set(L1_CURSOR_AT, 8, index + 1);
        LedgerTables.putL1Record(l1);
        bool isCreation = facts.opaqueData[OPAQUE_HEAD_BYTES - 1] != 0;
        if (!isCreation && facts.to == VALIDATORS) return tellOfValidator(run.context, facts);
        applyDeposit(facts, isCreation);
        return 0;
    }

    /// @dev What the registry of validators says.
    function tellOfValidator(BlockContext memory context, DepositFacts calldata facts) private returns (bytes32 code) {
        (code,) = applyRule(DEPOSIT_TYPE, facts.opaqueData[OPAQUE_HEAD_BYTES:], stepOf(context, facts.from, false));
    }

    /// @dev What a deposit is to the ledger. It cannot fail: what L1 took, the rollup gives. Spec: docs/spec/block.md#l1-origin-and-deposits
    function applyDeposit(DepositFacts calldata facts, bool isCreation) private {
        bytes calldata opaque = facts.opaqueData;
        uint256 mint = uint256(bytes32(opaque[0:32]));
        LedgerTables.Supply memory supply = LedgerTables.getSupply();
        supply.deposited += LedgerTables.narrow96(mint);
        LedgerTables.putSupply(supply);
        if (isCreation || facts.to != LEDGER) return LedgerTables.enterEvm(mint);
        (address to, bool isPrepaid) = targetOf(facts.from, mint, opaque[OPAQUE_HEAD_BYTES:]);
        if (isPrepaid) LedgerTables.addPrepaid(to, mint);
        else LedgerTables.addBalance(to, mint);
    }

    /// @dev Who gets a deposit to the ledger, and whether into the prepaid balance. Data that says nothing else: the depositor's balance.
    function targetOf(address from, uint256 mint, bytes calldata data) private pure returns (address to, bool isPrepaid) {
        if (data.length < 100 || bytes4(data[0:4]) != LEDGER_DEPOSIT) return (from, false);
        uint256 kind = uint256(bytes32(data[4:36]));
        if (uint256(bytes32(data[68:100])) != mint || (kind != 0 && kind != 2)) return (from, false);
        return (address(uint160(uint256(bytes32(data[36:68])))), kind == 2);
    }

    function depositAt(Group calldata group, uint64 index) private pure returns (DepositFacts calldata) {
        for (uint256 i = 0; i < group.deposits.length; ++i) if (group.deposits[i].index == index) return group.deposits[i];
        revert DepositMissing(index);
    }
}
