// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// What a user without native transactions would deploy: uploads, and credits against a client's signed voucher, with storage packed and
/// errors custom. It does less than the native rules do (no reviews, licences, stakes, fee split or vesting), which is in its favour.
contract Hub {
    struct Upload {
        address uploader;
        uint64 atSec;
        uint32 recordCount;
        bytes32 contentRoot;
        uint64 byteCount;
        bytes contentId;
    }

    event Uploaded(
        uint32 indexed datanetId,
        uint32 indexed uploadIndex,
        address indexed uploader,
        bytes32 contentRoot,
        bytes contentId,
        uint32 recordCount
    );
    event Credited(address indexed worker, uint64 indexed seq, uint96 total, bytes32 receiptsRoot);

    error SequenceReused();
    error BadEntries();
    error BadVoucher();

    mapping(uint256 key => Upload) private _uploads;
    mapping(uint32 datanetId => uint32) public uploadCount;
    mapping(address account => uint256) public earned;
    mapping(address client => uint256) public prepaid;
    mapping(address worker => uint64) public lastSeq;
    mapping(address client => mapping(address worker => uint256)) public drawn;

    function upload(uint32 datanetId, bytes32 contentRoot, bytes calldata contentId, uint32 recordCount, uint64 byteCount) external {
        uint32 index = uploadCount[datanetId];
        uploadCount[datanetId] = index + 1;
        Upload storage one = _uploads[(uint256(datanetId) << 32) | index];
        one.uploader = msg.sender;
        one.atSec = uint64(block.timestamp);
        one.recordCount = recordCount;
        one.contentRoot = contentRoot;
        one.byteCount = byteCount;
        one.contentId = contentId;
        emit Uploaded(datanetId, index, msg.sender, contentRoot, contentId, recordCount);
    }

    function prepay(address[] calldata clients) external payable {
        for (uint256 i; i < clients.length; ++i) prepaid[clients[i]] += msg.value / clients.length;
    }

    struct Voucher {
        address client;
        uint96 cumulativeMax;
        bytes32 r;
        bytes32 s;
        uint8 v;
    }

    /// What the client signs: keccak256(abi.encode(chain id, this contract, worker, cumulativeMax)).
    function credit(Voucher calldata voucher, uint64 seq, bytes32 receiptsRoot, address[] calldata to, uint96[] calldata amounts) external {
        if (seq <= lastSeq[msg.sender]) revert SequenceReused();
        lastSeq[msg.sender] = seq;
        if (to.length != amounts.length) revert BadEntries();
        bytes32 digest = keccak256(abi.encode(block.chainid, address(this), msg.sender, voucher.cumulativeMax));
        address client = voucher.client;
        if (client == address(0) || ecrecover(digest, voucher.v, voucher.r, voucher.s) != client) revert BadVoucher();
        uint256 total;
        for (uint256 i; i < to.length; ++i) {
            total += amounts[i];
            earned[to[i]] += amounts[i];
        }
        uint256 drawnNow = drawn[client][msg.sender] + total;
        if (drawnNow > voucher.cumulativeMax) revert BadVoucher();
        drawn[client][msg.sender] = drawnNow;
        prepaid[client] -= total;
        emit Credited(msg.sender, seq, uint96(total), receiptsRoot);
    }
}
