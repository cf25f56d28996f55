// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The DATANETS door of the rollup, as far as it is read here. Whole: execution/native/doorAbi.ts
interface IDatanets {
    struct Datanet {
        address owner;
        address curator;
        uint32 licence;
        uint8 joinPolicy;
        uint8 status;
        uint96 uploadBond;
        uint32 uploads;
        uint32 accepted;
        uint64 records;
        uint32 retires;
        bytes32 schemaHash;
        string name;
    }

    function getDatanet(uint32 datanetId) external view returns (Datanet memory record);
}

/// @notice The receipt verifier of the rollup. Codes: docs/spec/receipts.md#verifiers
interface IReceiptVerifier {
    function verify(bytes calldata request, bytes calldata requestSig, bytes calldata receipt, bytes calldata receiptSig)
        external
        view
        returns (uint16 code, bytes32 receiptId, address worker, uint96 fee);
}

/// @title A contract on the rollup that builds on its accounts of AI: it reads a datanet, and takes each good receipt once.
contract Reader {
    IDatanets private constant DATANETS = IDatanets(address(0x0a01));
    IReceiptVerifier private constant VERIFIER = IReceiptVerifier(address(0x0a10));

    uint16 private constant OK = 0;

    /// @notice Receipts that were taken.
    mapping(bytes32 receiptId => bool) public isTaken;

    event ReceiptTaken(bytes32 indexed receiptId, address indexed worker, uint96 fee);

    error BadReceipt(uint16 code);
    error ReceiptTakenBefore(bytes32 receiptId);

    /// @notice The datanet's record, whole.
    function datanet(uint32 datanetId) external view returns (IDatanets.Datanet memory) {
        return DATANETS.getDatanet(datanetId);
    }

    /// @notice Takes a receipt that its worker may be paid for.
    function take(bytes calldata request, bytes calldata requestSig, bytes calldata receipt, bytes calldata receiptSig) external {
        (uint16 code, bytes32 receiptId, address worker, uint96 fee) = VERIFIER.verify(request, requestSig, receipt, receiptSig);
        if (code != OK) revert BadReceipt(code);
        if (isTaken[receiptId]) revert ReceiptTakenBefore(receiptId);
        isTaken[receiptId] = true;
        emit ReceiptTaken(receiptId, worker, fee);
    }
}
